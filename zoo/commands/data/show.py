"""Draw training samples of a folder, a recipe or a data class: a sheet, or a GIF of what moves."""

from __future__ import annotations

import argparse
from pathlib import Path

from zoo.bounds import whole
from zoo.commands import _names
from zoo.errors import UsageError, UserError
from zoo.files.writing import require_writable


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this action's arguments."""
    parser.add_argument(
        "source",
        metavar="DIR|RECIPE|CLASS",
        help="a folder, a recipe, or a class as `zoo list data` names it",
    )
    parser.add_argument("-o", "--out", required=True, help="the picture to write: .png, .jpg, or .gif")
    parser.add_argument("-n", "--number", type=whole(1), default=16, help="samples (default: 16)")
    parser.add_argument("--root", help="the folder to use in place of the recipe's data.root")
    parser.add_argument("--force", action="store_true", help="overwrite OUT")


def run(args: argparse.Namespace) -> int:
    """Draw the samples."""
    out, source = Path(args.out), Path(args.source)
    if out.suffix.lower() not in (".png", ".jpg", ".jpeg", ".gif"):
        raise UsageError(f"Cannot draw into {out}; end its name with .png, .jpg or .gif.")
    if out.exists() and not args.force:
        raise UserError(f"{out} exists; choose another name or add --force.")
    require_writable(out)
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise UsageError(f"{out} lies inside the data's folder {source}; write the sheet somewhere else.")
    named = _names.data_or_folder(args.source, args.root)
    from zoo.files.films import write_gif
    from zoo.files.pictures import write_picture

    data = named.make()
    train = data.split("train")
    if train is None:
        raise UserError(f"{args.source} has no training split to show; give one that has.")
    number = min(args.number, len(train))
    samples = [train[0, i * len(train) // number] for i in range(number)]
    if out.suffix.lower() == ".gif":
        write_gif(out, data.film(samples))
    else:
        write_picture(out, data.sheet(samples))
    print(f"{out}: {number} of {len(train)} training samples of {args.source}")
    return 0
