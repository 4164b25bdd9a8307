"""How much samples differ that one condition allows: 0 says that the generator ignores its noise.

After Zhu 2017 (BicycleGAN): the mean distance between two samples at the same condition, taken
over many conditions, usually an LPIPS distance. The papers draw some pairs at random; here all pairs of a
condition's samples count, which estimates the same mean with less chance. Noise is diverse too: say beside it
how real or how alike to the target the samples are.
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
    """Mean distance of two samples at one condition.

    Args:
        mean: Over pairs, then over conditions.
        error: One standard error over conditions; None where there is one condition only.
        conditions: How many there were.
        pairs: How many there were in all.
    """

    mean: float
    error: float | None
    conditions: int
    pairs: int


def euclidean(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances (P) in float64 of features or pictures (P, ...)."""
    return (a.double() - b.double()).flatten(1).square().sum(1).sqrt()


def rms(a: Tensor, b: Tensor) -> Tensor:
    """Root-mean-square differences (P) in float64 of pictures (P, ...), in their unit: bytes, 0 to 255."""
    return (a.double() - b.double()).flatten(1).square().mean(1).sqrt()


def diversity(samples: Iterable[Tensor], distance: Distance = euclidean, chunk: int = 64) -> Diversity:
    """Mean distance of all pairs of samples at one condition, with its standard error over conditions.

    Args:
        samples: For each condition its samples (K, ...), K at least 2: pictures or features. A tensor
            (conditions, K, ...) will do, or a generator that makes one condition's samples at a time.
        distance: Distances (P) of pairs (P, ...) and (P, ...), symmetric: ``euclidean`` for features, ``rms``
            for pictures, or a perceptual network.
        chunk: Pairs given to ``distance`` at once.

    Raises:
        UserError: No condition, one with a single sample, or distances that are not P finite numbers.
    """
    means: list[float] = []
    pairs = 0
    for group in samples:
        if group.ndim < 2 or len(group) < 2:
            raise UserError(
                f"Condition {len(means)} has samples of shape {tuple(group.shape)}; diversity compares "
                "samples (K, ...) at one condition and needs at least 2 of them."
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


def _checked(distances: Tensor, part: Tensor) -> Tensor:
    if distances.shape != part.shape[:1] or not torch.isfinite(distances).all():
        raise UserError(
            f"The distance gave {tuple(distances.shape)} for {len(part)} pairs, or numbers that are not "
            "finite; it must give one finite number a pair."
        )
    return distances.double()
