"""Samples of the captions contract: a picture, a caption's vector, and a mismatch.

The data modules that give them stand in :mod:`zoo.data.captions`.
"""

from __future__ import annotations

from itertools import accumulate, chain
from pathlib import Path
from typing import Any, Literal, Required, TypedDict, Unpack, cast

import numpy as np
import torch
from torch import Tensor

from zoo.data.base import Sample, SampleSet
from zoo.data.captions.files import Captioned
from zoo.data.domains.files import Fit, squared
from zoo.data.worlds import scenes
from zoo.errors import UserError
from zoo.features.text import TextEncoder
from zoo.files.pictures import read_array
from zoo.seeds import mix

Wrong = Literal["image", "text", "both"]
Pixels = np.ndarray[Any, Any]
DRAWS = 32  # of a mismatch at random, before all others are gone through


class MatchOptions(TypedDict, total=False):
    """Arguments of :class:`MatchSet` that its subclasses pass on."""

    size: Required[int]
    wrong: Required[Wrong]
    average: int
    mirror: bool


class MatchSet(SampleSet):
    """Samples that are given with a mismatch; a subclass writes ``load`` and ``__len__``.

    ``load`` gives ``index``, ``image`` (3,S,S) of uint8, ``captions`` one a line, and their vectors
    ``texts`` (K,D).

    Args:
        size: Pixels of each side of what a batch holds.
        wrong: Which of ``wrong_image`` and ``wrong_text`` to give.
        average: So many captions' vectors are averaged; all, where a picture has fewer.
        mirror: Mirror at random.
        classes: A class number of each sample, where classes are known: a mismatch is of another one.
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
        """``image``, ``text``, ``caption`` and the mismatch; without ``random`` always the same ones."""
        index = int(loaded["index"])
        other = self._mismatch(loaded, random or torch.Generator().manual_seed(mix("mismatch", index)))
        text, caption = self._text(loaded, random)
        sample: Sample = {"image": self._image(loaded, random), "text": text, "caption": caption}
        if self.wrong != "text":
            sample["wrong_image"] = self._image(other, random)
        if self.wrong != "image":
            sample["wrong_text"] = self._text(other, random)[0]
        return sample

    def _mismatch(self, loaded: Sample, random: torch.Generator) -> Sample:
        """Another sample, drawn, that shares neither class nor caption."""
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
        """The picture (3, size, size) in bytes: its middle, or in training any part, mirrored or not."""
        image: Tensor = loaded["image"]
        spare = image.shape[1] - self.size
        top = left = spare // 2
        mirrored = False
        if random is not None:
            top, left, coin = (int(torch.randint(n, (), generator=random)) for n in (spare + 1, spare + 1, 2))
            mirrored = self.mirror and coin == 1
        cut = image[:, top : top + self.size, left : left + self.size]
        return cut.flip(-1) if mirrored else cut

    def _text(self, loaded: Sample, random: torch.Generator | None) -> tuple[Tensor, str]:
        """The mean vector of some captions, and the first of these: the first ones, or in training any."""
        vectors, captions = loaded["texts"], loaded["captions"].split("\n")
        count = len(captions)
        order = range(count) if random is None else torch.randperm(count, generator=random).tolist()
        chosen = list(order[: self.average])
        return vectors[chosen].mean(0), captions[chosen[0]]


class CaptionSet(MatchSet):
    """The captioned pictures of one split.

    Args:
        records: The pictures.
        vectors: Of all captions of all pictures, in their order.
        load_size: Pixels of each side before the cut.
        fit: How a picture becomes square.
        background: Level below what is transparent, and beside what is padded.
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
        """Number of pictures."""
        return len(self.records)

    def files(self) -> list[Path]:
        """The pictures; their captions are among the settings, by the hash of all."""
        return [record.picture for record in self.records]

    def load(self, index: int) -> Sample:
        """The picture, square, over the background, with all captions and their vectors.

        Raises:
            UserError: The picture is unreadable, or has other than 1 to 4 channels.
        """
        record = self.records[index]
        end = self._ends[index]
        pixels = torch.from_numpy(read_record(record, self.background)).permute(2, 0, 1)
        image, _ = squared(pixels, self.load_size, self.fit, self.background)
        return {
            "index": torch.tensor(index),
            "image": image,
            "captions": "\n".join(record.captions),
            "texts": self.vectors[end - len(record.captions) : end],
        }


def read_record(record: Captioned, background: int) -> Pixels:
    """The picture, cut to its box, as RGB (H, W, 3) of 8 bit over a background.

    Raises:
        UserError: It is unreadable, or has other than 1 to 4 channels.
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
    """Scenes ``first`` to ``first + length`` of a world, drawn when asked for.

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

    def __len__(self) -> int:
        """Number of scenes."""
        return self.length

    def load(self, index: int) -> Sample:
        """A scene in 8 bit, with its caption and the caption's vector."""
        scene = scenes.draw(self.world, self.first + index, self.size)
        return {
            "index": torch.tensor(index),
            "image": to_bytes(scene.picture),
            "captions": scene.caption,
            "texts": self.encoder.encode([scene.caption]),
        }


def to_bytes(picture: Tensor) -> Tensor:
    """A picture in [-1, 1] in eight bits, as a file would hold it."""
    return ((picture + 1) * 127.5).round().byte()
