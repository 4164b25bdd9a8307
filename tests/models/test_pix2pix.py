from __future__ import annotations

import copy
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from parity import rule
from torch import Tensor, nn
from torch.utils.data import DataLoader

from zoo.errors import UserError
from zoo.models.pix2pix import STRIDED, PatchGAN, Pix2Pix, ResidualGenerator, UNet, convert_reference

TINY: dict[str, Any] = {"levels": 3, "width": 4, "discriminator_width": 4, "receptive_field": 16}


def pairs(size: int = 16, batch: int = 2, channels: int = 3) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(3)
    shape = (batch, channels, size, size)
    return {key: torch.rand(shape, generator=random) * 2 - 1 for key in ("input", "target")}


class Watch(pl.Callback):
    def __init__(self) -> None:
        self.terms: list[dict[str, Tensor]] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.terms.append(outputs)


def train(model: Pix2Pix, batches: list[dict[str, Tensor]], **options: Any) -> tuple[pl.Trainer, list[dict[str, Tensor]]]:
    watch = Watch()
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[watch],
        **{"max_epochs": 1} | options,
    )
    trainer.fit(model, DataLoader(batches, batch_size=None, shuffle=False))
    return trainer, watch.terms


def elements(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


# ------------------------------------------------------------------------------------------------------------- parity


@pytest.mark.parametrize("path", rule.names("forward/pix2pix_*"))
def test_forward_equals_the_reference(path: str) -> None:
    fixture = rule.load(path)
    player, hparams, weights = convert_reference(rule.state(fixture, fixture["seed_prefix"]))
    other = {"levels": 2, "width": 1} if player == "discriminator" else {"discriminator_width": 1}
    x = rule.given("x", fixture["inputs"]["x"], fixture["seed_prefix"]).double()
    with torch.device("meta"):  # no time is spent on drawing weights
        meta = getattr(Pix2Pix(**hparams, **other), player)
    assert elements(meta) == fixture["parameters"]
    for mode, outputs in fixture["outputs"].items():
        net = meta.to_empty(device="cpu").double()
        net.load_state_dict(weights)
        for module in net.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0  # the fixtures have it off in both modes
        net.train(mode == "train")
        with torch.no_grad():
            rule.assert_summary(net(x), outputs["output"])
        if mode == "train":
            after = net.state_dict()
            for name, summary in fixture["buffers_after_train"].items():
                rule.assert_summary(rule.joined(v for k, v in after.items() if k.endswith(name)), summary)


@pytest.mark.parametrize("path", rule.names("training/pix2pix_*"))
def test_training_equals_the_reference(path: str) -> None:
    fixture = rule.load(path)
    prefix, settings = fixture["seed_prefix"], fixture["settings"]
    given: dict[str, dict[str, Tensor]] = {}
    hparams: dict[str, Any] = {}
    players = {"G": "generator", "D": "discriminator"}
    for name, player in players.items():
        found, implied, given[player] = convert_reference(rule.state(fixture["networks"][name], f"{prefix}{name}."))
        assert found == player
        hparams |= implied
    model = Pix2Pix(**hparams | {"dropout": 0.0, "loss": settings["gan_mode"]})
    for player, weights in given.items():
        getattr(model, player).load_state_dict(weights)
    batches = [
        {ours: rule.given(key, fixture["inputs"][key], prefix) for ours, key in (("input", a), ("target", b))}
        for a, b in [(f"step{step}.A", f"step{step}.B") for step in range(len(fixture["losses"]))]
    ]
    batches = [{key: value.double() for key, value in batch.items()} for batch in batches]
    _, terms = train(model, batches, precision="64-true")
    for ours, theirs in zip(terms, fixture["losses"], strict=True):
        found = [2 * ours["d_fake"], 2 * ours["d_real"], ours["g_adversarial"], ours["g_l1"]]
        wanted = [theirs[key] for key in ("D_fake", "D_real", "G_GAN", "G_L1")]
        torch.testing.assert_close(torch.stack(found), torch.tensor(wanted, dtype=torch.float64), rtol=1e-5, atol=1e-8)
    for name, player in players.items():
        reference = rule.state(fixture["networks"][name], f"{prefix}{name}.")
        # Weights after training under the reference's names: find ours by what each held at the start.
        held = getattr(model, player).state_dict()
        ours_of = {key: next(k for k, v in given[player].items() if v is reference_value) for key, reference_value in ()}
        del ours_of
        _, _, renamed = convert_reference({key: torch.full_like(v.double(), i) for i, (key, v) in enumerate(reference.items())})
        order = list(reference)
        ours_of = {order[int(v.flatten()[0])]: k for k, v in renamed.items()}
        for key, entry in fixture["after"][name].items():
            value = held[ours_of[key]]
            rule.assert_summary(value, entry["value"], rtol=1e-5)
            if "change" in entry:
                rule.assert_summary(value - reference[key].double(), entry["change"], rtol=1e-5)
