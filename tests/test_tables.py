"""The tables of the documents say what the code and the published checkpoints say."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_results_in_the_readme_are_the_checkpoints() -> None:
    tables = runpy.run_path(str(ROOT / "scripts" / "tables.py"))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.partition(tables["BEGIN"])[2].partition(tables["END"])[0].strip() == tables["table"]()


def test_the_table_of_data_sets_is_the_catalogue() -> None:
    tables = runpy.run_path(str(ROOT / "scripts" / "tables.py"))
    text = (ROOT / "docs" / "data" / "README.md").read_text(encoding="utf-8")
    found = text.partition(tables["SETS_BEGIN"])[2].partition(tables["SETS_END"])[0].strip()
    assert found == tables["sets"]() and found.count("\n| [") > 50


def test_cards_and_recipes_have_no_gaps() -> None:
    gap = re.compile(r"\b(LAYERS|RESULTS|SPEED|\w*TIME|\w+_RUN)\b")
    files = [*(ROOT / "docs" / "cards").glob("*.md"), *(ROOT / "recipes").glob("*/*.yaml")]
    found = {file.name: gap.findall(file.read_text(encoding="utf-8")) for file in files}
    assert not {name: gaps for name, gaps in found.items() if gaps}
