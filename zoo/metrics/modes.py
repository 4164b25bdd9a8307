"""Which modes of the data a generator produces: digits by a fixed classifier, Gaussians of the toy worlds.

A digit counts as found if at least ``share`` of the samples are classified as that digit with at least
``probability``. Reported with it is the Kullback-Leibler divergence (nats) of the histogram of all answers
from the uniform one: 0 if all digits are equally frequent, log 10 = 2.30 if there is only one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from zoo.bounds import Fraction, PositiveInt, Seed
from zoo.data.base import Batch, DataModule
from zoo.data.points import Points
from zoo.data.worlds import toys
from zoo.errors import UserError
from zoo.features.digits import PLANS, Kind, card, classifier, middle
from zoo.metrics.evaluator import Evaluation, Evaluator, total
from zoo.metrics.formulas.frechet import checked
from zoo.metrics.formulas.pixels import require_range
from zoo.metrics.scoring.report import Row

CLASSES = 10


class Counts(NamedTuple):
    """Number of answers per class (10), and number of confident answers per class (10)."""

    all: Tensor
    sure: Tensor

    def found(self, share: float) -> int:
        """Number of classes that at least ``share`` of the images show confidently."""
        return int((self.sure >= share * self.all.sum()).logical_and(self.sure > 0).sum())

    def kl_to_uniform(self) -> float:
        """Divergence of the histogram of all answers from the uniform one, in nats."""
        p = self.all.double() / self.all.sum()
        return math.log(len(p)) - float(torch.special.entr(p).sum())


@torch.no_grad()
def count(network: nn.Module, images: Tensor, probability: float) -> Counts:
    """Classify images (N, 1, H, W) in [-1, 1], not rounded, and count the answers.

    Raises:
        UserError: No images, or values that are not finite or outside the range.
    """
    require_range(images, "[-1,1]")
    p, answer = torch.cat([network(part) for part in torch.split(images, 500)]).softmax(1).max(1)
    return Counts(answer.bincount(minlength=CLASSES), answer[p >= probability].bincount(minlength=CLASSES))


class ModeCoverage(Evaluator):
    """Count the digits that the generator produces, with noise and real images for comparison.

    The module needs ``sample(n, seed)``. In training it logs ``val/modes_found`` and ``val/modes_kl``, always
    from the same noise.

    Args:
        classifier: Fixed classifier: 8x8 ``digits`` or 28x28 ``mnist`` (of 32x32 pixels the middle).
        samples: Number of generated images to classify.
        share: Smallest share of the samples for a digit to count as found.
        probability: Smallest probability of a confident answer.
        seed: Seed of the samples and of the noise.
        every_n_steps: Steps between two counts in training; None counts in ``zoo test`` only.
    """

    def __init__(
        self,
        classifier: Kind,
        samples: PositiveInt = 1_000,
        share: Fraction = 0.02,
        probability: Fraction = 0.9,
        seed: Seed = 0,
        every_n_steps: PositiveInt | None = None,
    ) -> None:
        super().__init__(every_n_steps)
        self.kind: Kind = classifier
        self.samples, self.share, self.probability, self.seed = samples, share, probability, seed
        self._network: nn.Module | None = None

    @classmethod
    def suited(
        cls, arguments: dict[str, Any], data: DataModule, batch: Batch, counts: Mapping[str, int]
    ) -> dict[str, Any] | None:
        """None: the classifiers read digits alone."""
        return None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Load the classifier."""
        self._network = classifier(self.kind)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Release the classifier."""
        self._network = None

    def trend(self, trainer: pl.Trainer, module: Any) -> dict[str, float]:
        """Modes found, and divergence from the uniform histogram."""
        made = self._count(module.sample(self.samples, self.seed))
        return {"val/modes_found": float(made.found(self.share)), "val/modes_kl": made.kl_to_uniform()}

    def begin(self, trainer: pl.Trainer, module: Any) -> None:
        """Reset the counts of real images."""
        self._real = torch.zeros(2, CLASSES, dtype=torch.long, device=module.device)

    def update(self, batch: Batch, outputs: Any) -> None:
        """Count the real images of the batch."""
        self._real += torch.stack(self._count(batch["image"]))

    def finish(self, trainer: pl.Trainer, module: Any) -> Evaluation:
        """Count generated images and noise; compare the three."""
        images = module.sample(self.samples, self.seed)
        counts = {
            "generated": self._count(images),
            "noise": self._count(uniform_noise(images, self.seed)),
            "real": Counts(*total(trainer, self._real)),
        }
        found = {subject: each.found(self.share) for subject, each in counts.items()}
        rows = [self._row("modes-found", subject, found[subject], counts[subject]) for subject in counts]
        rows += [self._row("modes-kl", subject, c.kl_to_uniform(), c) for subject, c in counts.items()]
        return Evaluation(
            rows,
            f"The generator makes {found['generated']} of the 10 digits (noise {found['noise']}, real digits "
            f"{found['real']}).",
        )

    def _row(self, metric: str, subject: str, value: float, counts: Counts) -> Row:
        protocol = {
            "classifier": self.kind,
            "sha256": card(self.kind)["sha256"],
            "samples": int(counts.all.sum()),
            "probability": self.probability,
            "share": self.share,
            "seed": None if subject == "real" else self.seed,
            "split": "test" if subject == "real" else None,
            "rounding": "none",
        }
        return Row(metric, value, subject, protocol)

    def _count(self, images: Tensor) -> Counts:
        size = PLANS[self.kind].size
        images = middle(images) if self.kind == "mnist" else images
        if images.shape[1:] != (1, size, size):
            raise UserError(
                f"ModeCoverage's classifier {self.kind} reads (1, {size}, {size}) images, not "
                f"{tuple(images.shape[1:])}; set classifier to the one made for this data, or remove "
                "ModeCoverage from trainer.callbacks."
            )
        assert self._network is not None
        return count(self._network.to(images.device), images, self.probability)


def uniform_noise(images: Tensor, seed: int) -> Tensor:
    """Uniform noise in [-1, 1] of the images' shape, type and device; drawn on the CPU."""
    random = torch.Generator().manual_seed(seed)
    return (torch.rand(images.shape, generator=random) * 2 - 1).to(images)


def gaussian_modes(points: Tensor, centres: Tensor, sigma: float) -> tuple[int, float]:
    """Number of modes hit, and share of points (N, 2) within three sigma of their nearest centre (M, 2).

    Points within three sigma are the good ones. A mode is hit if at least a quarter of its fair share of the
    points, N / (4 M), are good and nearest to it. (The usual rule of a single point is met by noise.)

    Raises:
        UserError: No points, or coordinates that are not finite.
    """
    points = checked(points, "Points", centres.shape[1])
    if not len(points):
        raise UserError("There are no points to score; give at least one.")
    distance, nearest = torch.cdist(points.double(), centres.double()).min(1)
    good = distance <= 3 * sigma
    each = nearest[good].bincount(minlength=len(centres))
    return int((4 * len(centres) * each >= len(points)).sum()), float(good.double().mean())


class GaussianModes(Evaluator):
    """Count the Gaussians of ``Points`` (ring or grid) that the generator hits.

    The module needs ``sample(n, seed)``.

    Args:
        samples: Number of generated points.
        seed: Seed of the samples and of the noise (uniform over the square [-1, 1]).
    """

    def __init__(self, samples: PositiveInt = 2_500, seed: Seed = 0) -> None:
        super().__init__()
        self.samples, self.seed = samples, seed

    def begin(self, trainer: pl.Trainer, module: Any) -> None:
        """Reset the real points.

        Raises:
            UserError: The data is not a world of Gaussians.
        """
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, Points) or data.world == "sine":
            raise self.unusable("zoo.data.points.Points with world ring or grid")
        self._world: Literal["ring", "grid"] = data.world
        self._sigma, self._real = data.sigma, list[Tensor]()

    def update(self, batch: Batch, outputs: Any) -> None:
        """Keep the real points of the batch."""
        self._real.append(batch["point"])

    def finish(self, trainer: pl.Trainer, module: Any) -> Evaluation:
        """Modes hit and share of good points of generated points, noise and real points."""
        made = module.sample(self.samples, self.seed)
        noise = uniform_noise(made.float(), self.seed)
        means = torch.from_numpy(toys.centres(self._world))
        rows, hits = [], []
        for subject, points in (("generated", made), ("noise", noise), ("real", torch.cat(self._real))):
            hit, good = gaussian_modes(points.cpu(), means, self._sigma)
            protocol = {"world": self._world, "sigma": self._sigma, "samples": len(points), "seed": self.seed}
            rows += [Row("modes-hit", hit, subject, protocol), Row("within-3-sigma", good, subject, protocol)]
            hits.append(f"{100 * good:.0f} %")
        return Evaluation(
            rows,
            f"The generator hits {rows[0].value:.0f} of the {len(means)} Gaussians; {hits[0]} of its points "
            f"lie within three sigma of one (noise {hits[1]}, real points {hits[2]}).",
        )
