"""Diversity: all pairs of a condition and no others, with the error over conditions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from zoo.errors import UserError
from zoo.metrics.formulas.diversity import diversity, euclidean, random_pairs, rms


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("chunk", [1, 4, 64])
def test_it_is_the_mean_over_plain_pairs(chunk: int) -> None:
    samples = draw(6, 5, 3, 2)
    found = diversity(samples, chunk=chunk)
    means = []
    for group in samples.tolist():
        flat = [[v for row in sample for v in row] for sample in group]
        means.append(sum(math.dist(a, b) for a, b in itertools.combinations(flat, 2)) / 10)
    mean = sum(means) / 6
    error = math.sqrt(sum((m - mean) ** 2 for m in means) / 5 / 6)
    assert found.mean == pytest.approx(mean, rel=1e-12) and found.error == pytest.approx(error, rel=1e-12)
    assert (found.conditions, found.pairs) == (6, 60)


def test_conditions_may_come_one_by_one_and_differ_in_number() -> None:
    groups = [torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [3.0], [0.0]])]
    found = diversity(group for group in groups)
    assert found.mean == 1.5  # of 1 and 2: conditions count alike
    assert found.error == 0.5 and found.pairs == 4


def test_a_generator_that_ignores_its_noise_has_none() -> None:
    assert diversity(draw(4, 1, 7).expand(4, 3, 7)) == (0.0, 0.0, 4, 12)
    assert diversity(draw(1, 3, 7)).error is None


def test_bytes_do_not_wrap() -> None:
    images = torch.tensor([250, 5], dtype=torch.uint8).view(1, 2, 1, 1, 1).expand(1, 2, 3, 4, 4)
    assert diversity(images, rms).mean == 245
    assert diversity(images, euclidean).mean == pytest.approx(245 * math.sqrt(48))


def test_any_distance_will_do() -> None:
    assert (
        diversity(torch.tensor([[[1.0], [5.0], [2.0]]]), lambda a, b: (a - b).abs()[:, 0] > 2).mean == 2 / 3
    )


def test_pairs_are_all_or_drawn() -> None:
    assert random_pairs(4, 6).tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    drawn = random_pairs(5, 9, seed=1)
    assert torch.equal(drawn, random_pairs(5, 9, seed=1)) and not torch.equal(drawn, random_pairs(5, 9))
    many = random_pairs(200, 10_000)
    assert many.shape == (10_000, 2) and (many[:, 0] != many[:, 1]).all()
    assert many.min() == 0 and many.max() == 199
    assert abs(float((many[:, 0] < many[:, 1]).double().mean()) - 0.5) < 0.02
    counts = many.flatten().bincount().double()
    assert counts.mean() == 100 and counts.std() < 13  # 10 if each comes alike
    with pytest.raises(UserError, match="1 images have no pairs"):
        random_pairs(1, 5)


@pytest.mark.parametrize(
    ("samples", "distance", "words"),
    [
        ([], euclidean, "no condition"),
        ([draw(3, 2), draw(1, 2)], euclidean, r"Condition 1 .*\(1, 2\).*at least 2"),
        (draw(3, 2), euclidean, r"Condition 0 .*\(2,\)"),
        (draw(2, 3, 2), lambda a, b: (a - b).square(), r"\(3, 2\) for 3 pairs"),
        (draw(2, 3, 2), lambda a, b: (a - b).norm(), r"\(\) for 3 pairs"),
        (draw(2, 3, 2) * math.nan, euclidean, "not finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    samples: Any, distance: Callable[..., Tensor], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        diversity(samples, distance)
