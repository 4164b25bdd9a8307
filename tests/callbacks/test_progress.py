from __future__ import annotations

from collections.abc import Callable

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


def test_a_resumed_run_begins_where_it_stands(trainer: Callable[..., pl.Trainer], tmp_path) -> None:  # type: ignore[no-untyped-def]
    first = trainer(max_epochs=2)
    first.fit(Game(), Data(count=8))
    first.save_checkpoint(tmp_path / "a.ckpt")
    bar = RunProgress(refresh_rate=1)
    again = trainer(callbacks=[bar], enable_progress_bar=True, max_epochs=3)
    again.fit(Game(), Data(count=8), ckpt_path=tmp_path / "a.ckpt")
    assert (bar.train_progress_bar.initial, bar.train_progress_bar.n) == (4, 6)
