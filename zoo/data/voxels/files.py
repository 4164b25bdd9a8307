"""Layouts of folders of grids and meshes."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import Literal, NamedTuple

from zoo.data.base import Split
from zoo.data.folders import SPLITS, folders_in, of_split
from zoo.errors import UserError
from zoo.files.voxels import VOXEL_SUFFIXES

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
