"""The examples of the papers' files and of the calls that users make run."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module

import pytest

import zoo.models

PAPERS = [f"zoo.models.{module.name}" for module in pkgutil.iter_modules(zoo.models.__path__)]


@pytest.mark.parametrize("name", [*PAPERS, "zoo", "zoo.pretrained"])
def test_the_examples_run(name: str) -> None:
    assert doctest.testmod(import_module(name)).failed == 0
