"""Pairs of pictures registered pixel by pixel: `input`, `target`."""

from zoo.data.pairs.module import PairFolder
from zoo.data.pairs.world import ScenePairs

__all__ = ["PairFolder", "ScenePairs"]
