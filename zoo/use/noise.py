"""Samples from noise: one sheet if OUT is a picture file, single pictures, written as made, if a folder."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from zoo.bounds import whole
from zoo.errors import UserError
from zoo.files.writing import existing
from zoo.use import counted
from zoo.use.paths import is_file, refuse_taken, require_output

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.checkpoints import Pretrained

BLOCK = 4096  # bytes that the smallest file takes


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of models of noise."""
    parser.add_argument("-n", "--number", type=whole(1), help="samples to make from noise (default: 64)")


def options(args: argparse.Namespace) -> dict[str, Any]:
    """The options that are given on the command line."""
    return {} if args.number is None else {"number": args.number}


def run(model: Pretrained, args: argparse.Namespace, gives: ModuleType) -> str:
    """Make the samples and write them: on one sheet if OUT is a file, each in a file if it is a folder."""
    from rich.console import Console
    from rich.progress import track

    require_output(args.out, gives.SUFFIXES)
    number = 64 if args.number is None else args.number
    console = Console(stderr=True)
    hidden = number <= _at_once() or not console.is_terminal
    made = iter(
        track(
            batches(model, number, args.seed),
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


def batches(model: Pretrained, number: int, seed: int) -> Iterator[Tensor]:
    """Samples in batches, each with its own seed, on the CPU in float32."""
    from zoo.seeds import batch_seed

    for start in range(0, number, _at_once()):
        size = min(_at_once(), number - start)
        yield model.sample(size, batch_seed(seed, start // _at_once())).float().cpu()


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
