"""ModelNet's chairs as 3D ShapeNets' volumes: one file per chair, or all packed into one file."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from typing import Any, Unpack, get_args
from zipfile import BadZipFile

import numpy as np

from zoo.bounds import PositiveInt
from zoo.data.base import LoaderOptions, Sample, Split
from zoo.data.checks import Fault, Findings, at_least
from zoo.data.folders import find_root, of_split
from zoo.data.voxels.module import Array, VoxelModule, VoxelSet
from zoo.errors import UserError
from zoo.files.reading import read_bytes
from zoo.files.voxels import fitted, read_grid, read_npz
from zoo.recipes import public_path


class ModelNetChairs(VoxelModule):
    """ModelNet's 889 training chairs in 12 turns each, as 3D ShapeNets' grids of 30 cells: 10,668 in all.

    Read from ``chair/30/train/*.mat``, as ``zoo data get chairs_voxels`` fetches them, or from
    ``chair_30_packed.npz`` (``names``, and ``bits`` with eight cells per byte). Objects are split by their
    numbers, with all their turns: of ten, the first is for test and the second for validation. One of the
    objects is named a night stand; it is kept.

    Args:
        root: The folder.
        size: Cells of each side; the grids of 30 are padded to it.
        options: Options of every data module, see :class:`zoo.data.base.DataModule`.
    """

    name = "ModelNet chairs (3D ShapeNets volumes, 30 cells)"
    licence = "Princeton ModelNet: academic research only, the models belong to their authors"
    SIDE = 30
    PACKED = "chair_30_packed.npz"

    def __init__(
        self, root: str = "chairs_voxels", size: PositiveInt = 32, **options: Unpack[LoaderOptions]
    ) -> None:
        super().__init__(**options)
        at_least(8, size=size)
        self.root, self.size = find_root(root), size
        self._read: tuple[list[Path], list[str], Array] | None = None

    def dataset(self, split: Split) -> ChairSet:
        """The chairs of a split, all turns of each.

        Raises:
            UserError: The files are missing or damaged.
        """
        files, names, bits = self._chairs()
        objects = [name.rpartition("_")[0] for name in names]
        mine = set(of_split(sorted(set(objects)), split, 10))
        rows = [row for row, name in enumerate(objects) if name in mine]
        return ChairSet(files, [names[row] for row in rows], bits[rows], self.size)

    def preprocessing(self) -> dict[str, Any]:
        """Size and number of turns."""
        return {"size": self.size, "classes": ["chair"], "turns": 12}

    def fingerprint(self) -> str:
        """SHA-256 of names and cells."""
        _, names, bits = self._chairs()
        return hashlib.sha256("\n".join(names).encode() + bits.tobytes()).hexdigest()

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether the packed chairs are there."""
        return (root / cls.PACKED).is_file()

    @classmethod
    def check(cls, root: Path) -> Findings:
        """Read all chairs."""
        found, data = Findings("voxels", "known chairs", public_path(cls), {"size": 32}), cls(str(root))
        try:
            found.samples = {split: len(data.dataset(split)) for split in get_args(Split)}
        except UserError as error:
            found.errors.append(Fault(str(root), str(error)))
        return found

    def _chairs(self) -> tuple[list[Path], list[str], Array]:
        """The source files; all names in order, and a row of packed cells for each."""
        packed = self.root / self.PACKED
        if self._read is None and packed.is_file():
            names, bits = self._unpacked(packed)
            order = sorted(range(len(names)), key=names.__getitem__)
            self._read = [packed], [names[row] for row in order], bits[order]
        if self._read is None:
            folder = self.root / "chair" / "30" / "train"
            files = sorted(folder.glob("*.mat"), key=lambda path: path.stem)
            if not files:
                raise UserError(
                    f"{folder} holds no .mat files; fetch them with zoo data get chairs_voxels, or change "
                    "data.root."
                )
            self._read = files, [path.stem for path in files], np.array([self._row(path) for path in files])
        return self._read

    def _unpacked(self, path: Path) -> tuple[list[str], Array]:
        try:
            arrays = read_npz(path, read_bytes(path))
            names, bits = arrays["names"].tolist(), arrays["bits"]
            if arrays["names"].dtype.kind != "U" or not isinstance(names, list):
                raise ValueError("its names are no list of texts")
            if bits.shape != (len(names), -(-(self.SIDE**3) // 8)) or bits.dtype != np.uint8 or not names:
                raise ValueError(f"it has {len(names)} names and {bits.dtype} of shape {bits.shape}")
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, RuntimeError, zlib.error) as error:
            raise UserError(f"{path} cannot be read ({error}); replace it.") from error
        return names, bits

    def _row(self, path: Path) -> Array:
        grid = read_grid(path)
        if grid.shape != (self.SIDE,) * 3:
            raise UserError(f"{path} has {grid.shape} cells where each side has {self.SIDE}; fetch it again.")
        return np.packbits(grid.reshape(-1))


class ChairSet(VoxelSet):
    """Grids of 30 cells in memory, eight cells per byte.

    Args:
        paths: The source files of all splits.
        names: ``chair_000000182_1`` is the first turn of chair 182.
        bits: A row of bytes for each name.
        size: Cells of each side of a sample.
    """

    def __init__(self, paths: list[Path], names: list[str], bits: Array, size: int) -> None:
        self.paths, self.names, self.bits, self.size = paths, names, bits, size

    def __len__(self) -> int:
        return len(self.names)

    def files(self) -> list[Path]:
        """The files of all splits."""
        return self.paths

    def load(self, index: int) -> Sample:
        """The chair's cells, eight per byte, and the one label."""
        side = ModelNetChairs.SIDE
        grid = np.unpackbits(self.bits[index], count=side**3).reshape(side, side, side)
        return self.packed(fitted(grid, self.size), 0)
