"""One progress bar for the whole run; Lightning's own restarts at each epoch."""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import TQDMProgressBar

from zoo.bounds import NonNegativeInt
from zoo.data.base import DataModule
from zoo.guards import is_logged


class RunProgress(TQDMProgressBar):
    """Count the run's steps on one bar; a resumed run starts at its step.

    Args:
        refresh_rate: Steps between two updates of the bar.
    """

    def __init__(self, refresh_rate: NonNegativeInt = 20) -> None:
        super().__init__(refresh_rate)

    def on_train_start(self, trainer: pl.Trainer, *args: Any) -> None:
        """Set the total number of steps; a run that resumes within an epoch does not start that epoch."""
        super().on_train_start(trainer, *args)
        bar = self.train_progress_bar
        if not math.isinf(steps := _steps(trainer)):
            bar.reset(int(steps))
            bar.initial = bar.n = trainer.global_step

    def on_train_epoch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        """Show the epoch."""
        bar = self.train_progress_bar
        bar.set_description(f"Epoch {trainer.current_epoch}", refresh=False)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance the bar; on logged steps show each player's loss, the sum of its terms."""
        step = trainer.global_step
        if self.is_enabled and is_logged(trainer, step) and isinstance(outputs, dict):
            losses: dict[str, float] = {}
            for name, term in outputs.items():
                player = f"{name[0]}_loss" if name[:2] in ("d_", "g_") else name
                losses[player] = losses.get(player, 0.0) + float(term)
            shown = {name: f"{loss:.3g}" for name, loss in losses.items()}
            self.train_progress_bar.set_postfix(shown, refresh=False)
        if self.is_enabled and (step % self.refresh_rate == 0 or step == self.train_progress_bar.total):
            self.train_progress_bar.n = step
            self.train_progress_bar.refresh()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the bar."""


def _steps(trainer: pl.Trainer) -> float:
    """The run's steps; epochs may differ in length."""
    data, epochs, most = trainer.datamodule, trainer.max_epochs, trainer.max_steps  # type: ignore[attr-defined]
    if not isinstance(data, DataModule) or data.phases is None or not epochs or epochs < 0:
        return trainer.estimated_stepping_batches
    steps = sum(data.phases(epoch)[2] for epoch in range(epochs))
    return steps if most < 0 else min(steps, most)
