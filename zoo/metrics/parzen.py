"""The log-likelihood of Goodfellow 2014 (section 5): a Gaussian Parzen window fitted to generated samples.

The density of a point x is the mean over N samples s of a Gaussian of width sigma in D dimensions,
``p(x) = 1/N sum_s (sigma sqrt(2 pi))^-D exp(-|x - s|^2 / (2 sigma^2))``. Sigma is the one of ten log-spaced
values in [0.1, 1] under which validation images are most likely; the score is the mean of ``log p`` over the
test set with its standard error, pixels in [0, 1]. The paper says that the estimate has high variance and
performs poorly in high dimensions; Theis 2016 shows that it does not rank models. It is reported for parity
with the paper only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from zoo.bounds import PositiveInt, Seed
from zoo.data.base import Batch, DataModule
from zoo.errors import UserError
from zoo.metrics.evaluator import Evaluation, Evaluator, Mean, read, unit_rows
from zoo.metrics.formulas.frechet import checked
from zoo.metrics.scoring.report import Row

PAPER_MNIST = "225 ± 2"  # table 1


def sigma_grid() -> list[float]:
    """The paper's candidates: ten log-spaced values from 10^-1 to 10^0."""
    return torch.logspace(-1, 0, 10, dtype=torch.float64).tolist()


def log_likelihood(points: Tensor, samples: Tensor, sigmas: list[float], chunk: int = 500) -> Tensor:
    """Log-density of each point under the Parzen window of ``samples``, for several widths at once.

    Distances are computed by matrix products in float64, ``chunk`` points at a time, so memory is
    ``chunk * N`` numbers.

    Args:
        points: (M, D).
        samples: (N, D), centres of the window.
        sigmas: S widths.
        chunk: Points per matrix product.

    Returns:
        (S, M) in float64, nats.

    Raises:
        UserError: Points or samples of different width, none of them, or values that are not finite.
    """
    centres = checked(samples, "Samples").double()
    points = checked(points, "Points", centres.shape[1])
    if not len(points) or not len(centres):
        raise UserError(f"A Parzen window needs points and samples, not {len(points)} and {len(centres)}.")
    squares = centres.square().sum(1)
    count, dimensions = centres.shape
    columns = []
    for piece in torch.split(points, chunk):
        x = piece.double()
        distances = torch.addmm(squares[None] + x.square().sum(1, keepdim=True), x, centres.T, alpha=-2)
        distances.clamp_(min=0)  # rounding can make the distance of equal points negative
        columns.append(torch.stack([torch.logsumexp(distances / (-2 * s * s), 1) for s in sigmas]))
    normaliser = centres.new_tensor([dimensions * math.log(s * math.sqrt(2 * math.pi)) for s in sigmas])
    return torch.cat(columns, 1) - math.log(count) - normaliser[:, None]


def choose_sigma(validation: Tensor, samples: Tensor, sigmas: list[float]) -> float:
    """The width under which the ``validation`` points (M, D) are most likely on average."""
    return sigmas[int(log_likelihood(validation, samples, sigmas).mean(1).argmax())]


class ParzenWindow(Evaluator):
    """Estimate the log-likelihood of the test set by the paper's protocol; needs ``sample(n, seed)``.

    Args:
        samples: Number of generated images that form the window (paper: 10,000).
        validation: Number of validation images that choose sigma (paper: 1,000).
        seed: Seed of the samples.
    """

    def __init__(
        self, samples: PositiveInt = 10_000, validation: PositiveInt = 1_000, seed: Seed = 0
    ) -> None:
        super().__init__()
        self.samples, self.validation, self.seed = samples, validation, seed

    @classmethod
    def suited(
        cls, arguments: dict[str, Any], data: DataModule, batch: Batch, counts: Mapping[str, int]
    ) -> dict[str, Any] | None:
        """As every evaluator; needs a validation split, too."""
        return super().suited(arguments, data, batch, counts) if counts.get("val") else None

    def begin(self, trainer: pl.Trainer, module: Any) -> None:
        """Draw the window and choose sigma on the validation split."""
        held_out = self.split(trainer, "val")
        count = min(self.validation, len(held_out))
        images = read(held_out, range(count))["image"]
        self._window = unit_rows(module.sample(self.samples, self.seed))
        self._sigma = choose_sigma(unit_rows(images).to(self._window), self._window, sigma_grid())
        self._chosen_on, self._mean = count, Mean(self._window.device)

    def update(self, batch: Batch, outputs: Any) -> None:
        """Add the log-likelihood of the batch's images."""
        self._mean.add(log_likelihood(unit_rows(batch["image"]), self._window, [self._sigma])[0])

    def finish(self, trainer: pl.Trainer, module: Any) -> Evaluation:
        """Mean log-likelihood with its standard error (divisor n)."""
        count, mean, square = self._mean.moments(trainer)
        del self._window
        given = f"{self.samples:,} samples and {self._chosen_on:,} validation pictures"
        asked = "10,000 samples and 1,000 validation pictures"
        row = Row(
            "parzen-log-likelihood",
            mean,
            error=math.sqrt(max(square - mean * mean, 0.0) / count),
            protocol={
                "samples": self.samples,
                "sigma": round(self._sigma, 6),
                "sigma_chosen_on": self._chosen_on,
                "test": count,
                "pixels": "[0, 1]",
                "rounding": "none",
                "unit": "nats",
                "seed": self.seed,
            },
            paper=PAPER_MNIST if self.data(trainer).description().get("name") == "MNIST" else None,
            differs=None if given == asked else f"{given} instead of 10,000 and 1,000",
        )
        return Evaluation([row])
