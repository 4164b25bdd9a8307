"""Write README.md's results table from the numbers that published checkpoints carry (``make tables``)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- results: written by make tables -->", "<!-- end of results -->"
SHOWN = {  # keys of a protocol that a reader must see beside the number
    "samples": "{} samples",
    "test_pictures": "{} test pictures",
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
    found = [
        text.format(row["protocol"][key])
        for key, text in SHOWN.items()
        if row["protocol"].get(key) is not None
    ]
    return ", ".join(found)


def main() -> None:
    """Replace what stands between the two marks of README.md."""
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
