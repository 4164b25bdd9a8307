from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import zoo.data
import zoo.models
from zoo import catalogue, recipes
from zoo.cli import main
from zoo.errors import UserError

PAPER = '''
"""What the paper does.

More of it.
"""


class Net(nn.Module):
    """Not named in recipes."""


class Paper(AdversarialModule):
    """Translate."""

    def __init__(self, width: int = 64, *, rate: float, **options: Unpack[GameOptions]) -> None:
        pass
'''

DATA = '''
"""Pictures."""


class Faces(DataModule):
    def describe(self):
        return {"name": "faces", "research_only": True}


class Own(DataModule):
    """A folder.

    Args:
        root: Where.
    """

    def __init__(self, root: str, research_only: bool = False) -> None:
        pass


class Asked(DataModule):
    def describe(self):
        return {"research_only": self.research_only}
'''

PLACE = {"folder": "a", "files": []}
OTHERS = "theirs: {title: Theirs, file: a.pth, url: 'https://a.org/a.pth', page: a.org, licence: unknown}\n"
SAID = "# Said.\ndata: {class_path: zoo.data.pictures.Own, init_args: {research_only: true}}\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A zoo of one file a kind, two recipes and two checkpoints."""
    files = {
        "pyproject.toml": "",
        "zoo/models/paper.py": PAPER,
        "zoo/data/pictures.py": DATA,
        "zoo/data/_hidden.py": DATA,
        "recipes/paper/faces.yaml": "# Faces\n# of all. More.\ndata: {class_path: zoo.data.pictures.Faces}\n",
        "recipes/paper/own.yaml": "# Own.\ndata: {class_path: zoo.data.pictures.Own, init_args: {root: x}}\n",
        "recipes/paper/said.yaml": SAID,
        "recipes/overlays/tiny.yaml": "# No recipe.\n",
        "zoo/references/paper.yaml": OTHERS,
        "checkpoints/index.json": json.dumps(
            {
                "format": 2,
                "entries": [
                    {"name": "a/free", "title": "Free", "research_only": False, **PLACE},
                    {"name": "a/faces", "title": "Faces", "research_only": True, **PLACE},
                ],
            }
        ),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(recipes, "PACKAGE", tmp_path / "zoo")
    monkeypatch.setattr(zoo.models, "__path__", [str(tmp_path / "zoo" / "models")])
    monkeypatch.setattr(zoo.data, "__path__", [str(tmp_path / "zoo" / "data")])
    caches = (catalogue.find_source, catalogue.classes)
    for cache in caches:
        cache.cache_clear()
    yield tmp_path
    for cache in caches:
        cache.cache_clear()


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, list[str]]:
    assert main(["list", "--json", *arguments]) == 0
    return {
        kind: [e["name"] for e in entries] for kind, entries in json.loads(capsys.readouterr().out).items()
    }


def test_lists_what_recipes_can_name(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys) == {
        "models": ["Paper"],
        "recipes": ["paper/faces", "paper/own", "paper/said"],
        "data": ["Faces", "Own", "Asked"],
        "checkpoints": ["a/free", "a/faces"],
        "others": ["theirs"],
    }
    assert catalogue.recipe_entries()[0]["title"] == "Faces of all"
    assert listed(capsys, "recipes") == {"recipes": ["paper/faces", "paper/own", "paper/said"]}


def test_commercial_leaves_out_what_is_for_research_only(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert listed(capsys, "--commercial") == {
        "models": ["Paper"],
        "recipes": ["paper/own"],
        "data": ["Own"],
        "checkpoints": ["a/free"],
        "others": [],
    }


def test_the_table_is_aligned_and_says_what_is_restricted(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", "checkpoints"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Checkpoints (2)",
        "  a/free                  Free",
        "  a/faces  research only  Faces",
    ]
    assert main(["list", "others"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Others (1)",
        "  theirs  terms unknown  Theirs  https://a.org/a.pth",
    ]


def test_a_broken_index_is_named(package: Path) -> None:
    (package / "checkpoints" / "index.json").write_text("{}")
    with pytest.raises(UserError, match=r"index\.json states no format"):
        catalogue.checkpoints()
    (package / "checkpoints" / "index.json").write_text(
        '{"format": 1, "entries": [{"name": 3, "title": ""}]}'
    )
    with pytest.raises(UserError, match=r"index\.json lacks folder, files in entries\[0\]"):
        catalogue.checkpoints()


def test_a_broken_recipe_is_named(package: Path) -> None:
    (package / "recipes" / "paper" / "own.yaml").write_text("data: [")
    with pytest.raises(UserError, match=r"own\.yaml is not a recipe"):
        catalogue.recipe_entries()


def test_arguments_of_a_signature() -> None:
    function = ast.parse("def f(self, a: int, b=2, *, c: str = 'x', d, **rest): pass").body[0]
    assert isinstance(function, ast.FunctionDef)
    assert catalogue.arguments(function) == [
        ("a", "int", ""),
        ("b", "", "2"),
        ("c", "str", "'x'"),
        ("d", "", ""),
    ]


def test_the_real_zoo_has_its_papers_and_recipes() -> None:
    assert {"GAN", "Pix2Pix"} <= {entry["name"] for entry in catalogue.models()}
    assert {"Digits", "MNIST", "Points", "PairFolder"} <= {entry["name"] for entry in catalogue.data()}
    entries = {entry["name"]: entry for entry in catalogue.recipe_entries()}
    assert all(entry["title"] for entry in entries.values())
    assert entries["gan/digits"]["research_only"] is False
    assert entries["pix2pix/facades"]["research_only"] is True


@pytest.mark.parametrize(
    "arguments", [["--help"], ["list"], ["list", "--json", "--commercial"], ["show", "GAN"]]
)
def test_needs_neither_torch_nor_lightning(arguments: list[str]) -> None:
    code = (
        "import sys; from zoo.cli import main; assert main(sys.argv[1:]) == 0; "
        "bad = {'torch', 'lightning', 'numpy'} & set(sys.modules); assert not bad, bad"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_checkpoints_show_input_size_and_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "checkpoints"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "gan-digits" in line)
    assert "noise" in line and "0.2 MB" in line and "kid-digits 27.1" in line


def test_lines_fit_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    assert main(["list"]) == 0
    whole = capsys.readouterr().out.splitlines()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert main(["list"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert max(map(len, shown)) == 70 and max(map(len, whole)) > 70 and len(shown) == len(whole)
