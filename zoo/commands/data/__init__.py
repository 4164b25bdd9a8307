"""Data sets: list, get, check a folder before training on it, show what it looks like, pack it for speed.

``check`` names every faulty file and prints a data block for a recipe; ``show`` draws a sheet of training
samples; ``pack`` decodes and resizes once. None of them changes a folder of data.
"""

from __future__ import annotations

import argparse
from types import ModuleType

from zoo.commands.data import bench, check, get, pack, show
from zoo.commands.data import list as list_

ACTIONS: dict[str, tuple[ModuleType, str]] = {
    "list": (list_, "name all sets and worlds, with licence and size, and what is here"),
    "get": (get, "download public sets, verified"),
    "check": (check, "name every faulty file and print a recipe's data block"),
    "show": (show, "draw a sheet of training samples, or a GIF of what moves"),
    "pack": (pack, "decode and resize once, for the fastest loading"),
    "bench": (bench, "time loading"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="|".join(ACTIONS))
    for name, (module, text) in ACTIONS.items():
        module.configure(actions.add_parser(name, help=text, description=module.__doc__))


def run(args: argparse.Namespace) -> int:
    """Run one action."""
    status: int = ACTIONS[args.action][0].run(args)
    return status
