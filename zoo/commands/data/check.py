"""Check a folder before training on it: name every faulty file, and print a block for a recipe.

Nothing in the folder is changed.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.commands._names import reader
from zoo.data.contracts import CONTRACTS
from zoo.errors import UserError

if TYPE_CHECKING:
    from zoo.data.checks import Facts, Findings

NAMED = 50  # notes to print; the rest is counted


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this action's arguments."""
    parser.add_argument("folder", metavar="DIR", help="the folder")
    readable = [name for name, contract in CONTRACTS.items() if contract.readers]
    parser.add_argument("--contract", choices=readable, help="batch contract (default: recognised)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Check, and print what was found; exit status 1 if training would fail."""
    root = Path(args.folder)
    if not root.is_dir():
        raise UserError(f"There is no folder {root}; give a folder of samples.")
    from zoo.data.checks import compare

    found = reader(root, args.contract).check(root)
    compare(found)
    recipe = _recipe(root, found)
    if args.json:
        print(json.dumps(_as_json(root, found, recipe), indent=2))
    else:
        _print(root, found, recipe)
    return 1 if found.errors else 0


def _recipe(root: Path, found: Findings) -> str:
    """A recipe's data block for what was found; empty if nothing was."""
    import yaml

    if not any(found.samples.values()):
        return ""
    block = {"class_path": found.class_path, "init_args": {"root": str(root), **found.arguments}}
    return yaml.safe_dump({"data": block}, sort_keys=False)


def _as_json(root: Path, found: Findings, recipe: str) -> dict[str, Any]:
    return {
        "folder": str(root),
        "contract": found.contract,
        "layout": found.layout,
        "samples": found.samples,
        "pictures": {side: _summary([f for f in found.facts if f.side == side]) for side in found.sides},
        "errors": [fault._asdict() for fault in found.errors],
        "notes": [fault._asdict() for fault in found.notes],
        "recipe": recipe,
    }


def _summary(facts: list[Facts]) -> dict[str, Any]:
    from zoo.data.checks import by_size

    return {
        "sizes": {by_size(size): count for size, count in Counter(f.size for f in facts).most_common()},
        "channels": {str(k): count for k, count in Counter(f.channels for f in facts).most_common()},
        "bits": {str(k): count for k, count in Counter(f.bits for f in facts).most_common()},
        "lowest": min(f.low for f in facts),
        "highest": max(f.high for f in facts),
    }


def _print(root: Path, found: Findings, recipe: str) -> None:
    counts = ", ".join(f"{count} {split}" for split, count in found.samples.items())
    print(f"{root}: {found.contract} ({found.layout})")
    print(f"  readable   {counts}")
    for side in found.sides:
        facts = _summary([f for f in found.facts if f.side == side])
        sizes = list(facts["sizes"].items())
        shown = ", ".join(f"{size} ({count})" if len(sizes) > 1 else size for size, count in sizes[:4])
        more = f" and {len(sizes) - 4} other sizes" if len(sizes) > 4 else ""
        channels, bits = (" or ".join(facts[key]) for key in ("channels", "bits"))
        values = f"values {facts['lowest']} to {facts['highest']}"
        print(f"  {side:10} {shown}{more}; {channels} channels, {bits} bit, {values}")
    if found.errors:
        print(f"\nErrors ({len(found.errors)}), to be fixed before training:")
        for fault in found.errors:
            print(f"  {fault.text}")
    if found.notes:
        print(f"\nNotes ({len(found.notes)}); training works, but look:")
        for fault in found.notes[:NAMED]:
            print(f"  {fault.text}")
        if len(found.notes) > NAMED:
            print(f"  … and {len(found.notes) - NAMED} more; --json names all.")
    if recipe:
        print(f"\nFor a recipe:\n\n{recipe}", end="")
