"""Change a label map before it is painted: give a class or a thing another label, or another style.

This is the editing of pix2pixHD (Wang 2018, sections 3.4 and 4.3), by names instead of a mouse.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.errors import UserError
from zoo.files.pictures import read_labels


class Painting(NamedTuple):
    """What a picture is painted from."""

    labels: Tensor  # (H, W) class numbers
    things: Tensor | None  # (H, W) numbers of things
    styles: Tensor  # (H, W), -1 where one is to be drawn


def read_things(path: Path, labels: Tensor) -> Tensor:
    """The map of things (H, W) beside a label map.

    Raises:
        UserError: It is unreadable or of another size.
    """
    things = read_labels(path)
    if things.shape != labels.shape:
        (rows, columns), (high, wide) = things.shape, labels.shape
        raise UserError(
            f"{path} is {rows}x{columns} where the label map is {high}x{wide}; give one number a pixel."
        )
    return things


def edited(
    before: Painting, relabel: Sequence[str], style: Sequence[str], classes: Sequence[str]
) -> Painting:
    """The same with labels and styles changed, in this order.

    Args:
        before: What is there.
        relabel: Each ``TARGET=CLASS``.
        style: Each ``TARGET=NUMBER``. A target is a class, by name or number, or ``#`` and a thing's number.
        classes: Their names.

    Raises:
        UserError: An edit cannot be read, or there is nothing of what it names in this picture.
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
    return Painting(labels, before.things, styles)


def _halves(edit: str, flag: str, value: str) -> tuple[str, str]:
    target, equals, after = (part.strip() for part in edit.partition("="))
    if not target or not equals or not after:
        raise UserError(f"{flag} {edit} is no change; write TARGET={value}, the target a class or #THING.")
    return target, after


def _where(target: str, painting: Painting, labels: Tensor, classes: Sequence[str]) -> Tensor:
    if target.startswith("#"):
        if painting.things is None:
            raise UserError(f"{target} is a thing, and no map of things was given; add --instances FILE.")
        number = int(target[1:]) if target[1:].isdecimal() else -1
        mask = painting.things == number
        there = [f"#{thing}" for thing in torch.unique(painting.things).tolist()]
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
    raise UserError(f"There is no class {name}; these weights know {', '.join(classes)}.")
