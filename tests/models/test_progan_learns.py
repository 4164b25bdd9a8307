"""ProGAN learns: drawn faces early in every run of the tests, the whole recipe with `make learn`."""

from __future__ import annotations

import pytest
from learning import colours, trained, whole

from zoo.data.base import collate
from zoo.metrics.formulas.frechet import frechet_distance

pytestmark = pytest.mark.usefixtures("elsewhere")
SMALL = ["--data.train_length", "1000", "--model.ema", "0.9"]
FAST = ["--model.stable_images", "[640, 800, 1280]", "--model.fade_images", "480"]


def test_draws_faces_early() -> None:
    built = trained("progan/faces_world", 230, *SMALL, *FAST)
    people = built.datamodule.split("test")
    real = colours(collate([people[i] for i in range(400)])["image"])
    model = built.model
    found = frechet_distance(colours(model.sample(400)), real)
    untrained = type(model)(**model.hparams)
    first = frechet_distance(colours(untrained.sample(400)), real)
    assert model.generator.side == 16 and found < 0.3 * first  # 0.08 when this was written


@pytest.mark.slow
def test_faces_whole() -> None:
    found = whole("progan/faces_world")
    assert found["kid-effnet-lite0", "generated"] <= 0.25
