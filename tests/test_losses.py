"""The adversarial losses against their formulas, and in mixed precision."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from zoo.losses import bce, least_squares, nonsaturating, saturating

LOGITS = torch.tensor([[-3.0, 0.25], [1.5, 40.0]], dtype=torch.float64)
P = torch.sigmoid(LOGITS)
LOSSES: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
    "real": (lambda x: bce(x, 1.0), -P.log().mean()),
    "fake": (lambda x: bce(x, 0.0), -torch.sigmoid(-LOGITS).log().mean()),
    "soft": (lambda x: bce(x, 0.9), -(0.9 * P.log() + 0.1 * torch.sigmoid(-LOGITS).log()).mean()),
    "saturating": (saturating, torch.sigmoid(-LOGITS).log().mean()),
    "nonsaturating": (nonsaturating, -P.log().mean()),
    "least squares": (lambda x: least_squares(x, 1.0), (LOGITS - 1).square().mean()),
}


@pytest.mark.parametrize("name", LOSSES)
def test_formulas(name: str) -> None:
    loss, wanted = LOSSES[name]
    torch.testing.assert_close(loss(LOGITS), wanted)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_half_precision_are_not_rounded(name: str) -> None:
    loss, _ = LOSSES[name]
    halves = torch.randn(1000, generator=torch.Generator().manual_seed(0)).bfloat16()
    found = loss(halves)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(halves.float()))
