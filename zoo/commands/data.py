"""Check a folder of pictures before training on it, or show what a data set looks like.

``check`` names every file that training would stumble over and prints a block for a recipe; ``show`` draws a
sheet of training samples. Neither changes anything in the folder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from zoo.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from zoo.data.base import DataModule

SPLITS: tuple[Literal["train", "val", "test"], ...] = ("train", "val", "test")
NAMED = 50  # files that a note names before it counts the rest


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="check|show")
    check = actions.add_parser("check", help="name every faulty file and print a recipe's data block")
    check.add_argument("folder", metavar="DIR", help="a folder of pictures or of pairs")
    check.add_argument(
        "--contract", choices=("images", "pairs"), help="what it holds (default: by its looks)"
    )
    check.add_argument("--json", action="store_true", help="print JSON")
    show = actions.add_parser("show", help="draw a sheet of training samples")
    show.add_argument(
        "source",
        metavar="DIR|RECIPE|CLASS",
        help="a folder, a recipe, or a class as `zoo list data` names it",
    )
    show.add_argument("-o", "--out", required=True, help="the picture to write, .png or .jpg")
    show.add_argument("-n", "--number", type=int, default=16, help="samples (default: 16)")
    show.add_argument("--root", help="the folder to use in place of the recipe's data.root")
    show.add_argument("--force", action="store_true", help="overwrite OUT")


def run(args: argparse.Namespace) -> int:
    """Check or show."""
    return _check(args) if args.action == "check" else _show(args)


# ------------------------------------------------------------------------------------------------------ check


class Fault(NamedTuple):
    """Something wrong or notable about one file.

    Args:
        file: The file, as it was found.
        text: What it is, a sentence that names the file.
    """

    file: str
    text: str


class Facts(NamedTuple):
    """What one readable picture is.

    Args:
        path: The file.
        side: ``image``, or ``A`` or ``B`` of a pair.
        size: Width and height.
        channels: Their number.
        bits: 8 or 16.
        low: The lowest value.
        high: The highest value.
        digest: Hash of shape and values.
    """

    path: Path
    side: str
    size: tuple[int, int]
    channels: int
    bits: int
    low: int
    high: int
    digest: str


@dataclass
class Findings:
    """All that a check found.

    Args:
        contract: ``images`` or ``pairs``.
        layout: How the folder is laid out.
        samples: Readable samples of each split.
        facts: One for each picture; two for each pair.
        errors: What training would stumble over.
        notes: What one should know.
    """

    contract: str
    layout: str
    samples: dict[str, int] = field(default_factory=dict)
    facts: list[Facts] = field(default_factory=list)
    errors: list[Fault] = field(default_factory=list)
    notes: list[Fault] = field(default_factory=list)


def _check(args: argparse.Namespace) -> int:
    root = Path(args.folder)
    if not root.is_dir():
        raise UserError(f"There is no folder {root}; give a folder of pictures.")
    contract = args.contract or guess_contract(root)
    found = _check_pairs(root) if contract == "pairs" else _check_images(root)
    _compare(found)
    recipe = _recipe(root, found)
    if args.json:
        print(json.dumps(_as_json(root, found, recipe), indent=2))
    else:
        _print(root, found, recipe)
    return 1 if found.errors else 0


def guess_contract(root: Path) -> str:
    """``pairs`` where two folders match or pictures are twice as wide as high, else ``images``."""
    from zoo.data.pairs import find_layout, pictures_in
    from zoo.files import read_array

    layout = find_layout(root)
    if layout != "halves":
        return "pairs" if layout else "images"
    for path in [p for split in SPLITS if (root / split).is_dir() for p in pictures_in(root / split)][:3]:
        try:
            height, width = read_array(path).shape[:2]
        except UserError:
            continue
        return "pairs" if width == 2 * height else "images"
    return "images"


def _check_pairs(root: Path) -> Findings:
    from zoo.data.pairs import EXPECTED, LAYOUTS, find_layout, match, pictures_in, read_pair, sides

    layout = find_layout(root)
    if layout is None:
        raise UserError(f"{root} holds no pairs; {EXPECTED}.")
    found = Findings("pairs", LAYOUTS[layout])
    for split in SPLITS:
        folders = sides(root, layout, split)
        if not any(folder.is_dir() for folder in folders):
            found.samples[split] = 0
            continue
        if len(folders) == 1:
            pairs: list[tuple[Path, ...]] = [(path,) for path in pictures_in(folders[0])]
        else:
            matches = match(*folders)
            pairs = matches.pairs
            for paths, other in ((matches.only_a, folders[1]), (matches.only_b, folders[0])):
                found.errors += [Fault(str(p), f"{p} has no single partner in {other}.") for p in paths]

        def examine(files: tuple[Path, ...]) -> list[Facts] | Fault:
            try:
                both = read_pair(files)
            except UserError as error:
                return Fault(str(files[-1] if str(files[-1]) in str(error) else files[0]), str(error))
            return [_facts(files[i % len(files)], "AB"[i], values) for i, values in enumerate(both)]

        _examine(found, split, pairs, examine)
        found.notes += _left_out(folders)
    _require_training(found, root, EXPECTED)
    return found


def _check_images(root: Path) -> Findings:
    from zoo.data.images import ImageFolder
    from zoo.files import read_array

    split_folders = (root / "train").is_dir()
    found = Findings(
        "images", "train, val and test" if split_folders else "one folder, some held out for test"
    )
    data = ImageFolder(str(root), hold_out=0)

    def examine(path: Path) -> list[Facts] | Fault:
        try:
            return [_facts(path, "image", read_array(path))]
        except UserError as error:
            return Fault(str(path), str(error))

    for split in SPLITS if split_folders else SPLITS[:1]:
        _examine(found, split, data.files(split)[1], examine)
    found.notes += _left_out([folder for folder in [root, *root.rglob("*")] if folder.is_dir()])
    _require_training(found, root, "put pictures in it, or in train/, val/ and test/ below it")
    return found


def _examine(found: Findings, split: str, items: list[Any], examine: Any) -> None:
    """Read all items side by side and sort what was found."""
    found.samples[split] = 0
    with ThreadPoolExecutor() as pool:  # decoders and hashes work outside Python's lock
        for result in pool.map(examine, items):
            if isinstance(result, Fault):
                found.errors.append(result)
            else:
                found.samples[split] += 1
                found.facts += result


def _facts(path: Path, side: str, values: np.ndarray[Any, Any]) -> Facts:
    height, width, channels = values.shape
    digest = hashlib.sha256(repr((values.shape, values.dtype.str)).encode() + values.tobytes()).hexdigest()
    bits = values.dtype.itemsize * 8
    return Facts(path, side, (width, height), channels, bits, int(values.min()), int(values.max()), digest)


def _left_out(folders: Any) -> list[Fault]:
    from zoo.files import PICTURE_SUFFIXES

    files = [p for folder in folders if folder.is_dir() for p in sorted(folder.iterdir()) if p.is_file()]
    ignored = (".", "README", "LICENSE")
    others = [p for p in files if p.suffix.lower() not in PICTURE_SUFFIXES and not p.name.startswith(ignored)]
    return [Fault(str(p), f"{p} is left out: its name is not that of a picture.") for p in others]


def _require_training(found: Findings, root: Path, expected: str) -> None:
    if not found.samples.get("train"):
        found.errors.append(Fault(str(root), f"{root} has nothing readable to train on; {expected}."))


def _compare(found: Findings) -> None:
    """Look for what only shows between files, each side of a pair for itself."""
    for side in _sides(found):
        facts = [fact for fact in found.facts if fact.side == side]
        channels = Counter(fact.channels for fact in facts)
        usual = channels.most_common(1)[0][0]
        convertible = set(channels) <= {1, 3} if found.contract == "pairs" else max(channels) <= 4
        odd = [
            _fault(f, f"has {f.channels} channels where most have {usual}")
            for f in facts
            if f.channels != usual
        ]
        (found.notes if convertible else found.errors).extend(odd)
        size, count = Counter(fact.size for fact in facts).most_common(1)[0]
        bits = Counter(fact.bits for fact in facts).most_common(1)[0][0]
        seen: dict[str, Path] = {}
        for fact in facts:
            if fact.size != size and count * 10 >= len(facts) * 9:  # otherwise no size is the usual one
                found.notes.append(_fault(fact, f"is {_by(fact.size)} pixels where most are {_by(size)}"))
            if fact.bits != bits:
                found.notes.append(_fault(fact, f"has {fact.bits} bit where most have {bits}"))
            if fact.low == fact.high:
                found.notes.append(_fault(fact, f"has the one value {fact.low} all over"))
            elif (first := seen.setdefault(fact.digest, fact.path)) != fact.path:
                found.notes.append(_fault(fact, f"shows the same as {first}"))
        deep = [fact for fact in facts if fact.bits == 16]
        highest = max((fact.high for fact in deep), default=0)
        if deep and highest < 2**15:
            text = (
                f"and all others of 16 bit stay at or below {highest} of 65535, which is dark; scale them up"
            )
            found.notes.append(_fault(deep[0], text))


def _fault(fact: Facts, text: str) -> Fault:
    name = fact.path if fact.side == "image" else f"Side {fact.side} of {fact.path}"
    return Fault(str(fact.path), f"{name} {text}.")


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _recipe(root: Path, found: Findings) -> str:
    """A data block that fits what was found; empty where nothing was."""
    import yaml

    if not found.facts:
        return ""
    shortest = min(min(fact.size) for fact in found.facts)
    arguments: dict[str, Any] = {"root": str(root), "size": min(256, 2 ** int(math.log2(shortest)))}
    kinds = {side: {f.channels for f in found.facts if f.side == side} for side in ("image", "A", "B")}
    if found.contract == "pairs":
        arguments["direction"] = "AtoB"
        arguments |= {
            key: 3
            for key, side in (("input_channels", "A"), ("target_channels", "B"))
            if kinds[side] == {1, 3}
        }
        block = {"class_path": "zoo.data.pairs.PairFolder", "init_args": arguments | {"batch_size": 1}}
    else:
        if len(kinds["image"]) > 1:
            arguments["channels"] = 3
        batch = max(1, min(64, found.samples["train"] // 2))
        block = {"class_path": "zoo.data.images.ImageFolder", "init_args": arguments | {"batch_size": batch}}
    return yaml.safe_dump({"data": block}, sort_keys=False)


def _as_json(root: Path, found: Findings, recipe: str) -> dict[str, Any]:
    return {
        "folder": str(root),
        "contract": found.contract,
        "layout": found.layout,
        "samples": found.samples,
        "pictures": {side: _summary([f for f in found.facts if f.side == side]) for side in _sides(found)},
        "errors": [fault._asdict() for fault in found.errors],
        "notes": [fault._asdict() for fault in found.notes],
        "recipe": recipe,
    }


def _sides(found: Findings) -> list[str]:
    return sorted({fact.side for fact in found.facts})


def _summary(facts: list[Facts]) -> dict[str, Any]:
    return {
        "sizes": {_by(size): count for size, count in Counter(f.size for f in facts).most_common()},
        "channels": {str(k): count for k, count in Counter(f.channels for f in facts).most_common()},
        "bits": {str(k): count for k, count in Counter(f.bits for f in facts).most_common()},
        "lowest": min(f.low for f in facts),
        "highest": max(f.high for f in facts),
    }


def _print(root: Path, found: Findings, recipe: str) -> None:
    counts = ", ".join(f"{count} {split}" for split, count in found.samples.items())
    print(f"{root}: {found.contract} ({found.layout})")
    print(f"  readable   {counts}")
    for side in _sides(found):
        facts = _summary([f for f in found.facts if f.side == side])
        sizes = list(facts["sizes"].items())
        shown = ", ".join(f"{size} ({count})" if len(sizes) > 1 else size for size, count in sizes[:4])
        more = f" and {len(sizes) - 4} other sizes" if len(sizes) > 4 else ""
        channels, bits = (" or ".join(facts[key]) for key in ("channels", "bits"))
        values = f"values {facts['lowest']} to {facts['highest']}"
        print(f"  {side:10} {shown}{more}; {channels} channels, {bits} bit, {values}")
    if found.errors:
        print(f"\nErrors ({len(found.errors)}), to be mended before training:")
        for fault in found.errors:
            print(f"  {fault.text}")
    if found.notes:
        print(f"\nNotes ({len(found.notes)}); training works, but look:")
        for fault in found.notes[:NAMED]:
            print(f"  {fault.text}")
        if len(found.notes) > NAMED:
            print(f"  … and {len(found.notes) - NAMED} more; --json names all.")
    if recipe:
        print(f"\nFor a recipe:\n\n{recipe}", end="")


# ------------------------------------------------------------------------------------------------------- show


def _show(args: argparse.Namespace) -> int:
    from zoo.files import write_picture

    out, source = Path(args.out), Path(args.source)
    if out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UserError(f"Cannot draw into {out}; end its name with .png or .jpg.")
    if out.exists() and not args.force:
        raise UserError(f"{out} exists; choose another name or add --force.")
    if args.number < 1:
        raise UserError(f"-n is {args.number}; give at least 1.")
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise UserError(f"{out} lies inside the data's folder {source}; write the sheet somewhere else.")
    data = _folder_data(source) if source.is_dir() else _named_data(args.source, args.root)
    train = data.split("train")
    if train is None:
        raise UserError(f"{args.source} has no training split to show; give one that has.")
    number = min(args.number, len(train))
    samples = [train[0, i * len(train) // number] for i in range(number)]
    sheet = _sheet({key: [s[key] for s in samples] for key in samples[0]}, args.source)
    write_picture(out, sheet)
    print(f"{out}: {number} of {len(train)} training samples of {args.source}")
    return 0


def _folder_data(root: Path) -> DataModule:
    from zoo.data.images import ImageFolder
    from zoo.data.pairs import PairFolder

    if guess_contract(root) == "pairs":
        return PairFolder(str(root), size=128, load_size=128, mirror=False)
    return ImageFolder(str(root), size=128, hold_out=0)


def _named_data(name: str, root: str | None) -> DataModule:
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


def _sheet(samples: dict[str, list[Tensor]], source: str) -> Tensor:
    import torch

    from zoo.pictures import grid, mosaic, scatter

    if "point" in samples:
        return scatter({"data": torch.stack(samples["point"])})
    if "input" in samples and "target" in samples:
        number = len(samples["input"])
        near_square = range(math.ceil(math.sqrt(number)), math.ceil(math.sqrt(2 * number)) + 1)
        rows = min(near_square, key=lambda rows: -number % rows)  # the fewest empty places
        pairs = {key: torch.stack(samples[key]) for key in ("input", "target")}
        blocks = [
            grid({key: values[start : start + rows] for key, values in pairs.items()})
            for start in range(0, number, rows)
        ]
        height = blocks[0].shape[1]
        blocks = [torch.nn.functional.pad(b, (0, 8, 0, height - b.shape[1]), value=1.0) for b in blocks]
        return torch.cat(blocks, dim=2)
    if "image" in samples:
        return mosaic(torch.stack(samples["image"]), least=48)
    raise UserError(
        f"Cannot draw {source}, whose samples hold {', '.join(samples)}; give images, pairs or points."
    )
