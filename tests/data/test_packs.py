"""Packs hold the very samples that loading gives, and nothing stale or half-written is ever read."""

from __future__ import annotations

import json
import os
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from zoo.cli import main
from zoo.data import packs
from zoo.data.base import DataModule, Sample, SampleSet, Split
from zoo.data.images.module import ImageFolder
from zoo.data.packs import INDEX, Pack, PackKey
from zoo.data.pairs.world import ScenePairs
from zoo.errors import UserError
from zoo.files.pictures import write_picture
from zoo.files.writing import cache_folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


class Mixed(SampleSet):
    """Every kind of field: of one shape, ragged, scalar, text, empty."""

    def __len__(self) -> int:
        return 5

    def load(self, index: int) -> Sample:
        return {
            "image": torch.arange(12, dtype=torch.uint8).view(3, 2, 2) + index,
            "deep": torch.full((1, index + 1, 2), 60_000 + index, dtype=torch.uint16),
            "label": torch.tensor(index),
            "vectors": torch.linspace(-1, 1, 4 * (index % 3)).view(-1, 4),
            "caption": "ü" * index,
            "hidden": torch.tensor([index % 2 == 0]),
        }


def key(samples: SampleSet, settings: dict[str, Any] | None = None, files: list[Path] = []) -> PackKey:  # noqa: B006
    return PackKey.of("tests.Mixed", "train", len(samples), settings or {"name": "mixed"}, files)


def equal(a: Sample, b: Sample) -> bool:
    same = {
        name: torch.equal(value, b[name]) and value.dtype == b[name].dtype
        if isinstance(value, torch.Tensor)
        else value == b[name]
        for name, value in a.items()
    }
    return set(a) == set(b) and all(same.values())


def test_a_pack_gives_back_every_kind_of_field() -> None:
    samples = Mixed()
    packs.write(samples, key(samples))
    pack = Pack.open(key(samples))
    assert len(pack) == 5
    for index in range(5):
        assert equal(samples.load(index), pack[index])
    pack[1]["image"].add_(1)
    assert equal(samples.load(1), Pack.open(key(samples))[1]), "what is written to a sample misses the file"
    with pytest.raises(IndexError):
        pack[5]
    assert equal(pickle.loads(pickle.dumps(pack))[4], samples.load(4)), "workers that are spawned get one too"


@pytest.mark.parametrize("random_crop", [False, True])
def test_a_packed_recipe_sees_the_same_samples(tmp_path: Path, random_crop: bool) -> None:
    generator = np.random.default_rng(0)
    for i in range(12):
        shape = (30 + 3 * (i % 4), 40, 3)
        values = torch.from_numpy(generator.uniform(-1, 1, shape).astype(np.float32)).permute(2, 0, 1)
        write_picture(tmp_path / "photos" / f"{i:02}.png", values)

    def make(packed: bool) -> ImageFolder:
        return ImageFolder(
            str(tmp_path / "photos"),
            size=16,
            load_size=20,
            random_crop=random_crop,
            mirror=True,
            hold_out=4,
            batch_size=3,
            packed=packed,
            cache=False,
        )

    with pytest.raises(UserError, match=r"There is no pack .*zoo data pack RECIPE"):
        make(True).split("train")
    plain = make(False)
    splits: tuple[Split, ...] = ("train", "val", "test")
    for split in splits:
        samples = plain.split(split)
        assert samples is not None
        packs.write(samples, plain.pack_key(split))
        packed = make(True).split(split)
        assert packed is not None and packed.pack is not None
        packed.load = None  # type: ignore[method-assign,assignment]
        for k in [0, 1, (0, 0), (1, 0), (5, 1)]:
            assert torch.equal(samples[k]["image"], packed[k]["image"])
    batches = [torch.cat([b["image"] for b in make(p).train_dataloader()]) for p in (False, True)]
    assert torch.equal(*batches)
    data = make(True)
    data.split("train")
    assert data.description()["pack"] == plain.pack_key("train").digest
    assert "pack" not in plain.description()


def test_other_files_or_settings_are_another_pack(tmp_path: Path) -> None:
    samples, source = Mixed(), tmp_path / "a.png"
    source.write_bytes(b"1234")
    first = key(samples, {"name": "x", "size": 64}, [source])
    packs.write(samples, first)
    assert Pack.open(first)
    assert key(samples, {"name": "x", "size": 64}, [source]) == first
    assert key(samples, {"name": "x", "size": 65}, [source]) != first
    state = source.stat()
    source.write_bytes(b"5678")
    os.utime(source, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    stale = key(samples, {"name": "x", "size": 64}, [source])
    assert stale != first
    with pytest.raises(UserError, match="those of other files or settings do not count"):
        Pack.open(stale)


def test_a_pack_that_was_cut_off_is_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = Mixed()

    class Stops(Mixed):
        def load(self, index: int) -> Sample:
            if index == 3:
                raise KeyboardInterrupt
            return super().load(index)

    with pytest.raises(KeyboardInterrupt):
        packs.write(Stops(), key(samples))
    assert not list((cache_folder() / "packs").iterdir()), "nothing is left behind"
    folder = packs.write(samples, key(samples))
    (folder / "image").write_bytes((folder / "image").read_bytes()[:-1])
    with pytest.raises(UserError, match=r"is damaged; delete that folder"):
        Pack.open(key(samples))


@pytest.mark.parametrize("change", [{"key": "0" * 64}, {"count": 4}, {"bytes": {"gone": 1}}, None])
def test_an_index_that_does_not_fit_is_refused(change: dict[str, Any] | None) -> None:
    samples = Mixed()
    path = packs.write(samples, key(samples)) / INDEX
    index = json.loads(path.read_text())
    path.write_text(json.dumps(index | change) if change else "{")
    with pytest.raises(UserError, match="damaged"):
        Pack.open(key(samples))


def test_writing_again_keeps_the_pack_and_reads_no_sample() -> None:
    samples = Mixed()
    folder = packs.write(samples, key(samples))
    written = (folder / "image").stat().st_mtime_ns
    samples.load = None  # type: ignore[method-assign,assignment]
    assert packs.write(samples, key(samples)) == folder
    assert (folder / "image").stat().st_mtime_ns == written


def test_samples_that_differ_in_kind_are_refused() -> None:
    class Odd(SampleSet):
        def __init__(self, second: Sample) -> None:
            self.samples = [{"image": torch.zeros(1)}, second]

        def __len__(self) -> int:
            return 2

        def load(self, index: int) -> Sample:
            return self.samples[index]

    for second, message in (
        ({"image": torch.zeros(1), "more": torch.zeros(1)}, "other fields"),
        ({"image": torch.zeros(1, dtype=torch.uint8)}, "other fields"),
        ({"image": "text"}, "other fields"),
        ({"image": torch.zeros(1, 1)}, "numbers of dimensions"),
        ({"image": 3.0}, "tensors and strings"),
    ):
        with pytest.raises(UserError, match=message):
            packs.write(Odd(second), key(Odd(second)))


def test_pictures_of_8_and_16_bit_stand_in_one_pack(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    for i in range(12):
        picture = torch.rand(3, 9, 11 + 2 * (i % 2), generator=random) * 2 - 1
        write_picture(tmp_path / "photos" / f"{i:02}.png", picture, 16 if i % 3 == 1 else 8)

    def make(packed: bool) -> ImageFolder:
        return ImageFolder(
            str(tmp_path / "photos"),
            size=5,
            load_size=9,
            random_crop=True,
            hold_out=0,
            packed=packed,
            batch_size=4,
        )

    plain = make(False)
    samples = plain.split("train")
    assert samples is not None
    kinds = {str(samples.load(i)["image"].dtype) for i in range(12)}
    assert kinds == {"torch.uint8", "torch.uint16"}
    packs.write(samples, plain.pack_key("train"))
    packed = make(True).split("train")
    assert packed is not None and packed.pack is not None
    for i in (1, 0, 4, 11, 2, 10):
        assert equal(samples.load(i), packed.pack[i])
        for key_ in (i, (3, i)):
            assert torch.equal(samples[key_]["image"], packed[key_]["image"])
    batches = [torch.cat([b["image"] for b in make(p).train_dataloader()]) for p in (False, True)]
    assert batches[0].shape == (12, 3, 5, 5) and torch.equal(*batches)


def test_drawn_scenes_are_packed_too() -> None:
    def make(packed: bool) -> DataModule:
        return ScenePairs(size=16, train_length=4, eval_length=1, packed=packed)

    plain = make(False)
    drawn = plain.split("train")
    assert drawn is not None
    packs.write(drawn, plain.pack_key("train"))
    packed = make(True).split("train")
    assert packed is not None
    assert all(equal(drawn[0, i], packed[0, i]) for i in range(4))


def test_a_pack_without_its_index_is_written_again() -> None:
    samples = Mixed()
    folder = packs.write(samples, key(samples))
    (folder / INDEX).unlink()
    assert packs.write(samples, key(samples)) == folder and len(Pack.open(key(samples))) == 5


def test_what_is_in_memory_is_not_packed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "pack", "gan/ring"]) == 1
    assert "in memory already; nothing is to be packed" in capsys.readouterr().err


def test_a_pyramid_spares_a_phase_the_large_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(6):
        write_picture(
            tmp_path / f"{i}.png", torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(i))
        )

    def batches(packed: bool, side: int) -> list[torch.Tensor]:
        data = ImageFolder(str(tmp_path), size=16, hold_out=6, mirror=True, packed=packed, seed=0)
        data.phases = lambda epoch: (side, 2, 4)
        return [batch["image"] for batch in data.train_dataloader()]

    plain = {side: batches(False, side) for side in (4, 8, 16)}
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "data: {class_path: zoo.data.images.ImageFolder, init_args: "
        f"{{root: {tmp_path}, size: 16, hold_out: 6, mirror: true}}}}"
    )
    assert main(["data", "pack", str(recipe), "--pyramid"]) == 0
    assert re.findall("train at ([0-9]+) px", capsys.readouterr().out) == ["8", "4"]
    large = Pack.__getitem__

    def only_small(pack: Pack, index: int) -> Sample:
        assert pack.fields["image"]["shape"] != [3, 16, 16] or index == 0, "the first tells the side"
        return large(pack, index)

    for side in (16, 8, 4):
        if side < 16:
            monkeypatch.setattr(Pack, "__getitem__", only_small)
        found = batches(True, side)
        assert found[0].shape[-1] == side and all(map(torch.equal, found, plain[side]))
