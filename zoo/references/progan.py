"""Progressive GAN of https://github.com/facebookresearch/pytorch_GAN_zoo.

Its networks are those of :mod:`zoo.models.progan` but for these, which the weights take up:

- Every layer multiplies its output, bias included, by He's constant sqrt(2 / fan-in). The paper's bias is not
  multiplied, and the constants of three layers are others: of the generator's first one, of toRGB and of D's
  last one.
- The first layer has a bias per channel and position.
- The minibatch's variance is divided by one less than the number of samples, in groups of 4.
"""

from __future__ import annotations

import math
import re
from typing import Any

import torch

from zoo.errors import UserError
from zoo.references.matching import Match, State

LEAST = 4  # pixels of the first resolution
GROUP = 4  # samples over which D computes a standard deviation
GAIN = math.sqrt(2)  # of all its layers; of these it is another one here:
GAINS = {"generator": {"dense": GAIN / 4, "to_rgb": 1.0}, "discriminator": {"last": 1.0}}
NAMES = {
    "generator": {
        r"formatLayer\.weight": "dense.weight",
        r"formatLayer\.bias": "dense_bias",
        r"groupScale0\.0\.(.+)": r"conv.\1",
        r"scaleLayers\.(\d+)\.0\.(.+)": r"blocks.\1.first.\2",
        r"scaleLayers\.(\d+)\.1\.(.+)": r"blocks.\1.second.\2",
        r"toRGBLayers\.(.+)": r"to_rgb.\1",
    },
    "discriminator": {
        r"scaleLayers\.(\d+)\.0\.(.+)": r"blocks.\1.first.\2",
        r"scaleLayers\.(\d+)\.1\.(.+)": r"blocks.\1.second.\2",
        r"fromRGBLayers\.(.+)": r"from_rgb.\1",
        r"groupScaleZero\.0\.(.+)": r"conv.\1",
        r"groupScaleZero\.1\.(.+)": r"dense.\1",
        r"decisionLayer\.(.+)": r"last.\1",
    },
}


def recognise(state: State) -> Match:
    """Recognise a generator or a discriminator, grown to any resolution.

    Raises:
        UserError: It is neither.
    """
    player = "generator" if "formatLayer.weight" in state else "discriminator"
    if player == "discriminator" and "decisionLayer.weight" not in state:
        raise UserError(
            "These weights are of no progressive GAN that is known; give the state dict of netG, avgG or "
            "netD of pytorch_GAN_zoo."
        )
    rgb, of_rgb = ("toRGBLayers", 1) if player == "generator" else ("fromRGBLayers", 0)
    levels = sum(re.fullmatch(rf"{rgb}\.\d+\.weight", key) is not None for key in state)
    shapes = [state[f"{rgb}.{level}.weight"].shape for level in range(levels)]
    size, most, least = LEAST << (levels - 1), shapes[0][of_rgb], shapes[-1][of_rgb]
    arguments: dict[str, Any] = {
        "size": size,
        "channels": shapes[0][1 - of_rgb],
        "base": least * size // 2 if least < most else max(8192, most * size // 2),
        "most": most,
    }
    weights = folded({_name(key, player): value for key, value in state.items()}, GAINS[player])
    if player == "generator":
        arguments |= {"latent_dim": state["formatLayer.weight"].shape[1], "first_bias": "position"}
        weights["dense_bias"] = weights["dense_bias"].view(-1, LEAST, LEAST)
        weights["_extra_state"] = torch.tensor([levels - 1, 1.0], dtype=torch.float64)
    else:  # the last input channel is the standard deviation
        scales = torch.ones(weights["conv.weight"].shape[1])
        scales[-1] = math.sqrt(GROUP / (GROUP - 1))
        weights["conv.weight"] = weights["conv.weight"] * scales[:, None, None]
    return Match(player, arguments, weights)


def folded(weights: State, gains: dict[str, float]) -> State:
    """Multiply biases by their layers' constants, and weights where the constant is another one here.

    Args:
        weights: Weights by their names here.
        gains: Gains here of the layers whose names start so.
    """
    found = {}
    for key, value in weights.items():
        if key.endswith("bias"):
            layer = "dense.weight" if key == "dense_bias" else key.removesuffix("bias") + "weight"
            found[key] = value * (GAIN / math.sqrt(weights[layer][0].numel()))
        else:
            gain = next((gain for start, gain in gains.items() if key.startswith(start)), GAIN)
            found[key] = value * (GAIN / gain)
    return found


def _name(key: str, player: str) -> str:
    """The name here of a weight; unknown ones keep theirs."""
    for pattern, name in NAMES[player].items():
        if match := re.fullmatch(pattern, key):
            return match.expand(name)
    return key
