"""Nothing is learnt differently: what every machine must give is as ``unchanged.json`` says.

It holds descriptions, fingerprints, orders, batches and pack keys of the drawn sets, protocols and seeds, as
``python scripts/record.py tests/unchanged.json --portable`` wrote them before the code was moved. Write it
anew only where a change of results is intended, and say so in the commit.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from zoo.data.base import DataModule

ROOT = Path(__file__).parents[1]
WANTED: dict[str, Any] = json.loads((ROOT / "tests" / "unchanged.json").read_text())
TOLERANCE = 2 / 255  # means and single values of pictures; everything else must be equal

spec = importlib.util.spec_from_file_location("record", ROOT / "scripts" / "record.py")
assert spec is not None and spec.loader is not None
record = sys.modules["record"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(record)


def differences(old: Any, new: Any) -> list[str]:
    """As ``record.differences``, where floats may differ a little."""

    def near(a: Any, b: Any) -> Any:
        if isinstance(a, dict) and isinstance(b, dict):
            return {key: near(a.get(key), value) for key, value in b.items()}
        if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
            return [near(*pair) for pair in zip(a, b, strict=True)]
        return a if isinstance(a, float) and isinstance(b, float) and abs(a - b) <= TOLERANCE else b

    return list(record.differences(old, near(old, json.loads(json.dumps(new)))))


@pytest.mark.parametrize("name", record.PLAN["drawn"])
def test_drawn_sets(name: str) -> None:
    """Order, augmentation, description, fingerprint and the keys of packs, which hold the class path."""
    data = record.drawn(record.PLAN["drawn"][name])
    assert isinstance(data, DataModule)
    assert not differences(WANTED[f"drawn/{name}"], record.read(data, record.rounded, 1))


@pytest.mark.parametrize("name", ["seeds", "protocols"])
def test_seeds_and_protocols(name: str) -> None:
    assert not differences(WANTED[name], getattr(record, name)())


def test_captions_of_the_world() -> None:
    assert WANTED["captions"] == record.find("zoo.data.worlds.scenes").sentences(12)


def test_every_entry_is_checked() -> None:
    assert set(WANTED) == {
        "seeds",
        "protocols",
        "captions",
        *(f"drawn/{name}" for name in record.PLAN["drawn"]),
    }


@pytest.mark.parametrize("path", record.PLAN["classes"])
def test_public_class_paths_import(path: str) -> None:
    assert isinstance(record.find(path), type)


@pytest.mark.parametrize("name", ["gan/digits", "gan/ring", "pix2pixhd/camvid_small", "srgan/srgan_world"])
def test_a_run_writes_the_class_paths_of_its_recipe(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given, written = record.recipes()[name], record.printed(name)["config"]
    for part in ("model", "data"):
        assert written[part]["class_path"] == given[part]["class_path"]
    callbacks = [callback["class_path"] for callback in given["trainer"].get("callbacks", [])]
    assert [callback["class_path"] for callback in written["trainer"]["callbacks"]] == callbacks
