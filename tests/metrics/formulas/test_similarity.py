"""PSNR, SSIM, MS-SSIM and mask-SSIM: the reference's numbers, plain definitions, bad input refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from parity import rule
from scipy.signal import convolve2d
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from zoo.errors import UserError
from zoo.metrics.formulas.similarity import luma, mask_ssim, masked, most_scales, ms_ssim, psnr, ssim

# Y is computed in float32 by the reference
CLOSE = {"rtol": 1e-6, "atol": 1e-8}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def noisy(images: Tensor, most: int = 40, seed: int = 1) -> Tensor:
    noise = torch.randint(-most, most + 1, images.shape, generator=torch.Generator().manual_seed(seed))
    return (images.long() + noise).clamp(0, 255).byte()


def smooth(*shape: int, seed: int = 0) -> Tensor:
    """Soft blobs, so that coarse scales have something to compare."""
    small = draw(*shape[:2], shape[2] // 8, shape[3] // 8, seed=seed).double()
    large = torch.nn.functional.interpolate(small, shape[2:], mode="bilinear", antialias=True)
    return large.round().byte()


def plain_ssim(x: np.ndarray, y: np.ndarray, window: str = "gaussian") -> tuple[float, float]:
    """One channel after Wang 2004: the index and its contrast and structure term."""
    side = 11 if window == "gaussian" else 7
    line = np.array([math.exp(-((i - 5) ** 2) / 4.5) if window == "gaussian" else 1 for i in range(side)])
    weights = np.outer(line, line) / line.sum() ** 2
    n = side**2 / (side**2 - 1) if window == "uniform" else 1

    def mean(values: np.ndarray) -> np.ndarray:
        return convolve2d(values, weights, mode="valid")

    mx, my = mean(x), mean(y)
    vx, vy, c = n * (mean(x * x) - mx**2), n * (mean(y * y) - my**2), n * (mean(x * y) - mx * my)
    contrast = (2 * c + 58.5225) / (vx + vy + 58.5225)
    return float((contrast * (2 * mx * my + 6.5025) / (mx**2 + my**2 + 6.5025)).mean()), float(
        contrast.mean()
    )


@pytest.mark.parametrize("name", rule.names("metrics/psnr_ssim_*"))
def test_numbers_are_those_of_the_reference(name: str) -> None:
    fixture = rule.load(name)
    a, noise = (rule.given(k, fixture["inputs"][k], fixture["seed_prefix"])[None] for k in ("image", "noise"))
    b = (a.long() + noise - 20).clamp(0, 255).byte()
    rule.assert_summary(luma(a)[0, 0], fixture["outputs"]["y_channel"])
    checked = 0
    for key, value in fixture["values"].items():
        source, metric, planes, border = re.fullmatch(r"(.*)(psnr|ssim)_(rgb|y)_border(\d)", key).groups()
        if source == "tensor_" and metric == "psnr":
            continue  # adds 1e-8 to the error
        score = {"psnr": psnr, "ssim": ssim}[metric]
        found = score(a, b, luma=planes == "y", border=int(border))
        torch.testing.assert_close(found, torch.tensor([value], dtype=torch.float64), **CLOSE, msg=key)
        checked += 1
    assert checked == 13


@pytest.mark.parametrize("window", ["gaussian", "uniform"])
@pytest.mark.parametrize("on_luma", [True, False])
def test_ssim_is_its_definition(window: str, on_luma: bool) -> None:
    a = smooth(2, 3, 24, 32)
    b = noisy(a)
    found = ssim(a, b, luma=on_luma, window=window)
    for i, score in enumerate(found.tolist()):
        planes = [luma(x)[i] if on_luma else x[i] for x in (a, b)]
        x, y = (p.double().numpy() for p in planes)
        wanted = np.mean([plain_ssim(c, d, window)[0] for c, d in zip(x, y, strict=True)])
        assert score == pytest.approx(wanted, rel=1e-10)
        assert 0.1 < score < 0.95


def test_ssim_is_the_inner_part_of_torchmetrics_map() -> None:
    a = draw(3, 3, 20, 17)
    b = noisy(a)
    _, maps = structural_similarity_index_measure(
        a.double(), b.double(), data_range=255.0, reduction="none", return_full_image=True
    )
    torch.testing.assert_close(ssim(a, b, luma=False), maps[..., 5:-5, 5:-5].mean((1, 2, 3)), **CLOSE)


@pytest.mark.parametrize(
    ("size", "scales", "powers"),
    [
        ((184, 177), 5, (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)),  # odd scales among them
        ((64, 47), 3, (0.0448 / 0.6305, 0.2856 / 0.6305, 0.3001 / 0.6305)),
        ((16, 16), 1, (1.0,)),
    ],
)
def test_ms_ssim_is_its_definition(size: tuple[int, int], scales: int, powers: tuple[float, ...]) -> None:
    assert most_scales(*size) == scales
    a = smooth(2, 3, *size)
    b = noisy(a, 60)
    found = ms_ssim(a, b, luma=False, scales=scales)
    for i, score in enumerate(found.tolist()):
        channels = []
        for x, y in zip(a[i].double().numpy(), b[i].double().numpy(), strict=True):
            product = 1.0
            for scale, power in enumerate(powers, 1):
                whole, contrast = plain_ssim(x, y)
                product *= (whole if scale == scales else contrast) ** power
                h, w = x.shape[0] // 2 * 2, x.shape[1] // 2 * 2
                x, y = (
                    (v[0:h:2, 0:w:2] + v[1:h:2, 0:w:2] + v[0:h:2, 1:w:2] + v[1:h:2, 1:w:2]) / 4
                    for v in (x, y)
                )
            channels.append(product)
        assert score == pytest.approx(np.mean(channels), rel=1e-10)
        assert 0.3 < score < 0.99


def test_scales_are_those_that_leave_a_window() -> None:
    found = [most_scales(side, 300) for side in (10, 11, 21, 22, 43, 44, 87, 88, 175, 176, 300)]
    assert found == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_ms_ssim_of_a_picture_and_its_negative_is_zero_and_no_nan() -> None:
    a = smooth(1, 1, 176, 176)
    assert ms_ssim(a, 255 - a).tolist() == [0.0]


@pytest.mark.parametrize("score", [ssim, ms_ssim])
def test_equal_pictures_score_one(score: Callable[..., Tensor]) -> None:
    a = torch.cat([draw(1, 3, 176, 176), torch.full((1, 3, 176, 176), 255, dtype=torch.uint8)])
    torch.testing.assert_close(score(a, a), torch.ones(2, dtype=torch.float64))
    assert psnr(a, a).tolist() == [math.inf, math.inf]


def test_psnr_of_a_constant_difference() -> None:
    a = torch.full((1, 3, 4, 4), 100, dtype=torch.uint8)
    assert psnr(a, a + 10, luma=False).item() == pytest.approx(20 * math.log10(25.5))
    # luma spreads 0 to 255 over 16 to 235, except for grey images
    assert psnr(a, a + 10).item() == pytest.approx(20 * math.log10(25.5 * 255 / 219))
    assert psnr(a[:, :1], a[:, :1] + 10).item() == pytest.approx(20 * math.log10(25.5))


def test_luma_of_black_white_and_grey() -> None:
    grey = torch.tensor([0, 255, 128], dtype=torch.uint8).view(3, 1, 1, 1)
    wanted = torch.tensor([16, 235, 16 + 128 * 219 / 255], dtype=torch.float64).view(3, 1, 1, 1)
    torch.testing.assert_close(luma(grey), grey.double())
    torch.testing.assert_close(luma(grey.expand(3, 3, 1, 1)), wanted)


def test_pairs_do_not_touch_each_other_and_parts_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    a = draw(5, 3, 16, 16)
    b = noisy(a)
    together = ssim(a, b), psnr(a, b)
    monkeypatch.setattr("zoo.metrics.formulas.similarity.PIXELS_AT_ONCE", 2 * 3 * 16 * 16)
    for whole, score in zip(together, (ssim, psnr), strict=True):
        torch.testing.assert_close(score(a, b), whole, rtol=1e-12, atol=0)
        torch.testing.assert_close(torch.cat([score(a[i : i + 1], b[i : i + 1]) for i in range(5)]), whole)


def test_mask_ssim_sees_the_figure_only() -> None:
    a = draw(2, 3, 32, 20)
    masks = torch.zeros(2, 1, 32, 20)
    masks[..., 8:24, 5:15] = 1
    b = torch.where(masks.bool(), a, noisy(a, 200))
    assert ssim(a, b, luma=False).max() < 0.9
    torch.testing.assert_close(mask_ssim(a, b, masks), torch.ones(2, dtype=torch.float64))

    c = noisy(a)
    kept = [x.double().numpy() * masks.double().numpy() for x in (a, c)]
    for i, score in enumerate(mask_ssim(a, c, masks).tolist()):
        wanted = np.mean(
            [plain_ssim(x, y, "uniform")[0] for x, y in zip(kept[0][i], kept[1][i], strict=True)]
        )
        assert score == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.float32])
def test_masked_pictures_are_black_outside(kind: torch.dtype) -> None:
    images, masks = draw(1, 3, 2, 2), torch.tensor([[1, 0], [0, 1]]).view(1, 1, 2, 2).to(kind)
    out = masked(images, masks)
    assert out.dtype == torch.uint8
    assert torch.equal(out[..., 0, 0], images[..., 0, 0]) and torch.equal(out[..., 1, 1], images[..., 1, 1])
    assert not out[..., 0, 1].any() and not out[..., 1, 0].any()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: psnr(torch.rand(1, 3, 8, 8), draw(1, 3, 8, 8)), "uint8, not float32"),
        (lambda: psnr(draw(1, 3, 8, 8), torch.rand(1, 3, 8, 8)), "uint8, not float32"),
        (lambda: luma(draw(1, 4, 8, 8)), "alpha"),
        (lambda: psnr(draw(2, 3, 8, 8), draw(1, 3, 8, 8)), "one shape"),
        (lambda: psnr(draw(1, 3, 8, 8), draw(1, 1, 8, 8)), "one shape"),
        (lambda: psnr(draw(1, 3, 8, 8), draw(1, 3, 8, 8), border=4), "too small"),
        (lambda: psnr(draw(1, 3, 8, 8), draw(1, 3, 8, 8), border=-1), "border is -1"),
        (lambda: ssim(draw(1, 3, 10, 20), draw(1, 3, 10, 20)), "needs 11x11"),
        (lambda: ssim(draw(1, 3, 12, 12), draw(1, 3, 12, 12), border=1), "needs 11x11"),
        (lambda: ssim(draw(1, 3, 6, 9), draw(1, 3, 6, 9), window="uniform"), "needs 7x7"),
        (lambda: ssim(draw(1, 3, 16, 16), draw(1, 3, 16, 16), window="hann"), "no window 'hann'"),
        (lambda: ms_ssim(draw(1, 1, 175, 200), draw(1, 1, 175, 200)), "needs 176x176"),
        (lambda: ms_ssim(draw(1, 1, 43, 90), draw(1, 1, 43, 90), scales=3), "needs 44x44"),
        (lambda: ms_ssim(draw(1, 1, 99, 99), draw(1, 1, 99, 99), scales=6), "1 to 5 scales, not 6"),
        (lambda: masked(draw(1, 3, 8, 8), torch.ones(1, 3, 8, 8)), r"must be \(1, 1, 8, 8\)"),
        (lambda: masked(draw(1, 3, 8, 8), torch.full((1, 1, 8, 8), 255)), "values other than 0 and 1"),
        (lambda: masked(draw(1, 3, 8, 8), torch.full((1, 1, 8, 8), math.nan)), "values other than 0 and 1"),
    ],
)
def test_bad_pairs_get_their_sentence(call: Callable[[], Tensor], words: str) -> None:
    with pytest.raises(UserError, match=words):
        call()
