"""Layouts of folders of videos and of folders of frames, and which of them a split holds."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from os.path import isfile
from pathlib import Path
from typing import Literal, NamedTuple

from zoo.data.base import Split
from zoo.data.folders import SPLITS, of_split
from zoo.errors import UserError, first_few
from zoo.files.films import VIDEO_SUFFIXES, Video, has_suffix, look
from zoo.files.pictures import PICTURE_SUFFIXES
from zoo.files.reading import read_bytes

Layout = Literal["splits", "ucf101", "kth", "held out"]
LAYOUTS: dict[Layout, str] = {
    "splits": "train/, val/ and test/ with videos (or folders of numbered frames) in them",
    "ucf101": "trainlist01.txt and testlist01.txt beside the class folders of UCF101",
    "kth": "files named person01_boxing_d1_uncomp.avi as in KTH",
    "held out": "videos (or folders of numbered frames) at any depth, of which some are held out",
}
EXPECTED = f"expected {'; or '.join(LAYOUTS.values())}"
KTH_NAME = re.compile(r"person(\d\d)_[a-z]+_d\d(_uncomp)?")
KTH_PERSONS: dict[Split, frozenset[int]] = {  # from the set's 00sequences.txt
    "train": frozenset(range(11, 19)),
    "val": frozenset((19, 20, 21, 23, 24, 25, 1, 4)),
    "test": frozenset((22, 2, 3, 5, 6, 7, 8, 9, 10)),
}


class Part(NamedTuple):
    """Frames ``first`` to ``end - 1`` of a video."""

    video: Video
    first: int
    end: int


def find_layout(root: Path) -> Layout:
    """The layout of a folder, judged by names."""
    if split_lists(root) is not None:
        return "ucf101"
    if any((root / split).is_dir() for split in SPLITS):
        return "splits"
    paths = find_videos(root)
    return "kth" if paths and all(KTH_NAME.fullmatch(path.stem) for path in paths) else "held out"


def find_videos(folder: Path) -> list[Path]:
    """Video files and folders of frames at any depth, by path; those in hidden folders are left out.

    A folder that holds video files is no folder of frames.
    """
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        here = [path for name in names if has_suffix(path := Path(place, name), VIDEO_SUFFIXES)]
        if here:
            found += here
        elif any(has_suffix(Path(place, name), PICTURE_SUFFIXES) for name in names):
            found.append(Path(place))
    return sorted(found)


def split_paths(root: Path, layout: Layout, split: Split, hold_out: int, fold: int) -> list[Path] | None:
    """The videos of a split; None if the layout has no such split.

    Args:
        root: The folder.
        layout: Layout of the folder.
        split: Name of the split.
        hold_out: Without given splits, of so many videos the first is for test and the second for validation.
        fold: Number of UCF101's list of splits, 1 to 3.

    Raises:
        UserError: A list names a video that is not there.
    """
    if layout == "splits":
        return find_videos(root / split) if (root / split).is_dir() else None
    if layout == "ucf101":
        return None if split == "val" else _listed(root, f"{split}list{fold:02d}.txt")
    paths = find_videos(root)
    if layout == "kth":
        return [path for path in paths if int(path.stem[6:8]) in KTH_PERSONS[split]]
    if not hold_out:
        return paths if split == "train" else None
    if len(paths) < 3:
        return paths  # too few to hold one out: each is divided in time
    return of_split(paths, split, hold_out)


def split_parts(root: Path, layout: Layout, split: Split, hold_out: int, fold: int) -> list[Part] | None:
    """The videos of a split, probed in parallel, and which of their frames belong to it.

    If fewer than three videos must be split, the last frames of each are for test, those before for
    validation.

    Raises:
        UserError: As :func:`split_paths` and :func:`look`.
    """
    paths = split_paths(root, layout, split, hold_out, fold)
    if paths is None:
        return None
    with ThreadPoolExecutor() as pool:
        videos = list(pool.map(look, paths))
    if layout != "held out" or not hold_out or len(find_videos(root)) >= 3:
        return [Part(video, 0, video.length) for video in videos]
    parts = []
    for video in videos:
        share = video.length // hold_out
        val, test = video.length - 2 * share, video.length - share
        ends = {"train": (0, val), "val": (val, test), "test": (test, video.length)}[split]
        parts.append(Part(video, *ends))
    return parts


def split_lists(root: Path) -> Path | None:
    """The folder of UCF101's lists."""
    places = (root, root / "ucfTrainTestlist")
    return next((place for place in places if (place / "trainlist01.txt").is_file()), None)


def _listed(root: Path, name: str) -> list[Path]:
    place = split_lists(root)
    assert place is not None
    try:
        lines = read_bytes(place / name).decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(
            f"Cannot read {place / name} ({error}); take the lists from UCF101's site."
        ) from error
    names = [line.split()[0] for line in lines if line.strip()]
    paths = [next((p for p in (root / n, root / "UCF-101" / n) if isfile(p)), None) for n in names]
    missing = [n for n, path in zip(names, paths, strict=True) if path is None]
    if missing:
        raise UserError(
            f"{place / name} names {len(missing)} videos that are not below {root} ({first_few(missing)}); "
            "unpack the whole UCF101.rar there."
        )
    return [path for path in paths if path is not None]
