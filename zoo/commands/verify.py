"""Compare weights on this machine with their sizes and SHA-256.

Without NAME: all that came with the zoo or was downloaded. NAME is a name of `zoo list checkpoints`, an
address, or a folder that `zoo export` wrote.
"""

from __future__ import annotations

import argparse

from zoo.catalogue import checkpoints, find_weights
from zoo.errors import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", metavar="NAME", help="names, addresses or folders")


def run(args: argparse.Namespace) -> int:
    """Print a line for each.

    Raises:
        UserError: A file is damaged or missing; names the first.
    """
    from zoo.weights import faults, fetched, find

    damaged = []
    for name in args.names or [entry["name"] for entry in checkpoints()] + fetched():
        found = find(name, find_weights(name), ask=False)
        absent = f"{name} is not on this machine; `zoo download {name}` gets it."
        if not found.here and args.names:
            raise UserError(absent)
        if not found.here:
            print(absent)
        elif wrong := faults(found):
            damaged += [f"{fault}; {found.again}." for fault in wrong]
        else:
            print(f"{name} is as expected: {found.folder}")
    if damaged:
        others = f" ({len(damaged) - 1} more are damaged)" if len(damaged) > 1 else ""
        raise UserError(f"{damaged[0].removesuffix('.')}{others}.")
    return 0
