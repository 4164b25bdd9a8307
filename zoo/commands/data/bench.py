"""Time the loading of a recipe's, a folder's or a class's training samples, and measure its memory.

Each line is one loader; they take turns in one process, so background load affects all equally. Nothing is
cached in memory. ``--torchvision`` adds the common baseline: ``ImageFolder``, PIL and the classic transforms
(resize to 1.12 times the size, random crop, flip).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from zoo.bounds import whole
from zoo.commands import _names
from zoo.errors import UserError

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

    from zoo.data.base import DataModule


SECONDS = 2.0  # minimum duration of a round


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this action's arguments."""
    what = "a folder, a recipe, or a class as `zoo list data` names it"
    parser.add_argument("source", metavar="DIR|RECIPE|CLASS", help=what)
    parser.add_argument("--root", help="the folder to use in place of the recipe's data.root")
    parser.add_argument(
        "--samples", type=whole(1), default=600, help="timed samples per round, at least (600)"
    )
    parser.add_argument("--rounds", type=whole(1), default=3, help="rounds; the median counts (3)")
    parser.add_argument("--workers", type=whole(0), nargs="+", default=[0], help="numbers of workers")
    parser.add_argument("--size", type=whole(1), help="data.size, pixels")
    parser.add_argument("--batch", type=whole(1), default=32, help="samples per batch (32)")
    parser.add_argument("--packed", action="store_true", help="time packed loading too; writes the pack")
    parser.add_argument("--torchvision", action="store_true", help="time torchvision's ImageFolder too")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Time the loaders and print one line each."""
    import resource
    import statistics

    from zoo.drawing.tables import aligned

    lines: list[dict[str, Any]] = []
    for workers in args.workers:
        feeds = {name: _feed(make) for name, make in _loaders(args, workers).items()}
        rates: dict[str, list[float]] = {name: [] for name in feeds}
        for _ in range(args.rounds):
            for name, feed in feeds.items():
                rates[name].append(_rate(feed, args.samples))
        for name, found in rates.items():
            rate = statistics.median(found)
            lines.append({"loader": name, "workers": workers, "samples_per_s": round(rate, 1)})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if args.json:
        report = {"source": args.source, "size": args.size, "lines": lines, "peak_mb": round(peak)}
        print(json.dumps(report, indent=2))
        return 0
    rows = [(x["loader"], f"{x['workers']} workers", f"{x['samples_per_s']:.0f} samples/s") for x in lines]
    print(aligned(rows))
    print(f"Peak memory of this process, all loaders together: {peak:.0f} MB")
    return 0


def _loaders(args: argparse.Namespace, workers: int) -> dict[str, Callable[[], DataLoader[Any]]]:
    """A function that makes the loader, by name, for each that is asked for."""
    made = {"zoo, no cache": lambda: _loader(_data(args, workers))}
    if args.packed:
        from zoo.data import packs

        plain = _data(args, workers)
        samples = plain.split("train")
        assert samples is not None
        packs.write(samples, plain.pack_key("train"))
        made["zoo, packed"] = lambda: _loader(_data(args, workers, packed=True))
    if args.torchvision:
        made["torchvision ImageFolder"] = lambda: _classic(args, workers)
    return made


def _data(args: argparse.Namespace, workers: int, packed: bool = False) -> DataModule:
    options = {"num_workers": workers, "batch_size": args.batch, "cache": False, "packed": packed}
    if args.size:
        options["size"] = args.size
    if args.torchvision:  # both do the same work
        size = args.size or 64
        options |= {"size": size, "load_size": int(size * 1.12), "random_crop": True, "mirror": True}
    return _names.data_or_folder(args.source, args.root).make(**options)


def _loader(data: DataModule) -> DataLoader[Any]:
    if data.split("train") is None:
        raise UserError("There is no training split to time; give data that have one.")
    return data.train_dataloader()


def _classic(args: argparse.Namespace, workers: int) -> DataLoader[Any]:
    """The loader of most tutorials, as a baseline."""
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    size = args.size or 64
    steps = [
        transforms.Resize(int(size * 1.12)),
        transforms.RandomCrop(size),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize([0.5] * 3, [0.5] * 3),
    ]
    try:
        pictures = datasets.ImageFolder(args.root or args.source, transforms.Compose(steps))
    except FileNotFoundError as error:
        raise UserError(f"torchvision's ImageFolder cannot read {args.source} ({error}).") from error
    options: dict[str, Any] = {"num_workers": workers, "persistent_workers": workers > 0}
    return DataLoader(pictures, args.batch, shuffle=True, drop_last=True, **options)


def _feed(make: Callable[[], DataLoader[Any]]) -> Iterator[int]:
    """The number of samples of each batch, over endless epochs."""
    for batch in chain.from_iterable(repeat(make())):
        yield len(next(iter(batch.values())) if isinstance(batch, dict) else batch[0])


def _rate(feed: Iterator[int], samples: int) -> float:
    """Samples per second, measured long enough that prefetched batches matter little."""
    import time

    next(feed)  # workers have started
    start, done = time.perf_counter(), 0
    while done < samples or time.perf_counter() - start < SECONDS:
        done += next(feed)
    return done / (time.perf_counter() - start)
