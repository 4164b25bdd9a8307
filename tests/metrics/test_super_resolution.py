"""The evaluation of super-resolution: the bicubic line of the papers, and each number by another road."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from zoo.checkpoints import describe, load, write
from zoo.data.folders import find_root
from zoo.data.pairs.world import ScenePairs
from zoo.data.superres.files import enlarge
from zoo.data.superres.module import SuperResolutionFolder
from zoo.data.superres.world import SceneTwins
from zoo.errors import UserError
from zoo.files.pictures import to_array
from zoo.metrics import super_resolution
from zoo.metrics.super_resolution import SuperResolutionScore, scores
from zoo.models.srgan import SRGAN

TINY: dict[str, Any] = {"blocks": 1, "width": 4, "discriminator_width": 2, "size": 32, "content": "mse"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def twins() -> SceneTwins:
    return SceneTwins(size=48, train_length=4, eval_length=3, batch_size=2)


def evaluated(callback: SuperResolutionScore, model: SRGAN, data: Any = None) -> dict[tuple[str, str], Any]:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(
        accelerator="cpu", callbacks=[callback], default_root_dir="run", limit_test_batches=1, **quiet
    )
    trainer.test(model, data or twins(), verbose=False)
    (path,) = Path("run").glob("**/eval.json")
    return {(row["metric"], row["subject"]): row for row in json.loads(path.read_text())}


class Judge(torch.nn.Module):
    """A stand-in for a perceptual network: the mean absolute difference."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.sha256, self.weight = name, "none", torch.nn.Parameter(torch.zeros(1))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs().mean((1, 2, 3))


# ------------------------------------------------------------------------------------------------ the numbers


def luma(picture: Tensor) -> np.ndarray[Any, Any]:
    values = to_array(picture).astype(np.float64)
    y = 16 + (65.481 * values[..., 0] + 128.553 * values[..., 1] + 24.966 * values[..., 2]) / 255
    cropped: np.ndarray[Any, Any] = y[4:-4, 4:-4]
    return cropped


def test_psnr_on_luma_by_hand() -> None:
    samples = twins().dataset("test")
    found = scores(samples, {"bicubic": lambda low: enlarge(low, 4)}, 4, None)["bicubic"]
    for index, value in enumerate(found["psnr-y"]):
        pair = samples[index]
        a, b = (luma(x) for x in (enlarge(pair["input"][None], 4)[0], pair["target"]))
        assert value == pytest.approx(10 * np.log10(255**2 / ((a - b) ** 2).mean()), abs=1e-9)
    assert len(found["ssim-y"]) == 3 and max(found["ssim-y"]) < 1


def test_enlarge_is_pils_bicubic_inside() -> None:
    """PIL's kernel is Matlab's (a = -0.5); at the edges it is cut short instead of repeating pixels."""
    low = torch.rand(1, 1, 12, 15, generator=torch.Generator().manual_seed(0)) - 0.5
    for scale in (2, 3, 4):
        wanted = Image.fromarray(low[0, 0].numpy()).resize((15 * scale, 12 * scale), Image.Resampling.BICUBIC)
        inner = slice(2 * scale, -2 * scale)
        made = enlarge(low, scale)[0, 0].numpy()
        assert made.shape == (12 * scale, 15 * scale)
        np.testing.assert_allclose(made[inner, inner], np.asarray(wanted)[inner, inner], atol=1e-6)
    flat = torch.full((1, 3, 5, 5), 0.3)
    torch.testing.assert_close(enlarge(flat, 4), torch.full((1, 3, 20, 20), 0.3))


@pytest.mark.parametrize(("name", "papers"), [("Set5", 28.43), ("Set14", 26.00)])
def test_the_bicubic_line_of_the_papers(name: str, papers: float) -> None:
    if not find_root("data/sr").is_dir():
        pytest.skip("needs the benchmarks: set ZOO_DATA to the folder that holds sr/")
    samples = SuperResolutionFolder("data/sr", benchmarks="data/sr", benchmark=name).dataset("test")
    assert samples is not None
    found = scores(samples, {"bicubic": lambda low: enlarge(low, 4)}, 4, None)["bicubic"]
    assert sum(found["psnr-y"]) / len(samples) == pytest.approx(papers, abs=0.02)


def grey_psnr(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    """On the grey levels themselves, 0 to 255, with four pixels cropped."""
    error = (a.astype(np.float64) - b.astype(np.float64))[4:-4, 4:-4]
    return float(10 * np.log10(255**2 / np.square(error).mean()))


def enlarged(picture: Image.Image, path: Any) -> Image.Image:
    return picture.resize((4 * picture.width, 4 * picture.height), path)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_grey_file_is_scored_in_grey(mode: str) -> None:
    """By PIL alone. An RGB file of equal channels is RGB: its Y has a smaller range, 1.32 dB more."""
    picture = np.random.default_rng(1).integers(0, 256, (40, 48), np.uint8)
    for name in ("HR", "LR_bicubic/X4"):
        Path("sr/Set5", name).mkdir(parents=True)
    high = Image.fromarray(picture)
    low = high.resize((12, 10), Image.Resampling.BICUBIC)
    high.convert(mode).save("sr/Set5/HR/a.png")
    low.convert(mode).save("sr/Set5/LR_bicubic/X4/a.png")
    samples = SuperResolutionFolder("sr", benchmarks="sr", benchmark="Set5").dataset("test")
    assert samples is not None

    def nearest(picture: Tensor) -> Tensor:
        """Colours, if it makes them of grey: red is brighter, blue darker."""
        large = picture.repeat_interleave(4, 2).repeat_interleave(4, 3)
        return (large + torch.tensor([0.2, 0.0, -0.2]).view(3, 1, 1)).clamp(-1, 1)

    found = scores(samples, {"nearest": nearest}, 4, None)["nearest"]["psnr-y"]
    levels = np.asarray(enlarged(low, Image.Resampling.NEAREST)).astype(np.float32) / 127.5 - 1
    channels = [np.clip(levels + shift, -1, 1) for shift in (0.2, 0.0, -0.2)]
    rgb = Image.fromarray(np.stack([np.rint((c + 1) * 127.5) for c in channels], 2).astype(np.uint8))
    wanted = grey_psnr(np.asarray(rgb.convert("L")), picture)
    if mode == "L":
        assert found == [pytest.approx(wanted, abs=0.01)]  # PIL's weights are of 16 bits
    else:
        assert found == [pytest.approx(wanted + 20 * np.log10(255 / 219), abs=0.02)]


@pytest.mark.parametrize(
    ("weights", "wanted"), [("srresnet-bsds-small", 23.934), ("srgan-bsds-small", 22.080)]
)
def test_set14s_grey_picture_by_the_shipped_weights(zoo_data: Path, weights: str, wanted: float) -> None:
    folder = zoo_data / "sr" / "Set14" / "image_SRF_4"
    low, high = (np.asarray(Image.open(folder / f"img_003_SRF_4_{kind}.png")) for kind in ("LR", "HR"))
    assert low.ndim == high.ndim == 2
    given = torch.from_numpy(low / 127.5 - 1).float().expand(1, 3, -1, -1)
    rgb = Image.fromarray(to_array(load(weights).sample(given)[0]))
    assert grey_psnr(np.asarray(rgb.convert("L")), high) == pytest.approx(wanted, abs=0.003)


# ----------------------------------------------------------------------------------------------- the callback


def test_rows_of_a_test(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(super_resolution, "PerceptualDistance", Judge)
    torch.manual_seed(0)
    other = SRGAN(**TINY)
    write(other, describe(other, dict(other.hparams), {}), Path("other"))
    model = SRGAN(**TINY)
    callback = SuperResolutionScore(distance="st-lpips-alex", compare_with="other", method="SRGAN")
    rows = evaluated(callback, model)
    samples = twins().dataset("test")
    makers = {"generated": model.sample, "compared": other.sample, "bicubic": lambda low: enlarge(low, 4)}
    wanted = scores(samples, makers, 4, Judge("st-lpips-alex"))  # type: ignore[arg-type]
    for subject in makers:
        for kind in ("psnr-y", "ssim-y", "st-lpips-alex"):
            values = wanted[subject][kind]
            assert rows[f"{kind} test", subject]["value"] == pytest.approx(sum(values) / 3)
    for subject in ("compared", "bicubic"):
        pairs = zip(wanted["generated"]["st-lpips-alex"], wanted[subject]["st-lpips-alex"], strict=True)
        nearer = rows["nearer by st-lpips-alex test", f"than {subject}"]["value"]
        assert nearer == sum(a < b for a, b in pairs)
    assert rows["psnr-y test", "generated"]["protocol"]["border"] == 4
    assert rows["psnr-y test", "generated"]["protocol"]["pictures"] == 3
    assert "psnr-y test" in capsys.readouterr().out


def folder_of_benchmarks(names: tuple[str, ...]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
    for name in names:
        Path("sr", name, "HR").mkdir(parents=True)
        Path("sr", name, "LR_bicubic", "X4").mkdir(parents=True)
        image = Image.fromarray(picture)
        image.save(f"sr/{name}/HR/a.png")
        image.resize((12, 10), Image.Resampling.BICUBIC).save(f"sr/{name}/LR_bicubic/X4/a.png")


def test_benchmarks_stand_beside_the_papers_numbers() -> None:
    folder_of_benchmarks(("Set5", "Set14"))
    rows = evaluated(SuperResolutionScore("sr", ("Set5", "Set14"), "SRResNet"), SRGAN(**TINY))
    assert rows["psnr-y Set5", "generated"]["paper"] == "32.05"
    assert rows["ssim-y Set14", "generated"]["paper"] == ".8184"
    assert rows["psnr-y Set14", "bicubic"]["paper"] == "25.99"
    assert rows["ssim-y Set5", "bicubic"]["differs"] and not rows["psnr-y Set5", "bicubic"]["differs"]


def test_the_trend_in_training_leaves_no_trace() -> None:
    folder_of_benchmarks(("Set5",))

    def trained(*callbacks: pl.Callback) -> tuple[SRGAN, dict[str, Any]]:
        pl.seed_everything(0, verbose=False)
        model = SRGAN(**TINY | {"size": 48})
        trainer = pl.Trainer(
            accelerator="cpu",
            max_steps=4,
            max_epochs=-1,
            limit_val_batches=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=list(callbacks),
        )
        trainer.fit(model, twins())
        return model, dict(trainer.callback_metrics)

    with_trend, found = trained(SuperResolutionScore("sr", ("Set5",), every_n_steps=2))
    without, _ = trained()
    assert 0 < found["val/psnr-y Set5"] < 60
    assert with_trend.training
    for key, value in with_trend.state_dict().items():
        assert torch.equal(value, without.state_dict()[key]), key


# --------------------------------------------------------------------------------------------------- mistakes


def test_mistakes() -> None:
    with pytest.raises(UserError, match="names is empty"):
        SuperResolutionScore(names=())
    with pytest.raises(ValueError, match="at least 1"):
        SuperResolutionScore(every_n_steps=0)
    pairs = ScenePairs(size=32, train_length=2, eval_length=1, batch_size=1, source="edges")
    model = SRGAN(**TINY | {"in_channels": 1})
    with pytest.raises(UserError, match="super-resolution, not ScenePairs"):
        evaluated(SuperResolutionScore(), model, pairs)
    with pytest.raises(UserError, match="There is no benchmark"):
        evaluated(SuperResolutionScore("nowhere"), SRGAN(**TINY))
    with pytest.raises(UserError, match="There are no weights nobody"):
        evaluated(SuperResolutionScore(compare_with="nobody"), SRGAN(**TINY))
