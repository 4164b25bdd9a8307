"""Folders of samples: finding files, dividing them into splits, matching them by name, reading tables."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar, get_args

from zoo.data.base import Split
from zoo.errors import UsageError, UserError, first_few
from zoo.files.pictures import PICTURE_SUFFIXES
from zoo.files.reading import opened, read_bytes

Item = TypeVar("Item")
SPLITS: tuple[Split, ...] = get_args(Split)


def find_root(root: str | Path) -> Path:
    """The folder of a data set; a relative one that does not exist is looked for below ``$ZOO_DATA``."""
    root = Path(root)
    common = os.environ.get("ZOO_DATA")
    if common and not root.is_absolute() and not root.exists():
        for below in (Path(common) / root, Path(common) / root.name):
            if below.exists():
                return below
    return root


def folder_fingerprint(files: Iterable[Path], root: Path) -> str:
    """SHA-256 of names (relative to ``root``) and sizes; independent of where the folder is."""
    lines = sorted(f"{path.relative_to(root).as_posix()} {path.stat().st_size}" for path in files)
    return hashlib.sha256(os.fsencode("\n".join(lines))).hexdigest()


def unusable(root: Path, state: str, advice: str) -> UserError:
    """The error for a folder that does not exist or, if it does, is in the given state ("holds no pairs")."""
    return UserError(f"The folder {root} {state if root.is_dir() else 'does not exist'}; {advice}.")


def is_picture(path: Path) -> bool:
    """Whether a file is a picture by its name, and not hidden."""
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def pictures_in(folder: Path) -> list[Path]:
    """The picture files directly in a folder, by name; none if it does not exist."""
    return sorted(path for path in folder.iterdir() if is_picture(path)) if folder.is_dir() else []


def pictures_below(folder: Path) -> list[Path]:
    """The picture files of a folder and of its visible subfolders, by path; none if it does not exist."""
    found = (path for path in folder.rglob("*") if is_picture(path)) if folder.is_dir() else ()
    return sorted(p for p in found if not any(part[0] == "." for part in p.relative_to(folder).parts))


def folders_in(folder: Path) -> list[Path]:
    """The visible folders directly in a folder, by name; none if it does not exist."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in found if path.is_dir() and not path.name.startswith("."))


def require_hold_out(hold_out: int) -> None:
    """Refuse a ``hold_out`` that would leave nothing for training.

    Raises:
        UserError: ``hold_out`` is neither 0 nor at least 3.
    """
    if hold_out < 3 and hold_out != 0:
        raise UsageError(f"data.hold_out is {hold_out}; give 0 or at least 3, 10 keeps a tenth.")


def split_of(place: int, hold_out: int, count: int) -> Split:
    """The split of the item at a place: of so many, the first is for test and the second for validation.

    With a ``hold_out`` of 0, and of fewer than three items in all, every item is for training.
    """
    held: dict[int, Split] = {0: "test", 1: "val"}
    return held.get(place % hold_out, "train") if hold_out and count > 2 else "train"


def of_split(items: Iterable[Item], split: Split, hold_out: int) -> list[Item]:
    """The items of a split by their place, as :func:`split_of` says."""
    found = list(items)
    return [item for place, item in enumerate(found) if split_of(place, hold_out, len(found)) == split]


def split_pictures(folder: Path, split: Split, hold_out: int) -> list[Path]:
    """The pictures of a split: from its own folder if there is a folder ``train``, else held out by place."""
    if (folder / "train").is_dir():
        return pictures_below(folder / split)
    return of_split(pictures_below(folder), split, hold_out)


class Matches(NamedTuple):
    """What two folders hold, matched by name without suffix.

    Args:
        pairs: Files of both folders.
        only_a: Files of the first without a partner in the second, or whose name is not unique.
        only_b: The same for the second.
    """

    pairs: list[tuple[Path, Path]]
    only_a: list[Path]
    only_b: list[Path]


def match(folder_a: Path, folder_b: Path) -> Matches:
    """Match the pictures of two folders by name without suffix; a folder that does not exist is empty."""
    named: list[dict[str, list[Path]]] = []
    for folder in (folder_a, folder_b):
        names: dict[str, list[Path]] = {}
        for path in pictures_in(folder):
            names.setdefault(path.stem, []).append(path)
        named.append(names)
    a, b = named
    good = {stem for stem in a if len(a[stem]) == 1 and len(b.get(stem, [])) == 1}
    lonely = [[p for stem, paths in names.items() if stem not in good for p in paths] for names in named]
    return Matches([(a[stem][0], b[stem][0]) for stem in sorted(good)], *lonely)


def partners(folder_a: Path, folder_b: Path) -> list[tuple[Path, Path]]:
    """The pictures of two folders, paired by name without suffix.

    Raises:
        UserError: A picture has no partner, or two have one name.
    """
    found = match(folder_a, folder_b)
    lonely = [
        f"{len(paths)} of {folder} have no single partner ({first_few([path.name for path in paths])})"
        for folder, paths in ((folder_a, found.only_a), (folder_b, found.only_b))
        if paths
    ]
    if lonely:
        raise UserError(
            f"{' and '.join(lonely)}; give each file one of the same name in the other of {folder_a} and "
            f"{folder_b}."
        )
    return found.pairs


def decoded(file: Path, fault: Callable[[str], None]) -> str | None:
    """The content of a UTF-8 file; if it cannot be read, None after a call of ``fault`` with the reason."""
    try:
        data = read_bytes(file)
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        fault(f"{file} line {line} is not UTF-8; save the file as UTF-8.")
    except UserError as error:
        fault(str(error))
    return None


def header_of(table: Path) -> list[str]:
    """The column names of a CSV file; none if it cannot be read."""
    try:
        with opened(table) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
            return [cell.strip() for cell in next(csv.reader(text), [])]
    except (UserError, UnicodeDecodeError, csv.Error):
        return []


def csv_rows(table: Path, fault: Callable[[str], None]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV file as line number and cells by column.

    Args:
        table: The file; its first line names the columns.
        fault: Called with a sentence for each fault; the faulty row is left out.
    """
    content = decoded(table, fault)
    if content is None:
        return
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    header: list[str] | None = None
    start = 1
    try:
        for cells in reader:
            line, start = start, reader.line_num + 1
            if not cells:
                continue
            if header is None:
                header = [cell.strip() for cell in cells]
            elif len(cells) != len(header):
                text = f"{table} line {line} has {len(cells)} cells where the first line has {len(header)}"
                fault(f"{text}; put text that holds a comma in quotes.")
            else:
                yield line, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        fault(f"{table} line {start} is not CSV ({error}); check its quoting.")
    if header is None:
        fault(f"{table} is empty; name the columns in its first line.")
