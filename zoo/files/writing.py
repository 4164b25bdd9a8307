"""Plain files: atomic writes, hashes, and the cache folder."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from zoo.errors import UserError
from zoo.files.reading import opened

REPORT = "ZOO_REPORT"  # environment variable: see `report`
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.part")  # names that `staging` gives
_swept: set[Path] = set()  # folders in which this process has removed what dead ones left


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing: readers see the old file or the whole new one, never a part.

    Parent folders are created. An exception leaves the old file untouched.
    """
    with staging(path) as temporary:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)


@contextmanager
def staging(target: Path, folder: bool = False) -> Iterator[Path]:
    """A temporary file or folder beside ``target``, to be renamed to it; removed at the end otherwise.

    It is locked while its writer lives. What dead writers have left in the same folder is removed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if (parent := target.parent.absolute()) not in _swept:
        _swept.add(parent)
        with suppress(OSError):
            _remove_dead(parent.iterdir())
    temporary, lock = None, None
    while temporary is None or not temporary.exists():  # another process may sweep before it is locked
        # in the same folder, so that renaming never copies; names of files may have 255 bytes
        stem = os.fsencode(target.name)[:200].decode(errors="ignore")
        temporary = target.with_name(f".{stem}.{secrets.token_hex(4)}.part")
        temporary.mkdir() if folder else temporary.touch(exist_ok=False)
        lock = _locked(temporary, wait=True)
    try:
        yield temporary
    finally:
        _remove(temporary)
        if lock is not None:
            os.close(lock)


def sweep(folder: Path) -> None:
    """Remove all temporary files and folders below ``folder`` whose writers have died."""
    for parent, folders, files in os.walk(folder):
        _remove_dead(Path(parent, name) for name in (*folders, *files))
        folders[:] = [name for name in folders if not _TEMPORARY.fullmatch(name)]


def _remove_dead(paths: Iterable[Path]) -> None:
    for path in paths:
        if _TEMPORARY.fullmatch(path.name) and (lock := _locked(path)) is not None:
            _remove(path)
            os.close(lock)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _locked(path: Path, wait: bool = False) -> int | None:
    """Lock a file or folder: the open handle, or None if it is locked, gone or cannot be locked here."""
    if sys.platform == "win32":
        return None
    import fcntl

    handle = None
    try:
        handle = os.open(path, (os.O_RDONLY if path.is_dir() else os.O_RDWR) | os.O_NOFOLLOW)
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        if handle is not None:
            os.close(handle)
        return None
    return handle


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Name a file that cannot be written.

    Raises:
        UserError: The block has raised an OSError.
    """
    try:
        yield
    except OSError as error:
        advice = "free some space or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise UserError(
            f"Cannot write {path} ({error.strerror or error}); {advice}choose another place."
        ) from error


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file atomically; see :func:`replacing`.

    Raises:
        UserError: The file cannot be written there.
    """
    with writing(path), replacing(Path(path)) as file:
        file.write(data)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text as :func:`write_bytes` does."""
    write_bytes(path, text.encode())


def existing(path: Path) -> Path:
    """The path itself, or the nearest of its parents that exists."""
    path = path.absolute()
    return next(place for place in (path, *path.parents) if os.path.lexists(place))


def require_writable(path: Path) -> None:
    """Require that a file or folder can be written or made, before hours of work for it.

    Raises:
        UserError: It cannot.
    """
    with writing(path):
        place = existing(path)
        if place.is_file():
            if place != path.absolute():
                raise NotADirectoryError(errno.ENOTDIR, f"{place} is a file")
            place = place.parent
        with tempfile.TemporaryFile(dir=place):
            pass


def append_text(path: Path, text: str) -> None:
    """Append UTF-8 text to a file.

    Raises:
        UserError: The file cannot be written there.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(text)


def report(**facts: Any) -> None:
    """Append facts to the file that ``$ZOO_REPORT`` names, for the command that started this process."""
    if file := os.environ.get(REPORT):
        append_text(Path(file), json.dumps(facts) + "\n")


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
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
