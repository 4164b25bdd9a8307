"""Drawn shapes with sentences, whose meaning is known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Unpack

import torch

from zoo.bounds import PositiveInt, Seed
from zoo.data.base import LoaderOptions, Sample, Split
from zoo.data.captions.module import CaptionModule
from zoo.data.captions.samples import MatchSet, Wrong
from zoo.data.checks import at_least, one_of
from zoo.data.drawn import DrawnModule
from zoo.data.worlds import shapes
from zoo.features.text import TextChoice, TextEncoder

Mismatch = Literal["object", "scene"]
SENTENCES = 2000  # scenes from whose sentences a bag learns its words


class ShapesWorld(DrawnModule, CaptionModule):
    """One or two drawn objects with four sentences, see :mod:`zoo.data.worlds.shapes`; needs no files.

    The class of a scene, which its mismatch does not have, is the pair of the first object's shape and
    colour. 8 of the 48 pairs are in no split, unless ``unseen`` asks for them: then the first object of every
    scene is of one. Samples also hold ``attributes`` (8,) in the order of
    :data:`zoo.data.worlds.shapes.ATTRIBUTES`.

    Args:
        size: Pixels of each side.
        train_length: Scenes per epoch.
        eval_length: Scenes of validation, and as many others of test.
        world: Seed of the world. Validation and test depend on it alone.
        unseen: Give scenes of unseen pairs alone, for evaluation.
        wrong: Which mismatch to give: another picture, another text, or both.
        mismatch: Which scene is a mismatch: the same one with another first ``object``, by shape, colour or
            an exchange of colours, so that mismatches are fine-grained as among birds; or any ``scene`` of
            another class, most of which differ in background and everything else.
        average: Number of sentences whose vectors are averaged.
        text: Text encoder: a ``bag`` of words, a ``sentence`` transformer, a ``char``-CNN-RNN.
        text_words: Dimension of a bag of words.
        text_model: Name or folder of a ``sentence`` transformer; MiniLM from its package if not given.
        text_weights: Name, exported folder or file of ``char``; of a ``bag``, weights whose words to take,
            as a training that begins with them needs.
        text_run: Longest run of words that a bag of words counts.
        options: Options of every data module, see :class:`zoo.data.base.DataModule`.
    """

    name = "shapes"

    def __init__(
        self,
        size: PositiveInt = 64,
        train_length: PositiveInt = 20_000,
        eval_length: PositiveInt = 500,
        world: Seed = 0,
        unseen: bool = False,
        wrong: Wrong = "image",
        mismatch: Mismatch = "object",
        average: PositiveInt = 1,
        text: TextChoice = "bag",
        text_words: PositiveInt = 256,
        text_model: str | None = None,
        text_weights: str | None = None,
        text_run: PositiveInt = 2,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        one_of(Wrong, wrong=wrong)
        one_of(Mismatch, mismatch=mismatch)
        at_least(16, size=size)
        self.size, self.unseen, self.average = size, unseen, average
        self.wrong, self.mismatch = wrong, mismatch
        self.set_lengths(train_length, eval_length, world)
        self.set_text(text, text_words, text_model, text_weights, text_run)

    def sentences(self) -> Iterable[str]:
        """Sentences of seen pairs, from which a bag learns its words; those of another world."""
        return (
            sentence
            for index in range(SENTENCES if self.text == "bag" else 0)
            for sentence in shapes.draw(1, index, 1).captions
        )

    def draw(self, first: int, length: int, split: Split) -> ShapesSet:
        """Scenes ``first`` to ``first + length`` with their sentences."""
        return self.scenes(first, length, self.unseen)

    def scenes(self, first: int, length: int, unseen: bool) -> ShapesSet:
        """The same, of unseen pairs or of seen ones."""
        return ShapesSet(
            *(self.world, first, length, unseen, self.encoder()),
            *(self.size, self.wrong, self.mismatch, self.average),
        )

    def preprocessing(self) -> dict[str, Any]:
        """Size, pairs, mismatches, and how sentences are encoded."""
        settings = self.settings("size", "train_length", "world", "unseen", "wrong", "mismatch", "average")
        return settings | {"text": {"kind": self.text, **self.encoder().settings()}}


class ShapesSet(MatchSet):
    """Scenes ``first`` to ``first + length - 1`` of a world, drawn on demand.

    Args:
        world: Seed of the world.
        first: Index of the first scene.
        length: Number of scenes.
        unseen: Whether the first object is of an unseen pair.
        encoder: Makes the vectors.
        size: Pixels of each side.
        wrong: Which mismatch to give.
        mismatch: Which scene is one, see :class:`ShapesWorld`.
        average: Number of sentences whose vectors are averaged.
    """

    def __init__(
        self,
        world: int,
        first: int,
        length: int,
        unseen: bool,
        encoder: TextEncoder,
        size: int,
        wrong: Wrong,
        mismatch: Mismatch,
        average: int,
    ) -> None:
        plans = (shapes.plan(world, first + index, unseen) for index in range(length))
        super().__init__(size, wrong, average, classes=[plan.category for plan in plans])
        self.world, self.first, self.length = world, first, length
        self.unseen, self.encoder, self.mismatch = unseen, encoder, mismatch

    def load(self, index: int) -> Sample:
        """A scene in 8 bit with its sentences, their vectors, and its attributes."""
        scene = shapes.draw(self.world, self.first + index, self.size, self.unseen)
        return {
            "index": torch.tensor(index),
            "image": scene.picture,
            "captions": "\n".join(scene.captions),
            "texts": self.encoder.encode(list(scene.captions)),
            "attributes": scene.plan.attributes(),
        }

    def _mismatch(self, loaded: Sample, random: torch.Generator) -> Sample:
        """The same scene with one of three other first objects, drawn at random; or any of another class."""
        if self.mismatch == "scene":
            return super()._mismatch(loaded, random)
        index, number = int(loaded["index"]), int(torch.randint(3, (), generator=random))
        # negative keys: beside those of `load`
        return self.cached(-1 - 3 * index - number, self._mistaken)

    def _mistaken(self, key: int) -> Sample:
        index, number = divmod(-1 - key, 3)
        scene = shapes.mistaken(self.world, self.first + index, self.size, number, self.unseen)
        mistake: Sample = {"image": scene.picture}
        if self.wrong != "image":
            mistake["captions"] = "\n".join(scene.captions)
            mistake["texts"] = self.encoder.encode(list(scene.captions))
        return mistake

    def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
        """As every captioned sample, with the attributes."""
        return super().finish(loaded, random) | {"attributes": loaded["attributes"]}
