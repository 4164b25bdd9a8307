"""Earlier class paths of :mod:`zoo.data.captions.sets`, which recipes and checkpoints may name."""

from zoo.data.captions.sets import CUB, Avatars, COCOCaptions, DungeonTiles, Emoji, OxfordFlowers, Stamps

__all__ = ["CUB", "Avatars", "COCOCaptions", "DungeonTiles", "Emoji", "OxfordFlowers", "Stamps"]
