"""Samples of the captions contract: a picture, a caption's vector, and a mismatch.

The data modules are in :mod:`zoo.data.captions`.
"""

from __future__ import annotations

from itertools import accumulate, chain
from pathlib import Path
from typing import Literal, Required, TypedDict, Unpack, cast

import numpy as np
import torch
from torch import Tensor

from zoo.bounds import PositiveInt
from zoo.data.base import Sample, SampleSet
from zoo.data.captions.files import Captioned
from zoo.data.pixels import Fit, Pixels, cut, draw_jitter, middle, squared, to_bytes
from zoo.data.worlds import scenes
from zoo.errors import UserError
from zoo.features.text import TextEncoder
from zoo.files.pictures import read_array
from zoo.seeds import mix

Wrong = Literal["image", "text", "both"]
DRAWS = 32  # random tries to find a mismatch, before all samples are searched in order


class MatchOptions(TypedDict, total=False):
    """Arguments of :class:`MatchSet` that its subclasses pass on."""

    size: Required[PositiveInt]
    wrong: Required[Wrong]
    average: PositiveInt
    mirror: bool


class MatchSet(SampleSet):
    """Samples with a mismatch; a subclass writes ``load`` and ``__len__``.

    ``load`` gives ``index``, ``image`` (3, S, S) of uint8, ``captions`` one per line, and their vectors
    ``texts`` (K, D).

    Args:
        size: Pixels of each side of a sample.
        wrong: Which of ``wrong_image`` and ``wrong_text`` to give.
        average: Number of captions whose vectors are averaged; all, if a picture has fewer.
        mirror: Mirror with probability 1/2 in training.
        classes: Class number of each sample, if classes are known: a mismatch then has another class.
    """

    def __init__(
        self,
        size: int,
        wrong: Wrong,
        average: int = 1,
        mirror: bool = False,
        classes: list[int] | None = None,
    ) -> None:
        self.size, self.wrong, self.average, self.mirror = size, wrong, average, mirror
        self.classes = classes if classes and len(set(classes)) > 1 else None

    def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
        """``image``, ``text``, ``caption``, the mismatch, and ``category`` if classes are known.

        Without ``random`` always the same ones.
        """
        index = int(loaded["index"])
        other = self._mismatch(loaded, random or torch.Generator().manual_seed(mix("mismatch", index)))
        text, caption = self._text(loaded, random)
        sample: Sample = {"image": self._image(loaded, random), "text": text, "caption": caption}
        if self.classes:
            sample["category"] = torch.tensor(self.classes[index])
        if self.wrong != "text":
            sample["wrong_image"] = self._image(other, random)
        if self.wrong != "image":
            sample["wrong_text"] = self._text(other, random)[0]
        return sample

    def _mismatch(self, loaded: Sample, random: torch.Generator) -> Sample:
        """Another sample, drawn at random, that shares neither class nor caption."""
        index, mine = int(loaded["index"]), set(loaded["captions"].split("\n"))
        drawn = (int(torch.randint(len(self), (), generator=random)) for _ in range(DRAWS))
        for other in chain(drawn, range(len(self))):
            if other == index or (self.classes and self.classes[other] == self.classes[index]):
                continue
            candidate = self._loaded(other)
            if mine.isdisjoint(candidate["captions"].split("\n")):
                return candidate
        first = loaded["captions"].split("\n")[0]
        raise UserError(
            f"No picture is a mismatch of the caption “{first}”: each of this split shares its class "
            "or a caption; give pictures with other captions."
        )

    def _image(self, loaded: Sample, random: torch.Generator | None) -> Tensor:
        """The picture (3, size, size) in bytes: its centre, or in training a random crop, mirrored or not."""
        image: Tensor = loaded["image"]
        if random is None:
            return middle(image, self.size, self.size)
        spare = image.shape[1] - self.size
        top, left, mirrored = draw_jitter(spare, spare, self.mirror, random)
        crop = cut(image, top, left, self.size, self.size)
        return crop.flip(-1) if mirrored else crop

    def _text(self, loaded: Sample, random: torch.Generator | None) -> tuple[Tensor, str]:
        """The mean vector of some captions, and one of these: the first ones, or in training random ones."""
        vectors, captions = loaded["texts"], loaded["captions"].split("\n")
        count = len(captions)
        order = range(count) if random is None else torch.randperm(count, generator=random).tolist()
        chosen = list(order[: self.average])
        return vectors[chosen].mean(0), captions[chosen[0]]


class CaptionSet(MatchSet):
    """The captioned pictures of one split.

    Args:
        records: The pictures.
        vectors: Vectors of all captions of all pictures, in their order.
        load_size: Pixels of each side before the crop.
        fit: How a picture becomes square.
        background: Value under transparency and of padding.
        match: Arguments of :class:`MatchSet`.
    """

    def __init__(
        self,
        records: list[Captioned],
        vectors: Tensor,
        load_size: int,
        fit: Fit,
        background: int,
        **match: Unpack[MatchOptions],
    ) -> None:
        names = sorted({record.category for record in records if record.category is not None})
        known = all(record.category is not None for record in records)
        classes = [names.index(cast(str, record.category)) for record in records] if known else None
        super().__init__(**match, classes=classes)
        self.records, self.vectors = records, vectors
        self.load_size, self.fit, self.background = load_size, fit, background
        self._ends = list(accumulate(len(record.captions) for record in records))

    def __len__(self) -> int:
        return len(self.records)

    def files(self) -> list[Path]:
        """The pictures; their captions are in the fingerprint."""
        return [record.picture for record in self.records]

    def load(self, index: int) -> Sample:
        """The picture, square, over the background, with all captions and their vectors.

        Raises:
            UserError: The picture is unreadable or has more than four channels.
        """
        record = self.records[index]
        end = self._ends[index]
        pixels = torch.from_numpy(read_record(record, self.background)).permute(2, 0, 1)
        image, _ = squared(pixels, self.load_size, self.fit, self.background, record.picture)
        return {
            "index": torch.tensor(index),
            "image": image,
            "captions": "\n".join(record.captions),
            "texts": self.vectors[end - len(record.captions) : end],
        }


def read_record(record: Captioned, background: int) -> Pixels:
    """The picture, cropped to its box, as 8-bit RGB (H, W, 3) over a background.

    Raises:
        UserError: It is unreadable or has more than four channels.
    """
    pixels = read_array(record.picture)
    if record.box:
        left, top, right, bottom = record.box
        pixels = pixels[max(top, 0) : bottom, max(left, 0) : right]
    channels = pixels.shape[2]
    if channels > 4:
        raise UserError(f"{record.picture} has {channels} channels; convert it to grey, RGB or RGBA.")
    if pixels.dtype == np.uint16:
        pixels = ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    if channels in (2, 4):
        alpha = pixels[:, :, -1:].astype(np.uint32)
        over = (pixels[:, :, :-1] * alpha + background * (255 - alpha) + 127) // 255
        pixels = over.astype(np.uint8)
    return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)


class SceneSet(MatchSet):
    """Scenes ``first`` to ``first + length - 1`` of a world, drawn on demand.

    Args:
        world: Seed of the world.
        first: Index of the first scene.
        length: Number of scenes.
        encoder: Makes the vectors.
        match: Arguments of :class:`MatchSet`.
    """

    def __init__(
        self, world: int, first: int, length: int, encoder: TextEncoder, **match: Unpack[MatchOptions]
    ) -> None:
        super().__init__(**match)
        self.world, self.first, self.length, self.encoder = world, first, length, encoder

    def load(self, index: int) -> Sample:
        """A scene in 8 bit, with its caption and the caption's vector."""
        scene = scenes.draw(self.world, self.first + index, self.size)
        return {
            "index": torch.tensor(index),
            "image": to_bytes(scene.picture),
            "captions": scene.caption,
            "texts": self.encoder.encode([scene.caption]),
        }
