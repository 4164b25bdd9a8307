"""Speed of the metrics beside torch-fidelity's, with random weights: what `zoo eval --bench` shows."""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from zoo.errors import UserError

PICTURES, SIDE, AT_ONCE = 500, 64, 50
ROWS = 5_000  # features a side, for the distance
TURNS = 3  # of the distance
Contestants = dict[str, Callable[[Any], Any]]


def run(args: argparse.Namespace) -> int:
    """Time both, taking turns batch by batch, and compare what they say."""
    import torch

    from zoo.features.inception import Inception, InceptionV3
    from zoo.metrics.formulas.frechet import Moments, frechet_distance

    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        from torch_fidelity.metric_fid import fid_statistics_to_metric
    except ImportError as error:
        raise UserError("This compares with torch-fidelity: pip install torch-fidelity.") from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.pth"
        torch.manual_seed(args.seed)
        torch.save(InceptionV3().state_dict(), path)
        ours = Inception("tf1", path)
        theirs = FeatureExtractorInceptionV3("reference", ["2048"], feature_extractor_weights_path=str(path))
    generator = torch.Generator().manual_seed(args.seed)
    pictures = torch.randint(0, 256, (PICTURES, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    networks: Contestants = {
        "zoo": lambda part: ours(part).features,
        "torch-fidelity": lambda part: theirs(part)[0],
    }
    with torch.inference_mode():
        for network in networks.values():
            network(pictures[:4])  # first calls allocate
        seconds, found = take_turns(networks, torch.split(pictures, AT_ONCE))
        pairs = zip(*found.values(), strict=True)
        worst = max(float((mine - other).abs().max() / other.abs().max()) for mine, other in pairs)
    rates = {name: AT_ONCE / taken for name, taken in seconds.items()}
    a, b = (torch.randn(ROWS, 2048, generator=generator).abs() * 0.4 + 0.05 * i for i in range(2))
    moments = Moments.of(a), Moments.of(b)
    numbers = [{"mu": m.mean.numpy(), "sigma": m.covariance.numpy()} for m in moments]
    key = "frechet_inception_distance"
    measures: Contestants = {
        "zoo": lambda _: frechet_distance(*moments),
        "torch-fidelity": lambda _: float(fid_statistics_to_metric(*numbers, verbose=False)[key]),
    }
    took, distances = take_turns(measures, range(TURNS))
    report: dict[str, Any] = {
        "pictures_per_s": rates,
        "extraction_ratio": rates["zoo"] / rates["torch-fidelity"],
        "largest_difference": worst,
        "distance_s": took,
        "distance_ratio": took["torch-fidelity"] / took["zoo"],
        "distances": {name: each[-1] for name, each in distances.items()},
    }
    print(json.dumps(report, indent=2) if args.json else _text(report))
    return 0


def take_turns(calls: Contestants, inputs: Iterable[Any]) -> tuple[dict[str, float], dict[str, list[Any]]]:
    """Median seconds of each call, and its results; the calls take turns on every input."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    found: dict[str, list[Any]] = {name: [] for name in calls}
    for given in inputs:
        for name, call in calls.items():
            start = time.perf_counter()
            found[name].append(call(given))
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken) for name, taken in seconds.items()}, found


def _text(report: dict[str, Any]) -> str:
    cells = [("", "pictures/s", "distance of 2,048 features", "its value")]
    for name in ("zoo", "torch-fidelity"):
        rate, took = report["pictures_per_s"][name], report["distance_s"][name]
        cells.append((name, f"{rate:.1f}", f"{took:.2f} s", f"{report['distances'][name]:.8g}"))
    from zoo.drawing.tables import aligned

    faster = f"{report['extraction_ratio']:.2f} and {report['distance_ratio']:.1f} times as fast"
    return (
        f"{aligned(cells, underlined=True)}\n{faster}; features differ by at most "
        f"{report['largest_difference']:.1e} of the largest ({PICTURES} random pictures of {SIDE} px, "
        f"random weights; medians of batches of {AT_ONCE} and of {TURNS} distances that take turns)."
    )
