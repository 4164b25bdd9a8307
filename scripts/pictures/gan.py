"""Pictures of docs/cards/gan.md."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from common import HAS_DATA, IMG, trained
from torch import Tensor

import zoo
from zoo.drawing.sheets import mosaic
from zoo.files.pictures import write_picture


def published() -> Iterator[tuple[str, Tensor]]:
    """Digits of the published weights."""
    digits = zoo.load("gan-digits").sample(64)
    write_picture(IMG / "gan-digits.png", mosaic(digits, 16, least=48))
    yield "gan-digits", torch.stack([mosaic(part, 4) for part in digits.split(16)])


def experiments() -> None:
    """Digits of a collapsed generator and of the cured one; MNIST's by the released code's settings."""
    for name, recipe in (("gan-collapse", "gan/collapse"), ("gan-collapse-cure", "gan/collapse_cure")):
        write_picture(IMG / f"{name}.png", mosaic(trained(recipe).sample(36), 6, least=48))
    if HAS_DATA:
        write_picture(IMG / "gan-mnist.png", mosaic(trained("gan/mnist").sample(64), 16, least=28))
