"""Class paths: the dotted names by which recipes, checkpoints and packs know a class."""

from __future__ import annotations

import sys


def public_path(cls: type) -> str:
    """The shortest dotted path of a class: ``zoo.data.pairs.PairFolder``, not ``…pairs.module.PairFolder``.

    It stays the same when a class moves to another file of its package.
    """
    parts = cls.__module__.split(".")
    for length in range(1, len(parts) + 1):
        module = ".".join(parts[:length])
        if getattr(sys.modules.get(module), cls.__qualname__, None) is cls:
            return f"{module}.{cls.__qualname__}"
    return f"{cls.__module__}.{cls.__qualname__}"
