"""Adversarial losses as pure functions on logits; every paper composes its terms from these.

Each takes logits of any shape and returns the mean over all elements, in at least float32, so that mixed
precision rounds no loss.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def bce(logits: Tensor, target: float) -> Tensor:
    """Binary cross-entropy of ``sigmoid(logits)`` against a constant target in [0, 1] (stable on logits)."""
    logits = _wide(logits)
    if target == 1.0:
        return F.softplus(-logits).mean()
    if target == 0.0:
        return F.softplus(logits).mean()
    return F.softplus(logits).mean() - target * logits.mean()


def saturating(fake_logits: Tensor) -> Tensor:
    """The generator's minimax loss, mean log(1 - D(G(z))) (Goodfellow 2014, equation 1).

    Its gradient with respect to a logit s is -sigmoid(s): it vanishes if the discriminator is confident.
    """
    return -F.softplus(_wide(fake_logits)).mean()


def nonsaturating(fake_logits: Tensor) -> Tensor:
    """The generator's heuristic loss, -mean log D(G(z)) (Goodfellow 2014, end of section 3)."""
    return bce(fake_logits, 1.0)


def least_squares(logits: Tensor, target: float) -> Tensor:
    """Mean squared distance of raw logits to a constant target (Mao 2017)."""
    return (_wide(logits) - target).square().mean()


def mean_score(scores: Tensor) -> Tensor:
    """Mean of a critic's unbounded scores, whose differences are its loss (Arjovsky 2017, algorithm 1)."""
    return _wide(scores).mean()


def _wide(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
