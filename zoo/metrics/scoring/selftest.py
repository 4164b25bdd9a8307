"""Accuracy of distances, measured on real images alone and on Gaussians of known distance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg

from zoo.errors import UserError
from zoo.features.network import FeatureNetwork
from zoo.metrics.formulas.frechet import Moments, frechet_distance
from zoo.metrics.formulas.kernel import whole_kernel_distance
from zoo.metrics.scoring.protocols import Protocol
from zoo.metrics.scoring.scores import AT_ONCE, Progress, collect
from zoo.metrics.scoring.subjects import Pictures
from zoo.seeds import mix

HALVINGS = 5  # random halves of the data
GAUSSIAN = (16, 0.5, 1.5)  # dimensions, shift and width of the known pair
COUNTS = (100, 1_000, 10_000)
LEAST = 32  # images: they are halved five times
Distance = Callable[[Tensor, Tensor], float]


def selftest(
    protocol: Protocol,
    network: FeatureNetwork,
    pictures: Pictures,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure a score where the true value is known.

    Args:
        protocol: Protocol of a Frechet or a kernel distance.
        network: Its feature network.
        pictures: Real images.
        seed: Seed of the halves.
        progress: Wrapper of the batches that shows a progress bar.

    Returns:
        ``known`` Gaussians (count, distance, truth); distances between random ``halves`` of the data, between
        the data and ``variants`` of it, and between two halves by ``numbers`` of images (count, distance).

    Raises:
        UserError: The protocol is not a distance, or there are too few images.
    """
    if protocol.metric not in ("fd", "kid"):
        raise UserError(
            f"The self-test takes distances, not {protocol.name}; give one such as fd-digits or kid-mnist."
        )
    if len(pictures) < LEAST:
        raise UserError(
            f"The self-test needs at least {LEAST} images and there are {len(pictures)}; give more."
        )
    distance: Distance = frechet if protocol.metric == "fd" else whole_kernel_distance
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
        "halves": [distance(*_halves(rows, seed + i)) for i in range(HALVINGS)],
        "variants": changed,
        "numbers": dependence(rows, distance, seed),
    }


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


def dependence(rows: Tensor, distance: Distance, seed: int) -> list[dict[str, float]]:
    """Distances between two halves of the data, by the number of images used of each."""
    a, b = _halves(rows, seed)
    counts = [len(a) // 2**k for k in range(4, -1, -1) if len(a) // 2**k >= 2]
    return [{"count": n, "distance": distance(a[:n], b[:n])} for n in counts]


def frechet(a: Tensor, b: Tensor) -> float:
    """Frechet distance of two sets of rows (N, d)."""
    return frechet_distance(Moments.of(a), Moments.of(b))


def _halves(rows: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(mix("halves", seed)))
    half = len(rows) // 2
    return rows[order[:half]], rows[order[half : 2 * half]]


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


VARIANTS = {
    "the same pictures": lambda pictures: pictures,
    "JPEG of quality 95": lambda pictures: _jpeg(pictures, 95),
    "JPEG of quality 75": lambda pictures: _jpeg(pictures, 75),
    "halved and enlarged": _smaller,
    "shifted by a pixel": lambda pictures: pictures.roll(1, 3),
}
