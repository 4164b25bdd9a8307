"""Base class of evaluators: callbacks that score a model in ``zoo test`` and optionally during training.

An evaluator is one file in this folder. A recipe lists it by its class path; it is registered nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch
import torch.distributed
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from zoo.bounds import PositiveInt
from zoo.data.base import Batch, DataModule, SampleSet, Split, collate
from zoo.errors import UserError
from zoo.guards import GuardedModule
from zoo.metrics.formulas.pixels import require_range, to_bytes
from zoo.metrics.scoring.report import Row, publish

SPLITS: dict[Split, str] = {"train": "training", "val": "validation", "test": "test"}


class Evaluation(NamedTuple):
    """What an evaluator found.

    Args:
        rows: Numbers with their protocols, written to ``eval.json`` and printed as a table.
        sentence: The finding in plain words, printed below the table.
    """

    rows: list[Row]
    sentence: str | None = None


class Evaluator(Callback):
    """Score a model on the test split and, optionally, follow a score during training.

    A subclass overrides :meth:`finish` and as many of the other methods as it needs. All ranks call every
    method with their own share of the test split; :func:`total` and :class:`Mean` sum over the ranks.

    Args:
        every_n_steps: Steps between two calls of :meth:`trend` in training; None never calls it.

    Examples:
        >>> class Brightness(Evaluator):
        ...     def begin(self, trainer, module):
        ...         self.mean = Mean(module.device)
        ...     def update(self, batch, outputs):
        ...         self.mean.add(outputs.mean((1, 2, 3)))
        ...     def finish(self, trainer, module):
        ...         count, mean, error = self.mean.compute(trainer)
        ...         return Evaluation([Row("brightness", mean, protocol={"pictures": count}, error=error)])
    """

    def __init__(self, every_n_steps: PositiveInt | None = None) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise ValueError(f"every_n_steps must be at least 1, got {every_n_steps}")
        self.every_n_steps = every_n_steps

    @classmethod
    def suited(
        cls, arguments: dict[str, Any], data: DataModule, batch: Batch, counts: Mapping[str, int]
    ) -> dict[str, Any] | None:
        """Its arguments in a recipe for other data than those of a recipe; None if it cannot score them.

        Args:
            arguments: Its arguments in the recipe.
            data: The other data.
            batch: A training batch of them.
            counts: Samples by split.
        """
        return arguments if counts.get("test") else None

    def begin(self, trainer: pl.Trainer, module: Any) -> None:
        """Prepare for a test: load networks and reset sums. Missing files fail here, before any sampling."""

    def update(self, batch: Batch, outputs: Any) -> None:
        """Take in one test batch and what ``test_step`` returned for it."""

    def finish(self, trainer: pl.Trainer, module: Any) -> Evaluation:
        """Compute the scores after the last test batch; called on all ranks."""
        raise NotImplementedError

    def trend(self, trainer: pl.Trainer, module: Any) -> dict[str, float]:
        """Scores to log during training, by log key; must leave random state and module unchanged."""
        raise NotImplementedError

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the trend every ``every_n_steps`` steps."""
        if self.every_n_steps is None or trainer.global_step % self.every_n_steps:
            return
        found = self.trend(trainer, pl_module)
        # for monitors; loggers are called directly because Lightning logs at log_every_n_steps only
        pl_module.log_dict(found, logger=False)
        for logger in trainer.loggers:
            logger.log_metrics(found, step=trainer.global_step - 1)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Call :meth:`begin`."""
        self.begin(trainer, pl_module)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Call :meth:`update`."""
        self.update(batch, outputs)

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Call :meth:`finish`, write and print what it returns."""
        publish(trainer, *self.finish(trainer, pl_module))

    def in_use(self, trainer: pl.Trainer, module: Any) -> dict[str, Any]:
        """Entry of a protocol: what the outputs depend on besides weights and inputs, if anything."""
        settings = module.settings_in_use() if isinstance(module, GuardedModule) else {}
        return {"use": settings | self.draws(trainer)} if settings else {}

    def draws(self, trainer: pl.Trainer) -> dict[str, Any]:
        """What the random draws of ``test_step`` depend on."""
        return {
            "seed": "number of the batch",
            "batch_size": self.data(trainer).eval_batch_size,
            "ranks": trainer.world_size,
        }

    def unusable(self, need: str) -> UserError:
        """The error of data that this evaluator cannot use."""
        return UserError(f"{type(self).__name__} needs {need}; remove it from trainer.callbacks.")

    def data(self, trainer: pl.Trainer) -> DataModule:
        """The trainer's data module.

        Raises:
            UserError: The data is not a data module of the zoo.
        """
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, DataModule):
            raise self.unusable("a data module of the zoo")
        return data

    def split(self, trainer: pl.Trainer, name: Split) -> SampleSet:
        """A split of the trainer's data, without augmentation.

        Raises:
            UserError: The data has no such split.
        """
        data = trainer.datamodule  # type: ignore[attr-defined]
        samples = data.split(name) if isinstance(data, DataModule) else None
        if samples is None:
            raise self.unusable(f"a {SPLITS[name]} split and this data has none")
        return samples


class Mean:
    """Running mean of one float64 number per sample, with its standard error.

    Args:
        device: Device of the sums.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._sums = torch.zeros(3, dtype=torch.float64, device=device)

    def add(self, values: Tensor) -> None:
        """Add the values (N) of a batch."""
        values = values.double()
        self._sums += torch.stack([values.new_tensor(len(values)), values.sum(), values.square().sum()])

    def moments(self, trainer: pl.Trainer) -> tuple[int, float, float]:
        """Count, mean and mean square over all ranks; zeros if nothing was added."""
        count, values, squares = total(trainer, self._sums).tolist()
        return int(count), values / max(count, 1), squares / max(count, 1)

    def compute(self, trainer: pl.Trainer) -> tuple[int, float, float]:
        """Count, mean and standard error of the mean (divisor n - 1) over all ranks."""
        count, mean, square = self.moments(trainer)
        return count, mean, (max(square - mean**2, 0.0) / max(count - 1, 1)) ** 0.5


def total(trainer: pl.Trainer, values: Tensor) -> Tensor:
    """Sum of a tensor over all ranks."""
    summed = trainer.strategy.reduce(values, reduce_op="sum")
    assert isinstance(summed, Tensor)
    return summed


def of_all_ranks(values: Tensor) -> Tensor:
    """Rows (N, ...) on the CPU of all ranks, rank by rank."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return values
    shares: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(shares, values)
    return torch.cat(shares)


def read(samples: SampleSet, indices: Iterable[int]) -> Batch:
    """The batch of these samples, without augmentation."""
    return collate(samples.__getitems__(list(indices)))


def read_first(samples: SampleSet, count: int, size: int) -> Iterator[Batch]:
    """The first ``count`` samples in batches of ``size``, without augmentation."""
    for start in range(0, count, size):
        yield read(samples, range(start, min(start + size, count)))


def unit_rows(images: Tensor) -> Tensor:
    """Images (N, ...) in [-1, 1] as rows in [0, 1], not rounded.

    Raises:
        UserError: Values that are not finite or outside the range.
    """
    require_range(images, "[-1,1]")
    return (images.flatten(1) + 1) / 2


def as_in_a_file(images: Tensor) -> Tensor:
    """Images (N, 1 or 3, H, W) in [-1, 1] as floats in [-1, 1] that an 8-bit file can hold.

    Raises:
        UserError: Other channels, or values that are not finite or outside the range.
    """
    return to_bytes(images.float(), "[-1,1]").float() / 127.5 - 1
