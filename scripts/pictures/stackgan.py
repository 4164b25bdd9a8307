"""Pictures of docs/cards/stackgan.md."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from common import IMG
from gan_int_cls import beside
from torch import Tensor

import zoo
from zoo.data.base import collate
from zoo.data.captions import ShapesWorld
from zoo.drawing.sheets import captioned
from zoo.files.pictures import write_picture
from zoo.use.sentence import vectors

ROWS = 12
SENTENCE = "a large red circle on a white background"
CHANGES = {
    "red": ["orange", "yellow", "green", "blue", "purple", "pink", "brown"],
    "circle": ["square", "triangle", "star", "cross", "ring"],
    "white": ["grey", "black", "cream"],
    "large": ["small"],
}  # a word of the sentence, and what it becomes


def published() -> Iterator[tuple[str, Tensor]]:
    """The first test sentences of drawn shapes, and one sentence with a word changed."""
    model = zoo.load("stackgan-shapes")
    test = ShapesWorld(size=32, text_words=1024, text_run=4).split("test")
    assert test is not None
    batch = collate(test.__getitems__(list(range(ROWS))))
    yield "stackgan-shapes", beside(model, "stackgan-shapes.png", batch)
    sentences = [SENTENCE, *(SENTENCE.replace(old, new) for old, many in CHANGES.items() for new in many)]
    words = [SENTENCE, *(new for many in CHANGES.values() for new in many)]
    made = torch.cat([model.module.sample(text[None], seed=0) for text in vectors(model, sentences)])
    write_picture(IMG / "stackgan-words.png", captioned(made, words, 6))
