"""MS-SSIM of pairs of samples: 1 for a collapsed generator, that of real pairs for a good one."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor

from zoo.data.base import DataModule, Split
from zoo.data.images.module import Digits, MemorySet
from zoo.data.points import Points
from zoo.errors import UserError
from zoo.metrics.formulas.similarity import ms_ssim
from zoo.metrics.sample_similarity import SampleSimilarity
from zoo.models.gan import GAN


def blobs(count: int, seed: int, side: int = 48) -> Tensor:
    """Soft pictures (count, 3, side, side) in uint8."""
    small = torch.rand(count, 3, side // 8, side // 8, generator=torch.Generator().manual_seed(seed))
    return (255 * F.interpolate(small, (side, side), mode="bilinear")).byte()


class Blobs(DataModule):
    """Twelve such pictures in all splits."""

    contract = "images"

    def __init__(self, side: int = 48) -> None:
        super().__init__(batch_size=4)
        self.side = side

    def dataset(self, split: Split) -> MemorySet:
        return MemorySet(blobs(12, 0, self.side), torch.zeros(12).long())


class Fixed(pl.LightningModule):
    """Samples are given pictures, from a place that the seed says."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.images = images

    def sample(self, n: int, seed: int = 0) -> Tensor:
        return self.images[(torch.arange(n) + seed) % len(self.images)].float() / 127.5 - 1

    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        pass


def scored(trainer: Any, folder: Path, images: Tensor, pairs: int = 200) -> dict[str, dict[str, Any]]:
    trainer(callbacks=[SampleSimilarity(pairs)]).test(Fixed(images), Blobs(), verbose=False)
    rows = json.loads((folder / "eval.json").read_text())
    return {row["subject"]: row for row in rows if row["metric"] == "pair-ms-ssim"}


def test_it_is_the_mean_over_independent_samples_and_over_real_pairs(trainer: Any, tmp_path: Path) -> None:
    images = blobs(40, 1)
    rows = scored(trainer, tmp_path, images, pairs=20)
    pairs = ms_ssim(images[::2], images[1::2], luma=False, scales=3)
    assert rows["generated"]["value"] == pytest.approx(float(pairs.mean()))
    assert rows["generated"]["error"] == pytest.approx(float(pairs.std() / 20**0.5))
    assert rows["generated"]["protocol"]["pairs"] == 20 and rows["generated"]["protocol"]["scales"] == 3
    assert rows["generated"]["differs"] == "3 scales instead of 5"
    assert rows["real"]["protocol"]["pairs"] == 20 and rows["real"]["protocol"]["pictures"] == 12

    rows = scored(trainer, tmp_path, images)  # more pairs than 12 pictures have
    a, b = torch.combinations(torch.arange(12)).T
    wanted = ms_ssim(blobs(12, 0)[a], blobs(12, 0)[b], luma=False, scales=3).mean()
    assert rows["real"]["value"] == pytest.approx(float(wanted)) and rows["real"]["protocol"]["pairs"] == 66


def test_collapse_is_above_and_noise_below_real_pairs(
    trainer: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collapsed = scored(trainer, tmp_path, blobs(1, 3), pairs=70)
    real = collapsed["real"]["value"]
    assert collapsed["generated"]["value"] == pytest.approx(1) and 0.05 < real < 0.8
    assert f"two samples is 1.000, that of two real images {real:.3f}" in capsys.readouterr().out
    good = scored(trainer, tmp_path, blobs(140, 4), pairs=70)["generated"]
    assert abs(good["value"] - real) < 5 * good["error"] < 0.25
    random = torch.Generator().manual_seed(0)
    noise = torch.randint(256, (40, 3, 48, 48), dtype=torch.uint8, generator=random)
    assert scored(trainer, tmp_path, noise, pairs=20)["generated"]["value"] < real / 2


def test_small_pictures_and_points_are_refused(trainer: Any) -> None:
    for data in (Digits(batch_size=64), Points("ring")):
        with pytest.raises(UserError, match="images of at least 11x11 pixels"):
            trainer(callbacks=[SampleSimilarity()]).test(Fixed(blobs(1, 0)), data, verbose=False)
    for data, kept in ((Digits(), None), (Blobs(16), {"pairs": 9})):
        train = data.split("train")
        assert train is not None
        batch = {"image": train[0]["image"][None]}
        assert SampleSimilarity.suited({"pairs": 9}, data, batch, {"train": 12, "test": 12}) == kept
    assert SampleSimilarity.suited({}, Blobs(), {"image": torch.zeros(1, 3, 48, 48)}, {"test": 9}) is None


def train(folder: Path, callbacks: list[pl.Callback]) -> tuple[GAN, pl.Trainer]:
    torch.manual_seed(0)
    module = GAN(shape=(3, 16, 16), latent_dim=8, hidden=16, maxout_units=8, maxout_pieces=2)
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=CSVLogger(folder),
        max_steps=4,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=callbacks,
    )
    trainer.fit(module, Blobs(16))
    return module, trainer


def test_a_trend_is_logged_and_changes_nothing(tmp_path: Path) -> None:
    watched, trainer = train(tmp_path / "a", [SampleSimilarity(every_n_steps=2, trend_pairs=5)])
    assert trainer.log_dir is not None
    key = "val/pair-ms-ssim@5"
    with open(Path(trainer.log_dir) / "metrics.csv") as file:
        found = {int(row["step"]): float(row[key]) for row in csv.DictReader(file) if row[key]}
    assert sorted(found) == [1, 3] and all(0 <= value <= 1 for value in found.values())
    alone, _ = train(tmp_path / "b", [])
    pairs = zip(watched.state_dict().values(), alone.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
