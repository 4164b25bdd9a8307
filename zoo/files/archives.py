"""Archives, unpacked so that nothing is written outside their folder and nothing is overwritten."""

from __future__ import annotations

import gzip
import lzma
import secrets
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from zoo.errors import UserError
from zoo.files.downloads import CHUNK, readable

MAX_FILES = 2_000_000  # in one archive; ImageNet has 1.3 million
LEAST_CAP = 2**30  # an archive may always grow to this many bytes
MAX_RATIO = 50  # and to this multiple of its own size, where the caller sets no cap
_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


# ------------------------------------------------------------------------------------------------- extraction
def extract(archive: Path, folder: Path, max_bytes: int | None = None) -> None:
    """Unpack an archive so that nothing is written outside ``folder`` and nothing there is overwritten.

    All is unpacked beside ``folder`` first and moved there at the end, so a refused archive leaves nothing.

    Args:
        archive: A .zip, .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz, or a single file as .gz.
        folder: Where its files shall stand; it may hold others already.
        max_bytes: The most that may come out, counted as it comes; 50 times the archive's size, at
            least 1 GiB, when not given.

    Raises:
        UserError: The archive is damaged, cut off, too large, of another kind, or holds a name that leads
            outside, a link, a device, a name twice, or a file that stands in ``folder`` already.
    """
    try:
        unpack, length = _unpacker(archive), archive.stat().st_size
        budget = _Budget(archive, max_bytes if max_bytes is not None else max(LEAST_CAP, MAX_RATIO * length))
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.part"
        temporary.mkdir()
        try:
            with _reading(archive):
                unpack(archive, temporary, budget)
            _move(temporary, folder, archive)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"Cannot unpack {archive} into {folder} ({error.strerror or error}); make room or choose another "
            "folder."
        ) from error


def is_archive(name: str) -> bool:
    """Whether :func:`extract` knows this kind of file, by its name."""
    return name.lower().endswith((*_TAR, ".zip", ".whl", ".gz"))


class _Budget:
    """Counts what comes out of an archive, whatever its headers say."""

    def __init__(self, archive: Path, max_bytes: int) -> None:
        self.archive, self.max_bytes = archive, max_bytes
        self.bytes = self.files = 0

    def add_bytes(self, count: int) -> None:
        """So many more came out.

        Raises:
            UserError: That is too much.
        """
        self.bytes += count
        if self.bytes > self.max_bytes:
            raise UserError(
                f"{self.archive} unpacks to more than {readable(self.max_bytes)}, which is too much for its "
                "size; unpack it by hand if you trust it."
            )

    def add_file(self) -> None:
        """One more member.

        Raises:
            UserError: These are too many.
        """
        self.files += 1
        if self.files > MAX_FILES:
            raise UserError(
                f"{self.archive} holds more than {MAX_FILES} files; unpack it by hand if you trust it."
            )

    def copy(self, source: IO[bytes] | gzip.GzipFile, target: Path, name: str) -> None:
        """Write one member, which must not be there yet."""
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
        f"{archive} is no archive that the zoo unpacks (.zip, .tar, .tar.gz, .tar.bz2, .tar.xz, .gz); "
        "unpack it by hand."
    )


def _unpack_tar(archive: Path, folder: Path, budget: _Budget) -> None:
    with tarfile.open(archive, "r:*") as tar:
        for member in tar:
            budget.add_file()
            target = _inside(folder, member.name, archive)
            if member.issym() or member.islnk():
                raise UserError(
                    f"{archive} holds a link ({member.name} to {member.linkname}), which could lead outside; "
                    "unpack it by hand if you trust it."
                )
            if not (member.isfile() or member.isdir()):
                raise UserError(f"{archive} holds {member.name}, neither a file nor a folder; delete it.")
            tarfile.data_filter(member, str(folder))  # a second opinion on names
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            source = tar.extractfile(member)
            assert source is not None  # it is a file
            budget.copy(source, target, member.name)
        # tarfile takes a cut or a damaged head for the end: only a block of zeros is one
        tar.fileobj.seek(tar.offset)
        if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise EOFError("its end is missing")
        while chunk := tar.fileobj.read(CHUNK):  # to the end, where the compressed stream has its checksum
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
    """The place of a member, which must lie in ``folder``."""
    parts = name.replace("\\", "/").split("/")
    if not name or name[0] in "/\\" or ".." in parts or ":" in parts[0] or "\0" in name:
        raise UserError(
            f"{archive} holds {name!r}, which leads outside its folder; delete it, it may be malicious."
        )
    return folder.joinpath(*[part for part in parts if part not in ("", ".")])


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Turn whatever a reader raises on damaged bytes into a sentence."""
    try:
        yield
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        gzip.BadGzipFile,
        EOFError,
        zlib.error,
        lzma.LZMAError,
        NotImplementedError,
        ValueError,
    ) as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise UserError(f"{archive} is damaged or cut off ({reason}); delete it and get it again.") from error


def _move(temporary: Path, folder: Path, archive: Path) -> None:
    """Give the unpacked files their place; all of them, or none where one stands in the way."""
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
