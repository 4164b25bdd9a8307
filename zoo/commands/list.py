"""List the models, recipes, data sets and checkpoints of the zoo."""

from __future__ import annotations

import argparse
import json

KINDS = ("models", "recipes", "data", "checkpoints")
TERMS = {True: "research only", False: "", None: "terms unknown"}  # None: the source does not say


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("kind", nargs="?", choices=KINDS, help="what to list (default: everything)")
    parser.add_argument("--commercial", action="store_true", help="leave out what is for research only")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print what the zoo holds."""
    from zoo import catalogue
    from zoo.drawing.tables import aligned

    collect = {
        "models": catalogue.models,
        "recipes": catalogue.recipe_entries,
        "data": catalogue.data,
        "checkpoints": catalogue.checkpoints,
    }
    found = {kind: collect[kind]() for kind in ([args.kind] if args.kind else KINDS)}
    if args.commercial:
        found = {
            kind: [e for e in entries if e.get("research_only", False) is False]
            for kind, entries in found.items()
        }
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    for number, (kind, entries) in enumerate(found.items()):
        rows = [(e["name"], TERMS[e.get("research_only", False)], e["title"]) for e in entries]
        print(("\n" if number else "") + f"{kind.capitalize()} ({len(entries)})")
        print(aligned(rows, indent="  ") if rows else "  none")
    return 0
