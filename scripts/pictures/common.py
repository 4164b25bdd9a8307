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
from zoo.data.worlds.scenes import PALETTE

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


def trained(recipe: str, **overrides: Any) -> Pretrained:
    """The model of a recipe; its run is continued, or started if there is none."""
    folder = zoo.fit(recipe, resume="auto", wandb="off", **overrides)
    return zoo.load(str(folder / "checkpoints" / "last.ckpt"))
