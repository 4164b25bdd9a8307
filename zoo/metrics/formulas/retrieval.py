"""Retrieval scores: does an image find its own caption among others, and its own person among others.

Ties: entries at the same distance count as shuffled, so the right one counts with its probability of being
ranked first. Uninformative vectors therefore score at chance level, not 0 or 1.
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
    """Share of the queries whose own caption is nearest, and its standard error."""

    value: float
    error: float


class Identification(NamedTuple):
    """Identification rates.

    Args:
        rank: Share of the probes with the right person among the k nearest people, for each requested k.
        mean_average_precision: Mean average precision over the gallery's images, not people.
    """

    rank: dict[int, float]
    mean_average_precision: float


def r_precision(
    images: Tensor, texts: Tensor, groups: Tensor | None = None, others: int = 99, seed: int = 0
) -> RPrecision:
    """How often an image's own caption is nearer than ``others`` captions drawn by ``seed``, by cosine.

    The protocol of AttnGAN (Xu et al. 2018, section 4: the first of 100 captions); chance level is
    1 / (others + 1). A score depends on the two encoders and must carry their name: the encoder that a
    generator was trained with favours it.

    Args:
        images: (N, D) vectors of the images.
        texts: (N, D) vectors of their captions in the same order and the same space.
        groups: (N) integers; captions of the image's own group are never drawn. Give the same number to
            captions that would fit each other's images (same image, same words). By default all differ.
        others: Number of other captions per image.
        seed: Seed of the draw; the draw is the same on every device.

    Raises:
        UserError: Lengths differ, a vector is zero or not finite, or there are too few other captions.
    """
    if images.ndim != 2 or images.shape != texts.shape or len(images) == 0:
        raise UserError(
            f"R-precision needs equally many vectors of images and captions, of one length, not "
            f"{tuple(images.shape)} and {tuple(texts.shape)}; give one caption per image."
        )
    if others < 1:
        raise UserError(f"others is {others}; R-precision needs at least one other caption.")
    groups = torch.arange(len(texts)) if groups is None else groups.cpu()
    if groups.shape != texts.shape[:1]:
        raise UserError(f"groups has shape {tuple(groups.shape)}; give one number per image, {len(texts)}.")
    left = len(texts) - int(torch.unique(groups, return_counts=True)[1].max())
    if left < others:
        raise UserError(
            f"R-precision draws {others} other captions, but some image has only {left} outside its own "
            f"group; give more captions or lower others."
        )
    pictures = _prepared(images, "images", "cosine")
    captions = _prepared(texts.to(images.device), "texts", "cosine")
    random = torch.Generator().manual_seed(seed)
    credits = []
    for rows in torch.split(torch.arange(len(texts)), CHUNK):
        order = torch.rand(len(rows), len(texts), generator=random)
        order[groups[rows, None] == groups] = 2.0  # above all random numbers, so never drawn
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

    The distance of a person from a probe is that of the nearest of their gallery images. Average precision is
    that of scikit-learn, where equally near images enter together. Scores depend on the network of the
    descriptors and must carry its name; a probe's own image must not be in the gallery.

    Args:
        gallery: (G, D) descriptors.
        gallery_people: (G) integers, the person on each.
        probes: (P, D) descriptors, for example of frontal views generated from turned faces.
        probe_people: (P) integers; each must be in the gallery.
        ks: Ranks to report.
        distance: Distance between descriptors.

    Raises:
        UserError: Wrong shapes, a descriptor that is not finite or (cosine) zero, a missing person, or a k
            that is not a rank.
    """
    for name, vectors, people in (("gallery", gallery, gallery_people), ("probes", probes, probe_people)):
        if vectors.ndim != 2 or people.shape != vectors.shape[:1] or len(vectors) == 0:
            raise UserError(
                f"{name} must be descriptors (N, D) with one person each, not {tuple(vectors.shape)} and "
                f"{tuple(people.shape)}."
            )
    if gallery.shape[1] != probes.shape[1]:
        raise UserError(
            f"Descriptors of gallery and probes have lengths {gallery.shape[1]} and {probes.shape[1]}; take "
            f"both from the same network."
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
    """Vectors in float64, normalised for cosine, so that Euclidean distance gives the order of cosine."""
    vectors = vectors.double()
    if not vectors.isfinite().all():
        raise UserError(f"{name} holds NaN or infinity; check the network that computed these vectors.")
    if distance == "euclidean":
        return vectors
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    if (lengths == 0).any():
        raise UserError(f"{name} holds a zero vector, which has no cosine; leave it out.")
    return vectors / lengths


def _between(a: Tensor, b: Tensor) -> Tensor:
    """Distances pair by pair, not by a matrix product, so that equal vectors have exactly equal distances."""
    distances: Tensor = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    return distances


def _credit(own: Tensor, others: Tensor, ks: Sequence[int] = (1,)) -> Tensor:
    """Chance (N, len(ks)) that ``own`` (N, 1) is among the k least of ``others`` (N, M), ties shuffled."""
    nearer = (others < own).sum(1, keepdim=True)
    equal = (others == own).sum(1, keepdim=True)
    return ((own.new_tensor(list(ks)) - nearer) / (1 + equal)).clamp(0, 1)


def _average_precisions(right: Tensor, distances: Tensor) -> Tensor:
    """Average precision (N) of rows of ``distances`` (N, M), where those marked ``right`` should be least."""
    ordered, index = distances.sort(1)
    hits = right.gather(1, index).double()
    within = torch.searchsorted(ordered, ordered, right=True)  # number at most as far
    precision = hits.cumsum(1).gather(1, within - 1) / within
    return (hits * precision).sum(1) / hits.sum(1)
