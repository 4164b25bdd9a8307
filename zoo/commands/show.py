"""Show one recipe, model, data set or checkpoint: what it is, its arguments, its card."""

from __future__ import annotations

import argparse
import ast
import difflib
import json
from pathlib import Path
from typing import Any

from zoo import recipes
from zoo.errors import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("name", metavar="NAME", help="a name that `zoo list` prints, or the path of a recipe")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--layers",
        action="store_true",
        help="for a model: its players' layers at the paper's size, as Markdown",
    )


def run(args: argparse.Namespace) -> int:
    """Print what is known of one name."""
    from zoo.commands.list import aligned

    entry = find(args.name)
    if args.layers:
        if entry["kind"] != "model":
            raise UserError(f"--layers goes with a model, and {args.name} is a {entry['kind']}.")
        print(layers(entry["class_path"]))
        return 0
    if args.json:
        print(json.dumps(entry, indent=2))
        return 0
    kind = entry.pop("kind")
    if kind == "recipe":
        print(f"Recipe {entry['name']} ({entry['path']})\n\n{entry['text']}", end="")
    elif kind == "checkpoint":
        rows = [(key, value if isinstance(value, str) else json.dumps(value)) for key, value in entry.items()]
        print(f"Checkpoint {entry['name']}\n\n{aligned(rows, indent='  ')}")
    else:
        given = entry["arguments"]
        told = [(a["name"], a["default"] or "(required)", a["help"]) for a in given]
        print(f"{kind.capitalize()} {entry['class_path']}\n\n{entry['doc']}\n")
        print("Arguments\n" + aligned(told, indent="  ") if told else "No arguments")
        if entry["card"]:
            print(f"\nCard: {entry['card']}")
    return 0


def find(name: str) -> dict[str, Any]:
    """What is known of ``name``, as plain values; ``kind`` says what it is.

    Raises:
        UserError: Nothing has this name; suggests the nearest.
    """
    from zoo.commands.list import checkpoints, data, models

    for entry in checkpoints():
        if entry["name"] == name:
            return {"kind": "checkpoint", **entry}
    for kind, folder, classes in (("model", "models", models()), ("data", "data", data())):
        for entry in classes:
            if name in (entry["name"], entry["module"], f"zoo.{folder}.{entry['module']}.{entry['name']}"):
                return {"kind": kind, **_class(folder, entry["module"], entry["name"])}
    known = [r.name for r in recipes.all_recipes()]
    known += [e["name"] for e in (*models(), *data(), *checkpoints())]
    try:
        path = recipes.find(name)
    except UserError:
        near = difflib.get_close_matches(name, known, 1, 0.4)
        hint = f"did you mean {near[0]}?" if near else "`zoo list` names all."
        raise UserError(f"Nothing in the zoo is called {name}; {hint}") from None
    text = path.read_text(encoding="utf-8")
    return {
        "kind": "recipe",
        "name": name,
        "path": str(path),
        "head": recipes.head_comment(path),
        "text": text,
    }


def _class(folder: str, module: str, name: str) -> dict[str, Any]:
    from zoo.commands.list import arguments, sources

    tree = dict(sources(folder))[module]
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    node = classes[name]
    init = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    texts = _argument_texts(ast.get_docstring(node) or "")
    card = Path(recipes.__file__).parent.parent / "docs" / "cards" / f"{module}.md"
    return {
        "name": name,
        "class_path": f"zoo.{folder}.{module}.{name}",
        "doc": f"{ast.get_docstring(tree) or ''}",
        "summary": (ast.get_docstring(node) or "").partition("\n\n")[0],
        "arguments": [
            {"name": argument, "type": annotation, "default": default, "help": texts.get(argument, "")}
            for argument, annotation, default in (arguments(init) if init else [])
        ],
        "card": str(card) if folder == "models" and card.is_file() else None,
    }


def _argument_texts(docstring: str) -> dict[str, str]:
    """What the ``Args:`` section says of each argument, in one line each."""
    lines = docstring.partition("Args:\n")[2].splitlines()
    texts: dict[str, str] = {}
    current = ""
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if not line.strip() or depth == 0:
            break
        if depth == 4:
            current, _, text = line.strip().partition(": ")
            texts[current] = text
        else:
            texts[current] += " " + line.strip()
    return texts


def layers(class_path: str) -> str:
    """Both players' layers that have parameters, with output shapes and counts, as Markdown tables.

    Args:
        class_path: Import path of a paper's class; it is built with the paper's values, for one sample.
    """
    import importlib

    import torch
    from torch import nn

    module, _, name = class_path.rpartition(".")
    model = getattr(importlib.import_module(module), name)()
    model.eval()
    with torch.no_grad():
        # super-resolution: what its discriminator's pictures were made smaller to
        side = model.hparams["size"] // model.hparams["scale"] if "scale" in model.hparams else 256
        picture = torch.zeros(1, getattr(model, "in_channels", 3), side, side)
        batch = {"input": picture, "instances": picture[:, 0].long()}
        texts = []
        for player in ("generator", "discriminator"):
            rows: list[tuple[str, str, str]] = []

            def note(layer: nn.Module, inputs: object, output: torch.Tensor, rows: Any = rows) -> None:
                count = sum(p.numel() for p in layer.parameters())
                if count:
                    rows.append((str(layer), "x".join(map(str, output.shape[1:])), f"{count:,}"))

            leaves = [layer for layer in getattr(model, player).modules() if not list(layer.children())]
            handles = [layer.register_forward_hook(note) for layer in leaves]
            fake = model.sample(1) if model.takes == "noise" else model.generate(batch)
            if player == "discriminator":
                model.discriminator_loss(batch | {"target": fake, "image": fake}, fake)
            for handle in handles:
                handle.remove()
            unique = list(dict.fromkeys(rows)) if player == "discriminator" else rows
            total = sum(p.numel() for p in getattr(model, player).parameters())
            lines = [f"| {' | '.join(row)} |" for row in unique]
            head = [f"**{player.capitalize()}**, {total:,} parameters", "", "| layer | output | parameters |"]
            texts.append("\n".join([*head, "|---|---|---|", *lines]))
    return "\n\n".join(texts)
