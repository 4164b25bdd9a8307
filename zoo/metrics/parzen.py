"""The log-likelihood of Goodfellow 2014 (section 5): a Gaussian Parzen window fitted to generated samples.

The density of a point x is the mean over N samples s of a Gaussian of width sigma in D dimensions,
``p(x) = 1/N sum_s (sigma sqrt(2 pi))^-D exp(-|x - s|^2 / (2 sigma^2))``. Sigma is the one of ten log-spaced
values in [0.1, 1] under which validation pictures are most likely; the number is the mean of ``log p`` over
the test set with its standard error, pixels in [0, 1]. The paper calls the estimate high in variance and poor
in high dimensions; later work (Theis 2016) shows that it does not rank models: it is reported for parity
only.
"""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from zoo.data.base import DataModule, collate
from zoo.errors import UserError
from zoo.guards import describe
from zoo.metrics.scoring.report import Row, publish

PAPER_MNIST = "225 ± 2"  # table 1


def sigma_grid(count: int = 10) -> list[float]:
    """The paper's candidates: ``count`` log-spaced values from 10^-1 to 10^0."""
    return torch.logspace(-1, 0, count, dtype=torch.float64).tolist()


def log_likelihood(points: Tensor, samples: Tensor, sigmas: list[float], chunk: int = 500) -> Tensor:
    """Log-density of each point under the Parzen window of ``samples``, for several widths at once.

    Distances come from matrix products in float64 over pieces of the points, so memory is ``chunk * N``
    numbers.

    Args:
        points: (M, D).
        samples: (N, D) Centres of the window.
        sigmas: S widths.
        chunk: Points a piece.

    Returns:
        (S, M) in float64, nats.
    """
    centres = samples.double()
    squares = centres.square().sum(1)
    count, dimensions = centres.shape
    columns = []
    for piece in torch.split(points, chunk):
        x = piece.double()
        distances = torch.addmm(squares[None] + x.square().sum(1, keepdim=True), x, centres.T, alpha=-2)
        distances.clamp_(min=0)  # rounding can take the distance of equal points below zero
        columns.append(torch.stack([torch.logsumexp(distances / (-2 * s * s), 1) for s in sigmas]))
    normaliser = centres.new_tensor([dimensions * math.log(s * math.sqrt(2 * math.pi)) for s in sigmas])
    return torch.cat(columns, 1) - math.log(count) - normaliser[:, None]


def choose_sigma(validation: Tensor, samples: Tensor, sigmas: list[float]) -> float:
    """The width under which the ``validation`` points (M, D) are most likely on average."""
    return sigmas[int(log_likelihood(validation, samples, sigmas).mean(1).argmax())]


class ParzenWindow(Callback):
    """Estimate the test set's log-likelihood by the paper's protocol; wants ``sample(n, seed)``.

    Args:
        samples: Generated pictures under the window (paper: 10,000).
        validation: Validation pictures that choose sigma (paper: 1,000).
        seed: Of the samples.
    """

    def __init__(self, samples: int = 10_000, validation: int = 1_000, seed: int = 0) -> None:
        self.samples, self.validation, self.seed = samples, validation, seed

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the window and choose sigma.

        Raises:
            UserError: The data has no validation split.
        """
        data = trainer.datamodule  # type: ignore[attr-defined]
        held_out = data.split("val") if isinstance(data, DataModule) else None
        if held_out is None:
            raise UserError(
                "ParzenWindow chooses sigma on the validation split and this data has none; leave it out."
            )
        count = min(self.validation, len(held_out))
        pictures = collate(held_out.__getitems__(list(range(count))))["image"]
        self._window = _flat(pl_module.sample(self.samples, self.seed))  # type: ignore[operator]
        sigma = choose_sigma(_flat(pictures).to(self._window), self._window, sigma_grid())
        self._sigma, self._chosen_on = sigma, count
        self._sums = torch.zeros(3, dtype=torch.float64, device=self._window.device)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add the log-likelihood of the batch's pictures."""
        found = log_likelihood(_flat(batch["image"]), self._window, [self._sigma])[0]
        self._sums += torch.stack([torch.ones_like(found).sum(), found.sum(), found.square().sum()])

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record and print the mean with its standard error."""
        sums = trainer.strategy.reduce(self._sums, reduce_op="sum")
        assert isinstance(sums, Tensor)
        count, total, squares = sums.tolist()
        mean = total / count
        error = math.sqrt(max(squares / count - mean * mean, 0.0) / count)
        is_mnist = describe(trainer).get("name") == "MNIST"
        row = Row(
            "parzen-log-likelihood",
            mean,
            error=error,
            protocol={
                "samples": self.samples,
                "sigma": round(self._sigma, 6),
                "sigma_chosen_on": self._chosen_on,
                "test": int(count),
                "pixels": "[0, 1]",
                "unit": "nats",
                "seed": self.seed,
            },
            paper=PAPER_MNIST if is_mnist else None,
            differs=self._differs(),
        )
        del self._window
        publish(trainer, [row])

    def _differs(self) -> str | None:
        asked, given = (10_000, 1_000), (self.samples, self._chosen_on)
        if asked == given:
            return None
        return f"{given[0]:,} samples and {given[1]:,} validation pictures instead of 10,000 and 1,000"


def _flat(pictures: Tensor) -> Tensor:
    """Pictures in [-1, 1] as rows in [0, 1]."""
    return (pictures.flatten(1) + 1) / 2
