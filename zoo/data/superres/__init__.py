"""Super-resolution: `input` (low), `target` (high)."""

from zoo.data.superres.module import SuperResolutionFolder
from zoo.data.superres.world import SceneTwins

__all__ = ["SceneTwins", "SuperResolutionFolder"]
