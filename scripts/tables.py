"""Write the index of the weights, and the tables of the documents between their markers (``make tables``).

checkpoints/index.json: an entry per folder there. README.md: the applications, the weights and their scores.
docs/cards: the weights of each paper and their scores. docs/data: the public data sets, per contract.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import UserError
from zoo.files.schemas import FLAG, MODEL, TEXT, Kind, read_json

ROOT = Path(__file__).parents[1]
PAPER = Kind(
    "zoo.models.PAPER.CLASS", lambda value: re.fullmatch(r"zoo\.models\.\w+\.\w+", str(value)) is not None
)
PUBLISHED = {**MODEL, "class": PAPER, "name": TEXT, "research_only": FLAG, "licence": {"weights": TEXT}}
APPLICATIONS_BEGIN, APPLICATIONS_END = (
    "<!-- applications: written by make tables -->",
    "<!-- end of applications -->",
)
WEIGHTS_BEGIN, WEIGHTS_END = "<!-- weights: written by make tables -->", "<!-- end of weights -->"
BEGIN, END = "<!-- results: written by make tables -->", "<!-- end of results -->"
SETS_BEGIN, SETS_END = "<!-- sets: written by make tables -->", "<!-- end of sets -->"
SHOWN = {  # parts of a protocol that are shown beside the score
    "samples": "{} samples",
    "test_pictures": "{} test pictures",
    "pictures": "{} pictures",
    "scale": "x{}",
    "channel": "{}",
    "border": "border {}",
    "test": "{} test pictures",
    "classifier": "classifier {}",
    "segmenter": "segmenter {}",
    "seed": "seed {}",
}


def published() -> dict[str, dict[str, Any]]:
    """What ``model.json`` says of each folder of weights, by the folder's name."""
    paths = sorted((ROOT / "checkpoints").glob("*/model.json"))
    return {path.parent.name: read_json(path, PUBLISHED, 1) for path in paths}


def index() -> str:
    """The content of ``checkpoints/index.json``."""
    entries = [
        {
            "name": config["name"],
            "folder": folder,
            "sha256": config["weights"]["sha256"],
            "title": config.get("title", config["name"]),
            "recipe": recipe(config),
            "licence": config["licence"]["weights"],
            "research_only": config["research_only"],
        }
        for folder, config in published().items()
    ]
    return json.dumps({"format": 1, "entries": entries}, indent=2) + "\n"


def recipe(config: dict[str, Any]) -> str | None:
    """The name of the recipe in the command that trained the weights; None if another program did."""
    found = re.search(r"--config[ =](?:recipes/)?(\S+?)(?:\.yaml)?(?:\s|$)", config.get("command") or "")
    return found and found[1]


def cards() -> list[Path]:
    """The cards, one per module of ``zoo/models``."""
    return sorted((ROOT / "docs" / "cards").glob("*.md"))


def applications() -> str:
    """A row per card: what its heading says, and the paper that its first lines name."""
    rows = []
    for path in cards():
        text = path.read_text(encoding="utf-8")
        name, _, application = text.partition("\n")[0].removeprefix("# ").partition(": ")
        paper = re.search(r"([A-Z][\w-]+)(?: et al\.| and [A-Z][\w-]+)? (\d{4}),", text.partition("\n## ")[0])
        file = f"zoo/models/{path.stem}.py"
        cited = f"{name} ({paper[1]} {paper[2]})" if paper else name
        rows.append((application, cited, f"[`{file}`]({file})", f"[card](docs/cards/{path.name})"))
    return markdown(("application", "paper", "file", "card"), rows)


def weights(paper: str | None = None) -> str:
    """A row per folder of weights, of all papers or of one."""
    rows = [
        (
            f"`{config['name']}`",
            config.get("title", config["name"]),
            f"`{recipe(config)}`" if recipe(config) else "",
            f"{config['weights']['bytes'] / 1e6:.1f} MB",
            config["licence"]["weights"],
        )
        for config in published().values()
        if paper in (None, config["class"].split(".")[2])
    ]
    return markdown(("weights", "what", "recipe", "size", "licence"), rows) if rows else "None are published."


def table(paper: str | None = None) -> str:
    """A row per score of generated images, with that of real images and the paper's; all papers or one."""
    rows = []
    for config in published().values():
        if paper not in (None, config["class"].split(".")[2]):
            continue
        results = config.get("results", [])
        real = {row["metric"]: row for row in results if row["subject"] == "real"}
        for row in results:
            if row["subject"] == "generated":
                beside = real.get(row["metric"])
                cells = [config["name"], row["metric"], number(row), number(beside) if beside else ""]
                rows.append(
                    [*cells, row.get("paper") or "", protocol(row) + (real_side(beside) if beside else "")]
                )
    return markdown(("checkpoint", "metric", "ours", "real", "paper", "protocol"), rows) if rows else ""


def number(row: dict[str, Any]) -> str:
    """A value with its standard error."""
    error = row.get("error")
    return f"{float(row['value']):.4g}" + (f" ± {float(error):.2g}" if error is not None else "")


def real_side(row: dict[str, Any]) -> str:
    """How a row of real images was measured, if not as that of generated ones."""
    stated = row["protocol"]
    if "halvings" in stated:
        return f"; real: {stated['halvings']} halvings of {stated['real']['count']}"
    return f"; real: {stated['of']}" if "of" in stated else ""


def protocol(row: dict[str, Any]) -> str:
    """Short form of the protocol; ``model.json`` has all of it."""
    stated = row["protocol"]
    found = [text.format(stated[key]) for key, text in SHOWN.items() if stated.get(key) is not None]
    if "made" in stated and "real" in stated:
        made, real = stated["made"], stated["real"]
        of = f" of {real['split']}" if "split" in real else ""
        seed = f", seed {made['seed']}" if "seed" in made else ""
        found.append(f"{made['count']} against {real['count']}{of}{seed}")
    return ", ".join(found)


def sets(contract: str) -> str:
    """A row per public data set of a contract: its terms, how to download it and how to read it."""
    from zoo.data.sources import SOURCES, terms
    from zoo.files.downloads import readable

    head = ("name", "what", "how much", "licence", "terms", "download", "reader")
    rows = []
    for source in SOURCES.values():
        if source.contract == contract:
            ways = ["`zoo data get`"] * bool(source.files) + ["by hand"] * bool(source.by_hand)
            size = f", {readable(source.size_bytes)}" if source.size_bytes and source.files else ""
            given = {
                key: value for key, value in source.init_args.items() if (key, value) != ("root", "{root}")
            }
            reader = [source.reader.removeprefix("zoo.data."), *(f"{k}: {v}" for k, v in given.items())]
            rows.append(
                (
                    f"[{source.name}]({source.licence_url})",
                    source.title,
                    source.count,
                    source.licence,
                    terms(source),
                    " and ".join(ways) + size,
                    ", ".join(f"`{word}`" for word in reader if word),
                )
            )
    return markdown(head, rows)


def overview() -> str:
    """A row per contract with the names of its public sets, by what their terms allow."""
    from zoo.data.sources import SOURCES, contracts

    head = ("contract", "commercial use too", "research only")
    rows = []
    for contract in contracts():
        names: dict[bool, list[str]] = {False: [], True: []}
        for source in SOURCES.values():
            if source.contract == contract:
                names[source.research_only].append(f"`{source.name}`")
        rows.append((f"[{contract}]({page(contract).name}#public-sets)", *map(", ".join, names.values())))
    return markdown(head, rows)


def page(contract: str) -> Path:
    """The document of a contract."""
    return ROOT / "docs" / "data" / f"{contract.replace(' ', '-')}.md"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def replace(path: Path, *parts: tuple[str, str, str]) -> str:
    """The text of a document with each table between its two markers.

    Args:
        path: The document.
        parts: Marker before a table, marker after it, and the table.
    """
    text = path.read_text(encoding="utf-8")
    for begin, end, content in parts:
        if text.count(begin) != 1 or end not in text.partition(begin)[2]:
            raise SystemExit(
                f"{path} needs the line {begin} and, below it, {end}; add them where the table belongs."
            )
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{content}\n{end}{rest.partition(end)[2]}"
    return text


def documents() -> dict[Path, str]:
    """The index, and every document that has a table, as they should be."""
    from zoo.data.sources import contracts

    readme, data = ROOT / "README.md", ROOT / "docs" / "data" / "README.md"
    listed = (APPLICATIONS_BEGIN, APPLICATIONS_END, applications())
    found = {
        ROOT / "checkpoints" / "index.json": index(),
        readme: replace(readme, listed, (WEIGHTS_BEGIN, WEIGHTS_END, weights()), (BEGIN, END, table())),
        data: replace(data, (SETS_BEGIN, SETS_END, overview())),
    }
    for path in cards():
        content = "\n\n".join(part for part in (weights(path.stem), table(path.stem)) if part)
        found[path] = replace(path, (WEIGHTS_BEGIN, WEIGHTS_END, content))
    for contract in contracts():
        found[page(contract)] = replace(page(contract), (SETS_BEGIN, SETS_END, sets(contract)))
    return found


def main() -> None:
    """Write all tables."""
    try:
        found = documents()
    except UserError as error:
        raise SystemExit(str(error)) from error
    for path, text in found.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
