"""GAN: players, losses, updates against a plain transcription, the references' numbers, exact resume."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from parity import rule
from torch import Tensor, nn
from torch.utils.data import DataLoader

from zoo.adversarial import Batch
from zoo.data.images.module import Digits
from zoo.data.points import Points
from zoo.errors import UserError
from zoo.losses import nonsaturating, saturating
from zoo.models.gan import GAN, Maxout
from zoo.references.matching import convert

Weights = dict[str, Tensor]
SMALL: dict[str, Any] = {
    "shape": (1, 8, 8),
    "latent_dim": 12,
    "hidden": 16,
    "maxout_units": 6,
    "generator_scale": 0.5,
    "discriminator_scale": 0.5,
}


def trainer(**options: Any) -> pl.Trainer:
    """A quiet trainer on the CPU."""
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(**({"accelerator": "cpu", "enable_checkpointing": False} | quiet | options))


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def weights(module: nn.Module) -> Weights:
    return {name: value.clone() for name, value in module.state_dict().items()}


def equal(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# ---------------------------------------------------------------------------------------------------- players


def test_parameters_are_those_of_the_released_code() -> None:
    with torch.device("meta"):
        gan = GAN()
    assert count(gan.generator) == 2_503_984
    assert count(gan.discriminator) == 1_231_441


def test_parameters_of_the_copied_programs() -> None:
    with torch.device("meta"):
        normed, plain = GAN(players="mlp_bn"), GAN(players="mlp")
    assert (count(normed.generator), count(normed.discriminator)) == (1_510_032, 533_505)
    assert (count(plain.generator), count(plain.discriminator)) == (1_486_352, 1_460_225)


def test_defaults_are_the_papers() -> None:
    gan = GAN(shape=(1, 4, 4))
    assert gan.hparams["loss"] == "nonsaturating" and gan.d_steps == 1 and gan.updates == "alternating"
    assert (gan.lr, gan.momentum(0), gan.momentum(249), gan.momentum(1000)) == (0.1, 0.5, 0.7, 0.7)
    assert gan.momentum(100) == pytest.approx(0.5 + 0.2 * 100 / 249)
    generator = [p for p in gan.generator.parameters() if p.ndim == 2]
    discriminator = [p for p in gan.discriminator.parameters() if p.ndim == 2]
    assert 0.049 < max(p.detach().abs().max().item() for p in generator) < 0.0500001  # rounded to float32
    assert 0.0049 < max(p.detach().abs().max().item() for p in discriminator) < 0.00500001
    assert all(not p.any() for p in gan.parameters() if p.ndim == 1)


def test_maxout_takes_the_largest_of_neighbouring_columns() -> None:
    layer = Maxout(3, units=4, pieces=5)
    x = torch.randn(7, 3)
    columns = x @ layer.linear.weight.t() + layer.linear.bias
    for unit in range(4):
        torch.testing.assert_close(layer(x)[:, unit], columns[:, 5 * unit : 5 * unit + 5].amax(1))


def test_discriminator_drops_a_fifth_of_the_input_and_half_of_each_layer() -> None:
    judge = GAN(**SMALL).discriminator
    seen: list[Tensor] = []
    for layer in (judge.first, judge.second, judge.last):
        layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    x = torch.rand(2_000, 1, 8, 8) + 0.5
    judge(x)
    kept = seen[0] != 0
    assert kept.float().mean() == pytest.approx(0.8, abs=0.01)
    torch.testing.assert_close(seen[0][kept], (x.flatten(1) / 0.8)[kept])
    assert [float((h != 0).float().mean()) for h in seen[1:]] == pytest.approx([0.5, 0.5], abs=0.03)
    judge.eval()
    torch.testing.assert_close(judge(x), judge(x), rtol=0, atol=0)


def test_noise_has_mean_zero_and_variance_one() -> None:
    z = GAN(**SMALL).noise(20_000)
    assert z.abs().max() <= math.sqrt(3) and z.abs().max() > 1.73
    assert float(z.mean()) == pytest.approx(0, abs=0.01) and float(z.var()) == pytest.approx(1, abs=0.01)
    z = GAN(**SMALL, noise="gaussian").noise(20_000)
    assert z.abs().max() > 3 and float(z.var()) == pytest.approx(1, abs=0.02)


# ----------------------------------------------------------------------------------------------------- losses


def test_gradients_where_the_discriminator_is_sure() -> None:
    for loss, expected in ((saturating, 4.5398e-5), (nonsaturating, 0.99995)):
        logit = torch.tensor(-10.0, dtype=torch.float64, requires_grad=True)
        loss(logit).backward()
        assert logit.grad is not None
        assert float(logit.grad) == pytest.approx(-expected, rel=1e-4)


def test_terms_of_a_hand_made_case() -> None:
    gan = GAN(**SMALL, d_weight=0.5)
    terms = gan.verdict(torch.tensor([0.0, math.log(3)]), torch.tensor([0.0, 0.0]))
    assert float(terms["real"]) == pytest.approx(0.5 * -(math.log(0.5) + math.log(0.75)) / 2)
    assert float(terms["fake"]) == pytest.approx(0.5 * math.log(2))


# -------------------------------------------------------------------- one update beside a plain transcription


class GivenNoise(GAN):
    """Noise from a list, in order."""

    def give(self, noises: list[Tensor]) -> None:
        self.noises = iter(noises)

    def noise(self, count: int) -> Tensor:
        z = next(self.noises)
        assert len(z) == count
        return z.to(self.dtype)


def g_forward(p: Weights, z: Tensor) -> Tensor:
    h = (z @ p["first.weight"].t() + p["first.bias"]).clamp(min=0)
    h = (h @ p["second.weight"].t() + p["second.bias"]).clamp(min=0)
    return 1 / (
        1 + torch.exp(-(h @ p["last.weight"].t() + p["last.bias"]))
    )  # in [0, 1], as the paper's pixels


def d_forward(p: Weights, x: Tensor) -> Tensor:
    h = x
    for name in ("first", "second"):
        h = h @ p[f"{name}.linear.weight"].t() + p[f"{name}.linear.bias"]
        h = torch.stack([h[:, i : i + 5].max(1).values for i in range(0, h.shape[1], 5)], dim=1)
    return 1 / (1 + torch.exp(-(h @ p["last.weight"].t() + p["last.bias"])))  # the probability D(x)


def descend(p: Weights, v: Weights, loss: Tensor, lr: float, mu: float) -> Weights:
    """Heavy ball as released: v <- mu v - lr g, then p <- p + v."""
    gradients = torch.autograd.grad(loss, list(p.values()))
    for name, gradient in zip(p, gradients, strict=True):
        v[name] = mu * v[name] - lr * gradient
    return {name: (value + v[name]).detach().requires_grad_() for name, value in p.items()}


def transcription(
    gan: GAN, turns: list[tuple[list[Tensor], list[Tensor]]], simultaneous: bool, d_weight: float, loss: str
) -> tuple[Weights, Weights]:
    """Algorithm 1, or the released joint move; a turn is its real minibatches and its noises."""
    g = {name: p.detach().clone().double().requires_grad_() for name, p in gan.generator.named_parameters()}
    d = {
        name: p.detach().clone().double().requires_grad_() for name, p in gan.discriminator.named_parameters()
    }
    vg, vd = ({name: torch.zeros_like(p) for name, p in player.items()} for player in (g, d))

    def g_loss(z: Tensor) -> Tensor:
        p = d_forward(d, g_forward(g, z))
        return -torch.log(p).mean() if loss == "nonsaturating" else torch.log(1 - p).mean()

    def d_loss(x: Tensor, z: Tensor) -> Tensor:
        value = torch.log(d_forward(d, x)).mean() + torch.log(1 - d_forward(d, g_forward(g, z))).mean()
        return -d_weight * value

    lr = 0.1
    for reals, noises in turns:
        xs = [(x.double().flatten(1) + 1) / 2 for x in reals]
        zs = [z.double() for z in noises]
        if simultaneous:
            lg, ld = g_loss(zs[0]), d_loss(xs[0], zs[0])
            g_new = descend(g, vg, lg, lr, 0.5)
            d = descend(d, vd, ld, lr, 0.5)
            g = g_new
        else:
            for x, z in zip(xs, zs[:-1], strict=True):
                d = descend(d, vd, d_loss(x, z), lr, 0.5)
            g = descend(g, vg, g_loss(zs[-1]), lr, 0.5)
    return g, d


@pytest.mark.parametrize("loss", ["nonsaturating", "saturating"])
@pytest.mark.parametrize(
    ("updates", "k", "accumulate"),
    [
        ("alternating", 1, 1),
        ("alternating", 2, 1),
        ("simultaneous", 1, 1),
        ("alternating", 2, 3),
        ("simultaneous", 1, 2),
    ],
)
def test_updates_equal_a_plain_transcription(loss: Any, updates: Any, k: int, accumulate: int) -> None:
    torch.manual_seed(3)
    size, simultaneous = 6, updates == "simultaneous"
    gan = GivenNoise(
        **SMALL, loss=loss, updates=updates, d_steps=k, d_weight=0.5, keep_input=1.0, keep_hidden=1.0,
        accumulate=accumulate,
    )  # fmt: skip
    turns = [
        (
            [torch.rand(size, 1, 8, 8) * 2 - 1 for _ in range(k)],
            [torch.randn(size, 12) for _ in range(1 if simultaneous else k + 1)],
        )
        for _ in range(2)
    ]
    g, d = transcription(gan, turns, simultaneous, 0.5, loss)
    start = weights(gan)
    gan.give([part for _, noises in turns for z in noises for part in z.chunk(accumulate)])
    batches = [{"image": torch.cat(reals)} for reals, _ in turns]
    loop = trainer(max_steps=2, precision="64-true")
    loop.fit(gan, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    assert loop.global_step == 2
    for player, expected in ((gan.generator, g), (gan.discriminator, d)):
        for name, value in player.named_parameters():
            prefix = "generator" if player is gan.generator else "discriminator"
            before = start[f"{prefix}.{name}"].double()
            change, wanted = value.detach() - before, expected[name].detach() - before
            assert wanted.abs().max() > 1e-7
            # torch's heavy ball and the released one part by the learning rate's decay, 4e-6 an update
            torch.testing.assert_close(change, wanted, rtol=2e-5, atol=float(wanted.abs().max()) * 2e-6)


def test_simultaneous_players_see_the_same_dropout() -> None:
    seen: list[Tensor] = []

    class Spied(GAN):
        def judge(self, x: Tensor) -> Tensor:
            logits = super().judge(x)
            seen.append(logits.detach())
            return logits

    gan = Spied(**SMALL, updates="simultaneous")
    trainer(max_steps=1).fit(gan, datamodule=Digits(batch_size=8))
    through_g, real, through_d = seen
    assert torch.equal(through_g, through_d)
    assert not torch.equal(through_g, real)


def test_schedules_are_stepped_and_floored() -> None:
    gan = GAN(**SMALL, d_steps=2)
    loop = trainer(max_epochs=2, limit_train_batches=3)
    loop.fit(gan, datamodule=Digits(batch_size=8))
    g, d = loop.optimizers
    assert g.param_groups[0]["lr"] == pytest.approx(0.1 / 1.000004**5, rel=1e-12)
    assert d.param_groups[0]["lr"] == pytest.approx(0.1 / 1.000004**5, rel=1e-12)
    assert g.param_groups[0]["momentum"] == d.param_groups[0]["momentum"] == gan.momentum(1) > 0.5
    assert gan.lr * gan._decay(10_000_000) == pytest.approx(1e-6)


def test_each_move_leaves_the_other_player_untouched() -> None:
    class Watched(GAN):
        def update(self, player: Any, *parts: Any) -> Any:
            other = self.discriminator if player == "generator" else self.generator
            mine = self.generator if player == "generator" else self.discriminator
            before, own = weights(other), weights(mine)
            terms = super().update(player, *parts)
            assert equal(before, weights(other)) and not equal(own, weights(mine))
            moves.append(player)
            return terms

    moves: list[str] = []
    batches = Digits(batch_size=8)
    trainer(max_steps=1).fit(Watched(**SMALL, d_steps=2), datamodule=batches)
    assert moves == ["discriminator", "discriminator", "generator"]
    for other in ({"first": "generator"}, {"updates": "simultaneous"}):
        moves.clear()
        trainer(max_steps=1).fit(Watched(**SMALL, **other), datamodule=batches)  # type: ignore[arg-type]
        assert moves == ["generator", "discriminator"]


# --------------------------------------------------------------------------------------------- the references


@pytest.mark.parametrize("name", rule.names("forward/gan_mlp*"))
def test_forward_equals_the_reference(name: str) -> None:
    fixture = rule.load(name)
    player, arguments, state, _ = convert(GAN, rule.state(fixture, fixture["seed_prefix"]))
    assert player in name
    network = getattr(GAN(**arguments), player)
    ((key, entry),) = fixture["inputs"].items()
    given = rule.given(key, entry, fixture["seed_prefix"]).double()
    for mode, outputs in fixture["outputs"].items():
        network.load_state_dict(state)
        network.double().train(mode == "train")
        out = network(given)
        out = out.sigmoid() if player == "discriminator" else out.reshape(outputs["output"]["shape"])
        rule.assert_summary(out, outputs["output"])
    if "buffers_after_train" in fixture:
        for kind, summary in fixture["buffers_after_train"].items():
            buffers = [value for at, value in network.state_dict().items() if at.endswith(kind)]
            rule.assert_summary(rule.joined(buffers), summary)


def test_training_equals_the_reference() -> None:
    fixture = rule.load("training/gan_mlp")
    prefix = fixture["seed_prefix"]
    inputs = {key: rule.given(key, entry, prefix) for key, entry in fixture["inputs"].items()}
    players = {}
    for letter in ("G", "D"):
        state = rule.state(fixture["networks"][letter], f"{prefix}{letter}.")
        player, _, converted, _ = convert(GAN, state)
        players[player] = (letter, state, converted)
    gan = GivenNoise(
        players="mlp_bn", shape=(1, 8, 8), latent_dim=12, optimizer="adam", first="generator", d_weight=0.5
    )
    gan.generator.load_state_dict(players["generator"][2])
    gan.discriminator.load_state_dict(players["discriminator"][2])
    gan.give([inputs[f"step{i}.z"] for i in range(3)])
    losses: list[dict[str, float]] = []

    class Keep(Callback):
        def on_train_batch_end(self, loop: Any, module: Any, outputs: Any, batch: Any, at: int) -> None:
            losses.append({name: float(value) for name, value in outputs.items()})

    batches = [{"image": inputs[f"step{i}.real"]} for i in range(3)]
    trainer(max_steps=3, precision="64-true", callbacks=[Keep()]).fit(
        gan, DataLoader(batches, batch_size=None)
    )  # type: ignore[arg-type]
    for ours, wanted in zip(losses, fixture["losses"], strict=True):
        assert ours["g_adversarial"] == pytest.approx(wanted["G"], rel=1e-5)
        assert 2 * ours["d_real"] == pytest.approx(wanted["D_real"], rel=1e-5)
        assert 2 * ours["d_fake"] == pytest.approx(wanted["D_fake"], rel=1e-5)
        assert ours["d_real"] + ours["d_fake"] == pytest.approx(wanted["D_total"], rel=1e-5)
    for player, (letter, before, _) in players.items():
        now = getattr(gan, player).state_dict()
        for key, summaries in fixture["after"][letter].items():
            value = now[key.replace("model.", "layers.", 1)]
            rule.assert_summary(value, summaries["value"], rtol=1e-5)
            if "change" in summaries:
                rule.assert_summary(value - before[key], summaries["change"], rtol=1e-5)


def test_foreign_weights_are_refused() -> None:
    with pytest.raises(UserError, match=r"conv1\.weight"):
        convert(GAN, {"conv1.weight": torch.zeros(1, 1, 3, 3)})


# -------------------------------------------------------------------------------------------- data and resume


def test_generator_starts_at_the_mean_picture() -> None:
    gan = GAN(**SMALL, lr=1e-9)
    data = Digits(batch_size=1283)
    trainer(max_steps=1).fit(gan, datamodule=data)
    train = data.split("train")
    assert train is not None
    mean = torch.stack([train[i]["image"] for i in range(len(train))]).mean(0)
    made = gan.make(torch.zeros(1, 12))[0]
    torch.testing.assert_close(made, mean, rtol=0, atol=2e-3)
    untouched = GAN(**SMALL, lr=1e-9, marginal_bias=False)
    trainer(max_steps=1).fit(untouched, datamodule=data)
    assert untouched.generator.last.bias.abs().max() < 1e-6  # type: ignore[union-attr]


class Interrupt(Callback):
    """Save after a step and end the run as if killed."""

    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, loop: pl.Trainer, *_: Any) -> None:
        if loop.global_step == self.step:
            loop.save_checkpoint(self.path)
            raise SystemExit


@pytest.mark.parametrize(
    "options", [{}, {"updates": "simultaneous"}, {"optimizer": "adam", "players": "mlp_bn"}]
)
@pytest.mark.parametrize("cut", [3, 5, 7])  # in an epoch, after its last batch, in the second
def test_a_resumed_run_equals_one_that_never_stopped(
    tmp_path: Path, cut: int, options: dict[str, Any]
) -> None:
    def run(callbacks: list[Callback], resume: Path | None = None) -> GAN:
        pl.seed_everything(5, verbose=False)
        gan = GAN(**SMALL, **options)
        loop = trainer(max_epochs=3, limit_train_batches=5, callbacks=callbacks, default_root_dir=tmp_path)
        loop.fit(gan, datamodule=Digits(batch_size=16), ckpt_path=resume)
        assert loop.global_step == 15
        return gan

    whole = run([])
    path = tmp_path / "cut.ckpt"
    with pytest.raises(SystemExit):
        run([Interrupt(cut, path)])
    resumed = run([], path)
    assert equal(weights(whole), weights(resumed))


def test_a_checkpoint_at_an_epochs_end_resumes_exactly(tmp_path: Path) -> None:
    def run(epochs: int, resume: Path | None = None) -> GAN:
        pl.seed_everything(5, verbose=False)
        gan = GAN(**SMALL)
        saver = ModelCheckpoint(tmp_path, "end", save_on_train_epoch_end=True, enable_version_counter=False)
        options: dict[str, Any] = {
            "max_epochs": epochs,
            "limit_train_batches": 4,
            "enable_checkpointing": True,
        }
        trainer(**options, callbacks=[saver]).fit(gan, datamodule=Digits(batch_size=16), ckpt_path=resume)
        return gan

    whole = weights(run(4))
    run(2)
    assert equal(whole, weights(run(4, tmp_path / "end.ckpt")))


def test_a_checkpoint_reloads_to_the_same_sample(tmp_path: Path) -> None:
    gan = GAN(**SMALL)
    loop = trainer(max_steps=2)
    loop.fit(gan, datamodule=Digits(batch_size=16))
    loop.save_checkpoint(tmp_path / "gan.ckpt")
    again = GAN.load_from_checkpoint(tmp_path / "gan.ckpt", weights_only=True)
    assert torch.equal(gan.sample(5, seed=1), again.sample(5, seed=1))


def test_sampling_is_a_function_of_the_seed_alone() -> None:
    gan = GAN(**SMALL, players="mlp_bn").train()
    state = torch.get_rng_state()
    images = gan.sample(9, seed=4)
    assert images.shape == (9, 1, 8, 8) and images.abs().max() <= 1 and not images.requires_grad
    assert torch.equal(images, gan.sample(9, seed=4)) and not torch.equal(images, gan.sample(9, seed=5))
    assert gan.training and torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("players", ["maxout", "mlp_bn", "mlp"])
def test_points_are_played_unbounded(players: Any) -> None:
    gan = GAN(shape=(2,), data_key="point", players=players, latent_dim=4, hidden=16, maxout_units=4)
    trainer(max_steps=2).fit(gan, datamodule=Points("ring", length=64, batch_size=16))
    batch: Batch = {"point": torch.zeros(7, 2)}
    assert gan.preview(batch)["fake"].shape == (7, 2)
    for parameter in gan.generator.parameters():
        nn.init.constant_(parameter, 1.0)
    assert gan.sample(3).max() > 1


def test_wrong_data_are_refused_with_a_sentence() -> None:
    with pytest.raises(UserError, match=r"\[1, 8, 8\].*\[1, 28, 28\]"):
        trainer(max_steps=1).fit(GAN(hidden=4, maxout_units=2), datamodule=Digits(batch_size=8))
    with pytest.raises(UserError, match="data_key"):
        trainer(max_steps=1).fit(GAN(**SMALL, data_key="point"), datamodule=Digits(batch_size=8))
    with pytest.raises(UserError, match=r"model\.lr"):
        GAN(**SMALL, lr=0.0)
    with pytest.raises(UserError, match="d_steps"):
        GAN(**SMALL, d_steps=2, first="generator")
    with pytest.raises(TypeError, match="looss"):
        GAN(**SMALL, looss="saturating")  # type: ignore[call-arg]


def test_dropout_is_active_while_the_generator_learns() -> None:
    gan = GAN(**SMALL).train()
    fake = torch.rand(64, 1, 8, 8)
    one, other = (gan.generator_loss({}, fake)["adversarial"] for _ in range(2))
    assert not torch.equal(one, other)
