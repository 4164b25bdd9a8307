"""Downloads from a server on this machine that does all that servers do wrong, and archives that attack."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import socket
import stat
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from filelock import FileLock

from zoo.errors import UserError
from zoo.files import archives, downloads
from zoo.files.archives import extract
from zoo.files.downloads import download, refusal

BODY = bytes(range(256)) * 400
HASH = hashlib.sha256(BODY).hexdigest()
Act = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """Answers each path as a test says; notes what it was asked."""

    def __init__(self) -> None:
        self.acts: dict[str, list[Act]] = {}
        self.asked: list[tuple[str, str | None, str | None]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
                acts = server.acts.get(self.path, [status(404)])
                act = acts.pop(0) if len(acts) > 1 else acts[0]
                act(self)

            do_HEAD = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, path: str, *acts: Act) -> str:
        self.acts[path] = list(acts)
        return f"http://127.0.0.1:{self.http.server_port}{path}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("ZOO_OFFLINE", raising=False)
    monkeypatch.setattr(downloads, "PAUSE", 0.0)
    found = Server()
    yield found
    found.http.shutdown()
    found.http.server_close()


def send(
    body: bytes = BODY,
    cut: int | None = None,
    etag: str | None = '"one"',
    ranges: bool = True,
    length: bool = True,
    kind: str = "application/octet-stream",
) -> Act:
    """Answer with a body, or its first ``cut`` bytes before the connection is cut."""

    def act(request: BaseHTTPRequestHandler) -> None:
        start = 0
        asked = request.headers.get("Range")
        condition = request.headers.get("If-Range")
        if asked and ranges and condition in (None, etag):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                request.send_response(416)
                request.send_header("Content-Range", f"bytes */{len(body)}")
                request.end_headers()
                return
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            request.send_response(200)
        if length:
            request.send_header("Content-Length", str(len(body) - start))
        if etag:
            request.send_header("ETag", etag)
        request.send_header("Content-Type", kind)
        request.end_headers()
        request.wfile.write(body[start : start + cut] if cut is not None else body[start:])

    return act


def status(code: int) -> Act:
    return lambda request: request.send_error(code)


def redirect(to: str) -> Act:
    def act(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", to)
        request.end_headers()

    return act


def whole(path: Path) -> bool:
    """Not compared in the assertion: a difference of so many bytes would take minutes to print."""
    return path.read_bytes() == BODY


def refused(urls: list[str], target: Path, **options: object) -> str:
    """The sentence of a download that fails; it leaves no file of that name."""
    with pytest.raises(UserError) as caught:
        download(urls, target, **{"sha256": HASH, "progress": False, **options})  # type: ignore[arg-type]
    assert not target.exists()
    text = str(caught.value)
    assert target.name in text and "\n" not in text and text.endswith(".")
    return text


# -------------------------------------------------------------------------------------------- what is allowed


def test_https_is_allowed_and_http_only_when_pinned() -> None:
    assert refusal("https://a.org/x", pinned=False) is None
    assert refusal("http://a.org/x", pinned=True) is None
    assert "a.org offers it over http" in (refusal("http://a.org/x", pinned=False) or "")
    for url in ("ftp://a.org/x", "file:///etc/passwd", "data:,x", "x"):
        assert refusal(url, pinned=True)


def test_http_without_a_hash_is_an_instruction(server: Server, tmp_path: Path) -> None:
    url = server.url("/x", send())
    text = refused([url], tmp_path / "x", sha256=None)
    assert (
        "127.0.0.1 offers it over http" in text and "with a browser" in text and str(tmp_path / "x") in text
    )
    assert not server.asked and not list(tmp_path.iterdir())


def test_offline_opens_no_socket(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a socket")

    url = server.url("/x", send())
    (tmp_path / "there").write_bytes(BODY)
    monkeypatch.setattr(socket, "socket", never)
    monkeypatch.setattr(socket, "create_connection", never)
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert "ZOO_OFFLINE" in refused([url], tmp_path / "x")
    assert download([url], tmp_path / "there", HASH, len(BODY)) == tmp_path / "there"
    assert not server.asked


def test_redirects_only_to_where_one_may_ask(server: Server, tmp_path: Path) -> None:
    good = server.url("/good", send())
    moved = server.url("/moved", redirect(good))
    assert whole(download([moved], tmp_path / "x", HASH, progress=False))
    assert "redirects to a URL that may not be used" in refused(
        [server.url("/away", redirect("ftp://a.org/x"))], tmp_path / "y"
    )
    handler = downloads._Answers(pinned=False)
    with pytest.raises(downloads._Fault, match="over http"):
        handler.redirect_request(None, None, 302, "", None, "http://a.org/x")  # type: ignore[arg-type]


def test_redirects_in_a_circle(server: Server, tmp_path: Path) -> None:
    circle = server.url("/circle", redirect("/circle"))
    assert "in a circle" in refused([circle], tmp_path / "x")
    assert len(server.asked) < 20


# ----------------------------------------------------------------------------------------------- what arrives


def test_a_file_arrives_once(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = server.url("/x", send())
    target = tmp_path / "deep" / "x.bin"
    for _ in range(2):
        assert whole(download([url], target, HASH.upper(), len(BODY)))
    assert len(server.asked) == 1
    assert [p.name for p in target.parent.iterdir()] == ["x.bin"]
    shown = capsys.readouterr()
    assert shown.out == ""
    assert [line.split()[0] for line in shown.err.splitlines()] == ["Downloading", "Downloaded"]
    assert "102 kB" in shown.err and "SHA-256 as expected" in shown.err


def test_a_terminal_sees_how_long_it_takes(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    download([server.url("/x", send(cut=50_000), send())], tmp_path / "[x]", HASH)
    text = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", screen.getvalue())
    assert text.endswith("Downloaded [x]: 102 kB, SHA-256 as expected\n")
    assert "Downloading" not in text and server.asked[1][1] == "bytes=50000-"
    assert re.search(r"\[x\] .* 50\.0/102\.4 kB .*\r\[x\] .* 102\.4/102\.4 kB .* 0:00:00\n", text)
    assert [p.name for p in tmp_path.iterdir()] == ["[x]"]


def test_a_cut_connection_is_continued(server: Server, tmp_path: Path) -> None:
    url = server.url("/x", send(cut=30_000), send(cut=20_000), send())
    assert whole(download([url], tmp_path / "x", HASH, progress=False))
    assert server.asked == [
        ("/x", None, None),
        ("/x", "bytes=30000-", '"one"'),
        ("/x", "bytes=50000-", '"one"'),
    ]
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_the_next_call_goes_on_where_the_last_was_cut(server: Server, tmp_path: Path) -> None:
    url = server.url("/x", send(cut=30_000), send(cut=0))
    text = refused([url], tmp_path / "x")
    assert "closed the connection after 30.0 kB of 102 kB" in text and "same command again" in text
    server.acts["/x"] = [send()]
    assert whole(download([url], tmp_path / "x", HASH, progress=False))
    assert server.asked[-1][1] == "bytes=30000-"


def test_a_server_that_ignores_ranges_begins_anew(server: Server, tmp_path: Path) -> None:
    url = server.url("/x", send(cut=30_000, ranges=False), send(ranges=False))
    assert whole(download([url], tmp_path / "x", HASH, progress=False))


@pytest.mark.parametrize("pinned", [True, False])
def test_a_file_that_changes_between_two_parts(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pinned: bool
) -> None:
    if not pinned:  # http stands for https, so that a loopback server will do
        monkeypatch.setattr(downloads, "refusal", lambda url, pinned: None)
    old = b"o" * len(BODY)
    url = server.url("/x", send(old, cut=30_000, etag='"old"'), send())
    digest = HASH if pinned else None
    assert whole(download([url], tmp_path / "x", digest, progress=False))


def test_a_changed_file_without_a_tag_is_seen_by_its_hash(server: Server, tmp_path: Path) -> None:
    old = b"o" * len(BODY)
    url = server.url("/x", send(old, cut=30_000, etag=None), send(etag=None))
    assert whole(download([url], tmp_path / "x", HASH, progress=False))
    assert [asked[1] for asked in server.asked] == [None, "bytes=30000-", None]


def test_a_changed_length_is_seen_without_tag_and_hash(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "refusal", lambda url, pinned: None)
    old = b"o" * (len(BODY) + 5)
    url = server.url("/x", send(old, cut=30_000, etag=None), send(etag=None))
    assert whole(download([url], tmp_path / "x", None, progress=False))


def test_a_whole_part_needs_no_more_bytes(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x.part").write_bytes(BODY)
    url = server.url("/x", send())
    assert whole(download([url], tmp_path / "x", HASH, len(BODY), progress=False))
    (tmp_path / "y.part").write_bytes(BODY + b"more")
    assert whole(download([url], tmp_path / "y", HASH, len(BODY), progress=False))


def test_wrong_bytes(server: Server, tmp_path: Path) -> None:
    wrong = b"w" * len(BODY)
    text = refused([server.url("/x", send(wrong))], tmp_path / "x")
    assert HASH in text and hashlib.sha256(wrong).hexdigest() in text and "127.0.0.1" in text
    assert not list(tmp_path.iterdir()) and len(server.asked) == 1


def test_wrong_size(server: Server, tmp_path: Path) -> None:
    text = refused([server.url("/x", send())], tmp_path / "x", size=7)
    assert f"has {len(BODY)} bytes instead of the expected 7" in text
    assert not list(tmp_path.iterdir())
    text = refused([server.url("/y", send(length=False))], tmp_path / "y", size=7)
    assert "sent more than the expected 7 bytes" in text


def test_mirrors_are_asked_in_order(server: Server, tmp_path: Path) -> None:
    urls = [
        server.url("/gone", status(404)),
        server.url("/broken", status(500)),
        server.url("/wrong", send(b"wrong")),
        server.url("/good", send()),
        server.url("/never", send()),
    ]
    assert whole(download(urls, tmp_path / "x", HASH, progress=False))
    assert [asked[0] for asked in server.asked] == ["/gone", "/broken", "/wrong", "/good"]


def test_a_mirror_continues_what_another_began(server: Server, tmp_path: Path) -> None:
    urls = [server.url("/a", send(cut=30_000)), server.url("/b", send(etag='"two"'))]
    assert whole(download(urls, tmp_path / "x", HASH, progress=False))
    assert server.asked == [("/a", None, None), ("/b", "bytes=30000-", None)]


def test_404_is_not_asked_again_and_500_is(server: Server, tmp_path: Path) -> None:
    text = refused([server.url("/gone", status(404)), server.url("/down", status(503))], tmp_path / "x")
    assert "404" in text and "503" in text and "try again later" in text
    assert [asked[0] for asked in server.asked].count("/gone") == 1
    assert [asked[0] for asked in server.asked].count("/down") == downloads.TRIES


def test_no_length_is_taken_when_a_hash_can_tell(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.url("/x", send(length=False))
    assert whole(download([url], tmp_path / "x", HASH, progress=False))
    monkeypatch.setattr(downloads, "refusal", lambda url, pinned: None)
    assert "state the file's length" in refused([url], tmp_path / "y", sha256=None)


def test_a_web_page_is_no_archive(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "refusal", lambda url, pinned: None)
    page = server.url("/x", send(b"<html>Please sign in", kind="text/html; charset=utf-8"))
    assert "a web page instead of the file" in refused([page], tmp_path / "x.zip", sha256=None)


def test_a_server_that_stalls(server: Server, tmp_path: Path) -> None:
    def stall(request: BaseHTTPRequestHandler) -> None:
        send(cut=0)(request)
        time.sleep(0.3)

    def drip(request: BaseHTTPRequestHandler) -> None:
        send(cut=0)(request)
        for _ in range(8):
            time.sleep(0.05)
            try:
                request.wfile.write(b"x")
                request.wfile.flush()
            except OSError:
                return

    began = time.monotonic()
    assert "sent nothing for 0.1 s" in refused([server.url("/s", stall)], tmp_path / "s", timeout=0.1)
    assert "bytes in 0.2 s" in refused([server.url("/d", drip)], tmp_path / "d", timeout=0.2)
    assert time.monotonic() - began < 5


def test_a_dead_host_and_one_that_does_not_answer(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}/x"
    assert "127.0.0.1 cannot be reached (Connection refused)" in refused([dead], tmp_path / "x")
    silent = server.url("/silent", lambda request: time.sleep(0.4))
    assert "did not respond within 0.1 s" in refused([silent], tmp_path / "y", timeout=0.1)
    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    unknown = refused(["http://no-such-host.invalid/x"], tmp_path / "z")
    assert "no-such-host.invalid cannot be reached (Name or service not known)" in unknown


# ---------------------------------------------------------------------------------------------- what is there


def test_another_file_of_that_name_is_never_overwritten(server: Server, tmp_path: Path) -> None:
    url = server.url("/x", send())
    other = tmp_path / "x"
    other.write_bytes(b"mine")
    for size in (None, len(BODY)):
        with pytest.raises(UserError, match=r"exists .* move it away"):
            download([url], other, HASH, size)
    assert other.read_bytes() == b"mine" and not server.asked
    assert download([url], other) == other  # nothing says that it is wrong
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="is not a file"):
        download([url], tmp_path / "folder", HASH)


def test_a_full_disk_is_seen_before(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = downloads.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    url = server.url("/x", send())
    assert "needs 102 kB" in refused([url], tmp_path / "x", size=len(BODY))
    assert not server.asked
    assert "needs 102 kB" in refused([url], tmp_path / "x")  # once the server has said how long it is
    assert not list(tmp_path.iterdir())


def test_one_process_at_a_time(server: Server, tmp_path: Path) -> None:
    url = server.url("/x", send())
    with FileLock(tmp_path / "x.lock"):
        assert "Another process is downloading" in refused([url], tmp_path / "x")
    assert whole(download([url], tmp_path / "x", HASH, progress=False))
    with (
        downloads.alone(tmp_path),
        pytest.raises(UserError, match="Another process"),
        downloads.alone(tmp_path),
    ):
        pass


def test_two_threads_bring_one_file(server: Server, tmp_path: Path) -> None:
    url = server.url("/x", send())
    said: list[str] = []

    def bring() -> None:
        try:
            download([url], tmp_path / "x", HASH, progress=False)
        except UserError as error:
            said.append(str(error))

    threads = [threading.Thread(target=bring) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert whole(tmp_path / "x")
    assert all("Another process" in text for text in said)
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_folder_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    url = server.url("/x", send())
    with pytest.raises(UserError, match=r"Cannot write .*x \(.*choose another folder"):
        download([url], tmp_path / "file" / "x", HASH)


# --------------------------------------------------------------------------------------------------- archives


def tar_of(path: Path, members: list[tuple[tarfile.TarInfo | str, bytes]], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for member, data in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def special(name: str, kind: bytes, to: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


def zip_of(path: Path, members: list[tuple[zipfile.ZipInfo | str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for member, data in members:
            file.writestr(member, data)
    return path


def zip_link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def attacked(archive: Path, folder: Path, match: str, **options: int) -> None:
    """An archive is refused with one sentence, and leaves nothing."""
    before = sorted(archive.parent.rglob("*"))
    with pytest.raises(UserError, match=match) as caught:
        extract(archive, folder, **options)
    assert archive.name in str(caught.value) and "\n" not in str(caught.value)
    assert sorted(archive.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tgz", "w:gz"), ("a.tar.bz2", "w:bz2"), ("a.tar.xz", "w:xz")],
)
def test_tars_are_unpacked(tmp_path: Path, name: str, mode: str) -> None:
    members: list[tuple[tarfile.TarInfo | str, bytes]] = [
        (special("./set/empty", tarfile.DIRTYPE), b""),
        ("./set/a.txt", b"a"),
        ("set/deep/b.bin", BODY),
    ]
    extract(tar_of(tmp_path / name, members, mode), tmp_path / "out")
    assert (tmp_path / "out/set/a.txt").read_bytes() == b"a"
    assert whole(tmp_path / "out/set/deep/b.bin")
    assert (tmp_path / "out/set/empty").is_dir()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "out"])


def test_zip_and_gz_are_unpacked(tmp_path: Path) -> None:
    extract(
        zip_of(tmp_path / "a.zip", [("d/", b""), ("d/a.txt", b"a"), ("b\\c.txt", b"c")]), tmp_path / "out"
    )
    assert (tmp_path / "out/d/a.txt").read_bytes() == b"a"
    assert (tmp_path / "out/b/c.txt").read_bytes() == b"c"
    (tmp_path / "x.bin.gz").write_bytes(gzip.compress(BODY))
    extract(tmp_path / "x.bin.gz", tmp_path / "out")
    assert whole(tmp_path / "out/x.bin")
    with pytest.raises(UserError, match=r"not an archive that the zoo unpacks \(\.zip"):
        extract(tmp_path / "a.rar", tmp_path / "out")


@pytest.mark.parametrize(
    ("member", "match"),
    [
        ("../evil", "leads outside"),
        ("a/../../evil", "leads outside"),
        ("/tmp/evil", "leads outside"),
        ("C:\\evil", "leads outside"),
        ("..\\evil", "leads outside"),
        (special("link", tarfile.SYMTYPE, "/etc"), "holds a link"),
        (special("link", tarfile.SYMTYPE, "../.."), "holds a link"),
        (special("link", tarfile.LNKTYPE, "../../etc/passwd"), "holds a link"),
        (special("pipe", tarfile.FIFOTYPE), "neither a file nor a folder"),
        (special("device", tarfile.CHRTYPE), "neither a file nor a folder"),
        ("good.txt", "twice"),
    ],
)
def test_a_tar_that_attacks(tmp_path: Path, member: tarfile.TarInfo | str, match: str) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", [("good.txt", b"good"), (member, b"")])
    attacked(archive, tmp_path / "out", match)


def test_a_tar_that_writes_through_its_link(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar", [(special("x", tarfile.SYMTYPE, ".."), b""), ("x/evil", b"e")], "w")
    attacked(archive, tmp_path / "out", "holds a link")


@pytest.mark.parametrize(
    ("member", "match"),
    [
        ("../evil", "leads outside"),
        ("/tmp/evil", "leads outside"),
        ("a/../../evil", "leads outside"),
        (zip_link("link"), "is a link"),
        ("good.txt", "twice"),
        ("good.txt/below", "Cannot unpack"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_that_attacks(tmp_path: Path, member: zipfile.ZipInfo | str, match: str) -> None:
    archive = zip_of(tmp_path / "a.zip", [("good.txt", b"good"), (member, b"/etc/passwd")])
    attacked(archive, tmp_path / "out", match)


def test_an_encrypted_zip(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", [("a.txt", b"a")])
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    attacked(archive, tmp_path / "out", "encrypted")


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = bytes(3_000_000)
    bombs = [
        tar_of(tmp_path / "a.tar.gz", [("zeros", zeros)]),
        zip_of(tmp_path / "b.zip", [("zeros", zeros)]),
        tmp_path / "c.gz",
    ]
    bombs[2].write_bytes(gzip.compress(zeros))
    for bomb in bombs:
        attacked(bomb, tmp_path / "out", "unpacks to more than 1.0 MB", max_bytes=1_000_000)
    monkeypatch.setattr(archives, "LEAST_CAP", 0)
    for bomb in bombs:  # 3 MB from 3 kB
        attacked(bomb, tmp_path / "out", "suspiciously much for its size")


def test_a_zip_whose_head_lies_about_its_size(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", [("zeros", bytes(3_000_000))])
    data = bytearray(archive.read_bytes())
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = (10).to_bytes(4, "little")
    archive.write_bytes(data)
    attacked(archive, tmp_path / "out", "damaged")


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_FILES", 3)
    names = [(f"{i}", b"") for i in range(4)]
    attacked(tar_of(tmp_path / "a.tar.gz", list(names)), tmp_path / "out", "more than 3 files")
    attacked(zip_of(tmp_path / "b.zip", list(names)), tmp_path / "out", "more than 3 files")


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz", "a.zip", "a.gz"])
def test_a_truncated_archive(tmp_path: Path, name: str) -> None:
    whole = tmp_path / "whole" / name
    whole.parent.mkdir()
    random = os.urandom(5000)
    if name == "a.zip":
        zip_of(whole, [("a.bin", random), ("b.bin", random)])
    elif name == "a.gz":
        whole.write_bytes(gzip.compress(random))
    else:
        mode = {"tar": "w"}.get(name.removeprefix("a."), f"w:{name.rpartition('.')[2]}")
        tar_of(whole, [("a.bin", random), ("b.bin", random)], mode)
    data = whole.read_bytes()
    ends = {len(data) // 2, len(data) - 3 if name != "a.tar" else 512 + 5120, 1}
    for end in ends:  # for the plain tar also exactly between two members
        cut = tmp_path / str(end) / name
        cut.parent.mkdir()
        cut.write_bytes(data[:end])
        attacked(cut, cut.parent / "out", "damaged or truncated")
    extract(whole, tmp_path / "good")


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.zip", "a.gz"])
def test_no_archive_at_all(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"<html>" * 300)
    attacked(tmp_path / name, tmp_path / "out", "damaged or truncated")


def test_nothing_that_exists_is_overwritten(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", [("new.txt", b"new"), ("d/mine.txt", b"theirs")])
    mine = tmp_path / "out/d/mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    attacked(archive, tmp_path / "out", r"mine\.txt exists already")
    assert mine.read_bytes() == b"mine"
    mine.rename(mine.with_name("other.txt"))
    extract(archive, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out/d").iterdir()) == ["mine.txt", "other.txt"]
