"""Pictures of docs/cards/dcgan.md."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from common import HAS_DATA, IMG, beside_nearest, trained
from torch import Tensor

import zoo
from zoo.drawing.sheets import grid, mosaic
from zoo.files.pictures import write_picture
from zoo.use import noise

WORDS = "52,54,62-27,42,51+10,41,55"  # smiling women - women + men; numbers on the sheet of the card


def published() -> Iterator[tuple[str, Tensor]]:
    """Digits; faces, walks and sums of faces, and the training faces nearest to them."""
    digits = zoo.load("dcgan-mnist").sample(64)
    write_picture(IMG / "dcgan-mnist.png", mosaic(digits, 16, least=48))
    yield "dcgan-mnist", torch.stack([mosaic(part, 4) for part in digits.split(16)])
    model = zoo.load("dcgan-faces")
    faces = model.sample(64)
    write_picture(IMG / "dcgan-faces.png", mosaic(faces, 16))
    write_picture(IMG / "dcgan-walk.png", mosaic(noise.walk(model, 5, frames=12), 12))
    write_picture(IMG / "dcgan-arithmetic.png", grid(noise.arithmetic(model, WORDS), least=64))
    if HAS_DATA:
        write_picture(IMG / "dcgan-neighbours.png", beside_nearest(faces, 16))
    yield "dcgan-faces", faces


def experiments() -> None:
    """Faces of the collapsed generator and of the cured one."""
    made = {name: trained(f"dcgan/{name}").sample(16) for name in ("collapse", "collapse_cure")}
    write_picture(
        IMG / "dcgan-collapse.png", grid({k: mosaic(v, 8, least=64)[None] for k, v in made.items()})
    )
