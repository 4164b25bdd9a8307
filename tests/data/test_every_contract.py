"""Every data set that needs no files keeps its contract, order and augmentation, and can be packed."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import zoo.data
from zoo import catalogue
from zoo.data import packs
from zoo.data.base import DataModule, SampleSet, collate
from zoo.recipes import public_path

SMALL = {"train_length": 12, "eval_length": 3}
SETS: dict[str, dict[str, Any]] = {  # import path below zoo.data: arguments that make it small
    "images.Digits": {},
    "images.FaceWorld": {"size": 16, **SMALL},
    "points.Points": {"world": "ring", "length": 12, "eval_length": 3},
    "pairs.ScenePairs": {"size": 16, **SMALL},
    "superres.SceneTwins": SMALL,
    "captions.SceneCaptions": SMALL,
    "captions.ShapesWorld": SMALL,
    "poses.PoseWorld": SMALL,
    "frontal.FrontalWorld": SMALL,
    "domains.FacesToEmoji": SMALL,
    "voxels.FurnitureWorld": SMALL,
    "clips.ClipWorld": SMALL,
}
FOLDERS = {"root", "mnist", "photos"}  # arguments that name files
KEYS = {
    "images": {"image"},
    "points": {"point"},
    "pairs": {"input", "target", "labels", "instances"},
    "super-resolution": {"input", "target"},
    "captions": {"image", "text", "caption"},
    "poses": {"input", "pose", "target", "mask"},
    "frontal faces": {"input", "target", "landmarks", "identity"},
    "domains": {"source", "target"},
    "voxels": {"voxels", "label"},
    "clips": {"past", "future"},
}
IN_MEMORY = {"images.Digits", "points.Points"}  # a pack would gain them nothing
PICTURES = {"image", "input", "target", "source", "past", "future", "wrong_image"}
every = pytest.mark.parametrize("name", SETS)


def make(name: str, **options: Any) -> DataModule:
    module, _, attribute = name.rpartition(".")
    cls = getattr(importlib.import_module(f"zoo.data.{module}"), attribute)
    made: DataModule = cls(**{"batch_size": 3, "eval_batch_size": 2, "seed": 5} | SETS[name] | options)
    return made


def train(name: str, **options: Any) -> SampleSet:
    samples = make(name, **options).split("train")
    assert samples is not None
    return samples


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return set(a) == set(b) and all(
        torch.equal(v, b[k]) and v.dtype == b[k].dtype if isinstance(v, torch.Tensor) else v == b[k]
        for k, v in a.items()
    )


def epochs(data: DataModule, count: int) -> list[dict[str, Any]]:
    loader, batches = data.train_dataloader(), []
    for epoch in range(count):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        batches += list(loader)
    return batches


def test_the_list_knows_every_set_that_needs_no_files() -> None:
    found = set()
    for info in pkgutil.iter_modules(zoo.data.__path__):
        module = importlib.import_module(f"zoo.data.{info.name}")
        for cls in vars(module).values():
            own = (
                isinstance(cls, type)
                and issubclass(cls, DataModule)
                and public_path(cls).startswith(f"{module.__name__}.")
            )
            if not own or cls.__name__.endswith("Module"):
                continue
            if not FOLDERS & set(inspect.signature(cls).parameters):
                found.add(f"{info.name}.{cls.__name__}")
    assert found == set(SETS)


def test_what_a_recipe_says_of_its_folder_can_be_taken_back() -> None:
    """A recipe's name, licence and palette become null where the user sets another root."""
    for path in catalogue.classes("data"):
        of_folder = inspect.signature(catalogue.import_class(path)).parameters
        said = {key: of_folder[key].default for key in ("name", "licence", "palette") if key in of_folder}
        assert set(said.values()) <= {None}, path


@every
def test_a_batch_keeps_the_contract(name: str) -> None:
    data = make(name)
    batch = next(iter(data.train_dataloader()))
    assert set(batch) >= KEYS[data.contract]
    for key in PICTURES & set(batch):
        if key == "input" and data.contract == "pairs":
            continue  # one-hot label maps
        picture = batch[key]
        assert picture.dtype == torch.float32 and picture.amin() >= -1 and picture.amax() <= 1
        assert picture.amax() > picture.amin(), f"{key} shows nothing"
    described = data.describe()
    assert described["contract"] == data.contract and described["licence"] and described["fingerprint"]
    assert described == make(name).describe()


@every
@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_order_and_augmentation_do_not_depend_on_workers(name: str, workers: int) -> None:
    alone = epochs(make(name), 2)
    other = epochs(make(name, num_workers=workers), 2)
    assert len(alone) == len(other)
    assert all(same(a, b) for a, b in zip(alone, other, strict=True))


@every
def test_two_epochs_and_two_seeds_differ_in_order(name: str) -> None:
    batches = epochs(make(name), 2)
    half = len(batches) // 2
    assert not all(same(a, b) for a, b in zip(batches[:half], batches[half:], strict=True))
    others = epochs(make(name, seed=6), 1)
    assert not all(same(a, b) for a, b in zip(batches, others, strict=False))


@every
@pytest.mark.parametrize("done", [0, 2])
def test_a_resumed_run_goes_on_with_the_very_next_batch(name: str, done: int) -> None:
    whole = epochs(make(name), 2)
    per_epoch = len(whole) // 2
    data = make(name)
    epoch = SimpleNamespace(current=SimpleNamespace(started=2 if done else 1, processed=1))
    batch = SimpleNamespace(current=SimpleNamespace(processed=done))
    stopped: Any = SimpleNamespace(
        world_size=1,
        global_rank=0,
        limit_train_batches=1.0,
        fit_loop=SimpleNamespace(epoch_progress=epoch, epoch_loop=SimpleNamespace(batch_progress=batch)),
    )
    data.trainer = stopped
    rest = list(data.train_dataloader())
    assert len(rest) == per_epoch - done
    assert all(same(a, b) for a, b in zip(whole[per_epoch + done :], rest, strict=True))


@every
def test_evaluation_repeats_itself_and_shares_nothing_with_training(name: str) -> None:
    seed = 5 if name == "points.Points" else 9  # a toy world is as its seed says
    first, second = list(make(name).test_dataloader()), list(make(name, seed=seed).test_dataloader())
    assert first and all(same(a, b) for a, b in zip(first, second, strict=True))
    key = next(iter(sorted(KEYS[make(name).contract] & {*PICTURES, "point", "voxels"})))
    samples = train(name)
    seen = {samples[i][key].numpy().tobytes() for i in range(len(samples))}
    held_out = {picture.numpy().tobytes() for batch in first for picture in batch[key]}
    assert len(held_out) > 1 and not seen & held_out


@every
def test_finishing_leaves_what_was_loaded(name: str) -> None:
    samples = train(name)
    if name in IN_MEMORY:
        return
    loaded = samples.load(1)
    before = {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in loaded.items()}
    samples.finish(loaded, torch.Generator().manual_seed(0))
    assert same(loaded, before)
    assert same(samples.load(1), before), "loading holds no chance"


@pytest.mark.parametrize("name", [name for name in SETS if name not in IN_MEMORY])
def test_a_pack_holds_the_same_samples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    samples = train(name)
    packs.write(samples, make(name).pack_key("train"))
    packed = train(name, packed=True)
    assert packed.pack is not None
    for key in [0, 3, (0, 3), (1, 3), (4, 11)]:
        assert same(collate([samples[key]]), collate([packed[key]]))


@every
def test_a_sheet_can_be_drawn(name: str) -> None:
    data = make(name)
    samples = data.split("train")
    assert samples is not None
    sheet = data.sheet([samples[0, i] for i in range(5)])
    assert sheet.ndim == 3 and len(sheet) == 3 and min(sheet.shape[1:]) > 40
    assert sheet.amin() >= -1 and sheet.amax() <= 1 and sheet.std() > 0.05
