"""Inception score: reference numbers, streamed in any order and over ranks; nothing counts twice."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from parity import rule
from torch import Tensor

from zoo.errors import UserError
from zoo.metrics.formulas.inception_score import ClassScore

FIXTURE = rule.load("metrics/inception_score")
LOGITS = rule.given("logits", FIXTURE["inputs"]["logits"], FIXTURE["seed_prefix"])


def inception_score(logits: Tensor, splits: int = 10, seed: int | None = 2020) -> tuple[float, float]:
    score = ClassScore(*logits.shape, splits, seed)
    score.update(logits, torch.arange(len(logits)))
    return score.compute()


def approx(*values: float) -> object:
    return pytest.approx(values, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "splits", "seed"),
    [("splits1", 1, None), ("splits1", 1, 2020), ("splits10", 10, None), ("splits10_shuffled", 10, 2020)],
)
def test_the_reference_has_the_same_numbers(name: str, splits: int, seed: int | None) -> None:
    values = FIXTURE["values"]
    assert inception_score(LOGITS, splits, seed) == approx(values[f"mean_{name}"], values[f"std_{name}"])


def streamed(order: Tensor, batch: int, parts: int = 1, splits: int = 10) -> tuple[float, float]:
    """Pictures in a given order, dealt to some processes, whose scores are merged."""
    scores = [ClassScore(len(LOGITS), 10, splits) for _ in range(parts)]
    for i, piece in enumerate(torch.split(order, batch)):
        scores[i % parts].update(LOGITS[piece], piece)
    for other in scores[1:]:
        scores[0].merge(other)
    return scores[0].compute()


@pytest.mark.parametrize(("batch", "parts"), [(1, 1), (33, 1), (33, 2), (500, 3), (7, 4)])
def test_neither_order_nor_batches_nor_processes_matter(batch: int, parts: int) -> None:
    order = torch.randperm(500, generator=torch.Generator().manual_seed(0))
    values = FIXTURE["values"]
    wanted = approx(values["mean_splits10_shuffled"], values["std_splits10_shuffled"])
    assert streamed(order, batch, parts) == wanted


@pytest.mark.parametrize("splits", [3, 7, 499, 500])
def test_splits_that_do_not_divide_the_number_follow_the_rule(splits: int) -> None:
    found = []
    p = LOGITS.double().softmax(1).numpy()[np.random.RandomState(2020).permutation(500)]
    for i in range(splits):
        part = p[i * 500 // splits : (i + 1) * 500 // splits]
        found.append(math.exp(float((part * np.log(part / part.mean(0))).sum(1).mean())))
    assert inception_score(LOGITS, splits) == approx(float(np.mean(found)), float(np.std(found)))


def test_extremes_are_the_number_of_classes_and_one() -> None:
    sure = torch.eye(8).repeat(5, 1) * 1_000  # probabilities of exactly 0 on the way
    assert inception_score(sure, 1) == approx(8.0, 0.0)
    assert inception_score(sure, 5, None) == approx(8.0, 0.0)
    assert inception_score(sure[:1].expand(40, -1), 2) == approx(1.0, 0.0)
    assert inception_score(torch.zeros(40, 8), 2) == approx(1.0, 0.0)


def test_what_is_kept_are_three_bytes_a_picture_and_sums() -> None:
    def size(count: int) -> int:
        kept = vars(ClassScore(count, 1_000)).values()
        return sum(v.numel() * v.element_size() for v in kept if isinstance(v, Tensor))

    assert size(50_000) - size(10_000) == 3 * 40_000
    assert size(10) < 81_000


def test_bad_batches_are_refused_and_not_counted() -> None:
    score = ClassScore(6, 10, 2)
    score.update(LOGITS[:2], torch.tensor([0, 3]))
    nan = torch.full((1, 10), math.nan)
    for logits, indices, sentence in [
        (LOGITS[:2], torch.tensor([1, 1]), "an image twice"),
        (LOGITS[:2], torch.tensor([1, 3]), "an image twice"),
        (LOGITS[:2], torch.tensor([1, 6]), "Images 1 to 6 were given but count is 6"),
        (LOGITS[:2], torch.tensor([-1, 1]), "Images -1 to 1"),
        (LOGITS[:2], torch.tensor([1]), r"indices of shape \(1,\)"),
        (LOGITS[:1, :9], torch.tensor([1]), r"Logits have shape \(1, 9\), not \(N, 10\)"),
        (nan, torch.tensor([1]), "Logits have NaN or infinity in 1 of 1 rows"),
    ]:
        with pytest.raises(UserError, match=sentence):
            score.update(logits, indices)
    with pytest.raises(UserError, match="only 2 of 6 images"):
        score.compute()
    score.update(LOGITS[:0], torch.zeros(0, dtype=torch.long))
    score.update(LOGITS[2:6], torch.tensor([1, 2, 4, 5]))
    whole = ClassScore(6, 10, 2)
    whole.update(LOGITS[:6], torch.tensor([0, 3, 1, 2, 4, 5]))
    assert score.compute() == approx(*whole.compute())


def test_scores_that_do_not_fit_are_not_merged() -> None:
    a, b = ClassScore(6, 10, 2), ClassScore(6, 10, 2)
    a.update(LOGITS[:2], torch.tensor([0, 3]))
    b.update(LOGITS[:2], torch.tensor([3, 4]))
    with pytest.raises(UserError, match="an image twice"):
        a.merge(b)
    for other in (
        ClassScore(7, 10, 2),
        ClassScore(6, 9, 2),
        ClassScore(6, 10, 3),
        ClassScore(6, 10, 2, None),
    ):
        with pytest.raises(UserError, match="cannot be merged"):
            a.merge(other)
    for count, splits in [(5, 6), (5, 0), (0, 1)]:
        with pytest.raises(UserError, match=f"cut {count} images into {splits} splits"):
            ClassScore(count, 10, splits)
