"""Write the tables of the documents from what the code and the published checkpoints say (``make tables``).

README.md: the numbers that checkpoints carry. docs/data/README.md: the public data sets.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- results: written by make tables -->", "<!-- end of results -->"
SETS_BEGIN, SETS_END = "<!-- sets: written by make tables -->", "<!-- end of sets -->"
SHOWN = {  # keys of a protocol that a reader must see beside the number
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
    """A row for each number measured on generated pictures, with real pictures' and the paper's beside it."""
    lines = ["| checkpoint | metric | ours | real | paper | protocol |", "|---|---|---|---|---|---|"]
    index = json.loads((ROOT / "checkpoints" / "index.json").read_text())
    for entry in index["entries"]:
        card = json.loads((ROOT / "checkpoints" / entry["folder"] / "model.json").read_text())
        real = {row["metric"]: row for row in card["results"] if row["subject"] == "real"}
        for row in card["results"]:
            if row["subject"] == "generated":
                beside = real.get(row["metric"])
                cells = [entry["name"], row["metric"], number(row), number(beside) if beside else ""]
                lines.append("| " + " | ".join([*cells, row["paper"] or "", protocol(row)]) + " |")
    return "\n".join(lines)


def number(row: dict[str, Any]) -> str:
    """A value with its standard error."""
    return f"{row['value']:.4g}" + (f" ± {row['error']:.2g}" if row["error"] is not None else "")


def protocol(row: dict[str, Any]) -> str:
    """What the number depends on, in short; ``model.json`` has all of it."""
    stated = row["protocol"]
    found = [text.format(stated[key]) for key, text in SHOWN.items() if stated.get(key) is not None]
    if "made" in stated:
        made, real = stated["made"], stated["real"]
        found.append(f"{made['count']} against {real['count']} of {real['split']}, seed {made['seed']}")
    return ", ".join(found)


def sets() -> str:
    """A row for each public data set, by contract, with what it may be used for and how to come by it."""
    from zoo.data.sources import SOURCES, terms
    from zoo.downloads import readable

    lines = []
    for contract in dict.fromkeys(source.contract for source in SOURCES.values()):
        lines += [f"### {contract[0].upper()}{contract[1:]}", ""]
        lines += [
            "| name | what | how much | licence | terms | download | reader |",
            "|---|---|---|---|---|---|---|",
        ]
        for source in SOURCES.values():
            if source.contract == contract:
                ways = ["`zoo data get`"] * bool(source.files) + ["by hand"] * bool(source.by_hand)
                size = f", {readable(source.size_bytes)}" if source.size_bytes and source.files else ""
                cells = [
                    f"[{source.name}]({source.licence_url})",
                    source.title,
                    source.count,
                    source.licence,
                    terms(source),
                    " and ".join(ways) + size,
                    f"`{source.reader.removeprefix('zoo.data.')}`" if source.reader else "",
                ]
                lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines).strip()


def replace(path: Path, begin: str, end: str, table: str) -> None:
    """Put a table between two marks of a file."""
    before, _, rest = path.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    path.write_text(f"{before}{begin}\n{table}\n{end}{after}", encoding="utf-8")


def main() -> None:
    """Write all tables."""
    replace(ROOT / "README.md", BEGIN, END, table())
    replace(ROOT / "docs" / "data" / "README.md", SETS_BEGIN, SETS_END, sets())


if __name__ == "__main__":
    sys.exit(main())
