"""Reading captions: a table, JSON lines, or a text file beside each picture; faults name file and line.

Nothing here decodes a picture. Faults are collected, not raised, so that a check can report them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from os.path import isfile
from pathlib import Path
from typing import Any

from zoo.data.base import Split
from zoo.data.checks import Fault
from zoo.data.folders import SPLITS, csv_rows, decoded, is_picture, pictures_in
from zoo.errors import UserError
from zoo.files.schemas import KEYS, parse

PICTURE = ("image", "file_name")  # accepted names of a column, the usual one first
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
        captions: At least one caption, each of one line.
        category: Its class, if classes are known.
        split: Its split, if the data states one.
        box: Left, top, right and bottom of the crop in pixels; parts outside of the picture are left out.
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
        layout: Description of the layout.
        records: Captioned pictures in the order of their names.
        faults: Faults that stop training.
        notes: Things worth knowing.
        files: Files that captions were read from.
    """

    layout: str = ""
    records: list[Captioned] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    notes: list[Fault] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def fault(self, file: Path, text: str) -> None:
        """Add a fault of a file."""
        self.faults.append(Fault(str(file), text))

    def add(self, other: Found) -> None:
        """Add all that another folder holds."""
        self.layout = other.layout
        self.records += other.records
        self.faults += other.faults
        self.notes += other.notes
        self.files += other.files


def read_folder(root: Path) -> Found:
    """The captioned pictures of a folder, or of its folders ``train``, ``val`` and ``test``."""
    found, splits = Found(), [split for split in SPLITS if (root / split).is_dir()]
    for split in splits:
        part = _read_one(root / split)
        part.records = [replace(record, split=split) for record in part.records]
        found.add(part)
    if splits:
        found.layout += f" in folders {', '.join(splits)}"
        return found
    return _read_one(root)


def _read_one(folder: Path) -> Found:
    tables = [folder / name for name in TABLES if (folder / name).is_file()]
    if len(tables) > 1:
        found = Found()
        found.fault(tables[1], f"{folder} has both {tables[0].name} and {tables[1].name}; keep one of them.")
        return found
    if tables:
        return read_table(tables[0])
    return read_texts(folder / "images" if (folder / "images").is_dir() else folder)


@dataclass(frozen=True)
class Table:
    """How to read a table of captions.

    Args:
        pictures: A folder beside the table where pictures are looked for, besides the table's own.
        columns: Required columns, each with its accepted names; the first is the picture.
        category: Accepted names of the column of the class, which is optional.
        captions: Makes the captions of a row; duplicates and empty ones are allowed.
    """

    pictures: str = "images"
    columns: tuple[tuple[str, ...], ...] = (PICTURE, CAPTION)
    category: tuple[str, ...] = ("class", "category")
    captions: Callable[[Row], Any] = lambda row: _cell(row, CAPTION)


def read_table(file: Path, table: Table = Table()) -> Found:
    """The captioned pictures that a ``.csv`` or ``.jsonl`` names; a picture may stand in several rows."""
    found = Found(layout=f"pictures with {file.name}", files=[file])
    fault = partial(found.fault, file)
    rows: list[tuple[int, Row]] = [
        *(csv_rows(file, fault) if file.suffix == ".csv" else json_rows(file, fault))
    ]
    if rows and file.suffix == ".csv" and not _has_columns(file, list(rows[0][1]), table, found):
        return found
    merged: dict[Path, Captioned] = {}
    for line, row in rows:
        record = _record(file, line, row, table, found)
        if record is None:
            continue
        before = merged.setdefault(record.picture, record)
        if (before.category, before.split) != (record.category, record.split):
            text = f"{file} line {line} gives {record.picture.name} another class or split than before"
            fault(f"{text}; correct it.")
        texts = dict.fromkeys((*before.captions, *record.captions))
        merged[record.picture] = replace(before, captions=tuple(texts))
    found.records = sorted(merged.values(), key=lambda record: record.picture)
    folders = {record.picture.parent for record in found.records}
    lonely = [p for folder in sorted(folders) for p in pictures_in(folder) if p not in merged]
    found.notes += [Fault(str(p), f"{p} is left out: {file} has no caption for it.") for p in lonely]
    return found


def _record(file: Path, line: int, row: Row, table: Table, found: Found) -> Captioned | None:
    """One row; None, and a fault, if something is wrong with it."""
    here = f"{file} line {line}"
    name = str(_cell(row, table.columns[0]) or "").strip()
    picture = next((p for p in (file.parent / name, file.parent / table.pictures / name) if isfile(p)), None)
    captions = table.captions(row)
    captions = [text for text in (captions if isinstance(captions, list) else [captions]) if text != ""]
    category, split = _cell(row, table.category), row.get("split") or None
    fault = ""
    if not name:
        fault = f"names no picture; fill its {table.columns[0][0]}."
    elif Path(name).is_absolute() or ".." in Path(name).parts:
        fault = f"names {name}, which points outside of the folder; give a path inside."
    elif picture is None:
        fault = f"names {name}, which is not there; put it into {file.parent} or delete the line."
    elif not captions or not all(isinstance(text, str) and text.strip() for text in captions):
        fault = f"has an empty caption for {name}; write one or delete the line."
    elif split not in (None, *SPLITS):
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


def json_rows(table: Path, fault: Callable[[str], None]) -> Iterator[tuple[int, Row]]:
    """The objects of a JSON-lines file with their line numbers; ``fault`` is called for each faulty line."""
    for line, content in enumerate((decoded(table, fault) or "").split("\n"), 1):
        if not content.strip():
            continue
        try:
            yield line, parse(content, KEYS, f"{table} line {line}")
        except UserError as error:
            fault(str(error))


def _cell(row: Row, names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if name in row), None)


def read_texts(pictures: Path, texts: Path | None = None) -> Found:
    """Pictures with text files of the same names, one caption per line; a folder in between is the class.

    Args:
        pictures: The folder of pictures.
        texts: The folder of text files, if it is another; it has the same subfolders.
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
                picture, f"{picture} has no caption: {text} is missing; write it, one caption per line."
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
    """The non-blank lines of a text file; none, and a fault, if there are none."""
    content = decoded(text, partial(found.fault, text))
    found.files.append(text)
    if content is None:
        return ()
    captions = _tidy([line for line in content.split("\n") if line.strip()])
    if not captions:
        found.fault(text, f"{text} holds an empty caption; write one caption per line.")
    return captions


def _tidy(captions: list[str]) -> tuple[str, ...]:
    """Captions as one line each, without duplicates."""
    return tuple(dict.fromkeys(" ".join(caption.split()) for caption in captions))
