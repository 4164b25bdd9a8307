"""CIFAR-10 and SVHN from files made like theirs: every pixel, every label, every split, each fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch

from zoo.data import packs
from zoo.data.images.sets import CIFAR10, SVHN
from zoo.errors import UserError

NAMES = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CIFAR10, "COUNT", 4)


def cifar(root: Path) -> np.ndarray:
    """Six files of four pictures; picture n has the label n % 10. Gives all pictures (24, 3, 32, 32)."""
    pictures = np.random.default_rng(0).integers(0, 256, (24, 3, 32, 32), np.uint8)
    for at, name in enumerate(NAMES):
        rows = [
            bytes([n % 10]) + b"".join(pictures[n, colour].tobytes() for colour in range(3))
            for n in range(4 * at, 4 * at + 4)
        ]
        (root / f"{name}.bin").write_bytes(b"".join(rows))
    return pictures


def svhn(
    root: Path,
    parts: tuple[tuple[str, int], ...] = (("train", 9), ("test", 4), ("extra", 7)),
    compressed: bool = True,
) -> dict:
    """MATLAB's files as SVHN's: X (32, 32, 3, N), y (N, 1), ten for zero; gives (N, 32, 32, 3) of each."""
    made = {}
    for seed, (name, count) in enumerate(parts):
        made[name] = np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)
        labels = (np.arange(count) % 10 + 1).astype(np.uint8)[:, None]
        content = {"X": made[name].transpose(1, 2, 3, 0), "y": labels}
        scipy.io.savemat(root / f"{name}_32x32.mat", content, do_compression=compressed)
    return made


def whole(data: Any, split: Any) -> tuple[torch.Tensor, list[int]]:
    samples = [data.split(split)[i] for i in range(len(data.split(split)))]
    return torch.stack([s["image"] for s in samples]), [int(s["label"]) for s in samples]


def test_cifar10_is_read_plane_by_plane(tmp_path: Path) -> None:
    expected = torch.from_numpy(cifar(tmp_path)).float() / 127.5 - 1
    data = CIFAR10(str(tmp_path), batch_size=5)
    images, labels = whole(data, "train")
    torch.testing.assert_close(images, expected[:20])
    assert labels == [n % 10 for n in range(20)] and data.split("val") is None
    images, labels = whole(data, "test")
    torch.testing.assert_close(images, expected[20:])
    assert labels == [0, 1, 2, 3]
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (5, 3, 32, 32) and batch["label"].dtype == torch.int64


def test_the_last_training_pictures_can_be_held_out(tmp_path: Path) -> None:
    expected = torch.from_numpy(cifar(tmp_path)).float() / 127.5 - 1
    data = CIFAR10(str(tmp_path), hold_out=3)
    torch.testing.assert_close(whole(data, "train")[0], expected[:17])
    torch.testing.assert_close(whole(data, "val")[0], expected[17:20])
    with pytest.raises(UserError, match=r"holds 20 training pictures, but data\.hold_out keeps 20"):
        CIFAR10(str(tmp_path), hold_out=20).split("train")
    with pytest.raises(UserError, match=r"data\.hold_out is -1"):
        CIFAR10(str(tmp_path), hold_out=-1)


def test_svhn_is_turned_upright_and_ten_is_zero(tmp_path: Path) -> None:
    made = svhn(tmp_path)
    data = SVHN(str(tmp_path), hold_out=2, batch_size=3)
    expected = {name: torch.from_numpy(v).permute(0, 3, 1, 2).float() / 127.5 - 1 for name, v in made.items()}
    for split, pictures in (
        ("train", expected["train"][:7]),
        ("val", expected["train"][7:]),
        ("test", expected["test"]),
    ):
        torch.testing.assert_close(whole(data, split)[0], pictures)
    assert whole(data, "train")[1] == [1, 2, 3, 4, 5, 6, 7] and whole(data, "val")[1] == [8, 9]
    ten = SVHN(str(tmp_path), extra=True, hold_out=2)
    torch.testing.assert_close(whole(ten, "train")[0], expected["extra"][:5])
    svhn(tmp_path, (("train", 12),))
    assert whole(SVHN(str(tmp_path), hold_out=0), "train")[1] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (3, 3, 32, 32) and batch["image"].dtype == torch.float32


@pytest.mark.parametrize(("make", "reader"), [(cifar, CIFAR10), (svhn, SVHN)])
def test_a_description_and_a_pack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any, reader: Any
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    make(tmp_path)
    data = reader(str(tmp_path), hold_out=1)
    said = data.describe()
    assert (
        said["research_only"] is True
        and said["licence"]
        and said == reader(str(tmp_path), hold_out=1).describe()
    )
    packs.write(data.split("train"), data.pack_key("train"))
    packed = reader(str(tmp_path), hold_out=1, packed=True).split("train")
    assert torch.equal(packed[2]["image"], data.split("train")[2]["image"])
    path = data.paths("train")[-1]
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    path.write_bytes(changed)
    assert reader(str(tmp_path), hold_out=1).describe()["fingerprint"] != said["fingerprint"]


def cut(root: Path) -> str:
    path = root / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:-3073])
    return r"data_batch_3\.bin has 9219 bytes where 4 pictures .* have 12292; fetch it again"


def gone(root: Path) -> str:
    (root / "data_batch_5.bin").unlink()
    return r"There is no file .*data_batch_5\.bin; put .*zoo data get cifar10"


def eleventh(root: Path) -> str:
    path = root / "data_batch_1.bin"
    path.write_bytes(b"\x0a" + path.read_bytes()[1:])
    return r"data_batch_1\.bin names class 10 where CIFAR-10 has 0 to 9"


@pytest.mark.parametrize("damage", [cut, gone, eleventh], ids=lambda f: f.__name__)
def test_faults_of_cifar10(tmp_path: Path, damage: Any) -> None:
    cifar(tmp_path)
    expected = damage(tmp_path)
    with pytest.raises(UserError, match=expected) as caught:
        CIFAR10(str(tmp_path)).split("train")
    assert "\n" not in str(caught.value)


def saved(**content: Any) -> Any:
    return lambda path: scipy.io.savemat(path, content)


X, Y = np.zeros((32, 32, 3, 6), np.uint8), np.ones((6, 1), np.uint8)
DAMAGE: dict[str, tuple[Any, str]] = {
    "gone": (lambda path: path.unlink(), r"no file .*train_32x32\.mat; .*zoo data get svhn"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:5000]), "cannot be read as a MATLAB file"),
    "text": (lambda path: path.write_text("404"), "cannot be read as a MATLAB file"),
    "no X": (saved(y=Y), r"holds X \(0,\)"),
    "other": (saved(X=np.zeros((6, 32, 32, 3), np.uint8), y=Y), r"X \(6, 32, 32, 3\) of uint8"),
    "floats": (saved(X=X / 2, y=Y), r"of float64 .* format 2"),
    "short y": (saved(X=X, y=Y[:5]), r"y \(5, 1\)"),
    "words": (saved(X=X, y=np.array([["a"]] * 6, object)), "format 2"),
    "class": (saved(X=X, y=0 * Y), r"classes 0 to 0 where SVHN has 1 to 10"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_faults_of_svhn(tmp_path: Path, damage: str) -> None:
    svhn(tmp_path)
    make, expected = DAMAGE[damage]
    make(tmp_path / "train_32x32.mat")
    with pytest.raises(UserError, match=expected) as caught:
        SVHN(str(tmp_path), hold_out=2).split("train")
    assert "\n" not in str(caught.value) and "train_32x32.mat" in str(caught.value)
