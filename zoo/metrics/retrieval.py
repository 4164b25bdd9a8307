"""Sentences and images found by one another: scores of a char-CNN-RNN, and R-precision of generated images.

AP@50 and zero-shot classification are those of Reed 2016 (https://arxiv.org/abs/1605.05395, section 5): a
class is the mean vector of its test sentences. R-precision is that of AttnGAN (Xu 2018,
https://arxiv.org/abs/1711.10485, section 4): one right sentence among 99 others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.bounds import PositiveInt, Seed
from zoo.data.base import Batch, DataModule
from zoo.errors import UserError
from zoo.metrics.evaluator import Evaluation, Evaluator, as_in_a_file, of_all_ranks
from zoo.metrics.scoring.report import Row
from zoo.seeds import mix


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
        names, place, counts = torch.unique(category, return_inverse=True, return_counts=True)
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


class RPrecision(Evaluator):
    """The share of generated images whose own sentence is nearer than 99 other test sentences.

    Sentences and images are compared by a trained :class:`zoo.models.char_cnn_rnn.CharCNNRNN`, by the cosine
    of their vectors. The row ``real`` is that of the real images of the same sentences; chance is one in 100.
    The other sentences are drawn from those of the test split that differ from the image's own.

    Args:
        encoder: Name or folder of its weights. Not those of the encoder that the generator was trained with:
            such a score rewards what was trained for.
        wrong: Other sentences per image.
        seed: Seed of their draw.
    """

    def __init__(self, encoder: str, wrong: PositiveInt = 99, seed: Seed = 0) -> None:
        super().__init__()
        self.encoder, self.wrong, self.seed = encoder, wrong, seed

    @classmethod
    def suited(
        cls, arguments: dict[str, Any], data: DataModule, batch: Batch, counts: Mapping[str, int]
    ) -> dict[str, Any] | None:
        """Captioned pictures, but an encoder of other pictures says nothing of them."""
        return None

    def begin(self, trainer: pl.Trainer, module: Any) -> None:
        """Load the encoder.

        Raises:
            UserError: It is missing or no char-CNN-RNN, or the generator was trained with it.
        """
        from zoo.checkpoints import load  # late: zoo.checkpoints imports models

        found = load(self.encoder)
        if found.config["class"] != "zoo.models.char_cnn_rnn.CharCNNRNN":
            raise UserError(
                f"RPrecision.encoder {self.encoder} is a {type(found.module).__name__}; give a CharCNNRNN."
            )
        self._judge: Any = found.module.to(module.device).eval()
        self._sha256 = found.config["weights"]["sha256"]
        text = (self.data(trainer).preprocessing().get("text") or {}).get("sha256")
        if text == self._sha256:
            raise UserError(
                f"RPrecision.encoder {self.encoder} is what encoded the sentences in training; give another."
            )
        self._captions: list[str] = []
        self._text: list[Tensor] = []
        self._images: tuple[list[Tensor], list[Tensor]] = ([], [])

    def update(self, batch: Batch, outputs: Any) -> None:
        """Encode the batch's sentences, its real images and the generated ones."""
        device = outputs.device
        self._captions += batch["caption"]
        with torch.no_grad():
            text, real = self._judge.both(batch | {"image": as_in_a_file(batch["image"].to(device))})
            made = self._judge.of_images(as_in_a_file(outputs))
        self._text.append(text.float().cpu())
        for kept, found in zip(self._images, (real, made), strict=True):
            kept.append(found.float().cpu())

    def finish(self, trainer: pl.Trainer, module: Any) -> Evaluation:
        """Both shares with their standard errors."""
        if trainer.world_size > 1:
            raise UserError("RPrecision compares all sentences; test with one process (trainer.devices 1).")
        text = F.normalize(torch.cat(self._text), dim=1)
        choices = self._choices()
        protocol = {
            "metric": "R-precision",
            "encoder": self._sha256[:16],
            "image_network": self._judge.image_network,
            "wrong": choices.shape[1] - 1,
            "seed": self.seed,
            "split": "test",
            "test_pictures": len(text),
            "bits": 8,
        }
        rows = []
        for subject, kept in zip(("real", "generated"), self._images, strict=True):
            image = F.normalize(torch.cat(kept), dim=1)
            scores = torch.einsum("nd,nkd->nk", image, text[choices])  # (N, 1 + wrong), the first is right
            mean = float((scores[:, :1] > scores[:, 1:]).all(1).double().mean())
            error = (mean * (1 - mean) / max(len(text) - 1, 1)) ** 0.5
            facts = protocol if subject == "real" else protocol | self.in_use(trainer, module)
            rows.append(Row("r-precision", mean, subject, facts, error))
        del self._judge
        return Evaluation(rows, f"By chance one in {choices.shape[1]} would be right.")

    def _choices(self) -> Tensor:
        """For each image its own sentence and ``wrong`` others, (N, 1 + wrong).

        Raises:
            UserError: The split has fewer other sentences.
        """
        rows = []
        for place, caption in enumerate(self._captions):
            others = [at for at, other in enumerate(self._captions) if other != caption]
            if len(others) < self.wrong:
                raise UserError(
                    f"RPrecision needs {self.wrong} other test sentences and {caption!r:.40} has "
                    f"{len(others)}; set its wrong to fewer."
                )
            draws = torch.Generator().manual_seed(mix("r-precision", self.seed, place))
            picked = torch.randperm(len(others), generator=draws)[: self.wrong]
            rows.append([place, *(others[at] for at in picked)])
        return torch.tensor(rows)
