"""The world of drawn faces: turned heads match their frontal twins, emoji match their faces."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch

from zoo.data.worlds import faces
from zoo.data.worlds.faces import LANDMARKS, Face, Parameters, draw, emoji, parameters
from zoo.data.worlds.heads import STEP, Head, _rings

NAMES = {name: at for at, name in enumerate(LANDMARKS)}


def at(face: Face, name: str) -> tuple[float, float]:
    x, y = face.landmarks[NAMES[name]].tolist()
    return x, y


def plain(index: int = 0) -> Parameters:
    """A person with a bare face, in even light."""
    shown = parameters(0, index)
    person = replace(shown.person, hair="buzz", glasses="none", beard="none")
    return Parameters(person, shown.expression, replace(shown.light, side=0.0, warmth=0.0))


def test_a_face_is_a_function_of_its_parameters() -> None:
    first = draw(parameters(1, 7), 30, 32)
    draw(parameters(1, 8), -70, 32)
    again = draw(parameters(1, 7), 30, 32)
    assert torch.equal(first.picture, again.picture) and torch.equal(first.landmarks, again.landmarks)
    assert parameters(1, 7) == parameters(1, 7)
    assert parameters(1, 7) != parameters(2, 7) and parameters(1, 7).person != parameters(1, 8).person
    assert torch.equal(emoji(parameters(1, 7), 32), emoji(parameters(1, 7), 32))


def test_what_pictures_of_one_head_share_changes_none_of_them() -> None:
    """Cached heads do not leak: pictures of a hair style are the same before and after all others."""
    styles = [parameters_with(hair=hair) for hair in get_args(faces.Hair)]

    def pictures(shown: Parameters) -> torch.Tensor:
        return torch.stack([draw(shown, 50, 32).picture, draw(shown, 0, 32).picture, emoji(shown, 32)])

    alone = []
    for shown in styles:
        _rings.cache_clear()
        alone.append(pictures(shown))
    for _ in range(2):
        assert all(map(torch.equal, alone, map(pictures, styles)))


@pytest.mark.parametrize(("shell", "curtain"), [(0.0, False), (0.1, False), (0.1, True)])
def test_the_rings_of_a_head(shell: float, curtain: bool) -> None:
    """Two half superellipses; a shell keeps its distance, a curtain hangs straight down."""
    width, jaw = 0.7, 0.4
    head = Head(width, jaw, 0.0, 0.0, shell, curtain)
    for number in range(1, 160, 6):
        y = -1 + number * STEP
        power = 2.1 + 1.6 * jaw if y > 0 else 2.3
        half = width * (1 - abs(y) ** power) ** (1 / power if y > 0 else 0.5)
        half *= 1 - (0.26 - 0.2 * jaw) * max(y, 0)
        if curtain and y > 0.3:
            half = width
        if not curtain or not -0.1 < y < 0.3:
            assert head.row(y * (1 + shell) if y < 0 else y)[0] == pytest.approx(half + shell, abs=1e-9)


@pytest.mark.parametrize("size", [16, 50, 64])
def test_shapes_types_and_ranges(size: int) -> None:
    for index, yaw in enumerate((-90, -40, 0, 65, 90)):
        face = draw(parameters(3, index), yaw, size)
        assert face.picture.shape == (3, size, size) and face.picture.dtype == torch.uint8
        assert face.landmarks.shape == (len(LANDMARKS), 2) and face.visible.shape == (len(LANDMARKS),)
        assert face.landmarks.min() > 0 and face.landmarks.max() < size
        assert emoji(parameters(3, index), size).shape == (3, size, size)


def test_a_yaw_beyond_the_profile_is_refused() -> None:
    with pytest.raises(ValueError, match="91"):
        draw(parameters(0, 0), 91)


def test_every_style_is_drawn() -> None:
    people = [faces.person(0, number) for number in range(300)]
    for field, kinds in (("hair", faces.Hair), ("beard", faces.Beard), ("glasses", faces.Glasses)):
        assert {getattr(person, field) for person in people} == set(kinds.__args__)
    moods = {faces.expression(0, index).mood for index in range(100)}
    assert moods == set(faces.MOODS)


def test_the_same_face_at_every_size() -> None:
    for index, yaw in enumerate((-60, 0, 30)):
        small, large = (draw(parameters(0, index), yaw, size) for size in (64, 128))
        halved = torch.nn.functional.avg_pool2d(large.picture[None].float(), 2)[0]
        assert (halved - small.picture).abs().mean() < 4
        assert (large.landmarks / 2 - small.landmarks).abs().max() < 0.5


def test_features_move_as_on_a_head() -> None:
    """The nose moves farthest, one ear with it, the other ear against it; nothing moves vertically."""
    front = draw(plain(), 0)
    for yaw in (-35, 35):
        turned, way = draw(plain(), yaw), 1 if yaw > 0 else -1
        moved = {name: way * (at(turned, name)[0] - at(front, name)[0]) for name in LANDMARKS}
        far = "right" if yaw > 0 else "left"
        near = "left" if yaw > 0 else "right"
        assert moved["nose tip"] > moved[f"{near} eye"] > moved[f"{far} eye"] > 0
        assert moved[f"{near} ear"] > 0 > moved[f"{far} ear"]
        assert torch.allclose(turned.landmarks[:, 1], front.landmarks[:, 1], atol=1e-4)


def test_the_far_side_is_hidden() -> None:
    for yaw in (-80, 80):
        near, far = ("left", "right") if yaw > 0 else ("right", "left")
        seen = draw(plain(), yaw).visible
        for name in ("eye", "brow", "mouth corner", "ear"):
            assert seen[NAMES[f"{near} {name}"]] and not seen[NAMES[f"{far} {name}"]]
        assert seen[NAMES["nose tip"]]
    assert draw(plain(), 0).visible.all()
    assert not draw(parameters_with(hair="long"), 0).visible[NAMES["left ear"]]


def parameters_with(**changes: object) -> Parameters:
    shown = plain()
    return Parameters(replace(shown.person, **changes), shown.expression, shown.light)


def test_landmarks_lie_on_what_they_name() -> None:
    """The colour of the iris is centred on the eye's landmark."""
    shown = parameters_with(iris=(0, 255, 0), skin=(200, 150, 120), eye_size=0.16)
    shown = replace(shown, expression=faces.Expression("neutral", 0, 0, 0, 1.2))
    for yaw in (-35, 0, 35):
        face = draw(shown, yaw, 256)
        green = (face.picture[1].int() - face.picture[0].int() > 60).float()
        rows, columns = green.nonzero().T
        for side in ("left", "right"):
            if face.visible[NAMES[f"{side} eye"]]:
                x, y = at(face, f"{side} eye")
                near = (columns - x).abs() + (rows - y).abs() < 14
                assert near.sum() > 10
                assert abs(float(columns[near].float().mean()) + 0.5 - x) < 2
                assert abs(float(rows[near].float().mean()) + 0.5 - y) < 2


def test_the_profile_shows_the_nose_s_outline() -> None:
    """A longer nose changes the profile only at its own height, and moves its landmark."""
    for yaw, way in ((-90, -1), (90, 1)):
        short, long = (draw(parameters_with(nose_length=length), yaw, 128) for length in (0.16, 0.34))
        differs = (short.picture.int() - long.picture.int()).abs().sum(0) > 40
        assert differs.any()
        height = at(long, "nose tip")[1]
        assert (differs.nonzero()[:, 0] - height).abs().max() < 0.2 * 128
        assert way * (at(long, "nose tip")[0] - at(short, "nose tip")[0]) > 5
        x, y = at(long, "nose tip")
        backdrop = long.picture[:, 2, 2].int()
        inside = long.picture[:, int(y), int(x - 4 * way)].int()
        outside = short.picture[:, int(y), int(x - 2 * way)].int()
        assert (inside - backdrop).abs().sum() > 40 > (outside - backdrop).abs().sum()


def test_a_mirrored_person_turned_the_other_way_is_the_mirror_picture() -> None:
    shown = plain(4)
    left, right = draw(shown, -40, 64), draw(shown, 40, 64)
    assert (left.picture.flip(-1).int() - right.picture.int()).abs().float().mean() < 1.5
    assert at(left, "left eye")[0] == pytest.approx(64 - at(right, "right eye")[0], abs=1e-3)


@pytest.mark.parametrize(
    "changes",
    [
        {"skin": (92, 56, 38)},
        {"hair_colour": (176, 74, 36)},
        {"hair": "curls"},
        {"glasses": "square"},
        {"beard": "full"},
        {"iris": (63, 111, 158)},
    ],
)
def test_face_and_emoji_show_every_parameter(changes: dict) -> None:
    one, other = parameters_with(skin=(251, 220, 196), iris=(90, 58, 34)), parameters_with(**changes)
    for picture in (lambda shown: draw(shown, 20, 96).picture, lambda shown: emoji(shown, 96)):
        assert (picture(one).int() - picture(other).int()).abs().max() > 40


def test_moods_change_the_face_and_its_emoji() -> None:
    drawn = {}
    for mood, values in faces.MOODS.items():
        shown = replace(plain(), expression=faces.Expression(mood, *values))
        drawn[mood] = (draw(shown, 0, 64).picture, emoji(shown, 64))
    for mood, pictures in drawn.items():
        for other in set(drawn) - {mood}:
            for one, two in zip(pictures, drawn[other], strict=True):
                assert (one.int() - two.int()).abs().float().mean() > 0.15


def test_an_emoji_is_flat_in_thick_lines_on_white() -> None:
    for index in range(5):
        picture = emoji(parameters(0, index), 128)
        assert (picture[:, :3] == 255).all()
        _, counts = picture.flatten(1).T.unique(dim=0, return_counts=True)
        assert counts.topk(12).values.sum() > 0.85 * 128 * 128  # a few colours cover nearly all


def test_one_person_is_nearer_to_itself_than_to_others() -> None:
    """A frontal view identifies the person, across expressions."""
    light = faces.Light(0, 0, (200, 200, 200))
    people = [faces.person(0, number) for number in range(12)]
    views = [
        [draw(Parameters(who, faces.expression(0, mood), light), 0, 32).picture.float() for mood in (1, 2)]
        for who in people
    ]
    for at_one, (one, _) in enumerate(views):
        distances = [float((one - second).abs().mean()) for _, second in views]
        assert min(range(12), key=distances.__getitem__) == at_one
