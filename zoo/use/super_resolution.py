"""Pictures enlarged by a model of super-resolution: any size, any channels, 8 or 16 bit."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from zoo.errors import UserError
from zoo.use import Given

COPIES = 3  # of the output in memory: measured 570 bytes per input pixel at x4

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.checkpoints import Pretrained


def given(picture: Tensor, bits: int, model: Pretrained) -> Given:
    """A picture to enlarge, with the channels that it has.

    Alpha, the second or fourth channel, is enlarged by the bicubic filter. Where the model takes colour, any
    other channel is enlarged on its own, as a grey picture.

    Args:
        picture: (C, H, W) in [-1, 1].
        bits: Bits of its file.
        model: A model of super-resolution.

    Raises:
        UserError: The model takes neither grey nor colour and the picture has other channels.
    """
    import torch

    from zoo.data.superres.files import enlarge

    whole, wanted, channels = picture, model.input_channels, picture.shape[0]
    alpha = picture[channels:]
    if channels in (2, 4) and channels != wanted:
        picture, alpha = picture[:-1], picture[-1:]
    alone = len(picture) != wanted
    needed = COPIES * 4 * picture.numel() * model.scale**2
    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > most:
        height, width = picture.shape[1:]
        raise UserError(
            f"Enlarging {width}x{height} pixels {model.scale} times takes {needed / 1e9:.0f} GB and this "
            f"machine has {most / 1e9:.0f}; cut the picture into parts."
        )
    if alone and wanted not in (1, 3):
        raise UserError(
            f"{model.name} takes pictures of {wanted} channels, not of {channels}; convert them first."
        )

    def join(made: Tensor) -> Tensor:
        large = made.mean(1) if alone else made[0]
        return torch.cat([large, enlarge(alpha[None], model.scale)[0]]) if len(alpha) else large

    planes = picture[:, None].expand(-1, wanted or 1, -1, -1) if alone else picture[None]
    return Given({"images": planes}, whole, bits, join)


def upscale(model: Pretrained, picture: Tensor) -> Tensor:
    """A picture (C, H, W) in [-1, 1] enlarged to (C, scale H, scale W), as by :func:`given`."""
    planes, _, _, join = given(picture, 8, model)
    return join(model.sample(planes["images"]).float().cpu())
