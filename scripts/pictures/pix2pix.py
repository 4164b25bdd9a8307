"""Pictures of docs/cards/pix2pix.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from common import HAS_DATA, IMG, first, labels_of, trained
from torch import Tensor

import zoo
from zoo.data.pairs import PairFolder, ScenePairs
from zoo.drawing.sheets import grid, mosaic
from zoo.files.pictures import write_picture

ABLATION: dict[str, dict[str, Any]] = {"L1": {"adversarial": False}, "cGAN": {"lambda_l1": 0}, "L1+cGAN": {}}


def published() -> Iterator[tuple[str, Tensor]]:
    """The first test scenes; facades of the first test label maps, without those: research-only data."""
    batch = first(ScenePairs(size=64), 8)
    made = zoo.load("pix2pix-scenes").sample(batch["input"])
    columns = {"labels": labels_of(batch), "pix2pix": made, "drawn": batch["target"]}
    write_picture(IMG / "pix2pix-scenes.png", grid(columns, least=128))
    yield "pix2pix-scenes", made
    if HAS_DATA:
        maps = first(PairFolder("facades", direction="BtoA", size=128), 16)["input"]
        made = zoo.load("pix2pix-facades-small").sample(maps)
        write_picture(IMG / "pix2pix-facades.png", mosaic(made, 8))
        yield "pix2pix-facades-small", made


def experiments() -> None:
    """pix2pix with L1 alone, with the adversarial loss alone, and with both, on the first test label maps."""
    if HAS_DATA:
        batch = first(PairFolder("facades", direction="BtoA", size=64), 6)
        models = {
            title: trained("pix2pix/facades_ablation", model=given) for title, given in ABLATION.items()
        }
        columns = {title: model.sample(batch["input"]) for title, model in models.items()}
        write_picture(IMG / "pix2pix-ablation.png", grid(columns, least=128))
