"""The contract points: ``{point (2,)}``, unbounded. Its data are the toy worlds, which need no files."""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar

import numpy as np
import torch

from zoo.bounds import NonNegativeFloat, NonNegativeInt, PositiveInt, Seed
from zoo.data.base import Batch, DataModule, Key, Sample, SampleSet, Split
from zoo.data.worlds import toys
from zoo.data.worlds.toys import World
from zoo.drawing.sheets import scatter


class PointSet(SampleSet):
    """Points of one toy world; each training epoch has new ones.

    Args:
        world: Name of the density.
        length: Number of points per epoch.
        sigma: Standard deviation of the noise.
        split: Name of the split; splits share no points.
    """

    def __init__(self, world: World, length: int, sigma: float, split: Split) -> None:
        self.world: World = world
        self.length, self.sigma, self.split = length, sigma, split

    def sample(self, index: int, random: torch.Generator | None) -> Batch:
        """The point ``index`` as in evaluation."""
        return self[index]

    def __getitem__(self, key: Key) -> Batch:
        """One point, by index or by (epoch, index)."""
        return {"point": self._draw([key])[0]}

    def __getitems__(self, keys: list[Key]) -> Batch:
        """The points (N, 2) of a whole batch at once."""
        return {"point": self._draw(keys)}

    def _draw(self, keys: list[Key]) -> torch.Tensor:
        pairs = np.array([(0, key) if isinstance(key, int) else key for key in keys], np.int64)
        return torch.from_numpy(toys.draw(self.world, self.sigma, self.seed, self.split, *pairs.T))


class Points(DataModule):
    """A toy world: a ``ring`` of 8 Gaussians, a 5x5 ``grid`` of Gaussians, or a noisy ``sine`` curve.

    All worlds lie roughly in [-1, 1].

    Args:
        world: Name of the density.
        length: Number of training points per epoch; each epoch has new ones.
        eval_length: Number of points of validation and of test, the same at each evaluation.
        sigma: Standard deviation of each Gaussian, or of the vertical noise of the sine.
        batch_size: Points per training batch.
        eval_batch_size: Points per batch in validation and test.
        num_workers: Worker processes; 0 is fastest here.
        seed: Seed of the points and their order; that of the run if not given.
    """

    contract: ClassVar[str] = "points"
    licence = "none needed: drawn by code"
    research_only = False

    def __init__(
        self,
        world: World,
        length: PositiveInt = 25_600,
        eval_length: PositiveInt = 2_000,
        sigma: NonNegativeFloat = 0.02,
        batch_size: PositiveInt = 256,
        eval_batch_size: PositiveInt | None = 1_000,
        num_workers: NonNegativeInt = 0,
        seed: Seed | None = None,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, num_workers, seed)
        if sigma <= 0:
            raise ValueError(f"sigma must be above 0, got {sigma}")
        self.world: World = world
        self.name = world
        self.length, self.eval_length, self.sigma = length, eval_length, sigma

    def dataset(self, split: Split) -> PointSet:
        """The points of a split."""
        return PointSet(self.world, self.length if split == "train" else self.eval_length, self.sigma, split)

    def sheet(self, samples: list[Sample]) -> torch.Tensor:
        """A scatter plot of the points."""
        return scatter({"data": torch.stack([sample["point"] for sample in samples])})

    def preprocessing(self) -> dict[str, Any]:
        """The standard deviation."""
        return {"sigma": self.sigma}

    def fingerprint(self) -> str:
        """SHA-256 over the first 100 points of seed 0."""
        zero, first = np.zeros(100, np.int64), np.arange(100)
        drawn = toys.draw(self.world, self.sigma, 0, "train", zero, first)
        return hashlib.sha256(drawn.tobytes()).hexdigest()
