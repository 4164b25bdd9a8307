"""Pictures of docs/cards/srgan.md."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from common import IMG
from sklearn.datasets import load_sample_image
from torch import Tensor

import zoo
from zoo.data.superres.files import enlarge, shrink
from zoo.drawing.sheets import grid
from zoo.files.pictures import write_picture

SCALE, WINDOW = 4, 112
PHOTOGRAPHS = ("china.jpg", "flower.jpg")  # come with scikit-learn (CC BY 2.0, danielbuechele)


def published() -> Iterator[tuple[str, Tensor]]:
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
            "photograph": photo[None].float() / 127.5 - 1,
        }
        top = (photo.shape[1] - WINDOW) // 2
        for third in (1, 2):
            left = photo.shape[2] * third // 3 - WINDOW // 2
            for title, pictures in made.items():
                window = pictures[0, :, top : top + WINDOW, left : left + WINDOW]
                columns.setdefault(title, []).append(window)
    shown = {title: torch.stack(each) for title, each in columns.items()}
    write_picture(IMG / "srgan-crops.png", grid(shown, least=224))
    yield "srgan-bsds-small", shown["SRGAN"]
