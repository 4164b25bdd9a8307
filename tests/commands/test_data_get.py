"""`zoo data get` and `zoo data list` on sets that a server on this machine offers."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from zoo.cli import main
from zoo.commands.data import get
from zoo.commands.data import list as list_
from zoo.data.sources import SOURCES, RemoteFile, Source, contracts
from zoo.files import downloads

ROOT = Path(__file__).parents[2]


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


class Offered:
    """Files by their path, and how often each was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        offered = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                offered.asked.append(self.path)
                data = offered.files.get(self.path)
                if data is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def remote(self, name: str, data: bytes, **options: object) -> RemoteFile:
        self.files[f"/{name}"] = data
        url = f"http://127.0.0.1:{self.http.server_port}/{name}"
        return RemoteFile((url,), name, hashlib.sha256(data).hexdigest(), len(data), **options)  # type: ignore[arg-type]


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Offered]:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("ZOO_OFFLINE", raising=False)
    monkeypatch.delenv("ZOO_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(downloads, "PAUSE", 0.0)
    found = Offered()
    yield found
    found.http.shutdown()
    found.http.server_close()


def add(monkeypatch: pytest.MonkeyPatch, source: Source) -> None:
    monkeypatch.setitem(SOURCES, source.name, source)


def toys(offered: Offered) -> Source:
    """A set of an archive whose folders get other names, another as it is, and a plain file."""
    files = (
        offered.remote(
            "toys.zip",
            zipped(
                {"toys-1/pics/training/a.png": b"a", "toys-1/pics/validation/b.png": b"b", "toys-1/junk": b""}
            ),
            parts=(("*/pics/training", "images/train"), ("*/pics/validation", "images/val")),
        ),
        offered.remote("more.tar.gz", tarred({"names.txt": b"names"})),
        offered.remote("labels.bin", b"labels", unpack=False),
    )
    return Source(
        name="toys",
        contract="images",
        title="Pictures of toys",
        papers="none",
        licence="CC0",
        licence_url="https://example.org/toys",
        research_only=False,
        size_bytes=sum(file.size or 0 for file in files),
        count="two pictures",
        layout="images/train/a.png  images/val/b.png\nnames.txt  labels.bin",
        present=("images/train/*.png", "names.txt", "labels.bin"),
        files=files,
        reader="zoo.data.images.ImageFolder",
        init_args={"root": "{root}/images", "size": 64},
    )


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_set_is_fetched_unpacked_and_said_how_to_use(
    offered: Offered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(monkeypatch, toys(offered))
    assert main(["data", "get", "toys"]) == 0
    assert tree(tmp_path) == [
        f"data/toys/{name}" for name in ("images/train/a.png", "images/val/b.png", "labels.bin", "names.txt")
    ]
    shown = capsys.readouterr()
    assert shown.out.index("CC0 (commercial use too)") < shown.out.index("In a recipe")
    assert yaml.safe_load(shown.out.partition("In a recipe:")[2]) == {
        "data": {
            "class_path": "zoo.data.images.ImageFolder",
            "init_args": {"root": "data/toys/images", "size": 64},
        }
    }
    assert "Downloading toys.zip" in shown.err and "SHA-256 as expected" in shown.err
    before = list(offered.asked)
    assert main(["data", "get", "toys"]) == 0  # what is there is not fetched again
    assert "holds it already" in capsys.readouterr().out and offered.asked == before


def test_where_it_is_made(
    offered: Offered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(monkeypatch, toys(offered))
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "common"))
    assert main(["data", "get", "toys"]) == 0
    assert main(["data", "get", "toys", "--to", str(tmp_path / "there")]) == 0
    assert tree(tmp_path / "common/toys") == tree(tmp_path / "there/toys") != []
    assert f"root: {tmp_path}/there/toys/images" in capsys.readouterr().out


def test_an_interrupted_get_goes_on(
    offered: Offered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(monkeypatch, toys(offered))
    labels = offered.files.pop("/labels.bin")
    assert main(["data", "get", "toys"]) == 1
    assert "labels.bin could not be downloaded: 127.0.0.1 answered 404" in capsys.readouterr().err
    assert tree(tmp_path) == ["data/toys.download/more.tar.gz", "data/toys.download/toys.zip"]
    assert not (tmp_path / "data/toys").exists()
    offered.files["/labels.bin"] = labels
    assert main(["data", "get", "toys"]) == 0
    assert offered.asked.count("/toys.zip") == 1
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["toys"]


def test_a_folder_that_is_in_the_way_stays_as_it_is(
    offered: Offered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(monkeypatch, toys(offered))
    mine = tmp_path / "data/toys/mine.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    assert main(["data", "get", "toys"]) == 1
    assert "data/toys exists but does not hold toys; move it away" in capsys.readouterr().err
    assert tree(tmp_path) == ["data/toys/mine.png"] and not offered.asked


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ({"toys-1/pics/training/a.png": b"a"}, r"holds no folder */pics/validation"),
        ({"toys-1/pics/training/a.txt": b"", "toys-1/pics/validation/b.png": b""}, "not what was expected"),
        ({"toys-1/pics/training/../../../../evil": b"e"}, "leads outside"),
    ],
)
def test_an_archive_that_holds_something_else(
    offered: Offered,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    contents: dict[str, bytes],
    said: str,
) -> None:
    source = toys(offered)
    other = offered.remote("toys.zip", zipped(contents), parts=source.files[0].parts)
    add(monkeypatch, replace(source, files=(other, *source.files[1:])))
    assert main(["data", "get", "toys"]) == 1
    assert said in capsys.readouterr().err
    assert tree(tmp_path) == [f"data/toys.download/{n}" for n in ("labels.bin", "more.tar.gz", "toys.zip")]
    assert not list(tmp_path.rglob("evil"))


def test_a_set_that_a_person_must_fetch(
    offered: Offered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = replace(toys(offered), files=(), by_hand="1. Ask them.\n2. Unpack it.", research_only=True)
    add(monkeypatch, source)
    assert main(["data", "get", "toys"]) == 1
    shown = capsys.readouterr().out
    assert "CC0 (research only)" in shown and "    1. Ask them.\n    2. Unpack it.\n" in shown
    assert "so that data/toys holds" in shown and "images/train/a.png" in shown
    assert not list(tmp_path.iterdir())


def test_a_set_of_which_a_part_comes_by_hand(
    offered: Offered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = toys(offered)
    source = replace(
        source, present=(*source.present, "text/*.txt"), later=("text/*.txt",), by_hand="1. Ask."
    )
    add(monkeypatch, source)
    assert main(["data", "get", "toys"]) == 1
    assert "What is left must be done by hand" in capsys.readouterr().out
    asked = list(offered.asked)
    assert main(["data", "get", "toys"]) == 1 and offered.asked == asked
    (tmp_path / "data/toys/text").mkdir()
    (tmp_path / "data/toys/text/a.txt").touch()
    assert main(["data", "get", "toys"]) == 0
    assert "In a recipe" in capsys.readouterr().out


def test_a_name_that_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "get", "fasade"]) == 2
    assert "no public set fasade; did you mean facades?" in capsys.readouterr().err
    assert main(["data", "get", "qqqqq"]) == 2
    assert "`zoo data list` names all" in capsys.readouterr().err


def test_offline(
    offered: Offered, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(monkeypatch, toys(offered))
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert main(["data", "get", "toys"]) == 1
    assert "ZOO_OFFLINE is set" in capsys.readouterr().err and not offered.asked


# ------------------------------------------------------------------------------------------------------- list


def test_the_list_says_what_is_here(
    offered: Offered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(monkeypatch, toys(offered))
    assert main(["data", "list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert lines["toys"].endswith("to get") and "commercial use too" in lines["toys"]
    assert lines["celeba"].endswith("by hand") and "research only" in lines["celeba"]
    assert "Drawn" in lines["ScenePairs"] and "pairs" in lines["ScenePairs"]
    assert main(["data", "get", "toys"]) == 0
    capsys.readouterr()
    assert main(["data", "list"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.endswith("data/toys")]


def test_the_list_as_json_and_its_filters(capsys: pytest.CaptureFixture[str]) -> None:
    def listed(*words: str) -> dict[str, list[dict[str, object]]]:
        assert main(["data", "list", "--json", *words]) == 0
        found: dict[str, list[dict[str, object]]] = json.loads(capsys.readouterr().out)
        return found

    everything = listed()
    assert {entry["name"] for entry in everything["public"]} == set(SOURCES)
    assert all(entry["contract"] for entry in everything["readers"])
    assert everything["public"][0].keys() >= {"licence", "research_only", "size_bytes", "path", "contract"}
    free = listed("--commercial")
    assert "mnist" in [e["name"] for e in free["public"]]
    assert not [e for e in free["public"] + free["readers"] if e["research_only"] is not False]
    for contract in contracts():
        assert [e for e in everything["readers"] if e["contract"] == contract], f"no reader of {contract}"
    some = listed("--contract", "voxels")
    assert {e["contract"] for e in some["public"] + some["readers"]} == {"voxels"}
    assert "modelnet10" in [e["name"] for e in some["public"]]
    assert [e["name"] for e in listed("--contract", "points")["readers"]] == ["Points"]


def test_the_list_loads_nothing_heavy() -> None:
    code = "import sys; from zoo.cli import main; main(['data', 'list']); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=os.environ
    )
    assert done.stdout.splitlines()[-1] == "False"
    assert get.__doc__ and list_.__doc__
