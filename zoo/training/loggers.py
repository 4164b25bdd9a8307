"""Loggers: ``metrics.csv``, a folder for evaluations, and W&B whose failures never stop a training."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Mapping
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
    """``metrics.csv``: a row per logged step, in order; a resumed run continues it.

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
                kept = [
                    row for row in reader if (row.get("step") or "").isdigit() and int(row["step"]) < steps
                ]
                return list(reader.fieldnames or []), kept
        except FileNotFoundError:
            return [], []
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"Cannot read {self.path} ({reason_of(error)}); move it away.") from error

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add metrics to the row of a step."""
        if not self._rows or int(self._rows[-1]["step"]) != step:
            self._rows.append({"step": step})
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
        columns = sorted({*self._columns, *(key for row in self._rows[self._written :] for key in row)})
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


class KeepRows(Callback):
    """Write the rows of all steps up to a checkpoint with it, so that a resumed run's history has no hole."""

    def __init__(self, rows: MetricsFile) -> None:
        self.rows = rows

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the row of a logged step that is still open, which Lightning logs after the checkpoint."""
        connector = trainer._logger_connector
        if trainer.training and connector._first_loop_iter is not None and connector.should_update_logs:
            row = {"epoch": trainer.current_epoch, **connector.metrics["log"]}
            self.rows.log_metrics(row, trainer.global_step - 1)
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
        """Log metrics at a step."""
        self._try(super().log_metrics, metrics, step)

    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Log images."""
        self._try(super().log_image, key, images, step, **kwargs)

    def log_hyperparams(self, params: Any) -> None:
        """Log hyper-parameters."""
        self._try(super().log_hyperparams, params)

    def finalize(self, status: str) -> None:
        """Finish the run, so that the next one in this process starts its own."""
        self._try(super().finalize, status)
        self._try(self.experiment.finish, exit_code=0 if status == "success" else 1)


def wandb_logger(choice: WandbChoice, folder: Path, recipe: str, config: str) -> SafeWandbLogger | None:
    """A logger into the run's folder, online or offline as decided before the run; None if W&B is off.

    Args:
        choice: ``auto`` is online with a key and a reachable host, else offline; it prints which.
        folder: Run folder.
        recipe: ``paper/data``, the group of runs to compare.
        config: Resolved recipe as YAML.
    """
    if choice == "off" or os.environ.get("WANDB_MODE") == "disabled" or process_rank() != 0:
        return None
    os.environ.setdefault("WANDB_SILENT", "true")
    content = yaml.safe_load(config)
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
            id=folder.name,  # a resumed run is the same one
            resume="allow" if online else None,
            name=f"{recipe} seed {content.get('seed_everything')}",
            dir=str(folder.resolve()),  # its service may live in another folder
            mode="online" if online else "offline",
            config={"recipe": recipe, **content},
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
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", os.environ.get("SLURM_PROCID", "0"))))
