"""Drawn furniture as voxels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Unpack

from zoo.bounds import PositiveInt, Seed
from zoo.data.base import LoaderOptions, Sample, Split
from zoo.data.checks import at_least
from zoo.data.drawn import DrawnModule, DrawnSet
from zoo.data.voxels.module import VoxelModule, VoxelSet
from zoo.data.worlds import furniture


class FurnitureWorld(DrawnModule, VoxelModule):
    """Drawn chairs, tables, beds and sofas with their class; needs no files. Splits share no object.

    Args:
        size: Cells of each side, at least 24.
        turned: Turn each object by one of twelve steps about the vertical; otherwise all face -x.
        train_length: Objects per epoch.
        eval_length: Objects of validation, and as many others of test.
        world: Seed of the world. Validation and test depend on it alone.
        options: Options of every data module, see :class:`zoo.data.base.DataModule`.
    """

    name = "furniture"

    def __init__(
        self,
        size: PositiveInt = 32,
        turned: bool = False,
        train_length: PositiveInt = 10_000,
        eval_length: PositiveInt = 500,
        world: Seed = 0,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        at_least(24, size=size)
        self.size, self.turned = size, turned
        self.set_lengths(train_length, eval_length, world)

    def draw(self, first: int, length: int, split: Split) -> FurnitureSet:
        """Objects ``first`` to ``first + length``."""
        return FurnitureSet(self.world, first, length, self.size, self.turned)

    def preprocessing(self) -> dict[str, Any]:
        """Size, classes, and whether objects are turned."""
        settings = self.settings("size", "turned", "train_length", "world")
        return settings | {"classes": list(furniture.CLASSES)}

    def fingerprint(self) -> str:
        """SHA-256 over the cells of the first objects."""
        drawn = [furniture.draw(self.world, index, self.size, self.turned) for index in range(4)]
        return hashlib.sha256(b"".join(thing.voxels.numpy().tobytes() for thing in drawn)).hexdigest()


@dataclass(eq=False, repr=False)
class FurnitureSet(DrawnSet, VoxelSet):
    """Objects ``first`` to ``first + length`` of a world, drawn when asked for.

    Args:
        size: Cells of each side.
        turned: Turn each object by one of twelve steps.
    """

    size: int
    turned: bool

    def load(self, index: int) -> Sample:
        """The object's cells, eight per byte, and its label."""
        thing = furniture.draw(self.world, self.first + index, self.size, self.turned)
        return self.packed(thing.voxels.numpy(), thing.label)
