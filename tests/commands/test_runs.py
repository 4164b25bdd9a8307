"""A run folder is an address: every verb takes it, by the run's own config."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import zoo
from zoo.cli import main
from zoo.files.checkpoints import read_checkpoint

FIT = ["fit", "--config", "gan/digits", "--config", "overlays/tiny", "--config", "overlays/tiny/gan"]


def test_every_verb_takes_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*FIT, "--wandb", "off", "--seed_everything", "7"]) == 0
    (run,) = (str(path) for path in Path("runs/gan/digits").iterdir())
    last = read_checkpoint(Path(run) / "checkpoints" / "last.ckpt")
    capsys.readouterr()

    assert main(["show", run]) == 0
    told = capsys.readouterr().out
    assert "gan/digits + overlays/tiny + tiny/gan" in told
    assert f"zoo resume {run}" in told and "last.ckpt" in told

    assert main(["sample", run, "-n", "4", "-o", "sheet.png"]) == 0
    assert main(["sample", f"{run}/checkpoints/last.ckpt", "-n", "4", "-o", "same.png"]) == 0
    assert Path("sheet.png").read_bytes() == Path("same.png").read_bytes()
    assert len(zoo.load(run, device="cpu")(n=2)) == 2

    assert main(["export", run, "-o", "mine"]) == 0
    assert main(["show", "mine"]) == 0
    assert "takes noise" in " ".join(capsys.readouterr().out.split())

    assert main(["test", run]) == 0
    assert f"{run}/checkpoints/last.ckpt" in capsys.readouterr().err.partition("\n")[0]

    steps = last["global_step"] + 2
    assert main(["resume", run, "--trainer.max_steps", str(steps), "--trainer.max_epochs", "9"]) == 0
    assert [str(path) for path in Path("runs/gan/digits").iterdir()] == [run]
    resumed = read_checkpoint(Path(run) / "checkpoints" / "last.ckpt")
    assert resumed["global_step"] == steps
    weights = [content["state_dict"]["generator.last.weight"] for content in (last, resumed)]
    assert not torch.equal(*weights)


@pytest.mark.parametrize("typed", [[], ["gan/digits"], ["gan-digits"], ["nowhere"]])
def test_only_runs_are_resumed(typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resume", *typed]) == 2
    assert "zoo resume needs a run folder" in capsys.readouterr().err
