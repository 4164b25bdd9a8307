"""Scores of checkpoints and folders: what `zoo eval SUBJECT` does."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo import recipes
from zoo.commands import _names
from zoo.errors import UsageError, UserError
from zoo.files.writing import require_writable

if TYPE_CHECKING:
    import torch

    from zoo.checkpoints import Pretrained
    from zoo.data.base import DataModule, Split
    from zoo.features.network import FeatureNetwork
    from zoo.metrics.scoring.protocols import Protocol, Resize
    from zoo.metrics.scoring.subjects import Pictures

MOST = 10_000  # generated pictures when nobody says how many


class Subject(NamedTuple):
    """Something to score."""

    name: str
    model: Pretrained | None  # None for a folder
    folder: Path  # of pictures; of a model's run, or where it lies


def run(args: argparse.Namespace) -> int:
    """Score every subject and print one table."""
    for name in args.subjects:
        if args.subjects.count(name) > 1:
            raise UsageError(f"{name} is named twice; name it once.")
    from zoo.metrics.scoring.protocols import protocol

    protocols = [protocol(name) for name in dict.fromkeys(args.protocol or ["fid-tf"])]
    asked = [_names.subject(name) for name in args.subjects]
    real_data(args)
    from zoo.metrics.scoring.report import Row, record, recorded, side_by_side, strict, table
    from zoo.metrics.scoring.scores import measure

    subjects = [load_subject(one) for one in asked]
    targets = {
        one.name: args.out or (one.folder if one.model and (one.folder / "config.yaml").is_file() else None)
        for one in subjects
    }
    for target in filter(None, targets.values()):
        require_writable(target / "eval.json")
        recorded(target)  # a damaged file is named before anything is computed
    from zoo.pretrained import find_device

    device = find_device(args.device or "auto")
    networks = load_networks(protocols, args.weights, device)
    found: dict[str, list[Row]] = {}
    for one in subjects:
        real, made = sides(one, args, device)
        show, halvings = None if args.json else bar, args.halvings if args.floor else 0
        found[one.name] = measure(protocols, networks, real, made, show, halvings=halvings)
    side_by_side(found)  # refuses numbers that cannot stand together before anything is written
    if args.json:
        print(json.dumps({n: [strict(asdict(row)) for row in rows] for n, rows in found.items()}, indent=2))
    elif len(found) == 1:
        print(table(next(iter(found.values()))))
    else:
        print(side_by_side(found))
    for one in subjects:
        if target := targets[one.name]:
            record(target, found[one.name], one.model.config.get("step") or 0 if one.model else 0)
            print(f"Recorded in {target / 'eval.json'}.", file=sys.stderr)
    return 0


def load_subject(asked: _names.Subject) -> Subject:
    """Load what is to be scored.

    Raises:
        UserError: No checkpoint opens, or the weights are damaged.
    """
    from zoo.checkpoints import load
    from zoo.files.checkpoints import newest_checkpoint

    newest = newest_checkpoint(*asked.runs) if asked.runs else None
    if newest is not None:
        return Subject(asked.name, load(newest), newest.parent.parent)
    if asked.is_recipe:
        raise UserError(f"No checkpoint under {asked.folder} is valid; run zoo fit, or give a .ckpt.")
    return Subject(asked.name, load(asked.weights) if asked.weights else None, asked.folder)


def load_networks(
    protocols: list[Protocol], weights: str | None, device: torch.device
) -> dict[tuple[str, Resize | None], FeatureNetwork]:
    """Each network that the protocols ask for, once.

    Raises:
        UserError: A network is missing, or one file of weights is given for several networks.
    """
    from zoo.features.choose import feature_network

    keys = list(dict.fromkeys((p.network, p.resize) for p in protocols if p.network))
    if weights is not None and len({name for name, _ in keys}) > 1:
        names = ", ".join(sorted({name for name, _ in keys}))
        raise UserError(f"--weights is one network's file but {names} are asked for; score them apart.")
    return {(n, r): feature_network(n, weights, r).to(device).eval() for n, r in keys}


def sides(one: Subject, args: argparse.Namespace, device: torch.device) -> tuple[Pictures, Pictures]:
    """The real pictures and the ones to score.

    Raises:
        UserError: Data is missing or holds no pictures, or arguments do not go together.
    """
    import torch

    from zoo.checkpoints import portable
    from zoo.metrics.scoring.subjects import FolderPictures, NoisePictures, Translations

    if one.model is None:
        if args.against is None:
            raise UserError(f"{one.name} is a folder: say with --against what its pictures should be like.")
        made = FolderPictures(one.folder, args.samples, args.seed)
        return real_pictures(args, args.split or "test"), made
    noise = one.model.takes == "noise"
    split: Split = args.split or ("train" if noise else "test")
    data = None if noise and args.against is not None else own_data(one.model, args.root)
    step = one.model.config.get("step")
    about = {"pictures": f"generated by {portable(one.name)}", "step": step}
    about["ema"] = bool(one.model.config["hyper_parameters"].get("ema")) if one.model else False
    module = one.model.game.to(device).eval()
    if noise:
        if args.split is None and not is_folder(args.against):
            print(
                f"{one.name} is compared with the training split; --split test is of held-out pictures.",
                file=sys.stderr,
            )
        real = real_pictures(args, split, data)
        count = min(len(real), MOST) if args.samples is None else args.samples
        return real, NoisePictures(one.model.sample, about, count, args.seed)
    assert data is not None
    about |= {"use": use} if (use := module.settings_in_use()) else {}
    samples = data.split(split)
    if samples is None:
        raise UserError(f"The data of {one.name} has no {split} split; choose another with --split.")
    translated = Translations(
        torch.no_grad()(module.generate), samples, about | {"split": split}, args.samples, args.seed, device
    )
    return real_pictures(args, split, data), translated


def is_folder(against: str | None) -> bool:
    """Whether ``--against`` names a folder of pictures."""
    return against is not None and Path(against).is_dir()


def real_data(args: argparse.Namespace) -> _names.Data | None:
    """The data that ``--against`` names; None for a folder of pictures, or if nothing is named."""
    if args.against is None or is_folder(args.against):
        return None
    return _names.data(args.against, args.root)


def real_pictures(args: argparse.Namespace, split: Split, own: DataModule | None = None) -> Pictures:
    """The real side: a folder, a recipe's or a class's data, or ``own``, what the model learned from."""
    from zoo.metrics.scoring.subjects import FolderPictures, SetPictures

    if is_folder(args.against):
        return FolderPictures(Path(args.against), args.real_samples, args.seed)
    named = real_data(args)
    data = own if named is None else named.make()
    assert data is not None
    return SetPictures.of(data, split, args.real_samples, args.seed)


def own_data(model: Pretrained, root: str | None) -> DataModule:
    """The data that a model learned from, as its checkpoint says.

    Raises:
        UserError: It does not say, or names a class that is not of this zoo.
    """
    origin = f"The recipe in {model.origin}"
    try:
        block = recipes.parse(model.config.get("recipe") or "", origin)["data"]
        path, arguments = str(block["class_path"]), dict(block.get("init_args") or {})
    except (UsageError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{model.origin} does not say what it learned from; name real pictures with --against."
        ) from error
    if not path.startswith("zoo.data."):
        raise UserError(f"{model.origin} learned from {path}, which is not of this zoo; use --against.")
    return _names.Data(model.origin, path, arguments | ({} if root is None else {"root": root})).make()


def bar(batches: Iterable[Any], total: int) -> Iterator[Any]:
    """Show on standard error how many pictures are done and how long the rest will take."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("pictures"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=total)
        for places, pictures in batches:
            yield places, pictures
            shown.advance(task, len(places))
