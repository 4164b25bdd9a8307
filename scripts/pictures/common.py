"""What the pictures of several papers need."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import zoo
from zoo.checkpoints import Pretrained
from zoo.data.base import Batch, DataModule, collate
from zoo.data.images import ImageFolder
from zoo.data.worlds.scenes import PALETTE
from zoo.drawing.sheets import mosaic
from zoo.features.choose import feature_network
from zoo.metrics.formulas.memorisation import nearest_features
from zoo.metrics.neighbours import features

IMG = Path(__file__).parents[2] / "docs" / "cards" / "img"
HAS_DATA = "ZOO_DATA" in os.environ


def first(data: DataModule, count: int) -> Batch:
    """The first samples of the test split."""
    test = data.split("test")
    assert test is not None
    return collate(test.__getitems__(list(range(count))))


def labels_of(scenes: Batch) -> Tensor:
    """The label maps of drawn scenes in their colours, (B, 3, H, W) in [-1, 1]."""
    return (torch.tensor(PALETTE)[scenes["labels"]] / 127.5 - 1).movedim(-1, 1)


def beside_nearest(faces: Tensor, columns: int) -> Tensor:
    """Rows of faces (N, 3, H, W), each above the training faces nearest by features, mirrored or not."""
    train = ImageFolder(f"{os.environ['ZOO_DATA']}/faces_london", size=faces.shape[-1]).split("train")
    assert train is not None
    known = collate(train.__getitems__(list(range(len(train)))))["image"]
    known = torch.cat([known, known.flip(-1)])
    network = feature_network("effnet-lite0")
    _, index = nearest_features(features(network, [faces]), features(network, [known]))
    rows = zip(torch.split(faces, columns), torch.split(known[index], columns), strict=True)
    return mosaic(torch.cat([torch.cat(pair) for pair in rows]), columns)


def trained(recipe: str, **overrides: Any) -> Pretrained:
    """The model of a recipe; its run is continued, or started if there is none."""
    folder = zoo.fit(recipe, resume="auto", wandb="off", **overrides)
    return zoo.load(str(folder / "checkpoints" / "last.ckpt"))
