"""Frontal faces: turned pictures find the right frontal one, no person is in two splits, faults are named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from zoo.data.frontal.module import FrontalFolder, patch_centres
from zoo.data.frontal.world import FrontalWorld
from zoo.data.worlds import faces
from zoo.errors import UserError
from zoo.files.pictures import write_picture

HEAD = "file,identity,yaw,expression"
POINTS = ",".join(f"x{i},y{i}" for i in range(5))


def grey(value: float, height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.full((3, height, width), value)


def folder(root: Path, people: int = 10, head: str = HEAD, extra: str = "") -> Path:
    """A person is a shade; its frontal happy picture has a red corner."""
    rows = [head]
    for who in range(people):
        for yaw, mood in ((0, "sad"), (0, "happy"), (-30, "happy"), (60, "sad")):
            name = f"p{who}/{yaw}_{mood}.png"
            picture = grey(who / 10)
            if yaw == 0 and mood == "happy":
                picture[0, :8, :8] = 1
            write_picture(root / name, picture)
            rows.append(f"{name},p{who},{yaw},{mood}{extra}")
    (root / "index.csv").write_text("\n".join(rows) + "\n")
    return root


def shade(picture: torch.Tensor) -> float:
    return float(picture[:, 10:, 10:].mean())


# --------------------------------------------------------------------------------------------------- a folder


def test_a_turned_picture_finds_its_frontal_one(tmp_path: Path) -> None:
    data = FrontalFolder(str(folder(tmp_path)), size=16)
    train = data.split("train")
    assert len(train) == 16 and len(data.split("val")) == len(data.split("test")) == 2
    for index in range(len(train)):
        sample = train[(0, index)]
        assert set(sample) == {"input", "target", "identity", "yaw"}
        assert sample["input"].shape == sample["target"].shape == (3, 16, 16)
        assert shade(sample["input"]) == pytest.approx(shade(sample["target"]), abs=1e-6)
        red = bool(sample["target"][0, 0, 0] - sample["target"][1, 0, 0] > 0.05)
        assert red == (sample["yaw"] == -30)  # the happy one looks to the left


def test_people_are_split_never_pictures(tmp_path: Path) -> None:
    data = FrontalFolder(str(folder(tmp_path)), size=16)
    shown = {
        split: {round(shade(data.split(split)[i]["input"]), 3) for i in range(len(data.split(split)))}
        for split in ("train", "val", "test")
    }
    assert [len(shown[split]) for split in ("train", "val", "test")] == [8, 1, 1]
    assert len(set().union(*shown.values())) == 10
    numbers = {int(data.split("train")[i]["identity"]) for i in range(16)}
    assert numbers == set(range(8)) and int(data.split("test")[0]["identity"]) == 9
    assert data.describe()["preprocessing"]["identities"] == 8


def test_the_index_may_say_who_is_in_which_split(tmp_path: Path) -> None:
    root = folder(tmp_path, 3)
    rows = (root / "index.csv").read_text().splitlines()
    deal = {"p0": "test", "p1": "train", "p2": "train"}
    rows = [rows[0] + ",split", *(f"{row},{deal[row.split(',')[1]]}" for row in rows[1:])]
    (root / "index.csv").write_text("\n".join(rows))
    data = FrontalFolder(str(root), size=16)
    assert len(data.split("train")) == 4 and len(data.split("test")) == 2 and data.split("val") is None
    assert shade(data.split("test")[0]["input"]) == pytest.approx(0, abs=0.01)


def test_landmarks_follow_the_picture_into_its_square(tmp_path: Path) -> None:
    """A white dot is drawn at a landmark; wherever the picture is cut or padded, both stay together."""
    rows = [f"{HEAD},{POINTS}"]
    x, y = 30.0, 21.0
    for who in range(3):
        for yaw in (0, 40):
            picture = grey(-1.0, 40, 64)
            picture[:, int(y) - 2 : int(y) + 2, int(x) - 2 : int(x) + 2] = 1
            write_picture(tmp_path / f"{who}_{yaw}.png", picture)
            rows.append(f"{who}_{yaw}.png,{who},{yaw},none,{x},{y},{x},{y},{x},{y},{x - 4},{y},{x + 4},{y}")
    (tmp_path / "index.csv").write_text("\n".join(rows))
    for fit in ("crop", "pad", "stretch"):
        sample = FrontalFolder(str(tmp_path), size=80, fit=fit).split("train")[0]
        dot = sample["input"][0] > 0
        if fit == "pad":
            dot[:20] = dot[-20:] = False  # white is added above and below
        rows_, columns = dot.nonzero().T.float() + 0.5
        assert sample["landmarks"].shape == (5, 2) and sample["centres"].shape == (4, 2)
        for centre in sample["centres"]:  # the mouth's middle lies between its corners
            assert abs(float(centre[0] - columns.mean())) < 1 and abs(float(centre[1] - rows_.mean())) < 1


def test_patch_centres_of_68_landmarks() -> None:
    points = torch.zeros(68, 2)
    points[36:42, 0], points[42:48, 0], points[30], points[48], points[54] = 1, 2, 3, 4, 6
    assert patch_centres(points)[:, 0].tolist() == [1, 2, 3, 5]


def test_turns_can_be_chosen(tmp_path: Path) -> None:
    data = FrontalFolder(str(folder(tmp_path)), size=16, least_yaw=45)
    assert {float(data.split("train")[i]["yaw"]) for i in range(8)} == {60.0}
    with pytest.raises(UserError, match="least_yaw"):
        FrontalFolder(str(tmp_path), size=16, least_yaw=70).split("train")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("file,identity,yaw", "picture,identity,yaw", "no column file"),
        ("p1,-30,", "p1,left,", r"Line \d+ .*'left' as yaw"),
        ("p1/-30_happy.png", "p1/gone.png", "gone.png, which is not there"),
        ("p1,0,sad", "p1,20,sad", None),  # the happy frontal one is left
        (",happy\np1/60", "\np1/60", r"line 8 has 3 cells where the first line has 4"),
    ],
)
def test_faults_of_the_index_are_named(tmp_path: Path, old: str, new: str, says: str | None) -> None:
    index = folder(tmp_path) / "index.csv"
    assert old in index.read_text()
    index.write_text(index.read_text().replace(old, new, 1))
    data = FrontalFolder(str(tmp_path), size=16)
    if says is None:
        assert data.split("train") is not None
        return
    with pytest.raises(UserError, match=says):
        data.split("train")
    assert len(FrontalFolder.check(tmp_path).errors) == 1


def test_further_faults(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"index\.csv"):
        FrontalFolder(str(tmp_path)).split("train")
    (tmp_path / "index.csv").write_text(HEAD)
    with pytest.raises(UserError, match="names no pictures"):
        FrontalFolder(str(tmp_path)).split("train")
    folder(tmp_path / "two", 2)
    with pytest.raises(UserError, match="three or more"):
        FrontalFolder(str(tmp_path / "two")).split("train")
    folder(tmp_path / "odd", 3, f"{HEAD},x0,y0", ",1,2")
    with pytest.raises(UserError, match="1 landmarks"):
        FrontalFolder(str(tmp_path / "odd")).split("train")
    index = folder(tmp_path / "none") / "index.csv"
    index.write_text("\n".join(row for row in index.read_text().splitlines() if ",p4,0," not in row))
    with pytest.raises(UserError, match=r"no frontal picture.* of p4"):
        [FrontalFolder(str(tmp_path / "none")).split(split) for split in ("train", "val", "test")]
    folder(tmp_path / "splits", 3, f"{HEAD},split", ",trian")
    with pytest.raises(UserError, match="'trian'"):
        FrontalFolder(str(tmp_path / "splits")).split("train")


def test_check_finds_damaged_and_forgotten_pictures(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / "p3" / "60_sad.png").write_bytes(b"no picture")
    write_picture(root / "p3" / "new.png", grey(0))
    assert FrontalFolder.recognises(root) and not FrontalFolder.recognises(root / "p3")
    found = FrontalFolder.check(root)
    assert [Path(fault.file).name for fault in found.errors] == ["60_sad.png"]
    assert [Path(fault.file).name for fault in found.notes] == ["new.png"]
    assert sum(found.samples.values()) == 39 and found.arguments["size"] == 32


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"size": 8}, "size"),
        ({"channels": 2}, "channels"),
        ({"fit": "bend"}, "fit"),
        ({"frontal_yaw": 0.0}, "frontal_yaw"),
        ({"most_yaw": 3.0}, "most_yaw"),
    ],
)
def test_mistakes_are_named(options: dict, key: str) -> None:
    with pytest.raises(UserError, match=f"data.{key}"):
        FrontalFolder("x", **options)


# ------------------------------------------------------------------------------------------------- the world


def test_the_world_gives_twins() -> None:
    data = FrontalWorld(size=32, views=4, train_length=12, eval_length=24, batch_size=4)
    batch = next(iter(data.train_dataloader()))
    assert batch["input"].shape == batch["target"].shape == (4, 3, 32, 32)
    assert batch["input"].dtype == torch.float32 and batch["input"].abs().max() <= 1
    assert batch["landmarks"].shape == (4, 10, 2) and batch["centres"].shape == (4, 4, 2)
    assert batch["yaw"].abs().min() >= 10
    test = data.split("test")
    shown = faces.Parameters(faces.person(0, 1), faces.expression(0, 6), faces.light(0, 6))
    drawn = faces.draw(shown, float(test[6]["yaw"]), 32)
    assert torch.equal(test.load(6)["input"], drawn.picture)
    assert torch.equal(test.load(6)["target"], faces.draw(shown, 0, 32).picture)
    assert torch.equal(test[6]["landmarks"], drawn.landmarks)
    assert sorted({float(test[i]["yaw"]) for i in range(24)}) == [*range(-90, 0, 15), *range(15, 91, 15)]


def test_no_person_is_in_two_splits() -> None:
    data = FrontalWorld(size=16, views=3, train_length=7, eval_length=6)
    numbers = {
        split: {int(data.split(split)[i]["identity"]) for i in range(len(data.split(split)))}
        for split in ("train", "val", "test")
    }
    assert numbers == {"train": {0, 1, 2}, "val": {3, 4}, "test": {5, 6}}
    frontal = [data.split(split).load(0)["target"] for split in numbers]
    assert len(torch.stack(frontal).flatten(1).unique(dim=0)) == 3
    assert data.describe()["preprocessing"]["identities"] == 3


def test_test_pairs_do_not_depend_on_the_run() -> None:
    one, other = (FrontalWorld(16, eval_length=2, train_length=n, seed=n).split("test") for n in (10, 20))
    assert torch.equal(one.load(1)["input"], other.load(1)["input"])
    assert not torch.equal(FrontalWorld(16, world=1).split("test").load(1)["input"], one.load(1)["input"])
    assert FrontalWorld(16).describe()["fingerprint"] != FrontalWorld(16, world=1).describe()["fingerprint"]


def test_workers_change_nothing() -> None:
    batches = [
        list(
            FrontalWorld(
                16, train_length=6, eval_length=2, batch_size=3, num_workers=workers
            ).train_dataloader()
        )
        for workers in (0, 1)
    ]
    for alone, helped in zip(*batches, strict=True):
        assert all(torch.equal(alone[key], helped[key]) for key in alone)


@pytest.mark.parametrize(
    ("options", "key"),
    [({"size": 8}, "size"), ({"least_yaw": 50, "most_yaw": 40}, "least_yaw"), ({"views": 0}, "views")],
)
def test_mistakes_about_the_world_are_named(options: dict, key: str) -> None:
    with pytest.raises(UserError, match=f"data.{key}"):
        FrontalWorld(**options)


# -------------------------------------------------------------------------------------------------- real sets


def test_synthetic_heads(zoo_data: Path) -> None:
    data = FrontalFolder("synthetic_heads", size=64)
    sizes = {split: len(data.split(split)) for split in ("train", "val", "test")}
    assert sizes == {"train": 2400, "val": 300, "test": 300}  # 150 people, 10 turned views, 2 expressions
    train = data.split("train")
    assert all(pair.turned.labels == pair.frontal.labels for pair in train.pairs)
    assert {pair.turned.yaw for pair in train.pairs} == {s * y for y in (15, 30, 45, 60, 90) for s in (-1, 1)}
    sample = train[0]
    assert sample["input"].shape == (3, 64, 64) and sample["landmarks"].shape == (68, 2)
    slightly = next(i for i, pair in enumerate(train.pairs) if pair.turned.yaw == 15)
    left, right, nose, mouth = train[slightly]["centres"].tolist()
    assert left[0] < nose[0] < right[0] and left[1] < nose[1] < mouth[1]
    description = data.describe()
    assert description["research_only"] is False and description["preprocessing"]["identities"] == 120


def test_cmu_faces(zoo_data: Path) -> None:
    data = FrontalFolder("cmu_faces", size=60)
    sizes = [len(data.split(split)) for split in ("train", "val", "test")]
    assert sum(sizes) == 312 and data.describe()["preprocessing"]["identities"] == 16  # left and right of 624
    sample = data.split("test")[0]
    assert sample["input"].shape == (3, 60, 60) and "landmarks" not in sample
    assert torch.equal(sample["input"][0], sample["input"][1]) and data.describe()["research_only"] is True
