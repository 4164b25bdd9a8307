"""GAN-INT-CLS: networks, losses, updates against a plain transcription, the reference's numbers."""

from __future__ import annotations

from pathlib import Path
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
from zoo.errors import UsageError, UserError
from zoo.losses import bce
from zoo.models.gan_int_cls import GANIntCLS, Residual
from zoo.references.matching import convert

Weights = dict[str, Tensor]
SMALL: dict[str, Any] = {
    "text_dim": 6, "latent_dim": 3, "compressed": 2, "width": 1, "discriminator_width": 1,
}  # fmt: skip


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def batch_of(size: int, width: int = 6, seed: int = 0) -> Batch:
    random = torch.Generator().manual_seed(seed)
    images = torch.rand(2, size, 3, 64, 64, generator=random, dtype=torch.float64) * 2 - 1
    text = torch.randn(size, width, generator=random, dtype=torch.float64)
    return {"image": images[0], "wrong_image": images[1], "text": text}


def fit(model: GANIntCLS, batches: list[Batch], **options: Any) -> None:
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
        ({}, 18_909_699, 4_032_321),
        ({"width": 196, "discriminator_width": 196}, 41_107_551, 36_190_557),
        ({"players": "plain"}, 4_756_736, 2_899_072),
    ],
    ids=["birds and flowers", "COCO", "Text-to-Image-Synthesis"],
)
def test_parameters(arguments: dict[str, Any], generator: int, discriminator: int) -> None:
    with torch.device("meta"):
        model = GANIntCLS(**arguments)
    assert (count(model.generator), count(model.discriminator)) == (generator, discriminator)


def test_layers() -> None:
    model = GANIntCLS(**SMALL)
    image = model.sample(torch.zeros(2, 6))
    assert image.shape == (2, 3, 64, 64) and image.abs().max() <= 1
    x, shapes = torch.zeros(2, 5, 1, 1), list[tuple[int, ...]]()
    for layer in model.generator.layers:
        x = layer(x)
        shapes.append(tuple(x.shape[1:3]))
    assert shapes == [(8, 4)] * 3 + [(4, 8)] * 3 + [(2, 16)] * 3 + [(1, 32)] * 3 + [(3, 64)] * 2
    logits, maps = model.discriminator(image, torch.zeros(2, 6))
    assert logits.shape == (2, 1) and maps.shape == (2, 8, 4, 4)
    kinds = [type(layer) for layer in model.discriminator.layers]
    conv, norm, leaky = nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU
    assert kinds == [conv, leaky, conv, norm, leaky, conv, norm, conv, norm, Residual]
    assert sum(isinstance(layer, nn.BatchNorm1d) for layer in model.generator.modules()) == 0


@pytest.mark.parametrize(("size", "count"), [(32, 3), (128, 5)])
def test_other_sizes_have_a_layer_less_or_more(size: Any, count: int) -> None:
    model = GANIntCLS(**SMALL, size=size)
    image = model.sample(torch.zeros(2, 6))
    assert image.shape == (2, 3, size, size)
    logits, maps = model.discriminator(image, torch.zeros(2, 6))
    assert logits.shape == (2, 1) and maps.shape == (2, 8, 4, 4)
    strided = [layer for layer in model.generator.layers if isinstance(layer, nn.ConvTranspose2d)]
    assert len(strided) == count + 1
    with pytest.raises(UsageError, match="64 pixels, not"):
        GANIntCLS(size=size, players="plain")


def test_initial_weights_are_normal_of_deviation_one_fiftieth() -> None:
    model = GANIntCLS(text_dim=8, width=16, discriminator_width=16)
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.weight.numel() > 5_000:
            assert float(layer.weight.detach().std()) == pytest.approx(0.02, rel=0.05), name
            assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_other_images_of_the_batch_matter_to_the_discriminator_with_batch_norm(norm: Any) -> None:
    model = GANIntCLS(**SMALL | {"discriminator_width": 2}, discriminator_norm=norm).double()
    batch = batch_of(4)
    first = model.judge(batch["image"], batch["text"])[0]
    others = torch.cat([batch["image"][:1], batch["wrong_image"][1:]])
    changed = (model.judge(others, batch["text"])[0][0] - first[0]).abs()
    assert (changed < 1e-12) == (norm == "group")
    assert count(model.discriminator) == count(GANIntCLS(**SMALL | {"discriminator_width": 2}).discriminator)


def test_the_copied_networks_have_batch_norm() -> None:
    with pytest.raises(UserError, match=r"leave model\.discriminator_norm out"):
        GANIntCLS(players="plain", discriminator_norm="group")


# ---------------------------------------------------------------------------------------------- interpolation


def test_midpoints_are_of_a_sample_and_its_partner() -> None:
    text = torch.arange(10.0).view(5, 2)
    batch = {"text": text}
    made = GANIntCLS(**SMALL).interpolated(batch)["text"]
    assert torch.equal(made[:5], text) and len(made) == 7
    assert made[5:].tolist() == [[3, 4], [5, 6]]  # of the first and the fourth, the second and the fifth
    assert GANIntCLS(**SMALL, interpolation="none").interpolated(batch) is batch
    assert len(GANIntCLS(**SMALL).interpolated({"text": text[:1]})["text"]) == 1


def test_points_on_the_line_lie_at_most_one_difference_away() -> None:
    text = torch.cat([torch.zeros(500, 6), torch.ones(500, 6)])
    made = GANIntCLS(**SMALL, interpolation="line").interpolated({"text": text})["text"][1000:]
    assert made.shape == (500, 6) and (made == made[:, :1]).all()
    assert -1 <= made.min() < -0.9 and 0.9 < made.max() <= 1


# -------------------------------------------------------------------- one update beside a plain transcription


class GivenNoise(GANIntCLS):
    """Noise from a list, in order."""

    def give(self, noises: list[Tensor]) -> None:
        self.noises = iter(noises)

    def noise(self, count: int) -> Tensor:
        z = next(self.noises)
        assert len(z) == count
        return z.to(self.dtype)


def normed(x: Tensor, p: Weights, name: str) -> Tensor:
    axes, shape = ((0,), (1, -1)) if x.ndim == 2 else ((0, 2, 3), (1, -1, 1, 1))
    mean = x.mean(axes, keepdim=True)
    var = (x - mean).square().mean(axes, keepdim=True)
    return (x - mean) / (var + 1e-5).sqrt() * p[f"{name}.weight"].view(shape) + p[f"{name}.bias"].view(shape)


def leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def conv(x: Tensor, p: Weights, name: str, **how: int) -> Tensor:
    return F.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], **how)


def up(x: Tensor, p: Weights, name: str, **how: int) -> Tensor:
    return F.conv_transpose2d(x, p[f"{name}.weight"], p[f"{name}.bias"], **how)


def residual(x: Tensor, p: Weights, name: str, act: Any) -> Tensor:
    h = act(normed(conv(x, p, f"{name}.layers.0"), p, f"{name}.layers.1"))
    h = act(normed(conv(h, p, f"{name}.layers.3", padding=1), p, f"{name}.layers.4"))
    return act(x + normed(conv(h, p, f"{name}.layers.6", padding=1), p, f"{name}.layers.7"))


def g_forward(p: Weights, z: Tensor, text: Tensor) -> Tensor:
    t = leaky(text @ p["text.0.weight"].t() + p["text.0.bias"])
    h = normed(up(torch.cat([z, t], 1)[:, :, None, None], p, "layers.0"), p, "layers.1")
    h = residual(h, p, "layers.2", F.relu)
    h = normed(up(h, p, "layers.3", stride=2, padding=1), p, "layers.4")
    h = residual(h, p, "layers.5", F.relu)
    for at in (6, 9):
        h = F.relu(normed(up(h, p, f"layers.{at}", stride=2, padding=1), p, f"layers.{at + 1}"))
    return up(h, p, "layers.12", stride=2, padding=1).tanh()


def d_forward(p: Weights, x: Tensor, text: Tensor) -> Tensor:
    h = leaky(conv(x, p, "layers.0", stride=2, padding=1))
    h = leaky(normed(conv(h, p, "layers.2", stride=2, padding=1), p, "layers.3"))
    for at in (5, 7):
        h = normed(conv(h, p, f"layers.{at}", stride=2, padding=1), p, f"layers.{at + 1}")
    h = residual(h, p, "layers.9", leaky)
    t = leaky(normed(text @ p["text.0.weight"].t() + p["text.0.bias"], p, "text.1"))
    h = torch.cat([h, t[:, :, None, None].expand(-1, -1, 4, 4)], 1)
    h = leaky(normed(conv(h, p, "joined.0"), p, "joined.1"))
    return torch.sigmoid(conv(h, p, "joined.3").flatten())


def learnt(network: nn.Module) -> Weights:
    return {name: p.detach().clone().requires_grad_() for name, p in network.named_parameters()}


@pytest.mark.parametrize("zero_biases", [False, True])
def test_steps_equal_a_plain_transcription(zero_biases: bool) -> None:
    size, steps = 4, 3
    random = torch.Generator().manual_seed(1)
    zs = [torch.randn(n, 3, generator=random).double() for n in (size, size + size // 2) * steps]
    batches = [batch_of(size, seed=at) for at in range(steps)]
    torch.manual_seed(0)
    model = GivenNoise(**SMALL, zero_biases=zero_biases).double()
    g, d = learnt(model.generator), learnt(model.discriminator)
    model.give(list(zs))
    fit(model, batches)

    adam_g, adam_d = (torch.optim.Adam(list(p.values()), 2e-4, (0.5, 0.999)) for p in (g, d))
    biases = [
        weights[f"{name}.bias"]
        for network, weights in ((model.generator, g), (model.discriminator, d))
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    ]

    def zero() -> None:
        for bias in biases if zero_biases else ():
            bias.data.zero_()

    for at, batch in enumerate(batches):
        x, wrong, t = batch["image"], batch["wrong_image"], batch["text"]
        zero()
        fake = g_forward(g, zs[2 * at], t).detach()
        real = -d_forward(d, x, t).log().mean()
        rejected = [-(1 - d_forward(d, image, t)).log().mean() for image in (wrong, fake)]
        loss = real + (rejected[0] + rejected[1]) / 2
        adam_d.zero_grad()
        loss.backward()
        adam_d.step()
        zero()
        more = torch.cat([t, (t[: size // 2] + t[size // 2 :]) / 2])
        adam_g.zero_grad()
        (-d_forward(d, g_forward(g, zs[2 * at + 1], more), more).log().mean()).backward()
        adam_g.step()
    for network, weights in ((model.generator, g), (model.discriminator, d)):
        for name, value in network.named_parameters():
            gradient = weights[name].grad
            assert gradient is not None
            if gradient.abs().max() < 1e-12:  # cancelled by the batch norm after it: Adam steps by rounding
                continue
            torch.testing.assert_close(value.detach(), weights[name].detach(), rtol=1e-7, atol=1e-9, msg=name)


def test_without_mismatches() -> None:
    model, batch = GANIntCLS(**SMALL, wrong_weight=0, fake_weight=1).double(), batch_of(3)
    terms = model.discriminator_loss(batch, batch["wrong_image"])
    assert sorted(terms) == ["fake", "real"]
    logits = model.judge(batch["wrong_image"], batch["text"])[0]
    torch.testing.assert_close(terms["fake"], bce(logits, 0.0))


def test_the_rate_is_halved() -> None:
    optimizers, schedulers = GANIntCLS(**SMALL, halve_every=2).configure_optimizers()  # type: ignore[misc]
    rates = []
    for _ in range(5):
        rates.append(optimizers[0].param_groups[0]["lr"] / 2e-4)  # type: ignore[index]
        for optimizer, scheduler in zip(optimizers, schedulers, strict=True):  # type: ignore[call-overload]
            optimizer.step()
            scheduler.step()
    assert rates == [1, 1, 0.5, 0.5, 0.25]
    assert isinstance(GANIntCLS(**SMALL, halve_every=0).configure_optimizers(), list)


def test_other_data_are_refused() -> None:
    model, batch = GANIntCLS(**SMALL), batch_of(2)
    model.check(batch)
    for wrong, words in (
        ({"image": batch["image"]}, "no text and no wrong_image"),
        (batch | {"image": torch.zeros(2, 3, 32, 32)}, r"3x32x32.* set data\.size to 64, or model\.size"),
        (batch | {"text": torch.zeros(2, 7)}, r"7 numbers, but model\.text_dim is 6"),
    ):
        with pytest.raises(UserError, match=words):
            model.check(wrong)
    with pytest.raises(UserError, match=r"a batch of 2 in 2 parts has less; raise data\.batch_size"):
        GANIntCLS(**SMALL, accumulate=2).training_step(batch, 0)


# ----------------------------------------------------------------------------------------------------- style


def test_the_style_encoder_learns_to_invert_the_frozen_generator(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    game = GANIntCLS(**SMALL | {"width": 2, "discriminator_width": 2}, size=32)
    batch = {key: value[..., :32, :32] if "image" in key else value for key, value in batch_of(8).items()}
    fit(game, [batch])
    assert game.trainer is not None
    game.trainer.save_checkpoint(tmp_path / "game.ckpt")
    game.eval()
    settings = SMALL | {
        "width": 2,
        "discriminator_width": 2,
        "size": 32,
        "style": True,
        "learning_rate": 0.01,
    }
    model = GANIntCLS(**settings, init_from=str(tmp_path / "game.ckpt"))
    losses: list[float] = []

    class Keep(Callback):
        def on_train_batch_end(self, loop: Any, module: Any, outputs: Any, batch: Any, at: int) -> None:
            assert list(outputs) == ["g_style"]
            losses.append(float(outputs["g_style"]))

    fit(model, [batch] * 120, callbacks=[Keep()])
    said = capsys.readouterr()
    assert "start anew" in said.out + said.err and "untrained" not in said.out + said.err
    for name, value in game.generator.state_dict().items():
        assert torch.equal(value, model.generator.state_dict()[name]), name  # its statistics rest too
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])
    # of |z - S|^2 with z from N(0, 1) and 3 numbers, a constant answer has 3
    text, z = batch["text"], torch.randn(8, 3, dtype=torch.float64)
    model.eval()
    with torch.no_grad():
        image = model.make(z, text)
    found = model.sample(text, style=image)
    expected = model.make(model.style_of(image), text)
    torch.testing.assert_close(found, expected.detach())
    one = model.sample(text, style=image[:1])
    assert one.shape == image.shape and not torch.equal(one[1:], found[1:])


def test_what_needs_a_style_encoder_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match=r"no style encoder; train one with model\.style true"):
        GANIntCLS(**SMALL).sample(torch.zeros(1, 6), style=torch.zeros(1, 3, 64, 64))
    with pytest.raises(UsageError, match="and has no style encoder"):
        GANIntCLS(players="plain", style=True)
    fit(GANIntCLS(**SMALL, style=True), [batch_of(2)])
    said = capsys.readouterr()
    assert "needs model.init_from" in said.out + said.err


# --------------------------------------------------------------------------------------------- the reference

THEIRS: dict[str, Any] = {
    "interpolation": "none", "wrong_weight": 1.0, "fake_weight": 1.0, "real_target": 0.9,
    "lambda_matching": 100.0, "lambda_l1": 50.0, "halve_every": 0,
}  # fmt: skip


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_forward_equals_the_reference(player: str) -> None:
    fixture = rule.load(f"forward/gan_int_cls_{player}")
    prefix = fixture["seed_prefix"]
    found, arguments, state, _ = convert(GANIntCLS, rule.state(fixture, prefix))
    network = getattr(GANIntCLS(**arguments), player)
    assert found == player and count(network) == fixture["parameters"]
    given = {key: rule.given(key, entry, prefix).double() for key, entry in fixture["inputs"].items()}
    first = given["noise"].flatten(1) if player == "generator" else given["image"]
    for mode, outputs in fixture["outputs"].items():
        network.load_state_dict(state)
        network.double().train(mode == "train")
        with torch.no_grad():
            out = network(first, given["text"])
        if player == "generator":
            rule.assert_summary(out, outputs["output"])
        else:
            rule.assert_summary(out[0].sigmoid().flatten(), outputs["probability"])
            rule.assert_summary(out[1], outputs["features"])
    for kind, summary in fixture["buffers_after_train"].items():
        values = (v for k, v in network.state_dict().items() if k.endswith(kind))
        rule.assert_summary(rule.joined(values), summary)


def test_training_equals_the_reference() -> None:
    fixture = rule.load("training/gan_int_cls")
    prefix, number = fixture["seed_prefix"], len(fixture["losses"])
    inputs = {key: rule.given(key, entry, prefix) for key, entry in fixture["inputs"].items()}
    before, states, arguments = {}, {}, dict(THEIRS)
    for letter in "GD":
        before[letter] = rule.state(fixture["networks"][letter], f"{prefix}{letter}.")
        player, found, converted, _ = convert(GANIntCLS, before[letter])
        states[player] = converted
        arguments |= found
    model = GivenNoise(**arguments)
    for player, state in states.items():
        getattr(model, player).load_state_dict(state)
    model.give([inputs[f"step{i}.noise_{letter}"] for i in range(number) for letter in "dg"])
    losses: list[dict[str, float]] = []

    class Keep(Callback):
        def on_train_batch_end(self, loop: Any, module: Any, outputs: Any, batch: Any, at: int) -> None:
            losses.append({name: float(value) for name, value in outputs.items()})

    keys = {"image": "right", "wrong_image": "wrong", "text": "text"}
    batches = [{key: inputs[f"step{i}.{theirs}"] for key, theirs in keys.items()} for i in range(number)]
    fit(model, batches, callbacks=[Keep()])
    for ours, wanted in zip(losses, fixture["losses"], strict=True):
        for key, theirs in (
            ("d_real", "D_real"),
            ("d_wrong", "D_wrong"),
            ("d_fake", "D_fake"),
            ("g_adversarial", "G_adversarial"),
        ):
            assert ours[key] == pytest.approx(wanted[theirs], rel=1e-5)
        total = sum(value for key, value in ours.items() if key.startswith("g_"))
        assert total == pytest.approx(wanted["G_total"], rel=1e-5)
    names = {"G": {"text": "projection", "layers": "netG"},
             "D": {"text": "projector.projection", "layers": "netD_1", "last": "netD_2.0"}}  # fmt: skip
    for letter, player in (("G", "generator"), ("D", "discriminator")):
        now = {}
        for key, value in getattr(model, player).state_dict().items():
            head, _, rest = key.partition(".")
            now[f"{names[letter][head]}.{rest}"] = value
        for key, summaries in fixture["after"][letter].items():
            rule.assert_summary(now[key], summaries["value"], rtol=1e-5)
            if "change" in summaries:
                rule.assert_summary(now[key] - before[letter][key], summaries["change"], rtol=1e-5)


def test_converter_refuses_other_networks() -> None:
    with pytest.raises(UserError, match=r"start with main"):
        convert(GANIntCLS, {"main.0.weight": torch.zeros(1)})
