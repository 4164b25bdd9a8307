"""Verified, resumable downloads.

A file grows as ``NAME.part``, where an interrupted download resumes, and is renamed to ``NAME`` once its size
and SHA-256 are verified. Existing files are never overwritten, and ``ZOO_OFFLINE=1`` opens no socket.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO, Any, BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from zoo.errors import UserError
from zoo.files import writing
from zoo.files.reading import read_bytes

TRIES = 3  # rounds over all URLs without progress before giving up
LEAST_PROGRESS = 2**20  # bytes per round
PAUSE = 2.0  # seconds between two rounds
LEAST_BYTES = 1024  # a server that sends fewer in ``timeout`` seconds has stalled
CHUNK = 2**18
ELSEWHERE = "choose another folder"
_AGENT = "gan-application-zoo (https downloads of public data sets)"


class NotDownloaded(UserError):
    """No URL has the file.

    Args:
        name: Name of the file.
        reasons: Why, per host.
        advice: What to do.
        kept: Bytes that are kept, where the next call resumes.
    """

    def __init__(self, name: str, reasons: str, advice: str, kept: int = 0) -> None:
        super().__init__(f"{name} could not be downloaded: {reasons}; {advice}.")
        self.reasons, self.kept = reasons, kept


class _Fault(Exception):
    """Why a URL failed; ``lasting`` if a retry cannot help."""

    def __init__(self, text: str, lasting: bool = False) -> None:
        super().__init__(text)
        self.lasting = lasting


def download(
    urls: Sequence[str],
    target: Path,
    sha256: str | None = None,
    size: int | None = None,
    progress: bool = True,
    timeout: float = 30.0,
    elsewhere: str = ELSEWHERE,
) -> Path:
    """Download a file from the first URL that has it, unless it exists.

    Args:
        urls: Mirrors, in order: https, or http if ``sha256`` is given. Redirects obey the same rule.
        target: File to create, with its parent folders.
        sha256: Expected SHA-256 in hexadecimal, if known.
        size: Expected size in bytes, if known.
        progress: Whether to show progress on stderr: a bar on a terminal, else a line at start and end.
        timeout: Seconds to wait for a response, and for each further kilobyte.
        elsewhere: How another folder is chosen, for messages.

    Returns:
        ``target``, with the expected contents.

    Raises:
        UserError: No URL has the file, its contents are not as expected, another file has its name, the disk
            is too full, another process is downloading it, or ``ZOO_OFFLINE`` is set.
    """
    if target.exists():
        _require_same(target, sha256, size)
        return target
    hosts = ", ".join(dict.fromkeys(_host(url) for url in urls))
    if offline():
        raise UserError(
            f"ZOO_OFFLINE is set, so {target.name} was not downloaded from {hosts}; unset it and run the "
            f"command again, or save the file as {target}."
        )
    allowed = [url for url in urls if refusal(url, sha256 is not None) is None]
    if not allowed:
        reasons = "; ".join(str(refusal(url, sha256 is not None)) for url in urls)
        raise UserError(
            f"{target.name} was not downloaded: {reasons}; download it with a browser, check that it is "
            f"the right file, and save it as {target}."
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with alone(target):
            if target.exists():  # another process was faster
                _require_same(target, sha256, size)
                return target
            part = target.with_name(target.name + ".part")
            try:
                show = _Progress(target.name, progress)
                with part.open("a+b") as file:
                    _Part(file, target, sha256, size, show, timeout, elsewhere).fetch(allowed)
                os.replace(part, target)
                show.end(target.stat().st_size, sha256 is not None)
            finally:
                if part.exists() and not part.stat().st_size:
                    part.unlink()
                    _sidecar(part).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"Cannot write {target} ({error.strerror or error}); free some space or {elsewhere}."
        ) from error
    return target


def offline() -> bool:
    """Whether ``ZOO_OFFLINE`` forbids connections."""
    return os.environ.get("ZOO_OFFLINE", "0") not in ("", "0")


def refusal(url: str, pinned: bool) -> str | None:
    """Why a URL may not be used, or None: https always may be, http only if the file's SHA-256 is pinned."""
    scheme, host = urlsplit(url).scheme, _host(url)
    if scheme == "https" or (scheme == "http" and pinned):
        return None
    if scheme == "http":
        return f"{host} offers it over http, where anyone in between can alter it, and its SHA-256 is unknown"
    return f"{host or url} uses {scheme or 'no protocol'} instead of https"


def readable(size: float) -> str:
    """A number of bytes with its unit: ``11.6 MB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"


def require_space(folder: Path, needed: int, what: str, elsewhere: str = ELSEWHERE) -> None:
    """Require free space for a file.

    Raises:
        UserError: Fewer than ``needed`` bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{what} needs {readable(needed)}, but {folder} has {readable(free)} free; free some space "
            f"or {elsewhere}."
        )


@dataclass(frozen=True)
class _Part:
    """A growing part file, and what the whole file must be."""

    file: BinaryIO
    target: Path
    sha256: str | None
    size: int | None
    show: _Progress
    timeout: float
    elsewhere: str

    @property
    def path(self) -> Path:
        """The part file."""
        return Path(self.file.name)

    @property
    def length(self) -> int:
        """Bytes received so far."""
        self.file.flush()
        return os.fstat(self.file.fileno()).st_size

    def fetch(self, urls: Sequence[str]) -> None:
        """Try the URLs one after the other until the file is complete and verified."""
        faults: dict[str, _Fault] = {}
        furthest, fruitless = self.length, 0
        if self.size is not None:
            lacking = self.size - min(furthest, self.size)
            require_space(self.target.parent, lacking, self.target.name, self.elsewhere)
        while fruitless < TRIES:
            for url in urls:
                if url in faults and faults[url].lasting:
                    continue
                try:
                    self._verify(in_one_piece=self._receive(url))
                except _Fault as fault:
                    faults[url] = fault
                    continue
                finally:
                    self.show.pause()
                os.fsync(self.file.fileno())
                _sidecar(self.path).unlink(missing_ok=True)
                return
            if all(url in faults and faults[url].lasting for url in urls):
                break
            fruitless = 0 if self.length > furthest + LEAST_PROGRESS else fruitless + 1
            furthest = max(furthest, self.length)
            if fruitless < TRIES:
                time.sleep(PAUSE)
        reasons = "; ".join(f"{_host(url)} {fault}" for url, fault in faults.items())
        again = f"try again later, or save the file as {self.target} yourself"
        if kept := self.length:
            again = f"run the same command again to resume after {readable(kept)}"
        raise NotDownloaded(self.target.name, reasons, again, kept)

    def _receive(self, url: str) -> bool:
        """Append the missing bytes, or restart if the server cannot resume.

        Returns:
            Whether one response of known length had the whole file, so that a retry would return the same.
        """
        pinned, size = self.sha256 is not None, self.size
        known = _read_sidecar(_sidecar(self.path))
        start = self.length
        same_place = known.get("url") == url
        if start and not (pinned or (same_place and (known.get("validator") or known.get("total")))):
            start = 0  # nothing could tell whether the rest belongs to these bytes
        request = Request(url, headers={"User-Agent": _AGENT, "Accept-Encoding": "identity"})
        if start:
            request.add_header("Range", f"bytes={start}-")
            if same_place and known.get("validator"):
                request.add_header("If-Range", known["validator"])
        with _answer(request, pinned, self.timeout) as response:
            total = _total(response)
            if response.status == 416:  # range not satisfiable: the part is complete, or longer than the file
                if start != (size if size is not None else total):
                    self.file.truncate(0)
                    raise _Fault("has a file shorter than the part already downloaded")
                return False
            if response.status == 206:
                expected = size if size is not None else known.get("total") if same_place else None
                began = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
                if not began or int(began[1]) != start or (expected and total and expected != total):
                    self.file.truncate(0)
                    raise _Fault("resumed with another file than the one it began with")
            else:
                start = 0
            if "text/html" in response.headers.get("Content-Type", "") and not pinned:
                raise _Fault("sent a web page instead of the file (a login or an agreement?)", lasting=True)
            if size is not None and total is not None and total != size:
                raise _Fault(f"has {total} bytes instead of the expected {size}", lasting=True)
            if total is None and size is None and not pinned and not response.chunked:
                unseen = "does not state the file's length, so a truncated file would go unnoticed"
                raise _Fault(unseen, lasting=True)
            if total is not None:
                require_space(self.path.parent, total - start, self.path.stem, self.elsewhere)
            state = {"url": url, "validator": _validator(response), "total": total}
            _sidecar(self.path).write_text(json.dumps(state), encoding="utf-8")
            self.file.truncate(start)
            expected = total if total is not None else size
            self.show.begin(_host(url), start, expected)
            self._copy(response, start, expected)
        return start == 0 and total is not None

    def _copy(self, response: HTTPResponse, done: int, total: int | None) -> None:
        mark, since = time.monotonic(), 0
        while True:
            try:
                chunk = response.read1(CHUNK)
            except TimeoutError as error:
                raise _Fault(f"sent nothing for {self.timeout:g} s") from error
            except (HTTPException, OSError) as error:
                raise _Fault(f"closed the connection after {readable(done)}") from error
            if not chunk:
                break
            self.file.write(chunk)
            done, since = done + len(chunk), since + len(chunk)
            self.show.advance(len(chunk))
            if total is not None and done > total:
                self.file.truncate(0)
                raise _Fault(f"sent more than the expected {total} bytes", lasting=True)
            if (now := time.monotonic()) - mark > self.timeout:
                if since < LEAST_BYTES:
                    raise _Fault(f"sent only {since} bytes in {self.timeout:g} s")
                mark, since = now, 0
        self.file.flush()
        if total is not None and done < total:
            raise _Fault(f"closed the connection after {readable(done)} of {readable(total)}")

    def _verify(self, in_one_piece: bool) -> None:
        """Compare size and SHA-256 with the expected ones; discard wrong bytes."""
        wrong = ""
        if self.size is not None and self.length != self.size:
            wrong = f"sent {self.length} bytes instead of the expected {self.size}"
        elif self.sha256 is not None and (found := writing.sha256(self.path)) != self.sha256.lower():
            wrong = f"sent a file whose SHA-256 is {found}, not the expected {self.sha256}"
        if wrong:
            self.file.truncate(0)
            _sidecar(self.path).unlink(missing_ok=True)
            # a file of two responses may be wrong only because it changed in between
            raise _Fault(wrong, lasting=in_one_piece)


class _Answers(HTTPRedirectHandler):
    """Follow redirects only to URLs that may be used directly; status 416 is a response, not an error."""

    def __init__(self, pinned: bool) -> None:
        self.pinned = pinned

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """The next request."""
        if reason := refusal(newurl, self.pinned):
            raise _Fault(f"redirects to a URL that may not be used ({reason})", lasting=True)
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_416(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage
    ) -> IO[bytes]:
        """The response itself: there are no bytes in the requested range."""
        return fp


@contextmanager
def _answer(request: Request, pinned: bool, timeout: float) -> Iterator[HTTPResponse]:
    try:
        response = build_opener(_Answers(pinned)).open(request, timeout=timeout)
    except HTTPError as error:
        error.close()
        if "redirect" in str(error.reason).lower() or 300 <= error.code < 400:
            raise _Fault("redirects in a circle", lasting=True) from error
        gone = 400 <= error.code < 500 and error.code not in (408, 425, 429)
        raise _Fault(f"answered {error.code} ({error.reason})", lasting=gone) from error
    except (URLError, HTTPException, OSError) as error:  # a TimeoutError is an OSError
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, TimeoutError):
            raise _Fault(f"did not respond within {timeout:g} s") from error
        text = reason.strerror if isinstance(reason, OSError) and reason.strerror else reason
        raise _Fault(f"cannot be reached ({text})") from error
    with response:
        yield response


def _total(response: HTTPResponse) -> int | None:
    """Length of the whole file, if the response states it."""
    if whole := re.search(r"/(\d+)$", response.headers.get("Content-Range", "")):
        return int(whole[1])
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() and response.status == 200 else None


def _validator(response: HTTPResponse) -> str | None:
    """Value for If-Range: a strong ETag, else the date."""
    etag = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def _sidecar(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _read_sidecar(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_bytes(path))
    except (UserError, ValueError, RecursionError):
        return {}
    kinds = {"url": str, "validator": str, "total": int}
    return (
        {key: v for key, v in found.items() if isinstance(v, kinds.get(key, ()))}
        if isinstance(found, dict)
        else {}
    )


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _require_same(target: Path, sha256: str | None, size: int | None) -> None:
    """Require that an existing file is the wanted one."""
    advice = "move it away and run the command again"
    if not target.is_file():
        raise UserError(f"{target} exists but is not a file; {advice}.")
    if size is not None and target.stat().st_size != size:
        raise UserError(f"{target} exists with {target.stat().st_size} bytes, not {size}; {advice}.")
    if sha256 is not None and (found := writing.sha256(target)) != sha256.lower():
        raise UserError(f"{target} exists but its SHA-256 is {found}, not {sha256}; {advice}.")


@contextmanager
def alone(path: Path, wait: bool = False) -> Iterator[None]:
    """Hold the lock ``NAME.lock`` beside a file or folder; it ends with the process, however that ends.

    Args:
        path: File or folder.
        wait: Whether to wait while another process holds it.

    Raises:
        UserError: Another process holds it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(path.name + ".lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        if not wait:
            raise UserError(
                f"Another process is downloading {path}; wait until it finishes, then run the command again."
            ) from error
        print(f"Another process is downloading {path}; waiting for it.", file=sys.stderr)
        lock.acquire(timeout=-1)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows cannot delete an open file
            Path(lock.lock_file).unlink()
        lock.release()


class _Progress:
    """A progress bar on a terminal, else a line at start and end; on stderr, since stdout is for results."""

    def __init__(self, name: str, wanted: bool) -> None:
        from rich import progress as rich
        from rich.console import Console

        self.name, self.wanted = name, wanted
        console = Console(stderr=True)
        columns = (rich.BarColumn(), rich.DownloadColumn(), rich.TransferSpeedColumn())
        self.bar = rich.Progress(
            rich.TextColumn("{task.description}", markup=False),
            *(*columns, rich.TimeRemainingColumn()),
            console=console,
            transient=True,
            disable=not (wanted and console.is_terminal),
        )
        self.task = self.bar.add_task(name, total=None)
        self.said = False

    def begin(self, host: str, start: int, total: int | None) -> None:
        """Bytes will come from ``host``; ``start`` of them are on disk."""
        if self.wanted and self.bar.disable and not self.said:
            length = f" ({readable(total)})" if total is not None else ""
            print(f"Downloading {self.name}{length} from {host}", file=sys.stderr)
            self.said = True
        self.bar.reset(self.task, total=total, completed=start)
        self.bar.start()

    def advance(self, count: int) -> None:
        """``count`` more bytes are on disk."""
        self.bar.advance(self.task, count)

    def pause(self) -> None:
        """No bytes are coming."""
        self.bar.stop()

    def end(self, size: int, pinned: bool) -> None:
        """The file is complete."""
        if self.wanted:
            checked = "SHA-256 as expected" if pinned else "not verified, since no SHA-256 of it is published"
            print(f"Downloaded {self.name}: {readable(size)}, {checked}", file=sys.stderr)
