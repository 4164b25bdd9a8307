"""Image quality: a trend in training by a small protocol, and the score of the trained model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl

from zoo.bounds import PositiveInt, Seed
from zoo.callbacks.samples import undisturbed
from zoo.data.base import Batch, DataModule, Split
from zoo.data.contracts import CONTRACTS
from zoo.errors import UserError
from zoo.features.choose import feature_network
from zoo.features.network import FeatureNetwork
from zoo.metrics.evaluator import Evaluation, Evaluator
from zoo.metrics.scoring.protocols import protocol
from zoo.metrics.scoring.report import Row
from zoo.metrics.scoring.scores import measure
from zoo.metrics.scoring.subjects import NoisePictures, Pictures, SetPictures, Translations

ENOUGH = 100  # test images, for a kernel distance whose error is smaller than what models differ by


class ImageQuality(Evaluator):
    """Score generated images against real ones: a trend in training, and more images in ``zoo test``.

    In training each score is logged as ``val/<score>@<images>``, so that a score of few images is not
    mistaken for the final one; a ``ModelCheckpoint`` can monitor it. Random state, modes and buffers are
    restored afterwards.

    Args:
        protocols: Protocols as ``zoo eval`` takes them: ``fd-mnist``, ``kid-effnet-lite0``, ``fid-tf``.
        samples: Images per side in ``zoo test``; the whole test split by default.
        every_n_steps: Steps between two scores in training; None scores in ``zoo test`` only.
        trend_samples: Largest number of images per side in training.
        weights: File of weights for the feature network.
        seed: Seed of all random draws.
    """

    def __init__(
        self,
        protocols: list[str],
        samples: PositiveInt | None = None,
        every_n_steps: PositiveInt | None = None,
        trend_samples: PositiveInt = 500,
        weights: str | None = None,
        seed: Seed = 0,
    ) -> None:
        super().__init__(every_n_steps)
        self.protocols = [protocol(name) for name in protocols]
        if not self.protocols:
            raise UserError("ImageQuality.protocols is empty; name at least one, such as fd-mnist.")
        self.samples, self.trend_samples = samples, trend_samples
        self.weights, self.seed = weights, seed
        self._networks: dict[Any, FeatureNetwork] = {}

    @classmethod
    def suited(
        cls, arguments: dict[str, Any], data: DataModule, batch: Batch, counts: Mapping[str, int]
    ) -> dict[str, Any] | None:
        """A kernel distance if there are enough test images for one; networks of digits do not fit others."""
        if counts.get("test", 0) < ENOUGH:
            return None
        asked = [protocol(name) for name in arguments["protocols"]]
        kept = [p.name for p in asked if p.network not in ("digits", "mnist") and p.metric != "fd"]
        try:
            for name in (kept := kept or ["kid-effnet-lite0"]):
                feature_network(protocol(name).network, arguments.get("weights"), protocol(name).resize)
        except UserError:  # not installed
            return None
        return arguments | {"protocols": kept}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Load the networks, so that a missing one fails before the training and not after it."""
        if not CONTRACTS[(data := self.data(trainer)).contract].is_picture:
            raise self.unusable(f"images and {type(data).__name__} holds {data.contract}")
        keys = {(p.network, p.resize) for p in self.protocols if p.network}
        device = trainer.strategy.root_device
        self._networks = {(n, r): feature_network(n, self.weights, r).to(device) for n, r in keys}

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Release the networks."""
        self._networks = {}

    def trend(self, trainer: pl.Trainer, module: Any) -> dict[str, float]:
        """Scores of always the same samples against the same real images."""
        split: Split = "val" if self.data(trainer).split("val") else "train"
        rows = self._measure(trainer, module, split, self.trend_samples)
        return {f"val/{row.metric}@{row.protocol['made']['count']}": row.value for row in rows}

    def finish(self, trainer: pl.Trainer, module: Any) -> Evaluation:
        """Score against the test split."""
        return Evaluation(self._measure(trainer, module, "test", self.samples))

    def _measure(self, trainer: pl.Trainer, module: Any, split: Split, most: int | None) -> list[Row]:
        samples = self.split(trainer, split)
        count = len(samples) if most is None else min(most, len(samples))
        real = SetPictures.of(self.data(trainer), split, count, self.seed)
        made: Pictures
        of = {"pictures": "generated", "step": module.steps_trained, "ema": bool(module.ema)}
        device = trainer.strategy.root_device
        if module.takes == "noise":
            made = NoisePictures(module.sample, of, count, self.seed)
        else:
            made = Translations(module.generate, samples, of | {"split": split}, count, self.seed, device)
        with undisturbed(trainer, module, self.seed):
            warn = split == "test" and trainer.is_global_zero
            return measure(self.protocols, self._networks, real, made, warn=warn)
