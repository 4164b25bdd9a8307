"""Protocols: which names there are, which are refused, and that only official weights give official names."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from zoo.errors import UserError
from zoo.features.network import FeatureNetwork, Features
from zoo.metrics.scoring.protocols import PRESETS, Protocol, protocol


class Named(FeatureNetwork):
    """A network that is nothing but its name."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "0" * 64, 1, "none")

    def forward(self, images: Tensor) -> Features:
        return Features(torch.zeros(len(images), 1))


@pytest.mark.parametrize(
    ("name", "metric", "network", "resize"),
    [
        ("fid-tf", "fd", "inception", "tf1"),
        ("fid-clean", "fd", "inception", "clean"),
        ("kid", "kid", "inception", "tf1"),
        ("is", "is", "inception", "tf1"),
        ("prdc", "prdc", "inception", "tf1"),
        ("fd-dinov2", "fd", "dinov2", None),
        ("artefacts", "artefacts", "", None),
        ("fd-mnist", "fd", "mnist", None),
        ("kid-effnet-lite0", "kid", "effnet-lite0", None),
        ("is-digits", "is", "digits", None),
        ("prdc-resnet50.a1_in1k", "prdc", "resnet50.a1_in1k", None),
    ],
)
def test_names(name: str, metric: str, network: str, resize: str | None) -> None:
    assert protocol(name) == Protocol(name, metric, network, resize)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["fid-mnist", "nonsense", "fid", "fd", "fd-", "-mnist", "mnist-fd", "FD-mnist", "artefacts-mnist"]
)
def test_other_names_are_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(UserError) as caught:
        protocol(name)
    said = str(caught.value)
    assert said.startswith(f"There is no protocol {name}")
    assert all(preset in said for preset in PRESETS) and "METRIC-NETWORK" in said
    assert said.count(". ") == 0 and said.endswith(".")


def test_fid_is_inceptions_alone() -> None:
    with pytest.raises(UserError, match=r"fid-mnist \(with a network other than Inception it is fd-mnist"):
        protocol("fid-mnist")


def test_only_official_weights_earn_the_papers_names() -> None:
    official, other = Named("inception"), Named("inception-1a2b3c4d")
    for name in ("fid-tf", "fid-clean", "kid", "is", "prdc"):
        assert protocol(name).title(official) == name
    unofficial = [protocol(name).title(other) for name in ("fid-tf", "fid-clean", "kid", "is", "prdc")]
    assert unofficial[0] == "fd-inception-1a2b3c4d" and unofficial[2:] == [
        "kid-inception-1a2b3c4d",
        "is-inception-1a2b3c4d",
        "prdc-inception-1a2b3c4d",
    ]
    assert unofficial[1].startswith("fd-inception-1a2b3c4d")
    assert unofficial[0] != unofficial[1], "two resizes in one table are two scores"
    assert protocol("fd-mnist").title(Named("mnist")) == "fd-mnist"


def test_settings_say_what_is_fixed() -> None:
    for name in (*PRESETS, "kid-mnist"):
        settings = protocol(name).settings()
        assert settings["protocol"] == f"{name}/1" and settings["metric"]
    assert "degree 3" in protocol("kid").settings()["metric"]
    assert protocol("prdc").settings()["metric"] == "precision k=3, recall k=3, density k=5, coverage k=5"
