"""Label maps to pictures: read class numbers or colours, and edit them before they are painted.

An edit gives a class or an instance another label or another style. This is the editing of pix2pixHD (Wang
2018, sections 3.4 and 4.3), by names instead of a mouse.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo.errors import UserError, printable

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.checkpoints import Pretrained


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of models that paint label maps."""
    parser.add_argument(
        "--instances", type=Path, help="instance map, or a folder of them, named as the label maps"
    )
    parser.add_argument(
        "--relabel", action="append", default=[], metavar="TARGET=CLASS", help="change a label, show both"
    )
    parser.add_argument(
        "--style", action="append", default=[], metavar="TARGET=NUMBER", help="change a style, show both"
    )


def is_edited(args: argparse.Namespace) -> bool:
    """Whether an option of these is given."""
    return bool(args.instances or args.relabel or args.style)


def check(model: Pretrained, args: argparse.Namespace) -> None:
    """Refuse the options for a model that paints no label maps with instances."""
    if is_edited(args) and not (takes(model) and "instance_edges" in model.config["hyper_parameters"]):
        raise UserError(
            f"{args.name} paints no label maps with instances; leave --instances, --relabel and --style out."
        )


def takes(model: Pretrained) -> bool:
    """Whether a model takes label maps, as its data says."""
    preprocessing: dict[str, Any] = model.config["data"].get("preprocessing", {})
    return preprocessing.get("source") == "labels"


def read(path: Path, model: Pretrained) -> Tensor:
    """A label map as one-hot (classes, H, W), read as in training.

    Raises:
        UserError: A colour or number is of no class of the model.
    """
    import torch
    import torch.nn.functional as F

    from zoo.data.label_maps.files import Classes, read_numbers

    data = model.config["data"]["preprocessing"]
    colours = tuple((r, g, b) for r, g, b in data.get("colours", []))
    classes = Classes(tuple(data["classes"]), colours)
    blurred = data.get("layout") == "halves"
    numbers, inexact = read_numbers(path, classes, data.get("void"), blurred)
    if inexact:
        share = f"{inexact} of its {numbers.size} pixels show no class's exact colour"
        print(printable(f"{path}: {share} and take the nearest, as in training."), file=sys.stderr)
    return F.one_hot(torch.from_numpy(numbers).long(), len(classes.names)).permute(2, 0, 1).float()


def read_instances(path: Path, labels: Tensor) -> Tensor:
    """The instance map (H, W) beside a label map.

    Raises:
        UserError: It is unreadable or of another size.
    """
    from zoo.files.pictures import read_labels

    instances = read_labels(path)
    if instances.shape != labels.shape:
        (rows, columns), (high, wide) = instances.shape, labels.shape
        raise UserError(
            f"{path} is {rows}x{columns} but the label map is {high}x{wide}; give one number per pixel."
        )
    return instances


class Painting(NamedTuple):
    """What a picture is painted from."""

    labels: Tensor  # (H, W) class numbers
    instances: Tensor | None  # (H, W) instance numbers
    styles: Tensor  # (H, W), -1 for a random one


def painted(path: Path, model: Pretrained, args: argparse.Namespace) -> Tensor:
    """The painting of a label map; with edits, all four pictures side by side.

    Raises:
        UserError: An edit cannot be made in this picture, or the model keeps no styles.
    """
    import torch
    import torch.nn.functional as F

    from zoo.drawing.sheets import grid

    classes: list[str] = model.config["data"]["preprocessing"]["classes"]
    labels = read(path, model).argmax(0)
    instances = None
    if args.instances is not None:
        named = args.instances / path.name if args.instances.is_dir() else args.instances
        instances = read_instances(named, labels)
    if args.style and not model.config["hyper_parameters"].get("features"):
        raise UserError(f"{args.name} was trained without an encoder and keeps no styles; leave --style out.")

    def paint(painting: Painting) -> tuple[Tensor, Tensor]:
        x = F.one_hot(painting.labels, len(classes)).permute(2, 0, 1)[None].float()
        maps = (None if instances is None else instances[None], painting.styles[None])
        return x, model.module.sample(x, args.seed, *maps)  # type: ignore[operator]

    before = Painting(labels, instances, torch.full_like(labels, -1))
    after = edited(before, args.relabel, args.style, classes)
    x, output = paint(before)
    if not args.relabel and not args.style:
        return grid({"input": x, "output": output}) if args.compare else output[0]
    changed, edited_output = paint(after)
    return grid({"input": x, "output": output, "changed input": changed, "changed output": edited_output})


def edited(
    before: Painting, relabel: Sequence[str], style: Sequence[str], classes: Sequence[str]
) -> Painting:
    """The same with labels and styles changed, in this order.

    Args:
        before: Painting to edit; it stays as it is.
        relabel: Edits ``TARGET=CLASS``.
        style: Edits ``TARGET=NUMBER``. A target is a class, by name or number, or ``#`` and an instance's
            number.
        classes: Names of the classes.

    Raises:
        UserError: An edit cannot be read, or its target is not in this picture.
    """
    labels, styles = before.labels.clone(), before.styles.clone()
    for edit in relabel:
        target, value = _halves(edit, "--relabel", "CLASS")
        labels[_where(target, before, labels, classes)] = _number(value, classes)
    for edit in style:
        target, value = _halves(edit, "--style", "NUMBER")
        if not value.isdecimal():
            raise UserError(f"--style {edit}: styles are numbered from 0, and {value} is no number.")
        styles[_where(target, before, labels, classes)] = int(value)
    return Painting(labels, before.instances, styles)


def _halves(edit: str, flag: str, value: str) -> tuple[str, str]:
    target, equals, after = (part.strip() for part in edit.partition("="))
    if not target or not equals or not after:
        raise UserError(f"{flag} {edit} is no change; write TARGET={value}, the target a class or #INSTANCE.")
    return target, after


def _where(target: str, painting: Painting, labels: Tensor, classes: Sequence[str]) -> Tensor:
    import torch

    if target.startswith("#"):
        if painting.instances is None:
            raise UserError(f"{target} is an instance, and no instance map was given; add --instances FILE.")
        number = int(target[1:]) if target[1:].isdecimal() else -1
        mask = painting.instances == number
        there = [f"#{instance}" for instance in torch.unique(painting.instances).tolist()]
    else:
        mask = labels == _number(target, classes)
        there = [classes[number] for number in torch.unique(labels).tolist()]
    if not bool(mask.any()):
        more = ", …" if len(there) > 20 else ""
        raise UserError(f"There is no {target} in this label map; there are {', '.join(there[:20])}{more}.")
    return mask


def _number(name: str, classes: Sequence[str]) -> int:
    if name in classes:
        return list(classes).index(name)
    if name.isdecimal() and int(name) < len(classes):
        return int(name)
    raise UserError(f"There is no class {name}; these weights have {', '.join(classes)}.")
