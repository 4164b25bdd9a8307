"""Guards of every training, adversarial or not: determinism, exact resume, safe stops, a record.

Modules of the zoo derive from :class:`GuardedModule` (papers through
:class:`zoo.adversarial.AdversarialModule`), so the guards run under the ``zoo`` command and under a plain
``Trainer().fit(module, data)`` alike. A guard never changes what is learnt.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.apply_func import convert_tensors_to_scalars
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from zoo import interrupts
from zoo.errors import UserError
from zoo.files.checkpoints import CHECKPOINT_FORMAT, read_checkpoint, write_checkpoint
from zoo.files.writing import sweep, write_text
from zoo.recipes import public_path
from zoo.seeds import global_seed, mix


@rank_zero_only
def say(text: str) -> None:
    """Print a line for the user to stderr, once for all processes."""
    print(text, file=sys.stderr)


class GuardedModule(pl.LightningModule):
    """A LightningModule that trains with all guards of this file."""

    # kinds of input and output of `sample`, files of zoo/use; "nothing" without that method
    takes: str = "nothing"
    gives: str = "nothing"
    seed: int | None = None  # of each batch's draws; None: that of a resumed checkpoint, else the run's
    run_folder: Path | None = None  # of the command; None: the first logger's
    loaded_step = 0  # step of the last loaded checkpoint
    restored = False  # whether a checkpoint was loaded
    beginning: dict[str, Any] | None = None  # facts about the weights of another training that it began with

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember the step, which Lightning does not restore for an evaluation, and the first weights."""
        self.loaded_step, self.restored = checkpoint["global_step"], True
        self.beginning = (checkpoint.get("zoo") or {}).get("init_from")

    def check(self, batch: dict[str, Any]) -> None:
        """Refuse a training batch that does not fit the networks, before a run begins.

        Raises:
            UserError: Its keys, channels or sizes do not fit; names the argument to change.
        """

    def plan_batches(self, data: Any, ranks: int = 1, epoch: int = 0) -> None:
        """Tell a data module what each epoch's batches hold (``phases``); by default it decides itself.

        Args:
            data: The data module.
            ranks: Number of processes.
            epoch: The epoch that comes next.
        """

    @classmethod
    def suited(cls, arguments: dict[str, Any], batch: dict[str, Any]) -> dict[str, Any]:
        """Arguments of a recipe, changed where its networks depend on the channels and sizes of other data.

        Args:
            arguments: Arguments of the class in a recipe.
            batch: A training batch of the other data.

        Raises:
            UserError: No such networks fit these data.
        """
        return arguments

    def settings_in_use(self) -> dict[str, Any]:
        """Arguments that decide an output besides weights and input; stated with every score."""
        return {}

    @property
    def steps_trained(self) -> int:
        """Steps that these weights were trained for."""
        return max(self.loaded_step, self.trainer.global_step)

    def configure_callbacks(self) -> list[Callback]:
        """The guards, in the order in which they must run; Lightning appends checkpoint callbacks."""
        return [Position(), NewSettings(), BatchSeed(), NonFiniteStop(), LogEnds(), Record(), GracefulStop()]


def is_logged(trainer: pl.Trainer, step: int) -> bool:
    """Whether a step of the training is logged: each ``log_every_n_steps`` th, the first and the last.

    Args:
        trainer: The trainer.
        step: The step's number, from 1; the step that is played, or was played last.
    """
    every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    if every == 0:
        return False
    last_epoch = trainer.max_epochs is not None and trainer.current_epoch + 1 == trainer.max_epochs
    return step % every == 0 or step in (1, trainer.max_steps) or (last_epoch and trainer.is_last_batch)


def row_of(trainer: pl.Trainer) -> dict[str, Any]:
    """What the current training step has logged, as Lightning passes it to the loggers."""
    logged = trainer._logger_connector.metrics["log"]
    return {"epoch": trainer.current_epoch, **convert_tensors_to_scalars(logged)}


class LogEnds(Callback):
    """Log the first and the last step of a training too, and thus a short one."""

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the step, unless Lightning does."""
        step = trainer.global_step
        if is_logged(trainer, step) and not trainer._logger_connector.should_update_logs:
            for logger in trainer.loggers:
                logger.log_metrics(row_of(trainer), step - 1)


class Position(Callback):
    """Keep our own count of epochs and batches, and resume exactly there.

    Lightning derives the position from counters that depend on when a checkpoint was written. They are wrong
    after ``max_steps`` (the rest of the epoch is lost) and after two resumes from the end of an epoch (it is
    repeated). So checkpoints carry this count, and Lightning's counters are rewritten from it.
    """

    def __init__(self) -> None:
        self._epoch, self._batch, self._started = 0, -1, 0  # the last batch started, and how many were
        self._between_epochs = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """After a resume between epochs nothing is left to restart: begin the epoch as any other."""
        if self._between_epochs:
            loop = trainer.fit_loop
            loop._restarting = loop.epoch_loop._restarting = loop.epoch_loop.val_loop._restarting = False
            self._between_epochs = False

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note the batch."""
        self._epoch, self._batch, self._started = trainer.current_epoch, batch_idx, self._started + 1

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the position, whichever callback saves: the batch may be finished already, or not yet."""
        current: Any = trainer.fit_loop.epoch_loop.batch_progress.current
        done = int(current.processed > self._batch)
        epoch, batches = self._epoch, self._batch + done
        if batches >= trainer.num_training_batches:
            epoch, batches = epoch + 1, 0
        checkpoint["position"] = {"epoch": epoch, "batches": batches, "total": self._started - 1 + done}
        callbacks: Any = trainer.callbacks  # type: ignore[attr-defined]
        if trainer.should_stop and any(isinstance(callback, EarlyStopping) for callback in callbacks):
            checkpoint["position"]["stopped"] = True

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Rewrite Lightning's counters before it reads them; older checkpoints have no position."""
        position = checkpoint.get("position")
        if position is None or "loops" not in checkpoint:
            return
        epoch, batches, total = (position[key] for key in ("epoch", "batches", "total"))
        self._epoch, self._batch, self._started = epoch, batches - 1, total
        self._between_epochs = batches == 0
        within = int(batches > 0)  # as after the hook of a batch: it is processed, but not completed
        loops = checkpoint["loops"]["fit_loop"]
        loops["epoch_progress"] = dict.fromkeys(
            ("total", "current"), _counters(ready=epoch + within, processed=epoch, completed=epoch)
        )
        loops["epoch_loop.batch_progress"] = {
            "total": _counters(ready=total, processed=total, completed=total - within),
            "current": _counters(ready=batches, processed=batches, completed=max(batches - within, 0)),
            "is_last_batch": False,
        }
        loops["epoch_loop.state_dict"]["_batches_that_stepped"] = total - within


def _counters(ready: int, processed: int, completed: int) -> dict[str, int]:
    return {"ready": ready, "started": ready, "processed": processed, "completed": completed}


class NewSettings(Callback):
    """Put changed hyper-parameters in force on resume.

    A checkpoint holds the settings of its run's optimizers and schedules (rates, betas), which Lightning
    restores. If a hyper-parameter has changed since, they are replaced by those that the module configures;
    the optimizers' moments are kept, and the schedules continue at their step.
    """

    def __init__(self) -> None:
        self._changed = False

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Replace the settings before Lightning reads them.

        Raises:
            UserError: The optimizers are of another kind.
        """
        if trainer.state.fn != TrainerFn.FITTING:
            return
        before = checkpoint.get("hyper_parameters", {})
        self._changed = any(
            key in before and before[key] != value for key, value in pl_module.hparams.items()
        )
        if not self._changed:
            return
        made = _optimizers(pl_module)
        fresh = [optimizer.state_dict()["param_groups"] for optimizer in made]
        states = [state["param_groups"] for state in checkpoint["optimizer_states"]]
        if not _same_kinds(made, states):
            raise UserError(
                "The checkpoint's optimizers are of another kind than the recipe's, so their moments cannot "
                "be kept; resume with its optimizer, or begin a new run."
            )
        for state, groups in zip(checkpoint["optimizer_states"], fresh, strict=True):
            state["param_groups"] = groups
        checkpoint["lr_schedulers"] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Bring new schedules to the current epoch or step."""
        for config in trainer.lr_scheduler_configs if self._changed else ():
            scheduler: Any = config.scheduler
            if config.reduce_on_plateau:  # it follows a score, not the time
                continue
            due = trainer.current_epoch if config.interval == "epoch" else trainer.global_step
            while scheduler.last_epoch < due // config.frequency:
                scheduler.step()


def _optimizers(module: pl.LightningModule) -> list[torch.optim.Optimizer]:
    made: Any = module.configure_optimizers()
    if isinstance(made, tuple) and isinstance(made[0], list):  # optimizers and schedules
        made = made[0]
    each = made if isinstance(made, list | tuple) else [made]
    return [one["optimizer"] if isinstance(one, dict) else one for one in each]


def _same_kinds(made: list[torch.optim.Optimizer], states: list[list[dict[str, Any]]]) -> bool:
    """Whether optimizers have the settings and the parameters of a checkpoint's ``param_groups``."""
    groups = [optimizer.param_groups for optimizer in made]
    if [[len(g["params"]) for g in one] for one in groups] != [[len(g["params"]) for g in s] for s in states]:
        return False
    pairs = zip(made, states, strict=True)
    return all(optimizer.defaults.keys() <= group.keys() for optimizer, state in pairs for group in state)


class BatchSeed(Callback):
    """Seed torch's global generator as a function of (seed, rank, epoch, batch) before each training batch.

    Lightning saves no random state. With this, a step's noise and dropout depend neither on interruptions nor
    on random draws in validation; with :class:`zoo.data.base.DataModule` a resumed run is bit-identical to an
    uninterrupted one.
    """

    def __init__(self) -> None:
        self.seed: int | None = None  # stored in checkpoints: a resumed run keeps its first seed

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Use the module's seed, else that of a restored checkpoint, else the run's."""
        given = getattr(pl_module, "seed", None)
        self.seed = next(seed for seed in (given, self.seed, global_seed()) if seed is not None)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed this batch."""
        seed = mix("batch", self.seed, trainer.global_rank, trainer.current_epoch, batch_idx)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed takes 0.3 ms: it formats the stack
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.manual_seed_all(seed)

    def state_dict(self) -> dict[str, Any]:
        """The seed."""
        return {"seed": self.seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the seed."""
        self.seed = state_dict["seed"]


class NonFiniteStop(Callback):
    """End the run at the first non-finite loss term, and never write a checkpoint after it.

    The terms that ``training_step`` returns stay on their device and are checked on logged steps, before
    every save and at the end of an epoch, so that no step waits for the device.
    """

    def __init__(self) -> None:
        self._terms: list[tuple[int, str, Tensor]] = []  # step, name, value

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the step's terms; check them if this step is logged."""
        if isinstance(outputs, Tensor):
            outputs = {"loss": outputs}
        for name, value in (outputs or {}).items():
            if isinstance(value, Tensor):
                self._terms.append((trainer.global_step, name, value.detach()))
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if (every and trainer.global_step % every == 0) or len(self._terms) > 10_000:
            self.check(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check the epoch's remaining terms."""
        self.check(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Refuse to save weights that a non-finite term or gradient has updated.

        Raises:
            UserError: A term or a weight is not finite.
        """
        self.check(trainer)
        for name, value in checkpoint["state_dict"].items():
            if isinstance(value, Tensor) and not bool(value.isfinite().all()):
                step = trainer.global_step
                raise UserError(f"{name} is not finite after step {step}: stopped. {_advice(trainer)}")

    def check(self, trainer: pl.Trainer) -> None:
        """Check all terms since the last check.

        Raises:
            UserError: A term is not finite; names the term, the step and the last good checkpoint.
        """
        terms = self._terms
        if not terms or bool(torch.stack([value.float().mean() for *_, value in terms]).isfinite().all()):
            self._terms = []  # kept otherwise, so that a save on the exception is refused too
            return
        step, name, value = next(term for term in terms if not bool(term[2].isfinite().all()))
        raise UserError(
            f"Loss term {name} became {float(value.float().mean())} at step {step}: stopped. "
            f"{_advice(trainer)}"
        )


def _advice(trainer: pl.Trainer) -> str:
    saver = trainer.checkpoint_callback
    good = getattr(saver, "last_model_path", "") or getattr(saver, "best_model_path", "")
    last = f"The last good checkpoint is {good}." if good else "No checkpoint had been written yet."
    return f"{last} Try a lower learning rate, gradient clipping (model.clip_grad_norm), or 32-bit precision."


class GracefulStop(Callback):
    """On SIGTERM or Ctrl-C finish the batch, save a checkpoint, and exit with status 143 or 130."""

    def __init__(self) -> None:
        self._signal: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Handle both signals: Lightning's handlers exit with status 0, or between the players' updates."""
        self._signal = next(iter(interrupts.received), None)  # one that a library has swallowed
        try:
            for number in interrupts.SIGNALS:
                self._before[number] = signal.signal(number, self._on_signal)
        except ValueError:  # not in the main thread: keep the existing handlers
            self._before = {}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None and number == signal.SIGINT:
            raise SystemExit(128 + number)  # a second Ctrl-C does not wait for the batch
        self._signal = self._signal or number

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and exit after a signal, on all ranks at the same batch."""
        stop = self._signal is not None
        if trainer.world_size > 1:
            stop = trainer.strategy.reduce_boolean_decision(stop, all=False)
        if stop:
            self._save_and_exit(trainer)

    def _save_and_exit(self, trainer: pl.Trainer) -> None:
        path = checkpoint_folder(trainer) / "interrupted.ckpt"
        trainer.save_checkpoint(path)
        if trainer.is_global_zero:
            message = (
                f"Stopped after step {trainer.global_step}; saved {path}. Continue with the same command and "
                "--resume auto."
            )
            print(message, file=sys.stderr)
        elif isinstance(getattr(trainer.strategy, "cluster_environment", None), LightningEnvironment):
            raise SystemExit(0)  # Lightning, which started this process, kills the first one if another fails
        raise SystemExit(128 + (self._signal or signal.SIGTERM))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the previous handlers here: by ``teardown`` Lightning has already restored its own."""
        self._restore()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Restore the previous handlers."""
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


def checkpoint_folder(trainer: pl.Trainer) -> Path:
    """The folder of this run's checkpoints."""
    folder = getattr(trainer.checkpoint_callback, "dirpath", None)
    return Path(folder) if folder else Path(trainer.log_dir or trainer.default_root_dir) / "checkpoints"


class Record(Callback):
    """Make checkpoints atomic, and store in each what another machine needs to use or repeat the run.

    Every checkpoint has an entry ``zoo``: format, class, recipe, command, environment and the data's
    description, as plain values, so that it opens with ``weights_only=True``. ``env.json`` is written to the
    run's folder.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Install the atomic writer and safe reader; write ``env.json`` for a training."""
        trainer.strategy.checkpoint_io = AtomicCheckpointIO()
        if stage != "fit":
            return
        log_dir = trainer.log_dir  # on all ranks: it is a collective
        folder = getattr(pl_module, "run_folder", None) or (
            Path(log_dir) if log_dir and trainer.loggers else None
        )
        recipe = (folder or Path()) / "config.yaml"  # the command has written it
        self._record: dict[str, Any] = {
            "format": CHECKPOINT_FORMAT,
            "class": public_path(type(pl_module)),
            "command": _command(),
            "seed": global_seed(),
            "environment": environment(),
            "data": describe(trainer),
            "recipe": recipe.read_text(encoding="utf-8") if folder and recipe.is_file() else None,
        }
        self._file = folder / "env.json" if folder and trainer.is_global_zero else None
        if self._file:
            sweep(self._file.parent.parent)  # what killed runs have left
            write_text(self._file, json.dumps(self._record, indent=2))

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep by which commands and seeds the weights were trained so far, and until which step."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        before = checkpoint.get("zoo") or {}
        part = {key: before.get(key) for key in ("command", "seed")}
        part["commit"] = (before.get("environment") or {}).get("commit")
        earlier = [*(before.get("earlier") or []), {"until_step": checkpoint["global_step"], **part}]
        self._record["earlier"] = earlier
        if self._file:
            write_text(self._file, json.dumps(self._record, indent=2))

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the record."""
        begun = getattr(pl_module, "beginning", None)
        checkpoint["zoo"] = self._record | ({"init_from": begun} if begun else {})


def _command() -> str:
    """The command line, as it can be typed again."""
    program = Path(sys.argv[0]).name
    words = ["zoo" if program in ("zoo", "cli.py", "__main__.py") else program, *sys.argv[1:]]
    return " ".join(words).encode(errors="replace").decode()


def describe(trainer: pl.Trainer) -> dict[str, Any]:
    """The data module's description (name, licence, preprocessing, fingerprint); empty for foreign data."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    return data.description() if data is not None and callable(getattr(data, "description", None)) else {}


def environment() -> dict[str, Any]:
    """Versions, machine and commit, as plain values."""
    packages = ("torch", "torchvision", "lightning", "torchmetrics", "timm", "wandb", "numpy")
    here = Path(__file__).parent
    try:
        git = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        commit = subprocess.run(git, capture_output=True, text=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.TimeoutExpired):
        commit = None
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "zoo": version("gan-application-zoo"),
        "commit": commit,
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's interface to :mod:`zoo.files.checkpoints`.

    Lightning stages in ``$TMPDIR`` and moves, which is a plain copy if that is another file system.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write atomically; see :func:`zoo.files.checkpoints.write_checkpoint`."""
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Load with ``weights_only=True``, whatever the caller asks: no pickle is ever executed."""
        return read_checkpoint(Path(path), map_location)
