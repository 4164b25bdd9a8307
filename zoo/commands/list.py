"""List the models, recipes, data sets and checkpoints of the zoo, and weights of others to convert."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from typing import Any

KINDS = ("models", "recipes", "data", "checkpoints", "others")
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
        "others": catalogue.foreign,
    }
    # on a terminal a line is a row; what reads a pipe gets all
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
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
        facts = [_facts(entry) if kind == "checkpoints" else () for entry in entries]
        terms = (TERMS[entry.get("research_only", False)] for entry in entries)
        rows = [
            (e["name"], *fact, term, e["title"], *([e["url"]] if kind == "others" else []))
            for e, fact, term in zip(entries, facts, terms, strict=True)
        ]
        print(("\n" if number else "") + f"{kind.capitalize()} ({len(entries)})")
        for line in (aligned(rows, indent="  ") if rows else "  none").splitlines():
            print(line if width is None or len(line) <= width else line[: width - 1] + "…")
    return 0


def _facts(entry: dict[str, Any]) -> tuple[str, str, str, str]:
    """A checkpoint's application, input, size and main score."""
    size = sum(file["bytes"] for file in entry.get("files", ()))
    return (
        entry.get("task", ""),
        entry.get("input", ""),
        f"{size / 1e6:.1f} MB" if size else "",
        entry.get("result", ""),
    )
