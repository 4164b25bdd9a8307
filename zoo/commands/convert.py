"""Convert another implementation's weights to the zoo's own.

FILE is the state dict of one player, as safetensors or as a torch file of tensors alone, plain or under one
of the usual keys (state_dict, params_ema). Its network is recognised by names and shapes. The result is a
folder as `zoo export` writes it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.catalogue import classes
from zoo.errors import UserError, nearest
from zoo.use.paths import WEIGHT_FILES, refuse_taken

if TYPE_CHECKING:
    from zoo.checkpoints import Pretrained


# keys under which training frameworks save a state dict; averaged weights before the last ones
WRAPPERS = ("params_ema", "params", "state_dict")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("file", type=Path, help="another implementation's weights (.safetensors, .pth, .pt)")
    parser.add_argument(
        "--as", dest="paper", required=True, metavar="PAPER", help="paper that they implement (pix2pix)"
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--licence", help="licence of the weights (default: research use only)")
    parser.add_argument("--force", action="store_true", help="replace weights that exist in the folder")


def run(args: argparse.Namespace) -> int:
    """Write the folder and print what was recognised."""
    if not args.file.is_file():
        raise UserError(f"There is no file {args.file}; check the path.")
    known = [path.split(".")[2] for path in classes("models")]
    if args.paper not in known:
        hint = nearest(args.paper, known, f"there are {', '.join(known)}.")
        raise UserError(f"There is no paper {args.paper}; {hint}")
    refuse_taken([args.out / file for file in WEIGHT_FILES], args.force)
    done = convert(args.file, args.paper, args.out, licence=args.licence, force=args.force)
    given = ", ".join(f"{key}={value}" for key, value in done.config["hyper_parameters"].items())
    print(f"Wrote {args.out}: the {done.config['players'][0]} of {done.config['class']} ({given}).")
    return 0


def convert(
    path: Path, paper: str, out: Path, *, licence: str | None = None, force: bool = False
) -> Pretrained:
    """Export another implementation's weights of one player as the zoo's own.

    Args:
        path: State dict of the other implementation, safetensors or torch.
        paper: Name of the paper's module (``pix2pix``).
        out: Folder to write.
        licence: Licence of the weights.
        force: Whether to replace weights that exist at ``out``.

    Raises:
        UserError: The file is not a state dict of a known implementation of this paper.
    """
    from zoo.checkpoints import build, describe, is_paper_class, paper_module, portable, write
    from zoo.files.checkpoints import read_tensors
    from zoo.files.writing import sha256
    from zoo.guards import environment
    from zoo.references.matching import convert as match

    module = paper_module(paper)
    classes = [value for value in vars(module).values() if is_paper_class(value, module.__name__)]
    assert len(classes) == 1, f"{module.__name__} must define one paper's class, defines {classes}"
    found = match(classes[0], read_tensors(path, WRAPPERS))
    class_path = f"{module.__name__}.{classes[0].__name__}"
    built = build(class_path, found.arguments, {found.player: found.weights}, str(path))
    machine = environment()
    config = describe(built, found.arguments, {}) | {
        "source": {"file": path.name, "sha256": sha256(path)},
        "command": portable(" ".join(sys.argv)),
        "commit": machine["commit"],
        "environment": machine,
    }
    return write(built, config, out, players=(found.player,), licence=licence, force=force)
