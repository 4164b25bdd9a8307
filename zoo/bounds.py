"""Ranges of arguments, stated where the arguments are: ``width: PositiveInt = 64``.

To Python and type checkers these are ``int`` and ``float``. ``zoo fit`` compares a recipe's values with the
annotations in the source text (:func:`refusal`), before torch is imported and before anything is computed.
What stands in a file of weights is compared with the annotations themselves (:func:`require_arguments`).
"""

from __future__ import annotations

import argparse
import ast
import math
import re
import typing
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from zoo import recipes
from zoo.errors import UsageError, UserError
from zoo.files.schemas import is_number, is_plain, is_text, shown

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
Decay = Annotated[float, Range(0, math.nextafter(1.0, 0.0), "a number of at least 0, below 1")]
Share = Annotated[float, Range(math.ulp(0.0), 1, "a number above 0, at most 1")]
Degrees = Annotated[float, Range(0, 180, "a number from 0 to 180")]

RANGES: dict[str, Range] = {
    "int": Range(-(2**63), 2**63 - 1, "a whole number"),
    "float": Range(-1e30, 1e30, "a number"),
} | {name: get_args(kind)[1] for name, kind in list(globals().items()) if get_origin(kind) is Annotated}
REAL = ("float", "PositiveFloat", "NonNegativeFloat", "Fraction", "Decay", "Share", "Degrees")
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


def require_arguments(made: Callable[..., Any], given: Mapping[str, Any], origin: str) -> None:
    """Refuse keywords that a constructor does not take, and plain values that its annotations exclude.

    Args:
        made: The constructor.
        given: Its keywords; lists may stand for tuples.
        origin: File that they were read from, for messages.

    Raises:
        UserError: Names the first such key, and what it must be.
    """
    hints = typing.get_type_hints(made, include_extras=True)
    for hint in list(hints.values()):
        if get_origin(hint) is typing.Unpack:
            hints |= typing.get_type_hints(get_args(hint)[0], include_extras=True)
    for key, value in given.items():
        if key not in hints:
            raise UserError(f"{origin}: hyper_parameters.{key} is unknown to this version of the zoo.")
        if not _is_of(value, hints[key]):
            wanted = _in_words(hints[key])
            raise UserError(f"{origin}: hyper_parameters.{key} must be {wanted}, not {shown(value)}.")


def _is_of(value: Any, hint: Any) -> bool:
    kind, arguments = get_origin(hint) or hint, get_args(hint)
    if kind is Annotated:
        limits = (each for each in arguments[1:] if isinstance(each, Range))
        return _is_of(value, arguments[0]) and all(each.least <= value <= each.most for each in limits)
    if kind is typing.Literal:
        return any(type(value) is type(choice) and value == choice for choice in arguments)
    if kind in (typing.Union, UnionType):
        return any(_is_of(value, each) for each in arguments)
    if kind in (tuple, list):
        if not isinstance(value, list | tuple) or len(value) > 1000:
            return False
        if kind is tuple and arguments and arguments[-1] is not ...:
            return len(value) == len(arguments) and all(map(_is_of, value, arguments))
        return not arguments or all(_is_of(item, arguments[0]) for item in value)
    if kind is int:
        return type(value) is int and abs(value) <= MOST
    if kind is NoneType:
        return value is None
    tests: dict[Any, Callable[[Any], bool]] = {
        float: is_number,
        str: is_text,
        bool: lambda given: isinstance(given, bool),
    }
    return tests.get(kind, is_plain)(value)


def _in_words(hint: Any) -> str:
    kind, arguments = get_origin(hint) or hint, get_args(hint)
    if kind is Annotated:
        return next((each.text for each in arguments[1:] if isinstance(each, Range)), _in_words(arguments[0]))
    if kind is typing.Literal:
        return " or ".join(map(str, arguments))
    if kind in (typing.Union, UnionType):
        return " or ".join(map(_in_words, arguments))
    if kind in (tuple, list):
        return "a list" if not arguments or arguments[-1] is ... else f"a list of {len(arguments)} values"
    words = {int: "a whole number", float: "a finite number", str: "text", bool: "true or false"}
    return "null" if kind is NoneType else words.get(kind, "a plain value")


def whole(least: int, most: float = math.inf) -> Callable[[str], int]:
    """A ``type`` for argparse: a whole number from ``least`` to ``most``."""
    bounds = f"of at least {least}" if most == math.inf else f"from {least} to {most}"

    def parse(text: str) -> int:
        if not re.fullmatch(r"\s*[+-]?\d{1,100}\s*", text) or not least <= int(text) <= most:
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
