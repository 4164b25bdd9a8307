"""Artefacts of a set of images as rows of a report, and in plain words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch.distributed

from zoo.metrics.formulas.artefacts import Finding, Traces
from zoo.metrics.formulas.spectrum import LEAST
from zoo.metrics.scoring.report import Row
from zoo.metrics.scoring.subjects import Pictures, share

COLLAPSED = 0.25  # of the distance between two real images
REAL = {  # what the row of real images is, by the first word of a score
    "grid": "their own level, which is subtracted",
    "static": "the same patch",
    "colour": "their own level, which is subtracted",
    "flat": "the same areas",
}


def traced(
    pictures: Pictures, progress: Callable[[Iterable[Any], int], Iterable[Any]] | None = None
) -> Traces:
    """The traces of a set; each rank takes in its share.

    Args:
        pictures: The set.
        progress: Wrapper of the batches that shows a progress bar.
    """
    traces, batches = Traces(), pictures.batches(*share())
    for _, images in batches if progress is None else progress(batches, len(pictures)):
        traces.update(images)
    return gathered(traces)


def gathered(traces: Traces) -> Traces:
    """The sums of all ranks together, the same on each; ``traces`` if there is only one."""
    if share()[1] == 1:
        return traces
    shares: list[Any] = [None] * share()[1]
    torch.distributed.all_gather_object(shares, traces)
    whole = Traces()
    for each in shares:
        whole.merge(each)
    return whole


def unscored(traces: Traces) -> dict[str, str]:
    """Entries of a protocol: the scores that images of these sizes do not have."""
    found = {} if traces.has_grids else {"grids": f"no grid scores under {LEAST} px"}
    return found | ({} if traces.is_of_one_size else {"patches": "no static patch: several sizes"})


def rows(findings: list[Finding], protocol: dict[str, Any], of_real: dict[str, Any]) -> list[Row]:
    """Two rows per finding: of the generated images, and the real set's own.

    Args:
        findings: What :func:`zoo.metrics.formulas.artefacts.compare` found.
        protocol: What the scores of generated images depend on.
        of_real: The same of the real ones.
    """
    found = []
    for one in findings:
        found.append(Row(one.score, one.value, "generated", protocol, one.error))
        found.append(Row(one.score, one.real, "real", of_real | {"of": REAL[one.score.partition("-")[0]]}))
    return found


def verdicts(findings: list[Finding], times: float = 1.0) -> dict[str, str]:
    """What is wrong with the images in plain words, by topic; nothing within so many times the limits."""
    beyond: dict[str, list[Finding]] = {}
    for one in findings:
        if one.is_beyond(times):
            beyond.setdefault(one.score.partition("-")[0], []).append(one)
    said = {}
    if grids := beyond.get("grid"):
        which = ", ".join(f"{one.score[-1]} pixels: {one.excess:+.1f} dB" for one in grids)
        said["grid"] = (
            f"A fine grid lies over the images ({which} over the real ones). Transposed convolutions and "
            "strided discriminators leave one; try resizing before a convolution."
        )
    for one in beyond.get("static", ()):
        said["static"] = (
            f"The same patch is in every image ({one.where}: correlation {one.value:.2f}, of real images "
            f"{abs(round(one.real, 2)):.2f}). One activation may carry the statistics of an instance norm."
        )
    if shifts := beyond.get("colour"):
        which = ", ".join(f"{one.score.partition('-')[2]} {one.excess:+.0f}" for one in shifts)
        said["colour"] = f"The images are tinted ({which} grey levels from the real ones)."
    for one in beyond.get("flat", ()):
        said["flat"] = (
            f"Flat areas show a raster ({one.value:.2f} grey levels, in the real images {one.real:.2f})."
        )
    return said


def collapse(made: Traces, real: Traces) -> dict[str, str]:
    """The verdict on images that hardly differ, by topic; nothing if they differ."""
    ratio = made.distance[0] / (real.distance[0] or 1.0)
    if made.count < 2 or ratio >= COLLAPSED:
        return {}
    return {"diversity": f"The images have collapsed: they differ {ratio:.2f} times as much as real ones do."}
