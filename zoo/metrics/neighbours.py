"""Does the generator copy its training images? Samples and their nearest ones (Goodfellow 2014, figure 2).

Distances are Euclidean over pixels in [0, 1]; :mod:`zoo.metrics.formulas.memorisation` uses features instead.
"""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from zoo.bounds import PositiveInt, Seed
from zoo.data.base import Batch, SampleSet
from zoo.drawing.sheets import grid
from zoo.files.pictures import write_picture
from zoo.metrics.evaluator import Evaluation, Evaluator, read, read_first, unit_rows
from zoo.metrics.formulas.memorisation import search
from zoo.metrics.scoring.report import Row, run_folder


def nearest(queries: Tensor, train: SampleSet, chunk: int = 1_000) -> tuple[Tensor, Tensor]:
    """The nearest training image of each query by Euclidean distance over pixels in [0, 1].

    The training set is read once, ``chunk`` images at a time, and never held whole.

    Args:
        queries: (N, C, H, W) in [-1, 1].
        train: Images under the key ``image``, without augmentation.
        chunk: Training images read at a time.

    Returns:
        Distances (N) in float64 and indices (N).

    Raises:
        UserError: Values that are not finite or outside the range.
    """
    pieces = (unit_rows(batch["image"].double()) for batch in read_first(train, len(train), chunk))
    return search(unit_rows(queries.double()), pieces)


class NearestNeighbours(Evaluator):
    """Draw samples with their nearest training images and compare distances; needs ``sample(n, seed)``.

    Writes ``samples/neighbours.png`` into the run's folder.

    Args:
        samples: Number of generated, and at most of real test, images whose mean distance is taken.
        rows: Number of samples in the figure.
        seed: Seed of the samples.
    """

    def __init__(self, samples: PositiveInt = 1_000, rows: PositiveInt = 10, seed: Seed = 0) -> None:
        super().__init__()
        self.samples, self.rows, self.seed = samples, rows, seed

    def begin(self, trainer: pl.Trainer, module: Any) -> None:
        """Reset the real test images."""
        self._real: list[Tensor] = []

    def update(self, batch: Batch, outputs: Any) -> None:
        """Keep the first ``samples`` test images."""
        missing = self.samples - sum(len(part) for part in self._real)
        if missing > 0:
            self._real.append(batch["image"][:missing])

    def finish(self, trainer: pl.Trainer, module: Any) -> Evaluation:
        """Search the training split, draw, and compare mean distances."""
        train = self.split(trainer, "train")
        made = module.sample(self.samples, self.seed)
        distance, index = nearest(made, train)
        to_real, _ = nearest(torch.cat(self._real), train)
        path = run_folder(trainer) / "samples" / "neighbours.png"
        if trainer.is_global_zero:
            neighbours = read(train, index[: self.rows].tolist())["image"]
            write_picture(path, grid({"sample": made[: self.rows].cpu(), "nearest": neighbours}))
        rows = []
        for subject, found in (("generated", distance), ("real", to_real)):
            protocol = {"pictures": len(found), "train": len(train), "pixels": "[0, 1]", "norm": "Euclidean"}
            protocol["rounding"] = "none"
            protocol |= {"seed": self.seed} if subject == "generated" else {"split": "test"}
            error = float(found.std() / len(found) ** 0.5) if len(found) > 1 else None
            rows.append(Row("nearest-training-distance", float(found.mean()), subject, protocol, error))
        return Evaluation(
            rows,
            f"Samples are {rows[0].value:.2f} from their nearest training image, real test images "
            f"{rows[1].value:.2f}: see {path}.",
        )
