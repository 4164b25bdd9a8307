"""Checkerboard artefacts: excess of an image's power spectrum at the frequencies of a grid, in decibel.

Transposed convolutions whose stride does not divide their kernel cover some pixels more often than others,
which leaves a pattern with the period of the stride (Odena 2016, "Deconvolution and Checkerboard Artifacts");
upsampling in general distorts the high frequencies (Durall 2020, "Watch your Up-Convolution"). A pattern of
period s has all its energy at multiples of 1/s cycles per pixel, where the spectrum of a natural image has no
peak. The score is the power at these frequencies over the power expected from the surrounding bins: about 0
without a pattern, for any slope of the spectrum. The measure is the zoo's own; its numbers compare with no
other.

Photographs can have grids too (JPEG, upscaling, the camera's filter; 1 to 4 dB in the three that we tried),
so compare a generator's score with that of real images, as :func:`excess` does. The standard deviation falls
with the square root of the number of images; for sets of 100 grey ones it is about 0.4 dB for stride 2, 0.2
dB for stride 4.
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
LEAST = 24  # pixels: peaks of stride 4 are then 6 bins apart, so their surroundings do not overlap
VALUES_AT_ONCE = 2**22


def power_spectrum(images: Tensor) -> Tensor:
    """Mean power spectrum of images and their channels, each minus its mean and under a Hann window.

    The window suppresses the jump between opposite edges, which would fill the axes. Sides are cropped to
    multiples of 4, so that the frequencies of the grids are exact. The mean of the spectra of equally large
    batches is that of all images.

    Args:
        images: (N, C, H, W) uint8, at least 24x24.

    Returns:
        (H, W) in float64, power per pixel in grey levels squared: white noise of variance v gives v
        everywhere. Frequency (i / H, j / W) cycles per pixel is at [i, j].
    """
    require_bytes(images)
    height, width = images.shape[2] // 4 * 4, images.shape[3] // 4 * 4
    if min(height, width) < LEAST:
        raise UserError(
            f"Images of {images.shape[2]}x{images.shape[3]} pixels are too small for a spectrum, which needs "
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
    """Excess of the spectrum at the frequencies of a grid of this stride; 0 if there is no grid.

    The frequencies are (j / stride, k / stride) without (0, 0), for stride 4 without those of stride 2. The
    expected level at each is a least-squares fit to the levels in decibel of the bins 2 to 4 away, linear in
    the distance on each axis, because a natural spectrum has a valley at the highest frequency. The rounding
    noise of uint8, 1/12, is added to all powers, so that flat images score 0.

    Args:
        spectrum: (H, W) of :func:`power_spectrum`.
        stride: Period of the grid in pixels.

    Returns:
        Excess in decibel, averaged over the frequencies.
    """
    if stride not in (2, 4):
        raise UserError(f"The checkerboard score has strides 2 and 4, not {stride}; choose one of these.")
    if spectrum.ndim != 2 or not spectrum.isfinite().all() or (spectrum < 0).any():
        raise UserError(
            f"A spectrum is finite powers (H, W), not {tuple(spectrum.shape)}; see power_spectrum."
        )
    height, width = spectrum.shape
    level = 10 * torch.log10(spectrum.double() + 1 / 12)
    around = [
        (y, x) for y, x in itertools.product(range(-FAR, FAR + 1), repeat=2) if max(abs(y), abs(x)) >= NEAR
    ]
    plane = torch.tensor([(1, abs(y), abs(x)) for y, x in around]).to(level)
    at_centre = torch.linalg.pinv(plane)[0]  # weight of each bin around it in the fitted level at the centre
    scores = []
    for j, k in itertools.product(range(stride), repeat=2):
        if (j, k) == (0, 0) or (stride == 4 and j % 2 == k % 2 == 0):
            continue
        y, x = j * height // stride, k * width // stride
        nearby = torch.stack([level[(y + dy) % height, (x + dx) % width] for dy, dx in around])
        scores.append(level[y, x] - at_centre @ nearby)
    return float(torch.stack(scores).mean())


def excess(generated: Tensor, real: Tensor, stride: Stride) -> float:
    """Checkerboard score of generated images minus that of real ones, both uint8, in decibel."""
    if generated.shape[2:] != real.shape[2:]:
        raise UserError(
            f"Spectra of images of {tuple(generated.shape[2:])} and {tuple(real.shape[2:])} pixels cannot be "
            "compared; resize the real ones to the size of the generated ones."
        )
    return checkerboard(power_spectrum(generated), stride) - checkerboard(power_spectrum(real), stride)
