"""DiffAugment: random, differentiable changes of what a discriminator sees (Zhao 2020, section 3.2).

https://arxiv.org/abs/2006.10738, operations and ranges of https://github.com/mit-han-lab/data-efficient-gans.
Real and fake pictures are changed alike, in both players' updates: few pictures are then harder to learn by
heart, and the generator does not learn the changes. Pictures are (B, C, H, W) in [-1, 1], drawn per picture:

- ``color``: brightness, + U(-0.5, 0.5); saturation, the distance to the mean over channels times U(0, 2);
  contrast, the distance to the picture's mean times U(0.5, 1.5). Values may leave [-1, 1].
- ``translation``: by whole pixels, up to 1/8 of each side; what comes in is 0.
- ``cutout``: a rectangle of half of each side around a random centre is 0; it may reach over the border.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Kind = Literal["color", "translation", "cutout"]
Draws = dict[str, Tensor]


def draw(kinds: tuple[Kind, ...], pictures: Tensor) -> Draws:
    """Draw one change per picture of (B, C, H, W), with torch's global RNG on their device.

    Returns:
        ``brightness``, ``saturation`` and ``contrast`` (B, 1, 1, 1); ``translation``, rows and columns
        (2, B); ``cutout``, row and column of the centre (2, B). Only those of the given kinds.
    """
    count, _, height, width = pictures.shape
    device = pictures.device
    draws: Draws = {}
    if "color" in kinds:
        unit = torch.rand(3, count, 1, 1, 1, device=device)
        draws |= {"brightness": unit[0] - 0.5, "saturation": unit[1] * 2, "contrast": unit[2] + 0.5}
    if "translation" in kinds:
        most = (int(height / 8 + 0.5), int(width / 8 + 0.5))
        shifts = [torch.randint(-side, side + 1, (count,), device=device) for side in most]
        draws["translation"] = torch.stack(shifts)
    if "cutout" in kinds:
        # the centre of an even rectangle lies between pixels, on one more place than there are pixels
        places = [side + 1 - _half(side) % 2 for side in (height, width)]
        draws["cutout"] = torch.stack([torch.randint(n, (count,), device=device) for n in places])
    return draws


def recoloured(pictures: Tensor, draws: Draws) -> Tensor:
    """Pictures with their brightness, saturation and contrast changed, in this order."""
    if "brightness" not in draws:
        return pictures
    x = pictures + draws["brightness"]
    mean = x.mean(1, keepdim=True)
    x = (x - mean) * draws["saturation"] + mean
    mean = x.mean((1, 2, 3), keepdim=True)
    return (x - mean) * draws["contrast"] + mean


def moved(maps: Tensor, draws: Draws) -> Tensor:
    """Maps (B, C, H, W) of any kind, translated and cut out."""
    height, width = maps.shape[2:]
    rows, columns = (torch.arange(side, device=maps.device) for side in (height, width))
    if "translation" in draws:
        down, right = draws["translation"][..., None]
        padded = F.pad(maps, (1, 1, 1, 1))
        y, x = (rows + down + 1).clamp(0, height + 1), (columns + right + 1).clamp(0, width + 1)  # (B, side)
        maps = padded.take_along_dim(y[:, None, :, None], 2).take_along_dim(x[:, None, None, :], 3)
    if "cutout" in draws:
        cut = [
            (at >= centre - size // 2) & (at < centre - size // 2 + size)  # (B, side)
            for at, centre, size in zip(
                (rows, columns), draws["cutout"][..., None], (_half(height), _half(width)), strict=True
            )
        ]
        maps = maps * ~(cut[0][:, None, :, None] & cut[1][:, None, None, :])
    return maps


def _half(side: int) -> int:
    return int(side / 2 + 0.5)
