"""Draw the pictures of the cards: ``make pictures``, with ``ALL=1`` also those of experiments.

Pictures show the first held-out samples, or the samples of seed 0; none is picked. Those of published weights
take minutes. For experiments, the recipes that the cards name are trained first, or their runs are continued:
the digits take a minute, MNIST and the three runs of the ablation hours. Facades and MNIST are drawn if
ZOO_DATA has them, and facades without inputs and truth: that data is for research only.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import Tensor

import zoo
from zoo.checkpoints import Pretrained
from zoo.cli import main
from zoo.data.base import Batch, DataModule, collate
from zoo.data.label_maps.module import LabelMapFolder
from zoo.data.pairs.module import PairFolder
from zoo.data.pairs.world import ScenePairs
from zoo.data.superres.files import enlarge, shrink
from zoo.data.worlds.scenes import CLASSES, PALETTE
from zoo.drawing.sheets import grid, mosaic
from zoo.files.pictures import write_picture

IMG = Path(__file__).parents[1] / "docs" / "cards" / "img"
SCALE, WINDOW = 4, 112
PHOTOGRAPHS = ("china.jpg", "flower.jpg")  # come with scikit-learn (CC BY 2.0, danielbuechele)
EDITS = ["--relabel", "road=meadow"]
EDITS += [part for name in ("car", "mountain", "sky", "sun") for part in ("--style", f"{name}=2")]
EDITED = ("road", "car", "mountain", "sky", "sun")
ABLATION: dict[str, dict[str, Any]] = {"L1": {"adversarial": False}, "cGAN": {"lambda_l1": 0}, "L1+cGAN": {}}


def digits() -> None:
    """Digits of the published weights."""
    write_picture(IMG / "gan-digits.png", mosaic(zoo.load("gan-digits").sample(64), 8, least=48))


def enlarged() -> None:
    """Two windows at the middle height of each photograph: small, enlarged in three ways, and the truth."""
    models = {"SRResNet": zoo.load("srresnet-bsds-small"), "SRGAN": zoo.load("srgan-bsds-small")}
    columns: dict[str, list[Tensor]] = {}
    for name in PHOTOGRAPHS:
        photo = torch.from_numpy(load_sample_image(name).copy()).permute(2, 0, 1)
        photo = photo[:, : photo.shape[1] // SCALE * SCALE, : photo.shape[2] // SCALE * SCALE]
        low = shrink(photo, SCALE)[None].float() / 127.5 - 1
        made = {
            "low": F.interpolate(low, scale_factor=float(SCALE), mode="nearest-exact"),
            "bicubic": enlarge(low, SCALE),
            **{title: model.sample(low) for title, model in models.items()},
            "high": photo[None].float() / 127.5 - 1,
        }
        top = (photo.shape[1] - WINDOW) // 2
        for third in (1, 2):
            left = photo.shape[2] * third // 3 - WINDOW // 2
            for title, pictures in made.items():
                window = pictures[0, :, top : top + WINDOW, left : left + WINDOW]
                columns.setdefault(title, []).append(window)
    write_picture(
        IMG / "srgan-crops.png",
        grid({title: torch.stack(each) for title, each in columns.items()}, least=224),
    )


def painted() -> None:
    """pix2pix, and pix2pix and pix2pixHD, on the first held-out label maps."""
    batch = _first(ScenePairs(size=64), 8)
    ours = zoo.load("pix2pix-scenes").sample(batch["input"])
    labels = (torch.tensor(PALETTE)[batch["labels"]] / 127.5 - 1).movedim(-1, 1)
    columns = {"labels": labels, "pix2pix": ours, "truth": batch["target"]}
    write_picture(IMG / "pix2pix-scenes.png", grid(columns, least=128))
    hd = zoo.load("pix2pixhd-scenes").module
    made = hd.sample(batch["input"], 0, batch["instances"])  # type: ignore[operator]
    columns = {"labels": labels, "pix2pix": ours, "pix2pixHD": made, "truth": batch["target"]}
    columns = {title: pictures[:5] for title, pictures in columns.items()}
    write_picture(IMG / "pix2pixhd-scenes.png", grid(columns, least=160))


def edited() -> None:
    """What `zoo sample` shows of a changed label and changed styles, on the first scene that has them all."""
    wanted = {CLASSES.index(name) for name in EDITED}
    maps = _first(ScenePairs(size=64), 200)["labels"]
    labels = next(each for each in maps if wanted <= set(each.unique().tolist()))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.png"
        Image.fromarray(labels.numpy().astype("uint8")).save(path)
        out = str(IMG / "pix2pixhd-edit.png")
        main(["sample", "pix2pixhd-scenes", str(path), "-o", out, "--force", *EDITS])


def facades() -> None:
    """Facades of the first test label maps by pix2pix, and by both papers, without those."""
    pairs, maps = PairFolder("facades", direction="BtoA", size=128), LabelMapFolder("facades", size=128)
    ours = zoo.load("pix2pix-facades-small").sample(_first(pairs, 16)["input"])
    write_picture(IMG / "pix2pix-facades.png", mosaic(ours, 8))
    made = zoo.load("pix2pixhd-facades-small").sample(_first(maps, 6)["input"])
    write_picture(IMG / "pix2pixhd-facades.png", grid({"pix2pix": ours[:6], "pix2pixHD": made}))


def collapsed() -> None:
    """Digits of a collapsed generator and of the cured one."""
    for name, recipe in (("gan-collapse", "gan/collapse"), ("gan-collapse-cure", "gan/collapse_cure")):
        write_picture(IMG / f"{name}.png", mosaic(trained(recipe).sample(36), 6, least=48))


def mnist() -> None:
    """MNIST's digits by the released code's settings."""
    write_picture(IMG / "gan-mnist.png", mosaic(trained("gan/mnist").sample(64), 16, least=28))


def ablation() -> None:
    """pix2pix with L1 alone, with the adversarial loss alone, and with both, on the first test label maps."""
    batch = _first(PairFolder("facades", direction="BtoA", size=64), 6)
    models = {title: trained("pix2pix/facades_ablation", model=given) for title, given in ABLATION.items()}
    columns = {title: model.sample(batch["input"]) for title, model in models.items()}
    write_picture(IMG / "pix2pix-ablation.png", grid(columns, least=128))


def trained(recipe: str, **overrides: Any) -> Pretrained:
    """The model of a recipe; its run is continued, or started if there is none."""
    folder = zoo.fit(recipe, resume="auto", wandb="off", **overrides)
    return zoo.load(str(folder / "checkpoints" / "last.ckpt"))


def _first(data: DataModule, count: int) -> Batch:
    test = data.split("test")
    assert test is not None
    return collate(test.__getitems__(list(range(count))))


if __name__ == "__main__":
    everything, has_data = "--all" in sys.argv[1:], "ZOO_DATA" in os.environ
    for draw in (digits, enlarged, painted, edited, *[facades] * has_data):
        draw()
    for draw in (collapsed, *[mnist, ablation] * has_data) if everything else ():
        draw()
