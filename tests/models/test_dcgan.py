"""DCGAN: networks, losses, updates against a plain transcription, the reference's numbers."""

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
from zoo.errors import UsageError, UserError
from zoo.models.dcgan import DCGAN
from zoo.references.matching import convert

Weights = dict[str, Tensor]
SMALL: dict[str, Any] = {"size": 16, "channels": 1, "width": 2, "latent_dim": 5}


def trainer(**options: Any) -> pl.Trainer:
    """A quiet trainer on the CPU."""
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(**({"accelerator": "cpu", "enable_checkpointing": False} | quiet | options))


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def fit(model: DCGAN, batches: list[Batch], **options: Any) -> None:
    trainer(max_steps=len(batches), **options).fit(model, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------------- networks


def test_parameters_are_those_of_the_released_code_and_of_the_examples() -> None:
    with torch.device("meta"):
        paper, examples = DCGAN(), DCGAN(kernel=4, width=64, noise="gaussian")
    assert (count(paper.generator), count(paper.discriminator)) == (18_885_760, 17_232_768)
    assert (count(examples.generator), count(examples.discriminator)) == (3_576_704, 2_765_568)


@pytest.mark.parametrize("kernel", [5, 4])
@pytest.mark.parametrize("size", [16, 32, 64, 128, 256])
def test_every_size_goes_through_maps_of_4x4(size: Any, kernel: Any) -> None:
    model = DCGAN(size=size, channels=2, width=1, kernel=kernel)
    image = model.sample(2)
    assert image.shape == (2, 2, size, size)
    sides = [maps.shape[-1] for maps in model.features(image)]
    assert sides == [size // 2**level for level in range(1, len(sides) + 1)] and sides[-1] == 4
    assert model.discriminator(image).shape == (2, 1)


def test_batch_norm_is_everywhere_but_next_to_the_image() -> None:
    model = DCGAN(width=1)
    layers = list(model.generator.layers)
    assert [type(layer) for layer in layers[-3:]] == [nn.ReLU, nn.ConvTranspose2d, nn.Tanh]
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in layers) == 3
    assert [len(list(block)) for block in model.discriminator.blocks] == [2, 3, 3, 3]
    assert all(block[-1].negative_slope == 0.2 for block in model.discriminator.blocks)
    assert model.generator.norm.num_features == 16 * 8  # per unit
    assert DCGAN(width=1, kernel=4).generator.norm.num_features == 8  # per channel


def test_initial_weights_are_normal_of_deviation_one_fiftieth() -> None:
    model = DCGAN(width=8)
    for name, values in model.named_parameters():
        if values.ndim > 1 and values.numel() > 5_000:
            assert abs(float(values.detach().mean())) < 1e-3, name
            assert float(values.detach().std()) == pytest.approx(0.02, rel=0.05), name
    gains = model.generator.norm.weight.detach()
    assert float(gains.mean()) == pytest.approx(1, abs=0.005)
    assert float(gains.std()) == pytest.approx(0.02, rel=0.1)
    assert not any(
        "bias" in name and "norm" not in name and values.any() for name, values in model.named_parameters()
    )


def test_noise() -> None:
    z = DCGAN(**SMALL).noise(20_000)
    assert z.abs().max() <= 1 and float(z.var()) == pytest.approx(1 / 3, abs=0.01)
    z = DCGAN(**SMALL, noise="gaussian").noise(20_000)
    assert z.abs().max() > 3 and float(z.var()) == pytest.approx(1, abs=0.02)


def test_statistics_of_the_batch_in_inference() -> None:
    running, batch = DCGAN(**SMALL), DCGAN(**SMALL, statistics="batch")
    assert not [key for key in batch.state_dict() if "running" in key]
    z = torch.rand(8, 5) * 2 - 1
    for model, alone in ((running, True), (batch, False)):
        model.eval()
        with torch.no_grad():
            assert torch.allclose(model.make(z)[:4], model.make(z[:4]), atol=1e-6) == alone
    torch.testing.assert_close(batch.sample(1, 3), batch.sample(40, 3)[:1], rtol=0, atol=0)


# ---------------------------------------------------------------------------------------- a conditional model


def test_a_conditional_model_makes_the_classes_in_turn() -> None:
    model = DCGAN(**SMALL, classes=3)
    z = model.noise(7)
    assert z.shape == (7, 8)
    assert z[:, 5:].argmax(1).tolist() == [0, 1, 2, 0, 1, 2, 0] and (z[:, 5:].sum(1) == 1).all()
    assert model.discriminator.blocks[0][0].in_channels == 4
    image, label = torch.rand(6, 1, 16, 16), torch.tensor([0, 1, 2, 2, 1, 0])
    seen: list[Tensor] = []
    model.discriminator.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model.discriminator_loss({"image": image, "label": label}, image)
    assert torch.equal(seen[0][:, :3].mean(dim=(2, 3)), F.one_hot(label, 3).float())
    assert torch.equal(seen[0][:, 3:], image)


def test_classes_need_labels_below_their_number() -> None:
    model, image = DCGAN(**SMALL, classes=3), torch.zeros(2, 1, 16, 16)
    with pytest.raises(UserError, match=r"set it to 0"):
        model.check({"image": image})
    with pytest.raises(UserError, match=r"class 3 but model\.classes is 3"):
        model.generate({"image": image, "label": torch.tensor([0, 3])})
    with pytest.raises(UsageError, match="conditional"):
        model.features(image)


# -------------------------------------------------------------------- one update beside a plain transcription


class GivenNoise(DCGAN):
    """Noise from a list, in order."""

    def give(self, noises: list[Tensor]) -> None:
        self.noises = iter(noises)

    def _noise(self, count: int) -> Tensor:
        z = next(self.noises)
        assert len(z) == count
        return z.to(self.dtype)


def normed(x: Tensor, p: Weights, name: str) -> Tensor:
    axes = (0,) if x.ndim == 2 else (0, 2, 3)
    shape = (1, -1) if x.ndim == 2 else (1, -1, 1, 1)
    mean = x.mean(axes, keepdim=True)
    var = (x - mean).square().mean(axes, keepdim=True)
    return (x - mean) / (var + 1e-5).sqrt() * p[f"{name}.weight"].view(shape) + p[f"{name}.bias"].view(shape)


def g_forward(p: Weights, z: Tensor) -> Tensor:
    h = normed(z @ p["project.weight"].t(), p, "norm").relu().view(len(z), -1, 4, 4)
    h = F.conv_transpose2d(h, p["layers.0.weight"], stride=2, padding=2, output_padding=1)
    h = normed(h, p, "layers.1").relu()
    return F.conv_transpose2d(h, p["layers.3.weight"], stride=2, padding=2, output_padding=1).tanh()


def d_forward(p: Weights, x: Tensor) -> Tensor:
    h = F.leaky_relu(F.conv2d(x, p["blocks.0.0.weight"], stride=2, padding=2), 0.2)
    h = normed(F.conv2d(h, p["blocks.1.0.weight"], stride=2, padding=2), p, "blocks.1.1")
    return torch.sigmoid(F.leaky_relu(h, 0.2).flatten(1) @ p["last.weight"].t())


def learnt(network: nn.Module) -> Weights:
    return {name: p.detach().clone().requires_grad_() for name, p in network.named_parameters()}


@pytest.mark.parametrize("updates", ["both", "either"])
def test_steps_equal_a_plain_transcription(updates: str) -> None:
    random = torch.Generator().manual_seed(3)
    steps, size = 3, 6
    zs = [torch.rand(size, 5, generator=random).double() * 2 - 1 for _ in range(2 * steps)]
    images = [torch.rand(2 * size, 1, 16, 16, generator=random).double() * 2 - 1 for _ in range(steps)]
    torch.manual_seed(0)
    model = GivenNoise(**SMALL, updates=updates).double()
    g, d = learnt(model.generator), learnt(model.discriminator)
    if updates == "both":
        images = [x[:size] for x in images]
    model.give(list(zs))
    fit(model, [{"image": x} for x in images], precision="64-true")

    adams = [torch.optim.Adam(list(p.values()), 2e-4, (0.5, 0.999)) for p in (g, d)]

    def update_d(x: Tensor, fake: Tensor) -> None:
        loss = -d_forward(d, x).log().mean() - (1 - d_forward(d, fake.detach())).log().mean()
        adams[1].zero_grad()
        loss.backward()
        adams[1].step()

    def update_g(fake: Tensor) -> None:
        adams[0].zero_grad()
        (-d_forward(d, fake).log().mean()).backward()
        adams[0].step()

    for at, x in enumerate(images):
        if updates == "both":
            fake = g_forward(g, zs[at])
            update_d(x, fake)
            update_g(fake)
        else:  # one of the two on each minibatch, as dcgan_code
            update_g(g_forward(g, zs[2 * at]))
            update_d(x[size:], g_forward(g, zs[2 * at + 1]))
    for network, weights in ((model.generator, g), (model.discriminator, d)):
        for name, value in network.named_parameters():
            torch.testing.assert_close(value.detach(), weights[name].detach(), rtol=1e-7, atol=1e-9, msg=name)


def test_several_discriminator_updates_need_minibatches_of_their_own() -> None:
    with pytest.raises(UsageError, match=r"model\.updates either"):
        DCGAN(**SMALL, d_steps=2)
    moves: list[str] = []

    class Watched(DCGAN):
        def update(self, player: Any, *parts: Any) -> Any:
            moves.append(player)
            return super().update(player, *parts)

    model = Watched(**SMALL, updates="either", d_steps=2)
    fit(model, [{"image": torch.rand(6, 1, 16, 16)}] * 2)
    assert moves == ["generator", "discriminator", "discriminator"] * 2


def test_minibatches_that_do_not_divide_are_refused() -> None:
    model = DCGAN(**SMALL, updates="either", d_steps=2, accumulate=2)
    for count in (6, 9):
        with pytest.raises(UserError, match=r"data\.batch_size to a multiple of 6, at least 12"):
            fit(model, [{"image": torch.rand(count, 1, 16, 16)}])


def test_one_image_alone_by_the_statistics_of_a_batch() -> None:
    model = DCGAN(**SMALL, classes=2, statistics="batch").eval()
    batch = {"image": torch.zeros(1, 1, 16, 16), "label": torch.tensor([1])}
    assert model.generate(batch).shape == (1, 1, 16, 16)


def test_other_data_are_refused() -> None:
    model = DCGAN(**SMALL)
    with pytest.raises(UserError, match=r"raise data\.batch_size"):
        model.generate({"image": torch.zeros(1, 1, 16, 16)})
    with pytest.raises(UserError, match="3x16x16 but the model makes 1x16x16"):
        model.check({"image": torch.zeros(1, 3, 16, 16)})
    with pytest.raises(UserError, match="The data give point"):
        model.check({"point": torch.zeros(1, 2)})


# --------------------------------------------------------------------------------------------- the reference


@pytest.mark.parametrize("name", rule.names("forward/dcgan_*"))
def test_forward_equals_the_reference(name: str) -> None:
    fixture = rule.load(name)
    player, arguments, state, _ = convert(DCGAN, rule.state(fixture, fixture["seed_prefix"]))
    assert player in name
    network = getattr(DCGAN(**arguments), player)
    assert count(network) == fixture["parameters"]
    ((key, entry),) = fixture["inputs"].items()
    given = rule.given(key, entry, fixture["seed_prefix"]).double()
    for mode, outputs in fixture["outputs"].items():
        network.load_state_dict(state)
        network.double().train(mode == "train")
        with torch.no_grad():
            out = network(given.flatten(1) if player == "generator" else given)
        rule.assert_summary(out if player == "generator" else out.sigmoid().flatten(), outputs["output"])
    for kind, summary in fixture["buffers_after_train"].items():
        rule.assert_summary(
            rule.joined(v for k, v in network.state_dict().items() if k.endswith(kind)), summary
        )


def test_training_equals_the_reference() -> None:
    fixture = rule.load("training/dcgan")
    prefix = fixture["seed_prefix"]
    inputs = {key: rule.given(key, entry, prefix) for key, entry in fixture["inputs"].items()}
    players, arguments = {}, {}
    for letter in ("G", "D"):
        state = rule.state(fixture["networks"][letter], f"{prefix}{letter}.")
        player, found, converted, _ = convert(DCGAN, state)
        players[letter] = (player, state, converted)
        arguments |= found
    model = GivenNoise(**arguments)
    for player, _, converted in players.values():
        getattr(model, player).load_state_dict(converted)
    number = len(fixture["losses"])
    model.give([inputs[f"step{i}.noise"].flatten(1) for i in range(number)])
    losses: list[dict[str, float]] = []

    class Keep(Callback):
        def on_train_batch_end(self, loop: Any, module: Any, outputs: Any, batch: Any, at: int) -> None:
            losses.append({name: float(value) for name, value in outputs.items()})

    fit(
        model,
        [{"image": inputs[f"step{i}.real"]} for i in range(number)],
        precision="64-true",
        callbacks=[Keep()],
    )
    for ours, wanted in zip(losses, fixture["losses"], strict=True):
        for key, theirs in (("d_real", "D_real"), ("d_fake", "D_fake"), ("g_adversarial", "G")):
            assert ours[key] == pytest.approx(wanted[theirs], rel=1e-5)
    for letter, (player, before, _) in players.items():
        now = back(getattr(model, player).state_dict())
        for key, summaries in fixture["after"][letter].items():
            rule.assert_summary(now[key], summaries["value"], rtol=1e-5)
            if "change" in summaries:
                rule.assert_summary(now[key] - before[key], summaries["change"], rtol=1e-5)


def back(state: Weights) -> Weights:
    """Weights by the reference's names and in its shapes."""
    found = {}
    for key, value in state.items():
        head, *_, rest = key.split(".")
        numbers = [int(part) for part in key.split(".") if part.isdecimal()]
        if head == "project":
            found["main.0.weight"] = value.view(-1, 4, 4, value.shape[1]).permute(3, 0, 1, 2)
        elif head == "norm":
            found[f"main.1.{rest}"] = value
        elif head == "layers":
            found[f"main.{numbers[0] + 3}.{rest}"] = value
        elif head == "last":
            found["main.11.weight"] = value.view(1, -1, 4, 4)
        else:
            block, place = numbers
            found[f"main.{3 * block - 1 + place if block else 0}.{rest}"] = value
    return found


def test_converter_takes_other_sizes_in_any_order() -> None:
    torch.manual_seed(0)
    layers = [nn.ConvTranspose2d(7, 6, 4, bias=False), nn.BatchNorm2d(6), nn.ReLU()]
    layers += [nn.ConvTranspose2d(6, 3, 4, 2, 1, bias=False), nn.BatchNorm2d(3), nn.ReLU()]
    theirs = nn.Sequential(*layers, nn.ConvTranspose2d(3, 1, 4, 2, 1, bias=False), nn.Tanh()).eval()
    state = {f"main.{key}": value for key, value in theirs.state_dict().items()}
    _, arguments, weights, _ = convert(DCGAN, dict(reversed(state.items())))
    model = DCGAN(**arguments).eval()
    model.generator.load_state_dict(weights)
    z = torch.randn(3, 7)
    torch.testing.assert_close(model.make(z), theirs(z[:, :, None, None]))
    assert model.size == 16


def test_foreign_weights_are_refused() -> None:
    with pytest.raises(UserError, match=r"conv1\.weight"):
        convert(DCGAN, {"conv1.weight": torch.zeros(1, 1, 3, 3)})
