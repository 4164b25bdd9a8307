"""Does the generator copy its training pictures? Samples beside their nearest (Goodfellow 2014, figure 2).

Distances are Euclidean, over pixels in [0, 1] or over the features of a network. A generator that copies has
samples much nearer to the training set than real pictures are that were held out of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from zoo.data.base import DataModule, SampleSet, collate
from zoo.errors import UserError
from zoo.files import write_picture
from zoo.metrics.scoring.report import Row, publish, run_folder
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
    pieces = (
        _flat(pictures(train, list(range(start, min(start + chunk, len(train))))))
        for start in range(0, len(train), chunk)
    )
    return _search(_flat(queries), pieces)


def nearest_features(queries: Tensor, train: Tensor, chunk: int = 1_000) -> tuple[Tensor, Tensor]:
    """The nearest training features of each query by Euclidean distance.

    Distances are taken in float64, ``chunk`` by ``chunk`` rows at a time.

    Args:
        queries: (N, D) finite.
        train: (M, D) finite, on any device.
        chunk: Rows a piece.

    Returns:
        Distances (N) in float64 and indices (N), on the device of the queries.

    Raises:
        UserError: The features are not two matrices of one width, or not finite.
    """
    for name, rows in (("queries", queries), ("train", train)):
        if rows.ndim != 2 or not rows.numel():
            raise UserError(f"Features must be (N, D), at least one, but {name} are {tuple(rows.shape)}.")
        if not all(torch.isfinite(part).all() for part in torch.split(rows, chunk)):
            raise UserError(
                f"The features of {name} hold values that are not finite; look at their pictures."
            )
    if queries.shape[1] != train.shape[1]:
        raise UserError(
            f"Features of widths {queries.shape[1]} and {train.shape[1]} cannot be compared; take both from "
            "one network."
        )
    parts = [_search(part.double(), iter(torch.split(train, chunk))) for part in torch.split(queries, chunk)]
    return torch.cat([distance for distance, _ in parts]), torch.cat([index for _, index in parts])


def memory_needed(*counts: int, dimension: int, chunk: int = 1_000) -> int:
    """Bytes that :func:`memorisation` holds: float32 features of ``counts`` pictures, and working space."""
    return 4 * dimension * sum(counts) + 8 * chunk * (2 * dimension + 3 * chunk)


class Memorisation(NamedTuple):
    """Whether generated pictures lie nearer to the training set than held-out real ones do.

    Args:
        share: Of the generated pictures that are nearer than ``threshold``: 0.01 when they are as near as
            held-out ones, 1 when all are copies. Less says only that they are far from the data.
        error: One standard error of the share, from the number of generated pictures alone.
        threshold: The first percentile of ``held_out``.
        generated: (N) Distance of each generated picture to its nearest training picture, float64.
        held_out: (M) The same of each held-out picture.
        nearest: (N) Index of the training picture nearest to each generated one.
    """

    share: float
    error: float
    threshold: float
    generated: Tensor
    held_out: Tensor
    nearest: Tensor


def memorisation(generated: Tensor, held_out: Tensor, train: Tensor, chunk: int = 1_000) -> Memorisation:
    """Compare how near generated and held-out real pictures lie to the training set, in a network's features.

    The measure is in the spirit of Meehan 2020 ("A Non-Parametric Test to Detect Data-Copying in Generative
    Models"), with the first percentile of held-out distances in place of their rank test: what a copy is
    stands in the distances of pictures that cannot be one.

    Args:
        generated: (N, D) features.
        held_out: (M, D) features of real pictures that were not trained on, at least 100.
        train: (K, D) features of the training set, all of it.
        chunk: Rows a piece.

    Raises:
        UserError: Fewer than 100 held-out pictures, or as :func:`nearest_features`.
    """
    if len(held_out) < 100:
        raise UserError(
            f"{len(held_out)} held-out pictures have no first percentile; give at least 100 that were not "
            "trained on."
        )
    made, index = nearest_features(generated, train, chunk)
    real, _ = nearest_features(held_out, train, chunk)
    threshold = float(real.quantile(0.01))
    share = float((made < threshold).double().mean())
    return Memorisation(share, math.sqrt(share * (1 - share) / len(made)), threshold, made, real, index)


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


def _search(queries: Tensor, pieces: Iterator[Tensor]) -> tuple[Tensor, Tensor]:
    """Distance and index of the nearest row among all pieces, in the queries' type and device."""
    best = queries.new_full((len(queries),), torch.inf)
    index = torch.zeros(len(queries), dtype=torch.long, device=queries.device)
    start = 0
    for piece in pieces:
        distances, at = torch.cdist(queries, piece.to(queries)).min(1)
        closer = distances < best
        best = torch.where(closer, distances, best)
        index = torch.where(closer, at + start, index)
        start += len(piece)
    return best, index
