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
        print(checkpoint_page(entry))
    elif kind == "run":
        print(run_page(entry))
    else:
        given = entry["arguments"]
        told = [(a["name"], a["default"] or "(required)", a["help"].replace("``", "`")) for a in given]
        print(f"{kind.capitalize()} {entry['class_path']}\n\n{entry['doc'].replace('``', '`')}\n")
        print("Arguments\n" + aligned(told, indent="  ") if told else "No arguments")
        if entry["card"]:
            print(f"\nCard: {entry['card']}")
    return 0


def checkpoint_page(entry: dict[str, Any]) -> str:
    """What weights take and give, their scores, licence and data, how they were made and how to use them."""
    from zoo.catalogue import input_of
    from zoo.drawing.tables import aligned

    name, config = entry["name"], entry["config"]
    if config is None:  # weights that are not here yet
        rows = [(key, value if isinstance(value, str) else json.dumps(value)) for key, value in entry.items()]
        return f"Checkpoint {name}\n\n{aligned([row for row in rows if row[0] != 'config'], indent='  ')}"
    data, licence, weights = config["data"], config.get("licence", {}), config["weights"]
    example = config.get("example")
    rows = [
        ("task", entry.get("task", "")),
        ("takes", input_of(config)),
        ("gives", _given(config)),
        ("example", f"{example['file']} ({example['licence']})" if example else ""),
        ("size", f"{weights['bytes'] / 1e6:.1f} MB in {config.get('dtype', 'float32')}"),
        ("sha256", weights["sha256"]),
        ("licence", f"weights {licence.get('weights', 'unknown')}; code {licence.get('code', 'unknown')}"),
        ("data", f"{data.get('name', 'unknown')}, licence {data.get('licence') or 'unknown'}"),
        ("trained by", config.get("command") or ""),
        ("", f"commit {config.get('commit')}, seed {config.get('seed')}, {config.get('step')} steps"),
        ("class", config["class"]),
        ("card", _card(config["class"])),
    ]
    parts = [f"Checkpoint {name}: {config.get('title', '')}", aligned([r for r in rows if r[1]], indent="  ")]
    parts += filter(None, [_palette(data.get("preprocessing") or {}), _scores(config.get("results", []))])
    return "\n\n".join([*parts, _uses(name, config, example is not None)])


def run_page(entry: dict[str, Any]) -> str:
    """What a run trained, what it has, and how to use it."""
    from zoo.drawing.tables import aligned

    name, data = entry["name"], entry["data"]
    rows = [
        ("recipe", entry["recipe"]),
        ("class", str(entry["class"])),
        ("seed", str(entry["seed"])),
        ("data", f"{data.get('name', 'unknown')}, licence {data.get('licence') or 'unknown'}"),
        ("checkpoints", ", ".join(entry["checkpoints"]) or "none yet"),
    ]
    uses = [f"zoo {verb} {name}" for verb in ("resume", "test", "eval")]
    given = "" if entry["takes"] == "noise" else "INPUT "
    uses += [f"zoo sample {name} {given}-o OUT", f"zoo export {name} -o FOLDER"]
    parts = [f"Run {name}", aligned(rows, indent="  "), _scores(entry["results"])]
    return "\n\n".join(filter(None, [*parts, "Use\n" + "\n".join(f"  {line}" for line in uses)]))


def _given(config: dict[str, Any]) -> str:
    channels = config["hyper_parameters"].get("out_channels")
    return str(config.get("gives", "picture")) + (f", {channels} channels" if channels else "")


def _card(class_path: str) -> str:
    from zoo.catalogue import classes, describe

    return describe(class_path)["card"] or "" if class_path in classes("models") else ""


def _palette(data: dict[str, Any]) -> str:
    """The classes of a label map by number, with their colours."""
    from zoo.drawing.tables import aligned

    names = data.get("classes") or []
    if data.get("source") != "labels" or not names:
        return ""
    colours = data.get("colours") or [None] * len(names)
    rows = [
        (str(number), name, "" if colour is None else f"({', '.join(map(str, colour))})")
        for number, (name, colour) in enumerate(zip(names, colours, strict=False))
    ]
    return "Classes: give numbers, or the colours of all\n" + aligned(rows, indent="  ")


def _scores(results: list[dict[str, Any]]) -> str:
    """Scores of generated samples, those of real ones beside them, and what they depend on."""
    from zoo.drawing.tables import aligned, number, protocol

    beside = {row["metric"]: row for row in results if row["subject"] in ("real", "bicubic")}
    rows = [("metric", "value", "beside", "protocol")]
    for row in results:
        if row["subject"] == "generated":
            other = beside.get(row["metric"])
            against = f"{number(other)} ({other['subject']})" if other else ""
            rows.append((row["metric"], number(row), against, protocol(row)))
    return "Results\n" + aligned(rows, indent="  ") if len(rows) > 1 else ""


def _uses(name: str, config: dict[str, Any], has_example: bool) -> str:
    if config.get("takes") == "noise":
        lines = [f"zoo sample {name} -n 16 -o sheet.png", f'zoo.load("{name}")(n=16, seed=0)']
    elif config.get("takes") == "sentence":
        lines = [f'zoo sample {name} "A SENTENCE" -o sheet.png', f'zoo.load("{name}")("A SENTENCE", n=8)']
    elif config.get("takes") == "nothing":
        lines = [f"{_card(config['class']) or 'its card'} says how"]
    else:
        lines = [f"zoo sample {name} INPUT -o out.png", f'zoo.load("{name}")("input.png").save("out.png")']
        if has_example:
            lines.insert(0, f"zoo sample {name} -o out.png")
        if "instance_edges" in config["hyper_parameters"]:
            lines.append(f"zoo sample {name} INPUT -o both.png --relabel CLASS=CLASS --style CLASS=NUMBER")
    lines += [f"zoo test {name}"] * bool(config.get("results"))
    return "Use\n" + "\n".join(f"  {line}" for line in lines)


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
        text = torch.zeros(1, model.hparams.get("text_dim", 1))
        batch = {"input": picture, "instances": picture[:, 0].long(), "text": text}
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
                model.discriminator_loss(batch | {"target": fake, "image": fake, "wrong_image": fake}, fake)
            for handle in handles:
                handle.remove()
            unique = list(dict.fromkeys(rows)) if player == "discriminator" else rows
            total = sum(p.numel() for p in getattr(model, player).parameters())
            lines = [f"| {' | '.join(row)} |" for row in unique]
            head = [f"**{player.capitalize()}**, {total:,} parameters", "", "| layer | output | parameters |"]
            texts.append("\n".join([*head, "|---|---|---|", *lines]))
    return "\n\n".join(texts)
