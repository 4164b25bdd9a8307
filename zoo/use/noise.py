"""Samples from noise: one sheet if OUT is a picture file, single pictures, written as made, if a folder.

Also what Radford 2016 does with the noise: walks from sample to sample (:func:`walk`), and arithmetic on the
means of samples that share something (:func:`arithmetic`). They need the module's ``noise(count)``, which
draws noise (count, D), and ``make(z)``, which turns it into pictures.
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

BLOCK = 4096  # bytes that the smallest file takes
FILMS = (".gif", ".mp4")
SUFFIXES = FILMS
FRAMES, COLUMNS = 24, 9  # of a walk from one sample to the next: in a film, and on a sheet
FRAME_RATE = 25  # per second; GIF counts hundredths of seconds
SPREAD = 0.25  # noise around the result of an arithmetic (section 6.3.2), on both sides
TERM = r"\d+(?:,\d+)*"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of models of noise."""
    parser.add_argument("-n", "--number", type=whole(1), help="samples to make from noise (default: 64)")
    parser.add_argument(
        "--walk",
        type=whole(2, 1000),
        metavar="N",
        help="a film (.gif, .mp4) or sheet that turns each of the first N samples into the next",
    )
    parser.add_argument(
        "--arithmetic",
        metavar="TERMS",
        help="calculate with the noise of samples, numbered from 0 along the sheet of the same -n and "
        "--seed: 3,17,40-5,9,21+2,8,30 takes the mean of each three",
    )


def options(args: argparse.Namespace) -> dict[str, Any]:
    """The options that are given on the command line."""
    given = {key: getattr(args, key) for key in ("number", "walk", "arithmetic")}
    return {key: value for key, value in given.items() if value is not None}


def run(model: Pretrained, args: argparse.Namespace, gives: ModuleType) -> str:
    """Make the samples and write them: on one sheet if OUT is a file, each in a file if it is a folder."""
    from rich.console import Console
    from rich.progress import track

    if args.walk is not None or args.arithmetic is not None:
        return _of_noise(model, args, gives)
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


def latents(model: Pretrained, number: int, seed: int) -> Tensor:
    """The noise (number, D) of the first samples that this seed gives.

    Raises:
        UsageError: More than are made at once.
        UserError: The model is not one of noise.
    """
    from zoo.seeds import batch_seed

    if number > _at_once():
        raise UsageError(f"{number} samples are too many to calculate with; give at most {_at_once()}.")
    with model.game.in_use(batch_seed(seed, 0)):
        z: Tensor = model.game.noise(number)  # type: ignore[operator]
    return z


def pictures(model: Pretrained, z: Tensor) -> Tensor:
    """Noise (N, D) as pictures (N, C, H, W) in [-1, 1], on the CPU in float32."""
    import torch

    with model.game.in_use(0):
        parts = [model.game.make(part).float().cpu() for part in torch.split(z, 32)]  # type: ignore[operator]
    return torch.cat(parts)


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


def walk(model: Pretrained, stops: int, seed: int = 0, frames: int = FRAMES) -> Tensor:
    """Frames (stops * frames, C, H, W) in [-1, 1] from each of the first samples to the next, and back.

    Args:
        model: A model of noise that gives pictures.
        stops: Number of samples, at least 2.
        seed: Seed of the samples.
        frames: Frames from one sample up to the next.
    """
    import torch

    z, shares = latents(model, stops, seed), torch.arange(frames) / frames
    return pictures(model, torch.cat([between(a, b, shares) for a, b in zip(z, z.roll(-1, 0), strict=True)]))


def arithmetic(model: Pretrained, terms: str, seed: int = 0, number: int = 64) -> dict[str, Tensor]:
    """Calculate with the mean noise of samples (Radford 2016, section 6.3.2).

    Args:
        model: A model of noise that gives pictures.
        terms: Numbers of samples, such as ``3,17,40-5,9,21+2,8,30``: each term is the mean of its samples.
        seed: Seed of the samples.
        number: Number of samples that are numbered, as on the sheet.

    Returns:
        By title: each term's samples and, last, the picture of their mean; the result; eight around it.

    Raises:
        UsageError: The terms cannot be read, or number a sample that there is not.
    """
    import torch

    text = terms.replace(" ", "")
    if not re.fullmatch(rf"{TERM}(?:[+-]{TERM})*", text):
        raise UsageError(f"--arithmetic is {terms!r:.60}; give numbers of samples such as 3,17-5,9+2,8.")
    z, result, shown = latents(model, number, seed), torch.zeros(()), {}
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
    from zoo.drawing.sheets import grid, mosaic

    if model.gives != "picture" or (args.walk is not None and args.arithmetic is not None):
        raise UsageError("--walk and --arithmetic go with models that make pictures, one of them at a time.")
    if args.walk is not None and args.number is not None:
        raise UsageError("--walk N says how many samples there are; leave -n out.")
    allowed = gives.SUFFIXES if args.walk is None else (*FILMS, *gives.SUFFIXES)
    if not is_file(args.out, allowed):
        raise UsageError(f"{args.out} must be a file that ends with one of {', '.join(allowed)}.")
    refuse_taken([args.out], args.force)
    if args.walk is None:
        sheet = grid(arithmetic(model, args.arithmetic, args.seed, args.number or 64))
        gives.write(sheet[None])[0].save(args.out)
        return counted(1, "picture")
    if args.out.suffix.lower() in FILMS:
        from zoo.files.films import write_gif, write_mp4

        frames = walk(model, args.walk, args.seed)
        if args.out.suffix.lower() == ".gif":
            write_gif(args.out, frames, 1 / FRAME_RATE)
        else:
            write_mp4(args.out, frames, FRAME_RATE)
        return counted(len(frames), "frame")
    frames = walk(model, args.walk, args.seed, COLUMNS)
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
