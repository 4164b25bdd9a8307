"""Pictures of docs/cards/progan.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from common import HAS_DATA, IMG, beside_nearest
from lightning.pytorch.callbacks import Callback
from torch import Tensor

import zoo
from zoo.drawing.sheets import mosaic
from zoo.files.pictures import write_picture
from zoo.training import build
from zoo.use import noise

FADE = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)  # shares of the newest layers that are shown


def published() -> Iterator[tuple[str, Tensor]]:
    """Faces, a walk, and the training faces nearest to them."""
    model = zoo.load("progan-faces")
    faces = model.sample(64)
    write_picture(IMG / "progan-faces.png", mosaic(faces, 16))
    write_picture(IMG / "progan-walk.png", mosaic(noise.walk(model, 5, frames=12), 12))
    if HAS_DATA:
        write_picture(IMG / "progan-neighbours.png", beside_nearest(faces, 16))
    yield "progan-faces", faces


class Growth(Callback):
    """Keeps samples of the same noise at the end of each resolution, and of the last one's fade."""

    def __init__(self) -> None:
        self.grown: list[Tensor] = []
        self.fading: list[Tensor] = []

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take samples within the last fade."""
        phase = pl_module.phase(trainer.current_epoch)
        due = len(self.fading) < len(FADE) and pl_module.generator.alpha >= FADE[len(self.fading)] - 1e-9
        if phase.fades and phase.side == pl_module.size and due:
            self.fading.append(pl_module.sample(4))

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Take samples where a resolution is stable."""
        if not pl_module.phase(trainer.current_epoch).fades:
            self.grown.append(pl_module.sample(4))


def experiments() -> None:
    """Drawn faces at each resolution up to 32 px, then in the fade from 16 to 32 px; a sample per row."""
    sizes = ["--model.size", "32", "--data.size", "32", "--model.stable_images", "[3000, 4000, 6000, 6000]"]
    built = build(["--config", "progan/faces_world", *sizes, "--trainer.max_epochs", "7", "--wandb", "off"])
    growth = Growth()
    built.trainer.callbacks.append(growth)
    built.trainer.fit(built.model, built.datamodule)
    enlarged = [
        x.repeat_interleave(64 // x.shape[-1], 2).repeat_interleave(64 // x.shape[-1], 3)
        for x in growth.grown
    ]
    for name, columns in (("progan-growth.png", enlarged), ("progan-fade.png", growth.fading)):
        sheet = torch.stack(columns, dim=1).flatten(0, 1)
        write_picture(IMG / name, mosaic(sheet, len(columns), least=64))
