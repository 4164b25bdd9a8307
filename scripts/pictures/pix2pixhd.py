"""Pictures of docs/cards/pix2pixhd.md."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from common import HAS_DATA, IMG, first, labels_of
from torch import Tensor

import zoo
from zoo.data.label_maps import LabelMapFolder
from zoo.data.pairs import PairFolder, ScenePairs
from zoo.drawing.sheets import grid, mosaic
from zoo.features.segmenter import FACADES
from zoo.files.pictures import write_picture

STYLES = (0, 5, 10, 15)


def published() -> Iterator[tuple[str, Tensor]]:
    """The first test scenes; facades of the first test maps beside pix2pix's, in several styles, edited."""
    batch = first(ScenePairs(size=64), 5)
    painter = zoo.load("pix2pixhd-scenes").module
    made = painter.sample(batch["input"], 0, batch["instances"])  # type: ignore[operator]
    columns = {
        "labels": labels_of(batch),
        "pix2pix": zoo.load("pix2pix-scenes").sample(batch["input"]),
        "pix2pixHD": made,
        "drawn": batch["target"],
    }
    write_picture(IMG / "pix2pixhd-scenes.png", grid(columns, least=160))
    yield "pix2pixhd-scenes", made
    if HAS_DATA:
        pairs, maps = PairFolder("facades", direction="BtoA", size=128), LabelMapFolder("facades", size=128)
        facades, model = first(maps, 6)["input"], zoo.load("pix2pixhd-facades-small").module
        columns = {
            "pix2pix": zoo.load("pix2pix-facades-small").sample(first(pairs, 6)["input"]),
            "pix2pixHD": model.sample(facades),  # type: ignore[operator]
        }
        write_picture(IMG / "pix2pixhd-facades.png", grid(columns))
        yield "pix2pixhd-facades-small", columns["pix2pixHD"]
        few = facades[:4]
        styles = {
            f"style {number}": model.sample(few, styles=torch.full_like(few[:, 0], number).long())  # type: ignore[operator]
            for number in STYLES
        }
        write_picture(IMG / "pix2pixhd-styles.png", grid(styles))
        edited(first(maps, 20)["input"].argmax(1))


def edited(maps: Tensor) -> None:
    """Outputs before and after shops become doors, of the first facade that is a tenth shops or more.

    The label maps are not shown: the data is for research only.
    """
    shop = list(FACADES).index("shop")
    labels = next(each for each in maps if float((each == shop).float().mean()) > 0.1)
    model = zoo.load("pix2pixhd-facades-small")
    made = torch.stack([model(labels).tensor, model(labels, relabel={"shop": "door"}).tensor])
    write_picture(IMG / "pix2pixhd-edit.png", mosaic(made, 2, least=256))
