"""Shared by all tests: one thread, no network, and tiny games that a test can see through."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "offline")

import lightning.pytorch as pl
import pytest
import torch

torch.set_num_threads(1)  # sums in another order give other bits; and tiny networks are faster so


@pytest.fixture
def zoo_data() -> Path:
    """The folder of real data sets, which are not part of the repository."""
    if not (folder := os.environ.get("ZOO_DATA")):
        pytest.skip("real data: set ZOO_DATA to a folder with it")
    return Path(folder)


@pytest.fixture
def trainer(tmp_path: Path) -> Callable[..., pl.Trainer]:
    """A function that makes a quiet trainer on the CPU; keywords replace its defaults."""

    def make(**options: Any) -> pl.Trainer:
        quiet: dict[str, Any] = {
            "accelerator": "cpu",
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
            "num_sanity_val_steps": 0,
            "default_root_dir": tmp_path,
        }
        return pl.Trainer(**quiet | options)

    return make


@pytest.fixture(autouse=True)
def _untouched_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's seed stays in the test."""
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test in an empty folder, without Weights & Biases."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")


@pytest.fixture
def script_environment() -> dict[str, str]:
    """The environment of a script that a test runs: one thread; this checkout and ``games`` are imported."""
    folder = Path(__file__).parent
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{folder}{os.pathsep}{folder.parent}"}
