"""Checkerboards: how far a picture's spectrum stands out at the frequencies of a grid, in decibel.

Transposed convolutions whose stride does not divide their kernel cover some pixels more often than others,
which leaves a pattern of the stride's period (Odena 2016, "Deconvolution and Checkerboard Artifacts");
upsampling in general distorts the high end of the spectrum (Durall 2020, "Watch your Up-Convolution"). A
pattern of period s has all its energy at multiples of 1/s cycles a pixel, where the spectrum of a natural
picture has nothing special. So the score is the power at these frequencies over the power that the bins
around each lead one to expect: about 0 without a pattern, at any slope of the spectrum. It is the zoo's own:
compare it with no other.

Photographs can have grids too (JPEG, enlargement, the camera's filter; 1 to 4 dB in the three we tried): read
a generator's score beside that of real pictures, as :func:`excess` does. Chance shrinks with the root of the
number of pictures; over sets of 100 grey ones its standard deviation is about 0.4 dB for stride 2, 0.2 dB for
stride 4.
"""

from __future__ import annotations

import itertools
from typing import Literal

import torch
from torch import Tensor

from zoo.errors import UserError
from zoo.metrics.formulas.pixels import require_bytes

Stride = Literal[2, 4]

NEAR, FAR = 2, 4  # bins: the Hann window spreads a peak over its direct neighbours, up to 1
LEAST = 24  # pixels: peaks of stride 4 are then 6 bins apart, out of reach of each other's surroundings
VALUES_AT_ONCE = 2**22


def power_spectrum(images: Tensor) -> Tensor:
    """Mean power spectrum of pictures and their channels, each less its mean and under a Hann window.

    The window keeps the jump between opposite edges from filling the axes. Sides are cut to multiples of 4,
    so that the frequencies of the grids are exact. The mean of the spectra of equal batches is that of all
    pictures.

    Args:
        images: (N, C, H, W) uint8, at least 24x24.

    Returns:
        (H, W) in float64, power a pixel in bytes squared: white noise of variance v gives v everywhere.
        Frequency (i / H, j / W) cycles a pixel stands at [i, j].
    """
    require_bytes(images)
    height, width = images.shape[2] // 4 * 4, images.shape[3] // 4 * 4
    if min(height, width) < LEAST:
        raise UserError(
            f"Pictures of {images.shape[2]}x{images.shape[3]} pixels are too small for a spectrum; it needs "
            f"{LEAST}x{LEAST}."
        )
    sides = (torch.hann_window(side, dtype=torch.float64, device=images.device) for side in (height, width))
    window = torch.outer(*sides)
    total = torch.zeros_like(window)
    planes = images[..., :height, :width].flatten(0, 1)
    for part in torch.split(planes, max(1, VALUES_AT_ONCE // window.numel())):
        values = part.double()
        centred = values - values.mean((1, 2), keepdim=True)
        total += torch.fft.fft2(centred * window).abs().square().sum(0)
    return total / (len(planes) * window.square().sum())


def checkerboard(spectrum: Tensor, stride: Stride) -> float:
    """How far the spectrum stands out at the frequencies of a grid of this stride: 0 when it does not.

    The frequencies are (j / stride, k / stride) without (0, 0), for stride 4 without those of stride 2. What
    is expected at each comes from the bins 2 to 4 away on either axis: their levels in decibel, fitted by
    least squares as falling evenly with the distance on each axis, because at the highest frequency a natural
    spectrum has a valley. All powers count with the noise of rounding to bytes, 1/12, so that flat pictures
    score 0.

    Args:
        spectrum: (H, W) of :func:`power_spectrum`.
        stride: Period of the grid in pixels.

    Returns:
        Decibel, averaged over the frequencies.
    """
    if stride not in (2, 4):
        raise UserError(f"The checkerboard score knows strides 2 and 4, not {stride}; choose one of these.")
    height, width = spectrum.shape
    level = 10 * torch.log10(spectrum.double() + 1 / 12)
    around = [
        (y, x) for y, x in itertools.product(range(-FAR, FAR + 1), repeat=2) if max(abs(y), abs(x)) >= NEAR
    ]
    plane = torch.tensor([(1, abs(y), abs(x)) for y, x in around]).to(level)
    at_centre = torch.linalg.pinv(plane)[0]  # what each bin around adds to the fitted level in the middle
    scores = []
    for j, k in itertools.product(range(stride), repeat=2):
        if (j, k) == (0, 0) or (stride == 4 and j % 2 == k % 2 == 0):
            continue
        y, x = j * height // stride, k * width // stride
        nearby = torch.stack([level[(y + dy) % height, (x + dx) % width] for dy, dx in around])
        scores.append(level[y, x] - at_centre @ nearby)
    return float(torch.stack(scores).mean())


def excess(generated: Tensor, real: Tensor, stride: Stride) -> float:
    """Checkerboard score of generated pictures less that of real ones, both uint8, in decibel."""
    if generated.shape[2:] != real.shape[2:]:
        raise UserError(
            f"Spectra of pictures of {tuple(generated.shape[2:])} and {tuple(real.shape[2:])} pixels cannot "
            "be compared; bring the real ones to the size of the generated ones."
        )
    return checkerboard(power_spectrum(generated), stride) - checkerboard(power_spectrum(real), stride)
