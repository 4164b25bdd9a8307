"""A much-copied program of GAN-INT-CLS, github.com/aelnouby/Text-to-Image-Synthesis, and its networks.

They are DCGAN's of width 64 without biases, with batch norm after the dense layer of the text; the text
stands before the noise, and D has no 1 x 1 convolution where it meets the image. Its program smooths the
target of real pairs to 0.9, gives mismatched and generated pairs a weight of 1, and adds feature matching
(100) and L1 (50) to the generator's loss: ``real_target``, ``wrong_weight``, ``fake_weight``,
``lambda_matching`` and ``lambda_l1`` of :class:`zoo.models.gan_int_cls.GANIntCLS`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import UserError
from zoo.references.matching import Match, State, renamed

WIDTH = 64


def project(text_dim: int, compressed: int) -> nn.Sequential:
    """A dense layer with batch norm and leaky ReLU."""
    return nn.Sequential(nn.Linear(text_dim, compressed), nn.BatchNorm1d(compressed), nn.LeakyReLU(0.2))


class PlainGenerator(nn.Module):
    """DCGAN's generator of the projected text and the noise.

    Args:
        latent_dim: Width of the noise.
        text_dim: Width of the embedding.
        compressed: Width that it is projected to.
    """

    def __init__(self, latent_dim: int, text_dim: int, compressed: int) -> None:
        super().__init__()
        self.text = project(text_dim, compressed)
        layers: list[nn.Module] = []
        for before, after in pairwise((latent_dim + compressed, 8 * WIDTH, 4 * WIDTH, 2 * WIDTH, WIDTH)):
            stride, padding = (2, 1) if layers else (1, 0)
            layers.append(nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False))
            layers += [nn.BatchNorm2d(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(WIDTH, 3, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, z: Tensor, text: Tensor) -> Tensor:
        """Noise (B, latent_dim) and embeddings (B, text_dim) to images (B, 3, 64, 64) in [-1, 1]."""
        image: Tensor = self.layers(torch.cat([self.text(text), z], dim=1)[:, :, None, None])
        return image


class PlainDiscriminator(nn.Module):
    """DCGAN's discriminator, with the projected text beside the maps of 4 x 4.

    Args:
        text_dim: Width of the embedding.
        compressed: Width that it is projected to.
    """

    def __init__(self, text_dim: int, compressed: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((3, WIDTH, 2 * WIDTH, 4 * WIDTH, 8 * WIDTH)):
            norm = [nn.BatchNorm2d(after)] if layers else []
            layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), *norm, nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.text = project(text_dim, compressed)
        self.last = nn.Conv2d(8 * WIDTH + compressed, 1, 4, bias=False)

    def forward(self, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, 64, 64) and embeddings (B, text_dim) to logits (B, 1) and the maps of the image."""
        maps = self.layers(image)  # (B, 8 WIDTH, 4, 4)
        tiled = self.text(text)[:, :, None, None].expand(-1, -1, *maps.shape[2:])
        logits: Tensor = self.last(torch.cat([maps, tiled], dim=1))
        return logits.flatten(1), maps


def recognise(state: State) -> Match:
    """Recognise a player of that program.

    Raises:
        UserError: The names are not those of this program.
    """
    if "netG.0.weight" in state:
        player, names = "generator", {"projection": "text", "netG": "layers"}
        dense, maps = state["projection.0.weight"], state["netG.0.weight"]
        arguments: dict[str, Any] = {"latent_dim": len(maps) - len(dense)}
    elif "netD_1.0.weight" in state:
        player = "discriminator"
        names = {"projector.projection": "text", "netD_1": "layers", "netD_2.0": "last"}
        dense, arguments = state["projector.projection.0.weight"], {}
    else:
        raise UserError(
            f"The weights start with {next(iter(state), 'nothing')}, which names no network that GANIntCLS "
            "can convert; give a generator or discriminator of Text-to-Image-Synthesis."
        )
    compressed, text_dim = dense.shape
    arguments |= {"players": "plain", "text_dim": text_dim, "compressed": compressed}
    return Match(player, arguments, renamed(state, names))
