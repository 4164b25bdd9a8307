"""Check a folder before training on it: name every faulty file, and print a block for a recipe.

Nothing in the folder is changed.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import recipes
from zoo.catalogue import import_class, parameters
from zoo.commands._names import reader
from zoo.commands._proposals import data_arguments, summary
from zoo.data.contracts import CONTRACTS
from zoo.errors import UsageError, printable

if TYPE_CHECKING:
    from zoo.data.checks import Findings

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
        raise UsageError(f"There is no folder {root}; give a folder of samples.")
    from zoo.data.checks import compare, passed_over

    found = reader(root, args.contract).check(root)
    compare(found)
    found.notes += passed_over(root)
    block, recipe = _recipe(root, found)
    if args.json:
        print(json.dumps(_as_json(root, found, block), indent=2))
    else:
        _print(root, found)
        _print_use(root, block, recipe, found.contract)
    return 1 if found.errors else 0


def _recipe(root: Path, found: Findings) -> tuple[str, str]:
    """The blocks of a recipe for what was found, and the recipe to run them with; empty if there is none."""
    import yaml
    from torch import Tensor

    if not any(found.samples.values()):
        return "", ""
    given = data_arguments(root, found)
    name, size, model = _fitting(found.class_path)
    if size and "size" in given:
        given["size"] = size  # what the recipe's networks take
    blocks: dict[str, Any] = {"data": {"class_path": found.class_path, "init_args": given}}
    if name and not found.errors:
        sample = import_class(found.class_path)(**given).split("train")[0]
        shapes = {key: list(value.shape) for key, value in sample.items() if isinstance(value, Tensor)}
        ends = (("in_channels", "input"), ("out_channels", "target"))
        fits: dict[str, Any] = {argument: shapes[key][0] for argument, key in ends if key in shapes}
        fits |= {"shape": shapes["image"]} if "image" in shapes else {}
        fits |= {"instance_edges": "instances" in shapes} if "labels" in shapes else {}
        blocks["model"] = {"init_args": {key: value for key, value in fits.items() if key in model}}
    return yaml.safe_dump(blocks, sort_keys=False), name


def _fitting(class_path: str) -> tuple[str, Any, list[str]]:
    """A recipe that trains on data of this class: its name, its images' size, its model's arguments.

    Small recipes go first, and those that need no earlier stage and no optional package.
    """
    found: list[tuple[bool, bool, str, Any, list[str]]] = []
    for recipe in recipes.all_recipes():
        content = recipes.read(recipe.path)
        data, model = content.get("data") or {}, content.get("model") or {}
        if data.get("class_path") == class_path:
            given = model.get("init_args") or {}
            needs = "init_from" in given or any("hed" in str(value) for value in given.values())
            size = (data.get("init_args") or {}).get("size")
            known = list(parameters(model["class_path"]) or {})
            found.append(("small" not in recipe.name, needs, recipe.name, size, known))
    return min(found, key=lambda one: one[:3])[2:] if found else ("", None, [])


def _as_json(root: Path, found: Findings, block: str) -> dict[str, Any]:
    return {
        "folder": str(root),
        "contract": found.contract,
        "layout": found.layout,
        "samples": found.samples,
        "pictures": {side: summary(found, side) for side in found.sides},
        "errors": [fault._asdict() for fault in found.errors],
        "notes": [fault._asdict() for fault in found.notes],
        "recipe": block,
    }


def _print(root: Path, found: Findings) -> None:
    counts = ", ".join(f"{count} {split}" for split, count in found.samples.items()) or "nothing"
    print(printable(f"{root}: {found.contract} ({found.layout})"))
    print(f"  readable   {counts}")
    for side in found.sides:
        facts = summary(found, side)
        sizes = list(facts["sizes"].items())
        shown = ", ".join(f"{size} ({count})" if len(sizes) > 1 else size for size, count in sizes[:4])
        more = f" and {len(sizes) - 4} other sizes" if len(sizes) > 4 else ""
        channels, bits = (" or ".join(facts[key]) for key in ("channels", "bits"))
        channels += " channel" if channels == "1" else " channels"
        values = f"values {facts['lowest']} to {facts['highest']}"
        print(f"  {side:10} {shown}{more}; {channels}, {bits} bit, {values}")
    if found.errors:
        print(f"\nErrors ({len(found.errors)}), to be fixed before training:")
        for fault in found.errors:
            print(printable(f"  {fault.text}"))
    if found.notes:
        print(f"\nNotes ({len(found.notes)}); training works, but look:")
        for fault in found.notes[:NAMED]:
            print(printable(f"  {fault.text}"))
        if len(found.notes) > NAMED:
            print(f"  … and {len(found.notes) - NAMED} more; --json names all.")


def _print_use(root: Path, block: str, recipe: str, contract: str) -> None:
    if not block:
        return
    file, folder = (shlex.quote(printable(word)) for word in (f"{root.resolve().name}.yaml", str(root)))
    print(f"\nSave this as {file}, with the licence of your data:\n\n{block}", end="")
    if recipe:
        print(f"\nand train on it:\n\n  zoo fit --config {recipe} --config {file}")
        print(f"\nor write a whole recipe:\n\n  zoo init {folder} --like {recipe}")
    else:
        like = [each.name for each in recipes.all_recipes() if _trains_on(each, contract)]
        named = f"one of {', '.join(like)}" if like else "one of another kind, if its networks take such data"
        print(f"\nNo recipe of the zoo names such a folder; `zoo init {folder} --like RECIPE` fits {named}.")


def _trains_on(recipe: recipes.Recipe, contract: str) -> bool:
    data = recipes.read(recipe.path).get("data") or {}
    return str(data.get("class_path")).startswith(f"zoo.data.{contract}.")
