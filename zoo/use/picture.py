"""Pictures to pictures: files or folders of any size; 16-bit input gives 16-bit output.

Label maps are read by ``label_maps``; what a model of super-resolution takes, by ``super_resolution``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import UserError
from zoo.use import counted, label_maps, super_resolution
from zoo.use.paths import (
    VIDEO,
    is_picture,
    is_video,
    pictures_of,
    refuse_same,
    refuse_taken,
    require_output,
    suffix_for,
)

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.checkpoints import Pretrained


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of models of pictures."""
    parser.add_argument("--compare", action="store_true", help="write input and output side by side")


def run(model: Pretrained, args: argparse.Namespace) -> str:
    """Translate every input and write the outputs."""
    from rich.console import Console
    from rich.progress import track

    from zoo.drawing.sheets import grid
    from zoo.files.pictures import write_picture

    pairs = list(_planned(model, args).items())
    progress = track(pairs, "Translating", console=Console(stderr=True), disable=len(pairs) < 5)
    for source, target in progress:
        if is_video(source):
            super_resolution.upscale_video(model, source, target)
        elif label_maps.is_edited(args):
            write_picture(target, label_maps.painted(source, model, args))
        else:
            picture, output, bits = _translated(source, model, args.seed)
            if args.compare:
                write_picture(target, grid({"input": picture[None], "output": output[None]}))
            else:
                write_picture(target, output, bits)
    return counted(len(pairs), "video" if args.out.suffix.lower() == VIDEO else "picture")


def _planned(model: Pretrained, args: argparse.Namespace) -> dict[Path, Path]:
    """The file that each input becomes.

    Raises:
        UserError: Inputs and output do not go together, or a file would be overwritten.
    """
    require_output(args.out)
    sources = pictures_of(args.inputs, args.name, videos=model.scale > 1)
    if args.compare and any(map(is_video, sources)):
        raise UserError("--compare writes pictures, not videos; leave it out.")
    if is_picture(args.out) or (args.out.suffix.lower() == VIDEO and not args.out.is_dir()):
        if len(sources) > 1:
            raise UserError(
                f"{len(sources)} pictures do not fit into the one file {args.out}; give a folder with -o."
            )
        if is_video(sources[0]) == is_picture(args.out):
            raise UserError(
                f"{sources[0]} cannot become {args.out}; end a picture with .png, a video with {VIDEO}."
            )
        targets = [args.out]
    else:
        targets = [args.out / f"{source.stem}{_suffix(source, model, args)}" for source in sources]
    refuse_same(sources, targets)
    refuse_taken(targets, args.force)
    return dict(zip(sources, targets, strict=True))


def _suffix(source: Path, model: Pretrained, args: argparse.Namespace) -> str:
    if is_video(source):
        return VIDEO
    if args.compare or args.relabel or args.style:  # several pictures in one
        return ".png"
    if model.scale > 1:  # channels stay
        return ".tif" if source.suffix.lower() in (".tif", ".tiff", ".npy") else ".png"
    return suffix_for(int(model.module.hparams["out_channels"]))


def _translated(path: Path, model: Pretrained, seed: int) -> tuple[Tensor, Tensor, Any]:
    """The picture of a file, what the model makes of it, and the bits of the file."""
    from zoo.files.pictures import colour_profile, read_array, to_tensor

    if label_maps.takes(model):
        picture = label_maps.read(path, model)
        return picture, model.sample(picture[None], seed)[0], 8
    array = read_array(path)
    if profile := colour_profile(path):
        print(f"{path} has the colour profile {profile!r}; its colours become sRGB.", file=sys.stderr)
    picture, bits = to_tensor(array), 8 * array.dtype.itemsize
    if model.scale > 1:
        return picture, super_resolution.upscale(model, picture), bits
    got, expected = array.shape[2], model.input_channels
    if got == 1 and expected == 3:  # as in training
        picture = picture.expand(3, -1, -1)
    elif got != expected:
        alpha = got in (2, 4) and got - 1 == expected
        advice = "; the last is alpha, lay it over a background first" if alpha else ""
        raise UserError(f"{path} has {got} channels but these weights expect {expected}{advice}.")
    return picture, model.sample(picture[None], seed)[0], bits
