"""VGG19's convolutions with torchvision's ImageNet weights, for perceptual losses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo.errors import UserError

TIMM = "vgg19.tv_in1k"  # torchvision's weights under timm's name
BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))  # channels and convolutions
_FIRST = (1, 6, 11, 20, 29)  # the ReLU after the first convolution of each block, by torchvision's numbers


class VGG19Net(nn.Module):
    """VGG19 up to ``relu5_1``, untrained; ``features`` is numbered as in torchvision and timm."""

    def __init__(self) -> None:
        super().__init__()
        self.features = vgg19_until(5, 1, activated=True)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Activations ``relu1_1``, ``relu2_1``, …, ``relu5_1`` of normalised images (N, 3, H, W)."""
        found = []
        for at, layer in enumerate(self.features):
            x = layer(x)
            if at in _FIRST:
                found.append(x)
        return found


def vgg19(weights: str | Path | None = None) -> VGG19Net:
    """The trained network, frozen and in evaluation mode.

    Args:
        weights: A state dict of torchvision's or timm's VGG19 (.safetensors or torch); by default timm's own,
            from the Hugging Face cache or by download.

    Raises:
        UserError: The weights are missing, damaged or of another network.
    """
    network = VGG19Net()
    fill(network.features, weights)
    return network.eval().requires_grad_(False)


def vgg19_until(block: int, place: int, activated: bool) -> nn.Sequential:
    """VGG19's layers up to a convolution, untrained, numbered as in torchvision and timm.

    Args:
        block: The convolution's block, 1 to 5.
        place: The convolution's place in its block, counted from 1.
        activated: Whether the last layer is its ReLU or the convolution itself.

    Raises:
        UserError: There is no such convolution.
    """
    counts = [count for _, count in BLOCKS]
    if not (1 <= block <= 5 and 1 <= place <= counts[block - 1]):
        raise UserError(f"VGG19 has no convolution {block}_{place}; its blocks have {counts}.")
    layers: list[nn.Module] = []
    channels = 3
    with torch.random.fork_rng(devices=[]):
        for number, (width, count) in enumerate(BLOCKS[:block], start=1):
            layers += [nn.MaxPool2d(2)] if layers else []
            for _ in range(place if number == block else count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
    return nn.Sequential(*(layers if activated else layers[:-1]))


def fill(network: nn.Module, weights: str | Path | None) -> None:
    """Load trained weights into layers from :func:`vgg19_until`; arguments and errors as in :func:`vgg19`."""
    from zoo.features import backbones  # timm takes a second to import

    found = convolutions(backbones.weights_of(TIMM, weights))
    kept = {key.removeprefix("features."): value for key, value in found.items()}
    wanted = network.state_dict()
    if any(key not in kept or kept[key].shape != value.shape for key, value in wanted.items()):
        raise UserError(f"{weights or TIMM} does not hold VGG19's convolutions; give that network's file.")
    network.load_state_dict({key: kept[key] for key in wanted})


def convolutions(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The convolutions among a VGG19's weights, as ``features.NUMBER.…``, from either naming."""
    found = {}
    for key, value in weights.items():
        if match := re.fullmatch(r"(?:features|vgg\.slice\d)\.(\d+\.(?:weight|bias))", key):
            found[f"features.{match[1]}"] = value
    return found
