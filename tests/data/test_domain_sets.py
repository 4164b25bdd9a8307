"""SVHN to MNIST, from files made like theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from test_domains import idx
from test_image_sets import svhn

from zoo.data.domains.sets import SVHNToMNIST
from zoo.errors import UserError


@pytest.fixture
def mnist(tmp_path: Path) -> str:
    """Digit n is grey of 2 n % 256 in its upper half, white in its lower, and has the label n % 10."""
    root = tmp_path / "mnist"
    root.mkdir()
    for part, count in (("train", 10_008), ("t10k", 5)):
        values = np.full((count, 28, 28), 255, np.uint8)
        values[:, :14] = (2 * np.arange(count) % 256)[:, None, None]
        idx(root / f"{part}-images-idx3-ubyte.gz", values)
        idx(root / f"{part}-labels-idx1-ubyte.gz", (np.arange(count) % 10).astype(np.uint8))
    return str(root)


def test_house_numbers_to_digits(tmp_path: Path, mnist: str, monkeypatch: pytest.MonkeyPatch) -> None:
    houses = svhn(tmp_path, (("train", 5011), ("test", 7), ("extra", 5004)), compressed=False)
    data = SVHNToMNIST(str(tmp_path), mnist, batch_size=3)
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [11, 5000, 7]
    test = data.split("test")
    for index in (0, 6):  # the digits start again after five
        loaded = test.load(index)
        assert torch.equal(loaded["source"], torch.from_numpy(houses["test"][index]).permute(2, 0, 1))
        assert int(loaded["label"]) == index + 1 and int(loaded["target_label"]) == index % 5
        target = loaded["target"]
        assert target.shape == (3, 32, 32) and target.dtype == torch.uint8
        assert (target[:, :14] == 2 * (index % 5)).all() and (
            target[:, 19:] == 255
        ).all()  # resized, no frame
    train = data.split("train")
    draws = [train[(epoch, 2)] for epoch in range(8)]
    assert {int(sample["label"]) for sample in draws} == {3}
    assert len({int(sample["target_label"]) for sample in draws}) > 1
    for sample in draws:  # a target comes with its own label
        assert round((float(sample["target"][0, 0, 0]) + 1) * 127.5) == 2 * int(sample["target_label"])
    batch = next(iter(data.train_dataloader()))
    assert set(batch) == {"source", "target", "label", "target_label"}
    assert batch["target"].shape == (3, 3, 32, 32) and batch["source"].min() >= -1
    more = SVHNToMNIST(str(tmp_path), mnist, extra=True)
    assert len(more.split("train")) == 8  # four house numbers, eight digits
    said = data.describe()
    assert said["research_only"] is True and said["fingerprint"] != more.describe()["fingerprint"]
    assert data.sheet([test[0], test[1]]).shape[0] == 3


def test_missing_house_numbers_are_named(tmp_path: Path, mnist: str) -> None:
    with pytest.raises(UserError, match=r"no file .*extra_32x32\.mat"):
        SVHNToMNIST(str(tmp_path), mnist, extra=True).split("train")
