"""The index of a folder of frontal and turned faces; :mod:`zoo.data.frontal` makes batches of it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from os.path import isfile
from pathlib import Path

from zoo.data.base import Split
from zoo.data.checks import Facts
from zoo.data.folders import SPLITS, csv_rows, header_of
from zoo.data.pixels import look_opaque
from zoo.errors import UserError
from zoo.seeds import mix

INDEX = "index.csv"
EXPECTED = f"give it an {INDEX} with the columns file, identity and yaw"
POSES = {"forward": 0.0, "left": -45.0, "right": 45.0}  # CMU's words; the degrees are judged by eye


@dataclass(frozen=True)
class View:
    """One row of an index.

    Args:
        path: The picture.
        identity: Identity of the person.
        yaw: Yaw in degrees.
        labels: Values of all other columns.
        landmarks: (L, 2) in pixels of the picture, or None.
        split: The split that the index states, or None.
    """

    path: Path
    identity: str
    yaw: float
    labels: tuple[str, ...]
    landmarks: tuple[tuple[float, float], ...] | None
    split: str | None


def look(view: View) -> list[Facts]:
    """The facts of a view's picture.

    Raises:
        UserError: The picture is unreadable, or most landmarks lie outside of it.
    """
    facts = look_opaque(view.path, "image")
    if view.landmarks is None:
        return facts
    width, height = facts[0].size
    inside = sum(
        -0.25 * width <= x <= 1.25 * width and -0.25 * height <= y <= 1.25 * height for x, y in view.landmarks
    )
    if 2 * inside < len(view.landmarks):
        raise UserError(f"Most landmarks of {view.path} lie outside of it; give pixels of the picture.")
    return facts


def read_index(root: Path) -> list[View]:
    """All views of a folder, in the order of its index; those with an unknown pose are left out.

    Raises:
        UserError: The index is missing, lacks a column, or a row is wrong; names the row.
    """
    path = root / INDEX
    if not path.is_file():
        raise UserError(f"There is no {path}; {EXPECTED}.")
    rows = list(csv_rows(path, _refuse))
    if not rows:
        raise UserError(f"{path} names no pictures; {EXPECTED}.")
    columns = header_of(path)
    file_column = _one_of(columns, ("file", "image"), path)
    who_column = _one_of(columns, ("identity", "person"), path)
    yaw_column = _one_of(columns, ("yaw", "pose"), path)
    points = _landmark_columns(columns, path)
    taken = {file_column, who_column, yaw_column, "split", *(name for pair in points for name in pair)}
    labels = [name for name in columns if name not in taken]
    views = []
    for line, row in rows:
        if yaw_column == "pose" and row[yaw_column] not in POSES:
            continue
        yaw = POSES[row["pose"]] if yaw_column == "pose" else _number(row["yaw"], "yaw", line, path)
        landmarks = tuple((_number(row[x], x, line, path), _number(row[y], y, line, path)) for x, y in points)
        picture = root / row[file_column]
        if not isfile(picture):  # Path.is_file raises for names that are too long
            picture = root / "images" / row[file_column]
        if not isfile(picture):
            raise UserError(
                f"Line {line} of {path} names {row[file_column]}, which is not there; correct the name."
            )
        views.append(
            View(
                path=picture,
                identity=row[who_column],
                yaw=yaw,
                labels=tuple(row[name] for name in labels),
                landmarks=landmarks or None,
                split=row.get("split"),
            )
        )
    return views


def _refuse(fault: str) -> None:
    raise UserError(fault)


def _one_of(columns: Sequence[str], names: tuple[str, ...], path: Path) -> str:
    for name in names:
        if name in columns:
            return name
    raise UserError(f"{path} has no column {names[0]}; {EXPECTED}.")


def _landmark_columns(columns: Sequence[str], path: Path) -> list[tuple[str, str]]:
    """Columns of x and y by landmark: ``x0,y0`` or ``l0_x,l0_y``."""
    found = [name for name in columns if re.fullmatch(r"x\d+|l\d+_x", name)]
    pairs = [(name, f"y{name[1:]}" if name[0] == "x" else f"{name[:-1]}y") for name in found]
    for x, y in pairs:
        if y not in columns:
            raise UserError(f"{path} has a column {x} but no {y}; give both of each landmark.")
    if len(pairs) not in (0, 5, 68):
        raise UserError(
            f"{path} gives {len(pairs)} landmarks; give five (eyes, nose tip, corners of the mouth), 68, or "
            "none."
        )
    return sorted(pairs, key=lambda pair: int(re.findall(r"\d+", pair[0])[0]))


def _number(text: str, column: str, line: int, path: Path) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"Line {line} of {path} has {text!r} as {column}; give a number.")
    return value


def deal_out(views: list[View], root: Path) -> dict[Split, list[str]]:
    """The people of each split.

    Raises:
        UserError: A person is in two splits, a split has an unknown name, or people are fewer than three.
    """
    stated: dict[str, str | None] = {}
    for view in views:
        if stated.setdefault(view.identity, view.split) != view.split:
            raise UserError(f"{root / INDEX} has {view.identity} in two splits; give each person one.")
    wrong = [split for split in stated.values() if split not in (None, *SPLITS)]
    if wrong:
        raise UserError(f"{root / INDEX} has a split {wrong[0]!r}; give train, val or test.")
    people = sorted(stated, key=lambda who: (len(who), who) if who.isdigit() else (0, who))
    if all(split is None for split in stated.values()):
        if len(people) < 3:
            raise UserError(
                f"{root / INDEX} has {len(people)} people, too few to keep some for val and test; give three "
                "or more."
            )
        mixed = sorted(people, key=lambda who: mix("deal out", who))
        few = max(1, round(len(people) / 10))
        for place, who in enumerate(mixed):
            stated[who] = "test" if place < few else "val" if place < 2 * few else "train"
    return {name: [who for who in people if stated[who] == name] for name in SPLITS}


def pair_up(views: list[View], root: Path, frontal_yaw: float) -> list[tuple[View, View]]:
    """Pair each turned view with the frontal one of the same person that shares most labels.

    Raises:
        UserError: A person with turned views has no frontal one.
    """
    frontal: dict[str, list[View]] = {}
    for view in views:
        if abs(view.yaw) < frontal_yaw:
            frontal.setdefault(view.identity, []).append(view)
    pairs = []
    for view in views:
        if abs(view.yaw) < frontal_yaw:
            continue
        if view.identity not in frontal:
            raise UserError(
                f"{root / INDEX} has no frontal picture (yaw under {frontal_yaw}) of {view.identity}; add "
                "one or remove this person."
            )
        pairs.append((view, max(frontal[view.identity], key=lambda other: _likeness(view, other))))
    return pairs


def _likeness(view: View, other: View) -> tuple[int, float]:
    same = sum(a == b for a, b in zip(view.labels, other.labels, strict=True))
    return same, -abs(other.yaw)
