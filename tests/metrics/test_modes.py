"""Mode coverage: hand-made counts, the shipped classifier on digits and noise, the callback in a run."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn

from zoo.data.images.module import Digits
from zoo.data.points import Points
from zoo.data.worlds import toys
from zoo.errors import UserError
from zoo.metrics.modes import Counts, GaussianModes, ModeCoverage, count, gaussian_modes
from zoo.models.gan import GAN


class Reading(nn.Module):
    """Reads the class off pixel 0 and the logit off pixel 1."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        return torch.zeros(len(x), 10).scatter(1, (10 * flat[:, :1]).round().long(), 10 * flat[:, 1:2])


def test_a_class_is_found_from_the_share_of_sure_answers_on() -> None:
    sure, unsure = 10.0, 3.0  # probabilities .9996 and .69
    answers = [(0, sure)] * 90 + [(1, sure)] * 2 + [(2, sure)] + [(2, unsure)] * 3 + [(3, unsure)] * 4
    images = torch.tensor(answers).view(-1, 1, 1, 2) / 10
    counts = count(Reading(), images, 0.9)
    assert counts.all.tolist() == [90, 2, 4, 4, 0, 0, 0, 0, 0, 0]
    assert counts.sure.tolist() == [90, 2, 1, 0, 0, 0, 0, 0, 0, 0]
    assert counts.found(0.02) == 2 and counts.found(0.01) == 3 and counts.found(0.021) == 1
    assert counts.found(0.0) == 3  # a class that never came is not found, however low the bar
    assert count(Reading(), images, 0.5).found(0.02) == 4
    for bad, said in ((images * torch.nan, "not finite"), (images * 255, "range from 0"), (images[:0], "no")):
        with pytest.raises(UserError, match=said):
            count(Reading(), bad, 0.9)


def test_divergence_is_zero_for_uniform_and_log_ten_for_one_class() -> None:
    even, one = torch.full((10,), 7), torch.tensor([9, *[0] * 9])
    assert Counts(even, even).kl_to_uniform() == pytest.approx(0.0, abs=1e-12)
    assert Counts(one, one).kl_to_uniform() == pytest.approx(math.log(10))
    two = torch.tensor([3, 1, *[0] * 8])
    by_hand = 0.75 * math.log(7.5) + 0.25 * math.log(2.5)
    assert Counts(two, torch.zeros(10)).kl_to_uniform() == pytest.approx(by_hand)


class Fixed(pl.LightningModule):
    """Gives the samples it was made with."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.images = images

    def sample(self, n: int, seed: int = 0) -> Tensor:
        return self.images[torch.arange(n) % len(self.images)]

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


def only(data: Digits, classes: set[int]) -> Tensor:
    train = data.split("train")
    assert train is not None
    return torch.stack(
        [s["image"] for s in map(train.__getitem__, range(len(train))) if int(s["label"]) in classes]
    )


@pytest.mark.parametrize("classes", [{3}, {0, 1, 4, 7}, set(range(10))])
def test_a_generator_of_some_digits_scores_just_those(
    classes: set[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Digits(batch_size=64)
    generator = Fixed(only(data, classes))
    trainer_with(tmp_path, ModeCoverage("digits")).test(generator, data, verbose=False)
    rows = {(r["metric"], r["subject"]): r for r in json.loads((tmp_path / "eval.json").read_text())}
    assert rows["modes-found", "generated"]["value"] == len(classes)
    assert rows["modes-found", "noise"]["value"] <= 1
    assert rows["modes-found", "real"]["value"] == 10
    assert rows["modes-kl", "generated"]["value"] == pytest.approx(math.log(10 / len(classes)), abs=0.05)
    assert rows["modes-kl", "real"]["value"] < 0.02
    assert rows["modes-found", "generated"]["protocol"]["samples"] == 1000
    real = data.split("test")
    assert real is not None and rows["modes-found", "real"]["protocol"]["samples"] == len(real)
    assert f"The generator makes {len(classes)} of the 10 digits" in capsys.readouterr().out


def test_pictures_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mnist reads \(1, 28, 28\) images, not \(1, 8, 8\)"):
        generator = Fixed(torch.zeros(5, 1, 8, 8))
        trainer_with(tmp_path, ModeCoverage("mnist")).test(generator, Digits(batch_size=64), verbose=False)


def test_padded_digits_count_as_the_digits_do() -> None:
    callback = ModeCoverage("mnist")
    callback.setup(None, None, "test")  # type: ignore[arg-type]
    images = torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2), value=-1)
    assert torch.equal(callback._count(padded).all, callback._count(images).all)


def train(folder: Path, callbacks: list[pl.Callback]) -> tuple[GAN, pl.Trainer]:
    torch.manual_seed(0)
    module = GAN(shape=(1, 8, 8), latent_dim=8, hidden=16, maxout_units=8, maxout_pieces=2)
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=CSVLogger(folder),
        max_steps=8,
        log_every_n_steps=4,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=callbacks,
    )
    trainer.fit(module, Digits(batch_size=64, seed=0))
    return module, trainer


def test_counts_during_training_are_logged_and_change_nothing(tmp_path: Path) -> None:
    watched, trainer = train(tmp_path / "a", [ModeCoverage("digits", samples=100, every_n_steps=3)])
    assert trainer.log_dir is not None
    with open(Path(trainer.log_dir) / "metrics.csv") as file:
        found = {
            int(row["step"]): row["val/modes_found"] for row in csv.DictReader(file) if row["val/modes_found"]
        }
    assert sorted(found) == [2, 5]  # Lightning's names for the third and sixth step
    assert 0 <= float(trainer.callback_metrics["val/modes_found"]) <= 10
    alone, _ = train(tmp_path / "b", [])
    pairs = zip(watched.state_dict().values(), alone.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_gaussian_modes_by_hand() -> None:
    centres = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    points = torch.tensor([[0.0, 0.29], [0.1, 0.0], [1.0, -0.31], [0.5, 0.5], [0.0, 1.2]])
    assert gaussian_modes(points, centres, 0.1) == (2, pytest.approx(0.6))
    assert gaussian_modes(torch.full((4, 2), 9.0), centres, 0.1) == (0, 0.0)


def test_a_mode_is_hit_from_a_quarter_of_its_fair_share_on() -> None:
    centres = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    for at_second, hit in ((12, 1), (13, 2)):  # of 100 points: the fair share is 50
        points = torch.cat([centres[:1].repeat(100 - at_second, 1), centres[1:].repeat(at_second, 1)])
        assert gaussian_modes(points, centres, 0.1) == (hit, 1.0)


def test_points_are_compared_with_noise_and_real(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three of 25 modes are made; real points score what a Gaussian in the plane must: 1 - exp(-9/2)."""
    made = torch.from_numpy(toys.centres("grid")[[0, 7, 24]].astype(np.float32))
    trainer_with(tmp_path, GaussianModes()).test(Fixed(made), Points("grid"), verbose=False)
    rows = {(r["metric"], r["subject"]): r["value"] for r in json.loads((tmp_path / "eval.json").read_text())}
    assert rows["modes-hit", "generated"] == 3 and rows["within-3-sigma", "generated"] == 1.0
    assert rows["modes-hit", "real"] == 25
    assert rows["within-3-sigma", "real"] == pytest.approx(1 - math.exp(-4.5), abs=0.01)
    assert rows["modes-hit", "noise"] == 0
    assert rows["within-3-sigma", "noise"] == pytest.approx(25 * math.pi * 0.06**2 / 4, abs=0.02)
    assert "hits 3 of the 25 Gaussians; 100 % of its points" in capsys.readouterr().out


def test_gaussian_modes_refuses_what_has_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="world ring or grid"):
        trainer_with(tmp_path, GaussianModes()).test(Fixed(torch.zeros(1, 2)), Points("sine"), verbose=False)
