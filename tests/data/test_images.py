"""Pictures for unconditional generation: counts, ranges, order, and what is said about bad files."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from zoo.data.base import DataModule, Split
from zoo.data.images import FaceWorld
from zoo.data.images.module import MNIST, Digits, ImageFolder
from zoo.data.pixels import with_channels
from zoo.data.worlds import faces
from zoo.errors import UserError
from zoo.files.pictures import write_picture


def epoch(data: DataModule, split: str = "train") -> dict[str, Tensor]:
    """All batches of one loader, joined."""
    batches = list(getattr(data, f"{split}_dataloader")())
    return {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}


# ------------------------------------------------------------ digits


def test_digits_are_all_there_and_split_without_overlap() -> None:
    data = Digits(batch_size=1)
    parts = [epoch(data, split) for split in ("train", "val", "test")]
    assert [len(part["label"]) for part in parts] == [1283, 257, 257]
    for part in parts:
        assert part["image"].shape[1:] == (1, 8, 8) and part["image"].dtype == torch.float32
        assert float(part["image"].min()) == -1 and float(part["image"].max()) == 1
        counts = part["label"].bincount(minlength=10)
        assert len(counts) == 10 and counts.min() >= 0.07 * len(part["label"])
    from sklearn.datasets import load_digits

    bunch = load_digits()
    ours = torch.cat([part["image"] for part in parts]).mul(8).add(8).flatten(1)
    theirs = torch.from_numpy(bunch.data).float()
    assert torch.equal(ours.sum(1).sort().values, theirs.sum(1).sort().values)
    assert torch.equal(
        parts[2]["image"].mul(8).add(8).flatten(1), theirs[::7]
    )  # exactly its values, in its order


def test_a_batch_at_once_equals_its_samples() -> None:
    train = Digits().split("train")
    assert train is not None
    keys: list[Any] = [(0, 5), (3, 700), 11]
    batch: Any = train.__getitems__(keys)
    for at, key in enumerate(keys):
        assert torch.equal(batch["image"][at], train[key]["image"])
        assert batch["label"][at] == train[key]["label"]


@pytest.mark.parametrize("workers", [0, 2])
def test_order_depends_on_the_seed_and_not_on_workers(workers: int) -> None:
    def labels(seed: int, num_workers: int) -> Tensor:
        return epoch(Digits(batch_size=64, num_workers=num_workers, seed=seed))["label"]

    assert torch.equal(labels(1, workers), labels(1, 0))
    assert not torch.equal(labels(1, workers), labels(2, 0))


def test_digits_describe_themselves() -> None:
    said = Digits().describe()
    assert said == Digits(batch_size=3, seed=9).describe()
    assert said["contract"] == "images" and len(said["fingerprint"]) == 64


# ------------------------------------------------------------ MNIST


def write_idx(root: Path, train: int, test: int, packed: bool) -> Tensor:
    """Four small idx files; gives the training pictures."""
    random = torch.Generator().manual_seed(1)
    kept = None
    for part, length in (("train", train), ("t10k", test)):
        values = torch.randint(256, (length, 4, 5), dtype=torch.uint8, generator=random)
        labels = (torch.arange(length) % 10).to(torch.uint8)
        for name, tensor in ((f"{part}-images-idx3-ubyte", values), (f"{part}-labels-idx1-ubyte", labels)):
            head = bytes([0, 0, 8, tensor.ndim]) + struct.pack(f">{tensor.ndim}I", *tensor.shape)
            data = head + tensor.numpy().tobytes()
            path = root / (f"{name}.gz" if packed else name)
            path.write_bytes(gzip.compress(data) if packed else data)
        kept = values if kept is None else kept
    assert kept is not None
    return kept


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_are_read_and_the_last_10000_held_out(tmp_path: Path, packed: bool) -> None:
    values = write_idx(tmp_path, 10_030, 7, packed)
    data = MNIST(str(tmp_path), batch_size=30)
    train, val, test = data.split("train"), data.split("val"), data.split("test")
    assert train is not None and val is not None and test is not None
    assert (len(train), len(val), len(test)) == (30, 10_000, 7)
    torch.testing.assert_close(train[3]["image"], values[3].float()[None] / 127.5 - 1)
    torch.testing.assert_close(val[0]["image"], values[30].float()[None] / 127.5 - 1)
    assert data.describe()["name"] == f"idx files of {tmp_path.name}"
    padded = MNIST(str(tmp_path), pad=2).split("train")
    assert padded is not None
    image = padded[3]["image"]
    torch.testing.assert_close(image[:, 2:-2, 2:-2], train[3]["image"])
    assert image.shape == (1, 8, 9) and (image[:, :2] == -1).all() and (image[..., -2:] == -1).all()


def test_drawn_faces_are_many_people_at_any_yaw() -> None:
    data = FaceWorld(size=16, most_yaw=0, train_length=5, eval_length=3)
    train, test = data.split("train"), data.split("test")
    assert train is not None and test is not None
    frontal = [train.load(i)["image"] for i in range(5)] + [test.load(i)["image"] for i in range(3)]
    assert len({image.numpy().tobytes() for image in frontal}) == 8
    drawn = faces.draw(faces.parameters(0, 2_000_001), 0.0, 16).picture
    assert torch.equal(frontal[1], drawn)
    turned = FaceWorld(size=16, train_length=5, eval_length=3).split("train")
    assert turned is not None
    assert sum(torch.equal(turned.load(i)["image"], frontal[i]) for i in range(5)) == 0
    with pytest.raises(UserError, match=r"data\.most_yaw is 91"):
        FaceWorld(most_yaw=91)


def test_real_mnist(zoo_data: Path) -> None:
    data = MNIST(str(zoo_data / "mnist"))
    train, val, test = data.split("train"), data.split("val"), data.split("test")
    assert train is not None and val is not None and test is not None
    assert [len(part) for part in (train, val, test)] == [50_000, 10_000, 10_000]
    assert [int(train[i]["label"]) for i in range(5)] == [5, 0, 4, 1, 9]
    assert [int(test[i]["label"]) for i in range(5)] == [7, 2, 1, 0, 4]
    batch: Any = train.__getitems__(list(range(1_000)))
    assert float(batch["image"].min()) == -1 and float(batch["image"].max()) == 1
    assert float((batch["image"].mean() + 1) / 2) == pytest.approx(0.1307, abs=0.005)  # MNIST's mean pixel
    assert data.describe()["name"] == "MNIST"


def test_missing_and_damaged_idx_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte.*zoo data get mnist"):
        MNIST(str(tmp_path)).split("train")
    write_idx(tmp_path, 10_001, 3, packed=True)
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"train-labels-idx1-ubyte\.gz is not a whole idx file"):
        MNIST(str(tmp_path)).split("train")
    write_idx(tmp_path, 10_001, 3, packed=False)
    path = tmp_path / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="t10k-images-idx3-ubyte is not a whole idx file"):
        MNIST(str(tmp_path)).split("test")


# ------------------------------------------------------------ any folder


def picture(height: int, width: int, channels: int = 3, value: float | None = None) -> Tensor:
    if value is not None:
        return torch.full((channels, height, width), value)
    return torch.linspace(-1, 1, channels * height * width).view(channels, height, width)


def fill(root: Path, names: list[str], height: int = 6, width: int = 6, channels: int = 3) -> None:
    for name in names:
        write_picture(root / name, picture(height, width, channels))


def test_a_flat_folder_holds_out_by_name(tmp_path: Path) -> None:
    fill(tmp_path, [f"{i:02}.png" for i in range(20)])
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_text("no picture")
    data = ImageFolder(str(tmp_path), batch_size=2)
    splits: tuple[Split, ...] = ("train", "val", "test")
    names = {split: [path.name for path in data.files(split)[1]] for split in splits}
    assert names["test"] == ["00.png", "10.png"] and names["val"] == ["01.png", "11.png"]
    assert len(names["train"]) == 16 and not set(names["train"]) & {"00.png", "01.png", "10.png", "11.png"}
    whole = ImageFolder(str(tmp_path), batch_size=2, hold_out=0)
    assert (
        len(whole.split("train") or ()) == 20
        and whole.split("test") is None
        and whole.test_dataloader() == []
    )
    batch = epoch(data)
    assert set(batch) == {"image"} and batch["image"].shape == (16, 3, 6, 6)
    torch.testing.assert_close(batch["image"][0], picture(6, 6), rtol=0, atol=1 / 255)


@pytest.mark.parametrize(("count", "train", "held"), [(1, 1, 0), (2, 2, 0), (3, 1, 1), (12, 8, 2)])
def test_check_counts_what_training_reads(tmp_path: Path, count: int, train: int, held: int) -> None:
    fill(tmp_path, [f"{i:02}.png" for i in range(count)])
    found = ImageFolder.check(tmp_path)
    assert not found.errors and found.samples == {"train": train, "val": held, "test": held}
    data = ImageFolder(str(tmp_path), **found.arguments)
    splits: tuple[Split, ...] = ("train", "val", "test")
    assert {split: len(data.split(split) or ()) for split in splits} == found.samples
    assert len(epoch(data)["image"]) == train  # whole batches


def test_split_and_class_folders(tmp_path: Path) -> None:
    fill(tmp_path, ["train/cat/a.png", "train/dog/b.png", "train/dog/deep/c.png", "val/dog/d.png"])
    data = ImageFolder(str(tmp_path), batch_size=1)
    train, val = data.split("train"), data.split("val")
    assert train is not None and val is not None and data.split("test") is None
    assert [int(train[i]["label"]) for i in range(3)] == [0, 1, 1]
    assert int(val[0]["label"]) == 1
    assert data.describe()["name"] == tmp_path.name  # as checkpoints and packs of earlier versions have it


def test_size_resizes_the_shorter_side_and_cuts_the_centre(tmp_path: Path) -> None:
    wide = picture(8, 24, value=-1.0)
    wide[:, :, 8:16] = 1.0
    write_picture(tmp_path / "a.png", wide)
    for size in (8, 4, 16):
        train = ImageFolder(str(tmp_path), size=size, hold_out=0, batch_size=1).split("train")
        assert train is not None
        image = train[0]["image"]
        assert image.shape == (3, size, size) and image.abs().max() <= 1
        assert float(image[:, :, size // 4 : -size // 4].min()) == 1  # resampling darkens the borders at most


def test_augmentation_is_a_function_of_seed_epoch_and_index(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", picture(8, 24, 1))
    data = ImageFolder(str(tmp_path), size=8, random_crop=True, mirror=True, hold_out=0, batch_size=1, seed=3)
    train = data.split("train")
    assert train is not None
    images = [train[at, 0]["image"] for at in range(30)]
    assert all(torch.equal(image, train[at, 0]["image"]) for at, image in enumerate(images))
    assert len({tuple(image.flatten().tolist()) for image in images}) > 10
    mirrored = sum(bool(image[0, 0, 0] > image[0, 0, -1]) for image in images)
    assert 5 < mirrored < 25
    assert torch.equal(train[0]["image"], train[0]["image"])  # evaluation: the centre, as it is
    torch.testing.assert_close(train[0]["image"], picture(8, 24, 1)[:, :, 8:16], rtol=0, atol=1 / 255)


def test_channels_are_brought_together(tmp_path: Path) -> None:
    colour = torch.tensor([255, 127, 0], dtype=torch.uint8)[:, None, None].expand(3, 2, 2)
    grey = with_channels(colour, 1, tmp_path)
    assert torch.equal(grey, torch.full((1, 2, 2), round(0.299 * 255 + 0.587 * 127), dtype=torch.uint8))
    alpha = torch.cat([colour, torch.full((1, 2, 2), 9, dtype=torch.uint8)])
    assert torch.equal(with_channels(alpha, 3, tmp_path), colour)
    assert torch.equal(with_channels(alpha[3:], 3, tmp_path), alpha[3:].expand(3, 2, 2))
    assert with_channels(alpha, None, tmp_path) is alpha
    with pytest.raises(UserError, match="5 channels"):
        with_channels(torch.zeros(5, 2, 2), 3, Path("a.tif"))


def test_bad_folders_are_refused_with_names(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        ImageFolder(str(tmp_path / "nowhere")).split("train")
    with pytest.raises(UserError, match="no pictures"):
        ImageFolder(str(tmp_path)).split("train")
    fill(tmp_path, ["a.png"], 6, 6)
    fill(tmp_path, ["b.png"], 6, 9)
    fill(tmp_path, ["c.png"], 6, 6, 1)
    train = ImageFolder(str(tmp_path), hold_out=0).split("train")
    assert train is not None
    with pytest.raises(UserError, match=r"b\.png is 9x6 but .*a\.png is 6x6; set data\.size"):
        train[1]
    with pytest.raises(UserError, match=r"c\.png has 1 channels but .*a\.png has 3; set data\.channels"):
        train[2]
    together = ImageFolder(str(tmp_path), hold_out=0, size=6, channels=3, batch_size=3)
    assert epoch(together)["image"].shape == (3, 3, 6, 6)
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "d.png").write_bytes(whole[: len(whole) // 2])
    train = ImageFolder(str(tmp_path), hold_out=0).split("train")
    assert train is not None
    with pytest.raises(UserError, match=r"d\.png"):
        train[3]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"channels": 2}, "channels"),
        ({"random_crop": True}, "random_crop"),
        ({"size": 0}, "size"),
        ({"size": 8, "load_size": 4}, "load_size"),
        ({"hold_out": 2}, "hold_out"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(UserError, match=f"data.{word}"):
        ImageFolder(".", **options)
