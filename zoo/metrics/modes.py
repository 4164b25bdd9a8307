"""Which modes of the data a generator makes: digits by a fixed classifier, Gaussians of the toy worlds.

A digit counts as found when at least ``share`` of the samples are classified so with at least
``probability``. Beside it stands the Kullback-Leibler divergence (nats) of the histogram of all answers to
the uniform one: 0 when all digits come equally often, log 10 = 2.30 when there is only one.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from zoo.data.points import Points
from zoo.data.worlds import toys
from zoo.errors import UserError
from zoo.features.digits import PLANS, Kind, card, classifier
from zoo.metrics.scoring.report import Row, publish

CLASSES = 10


class Counts(NamedTuple):
    """How often each class was the answer (10), and how often a sure one (10)."""

    all: Tensor
    sure: Tensor

    def found(self, share: float) -> int:
        """Classes that at least ``share`` of the pictures show for sure."""
        return int((self.sure >= share * self.all.sum()).logical_and(self.sure > 0).sum())

    def kl_to_uniform(self) -> float:
        """Divergence of the histogram of all answers to the uniform one, in nats."""
        p = self.all.double() / self.all.sum()
        return math.log(len(p)) - float(torch.special.entr(p).sum())


@torch.no_grad()
def count(network: nn.Module, images: Tensor, probability: float) -> Counts:
    """Classify pictures (N, 1, H, W) in [-1, 1] and count the answers."""
    p, answer = torch.cat([network(part) for part in torch.split(images, 500)]).softmax(1).max(1)
    return Counts(answer.bincount(minlength=CLASSES), answer[p >= probability].bincount(minlength=CLASSES))


def sentence(made: int, noise: int, real: int) -> str:
    """The finding in plain words."""
    return f"The generator makes {made} of the 10 digits (noise {noise}, real digits {real})."


class ModeCoverage(Callback):
    """Count the digits that the generator makes, beside noise and real pictures; wants ``sample(n, seed)``.

    Args:
        classifier: The fixed classifier: 8x8 ``digits`` or 28x28 ``mnist``.
        samples: Generated pictures to classify.
        share: Smallest share of the samples for a digit to count as found.
        probability: From which probability on an answer is sure.
        seed: Of the samples and of the noise.
        every_n_steps: Also count during training, logged as ``val/modes_found`` and ``val/modes_kl``; not by
            default.
    """

    def __init__(
        self,
        classifier: Kind,
        samples: int = 1_000,
        share: float = 0.02,
        probability: float = 0.9,
        seed: int = 0,
        every_n_steps: int | None = None,
    ) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise ValueError(f"every_n_steps must be at least 1, got {every_n_steps}")
        self.kind: Kind = classifier
        self.samples, self.share, self.probability, self.seed = samples, share, probability, seed
        self.every_n_steps = every_n_steps
        self._network: nn.Module | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Load the classifier."""
        self._network = classifier(self.kind)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Let the classifier go."""
        self._network = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count every ``every_n_steps`` steps, at the same samples' seed each time."""
        if self.every_n_steps is None or trainer.global_step % self.every_n_steps:
            return
        made = self._count(self._samples(pl_module))
        metrics = {"val/modes_found": float(made.found(self.share)), "val/modes_kl": made.kl_to_uniform()}
        # for monitors; written by hand because Lightning writes only where log_every_n_steps divides
        pl_module.log_dict(metrics, logger=False, rank_zero_only=True)
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=trainer.global_step - 1)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to count real pictures."""
        zero = torch.zeros(CLASSES, dtype=torch.long, device=pl_module.device)
        self._real = Counts(zero, zero.clone())

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the batch's real pictures."""
        found = self._count(batch["image"])
        self._real = Counts(self._real.all + found.all, self._real.sure + found.sure)

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count generated pictures and noise; record and print the three."""
        images = self._samples(pl_module)
        random = torch.Generator().manual_seed(self.seed)
        noise = torch.rand(images.shape, generator=random) * 2 - 1
        both = trainer.strategy.reduce(torch.stack(self._real), reduce_op="sum")
        assert isinstance(both, Tensor)
        counts = {
            "generated": self._count(images),
            "noise": self._count(noise.to(images)),
            "real": Counts(both[0], both[1]),
        }
        rows = [
            self._row("modes-found", kind, found.found(self.share), found) for kind, found in counts.items()
        ]
        rows += [self._row("modes-kl", kind, found.kl_to_uniform(), found) for kind, found in counts.items()]
        found = (counts[kind].found(self.share) for kind in ("generated", "noise", "real"))
        publish(trainer, rows, sentence(*found))

    def _row(self, metric: str, subject: str, value: float, counts: Counts) -> Row:
        protocol = {
            "classifier": self.kind,
            "sha256": card(self.kind)["sha256"],
            "samples": int(counts.all.sum()),
            "probability": self.probability,
            "share": self.share,
            "seed": None if subject == "real" else self.seed,
            "split": "test" if subject == "real" else None,
        }
        return Row(metric, value, subject, protocol)

    def _samples(self, pl_module: pl.LightningModule) -> Tensor:
        images: Tensor = pl_module.sample(self.samples, self.seed)  # type: ignore[operator]
        return images

    def _count(self, images: Tensor) -> Counts:
        size = PLANS[self.kind].size
        if images.shape[1:] != (1, size, size):
            raise UserError(
                f"ModeCoverage's classifier {self.kind} reads (1, {size}, {size}) pictures, not "
                f"{tuple(images.shape[1:])}; set classifier to the one made for this data, or leave it out."
            )
        assert self._network is not None
        return count(self._network.to(images.device), images, self.probability)


def gaussian_modes(points: Tensor, centres: Tensor, sigma: float) -> tuple[int, float]:
    """Modes hit, and share of points (N, 2) within three sigma of their nearest centre (M, 2): the good ones.

    A mode is hit when a quarter of its fair share of the points, N / (4 M), are good and lie at it. (The
    usual rule of a single point is met by noise.)
    """
    distance, nearest = torch.cdist(points.double(), centres.double()).min(1)
    good = distance <= 3 * sigma
    each = nearest[good].bincount(minlength=len(centres))
    return int((4 * len(centres) * each >= len(points)).sum()), float(good.double().mean())


class GaussianModes(Callback):
    """Count the Gaussians of ``Points`` (ring or grid) that the generator hits; wants ``sample(n, seed)``.

    Args:
        samples: Generated points.
        seed: Of the samples and of the noise (uniform over the square [-1, 1]).
    """

    def __init__(self, samples: int = 2_500, seed: int = 0) -> None:
        self.samples, self.seed = samples, seed

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to collect real points.

        Raises:
            UserError: The data is no world of Gaussians.
        """
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, Points) or data.world == "sine":
            raise UserError(
                "GaussianModes needs zoo.data.points.Points with world ring or grid; leave it out."
            )
        self._world: Literal["ring", "grid"] = data.world
        self._sigma, self._real = data.sigma, list[Tensor]()

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the batch's real points."""
        self._real.append(batch["point"])

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record and print modes hit and share of good points, generated beside noise and real."""
        made: Tensor = pl_module.sample(self.samples, self.seed)  # type: ignore[operator]
        random = torch.Generator().manual_seed(self.seed)
        noise = torch.rand(made.shape, generator=random) * 2 - 1
        means = torch.from_numpy(toys.centres(self._world))
        rows, hits = [], []
        for subject, points in (("generated", made), ("noise", noise), ("real", torch.cat(self._real))):
            hit, good = gaussian_modes(points.cpu(), means, self._sigma)
            protocol = {"world": self._world, "sigma": self._sigma, "samples": len(points), "seed": self.seed}
            rows += [Row("modes-hit", hit, subject, protocol), Row("within-3-sigma", good, subject, protocol)]
            hits.append(f"{100 * good:.0f} %")
        publish(
            trainer,
            rows,
            f"The generator hits {rows[0].value:.0f} of the {len(means)} Gaussians; {hits[0]} of its points "
            f"lie within three sigma of one (noise {hits[1]}, real points {hits[2]}).",
        )
