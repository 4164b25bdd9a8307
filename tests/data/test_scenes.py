"""The world of scenes: labels, captions, instances and outlines match the picture."""

from __future__ import annotations

import re

import pytest
import torch

from zoo.data.base import Split, collate
from zoo.data.pairs.world import ScenePairs
from zoo.data.worlds.scenes import CLASSES, PALETTE, Scene, draw
from zoo.errors import UserError
from zoo.features.segmenter import palette_labels

WORDS = {  # words that name a class in a caption; captions name all but some parts
    "cloud": r"clouds?",
    "sun": r"sun",
    "moon": r"moon",
    "mountain": r"mountains",
    "hill": r"hills",
    "meadow": r"meadow",
    "road": r"road",
    "water": r"lake|river",
    "wall": r"cottages?|tall houses?|barns?",
    "leaves": r"firs?|trees?",
    "car": r"cars?",
}
NUMBERS = {"a": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
THINGS = {  # classes that may share one instance
    *(frozenset({name}) for name in ("sun", "moon", "cloud", "car")),
    frozenset({"leaves", "trunk"}),
    frozenset({"wall", "roof", "window", "door"}),
}


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw(3, index, 64) for index in range(150)]


def present(scene: Scene) -> set[str]:
    return {CLASSES[i] for i in scene.labels.unique().tolist()}


def test_a_scene_is_a_function_of_seed_and_index() -> None:
    first = draw(1, 7, 32)
    draw(1, 8, 32)
    again = draw(1, 7, 32)
    assert torch.equal(first.picture, again.picture) and torch.equal(first.instances, again.instances)
    assert first.caption == again.caption
    for other in (draw(1, 8, 32), draw(2, 7, 32)):
        assert not torch.equal(first.picture, other.picture)


def test_shapes_types_and_ranges(scenes: list[Scene]) -> None:
    for scene in [*scenes[:20], draw(0, 0, 40)]:
        size = scene.labels.shape[-1]
        assert scene.picture.shape == (3, size, size) and scene.picture.dtype == torch.float32
        assert scene.picture.min() >= -1 and scene.picture.max() <= 1
        assert scene.labels.shape == scene.instances.shape == (size, size)
        assert scene.labels.dtype == scene.instances.dtype == torch.long
        assert scene.edges.shape == (1, size, size) and set(scene.edges.unique().tolist()) == {-1.0, 1.0}


def test_every_class_is_drawn(scenes: list[Scene]) -> None:
    assert set().union(*map(present, scenes)) == set(CLASSES)


def test_the_same_scene_at_every_size() -> None:
    for index in range(5):
        small, large = draw(0, index, 64), draw(0, index, 128)
        halved = torch.nn.functional.avg_pool2d(large.picture[None], 2)[0]
        assert (halved - small.picture).abs().mean() < 0.05
        assert (large.labels[::2, ::2] == small.labels).float().mean() > 0.9


def test_labels_say_nearly_all_about_the_picture(scenes: list[Scene]) -> None:
    pictures = torch.stack([scene.picture for scene in scenes])
    labels = torch.stack([scene.labels for scene in scenes])
    hours = torch.tensor([["dawn", "day", "dusk", "night"].index(_hour(scene)) for scene in scenes])
    bands = torch.arange(64)[:, None] // 8
    kinds = 4 * 8 * len(CLASSES)
    key = ((hours[:, None, None] * 8 + bands) * len(CLASSES) + labels).flatten()
    colours = pictures.permute(0, 2, 3, 1).reshape(-1, 3)
    count = torch.zeros(kinds).index_add_(0, key, torch.ones(len(key)))
    mean = torch.zeros(kinds, 3).index_add_(0, key, colours) / count.clamp(min=1)[:, None]
    left = (colours - mean[key]).square().mean() / (colours - colours.mean(0)).square().mean()
    assert left < 0.1  # share of the variance that class, hour and height do not explain


def _hour(scene: Scene) -> str:
    return re.search(r"(?:at|by) (dawn|day|dusk|night)\.$", scene.caption)[1]


def test_the_hour_can_be_read_from_the_label_map(scenes: list[Scene]) -> None:
    for scene in scenes:
        here = present(scene)
        assert ("moon" in here) == (_hour(scene) == "night") and ("sun" in here) == (_hour(scene) != "night")
        if "sun" in here:
            middle = (scene.labels == CLASSES.index("sun")).nonzero()[:, 1].float().mean() / 64
            hour = "dawn" if middle < 0.26 else "dusk" if middle > 0.74 else "day"
            assert hour == _hour(scene)


def test_captions_say_what_is_there_and_nothing_else(scenes: list[Scene]) -> None:
    for scene in scenes:
        here = present(scene)
        for name, word in WORDS.items():
            assert bool(re.search(rf"\b({word})\b", scene.caption)) == (name in here), (name, scene.caption)


def test_captions_count(scenes: list[Scene]) -> None:
    for scene in scenes:
        for name in ("cloud", "leaves", "car"):
            of_class = scene.instances[scene.labels == CLASSES.index(name)].unique().tolist()
            said = re.findall(rf"\b(\w+) (?:{WORDS[name]})\b", scene.caption.lower())
            assert sum(NUMBERS[word] for word in said) == len(of_class), scene.caption


def test_instances_number_the_things(scenes: list[Scene]) -> None:
    for scene in scenes:
        ids = scene.instances.unique().tolist()
        assert ids == list(range(len(ids)))
        for number in ids[1:]:
            seen = {CLASSES[i] for i in scene.labels[scene.instances == number].unique().tolist()}
            assert any(seen <= thing for thing in THINGS), seen
        stuff = {CLASSES[i] for i in scene.labels[scene.instances == 0].unique().tolist()}
        assert stuff <= {"sky", "mountain", "hill", "meadow", "road", "water"}


def test_outlines_stand_where_class_or_thing_changes() -> None:
    scene = draw(3, 5, 32)
    for y in range(32):
        for x in range(32):
            differs = any(
                scene.labels[y, x] != scene.labels[v, u] or scene.instances[y, x] != scene.instances[v, u]
                for v, u in ((y - 1, x), (y, x - 1))
                if v >= 0 and u >= 0
            )
            assert (scene.edges[0, y, x] == -1) == differs


def test_the_palette_tells_all_classes_apart(scenes: list[Scene]) -> None:
    labels = scenes[0].labels
    picture = torch.tensor(PALETTE)[labels].permute(2, 0, 1) / 127.5 - 1
    assert len(set(PALETTE)) == len(CLASSES) and torch.equal(palette_labels(picture, PALETTE), labels)


# ------------------------------------------------------------------------------------------- the data module


def test_pairs_of_labels() -> None:
    data = ScenePairs(size=32, train_length=8, eval_length=4, batch_size=4)
    batch = next(iter(data.train_dataloader()))
    assert batch["input"].shape == (4, 16, 32, 32) and batch["target"].shape == (4, 3, 32, 32)
    assert torch.equal(batch["input"].argmax(1), batch["labels"])
    assert torch.equal(batch["input"].sum(1), torch.ones(4, 32, 32)) and batch["input"].min() == 0
    scene, first = draw(0, 0, 32), data.split("test")[0]
    assert torch.equal(first["labels"], scene.labels)
    assert (first["target"] - scene.picture).abs().max() <= 1 / 255 + 1e-6


def test_pairs_of_outlines() -> None:
    data = ScenePairs(size=32, source="edges", train_length=4, eval_length=4, batch_size=4)
    batch = next(iter(data.test_dataloader()))
    assert torch.equal(batch["input"][2], draw(0, 2, 32).edges)


def test_one_sample_is_the_row_of_its_batch() -> None:
    train = ScenePairs(size=32, train_length=4, eval_length=1).split("train")
    batch = collate(train.__getitems__([(0, 3), (0, 1)]))
    for key, value in train[(5, 1)].items():
        assert torch.equal(batch[key][1], value)


def pictures(data: ScenePairs, split: Split) -> torch.Tensor:
    samples = data.split(split)
    assert samples is not None
    return torch.stack([samples.load(i)["target"] for i in range(len(samples))])


def test_no_scene_is_in_two_splits() -> None:
    data = ScenePairs(size=16, train_length=30, eval_length=30)
    kept = [pictures(data, name) for name in ("train", "val", "test")]
    assert len(torch.cat(kept).flatten(1).unique(dim=0)) == 90


def test_test_scenes_do_not_depend_on_the_run() -> None:
    one, other = ScenePairs(16, eval_length=2, seed=1), ScenePairs(16, eval_length=2, seed=2)
    assert torch.equal(pictures(one, "test"), pictures(other, "test"))
    elsewhere = ScenePairs(16, eval_length=2, world=1)
    assert not torch.equal(pictures(one, "test"), pictures(elsewhere, "test"))


def test_description_names_the_world() -> None:
    one, other = ScenePairs(32).describe(), ScenePairs(32, world=1).describe()
    assert one["contract"] == "pairs" and one["name"] == "scenes" and one["research_only"] is False
    assert one["fingerprint"] != other["fingerprint"] and one["preprocessing"]["classes"] == list(CLASSES)


@pytest.mark.parametrize(("options", "key"), [({"size": 8}, "size"), ({"source": "words"}, "source")])
def test_mistakes_are_named(options: dict, key: str) -> None:
    with pytest.raises(UserError, match=f"data.{key}"):
        ScenePairs(**options)
