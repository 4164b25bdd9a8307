"""Checkerboard artefacts: excess of an image's power spectrum at the frequencies of a grid, in decibel.

Transposed convolutions whose stride does not divide their kernel cover some pixels more often than others,
which leaves a pattern with the period of the stride (Odena 2016, "Deconvolution and Checkerboard Artifacts");
upsampling in general distorts the high frequencies (Durall 2020, "Watch your Up-Convolution"). A pattern of
period s has all its energy at multiples of 1/s cycles per pixel, where the spectrum of a natural image has no
peak. The score is the power at these frequencies over the power expected from the surrounding bins: about 0
without a pattern, for any slope of the spectrum. The measure is the zoo's own; its numbers compare with no
other.

Photographs can have grids too (JPEG, upscaling, the camera's filter; 1.5 dB for stride 2 in BSD100 and in CMP
facades), so compare a generator's score with that of real images, as :func:`excess` does. The standard
deviation falls with the square root of the number of images; for sets of 100 grey ones it is about 0.4 dB for
stride 2, 0.2 dB for stride 4.
"""

from __future__ import annotations

import itertools
from typing import Literal

import torch
from torch import Tensor

from zoo.errors import UserError
from zoo.metrics.formulas.pixels import require_bytes

Stride = Literal[2, 4]

NEAR, FAR = 3, 6  # bins: the Hann window widens a peak by 1, a grid in a part of the picture by its share
LEAST = 32  # pixels: peaks of stride 4 are then 8 bins apart, so no peak lies in another's surroundings
VALUES_AT_ONCE = 2**22


def power_spectrum(images: Tensor) -> Tensor:
    """Mean power spectrum of images and their channels, each minus its mean and under a Hann window.

    The window suppresses the jump between opposite edges, which would fill the axes. Sides are cropped to
    multiples of 4, so that the frequencies of the grids are exact. The mean of the spectra of equally large
    batches is that of all images.

    Args:
        images: (N, C, H, W) uint8, at least 32x32.

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


def peaks(spectrum: Tensor, stride: Stride) -> Tensor:
    """Powers at the frequencies of a grid and around them; the mean over images is that of their spectra.

    The frequencies are (j / stride, k / stride) without (0, 0), for stride 4 without those of stride 2.

    Args:
        spectrum: (H, W) of :func:`power_spectrum`.
        stride: Period of the grid in pixels.

    Returns:
        (frequencies, 13, 13), each frequency in the middle: 3 for stride 2, 12 for stride 4.
    """
    if stride not in (2, 4):
        raise UserError(f"The checkerboard score has strides 2 and 4, not {stride}; choose one of these.")
    if spectrum.ndim != 2 or not spectrum.isfinite().all() or (spectrum < 0).any():
        raise UserError(
            f"A spectrum is finite powers (H, W), not {tuple(spectrum.shape)}; see power_spectrum."
        )
    height, width = spectrum.shape
    near = torch.arange(-FAR, FAR + 1, device=spectrum.device)
    return torch.stack(
        [
            spectrum[(j * height // stride + near)[:, None] % height, (k * width // stride + near) % width]
            for j, k in itertools.product(range(stride), repeat=2)
            if (j, k) != (0, 0) and not (stride == 4 and j % 2 == k % 2 == 0)
        ]
    )


def prominence(powers: Tensor) -> float:
    """Excess of :func:`peaks` over what their surroundings let expect, in decibel; 0 if there is no grid.

    The expected level at each frequency is a least-squares fit to the levels in decibel of the bins 3 to 6
    away, linear in the distance on each axis, because a natural spectrum has a valley at the highest
    frequency. The rounding noise of uint8, 1/12, is added to all powers, so that flat images score 0. The
    excess is averaged over the frequencies.
    """
    level = 10 * torch.log10(powers.double() + 1 / 12)
    around = [
        (y, x) for y, x in itertools.product(range(-FAR, FAR + 1), repeat=2) if max(abs(y), abs(x)) >= NEAR
    ]
    plane = torch.tensor([(1, abs(y), abs(x)) for y, x in around]).to(level)
    at_centre = torch.linalg.pinv(plane)[0]  # weight of each bin around it in the fitted level at the centre
    nearby = torch.stack([level[:, FAR + y, FAR + x] for y, x in around], 1)
    return float((level[:, FAR, FAR] - nearby @ at_centre).mean())


def checkerboard(spectrum: Tensor, stride: Stride) -> float:
    """Excess in decibel of a spectrum (H, W) at the frequencies of a grid of ``stride`` pixels."""
    return prominence(peaks(spectrum, stride))


def excess(generated: Tensor, real: Tensor, stride: Stride) -> float:
    """Checkerboard score of generated images minus that of real ones, both uint8, in decibel."""
    if generated.shape[2:] != real.shape[2:]:
        raise UserError(
            f"Spectra of images of {tuple(generated.shape[2:])} and {tuple(real.shape[2:])} pixels cannot be "
            "compared; resize the real ones to the size of the generated ones."
        )
    return checkerboard(power_spectrum(generated), stride) - checkerboard(power_spectrum(real), stride)
