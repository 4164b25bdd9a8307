"""Base of data that are drawn by code: no files, unlimited samples, splits that never overlap.

Sample ``index`` of a world is a function of (world, index). Test takes indices from 0, validation from one
million, training from two million; :meth:`DrawnModule.set_lengths` refuses lengths that would overlap.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zoo.data.base import DataModule, Sample, SampleSet, Split
from zoo.errors import UserError

FIRST: dict[Split, int] = {"test": 0, "val": 1_000_000, "train": 2_000_000}  # index of a split's first sample


class DrawnModule(DataModule):
    """Data drawn by code. A subclass calls :meth:`set_lengths` and writes :meth:`draw`."""

    licence = "Apache-2.0: drawn by the zoo"
    research_only = False
    cache_by_default = False  # drawing is cheap
    longest: ClassVar[tuple[int, int]] = (10**9, 10**6)  # most samples of training and of evaluation
    fingerprint_keys: ClassVar[tuple[str, ...] | None] = (
        None  # what the fingerprint is of; None: every tensor
    )

    lengths: dict[Split, int]
    train_length: int
    world: int

    def set_lengths(self, train_length: int, eval_length: int, world: int) -> None:
        """Set how many samples each split has, and which world they come from.

        Raises:
            UserError: A split would be empty or so long that it overlaps the next.
        """
        for key, length, most in zip(
            ("train_length", "eval_length"), (train_length, eval_length), self.longest, strict=True
        ):
            if not 1 <= length <= most:
                raise UserError(f"data.{key} is {length}; give 1 to {most}.")
        self.train_length = train_length
        self.lengths = {"train": train_length, "val": eval_length, "test": eval_length}
        self.world = world

    def draw(self, first: int, length: int, split: Split) -> SampleSet:
        """Samples ``first`` to ``first + length`` of the world, as ``split`` uses them."""
        raise NotImplementedError

    def dataset(self, split: Split) -> SampleSet:
        """The samples of a split; no two splits share one."""
        return self.draw(FIRST[split], self.lengths[split], split)

    def fingerprint(self) -> str:
        """SHA-256 over the first four test samples."""
        return fingerprint_of(self.draw(0, 4, "test"), self.fingerprint_keys)


@dataclass(eq=False, repr=False)
class DrawnSet(SampleSet):
    """Samples ``first`` to ``first + length`` of a world, drawn when asked for.

    Args:
        world: Seed of the world.
        first: Index of the first sample.
        length: Number of samples.
    """

    world: int
    first: int
    length: int


def fingerprint_of(samples: SampleSet, keys: Iterable[str] | None = None) -> str:
    """SHA-256 over the loaded tensors of a small set, in the order of ``keys``; over all if not given."""
    digest = hashlib.sha256()
    for index in range(len(samples)):
        loaded: Sample = samples.load(index)
        for key in loaded if keys is None else keys:
            if isinstance(value := loaded[key], Tensor):
                digest.update(value.numpy().tobytes())
    return digest.hexdigest()
