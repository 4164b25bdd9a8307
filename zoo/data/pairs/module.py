"""Pairs {input, target}: two pictures of one thing, registered pixel by pixel.

Jitter is that of pix2pix (https://arxiv.org/abs/1611.07004, section 6.2): resize to 286, crop 256, mirror,
the same for both pictures of a pair. Label pictures in the colours of a known palette also give ``labels``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Unpack

import torch
from torch import Tensor

from zoo.bounds import PositiveInt
from zoo.data.base import DataModule, LoaderOptions, Sample, SampleSet, Split
from zoo.data.checks import (
    Facts,
    Fault,
    Findings,
    at_least,
    examine,
    left_out,
    one_of,
    picture_facts,
    require_training,
)
from zoo.data.folders import SPLITS, find_root, folder_fingerprint, match, pictures_in, unusable
from zoo.data.pairs.files import EXPECTED, LAYOUTS, Layout, find_layout, find_pairs, sides
from zoo.data.pixels import (
    Pixels,
    bicubic,
    cut,
    draw_jitter,
    nearest,
    nearest_colours,
    planes,
    read_pair,
    require_load_size,
    rgb,
)
from zoo.data.sources import SOURCES
from zoo.errors import UserError
from zoo.features.segmenter import PALETTES, Palette
from zoo.files.pictures import PICTURE_SUFFIXES, read_array
from zoo.recipes import public_path

Direction = Literal["AtoB", "BtoA"]


class PairFolder(DataModule):
    """Pairs of pictures from a folder, 8 or 16 bit, of any channels.

    The folder holds ``train``, ``val`` and ``test`` as one of: ``train/x.jpg`` with A in the left half and B
    in the right; ``A/train/x.png`` and ``B/train/x.png`` of one name; ``trainA/x.png`` and ``trainB/x.png``.
    Evaluation resizes to ``size`` and draws nothing.

    Args:
        root: The folder.
        direction: ``AtoB`` gives A as input and B as target, ``BtoA`` the reverse.
        size: Pixels of each side of a sample.
        load_size: Pixels of each side before the random crop; 286/256 of ``size`` when not given.
        mirror: Mirror each pair with probability 1/2 in training.
        input_channels: Channels of the input; those of the files when not given, 3 makes grey RGB.
        target_channels: Channels of the target, likewise.
        palette: Colours of an input that shows classes; batches then hold ``labels`` too: the class of the
            nearest colour per pixel of the file, resized by the nearest pixel.
        name: Name of the data; that of a public set sets the licence and is named in advice.
        licence: Licence of the data; that of the public set, else unknown, when not given.
        research_only: False only if the licence allows commercial use.
        options: Options of every data module, see :class:`zoo.data.base.DataModule`.
    """

    contract: ClassVar[str] = "pairs"
    default_batch_size = 1

    def __init__(
        self,
        root: str,
        direction: Direction = "AtoB",
        size: PositiveInt = 256,
        load_size: PositiveInt | None = None,
        mirror: bool = True,
        input_channels: PositiveInt | None = None,
        target_channels: PositiveInt | None = None,
        palette: Palette | None = None,
        name: str | None = None,
        licence: str | None = None,
        research_only: bool = True,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        one_of(Direction, direction=direction)
        if palette is not None:
            one_of(Palette, palette=palette)
        at_least(1, size=size)
        self.load_size = size * 286 // 256 if load_size is None else load_size
        require_load_size(self.load_size, size)
        self.root = find_root(root)
        self.direction = direction
        self.size = size
        self.mirror = mirror
        self.channels = (input_channels, target_channels)
        self.palette = palette
        self.name = name or self.root.resolve().name
        known = SOURCES.get(name or "")
        self.licence = licence or (known.licence if known else "unknown: research use only")
        self.research_only = research_only

    def dataset(self, split: Split) -> PairSet | None:
        """The pairs of a split; None if there is no validation split.

        Raises:
            UserError: The folder, the split or a partner is missing.
        """
        layout = self._layout()
        pairs = find_pairs(self.root, layout, split)
        if pairs is None:
            if split == "val":
                return None
            raise UserError(f"{self.root} has no {split} split; {EXPECTED}.")
        if not pairs:
            raise UserError(f"The {split} split of {self.root} holds no pictures; {EXPECTED}.")
        training = split == "train"
        return PairSet(
            pairs,
            swap=self.direction == "BtoA",
            size=self.size,
            load_size=self.load_size if training else self.size,
            mirror=self.mirror,
            channels=self.channels,
            palette=self.palette,
        )

    def preprocessing(self) -> dict[str, Any]:
        """Direction, measures, channels and layout."""
        train = self.split("train")
        assert isinstance(train, PairSet)
        return {
            **self.settings("direction", "size", "load_size", "mirror"),
            "input_channels": train.wanted[0],
            "target_channels": train.wanted[1],
            "layout": self._layout(),
            **({"palette": self.palette} if self.palette else {}),
        }

    def _layout(self) -> Layout:
        layout = find_layout(self.root)
        if layout is None:
            name = self.name or ""
            fetch = f"get it with `zoo data get {name}`" if name in SOURCES else "fill it with pairs"
            raise unusable(self.root, "holds no pairs", f"{fetch} or change data.root: {EXPECTED}")
        return layout

    def fingerprint(self) -> str:
        """SHA-256 of names and sizes of all pictures."""
        layout = self._layout()
        folders = {side for split in SPLITS for side in sides(self.root, layout, split)}
        return folder_fingerprint([path for folder in folders for path in pictures_in(folder)], self.root)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether two folders match by their names, or pictures are twice as wide as high."""
        layout = find_layout(root)
        if layout != "halves":
            return layout is not None
        for path in [path for split in SPLITS for path in pictures_in(root / split)][:3]:
            try:
                height, width = read_array(path).shape[:2]
            except UserError:
                continue
            return bool(width == 2 * height)
        return False

    @classmethod
    def check(cls, root: Path) -> Findings:
        """Check every pair of a folder.

        Raises:
            UserError: The folder is not laid out as pairs.
        """
        layout = find_layout(root)
        if layout is None:
            raise UserError(f"{root} holds no pairs; {EXPECTED}.")
        found = Findings("pairs", LAYOUTS[layout], public_path(cls), mixed_channels={1, 3})
        for split in SPLITS:
            folders = sides(root, layout, split)
            found.samples[split] = 0
            if not any(folder.is_dir() for folder in folders):
                continue
            if len(folders) == 1:
                pairs: list[tuple[Path, ...]] = [(path,) for path in pictures_in(folders[0])]
            else:
                matches = match(*folders)
                pairs = [*matches.pairs]
                for paths, other in ((matches.only_a, folders[1]), (matches.only_b, folders[0])):
                    found.errors += [Fault(str(p), f"{p} has no single partner in {other}.") for p in paths]
            examine(found, split, pairs, _facts, lambda files: files)
            found.notes += left_out(folders, PICTURE_SUFFIXES)
        require_training(found, root, f"expected {LAYOUTS[layout]}")
        shortest = min((min(fact.size) for fact in found.facts), default=1)
        found.arguments = {"size": min(256, 2 ** int(math.log2(shortest))), "direction": "AtoB"}
        for key, side in (("input_channels", "A"), ("target_channels", "B")):
            if {fact.channels for fact in found.facts if fact.side == side} == {1, 3}:
                found.arguments[key] = 3
        return found


def _facts(files: tuple[Path, ...]) -> list[Facts]:
    both = read_pair(files)
    return [picture_facts(files[i % len(files)], "AB"[i], values) for i, values in enumerate(both)]


@dataclass(eq=False, repr=False)
class PairSet(SampleSet):
    """The pairs of one split.

    Args:
        pairs: Per sample one side-by-side picture, or the files of A and B.
        swap: Give B as input and A as target.
        size: Pixels of each side of a sample.
        load_size: Pixels of each side before the crop.
        mirror: Mirror with probability 1/2 in training.
        channels: Channels of input and target; None takes those of the first file.
        palette: Colours of the classes that the input shows; None if it shows none.
    """

    pairs: list[tuple[Path, ...]]
    swap: bool
    size: int
    load_size: int
    mirror: bool
    channels: tuple[int | None, int | None]
    palette: Palette | None = None

    def __post_init__(self) -> None:
        read = zip(self.channels, self._read(0), strict=True)
        self.wanted: list[int] = [given or first.shape[2] for given, first in read]

    def __len__(self) -> int:
        return len(self.pairs)

    def files(self) -> list[Path]:
        """The files of all pairs."""
        return [path for files in self.pairs for path in files]

    def load(self, index: int) -> Sample:
        """``input`` and ``target`` (C, load_size, load_size) in the bits of their files, and ``labels``."""
        both = self._read(index)
        loaded = {
            side: bicubic(self._planes(pixels, wanted, side, index), self.load_size, self.load_size)
            for side, pixels, wanted in zip(("input", "target"), both, self.wanted, strict=True)
        }
        if self.palette is not None:
            path = self.pairs[index][0]
            refusal = f"The input of {path} is no label map in the colours of {self.palette}; leave out "
            colours, refusal = PALETTES[self.palette], refusal + "data.palette."
            labels = nearest_colours(rgb(both[0], path), colours, refusal).astype("uint8")
            loaded["labels"] = torch.from_numpy(nearest(labels, (self.load_size, self.load_size)))
        return loaded

    def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
        """``input`` and ``target`` (C, size, size) in bytes, and ``labels``, with the same jitter."""
        top, left, mirrored = 0, 0, False
        if random is not None:
            spare = self.load_size - self.size
            top, left, mirrored = draw_jitter(spare, spare, self.mirror, random)
        crops = {key: cut(values, top, left, self.size, self.size) for key, values in loaded.items()}
        if "labels" in crops:
            crops["labels"] = crops["labels"].long()
        return {key: crop.flip(-1) if mirrored else crop for key, crop in crops.items()}

    def _read(self, index: int) -> tuple[Pixels, Pixels]:
        a, b = read_pair(self.pairs[index])
        return (b, a) if self.swap else (a, b)

    def _planes(self, pixels: Pixels, wanted: int, side: str, index: int) -> Tensor:
        picture = planes(pixels)
        if len(picture) == wanted:
            return picture
        if len(picture) == 1 and wanted == 3:
            return picture.expand(3, -1, -1).contiguous()
        names = " and ".join(map(str, self.pairs[index]))
        raise UserError(
            f"The {side} of {names} has {len(picture)} channels where {wanted} are wanted; convert the file "
            f"or set data.{side}_channels (only grey is converted to RGB)."
        )
