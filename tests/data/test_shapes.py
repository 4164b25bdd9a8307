"""The world of shapes: sentences say what is drawn, and unseen pairs stay out of training."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from zoo.data.captions import ShapesWorld
from zoo.data.worlds.paint import Draws
from zoo.data.worlds.shapes import (
    _GROUND,
    _PAINT,
    COLOURS,
    NONE,
    SHAPES,
    UNSEEN,
    Plan,
    Thing,
    draw,
    mistaken,
    paint,
    plan,
    read,
)


def mirrored(planned: Plan) -> Plan:
    """The same scene, told from the other object."""
    return Plan(planned.background, planned.things[::-1], planned.relation ^ 1)


def test_each_sentence_says_all_of_the_scene() -> None:
    both = 0
    for index in range(300):
        scene = draw(0, index, 16, unseen=index % 3 == 0)
        assert len(set(scene.captions)) == 4
        for sentence in scene.captions:
            assert read(sentence) in (scene.plan, mirrored(scene.plan)), sentence
        both += len(scene.plan.things) == 2
    assert 100 < both < 200


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        "a red circle on white",
        "a small red bird on white",
        "a small red circle",
        "a small red circle above a big red circle on white",
        "a small red circle and a big blue ring on white",
    ],
)
def test_other_sentences_have_no_plan(sentence: str) -> None:
    assert read(sentence) is None


def test_the_picture_shows_what_was_planned() -> None:
    ground, colours = torch.tensor(_GROUND), torch.tensor(_PAINT)
    for index in range(60):
        scene = draw(2, index, 64)
        pixels = scene.picture.permute(1, 2, 0).long()
        assert torch.equal(pixels[0, 0], ground[scene.plan.background])
        centres = []
        for thing in scene.plan.things:
            mine = (pixels == colours[thing.colour]).all(-1)
            share = float(mine.float().mean())
            small, large = (0.004, 0.05), (0.02, 0.16)
            low, high = (small, large)[thing.size]
            assert low < share < 2 * high, (index, thing, share)
            centres.append(mine.nonzero().float().mean(0))
        colours_differ = len({thing.colour for thing in scene.plan.things}) == 2
        if colours_differ:
            down, across = (centres[0] - centres[1]).tolist()
            leads = [-across, across, -down, down][scene.plan.relation]
            assert leads > 10


def test_every_shape_has_its_area() -> None:
    areas = {}
    for shape, name in enumerate(SHAPES):
        picture = paint(Plan(0, (Thing(shape, 0, 1),)), 128, Draws(0))
        covered = (255 - picture[2].float() - 10) / (245 - 40)  # blue: 245 of white, 40 of red
        areas[name] = float(covered.clamp(0, 1).sum()) / 128**2 / 0.21**2
    for name, area in {"circle": 3.14, "square": 2.88, "triangle": 1.87, "ring": 2.36}.items():
        assert areas[name] == pytest.approx(area, rel=0.15), areas
    assert len({round(area, 1) for area in areas.values()}) >= 4


def test_unseen_pairs_are_drawn_only_where_asked_for() -> None:
    seen = {thing.pair for index in range(3000) for thing in plan(0, index).things}
    assert not seen & UNSEEN and len(seen) == 40 and len(UNSEEN) == 8
    assert {shape for shape, _ in seen} == set(range(6)) and {colour for _, colour in seen} == set(range(8))
    first = {plan(0, index, unseen=True).things[0].pair for index in range(300)}
    others = {thing.pair for index in range(300) for thing in plan(0, index, unseen=True).things[1:]}
    assert first == UNSEEN and not others & UNSEEN


def test_a_mismatch_is_of_another_class() -> None:
    data = ShapesWorld(size=16, train_length=60, eval_length=10, wrong="both", seed=1)
    train = data.split("train")
    assert train is not None
    for index in range(30):
        sample, own = train[0, index], plan(0, 2_000_000 + index)
        assert read(sample["caption"]) in (own, mirrored(own))
        attributes = sample["attributes"].tolist()
        assert attributes == own.attributes().tolist() and (attributes[4] == NONE) == (len(own.things) == 1)
        assert COLOURS[attributes[2]] in sample["caption"]
        twins = [
            other
            for other in range(60)
            if torch.equal(sample["wrong_image"], train[1, other]["image"])
            and plan(0, 2_000_000 + other).category == own.category
        ]
        assert not twins
    asked = ShapesWorld(size=16, train_length=4, eval_length=40, unseen=True).split("test")
    assert asked is not None
    assert {tuple(asked[i]["attributes"][1:3].tolist()) for i in range(40)} <= UNSEEN


def test_mistakes_have_another_first_object_of_a_seen_pair_at_the_same_place() -> None:
    changes: list[set[str]] = [set(), set(), set()]
    exchanges = 0
    for index in range(120):
        unseen = index % 2 == 0
        scene = draw(0, index, 64, unseen)
        for number, change in enumerate(changes):
            other = mistaken(0, index, 64, number, unseen)
            (old, *rest), (new, *same) = scene.plan.things, other.plan.things
            if rest != same:
                assert number == 2 and same[0] == replace(rest[0], colour=old.colour)
                assert new == replace(old, colour=rest[0].colour) and same[0].pair not in UNSEEN
                exchanges += 1
                continue
            assert new.size == old.size and new.pair not in UNSEEN | {t.pair for t in rest}
            assert (scene.plan.background, scene.plan.relation) == (
                other.plan.background,
                other.plan.relation,
            )
            change |= {"shape"} if new.shape != old.shape else set()
            change |= {"colour"} if new.colour != old.colour else set()
            assert all(read(text) in (other.plan, mirrored(other.plan)) for text in other.captions)
            changed = (scene.picture != other.picture).any(0)
            assert changed.any() and changed.float().mean() < 0.25
            if number == 1:  # the same outline, in another colour
                ground = torch.tensor(_GROUND[scene.plan.background], dtype=torch.uint8)[:, None, None]
                assert (changed & (scene.picture == ground).all(0)).float().mean() < 0.01
    assert changes == [{"shape"}, {"colour"}, {"shape", "colour"}] and exchanges > 20


def test_mismatches_are_mistakes_or_other_scenes() -> None:
    data = ShapesWorld(size=16, train_length=8, wrong="both", average=4, cache=True)
    samples = data.split("train")
    assert samples is not None
    found = {samples[1, 3]["wrong_image"].numpy().tobytes() for _ in range(2)}
    assert len(found) == 1, "the same in the same epoch"
    made = [mistaken(0, 2_000_003, 16, number) for number in range(3)]
    wrong = [samples[epoch, 3] for epoch in range(12)]
    pictures = [torch.round((sample["wrong_image"] + 1) * 127.5).to(torch.uint8) for sample in wrong]
    places = [next(at for at in range(3) if torch.equal(made[at].picture, picture)) for picture in pictures]
    assert set(places) == {0, 1, 2}
    for sample, place in zip(wrong, places, strict=True):
        expected = data.encoder().encode(list(made[place].captions)).mean(0)
        torch.testing.assert_close(sample["wrong_text"], expected)
    scenes = ShapesWorld(size=16, train_length=8, mismatch="scene").split("train")
    assert scenes is not None
    drawn = {draw(0, 2_000_000 + at, 16).picture.numpy().tobytes() for at in range(8)}
    for epoch in range(4):
        picture = torch.round((scenes[epoch, 3]["wrong_image"] + 1) * 127.5).to(torch.uint8)
        assert picture.numpy().tobytes() in drawn
