"""Drawn faces at any yaw with their frontal views."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

import numpy as np
import torch

from zoo.data.base import DataModule, LoaderOptions, Sample, SampleSet, Split
from zoo.data.domains.files import require_picture
from zoo.data.domains.module import fingerprint_of
from zoo.data.domains.world import FIRST
from zoo.data.frontal.module import YAWS, patch_centres
from zoo.data.worlds import faces
from zoo.errors import UserError
from zoo.seeds import mix


# -------------------------------------------------------------------------------------------------- the world
class FrontalWorld(DataModule):
    """Drawn people turned by any angle, with their frontal twin; needs no files.

    Batches hold ``landmarks`` (10,2) in the order of :data:`zoo.data.worlds.faces.LANDMARKS`, and ``centres``
    (4,2) and ``yaw`` as :class:`FrontalFolder` does. A twin has the same expression and light. In training
    any angle comes; in evaluation 15, 30, 45, 60, 75 and 90 degrees to both sides in turn.

    Args:
        size: Pixels of each side.
        least_yaw: Training turns by at least so many degrees, to either side.
        most_yaw: Training turns by at most so many, up to 90.
        views: Pictures of each person, each with another expression, light and yaw.
        train_length: Pairs in an epoch.
        eval_length: Pairs for validation, and as many others for test.
        world: Which world is drawn; validation and test depend on nothing else.
        options: Those of every data module, at :class:`zoo.data.base.DataModule`.
    """

    contract: ClassVar[str] = "frontal faces"
    usual_batch_size = 10
    worth_keeping = False

    def __init__(
        self,
        size: int = 64,
        least_yaw: float = 10.0,
        most_yaw: float = 90.0,
        views: int = 24,
        train_length: int = 9600,
        eval_length: int = 480,
        world: int = 0,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        require_picture(size)
        if not 0 <= least_yaw < most_yaw <= 90:
            raise UserError(
                f"data.least_yaw is {least_yaw} and data.most_yaw {most_yaw}; give 0 to 90, the first less."
            )
        if views < 1:
            raise UserError(f"data.views is {views}; give at least 1.")
        if max(train_length, eval_length) > 1_000_000:
            raise UserError("data.train_length and data.eval_length may be at most 1000000; give less.")
        self.size, self.least_yaw, self.most_yaw = size, least_yaw, most_yaw
        self.views, self.world = views, world
        self.lengths: dict[Split, int] = {"train": train_length, "val": eval_length, "test": eval_length}

    def people(self, split: Split) -> int:
        """How many people a split shows."""
        return -(-self.lengths[split] // self.views)

    def dataset(self, split: Split) -> DrawnPairs:
        """The pairs of a split; no two splits share a person."""
        before: dict[Split, int] = {"train": 0, "val": self.people("train")}
        number = before.get(split, self.people("train") + self.people("val"))
        yaws = (self.least_yaw, self.most_yaw) if split == "train" else None
        return DrawnPairs(self.world, FIRST[split], self.lengths[split], self.size, self.views, yaws, number)

    def describe(self) -> dict[str, Any]:
        """Name, licence, how pictures are drawn, and a fingerprint of the first."""
        return {
            "contract": self.contract,
            "name": "faces",
            "licence": "Apache-2.0: drawn by the zoo",
            "research_only": False,
            "preprocessing": {
                "size": self.size,
                "least_yaw": self.least_yaw,
                "most_yaw": self.most_yaw,
                "views": self.views,
                "identities": self.people("train"),
                "landmarks": len(faces.LANDMARKS),
                "train_length": self.lengths["train"],
                "world": self.world,
            },
            "fingerprint": fingerprint_of(DrawnPairs(self.world, 0, 4, self.size, 2, None, 0)),
        }


class DrawnPairs(SampleSet):
    """Drawn pairs ``first`` to ``first + length`` of a world.

    Args:
        world: Seed of the world.
        first: Number of the first picture, and of the first person.
        length: Number of pairs.
        size: Pixels of each side.
        views: Pictures of each person.
        yaws: Least and most degrees, or None for the angles of evaluation.
        number: The first person's ``identity``.
    """

    def __init__(
        self,
        world: int,
        first: int,
        length: int,
        size: int,
        views: int,
        yaws: tuple[float, float] | None,
        number: int,
    ) -> None:
        self.world, self.first, self.length, self.size = world, first, length, size
        self.views, self.yaws, self.number = views, yaws, number

    def __len__(self) -> int:
        """Number of pairs."""
        return self.length

    def load(self, index: int) -> Sample:
        """A turned face and its frontal twin."""
        who, number = index // self.views, self.first + index
        shown = faces.Parameters(
            faces.person(self.world, self.first + who),
            faces.expression(self.world, number),
            faces.light(self.world, number),
        )
        yaw = self.yaw(index)
        turned, frontal = faces.draw(shown, yaw, self.size), faces.draw(shown, 0.0, self.size)
        return {
            "input": turned.picture,
            "target": frontal.picture,
            "landmarks": turned.landmarks,
            "centres": patch_centres(turned.landmarks),
            "identity": torch.tensor(self.number + who),
            "yaw": torch.tensor(yaw, dtype=torch.float32),
        }

    def yaw(self, index: int) -> float:
        """How far pair ``index`` is turned."""
        if self.yaws is None:
            return YAWS[index % len(YAWS)]
        random = np.random.default_rng(mix("yaw", self.world, self.first + index))
        low, high = self.yaws
        return float(random.choice([-1, 1]) * random.uniform(low, high))
