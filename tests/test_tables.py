"""The documents' tables are up to date, and cards and recipes have no gaps."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from zoo.catalogue import classes
from zoo.data.sources import SOURCES, contracts

ROOT = Path(__file__).parents[1]


def test_no_table_is_stale() -> None:
    documents = runpy.run_path(str(ROOT / "scripts" / "tables.py"))["documents"]()
    stale = [path.name for path, text in documents.items() if text != path.read_text(encoding="utf-8")]
    assert not stale, "run `make tables`"
    cards = list((ROOT / "docs" / "cards").glob("*.md"))
    assert len(documents) == 3 + len(contracts()) + len(cards)
    assert {path.stem for path in cards} == {path.split(".")[2] for path in classes("models")}


def test_every_public_set_is_in_the_table_of_its_contract() -> None:
    tables = runpy.run_path(str(ROOT / "scripts" / "tables.py"))
    for source in SOURCES.values():
        text = tables["page"](source.contract).read_text(encoding="utf-8")
        assert f"| [{source.name}]({source.licence_url}) | {source.title} |" in text


def test_a_page_without_markers_is_named(tmp_path: Path) -> None:
    tables = runpy.run_path(str(ROOT / "scripts" / "tables.py"))
    (tmp_path / "page.md").write_text("no markers")
    with pytest.raises(SystemExit, match=r"page\.md needs the line <b>"):
        tables["replace"](tmp_path / "page.md", ("<b>", "<e>", ""))


def test_cards_and_recipes_have_no_gaps() -> None:
    gap = re.compile(r"\b(LAYERS|RESULTS|SPEED|\w*TIME|\w+_RUN)\b")
    files = [*(ROOT / "docs" / "cards").glob("*.md"), *(ROOT / "recipes").glob("*/*.yaml")]
    found = {file.name: gap.findall(file.read_text(encoding="utf-8")) for file in files}
    assert not {name: gaps for name, gaps in found.items() if gaps}
