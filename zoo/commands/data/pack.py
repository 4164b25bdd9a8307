"""Pack a recipe's data: decode, resize or draw every sample once, into files that loading maps into memory.

A recipe then says ``packed: true``. A pack of other files or settings is never read.
"""

from __future__ import annotations

import argparse
from typing import Literal

from zoo.commands import _names

SPLITS: tuple[Literal["train", "val", "test"], ...] = ("train", "val", "test")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this action's arguments."""
    parser.add_argument(
        "source", metavar="RECIPE|CLASS", help="a recipe, or a class as `zoo list data` names it"
    )
    parser.add_argument("--root", help="the folder to use in place of the recipe's data.root")


def run(args: argparse.Namespace) -> int:
    """Write the packs of all splits."""
    named = _names.data(args.source, args.root)
    from tqdm import tqdm

    from zoo.data import packs

    data = named.make()
    data.packed = False
    for split in SPLITS:
        samples = data.split(split)
        if samples is None:
            continue
        key = data.pack_key(split)
        bar = tqdm(range(len(samples)), desc=f"Packing {split}", unit="sample", leave=False, disable=None)
        folder = packs.write(samples, key, bar)
        size = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
        print(f"{split:5} {len(samples)} samples, {size:.1f} MB in {folder}")
    print("In the recipe: data.packed: true")
    return 0
