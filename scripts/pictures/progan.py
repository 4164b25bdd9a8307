"""Pictures of docs/cards/progan.md."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from common import HAS_DATA, IMG, beside_nearest
from torch import Tensor

import zoo
from zoo.checkpoints import Pretrained
from zoo.drawing.sheets import grid, mosaic
from zoo.files.pictures import write_picture
from zoo.use import noise

SHARES = (0.0, 0.25, 0.5, 0.75)  # of the newest layers


def published() -> Iterator[Tensor]:
    """Faces, a walk, the resolutions and the last fade, and the training faces nearest to them."""
    model = zoo.load("progan-faces")
    faces = model.sample(64)
    write_picture(IMG / "progan-faces.png", mosaic(faces, 16))
    write_picture(IMG / "progan-walk.png", mosaic(noise.walk(model, 5, frames=12), 12))
    write_picture(IMG / "progan-growth.png", grid(growth(model, 6), least=96))
    if HAS_DATA:
        write_picture(IMG / "progan-neighbours.png", beside_nearest(faces, 16))
    yield faces


def growth(model: Pretrained, count: int) -> dict[str, Tensor]:
    """Samples of the same noise by each resolution, and while the last one is faded in."""
    game = model.game
    shown = {f"{2**k} px": game.sample(count, 0, 2**k) for k in range(2, game.generator.level + 2)}
    with game.in_use(0):
        z = game.noise(count)
        for share in SHARES:
            alpha = torch.tensor(share, dtype=z.dtype)
            shown[f"fade {share:g}"] = game.generator(z, game.generator.level, alpha).clamp(-1, 1)
    return shown | {f"{game.generator.side} px": model.sample(count)}
