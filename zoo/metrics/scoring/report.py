"""Scores with their protocols: tables, and ``eval.json``.

``eval.json`` in the run folder is the only record of a run's scores. It holds a list of rows; scores of
different protocols never share a column.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import WandbLogger

from zoo.drawing.tables import aligned
from zoo.errors import UserError
from zoo.files.schemas import ROWS, read_json
from zoo.files.writing import report, write_text
from zoo.guards import GuardedModule


@dataclass(frozen=True)
class Row:
    """One score.

    An error that is no number is none.

    Args:
        metric: Name of the score, with the feature network if there is one (``fd-digits``).
        value: The score.
        subject: Images that were scored: ``generated``, ``real`` or ``noise``.
        protocol: Everything that the score depends on: counts, split, network and its hash, resize, seed.
        error: One standard error, if known; or the deviation that the protocol names as ``error``.
        paper: The paper's number for the same quantity, if there is one.
        differs: Difference from the paper's protocol, in words.
    """

    metric: str
    value: float
    subject: str = "generated"
    protocol: dict[str, Any] = field(default_factory=dict)
    error: float | None = None
    paper: str | None = None
    differs: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no file of scores can hold.

        Raises:
            UserError: The value is NaN.
        """
        if math.isnan(self.value):
            raise UserError(
                f"{self.metric} of {self.subject} images came out as no number; check that the images and "
                "the network that judges them are finite."
            )
        if self.error is not None and not math.isfinite(self.error):
            object.__setattr__(self, "error", None)


def recorded(folder: Path) -> list[dict[str, Any]]:
    """The rows in ``folder/eval.json``, none if there is no such file.

    Raises:
        UserError: It is damaged; names the first thing that does not fit.
    """
    path = folder / "eval.json"
    return list(read_json(path, ROWS)) if os.path.lexists(path) else []


def record(folder: Path, rows: Sequence[Row], step: int) -> None:
    """Add rows to ``folder/eval.json``; rows of the same metric, subject, protocol and step are replaced."""
    path, old = folder / "eval.json", recorded(folder)
    new = [strict({"step": step, **asdict(row)}) for row in rows]
    identities = [_identity(row) for row in new]
    kept = [strict(row) for row in old if _identity(row) not in identities]
    write_text(path, json.dumps(kept + new, indent=2, allow_nan=False))


def strict(row: dict[str, Any]) -> dict[str, Any]:
    """A row for JSON, which has no infinity: the score of equal images (PSNR) is the text "inf"."""
    lost = {key: str(row[key]) for key in ("value", "error") if not math.isfinite(float(row.get(key) or 0))}
    return row | lost


def run_folder(trainer: pl.Trainer) -> Path:
    """The folder of this run. Must be called on all ranks, because Lightning broadcasts ``log_dir``."""
    return Path(trainer.log_dir or trainer.default_root_dir)


def publish(trainer: pl.Trainer, rows: Sequence[Row], sentence: str | None = None) -> None:
    """Write and print rows and a sentence, and put them into the W&B run's summary.

    Must be called on all ranks; only rank zero writes.
    """
    folder = run_folder(trainer)
    if trainer.is_global_zero:
        module = trainer.lightning_module
        step = module.steps_trained if isinstance(module, GuardedModule) else trainer.global_step
        print("\n" + "\n".join(filter(None, (table(rows) if rows else None, sentence))))
        record(folder, rows, step)
        report(rows=[strict({"step": step, **asdict(row)}) for row in rows])
        scores = {"/".join(["test", row.metric, row.subject]): row.value for row in rows}
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.experiment.summary.update(scores)


def table(rows: Sequence[Row]) -> str:
    """Rows as aligned text: metric, subject, our score, the paper's, what differs.

    Raises:
        UserError: One metric of one subject was measured by two protocols.
    """
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        first = seen.setdefault((row.metric, row.subject), row.protocol)
        require_one_protocol(row.metric, first, row.protocol)
    head = ("metric", "on", "ours", "paper", "what differs")
    cells = [(r.metric, r.subject, number(r), r.paper or "", r.differs or "") for r in rows]
    filled = [i for i in range(len(head)) if any(row[i] for row in cells)]
    return aligned([tuple(row[i] for i in filled) for row in (head, *cells)], underlined=True)


def side_by_side(subjects: Mapping[str, Sequence[Row]]) -> str:
    """Several subjects as aligned text, one line per subject and one column per metric.

    Raises:
        UserError: Two scores of one column were measured by different protocols; names the difference.
    """
    metrics = list(dict.fromkeys(_column(row) for rows in subjects.values() for row in rows))
    cells = [("", *metrics)]
    seen: dict[str, dict[str, Any]] = {}
    for subject, rows in subjects.items():
        for row in rows:
            protocol = comparable(row.protocol)
            require_one_protocol(row.metric, seen.setdefault(_column(row), protocol), protocol)
        scores = {_column(row): number(row) for row in rows}
        cells.append((subject, *(scores.get(metric, "") for metric in metrics)))
    return aligned(cells, underlined=True)


def over_seeds(found: Mapping[int, Sequence[Mapping[str, Any]]]) -> tuple[list[Row], str]:
    """Mean and standard deviation (divisor n - 1) of each score over trainings with several seeds.

    A score that was not measured once per seed by one protocol is left out, and a line on stderr says so.

    Args:
        found: Rows of each seed, as ``eval.json`` has them.

    Returns:
        The means with their deviations as errors, and a table of them beside each seed's score.
    """
    means = list[Row]()
    lines = [("metric", "on", *(f"seed {seed}" for seed in found), "mean ± deviation", "paper")]
    for first in next(iter(found.values())):
        metric, subject = named = (first["metric"], first["subject"])
        same = [row for rows in found.values() for row in rows if (row["metric"], row["subject"]) == named]
        protocol = comparable(first["protocol"])
        try:
            if len(same) != len(found):
                raise UserError(f"{metric} of {subject} images was not measured once per seed; left out.")
            for row in same:
                require_one_protocol(metric, protocol, comparable(row["protocol"]))
        except UserError as error:
            print(error, file=sys.stderr)
            continue
        values = [float(row["value"]) for row in same]
        mean = Row(
            metric,
            statistics.fmean(values),
            subject,
            protocol | {"seeds": list(found), "error": "deviation over the seeds"},
            statistics.stdev(values) if all(map(math.isfinite, values)) else None,
            first.get("paper"),
            first.get("differs"),
        )
        means.append(mean)
        lines.append((*named, *(f"{value:.4g}" for value in values), number(mean), mean.paper or ""))
    return means, aligned(lines, underlined=True)


def _column(row: Row) -> str:
    """Head of a column: the metric, with the images if they are not the generated ones."""
    return row.metric if row.subject == "generated" else f"{row.metric}, {row.subject}"


def comparable(protocol: dict[str, Any]) -> dict[str, Any]:
    """The protocol without the identity of the scored images, which differs on purpose."""
    made = protocol.get("made")
    return protocol | ({"made": {"count": made["count"]}} if made else {})


def require_one_protocol(metric: str, one: dict[str, Any], other: dict[str, Any]) -> None:
    """Refuse to compare two scores that were measured differently.

    Raises:
        UserError: The protocols differ; names the first difference.
    """
    for key in [*one, *other]:
        if one.get(key) != other.get(key):
            raise UserError(
                f"{metric} was measured by two protocols, so its scores cannot be compared: {key} is "
                f"{one.get(key)!r} in one and {other.get(key)!r} in the other; use one protocol for both."
            )


def number(row: Row) -> str:
    """Score and error as text."""
    return f"{row.value:.4g}" + (f" ± {row.error:.2g}" if row.error is not None else "")


def _identity(row: dict[str, Any]) -> str:
    return json.dumps([row["metric"], row["subject"], row["protocol"], row["step"]], sort_keys=True)
