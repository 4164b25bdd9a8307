"""Precision, recall, density, coverage: reference numbers, and a plain loop over ties and duplicates."""

from __future__ import annotations

import math

import pytest
import torch
from parity import rule
from torch import Tensor

from zoo.errors import UserError
from zoo.metrics.formulas.prdc import PRDC, prdc


def sets(path: str) -> tuple[Tensor, Tensor, dict[str, float]]:
    fixture = rule.load(path)
    real, fake = (rule.given(k, fixture["inputs"][k], fixture["seed_prefix"]) for k in ("real", "fake"))
    return real, fake, fixture["values"]


def draw(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize("path", rule.names("metrics/prdc_*"))
def test_the_reference_has_the_same_numbers(path: str, k: int) -> None:
    real, fake, wanted = sets(path)
    for chunk in (100, 1_000):
        for name, value in prdc(real, fake, k, chunk=chunk)._asdict().items():
            assert value == pytest.approx(wanted[f"{name}_k{k}"], rel=1e-10)


@pytest.mark.parametrize("path", rule.names("metrics/prdc_*"))
def test_torch_fidelity_has_the_same_numbers(path: str) -> None:
    real, fake, wanted = sets(path)
    found = prdc(real, fake, 3, inclusive=True)
    assert found.precision == pytest.approx(wanted["torch_fidelity_precision_k3"], abs=1e-7)
    assert found.recall == pytest.approx(wanted["torch_fidelity_recall_k3"], abs=1e-7)


def approx(wanted: PRDC) -> object:
    return pytest.approx(tuple(wanted), rel=1e-12)


def plain(real: list[list[int]], fake: list[list[int]], k: int, inclusive: bool) -> PRDC:
    """By the definitions, in whole numbers."""

    def squared(a: list[int], b: list[int]) -> int:
        return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))

    def radii(rows: list[list[int]]) -> list[int]:
        return [
            sorted(squared(a, b) for j, b in enumerate(rows) if i != j)[k - 1] for i, a in enumerate(rows)
        ]

    def inside(distance: int, radius: int) -> bool:
        return distance <= radius if inclusive else distance < radius

    of_real, of_fake = radii(real), radii(fake)
    in_real = [[inside(squared(f, r), radius) for r, radius in zip(real, of_real, strict=True)] for f in fake]
    in_fake = [[inside(squared(f, r), radius) for f, radius in zip(fake, of_fake, strict=True)] for r in real]
    return PRDC(
        sum(map(any, in_real)) / len(fake),
        sum(map(any, in_fake)) / len(real),
        sum(map(sum, in_real)) / k / len(fake),
        sum(map(any, zip(*in_real, strict=True))) / len(real),
    )


@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("k", [1, 3, 9])
@pytest.mark.parametrize("seed", range(6))
def test_ties_and_duplicates_give_a_plain_loops_numbers(seed: int, k: int, inclusive: bool) -> None:
    random = torch.Generator().manual_seed(seed)
    real = torch.randint(0, 4, (23, 3), generator=random)
    fake = torch.cat([torch.randint(0, 5, (10, 3), generator=random), real[:4], real[:1].repeat(3, 1)])
    wanted = plain(real.tolist(), fake.tolist(), k, inclusive)
    for scale, shift in ((1.0, 0.0), (0.1, 7.3)):  # the second is not exact in binary
        for chunk in (5, 100):
            x, y = (rows.double() * scale + shift for rows in (real, fake))
            assert prdc(x, y, k, inclusive, chunk) == approx(wanted)


def test_the_set_itself_and_a_set_far_away_are_the_extremes() -> None:
    real = draw(50, 4, 0)
    assert prdc(real, real, 3, inclusive=True) == approx(PRDC(1, 1, 4 / 3, 1))
    assert prdc(real, real, 3) == approx(PRDC(1, 1, 1, 1))  # itself and two neighbours: 3 of k = 3
    assert prdc(real, real + 1_000, 3) == PRDC(0, 0, 0, 0)


def test_equal_rows_have_balls_of_no_size() -> None:
    """Copies beside one other row, which alone has a ball with an inside."""
    one = draw(1, 300, 1).expand(9, -1) * 50
    real = torch.cat([one, draw(1, 300, 2) * 50])
    assert prdc(real, one, 3) == PRDC(0, 0, 0, 0)  # the copies lie on the surface of the other's ball
    assert prdc(real, one, 3, inclusive=True) == PRDC(1, 0.9, 10 / 3, 1)
    with pytest.raises(UserError, match="All 9 real images have the same features"):
        prdc(one, real, 3)


def test_few_modes_cost_recall_and_noise_costs_precision() -> None:
    real = draw(300, 3, 2)
    few, wide = prdc(real, real[:200] * 0.1, 5), prdc(real, draw(300, 3, 3) * 5, 5)
    assert few.precision == 1.0 and few.recall < 0.2 and few.coverage < 0.5
    assert wide.precision < 0.5 and wide.recall > 0.95


def test_bad_requests_are_refused() -> None:
    x, bad = draw(20, 3, 4), draw(20, 3, 5)
    bad[7] = math.inf
    for real, fake, k, sentence in [
        (x, x, 0, "k is 0 but there are 20 real and 20"),
        (x, x, 20, "k is 20 "),
        (x, x[:5], 5, "20 real and 5 generated"),
        (x[:5], x, 5, "5 real and 20 generated"),
        (x, draw(20, 4, 6), 3, r"Generated features have shape \(20, 4\), not \(N, 3\)"),
        (x, bad, 3, "Generated features have NaN or infinity in 1 of 20 rows, the first at row 7"),
    ]:
        with pytest.raises(UserError, match=sentence):
            prdc(real, fake, k)
    prdc(x, x[:5], 4)
