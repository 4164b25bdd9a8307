"""The sliced Wasserstein distance in a test and in training, beside that of two halves of real pictures."""

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
from zoo.errors import UserError
from zoo.metrics.sliced_wasserstein import SlicedWasserstein
from zoo.models.gan import GAN


def blobs(count: int, seed: int) -> Tensor:
    """Pictures of 32 pixels with coarse and fine structure, uint8."""
    random = torch.Generator().manual_seed(seed)
    total = torch.zeros(count, 3, 32, 32)
    for grain in (1, 2, 4, 8):
        noise = torch.randn(count, 3, 32 // grain, 32 // grain, generator=random)
        total += grain**0.5 * F.interpolate(noise, (32, 32), mode="bilinear")
    return (128 + 12 * total).clamp(0, 255).byte()


class Blobs(DataModule):
    """Such pictures in all splits."""

    contract = "images"
    name = "blobs"

    def __init__(self, count: int = 40) -> None:
        super().__init__(batch_size=4)
        self.count = count

    def dataset(self, split: Split) -> MemorySet:
        return MemorySet(blobs(self.count, 0), torch.zeros(self.count).long())


class Fixed(pl.LightningModule):
    """Samples are given pictures (N, 3, H, W) in uint8, from a place that the seed says."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.images = images

    def sample(self, n: int, seed: int = 0) -> Tensor:
        return self.images[(torch.arange(n) + seed) % len(self.images)].float() / 127.5 - 1

    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        pass


def test_halves_are_a_floor_and_blur_is_above_it(
    trainer: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def score(images: Tensor) -> dict[Any, Any]:
        trainer(callbacks=[SlicedWasserstein(directions=64)]).test(Fixed(images), Blobs(), verbose=False)
        return {(r["metric"], r["subject"]): r for r in json.loads((tmp_path / "eval.json").read_text())}

    good = score(made := blobs(60, 1))
    values = {key: row["value"] for key, row in good.items()}
    assert list(values) == [(m, s) for s in ("generated", "real") for m in ("swd-32", "swd-16", "swd")]
    for subject in ("generated", "real"):
        mean = (values["swd-32", subject] + values["swd-16", subject]) / 2
        assert values["swd", subject] == pytest.approx(mean)
    assert values["swd", "generated"] < 1.5 * values["swd", "real"]
    protocol = good["swd", "generated"]["protocol"]
    assert protocol["real"]["count"] == protocol["made"]["count"] == 20 and protocol["directions"] == 64
    assert good["swd", "real"]["protocol"]["made"]["count"] == 20
    assert good["swd", "generated"]["differs"] == "20 pictures instead of 16,384"
    assert score(made) == good  # and so is the seed's

    blurred = score(F.avg_pool2d(F.pad(made.float(), (1,) * 4, mode="reflect"), 3, 1).byte())
    assert blurred["swd-32", "generated"]["value"] > 1.5 * values["swd-32", "generated"]
    assert blurred["swd-16", "generated"]["value"] < 1.3 * values["swd-16", "generated"]
    assert blurred["swd", "real"] == good["swd", "real"]
    assert f"those of two halves of the real pictures {values['swd', 'real']:.3g}" in capsys.readouterr().out


def test_the_real_pictures_themselves_are_at_0_of_their_half(trainer: Any, tmp_path: Path) -> None:
    """With samples that are the first half in its order, patch by patch."""
    callback = SlicedWasserstein(directions=16)
    data = Blobs()
    run = trainer(callbacks=[callback])
    run.test(Fixed(blobs(40, 1)), data, verbose=False)
    _, first = callback._real(run, 1_000)
    assert int(first.sum()) == 20 and 0 < int(first[:20].sum()) < 20
    run.test(Fixed(blobs(40, 0)[first]), data, verbose=False)
    rows = [r for r in json.loads((tmp_path / "eval.json").read_text()) if r["subject"] == "generated"]
    assert [row["value"] for row in rows if row["metric"] == "swd"][-1] == 0


def test_small_pictures_have_one_level(trainer: Any, tmp_path: Path) -> None:
    noise = torch.randint(256, (30, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    callback = SlicedWasserstein(samples=30, directions=8)
    trainer(callbacks=[callback]).test(Fixed(noise), Digits(batch_size=64), verbose=False)
    rows = json.loads((tmp_path / "eval.json").read_text())
    found = {(row["metric"], row["subject"]): row["value"] for row in rows}
    assert {metric for metric, _ in found} == {"swd-8", "swd"}
    assert found["swd-8", "generated"] == found["swd", "generated"] > 2 * found["swd", "real"]


@pytest.mark.parametrize(
    ("made", "count", "words"),
    [
        (
            blobs(4, 1)[..., :16, :16],
            40,
            r"Samples have levels of \[16\] pixels and real images of \[32, 16\]",
        ),
        (blobs(4, 1)[:, :1], 40, r"\(256, 3, 49\) and \(256, 1, 49\)"),
        (blobs(4, 1), 3, "needs at least four real images"),
    ],
)
def test_what_cannot_be_compared_is_refused(made: Tensor, count: int, words: str, trainer: Any) -> None:
    with pytest.raises(UserError, match=words):
        trainer(callbacks=[SlicedWasserstein(samples=2)]).test(Fixed(made), Blobs(count), verbose=False)


def train(folder: Path, callbacks: list[pl.Callback]) -> tuple[GAN, pl.Trainer]:
    torch.manual_seed(0)
    module = GAN(shape=(1, 8, 8), latent_dim=8, hidden=16, maxout_units=8, maxout_pieces=2)
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=CSVLogger(folder),
        max_steps=4,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=callbacks,
    )
    trainer.fit(module, Digits(batch_size=64, seed=0))
    return module, trainer


def test_a_trend_is_logged_and_changes_nothing(tmp_path: Path) -> None:
    watch = SlicedWasserstein(directions=8, every_n_steps=2, trend_samples=10)
    watched, trainer = train(tmp_path / "a", [watch])
    assert trainer.log_dir is not None
    with open(Path(trainer.log_dir) / "metrics.csv") as file:
        found = {
            int(row["step"]): float(row["val/swd@10"]) for row in csv.DictReader(file) if row["val/swd@10"]
        }
    assert sorted(found) == [1, 3] and all(value > 0 for value in found.values())
    assert "val/swd-8@10" in trainer.callback_metrics
    alone, _ = train(tmp_path / "b", [])
    pairs = zip(watched.state_dict().values(), alone.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
