"""How much of a sentence a picture of it shows: colour, shape, size, relation and background, read back.

For models of sentences on :class:`zoo.data.captions.ShapesWorld`. A small network, trained on drawn scenes of
all pairs of shape and colour, reads the attributes from the picture of each test sentence, and from that of
sentences whose first object is of a pair that is in no training scene (``unseen``). Its accuracy on drawn
scenes stands beside.

Of two objects the left or the upper one is read first, whatever the sentence begins with.

Sentences of one object are also changed in one word, and both pictures are made with the same noise:
``one-word-colour`` is the share of changed pictures in which the new colour is read, ``one-word-colour-kept``
the share of pairs in which all else is read as before, and ``one-word-outside`` the mean change of the outer
eighth of the pictures, where no object is, in levels.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import count, islice
from typing import Any

import lightning.pytorch as pl
import safetensors.torch
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from zoo.bounds import NonNegativeInt, PositiveInt, Seed
from zoo.data.base import Batch, DataModule
from zoo.data.captions.shapes import ShapesWorld
from zoo.data.drawn import FIRST
from zoo.data.worlds import shapes
from zoo.data.worlds.paint import Draws
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


ONE_WORD = ("background", "shape", "colour", "size")  # in the order of the attributes


def changed(plan: shapes.Plan, attribute: str) -> shapes.Plan:
    """A plan of one object with the next value of an attribute that makes no unseen pair."""
    names = (shapes.BACKGROUNDS, shapes.SHAPES, shapes.COLOURS, shapes.SIZES)
    values = len(names[ONE_WORD.index(attribute)])
    if attribute == "background":
        return replace(plan, background=(plan.background + 1) % values)
    (thing,) = plan.things
    for step in range(1, values):
        other = replace(thing, **{attribute: (getattr(thing, attribute) + step) % values})
        if other.pair not in shapes.UNSEEN:
            break
    return replace(plan, things=(other,))


def border(images: Tensor) -> Tensor:
    """The values of the outer eighth of images (B, C, S, S) on each side."""
    size = images.shape[-1]
    inner = slice(size // 8, size - size // 8)
    mask = torch.ones(size, size, dtype=torch.bool, device=images.device)
    mask[inner, inner] = False
    return images[..., mask]


class AttributeScore(Evaluator):
    """Read the attributes of test sentences back from their pictures.

    Args:
        unseen: Sentences of unseen pairs; 0 leaves them out.
        one_word: Sentences that are changed in one word; 0 leaves them out.
        side: Pixels to which pictures are reduced, by averaging, before they are read; their own if less.
        steps: Training batches of the reader.
        batch_size: Scenes per batch of its training.
        seed: Seed of the reader.
    """

    def __init__(
        self,
        unseen: NonNegativeInt = 200,
        one_word: NonNegativeInt = 100,
        side: PositiveInt = 64,
        steps: PositiveInt = 600,
        batch_size: PositiveInt = 64,
        seed: Seed = 0,
    ) -> None:
        super().__init__()
        self.unseen, self.one_word, self.side = unseen, one_word, side
        self.steps, self.batch_size, self.seed = steps, batch_size, seed

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
        self._size = min(data.size, self.side)
        self._reader = self._trained().to(module.device)
        weights = hashlib.sha256(safetensors.torch.save(self._reader.state_dict())).hexdigest()
        self._protocol = {
            "metric": "attributes, own reader",
            "reader": weights[:16],
            "reader_steps": self.steps,
            "reader_seed": self.seed,
            "read_at": self._size,
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
        return torch.stack([self._found(each) == truth for each in (batch["image"], outputs)], dim=1)

    def _found(self, images: Tensor) -> Tensor:
        """The attributes (B, 8) that the reader finds in images, on the CPU."""
        pixels = as_in_a_file(images.to(next(self._reader.parameters()).device))
        found: Tensor = self._reader(F.adaptive_avg_pool2d(pixels, self._size))
        return found.cpu()

    def update(self, batch: Batch, outputs: Any) -> None:
        """Read each test sentence's drawn and generated picture."""
        self._right.append(self._read(batch, outputs))

    def finish(self, trainer: pl.Trainer, module: Any) -> Evaluation:
        """Shares of pictures in which an attribute of all objects is right, with standard errors."""
        rows = self._rows("", of_all_ranks(torch.cat(self._right)), module, trainer)
        if self.unseen:
            rows += self._rows("unseen-", self._of_unseen(trainer, module), module, trainer)
        if self.one_word:
            rows += self._of_one_word(trainer, module)
        del self._reader
        return Evaluation(rows)

    def _of_one_word(self, trainer: pl.Trainer, module: Any) -> list[Row]:
        """What a changed word changes, in drawn and generated pictures; every process makes all of them."""
        data = self.data(trainer)
        assert isinstance(data, ShapesWorld)
        numbers = (at for at in count(FIRST["test"]) if len(shapes.plan(data.world, at).things) == 1)
        chosen = {at: shapes.plan(data.world, at) for at in islice(numbers, self.one_word)}
        before = self._pair(chosen, data, module)
        rows, outside = [], []
        for place, attribute in enumerate(ONE_WORD):
            plans = {at: changed(plan, attribute) for at, plan in chosen.items()}
            truth = ordered(torch.stack([plan.attributes() for plan in plans.values()]))
            others = [column for column in range(len(shapes.ATTRIBUTES)) if column != place]
            after = self._pair(plans, data, module)
            for subject, old, new in zip(("real", "generated"), before, after, strict=True):
                was, now = self._found(old), self._found(new)
                right = now[:, place] == truth[:, place]
                kept = (was == now)[:, others].all(1)
                facts = self._protocol | {"pictures": len(plans)}
                facts |= {} if subject == "real" else self.in_use(trainer, module)
                for name, found in ((attribute, right), (f"{attribute}-kept", kept)):
                    mean = float(found.double().mean())
                    error = (mean * (1 - mean) / max(len(plans) - 1, 1)) ** 0.5
                    rows.append(Row(f"one-word-{name}", mean, subject, facts, error))
                if attribute != "background":
                    outside.append((subject, facts, 127.5 * border(old - new).abs().mean()))
        for subject in ("real", "generated"):
            facts = next(each[1] for each in outside if each[0] == subject)
            change = torch.stack([each[2] for each in outside if each[0] == subject]).mean()
            rows.append(Row("one-word-outside", float(change), subject, facts | {"unit": "levels"}))
        return rows

    def _pair(
        self, plans: Mapping[int, shapes.Plan], data: ShapesWorld, module: Any
    ) -> tuple[Tensor, Tensor]:
        """Drawn and generated pictures of plans, with the same places and noise for the same numbers."""
        drawn = [shapes.paint(plan, data.size, Draws((data.world, at))) for at, plan in plans.items()]
        words = [shapes.sentences(plan, Draws((data.world, at)))[0] for at, plan in plans.items()]
        texts, made = data.encoder().encode(words).to(module.device), []
        for number, text in enumerate(torch.split(texts, data.eval_batch_size)):
            with module.seeded(number), module.averaged():
                made.append(module.generate({"text": text}).float())
        pictures = torch.stack(drawn).to(module.device).float() / 127.5 - 1
        return pictures, torch.cat(made)

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
