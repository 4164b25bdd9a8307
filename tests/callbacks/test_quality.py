"""ImageQuality: a trend that training does not notice, and in the end rows with their protocol."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from games import Data, Game, weights
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from zoo.callbacks.quality import ImageQuality
from zoo.checkpoints import load
from zoo.data.images.module import Digits
from zoo.data.pairs.world import ScenePairs
from zoo.errors import UserError
from zoo.features.choose import feature_network
from zoo.features.network import FeatureNetwork, Features, as_rgb
from zoo.metrics.scoring.protocols import protocol
from zoo.metrics.scoring.scores import measure
from zoo.metrics.scoring.subjects import NoisePictures, SetPictures, Translations, draw_indices
from zoo.models.gan import GAN
from zoo.models.pix2pix import Pix2Pix

Make = Callable[..., pl.Trainer]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


def gan() -> GAN:
    torch.manual_seed(0)
    small = {"latent_dim": 8, "hidden": 16, "maxout_units": 8, "maxout_pieces": 2}
    return GAN(shape=(1, 8, 8), generator_scale=0.5, discriminator_scale=0.3, lr=0.02, **small)


def pix2pix() -> tuple[Pix2Pix, ScenePairs]:
    """Batch statistics and dropout in use, as the paper has them."""
    torch.manual_seed(0)
    module = Pix2Pix(levels=4, width=4, discriminator_width=4, receptive_field=16, in_channels=1)
    return module, ScenePairs(size=32, source="edges", train_length=8, eval_length=5, batch_size=2)


class Means(FeatureNetwork):
    """Twelve features of any picture, the colours of its quarters; stands for a network that is not there."""

    def __init__(self) -> None:
        super().__init__("means", "0" * 64, 12, "none")
        self.weight = torch.nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, images: torch.Tensor) -> Features:
        pixels = as_rgb(images, self.name)
        return Features(torch.nn.functional.adaptive_avg_pool2d(pixels, 2).flatten(1) * self.weight)


@pytest.fixture
def means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.callbacks.quality.feature_network", lambda *arguments: Means())


class State(Callback):
    """Modes and random state after each step's callbacks, to compare two runs by."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *rest: Any) -> None:
        self.seen.append([part.training for part in pl_module.modules()])

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *rest: Any) -> None:
        self.seen.append(torch.random.get_rng_state().tolist())


def logged(trainer: pl.Trainer) -> dict[int, dict[str, float]]:
    assert trainer.log_dir is not None
    with open(Path(trainer.log_dir) / "metrics.csv") as file:
        rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    scores = [(int(row["step"]), {k: v for k, v in row.items() if k.startswith("val/")}) for row in rows]
    return {step: found for step, found in scores if found}


def test_training_logs_a_trend_and_does_not_notice(trainer: Make, tmp_path: Path) -> None:
    runs = []
    for name in ("watched", "alone"):
        quality = ImageQuality(["fd-digits", "kid-digits"], every_n_steps=3, trend_samples=60)
        state = State()
        callbacks = [quality, state] if name == "watched" else [state]
        module = gan()
        t = trainer(max_steps=8, callbacks=callbacks, logger=CSVLogger(tmp_path / name), log_every_n_steps=4)
        t.fit(module, Digits(batch_size=64, seed=0))
        runs.append((weights(module), state.seen, t))
    (watched, seen, t), (alone, seen_alone, _) = runs
    assert torch.equal(watched, alone) and seen == seen_alone
    found = logged(t)
    assert sorted(found) == [2, 5]  # Lightning's names for the third and sixth step
    assert all(row.keys() == {"val/fd-digits@60", "val/kid-digits@60"} for row in found.values())
    assert found[2] != found[5]


def test_the_trend_is_the_score_of_as_many_pictures_of_the_validation_split(
    trainer: Make, tmp_path: Path
) -> None:
    module = gan()
    quality = ImageQuality(["fd-digits"], every_n_steps=4, trend_samples=500, seed=3)  # there are 257
    t = trainer(max_steps=4, callbacks=[quality], logger=CSVLogger(tmp_path))
    data = Digits(batch_size=64, seed=0)
    t.fit(module, data)
    real = SetPictures(data.split("val"), "image", {})
    networks = {("digits", None): feature_network("digits")}
    (row,) = measure([protocol("fd-digits")], networks, real, NoisePictures(module.sample, {}, 257, 3))
    assert logged(t) == {3: {"val/fd-digits@257": pytest.approx(row.value, rel=1e-6)}}


def test_a_model_checkpoint_keeps_the_best(trainer: Make, tmp_path: Path) -> None:
    class Scripted(ImageQuality):
        """A known course: the best is the second."""

        values = iter([30.0, 10.0, 20.0])

        def _measure(self, *arguments: Any) -> Any:
            import dataclasses

            return [dataclasses.replace(r, value=next(self.values)) for r in super()._measure(*arguments)]

    saver = ModelCheckpoint(
        tmp_path / "best", "{step}", monitor="val/fd-digits@50", mode="min", every_n_train_steps=2
    )
    t = trainer(
        max_steps=6,
        enable_checkpointing=True,
        callbacks=[Scripted(["fd-digits"], every_n_steps=2, trend_samples=50), saver],
    )
    t.fit(gan(), Digits(batch_size=64, seed=0))
    assert [path.name for path in (tmp_path / "best").iterdir()] == ["step=4.ckpt"]
    assert saver.best_model_score == 10.0


def test_a_test_records_rows_with_their_protocol(
    trainer: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, data = load("gan-digits"), Digits(batch_size=257)
    module = load_whole(model.module)
    t = trainer(callbacks=[ImageQuality(["fd-digits", "is-digits"], samples=100, seed=2)])
    t.test(module, data, verbose=False)
    fd, inception = json.loads((tmp_path / "eval.json").read_text())
    real = SetPictures(data.split("test"), "image", {}, 100, 2)
    networks = {("digits", None): feature_network("digits")}
    made = NoisePictures(model.sample, {}, 100, 2)
    wanted = measure([protocol("fd-digits"), protocol("is-digits")], networks, real, made)
    assert [fd["value"], inception["value"]] == pytest.approx([row.value for row in wanted], rel=1e-9)
    assert inception["error"] == pytest.approx(wanted[1].error)
    assert fd["metric"] == "fd-digits" and fd["subject"] == "generated"
    stated = fd["protocol"]
    assert stated["protocol"] == "fd-digits/1" and stated["sha256"] == networks["digits", None].sha256
    facts = data.description()
    assert stated["real"] == {
        "pictures": facts["name"],
        "split": "test",
        "fingerprint": facts["fingerprint"],
        "preprocessing": facts["preprocessing"],
        "count": 100,
        "drawn_from": 257,
        "drawn_by_seed": 2,
    }
    assert stated["made"]["count"] == 100 and stated["made"]["seed"] == 2 and stated["made"]["ema"] is False
    assert "fd-digits" in capsys.readouterr().out
    t.test(module, data, verbose=False)
    assert len(json.loads((tmp_path / "eval.json").read_text())) == 2, "replaced, not doubled"


def load_whole(module: Any) -> GAN:
    """The bundled generator in a game that has its discriminator too."""
    whole = GAN(**module.hparams)
    whole.generator.load_state_dict(module.generator.state_dict())
    return whole


def test_the_features_are_float32_in_mixed_precision(trainer: Make, tmp_path: Path) -> None:
    class Precise(Means):
        def forward(self, images: torch.Tensor) -> Features:
            assert (torch.ones(1, 1) @ torch.ones(1, 1)).dtype == torch.float32
            return super().forward(images)

    quality = ImageQuality(["fd-means"], samples=8)
    t = trainer(callbacks=[quality], precision="bf16-mixed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zoo.callbacks.quality.feature_network", lambda *arguments: Precise())
        t.test(gan(), Digits(batch_size=257), verbose=False)
    assert (tmp_path / "eval.json").is_file()


def test_translations_of_pairs(trainer: Make, tmp_path: Path, means: None) -> None:
    module, data = pix2pix()
    quality = ImageQuality(["fd-means"], every_n_steps=2, trend_samples=4, seed=1)
    t = trainer(max_steps=4, callbacks=[quality], logger=CSVLogger(tmp_path), limit_val_batches=0)
    t.fit(module, data)
    assert [(step, *row) for step, row in logged(t).items()] == [(1, "val/fd-means@4"), (3, "val/fd-means@4")]
    held_out, networks = data.split("val"), {("means", None): Means()}
    real = SetPictures(held_out, "target", {}, 4, 1)
    with torch.no_grad():
        made = Translations(module.eval().generate, held_out, {}, 4, 1)
        (wanted,) = measure([protocol("fd-means")], networks, real, made)
    assert logged(t)[3]["val/fd-means@4"] == pytest.approx(wanted.value, rel=1e-6)
    alone, data = pix2pix()
    trainer(max_steps=4, limit_val_batches=0).fit(alone, data)
    assert torch.equal(weights(module), weights(alone))

    t.test(module, data, verbose=False)
    (row,) = json.loads((Path(str(t.log_dir)) / "eval.json").read_text())
    assert row["protocol"]["real"]["split"] == row["protocol"]["made"]["split"] == "test"
    assert row["protocol"]["made"]["count"] == 5
    samples = data.split("test")
    with torch.no_grad():
        made = Translations(module.eval().generate, samples, {}, None, 1)
        (wanted,) = measure([protocol("fd-means")], networks, SetPictures(samples, "target", {}), made)
    assert row["value"] == pytest.approx(wanted.value, rel=1e-9)
    assert draw_indices(5, 5, 1) == [0, 1, 2, 3, 4]


def test_what_is_missing_is_told_before_training(trainer: Make) -> None:
    class Untouched(Callback):
        def on_train_batch_start(self, *arguments: Any) -> None:
            pytest.fail("trained")

    def fit(protocols: list[str], **options: Any) -> None:
        t = trainer(max_steps=2, callbacks=[ImageQuality(protocols, **options), Untouched()])
        t.fit(gan(), Digits(batch_size=64))

    with pytest.raises(UserError, match=r"There is no feature network 'mnits'.*perhaps mnist"):
        fit(["fd-mnits"])
    with pytest.raises(UserError, match=r"nowhere\.pth"):
        fit(["fid-tf"], weights="nowhere.pth")
    with pytest.raises(UserError, match="There is no protocol fid-mnist"):
        fit(["fid-mnist"])
    with pytest.raises(UserError, match="protocols is empty; name at least one"):
        fit([])
    with pytest.raises(ValueError, match="every_n_steps must be at least 1, got 0"):
        fit(["fd-digits"], every_n_steps=0)


def test_data_that_hold_no_pictures_are_refused_before_training(trainer: Make) -> None:
    t = trainer(max_steps=2, callbacks=[ImageQuality(["fd-digits"], every_n_steps=1)])
    with pytest.raises(UserError, match="ImageQuality needs images and Data holds points"):
        t.fit(Game(), Data(val=4))
    with pytest.raises(UserError, match="ImageQuality needs a data module of the zoo"):
        loader = torch.utils.data.DataLoader([{"point": torch.zeros(2)}] * 4)
        trainer(max_steps=2, callbacks=[ImageQuality(["fd-digits"], every_n_steps=1)]).fit(Game(), loader)


def test_data_without_a_test_split_are_refused(trainer: Make) -> None:
    class Untested(Digits):
        def dataset(self, split: Any) -> Any:
            return None if split == "test" else super().dataset(split)

        def test_dataloader(self) -> Any:
            return self._eval_loader("val")

    with pytest.raises(UserError, match="ImageQuality needs a test split and this data has none"):
        trainer(callbacks=[ImageQuality(["fd-digits"])]).test(gan(), Untested(), verbose=False)
