"""Numbers with their protocol: how an evaluator prints them and where they are kept.

``eval.json`` in the run folder is the one source of a run's numbers. It holds a list of rows; numbers of
different protocols never share a column.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from zoo.files import write_text
from zoo.guards import GuardedModule


@dataclass(frozen=True)
class Row:
    """One measured number.

    Args:
        metric: What was measured, with the feature network in the name where one took part (``fd-digits``).
        value: The number.
        subject: What it was measured on: ``generated``, ``real`` or ``noise``.
        protocol: All that the number depends on: counts, split, network and its hash, resize, seed.
        error: One standard error, where there is one.
        paper: The paper's number for the same quantity, where there is one.
        differs: What differs from the paper's protocol, in words.
    """

    metric: str
    value: float
    subject: str = "generated"
    protocol: dict[str, Any] = field(default_factory=dict)
    error: float | None = None
    paper: str | None = None
    differs: str | None = None


def record(folder: Path, rows: Sequence[Row], step: int) -> None:
    """Add rows to ``folder/eval.json``; one of the same metric, subject, protocol and step is replaced."""
    path = folder / "eval.json"
    old = json.loads(path.read_text()) if path.is_file() else []
    new = [{"step": step, **asdict(row)} for row in rows]
    identities = [_identity(row) for row in new]
    write_text(path, json.dumps([row for row in old if _identity(row) not in identities] + new, indent=2))


def trained_steps(trainer: pl.Trainer) -> int:
    """Turns that the weights under evaluation were trained for."""
    module = trainer.lightning_module
    return module.steps_trained if isinstance(module, GuardedModule) else trainer.global_step


def table(rows: Sequence[Row]) -> str:
    """Rows as aligned text: metric, subject, ours, the paper's, what differs."""
    head = ("metric", "on", "ours", "paper", "what differs")
    cells = [head]
    for row in rows:
        ours = f"{row.value:.4g}" + (f" ± {row.error:.2g}" if row.error is not None else "")
        cells.append((row.metric, row.subject, ours, row.paper or "", row.differs or ""))
    widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _identity(row: dict[str, Any]) -> str:
    return json.dumps([row["metric"], row["subject"], row["protocol"], row["step"]], sort_keys=True)
