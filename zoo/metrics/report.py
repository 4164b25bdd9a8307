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


def run_folder(trainer: pl.Trainer) -> Path:
    """Where this run keeps what it leaves. All ranks must ask: Lightning agrees on it among them."""
    return Path(trainer.log_dir or trainer.default_root_dir)


def publish(trainer: pl.Trainer, rows: Sequence[Row], sentence: str | None = None) -> None:
    """Record and print an evaluation's rows, and one plain sentence; called on all ranks, done by one."""
    folder = run_folder(trainer)
    if trainer.is_global_zero:
        module = trainer.lightning_module
        step = module.steps_trained if isinstance(module, GuardedModule) else trainer.global_step
        record(folder, rows, step)
        print("\n" + table(rows) + (f"\n{sentence}" if sentence else ""))


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
