"""Pictures enlarged by a model of super-resolution: any size, any channels, 8 or 16 bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.errors import UserError
from zoo.use import Given

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
