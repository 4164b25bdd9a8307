"""Two implementations of SRGAN: Lornatang's, and BasicSR, whose networks differ from the paper's.

https://github.com/Lornatang/SRGAN-PyTorch, https://github.com/XPixelGroup/BasicSR.
"""

from __future__ import annotations

import math
import re
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import UserError
from zoo.references.matching import Match, State, renamed

# differs: the arguments with which BasicSR trains MSRGAN
BASICSR: dict[str, Any] = {
    "variant": "basicsr",
    "size": 128,
    "high_range": "unit",
    "content": "vgg19-conv5_4",
    "content_scale": 1.0,
    "lambda_pixel": 1e-2,
    "lambda_adversarial": 5e-3,
    "betas": (0.9, 0.99),
    "decay_at": (50_000, 100_000, 200_000, 300_000),
    "decay_factor": 0.5,
}


class PlainBlock(nn.Module):
    """BasicSR's residual block: two convolutions and a ReLU, without norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add the block's output to ``x``; the shape is kept."""
        y: Tensor = x + self.body(x)
        return y


class MSRResNet(nn.Module):
    """BasicSR's generator: no batch norm, leaky ReLU, and the bilinear enlargement added to the output.

    Args:
        channels: Channels of input and output.
        width: Channels of all layers.
        blocks: Residual blocks.
        scale: Factor by which the output is larger.
    """

    def __init__(self, channels: int, width: int, blocks: int, scale: Literal[2, 3, 4, 8]) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.LeakyReLU(0.1, inplace=True))
        self.trunk = nn.Sequential(*(PlainBlock(width) for _ in range(blocks)))
        self.up = nn.Sequential()
        for step in [3] if scale == 3 else [2] * int(math.log2(scale)):
            self.up.append(nn.Conv2d(width, width * step**2, 3, padding=1))
            self.up.append(nn.PixelShuffle(step))
            self.up.append(nn.LeakyReLU(0.1, inplace=True))
        self.out = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv2d(width, channels, 3, padding=1),
        )

    def forward(self, low: Tensor) -> Tensor:
        """Enlarge ``low`` (B, C, H, W) to (B, C, scale H, scale W)."""
        plain = F.interpolate(low, scale_factor=float(self.scale), mode="bilinear", align_corners=False)
        high: Tensor = self.out(self.up(self.trunk(self.head(low)))) + plain
        return high


class VGGStyleDiscriminator(nn.Module):
    """BasicSR's discriminator: downsampled by 4 x 4 convolutions to 4 pixels; one logit per image.

    Args:
        channels: Channels of the image.
        width: Channels of the first layer.
        size: Side of the images that it judges: 128, or another power of two.
    """

    def __init__(self, channels: int, width: int, size: int) -> None:
        super().__init__()
        if size < 8 or size & (size - 1):
            raise UserError(
                f"model.size must be a power of two, at least 8, for variant basicsr, not {size}."
            )
        layers: list[nn.Module] = []
        before, levels = channels, int(math.log2(size)) - 2
        for level in range(levels):
            after = width * min(2**level, 8)
            for source, kernel in ((before, 3), (after, 4)):
                first = not layers
                stride = kernel - 2
                layers.append(nn.Conv2d(source, after, kernel, stride, padding=1, bias=first))
                layers += [] if first else [nn.BatchNorm2d(after)]
                layers.append(nn.LeakyReLU(0.2, inplace=True))
            before = after
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(before * 16, 100), nn.LeakyReLU(0.2, inplace=True), nn.Linear(100, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 1)."""
        logits: Tensor = self.classifier(self.features(image).flatten(1))
        return logits


def initialise_basicsr(module: nn.Module) -> None:
    """BasicSR's initialisation: a tenth of He's (2015), biases 0."""
    if isinstance(module, nn.Conv2d) and module.bias is not None:
        nn.init.kaiming_normal_(module.weight)
        with torch.no_grad():
            module.weight.mul_(0.1)
        nn.init.zeros_(module.bias)


def recognise(state: State) -> Match:
    """Recognise SRResNet (a generator is one too), MSRResNet, or either's discriminator.

    Raises:
        UserError: It is none of these networks.
    """
    if "conv3.weight" in state:
        return _srresnet(state)
    if "conv_last.weight" in state:
        return _msrresnet(state)
    if "features.0.weight" in state:
        return _discriminator(state)
    if "conv0_0.weight" in state:
        return _vgg_style_discriminator(state)
    raise UserError(
        "These weights are of no network that is known here (SRResNet, MSRResNet, their discriminators)."
    )


def _srresnet(state: State) -> Match:
    """Lornatang's generator; it returns images in [0, 1]."""
    _require_equal(state["conv1.0.weight"], state["conv3.weight"])
    first, blocks = state["conv1.0.weight"], sum(key.endswith("rcb.0.weight") for key in state)
    shuffles = [x for key, x in state.items() if re.fullmatch(r"upsampling\..*\.0\.weight", key)]
    patterns = {r"conv1\.": "head.", r"trunk\.(\d+)\.rcb\.": r"trunk.\1.body.", r"conv2\.": "merge."}
    patterns |= {r"conv3\.": "out."}
    for level in range(len(shuffles)):
        for layer in range(3):  # convolution, pixel shuffle, activation
            patterns[rf"upsampling\.{level}\.upsample_block\.{layer}\."] = f"up.{3 * level + layer}."
    return Match(
        "generator", _sizes(first, shuffles, blocks) | {"high_range": "unit"}, renamed(state, patterns)
    )


def _msrresnet(state: State) -> Match:
    patterns = {
        r"conv_first\.": "head.0.",
        r"body\.(\d+)\.conv1\.": r"trunk.\1.body.0.",
        r"body\.(\d+)\.conv2\.": r"trunk.\1.body.2.",
        r"upconv1\.": "up.0.",
        r"upconv2\.": "up.3.",
        r"conv_hr\.": "out.0.",
        r"conv_last\.": "out.2.",
    }
    shuffles = [state[key] for key in ("upconv1.weight", "upconv2.weight") if key in state]
    blocks = sum(key.endswith("conv1.weight") and key.startswith("body.") for key in state)
    _require_equal(state["conv_first.weight"], state["conv_last.weight"])
    sizes = _sizes(state["conv_first.weight"], shuffles, blocks)
    return Match("generator", BASICSR | sizes, renamed(state, patterns))


def _require_equal(first: Tensor, last: Tensor) -> None:
    if first.shape[1] != last.shape[0]:
        raise UserError(
            f"This generator takes images of {first.shape[1]} channels and gives {last.shape[0]}; only those "
            "that keep the channels are converted."
        )


def _sizes(first: Tensor, shuffles: list[Tensor], blocks: int) -> dict[str, Any]:
    """Arguments of a generator, from its first convolution and those before its pixel shuffles."""
    scale = math.prod(math.isqrt(value.shape[0] // value.shape[1]) for value in shuffles)
    if scale not in (2, 3, 4, 8):
        raise UserError(f"These weights enlarge by {scale}; known are 2, 3, 4 and 8.")
    return {"scale": scale, "blocks": blocks, "width": first.shape[0], "in_channels": first.shape[1]}


def _discriminator(state: State) -> Match:
    """Lornatang's discriminator has our names; it judges images in [0, 1]."""
    width, channels = state["features.0.weight"].shape[:2]
    side = math.isqrt(state["classifier.0.weight"].shape[1] // (8 * width))
    sizes = {"discriminator_width": width, "in_channels": channels, "size": 16 * side}
    return Match("discriminator", sizes | {"high_range": "unit"}, state)


def _vgg_style_discriminator(state: State) -> Match:
    """Layers by level and place, here counted through: three per convolution, two for the first."""
    levels = sum(bool(re.fullmatch(r"conv\d_0\.weight", key)) for key in state)
    weights = {}
    for key, value in renamed(state, {r"linear1\.": "classifier.0.", r"linear2\.": "classifier.2."}).items():
        if match := re.fullmatch(r"(conv|bn)(\d)_(\d)\.(\w+)", key):
            at = 3 * (2 * int(match[2]) + int(match[3])) - 1 + (match[1] == "bn")
            key = f"features.{max(at, 0)}.{match[4]}"
        weights[key] = value
    width, channels = state["conv0_0.weight"].shape[:2]
    sizes = {"discriminator_width": width, "in_channels": channels, "size": 2 ** (levels + 2)}
    return Match("discriminator", BASICSR | sizes, weights)
