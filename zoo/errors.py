"""The exceptions that stand for a user's mistake."""


class UserError(Exception):
    """Something the user gave is wrong.

    The message is one sentence that names the file, key or value and says what to do. The ``zoo`` command
    prints it without a traceback and exits with status 1.
    """


class UsageError(UserError):
    """A command was typed wrong, or a key of a recipe is wrong; ``zoo`` exits with status 2."""
