"""Nearest training images: found exactly, in pieces; copies are much nearer than real images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor

from zoo.data.base import Batch, SampleSet, Split
from zoo.data.images.module import Digits
from zoo.errors import UserError
from zoo.files.pictures import read_picture
from zoo.metrics.neighbours import NearestNeighbours, nearest


class Held(SampleSet):
    """Pictures in memory without a batch path of their own."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def sample(self, index: int, random: torch.Generator | None) -> Batch:
        return {"image": self.images[index]}


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_the_nearest_is_that_of_a_plain_loop(chunk: int) -> None:
    random = torch.Generator().manual_seed(0)
    train = torch.rand(23, 2, 3, 3, generator=random) * 2 - 1
    queries = torch.cat([torch.rand(5, 2, 3, 3, generator=random) * 2 - 1, train[[19, 4]]])
    distance, index = nearest(queries, Held(train), chunk)
    plain = [[float(((q - t) / 2).square().sum().sqrt()) for t in train] for q in queries]
    assert index.tolist() == [min(range(23), key=row.__getitem__) for row in plain]
    assert index.tolist()[-2:] == [19, 4]
    torch.testing.assert_close(
        distance.float(), torch.tensor([min(row) for row in plain]), atol=1e-5, rtol=1e-5
    )


class Copying(pl.LightningModule):
    """A generator that gives training pictures, or with ``honest`` the test pictures' noise."""

    takes = "noise"

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


def read_rows(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["metric"], row["subject"]): row for row in json.loads((folder / "eval.json").read_text())}


def test_a_copying_generator_lies_far_nearer_than_real_pictures(tmp_path: Path) -> None:
    data = Digits(batch_size=50)
    train = data.split("train")
    assert train is not None
    copies = torch.stack([train[i]["image"] for i in (5, 900, 33, 1000)])
    callback = NearestNeighbours(samples=40, rows=4)
    trainer_with(tmp_path, callback).test(Copying(copies), data, verbose=False)
    rows = read_rows(tmp_path)
    distance = "nearest-training-distance"
    assert rows[distance, "generated"]["value"] < 1e-5
    assert 0.5 < rows[distance, "real"]["value"] < 3.0
    protocol = rows[distance, "real"]["protocol"]
    assert protocol["pictures"] == 40 and protocol["train"] == len(train)
    assert rows["nearer-than-held-out", "generated"]["value"] == 1

    picture = read_picture(tmp_path / "samples" / "neighbours.png")
    gap, side = 4, 96
    assert picture.shape[2] == 2 * side + 3 * gap
    below = picture[:, picture.shape[1] - 4 * (side + gap) :]  # without the titles, which differ
    left, right = below[..., gap : gap + side], below[..., 2 * gap + side : 2 * (gap + side)]
    assert torch.equal(left, right) and left.std() > 0.3  # copies, and not of nothing


class Speaking(Copying):
    """As a model of sentences: what it makes of a test batch are training pictures."""

    takes = "sentence"

    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:  # type: ignore[override]
        return self.sample(len(batch["image"]))


def test_outputs_for_the_test_split_are_compared_where_there_is_no_noise_alone(tmp_path: Path) -> None:
    data = Digits(batch_size=50)
    train = data.split("train")
    assert train is not None
    copies = torch.stack([train[i]["image"] for i in (5, 900)])
    trainer_with(tmp_path, NearestNeighbours(samples=60, rows=2)).test(Speaking(copies), data, verbose=False)
    rows = read_rows(tmp_path)
    made = rows["nearest-training-distance", "generated"]
    assert made["value"] < 1e-5 and made["protocol"]["pictures"] == 60
    assert made["protocol"]["of"] == "the test split" and "seed" not in made["protocol"]


def images_of(data: Digits, split: Split) -> Tensor:
    samples = data.split(split)
    assert samples is not None
    return torch.stack([samples[i]["image"] for i in range(len(samples))])


def test_features_find_copies_and_unseen_pictures_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Digits(batch_size=50)
    train, unseen = images_of(data, "train"), images_of(data, "val")
    callback = NearestNeighbours(samples=200, rows=2, network="digits")
    trainer_with(tmp_path, callback).test(Copying(train[:200]), data, verbose=False)
    rows = read_rows(tmp_path)
    assert rows["nearest-training-distance-digits", "generated"]["value"] < 1e-5
    assert rows["nearest-training-distance-digits", "real"]["value"] > 0.5
    assert rows["nearer-than-held-out-digits", "generated"]["value"] == 1
    assert rows["nearer-than-held-out-digits", "generated"]["protocol"]["network"] == "digits"
    said = capsys.readouterr().out
    assert said.count("100 % of all pairs, more than by chance: look for copies.") == 2

    mixed = unseen[:200].clone()
    mixed[70], mixed[130] = train[8], train[1200]
    trainer_with(tmp_path, callback).test(Copying(mixed), data, verbose=False)
    rows = read_rows(tmp_path)
    for suffix in ("", "-digits"):
        assert 0.4 < rows[f"nearer-than-held-out{suffix}", "generated"]["value"] < 0.6
    said = capsys.readouterr().out
    assert said.count("no sign of copies.") == 2 and "neighbours-digits.png" in said
    picture = read_picture(tmp_path / "samples" / "neighbours-digits.png")
    gap, side = 4, 96  # the two copies are among the many the ones to be suspected
    below = picture[:, picture.shape[1] - 2 * (side + gap) :]
    left, right = below[..., gap : gap + side], below[..., 2 * gap + side : 2 * (gap + side)]
    assert torch.equal(left, right) and left.std() > 0.3

    noise = torch.rand(200, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    trainer_with(tmp_path, callback).test(Copying(noise), data, verbose=False)
    assert "in 0 % of all pairs, less than by chance: too far." in capsys.readouterr().out


def test_mirrored_copies_are_found_if_asked_for(tmp_path: Path) -> None:
    data = Digits(batch_size=50)
    mirrored = images_of(data, "train")[:40].flip(-1)
    for asked, least, most in ((False, 0.5, 9), (True, 0.0, 1e-4)):
        callback = NearestNeighbours(samples=40, network="digits", mirrored=asked)
        trainer_with(tmp_path, callback).test(Copying(mirrored), data, verbose=False)
        rows = [
            row for row in json.loads((tmp_path / "eval.json").read_text()) if row["subject"] == "generated"
        ]
        for suffix in ("", "-digits"):
            (*_, found) = (row for row in rows if row["metric"] == f"nearest-training-distance{suffix}")
            assert least <= found["value"] < most and found["protocol"].get("mirrored", False) is asked


def test_a_network_that_cannot_read_the_pictures_is_left_out() -> None:
    given = {"rows": 3, "network": "digits"}
    for side, kept in ((8, given), (16, {"rows": 3})):
        batch = {"image": torch.zeros(2, 1, side, side)}
        assert NearestNeighbours.suited(given, Digits(), batch, {"test": 5}) == kept
    assert NearestNeighbours.suited({"rows": 3}, Digits(), {}, {"test": 5}) == {"rows": 3}


def test_data_without_a_training_split_is_refused(tmp_path: Path) -> None:
    loader = torch.utils.data.DataLoader([{"image": torch.zeros(1, 8, 8)}])
    with pytest.raises(UserError, match="training split"):
        trainer_with(tmp_path, NearestNeighbours()).test(
            Copying(torch.zeros(1, 1, 8, 8)), loader, verbose=False
        )
