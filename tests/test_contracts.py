"""What we lean on in Lightning without its promise; a failure says what changed upstream and what to do."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch
from games import Data, Game
from lightning.pytorch.core.optimizer import LightningOptimizer, do_nothing_closure
from lightning.pytorch.loops.fit_loop import _FitLoop
from lightning.pytorch.loops.optimization.manual import _ManualOptimization

from zoo.adversarial import Batch, Terms

Make = Callable[..., pl.Trainer]


def test_an_optimizer_has_the_two_hooks_that_count_its_steps() -> None:
    optimizer = LightningOptimizer(torch.optim.SGD([torch.zeros(1)], 0.1))
    assert optimizer._on_before_step is do_nothing_closure
    assert optimizer._on_after_step is do_nothing_closure
    source = inspect.getsource(LightningOptimizer.step)
    assert "self._on_before_step()" in source and "self._on_after_step()" in source


def test_the_manual_loop_counts_through_these_hooks(trainer: Make) -> None:
    class Looking(Game):
        def training_step(self, batch: Batch, batch_idx: int) -> Terms:
            loop = self.trainer.fit_loop.epoch_loop.manual_optimization
            assert isinstance(loop, _ManualOptimization)
            for optimizer in self.optimizers():
                assert optimizer._on_before_step == loop._on_before_step
                assert optimizer._on_after_step == loop._on_after_step
            return super().training_step(batch, batch_idx)

    trainer(max_steps=1).fit(Looking(), Data())


def test_lightning_still_counts_the_step_of_every_optimizer(trainer: Make) -> None:
    """When this fails, upstream issue 17958 is fixed: take ``AdversarialModule._counted`` out."""

    class Unmuted(Game):
        def _counted(self, optimizer: LightningOptimizer, counts: bool) -> Any:
            return super()._counted(optimizer, True)

    t = trainer(max_epochs=1)
    t.fit(Unmuted(), Data())
    assert t.num_training_batches == 9
    assert t.global_step == 18


def test_lightning_still_steps_no_schedule_in_manual_optimization(trainer: Make) -> None:
    """When this fails, schedules would be stepped twice: take the loop in ``on_train_batch_start`` out."""

    class Left(Game):
        def configure_optimizers(self) -> Any:
            optimizers = super().configure_optimizers()
            return optimizers, [torch.optim.lr_scheduler.ExponentialLR(o, 0.5) for o in optimizers]

        def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
            self._step = self.trainer.global_step

    t = trainer(max_epochs=2)
    t.fit(Left(), Data())
    assert [config.scheduler.last_epoch for config in t.lr_scheduler_configs] == [0, 0]


def test_the_fit_loop_tells_where_it_stands(trainer: Make) -> None:
    """``DataModule._position`` reads these counters before the first batch and after a restart."""
    t = trainer(max_epochs=2)
    assert isinstance(t.fit_loop, _FitLoop)
    assert (t.fit_loop.epoch_progress.current.started, t.fit_loop.epoch_progress.current.processed) == (0, 0)
    t.fit(Game(), Data())
    assert (t.fit_loop.epoch_progress.current.started, t.fit_loop.epoch_progress.current.processed) == (2, 2)
    assert t.fit_loop.epoch_loop.batch_progress.current.processed == 9


def test_the_callbacks_run_before_checkpoints_are_written(trainer: Make) -> None:
    """The non-finite stop must look before a checkpoint of the same step is written."""
    t = trainer(max_steps=1, enable_checkpointing=True)
    t.fit(Game(), Data())
    names = [type(callback).__name__ for callback in t.callbacks]
    assert names[-1] == "ModelCheckpoint"
    assert names.index("NonFiniteStop") < names.index("GracefulStop") < names.index("ModelCheckpoint")
