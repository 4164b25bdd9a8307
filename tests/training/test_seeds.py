"""`zoo fit --seeds`: each seed is a run of its own, and the group's eval.json has means and deviations."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from games import Points
from test_cli import RECIPE, Toys

import zoo
from zoo import cli
from zoo.data.base import SampleSet, Split
from zoo.files.schemas import ROWS, read_json
from zoo.files.writing import REPORT
from zoo.metrics.evaluator import Evaluation, Evaluator
from zoo.metrics.scoring.report import Row
from zoo.training import seeds


class Scored(Toys):
    """With a few points for the test."""

    def dataset(self, split: Split) -> SampleSet | None:
        return Points(16 if split == "train" else 4)


SCORED = {"class_path": "test_seeds.Weight"}


class Weight(Evaluator):
    """A score that each seed's weights decide, and one that is the same for all."""

    def finish(self, trainer: Any, module: Any) -> Evaluation:
        weight = module.generator[0].weight
        return Evaluation([Row("weight", float(weight.sum()), paper="0"), Row("size", float(weight.numel()))])


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that are run, in this process; ``recipe.yaml`` is in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(
        yaml.safe_dump(RECIPE | {"data": {"class_path": "test_seeds.Scored"}, "wandb": "off"})
    )
    commands: list[list[str]] = []

    def run(command: list[str], environment: dict[str, str]) -> int:
        commands.append(command[3:])
        monkeypatch.setenv(REPORT, environment[REPORT])
        return cli.main(command[3:])

    monkeypatch.setattr(seeds, "_run", run)
    return commands


def test_each_seed_is_a_run_and_the_group_has_mean_and_deviation(
    ran: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    group = zoo.fit("recipe.yaml", seeds=[3, 1], trainer={"callbacks": [SCORED]})
    each = json.loads((group / "seeds.json").read_text())
    runs = [group.parent / entry["run"] for entry in each]
    assert [entry["seed"] for entry in each] == [3, 1]
    for run, seed in zip(runs, (3, 1), strict=True):
        assert yaml.safe_load((run / "config.yaml").read_text())["seed_everything"] == seed
    scores = [{row["metric"]: row for row in read_json(run / "eval.json", ROWS)} for run in runs]
    weights = [score["weight"]["value"] for score in scores]
    found = {row["metric"]: row for row in read_json(group / "eval.json", ROWS)}
    assert weights[0] != weights[1]
    assert found["weight"]["value"] == pytest.approx(sum(weights) / 2)
    assert found["weight"]["error"] == pytest.approx(statistics.stdev(weights))
    assert found["weight"]["protocol"] == {"seeds": [3, 1], "error": "deviation over the seeds"}
    assert (found["size"]["error"], found["weight"]["paper"]) == (0.0, "0")
    assert found["weight"]["step"] == scores[0]["weight"]["step"]
    assert "weight  generated" in capsys.readouterr().out.rpartition("seed 3")[2]

    ran.clear()
    again = ["fit", "--config", "recipe.yaml", f"--trainer.callbacks={json.dumps([SCORED])}", "--seeds=3,1"]
    assert cli.main([*again, "--resume", "auto"]) == 0
    assert [command[0] for command in ran] == ["fit", "fit"]  # finished and tested
    assert {path.name for path in group.parent.iterdir()} == {group.name, *(run.name for run in runs)}
    assert {row["metric"]: row for row in read_json(group / "eval.json", ROWS)} == found


@pytest.mark.parametrize(("status", "verb"), [(143, "fit"), (1, "test")])
def test_a_seed_that_ends_early_says_which_are_done_and_is_continued(
    ran: list[list[str]],
    status: int,
    verb: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = seeds._run
    with monkeypatch.context() as patch:

        def fails(command: list[str], environment: dict[str, str]) -> int:
            done = run(command, environment)
            return status if len(ran) > 2 and verb in command else done

        patch.setattr(seeds, "_run", fails)
        typed = ["fit", "--config", "recipe.yaml", "--seeds", "0", "1", "--resume", "auto"]
        if status == 1:
            assert cli.main(typed) == 1
        else:
            with pytest.raises(SystemExit, match="143"):
                cli.main(typed)
    told = capsys.readouterr().err
    (group,) = Path("runs").glob("*/*/*-seeds-0-1")
    (first,) = json.loads((group / "seeds.json").read_text())
    assert (
        f"Seed 1 is not done. Done: 0 ({first['run']}). Continue with the same command and --resume auto."
        in told
    )
    ran.clear()
    assert cli.main(typed) == 0
    assert [command[0] for command in ran] == ["fit", "fit", "test"]
    assert len(json.loads((group / "seeds.json").read_text())) == 2
    assert not (group / "eval.json").exists()  # the recipe lists no evaluator
    assert "nothing to summarise" in capsys.readouterr().err


def test_scores_of_different_protocols_have_no_mean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def row(metric: str, value: object, **protocol: Any) -> dict[str, Any]:
        return {"step": 2, "metric": metric, "subject": "generated", "value": value, "protocol": protocol}

    rows = [
        [row("psnr", "inf"), row("fd", 3.0, made={"count": 4, "hash": "a"}), row("iou", 1.0, size=8)],
        [row("psnr", 1.0), row("fd", 5.0, made={"count": 4, "hash": "b"}), row("iou", 1.0, size=9)],
    ]
    seeds._summarise(tmp_path, [{"seed": i, "run": str(i), "rows": rows[i]} for i in (0, 1)])
    found = {row["metric"]: row for row in read_json(tmp_path / "eval.json", ROWS)}
    assert {metric: row["value"] for metric, row in found.items()} == {"psnr": "inf", "fd": 4.0}
    assert found["psnr"]["error"] is None
    assert found["fd"]["protocol"]["made"] == {"count": 4}
    assert "iou was measured by two protocols" in capsys.readouterr().err


SLEEPER = """
import signal, sys, time
signal.signal({0}, lambda number, frame: sys.exit(7))
print("ready", flush=True)
time.sleep(60)
"""
PARENT = """
import os, sys
from zoo.training.seeds import _run
sys.exit(_run([sys.executable, "-c", sys.argv[1]], dict(os.environ)))
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_are_passed_on_to_the_seed_once(
    number: int, status: int, script_environment: dict[str, str]
) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, SLEEPER.format(int(number))],
        env=script_environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout is not None and parent.stdout.readline() == "ready\n"
    os.killpg(parent.pid, number)  # as a terminal does
    assert parent.wait(30) == status
    assert parent.stdout.read() == ""  # the seed has ended, too


def test_a_seed_that_a_signal_kills_ends_with_its_number() -> None:
    assert seeds._run([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], dict(os.environ)) == 137
