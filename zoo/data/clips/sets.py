"""Clips of public sets: Moving MNIST, drawn or from its file, and sprites in action."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch

from zoo.bounds import PositiveInt, Seed
from zoo.data.base import LoaderOptions, Sample, SampleSet, Split
from zoo.data.checks import at_least
from zoo.data.clips.module import ClipModule, cut_film, resized
from zoo.data.clips.world import DrawnClips
from zoo.data.drawn import DrawnModule
from zoo.data.folders import find_root
from zoo.data.images.module import MNIST, MemorySet
from zoo.data.poses.sets import Sprites
from zoo.data.poses.sprites import ACTIONS, FRAMES, SpriteSheets, on_black
from zoo.data.worlds import clips
from zoo.errors import UserError
from zoo.files.writing import sha256


class MovingDigits(DrawnModule, ClipModule):
    """Moving MNIST: films of two MNIST digits that bounce off the edges, drawn on demand.

    The protocol is the published one (https://arxiv.org/abs/1502.04681); the sequences are our own, so scores
    are comparable to those on the published 10,000 test sequences only roughly. Training, validation and test
    use MNIST's training digits, their last 10,000, and its test digits.

    Args:
        root: Folder of MNIST's idx files, as for :class:`zoo.data.images.MNIST`.
        past: Number of frames that a model is given; 10 in the protocol.
        future: Number of frames that follow; 10 in the protocol.
        size: Pixels of each side; 64 in the protocol, with digits of 28.
        count: Digits per film; 2 in the protocol.
        train_length: Clips per epoch.
        eval_length: Clips for validation, and as many others for test.
        world: Seed of the films; validation and test depend on nothing else.
        options: Options of every data module; ``cache`` is off by default, since drawing is cheap.
    """

    def __init__(
        self,
        root: str = "data/mnist",
        past: PositiveInt = 10,
        future: PositiveInt = 10,
        size: PositiveInt = 64,
        count: PositiveInt = 2,
        train_length: PositiveInt = 10_000,
        eval_length: PositiveInt = 1000,
        world: Seed = 0,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(past, future, **options)
        at_least(16, size=size)
        at_least(1, count=count)
        self.size, self.count = size, count
        self.set_lengths(train_length, eval_length, world)
        self._mnist = MNIST(root)

    def draw(self, first: int, length: int, split: Split) -> DrawnClips:
        """Films ``first`` to ``first + length``; no two splits share a film or a digit.

        Raises:
            UserError: MNIST's files are missing or damaged.
        """
        digits = self._mnist.split(split)
        assert isinstance(digits, MemorySet)
        film = partial(clips.moving_digits, digits.values[:, 0].numpy(), self.world, count=self.count)
        return DrawnClips(film, first, length, self.past, self.past + self.future, self.size)

    def describe(self) -> dict[str, Any]:
        """Name and licence of the digits, settings, and the digits' fingerprint."""
        source = self._mnist.describe()
        return source | {
            "contract": self.contract,
            "name": f"moving digits of {source['name']}",
            "preprocessing": self.settings("past", "future", "size", "count", "world"),
        }


class MovingMNIST(ClipModule):
    """Moving MNIST's own 10,000 sequences of 20 frames (https://arxiv.org/abs/1502.04681), from their file.

    With ``mnist`` all of them are for test, and training and validation are drawn as in
    :class:`MovingDigits`, which is the published protocol. Without it the sequences are split, the last 1,000
    for test and the 1,000 before for validation, and scores are not comparable with published ones.

    Args:
        root: Folder of ``mnist_test_seq.npy``.
        mnist: Folder of MNIST's idx files; None splits the sequences.
        past: Number of frames that a model is given; 10 in the protocol.
        future: Number of frames that follow; 10 in the protocol, 20 with the past at most.
        options: Options of every data module; ``cache`` is off by default, since the file is memory-mapped.
    """

    cache_by_default = False
    FILE = "mnist_test_seq.npy"
    SHAPE = (20, 10_000, 64, 64)
    GENUINE = "c2a3e8d3939c001ab77bf543f130157424efa486bb4d0974d2cebb773b13f8b3"  # its SHA-256

    def __init__(
        self,
        root: str = "data/moving_mnist",
        mnist: str | None = None,
        past: PositiveInt = 10,
        future: PositiveInt = 10,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(past, future, **options)
        if past + future > self.SHAPE[0]:
            raise UserError(
                f"data.past and data.future are {past} and {future} frames, but a sequence has "
                f"{self.SHAPE[0]}; lower one."
            )
        self.path = find_root(root) / self.FILE
        self._drawn = MovingDigits(mnist, past, future) if mnist else None

    def dataset(self, split: Split) -> SampleSet:
        """The sequences of a split, or drawn films.

        Raises:
            UserError: The file is missing, damaged or of another shape; or MNIST's are.
        """
        if self._drawn and split != "test":
            return self._drawn.dataset(split)
        sequences = _mapped(self.path)
        if sequences.shape != self.SHAPE or sequences.dtype != np.uint8:
            raise UserError(
                f"{self.path} holds {sequences.shape} of {sequences.dtype} where Moving MNIST is "
                f"{self.SHAPE} of uint8; fetch it again."
            )
        count = self.SHAPE[1]
        tenth = count // 10
        divided = {"train": (0, count - 2 * tenth), "val": (count - 2 * tenth, count - tenth)}
        first, end = (0, count) if self._drawn else divided.get(split, (count - tenth, count))
        return Sequences(self.path, range(first, end), self.past, self.past + self.future)

    def describe(self) -> dict[str, Any]:
        """Name, licence, settings, and the SHA-256 of the file (with that of MNIST's digits)."""
        digest = sha256(self.path)
        known = {
            "contract": self.contract,
            "name": "Moving MNIST" if digest == self.GENUINE else f"sequences of {self.path}",
            "licence": "as MNIST (CC BY-SA 3.0); none stated for the sequences: research use only",
            "research_only": True,
            "preprocessing": {"past": self.past, "future": self.future, "training": "the sequences' own"},
            "fingerprint": digest,
        }
        if self._drawn:
            drawn = self._drawn.describe()
            known["preprocessing"] = drawn["preprocessing"] | {"training": drawn["name"]}
            known["fingerprint"] = f"{digest} {drawn['fingerprint']}"
        return known


class Sequences(SampleSet):
    """Some of the sequences of a memory-mapped file.

    Args:
        path: File of an array (T, N, H, W) of uint8.
        places: Indices into N.
        past: Number of frames that a model is given.
        frames: Number of frames in all.
    """

    def __init__(self, path: Path, places: range, past: int, frames: int) -> None:
        self.path, self.places, self.past, self.frames = path, places, past, frames

    def __len__(self) -> int:
        return len(self.places)

    def files(self) -> list[Path]:
        """The one file."""
        return [self.path]

    def load(self, index: int) -> Sample:
        """``film`` (T, 1, H, W) of uint8."""
        film = np.array(_mapped(self.path)[: self.frames, self.places[index]])
        return {"film": torch.from_numpy(film[:, None])}

    def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
        """``past`` and ``future``; nothing is random."""
        return cut_film(loaded["film"], self.past)


def _mapped(path: Path) -> np.ndarray[Any, Any]:
    """A memory-mapped .npy file; pickles are refused."""
    try:
        mapped: np.ndarray[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"{path} cannot be read as a NumPy file ({error}); fetch it with zoo data get moving_mnist, or "
            "name its folder with data.root."
        ) from error
    return mapped


class SpriteClips(ClipModule):
    """Figures of the Liberated Pixel Cup in action: 1,296 characters, 9 actions of 8 frames, on black.

    Batches also hold ``action`` (an index into :data:`zoo.data.poses.sprites.ACTIONS`) and ``identity`` (4,):
    body, bottom, top and hair, 0 to 5 each. Splits share no character and are those of
    :class:`zoo.data.poses.Sprites`.

    Args:
        root: The folder of sheets; :mod:`zoo.data.poses.sprites` shows its layout.
        past: Number of frames that a model is given.
        future: Number of frames that follow; at most 8 with the past.
        size: Pixels of each side; the files have 64.
        options: Options of every data module; ``cache`` is off by default, since sheets stay in memory.
    """

    cache_by_default = False

    def __init__(
        self,
        root: str,
        past: PositiveInt = 4,
        future: PositiveInt = 4,
        size: PositiveInt = 64,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(past, future, **options)
        if past + future > FRAMES:
            raise UserError(
                f"data.past and data.future are {past} and {future} frames, but an action has {FRAMES}; "
                "lower one."
            )
        at_least(16, size=size)
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
        settings = self.settings("past", "future", "size") | {"actions": list(ACTIONS)}
        return self._sprites.describe() | {"contract": self.contract, "preprocessing": settings}


class SpriteFilms(SampleSet):
    """Each action of each character.

    Args:
        sheets: The sheets of parts.
        characters: Numbers of the characters.
        past: Number of frames that a model is given.
        frames: Number of frames in all.
        size: Pixels of each side.
    """

    def __init__(
        self, sheets: SpriteSheets, characters: list[int], past: int, frames: int, size: int
    ) -> None:
        self.sheets, self.characters = sheets, characters
        self.past, self.frames, self.size = past, frames, size

    def __len__(self) -> int:
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
