"""What goes into a trained model and what comes out: one file per kind, for Python and ``zoo sample`` alike.

A model's class names two kinds: ``takes`` and ``gives``. Each is a file here, so a new kind is a new file and
nothing else is edited.

A kind that models take has

- ``read(source, model, **options)``: one input (path, PIL image, array, tensor, text) as :class:`Given`;
- ``find(inputs, model)``: what the command's INPUT words mean, as ``{source: stem of its output's file}``;
- ``configure(parser)`` and ``options(args)``, if it has options: the command's, and ``read``'s keywords;
- or, in place of ``read`` and ``find``, ``run(model, args, gives)``, which writes the command's outputs and
  says how many, and ``call(model, gives, source, n, seed)``, which gives those of Python.

A kind that models give has

- ``write(samples, bits)``: samples (N, ...) as a list of objects with ``tensor``, ``array``, ``pil`` and
  ``save(path)``, which has a ``sheet()``, or as one such object for all;
- ``collected(outputs)``: outputs of single inputs as such a list;
- ``most(samples)``: how many samples one file can show;
- ``suffix(source, model, channels)`` and ``SUFFIXES``: how a file ends by default, and how it may end.

These files import torch only inside
functions, so that ``zoo sample --help`` answers at once.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from zoo.errors import UserError, printable

if TYPE_CHECKING:
    from torch import Tensor


def first(samples: Tensor) -> Tensor:
    """The only sample of a batch of one."""
    return samples[0]


class Given(NamedTuple):
    """One input of a model.

    Args:
        tensors: Keywords of the model's ``sample``, each (B, ...); B is 1 unless ``join`` needs several.
        picture: The input as a sheet shows it, (C, H, W).
        bits: Bits per value of the input's file, 8 or 16.
        join: Makes one output of the B samples.
    """

    tensors: dict[str, Tensor]
    picture: Tensor
    bits: int = 8
    join: Callable[[Tensor], Tensor] = first


def kinds() -> dict[str, ModuleType]:
    """The files of ``zoo/use`` by name."""
    names = [found.name for found in pkgutil.iter_modules(__path__)]
    return {name: importlib.import_module(f"zoo.use.{name}") for name in names}


def kind(name: str, verb: str, origin: str) -> ModuleType:
    """The file of a kind that a model ``takes`` or ``gives``.

    Raises:
        UserError: There is no such file.
    """
    found = kinds().get(name)
    if name == "nothing":
        raise UserError(f"{origin} makes no samples; `zoo show {origin}` says what it is for.")
    if found is None:
        raise UserError(f"{origin} {verb} {name}, which this version of the zoo cannot use.")
    return found


def note(text: str) -> None:
    """Print a line about an input to stderr, once per process."""
    if text not in _noted:
        _noted.add(text)
        print(printable(text), file=sys.stderr)


_noted: set[str] = set()


def counted(number: int, what: str) -> str:
    """``1 picture``, ``3 pictures``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
