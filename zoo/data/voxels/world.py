"""Drawn furniture as voxels."""

from __future__ import annotations

import hashlib
from typing import Any, Unpack

from zoo.data.base import (
    LoaderOptions,
    Sample,
    Split,
)
from zoo.data.voxels.module import VoxelModule, VoxelSet
from zoo.data.worlds import furniture
from zoo.errors import UserError


# ------------------------------------------------------------------------------------------------------ drawn
class FurnitureWorld(VoxelModule):
    """Drawn chairs, tables, beds and sofas with their class; needs no files. Splits share no object.

    Args:
        size: Cells of each side, at least 24.
        turned: Turn each object by one of twelve steps; otherwise all face -x.
        train_length: Objects in an epoch.
        eval_length: Objects for validation, and as many others for test.
        world: Which world is drawn; validation and test depend on nothing else.
        options: Those of every data module, at :class:`zoo.data.base.DataModule`; objects are drawn anew each
            time unless ``cache`` is set.
    """

    worth_keeping = False

    def __init__(
        self,
        size: int = 32,
        turned: bool = False,
        train_length: int = 10_000,
        eval_length: int = 500,
        world: int = 0,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        if size < 24:
            raise UserError(f"data.size is {size}; give at least 24 cells.")
        if not 1 <= train_length <= 10**9 or not 1 <= eval_length <= 10**6:
            raise UserError("data.train_length and data.eval_length must be at least 1; change them.")
        self.size, self.turned, self.world = size, turned, world
        self.lengths: dict[Split, int] = {"train": train_length, "val": eval_length, "test": eval_length}

    def dataset(self, split: Split) -> FurnitureSet:
        """The objects of a split."""
        first = {"test": 0, "val": 1_000_000, "train": 2_000_000}[split]
        return FurnitureSet(self.world, first, self.lengths[split], self.size, self.turned)

    def describe(self) -> dict[str, Any]:
        """Name, licence, how grids are made, and a fingerprint of the first objects."""
        drawn = [furniture.draw(self.world, index, self.size, self.turned) for index in range(4)]
        digest = hashlib.sha256(b"".join(thing.voxels.numpy().tobytes() for thing in drawn))
        return {
            "contract": self.contract,
            "name": "furniture",
            "licence": "Apache-2.0: drawn by the zoo",
            "research_only": False,
            "preprocessing": {
                "size": self.size,
                "classes": list(furniture.CLASSES),
                "turned": self.turned,
                "train_length": self.lengths["train"],
                "world": self.world,
            },
            "fingerprint": digest.hexdigest(),
        }


class FurnitureSet(VoxelSet):
    """Objects ``first`` to ``first + length`` of a world, drawn when asked for.

    Args:
        world: Seed of the world.
        first: Index of the first object.
        length: Number of objects.
        size: Cells of each side.
        turned: Turn each by one of twelve steps.
    """

    def __init__(self, world: int, first: int, length: int, size: int, turned: bool) -> None:
        super().__init__(size)
        self.world, self.first, self.length, self.turned = world, first, length, turned

    def __len__(self) -> int:
        """Number of objects."""
        return self.length

    def load(self, index: int) -> Sample:
        """The object's cells, eight in a byte, and its label."""
        thing = furniture.draw(self.world, self.first + index, self.size, self.turned)
        return self.packed(thing.voxels.numpy(), thing.label)
