"""Drawn clips: digits, balls and people that move."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Unpack

import torch

from zoo.bounds import PositiveInt, Seed
from zoo.data.base import LoaderOptions, Sample, SampleSet, Split
from zoo.data.checks import at_least, one_of
from zoo.data.clips.module import Array, ClipModule, cut_film
from zoo.data.drawn import DrawnModule
from zoo.data.worlds import clips


class ClipWorld(DrawnModule, ClipModule):
    """Unlimited drawn films: flying digits, objects bouncing through landscapes, people walking.

    Args:
        kind: ``digits`` (grey), ``scenes`` or ``walk``.
        past: Number of frames that a model is given.
        future: Number of frames that follow.
        size: Pixels of each side.
        train_length: Clips per epoch.
        eval_length: Clips of validation, and as many others of test.
        world: Seed of the world. Validation and test depend on it alone.
        options: Options of every data module, see :class:`zoo.data.base.DataModule`.
    """

    def __init__(
        self,
        kind: clips.Kind = "scenes",
        past: PositiveInt = 4,
        future: PositiveInt = 1,
        size: PositiveInt = 64,
        train_length: PositiveInt = 10_000,
        eval_length: PositiveInt = 500,
        world: Seed = 0,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(past, future, **options)
        one_of(clips.Kind, kind=kind)
        at_least(16, size=size)
        self.kind, self.size, self.name = kind, size, f"clips ({kind})"
        self.set_lengths(train_length, eval_length, world)

    def draw(self, first: int, length: int, split: Split) -> DrawnClips:
        """Films ``first`` to ``first + length``."""
        film = partial(clips.draw, self.kind, self.world)
        return DrawnClips(film, first, length, self.past, self.past + self.future, self.size)

    def preprocessing(self) -> dict[str, Any]:
        """Kind of film, and its size in pixels and frames."""
        return self.settings("kind", "past", "future", "size", "world")

    def fingerprint(self) -> str:
        """SHA-256 over two frames of each of the first films."""
        drawn = [clips.draw(self.kind, self.world, index, 2, self.size).tobytes() for index in range(4)]
        return hashlib.sha256(b"".join(drawn)).hexdigest()


@dataclass(eq=False, repr=False)
class DrawnClips(SampleSet):
    """Films drawn on demand.

    Args:
        draw: Function of (index, number of frames, size) that returns a film (T, C, size, size) of uint8.
        first: Index of the first film.
        length: Number of films.
        past: Number of frames that a model is given.
        frames: Number of all frames.
        size: Pixels of each side.
    """

    draw: Callable[[int, int, int], Array]
    first: int
    length: int
    past: int
    frames: int
    size: int

    def load(self, index: int) -> Sample:
        """``film`` (T, C, size, size) of uint8."""
        return {"film": torch.from_numpy(self.draw(self.first + index, self.frames, self.size))}

    def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
        """``past`` and ``future`` in bytes; nothing is random."""
        return cut_film(loaded["film"], self.past)
