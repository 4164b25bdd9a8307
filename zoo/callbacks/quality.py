"""How good pictures become in training, by a small protocol, and how good they are in the end."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from zoo.callbacks.samples import undisturbed
from zoo.data.base import DataModule, Split
from zoo.errors import UserError
from zoo.features.choose import feature_network
from zoo.features.network import FeatureNetwork
from zoo.metrics.scoring.protocols import protocol
from zoo.metrics.scoring.report import Row, publish
from zoo.metrics.scoring.scores import measure
from zoo.metrics.scoring.subjects import NO_PICTURES, NoisePictures, Pictures, SetPictures, Translations


class ImageQuality(Callback):
    """Score generated pictures against real ones: a trend in training, and by more of them in ``zoo test``.

    In training each score is logged as ``val/<score>@<pictures>``, so that no small one is taken for the real
    thing; a ``ModelCheckpoint`` can keep the best by it. Random state, modes and buffers stand afterwards as
    they stood before.

    Args:
        protocols: As ``zoo eval`` takes them: ``fd-mnist``, ``kid-effnet-lite0``, ``fid-tf``.
        samples: Pictures of each side in ``zoo test``; all of the test split when not given.
        every_n_steps: Also score during training; not by default.
        trend_samples: Pictures of each side in training, at most.
        weights: A file of weights for the feature network.
        seed: Of all that is random.
    """

    def __init__(
        self,
        protocols: list[str],
        samples: int | None = None,
        every_n_steps: int | None = None,
        trend_samples: int = 500,
        weights: str | None = None,
        seed: int = 0,
    ) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise ValueError(f"every_n_steps must be at least 1, got {every_n_steps}")
        self.protocols = [protocol(name) for name in protocols]
        if not self.protocols:
            raise UserError("ImageQuality.protocols is empty; name at least one, such as fd-mnist.")
        self.samples, self.every_n_steps, self.trend_samples = samples, every_n_steps, trend_samples
        self.weights, self.seed = weights, seed
        self._networks: dict[Any, FeatureNetwork] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Load the networks, so that a missing one is told before the training and not after it."""
        if (data := _data(trainer)).contract in NO_PICTURES:
            raise UserError(
                f"{type(data).__name__} holds {data.contract}; ImageQuality scores pictures, take it out."
            )
        keys = {(p.network, p.resize) for p in self.protocols}
        device = trainer.strategy.root_device
        self._networks = {(n, r): feature_network(n, self.weights, r).to(device) for n, r in keys}

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Let the networks go."""
        self._networks = {}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Score every ``every_n_steps`` steps, always the same samples and the same real pictures."""
        if self.every_n_steps is None or trainer.global_step % self.every_n_steps:
            return
        split: Split = "val" if _data(trainer).split("val") else "train"
        rows = self._measure(trainer, pl_module, split, self.trend_samples)
        found = {f"val/{row.metric}@{row.protocol['made']['count']}": row.value for row in rows}
        # for monitors; written by hand because Lightning writes only where log_every_n_steps divides
        pl_module.log_dict(found, logger=False)
        for logger in trainer.loggers:
            logger.log_metrics(found, step=trainer.global_step - 1)

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Score against the test split, record and print."""
        if _data(trainer).split("test") is None:
            raise UserError("ImageQuality needs a test split and this data has none; leave it out.")
        publish(trainer, self._measure(trainer, pl_module, "test", self.samples))

    def _measure(self, trainer: pl.Trainer, module: Any, split: Split, most: int | None) -> list[Row]:
        data = _data(trainer)
        samples = data.split(split)
        assert samples is not None
        count = len(samples) if most is None else min(most, len(samples))
        real = SetPictures.of(data, split, count, self.seed)
        made: Pictures
        of = {"pictures": "generated", "step": module.steps_trained, "ema": False}
        device = trainer.strategy.root_device
        if module.takes == "noise":
            made = NoisePictures(module.sample, of, count, self.seed)
        else:
            made = Translations(module.generate, samples, of | {"split": split}, count, self.seed, device)
        with undisturbed(trainer, module, self.seed):
            warn = split == "test" and trainer.is_global_zero
            return measure(self.protocols, self._networks, real, made, warn=warn)


def _data(trainer: pl.Trainer) -> DataModule:
    data = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(data, DataModule):
        raise UserError("ImageQuality needs a data module of the zoo; take it out of trainer.callbacks.")
    return data
