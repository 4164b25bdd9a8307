"""Layouts of folders of grids and meshes, and checking their files."""

from __future__ import annotations

import hashlib
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from zoo.data.base import Split
from zoo.data.checks import Facts, Fault, Findings, examine, left_out, require_training
from zoo.data.folders import SPLITS, folders_in, of_split
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
    """The layout of a folder; None if it holds no voxel files."""
    if any(_files(root / split, pattern, deep=True) for split in SPLITS):
        return "split/class/file"
    folders = folders_in(root)
    if any(_split_folder(folder, split) for folder in folders for split in SPLITS):
        return "class/split/file"
    if any(_files(folder, pattern, deep=True) for folder in folders):
        return "class/file"
    return "file" if _files(root, pattern) else None


def find_files(
    root: Path, layout: Layout, split: Split, hold_out: int, pattern: str = "*"
) -> list[VoxelFile]:
    """The files of a split in the order of their classes and names.

    Raises:
        UserError: Files lie beside folders of classes, so that they have no class.
    """
    if layout == "split/class/file":
        direct = [VoxelFile(path, None) for path in _files(root / split, pattern)]
        classed = _of_classes(folders_in(root / split), pattern)
        if direct and classed:
            raise UserError(
                f"{direct[0].path} lies beside folders of classes; move it into that of its class."
            )
        return direct or classed
    if layout == "class/split/file":
        return [
            VoxelFile(path, folder.name)
            for folder in folders_in(root)
            if (part := _split_folder(folder, split))
            for path in _files(part, pattern)
        ]
    if layout == "class/file":
        return [
            file
            for folder in folders_in(root)
            for file in of_split(_of_classes([folder], pattern), split, hold_out)
        ]
    return [VoxelFile(path, None) for path in of_split(_files(root, pattern), split, hold_out)]


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
    between = [folder, *(path for path in folders_in(folder) if path.name.isdigit())]
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
    return bool(min(grid.shape) > 4)  # a picture has four channels at most


def check_voxels(root: Path) -> Findings:
    """Check every file of a folder; meshes are voxelised to 32 cells."""
    layout = find_layout(root)
    found = Findings("voxels", layout or "no known layout")
    sides: list[int] = []

    def look(file: VoxelFile) -> list[Facts]:
        if file.path.suffix.lower() in MESH_SUFFIXES:
            grid = read_voxels(file.path, 32)
        else:
            grid = read_grid(file.path)
            sides.append(max(grid.shape))
        digest = hashlib.sha256(repr(grid.shape).encode() + np.packbits(grid).tobytes()).hexdigest()
        size = (grid.shape[0], grid.shape[1])
        return [Facts(file.path, "voxels", size, 1, 8, int(grid.min()), int(grid.max()), digest)]

    folders = set()
    for split in SPLITS:
        try:
            files = find_files(root, layout, split, 10) if layout else []
        except UserError as error:
            found.errors.append(Fault(str(root), str(error)))
            continue
        if files:
            examine(found, split, files, look, lambda file: [file.path])
        folders |= {file.path.parent for file in files}
    found.notes += left_out(sorted(folders), VOXEL_SUFFIXES)
    require_training(found, root, EXPECTED)
    found.arguments = {"size": next((s for s in (16, 32, 64) if s >= max(sides, default=64)), 64)}
    return found
