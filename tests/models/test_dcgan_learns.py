"""DCGAN learns: drawn faces early in every run of the tests, the whole recipe with `make learn`."""

from __future__ import annotations

import pytest
from learning import colours, trained, whole

from zoo.data.base import collate
from zoo.metrics.formulas.frechet import frechet_distance

pytestmark = pytest.mark.usefixtures("elsewhere")
SMALL = ["--model.size", "16", "--data.size", "16", "--model.width", "16"]
FAST = ["--model.learning_rate", "1e-3", "--model.ema", "0.9"]


def test_draws_faces_early() -> None:
    built = trained("dcgan/faces_world", 150, *SMALL, *FAST)
    people = built.datamodule.split("test")
    real = colours(collate([people[i] for i in range(400)])["image"])
    model = built.model
    found = frechet_distance(colours(model.sample(400)), real)
    untrained = type(model)(**model.hparams)
    first = frechet_distance(colours(untrained.sample(400)), real)
    assert found < 0.5 * first  # 0.32 when this was written


@pytest.mark.slow
def test_faces_whole() -> None:
    found = whole("dcgan/faces_world")
    assert found["kid-effnet-lite0", "generated"] <= 0.6
