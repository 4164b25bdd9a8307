from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from zoo.commands import data
from zoo.data.base import collate
from zoo.errors import UserError
from zoo.files.pictures import read_picture, to_tensor, write_picture
from zoo.training import build


def call(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    data.configure(parser)
    return data.run(parser.parse_args([str(a) for a in arguments]))


def check(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict]:
    status = call("check", *arguments, "--json")
    return status, json.loads(capsys.readouterr().out)


def picture(
    path: Path, seed: int, height: int = 16, width: int = 32, channels: int = 3, bits: int = 8
) -> Path:
    values = np.random.default_rng(seed).integers(0, 2**bits, (height, width, channels))
    write_picture(path, to_tensor(values.astype(np.uint8 if bits == 8 else np.uint16)), bits)
    return path


def folder(root: Path, width: int = 32, count: int = 4) -> Path:
    for number, split in enumerate(("train", "val", "test")):
        for i in range(count):
            picture(root / split / f"{i}.png", 100 * number + i, width=width)
    return root


def state(root: Path) -> dict[str, tuple[bytes, int]]:
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(root.rglob("*")) if p.is_file()}


def named(found: dict, kind: str) -> dict[str, str]:
    return {Path(fault["file"]).name: fault["text"] for fault in found[kind]}


def test_a_sound_folder_of_pairs_passes_and_its_recipe_block_works(tmp_path, capsys):
    before = state(folder(tmp_path))
    status, found = check(capsys, tmp_path)
    assert status == 0 and found["errors"] == [] == found["notes"]
    assert found["contract"] == "pairs" and found["samples"] == {"train": 4, "val": 4, "test": 4}
    assert found["pictures"]["A"] == {
        "sizes": {"16 x 16": 12},
        "channels": {"3": 12},
        "bits": {"8": 12},
        "lowest": 0,
        "highest": 255,
    }
    block = yaml.safe_load(found["recipe"])["data"]
    assert block["class_path"] == "zoo.data.pairs.PairFolder" and block["init_args"]["size"] == 128
    recipe = tmp_path.parent / f"{tmp_path.name}.yaml"
    recipe.write_text(found["recipe"])
    assert call("show", recipe, "-o", tmp_path.parent / f"{tmp_path.name}.png") == 0
    assert state(tmp_path) == before


def test_a_sound_folder_of_images_passes_and_its_recipe_block_works(tmp_path, capsys):
    folder(tmp_path, width=20)
    status, found = check(capsys, tmp_path)
    assert status == 0 and found["contract"] == "images" and found["errors"] == []
    assert found["samples"] == {"train": 4, "val": 4, "test": 4}
    block = yaml.safe_load(found["recipe"])["data"]
    assert block["class_path"] == "zoo.data.images.ImageFolder" and block["init_args"]["root"] == str(
        tmp_path
    )
    recipe = tmp_path.parent / f"{tmp_path.name}.yaml"
    recipe.write_text(found["recipe"])
    assert call("show", recipe, "-o", tmp_path.parent / f"{tmp_path.name}.png") == 0


def test_the_contract_can_be_stated(tmp_path, capsys):
    folder(tmp_path)
    assert check(capsys, tmp_path, "--contract", "images")[1]["pictures"]["image"]["sizes"] == {"32 x 16": 12}
    with pytest.raises(UserError, match=r"holds no pairs; expected"):
        call("check", tmp_path / "train", "--contract", "pairs")


def test_every_faulty_pair_of_halves_is_named(tmp_path, capsys):
    train = folder(tmp_path, count=12) / "train"
    (train / "text.png").write_text("no picture")
    (train / "cut.png").write_bytes((train / "0.png").read_bytes()[:-60])
    picture(train / "odd.png", 1, width=31)
    picture(train / "alpha.png", 2, channels=4)
    status, found = check(capsys, tmp_path)
    errors = named(found, "errors")
    assert status == 1 and set(errors) == {"text.png", "cut.png", "odd.png", "alpha.png"}
    assert "31 pixels wide" in errors["odd.png"] and "4 channels where most have 3" in errors["alpha.png"]
    assert found["samples"]["train"] == 13
    assert call("check", tmp_path) == 1
    out = capsys.readouterr().out
    assert all(name in out for name in errors)


def test_every_faulty_pair_of_folders_is_named(tmp_path, capsys):
    for side in "AB":
        for i in range(4):
            picture(tmp_path / side / "train" / f"{i}.png", i + 10 * (side == "B"), width=16)
    picture(tmp_path / "A" / "train" / "alone.png", 50)
    picture(tmp_path / "B" / "train" / "orphan.png", 51)
    picture(tmp_path / "B" / "train" / "2.png", 52, width=17)
    status, found = check(capsys, tmp_path)
    errors = named(found, "errors")
    assert status == 1 and set(errors) == {"alone.png", "orphan.png", "2.png"}
    assert "17 x 16" in "".join(errors.values()) and found["samples"] == {"train": 3, "val": 0, "test": 0}


def test_every_faulty_image_is_named(tmp_path, capsys):
    for i in range(12):
        picture(tmp_path / f"{i:02}.png", i, width=16)
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 not much")
    picture(tmp_path / "bands.tif", 20, width=16, channels=6)
    picture(tmp_path / "wide.png", 21, width=18)
    (tmp_path / "again.png").write_bytes((tmp_path / "03.png").read_bytes())
    write_picture(tmp_path / "white.png", torch.ones(3, 16, 16))
    (tmp_path / "film.mp4").write_bytes(b"")
    (tmp_path / "README.md").write_text("mine")
    status, found = check(capsys, tmp_path)
    assert status == 1 and set(named(found, "errors")) == {"cut.jpg", "bands.tif"}
    notes = named(found, "notes")
    assert set(notes) == {"wide.png", "again.png", "white.png", "film.mp4"}
    assert "18 x 16 pixels where most are 16 x 16" in notes["wide.png"]
    assert "the value 255 everywhere" in notes["white.png"]
    assert "03.png" in notes["again.png"]


def test_a_copy_is_found_across_splits_and_formats(tmp_path, capsys):
    folder(tmp_path, width=16)
    write_picture(tmp_path / "test" / "leak.tif", read_picture(tmp_path / "train" / "2.png"))
    _, found = check(capsys, tmp_path)
    assert "train/2.png" in named(found, "notes")["leak.tif"]


def test_16_bit_that_uses_12_is_noted(tmp_path, capsys):
    for i in range(3):
        values = np.random.default_rng(i).integers(0, 4096, (8, 8, 1)).astype(np.uint16)
        write_picture(tmp_path / f"{i}.png", to_tensor(values), 16)
    status, found = check(capsys, tmp_path)
    assert status == 0 and "of 65535" in found["notes"][0]["text"]
    assert found["pictures"]["image"]["bits"] == {"16": 3}


def test_grey_among_colour_brings_channels_into_the_recipe(tmp_path, capsys):
    folder(tmp_path / "pairs")
    picture(tmp_path / "pairs" / "train" / "grey.png", 9, channels=1)
    status, found = check(capsys, tmp_path / "pairs")
    assert status == 0 and "grey.png" in named(found, "notes")
    arguments = yaml.safe_load(found["recipe"])["data"]["init_args"]
    assert arguments["input_channels"] == arguments["target_channels"] == 3
    folder(tmp_path / "images", width=16)
    picture(tmp_path / "images" / "train" / "grey.png", 9, width=16, channels=1)
    _, found = check(capsys, tmp_path / "images")
    assert yaml.safe_load(found["recipe"])["data"]["init_args"]["channels"] == 3


def test_the_blocks_and_the_command_fit_a_recipe(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "mine" / "A", count=2), folder(tmp_path / "mine" / "B", count=2)
    for path in (tmp_path / "mine").rglob("*.png"):
        picture(path, 1, 64, 64, channels=1 if path.parent.parent.name == "A" else 3)
    assert call("check", "mine") == 0
    said = capsys.readouterr().out
    (command,) = re.findall(r"zoo fit (--config \S+ --config mine.yaml)", said)
    text = said[said.index("\ndata:\n") : said.index("\nand train")]
    Path("mine.yaml").write_text(text)
    assert yaml.safe_load(text)["data"]["init_args"].items() >= {
        ("name", "mine"),
        ("licence", "unknown: research use only"),
        ("input_channels", 1),
        ("target_channels", 3),
    }
    built = build(command.split())
    built.model.check(collate([built.datamodule.split("train")[0, 0]]))
    assert built.datamodule.name == "mine" and built.model.hparams["in_channels"] == 1


def test_a_missing_or_empty_folder_is_an_error(tmp_path, capsys):
    with pytest.raises(UserError, match="nowhere"):
        call("check", tmp_path / "nowhere")
    status, found = check(capsys, tmp_path)
    assert status == 1 and str(tmp_path) in found["errors"][0]["text"] and found["recipe"] == ""
    assert call("check", tmp_path) == 1


def test_show_draws_the_asked_number_of_pairs(tmp_path):
    root, out = folder(tmp_path / "data", count=6), tmp_path / "sheet.png"
    before = state(root)
    call("show", root, "-o", out, "-n", 2)
    small = read_picture(out)
    call("show", root, "-o", out, "-n", 6, "--force")
    assert read_picture(out).numel() > 2 * small.numel()
    assert state(root) == before
    assert len(small.unique()) > 50, "nothing was drawn"


def test_show_never_overwrites_unless_forced(tmp_path):
    root, out = folder(tmp_path / "data", width=16), tmp_path / "sheet.png"
    out.write_bytes(b"precious")
    with pytest.raises(UserError, match=r"sheet\.png exists.*--force"):
        call("show", root, "-o", out)
    assert out.read_bytes() == b"precious"
    call("show", root, "-o", out, "--force")
    assert read_picture(out).shape[0] == 3


def test_show_never_writes_into_the_data(tmp_path):
    root = folder(tmp_path)
    before = state(root)
    with pytest.raises(UserError, match="inside the data's folder"):
        call("show", root, "-o", root / "train" / "sheet.png")
    assert state(root) == before


def test_show_knows_recipes_classes_and_another_root(tmp_path):
    recipe, root = tmp_path / "mine.yaml", folder(tmp_path / "data", width=20)
    init = {"root": str(tmp_path / "nowhere"), "size": 16}
    recipe.write_text(
        yaml.safe_dump({"data": {"class_path": "zoo.data.images.ImageFolder", "init_args": init}})
    )
    with pytest.raises(UserError, match="nowhere"):
        call("show", recipe, "-o", tmp_path / "a.png")
    call("show", recipe, "--root", root, "-o", tmp_path / "a.png", "-n", 4)
    assert read_picture(tmp_path / "a.png").shape == (3, 2 * 50 + 2, 2 * 50 + 2)
    call("show", "Digits", "-o", tmp_path / "b.png", "-n", 4)
    call("show", "zoo.data.images.Digits", "-o", tmp_path / "c.png", "-n", 4)
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()


def test_show_draws_points(tmp_path):
    recipe = tmp_path / "ring.yaml"
    block = {"class_path": "zoo.data.points.Points", "init_args": {"world": "ring"}}
    recipe.write_text(yaml.safe_dump({"data": block}))
    call("show", recipe, "-o", tmp_path / "ring.png", "-n", 200)
    assert read_picture(tmp_path / "ring.png").min() < -0.3


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({}, r"names no data class"),
        ({"class_path": "zoo.data.images.Imagefolder"}, r"Imagefolder"),
        ({"class_path": "zoo.errors.UserError"}, r"is not a data class"),
        ({"class_path": "zoo.data.images.ImageFolder", "init_args": {"root": ".", "rot": 1}}, r"rot"),
    ],
)
def test_show_refuses_what_names_no_data(tmp_path, block, message):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"data": block}))
    with pytest.raises(UserError, match=message):
        call("show", tmp_path / "mine.yaml", "-o", tmp_path / "a.png")


@pytest.mark.parametrize(("name", "number"), [("sheet.gif", 4), ("sheet", 4)])
def test_show_refuses_what_it_cannot_write(tmp_path, name, number):
    with pytest.raises(UserError):
        call("show", folder(tmp_path / "data"), "-o", tmp_path / name, "-n", number)


def test_importing_the_command_imports_nothing_heavy():
    heavy = "('torch', 'numpy', 'PIL')"
    program = f"import sys, zoo.commands.data; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("avatars", "captions.Avatars"),
        ("camvid", "label_maps.LabelMapFolder"),
        ("cmu_faces", "frontal.FrontalFolder"),
        ("emoji", "captions.Emoji"),
        ("facades", "pairs.PairFolder"),
        ("faces_london", "images.ImageFolder"),
        ("olivetti", "images.ImageFolder"),
        ("sprites", "poses.PoseFolder"),
        ("synthetic_heads", "frontal.FrontalFolder"),
        ("synthetic_people", "poses.PoseFolder"),
        ("video_clips", "clips.ClipFolder"),
    ],
)
def test_real_sets_are_recognised(zoo_data: Path, name: str, reader: str) -> None:
    from zoo.commands._names import reader as recognise
    from zoo.recipes import public_path

    assert public_path(recognise(zoo_data / name)) == f"zoo.data.{reader}"


def test_dark_label_maps_are_no_dark_pictures(tmp_path, capsys):
    for start, split in enumerate(("train", "test")):
        for i in range(3 * start, 3 * start + 3):
            picture(tmp_path / "images" / split / f"{i}.png", i, width=16)
            labels = np.random.default_rng(i).integers(0, 3, (16, 16, 1)).astype(np.uint8)
            write_picture(tmp_path / "labels" / split / f"{i}.png", to_tensor(labels))
    status, found = check(capsys, tmp_path)
    assert status == 0 and found["contract"] == "pairs" and not found["notes"]
