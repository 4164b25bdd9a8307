"""Drawn landscapes as pairs of a low and a high resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Unpack

import torch

from zoo.bounds import PositiveInt, Seed
from zoo.data.base import LoaderOptions, Sample, Split
from zoo.data.drawn import DrawnModule, DrawnSet
from zoo.data.pixels import to_bytes
from zoo.data.superres.files import shrink
from zoo.data.superres.module import BICUBIC, require_scale
from zoo.data.worlds import scenes
from zoo.errors import UserError


class SceneTwins(DrawnModule):
    """Drawn landscapes and their low-resolution twins, for super-resolution without any files.

    Splits share no scene; nothing is random but the order.

    Args:
        size: Pixels of each side of the target, a multiple of ``scale``, at least 16.
        scale: Factor by which the input is smaller: 2, 3, 4 or 8.
        train_length: Scenes per epoch.
        eval_length: Scenes of validation, and as many others of test.
        world: Seed of the world. Validation and test depend on it alone.
        options: Options of every data module, see :class:`zoo.data.base.DataModule`.
    """

    contract: ClassVar[str] = "super-resolution"
    name = "scenes"
    fingerprint_keys = ("high",)

    def __init__(
        self,
        size: PositiveInt = 96,
        scale: PositiveInt = 4,
        train_length: PositiveInt = 2000,
        eval_length: PositiveInt = 200,
        world: Seed = 0,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        require_scale(scale)
        if size < 16 or size % scale:
            raise UserError(f"data.size is {size}; give a multiple of data.scale {scale}, at least 16.")
        self.size = size
        self.scale = scale
        self.set_lengths(train_length, eval_length, world)

    def draw(self, first: int, length: int, split: Split) -> SceneTwinSet:
        """Scenes ``first`` to ``first + length`` with their twins."""
        return SceneTwinSet(self.world, first, length, self.size, self.scale)

    def preprocessing(self) -> dict[str, Any]:
        """Size, scale and filter."""
        return self.settings("size", "scale", "train_length", "world") | {"low": BICUBIC}


@dataclass(eq=False, repr=False)
class SceneTwinSet(DrawnSet):
    """Scenes ``first`` to ``first + length`` of a world, each with its twin.

    Args:
        size: Pixels of each side.
        scale: Factor by which the twin is smaller.
    """

    size: int
    scale: int

    def load(self, index: int) -> Sample:
        """The scene ``high`` in 8 bit and its twin ``low``."""
        picture = scenes.draw(self.world, self.first + index, self.size).picture
        high = to_bytes(picture)
        return {"high": high, "low": shrink(high, self.scale)}

    def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
        """``input`` and ``target`` (3,H,W) in bytes."""
        return {"input": loaded["low"], "target": loaded["high"]}
