"""Tables as text, and scores in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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
    "grids": "{}",
    "patches": "{}",
}


def aligned(rows: Sequence[Sequence[str]], indent: str = "", underlined: bool = False) -> str:
    """Rows as text with columns of equal width; columns that are empty everywhere are dropped.

    Args:
        rows: Cells of each row.
        indent: Text before each line.
        underlined: Whether to underline the first row, a header.
    """
    kept = [i for i in range(len(rows[0])) if any(row[i] for row in rows)]
    widths = [max(len(row[i]) for row in rows) for i in kept]
    lines = ["  ".join(row[i].ljust(w) for i, w in zip(kept, widths, strict=True)).rstrip() for row in rows]
    if underlined:
        lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(indent + line for line in lines)


def number(row: Mapping[str, Any]) -> str:
    """A value with its standard error."""
    value, error = float(row["value"]), row.get("error")
    text = f"{value:.0f}" if value.is_integer() else f"{value:#.4g}"
    return text + (f" ± {float(error):.2g}" if error is not None else "")


def protocol(row: Mapping[str, Any]) -> str:
    """Short form of the protocol; ``model.json`` has all of it."""
    stated = row["protocol"]
    found = [text.format(stated[key]) for key, text in SHOWN.items() if stated.get(key) is not None]
    if "made" in stated and "real" in stated:
        made, real = stated["made"], stated["real"]
        of = f" of {real['split']}" if "split" in real else ""
        seed = f", seed {made['seed']}" if "seed" in made else ""
        found.append(f"{made['count']} against {real['count']}{of}{seed}")
    return ", ".join(found)


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])
