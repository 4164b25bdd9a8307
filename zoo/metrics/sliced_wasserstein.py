"""Sliced Wasserstein distance of generated to real patches, scale by scale (Karras 2018, section 5)."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from zoo.bounds import PositiveInt, Seed
from zoo.data.base import Split
from zoo.errors import UserError
from zoo.metrics.evaluator import Evaluation, Evaluator
from zoo.metrics.formulas.patches import PER_IMAGE, SIDE, Patches, sliced_wasserstein
from zoo.metrics.scoring.report import Row
from zoo.metrics.scoring.scores import halves
from zoo.metrics.scoring.subjects import Indexed, NoisePictures, SetPictures

PAPER_SAMPLES = 16_384


class SlicedWasserstein(Evaluator):
    """Compare patches of samples with real ones at each level of a Laplacian pyramid.

    Needs ``sample(n, seed)``. The rows are ``swd-64``, ``swd-32``, ``swd-16`` (shorter side of the level in
    pixels) and their mean ``swd``, all times 1,000. The real images are two random halves of a split. As many
    samples as a half are compared with the first half, and so is the second half, as the row ``real``. Images
    under 32 pixels have one level, themselves; those under 7 are refused. Memory: 38 kB per RGB image and
    level, for two sets at a time, and about 0.5 GB.

    Args:
        samples: Number of generated images (paper: 16,384), at most half of the real ones.
        directions: Number of random projections.
        split: Split of the real images (paper: training images).
        seed: Seed of the samples, the halves, the patches and the projections.
        every_n_steps: Steps between two scores in training; None scores in ``zoo test`` only.
        trend_samples: Largest number of generated images in training.
    """

    def __init__(
        self,
        samples: PositiveInt = 16_384,
        directions: PositiveInt = 512,
        split: Split = "train",
        seed: Seed = 0,
        every_n_steps: PositiveInt | None = None,
        trend_samples: PositiveInt = 250,
    ) -> None:
        super().__init__(every_n_steps)
        self.samples, self.trend_samples = samples, trend_samples
        self.directions, self.source, self.seed = directions, split, seed

    def begin(self, trainer: pl.Trainer, module: Any) -> None:
        """Refuse data that are too few, before any sampling."""
        self._real(trainer, self.samples)

    def trend(self, trainer: pl.Trainer, module: Any) -> dict[str, float]:
        """Distances of fewer samples, always from the same noise to the same real images."""
        real, halved = self._real(trainer, self.trend_samples)
        made = self._made(module, len(real) // 2)
        found = self._compare(self._patches(real.batches(), halved), self._patches(made.batches()))
        return {f"val/{name}@{len(made)}": value for name, value in found.items()}

    def finish(self, trainer: pl.Trainer, module: Any) -> Evaluation:
        """Distances of the samples and of the second half of the real images to the first half."""
        real, halved = self._real(trainer, self.samples)
        made = self._made(module, count := len(real) // 2)
        half = self._patches(real.batches(), halved)
        floor = self._compare(half, self._patches(real.batches(), ~halved))
        found = self._compare(half, self._patches(made.batches()))
        protocol = {
            "metric": "sliced Wasserstein distance x 1000 of patches, normalised per channel and set",
            "patches": f"{PER_IMAGE} of {SIDE}x{SIDE} per picture and level",
            "directions": self.directions,
            "bits": 8,
            "seed": self.seed,
            "real": real.facts() | {"count": count, "half": "first of two random ones"},
        }
        differs = None if count >= PAPER_SAMPLES else f"{count:,} pictures instead of {PAPER_SAMPLES:,}"
        rows = [
            Row(name, value, "generated", protocol | {"made": made.facts()}, differs=differs)
            for name, value in found.items()
        ]
        other = {"made": {"pictures": "second half of the real ones", "count": count}}
        rows += [Row(name, value, "real", protocol | other) for name, value in floor.items()]
        return Evaluation(
            rows,
            f"Patches of samples are {found['swd']:.3g} from real ones, those of two halves of the real "
            f"pictures {floor['swd']:.3g} (sliced Wasserstein distance x 1000).",
        )

    def _real(self, trainer: pl.Trainer, most: int) -> tuple[SetPictures, Tensor]:
        """Twice as many real images as are generated, and which of them are the first half (bool)."""
        count = min(most, len(self.split(trainer, self.source)) // 2)
        if count < 2:
            raise self.unusable("at least four real images")
        real = SetPictures.of(self.data(trainer), self.source, 2 * count, self.seed)
        first, _ = halves(torch.arange(2 * count), self.seed)
        return real, torch.zeros(2 * count, dtype=torch.bool).index_fill_(0, first, True)

    def _made(self, module: Any, count: int) -> NoisePictures:
        return NoisePictures(module.sample, {"pictures": "generated"}, count, self.seed)

    def _patches(self, batches: Iterable[Indexed], chosen: Tensor | None = None) -> Patches:
        """Patches of all images, or of those whose index is chosen."""
        found = Patches(self.seed)
        for indices, images in batches:
            kept = images if chosen is None else images[chosen[indices]]
            if len(kept):
                found.update(kept)
        return found

    def _compare(self, real: Patches, made: Patches) -> dict[str, float]:
        """Distance of each level, finest first, then their mean; times 1,000."""
        if made.sides != real.sides:
            raise UserError(
                f"Samples have levels of {made.sides} pixels and real images of {real.sides}; give data of "
                "the size that the model makes."
            )
        found = {
            f"swd-{side}": 1_000
            * sliced_wasserstein(real.at(side), made.at(side), self.directions, self.seed)
            for side in real.sides
        }
        return found | {"swd": fmean(found.values())}
