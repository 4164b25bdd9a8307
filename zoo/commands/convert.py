"""Convert a reference implementation's weights to the zoo's own.

FILE is the state dict of one player, as safetensors or as a torch file of tensors alone, plain or under one
of the usual keys (state_dict, params_ema); the paper's module knows the names. The result is a folder as
`zoo export` writes it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.checkpoints import Pretrained


# what training frameworks keep a state dict under; averaged weights before the last ones
WRAPPERS = ("params_ema", "params", "state_dict")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("file", type=Path, help="the reference's weights (.safetensors, .pth, .pt)")
    parser.add_argument(
        "--as", dest="paper", required=True, metavar="PAPER", help="whose names they are (pix2pix)"
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--licence", help="of the weights, by whoever gave them (default: research use only)")
    parser.add_argument("--force", action="store_true", help="replace weights that lie there")


def run(args: argparse.Namespace) -> int:
    """Write the folder and say what was recognised."""
    done = convert(args.file, args.paper, args.out, licence=args.licence, force=args.force)
    given = ", ".join(f"{key}={value}" for key, value in done.config["hyper_parameters"].items())
    print(f"Wrote {args.out}: the {done.config['players'][0]} of {done.config['class']} ({given}).")
    return 0


def convert(
    path: Path, paper: str, out: Path, *, licence: str | None = None, force: bool = False
) -> Pretrained:
    """Export a reference implementation's weights of one player as the zoo's own.

    Args:
        path: The reference's state dict, safetensors or torch.
        paper: The paper whose module knows the names (``pix2pix``).
        out: The folder to write.
        licence: Of the weights, by whoever gave them.
        force: Replace weights that lie at ``out``.

    Raises:
        UserError: The file is not a state dict that the paper's module recognises.
    """
    from zoo.checkpoints import build, describe, is_paper_class, paper_module, portable, write
    from zoo.files.writing import sha256
    from zoo.guards import environment

    module = paper_module(paper)
    if "convert_reference" not in vars(module):
        raise UserError(f"The paper {paper} knows no reference weights to convert.")
    player, hparams, state = module.convert_reference(read_reference(path))
    classes = [name for name, value in vars(module).items() if is_paper_class(value, module.__name__)]
    assert len(classes) == 1, f"{module.__name__} must have one class of a game, has {classes}"
    built = build(f"{module.__name__}.{classes[0]}", hparams, {player: state}, str(path))
    machine = environment()
    config = describe(built, hparams, {}) | {
        "source": {"file": path.name, "sha256": sha256(path)},
        "command": portable(" ".join(sys.argv)),
        "commit": machine["commit"],
        "environment": machine,
    }
    return write(built, config, out, players=(player,), licence=licence, force=force)


def read_reference(path: Path) -> dict[str, Tensor]:
    """A plain state dict, as a reference implementation saves one: safetensors, or a torch file of tensors.

    Raises:
        UserError: The file is missing, damaged, or holds anything else.
    """
    import safetensors.torch
    import torch

    if not path.is_file():
        raise UserError(f"There is no file {path}; check the path.")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"{path} is not a whole, safe file of weights ({type(error).__name__}).") from error
    for key in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(
        isinstance(value, torch.Tensor) for value in content.values()
    ):
        raise UserError(
            f"{path} is no state dict of one network; save one with torch.save(net.state_dict(), …)."
        )
    return dict(content)
