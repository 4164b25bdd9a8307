"""Frechet distance: reference numbers, closed forms; moments that stream, merge and are kept."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from parity import rule
from torch import Tensor

from zoo.errors import UserError
from zoo.metrics.formulas import frechet
from zoo.metrics.formulas.frechet import Moments, frechet_distance, small_count_warning


def draw(n: int, d: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=random, dtype=torch.float64) / math.sqrt(d)
    return torch.randn(n, d, generator=random, dtype=torch.float64) @ mix * scale + shift


def moments(features: Tensor, batch: int = 7) -> Moments:
    found = Moments(features.shape[1])
    for part in torch.split(features, batch):
        found.update(part)
    return found


def oracle(a: Tensor, b: Tensor) -> float:
    """By numpy's covariance and the eigenvalues of the product."""
    s, t = (np.atleast_2d(np.cov(x.numpy(), rowvar=False)) for x in (a, b))
    root = np.sqrt(np.linalg.eigvals(s @ t).astype(complex)).real.sum()
    return float((a.mean(0) - b.mean(0)).square().sum() + np.trace(s) + np.trace(t) - 2 * root)


@pytest.mark.parametrize("path", rule.names("metrics/fid_*"))
def test_the_reference_has_the_same_number(path: str) -> None:
    fixture = rule.load(path)
    real, fake = (
        moments(rule.given(name, fixture["inputs"][name], fixture["seed_prefix"]), 50)
        for name in ("real", "fake")
    )
    wanted = fixture["values"]
    assert frechet_distance(real, fake) == pytest.approx(wanted["fid"], rel=1e-9)
    assert frechet_distance(fake, real) == pytest.approx(wanted["fid_clean_fid"], rel=1e-9)
    assert float((real.mean - fake.mean).square().sum()) == pytest.approx(wanted["mean_term"], rel=1e-9)
    assert float(real.covariance.trace()) == pytest.approx(wanted["trace_real"], rel=1e-9)
    assert float(fake.covariance.trace()) == pytest.approx(wanted["trace_fake"], rel=1e-9)


@pytest.mark.parametrize(
    ("n", "m"),
    [(60, 45), (10, 8), (10, 60), (60, 10), (16, 17), (16, 16), (17, 17), (2, 2), (2, 40), (3, 16)],
)
def test_more_and_fewer_rows_than_features_give_the_plain_number(n: int, m: int) -> None:
    a, b = draw(n, 16, 1), draw(m, 16, 2, 0.7, 0.3)
    assert frechet_distance(moments(a), moments(b)) == pytest.approx(oracle(a, b), rel=1e-6)


def test_covariances_that_share_their_axes_have_a_closed_form_however_ill_conditioned() -> None:
    d, n = 48, 400
    random = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(d, d, generator=random, dtype=torch.float64)).Q
    white = torch.randn(n, d, generator=random, dtype=torch.float64)
    white = torch.linalg.qr(white - white.mean(0)).Q * math.sqrt(n - 1)  # covariance exactly one
    for decades in (1, 8, 16):
        p, q = (torch.logspace(0, -decades, d, dtype=torch.float64) * s for s in (1.0, 0.5))
        q = q.flip(0) if decades == 16 else q
        a, b = moments(white * p.sqrt() @ axes.T), moments(white * q.sqrt() @ axes.T + 0.1)
        wanted = float((p.sqrt() - q.sqrt()).square().sum()) + 0.01 * d
        assert frechet_distance(a, b) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("power", [1, 4])
def test_rows_and_covariances_give_one_number_where_variance_falls_steeply(power: int) -> None:
    scales = torch.arange(1, 65, dtype=torch.float64) ** -power
    mix = torch.linalg.qr(draw(64, 64, 21)).Q
    a, b = ((draw(64, 64, seed) * scales) @ mix for seed in (22, 23))
    kept, other = moments(a), moments(b)
    wanted = frechet_distance(kept, other)
    folded, folded_other = (
        Moments.from_state({"count": torch.tensor(65), "mean": m.mean, "scatter": m.covariance * 64})
        for m in (kept, other)
    )
    for pair in ((folded, other), (kept, folded_other), (folded, folded_other)):
        assert frechet_distance(*pair) == pytest.approx(wanted, rel=1e-6, abs=1e-8)


def test_features_that_never_change_do_no_harm() -> None:
    a, b = draw(60, 12, 3), draw(50, 12, 4, 0.8)
    a[:, 3:5], b[:, 3:5] = 1.0, 1.5  # singular, both of them
    live = [i for i in range(12) if i not in (3, 4)]
    wanted = oracle(a[:, live], b[:, live]) + 0.5
    assert frechet_distance(moments(a), moments(b)) == pytest.approx(wanted, rel=1e-6)
    b[:, 3] += draw(50, 1, 5)[:, 0]  # in one of them
    for pair in ((a, b), (b, a)):
        assert frechet_distance(*map(moments, pair)) == pytest.approx(oracle(a, b), rel=1e-6)
    still, other = torch.zeros(20, 5), torch.full((30, 5), 2.0)
    assert frechet_distance(moments(still), moments(other)) == pytest.approx(20.0)


@pytest.mark.parametrize(("n", "m"), [(60, 50), (60, 9), (9, 60)])
@pytest.mark.parametrize("which", ["first", "second", "both"])
def test_features_that_copy_others_do_no_harm(which: str, n: int, m: int) -> None:
    a, b = draw(n, 12, 19), draw(m, 12, 20, 0.8, 0.1)
    for x in {"first": [a], "second": [b], "both": [a, b]}[which]:
        x[:, 5:] = x[:, :7]
    assert frechet_distance(moments(a), moments(b)) == pytest.approx(oracle(a, b), rel=1e-6)


@pytest.mark.parametrize("n", [5, 12, 13, 300])
def test_a_set_is_at_no_distance_from_itself_and_never_below(n: int) -> None:
    a = draw(n, 12, 6)
    a[:, 0] = 0
    found = frechet_distance(moments(a), moments(a.flip(0)))
    assert 0 <= found <= 1e-6 * float(a.var(0).sum())


def test_a_distance_far_below_zero_is_an_error_and_rounding_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    a, scale = moments(draw(40, 6, 7)), float(draw(40, 6, 7).var(0).sum())
    monkeypatch.setattr(frechet, "_trace_of_root", lambda s, t: float(s.trace()) + 1e-8 * scale)
    assert frechet_distance(a, a) == 0.0
    for wrong in (scale, math.nan):
        monkeypatch.setattr(frechet, "_trace_of_root", lambda s, t, wrong=wrong: float(s.trace()) + wrong)
        with pytest.raises(ArithmeticError, match="came out as"):
            frechet_distance(a, a)


@pytest.mark.parametrize("batch", [1, 7, 50, 5_000])
@pytest.mark.parametrize("n", [3, 8, 9, 700])
def test_streamed_moments_are_numpys_even_far_from_zero(n: int, batch: int) -> None:
    x = draw(n, 8, 8) + 1e6
    found = moments(x, batch)
    assert found.count == n and found.mean.dtype == found.covariance.dtype == torch.float64
    torch.testing.assert_close(found.mean, x.mean(0), rtol=1e-13, atol=0)
    wanted = torch.from_numpy(np.cov(x.numpy(), rowvar=False))
    # numpy's own is good to about the mean's rounding, 1e-10
    torch.testing.assert_close(found.covariance, wanted, rtol=1e-8, atol=1e-8)


def test_what_is_kept_does_not_grow() -> None:
    found, sizes = Moments(8), []
    for part in torch.split(draw(2_000, 8, 9).float(), 100):
        found.update(part)
        sizes.append(sum(value.numel() for value in found.state().values()))
    assert set(sizes) == {1 + 8 + 64} and found.count == 2_000


def test_the_callers_tensor_may_change_afterwards() -> None:
    x = draw(5, 8, 10)
    found, wanted = moments(x, 5), x.mean(0)
    x.zero_()
    torch.testing.assert_close(found.mean, wanted)


@pytest.mark.parametrize("cut", [0, 1, 5, 8, 9, 30, 39, 40])
@pytest.mark.parametrize("n", [8, 40])
def test_merged_parts_are_the_whole(n: int, cut: int) -> None:
    x = draw(n, 8, 11) + 100
    parts = moments(x[:cut]), moments(x[cut:])
    before = {name: value.clone() for name, value in parts[1].state().items()}
    parts[0].merge(parts[1])
    whole = moments(x)
    assert parts[0].count == whole.count == n
    assert (parts[0].root is None) == (whole.root is None)
    torch.testing.assert_close(parts[0].mean, whole.mean, rtol=1e-13, atol=0)
    torch.testing.assert_close(parts[0].covariance, whole.covariance, rtol=1e-10, atol=1e-11)
    parts[0].update(x)  # the other is not touched by what comes later
    assert all(torch.equal(value, before[name]) for name, value in parts[1].state().items())


@pytest.mark.parametrize("n", [0, 1, 8, 9, 100])
def test_moments_are_kept_in_a_file_to_the_last_bit(n: int, tmp_path: Path) -> None:
    found = moments(draw(n, 8, 12))
    safetensors.torch.save_file(found.state(), tmp_path / "real.safetensors")
    again = Moments.from_state(safetensors.torch.load_file(tmp_path / "real.safetensors"))
    found.update(draw(6, 8, 13))
    again.update(draw(6, 8, 13))
    assert again.count == found.count == n + 6
    assert torch.equal(again.mean, found.mean) and torch.equal(again.covariance, found.covariance)


def test_damaged_states_are_refused() -> None:
    few, many = moments(draw(5, 8, 14)).state(), moments(draw(20, 8, 14)).state()
    for state, sentence in [
        ({}, "not nothing"),
        ({"mean": few["mean"]}, "not mean"),
        (few | many, "count, mean, rows, scatter"),
        (few | {"rows": few["rows"][:4]}, "damaged"),
        (many | {"scatter": many["scatter"][:4]}, "damaged"),
        (many | {"scatter": many["scatter"] * math.nan}, "damaged"),
        (many | {"count": torch.tensor(3)}, "damaged"),
    ]:
        with pytest.raises(UserError, match=sentence):
            Moments.from_state(state)


def test_bad_features_are_refused_and_not_counted() -> None:
    found = moments(draw(3, 4, 15))
    bad = torch.zeros(6, 4)
    bad[2, 1], bad[4, 0] = math.nan, math.inf
    for features, sentence in [
        (bad, "infinity in 2 of 6 rows, the first at row 2"),
        (torch.zeros(6, 5), r"\(6, 5\), not \(N, 4\)"),
        (torch.zeros(4), r"\(4,\), not"),
    ]:
        with pytest.raises(UserError, match=sentence):
            found.update(features)
    assert found.count == 3
    found.update(torch.zeros(0, 4))
    assert found.count == 3


def test_what_has_no_distance_is_refused() -> None:
    a, b = moments(draw(20, 4, 16)), moments(draw(20, 5, 16))
    with pytest.raises(UserError, match="dimensions 4 and 5"):
        frechet_distance(a, b)
    with pytest.raises(UserError, match="dimensions 4 and 5"):
        a.merge(b)
    for n in (0, 1):
        for pair in [(a, moments(draw(n, 4, 17))), (moments(draw(n, 4, 17)), a)]:
            with pytest.raises(UserError, match=f"at least 2 images and there are {n}"):
                frechet_distance(*pair)


def test_small_counts_are_warned_of_with_the_reason() -> None:
    assert small_count_warning(50_000, 2_048) is None
    assert "advised: 50,000" in str(small_count_warning(49_999, 2_048))
    assert "rank" not in str(small_count_warning(2_049, 2_048))
    assert "rank 2,047 at most" in str(small_count_warning(2_048, 2_048))
    assert small_count_warning(1_563, 64) is None and small_count_warning(1_562, 64) is not None


def test_the_bias_that_is_warned_of_is_there() -> None:
    """Two sets of one Gaussian are further apart the fewer they are; at the advised number little is left."""
    shares = []
    for n in (20, 100, 782):
        a, b = draw(2 * n, 32, 18).chunk(2)
        shares.append(frechet_distance(moments(a, n), moments(b, n)) / float(a.var(0).sum()))
    assert shares[0] > 2 * shares[1] > 4 * shares[2] and shares[2] < 0.05
