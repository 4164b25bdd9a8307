"""The examples in the papers' files run."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module

import pytest

import zoo.models


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(zoo.models.__path__)])
def test_the_examples_run(name: str) -> None:
    assert doctest.testmod(import_module(f"zoo.models.{name}")).failed == 0
