"""The two gradient norms against a hand-made game, and that watching changes nothing."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn

from zoo.callbacks.gradients import GradientNorms, gradient_norms
from zoo.data.images.module import Digits
from zoo.models.gan import GAN


class Steered:
    """A generator of one number w whose logit is w itself."""

    def __init__(self, logit: float) -> None:
        self.generator = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.generator.weight, logit)

    def generate(self, batch: dict[str, Tensor]) -> Tensor:
        made: Tensor = self.generator(torch.ones(4, 1))
        return made

    def judge(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize("logit", [-10.0, -2.0, 0.0, 3.0])
def test_norms_are_those_of_the_formulae(logit: float) -> None:
    """d/ds of -softplus(s) is -sigmoid(s), of softplus(-s) it is -sigmoid(-s)."""
    flat, steep = gradient_norms(Steered(logit), {})
    assert float(flat) == pytest.approx(1 / (1 + math.exp(-logit)), rel=1e-4)
    assert float(steep) == pytest.approx(1 / (1 + math.exp(logit)), rel=1e-4)


def train(folder: Path, callbacks: list[pl.Callback]) -> tuple[GAN, Path]:
    torch.manual_seed(0)
    module = GAN(shape=(1, 8, 8), latent_dim=8, hidden=16, maxout_units=8, maxout_pieces=2)
    logger = CSVLogger(folder)
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=logger,
        max_steps=6,
        log_every_n_steps=3,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=callbacks,
    )
    trainer.fit(module, Digits(batch_size=64, seed=0))
    return module, Path(logger.log_dir)


def test_both_norms_are_logged_and_watching_changes_nothing(tmp_path: Path) -> None:
    watched, folder = train(tmp_path / "a", [GradientNorms()])
    with open(folder / "metrics.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["train/g_grad_saturating"]]
    assert [int(row["step"]) for row in rows] == [2, 5]
    for row in rows:  # at the start D gives one half to everything: both losses are equally steep
        ratio = float(row["train/g_grad_saturating"]) / float(row["train/g_grad_nonsaturating"])
        assert ratio == pytest.approx(1.0, abs=0.05)
    alone, _ = train(tmp_path / "b", [])
    pairs = zip(watched.state_dict().values(), alone.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
