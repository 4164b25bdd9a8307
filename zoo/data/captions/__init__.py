"""Pictures with sentences: `image`, `text`, `caption`, and mismatches."""

from zoo.data.captions.module import CaptionFolder
from zoo.data.captions.sets import CUB, Avatars, COCOCaptions, DungeonTiles, Emoji, OxfordFlowers, Stamps
from zoo.data.captions.shapes import ShapesWorld
from zoo.data.captions.world import SceneCaptions

__all__ = [
    "CUB",
    "Avatars",
    "COCOCaptions",
    "CaptionFolder",
    "DungeonTiles",
    "Emoji",
    "OxfordFlowers",
    "SceneCaptions",
    "ShapesWorld",
    "Stamps",
]
