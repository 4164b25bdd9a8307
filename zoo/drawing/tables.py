"""Tables as text."""

from __future__ import annotations

from collections.abc import Sequence


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
