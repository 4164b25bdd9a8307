"""People in two poses: `input`, `pose`, `target`, `mask`."""

from zoo.data.poses.module import PoseFolder
from zoo.data.poses.sets import Sprites
from zoo.data.poses.world import PoseWorld

__all__ = ["PoseFolder", "PoseWorld", "Sprites"]
