"""Drawn faces at any yaw with their frontal views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Unpack

import numpy as np
import torch

from zoo.bounds import Degrees, PositiveInt, Seed
from zoo.data.base import LoaderOptions, Sample, Split
from zoo.data.checks import at_least
from zoo.data.drawn import DrawnModule, DrawnSet, fingerprint_of
from zoo.data.frontal.module import YAWS, patch_centres
from zoo.data.pixels import require_picture
from zoo.data.worlds import faces
from zoo.errors import UserError
from zoo.seeds import mix


class FrontalWorld(DrawnModule):
    """Drawn people turned by any angle, with their frontal twin; needs no files.

    Batches hold ``landmarks`` (10,2) in the order of :data:`zoo.data.worlds.faces.LANDMARKS`, and ``centres``
    (4,2) and ``yaw`` as :class:`FrontalFolder` does. A twin has the same expression and light. In training
    any angle comes; in evaluation 15, 30, 45, 60, 75 and 90 degrees to both sides in turn.

    Args:
        size: Pixels of each side.
        least_yaw: Least yaw in training, in degrees to either side.
        most_yaw: Largest yaw in training, at most 90 degrees.
        views: Pictures per person, with different expressions, light and yaw.
        train_length: Pairs per epoch.
        eval_length: Pairs of validation, and as many others of test.
        world: Seed of the world. Validation and test depend on it alone.
        options: Options of every data module, see :class:`zoo.data.base.DataModule`.
    """

    contract: ClassVar[str] = "frontal faces"
    name = "faces"
    default_batch_size = 10
    longest = (10**6, 10**6)

    def __init__(
        self,
        size: PositiveInt = 64,
        least_yaw: Degrees = 10.0,
        most_yaw: Degrees = 90.0,
        views: PositiveInt = 24,
        train_length: PositiveInt = 9600,
        eval_length: PositiveInt = 480,
        world: Seed = 0,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        require_picture(size)
        if not 0 <= least_yaw < most_yaw <= 90:
            raise UserError(
                f"data.least_yaw is {least_yaw} and data.most_yaw {most_yaw}; give 0 to 90, the first less."
            )
        at_least(1, views=views)
        self.size, self.least_yaw, self.most_yaw = size, least_yaw, most_yaw
        self.views = views
        self.set_lengths(train_length, eval_length, world)

    def people(self, split: Split) -> int:
        """Number of people in a split."""
        return -(-self.lengths[split] // self.views)

    def draw(self, first: int, length: int, split: Split) -> DrawnPairs:
        """Pairs ``first`` to ``first + length``; no two splits share a person."""
        before: dict[Split, int] = {"train": 0, "val": self.people("train")}
        number = before.get(split, self.people("train") + self.people("val"))
        yaws = (self.least_yaw, self.most_yaw) if split == "train" else None
        return DrawnPairs(self.world, first, length, self.size, self.views, yaws, number)

    def preprocessing(self) -> dict[str, Any]:
        """Size, angles, and how many people and landmarks there are."""
        return {
            **self.settings("size", "least_yaw", "most_yaw", "views", "train_length", "world"),
            "identities": self.people("train"),
            "landmarks": len(faces.LANDMARKS),
        }

    def fingerprint(self) -> str:
        """SHA-256 over two views of each of the first two people."""
        return fingerprint_of(DrawnPairs(self.world, 0, 4, self.size, 2, None, 0))


@dataclass(eq=False, repr=False)
class DrawnPairs(DrawnSet):
    """Drawn pairs ``first`` to ``first + length`` of a world.

    Args:
        size: Pixels of each side.
        views: Pictures per person.
        yaws: Least and largest yaw in degrees; None takes the angles of evaluation.
        number: ``identity`` of the first person.
    """

    size: int
    views: int
    yaws: tuple[float, float] | None
    number: int

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
        """Yaw of pair ``index`` in degrees."""
        if self.yaws is None:
            return YAWS[index % len(YAWS)]
        random = np.random.default_rng(mix("yaw", self.world, self.first + index))
        low, high = self.yaws
        return float(random.choice([-1, 1]) * random.uniform(low, high))
