"""The resizings that published scores are bound to; another one moves every score.

All take pictures (N, C, H, W) in uint8, grey or RGB, and give (N, 3, height, width) floats from 0 to 255 on
the same device.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from zoo.features.network import as_rgb

Size = tuple[int, int]  # height, width

_WHO = "A feature network"  # in the sentence about pictures of another kind


def tf1_bilinear(images: Tensor, size: Size, dtype: torch.dtype = torch.float32) -> Tensor:
    """TensorFlow 1's bilinear resize, that of the original FID (Heusel 2017) and of torch-fidelity.

    Output pixel i lies at i * (in / out), half a pixel beside where every other resize puts it, and nothing
    is averaged when pictures shrink.

    Args:
        images: (N, C, H, W) uint8, C 1 or 3.
        size: Height and width to make.
        dtype: Of the arithmetic and the result; TensorFlow had float32.

    Raises:
        UserError: The pictures are of another kind.
    """
    pixels = as_rgb(images, _WHO).to(dtype)
    for dimension, length in ((-1, size[1]), (-2, size[0])):
        last = pixels.shape[dimension] - 1
        # float32 in TensorFlow whatever the pixels are, which shows where a position is nearly whole
        ratio = torch.tensor(pixels.shape[dimension] / length, dtype=torch.float32, device=pixels.device)
        position = torch.arange(length, dtype=dtype, device=pixels.device) * ratio
        low = position.long()
        part = position - low
        if dimension == -2:
            part = part[:, None]
        left = pixels.index_select(dimension, low)
        right = pixels.index_select(dimension, (low + 1).clamp(max=last))
        pixels = right.sub_(left).mul_(part).add_(left)  # in place: three times as fast
    return pixels


def clean_bicubic(images: Tensor, size: Size) -> Tensor:
    """The resize of clean-fid (Parmar 2022): bicubic, antialiased, clipped to 0..255 but not rounded.

    Args:
        images: (N, C, H, W) uint8, C 1 or 3.
        size: Height and width to make.

    Raises:
        UserError: The pictures are of another kind.
    """
    # in float64 this is, to the last bit or two of a float32, what PIL makes of a picture of floats
    pixels = as_rgb(images, _WHO).double()
    return F.interpolate(pixels, size, mode="bicubic", antialias=True).clamp(0, 255).float()


def pil_bytes(images: Tensor, size: Size, resample: Image.Resampling) -> Tensor:
    """PIL's own resize of 8-bit pictures, antialiased and rounded, as timm and dgm-eval use it.

    Args:
        images: (N, C, H, W) uint8, C 1 or 3.
        size: Height and width to make.
        resample: PIL's filter, such as ``BICUBIC``.

    Raises:
        UserError: The pictures are of another kind.
    """
    pixels = as_rgb(images, _WHO)
    if images.shape[-2:] == size or not len(images):
        return pixels
    made = [
        np.asarray(Image.fromarray(channel).resize((size[1], size[0]), resample))
        for channel in images.flatten(0, 1).cpu().numpy()
    ]
    resized = torch.from_numpy(np.stack(made)).view(*images.shape[:2], *size)
    return resized.to(images.device).float().expand(-1, 3, -1, -1)
