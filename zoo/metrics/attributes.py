"""How much of a sentence a picture of it shows: colour, shape, size, relation and background, read back.

For models of sentences on :class:`zoo.data.captions.ShapesWorld`. A small network, trained on drawn scenes of
all pairs of shape and colour, reads the attributes from the picture of each test sentence, and from that of
sentences whose first object is of a pair that is in no training scene (``unseen``). Its accuracy on drawn
scenes stands beside.

Of two objects the left or the upper one is read first, whatever the sentence begins with.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import lightning.pytorch as pl
import safetensors.torch
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from zoo.bounds import NonNegativeInt, PositiveInt, Seed
from zoo.data.base import Batch, DataModule
from zoo.data.captions.shapes import ShapesWorld
from zoo.data.drawn import FIRST
from zoo.data.worlds import shapes
from zoo.errors import UserError
from zoo.features.attributes import AttributeReader, train_reader
from zoo.files.checkpoints import read_tensors
from zoo.files.writing import cache_folder, write_bytes
from zoo.metrics.evaluator import Evaluation, Evaluator, as_in_a_file, of_all_ranks, read_first
from zoo.metrics.scoring.report import Row

FORMAT = 1  # of the cached reader; incremented if the network or its training changes
READER_WORLD = 2**20  # of the scenes that the reader learns from
COUNTS = (
    *(len(shapes.BACKGROUNDS), len(shapes.SHAPES), len(shapes.COLOURS), len(shapes.SIZES)),
    *(len(shapes.RELATIONS) + 1, len(shapes.SHAPES) + 1, len(shapes.COLOURS) + 1, len(shapes.SIZES) + 1),
)  # of each attribute, with one more class for no second object
SCORES = {
    "background": ("background",),
    "shape": ("shape", "other shape"),
    "colour": ("colour", "other colour"),
    "size": ("size", "other size"),
    "relation": ("relation",),
    "colour-and-shape": ("shape", "other shape", "colour", "other colour"),
    "all": shapes.ATTRIBUTES,
}


def ordered(attributes: Tensor) -> Tensor:
    """Attributes (B, 8) with the left or upper object first; those of no second object are the last class."""
    swapped = attributes[:, [0, 5, 6, 7, 4, 1, 2, 3]]
    swapped[:, 4] ^= 1  # the relation of the second to the first
    found = torch.where((attributes[:, 4] % 2 == 1)[:, None] & (attributes[:, 4:5] >= 0), swapped, attributes)
    return torch.where(found == shapes.NONE, torch.tensor(COUNTS) - 1, found)


class AttributeScore(Evaluator):
    """Read the attributes of test sentences back from their pictures.

    Args:
        unseen: Sentences of unseen pairs; 0 leaves them out.
        steps: Training batches of the reader.
        batch_size: Scenes per batch of its training.
        seed: Seed of the reader.
    """

    def __init__(
        self,
        unseen: NonNegativeInt = 200,
        steps: PositiveInt = 600,
        batch_size: PositiveInt = 64,
        seed: Seed = 0,
    ) -> None:
        super().__init__()
        self.unseen, self.steps, self.batch_size, self.seed = unseen, steps, batch_size, seed

    @classmethod
    def suited(
        cls, arguments: dict[str, Any], data: DataModule, batch: Batch, counts: Mapping[str, int]
    ) -> dict[str, Any] | None:
        """Only drawn shapes state their attributes."""
        return arguments if counts.get("test") and isinstance(data, ShapesWorld) else None

    def begin(self, trainer: pl.Trainer, module: Any) -> None:
        """Train the reader, or load it from the cache."""
        data = self.data(trainer)
        if not isinstance(data, ShapesWorld):
            raise self.unusable("drawn shapes, zoo.data.captions.ShapesWorld")
        self._size = data.size
        self._reader = self._trained().to(module.device)
        weights = hashlib.sha256(safetensors.torch.save(self._reader.state_dict())).hexdigest()
        self._protocol = {
            "metric": "attributes, own reader",
            "reader": weights[:16],
            "reader_steps": self.steps,
            "reader_seed": self.seed,
            "size": self._size,
            "bits": 8,
        }
        self._right: list[Tensor] = []

    def _trained(self) -> AttributeReader:
        plan = (FORMAT, self._size, self.steps, self.batch_size, self.seed, COUNTS)
        path = cache_folder() / f"reader-{hashlib.sha256(repr(plan).encode()).hexdigest()[:16]}.safetensors"
        with suppress(UserError, RuntimeError):  # missing or damaged: it is trained again
            network = AttributeReader(COUNTS, self._size)
            network.load_state_dict(read_tensors(path))
            return network.eval().requires_grad_(False)
        rank_zero_info(f"Training the reader of attributes, {self.steps} batches; the next test loads it.")
        # Lightning tests in inference mode, which allows no training
        with torch.inference_mode(False), torch.enable_grad():
            network = train_reader(self._scenes, COUNTS, self._size, self.steps, self.seed)
        try:
            write_bytes(path, safetensors.torch.save(network.state_dict()))
        except UserError as error:
            warnings.warn(f"The reader is not cached: {error}", stacklevel=2)
        return network

    def _scenes(self, step: int) -> tuple[Tensor, Tensor]:
        """Drawn scenes and their attributes, every fourth of an unseen pair."""
        numbers = range(step * self.batch_size, (step + 1) * self.batch_size)
        drawn = [shapes.draw(READER_WORLD + self.seed, at, self._size, at % 4 == 3) for at in numbers]
        images = torch.stack([scene.picture for scene in drawn]).float() / 127.5 - 1
        return images, ordered(torch.stack([scene.plan.attributes() for scene in drawn]))

    def _read(self, batch: Batch, outputs: Tensor) -> Tensor:
        """Which attributes are right in drawn and generated pictures, (B, 2, 8)."""
        truth = ordered(batch["attributes"].cpu())
        device = next(self._reader.parameters()).device
        pictures = (batch["image"], outputs)
        found = [self._reader(as_in_a_file(images.to(device))).cpu() for images in pictures]
        return torch.stack([each == truth for each in found], dim=1)

    def update(self, batch: Batch, outputs: Any) -> None:
        """Read each test sentence's drawn and generated picture."""
        self._right.append(self._read(batch, outputs))

    def finish(self, trainer: pl.Trainer, module: Any) -> Evaluation:
        """Shares of pictures in which an attribute of all objects is right, with standard errors."""
        rows = self._rows("", of_all_ranks(torch.cat(self._right)), module, trainer)
        if self.unseen:
            rows += self._rows("unseen-", self._of_unseen(trainer, module), module, trainer)
        del self._reader
        return Evaluation(rows)

    def _of_unseen(self, trainer: pl.Trainer, module: Any) -> Tensor:
        """As :meth:`_read`, of scenes of unseen pairs; every process makes all of them."""
        data = self.data(trainer)
        assert isinstance(data, ShapesWorld)
        samples = data.scenes(FIRST["test"], self.unseen, unseen=True)
        right = []
        for number, batch in enumerate(read_first(samples, self.unseen, data.eval_batch_size)):
            text = batch["text"].to(module.device)
            with module.seeded(number), module.averaged():
                right.append(self._read(batch, module.generate({"text": text})))
        return torch.cat(right)

    def _rows(self, prefix: str, right: Tensor, module: Any, trainer: pl.Trainer) -> list[Row]:
        protocol = {**self._protocol, "pictures": len(right)}
        made = protocol | self.in_use(trainer, module)
        rows = []
        for name, parts in SCORES.items():
            columns = [shapes.ATTRIBUTES.index(part) for part in parts]
            share = right[..., columns].all(-1).double()  # (N, drawn and generated)
            for at, (subject, facts) in enumerate((("real", protocol), ("generated", made))):
                mean = float(share[:, at].mean())
                error = (mean * (1 - mean) / max(len(right) - 1, 1)) ** 0.5
                rows.append(Row(f"{prefix}{name}-right", mean, subject, facts, error))
        return rows
