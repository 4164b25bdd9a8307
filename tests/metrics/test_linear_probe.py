"""The linear probe: features that tell classes apart are found, beside an untrained network and pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC
from torch import Tensor, nn

from zoo.adversarial import AdversarialModule
from zoo.data.base import Batch, DataModule, Split
from zoo.data.images.module import Digits, MemorySet
from zoo.errors import UserError
from zoo.metrics.linear_probe import LinearProbe, calibrate, pooled
from zoo.models.gan import GAN
from zoo.training import build


class Stripes(DataModule):
    """Class 1 has a row of three bright pixels, class 0 a column of them, anywhere: no pixel tells which.

    Args:
        sizes: Pictures per split.
        scale: Pixels per pixel of the pictures of 16 pixels.
    """

    contract = "images"
    name = "stripes"

    def __init__(self, sizes: dict[str, int] | None = None, scale: int = 1) -> None:
        super().__init__(batch_size=8)
        self.sizes, self.scale = sizes or {"train": 240, "val": 60, "test": 90}, scale

    def dataset(self, split: Split) -> MemorySet | None:
        if split not in self.sizes:
            return None
        count = self.sizes[split]
        random = torch.Generator().manual_seed(len(split))
        labels = torch.randint(2, (count,), generator=random)
        values = torch.zeros(count, 1, 16, 16, dtype=torch.uint8)
        for value, label in zip(values, labels.tolist(), strict=True):
            y, x = torch.randint(1, 15, (2,), generator=random).tolist()
            value[0, y - 1 : y + 2, x] = 255
            if label:
                value[0] = value[0].T.clone()
        for axis in (2, 3):
            values = values.repeat_interleave(self.scale, axis)
        return MemorySet(values, labels)


class Seeing(AdversarialModule):
    """A discriminator of two convolutions, blind until it is trained: its weights begin with 0."""

    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.generator = nn.Linear(1, 1)
        self.discriminator = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.LeakyReLU(0.2)),
                nn.Sequential(nn.Conv2d(width, width, 3, 2, 1), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)),
            ]
        )
        for layer in (self.discriminator[0][0], self.discriminator[1][0]):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def learn(self) -> Seeing:
        """Find rows and columns of three pixels."""
        with torch.no_grad():
            self.discriminator[0][0].weight[0, 0, 1] = 1.0
            self.discriminator[0][0].weight[1, 0, :, 1] = 1.0
        return self

    def features(self, image: Tensor) -> list[Tensor]:
        maps = [self.discriminator[0](image)]
        return [*maps, self.discriminator[1](maps[0])]

    def sample(self, n: int, seed: int = 0) -> Tensor:
        return torch.zeros(n, 1, 16, 16)

    def generate(self, batch: Batch) -> Tensor:
        return torch.zeros_like(batch["image"])


def scored(
    trainer: Any, folder: Path, module: AdversarialModule, data: DataModule, other: DataModule | None = None
) -> dict[str, Any]:
    trainer(callbacks=[LinearProbe(other)]).test(module, data, verbose=False)
    rows = json.loads((folder / "eval.json").read_text())
    return {row["subject"]: row for row in rows if row["metric"] == "linear-probe"}


def test_what_was_learnt_is_above_an_untrained_network_and_pixels(
    trainer: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = scored(trainer, tmp_path, Seeing().learn(), Stripes())
    value = {subject: row["value"] for subject, row in rows.items()}
    assert list(value) == ["discriminator", "untrained", "pixels"]
    assert value["discriminator"] > 0.95
    assert value["untrained"] < 0.65 and value["pixels"] < 0.65
    assert rows["pixels"]["error"] == pytest.approx((value["pixels"] * (1 - value["pixels"]) / 90) ** 0.5)
    protocol = rows["discriminator"]["protocol"]
    assert (protocol["train"], protocol["validation"], protocol["test"]) == (240, 60, 90)
    assert f"is right for {100 * value['discriminator']:.1f} % of the test images" in capsys.readouterr().out
    assert scored(trainer, tmp_path, Seeing(), Stripes())["discriminator"]["value"] == value["untrained"]


def test_other_data_of_another_size_are_resized(trainer: Any, tmp_path: Path) -> None:
    rows = scored(trainer, tmp_path, Seeing().learn(), Digits(), Stripes(scale=2))
    assert rows["discriminator"]["value"] > 0.9 and rows["discriminator"]["protocol"]["data"] == "stripes"


def test_pixels_score_what_sklearn_says(trainer: Any, tmp_path: Path) -> None:
    class Small(Seeing):
        def sample(self, n: int, seed: int = 0) -> Tensor:
            return torch.zeros(n, 1, 8, 8)

    data = Digits()
    probe = LinearProbe(train_samples=300, costs=(1e-6, 1.0))
    trainer(callbacks=[probe]).test(Small(), data, verbose=False)
    rows = json.loads((tmp_path / "eval.json").read_text())
    (found,) = (row["value"] for row in rows if row["subject"] == "pixels")

    def arrays(split: Split, indices: Tensor) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        samples = data.split(split)
        assert isinstance(samples, MemorySet)
        batch = samples.__getitems__(indices.tolist())
        return batch["image"].flatten(1).numpy(), batch["label"].numpy()

    x, y = arrays("train", probe._train.indices)
    assert len(x) == len(set(probe._train.indices.tolist())) == 300
    length = np.linalg.norm(x, axis=1).mean()
    svm = LinearSVC(C=1.0, random_state=0).fit(x / length, y)  # the other cost is too small to learn
    test_x, test_y = arrays("test", torch.arange(257))
    assert found == pytest.approx(svm.score(test_x / length, test_y)) and found > 0.85


def test_labels_per_class_and_held_out_images() -> None:
    data = Digits()
    probe = LinearProbe(data, labels_per_class=7, seed=1)
    probe._source = data
    train, held_out = probe._drawn()
    labels = torch.cat([labels for _, labels in train.batches()])
    assert labels.bincount().tolist() == [7] * 10 and len(set(train.indices.tolist())) == 70
    assert held_out.samples is data.split("val") and sorted(held_out.indices.tolist()) == list(range(257))
    probe.seed = 2
    assert probe._drawn()[0].indices.tolist() != train.indices.tolist()

    probe = LinearProbe(train_samples=120)
    probe._source = Stripes({"train": 240, "test": 90})
    train, held_out = probe._drawn()
    assert (len(train.indices), len(held_out.indices)) == (120, 40)
    assert not set(train.indices.tolist()) & set(held_out.indices.tolist())

    probe = LinearProbe(labels_per_class=130)
    probe._source = data
    with pytest.raises(UserError, match=r"labels_per_class is 130, but class 0 has 118 training images"):
        probe._drawn()


def test_maps_are_pooled_to_four_by_four() -> None:
    large = torch.arange(64.0).view(1, 1, 8, 8)
    small = torch.tensor([[[[5.0, 6.0], [7.0, 8.0]], [[1.0, 2.0], [3.0, 4.0]]]])
    found = pooled([large, small])
    assert found.shape == (1, 16 + 8)
    assert found[0, :16].tolist() == [9 + 2 * x + 16 * y for y in range(4) for x in range(4)]
    assert found[0, 16:].tolist() == [5, 6, 7, 8, 1, 2, 3, 4]


def test_an_untrained_network_is_normalised_by_the_images() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(1)

        def features(self, image: Tensor) -> list[Tensor]:
            return [self.norm(image)]

    images = torch.randn(40, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 3 + 5
    model = Normed()
    with torch.inference_mode():  # as Lightning tests
        calibrate(model, images.split(10))
        (found,) = model.features(images)
    assert not model.training
    assert float(found.mean()) == pytest.approx(0, abs=1e-4) and float(found.std()) == pytest.approx(
        1, rel=0.03
    )


def test_what_cannot_be_probed(trainer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    model = GAN(shape=(1, 8, 8), latent_dim=8, hidden=16, maxout_units=8, maxout_pieces=2)
    with pytest.raises(UserError, match="needs a model with features, and GAN has none; remove it"):
        trainer(callbacks=[LinearProbe()]).test(model, Digits(), verbose=False)

    class Unlabelled(MemorySet):
        def __getitems__(self, keys: Any) -> Batch:
            return {"image": super().__getitems__(keys)["image"]}

    class Pictures(Stripes):
        def dataset(self, split: Split) -> MemorySet | None:
            found = super().dataset(split)
            return found and Unlabelled(found.values, found.labels)

    with pytest.raises(UserError, match="needs labelled images in a train split"):
        trainer(callbacks=[LinearProbe()]).test(Seeing(), Pictures(), verbose=False)
    without = Seeing()
    del without.discriminator  # as of weights that hold the generator alone
    trainer(callbacks=[LinearProbe()]).test(without, Stripes(), verbose=False)
    assert "these weights hold none" in capsys.readouterr().out

    batch = {"image": torch.zeros(1, 1, 8, 8), "label": torch.zeros(1)}
    assert LinearProbe.suited({"seed": 3}, Digits(), batch, {"test": 9}) == {"seed": 3}
    assert LinearProbe.suited({"data": {"class_path": "x"}}, Digits(), batch, {"test": 9}) is None
    assert LinearProbe.suited({}, Digits(), {"image": batch["image"]}, {"test": 9}) is None


def test_a_recipe_names_the_labelled_data(tmp_path: Path) -> None:
    recipe = tmp_path / "probe.yaml"
    recipe.write_text(
        """
model: {class_path: zoo.models.gan.GAN, init_args: {shape: [1, 8, 8]}}
data: {class_path: zoo.data.images.Digits}
trainer:
  callbacks:
    - class_path: zoo.metrics.linear_probe.LinearProbe
      init_args:
        data: {class_path: zoo.data.images.Digits, init_args: {batch_size: 7}}
        labels_per_class: 5
        costs: [0.5]
"""
    )
    built = build(["--config", str(recipe), "--wandb", "off"])
    (probe,) = (each for each in built.trainer.callbacks if isinstance(each, LinearProbe))
    assert isinstance(probe.labelled, Digits) and probe.labelled.batch_size == 7
    assert probe.labelled is not built.datamodule
    assert (probe.labels_per_class, tuple(probe.costs)) == (5, (0.5,))
