"""Does the generator copy its training images? Samples and their nearest ones (Goodfellow 2014, figure 2).

Distances are Euclidean: over pixels in [0, 1] and, if asked for, over the features of a network, which find
shifted and recoloured copies too. :mod:`zoo.metrics.formulas.memorisation` has the formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from zoo.bounds import PositiveInt, Seed
from zoo.data.base import Batch, DataModule, SampleSet
from zoo.drawing.sheets import grid
from zoo.errors import UserError
from zoo.features.choose import feature_network
from zoo.features.network import FeatureNetwork
from zoo.files.pictures import write_picture
from zoo.metrics.evaluator import Evaluation, Evaluator, read, read_first, unit_rows
from zoo.metrics.formulas.memorisation import nearer, nearest_features, search
from zoo.metrics.formulas.pixels import to_bytes
from zoo.metrics.scoring.report import Row, run_folder

AT_ONCE = 32  # images per forward pass of a network
CLEAR = 3  # standard deviations from which on samples are called too near, or far


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


@torch.no_grad()
def features(network: FeatureNetwork, parts: Iterable[Tensor]) -> Tensor:
    """Features (N, D) on the CPU of images (N, C, H, W) in [-1, 1], rounded to 8 bits, part by part."""
    device = next(network.parameters()).device
    images = (to_bytes(piece.float(), "[-1,1]") for part in parts for piece in torch.split(part, AT_ONCE))
    return torch.cat([network(piece.to(device)).features.float().cpu() for piece in images])


class NearestNeighbours(Evaluator):
    """Draw samples with their nearest training images and compare distances.

    Of a model that takes no noise alone (sentences), the samples are its outputs for the test split.

    Writes ``samples/neighbours.png`` into the run's folder: the first samples, with the nearest images by
    pixels. With a network it also writes ``samples/neighbours-<network>.png``: the samples that are nearest
    to the training images by its features, so the first ones to be suspected. ``nearer-than-held-out`` is the
    share of all pairs of a sample and a test image in which the sample is nearer to the training images.

    Args:
        samples: Number of generated, and at most of real test, images whose distances are taken.
        rows: Number of samples in a figure.
        seed: Seed of the samples.
        network: Feature network, as ``effnet-lite0``; pixels alone if not given.
        mirrored: Also search the mirrored training images, for models that are trained on them.
    """

    def __init__(
        self,
        samples: PositiveInt = 1_000,
        rows: PositiveInt = 10,
        seed: Seed = 0,
        network: str | None = None,
        mirrored: bool = False,
    ) -> None:
        super().__init__()
        self.samples, self.rows, self.seed = samples, rows, seed
        self.network, self.mirrored = network, mirrored

    @classmethod
    def suited(
        cls, arguments: dict[str, Any], data: DataModule, batch: Batch, counts: Mapping[str, int]
    ) -> dict[str, Any] | None:
        """As every evaluator; without a network that is not installed or made for digits."""
        if name := arguments.get("network"):
            try:
                features(feature_network(name), [batch["image"][:1]])
            except UserError:
                arguments = {key: value for key, value in arguments.items() if key != "network"}
        return super().suited(arguments, data, batch, counts)

    def begin(self, trainer: pl.Trainer, module: Any) -> None:
        """Reset the images; load the network."""
        self._real: list[Tensor] = []
        self._made: list[Tensor] | None = None if module.takes == "noise" else []
        self._network = feature_network(self.network).to(module.device) if self.network else None

    def update(self, batch: Batch, outputs: Any) -> None:
        """Keep the first ``samples`` test images, and outputs of a model that takes no noise."""
        missing = self.samples - sum(len(part) for part in self._real)
        if missing > 0:
            self._real.append(batch["image"][:missing])
            if self._made is not None:
                self._made.append(outputs[:missing].float())

    def finish(self, trainer: pl.Trainer, module: Any) -> Evaluation:
        """Search the training split, draw, and compare distances."""
        train = self.split(trainer, "train")
        real = torch.cat(self._real)
        made = module.sample(self.samples, self.seed) if self._made is None else torch.cat(self._made)
        facts = {"train": len(train), "norm": "Euclidean"} | ({"mirrored": True} if self.mirrored else {})

        def by_pixels(images: Tensor) -> tuple[Tensor, Tensor]:
            return nearest(images, train)

        distance, index = self._nearest(by_pixels, made)
        path = self._draw(trainer, "neighbours", made[: self.rows], index[: self.rows])
        pixels = facts | {"pixels": "[0, 1]", "rounding": "none"}
        rows, verdict = self._compare("", distance, self._nearest(by_pixels, real)[0], pixels)
        said = [
            f"Samples are {rows[0].value:.2f} from their nearest training image, real test images "
            f"{rows[1].value:.2f}: see {path}.",
            f"By pixels {verdict}",
        ]
        if (network := self._network) is not None:
            known = features(network, (batch["image"] for batch in read_first(train, len(train), 256)))

            def by_features(images: Tensor) -> tuple[Tensor, Tensor]:
                return nearest_features(features(network, [images]), known)

            distance, index = self._nearest(by_features, made)
            facts |= {"bits": 8} | network.identity()
            more, verdict = self._compare(
                f"-{network.name}", distance, self._nearest(by_features, real)[0], facts
            )
            suspects = distance.argsort()[: self.rows]
            samples = made[suspects.to(made.device)]
            path = self._draw(trainer, f"neighbours-{network.name}", samples, index[suspects])
            rows += more
            said.append(f"By features {verdict} See {path}.")
        del self._network, self._real, self._made
        return Evaluation(rows, " ".join(said))

    def _nearest(
        self, find: Callable[[Tensor], tuple[Tensor, Tensor]], images: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Distances and indices that a search finds for the images, or for their mirror images if nearer."""
        distance, index = find(images)
        if not self.mirrored:
            return distance, index
        other, at = find(images.flip(-1))
        return torch.minimum(distance, other), torch.where(other < distance, at, index)

    def _draw(self, trainer: pl.Trainer, name: str, samples: Tensor, index: Tensor) -> Path:
        """Draw samples beside the training images of these indices; returns the file's path."""
        path = run_folder(trainer) / "samples" / f"{name}.png"
        if trainer.is_global_zero:
            neighbours = read(self.split(trainer, "train"), index.tolist())["image"]
            write_picture(path, grid({"sample": samples.cpu(), "nearest": neighbours}))
        return path

    def _compare(
        self, suffix: str, made: Tensor, real: Tensor, facts: dict[str, Any]
    ) -> tuple[list[Row], str]:
        """Rows of the distances of samples and of test images, and the verdict."""
        rows = []
        drawn: dict[str, Any] = {"seed": self.seed} if self._made is None else {"of": "the test split"}
        sources: dict[str, dict[str, Any]] = {"generated": drawn, "real": {"split": "test"}}
        for (subject, source), found in zip(sources.items(), (made, real), strict=True):
            protocol = {"pictures": len(found)} | facts | source
            error = float(found.std() / len(found) ** 0.5) if len(found) > 1 else None
            name = f"nearest-training-distance{suffix}"
            rows.append(Row(name, float(found.mean()), subject, protocol, error))
        share, deviations = nearer(made, real.to(made))
        protocol = {"pictures": len(made), "held_out": len(real)} | drawn | facts
        rows.append(Row(f"nearer-than-held-out{suffix}", share, protocol=protocol))
        verdict = "as chance has it: no sign of copies"
        if abs(deviations) > CLEAR:
            verdict = (
                "more than by chance: look for copies" if deviations > 0 else "less than by chance: too far"
            )
        return rows, (
            f"a sample is nearer to the training images than a test image in {100 * share:.0f} % of all "
            f"pairs, {verdict}."
        )
