"""List the models, recipes, data sets and checkpoints of the zoo.

Sources are read with ``ast`` and never imported, so that the command answers at once, without torch.
"""

from __future__ import annotations

import argparse
import ast
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo import recipes
from zoo.errors import UserError

KINDS = ("models", "recipes", "data", "checkpoints")
TERMS = {True: "research only", False: "", None: "terms unknown"}  # None: the source does not say
Entry = dict[str, Any]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("kind", nargs="?", choices=KINDS, help="what to list (default: everything)")
    parser.add_argument("--commercial", action="store_true", help="leave out what is for research only")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print what the zoo holds."""
    collect = {"models": models, "recipes": recipe_entries, "data": data, "checkpoints": checkpoints}
    kinds = [args.kind] if args.kind else list(KINDS)
    found = {kind: collect[kind]() for kind in kinds}
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
        title = f"{kind[0].upper()}{kind[1:]}"
        print(("\n" if number else "") + f"{title} ({len(entries)})")
        print(aligned(rows, indent="  ") if rows else "  none")
    return 0


# ------------------------------------------------------------------------------------------------ the entries


def models() -> list[Entry]:
    """Every class of ``zoo/models`` that a recipe can name, with the first line of its paper's file."""
    return _classes("models")


def data() -> list[Entry]:
    """Every data module of ``zoo/data``; ``research_only`` is what its source says by default."""
    return _classes("data")


def recipe_entries() -> list[Entry]:
    """Every bundled recipe, with the first sentence of its head comment."""
    restricted = {f"zoo.data.{e['module']}.{e['name']}": e["research_only"] for e in data()}
    return [
        {
            "name": recipe.name,
            "title": first_sentence(recipe.head),
            "path": str(recipe.path),
            "research_only": _recipe_is_restricted(recipe.path, restricted),
        }
        for recipe in recipes.all_recipes()
    ]


def checkpoints() -> list[Entry]:
    """The entries of ``checkpoints/index.json``.

    Raises:
        UserError: The index is not what the zoo writes.
    """
    path = recipes.bundled("checkpoints") / "index.json"
    if not path.is_file():
        return []
    try:
        entries: list[Entry] = json.loads(path.read_text(encoding="utf-8"))["entries"]
        return [{**entry, "name": entry["name"], "title": entry["title"]} for entry in entries]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no index of checkpoints ({error!r}); restore it.") from error


def sources(folder: str) -> list[tuple[str, ast.Module]]:
    """Name and syntax tree of each module in ``zoo/<folder>``, by name; private ones are left out."""
    root = Path(recipes.__file__).parent / folder
    paths = sorted(
        path
        for path in root.glob("**/*.py")
        if not path.name.startswith("_") and path.parent.name != "worlds"
    )
    names = [
        path.relative_to(root).with_suffix("").parts[0] for path in paths
    ]  # a package stands for its files
    return [
        (name, ast.parse(path.read_text(encoding="utf-8"), str(path)))
        for name, path in zip(names, paths, strict=True)
    ]


def _classes(folder: str) -> list[Entry]:
    found = sources(folder)
    bases = {
        node.name: [ast.unparse(base).rpartition(".")[2] for base in node.bases]
        for _, tree in found
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }
    entries = []
    for module, tree in found:
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and _is_named_in_recipes(node.name, bases):
                entry = {"name": node.name, "title": first_line(node) or first_line(tree), "module": module}
                entries.append(entry if folder == "models" else {**entry, "research_only": _restricted(node)})
    return entries


def _is_named_in_recipes(name: str, bases: dict[str, list[str]]) -> bool:
    """Whether a class is a whole Lightning module or data module: what it derives from says so in the end.

    By the house's names, what ends in ``Module`` is there to be derived from.
    """
    if name.startswith("_") or name.endswith("Module"):
        return False
    above = list(bases[name])
    while above:
        base = above.pop()
        if base.endswith("Module") and base != "Module":
            return True
        above += bases.get(base, ())
    return False


def _restricted(node: ast.AST) -> bool | None:
    """What the source says of ``research_only`` (attribute, constant, default); None if it depends."""
    for child in ast.walk(node):
        if isinstance(child, ast.Assign) and ast.unparse(child.targets[0]) == "research_only":
            return ast.unparse(child.value) == "True"
        if isinstance(child, ast.Dict):
            for key, value in zip(child.keys, child.values, strict=True):
                if key and ast.unparse(key) == "'research_only'" and isinstance(value, ast.Constant):
                    return bool(value.value)
        if isinstance(child, ast.FunctionDef):
            for name, _, default in arguments(child):
                if name == "research_only" and default in ("True", "False"):
                    return default == "True"
    return None


def _recipe_is_restricted(path: Path, restricted: dict[str, bool | None]) -> bool | None:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        block = content["data"]
        stated = block.get("init_args", {}).get("research_only")
        return restricted.get(block["class_path"]) if stated is None else bool(stated)
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a recipe that can be read; mend it or take it away.") from error


# ------------------------------------------------------------------------------- what `zoo show` uses as well


def first_sentence(text: str) -> str:
    """The first sentence of a head comment, on one line."""
    return " ".join(text.split()).partition(". ")[0].rstrip(".")


def first_line(node: ast.Module | ast.ClassDef) -> str:
    """The first line of a docstring, or nothing."""
    return (ast.get_docstring(node) or "").partition("\n")[0]


def arguments(function: ast.FunctionDef) -> list[tuple[str, str, str]]:
    """Name, annotation and default of each argument but ``self``; no default means that it is required."""
    positional = function.args.posonlyargs + function.args.args
    missing: list[ast.expr | None] = [None] * (len(positional) - len(function.args.defaults))
    pairs = list(zip(positional, missing + list(function.args.defaults), strict=True))
    pairs += zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    return [
        (a.arg, ast.unparse(a.annotation) if a.annotation else "", ast.unparse(default) if default else "")
        for a, default in pairs
        if a.arg != "self"
    ]


def aligned(rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """Rows as text with columns of equal width; columns that are empty everywhere are dropped."""
    kept = [i for i in range(len(rows[0])) if any(row[i] for row in rows)]
    widths = [max(len(row[i]) for row in rows) for i in kept]
    lines = ["  ".join(row[i].ljust(w) for i, w in zip(kept, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(indent + line for line in lines)
