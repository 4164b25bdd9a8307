"""Precision, recall, density and coverage: fidelity and variety of a generated set, measured separately.

Each image has a ball that reaches to its k-th nearest neighbour in its own set. Precision and recall are the
shares of images inside some ball of the other set (Kynkaanniemi et al. 2019). Density is the number of real
balls around a generated image, coverage the share of real balls that hold a generated image (Naeem et al.
2020).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zoo.errors import UserError
from zoo.metrics.formulas.frechet import checked

# squared distances below this share of the squared lengths are rounding errors: the rows are equal
SAME = 1e-13
# squared distances that differ by less than this share count as equal: their order depends on rounding
TIE = 1e-10


class PRDC(NamedTuple):
    """The four shares; density may exceed 1."""

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: Tensor, fake: Tensor, k: int, inclusive: bool = False, chunk: int = 1_000) -> PRDC:
    """Precision, recall, density and coverage by Euclidean distances in float64.

    Besides the features it holds ``chunk`` times as many distances as the larger set has rows. A row with k
    equal ones in its set has a ball of radius 0: if that excludes the surface it is empty, else it holds all
    rows equal to it, so the density of sets with many copies can be far above 1.

    Args:
        real: (N, d).
        fake: (M, d).
        k: Neighbour that a ball reaches to: 3 in Kynkaanniemi et al., 5 in Naeem et al.
        inclusive: Include the surface of a ball, as in Kynkaanniemi et al. and torch-fidelity; the default
            excludes it, as in Naeem et al.
        chunk: Rows whose distances are held at a time.

    Raises:
        UserError: ``k`` is below 1 or not below the number of rows of each set, the sets differ in width,
            values are not finite, or all real rows are equal, so that no ball has a size.
    """
    real = checked(real, "Real features")
    fake = checked(fake, "Generated features", real.shape[1])
    if not 1 <= k < min(len(real), len(fake)):
        raise UserError(
            f"k is {k} but there are {len(real)} real and {len(fake)} generated images; set k between 1 and "
            f"one less than the smaller number."
        )
    if bool((real == real[0]).all()):
        raise UserError(
            f"All {len(real)} real images have the same features, so precision, recall, density and coverage "
            "have no scale; give real images that differ."
        )
    surface = 1 + TIE if inclusive else 1 - TIE
    inside = torch.le if inclusive else torch.lt  # they differ if a radius is 0
    around_real = _squared_radii(real, k, chunk) * surface
    around_fake = _squared_radii(fake, k, chunk) * surface

    precise, balls = 0, 0
    recalled = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    covered = recalled.clone()
    for part, radius in zip(torch.split(fake, chunk), torch.split(around_fake, chunk), strict=True):
        distance = _squared_distances(part, real, chunk)
        in_real = inside(distance, around_real)
        precise += int(in_real.any(1).sum())
        balls += int(in_real.sum())
        covered |= in_real.any(0)
        recalled |= inside(distance, radius.unsqueeze(1)).any(0)
    return PRDC(
        precision=precise / len(fake),
        recall=float(recalled.double().mean()),
        density=balls / (k * len(fake)),
        coverage=float(covered.double().mean()),
    )


def _squared_radii(x: Tensor, k: int, chunk: int) -> Tensor:
    radii = []
    for start, part in zip(range(0, len(x), chunk), torch.split(x, chunk), strict=True):
        distance = _squared_distances(part, x, chunk)
        own = torch.arange(len(part), device=x.device)
        distance[own, start + own] = torch.inf  # an image is not its own neighbour
        radii.append(distance.kthvalue(k, 1).values)
    return torch.cat(radii)


def _squared_distances(x: Tensor, y: Tensor, chunk: int) -> Tensor:
    """Squared distances (N, M) between few rows and many; exactly 0 between equal rows."""
    # centring keeps distances and reduces rounding errors
    centre = y.mean(0, dtype=torch.float64)
    x = x.double() - centre
    out = x.new_empty(len(x), len(y))
    for start, part in zip(range(0, len(y), chunk), torch.split(y, chunk), strict=True):
        part = part.double() - centre
        lengths = x.square().sum(1, keepdim=True) + part.square().sum(1)
        squared = torch.addmm(lengths, x, part.T, alpha=-2)
        out[:, start : start + chunk] = squared.masked_fill(squared <= SAME * lengths, 0)
    return out
