"""Make samples from noise, or translate pictures, with pretrained weights or a checkpoint.

A model of noise writes one sheet of samples if OUT is a picture file, single pictures if it is a folder.
A model of pictures takes picture files or folders of any size; 16-bit input gives 16-bit output. If it was
trained on label maps, give class numbers (palette or grey PNG) or the classes' colours. A model of
super-resolution keeps the channels of a picture, alpha among them, and takes video files too, frame by frame.
A label map can be edited first (pix2pixHD): --relabel car=tree, or '#26001=tree' for one instance of
--instances; --style car=2 for a style that was kept in training. The picture then shows both.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from zoo import use
from zoo.bounds import whole
from zoo.catalogue import find_weights, takes_of
from zoo.errors import UsageError, UserError
from zoo.files.writing import require_writable
from zoo.use.paths import NEEDS_INPUT, NEEDS_NONE, given_path, refuse_taken, require_inputs, require_output


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments, and those of each kind of input."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("name", help="a name of `zoo list checkpoints`, an exported folder, or a .ckpt file")
    parser.add_argument(
        "inputs", nargs="*", type=Path, metavar="INPUT", help="input files, or folders of them"
    )
    parser.add_argument("-o", "--out", type=given_path, required=True, help="a file, or a folder")
    parser.add_argument("--seed", type=whole(0, 2**32 - 1), default=0, help="seed (default: 0)")
    parser.add_argument("--force", action="store_true", help="overwrite existing files")
    for kind in use.kinds():
        if configure_kind := vars(kind).get("configure"):
            configure_kind(parser)


def run(args: argparse.Namespace) -> int:
    """Write the outputs and say where they are."""
    find_weights(args.name)
    require_inputs(args.inputs)
    takes = takes_of(args.name)
    if takes in ("noise", "picture"):
        require_output(args.out)
    if takes == "picture" and not args.inputs:
        raise UsageError(f"{args.name} {NEEDS_INPUT}")
    if takes == "noise" and (args.inputs or args.compare):
        raise UsageError(f"{args.name} {NEEDS_NONE}")
    if not args.out.is_dir():
        refuse_taken([args.out], args.force)
    require_writable(args.out)
    from zoo.checkpoints import load

    model = load(args.name)
    kinds = {kind.__name__.rpartition(".")[2]: vars(kind) for kind in use.kinds()}
    for kind in kinds.values():
        if "check" in kind:
            kind["check"](model, args)
    if "run" not in kinds.get(model.takes, {}):
        raise UserError(f"{args.name} takes {model.takes}, which this command cannot read.")
    wrote = kinds[model.takes]["run"](model, args)
    if model.config["data"].get("research_only"):
        print(f"{args.name} was trained on data for research only; so is what it makes.", file=sys.stderr)
    print(f"Wrote {wrote} to {args.out}.")
    return 0
