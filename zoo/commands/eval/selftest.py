"""How far scores may be off: what `zoo eval --selftest` shows, on real pictures alone."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

PLANTED_SCORES = ("grid-2", "grid-4", "static-patch", "colour", "flat-grid")


def run(args: argparse.Namespace) -> int:
    """Print the five tests, and draw them if a folder is given."""
    args.against = args.against or "Digits"
    from zoo.commands.eval.score import bar, load_networks, real_pictures
    from zoo.metrics.scoring.protocols import protocol
    from zoo.metrics.scoring.selftest import require_distance, selftest
    from zoo.pretrained import find_device

    asked = protocol((args.protocol or ["fd-digits"])[0])
    require_distance(asked)
    network = load_networks([asked], args.weights, find_device(args.device or "auto"))[
        asked.network, asked.resize
    ]
    pictures = real_pictures(args, args.split or "train")
    report = selftest(asked, network, pictures, args.seed, None if args.json else bar, args.halvings)
    print(json.dumps(report, indent=2) if args.json else _text(report))
    if args.out:
        _draw(report, args.out / "selftest.png")
        print(f"Drawn in {args.out / 'selftest.png'}.", file=sys.stderr)
    return 0


def _text(report: dict[str, Any]) -> str:
    from zoo.drawing.tables import aligned
    from zoo.metrics.scoring.selftest import GAUSSIAN

    def table(cells: Any) -> str:
        return aligned(cells, underlined=True)

    whole, halvings = report["numbers"][-1], report["halvings"]
    count, floor, spread = whole["count"], whole["distance"], whole["deviation"]
    known = [("samples", "measured", "true")]
    known += [(f"{k['count']:,}", f"{k['distance']:.4g}", f"{k['truth']:.4g}") for k in report["known"]]
    changed = [("change", report["score"])]
    changed += [(label, f"{value:.4g}") for label, value in report["variants"].items()]
    numbers = [("pictures", report["score"], "deviation")]
    numbers += [
        (f"{n['count']:,}", f"{n['distance']:.4g}", f"{n['deviation']:.2g}") for n in report["numbers"]
    ]
    faults = [("fault", *PLANTED_SCORES, "found")]
    for fault, about in report["planted"].items():
        scores = about["scores"]
        colours = [value for score, value in scores.items() if score.startswith("colour")]
        shown = scores | {"colour": max(colours, key=abs)}
        cells = (f"{shown[score]:+.2g}" if score in shown else "" for score in PLANTED_SCORES)
        faults.append((fault, *cells, ", ".join(about["found"]) or "nothing"))
    return "\n\n".join(
        [
            f"1. Two Gaussians of {GAUSSIAN[0]} dimensions, of known Frechet distance:\n{table(known)}",
            f"2. Random halves of the data, {count:,} pictures each: {floor:.4g} ± {spread:.2g} "
            f"({halvings} halvings). No generator can be shown to be better than this.",
            f"3. The pictures against themselves, changed:\n{table(changed)}",
            f"4. Two halves of the data, by the number of pictures taken of each, {halvings} halvings:\n"
            f"{table(numbers)}",
            "5. Artefacts planted in the pictures, beside the same pictures without them (none: every second "
            f"picture beside the others); a dB, a correlation, grey levels more:\n{table(faults)}",
            f"With {count:,} pictures of each side, numbers of {report['score']} that differ by less than "
            f"{2 * spread:.2g} (two deviations between halvings) say nothing, and numbers of different "
            "counts cannot be compared at all.",
        ]
    )


def _draw(report: dict[str, Any], path: Path) -> None:
    import io

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from zoo.files.writing import write_bytes

    figure, axes = pyplot.subplots(figsize=(5, 3.4), layout="constrained")
    counts, values = zip(*((n["count"], n["distance"]) for n in report["numbers"]), strict=True)
    axes.plot(counts, values, "o-", color="#33658a", label="two halves of the data")
    for label, value in list(report["variants"].items())[1:]:
        axes.axhline(value, color="#999999", linewidth=0.8)
        axes.annotate(label, (counts[0], value), fontsize=7, color="#666666", va="bottom")
    axes.set(xscale="log", xlabel="pictures of each side", ylabel=report["score"])
    axes.set_xticks(counts, [f"{count:,}" for count in counts], minor=False)
    axes.set_xticks([], minor=True)
    axes.legend(frameon=False)
    held = io.BytesIO()
    figure.savefig(held, format="png", dpi=120)
    pyplot.close(figure)
    write_bytes(path, held.getvalue())
