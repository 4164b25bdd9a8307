"""Public sets of labelled pictures that come in a few large files: CIFAR-10 and SVHN.

The files are those that the owners publish and ``zoo data get`` fetches::

    cifar10/                        svhn/
      data_batch_1.bin …              train_32x32.mat
      data_batch_5.bin                test_32x32.mat
      test_batch.bin                  extra_32x32.mat     if wanted

Both are kept in memory as bytes. Nothing is unpickled: CIFAR-10 is read from its binary version, and the
MATLAB files hold plain arrays.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar, Unpack

import numpy as np
import torch
from torch import Tensor

from zoo.bounds import NonNegativeInt
from zoo.data.base import DataModule, LoaderOptions, Split
from zoo.data.checks import at_least
from zoo.data.folders import find_root
from zoo.data.images.module import MemorySet
from zoo.errors import UserError
from zoo.files.matlab import read_mat
from zoo.files.reading import read_bytes
from zoo.files.writing import sha256


class LabelledModule(DataModule):
    """Labelled pictures from whole files; the last training pictures are held out for validation."""

    contract: ClassVar[str] = "images"

    def __init__(self, root: str, hold_out: NonNegativeInt, **options: Unpack[LoaderOptions]) -> None:
        super().__init__(**options)
        at_least(0, hold_out=hold_out)
        self.root, self.hold_out = find_root(root), hold_out

    def paths(self, split: Split) -> list[Path]:
        """The files of a split; ``val`` shares those of ``train``."""
        raise NotImplementedError

    def read(self, path: Path) -> tuple[Tensor, Tensor]:
        """One file's pictures (N, 3, 32, 32) of uint8 and their classes (N,).

        Raises:
            UserError: The file is missing or damaged.
        """
        raise NotImplementedError

    def dataset(self, split: Split) -> MemorySet | None:
        """The split's pictures; None if none are held out.

        Raises:
            UserError: A file is missing or damaged, or all pictures would be held out.
        """
        if split == "val" and not self.hold_out:
            return None
        paths = self.paths(split)
        read = [self.read(path) for path in paths]
        values, labels = (
            torch.cat(parts) if len(parts) > 1 else parts[0] for parts in zip(*read, strict=True)
        )
        if split != "test":
            if len(values) <= self.hold_out:
                raise UserError(
                    f"{self.root} holds {len(values)} training pictures, but data.hold_out keeps "
                    f"{self.hold_out} for validation; lower it."
                )
            cut = len(values) - self.hold_out
            here = slice(None, cut) if split == "train" else slice(cut, None)
            values, labels = values[here], labels[here]
        return MemorySet(values, labels, paths=paths)

    def preprocessing(self) -> dict[str, Any]:
        """Size, channels, value range, and how many pictures are kept for validation."""
        return {
            "size": [32, 32],
            "channels": 3,
            "values": "0 to 255 become -1 to 1",
            "hold_out": self.hold_out,
        }

    def fingerprint(self) -> str:
        """SHA-256 over the training files."""
        prints = [sha256(path) for path in self.paths("train")]
        return hashlib.sha256("\n".join(prints).encode()).hexdigest()


class CIFAR10(LabelledModule):
    """CIFAR-10 from its binary version: 50,000 pictures for training and 10,000 for test, ten classes.

    Krizhevsky 2009, Learning multiple layers of features from tiny images.

    Args:
        root: Folder of ``data_batch_1.bin`` to ``data_batch_5.bin`` and ``test_batch.bin``.
        hold_out: Number of training pictures, the last ones, held out for validation; none in the papers.
        options: Options of every data module.
    """

    name = "CIFAR-10"
    licence = "none stated; Krizhevsky 2009 asks for a citation"
    research_only = True
    COUNT: ClassVar[int] = 10_000  # pictures per file
    SIDE: ClassVar[int] = 32

    def __init__(
        self, root: str = "data/cifar10", hold_out: NonNegativeInt = 0, **options: Unpack[LoaderOptions]
    ) -> None:
        super().__init__(root, hold_out, **options)

    def paths(self, split: Split) -> list[Path]:
        """Five files for training, one for test."""
        names = ["test_batch"] if split == "test" else [f"data_batch_{k}" for k in range(1, 6)]
        return [self.root / f"{name}.bin" for name in names]

    def read(self, path: Path) -> tuple[Tensor, Tensor]:
        """Per picture one byte for the class, then the red, green and blue planes."""
        if not path.is_file():
            raise UserError(
                f"There is no file {path}; put the files of CIFAR-10's binary version there (zoo data get "
                "cifar10), or name their folder with data.root."
            )
        data = read_bytes(path)
        each = 1 + 3 * self.SIDE**2
        if len(data) != self.COUNT * each:
            raise UserError(
                f"{path} has {len(data)} bytes where {self.COUNT} pictures of CIFAR-10's binary version have "
                f"{self.COUNT * each}; fetch it again."
            )
        rows = torch.frombuffer(bytearray(data), dtype=torch.uint8).view(self.COUNT, each)
        labels = rows[:, 0].long()
        if int(labels.max()) > 9:
            raise UserError(
                f"{path} names class {int(labels.max())} where CIFAR-10 has 0 to 9; fetch it again."
            )
        return rows[:, 1:].reshape(self.COUNT, 3, self.SIDE, self.SIDE), labels


class SVHN(LabelledModule):
    """Street View House Numbers, cropped digits of 32 pixels (Netzer et al. 2011), from MATLAB's files.

    73,257 pictures for training and 26,032 for test; the label is the digit, so class 10 of the files is 0.
    The arrays keep the memory order of the files (columns first); only the view is permuted.

    Args:
        root: Folder of ``train_32x32.mat``, ``test_32x32.mat`` and, for ``extra``, ``extra_32x32.mat``.
        extra: Train on the 531,131 additional, easier digits instead (1.6 GB of memory), as DTN does
            (https://arxiv.org/abs/1611.02200, section 5.1).
        hold_out: Number of training pictures, the last ones, held out for validation.
        options: Options of every data module.
    """

    name = "SVHN cropped digits"
    licence = "Street View House Numbers: non-commercial use only"
    research_only = True

    def __init__(
        self,
        root: str = "data/svhn",
        extra: bool = False,
        hold_out: NonNegativeInt = 5000,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(root, hold_out, **options)
        self.extra = extra

    def paths(self, split: Split) -> list[Path]:
        """One file."""
        name = "test" if split == "test" else "extra" if self.extra else "train"
        return [self.root / f"{name}_32x32.mat"]

    def read(self, path: Path) -> tuple[Tensor, Tensor]:
        """``X`` (32, 32, 3, N) of uint8 and ``y`` (N, 1) from 1 to 10."""
        if not path.is_file():
            raise UserError(
                f"There is no file {path}; put SVHN's {path.name} there (zoo data get svhn), or name its "
                "folder with data.root."
            )
        found = read_mat(path)
        x, y = (np.asarray(found.get(name, ())) for name in ("X", "y"))
        count = x.shape[-1] if x.ndim else 0
        if (
            x.shape != (32, 32, 3, count)
            or not count
            or x.dtype != np.uint8
            or y.size != count
            or y.dtype.kind not in "iuf"
        ):
            raise UserError(
                f"{path} holds X {x.shape} of {x.dtype} and y {y.shape} where SVHN's cropped digits are X "
                "(32, 32, 3, N) of uint8 and y (N, 1); take the files of format 2."
            )
        labels = torch.from_numpy(y.reshape(-1).astype(np.int64))
        if int(labels.min()) < 1 or int(labels.max()) > 10:
            raise UserError(
                f"{path} holds classes {int(labels.min())} to {int(labels.max())} where SVHN has 1 to 10; "
                "fetch it again."
            )
        return torch.from_numpy(x.transpose(3, 2, 0, 1)), labels % 10

    def preprocessing(self) -> dict[str, Any]:
        """As every such set, and whether the additional digits are used for training."""
        return {**super().preprocessing(), "extra": self.extra}
