"""Memorisation: the nearest features are found exactly, and copies differ from independent samples."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from scipy.stats import mannwhitneyu
from torch import Tensor

from zoo.errors import UserError
from zoo.metrics.formulas.memorisation import memorisation, nearer, nearest_features


def features(count: int, width: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_the_nearest_features_are_those_of_a_plain_loop(chunk: int) -> None:
    train = features(23)
    queries = torch.cat([features(9, seed=1), train[[19, 4]]])
    distance, index = nearest_features(queries, train, chunk)
    plain = [[math.dist(q, t) for t in train.tolist()] for q in queries.tolist()]
    assert index.tolist() == [min(range(23), key=row.__getitem__) for row in plain]
    wanted = torch.tensor([min(row) for row in plain], dtype=torch.float64)
    torch.testing.assert_close(distance, wanted, rtol=0, atol=1e-7)


def test_honest_samples_are_told_from_copies_and_from_a_mixture() -> None:
    train, held_out = features(600), features(1_000, seed=1)
    honest = memorisation(features(2_000, seed=2), held_out, train, chunk=300)
    assert abs(honest.share - 0.01) < 0.008
    assert honest.error == pytest.approx(math.sqrt(honest.share * (1 - honest.share) / 2_000))
    ordered = sorted(honest.held_out.tolist())
    assert ordered[9] <= honest.threshold <= ordered[10]
    assert float((honest.held_out < honest.threshold).double().mean()) == 0.01
    copies = memorisation(train[50:80], held_out, train)
    assert copies.share == 1 and copies.nearest.tolist() == list(range(50, 80))
    mixed = memorisation(torch.cat([train[:100] + 1e-3, 50 + features(100)]), held_out, train)
    assert mixed.share == 0.5
    assert len(mixed.generated) == 200 and len(mixed.held_out) == 1_000


def test_the_rank_test_is_scipys() -> None:
    made = torch.tensor([1.0, 2.0, 2.0, 5.0, 0.5], dtype=torch.float64)
    held_out = torch.tensor([2.0, 3.0, 0.7, 2.0], dtype=torch.float64)
    larger = mannwhitneyu(held_out.numpy(), made.numpy()).statistic  # pairs in which the held-out one is
    assert nearer(made, held_out).share == pytest.approx(larger / 20)
    assert nearer(held_out, made).share == pytest.approx(1 - larger / 20)


def test_the_rank_test_needs_few_held_out_images() -> None:
    found = [
        nearer(features(500, 1, seed)[:, 0].abs(), features(25, 1, seed + 100)[:, 0].abs()).deviations
        for seed in range(40)
    ]
    assert abs(sum(found) / 40) < 0.5 and sum(abs(each) > 2 for each in found) <= 6
    assert 0.7 < float(torch.tensor(found).std()) < 1.3
    train, held_out = features(200), features(25, seed=1)
    distances = [nearest_features(x, train)[0] for x in (train[:100] + 1e-3, held_out)]
    copied = nearer(*distances)
    assert copied.share == 1 and copied.deviations > 7


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nearest_features(features(3, 4), features(3, 5)), r"\(3, 5\), not \(N, 4\)"),
        (lambda: nearest_features(features(3, 4)[0], features(3, 4)), r"Query features have shape \(4,\)"),
        (lambda: nearest_features(features(3, 4), features(0, 4)), "3 query and 0 training"),
        (lambda: nearest_features(features(3, 4), features(3, 4) * math.nan), "Training features have NaN"),
        (lambda: nearer(torch.zeros(0), torch.zeros(3)), "0 generated and 3 held-out"),
        (lambda: nearer(torch.zeros(3), torch.tensor([math.nan])), "Distances have NaN"),
        (lambda: memorisation(features(3), features(99), features(9)), "^99 held-out.*at least 100"),
    ],
)
def test_features_that_cannot_be_searched_are_refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        call()
