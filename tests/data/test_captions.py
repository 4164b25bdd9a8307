"""Captioned pictures: every form of a folder, the mismatch, the known sets, each fault in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.commands._names import reader
from zoo.data import packs
from zoo.data.captions.avatar_words import avataaar, colour_name, face
from zoo.data.captions.files import read_folder
from zoo.data.captions.module import CaptionFolder
from zoo.data.captions.sets import CUB, Avatars, COCOCaptions, DungeonTiles, Emoji, OxfordFlowers, Stamps
from zoo.data.captions.world import SceneCaptions
from zoo.data.worlds import scenes
from zoo.drawing.sheets import captioned
from zoo.errors import UserError


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path_factory.mktemp("cache")))


def picture(path: Path, value: int = 100, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    fill: Any = value if mode == "L" else (value,) * len(mode)
    Image.new(mode, size, fill).save(path)
    return path


def table(root: Path, count: int = 12) -> Path:
    """Twelve pictures of three classes; picture i has the value 10 i and two captions."""
    lines = ["image,caption,class"]
    for i in range(count):
        picture(root / f"{i:02}.png", 10 * i)
        lines += [f'{i:02}.png,"thing {i}, plain",kind{i % 3}', f"{i:02}.png,a thing called {i},kind{i % 3}"]
    (root / "captions.csv").write_text("\n".join(lines) + "\n")
    return root


def texts(root: Path, count: int = 4) -> Path:
    for i in range(count):
        picture(root / f"kind{i % 2}/{i}.png", 10 * i)
        (root / f"kind{i % 2}/{i}.txt").write_text(f"thing {i}\n\n  a thing   called {i} \r\n")
    return root


def value(image: torch.Tensor) -> int:
    """The grey of a picture of one value."""
    assert image.min() == image.max()
    return round((float(image.min()) + 1) * 127.5)


# ------------------------------------------------------------------------------------------------------ forms


def test_a_table(tmp_path: Path) -> None:
    records = read_folder(table(tmp_path)).records
    assert [record.picture.name for record in records] == [f"{i:02}.png" for i in range(12)]
    assert records[3].captions == ("thing 3, plain", "a thing called 3") and records[3].category == "kind0"


def test_json_lines_say_the_same(tmp_path: Path) -> None:
    for name in ("a.png", "images/b.png"):
        picture(tmp_path / name)
    rows = [
        {"image": "a.png", "captions": ["one", "two"], "class": 7, "split": "test"},
        {"image": "b.png", "caption": "déjà vu", "class": "x"},
    ]
    content = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "captions.jsonl").write_text(content, encoding="utf-8-sig")
    found = read_folder(tmp_path)
    assert not found.faults
    first, second = found.records
    assert (first.captions, first.category, first.split) == (("one", "two"), "7", "test")
    assert second.captions == ("déjà vu",) and second.picture == tmp_path / "images/b.png"


def test_text_files_beside_pictures(tmp_path: Path) -> None:
    records = read_folder(texts(tmp_path)).records
    assert [(r.category, r.picture.stem) for r in records] == [
        ("kind0", "0"),
        ("kind0", "2"),
        ("kind1", "1"),
        ("kind1", "3"),
    ]
    assert records[1].captions == ("thing 2", "a thing called 2")


def test_the_names_of_hugging_faces_folders(tmp_path: Path) -> None:
    for split, text in (("train", "red"), ("train", "blue"), ("test", "green")):
        picture(tmp_path / split / f"{text}.png")
    (tmp_path / "train/metadata.csv").write_text("file_name,text\nred.png,red\nblue.png,blue\n")
    (tmp_path / "test/metadata.jsonl").write_text('{"file_name": "green.png", "text": "green"}')
    data = CaptionFolder(str(tmp_path), size=8)
    assert [len(data.split(name) or []) for name in ("train", "val", "test")] == [2, 0, 1]
    assert data.dataset("val") is None and CaptionFolder.recognises(tmp_path)


@pytest.mark.parametrize("make", [table, texts])
def test_folders_are_recognised(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    picture(tmp_path / "other/x.png")
    assert CaptionFolder.recognises(make(tmp_path / "own")) and not CaptionFolder.recognises(
        tmp_path / "other"
    )


# ---------------------------------------------------------------------------------------------------- batches


def test_a_batch(tmp_path: Path) -> None:
    data = CaptionFolder(str(table(tmp_path)), size=8, hold_out=0, wrong="both", text_words=64, batch_size=6)
    batch = next(iter(data.train_dataloader()))
    assert set(batch) == {"image", "text", "caption", "wrong_image", "wrong_text", "category"}
    assert batch["image"].shape == batch["wrong_image"].shape == (6, 3, 8, 8)
    assert batch["text"].shape == batch["wrong_text"].shape == (6, 64)
    assert batch["image"].dtype == batch["text"].dtype == torch.float32
    for i in range(6):
        number = value(batch["image"][i]) // 10
        assert batch["caption"][i] in (f"thing {number}, plain", f"a thing called {number}")
        assert torch.equal(batch["text"][i], data.encoder().encode([batch["caption"][i]])[0])


@pytest.mark.parametrize(("wrong", "missing"), [("image", "wrong_text"), ("text", "wrong_image")])
def test_only_the_wanted_mismatch(tmp_path: Path, wrong: Any, missing: str) -> None:
    sample = CaptionFolder(str(table(tmp_path)), size=8, wrong=wrong).split("train")[0]
    assert missing not in sample and f"wrong_{wrong}" in sample


def test_a_mismatch_is_of_another_class_and_all_of_those_come(tmp_path: Path) -> None:
    train = CaptionFolder(str(table(tmp_path)), size=8, hold_out=0).split("train")
    seen = {value(train[(epoch, 4)]["wrong_image"]) // 10 for epoch in range(80)}
    assert seen == {0, 2, 3, 5, 6, 8, 9, 11}  # 1, 4, 7, 10 are of its class


def test_a_mismatch_shares_no_caption(tmp_path: Path) -> None:
    for name, number, captions in (("a", 1, "x\ny"), ("b", 2, "y\nz"), ("c", 3, "z")):
        picture(tmp_path / f"{name}.png", number)
        (tmp_path / f"{name}.txt").write_text(captions)
    train = CaptionFolder(str(tmp_path), size=8, hold_out=0).split("train")
    for epoch in range(20):
        assert value(train[(epoch, 0)]["wrong_image"]) == 3
    with pytest.raises(UserError, match="No picture is a mismatch of the caption “y”"):
        train[0 + 1]


def test_evaluation_draws_nothing_and_training_draws_anew(tmp_path: Path) -> None:
    data = CaptionFolder(str(table(tmp_path, 30)), size=8, wrong="both")
    test, train = data.split("test"), data.split("train")
    assert test is not None and train is not None
    for key, first in test[1].items():
        again = test[1][key]
        assert first == again if isinstance(first, str) else torch.equal(first, again)
    assert test[1]["caption"] == test.records[1].captions[0]
    assert len({train[(epoch, 0)]["caption"] for epoch in range(12)}) == 2
    assert train[(3, 0)]["caption"] == train[(3, 0)]["caption"]


def test_the_average_of_captions(tmp_path: Path) -> None:
    root = str(table(tmp_path))
    data = CaptionFolder(root, size=8, average=5)
    sample = data.split("train")[(0, 0)]
    captions = list(data.split("train").records[0].captions)
    assert (
        torch.allclose(sample["text"], data.encoder().encode(captions).mean(0))
        and sample["caption"] in captions
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_order_and_draws_do_not_depend_on_workers(tmp_path: Path, workers: int) -> None:
    root = str(table(tmp_path))
    data = CaptionFolder(root, size=6, load_size=8, mirror=True, batch_size=5, num_workers=workers, seed=3)
    captions = [caption for batch in data.train_dataloader() for caption in batch["caption"]]
    expected = CaptionFolder(root, size=6, load_size=8, mirror=True, batch_size=5, seed=3)
    assert captions == [caption for batch in expected.train_dataloader() for caption in batch["caption"]]


def test_a_pack_gives_the_same_samples(tmp_path: Path) -> None:
    options: dict[str, Any] = {"size": 8, "wrong": "both", "seed": 1}
    plain = CaptionFolder(str(table(tmp_path)), **options)
    packs.write(plain.split("train"), plain.pack_key("train"))
    packed = CaptionFolder(str(tmp_path), packed=True, **options).split("train")
    assert packed.pack is not None
    for index in range(len(packed)):
        one, other = plain.split("train")[(2, index)], packed[(2, index)]
        assert one["caption"] == other["caption"]
        assert all(
            torch.equal(one[key], other[key]) for key in ("image", "text", "wrong_image", "wrong_text")
        )


# --------------------------------------------------------------------------------------------------- pictures


def ramp(path: Path, width: int, height: int) -> None:
    columns = np.broadcast_to(np.arange(width, dtype=np.uint8)[None, :, None] * 10, (height, width, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(columns)).save(path)
    path.with_suffix(".txt").write_text(path.stem)


def test_how_a_picture_becomes_square(tmp_path: Path) -> None:
    for name in ("a", "b"):
        ramp(tmp_path / f"{name}.png", 16, 8)
    made = {
        fit: (
            CaptionFolder(str(tmp_path), size=8, hold_out=0, fit=fit, background="grey")
            .split("train")
            .load(0)
        )
        for fit in ("pad", "crop", "stretch")
    }
    assert all(
        loaded["image"].shape == (3, 8, 8) and loaded["image"].dtype == torch.uint8
        for loaded in made.values()
    )
    assert made["crop"]["image"][0, 3].tolist() == [10 * i for i in range(4, 12)]
    padded = made["pad"]["image"][0]
    stretched = made["stretch"]["image"][0, 0]
    assert padded[[0, 7]].unique().tolist() == [128], "what is added has the background's value"
    assert (padded[3].int() - stretched.int()).abs().max() <= 1


def test_a_random_part_is_cut_and_mirrored_in_training_only(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        ramp(tmp_path / f"train/{name}.png", 8, 8)
        ramp(tmp_path / f"test/{name}.png", 8, 8)
    data = CaptionFolder(str(tmp_path), size=6, load_size=8, mirror=True)
    starts = set()
    for epoch in range(60):
        row = data.split("train")[(epoch, 0)]["image"][0, 0]
        starts.add((round((float(row[0]) + 1) * 12.75), bool(row[1] > row[0])))
    assert starts == {(start, True) for start in range(3)} | {(start + 5, False) for start in range(3)}
    assert data.split("test").load(0)["image"].shape == (3, 6, 6)


@pytest.mark.parametrize(("background", "level"), [("white", 255), ("grey", 128), ("black", 0)])
def test_transparent_parts_show_the_background(tmp_path: Path, background: Any, level: int) -> None:
    for name, alpha in (("clear", 0), ("half", 128), ("full", 255)):
        Image.new("RGBA", (4, 4), (200, 200, 200, alpha)).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(name)
    train = CaptionFolder(str(tmp_path), size=4, hold_out=0, background=background).split("train")
    shown = {
        record.picture.stem: int(train.load(i)["image"][0, 0, 0]) for i, record in enumerate(train.records)
    }
    assert shown["clear"] == level and shown["full"] == 200
    assert abs(shown["half"] - (200 * 128 + level * 127) / 255) <= 0.5


def test_grey_and_sixteen_bit(tmp_path: Path) -> None:
    picture(tmp_path / "grey.png", 77, mode="L")
    Image.fromarray(np.full((8, 8), 77 * 257, np.uint16)).save(tmp_path / "deep.png")
    for name in ("grey", "deep"):
        (tmp_path / f"{name}.txt").write_text(name)
    train = CaptionFolder(str(tmp_path), size=8, hold_out=0).split("train")
    for index in range(2):
        assert train.load(index)["image"].unique().tolist() == [77]


# ----------------------------------------------------------------------------------------------------- splits


def test_held_out_pictures_are_the_same_everywhere(tmp_path: Path) -> None:
    data = CaptionFolder(str(table(tmp_path / "here", 30)), size=8)
    names = {split: {r.picture.name for r in data.records(split)} for split in ("train", "val", "test")}
    assert [len(names[split]) for split in ("train", "val", "test")] == [24, 3, 3]
    assert len(set.union(*names.values())) == 30
    elsewhere = CaptionFolder(str(table(tmp_path / "there", 30)), size=8)
    assert {r.picture.name for r in elsewhere.records("test")} == names["test"]


def test_classes_are_held_out(tmp_path: Path) -> None:
    data = CaptionFolder(str(table(tmp_path, 30)), size=8, split_by="class", hold_out=3)
    classes = [{r.category for r in data.records(split)} for split in ("train", "val", "test")]
    assert sorted(map(len, classes)) == [1, 1, 1] and len(set.union(*classes)) == 3


def test_a_bag_learns_from_training_captions_only(tmp_path: Path) -> None:
    data = CaptionFolder(str(table(tmp_path, 30)), size=8)
    words = data.encoder().settings()["vocabulary"]
    held = {r.picture.stem for split in ("val", "test") for r in data.records(split)}
    assert words and not any(str(int(stem)) in words for stem in held)


def test_what_a_checkpoint_knows(tmp_path: Path) -> None:
    described = CaptionFolder(str(table(tmp_path)), size=8).describe()
    json.dumps(described)
    assert described["contract"] == "captions" and described["research_only"] is True
    assert described["preprocessing"]["text"]["kind"] == "bag"
    (tmp_path / "captions.csv").write_text(
        (tmp_path / "captions.csv").read_text().replace("called 3", "named 3")
    )
    assert CaptionFolder(str(tmp_path), size=8).describe()["fingerprint"] != described["fingerprint"]


def test_the_sheet_shows_pictures_above_captions(tmp_path: Path) -> None:
    data = CaptionFolder(str(table(tmp_path)), size=8)
    samples = [data.split("train")[i] for i in range(4)]
    images, captions = torch.stack([s["image"] for s in samples]), [s["caption"] for s in samples]
    assert torch.equal(data.sheet(samples), captioned(images, captions))


def test_letters_beyond_ascii_are_drawn() -> None:
    one, other = (captioned(torch.zeros(1, 3, 64, 64), [word]) for word in ("é", "ž"))
    assert not torch.equal(one, other)  # no empty boxes


def test_captions_are_wrapped_and_cut() -> None:
    images = torch.stack([torch.full((3, 16, 16), value) for value in (-0.5, 0.5)])
    assert captioned(images, ["x" * 10**6, "a"], columns=2, least=64).shape[2] == 164  # cut, and at once
    short = captioned(images, ["a", "b"], columns=2, least=64)
    assert short.shape == (3, 12 + 64 + 6 + 14 + 12, 3 * 12 + 2 * 64)
    assert (short[:, 12:76, 12:76] == -0.5).all() and (short[:, 12:76, 88:152] == 0.5).all()
    below = short[:, 76:, :].amin(0)
    assert below[:, 12:76].min() < 0 and below[:, 88:152].min() < 0  # ink under both
    lines = captioned(images, ["word " * 9, "b"], columns=2, least=64)
    assert lines.shape[1] == 12 + 64 + 6 + 14 * 5 + 12 and lines[:, :, 76:88].min() == 1  # none sticks out
    cut = captioned(images, ["word " * 99, "x" * 99], columns=2, least=64)
    assert cut.shape[1] == 12 + 64 + 6 + 14 * 6 + 12 and cut[:, :, 76:88].min() == 1


# ----------------------------------------------------------------------------------------------------- faults


def write(text: str | bytes, name: str = "captions.csv") -> Callable[[Path], None]:
    def do(root: Path) -> None:
        (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    return do


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing picture": (
        write("image,caption\na.png,x\nno.png,y\n"),
        "captions.csv line 3 names no.png, which",
    ),
    "empty caption": (
        write('image,caption\na.png,"  "\n'),
        "captions.csv line 2 has an empty caption for a.png",
    ),
    "no name": (write("image,caption\n,x\n"), "captions.csv line 2 names no picture"),
    "outside": (
        write("image,caption\n../a.png,x\n"),
        "captions.csv line 2 names ../a.png, which points outside",
    ),
    "no column": (
        write("image;caption\na.png;x\n"),
        "captions.csv has no column image or file_name, only image;cap",
    ),
    "no caption column": (
        write("image,words\na.png,x\n"),
        "has no column caption or text or captions, only image, w",
    ),
    "commas": (
        write("image,caption\n\na.png,x,y\n"),
        "captions.csv line 3 has 3 cells where the first line has 2",
    ),
    "quotes": (write('image,caption\na.png,"x"y\n'), "captions.csv line 2 is not CSV"),
    "lines in quotes": (write('image,caption\na.png,"x\ny"\nno.png,z\n'), "captions.csv line 4 names no.png"),
    "empty table": (write(""), "captions.csv is empty"),
    "split": (
        write("image,caption,split\na.png,x,dev\n"),
        "captions.csv line 2 has the split dev; write train",
    ),
    "two classes": (
        write("image,caption,class\na.png,x,1\na.png,y,2\n"),
        "captions.csv line 3 gives a.png another",
    ),
    "not UTF-8": (write("image,caption\na.png,café\n".encode("latin-1")), "captions.csv line 2 is not UTF-8"),
    "not JSON": (
        write('{"image": "a.png", "caption": "x"}\n{"image": \n', "captions.jsonl"),
        "line 2 is no JSON",
    ),
    "no object": (
        write('["a.png", "x"]\n', "captions.jsonl"),
        "captions.jsonl line 1: its content must be a mapping",
    ),
    "number": (write('{"image": "a.png", "caption": 5}\n', "captions.jsonl"), "line 1 has an empty caption"),
    "no text": (write("x", "b.txt"), "a.png has no caption: .*a.txt is missing"),
    "empty text": (write(" \n", "a.txt"), "a.txt holds an empty caption"),
    "text not UTF-8": (write(b"fine\n\xff\xfe\n", "a.txt"), "a.txt line 2 is not UTF-8"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named_with_file_and_line(tmp_path: Path, fault: str) -> None:
    make, says = FAULTS[fault]
    picture(tmp_path / "a.png")
    make(tmp_path)
    says = says.replace(".csv", r"\.csv")
    with pytest.raises(UserError, match=says) as raised:
        CaptionFolder(str(tmp_path), size=8).split("train")
    assert str(raised.value).count("\n") == 0 and str(raised.value).endswith(".")
    errors = CaptionFolder.check(tmp_path).errors
    assert str(tmp_path) in errors[0].file


def test_a_text_without_its_picture(tmp_path: Path) -> None:
    texts(tmp_path)
    (tmp_path / "kind0/9.txt").write_text("gone")
    with pytest.raises(UserError, match=r"9\.txt has captions for a picture that is not there"):
        CaptionFolder(str(tmp_path)).split("train")


def test_two_tables_are_one_too_many(tmp_path: Path) -> None:
    table(tmp_path)
    (tmp_path / "captions.jsonl").touch()
    with pytest.raises(UserError, match=r"has both captions\.csv and captions\.jsonl"):
        CaptionFolder(str(tmp_path)).split("train")


def test_an_empty_and_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no captioned picture; expected captions"):
        CaptionFolder(str(tmp_path)).split("train")
    with pytest.raises(UserError, match="does not exist"):
        CaptionFolder(str(tmp_path / "none")).split("train")


def test_an_unreadable_picture_is_named(tmp_path: Path) -> None:
    data = CaptionFolder(str(table(tmp_path)), size=8, hold_out=0)
    (tmp_path / "05.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"05\.png"):
        data.split("train").load(5)


def test_no_class_to_split_by(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(UserError, match=r"a\.png has no class, so data\.split_by"):
        CaptionFolder(str(tmp_path), split_by="class").split("train")


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"size": 0}, "size"),
        ({"average": 0}, "average"),
        ({"size": 8, "load_size": 7}, "load_size"),
        ({"hold_out": 2}, "hold_out"),
        ({"fit": "squash"}, "fit"),
        ({"background": "blue"}, "background"),
        ({"split_by": "kind"}, "split_by"),
        ({"wrong": "none"}, "wrong"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, options: dict, key: str) -> None:
    with pytest.raises(UserError, match=f"data.{key}"):
        CaptionFolder(str(tmp_path), **options)


def test_a_check_names_all_and_counts(tmp_path: Path) -> None:
    table(tmp_path)
    (tmp_path / "07.png").write_bytes(b"no picture")
    picture(tmp_path / "spare.png")
    with (tmp_path / "captions.csv").open("a") as file:
        file.write("gone.png,x,kind0\n12.png,,kind1\n")
    found = CaptionFolder.check(tmp_path)
    assert found.samples == {"train": 11} and len(found.facts) == 11
    assert [Path(fault.file).name for fault in found.errors] == ["captions.csv", "captions.csv", "07.png"]
    assert [Path(note.file).name for note in found.notes] == ["spare.png"]
    assert found.class_path == "zoo.data.captions.CaptionFolder" and found.arguments == {"size": 16}


# ----------------------------------------------------------------------------------------------------- scenes


def test_scenes_with_their_captions() -> None:
    data = SceneCaptions(size=32, train_length=12, eval_length=4, wrong="both", batch_size=4)
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == batch["wrong_image"].shape == (4, 3, 32, 32)
    assert batch["text"].shape == batch["wrong_text"].shape == (4, 512)
    assert torch.allclose(batch["text"].norm(dim=1), torch.ones(4), atol=1e-5)
    scene, first = scenes.draw(0, 1, 32), data.split("test")[1]
    assert first["caption"] == scene.caption
    assert (first["image"] - scene.picture).abs().max() <= 1 / 255 + 1e-6


def test_a_mismatched_scene_has_another_caption() -> None:
    train = SceneCaptions(size=16, train_length=6, eval_length=1, wrong="both").split("train")
    for index in range(6):
        sample = train[(0, index)]
        assert not torch.equal(sample["text"], sample["wrong_text"])
        assert not torch.equal(sample["image"], sample["wrong_image"])


def test_the_bag_knows_the_words_of_the_world() -> None:
    encoder = SceneCaptions().encoder()
    known = set(encoder.settings()["vocabulary"])
    split = encoder._split
    used = [set(split(scenes.draw(5, index, 16).caption)) for index in range(60)]
    assert {word for words in used for word in words if " " not in word} <= known
    assert sum(len(words - known) for words in used) <= 2  # pairs that hardly ever come
    assert len(known) < 512


def test_captions_of_scenes_tell_them_apart() -> None:
    captions = [scenes.draw(6, index, 16).caption for index in range(100)]
    assert len(set(captions)) >= 95


def test_scenes_in_a_worker_and_their_description() -> None:
    options: dict[str, Any] = {"size": 16, "train_length": 8, "eval_length": 2, "batch_size": 4}
    one, other = (
        torch.cat([batch["text"] for batch in SceneCaptions(num_workers=n, **options).train_dataloader()])
        for n in (0, 1)
    )
    assert torch.equal(one, other)
    described = SceneCaptions(**options).describe()
    json.dumps(described)
    assert described["research_only"] is False
    assert described["fingerprint"] != SceneCaptions(world=1, **options).describe()["fingerprint"]
    with pytest.raises(UserError, match=r"data\.size"):
        SceneCaptions(size=8)


# ------------------------------------------------------------------------------------------------- known sets


def reed(root: Path, pictures: str, kinds: list[str], suffix: str = ".jpg", flat: bool = False) -> Path:
    for number, kind in enumerate(kinds):
        for i in range(2):
            name = f"image_{number}{i}"
            folder = root / pictures if flat else root / pictures / kind
            picture(folder / f"{name}{suffix}", 40 * number + 5 * i, (40, 20))
            text = root / "text_c10" / kind / f"{name}.txt"
            text.parent.mkdir(parents=True, exist_ok=True)
            text.write_text("".join(f"caption {j} of {name}\n" for j in range(10)))
    (root / "trainvalclasses.txt").write_text("\n".join(kinds[:-1]) + "\n")
    (root / "testclasses.txt").write_text(kinds[-1] + "\n")
    return root


def test_birds_are_cut_to_their_boxes(tmp_path: Path) -> None:
    kinds = ["001.Albatross", "002.Auklet", "003.Wren"]
    reed(tmp_path, "images", kinds)
    names = [f"{kind}/image_{n}{i}.jpg" for n, kind in enumerate(kinds) for i in range(2)]
    (tmp_path / "images.txt").write_text("".join(f"{n} {name}\n" for n, name in enumerate(names, 1)))
    boxes = "".join(f"{n} 10.0 6.0 8.0 4.0\n" for n in range(1, 7))
    (tmp_path / "bounding_boxes.txt").write_text(boxes)
    data = CUB(str(tmp_path), size=8)
    train, test = data.split("train"), data.split("test")
    assert (len(train), data.dataset("val"), len(test)) == (4, None, 2)
    assert {record.box for record in train.records} == {(8, 2, 20, 14)}  # middle (14, 8), 0.75 of 8 each way
    assert train.load(0)["image"].shape == (3, 9, 9) and train.load(0)["texts"].shape == (10, 512)
    assert data.average == 4 and data.mirror and CUB.recognises(tmp_path)
    assert CUB(str(tmp_path), size=8, crop_to_bird=False).split("train").records[0].box is None
    (tmp_path / "bounding_boxes.txt").write_text(boxes.replace("3 10.0 6.0", "3 ten 6.0"))
    with pytest.raises(UserError, match=r"bounding_boxes\.txt has “ten 6\.0 8\.0 4\.0” for picture 3"):
        CUB(str(tmp_path)).split("train")


def test_flowers_take_their_class_from_their_captions(tmp_path: Path) -> None:
    reed(tmp_path, "jpg", ["class_00001", "class_00002", "class_00003"], flat=True)
    data = OxfordFlowers(str(tmp_path), size=8)
    assert (len(data.split("train")), data.dataset("val"), len(data.split("test"))) == (4, None, 2)
    assert {record.category for record in data.records("test")} == {"class_00003"}
    assert OxfordFlowers.recognises(tmp_path) and not CUB.recognises(tmp_path)
    (tmp_path / "jpg/image_10.jpg").unlink()
    with pytest.raises(
        UserError, match=r"image_10\.txt has captions for .*image_10\.jpg, which is not there"
    ):
        OxfordFlowers(str(tmp_path)).split("train")


def coco(root: Path, year: int = 2014) -> dict[str, dict]:
    """Three pictures for training and two for validation, two captions each but the third; gives the JSON."""
    made: dict[str, dict] = {}
    for part, numbers in (("train", (9, 25, 30)), ("val", (42, 73))):
        names = {number: f"COCO_{part}{year}_{number:012}.jpg" for number in numbers}
        for number, name in names.items():
            picture(root / f"{part}{year}" / name, number, (12, 8))
        rows = [
            {"id": 10 * number + k, "image_id": number, "caption": text}
            for number in numbers
            for k, text in enumerate((f"A thing\n {number}. ", f"It is {number}")[: 1 if number == 30 else 2])
        ]
        images = [{"id": number, "file_name": name, "license": 3} for number, name in names.items()]
        made[part] = {"info": {}, "licenses": [], "images": images, "annotations": rows[::-1]}
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"captions_{part}{year}.json").write_text(json.dumps(made[part]))
    return made


@pytest.mark.parametrize("year", [2014, 2017])
def test_coco(tmp_path: Path, year: int) -> None:
    coco(tmp_path, year)
    (tmp_path / "annotations" / f"person_keypoints_train{year}.json").write_text("{}")
    data = COCOCaptions(str(tmp_path), size=8, text_words=64, wrong="both", batch_size=2)
    train, test = data.records("train"), data.records("test")
    assert [record.picture.name[-6:] for record in train] == ["09.jpg", "25.jpg", "30.jpg"]
    assert [set(record.captions) for record in train] == [
        {"A thing 9.", "It is 9"},
        {"A thing 25.", "It is 25"},
        {"A thing 30."},
    ]
    assert [record.picture.name[-6:] for record in test] == ["42.jpg", "73.jpg"]
    assert data.split("val") is None and len(data.split("test")) == 2
    assert data.load_size == 9 and data.fit == "crop" and data.mirror
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == batch["wrong_image"].shape == (2, 3, 8, 8)
    assert value(data.split("test")[1]["image"]) == pytest.approx(73, abs=2)  # it was a JPEG
    said = data.describe()
    assert said["research_only"] is True and said["name"] == "COCO captions"
    found = reader(tmp_path).check(tmp_path)
    assert found.class_path == "zoo.data.captions.COCOCaptions" and not found.errors
    assert found.samples == {"train": 3, "test": 2}


def change(part: str, **content: Any) -> Callable[[Path, dict], None]:
    def write(root: Path, made: dict) -> None:
        path = root / "annotations" / f"captions_{part}2014.json"
        path.write_text(json.dumps(made[part] | content))

    return write


COCO_FAULTS: dict[str, tuple[Callable[[Path, dict], Any], str]] = {
    "no table": (
        lambda root, made: (root / "annotations/captions_train2014.json").unlink(),
        "no picture for",
    ),
    "no tables": (
        lambda root, made: [path.unlink() for path in (root / "annotations").iterdir()],
        r"no annotations/captions_train2014\.json .*zoo data get coco_captions",
    ),
    "lost": (
        lambda root, made: (root / "val2014/COCO_val2014_000000000073.jpg").unlink(),
        r"captions_val2014\.json names COCO_val2014_000000000073\.jpg, which is not in .*val2014; unpack",
    ),
    "no folder": (
        lambda root, made: (root / "train2014").rename(root / "train"),
        r"names COCO_train2014_000000000009\.jpg, which is not in .*train2014; .* \(2 more faults",
    ),
    "no captions": (
        change("val", annotations=[]),
        r"captions_val2014\.json has no caption for COCO_val2014_0+42",
    ),
    "no list": (change("train", images=None), r"captions_train2014\.json: images must be a list, not null"),
    "no keys": (
        change("train", annotations=[{}]),
        r"captions_train2014\.json lacks image_id, caption in annotations\[0\]",
    ),
    "unknown": (
        change("val", annotations=[{"image_id": k, "caption": "x"} for k in (42, 73, 7)]),
        r"has captions for image 7, which it does not list",
    ),
    "outside": (
        change("val", images=[{"id": 42, "file_name": "../train2014/COCO_train2014_000000000009.jpg"}]),
        r"names \.\./train2014/COCO_train2014_000000000009\.jpg, which is not in",
    ),
    "cut": (
        lambda root, made: (root / "annotations/captions_train2014.json").write_text('{"images": ['),
        r"captions_train2014\.json is no JSON",
    ),
}


@pytest.mark.parametrize("fault", COCO_FAULTS)
def test_faults_of_coco(tmp_path: Path, fault: str) -> None:
    damage, expected = COCO_FAULTS[fault]
    damage(tmp_path, coco(tmp_path))
    with pytest.raises(UserError, match=expected) as caught:
        COCOCaptions(str(tmp_path), size=8).split("train")
    assert "\n" not in str(caught.value)


def test_a_set_that_is_not_there_is_named(tmp_path: Path) -> None:
    for known in (Emoji, Stamps, DungeonTiles, Avatars, CUB, OxfordFlowers):
        with pytest.raises(UserError, match=str(tmp_path)):
            known(str(tmp_path)).split("train")


def test_sentences_about_avatars() -> None:
    row = {
        **{"top": "hat", "hatColor": "#ff5c5c", "hairColor": "#2c1b18", "clothing": "hoodie"},
        **{"clothesColor": "#25557c", "eyes": "happy", "mouth": "smile", "skinColor": "#fd9841"},
    }
    assert avataaar(row) == [
        "An orange face with a red hat, smiling eyes and a broad smile, in a navy hoodie.",
        "Somebody with a red hat in a navy hoodie.",
        "An orange face with smiling eyes and a broad smile.",
    ]
    dark = avataaar(
        row | {"accessories": "sunglasses", "facialHair": "beardLight", "facialHairColor": "#c93305"}
    )
    assert dark[2] == "An orange face with a broad smile, a short red beard and sunglasses."
    assert avataaar(row | {"mouth": "unheard of"}) == []
    assert (colour_name("#fa0505"), colour_name("#101080")) == ("red", "navy") and face({}) == []


REAL: list[tuple[Any, str, dict[str, Any], int, int, int]] = [
    (Emoji, "emoji", {}, 1911, 99, 64),
    (Stamps, "tuxpaint_stamps", {}, 785, 16, 64),
    (DungeonTiles, "dcss_tiles", {}, 1121, 25, 32),
    (Avatars, "avatars", {}, 1000, 0, 64),
    (Avatars, "avatars", {"kind": "facesjs"}, 1000, 0, 64),
]


@pytest.mark.parametrize(("known", "folder", "options", "count", "classes", "side"), REAL)
def test_real_sets(
    zoo_data: Path, known: Any, folder: str, options: dict, count: int, classes: int, side: int
) -> None:
    data = known(folder, batch_size=4, **options)  # found below ZOO_DATA
    sizes = [len(data.split(name)) for name in ("train", "val", "test")]
    assert sum(sizes) == count and min(sizes) >= count // 10 - 1
    assert not data.found().faults and not data.found().notes
    assert len({record.category for record in data.found().records} - {None}) == classes
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == batch["wrong_image"].shape == (4, 3, side, side)
    assert batch["image"].min() >= -1 and batch["image"].max() <= 1 and batch["image"].std() > 0.1
    assert batch["text"].shape == (4, 512)
    assert known.recognises(zoo_data / folder)
