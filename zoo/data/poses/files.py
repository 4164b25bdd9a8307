"""Layouts of pictures of people and of their keypoints; :mod:`zoo.data.poses` makes batches of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zoo.data.base import Split
from zoo.data.checks import Facts, Fault, picture_facts
from zoo.data.folders import SPLITS, csv_rows, decoded, header_of, pictures_below, split_of, unusable
from zoo.data.pixels import Pixels, planes, with_channels
from zoo.data.poses.skeletons import COCO, OPENPOSE, Array, Skeleton, to_openpose
from zoo.errors import UserError, first_few
from zoo.files.pictures import read_array
from zoo.files.reading import opened
from zoo.files.schemas import COCO_KEYPOINTS, NUMBERS, parse

EXPECTED = (
    "expected pictures in images/ and keypoints.csv (image, identity, nose_x, nose_y, …), or a CSV with the "
    "head name:keypoints_y:keypoints_x, or a COCO JSON with keypoints in its name"
)
MARKET = ("bounding_box_train", "bounding_box_test")
FOLDERS: dict[str, Split] = {  # folders of pictures that are splits
    **{split: split for split in SPLITS},
    MARKET[0]: "train",
    MARKET[1]: "test",
}
JUNK = ("-1", "0000")  # distractors and false boxes of Market-1501
FAR = 1e9  # pixels; no keypoint lies there
COLON_HEAD = "name:keypoints_y:keypoints_x"


class Person(NamedTuple):
    """One picture with its annotations.

    Args:
        path: The picture.
        identity: Identity of the person.
        keypoints: (K, 3): x and y in pixels from the centre of the first pixel, and 1 if known, else 0.
        split: The split that the files state, or None.
        size: Width and height of the picture that the files state, or None.
    """

    path: Path
    identity: str
    keypoints: Array
    split: Split | None
    size: tuple[int, int] | None = None


@dataclass
class People:
    """All that a folder holds.

    Args:
        root: The folder.
        people: Annotated pictures in the order of their paths.
        skeleton: Skeleton of their keypoints.
        sources: Files of keypoints.
        faults: Faults, each a sentence.
    """

    root: Path
    people: list[Person] = field(default_factory=list)
    skeleton: Skeleton = OPENPOSE
    sources: list[Path] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def fault(self, file: Path, text: str) -> None:
        """Add a fault of a file; ``text`` goes on after its name."""
        self.faults.append(Fault(str(file), f"{file} {text}."))

    def of_split(self, split: Split, hold_out: int) -> list[Person]:
        """The people of a split: as the files state, or else by identity.

        Args:
            split: Name of the split.
            hold_out: If the files state no splits, of so many identities the first is for test and the
                second for validation; 0 holds out none.
        """
        if any(person.split for person in self.people):
            return [person for person in self.people if (person.split or "train") == split]
        places = {name: k for k, name in enumerate(sorted({person.identity for person in self.people}))}
        splits = {name: split_of(place, hold_out, len(places)) for name, place in places.items()}
        return [person for person in self.people if splits[person.identity] == split]


class _Row(NamedTuple):
    """One picture's row in a file of keypoints."""

    image: str
    identity: str | None
    keypoints: Array
    size: tuple[int, int] | None = None


class _Table(NamedTuple):
    rows: list[_Row]
    skeleton: Skeleton


def looks_like_poses(root: Path) -> bool:
    """Whether a folder has a file of body keypoints, judged by names and headers; faces have no shoulders."""
    files = keypoint_files(root)
    return any(
        path.suffix.lower() == ".json" or "shoulder" in _head(path) or _head(path) == COLON_HEAD
        for path in files
    )


def keypoint_files(root: Path) -> list[Path]:
    """The files of keypoints directly in a folder and in its ``annotations``."""
    folders = [folder for folder in (root, root / "annotations") if folder.is_dir()]
    found = [path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()]
    return [
        path
        for path in found
        if (path.suffix.lower() == ".json" and "keypoint" in path.name.lower())
        or (path.suffix.lower() == ".csv" and _has_keypoints(path))
    ]


def _head(path: Path) -> str:
    """The first line without blanks; empty if it cannot be read."""
    try:
        with opened(path) as file:
            return file.readline(10_000).decode("utf-8-sig", "replace").strip().replace(" ", "")
    except UserError:
        return ""


def _has_keypoints(path: Path) -> bool:
    head = _head(path)
    columns = head.split(",")
    return head == COLON_HEAD or any(name.endswith("_x") and f"{name[:-2]}_y" in columns for name in columns)


def read_people(root: Path) -> People:
    """Read all files of keypoints and find their pictures; faults are collected, not raised.

    Raises:
        UserError: The folder does not exist or has no file of keypoints.
    """
    found = People(root, sources=keypoint_files(root) if root.is_dir() else [])
    if not found.sources:
        raise unusable(root, "has no file of keypoints", f"{EXPECTED}, or change data.root")
    market = (root / MARKET[0]).is_dir()
    base = root / "images" if (root / "images").is_dir() else root
    folders = [root / name for name in MARKET if (root / name).is_dir()] if market else [base]
    pictures = [path for folder in folders for path in pictures_below(folder)]
    places: dict[str, list[Path]] = defaultdict(list)
    for path in pictures:
        for name in {path.name, path.relative_to(base).as_posix(), path.relative_to(root).as_posix()}:
            places[name].append(path)

    known: dict[Path, Person] = {}
    first: Skeleton | None = None
    for source in found.sources:
        fault = partial(found.fault, source)
        table = _read(source, found)
        if table is None:
            continue
        if first is not None and table.skeleton != first:
            fault(f"has other points than {found.sources[0]}; keep one of them")
            continue
        first = found.skeleton = table.skeleton
        for row in table.rows:
            there = places.get(row.image, [])
            if len(there) != 1:
                state = "which does not exist" if not there else f"a name that {len(there)} pictures have"
                advice = "take the row out or add the picture" if not there else "write its path"
                where = " and ".join(map(str, folders))
                fault(f"has keypoints for {row.image}, {state} below {where}; {advice}")
                continue
            path = there[0]
            if path in known:
                fault(f"has keypoints for {row.image} twice; keep one row")
                continue
            folder = path.relative_to(base).parts[0] if path.parent != base else ""
            identity = row.identity or _identity(path, folders, base)
            if not (market and identity in JUNK):
                split = _split(source.stem) or FOLDERS.get(folder)
                known[path] = Person(path, identity, row.keypoints, split, row.size)
    found.people = [known[path] for path in sorted(known)]
    if not any(fault.file in map(str, found.sources) for fault in found.faults):
        found.faults += _unannotated(pictures, known, market)
    found.faults += _in_two_splits(found.people)
    return found


def _identity(path: Path, folders: list[Path], base: Path) -> str:
    """The name up to the first underscore, prefixed by the subfolders of the pictures' folder."""
    own = next((folder for folder in folders if folder != base and path.is_relative_to(folder)), base)
    parts = path.relative_to(own).parent.parts
    if parts and parts[0] in FOLDERS:
        parts = parts[1:]
    return "/".join((*parts, path.stem.split("_")[0]))


def _split(name: str) -> Split | None:
    words = re.split(r"[^a-z]+", name.lower())
    return next((split for split in SPLITS if split in words), None)


def _unannotated(pictures: list[Path], known: dict[Path, Person], market: bool) -> Iterator[Fault]:
    """A fault per folder in which only some pictures have keypoints."""
    used = {path.parent for path in known}
    lonely: dict[Path, list[str]] = defaultdict(list)
    for path in pictures:
        if path not in known and path.parent in used and not (market and path.stem.split("_")[0] in JUNK):
            lonely[path.parent].append(path.name)
    for folder, names in lonely.items():
        yield Fault(
            str(folder),
            f"{len(names)} of the pictures in {folder} have no keypoints ({first_few(names, 5)}); add rows "
            "for them or remove them.",
        )


def _in_two_splits(people: list[Person]) -> Iterator[Fault]:
    splits: dict[str, dict[Split, Person]] = defaultdict(dict)
    for person in people:
        if person.split:
            splits[person.identity].setdefault(person.split, person)
    for identity, where in splits.items():
        if len(where) > 1:
            one, other = list(where)[:2]
            path = where[other].path
            yield Fault(
                str(path),
                f"{path} shows identity {identity} in {other}, which is in {one} too; keep each identity in "
                "one split.",
            )


def look(person: Person) -> list[Facts]:
    """The facts of one picture.

    Raises:
        UserError: It is unreadable or no colour picture.
    """
    values = read_person(person)
    with_channels(planes(values), 3, person.path)
    return [picture_facts(person.path, "image", values)]


def read_person(person: Person) -> Pixels:
    """The picture (H, W, C) of a person, in the bits of its file.

    Raises:
        UserError: It is unreadable, or of another size than that of its keypoints.
    """
    values = read_array(person.path)
    height, width = values.shape[:2]
    if person.size not in (None, (width, height)):
        assert person.size is not None
        turned = person.size == (height, width)
        advice = "save it without its EXIF orientation" if turned else "give the picture of that size"
        raise UserError(
            f"{person.path} is {width} x {height} pixels, but its keypoints are those of {person.size[0]} x "
            f"{person.size[1]}; {advice}."
        )
    return values


def notes(members: list[Person]) -> list[Fault]:
    """Notes on pictures that make no pair, and on those that are never a target."""
    paths: dict[str, list[Path]] = {}
    for person in members:
        paths.setdefault(person.identity, []).append(person.path)
    lonely = [
        Fault(str(files[0]), f"{files[0]} is the only picture of identity {identity}, so it makes no pair.")
        for identity, files in paths.items()
        if len(files) == 1
    ]
    empty = [
        Fault(str(p.path), f"{p.path} has no known keypoint, so it is never a target.")
        for p in members
        if not p.keypoints[:, 2].any()
    ]
    return lonely + empty


def outside(person: Person, sizes: dict[Path, tuple[int, int]]) -> Fault | None:
    """A note if most keypoints lie outside the picture."""
    points = person.keypoints[person.keypoints[:, 2] > 0, :2]
    if person.path not in sizes or not len(points):
        return None
    out = int(((points < -0.5) | (points > np.array(sizes[person.path]) - 0.5)).any(1).sum())
    if 2 * out <= len(points):
        return None
    text = f"{out} of its {len(points)} keypoints lie outside; were they found at another size?"
    return Fault(str(person.path), f"{person.path}: {text}")


def _read(path: Path, found: People) -> _Table | None:
    text = decoded(path, lambda sentence: found.faults.append(Fault(str(path), sentence)))
    if text is None:
        return None
    fault = partial(found.fault, path)
    if path.suffix.lower() == ".json":
        return _read_coco(text, found, path)
    if text.split("\n", 1)[0].replace(" ", "").strip() == COLON_HEAD:
        return _read_colons(text, fault)
    return _read_columns(path, found)


def _read_columns(path: Path, found: People) -> _Table | None:
    """A CSV with a column for each number."""
    head = header_of(path)
    points = [name[:-2] for name in head if name.endswith("_x") and f"{name[:-2]}_y" in head]
    if "image" not in head:
        found.fault(path, "has no column image; name the column of the pictures' names so")
        return None
    form = _form(points)
    if form is None:
        reason = (
            f"names {len(points)} points that are neither COCO's 17 nor OpenPose's 18; name them nose, "
            "left_eye, … or give a COCO JSON, whose skeleton can be any"
        )
        found.fault(path, reason)
        return None
    rows = []
    for line, cells in csv_rows(path, lambda sentence: found.faults.append(Fault(str(path), sentence))):
        keypoints, bad = np.zeros((len(form), 3), np.float32), None
        for k, point in enumerate(form):
            x, y, seen = cells[f"{point}_x"], cells[f"{point}_y"], cells.get(f"{point}_v", "1")
            try:
                keypoints[k] = _point(x.strip(), y.strip(), seen.strip())
            except ValueError as error:
                bad = bad or f"{point} in line {line}: {error}"
        if bad:
            found.fault(path, f"cannot use {bad}; leave both cells empty if a point is unknown")
            continue
        who = cells.get("identity", "").strip()
        rows.append(_Row(cells["image"].strip(), who or None, _as_body(keypoints)))
    return _Table(rows, OPENPOSE)


def _form(points: Sequence[str]) -> tuple[str, ...] | None:
    """COCO's or OpenPose's names if these points are the same in any order."""
    return next((form for form in (COCO, OPENPOSE.names) if sorted(form) == sorted(points)), None)


def _point(x: str, y: str, seen: str) -> tuple[float, float, float]:
    """One point; raises a ValueError with the reason if it is not valid."""
    if not x and not y:
        return 0.0, 0.0, 0.0
    values = [float(x), float(y), float(seen or 0)]
    if not all(abs(value) < FAR for value in values):
        raise ValueError(f"({x}, {y}) is not finite")
    unknown = values[2] <= 0 or values[0] == values[1] == -1
    return (0.0, 0.0, 0.0) if unknown else (values[0], values[1], 1.0)


def _as_body(keypoints: Array) -> Array:
    return to_openpose(keypoints) if len(keypoints) == len(COCO) else keypoints


def _read_colons(text: str, fault: Callable[[str], None]) -> _Table:
    """Lines of ``name: [y, …]: [x, …]``, -1 if a point is unknown."""
    rows = []
    for line, content in enumerate(text.splitlines()[1:], 2):
        if not content.strip():
            continue
        parts = content.split(":")
        try:
            name, ys, xs = parts[0].strip(), *(parse(part, NUMBERS, "it") for part in parts[1:])
            points = np.array([xs, ys], np.float64).T
        except (ValueError, UserError):
            fault(f"has no name: [y, …]: [x, …] in line {line}; correct it")
            continue
        if points.ndim != 2 or len(points) not in (len(COCO), len(OPENPOSE.names)):
            fault(f"has {len(points)} points in line {line}; give 18 (or COCO's 17)")
            continue
        if not (np.abs(points) < FAR).all():
            fault(f"has a number in line {line} that is not finite; write -1 where unknown")
            continue
        known = (points >= 0).all(1, keepdims=True)
        keypoints = np.where(known, np.concatenate([points, known], 1), 0).astype(np.float32)
        rows.append(_Row(name, None, _as_body(keypoints)))
    return _Table(rows, OPENPOSE)


def _read_coco(text: str, found: People, path: Path) -> _Table | None:
    """A JSON like COCO's person_keypoints: images, annotations, categories."""
    fault = partial(found.fault, path)
    try:
        data = parse(text, COCO_KEYPOINTS, path)
    except UserError as error:
        found.faults.append(Fault(str(path), str(error)))
        return None
    images = {image["id"]: image for image in data["images"]}
    kind, given = _category(data, fault)
    points = tuple(kind["keypoints"]) if kind else COCO
    joined = tuple((a - 1, b - 1) for a, b in kind.get("skeleton", [])) if kind else ()
    skeleton = OPENPOSE if _form(points) else Skeleton(points, joined)
    if not skeleton.limbs or not all(0 <= k < len(skeleton.names) for limb in skeleton.limbs for k in limb):
        fault(f"names {len(points)} points and no skeleton that joins them; write one into its category")
        return None
    people: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for entry in given:
        people[entry["image_id"]].append(entry)
    rows = []
    for image, entries in people.items():
        shown = [entry for entry in entries if _is_seen(entry)] or entries[:1]
        if image not in images:
            fault(f"has an annotation of image {image}, which it does not list; take it out")
            continue
        name, entry = images[image]["file_name"], shown[0]
        if len(shown) > 1:
            fault(f"has {len(shown)} people on {name}; crop to one per picture")
            continue
        values = entry.get("keypoints") or [0] * (3 * len(points))
        if len(values) != 3 * len(points):
            reason = f"has {len(values)} numbers for {name} where {len(points)} points need {3 * len(points)}"
            fault(f"{reason}; correct it")
            continue
        wide = np.array(values, np.float64).reshape(len(points), 3)
        if not (np.abs(wide) < FAR).all():
            fault(f"has a number for {name} that is not finite; write 0, 0, 0 where unknown")
            continue
        keypoints: Array = wide.astype(np.float32)
        keypoints[:, 2] = (keypoints[:, 2] > 0) & _is_seen(entry)
        form = _form(points)
        if form:
            keypoints = _as_body(keypoints[[points.index(point) for point in form]])
        who = entry.get("identity")
        sides = images[image].get("width"), images[image].get("height")
        size = None if None in sides else sides
        rows.append(_Row(name, None if who is None else str(who), keypoints, size))
    return _Table(rows, skeleton)


def _category(
    data: dict[str, Any], fault: Callable[[str], None]
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The category whose keypoints are read, None if COCO's, and its annotations; crowds are left out.

    Of several categories with keypoints it is the one that annotations have, or else ``person``.
    """
    given = [entry for entry in data["annotations"] if not entry.get("iscrowd")]
    categories = data.get("categories", [])
    kinds = [kind for kind in categories if kind.get("keypoints")]
    if len(categories) < 2 or not kinds:
        return (kinds[0] if kinds else None), given
    seen = {entry.get("category_id") for entry in given if _is_seen(entry)}
    used = [kind for kind in kinds if kind.get("id") in seen]
    names = [str(kind.get("name")) for kind in used]
    if len(used) > 1 and "person" not in names:
        fault(f"has keypoints of several categories ({first_few(names, 5)}); keep one of them")
    kind = used[names.index("person") if "person" in names else 0] if used else kinds[0]
    return kind, [entry for entry in given if entry.get("category_id", kind.get("id")) == kind.get("id")]


def _is_seen(entry: dict[str, Any]) -> bool:
    """Whether an annotation has a keypoint that is not unknown."""
    return entry.get("num_keypoints", 1) > 0 and any(
        seen > 0 for seen in (entry.get("keypoints") or [])[2::3]
    )
