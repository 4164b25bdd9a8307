"""Inception score: confident class predictions per image, diverse over all images (Salimans et al. 2016).

The score of a split is exp of the mean divergence of an image's class probabilities p from their mean q
(section 4). That mean equals ``mean(sum p log p) - sum q log q``, so only sums of p and p log p are stored.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zoo.errors import UserError
from zoo.metrics.formulas.frechet import checked


class ClassScore:
    """Inception score of logits that arrive in batches and in any order.

    Splits are those of torch-fidelity: parts of a random permutation, so the number of images must be known
    in advance. Besides the sums, three bytes per image are stored: its split, and whether it was seen, so
    that no image counts twice.

    Args:
        count: Number of images.
        classes: Length of the logits.
        splits: Number of splits; the score is the mean over them.
        seed: Seed of the permutation; None keeps the images' own order.

    Raises:
        UserError: Fewer images than splits.
    """

    def __init__(self, count: int, classes: int, splits: int = 10, seed: int | None = 2020) -> None:
        if not 1 <= splits <= min(count, 32_767):
            raise UserError(
                f"The inception score cannot cut {count} images into {splits} splits; set splits between 1 "
                f"and the number of images."
            )
        self.count, self.classes, self.splits, self.seed = count, classes, splits, seed
        order = np.arange(count) if seed is None else np.random.RandomState(seed).permutation(count)
        self._split = torch.empty(count, dtype=torch.int16)
        for i in range(splits):
            self._split[torch.from_numpy(order[i * count // splits : (i + 1) * count // splits])] = i
        self._seen = torch.zeros(count, dtype=torch.bool)
        self._p = torch.zeros(splits, classes, dtype=torch.float64)
        self._p_log_p = torch.zeros(splits, dtype=torch.float64)

    def update(self, logits: Tensor, indices: Tensor) -> None:
        """Add images.

        Args:
            logits: (N, classes), before the softmax.
            indices: (N) indices of the images, from 0.

        Raises:
            UserError: Wrong shape, values that are not finite, or an index that is out of range or repeated;
                nothing is added.
        """
        logits = checked(logits, "Logits", self.classes).cpu()
        indices = indices.cpu()
        if indices.shape != (len(logits),):
            raise UserError(
                f"{len(logits)} rows of logits came with indices of shape {tuple(indices.shape)}; give one "
                f"index per row."
            )
        if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < self.count:
            raise UserError(
                f"Images {int(indices.min())} to {int(indices.max())} were given but count is {self.count}; "
                f"count from 0 and set count to the number of all images."
            )
        if len(set(indices.tolist())) < len(indices) or bool(self._seen[indices].any()):
            raise UserError("The inception score was given an image twice; use a sampler without repetition.")
        self._seen[indices] = True
        split = self._split[indices].long()
        log_p = logits.double().log_softmax(1)
        p = log_p.exp()
        self._p.index_add_(0, split, p)
        self._p_log_p.index_add_(0, split, (p * log_p).sum(1))

    def merge(self, other: ClassScore) -> None:
        """Add everything that ``other`` has seen of the same images; ``other`` is unchanged.

        Raises:
            UserError: The other score has other splits, or has seen an image that this one has seen.
        """
        mine, its = ((s.count, s.classes, s.splits, s.seed) for s in (self, other))
        if mine != its:
            raise UserError(
                f"Inception scores with (count, classes, splits, seed) {mine} and {its} cannot be merged; "
                f"create both with the same arguments."
            )
        if bool((self._seen & other._seen).any()):
            raise UserError("The inception score was given an image twice; use a sampler without repetition.")
        self._seen |= other._seen
        self._p += other._p
        self._p_log_p += other._p_log_p

    def compute(self) -> tuple[float, float]:
        """Mean and population standard deviation over the splits.

        Raises:
            UserError: Some images are missing.
        """
        if not self._seen.all():
            raise UserError(
                f"The inception score has seen only {int(self._seen.sum())} of {self.count} images; give all "
                f"of them."
            )
        size = self._split.bincount(minlength=self.splits).to(self._p)
        q = self._p / size.unsqueeze(1)
        scores = (self._p_log_p / size - torch.xlogy(q, q).sum(1)).exp()
        return float(scores.mean()), float(scores.std(correction=0))
