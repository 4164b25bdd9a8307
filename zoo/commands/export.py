"""Export a training checkpoint as safetensors with a description, to keep, move and use.

The folder holds model.safetensors (the generator) and model.json (class, hyper-parameters, preprocessing,
licences, recipe, command, commit, seed, results, and a fixed sample that can be reproduced and compared).
`zoo sample` and `zoo.load` open it without running code from it.

`--to onnx` writes model.onnx instead, from a checkpoint, a run, or weights by name or folder: bytes in and
out, any size, with model.json in its metadata (docs/onnx.md). It is compared with PyTorch in ONNX Runtime.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.catalogue import is_exported, is_run
from zoo.errors import UsageError
from zoo.files.writing import require_writable
from zoo.use.paths import WEIGHT_FILES, given_path, refuse_taken

if TYPE_CHECKING:
    from zoo.checkpoints import Pretrained


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("checkpoint", type=Path, help="a .ckpt file, or a run folder: its newest")
    parser.add_argument("-o", "--out", type=given_path, required=True, help="the folder to write")
    parser.add_argument(
        "--to",
        choices=["safetensors", "onnx"],
        default="safetensors",
        help="file format (default: %(default)s)",
    )
    parser.add_argument(
        "--dtype",
        choices=["float32", "float16"],
        default="float32",
        help="dtype of the stored weights (default: %(default)s)",
    )
    parser.add_argument(
        "--players", choices=["generator", "both"], help="a GAN's players to keep (default: generator)"
    )
    parser.add_argument("--name", help="name of the weights (default: the folder's)")
    parser.add_argument("--title", help="one line for lists of weights (default: class and data)")
    parser.add_argument("--licence", help="licence of the weights (default: follows the data's)")
    parser.add_argument(
        "--results", type=Path, help="eval.json whose rows to keep (default: the run's rows of this step)"
    )
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        type=address,
        help="where the same files will be published, for the index (https://host/folder, hf://…, wandb://…)",
    )
    parser.add_argument("--force", action="store_true", help="replace weights in the folder")


def address(text: str) -> str:
    """A ``type`` for argparse: an address of published weights."""
    from zoo.files.schemas import SOURCE

    if not SOURCE.accepts(text):
        raise argparse.ArgumentTypeError(f"must be {SOURCE.expected}, got {text}")
    return text


def run(args: argparse.Namespace) -> int:
    """Write the folder and print what it holds."""
    if not args.checkpoint.exists() and not (args.to == "onnx" and is_exported(str(args.checkpoint))):
        raise UsageError(f"There is no checkpoint {args.checkpoint}.")
    if args.to == "onnx":
        return _run_onnx(args)
    refuse_taken([args.out / file for file in WEIGHT_FILES], args.force)
    if is_run(args.out):
        raise UsageError(f"{args.out} is the folder of a run; choose another -o.")
    require_writable(args.out / WEIGHT_FILES[0])
    done = _export(args, args.out)
    weights = done.config["weights"]
    print(
        f"Wrote {args.out}: {done.config['class']} of step {done.config['step']}, "
        f"{weights['bytes'] / 1e6:.1f} MB ({args.dtype}), {len(done.config['results'])} results, "
        f"licence {done.config['licence']['weights']}, sha256 {weights['sha256']}."
    )
    return 0


def _export(args: argparse.Namespace, out: Path) -> Pretrained:
    from zoo.adversarial import PLAYERS
    from zoo.checkpoints import export
    from zoo.training.resume import find_checkpoint

    return export(
        find_checkpoint(args.checkpoint, str(args.checkpoint)),
        out,
        dtype=args.dtype,
        players=PLAYERS if args.players == "both" else None,
        name=args.name or args.out.resolve().name,
        title=args.title,
        licence=args.licence,
        results=args.results,
        sources=args.source,
        force=args.force,
    )


def _run_onnx(args: argparse.Namespace) -> int:
    exported = is_exported(str(args.checkpoint))
    for option in ("players", *(("name", "title", "licence", "results", "source") if exported else ())):
        if getattr(args, option):
            why = "holds the generator" if option == "players" else "of exported weights keeps theirs"
            raise UsageError(f"An ONNX file {why}; leave --{option} out.")
    if args.dtype != "float32":
        raise UsageError(f"An ONNX file holds float32; leave --dtype {args.dtype} out.")
    target = args.out / "model.onnx"
    refuse_taken([target], args.force)
    require_writable(target)
    from zoo.checkpoints import load
    from zoo.files.onnx_writer import write_onnx

    with tempfile.TemporaryDirectory() as place:
        model = load(args.checkpoint) if exported else _export(args, Path(place) / "weights")
        config = write_onnx(model, target)
    facts, draws = config["onnx"], [draw["name"] for draw in config["onnx"]["draws"]]
    inputs = ", ".join([*facts["inputs"], *draws])
    levels = f"at most {facts['levels']} of 255 levels" if facts["levels"] else "in no level"
    print(
        f"Wrote {target}: {config['class']}, {target.stat().st_size / 1e6:.1f} MB, inputs {inputs}, licence "
        f"{config['licence']['weights']}; differs from PyTorch {levels} on two inputs."
    )
    return 0
