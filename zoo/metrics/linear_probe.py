"""What a discriminator has learnt: a linear classifier on its features (Radford 2016, DCGAN, section 5).

The activations of all convolutions are max-pooled to a 4x4 grid, flattened and concatenated; on them a linear
L2-SVM is trained with the labels of a classified data set. Its accuracy is compared with that of the same
classifier on the features of an untrained discriminator, and on pixels: what lies above both was learnt
without labels.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import lightning.pytorch as pl
import numpy as np
import torch
import torch.nn.functional as F
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC
from torch import Tensor, nn

from zoo.bounds import PositiveFloat, PositiveInt, Seed
from zoo.data.base import Batch, DataModule, SampleSet, Split
from zoo.errors import UserError
from zoo.metrics.evaluator import Evaluation, Evaluator, read
from zoo.metrics.scoring.report import Row

GRID = 4
AT_ONCE = 256  # images per forward pass
Embedding = Callable[[Tensor], Tensor]  # of images (B, C, H, W) in [-1, 1] as rows (B, D)


@runtime_checkable
class Featured(Protocol):
    """A model that shows what its discriminator computes."""

    def features(self, image: Tensor) -> list[Tensor]:
        """Activations (B, ., h, w) of each convolution for images (B, C, H, W) in [-1, 1]."""
        ...


class Labelled(NamedTuple):
    """Some samples of a labelled set.

    Args:
        samples: The set.
        indices: Indices (N) of the samples.
    """

    samples: SampleSet
    indices: Tensor

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, C, H, W) in [-1, 1] and labels (B)."""
        for part in torch.split(self.indices, AT_ONCE):
            batch = read(self.samples, part.tolist())
            yield batch["image"], batch["label"]

    def rows(self, embedding: Embedding) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Embedded images (N, D) and labels (N)."""
        parts = [(embedding(images).float().cpu(), labels) for images, labels in self.batches()]
        rows, labels = (torch.cat(part) for part in zip(*parts, strict=True))
        return rows.numpy(), labels.numpy()


def pooled(maps: Iterable[Tensor]) -> Tensor:
    """Maps (B, ., h, w) max-pooled to 4x4 as rows (B, D); the sides of smaller maps stay as they are."""
    grids = (F.adaptive_max_pool2d(each, [min(GRID, side) for side in each.shape[2:]]) for each in maps)
    return torch.cat([grid.flatten(1) for grid in grids], 1)


def calibrate(model: Any, batches: Iterable[Tensor]) -> None:
    """Set the statistics of an untrained model's batch norms to those of images; leave it in eval mode."""
    for layer in model.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.momentum = None  # the mean over all batches
    model.train()
    for images in batches:
        model.features(images)
    model.eval()


class LinearProbe(Evaluator):
    """Classify images by a linear SVM on the discriminator's features; the module needs ``features(image)``.

    Features are divided by the mean length of the training images' rows, which is the same as other costs.
    Images of another size than the model's are resized for it. The untrained discriminator is that of a new
    model of the same arguments; its batch norms use the statistics of the training images. Memory is about 30
    bytes per training image and feature. With 3,000 images and 7,168 features an SVM of one cost took half a
    minute on one thread; the time is about proportional to both.

    Args:
        data: Labelled images; the trainer's own if not given.
        train_samples: Largest number of training images, drawn by seed, and of images that choose the cost.
        labels_per_class: Training images of each class (paper: 100 of SVHN); any if not given.
        costs: Candidates of the SVM's cost C. The one with the best accuracy on the validation split is
            chosen; without such a split, on a sixth of the training images, which are held out.
        seed: Seed of the draws, of the untrained discriminator and of the SVM.
    """

    def __init__(
        self,
        data: DataModule | None = None,
        train_samples: PositiveInt = 10_000,
        labels_per_class: PositiveInt | None = None,
        costs: tuple[PositiveFloat, ...] = (0.1, 1.0, 10.0),
        seed: Seed = 0,
    ) -> None:
        super().__init__()
        self.labelled, self.train_samples, self.labels_per_class = data, train_samples, labels_per_class
        self.costs, self.seed = costs, seed

    @classmethod
    def suited(
        cls, arguments: dict[str, Any], data: DataModule, batch: Batch, counts: Mapping[str, int]
    ) -> dict[str, Any] | None:
        """As every evaluator; needs labels. Data that the recipe names are left out with it."""
        fits = not arguments.get("data") and {"image", "label"} <= batch.keys()
        return super().suited(arguments, data, batch, counts) if fits else None

    def begin(self, trainer: pl.Trainer, module: Any) -> None:
        """Refuse models without features and data without labels, and draw the images.

        Raises:
            UserError: Says which.
        """
        if not isinstance(module, Featured):
            raise self.unusable(f"a model with features, and {type(module).__name__} has none")
        self._source = self.labelled or self.data(trainer)
        self._train, self._held_out = self._drawn()
        self._test = self._split("test")

    def finish(self, trainer: pl.Trainer, module: Any) -> Evaluation:
        """Accuracy on the features of the discriminator and of an untrained one, and on pixels."""
        if "discriminator" not in dict(module.named_children()):
            return Evaluation([], "The linear probe needs the discriminator, and these weights hold none.")
        size, device = module.sample(1, self.seed).shape[2:], module.device
        facts = self._source.description()
        protocol = {
            "data": facts.get("name"),
            "fingerprint": facts.get("fingerprint"),
            "classifier": "linear L2-SVM, one class against the others, squared hinge",
            "costs": list(self.costs),
            "grid": GRID,
            "train": len(self._train.indices),
            "labels_per_class": self.labels_per_class,
            "validation": len(self._held_out.indices),
            "test": len(self._test.indices),
            "seed": self.seed,
        }

        def fitted(images: Tensor) -> Tensor:
            if images.shape[2:] != size:
                images = F.interpolate(images, size, mode="bilinear", antialias=True)
            return images.to(device)

        with module.in_use(self.seed):
            untrained = type(module)(**module.hparams).to(device)
            calibrate(untrained, (fitted(images) for images, _ in self._train.batches()))
            embeddings: dict[str, Embedding] = {
                "discriminator": lambda images: pooled(module.features(fitted(images))),
                "untrained": lambda images: pooled(untrained.features(fitted(images))),
                "pixels": lambda images: images.flatten(1),
            }
            rows = [self._row(*each, protocol) for each in embeddings.items()]
        learnt, drawn, plain = (f"{100 * row.value:.1f} %" for row in rows)
        return Evaluation(
            rows,
            f"A linear classifier on the discriminator's features is right for {learnt} of the test images "
            f"(untrained discriminator {drawn}, pixels {plain}).",
        )

    def _row(self, subject: str, embedding: Embedding, protocol: dict[str, Any]) -> Row:
        """Train the SVM with each cost and score the one that is best on the validation images."""
        rows, labels = self._train.rows(embedding)
        length = np.linalg.norm(rows, axis=1).mean() or 1.0
        rows /= length
        svms = [LinearSVC(C=cost, random_state=self.seed) for cost in self.costs]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # of a large cost, after 1,000 rounds
            for svm in svms:
                svm.fit(rows, labels)
        del rows

        def accuracies(images: Labelled, svms: list[LinearSVC]) -> np.ndarray[Any, Any]:
            right = np.zeros(len(svms))
            for batch, labels in images.batches():
                rows = embedding(batch).float().cpu().numpy() / length
                right += [(svm.predict(rows) == labels.numpy()).sum() for svm in svms]
            return right / len(images.indices)

        best = svms[accuracies(self._held_out, svms).argmax()]
        value = float(accuracies(self._test, [best])[0])
        error = math.sqrt(value * (1 - value) / len(self._test.indices))
        return Row("linear-probe", value, subject, protocol, error)

    def _drawn(self) -> tuple[Labelled, Labelled]:
        """The training images, and those that choose the cost."""
        (samples, every), held_out = self._split("train"), self._source.split("val")
        random = torch.Generator().manual_seed(self.seed)
        order = every[torch.randperm(len(every), generator=random)]
        if held_out is None:
            part = max(1, min(self.train_samples, len(order) // 6))
            validation, order = Labelled(samples, order[:part]), order[part:]
        else:
            chosen = torch.randperm(len(held_out), generator=random)[: self.train_samples]
            validation = Labelled(held_out, chosen)
        if (each := self.labels_per_class) is not None:
            labels = torch.cat([labels for _, labels in Labelled(samples, order).batches()])
            counts = F.one_hot(labels).cumsum(0)  # (N, classes): images of each class so far
            if (least := int(counts[-1].min())) < each:
                raise UserError(
                    f"LinearProbe.labels_per_class is {each}, but class {int(counts[-1].argmin())} has "
                    f"{least} training images; set it to that or less."
                )
            order = order[counts.gather(1, labels[:, None])[:, 0] <= each]
        return Labelled(samples, order[: self.train_samples]), validation

    def _split(self, name: Split) -> Labelled:
        """All labelled images of a split."""
        samples = self._source.split(name)
        if samples is None or not {"image", "label"} <= read(samples, [0]).keys():
            raise self.unusable(f"labelled images in a {name} split; set its data to such a set")
        return Labelled(samples, torch.arange(len(samples)))
