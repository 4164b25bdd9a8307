"""Samples from noise: one sheet if OUT is a picture file, single pictures, written as made, if a folder.

Also what Radford 2016 does with the noise, walks from sample to sample (:func:`walk`) and arithmetic on the
means of samples that share something (:func:`arithmetic`), and its truncation (Brock 2019). They need the
module's ``latent_dim``, its ``noise(count)``, which draws noise (count, D), and its ``make(z)``, which turns
noise into pictures.
"""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from zoo.bounds import whole
from zoo.errors import UsageError, UserError
from zoo.files.writing import existing
from zoo.use import counted
from zoo.use.paths import is_file, refuse_taken, require_output

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.checkpoints import Pretrained

MOST, SHOWN = 256, 64  # samples of a walk or sum; samples on the default sheet
BLOCK = 4096  # bytes that the smallest file takes
FILMS = (".gif", ".mp4")
SUFFIXES = FILMS
FRAMES, COLUMNS = 24, 9  # of a walk from one sample to the next: in a film, and on a sheet
FRAME_RATE = 25  # per second; GIF counts hundredths of seconds
SPREAD = 0.25  # noise around the result of an arithmetic (section 6.3.2), on both sides
LEAST_LIMIT = 0.1  # of a truncation: 8 % of N(0, 1) are within it
TERM = r"\d{1,9}(?:,\d{1,9})*"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of models of noise."""
    parser.add_argument(
        "--walk",
        type=whole(2, MOST),
        metavar="N",
        help="a film (.gif, .mp4) or sheet that turns each of the first N samples into the next",
    )
    parser.add_argument(
        "--arithmetic",
        metavar="TERMS",
        help="calculate with the noise of samples, numbered from 0 along the sheet of the same -n and "
        "--seed: 3,17,40-5,9,21+2,8,30 takes the mean of each three",
    )
    parser.add_argument(
        "--truncation",
        type=_limit,
        metavar="T",
        help="draw Gaussian noise beyond T again (Brock 2019), for samples that differ less; ProGAN "
        "normalises its noise afterwards",
    )
    parser.add_argument(
        "--label",
        type=whole(0),
        metavar="N",
        help="class of all samples, of weights that were trained with classes",
    )


def options(args: argparse.Namespace) -> dict[str, Any]:
    """The options that are given on the command line."""
    given = {key: getattr(args, key) for key in ("number", "walk", "arithmetic", "truncation", "label")}
    return {key: value for key, value in given.items() if value is not None}


def run(model: Pretrained, args: argparse.Namespace, gives: ModuleType) -> str:
    """Make the samples and write them: on one sheet if OUT is a file, each in a file if it is a folder."""
    from rich.console import Console
    from rich.progress import track

    wishes = [f"--{key}" for key in ("walk", "arithmetic", "truncation") if getattr(args, key) is not None]
    if wishes and model.gives != "picture":
        raise UsageError(f"{wishes[0]} goes with models that make pictures; {args.name} makes {model.gives}.")
    if args.walk is not None or args.arithmetic is not None:
        if args.label is not None:
            raise UsageError(
                "--label goes with samples, not with --walk or --arithmetic; leave one of them out."
            )
        return _of_noise(model, args, gives)
    require_output(args.out, gives.SUFFIXES)
    number = 64 if args.number is None else args.number
    console = Console(stderr=True)
    hidden = number <= _at_once() or not console.is_terminal
    made = iter(
        track(
            batches(model, number, args.seed, args.truncation, args.label),
            "batches",
            -(-number // _at_once()),
            console=console,
            transient=True,
            disable=hidden,
        )
    )
    if is_file(args.out, gives.SUFFIXES):
        import torch

        refuse_taken([args.out], args.force)
        samples = next(made)
        if number > (most := gives.most(samples)):
            raise UserError(
                f"{args.name} can show at most {most} samples on one sheet, not {number}; make fewer, or "
                "give a folder for single pictures."
            )
        together: Any = gives.write(torch.cat([samples, *made]))
        one = together.sheet() if isinstance(together, list) else together  # type: ignore[attr-defined]
        one.save(args.out)
        return counted(1, "picture")
    refuse_taken(_taken(args.out, number, ".png"), args.force)
    _require_space(args.out, number * BLOCK, f"{number} pictures")
    done = written = 0
    for samples in made:
        outputs = gives.write(samples)
        if not isinstance(outputs, list):
            raise UserError(
                f"{args.name} makes {model.gives}, which are drawn in one plot; give a file, such as -o "
                f"{model.gives}.png."
            )
        suffix = gives.suffix(None, model, samples.shape[1])
        if done == 0 and suffix != ".png":
            refuse_taken(_taken(args.out, number, suffix), args.force)
        for output in outputs:
            target = args.out / f"{done:05d}{suffix}"
            output.save(target)
            done, written = done + 1, written + max(target.stat().st_size, BLOCK)
        if done == len(samples):
            rest = (number - done) * written // done
            _require_space(args.out, rest, f"the other {number - done} pictures")
    return counted(number, "picture")


def call(
    model: Pretrained,
    gives: ModuleType,
    source: Any,
    n: int | None,
    seed: int,
    truncation: float | None = None,
    label: int | None = None,
) -> Any:
    """``n`` samples, or without it one, see :func:`batches`.

    Raises:
        UsageError: There is an input.
    """
    import torch

    if source is not None:
        raise UsageError(f"{model.name} makes samples from noise: give `n=16, seed=0` and no input.")
    made = gives.write(torch.cat(list(batches(model, n or 1, seed, truncation, label))))
    return made[0] if n is None and isinstance(made, list) else made


def _is_limit(value: Any) -> bool:
    return type(value) in (int, float) and LEAST_LIMIT <= value <= 10


def _limit(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not _is_limit(value):
        raise argparse.ArgumentTypeError(f"must be a number from {LEAST_LIMIT} to 10, not {text!r:.40}")
    return value


def batches(
    model: Pretrained, number: int, seed: int, truncation: float | None = None, label: int | None = None
) -> Iterator[Tensor]:
    """Samples in batches, each with its own seed, on the CPU in float32.

    Args:
        model: A model of noise.
        number: Number of samples.
        seed: Seed of all of them.
        truncation: Largest number of the noise.
        label: Class of all of them; by default a model with classes makes these in turn.

    Raises:
        UsageError: The noise cannot be truncated, or the model has no such class.
    """
    import torch

    from zoo.seeds import batch_seed

    classes = model.module.hparams.get("classes") or 0
    if label is not None and (type(label) is not int or not 0 <= label < classes):
        there = f"has the classes 0 to {classes - 1}" if classes else "was trained without classes"
        raise UsageError(f"{model.name} {there}, so label {label!r:.40} cannot be; choose another, or none.")
    if truncation is not None or label is not None:
        _require_noise(model, truncation)
    for index, start in enumerate(range(0, number, _at_once())):
        size = min(_at_once(), number - start)
        if truncation is None and label is None:
            yield model.sample(size, batch_seed(seed, index)).float().cpu()
            continue
        game: Any = model.game
        z = _drawn(model, size, batch_seed(seed, index), truncation)
        if label is not None:
            z[:, game.latent_dim :] = game.one_hot(torch.full((size,), label, device=z.device))
        yield pictures(model, z)


def latents(model: Pretrained, number: int, seed: int, truncation: float | None = None) -> Tensor:
    """The noise (number, D) of the first samples that this seed gives.

    Raises:
        UsageError: More than are made at once.
    """
    from zoo.seeds import batch_seed

    _require_noise(model, truncation)
    if number > _at_once():
        raise UsageError(f"{number} samples are too many to calculate with; give at most {_at_once()}.")
    return _drawn(model, number, batch_seed(seed, 0), truncation)


def _require_noise(model: Pretrained, truncation: float | None) -> None:
    """Refuse models without noise, those whose samples depend on each other, and truncated uniform noise.

    Raises:
        UsageError: Says why.
    """
    if truncation is not None and not _is_limit(truncation):
        raise UsageError(f"truncation is {truncation!r:.40}; give a number from {LEAST_LIMIT} to 10.")
    if model.takes != "noise" or getattr(model.module, "noise", None) is None:
        raise UsageError(
            f"{model.name} lets no one choose its noise; give weights of noise that were not written as ONNX."
        )
    if model.module.hparams.get("statistics") == "batch":
        raise UsageError(
            f"{model.name} has model.statistics batch: a sample depends on those that are made with it, so "
            "its noise cannot be changed alone; leave --walk, --arithmetic, --truncation and --label out."
        )
    if truncation is not None and model.module.hparams.get("noise") == "uniform":
        raise UsageError(
            f"{model.name} draws uniform noise, whose middle is no likelier than its edge: truncation is for "
            "Gaussian noise; leave it out."
        )


def _drawn(model: Pretrained, number: int, seed: int, truncation: float | None) -> Tensor:
    """Noise (number, D), of which no number is beyond ``truncation``; classes stay as they are."""
    game: Any = model.game
    with game.in_use(seed):
        z: Tensor = game.noise(number)
        own = z[:, : game.latent_dim]
        while truncation is not None and (beyond := own.abs() > truncation).any():
            own[beyond] = game.noise(number)[:, : game.latent_dim][beyond]
    return z


def pictures(model: Pretrained, z: Tensor) -> Tensor:
    """Noise (N, D) as pictures (N, C, H, W) in [-1, 1], on the CPU in float32."""
    import torch

    with model.game.in_use(0):
        parts = [model.game.make(part).float().cpu() for part in torch.split(z, 32)]  # type: ignore[operator]
    return torch.cat(parts).clamp(-1, 1)


def between(first: Tensor, last: Tensor, shares: Tensor) -> Tensor:
    """Noise (T, D) on the way from one (D) to another, at ``shares`` (T) of it.

    The straight line, with each point at the length interpolated between both ends': the middle of a straight
    line is nearer to 0 than any sample is.
    """
    share = shares[:, None].to(first)
    line = first + share * (last - first)
    length = first.norm() + share * (last.norm() - first.norm())
    scaled: Tensor = line * (length / line.norm(dim=1, keepdim=True).clamp_min(1e-12))
    return scaled


def walk(
    model: Pretrained, stops: int, seed: int = 0, frames: int = FRAMES, truncation: float | None = None
) -> Tensor:
    """Frames (stops * frames, C, H, W) in [-1, 1] from each of the first samples to the next, and back.

    Args:
        model: A model of noise that gives pictures.
        stops: Number of samples, at least 2.
        seed: Seed of the samples.
        frames: Frames from one sample up to the next.
        truncation: Largest number of the samples' noise.
    """
    import torch

    _require_noise(model, truncation)
    for name, value, least in (("stops", stops, 2), ("frames", frames, 1)):
        if value < least:
            raise UsageError(f"{name} is {value}; give at least {least}.")
    # as on the sheet: torch draws the last of many Gaussian numbers otherwise than the same ones of more
    z, shares = latents(model, max(stops, SHOWN), seed, truncation)[:stops], torch.arange(frames) / frames
    own = model.game.latent_dim
    way = [
        torch.cat(
            [between(a[:own], b[:own], shares), torch.lerp(a[own:], b[own:], shares[:, None].to(a))], dim=1
        )
        for a, b in zip(z, z.roll(-1, 0), strict=True)
    ]
    return pictures(model, torch.cat(way))


def arithmetic(
    model: Pretrained, terms: str, seed: int = 0, number: int = 64, truncation: float | None = None
) -> dict[str, Tensor]:
    """Calculate with the mean noise of samples (Radford 2016, section 6.3.2).

    Args:
        model: A model of noise that gives pictures.
        terms: Numbers of samples, such as ``3,17,40-5,9,21+2,8,30``: each term is the mean of its samples.
        seed: Seed of the samples.
        number: Number of samples that are numbered, as on the sheet.
        truncation: Largest number of the samples' noise.

    Returns:
        By title: each term's samples and, last, the picture of their mean; the result; eight around it.

    Raises:
        UsageError: The terms cannot be read, or number a sample that there is not.
    """
    import torch

    _require_noise(model, truncation)
    if model.game.hparams.get("classes"):
        raise UsageError(f"{model.name} takes classes beside the noise, which cannot be added; walk instead.")
    text = re.sub(r"\s*([-+,])\s*", r"\1", terms.strip())
    if not re.fullmatch(rf"{TERM}(?:[+-]{TERM})*", text):
        raise UsageError(f"--arithmetic is {terms!r:.60}; give numbers of samples such as 3,17-5,9+2,8.")
    z, result, shown = latents(model, number, seed, truncation), torch.zeros(()), {}
    for sign, term in re.findall(rf"([+-]?)({TERM})", text):
        places = [int(part) for part in term.split(",")]
        if max(places) >= number:
            raise UsageError(
                f"--arithmetic names sample {max(places)}, but {number} are numbered, from 0; raise -n."
            )
        mean = z[places].mean(0)
        result = result.to(z) + (-mean if sign == "-" else mean)
        title = f"{sign} {term}".strip()
        while title in shown:
            title += " "
        shown[title] = pictures(model, torch.cat([z[places], mean[None]]))
    random = torch.Generator().manual_seed(seed)
    around = (torch.rand(8, len(result), generator=random) * 2 - 1) * SPREAD
    made = pictures(model, torch.cat([result[None], result + around.to(result)]))
    return shown | {"=": made[:1], f"± {SPREAD}": made[1:5], f"± {SPREAD} ": made[5:]}


def _of_noise(model: Pretrained, args: argparse.Namespace, gives: ModuleType) -> str:
    """Write a walk or an arithmetic."""
    from zoo.drawing.sheets import grid, mosaic, to_rgb

    if args.walk is not None and args.arithmetic is not None:
        raise UsageError("--walk and --arithmetic are two pictures; ask for one of them at a time.")
    if args.walk is not None and args.number is not None:
        raise UsageError("--walk N says how many samples there are; leave -n out.")
    allowed = gives.SUFFIXES if args.walk is None else (*FILMS, *gives.SUFFIXES)
    if not is_file(args.out, allowed):
        raise UsageError(f"{args.out} must be a file that ends with one of {', '.join(allowed)}.")
    refuse_taken([args.out], args.force)
    if args.walk is None:
        sheet = grid(arithmetic(model, args.arithmetic, args.seed, args.number or 64, args.truncation))
        gives.write(sheet[None])[0].save(args.out)
        return counted(1, "picture")
    if args.out.suffix.lower() in FILMS:
        from zoo.files.films import write_gif, write_mp4

        frames = to_rgb(walk(model, args.walk, args.seed, truncation=args.truncation))
        if args.out.suffix.lower() == ".gif":
            write_gif(args.out, frames, 1 / FRAME_RATE)
        else:
            write_mp4(args.out, frames, FRAME_RATE)
        return counted(len(frames), "frame")
    frames = walk(model, args.walk, args.seed, COLUMNS, args.truncation)
    gives.write(mosaic(frames, COLUMNS, least=gives.LEAST)[None])[0].save(args.out)
    return counted(1, "picture")


def _at_once() -> int:
    from zoo.metrics.scoring.subjects import AT_ONCE

    return AT_ONCE


def _taken(folder: Path, number: int, suffix: str) -> list[Path]:
    """The files that the pictures would overwrite."""
    names = (path.stem for path in folder.glob(f"*{suffix}"))
    indices = sorted(int(name) for name in names if name.isdecimal() and name == f"{int(name):05d}")
    return [folder / f"{i:05d}{suffix}" for i in indices if i < number]


def _require_space(folder: Path, wanted: int, what: str) -> None:
    free = shutil.disk_usage(existing(folder)).free
    if wanted > free:
        raise UserError(
            f"There is no space at {folder} for {what}: they take at least {wanted / 1e9:,.1f} GB and "
            f"{free / 1e9:,.1f} GB are free; make fewer."
        )
