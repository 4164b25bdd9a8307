"""Known sets of two domains of digits: SVHN to MNIST, and MNIST to the authors' own MNIST-M.

What :mod:`zoo.data.domains` says of unpaired targets holds here too; batches have ``label`` and
``target_label``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.data.base import DataModule, LoaderOptions, Sample, SampleSet, Split, find_root, folder_fingerprint
from zoo.data.domains.files import squared
from zoo.data.domains.module import UnpairedSet, beside
from zoo.data.images.module import MNIST, MemorySet, PictureSet
from zoo.data.images.sets import SVHN
from zoo.errors import UserError

SIDE = 32


class DigitDomainsModule(DataModule):
    """Labelled digits of two kinds, 3 x 32 x 32."""

    contract: ClassVar[str] = "domains"

    def sides(self, split: Split) -> tuple[SampleSet, SampleSet] | None:
        """The two sets of labelled pictures; None where the first has no such split."""
        raise NotImplementedError

    def dataset(self, split: Split) -> LabelledDomains | None:
        """Digits of both kinds.

        Raises:
            UserError: A file is missing or damaged.
        """
        sides = self.sides(split)
        return LabelledDomains(*sides, split == "train") if sides else None

    def sheet(self, samples: list[Sample]) -> Tensor:
        """Sources beside targets, which nobody paired."""
        return beside(samples, ("source", "target"))


class LabelledDomains(UnpairedSet):
    """Two sets of labelled pictures of one size, grey or RGB.

    Args:
        source: Of the one domain.
        target: Of the other.
        training: An epoch then goes through the larger domain once; in evaluation through the sources.
    """

    def __init__(self, source: SampleSet, target: SampleSet, training: bool) -> None:
        self.source, self.target = source, target
        self.length = max(len(source), len(target)) if training else len(source)

    def __len__(self) -> int:
        """Number of samples in an epoch."""
        return self.length

    def files(self) -> list[Path]:
        """The files of both domains."""
        return [*self.source.files(), *self.target.files()]

    def load(self, index: int) -> Sample:
        """Picture ``index`` of each domain as RGB, from the start again where one has fewer."""
        source, target = (side.load(index % len(side)) for side in (self.source, self.target))
        return {
            "source": source["image"].expand(3, -1, -1).contiguous(),
            "target": target["image"].expand(3, -1, -1).contiguous(),
            "label": source["label"],
            "target_label": target["label"],
        }


class SVHNToMNIST(DigitDomainsModule):
    """House numbers as source and MNIST as target, as in DTN (https://arxiv.org/abs/1611.02200, section 5.1).

    MNIST's digits are resized to 32 pixels. Splits are those of :class:`zoo.data.image_sets.SVHN` and
    :class:`zoo.data.images.MNIST`.

    Args:
        svhn: Folder of SVHN's ``.mat`` files.
        mnist: Folder of MNIST's four idx files.
        extra: Train on SVHN's 531,131 additional digits instead of its 73,257, as the paper does.
        options: Those of every data module; ``cache`` is off when not given, for all is in memory.
    """

    cache_by_default = False
    research_only = True

    def __init__(
        self,
        svhn: str = "data/svhn",
        mnist: str = "data/mnist",
        extra: bool = False,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        self.svhn, self.mnist = SVHN(svhn, extra), MNIST(mnist)

    def sides(self, split: Split) -> tuple[SampleSet, SampleSet] | None:
        """House numbers, and digits of 32 pixels."""
        houses, digits = self.svhn.dataset(split), self.mnist.dataset(split)
        if houses is None:
            return None
        values, _ = squared(digits.values[:, 0], SIDE, "stretch")
        return houses, MemorySet(values[:, None], digits.labels, highest=255)

    def describe(self) -> dict[str, Any]:
        """As every data module; name and licence are those of both sets."""
        houses, digits = self.svhn.describe(), self.mnist.describe()
        return {
            **super().describe(),
            "name": f"SVHN to {digits['name']}",
            "licence": f"{houses['licence']}; {digits['name']}: {digits['licence']}",
        }

    def preprocessing(self) -> dict[str, Any]:
        """Size, channels, and whether SVHN's additional digits are used."""
        return {"size": SIDE, "channels": 3, "extra": self.svhn.extra, "digits": "resized"}

    def fingerprint(self) -> str:
        """SHA-256 over both sets."""
        return _joined(self.svhn.fingerprint(), self.mnist.fingerprint())


class PublishedMNISTM(DigitDomainsModule):
    """MNIST as source and the MNIST-M of its authors as target.

    Ganin and Lempitsky 2015 (https://arxiv.org/abs/1409.7495) give PNG files out, and the digit of each in a
    list (``00000000.png 5``)::

        root/mnist_m_train/00000000.png …    root/mnist_m_train_labels.txt
        root/mnist_m_test/00000000.png …     root/mnist_m_test_labels.txt

    59,001 are for training, of which the last 9,000 are kept for validation, and 9,001 for test. MNIST's
    digits are brought to 32 pixels by a black frame.

    Args:
        root: Their folder.
        mnist: Folder of MNIST's four idx files.
        to_mnist: Swap the two: MNIST-M as source.
        options: Those of every data module.
    """

    research_only = True
    HELD_OUT: ClassVar[int] = 9000

    def __init__(
        self,
        root: str = "data/mnist_m",
        mnist: str = "data/mnist",
        to_mnist: bool = False,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        self.root, self.mnist, self.to_mnist = find_root(root), MNIST(mnist), to_mnist

    def sides(self, split: Split) -> tuple[SampleSet, SampleSet] | None:
        """Framed digits, and the published blends."""
        plain = self.mnist.dataset(split)
        digits = MemorySet(F.pad(plain.values, (2, 2, 2, 2)), plain.labels, highest=255)
        rows = self._rows("test" if split == "test" else "train")
        if split != "test":
            if len(rows) <= self.HELD_OUT:
                raise UserError(
                    f"{self.root / 'mnist_m_train_labels.txt'} lists {len(rows)} pictures, but the last "
                    f"{self.HELD_OUT} are kept for validation; unpack the whole set."
                )
            rows = rows[: -self.HELD_OUT] if split == "train" else rows[-self.HELD_OUT :]
        paths, labels = [path for path, _ in rows], [label for _, label in rows]
        blends = PictureSet(paths, labels, None, None, False, False, 3)
        if blends.first != torch.Size((3, SIDE, SIDE)):
            height, width = blends.first[1:]
            raise UserError(f"{paths[0]} is {width} x {height} pixels where MNIST-M has {SIDE}; replace it.")
        return (blends, digits) if self.to_mnist else (digits, blends)

    def _rows(self, part: str) -> list[tuple[Path, int]]:
        """The pictures that a list names, and their digits."""
        folder, table = self.root / f"mnist_m_{part}", self.root / f"mnist_m_{part}_labels.txt"
        try:
            lines = table.read_text(encoding="utf-8").splitlines()
            there = {path.name for path in folder.iterdir()}
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"Cannot read {folder} with {table.name} ({error}); unpack mnist_m.tar.gz, or name its "
                "folder with data.root."
            ) from error
        rows = []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            name, _, label = line.strip().partition(" ")
            if name not in there:
                raise UserError(
                    f"{table} line {number} names {name}, which is not in {folder}; unpack the whole set."
                )
            if label not in tuple("0123456789"):
                raise UserError(f"{table} line {number} gives {name} the label “{label}”; it must be 0 to 9.")
            rows.append((folder / name, int(label)))
        if not rows:
            raise UserError(f"{table} lists no pictures; unpack the whole set.")
        return rows

    def describe(self) -> dict[str, Any]:
        """Name, licences, how digits are prepared, and a fingerprint of both sets."""
        digits = self.mnist.describe()
        paths, labels = zip(*self._rows("train"), strict=True)
        blends = _joined(folder_fingerprint(paths, self.root), str(labels))
        return {
            "contract": self.contract,
            "name": "published MNIST-M to MNIST" if self.to_mnist else "MNIST to published MNIST-M",
            "licence": f"{digits['licence']}; Berkeley photographs: non-commercial research and education",
            "research_only": self.research_only,
            "preprocessing": {"size": SIDE, "channels": 3, "to_mnist": self.to_mnist, "digits": "framed"},
            "fingerprint": _joined(digits["fingerprint"], blends),
        }


def _joined(*prints: str) -> str:
    return hashlib.sha256("\n".join(prints).encode()).hexdigest()
