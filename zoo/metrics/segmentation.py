"""The FCN score of pix2pix (Isola 2017, sections 3.4 and 4.1), with a segmenter trained by the zoo.

A small segmenter is trained on the real training pairs, image to labels. On the test split it segments the
real images, which measures the segmenter itself, and the images generated from the same label maps. Per-pixel
accuracy, per-class accuracy and class IoU are those of the paper's table 1; per-class numbers are means over
the classes that occur in the label maps.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal, NamedTuple

import lightning.pytorch as pl
import safetensors.torch
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from zoo.bounds import PositiveInt, Seed
from zoo.data.base import Batch
from zoo.errors import UserError
from zoo.features.segmenter import FACADES, Segmenter, palette_labels, train_segmenter
from zoo.files.checkpoints import read_tensors
from zoo.files.writing import cache_folder, write_bytes
from zoo.metrics.evaluator import Evaluation, Evaluator, read_first, total
from zoo.metrics.scoring.report import Row

PALETTES = {"facades": tuple(FACADES.values())}
FORMAT = 1  # of the cached segmenter; incremented if the network or its training changes


class Scores(NamedTuple):
    """Scores of a confusion matrix, each in [0, 1]."""

    pixel_accuracy: float
    class_accuracy: float
    class_iou: float


def confusion(truth: Tensor, found: Tensor, classes: int) -> Tensor:
    """Count pixels by true class (row) and predicted class (column); both are long, of the same shape."""
    pairs = truth.flatten() * classes + found.flatten()
    return torch.bincount(pairs, minlength=classes * classes).view(classes, classes)


def scores(matrix: Tensor) -> Scores:
    """Scores of a confusion matrix (rows are the truth); means leave out classes that never occur there."""
    counts = matrix.double()
    right, truth, found = counts.diagonal(), counts.sum(1), counts.sum(0)
    occurs = truth > 0
    recall, union = right[occurs] / truth[occurs], (truth + found - right)[occurs]
    return Scores(
        (right.sum() / truth.sum()).item(), recall.mean().item(), (right[occurs] / union).mean().item()
    )


class SegmentationScore(Evaluator):
    """Segment real and generated test images with a segmenter that was trained on real training pairs.

    Args:
        classes: Number of classes; taken from the palette if one is given.
        labels_from: Source of the true labels: ``labels``, an index map, or ``input``, a label image.
        palette: Colours of the label images: ``facades``.
        steps: Training batches of the segmenter.
        batch_size: Images per training batch.
        train_pairs: Largest number of training pairs.
        seed: Seed of the segmenter.
    """

    def __init__(
        self,
        classes: PositiveInt | None = None,
        labels_from: Literal["labels", "input"] = "labels",
        palette: str | None = None,
        steps: PositiveInt = 400,
        batch_size: PositiveInt = 8,
        train_pairs: PositiveInt = 2000,
        seed: Seed = 0,
    ) -> None:
        super().__init__()
        if palette is not None and palette not in PALETTES:
            raise UserError(f"SegmentationScore.palette is {palette!r}; the zoo has {', '.join(PALETTES)}.")
        if (palette is None) == (labels_from == "input"):
            raise UserError(
                "SegmentationScore needs a palette for labels_from: input, and none for labels_from: labels."
            )
        count = classes if palette is None else len(PALETTES[palette])
        if count is None or count < 2:
            raise UserError(
                f"SegmentationScore.classes is {classes}; give the number of classes, at least 2."
            )
        self.classes, self.palette = count, palette
        self.steps, self.batch_size, self.train_pairs, self.seed = steps, batch_size, train_pairs, seed

    def labels(self, batch: Batch) -> Tensor:
        """True labels of a batch, (B, H, W) long.

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

    def begin(self, trainer: pl.Trainer, module: Any) -> None:
        """Train the segmenter, or load it from the cache."""
        train = self.split(trainer, "train")
        count = min(len(train), self.train_pairs)
        parts = []
        for batch in read_first(train, count, 64):
            # uint8, as in image files: a quarter of the memory, and a stable fingerprint
            parts.append((((batch["target"] + 1) * 127.5).round().byte(), self.labels(batch).byte()))
        images, labels = (torch.cat(part) for part in zip(*parts, strict=True))
        self._network, fingerprint = self._segmenter(images, labels)
        self._network.to(module.device)
        self._protocol = {
            "metric": "FCN score, own segmenter",
            "segmenter": fingerprint,
            "segmenter_steps": self.steps,
            "segmenter_seed": self.seed,
            "train_pairs": count,
            "size": list(images.shape[-2:]),
            "classes": self.classes,
            "labels": self.palette or "index maps",
            "split": "test",
        }
        self._matrices = torch.zeros(2, self.classes, self.classes, dtype=torch.long, device=module.device)
        self._count = torch.zeros((), dtype=torch.long, device=module.device)

    def _segmenter(self, images: Tensor, labels: Tensor) -> tuple[Segmenter, str]:
        """The network for pairs (N, C, H, W) and (N, H, W) in uint8, and the fingerprint of its training."""
        plan = (FORMAT, self.classes, self.steps, self.batch_size, self.seed, tuple(images.shape))
        digest = hashlib.sha256(repr(plan).encode())
        digest.update(images.numpy().tobytes())
        digest.update(labels.numpy().tobytes())
        fingerprint = digest.hexdigest()[:16]
        path = cache_folder() / f"segmenter-{fingerprint}.safetensors"
        if path.is_file():
            try:
                network = Segmenter(self.classes, images.shape[1])
                network.load_state_dict(read_tensors(path))
                return network.eval().requires_grad_(False), fingerprint
            except (UserError, RuntimeError) as error:
                raise UserError(f"{path} is damaged; delete it, and it is trained again.") from error
        loader: DataLoader[Any] = DataLoader(
            TensorDataset(images, labels),
            min(self.batch_size, len(images)),
            shuffle=True,
            drop_last=True,
            collate_fn=_as_floats,
            generator=torch.Generator().manual_seed(self.seed),
        )
        rank_zero_info(
            f"Training the segmenter on {len(images)} real images, {self.steps} batches; "
            "the next test on this data loads it from the cache."
        )
        # Lightning tests in inference mode, which allows no training
        with torch.inference_mode(False), torch.enable_grad():
            network = train_segmenter(loader, self.classes, self.steps, self.seed)
        write_bytes(path, safetensors.torch.save(network.state_dict()))
        return network, fingerprint

    def update(self, batch: Batch, outputs: Any) -> None:
        """Count the classes that the segmenter predicts in the batch's real and generated images."""
        truth = self.labels(batch)
        for matrix, images in zip(self._matrices, (batch["target"], outputs), strict=True):
            # both rounded to 8 bits, as in an image file
            found = self._network(((images.float().clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1).argmax(1)
            matrix += confusion(truth, found, self.classes)
        self._count += len(truth)

    def finish(self, trainer: pl.Trainer, module: Any) -> Evaluation:
        """Three scores, each on real and generated images, and their ratio."""
        del self._network
        real, generated = (scores(matrix) for matrix in total(trainer, self._matrices))
        protocol = {**self._protocol, "test_pictures": int(total(trainer, self._count))}
        rows = [
            Row(f"segmenter-{name.replace('_', '-')}", value, subject, protocol)
            for name, a, b in zip(Scores._fields, real, generated, strict=True)
            for subject, value in (("real", a), ("generated", b), ("generated / real", b / a if a else 0.0))
        ]
        return Evaluation(rows)


def _as_floats(pairs: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """A batch of uint8 pairs as images in [-1, 1] and long labels."""
    images, labels = zip(*pairs, strict=True)
    return torch.stack(images).float() / 127.5 - 1, torch.stack(labels).long()
