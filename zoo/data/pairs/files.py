"""How folders lay pairs of pictures out, and reading a pair; :mod:`zoo.data.pairs` makes batches of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from zoo.data.base import Split
from zoo.data.checks import Facts, Fault, Findings, examine, left_out, picture_facts, require_training
from zoo.errors import UserError
from zoo.files.pictures import PICTURE_SUFFIXES, read_array

Layout = Literal["halves", "folders", "suffixes"]
Pixels = np.ndarray[Any, Any]

LAYOUTS: dict[Layout, str] = {
    "halves": "train/x.jpg with A in the left half and B in the right",
    "folders": "A/train/x.png with B/train/x.png of the same name",
    "suffixes": "trainA/x.png with trainB/x.png of the same name",
}
EXPECTED = f"expected {'; or '.join(LAYOUTS.values())} (and the same for val and test)"


def read_pair(files: tuple[Path, ...]) -> tuple[Pixels, Pixels]:
    """A and B (H, W, C) in their files' own values.

    Raises:
        UserError: A file is unreadable, cannot be cut into halves, or the two differ in size.
    """
    if len(files) == 1:
        both = read_array(files[0])
        width = both.shape[1]
        if width % 2:
            raise UserError(
                f"{files[0]} is {width} pixels wide, which has no halves; give A and B the same width."
            )
        return both[:, : width // 2], both[:, width // 2 :]
    a, b = map(read_array, files)
    if a.shape[:2] != b.shape[:2]:
        raise UserError(
            f"{files[0]} is {a.shape[1]} x {a.shape[0]} pixels but {files[1]} {b.shape[1]} x {b.shape[0]}; "
            "bring both to one size."
        )
    return a, b


@dataclass(frozen=True)
class Matches:
    """What two folders hold, matched by name without suffix.

    Args:
        pairs: Files of A and B.
        only_a: Files without a partner in B, or whose name comes twice.
        only_b: Likewise.
    """

    pairs: list[tuple[Path, ...]]
    only_a: list[Path]
    only_b: list[Path]


def looks_like_pairs(root: Path) -> bool:
    """Whether a folder is laid out as pairs; side-by-side pictures are twice as wide as high."""
    layout = find_layout(root)
    if layout != "halves":
        return layout is not None
    some = [p for split in get_args(Split) if (root / split).is_dir() for p in pictures_in(root / split)][:3]
    for path in some:
        try:
            height, width = read_array(path).shape[:2]
        except UserError:
            continue
        return bool(width == 2 * height)
    return False


def check_pairs(root: Path) -> Findings:
    """Look at every pair of a folder.

    Raises:
        UserError: The folder is not laid out as pairs.
    """
    layout = find_layout(root)
    if layout is None:
        raise UserError(f"{root} holds no pairs; {EXPECTED}.")
    found = Findings("pairs", LAYOUTS[layout], mixed_channels=frozenset({1, 3}))
    for split in get_args(Split):
        folders = sides(root, layout, split)
        found.samples[split] = 0
        if not any(folder.is_dir() for folder in folders):
            continue
        if len(folders) == 1:
            pairs: list[tuple[Path, ...]] = [(path,) for path in pictures_in(folders[0])]
        else:
            matches = match(*folders)
            pairs = matches.pairs
            for paths, other in ((matches.only_a, folders[1]), (matches.only_b, folders[0])):
                found.errors += [Fault(str(p), f"{p} has no single partner in {other}.") for p in paths]
        examine(found, split, pairs, _look)
        found.notes += left_out(folders, PICTURE_SUFFIXES)
    require_training(found, root, EXPECTED)
    return found


def _look(files: tuple[Path, ...]) -> list[Facts] | Fault:
    try:
        both = read_pair(files)
    except UserError as error:
        return Fault(str(files[-1] if str(files[-1]) in str(error) else files[0]), str(error))
    return [picture_facts(files[i % len(files)], "AB"[i], values) for i, values in enumerate(both)]


def find_layout(root: Path) -> Layout | None:
    """How a folder lays its pairs out; None where it holds none."""
    if (root / "A").is_dir() and (root / "B").is_dir():
        return "folders"
    if (root / "trainA").is_dir() or (root / "testA").is_dir():
        return "suffixes"
    return "halves" if any((root / split).is_dir() for split in get_args(Split)) else None


def sides(root: Path, layout: Layout, split: Split) -> tuple[Path, ...]:
    """The one folder, or the folders of A and B, that hold a split."""
    if layout == "halves":
        return (root / split,)
    if layout == "folders":
        return root / "A" / split, root / "B" / split
    return root / f"{split}A", root / f"{split}B"


def find_pairs(root: Path, layout: Layout, split: Split) -> list[tuple[Path, ...]] | None:
    """The files of a split's pairs in the order of their names; None where the split's folders do not exist.

    Raises:
        UserError: A picture has no partner, or two have one name.
    """
    folders = sides(root, layout, split)
    if not any(folder.is_dir() for folder in folders):
        return None
    if len(folders) == 1:
        return [(path,) for path in pictures_in(folders[0])]
    found = match(*folders)
    lonely = [
        f"{len(paths)} of {folder} have no single partner ({_some(paths)})"
        for folder, paths in zip(folders, (found.only_a, found.only_b), strict=True)
        if paths
    ]
    if lonely:
        raise UserError(f"{' and '.join(lonely)}; give each picture of A one of the same name in B.")
    return found.pairs


def match(folder_a: Path, folder_b: Path) -> Matches:
    """Match the pictures of two folders by name without suffix; a folder that does not exist is empty."""
    named: list[dict[str, list[Path]]] = []
    for folder in (folder_a, folder_b):
        names: dict[str, list[Path]] = {}
        for path in pictures_in(folder) if folder.is_dir() else []:
            names.setdefault(path.stem, []).append(path)
        named.append(names)
    a, b = named
    good = {stem for stem in a if len(a[stem]) == 1 and len(b.get(stem, [])) == 1}
    lonely = [[p for stem, paths in names.items() if stem not in good for p in paths] for names in named]
    return Matches([(a[stem][0], b[stem][0]) for stem in sorted(good)], *lonely)


def pictures_in(folder: Path) -> list[Path]:
    """The picture files of a folder by name; hidden ones are left out."""
    return sorted(p for p in folder.iterdir() if is_picture(p))


def is_picture(path: Path) -> bool:
    """Whether a file's name says that it is a picture."""
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _some(paths: list[Path]) -> str:
    return ", ".join(path.name for path in paths[:10]) + (", …" if len(paths) > 10 else "")
