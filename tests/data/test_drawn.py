"""What all drawn data share: disjoint splits of any allowed length, and composed descriptions."""

from __future__ import annotations

import importlib
from itertools import pairwise
from typing import Any

import pytest

from zoo.data.contracts import CONTRACTS
from zoo.data.drawn import FIRST, DrawnModule
from zoo.errors import UserError

WORLDS = sorted(
    {contract.world for contract in CONTRACTS.values()} - {"zoo.data.images.Digits", "zoo.data.points.Points"}
)


def make(path: str, **options: Any) -> DrawnModule:
    module, _, name = path.rpartition(".")
    made: DrawnModule = getattr(importlib.import_module(module), name)(**options)
    return made


@pytest.mark.parametrize("path", WORLDS)
def test_no_split_reaches_into_the_next(path: str) -> None:
    longest = make(path).longest[1]
    data = make(path, train_length=5, eval_length=longest)
    spans = sorted((FIRST[split], FIRST[split] + data.lengths[split]) for split in FIRST)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    for options in ({"eval_length": longest + 1}, {"eval_length": 0}, {"train_length": 0}):
        with pytest.raises(UserError, match=rf"data\.{next(iter(options))} is .*give 1 to"):
            make(path, **options)


@pytest.mark.parametrize("path", WORLDS)
def test_a_description_holds_the_same_fields(path: str) -> None:
    said = make(path).describe()
    assert list(said) == ["contract", "name", "licence", "research_only", "preprocessing", "fingerprint"]
    assert said["research_only"] is False and len(said["fingerprint"]) == 64
