"""Accuracy of distances, measured on real images alone and on Gaussians of known distance."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean, stdev
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg

from zoo.errors import UserError
from zoo.features.network import FeatureNetwork
from zoo.metrics.formulas.artefacts import PATCH, WINDOW, Traces, compare, flat_grid, flat_windows, raster
from zoo.metrics.scoring.artefacts import collapse, verdicts
from zoo.metrics.scoring.protocols import Protocol
from zoo.metrics.scoring.scores import AT_ONCE, DISTANCES, Progress, collect, frechet, halves
from zoo.metrics.scoring.subjects import Pictures

GAUSSIAN = (16, 0.5, 1.5)  # dimensions, shift and width of the known pair
COUNTS = (100, 1_000, 10_000)
LEAST = 32  # images: they are halved five times
PLANTED_IN = 400  # images
Distance = Callable[[Tensor, Tensor], float]


def selftest(
    protocol: Protocol,
    network: FeatureNetwork,
    pictures: Pictures,
    seed: int,
    progress: Progress | None = None,
    halvings: int = 100,
) -> dict[str, Any]:
    """Measure a score where the true value is known.

    Args:
        protocol: Protocol of a Frechet or a kernel distance.
        network: Its feature network.
        pictures: Real images.
        seed: Seed of the halves.
        progress: Wrapper of the batches that shows a progress bar.
        halvings: Number of random halvings, at least 2.

    Returns:
        ``known`` Gaussians (count, distance, truth); distances between the data and ``variants`` of it, and
        between random halves of the data by ``numbers`` of images (count, mean distance, deviation over the
        ``halvings``); the last of them are whole halves; and what :func:`planted` finds.

    Raises:
        UserError: The protocol is not a distance, or there are too few images.
    """
    require_distance(protocol)
    if len(pictures) < LEAST:
        raise UserError(
            f"The self-test needs at least {LEAST} images and there are {len(pictures)}; give more."
        )
    distance = DISTANCES[protocol.metric]
    # collecting for the kernel distance stores every feature
    rows = collect(pictures, network, frozenset({"kid"}), progress).rows
    changed = {
        label: distance(rows, _features(network, pictures, change)) for label, change in VARIANTS.items()
    }
    return {
        "score": protocol.title(network),
        "protocol": protocol.settings() | network.identity(),
        "pictures": pictures.facts(),
        "known": known_gaussians(),
        "variants": changed,
        "halvings": halvings,
        "numbers": dependence(rows, distance, seed, halvings),
        "planted": planted(pictures),
    }


def require_distance(protocol: Protocol) -> None:
    """Refuse a protocol that is no distance.

    Raises:
        UserError: It is none.
    """
    if protocol.metric not in DISTANCES:
        raise UserError(
            f"The self-test takes distances, not {protocol.name}; give one such as fd-digits or kid-mnist."
        )


def known_gaussians() -> list[dict[str, float]]:
    """Frechet distances between samples of two Gaussians whose distance is known, by number of samples."""
    dimension, shift, width = GAUSSIAN
    truth = dimension * (shift**2 + (width - 1) ** 2)
    random = torch.Generator().manual_seed(0)
    found = []
    for count in COUNTS:
        a, b = (torch.randn(count, dimension, generator=random, dtype=torch.float64) for _ in range(2))
        found.append({"count": count, "distance": frechet(a, b * width + shift), "truth": truth})
    return found


def dependence(rows: Tensor, distance: Distance, seed: int, halvings: int) -> list[dict[str, float]]:
    """Mean and deviation of distances between random halves, by the number of images used of each."""
    half = len(rows) // 2
    found = []
    for count in (half // 2**k for k in range(4, -1, -1)):
        if count >= 2:
            pairs = (halves(rows, seed + i) for i in range(halvings))
            values = [distance(a[:count], b[:count]) for a, b in pairs]
            found.append({"count": count, "distance": fmean(values), "deviation": stdev(values)})
    return found


def planted(pictures: Pictures) -> dict[str, dict[str, Any]]:
    """Artefact scores where the fault is known: planted in images, beside the same images without it.

    Args:
        pictures: Real images; about the first 400 are used.

    Returns:
        By fault, ``scores`` (the excess by name) and ``found`` (topics of the verdicts); the fault ``none``
        is every second image beside those between them.
    """
    clean, others, made = Traces(), Traces(), {fault: Traces() for fault in FAULTS}
    areas: dict[str, list[Tensor]] = {fault: [] for fault in FAULTS}
    first: Tensor | None = None
    for indices, batch in pictures.batches():
        for traces, rest in ((clean, 0), (others, 1)):
            if len(part := batch[indices % 2 == rest]):
                traces.update(part)
        part = batch[indices % 2 == 0]
        first = part[:1] if first is None or first.shape[1:] != batch.shape[1:] else first
        for fault, plant in FAULTS.items() if len(part) else ():
            made[fault].update(spoilt := plant(torch.cat([first, part]))[1:])
            areas[fault].append(flat_grid(spoilt, part))
        if clean.count >= PLANTED_IN // 2:
            break
    found = {}
    for fault, traces, real in [("none", others, clean), *((fault, made[fault], clean) for fault in made)]:
        findings = compare(traces, real) + raster(torch.cat(areas.get(fault, [torch.zeros(0, 2)])))
        said = verdicts(findings) | collapse(traces, real)
        found[fault] = {"scores": {one.score: one.excess for one in findings}, "found": list(said)}
    return found


def _features(network: FeatureNetwork, pictures: Pictures, change: Callable[[Tensor], Tensor]) -> Tensor:
    device = next(network.parameters()).device
    with torch.inference_mode():
        return torch.cat(
            [
                network(change(part).to(device)).features.float().cpu()
                for _, batch in pictures.batches()
                for part in torch.split(batch, AT_ONCE)
            ]
        )


def _smaller(pictures: Tensor) -> Tensor:
    height, width = pictures.shape[2:]
    half = (max(height // 2, 1), max(width // 2, 1))
    small = F.interpolate(pictures.float(), half, mode="bilinear", antialias=True)
    return F.interpolate(small, (height, width), mode="bilinear").round().clamp(0, 255).byte()


def _jpeg(pictures: Tensor, quality: int) -> Tensor:
    mode = ImageReadMode.GRAY if pictures.shape[1] == 1 else ImageReadMode.RGB
    return torch.stack([decode_jpeg(encode_jpeg(picture.cpu(), quality), mode) for picture in pictures])


def _bright(values: Tensor) -> Tensor:
    return values.clamp(0, 255).byte()


def _checked(pictures: Tensor, period: int, levels: int) -> Tensor:
    """Every ``period``-th pixel of every ``period``-th row raised."""
    found = pictures.int()
    found[..., ::period, ::period] += levels
    return _bright(found)


def _burnt(pictures: Tensor) -> Tensor:
    """The same noise in the upper left corner of each, up to 32 pixels wide."""
    found = pictures.int()
    corner = found[..., : max(found.shape[2] // 4, 4), : max(found.shape[3] // 4, 4)][..., :PATCH, :PATCH]
    corner += torch.randint(-60, 60, corner.shape[2:], generator=torch.Generator().manual_seed(0))
    return _bright(found)


def _tinted(pictures: Tensor) -> Tensor:
    found = pictures.int()
    found[:, 0] += 12
    return _bright(found)


def _rastered(pictures: Tensor) -> Tensor:
    """Every fourth pixel of every fourth row raised, where 16x16 pixels are flat."""
    flat = torch.zeros_like(pictures[:, :1], dtype=torch.int32)
    windows = flat_windows(pictures).int().repeat_interleave(WINDOW, 1).repeat_interleave(WINDOW, 2)
    flat[:, 0, : windows.shape[1], : windows.shape[2]] = windows
    flat[..., torch.arange(flat.shape[2]) % 4 > 0, :] = 0
    flat[..., torch.arange(flat.shape[3]) % 4 > 0] = 0
    return _bright(pictures.int() + 8 * flat)


VARIANTS = {
    "the same pictures": lambda pictures: pictures,
    "JPEG of quality 95": lambda pictures: _jpeg(pictures, 95),
    "JPEG of quality 75": lambda pictures: _jpeg(pictures, 75),
    "halved and enlarged": _smaller,
    "shifted by a pixel": lambda pictures: pictures.roll(1, 3),
}
FAULTS: dict[str, Callable[[Tensor], Tensor]] = {
    "a checkerboard of 2 pixels, 16 grey levels": lambda pictures: _checked(pictures, 2, 16),
    "a grid of 4 pixels, 16 grey levels": lambda pictures: _checked(pictures, 4, 16),
    "a patch burnt into the corner": _burnt,
    "the first channel 12 grey levels higher": _tinted,
    "a raster of 8 grey levels in flat areas": _rastered,
    "one picture for all": lambda pictures: pictures[:1].expand_as(pictures),
}
