"""The resize methods of published scores; another one changes every score.

All take uint8 images (N, C, H, W), C 1 or 3, and the height and width of the result (N, 3, height, width),
floats in 0 to 255 on the same device, and raise a UserError for images of another shape or dtype.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from zoo.features.network import as_rgb

Size = tuple[int, int]  # height, width

_WHO = "A feature network"  # in the error message


def tf1_bilinear(images: Tensor, size: Size, dtype: torch.dtype = torch.float32) -> Tensor:
    """TensorFlow 1's bilinear resize, that of the original FID (Heusel 2017) and of torch-fidelity.

    Output pixel i is sampled at i * (in / out), half a pixel off every other resize, and nothing is averaged
    when images shrink. ``dtype`` is that of the arithmetic and the result; TensorFlow used float32.
    """
    pixels = as_rgb(images, _WHO).to(dtype)
    for dimension, length in ((-1, size[1]), (-2, size[0])):
        last = pixels.shape[dimension] - 1
        # always float32 in TensorFlow, which matters where a position is nearly an integer
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
    """The resize of clean-fid (Parmar 2022): bicubic, antialiased, clipped to 0..255 but not rounded."""
    # in float64 this equals PIL's resize of a float image to the last bit or two of a float32
    pixels = as_rgb(images, _WHO).double()
    return F.interpolate(pixels, size, mode="bicubic", antialias=True).clamp(0, 255).float()


def pil_bytes(images: Tensor, size: Size, resample: Image.Resampling) -> Tensor:
    """PIL's resize of 8-bit images with a filter such as ``BICUBIC``, antialiased and rounded.

    timm and dgm-eval use it.
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
