"""A run interrupted anywhere, any number of times, ends with the weights of an uninterrupted one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from games import Data, Game, ScheduledByStep, weights
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

EPOCH = 3  # batches
STEPS = 3 * EPOCH
Make = Callable[..., pl.Trainer]


class Seen(Callback):
    """The batches that were trained on, by epoch and position."""

    def __init__(self) -> None:
        self.places: list[tuple[int, int]] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.places.append((trainer.current_epoch, batch_idx))


def run(
    make: Make, folder: Path, until: int, ckpt: Path | None, kind: type[Game], val: int = 0, **options: Any
) -> tuple[torch.Tensor, list[tuple[int, int]]]:
    """Train to a step and write ``last.ckpt`` at its end."""
    pl.seed_everything(1, verbose=False)
    module, data, seen = kind(), Data(4 * EPOCH, val=val, num_workers=0), Seen()
    saver = ModelCheckpoint(folder, "{step}", every_n_train_steps=1, save_top_k=-1, save_last=True)
    trainer = make(
        enable_checkpointing=True, callbacks=[saver, seen], **{"max_epochs": -1, "max_steps": until} | options
    )
    trainer.fit(module, data, ckpt_path=ckpt, weights_only=True)
    return weights(module), seen.places


@pytest.mark.parametrize(
    ("kind", "name", "val"),  # last: written as the run ends; step: within its last step
    [(Game, "last", 0), (Game, "step={}", 4), (ScheduledByStep, "last", 4), (ScheduledByStep, "step={}", 0)],
)
def test_runs_ended_by_steps_go_on_exactly(
    kind: type[Game], name: str, val: int, trainer: Make, tmp_path: Path
) -> None:
    whole, places = run(trainer, tmp_path / "whole", STEPS, None, kind, val)
    for cuts in ([1, 2, 3], [3, 4, 6], [2, 6, 7]):
        ckpt, seen = None, []
        for cut in [*cuts, STEPS]:
            folder = tmp_path / "-".join(map(str, cuts)) / str(cut)
            found, more = run(trainer, folder, cut, ckpt, kind, val)
            seen += more
            ckpt = folder / f"{name.format(cut)}.ckpt"
        assert seen == places, cuts
        assert torch.equal(found, whole), cuts


def test_runs_ended_by_epochs_go_on_exactly(trainer: Make, tmp_path: Path) -> None:
    whole, places = run(trainer, tmp_path / "whole", -1, None, Game, max_epochs=3)
    ckpt, seen = None, []
    for epochs in (1, 2, 3):
        found, more = run(trainer, tmp_path / str(epochs), -1, ckpt, Game, max_epochs=epochs)
        seen += more
        ckpt = tmp_path / str(epochs) / "last.ckpt"
    assert seen == places and torch.equal(found, whole)
