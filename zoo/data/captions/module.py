"""Captions {image, text, wrong_image and/or wrong_text, caption}: pictures with sentences.

``text`` is the vector of a caption (:mod:`zoo.features.text`). The wrong image is another picture, of another
class if classes are known, that shares no caption with the right one: the mismatch that the matching-aware
discriminator of GAN-INT-CLS (https://arxiv.org/abs/1605.05396, section 4.2) learns to reject. Your own folder
is one of::

    birds/                     birds/                      birds/
      captions.csv               captions.jsonl              finch/            a folder is a class;
      finch.png                  images/                       1.jpg           none is needed
      images/heron.png             finch.png                   1.txt           one caption per line

    captions.csv                       captions.jsonl
      image,caption,class                {"image": "finch.png", "captions": ["a red finch", "a small bird"]}
      finch.png,a red finch,songbird     {"image": "heron.png", "caption": "a grey heron", "class": "wader"}
      finch.png,a small bird,songbird
      heron.png,a grey heron,wader

or has folders ``train``, ``val`` and ``test`` with one of these each. ``class`` (or ``category``) and
``split`` are optional; ``file_name`` and ``text`` are accepted for ``image`` and ``caption``, and
``metadata.csv`` or ``metadata.jsonl`` as names of the file. Files are UTF-8. Pictures are PNG, JPEG, TIFF,
WebP, BMP or NPY, 8 or 16 bit, and become 8-bit RGB.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, ClassVar, Literal, Unpack, cast

import torch
from torch import Tensor

from zoo.bounds import NonNegativeInt, PositiveInt
from zoo.data.base import DataModule, LoaderOptions, Sample, Split
from zoo.data.captions.files import CAPTION, EXPECTED, PICTURE, TABLES, Captioned, Found, read_folder
from zoo.data.captions.samples import CaptionSet, Wrong, read_record
from zoo.data.checks import Facts, Findings, at_least, examine, one_of, picture_facts, require_training
from zoo.data.folders import SPLITS, find_root, folder_fingerprint, header_of, require_hold_out, split_of
from zoo.data.pixels import Fit, require_load_size
from zoo.drawing.sheets import captioned
from zoo.errors import UserError
from zoo.features.text import TextChoice, TextEncoder, cached_vectors, text_encoder
from zoo.files.pictures import PICTURE_SUFFIXES, read_array
from zoo.files.writing import cache_folder
from zoo.recipes import public_path
from zoo.seeds import mix

Background = Literal["white", "grey", "black"]
SplitBy = Literal["image", "class"]
LEVELS: dict[Background, int] = {"white": 255, "grey": 128, "black": 0}


class CaptionOptions(LoaderOptions, total=False):
    """Arguments of :class:`CaptionFolder` that the known sets pass on."""

    load_size: PositiveInt | None
    fit: Fit
    background: Background
    mirror: bool
    split_by: SplitBy
    hold_out: NonNegativeInt
    wrong: Wrong
    average: PositiveInt
    text: TextChoice
    text_words: PositiveInt
    text_model: str | None
    text_weights: str | None
    text_run: PositiveInt


class CaptionModule(DataModule):
    """Base of this contract's modules: the text encoder, and how samples are shown."""

    contract: ClassVar[str] = "captions"

    def set_text(
        self, text: TextChoice, words: int, model: str | None, weights: str | None, run: int
    ) -> None:
        """Choose the text encoder, as the arguments ``text…`` of :class:`CaptionFolder` say."""
        self.text, self.text_words, self.text_run = text, words, run
        self.text_model, self.text_weights = model, weights
        self._encoder: TextEncoder | None = None

    def sentences(self) -> Iterable[str]:
        """The sentences to which a bag of words is fitted."""
        raise NotImplementedError

    def encoder(self) -> TextEncoder:
        """The text encoder, made once."""
        if self._encoder is None:
            self._encoder = text_encoder(
                *(self.text, self.sentences(), self.text_words, self.text_model, self.text_weights),
                run=self.text_run,
            )
        return self._encoder

    def sheet(self, samples: list[Sample]) -> Tensor:
        """Pictures with their captions below."""
        images = torch.stack([sample["image"] for sample in samples])
        return captioned(images, [sample["caption"] for sample in samples])


class CaptionFolder(CaptionModule):
    """Pictures with captions from a folder; its layouts are listed at the top of the file.

    If the folder states no splits, some pictures, or some whole classes, are held out: the same ones on every
    machine. In training the caption, the crop, the mirroring and the mismatch are drawn for each sample.

    Args:
        root: The folder.
        size: Pixels of each side of a sample.
        load_size: Pixels of each side of a training picture before a random crop; ``size`` when not given.
        fit: How a picture becomes square: ``pad`` with the background, ``crop`` its middle, or ``stretch``.
        background: Colour under transparent parts and of padding.
        mirror: Mirror training pictures with probability 1/2; not for pictures of letters, or captions that
            say left and right.
        split_by: Hold out single pictures, or whole classes as Reed does for birds and flowers.
        hold_out: One in this many pictures (or classes) is for test, one for validation; 0 holds out none.
        wrong: Which mismatch to give: another picture, another text, or both.
        average: Number of captions whose vectors are averaged; GAN-INT-CLS and StackGAN take 4 for birds and
            flowers.
        text: Text encoder: a ``bag`` of words, a ``sentence`` transformer, a ``char``-CNN-RNN.
        text_words: Dimension of a bag of words.
        text_model: Name or folder of a ``sentence`` transformer; MiniLM from its package when not given.
        text_weights: Name, exported folder or file of ``char``; of a ``bag``, weights whose words to take,
            as a training that begins with them needs.
        text_run: Longest run of words that a bag of words counts.
        name: Name of the data; the folder's name when not given.
        licence: Licence of pictures and captions, stored in checkpoints; unknown when not given.
        research_only: False only if the licence allows commercial use.
        options: Options of every data module.
    """

    expected: ClassVar[str] = EXPECTED  # of the folder

    def __init__(
        self,
        root: str,
        size: PositiveInt = 64,
        load_size: PositiveInt | None = None,
        fit: Fit = "pad",
        background: Background = "white",
        mirror: bool = False,
        split_by: SplitBy = "image",
        hold_out: NonNegativeInt = 10,
        wrong: Wrong = "image",
        average: PositiveInt = 1,
        text: TextChoice = "bag",
        text_words: PositiveInt = 512,
        text_model: str | None = None,
        text_weights: str | None = None,
        text_run: PositiveInt = 2,
        name: str | None = None,
        licence: str | None = None,
        research_only: bool = True,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        one_of(Fit, fit=fit)
        one_of(Background, background=background)
        one_of(SplitBy, split_by=split_by)
        one_of(Wrong, wrong=wrong)
        at_least(1, size=size, average=average)
        require_load_size(load_size or size, size)
        require_hold_out(hold_out)
        self.root = find_root(root)
        self.size, self.load_size = size, load_size or size
        self.fit, self.background = fit, background
        self.mirror, self.split_by, self.hold_out = mirror, split_by, hold_out
        self.wrong, self.average = wrong, average
        self.set_text(text, text_words, text_model, text_weights, text_run)
        self.name = name or self.root.resolve().name
        self.licence, self.research_only = licence or self.licence, research_only
        self._found: Found | None = None

    @classmethod
    def read(cls, root: Path) -> Found:
        """The pictures and captions of a folder; a known set's class reads its own layout."""
        return read_folder(root)

    def read_root(self) -> Found:
        """The pictures and captions that this module's settings select."""
        return self.read(self.root)

    def found(self) -> Found:
        """The pictures and captions of the folder, read once.

        Raises:
            UserError: The folder does not exist, holds nothing, or has a fault.
        """
        if self._found is None:
            if not self.root.is_dir():
                raise UserError(f"The folder {self.root} does not exist; change data.root: {self.expected}.")
            found = self.read_root()
            if found.faults:
                first, more = found.faults[0].text, len(found.faults) - 1
                also = f" ({more} more faults: zoo data check {self.root})." if more else "."
                raise UserError(first.removesuffix(".") + also)
            if not found.records:
                raise UserError(f"The folder {self.root} holds no captioned picture; {EXPECTED}.")
            self._found = found
        return self._found

    def records(self, split: Split) -> list[Captioned]:
        """The captioned pictures of a split.

        Raises:
            UserError: Classes are to be held out, but a picture has none.
        """
        records = self.found().records
        if any(record.split for record in records):
            return [record for record in records if (record.split or "train") == split]
        units = [record.picture.relative_to(self.root).as_posix() for record in records]
        if self.split_by == "class":
            without = next((record for record in records if record.category is None), None)
            if without:
                raise UserError(
                    f"{without.picture} has no class, so data.split_by cannot be class; take image."
                )
            units = [cast(str, record.category) for record in records]
        # by hash: added pictures change the split of few, and neighbours are not held out together
        order = sorted(set(units), key=lambda unit: mix("held out", unit))
        places = {unit: place for place, unit in enumerate(order)}
        return [
            record
            for record, unit in zip(records, units, strict=True)
            if split_of(places[unit], self.hold_out, len(places)) == split
        ]

    def sentences(self) -> Iterable[str]:
        """The training captions."""
        return (caption for record in self.records("train") for caption in record.captions)

    def dataset(self, split: Split) -> CaptionSet | None:
        """The captioned pictures of a split; None if none are held out.

        Raises:
            UserError: Nothing is left for training.
        """
        records = self.records(split)
        if not records:
            if split == "train":
                raise UserError(f"{self.root} has no picture for training; put some into its split train.")
            return None
        captions = [caption for record in records for caption in record.captions]
        return CaptionSet(
            records,
            cached_vectors(self.encoder(), captions, cache_folder() / "text"),
            load_size=self.load_size if split == "train" else self.size,
            fit=self.fit,
            background=LEVELS[self.background],
            size=self.size,
            wrong=self.wrong,
            average=self.average,
            mirror=self.mirror,
        )

    def preprocessing(self) -> dict[str, Any]:
        """How pictures are cut, captions are matched, and text becomes vectors."""
        return {
            **self.settings("size", "load_size", "fit", "background", "mirror"),
            **self.settings("split_by", "hold_out", "wrong", "average"),
            "text": {"kind": self.text, **self.encoder().settings()},
            "layout": self.found().layout,
        }

    def fingerprint(self) -> str:
        """SHA-256 over names and sizes of the pictures, and over the captions."""
        records = self.found().records
        digest = hashlib.sha256(folder_fingerprint([r.picture for r in records], self.root).encode())
        digest.update(repr([(r.captions, r.category, r.split, r.box) for r in records]).encode())
        return digest.hexdigest()

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether there is a table of captions, or a text file beside a picture, judged by a few names."""
        for folder in [root, *(root / split for split in SPLITS)]:
            for table in (folder / name for name in TABLES):
                if table.is_file() and (table.suffix == ".jsonl" or table.stem == "captions"):
                    return True  # whatever its columns are called: the check says so
                if all(set(names) & set(header_of(table)) for names in (PICTURE, CAPTION)):
                    return True
            some = islice((p for p in folder.rglob("*.txt") if not p.name.startswith(".")), 20)
            if any(text.with_suffix(suffix).is_file() for text in some for suffix in PICTURE_SUFFIXES):
                return True
        return False

    @classmethod
    def check(cls, root: Path) -> Findings:
        """Check every picture and every caption of a folder."""
        read = cls.read(root)
        found = Findings(cls.contract, read.layout, public_path(cls))
        found.errors += read.faults
        found.notes += read.notes
        for split in SPLITS:
            records = [record for record in read.records if (record.split or "train") == split]
            if records:
                examine(found, split, records, _facts, lambda record: [record.picture])
        require_training(found, root, EXPECTED)
        if found.facts:
            usual = median(min(fact.size) for fact in found.facts)
            found.arguments["size"] = min(max(2 ** int(math.log2(usual)), 16), 256)
        return found


def _facts(record: Captioned) -> list[Facts]:
    pixels = read_array(record.picture)
    read_record(record, 255)
    return [picture_facts(record.picture, "image", pixels)]
