"""pix2pix learns: drawn landscapes early in every run of the tests, the whole recipe with `make learn`."""

from __future__ import annotations

import pytest
from learning import trained, whole

from zoo.data.base import collate

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_paints_scenes_early() -> None:
    built = trained("pix2pix/scenes", 100)
    scenes = built.datamodule.split("test")
    batch = collate([scenes[i] for i in range(16)])
    target = batch["target"]
    distance = float((built.model.sample(batch["input"]) - target).abs().mean())
    grey = float((target.mean(dim=(0, 2, 3), keepdim=True) - target).abs().mean())
    assert distance < 0.5 * grey  # half of what the best single colour leaves; 0.28 when this was written


@pytest.mark.slow
def test_scenes_whole() -> None:
    found = whole("pix2pix/scenes")
    assert found["segmenter-pixel-accuracy", "real"] >= 0.97
    assert found["segmenter-pixel-accuracy", "generated"] >= 0.90
