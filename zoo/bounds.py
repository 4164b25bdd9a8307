"""Ranges of arguments, stated where the arguments are: ``width: PositiveInt = 64``.

To Python and type checkers these are ``int`` and ``float``. ``zoo fit`` compares a recipe's values with the
annotations in the source text (:func:`refusal`), before torch is imported and before anything is computed.
"""

from __future__ import annotations

import argparse
import ast
import math
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from zoo import recipes
from zoo.errors import UsageError

MOST = 2**31 - 1  # no size, count or number of steps is larger


class Range(NamedTuple):
    """Least and greatest value, both included, and how a message puts it."""

    least: float
    most: float
    text: str


PositiveInt = Annotated[int, Range(1, MOST, "a whole number of at least 1")]
NonNegativeInt = Annotated[int, Range(0, MOST, "a whole number of at least 0")]
Endless = Annotated[int, Range(-1, MOST, "a whole number of at least -1 (which sets no limit)")]
Seed = Annotated[int, Range(0, 2**32 - 1, "a whole number from 0 to 2**32 - 1")]  # NumPy's and Lightning's
PositiveFloat = Annotated[float, Range(math.ulp(0.0), 1e30, "a number above 0")]
NonNegativeFloat = Annotated[float, Range(0, 1e30, "a number of at least 0")]
Fraction = Annotated[float, Range(0, 1, "a number from 0 to 1")]
Share = Annotated[float, Range(math.ulp(0.0), 1, "a number above 0, at most 1")]
Degrees = Annotated[float, Range(0, 180, "a number from 0 to 180")]

RANGES: dict[str, Range] = {
    "int": Range(-(2**63), 2**63 - 1, "a whole number"),
    "float": Range(-1e30, 1e30, "a number"),
} | {name: get_args(kind)[1] for name, kind in list(globals().items()) if get_origin(kind) is Annotated}
REAL = ("float", "PositiveFloat", "NonNegativeFloat", "Fraction", "Share", "Degrees")
TEXTS = {"bool": "true or false", "None": "null", "str": "text", "Class": "a class"}


def refusal(annotation: str, value: Any) -> str | None:
    """What a value must be, if it does not fit an annotation; None if it does, or if that cannot be judged.

    Args:
        annotation: As the source text has it: ``int | tuple[int, int]``.
        value: A plain value. A text is also read as YAML, as the command line's values are.
    """
    types = _union(ast.parse(annotation or "object", mode="eval").body)
    if _any_fits(types, value) or (isinstance(value, str) and _any_fits(types, _scalar(value))):
        return None
    return ", or ".join(dict.fromkeys(map(_text, types)))


def whole(least: int, most: float = math.inf) -> Callable[[str], int]:
    """A ``type`` for argparse: a whole number from ``least`` to ``most``."""
    bounds = f"of at least {least}" if most == math.inf else f"from {least} to {most}"

    def parse(text: str) -> int:
        if not text.strip().lstrip("+-").isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be a whole number {bounds}, got {text[:80]}")
        return int(text)

    return parse


def _scalar(text: str) -> Any:
    """A text as YAML reads it, and as the number that it is to Python (``1e-4``)."""
    try:
        value = recipes.parse(text, "")
        return float(value) if isinstance(value, str) else value
    except (ValueError, UsageError):
        return text


def _union(node: ast.expr) -> list[ast.expr]:
    """The types of a union, in any way of writing it; others alone."""
    if isinstance(node, ast.BinOp):
        return _union(node.left) + _union(node.right)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _union(ast.parse(node.value, mode="eval").body)
    kind, inner = _generic(node)
    if kind in ("optional", "union"):
        return [each for part in inner for each in _union(part)] + [ast.Constant(None)] * (kind == "optional")
    return [node]


def _generic(node: ast.expr) -> tuple[str, list[ast.expr]]:
    """The name and the arguments of ``tuple[int, ...]``; none for anything else."""
    if not isinstance(node, ast.Subscript):
        return "", []
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return ast.unparse(node.value).rpartition(".")[2].lower(), inner


def _any_fits(types: list[ast.expr], value: Any) -> bool:
    return any(_fits(node, value) for node in types)


def _fits(node: ast.expr, value: Any) -> bool:
    kind, inner = _generic(node)
    if kind == "literal":
        choices = map(ast.literal_eval, inner)
        return any(type(value) is type(choice) and value == choice for choice in choices)
    if kind in ("list", "sequence", "tuple"):
        if not isinstance(value, list | tuple):
            return False
        if kind == "tuple" and ast.unparse(inner[-1]) != "...":
            each = zip(inner, value, strict=False)
            return len(inner) == len(value) and all(_any_fits(_union(n), v) for n, v in each)
        return all(_any_fits(_union(inner[0]), v) for v in value)
    if kind == "dict":
        return isinstance(value, dict)
    name = ast.unparse(node).rpartition(".")[2]
    if name in RANGES:
        number = isinstance(value, int | float if name in REAL else int) and not isinstance(value, bool)
        return number and RANGES[name].least <= value <= RANGES[name].most
    if name in ("bool", "None"):
        return isinstance(value, bool) if name == "bool" else value is None
    if name == "Class":  # a section of a recipe, or an import path
        return isinstance(value, dict) or (isinstance(value, str) and "." in value)
    return name != "str" or not isinstance(value, dict | list | None)


def _text(node: ast.expr) -> str:
    """A type in words."""
    kind, inner = _generic(node)
    if kind == "literal":
        return "one of " + ", ".join(dict.fromkeys(str(ast.literal_eval(each)) for each in inner))
    if kind in ("list", "sequence", "tuple"):
        inner = [each for each in inner if ast.unparse(each) != "..."]
        words = " or ".join(dict.fromkeys(_text(one) for each in inner for one in _union(each)))
        return f"a list of {len(inner)}, each {words}" if len(inner) > 1 else f"a list, each {words}"
    if kind == "dict":
        return "keys and values"
    name = ast.unparse(node).rpartition(".")[2]
    return RANGES[name].text if name in RANGES else TEXTS.get(name, name)
