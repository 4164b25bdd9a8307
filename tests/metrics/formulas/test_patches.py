"""Sliced Wasserstein distance: pyramids add up, one dimension is SciPy's, faults show at their own scale."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import wasserstein_distance
from torch import Tensor

from zoo.errors import UserError
from zoo.metrics.formulas import patches as formula
from zoo.metrics.formulas.patches import Patches, enlarged, pyramid, sliced_wasserstein


def blobs(count: int, seed: int, side: int = 64) -> Tensor:
    """Pictures with structure of every size, (count, 3, side, side) uint8."""
    random = torch.Generator().manual_seed(seed)
    total = torch.zeros(count, 3, side, side)
    for grain in (1, 2, 4, 8, 16):
        noise = torch.randn(count, 3, side // grain, side // grain, generator=random)
        total += grain**0.5 * F.interpolate(noise, (side, side), mode="bilinear")
    return (128 + 12 * total).clamp(0, 255).byte()


def patches(images: Tensor, seed: int = 0) -> Patches:
    found = Patches(seed)
    found.update(images)
    return found


def distances(a: Tensor, b: Tensor) -> dict[int, float]:
    one, other = patches(a), patches(b)
    return {side: sliced_wasserstein(one.at(side), other.at(side), 64) for side in one.sides}


@pytest.mark.parametrize(
    ("size", "sides"),
    [
        ((64, 64), [(64, 64), (32, 32), (16, 16)]),
        ((33, 70), [(33, 70), (17, 35)]),
        ((31, 90), [(31, 90)]),
        ((8, 8), [(8, 8)]),
    ],
)
def test_a_pyramid_adds_up_to_the_picture(size: tuple[int, int], sides: list[tuple[int, int]]) -> None:
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    *details, whole = pyramid(images)
    assert [tuple(level.shape[2:]) for level in (*details, whole)] == sides
    for level in reversed(details):
        whole = level + enlarged(whole, *level.shape[2:])
    torch.testing.assert_close(whole, images, rtol=0, atol=1e-14)


def test_a_level_holds_its_own_scale_alone() -> None:
    """A flat picture has no details; a checkerboard of single pixels is in the finest level alone."""
    flat = torch.full((1, 1, 64, 64), 100.0)
    assert [float(level.abs().max()) for level in pyramid(flat)] == [0, 0, 100]
    place = torch.arange(64)
    fine, coarse, rest = pyramid(flat + 50.0 * (-1) ** (place[:, None] + place))
    assert float(fine.abs().min()) == 50 and float(coarse.abs().max()) == 0 and float(rest.max()) == 100


def test_in_one_dimension_it_is_scipys_distance() -> None:
    random = torch.Generator().manual_seed(1)
    a = torch.randn(500, 1, 1, generator=random)
    b = torch.rand(500, 1, 1, generator=random) ** 3
    plain = [((x - x.mean()) / x.std(correction=0)).flatten().numpy() for x in (a, b)]
    assert sliced_wasserstein(a, b, 3) == pytest.approx(wasserstein_distance(*plain), rel=1e-5)
    assert sliced_wasserstein(a, b, 3) > 0.1


@pytest.mark.parametrize("at_once", [2**25, 700])
def test_it_is_the_mean_over_directions_of_normalised_sets(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formula, "VALUES_AT_ONCE", at_once)
    random = torch.Generator().manual_seed(2)
    scales = torch.tensor([1.0, 20.0, 300.0])[:, None]
    a = torch.randn(200, 3, 5, generator=random) * scales + scales
    b = torch.randn(200, 3, 5, generator=random) ** 3 * scales
    lines = torch.randn(20, 15, generator=torch.Generator().manual_seed(7)).double().numpy()
    rows = []
    for patches in (a.double().numpy(), b.double().numpy()):
        each = [(patches[:, c] - patches[:, c].mean()) / patches[:, c].std() for c in range(3)]
        rows.append(np.stack(each, 1).reshape(200, 15))
    plain = [wasserstein_distance(*(row @ line / np.linalg.norm(line) for row in rows)) for line in lines]
    assert sliced_wasserstein(a, b, 20, seed=7) == pytest.approx(np.mean(plain), rel=1e-5)


def test_equal_sets_are_at_0_and_the_seed_decides() -> None:
    a, b = patches(blobs(8, 0)), patches(blobs(8, 1))
    assert all(sliced_wasserstein(a.at(side), a.at(side), 16) == 0 for side in a.sides)
    first, second, third = (sliced_wasserstein(a.at(64), b.at(64), 16, seed) for seed in (0, 0, 1))
    assert first == second != third
    assert not torch.equal(patches(blobs(8, 0), seed=1).at(64), a.at(64))


def test_patches_do_not_depend_on_batches() -> None:
    images = blobs(9, 0, 32)
    whole, parts = patches(images), Patches()
    for part in (images[:2], images[2:3], images[3:]):
        parts.update(part)
    assert whole.sides == parts.sides == [32, 16]
    for side in whole.sides:
        assert torch.equal(whole.at(side), parts.at(side)) and whole.at(side).shape == (9 * 128, 3, 49)


def test_patches_are_pieces_of_their_level() -> None:
    """Of a picture whose value is 16 times the row plus the column, also at its last places."""
    places = torch.arange(16)
    found = patches((16 * places[:, None] + places).byte().expand(1, 1, 16, 16)).at(16).view(-1, 7, 7)
    corner = found[:, 0, 0]
    along = torch.arange(7)
    assert torch.equal(found, corner[:, None, None] + 16 * along[:, None] + along)
    assert {(int(c) // 16, int(c) % 16) for c in corner} <= {(y, x) for y in range(10) for x in range(10)}
    assert corner.max() >= 16 * 9 and (corner % 16).max() == 9 and corner.min() < 16


def test_faults_show_at_their_own_scale() -> None:
    real, other = blobs(48, 0), blobs(48, 1)
    floor = distances(real, other)

    def rise(made: Tensor) -> dict[int, float]:
        return {
            side: found / floor[side] for side, found in distances(real, made.clamp(0, 255).byte()).items()
        }

    blurred = rise(F.avg_pool2d(F.pad(other.float(), (1,) * 4, mode="reflect"), 3, 1))
    assert blurred[64] > 2 and blurred[64] > 2 * blurred[32] and blurred[16] < 1.2
    tint = torch.linspace(-60, 60, 64)[:, None].expand(64, 64)  # a slope from top to bottom
    sloped = rise(other.float() + tint)
    assert sloped[16] > 1.5 and sloped[32] < 1.2 and sloped[64] < 1.2
    # its limits: patches have no place in the picture, and sets no brightness
    assert max(rise(other.flip(2).float() * 0.8).values()) < 1.2


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: patches(blobs(1, 0)[..., :6, :]), "6x64 pixels have no patches of 7x7"),
        (lambda: patches(blobs(1, 0).float()), "uint8"),
        (lambda: sliced_wasserstein(torch.zeros(3, 1, 2), torch.zeros(4, 1, 2)), r"\(3, 1, 2\).*\(4, 1, 2\)"),
        (lambda: sliced_wasserstein(torch.zeros(0, 1, 2), torch.zeros(0, 1, 2)), "as many"),
        (lambda: sliced_wasserstein(torch.zeros(3, 2), torch.zeros(3, 2)), r"\(P, C, D\)"),
        (lambda: sliced_wasserstein(*[torch.full((3, 1, 2), math.nan)] * 2), "not finite"),
    ],
)
def test_what_has_no_distance_is_refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        call()


def test_a_channel_of_one_value_is_no_difference() -> None:
    a = torch.randn(50, 2, 3, generator=torch.Generator().manual_seed(0))
    a[:, 1] = 7
    b = a.clone()
    b[:, 1] = 9
    assert sliced_wasserstein(a, b, 8) < 1e-6
