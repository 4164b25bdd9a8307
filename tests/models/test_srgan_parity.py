"""SRGAN's networks and losses against the numbers of two reference implementations, through the converter."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from parity import rule
from torch import Tensor, nn
from torch.utils.data import DataLoader

from zoo.features.vgg19 import vgg19_until
from zoo.models.srgan import SRGAN
from zoo.references.matching import convert

NETWORKS = [
    *rule.names("forward/srresnet_*"),
    *rule.names("forward/srgan_discriminator_*"),
    *rule.names("forward/msrresnet_*"),
    *rule.names("forward/vgg_style_*"),
]


@pytest.mark.parametrize("path", NETWORKS)
def test_forward_equals_the_reference(path: str) -> None:
    fixture = rule.load(path)
    player, hparams, weights, _ = convert(SRGAN, rule.state(fixture, fixture["seed_prefix"]))
    x = rule.given("x", fixture["inputs"]["x"], fixture["seed_prefix"]).double()
    with torch.device("meta"):  # no time is spent on drawing weights
        model = SRGAN(**hparams)
    net = getattr(model, player)
    assert sum(p.numel() for p in net.parameters()) == fixture["parameters"]
    for mode, outputs in fixture["outputs"].items():
        held = net.to_empty(device="cpu").double()
        held.load_state_dict(weights)
        model.train(mode == "train")
        with torch.no_grad():
            y = held(x)
            if "before_clamp" in outputs:
                rule.assert_summary(y, outputs["before_clamp"])
                held.load_state_dict(weights)  # the second pass must not see the first one's statistics
                y = (model.generate({"input": 2 * x - 1}).clamp(-1, 1) + 1) / 2
            rule.assert_summary(y, outputs["output"])
        if mode == "train":
            after = held.state_dict()
            for name, summary in fixture["buffers_after_train"].items():
                rule.assert_summary(rule.joined(v for k, v in after.items() if k.endswith(name)), summary)


def test_vgg_features_equal_the_reference() -> None:
    fixture = rule.load("forward/perceptual_loss_basicsr")
    weights = rule.state(fixture, fixture["seed_prefix"])
    with torch.device("meta"):
        network = vgg19_until(5, 4, activated=False)
    network = network.to_empty(device="cpu").double()
    network.load_state_dict(dict(zip(network.state_dict(), weights.values(), strict=True)))
    model = SRGAN(blocks=1, width=2, discriminator_width=1, size=16, variant="basicsr", content="injected")
    model._maps = (Normalised(network),)
    model.double()
    a, b = (rule.given(key, fixture["inputs"][key], fixture["seed_prefix"]).double() for key in ("x", "gt"))
    outputs = fixture["outputs"]["eval"]
    with torch.no_grad():
        rule.assert_summary(model._maps[0](2 * a - 1), outputs["conv5_4"])
        model.content_scale, model.lambda_adversarial = 1.0, 0.0
        model.adversarial = False
        rule.assert_summary(
            model.generator_loss({"target": 2 * b - 1}, 2 * a - 1)["content"], outputs["loss"]
        )


class Normalised(nn.Module):
    """What :class:`zoo.features.maps.FeatureMaps` does before VGG19, on given layers."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        from zoo.features.maps import FeatureMaps

        self.inner = FeatureMaps.__new__(FeatureMaps)
        nn.Module.__init__(self.inner)
        self.inner.name, self.inner.network, self.inner.stage = "vgg19-conv5_4", network, None
        self.inner.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).double().view(3, 1, 1))
        self.inner.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).double().view(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        return y


class Watch(pl.Callback):
    def __init__(self) -> None:
        self.terms: list[dict[str, Tensor]] = []

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.terms.append(outputs)


class Unit(nn.Module):
    """Features of pictures in [0, 1], as the fixture takes them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.network((x + 1) / 2)
        return y


@pytest.mark.parametrize("path", rule.names("training/srgan_basicsr*"))
def test_training_equals_the_reference(path: str) -> None:
    fixture = rule.load(path)
    prefix = fixture["seed_prefix"]
    states = {name: rule.state(network, f"{prefix}{name}.") for name, network in fixture["networks"].items()}
    hparams: dict[str, Any] = {}
    given: dict[str, dict[str, Tensor]] = {}
    for name in ("G", "D"):
        player, implied, given[name], _ = convert(SRGAN, states[name])
        assert player == {"G": "generator", "D": "discriminator"}[name]
        hparams |= implied
    perceptual = "features" in states
    model = SRGAN(**hparams | ({"content": "injected"} if perceptual else {"content": "none"}))
    if perceptual:
        network = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3, padding=1)
        )
        network.load_state_dict(dict(zip(network.state_dict(), states["features"].values(), strict=True)))
        model._maps = (Unit(network).requires_grad_(False),)
    players = {"G": model.generator, "D": model.discriminator}
    for name, net in players.items():
        net.load_state_dict(given[name])
    batches = [
        {
            ours: 2 * rule.given(f"step{i}.{key}", fixture["inputs"][f"step{i}.{key}"], prefix).double() - 1
            for ours, key in (("input", "lq"), ("target", "gt"))
        }
        for i in range(len(fixture["losses"]))
    ]
    watch = Watch()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        precision="64-true",
        callbacks=[watch],
    )
    trainer.fit(model, DataLoader(batches, batch_size=None, shuffle=False))
    names = {"g_pixel": "l_g_pix", "g_adversarial": "l_g_gan", "d_real": "l_d_real", "d_fake": "l_d_fake"}
    names |= {"g_content": "l_g_percep"} if perceptual else {}
    for ours, theirs in zip(watch.terms, fixture["losses"], strict=True):
        assert ours.keys() == names.keys()
        for name, theirs_name in names.items():
            wanted = torch.tensor(theirs[theirs_name], dtype=torch.float64)
            torch.testing.assert_close(ours[name], wanted, rtol=1e-5, atol=1e-8)
    for name, net in players.items():
        held = net.state_dict()
        places = convert(
            SRGAN,
            {key: torch.full(value.shape, float(i)) for i, (key, value) in enumerate(states[name].items())},
        ).weights
        ours_of = {int(value.flatten()[0]): key for key, value in places.items()}
        for number, key in enumerate(states[name]):
            if (entry := fixture["after"][name].get(key)) is None:
                continue
            value = held[ours_of[number]]
            rule.assert_summary(value, entry["value"], rtol=1e-5)
            if "change" in entry:
                rule.assert_summary(value - states[name][key].double(), entry["change"], rtol=1e-5)
