"""Super-resolution: twins as Matlab makes them, crops that fit their twins, folders in every layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from zoo.data.base import collate, to_floats
from zoo.data.superres.files import find_twins, shrink
from zoo.data.superres.module import SuperResolutionFolder
from zoo.data.superres.world import SceneTwins
from zoo.data.worlds import scenes
from zoo.errors import UserError
from zoo.files.pictures import read_array, to_tensor, write_picture


def photo(height: int, width: int, seed: int = 0, channels: int = 3, bits: int = 8) -> np.ndarray:
    """Noise over a slope: no two crops are alike."""
    random = np.random.default_rng(seed)
    highest = 2**bits - 1
    slope = np.linspace(0, 0.5, height)[:, None, None] + np.linspace(0, 0.3, width)[None, :, None]
    values = (slope + random.random((height, width, channels)) * 0.2) * highest
    return values.astype(np.uint8 if bits == 8 else np.uint16)


def write(path: Path, values: np.ndarray) -> None:
    write_picture(path, to_tensor(values), 8 if values.dtype == np.uint8 else 16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split, sizes in {"train": [(40, 50), (33, 64), (48, 31)], "val": [(37, 41)]}.items():
        for i, (height, width) in enumerate(sizes):
            write(tmp_path / split / f"{i}.png", photo(height, width, i))
    return tmp_path


def cubic(x: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = -1/2."""
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def by_definition(values: np.ndarray, scale: int) -> np.ndarray:
    """Matlab's imresize pixel by pixel: a kernel as wide as the scale, columns first, edges repeated."""
    highest = np.iinfo(values.dtype).max
    for axis in (0, 1):
        count = values.shape[axis]
        made = []
        for i in range(count // scale):
            centre = (i + 0.5) * scale - 0.5
            at = np.arange(int(centre) - 3 * scale, int(centre) + 3 * scale)
            weights = cubic((at - centre) / scale)
            taken = np.take(values.astype(float), at.clip(0, count - 1), axis)
            made.append(np.tensordot(weights / weights.sum(), taken, (0, axis)))
        values = np.stack(made, axis)
        values = np.clip(np.floor(values + 0.5), 0, highest)
    return values


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_twin_is_matlab_s_to_the_edge(scale: int, bits: int) -> None:
    values = np.random.default_rng(scale).integers(0, 2**bits, (48, 72, 2))
    values = values.astype(np.uint8 if bits == 8 else np.uint16)
    low = shrink(torch.from_numpy(values.transpose(2, 0, 1).copy()), scale)
    assert low.shape == (2, 48 // scale, 72 // scale) and low.numpy().dtype == values.dtype
    assert np.array_equal(low.numpy().transpose(1, 2, 0), by_definition(values, scale))


def test_evaluation_gives_whole_pictures_cut_to_the_scale(folder: Path) -> None:
    data = SuperResolutionFolder(str(folder), crop=24)
    sample = data.split("val")[0]
    assert sample["target"].shape == (3, 36, 40) and sample["input"].shape == (3, 9, 10)
    values = torch.from_numpy(photo(37, 41)[:36, :40].transpose(2, 0, 1).copy())
    assert torch.equal(sample["target"], to_floats(values))
    assert torch.equal(sample["input"], to_floats(shrink(values, 4)))
    assert data.eval_batch_size == 1 and data.split("test") is None
    assert [b["target"].shape for b in data.val_dataloader()] == [(1, 3, 36, 40)]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_crop_s_input_is_the_twin_of_its_target(folder: Path, scale: int) -> None:
    data = SuperResolutionFolder(str(folder), scale, crop=24, mirror=False, turn=False)
    train = data.split("train")
    places = set()
    for epoch in range(15):
        sample = train[epoch, 1]
        high, low = train.load(1)["high"], train.load(1)["low"]
        assert sample["target"].shape == (3, 24, 24) and sample["input"].shape == (
            3,
            24 // scale,
            24 // scale,
        )
        windows = to_floats(high).unfold(1, 24, 1).unfold(2, 24, 1)
        ((top, left),) = (
            (windows == sample["target"][:, None, None]).all(-1).all(-1).all(0).nonzero().tolist()
        )
        side, y, x = 24 // scale, top // scale, left // scale
        assert (top % scale, left % scale) == (0, 0)
        assert torch.equal(sample["input"], to_floats(low[:, y : y + side, x : x + side]))
        places.add((y, x))
    assert len(places) > 5


def test_mirrors_and_turns_are_one_for_both_and_all_occur(folder: Path) -> None:
    plain = SuperResolutionFolder(str(folder), 4, crop=28, mirror=False, turn=False, seed=1).split("train")
    jittered = SuperResolutionFolder(str(folder), 4, crop=28, seed=1).split("train")
    seen = set()
    for epoch in range(80):
        before, after = plain[epoch, 2], jittered[epoch, 2]
        found = [
            (mirrored, turns)
            for mirrored in (False, True)
            for turns in range(4)
            if all(
                torch.equal(
                    (before[key].flip(2) if mirrored else before[key]).rot90(turns, (1, 2)), after[key]
                )
                for key in ("input", "target")
            )
        ]
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) == 8
    only = [
        SuperResolutionFolder(str(folder), 4, 28, seed=1, **{k: False}).split("train")
        for k in ("mirror", "turn")
    ]
    assert not all(torch.equal(only[0][e, 2]["target"], plain[e, 2]["target"]) for e in range(9))
    assert not all(torch.equal(only[1][e, 2]["target"], plain[e, 2]["target"]) for e in range(9))


def test_batches_do_not_depend_on_workers(folder: Path) -> None:
    def batches(workers: int) -> list[torch.Tensor]:
        data = SuperResolutionFolder(str(folder), crop=24, batch_size=1, num_workers=workers, seed=7)
        return [torch.cat([b["input"].flatten(), b["target"].flatten()]) for b in data.train_dataloader()]

    assert len(batches(0)) == 3
    assert all(torch.equal(a, b) for a, b in zip(batches(0), batches(1), strict=True))


def test_grey_and_16_bit(tmp_path: Path) -> None:
    write(tmp_path / "train" / "grey.png", photo(24, 28, channels=1))
    deep = photo(24, 28, bits=16)
    write(tmp_path / "train" / "deep.png", deep)
    train = SuperResolutionFolder(str(tmp_path), crop=24).split("train")
    assert train.load(0)["high"].dtype == train.load(0)["low"].dtype == torch.uint16
    assert torch.equal(train.load(0)["high"].int(), torch.from_numpy(deep.astype(np.int32)).permute(2, 0, 1))
    grey = train[0, 1]
    assert grey["target"].shape == (3, 24, 24) and torch.equal(grey["target"][0], grey["target"][2])
    batch = collate([train[0, 0], train[0, 1]])
    assert batch["target"].dtype == torch.float32 and batch["target"].abs().max() <= 1


def test_pictures_in_the_folder_itself_are_for_training(tmp_path: Path) -> None:
    write(tmp_path / "a.png", photo(24, 24))
    data = SuperResolutionFolder(str(tmp_path), crop=24)
    assert len(data.split("train")) == 1 and data.split("val") is None and data.split("test") is None


def test_without_chance_a_crop_is_the_middle(folder: Path) -> None:
    train = SuperResolutionFolder(str(folder), crop=24).split("train")
    assert torch.equal(train[0]["target"], to_floats(train.load(0)["high"][:, 8:32, 12:36]))


@pytest.mark.parametrize(
    ("high", "low"),
    [
        ("train/x.png", "train_x2/x.png"),
        ("DIV2K_train_HR/0001.png", "DIV2K_train_LR_bicubic/X2/0001x2.png"),
        ("DIV2K_valid_HR/0801.png", "DIV2K_valid_LR_bicubic/X2/0801x2.png"),
        ("image_SRF_2/img_001_SRF_2_HR.png", "image_SRF_2/img_001_SRF_2_LR.png"),
        ("HR/baby.png", "LR_bicubic/X2/babyx2.png"),
        ("test/x.jpg", "test_x2/x.png"),
    ],
)
def test_given_twins_are_taken_in_every_layout(tmp_path: Path, high: str, low: str) -> None:
    write(tmp_path / high, photo(24, 26))
    given = photo(12, 13, 5)
    write(tmp_path / low, given)
    split = "train" if "train" in high else "val" if "valid" in high else "test"
    data = SuperResolutionFolder(str(tmp_path), 2, crop=24)
    loaded = data.split(split).load(0)
    assert torch.equal(loaded["low"], torch.from_numpy(given).permute(2, 0, 1))
    assert SuperResolutionFolder.recognises(tmp_path)
    assert all(find_twins(tmp_path, other, 2) is None for other in {"train", "val", "test"} - {split})
    expected = [] if split != "val" else ["no readable training samples"]
    found = SuperResolutionFolder.check(tmp_path)
    assert found.samples[split] == 1 and found.arguments["scale"] == 2
    assert len(found.errors) == len(expected) and all(
        e in f.text for e, f in zip(expected, found.errors, strict=True)
    )


@pytest.fixture
def benchmarks(tmp_path: Path, folder: Path) -> Path:
    root = tmp_path / "sr"
    write(root / "Set5" / "image_SRF_4" / "img_001_SRF_4_HR.png", photo(40, 36))
    write(root / "Set5" / "image_SRF_4" / "img_001_SRF_4_LR.png", photo(10, 9))
    write(root / "Mine" / "test" / "a.png", photo(40, 36))
    low = root / "BSD100" / "image_SRF_4_LR"
    write(low / "img_001_SRF_4_LR.png", photo(9, 10, 3))
    (root / "BSD100" / "lr_to_bsds500_val.json").write_text(json.dumps({"img_001_SRF_4_HR.png": "0.png"}))
    return root


def test_the_test_split_is_a_named_benchmark(folder: Path, benchmarks: Path) -> None:
    def test_split(name: str, scale: int = 4) -> torch.Tensor:
        data = SuperResolutionFolder(str(folder), scale, crop=24, benchmarks=str(benchmarks), benchmark=name)
        assert len(data.split("train")) == 3 and len(data.split("val")) == 1
        assert data.describe()["preprocessing"]["benchmark"] == name
        return data.split("test").load(0)["low"]

    assert torch.equal(test_split("Set5"), torch.from_numpy(photo(10, 9)).permute(2, 0, 1))
    # the photograph lies in the training folder's val
    assert torch.equal(test_split("BSD100"), torch.from_numpy(photo(9, 10, 3)).permute(2, 0, 1))
    assert test_split("Mine").shape == (3, 10, 9)
    with pytest.raises(UserError, match=r"no benchmark .*Set7 for scale 4 \(.* holds BSD100, Mine, Set5\)"):
        test_split("Set7")
    with pytest.raises(UserError, match=r"no benchmark .*Set5 for scale 2"):
        test_split("Set5", 2)


def test_a_benchmark_s_missing_files_are_named(folder: Path, benchmarks: Path) -> None:
    def test_split() -> None:
        SuperResolutionFolder(str(folder), benchmarks=str(benchmarks), benchmark="BSD100").split("test")

    name_map = benchmarks / "BSD100" / "lr_to_bsds500_val.json"
    name_map.write_text(json.dumps({"img_001_SRF_4_HR.png": "gone.jpg"}))
    with pytest.raises(UserError, match=r"asks for gone\.jpg of bsds500"):
        test_split()
    name_map.write_text(json.dumps({"img_009_SRF_4_HR.png": "0.png"}))
    with pytest.raises(UserError, match=r"asks for .*img_009_SRF_4_LR\.png"):
        test_split()
    name_map.write_text("{")
    with pytest.raises(UserError, match=r"lr_to_bsds500_val\.json is no JSON"):
        test_split()


def test_faulty_pictures_are_named(folder: Path) -> None:
    write(folder / "train" / "1.png", photo(20, 60))
    write(folder / "train" / "2.png", photo(40, 40, channels=4))
    (folder / "train" / "3.png").write_bytes((folder / "train" / "0.png").read_bytes()[:-40])
    train = SuperResolutionFolder(str(folder), crop=24).split("train")
    for index, message in (
        (1, r"train/1\.png is 60 x 20 pixels, too small for crops of 24"),
        (2, r"train/2\.png has 4 channels"),
        (3, r"train/3\.png is truncated"),
    ):
        with pytest.raises(UserError, match=message):
            train[0, index]
    found = SuperResolutionFolder.check(folder)
    assert [Path(fault.file).name for fault in found.errors] == ["2.png", "3.png"]
    assert found.samples == {"train": 2, "val": 1, "test": 0} and found.arguments == {"scale": 4, "crop": 20}


def test_faulty_twins_are_named(folder: Path) -> None:
    for i in range(3):
        write(folder / "train_x4" / f"{i}.png", photo(10, 12, i))
    train = SuperResolutionFolder(str(folder), crop=24).split("train")
    assert train.load(0)["low"].shape == (3, 10, 12)
    with pytest.raises(UserError, match=r"train_x4/1\.png is 12 x 10 pixels where .*asks for 16 x 8"):
        train.load(1)
    found = SuperResolutionFolder.check(folder)
    assert [Path(fault.file).name for fault in found.errors] == ["1.png", "2.png"]
    assert all("train_x4" in fault.file for fault in found.errors)
    (folder / "train_x4" / "2.png").unlink()
    with pytest.raises(UserError, match=r"1 pictures of .*train have no twin in .*train_x4 \(2\.png\)"):
        SuperResolutionFolder(str(folder), crop=24).split("train")
    assert any("have no twin" in fault.text for fault in SuperResolutionFolder.check(folder).errors)


def test_pictures_of_differing_sizes_are_no_batch(folder: Path) -> None:
    write(folder / "val" / "1.png", photo(24, 24))
    data = SuperResolutionFolder(str(folder), crop=24, eval_batch_size=2)
    with pytest.raises(UserError, match="Samples of one batch differ in size"):
        next(iter(data.val_dataloader()))


def test_an_empty_folder_says_what_is_expected(tmp_path: Path) -> None:
    for root, state in ((tmp_path, "holds no photographs"), (tmp_path / "nowhere", "does not exist")):
        with pytest.raises(UserError, match=rf"{state}.*train/, val/ and test/"):
            SuperResolutionFolder(str(root)).split("train")
    assert SuperResolutionFolder.check(tmp_path).errors and not SuperResolutionFolder.recognises(tmp_path)


@pytest.mark.parametrize(
    ("options", "key"), [({"scale": 5}, "scale"), ({"crop": 90}, "crop"), ({"crop": 0}, "crop")]
)
def test_mistakes_are_named(folder: Path, options: dict, key: str) -> None:
    with pytest.raises(UserError, match=f"data.{key} is"):
        SuperResolutionFolder(str(folder), **options)


def test_what_a_checkpoint_must_know(folder: Path) -> None:
    described = SuperResolutionFolder(str(folder), name="DIV2K").describe()
    assert described["contract"] == "super-resolution" and "academic" in described["licence"]
    assert described["preprocessing"]["low"].startswith("antialiased bicubic")
    before = described["fingerprint"]
    write(folder / "train" / "new.png", photo(30, 30))
    assert SuperResolutionFolder(str(folder)).describe()["fingerprint"] != before
    assert SuperResolutionFolder(str(folder)).describe()["licence"] == "unknown: research use only"


# -------------------------------------------------------------------------------------------------- the world


def test_scenes_and_their_twins() -> None:
    data = SceneTwins(size=32, scale=4, train_length=6, eval_length=2, batch_size=3)
    batch = next(iter(data.train_dataloader()))
    assert batch["input"].shape == (3, 3, 8, 8) and batch["target"].shape == (3, 3, 32, 32)
    first = data.split("test")[0]
    high = ((scenes.draw(0, 0, 32).picture + 1) * 127.5).round().byte()
    assert torch.equal(first["target"], to_floats(high))
    assert torch.equal(first["input"], to_floats(shrink(high, 4)))
    assert (F.avg_pool2d(first["target"], 4) - first["input"]).abs().mean() < 0.05


def test_no_scene_is_in_two_splits_and_the_world_is_described() -> None:
    data = SceneTwins(size=16, train_length=3, eval_length=3)
    drawn = [data.split(name).load(i)["high"] for name in ("train", "val", "test") for i in range(3)]
    assert len(torch.stack(drawn).flatten(1).unique(dim=0)) == 9
    assert data.describe()["fingerprint"] != SceneTwins(size=16, world=1).describe()["fingerprint"]
    assert data.describe()["research_only"] is False


@pytest.mark.parametrize(
    ("options", "key"), [({"size": 30}, "size"), ({"size": 8}, "size"), ({"scale": 1}, "scale")]
)
def test_mistakes_in_the_world_are_named(options: dict, key: str) -> None:
    with pytest.raises(UserError, match=f"data.{key} is"):
        SceneTwins(**options)


# -------------------------------------------------------------------------------------------------- real sets


def luma(values: np.ndarray) -> np.ndarray:
    """Y of ITU-R BT.601 as Matlab's rgb2ycbcr has it, not rounded."""
    return 16 + values.astype(float) @ np.array([65.481, 128.553, 24.966]) / 255


def y_psnr(one: np.ndarray, other: np.ndarray, border: int) -> float:
    inner = slice(border, -border)
    one, other = (x.astype(float) if x.ndim == 2 else luma(x) for x in (one, other))
    error = (one - other)[inner, inner]
    return float(10 * np.log10(255**2 / np.square(error).mean()))


@pytest.mark.parametrize(
    ("name", "scale", "count", "bicubic"),
    [
        ("Set5", 2, 5, 33.67),
        ("Set5", 3, 5, 30.40),
        ("Set5", 4, 5, 28.43),
        ("Set14", 4, 14, 26.00),
        ("BSD100", 4, 100, 25.96),
    ],
)
def test_benchmarks(zoo_data: Path, name: str, scale: int, count: int, bicubic: float) -> None:
    data = SuperResolutionFolder(
        str(zoo_data / "bsds500"), scale, benchmarks=str(zoo_data / "sr"), benchmark=name
    )
    test = data.split("test")
    assert len(test) == count
    found = []
    for index in range(count):
        loaded = test.load(index)
        high, low = loaded["high"], loaded["low"]
        assert torch.equal(shrink(high, scale), low), f"{test.twins[index]}: not a grey level of difference"
        values = low.permute(1, 2, 0).numpy()
        large = Image.fromarray(values).resize((high.shape[2], high.shape[1]), Image.Resampling.BICUBIC)
        both = np.asarray(large), high.permute(1, 2, 0).numpy()
        if test.is_grey(index):  # Matlab's code converts only files of three channels
            assert test.twins[index].high.name.startswith("img_003_")
            both = tuple(x[:, :, 0] for x in both)
        found.append(y_psnr(*both, scale))
    assert abs(np.mean(found) - bicubic) < 0.01


def test_bsds500(zoo_data: Path) -> None:
    data = SuperResolutionFolder(str(zoo_data / "bsds500"))
    assert {split: len(data.split(split)) for split in ("train", "val")} == {"train": 200, "val": 100}
    train = data.split("train")
    for index in range(0, 200, 40):
        sample = train[0, index]
        assert sample["target"].shape == (3, 96, 96) and sample["input"].shape == (3, 24, 24)
        assert sample["target"].min() >= -1 and sample["target"].max() <= 1
        assert {*train.load(index)["high"].shape[1:]} == {480, 320}
        assert {*read_array(train.twins[index].high).shape[:2]} == {481, 321}
    assert "non-commercial" in data.describe()["licence"] and data.describe()["research_only"] is True
