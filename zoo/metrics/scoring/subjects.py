"""Sets of images to score, in uint8: a folder, a split of a data set, the output of a generator.

Each yields every image exactly once across ranks; ``facts()`` is stored with the score.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed
from torch import Tensor

from zoo.data.base import Batch, DataModule, SampleSet, Split, collate
from zoo.data.contracts import CONTRACTS
from zoo.data.folders import pictures_in
from zoo.errors import UserError
from zoo.files.pictures import read_array, to_tensor
from zoo.files.writing import sha256
from zoo.metrics.formulas.pixels import generated_bytes, to_bytes
from zoo.seeds import batch_seed, mix

AT_ONCE = 256  # samples of noise per batch; `zoo sample` uses the same batches
Indexed = tuple[Tensor, Tensor]  # indices (N) in the set, from 0, and images (N, C, H, W) in uint8


class Pictures(Protocol):
    """A set of images."""

    def __len__(self) -> int: ...

    def facts(self) -> dict[str, Any]:
        """Description of the set, in plain values."""

    def batches(self, rank: int = 0, ranks: int = 1) -> Iterator[Indexed]:
        """This rank's share; the shares of all ranks together hold each image once."""


def share() -> tuple[int, int]:
    """This process's rank and the number of ranks."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def draw_indices(length: int, count: int | None, seed: int) -> list[int]:
    """``count`` of ``length`` indices, drawn by seed and sorted; all if no count is given.

    Raises:
        UserError: There are fewer.
    """
    if count is None or count == length:
        return list(range(length))
    if not 2 <= count <= length:
        raise UserError(f"{count} images were requested and there are {length}; request 2 to {length}.")
    random = torch.Generator().manual_seed(mix("chosen", seed, length))
    return sorted(torch.randperm(length, generator=random)[:count].tolist())


class _Drawn:
    """Items of a set, drawn by seed.

    Args:
        about: Facts about the set.
        length: Number of items in the set.
        count: Number of items to draw; None takes all.
        seed: Seed of the draw.
    """

    def __init__(self, about: dict[str, Any], length: int, count: int | None, seed: int) -> None:
        self.about, self.length, self.seed = about, length, seed
        self.indices = draw_indices(length, count, seed)
        self.more: dict[str, Any] = {}  # facts after the number of items

    def __len__(self) -> int:
        return len(self.indices)

    def facts(self) -> dict[str, Any]:
        """Facts about the set, the number of items, and the draw if there was one."""
        drawn = {"drawn_from": self.length, "drawn_by_seed": self.seed} if len(self) < self.length else {}
        return self.about | {"count": len(self)} | self.more | drawn


class FolderPictures(_Drawn):
    """The image files of a folder, or of its direct subfolders; 16-bit values are rounded to 8.

    The facts hold the folder's name and a hash of the contents of its files.

    Args:
        folder: Folder of the files.
        count: Number of files, drawn by ``seed``; all by default.
        seed: Seed of the draw.

    Raises:
        UserError: There is no such folder, or it holds fewer than two images.
    """

    def __init__(self, folder: Path, count: int | None = None, seed: int = 0) -> None:
        if not folder.is_dir():
            raise UserError(f"There is no folder {folder}; give one that holds images.")
        subfolders = (below for below in sorted(folder.iterdir()) if below.is_dir())
        files = pictures_in(folder) or [file for below in subfolders for file in pictures_in(below)]
        if len(files) < 2:
            raise UserError(f"{folder} holds {len(files)} images and a score needs at least two; add some.")
        super().__init__({"pictures": f"folder {folder.resolve().name}"}, len(files), count, seed)
        self.files = [files[i] for i in self.indices]
        hashes = b"".join(bytes.fromhex(sha256(path)) for path in self.files)
        self.more = {"sha256": hashlib.sha256(hashes).hexdigest()}

    def batches(self, rank: int = 0, ranks: int = 1) -> Iterator[Indexed]:
        """Consecutive images of one size form a batch.

        Raises:
            UserError: A file cannot be read or is not an image of one or three channels; names the file.
        """
        share = ((index, self._read(self.files[index])) for index in range(rank, len(self.files), ranks))
        for _, same_size in groupby(share, lambda item: item[1].shape):
            while part := list(islice(same_size, AT_ONCE)):
                indices, images = zip(*part, strict=True)
                yield torch.tensor(indices), to_bytes(torch.stack(images), "[-1,1]")

    @staticmethod
    def _read(path: Path) -> Tensor:
        image = to_tensor(read_array(path))
        if len(image) in (2, 4):
            raise UserError(
                f"{path} has an alpha channel, and the background would change the score; composite it on a "
                "background first."
            )
        if len(image) not in (1, 3):
            raise UserError(f"{path} has {len(image)} channels; give grey images or RGB.")
        return image


class SetPictures(_Drawn):
    """Images of one split of a data set, without augmentation.

    Args:
        samples: The split.
        key: Key of the image in a sample: ``image``, ``target``.
        about: Facts about the split: name, split, fingerprint.
        count: Number of images, drawn by ``seed``; all by default.
        seed: Seed of the draw.
    """

    def __init__(
        self, samples: SampleSet, key: str, about: dict[str, Any], count: int | None = None, seed: int = 0
    ) -> None:
        super().__init__(about, len(samples), count, seed)
        self.samples, self.key = samples, key

    @classmethod
    def of(cls, data: DataModule, split: Split, count: int | None = None, seed: int = 0) -> SetPictures:
        """The real images of a split, by the data's contract.

        Raises:
            UserError: The contract has no images, or the data no such split.
        """
        if not CONTRACTS[data.contract].is_picture:
            raise UserError(f"{type(data).__name__} holds {data.contract}; these protocols score images.")
        samples = data.split(split)
        if samples is None:
            raise UserError(f"{type(data).__name__} has no {split} split; choose another.")
        facts = data.description()
        prepared = facts.get("preprocessing", {}).items()
        about = {
            "pictures": facts.get("name"),
            "split": split,
            "fingerprint": facts.get("fingerprint"),
            # the fingerprint covers lists of classes and colours
            "preprocessing": {k: v for k, v in prepared if not (isinstance(v, list) and len(v) > 4)},
        }
        return cls(samples, CONTRACTS[data.contract].real, about, count, seed)

    def batches(self, rank: int = 0, ranks: int = 1) -> Iterator[Indexed]:
        """Images in the order of the split."""
        for indices, batch in _split_batches(self.samples, self.indices, rank, ranks):
            yield indices, to_bytes(batch[self.key], "[-1,1]")


class NoisePictures:
    """Samples of a generator that takes noise.

    Args:
        sample: ``sample(number, seed=...)`` returns (number, C, H, W) in [-1, 1].
        about: Facts about the generator.
        count: Number of images.
        seed: Seed of the noise.
    """

    def __init__(
        self, sample: Callable[..., Tensor], about: dict[str, Any], count: int, seed: int = 0
    ) -> None:
        if count < 2:
            raise UserError(f"{count} images were requested and a score needs at least two; request more.")
        self.sample, self.about, self.count, self.seed = sample, about, count, seed

    def __len__(self) -> int:
        return self.count

    def facts(self) -> dict[str, Any]:
        """The generator, and the seed of its noise."""
        return self.about | {"count": self.count, "seed": self.seed}

    def batches(self, rank: int = 0, ranks: int = 1) -> Iterator[Indexed]:
        """Each batch has its own seed, so no rank needs another rank's noise."""
        parts = torch.split(torch.arange(self.count), AT_ONCE)
        return generated_bytes(
            (parts[i], self.sample(len(parts[i]), seed=batch_seed(self.seed, i)))
            for i in range(rank, len(parts), ranks)
        )


class Translations(_Drawn):
    """Outputs of a generator for the samples of a split.

    Args:
        generate: Function from a batch of the split to (B, C, H, W) in [-1, 1].
        samples: The split, without augmentation.
        about: Facts about the generator.
        count: Number of samples, drawn by ``seed``; all by default.
        seed: Seed of the draw, and of random draws in the generator.
        device: Device of the batches.
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
        super().__init__(about, len(samples), count, seed)
        self.generate, self.samples, self.device = generate, samples, torch.device(device)
        self.more = {"seed": seed}

    def batches(self, rank: int = 0, ranks: int = 1) -> Iterator[Indexed]:
        """Outputs in the order of the split, in batches of 8."""
        return generated_bytes(self._translated(rank, ranks))

    def _translated(self, rank: int, ranks: int) -> Iterator[Indexed]:
        for indices, batch in _split_batches(self.samples, self.indices, rank, ranks, 8):
            moved = {k: v.to(self.device) if isinstance(v, Tensor) else v for k, v in batch.items()}
            with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
                torch.manual_seed(mix("translation", self.seed, int(indices[0])))
                made = self.generate(moved)
            yield indices, made


def _split_batches(
    samples: SampleSet, drawn: list[int], rank: int, ranks: int, size: int = 64
) -> Iterator[tuple[Tensor, Batch]]:
    """Whole batches dealt out to the ranks, so that the batches are the same for any number of ranks."""
    for indices in torch.split(torch.arange(len(drawn)), size)[rank::ranks]:
        yield indices, collate(samples.__getitems__([drawn[i] for i in indices]))
