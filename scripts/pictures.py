"""Draw the pictures of the cards in which published models stand side by side (``make pictures``).

Facades are drawn where ZOO_DATA has them, and without inputs and truth: that data is for research only.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import Tensor

import zoo
from zoo.cli import main
from zoo.data.base import Batch, DataModule, collate
from zoo.data.label_maps.module import LabelMapFolder
from zoo.data.pairs.module import PairFolder
from zoo.data.pairs.world import ScenePairs
from zoo.data.superres.files import enlarge, shrink
from zoo.data.worlds import scenes
from zoo.drawing.sheets import grid
from zoo.files.pictures import write_picture

IMG = Path(__file__).parents[1] / "docs" / "cards" / "img"
SCALE, WINDOW = 4, 112
# photographs that come with scikit-learn (CC BY 2.0, danielbuechele), and corners of what is shown of them
CROPS = {"china.jpg": ((60, 180), (250, 420)), "flower.jpg": ((120, 250),)}
SCENES = (3, 11, 17, 29, 42)
EDITED = 8  # a scene with a road
EDITS = ["--relabel", "road=meadow"]
EDITS += [part for name in ("car", "mountain", "sky", "sun") for part in ("--style", f"{name}=2")]
FACADES = (2, 15, 33, 47, 60, 81)


def enlarged() -> None:
    """Windows of photographs: small, and enlarged in three ways, beside the truth."""
    models = {"SRResNet": zoo.load("srresnet-bsds-small"), "SRGAN": zoo.load("srgan-bsds-small")}
    columns: dict[str, list[Tensor]] = {}
    for name, corners in CROPS.items():
        photo = torch.from_numpy(load_sample_image(name).copy()).permute(2, 0, 1)
        photo = photo[:, : photo.shape[1] // SCALE * SCALE, : photo.shape[2] // SCALE * SCALE]
        low = shrink(photo, SCALE)[None].float() / 127.5 - 1
        made = {
            "low": F.interpolate(low, scale_factor=float(SCALE), mode="nearest-exact"),
            "bicubic": enlarge(low, SCALE),
            **{title: model.sample(low) for title, model in models.items()},
            "high": photo[None].float() / 127.5 - 1,
        }
        for top, left in corners:
            for title, pictures in made.items():
                window = pictures[0, :, top : top + WINDOW, left : left + WINDOW]
                columns.setdefault(title, []).append(window)
    write_picture(
        IMG / "srgan-crops.png",
        grid({title: torch.stack(each) for title, each in columns.items()}, least=224),
    )


def painted() -> None:
    """pix2pix and pix2pixHD on the same label maps."""
    batch = _batch(ScenePairs(size=64), SCENES)
    hd = zoo.load("pix2pixhd-scenes").module
    columns = {
        "labels": batch["input"],
        "pix2pix": zoo.load("pix2pix-scenes").sample(batch["input"]),
        "pix2pixHD": hd.sample(batch["input"], 0, batch["instances"]),  # type: ignore[operator]
        "truth": batch["target"],
    }
    write_picture(IMG / "pix2pixhd-scenes.png", grid(columns, least=160))


def edited() -> None:
    """What `zoo sample` shows of a changed label and changed styles."""
    with tempfile.TemporaryDirectory() as folder:
        labels = Path(folder) / "labels.png"
        Image.fromarray(scenes.draw(0, EDITED, 64).labels.numpy().astype("uint8")).save(labels)
        out = str(IMG / "pix2pixhd-edit.png")
        main(["sample", "pix2pixhd-scenes", str(labels), "-o", out, "--force", *EDITS])


def facades() -> None:
    """Both papers' facades of the same test label maps, without those."""
    root = str(Path(os.environ["ZOO_DATA"]) / "facades")
    sets = {
        "pix2pix": (zoo.load("pix2pix-facades-small"), PairFolder(root, direction="BtoA", size=128)),
        "pix2pixHD": (zoo.load("pix2pixhd-facades-small"), LabelMapFolder(root, size=128)),
    }
    columns = {title: model.sample(_batch(data, FACADES)["input"]) for title, (model, data) in sets.items()}
    write_picture(IMG / "pix2pixhd-facades.png", grid(columns))


def _batch(data: DataModule, places: tuple[int, ...]) -> Batch:
    test = data.split("test")
    assert test is not None
    return collate(test.__getitems__(list(places)))


if __name__ == "__main__":
    enlarged()
    painted()
    edited()
    if "ZOO_DATA" in os.environ:
        facades()
