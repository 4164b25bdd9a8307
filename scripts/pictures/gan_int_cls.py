"""Pictures of docs/cards/gan_int_cls.md."""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch
from common import HAS_DATA, IMG, first
from torch import Tensor

import zoo
from zoo.checkpoints import Pretrained
from zoo.data.captions import Emoji, ShapesWorld
from zoo.drawing.sheets import captioned
from zoo.files.pictures import write_picture
from zoo.use.sentence import pictures

BASE = "a large red circle on a white background"
CHANGES = (("white", "black"), ("circle", "star"), ("red", "blue"), ("large", "small"))
DRAWS = 4


def published() -> Iterator[tuple[str, Tensor]]:
    """The first test sentences of drawn shapes and of emoji, and a sentence changed word by word."""
    shapes = zoo.load("gan-int-cls-shapes")
    made = beside(shapes, "gan-int-cls-shapes.png", first(ShapesWorld(size=32), 12))
    words = [BASE, *(BASE.replace(old, new) for old, new in CHANGES)]
    sheet = pictures(shapes, words, DRAWS, seed=0)
    write_picture(IMG / "gan-int-cls-words.png", captioned(sheet, titles(words), DRAWS))
    yield "gan-int-cls-shapes", made
    if HAS_DATA:
        data = Emoji(f"{os.environ['ZOO_DATA']}/emoji", size=32)
        made = beside(zoo.load("gan-int-cls-emoji"), "gan-int-cls-emoji.png", first(data, 12))
        yield "gan-int-cls-emoji", made


def beside(model: Pretrained, name: str, batch: dict[str, Tensor]) -> Tensor:
    """Draw four pictures of each sentence, beside the real one; returns the first of each."""
    words = list(batch["caption"])
    made = pictures(model, words, DRAWS, seed=0).unflatten(0, (-1, DRAWS))
    rows = torch.cat([batch["image"][:, None], made], dim=1).flatten(0, 1)
    write_picture(IMG / name, captioned(rows, titles(words, 1 + DRAWS), 1 + DRAWS))
    return made[:, 0]


def titles(words: list[str], columns: int = DRAWS) -> list[str]:
    """A title per picture: the sentence under the first of its row."""
    return [word if column == 0 else "" for word in words for column in range(columns)]
