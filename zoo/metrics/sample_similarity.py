"""How alike samples are: MS-SSIM of pairs of samples beside that of real pairs (Odena 2017, section 4.2).

A generator with little variation makes pairs that are more alike than real ones. Karras 2018 (Progressive
GAN) reports it too, and notes that it finds collapses of many modes but no smaller loss of variation, and
says nothing about the likeness to real images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from zoo.bounds import PositiveInt, Seed
from zoo.data.base import Batch, DataModule, Split
from zoo.data.contracts import CONTRACTS
from zoo.metrics.evaluator import Evaluation, Evaluator, Mean, read
from zoo.metrics.formulas.diversity import random_pairs
from zoo.metrics.formulas.pixels import to_bytes
from zoo.metrics.formulas.similarity import SCALE_WEIGHTS, most_scales, ms_ssim
from zoo.metrics.scoring.report import Row
from zoo.metrics.scoring.subjects import NoisePictures, share

AT_ONCE = 64  # pairs
WHOLE = len(SCALE_WEIGHTS)


class SampleSimilarity(Evaluator):
    """Mean MS-SSIM of independent pairs of samples, and of pairs of real images; needs ``sample(n, seed)``.

    On each channel, of images rounded to 8 bits. Images below 176 pixels have fewer than the five scales: 4
    from 88 pixels, 3 from 44, 2 from 22, and below that SSIM alone; those below 11 are refused. A value far
    above that of real pairs means little variation; one below it does not mean more, as noise scores 0.

    Args:
        pairs: Number of pairs of samples, each image in one pair; at most as many pairs of real images.
        split: Split of the real images.
        seed: Seed of the samples and of the real pairs.
        every_n_steps: Steps between two scores of samples in training; None scores in ``zoo test`` only.
        trend_pairs: Number of pairs of samples in training.
    """

    def __init__(
        self,
        pairs: PositiveInt = 10_000,
        split: Split = "train",
        seed: Seed = 0,
        every_n_steps: PositiveInt | None = None,
        trend_pairs: PositiveInt = 250,
    ) -> None:
        super().__init__(every_n_steps)
        self.pairs, self.trend_pairs = pairs, trend_pairs
        self.source, self.seed = split, seed

    @classmethod
    def suited(
        cls, arguments: dict[str, Any], data: DataModule, batch: Batch, counts: Mapping[str, int]
    ) -> dict[str, Any] | None:
        """As every evaluator; needs images that are large enough."""
        fits = scales_of(data, batch) and counts.get(arguments.get("split", "train"), 0) > 1
        return super().suited(arguments, data, batch, counts) if fits else None

    def begin(self, trainer: pl.Trainer, module: Any) -> None:
        """Refuse data that cannot be scored, before any sampling."""
        self._scales(trainer)

    def trend(self, trainer: pl.Trainer, module: Any) -> dict[str, float]:
        """The score of fewer pairs, always from the same noise."""
        _, mean, _ = self._of_samples(trainer, module, self.trend_pairs)
        return {f"val/pair-ms-ssim@{self.trend_pairs}": mean}

    def finish(self, trainer: pl.Trainer, module: Any) -> Evaluation:
        """The scores of pairs of samples and of real pairs."""
        scales = self._scales(trainer)
        made, value, error = self._of_samples(trainer, module, self.pairs)
        count, real, _ = self._of_real(trainer, module)
        protocol = {
            "scales": scales,
            "weights": "Wang 2003" if scales == WHOLE else "Wang 2003, divided by their sum",
            "planes": "each channel",
            "bits": 8,
            "seed": self.seed,
        }
        drawn = {"pairs": count, "pictures": len(self.split(trainer, self.source)), "split": self.source}
        differs = None if scales == WHOLE else f"{scales} scales instead of {WHOLE}"
        rows = [
            Row("pair-ms-ssim", value, "generated", protocol | {"pairs": made}, error, differs=differs),
            Row("pair-ms-ssim", real, "real", protocol | drawn),
        ]
        return Evaluation(
            rows, f"The MS-SSIM of two samples is {value:.3f}, that of two real images {real:.3f}."
        )

    def _scales(self, trainer: pl.Trainer) -> int:
        scales = scales_of(self.data(trainer), read(self.split(trainer, self.source), [0]))
        if not scales:
            raise self.unusable("images of at least 11x11 pixels")
        return scales

    def _of_samples(self, trainer: pl.Trainer, module: Any, pairs: int) -> tuple[int, float, float]:
        made = NoisePictures(module.sample, {}, 2 * pairs, self.seed)
        return self._mean(trainer, module, (images for _, images in made.batches(*share())))

    def _of_real(self, trainer: pl.Trainer, module: Any) -> tuple[int, float, float]:
        samples, key = self.split(trainer, self.source), CONTRACTS[self.data(trainer).contract].real
        pairs = random_pairs(len(samples), self.pairs, self.seed)
        rank, ranks = share()
        parts = torch.split(pairs, AT_ONCE)[rank::ranks]
        read_pairs = (to_bytes(read(samples, part.flatten().tolist())[key], "[-1,1]") for part in parts)
        return self._mean(trainer, module, read_pairs)

    def _mean(self, trainer: pl.Trainer, module: Any, batches: Iterator[Tensor]) -> tuple[int, float, float]:
        """Count, mean and standard error over all ranks; each image of even index pairs with the next."""
        mean, scales = Mean(module.device), self._scales(trainer)
        for images in batches:
            mean.add(ms_ssim(images[::2], images[1::2], luma=False, scales=scales).to(module.device))
        return mean.compute(trainer)


def scales_of(data: DataModule, batch: Batch) -> int:
    """The scales that the images of a batch have room for; 0 if there are none or they are too small."""
    contract = CONTRACTS[data.contract]
    return most_scales(*batch[contract.real].shape[2:]) if contract.is_picture else 0
