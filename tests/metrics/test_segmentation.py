"""The FCN score: its numbers by hand, and the segmenter behind it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import safetensors.torch
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from zoo.data.pairs.module import PairFolder
from zoo.data.pairs.world import ScenePairs
from zoo.errors import UserError
from zoo.features.segmenter import FACADES, Segmenter, palette_labels, train_segmenter
from zoo.files.writing import sha256
from zoo.metrics import segmentation
from zoo.metrics.segmentation import SegmentationScore, confusion, jackknife, scores


def test_a_perfect_reading_scores_one() -> None:
    truth = torch.tensor([[0, 1, 2], [2, 2, 1]])
    assert scores(confusion(truth, truth, 3)) == (1.0, 1.0, 1.0)


def test_scores_by_hand() -> None:
    truth = torch.tensor([0, 0, 0, 0, 1, 1, 3, 3])
    found = torch.tensor([0, 0, 0, 1, 1, 2, 0, 0])
    matrix = confusion(truth, found, 5)
    assert matrix.sum() == 8 and matrix[0, 1] == 1 and matrix[3, 0] == 2  # rows are the truth
    pixel, per_class, iou = scores(matrix)
    assert pixel == pytest.approx(4 / 8)
    # class 2 was found and never true, class 4 neither: both are in no mean
    assert per_class == pytest.approx((3 / 4 + 1 / 2 + 0 / 2) / 3)
    assert iou == pytest.approx((3 / 6 + 1 / 3 + 0 / 4) / 3)


def test_a_shuffled_reading_scores_as_chance_does() -> None:
    truth = torch.arange(4).repeat(10_000)
    found = truth[torch.randperm(len(truth), generator=torch.Generator().manual_seed(0))]
    pixel, per_class, iou = scores(confusion(truth, found, 4))
    assert pixel == pytest.approx(1 / 4, abs=0.01) and per_class == pytest.approx(pixel)
    assert iou == pytest.approx(1 / 7, abs=0.01)  # n/16 right of 2 * n/4 - n/16


def test_palette_labels_survive_jpeg_noise() -> None:
    palette = list(FACADES.values())
    truth = torch.arange(12).repeat(12).view(12, 12)
    clean = torch.tensor(palette)[truth].permute(2, 0, 1) / 127.5 - 1
    noise = torch.rand(clean.shape, generator=torch.Generator().manual_seed(0)) - 0.5
    assert torch.equal(palette_labels(clean + 0.25 * noise, palette), truth)
    batch = palette_labels(torch.stack([clean, clean.flip(-1)]), palette)
    assert torch.equal(batch[1], truth.flip(-1)) and batch.dtype == torch.long


def test_the_facades_palette_is_that_of_the_files(zoo_data: Path) -> None:
    data = PairFolder(str(zoo_data / "facades"), direction="BtoA", size=256)
    pictures = torch.stack([data.split("test")[i]["input"] for i in range(20)])
    labels = palette_labels(pictures, list(FACADES.values()))
    nearest = torch.tensor(list(FACADES.values()))[labels].permute(0, 3, 1, 2) / 127.5 - 1
    distance = (pictures - nearest).abs().amax(1) * 127.5
    assert labels.unique().tolist() == list(range(12))
    assert distance.median() < 5  # the far ones are JPEG's seams between two colours
    for k in range(12):  # each colour is really there, not merely the nearest
        assert distance[labels == k][:100_000].quantile(0.1) < 5


def striped(count: int) -> tuple[Tensor, Tensor]:
    """Pictures whose class is the sign of their red: easy for a network that learns at all."""
    random = torch.Generator().manual_seed(1)
    labels = (torch.rand(count, 1, 16, generator=random) < 0.5).long().expand(count, 16, 16)
    pictures = torch.rand(count, 3, 16, 16, generator=random) - 0.5
    pictures[:, 0] += labels.float() - 0.5
    return pictures, labels


def loader(pictures: Tensor, labels: Tensor) -> DataLoader[Any]:
    return DataLoader(TensorDataset(pictures, labels), 8)


def test_a_segmenter_learns_and_repeats_itself() -> None:
    pictures, labels = striped(48)
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    networks = [train_segmenter(loader(pictures[:32], labels[:32]), 2, 16, seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.random.get_rng_state(), before)
    found = networks[0](pictures[32:]).argmax(1)
    assert (found == labels[32:]).float().mean() > 0.95
    weights = [torch.cat([p.flatten() for p in network.parameters()]) for network in networks]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert not networks[0].training and not any(p.requires_grad for p in networks[0].parameters())


def test_a_segmenter_reads_any_size() -> None:
    assert Segmenter(5).eval()(torch.zeros(1, 3, 18, 23)).shape == (1, 5, 18, 23)


class Echo(pl.LightningModule):
    """A generator that is perfect, or paints everything grey."""

    def __init__(self, perfect: bool) -> None:
        super().__init__()
        self.perfect = perfect

    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        return batch["target"] if self.perfect else torch.zeros_like(batch["target"])


def run(trainer: Any, score: SegmentationScore, perfect: bool) -> dict[tuple[str, str], dict[str, Any]]:
    data = ScenePairs(size=32, train_length=24, eval_length=6, batch_size=4)
    made = trainer(callbacks=[score])
    made.test(Echo(perfect), data, verbose=False)
    rows = json.loads((Path(made.default_root_dir) / "eval.json").read_text())
    return {(row["metric"], row["subject"]): row for row in rows}


def test_the_callback_scores_and_keeps_its_segmenter(
    trainer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "home"))
    rows = run(trainer, SegmentationScore(classes=16, steps=30), perfect=True)
    metrics = ("segmenter-pixel-accuracy", "segmenter-class-accuracy", "segmenter-class-iou")
    assert len(rows) == 9
    for metric in metrics:
        real = rows[metric, "real"]["value"]
        assert 0 < real < 1 and rows[metric, "generated"]["value"] == real
        assert rows[metric, "generated / real"]["value"] == 1
    protocol = rows[metrics[0], "real"]["protocol"]
    assert protocol["test_pictures"] == 6 and protocol["train_pairs"] == 24 and protocol["size"] == [32, 32]
    kept = list((tmp_path / "home").iterdir())
    assert [path.name for path in kept] == [f"segmenter-{protocol['segmenter_training']}.safetensors"]
    assert sha256(kept[0]).startswith(protocol["segmenter"])

    def never(*_: Any) -> None:
        raise AssertionError("the segmenter was to come from the cache")

    monkeypatch.setattr(segmentation, "train_segmenter", never)
    again = run(trainer, SegmentationScore(classes=16, steps=30), perfect=False)
    assert again[metrics[0], "real"]["value"] == rows[metrics[0], "real"]["value"]
    assert again[metrics[0], "generated"]["value"] < 0.7 * again[metrics[0], "real"]["value"]
    kept[0].write_bytes(b"torn")
    with pytest.raises(UserError, match="damaged"):
        run(trainer, SegmentationScore(classes=16, steps=30), perfect=True)


def test_another_training_is_another_segmenter(
    trainer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "home"))
    names = set()
    for options in ({"steps": 2}, {"steps": 3}, {"steps": 2, "seed": 1}, {"steps": 2, "train_pairs": 16}):
        rows = run(trainer, SegmentationScore(classes=16, **options), perfect=True)
        names |= {row["protocol"]["segmenter_training"] for row in rows.values()}
    assert len(names) == 4


def test_the_same_plan_with_other_weights_is_another_judge(
    trainer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two machines train the same plan on the same data to different weights: no common protocol."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "home"))
    (first,) = {row["protocol"]["segmenter"] for row in run(trainer, tiny(), perfect=True).values()}
    (kept,) = (tmp_path / "home").iterdir()
    weights = safetensors.torch.load_file(kept)
    weights["classify.bias"] += 0.1
    safetensors.torch.save_file(weights, kept)
    (other,) = {row["protocol"]["segmenter"] for row in run(trainer, tiny(), perfect=True).values()}
    assert other != first


def tiny() -> SegmentationScore:
    return SegmentationScore(classes=16, steps=2)


def test_the_errors_are_those_of_leaving_out_one_image() -> None:
    """Of a mean over images of one pixel each, the jackknife is the usual standard error of a mean."""
    right = torch.tensor([1, 0, 1, 1, 0, 1, 1])
    matrices = torch.stack(
        [torch.diag(torch.tensor([r, 0])) + torch.tensor([[0, 1 - r], [0, 0]]) for r in right]
    )
    error = jackknife(lambda matrix: scores(matrix).pixel_accuracy, matrices)
    assert error == pytest.approx(float(right.double().std()) / 7**0.5)
    assert jackknife(lambda matrix: scores(matrix).pixel_accuracy, matrices[:1]) is None


def test_what_cannot_be_scored_is_refused(
    trainer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"Labels range from 0 to 3, not within 3 classes"):
        confusion(torch.tensor([0, 3]), torch.tensor([0, 0]), 3)
    with pytest.raises(UserError, match="one shape"):
        confusion(torch.tensor([0, 1]), torch.tensor([0]), 3)
    with pytest.raises(UserError, match="no labelled pixels"):
        scores(torch.zeros(3, 3))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    monkeypatch.setattr(Echo, "test_step", lambda self, batch, at: batch["target"] * torch.nan)
    with pytest.raises(UserError, match="4 of 4 images hold a value that is not finite"):
        run(trainer, tiny(), perfect=True)


@pytest.mark.parametrize(("options", "word"), [({"classes": 0}, "classes"), ({"classes": 1}, "classes")])
def test_mistakes_are_named(options: dict[str, Any], word: str) -> None:
    with pytest.raises(UserError, match=word):
        SegmentationScore(**options)


def test_data_without_labels_is_refused() -> None:
    with pytest.raises(UserError, match="needs label maps"):
        SegmentationScore(classes=3).labels({"input": torch.zeros(1, 3, 4, 4)})
