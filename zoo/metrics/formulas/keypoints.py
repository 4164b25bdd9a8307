"""Accuracy of a generated person's pose: the share of keypoints detected where they should be.

Keypoints are as in the data: (K, 3) with x and y in pixels and a third number above 0 if the point is known.
The predicted ones come from a pose detector run on generated images, so a score must carry the detector's
name and be compared with its score on real images.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zoo.errors import UserError


class PCK(NamedTuple):
    """Percentage of correct keypoints, as shares.

    Args:
        value: Share over all points that count.
        each: (K) share per kind of point; NaN if none counts.
        counted: (K) number of points that count, per kind.
    """

    value: float
    each: Tensor
    counted: Tensor


def pck(predicted: Tensor, true: Tensor, threshold: float, sizes: Tensor | None = None) -> PCK:
    """Share of the known points whose prediction lies within ``threshold`` (Yang and Ramanan 2013).

    A point that is not predicted counts as wrong; one that is not known does not count. With torso lengths
    and 0.2 this is the usual PCK@0.2, with head sizes and 0.5 PCKh@0.5 (Andriluka et al. 2014); see
    ``lengths``. Scores of different sizes or thresholds are not comparable.

    Args:
        predicted: (N, K, 3): x, y, and a number above 0 if found.
        true: (N, K, 3): x, y, and a number above 0 if known.
        threshold: Distance in pixels, or as a fraction of ``sizes`` if these are given.
        sizes: (N) size of each person in pixels; NaN leaves a person out.

    Raises:
        UserError: Wrong shapes, a known point that is not finite, a size that is not positive, or no point
            that counts.
    """
    if true.ndim != 3 or true.shape[2] != 3 or predicted.shape != true.shape:
        raise UserError(
            f"Predicted and true keypoints must both be (N, K, 3) with x, y and whether the point is known, "
            f"not {tuple(predicted.shape)} and {tuple(true.shape)}."
        )
    if not threshold > 0:
        raise UserError(f"threshold is {threshold}; it must be above 0.")
    known, found = true[..., 2] > 0, predicted[..., 2] > 0
    for name, points, there in (("predicted", predicted, found), ("true", true, known)):
        if not points[there].isfinite().all():
            raise UserError(f"A known point of {name} is NaN or infinite; set its third number to 0.")
    reach = true.new_full((len(true),), threshold, dtype=torch.float64)
    if sizes is not None:
        if sizes.shape != true.shape[:1] or (sizes <= 0).any() or sizes.isinf().any():
            raise UserError(
                f"sizes must be {len(true)} positive numbers of pixels, one per person, NaN if unknown."
            )
        reach = reach * sizes.to(reach)
        known = known & ~reach.isnan()[:, None]
    if not known.any():
        raise UserError("There is no known keypoint to score; check the points' third number and sizes.")
    distances = torch.linalg.vector_norm(predicted[..., :2].double() - true[..., :2].double(), dim=2)
    right = known & found & (distances <= reach[:, None])
    counted = known.sum(0)
    return PCK(float(right.sum().double() / counted.sum()), right.sum(0).double() / counted, counted)


def lengths(points: Tensor, one: int, other: int) -> Tensor:
    """Distance in pixels between two kinds of points of each person: sizes for ``pck``.

    A torso is measured from a hip to the opposite shoulder (Sapp and Taskar 2013). Skeletons without the top
    of the head give no head length; PCKh uses 0.6 of the diagonal of an annotated head box.

    Args:
        points: (N, K, 3) as in ``pck``.
        one: Index of a kind of point (``skeleton.names.index("right_shoulder")``).
        other: Index of another kind.

    Returns:
        (N) in float64; NaN if one of the two is unknown or both coincide.
    """
    if points.ndim != 3 or points.shape[2] != 3:
        raise UserError(f"Keypoints must be (N, K, 3), not {tuple(points.shape)}.")
    if not (0 <= one < points.shape[1] and 0 <= other < points.shape[1]):
        raise UserError(f"There are no points {one} and {other}; choose from 0 to {points.shape[1] - 1}.")
    a, b = points[:, one].double(), points[:, other].double()
    found: Tensor = torch.linalg.vector_norm(a[:, :2] - b[:, :2], dim=1)
    return found.where((a[:, 2] > 0) & (b[:, 2] > 0) & (found > 0), torch.nan)
