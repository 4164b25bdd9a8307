"""Convert another implementation's weights to the zoo's own.

FILE is the state dict of one player, as safetensors or as a torch file of tensors alone, plain or under one
of the usual keys: params_ema or ema_state_dict (averaged weights), else params or state_dict. Its network is
recognised by names and shapes. The result is a folder as `zoo export` writes it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from zoo.catalogue import classes, import_class
from zoo.errors import UsageError, UserError, nearest
from zoo.files.writing import require_writable
from zoo.use.paths import WEIGHT_FILES, given_path, refuse_taken

# keys under which training frameworks save a state dict; averaged weights before the last ones
WRAPPERS = ("params_ema", "ema_state_dict", "params", "state_dict")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    known = {path.split(".")[2] for path in classes("models")}
    parser.add_argument("file", type=Path, help="another implementation's weights (.safetensors, .pth, .pt)")
    parser.add_argument(
        "--as",
        dest="paper",
        required=True,
        metavar="PAPER",
        help=f"paper that they implement: {', '.join(sorted(known))}",
    )
    parser.add_argument("-o", "--out", type=given_path, required=True, help="folder to write")
    parser.add_argument("--licence", help="licence of the weights (default: research use only)")
    parser.add_argument("--force", action="store_true", help="replace weights that exist in the folder")


def run(args: argparse.Namespace) -> int:
    """Write the folder and print what was recognised."""
    if not args.file.is_file():
        raise UsageError(f"There is no file {args.file}; check the path.")
    papers = {path: path.split(".")[2] for path in classes("models")}
    if args.paper not in papers.values():
        hint = nearest(args.paper, papers.values(), f"there are {', '.join(papers.values())}.")
        raise UsageError(f"There is no paper {args.paper}; {hint}")
    refuse_taken([args.out / file for file in WEIGHT_FILES], args.force)
    require_writable(args.out / WEIGHT_FILES[0])
    from zoo.checkpoints import build, describe, portable, write
    from zoo.files.checkpoints import read_tensors
    from zoo.files.writing import sha256
    from zoo.guards import environment
    from zoo.references.matching import convert

    (class_path,) = (path for path, paper in papers.items() if paper == args.paper)
    state = read_tensors(args.file, WRAPPERS)
    try:
        found = convert(import_class(class_path), state)
    except UserError as error:
        raise UserError(f"{args.file}: {error}") from error
    module = build(class_path, found.arguments, {found.player: found.weights}, str(args.file))
    machine = environment()
    config = describe(module, found.arguments, {}) | {
        "source": {"file": args.file.name, "sha256": sha256(args.file)},
        "command": portable(" ".join(sys.argv)),
        "commit": machine["commit"],
        "environment": machine,
    }
    done = write(module, config, args.out, players=(found.player,), licence=args.licence, force=args.force)
    given = ", ".join(f"{key}={value}" for key, value in done.config["hyper_parameters"].items())
    print(f"Wrote {args.out}: the {found.player} of {class_path} ({given}).")
    return 0
