"""Does a generator copy its training images: nearest neighbours, and a share of samples that are too near.

Distances are Euclidean, over pixels or over the features of a network. The samples of a generator that copies
are much nearer to the training set than real images that were held out of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.errors import UserError
from zoo.metrics.formulas.frechet import checked


def search(queries: Tensor, pieces: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Distance and index of the nearest row among all pieces, in the dtype and on the device of the queries.

    Args:
        queries: (N, D).
        pieces: The rows to search, (K, D) at a time; indices count through all of them.

    Raises:
        UserError: A distance is not finite, or there is no row to search.
    """
    best = queries.new_full((len(queries),), torch.inf)
    index = torch.zeros(len(queries), dtype=torch.long, device=queries.device)
    start = 0
    for piece in pieces:
        distances, at = torch.cdist(queries, piece.to(queries)).min(1)
        closer = distances < best
        best = torch.where(closer, distances, best)
        index = torch.where(closer, at + start, index)
        start += len(piece)
    if not best.isfinite().all():
        raise UserError(
            f"{int((~best.isfinite()).sum())} of {len(best)} images have no nearest one: values are not "
            "finite, or there are no images to search."
        )
    return best, index


def nearest_features(queries: Tensor, train: Tensor, chunk: int = 1_000) -> tuple[Tensor, Tensor]:
    """The nearest training features of each query by Euclidean distance.

    Distances are computed in float64, ``chunk`` by ``chunk`` rows at a time.

    Args:
        queries: (N, D), finite.
        train: (M, D), finite, on any device.
        chunk: Rows per distance matrix.

    Returns:
        Distances (N) in float64 and indices (N), on the device of the queries.

    Raises:
        UserError: The features are empty, not two matrices of one width, or not finite.
    """
    queries = checked(queries, "Query features")
    train = checked(train, "Training features", queries.shape[1])
    if not queries.numel() or not train.numel():
        raise UserError(
            f"There are {len(queries)} query and {len(train)} training features; give at least one of each."
        )
    parts = [search(part.double(), torch.split(train, chunk)) for part in torch.split(queries, chunk)]
    return torch.cat([distance for distance, _ in parts]), torch.cat([index for _, index in parts])


class Nearer(NamedTuple):
    """How often a generated image is nearer to the training set than a held-out one.

    Args:
        share: Share of all pairs of a generated and a held-out image: 0.5 if they are equally near, 1 if each
            generated image is nearer than each held-out one. Equal distances count as a half.
        deviations: Standard deviations by which the share is above that of two equal distributions.
    """

    share: float
    deviations: float


def nearer(generated: Tensor, held_out: Tensor) -> Nearer:
    """Mann and Whitney's rank test of two sets of distances to the training set, after Meehan 2020.

    It needs no threshold, so a few held-out images suffice. It sees that most generated images are too near;
    a few copies among many others hardly change it.

    Args:
        generated: (N) distance of each generated image to its nearest training image.
        held_out: (M) the same for each held-out image.

    Raises:
        UserError: One of them is empty, or not a row of finite numbers.
    """
    n, m = (len(checked(x[:, None], "Distances", 1)) for x in (generated, held_out))
    if not n or not m:
        raise UserError(f"There are {n} generated and {m} held-out distances; give at least one of each.")
    ordered = held_out.sort().values
    below, upto = (
        torch.searchsorted(ordered, generated.contiguous(), right=right) for right in (False, True)
    )
    share = 1 - float((below + upto).double().mean()) / (2 * m)
    return Nearer(share, (share - 0.5) / math.sqrt((n + m + 1) / (12 * n * m)))


class Memorisation(NamedTuple):
    """Whether generated images are nearer to the training set than held-out real ones.

    Args:
        share: Share of the generated images that are nearer than ``threshold``: 0.01 if they are as near as
            held-out ones, 1 if all are copies. A smaller share only says that they are far from the data.
        error: One standard error of the share, from the number of generated images alone.
        threshold: First percentile of ``held_out``.
        generated: (N) distance of each generated image to its nearest training image, float64.
        held_out: (M) the same for each held-out image.
        nearest: (N) index of the training image nearest to each generated one.
    """

    share: float
    error: float
    threshold: float
    generated: Tensor
    held_out: Tensor
    nearest: Tensor


def memorisation(generated: Tensor, held_out: Tensor, train: Tensor, chunk: int = 1_000) -> Memorisation:
    """Compare how near generated and held-out real images are to the training set, in a network's features.

    The measure follows Meehan 2020 ("A Non-Parametric Test to Detect Data-Copying in Generative Models"), but
    uses the first percentile of held-out distances instead of their rank test: the distances of images that
    cannot be copies define what a copy is.

    Args:
        generated: (N, D) features.
        held_out: (M, D) features of real images that were not trained on, at least 100.
        train: (K, D) features of the whole training set.
        chunk: Rows per distance matrix.

    Raises:
        UserError: Fewer than 100 held-out images, or as :func:`nearest_features`.
    """
    if len(held_out) < 100:
        raise UserError(
            f"{len(held_out)} held-out images have no first percentile; give at least 100 that were not "
            "trained on."
        )
    made, index = nearest_features(generated, train, chunk)
    real, _ = nearest_features(held_out, train, chunk)
    threshold = float(real.quantile(0.01))
    share = float((made < threshold).double().mean())
    return Memorisation(share, math.sqrt(share * (1 - share) / len(made)), threshold, made, real, index)
