"""SVHN to MNIST, and the published MNIST-M, from files made like theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_domains import idx
from test_image_sets import svhn

from zoo.data.domains.sets import PublishedMNISTM, SVHNToMNIST
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


def blends(root: Path, train: int = 6, test: int = 4, size: int = 32) -> Path:
    """Pictures of one red each: n, with the label (n + 1) % 10."""
    for part, count in (("train", train), ("test", test)):
        (root / f"mnist_m_{part}").mkdir(parents=True)
        lines = []
        for n in range(count):
            Image.new("RGB", (size, size), (n, 0, 7)).save(root / f"mnist_m_{part}" / f"{n:08}.png")
            lines.append(f"{n:08}.png {(n + 1) % 10}")
        (root / f"mnist_m_{part}_labels.txt").write_text("\n".join(lines) + "\n")
    return root


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


def test_published_mnist_m(tmp_path: Path, mnist: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PublishedMNISTM, "HELD_OUT", 2)
    root = str(blends(tmp_path / "mnist_m"))
    data = PublishedMNISTM(root, mnist)
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [8, 10_000, 5]
    loaded = data.split("test").load(4)  # after four blends the first again
    assert loaded["target"][:, 5, 5].tolist() == [0, 0, 7] and int(loaded["target_label"]) == 1
    assert int(loaded["label"]) == 4 and (loaded["source"][:, 2:16, 2:30] == 8).all()
    assert (loaded["source"][:, :2] == 0).all() and (loaded["source"][:, 30:] == 0).all()  # framed
    assert [int(data.split("val").load(i)["target"][0, 0, 0]) for i in range(3)] == [4, 5, 4]
    assert {int(data.split("train").load(i)["target"][0, 0, 0]) for i in range(8)} == {0, 1, 2, 3}
    swapped = PublishedMNISTM(root, mnist, to_mnist=True)
    assert len(swapped.split("test")) == 4 and swapped.split("test").load(3)["source"][0, 0, 0] == 3
    said = data.describe()
    table = Path(root) / "mnist_m_train_labels.txt"
    table.write_text(table.read_text().replace("00000001.png 2", "00000001.png 3"))
    assert PublishedMNISTM(root, mnist).describe()["fingerprint"] != said["fingerprint"]


def unlisted(root: Path) -> str:
    (root / "mnist_m_train_labels.txt").unlink()
    return r"mnist_m_train with mnist_m_train_labels\.txt .*unpack mnist_m\.tar\.gz"


def lost(root: Path) -> str:
    (root / "mnist_m_train" / "00000003.png").unlink()
    return r"labels\.txt line 4 names 00000003\.png, which is not in .*mnist_m_train; unpack"


def outside(root: Path) -> str:
    (root / "mnist_m_train_labels.txt").write_text("../x.png 3\n")
    return r"line 1 names \.\./x\.png, which is not in"


def eleven(root: Path) -> str:
    (root / "mnist_m_train_labels.txt").write_text("00000000.png 11\n")
    return r"line 1 gives 00000000\.png the label “11”; it must be 0 to 9"


def none(root: Path) -> str:
    (root / "mnist_m_train_labels.txt").write_text("\n")
    return r"labels\.txt lists no pictures"


def few(root: Path) -> str:
    (root / "mnist_m_train_labels.txt").write_text("00000000.png 1\n")
    return r"lists 1 pictures, but the last 2 are kept"


def large(root: Path) -> str:
    for n in range(6):
        Image.new("RGB", (28, 28)).save(root / "mnist_m_train" / f"{n:08}.png")
    return r"00000000\.png is 28 x 28 pixels where MNIST-M has 32"


@pytest.mark.parametrize(
    "damage", [unlisted, lost, outside, eleven, none, few, large], ids=lambda f: f.__name__
)
def test_faults_of_published_mnist_m(
    tmp_path: Path, mnist: str, monkeypatch: pytest.MonkeyPatch, damage: Any
) -> None:
    monkeypatch.setattr(PublishedMNISTM, "HELD_OUT", 2)
    root = blends(tmp_path / "mnist_m")
    expected = damage(root)
    with pytest.raises(UserError, match=expected) as caught:
        PublishedMNISTM(str(root), mnist).split("train")
    assert "\n" not in str(caught.value)


def test_missing_house_numbers_are_named(tmp_path: Path, mnist: str) -> None:
    with pytest.raises(UserError, match=r"no file .*extra_32x32\.mat"):
        SVHNToMNIST(str(tmp_path), mnist, extra=True).split("train")
