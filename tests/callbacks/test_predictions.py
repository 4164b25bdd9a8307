from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from games import Game
from torch import Tensor

from zoo.adversarial import Batch
from zoo.callbacks.predictions import PictureWriter
from zoo.data.pairs.world import ScenePairs
from zoo.errors import UserError
from zoo.files.pictures import read_picture


class Copy(Game):
    """Predicts the target."""

    def generate(self, batch: Batch) -> Tensor:
        target: Tensor = batch["target"]
        return target


def pairs() -> ScenePairs:
    return ScenePairs(size=16, train_length=2, eval_length=3, batch_size=2)


def test_each_sample_has_its_picture(trainer: Callable[..., pl.Trainer], tmp_path: Path) -> None:
    data = pairs()
    trainer(callbacks=[PictureWriter()]).predict(Copy(), data, return_predictions=False)
    paths = sorted((tmp_path / "predictions").iterdir())
    assert [p.name for p in paths] == ["000000.png", "000001.png", "000002.png"]
    test = data.split("test")
    assert test is not None
    for index, path in enumerate(paths):
        assert torch.allclose(read_picture(path), test[index]["target"], atol=1 / 255)


def test_nothing_is_overwritten(trainer: Callable[..., pl.Trainer], tmp_path: Path) -> None:
    (tmp_path / "predictions").mkdir()
    with pytest.raises(UserError, match="exists already"):
        trainer(callbacks=[PictureWriter()]).predict(Copy(), pairs(), return_predictions=False)
