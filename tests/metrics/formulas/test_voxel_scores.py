"""Voxel scores against plain loops, closed forms, scipy and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from sklearn.metrics import jaccard_score
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from zoo.errors import UserError
from zoo.metrics.formulas.voxel_scores import (
    chamfer_distances,
    components,
    coverage,
    iou,
    iou_distances,
    minimum_matching_distance,
    nearest_neighbour_accuracy,
    occupancy,
)


def shapes(n: int, seed: int = 0, sides: tuple[int, int, int] = (4, 5, 6)) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return (torch.rand(n, 1, *sides, generator=random) < 0.2).float()


def test_iou_and_occupancy() -> None:
    a, b = shapes(6, 0), shapes(6, 1)
    wanted = [jaccard_score(x.flatten().numpy(), y.flatten().numpy()) for x, y in zip(a, b, strict=True)]
    torch.testing.assert_close(iou(a, b), torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-12)
    assert iou(a, a).tolist() == [1.0] * 6 and iou(a > 0, 1 - a).tolist() == [0.0] * 6
    assert iou(a[:, 0] * 0, a * 0).tolist() == [1.0] * 6
    half = torch.zeros(2, 2, 2, 2)
    half[0, 0] = 1
    assert occupancy(half).tolist() == [0.5, 0.0]


def test_components_by_faces_and_by_corners() -> None:
    grid = torch.zeros(3, 4, 4, 4)
    grid[0, 0, 0, :3] = 1  # three in a row, one at their end's corner, one apart
    grid[0, 1, 1, 3] = 1
    grid[0, 3, 0, 0] = 1
    grid[1] = 1
    faces, corners = components(grid), components(grid[:, None], corners=True)
    assert faces.number.tolist() == [3, 1, 0] and corners.number.tolist() == [2, 1, 0]
    assert faces.largest.tolist() == pytest.approx([3 / 5, 1, 0])
    assert corners.largest.tolist() == pytest.approx([4 / 5, 1, 0])


@pytest.mark.parametrize("chunk", [2, 64])
def test_distances_are_a_plain_loop(chunk: int) -> None:
    a, b = shapes(5, 0), shapes(3, 1)
    by_iou, by_chamfer = iou_distances(a, b, chunk), chamfer_distances(a, b, chunk)
    assert by_iou.shape == by_chamfer.shape == (5, 3) and by_iou.dtype == torch.float64
    for i, x in enumerate(a[:, 0]):
        for j, y in enumerate(b[:, 0]):
            assert by_iou[i, j].item() == pytest.approx(1 - iou(x[None], y[None]).item(), abs=1e-12)
            p, q = x.nonzero().numpy() / 6, y.nonzero().numpy() / 6  # the longest side is 1
            wanted = (cKDTree(q).query(p)[0] ** 2).mean() + (cKDTree(p).query(q)[0] ** 2).mean()
            assert by_chamfer[i, j].item() == pytest.approx(wanted, rel=1e-10)


def test_a_shift_by_one_cell() -> None:
    a, b = torch.zeros(1, 8, 8, 8), torch.zeros(1, 8, 8, 8)
    a[0, 2, 2, 2], b[0, 3, 2, 2] = 1, 1
    assert chamfer_distances(a, b).item() == pytest.approx(2 / 64)
    assert chamfer_distances(a, a).item() == 0 and iou_distances(a, b).item() == 1


def test_empty_shapes_are_far_from_all_but_each_other() -> None:
    a = torch.cat([shapes(1), torch.zeros(1, 1, 4, 5, 6)])
    inf = math.inf
    assert (chamfer_distances(a, a) == torch.tensor([[0, inf], [inf, 0]])).all()
    assert iou_distances(a, a).tolist() == [[0, 1], [1, 0]]
    assert coverage(chamfer_distances(a[1:], a[:1])) == 0


def test_matching_and_coverage_by_hand() -> None:
    distances = torch.tensor([[1.0, 5.0, 6.0], [2.0, 3.0, 9.0], [4.0, 7.0, 8.0]])  # generated x real
    assert minimum_matching_distance(distances) == pytest.approx((1 + 3 + 6) / 3)
    assert coverage(distances) == pytest.approx(1 / 3)  # all three are nearest to the first real one
    assert coverage(distances.T) == pytest.approx(2 / 3)


def test_nearest_neighbour_accuracy_is_scikit_learns() -> None:
    random = np.random.default_rng(0)
    generated, real = random.normal(size=(20, 3)), random.normal(0.7, 1, size=(20, 3))
    both, kinds = np.concatenate([generated, real]), np.repeat([0, 1], 20)
    right = 0
    for i in range(40):
        rest = np.arange(40) != i
        right += KNeighborsClassifier(1).fit(both[rest], kinds[rest]).predict(both[i : i + 1])[0] == kinds[i]
    g, r = torch.from_numpy(generated), torch.from_numpy(real)
    found = nearest_neighbour_accuracy(torch.cdist(g, r), torch.cdist(g, g), torch.cdist(r, r))
    assert 0.5 < right / 40 < 1
    assert found == pytest.approx(right / 40, abs=1e-12)


def test_nearest_neighbour_accuracy_of_copies_collapse_and_other_things() -> None:
    real = torch.arange(6.0)[:, None] * 10
    among = torch.cdist(real, real)
    assert nearest_neighbour_accuracy(among, among, among) == 0.0  # each sits on its copy
    far = torch.full((6, 6), 1e3)
    assert nearest_neighbour_accuracy(far, among, among) == 1.0
    # everything in one place: of eleven others five are of the own set
    zero = torch.zeros(6, 6)
    assert nearest_neighbour_accuracy(zero, zero, zero) == pytest.approx(5 / 11)


S = shapes(3)


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        (iou, (S, S[:2]), "pairs of grids"),
        (iou, (S, S * 0.3), "b holds 0.3 but cells are 0 or 1"),
        (iou, (S, S * 255), "b holds 255"),
        (occupancy, (S * math.nan,), "voxels holds nan"),
        (occupancy, (S[:0],), "one or more grids"),
        (occupancy, (S[0, 0],), "one or more grids"),
        (components, (S.expand(3, 2, 4, 5, 6),), "one or more grids"),
        (components, (S - 1,), "voxels holds -1"),
        (iou_distances, (S, shapes(2, sides=(5, 4, 6))), "give one size"),
        (chamfer_distances, (S, shapes(2, sides=(5, 4, 6))), "give one size"),
        (chamfer_distances, (S, S[:0]), "one or more grids"),
        (coverage, (torch.zeros(0, 3),), "filled matrix"),
        (minimum_matching_distance, (torch.tensor([[math.nan]]),), "without NaN"),
        (nearest_neighbour_accuracy, (torch.zeros(2, 3), torch.zeros(2, 2), torch.zeros(3, 3)), "as many"),
        (nearest_neighbour_accuracy, (torch.zeros(1, 1),) * 3, "at least two"),
        (nearest_neighbour_accuracy, (torch.zeros(2, 2), torch.zeros(2, 2) / 0, torch.zeros(2, 2)), "NaN"),
    ],
)
def test_faults(function: object, arguments: tuple[Tensor, ...], words: str) -> None:
    with pytest.raises(UserError, match=words):
        function(*arguments)  # type: ignore[operator]
