"""Sentences to pictures, by the text encoder of the training, made anew from what the weights say of it.

OUT is a file: one sheet, with a row per sentence and a column per draw of the noise. OUT is a folder: single
pictures. OUT is a film (.gif, .mp4): from each sentence to the next, with one draw. An INPUT that ends in
.txt holds a sentence per line.
"""

from __future__ import annotations

import argparse
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from zoo.errors import UsageError, UserError
from zoo.use import counted, note
from zoo.use.paths import is_file, refuse_taken, require_output

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.checkpoints import Pretrained

FILMS = SUFFIXES = (".gif", ".mp4")
COLUMNS = 8  # draws per sentence on a sheet
TOGETHER = 64  # draws of a sentence that are made at once
FRAMES, FRAME_RATE = 24, 25  # between two sentences; per second
MOST = 4096  # pictures at once, or frames


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of models of sentences."""
    parser.add_argument(
        "--text-weights",
        metavar="FILE",
        help="text encoder of a training with a char-CNN-RNN, or a sentence transformer other than MiniLM",
    )
    parser.add_argument(
        "--style-of", metavar="PICTURE", help="show the sentences in the style of a picture (GAN-INT-CLS)"
    )


def options(args: argparse.Namespace) -> dict[str, Any]:
    """The options that are given on the command line."""
    given = {key: getattr(args, key) for key in ("number", "text_weights", "style_of")}
    return {key: value for key, value in given.items() if value is not None}


def run(model: Pretrained, args: argparse.Namespace, gives: ModuleType) -> str:
    """Make the pictures of sentences and write them as a sheet, a film, or single files."""
    from zoo.drawing.sheets import captioned

    if args.compare:
        raise UsageError("--compare shows an input picture, and these are sentences; leave it out.")
    require_output(args.out, (*FILMS, *gives.SUFFIXES))
    sentences = read_all(args.inputs, model.name)
    if is_file(args.out, FILMS):
        return _film(model, sentences, args)
    is_sheet = is_file(args.out, gives.SUFFIXES)
    number = args.number or (COLUMNS if is_sheet and args.style_of is None else 1)
    require_count(len(sentences) * number)
    targets = [args.out] if is_sheet else [args.out / f"{name}.png" for name in names(sentences, number)]
    refuse_taken(targets, args.force)
    made = pictures(model, sentences, number, args.seed, args.text_weights, args.style_of)
    if is_sheet:
        titles = [sentence if draw == 0 else "" for sentence in sentences for draw in range(number)]
        made = captioned(made, titles, number)[None]
    for target, picture in zip(targets, gives.write(made), strict=True):
        picture.save(target)
    return counted(len(targets), "picture")


def call(
    model: Pretrained,
    gives: ModuleType,
    source: Any,
    n: int | None,
    seed: int,
    text_weights: str | None = None,
    style_of: Any = None,
) -> Any:
    """The picture of a sentence; with ``n`` that many; of several sentences those of each in turn.

    Args:
        model: The model.
        gives: Kind of its output.
        source: A sentence, several, or a text file of them.
        n: Pictures per sentence.
        seed: Seed of the noise.
        text_weights: Weights of the text encoder, where the model does not say which they are.
        style_of: A picture of any form whose style to take in place of the noise; then ``n`` is 1.

    Raises:
        UserError: These are no sentences, or they cannot be encoded.
    """
    if isinstance(source, Path) or (isinstance(source, str) and source.lower().endswith(".txt")):
        source = read_all([str(source)], model.name)
    sentences = [source] if isinstance(source, str) else source
    if not isinstance(sentences, list | tuple) or not all(isinstance(each, str) for each in sentences):
        raise UsageError(f"{model.name} takes sentences: give one, or a list of them, not {source!r:.60}.")
    made = gives.write(pictures(model, sentences, n or 1, seed, text_weights, style_of))
    return made[0] if n is None and isinstance(source, str) else made


def read_all(words: Iterable[str], name: str) -> list[str]:
    """The sentences that INPUT words are, or that the text files among them hold.

    Raises:
        UserError: There is none, or a file cannot be read.
    """
    found: list[str] = []
    for word in words:
        if not word.lower().endswith(".txt"):
            found.append(word)
            continue
        if not Path(word).is_file():
            raise UserError(f"There is no file {word}; give one with a sentence per line.")
        try:
            lines = Path(word).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, ValueError) as error:
            raise UserError(f"{word} cannot be read; give a UTF-8 file with a sentence per line.") from error
        found += [line.strip() for line in lines if line.strip()]
    if not found:
        raise UsageError(f'{name} makes pictures of sentences: give some in quotes, as "a red bird".')
    return found


def vectors(model: Pretrained, sentences: Iterable[str], text_weights: str | None = None) -> Tensor:
    """The embeddings (N, D) of sentences.

    Raises:
        UserError: A sentence has nothing that the encoder knows, or the encoder cannot be made.
    """
    from zoo.features.text import restored

    wanted = model.module.hparams["text_dim"]
    try:
        settings = dict(model.config["data"]["preprocessing"]["text"])
        encoder = restored(settings.pop("kind"), settings, text_weights)
        if encoder.dimension != wanted:
            raise ValueError(f"the encoder gives {encoder.dimension} numbers, the model takes {wanted}")
    except (TypeError, KeyError, ValueError) as error:
        raise UserError(f"{model.name} does not say how its sentences were encoded; get it again.") from error
    sentences = list(sentences)
    for sentence in sentences:
        if lost := encoder.unknown(sentence):
            them = "it" if len(lost) == 1 else "them"
            note(f"{model.name} does not know {', '.join(lost[:5])} and leaves {them} out.")
    return encoder.encode(sentences)


def made_of(model: Pretrained, text: Tensor, seed: int) -> Tensor:
    """Pictures (N, C, H, W) of embeddings (N, D), on the CPU in float32."""
    return model.sample(text.to(next(model.module.parameters())), seed).float().cpu()


def styled(model: Pretrained, text: Tensor, source: Any) -> Tensor:
    """The same, in the style of a picture: path, PIL image, array or tensor; it is made square.

    Raises:
        UserError: It is no such picture, or the model has no style encoder.
    """
    import torch.nn.functional as F

    from zoo.use.picture import values

    hparams = model.module.hparams
    if not hparams.get("style"):
        raise UsageError(f"{model.name} has no style encoder; leave the picture out.")
    pixels, _ = values(source)  # (C, H, W) in [-1, 1]
    picture = F.interpolate(pixels[None, :3], (hparams["size"],) * 2, mode="bilinear", antialias=True)
    weights = next(model.module.parameters())
    style = picture.expand(-1, 3, -1, -1).to(weights)
    made: Tensor = model.module.sample(text.to(weights), style=style)  # type: ignore[operator]
    return made.float().cpu()


def require_count(count: int) -> None:
    """Refuse to make no picture, or more than ``MOST`` at once.

    Raises:
        UserError: Says how many are possible.
    """
    if not 1 <= count <= MOST:
        raise UserError(f"{count} pictures are asked for at once; make 1 to {MOST}.")


def pictures(
    model: Pretrained,
    sentences: Iterable[str],
    number: int,
    seed: int,
    text_weights: str | None = None,
    style_of: Any = None,
) -> Tensor:
    """``number`` pictures of each sentence in turn, (N, C, H, W); all sentences get the same draws.

    Raises:
        UserError: There are none or too many, a sentence cannot be encoded, or ``style_of`` is no picture.
    """
    import torch

    from zoo.seeds import batch_seed

    sentences = list(sentences)
    require_count(len(sentences) * number)
    if style_of is not None:
        if number != 1:
            raise UsageError("A picture's style is one draw; leave -n out.")
        return styled(model, vectors(model, sentences, text_weights), style_of)
    parts = [min(TOGETHER, number - start) for start in range(0, number, TOGETHER)]
    return torch.cat(
        [
            made_of(model, each.expand(size, -1), batch_seed(seed, index))
            for each in vectors(model, sentences, text_weights)
            for index, size in enumerate(parts)
        ]
    )


def names(sentences: list[str], number: int) -> list[str]:
    """Names of files for ``number`` pictures of each sentence in turn, all different."""
    found, known = list[str](), Counter[str]()
    for sentence in sentences:
        words = unicodedata.normalize("NFKC", sentence).lower()
        stem = re.sub(r"\W+", "-", words)[:60].strip("-_") or "sentence"
        known[stem] += 1
        found.append(f"{stem}.{known[stem]}" if known[stem] > 1 else stem)
    return [f"{stem}.{draw:03d}" if number > 1 else stem for stem in found for draw in range(number)]


def _film(model: Pretrained, sentences: list[str], args: argparse.Namespace) -> str:
    """Write a film from each sentence to the next."""
    import torch

    from zoo.drawing.sheets import to_rgb
    from zoo.files.films import write_gif, write_mp4
    from zoo.seeds import batch_seed

    if len(sentences) < 2:
        raise UsageError("A film goes from sentence to sentence: give two or more, or end OUT with .png.")
    if args.style_of is not None:
        raise UsageError("--style-of makes pictures, not films; end OUT with .png or name a folder.")
    if args.number is not None:
        raise UsageError("A film has one draw of the noise; leave -n out.")
    require_count(FRAMES * len(sentences))
    refuse_taken([args.out], args.force)
    text = vectors(model, sentences, args.text_weights)
    shares = torch.arange(FRAMES) / FRAMES
    way = [torch.lerp(a, b, share) for a, b in pairwise(text) for share in shares]
    seed = batch_seed(args.seed, 0)  # the first column of a sheet
    frames = to_rgb(torch.cat([made_of(model, each[None], seed) for each in [*way, text[-1]]]))
    if args.out.suffix.lower() == ".gif":
        write_gif(args.out, frames, 1 / FRAME_RATE)
    else:
        write_mp4(args.out, frames, FRAME_RATE)
    return counted(len(frames), "frame")
