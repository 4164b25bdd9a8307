"""The documents' tables are up to date, and cards and recipes have no gaps."""

from __future__ import annotations

import inspect
import json
import re
import runpy
from pathlib import Path

import pytest

from zoo import recipes
from zoo.catalogue import classes, import_class
from zoo.data.contracts import CONTRACTS
from zoo.data.sources import SOURCES, contracts

ROOT = Path(__file__).parents[1]


def test_no_table_is_stale() -> None:
    documents = runpy.run_path(str(ROOT / "scripts" / "tables.py"))["documents"]()
    stale = [path.name for path, text in documents.items() if text != path.read_text(encoding="utf-8")]
    assert not stale, "run `make tables`"
    cards = list((ROOT / "docs" / "cards").glob("*.md"))
    assert len(documents) == 4 + len(contracts()) + len(cards)
    assert {path.stem for path in cards} == {path.split(".")[2] for path in classes("models")}


def test_every_public_set_is_in_the_table_of_its_contract() -> None:
    tables = runpy.run_path(str(ROOT / "scripts" / "tables.py"))
    for source in SOURCES.values():
        text = tables["page"](source.contract).read_text(encoding="utf-8")
        assert f"| [{source.name}]({source.licence_url}) | {source.title} |" in text


def test_measured_weights_of_pictures_have_their_artefact_scores() -> None:
    shown, seen = runpy.run_path(str(ROOT / "scripts" / "tables.py")), 0
    for config in shown["published"]().values():
        rows = {r["metric"]: r for r in config["results"] if r["subject"] == "generated"}
        gives_pictures = import_class(config["class"]).gives == "picture"
        if rows and gives_pictures and CONTRACTS[config["data"]["contract"]].is_picture:
            real = {r["metric"] for r in config["results"] if r["subject"] == "real"}
            grids = {"grid-2", "grid-4"} & rows.keys()
            assert len(grids) == 2 or "no grid scores" in rows["diversity"]["protocol"]["grids"]
            assert {"diversity", *grids} <= real and any(metric.startswith("colour-") for metric in rows)
            assert f"| {config['name']} | " in shown["artefacts"]("page", config["class"].split(".")[2])
            seen += 1
    assert seen >= 7


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


# arguments that say what the data are, which part of a paper is trained, or how memory is laid out
PLUMBING = {"shape", "data_key", "in_channels", "size", "scale", "features"}
PLUMBING |= {"init_from", "stage", "enhancers", "channels_last"}


@pytest.mark.parametrize("recipe", recipes.all_recipes(), ids=lambda recipe: str(recipe.name))
def test_a_recipe_marks_what_differs_from_the_paper(recipe: recipes.Recipe) -> None:
    text = recipe.path.read_text(encoding="utf-8")
    model = recipes.parse(text, str(recipe.path))["model"]
    defaults = inspect.signature(import_class(model["class_path"]).__init__).parameters
    for key, value in model.get("init_args", {}).items():
        default = defaults[key].default if key in defaults else None
        given = tuple(value) if isinstance(value, list) else value
        if key not in PLUMBING and given != default:
            assert re.search(rf"^    {key}: .*  # (differs: |as )", text, re.M), f"{key} is not marked"
    if "# differs: " in text:
        assert "Differs from the paper: " in recipes.head_comment(recipe.path).replace("\n", " ")


def test_cards_and_heads_agree_on_times() -> None:
    def times(text: str) -> set[str]:
        return set(re.findall(r"[\d.]+ (?:s|minutes)\b", text))

    compared = 0
    for card in (ROOT / "docs" / "cards").glob("*.md"):
        rows = card.read_text(encoding="utf-8").partition("## Run it")[2].partition("\n## ")[0]
        for name, _, time in re.findall(r"^\| ([\w, ]+) \| ([^|]+) \| ([^|]+) \|", rows, re.M):
            for each in [] if "not run" in time or name == "recipe" else name.split(", "):
                head = " ".join(recipes.head_comment(recipes.find(f"{card.stem}/{each}")).split())
                said = re.search(r"\bTime: (.*?)(?= Memory: | Result|$)", head)
                assert said and times(said[1]) == times(time), f"{card.stem}/{each}: {said and said[1]}"
                compared += 1
    assert compared > 15


def test_every_picture_of_a_card_is_drawn_by_the_script() -> None:
    cards = "".join(card.read_text(encoding="utf-8") for card in (ROOT / "docs" / "cards").glob("*.md"))
    shown = set(re.findall(r"\(img/([\w-]+)\.png\)", cards))
    script = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "scripts" / "pictures").glob("*.py")
    )
    assert shown == {path.stem for path in (ROOT / "docs" / "cards" / "img").iterdir()}
    assert not {name for name in shown if f'"{name}"' not in script and f'"{name}.png"' not in script}


def test_weights_are_measured_again_by_the_commands_of_their_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = runpy.run_path(str(ROOT / "scripts" / "tables.py"))
    path = tmp_path / "checkpoints" / "gan-digits" / "model.json"
    path.parent.mkdir(parents=True)
    path.write_bytes((ROOT / "checkpoints" / "gan-digits" / "model.json").read_bytes())
    said = []

    def zoo(words: list[str]) -> int:
        *command, _, folder = words
        said.append(" ".join(["zoo", *command]))
        metrics = {"test": ("modes-found", "fd-digits"), "eval": ("fd-digits",)}[words[0]]
        row = {"step": 10000, "value": len(said), "subject": "generated", "protocol": {}}
        (Path(folder) / "eval.json").write_text(json.dumps([row | {"metric": metric} for metric in metrics]))
        return 0

    monkeypatch.setattr("zoo.cli.main", zoo)
    tables["measure"].__globals__["ROOT"] = tmp_path
    tables["measure"]("gan-digits")
    results = json.loads(path.read_text())["results"]
    assert [(row["metric"], row["value"]) for row in results] == [("modes-found", 1), ("fd-digits", 2)]
    card = (ROOT / "docs" / "cards" / "gan.md").read_text(encoding="utf-8")
    assert len(said) == 2 and all(f"\n{command}\n" in card for command in said)
