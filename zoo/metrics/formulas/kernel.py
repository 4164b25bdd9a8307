"""Kernel distance between two sets of features: squared maximum mean discrepancy with a polynomial kernel.

With the features of Inception it is the kernel inception distance, KID (Binkowski et al. 2018, section 3).
The kernel is ``(x . y / d + 1) ** 3``; the estimate is unbiased, so it may be negative for similar sets.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zoo.errors import UserError
from zoo.metrics.formulas.frechet import checked


def kernel_distance(
    real: Tensor, fake: Tensor, subsets: int = 100, size: int = 1_000, seed: int = 2020, chunk: int = 2_000
) -> tuple[float, float]:
    """Mean and population standard deviation of the kernel distance over random subsets.

    Subsets are those of torch-fidelity with the generated set as its first input: NumPy's ``RandomState``
    draws without replacement, first from the generated and then from the real set.

    Args:
        real: (N, d).
        fake: (M, d).
        subsets: Number of subsets.
        size: Images per subset and set.
        seed: Seed of the subsets.
        chunk: Rows and columns of the kernel matrix held at a time.

    Raises:
        UserError: A set has fewer than ``size`` rows (torch-fidelity refuses it too), the sets differ in
            width, or values are not finite.
    """
    real, fake = _pair(real, fake)
    if subsets < 1 or not 2 <= size <= min(len(real), len(fake)):
        raise UserError(
            f"The kernel distance cannot draw {subsets} subsets of {size} from {len(real)} real and "
            f"{len(fake)} generated images; set size between 2 and the smaller number, subsets to at least 1."
        )
    random = np.random.RandomState(seed)
    found = []
    for _ in range(subsets):
        of_fake = torch.from_numpy(random.choice(len(fake), size, replace=False)).to(fake.device)
        of_real = torch.from_numpy(random.choice(len(real), size, replace=False)).to(real.device)
        found.append(_discrepancy(real[of_real], fake[of_fake], chunk))
    return float(np.mean(found)), float(np.std(found))


def whole_kernel_distance(real: Tensor, fake: Tensor, chunk: int = 2_000) -> float:
    """Kernel distance between all rows of two sets, without subsets.

    Args:
        real: (N, d).
        fake: (M, d).
        chunk: Rows and columns of the kernel matrix held at a time.

    Raises:
        UserError: A set of fewer than two rows, sets of different width, or values that are not finite.
    """
    real, fake = _pair(real, fake)
    if min(len(real), len(fake)) < 2:
        raise UserError(
            f"The kernel distance needs at least 2 images per set and there are {len(real)} real and "
            f"{len(fake)} generated; give more."
        )
    return _discrepancy(real, fake, chunk)


def _pair(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    real = checked(real, "Real features")
    return real, checked(fake, "Generated features", real.shape[1])


def _discrepancy(x: Tensor, y: Tensor, chunk: int) -> float:
    m, n = len(x), len(y)
    within = _sum_within(x, chunk) / (m * (m - 1)) + _sum_within(y, chunk) / (n * (n - 1))
    between = x.new_zeros((), dtype=torch.float64)
    for part in torch.split(x, chunk):
        for other in torch.split(y, chunk):
            between += _kernel(part, other).sum()
    return float(within - 2 * between / (m * n))


def _sum_within(x: Tensor, chunk: int) -> Tensor:
    """Sum of the kernel over ordered pairs of distinct rows."""
    total = x.new_zeros((), dtype=torch.float64)
    parts = torch.split(x, chunk)
    for i, part in enumerate(parts):
        total += _kernel(part, part).fill_diagonal_(0).sum()
        for later in parts[i + 1 :]:
            total += 2 * _kernel(part, later).sum()
    return total


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x.double() @ y.double().T / x.shape[1] + 1) ** 3
