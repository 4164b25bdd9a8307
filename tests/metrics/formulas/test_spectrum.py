"""Checkerboards: the spectrum is a plain DFT, natural noise scores about 0, grids score by their strength."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.errors import UserError
from zoo.metrics.formulas.spectrum import checkerboard, excess, power_spectrum


def natural(count: int, size: int, exponent: float = 1.0, seed: int = 0) -> Tensor:
    """Grey noise whose amplitude falls as 1 / f^exponent, cut from a larger picture so that edges differ."""
    frequency = torch.fft.fftfreq(3 * size, dtype=torch.float64)
    radius = (frequency[:, None] ** 2 + frequency**2).sqrt()
    radius[0, 0] = 1
    white = torch.randn(
        count, 1, 3 * size, 3 * size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    noise = torch.fft.ifft2(torch.fft.fft2(white) / radius**exponent).real[..., :size, :size]
    return (noise / noise.std() * 45 + 128).round().clamp(0, 255).byte()


def grid(size: int, stride: int) -> Tensor:
    """Every ``stride``-th pixel of every ``stride``-th row raised."""
    raised = torch.arange(size) % stride == 0
    return (raised[:, None] & raised).long()


def test_the_spectrum_is_a_plain_transform() -> None:
    images = torch.randint(256, (2, 3, 35, 41), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = power_spectrum(images)
    assert found.shape == (32, 40)
    n, m = np.arange(32), np.arange(40)
    rows = np.exp(-2j * np.pi * np.outer(n, n) / 32) * (0.5 - 0.5 * np.cos(2 * np.pi * n / 32))
    columns = np.exp(-2j * np.pi * np.outer(m, m) / 40) * (0.5 - 0.5 * np.cos(2 * np.pi * m / 40))
    power = np.zeros((32, 40))
    for plane in images[..., :32, :40].reshape(6, 32, 40).double().numpy():
        power += np.abs(rows @ (plane - plane.mean()) @ columns.T) ** 2
    # the squares of a Hann window sum to 3/8 of its length
    np.testing.assert_allclose(found.numpy(), power / 6 / (32 * 40 * 9 / 64), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.5])
@pytest.mark.parametrize("size", [32, 64])
def test_natural_noise_scores_about_nothing_at_any_slope(exponent: float, size: int) -> None:
    spectrum = power_spectrum(natural(100, size, exponent))
    assert abs(checkerboard(spectrum, 2)) < 1.0 and abs(checkerboard(spectrum, 4)) < 0.6


@pytest.mark.parametrize("stride", [2, 4])
def test_the_score_rises_with_the_grid(stride: int) -> None:
    real = natural(40, 48)
    scores = []
    for strength in (0, 2, 4, 8, 16, 32):
        images = (real.long() + strength * grid(48, stride)).clamp(0, 255).byte()
        scores.append(excess(images, real, stride))
    assert scores[0] == 0
    assert all(b > a for a, b in itertools.pairwise(scores)), scores
    assert scores[-1] > 8


def test_a_grid_of_stride_2_is_not_one_of_stride_4() -> None:
    real = natural(40, 48)
    images = (real.long() + 8 * grid(48, 2)).clamp(0, 255).byte()
    assert excess(images, real, 2) > 8 and abs(excess(images, real, 4)) < 0.1


def test_a_pure_checkerboard_has_the_power_of_its_cosine() -> None:
    side, strength = 32, 3
    sign = 1 - 2 * ((torch.arange(side)[:, None] + torch.arange(side)) % 2)
    images = (128 + strength * sign).byte().view(1, 1, side, side)
    # a cosine under a window w: strength^2 (sum of w)^2 / (sum of w^2); the sums are 1/2 and 3/8 a side
    power = strength**2 * side**2 * (1 / 4) ** 2 / (3 / 8) ** 2
    spectrum = power_spectrum(images)
    assert spectrum[side // 2, side // 2].item() == pytest.approx(power)
    # one of the three frequencies of stride 2
    assert checkerboard(spectrum, 2) == pytest.approx(10 * math.log10((power + 1 / 12) * 12) / 3)
    assert checkerboard(spectrum, 4) == pytest.approx(0)


def test_a_transposed_convolution_that_overlaps_unevenly_is_found() -> None:
    maps = F.avg_pool2d(natural(30, 64).double(), 2)
    uneven = F.conv_transpose2d(maps, torch.full((1, 1, 3, 3), 4 / 9, dtype=torch.float64), stride=2)
    even = F.interpolate(maps, scale_factor=2, mode="bilinear")
    spectra = [power_spectrum(x.clamp(0, 255).round().byte()[..., :64, :64]) for x in (uneven, even)]
    assert checkerboard(spectra[0], 2) > 10 and checkerboard(spectra[1], 2) < 2


def test_flat_pictures_score_nothing() -> None:
    spectrum = power_spectrum(torch.full((2, 3, 32, 32), 77, dtype=torch.uint8))
    assert checkerboard(spectrum, 2) == pytest.approx(0) and checkerboard(spectrum, 4) == pytest.approx(0)


def test_parts_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    images = natural(5, 32)
    whole = power_spectrum(images)
    monkeypatch.setattr("zoo.metrics.formulas.spectrum.VALUES_AT_ONCE", 2 * 32 * 32)
    torch.testing.assert_close(power_spectrum(images), whole)


def test_what_has_no_spectrum_is_refused() -> None:
    with pytest.raises(UserError, match="uint8, not float32"):
        power_spectrum(torch.rand(1, 3, 32, 32))
    with pytest.raises(UserError, match=r"33x31 pixels are too small.*32x32"):
        power_spectrum(torch.zeros(1, 3, 33, 31, dtype=torch.uint8))
    with pytest.raises(UserError, match="strides 2 and 4, not 3"):
        checkerboard(torch.ones(32, 32), 3)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"\(32, 32\) and \(64, 64\)"):
        excess(natural(1, 32), natural(1, 64), 2)
