"""Samples from noise: one sheet if OUT is a picture file, single pictures, written as made, if a folder."""

from __future__ import annotations

import argparse
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.bounds import whole
from zoo.errors import UsageError, UserError
from zoo.files.writing import existing
from zoo.use import counted
from zoo.use.paths import NEEDS_NONE, is_picture, refuse_taken, require_output, suffix_for

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.checkpoints import Pretrained

BLOCK = 4096  # bytes that the smallest file takes
LEAST = 48  # pixels of a sample on a sheet
MOST_PIXELS, MOST_POINTS = 2**27, 1_000_000  # of a sheet, of a plot


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of models of noise."""
    parser.add_argument("-n", "--number", type=whole(1), help="samples to make from noise (default: 64)")


def check(model: Pretrained, args: argparse.Namespace) -> None:
    """Refuse ``-n`` for a model that takes an input."""
    if args.number is not None and model.takes != "noise":
        raise UsageError(f"{args.name} translates pictures: it makes one output an input; leave -n out.")


def run(model: Pretrained, args: argparse.Namespace) -> str:
    """Make the samples and write them."""
    from zoo.files.pictures import write_picture

    if args.inputs or args.compare:
        raise UsageError(f"{args.name} {NEEDS_NONE}")
    require_output(args.out)
    number = 64 if args.number is None else args.number
    if is_picture(args.out):
        refuse_taken([args.out], args.force)
        write_picture(args.out, _sheet(model, number, args))
        return counted(1, "picture")
    refuse_taken(_taken(args.out, number, ".png"), args.force)
    _require_space(args.out, number * BLOCK, f"{number} pictures")
    made, bytes_written = 0, 0
    for samples in _batches(model, number, args.seed):
        if samples.dim() == 2:
            raise UserError(
                f"{args.name} makes points, which are drawn in one plot; give a file, such as -o points.png."
            )
        suffix = suffix_for(samples.shape[1])
        if made == 0 and suffix != ".png":
            refuse_taken(_taken(args.out, number, suffix), args.force)
        for sample in samples:
            target = args.out / f"{made:05d}{suffix}"
            write_picture(target, sample)
            made, bytes_written = made + 1, bytes_written + max(target.stat().st_size, BLOCK)
        if made == len(samples):
            wanted = (number - made) * bytes_written // made
            _require_space(args.out, wanted, f"the other {number - made} pictures")
    return counted(number, "picture")


def _batches(model: Pretrained, number: int, seed: int) -> Iterator[Tensor]:
    """The samples in batches, each with its own seed; shows on a terminal how long the rest will take."""
    from rich.console import Console
    from rich.progress import track

    from zoo.metrics.scoring.subjects import AT_ONCE

    console = Console(stderr=True)
    starts = range(0, number, AT_ONCE)
    hidden = len(starts) == 1 or not console.is_terminal
    for start in track(starts, "batches", console=console, transient=True, disable=hidden):
        yield model.sample(min(AT_ONCE, number - start), seed + start // AT_ONCE)


def _sheet(model: Pretrained, number: int, args: argparse.Namespace) -> Tensor:
    """All samples on one sheet.

    Raises:
        UserError: It would be too large.
    """
    import torch

    from zoo.drawing.sheets import mosaic, scatter

    parts: list[Tensor] = []
    for samples in _batches(model, number, args.seed):
        is_points = samples.dim() == 2
        most = (
            MOST_POINTS if is_points else MOST_PIXELS // math.prod(max(s, LEAST) for s in samples.shape[2:])
        )
        if number > most:
            what = (
                "points in one plot"
                if is_points
                else "samples on one sheet: give a folder for single pictures"
            )
            raise UserError(f"{args.name} can show at most {most} {what}, not {number}.")
        parts.append(samples)
    together = torch.cat(parts)
    return scatter({"samples": together}) if together.dim() == 2 else mosaic(together, least=LEAST)


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
