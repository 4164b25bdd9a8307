"""Reading captions: a table, JSON lines, or a text file beside each picture; every fault with file and line.

Nothing here decodes a picture. Faults are collected, not raised, so that a check can name them all.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from zoo.data.base import Split
from zoo.data.checks import Fault
from zoo.data.pairs.files import is_picture, pictures_in
from zoo.files.pictures import PICTURE_SUFFIXES

PICTURE = ("image", "file_name")  # the names of a column, the usual one first
CAPTION = ("caption", "text", "captions")
TABLES = ("captions.csv", "captions.jsonl", "metadata.csv", "metadata.jsonl")
EXPECTED = (
    "expected captions.csv or captions.jsonl beside the pictures, or a .txt of the same name beside each "
    "picture, in the folder or in its folders train, val and test"
)
Row = dict[str, Any]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Captioned:
    """One picture with its captions.

    Args:
        picture: The file.
        captions: At least one, each of one line.
        category: Its class, where classes are known.
        split: Where the data says it.
        box: The part of the picture to take: left, top, right, bottom in pixels; what is outside is left out.
    """

    picture: Path
    captions: tuple[str, ...]
    category: str | None = None
    split: Split | None = None
    box: Box | None = None


@dataclass
class Found:
    """What a folder holds.

    Args:
        layout: In words.
        records: In the order of their names.
        faults: What training would stumble over.
        notes: What one should know.
        files: Those that captions were read from.
    """

    layout: str = ""
    records: list[Captioned] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    notes: list[Fault] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def fault(self, file: Path, text: str) -> None:
        """Note what is wrong with a file."""
        self.faults.append(Fault(str(file), text))

    def add(self, other: Found) -> None:
        """Take over what another folder holds."""
        self.layout = other.layout
        self.records += other.records
        self.faults += other.faults
        self.notes += other.notes
        self.files += other.files


def read_folder(root: Path) -> Found:
    """The captioned pictures of a folder, or of its folders ``train``, ``val`` and ``test``."""
    found, splits = Found(), [split for split in get_args(Split) if (root / split).is_dir()]
    for split in splits:
        part = _read_one(root / split)
        part.records = [replace(record, split=split) for record in part.records]
        found.add(part)
    if splits:
        found.layout += f" in folders {', '.join(splits)}"
        return found
    return _read_one(root)


def looks_captioned(root: Path) -> bool:
    """Whether a folder looks like one of these forms, judged by a few names."""
    for folder in [root, *(root / split for split in get_args(Split))]:
        for table in (folder / name for name in TABLES):
            if table.suffix == ".jsonl" and table.is_file():
                return True
            if all(set(names) & set(header_of(table)) for names in (PICTURE, CAPTION)):
                return True
        some = islice((p for p in folder.rglob("*.txt") if not p.name.startswith(".")), 20)
        if any(text.with_suffix(suffix).is_file() for text in some for suffix in PICTURE_SUFFIXES):
            return True
    return False


def _read_one(folder: Path) -> Found:
    tables = [folder / name for name in TABLES if (folder / name).is_file()]
    if len(tables) > 1:
        found = Found()
        found.fault(tables[1], f"{folder} has both {tables[0].name} and {tables[1].name}; keep one of them.")
        return found
    if tables:
        return read_table(tables[0])
    return read_texts(folder / "images" if (folder / "images").is_dir() else folder)


# ---------------------------------------------------------------------------------------------------- tables


@dataclass(frozen=True)
class Table:
    """How to read a table of captions.

    Args:
        pictures: A folder beside the table where pictures are looked for, besides the table's own.
        columns: What a row must have, each with the names that it may have; the first is the picture.
        category: Names of the column that holds the class; none is needed.
        captions: Makes the captions of a row, some of which may be the same or empty.
    """

    pictures: str = "images"
    columns: tuple[tuple[str, ...], ...] = (PICTURE, CAPTION)
    category: tuple[str, ...] = ("class", "category")
    captions: Callable[[Row], Any] = lambda row: _cell(row, CAPTION)


def read_table(file: Path, table: Table = Table()) -> Found:
    """The captioned pictures that a ``.csv`` or ``.jsonl`` names; a picture may stand in several rows."""
    found = Found(layout=f"pictures with {file.name}", files=[file])
    rows = list(csv_rows(file, found) if file.suffix == ".csv" else json_rows(file, found))
    if rows and file.suffix == ".csv" and not _has_columns(file, list(rows[0][1]), table, found):
        return found
    merged: dict[Path, Captioned] = {}
    for line, row in rows:
        record = _record(file, line, row, table, found)
        if record is None:
            continue
        before = merged.setdefault(record.picture, record)
        if (before.category, before.split) != (record.category, record.split):
            text = (
                f"{file} line {line} gives {record.picture.name} another class or split than before; mend it."
            )
            found.fault(file, text)
        texts = dict.fromkeys((*before.captions, *record.captions))
        merged[record.picture] = replace(before, captions=tuple(texts))
    found.records = sorted(merged.values(), key=lambda record: record.picture)
    folders = {record.picture.parent for record in found.records}
    lonely = [p for folder in sorted(folders) for p in pictures_in(folder) if p not in merged]
    found.notes += [Fault(str(p), f"{p} is left out: {file} has no caption for it.") for p in lonely]
    return found


def _record(file: Path, line: int, row: Row, table: Table, found: Found) -> Captioned | None:
    """One row; None, and a fault, where something is wrong with it."""
    here = f"{file} line {line}"
    name = str(_cell(row, table.columns[0]) or "").strip()
    picture = next(
        (p for p in (file.parent / name, file.parent / table.pictures / name) if p.is_file()), None
    )
    captions = table.captions(row)
    captions = [text for text in (captions if isinstance(captions, list) else [captions]) if text != ""]
    category, split = _cell(row, table.category), row.get("split") or None
    fault = ""
    if not name:
        fault = f"names no picture; fill its {table.columns[0][0]}."
    elif Path(name).is_absolute() or ".." in Path(name).parts:
        fault = f"names {name}, which leads out of the folder; give a path inside."
    elif picture is None:
        fault = f"names {name}, which is not there; put it into {file.parent} or delete the line."
    elif not captions or not all(isinstance(text, str) and text.strip() for text in captions):
        fault = f"has an empty caption for {name}; write one or delete the line."
    elif split not in (None, *get_args(Split)):
        fault = f"has the split {split}; write train, val or test."
    if fault or picture is None:
        found.fault(file, f"{here} {fault}")
        return None
    return Captioned(picture, _tidy(captions), None if category in (None, "") else str(category), split)


def _has_columns(file: Path, header: list[str], table: Table, found: Found) -> bool:
    missing = [names for names in table.columns if not set(names) & set(header)]
    for names in missing:
        text = f"has no column {' or '.join(names)}, only {', '.join(header)}; name it in the first line."
        found.fault(file, f"{file} {text}")
    return not missing


def csv_rows(table: Path, found: Found) -> Iterator[tuple[int, Row]]:
    """The rows of a CSV file with their line numbers; faults go into ``found``."""
    content = decoded(table, found)
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
                continue
            if len(cells) != len(header):
                text = f"{table} line {line} has {len(cells)} cells where the first line has {len(header)}"
                found.fault(table, f"{text}; put text that holds a comma in quotes.")
                continue
            yield line, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        found.fault(table, f"{table} line {start} is not CSV ({error}); mend its quotes.")
    if header is None:
        found.fault(table, f"{table} is empty; name the columns image and caption in its first line.")


def json_rows(table: Path, found: Found) -> Iterator[tuple[int, Row]]:
    """The objects of a JSON-lines file with their line numbers; faults go into ``found``."""
    text = decoded(table, found)
    for line, content in enumerate((text or "").split("\n"), 1):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except ValueError as error:
            found.fault(table, f"{table} line {line} is not JSON ({error}); mend it.")
            continue
        if not isinstance(row, dict):
            found.fault(
                table, f'{table} line {line} is no object; write {{"image": "x.png", "caption": "…"}}.'
            )
            continue
        yield line, row


def header_of(table: Path) -> list[str]:
    """The column names of a CSV file; none where it cannot be read."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            return [cell.strip() for cell in next(csv.reader(file), [])]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def decoded(file: Path, found: Found) -> str | None:
    """A text file's content; None, and a fault, where it is not UTF-8 or cannot be read."""
    try:
        data = file.read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        found.fault(file, f"{file} line {line} is not UTF-8; save the file as UTF-8.")
    except OSError as error:
        found.fault(file, f"{file} cannot be read ({error.strerror or error}); check it.")
    return None


def _cell(row: Row, names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if name in row), None)


# ----------------------------------------------------------------------------------------------------- texts


def read_texts(pictures: Path, texts: Path | None = None) -> Found:
    """Pictures with text files of the same names, one caption a line; a folder in between is the class.

    Args:
        pictures: The folder of pictures.
        texts: The folder of text files where it is another; it has the same folders.
    """
    found = Found(layout="pictures with a .txt each")
    texts = texts or pictures
    taken: dict[Path, Path] = {}
    for picture in sorted(p for p in pictures.rglob("*") if is_picture(p)):
        inside = picture.relative_to(pictures)
        text = texts / inside.with_suffix(".txt")
        if text in taken:
            found.fault(picture, f"{picture} and {taken[text]} share {text.name}; rename one of them.")
            continue
        taken[text] = picture
        if not text.is_file():
            found.fault(
                picture, f"{picture} has no caption: {text} is missing; write it, one caption a line."
            )
            continue
        captions = text_captions(text, found)
        if captions:
            category = inside.parent.as_posix() if inside.parent != Path() else None
            found.records.append(Captioned(picture, captions, category))
    ignored = (".", "README", "LICENSE")
    for text in sorted(texts.rglob("*.txt")):
        if text not in taken and not text.name.startswith(ignored):
            found.fault(
                text, f"{text} has captions for a picture that is not there; add it or delete the file."
            )
    return found


def text_captions(text: Path, found: Found) -> tuple[str, ...]:
    """The lines of a text file that hold words; none, and a fault, where there are none."""
    content = decoded(text, found)
    found.files.append(text)
    if content is None:
        return ()
    captions = _tidy([line for line in content.split("\n") if line.strip()])
    if not captions:
        found.fault(text, f"{text} holds an empty caption; write one caption a line.")
    return captions


def _tidy(captions: list[str]) -> tuple[str, ...]:
    """Captions of one line each, none twice."""
    return tuple(dict.fromkeys(" ".join(caption.split()) for caption in captions))
