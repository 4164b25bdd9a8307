"""The exceptions that stand for a user's mistake, and the suggestion in their messages."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user gave is wrong.

    The message is one sentence that names the file, key or value and says what to do. The ``zoo`` command
    prints it without a traceback and exits with status 1.
    """


class UsageError(UserError):
    """A command was typed wrong, or a key of a recipe is wrong; ``zoo`` exits with status 2."""


def nearest(name: str, known: Iterable[str], otherwise: str, cutoff: float = 0.4) -> str:
    """``did you mean X?`` if a known name is like ``name``, else ``otherwise``."""
    near = difflib.get_close_matches(name, known, 1, cutoff)
    return f"did you mean {near[0]}?" if near else otherwise
