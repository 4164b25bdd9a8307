"""The Parzen window against a plain loop, scipy and a density whose answer is known."""

from __future__ import annotations

import json
import math
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from torch import Tensor

from zoo.data.images.module import Digits
from zoo.errors import UserError
from zoo.metrics.parzen import ParzenWindow, choose_sigma, log_likelihood, sigma_grid


def plain(point: list[float], samples: list[list[float]], sigma: float) -> float:
    """The definition, one term at a time."""
    total = 0.0
    for sample in samples:
        squares = sum((a - b) ** 2 for a, b in zip(point, sample, strict=True))
        total += math.exp(-squares / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi)) ** len(point)
    return math.log(total / len(samples))


def test_equals_the_definition() -> None:
    random = torch.Generator().manual_seed(0)
    points, samples = torch.rand(7, 5, generator=random), torch.rand(11, 5, generator=random)
    ours = log_likelihood(points, samples, [0.2, 0.7], chunk=3)
    wanted = [[plain(p, samples.tolist(), s) for p in points.tolist()] for s in (0.2, 0.7)]
    torch.testing.assert_close(ours, torch.tensor(wanted, dtype=torch.float64), rtol=1e-10, atol=0)


def test_equals_scipy_in_many_dimensions() -> None:
    """At 784 dimensions each term alone under- or overflows, and float32 would be off by far more."""
    random = np.random.default_rng(0)
    points, samples = random.random((20, 784)), random.random((300, 784))
    exponents = -cdist(points, samples, "sqeuclidean") / (2 * 0.1**2)
    wanted = logsumexp(exponents, axis=1) - np.log(300) - 784 * np.log(0.1 * np.sqrt(2 * np.pi))
    ours = log_likelihood(torch.from_numpy(points), torch.from_numpy(samples), [0.1])[0]
    np.testing.assert_allclose(ours.numpy(), wanted, rtol=1e-11)


def test_a_point_on_its_only_sample_has_the_normal_density_at_zero() -> None:
    x = torch.full((1, 784), 0.3)
    expected = -784 * math.log(0.1 * math.sqrt(2 * math.pi))
    assert log_likelihood(x, x, [0.1]).item() == pytest.approx(expected, rel=1e-12)


def test_sigma_is_the_best_of_the_papers_grid() -> None:
    grid = sigma_grid()
    assert len(grid) == 10 and grid[0] == pytest.approx(0.1) and grid[-1] == pytest.approx(1.0)
    assert grid[4] / grid[3] == pytest.approx(10 ** (1 / 9))
    random = torch.Generator().manual_seed(0)
    # with all samples in one place the best width is the validation set's own spread
    validation = 0.45 * torch.randn(4000, 6, generator=random)
    assert choose_sigma(validation, torch.zeros(50, 6), grid) == pytest.approx(grid[6])  # 0.464


class Drawn(pl.LightningModule):
    """Gives ``spread`` times noise around grey as its samples; tests whatever it is given."""

    def __init__(self, spread: float = 0.5) -> None:
        super().__init__()
        self.spread = spread

    def sample(self, n: int, seed: int = 0) -> Tensor:
        noise = torch.randn(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
        return (self.spread * noise).clamp(-1, 1)

    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        pass


def trainer_with(folder: Path, callback: pl.Callback) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[callback],
    )


def test_the_callback_reports_mean_and_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Digits(batch_size=50)
    trainer_with(tmp_path, ParzenWindow(samples=500, validation=100)).test(Drawn(), data, verbose=False)
    (row,) = json.loads((tmp_path / "eval.json").read_text())

    window = (Drawn().sample(500).flatten(1) + 1) / 2
    held_out, test = data.split("val"), data.split("test")
    assert held_out is not None and test is not None
    validation = torch.stack([(held_out[i]["image"].flatten() + 1) / 2 for i in range(100)])
    sigma = choose_sigma(validation, window, sigma_grid())
    pictures = torch.stack([(test[i]["image"].flatten() + 1) / 2 for i in range(len(test))])
    found = log_likelihood(pictures, window, [sigma])[0]
    assert row["value"] == pytest.approx(found.mean().item(), rel=1e-9)
    assert row["error"] == pytest.approx((found.std(correction=0) / len(found) ** 0.5).item(), rel=1e-6)
    assert row["protocol"]["test"] == len(test) and row["protocol"]["sigma"] == pytest.approx(sigma, abs=1e-6)
    assert row["paper"] is None  # the paper has no number for these digits
    assert "500 samples and 100" in row["differs"]
    assert "parzen-log-likelihood" in capsys.readouterr().out


def test_data_without_a_validation_split_is_refused(tmp_path: Path) -> None:
    loader = torch.utils.data.DataLoader([{"image": torch.zeros(1, 8, 8)}])
    with pytest.raises(UserError, match="validation split"):
        trainer_with(tmp_path, ParzenWindow()).test(Drawn(), loader, verbose=False)
