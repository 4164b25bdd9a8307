"""Pictures of docs/cards/pix2pixhd.md."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from common import HAS_DATA, IMG, first, labels_of
from PIL import Image
from torch import Tensor

import zoo
from zoo.cli import main
from zoo.data.label_maps import LabelMapFolder
from zoo.data.pairs import PairFolder, ScenePairs
from zoo.data.worlds.scenes import CLASSES
from zoo.drawing.sheets import grid
from zoo.files.pictures import write_picture

EDITS = ["--relabel", "road=meadow"]
EDITS += [part for name in ("car", "mountain", "sky", "sun") for part in ("--style", f"{name}=2")]
EDITED = ("road", "car", "mountain", "sky", "sun")


def published() -> Iterator[Tensor]:
    """The first test scenes, an edited one, and facades of the first test label maps; beside pix2pix's."""
    batch = first(ScenePairs(size=64), 5)
    made = zoo.load("pix2pixhd-scenes").module.sample(batch["input"], 0, batch["instances"])  # type: ignore[operator]
    columns = {
        "labels": labels_of(batch),
        "pix2pix": zoo.load("pix2pix-scenes").sample(batch["input"]),
        "pix2pixHD": made,
        "drawn": batch["target"],
    }
    write_picture(IMG / "pix2pixhd-scenes.png", grid(columns, least=160))
    edited()
    yield made
    if HAS_DATA:
        pairs, maps = PairFolder("facades", direction="BtoA", size=128), LabelMapFolder("facades", size=128)
        columns = {
            "pix2pix": zoo.load("pix2pix-facades-small").sample(first(pairs, 6)["input"]),
            "pix2pixHD": zoo.load("pix2pixhd-facades-small").sample(first(maps, 6)["input"]),
        }
        write_picture(IMG / "pix2pixhd-facades.png", grid(columns))
        yield columns["pix2pixHD"]


def edited() -> None:
    """What `zoo sample` shows of a changed label and changed styles, on the first scene that has them all."""
    wanted = {CLASSES.index(name) for name in EDITED}
    maps = first(ScenePairs(size=64), 200)["labels"]
    labels = next(each for each in maps if wanted <= set(each.unique().tolist()))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.png"
        Image.fromarray(labels.numpy().astype("uint8")).save(path)
        out = str(IMG / "pix2pixhd-edit.png")
        main(["sample", "pix2pixhd-scenes", str(path), "-o", out, "--force", *EDITS])
