"""Plain files: atomic writes, bytes, hashes, and the cache folder."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from zoo.errors import UserError


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file so that a reader sees the old one or the whole new one, never a part; folders are made.

    Raises:
        UserError: The file cannot be written there.
    """
    path = Path(path)
    temporary = path.with_name(
        f".{path.name}.{secrets.token_hex(4)}.part"
    )  # same folder: replace must not copy
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"Cannot write {path} ({error.strerror or error}); choose another place.") from error


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text as :func:`write_bytes` does."""
    write_bytes(path, text.encode())


def cache_folder() -> Path:
    """Where fetched and computed files are kept: ``$ZOO_CACHE`` or ``~/.cache/gan-application-zoo``."""
    stated = os.environ.get("ZOO_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(stated) if stated else Path(base) / "gan-application-zoo"


def sha256(path: str | Path) -> str:
    """The file's SHA-256 in hexadecimal.

    Raises:
        UserError: The file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"Cannot read {path} ({error.strerror or error}); check the path.") from error


def read_bytes(path: Path) -> bytes:
    """The file's bytes.

    Raises:
        UserError: The file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"Cannot read {path} ({error.strerror or error}); check the path.") from error
