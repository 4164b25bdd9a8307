"""Label maps to photographs: numbers and colours, things, one jitter, folders in every layout."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch
from PIL import Image

from zoo.data.base import to_floats
from zoo.data.label_maps.module import LabelMapFolder
from zoo.data.pairs.world import ScenePairs
from zoo.errors import UserError
from zoo.features.segmenter import FACADES
from zoo.files.pictures import read_labels, to_tensor, write_picture

PALETTE = {"sky": (70, 130, 180), "road": (128, 64, 128), "car": (0, 0, 142), "grass": (0, 0, 143)}
COLOURS = np.array(list(PALETTE.values()), np.uint8)


def numbers(height: int = 20, width: int = 30, classes: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, classes, (height, width)).astype(np.uint8)


def png(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(imagecodecs.png_encode(values)))


def palette_png(path: Path, values: np.ndarray) -> None:
    """A PNG whose values point at colours that say nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values, "L")
    image.putpalette([255 - i // 3 for i in range(768)])
    image.save(path)


def write_palette(root: Path) -> None:
    lines = ["r,g,b,name", *(f"{r}, {g}, {b}, {name}" for name, (r, g, b) in PALETTE.items())]
    (root / "palette.csv").write_text("\n".join(lines) + "\n")


def things(labels: np.ndarray) -> np.ndarray:
    """A number a pixel that says which class and place it has."""
    return (labels.astype(np.uint16) * 1000 + np.arange(labels.size).reshape(labels.shape) % 700).astype(
        np.uint16
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photographs in which each pixel shows its class and place, with class numbers and things."""
    root = tmp_path / "streets"
    root.mkdir()
    write_palette(root)
    for split in ("train", "val"):
        for i in range(3):
            labels = numbers(seed=i)
            rows, columns = np.mgrid[:20, :30]
            png(
                root / "images" / split / f"{i}.png",
                np.stack([labels * 50, rows, columns], 2).astype(np.uint8),
            )
            png(root / "labels" / split / f"{i}.png", labels)
            png(root / "instances" / split / f"{i}.png", things(labels))
    return root


def values(picture: torch.Tensor) -> torch.Tensor:
    return ((picture + 1) * 127.5).round().long()


def test_keys_shapes_and_values(folder: Path) -> None:
    data = LabelMapFolder(str(folder), size=(20, 30), load_size=(20, 30), mirror=False, batch_size=2)
    batch = next(iter(data.train_dataloader()))
    assert batch["input"].shape == (2, 4, 20, 30) and batch["input"].dtype == torch.float32
    assert batch["target"].shape == (2, 3, 20, 30)
    assert batch["labels"].shape == batch["instances"].shape == (2, 20, 30)
    assert batch["labels"].dtype == batch["instances"].dtype == torch.long
    assert set(batch["input"].unique().tolist()) == {0, 1} and bool((batch["input"].sum(1) == 1).all())
    assert torch.equal(batch["input"].argmax(1), batch["labels"])
    first = data.split("train")[0]
    assert torch.equal(first["labels"], torch.from_numpy(numbers().astype(np.int64)))
    assert torch.equal(first["instances"], torch.from_numpy(things(numbers()).astype(np.int64)))
    assert data.split("test") is None and len(data.split("val")) == 3


def test_one_jitter_for_all_maps(folder: Path) -> None:
    samples = LabelMapFolder(str(folder), size=(16, 24), load_size=(20, 30), seed=3).split("train")
    whole, seen = torch.from_numpy(things(numbers()).astype(np.int64)), set()
    for epoch in range(60):
        sample = samples[epoch, 0]
        shown = values(sample["target"])
        assert torch.equal(shown[0], sample["labels"] * 50) and torch.equal(
            sample["input"].argmax(0), sample["labels"]
        )
        top, left, right = int(shown[1, 0, 0]), int(shown[2, 0, 0]), int(shown[2, 0, -1])
        start = min(left, right)
        cut = whole[top : top + 16, start : start + 24]
        assert torch.equal(sample["instances"], cut.flip(1) if right < left else cut)
        seen.add((top, start, right < left))
    assert {s[0] for s in seen} == set(range(5)) and {s[1] for s in seen} == set(range(7))
    assert {s[2] for s in seen} == {True, False}


def test_resizing_invents_no_class_and_no_thing(folder: Path) -> None:
    small = LabelMapFolder(str(folder), size=(7, 9)).split("val")
    loaded = small.load(0)
    rows, columns = (((np.arange(n) + 0.5) * old / n).astype(int) for n, old in ((7, 20), (9, 30)))
    for key, whole in (("labels", numbers()), ("instances", things(numbers()))):
        assert np.array_equal(loaded[key].numpy(), whole[rows][:, columns])
    steps = np.zeros((32, 32, 3), np.uint8)
    steps[:, ::2] = 255
    png(folder / "images" / "val" / "0.png", steps)
    png(folder / "labels" / "val" / "0.png", numbers(32, 32))
    png(folder / "instances" / "val" / "0.png", things(numbers(32, 32)))
    smooth = LabelMapFolder(str(folder), size=8).split("val")[0]
    assert smooth["target"].abs().mean() < 0.15  # photographs are antialiased


def test_numbers_palette_pictures_and_colours_say_the_same(folder: Path) -> None:
    palette_png(folder / "labels" / "val" / "1.png", numbers(seed=1))
    png(folder / "labels" / "val" / "2.png", COLOURS[numbers(seed=2)])
    samples = LabelMapFolder(str(folder), size=(20, 30)).split("val")
    for i in range(3):
        assert torch.equal(samples[i]["labels"], torch.from_numpy(numbers(seed=i).astype(np.int64)))


def optimised(path: Path, colours: np.ndarray) -> None:
    """A palette PNG of a picture's colours in the order in which they appear, as optimisers write it."""
    image = Image.fromarray(colours, "RGB")
    flat = [tuple(colour) for colour in colours.reshape(-1, 3).tolist()]
    order = list(dict.fromkeys(flat))
    indexed = Image.new("P", image.size)
    indexed.putpalette([value for colour in order for value in colour])
    indexed.putdata([order.index(colour) for colour in flat])
    path.parent.mkdir(parents=True, exist_ok=True)
    indexed.save(path)
    with Image.open(path) as saved:  # the same picture in other numbers
        assert saved.mode == "P" and np.array_equal(np.asarray(saved.convert("RGB")), colours)


def test_a_palette_in_another_order_is_read_by_its_colours(folder: Path) -> None:
    labels = numbers(seed=1)
    labels[0, :3] = (2, 3, 0)
    path = folder / "labels" / "val" / "1.png"
    optimised(path, COLOURS[labels])
    assert not torch.equal(read_labels(path), torch.from_numpy(labels.astype(np.int64)))
    for void in (None, 255, 0):
        data = LabelMapFolder(str(folder), size=(20, 30), void=void)
        found = data.split("val")[1]["labels"]
        assert torch.equal(found, torch.from_numpy(labels.astype(np.int64))), void
    strange = COLOURS[labels]
    strange[3, 4] = (1, 2, 3)
    optimised(path, strange)
    said = r"1\.png shows number 0 in the colour of class 2 \(car\) but number 4 in \(1, 2, 3\), that of none"
    with pytest.raises(UserError, match=said):
        LabelMapFolder(str(folder), size=(20, 30)).split("val").load(1)
    assert any("that of none" in fault.text for fault in LabelMapFolder.check(folder).errors)


def test_palettes_that_agree_or_say_nothing_are_read_by_number(folder: Path) -> None:
    labels = numbers(seed=1)
    labels[:2] = 255
    greys = np.arange(256)[:, None].repeat(3, 1)
    padded = np.concatenate([COLOURS, np.tile(COLOURS[:1], (252, 1))])  # void looks like class 0
    (folder / "palette.csv").write_text("70,130,180,sky\n0,0,0,road\n0,0,142,car\n0,0,143,grass\n")
    padded[1] = 0
    for palette in (greys, padded):
        image = Image.fromarray(labels, "L").convert("P")
        image.putdata(labels.reshape(-1).tolist())
        image.putpalette(palette.astype(np.uint8).tobytes())
        image.save(folder / "labels" / "val" / "1.png")
        found = LabelMapFolder(str(folder), size=(20, 30), void=255).split("val")[1]["labels"].numpy()
        assert np.array_equal(found, np.where(labels == 255, 4, labels))


def test_without_a_palette_the_number_of_classes_is_told(folder: Path) -> None:
    (folder / "palette.csv").unlink()
    with pytest.raises(UserError, match=r"streets has no palette\.csv.*data\.classes"):
        LabelMapFolder(str(folder)).split("train")
    assert LabelMapFolder(str(folder), size=8, classes=6).split("train")[0]["input"].shape == (6, 8, 8)
    with pytest.raises(
        UserError, match=r"labels/train/0\.png holds the class number 3, but there are 3 classes"
    ):
        LabelMapFolder(str(folder), size=8, classes=3).split("train")[0]


def test_void_becomes_the_last_class(folder: Path) -> None:
    labels = numbers()
    labels[:4] = 255
    png(folder / "labels" / "val" / "0.png", labels)
    with pytest.raises(UserError, match=r"val/0\.png holds the class number 255.*data\.void"):
        LabelMapFolder(str(folder), size=(20, 30)).split("val")[0]
    data = LabelMapFolder(str(folder), size=(20, 30), void=255)
    sample = data.split("val")[0]
    assert sample["input"].shape[0] == 5 and bool((sample["labels"][:4] == 4).all())
    assert torch.equal(sample["labels"][4:], torch.from_numpy(labels[4:].astype(np.int64)))
    assert data.describe()["preprocessing"]["classes"][-1] == "void"
    labels[0] = 4  # the number that void gets is not void in a file
    png(folder / "labels" / "val" / "0.png", labels)
    with pytest.raises(UserError, match="holds the class number 4"):
        data.split("val").load(0)


def test_samples_without_things_have_no_such_key(folder: Path) -> None:
    for path in (folder / "instances" / "val").iterdir():
        path.unlink()
    (folder / "instances" / "val").rmdir()
    data = LabelMapFolder(str(folder), size=8)
    assert "instances" not in data.split("val")[0] and "instances" in data.split("train")[0]


def test_batches_do_not_depend_on_workers(folder: Path) -> None:
    def batches(workers: int) -> list[torch.Tensor]:
        data = LabelMapFolder(str(folder), size=16, num_workers=workers, seed=7)
        return [torch.cat([b[k].float().flatten() for k in sorted(b)]) for b in data.train_dataloader()]

    assert len(batches(0)) == 3
    assert all(torch.equal(a, b) for a, b in zip(batches(0), batches(1), strict=True))


def test_camvid_s_layout(tmp_path: Path) -> None:
    for split in ("train", "test"):
        png(tmp_path / split / "a.png", np.zeros((18, 24, 3), np.uint8))
        png(tmp_path / f"{split}annot" / "a.png", numbers(18, 24, 12))
    data = LabelMapFolder(str(tmp_path), size=(18, 24))
    assert torch.equal(
        data.split("test")[0]["labels"], torch.from_numpy(numbers(18, 24, 12).astype(np.int64))
    )
    assert data.split("train")[0]["input"].shape == (12, 18, 24)
    described = data.describe()
    assert described["preprocessing"]["classes"][-1] == "void" and "CamVid" in described["licence"]
    assert len(described["preprocessing"]["colours"]) == 12


def test_cityscapes_layout(tmp_path: Path) -> None:
    for split, city in (("train", "aachen"), ("train", "bonn"), ("val", "lindau")):
        stem = f"{city}_000000_000019"
        png(
            tmp_path / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png",
            np.zeros((16, 32, 3), np.uint8),
        )
        labels = numbers(16, 32, 35)
        png(tmp_path / "gtFine" / split / city / f"{stem}_gtFine_labelIds.png", labels)
        png(tmp_path / "gtFine" / split / city / f"{stem}_gtFine_color.png", COLOURS[labels % 4])
        png(tmp_path / "gtFine" / split / city / f"{stem}_gtFine_instanceIds.png", things(labels))
    data = LabelMapFolder(str(tmp_path), size=(16, 32))
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [2, 1, 1]
    sample = data.split("val")[0]
    assert sample["input"].shape == (35, 16, 32) and int(sample["instances"].max()) > 30_000
    assert LabelMapFolder.check(tmp_path).samples == {"train": 2, "val": 1, "test": 1}
    (tmp_path / "gtFine" / "val" / "lindau" / "lindau_000000_000019_gtFine_labelIds.png").unlink()
    with pytest.raises(UserError, match=r"lindau_000000_000019_leftImg8bit\.png has no .*labelIds\.png"):
        LabelMapFolder(str(tmp_path)).split("val")


def test_label_halves_in_colours_that_a_jpeg_blurred(tmp_path: Path) -> None:
    colours = np.array(list(FACADES.values()), np.uint8)
    labels = numbers(4, 4, 12).repeat(16, 0).repeat(16, 1)
    photo = np.full((64, 64, 3), 120, np.uint8)
    path = tmp_path / "train" / "1.jpg"
    write_picture(path, to_tensor(np.concatenate([photo, colours[labels]], 1)))
    data = LabelMapFolder(str(tmp_path), size=64, load_size=64, mirror=False)
    sample = data.split("train")[0]
    right = sample["labels"] == torch.from_numpy(labels.astype(np.int64))
    assert right.float().mean() > 0.9 and bool(right[8::16, 8::16].all())
    assert (values(sample["target"]) - 120).abs().max() <= 3
    assert data.describe()["preprocessing"]["classes"] == list(FACADES)
    write_palette(tmp_path)
    write_picture(path, to_tensor(np.concatenate([photo, COLOURS[numbers(64, 64)]], 1)))
    assert LabelMapFolder(str(tmp_path), size=64).split("train")[0]["input"].shape[0] == 4
    write_picture(path, to_tensor(np.concatenate([photo, photo * 2], 1)))
    with pytest.raises(UserError, match=r"right half of .*1\.jpg is no label map"):
        LabelMapFolder(str(tmp_path), size=64).split("train")[0]
    assert not LabelMapFolder.recognises(tmp_path)


def test_faulty_files_are_named(folder: Path) -> None:
    labels = folder / "labels" / "train"
    strange = COLOURS[numbers()]
    strange[3, 4] = (1, 2, 3)
    for values_, message in (
        (strange, r"labels/train/1\.png has 1 pixels in colours of no class, the first \(1, 2, 3\)"),
        (
            np.dstack([COLOURS[numbers()], numbers()]),
            r"labels/train/1\.png is a label map in colour with alpha",
        ),
        (numbers(20, 29), r"labels/train/1\.png is 29 x 20 pixels but .*images/train/1\.png 30 x 20"),
        (numbers(classes=9), r"labels/train/1\.png holds the class number 8, but there are 4 classes"),
    ):
        png(labels / "1.png", values_)
        with pytest.raises(UserError, match=message):
            LabelMapFolder(str(folder), size=8).split("train").load(1)
        found = LabelMapFolder.check(folder)
        assert [fault.file for fault in found.errors] == [str(labels / "1.png")] and found.samples[
            "train"
        ] == 2
    png(labels / "1.png", numbers())
    png(folder / "instances" / "train" / "2.png", things(numbers(10, 10)))
    with pytest.raises(UserError, match=r"instances/train/2\.png is 10 x 10 pixels"):
        LabelMapFolder(str(folder), size=8).split("train").load(2)
    assert LabelMapFolder.check(folder).errors[0].file.endswith("instances/train/2.png")


def test_files_without_a_partner_are_named(folder: Path) -> None:
    (folder / "instances" / "train" / "2.png").unlink()
    with pytest.raises(
        UserError, match=r"1 of .*labels/train have no single partner \(2\.png\).*instances/train"
    ):
        LabelMapFolder(str(folder)).split("train")
    (folder / "images" / "train" / "0.png").unlink()
    with pytest.raises(UserError, match=r"labels/train have no single partner \(0\.png\).*images/train"):
        LabelMapFolder(str(folder)).split("train")
    assert any("no single partner" in fault.text for fault in LabelMapFolder.check(folder).errors)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3,a\n1,2,b\n", r"has the line '1,2,b'"),
        ("1,2,3,a\n1,2,300,b\n", r"has the line '1,2,300,b'"),
        ("1,2,3,a\n1,2,3,b\n", "gives a and b one colour"),
        ("r,g,b,name\n1,2,3,a\n", "names fewer than two classes"),
    ],
)
def test_a_faulty_palette_is_named(folder: Path, text: str, message: str) -> None:
    (folder / "palette.csv").write_text(text)
    with pytest.raises(UserError, match=rf"palette\.csv {message}"):
        LabelMapFolder(str(folder)).split("train")


def test_folders_without_label_maps_say_what_is_expected(tmp_path: Path) -> None:
    for root, state in ((tmp_path, "holds no label maps"), (tmp_path / "nowhere", "does not exist")):
        with pytest.raises(UserError, match=rf"{state}.*images/train/x\.jpg with labels/train/x\.png"):
            LabelMapFolder(str(root)).split("train")
    (tmp_path / "images" / "train").mkdir(parents=True)
    (tmp_path / "labels").mkdir()
    with pytest.raises(UserError, match="has nothing to train on"):
        LabelMapFolder(str(tmp_path), classes=3).split("train")


def test_mistakes_are_named(folder: Path) -> None:
    for options, message in (
        ({"size": 0}, r"data\.size is 0"),
        ({"size": (8, 16), "load_size": (9, 12)}, r"data\.load_size \(9, 12\) is less"),
        ({"classes": 1}, r"data\.classes is 1"),
    ):
        with pytest.raises(UserError, match=message):
            LabelMapFolder(str(folder), **options)
    with pytest.raises(UserError, match=r"data\.classes is 9 but .*streets has 4 classes"):
        LabelMapFolder(str(folder), classes=9).split("train")


def test_check_writes_what_a_recipe_needs(folder: Path) -> None:
    assert LabelMapFolder.recognises(folder) and LabelMapFolder.check(folder).arguments == {"size": [20, 30]}
    (folder / "palette.csv").unlink()
    labels = numbers()
    labels[0] = 255
    png(folder / "labels" / "train" / "0.png", labels)
    found = LabelMapFolder.check(folder)
    assert found.arguments == {"size": [20, 30], "classes": 4, "void": 255} and not found.errors
    assert found.samples == {"train": 3, "val": 3, "test": 0}
    sample = LabelMapFolder(str(folder), **found.arguments).split("train")[0]
    assert sample["input"].shape == (5, 20, 30)


def test_check_finds_void_beside_a_palette(folder: Path) -> None:
    labels = numbers()
    labels[0] = 255
    png(folder / "labels" / "train" / "0.png", labels)
    found = LabelMapFolder.check(folder)
    assert not found.errors and found.samples["train"] == 3
    assert found.arguments == {"size": [20, 30], "void": 255}
    data = LabelMapFolder(str(folder), **found.arguments)
    assert bool((data.split("train")[0]["labels"][0] == 4).all())
    assert len(data.preprocessing()["classes"]) == 5 and len(data.preprocessing()["colours"]) == 4


def test_what_a_checkpoint_must_know(folder: Path) -> None:
    described = LabelMapFolder(str(folder), size=8).describe()
    assert described["contract"] == "pairs" and described["licence"] == "unknown: research use only"
    prepared = described["preprocessing"]
    assert (
        prepared["classes"] == list(PALETTE) and prepared["size"] == [8, 8] and prepared["source"] == "labels"
    )
    assert prepared["colours"] == [list(colour) for colour in PALETTE.values()]
    png(folder / "labels" / "train" / "0.png", numbers(10, 10))
    assert LabelMapFolder(str(folder), size=8).describe()["fingerprint"] != described["fingerprint"]


def test_drawn_scenes_have_things_too() -> None:
    sample = ScenePairs(size=32, train_length=2, eval_length=2).split("test")[0]
    assert sample["instances"].shape == (32, 32) and sample["instances"].dtype == torch.long
    assert set(sample["instances"].unique().tolist()) >= {0, 1}


# -------------------------------------------------------------------------------------------------- real sets


def test_camvid(zoo_data: Path) -> None:
    data = LabelMapFolder(str(zoo_data / "camvid"), size=(176, 240), load_size=(180, 240))
    assert {s: len(data.split(s)) for s in ("train", "val", "test")} == {
        "train": 367,
        "val": 101,
        "test": 233,
    }
    seen: set[int] = set()
    for index in range(0, 367, 40):
        sample = data.split("train")[0, index]
        assert sample["input"].shape == (12, 176, 240) and sample["target"].shape == (3, 176, 240)
        assert sample["target"].min() >= -1 and sample["target"].max() <= 1
        seen |= set(sample["labels"].unique().tolist())
    assert seen == set(range(12))
    loaded = data.split("train").load(0)
    sky, road = (to_floats(loaded["target"])[:, loaded["labels"] == number].mean() for number in (0, 3))
    assert sky > road + 0.3  # numbers mean what their names say


def test_facades(zoo_data: Path) -> None:
    data = LabelMapFolder(str(zoo_data / "facades"))
    assert {s: len(data.split(s)) for s in ("train", "val", "test")} == {
        "train": 400,
        "val": 100,
        "test": 106,
    }
    loaded = [data.split("train").load(index) for index in (0, 100, 200, 300)]
    share = torch.stack([torch.bincount(x["labels"].flatten(), minlength=12) for x in loaded]).float().mean(0)
    assert share.argmax() == list(FACADES).index("facade") and (share > 0).sum() >= 9
    assert all(x["target"].shape == (3, 286, 286) and x["labels"].shape == (286, 286) for x in loaded)
