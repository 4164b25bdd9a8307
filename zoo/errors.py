"""The one exception that stands for a user's mistake."""


class UserError(Exception):
    """Something the user gave is wrong.

    The message is one sentence that names the file, key or value and says what to do. The ``zoo`` command
    prints it without a traceback and exits with status 1.
    """
