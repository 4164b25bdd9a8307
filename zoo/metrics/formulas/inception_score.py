"""Inception score: is each answer of a classifier sure, and are all together diverse (Salimans et al. 2016).

Of a split it is exp of the mean divergence of a picture's class probabilities p to their mean q (section 4).
Because that mean is ``mean(sum p log p) - sum q log q``, sums of p and of p log p are all that must be kept.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zoo.errors import UserError
from zoo.metrics.formulas.frechet import checked


class ClassScore:
    """Inception score of logits that come in batches and in any order.

    Splits are those of torch-fidelity: parts of a random order, which can only be drawn when the number of
    pictures is known beforehand. Beside the sums, whose size does not depend on it, three bytes a picture are
    kept: its split, and whether it was seen, so that none counts twice.

    Args:
        count: Pictures in all.
        classes: Length of the logits.
        splits: Parts whose scores' mean and deviation are given.
        seed: Of the random order; None takes pictures in their own order.
        device: Where the sums are kept.

    Raises:
        UserError: Fewer pictures than splits.
    """

    def __init__(
        self,
        count: int,
        classes: int,
        splits: int = 10,
        seed: int | None = 2020,
        device: torch.device | str = "cpu",
    ) -> None:
        if not 1 <= splits <= min(count, 32_767):
            raise UserError(
                f"The inception score cannot cut {count} pictures into {splits} splits; set splits between 1 "
                f"and the number of pictures."
            )
        self.count, self.classes, self.splits, self.seed = count, classes, splits, seed
        self.device = torch.device(device)
        order = np.arange(count) if seed is None else np.random.RandomState(seed).permutation(count)
        self._split = torch.empty(count, dtype=torch.int16)
        for i in range(splits):
            self._split[torch.from_numpy(order[i * count // splits : (i + 1) * count // splits])] = i
        self._seen = torch.zeros(count, dtype=torch.bool)
        self._p = torch.zeros(splits, classes, dtype=torch.float64, device=self.device)
        self._p_log_p = torch.zeros(splits, dtype=torch.float64, device=self.device)

    def update(self, logits: Tensor, indices: Tensor) -> None:
        """Take pictures in.

        Args:
            logits: (N, classes), before the softmax.
            indices: (N) places of the pictures among all, from 0.

        Raises:
            UserError: Another shape, values that are not finite, or a place that is outside or comes twice;
                nothing is taken in.
        """
        logits = checked(logits, "Logits", self.classes)
        indices = indices.cpu()
        if indices.shape != (len(logits),):
            raise UserError(
                f"{len(logits)} rows of logits came with indices of shape {tuple(indices.shape)}; give each "
                f"row its place."
            )
        if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < self.count:
            raise UserError(
                f"Pictures {int(indices.min())} to {int(indices.max())} came where {self.count} were "
                f"announced; count from 0 and announce all."
            )
        if len(set(indices.tolist())) < len(indices) or bool(self._seen[indices].any()):
            raise UserError("A picture came twice for the inception score; use a sampler that repeats none.")
        self._seen[indices] = True
        split = self._split[indices].to(self.device, torch.int64)
        log_p = logits.to(self.device).double().log_softmax(1)
        p = log_p.exp()
        self._p.index_add_(0, split, p)
        self._p_log_p.index_add_(0, split, (p * log_p).sum(1))

    def merge(self, other: ClassScore) -> None:
        """Take in all that ``other`` has seen of the same pictures; ``other`` stays as it is.

        Raises:
            UserError: The other score is cut differently, or has seen a picture that this one has seen.
        """
        mine, its = ((s.count, s.classes, s.splits, s.seed) for s in (self, other))
        if mine != its:
            raise UserError(
                f"Inception scores with (count, classes, splits, seed) {mine} and {its} cannot be merged; "
                f"make both alike."
            )
        if bool((self._seen & other._seen).any()):
            raise UserError("A picture came twice for the inception score; use a sampler that repeats none.")
        self._seen |= other._seen
        self._p += other._p.to(self.device)
        self._p_log_p += other._p_log_p.to(self.device)

    def compute(self) -> tuple[float, float]:
        """Mean and population standard deviation over the splits.

        Raises:
            UserError: Some pictures have not come.
        """
        if not self._seen.all():
            raise UserError(
                f"Only {int(self._seen.sum())} of the {self.count} announced pictures came for the inception "
                f"score; give them all."
            )
        size = self._split.bincount(minlength=self.splits).to(self._p)
        q = self._p / size.unsqueeze(1)
        scores = (self._p_log_p / size - torch.xlogy(q, q).sum(1)).exp()
        return float(scores.mean()), float(scores.std(correction=0))


def inception_score(logits: Tensor, splits: int = 10, seed: int | None = 2020) -> tuple[float, float]:
    """Mean and population standard deviation of the inception score over splits.

    Args:
        logits: (N, classes), before the softmax.
        splits: Parts; each has its own score.
        seed: Of the random order that is cut into splits; None cuts the rows as they come.

    Raises:
        UserError: Another shape, values that are not finite, or fewer rows than splits.
    """
    logits = checked(logits, "Logits")
    score = ClassScore(len(logits), logits.shape[1], splits, seed, logits.device)
    for part in torch.split(torch.arange(len(logits)), 10_000):
        score.update(logits[part.to(logits.device)], part)
    return score.compute()
