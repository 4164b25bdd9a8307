"""Video clips: `past`, `future`."""

from zoo.data.clips.module import ClipFolder
from zoo.data.clips.sets import MovingDigits, MovingMNIST, SpriteClips
from zoo.data.clips.world import ClipWorld

__all__ = ["ClipFolder", "ClipWorld", "MovingDigits", "MovingMNIST", "SpriteClips"]
