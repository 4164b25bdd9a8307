"""The evaluator of artefacts: every test image once, two draws per input, and rows that say what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from games import Data, Game

from zoo.data.base import collate
from zoo.data.images import Digits
from zoo.data.pairs import ScenePairs
from zoo.errors import UserError
from zoo.metrics.artefacts import Artefacts
from zoo.metrics.formulas.artefacts import Traces, compare
from zoo.metrics.formulas.diversity import diversity, rms
from zoo.metrics.formulas.pixels import to_bytes
from zoo.models.gan import GAN
from zoo.models.pix2pix import Pix2Pix

Rows = dict[tuple[str, str], dict[str, Any]]


def scored(model: Any, data: Any, folder: Path) -> Rows:
    trainer = pl.Trainer(
        accelerator="cpu", callbacks=[Artefacts()], default_root_dir=folder,
        logger=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.test(model, data, verbose=False)
    found = [row for path in folder.glob("**/eval.json") for row in json.loads(path.read_text())]
    return {(row["metric"], row["subject"]): row for row in found}


def translator(inference: Any) -> Pix2Pix:
    torch.manual_seed(0)
    return Pix2Pix(levels=3, width=4, in_channels=16, inference=inference).eval()


def test_translations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data = translator("running"), ScenePairs(size=32, train_length=1, eval_length=5, eval_batch_size=2)
    rows = scored(model, data, tmp_path)
    samples = data.split("test")
    assert samples is not None
    batch = collate([samples[i] for i in range(5)])
    with torch.no_grad():
        both = [to_bytes(images, "[-1,1]") for images in (model.generate(batch), batch["target"])]
    made, real = Traces(), Traces()
    made.update(both[0])
    real.update(both[1])
    for one in compare(made, real):
        row = rows[one.score, "generated"]
        assert row["value"] == pytest.approx(one.value, rel=1e-4), one.score
        assert row["protocol"].items() >= {"test_pictures": 5, "size": "3x32x32", "split": "test"}.items()
        assert row["protocol"]["use"]["seed"] == "number of the batch"
        assert rows[one.score, "real"]["value"] == pytest.approx(one.real, rel=1e-4)
        assert "use" not in rows[one.score, "real"]["protocol"] and rows[one.score, "real"]["protocol"]["of"]
    assert rows["diversity", "generated"]["value"] == 0  # the translation of an input is always the same
    assert rows["diversity", "generated"]["protocol"].items() >= {"conditions": 5, "draws": 2}.items()
    apart = rms(both[1][1:], both[1][:-1]).mean().item()
    assert rows["diversity", "real"]["value"] == pytest.approx(apart)
    assert "A fine grid lies over the images (" in capsys.readouterr().out  # it is not trained


def test_two_draws_of_one_input(tmp_path: Path) -> None:
    """Dropout is on in use: the diversity is that of two translations of each input, whatever the seed."""
    model, data = translator("paper"), ScenePairs(size=32, train_length=1, eval_length=40, eval_batch_size=20)
    row = scored(model, data, tmp_path)["diversity", "generated"]
    samples = data.split("test")
    assert samples is not None
    batch = collate([samples[i] for i in range(40)])
    with model.in_use(5):
        draws = [to_bytes(model.generate(batch), "[-1,1]") for _ in range(6)]
    expected = diversity(torch.stack(draws, 1), rms)
    assert row["protocol"]["conditions"] == 40  # whole batches, until there are 32
    assert row["value"] == pytest.approx(expected.mean, rel=0.1) and row["value"] > 0.1


def test_models_of_noise_and_small_images(tmp_path: Path) -> None:
    model = GAN(shape=(1, 8, 8), hidden=16, maxout_units=8, latent_dim=4)
    rows = scored(model, Digits(eval_batch_size=64), tmp_path)
    assert {metric for metric, _ in rows} == {"static-patch", "colour-grey", "diversity"}
    for row in rows.values():
        assert row["protocol"]["grids"] == "no grid scores under 32 px"
    assert rows["diversity", "generated"]["protocol"]["of"] == "each image and the next"


def test_what_cannot_be_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data = translator("running"), ScenePairs(size=32, train_length=1, eval_length=2, eval_batch_size=2)
    whole = model.generate
    model.generate = lambda batch: whole(batch)[..., :16]  # type: ignore[method-assign]
    assert scored(model, data, tmp_path) == {}
    assert "not scored: outputs of 2x3x32x16 and real images of 2x3x32x32." in capsys.readouterr().out
    with pytest.raises(UserError, match="Artefacts needs images and Data holds points; remove it"):
        scored(Game(), Data(val=4), tmp_path)
