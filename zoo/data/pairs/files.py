"""How folders lay out pairs of pictures; :mod:`zoo.data.pairs` reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from zoo.data.base import Split
from zoo.data.folders import SPLITS, partners, pictures_in

Layout = Literal["halves", "folders", "suffixes"]

LAYOUTS: dict[Layout, str] = {
    "halves": "train/x.jpg with A in the left half and B in the right",
    "folders": "A/train/x.png with B/train/x.png of the same name",
    "suffixes": "trainA/x.png with trainB/x.png of the same name",
}
EXPECTED = f"expected {'; or '.join(LAYOUTS.values())} (and the same for val and test)"


def find_layout(root: Path) -> Layout | None:
    """The layout of a folder; None if it holds no pairs."""
    if (root / "A").is_dir() and (root / "B").is_dir():
        return "folders"
    if (root / "trainA").is_dir() or (root / "testA").is_dir():
        return "suffixes"
    return "halves" if any((root / split).is_dir() for split in SPLITS) else None


def sides(root: Path, layout: Layout, split: Split) -> tuple[Path, ...]:
    """The one folder, or the folders of A and B, that hold a split."""
    if layout == "halves":
        return (root / split,)
    if layout == "folders":
        return root / "A" / split, root / "B" / split
    return root / f"{split}A", root / f"{split}B"


def find_pairs(root: Path, layout: Layout, split: Split) -> list[tuple[Path, ...]] | None:
    """The files of a split's pairs in the order of their names; None if the split's folders do not exist.

    Raises:
        UserError: A picture has no partner, or two have one name.
    """
    folders = sides(root, layout, split)
    if not any(folder.is_dir() for folder in folders):
        return None
    if len(folders) == 1:
        return [(path,) for path in pictures_in(folders[0])]
    return [*partners(*folders)]
