"""Domains: really unpaired in training, fixed in evaluation, and each picture as it should be."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.data.domains.module import DomainFolders
from zoo.data.domains.world import DigitsToMNISTM, FacesToEmoji
from zoo.data.pixels import opaque, squared
from zoo.data.worlds import faces
from zoo.errors import UserError
from zoo.files.pictures import write_picture


def folders(root: Path, sources: int = 20, targets: int = 30) -> Path:
    """Grey sources and red targets, each of a shade of its own."""
    for at in range(sources):
        write_picture(root / "source" / f"{at:03}.png", torch.full((1, 20, 24), at / 50))
    for at in range(targets):
        picture = torch.full((3, 24, 20), -1.0)
        picture[0] = at / 50
        write_picture(root / "target" / "deep" / f"{at:03}.png", picture)
    return root


def shade(picture: torch.Tensor) -> int:
    return round(float(picture[0, 8, 8]) * 50)


# --------------------------------------------------------------------------------------------------- folders


def test_both_domains_become_squares_of_rgb(tmp_path: Path) -> None:
    data = DomainFolders(str(folders(tmp_path)), size=16, batch_size=8)
    batch = next(iter(data.train_dataloader()))
    assert set(batch) == {"source", "target"}
    assert batch["source"].shape == batch["target"].shape == (8, 3, 16, 16)
    assert torch.equal(batch["source"][:, 0], batch["source"][:, 2])  # grey became RGB
    assert (batch["target"][:, 1:] == -1).all() and batch["target"][:, 0].min() > -0.01


def test_training_draws_targets_evaluation_does_not(tmp_path: Path) -> None:
    data = DomainFolders(str(folders(tmp_path)), size=16)
    train, test = data.split("train"), data.split("test")
    assert len(train) == 24 and len(test) == 2  # the larger domain; the sources
    first, second = ([shade(train[(epoch, i)]["target"]) for i in range(24)] for epoch in (0, 1))
    assert first != second and len(set(first)) > 10
    assert first == [shade(train[(0, i)]["target"]) for i in range(24)]
    sources = [shade(train[(0, i)]["source"]) for i in range(24)]
    assert set(sources) == {at for at in range(20) if at % 10 > 1} and sources == [
        shade(train[(1, i)]["source"]) for i in range(24)
    ]
    assert [(shade(s["source"]), shade(s["target"])) for s in (test[0], test[1])] == [(0, 0), (10, 10)]


def test_targets_run_out_and_start_again(tmp_path: Path) -> None:
    test = DomainFolders(str(folders(tmp_path, 40, 10)), size=16).split("test")
    assert [shade(test[i]["target"]) for i in range(4)] == [0, 0, 0, 0] and len(test) == 4


def test_no_picture_is_in_two_splits(tmp_path: Path) -> None:
    data = DomainFolders(str(folders(tmp_path)), size=16)
    files = [set(data.split(split).files()) for split in ("train", "val", "test")]
    assert sum(map(len, files)) == len(set().union(*files)) == 50


def test_split_folders_and_two_roots(tmp_path: Path) -> None:
    for split, value in (("train", 0.1), ("test", 0.2)):
        write_picture(tmp_path / "photos" / split / "a.png", torch.full((3, 20, 20), value))
        write_picture(tmp_path / "drawings" / split / "b.png", torch.full((3, 20, 20), -value))
    data = DomainFolders(str(tmp_path / "photos"), str(tmp_path / "drawings"), size=16)
    for split, value in (("train", 0.1), ("test", 0.2)):
        sample = data.split(split)[0]
        assert sample["source"].mean() == pytest.approx(value, abs=0.01)
        assert sample["target"].mean() == pytest.approx(-value, abs=0.01)
    assert data.split("val") is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_transparent_lies_over_white(dtype: type) -> None:
    highest = np.iinfo(dtype).max
    pixels = np.zeros((1, 3, 4), dtype)
    pixels[0, :, 3] = (0, highest, highest // 2)
    shown = opaque(pixels, Path("x.png"))
    assert shown.shape == (3, 1, 3) and shown.numpy().dtype == dtype
    assert shown[:, 0, 0].tolist() == [highest] * 3 and shown[:, 0, 1].tolist() == [0] * 3
    assert abs(int(shown[0, 0, 2]) - highest // 2) <= 1


def test_how_a_picture_becomes_a_square() -> None:
    wide = torch.zeros(3, 16, 32, dtype=torch.uint8)
    wide[:, :, 8:24] = 100
    cut, _ = squared(wide, 16, "crop")
    assert (cut == 100).all()
    padded, _ = squared(wide, 32, "pad")
    assert (padded[:, :8] == 255).all() and torch.equal(padded[:, 8:24], wide)
    bent, where = squared(wide, 16, "stretch")
    assert (bent[:, :, 6:10] == 100).all() and where.tolist() == [[0.5, 1.0], [0.0, 0.0]]


def test_mirroring_is_drawn_for_each_domain(tmp_path: Path) -> None:
    for side in ("source", "target"):
        for at in range(12):
            write_picture(tmp_path / side / f"{at}.png", torch.linspace(-1, 1, 16).expand(3, 16, 16))
    train = DomainFolders(str(tmp_path), size=16, mirror=True).split("train")
    turned = {
        tuple(bool(train[(epoch, 0)][side][0, 0, 0] > 0) for side in ("source", "target"))
        for epoch in range(20)
    }
    assert len(turned) == 4
    assert train[0]["source"][0, 0, 0] < 0


def test_faults_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no folder .*source"):
        DomainFolders(str(tmp_path)).split("train")
    folders(tmp_path, 3, 0)
    (tmp_path / "target").mkdir()
    with pytest.raises(UserError, match="target holds no train pictures; put pictures in source/"):
        DomainFolders(str(tmp_path)).split("train")
    write_picture(tmp_path / "target" / "five.tif", torch.zeros(5, 20, 20))
    for at in range(3):
        write_picture(tmp_path / "target" / f"{at}.png", torch.zeros(3, 20, 20))
    (tmp_path / "source" / "zzz.png").write_bytes(b"no picture")
    found = DomainFolders.check(tmp_path)
    assert sorted(Path(fault.file).name for fault in found.errors) == ["five.tif", "zzz.png"]
    with pytest.raises(UserError, match=r"zzz\.png"):
        DomainFolders(str(tmp_path), size=16).split("train").load(1)
    assert DomainFolders.recognises(tmp_path) and not DomainFolders.recognises(tmp_path / "source")


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"size": 8}, "size"),
        ({"channels": 4}, "channels"),
        ({"fit": "x"}, "fit"),
        ({"target_fit": "x"}, "target_fit"),
    ],
)
def test_mistakes_are_named(options: dict, key: str) -> None:
    with pytest.raises(UserError, match=f"data.{key}"):
        DomainFolders("x", **options)


# -------------------------------------------------------------------------------------------- faces to emoji


def test_faces_and_emoji_are_of_different_people() -> None:
    data = FacesToEmoji(size=32, train_length=12, eval_length=4, batch_size=4)
    batch = next(iter(data.train_dataloader()))
    assert set(batch) == {"source", "target"} and batch["source"].shape == (4, 3, 32, 32)
    train = data.split("train")
    own = [faces.emoji(faces.parameters(0, 2_000_000 + i), 32) for i in range(12)]
    for index in range(12):
        target = train.load(index)["target"]
        assert not any(torch.equal(target, emoji) for emoji in own)


def test_evaluation_knows_the_truth() -> None:
    test = FacesToEmoji(size=32, train_length=4, eval_length=4).split("test")
    for index in range(4):
        sample = test[index]
        assert torch.equal(test.load(index)["truth"], faces.emoji(faces.parameters(0, index), 32))
        assert sample["truth"].min() >= -1 and sample["truth"].max() == 1
        assert not torch.equal(sample["truth"], sample["target"])


def test_worlds_and_splits_differ() -> None:
    data = FacesToEmoji(16, train_length=3, eval_length=3)
    drawn = [data.split(split).load(i)["source"] for split in ("train", "val", "test") for i in range(3)]
    assert len(torch.stack(drawn).flatten(1).unique(dim=0)) == 9
    assert data.describe()["fingerprint"] != FacesToEmoji(16, world=1).describe()["fingerprint"]
    assert data.sheet([data.split("test")[0]]).shape[0] == 3


@pytest.mark.parametrize(
    ("options", "key"),
    [({"size": 8}, "size"), ({"most_yaw": 100}, "most_yaw"), ({"train_length": 10**6}, "train_length")],
)
def test_mistakes_about_faces_are_named(options: dict, key: str) -> None:
    with pytest.raises(UserError, match=f"data.{key}"):
        FacesToEmoji(**options)


# ---------------------------------------------------------------------------------------------------- digits


def idx(path: Path, values: np.ndarray) -> None:
    head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(gzip.compress(head + values.tobytes(), 1))


@pytest.fixture
def digits(tmp_path: Path) -> tuple[str, str]:
    """Ten thousand and a few digits of one bright bar each, and two photographs of one colour each."""
    root, photos = tmp_path / "mnist", tmp_path / "photos"
    root.mkdir()
    (photos / "train").mkdir(parents=True)
    for part, count in (("train", 10_006), ("t10k", 6)):
        values = np.zeros((count, 28, 28), np.uint8)
        values[:, 10:18, 4:24] = 250
        idx(root / f"{part}-images-idx3-ubyte.gz", values)
        idx(root / f"{part}-labels-idx1-ubyte.gz", (np.arange(count) % 10).astype(np.uint8))
    for at, colour in enumerate(((10, 100, 200), (60, 70, 80))):
        Image.new("RGB", (50, 40), colour).save(photos / "train" / f"{at}.png")
    return str(root), str(photos)


def test_mnist_m_is_the_difference_to_a_photograph(digits: tuple[str, str]) -> None:
    data = DigitsToMNISTM(*digits, batch_size=2)
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [6, 10_000, 6]
    loaded = data.split("test").load(1)
    assert loaded["source"].shape == loaded["target"].shape == (3, 32, 32)
    assert loaded["source"][:, :12].max() == 0 and (loaded["source"][:, 12:20, 6:26] == 250).all()
    colour = loaded["target"][:, 0, 0]  # the frame shows the photograph itself
    assert colour.tolist() in ([10, 100, 200], [60, 70, 80])
    assert torch.equal(loaded["target"][:, 15, 15].int(), 250 - colour.int())
    assert int(loaded["label"]) == 1 and int(loaded["target_label"]) == 4  # half of six digits away
    swapped = DigitsToMNISTM(*digits, to_mnist=True).split("test").load(1)
    assert torch.equal(swapped["source"], loaded["target"]) and int(swapped["target_label"]) == 1
    batch = next(iter(data.train_dataloader()))
    assert set(batch) == {"source", "target", "label", "target_label"} and batch["target"].min() >= -1


def test_digits_come_with_their_own_labels_in_training(digits: tuple[str, str]) -> None:
    train = DigitsToMNISTM(*digits).split("train")
    draws = [train[(epoch, 2)] for epoch in range(8)]
    assert {int(sample["label"]) for sample in draws} == {2}
    assert len({int(sample["target_label"]) for sample in draws}) > 1
    assert DigitsToMNISTM(*digits, world=1).describe()["research_only"] is True


def test_photographs_must_be_there(digits: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty holds no photographs.*data\.photos"):
        DigitsToMNISTM(digits[0], str(tmp_path / "empty")).split("test")
    Image.new("RGB", (32, 40)).save(tmp_path / "empty" / "small.png")
    with pytest.raises(UserError, match=r"small\.png is no 8-bit picture"):
        DigitsToMNISTM(digits[0], str(tmp_path / "empty")).split("test")


# ------------------------------------------------------------------------------------------------- real sets


def test_real_faces_and_real_avatars(zoo_data: Path) -> None:
    for kind in ("facesjs", "avataaars"):
        data = DomainFolders(
            "faces_london/images", f"avatars/{kind}", size=32, target_fit="pad", batch_size=4
        )
        assert [len(data.split(split)) for split in ("train", "val", "test")] == [800, 25, 25]
        batch = next(iter(data.test_dataloader()))
        assert batch["source"].shape == batch["target"].shape == (4, 3, 32, 32)
        assert (batch["target"][:, :, 0, 0] == 1).all()  # transparent corners are white


def test_real_mnist_m(zoo_data: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for path in sorted((zoo_data / "bsds500" / "train").glob("*.jpg"))[:5]:
        (tmp_path / "photos" / path.name).symlink_to(path)
    data = DigitsToMNISTM("mnist", str(tmp_path / "photos"))
    assert len(data.split("test")) == 10_000
    sample = data.split("test")[0]
    assert sample["source"].shape == (3, 32, 32) and int(sample["label"]) == 7
    assert sample["target"].std() > 0.05 and "MNIST-M" in data.describe()["name"]
