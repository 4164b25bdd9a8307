"""Folders of grids and meshes: how they may be laid out, and what is wrong with which file."""

from __future__ import annotations

import hashlib
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np

from zoo.data.base import Split
from zoo.data.checks import Facts, Fault, Findings, examine, left_out, require_training
from zoo.errors import UserError
from zoo.files.voxels import MESH_SUFFIXES, VOXEL_SUFFIXES, read_grid, read_voxels

Layout = Literal["split/class/file", "class/split/file", "class/file", "file"]

EXPECTED = (
    "expected train/chair/a.off, chair/train/a.off, chair/a.off or a.off, where files end with one of "
    f"{', '.join(VOXEL_SUFFIXES)}"
)


class VoxelFile(NamedTuple):
    """A file and the name of its class, if it has one."""

    path: Path
    kind: str | None


def find_layout(root: Path, pattern: str = "*") -> Layout | None:
    """How a folder lays its files out; None where it holds none."""
    if any(_files(root / split, pattern, deep=True) for split in get_args(Split)):
        return "split/class/file"
    folders = _folders(root)
    if any(_split_folder(folder, split) for folder in folders for split in get_args(Split)):
        return "class/split/file"
    if any(_files(folder, pattern, deep=True) for folder in folders):
        return "class/file"
    return "file" if _files(root, pattern) else None


def find_files(
    root: Path, layout: Layout, split: Split, hold_out: int, pattern: str = "*"
) -> list[VoxelFile]:
    """The files of a split in the order of their classes and names.

    Raises:
        UserError: Files lie beside class folders, so that they have no class.
    """
    if layout == "split/class/file":
        direct = [VoxelFile(path, None) for path in _files(root / split, pattern)]
        classed = _of_classes(_folders(root / split), pattern)
        if direct and classed:
            raise UserError(
                f"{direct[0].path} lies beside class folders; move it into the folder of its class."
            )
        return direct or classed
    if layout == "class/split/file":
        return [
            VoxelFile(path, folder.name)
            for folder in _folders(root)
            if (part := _split_folder(folder, split))
            for path in _files(part, pattern)
        ]
    if layout == "class/file":
        return [
            file
            for folder in _folders(root)
            for place, file in enumerate(_of_classes([folder], pattern))
            if split_of(place, hold_out) == split
        ]
    paths = enumerate(_files(root, pattern))
    return [VoxelFile(path, None) for place, path in paths if split_of(place, hold_out) == split]


def split_of(place: int, hold_out: int) -> Split:
    """Of ``hold_out`` things the first is for test and the second for validation; 0 trains on all."""
    held: dict[int, Split] = {0: "test", 1: "val"}
    return held.get(place % hold_out, "train") if hold_out else "train"


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files(folder: Path, pattern: str, deep: bool = False) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in (folder.rglob("*") if deep else folder.iterdir())
        if path.suffix.lower() in VOXEL_SUFFIXES
        and fnmatch(path.name, pattern)
        and not path.name.startswith(".")
        and path.is_file()
    )


def _of_classes(folders: list[Path], pattern: str) -> list[VoxelFile]:
    return [VoxelFile(path, folder.name) for folder in folders for path in _files(folder, pattern, deep=True)]


def _split_folder(folder: Path, split: Split) -> Path | None:
    """``chair/train``, or ``chair/30/train``."""
    between = [folder, *(path for path in _folders(folder) if path.name.isdigit())]
    return next((path / split for path in between if (path / split).is_dir()), None)


def looks_like_voxels(root: Path) -> bool:
    """Whether a folder holds grids or meshes, judged by its first file."""
    layout = find_layout(root)
    first = find_files(root, layout, "train", 0)[:1] if layout else []
    return any(path.suffix.lower() not in (".npy", ".npz") or _is_grid(path) for path, _ in first)


def _is_grid(path: Path) -> bool:
    try:
        grid = read_grid(path)
    except UserError:
        return False
    return bool(min(grid.shape) > 4)  # fewer are the channels of a picture


def check_voxels(root: Path) -> Findings:
    """Look at every file of a folder; meshes are made into 32 cells."""
    layout = find_layout(root)
    found = Findings("voxels", layout or "nothing known")
    sides: list[int] = []

    def look(file: VoxelFile) -> list[Facts] | Fault:
        try:
            if file.path.suffix.lower() in MESH_SUFFIXES:
                grid = read_voxels(file.path, 32)
            else:
                grid = read_grid(file.path)
                sides.append(max(grid.shape))
        except UserError as error:
            return Fault(str(file.path), str(error))
        digest = hashlib.sha256(repr(grid.shape).encode() + np.packbits(grid).tobytes()).hexdigest()
        size = (grid.shape[0], grid.shape[1])
        return [Facts(file.path, "voxels", size, 1, 8, int(grid.min()), int(grid.max()), digest)]

    folders = set()
    for split in get_args(Split):
        try:
            files = find_files(root, layout, split, 10) if layout else []
        except UserError as error:
            found.errors.append(Fault(str(root), str(error)))
            continue
        if files:
            examine(found, split, files, look)
        folders |= {file.path.parent for file in files}
    found.notes += left_out(sorted(folders), VOXEL_SUFFIXES)
    require_training(found, root, EXPECTED)
    found.arguments = {"size": next((s for s in (16, 32, 64) if s >= max(sides, default=64)), 64)}
    return found
