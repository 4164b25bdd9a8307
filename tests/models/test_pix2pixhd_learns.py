"""pix2pixHD learns: drawn landscapes early in every run of the tests, the whole recipe with `make learn`."""

from __future__ import annotations

import pytest
from learning import trained, whole

from zoo.data.base import collate

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_paints_scenes_early() -> None:
    encoder = ("--model.features", "3", "--model.encoder_width", "8", "--model.encoder_downsamplings", "2")
    shorter = ("--model.width", "16", "--model.downsamplings", "2", "--model.blocks", "2")
    exact = ("--trainer.precision", "32-true")  # bfloat16 takes minutes where the processor lacks it
    built = trained("pix2pixhd/scenes", 90, *encoder, *shorter, *exact)  # the encoder tells the hour
    scenes = built.datamodule.split("test")
    batch = collate([scenes[i] for i in range(16)])
    target = batch["target"]
    distance = float((built.model.eval().preview(batch)["fake"] - target).abs().mean().detach())
    grey = float((target.mean(dim=(0, 2, 3), keepdim=True) - target).abs().mean())
    assert distance < 0.75 * grey  # of what the best single colour leaves; 0.60 when this was written


@pytest.mark.slow
def test_scenes_whole() -> None:
    found = whole("pix2pixhd/scenes")
    assert found["segmenter-pixel-accuracy", "generated"] >= 0.7 * found["segmenter-pixel-accuracy", "real"]
