"""Nothing here is timed: the arithmetic runs on a clock of its own, the loops on a game of a few weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
import torch
from games import Plain
from tiny import games

from zoo.adversarial import Batch, Terms
from zoo.cli import main
from zoo.commands import bench
from zoo.commands.bench import Blocks, Line, PlainLoop, Setup, take_turns
from zoo.errors import UserError

RECIPE = """
seed_everything: 0
model: {class_path: games.Plain}
data: {class_path: games.Data, init_args: {count: 8}}
trainer: {max_steps: 1, accelerator: cpu, log_every_n_steps: 2}
"""


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "game.yaml").write_text(RECIPE)
    return ["--config", "game.yaml", "--wandb", "off"]


class FakeTime:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def lasting(self, seconds: float) -> Callable[[object], None]:
        def pass_by(_: object = None) -> None:
            self.seconds += seconds

        return pass_by


def test_the_clock_takes_turns_and_times_each_loop_alone() -> None:
    now = FakeTime()
    zoo_step, order = now.lasting(3.0), []

    def other(batch: object) -> None:
        order.append("other")
        now.lasting(2.0)(batch)

    zoo, bare = Blocks(), Blocks()
    turns = take_turns(zoo, bare, other, [{}], steps=5, warmup=1, block=2, now=now)
    for _ in range(1 + 5 + 1):
        next(turns)
        order.append("zoo")
        zoo_step(None)
    assert zoo == [[3.0, 3.0], [3.0, 3.0], [3.0]]  # the other loop's time is not in them
    assert bare == [[2.0, 2.0], [2.0, 2.0], [2.0]]
    z, o = ["zoo"], ["other"]
    assert order == o + z + z * 2 + o * 2 + z * 2 + o * 2 + z + o + z  # the last only ends the step before


def test_warm_up_is_not_counted() -> None:
    now = FakeTime()
    zoo, bare = Blocks(), Blocks()
    turns = take_turns(zoo, bare, None, [{}], steps=2, warmup=3, block=1, now=now)
    for seconds in (100.0, 100.0, 100.0, 1.0, 2.0, 50.0):
        next(turns)
        now.lasting(seconds)(None)
    assert zoo == [[1.0], [2.0]]
    assert bare == [[], []]


def test_the_mean_is_over_blocks_and_the_median_over_steps(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = [[0.001, 0.003], [0.005]]
    monkeypatch.setattr(Setup, "alternate", lambda *_: (times, times))
    line, _ = bench.measure(arguments, steps=3, warmup=1, against="loop", memory=False)
    assert (line.low, line.median, line.high) == pytest.approx((1.0, 3.0, 5.0))
    assert line.mean == pytest.approx(3.5)


def test_the_sentence_compares_the_medians_of_one_setting() -> None:
    def line(loop: str, batch: int, median: float) -> Line:
        return Line(loop, batch, None, "32-true", median, 1.0, 9.0, median * 2, 1e3 / median, None, 1.0, 0.25)

    lines = [line("zoo", 1, 2.1), line("loop", 1, 2.0), line("zoo", 4, 3.0)]
    first, second = bench.sentences("gan/digits", lines)
    assert "+5.0% over the bare PyTorch loop (2.10 against 2.00 ms" in first
    assert "batch 4" in second
    assert "3.00 ms" in second
    table = bench.table(lines)
    assert "25.0%" in table
    assert "peak MB" in table.splitlines()[0]


class Turnwise(Plain):
    """The learning rate halves each turn, and the discriminator moves twice."""

    schedule_interval = "turn"

    def training_step(self, batch: Batch, batch_idx: int) -> Terms:
        extra = self.update(
            "discriminator", lambda: self.discriminator_loss(batch, self.generate_detached(batch))
        )
        return extra | super().training_step(batch, batch_idx)

    def configure_optimizers(self) -> Any:
        optimizers = super().configure_optimizers()
        return optimizers, [torch.optim.lr_scheduler.ExponentialLR(o, 0.5) for o in optimizers]


@pytest.mark.parametrize("unfused", [False, True])
@pytest.mark.parametrize("model", ["games.Plain", "test_bench.Turnwise"])
def test_the_bare_loop_learns_what_the_zoo_s_does(arguments: list[str], model: str, unfused: bool) -> None:
    recipe = Path("game.yaml")
    recipe.write_text(recipe.read_text().replace("games.Plain", model))
    setup = Setup(arguments)
    plain = PlainLoop(setup, unfused)
    before = [p.clone() for p in plain.model.parameters()]
    setup.alternate(None, steps=6, warmup=1)
    for batch in islice(cycle(setup.batches), 1 + 6 + 1):
        plain(batch)
    for old, bare, ours in zip(before, plain.model.parameters(), setup.model.parameters(), strict=True):
        assert not torch.equal(old, bare)
        assert bare.requires_grad
        torch.testing.assert_close(bare, ours, rtol=1e-5, atol=1e-6)


def test_measures_both_loops_of_a_recipe(arguments: list[str]) -> None:
    lines = bench.measure(arguments, steps=5, warmup=1, against="loop", memory=False)
    assert [line.loop for line in lines] == ["zoo", "loop"]
    for line in lines:
        assert (line.batch, line.precision, line.peak) == (4, "32-true", None)
        assert 0 < line.low <= line.median <= line.high
        assert line.images == pytest.approx(4e3 / line.median)
        assert 0 < line.wait < 1
        assert line.model == pytest.approx(4 * (6 + 24 + 9) / 1e6)  # the weights of three linear layers


def test_the_command_prints_json_with_peak_memory_of_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--steps", "5", "--warmup", "1", "--batch", "8", "--against", "none", "--json"]
    assert main(["bench", "gan/ring", *options, "--set", "trainer.accelerator=cpu"]) == 0
    (line,) = json.loads(capsys.readouterr().out)
    assert (line["loop"], line["batch"]) == ("zoo", 8)
    assert line["peak"] > 100  # MB: torch alone takes more
    assert not (tmp_path / "runs").exists()


def test_each_epoch_of_a_model_that_grows(arguments: list[str]) -> None:
    growing = ["--config", str(games()["ProGAN"]), "--wandb", "off", "--trainer.accelerator=cpu"]
    lines = [
        line
        for epoch in (0, 1)
        for line in bench.measure(growing, 2, 1, against="loop", memory=False, epoch=epoch)
    ]
    facts = [(line.loop, line.epoch, line.batch, line.size, line.steps) for line in lines]
    assert facts == [("zoo", 0, 4, 4, 1), ("loop", 0, 4, 4, 1), ("zoo", 1, 2, 8, 2), ("loop", 1, 2, 8, 2)]
    first, second, total = bench.sentences("progan", [replace(line, median=3e4) for line in lines])
    assert "batch 4, 32-true, epoch 0: " in first and "batch 2, 32-true, epoch 1: " in second
    assert total == "The 3 steps of the epochs measured take 1.5 minutes by these medians."
    with pytest.raises(UserError, match="epochs of this recipe are alike; leave out --epoch 1"):
        Setup(arguments, 1)


def test_bf16_runs_in_both_loops(arguments: list[str]) -> None:
    lines = bench.measure(
        [*arguments, "--trainer.precision", "bf16-mixed"], 5, 1, against="unfused", memory=False
    )
    assert [line.precision for line in lines] == ["bf16-mixed", "bf16-mixed"]
    assert [line.loop for line in lines] == ["zoo", "unfused"]


@pytest.mark.parametrize(
    ("override", "words"),
    [("--trainer.precision=64-true", "64-true"), ("--data.cuont=3", "did you mean count")],
)
def test_mistakes_are_told_in_a_sentence(arguments: list[str], override: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        Setup([*arguments, override])
