"""How folders lay out pairs of pictures, and reading a pair; :mod:`zoo.data.pairs` makes batches of them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from zoo.data.base import Split
from zoo.data.checks import Facts, Fault, Findings, examine, left_out, picture_facts, require_training
from zoo.data.folders import SPLITS, match, partners, pictures_in
from zoo.data.pixels import read_pair
from zoo.errors import UserError
from zoo.files.pictures import PICTURE_SUFFIXES, read_array

Layout = Literal["halves", "folders", "suffixes"]

LAYOUTS: dict[Layout, str] = {
    "halves": "train/x.jpg with A in the left half and B in the right",
    "folders": "A/train/x.png with B/train/x.png of the same name",
    "suffixes": "trainA/x.png with trainB/x.png of the same name",
}
EXPECTED = f"expected {'; or '.join(LAYOUTS.values())} (and the same for val and test)"


def looks_like_pairs(root: Path) -> bool:
    """Whether a folder is laid out as pairs; side-by-side pictures are twice as wide as high."""
    layout = find_layout(root)
    if layout != "halves":
        return layout is not None
    some = [path for split in SPLITS for path in pictures_in(root / split)][:3]
    for path in some:
        try:
            height, width = read_array(path).shape[:2]
        except UserError:
            continue
        return bool(width == 2 * height)
    return False


def check_pairs(root: Path) -> Findings:
    """Check every pair of a folder.

    Raises:
        UserError: The folder is not laid out as pairs.
    """
    layout = find_layout(root)
    if layout is None:
        raise UserError(f"{root} holds no pairs; {EXPECTED}.")
    found = Findings("pairs", LAYOUTS[layout], mixed_channels=frozenset({1, 3}))
    for split in SPLITS:
        folders = sides(root, layout, split)
        found.samples[split] = 0
        if not any(folder.is_dir() for folder in folders):
            continue
        if len(folders) == 1:
            pairs: list[tuple[Path, ...]] = [(path,) for path in pictures_in(folders[0])]
        else:
            matches = match(*folders)
            pairs = [*matches.pairs]
            for paths, other in ((matches.only_a, folders[1]), (matches.only_b, folders[0])):
                found.errors += [Fault(str(p), f"{p} has no single partner in {other}.") for p in paths]
        examine(found, split, pairs, _facts, lambda files: files)
        found.notes += left_out(folders, PICTURE_SUFFIXES)
    require_training(found, root, EXPECTED)
    return found


def _facts(files: tuple[Path, ...]) -> list[Facts]:
    both = read_pair(files)
    return [picture_facts(files[i % len(files)], "AB"[i], values) for i, values in enumerate(both)]


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
