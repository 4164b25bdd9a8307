"""How far translations look from the true pictures of the same inputs, by a perceptual distance."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from zoo.data.base import Batch
from zoo.errors import UserError
from zoo.features.perceptual import Distance, PerceptualDistance
from zoo.metrics.scoring.report import Row, publish


class PerceptualScore(Callback):
    """In ``zoo test``, the mean distance of each generated picture to its target, and its standard error.

    Args:
        distance: Which; ``lpips-alex`` is what papers report, ``st-lpips-alex`` needs no download.
        weights: For ``lpips-…``: a file with the trunk's weights; fetched when not given.
    """

    def __init__(self, distance: Distance = "lpips-alex", weights: str | None = None) -> None:
        self.distance, self.weights = distance, weights

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Load the network, so that a missing one is told before anything is made."""
        self._judge = PerceptualDistance(self.distance, self.weights).to(pl_module.device)
        self._sums = torch.zeros(3, dtype=torch.float64, device=pl_module.device)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add up count, distances and their squares.

        Raises:
            UserError: The data has no targets.
        """
        if "target" not in batch:
            raise UserError(
                "PerceptualScore compares with targets and this data has none; take it out of "
                "trainer.callbacks."
            )
        found = self._judge(outputs.float().clamp(-1, 1), batch["target"].float()).double()
        self._sums += torch.stack([found.new_tensor(len(found)), found.sum(), found.square().sum()])

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record and print the mean."""
        sums = trainer.strategy.reduce(self._sums, reduce_op="sum")
        assert isinstance(sums, Tensor)
        count, total, squares = sums.tolist()
        mean = total / count
        error = (max(squares / count - mean**2, 0.0) / max(count - 1, 1)) ** 0.5
        protocol = {
            "network": self._judge.name,
            "sha256": self._judge.sha256,
            "split": "test",
            "test_pictures": int(count),
        }
        del self._judge
        publish(trainer, [Row(self.distance, mean, protocol=protocol, error=error)])
