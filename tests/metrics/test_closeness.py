"""The perceptual distance of translations: a mean over pictures, in batches of any size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor

from zoo.data.base import collate
from zoo.data.images.module import Digits
from zoo.data.pairs.world import ScenePairs
from zoo.errors import UserError
from zoo.metrics import closeness
from zoo.metrics.closeness import PerceptualScore
from zoo.models.gan import GAN
from zoo.models.pix2pix import Pix2Pix


class Judge(torch.nn.Module):
    """A stand-in for a perceptual network: the mean absolute difference."""

    def __init__(self, name: str, weights: str | None) -> None:
        super().__init__()
        self.name, self.sha256 = name, "none"

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs().mean((1, 2, 3))


def scored(model: Any, data: Any, folder: Path) -> Any:
    trainer = pl.Trainer(
        accelerator="cpu", callbacks=[PerceptualScore("st-lpips-alex")], default_root_dir=folder,
        logger=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.test(model, data, verbose=False)
    (path,) = folder.glob("**/eval.json")
    return json.loads(path.read_text())


def test_mean_and_error_over_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closeness, "PerceptualDistance", Judge)
    torch.manual_seed(0)
    model = Pix2Pix(levels=3, width=4, in_channels=16, inference="running").eval()
    data = ScenePairs(size=16, train_length=1, eval_length=5, eval_batch_size=2)  # the last batch is smaller
    row, others = scored(model, data, tmp_path)
    samples = data.split("test")
    assert samples is not None
    batch = collate([samples[i] for i in range(5)])
    with torch.no_grad():
        made, real = (
            (((x + 1) * 127.5).round() / 127.5 - 1) for x in (model.generate(batch), batch["target"])
        )
    each = (made - real).abs().mean((1, 2, 3)).double()
    assert row["value"] == pytest.approx(each.mean().item(), rel=1e-6)
    assert row["error"] == pytest.approx((each.std() / 5**0.5).item(), rel=1e-5)
    assert (row["metric"], row["protocol"]["test_pictures"]) == ("st-lpips-alex", 5)
    assert row["protocol"]["bits"] == 8
    assert row["protocol"]["use"] == {
        "inference": "running",
        "seed": "number of the batch",
        "batch_size": 2,
        "ranks": 1,
    }
    apart = (real[1:] - real[:-1]).abs().mean((1, 2, 3)).double()
    assert others["value"] == pytest.approx(apart.mean().item(), rel=1e-6)
    assert (others["subject"], others["protocol"]["pairs"]) == ("real", 4)


def test_no_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closeness, "PerceptualDistance", Judge)
    model = GAN(shape=(1, 8, 8), hidden=16, maxout_units=8, latent_dim=4)
    with pytest.raises(UserError, match="this data has none"):
        scored(model, Digits(), tmp_path)
