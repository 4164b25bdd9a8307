"""The authors' PyTorch code of pix2pix, https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix.

Its U-Net and patch discriminators are those of :mod:`zoo.models.pix2pix` under other names; its residual
generator, which the paper does not use, is here.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from torch import Tensor, nn

from zoo.errors import UserError
from zoo.references.matching import Match, State, renamed

Norm = Literal["batch", "instance"]
FIELDS = {3: 16, 4: 34, 5: 70, 7: 286}  # convolutions of a patch discriminator -> receptive field


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with a skip connection around them."""

    def __init__(self, channels: int, norm: Norm, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=norm == "instance"),
            normalisation(norm, channels),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=norm == "instance"),
            normalisation(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add the block's output to ``x``; the shape is kept."""
        y: Tensor = x + self.body(x)
        return y


class ResidualGenerator(nn.Module):
    """The residual generator of the authors' PyTorch code; the paper itself does not use it.

    Args:
        in_channels: Channels of the input image.
        out_channels: Channels of the output image.
        blocks: Residual blocks at a quarter of the resolution.
        width: Channels of the outermost layer.
        norm: Normalisation of all layers but the last.
        dropout: Probability of dropout in each residual block.
    """

    def __init__(
        self, in_channels: int, out_channels: int, blocks: int, width: int, norm: Norm, dropout: float
    ) -> None:
        super().__init__()
        bias = norm == "instance"
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(in_channels, width, 7, bias=bias)]
        layers += [normalisation(norm, width), nn.ReLU(inplace=True)]
        for channels in (width, 2 * width):
            layers += [
                nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, bias=bias),
                normalisation(norm, 2 * channels),
                nn.ReLU(inplace=True),
            ]
        layers += [ResidualBlock(4 * width, norm, dropout) for _ in range(blocks)]
        for channels in (4 * width, 2 * width):
            layers += [
                nn.ConvTranspose2d(channels, channels // 2, 3, 2, padding=1, output_padding=1, bias=bias),
                normalisation(norm, channels // 2),
                nn.ReLU(inplace=True),
            ]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Translate ``x`` (B, in_channels, H, W); H and W must be multiples of 4."""
        y: Tensor = self.layers(x)
        return y


def normalisation(norm: Norm, channels: int) -> nn.Module:
    """Batch norm with scale and shift, or instance norm without."""
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.InstanceNorm2d(channels)


def recognise(state: State) -> Match:
    """Recognise a U-Net, a residual generator, or a patch or pixel discriminator.

    Dropout leaves no trace in a U-Net: the arguments say how that code trains by default. A discriminator is
    taken to judge targets of 3 channels, one that sees 2 to judge a grey target with a grey input.

    Raises:
        UserError: It is none of these networks.
    """
    if "model.model.0.weight" in state:
        return _unet(state)
    if "model.1.weight" in state and "model.10.conv_block.1.weight" in state:
        return _residual_generator(state)
    if "model.0.weight" in state or "net.0.weight" in state:
        return _patch_discriminator(state)
    raise UserError(
        "These weights are of no pix2pix network that is known (U-Net, ResNet, patch or pixel GAN)."
    )


def _norm_of(first_inner_norm: str, state: State) -> Norm:
    return "batch" if f"{first_inner_norm}.weight" in state else "instance"


def _unet(state: State) -> Match:
    """Each level is nested in the one above it, and holds its encoder and its decoder half."""
    nested = ["model.model.", "model.model.1.model."]
    while f"{nested[-1]}3.model.1.weight" in state:
        nested.append(f"{nested[-1]}3.model.")
    levels = len(nested)
    names = {}
    for level, prefix in enumerate(nested):
        up = 4 if 0 < level < levels - 1 else 2  # where the decoder half begins
        for key in state:
            if match := re.fullmatch(re.escape(prefix) + r"(\d+)\.(\w+)", key):
                at, leaf = int(match[1]), match[2]
                half, at = (f"up.{levels - 1 - level}", at - up) if at > up else (f"down.{level}", at)
                names[key] = f"{half}.{at}.{leaf}"
    first = state["model.model.0.weight"]
    arguments = {
        "generator": "unet",
        "levels": levels,
        "width": first.shape[0],
        "in_channels": first.shape[1],
        "out_channels": state["model.model.3.weight"].shape[1],
        "norm": _norm_of("model.model.1.model.2", state),
        "dropout": 0.5,
        "dropout_at": tuple(range(2, levels - 3)),
    }
    return Match("generator", arguments, {names.get(key, key): value for key, value in state.items()})


def _residual_generator(state: State) -> Match:
    """The same order as ours, but a block's second convolution moves up by one if it has no dropout."""
    blocks = sum(key.endswith("conv_block.1.weight") for key in state)
    drops = "model.10.conv_block.6.weight" in state and state["model.10.conv_block.6.weight"].ndim == 4
    weights = {}
    for key, value in state.items():
        name = "layers." + key.removeprefix("model.")
        if match := re.fullmatch(r"(layers\.\d+)\.conv_block\.(\d+)\.(\w+)", name):
            at = int(match[2])
            name = f"{match[1]}.body.{at + 1 if at > 4 and not drops else at}.{match[3]}"
        weights[name] = value
    first = state["model.1.weight"]
    arguments = {
        "generator": "resnet",
        "blocks": blocks,
        "width": first.shape[0],
        "in_channels": first.shape[1],
        "out_channels": state[f"model.{blocks + 17}.weight"].shape[0],
        "norm": _norm_of("model.2", state),
        "dropout": 0.5 if drops else 0.0,
    }
    return Match("generator", arguments, weights)


def _patch_discriminator(state: State) -> Match:
    """The same order as ours under another name."""
    root = "net" if "net.0.weight" in state else "model"
    convolutions = sum(value.ndim == 4 for value in state.values())
    field = FIELDS.get(convolutions) if root == "model" else 1
    if field is None:
        raise UserError(f"A patch discriminator of {convolutions} convolutions is none of the paper's.")
    first = state[f"{root}.0.weight"]
    seen = first.shape[1]
    targets = 3 if seen > 2 else 1
    arguments: dict[str, Any] = {
        "receptive_field": field,
        "discriminator_width": first.shape[0],
        "in_channels": seen - targets or 3,
        "out_channels": targets,
        "conditional": seen > targets,
        "norm": _norm_of(f"{root}.3", state),
    }
    return Match("discriminator", arguments, renamed(state, {rf"{root}\.": "layers."}))
