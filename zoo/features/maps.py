"""Feature maps of a frozen network, for losses between images of one size.

Unlike a :class:`~zoo.features.network.FeatureNetwork` it takes floats, is differentiable in them, does not
resize them and returns a map, not a vector.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from zoo.errors import UserError
from zoo.features.hed import HED, Layer
from zoo.features.vgg19 import fill, vgg19_until

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet, for VGG19
NAMES = "vgg19-relu5_4, vgg19-conv5_4, hed-conv4_3 or timm/NETWORK/STAGE"


class FeatureMaps(nn.Module):
    """One layer's map of images (N, 3, H, W) in [-1, 1]; frozen.

    Args:
        name: ``vgg19-relu5_4``: ImageNet's VGG19 (timm), the fourth convolution of block 5 after its ReLU;
            ``vgg19-conv5_4`` the same before it; ``hed-conv4_3``: HED's VGG16, trained on edges, after the
            ReLU (:class:`zoo.features.hed.HED`), with weights from a package;
            ``timm/resnet50.a1_in1k/2``: a stage, counted from 0, of any timm network that exposes its stages.
        weights: For timm's networks: a file of the weights, by default timm's own.

    Raises:
        UserError: There is no such network or layer, or its weights are missing.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, weights: str | Path | None = None) -> None:
        super().__init__()
        self.name = name
        self.network: nn.Module
        self.stage: int | None = None
        mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
        if found := re.fullmatch(r"hed-(\w+)", name):
            if found[1] not in get_args(Layer):
                raise UserError(f"HED has no layer {found[1]!r}; choose one of {', '.join(get_args(Layer))}.")
            self.network = HED()
        elif found := re.fullmatch(r"vgg19-(conv|relu)(\d)_(\d)", name):
            self.network = vgg19_until(int(found[2]), int(found[3]), found[1] == "relu")
            fill(self.network, weights)
        elif found := re.fullmatch(r"timm/([\w.]+)/(\d)", name):
            from zoo.features import backbones  # timm takes a second to import

            backbone = backbones.TimmBackbone(found[1], weights)
            self.network, self.stage = backbone.network, int(found[2])
            mean, std = backbone.mean / 255, backbone.std / 255
        else:
            raise UserError(f"There are no feature maps {name!r}; give {NAMES}.")
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """The map (N, C, h, w) of images (N, 1 or 3, H, W) in [-1, 1]; grey is repeated."""
        network: Any = self.network
        features: Tensor
        if isinstance(network, HED):
            layer: Any = self.name.removeprefix("hed-")
            return network.vgg_features(images, layer)
        x = ((images.expand(-1, 3, -1, -1) + 1) / 2 - self.mean) / self.std
        if self.stage is None:
            features = network(x)
            return features
        try:
            (features,) = network.forward_intermediates(x, indices=[self.stage], intermediates_only=True)
        except (AttributeError, AssertionError) as error:
            raise UserError(f"{self.name}: timm's network has no such stage; choose another.") from error
        return features
