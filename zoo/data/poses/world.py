"""Drawn people in pairs of poses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Unpack

import torch

from zoo.bounds import PositiveInt, Seed
from zoo.data.base import LoaderOptions, Sample, Split
from zoo.data.drawn import DrawnModule, DrawnSet, fingerprint_of
from zoo.data.poses.module import KeypointModule, KeypointSet
from zoo.data.poses.skeletons import CLOSING, OPENPOSE, pose_mask, to_openpose
from zoo.data.worlds import people


class PoseWorld(DrawnModule, KeypointModule):
    """Drawn people in front of a street, each in two poses; needs no files. Splits share no person.

    Args:
        height: Height of the pictures in pixels.
        width: Width of the pictures in pixels.
        radius: Radius of a keypoint's disc in pixels (PG2's code: 4).
        mirror: Mirror half of the training samples.
        train_length: People per epoch.
        eval_length: People of validation, and as many others of test.
        world: Seed of the world. Validation and test depend on it alone.
        options: Options of every data module, see :class:`zoo.data.base.DataModule`.
    """

    name = "people"

    def __init__(
        self,
        height: PositiveInt = 128,
        width: PositiveInt = 64,
        radius: PositiveInt = 4,
        mirror: bool = True,
        train_length: PositiveInt = 10_000,
        eval_length: PositiveInt = 500,
        world: Seed = 0,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(height, width, radius, mirror, **options)
        self.set_lengths(train_length, eval_length, world)

    def draw(self, first: int, length: int, split: Split) -> DrawnPeople:
        """People ``first`` to ``first + length``."""
        mirror = self.mirror and split == "train"
        return DrawnPeople(self.world, first, length, self.height, self.width, self.radius, mirror)

    def preprocessing(self) -> dict[str, Any]:
        """Measures of pictures and keypoint maps."""
        settings = self.settings("height", "width", "radius", "mirror", "train_length", "world")
        return settings | {"closing": CLOSING, "keypoints": list(OPENPOSE.names)}

    def fingerprint(self) -> str:
        """SHA-256 over both pictures of the first two people."""
        return fingerprint_of(self.draw(0, 2, "test"), ("input", "target"))


@dataclass(eq=False, repr=False)
class DrawnPeople(DrawnSet, KeypointSet):
    """People ``first`` to ``first + length`` of a world, each in two poses on one street.

    Args:
        height: Height of the pictures in pixels.
        width: Width of the pictures in pixels.
        radius: Radius of a keypoint's disc in pixels.
        mirror: Mirror with probability 1/2 in training.
    """

    height: int
    width: int
    radius: int
    mirror: bool
    skeleton = OPENPOSE

    def load(self, index: int) -> Sample:
        """A person in two poses, and the second one's keypoints and mask."""
        person = self.first + index
        who, street = people.identity_of(self.world, person), people.street_of(self.world, person)
        one, other = (
            people.draw(who, people.pose_of(self.world, 2 * person + k), self.height, self.width, street)
            for k in (0, 1)
        )
        keypoints = torch.from_numpy(to_openpose(other.keypoints))
        return {
            "input": torch.from_numpy(one.picture),
            "target": torch.from_numpy(other.picture),
            "keypoints": keypoints,
            "mask": pose_mask(keypoints, self.skeleton, self.height, self.width, self.radius),
        }
