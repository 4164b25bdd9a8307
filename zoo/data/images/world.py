"""Drawn faces at any yaw, one picture a sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Unpack

import numpy as np

from zoo.bounds import Degrees, PositiveInt, Seed
from zoo.data.base import LoaderOptions, Sample, Split
from zoo.data.drawn import DrawnModule, DrawnSet
from zoo.data.pixels import require_picture
from zoo.data.worlds import faces
from zoo.errors import UserError
from zoo.seeds import mix


class FaceWorld(DrawnModule):
    """Drawn people, each once, with any expression, light and yaw; needs no files.

    Args:
        size: Pixels of each side, at least 16.
        most_yaw: Largest yaw to either side, 0 to 90 degrees; 0 gives frontal views only.
        train_length: Pictures per epoch.
        eval_length: Pictures of validation, and as many others of test.
        world: Seed of the world. Validation and test depend on it alone.
        options: Options of every data module, see :class:`zoo.data.base.DataModule`.

    Examples:
        >>> FaceWorld(size=32, train_length=4).split("train")[0]["image"].shape
        torch.Size([3, 32, 32])
    """

    contract: ClassVar[str] = "images"
    name = "faces"
    default_batch_size = 64

    def __init__(
        self,
        size: PositiveInt = 64,
        most_yaw: Degrees = 90.0,
        train_length: PositiveInt = 20_000,
        eval_length: PositiveInt = 2_000,
        world: Seed = 0,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        require_picture(size)
        if not 0 <= most_yaw <= 90:
            raise UserError(f"data.most_yaw is {most_yaw}; give 0 to 90 degrees.")
        self.size, self.most_yaw = size, most_yaw
        self.set_lengths(train_length, eval_length, world)

    def draw(self, first: int, length: int, split: Split) -> DrawnFaces:
        """Faces ``first`` to ``first + length``; no two splits share a person."""
        return DrawnFaces(self.world, first, length, self.size, self.most_yaw)

    def preprocessing(self) -> dict[str, Any]:
        """Size, angles and number of pictures."""
        return self.settings("size", "most_yaw", "train_length", "world")


@dataclass(eq=False, repr=False)
class DrawnFaces(DrawnSet):
    """Drawn faces ``first`` to ``first + length`` of a world.

    Args:
        size: Pixels of each side.
        most_yaw: Largest yaw to either side, in degrees.
    """

    size: int
    most_yaw: float

    def load(self, index: int) -> Sample:
        """One face."""
        number = self.first + index
        share = np.random.default_rng(mix("yaw", self.world, number)).uniform(-1, 1)
        shown = faces.parameters(self.world, number)
        return {"image": faces.draw(shown, share * self.most_yaw, self.size).picture}
