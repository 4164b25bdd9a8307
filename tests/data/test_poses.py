"""Poses: maps and masks from keypoints, folders in every format, their faults, and drawn people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.data.base import to_values
from zoo.data.packs import write
from zoo.data.poses.files import read_people
from zoo.data.poses.module import PoseFolder, find_pairs
from zoo.data.poses.skeletons import (
    COCO,
    OPENPOSE,
    Skeleton,
    draw_pose,
    keypoint_maps,
    pose_mask,
    to_openpose,
)
from zoo.data.poses.world import PoseWorld
from zoo.data.worlds import people
from zoo.errors import UserError
from zoo.files.pictures import read_array, write_picture

HEAD = "image,identity," + ",".join(f"{name}_x,{name}_y" for name in COCO)
BODY = [(16 + (k % 3) * 4, 4 + 3 * k) for k in range(17)]  # any points inside 32 x 64


def cells(points: list[tuple[float, float]] = BODY) -> str:
    return ",".join(f"{x},{y}" for x, y in points)


def picture(path: Path, value: int, size: tuple[int, int] = (32, 64), bits: int = 8) -> None:
    """A flat picture of a colour; width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    floats = torch.full((3, size[1], size[0]), value / 127.5 - 1)
    floats[:, :2, :2] = 1
    write_picture(path, floats, bits=bits)  # type: ignore[arg-type]


def folder(root: Path, names: list[str] | None = None, lines: list[str] | None = None) -> Path:
    """Four people with two pictures each, whose keypoints move with the picture's number."""
    names = names or [f"{who}_{k}.png" for who in ("anna", "ben", "cleo", "dan") for k in (1, 2)]
    rows = []
    for k, name in enumerate(names):
        picture(root / "images" / name, 20 + 10 * k)
        rows.append(f"{name},,{cells([(x, y + k) for x, y in BODY])}")
    (root / "keypoints.csv").write_text("\n".join([HEAD, *(lines or rows)]) + "\n")
    return root


def module(root: Path, **options: Any) -> PoseFolder:
    return PoseFolder(str(root), **{"height": 64, "width": 32, "hold_out": 4, "batch_size": 2, **options})


# ------------------------------------------------------------------------------------------- maps and masks


def test_a_map_is_a_disc_around_its_point() -> None:
    points = torch.tensor([[10.2, 7.6, 1], [0, 0, 2], [5, 5, 0], [-9, 3, 1], [1e9, -1e9, 1]])
    maps = keypoint_maps(points, 20, 24, radius=4)
    assert maps.shape == (5, 20, 24) and set(maps.unique().tolist()) == {-1.0, 1.0}
    y, x = torch.meshgrid(torch.arange(20), torch.arange(24), indexing="ij")
    for k, (column, row) in enumerate([(10, 8), (0, 0)]):
        assert torch.equal(maps[k] == 1, (x - column) ** 2 + (y - row) ** 2 <= 16)
    assert (maps[2:] == -1).all()  # unknown, and outside


def test_a_mask_joins_what_is_known_and_closes_gaps() -> None:
    skeleton = Skeleton(("a", "b", "c", "d"), ((0, 1), (1, 2), (2, 3)))
    points = torch.tensor([[5.0, 5, 1], [25, 5, 1], [25, 40, 0], [25, 30, 1]])
    mask = pose_mask(points, skeleton, 48, 32, radius=3)
    assert mask.shape == (1, 48, 32) and mask.dtype == torch.uint8 and mask.max() == 1
    assert (mask[0, 5, 3:28] == 1).all() and mask[0, 1].sum() == 0 and mask[0, 9].sum() == 0
    assert mask[0, 30, 25] == 1 and mask[0, 10:26].sum() == 0  # nothing leads over the unknown point
    apart = Skeleton(("a", "b"), ())
    for gap, closed in ((4, True), (6, False)):  # free columns between two discs, closed by 5 x 5
        points = torch.tensor([[8.0, 8, 1], [8 + 3 + 3 + gap + 1, 8, 1]])
        assert bool(pose_mask(points, apart, 20, 32, radius=3)[0, 8, 12]) == closed


def test_a_mask_keeps_its_discs_at_the_border() -> None:
    mask = pose_mask(torch.tensor([[0.0, 0, 1], [31, 19, 1]]), Skeleton(("a", "b"), ()), 20, 32, radius=4)
    assert mask[0, 0, 0] == mask[0, 0, 4] == mask[0, 4, 0] == mask[0, 19, 27] == 1 and mask[0, 6].sum() == 0


def test_openpose_has_a_neck_between_known_shoulders() -> None:
    coco = np.array([[k, 2 * k, 1] for k in range(17)], np.float32)
    body = to_openpose(coco)
    assert body[OPENPOSE.names.index("neck")].tolist() == [5.5, 11, 1]
    for name in COCO:
        assert np.array_equal(body[OPENPOSE.names.index(name)], coco[COCO.index(name)])
    coco[6] = 0
    assert to_openpose(coco)[1, 2] == 0


def test_mirroring_swaps_left_and_right() -> None:
    swapped = [OPENPOSE.names[k] for k in OPENPOSE.mirrored]
    assert swapped[0] == "nose" and swapped[1] == "neck"
    for name, other in zip(OPENPOSE.names, swapped, strict=True):
        assert other == name.replace("left", "r#").replace("right", "left").replace("r#", "right")


def test_a_drawn_pose_shows_every_point() -> None:
    maps = torch.full((3, 8, 8), -1.0)
    maps[0, 1, 1] = maps[2, 5, 5] = 1
    drawn = draw_pose(maps)
    assert drawn.shape == (3, 8, 8) and (drawn[:, 0, 0] == -1).all()
    assert not torch.equal(drawn[:, 1, 1], drawn[:, 5, 5]) and drawn[:, 1, 1].max() > -1


# ------------------------------------------------------------------------------------------------- folders


def test_pairs_are_two_pictures_of_one_identity(tmp_path: Path) -> None:
    data = module(folder(tmp_path), mirror=False)
    assert {split: len(data.split(split)) for split in ("train", "val", "test")} == {
        "train": 4,
        "val": 2,
        "test": 2,
    }
    train = data.split("train")
    shown = {
        (p.path.name, q.path.name) for p, q in ((train.members[a], train.members[b]) for a, b in train.pairs)
    }
    assert shown == {
        ("cleo_1.png", "cleo_2.png"),
        ("cleo_2.png", "cleo_1.png"),
        ("dan_1.png", "dan_2.png"),
        ("dan_2.png", "dan_1.png"),
    }
    sample = to_values(train.sample(0, None))
    assert {key: tuple(value.shape) for key, value in sample.items()} == {
        "input": (3, 64, 32),
        "pose": (18, 64, 32),
        "target": (3, 64, 32),
        "mask": (1, 64, 32),
    }
    assert all(value.dtype == torch.float32 for value in sample.values())
    value = {train.members[k].path.name: 20 + 10 * (4 + k) for k in range(4)}
    one, other = (train.members[k].path.name for k in train.pairs[0])
    assert sample["input"][0, 32, 16] == pytest.approx(value[one] / 127.5 - 1, abs=1e-5)
    assert sample["target"][0, 32, 16] == pytest.approx(value[other] / 127.5 - 1, abs=1e-5)
    number = 4 + int(train.pairs[0][1])
    assert sample["pose"][0, BODY[0][1] + number, BODY[0][0]] == 1  # the target's keypoints, not the input's
    assert torch.equal(sample["mask"], train.load(0)["mask"].float())
    assert data.split("test").members[0].identity == "anna"


def test_splits_share_no_identity_and_an_identity_column_wins(tmp_path: Path) -> None:
    names = [f"{k}_x.png" for k in range(12)]
    lines = [f"{name},p{k % 4},{cells()}" for k, name in enumerate(names)]
    data = module(folder(tmp_path, names, lines))
    who = {s: {p.identity for p in data.split(s).members} for s in ("train", "val", "test")}
    assert who == {"test": {"p0"}, "val": {"p1"}, "train": {"p2", "p3"}}
    assert len(data.split("train")) == 2 * 3 * 2


def test_mirroring_turns_all_alike(tmp_path: Path) -> None:
    train = module(folder(tmp_path)).split("train")
    plain = to_values(train.sample(0, None))
    seeds = [to_values(train.sample(0, torch.Generator().manual_seed(k))) for k in range(12)]
    mirrored = [s for s in seeds if not torch.equal(s["input"], plain["input"])]
    assert 0 < len(mirrored) < 12
    for sample in mirrored:
        for key in ("input", "target", "mask"):
            assert torch.equal(sample[key], plain[key].flip(2))
        assert torch.equal(sample["pose"], plain["pose"].flip(2)[OPENPOSE.mirrored])
    test = module(tmp_path).split("test")
    assert all(torch.equal(test[k]["input"], to_values(test.sample(k, None))["input"]) for k in range(2))


def test_pictures_may_be_numpy_files(tmp_path: Path) -> None:
    root = folder(tmp_path)
    pairs = module(root).split("train")
    before = [pairs.load(index) for index in range(len(pairs))]
    for path in (root / "images").glob("*.png"):
        np.save(path.with_suffix(".npy"), read_array(path))
        path.unlink()
    table = root / "keypoints.csv"
    table.write_text(table.read_text().replace(".png", ".npy"))
    assert PoseFolder.recognises(root) and not PoseFolder.check(root).errors
    after = module(root, mirror=False).split("train")
    assert len(after) == len(before) > 0
    for index, one in enumerate(before):
        other = after.load(index)
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_pictures_and_keypoints_are_resized_alike(tmp_path: Path) -> None:
    root = folder(tmp_path)
    big = module(root, height=128, width=96, mirror=False).split("train").load(0)
    small = module(root, mirror=False).split("train").load(0)
    assert big["target"].shape == (3, 128, 96) and big["target"].dtype == torch.uint8
    expected = (small["keypoints"][:, :2] + 0.5) * torch.tensor([3.0, 2.0]) - 0.5
    assert torch.allclose(big["keypoints"][:, :2], expected)


def test_depth_and_channels_of_files(tmp_path: Path) -> None:
    root = folder(tmp_path)
    picture(root / "images" / "cleo_1.png", 100, bits=16)
    Image.new("LA", (32, 64), (77, 3)).save(root / "images" / "cleo_2.png")
    train = module(root, mirror=False).split("train")
    assert train.load(0)["input"].dtype == torch.uint16
    sample = to_values(train.sample(0, None))
    assert sample["input"][0, 32, 16] == pytest.approx(100 / 127.5 - 1, abs=1e-4)
    assert sample["target"][:, 32, 16].tolist() == [pytest.approx(77 / 127.5 - 1, abs=1e-6)] * 3


def test_the_cache_keeps_pictures_and_stays_in_its_bounds(tmp_path: Path) -> None:
    train = module(folder(tmp_path)).split("train")
    first = train.load(0)
    for path in train.files():
        path.rename(path.with_suffix(".gone"))
    assert torch.equal(train.load(0)["input"], first["input"])
    (tmp_path / "other").mkdir()
    bare = module(folder(tmp_path / "other"), cache=False).split("train")
    bare.load(0)
    assert not bare._cached


def test_a_pack_holds_the_same_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    data = module(folder(tmp_path / "set"))
    write(data.split("train"), data.pack_key("train"))
    packed = module(tmp_path / "set", packed=True).split("train")
    for key, value in data.split("train")[(0, 3)].items():
        assert torch.equal(packed[(0, 3)][key], value)
    edit(tmp_path / "set", lambda s: s.replace("16,4,", "16,5,", 1))  # as many bytes
    with pytest.raises(UserError):
        module(tmp_path / "set", packed=True).split("train")


def test_a_choice_of_pairs_stays(tmp_path: Path) -> None:
    names = [f"a_{k}.png" for k in range(12)]
    data = module(folder(tmp_path, names), hold_out=0, train_pairs=30)
    chosen = data.split("train").pairs
    every = find_pairs(data.split("train").members, None)
    assert len(chosen) == 30 and len(every) == 132 and data.split("test") is None
    assert {tuple(pair) for pair in chosen} < {tuple(pair) for pair in every}
    assert np.array_equal(module(tmp_path, hold_out=0, train_pairs=30).split("train").pairs, chosen)


def test_what_has_no_keypoint_is_input_only(tmp_path: Path) -> None:
    names = ["a_1.png", "a_2.png", "b_1.png"]
    empty = ",".join([""] * 34)
    lines = [f"a_1.png,,{cells()}", f"a_2.png,,{empty}", f"b_1.png,,{cells()}"]
    train = module(folder(tmp_path, names, lines), hold_out=0).split("train")
    assert [tuple(pair) for pair in train.pairs] == [(1, 0)]
    found = PoseFolder.check(tmp_path)
    texts = " ".join(note.text for note in found.notes)
    assert "a_2.png has no known keypoint" in texts and "b_1.png is the only picture of identity b" in texts


def test_unknown_points_in_columns(tmp_path: Path) -> None:
    points = ["16,4", ",", "-1,-1", "-8.1,20", *["3,3"] * 13]
    held = read_people(folder(tmp_path, ["a_1.png"], [f"a_1.png,,{','.join(points)}"])).people[0]
    by = dict(zip(OPENPOSE.names, held.keypoints.tolist(), strict=True))
    assert by["nose"] == [16, 4, 1] and by["left_eye"][2] == 0 and by["right_eye"][2] == 0
    assert by["left_ear"] == [pytest.approx(-8.1), 20, 1]  # outside is not unknown


def test_columns_in_another_order_with_visibility(tmp_path: Path) -> None:
    root = folder(tmp_path)
    names = OPENPOSE.names[::-1]
    head = ",".join(["image", *(f"{n}_{axis}" for n in names for axis in "xyv"), "note"])
    rows = [
        ",".join([p.name, *(f"{k},{2 * k},{int(k != 3)}" for k in range(18)), "hello"])
        for p in sorted((root / "images").iterdir())
    ]
    (root / "keypoints.csv").write_text("\n".join([head, *rows]))
    found = read_people(root)
    assert not found.faults
    first = found.people[0].keypoints
    assert first[OPENPOSE.names.index(names[7])].tolist() == [7, 14, 1]
    assert first[OPENPOSE.names.index(names[3]), 2] == 0


def test_colons(tmp_path: Path) -> None:
    """The layout of Market-1501 with keypoints of a pose estimator."""
    ys, xs = list(range(18)), list(range(20, 38))
    ys[4] = xs[4] = -1
    line = f"{json.dumps(ys)}: {json.dumps(xs)}"
    train = ["0002_c1s1_000451_03.jpg", "0002_c2s1_000451_01.jpg", "0007_c1s1_0_1.jpg", "0007_c1s1_0_2.jpg"]
    test = ["0001_c1s1_0_1.jpg", "0001_c1s1_0_2.jpg", "-1_c1s1_0_1.jpg", "0000_c1s1_0_1.jpg"]
    for part, names in (("train", train), ("test", test)):
        for k, name in enumerate(names):
            picture(tmp_path / f"bounding_box_{part}" / name, 30 * k)
        lines = [
            "name:keypoints_y:keypoints_x",
            *(f"{name}: {line}" for name in names[: 4 if part == "train" else 3]),
        ]
        (tmp_path / f"market-annotation-{part}.csv").write_text("\n".join(lines))
    picture(tmp_path / "gt_bbox" / test[0], 99)
    data = module(tmp_path)
    assert {p.identity for p in data.split("train").members} == {"0002", "0007"}
    assert {p.identity for p in data.split("test").members} == {"0001"} and data.split("val") is None
    assert len(data.split("train")) == 4 and len(data.split("test")) == 2
    keypoints = data.split("train").load(0)["keypoints"]
    assert keypoints[3].tolist() == [23, 3, 1] and keypoints[4, 2] == 0
    only = tmp_path / "market-annotation-test.csv"
    only.unlink()  # a folder of which nothing is annotated is no part of the set
    assert len(module(tmp_path).split("train")) == 4


def test_identities_below_folders(tmp_path: Path) -> None:
    """The layout of DeepFashion as it comes."""
    names = [
        f"{kind}/id_0000000{k}/0{c}_{v}_front.jpg"
        for kind in ("MEN", "WOMEN")
        for k in (1, 2)
        for c in (1, 2)
        for v in (1, 2)
    ]
    lines = [f"img/{name},,{cells()}" for name in names]
    for name in names:
        picture(tmp_path / "img" / name, 50)
    (tmp_path / "keypoints.csv").write_text("\n".join([HEAD, *lines]))
    found = read_people(tmp_path)
    assert not found.faults
    assert {p.identity for p in found.people} == {
        f"img/{Path(name).parent}/{Path(name).name[:2]}" for name in names
    }


def coco(root: Path, **changes: Any) -> Path:
    """The folder with a COCO JSON instead of its CSV."""
    root = folder(root)
    (root / "keypoints.csv").unlink()
    names = sorted(path.name for path in (root / "images").iterdir())
    values = [number for k, (x, y) in enumerate(BODY) for number in (x, y, (0, 1, 2)[k % 3])]
    data: dict[str, Any] = {
        "images": [{"id": 7 + k, "file_name": name} for k, name in enumerate(names)],
        "annotations": [{"image_id": 7 + k, "keypoints": values} for k in range(len(names))],
        "categories": [{"name": "person", "keypoints": list(COCO), "skeleton": [[16, 14]]}],
    }
    (root / "annotations").mkdir()
    (root / "annotations" / "person_keypoints.json").write_text(json.dumps(data | changes))
    return root


def test_coco_json(tmp_path: Path) -> None:
    data = module(coco(tmp_path))
    keypoints = data.split("train").load(0)["keypoints"]
    assert keypoints[0, 2] == 0 and keypoints[OPENPOSE.names.index("left_eye")].tolist() == [20, 7, 1]
    assert len(data.split("train")) == 4


def test_coco_json_with_a_skeleton_and_identities_of_its_own(tmp_path: Path) -> None:
    names = ["left_paw", "right_paw", "tail"]
    categories = [{"name": "cat", "keypoints": names, "skeleton": [[1, 3], [2, 3]]}]
    notes = [
        {"image_id": 7 + k, "keypoints": [3, 4, 2, 20, 30, 2, 5, 5, 0], "identity": k % 2} for k in range(8)
    ]
    data = module(coco(tmp_path, categories=categories, annotations=notes), hold_out=0)
    assert data.split("train").skeleton == Skeleton(tuple(names), ((0, 2), (1, 2)))
    assert data.split("train").skeleton.mirrored == [1, 0, 2]
    assert len(data.split("train")) == 2 * 4 * 3 and data.split("train")[0]["pose"].shape == (3, 64, 32)


def test_splits_from_folders(tmp_path: Path) -> None:
    names = [f"{split}/{split}er{k}_{n}.png" for split in ("train", "val") for k in (1, 2) for n in (1, 2)]
    data = module(folder(tmp_path, names))
    assert {p.identity for p in data.split("train").members} == {"trainer1", "trainer2"}
    assert len(data.split("val")) == 4 and data.split("test") is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: (r / "images" / "anna_1.png").unlink(), "keypoints for anna_1.png, which does not exist"),
        (lambda r: picture(r / "images" / "eve_1.png", 9), "have no keypoints (eve_1.png)"),
        (
            lambda r: edit(r, lambda s: s.replace("16,4", "16", 1)),
            "line 2 has 35 cells where the first line has 36",
        ),
        (lambda r: edit(r, lambda s: s.replace("16,4", "nan,4", 1)), "line 2: (nan, 4) is not finite"),
        (lambda r: edit(r, lambda s: s.replace("16,4", "left,4", 1)), "nose in line 2"),
        (lambda r: edit(r, lambda s: s.replace("image,", "picture,", 1)), "has no column image"),
        (lambda r: edit(r, lambda s: s.replace("nose", "beak")), "names 17 points that are neither"),
        (lambda r: edit(r, lambda s: s + s.splitlines()[1]), "keypoints for anna_1.png twice"),
        (lambda r: (r / "keypoints.csv").unlink(), "has no file of keypoints; expected"),
        (lambda r: picture(r / "images" / "more" / "anna_1.png", 9), "a name that 2 pictures have"),
        (lambda r: (r / "images" / "cleo_1.png").write_bytes(b"\x89PNG"), "cleo_1.png cannot be read"),
    ],
)
def test_faults_of_a_folder(tmp_path: Path, change: Any, said: str) -> None:
    change(folder(tmp_path))
    with pytest.raises(UserError) as caught:
        module(tmp_path).split("train").load(0)
    assert said in str(caught.value) and str(tmp_path) in str(caught.value) and one_sentence(caught.value)
    if "file of keypoints" not in said:
        found = PoseFolder.check(tmp_path)
        assert any(said in fault.text for fault in found.errors)


def edit(root: Path, change: Any) -> None:
    path = root / "keypoints.csv"
    path.write_text(change(path.read_text()))


def one_sentence(error: Exception) -> bool:
    text = str(error)
    return text.endswith(".") and "\n" not in text and len(text) < 600


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name:keypoints_y:keypoints_x\nanna_1.png: [1, 2]: [1, 2]\n", "2 points in line 2; give 18"),
        ("name:keypoints_y:keypoints_x\nanna_1.png: [1, 2: [1, 2]\n", "in line 2; correct it"),
        (f"name:keypoints_y:keypoints_x\na_1.png: {[1] * 18}: {[1] * 17}\n", "in line 2; correct it"),
        (f"name:keypoints_y:keypoints_x\na_1.png: {[1] * 18}: [NaN{', 1' * 17}]\n", "is not finite"),
    ],
)
def test_faults_of_colons(tmp_path: Path, text: str, said: str) -> None:
    (folder(tmp_path) / "keypoints.csv").write_text(text)
    with pytest.raises(UserError) as caught:
        module(tmp_path).split("train")
    assert said in str(caught.value) and "keypoints.csv" in str(caught.value) and one_sentence(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": 3}, "images must be a list, not 3"),
        ({"annotations": [{"image_id": 7, "keypoints": [1] * 50}]}, "50 numbers for anna_1.png where 17"),
        ({"annotations": [{"image_id": 7, "keypoints": [float("nan")] * 51}]}, "that is not finite; write 0"),
        ({"annotations": [{"image_id": 7, "keypoints": [1] * 51}] * 2}, "has 2 people on anna_1.png"),
        ({"annotations": [{"image_id": 99, "keypoints": [1] * 51}]}, "an annotation of image 99"),
        ({"categories": [{"keypoints": ["tail", "nose"]}]}, "names 2 points and no skeleton"),
    ],
)
def test_faults_of_a_json(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        module(coco(tmp_path, **changes)).split("train")
    assert said in str(caught.value) and "person_keypoints.json" in str(caught.value)
    assert one_sentence(caught.value)


SEEN = [number for x, y in BODY for number in (x, y, 2)]


def entries(**first: Any) -> list[dict[str, Any]]:
    """One annotation for each picture; ``first`` belongs to the first."""
    plain: dict[str, Any] = {"keypoints": SEEN, "category_id": 1, "num_keypoints": 17}
    return [plain | {"image_id": 7 + k} | (first if k == 0 else {}) for k in range(8)]


def test_what_shows_no_keypoints_spoils_nothing(tmp_path: Path) -> None:
    """COCO's own files: boxes without keypoints, people too small to be annotated, other categories."""
    person = {"id": 1, "name": "person", "keypoints": list(COCO)}
    dog = {"id": 2, "name": "dog", "keypoints": ["nose", "tail"], "skeleton": [[1, 2]]}
    hidden = {"image_id": 7, "category_id": 1, "keypoints": [0] * 51, "num_keypoints": 0}
    others = [
        hidden,
        hidden | {"keypoints": None},
        {"image_id": 7, "category_id": 1},
        {"image_id": 7, "category_id": 2, "keypoints": [1, 1, 2, 3, 3, 2]},
        {"image_id": 7, "category_id": 3},
    ]
    categories = [dog, person, {"id": 3, "name": "car"}]
    plain = read_people(coco(tmp_path / "plain", annotations=entries()))
    for notes in (others + entries(), entries() + others):
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        found = read_people(coco(root, annotations=notes, categories=categories))
        assert not found.faults and found.skeleton == OPENPOSE and len(found.people) == 8
        for one, other in zip(found.people, plain.people, strict=True):
            assert np.array_equal(one.keypoints, other.keypoints) and one.keypoints[:, 2].any()
    for first in ({"keypoints": None}, {"keypoints": [0] * 51}, {"num_keypoints": 0}):  # nobody is seen
        root = coco(tmp_path / str(len(list(tmp_path.iterdir()))), annotations=entries(**first))
        alone = read_people(root)
        assert (
            not alone.faults and [bool(p.keypoints[:, 2].any()) for p in alone.people] == [False] + [True] * 7
        )
    cat = dog | {"id": 4, "name": "cat"}
    notes = [{"image_id": 7, "category_id": k, "keypoints": [1, 1, 2, 3, 3, 2]} for k in (2, 4)]
    found = read_people(coco(tmp_path / "mixed", annotations=notes, categories=[dog, cat]))
    assert "has keypoints of several categories (dog, cat); keep one of them" in found.faults[0].text


def test_the_size_of_the_json_is_that_of_the_picture(tmp_path: Path) -> None:
    names = sorted(path.name for path in (folder(tmp_path / "names") / "images").iterdir())
    with Image.open(tmp_path / "names" / "images" / names[0]) as image:
        width, height = image.size

    def sized(name: str, **first: int) -> Path:
        images = [
            {"id": 7 + k, "file_name": name, "width": width, "height": height} for k, name in enumerate(names)
        ]
        images[0] |= first
        return coco(tmp_path / name, images=images)

    assert not PoseFolder.check(sized("right")).errors
    for name, first, said in (
        (
            "half",
            {"width": 2 * width, "height": 2 * height},
            f"those of {2 * width} x {2 * height}; give the",
        ),
        (
            "turned",
            {"width": height, "height": width},
            f"those of {height} x {width}; save it without its EXIF",
        ),
    ):
        root = sized(name, **first)
        (error,) = PoseFolder.check(root).errors
        assert said in error.text and error.file.endswith(names[0])
        with pytest.raises(UserError, match="but its keypoints are those of"):
            data = module(root, hold_out=0).split("train")
            [data.load(k) for k in range(len(data))]


def test_a_bad_json_is_named(tmp_path: Path) -> None:
    path = coco(tmp_path) / "annotations" / "person_keypoints.json"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(UserError, match=r"person_keypoints\.json is no JSON \(.*line 1"):
        module(tmp_path).split("train")


def test_an_identity_in_two_splits_is_refused(tmp_path: Path) -> None:
    names = [f"{split}/anna_{k}.png" for k, split in enumerate(("train", "train", "test", "test"))]
    with pytest.raises(UserError, match=r"shows identity anna in train, which is in test too; keep"):
        module(folder(tmp_path, names)).split("train")


def test_single_pictures_of_all_make_no_training(tmp_path: Path) -> None:
    data = module(folder(tmp_path, [f"a{k}_1.png" for k in range(8)]))
    with pytest.raises(UserError, match="No identity in the training part") as caught:
        data.split("train")
    assert one_sentence(caught.value)


def test_of_two_identities_none_is_held_out(tmp_path: Path) -> None:
    root = folder(tmp_path / "two", ["a_1.png", "a_2.png", "b_1.png", "b_2.png"])
    found = PoseFolder.check(root)
    assert not found.errors and found.samples == {"train": 4}
    assert len(PoseFolder(str(root), **found.arguments).split("train")) == 4
    root = folder(tmp_path / "tested", ["test/a_1.png", "test/a_2.png"])
    with pytest.raises(UserError, match=r"None of the 1 identities in .* is for training; name") as caught:
        module(root).split("train")
    assert one_sentence(caught.value)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist; expected pictures"):
        module(tmp_path / "nowhere").split("train")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"height": 8}, "data.height is 8"),
        ({"width": 0}, "data.width is 0"),
        ({"radius": 0}, "data.radius is 0"),
        ({"hold_out": 2}, "data.hold_out"),
        ({"train_pairs": 0}, "data.train_pairs"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        module(tmp_path, **options)


def test_check_gives_a_recipe_and_lists_every_fault(tmp_path: Path) -> None:
    root = folder(tmp_path)
    assert PoseFolder.recognises(root) and not PoseFolder.recognises(root / "images")
    found = PoseFolder.check(root)
    assert not found.errors and found.contract == "poses"
    assert found.arguments == {"height": 64, "width": 32} and len(found.facts) == 8
    assert found.class_path == "zoo.data.poses.PoseFolder"
    edit(root, lambda s: s.replace("16,4", "nan,4", 1).replace("ben_2.png,,16,", "ben_2.png,,x,"))
    for name in ("cleo_1.png", "dan_1.png"):
        (root / "images" / name).write_bytes(b"no")
    assert len(PoseFolder.check(root).errors) == 4
    with pytest.raises(UserError, match="lists 1 more"):
        module(root).split("train")


def test_check_suspects_keypoints_of_another_size(tmp_path: Path) -> None:
    lines = [f"a_{k}.png,,{cells([(4 * x, 4 * y) for x, y in BODY])}" for k in range(2)]
    notes = PoseFolder.check(folder(tmp_path, ["a_0.png", "a_1.png"], lines)).notes
    assert sum("keypoints lie outside; were they found at another size?" in note.text for note in notes) == 2


def test_description_follows_the_files(tmp_path: Path) -> None:
    one = module(folder(tmp_path), licence="mine", research_only=False).describe()
    assert one["licence"] == "mine" and one["research_only"] is False and one["contract"] == "poses"
    assert module(tmp_path).describe()["research_only"] is True
    edit(tmp_path, lambda s: s + "\n")
    assert module(tmp_path).describe()["fingerprint"] != one["fingerprint"]
    files = module(tmp_path).split("train").files()
    assert tmp_path / "keypoints.csv" in files and tmp_path / "images" / "cleo_1.png" in files


# ------------------------------------------------------------------------------------------- drawn people


def test_the_world_shows_one_person_in_two_poses() -> None:
    data = PoseWorld(train_length=6, eval_length=3, batch_size=3)
    batch = next(iter(data.train_dataloader()))
    assert batch["input"].shape == batch["target"].shape == (3, 3, 128, 64)
    assert batch["pose"].shape == (3, 18, 128, 64) and batch["mask"].shape == (3, 1, 128, 64)
    assert set(batch["mask"].unique().tolist()) == {0.0, 1.0}
    test = data.split("test")
    for k in range(3):
        who, street = people.identity_of(0, k), people.street_of(0, k)
        one, other = (people.draw(who, people.pose_of(0, 2 * k + n), street=street) for n in (0, 1))
        loaded = test.load(k)
        assert np.array_equal(loaded["input"], one.picture) and np.array_equal(
            loaded["target"], other.picture
        )
        figure, mask = other.mask[0] == 1, loaded["mask"][0].numpy() == 1
        assert (figure & mask).sum() / (figure | mask).sum() > 0.5
        pose = test[k]["pose"]
        x, y, _ = other.keypoints[COCO.index("left_knee")]
        assert pose[OPENPOSE.names.index("left_knee"), round(float(y)), round(float(x))] == 1


def test_splits_of_the_world_share_nobody_and_ignore_the_run() -> None:
    data = PoseWorld(train_length=5, eval_length=5, seed=1)
    kept = [
        data.split(name).load(k)["input"].numpy().tobytes()
        for name in ("train", "val", "test")
        for k in range(5)
    ]
    assert len(set(kept)) == 15
    other, elsewhere = PoseWorld(eval_length=5, seed=2), PoseWorld(eval_length=5, world=1)
    assert other.split("test").load(0)["input"].numpy().tobytes() == kept[10]
    assert elsewhere.split("test").load(0)["input"].numpy().tobytes() != kept[10]
    assert PoseWorld().describe()["fingerprint"] != PoseWorld(world=1).describe()["fingerprint"]


@pytest.mark.parametrize("workers", [0, 1])
def test_workers_change_nothing(workers: int) -> None:
    def batches(workers: int) -> list[Any]:
        data = PoseWorld(64, 32, train_length=6, eval_length=1, batch_size=2, num_workers=workers, seed=3)
        return list(data.train_dataloader())

    for one, other in zip(batches(0), batches(workers), strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_the_sheet_shows_the_pose() -> None:
    data = PoseWorld(train_length=2, eval_length=2)
    sheet = data.sheet([data.split("test")[k] for k in range(2)])
    assert sheet.shape[0] == 3 and sheet.min() >= -1 and sheet.max() <= 1 and sheet.shape[2] > 4 * 64


# ------------------------------------------------------------------------------------------- real people


def test_synthetic_people(zoo_data: Path) -> None:
    data = PoseFolder("synthetic_people", batch_size=4)
    assert data.root == zoo_data / "synthetic_people"
    sizes = {split: len(data.split(split)) for split in ("train", "val", "test")}
    assert sizes == {"train": 160 * 56, "val": 20 * 56, "test": 20 * 56}
    assert data.describe()["research_only"] is False
    train = data.split("train")
    assert len(train.members) == 1280 and len({p.identity for p in train.members}) == 160
    figure = []
    for index in range(0, 1120, 160):
        sample = data.split("test")[index]
        assert (
            sample["pose"].shape == (18, 128, 64)
            and -1 <= sample["target"].min() < sample["target"].max() <= 1
        )
        ground = sample["target"][:, :, :1]
        differs = (sample["target"] - ground).abs().amax(0) > 0.15
        mask = sample["mask"][0] == 1
        figure.append(float((differs & mask).sum() / mask.sum()))
    assert np.mean(figure) > 0.8  # the mask lies on the person
