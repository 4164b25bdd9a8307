"""Feature maps of a frozen network, for losses and distances between pictures of one size.

Other than a :class:`~zoo.features.network.FeatureNetwork` it takes floats, is differentiable in them, keeps
their size and gives a map, not a vector.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from zoo.errors import UserError
from zoo.features.backbones import TimmBackbone
from zoo.features.hed import HED, Layer

VGG19 = "vgg19.tv_in1k"
VGG19_CONVOLUTIONS = (2, 2, 4, 4, 4)  # in each block; a pooling ends a block
NAMES = "vgg19-relu5_4, vgg19-conv5_4, hed-conv4_3 or timm/NETWORK/STAGE"


class FeatureMaps(nn.Module):
    """One layer's map of pictures (N, 3, H, W) in [-1, 1]; frozen.

    Args:
        name: ``vgg19-relu5_4``: ImageNet's VGG19 (timm), the fourth convolution of block 5 after its ReLU;
            ``vgg19-conv5_4`` the same before it; ``hed-conv4_3``: HED's VGG16, trained on edges, after the
            ReLU (:class:`zoo.features.hed.HED`), whose weights come inside a package;
            ``timm/resnet50.a1_in1k/2``: any network of timm's that gives its stages, counted from 0.
        weights: For networks of timm's: a file of the weights, by default timm's own.

    Raises:
        UserError: There is no such network or layer, or its weights are missing.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, weights: str | Path | None = None) -> None:
        super().__init__()
        self.name = name
        self.network: nn.Module
        self.stage = -1
        mean, std = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
        if found := re.fullmatch(r"hed-(\w+)", name):
            if found[1] not in get_args(Layer):
                raise UserError(f"HED has no layer {found[1]!r}; choose one of {', '.join(get_args(Layer))}.")
            self.network = HED()
        elif found := re.fullmatch(r"vgg19-(conv|relu)(\d)_(\d)", name):
            count = vgg19_layers(int(found[2]), int(found[3]), found[1] == "relu")
            backbone = TimmBackbone(VGG19, weights)
            body: Any = backbone.network
            self.network = body.features[:count]
            mean, std = backbone.mean / 255, backbone.std / 255
        elif found := re.fullmatch(r"timm/([\w.]+)/(\d)", name):
            backbone = TimmBackbone(found[1], weights)
            self.network, self.stage = backbone.network, int(found[2])
            mean, std = backbone.mean / 255, backbone.std / 255
        else:
            raise UserError(f"There are no feature maps {name!r}; give {NAMES}.")
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """The map (N, C, h, w) of pictures (N, 1 or 3, H, W) in [-1, 1]; grey is repeated."""
        if isinstance(self.network, HED):
            layer: Any = self.name.removeprefix("hed-")
            return self.network.vgg_features(images, layer)
        x = ((images.expand(-1, 3, -1, -1) + 1) / 2 - self.mean) / self.std
        if self.stage < 0:
            features: Tensor = self.network(x)
            return features
        network: Any = self.network
        try:
            maps: list[Tensor] = network.forward_intermediates(
                x, indices=[self.stage], intermediates_only=True
            )
        except (AttributeError, AssertionError) as error:
            raise UserError(
                f"{self.name}: timm gives no such stage of this network; take another."
            ) from error
        return maps[0]


def vgg19_layers(block: int, place: int, activated: bool) -> int:
    """How many of VGG19's layers (torchvision's and timm's count) end with this convolution or its ReLU.

    Raises:
        UserError: There is no such convolution.
    """
    if not (1 <= block <= 5 and 1 <= place <= VGG19_CONVOLUTIONS[block - 1]):
        raise UserError(f"VGG19 has no convolution {block}_{place}; its blocks hold {VGG19_CONVOLUTIONS}.")
    before = sum(2 * count + 1 for count in VGG19_CONVOLUTIONS[: block - 1])
    return before + 2 * place - (0 if activated else 1)
