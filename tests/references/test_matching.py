"""Other implementations' state dicts: every fixture in several orders of keys, and what is refused."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from parity import rule
from torch import Tensor

from zoo.adversarial import AdversarialModule
from zoo.cli import main
from zoo.commands.convert import WRAPPERS
from zoo.errors import UserError
from zoo.files.checkpoints import read_tensors
from zoo.models.gan import GAN
from zoo.models.gan_int_cls import GANIntCLS
from zoo.models.pix2pix import Pix2Pix
from zoo.models.pix2pixhd import Pix2PixHD
from zoo.models.srgan import SRGAN
from zoo.models.stackgan import StackGAN
from zoo.references import matching
from zoo.references.matching import convert, tidy

PAPERS: dict[str, type[AdversarialModule]] = {  # by the start of a fixture's name
    "gan_int_cls": GANIntCLS,
    "gan_": GAN,
    "pix2pix_": Pix2Pix,
    "pix2pixhd_": Pix2PixHD,
    "srgan_": SRGAN,
    "srresnet_": SRGAN,
    "msrresnet_": SRGAN,
    "vgg_style_": SRGAN,
    "stackgan_": StackGAN,
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


@pytest.mark.parametrize("name", [name for name in NETWORKS if "_full" not in name])
def test_pth_and_safetensors_are_converted_alike(name: str, tmp_path: Path) -> None:
    """Files as they lie on a disk, wrapped or not; safetensors sorts by type and name."""
    paper, shapes = NETWORKS[name]
    state = {key: value.contiguous() for key, value in numbered(shapes).items()}
    torch.save({"epoch": 3, "state_dict": {}, "ema_state_dict": state}, tmp_path / "a.pth")
    safetensors.torch.save_file(state, tmp_path / "a.safetensors")
    one, other = (
        convert(paper, read_tensors(tmp_path / f"a.{end}", WRAPPERS)) for end in ("pth", "safetensors")
    )
    assert (one.player, one.arguments) == (other.player, other.arguments)
    assert numbers(one.weights) == numbers(other.weights)


def changed(name: str, shapes: dict[str, list[int]]) -> tuple[type[AdversarialModule], dict[str, Tensor]]:
    paper, those = NETWORKS[f"forward/{name}"]
    assert shapes.keys() <= those.keys()
    return paper, numbered(those | shapes)


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        (
            changed(
                "pix2pix_unet256_ngf8_batch",
                {"model.model.3.weight": [16, 1, 4, 4], "model.model.3.bias": [1]},
            ),
            {"in_channels": 3, "out_channels": 1},
        ),
        (
            changed("pix2pix_patchgan3_ndf8_batch", {"model.0.weight": [8, 2, 4, 4]}),
            {"in_channels": 1, "out_channels": 1, "conditional": True},
        ),
        (
            changed("pix2pixhd_global_ngf4", {"model.32.weight": [1, 4, 7, 7], "model.32.bias": [1]}),
            {"in_channels": 7, "out_channels": 1, "instance_edges": True},
        ),
        (
            changed("pix2pixhd_local_ngf4", {"model1_2.6.weight": [2, 4, 7, 7], "model1_2.6.bias": [2]}),
            {"in_channels": 7, "out_channels": 2},
        ),
        (
            changed("pix2pixhd_global_ngf4", {"model.1.weight": [4, 1, 7, 7]}),
            {"in_channels": 1, "instance_edges": False},
        ),
        (
            changed(
                "srresnet_x4_c16_b4",
                {"conv1.0.weight": [16, 1, 9, 9], "conv3.weight": [1, 16, 9, 9], "conv3.bias": [1]},
            ),
            {"in_channels": 1},
        ),
    ],
)
def test_other_channels_than_three(
    state: tuple[type[AdversarialModule], Any], wanted: dict[str, Any]
) -> None:
    assert convert(*state).arguments.items() >= wanted.items()


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (
            changed("srresnet_x4_c16_b4", {"conv3.weight": [1, 16, 9, 9], "conv3.bias": [1]}),
            "takes images of 3 channels and gives 1; only those that keep",
        ),
        (
            changed("msrresnet_x4_f16_b4", {"conv_last.weight": [1, 16, 3, 3], "conv_last.bias": [1]}),
            "takes images of 3 channels and gives 1; only those that keep",
        ),
        (
            changed("pix2pixhd_discriminator_ndf8", {"scale0_layer0.0.weight": [8, 2, 4, 4]}),
            "sees 2 channels, too few for a label map, boundaries and an image",
        ),
        (
            changed("pix2pixhd_encoder_ngf4", {"model.1.weight": [4, 4, 7, 7]}),
            "gives 3 features, more than this generator takes beside",
        ),
    ],
)
def test_channels_that_do_not_fit(state: tuple[type[AdversarialModule], Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        convert(*state)


def test_an_encoder_alone() -> None:
    paper, shapes = NETWORKS["forward/pix2pixhd_encoder_ngf4"]
    encoder = numbered({key: shape for key, shape in shapes.items() if key.startswith("netE.")})
    for state in (encoder, {key.removeprefix("netE."): value for key, value in encoder.items()}):
        with pytest.raises(UserError, match="are of the feature encoder alone; put them with"):
            convert(paper, state)


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
