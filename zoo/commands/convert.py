"""Convert a reference implementation's weights to the zoo's own.

FILE is a plain state dict of one player, as safetensors or as a torch file of tensors alone; the paper's
module knows the names. The result is a folder as `zoo export` writes it.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("file", type=Path, help="the reference's weights (.safetensors, .pth, .pt)")
    parser.add_argument(
        "--as", dest="paper", required=True, metavar="PAPER", help="whose names they are: pix2pix, gan"
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="the folder to write")
    parser.add_argument(
        "--licence", help="licence of the weights, by whoever gave them (default: research use only)"
    )
    parser.add_argument("--force", action="store_true", help="replace weights that lie there")


def run(args: argparse.Namespace) -> int:
    """Write the folder and say what was recognised."""
    from zoo.checkpoints import convert

    done = convert(args.file, args.paper, args.out, licence=args.licence, force=args.force)
    given = ", ".join(f"{key}={value}" for key, value in done.config["hyper_parameters"].items())
    player = done.config["players"][0]
    print(f"Wrote {args.out}: the {player} of {done.config['class']} ({given}).")
    return 0
