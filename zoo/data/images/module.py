"""Pictures for unconditional generation: ``image`` (C, H, W) in [-1, 1] and ``label`` when there is one.

Scikit-learn's handwritten digits (no download), MNIST from its idx files, and any folder of pictures::

    root/                      root/train/                  root/train/cats/
      a.png                      a.png                        a.png      folders below a split
      b.jpg    some are          b.jpg                      root/train/dogs/    are classes
      c.webp   held out        root/val/, root/test/          b.png
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Unpack

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor

from zoo.bounds import NonNegativeInt, PositiveInt, Seed
from zoo.data.base import Batch, DataModule, Key, LoaderOptions, Sample, SampleSet, Split
from zoo.data.checks import Facts, Findings, at_least, examine, left_out, picture_facts, require_training
from zoo.data.folders import SPLITS, find_root, folder_fingerprint, require_hold_out, split_pictures
from zoo.data.pixels import cut, middle, shorter_side, with_channels
from zoo.errors import UserError
from zoo.files.idx import read_idx
from zoo.files.pictures import PICTURE_SUFFIXES, read_array, read_jpeg_reduced
from zoo.recipes import public_path


@dataclass(eq=False, repr=False)
class MemorySet(SampleSet):
    """Labelled pictures in memory, from which whole batches are indexed at once.

    Args:
        values: (N, C, H, W) of uint8.
        labels: (N,), class numbers.
        highest: The value of white.
        paths: Files that they were read from.
    """

    values: Tensor
    labels: Tensor
    highest: int = 255
    paths: Sequence[Path] = ()

    def __len__(self) -> int:
        return len(self.values)

    def load(self, index: int) -> Sample:
        """Picture ``index`` as uint8, and its label."""
        return {"image": self.values[index], "label": self.labels[index]}

    def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
        """The picture in [-1, 1]; nothing is random."""
        return {"image": self.to_image(loaded["image"]), "label": loaded["label"]}

    def __getitems__(self, keys: list[Key]) -> Batch:
        """The collated batch of these keys."""
        indices = torch.tensor([key if isinstance(key, int) else key[1] for key in keys])
        return {"image": self.to_image(self.values[indices]), "label": self.labels[indices]}

    def to_image(self, values: Tensor) -> Tensor:
        """Stored values as floats in [-1, 1]."""
        return values.float().div_(self.highest / 2).sub_(1)

    def files(self) -> list[Path]:
        """The files, if any were given."""
        return [*self.paths]

    def fingerprint(self) -> str:
        """SHA-256 over pictures and labels."""
        return hashlib.sha256(self.values.numpy().tobytes() + self.labels.numpy().tobytes()).hexdigest()


class Digits(DataModule):
    """Scikit-learn's 1,797 real handwritten digits of 8x8 pixels, which need no download.

    Of every seven pictures in scikit-learn's order the first is for test and the second for validation (257
    each), the other five are for training (1,283). Values 0 to 16 become [-1, 1].

    Args:
        batch_size: Samples per training batch on each process.
        eval_batch_size: Samples per batch in validation and test; ``batch_size`` when not given.
        num_workers: Worker processes of the loaders; these digits need none.
        seed: Seed of the order; the run's seed when not given.
    """

    contract = "images"
    name = "scikit-learn digits (UCI optical recognition of handwritten digits, test part)"
    licence = "CC BY 4.0"
    research_only = False

    def __init__(
        self,
        batch_size: PositiveInt = 100,
        eval_batch_size: PositiveInt | None = None,
        num_workers: NonNegativeInt = 0,
        seed: Seed | None = None,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, num_workers, seed)

    def dataset(self, split: Split) -> MemorySet:
        """The split's digits."""
        digits = load_digits()
        values = torch.from_numpy(digits.images.astype("uint8")).unsqueeze(1)
        labels = torch.from_numpy(digits.target).long()
        place = torch.arange(len(labels)) % 7
        chosen = {"train": place > 1, "val": place == 1, "test": place == 0}[split]
        return MemorySet(values[chosen], labels[chosen], highest=16)

    def preprocessing(self) -> dict[str, Any]:
        """Size and value range."""
        return {"size": [8, 8], "channels": 1, "values": "0 to 16 become -1 to 1"}

    def fingerprint(self) -> str:
        """SHA-256 over the training digits."""
        return _in_memory(self).fingerprint()


class MNIST(DataModule):
    """MNIST from its four idx files, split as in Goodfellow et al. 2014.

    The first 50,000 training digits are for training, the last 10,000 for validation, the 10,000 test digits
    for test. Other sets in the same format (Fashion-MNIST) work too.

    Args:
        root: Folder of ``train-images-idx3-ubyte`` and its three companions, with ``.gz`` or without.
        pad: Black pixels added on each side; 2 give 32x32, for networks that halve and double.
        batch_size: Samples per training batch on each process.
        eval_batch_size: Samples per batch in validation and test; ``batch_size`` when not given.
        num_workers: Worker processes of the loaders; a set in memory needs none.
        seed: Seed of the order; the run's seed when not given.
    """

    contract = "images"
    research_only = False

    HASHES: ClassVar[dict[str, str]] = {  # SHA-256 of the unpacked files
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }
    HELD_OUT = 10_000

    def __init__(
        self,
        root: str = "data/mnist",
        batch_size: PositiveInt = 100,
        eval_batch_size: PositiveInt | None = None,
        num_workers: NonNegativeInt = 0,
        seed: Seed | None = None,
        pad: NonNegativeInt = 0,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, num_workers, seed)
        self.root, self.pad = find_root(root), pad
        self._hashes: dict[str, str] = {}  # of the files read so far

    def dataset(self, split: Split) -> MemorySet:
        """The split's digits.

        Raises:
            UserError: A file is missing, damaged, or does not belong to the others.
        """
        part = "t10k" if split == "test" else "train"
        images_name, labels_name = f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"
        values, labels = self._read(images_name, 3).unsqueeze(1), self._read(labels_name, 1).long()
        values = F.pad(values, [self.pad] * 4)
        if len(values) != len(labels):
            raise UserError(
                f"{self.root} holds {len(values)} pictures in {images_name} but {len(labels)} labels in "
                f"{labels_name}; take both files from the same place."
            )
        if split == "test":
            return MemorySet(values, labels)
        if len(values) <= self.HELD_OUT:
            raise UserError(
                f"{self.root / images_name} holds {len(values)} pictures, but the last {self.HELD_OUT} "
                "are held out for validation; give the whole training file."
            )
        cut = slice(None, -self.HELD_OUT) if split == "train" else slice(-self.HELD_OUT, None)
        return MemorySet(values[cut], labels[cut])

    def describe(self) -> dict[str, Any]:
        """As every data module; name and licence are MNIST's only if the files are."""
        described = super().describe()  # reads the training files, and so knows their hashes
        genuine = all(self.HASHES[name] == found for name, found in self._hashes.items())
        return {
            **described,
            "name": "MNIST" if genuine else f"idx files of {self.root.name}",
            "licence": "CC BY-SA 3.0" if genuine else "not stated",
        }

    def preprocessing(self) -> dict[str, Any]:
        """Size and value range."""
        return {
            "size": list(_in_memory(self).values.shape[2:]),
            "channels": 1,
            "values": "0 to 255 become -1 to 1",
            **({"pad": self.pad} if self.pad else {}),
        }

    def fingerprint(self) -> str:
        """SHA-256 over the training digits."""
        return _in_memory(self).fingerprint()

    def _read(self, name: str, dimensions: int) -> Tensor:
        path = self.root / name
        packed = path.with_name(f"{name}.gz")
        if not path.is_file() and not packed.is_file():
            raise UserError(
                f"{self.root} has no {name} (nor {name}.gz): put the four files {', '.join(self.HASHES)} "
                "there (`zoo data get mnist`, or fashion_mnist, says from where), or name their folder with "
                "data.root."
            )
        path = path if path.is_file() else packed
        values, self._hashes[name] = read_idx(path, dimensions)
        return values


@dataclass(eq=False, repr=False)
class PictureSet(SampleSet):
    """Picture files, decoded on demand.

    Args:
        paths: The files, in order.
        labels: One class number per file, or None.
        size: Side of the square crop in pixels; None keeps pictures as they are.
        load_size: Length of the shorter side before cropping; ``size`` when not given.
        random_crop: Crop at a random place in training instead of the centre.
        mirror: Mirror half of the training pictures.
        channels: Number of channels of every picture; None keeps the file's.
        reduced: Decode a JPEG at the smallest of 1/1, 1/2, 1/4, 1/8 that is not below ``load_size``.
    """

    paths: list[Path]
    labels: list[int] | None
    size: int | None
    load_size: int | None
    random_crop: bool
    mirror: bool
    channels: int | None
    reduced: bool = False

    def __post_init__(self) -> None:
        self.load_size = self.load_size or self.size
        self.first = self.load(0)["image"].shape  # what all others must match

    def __len__(self) -> int:
        return len(self.paths)

    def files(self) -> list[Path]:
        """The picture files."""
        return self.paths

    def load(self, index: int) -> Sample:
        """Picture ``index``, resized, in the bits of its file; cropped already if the crop is not random.

        Raises:
            UserError: The file is unreadable, or its size or number of channels differs from the first.
        """
        path = self.paths[index]
        array = (
            read_jpeg_reduced(path, self.load_size) if self.reduced and self.load_size else read_array(path)
        )
        image = with_channels(torch.from_numpy(array).permute(2, 0, 1), self.channels, path)
        if self.load_size is not None:
            image = shorter_side(image, self.load_size)
        if self.size is not None and not self.random_crop:
            image = middle(image, self.size, self.size)
        if index:
            self._check(index, image)
        loaded: Sample = {"image": image.contiguous()}
        return loaded if self.labels is None else loaded | {"label": torch.tensor(self.labels[index])}

    def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
        """The picture, cropped and mirrored, in bytes."""
        image, size = loaded["image"], self.size
        down, across, coin = (0.0, 0.0, 1.0) if random is None else torch.rand(3, generator=random).tolist()
        if size is not None and self.random_crop:
            rows, columns = image.shape[1] - size, image.shape[2] - size
            top, left = int(down * (rows + 1)), int(across * (columns + 1))
            image = middle(image, size, size) if random is None else cut(image, top, left, size, size)
        if self.mirror and coin < 0.5:
            image = image.flip(-1)
        return loaded | {"image": image}

    def _check(self, index: int, image: Tensor) -> None:
        if self.size is None and image.shape[1:] != self.first[1:]:
            raise UserError(
                f"{self.paths[index]} is {_size(image.shape)} but {self.paths[0]} is {_size(self.first)}; "
                "set data.size to resize them all."
            )
        if len(image) != self.first[0]:
            raise UserError(
                f"{self.paths[index]} has {len(image)} channels but {self.paths[0]} has {self.first[0]}; set "
                "data.channels to 1 or 3."
            )


class ImageFolder(DataModule):
    """Any folder of pictures: PNG, JPEG, TIFF, WebP, BMP or NPY, directly in it or in one folder a class.

    If the root has a folder ``train``, the splits are ``train``, ``val`` and ``test``; otherwise pictures are
    held out by their place in the order of names. Folders below a split are classes and give ``label``.

    Args:
        root: The folder.
        size: Side of the square pictures in pixels: the shorter side is resized, the centre cropped. If not
            given, all pictures must have one size.
        load_size: Length of the shorter side before cropping; ``size`` when not given.
        random_crop: Crop training pictures at a random place.
        mirror: Mirror half of the training pictures from left to right.
        channels: 1 converts all pictures to grey and 3 to RGB; if not given, they stay as they are, alpha
            included.
        hold_out: Without split folders, of so many pictures the first is for test and the second for
            validation; 0, and fewer than three pictures, hold out none.
        licence: Licence of the pictures, stored in checkpoints; unknown when not given.
        research_only: Whether the licence allows research only.
        reduced_decoding: Decode training JPEGs at a fraction of their size if that suffices: faster, but the
            pixels differ. Evaluation always decodes the whole picture.
        options: Options of every data module, see :class:`zoo.data.base.DataModule`.
    """

    contract = "images"
    default_batch_size = 64

    def __init__(
        self,
        root: str,
        size: PositiveInt | None = None,
        load_size: PositiveInt | None = None,
        random_crop: bool = False,
        mirror: bool = False,
        channels: PositiveInt | None = None,
        hold_out: NonNegativeInt = 10,
        licence: str | None = None,
        research_only: bool = False,
        reduced_decoding: bool = False,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        at_least(1, size=size)
        if load_size is not None and (size is None or load_size < size):
            raise UserError(
                f"data.load_size {load_size} needs a data.size that is not larger, got {size}; change one."
            )
        if random_crop and size is None:
            raise UserError("data.random_crop needs data.size, the side of the square to cut out.")
        if channels not in (None, 1, 3):
            raise UserError(f"data.channels must be 1 (grey) or 3 (RGB), got {channels}; or leave it out.")
        require_hold_out(hold_out)
        self.root, self.hold_out = find_root(root), hold_out
        self.size, self.load_size, self.random_crop = size, load_size, random_crop
        self.mirror, self.channels = mirror, channels
        self.name, self.research_only = self.root.resolve().name, research_only
        self.licence = licence or self.licence
        self.reduced_decoding = reduced_decoding

    def files(self, split: Split) -> tuple[Path, list[Path]]:
        """The split's folder and its pictures, sorted by name.

        Raises:
            UserError: There is no such folder.
        """
        if not self.root.is_dir():
            raise UserError(
                f"There is no folder {self.root}; set data.root to a folder of pictures (`zoo data list` "
                "names sets)."
            )
        folder = self.root / split if (self.root / "train").is_dir() else self.root
        return folder, split_pictures(self.root, split, self.hold_out)

    def dataset(self, split: Split) -> PictureSet | None:
        """The split's pictures.

        Raises:
            UserError: There is no training picture, or the first one is unreadable.
        """
        folder, paths = self.files(split)
        if not paths:
            if split != "train":
                return None
            raise UserError(
                f"{folder} has no pictures for training; put files there that end with one of "
                f"{', '.join(PICTURE_SUFFIXES)}."
            )
        return PictureSet(
            paths,
            self._labels(folder, paths),
            self.size,
            self.load_size,
            self.random_crop,
            self.mirror,
            self.channels,
            self.reduced_decoding and split == "train",
        )

    def _labels(self, folder: Path, paths: list[Path]) -> list[int] | None:
        train, known = self.files("train")
        classes = sorted({path.relative_to(train).parts[0] for path in known if path.parent != train})
        names = [path.relative_to(folder).parts[0] for path in paths]
        if not classes or not set(names) <= set(classes):
            return None
        return [classes.index(name) for name in names]

    def preprocessing(self) -> dict[str, Any]:
        """Size, crop and channels."""
        first = self._train().first
        return {
            "size": [self.size, self.size] if self.size else list(first[1:]),
            **self.settings("load_size", "random_crop", "mirror"),
            "channels": first[0],
            "reduced_decoding": self.reduced_decoding,
        }

    def fingerprint(self) -> str:
        """SHA-256 over names and sizes of the training pictures."""
        return folder_fingerprint(self._train().paths, self.root)

    def _train(self) -> PictureSet:
        train = self.split("train")
        assert isinstance(train, PictureSet)
        return train

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """True: any folder may hold pictures."""
        return True

    @classmethod
    def check(cls, root: Path) -> Findings:
        """Check every picture of a folder."""
        split_folders = (root / "train").is_dir()
        layout = "train, val and test" if split_folders else "one folder, some held out for test"
        found = Findings("images", layout, public_path(cls))
        data = cls(str(root))
        for split in SPLITS:
            examine(found, split, data.files(split)[1], _facts, lambda path: [path])
        folders = [folder for folder in [root, *root.rglob("*")] if folder.is_dir()]
        found.notes += left_out(folders, PICTURE_SUFFIXES)
        require_training(found, root, "put pictures in it, or in train/, val/ and test/ below it")
        if found.facts:
            shortest = min(min(fact.size) for fact in found.facts)
            found.arguments["size"] = min(256, 2 ** int(math.log2(shortest)))
            if len({fact.channels for fact in found.facts}) > 1:
                found.arguments["channels"] = 3
            found.arguments["batch_size"] = max(1, min(64, found.samples["train"] // 2))
        return found


def _in_memory(data: DataModule) -> MemorySet:
    """The training pictures, read once."""
    train = data.split("train")
    assert isinstance(train, MemorySet)
    return train


def _facts(path: Path) -> list[Facts]:
    return [picture_facts(path, "image", read_array(path))]


def _size(shape: torch.Size) -> str:
    return f"{shape[2]}x{shape[1]}"
