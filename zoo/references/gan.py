"""Two much-copied programs of the original GAN, and the networks that only they have.

``mlp_bn`` is implementations/gan of https://github.com/eriklindernoren/PyTorch-GAN, ``mlp`` is
Vanilla_GAN.py of https://github.com/black0017/3D-GAN-pytorch. Both return D as a probability, here its logit.
"""

from __future__ import annotations

import math
import re
from typing import Any, Literal

from torch import Tensor, nn

from zoo.errors import UserError
from zoo.references.matching import Match, State, renamed


class LeakyGenerator(nn.Module):
    """Generator with leaky ReLU and a tanh, so that values lie in [-1, 1].

    Args:
        latent_dim: Width of the noise.
        shape: Shape of one image or point.
        widths: Widths of the hidden layers.
        batch_norm: Whether to normalise all hidden layers but the first.
        bounded: Whether to end with a tanh; False leaves the output linear, for points.
    """

    def __init__(
        self, latent_dim: int, shape: tuple[int, ...], widths: list[int], batch_norm: bool, bounded: bool
    ) -> None:
        super().__init__()
        self.shape = shape
        layers: list[nn.Module] = []
        for inputs, outputs in zip([latent_dim, *widths], widths, strict=False):
            layers.append(nn.Linear(inputs, outputs))
            if batch_norm and len(layers) > 1:
                layers.append(nn.BatchNorm1d(outputs, eps=0.8))  # the reference's slip for a momentum, kept
            layers.append(nn.LeakyReLU(0.2))
        layers.append(nn.Linear(widths[-1], math.prod(shape)))
        self.layers = nn.Sequential(*layers, *([nn.Tanh()] if bounded else []))

    def forward(self, z: Tensor) -> Tensor:
        """Noise (B, latent_dim) to (B, *shape)."""
        flat: Tensor = self.layers(z)
        return flat.view(-1, *self.shape)


class LeakyDiscriminator(nn.Module):
    """Discriminator with leaky ReLU.

    Args:
        shape: Shape of one image or point.
        widths: Widths of the hidden layers.
        dropout: Probability of dropout after each hidden layer.
    """

    def __init__(self, shape: tuple[int, ...], widths: list[int], dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip([math.prod(shape), *widths], widths, strict=False):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
            layers += [nn.Dropout(dropout)] if dropout else []
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, *shape) to logits (B, 1)."""
        logits: Tensor = self.layers(x.flatten(1))
        return logits


def players(
    kind: Literal["mlp_bn", "mlp"], latent_dim: int, shape: tuple[int, ...], bounded: bool
) -> tuple[LeakyGenerator, LeakyDiscriminator]:
    """Generator and discriminator of one of the programs, with its fixed widths."""
    if kind == "mlp_bn":
        generator = LeakyGenerator(latent_dim, shape, [128, 256, 512, 1024], True, bounded)
        return generator, LeakyDiscriminator(shape, [512, 256], 0.0)
    generator = LeakyGenerator(latent_dim, shape, [256, 512, 1024], False, bounded)
    return generator, LeakyDiscriminator(shape, [1024, 512, 256], 0.3)


def recognise(state: State) -> Match:
    """Recognise a player of either program; images are taken to be square, in grey or else RGB.

    Raises:
        UserError: The names are those of neither program, or the images are not square.
    """
    linear = [value for key, value in state.items() if key.endswith(".weight") and value.ndim == 2]
    if linear and "model.0.weight" in state:
        kind, weights = "mlp_bn", renamed(state, {r"model\.": "layers."})
    elif linear and "out.0.weight" in state:  # hidden0.0, hidden1.0, ..., out.0
        kind = "mlp"
        stride = 3 if len(state["out.0.weight"]) == 1 else 2  # its discriminator has dropout between layers
        layers = list(dict.fromkeys(key.rpartition(".")[0] for key in state))
        weights = renamed(
            state, {rf"{re.escape(name)}\.": f"layers.{stride * at}." for at, name in enumerate(layers)}
        )
    else:
        raise UserError(
            f"The weights start with {next(iter(state), 'nothing')}, which names no network that GAN can "
            "convert; give those of PyTorch-GAN's implementations/gan or of Vanilla_GAN.py."
        )
    first, last = linear[0], linear[-1]
    is_generator = len(last) != 1
    pixels = len(last) if is_generator else first.shape[1]
    channels = 1 if math.isqrt(pixels) ** 2 == pixels else 3
    side = math.isqrt(pixels // channels)
    if channels * side * side != pixels:
        raise UserError(
            f"The weights are for {pixels} values per image, which is no square grey or RGB image."
        )
    arguments: dict[str, Any] = {"players": kind, "shape": [channels, side, side]}
    if is_generator:
        arguments["latent_dim"] = first.shape[1]
    return Match("generator" if is_generator else "discriminator", arguments, weights)
