"""Drawn landscapes with sentences."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Unpack

from zoo.bounds import PositiveInt, Seed
from zoo.data.base import LoaderOptions, Split
from zoo.data.captions.module import CaptionModule
from zoo.data.captions.samples import SceneSet, Wrong
from zoo.data.checks import at_least, one_of
from zoo.data.drawn import DrawnModule
from zoo.data.pixels import to_bytes
from zoo.data.worlds import scenes
from zoo.features.text import TextChoice

SENTENCES = 2000  # from which a bag learns the words of drawn scenes


class SceneCaptions(DrawnModule, CaptionModule):
    """Drawn landscapes with sentences that describe them; needs no files.

    Splits share no scene. One caption a scene; the mismatch is another scene with another caption, which is
    drawn too, so that a sample costs two drawings unless they are kept (``cache``) or packed.

    Args:
        size: Pixels of each side.
        train_length: Scenes per epoch.
        eval_length: Scenes of validation, and as many others of test.
        world: Seed of the world. Validation and test depend on it alone.
        wrong: Which mismatch to give: another picture, another text, or both.
        text: Text encoder: a ``bag`` of words, a ``sentence`` transformer, a ``char``-CNN-RNN.
        text_words: Dimension of a bag of words; the captions have fewer than 512 words and word pairs.
        text_model: Name or folder of a ``sentence`` transformer; MiniLM from its package if not given.
        text_weights: Name, exported folder or file of ``char``; of a ``bag``, weights whose words to take,
            as a training that begins with them needs.
        text_run: Longest run of words that a bag of words counts.
        options: Options of every data module, see :class:`zoo.data.base.DataModule`.
    """

    name = "scenes"

    def __init__(
        self,
        size: PositiveInt = 64,
        train_length: PositiveInt = 2000,
        eval_length: PositiveInt = 200,
        world: Seed = 0,
        wrong: Wrong = "image",
        text: TextChoice = "bag",
        text_words: PositiveInt = 512,
        text_model: str | None = None,
        text_weights: str | None = None,
        text_run: PositiveInt = 2,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        one_of(Wrong, wrong=wrong)
        at_least(16, size=size)
        self.size, self.wrong = size, wrong
        self.set_lengths(train_length, eval_length, world)
        self.set_text(text, text_words, text_model, text_weights, text_run)

    def sentences(self) -> Iterable[str]:
        """Sentences that belong to no scene, from which a bag learns its words."""
        return scenes.sentences(SENTENCES) if self.text == "bag" else ()

    def draw(self, first: int, length: int, split: Split) -> SceneSet:
        """Scenes ``first`` to ``first + length`` with their captions."""
        return SceneSet(self.world, first, length, self.encoder(), size=self.size, wrong=self.wrong)

    def preprocessing(self) -> dict[str, Any]:
        """Size, mismatches, and how captions are encoded."""
        settings = self.settings("size", "train_length", "world", "wrong")
        return settings | {"text": {"kind": self.text, **self.encoder().settings()}}

    def fingerprint(self) -> str:
        """SHA-256 over the first pictures and captions."""
        digest = hashlib.sha256()
        for index in range(4):
            scene = scenes.draw(self.world, index, self.size)
            digest.update(to_bytes(scene.picture).numpy().tobytes() + scene.caption.encode())
        return digest.hexdigest()
