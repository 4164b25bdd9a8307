"""PCK against a plain loop, and its borders."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from zoo.data.poses.skeletons import OPENPOSE
from zoo.errors import UserError
from zoo.metrics.formulas.keypoints import lengths, pck

RIGHT_SHOULDER, LEFT_HIP = (OPENPOSE.names.index(name) for name in ("right_shoulder", "left_hip"))


def people(n: int = 30) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    true = torch.cat(
        [
            100 * torch.rand(n, 18, 2, generator=random),
            (torch.rand(n, 18, 1, generator=random) < 0.7).float() * 2,
        ],
        2,
    )
    predicted = true.clone()
    predicted[..., :2] += 8 * torch.randn(n, 18, 2, generator=random)
    predicted[..., 2] = (torch.rand(n, 18, generator=random) < 0.8).float()
    return predicted, true


def test_is_a_plain_loop_in_pixels_and_in_torsos() -> None:
    predicted, true = people()
    for torso in (False, True):
        sizes = lengths(true, RIGHT_SHOULDER, LEFT_HIP) if torso else None
        threshold = 0.2 if torso else 9.0
        right, counted = [0] * 18, [0] * 18
        for p, t in zip(predicted.tolist(), true.tolist(), strict=True):
            reach = threshold
            if torso:
                a, b = t[RIGHT_SHOULDER], t[LEFT_HIP]
                if a[2] == 0 or b[2] == 0:
                    continue
                reach *= math.dist(a[:2], b[:2])
            for k in range(18):
                if t[k][2] > 0:
                    counted[k] += 1
                    right[k] += p[k][2] > 0 and math.dist(p[k][:2], t[k][:2]) <= reach
        found = pck(predicted, true, threshold, sizes)
        assert 0 < sum(right) < sum(counted)
        assert found.counted.tolist() == counted
        assert found.value == pytest.approx(sum(right) / sum(counted), abs=1e-12)
        wanted = [r / c for r, c in zip(right, counted, strict=True)]
        assert found.each.tolist() == pytest.approx(wanted, abs=1e-12)


def test_the_threshold_itself_is_within() -> None:
    true = torch.tensor([[[10.0, 10.0, 1.0]]])
    predicted = torch.tensor([[[13.0, 14.0, 1.0]]])
    assert pck(predicted, true, 5.0).value == 1.0
    assert pck(predicted, true, 4.999).value == 0.0
    assert pck(predicted, true, 0.5, torch.tensor([10.0])).value == 1.0


def test_unknown_points_do_not_count_and_missing_ones_are_wrong() -> None:
    nan = math.nan
    true = torch.tensor([[[1.0, 1.0, 1.0], [nan, nan, 0.0], [5.0, 5.0, 2.0]]])
    predicted = torch.tensor([[[1.0, 1.0, 1.0], [3.0, 3.0, 1.0], [nan, nan, 0.0]]])
    found = pck(predicted, true, 2.0)
    assert found.value == 0.5
    assert found.counted.tolist() == [1, 0, 1]
    assert found.each[0] == 1 and found.each[1].isnan() and found.each[2] == 0


def test_lengths_and_people_without_one() -> None:
    points = torch.zeros(3, 18, 3)
    points[:, RIGHT_SHOULDER] = torch.tensor([3.0, 4.0, 1.0])
    points[:, LEFT_HIP, 2] = 1
    points[1, LEFT_HIP, 2] = 0
    points[2, LEFT_HIP, :2] = points[2, RIGHT_SHOULDER, :2]
    found = lengths(points, RIGHT_SHOULDER, LEFT_HIP)
    assert found[0] == 5.0 and found[1:].isnan().all()
    assert pck(points, points, 0.2, found).counted.sum() == 2


T = torch.ones(2, 4, 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((T[:1], T, 1.0), "Predicted and true"),
        ((T[..., :2], T[..., :2], 1.0), r"must both be \(N, K, 3\)"),
        ((T, T, 0.0), "threshold is 0.0"),
        ((T, T, math.nan), "threshold is nan"),
        ((T, T, 0.2, torch.ones(3)), "sizes must be 2 positive"),
        ((T, T, 0.2, torch.tensor([1.0, 0.0])), "sizes must be 2 positive"),
        ((T, T, 0.2, torch.tensor([1.0, math.inf])), "sizes must be 2 positive"),
        ((T, T, 0.2, torch.full((2,), math.nan)), "no known keypoint"),
        ((T[:0], T[:0], 1.0), "no known keypoint"),
        ((T, T * 0, 1.0), "no known keypoint"),
        ((T * torch.tensor([math.nan, 1, 1]), T, 1.0), "point of predicted is NaN"),
        ((T, T * torch.tensor([math.inf, 1, 1]), 1.0), "point of true is NaN"),
    ],
)
def test_faults(arguments: tuple[Tensor, ...], words: str) -> None:
    with pytest.raises(UserError, match=words):
        pck(*arguments)  # type: ignore[arg-type]


def test_faults_of_lengths() -> None:
    with pytest.raises(UserError, match="choose from 0 to 3"):
        lengths(T, 0, 4)
    with pytest.raises(UserError, match=r"must be \(N, K, 3\)"):
        lengths(T[0], 0, 1)
