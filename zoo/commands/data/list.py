"""List the public data sets, with licence, size and what is here, and the zoo's own readers and drawn worlds.

A set is looked for as ``data/NAME`` and ``$ZOO_DATA/NAME``. Sources are read and nothing heavy is imported.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from zoo.data.sources import SOURCES, Source, contracts, find, terms


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this action's arguments."""
    parser.add_argument(
        "--contract", choices=(*contracts(), "points"), help="only what is read into these batches"
    )
    parser.add_argument("--commercial", action="store_true", help="leave out what is for research only")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print what there is."""
    from zoo import catalogue
    from zoo.drawing.tables import aligned

    public = [_entry(source) for source in SOURCES.values() if args.contract in (None, source.contract)]
    own = [entry for entry in catalogue.data() if args.contract in (None, entry["contract"])]
    if args.commercial:
        public = [entry for entry in public if not entry["research_only"]]
        own = [entry for entry in own if entry["research_only"] is False]
    if args.json:
        print(json.dumps({"public": public, "readers": own}, indent=2))
        return 0
    print(f"Public sets ({len(public)}): `zoo data get NAME` fetches one, or says how")
    rows = [(e["name"], e["contract"], e["terms"], e["size"], e["path"] or e["how"]) for e in public]
    print(aligned([("NAME", "CONTRACT", "TERMS", "SIZE", "WHERE"), *rows], indent="  ") if rows else "  none")
    print(f"\nReaders and drawn worlds ({len(own)}): name one in a recipe's data.class_path")
    lines = [(e["name"], e["contract"], e["title"]) for e in own]
    print(aligned(lines, indent="  ") if lines else "  none")
    return 0


def _entry(source: Source) -> dict[str, Any]:
    from zoo.files.downloads import readable

    found = find(source)
    return {
        "name": source.name,
        "contract": source.contract,
        "title": source.title,
        "licence": source.licence,
        "research_only": source.research_only,
        "terms": terms(source),
        "size_bytes": source.size_bytes,
        "size": readable(source.size_bytes) if source.size_bytes else "",
        "count": source.count,
        "how": " and ".join(["to get"] * bool(source.files) + ["by hand"] * bool(source.by_hand)),
        "path": str(found) if found else None,
    }
