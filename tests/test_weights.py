"""Weights that are not on this machine: a server here does all that servers do wrong; hubs are imitated.

For Hugging Face its own library asks a server with the hub's paths and headers. For Weights & Biases there is
only a fake of ``wandb.Api`` in a few lines: no test asks its library for an artifact.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import io
import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_downloads import Act, Server, redirect, send, status

import zoo
from zoo import catalogue, recipes, weights
from zoo.checkpoints import CONFIG, WEIGHTS, add_example, describe, write
from zoo.cli import main
from zoo.commands._names import subject
from zoo.errors import UsageError, UserError
from zoo.files import downloads
from zoo.models.gan import GAN

PUBLISHED = ["example.json", CONFIG, WEIGHTS]
COMMIT, OLDER = "a" * 40, "b" * 40
NAME = "toy"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for key in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(key, "*")
    monkeypatch.setattr(downloads, "PAUSE", 0.0)
    found = Server()
    yield found
    found.http.shutdown()
    found.http.server_close()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights as they are published, with an example, and a file that nothing names."""
    folder = tmp_path_factory.mktemp("original") / NAME
    torch.manual_seed(0)
    module = GAN(shape=(1, 8, 8), hidden=64, maxout_units=4, maxout_pieces=2, latent_dim=2)
    write(module, describe(module, dict(module.hparams), {"research_only": False}), folder)
    add_example(folder, folder / CONFIG, "CC0")
    (folder / "notes.txt").write_text("noise")
    return folder


def files_of(folder: Path) -> list[dict[str, Any]]:
    paths = sorted(folder.iterdir())
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    return [
        {"path": path.name, "bytes": path.stat().st_size, "sha256": digest}
        for path, digest in zip(paths, digests, strict=True)
    ]


@pytest.fixture
def index(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """An index with one entry, of which only model.json comes with the zoo; gives the folder to be."""
    bundled = tmp_path / "checkpoints"
    (bundled / NAME).mkdir(parents=True)
    shutil.copy(original / CONFIG, bundled / NAME)
    monkeypatch.setattr(recipes, "bundled", lambda folder: tmp_path / folder)
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    for key in ("ZOO_MIRROR", "ZOO_OFFLINE", "WANDB_API_KEY"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.chdir(tmp_path)

    def list_it(*sources: str) -> Path:
        ours = {file["path"]: file for file in files_of(original) + files_of(bundled / NAME)}
        entry = {"name": NAME, "title": "Toy", "folder": NAME, "files": list(ours.values())}
        content = {"format": 2, "entries": [entry | {"sources": list(sources)}]}
        (bundled / "index.json").write_text(json.dumps(content))
        return weights.find(NAME, catalogue.find_weights(NAME)).folder

    return list_it


def mirror(server: Server, original: Path, monkeypatch: pytest.MonkeyPatch, *acts: Act) -> None:
    """A mirror that has all files; of the weights it does as told."""
    for path in original.iterdir():
        server.url(f"/m/{NAME}/{path.name}", send(path.read_bytes()))
    url = server.url(f"/m/{NAME}/{WEIGHTS}", *(acts or [send((original / WEIGHTS).read_bytes())]))
    monkeypatch.setenv("ZOO_MIRROR", url.removesuffix(f"/{NAME}/{WEIGHTS}") + "/")


def never(*_: object, **__: object) -> None:
    raise AssertionError("a socket")


def refused(name: str = NAME) -> str:
    """What is said if weights cannot be had: one sentence; the cache has no folder of them."""
    before = files_in_use()
    with pytest.raises(UserError) as caught:
        zoo.load(name)
    said = str(caught.value)
    assert "\n" not in said and said.endswith(".")
    assert files_in_use() == before
    assert not list(weights.home().rglob(f"*.part/{WEIGHTS}"))  # what was not as expected is deleted
    return said


def files_in_use() -> list[Path]:
    return sorted(path for path in weights.home().rglob("*.*") if ".part" not in str(path))


# ----------------------------------------------------------------------------------------------- the index


def test_what_is_not_here_is_downloaded_once(
    server: Server,
    original: Path,
    index: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = index()
    mirror(server, original, monkeypatch)
    assert torch.equal(zoo.load(NAME).sample(3), zoo.load(str(original)).sample(3))
    told = capsys.readouterr().err
    assert (
        f"Downloading toy ({downloads.readable(sum(f['bytes'] for f in files_of(original)))}) to {folder}."
        in told
    )
    assert f"Downloaded {WEIGHTS}" in told
    assert sorted(asked[0] for asked in server.asked) == [
        f"/m/{NAME}/{name}" for name in ("example.json", WEIGHTS, "notes.txt")
    ]
    assert files_of(folder) == files_of(original)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]

    monkeypatch.setenv("ZOO_OFFLINE", "1")
    monkeypatch.setattr(socket, "socket", never)
    before = folder.parent.stat().st_mtime_ns, folder.stat().st_mtime_ns
    zoo.load(NAME)
    assert before == (
        folder.parent.stat().st_mtime_ns,
        folder.stat().st_mtime_ns,
    )  # a folder may be read-only


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda body: send(body, cut=900, ranges=False), "closed the connection after 900 bytes of"),
        (lambda body: send(b"x" * len(body)), "sent a file whose SHA-256 is"),
        (lambda body: send(body[:-1]), "bytes instead of the expected"),
        (lambda body: send(body + b"x", length=False), "sent more than the expected"),
        (lambda body: status(404), "answered 404 (Not Found)"),
        (lambda body: status(500), "answered 500 (Internal Server Error)"),
        (lambda body: lambda request: time.sleep(0.3), "did not respond within 0.1 s"),
        (lambda body: redirect(f"/m/{NAME}/{WEIGHTS}"), "redirects in a circle"),
        (lambda body: redirect("ftp://127.0.0.1/x"), "redirects to a URL that may not be used"),
    ],
    ids=["cut", "wrong", "short", "long", "404", "500", "slow", "circle", "away"],
)
def test_faults_of_a_server(
    act: Callable[[bytes], Act],
    says: str,
    server: Server,
    original: Path,
    index: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, body = index(), (original / WEIGHTS).read_bytes()
    monkeypatch.setattr(weights, "download", functools.partial(downloads.download, timeout=0.1))
    mirror(server, original, monkeypatch, act(body))
    said = refused()
    assert says in said and "run `zoo download toy` again" in said
    assert ("to resume after 900 bytes" if "after 900" in says else str(folder / WEIGHTS)) in said
    server.acts[f"/m/{NAME}/{WEIGHTS}"] = [send(body, length=False)]  # no length: the hash can tell
    assert torch.equal(zoo.load(NAME).sample(2), zoo.load(str(original)).sample(2))
    assert files_of(folder) == files_of(original)


def test_sources_are_tried_in_order(
    server: Server, hub: Hub, original: Path, index: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = index(f"hf://we/toy@{COMMIT}")
    hub.offer("we/toy", original)
    mirror(server, original, monkeypatch, status(404))
    zoo.load(NAME)
    assert [asked[0] for asked in server.asked if WEIGHTS in asked[0]][:2] == [
        f"/m/{NAME}/{WEIGHTS}",
        f"/we/toy/resolve/{COMMIT}/{WEIGHTS}",
    ]
    assert files_of(folder) == files_of(original)


def test_a_mirror_may_be_a_folder_and_files_may_be_put_in_place_by_hand(
    original: Path, index: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    monkeypatch.setattr(socket, "socket", never)
    folder = index(f"hf://we/toy@{COMMIT}")
    assert "ZOO_OFFLINE is set" in refused()
    stick = tmp_path / "stick" / NAME
    shutil.copytree(original, stick)
    monkeypatch.setenv("ZOO_MIRROR", str(stick.parent))
    (stick / WEIGHTS).write_bytes(b"x" * (original / WEIGHTS).stat().st_size)
    assert f"{stick / WEIGHTS} has the SHA-256" in refused()
    folder.mkdir()
    shutil.copy(original / WEIGHTS, folder)  # as the sentence says
    zoo.load(NAME)
    assert files_of(folder) == files_of(original)


def test_names_and_addresses_that_mean_nothing(index: Callable[..., Path]) -> None:
    index()
    for name in ("hf://owner", "hf://../x", "hf://o/n@-x", "wandb://e/p", "http://x/y", "hf://o/n/m"):
        with pytest.raises(UsageError, match="is no address of weights; write hf://owner/name"):
            zoo.load(name)
    with pytest.raises(UsageError, match="did you mean toy"):
        zoo.load("toyy")


def test_the_index_lists_files_that_are_published_elsewhere(original: Path, tmp_path: Path) -> None:
    """Weights too large for the tree: ``make tables`` takes their size and hash from model.json."""
    tables = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "tables.py"))
    folder = shutil.copytree(original, tmp_path / "large")
    (folder / WEIGHTS).unlink()
    listed = tables["files"](folder, json.loads((folder / CONFIG).read_text())["weights"])
    assert sorted(listed, key=lambda file: file["path"]) == files_of(original)


# ---------------------------------------------------------------------------------------- processes and disks

CHILD = """
import sys
from pathlib import Path
from zoo import recipes
from zoo.cli import main
from zoo.commands._names import subject
from zoo.files import downloads
recipes.bundled = lambda folder: Path(folder).absolute()
sys.exit(main(["download", "toy"]))
"""


def child() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def halting(body: bytes, half: int, go: threading.Event) -> Act:
    """Send some bytes, and the rest once it is allowed."""

    def act(request: BaseHTTPRequestHandler) -> None:
        start = int((request.headers.get("Range") or "bytes=0-")[6:-1])
        request.send_response(206 if start else 200)
        request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        request.wfile.write(body[start : start + half])
        request.wfile.flush()
        go.wait(30)
        request.wfile.write(body[start + half :])

    return act


def test_two_processes_and_kill_9(
    server: Server, original: Path, index: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, body, go = index(), (original / WEIGHTS).read_bytes(), threading.Event()
    mirror(server, original, monkeypatch, halting(body, 10_000, go))
    part = folder.with_name(f"{folder.name}.part") / f"{WEIGHTS}.part"

    killed = child()
    while not (part.is_file() and part.stat().st_size):
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    go.set()
    assert not folder.exists()
    arrived = part.stat().st_size

    go.clear()
    first = child()
    while part.stat().st_size <= arrived:
        assert first.poll() is None, first.communicate()
        time.sleep(0.01)
    second = child()
    assert second.stderr is not None
    said = [second.stderr.readline() for _ in range(2)]
    assert "Another process is downloading" in said[1] and "waiting for it" in said[1], said
    go.set()
    ends = [process.communicate(timeout=60) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], ends
    assert files_of(folder) == files_of(original)
    asked = [asked[1] for asked in server.asked if WEIGHTS in asked[0]]
    assert asked == [None, f"bytes={arrived}-"]


def test_a_disk_that_is_full_or_read_only(
    server: Server, original: Path, index: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    index()
    mirror(server, original, monkeypatch)
    with monkeypatch.context() as patch:
        usual = io.open

        class Full(io.BufferedRandom):
            def write(self, data: object) -> int:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def opened(file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
            full = str(file).endswith(f"{WEIGHTS}.part")
            return Full(io.FileIO(file, "a+")) if full else usual(file, mode, *rest, **options)

        patch.setattr(io, "open", opened)
        said = refused()
        assert "No space left on device" in said and "free some space or set ZOO_HOME" in said
    with monkeypatch.context() as patch:
        free = downloads.shutil.disk_usage(original)._replace(free=10)
        patch.setattr(downloads.shutil, "disk_usage", lambda path: free)
        assert "has 10 bytes free; free some space or set ZOO_HOME to another folder" in refused()
    with monkeypatch.context() as patch:

        def read_only(*_: object, **__: object) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        patch.setenv("ZOO_HOME", "elsewhere")
        patch.setattr(os, "mkdir", read_only)
        said = refused()
        assert "Read-only file system" in said and "set ZOO_HOME" in said and "`zoo download toy`" in said
    zoo.load(NAME)


def test_verify_names_what_is_damaged_and_download_repairs_it(
    server: Server,
    original: Path,
    index: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = index()
    assert main(["verify"]) == 0
    assert capsys.readouterr().out == "toy is not on this machine; `zoo download toy` gets it.\n"
    assert main(["verify", NAME]) == 1
    mirror(server, original, monkeypatch)
    assert main(["download", "--all"]) == 0
    assert capsys.readouterr().out.startswith(f"toy is in {folder}: 4 files, ")
    assert main(["verify"]) == 0
    damaged = bytearray((folder / WEIGHTS).read_bytes())
    damaged[-1] ^= 1
    (folder / WEIGHTS).write_bytes(damaged)
    assert main(["verify", NAME]) == 1
    said = capsys.readouterr().err
    assert f"{folder / WEIGHTS} has the SHA-256" in said and "run `zoo download toy`." in said
    with pytest.raises(UserError, match="`zoo verify` says how"):
        zoo.load(NAME)
    assert main(["download", NAME]) == 0
    assert files_of(folder) == files_of(original)

    mine = shutil.copytree(original, "mine")
    assert main(["verify", str(mine)]) == 0
    (Path(mine) / WEIGHTS).write_bytes(damaged)
    assert main(["verify", str(mine)]) == 1
    assert "copy or export it again" in capsys.readouterr().err
    assert main(["download", str(mine)]) == 2
    bundled = recipes.bundled("checkpoints") / NAME
    shutil.copytree(mine, bundled, dirs_exist_ok=True)
    assert main(["download", NAME]) == 1
    assert "restore it or install the zoo again" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------ weights of others


def test_weights_of_others_are_explained_and_never_loaded(
    index: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    index()
    monkeypatch.setattr(socket, "socket", never)
    names = [entry["name"] for entry in catalogue.foreign()]
    assert len(names) >= 9 and len(set(names)) == len(names)
    assert {entry["paper"] for entry in catalogue.foreign()} <= {
        p.split(".")[2] for p in catalogue.classes("models")
    }
    for entry in catalogue.foreign():
        with pytest.raises(UsageError, match=f"zoo download {entry['name']}` says how"):
            zoo.load(entry["name"])
        assert "sha256" not in entry  # nobody has verified one
    assert main(["download", *names]) == 1
    printed = capsys.readouterr().out
    for entry in catalogue.foreign():
        assert entry["url"] in printed and f"zoo convert {entry['file']} --as {entry['paper']}" in printed


def test_weights_of_others_with_a_hash_are_downloaded(
    server: Server,
    index: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    index()
    facts = {
        "title": "Theirs",
        "file": "a.pth",
        "page": "p",
        "licence": "l",
        "url": server.url("/a", send(b"abc")),
    }
    entry = {
        "name": "theirs",
        "paper": "gan",
        **facts,
        "sha256": hashlib.sha256(b"abc").hexdigest(),
        "bytes": 3,
    }
    monkeypatch.setattr("zoo.commands.download.foreign", lambda: [entry])
    assert main(["download", "theirs"]) == 0
    path = weights.home() / "others" / "theirs" / "a.pth"
    assert path.read_bytes() == b"abc"
    assert f"zoo convert {path} --as gan -o theirs" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------------- hubs


class Hub:
    """Paths and headers of Hugging Face on a loopback server."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def offer(self, repository: str, folder: Path, commit: str = COMMIT, **bodies: bytes) -> None:
        """Offer a folder as the branch main; ``bodies`` are sent in place of what the headers describe."""
        for path in folder.iterdir():
            for revision in ("main", commit):
                told, sent = path.read_bytes(), bodies.get(path.suffix[1:])
                self.server.url(f"/{repository}/resolve/{revision}/{path.name}", self.act(told, sent, commit))

    @staticmethod
    def act(told: bytes, sent: bytes | None, commit: str) -> Act:
        def act(request: BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            request.send_header("X-Repo-Commit", commit)
            request.send_header("ETag", f'"{hashlib.sha256(told).hexdigest()}"')
            request.send_header("Content-Length", str(len(told)))
            request.end_headers()
            if request.command == "GET":
                request.wfile.write(told if sent is None else sent)

        return act


@pytest.fixture
def hub(server: Server, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The hub, asked by huggingface_hub as imported here: its settings are read when it is imported."""
    from huggingface_hub import constants

    end = server.url("/", status(404)).rstrip("/")
    monkeypatch.setattr(constants, "ENDPOINT", end)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", end + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    return Hub(server)


def test_an_address_is_pinned_in_a_message_and_kept(
    hub: Hub, original: Path, index: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    index()
    folder = weights.home() / "hf" / "we" / "toy" / COMMIT
    hub.offer("we/toy", original)
    assert torch.equal(zoo.load("hf://we/toy").sample(2), zoo.load(str(original)).sample(2))
    assert (
        f"hf://we/toy is hf://we/toy@{COMMIT} now; give that to use the same weights"
        in capsys.readouterr().err
    )
    assert sorted(path.name for path in folder.iterdir()) == PUBLISHED  # nothing else is fetched
    assert sorted(path.name for path in folder.parent.iterdir()) == [COMMIT, "refs"]

    monkeypatch.setenv("ZOO_OFFLINE", "1")
    monkeypatch.setattr(socket, "socket", never)
    asked = len(hub.server.asked)
    zoo.load(f"hf://we/toy@{COMMIT}")
    assert not capsys.readouterr().err
    assert main(["show", f"hf://we/toy@{COMMIT}"]) == 0
    assert f"Checkpoint hf://we/toy@{COMMIT}: GAN" in capsys.readouterr().out
    assert main(["sample", f"hf://we/toy@{COMMIT}", "picture.png", "-o", "a.png"]) == 2
    assert main(["sample", f"hf://we/toy@{COMMIT}", "-n", "2", "-o", "a.png"]) == 0
    capsys.readouterr()
    zoo.load("hf://we/toy")
    assert f"using {COMMIT}, which it meant the last time" in capsys.readouterr().err
    assert "was not asked for, since ZOO_OFFLINE is set" in missing("hf://we/toy@other")
    assert "ZOO_OFFLINE is set" in missing(f"hf://we/toy@{OLDER}")
    assert main(["verify"]) == 0
    assert f"hf://we/toy@{COMMIT} is as expected" in capsys.readouterr().out
    assert len(hub.server.asked) == asked


def missing(name: str) -> str:
    with pytest.raises(UserError) as caught:
        zoo.load(name)
    said = str(caught.value)
    assert "\n" not in said and f"`zoo download {name}`" in said
    return said


def test_an_address_is_evaluated_with_its_recipe(
    hub: Hub, original: Path, index: Callable[..., Path], tmp_path: Path
) -> None:
    index()
    recipe = tmp_path / "recipes" / "gan" / "toy.yaml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text("# A toy.\n")
    published = shutil.copytree(original, tmp_path / "published")
    config = json.loads((original / CONFIG).read_text())
    for name, command in (("told", "zoo fit --config recipes/gan/toy.yaml"), ("other", "zoo fit --config x")):
        (published / CONFIG).write_text(json.dumps(config | {"command": command}))
        hub.offer(f"we/{name}", published)
    assert catalogue.recipe_of(f"hf://we/told@{COMMIT}") == "gan/toy"
    with pytest.raises(UsageError, match="names no recipe of the zoo; give one: --config RECIPE"):
        catalogue.recipe_of(f"hf://we/other@{COMMIT}")
    assert subject(f"hf://we/told@{COMMIT}").weights == f"hf://we/told@{COMMIT}"
    with pytest.raises(UsageError, match="is no address of weights"):
        subject("hf://we")


def test_faults_of_a_hub(
    hub: Hub, original: Path, index: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index()
    size = (original / WEIGHTS).stat().st_size
    hub.server.url(f"/no/body/resolve/main/{CONFIG}", absent("RepoNotFound"))
    assert "does not exist, or is private" in missing("hf://no/body")
    hub.offer("we/wrong", original, safetensors=b"x" * size)
    assert "sent a file whose SHA-256 is" in refused(f"hf://we/wrong@{COMMIT}")
    with monkeypatch.context() as patch:  # with a token its own library downloads
        patch.setattr("huggingface_hub.get_token", lambda: "secret")
        said = refused(f"hf://we/wrong@{COMMIT}")
        assert f"hf://we/wrong@{COMMIT} sent a {WEIGHTS} that has the SHA-256" in said
    hub.offer("we/cut", original, safetensors=b"x" * 900)
    assert "to resume after 900 bytes" in refused(f"hf://we/cut@{COMMIT}")
    bad = shutil.copytree(original, tmp_path / "bad")
    hub.offer("we/commit", bad, commit="../../../x")
    assert "gave '../../../x' for its version" in missing("hf://we/commit")
    (bad / WEIGHTS).write_bytes(b"x" * 9)
    hub.offer("we/size", bad)
    assert f"hf://we/size@{COMMIT} has a {WEIGHTS} of 9 bytes instead of {size}" in refused(
        f"hf://we/size@{COMMIT}"
    )
    (bad / CONFIG).write_text("{}")
    hub.offer("we/json", bad)
    assert f"hf://we/json@{COMMIT}: {CONFIG} states no format" in refused(f"hf://we/json@{COMMIT}")
    (bad / CONFIG).unlink()
    hub.offer("we/none", bad)
    hub.server.url(f"/we/none/resolve/{COMMIT}/{CONFIG}", absent("EntryNotFound"))
    assert f"hf://we/none@{COMMIT} has no such file, so the zoo has not" in refused(f"hf://we/none@{COMMIT}")


def absent(code: str) -> Act:
    def act(request: BaseHTTPRequestHandler) -> None:
        request.send_response(404)
        request.send_header("X-Error-Code", code)
        request.end_headers()

    return act


def test_nothing_of_a_hub_is_run(
    hub: Hub, original: Path, index: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repository with a pickle in every place, and a class that lies beside: neither is opened."""
    index()
    canary = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"open({str(canary)!r}, 'w')\nclass Evil: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    bomb = f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode()
    bad = shutil.copytree(original, tmp_path / "bad")
    for name in ("pytorch_model.bin", "last.ckpt", "model.pkl"):
        (bad / name).write_bytes(bomb)
    config = json.loads((original / CONFIG).read_text())
    (bad / CONFIG).write_text(json.dumps(config | {"class": "evil.Evil"}))
    hub.offer("we/class", bad)
    with pytest.raises(UserError, match=r"names the class evil\.Evil, which is no model of this zoo"):
        zoo.load("hf://we/class")
    digest = hashlib.sha256(bomb).hexdigest()
    (bad / WEIGHTS).write_bytes(bomb)
    stated = {"file": WEIGHTS, "bytes": len(bomb), "sha256": digest}
    (bad / CONFIG).write_text(json.dumps(config | {"weights": stated}))
    hub.offer("we/pickle", bad)
    with pytest.raises(UserError, match="damaged or no file of weights"):
        zoo.load("hf://we/pickle")
    assert {Path(asked[0]).name for asked in hub.server.asked} <= set(PUBLISHED)
    assert not canary.exists()


def test_the_command_asks_the_endpoint_of_the_environment(
    server: Server, original: Path, index: Callable[..., Path], tmp_path: Path
) -> None:
    index()
    Hub(server).offer("we/toy", original)
    end = f"http://127.0.0.1:{server.http.server_port}"
    environment = os.environ | {"HF_ENDPOINT": end, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-m", "zoo", "download", "hf://we/toy"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"hf://we/toy is in {tmp_path}/home/hf/we/toy/{COMMIT}: 3 files, ")


class Artifact:
    """A fake of wandb's: version 3 of a folder."""

    version = "v3"

    def __init__(self, folder: Path, refs: tuple[str, ...] = ()) -> None:
        self.folder, self.refs = folder, refs

    def get_entry(self, name: str) -> Any:
        path = self.folder / name
        if not path.is_file():
            raise KeyError(name)
        return SimpleNamespace(
            ref="file:///etc/passwd" if name in self.refs else None,
            size=path.stat().st_size,
            download=lambda root, skip_cache: shutil.copy(path, root),
        )


@pytest.fixture
def artifacts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Artifact]:
    """Artifacts by name, of a fake ``wandb.Api``; nobody asks for a key."""
    known: dict[str, Artifact] = {}

    class Api:
        def __init__(self, timeout: int) -> None:
            pass

        def artifact(self, name: str) -> Artifact:
            if name not in known:
                raise ValueError(f"artifact {name} not found")
            return known[name]

    fake = SimpleNamespace(Api=Api, Settings=lambda: SimpleNamespace(base_url="https://wandb.invalid"))
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr("zoo.training.online.missing_for_online", lambda url: None)
    return known


def test_an_artifact_of_wandb(
    artifacts: dict[str, Artifact], original: Path, index: Callable[..., Path], tmp_path: Path, capsys: Any
) -> None:
    index()
    for label in ("latest", "best", "v3"):
        artifacts[f"me/gans/toy:{label}"] = Artifact(original)
    for address in ("wandb://me/gans/toy", "wandb://me/gans/toy:best"):
        assert torch.equal(zoo.load(address).sample(2), zoo.load(str(original)).sample(2))
        assert f"{address} is wandb://me/gans/toy:v3 now" in capsys.readouterr().err
    folder = weights.home() / "wandb" / "me" / "gans" / "toy" / "v3"
    assert sorted(path.name for path in folder.iterdir()) == PUBLISHED
    artifacts.clear()
    zoo.load("wandb://me/gans/toy:v3")  # from the cache
    zoo.load("wandb://me/gans/toy:best")
    assert "using v3, which it meant the last time" in capsys.readouterr().err
    assert "artifact me/gans/nothing:latest not found" in missing("wandb://me/gans/nothing")
    artifacts["me/gans/ref:v3"] = Artifact(original, refs=(CONFIG,))
    assert "follows no references" in refused("wandb://me/gans/ref:v3")
    bad = shutil.copytree(original, tmp_path / "bad")
    (bad / WEIGHTS).write_bytes(b"x" * (original / WEIGHTS).stat().st_size)
    artifacts["me/gans/bad:v3"] = Artifact(bad)
    assert "has the SHA-256" in refused("wandb://me/gans/bad:v3")


def test_wandb_without_a_key_is_a_sentence(
    index: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index()
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(socket, "create_connection", never)
    settings = SimpleNamespace(Settings=lambda: SimpleNamespace(base_url="https://wandb.invalid"))
    monkeypatch.setitem(sys.modules, "wandb", settings)
    assert "there is no API key (`wandb login` stores one)" in missing("wandb://me/gans/toy")
