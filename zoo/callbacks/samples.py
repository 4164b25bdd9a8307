"""Grids of generated samples during training, always for the same inputs and the same noise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor

from zoo.adversarial import AdversarialModule, Batch
from zoo.bounds import PositiveInt, Seed
from zoo.data.base import DataModule, collate
from zoo.drawing.sheets import grid, mosaic, scatter
from zoo.errors import UserError
from zoo.files.pictures import write_picture
from zoo.files.writing import write_bytes
from zoo.metrics.scoring.report import run_folder

SMALLEST = 48  # pixels per tile of a mosaic: 8x8 digits would be too small to see
POINTS = 1000  # samples per scatter plot: fewer do not show a density


class SampleGrid(Callback):
    """Write a grid of samples after the first step, then every ``every_n_steps`` steps, and at the end.

    Inputs are taken from the validation split, or from the training split without augmentation if there is no
    other; data that is not of the zoo gives its first training batch. Training is not affected: random state,
    modes and buffers are restored.

    Args:
        every_n_steps: Steps between two grids.
        rows: Rows of a grid, one sample each; images from noise form mosaics of ``rows`` by ``rows``.
        seed: Seed of the noise.
    """

    def __init__(self, every_n_steps: PositiveInt = 500, rows: PositiveInt = 8, seed: Seed = 0) -> None:
        if every_n_steps < 1 or rows < 1:
            raise ValueError(f"every_n_steps and rows must be at least 1, got {every_n_steps} and {rows}")
        self.every_n_steps = every_n_steps
        self.rows = rows
        self.seed = seed
        self._batch: Batch | None = None
        self._folder = Path()
        self._written: int | None = None  # step of the last grid

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Select the samples and the folder; on all ranks, because Lightning broadcasts ``log_dir``.

        Raises:
            UserError: The module has no preview.
        """
        if not isinstance(pl_module, AdversarialModule):
            raise UserError(
                f"SampleGrid draws previews of adversarial modules and {type(pl_module).__name__} is none; "
                "take it out of trainer.callbacks."
            )
        self._folder = run_folder(trainer) / "samples"
        self._batch = fixed_batch(trainer, {"points": POINTS, "images": self.rows**2}, self.rows)
        self._written = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Keep the first batch if the data is not of the zoo."""
        if self._batch is None:
            self._batch = first_of(batch, self.rows**2)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draw on the first step and every ``every_n_steps`` steps."""
        if trainer.global_step == 1 or trainer.global_step % self.every_n_steps == 0:
            self._draw(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the final state."""
        if self._batch is not None:
            self._draw(trainer, pl_module)

    def _draw(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        step = trainer.global_step
        if step == self._written:
            return
        self._written = step
        assert isinstance(pl_module, AdversarialModule)
        # on all ranks, though only one writes: synchronised batch norm would wait for the others
        with undisturbed(trainer, pl_module, self.seed):
            columns = pl_module.preview(trainer.strategy.batch_to_device(self._batch))
        if not trainer.is_global_zero:
            return
        path = self._folder / f"step={step:06d}.png"
        shown = {title: kind.float().cpu() for title, kind in columns.items()}
        write_picture(path, layout(shown, self.rows, paired=pl_module.takes != "noise"))
        write_bytes(self._folder / "latest.png", path.read_bytes())
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("samples", [str(path)], step=step)


def layout(columns: dict[str, Tensor], rows: int, paired: bool = True) -> Tensor:
    """Arrange a preview as (3, H, W): a scatter plot of points, a mosaic per column, or a grid of pairs.

    Args:
        columns: Samples by title.
        rows: Rows of a grid; a mosaic has as many columns.
        paired: Whether the columns show the same samples; if not, each is a mosaic of its own.
    """
    first = next(iter(columns.values()))
    if first.ndim == 2:
        return scatter(columns)
    if len(columns) == 1:
        return mosaic(first[: rows**2], rows, least=SMALLEST)
    if paired:
        return grid({title: kind[:rows] for title, kind in columns.items()})
    sheets = {title: mosaic(kind[: rows**2], rows, least=SMALLEST) for title, kind in columns.items()}
    return grid({title: sheet[None] for title, sheet in sheets.items()})


def fixed_batch(trainer: pl.Trainer, counts: dict[str, int], otherwise: int) -> Batch | None:
    """The first samples of the validation split, without augmentation, equal on all ranks and in every run.

    They are read without the loader, so no worker starts and no random number is drawn.

    Args:
        trainer: Trainer with the data.
        counts: Number of samples by the data's contract.
        otherwise: Number of samples for any other contract.

    Returns:
        The batch on the CPU, from the training split if there is no validation, without samples of another
        size than the first; None if the data is not of the zoo.
    """
    data = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(data, DataModule):
        return None
    samples = data.split("val") or data.split("train")
    assert samples is not None
    count = min(counts.get(data.contract, otherwise), len(samples))
    found = samples.__getitems__(list(range(count)))
    if isinstance(found, list):  # other sets give a batch, which has one size
        found = [sample for sample in found if _sizes(sample) == _sizes(found[0])]
    return collate(found)


def _sizes(sample: Batch) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in sample.items() if isinstance(value, Tensor)}


def first_of(batch: Batch, count: int) -> Batch:
    """A copy of the first samples of ``batch``, because training may change the batch in place."""
    return {
        key: value[:count].clone() if isinstance(value, Tensor) else value[:count]
        for key, value in batch.items()
    }


@contextmanager
def undisturbed(trainer: pl.Trainer, module: AdversarialModule, seed: int) -> Iterator[None]:
    """``module.in_use(seed)`` at the trainer's precision; buffers are restored on exit too."""
    # batch norm updates its buffers if a paper normalises by batch statistics at test time
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    with module.in_use(seed):
        try:
            with trainer.precision_plugin.forward_context():
                yield
        finally:
            for buffer, before in buffers:
                buffer.copy_(before)
