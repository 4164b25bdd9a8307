"""Toy worlds in the plane: a ring of Gaussians, a grid of Gaussians, a noisy sine curve.

A point is a function of (world, sigma, seed, split, epoch, index). Random numbers are hashes of this counter
(SplitMix64), so any set of points is drawn in a few array operations, in any order.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from zoo.seeds import mix

World = Literal["ring", "grid", "sine"]
RING_RADIUS = 0.8
GRID_SIDE = 0.8  # the centres of the grid lie in [-0.8, 0.8]

_STEP, _MIX1, _MIX2 = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def centres(world: Literal["ring", "grid"]) -> NDArray[np.float64]:
    """Means of the Gaussians: (8, 2) on a circle, or (25, 2) on a square grid."""
    if world == "ring":
        angles = np.arange(8) * (np.pi / 4)
        return RING_RADIUS * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    axis = np.linspace(-GRID_SIDE, GRID_SIDE, 5)
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)


def draw(
    world: World, sigma: float, seed: int, split: str, epoch: NDArray[np.int64], index: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Draw the points (N, 2) of the keys ``zip(epoch, index)``.

    Args:
        world: Name of the density.
        sigma: Standard deviation of each Gaussian, or of the vertical noise of the sine.
        seed: Seed of the points.
        split: Name of the split; splits share no points.
        epoch: Epochs (N,); each has points of its own.
        index: Indices (N,) within the epoch.
    """
    key = np.uint64(mix("toys", seed, split))
    counter = _hash(_hash(epoch.astype(np.uint64) + key)) + index.astype(np.uint64)
    where, radius, angle = (_uniform(counter, part) for part in range(3))
    # Box-Muller transform; 1 - u lies in (0, 1], so the logarithm is finite
    length = sigma * np.sqrt(-2 * np.log1p(-radius))
    noise = length[:, None] * np.stack([np.cos(2 * np.pi * angle), np.sin(2 * np.pi * angle)], axis=1)
    if world == "sine":
        x = 2 * where - 1
        return np.stack([x, 0.8 * np.sin(np.pi * x) + noise[:, 1]], axis=1).astype(np.float32)
    means = centres(world)
    points: NDArray[np.float64] = means[(where * len(means)).astype(np.int64)] + noise
    return points.astype(np.float32)


def _uniform(counter: NDArray[np.uint64], part: int) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1) with 53 bits; each ``part`` is an independent stream."""
    return (_hash(_hash(counter) + np.uint64(part)) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _hash(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Next output of SplitMix64 from state ``x``; the overflow at 64 bits is intended."""
    z = x + _STEP
    z = (z ^ (z >> np.uint64(30))) * _MIX1
    z = (z ^ (z >> np.uint64(27))) * _MIX2
    return z ^ (z >> np.uint64(31))
