"""Pictures of docs/cards/gan_int_cls.md."""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch
from common import HAS_DATA, IMG
from torch import Tensor

import zoo
from zoo.checkpoints import Pretrained
from zoo.data.base import collate
from zoo.data.captions import Emoji
from zoo.drawing.sheets import captioned
from zoo.files.pictures import write_picture

DRAWS = 4


def published() -> Iterator[tuple[str, Tensor]]:
    """Every 16th test sentence of emoji; the first ones are keycaps and flags."""
    if HAS_DATA:
        test = Emoji(f"{os.environ['ZOO_DATA']}/emoji", size=32).split("test")
        assert test is not None
        batch = collate(test.__getitems__(list(range(0, len(test), 16))))
        made = beside(zoo.load("gan-int-cls-emoji"), "gan-int-cls-emoji.png", batch)
        yield "gan-int-cls-emoji", made


def beside(model: Pretrained, name: str, batch: dict[str, Tensor]) -> Tensor:
    """Draw four pictures of each of the data's vectors, beside the real one; returns the first of each."""
    made = torch.stack([model.module.sample(batch["text"], seed=draw) for draw in range(DRAWS)], dim=1)
    rows = torch.cat([batch["image"][:, None], made], dim=1).flatten(0, 1)
    write_picture(IMG / name, captioned(rows, titles(list(batch["caption"]), 1 + DRAWS), 1 + DRAWS))
    return made[:, 0]


def titles(words: list[str], columns: int = DRAWS) -> list[str]:
    """A title per picture: the sentence under the first of its row."""
    return [word if column == 0 else "" for word in words for column in range(columns)]
