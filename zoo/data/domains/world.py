"""Drawn domains: faces and emoji, digits and MNIST-M."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.bounds import Degrees, PositiveInt, Seed
from zoo.data.base import LoaderOptions, Sample, Split
from zoo.data.domains.module import DomainModule, UnpairedSet
from zoo.data.drawn import DrawnModule, DrawnSet
from zoo.data.folders import find_root, folder_fingerprint, pictures_below
from zoo.data.images.module import MNIST, MemorySet
from zoo.data.pixels import opaque, require_picture, with_channels
from zoo.data.worlds import faces
from zoo.errors import UserError
from zoo.files.pictures import read_array
from zoo.seeds import mix

OTHERS = 500_000  # from a drawn face to the person of its unpaired emoji


class FacesToEmoji(DrawnModule, DomainModule):
    """Drawn faces as sources and drawn emoji as targets; needs no files.

    The emoji are of other people than the faces. In evaluation a batch holds ``truth`` too: the emoji of the
    face's own parameters, which training never shows.

    Args:
        size: Pixels of each side.
        most_yaw: Largest yaw of the faces to either side, 0 to 90 degrees.
        train_length: Faces per epoch, and as many emoji.
        eval_length: Faces of validation, and as many others of test.
        world: Seed of the world. Validation and test depend on it alone.
        options: Options of every data module, see :class:`zoo.data.base.DataModule`.
    """

    name = "faces to emoji"
    longest = (OTHERS, OTHERS)

    def __init__(
        self,
        size: PositiveInt = 64,
        most_yaw: Degrees = 20.0,
        train_length: PositiveInt = 10_000,
        eval_length: PositiveInt = 500,
        world: Seed = 0,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        require_picture(size)
        if not 0 <= most_yaw <= 90:
            raise UserError(f"data.most_yaw is {most_yaw}; give 0 to 90 degrees.")
        self.size, self.most_yaw = size, most_yaw
        self.set_lengths(train_length, eval_length, world)

    def draw(self, first: int, length: int, split: Split) -> EmojiSet:
        """Faces ``first`` to ``first + length`` with emoji of other people."""
        return EmojiSet(self.world, first, length, self.size, self.most_yaw, split != "train")

    def preprocessing(self) -> dict[str, Any]:
        """Size and how far faces are turned."""
        return self.settings("size", "most_yaw", "train_length", "world")


@dataclass(eq=False, repr=False)
class EmojiSet(DrawnSet):
    """Drawn faces ``first`` to ``first + length``, each with an emoji of a person whose face is never drawn.

    Args:
        size: Pixels of each side.
        most_yaw: Largest yaw in degrees.
        truth: Also give each face's own emoji.
    """

    size: int
    most_yaw: float
    truth: bool

    def load(self, index: int) -> Sample:
        """A face, another person's emoji, and in evaluation its own."""
        number = self.first + index
        shown = faces.parameters(self.world, number)
        turn = np.random.default_rng(mix("yaw", self.world, number)).uniform(-1, 1)
        drawn: Sample = {
            "source": faces.draw(shown, turn * self.most_yaw, self.size).picture,
            "target": faces.emoji(faces.parameters(self.world, number + OTHERS), self.size),
        }
        return drawn | {"truth": faces.emoji(shown, self.size)} if self.truth else drawn


class DigitsToMNISTM(DomainModule):
    """MNIST as source and MNIST-M as target, blended here from MNIST and photographs.

    MNIST-M (Ganin and Lempitsky 2015, https://arxiv.org/abs/1409.7495): for each digit, brought to 32 pixels
    by a black frame, the absolute difference, channel by channel, to a random 32 x 32 piece of a random
    BSDS500 photograph. Which pieces follows from ``world``, so the digits are not theirs. Batches hold
    ``label`` and ``target_label`` too. Splits are those of :class:`zoo.data.images.MNIST`.

    Args:
        mnist: Folder of MNIST's four idx files.
        photos: Folder of photographs; its ``train/`` if it has one.
        to_mnist: Make MNIST-M the source and MNIST the target.
        world: Seed of the pieces that are cut.
        options: Options of every data module, see :class:`zoo.data.base.DataModule`.
    """

    default_batch_size = 100

    def __init__(
        self,
        mnist: str = "data/mnist",
        photos: str = "data/bsds500",
        to_mnist: bool = False,
        world: Seed = 0,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        self.digits = MNIST(str(find_root(mnist)))
        photos_root = find_root(photos)
        self.photos = photos_root / "train" if (photos_root / "train").is_dir() else photos_root
        self.to_mnist, self.world = to_mnist, world
        self.name = "MNIST-M to MNIST" if to_mnist else "MNIST to MNIST-M"

    @cached_property
    def _photographs(self) -> list[np.ndarray[Any, Any]]:
        paths = pictures_below(self.photos)
        if not paths:
            raise UserError(f"{self.photos} holds no photographs; name a folder of some with data.photos.")
        read = []
        for path in paths:
            pixels = with_channels(opaque(read_array(path), path), 3, path).permute(1, 2, 0).numpy()
            if min(pixels.shape[:2]) < 33 or pixels.dtype != np.uint8:
                raise UserError(f"{path} is no 8-bit picture of more than 32 pixels a side; take it out.")
            read.append(pixels)
        return read

    def dataset(self, split: Split) -> MNISTMSet:
        """Digits and blended digits of a split.

        Raises:
            UserError: MNIST or the photographs are missing or damaged.
        """
        digits = self.digits.dataset(split)
        files = [*pictures_below(self.photos), *sorted(self.digits.root.glob("*-ubyte*"))]
        return MNISTMSet(digits, self._photographs, files, split, self.world, self.to_mnist)

    def describe(self) -> dict[str, Any]:
        """As every data module; the licence is that of the digits and the photographs."""
        digits = self.digits.describe()["licence"]
        photographs = "Berkeley photographs: non-commercial research and education"
        return {**super().describe(), "licence": f"{digits}; {photographs}"}

    def preprocessing(self) -> dict[str, Any]:
        """Size, channels, direction, and which pieces are cut."""
        return {"size": 32, "channels": 3, **self.settings("to_mnist", "world")}

    def fingerprint(self) -> str:
        """SHA-256 over digits and photographs."""
        photographs = folder_fingerprint(pictures_below(self.photos), self.photos)
        return hashlib.sha256(f"{self.digits.fingerprint()} {photographs}".encode()).hexdigest()


@dataclass(eq=False, repr=False)
class MNISTMSet(UnpairedSet):
    """Digits, and blends of other digits with photographs.

    Args:
        digits: Digits of the split.
        photographs: (H, W, 3) uint8, more than 32 pixels a side.
        sources: Files of digits and photographs.
        split: Split; each has its own pieces of photographs.
        world: Seed of the pieces that are cut.
        swap: Make the blends the source.
    """

    digits: MemorySet
    photographs: list[np.ndarray[Any, Any]]
    sources: list[Path]
    split: Split
    world: int
    swap: bool

    def __len__(self) -> int:
        return len(self.digits)

    def files(self) -> list[Path]:
        """MNIST's files and the photographs."""
        return self.sources

    def load(self, index: int) -> Sample:
        """Digit ``index``, and the blended digit half a set further on."""
        other = (index + len(self) // 2) % len(self)
        plain, blend = self._plain(index).expand(3, -1, -1).contiguous(), self.blend(other)
        labels = [self.digits.labels[at] for at in (index, other)]
        if self.swap:
            plain, blend = blend, plain
            labels.reverse()
        return {"source": plain, "target": blend, "label": labels[0], "target_label": labels[1]}

    def _plain(self, index: int) -> Tensor:
        return F.pad(self.digits.values[index], (2, 2, 2, 2))

    def blend(self, index: int) -> Tensor:
        """Digit ``index`` of MNIST-M, (3, 32, 32) uint8."""
        random = np.random.default_rng(mix("mnist-m", self.world, self.split, index))
        photograph = self.photographs[random.integers(len(self.photographs))]
        top, left = (int(random.integers(side - 32)) for side in photograph.shape[:2])
        piece = torch.from_numpy(
            photograph[top : top + 32, left : left + 32].transpose(2, 0, 1).astype(np.int16)
        )
        return (piece - self._plain(index).short()).abs().to(torch.uint8)
