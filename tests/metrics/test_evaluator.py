"""The base of evaluators: a new one is a single class, and its numbers reach eval.json and the loggers."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from games import Data, Game
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor

from zoo.data.base import Batch
from zoo.errors import UserError
from zoo.metrics.evaluator import Evaluation, Evaluator, Mean, total
from zoo.metrics.scoring.report import Row


class Reach(Evaluator):
    """Mean absolute output on the test split; in training, the number of the step."""

    def begin(self, trainer: pl.Trainer, module: Any) -> None:
        self.mean = Mean(module.device)
        self.seen: list[Tensor] = []

    def update(self, batch: Batch, outputs: Any) -> None:
        self.seen.append(outputs.abs().mean(1))
        self.mean.add(self.seen[-1])

    def finish(self, trainer: pl.Trainer, module: Any) -> Evaluation:
        count, mean, error = self.mean.compute(trainer)
        return Evaluation([Row("reach", mean, protocol={"count": count}, error=error)], "So far it reaches.")

    def trend(self, trainer: pl.Trainer, module: Any) -> dict[str, float]:
        return {"val/reach": float(trainer.global_step)}


class Tested(Data):
    """Seven test points in batches of four."""

    def dataset(self, split: Any) -> Any:
        return super().dataset("train") if split == "test" else super().dataset(split)


def test_rows_and_sentence_of_a_test(
    trainer: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reach = Reach()
    trainer(callbacks=[reach]).test(Game(), Tested(7), verbose=False)
    (row,) = json.loads((tmp_path / "eval.json").read_text())
    values = torch.cat(reach.seen).double()
    assert row["protocol"] == {"count": 7}
    assert row["value"] == pytest.approx(values.mean().item())
    assert row["error"] == pytest.approx(values.std().item() / 7**0.5)
    assert "So far it reaches." in capsys.readouterr().out


def test_the_trend_is_logged_by_the_step(trainer: Any, tmp_path: Path) -> None:
    made = trainer(max_steps=7, callbacks=[Reach(3)], logger=CSVLogger(tmp_path), log_every_n_steps=100)
    made.fit(Game(), Data())
    with open(Path(made.log_dir) / "metrics.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["val/reach"]]
    assert [(row["step"], float(row["val/reach"])) for row in rows] == [("2", 3.0), ("5", 6.0)]
    assert made.callback_metrics["val/reach"] == 6


def test_no_trend_unless_asked_for(trainer: Any) -> None:
    made = trainer(max_steps=3, callbacks=[Reach()])
    made.fit(Game(), Data())
    assert "val/reach" not in made.callback_metrics
    with pytest.raises(ValueError, match="every_n_steps must be at least 1, got 0"):
        Reach(0)


def test_sums_are_those_of_all_ranks() -> None:
    """Two ranks of two values each, the other one's sums being three times ours."""
    asked: list[str] = []

    def reduce(values: Tensor, reduce_op: str) -> Tensor:
        asked.append(reduce_op)
        return 4 * values

    ranks: Any = SimpleNamespace(strategy=SimpleNamespace(reduce=reduce))
    mean = Mean()
    mean.add(torch.tensor([1.0, 3.0]))
    assert mean.moments(ranks) == (8, 2.0, 5.0)
    count, value, error = mean.compute(ranks)
    assert (count, value, error) == (8, 2.0, pytest.approx((1 / 7) ** 0.5))
    assert total(ranks, torch.ones(2)).tolist() == [4, 4] and set(asked) == {"sum"}


def test_one_value_has_no_spread() -> None:
    alone: Any = SimpleNamespace(strategy=SimpleNamespace(reduce=lambda values, reduce_op: values))
    mean = Mean()
    mean.add(torch.tensor([2.5]))
    assert mean.compute(alone) == (1, 2.5, 0.0)


def test_data_that_an_evaluator_cannot_use_is_named() -> None:
    foreign: Any = SimpleNamespace(datamodule=None)
    with pytest.raises(UserError, match=r"^Reach needs a data module of the zoo; remove it"):
        Reach().data(foreign)
    ours: Any = SimpleNamespace(datamodule=Data())
    for where, name, word in ((foreign, "test", "test"), (ours, "val", "validation")):
        with pytest.raises(UserError, match=f"^Reach needs a {word} split and this data has none; remove it"):
            Reach().split(where, name)
    assert len(Reach().split(ours, "train")) == 36 and Reach().data(ours) is ours.datamodule
