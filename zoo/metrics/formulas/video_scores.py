"""Scores of predicted and generated clips: frame by frame against the truth, and as a set.

Clips are (N, T, C, H, W) of uint8 (frames through :func:`zoo.metrics.formulas.pixels.to_bytes`). Frame scores
have shape (N, T), one number per frame, because predictions get worse with time: average with ``over_time``
and plot the curve.

Mathieu et al. 2016 (Beyond MSE, section 3) score moving pixels only, found by optical flow. Here ``moving``
is any mask of 0 and 1, such as the frame differences of ``moving_pixels``. Scores with and without a mask, or
with two different masks, are not comparable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.errors import UserError
from zoo.metrics.formulas import similarity
from zoo.metrics.formulas.frechet import Moments, frechet_distance
from zoo.metrics.formulas.pixels import require_bytes


def frame_psnr(predicted: Tensor, true: Tensor, moving: Tensor | None = None, luma: bool = False) -> Tensor:
    """Peak signal-to-noise ratio (N, T) in decibel; infinite for equal frames, NaN if nothing moves.

    Args:
        predicted: (N, T, C, H, W) uint8.
        true: As ``predicted``.
        moving: (N, T, 1, H, W) of 0 and 1: the error is averaged over these pixels only.
        luma: Use Y, otherwise all channels together; see :func:`zoo.metrics.formulas.similarity.psnr`.
    """
    a, b, mask = _frames(predicted, true, moving)
    if mask is None:
        return similarity.psnr(a, b, luma).view(true.shape[:2])
    found = similarity.psnr(similarity.masked(a, mask), similarity.masked(b, mask), luma)
    # masked pixels add no error but were counted in the mean
    return (found + 10 * torch.log10(mask.double().flatten(1).mean(1))).view(true.shape[:2])


def frame_ssim(predicted: Tensor, true: Tensor, moving: Tensor | None = None, luma: bool = True) -> Tensor:
    """Structural similarity (N, T) with Wang's Gaussian window.

    Args:
        predicted: (N, T, C, H, W) uint8.
        true: As ``predicted``.
        moving: (N, T, 1, H, W) of 0 and 1: both frames are made black elsewhere, and black agrees with
            black, so the score is nearer to 1 the less moves. NaN if nothing moves.
        luma: Use Y, otherwise each channel; see :func:`zoo.metrics.formulas.similarity.ssim`.
    """
    a, b, mask = _frames(predicted, true, moving)
    if mask is None:
        return similarity.ssim(a, b, luma).view(true.shape[:2])
    a, b = similarity.masked(a, mask), similarity.masked(b, mask)
    found = similarity.ssim(a, b, luma).where(mask.flatten(1).any(1), torch.nan)
    return found.view(true.shape[:2])


def sharpness_difference(
    predicted: Tensor, true: Tensor, moving: Tensor | None = None, luma: bool = False, peak: float = 1.0
) -> Tensor:
    """Agreement of predicted with true edges, (N, T) in decibel (Mathieu et al. 2016).

    ``10 log10(peak^2 / mean |S(true) - S(predicted)|)``, where S at a pixel is the absolute difference to the
    pixel above plus that to the pixel on the left; the first row and column are left out. Missing and extra
    edges count alike: higher means closer, not sharper. Infinite if all edges agree, NaN if nothing moves.

    Args:
        predicted: (N, T, C, H, W) uint8, at least two pixels per side.
        true: As ``predicted``.
        moving: (N, T, 1, H, W) of 0 and 1: the mean is over these pixels; edges are those of the whole
            frames.
        luma: Use Y, otherwise all channels together.
        peak: Largest intensity. Its square is divided by a first power, so the score depends on it: at 255 it
            is 24.07 more than at 1.
    """
    if not peak > 0:
        raise UserError(f"peak is {peak}; give the largest intensity, a number above 0.")
    a, b, mask = _frames(predicted, true, moving)
    if min(a.shape[2:]) < 2:
        raise UserError(
            f"Frames of {a.shape[2]}x{a.shape[3]} pixels have no edges; sharpness needs 2x2 or more."
        )
    error = torch.stack([_edge_error(x, y, luma) for x, y in zip(a, b, strict=True)]) * (peak / 255)
    if mask is None:
        mean = error.flatten(1).mean(1)
    else:
        inner = mask[:, 0, 1:, 1:].double()
        mean = (error * inner).sum((1, 2)) / inner.sum((1, 2))
    return (10 * torch.log10(peak**2 / mean)).view(true.shape[:2])


def moving_pixels(clips: Tensor, threshold: float = 8.0) -> Tensor:
    """Where a frame differs from the previous one by more than ``threshold`` grey levels in some channel.

    A substitute for the paper's optical flow above 0.2 pixels: motion over a uniform surface is not detected.
    The first frame should be the last one that the model saw, followed by the true future ones.

    Args:
        clips: (N, T, C, H, W) uint8 of true frames.
        threshold: Grey levels, of 255; should be above the camera's noise.

    Returns:
        (N, T - 1, 1, H, W) of bool.
    """
    _require_clips(clips)
    if clips.shape[1] < 2:
        raise UserError("Clips of a single frame show no motion; give the previous frame as well.")
    change = (clips[:, 1:].short() - clips[:, :-1].short()).abs()
    return change.amax(2, keepdim=True) > threshold


def over_time(scores: Tensor) -> Tensor:
    """Mean score (T) per time step over the clips whose score is finite; NaN if there is none.

    Args:
        scores: (N, T). Frames that equal the truth or in which nothing moves are left out; report how many.
    """
    if scores.ndim != 2 or scores.numel() == 0:
        raise UserError(f"Scores over time must be (N, T), not {tuple(scores.shape)}.")
    return scores.where(scores.isfinite(), torch.nan).nanmean(0)


@dataclass(frozen=True)
class ClipNetwork:
    """A frozen feature network for clips.

    Args:
        name: Short lower-case name; scores are named after it.
        describe: Function from clips (N, T, C, H, W) in uint8 to features (N, d); scales and resizes itself.
        frames: Smallest number of frames that it takes.
        sha256: Hash of its weights' file, if there is one.
    """

    name: str
    describe: Callable[[Tensor], Tensor]
    frames: int
    sha256: str | None = None

    @property
    def metric(self) -> str:
        """Name of the Frechet distance on its features; FVD is that of one particular I3D."""
        return f"fd-clips-{self.name}"

    def identity(self) -> dict[str, Any]:
        """The network's entries in a protocol."""
        return {"network": self.name, "sha256": self.sha256, "frames": self.frames}


@torch.no_grad()
def clip_moments(clips: Tensor, network: ClipNetwork, batch_size: int = 16) -> Moments:
    """Mean and covariance of a network's features of clips, computed ``batch_size`` clips at a time.

    Raises:
        UserError: Too few clips or frames, or features that are not (N, d) and finite.
    """
    _require_clips(clips)
    if clips.shape[1] < network.frames:
        raise UserError(
            f"{network.name} takes clips of {network.frames} frames or more and these have {clips.shape[1]}; "
            f"generate longer clips or use another network."
        )
    moments = None
    for part in torch.split(clips, batch_size):
        features = network.describe(part)
        if features.ndim != 2 or len(features) != len(part):
            raise UserError(
                f"{network.name} returned features {tuple(features.shape)} for {len(part)} clips; it must "
                f"return (N, d)."
            )
        moments = moments or Moments(features.shape[1])
        moments.update(features)
    assert moments is not None  # there is at least one clip
    return moments


def frechet_clip_distance(
    generated: Tensor, real: Tensor, network: ClipNetwork, batch_size: int = 16
) -> float:
    """Frechet distance between features of clips: the form of FVD (Unterthiner et al. 2018).

    The score is called ``network.metric``. It is comparable only for equal length, size, frame rate and
    number of clips: these belong in the protocol.

    Args:
        generated: (N, T, C, H, W) uint8.
        real: (M, T, C, H, W) uint8.
        network: Feature network of the clips.
        batch_size: Clips per forward pass.
    """
    if generated.shape[1:] != real.shape[1:]:
        raise UserError(
            f"Clips of (T, C, H, W) {tuple(generated.shape[1:])} and {tuple(real.shape[1:])} cannot be "
            f"compared; cut or resize the real ones to the shape of the generated ones."
        )
    return frechet_distance(
        clip_moments(generated, network, batch_size), clip_moments(real, network, batch_size)
    )


def _require_clips(clips: Tensor) -> None:
    if clips.ndim != 5 or clips.numel() == 0:
        raise UserError(f"Clips must be (N, T, C, H, W), at least one, not {tuple(clips.shape)}.")
    require_bytes(clips.flatten(0, 1))


def _frames(predicted: Tensor, true: Tensor, moving: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """All frames as images (N T, C, H, W), and their masks."""
    _require_clips(predicted)
    _require_clips(true)
    if predicted.shape != true.shape:
        raise UserError(
            f"Predicted and true clips must have one shape (N, T, C, H, W), not {tuple(predicted.shape)} and "
            f"{tuple(true.shape)}; cut the longer ones."
        )
    if moving is None:
        return predicted.flatten(0, 1), true.flatten(0, 1), None
    wanted = (*true.shape[:2], 1, *true.shape[3:])
    if moving.shape != wanted or not ((moving == 0) | (moving == 1)).all():
        raise UserError(f"moving must be {wanted} of 0 and 1, not {tuple(moving.shape)}; see moving_pixels.")
    return predicted.flatten(0, 1), true.flatten(0, 1), moving.flatten(0, 1)


def _edge_error(a: Tensor, b: Tensor, luma: bool) -> Tensor:
    """Difference of edges (H - 1, W - 1) of two images (C, H, W) in grey levels, mean over channels."""
    edges = []
    for picture in (a, b):
        x = similarity.luma(picture[None])[0] if luma else picture.double()
        edges.append((x[:, 1:, 1:] - x[:, :-1, 1:]).abs() + (x[:, 1:, 1:] - x[:, 1:, :-1]).abs())
    return (edges[0] - edges[1]).abs().mean(0)
