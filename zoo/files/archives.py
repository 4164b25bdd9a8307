"""Archive extraction that never writes outside its folder and never overwrites."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from zoo.errors import UserError, reason_of
from zoo.files.downloads import CHUNK, readable
from zoo.files.writing import staging

MAX_FILES = 2_000_000  # per archive; ImageNet has 1.3 million
LEAST_CAP = 2**30  # bytes that any archive may extract to
MAX_RATIO = 50  # multiple of its own size that an archive may extract to, if the caller sets no limit
_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError),
    *(EOFError, NotImplementedError, ValueError, OverflowError),
)


def extract(archive: Path, folder: Path, max_bytes: int | None = None) -> None:
    """Extract an archive without writing outside ``folder`` and without overwriting.

    Everything is extracted beside ``folder`` and moved at the end, so a refused archive leaves nothing.

    Args:
        archive: A .zip, .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz, or a single file as .gz.
        folder: Destination; it may hold other files.
        max_bytes: Limit of extracted bytes; by default 50 times the archive's size, at least 1 GiB.

    Raises:
        UserError: The archive is damaged, truncated, too large or of an unknown kind; or it holds a path that
            leads outside, a link, a device, a name twice, or a file that exists in ``folder``.
    """
    try:
        unpack, length = _unpacker(archive), archive.stat().st_size
        budget = _Budget(archive, max_bytes if max_bytes is not None else max(LEAST_CAP, MAX_RATIO * length))
        with staging(folder, folder=True) as temporary:
            with _reading(archive):
                unpack(archive, temporary, budget)
            _move(temporary, folder, archive)
    except OSError as error:
        raise UserError(
            f"Cannot unpack {archive} into {folder} ({error.strerror or error}); free some space or choose "
            "another folder."
        ) from error


class _Budget:
    """Limit of extracted bytes and files, whatever the archive's headers say."""

    def __init__(self, archive: Path, max_bytes: int) -> None:
        self.archive, self.max_bytes = archive, max_bytes
        self.bytes = self.files = 0

    def add_bytes(self, count: int) -> None:
        """Count extracted bytes; refuse more than the limit."""
        self.bytes += count
        if self.bytes > self.max_bytes:
            raise UserError(
                f"{self.archive} unpacks to more than {readable(self.max_bytes)}, suspiciously much for its "
                "size; unpack it by hand if you trust it."
            )

    def add_file(self) -> None:
        """Count one member; refuse too many."""
        self.files += 1
        if self.files > MAX_FILES:
            raise UserError(
                f"{self.archive} holds more than {MAX_FILES} files; unpack it by hand if you trust it."
            )

    def copy(self, source: IO[bytes] | gzip.GzipFile, target: Path, name: str) -> None:
        """Write one member, which must not exist yet."""
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = target.open("xb")
        except (FileExistsError, IsADirectoryError) as error:
            raise UserError(
                f"{self.archive} holds {name} twice; unpack it by hand if you trust it."
            ) from error
        with file:
            while chunk := source.read(CHUNK):
                self.add_bytes(len(chunk))
                file.write(chunk)


def _unpacker(archive: Path) -> Callable[[Path, Path, _Budget], None]:
    name = archive.name.lower()
    if name.endswith(_TAR):
        return _unpack_tar
    if name.endswith((".zip", ".whl")):
        return _unpack_zip
    if name.endswith(".gz"):
        return _unpack_gz
    raise UserError(
        f"{archive} is not an archive that the zoo unpacks (.zip, .tar, .tar.gz, .tar.bz2, .tar.xz, .gz); "
        "unpack it by hand."
    )


class _Bounded(io.BufferedReader):
    """A stream of which no more than 16 MB are read at once: a header of a tar file may claim any size."""

    def read(self, size: int | None = -1) -> bytes:
        """Read ``size`` bytes."""
        if size is None or not 0 <= size <= 2**24:
            raise ValueError(f"a header claims to have {size} bytes")
        return super().read(size)


def _unpack_tar(archive: Path, folder: Path, budget: _Budget) -> None:
    with archive.open("rb") as file:
        head = file.read(6)
    openers: dict[bytes, Callable[[Path], Any]] = {
        b"\x1f\x8b": gzip.open,
        b"BZ": bz2.open,
        b"\xfd7": lzma.open,
    }
    stream = _Bounded(openers.get(head[:2], Path.open)(archive, "rb"))
    with stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        for member in tar:
            budget.add_file()
            target = _inside(folder, member.name, archive)
            if member.issym() or member.islnk():
                raise UserError(
                    f"{archive} holds a link ({member.name} to {member.linkname}), which could lead outside; "
                    "unpack it by hand if you trust it."
                )
            if not (member.isfile() or member.isdir()):
                raise UserError(
                    f"{archive} holds {member.name}, which is neither a file nor a folder; delete it."
                )
            tarfile.data_filter(member, str(folder))  # checks the names again
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            source = tar.extractfile(member)
            assert source is not None  # it is a file
            budget.copy(source, target, member.name)
        # tarfile takes a truncated or damaged header for the end; the true end is a block of zeros
        tar.fileobj.seek(tar.offset)
        if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise EOFError("its end is missing")
        while chunk := tar.fileobj.read(CHUNK):  # the compressed stream's checksum is at its end
            budget.add_bytes(len(chunk))


def _unpack_zip(archive: Path, folder: Path, budget: _Budget) -> None:
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            budget.add_file()
            target = _inside(folder, member.filename, archive)
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise UserError(
                    f"{archive} holds {member.filename}, which is a link or a device; unpack it by hand if "
                    "you trust it."
                )
            if member.flag_bits & 1:
                raise UserError(f"{archive} is encrypted; unpack it by hand with its password.")
            if member.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            with file.open(member) as source:
                budget.copy(source, target, member.filename)


def _unpack_gz(archive: Path, folder: Path, budget: _Budget) -> None:
    with gzip.open(archive) as source:
        budget.copy(source, folder / archive.name[: -len(".gz")], archive.name)


def _inside(folder: Path, name: str, archive: Path) -> Path:
    """The path of a member, which must be inside ``folder``."""
    parts = name.replace("\\", "/").split("/")
    if not name or name[0] in "/\\" or ".." in parts or ":" in parts[0] or "\0" in name:
        raise UserError(
            f"{archive} holds {name!r}, which leads outside its folder; delete it, it may be malicious."
        )
    return folder.joinpath(*[part for part in parts if part not in ("", ".")])


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Convert what readers raise on damaged bytes to a UserError."""
    try:
        yield
    except _DAMAGED as error:
        raise UserError(
            f"{archive} is damaged or truncated ({reason_of(error)}); delete it and download it again."
        ) from error


def _move(temporary: Path, folder: Path, archive: Path) -> None:
    """Move all extracted files into ``folder``, or none if one of them exists there."""
    if not folder.exists():
        temporary.rename(folder)
        return
    for path in temporary.rglob("*"):
        there = folder / path.relative_to(temporary)
        if there.is_symlink() or (there.exists() and not (path.is_dir() and there.is_dir())):
            raise UserError(f"{there} exists already, so {archive} was not unpacked; move it away.")
    for path in sorted(temporary.rglob("*")):
        there = folder / path.relative_to(temporary)
        if path.is_dir():
            there.mkdir(exist_ok=True)
        else:
            path.rename(there)
