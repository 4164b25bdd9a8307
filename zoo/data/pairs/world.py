"""Drawn landscapes as pairs: from label maps or outlines to pictures."""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar, Literal, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.data.base import DataModule, LoaderOptions, Sample, SampleSet, Split
from zoo.data.worlds import scenes
from zoo.errors import UserError


class ScenePairs(DataModule):
    """Drawn landscapes, from their label maps or their outlines; needs no files.

    The input is one-hot (16,H,W) in {0, 1}, or a drawing (1,H,W) of -1 on 1. Batches hold ``labels`` and
    ``instances`` (H,W) too. Splits share no scene.

    Args:
        size: Pixels of each side.
        source: What the picture is drawn from.
        train_length: Scenes in an epoch.
        eval_length: Scenes for validation, and as many others for test.
        world: Which world is drawn; validation and test depend on nothing else.
        options: Those of every data module, at :class:`zoo.data.base.DataModule`.
    """

    contract: ClassVar[str] = "pairs"
    usual_batch_size = 1

    def __init__(
        self,
        size: int = 64,
        source: Literal["labels", "edges"] = "labels",
        train_length: int = 2000,
        eval_length: int = 200,
        world: int = 0,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        if size < 16:
            raise UserError(f"data.size is {size}; give at least 16.")
        if source not in ("labels", "edges"):
            raise UserError(f"data.source is {source!r}; give labels or edges.")
        self.size = size
        self.source = source
        self.lengths: dict[Split, int] = {"train": train_length, "val": eval_length, "test": eval_length}
        self.world = world

    def dataset(self, split: Split) -> SceneSet:
        """Draw the scenes of a split; no two splits share one."""
        first = {"test": 0, "val": 1_000_000, "train": 2_000_000}[split]
        return SceneSet(self.world, first, self.lengths[split], self.size, self.source)

    def describe(self) -> dict[str, Any]:
        """Name, licence, how pictures are prepared, and a fingerprint of the first scenes."""
        drawn = [scenes.draw(self.world, index, self.size) for index in range(4)]
        digest = hashlib.sha256(b"".join(_bytes(scene.picture).numpy().tobytes() for scene in drawn))
        return {
            "contract": self.contract,
            "name": "scenes",
            "licence": "Apache-2.0: drawn by the zoo",
            "research_only": False,
            "preprocessing": {
                "source": self.source,
                "size": self.size,
                "classes": list(scenes.CLASSES),
                "colours": [list(colour) for colour in scenes.PALETTE],
                "train_length": self.lengths["train"],
                "world": self.world,
            },
            "fingerprint": digest.hexdigest(),
        }


class SceneSet(SampleSet):
    """Scenes ``first`` to ``first + length`` of a world.

    Args:
        world: Seed of the world.
        first: Index of the first scene.
        length: Number of scenes.
        size: Pixels of each side.
        source: What ``input`` shows.
    """

    def __init__(
        self, world: int, first: int, length: int, size: int, source: Literal["labels", "edges"]
    ) -> None:
        self.world, self.first, self.length, self.size, self.source = world, first, length, size, source

    def __len__(self) -> int:
        """Number of scenes."""
        return self.length

    def load(self, index: int) -> Sample:
        """One scene in the fewest bits: ``target``, ``labels``, ``instances``, for drawings ``edges``."""
        scene = scenes.draw(self.world, self.first + index, self.size)
        drawn = {
            "target": _bytes(scene.picture),
            "labels": scene.labels.to(torch.uint8),
            "instances": scene.instances.to(torch.uint8),
        }
        return drawn | ({"edges": scene.edges.to(torch.int8)} if self.source == "edges" else {})

    def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
        """``input``, ``target``, ``labels`` and ``instances``; nothing is random."""
        labels = loaded["labels"].long()
        if self.source == "edges":
            x = loaded["edges"].float()
        else:
            x = F.one_hot(labels, len(scenes.CLASSES)).permute(2, 0, 1).float()
        instances = loaded["instances"].long()
        return {"input": x, "target": loaded["target"], "labels": labels, "instances": instances}


def _bytes(picture: Tensor) -> Tensor:
    """A picture in [-1, 1] in eight bits, as a file would hold it."""
    return ((picture + 1) * 127.5).round().byte()
