"""Sliced Wasserstein distance of local patches at each scale (Karras 2018, Progressive GAN, section 5).

Each image becomes a Laplacian pyramid (Burt and Adelson 1983): every level holds what the next smaller one,
enlarged, lacks, and the last is the image at 16 to 31 pixels. From each level 128 random neighbourhoods of
7x7 pixels and all channels are taken. Those of both sets are normalised by each set's own mean and standard
deviation per channel, projected on random directions, and sorted; the distance is the mean absolute
difference, over ranks and directions: in one dimension the Wasserstein-1 distance. Papers print it times
1,000. A low number at a level says that the patches of that scale look alike in their contrasts and colours;
whole images are not compared, nor are mean and contrast of a set.

The number falls with the number of images, so compare it only with numbers from as many, and with that of two
sets of real images.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.errors import UserError
from zoo.metrics.formulas.pixels import require_bytes

SIDE, PER_IMAGE = 7, 128  # pixels of a patch, patches per image and level
LEAST = 16  # pixels of the shorter side of the last level
DIRECTIONS = 512
VALUES_AT_ONCE = 2**25


def reduced(images: Tensor) -> Tensor:
    """Images (N, C, H, W) of half the size, rounded up: every second pixel after a binomial filter."""
    return _blurred(images)[..., ::2, ::2]


def enlarged(images: Tensor, height: int, width: int) -> Tensor:
    """Images of twice the size (N, C, height, width): zeros between the pixels, then the same filter."""
    spread = images.new_zeros(*images.shape[:2], height, width)
    spread[..., ::2, ::2] = images
    return 4 * _blurred(spread)


def pyramid(images: Tensor) -> list[Tensor]:
    """Laplacian pyramid of floating images (N, C, H, W), the finest level first.

    Adding each level to the enlarged sum of those after it gives the images again. Images whose shorter side
    is below 32 pixels have one level, themselves.
    """
    levels = []
    while min(images.shape[2:]) >= 2 * LEAST:
        low = reduced(images)
        levels.append(images - enlarged(low, *images.shape[2:]))
        images = low
    return [*levels, images]


class Patches:
    """Random patches of a set of images at each level of their pyramids.

    They are kept on the CPU in half precision: 37,632 bytes per RGB image and level.

    Args:
        seed: Seed of their places, which do not depend on how the images are batched. An image's places are
            the same at all levels, relative to the size.
    """

    def __init__(self, seed: int = 0) -> None:
        self._random = torch.Generator().manual_seed(seed)
        self._parts: dict[int, list[Tensor]] = {}

    def update(self, images: Tensor) -> None:
        """Add images (N, C, H, W) in uint8.

        Raises:
            UserError: They are smaller than a patch, or no such images.
        """
        require_bytes(images)
        if min(images.shape[2:]) < SIDE:
            raise UserError(
                f"Images of {images.shape[2]}x{images.shape[3]} pixels have no patches of {SIDE}x{SIDE}; use "
                "larger images or another metric."
            )
        for part in torch.split(images, max(1, VALUES_AT_ONCE // images[0].numel())):
            places = torch.rand(len(part), PER_IMAGE, 2, generator=self._random)
            for level in pyramid(part.cpu().float()):
                self._parts.setdefault(min(level.shape[2:]), []).append(_cut(level, places))

    @property
    def sides(self) -> list[int]:
        """Shorter side of each level in pixels, the finest level first."""
        return list(self._parts)

    def at(self, side: int) -> Tensor:
        """Patches (P, C, 49) of a level."""
        return torch.cat(self._parts[side])


def sliced_wasserstein(a: Tensor, b: Tensor, directions: int = DIRECTIONS, seed: int = 0) -> float:
    """Sliced Wasserstein-1 distance of two sets of patches, each normalised per channel.

    A channel of one value becomes 0. Projections are sorted for a few
    directions at a time, so memory is bounded.

    Args:
        a: (P, C, D): P patches of C channels and D pixels, of any float dtype.
        b: As ``a``, as many.
        directions: Number of random directions.
        seed: Seed of the directions.

    Returns:
        The distance, not multiplied by 1,000.

    Raises:
        UserError: The shapes differ, or values are not finite.
    """
    if a.shape != b.shape or a.ndim != 3 or not len(a):
        raise UserError(
            f"Sets of patches must have one shape (P, C, D), not {tuple(a.shape)} and {tuple(b.shape)}; take "
            "as many images of one size from both."
        )
    lines = torch.randn(directions, *a.shape[1:], generator=torch.Generator().manual_seed(seed))
    lines /= lines.flatten(1).norm(dim=1)[:, None, None]
    moments = [_moments(patches) for patches in (a, b)]
    total = 0.0
    for part in torch.split(lines, max(1, VALUES_AT_ONCE // len(a))):
        # NumPy sorts floats ten times as fast as torch, which also returns the order
        x, y = (
            torch.from_numpy(np.sort(_projected(patches, part, *known).numpy(), axis=1))
            for patches, known in zip((a, b), moments, strict=True)
        )
        total += float(x.sub_(y).abs_().mean(1).double().sum())
    return total / directions


def _blurred(images: Tensor) -> Tensor:
    """Images (N, C, H, W) filtered with [1, 4, 6, 4, 1] / 16 along both axes; edges are mirrored.

    The mirror is the pixel at the edge, so that the zeros of an enlarged image stay at odd places.
    """
    for axis, margins in ((2, (0, 0, 2, 2)), (3, (2, 2, 0, 0))):
        wide = F.pad(images, margins, mode="reflect")
        a, b, c, d, e = (wide.narrow(axis, start, images.shape[axis]) for start in range(5))
        images = (a + e).add_(b + d, alpha=4).add_(c, alpha=6).div_(16)  # faster than a convolution
    return images


def _cut(level: Tensor, places: Tensor) -> Tensor:
    """Patches (P, C, 49) in half precision of a level (N, C, H, W), at places (N, P / N, 2) in [0, 1)."""
    room = torch.tensor(level.shape[2:]) - (SIDE - 1)
    top, left = (places * room).long().unbind(2)
    windows = level.half().unfold(2, SIDE, 1).unfold(3, SIDE, 1).permute(0, 2, 3, 1, 4, 5)
    found = windows[torch.arange(len(level))[:, None], top, left]  # (N, P / N, C, 7, 7)
    return found.view(-1, level.shape[1], SIDE**2)


def _moments(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (C, 1) of all values of a channel; 1 for a deviation of 0."""
    count = patches.shape[0] * patches.shape[2]
    parts = torch.split(patches, max(1, VALUES_AT_ONCE // patches[0].numel()))
    mean = torch.stack([part.float().sum(2).double().sum(0) for part in parts]).sum(0)[:, None] / count
    apart = [(part.float() - mean.float()).square().sum(2).double().sum(0) for part in parts]
    square = torch.stack(apart).sum(0)[:, None] / count
    if not square.isfinite().all():
        raise UserError("Patches hold values that are not finite; fix the images that they are cut from.")
    return mean, torch.where(square > 0, square.sqrt(), 1.0)


def _projected(patches: Tensor, lines: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Normalised patches (P, C, D) on lines (K, C, D): (K, P) float32."""
    weights = lines.double() / deviation
    offset = (weights * mean).sum((1, 2)).float()[:, None]
    weights, flat = weights.flatten(1).float(), patches.flatten(1)
    parts = torch.split(flat, max(1, VALUES_AT_ONCE // flat.shape[1]))
    return torch.cat([weights @ part.float().T for part in parts], 1).sub_(offset)
