"""pix2pixHD beside its authors' code: forward passes, the perceptual distance, and training."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from parity import rule
from torch import Tensor, nn
from torch.utils.data import DataLoader

from zoo.features.vgg19 import VGG19Net, convolutions
from zoo.models.pix2pixhd import Pix2PixHD, perceptual
from zoo.references.matching import Match, convert

SMALLEST: dict[str, Any] = {"width": 4, "downsamplings": 1, "blocks": 1, "discriminator_width": 1}
LARGE = ("forward/pix2pixhd_local_full",)  # 183 million weights to draw
FORWARD = [
    pytest.param(path, marks=[pytest.mark.slow] if path in LARGE else [], id=path.removeprefix("forward/"))
    for path in rule.names("forward/pix2pixhd_*")
    if "encoder" not in path
]


def converted(fixture: dict[str, Any]) -> Match:
    return convert(Pix2PixHD, rule.state(fixture, fixture["seed_prefix"]))


@pytest.mark.parametrize("path", FORWARD)
def test_forward_equals_the_reference(path: str) -> None:
    fixture = rule.load(path)
    player, hparams, weights, _ = converted(fixture)
    with torch.device("meta"):
        net = getattr(Pix2PixHD(**(SMALLEST if player == "discriminator" else {}) | hparams), player)
    assert sum(p.numel() for p in net.parameters()) == fixture["parameters"]
    net.load_state_dict({key: value.double() for key, value in weights.items()}, assign=True)
    del weights
    x = rule.given("x", fixture["inputs"]["x"], fixture["seed_prefix"]).double()
    with torch.no_grad():
        y = net(x)
    for name, summary in fixture["outputs"]["eval"].items():
        if name == "output":
            rule.assert_summary(y, summary)
        else:
            scale, layer = map(int, name.split("."))
            rule.assert_summary(y[scale][layer], summary)


def test_encoder_equals_the_reference() -> None:
    fixture = rule.load("forward/pix2pixhd_encoder_ngf4")
    prefix = fixture["seed_prefix"]
    # the code saves the encoder apart; its generator is any that takes three features
    other = rule.load("forward/pix2pixhd_global_ngf4")
    both = rule.state(other, other["seed_prefix"])
    both |= {f"netE.module.{key}": value for key, value in rule.state(fixture, prefix).items()}
    player, hparams, weights, _ = convert(Pix2PixHD, both)
    assert player == "generator"
    assert (hparams["features"], hparams["in_channels"]) == (3, 8 - 1 - 3)
    model = Pix2PixHD(**hparams, discriminator_width=1).double()
    model.generator.load_state_dict(weights)
    encoder = model.generator.encoder
    assert encoder is not None
    assert sum(p.numel() for p in encoder.parameters()) == fixture["parameters"]
    x, things = (rule.given(key, fixture["inputs"][key], prefix) for key in ("x", "inst"))
    with torch.no_grad():
        rule.assert_summary(encoder(x.double(), things[:, 0]), fixture["outputs"]["eval"]["output"])


def test_perceptual_distance_equals_the_reference() -> None:
    fixture = rule.load("forward/vgg_loss_pix2pixhd")
    prefix, wanted = fixture["seed_prefix"], fixture["outputs"]["eval"]
    with torch.device("meta"):
        network = VGG19Net()
    weights = convolutions(rule.state(fixture, prefix))
    network.load_state_dict({key: value.double() for key, value in weights.items()}, assign=True)
    assert sum(p.numel() for p in network.parameters()) == fixture["parameters"]
    fake, real = (rule.given(key, fixture["inputs"][key], prefix).double() for key in ("fake", "real"))
    with torch.no_grad():
        rule.assert_summary(perceptual(network, fake, real), wanted["loss"])
        for level, found in enumerate(network(fake), start=1):
            rule.assert_summary(found, wanted[f"relu{level}_1"])


class Watch(pl.Callback):
    def __init__(self) -> None:
        self.terms: list[dict[str, Tensor]] = []

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.terms.append(outputs)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_training_equals_the_reference(accumulate: int) -> None:
    fixture = rule.load("training/pix2pixhd_lsgan")
    prefix, classes = fixture["seed_prefix"], fixture["settings"]["label_nc"]
    hparams: dict[str, Any] = {"perceptual": "none", "epochs_decay": 0, "accumulate": accumulate}
    given: dict[str, dict[str, Tensor]] = {}
    players = {"G": "generator", "D": "discriminator"}
    for name, player in players.items():
        found, implied, given[player], _ = convert(
            Pix2PixHD, rule.state(fixture["networks"][name], f"{prefix}{name}.")
        )
        assert found == player
        hparams |= implied
    assert hparams["in_channels"] == classes
    model = Pix2PixHD(**hparams)
    for player, weights in given.items():
        getattr(model, player).load_state_dict(weights)
    batches = []
    for step in range(len(fixture["losses"])):
        label, things, image = (
            rule.given(f"step{step}.{key}", fixture["inputs"][f"step{step}.{key}"], prefix)
            for key in ("label", "inst", "image")
        )
        hot = nn.functional.one_hot(label[:, 0], classes).movedim(-1, 1).double()
        batches.append({"input": hot, "instances": things[:, 0], "target": image.double()})
    watch = Watch()
    pl.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, callbacks=[watch],
        enable_progress_bar=False, enable_model_summary=False, precision="64-true",
    ).fit(model, DataLoader(batches, batch_size=None))  # fmt: skip
    for ours, theirs in zip(watch.terms, fixture["losses"], strict=True):
        found = [2 * ours["d_fake"], 2 * ours["d_real"], ours["g_adversarial"], ours["g_matching"]]
        wanted = [theirs[key] for key in ("D_fake", "D_real", "G_GAN", "G_GAN_Feat")]
        torch.testing.assert_close(
            torch.stack(found), torch.tensor(wanted, dtype=torch.float64), rtol=1e-5, atol=1e-8
        )
    for name, player in players.items():
        reference = rule.state(fixture["networks"][name], f"{prefix}{name}.")
        held = getattr(model, player).state_dict()
        for key, entry in fixture["after"][name].items():
            value = held[renamed(reference, key)]
            rule.assert_summary(value, entry["value"], rtol=1e-5)
            rule.assert_summary(value - reference[key].double(), entry["change"], rtol=1e-5)


def renamed(reference: dict[str, Tensor], key: str) -> str:
    """What ``convert`` calls ``key``: it follows the tensor whose values are marked."""
    marked = {k: torch.full(v.shape, float(k == key)) for k, v in reference.items()}
    return next(k for k, v in convert(Pix2PixHD, marked).weights.items() if bool(v.flatten()[0]))
