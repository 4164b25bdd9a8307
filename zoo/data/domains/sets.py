"""A public pair of domains, SVHN to MNIST; batches have ``label`` and ``target_label`` too."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Unpack

from zoo.data.base import LoaderOptions, Sample, SampleSet, Split
from zoo.data.domains.module import DomainModule, UnpairedSet
from zoo.data.images.module import MNIST, MemorySet
from zoo.data.images.sets import SVHN
from zoo.data.pixels import squared

SIDE = 32


class LabelledDomains(UnpairedSet):
    """Two sets of labelled pictures of one size, grey or RGB.

    Args:
        source: Pictures of one domain.
        target: Pictures of the other.
        training: An epoch then covers the larger domain once; in evaluation it covers the sources.
    """

    def __init__(self, source: SampleSet, target: SampleSet, training: bool) -> None:
        self.source, self.target = source, target
        self.length = max(len(source), len(target)) if training else len(source)

    def files(self) -> list[Path]:
        """The files of both domains."""
        return [*self.source.files(), *self.target.files()]

    def load(self, index: int) -> Sample:
        """Picture ``index`` of each domain as RGB; the smaller domain repeats from its start."""
        source, target = (side.load(index % len(side)) for side in (self.source, self.target))
        return {
            "source": source["image"].expand(3, -1, -1).contiguous(),
            "target": target["image"].expand(3, -1, -1).contiguous(),
            "label": source["label"],
            "target_label": target["label"],
        }


class SVHNToMNIST(DomainModule):
    """House numbers as source and MNIST as target, as in DTN (https://arxiv.org/abs/1611.02200, section 5.1).

    MNIST's digits are resized to 32 pixels. Splits are those of :class:`zoo.data.image_sets.SVHN` and
    :class:`zoo.data.images.MNIST`.

    Args:
        svhn: Folder of SVHN's ``.mat`` files.
        mnist: Folder of MNIST's four idx files.
        extra: Train on SVHN's 531,131 additional digits instead of its 73,257, as the paper does.
        options: Options of every data module; ``cache`` is off by default, since all is in memory.
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

    def dataset(self, split: Split) -> LabelledDomains | None:
        """House numbers, and digits resized to 32 pixels; None if no house numbers are held out.

        Raises:
            UserError: A file is missing or damaged.
        """
        houses, digits = self.svhn.dataset(split), self.mnist.dataset(split)
        if houses is None:
            return None
        values, _ = squared(digits.values[:, 0], SIDE, "stretch")
        resized = MemorySet(values[:, None], digits.labels)
        return LabelledDomains(houses, resized, split == "train")

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
        """SHA-256 of both sets' fingerprints."""
        prints = f"{self.svhn.fingerprint()}\n{self.mnist.fingerprint()}"
        return hashlib.sha256(prints.encode()).hexdigest()
