from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as pl
import pytest
from games import Data, Game

from zoo.callbacks.progress import RunProgress


@pytest.mark.parametrize("budget", [{"max_steps": 6, "max_epochs": -1}, {"max_epochs": 3}])
def test_one_bar_counts_the_whole_run(trainer: Callable[..., pl.Trainer], budget: dict[str, int]) -> None:
    bar = RunProgress(refresh_rate=1)
    trainer(callbacks=[bar], enable_progress_bar=True, **budget).fit(
        Game(), Data(count=8)
    )  # two batches an epoch
    assert (bar.train_progress_bar.n, bar.train_progress_bar.total) == (6, 6)


class Planned(Game):
    """Epochs of three batches and of one."""

    def setup(self, stage: str) -> None:
        self.trainer.datamodule.phases = lambda epoch: (1, 4, 1 if epoch else 3)
        self.trainer.reload_dataloaders_every_n_epochs = 1


@pytest.mark.parametrize(("most", "steps"), [(-1, 5), (4, 4)])
def test_epochs_may_differ_in_length(trainer: Callable[..., pl.Trainer], most: int, steps: int) -> None:
    class Whole(Data):
        def _of_side(self, samples, side):  # type: ignore[no-untyped-def]
            return samples

    bar = RunProgress(refresh_rate=1)
    t = trainer(callbacks=[bar], enable_progress_bar=True, max_epochs=3, max_steps=most)
    t.fit(Planned(), Whole(count=8))
    assert (bar.train_progress_bar.n, bar.train_progress_bar.total) == (steps, steps)


@pytest.mark.parametrize("steps", [4, 3], ids=["at an epoch's end", "within an epoch"])
def test_a_resumed_run_begins_where_it_stands(
    trainer: Callable[..., pl.Trainer], tmp_path: Path, steps: int
) -> None:
    first = trainer(max_steps=steps)
    first.fit(Game(), Data(count=8))
    first.save_checkpoint(tmp_path / "a.ckpt")
    bar = RunProgress(refresh_rate=1)
    again = trainer(callbacks=[bar], enable_progress_bar=True, max_epochs=3)
    again.fit(Game(), Data(count=8), ckpt_path=tmp_path / "a.ckpt")
    shown = bar.train_progress_bar
    assert (shown.initial, shown.n, shown.total) == (steps, 6, 6)
