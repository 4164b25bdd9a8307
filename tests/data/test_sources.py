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

from zoo.data.contracts import CONTRACTS as ALL
from zoo.data.sources import (
    SOURCES,
    RemoteFile,
    Source,
    arguments,
    contracts,
    find,
    is_fetched,
    is_present,
    read,
)
from zoo.errors import UserError
from zoo.files.downloads import refusal

CONTRACTS = set(ALL) - {"label maps", "points"}  # label maps are pairs


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
        assert not file.unpack or re.search(r"\.(zip|whl|tgz|tar\.gz)$", file.name)
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
    assert {source.contract for source in SOURCES.values()} == CONTRACTS == set(contracts())


MINIMAL = """
owls:
  title: Owls
  papers: GAN
  licence: CC0
  research_only: false
  count: 3 owls
  layout: "*.png"
  present: ["*.png"]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "frontal_faces.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_and_short_forms(tmp_path: Path) -> None:
    text = """
  mirrors: [https://a.example/x/, https://b.example/]
  files:
    - {path: sub/owls.zip, size: 1_000, parts: {owls: ""}}
    - {urls: ["https://c.example/more.tgz?download=1"], size: 24, unpack: false}
  reader: zoo.data.images.module.ImageFolder
"""
    owls = read(write(tmp_path, MINIMAL + text.lstrip("\n")))["owls"]
    assert owls.contract == "frontal faces"
    assert owls.init_args == {"root": "{root}"}
    assert owls.size_bytes == 1024
    assert owls.files == (
        RemoteFile(
            ("https://a.example/x/sub/owls.zip", "https://b.example/sub/owls.zip"),
            "owls.zip",
            size=1000,
            parts=(("owls", ""),),
        ),
        RemoteFile(("https://c.example/more.tgz?download=1",), "more.tgz", size=24, unpack=False),
    )
    github = (
        MINIMAL + "  files: [{github: a/owls, commit: 0123456789, folder: b}, {github: a/owls, commit: abc}]"
    )
    whole = read(write(tmp_path, github))["owls"]
    assert whole.size_bytes == 0 and whole.init_args == {}
    assert whole.files == (
        RemoteFile(
            ("https://github.com/a/owls/archive/0123456789.zip",), "owls-0123456.zip", parts=(("*/b", ""),)
        ),
        RemoteFile(("https://github.com/a/owls/archive/abc.zip",), "owls-abc.zip", parts=(("*", ""),)),
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  title: Owls\n", "", "{path}: set owls has no field title; add it."),
        ("title:", "titel:", "{path}: set owls has an unknown field titel; did you mean title?"),
        ("title:", "contract:", "{path}: set owls has an unknown field contract; "),
        ("GAN", "[GAN]", "{path}: set owls: field papers must be a text, not ['GAN']."),
        ("false", "'no'", "{path}: set owls: field research_only must be true or false, not 'no'."),
        ('["*.png"]', "'*.png'", "{path}: set owls: field present must be a list of texts, not '*.png'."),
        (
            "GAN",
            "GAN\n  size_bytes: 1.5",
            "{path}: set owls: field size_bytes must be a whole number, not 1.5.",
        ),
        ("GAN", "GAN\n  files: x", "{path}: set owls: field files must be a list, not 'x'."),
        ("GAN", "GAN\n  files: [x]", "{path}: set owls: file 1 must map names to values, not be 'x'."),
        ("GAN", "GAN\n  files: [{{name: x}}]", "{path}: set owls: file 1 has no field urls; add it."),
        ("GAN", "GAN\n  files: [{{github: a/b}}]", "{path}: set owls: file 1 has no field commit; add it."),
        ("GAN", "GAN\n  papers: DTN", "papers is given twice"),
        ("\nowls:", "\nowls: {{}}\nowls:", "owls is given twice"),
        ("owls:", "owls", "{path} is not valid YAML ("),
        (MINIMAL.format(), "- owls", "{path} must map names to values, not be ['owls']."),
    ],
)
def test_faults_are_named_with_file_set_and_field(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write(tmp_path, MINIMAL.replace(old, new.format()))
    with pytest.raises(UserError) as caught:
        read(path)
    assert message.format(path=path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_stands_in_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clips.yaml").write_text(MINIMAL, encoding="utf-8")
    write(tmp_path, MINIMAL)
    monkeypatch.setattr("zoo.data.sources.FOLDER", tmp_path)
    with pytest.raises(UserError, match=r"frontal_faces\.yaml: set owls is in another file as well"):
        len(type(SOURCES)())


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


def test_nothing_heavy_is_imported_and_no_file_is_read() -> None:
    code = (
        "import sys, zoo.data.sources as s; loaded = sys.modules; "
        "print('torch' in loaded, 'numpy' in loaded, 'data' in vars(s.SOURCES), len(s.SOURCES) > 50)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "False", "True"]


@pytest.mark.parametrize("name", ["mnist", "facades", "bsds500", "camvid", "emoji", "sr", "cmu_faces"])
def test_real_sets_are_known_by_their_files(zoo_data: Path, name: str) -> None:
    assert is_present(SOURCES[name], zoo_data / name)
