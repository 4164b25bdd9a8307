"""Read files that anyone may have made: regular files only, decoded to no more than their size justifies.

A small file can claim, or unpack to, any size. ``require_modest`` takes the size that a header claims, before
anything is allocated; ``unpacked`` decompresses no further than the limit.
"""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from zoo.errors import UserError

# Bytes that any file may decode to: 33 megapixels of RGB. With copies and conversions a reader needs up to 10
# times as much, so a hostile file of a few MB costs less than 1 GB.
LARGEST = 10**8
# A larger file may decode to so many times its own size: 100 megapixels of RGB from 15 MB. Photographs are
# compressed 3 to 15 times, what is made to fill the memory 1000 times.
RATIO = 20


def most_decoded(size: int) -> int:
    """The number of bytes that a file of ``size`` bytes may decode to."""
    return max(LARGEST, RATIO * size)


def require_modest(path: str | Path, decoded: int, size: int) -> None:
    """Refuse a file of ``size`` bytes that would decode to too many.

    Raises:
        UserError: It would decode to more than :func:`most_decoded`.
    """
    if decoded > most_decoded(size):
        raise UserError(
            f"{path} has {size / 1e6:.1f} MB but would take {decoded / 1e6:.0f} MB in memory, more than the "
            f"limit of {most_decoded(size) / 1e6:.0f} MB; cut it into smaller files, or save it uncompressed."
        )


def unpacked(
    path: str | Path, data: bytes | bytearray | memoryview, most: int, form: int = zlib.MAX_WBITS
) -> bytearray:
    """Decompress one zlib stream (or gzip, by ``form``), which may hold ``most`` bytes.

    Raises:
        UserError: It holds more.
        zlib.error: It is damaged.
        EOFError: It is cut off.
    """
    stream, found = zlib.decompressobj(form), bytearray()
    while not stream.eof and data:
        found += stream.decompress(data, 2**20)
        data = stream.unconsumed_tail
        if len(found) > most:
            raise UserError(f"{path} unpacks to more than {most} bytes; it is damaged or too large.")
    if not stream.eof:
        raise EOFError("it is cut off")
    return found


@contextmanager
def opened(path: str | Path) -> Iterator[BufferedReader]:
    """Open a regular file for reading.

    Raises:
        UserError: The file cannot be read, or is a folder, a pipe, a socket or a device.
    """
    try:
        # opening a pipe without O_NONBLOCK waits for a writer
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    try:
        with os.fdopen(number, "rb", closefd=False) as file:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise UserError(f"{path} is not a file but a pipe, socket or device; give a file.")
            yield file
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(number)


def _unreadable(path: str | Path, error: Exception) -> UserError:
    reason = error.strerror if isinstance(error, OSError) else None
    return UserError(f"Cannot read {path} ({reason or error}); check the path.")


def read_bytes(path: str | Path) -> bytes:
    """The file's bytes.

    Raises:
        UserError: As :func:`opened`.
    """
    with opened(path) as file:
        return file.read()
