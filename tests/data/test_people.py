"""The world of drawn people: connected bodies, and keypoints and masks that match the picture."""

from __future__ import annotations

from dataclasses import replace
from math import pi

import numpy as np
import pytest

from zoo.data.worlds import people
from zoo.data.worlds.people import KEYPOINTS, Drawing, Identity, Limb, Pose, draw, identity_of, pose_of, walk

PLAIN = replace(
    identity_of(0, 0),
    hair="short",
    top="jumper",
    pattern="print",
    top_colour=(74, 132, 196),
    accent=(240, 200, 84),
    bottom="trousers",
    bag="none",
)


@pytest.fixture(scope="module")
def drawings() -> list[Drawing]:
    return [draw(identity_of(3, k), pose_of(3, k), street=people.street_of(3, k)) for k in range(60)]


def point(drawing: Drawing, name: str) -> np.ndarray:
    return drawing.keypoints[KEYPOINTS.index(name)]


def test_a_person_is_a_function_of_seed_and_index() -> None:
    assert identity_of(1, 7) == identity_of(1, 7) and pose_of(1, 7) == pose_of(1, 7)
    assert identity_of(1, 7) != identity_of(1, 8) and identity_of(1, 7) != identity_of(2, 7)
    assert pose_of(1, 7) != pose_of(1, 8) and people.street_of(0, 1) != people.street_of(0, 2)
    first = draw(identity_of(1, 7), pose_of(1, 7))
    draw(identity_of(1, 8), pose_of(1, 8))
    again = draw(identity_of(1, 7), pose_of(1, 7))
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))


def test_shapes_types_and_ranges(drawings: list[Drawing]) -> None:
    for height, width, drawing in [(128, 64, drawings[0]), (64, 64, draw(PLAIN, Pose(), 64, 64))]:
        assert drawing.picture.shape == (3, height, width) and drawing.picture.dtype == np.uint8
        assert drawing.keypoints.shape == (17, 3) and drawing.keypoints.dtype == np.float32
        assert drawing.mask.shape == (1, height, width) and set(np.unique(drawing.mask)) == {0, 1}
    assert {int(v) for drawing in drawings for v in np.unique(drawing.keypoints[:, 2])} == {1, 2}


def test_the_mask_is_what_the_person_changes_in_the_picture() -> None:
    street = people.Street()
    other = replace(street, wall=(20, 240, 20), ground=(240, 20, 240), trim=(20, 20, 240), bricks=True)
    for k in range(8):
        one, two = (draw(identity_of(0, k), pose_of(0, k), street=s) for s in (street, other))
        same = (np.abs(one.picture.astype(int) - two.picture) <= 3).all(0)
        inside = one.mask[0] == 1
        assert np.array_equal(one.mask, two.mask)
        assert same[inside].mean() > 0.85  # except at the outline, where both mix
        assert same[~inside].mean() < 0.25


def test_keypoints_lie_on_the_person(drawings: list[Drawing]) -> None:
    on = []
    for drawing in drawings:
        for x, y, _ in drawing.keypoints:
            row, column = round(float(y)), round(float(x))
            if 0 <= row < 128 and 0 <= column < 64:
                on.append(drawing.mask[0, row, column])
    assert len(on) > 900 and np.mean(on) > 0.97


def test_keypoints_scale_with_the_picture() -> None:
    small, large = draw(PLAIN, pose_of(0, 3)), draw(PLAIN, pose_of(0, 3), 256, 128)
    assert np.allclose((large.keypoints[:, :2] + 0.5) / 2, small.keypoints[:, :2] + 0.5, atol=0.6)
    halved = large.picture.reshape(3, 128, 2, 64, 2).mean((2, 4))
    assert np.abs(halved - small.picture).mean() < 3


def test_left_and_right_follow_the_view() -> None:
    front, back, side = (draw(PLAIN, Pose(yaw=yaw)) for yaw in (0, pi, pi / 2))
    assert point(front, "left_hip")[0] > point(front, "right_hip")[0]
    assert point(back, "left_hip")[0] < point(back, "right_hip")[0]
    assert point(side, "nose")[0] > point(side, "left_ear")[0] + 2  # it looks to the right of the picture


def test_what_cannot_be_seen_is_marked() -> None:
    front, back, side = (draw(PLAIN, Pose(yaw=yaw)).keypoints[:, 2] for yaw in (0, pi, pi / 2))
    assert (front == 2).all()
    assert (back[:3] == 1).all() and (back[5:] == 2).all()
    left, right = [k for k, name in enumerate(KEYPOINTS) if name.startswith("left")], KEYPOINTS.index
    assert side[right("right_ear")] == 2 and side[right("left_ear")] == 1
    assert side[right("right_shoulder")] == 2 and side[right("left_shoulder")] == 1
    assert (side[left] == 1).sum() >= 4
    away = draw(PLAIN, Pose(x=1.5))
    assert (away.keypoints[:, 2] == 1).all() and away.mask.sum() == 0


def test_an_arm_before_the_body_hides_what_lies_behind() -> None:
    down = Pose(yaw=pi / 2, arms=(Limb(), Limb()))
    assert point(draw(PLAIN, down), "left_wrist")[2] == 1 and point(draw(PLAIN, down), "right_wrist")[2] == 2


@pytest.mark.parametrize("change", [{}, {"top": "hoodie"}, {"bag": "backpack"}, {"hair": "long"}])
def test_front_and_back_differ_in_clothes_too(change: dict) -> None:
    who = replace(PLAIN, **change)
    still = (Limb(spread=0.1), Limb(spread=0.1))
    front, back = (draw(who, Pose(yaw=yaw, arms=still)) for yaw in (0, pi))
    both = (front.mask[0] == 1) & (back.mask[0] == 1)
    differs = np.abs(front.picture.astype(int) - back.picture).max(0) > 40
    head = np.arange(128)[:, None] < 30
    assert both.sum() > 0.8 * front.mask.sum()
    assert (differs & both & head).sum() > 30 and (differs & both & ~head).sum() > 20


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("stature", (0.9, 1.06)),
        ("girth", (0.85, 1.25)),
        ("hair", ("short", "bald", "long", "bun", "curls", "cap")),
        ("top", ("shirt", "jumper", "jacket", "hoodie")),
        ("pattern", ("plain", "stripes", "band", "print")),
        ("bottom", ("trousers", "shorts", "skirt", "long skirt")),
        ("bag", ("none", "backpack", "shoulder bag", "handbag")),
        ("skin", ((255, 221, 196), (112, 74, 52))),
        ("shoes", ((238, 236, 230), (44, 42, 46))),
    ],
)
def test_every_part_of_an_identity_can_be_seen(key: str, values: tuple) -> None:
    crowd = [replace(PLAIN, **({"top": "shirt"} | {key: value})) for value in values]
    pictures = [draw(who, Pose(yaw=0.4)).picture for who in crowd]
    for one in range(len(values)):
        for other in range(one):
            assert (pictures[one] != pictures[other]).any(0).sum() > 15, (values[one], values[other])


def test_identities_draw_on_everything() -> None:
    many = [identity_of(0, k) for k in range(300)]
    for key, count in {
        "hair": 6,
        "top": 4,
        "pattern": 4,
        "bottom": 4,
        "bag": 4,
        "skin": 5,
        "shoes": 5,
    }.items():
        assert len({getattr(who, key) for who in many}) == count
    assert all(who.accent != who.top_colour for who in many)


def test_the_feet_stand_on_the_ground() -> None:
    for pose in [Pose(), *(walk(k / 8, 0.7) for k in range(8)), *(pose_of(0, k) for k in range(20))]:
        rows = np.flatnonzero(draw(PLAIN, pose).mask[0].any(1))
        assert 117 <= rows.max() <= 125


def test_walking_is_a_cycle_of_two_equal_steps() -> None:
    assert walk(0.0, 0).legs == pytest.approx(np.array(walk(1.0, 0).legs))
    for phase in (0.1, 0.35):
        one, other = walk(phase, 0), walk(phase + 0.5, 0)
        assert one.legs[0] == pytest.approx(other.legs[1]) and one.arms[0] == pytest.approx(other.arms[1])
    ankles = np.array([point(draw(PLAIN, walk(k / 16, pi / 2)), "left_ankle")[:2] for k in range(16)])
    assert np.ptp(ankles[:, 0]) > 15 and np.ptp(ankles[:, 1]) > 4
    assert np.abs(np.diff(ankles, axis=0)).max() < 13  # no jumps
    forth = np.diff(ankles[:, 0]) > 1
    assert ankles[1:][forth, 1].mean() < ankles[1:][~forth, 1].mean()  # raised while moving forward


def test_a_pose_moves_the_person() -> None:
    centre = [np.nonzero(draw(PLAIN, walk(0.2, 0, x), 64, 64).mask[0])[1].mean() for x in (0.3, 0.6)]
    assert centre[1] - centre[0] == pytest.approx(0.3 * 64, abs=0.5)


def test_identities_are_values() -> None:
    assert isinstance(hash(PLAIN), int) and isinstance(hash(Pose()), int)
    assert isinstance(PLAIN, Identity)
