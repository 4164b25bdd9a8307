"""Label maps to pictures: read class numbers or colours, and edit them before they are painted.

An edit gives a class or an instance another label or another style. This is the editing of pix2pixHD (Wang
2018, sections 3.4 and 4.3), by names instead of a mouse.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo.errors import UserError
from zoo.use import Given, note, picture
from zoo.use.picture import named, note_size

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


def options(args: argparse.Namespace) -> dict[str, Any]:
    """The keywords of :func:`read` that are given on the command line."""
    given = {"instances": args.instances, "relabel": args.relabel, "style": args.style}
    return {key: value for key, value in given.items() if value}


def read(
    source: Any,
    model: Pretrained,
    instances: Any = None,
    relabel: Sequence[str] | Mapping[str, str] = (),
    style: Sequence[str] | Mapping[str, int] = (),
) -> Given:
    """A label map as the model's input, read as in training, and edited.

    Args:
        source: A path, PIL image or array, in class numbers (H, W) or the classes' colours (H, W, 3); a
            tensor of class numbers (H, W), or one-hot (classes, H, W).
        model: A model of label maps.
        instances: The instance map in numbers, given in the same ways; or a folder of files of the same name.
        relabel: Edits: classes, by name or number, or ``#`` and an instance's number, and their new classes
            (``{"shop": "door"}`` or ``["shop=door"]``).
        style: The same for the styles that were kept in training (``{"car": 2}``).

    Raises:
        UserError: A colour or number is of no class, an edit cannot be made, or the model takes no instances.
    """
    import torch
    import torch.nn.functional as F

    labels = _numbers(source, model)
    classes: list[str] = model.config["data"]["preprocessing"]["classes"]
    note_size(source, labels, model)
    numbers = None
    if instances is not None or relabel or style:
        if "instance_edges" not in model.module.hparams:
            raise UserError(
                f"{model.name} paints no label maps with instances; leave instances, relabel and style out."
            )
        if style and not model.module.hparams.get("features"):
            raise UserError(
                f"{model.name} was trained without an encoder and keeps no styles; leave style out."
            )
    if instances is not None:
        numbers = _instances(instances, source, labels)
    before = Painting(labels, numbers, torch.full_like(labels, -1))
    painting = edited(before, _edits(relabel), _edits(style), classes)
    x = F.one_hot(painting.labels, len(classes)).permute(2, 0, 1).float()
    tensors = {"images": x[None]}
    if numbers is not None:
        tensors["instances"] = numbers[None]
    if style:
        tensors["styles"] = painting.styles[None]
    if len(colours := model.config["data"]["preprocessing"].get("colours") or []) == len(classes):
        x = (torch.tensor(colours)[painting.labels] / 127.5 - 1).permute(2, 0, 1)
    return Given(tensors, x)


def _edits(given: Sequence[str] | Mapping[str, Any]) -> list[str]:
    if not isinstance(given, Mapping) and (
        not isinstance(given, list | tuple) or not all(isinstance(edit, str) for edit in given)
    ):
        raise UserError(f'{given!r:.60} is no edit; write {{"shop": "door"}} or ["shop=door"].')
    return [f"{k}={v}" for k, v in given.items()] if isinstance(given, Mapping) else list(given)


def _numbers(source: Any, model: Pretrained) -> Tensor:
    """The class numbers (H, W) of a label map."""
    import torch

    from zoo.data.label_maps.files import Classes, read_numbers

    data = model.config["data"]["preprocessing"]
    names = tuple(data.get("classes") or ())
    if len(names) != model.input_channels:
        raise UserError(
            f"{model.name} takes {model.input_channels} classes but its model.json names {len(names)}; get "
            "it again."
        )
    if isinstance(source, torch.Tensor):
        source = source.detach().cpu()
        ones = source == 1
        is_binary = source.dim() == 3 and len(source) == len(names) and bool((ones | (source == 0)).all())
        if is_binary and bool((ones.sum(0) == 1).all()):
            found: Tensor = ones.int().argmax(0)
            return found
        if source.dim() != 2 or source.is_floating_point():
            raise UserError(
                f"A tensor of shape {tuple(source.shape)} and {source.dtype} is no label map: give class "
                f"numbers (H, W) as integers, or one-hot ({len(names)}, H, W)."
            )
        source = source.numpy()
    colours = tuple((r, g, b) for r, g, b in data.get("colours") or [])
    blurred = data.get("layout") == "halves"
    with _as_file(source) as path:
        numbers, inexact = read_numbers(path, Classes(names, colours), data.get("void"), blurred)
    if inexact:
        share = f"{inexact} of its {numbers.size} pixels show no class's exact colour"
        note(f"{named(source)}: {share} and take the nearest, as in training.")
    return torch.from_numpy(numbers).long()


def _instances(given: Any, source: Any, labels: Tensor) -> Tensor:
    """The instance numbers (H, W) beside a label map."""
    import torch

    from zoo.files.pictures import read_labels

    if isinstance(given, str | Path) and Path(given).is_dir():
        if not isinstance(source, str | Path):
            raise UserError(f"{given} is a folder, and this label map has no name to find its instances by.")
        given = Path(given) / Path(source).name
    if isinstance(given, torch.Tensor):
        given = given.detach().cpu().numpy()
    with _as_file(given) as path:
        instances = read_labels(path)
    if instances.shape != labels.shape:
        (rows, columns), (high, wide) = instances.shape, labels.shape
        raise UserError(
            f"{named(given)} is {rows}x{columns} but the label map is {high}x{wide}; give one number per "
            "pixel."
        )
    return instances


@contextmanager
def _as_file(source: Any) -> Iterator[Path]:
    """A label map's file; what is in memory becomes one, so that the same rules read it."""
    import numpy as np
    from PIL import Image

    if isinstance(source, str | Path):
        yield Path(source).expanduser()
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "label map.png"
        if isinstance(source, Image.Image):
            try:
                (source.convert("I;16") if source.mode == "I" else source).save(path)
            except OSError as error:
                raise UserError(
                    f"An image of mode {source.mode} is no label map; give L, P or RGB."
                ) from error
        elif (
            isinstance(source, np.ndarray)
            and source.dtype.kind in "iub"
            and source.size
            and (source.ndim == 2 or (source.ndim == 3 and source.shape[2] in (1, 3)))
            and (source.shape[2:] != (3,) or source.dtype == np.uint8)
        ):
            source = source[:, :, 0] if source.shape[2:] == (1,) else source
            if source.min() < 0 or source.max() > 65535:
                raise UserError(
                    f"A label map has class numbers from 0, not {source.min()} to {source.max()}."
                )
            small = source.max() < 256
            Image.fromarray(source.astype(np.uint8 if small else np.uint16)).save(path)
        else:
            raise UserError(
                f"A {type(source).__name__} is no label map: give a path, a PIL image, or an array of class "
                "numbers (H, W) or of the classes' colours (H, W, 3)."
            )
        try:
            yield path
        except UserError as error:
            raise UserError(str(error).replace(str(path), "The label map")) from error


def find(inputs: Sequence[str], model: Pretrained) -> dict[Any, str]:
    """The label maps among the inputs and in folders, and the stem of each one's output."""
    return picture.find(inputs, model)


class Painting(NamedTuple):
    """What a picture is painted from."""

    labels: Tensor  # (H, W) class numbers
    instances: Tensor | None  # (H, W) instance numbers
    styles: Tensor  # (H, W), -1 for a random one


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
        if not value.isdecimal() or len(value) > 9:
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
