"""SRGAN learns: drawn landscapes early in every run of the tests, the whole recipe with `make learn`."""

from __future__ import annotations

import pytest
from learning import trained, whole

from zoo.data.base import collate

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_enlarges_scenes_early() -> None:
    built = trained("srgan/srgan_world", 150)
    scenes = built.datamodule.split("test")
    batch = collate([scenes[i] for i in range(16)])
    target = batch["target"]
    error = float((built.model.sample(batch["input"]) - target).square().mean())
    plain = float((target.mean(dim=(2, 3), keepdim=True) - target).square().mean())
    assert error < 0.4 * plain  # of each picture's best single colour; 0.26 when this was written


@pytest.mark.slow
def test_world_whole() -> None:
    found = whole("srgan/srgan_world")
    assert found["psnr-y test", "generated"] >= found["psnr-y test", "bicubic"] + 2.5
    assert found["ssim-y test", "generated"] > found["ssim-y test", "bicubic"]
