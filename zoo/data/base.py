"""Order, augmentation and resume for every data set: a sample is a function of (seed, epoch, index).

So it depends neither on the number of workers nor on how often a run was stopped.
"""

from __future__ import annotations

import signal
from typing import Any, ClassVar, Literal

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate
from torch.utils.data.distributed import DistributedSampler

from zoo.errors import UserError
from zoo.guards import global_seed, mix

Batch = dict[str, Any]
Split = Literal["train", "val", "test"]
Key = int | tuple[int, int]


class SampleSet(Dataset[Batch]):
    """A set of samples that all obey one batch contract.

    A subclass writes ``__len__`` and ``sample``; one that holds all in memory writes ``__getitems__`` too.
    """

    seed: int = 0  # set by the data module before use

    def __len__(self) -> int:
        """Number of samples in an epoch."""
        raise NotImplementedError

    def sample(self, index: int, random: torch.Generator | None) -> Batch:
        """Sample ``index``; ``random`` decides augmentation and is None where none is wanted (evaluation)."""
        raise NotImplementedError

    def __getitem__(self, key: Key) -> Batch:
        """The sample of a plain index (evaluation) or of (epoch, index) (training)."""
        if isinstance(key, int):
            return self.sample(key, None)
        epoch, index = key
        return self.sample(index, torch.Generator().manual_seed(mix("sample", self.seed, epoch, index)))

    def __getitems__(self, keys: list[Key]) -> list[Batch] | Batch:
        """Samples of one batch; a set in memory may give the collated batch at once."""
        return [self[key] for key in keys]


def collate(samples: list[Batch] | Batch) -> Batch:
    """Stack samples into a batch; names what differs when they do not fit together.

    Raises:
        UserError: Sizes differ; gives both shapes.
    """
    if isinstance(samples, dict):
        return samples
    for key, first in samples[0].items():
        for other in samples[1:]:
            if isinstance(first, Tensor) and first.shape != other[key].shape:
                raise UserError(
                    f"Samples of one batch differ in size ({key}: {tuple(first.shape)} and "
                    f"{tuple(other[key].shape)}); set data.size so that all are brought to one size."
                )
    batch: Batch = default_collate(samples)
    return batch


class OrderedSampler(DistributedSampler[Any]):
    """Keys (epoch, index) in an order that is a function of (seed, epoch), from an offset in the first epoch.

    It is a DistributedSampler so that Lightning keeps it as it is and calls ``set_epoch``; unlike its
    parent it is born with the right epoch (Lightning makes workers' iterators before it calls
    ``set_epoch``).
    """

    def __init__(self, length: int, seed: int, epoch: int, offset: int, rank: int, ranks: int) -> None:
        self.length, self.seed, self.epoch, self.offset = length, seed, epoch, offset
        self.rank, self.num_replicas = rank, ranks
        self.born = epoch  # the offset holds for this epoch only

    def set_epoch(self, epoch: int) -> None:
        """Order and augment as in ``epoch``."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Samples of this rank in a full epoch."""
        return self.length // self.num_replicas

    def __iter__(self) -> Any:
        """Yield this rank's keys."""
        random = torch.Generator().manual_seed(mix("order", self.seed, self.epoch))
        order = torch.randperm(self.length, generator=random).tolist()[: len(self) * self.num_replicas]
        offset = self.offset if self.epoch == self.born else 0
        return iter([(self.epoch, index) for index in order[self.rank :: self.num_replicas][offset:]])


class EvalSampler(DistributedSampler[Any]):
    """Every index once, in order, dealt out to the ranks; no sample is repeated to make shares even."""

    def __init__(self, length: int, rank: int, ranks: int) -> None:
        self.indices = range(rank, length, ranks)

    def set_epoch(self, epoch: int) -> None:
        """Nothing changes from epoch to epoch."""

    def __len__(self) -> int:
        """Samples of this rank."""
        return len(self.indices)

    def __iter__(self) -> Any:
        """Yield this rank's indices."""
        return iter(self.indices)


class DataModule(pl.LightningDataModule):
    """Loaders over one contract's splits, with an order that a resumed run continues exactly.

    A subclass writes :meth:`dataset` and, for what a checkpoint must know, :meth:`describe`.

    Args:
        batch_size: Samples a training batch, on each process.
        eval_batch_size: Samples a batch in validation and test; ``batch_size`` when not given.
        num_workers: Processes that prepare batches beside training; 0 prepares in the training process.
        seed: Of order and augmentation; the run's seed when not given.
    """

    contract: ClassVar[str]

    def __init__(
        self,
        batch_size: int = 1,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size or batch_size
        self.num_workers = num_workers
        self.seed = seed
        self._sets: dict[str, SampleSet] = {}

    def dataset(self, split: Split) -> SampleSet | None:
        """Build one split; None where the data has none."""
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """What a checkpoint must know of its data, as plain values: name, licence, preprocessing."""
        return {"contract": self.contract}

    def split(self, name: Split) -> SampleSet | None:
        """The split's samples, built once."""
        if name not in self._sets:
            built = self.dataset(name)
            if built is None:
                return None
            built.seed = self._seed
            self._sets[name] = built
        return self._sets[name]

    @property
    def _seed(self) -> int:
        return global_seed() if self.seed is None else self.seed

    def state_dict(self) -> dict[str, Any]:
        """The seed, so that a resumed run keeps its order."""
        return {"seed": self._seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the seed."""
        self.seed = state_dict["seed"]
        for built in self._sets.values():
            built.seed = self.seed

    def setup(self, stage: str) -> None:
        """Refuse a training set that gives no batch.

        Raises:
            UserError: Fewer training samples than one batch needs.
        """
        if stage != "fit":
            return
        train = self.split("train")
        ranks = self.trainer.world_size if self.trainer else 1
        if train is None or len(train) < self.batch_size * ranks:
            raise UserError(
                f"The training set has {len(train) if train else 0} samples, fewer than a batch of "
                f"{self.batch_size * ranks}; lower data.batch_size or give more data."
            )

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of the training split, from where the trainer stands."""
        train = self.split("train")
        assert train is not None
        ranks, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        epoch, done = self._position(len(train) // ranks // self.batch_size)
        sampler = OrderedSampler(len(train), self._seed, epoch, done * self.batch_size, rank, ranks)
        return self._loader(train, self.batch_size, sampler=sampler, drop_last=True)

    def _position(self, batches: int) -> tuple[int, int]:
        """The epoch and the batches of it that the trainer has behind it, for an epoch of ``batches``."""
        if not self.trainer:
            return 0, 0
        limit = self.trainer.limit_train_batches
        batches = int(batches * limit) if isinstance(limit, float) else min(batches, limit or batches)
        epoch: Any = self.trainer.fit_loop.epoch_progress.current
        batch: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current
        if epoch.started == epoch.processed:  # between epochs
            return epoch.processed, 0
        if batch.processed >= batches:  # saved after the last batch of an epoch
            return epoch.processed + 1, 0
        return epoch.processed, batch.processed

    def val_dataloader(self) -> Any:
        """Batches of the validation split, in order, not augmented; none where there is no such split."""
        return self._eval_loader("val")

    def test_dataloader(self) -> Any:
        """Batches of the test split, in order, without augmentation."""
        return self._eval_loader("test")

    def predict_dataloader(self) -> Any:
        """The same as for test."""
        return self._eval_loader("test")

    def _eval_loader(self, name: Split) -> Any:
        built = self.split(name)
        if built is None:
            return []
        ranks, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        return self._loader(
            built, self.eval_batch_size, sampler=EvalSampler(len(built), rank, ranks), drop_last=False
        )

    def _loader(self, samples: SampleSet, batch_size: int, **options: Any) -> DataLoader[Batch]:
        return DataLoader(
            samples,
            batch_size=batch_size,
            collate_fn=collate,
            num_workers=self.num_workers,
            worker_init_fn=_deaf_to_interrupt,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            # worker seeds must not eat the global stream
            generator=torch.Generator().manual_seed(self._seed),
            **options,
        )


def _deaf_to_interrupt(worker: int) -> None:
    """Ctrl-C reaches every process of a terminal; the batch in work must be finished before the run saves."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
