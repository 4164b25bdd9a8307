"""What goes into a trained model and what comes out: one file per kind of input.

A model's class attribute ``takes`` names its file: a model of ``takes = "noise"`` is used by
``zoo/use/noise.py``. So a new kind of input is one new file. It may hold, found by these names:

- ``run(model, args)`` makes the outputs from ``zoo sample``'s arguments, writes them, and returns how many of
  what it wrote (``"3 pictures"``); the file of a model's ``takes`` needs it;
- ``configure(parser)`` adds the kind's own options to ``zoo sample``;
- ``check(model, args)`` refuses these options for a model that has no use for them.

These files import torch only inside functions, so that ``zoo sample --help`` answers at once.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def kinds() -> list[ModuleType]:
    """The files of ``zoo/use``."""
    return [importlib.import_module(f"zoo.use.{found.name}") for found in pkgutil.iter_modules(__path__)]


def counted(number: int, kind: str) -> str:
    """``1 picture``, ``3 pictures``."""
    return f"{number} {kind}" if number == 1 else f"{number} {kind}s"
