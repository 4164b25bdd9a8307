"""Perceptual distance between translations and the true images of the same inputs."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl

from zoo.data.base import Batch
from zoo.features.perceptual import Distance, PerceptualDistance
from zoo.metrics.evaluator import Evaluation, Evaluator, Mean
from zoo.metrics.scoring.report import Row


class PerceptualScore(Evaluator):
    """Mean distance of each generated image to its target in ``zoo test``, with its standard error.

    Args:
        distance: Perceptual distance; papers report ``lpips-alex``, ``st-lpips-alex`` needs no download.
        weights: File with the trunk's weights for ``lpips-…``; downloaded if not given.
    """

    def __init__(self, distance: Distance = "lpips-alex", weights: str | None = None) -> None:
        super().__init__()
        self.distance, self.weights = distance, weights

    def begin(self, trainer: pl.Trainer, module: Any) -> None:
        """Load the network."""
        self._judge = PerceptualDistance(self.distance, self.weights).to(module.device)
        self._mean = Mean(module.device)

    def update(self, batch: Batch, outputs: Any) -> None:
        """Add the distances of the batch.

        Raises:
            UserError: The data has no targets.
        """
        if "target" not in batch:
            raise self.unusable("targets and this data has none")
        self._mean.add(self._judge(outputs.float().clamp(-1, 1), batch["target"].float()))

    def finish(self, trainer: pl.Trainer, module: Any) -> Evaluation:
        """Mean distance over the test images."""
        count, mean, error = self._mean.compute(trainer)
        network = {"network": self._judge.name, "sha256": self._judge.sha256}
        protocol = {**network, "split": "test", "test_pictures": count}
        del self._judge
        return Evaluation([Row(self.distance, mean, protocol=protocol, error=error)])
