"""Pictures of docs/cards/progan.md."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from common import HAS_DATA, IMG, beside_nearest
from torch import Tensor

import zoo
from zoo.checkpoints import Pretrained
from zoo.drawing.sheets import mosaic
from zoo.files.pictures import write_picture
from zoo.use import noise

ALPHAS = 9


def published() -> Iterator[Tensor]:
    """Faces, their growth, the fade of the last layers, a walk, and the training faces nearest to them."""
    model = zoo.load("progan-faces")
    faces = model.sample(64)
    write_picture(IMG / "progan-faces.png", mosaic(faces, 16))
    write_picture(IMG / "progan-growth.png", mosaic(growth(model, 8), 8))
    write_picture(IMG / "progan-fade.png", mosaic(fade(model, 4), ALPHAS))
    write_picture(IMG / "progan-walk.png", mosaic(noise.walk(model, 5, frames=12), 12))
    if HAS_DATA:
        write_picture(IMG / "progan-neighbours.png", beside_nearest(faces, 16))
    yield faces


def growth(model: Pretrained, count: int) -> Tensor:
    """The first samples by the layers of each resolution, a row each, enlarged to the last one's pixels."""
    side = model.module.size
    rows = []
    for power in range(2, side.bit_length()):
        small = model.module.sample(count, size=1 << power)
        rows.append(small.repeat_interleave(side >> power, 2).repeat_interleave(side >> power, 3))
    return torch.cat(rows)


def fade(model: Pretrained, count: int) -> Tensor:
    """The first samples while the last resolution's layers are faded in, alpha from 0 to 1, a row each."""
    network = model.module.generator
    with model.module.in_use(0):
        z = model.module.noise(count)
        shares = torch.linspace(0, 1, ALPHAS).unbind()
        steps = [network(z, network.level, share).clamp(-1, 1) for share in shares]
    return torch.stack(steps, dim=1).flatten(0, 1)
