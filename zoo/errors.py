"""Exceptions for user mistakes, and what their messages share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class UserError(Exception):
    """Something the user gave is wrong.

    The message is one sentence that names the file, key or value and says what to do. The ``zoo`` command
    prints it without a traceback and exits with status 1: what it found in files or data is wrong.
    """


class UsageError(UserError):
    """What was typed is wrong, on the command line or in a recipe; ``zoo`` exits with status 2.

    Verbs, options, names, paths, keys and values alike: typed otherwise, the same command works.
    """


def nearest(name: str, known: Iterable[str], otherwise: str, cutoff: float = 0.7) -> str:
    """``did you mean X?`` if a known name resembles ``name``, else ``otherwise``."""
    near = difflib.get_close_matches(name, known, 1, cutoff)
    return f"did you mean {near[0]}?" if near else otherwise


def reason_of(error: Exception) -> str:
    """An exception's message on one line, without a full stop; its class name if it has none."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def printable(text: str, most: int = 2000) -> str:
    """Text with all but printable characters escaped, and shortened: what it quotes may come from anyone."""
    text = text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def first_few(names: Sequence[object], most: int = 10) -> str:
    """The first names, for a message; an ellipsis stands for the others."""
    return ", ".join(map(str, names[:most])) + (", …" if len(names) > most else "")
