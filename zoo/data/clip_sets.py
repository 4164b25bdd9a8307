"""Clips of known sets that are put together when asked for: Moving MNIST, and sprites in action."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Unpack

import torch

from zoo.data.base import LoaderOptions, Sample, SampleSet, Split
from zoo.data.clips import FIRST, ClipModule, DrawnClips, cut_film, resized
from zoo.data.images import MNIST, MemorySet
from zoo.data.poses import Sprites
from zoo.data.sprites import ACTIONS, FRAMES, SpriteSheets, on_black
from zoo.data.worlds import clips
from zoo.errors import UserError


class MovingDigits(ClipModule):
    """Moving MNIST: films of two digits of MNIST's that bounce off the edges, drawn when asked for.

    The protocol is the published one (https://arxiv.org/abs/1502.04681); the sequences are our own, so
    numbers compare in kind with those on the published 10,000 test sequences, not digit by digit.
    Training, validation and test use MNIST's own training, last 10,000 and test digits.

    Args:
        root: Folder of MNIST's idx files, as for :class:`zoo.data.images.MNIST`.
        past: Frames that a model is given; 10 in the protocol.
        future: Frames that follow; 10 in the protocol.
        size: Pixels of each side; 64 in the protocol, with digits of 28.
        count: Digits in a film; 2 in the protocol.
        train_length: Clips in an epoch.
        eval_length: Clips for validation, and as many others for test.
        world: Which films are drawn; validation and test depend on nothing else.
        options: Those of every data module; ``cache`` is off when not given, for drawing is cheap.
    """

    worth_keeping = False

    def __init__(
        self,
        root: str = "data/mnist",
        past: int = 10,
        future: int = 10,
        size: int = 64,
        count: int = 2,
        train_length: int = 10_000,
        eval_length: int = 1000,
        world: int = 0,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(past, future, **options)
        for key, value, least in (("size", size, 16), ("count", count, 1)):
            if value < least:
                raise UserError(f"data.{key} is {value}; give at least {least}.")
        self.size, self.count, self.world = size, count, world
        self.lengths: dict[Split, int] = {"train": train_length, "val": eval_length, "test": eval_length}
        self._mnist = MNIST(root)

    def dataset(self, split: Split) -> DrawnClips:
        """The films of a split; no two splits share a film or a digit.

        Raises:
            UserError: MNIST's files are missing or damaged.
        """
        digits = self._mnist.split(split)
        assert isinstance(digits, MemorySet)
        draw = partial(clips.moving_digits, digits.values[:, 0].numpy(), self.world, count=self.count)
        frames = self.past + self.future
        return DrawnClips(draw, FIRST[split], self.lengths[split], self.past, frames, self.size)

    def describe(self) -> dict[str, Any]:
        """Name and licence of the digits, settings, and the digits' fingerprint."""
        source = self._mnist.describe()
        return source | {
            "contract": self.contract,
            "name": f"moving digits of {source['name']}",
            "preprocessing": {
                key: getattr(self, key) for key in ("past", "future", "size", "count", "world")
            },
        }


class SpriteClips(ClipModule):
    """Figures of the Liberated Pixel Cup in action: 1,296 characters, 9 actions of 8 frames, on black.

    Batches hold ``action`` (a number of :data:`zoo.data.sprites.ACTIONS`) and ``identity`` (4,) too: which
    body, bottom, top and hair, 0 to 5 each. Splits share no character and are those of
    :class:`zoo.data.poses.Sprites`.

    Args:
        root: The folder of sheets; its layout stands in ``zoo/data/sprites.py``.
        past: Frames that a model is given.
        future: Frames that follow; 8 with the past at most.
        size: Pixels of each side; 64 as they are.
        options: Those of every data module; ``cache`` is off when not given, for sheets stay in memory.
    """

    worth_keeping = False

    def __init__(
        self, root: str, past: int = 4, future: int = 4, size: int = 64, **options: Unpack[LoaderOptions]
    ) -> None:
        super().__init__(past, future, **options)
        if past + future > FRAMES:
            raise UserError(
                f"data.past and data.future are {past} and {future} frames, but an action has {FRAMES}; "
                "lower one."
            )
        if size < 16:
            raise UserError(f"data.size is {size}; give at least 16.")
        self.size = size
        self._sprites = Sprites(root)

    def dataset(self, split: Split) -> SpriteFilms:
        """All actions of the split's characters.

        Raises:
            UserError: A sheet is missing.
        """
        pairs = self._sprites.dataset(split)
        return SpriteFilms(pairs.sheets, pairs.characters, self.past, self.past + self.future, self.size)

    def describe(self) -> dict[str, Any]:
        """Name, licence, settings, and a fingerprint of the sheets."""
        settings = {key: getattr(self, key) for key in ("past", "future", "size")} | {
            "actions": list(ACTIONS)
        }
        return self._sprites.describe() | {"contract": self.contract, "preprocessing": settings}


class SpriteFilms(SampleSet):
    """Each action of each character.

    Args:
        sheets: The parts.
        characters: Whom to show.
        past: Frames that a model is given.
        frames: All frames.
        size: Pixels of each side.
    """

    def __init__(
        self, sheets: SpriteSheets, characters: list[int], past: int, frames: int, size: int
    ) -> None:
        self.sheets, self.characters = sheets, characters
        self.past, self.frames, self.size = past, frames, size

    def __len__(self) -> int:
        """Number of films."""
        return len(self.characters) * len(ACTIONS)

    def files(self) -> list[Path]:
        """The sheets."""
        return self.sheets.files()

    def load(self, index: int) -> Sample:
        """``film`` (T, 3, size, size) of uint8, ``action`` and ``identity``."""
        person, action = divmod(index, len(ACTIONS))
        character = self.sheets.character(self.characters[person])
        film = torch.from_numpy(on_black(character.frames(ACTIONS[action])[: self.frames]))
        return {
            "film": torch.stack([resized(frame, self.size) for frame in film]),
            "action": torch.tensor(action),
            "identity": torch.tensor(character.kinds),
        }

    def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
        """``past`` and ``future`` in [-1, 1] and the labels; nothing is random."""
        labels = {key: loaded[key] for key in ("action", "identity")}
        return cut_film(loaded["film"], self.past) | labels
