"""Completion of the command line, asked as a shell asks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from zoo import cli
from zoo.commands.completion import SCRIPTS, candidates


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        (["sam"], "sample"),
        (["fit", "--config", "ga"], "gan/digits"),
        (["fit", "--config", "gan/digits", "--model.hid"], "--model.hidden"),
        (["fit", "--config", "gan/digits", "--trainer."], "--trainer.max_steps"),
        (["fit", "--re"], "--resume"),
        (["sample", "gan-"], "gan-digits"),
        (["export", "--dtype", ""], "float16"),
        (["data", ""], "check"),
    ],
)
def test_candidates(typed: list[str], wanted: str) -> None:
    assert wanted in candidates(typed)


def test_only_what_may_stand_there_is_offered() -> None:
    assert candidates(["sample", "gan-digits", "--device", ""]) == []
    assert "gan-digits" not in candidates(["list", ""]) and "models" in candidates(["list", ""])
    assert "pix2pix/scenes" in candidates(["init", "mine", "--like", ""])


def test_an_unknown_command_has_none() -> None:
    assert candidates(["nothing", ""]) == []


def test_bash_completes(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    command = tmp_path / "zoo"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m zoo.cli "$@"\n')
    command.chmod(0o755)
    ask = "COMP_WORDS=(zoo fit --config gan/di); COMP_CWORD=3; _zoo; echo ${COMPREPLY[@]}"
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [bash, "-c", SCRIPTS["bash"] + ask], env=environment, capture_output=True, text=True
    )
    assert done.stdout.split() == ["gan/digits"]


def test_the_help_of_a_training_fits_a_page(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert cli.main(["fit", "--help"]) == 0
    said = capsys.readouterr().out
    assert len(said.splitlines()) <= 32 and "--resume auto" in said and "A recipe is code" in said
    assert max(map(len, said.splitlines())) <= 100
    assert cli.main(["fit", "--config", "gan/digits", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "--model.hidden" in said and "[256 (class: 1200)]" in said and "--data.batch_size" in said
    assert cli.main(["test", "-h"]) == 0
    assert "--resume" not in capsys.readouterr().out
