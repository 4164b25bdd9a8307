"""Voxels {voxels, label?}: solid shapes as cells of a cube, ``voxels`` (1, D, H, W) float in {0, 1}.

``voxels[0]`` is ``[x, y, z]`` with ``z`` upwards, as in ModelNet's own grids, so D, H and W are x, y and z.
Your own folder holds grids (.binvox, .npy, .npz, .mat) or meshes (.off, .obj, .stl), as one of::

    root/                  root/                   root/                 root/
      train/                 chair/                  chair/                a.binvox
        chair/a.off            train/a.off             a.binvox            b.binvox
              b.off                  b.off             b.binvox            …
        table/c.off            test/c.off            table/
      val/ …                 table/                    c.npy
      test/ …                  train/ …              …
    (by split, with        (by class, as           (classes, held        (no classes,
     or without classes)    ModelNet)               out by place)         held out by place)

Within a class there may be a folder named by digits (``chair/30/train``, as in 3D ShapeNets' volumes), and
without split folders files may lie deeper (ShapeNet's ``03001627/1a6f…/models/…``). Grids smaller than
``size`` are centred and padded, larger ones reduced by an integer factor; meshes are fitted. 3D-GAN is
https://arxiv.org/abs/1610.07584.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.bounds import NonNegativeInt, PositiveInt
from zoo.data.base import DataModule, LoaderOptions, Sample, SampleSet, Split
from zoo.data.checks import Facts, Fault, Findings, at_least, examine, left_out, one_of, require_training
from zoo.data.folders import SPLITS, find_root, folder_fingerprint, require_hold_out, unusable
from zoo.data.voxels.files import EXPECTED, VoxelFile, find_files, find_layout
from zoo.drawing.voxels import turning, voxel_sheet
from zoo.errors import UserError
from zoo.files.voxels import MESH_SUFFIXES, VOXEL_SUFFIXES, Axis, read_grid, read_voxels
from zoo.recipes import public_path

Array = NDArray[Any]
Turns = Literal[1, 4, 12]


class VoxelModule(DataModule):
    """Base of this contract's modules: how grids are shown."""

    contract: ClassVar[str] = "voxels"

    def sheet(self, samples: list[Sample]) -> Tensor:
        """Shaded pictures of the grids, one colour per class."""
        grids, labels = _stacked(samples)
        return voxel_sheet(grids, labels)

    def film(self, samples: list[Sample]) -> Tensor:
        """The grids side by side, turning once in 24 frames."""
        grids, labels = _stacked(samples)
        return turning(grids, labels=labels)


def _stacked(samples: list[Sample]) -> tuple[Tensor, Tensor | None]:
    labels = torch.stack([s["label"] for s in samples]) if "label" in samples[0] else None
    return torch.stack([sample["voxels"] for sample in samples]), labels


class VoxelSet(SampleSet):
    """Grids stored with eight cells per byte; a subclass writes :meth:`load` with :meth:`packed`.

    Args:
        size: Cells of each side.
        rotations: Number of equal steps of a turn about the vertical, of which training draws one; 1 turns
            none.
    """

    finish_is_slow = True
    size: int
    rotations: Turns = 1

    def packed(self, grid: Array, label: int | None) -> Sample:
        """A grid (size, size, size) of 0 and 1 as :meth:`load` must return it."""
        loaded: Sample = {"voxels": torch.from_numpy(np.packbits(grid.reshape(-1)))}
        return loaded if label is None else loaded | {"label": torch.tensor(label)}

    def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
        """``voxels`` (1, size, size, size) as floats, turned in training, and ``label`` if there is one."""
        cells = np.unpackbits(loaded["voxels"].numpy(), count=self.size**3).reshape([self.size] * 3)
        if random is not None and self.rotations > 1:
            step = int(torch.randint(self.rotations, (), generator=random))
            cells = turned(cells, step * (12 // self.rotations))
        return loaded | {"voxels": torch.from_numpy(cells.astype(np.float32))[None]}


def turned(grid: Array, step: int) -> Array:
    """A grid (S, S, S) of 0 and 1 turned about the vertical by ``step`` times 30 degrees, from x towards y.

    Quarter turns are exact. Otherwise a cell is filled if its centre comes from a filled cell, or if the
    centre of a filled cell moves into it: nothing thin is lost, and edges grow a little.
    """
    grid = np.rot90(grid, step // 3, (0, 1))
    if step % 3 == 0:
        return np.ascontiguousarray(grid)
    size = len(grid)
    source, target = _turn_maps(size, step % 3)
    columns = np.concatenate([grid.reshape(size * size, size), np.zeros((1, size), grid.dtype)])
    out = columns[source]
    column, z = np.nonzero(columns)
    out = np.concatenate([out, np.zeros((1, size), grid.dtype)])
    out[target[column], z] = 1
    return out[:-1].reshape(size, size, size)


@lru_cache(maxsize=8)
def _turn_maps(size: int, step: int) -> tuple[Array, Array]:
    """For each column its source and its target; ``size**2`` is outside."""
    line = np.arange(size) + 0.5 - size / 2
    x, y = np.meshgrid(line, line, indexing="ij")
    maps = []
    for angle in (-step * np.pi / 6, step * np.pi / 6):
        u = np.floor(np.cos(angle) * x - np.sin(angle) * y + size / 2).astype(int)
        v = np.floor(np.sin(angle) * x + np.cos(angle) * y + size / 2).astype(int)
        inside = (u >= 0) & (u < size) & (v >= 0) & (v < size)
        maps.append(np.where(inside, u * size + v, size * size).reshape(-1))
    return maps[0], maps[1]


class VoxelFolder(VoxelModule):
    """Solid shapes from a folder of grids or meshes, with their classes as labels.

    Folders of classes give ``label``: the index of the class in the order of names.

    Args:
        root: The folder; its layouts are listed at the top of the file.
        size: Cells of each side of a sample.
        classes: Names of the classes to take; all when not given. 3D-GAN trains on one class at a time.
        pattern: Pattern of file names to take; ``*.solid.binvox`` is one of ShapeNet's several per shape.
        up: The axis that points upwards in the files; z in ModelNet, y in ShapeNet.
        margin: Empty cells around meshes; a sixteenth of ``size`` when not given. Grids keep their scale.
        rotations: Number of equal steps of a turn about the vertical, of which training draws one: 1, 4 or
            12. Quarter turns are exact, other steps make edges a little thicker.
        hold_out: Without split folders, of so many files the first is for test and the second for validation;
            0 holds out none. If a shape has several files, use split folders instead.
        name: Name of the data; the folder's name when not given.
        licence: Licence of the data, stored in checkpoints; unknown when not given.
        research_only: False only if the licence allows commercial use.
        options: Options of every data module, see :class:`zoo.data.base.DataModule`.
    """

    def __init__(
        self,
        root: str,
        size: PositiveInt = 64,
        classes: list[str] | None = None,
        pattern: str = "*",
        up: Axis = "z",
        margin: NonNegativeInt | None = None,
        rotations: Turns = 1,
        hold_out: NonNegativeInt = 10,
        name: str | None = None,
        licence: str | None = None,
        research_only: bool = True,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        at_least(8, size=size)
        one_of(Axis, up=up)
        if margin is not None and not 0 <= margin <= size // 4:
            raise UserError(f"data.margin is {margin}; give 0 to {size // 4}, a quarter of data.size.")
        one_of(Turns, rotations=rotations)
        require_hold_out(hold_out)
        self.root = find_root(root)
        self.size, self.up, self.margin, self.rotations = size, up, margin, rotations
        self.wanted, self.pattern, self.hold_out = classes, pattern, hold_out
        self.name = name or self.root.resolve().name
        self.licence, self.research_only = licence or self.licence, research_only

    def files(self, split: Split) -> list[VoxelFile]:
        """The split's files, of the wanted classes.

        Raises:
            UserError: The folder does not exist or holds no such files.
        """
        layout = find_layout(self.root, self.pattern)
        if layout is None:
            raise unusable(self.root, "holds no voxel files", f"change data.root or fill it: {EXPECTED}")
        found = find_files(self.root, layout, split, self.hold_out, self.pattern)
        return [file for file in found if self.wanted is None or file.kind in self.wanted]

    @property
    def classes(self) -> list[str]:
        """The classes of the training split, in the order of their labels.

        Raises:
            UserError: A wanted class has no training file.
        """
        found = sorted({file.kind for file in self.files("train") if file.kind is not None})
        if lacking := sorted(set(self.wanted or ()) - set(found)):
            raise UserError(
                f"{self.root} has no training files of data.classes {', '.join(lacking)}; name what it has."
            )
        return found

    def dataset(self, split: Split) -> VoxelFileSet | None:
        """The split's shapes; None if there are none for validation or test.

        Raises:
            UserError: There is nothing to train on, or a split has a class that training lacks.
        """
        classes, files = self.classes, self.files(split)
        if not files:
            if split != "train":
                return None
            raise UserError(f"{self.root} has no files for training; {EXPECTED}.")
        for file in files:
            if file.kind is not None and file.kind not in classes:
                raise UserError(
                    f"{file.path} is of the class {file.kind}, which training lacks; add some or "
                    "set data.classes."
                )
        return VoxelFileSet(files, classes, self.size, self.up, self.margin, self.rotations)

    def preprocessing(self) -> dict[str, Any]:
        """Size, classes, and how objects are turned into cells."""
        return {
            **self.settings("size", "classes", "up"),
            "margin": self.size // 16 if self.margin is None else self.margin,
            **self.settings("rotations", "hold_out"),
        }

    def fingerprint(self) -> str:
        """SHA-256 over names and sizes of all files."""
        return folder_fingerprint([file.path for split in SPLITS for file in self.files(split)], self.root)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether there are grids or meshes, judged by the first file."""
        layout = find_layout(root)
        first = find_files(root, layout, "train", 0)[:1] if layout else []
        return any(path.suffix.lower() not in (".npy", ".npz") or _is_grid(path) for path, _ in first)

    @classmethod
    def check(cls, root: Path) -> Findings:
        """Check every file of a folder; meshes are voxelised to 32 cells."""
        layout = find_layout(root)
        found = Findings("voxels", layout or "no known layout", public_path(cls))
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


def _is_grid(path: Path) -> bool:
    try:
        return bool(min(read_grid(path).shape) > 4)  # a picture has four channels at most
    except UserError:
        return False


@dataclass(eq=False, repr=False)
class VoxelFileSet(VoxelSet):
    """The shapes of one split of a folder.

    Args:
        things: Files, in order.
        classes: Names of the classes in the order of their labels.
        size: Cells of each side.
        up: The files' axis that points upwards.
        margin: Empty cells around meshes.
        rotations: Number of steps of a turn, of which training draws one.
    """

    things: list[VoxelFile]
    classes: list[str]
    size: int
    up: Axis
    margin: int | None
    rotations: Turns

    def __len__(self) -> int:
        return len(self.things)

    def files(self) -> list[Path]:
        """The files of all shapes."""
        return [thing.path for thing in self.things]

    def load(self, index: int) -> Sample:
        """The shape's cells, eight per byte, and its label.

        Raises:
            UserError: The file cannot be read, or turning it by 30 degrees would cut off its corners.
        """
        path, kind = self.things[index]
        freely = self.rotations == 12
        grid = read_voxels(path, self.size, self.up, self.margin, whole_turn=freely)
        if freely:
            x, y = np.nonzero(grid.any(2))
            if np.hypot(x + 0.5 - self.size / 2, y + 0.5 - self.size / 2).max() > self.size / 2:
                raise UserError(
                    f"{path} reaches into the corners of its cube, which turning by 30 degrees would cut "
                    "off; set data.rotations to 4 or a larger data.size."
                )
        return self.packed(grid, None if kind is None else self.classes.index(kind))
