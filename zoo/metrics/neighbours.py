"""Does the generator copy its training pictures? Samples beside their nearest (Goodfellow 2014, figure 2).

Distances are Euclidean over pixels in [0, 1]. A generator that copies has samples much nearer to the training
set than real test pictures are.
"""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from zoo.data.base import DataModule, SampleSet, collate
from zoo.errors import UserError
from zoo.files import write_picture
from zoo.metrics.report import Row, publish, run_folder
from zoo.pictures import grid


def nearest(queries: Tensor, train: SampleSet, chunk: int = 1_000) -> tuple[Tensor, Tensor]:
    """The nearest training picture of each query by Euclidean distance over pixels in [0, 1].

    The training set is read once in pieces of ``chunk`` pictures and never held whole.

    Args:
        queries: (N, C, H, W) in [-1, 1].
        train: Pictures under the key ``image``, without augmentation.
        chunk: Training pictures a piece.

    Returns:
        Distances (N) in float64 and indices (N).
    """
    flat = _flat(queries)
    best = torch.full((len(flat),), torch.inf, dtype=torch.float64, device=flat.device)
    index = torch.zeros(len(flat), dtype=torch.long, device=flat.device)
    for start in range(0, len(train), chunk):
        piece = _flat(pictures(train, list(range(start, min(start + chunk, len(train)))))).to(flat)
        distances, at = torch.cdist(flat, piece).min(1)
        closer = distances < best
        best = torch.where(closer, distances, best)
        index = torch.where(closer, at + start, index)
    return best, index


def pictures(data: SampleSet, indices: list[int]) -> Tensor:
    """Pictures (N, C, H, W) of a set by plain index."""
    images: Tensor = collate(data.__getitems__(list(indices)))["image"]
    return images


class NearestNeighbours(Callback):
    """Draw samples beside their nearest training pictures and compare distances; wants ``sample(n, seed)``.

    Writes ``samples/neighbours.png`` into the run's folder.

    Args:
        samples: Generated, and at most as many real test, pictures whose mean distance is taken.
        rows: Samples in the picture.
        seed: Of the samples.
    """

    def __init__(self, samples: int = 1_000, rows: int = 10, seed: int = 0) -> None:
        self.samples, self.rows, self.seed = samples, rows, seed

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to collect real test pictures."""
        self._real: list[Tensor] = []

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the first ``samples`` test pictures."""
        missing = self.samples - sum(len(part) for part in self._real)
        if missing > 0:
            self._real.append(batch["image"][:missing])

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Search, draw, record and print.

        Raises:
            UserError: The data has no training split.
        """
        data = trainer.datamodule  # type: ignore[attr-defined]
        train = data.split("train") if isinstance(data, DataModule) else None
        if train is None:
            raise UserError(
                "NearestNeighbours searches the training split and this data has none; leave it out."
            )
        made: Tensor = pl_module.sample(self.samples, self.seed)  # type: ignore[operator]
        real = torch.cat(self._real)
        distance, index = nearest(made, train)
        to_real, _ = nearest(real, train)
        path = run_folder(trainer) / "samples" / "neighbours.png"
        if trainer.is_global_zero:
            beside = pictures(train, index[: self.rows].tolist())
            write_picture(path, grid({"sample": made[: self.rows].cpu(), "nearest": beside}))
        rows = []
        for subject, found in (("generated", distance), ("real", to_real)):
            protocol = {"pictures": len(found), "train": len(train), "pixels": "[0, 1]", "norm": "Euclidean"}
            protocol |= {"seed": self.seed} if subject == "generated" else {"split": "test"}
            error = float(found.std() / len(found) ** 0.5)
            rows.append(Row("nearest-training-distance", float(found.mean()), subject, protocol, error))
        publish(
            trainer,
            rows,
            f"Samples lie {rows[0].value:.2f} from their nearest training picture, real test pictures "
            f"{rows[1].value:.2f}: see {path}.",
        )


def _flat(images: Tensor) -> Tensor:
    return (images.double().flatten(1) + 1) / 2
