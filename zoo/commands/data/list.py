"""List the public data sets, with licence, size and what is here, and the zoo's own readers and drawn worlds.

A set is looked for as ``data/NAME`` and ``$ZOO_DATA/NAME``. Sources are read and nothing heavy is imported.
"""

from __future__ import annotations

import argparse
import ast
import json
from typing import Any

from zoo.commands.list import aligned, sources
from zoo.commands.list import data as readers
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
    public = [_entry(source) for source in SOURCES.values() if args.contract in (None, source.contract)]
    stated = _contracts()
    own = [
        {**entry, "contract": contract}
        for entry in readers()
        if args.contract in (None, contract := stated.get(entry["name"]))
    ]
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
    lines = [(e["name"], e["contract"] or "", e["title"]) for e in own]
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


def _contracts() -> dict[str, str]:
    """The contract of each data module, by the name of its class, as its source says."""
    found: dict[str, str] = {}
    parents: dict[str, list[str]] = {}
    for _, tree in sources("data"):
        for node in tree.body:
            if not isinstance(node, ast.ClassDef):
                continue
            parents[node.name] = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
            for line in node.body:
                targets = [line.target] if isinstance(line, ast.AnnAssign) else getattr(line, "targets", [])
                named = any(isinstance(target, ast.Name) and target.id == "contract" for target in targets)
                if (
                    named
                    and isinstance(line, ast.Assign | ast.AnnAssign)
                    and isinstance(line.value, ast.Constant)
                ):
                    found[node.name] = str(line.value.value)
    for name, bases in parents.items():
        found.setdefault(name, next((found[base] for base in bases if base in found), ""))
    return found
