"""Perceptual distance between translations and the true images of the same inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from zoo.data.base import Batch, DataModule
from zoo.features.perceptual import PLANS, Distance, PerceptualDistance, is_here
from zoo.metrics.evaluator import Evaluation, Evaluator, Mean, as_in_a_file
from zoo.metrics.scoring.report import Row


class PerceptualScore(Evaluator):
    """Mean distance of each generated image to its target in ``zoo test``, with its standard error.

    Both are rounded to 8 bits, as in an image file. The row ``real`` is the mean distance of each target to
    the one before it, which has another input: a real image that is no translation of the input.

    Args:
        distance: Perceptual distance; papers report ``lpips-alex``, ``st-lpips-alex`` needs no download.
        weights: File with the trunk's weights for ``lpips-…``; downloaded if not given.
    """

    def __init__(self, distance: Distance = "lpips-alex", weights: str | None = None) -> None:
        super().__init__()
        self.distance, self.weights = distance, weights

    @classmethod
    def suited(
        cls, arguments: dict[str, Any], data: DataModule, batch: Batch, counts: Mapping[str, int]
    ) -> dict[str, Any] | None:
        """As every evaluator; needs targets that are large enough for the distance, and its package."""
        name = arguments.get("distance", "lpips-alex")
        fits = "target" in batch and min(batch["target"].shape[2:]) >= PLANS[name].least
        return super().suited(arguments, data, batch, counts) if fits and is_here(name) else None

    def begin(self, trainer: pl.Trainer, module: Any) -> None:
        """Load the network."""
        self._judge = PerceptualDistance(self.distance, self.weights).to(module.device)
        self._mean, self._others = Mean(module.device), Mean(module.device)
        self._before: Tensor | None = None

    def update(self, batch: Batch, outputs: Any) -> None:
        """Add the distances of the batch.

        Raises:
            UserError: The data has no targets.
        """
        if "target" not in batch:
            raise self.unusable("targets and this data has none")
        made, real = (as_in_a_file(x).expand(-1, 3, -1, -1) for x in (outputs, batch["target"]))
        self._mean.add(self._judge(made, real))
        row = real if self._before is None else torch.cat([self._before, real])
        if len(row) > 1:
            self._others.add(self._judge(row[:-1], row[1:]))
        self._before = real[-1:]

    def finish(self, trainer: pl.Trainer, module: Any) -> Evaluation:
        """Mean distance over the test images, of generated and of other real ones."""
        count, mean, error = self._mean.compute(trainer)
        network = {"network": self._judge.name, "sha256": self._judge.sha256}
        protocol = {**network, "split": "test", "test_pictures": count, "bits": 8}
        del self._judge
        made = protocol | self.in_use(trainer, module)
        rows = [Row(self.distance, mean, protocol=made, error=error)]
        if count > 1:
            pairs, other, spread = self._others.compute(trainer)
            facts = protocol | {"pairs": pairs, "of": "each target and the one before it"}
            rows.append(Row(self.distance, other, "real", facts, spread))
        return Evaluation(rows)
