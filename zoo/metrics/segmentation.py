"""The FCN score of pix2pix (Isola 2017, sections 3.4 and 4.1) with a segmenter of our own.

A small segmenter is trained on the real training pairs, picture to labels. On the test split it reads the
real pictures, which says how good it is, and the pictures that were generated from the same label maps.
Per-pixel accuracy, per-class accuracy and class IoU are those of the paper's table 1; per-class numbers are
means over the classes that occur in the label maps.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal, NamedTuple

import lightning.pytorch as pl
import safetensors.torch
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from zoo.data.base import Batch, DataModule, collate
from zoo.errors import UserError
from zoo.features.segmenter import FACADES, Segmenter, palette_labels, train_segmenter
from zoo.files import cache_folder, write_bytes
from zoo.metrics.scoring.report import Row, publish

PALETTES = {"facades": tuple(FACADES.values())}
FORMAT = 1  # of the cached segmenter; counts up when the network or its training changes


class Scores(NamedTuple):
    """What a confusion matrix says, each in [0, 1]."""

    pixel_accuracy: float
    class_accuracy: float
    class_iou: float


def confusion(truth: Tensor, found: Tensor, classes: int) -> Tensor:
    """Count pixels by true class (row) and found class (column); both are long, of any one shape."""
    pairs = truth.flatten() * classes + found.flatten()
    return torch.bincount(pairs, minlength=classes * classes).view(classes, classes)


def scores(matrix: Tensor) -> Scores:
    """Read a confusion matrix (rows are the truth); a class that never occurs there is in no mean."""
    counts = matrix.double()
    right, truth, found = counts.diagonal(), counts.sum(1), counts.sum(0)
    occurs = truth > 0
    recall, union = right[occurs] / truth[occurs], (truth + found - right)[occurs]
    return Scores(
        (right.sum() / truth.sum()).item(), recall.mean().item(), (right[occurs] / union).mean().item()
    )


class SegmentationScore(Callback):
    """Read real and generated test pictures with a segmenter that was trained on real training pairs.

    Args:
        classes: Number of classes; those of the palette when it is given.
        labels_from: Where the truth is: ``labels``, the batch's index map, or ``input``, a label picture.
        palette: Colours of the label pictures: ``facades``.
        steps: Batches that the segmenter learns from.
        batch_size: Pictures in each of them.
        train_pairs: Most training pairs that it sees.
        seed: Of the segmenter.
    """

    def __init__(
        self,
        classes: int | None = None,
        labels_from: Literal["labels", "input"] = "labels",
        palette: str | None = None,
        steps: int = 400,
        batch_size: int = 8,
        train_pairs: int = 2000,
        seed: int = 0,
    ) -> None:
        if palette is not None and palette not in PALETTES:
            raise UserError(f"SegmentationScore.palette is {palette!r}; known is {', '.join(PALETTES)}.")
        if (palette is None) == (labels_from == "input"):
            raise UserError(
                "SegmentationScore needs a palette for labels_from: input, and none for labels_from: labels."
            )
        count = classes if palette is None else len(PALETTES[palette])
        if count is None or count < 2:
            raise UserError(
                f"SegmentationScore.classes is {classes}; give the number of classes, at least 2."
            )
        self.classes = count
        self.palette = palette
        self.steps, self.batch_size, self.train_pairs, self.seed = steps, batch_size, train_pairs, seed

    def labels(self, batch: Batch) -> Tensor:
        """The truth of a batch, (B,H,W) long.

        Raises:
            UserError: The data has no index map.
        """
        if self.palette is not None:
            return palette_labels(batch["input"], PALETTES[self.palette])
        if "labels" not in batch:
            raise UserError(
                "This data has no labels; give SegmentationScore labels_from: input and a palette."
            )
        labels: Tensor = batch["labels"]
        return labels

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Train the segmenter, or take it from the cache."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, DataModule) or (train := data.split("train")) is None:
            raise UserError(
                "SegmentationScore learns from the training split and this data has none; leave it out."
            )
        count = min(len(train), self.train_pairs)
        parts = []
        for start in range(0, count, 64):
            batch = collate(train.__getitems__(list(range(start, min(start + 64, count)))))
            # eight bits a value, what pictures have: a quarter of the memory, and a stable fingerprint
            parts.append((((batch["target"] + 1) * 127.5).round().byte(), self.labels(batch).byte()))
        pictures, labels = (torch.cat(part) for part in zip(*parts, strict=True))
        self._network, self._fingerprint = self._segmenter(pictures, labels)
        self._network.to(pl_module.device)
        self._protocol = {
            "metric": "FCN score, own segmenter",
            "segmenter": self._fingerprint,
            "segmenter_steps": self.steps,
            "segmenter_seed": self.seed,
            "train_pairs": count,
            "size": list(pictures.shape[-2:]),
            "classes": self.classes,
            "labels": self.palette or "index maps",
            "split": "test",
        }
        self._matrices = torch.zeros(2, self.classes, self.classes, dtype=torch.long, device=pl_module.device)
        self._count = torch.zeros((), dtype=torch.long, device=pl_module.device)

    def _segmenter(self, pictures: Tensor, labels: Tensor) -> tuple[Segmenter, str]:
        """The network for these pairs (N,C,H,W) and (N,H,W) in bytes, and the name of its weights."""
        plan = (FORMAT, self.classes, self.steps, self.batch_size, self.seed, tuple(pictures.shape))
        digest = hashlib.sha256(repr(plan).encode())
        digest.update(pictures.numpy().tobytes())
        digest.update(labels.numpy().tobytes())
        fingerprint = digest.hexdigest()[:16]
        path = cache_folder() / f"segmenter-{fingerprint}.safetensors"
        if path.is_file():
            try:
                network = Segmenter(self.classes, pictures.shape[1])
                network.load_state_dict(safetensors.torch.load_file(path))
                return network.eval().requires_grad_(False), fingerprint
            except Exception as error:
                raise UserError(f"{path} is damaged ({type(error).__name__}); delete it.") from error
        loader: DataLoader[Any] = DataLoader(
            TensorDataset(pictures, labels),
            min(self.batch_size, len(pictures)),
            shuffle=True,
            drop_last=True,
            collate_fn=_as_floats,
            generator=torch.Generator().manual_seed(self.seed),
        )
        rank_zero_info(
            f"Training the segmenter on {len(pictures)} real pictures, {self.steps} batches; "
            "the next test of this data takes it from the cache."
        )
        # Lightning tests in inference mode, where nothing learns
        with torch.inference_mode(False), torch.enable_grad():
            network = train_segmenter(loader, self.classes, self.steps, self.seed)
        write_bytes(path, safetensors.torch.save(network.state_dict()))
        return network, fingerprint

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count what the segmenter finds in the real and in the generated pictures of a batch."""
        truth = self.labels(batch)
        for matrix, pictures in zip(self._matrices, (batch["target"], outputs), strict=True):
            # the same eight bits for both, as a saved picture has
            found = self._network(((pictures.float().clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1).argmax(1)
            matrix += confusion(truth, found, self.classes)
        self._count += len(truth)

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record and print three scores, each on real and generated pictures, and their ratio."""
        matrices = trainer.strategy.reduce(self._matrices, reduce_op="sum")
        count = trainer.strategy.reduce(self._count, reduce_op="sum")
        assert isinstance(matrices, Tensor) and isinstance(count, Tensor)
        real, generated = scores(matrices[0]), scores(matrices[1])
        protocol = {**self._protocol, "test_pictures": int(count)}
        del self._network
        rows = [
            Row(f"segmenter-{name.replace('_', '-')}", value, subject, protocol)
            for name, a, b in zip(Scores._fields, real, generated, strict=True)
            for subject, value in (("real", a), ("generated", b), ("generated / real", b / a if a else 0.0))
        ]
        publish(trainer, rows)


def _as_floats(pairs: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """A batch of bytes as pictures in [-1, 1] and long labels."""
    pictures, labels = zip(*pairs, strict=True)
    return torch.stack(pictures).float() / 127.5 - 1, torch.stack(labels).long()
