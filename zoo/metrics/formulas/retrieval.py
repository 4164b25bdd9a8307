"""Does a picture find what it belongs to: its caption among others, its person among others.

Equal distances: the own entry stands anywhere among those as near as itself, so it counts by the chance of
coming out on top when they are shuffled. Vectors that say nothing therefore score by chance, not 0 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from zoo.errors import UserError

Distance = Literal["cosine", "euclidean"]
CHUNK = 256  # queries at a time


class RPrecision(NamedTuple):
    """Share of the queries whose own caption is nearest, and one standard error of it."""

    value: float
    error: float


class Identification(NamedTuple):
    """How well probes find their person.

    Args:
        rank: For each k asked for, the share of the probes with the right person among the k nearest people.
        mean_average_precision: Over the gallery's pictures, not people.
    """

    rank: dict[int, float]
    mean_average_precision: float


def r_precision(
    images: Tensor, texts: Tensor, groups: Tensor | None = None, others: int = 99, seed: int = 0
) -> RPrecision:
    """How often a picture's own caption is nearer than ``others`` captions drawn by ``seed``, by cosine.

    The protocol of AttnGAN (Xu et al. 2018, section 4: the first of 100 captions); chance is 1 / (others +
    1). A score depends on the two encoders and must bear their name: the encoder that a generator was trained
    with judges it too kindly.

    Args:
        images: (N, D) vectors of the pictures.
        texts: (N, D) vectors of their captions in the same order and the same space.
        groups: (N) numbers; captions of the picture's own group are never drawn. Give captions that would fit
            each other's pictures (same picture, same words) the same number. By default all differ.
        others: Captions beside the own one.
        seed: Of the draw; the same for every device.

    Raises:
        UserError: Lengths differ, a vector is zero or not finite, or there are too few other captions.
    """
    if images.ndim != 2 or images.shape != texts.shape or len(images) == 0:
        raise UserError(
            f"R-precision needs pictures and captions as equally many vectors of one length, not "
            f"{tuple(images.shape)} and {tuple(texts.shape)}; give one caption a picture."
        )
    if others < 1:
        raise UserError(f"others is {others}; R-precision needs at least one other caption.")
    groups = torch.arange(len(texts)) if groups is None else groups.cpu()
    if groups.shape != texts.shape[:1]:
        raise UserError(f"groups has shape {tuple(groups.shape)}; give one number a picture, {len(texts)}.")
    left = len(texts) - int(torch.unique(groups, return_counts=True)[1].max())
    if left < others:
        raise UserError(
            f"R-precision draws {others} other captions, but some picture has only {left} outside its own "
            f"group; give more captions or lower others."
        )
    pictures, captions = (
        _prepared(images, "images", "cosine"),
        _prepared(texts.to(images.device), "texts", "cosine"),
    )
    random = torch.Generator().manual_seed(seed)
    credits = []
    for rows in torch.split(torch.arange(len(texts)), CHUNK):
        order = torch.rand(len(rows), len(texts), generator=random)
        order[groups[rows, None] == groups] = 2.0  # above all that can be drawn
        drawn = order.topk(others, largest=False).indices.to(captions.device)
        query = pictures[rows].unsqueeze(1)
        own = _between(query, captions[rows].unsqueeze(1))[:, 0]
        credits.append(_credit(own, _between(query, captions[drawn])[:, 0]))
    credit = torch.cat(credits)[:, 0]
    return RPrecision(credit.mean().item(), credit.std(correction=0).item() / math.sqrt(len(credit)))


def identify(
    gallery: Tensor,
    gallery_people: Tensor,
    probes: Tensor,
    probe_people: Tensor,
    ks: Sequence[int] = (1,),
    distance: Distance = "cosine",
) -> Identification:
    """Closed-set identification of faces: rank-k and mean average precision.

    A person is as far from a probe as the nearest of their gallery pictures. Average precision is that of
    scikit-learn, where equally near pictures enter together. Numbers depend on the network of the descriptors
    and must bear its name; a probe's own picture must not be in the gallery.

    Args:
        gallery: (G, D) descriptors.
        gallery_people: (G) whole numbers, who is on each.
        probes: (P, D) descriptors, as of frontal views made from turned faces.
        probe_people: (P) whole numbers; each must be in the gallery.
        ks: Ranks to report.
        distance: Between descriptors.

    Raises:
        UserError: Shapes do not fit, a descriptor is not finite or (cosine) zero, a person is missing, a k is
            no rank.
    """
    for name, vectors, people in (("gallery", gallery, gallery_people), ("probes", probes, probe_people)):
        if vectors.ndim != 2 or people.shape != vectors.shape[:1] or len(vectors) == 0:
            raise UserError(
                f"{name} needs descriptors (N, D) and one person each, not {tuple(vectors.shape)} and "
                f"{tuple(people.shape)}."
            )
    if gallery.shape[1] != probes.shape[1]:
        raise UserError(
            f"Descriptors of gallery and probes have {gallery.shape[1]} and {probes.shape[1]} numbers; "
            f"take both from the same network."
        )
    people, person = torch.unique(gallery_people.to(gallery.device), return_inverse=True)
    asked = probe_people.to(people)
    own = torch.searchsorted(people, asked).clamp(max=len(people) - 1)
    if not torch.equal(people[own], asked):
        missing = asked[people[own] != asked][0].item()
        raise UserError(f"Person {missing} of the probes is not in the gallery; leave these probes out.")
    if not ks or min(ks) < 1 or max(ks) > len(people):
        raise UserError(f"ks is {list(ks)}; ranks are from 1 to the gallery's {len(people)} people.")
    known = _prepared(gallery, "gallery", distance)
    sought = _prepared(probes, "probes", distance).to(known.device)
    credits, precisions = [], []
    for rows in torch.split(torch.arange(len(sought), device=known.device), CHUNK):
        distances = _between(sought[rows], known)
        nearest = torch.full((len(rows), len(people)), torch.inf, dtype=torch.float64, device=known.device)
        nearest.scatter_reduce_(1, person.expand_as(distances), distances, "amin")
        mine = own[rows, None]
        others = nearest.scatter(1, mine, torch.inf)
        credits.append(_credit(nearest.gather(1, mine), others, ks))
        precisions.append(_average_precisions(person == mine, distances))
    rank = dict(zip(ks, torch.cat(credits).mean(0).tolist(), strict=True))
    return Identification(rank, torch.cat(precisions).mean().item())


def _prepared(vectors: Tensor, name: str, distance: Distance) -> Tensor:
    """Vectors in float64; of unit length for cosine, whose order that of Euclidean distance then is."""
    vectors = vectors.double()
    if not vectors.isfinite().all():
        raise UserError(f"{name} holds NaN or infinity; look at the network that gave these vectors.")
    if distance == "euclidean":
        return vectors
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    if (lengths == 0).any():
        raise UserError(f"{name} holds a vector of zeros, which has no cosine; leave it out.")
    return vectors / lengths


def _between(a: Tensor, b: Tensor) -> Tensor:
    """Distances pair by pair, not by a matrix product: equal vectors get equal distances to the last bit."""
    distances: Tensor = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    return distances


def _credit(own: Tensor, others: Tensor, ks: Sequence[int] = (1,)) -> Tensor:
    """Chance (N, len(ks)) that ``own`` (N, 1) is among the k least with ``others`` (N, M), ties shuffled."""
    nearer = (others < own).sum(1, keepdim=True)
    equal = (others == own).sum(1, keepdim=True)
    return ((own.new_tensor(list(ks)) - nearer) / (1 + equal)).clamp(0, 1)


def _average_precisions(right: Tensor, distances: Tensor) -> Tensor:
    """Average precision (N) of rows of ``distances`` (N, M), of which the ``right`` should be least."""
    ordered, index = distances.sort(1)
    hits = right.gather(1, index).double()
    within = torch.searchsorted(ordered, ordered, right=True)  # how many are as near, or nearer
    precision = hits.cumsum(1).gather(1, within - 1) / within
    return (hits * precision).sum(1) / hits.sum(1)
