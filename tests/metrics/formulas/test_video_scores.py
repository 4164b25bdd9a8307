"""Scores of clips against plain loops and closed forms; the clips' distance against that of two Gaussians."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from zoo.errors import UserError
from zoo.metrics.formulas import similarity
from zoo.metrics.formulas.video_scores import (
    ClipNetwork,
    clip_moments,
    frame_psnr,
    frame_ssim,
    frechet_clip_distance,
    moving_pixels,
    over_time,
    sharpness_difference,
)


def clips(n: int = 2, t: int = 3, c: int = 3, side: int = 14, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, t, c, side, side), dtype=torch.uint8, generator=random)


A, B = clips(seed=0), clips(seed=1)
MASK = torch.rand(2, 3, 1, 14, 14, generator=torch.Generator().manual_seed(2)) < 0.3


def test_each_frame_has_the_score_of_a_picture() -> None:
    for i in range(2):
        for t in range(3):
            a, b = A[i, t][None], B[i, t][None]
            assert frame_psnr(A, B)[i, t] == similarity.psnr(a, b, luma=False)[0]
            torch.testing.assert_close(frame_ssim(A, B)[i, t], similarity.ssim(a, b)[0], rtol=1e-12, atol=0)


def test_psnr_of_moving_pixels_is_a_plain_loop() -> None:
    found = frame_psnr(A, B, MASK)
    for i in range(2):
        for t in range(3):
            where = MASK[i, t, 0]
            errors = (A[i, t].double() - B[i, t].double())[:, where].square()
            assert found[i, t].item() == pytest.approx(10 * math.log10(255**2 / errors.mean()), abs=1e-10)
    on_luma = frame_psnr(A, B, MASK, luma=True)
    y = (similarity.luma(A[1, 2][None]) - similarity.luma(B[1, 2][None]))[0, 0][MASK[1, 2, 0]]
    assert on_luma[1, 2].item() == pytest.approx(10 * math.log10(255**2 / y.square().mean()), abs=1e-10)


def test_ssim_of_moving_pixels_is_that_of_frames_black_elsewhere() -> None:
    black = frame_ssim(A * MASK, B * MASK)
    torch.testing.assert_close(frame_ssim(A, B, MASK), black, rtol=1e-12, atol=0)
    assert frame_ssim(A, B, MASK & False).isnan().all()  # black agrees with black


def plain_sharpness(predicted: Tensor, true: Tensor, where: Tensor | None, peak: float) -> float:
    def edges(c: int, y: int, x: int, picture: list[list[list[float]]]) -> float:
        here = picture[c][y][x]
        return abs(here - picture[c][y - 1][x]) + abs(here - picture[c][y][x - 1])

    p, t = ((v.double() * peak / 255).tolist() for v in (predicted, true))
    errors = [
        abs(edges(c, y, x, t) - edges(c, y, x, p))
        for c in range(predicted.shape[0])
        for y in range(1, predicted.shape[1])
        for x in range(1, predicted.shape[2])
        if where is None or where[y, x]
    ]
    return 10 * math.log10(peak**2 / (sum(errors) / len(errors)))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("peak", [1.0, 255.0])
def test_sharpness_is_a_plain_loop(masked: bool, peak: float) -> None:
    found = sharpness_difference(A, B, MASK if masked else None, peak=peak)
    for i, t in ((0, 0), (1, 2)):
        wanted = plain_sharpness(A[i, t], B[i, t], MASK[i, t, 0] if masked else None, peak)
        assert found[i, t].item() == pytest.approx(wanted, abs=1e-9)


def test_sharpness_of_one_step_that_is_lost() -> None:
    """A step of 51 = 0.2 in one of three columns, gone in the prediction: a mean of 0.2 / 3."""
    true = torch.zeros(1, 1, 1, 4, 4, dtype=torch.uint8)
    true[..., 2:] = 51
    found = sharpness_difference(torch.zeros_like(true), true)
    assert found.item() == pytest.approx(10 * math.log10(3 / 0.2))
    assert sharpness_difference(true + 100, true).item() == math.inf  # brightness is no edge
    on_luma = sharpness_difference(torch.zeros_like(true), true, luma=True)
    assert on_luma.item() == pytest.approx(10 * math.log10(3 / 0.2))  # grey is its own luma


def test_still_and_perfect_frames_are_left_out_of_the_mean() -> None:
    true, moving = A.clone(), MASK.clone()
    true[0, 0] = B[0, 0]  # perfect
    moving[1, 1] = False
    moving[:, 2] = False
    for score in (frame_psnr, sharpness_difference):
        found = score(B, true, moving)
        assert found[0, 0] == math.inf and found[1, 1].isnan()
        mean = over_time(found)
        assert mean[0] == found[1, 0] and mean[1] == found[0, 1] and mean[2].isnan()


def test_moving_pixels_are_those_that_change_in_some_channel() -> None:
    still = torch.full((1, 3, 3, 4, 4), 100, dtype=torch.uint8)
    still[0, 1, 1, 2, 3] = 109
    still[0, 2, 1, 2, 3] = 109
    still[0, 2, 0, 0, 0] = 92  # eight levels are not more than eight
    still[0, 2, 2, 1, 1] = 0  # as bytes the difference would wrap
    found = moving_pixels(still)
    assert found.shape == (1, 2, 1, 4, 4) and found.dtype == torch.bool
    assert found.nonzero().tolist() == [[0, 0, 0, 2, 3], [0, 1, 0, 1, 1]]


def statistics(part: Tensor) -> Tensor:
    """Brightness, its spread and motion: three features."""
    x = part.double() / 255
    motion = (x[:, 1:] - x[:, :-1]).abs().flatten(1).mean(1)
    return torch.stack([x.flatten(1).mean(1), x.flatten(1).std(1), motion], 1)


NETWORK = ClipNetwork("statistics", statistics, frames=2)


def test_clip_distance_is_that_of_the_two_gaussians() -> None:
    real, generated = clips(30, seed=3), clips(20, t=3, seed=4) // 2
    x, y = statistics(real).numpy(), statistics(generated).numpy()
    s, t = torch.from_numpy(x).T.cov().numpy(), torch.from_numpy(y).T.cov().numpy()
    root = sqrtm(s @ t).real
    wanted = ((x.mean(0) - y.mean(0)) ** 2).sum() + (s + t - 2 * root).trace()
    assert frechet_clip_distance(generated, real, NETWORK, batch_size=7) == pytest.approx(wanted, rel=1e-6)
    assert frechet_clip_distance(real, real, NETWORK) == pytest.approx(0, abs=1e-9)
    assert clip_moments(real, NETWORK, 7).count == 30


def test_a_substitute_is_never_called_fvd() -> None:
    assert NETWORK.metric == "fd-clips-statistics"
    assert NETWORK.identity() == {"network": "statistics", "sha256": None, "frames": 2}


@pytest.mark.parametrize("score", [frame_psnr, frame_ssim, sharpness_difference])
def test_faults_of_frames(score: object) -> None:
    for arguments, words in (
        ((A, B[:, :2]), "must have one shape"),
        ((A[:0], B[:0]), "at least one"),
        ((A[:, 0], B[:, 0]), r"must be \(N, T, C, H, W\)"),
        ((A.float(), B), "uint8"),
        ((A, B, MASK[:, :2]), r"moving must be \(2, 3, 1, 14, 14\)"),
        ((A, B, MASK * 0.5), "of 0 and 1"),
    ):
        with pytest.raises(UserError, match=words):
            score(*arguments)  # type: ignore[operator]


def test_other_faults() -> None:
    with pytest.raises(UserError, match="single frame"):
        moving_pixels(A[:, :1])
    with pytest.raises(UserError, match="peak is 0"):
        sharpness_difference(A, B, peak=0)
    with pytest.raises(UserError, match="have no edges"):
        sharpness_difference(A[..., :1], B[..., :1])
    with pytest.raises(UserError, match=r"must be \(N, T\)"):
        over_time(torch.zeros(3))
    with pytest.raises(UserError, match=r"statistics takes clips of 2 frames or more and these have 1"):
        frechet_clip_distance(A[:, :1], B[:, :1], NETWORK)
    with pytest.raises(UserError, match="cannot be compared"):
        frechet_clip_distance(A, B[:, :2], NETWORK)
    with pytest.raises(UserError, match="at least 2"):
        frechet_clip_distance(A[:1], B, NETWORK)
    wrong = ClipNetwork("wrong", lambda part: part.flatten(0, 1).flatten(1).float(), 1)
    with pytest.raises(UserError, match=r"wrong returned features \(6, 588\) for 2 clips"):
        clip_moments(A, wrong)
