"""Clips {past, future}: frames of a video and those that follow, each (T, C, H, W) in [-1, 1].

Your own folder holds videos (.mp4, .m4v, .mov, .avi, .webm, .mkv, .gif) or folders of numbered
frames (PNG, JPEG, TIFF, WebP, NPY; 16 bit becomes 8), in folders for the splits, or together, and then whole
videos are held out::

    root/                       root/                        root/
      train/                      beach.mp4                    0016E5/
        beach.mp4                 dunes/surf.mov                 0016E5_07959.jpg
        surf/frame_0001.png       walk.gif                       0016E5_07961.jpg
             frame_0002.png       …                              …
      val/ …                    (held out by video)          (one video: held out in time)
      test/ …

UCF101 (``trainlist01.txt`` and ``testlist01.txt``, there or in ``ucfTrainTestlist/``, beside its class
folders, there or in ``UCF-101/``) and KTH (``person01_boxing_d1_uncomp.avi``, …) have their official splits.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar, Literal, Unpack

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.bounds import NonNegativeFloat, NonNegativeInt, PositiveInt
from zoo.data.base import DataModule, LoaderOptions, Sample, SampleSet, Split, to_floats
from zoo.data.checks import Facts, Fault, Findings, at_least, examine, one_of, require_training
from zoo.data.clips.files import (
    EXPECTED,
    LAYOUTS,
    Part,
    find_layout,
    find_videos,
    split_lists,
    split_parts,
    split_paths,
)
from zoo.data.folders import SPLITS, find_root, folder_fingerprint, require_hold_out
from zoo.data.pixels import cut, draw_place, middle, require_load_size, shorter_side
from zoo.drawing.sheets import mosaic, strip
from zoo.errors import UserError
from zoo.files.films import frame_times, has_suffix, look, read_frames
from zoo.files.pictures import PICTURE_SUFFIXES
from zoo.recipes import public_path

Array = np.ndarray[Any, Any]
Crop = Literal["random", "centre"]
TRIES = 20  # random crops, of which one that moves is taken


class ClipModule(DataModule):
    """Base of this contract's modules: numbers of frames, and how clips are shown."""

    contract: ClassVar[str] = "clips"

    def __init__(self, past: PositiveInt, future: PositiveInt, **options: Unpack[LoaderOptions]) -> None:
        super().__init__(**options)
        at_least(1, past=past, future=future)
        self.past, self.future = past, future

    def sheet(self, samples: list[Sample]) -> Tensor:
        """One row of frames per sample: past, then future."""
        return strip({key: torch.stack([sample[key] for sample in samples]) for key in ("past", "future")})

    def film(self, samples: list[Sample]) -> Tensor:
        """All samples side by side, past and then future, frame by frame."""
        whole = torch.stack([torch.cat([sample["past"], sample["future"]]) for sample in samples], 1)
        return torch.stack([mosaic(frame, least=64) for frame in whole])


def cut_film(film: Tensor, past: int) -> Sample:
    """``past`` and ``future`` of a film (T, C, H, W)."""
    return {"past": film[:past], "future": film[past:]}


class ClipFolder(ClipModule):
    """Clips from a folder of videos, or of folders of numbered frames.

    The index is made from the headers of the files; frames are decoded on demand. Evaluation crops the
    centre.

    Args:
        root: The folder; its layouts are listed at the top of the file.
        past: Number of frames that a model is given.
        future: Number of frames that follow.
        stride: Take every so many-th frame of the video.
        hop: Frames between the first frames of consecutive clips; the length of a clip when not given.
        size: Side of the square crop in pixels; None takes whole frames.
        load_size: Length of the shorter side before cropping: ``size`` when not given, 0 keeps the video's.
        crop: Where training crops: ``random`` or ``centre``.
        moving: Least difference of neighbouring frames (root mean square, in values from -1 to 1) of a random
            crop: Mathieu et al. 2016 train on patches of 32 pixels with motion. The first of 20 random crops
            that moves so much is taken, or the one that moves most. 0 takes any.
        mirror: Mirror half of the training clips from left to right.
        channels: 3, or 1 for grey.
        hold_out: Without split folders, of so many videos the first is for test and the second for validation
            (with fewer than three videos, the last frames of each); 0 holds out none.
        fold: Number of UCF101's list of splits, 1 to 3.
        skip_short: Leave out videos that are shorter than a clip, instead of refusing them.
        name: Name of the data; the folder's name when not given.
        licence: Licence of the videos, stored in checkpoints; unknown when not given.
        research_only: False only if the licence allows commercial use.
        options: Options of every data module, see :class:`zoo.data.base.DataModule`.
    """

    def __init__(
        self,
        root: str,
        past: PositiveInt = 4,
        future: PositiveInt = 1,
        stride: PositiveInt = 1,
        hop: PositiveInt | None = None,
        size: PositiveInt | None = 64,
        load_size: NonNegativeInt | None = None,
        crop: Crop = "random",
        moving: NonNegativeFloat = 0.0,
        mirror: bool = True,
        channels: PositiveInt = 3,
        hold_out: NonNegativeInt = 10,
        fold: PositiveInt = 1,
        skip_short: bool = False,
        name: str | None = None,
        licence: str | None = None,
        research_only: bool = True,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(past, future, **options)
        at_least(1, stride=stride, hop=hop, size=size)
        if size and load_size:
            require_load_size(load_size, size)
        one_of(Crop, crop=crop)
        if moving and (crop == "centre" or size is None):
            raise UserError("data.moving chooses among random crops; give data.size and data.crop: random.")
        if channels not in (1, 3):
            raise UserError(f"data.channels is {channels}; give 1 (grey) or 3 (RGB).")
        require_hold_out(hold_out)
        if fold not in (1, 2, 3):
            raise UserError(f"data.fold is {fold}; UCF101 has 1, 2 and 3.")
        self.root = find_root(root)
        self.stride, self.hop = stride, hop or (past + future) * stride
        self.size, self.load_size = size, (size or 0) if load_size is None else load_size
        self.crop, self.moving, self.mirror, self.channels = crop, moving, mirror, channels
        self.hold_out, self.fold, self.skip_short = hold_out, fold, skip_short
        self.name = name or self.root.resolve().name
        self.licence, self.research_only = licence or self.licence, research_only

    def dataset(self, split: Split) -> ClipSet | None:
        """The clips of a split; None if the data has no such split.

        Raises:
            UserError: The folder is missing or empty, a video is damaged or too short.
        """
        if not self.root.is_dir():
            raise UserError(
                f"There is no folder {self.root}; set data.root to a folder of videos: {EXPECTED}."
            )
        parts = split_parts(self.root, find_layout(self.root), split, self.hold_out, self.fold)
        if not parts:
            if split != "train":
                return None
            raise UserError(f"{self.root} has no videos for training; {EXPECTED}.")
        span = (self.past + self.future - 1) * self.stride + 1
        long = [part for part in parts if part.end - part.first >= span]
        if len(long) < len(parts) and not (self.skip_short and long):
            short = min(parts, key=lambda part: part.end - part.first)
            raise UserError(
                f"{len(parts) - len(long)} videos of the {split} split are shorter than a clip of {span} "
                f"frames ({short.video.path} has {short.end - short.first}); lower data.past, data.future or "
                "data.stride, or leave them out with data.skip_short: true."
            )
        random = split == "train" and self.crop == "random"
        return ClipSet(
            long,
            past=self.past,
            future=self.future,
            stride=self.stride,
            hop=self.hop,
            size=self.size,
            load_size=self.load_size,
            random_crop=random,
            moving=self.moving,
            mirror=self.mirror,
            channels=self.channels,
        )

    def preprocessing(self) -> dict[str, Any]:
        """How clips are cut from videos."""
        return {
            **self.settings("past", "future", "stride", "hop", "size", "load_size", "crop", "moving"),
            **self.settings("mirror", "channels", "hold_out", "fold", "skip_short"),
        }

    def fingerprint(self) -> str:
        """SHA-256 over names and sizes of the training files."""
        train = self.split("train")
        assert isinstance(train, ClipSet)
        return folder_fingerprint(train.files(), self.root)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether it holds more videos than pictures, or folders of pictures named ``frame…``."""
        if split_lists(root) is not None:
            return True
        paths = find_videos(root)
        some = [
            next(p for p in sorted(path.iterdir()) if has_suffix(p, PICTURE_SUFFIXES))
            for path in paths
            if path.is_dir()
        ]
        places = {p.parent for p in paths}
        pictures = sum(has_suffix(p, PICTURE_SUFFIXES) for place in places for p in place.iterdir())
        return len(paths) > pictures and all(path.name.lower().startswith("frame") for path in some)

    @classmethod
    def check(cls, root: Path) -> Findings:
        """Check a folder by decoding every frame of every video."""
        layout = find_layout(root)
        found = Findings("clips", LAYOUTS[layout], public_path(cls), mixed_channels={1, 3, 4})
        for split in SPLITS:
            try:
                paths = split_paths(root, layout, split, hold_out=10, fold=1)
            except UserError as error:
                found.errors.append(Fault(str(root), str(error)))
                continue
            found.samples[split] = 0
            if paths and not (split != "train" and layout == "held out" and len(find_videos(root)) < 3):
                examine(found, split, paths, _facts, lambda path: [path])
        require_training(found, root, EXPECTED)
        shortest = min((min(fact.size) for fact in found.facts), default=64)
        found.arguments = {"past": 4, "future": 1, "size": min(64, shortest)}
        if {fact.channels for fact in found.facts} == {1}:
            found.arguments["channels"] = 1
        return found


def _facts(path: Path) -> list[Facts]:
    digest = hashlib.sha256()
    low, high, shape = 255, 0, (0, 0, 0)
    video = look(path)
    real = len(video.frames or frame_times(path).shown)
    for values in read_frames(video, range(min(real, video.length))):
        digest.update(repr(values.shape).encode() + values.tobytes())
        low, high, shape = min(low, int(values.min())), max(high, int(values.max())), values.shape
    return [Facts(path, "video", (shape[1], shape[0]), shape[2], 8, low, high, digest.hexdigest())]


@dataclass(eq=False, repr=False)
class ClipSet(SampleSet):
    """Clips of the videos of one split, decoded on demand.

    Args:
        parts: Videos, each at least as long as a clip.
        past: Number of frames that a model is given.
        future: Number of frames that follow.
        stride: Take every so many-th frame.
        hop: Frames between the first frames of consecutive clips.
        size: Side of the square crop; None takes whole frames.
        load_size: Length of the shorter side before cropping; 0 keeps the video's.
        random_crop: Crop at a random place in training.
        moving: Least movement of a random crop.
        mirror: Mirror with probability 1/2 in training.
        channels: 1 or 3.
    """

    parts: list[Part]
    past: int
    future: int
    stride: int
    hop: int
    size: int | None
    load_size: int
    random_crop: bool
    moving: float
    mirror: bool
    channels: int

    def __post_init__(self) -> None:
        self.frames = self.past + self.future
        span = (self.frames - 1) * self.stride + 1
        self._ends = list(accumulate((part.end - part.first - span) // self.hop + 1 for part in self.parts))

    def __len__(self) -> int:
        return self._ends[-1]

    def files(self) -> list[Path]:
        """The video files and pictures."""
        return [path for part in self.parts for path in part.video.frames or (part.video.path,)]

    def place(self, index: int) -> tuple[Part, range]:
        """The video of a clip, and the numbers of its frames."""
        at = bisect_right(self._ends, index)
        part = self.parts[at]
        first = part.first + self.hop * (index - (self._ends[at - 1] if at else 0))
        return part, range(first, first + self.frames * self.stride, self.stride)

    def load(self, index: int) -> Sample:
        """``film`` (T, C, H, W) of uint8, resized, and cropped if the crop is not random.

        Raises:
            UserError: The video cannot be decoded or is smaller than the crop.
        """
        part, numbers = self.place(index)
        frames = []
        for values in read_frames(part.video, numbers):
            frame = resized(_with_channels(values, self.channels, part.video.path), self.load_size)
            if self.size and min(frame.shape[1:]) < self.size:
                raise UserError(
                    f"{part.video.path} is {frame.shape[2]} x {frame.shape[1]} pixels, smaller than "
                    f"data.size {self.size}; lower it, or set data.load_size to {self.size}."
                )
            if self.size and not self.random_crop:
                frame = middle(frame, self.size, self.size)
            frames.append(frame)
        return {"film": torch.stack(frames)}

    def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
        """``past`` and ``future`` (T, C, H, W) in bytes, cropped and mirrored alike."""
        film: Tensor = loaded["film"]
        if random is not None:
            if self.size and self.random_crop:
                film = self._random_crop(film, self.size, random)
            if self.mirror and int(torch.randint(2, (), generator=random)):
                film = film.flip(-1)
        return cut_film(film, self.past)

    def _random_crop(self, film: Tensor, size: int, random: torch.Generator) -> Tensor:
        best, most = film, -1.0
        rows, columns = film.shape[2] - size, film.shape[3] - size
        for _ in range(TRIES if self.moving else 1):
            top, left = draw_place(rows, columns, random)
            crop = cut(film, top, left, size, size)
            if not self.moving:
                return crop
            floats = to_floats(crop)
            movement = float((floats[1:] - floats[:-1]).square().mean().sqrt())
            if movement >= self.moving:
                return crop
            if movement > most:
                best, most = crop, movement
        return best


def _with_channels(values: Array, channels: int, path: Path) -> Tensor:
    """Values (H, W, C) as (channels, H, W), converted between grey and RGB; alpha is dropped."""
    found = values.shape[2]
    if found > 4:
        raise UserError(f"{path} has {found} channels; give frames in grey or RGB.")
    colours = torch.from_numpy(values.copy())[:, :, : 1 if found < 3 else 3]
    if channels < colours.shape[2]:
        weights = torch.tensor([0.299, 0.587, 0.114])  # ITU-R BT.601
        colours = (colours.float() @ weights).round().byte()[:, :, None]
    return colours.expand(-1, -1, channels).permute(2, 0, 1)


def resized(frame: Tensor, side: int) -> Tensor:
    """A frame (C, H, W) of uint8 with its shorter side resized to ``side``; 0 leaves it."""
    return shorter_side(frame, side, _bilinear) if side else frame


def _bilinear(frame: Tensor, height: int, width: int) -> Tensor:
    # not pixels.bilinear: processors without AVX2 round uint8 differently there
    return F.interpolate(frame[None], (height, width), mode="bilinear", antialias=True)[0]
