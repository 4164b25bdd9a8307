"""StackGAN: networks, losses, updates against a plain transcription, the reference's numbers."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback
from parity import rule
from torch import Tensor, nn
from torch.utils.data import DataLoader

from zoo.adversarial import Batch
from zoo.errors import UserError
from zoo.models.stackgan import StackGAN, divergence
from zoo.references.matching import convert

Weights = dict[str, Tensor]
SMALL: dict[str, Any] = {
    "text_dim": 6, "latent_dim": 3, "condition_dim": 2, "width": 1, "discriminator_width": 1, "blocks": 1,
}  # fmt: skip


def count(network: nn.Module | None) -> int:
    assert network is not None
    return sum(p.numel() for p in network.parameters())


class GivenNoise(StackGAN):
    """Noise from a list, in order."""

    def give(self, noises: list[Tensor]) -> None:
        self.noises = iter(noises)

    def noise(self, count: int, width: int) -> Tensor:
        z = next(self.noises)
        assert z.shape == (count, width)
        return z.to(self.dtype)


def fit(model: StackGAN, batches: list[Batch], **options: Any) -> None:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    loop = pl.Trainer(
        accelerator="cpu", max_steps=len(batches), enable_checkpointing=False, precision="64-true",
        **(quiet | options),
    )  # fmt: skip
    loop.fit(model, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize(
    ("arguments", "generator", "discriminator"),
    [
        ({}, 14_001_792 + 262_400, 4_029_824),
        ({"stage": 2}, 26_027_680 + 262_400, 48_603_520),
        ({"variant": "coco"}, 20_020_832, 12_407_425),
        ({"variant": "coco", "stage": 2}, 37_130_480, 159_889_538),
        ({"variant": "coco", "width": 128, "discriminator_width": 64}, 10_301_248, 5_715_713),
        (
            {"variant": "coco", "stage": 2, "width": 128, "discriminator_width": 64, "blocks": 4},
            26_290_080,
            71_269_122,
        ),
    ],
    ids=["Stage-I", "Stage-II", "COCO I", "COCO II", "PyTorch's default I", "PyTorch's default II"],
)
def test_parameters(arguments: dict[str, Any], generator: int, discriminator: int) -> None:
    with torch.device("meta"):
        model = StackGAN(**arguments)
    own = model.generator.stage2 if arguments.get("stage") == 2 else model.generator
    assert (count(own), count(model.discriminator)) == (generator, discriminator)


def test_layers_of_the_paper() -> None:
    model = StackGAN(stage=2, **SMALL)
    x, shapes = torch.zeros(2, 8, 4, 4), list[tuple[int, ...]]()
    for layer in model.generator.stage1.layers:
        x = layer(x)
        shapes.append(tuple(x.shape[1:3]))
    grown = [
        (8, 4),
        (8, 8),
        (4, 8),
        (4, 8),
        (4, 8),
        (4, 16),
        *[(2, 16)] * 3,
        (2, 32),
        *[(1, 32)] * 3,
        (1, 64),
    ]
    assert shapes == [*grown, (3, 64), (3, 64)]
    stage2 = model.generator.stage2
    assert stage2 is not None and stage2.encoder(x).shape == (2, 4, 16, 16)
    image = model.sample(torch.zeros(2, 6))
    assert image.shape == (2, 3, 256, 256) and image.abs().max() <= 1
    assert model.discriminator(image).shape == (2, 8, 4, 4)
    conv, norm, leaky = nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU
    kinds = [type(layer) for layer in StackGAN(**SMALL).discriminator.layers][:-1]
    assert kinds == [conv, leaky, conv, norm, leaky, conv, norm, conv, norm]
    kinds = [type(layer) for layer in model.discriminator.layers][:-1]
    assert kinds == [conv, leaky, *[conv, norm, leaky] * 6, conv, norm]


@pytest.mark.parametrize("variant", ["paper", "coco"])
@pytest.mark.parametrize("stage", [1, 2])
def test_half_the_size(stage: Any, variant: Any) -> None:
    model = StackGAN(stage=stage, variant=variant, size=32, **SMALL)
    side = 32 if stage == 1 else 128
    image = model.sample(torch.zeros(2, 6))
    assert image.shape == (2, 3, side, side)
    maps = model.discriminator(image)
    condition = model.condition(torch.zeros(2, 6))
    assert maps.shape[2:] == (4, 4) and model.discriminator.matching(maps, condition).shape == (2, 1)


def test_divergence_is_that_of_the_normal_distributions() -> None:
    mean, log_sigma = torch.randn(5, 3), torch.randn(5, 3)
    found = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, log_sigma.exp()), torch.distributions.Normal(0, 1)
    )
    torch.testing.assert_close(divergence(mean, log_sigma), found.mean())


def test_conditions_are_drawn_around_the_mean() -> None:
    torch.manual_seed(0)
    for variant in ("paper", "coco"):
        conditioning = StackGAN(**SMALL, variant=variant).generator.conditioning  # type: ignore[arg-type]
        mean, log_sigma = conditioning(torch.randn(4, 6) * 50)
        if variant == "coco":
            assert mean.min() >= 0 and log_sigma.min() >= 0
        else:
            assert mean.min() < 0 and log_sigma.min() < 0


def test_numbers_of_the_variants() -> None:
    model = StackGAN(**SMALL)
    assert (model.lambda_kl, model.halve_every) == (1, 100)
    model = StackGAN(**SMALL, variant="coco")
    assert (model.lambda_kl, model.halve_every) == (2, 20)
    assert StackGAN(**SMALL, variant="coco", lambda_kl=0.0, halve_every=0).lambda_kl == 0


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_other_images_of_the_batch_matter_to_the_discriminator_with_batch_norm(norm: Any) -> None:
    model = StackGAN(**SMALL | {"discriminator_width": 2}, discriminator_norm=norm)
    first, others = torch.rand(2, 4, 3, 64, 64)
    others[0] = first[0]
    judge, text = model.discriminator, torch.randn(4, 6)
    found = [judge.matching(judge(images), text)[0] for images in (first, others)]
    assert ((found[0] - found[1]).abs() < 1e-5) == (norm == "group")
    assert count(judge) == count(StackGAN(**SMALL | {"discriminator_width": 2}).discriminator)


# -------------------------------------------------------------------- one update beside a plain transcription


def normed(x: Tensor, p: Weights, name: str) -> Tensor:
    axes, shape = ((0,), (1, -1)) if x.ndim == 2 else ((0, 2, 3), (1, -1, 1, 1))
    mean = x.mean(axes, keepdim=True)
    var = (x - mean).square().mean(axes, keepdim=True)
    return (x - mean) / (var + 1e-5).sqrt() * p[f"{name}.weight"].view(shape) + p[f"{name}.bias"].view(shape)


def leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def conv(x: Tensor, p: Weights, name: str, **how: int) -> Tensor:
    return F.conv2d(x, p[f"{name}.weight"], **how)


def up(x: Tensor, p: Weights, name: str) -> Tensor:
    return conv(x.repeat_interleave(2, 2).repeat_interleave(2, 3), p, name, padding=1)


def bottleneck(x: Tensor, p: Weights, name: str, act: Any) -> Tensor:
    h = act(normed(conv(x, p, f"{name}.layers.0"), p, f"{name}.layers.1"))
    h = act(normed(conv(h, p, f"{name}.layers.3", padding=1), p, f"{name}.layers.4"))
    return act(x + normed(conv(h, p, f"{name}.layers.6", padding=1), p, f"{name}.layers.7"))


def of_sentence(p: Weights, name: str, text: Tensor) -> tuple[Tensor, Tensor]:
    h = leaky(text @ p[f"{name}.conditioning.dense.weight"].t() + p[f"{name}.conditioning.dense.bias"])
    half = h.shape[1] // 2
    return h[:, :half], h[:, half:]


def stage1(p: Weights, z: Tensor, text: Tensor, e: Tensor) -> Tensor:
    mean, log_sigma = of_sentence(p, "stage1", text)
    h = torch.cat([z, mean + log_sigma.exp() * e], 1)
    h = normed(h @ p["stage1.dense.weight"].t() + p["stage1.dense.bias"], p, "stage1.norm")
    h = bottleneck(h.view(len(h), 8, 4, 4), p, "stage1.layers.0", F.relu)
    h = normed(up(h, p, "stage1.layers.2"), p, "stage1.layers.3")
    h = bottleneck(h, p, "stage1.layers.4", F.relu)
    h = F.relu(normed(up(h, p, "stage1.layers.6"), p, "stage1.layers.7"))
    h = F.relu(normed(up(h, p, "stage1.layers.10"), p, "stage1.layers.11"))
    return up(h, p, "stage1.layers.14").tanh()


def stage2(p: Weights, image: Tensor, text: Tensor, e: Tensor) -> Tensor:
    mean, log_sigma = of_sentence(p, "stage2", text)
    h = F.relu(conv(image, p, "stage2.encoder.0", padding=1))
    for at in (2, 5):
        name = f"stage2.encoder.{at}"
        h = F.relu(normed(conv(h, p, name, stride=2, padding=1), p, f"stage2.encoder.{at + 1}"))
    c = (mean + log_sigma.exp() * e)[:, :, None, None].expand(-1, -1, 16, 16)
    h = F.relu(normed(conv(torch.cat([h, c], 1), p, "stage2.layers.0", padding=1), p, "stage2.layers.1"))
    kept = h
    h = F.relu(normed(conv(h, p, "stage2.layers.3.layers.0", padding=1), p, "stage2.layers.3.layers.1"))
    h = normed(conv(h, p, "stage2.layers.3.layers.3", padding=1), p, "stage2.layers.3.layers.4")
    h = F.relu(kept + h)
    for at in (5, 9, 13, 17):
        h = F.relu(normed(up(h, p, f"stage2.layers.{at}"), p, f"stage2.layers.{at + 1}"))
    return conv(h, p, "stage2.layers.20", padding=1).tanh()


def judged(p: Weights, x: Tensor, text: Tensor) -> Tensor:
    h, at = leaky(conv(x, p, "layers.0", stride=2, padding=1)), 2
    silent = (5, 7) if x.shape[2] == 64 else (20,)
    while f"layers.{at + 1}.running_mean" not in p and f"layers.{at}.weight" in p:
        kernel = p[f"layers.{at}.weight"].shape[2]
        h = conv(h, p, f"layers.{at}", **({"stride": 2, "padding": 1} if kernel == 4 else {}))
        h = normed(h, p, f"layers.{at + 1}")
        if at not in silent:
            h = leaky(h)
        at += 3 if at not in silent else 2
    h = bottleneck(h, p, f"layers.{at}", leaky)
    t = leaky(text @ p["text.0.weight"].t() + p["text.0.bias"])
    h = torch.cat([h, t[:, :, None, None].expand(-1, -1, 4, 4)], 1)
    h = leaky(normed(conv(h, p, "joined.0"), p, "joined.1"))
    return torch.sigmoid(conv(h, p, "joined.3").flatten())


def learnt(network: nn.Module) -> Weights:
    named = network.named_parameters()
    return {name: p.detach().clone().requires_grad_(p.requires_grad) for name, p in named}


@pytest.mark.parametrize("stage", [1, 2])
def test_steps_equal_a_plain_transcription(stage: Any) -> None:
    size, steps, side = 3, 2, 64 if stage == 1 else 256
    random = torch.Generator().manual_seed(1)
    draw = {"generator": random, "dtype": torch.float64}
    noises = [[torch.randn(size, n, **draw) for n in (3, 2, 2)[: stage + 1]] for _ in range(steps)]
    batches: list[Batch] = [
        {
            "image": torch.rand(size, 3, side, side, **draw) * 2 - 1,
            "wrong_image": torch.rand(size, 3, side, side, **draw) * 2 - 1,
            "text": torch.randn(size, 6, **draw),
        }
        for _ in range(steps)
    ]
    torch.manual_seed(0)
    model = GivenNoise(stage=stage, **SMALL).double()
    with torch.no_grad():
        for parameter in model.generator.parameters():
            parameter *= 3  # else the divergence is nearly 0
    g, d = learnt(model.generator), learnt(model.discriminator)
    model.give([each for noise in noises for each in noise])
    fit(model, batches)

    adam_g, adam_d = (
        torch.optim.Adam([x for x in p.values() if x.requires_grad], 2e-4, (0.5, 0.999)) for p in (g, d)
    )
    for batch, noise in zip(batches, noises, strict=True):
        x, wrong, t = batch["image"], batch["wrong_image"], batch["text"]
        fake = stage1(g, noise[0], t, noise[1])
        if stage == 2:
            fake = stage2(g, fake, t, noise[2])
        loss = -judged(d, x, t).log().mean()
        for image in (wrong, fake.detach()):
            loss = loss - (1 - judged(d, image, t)).log().mean() / 2
        adam_d.zero_grad()
        loss.backward()
        adam_d.step()
        mean, log_sigma = of_sentence(g, f"stage{stage}", t)
        kl = (-log_sigma + ((2 * log_sigma).exp() + mean**2 - 1) / 2).mean()
        adam_g.zero_grad()
        (kl - judged(d, fake, t).log().mean()).backward()
        adam_g.step()
    for network, weights in ((model.generator, g), (model.discriminator, d)):
        for name, value in network.named_parameters():
            gradient = weights[name].grad
            if gradient is None:
                assert stage == 2 and name.startswith("stage1.") and not value.requires_grad
            elif gradient.abs().max() < 1e-12:  # cancelled by the batch norm after it
                continue
            torch.testing.assert_close(value.detach(), weights[name].detach(), rtol=1e-7, atol=1e-9, msg=name)


def test_stage_two_begins_with_stage_one(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    random = torch.Generator().manual_seed(0)
    batch: Batch = {
        "image": torch.rand(2, 3, 64, 64, generator=random),
        "wrong_image": torch.rand(2, 3, 64, 64, generator=random),
        "text": torch.randn(2, 6, generator=random),
    }
    first = StackGAN(**SMALL)
    options = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    loop = pl.Trainer(accelerator="cpu", max_steps=1, enable_checkpointing=False, **options)  # type: ignore[arg-type]
    loop.fit(first, DataLoader([batch], batch_size=None))  # type: ignore[arg-type]
    loop.save_checkpoint(tmp_path / "first.ckpt")
    second = StackGAN(stage=2, **SMALL, init_from=str(tmp_path / "first.ckpt"))
    large = batch | {key: F.interpolate(batch[key], scale_factor=4) for key in ("image", "wrong_image")}
    loop = pl.Trainer(accelerator="cpu", max_steps=1, enable_checkpointing=False, **options)  # type: ignore[arg-type]
    loop.fit(second, DataLoader([large], batch_size=None))  # type: ignore[arg-type]
    for name, value in first.generator.named_parameters():
        assert torch.equal(value, second.generator.get_parameter(name)), name
    said = capsys.readouterr()
    assert "start anew" in said.out + said.err and "untrained" not in said.out + said.err
    loop = pl.Trainer(accelerator="cpu", max_steps=1, enable_checkpointing=False, **options)  # type: ignore[arg-type]
    loop.fit(StackGAN(stage=2, **SMALL), DataLoader([large], batch_size=None))  # type: ignore[arg-type]
    said = capsys.readouterr()
    assert "an untrained Stage-I" in said.out + said.err


def test_other_data_are_refused() -> None:
    model = StackGAN(**SMALL)
    images = torch.zeros(2, 3, 64, 64)
    batch = {"image": images, "wrong_image": images, "text": torch.zeros(2, 6)}
    model.check(batch)
    StackGAN(variant="coco", **SMALL).check({"image": images, "text": torch.zeros(2, 6)})
    for wrong, words in (
        ({"image": images, "text": torch.zeros(2, 6)}, "no wrong_image"),
        (batch | {"image": torch.zeros(2, 3, 32, 32)}, r"3x32x32.* set data\.size to 64, or model\.size"),
        (batch | {"text": torch.zeros(2, 7)}, r"7 numbers, but model\.text_dim is 6"),
    ):
        with pytest.raises(UserError, match=words):
            model.check(wrong)
    with pytest.raises(UserError, match=r"a batch of 2 in 2 parts has less; raise data\.batch_size"):
        StackGAN(**SMALL, accumulate=2).training_step(batch, 0)


# --------------------------------------------------------------------------------------------- the reference


LARGE = [f"forward/stackgan_stage2_{player}_full" for player in ("generator", "discriminator")]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[pytest.mark.slow] if path in LARGE else [], id=path.split("_", 1)[1])
        for path in rule.names("forward/stackgan_*")
    ],
)
def test_forward_equals_the_reference(path: str) -> None:
    fixture = rule.load(path)
    prefix = fixture["seed_prefix"]
    player, arguments, state, _ = convert(StackGAN, rule.state(fixture, prefix))
    with torch.device("meta"):
        model = StackGAN(**arguments)
    network: Any = getattr(model, player)
    assert player in path and count(network) == fixture["parameters"]
    network.to_empty(device="cpu")
    given = {key: rule.given(key, entry, prefix).double() for key, entry in fixture["inputs"].items()}
    for mode, outputs in fixture["outputs"].items():
        network.load_state_dict(state)
        network.double().train(mode == "train")
        with torch.no_grad():
            if player == "generator":
                draws = [given[key] for key in ("eps_stage1", "eps") if key in given]
                images = network(given["noise"], given["text"], iter(draws))
                mean, log_sigma = network.conditioning(given["text"])
                out = {"image": images[-1], "mu": mean, "logvar": 2 * log_sigma, "stage1_image": images[0]}
            else:
                maps = network(given["image"])
                out = {"features": maps}
                out["conditional"] = network.matching(maps, given["mu"]).sigmoid().flatten()
                if network.alone is not None:
                    out["unconditional"] = network.alone(maps).sigmoid().flatten()
        for key, summary in outputs.items():
            rule.assert_summary(out[key], summary)
    for kind, summary in fixture.get("buffers_after_train", {}).items():
        values = (v for k, v in network.state_dict().items() if k.endswith(kind))
        rule.assert_summary(rule.joined(values), summary)


@pytest.mark.parametrize("stage", [1, 2])
def test_training_equals_the_reference(stage: int) -> None:
    fixture = rule.load(f"training/stackgan_stage{stage}")
    prefix, number = fixture["seed_prefix"], len(fixture["losses"])
    inputs = {key: rule.given(key, entry, prefix) for key, entry in fixture["inputs"].items()}
    before, states, arguments = {}, {}, dict[str, Any](variant="coco", stage=stage, halve_every=0)
    for letter in "GD":
        before[letter] = rule.state(fixture["networks"][letter], f"{prefix}{letter}.")
        player, found, converted, _ = convert(StackGAN, before[letter])
        states[player] = converted
        arguments |= found
    model = GivenNoise(**arguments)
    for player, state in states.items():
        getattr(model, player).load_state_dict(state)
    draws = ("noise", "eps") if stage == 1 else ("noise", "eps_stage1", "eps")
    model.give([inputs[f"step{at}.{each}"] for at in range(number) for each in draws])
    losses: list[dict[str, float]] = []

    class Keep(Callback):
        def on_train_batch_end(self, loop: Any, module: Any, outputs: Any, batch: Any, at: int) -> None:
            losses.append({name: float(value) for name, value in outputs.items()})

    batches = [{key: inputs[f"step{i}.{key}"] for key in ("image", "text")} for i in range(number)]
    fit(model, batches, callbacks=[Keep()])
    for ours, wanted in zip(losses, fixture["losses"], strict=True):
        found = {
            "KL": ours["g_kl"] / 2,
            "G_adversarial": ours["g_adversarial"] + ours.get("g_alone", 0),
            "D_real": ours["d_real"] + ours.get("d_real_alone", 0),
            "D_wrong": ours["d_wrong"] * (stage + 1),
            "D_fake": (ours["d_fake"] + ours.get("d_fake_alone", 0)) * (2 if stage == 1 else 1.5),
            "D_total": sum(value for key, value in ours.items() if key.startswith("d_")),
            "G_total": sum(value for key, value in ours.items() if key.startswith("g_")),
        }
        for key, value in wanted.items():
            assert found[key] == pytest.approx(value, rel=1e-5), key
    for letter, player in (("G", "generator"), ("D", "discriminator")):
        start = convert(StackGAN, before[letter])
        now = {**getattr(model, player).state_dict()}
        names = {  # theirs: ours, by the converter's own map on numbered tensors
            key: name
            for key in fixture["after"][letter]
            for name, value in start.weights.items()
            if value.shape == before[letter][key].shape and torch.equal(value, before[letter][key])
        }
        for key, summaries in fixture["after"][letter].items():
            rule.assert_summary(now[names[key]], summaries["value"], rtol=1e-5)
            if "change" in summaries:
                rule.assert_summary(now[names[key]] - before[letter][key], summaries["change"], rtol=1e-5)


def test_converter_refuses_other_networks() -> None:
    with pytest.raises(UserError, match=r"start with main"):
        convert(StackGAN, {"main.0.weight": torch.zeros(1)})
