"""Earlier class paths of :mod:`zoo.data.clips.sets`, which recipes and checkpoints may name."""

from zoo.data.clips.sets import MovingDigits, MovingMNIST, SpriteClips

__all__ = ["MovingDigits", "MovingMNIST", "SpriteClips"]
