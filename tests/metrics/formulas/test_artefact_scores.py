"""Artefacts: each planted fault is found, clean sets pass, aligned ones too; the numbers are as defined."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.data.frontal import FrontalWorld
from zoo.data.images import Digits
from zoo.data.pairs import ScenePairs
from zoo.errors import UserError
from zoo.metrics.formulas.artefacts import Traces, compare, flat_grid, raster, unit_patches
from zoo.metrics.scoring.artefacts import verdicts
from zoo.metrics.scoring.selftest import FAULTS, planted
from zoo.metrics.scoring.subjects import SetPictures

CHECKERBOARD, GRID, BURNT, TINT, RASTER, COLLAPSE = FAULTS


class Held:
    """A set of images of one size, in memory."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def facts(self) -> dict[str, Any]:
        return {}

    def batches(self, rank: int = 0, ranks: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
        yield torch.arange(len(self.images)), self.images


def noise(count: int, size: int = 48, seed: int = 0) -> Tensor:
    return torch.randint(
        40, 200, (count, 3, size, size), generator=torch.Generator().manual_seed(seed)
    ).byte()


def skies(count: int) -> Tensor:
    """Images of a flat upper half in a colour of their own, and a lower half of noise."""
    images = noise(count)
    images[:, :, :32] = images[:, :, :1, :1]
    return images


def traces(images: Tensor) -> Traces:
    found = Traces()
    found.update(images)
    return found


@pytest.mark.parametrize(
    ("pictures", "not_found"),
    [
        (lambda: SetPictures.of(ScenePairs(eval_length=24), "test"), {RASTER}),  # nothing is flat there
        (lambda: SetPictures.of(FrontalWorld(), "test", 24), {RASTER}),  # aligned
        (lambda: Held(skies(24)), set()),
        (
            lambda: SetPictures.of(Digits(), "test", 100),
            {CHECKERBOARD, GRID, BURNT, RASTER},
        ),  # 8 pixels, aligned
    ],
    ids=["scenes", "faces", "skies", "digits"],
)
def test_each_planted_fault_is_found_and_clean_sets_pass(
    pictures: Callable[[], Any], not_found: set[str]
) -> None:
    found = {fault: about["found"] for fault, about in planted(pictures()).items()}
    assert found.pop("none") == []
    topics = {CHECKERBOARD: "grid", GRID: "grid", BURNT: "static", TINT: "colour", RASTER: "flat"}
    for fault, topic in (topics | {COLLAPSE: "diversity"}).items():
        assert (topic in found[fault]) is (fault not in not_found), fault
    assert found[TINT] == ["colour"]


def test_static_patch_is_the_mean_correlation_of_all_pairs_above_the_real_one() -> None:
    real = noise(6)
    made = noise(6, seed=1)
    made[:, :, 16:40, 8:30] = made[:1, :, 16:40, 8:30]
    (found,) = (one for one in compare(traces(made), traces(real)) if one.score == "static-patch")
    assert found.where == "rows 16 to 47, columns 0 to 31"  # patches are 32 wide and 16 apart
    for images, value in ((made, found.value), (real, found.real)):
        pixels = images.double()
        sharp = pixels - F.avg_pool2d(F.pad(pixels, (4,) * 4, mode="replicate"), 9, 1)
        patches = sharp[:, :, 16:48, :32].flatten(1)
        pairs = torch.corrcoef(patches)[*torch.triu_indices(6, 6, 1)]
        assert value == pytest.approx(pairs.mean().item(), abs=1e-6)
    assert found.value > 0.3 > found.real
    assert unit_patches(torch.full((1, 1, 48, 48), 9, dtype=torch.uint8)).abs().max() == 0


def test_colours_and_their_errors() -> None:
    made = noise(16)
    real = torch.full_like(made, 100)
    found = {one.score: one for one in compare(traces(made), traces(real))}
    means = made.double().mean((2, 3))
    for channel, colour in enumerate(("red", "green", "blue")):
        one = found[f"colour-{colour}"]
        assert (one.value, one.real) == (pytest.approx(means[:, channel].mean().item() - 100), 100)
        assert one.error == pytest.approx(means[:, channel].std().item() / 4)  # one image per group
    assert found["grid-2"].error is not None and 0 < found["grid-2"].error < 2


def test_parts_and_shares_give_the_sums_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    images, real = noise(20), traces(noise(20, seed=1))
    whole = compare(traces(images), real)
    parts, shares = Traces(), [traces(images[:16]), traces(images[16:])]
    monkeypatch.setattr("zoo.metrics.formulas.artefacts.VALUES_AT_ONCE", 3 * images[0].numel())
    for part in torch.split(images, 7):
        parts.update(part)
    merged = Traces()
    for share in (*shares, Traces()):
        merged.merge(share)
    assert parts.distance == traces(images).distance and merged.count == 20
    for a, b, c in zip(whole, compare(parts, real), compare(merged, real), strict=True):
        assert a.score == b.score == c.score and a.where == b.where == c.where
        for got in (b, c):
            assert got[1:4] == pytest.approx(a[1:4], rel=1e-4, abs=1e-4), a.score
            assert (got.error or 0) == pytest.approx(a.error or 0, rel=0.5)  # groups may hold other images


def test_a_raster_has_its_amplitude_where_the_real_image_is_flat() -> None:
    real = skies(3)
    made = real.clone()
    made[:2, :, ::4, ::4] += 8  # 8 on one of 16 pixels: 7.5 from the mean there, 0.5 on 15 others
    (one,) = raster(flat_grid(made, real))
    assert flat_grid(made[:1], real[:1]).tolist() == [pytest.approx([0.9375, 0])]
    assert (one.value, one.real, one.error) == pytest.approx((0.625, 0, 0.3125))
    slope = torch.arange(48).byte()
    assert flat_grid(made[:1] + slope, real[:1])[0, 0] == pytest.approx(0.9375)
    assert len(flat_grid(noise(2), noise(2, seed=1))) == 0 and raster(torch.zeros(0, 2)) == []
    with pytest.raises(UserError, match="are no pairs"):
        flat_grid(made, real[..., :32])


def test_what_sizes_do_not_have() -> None:
    small = compare(traces(noise(4, 31)), traces(noise(4, 31, seed=1)))
    assert [one.score for one in small][:2] == ["static-patch", "colour-red"]
    mixed = [Traces(), Traces()]
    for one, size in itertools.product(mixed, (32, 40)):
        one.update(noise(2, size))
    assert not mixed[0].is_of_one_size and [one.score for one in compare(*mixed)][:3] == [
        "grid-2",
        "grid-4",
        "colour-red",
    ]
    with pytest.raises(UserError, match="3x32x32 and the real ones 3x48x48; resize"):
        compare(traces(noise(2, 32)), traces(noise(2)))
    with pytest.raises(UserError, match="grey images and others in colour"):
        traces(noise(2)).update(noise(2)[:, :1])


def test_verdicts_are_words_and_only_beyond_the_limit() -> None:
    real = noise(16)
    made = (real.int() + torch.tensor([12, 0, -5])[:, None, None]).byte()
    findings = compare(traces(made), traces(real))
    assert verdicts(findings) == {
        "colour": "The images are tinted (red +12, blue -5 grey levels from the real ones)."
    }
    assert verdicts(findings, 2)["colour"].count("blue") == 0 and verdicts(findings, 4) == {}
