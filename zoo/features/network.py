"""What every feature network offers the metrics: bytes in, features out, and a name that no score can lose.

A feature network is frozen and in evaluation mode. It takes pictures as they lie in a file, 8 bits a value,
and does its own resizing and scaling, so that a score depends on nothing but the pictures and the network's
``identity``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from zoo.errors import UserError


class Features(NamedTuple):
    """What a network says of N pictures.

    Args:
        features: (N, dimension) float32.
        logits: (N, classes) float32, where the network classifies.
    """

    features: Tensor
    logits: Tensor | None = None


class FeatureNetwork(nn.Module):
    """A frozen network that describes pictures.

    Args:
        name: Short and lower case (``inception``, ``effnet-lite0``); scores are named after it.
        sha256: Of its weights' file.
        dimension: Of the features.
        resize: How pictures are brought to its size, in words (``TF1 bilinear, 299``).
    """

    def __init__(self, name: str, sha256: str, dimension: int, resize: str) -> None:
        super().__init__()
        self.name, self.sha256, self.dimension, self.resize = name, sha256, dimension, resize

    def identity(self) -> dict[str, Any]:
        """What a protocol states of the network."""
        return {
            "network": self.name,
            "sha256": self.sha256,
            "resize": self.resize,
            "dimension": self.dimension,
        }

    def forward(self, images: Tensor) -> Features:
        """Describe pictures (N, C, H, W) in uint8, C 1 or 3; grey stands for three equal channels."""
        raise NotImplementedError


def as_rgb(images: Tensor, name: str) -> Tensor:
    """Pictures (N, 1 or 3, H, W) in uint8 as (N, 3, H, W) float32 in 0 to 255.

    Args:
        images: As a file holds them; grey is repeated.
        name: Of the network that wants them, for the sentence.

    Raises:
        UserError: They are of another shape or kind, so their range is not known.
    """
    shape = images.shape
    if images.dtype != torch.uint8 or len(shape) != 4 or shape[1] not in (1, 3) or 0 in shape[2:]:
        kind = str(images.dtype).removeprefix("torch.")
        raise UserError(
            f"{name} describes pictures (N, 1 or 3, H, W) in uint8, but was given "
            f"{tuple(shape)} in {kind}; bring them to 8 bits and drop alpha first."
        )
    return images.expand(-1, 3, -1, -1).float()
