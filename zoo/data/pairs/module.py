"""Pairs {input, target}: two pictures of one thing, registered pixel by pixel.

Jitter is that of pix2pix (https://arxiv.org/abs/1611.07004, section 6.2): resize to 286, cut 256, mirror, the
same for both pictures of a pair.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar, Literal, Unpack, get_args

import numpy as np
import torch
import torch.nn.functional as F

from zoo.data.base import DataModule, LoaderOptions, Sample, SampleSet, Split, find_root, folder_fingerprint
from zoo.data.checks import Findings
from zoo.data.pairs.files import (
    EXPECTED,
    Layout,
    Pixels,
    check_pairs,
    find_layout,
    find_pairs,
    looks_like_pairs,
    pictures_in,
    read_pair,
    sides,
)
from zoo.data.sources import SOURCES
from zoo.errors import UserError

Direction = Literal["AtoB", "BtoA"]


class PairFolder(DataModule):
    """Pairs of pictures from a folder, 8 or 16 bit, of any channels.

    The folder holds ``train``, ``val`` and ``test`` as one of: ``train/x.jpg`` with A in the left half and B
    in the right; ``A/train/x.png`` and ``B/train/x.png`` of one name; ``trainA/x.png`` and ``trainB/x.png``.
    Evaluation resizes to ``size`` and draws nothing.

    Args:
        root: The folder.
        direction: ``AtoB`` gives A as input and B as target, ``BtoA`` the reverse.
        size: Pixels of each side of what a batch holds.
        load_size: Pixels of each side before the random crop; 286/256 of ``size`` when not given.
        mirror: Mirror each pair with probability 1/2 in training.
        input_channels: Of the input; as in the files when not given, 3 brings grey to RGB.
        target_channels: Of the target, likewise.
        name: What the data is called; a public set's name brings its licence and tells how to get it.
        licence: What the data may be used for; of the known set, else unknown, when not given.
        research_only: False only where the licence allows commercial use.
        options: Those of every data module, at :class:`zoo.data.base.DataModule`.
    """

    contract: ClassVar[str] = "pairs"
    default_batch_size = 1

    def __init__(
        self,
        root: str,
        direction: Direction = "AtoB",
        size: int = 256,
        load_size: int | None = None,
        mirror: bool = True,
        input_channels: int | None = None,
        target_channels: int | None = None,
        name: str | None = None,
        licence: str | None = None,
        research_only: bool = True,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        if direction not in get_args(Direction):
            raise UserError(f"data.direction is {direction!r}; give AtoB or BtoA.")
        if size < 1:
            raise UserError(f"data.size is {size}; give at least 1.")
        self.load_size = size * 286 // 256 if load_size is None else load_size
        if self.load_size < size:
            raise UserError(
                f"data.load_size ({self.load_size}) is less than data.size ({size}); give at least that."
            )
        self.root = find_root(root)
        self.direction = direction
        self.size = size
        self.mirror = mirror
        self.channels = (input_channels, target_channels)
        self.name = name or self.root.resolve().name
        known = SOURCES.get(name or "")
        self.licence = licence or (known.licence if known else "unknown: research use only")
        self.research_only = research_only

    def dataset(self, split: Split) -> PairSet | None:
        """The pairs of a split; None where there is no validation split.

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
        )

    def preprocessing(self) -> dict[str, Any]:
        """Direction, measures, channels and layout."""
        train = self.split("train")
        assert isinstance(train, PairSet)
        return {
            **self.settings("direction", "size", "load_size", "mirror"),
            "input_channels": train.channels[0],
            "target_channels": train.channels[1],
            "layout": self._layout(),
        }

    def _layout(self) -> Layout:
        layout = find_layout(self.root)
        if layout is None:
            name = self.name or ""
            fetch = f"get it with `zoo data get {name}`" if name in SOURCES else "fill it with pairs"
            state = "holds no pairs" if self.root.is_dir() else "does not exist"
            raise UserError(f"The folder {self.root} {state}; {fetch} or change data.root: {EXPECTED}.")
        return layout

    def fingerprint(self) -> str:
        """SHA-256 over names and sizes of all pictures."""
        layout = self._layout()
        folders = {
            side for split in get_args(Split) for side in sides(self.root, layout, split) if side.is_dir()
        }
        return folder_fingerprint([path for folder in folders for path in pictures_in(folder)], self.root)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether two folders match by their names, or pictures are twice as wide as high."""
        return looks_like_pairs(root)

    @classmethod
    def check(cls, root: Path) -> Findings:
        """Look at every pair of a folder."""
        found = check_pairs(root)
        found.class_path = "zoo.data.pairs.PairFolder"
        shortest = min((min(fact.size) for fact in found.facts), default=1)
        found.arguments = {"size": min(256, 2 ** int(math.log2(shortest))), "direction": "AtoB"}
        for key, side in (("input_channels", "A"), ("target_channels", "B")):
            if {fact.channels for fact in found.facts if fact.side == side} == {1, 3}:
                found.arguments[key] = 3
        return found


class PairSet(SampleSet):
    """The pairs of one split.

    Args:
        pairs: For each sample one side-by-side picture, or the files of A and B.
        swap: Give B as input and A as target.
        size: Pixels of each side of a sample.
        load_size: Pixels of each side before the crop.
        mirror: Mirror at random.
        channels: Wanted of input and target; None takes what the first file has.
    """

    def __init__(
        self,
        pairs: list[tuple[Path, ...]],
        swap: bool,
        size: int,
        load_size: int,
        mirror: bool,
        channels: tuple[int | None, int | None],
    ) -> None:
        self.pairs = pairs
        self.swap = swap
        self.size = size
        self.load_size = load_size
        self.mirror = mirror
        first = self._read(0)
        self.channels = (channels[0] or first[0].shape[2], channels[1] or first[1].shape[2])

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.pairs)

    def files(self) -> list[Path]:
        """The files of all pairs."""
        return [path for files in self.pairs for path in files]

    def load(self, index: int) -> Sample:
        """``input`` and ``target`` (C, load_size, load_size) in the values of their files."""
        read = self._read(index)
        x, y = (
            resized(_with_channels(pixels, wanted, side, self.pairs[index]), self.load_size, self.load_size)
            for pixels, wanted, side in zip(read, self.channels, ("input", "target"), strict=True)
        )
        return {"input": torch.from_numpy(x), "target": torch.from_numpy(y)}

    def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
        """The pair as ``input`` and ``target`` (C, size, size) in bytes, jittered alike."""
        top = left = 0
        mirrored = False
        if random is not None:
            places = self.load_size - self.size + 1
            top, left, coin = (int(torch.randint(n, (), generator=random)) for n in (places, places, 2))
            mirrored = self.mirror and coin == 1
        window = (slice(None), slice(top, top + self.size), slice(left, left + self.size))
        return {
            key: values[window].flip(-1) if mirrored else values[window] for key, values in loaded.items()
        }

    def _read(self, index: int) -> tuple[Pixels, Pixels]:
        a, b = read_pair(self.pairs[index])
        return (b, a) if self.swap else (a, b)


def _with_channels(pixels: Pixels, wanted: int, side: str, files: tuple[Path, ...]) -> Pixels:
    found = pixels.shape[2]
    if found == wanted:
        return pixels
    if found == 1 and wanted == 3:
        return np.repeat(pixels, 3, axis=2)
    names = " and ".join(map(str, files))
    raise UserError(
        f"The {side} of {names} has {found} channels where {wanted} are wanted; convert the file or set "
        f"data.{side}_channels (only grey becomes RGB by itself)."
    )


def resized(pixels: Pixels, height: int, width: int) -> Pixels:
    """Values (H, W, C) resized, antialiased bicubic, to (C, height, width) of the same kind."""
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    if planes.shape[1:] == (height, width):
        return planes
    floats = torch.from_numpy(planes.astype(np.float32))[None]
    floats = F.interpolate(floats, (height, width), mode="bicubic", antialias=True, align_corners=False)[0]
    highest = float(np.iinfo(pixels.dtype).max)
    return floats.round().clamp(0, highest).numpy().astype(pixels.dtype)  # bicubic overshoots
