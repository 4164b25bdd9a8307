"""Sets of pictures to score, in bytes: a folder, a split of a data set, what a generator makes.

Each gives every picture once, whatever the number of processes, and says in ``facts`` what it is, so that a
score can state it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from zoo.data.base import Batch, DataModule, SampleSet, Split, collate
from zoo.data.contracts import CONTRACTS
from zoo.data.pairs.files import pictures_in
from zoo.errors import UserError
from zoo.files.pictures import read_array, to_tensor
from zoo.files.writing import sha256
from zoo.metrics.formulas.pixels import PixelGate, to_bytes
from zoo.seeds import mix

AT_ONCE = 256  # samples of noise computed together; `zoo sample` makes the same ones
Numbered = tuple[Tensor, Tensor]  # places (N) among all, from 0, and pictures (N, C, H, W) in bytes


class Pictures(Protocol):
    """A set of pictures."""

    def __len__(self) -> int:
        """How many there are."""

    def facts(self) -> dict[str, Any]:
        """What they are, in plain values."""

    def batches(self, rank: int = 0, ranks: int = 1) -> Iterator[Numbered]:
        """This process's share; the shares of all processes together hold each picture once."""


def chosen(length: int, count: int | None, seed: int) -> list[int]:
    """``count`` places of ``length``, in order, drawn by seed; all where no count is given.

    Raises:
        UserError: There are fewer.
    """
    if count is None or count == length:
        return list(range(length))
    if not 2 <= count <= length:
        raise UserError(f"{count} pictures were asked for and there are {length}; ask for 2 to {length}.")
    random = torch.Generator().manual_seed(mix("chosen", seed, length))
    return sorted(torch.randperm(length, generator=random)[:count].tolist())


class FolderPictures:
    """The picture files of a folder, or of the folders directly below it; 16-bit values are rounded to 8.

    Args:
        folder: The folder.
        count: So many of them, drawn by ``seed``; all when not given.
        seed: Of that choice.

    Raises:
        UserError: There is no such folder, or it holds fewer than two pictures.
    """

    def __init__(self, folder: Path, count: int | None = None, seed: int = 0) -> None:
        if not folder.is_dir():
            raise UserError(f"There is no folder {folder}; give one that holds pictures.")
        files = pictures_in(folder)
        files = files or [
            f for below in sorted(folder.iterdir()) if below.is_dir() for f in pictures_in(below)
        ]
        if len(files) < 2:
            raise UserError(f"{folder} holds {len(files)} pictures and a score needs at least two; fill it.")
        self.folder, self.seed = folder, seed
        self.files = [files[i] for i in chosen(len(files), count, seed)]
        self.of = len(files)

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.files)

    def facts(self) -> dict[str, Any]:
        """The folder's name, and a hash of what its files hold."""
        name = f"folder {self.folder.resolve().name}"
        return _drawn({"pictures": name, "count": len(self), "sha256": self._digest}, self.of, self.seed)

    @cached_property
    def _digest(self) -> str:
        whole = hashlib.sha256()
        for path in self.files:
            whole.update(bytes.fromhex(sha256(path)))
        return whole.hexdigest()

    def batches(self, rank: int = 0, ranks: int = 1) -> Iterator[Numbered]:
        """Pictures of one size together, as far as they follow each other.

        Raises:
            UserError: A file cannot be read or is no picture of one or three channels; names it.
        """
        mine = range(rank, len(self.files), ranks)
        group: list[Tensor] = []
        places: list[int] = []
        for place in mine:
            picture = self._read(self.files[place])
            if group and (group[0].shape != picture.shape or len(group) == AT_ONCE):
                yield torch.tensor(places), to_bytes(torch.stack(group), "[-1,1]")
                group, places = [], []
            group.append(picture)
            places.append(place)
        if group:
            yield torch.tensor(places), to_bytes(torch.stack(group), "[-1,1]")

    @staticmethod
    def _read(path: Path) -> Tensor:
        picture = to_tensor(read_array(path))
        if len(picture) in (2, 4):
            raise UserError(
                f"{path} has an alpha channel, and what shows through it would change the score; lay it over "
                "a background first."
            )
        if len(picture) not in (1, 3):
            raise UserError(f"{path} has {len(picture)} channels; give grey pictures or RGB.")
        return picture


class SetPictures:
    """Pictures of one split of a data set, not augmented.

    Args:
        samples: The split.
        key: Which of a sample's pictures: ``image``, ``target``.
        about: What to say of them: name, split, fingerprint.
        count: So many of them, drawn by ``seed``; all when not given.
        seed: Of that choice.
    """

    def __init__(
        self, samples: SampleSet, key: str, about: dict[str, Any], count: int | None = None, seed: int = 0
    ) -> None:
        self.samples, self.key, self.about, self.seed = samples, key, about, seed
        self.places = chosen(len(samples), count, seed)

    @classmethod
    def of(cls, data: DataModule, split: Split, count: int | None = None, seed: int = 0) -> SetPictures:
        """The pictures of a split that a model of this data aims at.

        Raises:
            UserError: The contract has none, or the data no such split.
        """
        if not CONTRACTS[data.contract].is_picture:
            raise UserError(f"{type(data).__name__} holds {data.contract}; these protocols score pictures.")
        samples = data.split(split)
        if samples is None:
            raise UserError(f"{type(data).__name__} has no {split} split; choose another.")
        facts = data.description()
        prepared = facts.get("preprocessing", {}).items()
        about = {
            "pictures": facts.get("name"),
            "split": split,
            "fingerprint": facts.get("fingerprint"),
            # lists of classes and colours are in the fingerprint's data
            "preprocessing": {k: v for k, v in prepared if not (isinstance(v, list) and len(v) > 4)},
        }
        return cls(samples, CONTRACTS[data.contract].real, about, count, seed)

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.places)

    def facts(self) -> dict[str, Any]:
        """Name, split and fingerprint of the data."""
        return _drawn(self.about | {"count": len(self)}, len(self.samples), self.seed)

    def batches(self, rank: int = 0, ranks: int = 1) -> Iterator[Numbered]:
        """In the order of the split."""
        for numbers, batch in _split_batches(self.samples, self.places, rank, ranks):
            yield numbers, to_bytes(batch[self.key], "[-1,1]")


class NoisePictures:
    """What a generator makes of noise.

    Args:
        sample: ``sample(number, seed=...)`` gives (number, C, H, W) in [-1, 1].
        about: What to say of the generator.
        count: How many pictures.
        seed: Of the noise.
    """

    def __init__(
        self, sample: Callable[..., Tensor], about: dict[str, Any], count: int, seed: int = 0
    ) -> None:
        if count < 2:
            raise UserError(f"{count} pictures were asked for and a score needs at least two; ask for more.")
        self.sample, self.about, self.count, self.seed = sample, about, count, seed

    def __len__(self) -> int:
        """Number of pictures."""
        return self.count

    def facts(self) -> dict[str, Any]:
        """The generator, and the seed of its noise."""
        return self.about | {"count": self.count, "seed": self.seed}

    def batches(self, rank: int = 0, ranks: int = 1) -> Iterator[Numbered]:
        """Each batch has a seed of its own, so no process needs another's noise."""
        gate = PixelGate("[-1,1]", "generated pictures")
        for start in list(range(0, self.count, AT_ONCE))[rank::ranks]:
            number = min(AT_ONCE, self.count - start)
            pictures = self.sample(number, seed=self.seed + start // AT_ONCE)
            yield torch.arange(start, start + number), gate(pictures.float())
        gate.finish()


class Translations:
    """What a generator makes of the samples of a split.

    Args:
        generate: Gives (B, C, H, W) in [-1, 1] for a batch of the split.
        samples: The split, not augmented.
        about: What to say of the generator.
        count: Of so many samples, drawn by ``seed``; of all when not given.
        seed: Of that choice, and of what is random in the generator.
        device: Where batches go.
    """

    def __init__(
        self,
        generate: Callable[[Batch], Tensor],
        samples: SampleSet,
        about: dict[str, Any],
        count: int | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.generate, self.samples, self.about = generate, samples, about
        self.seed, self.device = seed, torch.device(device)
        self.places = chosen(len(samples), count, seed)

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.places)

    def facts(self) -> dict[str, Any]:
        """The generator, and the seed of what is random in it."""
        return _drawn(self.about | {"count": len(self), "seed": self.seed}, len(self.samples), self.seed)

    def batches(self, rank: int = 0, ranks: int = 1) -> Iterator[Numbered]:
        """In the order of the split, in batches of 8."""
        gate = PixelGate("[-1,1]", "generated pictures")
        for numbers, batch in _split_batches(self.samples, self.places, rank, ranks, 8):
            moved = {k: v.to(self.device) if isinstance(v, Tensor) else v for k, v in batch.items()}
            with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
                torch.manual_seed(mix("translation", self.seed, int(numbers[0])))
                made = self.generate(moved)
            yield numbers, gate(made.float())
        gate.finish()


def _split_batches(
    samples: SampleSet, places: list[int], rank: int, ranks: int, size: int = 64
) -> Iterator[tuple[Tensor, Batch]]:
    """Whole batches dealt out to the processes, so that batches are the same for any number of them."""
    for start in list(range(0, len(places), size))[rank::ranks]:
        part = places[start : start + size]
        yield torch.arange(start, start + len(part)), collate(samples.__getitems__(list(part)))


def _drawn(facts: dict[str, Any], of: int, seed: int) -> dict[str, Any]:
    return facts if facts["count"] == of else facts | {"drawn_from": of, "drawn_by_seed": seed}
