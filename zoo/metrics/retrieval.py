"""Sentences and images found by one another: the paper's two scores of a char-CNN-RNN, and recall.

AP@50 and zero-shot classification are those of Reed 2016 (https://arxiv.org/abs/1605.05395, section 5): a
class is the mean vector of its test sentences.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from zoo.bounds import PositiveInt
from zoo.data.base import Batch, DataModule
from zoo.metrics.evaluator import Evaluation, Evaluator, of_all_ranks
from zoo.metrics.scoring.report import Row


class Retrieval(Evaluator):
    """Score text vectors and image features of the test split by their inner products.

    With classes: ``ap-50``, the share of images of the class among the ``depth`` nearest to its vector,
    averaged over classes; ``class-top-1``, the share of images whose class's vector is the nearest. Always:
    ``recall-1`` and ``recall-10``, the share of images whose own sentence is the nearest (among the ten
    nearest) of all test sentences. A sentence that occurs twice counts for both.

    Args:
        depth: Images counted per class, 50 in the paper.
    """

    def __init__(self, depth: PositiveInt = 50) -> None:
        super().__init__()
        self.depth = depth

    @classmethod
    def suited(
        cls, arguments: dict[str, Any], data: DataModule, batch: Batch, counts: Mapping[str, int]
    ) -> dict[str, Any] | None:
        """Captioned pictures with a test split."""
        return super().suited(arguments, data, batch, counts) if "caption" in batch else None

    def begin(self, trainer: pl.Trainer, module: Any) -> None:
        """Reset what was collected."""
        self._text: list[Tensor] = []
        self._image: list[Tensor] = []
        self._category: list[Tensor] = []

    def update(self, batch: Batch, outputs: Any) -> None:
        """Collect vectors, features and classes.

        Raises:
            UserError: The model gives no such pair.
        """
        if not isinstance(outputs, tuple) or len(outputs) != 2:
            raise self.unusable("a model of sentences and images, such as CharCNNRNN")
        text, image = outputs
        self._text.append(text.float().cpu())
        self._image.append(image.float().cpu())
        if "category" in batch:
            self._category.append(batch["category"].cpu())

    def finish(self, trainer: pl.Trainer, module: Any) -> Evaluation:
        """The scores, each beside what chance would give."""
        text, image = of_all_ranks(torch.cat(self._text)), of_all_ranks(torch.cat(self._image))
        scores, count = image @ text.T, len(text)
        protocol: dict[str, Any] = {"split": "test", "test_pictures": count, "network": module.image_network}
        rows = []
        own = scores.diagonal()[:, None]
        better = (scores > own).sum(1)
        for depth in (1, 10):
            share = float((better < depth).double().mean())
            chance = min(depth / count, 1.0)
            error = (share * (1 - share) / max(count - 1, 1)) ** 0.5
            rows.append(Row(f"recall-{depth}", share, protocol=protocol, error=error))
            rows.append(Row(f"recall-{depth}", chance, "chance", protocol))
        if self._category:
            rows += self._of_classes(text, image, of_all_ranks(torch.cat(self._category)), protocol)
        return Evaluation(rows)

    def _of_classes(
        self, text: Tensor, image: Tensor, category: Tensor, protocol: dict[str, Any]
    ) -> list[Row]:
        names, place, counts = category.unique(return_inverse=True, return_counts=True)
        means = torch.zeros(len(names), text.shape[1]).index_add_(0, place, text) / counts[:, None]
        scores = image @ means.T  # (images, classes)
        depth = min(self.depth, len(image))
        nearest = place[scores.topk(depth, dim=0).indices]  # (depth, classes)
        precision = (nearest == torch.arange(len(names))).double().mean()
        right = (scores.argmax(1) == place).double().mean()
        facts = protocol | {"classes": len(names), "depth": depth}
        return [
            Row(f"ap-{self.depth}", float(precision), protocol=facts),
            Row(f"ap-{self.depth}", float((counts / len(image)).mean()), "chance", facts),
            Row("class-top-1", float(right), protocol=facts),
            Row("class-top-1", 1 / len(names), "chance", facts),
        ]
