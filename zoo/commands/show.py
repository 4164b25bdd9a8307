"""Show one recipe, model, data set or checkpoint: what it is, its arguments, its card."""

from __future__ import annotations

import argparse
import json
from typing import Any

from zoo.errors import UsageError


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
    from zoo.commands._names import find
    from zoo.drawing.tables import aligned

    entry = find(args.name)
    if args.layers:
        if entry["kind"] != "model":
            raise UsageError(f"--layers goes with a model, and {args.name} is a {entry['kind']}.")
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
        told = [(a["name"], a["default"] or "(required)", a["help"].replace("``", "`")) for a in given]
        print(f"{kind.capitalize()} {entry['class_path']}\n\n{entry['doc'].replace('``', '`')}\n")
        print("Arguments\n" + aligned(told, indent="  ") if told else "No arguments")
        if entry["card"]:
            print(f"\nCard: {entry['card']}")
    return 0


def layers(class_path: str) -> str:
    """Both players' layers that have parameters, with output shapes and counts, as Markdown tables.

    Args:
        class_path: Import path of a paper's class; it is built with the paper's values, for one sample.
    """
    import torch
    from torch import nn

    from zoo.catalogue import import_class

    model: Any = import_class(class_path)()
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
