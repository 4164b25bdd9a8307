"""Help of ``fit``, ``validate``, ``test`` and ``predict``, read from source text: torch is not imported."""

from __future__ import annotations

import re
import shutil
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import Any

from zoo import catalogue, recipes
from zoo.errors import UserError
from zoo.training.keys import TRAINER, recipe_files, resolve_names

WHAT = {
    "fit": "Train a recipe. Each run has a folder, runs/PAPER/RECIPE/ID.",
    "resume": "Continue a run in its folder, by its own config; options as of zoo fit change its budget.",
    "validate": "Run a recipe's validation on a checkpoint.",
    "test": "Run a recipe's evaluation: prints the numbers beside the paper's, and writes eval.json.",
    "predict": "Write the generator's images for a recipe's test split.",
}
EXAMPLES = {
    "fit": (
        "--config gan/digits",
        "--config pix2pix/scenes --resume auto --model.width 48",
        "--config gan/digits --seeds 0 1 2",
    ),
    "resume": ("runs/pix2pix/scenes/ID", "runs/pix2pix/scenes/ID --trainer.max_steps 4000"),
    "validate": ("--config pix2pix/scenes --ckpt_path last", "runs/pix2pix/scenes/ID"),
    "test": ("--config pix2pix/scenes --ckpt_path last", "runs/pix2pix/scenes/ID", "pix2pix-scenes"),
    "predict": ("--config pix2pix/scenes --ckpt_path last",),
}
OPTIONS = (
    (
        "--config RECIPE",
        "a name that `zoo list recipes` prints, or a YAML file; a later one is merged into it",
    ),
    ("--model.KEY VALUE", "an argument of the paper's class"),
    ("--data.KEY VALUE", "an argument of the data class, as --data.root FOLDER or --data.batch_size 4"),
    ("--trainer.KEY VALUE", "an argument of Lightning's trainer, as --trainer.max_steps 1000"),
    ("--model CLASS", "another class by its import path; likewise --data CLASS"),
    ("--seed_everything N", "seed of all random draws (default: the recipe's, else 0)"),
    (
        "--seeds N N …",
        "train with each seed in turn, run `zoo test` on each, and write mean ± deviation of its scores to "
        "eval.json of the group; with --resume auto finished seeds are skipped",
    ),
    ("--ckpt_path CKPT", "start from a checkpoint, a run folder, or `last`: the newest of this recipe"),
    ("--resume auto", "continue the newest run of the same recipe, seed, data and hyper-parameters, if any"),
    ("--wandb CHOICE", "auto (online with a key and a reachable host), online, offline or off"),
    ("--name, --tags, --notes", "of the W&B run"),
    ("--print_config", "print the resolved recipe"),
    ("--debug", "show tracebacks"),
    ("--help", "with --config RECIPE: its model's and data's arguments; --help all: every option there is"),
)
FIT_ONLY = ("--resume", "--seeds")
CODE = (
    "A recipe is code, as a script is: its class_path entries may name any class that is installed or in the "
    "current folder. Read recipes of strangers first."
)


def text(verb: str, arguments: list[str]) -> str:
    """The help of a verb; with a recipe, of its model's and data's arguments.

    Args:
        verb: The verb.
        arguments: The command line, recipes as files.
    """
    width = shutil.get_terminal_size().columns
    files = recipe_files(arguments)
    if files:
        return "\n\n".join(_of_class(section, files, width) for section in ("model", "data"))
    what = {"fit": "--config RECIPE", "resume": "RUN"}.get(verb, "--config RECIPE | RUN | WEIGHTS")
    lines = [f"usage: zoo {verb} {what} [options]", "", WHAT[verb], ""]
    lines += [f"  zoo {verb} {example}" for example in EXAMPLES[verb]]
    rows = [row for row in OPTIONS if verb == "fit" or row[0].split()[0] not in FIT_ONLY]
    return "\n".join([*lines, "", *_rows(rows, width), "", *textwrap.wrap(CODE, width)])


def options(arguments: list[str]) -> list[str]:
    """The options of a command line, with the arguments of its recipe's model and data."""
    found = [word.strip(",") for name, _ in OPTIONS for word in name.split() if word.startswith("--")]
    found = [name for name in found if not name.endswith(".KEY")]
    found += [f"--trainer.{key}" for key in catalogue.parameters(TRAINER) or ()]
    with suppress(UserError):
        files = recipe_files(resolve_names(arguments))
        for section in ("model", "data"):
            path, _ = _class(section, files)
            found += [f"--{section}.{key}" for key in catalogue.parameters(path) or ()]
    return found


def _class(section: str, files: list[Path]) -> tuple[str, dict[str, Any]]:
    """Import path and arguments of a recipe's model or data class."""
    path, given = "", dict[str, Any]()
    for file in files:
        block = recipes.read(file).get(section) or {}
        path = block.get("class_path", path)
        given |= block.get("init_args") or {}
    return path, given


def _rows(rows: Any, width: int) -> list[str]:
    """Two columns, the second wrapped."""
    left = max(len(name) for name, _ in rows) + 4
    lines = []
    for name, told in rows:
        first, *others = textwrap.wrap(told, max(width - left, 30)) or [""]
        lines += [f"  {name}".ljust(left) + first, *(" " * left + other for other in others)]
    return [line.rstrip() for line in lines]


def _plain(docstring: str) -> str:
    """A docstring's text without its markup."""
    return re.sub(r":\w+:(?=`)|`", "", docstring)


def _of_class(section: str, files: list[Path], width: int) -> str:
    """The arguments of a recipe's model or data class, with the recipe's values."""
    path, given = _class(section, files)
    if catalogue.find_class(path) is None or not path.startswith("zoo."):
        return f"{section.capitalize()} {path or '(none)'}"
    found = catalogue.describe(path)
    rows = []
    for argument in found["arguments"]:
        name, value = argument["name"], argument["default"] or "required"
        shown = f"{given[name]} (class: {value})" if name in given else value
        rows.append((f"--{section}.{name}", f"{_plain(argument['help'])} [{shown}]".strip()))
    for name, told in catalogue.option_texts(path).items():
        shown = f" [{given[name]}]" if name in given else ""
        rows.append((f"--{section}.{name}", f"{_plain(told)}{shown}".strip()))
    head = f"{section.capitalize()} {path}: {_plain(found['summary'])}"
    return "\n".join([*textwrap.wrap(head, width), "", *_rows(rows, width)]) if rows else head
