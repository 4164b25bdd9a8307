"""The world of films: motion follows the laws that a network is to learn."""

from __future__ import annotations

from itertools import pairwise
from math import pi
from typing import Any

import numpy as np
import pytest

from zoo.data.worlds import clips, people, scenes
from zoo.data.worlds.clips import KINDS, Kind, draw, moving_digits


@pytest.mark.parametrize("kind", KINDS)
def test_a_film_is_a_function_of_seed_and_index(kind: Kind) -> None:
    film = draw(kind, 1, 7, 4, 32)
    assert film.shape == (4, 1 if kind == "digits" else 3, 32, 32) and film.dtype == np.uint8
    draw(kind, 1, 8, 4, 32)
    assert np.array_equal(film, draw(kind, 1, 7, 4, 32))
    for other in (draw(kind, 1, 8, 4, 32), draw(kind, 2, 7, 4, 32)):
        assert not np.array_equal(film, other)


@pytest.mark.parametrize("kind", KINDS)
def test_a_longer_film_begins_the_same(kind: Kind) -> None:
    assert np.array_equal(draw(kind, 0, 3, 9, 32)[:3], draw(kind, 0, 3, 3, 32))


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_moves(kind: Kind) -> None:
    for index in range(4):
        film = draw(kind, 0, index, 6, 48).astype(float)
        assert (np.abs(film[1:] - film[:-1]).max((1, 2, 3)) > 40).all()


@pytest.mark.parametrize("kind", ["scenes", "walk"])
def test_the_same_film_at_every_size(kind: Kind) -> None:
    for index in range(3):
        small, large = (draw(kind, 0, index, 3, size).astype(float) for size in (64, 128))
        halved = large.reshape(3, 3, 64, 2, 64, 2).mean((3, 5))
        assert np.abs(halved - small).mean() < 6


# ---------------------------------------------------------------------------------------------- moving digits


def places(film: np.ndarray) -> np.ndarray:
    """Top and left of the non-black region, per frame."""
    corners = [[np.flatnonzero(frame[0].any(axis)).min() for axis in (1, 0)] for frame in film]
    return np.array(corners)


SOLID = np.full((1, 28, 28), 200, np.uint8)


def test_digits_fly_straight_at_one_speed_and_bounce() -> None:
    bounced = 0
    for index in range(30):
        corner = places(moving_digits(SOLID, 0, index, 20, 64, count=1)) / 36  # share of the free distance
        assert corner.min() >= 0 and corner.max() <= 1
        way = np.diff(corner, axis=0)
        free = ((corner > 0.03) & (corner < 0.97)).all(1)
        flying = free[1:] & free[:-1]
        assert np.allclose(np.hypot(*way[flying].T), clips.STEP, atol=1.5 / 36)
        for axis in (0, 1):
            turns = np.flatnonzero(np.diff(np.sign(way[np.abs(way[:, axis]) > 0, axis])))
            bounced += len(turns)
            for turn in turns:  # only at an edge
                near = corner[np.flatnonzero(np.abs(way[:, axis]) > 0)[turn] + 1, axis]
                assert min(near, 1 - near) < 0.06
    assert bounced > 30


def test_directions_and_places_are_uniform() -> None:
    first = [places(moving_digits(SOLID, 0, index, 2, 64, count=1)) for index in range(400)]
    start = np.array([corner[0] for corner in first]) / 36
    assert np.abs(start.mean(0) - 0.5).max() < 0.06
    way = np.array([corner[1] - corner[0] for corner in first if corner.min() > 4 and corner.max() < 32])
    signs = [(np.sign(way) == quadrant).all(1).mean() for quadrant in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
    assert min(signs) > 0.12


def test_where_digits_overlap_the_brighter_is_seen() -> None:
    shades = np.repeat(np.array([90, 200], np.uint8), 28 * 28).reshape(2, 28, 28)
    film = next(f for i in range(50) if (f := moving_digits(shades, 0, i, 20)).max() == 200 and 90 in f)
    assert set(np.unique(film)) == {0, 90, 200}
    assert ((film == 200).sum((1, 2, 3)) == 28 * 28).all()  # never covered
    assert ((film == 90).sum((1, 2, 3)) < 28 * 28).any()


def test_digits_are_real_and_smooth() -> None:
    film = draw("digits", 0, 0, 20, 64)
    assert film.max() > 240 and len(np.unique(film)) > 60  # not eight blocks of sixteen greys


# -------------------------------------------------------------------------------------------- bouncing props


def test_only_things_and_shadows_change_a_landscape() -> None:
    for index in range(4):
        film = draw("scenes", 0, index, 12, 64).astype(float)
        scene = scenes.draw(0, index, 128).picture.numpy()
        still = (scene.reshape(3, 64, 2, 64, 2).mean((2, 4)) + 1) * 127.5
        changed = (np.abs(film - still) > 3).any(1)
        assert 0.01 < changed.mean() < 0.25
        assert (~changed.any(0)).mean() > 0.2  # part of it never changes


def test_things_go_behind_what_stands_nearer() -> None:
    hidden = 0
    for index in range(12):
        stage = clips._Stage(0, index, 64)
        box = (slice(0, 64), slice(0, 64))
        far, near = stage.seen(box, stage.far), stage.seen(box, 1.0)
        assert (near == 1).all() and (far <= near).all()
        hidden += int((far < 1).any())
    assert hidden >= 8
    stage.feet[:] = 0.0
    stage.feet[:, :64] = 0.9  # an object over the left half that stands at 0.9
    for foot, seen in ((0.7, 0), (0.95, 32)):
        picture = np.zeros((3, 64, 64), np.float32)
        stage.land = np.ones((3, 1, 1), np.float32)
        stage.paint(picture, clips._Placed(clips.PROPS[0], foot, 0.5, 0.25, foot - 0.75, 0.0))
        assert (picture[0, 32, 33:47] > 0.3).all() and (picture[0, 32, 18:31] > 0.3).all() == bool(seen)


def test_things_bounce_in_a_parabola(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[float, float]] = []

    class Watched(clips._Stage):
        def paint(self, picture: Any, it: clips._Placed) -> None:
            if it.prop is clips.PROPS[0]:
                seen.append((it.height / it.radius, it.radius))

    monkeypatch.setattr(clips, "_Stage", Watched)
    for index in range(20):
        seen.clear()
        draw("scenes", 0, index, 40, 16)
        if not seen:
            continue
        height = np.array([h for h, _ in seen])
        assert height.min() >= 0 and height.max() < 1.01 * 0.34 / 0.075
        bend = np.diff(height, 2)
        assert np.isclose(bend, np.median(bend), rtol=0.01).mean() > 0.75  # except at the ground
        assert np.median(bend) < 0


# --------------------------------------------------------------------------------------------- walking people


def test_feet_do_not_slide() -> None:
    who = people.identity_of(0, 1)
    ankles = [people.KEYPOINTS.index(f"{side}_ankle") for side in ("left", "right")]
    steps = 24
    drawn = [people.draw(who, people.walk(t / steps, pi / 2), 192, 192) for t in range(steps)]
    x = np.stack([d.keypoints[ankles, 0] for d in drawn]) / 192
    back = (np.roll(x, 1, 0) - x) * steps / who.stature
    carries = back.max(1)  # the foot that moves back under the body
    assert carries.mean() == pytest.approx(clips.STRIDE, rel=0.1)


def test_the_street_scrolls_against_the_walk() -> None:
    right = left = 0
    for index in range(12):
        film = draw("walk", 0, index, 4, 64).astype(float)
        wall = film[:, :, 14:30].mean((1, 2))  # a row of windows and doors
        shifts = []
        for before, after in pairwise(wall):
            errors = {s: np.abs(np.roll(before, s)[12:-12] - after[12:-12]).mean() for s in range(-8, 9)}
            shifts.append(min(errors, key=errors.__getitem__))
        right, left = right + (np.median(shifts) < 0), left + (np.median(shifts) > 0)
    assert right >= 2 and left >= 2 and right + left >= 10


def test_somebody_is_always_seen_whole() -> None:
    for index in range(3):
        hero = people.identity_of(0, index)
        film = draw("walk", 0, index, 30, 48)
        top = np.array(hero.top_colour)[:, None, None]
        near = (np.abs(film.astype(int) - top) < 40).all(1).sum((1, 2))
        assert (near > 15).all()  # the colour of the upper garment stays in the picture
