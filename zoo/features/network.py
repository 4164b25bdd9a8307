"""Interface of feature networks: uint8 images in, features out, with an identity stored in every score.

A feature network is frozen and in evaluation mode. It takes 8-bit images as files hold them and does its own
resizing and scaling, so that a score depends only on the images and the network's ``identity``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from zoo.errors import UserError


class Features(NamedTuple):
    """Output of a network for N images.

    Args:
        features: (N, dimension) float32.
        logits: (N, classes) float32, if the network classifies.
    """

    features: Tensor
    logits: Tensor | None = None


class FeatureNetwork(nn.Module):
    """A frozen network that maps images to features.

    Args:
        name: Short and lower case (``inception``, ``effnet-lite0``); scores are named after it.
        sha256: Hash of the weights' file.
        dimension: Length of a feature vector.
        resize: How images are resized, in words (``TF1 bilinear, 299``).
    """

    def __init__(self, name: str, sha256: str, dimension: int, resize: str) -> None:
        super().__init__()
        self.name, self.sha256, self.dimension, self.resize = name, sha256, dimension, resize

    def identity(self) -> dict[str, Any]:
        """The network's entry in a protocol."""
        size = {"resize": self.resize, "dimension": self.dimension}
        return {"network": self.name, "sha256": self.sha256, **size}

    def forward(self, images: Tensor) -> Features:
        """Features of uint8 images (N, C, H, W), C 1 or 3; grey is repeated to three channels."""
        raise NotImplementedError


def as_rgb(images: Tensor, name: str) -> Tensor:
    """Uint8 images (N, 1 or 3, H, W) as (N, 3, H, W) float32 in 0 to 255; grey is repeated.

    Args:
        images: Images as a file holds them.
        name: The network's name, for the error message.

    Raises:
        UserError: They have another shape or dtype, so their range is unknown.
    """
    shape = images.shape
    if images.dtype != torch.uint8 or len(shape) != 4 or shape[1] not in (1, 3) or 0 in shape[2:]:
        kind = str(images.dtype).removeprefix("torch.")
        raise UserError(
            f"{name} takes uint8 images (N, 1 or 3, H, W), but was given {tuple(shape)} in {kind}; "
            "convert them to 8 bits and drop alpha first."
        )
    return images.expand(-1, 3, -1, -1).float()


def floats_as_rgb(images: Tensor, name: str) -> Tensor:
    """As :func:`as_rgb`, for floating images in [-1, 1]; differentiable in them."""
    if not images.is_floating_point() or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise UserError(
            f"{name} takes images (N, 1 or 3, H, W) in [-1, 1], but was given {tuple(images.shape)} in "
            f"{images.dtype}; rescale them and drop alpha."
        )
    return (images.expand(-1, 3, -1, -1) + 1) * 127.5
