"""Diversity of the samples of one condition: 0 means that the generator ignores its noise.

After Zhu 2017 (BicycleGAN): the mean distance between two samples of the same condition, averaged over many
conditions, usually by LPIPS. The papers draw some pairs at random; here all pairs of a condition's samples
count, which estimates the same mean with less variance. Noise is diverse too: report with it how realistic
the samples are, or how close to the target.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.errors import UserError

Distance = Callable[[Tensor, Tensor], Tensor]


class Diversity(NamedTuple):
    """Mean distance between two samples of one condition.

    Args:
        mean: Mean over pairs, then over conditions.
        error: One standard error over conditions; None if there is only one condition.
        conditions: Number of conditions.
        pairs: Number of pairs over all conditions.
    """

    mean: float
    error: float | None
    conditions: int
    pairs: int


def euclidean(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances (P) in float64 of features or images (P, ...)."""
    return (a.double() - b.double()).flatten(1).square().sum(1).sqrt()


def rms(a: Tensor, b: Tensor) -> Tensor:
    """Root-mean-square differences (P) in float64 of images (P, ...), in their unit: 0 to 255 for uint8."""
    return (a.double() - b.double()).flatten(1).square().mean(1).sqrt()


def diversity(samples: Iterable[Tensor], distance: Distance = euclidean, chunk: int = 64) -> Diversity:
    """Mean distance over all pairs of samples of one condition, with its standard error over conditions.

    Args:
        samples: Samples (K, ...) of each condition, K at least 2: images or features. Also a tensor
            (conditions, K, ...), or a generator that yields one condition's samples at a time.
        distance: Symmetric distances (P) of pairs (P, ...) and (P, ...): ``euclidean`` for features, ``rms``
            for images, or a perceptual network.
        chunk: Pairs per call of ``distance``.

    Raises:
        UserError: No condition, a condition with a single sample, or distances that are not P finite numbers.
    """
    means: list[float] = []
    pairs = 0
    for group in samples:
        if group.ndim < 2 or len(group) < 2:
            raise UserError(
                f"Condition {len(means)} has samples of shape {tuple(group.shape)}; diversity compares "
                "samples (K, ...) of one condition and needs at least 2 of them."
            )
        every = torch.combinations(torch.arange(len(group), device=group.device))
        found = [
            _checked(distance(group[part[:, 0]], group[part[:, 1]]), part)
            for part in torch.split(every, chunk)
        ]
        means.append(float(torch.cat(found).mean()))
        pairs += len(every)
    if not means:
        raise UserError("Diversity was given no condition; give the samples of at least one.")
    values = torch.tensor(means, dtype=torch.float64)
    error = float(values.std()) / math.sqrt(len(means)) if len(means) > 1 else None
    return Diversity(float(values.mean()), error, len(means), pairs)


def random_pairs(count: int, pairs: int, seed: int = 0) -> Tensor:
    """Pairs (P, 2) of different indices below ``count``: all of them if there are at most ``pairs``.

    Otherwise ``pairs`` of them are drawn, each on its own, so that one may come twice.

    Raises:
        UserError: There are fewer than two indices.
    """
    if count < 2:
        raise UserError(f"{count} images have no pairs; give at least two.")
    if count * (count - 1) // 2 <= pairs:
        return torch.combinations(torch.arange(count))
    random = torch.Generator().manual_seed(seed)
    first = torch.randint(count, (pairs,), generator=random)
    return torch.stack([first, (first + torch.randint(1, count, (pairs,), generator=random)) % count], 1)


def _checked(distances: Tensor, part: Tensor) -> Tensor:
    if distances.shape != part.shape[:1] or not torch.isfinite(distances).all():
        raise UserError(
            f"The distance returned {tuple(distances.shape)} for {len(part)} pairs, or numbers that are not "
            "finite; it must return one finite number per pair."
        )
    return distances.double()
