"""Write the tables of the documents between their markers (``make tables``).

README.md: the scores of the published checkpoints. docs/data: the public data sets, per contract.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
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


def table() -> str:
    """A row per score of generated images, with that of real images and the paper's."""
    head = ("checkpoint", "metric", "ours", "real", "paper", "protocol")
    rows = []
    index = json.loads((ROOT / "checkpoints" / "index.json").read_text())
    for entry in index["entries"]:
        card = json.loads((ROOT / "checkpoints" / entry["folder"] / "model.json").read_text())
        real = {row["metric"]: row for row in card["results"] if row["subject"] == "real"}
        for row in card["results"]:
            if row["subject"] == "generated":
                beside = real.get(row["metric"])
                cells = [entry["name"], row["metric"], number(row), number(beside) if beside else ""]
                rows.append([*cells, row["paper"] or "", protocol(row)])
    return markdown(head, rows)


def number(row: dict[str, Any]) -> str:
    """A value with its standard error."""
    return f"{row['value']:.4g}" + (f" ± {row['error']:.2g}" if row["error"] is not None else "")


def protocol(row: dict[str, Any]) -> str:
    """Short form of the protocol; ``model.json`` has all of it."""
    stated = row["protocol"]
    found = [text.format(stated[key]) for key, text in SHOWN.items() if stated.get(key) is not None]
    if "made" in stated:
        made, real = stated["made"], stated["real"]
        found.append(f"{made['count']} against {real['count']} of {real['split']}, seed {made['seed']}")
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


def replace(path: Path, begin: str, end: str, table: str) -> str:
    """The text of a document with ``table`` between its two markers."""
    text = path.read_text(encoding="utf-8")
    if text.count(begin) != 1 or end not in text.partition(begin)[2]:
        raise SystemExit(
            f"{path} needs the line {begin} and, below it, {end}; add them where the table belongs."
        )
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"


def documents() -> dict[Path, str]:
    """Every document that has a table, as it should be."""
    from zoo.data.sources import contracts

    readme = ROOT / "docs" / "data" / "README.md"
    return {
        ROOT / "README.md": replace(ROOT / "README.md", BEGIN, END, table()),
        readme: replace(readme, SETS_BEGIN, SETS_END, overview()),
        **{
            path: replace(path, SETS_BEGIN, SETS_END, sets(contract))
            for contract in contracts()
            for path in [page(contract)]
        },
    }


def main() -> None:
    """Write all tables."""
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
