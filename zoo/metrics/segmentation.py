"""The FCN score of pix2pix (Isola 2017, sections 3.4 and 4.1), with a segmenter trained by the zoo.

A small segmenter is trained on the real training pairs, image to labels. On the test split it segments the
real images, which measures the segmenter itself, and the images generated from the same label maps. Per-pixel
accuracy, per-class accuracy and class IoU are those of the paper's table 1; per-class numbers are means over
the classes that occur in the label maps.

Standard errors are those of the jackknife over the test images: how far another draw of images would be off.
That of ``generated / real`` leaves out the same image on both sides. Another training of the segmenter is
another judge, and its numbers compare with none of this one: the protocol holds the hash of its weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import lightning.pytorch as pl
import safetensors.torch
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from zoo.bounds import PositiveInt, Seed
from zoo.data.base import Batch, DataModule
from zoo.errors import UserError
from zoo.features.segmenter import PALETTES, Segmenter, train_segmenter
from zoo.files.checkpoints import read_tensors
from zoo.files.writing import cache_folder, write_bytes
from zoo.metrics.evaluator import Evaluation, Evaluator, as_in_a_file, of_all_ranks, read_first
from zoo.metrics.scoring.report import Row

FORMAT = 1  # of the cached segmenter; incremented if the network or its training changes


class Scores(NamedTuple):
    """Scores of a confusion matrix, each in [0, 1]."""

    pixel_accuracy: float
    class_accuracy: float
    class_iou: float


def confusion(truth: Tensor, found: Tensor, classes: int) -> Tensor:
    """Count pixels by true class (row) and predicted class (column); both are long, of the same shape.

    Raises:
        UserError: Shapes differ, or a label is not 0 to ``classes - 1``.
    """
    if truth.shape != found.shape:
        raise UserError(f"Labels must have one shape, not {tuple(truth.shape)} and {tuple(found.shape)}.")
    for labels in (truth, found):
        if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise UserError(
                f"Labels range from {int(labels.min())} to {int(labels.max())}, not within {classes} "
                "classes; set SegmentationScore.classes."
            )
    pairs = truth.flatten() * classes + found.flatten()
    return torch.bincount(pairs, minlength=classes * classes).view(classes, classes)


def scores(matrix: Tensor) -> Scores:
    """Scores of a confusion matrix (rows are the truth); means leave out classes that never occur there.

    Raises:
        UserError: It counts no pixel.
    """
    if not matrix.any():
        raise UserError("There are no labelled pixels to score; give at least one image.")
    counts = matrix.double()
    right, truth, found = counts.diagonal(), counts.sum(1), counts.sum(0)
    occurs = truth > 0
    recall, union = right[occurs] / truth[occurs], (truth + found - right)[occurs]
    return Scores(
        (right.sum() / truth.sum()).item(), recall.mean().item(), (right[occurs] / union).mean().item()
    )


def jackknife(estimate: Callable[[Tensor], float], matrices: Tensor) -> float | None:
    """Standard error of a number by leaving out one image at a time; None for less than two images.

    Args:
        estimate: Function of the sum over all images.
        matrices: (N, ...), one per image.
    """
    count, whole = len(matrices), matrices.sum(0)
    if count < 2:
        return None
    values = torch.tensor([estimate(whole - one) for one in matrices], dtype=torch.float64)
    return float(((count - 1) * (values - values.mean()).square().mean()).sqrt())


class SegmentationScore(Evaluator):
    """Segment real and generated test images with a segmenter that was trained on real training pairs.

    Args:
        classes: Number of classes in the data's ``labels``.
        steps: Training batches of the segmenter.
        batch_size: Images per training batch.
        train_pairs: Largest number of training pairs.
        seed: Seed of the segmenter.
    """

    def __init__(
        self,
        classes: PositiveInt,
        steps: PositiveInt = 400,
        batch_size: PositiveInt = 8,
        train_pairs: PositiveInt = 2000,
        seed: Seed = 0,
    ) -> None:
        super().__init__()
        if classes < 2:
            raise UserError(
                f"SegmentationScore.classes is {classes}; give the number of classes, at least 2."
            )
        self.classes = classes
        self.steps, self.batch_size, self.train_pairs, self.seed = steps, batch_size, train_pairs, seed

    @classmethod
    def suited(
        cls, arguments: dict[str, Any], data: DataModule, batch: Batch, counts: Mapping[str, int]
    ) -> dict[str, Any] | None:
        """The classes of data with label maps."""
        if not counts.get("test") or "labels" not in batch:
            return None
        facts = data.preprocessing()
        return arguments | {"classes": len(facts.get("classes") or PALETTES[facts["palette"]])}

    def labels(self, batch: Batch) -> Tensor:
        """True labels of a batch, (B, H, W) long.

        Raises:
            UserError: The data has no index map.
        """
        if "labels" not in batch:
            raise self.unusable("label maps, and this data has none (data.palette names those of pictures)")
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
        weights = hashlib.sha256(safetensors.torch.save(self._network.state_dict())).hexdigest()
        self._network.to(module.device)
        self._protocol = {
            "metric": "FCN score, own segmenter",
            "segmenter": weights[:16],
            "segmenter_training": fingerprint,
            "segmenter_steps": self.steps,
            "segmenter_seed": self.seed,
            "train_pairs": count,
            "size": list(images.shape[-2:]),
            "classes": self.classes,
            "labels": "index maps",
            "split": "test",
            "bits": 8,
            "error": "jackknife over the test pictures",
        }
        self._matrices: list[Tensor] = []

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
        """Count the classes that the segmenter predicts in each real and generated image of the batch."""
        truth = self.labels(batch)
        found = [self._network(as_in_a_file(images)).argmax(1) for images in (batch["target"], outputs)]
        for label, *each in zip(truth, *found, strict=True):
            self._matrices.append(torch.stack([confusion(label, one, self.classes) for one in each]).cpu())

    def finish(self, trainer: pl.Trainer, module: Any) -> Evaluation:
        """Three scores, each on real and generated images, and their ratio, with standard errors."""
        del self._network
        matrices = of_all_ranks(torch.stack(self._matrices))  # (N, real and generated, true, predicted)
        real = {**self._protocol, "test_pictures": len(matrices)}
        made = real | self.in_use(trainer, module)
        rows = []
        for at, name in enumerate(Scores._fields):
            for subject, protocol in (("real", real), ("generated", made), ("generated / real", made)):
                estimate = partial(_score, at, subject)
                value, error = estimate(matrices.sum(0)), jackknife(estimate, matrices)
                rows.append(Row(f"segmenter-{name.replace('_', '-')}", value, subject, protocol, error))
        return Evaluation(rows)


def _score(at: int, subject: str, both: Tensor) -> float:
    """A score of a subject from the confusion matrices of real and generated images; 0 / 0 is 0."""
    real, generated = (scores(matrix)[at] for matrix in both)
    ratio = generated / real if real else 0.0
    return {"real": real, "generated": generated, "generated / real": ratio}[subject]


def _as_floats(pairs: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """A batch of uint8 pairs as images in [-1, 1] and long labels."""
    images, labels = zip(*pairs, strict=True)
    return torch.stack(images).float() / 127.5 - 1, torch.stack(labels).long()
