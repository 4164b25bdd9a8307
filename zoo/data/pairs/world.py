"""Drawn landscapes as pairs: from label maps or outlines to pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Unpack

import torch
import torch.nn.functional as F

from zoo.bounds import PositiveInt, Seed
from zoo.data.base import LoaderOptions, Sample, Split
from zoo.data.checks import at_least, one_of
from zoo.data.drawn import DrawnModule, DrawnSet
from zoo.data.pixels import to_bytes
from zoo.data.worlds import scenes

Source = Literal["labels", "edges"]


class ScenePairs(DrawnModule):
    """Drawn landscapes, to be made from their label maps or outlines; needs no files.

    The input is one-hot (16,H,W) in {0, 1}, or a drawing (1,H,W) of -1 on 1. Batches hold ``labels`` and
    ``instances`` (H,W) too. Splits share no scene.

    Args:
        size: Pixels of each side.
        source: Input: one-hot ``labels``, or ``edges``.
        train_length: Scenes per epoch.
        eval_length: Scenes of validation, and as many others of test.
        world: Seed of the world. Validation and test depend on it alone.
        options: Options of every data module, see :class:`zoo.data.base.DataModule`.
    """

    contract: ClassVar[str] = "pairs"
    name = "scenes"
    default_batch_size = 1
    cache_by_default = True
    fingerprint_keys = ("target",)

    def __init__(
        self,
        size: PositiveInt = 64,
        source: Source = "labels",
        train_length: PositiveInt = 2000,
        eval_length: PositiveInt = 200,
        world: Seed = 0,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        at_least(16, size=size)
        one_of(Source, source=source)
        self.size = size
        self.source = source
        self.set_lengths(train_length, eval_length, world)

    def draw(self, first: int, length: int, split: Split) -> SceneSet:
        """Scenes ``first`` to ``first + length``."""
        return SceneSet(self.world, first, length, self.size, self.source)

    def preprocessing(self) -> dict[str, Any]:
        """What the input shows, and the classes with their colours."""
        return {
            **self.settings("source", "size", "train_length", "world"),
            "classes": list(scenes.CLASSES),
            "colours": [list(colour) for colour in scenes.PALETTE],
        }


@dataclass(eq=False, repr=False)
class SceneSet(DrawnSet):
    """Scenes ``first`` to ``first + length`` of a world.

    Args:
        size: Pixels of each side.
        source: Input: ``labels`` or ``edges``.
    """

    size: int
    source: Source

    def load(self, index: int) -> Sample:
        """One scene in small dtypes: ``target``, ``labels``, ``instances``, and ``edges`` if used."""
        scene = scenes.draw(self.world, self.first + index, self.size)
        drawn = {
            "target": to_bytes(scene.picture),
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
