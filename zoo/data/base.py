"""Order, augmentation and resume for every data set: a sample is a function of (seed, epoch, index).

It depends neither on the number of workers nor on how often a run was interrupted. :meth:`SampleSet.load` is
slow and deterministic, so it can be cached in memory or in a pack; :meth:`SampleSet.finish` augments.
"""

from __future__ import annotations

import math
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal, TypedDict

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate
from torch.utils.data.distributed import DistributedSampler

from zoo.bounds import NonNegativeInt, PositiveInt, Seed
from zoo.data.checks import Findings
from zoo.data.packs import Pack, PackKey
from zoo.drawing.sheets import grid, mosaic
from zoo.errors import UserError
from zoo.recipes import public_path
from zoo.seeds import global_seed, mix

Batch = dict[str, Any]
Sample = dict[str, Any]
Split = Literal["train", "val", "test"]
Key = int | tuple[int, int] | tuple[int, int, int]

BYTES = (torch.uint8, torch.uint16)  # dtypes of pictures as stored in files
CACHE_BYTES = 2 * 2**30  # per split, shared by all workers of a loader


class SampleSet(Dataset[Batch]):
    """Samples of one split, in the form of one batch contract.

    A subclass sets ``length`` or writes ``__len__``, and writes ``load`` and, if samples need more work,
    ``finish``. A set that is held in memory may also write ``__getitems__``.
    """

    finish_is_slow: ClassVar[bool] = False  # if so, workers help even when samples come from a pack

    length: int
    seed: int = 0  # this and the following are set by the data module before use
    pack: Pack | None = None
    cache_bytes: int = 0
    _cached: dict[int, Sample] | None = None
    _bytes = 0

    def __len__(self) -> int:
        return self.length

    def load(self, index: int) -> Sample:
        """The slow, deterministic part of sample ``index``: decode, resize or draw.

        Returns:
            Tensors of any dtype (pictures as uint8 or uint16) and strings; this is what a pack stores.
        """
        raise NotImplementedError

    def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
        """Augment a loaded sample and bring it to the contract's keys; ``loaded`` is not modified.

        Pictures may stay uint8 or uint16: they leave a worker four times as fast, and a whole batch is
        converted to float at once.

        Args:
            loaded: Result of :meth:`load`.
            random: Generator of the augmentation; None in evaluation, where nothing is augmented.
        """
        return loaded

    def files(self) -> list[Path]:
        """Every file that the samples are read from; empty for drawn samples."""
        return []

    def sample(self, index: int, random: torch.Generator | None) -> Sample:
        """Sample ``index``, loaded and finished; ``random`` is None in evaluation."""
        return self.finish(self._loaded(index), random)

    def _loaded(self, index: int) -> Sample:
        return self.cached(index, self.load) if self.pack is None else self.pack[index]

    def cached(self, index: int, load: Callable[[int], Sample]) -> Sample:
        """What ``load`` returns for ``index``, kept in memory while there is room."""
        if self._cached is None:
            self._cached = {}
        if index in self._cached:
            return self._cached[index]
        loaded = load(index)
        size = sum(value.nbytes for value in loaded.values() if isinstance(value, Tensor))
        if self._bytes + size <= self.cache_bytes:
            self._cached[index] = loaded
            self._bytes += size
        return loaded

    def __getitem__(self, key: Key) -> Batch:
        """One sample, pictures in [-1, 1].

        Args:
            key: An index in evaluation; (epoch, index) in training, or (epoch, index, pass) where an epoch
                passes over the data several times.
        """
        return to_values(self._of_key(key))

    def __getitems__(self, keys: list[Key]) -> list[Batch] | Batch:
        """The samples of one batch for :func:`collate`; a set in memory may return the batch itself."""
        return [self._of_key(key) for key in keys]

    def _of_key(self, key: Key) -> Sample:
        if isinstance(key, int):
            return self.sample(key, None)
        epoch, index, *turn = key
        seed = mix("sample", self.seed, epoch, index, *turn)
        return self.sample(index, torch.Generator().manual_seed(seed))


class ReducedSet(SampleSet):
    """The samples of a set with smaller pictures: each pixel is the mean of a square, rounded.

    Augmentation comes after the reduction. Small pictures are kept in memory, so that large ones are read
    once.

    Args:
        full: The set.
        factor: Side of the squares in pixels.

    Raises:
        UserError: The set crops its pictures after they are loaded.
    """

    def __init__(self, full: SampleSet, factor: int) -> None:
        require_no_crops(full)
        self.full, self.factor, self.length = full, factor, len(full)

    def load(self, index: int) -> Sample:
        """The full sample with its pictures (C, H, W) of uint8 or uint16 reduced."""
        loaded = self.full._loaded(index)
        smaller = {
            key: F.avg_pool2d(loaded[key].float(), self.factor).round_().to(loaded[key].dtype)
            for key in _pictures(loaded)
        }
        return loaded | smaller

    def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
        """As the full set."""
        return self.full.finish(loaded, random)


def _pictures(loaded: Sample) -> list[str]:
    """The keys of a loaded sample's pictures."""
    return [key for key, x in loaded.items() if isinstance(x, Tensor) and x.dtype in BYTES and x.ndim == 3]


def require_no_crops(samples: SampleSet) -> None:
    """Refuse samples that are cropped after they are loaded.

    Raises:
        UserError: Names the set and the argument.
    """
    loaded = samples._loaded(0)
    made = samples.finish(loaded, torch.Generator().manual_seed(0))
    if getattr(samples, "random_crop", False) or any(
        made[key].shape[-2:] != loaded[key].shape[-2:] for key in _pictures(loaded)
    ):
        raise UserError(
            f"{type(samples).__name__} crops pictures in training, which smaller ones cannot be; set "
            "data.random_crop to false."
        )


def _side(loaded: Sample) -> int:
    """Height of a loaded sample's pictures in pixels, 0 if it has none."""
    return next((loaded[key].shape[-2] for key in _pictures(loaded)), 0)


def to_floats(values: Tensor) -> Tensor:
    """Picture values of uint8 or uint16, of any shape, as float32 in [-1, 1]."""
    highest = torch.iinfo(values.dtype).max
    return values.float().mul_(2 / highest).sub_(1)


def to_values(batch: Batch) -> Batch:
    """Convert the uint8 and uint16 tensors of a batch or sample, which are pictures, to float in [-1, 1]."""
    return {
        key: to_floats(value) if isinstance(value, Tensor) and value.dtype in BYTES else value
        for key, value in batch.items()
    }


def collate(samples: list[Batch] | Batch) -> Batch:
    """Stack samples to a batch, pictures in [-1, 1].

    Raises:
        UserError: Sizes differ; names both shapes.
    """
    return to_values(stack(samples))


def stack(samples: list[Batch] | Batch) -> Batch:
    """Stack samples to a batch; pictures keep their dtype.

    Raises:
        UserError: Sizes differ; names both shapes.
    """
    if isinstance(samples, dict):
        return samples
    for key, first in samples[0].items():
        for other in samples[1:]:
            if not isinstance(first, Tensor):
                break
            if first.dtype != other[key].dtype:  # 8 and 16 bit in one batch
                return stack([to_values(sample) for sample in samples])
            if first.shape != other[key].shape:
                raise UserError(
                    f"Samples of one batch differ in size ({key}: {tuple(first.shape)} and "
                    f"{tuple(other[key].shape)}); set data.size so that all are brought to "
                    "one size, or data.eval_batch_size to 1."
                )
    batch: Batch = default_collate(samples)
    return batch


class OrderedSampler(DistributedSampler[Any]):
    """Keys (epoch, index), shuffled as a function of (seed, epoch); the first epoch starts at an offset.

    It derives from DistributedSampler so that Lightning keeps it and calls ``set_epoch``. Unlike its parent
    it is created with the right epoch: Lightning makes the workers' iterators before it calls ``set_epoch``.
    """

    def __init__(self, length: int, seed: int, epoch: int, offset: int, rank: int, ranks: int) -> None:
        self.length, self.seed, self.epoch, self.offset = length, seed, epoch, offset
        self.rank, self.num_replicas = rank, ranks
        self.first_epoch = epoch  # the offset applies to this epoch only

    def set_epoch(self, epoch: int) -> None:
        """Use the order and augmentation of ``epoch``."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length // self.num_replicas

    def __iter__(self) -> Any:
        """Yield this rank's keys."""
        random = torch.Generator().manual_seed(mix("order", self.seed, self.epoch))
        order = torch.randperm(self.length, generator=random).tolist()[: len(self) * self.num_replicas]
        offset = self.offset if self.epoch == self.first_epoch else 0
        return iter([(self.epoch, index) for index in order[self.rank :: self.num_replicas][offset:]])


class PassSampler(OrderedSampler):
    """Keys (epoch, index, pass) of a given number of samples, in as many passes over the data as that takes.

    Each pass is shuffled as a function of (seed, epoch, pass), and ranks share it.
    """

    def __init__(
        self, length: int, samples: int, seed: int, epoch: int, offset: int, rank: int, ranks: int
    ) -> None:
        super().__init__(length, seed, epoch, offset, rank, ranks)
        self.samples = samples  # of this rank

    def __len__(self) -> int:
        return self.samples

    def __iter__(self) -> Any:
        """Yield this rank's keys."""
        offset = self.offset if self.epoch == self.first_epoch else 0
        ranks = self.num_replicas
        return islice(self._all_keys(), self.rank + ranks * offset, ranks * self.samples, ranks)

    def _all_keys(self) -> Iterator[Key]:
        for turn in count():
            random = torch.Generator().manual_seed(mix("order", self.seed, self.epoch, turn))
            for index in torch.randperm(self.length, generator=random).tolist():
                yield self.epoch, index, turn


class EvalSampler(DistributedSampler[Any]):
    """Yields every index once across ranks, in order; no sample is repeated to make shares even."""

    def __init__(self, length: int, rank: int, ranks: int) -> None:
        self.indices = range(rank, length, ranks)

    def set_epoch(self, epoch: int) -> None:
        """Nothing changes from epoch to epoch."""

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Any:
        """Yield this rank's indices."""
        return iter(self.indices)


class Loader(DataLoader[Batch]):
    """A DataLoader whose workers return pictures as bytes; its batches hold them in [-1, 1]."""

    leave_bytes = False  # with a GPU the data module converts them there

    def __iter__(self) -> Any:
        """Yield batches."""
        with _blocked_signals():
            batches = super().__iter__()
        return batches if self.leave_bytes else map(to_values, batches)


class LoaderOptions(TypedDict, total=False):
    """Options of every data module; see :class:`DataModule` for their meaning and defaults."""

    batch_size: PositiveInt
    eval_batch_size: PositiveInt | None
    num_workers: NonNegativeInt
    seed: Seed | None
    packed: bool
    cache: bool | None


class DataModule(pl.LightningDataModule):
    """Loaders for the splits of one data set, whose order a resumed run continues exactly.

    A subclass writes :meth:`dataset` and, because checkpoints store what they were trained on, sets ``name``,
    ``licence`` and ``research_only`` and writes :meth:`preprocessing` and :meth:`fingerprint`.

    Args:
        batch_size: Samples per training batch and process; ``default_batch_size`` of the class if not given.
        eval_batch_size: Samples per batch in validation and test; ``default_eval_batch_size`` of the class,
            else ``batch_size``, if not given.
        num_workers: Processes that prepare batches; 0 prepares them in the training process, as does a pack
            whose samples need no further work.
        seed: Seed of order and augmentation; the run's seed if not given.
        packed: Read samples from the pack that ``zoo data pack`` wrote; a missing or stale one is refused.
        cache: Keep loaded samples in memory, at most 2 GiB per split; if not given, samples from files are
            cached and drawn ones are not.
    """

    contract: ClassVar[str]
    licence: str = "unknown: research use only"
    research_only: bool = True
    default_batch_size: ClassVar[int] = 16  # these three apply to arguments that are not given
    default_eval_batch_size: ClassVar[int | None] = None
    cache_by_default: ClassVar[bool] = True
    # set by a model whose batches change from epoch to epoch: side of the pictures in pixels, samples per
    # batch and process, and batches of an epoch. It replaces ``batch_size`` in training
    phases: Callable[[int], tuple[int, int, int]] | None = None

    def __init__(
        self,
        batch_size: PositiveInt | None = None,
        eval_batch_size: PositiveInt | None = None,
        num_workers: NonNegativeInt = 0,
        seed: Seed | None = None,
        packed: bool = False,
        cache: bool | None = None,
    ) -> None:
        super().__init__()
        self.batch_size = self.default_batch_size if batch_size is None else batch_size
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.eval_batch_size = eval_batch_size or self.default_eval_batch_size or self.batch_size
        self.num_workers = num_workers
        self.seed = seed
        self.packed = packed
        self.cache = self.cache_by_default if cache is None else cache
        self._sets: dict[str, SampleSet] = {}
        self._reduced: dict[int, ReducedSet] = {}  # of the current phase, by side

    def dataset(self, split: Split) -> SampleSet | None:
        """Build one split; None if the data have no such split."""
        raise NotImplementedError

    def preprocessing(self) -> dict[str, Any]:
        """Every setting that changes what a batch holds, as plain values."""
        return {}

    def fingerprint(self) -> str:
        """Hash that changes when the data change: of file names and sizes, or of the first drawn samples."""
        return ""

    def settings(self, *names: str) -> dict[str, Any]:
        """The attributes of these names, for :meth:`preprocessing`."""
        return {name: getattr(self, name) for name in names}

    def describe(self) -> dict[str, Any]:
        """What a checkpoint stores about its data, as plain values."""
        return {
            "contract": self.contract,
            "name": self.name or type(self).__name__,
            "licence": self.licence,
            "research_only": self.research_only,
            "preprocessing": self.preprocessing(),
            "fingerprint": self.fingerprint(),
        }

    def description(self) -> dict[str, Any]:
        """:meth:`describe`, and the hash of the training pack if one is used."""
        train = self._sets.get("train")
        return self.describe() | ({"pack": train.pack.key} if train and train.pack else {})

    def split(self, name: Split) -> SampleSet | None:
        """The samples of a split, built once; None if the data have no such split.

        Raises:
            UserError: ``packed`` is set and there is no pack of these files and settings.
        """
        if name not in self._sets:
            built = self.dataset(name)
            if built is None:
                return None
            built.seed = self._seed
            if self.cache:
                built.cache_bytes = CACHE_BYTES // max(1, self.num_workers)
            self._sets[name] = built
            if self.packed:
                built.pack = Pack.open(self.pack_key(name))
        return self._sets[name]

    def pack_key(self, name: Split, side: int | None = None) -> PackKey:
        """Key of this split's pack, a hash of source files and settings; ``side``: of reduced pictures."""
        built = self._sets.get(name) or self.dataset(name)
        if built is None:
            raise UserError(f"{type(self).__name__} has no {name} split to pack; leave it out.")
        settings = self.describe() if side is None else self.describe() | {"side": side}
        part = name if side is None else f"{name}-{side}"
        return PackKey.of(_packed_as(type(self)), part, len(built), settings, built.files())

    def smaller(self, name: Split) -> Iterator[tuple[int, ReducedSet]]:
        """Side, and samples with pictures of that side, for each half of the split's side down to 4 pixels.

        Raises:
            UserError: The data have no such split, or no pictures.
        """
        samples = self.split(name)
        side = 0 if samples is None else _side(samples._loaded(0))
        if samples is None or not side:
            raise UserError(f"{type(self).__name__} has no pictures in a {name} split; leave --pyramid out.")
        factor = 2
        while side % factor == 0 and side // factor >= 4:
            yield side // factor, ReducedSet(samples, factor)
            factor *= 2

    def sheet(self, samples: list[Sample]) -> Tensor:
        """A contact sheet (3, H, W) in [-1, 1] of finished samples, for ``zoo data show``.

        Raises:
            UserError: The samples hold no picture.
        """
        if {"input", "target"} <= set(samples[0]):
            return _in_blocks([{key: sample[key] for key in ("input", "target")} for sample in samples])
        if "image" in samples[0]:
            return mosaic(torch.stack([sample["image"] for sample in samples]), least=48)
        raise UserError(f"Cannot draw samples that hold {', '.join(samples[0])}; they have no picture.")

    def film(self, samples: list[Sample]) -> Tensor:
        """Frames (T, 3, H, W) in [-1, 1] of finished samples, for a GIF.

        Raises:
            UserError: The samples have no frames.
        """
        raise UserError(f"Nothing moves in {type(self).__name__}; write a .png.")

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder looks like this class's format, judged by names only."""
        return False

    @classmethod
    def check(cls, root: Path) -> Findings:
        """Check every file of a folder in this class's format, for ``zoo data check``."""
        raise UserError(f"{cls.__name__} reads no folder that could be checked.")

    @property
    def _seed(self) -> int:
        return global_seed() if self.seed is None else self.seed

    def state_dict(self) -> dict[str, Any]:
        """The seed, so that a resumed run keeps its order."""
        return {"seed": self._seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the seed, unless one was given."""
        if self.seed is None:
            self.seed = state_dict["seed"]
        for built in self._sets.values():
            built.seed = self.seed

    def setup(self, stage: str) -> None:
        """Refuse a training set that is smaller than a batch.

        Raises:
            UserError: Fewer training samples than one batch needs.
        """
        if stage != "fit":
            return
        train = self.split("train")
        ranks = self.trainer.world_size if self.trainer else 1
        least = 1 if self.phases else self.batch_size * ranks  # phases pass over the data as often as needed
        if train is None or len(train) < least:
            raise UserError(
                f"The training set has {len(train) if train else 0} samples, fewer than a batch of "
                f"{self.batch_size * ranks}; lower data.batch_size or give more data."
            )

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of the training split, from the trainer's current position."""
        train = self.split("train")
        assert train is not None
        ranks, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        if (phases := self.phases) is not None:
            epoch, done = self._position(lambda epoch: phases(epoch)[2])
            side, size, batches = phases(epoch)
            passes = PassSampler(len(train), batches * size, self._seed, epoch, done * size, rank, ranks)
            return self._loader(self._of_side(train, side), size, sampler=passes, drop_last=True)
        epoch, done = self._position(lambda _: len(train) // ranks // self.batch_size)
        sampler = OrderedSampler(len(train), self._seed, epoch, done * self.batch_size, rank, ranks)
        return self._loader(train, self.batch_size, sampler=sampler, drop_last=True)

    def _of_side(self, samples: SampleSet, side: int) -> SampleSet:
        """The samples with pictures of this side.

        Raises:
            UserError: They hold no pictures, or this is no whole fraction of their side.
        """
        full = _side(samples._loaded(0))
        if full == side:
            self._reduced = {}
            return samples
        if full:
            require_no_crops(samples)
        if not full or full % side:
            found = f"pictures of {full} px" if full else "no pictures"
            raise UserError(
                f"This phase needs pictures of {side} px, but the data hold {found}; change data.size."
            )
        if side not in self._reduced:
            self._reduced = {side: ReducedSet(samples, full // side)}
            self._reduced[side].cache_bytes = CACHE_BYTES // max(1, self.num_workers)
            if self.packed and (key := self.pack_key("train", side)).folder.is_dir():
                self._reduced[side].pack = Pack.open(key)
        self._reduced[side].seed = self._seed
        return self._reduced[side]

    def _position(self, batches_of: Callable[[int], int]) -> tuple[int, int]:
        """The trainer's epoch and the batches of it that are done.

        Args:
            batches_of: Number of batches of an epoch.
        """
        if not self.trainer:
            return 0, 0
        epoch: Any = self.trainer.fit_loop.epoch_progress.current
        batches, limit = batches_of(epoch.processed), self.trainer.limit_train_batches
        batches = int(batches * limit) if isinstance(limit, float) else min(batches, limit or batches)
        batch: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current
        if epoch.started == epoch.processed:  # between epochs
            return epoch.processed, 0
        if batch.processed >= batches:  # saved after the last batch of an epoch
            return epoch.processed + 1, 0
        return epoch.processed, batch.processed

    def val_dataloader(self) -> Any:
        """Batches of the validation split, in order, not augmented; empty if there is no such split."""
        return self._eval_loader("val")

    def test_dataloader(self) -> Any:
        """Batches of the test split, in order, without augmentation."""
        return self._eval_loader("test")

    def predict_dataloader(self) -> Any:
        """The same as for test."""
        return self._eval_loader("test")

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Convert pictures that were transferred as bytes to float in [-1, 1]."""
        # the model summary passes a module's example input, which is no batch
        return to_values(batch) if isinstance(batch, dict) else batch

    def _eval_loader(self, name: Split) -> Any:
        built = self.split(name)
        if built is None:
            return []
        ranks, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        return self._loader(
            built, self.eval_batch_size, sampler=EvalSampler(len(built), rank, ranks), drop_last=False
        )

    def _loader(self, samples: SampleSet, batch_size: int, **options: Any) -> DataLoader[Batch]:
        # a worker takes longer to return a batch than reading it from a pack
        workers = 0 if samples.pack is not None and not samples.finish_is_slow else self.num_workers
        loader = Loader(
            samples,
            batch_size=batch_size,
            collate_fn=stack,
            num_workers=workers,
            worker_init_fn=_outlive_signals,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
            # worker seeds must not advance the global generator
            generator=torch.Generator().manual_seed(self._seed),
            **options,
        )
        loader.leave_bytes = loader.pin_memory and self.trainer is not None
        return loader


def _in_blocks(samples: list[dict[str, Tensor]]) -> Tensor:
    """Blocks of rows, one sample per row with its pictures side by side, on an almost square sheet."""
    number = len(samples)
    near_square = range(math.ceil(math.sqrt(number)), math.ceil(math.sqrt(2 * number)) + 1)
    rows = min(near_square, key=lambda rows: -number % rows)  # the fewest empty places
    blocks = [
        grid({key: torch.stack([s[key] for s in samples[start : start + rows]]) for key in samples[0]})
        for start in range(0, number, rows)
    ]
    height = blocks[0].shape[1]
    blocks = [F.pad(block, (0, 8, 0, height - block.shape[1]), value=1.0) for block in blocks]
    return torch.cat(blocks, dim=2)


def _packed_as(cls: type) -> str:
    """Class path in pack keys; classes that moved keep their earlier path, so their packs still open."""
    earlier = re.fullmatch(r"(zoo\.data\.(?:image|caption|clip|domain))s\.sets", cls.__module__)
    return f"{earlier[1]}_sets.{cls.__qualname__}" if earlier else public_path(cls)


@contextmanager
def _blocked_signals() -> Iterator[None]:
    """Block Ctrl-C and SIGTERM, so that workers start with them blocked, until they can handle them."""
    if sys.platform == "win32":
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _outlive_signals(worker: int) -> None:
    """Ctrl-C and SIGTERM reach all processes of a group; workers must still deliver the current batch."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":  # others cannot tell who has sent a signal
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey_parent, args=(os.getppid(),), daemon=True).start()
    sys.excepthook = _report


def _obey_parent(parent: int) -> None:
    """Exit on the SIGTERM with which the training process ends its workers, or if it has died."""
    if sys.platform == "linux":
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent and os.getppid() == parent:
            pass
        os._exit(0)


def _report(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    """Print an exception of a worker's thread, unless the training process has closed the connection."""
    if not isinstance(error, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, where)
