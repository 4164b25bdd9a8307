"""A full disk, whichever file is written: one sentence names it, and the last checkpoint stays whole."""

from __future__ import annotations

import builtins
import io
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_cli import RECIPE, message, zoo

from zoo.errors import UserError
from zoo.files.checkpoints import read_checkpoint
from zoo.training.loggers import FolderLogger

STEPS = 4
CALLBACKS = [
    {
        "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
        "init_args": {"filename": "{step}", "every_n_train_steps": 2, "save_top_k": -1},
    },
    {"class_path": "zoo.callbacks.samples.SampleGrid", "init_args": {"every_n_steps": 3}},
]


@pytest.fixture
def recipe(elsewhere: None) -> Path:
    path = Path("toy", "points.yaml")
    path.parent.mkdir()
    trainer = {**RECIPE["trainer"], "max_epochs": 1, "log_every_n_steps": 1, "callbacks": CALLBACKS}
    path.write_text(yaml.safe_dump({**RECIPE, "trainer": trainer}))
    return path


def fill_disk(patch: pytest.MonkeyPatch, name: str) -> None:
    """Write the files with this in their path to a device that is full."""
    usual = io.open

    def opened(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        full = isinstance(file, str | os.PathLike) and name in str(file) and set(mode) & set("wax+")
        return usual("/dev/full" if full else file, mode.replace("x", "w"), *args, **options)

    patch.setattr(io, "open", opened)
    patch.setattr(builtins, "open", opened)


@pytest.mark.parametrize(
    ("name", "steps"),  # checkpoints that were written before
    [("env.json", []), ("metrics.csv", []), ("step=000003.png", [2]), ("step=4.ckpt", [2])],
)
def test_training(
    name: str,
    steps: list[int],
    recipe: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        fill_disk(patch, name)
        assert zoo("fit", "--config", recipe) == 1
    said = message(capsys)
    assert said.startswith(("zoo: Cannot write", "zoo: Could not save")) and name in said, said
    assert "No space left on device" in said
    assert sorted(read_checkpoint(path)["global_step"] for path in Path("runs").rglob("*.ckpt")) == steps
    assert not list(Path("runs").rglob("*.part"))
    assert zoo("fit", "--config", recipe, "--resume", "auto") == 0
    (last,) = Path("runs").rglob("last.ckpt")
    assert read_checkpoint(last)["global_step"] == STEPS


def test_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_disk(monkeypatch, "evaluations.jsonl")
    with pytest.raises(UserError, match=r"evaluations\.jsonl \(No space left on device\); free some space"):
        FolderLogger(tmp_path).log_metrics({"fid": 1.0})
