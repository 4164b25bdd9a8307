"""The guards under a plain ``Trainer().fit(module, data)``: resume, stops, checkpoints, the record."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from games import Data, FlatCorner, Game, Poisoned, weights
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from zoo.errors import UserError
from zoo.files.checkpoints import read_checkpoint
from zoo.guards import AtomicCheckpointIO, GracefulStop

Make = Callable[..., pl.Trainer]


def _saver(folder: Path, **options: Any) -> ModelCheckpoint:
    return ModelCheckpoint(folder, "{step}", **{"every_n_train_steps": 1, "save_top_k": -1} | options)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_equals_one_that_never_stopped(workers: int, trainer: Make, tmp_path: Path) -> None:
    def data() -> Data:
        return Data(val=6, num_workers=workers)

    pl.seed_everything(7, verbose=False)
    whole = Game()
    t = trainer(
        max_epochs=3, enable_checkpointing=True, callbacks=[_saver(tmp_path)], check_val_every_n_epoch=2
    )
    t.fit(whole, data())
    assert t.global_step == 27
    # mid-epoch, an epoch's last batch, the batch after it; in epochs with and without validation
    for cut in (4, 18) if workers else (1, 4, 9, 10, 13, 18, 26):
        pl.seed_everything(99, verbose=False)  # another seed: the checkpoint brings the run's own
        rest = Game()
        trainer(max_epochs=3, check_val_every_n_epoch=2).fit(
            rest, data(), ckpt_path=tmp_path / f"step={cut}.ckpt"
        )
        assert torch.equal(weights(whole), weights(rest)), f"cut after step {cut}"


def test_the_seed_makes_the_run(trainer: Make) -> None:
    runs = []
    for seed in (1, 1, 2):
        pl.seed_everything(seed, verbose=False)
        game = Game()
        trainer(max_epochs=1).fit(game, Data())
        runs.append(weights(game))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_what_validation_draws_does_not_reach_training(trainer: Make) -> None:
    class Drawing(Callback):
        def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            torch.rand(7)

    runs = []
    for options in ({}, {"val_check_interval": 3, "callbacks": [Drawing()]}):
        pl.seed_everything(1, verbose=False)
        game = Game()
        trainer(max_epochs=2, **options).fit(game, Data(val=8))
        runs.append(weights(game))
    assert torch.equal(*runs)


# ---------------------------------------------------------------------------------------- the non-finite stop


def test_nan_stops_with_term_and_step_and_is_never_saved(trainer: Make, tmp_path: Path) -> None:
    saver = _saver(tmp_path, every_n_train_steps=2, save_last=True, save_on_exception=True)
    t = trainer(max_epochs=3, enable_checkpointing=True, callbacks=[saver], log_every_n_steps=50)
    with pytest.raises(
        UserError, match=r"Loss term g_style became nan at step 6: .* last good checkpoint is .*last\.ckpt"
    ):
        t.fit(Poisoned(at=5), Data())
    assert sorted(p.name for p in tmp_path.glob("*.ckpt")) == ["last.ckpt", "step=2.ckpt", "step=4.ckpt"]
    assert not list(tmp_path.glob("*.part"))
    for path in tmp_path.glob("*.ckpt"):
        assert read_checkpoint(path)["global_step"] <= 4


@pytest.mark.parametrize(("every", "at"), [(1, 4), (4, 5), (50, 2)])
def test_nan_is_seen_by_the_next_logged_step_or_the_epochs_end(every: int, at: int, trainer: Make) -> None:
    t = trainer(max_epochs=3, log_every_n_steps=every)
    with pytest.raises(UserError, match=f"g_style became nan at step {at + 1}"):
        t.fit(Poisoned(at=at), Data())
    assert t.global_step == min(9, -(-(at + 1) // every) * every)


def test_weights_that_a_gradient_poisoned_are_never_saved(trainer: Make, tmp_path: Path) -> None:
    t = trainer(max_steps=3, enable_checkpointing=True, callbacks=[_saver(tmp_path)])
    with pytest.raises(UserError, match=r"generator\.0\.weight is not finite after step 1"):
        t.fit(FlatCorner(), Data())
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------------------------------- signals

RUN = """
import os, sys
import torch
import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from games import Data, Game, weights

torch.set_num_threads(1)

class Tell(Callback):
    def on_train_batch_end(self, trainer, *args):
        print("step", trainer.global_step, flush=True)

def fit(folder, workers, delay=0.0, ckpt=None):
    pl.seed_everything(5, verbose=False)
    game = Game()
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False, max_epochs=3,
        default_root_dir=folder,
        callbacks=[Tell(), ModelCheckpoint(folder, "{step}", every_n_train_steps=2, save_top_k=-1)],
    )
    trainer.fit(game, Data(delay=delay, num_workers=workers), ckpt_path=ckpt)
    return weights(game)

if __name__ == "__main__":
    fit(sys.argv[1], int(sys.argv[2]), delay=0.03)
"""


@pytest.fixture(scope="module")
def uncut(tmp_path_factory: pytest.TempPathFactory) -> tuple[Callable[..., torch.Tensor], torch.Tensor]:
    """The script's ``fit`` and the weights of a run that nobody stopped."""
    names: dict[str, Any] = {"__name__": "run"}
    exec(RUN, names)
    return names["fit"], names["fit"](str(tmp_path_factory.mktemp("uncut")), 0)


def _start(tmp_path: Path, workers: int, environment: dict[str, str], steps: int) -> subprocess.Popen[str]:
    script = tmp_path / "run.py"
    script.write_text(RUN)
    process = subprocess.Popen(
        [sys.executable, script, tmp_path / "out", str(workers)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == f"step {steps}":
            break
    return process


@pytest.mark.parametrize(("workers", "steps"), [(0, 5), (2, 9)])
def test_kill_and_resume(
    workers: int, steps: int, tmp_path: Path, script_environment: dict[str, str], uncut: Any
) -> None:
    fit, expected = uncut
    process = _start(tmp_path, workers, script_environment, steps)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    saved = sorted((tmp_path / "out").glob("*.ckpt"), key=lambda p: int(p.stem.removeprefix("step=")))
    assert len(saved) >= steps // 2
    for path in saved:
        read_checkpoint(path)
    assert torch.equal(fit(str(tmp_path / "again"), workers, ckpt=saved[-1]), expected)


@pytest.mark.parametrize(
    ("number", "status", "workers"),
    [(signal.SIGTERM, 143, 0), (signal.SIGTERM, 143, 2), (signal.SIGINT, 130, 2)],
)
def test_a_signal_saves_and_exits(
    number: signal.Signals,
    status: int,
    workers: int,
    tmp_path: Path,
    script_environment: dict[str, str],
    uncut: Any,
) -> None:
    fit, expected = uncut
    process = _start(tmp_path, workers, script_environment, 4)
    if workers:
        os.killpg(process.pid, number)  # as terminals, systemd and SLURM do: the workers receive it as well
    else:
        process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors[-2000:]
    assert "Stopped after step" in errors
    path = tmp_path / "out" / "interrupted.ckpt"
    assert 4 <= read_checkpoint(path)["global_step"] <= 26
    assert torch.equal(fit(str(tmp_path / "again"), workers, ckpt=path), expected)


@pytest.mark.parametrize(("rank", "status"), [(0, 143), (1, 0)])
def test_a_process_that_lightning_started_ends_well(rank: int, status: int, tmp_path: Path) -> None:
    strategy = SimpleNamespace(cluster_environment=LightningEnvironment())
    saver = SimpleNamespace(dirpath=tmp_path)
    t: Any = SimpleNamespace(
        strategy=strategy, checkpoint_callback=saver, global_step=1, is_global_zero=rank == 0
    )
    t.save_checkpoint = lambda path: None
    with pytest.raises(SystemExit) as left:
        GracefulStop()._save_and_exit(t)
    assert left.value.code == status


def test_signals_are_given_back(trainer: Make) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    trainer(max_steps=1).fit(Game(), Data())
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    with pytest.raises(UserError):
        trainer(max_steps=3, log_every_n_steps=1).fit(Poisoned(at=0), Data())
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


# ------------------------------------------------------------------------------------------------ checkpoints


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, path = AtomicCheckpointIO(), tmp_path / "last.ckpt"
    writer.save_checkpoint({"state_dict": {"w": torch.ones(3)}}, path)
    before, save = path.read_bytes(), torch.save

    def full(content: Any, file: Any) -> None:
        file.write(b"half of it")
        with open("/dev/full", "wb") as device:
            save(content, device)

    monkeypatch.setattr(torch, "save", full)
    for size in (3, 100_000):  # torch raises an OSError for the first, and a RuntimeError for the second
        with pytest.raises(UserError, match=r"Could not save .*last\.ckpt: the disk is full or not writable"):
            writer.save_checkpoint({"state_dict": {"w": torch.ones(size)}}, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize(
    "error", [RuntimeError("DataLoader worker (pid 3) is killed"), OSError(5, "I/O error")]
)
def test_other_errors_of_a_save_say_what_they_are(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises((RuntimeError, UserError)) as raised:
        AtomicCheckpointIO().save_checkpoint({"state_dict": {}}, tmp_path / "last.ckpt")
    said = str(raised.value)
    assert "disk" not in said and ("worker" in said or "last.ckpt: I/O error." in said)


def test_a_run_folder_that_cannot_be_written_is_named(trainer: Make, tmp_path: Path) -> None:
    (tmp_path / "run" / "env.json").mkdir(parents=True)
    with pytest.raises(UserError, match=r"Cannot write .*env\.json \(Is a directory\)"):
        trainer(max_steps=1, logger=CSVLogger(tmp_path, "", "run")).fit(Game(), Data())


def test_a_run_removes_what_killed_ones_left(trainer: Make, tmp_path: Path) -> None:
    left = tmp_path / "killed" / "checkpoints" / ".last.ckpt.0123abcd.part"
    left.parent.mkdir(parents=True)
    left.touch()
    trainer(max_steps=1, logger=CSVLogger(tmp_path, "", "run")).fit(Game(), Data())
    assert not left.exists()


def test_bad_checkpoints_are_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.ckpt"
    with pytest.raises(UserError, match="There is no checkpoint"):
        read_checkpoint(path)
    AtomicCheckpointIO().save_checkpoint({"state_dict": {"w": torch.ones(1000)}}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"bad\.ckpt is not a whole, safe checkpoint"):
        read_checkpoint(path)
    torch.save({"state_dict": {"code": time.sleep}}, path)
    with pytest.raises(UserError, match=r"bad\.ckpt is not a whole, safe checkpoint"):
        AtomicCheckpointIO().load_checkpoint(path, weights_only=False)
    torch.save({"weights": 1}, path)
    with pytest.raises(UserError, match="holds no state_dict"):
        read_checkpoint(path)


def test_checkpoint_and_run_folder_carry_the_record(trainer: Make, tmp_path: Path) -> None:
    pl.seed_everything(11, verbose=False)
    logger = CSVLogger(tmp_path, "", "run")
    t = trainer(max_steps=2, logger=logger, enable_checkpointing=True, callbacks=[_saver(tmp_path / "ckpt")])
    t.fit(Game(width=5), Data())
    checkpoint = torch.load(tmp_path / "ckpt" / "step=2.ckpt", weights_only=True)
    record = checkpoint["zoo"]
    assert record["format"] == 1
    assert record["class"] == "games.Game"
    assert record["data"]["contract"] == "points"
    assert record["seed"] == 11
    assert record["recipe"] is None
    assert record["environment"]["packages"]["torch"] == torch.__version__.split("+")[0]
    assert checkpoint["hyper_parameters"]["width"] == 5
    beside = json.loads((tmp_path / "run" / "env.json").read_text())
    assert beside == record


def test_all_guards_stand_without_being_asked_for(trainer: Make) -> None:
    t = trainer(max_steps=1)
    t.fit(Game(), Data())
    names = [type(callback).__name__ for callback in t.callbacks]
    assert [n for n in names if n in ("BatchSeed", "NonFiniteStop", "Record", "GracefulStop")] == [
        "BatchSeed",
        "NonFiniteStop",
        "Record",
        "GracefulStop",
    ]
    assert isinstance(t.strategy.checkpoint_io, AtomicCheckpointIO)
