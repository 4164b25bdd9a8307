"""The world of furniture: deterministic, connected, on the floor, and varied."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from zoo.data.worlds.furniture import CLASSES, TURNS, Furniture, draw, floor


@pytest.fixture(scope="module")
def things() -> list[Furniture]:
    return [draw(0, index, 32, turned=index % 2 == 1) for index in range(500)]


def test_an_object_is_a_function_of_seed_and_index() -> None:
    first = draw(1, 7)
    draw(1, 8)
    again = draw(1, 7)
    assert torch.equal(first.voxels, again.voxels) and first.parts == again.parts
    for other in (draw(1, 8), draw(2, 7)):
        assert not torch.equal(first.voxels, other.voxels)


def test_the_same_on_every_machine() -> None:
    counts = [int(draw(0, index, 32, turned=True).voxels.sum()) for index in range(8)]
    assert counts == [2158, 1873, 474, 948, 1903, 584, 456, 872]


def test_shapes_and_values(things: list[Furniture]) -> None:
    for thing in [*things[:10], draw(0, 0, 24), draw(0, 0, 64)]:
        size = thing.voxels.shape[0]
        assert thing.voxels.shape == (size, size, size) and thing.voxels.dtype == torch.uint8
        assert set(thing.voxels.unique().tolist()) == {0, 1}


@pytest.mark.parametrize("size", [24, 32, 64])
def test_every_object_is_one_piece_on_the_floor_within_the_cube(size: int) -> None:
    for index in range(1000, 1120 if size < 64 else 1030):
        thing = draw(5, index, size, turned=True)
        cells = thing.voxels.numpy()
        assert ndimage.label(cells)[1] == 1, (index, thing.parts)  # cells that share faces
        assert np.flatnonzero(cells.any((0, 1)))[0] == floor(size), (index, thing.parts)
        walls = (cells[0], cells[-1], cells[:, 0], cells[:, -1], cells[:, :, -1])
        assert not any(wall.any() for wall in walls), (index, thing.parts)


def test_every_class_and_turn_is_drawn(things: list[Furniture]) -> None:
    counts = np.bincount([thing.label for thing in things], minlength=len(CLASSES))
    assert counts.min() > 0.8 * len(things) / len(CLASSES)
    assert {thing.turn for thing in things[1::2]} == set(range(TURNS))
    assert {thing.turn for thing in things[::2]} == {0}


def test_objects_are_many_kinds(things: list[Furniture]) -> None:
    kinds = {(thing.label, thing.parts) for thing in things}
    assert len(kinds) > 250  # of 500 objects
    words = {part for thing in things for part in thing.parts}
    wanted = (
        "three legs",
        "pedestal",
        "slatted back",
        "arm rests",
        "slatted head",
        "shelf",
        "bunk",
        "corner seat",
    )
    assert words >= set(wanted)


def test_a_turn_is_the_object_turned() -> None:
    """A quarter turn is exact: it equals np.rot90."""
    quarters = 0
    for index in range(60):
        turned, plain = draw(3, index, turned=True), draw(3, index)
        assert turned.parts == plain.parts and turned.label == plain.label
        moved = turned.voxels.numpy()
        if turned.turn % 3 == 0:
            quarters += turned.turn > 0
            same = np.rot90(plain.voxels.numpy(), turned.turn // 3, (0, 1)) == moved
            assert same.mean() > 0.999  # a cell on an edge may fall to either side
        assert abs(moved.sum() / plain.voxels.sum() - 1) < 0.5
    assert quarters >= 5


def test_chairs_face_minus_x(things: list[Furniture]) -> None:
    for thing in things[::2]:
        if CLASSES[thing.label] == "chair" and any(part.endswith(" back") for part in thing.parts):
            if "no back" in thing.parts:
                continue
            top = np.flatnonzero(thing.voxels.numpy().any((0, 1)))[-1]
            assert np.argwhere(thing.voxels.numpy()[:, :, top])[:, 0].mean() > 16


def test_classes_can_be_told_apart(things: list[Furniture]) -> None:
    """Nearest class mean over width, depth, height and occupancy suffices to classify."""
    rows = []
    for thing in (draw(9, index) for index in range(300)):
        cells = thing.voxels.numpy()
        extent = [np.ptp(np.flatnonzero(cells.any(axes))) for axes in ((1, 2), (0, 2), (0, 1))]
        rows.append([*extent, 400 * cells.mean(), thing.label])
    table = np.array(rows, float)
    means = np.stack([table[:200][table[:200, 4] == k, :4].mean(0) for k in range(len(CLASSES))])
    guess = np.linalg.norm(table[200:, None, :4] - means, axis=2).argmin(1)
    assert (guess == table[200:, 4]).mean() > 0.8
