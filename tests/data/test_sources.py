"""The catalogue of public sets holds what it promises: nothing that cannot be checked, a way to every set."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from zoo.commands.data.check import FOLDERS
from zoo.data.sources import SOURCES, Source, arguments, find, is_fetched, is_present
from zoo.downloads import is_archive, refusal

CONTRACTS = set(FOLDERS) - {"label maps"}  # label maps are pairs


@pytest.fixture(params=SOURCES.values(), ids=SOURCES)
def source(request: pytest.FixtureRequest) -> Source:
    found: Source = request.param
    return found


def test_every_entry_is_whole(source: Source) -> None:
    assert SOURCES[source.name] is source
    assert re.fullmatch(r"[A-Za-z0-9_]+", source.name)
    assert source.contract in CONTRACTS
    for text in (
        source.title,
        source.papers,
        source.licence,
        source.count,
        source.layout,
        source.licence_url,
    ):
        assert text.strip() == text != ""
    assert source.present and source.size_bytes >= 0
    assert bool(source.files) or bool(source.by_hand)
    assert set(source.later) < set(source.present)
    assert bool(source.later) == (bool(source.files) and bool(source.by_hand))
    assert urlsplit(source.licence_url).scheme in ("http", "https")
    width = max(len(line) for line in [*source.layout.splitlines(), *source.by_hand.splitlines()])
    assert width <= 105 + 4


def test_every_file_can_be_fetched_and_checked(source: Source) -> None:
    names = [file.name for file in source.files]
    assert len(set(names)) == len(names)
    for file in source.files:
        assert file.urls and "/" not in file.name
        for url in file.urls:
            assert refusal(url, file.sha256 is not None) is None, url
            host = urlsplit(url).hostname or ""
            assert "." in host and not re.search(r"^(10|127|192\.168)\.|localhost|internal|mirror", host)
        assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert file.size is None or file.size > 0
        assert (file.sha256 is None and file.size is None) or source.hashes, "say where they come from"
        assert not file.unpack or is_archive(file.name)
        assert not file.parts or file.unpack
    sizes = [file.size for file in source.files]
    if source.files and None not in sizes:
        assert source.size_bytes == sum(size for size in sizes if size)


def test_hashes_are_of_different_files() -> None:
    hashes = [file.sha256 for source in SOURCES.values() for file in source.files if file.sha256]
    assert len(hashes) > 20 and len(set(hashes)) == len(hashes)


def test_every_instruction_has_steps_and_an_address(source: Source) -> None:
    if source.by_hand:
        assert re.search(r"^1\. ", source.by_hand, re.MULTILINE)
        assert "http" in source.by_hand + source.licence_url
        for name in re.findall(r"`zoo data get (\w+)`", source.by_hand):
            assert name in SOURCES


def test_readers_take_what_they_are_given(source: Source) -> None:
    if not source.reader:
        assert not source.init_args
        return
    module, _, name = source.reader.rpartition(".")
    reader = getattr(importlib.import_module(module), name)
    assert reader.contract == source.contract
    parameters = inspect.signature(reader.__init__).parameters
    assert set(source.init_args) <= set(parameters)
    needed = {n for n, p in parameters.items() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD}
    assert needed - {"self"} <= set(source.init_args)
    assert "{root}" in str(source.init_args) or source.name in source.init_args.values()


def test_every_contract_has_a_set() -> None:
    assert {source.contract for source in SOURCES.values()} == CONTRACTS


def test_what_is_there_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    birds = SOURCES["cub200"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "common"))
    root = tmp_path / "common" / "cub200"
    assert find(birds) is None and not is_fetched(birds, root)
    for name in ("images/001.Auk/a.jpg", "bounding_boxes.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    assert is_fetched(birds, root) and not is_present(birds, root)
    (root / "text_c10/001.Auk").mkdir(parents=True)
    (root / "text_c10/001.Auk/a.txt").touch()
    assert is_present(birds, root) and find(birds) == root
    here = tmp_path / "data" / "cub200"
    here.parent.mkdir()
    root.rename(here)
    assert find(birds) == Path("data/cub200")
    monkeypatch.delenv("ZOO_DATA")
    assert find(birds) == Path("data/cub200")
    assert arguments(birds, Path("x/y")) == {"root": "x/y"}


def test_nothing_heavy_is_imported() -> None:
    code = "import sys, zoo.data.sources; print('torch' in sys.modules or 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("name", ["mnist", "facades", "bsds500", "camvid", "emoji", "sr", "cmu_faces"])
def test_real_sets_are_known_by_their_files(zoo_data: Path, name: str) -> None:
    assert is_present(SOURCES[name], zoo_data / name)
