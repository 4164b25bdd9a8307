"""Pack a recipe's data: decode, resize or draw every sample once, into files that loading maps into memory.

A recipe then says ``packed: true``. A pack of other files or settings is never read. For models that grow,
``--pyramid`` also packs smaller training pictures, which a run then reads in place of the large ones.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Literal

from zoo.commands import _names
from zoo.errors import UserError

if TYPE_CHECKING:
    from zoo.data.base import SampleSet
    from zoo.data.packs import PackKey

SPLITS: tuple[Literal["train", "val", "test"], ...] = ("train", "val", "test")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this action's arguments."""
    parser.add_argument(
        "source", metavar="RECIPE|CLASS", help="a recipe, or a class as `zoo list data` names it"
    )
    parser.add_argument("--root", help="the folder to use in place of the recipe's data.root")
    parser.add_argument(
        "--pyramid",
        action="store_true",
        help="also the training pictures at each half of their side, to 4 px",
    )


def run(args: argparse.Namespace) -> int:
    """Write the packs of all splits."""
    named = _names.data(args.source, args.root)
    from tqdm import tqdm

    from zoo.data import packs
    from zoo.data.base import SampleSet

    data = named.make()
    data.packed = False
    train = data.split("train")
    if train is not None and type(train).load is SampleSet.load:
        raise UserError(f"{args.source} gives samples that are in memory already; nothing is to be packed.")
    wanted: list[tuple[str, SampleSet, PackKey]] = []
    for split in SPLITS:
        if (samples := data.split(split)) is not None:
            wanted.append((split, samples, data.pack_key(split)))
    if args.pyramid:
        for side, smaller in data.smaller("train"):
            wanted.append((f"train at {side} px", smaller, data.pack_key("train", side)))
    for title, samples, key in wanted:
        bar = tqdm(range(len(samples)), desc=f"Packing {title}", unit="sample", leave=False, disable=None)
        folder = packs.write(samples, key, bar)
        samples.pack = packs.Pack.open(key)  # smaller pictures are made from it
        size = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
        print(f"{title:5} {len(samples)} samples, {size:.1f} MB in {folder}")
    print("In the recipe: data.packed: true")
    return 0
