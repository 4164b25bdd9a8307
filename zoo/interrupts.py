"""Ctrl-C and SIGTERM: a command ends with status 130 or 143, without a traceback, at any moment.

A training replaces these handlers while it runs (:class:`zoo.guards.GracefulStop`).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
received: list[int] = []  # signals since the command began


def status() -> int | None:
    """Exit status of an interrupted command; None if there was no signal."""
    return 128 + received[0] if received else None


def install() -> None:
    """Install the handlers; does nothing outside the main thread."""
    with suppress(ValueError):
        for number in SIGNALS:
            signal.signal(number, _stop)
        sys.unraisablehook = _exit_or_report


def ignore() -> None:
    """Ignore the signals: Python would end with another status while it frees memory after a command."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def handled() -> Iterator[None]:
    """Handle the signals within the block."""
    received.clear()
    handlers, hook = {number: signal.getsignal(number) for number in SIGNALS}, sys.unraisablehook
    install()
    try:
        yield
    finally:
        with suppress(ValueError):
            for number, handler in handlers.items():
                signal.signal(number, handler)
        sys.unraisablehook = hook


def _stop(number: int, frame: FrameType | None) -> None:
    """Raise SystemExit, so that temporary files are removed; exit at once the second time or in an import.

    Libraries answer an exception raised within their import with errors of their own.
    """
    received.append(number)
    if len(received) > 1 or _importing(frame):
        os._exit(128 + number)
    raise SystemExit(128 + number)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _exit_or_report(unraisable: Any) -> None:
    """Exit if Python has dropped our exception, as it does in destructors, callbacks and around a fork."""
    if received and isinstance(unraisable.exc_value, SystemExit):
        os._exit(128 + received[0])
    sys.__unraisablehook__(unraisable)
