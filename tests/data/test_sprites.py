"""Sprites: characters are composed of the right cells of the right sheets; their pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.data.poses.module import PoseFolder
from zoo.data.poses.sets import Sprites
from zoo.data.poses.sprites import ACTIONS, CHARACTERS, PARTS, SpriteSheets, on_black
from zoo.errors import UserError

COLOURS = {"body": 10, "bottomwear": 50, "topwear": 90, "hair": 130, "shoes": 170}


def colour(part: str, kind: int, row: int, column: int) -> tuple[int, int, int]:
    return COLOURS[part] + kind, 10 * row, 15 * column


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sheets whose colours encode part, kind, row and column; each part has a band of its own."""
    folder = tmp_path_factory.mktemp("sprites")
    for band, part in enumerate((*PARTS, "shoes")):
        (folder / part).mkdir()
        for kind in range(6) if part != "shoes" else (1,):
            sheet = np.zeros((21, 64, 13, 64, 4), np.uint8)
            rows, columns = np.meshgrid(np.arange(21), np.arange(13), indexing="ij")
            cell = np.stack([np.full_like(rows, COLOURS[part] + kind), 10 * rows, 15 * columns], -1)
            sheet[:, 10 * band : 10 * band + 12, :, 8:56, :3] = cell[:, None, :, None]
            sheet[:, 10 * band : 10 * band + 12, :, 8:56, 3] = 255
            Image.fromarray(sheet.reshape(1344, 832, 4)).save(folder / part / f"{kind}.png", compress_level=1)
    return folder


def test_a_character_is_made_of_the_cells_that_its_number_names(root: Path) -> None:
    kinds = (4, 1, 5, 2)
    index = int("".join(map(str, kinds)), 6)
    frames = SpriteSheets(root).character(index).frames("walk_front")
    assert frames.shape == (8, 4, 64, 64) and frames.dtype == np.uint8
    for band, part in enumerate((*PARTS, "shoes")):
        kind = (*kinds, 1)[band]
        for time in range(8):  # walk is in rows 8 to 11, columns 1 to 8
            assert tuple(frames[time, :, 10 * band + 5, 30]) == (*colour(part, kind, 10, time + 1), 255)
    assert (frames[:, 3, 63] == 0).all() and (frames[:, 3, :, 0] == 0).all()


@pytest.mark.parametrize(
    ("action", "row", "columns"),
    [
        ("walk_left", 9, (1, 2, 3, 4, 5, 6, 7, 8)),
        ("walk_right", 11, (1, 2, 3, 4, 5, 6, 7, 8)),
        ("spellcard_left", 1, (0, 1, 2, 3, 4, 5, 4, 6)),
        ("slash_right", 15, (0, 1, 2, 3, 4, 5, 4, 0)),
    ],
)
def test_actions_lie_in_rows_and_frames_in_columns(
    root: Path, action: str, row: int, columns: tuple[int, ...]
) -> None:
    character = SpriteSheets(root).character(0)
    body = character.frames(action)[:, :3, 5, 30]
    assert [tuple(rgb) for rgb in body] == [colour("body", 0, row, column) for column in columns]


def test_there_is_no_character_beyond_the_last(root: Path) -> None:
    sheets = SpriteSheets(root)
    assert len(sheets) == CHARACTERS == 1296
    sheets.character(1295)
    with pytest.raises(IndexError, match="1296"):
        sheets.character(1296)


def test_half_transparent_paint_over_black() -> None:
    frame = np.zeros((4, 2, 2), np.uint8)
    frame[:, 0, 0] = (200, 100, 50, 128)
    frame[:, 1, 1] = (200, 100, 50, 255)
    assert on_black(frame)[:, 0, 0].tolist() == [100, 50, 25]
    assert on_black(frame)[:, 1, 1].tolist() == [200, 100, 50] and on_black(frame)[:, 0, 1].tolist() == [
        0,
        0,
        0,
    ]


def test_pairs_of_frames(root: Path) -> None:
    data = Sprites(str(root), batch_size=4)
    lengths = {split: len(data.split(split)) for split in ("train", "val", "test")}
    assert lengths == {"train": 72_000, "val": 148 * 72, "test": 148 * 72}
    train = data.split("train")
    for index in (0, 1, 71, 72, 5000):
        loaded = train.load(index)
        same = [loaded[key][0, row, 30] for row in (5, 15) for key in ("input", "target")]
        assert same[0] == same[1] and same[2] == same[3]  # body and trousers of one character
        assert not torch.equal(loaded["input"], loaded["target"])
        row = int(loaded["target"][1, 5, 30]) // 10
        action = ACTIONS[loaded["action"]]
        assert row == {"spellcard": 0, "walk": 8, "slash": 12}[action.split("_")[0]] + 1 + (
            "left",
            "front",
            "right",
        ).index(action.split("_")[1])
    batch = next(iter(data.train_dataloader()))
    assert batch["input"].shape == batch["target"].shape == (4, 3, 64, 64)
    assert batch["pose"].shape == (4, 17, 64, 64) and batch["mask"].shape == (4, 1, 64, 64)
    flat = batch["pose"].flatten(2)
    assert torch.equal(flat.min(2).values, flat.max(2).values)
    assert ((flat[:, :9, 0] == 1).sum(1) == 1).all() and ((flat[:, 9:, 0] == 1).sum(1) == 1).all()
    assert batch["pose"].min() == -1 and batch["input"].min() == -1


def test_each_frame_is_an_input_once_and_splits_share_no_character(root: Path) -> None:
    data = Sprites(str(root))
    characters = [data.split(split).characters for split in ("train", "val", "test")]
    assert sorted(k for some in characters for k in some) == list(range(1296))
    test = data.split("test")
    inputs = {test.load(index)["input"].numpy().tobytes() for index in range(72)}
    assert len(inputs) == 72 - 3 * 2 - 3 * 1  # spellcard shows one frame twice, slash two


@pytest.mark.parametrize("fault", ["missing", "empty", "size", "damaged"])
def test_a_faulty_sheet_is_named(tmp_path: Path, fault: str, root: Path) -> None:
    for path in root.rglob("*.png"):
        (tmp_path / path.parent.name).mkdir(exist_ok=True)
        (tmp_path / path.relative_to(root)).symlink_to(path)
    bad = tmp_path / "hair" / "3.png"
    bad.unlink()
    said = {"missing": "lacks hair/3.png", "empty": "lacks body/0.png", "size": "5 x 5", "damaged": "damaged"}
    if fault == "size":
        Image.new("RGBA", (5, 5)).save(bad)
    elif fault == "damaged":
        bad.write_bytes(b"no picture")
    data = Sprites(str(tmp_path if fault != "empty" else tmp_path / "nothing"))
    with pytest.raises(UserError, match=said[fault]) as caught:
        data.split("train")
        data.sheets.character(3).frames("walk_left")
    assert str(caught.value).count("\n") == 0
    assert fault == "empty" or "hair/3.png" in str(caught.value)


def test_a_folder_of_sheets_is_known_and_checked(tmp_path: Path, root: Path) -> None:
    assert PoseFolder.recognises(root) and not PoseFolder.recognises(root / "hair")
    found = PoseFolder.check(root)
    assert found.class_path == "zoo.data.poses.Sprites" and not found.errors and found.contract == "poses"
    assert found.samples == {"train": 72_000, "val": 148 * 72, "test": 148 * 72} and len(found.facts) == 25
    for path in root.rglob("*.png"):
        (tmp_path / path.parent.name).mkdir(exist_ok=True)
        (tmp_path / path.relative_to(root)).symlink_to(path)
    (tmp_path / "hair" / "3.png").unlink()
    (tmp_path / "body" / "0.png").unlink()
    Image.new("RGBA", (5, 5)).save(tmp_path / "body" / "0.png")
    assert PoseFolder.recognises(tmp_path)
    found = PoseFolder.check(tmp_path)
    assert sorted(Path(fault.file).name for fault in found.errors) == ["0.png", "3.png"]
    assert "5 x 5 pixels" in found.errors[0].text and "does not exist" in found.errors[1].text


def test_the_real_sheets(zoo_data: Path) -> None:
    data = Sprites("sprites")
    sheets = data.sheets
    assert sheets.root == zoo_data / "sprites"
    figures = [sheets.character(index).frame("walk_front", 2) for index in (0, 1, 6, 36, 216)]
    for figure in figures:
        assert 400 < (figure[3] > 127).sum() < 1600 and figure[:3, 0].max() == 0
    assert len({figure.tobytes() for figure in figures}) == 5
    left, right = (sheets.character(0).frame(f"walk_{side}", 1)[3] for side in ("left", "right"))
    assert np.abs(left[:, ::-1].astype(int) - right).mean() < 40
    assert data.describe()["research_only"] is False and "CC BY-SA 3.0" in data.describe()["licence"]
