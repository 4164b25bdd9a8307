"""R-precision and identification against plain loops, chance, and what ties must give."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor

from zoo.errors import UserError
from zoo.metrics.formulas.retrieval import identify, r_precision


def noisy(n: int, d: int, noise: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    texts = torch.randn(n, d, generator=random)
    return texts + noise * torch.randn(n, d, generator=random), texts


def test_r_precision_over_all_captions_is_a_plain_loop() -> None:
    """With all others drawn, nothing depends on the seed."""
    images, texts = noisy(300, 6, 1.0)
    wins = 0
    for i, image in enumerate(images.numpy()):
        cosines = [float(image @ t / np.linalg.norm(t)) for t in texts.numpy()]
        wins += max(range(300), key=cosines.__getitem__) == i
    found = r_precision(images, texts, others=299)
    assert 0 < wins < 300
    assert found.value == pytest.approx(wins / 300, abs=1e-12)
    share = wins / 300
    assert found.error == pytest.approx(math.sqrt(share * (1 - share) / 300), abs=1e-12)
    assert r_precision(images * 7, texts / 3, others=299, seed=5) == found  # a cosine knows no lengths


def test_r_precision_of_unrelated_vectors_is_chance() -> None:
    images, _ = noisy(2_000, 4, 0.0, seed=1)
    _, texts = noisy(2_000, 4, 0.0, seed=2)
    found = r_precision(images, texts, others=9)
    assert abs(found.value - 0.1) < 4 * found.error < 0.03


def test_r_precision_draws_evenly_without_repeats_and_by_seed() -> None:
    """Caption j lies nearest for every query, so query i loses exactly when j is drawn: with 5 of 9."""
    images = torch.tensor([[1.0, 0.0]]).repeat(10, 1)
    texts = torch.tensor([[1.0, 1.0]]).repeat(10, 1)
    texts[3] = torch.tensor([1.0, 0.0])
    values = {
        seed: r_precision(images, texts, groups=torch.arange(10), others=5, seed=seed).value
        for seed in range(200)
    }
    assert values[0] == r_precision(images, texts, others=5, seed=0).value
    # drawn: 0; not drawn: a tie of six; caption 3 itself always wins
    wanted = (1 + 9 * (4 / 9) / 6) / 10
    assert np.mean(list(values.values())) == pytest.approx(wanted, abs=0.005)
    assert len(set(values.values())) > 1


def test_r_precision_with_equal_captions_is_chance_not_all_or_nothing() -> None:
    images, texts = torch.randn(120, 5), torch.ones(120, 5)
    assert r_precision(images, texts).value == pytest.approx(0.01, abs=1e-12)


def test_captions_of_one_group_are_never_drawn_against_each_other() -> None:
    images, texts = noisy(40, 8, 0.0)
    images, texts = images.repeat(2, 1), texts.repeat(2, 1)  # each caption comes twice
    assert r_precision(images, texts, others=79).value == pytest.approx(0.5)
    assert r_precision(images, texts, groups=torch.arange(40).repeat(2), others=78).value == 1.0


def plain_identification(
    gallery: Tensor, people: Tensor, probes: Tensor, asked: Tensor, k: int, cosine: bool
) -> tuple[float, float]:
    hits, precisions = 0, []
    for probe, who in zip(probes.double().numpy(), asked.tolist(), strict=True):
        distances = []
        for entry in gallery.double().numpy():
            if cosine:
                distances.append(1 - probe @ entry / np.linalg.norm(probe) / np.linalg.norm(entry))
            else:
                distances.append(np.linalg.norm(probe - entry))
        order = [people[i].item() for i in np.argsort(distances)]
        hits += who in list(dict.fromkeys(order))[:k]
        ranks = [rank for rank, other in enumerate(order, 1) if other == who]
        precisions.append(np.mean([(i + 1) / rank for i, rank in enumerate(ranks)]))
    return hits / len(probes), float(np.mean(precisions))


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_identification_is_a_plain_loop(distance: str) -> None:
    random = torch.Generator().manual_seed(0)
    people = torch.tensor([40, 7, 7, 12, 99, 12, 7, 3])
    means = torch.randn(100, 5, generator=random)
    gallery = means[people] + 0.7 * torch.randn(8, 5, generator=random)
    asked = people.repeat(5)
    probes = means[asked] * 2 + 1.5 * torch.randn(40, 5, generator=random)
    found = identify(gallery, people, probes, asked, (1, 3), distance)  # type: ignore[arg-type]
    one, precision = plain_identification(gallery, people, probes, asked, 1, distance == "cosine")
    three, _ = plain_identification(gallery, people, probes, asked, 3, distance == "cosine")
    assert 0 < one < three < 1
    assert found.rank == pytest.approx({1: one, 3: three}, abs=1e-12)
    assert found.mean_average_precision == pytest.approx(precision, abs=1e-12)


def test_descriptors_that_say_nothing_identify_by_chance() -> None:
    people = torch.arange(8)
    found = identify(torch.ones(8, 3), people, torch.ones(8, 3), people, (1, 4, 8))
    assert found.rank == pytest.approx({1: 1 / 8, 4: 1 / 2, 8: 1.0})
    assert found.mean_average_precision == pytest.approx(1 / 8)  # all eight enter together


def test_average_precision_is_scikit_learns_ties_included() -> None:
    random = torch.Generator().manual_seed(0)
    gallery = torch.randint(0, 3, (40, 2), generator=random).float()
    people, asked = torch.arange(40) % 4, torch.arange(12) % 4
    probes = torch.randint(0, 3, (12, 2), generator=random).float()
    wanted = [
        average_precision_score((people == who).numpy(), -torch.cdist(probe[None], gallery)[0].numpy())
        for probe, who in zip(probes, asked, strict=True)
    ]
    found = identify(gallery, people, probes, asked, distance="euclidean").mean_average_precision
    assert found == pytest.approx(np.mean(wanted), abs=1e-12)


def test_equal_pictures_of_one_person_are_no_tie() -> None:
    gallery, people = torch.eye(3)[[0, 0, 1]], torch.tensor([5, 5, 6])
    assert identify(gallery, people, torch.eye(3)[:1], torch.tensor([5])).rank == {1: 1.0}


V, P = torch.eye(4), torch.arange(4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((V, V[:3]), "equally many vectors"),
        ((V[:0], V[:0]), "equally many vectors"),
        ((V, torch.eye(4)[:, :3]), "of one length"),
        ((V, V, P[:3], 2), "one number per image"),
        ((V, V, None, 4), "has only 3"),
        ((V, V, P // 2, 3), "has only 2"),
        ((V, V, None, 0), "others is 0"),
        ((V, V - V, None, 2), "texts holds a zero vector"),
        ((V / 0, V, None, 2), "images holds NaN or infinity"),
    ],
)
def test_faults_of_r_precision(arguments: tuple[Tensor, ...], words: str) -> None:
    with pytest.raises(UserError, match=words):
        r_precision(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((V, P[:3], V, P), "gallery must be descriptors"),
        ((V, P, V[:0], P[:0]), "probes must be descriptors"),
        ((V, P, V[:, :3], P), "lengths 4 and 3"),
        ((V, P, V, P + 1), "Person 4 of the probes is not in the gallery"),
        ((V, P - 9, V, P - 10), "Person -10 of the probes"),
        ((V, P, V, P, (0,)), "from 1 to the gallery's 4 people"),
        ((V, P, V, P, (1, 5)), "from 1 to the gallery's 4 people"),
        ((V, P, V, P, ()), "from 1 to"),
        ((V, P, V - V, P), "probes holds a zero vector"),
        ((V / 0, P, V, P, (1,), "euclidean"), "gallery holds NaN"),
    ],
)
def test_faults_of_identification(arguments: tuple[Tensor, ...], words: str) -> None:
    with pytest.raises(UserError, match=words):
        identify(*arguments)  # type: ignore[arg-type]
