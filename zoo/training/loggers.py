"""Where numbers go beside ``metrics.csv``: a folder for evaluations, and W&B that never ends a training."""

from __future__ import annotations

import json
import netrc
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

import yaml
from lightning.pytorch.loggers import Logger, WandbLogger

WandbChoice = Literal["auto", "online", "offline", "off"]
PROJECT = "gan-application-zoo"


class FolderLogger(Logger):
    """Points an evaluation at a run's folder without touching the training's ``metrics.csv``."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    @property
    def name(self) -> str:
        """Nothing: the folder says it all."""
        return ""

    @property
    def version(self) -> str:
        """The run's id."""
        return self.folder.name

    @property
    def save_dir(self) -> str:
        """The run folder."""
        return str(self.folder)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append the metrics to ``evaluations.jsonl``."""
        if process_rank() == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(self.folder / "evaluations.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **metrics}) + "\n")

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to do: the run's ``config.yaml`` has them."""


class SafeWandbLogger(WandbLogger):
    """A WandbLogger whose failures are told once and then passed over."""

    _failed = False

    def _try(self, act: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        if self._failed:
            return
        try:
            act(*args, **kwargs)
        except Exception as error:
            self._failed = True
            print(
                f"W&B failed ({type(error).__name__}: {error}); training goes on without it.", file=sys.stderr
            )

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Log numbers at a step, which counts batches."""
        self._try(super().log_metrics, metrics, step)

    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Log pictures."""
        self._try(super().log_image, key, images, step, **kwargs)

    def log_hyperparams(self, params: Any) -> None:
        """Log hyper-parameters."""
        self._try(super().log_hyperparams, params)

    def finalize(self, status: str) -> None:
        """Close the run, so that another in this process begins its own."""
        self._try(super().finalize, status)
        self._try(self.experiment.finish, exit_code=0 if status == "success" else 1)


def wandb_logger(choice: WandbChoice, folder: Path, recipe: str, config: str) -> SafeWandbLogger | None:
    """A logger into the run's folder, online or offline as decided before the run; None where W&B is off.

    Args:
        choice: ``auto`` is online with a key and a reachable host, else offline, and says which in one line.
        folder: The run folder.
        recipe: ``paper/data``, the group that runs are compared within.
        config: The whole resolved recipe as YAML.
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
        if online and (lacking := _lacking(wandb.Settings().base_url)):
            print(
                f"W&B: offline, {lacking}; `wandb sync {folder}/wandb/offline-run-*` uploads later.",
                file=sys.stderr,
            )
            online = False
        folder.mkdir(parents=True, exist_ok=True)
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            group=recipe,
            job_type="fit",
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
        print(
            f"W&B could not start ({type(error).__name__}: {error}); training goes on without it.",
            file=sys.stderr,
        )
        return None


def process_rank() -> int:
    """This process's number among those of a run, as launchers give it."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", os.environ.get("SLURM_PROCID", "0"))))


def _lacking(base_url: str) -> str | None:
    """What stands in the way of an online run, in words."""
    url = urlparse(base_url)
    host = url.hostname or base_url
    if not os.environ.get("WANDB_API_KEY"):
        try:
            known = netrc.netrc().authenticators(host)
        except (OSError, netrc.NetrcParseError):
            known = None
        if known is None:
            return "there is no API key (`wandb login` makes one known)"
    try:
        socket.create_connection((host, url.port or 443), timeout=3).close()
    except OSError:
        return f"{host} cannot be reached"
    return None
