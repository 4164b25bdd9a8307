"""Pairs {input, target}: two pictures of one thing, registered pixel by pixel.

Jitter is that of pix2pix (https://arxiv.org/abs/1611.07004, section 6.2): resize to 286, cut 256, mirror, the
same for both pictures of a pair.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.data.base import Batch, DataModule, Key, SampleSet, Split
from zoo.data.worlds import scenes
from zoo.errors import UserError
from zoo.files import PICTURE_SUFFIXES, read_array

Direction = Literal["AtoB", "BtoA"]
Layout = Literal["halves", "folders", "suffixes"]
Pixels = np.ndarray[Any, Any]

LAYOUTS: dict[Layout, str] = {
    "halves": "train/x.jpg with A in the left half and B in the right",
    "folders": "A/train/x.png with B/train/x.png of the same name",
    "suffixes": "trainA/x.png with trainB/x.png of the same name",
}
EXPECTED = f"expected {'; or '.join(LAYOUTS.values())} (and the same for val and test)"
CACHE_BYTES = 2 * 2**30  # a process keeps no more than this of a split


class PublicPairs(NamedTuple):
    """A known set of pix2pix's.

    Args:
        train: Training pairs, as the paper counts them.
        direction: What the paper translates.
        licence: As far as it is known.
    """

    train: int
    direction: Direction
    licence: str

    @staticmethod
    def url(name: str) -> str:
        """Where the set's archive lies."""
        return f"http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/{name}.tar.gz"


PUBLIC_PAIRS = {
    "facades": PublicPairs(400, "BtoA", "CMP Facade Database, no licence stated: research use only"),
    "edges2shoes": PublicPairs(50_000, "AtoB", "UT Zappos50K: academic, non-commercial use only"),
    "edges2handbags": PublicPairs(137_000, "AtoB", "pictures of Amazon products: research use only"),
    "maps": PublicPairs(1096, "AtoB", "pictures of Google Maps: research use only"),
    "cityscapes": PublicPairs(2975, "BtoA", "Cityscapes: non-commercial, after registering with its owners"),
    "night2day": PublicPairs(17_823, "BtoA", "Transient Attributes, no licence stated: research use only"),
}


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
        cache: Keep the resized pictures in memory, at most 2 GiB for each split and process.
        name: What the data is called; one of ``PUBLIC_PAIRS`` brings its licence and tells where to get it.
        licence: What the data may be used for; of the known set, else unknown, when not given.
        research_only: False only where the licence allows commercial use.
        batch_size: Pairs a training batch, on each process.
        eval_batch_size: Pairs a batch in validation and test; ``batch_size`` when not given.
        num_workers: Processes that prepare batches beside training; with the cache, 0 is soon the fastest.
        seed: Of order and augmentation; the run's seed when not given.
    """

    contract: ClassVar[str] = "pairs"

    def __init__(
        self,
        root: str,
        direction: Direction = "AtoB",
        size: int = 256,
        load_size: int | None = None,
        mirror: bool = True,
        input_channels: int | None = None,
        target_channels: int | None = None,
        cache: bool = True,
        name: str | None = None,
        licence: str | None = None,
        research_only: bool = True,
        batch_size: int = 1,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        seed: int | None = None,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, num_workers, seed)
        if direction not in get_args(Direction):
            raise UserError(f"data.direction is {direction!r}; give AtoB or BtoA.")
        if size < 1:
            raise UserError(f"data.size is {size}; give at least 1.")
        self.load_size = size * 286 // 256 if load_size is None else load_size
        if self.load_size < size:
            raise UserError(
                f"data.load_size ({self.load_size}) is less than data.size ({size}); give at least that."
            )
        self.root = Path(root)
        self.direction = direction
        self.size = size
        self.mirror = mirror
        self.channels = (input_channels, target_channels)
        self.cache = cache
        self.name = name or self.root.resolve().name
        known = PUBLIC_PAIRS.get(name or "")
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
            cache=self.cache,
        )

    def describe(self) -> dict[str, Any]:
        """Name, licence, how pictures are prepared, and a fingerprint of file names and sizes."""
        layout = self._layout()
        train = self.split("train")
        assert isinstance(train, PairSet)
        return {
            "contract": self.contract,
            "name": self.name,
            "licence": self.licence,
            "research_only": self.research_only,
            "preprocessing": {
                "direction": self.direction,
                "size": self.size,
                "load_size": self.load_size,
                "mirror": self.mirror,
                "input_channels": train.channels[0],
                "target_channels": train.channels[1],
                "layout": layout,
            },
            "fingerprint": self._fingerprint(layout),
        }

    def _layout(self) -> Layout:
        layout = find_layout(self.root)
        if layout is None:
            name = self.name or ""
            fetch = f"unpack {PublicPairs.url(name)} there" if name in PUBLIC_PAIRS else "fill it with pairs"
            state = "holds no pairs" if self.root.is_dir() else "does not exist"
            raise UserError(f"The folder {self.root} {state}; {fetch} or change data.root: {EXPECTED}.")
        return layout

    def _fingerprint(self, layout: Layout) -> str:
        files = {
            path
            for split in get_args(Split)
            for side in sides(self.root, layout, split)
            if side.is_dir()
            for path in pictures_in(side)
        }
        lines = sorted(f"{path.relative_to(self.root).as_posix()} {path.stat().st_size}" for path in files)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class PairSet(SampleSet):
    """The pairs of one split.

    Args:
        pairs: For each sample one side-by-side picture, or the files of A and B.
        swap: Give B as input and A as target.
        size: Pixels of each side of a sample.
        load_size: Pixels of each side before the crop.
        mirror: Mirror at random.
        channels: Wanted of input and target; None takes what the first file has.
        cache: Keep what was resized.
    """

    def __init__(
        self,
        pairs: list[tuple[Path, ...]],
        swap: bool,
        size: int,
        load_size: int,
        mirror: bool,
        channels: tuple[int | None, int | None],
        cache: bool,
    ) -> None:
        self.pairs = pairs
        self.swap = swap
        self.size = size
        self.load_size = load_size
        self.mirror = mirror
        self.cache = cache
        self._kept: dict[int, tuple[Pixels, Pixels]] = {}
        self._bytes = 0
        first = self._read(0)
        self.channels = (channels[0] or first[0].shape[2], channels[1] or first[1].shape[2])

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.pairs)

    def sample(self, index: int, random: torch.Generator | None) -> Batch:
        """The pair as ``input`` and ``target`` (C, size, size) in [-1, 1], jittered alike."""
        top = left = 0
        mirrored = False
        if random is not None:
            places = self.load_size - self.size + 1
            top, left, coin = (int(torch.randint(n, (), generator=random)) for n in (places, places, 2))
            mirrored = self.mirror and coin == 1
        window = (slice(None), slice(top, top + self.size), slice(left, left + self.size))
        x, y = (_floats(pixels[window][:, :, :: -1 if mirrored else 1]) for pixels in self._loaded(index))
        return {"input": x, "target": y}

    def _loaded(self, index: int) -> tuple[Pixels, Pixels]:
        """Input and target (C, load_size, load_size) in the values of their files."""
        if index in self._kept:
            return self._kept[index]
        read = self._read(index)
        x, y = (
            _resized(_with_channels(pixels, wanted, side, self.pairs[index]), self.load_size)
            for pixels, wanted, side in zip(read, self.channels, ("input", "target"), strict=True)
        )
        if self.cache and self._bytes + x.nbytes + y.nbytes <= CACHE_BYTES:
            self._kept[index] = (x, y)
            self._bytes += x.nbytes + y.nbytes
        return x, y

    def _read(self, index: int) -> tuple[Pixels, Pixels]:
        a, b = read_pair(self.pairs[index])
        return (b, a) if self.swap else (a, b)


def read_pair(files: tuple[Path, ...]) -> tuple[Pixels, Pixels]:
    """A and B (H, W, C) in their files' own values.

    Raises:
        UserError: A file is unreadable, cannot be cut into halves, or the two differ in size.
    """
    if len(files) == 1:
        both = read_array(files[0])
        width = both.shape[1]
        if width % 2:
            raise UserError(
                f"{files[0]} is {width} pixels wide, which has no halves; give A and B the same width."
            )
        return both[:, : width // 2], both[:, width // 2 :]
    a, b = map(read_array, files)
    if a.shape[:2] != b.shape[:2]:
        raise UserError(
            f"{files[0]} is {a.shape[1]} x {a.shape[0]} pixels but {files[1]} {b.shape[1]} x {b.shape[0]}; "
            "bring both to one size."
        )
    return a, b


@dataclass(frozen=True)
class Matches:
    """What two folders hold, matched by name without suffix.

    Args:
        pairs: Files of A and B.
        only_a: Files without a partner in B, or whose name comes twice.
        only_b: Likewise.
    """

    pairs: list[tuple[Path, ...]]
    only_a: list[Path]
    only_b: list[Path]


def find_layout(root: Path) -> Layout | None:
    """How a folder lays its pairs out; None where it holds none."""
    if (root / "A").is_dir() and (root / "B").is_dir():
        return "folders"
    if (root / "trainA").is_dir() or (root / "testA").is_dir():
        return "suffixes"
    return "halves" if any((root / split).is_dir() for split in get_args(Split)) else None


def sides(root: Path, layout: Layout, split: Split) -> tuple[Path, ...]:
    """The one folder, or the folders of A and B, that hold a split."""
    if layout == "halves":
        return (root / split,)
    if layout == "folders":
        return root / "A" / split, root / "B" / split
    return root / f"{split}A", root / f"{split}B"


def find_pairs(root: Path, layout: Layout, split: Split) -> list[tuple[Path, ...]] | None:
    """The files of a split's pairs in the order of their names; None where the split's folders do not exist.

    Raises:
        UserError: A picture has no partner, or two have one name.
    """
    folders = sides(root, layout, split)
    if not any(folder.is_dir() for folder in folders):
        return None
    if len(folders) == 1:
        return [(path,) for path in pictures_in(folders[0])]
    found = match(*folders)
    lonely = [
        f"{len(paths)} of {folder} have no single partner ({_some(paths)})"
        for folder, paths in zip(folders, (found.only_a, found.only_b), strict=True)
        if paths
    ]
    if lonely:
        raise UserError(f"{' and '.join(lonely)}; give each picture of A one of the same name in B.")
    return found.pairs


def match(folder_a: Path, folder_b: Path) -> Matches:
    """Match the pictures of two folders by name without suffix; a folder that does not exist is empty."""
    named: list[dict[str, list[Path]]] = []
    for folder in (folder_a, folder_b):
        names: dict[str, list[Path]] = {}
        for path in pictures_in(folder) if folder.is_dir() else []:
            names.setdefault(path.stem, []).append(path)
        named.append(names)
    a, b = named
    good = {stem for stem in a if len(a[stem]) == 1 and len(b.get(stem, [])) == 1}
    lonely = [[p for stem, paths in names.items() if stem not in good for p in paths] for names in named]
    return Matches([(a[stem][0], b[stem][0]) for stem in sorted(good)], *lonely)


def pictures_in(folder: Path) -> list[Path]:
    """The picture files of a folder by name; hidden ones are left out."""
    return sorted(p for p in folder.iterdir() if is_picture(p))


def is_picture(path: Path) -> bool:
    """Whether a file's name says that it is a picture."""
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _some(paths: list[Path]) -> str:
    return ", ".join(path.name for path in paths[:10]) + (", …" if len(paths) > 10 else "")


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


def _resized(pixels: Pixels, side: int) -> Pixels:
    """Values (H, W, C) resized, antialiased bicubic, to (C, side, side) of the same kind."""
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    if planes.shape[1:] == (side, side):
        return planes
    floats = torch.from_numpy(planes.astype(np.float32))[None]
    floats = F.interpolate(floats, (side, side), mode="bicubic", antialias=True, align_corners=False)[0]
    highest = float(np.iinfo(pixels.dtype).max)
    return floats.round().clamp(0, highest).numpy().astype(pixels.dtype)  # bicubic overshoots


def _floats(planes: Pixels) -> Tensor:
    """Values (C, H, W) of 8 or 16 bit in [-1, 1]."""
    floats = np.ascontiguousarray(planes, dtype=np.float32)
    return torch.from_numpy(floats).div_(float(np.iinfo(planes.dtype).max)).mul_(2).sub_(1)


class ScenePairs(DataModule):
    """Drawn landscapes, from their label maps or their outlines; needs no files.

    The input is one-hot (16,H,W) in {0, 1}, or a drawing (1,H,W) of -1 on 1. Batches hold ``labels`` too.
    Splits share no scene.

    Args:
        size: Pixels of each side.
        source: What the picture is drawn from.
        train_length: Scenes in an epoch, kept in memory in 8 bit.
        eval_length: Scenes for validation, and as many others for test.
        world: Which world is drawn; validation and test depend on nothing else.
        batch_size: Pairs a training batch, on each process.
        eval_batch_size: Pairs a batch in validation and test; ``batch_size`` when not given.
        num_workers: Processes that prepare batches beside training; 0 is the fastest.
        seed: Of the order; the run's seed when not given.
    """

    contract: ClassVar[str] = "pairs"

    def __init__(
        self,
        size: int = 64,
        source: Literal["labels", "edges"] = "labels",
        train_length: int = 2000,
        eval_length: int = 200,
        world: int = 0,
        batch_size: int = 1,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        seed: int | None = None,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, num_workers, seed)
        if size < 16:
            raise UserError(f"data.size is {size}; give at least 16.")
        if source not in ("labels", "edges"):
            raise UserError(f"data.source is {source!r}; give labels or edges.")
        self.size = size
        self.source = source
        self.lengths: dict[Split, int] = {"train": train_length, "val": eval_length, "test": eval_length}
        self.world = world

    def dataset(self, split: Split) -> SceneSet:
        """Draw the scenes of a split; no two splits share one."""
        first = {"test": 0, "val": 1_000_000, "train": 2_000_000}[split]
        return SceneSet(self.world, first, self.lengths[split], self.size, self.source)

    def describe(self) -> dict[str, Any]:
        """Name, licence, how pictures are prepared, and a fingerprint of the first scenes."""
        drawn = [scenes.draw(self.world, index, self.size) for index in range(4)]
        digest = hashlib.sha256(b"".join(_bytes(scene.picture).numpy().tobytes() for scene in drawn))
        return {
            "contract": self.contract,
            "name": "scenes",
            "licence": "Apache-2.0: drawn by the zoo",
            "research_only": False,
            "preprocessing": {
                "source": self.source,
                "size": self.size,
                "classes": list(scenes.CLASSES),
                "colours": [list(colour) for colour in scenes.PALETTE],
                "train_length": self.lengths["train"],
                "world": self.world,
            },
            "fingerprint": digest.hexdigest(),
        }


class SceneSet(SampleSet):
    """Scenes ``first`` to ``first + length`` of a world, in memory.

    Args:
        world: Seed of the world.
        first: Index of the first scene.
        length: Number of scenes.
        size: Pixels of each side.
        source: What ``input`` shows.
    """

    def __init__(
        self, world: int, first: int, length: int, size: int, source: Literal["labels", "edges"]
    ) -> None:
        self.source = source
        self.pictures = torch.empty(length, 3, size, size, dtype=torch.uint8)
        self.maps = torch.empty(length, size, size, dtype=torch.uint8)
        self.lines = torch.empty(length if source == "edges" else 0, 1, size, size, dtype=torch.int8)
        for at in range(length):
            scene = scenes.draw(world, first + at, size)
            self.pictures[at], self.maps[at] = _bytes(scene.picture), scene.labels
            if source == "edges":
                self.lines[at] = scene.edges

    def __len__(self) -> int:
        """Number of scenes."""
        return len(self.pictures)

    def sample(self, index: int, random: torch.Generator | None) -> Batch:
        """``input``, ``target`` and ``labels`` of one scene; nothing is random."""
        return {key: value[0] for key, value in self.__getitems__([index]).items()}

    def __getitems__(self, keys: list[Key]) -> Batch:
        """A whole batch at once."""
        indices = torch.tensor([key if isinstance(key, int) else key[1] for key in keys])
        labels = self.maps[indices].long()
        if self.source == "edges":
            x = self.lines[indices].float()
        else:
            x = F.one_hot(labels, len(scenes.CLASSES)).permute(0, 3, 1, 2).float()
        return {"input": x, "target": self.pictures[indices].float() / 127.5 - 1, "labels": labels}


def _bytes(picture: Tensor) -> Tensor:
    """A picture in [-1, 1] in eight bits, as a file would hold it."""
    return ((picture + 1) * 127.5).round().byte()
