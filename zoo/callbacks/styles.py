"""Cluster an encoder's styles at the end of a training (Wang 2018, section 3.4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from zoo.bounds import PositiveInt
from zoo.data.base import Batch, DataModule
from zoo.errors import UserError
from zoo.metrics.evaluator import read_first


@runtime_checkable
class Stylist(Protocol):
    """A model that stores the styles of its training images."""

    def cluster_styles(self, batches: Iterator[Batch]) -> None:
        """Cluster and store them."""


class KeepStyles(Callback):
    """Store the styles of the training images after the training; the last checkpoint holds them.

    Args:
        pictures: Largest number of training images to encode; all by default.
    """

    def __init__(self, pictures: PositiveInt | None = None) -> None:
        if pictures is not None and pictures < 1:
            raise UserError(f"KeepStyles.pictures is {pictures}; give at least 1, or leave it out for all.")
        self.pictures = pictures

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Encode the training images, without augmentation.

        Raises:
            UserError: The model stores no styles.
        """
        if not isinstance(pl_module, Stylist):
            raise UserError(
                f"{type(pl_module).__name__} stores no styles; remove KeepStyles from trainer.callbacks."
            )
        pl_module.cluster_styles(self._batches(trainer, pl_module))

    def _batches(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> Iterator[Batch]:
        data: DataModule = trainer.datamodule  # type: ignore[attr-defined]
        samples = data.split("train")
        assert samples is not None
        count = min(len(samples), self.pictures or len(samples))
        for batch in read_first(samples, count, data.batch_size):
            yield {key: value.to(pl_module.device) for key, value in batch.items()}
