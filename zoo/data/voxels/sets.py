"""Public sets of voxels that come in files of their own."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Unpack, get_args

import numpy as np

from zoo.data.base import (
    LoaderOptions,
    Sample,
    Split,
    find_root,
)
from zoo.data.checks import Fault, Findings
from zoo.data.voxels.files import (
    split_of,
)
from zoo.data.voxels.module import Array, VoxelModule, VoxelSet
from zoo.errors import UserError
from zoo.files.voxels import fitted, read_many


# ----------------------------------------------------------------------------------------------- known chairs
class ModelNetChairs(VoxelModule):
    """ModelNet's 889 training chairs in 12 turns each, as 3D ShapeNets' grids of 30 cells: 10,668 in all.

    Read from ``chair_30_packed.npz`` (``bits`` and ``names``) where the folder has it, otherwise straight
    from ``chair_30_mat.tar.gz`` or, unpacked, from ``chair/30/train``. Objects are split by their numbers,
    with all their turns: of ten, the first is kept for test and the second for validation. One of the objects
    is called a night stand; it stays in.

    Args:
        root: The folder.
        size: Cells of each side; the grids of 30 are padded to it.
        options: Those of every data module, at :class:`zoo.data.base.DataModule`.
    """

    name = "ModelNet chairs (3D ShapeNets volumes, 30 cells)"
    licence = "Princeton ModelNet: academic research only, the models belong to their authors"
    PLACES = ("chair_30_packed.npz", "chair_30_mat.tar.gz", "chair/30/train")
    SIDE = 30

    def __init__(self, root: str = "chairs_voxels", size: int = 32, **options: Unpack[LoaderOptions]) -> None:
        super().__init__(**options)
        if size < 8:
            raise UserError(f"data.size is {size}; give at least 8 cells.")
        self.root, self.size = find_root(root), size
        self._read: tuple[list[str], Array] | None = None

    def dataset(self, split: Split) -> ChairSet:
        """The chairs of a split, all turns of each.

        Raises:
            UserError: The file is missing or damaged.
        """
        names, bits = self._chairs()
        objects = sorted({name.rpartition("_")[0] for name in names})
        mine = {name for place, name in enumerate(objects) if split_of(place, 10) == split}
        rows = [row for row, name in enumerate(names) if name.rpartition("_")[0] in mine]
        return ChairSet(self._source(), [names[row] for row in rows], bits[rows], self.size)

    def preprocessing(self) -> dict[str, Any]:
        """Size and number of turns."""
        return {"size": self.size, "classes": ["chair"], "turns": 12}

    def fingerprint(self) -> str:
        """SHA-256 over names and cells."""
        names, bits = self._chairs()
        return hashlib.sha256("\n".join(names).encode() + bits.tobytes()).hexdigest()

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether the folder has one of the two files."""
        return any((root / name).is_file() for name in cls.PLACES[:2])

    @classmethod
    def check(cls, root: Path) -> Findings:
        """Read all chairs."""
        found = Findings("voxels", "known chairs", "zoo.data.voxels.ModelNetChairs", {"size": 32})
        data = cls(str(root))
        try:
            found.samples = {split: len(data.dataset(split)) for split in get_args(Split)}
        except UserError as error:
            found.errors.append(Fault(str(root), str(error)))
        return found

    def _source(self) -> Path:
        for name in self.PLACES:
            if (self.root / name).exists():
                return self.root / name
        raise UserError(
            f"{self.root} has none of {', '.join(self.PLACES)}; put one there or change data.root."
        )

    def _chairs(self) -> tuple[list[str], Array]:
        """Names in order, and a row of packed cells for each."""
        if self._read is None:
            self._read = read_many(self._source(), self.SIDE)
        return self._read


class ChairSet(VoxelSet):
    """Grids of 30 cells in memory, eight cells in a byte.

    Args:
        source: The file or the folder that they come from.
        names: ``chair_000000182_1`` is the first turn of chair 182.
        bits: A row of bytes for each.
        size: Cells of each side of a sample.
    """

    def __init__(self, source: Path, names: list[str], bits: Array, size: int) -> None:
        super().__init__(size)
        self.source, self.names, self.bits = source, names, bits

    def __len__(self) -> int:
        """Number of grids."""
        return len(self.names)

    def files(self) -> list[Path]:
        """The one file, or all of the one folder."""
        return sorted(self.source.glob("*.mat")) if self.source.is_dir() else [self.source]

    def load(self, index: int) -> Sample:
        """The chair's cells, eight in a byte, and the one label."""
        side = ModelNetChairs.SIDE
        grid = np.unpackbits(self.bits[index], count=side**3).reshape(side, side, side)
        return self.packed(fitted(grid, self.size), 0)
