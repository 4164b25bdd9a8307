"""Loggers: ``metrics.csv``, a folder for evaluations, and W&B whose failures never stop a training."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import yaml
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, WandbLogger
from torch import Tensor

from zoo.errors import UserError, reason_of
from zoo.files.writing import append_text, write_text
from zoo.guards import is_logged, row_of
from zoo.training.online import missing_for_online

WandbChoice = Literal["auto", "online", "offline", "off"]
PROJECT = "gan-application-zoo"


class FolderLogger(Logger):
    """Logs an evaluation into a run's folder and leaves the training's ``metrics.csv`` alone."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    @property
    def name(self) -> str:
        """Empty: the folder identifies the run."""
        return ""

    @property
    def version(self) -> str:
        """The run's id."""
        return self.folder.name

    @property
    def save_dir(self) -> str:
        """The run folder."""
        return str(self.folder)

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Append the metrics to ``evaluations.jsonl``."""
        if process_rank() == 0:
            append_text(self.folder / "evaluations.jsonl", json.dumps({"step": step, **metrics}) + "\n")

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the run's ``config.yaml`` has them."""


class MetricsFile(FolderLogger):
    """``metrics.csv``: a row per logged step, counted from 1; a resumed run continues it.

    Args:
        folder: Run folder.
        steps: Steps that a resumed run keeps; rows of later steps are replaced.
    """

    def __init__(self, folder: Path, steps: int = 0) -> None:
        super().__init__(folder)
        self.path = folder / "metrics.csv"
        self._columns, self._rows = self._read(steps)
        self._written, self._stale = 0, True  # rows that the file holds, and whether it must be written anew

    def _read(self, steps: int) -> tuple[list[str], list[dict[str, Any]]]:
        try:
            with self.path.open(newline="", encoding="utf-8") as file:
                reader = csv.DictReader(file)
                columns = list(reader.fieldnames or [])
                if columns and "step" not in columns:
                    raise UserError(
                        f"{self.path} does not begin with the names of its columns; move it away."
                    )
                kept = [row for row in reader if _is_whole(row) and int(row["step"]) <= steps]
                return columns, kept
        except FileNotFoundError:
            return [], []
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"Cannot read {self.path} ({reason_of(error)}); move it away.") from error

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add metrics to the row of a step, which Lightning counts from 0."""
        number = (step or 0) + 1
        if not self._rows or int(self._rows[-1]["step"]) != number:
            self._rows.append({"step": number})
        elif self._written == len(self._rows):
            self._stale = True
        self._rows[-1] |= {
            key: value.item() if isinstance(value, Tensor) else value for key, value in metrics.items()
        }

    @rank_zero_only
    def save(self) -> None:
        """Write the new rows.

        Raises:
            UserError: The file cannot be written.
        """
        changed = self._rows if self._stale else self._rows[self._written :]
        columns = sorted({*self._columns, *(key for row in changed for key in row)})
        anew = self._stale or columns != self._columns
        if not self._rows or (self._written == len(self._rows) and not anew):
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        if anew:
            writer.writeheader()
        writer.writerows(self._rows if anew else self._rows[self._written :])
        if anew:
            write_text(self.path, text.getvalue())
        else:
            append_text(self.path, text.getvalue())
        self._columns, self._written, self._stale = columns, len(self._rows), False

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write the last rows."""
        self.save()


def _is_whole(row: dict[Any, Any]) -> bool:
    """Whether a row has all columns and no others, and a step."""
    step = row.get("step") or ""
    return None not in row and None not in row.values() and re.fullmatch("[0-9]{1,15}", step) is not None


class KeepRows(Callback):
    """Write the rows of all steps up to a checkpoint before it, so that a resumed run has no gap."""

    def __init__(self, rows: MetricsFile) -> None:
        self.rows = rows

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the row of a logged step that is still open: Lightning logs it after the checkpoint."""
        within = trainer.training and trainer._logger_connector._first_loop_iter is not None
        if within and is_logged(trainer, trainer.global_step):
            self.rows.log_metrics(row_of(trainer), trainer.global_step - 1)
        self.rows.save()


class SafeWandbLogger(WandbLogger):
    """A WandbLogger that reports its first failure and then stays silent."""

    _failed = False

    def _try(self, act: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        if self._failed:
            return
        try:
            act(*args, **kwargs)
        except Exception as error:
            self._failed = True
            _warn("failed", error)

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Log metrics at a step, which Lightning counts from 0 and the run from 1."""
        self._try(super().log_metrics, metrics, None if step is None else step + 1)

    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Log images after a number of steps."""
        self._try(super().log_image, key, images, None if step is None else step - 1, **kwargs)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the run's config has the whole recipe."""

    def finalize(self, status: str) -> None:
        """Finish the run, so that the next one in this process starts its own."""
        self._try(super().finalize, status)
        self._try(self.experiment.finish, exit_code=0 if status == "success" else 1)


def wandb_logger(
    choice: WandbChoice,
    folder: Path,
    recipe: str,
    config: str,
    facts: Mapping[str, Any],
    *,
    name: str | None = None,
    tags: Sequence[str] = (),
    notes: str | None = None,
) -> SafeWandbLogger | None:
    """A logger into the run's folder, online or offline as decided before the run; None if W&B is off.

    The folder's name is the run's id, so that a resumed or evaluated run is the same W&B run.

    Args:
        choice: ``auto`` is online with a key and a reachable host, else offline; it prints which.
        folder: Run folder.
        recipe: ``paper/data``, the group of runs to compare.
        config: Resolved recipe as YAML; it becomes the W&B config.
        facts: More entries of the config.
        name: Displayed name; an earlier one is kept if not given.
        tags: Tags.
        notes: Notes.
    """
    if choice == "off" or os.environ.get("WANDB_MODE") == "disabled" or process_rank() != 0:
        return None
    os.environ.setdefault("WANDB_SILENT", "true")
    try:
        import wandb  # it takes a second to import

        online = choice == "online" or (
            choice == "auto" and os.environ.get("WANDB_MODE", "online") == "online"
        )
        if online and (missing := missing_for_online(wandb.Settings().base_url)):
            print(
                f"W&B: offline, {missing}; `wandb sync {folder}/wandb/offline-run-*` uploads later.",
                file=sys.stderr,
            )
            online = False
        folder.mkdir(parents=True, exist_ok=True)
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            group=recipe,
            job_type="fit",
            id=folder.name,
            resume="allow" if online else None,
            name=name,
            tags=list(tags) or None,
            notes=notes,
            dir=str(folder.resolve()),  # its service may live in another folder
            mode="online" if online else "offline",
            config={"recipe": recipe, **yaml.safe_load(config), **facts},
            settings=wandb.Settings(init_timeout=20),
            reinit="finish_previous",  # else a second run in one process is written into the first
        )
        for pattern in ("train/*", "val/*", "health/*"):
            run.define_metric(pattern, step_metric="trainer/global_step", summary="last")
        return SafeWandbLogger(experiment=run)
    except Exception as error:
        _warn("could not start", error)
        return None


def _warn(what: str, error: Exception) -> None:
    print(f"W&B {what} ({type(error).__name__}: {error}); training continues without it.", file=sys.stderr)


def process_rank() -> int:
    """The rank of this process, as launchers set it."""
    names = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
    return next((int(os.environ[name]) for name in names if os.environ.get(name, "").isdigit()), 0)
