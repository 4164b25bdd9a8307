"""Plain files: atomic writes, bytes, hashes, and the cache folder."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from zoo.errors import UserError


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing: readers see the old file or the whole new one, never a part.

    Parent folders are created. An exception leaves the old file untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # in the same folder, so that replacing never copies
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file atomically; see :func:`replacing`.

    Raises:
        UserError: The file cannot be written there.
    """
    try:
        with replacing(Path(path)) as file:
            file.write(data)
    except OSError as error:
        raise UserError(f"Cannot write {path} ({error.strerror or error}); choose another place.") from error


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text as :func:`write_bytes` does."""
    write_bytes(path, text.encode())


def cache_folder() -> Path:
    """Folder of fetched and computed files: ``$ZOO_CACHE`` or ``~/.cache/gan-application-zoo``."""
    stated = os.environ.get("ZOO_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(stated) if stated else Path(base) / "gan-application-zoo"


def sha256(path: str | Path) -> str:
    """The file's SHA-256 in hexadecimal.

    Raises:
        UserError: The file cannot be read.
    """
    with _reading(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_bytes(path: Path) -> bytes:
    """The file's bytes.

    Raises:
        UserError: The file cannot be read.
    """
    with _reading(path) as file:
        return file.read()


@contextmanager
def _reading(path: str | Path) -> Iterator[BufferedReader]:
    try:
        with Path(path).open("rb") as file:
            yield file
    except OSError as error:
        raise UserError(f"Cannot read {path} ({error.strerror or error}); check the path.") from error
