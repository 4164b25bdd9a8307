"""Drawn landscapes as pairs of a low and a high resolution."""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar, Unpack

import torch

from zoo.data.base import DataModule, LoaderOptions, Sample, SampleSet, Split
from zoo.data.superres.files import (
    shrink,
)
from zoo.data.superres.module import BICUBIC, require_scale
from zoo.data.worlds import scenes
from zoo.errors import UserError


class SceneTwins(DataModule):
    """Drawn landscapes and their low-resolution twins, for super-resolution without any files.

    Splits share no scene; nothing is random but the order.

    Args:
        size: Pixels of each side of the target, a multiple of ``scale``, at least 16.
        scale: How many times smaller the input is: 2, 3, 4 or 8.
        train_length: Scenes in an epoch.
        eval_length: Scenes for validation, and as many others for test.
        world: Which world is drawn; validation and test depend on nothing else.
        options: Those of every data module, at :class:`zoo.data.base.DataModule`.
    """

    contract: ClassVar[str] = "super-resolution"
    worth_keeping = False

    def __init__(
        self,
        size: int = 96,
        scale: int = 4,
        train_length: int = 2000,
        eval_length: int = 200,
        world: int = 0,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        require_scale(scale)
        if size < 16 or size % scale:
            raise UserError(f"data.size is {size}; give a multiple of data.scale {scale}, at least 16.")
        self.size = size
        self.scale = scale
        self.lengths: dict[Split, int] = {"train": train_length, "val": eval_length, "test": eval_length}
        self.world = world

    def dataset(self, split: Split) -> SceneTwinSet:
        """The scenes of a split; no two splits share one."""
        first = {"test": 0, "val": 1_000_000, "train": 2_000_000}[split]
        return SceneTwinSet(self.world, first, self.lengths[split], self.size, self.scale)

    def describe(self) -> dict[str, Any]:
        """Name, licence, how pictures are prepared, and a fingerprint of the first scenes."""
        first = SceneTwinSet(self.world, 0, 4, self.size, self.scale)
        drawn = b"".join(first.load(index)["high"].numpy().tobytes() for index in range(4))
        return {
            "contract": self.contract,
            "name": "scenes",
            "licence": "Apache-2.0: drawn by the zoo",
            "research_only": False,
            "preprocessing": {
                "size": self.size,
                "scale": self.scale,
                "low": BICUBIC,
                "train_length": self.lengths["train"],
                "world": self.world,
            },
            "fingerprint": hashlib.sha256(drawn).hexdigest(),
        }


class SceneTwinSet(SampleSet):
    """Scenes ``first`` to ``first + length`` of a world, each with its twin.

    Args:
        world: Seed of the world.
        first: Index of the first scene.
        length: Number of scenes.
        size: Pixels of each side.
        scale: How many times smaller the twin is.
    """

    def __init__(self, world: int, first: int, length: int, size: int, scale: int) -> None:
        self.world, self.first, self.length = world, first, length
        self.size, self.scale = size, scale

    def __len__(self) -> int:
        """Number of scenes."""
        return self.length

    def load(self, index: int) -> Sample:
        """The scene ``high`` in 8 bit and its twin ``low``."""
        picture = scenes.draw(self.world, self.first + index, self.size).picture
        high = ((picture + 1) * 127.5).round().byte()
        return {"high": high, "low": shrink(high, self.scale)}

    def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
        """``input`` and ``target`` (3,H,W) in bytes."""
        return {"input": loaded["low"], "target": loaded["high"]}
