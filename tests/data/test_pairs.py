from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.data import base, pixels
from zoo.data.label_maps.module import LabelMapFolder
from zoo.data.pairs.module import PairFolder
from zoo.data.sources import SOURCES
from zoo.errors import UserError
from zoo.features.segmenter import FACADES
from zoo.files.pictures import to_tensor, write_picture


def coordinates(side: int, channel: int, bits: int = 8) -> np.ndarray:
    """Pixels that say where they were: rows, columns, and a constant that tells A from B."""
    rows, columns = np.mgrid[:side, :side]
    dtype = np.uint8 if bits == 8 else np.uint16
    return np.stack([rows, columns, np.full_like(rows, channel)], 2).astype(dtype)


def write(path: Path, values: np.ndarray) -> None:
    write_picture(path, to_tensor(values), 8 if values.dtype == np.uint8 else 16)


def halves(root: Path, count: int = 3, side: int = 20, suffix: str = ".png", bits: int = 8) -> Path:
    for split in ("train", "val", "test"):
        for i in range(count):
            both = np.concatenate([coordinates(side, 50 + i, bits), coordinates(side, 150 + i, bits)], axis=1)
            write(root / split / f"{i}{suffix}", both)
    return root


def folders(root: Path, pattern: str = "{side}/{split}", count: int = 3) -> Path:
    for split in ("train", "val", "test"):
        for side, channel in (("A", 50), ("B", 150)):
            for i in range(count):
                suffix = ".png" if side == "A" else ".tif"  # partners may differ in suffix
                place = root / pattern.format(side=side, split=split)
                write(place / f"{i}{suffix}", coordinates(20, channel + i))
    return root


def values(x: torch.Tensor, bits: int = 8) -> torch.Tensor:
    return ((x + 1) / 2 * (2**bits - 1)).round().long()


@pytest.mark.parametrize("layout", ["halves", "folders", "suffixes"])
@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_every_layout_gives_the_partners_in_the_asked_direction(tmp_path, layout, direction):
    make = {"halves": halves, "folders": folders, "suffixes": lambda root: folders(root, "{split}{side}")}[
        layout
    ]
    data = PairFolder(str(make(tmp_path)), direction, size=20, load_size=20, mirror=False, batch_size=3)
    for split in ("train", "val", "test"):
        samples = data.split(split)
        assert samples is not None and len(samples) == 3
        for i in range(3):
            a, b = (samples[i]["input"], samples[i]["target"])[:: 1 if direction == "AtoB" else -1]
            assert torch.equal(values(a), torch.from_numpy(coordinates(20, 50 + i)).permute(2, 0, 1))
            assert torch.equal(values(b), torch.from_numpy(coordinates(20, 150 + i)).permute(2, 0, 1))


@pytest.mark.parametrize("cache", [True, False])
def test_one_crop_and_one_mirror_for_both_pictures(tmp_path, cache):
    data = PairFolder(str(halves(tmp_path, side=20)), size=14, load_size=20, cache=cache, seed=3)
    samples = data.split("train")
    assert samples is not None
    seen = set()
    for epoch in range(60):
        batch = samples[epoch, 1]
        x, y = values(batch["input"]), values(batch["target"])
        assert x.shape == (3, 14, 14)
        assert torch.equal(x[:2], y[:2]), "the two pictures were cut or mirrored differently"
        top, left, right = x[0, 0, 0].item(), x[1, 0, 0].item(), x[1, 0, -1].item()
        step = 1 if right > left else -1
        expected = torch.from_numpy(coordinates(20, 51)).permute(2, 0, 1)
        start = min(left, right)
        assert torch.equal(x, expected[:, top : top + 14, start : start + 14].flip([2] if step < 0 else []))
        seen.add((top, start, step))
    assert {s for _, _, s in seen} == {1, -1}
    assert {t for t, _, _ in seen} == set(range(7)) == {s for _, s, _ in seen}, "some places are never cut"


def test_mirror_false_never_mirrors_but_still_crops(tmp_path):
    samples = PairFolder(str(halves(tmp_path)), size=14, load_size=20, mirror=False, seed=3).split("train")
    assert samples is not None
    first = [values(samples[epoch, 0]["input"]) for epoch in range(30)]
    assert all(x[1, 0, -1] > x[1, 0, 0] for x in first)
    assert len({(int(x[0, 0, 0]), int(x[1, 0, 0])) for x in first}) > 5


def test_the_paper_s_jitter_is_the_default(tmp_path):
    assert PairFolder(str(tmp_path)).load_size == 286
    assert PairFolder(str(tmp_path), size=128).load_size == 143


def test_evaluation_is_resized_whole_and_never_random(tmp_path):
    data = PairFolder(str(halves(tmp_path, side=40)), size=20, seed=0)
    for split in ("val", "test"):
        samples = data.split(split)
        assert samples is not None
        x = values(samples[0]["input"])
        assert torch.equal(x, values(samples[0]["input"])) and x.shape == (3, 20, 20)
        assert x[0, 0].max() <= 2 and x[0, -1].min() >= 37, "edges were cut off"
        assert x[1, :, 0].max() <= 2 and x[1, :, -1].min() >= 37


def test_resizing_is_antialiased_bicubic(tmp_path):
    stripes = np.zeros((48, 96, 1), np.uint8)
    stripes[:, ::2] = 255  # every third column, which is what is left without antialiasing, is as stripy
    write(tmp_path / "train" / "x.png", stripes)
    samples = PairFolder(str(tmp_path), size=16, load_size=16).split("train")
    assert samples is not None
    assert samples[0]["input"].abs().mean() < 0.15


def test_16_bit_and_many_channels_pass_exactly(tmp_path):
    random = np.random.default_rng(0)
    a = random.integers(0, 65536, (12, 12, 5)).astype(np.uint16)
    b = random.integers(0, 65536, (12, 12, 1)).astype(np.uint16)
    write(tmp_path / "A" / "train" / "x.tif", a)
    write(tmp_path / "B" / "train" / "x.png", b)
    samples = PairFolder(str(tmp_path), size=12, load_size=12, mirror=False).split("train")
    assert samples is not None
    for _ in range(2):  # read, then from the cache
        pair = samples[0, 0]
        assert torch.equal(values(pair["input"], 16), torch.from_numpy(a.astype(np.int64)).permute(2, 0, 1))
        assert torch.equal(values(pair["target"], 16), torch.from_numpy(b.astype(np.int64)).permute(2, 0, 1))


def test_a_resize_keeps_16_bit(tmp_path):
    ramp = np.arange(40 * 40, dtype=np.uint16).reshape(40, 40, 1) * 40
    write(tmp_path / "train" / "x.png", np.concatenate([ramp, ramp], axis=1))
    samples = PairFolder(str(tmp_path), size=20, load_size=20).split("train")
    assert samples is not None
    assert len(values(samples[0]["input"], 16).unique()) > 256


def batches(root: Path, workers: int, epochs: int = 2) -> list[torch.Tensor]:
    data = PairFolder(str(root), size=14, load_size=20, batch_size=2, num_workers=workers, seed=7)
    loader = data.train_dataloader()
    found = []
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        found += [torch.cat([b["input"], b["target"]], 1) for b in loader]
    return found


def test_batches_do_not_depend_on_workers_or_on_torch_s_generator(tmp_path):
    root = halves(tmp_path, count=7)
    torch.manual_seed(0)
    alone = batches(root, 0)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    again = batches(root, 0)
    assert torch.equal(state, torch.get_rng_state())
    helped = batches(root, 2)
    assert len(alone) == 6
    for x, y, z in zip(alone, again, helped, strict=True):
        assert torch.equal(x, y) and torch.equal(x, z)
    assert not torch.equal(alone[0], alone[3]), "two epochs are alike"


def test_the_cache_reads_each_file_once_and_changes_nothing(tmp_path, monkeypatch):
    root = halves(tmp_path, side=30)
    kept = PairFolder(str(root), size=14, seed=1).split("train")
    fresh = PairFolder(str(root), size=14, seed=1, cache=False).split("train")
    assert kept is not None and fresh is not None
    for key in [(e, i) for e in range(3) for i in range(3)]:
        assert torch.equal(kept[key]["target"], fresh[key]["target"])

    def gone(path: Path) -> np.ndarray:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(pixels, "read_array", gone)
    assert all(kept[5, i] for i in range(3))
    with pytest.raises(AssertionError, match="read again"):
        fresh[5, 0]


def test_the_cache_stops_at_its_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(base, "CACHE_BYTES", 2 * 2 * 3 * 14 * 14)  # two pairs
    samples = PairFolder(str(halves(tmp_path)), size=14, load_size=14).split("train")
    assert samples is not None
    for i in (0, 1, 2, 0, 1, 2):
        assert samples[0, i]
    assert sorted(samples._cached) == [0, 1]


def test_grey_becomes_rgb_where_asked_and_nothing_else_is_guessed(tmp_path):
    for i, channels in enumerate((1, 3, 4)):
        picture = np.random.default_rng(i).integers(0, 256, (8, 16, channels)).astype(np.uint8)
        write(tmp_path / "train" / f"{i}.png", picture)
    asked = PairFolder(str(tmp_path), size=8, load_size=8, input_channels=3, target_channels=3).split("train")
    assert asked is not None
    grey = asked[0]["input"]
    assert grey.shape[0] == 3 and torch.equal(grey[0], grey[2])
    assert asked[1]["input"].shape[0] == 3
    with pytest.raises(UserError, match=r"2\.png has 4 channels where 3 are wanted"):
        asked[2]
    free = PairFolder(str(tmp_path), size=8).split("train")
    assert free is not None
    with pytest.raises(
        UserError, match=r"input of .*1\.png has 3 channels where 1 are wanted.*data\.input_channels"
    ):
        free[1]


def test_what_a_checkpoint_must_know(tmp_path):
    root = halves(tmp_path / "mine")
    described = PairFolder(str(root), "BtoA", size=14).describe()
    assert described["contract"] == "pairs" and described["name"] == "mine"
    assert described["licence"] == "unknown: research use only" and described["research_only"] is True
    assert described["preprocessing"] == {
        "direction": "BtoA",
        "size": 14,
        "load_size": 15,
        "mirror": True,
        "input_channels": 3,
        "target_channels": 3,
        "layout": "halves",
    }
    mine = PairFolder(str(root), size=14, licence="CC0", research_only=False).describe()
    assert (mine["licence"], mine["research_only"]) == ("CC0", False)
    known = PairFolder(str(root), size=14, name="edges2shoes").describe()
    assert known["name"] == "edges2shoes" and known["licence"] == SOURCES["edges2shoes"].licence


def test_the_fingerprint_follows_names_and_sizes_but_not_the_place(tmp_path):
    def fingerprint(root: Path) -> str:
        return str(PairFolder(str(root), size=14).describe()["fingerprint"])

    first, second = halves(tmp_path / "one"), halves(tmp_path / "two")
    assert fingerprint(first) == fingerprint(second)
    (second / "test" / "2.png").rename(second / "test" / "x.png")
    renamed = fingerprint(second)
    (second / "test" / "x.png").write_bytes((second / "test" / "x.png").read_bytes() + b"1")
    assert len({fingerprint(first), renamed, fingerprint(second)}) == 3


@pytest.mark.parametrize("name", ["facades", "edges2shoes", "night2day"])
def test_a_missing_public_set_tells_where_to_get_it(tmp_path, name):
    with pytest.raises(UserError) as caught:
        PairFolder(str(tmp_path / "nowhere"), name=name).split("train")
    text = str(caught.value)
    assert f"zoo data get {name}" in text
    assert "nowhere" in text and "train/x.jpg with A in the left half" in text


def test_folders_without_pairs_say_what_is_expected(tmp_path):
    for root in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(UserError, match=r"data\.root.*A/train/x\.png with B/train/x\.png"):
            PairFolder(str(root)).split("train")
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "notes.txt").write_text("")
    with pytest.raises(UserError, match=r"train split of .* holds no pictures; expected"):
        PairFolder(str(tmp_path)).split("train")


def test_a_missing_split_is_named_except_validation(tmp_path):
    data = PairFolder(str(halves(tmp_path)), size=14)
    for split in ("val", "test"):
        for path in (tmp_path / split).iterdir():
            path.unlink()
        (tmp_path / split).rmdir()
    assert data.split("val") is None and data.val_dataloader() == []
    with pytest.raises(UserError, match="has no test split"):
        data.split("test")


def test_pictures_without_partner_are_counted_and_named(tmp_path):
    root = folders(tmp_path, count=15)
    for i in range(12):
        (root / "A" / "train" / f"{i}.png").unlink()
    (root / "B" / "train" / "14.tif").unlink()
    with pytest.raises(UserError) as caught:
        PairFolder(str(root)).split("train")
    text = str(caught.value)
    assert "1 of" in text and "14.png" in text and "12 of" in text and "0.tif" in text
    assert text.count(".tif") == 10 and "…" in text


def test_two_pictures_of_one_name_have_no_single_partner(tmp_path):
    root = folders(tmp_path)
    write(root / "A" / "train" / "1.tif", coordinates(20, 0))
    with pytest.raises(UserError, match=r"2 of .*A/train.*1\.png, 1\.tif"):
        PairFolder(str(root)).split("train")


def test_a_missing_side_is_named(tmp_path):
    root = folders(tmp_path)
    for path in (root / "B" / "test").iterdir():
        path.unlink()
    (root / "B" / "test").rmdir()
    with pytest.raises(UserError, match=r"3 of .*A/test have no single partner"):
        PairFolder(str(root)).split("test")


def test_faulty_pairs_are_named(tmp_path):
    odd, uneven, broken = halves(tmp_path / "odd"), folders(tmp_path / "uneven"), halves(tmp_path / "broken")
    write(odd / "train" / "1.png", np.zeros((8, 15, 3), np.uint8))
    write(uneven / "B" / "train" / "1.tif", np.zeros((8, 9, 3), np.uint8))
    (broken / "train" / "1.png").write_bytes((broken / "train" / "1.png").read_bytes()[:-40])
    for root, message in (
        (odd, r"odd/train/1\.png is 15 pixels wide"),
        (uneven, r"A/train/1\.png is 20 x 20 pixels but .*B/train/1\.tif 9 x 8"),
        (broken, r"broken/train/1\.png"),
    ):
        samples = PairFolder(str(root), size=14).split("train")
        assert samples is not None
        with pytest.raises(UserError, match=message):
            samples[0, 1]


def test_hidden_files_and_notes_are_left_out(tmp_path):
    root = halves(tmp_path)
    (root / "train" / "._0.png").write_bytes(b"a Mac was here")
    (root / "train" / "Thumbs.db").write_bytes(b"")
    samples = PairFolder(str(root), size=14).split("train")
    assert samples is not None and len(samples) == 3


def test_impossible_arguments_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"load_size 10 is less than data\.size 14"):
        PairFolder(str(tmp_path), size=14, load_size=10)
    with pytest.raises(UserError, match=r"data\.direction is 'BtoC'"):
        PairFolder(str(tmp_path), "BtoC")  # type: ignore[arg-type]


needs_data = pytest.mark.skipif(
    not os.environ.get("ZOO_DATA"), reason="ZOO_DATA names no folder of real data"
)


@needs_data
def test_facades_hold_the_paper_s_split_and_never_keep_training_waiting():
    root = Path(os.environ["ZOO_DATA"]) / "facades"
    data = PairFolder(str(root), "BtoA", size=128, name="facades", seed=0)
    counts = {split: len(data.split(split) or []) for split in ("train", "val", "test")}
    assert counts == {"train": 400, "val": 100, "test": 106}
    samples = data.split("train")
    assert samples is not None
    labels, photos = (torch.stack([samples[i][key] for i in range(20)]) for key in ("input", "target"))
    flat = [(x[..., 1:] == x[..., :-1]).float().mean() for x in (labels, photos)]
    assert flat[0] > 2 * flat[1], "label maps are flat, photos are not"
    for i in range(20):
        assert samples[0, i]
    start = time.process_time()
    for epoch in range(10):
        for i in range(20):
            assert samples[epoch, i]
    assert (time.process_time() - start) / 200 < 0.005  # seconds a sample; 0.0004 on an idle core


def nearest_colours(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances (H, W, classes) of 8-bit pixels to the facades' colours, and the nearest one's."""
    distances = ((picture.astype(float)[:, :, None] - np.array(list(FACADES.values()))) ** 2).sum(-1)
    return distances, distances.min(-1)


def test_labels_are_read_at_full_size_and_shrunk_by_the_nearest_pixel(tmp_path):
    classes = np.random.default_rng(0).integers(0, 12, (14, 14)).repeat(3, 0).repeat(3, 1)[:40, :40]
    colours = np.array(list(FACADES.values()), np.uint8)[classes]
    for split in ("train", "test"):
        write(tmp_path / split / "x.png", np.concatenate([coordinates(40, 9), colours], 1))
    options = {"direction": "BtoA", "size": 16, "load_size": 20}
    data = PairFolder(str(tmp_path), palette="facades", **options)
    centres = ((np.arange(16) + 0.5) * 40 / 16).astype(int)
    sample = data.split("test")[0]
    assert sample["labels"].dtype == torch.long
    assert np.array_equal(sample["labels"].numpy(), classes[centres][:, centres])
    resized = values(sample["input"]).permute(1, 2, 0).numpy()
    assert (
        nearest_colours(resized)[0].argmin(-1) != sample["labels"].numpy()
    ).mean() > 0.02  # what it avoids
    centres = ((np.arange(20) + 0.5) * 40 / 20).astype(int)
    whole = torch.from_numpy(classes[centres][:, centres])
    plain = PairFolder(str(tmp_path), **options).split("train")
    for epoch in range(20):  # cut and mirrored as the pictures are, which stay as they were
        sample = data.split("train")[epoch, 0]
        assert torch.equal(sample["input"], plain[epoch, 0]["input"]) and "labels" not in plain[epoch, 0]
        cuts = [whole[top : top + 16, left : left + 16] for top in range(5) for left in range(5)]
        assert any(torch.equal(sample["labels"], c) for cut in cuts for c in (cut, cut.flip(1)))
    assert data.preprocessing()["palette"] == "facades"
    assert "palette" not in PairFolder(str(tmp_path), **options).preprocessing()
    with pytest.raises(UserError, match=r"data\.palette is 'maps'; give facades"):
        PairFolder(str(tmp_path), palette="maps")


def test_blurred_edges_of_a_label_map_show_no_third_class(tmp_path):
    colours = np.array(list(FACADES.values()), float)
    for first, second in [(1, 11), (1, 7), (0, 8), (3, 10)]:
        classes = np.full((40, 40), first)
        classes[10:30, 10:30] = classes[2:6] = second  # and a strip of four pixels
        sharp = np.pad(colours[classes], ((1, 1), (1, 1), (0, 0)), mode="edge")
        blurred = sum(sharp[y : y + 40, x : x + 40] for y in range(3) for x in range(3)) / 9
        write(tmp_path / "test" / "x.png", np.concatenate([coordinates(40, 9), blurred.astype(np.uint8)], 1))
        sample = PairFolder(str(tmp_path), palette="facades", direction="BtoA", size=40).split("test")[0]
        labels = sample["labels"].numpy()
        assert set(np.unique(labels)) == {first, second}
        assert (labels != classes).mean() < 0.02
        assert not {first, second}.issuperset(np.unique(nearest_colours(blurred)[0].argmin(-1)))


def test_an_input_that_shows_no_classes_has_no_labels(tmp_path):
    write(tmp_path / "train" / "x.png", np.full((40, 80, 3), 120, np.uint8))
    with pytest.raises(UserError, match=r"The input of .*x\.png is no label map in the colours of facades"):
        PairFolder(str(tmp_path), palette="facades").split("train")[0]


def test_labels_of_the_facades(zoo_data):
    root = str(zoo_data / "facades")
    pairs = PairFolder(root, direction="BtoA", size=128, palette="facades").split("test")
    maps = LabelMapFolder(root, size=128).split("test")
    wrong = []
    for i in range(0, 106, 20):
        labels = pairs[i]["labels"].numpy()
        assert np.array_equal(labels, maps[i]["labels"].numpy())
        with Image.open(pairs.pairs[i][0]) as image:
            picture = np.asarray(image.convert("RGB"))[1::2, 257::2]  # pixel centres of 256 px at 128
        distances, least = nearest_colours(picture)
        clear = least < 45**2  # others mix the colours of two classes
        taken = np.take_along_axis(distances, labels[..., None], -1)[..., 0]
        assert np.abs(taken - least)[clear].max() < 1 and clear.mean() > 0.6
        resized = values(pairs[i]["input"]).permute(1, 2, 0).numpy()
        wrong.append((nearest_colours(resized)[0].argmin(-1) != labels).mean())
    assert 0.05 < np.mean(wrong) < 0.12  # of pixels, if the resized colours were read
