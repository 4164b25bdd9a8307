"""Guarantees of the base, tested on every class of model: exact resume after kill -9, two processes, bf16."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from games import weights
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from tiny import game, games

from zoo.adversarial import AdversarialModule
from zoo.guards import GuardedModule

torch.set_num_threads(1)
GAMES = sorted(games())
BATCHES, STEPS = 2, 6  # per epoch and in all
MID, END = 3, 4  # steps within an epoch, and at its end


def play(
    name: str,
    folder: Path,
    until: int,
    *more: str,
    ckpt: Path | None = None,
    callbacks: list[Callback] | None = None,
    **options: Any,
) -> GuardedModule:
    """Train a tiny game to a step under a plain Trainer, with a checkpoint after each step.

    Args:
        name: Class of the model.
        folder: Where checkpoints are written.
        until: Number of steps.
        more: Overrides of the game, as on the command line.
        ckpt: Checkpoint to resume from.
        callbacks: Callbacks beside the one that saves.
        options: Options of the trainer.
    """
    built = game(name, "--seed_everything", "3", *more)
    saver = ModelCheckpoint(folder, "{step}", every_n_train_steps=1, save_top_k=-1)
    trainer = pl.Trainer(
        default_root_dir=folder,
        max_steps=until,
        max_epochs=-1,
        limit_train_batches=BATCHES,
        limit_val_batches=0,
        callbacks=[saver, *(callbacks or [])],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        **options,
    )
    trainer.fit(built.model, built.datamodule, ckpt_path=ckpt)
    assert trainer.global_step == until
    module: GuardedModule = built.model
    return module


# -------------------------------------------------------------------------------------------- other processes

# Processes are forked from a server that has imported this file once: importing Lightning takes five seconds.
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload([__name__])


def start(target: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """Start ``target`` of this file in another process."""
    process = FORKED.Process(target=target, args=arguments)
    with (
        pytest.MonkeyPatch.context() as patch
    ):  # before Python 3.13 the server is not told where to import from
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        process.start()
    return process


class Kill(Callback):
    """SIGKILL before a given step."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def play_until_killed(name: str, folder: Path, workers: str) -> None:
    multiprocessing.set_start_method("fork", force=True)  # for the loader's workers, as in a plain process
    play(name, folder, STEPS, "--data.num_workers", workers, callbacks=[Kill(MID)])


def play_one_of_two(name: str, folder: Path, port: int, rank: int) -> None:
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": 0, "LOCAL_RANK": rank}
    os.environ.update({key: str(value) for key, value in place.items()})
    strategy = "ddp_find_unused_parameters_true"
    model = play(name, folder, MID, devices=2, strategy=strategy, use_distributed_sampler=False)
    assert model.global_rank == rank
    torch.save([p.detach() for p in model.parameters()], folder / f"rank{rank}.pt")


# -------------------------------------------------------------------------------------------------- the tests


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("name", GAMES)
def test_killed_and_resumed_equals_never_stopped(name: str, workers: str, tmp_path: Path) -> None:
    whole = weights(play(name, tmp_path / "whole", STEPS))
    process = start(play_until_killed, name, tmp_path / "killed", workers)
    process.join(240)
    assert process.exitcode == -signal.SIGKILL
    last = tmp_path / "killed" / f"step={MID}.ckpt"
    assert last.is_file() and not (tmp_path / "killed" / f"step={MID + 1}.ckpt").exists()
    # from where it was killed, and from the checkpoint written after an epoch's last batch
    for ckpt in (last, tmp_path / "whole" / f"step={END}.ckpt"):
        resumed = play(name, tmp_path / "resumed", STEPS, "--data.num_workers", workers, ckpt=ckpt)
        assert torch.equal(weights(resumed), whole)


@pytest.mark.parametrize("name", GAMES)
def test_a_chain_of_resumes_ends_with_equal_weights(name: str, tmp_path: Path) -> None:
    whole, ckpt = weights(play(name, tmp_path / "whole", STEPS)), None
    for until in (BATCHES, MID, END, STEPS):  # from the end of an epoch, from within one, and again
        resumed = play(name, tmp_path / str(until), until, ckpt=ckpt)
        ckpt = tmp_path / str(until) / f"step={until}.ckpt"
    assert torch.equal(weights(resumed), whole)


@pytest.mark.parametrize("name", ["GAN", "Pix2PixHD"])  # changes are drawn as D judges, or before a step
def test_fine_tuning_resumes_exactly(name: str, tmp_path: Path) -> None:
    more = ("--model.freeze_discriminator", "1", "--model.diff_augment", "[color, translation, cutout]")
    whole = weights(play(name, tmp_path / "whole", STEPS, *more))
    resumed = play(name, tmp_path / "resumed", STEPS, *more, ckpt=tmp_path / "whole" / f"step={MID}.ckpt")
    assert torch.equal(weights(resumed), whole)


@pytest.mark.parametrize("name", GAMES)
def test_two_processes_end_with_equal_weights(name: str, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [start(play_one_of_two, name, tmp_path, port, rank) for rank in (0, 1)]
    for process in processes:
        process.join(240)
    assert [process.exitcode for process in processes] == [0, 0]
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    fresh = list(game(name, "--seed_everything", "3").model.parameters())
    assert not all(torch.equal(a, b) for a, b in zip(first, fresh, strict=True))


@pytest.mark.parametrize("name", GAMES)
def test_mixed_precision(name: str, tmp_path: Path) -> None:
    model = play(name, tmp_path, 2, precision="bf16-mixed")
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert all(bool(p.isfinite().all()) for p in model.parameters())
    assert not torch.equal(weights(model), weights(play(name, tmp_path / "32", 2)))  # it did compute in bf16


@pytest.mark.parametrize("name", GAMES)
def test_channels_last_resumes_exactly(name: str, tmp_path: Path) -> None:
    module = game(name).model
    if not isinstance(module, AdversarialModule) or not _convolutions(module):
        pytest.skip("no players with convolutions")

    def last(folder: str, ckpt: Path | None = None) -> AdversarialModule:
        option = ("--model.channels_last", "true")
        played = play(name, tmp_path / folder, STEPS, *option, ckpt=ckpt, precision="bf16-mixed")
        assert isinstance(played, AdversarialModule)
        return played

    whole = last("whole")
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in _convolutions(whole))
    resumed = last("resumed", tmp_path / "whole" / f"step={MID}.ckpt")
    assert torch.equal(weights(resumed), weights(whole))


@pytest.mark.parametrize("name", GAMES)
def test_micro_batches(name: str, tmp_path: Path) -> None:
    if not isinstance(game(name).model, AdversarialModule):
        pytest.skip("no players that accumulate")
    # steps are counted by batch; a norm over single vectors needs two of them per part
    play(name, tmp_path, 2, "--model.accumulate", "2", "--data.batch_size", "4")


def _convolutions(module: AdversarialModule) -> list[torch.Tensor]:
    return [p for p in module.generator.parameters() if p.ndim == 4 and min(p.shape[1:]) > 1]
