"""Kernel distance: reference numbers, a plain loop, pieces that make no difference."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from parity import rule
from torch import Tensor

from zoo.errors import UserError
from zoo.metrics.formulas.kernel import kernel_distance, whole_kernel_distance


def sets(path: str) -> tuple[Tensor, Tensor, dict[str, float]]:
    fixture = rule.load(path)
    real, fake = (rule.given(k, fixture["inputs"][k], fixture["seed_prefix"]) for k in ("real", "fake"))
    return real, fake, fixture["values"]


def draw(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("chunk", [33, 2_000])
@pytest.mark.parametrize("path", rule.names("metrics/kid_*"))
def test_the_reference_has_the_same_number(path: str, chunk: int) -> None:
    real, fake, wanted = sets(path)
    mean, std = kernel_distance(real, fake, subsets=20, size=100, chunk=chunk)
    assert mean == pytest.approx(wanted["kid_subsets_mean"], rel=1e-9)
    assert std == pytest.approx(wanted["kid_subsets_std"], rel=1e-9)
    if "kid_all" in wanted:
        whole = whole_kernel_distance(real, fake, chunk=chunk)
        assert whole == pytest.approx(wanted["kid_all"], rel=1e-9)
        assert whole == pytest.approx(wanted["kid_all_clean_fid"], rel=1e-9)


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_unequal_sets_give_a_plain_loops_number(chunk: int) -> None:
    x, y = draw(9, 3, 0), draw(6, 3, 1) * 2 + 1

    def mean(rows: Tensor, columns: Tensor, same: bool) -> float:
        values = [
            (float(a.double() @ b.double()) / 3 + 1) ** 3
            for i, a in enumerate(rows)
            for j, b in enumerate(columns)
            if not (same and i == j)
        ]
        return math.fsum(values) / len(values)

    wanted = mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)
    assert whole_kernel_distance(x, y, chunk) == pytest.approx(wanted, rel=1e-12)


def test_it_is_unbiased_where_the_frechet_distance_is_not() -> None:
    found = [whole_kernel_distance(draw(20, 4, 2 * i), draw(30, 4, 2 * i + 1)) for i in range(300)]
    error = float(np.std(found)) / math.sqrt(len(found))
    assert min(found) < 0 < max(found)
    assert abs(float(np.mean(found))) < 3 * error


def test_subsets_of_everything_do_not_vary_and_seeds_matter() -> None:
    real, fake = draw(40, 5, 3), draw(40, 5, 4) + 0.5
    mean, std = kernel_distance(real, fake, subsets=5, size=40)
    assert mean == pytest.approx(whole_kernel_distance(real, fake)) and std < 1e-12
    first = kernel_distance(real, fake, subsets=5, size=20)
    assert first == kernel_distance(real, fake, subsets=5, size=20)
    assert first != kernel_distance(real, fake, subsets=5, size=20, seed=1)


def test_bad_requests_are_refused() -> None:
    x, bad = draw(20, 3, 5), draw(20, 3, 6)
    bad[7] = math.nan
    for real, fake, options, sentence in [
        (x, x, {}, "subsets of 1000 from 20 real and 20 generated"),
        (x, x[:9], {"size": 10}, "from 20 real and 9 generated"),
        (x[:9], x, {"size": 10}, "from 9 real and 20 generated"),
        (x, x, {"size": 1}, "subsets of 1 "),
        (x, x, {"size": 5, "subsets": 0}, "draw 0 subsets"),
        (x, draw(20, 4, 7), {"size": 5}, r"Generated features have shape \(20, 4\), not \(N, 3\)"),
        (bad, x, {"size": 5}, "Real features have NaN or infinity in 1 of 20 rows, the first at row 7"),
    ]:
        with pytest.raises(UserError, match=sentence):
            kernel_distance(real, fake, **options)
    with pytest.raises(UserError, match="20 real and 1 generated"):
        whole_kernel_distance(x, x[:1])
