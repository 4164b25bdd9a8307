"""Similarity of two images, pixel by pixel: PSNR, SSIM, MS-SSIM, and SSIM of masked figures.

All take pairs of images as bytes (:func:`zoo.metrics.formulas.pixels.to_bytes`) and return one float64
number per pair. Papers compute different things under one name, so each choice is an argument and belongs in
the protocol:

- ``luma``: on the BT.601 luma as super-resolution papers do (about 1.5 dB more than on RGB), or on all
  channels. Grey images are their own luma, as there.
- ``border``: pixels cropped from every side first; super-resolution papers crop as many as the scale.
- ``window`` of SSIM: Wang's Gaussian, or the uniform 7x7 window that is scikit-image's default and that PG2's
  published scores therefore use.

This is our own code because torchmetrics 1.9 averages SSIM over padded positions too (its map, cropped, is
ours) and mixes both kinds in MS-SSIM, has no sample covariance, no luma and no crop, and computes PSNR's
logarithms in float32 (5e-7 dB off).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.errors import UserError
from zoo.metrics.formulas.pixels import require_bytes

Window = Literal["gaussian", "uniform"]

SIDE: dict[Window, int] = {"gaussian": 11, "uniform": 7}
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang 2003
PIXELS_AT_ONCE = 2**21


def luma(images: Tensor) -> Tensor:
    """Luma Y of BT.601 in studio swing, as Matlab's ``rgb2ycbcr`` but not rounded.

    Grey images stay as they are, 0 to 255: the Matlab code of super-resolution benchmarks converts files of
    three channels only. Three equal channels are spread over 16 to 235, which raises the PSNR by 1.32 dB.

    Args:
        images: (N, C, H, W) uint8.

    Returns:
        (N, 1, H, W) in float64: of RGB 16 (black) to 235 (white), of grey images 0 to 255.
    """
    require_bytes(images)
    if images.shape[1] == 1:
        return images.double()
    weights = images.new_tensor([65.481, 128.553, 24.966], dtype=torch.float64) / 255
    return (images.double() * weights[:, None, None]).sum(1, keepdim=True) + 16


def psnr(a: Tensor, b: Tensor, luma: bool = True, border: int = 0) -> Tensor:
    """Peak signal-to-noise ratio, ``10 log10(255^2 / mean squared error)``.

    Args:
        a: (N, C, H, W) uint8.
        b: As ``a``.
        luma: Use Y, still with a peak of 255; otherwise all channels together.
        border: Pixels cropped from every side first.

    Returns:
        (N) decibel in float64; infinite if two images are equal.
    """
    _require_pairs(a, b, border, least=1)
    return _in_parts(_psnr, a, b, luma, border)


def ssim(a: Tensor, b: Tensor, luma: bool = True, border: int = 0, window: Window = "gaussian") -> Tensor:
    """Structural similarity (Wang 2004): mean over all positions where the window lies within the image.

    The constants are (0.01 * 255)^2 and (0.03 * 255)^2. The mean is over positions, then over channels.

    Args:
        a: (N, C, H, W) uint8.
        b: As ``a``.
        luma: Use Y; otherwise each channel.
        border: Pixels cropped from every side first.
        window: ``gaussian`` is Wang's, 11x11 of sigma 1.5 with population covariance; ``uniform`` is 7x7 with
            sample covariance, the default of scikit-image.

    Returns:
        (N) in float64, at most 1.
    """
    if window not in SIDE:
        raise UserError(f"SSIM has no window {window!r}; choose gaussian or uniform.")
    _require_pairs(a, b, border, least=SIDE[window])

    def score(x: Tensor, y: Tensor) -> Tensor:
        return _structure(x, y, window)[0].mean(1)

    return _in_parts(score, a, b, luma, border)


def ms_ssim(
    a: Tensor, b: Tensor, luma: bool = True, border: int = 0, scales: int = len(SCALE_WEIGHTS)
) -> Tensor:
    """Multi-scale structural similarity (Wang 2003): five scales, each the 2x2 means of the one before.

    Contrast and structure of all scales but the last and the full SSIM of the last are raised to the paper's
    powers and multiplied. Negative terms count as 0, since a negative number has no such power. An odd last
    row or column of a scale is left out.

    Args:
        a: (N, C, H, W) uint8 of at least 176x176 pixels: the last of five scales still needs 11.
        b: As ``a``.
        luma: Use Y; otherwise each channel, then averaged.
        border: Pixels cropped from every side first.
        scales: Number of scales, 1 to 5. With fewer than 5, for smaller images, the first powers are divided
            by their sum; such numbers do not compare with those of five scales.

    Returns:
        (N) in float64, 0 to 1.
    """
    if not 1 <= scales <= len(SCALE_WEIGHTS):
        raise UserError(f"MS-SSIM has 1 to {len(SCALE_WEIGHTS)} scales, not {scales}; choose one of these.")
    _require_pairs(a, b, border, least=SIDE["gaussian"] * 2 ** (scales - 1))
    return _in_parts(partial(_ms_ssim, scales=scales), a, b, luma, border)


def most_scales(height: int, width: int) -> int:
    """The most scales of MS-SSIM that images of this size have room for; 0 below 11 pixels."""
    return min(len(SCALE_WEIGHTS), (min(height, width) // SIDE["gaussian"]).bit_length())


def masked(images: Tensor, masks: Tensor) -> Tensor:
    """Images (N, C, H, W) in uint8, black where ``masks`` (N, 1, H, W) are 0 and unchanged where they are 1.

    The Inception score of the result is mask-IS (Ma 2017, PG2).

    Raises:
        UserError: The masks have the wrong shape, or values other than 0 and 1.
    """
    require_bytes(images)
    wanted = (len(images), 1, *images.shape[2:])
    if masks.shape != wanted:
        raise UserError(f"Masks of these images must be {wanted}, not {tuple(masks.shape)}; reshape them.")
    if not ((masks == 0) | (masks == 1)).all():
        raise UserError("Masks hold values other than 0 and 1; compare them with a threshold first.")
    return images * masks.to(images)


def mask_ssim(
    a: Tensor, b: Tensor, masks: Tensor, luma: bool = False, border: int = 0, window: Window = "uniform"
) -> Tensor:
    """SSIM of two images that are both made black outside the figure: mask-SSIM (Ma 2017, PG2).

    The mean is over the whole image, where black agrees with black: the smaller the figure, the higher the
    number. The defaults are the paper's: on RGB, with scikit-image's window.

    Args:
        a: (N, C, H, W) uint8.
        b: As ``a``.
        masks: (N, 1, H, W) of 0 and 1: the figure in the true image.
        luma: As for :func:`ssim`.
        border: As for :func:`ssim`.
        window: As for :func:`ssim`.

    Returns:
        (N) in float64, at most 1.

    Raises:
        UserError: As :func:`masked`, or a mask is empty, where black would agree with black.
    """
    if len(empty := (masks.flatten(1) == 0).all(1).nonzero()):
        raise UserError(f"Mask {int(empty[0])} is empty: there is no figure to score; leave that pair out.")
    return ssim(masked(a, masks), masked(b, masks), luma, border, window)


def _psnr(x: Tensor, y: Tensor) -> Tensor:
    error = (x - y).square().flatten(1).mean(1)
    return 10 * torch.log10(255**2 / error)


def _ms_ssim(x: Tensor, y: Tensor, scales: int) -> Tensor:
    product = x.new_ones(x.shape[:2])
    weights = SCALE_WEIGHTS[:scales]
    # five add up to 1.0001; they are the paper's as they stand
    total = sum(weights) if scales < len(SCALE_WEIGHTS) else 1.0
    for scale, weight in enumerate(weights, 1):
        whole, contrast = _structure(x, y, "gaussian")
        product = product * (whole if scale == scales else contrast).clamp(min=0) ** (weight / total)
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return product.mean(1)


def _structure(x: Tensor, y: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """Mean SSIM, and mean of its contrast and structure term alone, per channel: both (N, C)."""
    side = SIDE[window]
    line = x.new_ones(side)
    if window == "gaussian":
        line = torch.exp(-((torch.arange(side).to(x) - side // 2) ** 2) / (2 * 1.5**2))
    weights = (line / line.sum()).tolist()
    planes = torch.stack([x, y, x * x, y * y, x * y])  # (5, N, C, H, W)
    for axis in (3, 4):  # shifted sums: PyTorch's convolutions in float64 are slow
        first, *others = (planes.narrow(axis, i, planes.shape[axis] - side + 1) for i in range(side))
        planes = first * weights[0]
        for weight, shifted in zip(weights[1:], others, strict=True):
            planes.add_(shifted, alpha=weight)
    means = planes.flatten(3)
    mean_x, mean_y = means[0], means[1]
    unbiased = side**2 / (side**2 - 1) if window == "uniform" else 1.0
    variances = unbiased * (means[2] + means[3] - mean_x**2 - mean_y**2)
    covariance = unbiased * (means[4] - mean_x * mean_y)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    contrast = (2 * covariance + c2) / (variances + c2)
    whole = contrast * (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return whole.mean(-1), contrast.mean(-1)


def _in_parts(
    score: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor, on_luma: bool, border: int
) -> Tensor:
    """Scores of pairs in float64, a few pairs at a time: SSIM holds ten numbers per pixel."""
    planes = luma if on_luma else Tensor.double
    inner = slice(border, -border or None)
    size = max(1, PIXELS_AT_ONCE // a[0].numel())
    parts = zip(*(torch.split(x[..., inner, inner], size) for x in (a, b)), strict=True)
    return torch.cat([score(planes(x), planes(y)) for x, y in parts])


def _require_pairs(a: Tensor, b: Tensor, border: int, least: int) -> None:
    require_bytes(a)
    require_bytes(b)
    if a.shape != b.shape:
        raise UserError(
            f"Images compared pixel by pixel must have one shape, not {tuple(a.shape)} and {tuple(b.shape)}; "
            f"crop or resize one of them first, and state it with the score."
        )
    if border < 0:
        raise UserError(f"border is {border}; give the pixels to crop from each side, 0 or more.")
    height, width = a.shape[2] - 2 * border, a.shape[3] - 2 * border
    if min(height, width) < least:
        raise UserError(
            f"Images of {a.shape[2]}x{a.shape[3]} pixels with a border of {border} cropped are too small for "
            f"this metric, which needs {least}x{least}; use larger images or another metric."
        )
