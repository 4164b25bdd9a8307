"""Downloads that are verified before they get their name.

A file grows as ``NAME.part``, is resumed there after a cut, and becomes ``NAME`` only when its size and
SHA-256 are as expected. Nothing that exists is overwritten, and ``ZOO_OFFLINE=1`` opens no socket.
"""

from __future__ import annotations

import errno
import fcntl
import http.client
import json
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO
from urllib.parse import urlsplit

from zoo.errors import UserError
from zoo.files import writing

TRIES = 3  # rounds over all addresses that brought hardly anything before giving up
HARDLY_ANYTHING = 2**20  # bytes
PAUSE = 2.0  # seconds between two rounds
LEAST_BYTES = 1024  # a server that sends less than this in ``timeout`` seconds has stalled
CHUNK = 2**18
_AGENT = "gan-application-zoo (https downloads of public data sets)"


class _Fault(Exception):
    """Why one address brought nothing; ``lasting`` when asking again cannot help."""

    def __init__(self, text: str, lasting: bool = False) -> None:
        super().__init__(text)
        self.lasting = lasting


# -------------------------------------------------------------------------------------------------- downloads
def download(
    urls: Sequence[str],
    target: Path,
    sha256: str | None = None,
    size: int | None = None,
    progress: bool = True,
    timeout: float = 30.0,
) -> Path:
    """Fetch a file unless it is there, from the first address that has it.

    Args:
        urls: Mirrors, in order: https, or http when ``sha256`` is given. Redirects obey the same rule.
        target: The file to make; folders are made.
        sha256: In hexadecimal, where it is known.
        size: In bytes, where it is known.
        progress: Show a bar with the time left on a terminal, else a line at start and end, on stderr.
        timeout: Seconds to wait for an answer, and for each further kilobyte.

    Returns:
        ``target``, which holds the expected bytes.

    Raises:
        UserError: No address brought the file, it is not the expected one, another file stands in its
            place, the disk is too full, another process is fetching it, or ``ZOO_OFFLINE`` is set.
    """
    if target.exists():
        _require_same(target, sha256, size)
        return target
    hosts = ", ".join(dict.fromkeys(_host(url) for url in urls))
    if os.environ.get("ZOO_OFFLINE", "0") not in ("", "0"):
        raise UserError(
            f"ZOO_OFFLINE is set, so {target.name} was not fetched from {hosts}; unset it and run the "
            f"command again, or put the file at {target}."
        )
    allowed = [url for url in urls if refusal(url, sha256 is not None) is None]
    if not allowed:
        reasons = "; ".join(str(refusal(url, sha256 is not None)) for url in urls)
        raise UserError(
            f"{target.name} was not fetched: {reasons}; download it with a browser, make sure that it is "
            f"the right file, and put it at {target}."
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_name(target.name + ".part"), target) as file:
            if target.exists():  # another process was faster
                _require_same(target, sha256, size)
                return target
            _fetch(allowed, target, file, sha256, size, _Progress(target.name, progress), timeout)
    except OSError as error:
        raise UserError(
            f"Cannot write {target} ({error.strerror or error}); make room or choose another folder."
        ) from error
    return target


def refusal(url: str, pinned: bool) -> str | None:
    """Why an address may not be used, or None: https always may, http when the file's SHA-256 is pinned."""
    scheme, host = urlsplit(url).scheme, _host(url)
    if scheme == "https" or (scheme == "http" and pinned):
        return None
    if scheme == "http":
        return f"{host} offers it over http, which anyone on the way can alter, and its SHA-256 is not known"
    return f"{host or url} would be asked over {scheme or 'no protocol'}, not over https"


def readable(size: float) -> str:
    """A number of bytes as people write it: ``11.6 MB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"


def require_space(folder: Path, needed: int, what: str) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises:
        UserError: Fewer than ``needed`` bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{what} needs {readable(needed)}, but {folder} has {readable(free)} free; make room or choose "
            "another folder."
        )


def _fetch(
    urls: Sequence[str],
    target: Path,
    file: BinaryIO,
    sha256: str | None,
    size: int | None,
    show: _Progress,
    timeout: float,
) -> None:
    """Go round the addresses until the part file is whole, then give it its name."""
    part = Path(file.name)
    faults: dict[str, _Fault] = {}
    furthest, fruitless = _length(file), 0
    if size is not None:
        require_space(target.parent, size - min(furthest, size), target.name)
    while fruitless < TRIES:
        for url in urls:
            if url in faults and faults[url].lasting:
                continue
            try:
                in_one_piece = _receive(url, file, sha256 is not None, size, show, timeout)
                _verify(file, part, sha256, size, in_one_piece)
            except _Fault as fault:
                faults[url] = fault
                continue
            finally:
                show.pause()
            os.fsync(file.fileno())
            _sidecar(part).unlink(missing_ok=True)
            os.replace(part, target)
            show.end(target.stat().st_size, sha256 is not None)
            return
        if all(url in faults and faults[url].lasting for url in urls):
            break
        reached = _length(file)
        fruitless = 0 if reached > furthest + HARDLY_ANYTHING else fruitless + 1
        furthest = max(furthest, reached)
        if fruitless < TRIES:
            time.sleep(PAUSE)
    reasons = "; ".join(f"{_host(url)} {fault}" for url, fault in faults.items())
    kept = _length(file)
    again = (
        f"run the same command again, it goes on after the {readable(kept)} that are there"
        if kept
        else f"try again later, or put the file at {target} yourself"
    )
    raise UserError(f"{target.name} could not be downloaded: {reasons}; {again}.")


def _receive(
    url: str, file: BinaryIO, pinned: bool, size: int | None, show: _Progress, timeout: float
) -> bool:
    """Append what is missing, or begin anew where the server does not continue.

    Returns:
        Whether the file came in one piece of known length, so that the same answer would bring the same file.
    """
    sidecar = _sidecar(Path(file.name))
    known = _read_sidecar(sidecar)
    start = _length(file)
    same_place = known.get("url") == url
    if start and not (pinned or (same_place and (known.get("validator") or known.get("total")))):
        start = 0  # nothing would tell whether the rest belongs to this beginning
    request = urllib.request.Request(url, headers={"User-Agent": _AGENT, "Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
        if same_place and known.get("validator"):
            request.add_header("If-Range", known["validator"])
    with _answer(request, pinned, timeout) as response:
        if response.status == 416:
            _after_416(file, response, start, size)
            return False
        total = _total(response)
        if response.status == 206:
            expected = size if size is not None else known.get("total") if same_place else None
            began = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
            if not began or int(began[1]) != start or (expected and total and expected != total):
                file.truncate(0)
                raise _Fault("went on with another file than it began with")
        else:
            start = 0
        if "text/html" in response.headers.get("Content-Type", "") and not pinned:
            raise _Fault("sent a web page in place of the file (a login or an agreement?)", lasting=True)
        if size is not None and total is not None and total != size:
            raise _Fault(f"has {total} bytes where {size} were expected", lasting=True)
        if total is None and size is None and not pinned and not response.chunked:
            raise _Fault("does not say how long the file is, so a cut would not be noticed", lasting=True)
        if total is not None:
            require_space(Path(file.name).parent, total - start, Path(file.name).stem)
        sidecar.write_text(
            json.dumps({"url": url, "validator": _validator(response), "total": total}), encoding="utf-8"
        )
        file.truncate(start)
        show.begin(_host(url), start, total if total is not None else size)
        _copy(response, file, start, total if total is not None else size, show, timeout)
    return start == 0 and total is not None


def _copy(
    response: http.client.HTTPResponse,
    file: BinaryIO,
    done: int,
    total: int | None,
    show: _Progress,
    timeout: float,
) -> None:
    mark, since = time.monotonic(), 0
    while True:
        try:
            chunk = response.read1(CHUNK)
        except TimeoutError as error:
            raise _Fault(f"sent nothing for {timeout:g} s") from error
        except (http.client.HTTPException, OSError) as error:
            raise _Fault(f"cut the connection after {readable(done)}") from error
        if not chunk:
            break
        file.write(chunk)
        done, since = done + len(chunk), since + len(chunk)
        show.advance(len(chunk))
        if total is not None and done > total:
            file.truncate(0)
            raise _Fault(f"sent more than the {total} bytes that were expected", lasting=True)
        if (now := time.monotonic()) - mark > timeout:
            if since < LEAST_BYTES:
                raise _Fault(f"sent only {since} bytes in {timeout:g} s")
            mark, since = now, 0
    file.flush()
    if total is not None and done < total:
        raise _Fault(f"cut the connection after {readable(done)} of {readable(total)}")


def _verify(file: BinaryIO, part: Path, sha256: str | None, size: int | None, in_one_piece: bool) -> None:
    """Compare with what was expected; bytes that are wrong are not kept."""
    found_size = _length(file)
    wrong = ""
    if size is not None and found_size != size:
        wrong = f"sent {found_size} bytes where {size} were expected"
    elif sha256 is not None and (found := writing.sha256(part)) != sha256.lower():
        wrong = f"sent a file whose SHA-256 is {found}, not {sha256} as expected"
    if wrong:
        file.truncate(0)
        _sidecar(part).unlink(missing_ok=True)
        # put together from two answers it may be wrong only because the file changed in between
        raise _Fault(wrong, lasting=in_one_piece)


def _after_416(file: BinaryIO, response: http.client.HTTPResponse, start: int, size: int | None) -> None:
    """The server has nothing after ``start``: all is there, or the part is no beginning of its file."""
    if start != (size if size is not None else _total(response)):
        file.truncate(0)
        raise _Fault("has a shorter file than the part that is there")


class _Answers(urllib.request.HTTPRedirectHandler):
    """Follow redirects only to addresses that could have been asked directly; 416 is an answer, no error."""

    def __init__(self, pinned: bool) -> None:
        self.pinned = pinned

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """The next request, or a fault."""
        if reason := refusal(newurl, self.pinned):
            raise _Fault(f"sends on to an address that may not be used ({reason})", lasting=True)
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_416(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
    ) -> IO[bytes]:
        """The answer itself: nothing lies behind the range that was asked for."""
        return fp


@contextmanager
def _answer(
    request: urllib.request.Request, pinned: bool, timeout: float
) -> Iterator[http.client.HTTPResponse]:
    opener = urllib.request.build_opener(_Answers(pinned))
    try:
        response = opener.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if "redirect" in str(error.reason).lower() or 300 <= error.code < 400:
            raise _Fault("sends on in a circle", lasting=True) from error
        else:
            gone = 400 <= error.code < 500 and error.code not in (408, 425, 429)
            raise _Fault(f"answered {error.code} ({error.reason})", lasting=gone) from error
    except (TimeoutError, urllib.error.URLError, http.client.HTTPException, OSError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, TimeoutError):
            raise _Fault(f"did not answer within {timeout:g} s") from error
        text = reason.strerror if isinstance(reason, OSError) and reason.strerror else reason
        raise _Fault(f"cannot be reached ({text})") from error
    with response:
        yield response


def _total(response: http.client.HTTPResponse) -> int | None:
    """The length of the whole file, as far as the answer tells."""
    if whole := re.search(r"/(\d+)$", response.headers.get("Content-Range", "")):
        return int(whole[1])
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() and response.status == 200 else None


def _validator(response: http.client.HTTPResponse) -> str | None:
    """What If-Range may hold: a strong ETag, else the date."""
    etag = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def _sidecar(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _read_sidecar(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _length(file: BinaryIO) -> int:
    file.flush()
    return os.fstat(file.fileno()).st_size


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _require_same(target: Path, sha256: str | None, size: int | None) -> None:
    """Whether a file that is there already is the one that is wanted."""
    advice = "move it away and run the command again"
    if not target.is_file():
        raise UserError(f"{target} exists but is no file; {advice}.")
    if size is not None and target.stat().st_size != size:
        raise UserError(f"{target} exists with {target.stat().st_size} bytes, not {size}; {advice}.")
    if sha256 is not None and (found := writing.sha256(target)) != sha256.lower():
        raise UserError(f"{target} exists but its SHA-256 is {found}, not {sha256}; {advice}.")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder that no other process holds; the lock ends with the process, however that ends.

    Raises:
        UserError: Another process holds it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, what: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        raise UserError(
            f"Another process is fetching {what}; wait for its end and run the command again."
        ) from error


@contextmanager
def _locked(part: Path, target: Path) -> Iterator[BinaryIO]:
    """Open a part file that no other process writes."""
    while True:
        with part.open("a+b") as file:
            _lock(file.fileno(), target)
            if part.exists() and part.stat().st_ino == os.fstat(file.fileno()).st_ino:
                try:
                    yield file
                finally:
                    if part.exists() and not part.stat().st_size:
                        part.unlink()
                        _sidecar(part).unlink(missing_ok=True)
                return

            # between opening and locking it became the finished file


class _Progress:
    """A line that moves on a terminal, else one at start and end; on stderr, for stdout is for answers."""

    def __init__(self, name: str, wanted: bool) -> None:
        self.name, self.wanted = name, wanted
        self.moving = wanted and sys.stderr.isatty()
        self.said = False
        self.began = self.shown = 0.0
        self.done = self.fresh = 0
        self.total: int | None = None

    def begin(self, host: str, start: int, total: int | None) -> None:
        """Bytes will come from ``host``, of which ``start`` are there."""
        self.done, self.fresh, self.total = start, 0, total
        self.began = time.monotonic()
        if self.wanted and not self.moving and not self.said:
            length = f" ({readable(total)})" if total is not None else ""
            print(f"Fetching {self.name}{length} from {host}", file=sys.stderr)
            self.said = True

    def advance(self, count: int) -> None:
        """So many more bytes came."""
        self.done, self.fresh = self.done + count, self.fresh + count
        now = time.monotonic()
        if self.moving and now - self.shown > 0.2:
            self.shown = now
            print(f"\r\033[K{self.line(now - self.began)}", end="", file=sys.stderr, flush=True)

    def line(self, seconds: float) -> str:
        """How far it is, how fast and how long still, ``seconds`` after it began."""
        rate = self.fresh / max(seconds, 1e-3)
        text = f"{self.name}: {readable(self.done)}"
        if self.total:
            left = int((self.total - self.done) / max(rate, 1e-3))
            text += f" of {readable(self.total)} ({self.done / self.total:.0%}), {readable(rate)}/s, "
            return text + (f"{left // 60} min left" if left >= 120 else f"{left} s left")
        return text + f", {readable(rate)}/s"

    def pause(self) -> None:
        """No more bytes for now."""
        if self.moving:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def end(self, size: int, pinned: bool) -> None:
        """The file is whole."""
        if self.wanted:
            checked = "SHA-256 as expected" if pinned else "no SHA-256 of it is published, none was checked"
            print(f"Fetched {self.name}: {readable(size)}, {checked}", file=sys.stderr)
