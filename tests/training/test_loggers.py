"""A real offline W&B run is read back from its file."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from games import Points
from test_cli import RECIPE, Toys, zoo
from wandb_runs import finished

from zoo.data.base import SampleSet, Split
from zoo.metrics.evaluator import Evaluation, Evaluator
from zoo.metrics.scoring.report import Row
from zoo.training.loggers import SafeWandbLogger, wandb_logger
from zoo.training.online import missing_for_online


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "toy" / "points.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(RECIPE))
    return path


def test_offline_run_holds_recipe_metrics_and_steps(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed = ("--model.lr", 0.5, "--tags", "[a, b]", "--notes", "why", "--trainer.log_every_n_steps", 3)
    assert zoo("fit", "--config", recipe, *typed) == 0
    assert "W&B: offline, there is no API key" in capsys.readouterr().err
    (path,) = Path("runs/toy/points").glob("*/wandb/offline-run-*/run-*.wandb")
    folder = path.parents[2]
    seen = finished(path)
    (run,) = [r.run for r in seen if r.HasField("run")][:1]
    assert (run.project, run.run_group, run.job_type) == ("gan-application-zoo", "toy/points", "fit")
    assert (run.run_id, list(run.tags), run.notes) == (folder.name, ["a", "b"], "why")
    assert run.display_name == "toy/points seed 0 lr=0.5 log_every_n_steps=3"
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert config["recipe"] == "toy/points"
    assert config["model"]["init_args"]["width"] == 8 and "width" not in config
    assert config["environment"]["packages"] and config["data_description"]["fingerprint"] == ""
    assert {r.metric.step_metric for r in seen if r.HasField("metric")} >= {"trainer/global_step"}
    history = [
        {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in r.history.item}
        for r in seen
        if r.HasField("history")
    ]
    steps = [h["trainer/global_step"] for h in history if "train/d_real" in h]
    with (folder / "metrics.csv").open() as file:
        assert steps == [int(row["step"]) for row in csv.DictReader(file)] == [1, 3, 6, 8]


def test_a_resumed_and_an_evaluated_run_are_the_same_one(recipe: Path) -> None:
    data = {"class_path": "test_loggers.WithTestSplit"}
    content = RECIPE | {
        "data": data,
        "trainer": RECIPE["trainer"] | {"callbacks": [{"class_path": "test_loggers.Seven"}]},
    }
    recipe.write_text(yaml.safe_dump(content))
    assert zoo("fit", "--config", recipe, "--name", "mine", "--trainer.max_epochs", 1) == 0
    assert zoo("fit", "--config", recipe, "--resume", "auto") == 0
    assert zoo("test", "--config", recipe, "--ckpt_path", "last") == 0
    paths = sorted(
        Path("runs/toy/points").glob("*/wandb/offline-run-*/run-*.wandb"), key=lambda p: p.stat().st_ctime
    )
    assert len(paths) == 3
    seen = [finished(path) for path in paths]
    assert len({r.run.run_id for one in seen for r in one if r.HasField("run")}) == 1
    last = {
        item.key or "/".join(item.nested_key): json.loads(item.value_json)
        for r in seen[-1]
        if r.HasField("summary")
        for item in r.summary.update
    }
    assert last["test/seven/generated"] == 7.0


class WithTestSplit(Toys):
    """Points with a test split."""

    def dataset(self, split: Split) -> SampleSet | None:
        return Points(4) if split == "test" else super().dataset(split)


class Seven(Evaluator):
    """Every model scores seven."""

    def finish(self, trainer: Any, module: Any) -> Evaluation:
        return Evaluation([Row("seven", 7.0)])


def test_failures_never_end_a_training(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken:
        def log(self, *args: Any, **kwargs: Any) -> None:
            raise ConnectionError("host gone")

    logger = SafeWandbLogger.__new__(SafeWandbLogger)
    logger._try(Broken().log, {})
    logger._try(Broken().log, {})
    assert capsys.readouterr().err.count("training continues without it") == 1


def test_an_unreachable_host_is_known_before_the_run(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert missing_for_online("http://127.0.0.1:9") == "127.0.0.1 cannot be reached"


def test_off_makes_nothing(tmp_path: Path) -> None:
    assert wandb_logger("off", tmp_path / "run", "toy/points", "{}", {}) is None
    assert not (tmp_path / "run").exists()
