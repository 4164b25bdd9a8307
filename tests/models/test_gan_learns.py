"""GAN learns: several digits early in every run of the tests, whole recipes with `make learn`."""

from __future__ import annotations

import pytest
from learning import trained, whole

from zoo.features.digits import classifier
from zoo.metrics.modes import count

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_makes_several_digits_early() -> None:
    built = trained("gan/digits", 1500)
    found = count(classifier("digits"), built.model.sample(1000, seed=0), probability=0.9).found(0.02)
    assert found >= 5  # noise gives 0; seeds 0 to 2 gave 8 or 9 after 2,000 steps


@pytest.mark.slow
def test_digits_whole() -> None:
    found = whole("gan/digits")
    assert found["modes-found", "generated"] >= 8
    assert found["modes-found", "noise"] <= 1
    assert found["modes-found", "real"] == 10


@pytest.mark.slow
def test_ring_whole() -> None:
    found = whole("gan/ring")
    assert found["modes-hit", "generated"] >= 6
    assert found["within-3-sigma", "generated"] > 0.8


@pytest.mark.slow
def test_collapse_and_its_cure() -> None:
    collapsed, cured = whole("gan/collapse"), whole("gan/collapse_cure")
    assert collapsed["modes-found", "generated"] <= 5
    assert cured["modes-found", "generated"] >= 8
