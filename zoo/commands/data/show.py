"""Draw training samples of a folder, a recipe or a data class: a sheet, or a GIF of what moves."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import UserError

if TYPE_CHECKING:
    from zoo.data.base import DataModule


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this action's arguments."""
    parser.add_argument(
        "source",
        metavar="DIR|RECIPE|CLASS",
        help="a folder, a recipe, or a class as `zoo list data` names it",
    )
    parser.add_argument("-o", "--out", required=True, help="the picture to write: .png, .jpg, or .gif")
    parser.add_argument("-n", "--number", type=int, default=16, help="samples (default: 16)")
    parser.add_argument("--root", help="the folder to use in place of the recipe's data.root")
    parser.add_argument("--force", action="store_true", help="overwrite OUT")


def run(args: argparse.Namespace) -> int:
    """Draw the samples."""
    from zoo.files.films import write_gif
    from zoo.files.pictures import write_picture

    out, source = Path(args.out), Path(args.source)
    if out.suffix.lower() not in (".png", ".jpg", ".jpeg", ".gif"):
        raise UserError(f"Cannot draw into {out}; end its name with .png, .jpg or .gif.")
    if out.exists() and not args.force:
        raise UserError(f"{out} exists; choose another name or add --force.")
    if args.number < 1:
        raise UserError(f"-n is {args.number}; give at least 1.")
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise UserError(f"{out} lies inside the data's folder {source}; write the sheet somewhere else.")
    data = folder_data(source) if source.is_dir() else named_data(args.source, args.root)
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


def folder_data(root: Path) -> DataModule:
    """The data module that reads a folder, with the arguments that its check would propose."""
    module, arguments = folder_arguments(root)
    made: DataModule = module(root=str(root), **arguments)
    return made


def folder_arguments(root: Path) -> tuple[Any, dict[str, Any]]:
    """The class that reads a folder, and what its check proposes.

    Raises:
        UserError: The check found an error.
    """
    import importlib

    from zoo.commands.data.check import reader

    checked = reader(root).check(root)
    if checked.errors:
        raise UserError(f"{checked.errors[0].text} `zoo data check {root}` names all that is wrong.")
    module, _, name = checked.class_path.rpartition(".")
    return getattr(importlib.import_module(module), name), checked.arguments


def named_data(name: str, root: str | None, options: dict[str, Any] | None = None) -> DataModule:
    """The data module of a recipe, or of a class given by import path or as ``zoo list data`` names it."""
    import importlib

    import yaml

    from zoo import recipes
    from zoo.commands.list import data as known
    from zoo.data.base import DataModule

    classes = {entry["name"]: f"zoo.data.{entry['module']}.{entry['name']}" for entry in known()}
    arguments: dict[str, Any] = {}
    path = classes.get(name, name)
    if path == name and not name.startswith("zoo."):
        block = (yaml.safe_load(recipes.find(name).read_text(encoding="utf-8")) or {}).get("data") or {}
        path, arguments = block.get("class_path", ""), dict(block.get("init_args") or {})
    if root is not None:
        arguments["root"] = root
    arguments |= options or {}
    module, _, attribute = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"{name} names no data class ({path or 'no data.class_path'}); `zoo list data` names all."
        ) from error
    if not (isinstance(found, type) and issubclass(found, DataModule)):
        raise UserError(f"{path} is no data class; `zoo list data` names all.")
    try:
        return found(**arguments)
    except TypeError as error:
        raise UserError(
            f"{path} cannot be made as {name} asks ({error}); give a recipe that sets what it needs."
        ) from error
