"""Other implementations' state dicts: every fixture in several orders of keys, and what is refused."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest
import safetensors.torch
import torch
from parity import rule
from torch import Tensor

from zoo.adversarial import AdversarialModule
from zoo.cli import main
from zoo.errors import UserError
from zoo.models.gan import GAN
from zoo.models.pix2pix import Pix2Pix
from zoo.models.pix2pixhd import Pix2PixHD
from zoo.models.srgan import SRGAN
from zoo.references import matching
from zoo.references.matching import convert, tidy

PAPERS: dict[str, type[AdversarialModule]] = {  # by the start of a fixture's name
    "gan_": GAN,
    "pix2pix_": Pix2Pix,
    "pix2pixhd_": Pix2PixHD,
    "srgan_": SRGAN,
    "srresnet_": SRGAN,
    "msrresnet_": SRGAN,
    "vgg_style_": SRGAN,
}
Shapes = dict[str, list[int]]


def networks() -> dict[str, tuple[type[AdversarialModule], Shapes]]:
    """The shapes of each network of the parity fixtures whose paper has a class."""
    found = {}
    for path in (*rule.names("forward/*"), *rule.names("training/*")):
        paper = next((paper for start, paper in PAPERS.items() if path.split("/")[1].startswith(start)), None)
        fixture = rule.load(path)
        kept = fixture.get("networks", {"": fixture})
        for name, network in kept.items():
            if paper is not None and name != "features":
                found[f"{path} {name}".strip()] = (paper, network["state_dict"])
    # the code saves the encoder apart; its generator is any that takes three features
    encoder = {f"netE.{k}": v for k, v in found["forward/pix2pixhd_encoder_ngf4"][1].items()}
    generator = found["forward/pix2pixhd_global_ngf4"][1]
    return found | {"forward/pix2pixhd_encoder_ngf4": (Pix2PixHD, generator | encoder)}


NETWORKS = networks()


def numbered(shapes: Shapes) -> dict[str, Tensor]:
    """Tensors of these shapes that cost no memory; each holds its own number."""
    return {
        key: torch.tensor(float(number)).expand(shape) for number, (key, shape) in enumerate(shapes.items())
    }


def numbers(weights: dict[str, Tensor]) -> list[tuple[str, int]]:
    return [(key, int(value.flatten()[0])) for key, value in weights.items()]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_order_of_keys_does_not_matter(name: str) -> None:
    paper, shapes = NETWORKS[name]
    state = numbered(shapes)
    as_saved = convert(paper, state)
    kept = [number for key, number in numbers(as_saved.weights) if key not in ("styles", "style_counts")]
    assert sorted(kept) == list(range(len(state)))
    for order in (sorted(state), sorted(state, reverse=True)):
        again = convert(paper, {key: state[key] for key in order})
        assert (again.player, again.arguments) == (as_saved.player, as_saved.arguments)
        assert numbers(again.weights) == numbers(as_saved.weights)


def test_sorted_weights_are_converted_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fixture = rule.load("forward/gan_mlp_generator")
    safetensors.torch.save_file(rule.state(fixture, fixture["seed_prefix"]), "G.safetensors")
    assert list(safetensors.torch.load_file("G.safetensors"))[:3] != list(fixture["state_dict"])[:3]
    assert main(["convert", "G.safetensors", "--as", "gan", "-o", "out"]) == 0
    assert "(players=mlp_bn, shape=[1, 12, 12], latent_dim=16)" in capsys.readouterr().out


def test_what_wrappers_and_old_versions_leave_is_removed() -> None:
    state = {
        "module.b.10.weight": torch.zeros(1),
        "_orig_mod.module.b.2.weight": torch.zeros(1),
        "b.2.running_mean": torch.zeros(1),
        "b.3.running_mean": torch.zeros(1),
        "a.module.modules": torch.zeros(1),
    }
    assert list(tidy(state)) == ["a.modules", "b.2.running_mean", "b.2.weight", "b.10.weight"]


def test_a_paper_without_another_implementation() -> None:
    class Nobody(AdversarialModule):
        __module__ = "zoo.models.nobody"

    with pytest.raises(UserError, match="No other implementation of nobody is known"):
        convert(Nobody, {})


def test_weights_that_almost_fit() -> None:
    paper, shapes = NETWORKS["forward/gan_mlp_generator"]
    with pytest.raises(UserError, match=r"generator of GAN but layers\.3\.bias is missing, unknown or of"):
        convert(paper, numbered({key: shape for key, shape in shapes.items() if key != "model.3.bias"}))


def test_the_examples_run() -> None:
    assert doctest.testmod(matching).failed == 0
