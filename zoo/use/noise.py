"""Samples from noise: one sheet if OUT is a picture file, single pictures if it is a folder."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from zoo.errors import UserError
from zoo.use import counted
from zoo.use.paths import is_picture, refuse_taken, suffix_for

if TYPE_CHECKING:
    from zoo.checkpoints import Pretrained


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of models of noise."""
    parser.add_argument("-n", "--number", type=int, help="samples to make from noise (default: 64)")


def check(model: Pretrained, args: argparse.Namespace) -> None:
    """Refuse ``-n`` for a model that takes an input."""
    if args.number is not None and model.takes != "noise":
        raise UserError(f"{args.name} translates pictures: it makes one output an input; leave -n out.")


def run(model: Pretrained, args: argparse.Namespace) -> str:
    """Make the samples and write them."""
    import torch

    from zoo.drawing.sheets import mosaic, scatter
    from zoo.files.pictures import write_picture
    from zoo.metrics.scoring.subjects import AT_ONCE

    if args.inputs or args.compare:
        raise UserError(
            f"{args.name} makes samples from noise and takes no input; leave INPUT and --compare out."
        )
    number = 64 if args.number is None else args.number
    if number < 1:
        raise UserError(f"-n must be at least 1, got {number}.")
    as_sheet = is_picture(args.out)
    names = [args.out / f"{i:05d}" for i in range(number)]
    refuse_taken([args.out] if as_sheet else [name.with_suffix(".png") for name in names], args.force)
    starts = range(0, number, AT_ONCE)
    samples = torch.cat([model.sample(min(AT_ONCE, number - i), args.seed + i // AT_ONCE) for i in starts])
    if samples.dim() == 2 and not as_sheet:
        raise UserError(
            f"{args.name} makes points, which are drawn in one plot; give a file, such as -o points.png."
        )
    if as_sheet:
        sheet = scatter({"samples": samples}) if samples.dim() == 2 else mosaic(samples, least=48)
        write_picture(args.out, sheet)
        return counted(1, "picture")
    targets = [name.with_suffix(suffix_for(samples.shape[1])) for name in names]
    refuse_taken(targets, args.force)
    for target, sample in zip(targets, samples, strict=True):
        write_picture(target, sample)
    return counted(number, "picture")
