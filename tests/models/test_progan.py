"""ProGAN: blocks, growth, updates against a plain transcription, schedule, exact resume, pytorch_GAN_zoo."""

from __future__ import annotations

import math
from itertools import pairwise
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

from zoo.checkpoints import export
from zoo.data.base import DataModule, Sample, SampleSet, Split
from zoo.errors import UsageError, UserError
from zoo.models.progan import (
    Discriminator,
    EqualConv,
    EqualLinear,
    Generator,
    Phase,
    ProGAN,
    minibatch_deviation,
    pixel_norm,
)
from zoo.references.matching import convert

Weights = dict[str, Tensor]
SMALL: dict[str, Any] = {"size": 8, "channels": 2, "latent_dim": 5, "base": 12, "most": 6}
QUICK: dict[str, Any] = {"minibatches": (6,), "stable_images": 6, "fade_images": 12}


class Noise(SampleSet):
    """Random pictures (2, 8, 8), the same for every process."""

    length = 9

    def load(self, index: int) -> Sample:
        random = torch.Generator().manual_seed(index)
        return {"image": torch.randint(0, 256, (2, 8, 8), generator=random, dtype=torch.uint8)}

    def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
        if random is not None and torch.rand((), generator=random) < 0.5:
            return {"image": loaded["image"].flip(-1)}
        return loaded


class Pictures(DataModule):
    """Fewer pictures than phases show, half of them mirrored in training."""

    contract = "images"

    def dataset(self, split: Split) -> SampleSet | None:
        return Noise() if split == "train" else None


def data(**options: Any) -> Pictures:
    return Pictures(**{"batch_size": 2, "seed": 1} | options)


def trainer(**options: Any) -> pl.Trainer:
    """A quiet trainer on the CPU."""
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(**({"accelerator": "cpu", "enable_checkpointing": False} | quiet | options))


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# ---------------------------------------------------------------------------------------------------- players


@pytest.mark.parametrize(
    ("size", "generator", "discriminator"),
    [
        (128, 22_933_394, 22_941_313),
        (256, 23_044_309, 23_052_353),
        (512, 23_072_120, 23_080_225),
        (1024, 23_079_115, 23_087_249),
    ],
)
def test_parameters_are_those_of_the_paper(size: int, generator: int, discriminator: int) -> None:
    with torch.device("meta"):
        players = ProGAN(size=size)
        position = ProGAN(size=size, first_bias="position")
    assert (count(players.generator), count(players.discriminator)) == (generator, discriminator)
    assert count(position.generator) == generator + 8192 - 512
    widths = [layer.in_channels for layer in players.generator.to_rgb]  # type: ignore[union-attr]
    assert widths == [512, 512, 512, 512, 256, 128, 64, 32, 16][: len(widths)]


def test_defaults_are_the_papers() -> None:
    with torch.device("meta"):
        gan = ProGAN()
    assert (gan.ema, gan.rates, gan.betas) == (0.999, [0.001] * 9, (0.0, 0.99))
    assert (gan.lambda_gp, gan.target_norm, gan.lambda_drift) == (10, 1, 0.001)
    (group,) = gan.configure_optimizers()[0].param_groups
    assert (group["lr"], group["betas"], group["eps"]) == (0.001, (0.0, 0.99), 1e-8)
    assert gan.phases[0] == Phase(0, False, 16, 800_000) and len(gan.phases) == 17
    assert all(p.images == 800_000 for p in gan.phases)
    assert [(p.side, p.minibatch) for p in gan.phases if not p.fades] == [
        *((4 << level, 16) for level in range(6)), (256, 14), (512, 6), (1024, 3),
    ]  # fmt: skip
    assert [p.fades for p in gan.phases] == [False] + [True, False] * 8
    assert gan.phases[11].batches(1) == 50_000 - 0 + (57_143 - 50_000) and gan.phases[1].batches(2) == 25_000


def test_resolutions_have_their_own_numbers() -> None:
    with torch.device("meta"):
        gan = ProGAN(size=32, minibatches="code", fade_images=(10, 20), stable_images=(1, 2, 3))
        direct = ProGAN(size=32, start_size=32)
    assert gan.phases == [
        Phase(0, False, 128, 1),
        Phase(1, True, 128, 10), Phase(1, False, 128, 2),
        Phase(2, True, 128, 20), Phase(2, False, 128, 3),
        Phase(3, True, 64, 20), Phase(3, False, 64, 3),
    ]  # fmt: skip
    assert direct.phases == [Phase(3, False, 16, 800_000)]


@pytest.mark.parametrize("size", [4, 8, 32])
def test_shapes_at_every_resolution(size: int) -> None:
    gan = ProGAN(size=size, base=64, most=8, latent_dim=6, channels=1)
    for level in range(len(gan.generator.to_rgb)):
        side = 4 * 2**level
        gan.grow(level, 1.0)
        assert gan.make(gan.noise(3)).shape == (3, 1, side, side)
        assert gan.judge(torch.randn(3, 1, side, side)).shape == (3, 1)
    assert gan.generator.side == size


def test_pixel_norm_by_hand() -> None:
    x = torch.tensor([[3.0, 0.0], [4.0, 0.0]], dtype=torch.float64).T[..., None]  # pixels (3, 4) and (0, 0)
    root = math.sqrt((9 + 16) / 2 + 1e-8)
    expected = torch.tensor([[3 / root, 4 / root], [0, 0]], dtype=torch.float64)[..., None]
    torch.testing.assert_close(pixel_norm(x), expected, rtol=1e-12, atol=0)
    assert pixel_norm(torch.randn(2, 8, 3).bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("samples", "groups"), [(8, [4, 4]), (14, [4, 4, 3, 3]), (5, [3, 2]), (3, [3]), (1, [1])]
)
def test_deviation_of_the_minibatch_by_hand(samples: int, groups: list[int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(samples, 3, 2, 2, dtype=torch.float64)
    found = minibatch_deviation(x, 4)
    assert torch.equal(found[:, :3], x) and found.shape == (samples, 4, 2, 2)
    start = 0
    for size in groups:
        part = x[start : start + size]
        total = 0.0
        for feature in part.flatten(1).T.tolist():
            mean = sum(feature) / size
            total += math.sqrt(sum((value - mean) ** 2 for value in feature) / size + 1e-8)
        maps = found[start : start + size, 3]
        torch.testing.assert_close(maps, torch.full_like(maps, total / 12), rtol=1e-12, atol=0)
        start += size


def test_layers_have_an_equalised_rate() -> None:
    torch.manual_seed(0)
    conv, dense = EqualConv(20, 30, 3), EqualLinear(100, 300, gain=1.0)
    for layer in (conv, dense):
        assert float(layer.weight.detach().std()) == pytest.approx(1, abs=0.02) and not layer.bias.any()
        nn.init.normal_(layer.bias)
    x = torch.randn(2, 20, 5, 5)
    expected = F.conv2d(x, conv.weight * math.sqrt(2 / (20 * 9)), conv.bias, padding=1)
    torch.testing.assert_close(conv(x), expected)
    v = torch.randn(2, 100)
    torch.testing.assert_close(dense(v), v @ dense.weight.T / 10 + dense.bias)
    gan = ProGAN(**SMALL)
    assert gan.generator.dense.scale == pytest.approx(math.sqrt(2 / (16 * 5)))  # 4 x 4 on one pixel
    assert gan.generator.to_rgb[0].scale == pytest.approx(1 / math.sqrt(6))
    assert gan.discriminator.last.scale == pytest.approx(1 / math.sqrt(6))  # type: ignore[union-attr]


def test_new_layers_are_faded_in() -> None:
    torch.manual_seed(0)
    gan = ProGAN(**SMALL | {"size": 16}).double()
    z, x = torch.randn(3, 5).double(), torch.randn(3, 2, 16, 16).double()
    g, d = gan.generator, gan.discriminator
    low, high = g(z, 1).repeat_interleave(2, 2).repeat_interleave(2, 3), g(z, 2)
    assert not torch.allclose(low, high)
    for alpha in (0.0, 0.5, 1.0):
        share = torch.tensor(alpha, dtype=torch.float64)
        torch.testing.assert_close(g(z, 2, share), low * (1 - alpha) + high * alpha)
    halved = x.unflatten(2, (8, 2)).unflatten(4, (8, 2)).mean((3, 5))
    zero, one = torch.tensor(0.0).double(), torch.tensor(1.0).double()
    torch.testing.assert_close(d(x, zero), d(halved))
    torch.testing.assert_close(d(x, one), d(x))
    # half of either, right before the layers of 8 pixels
    seen: list[Tensor] = []
    d.blocks[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    for share in (zero, one, torch.tensor(0.5).double()):
        d(x, share)
    torch.testing.assert_close(seen[2], (seen[0] + seen[1]) / 2)


def test_real_pictures_are_blended_as_generated_ones_are() -> None:
    gan = ProGAN(**SMALL)
    x = torch.rand(2, 2, 8, 8) * 2 - 1
    halved = x.unflatten(2, (4, 2)).unflatten(4, (4, 2)).mean((3, 5))
    gan.grow(1, 0.25)
    blocks = halved.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(gan.real({"image": x}), 0.75 * blocks + 0.25 * x)
    gan.grow(0, 1.0)
    torch.testing.assert_close(gan.real({"image": x}), halved)  # a batch of evaluation is full size


# ----------------------------------------------------------------------------------------------------- losses


class Plane(nn.Module):
    """D(x) = w . x, whose gradient is w everywhere."""

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, x: Tensor, alpha: Tensor | None = None) -> Tensor:
        return (x * self.w).sum((1, 2, 3))[:, None]


def test_terms_of_a_hand_made_case() -> None:
    gan = ProGAN(**SMALL, target_norm=2.0, lambda_gp=10.0, lambda_drift=0.5)
    gan.discriminator = Plane(torch.full((2, 8, 8), 0.5))  # its norm is sqrt(128 / 4)
    real, fake = torch.full((2, 2, 8, 8), 0.25), torch.full((2, 2, 8, 8), -0.5)
    terms = gan.discriminator_loss({"image": real}, fake)
    of_real, of_fake = 128 * 0.5 * 0.25, 128 * 0.5 * -0.5
    assert terms["critic"].item() == pytest.approx(of_fake - of_real)
    assert terms["penalty"].item() == pytest.approx(10 * (math.sqrt(32) / 2 - 1) ** 2)
    assert terms["drift"].item() == pytest.approx(0.5 * of_real**2)
    assert gan.generator_loss({}, fake)["adversarial"].item() == pytest.approx(-of_fake)


def test_the_penalty_is_exact_in_mixed_precision() -> None:
    torch.manual_seed(0)
    gan = ProGAN(**SMALL)
    real, fake = torch.rand(4, 2, 8, 8).bfloat16(), torch.rand(4, 2, 8, 8).bfloat16()
    found = []
    for mixed in (True, False):
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            found.append(gan.penalty(real, fake))
    assert found[0].dtype == torch.float32 and torch.equal(*found)
    found[0].backward()
    assert all(bool(p.grad.isfinite().all()) for p in gan.discriminator.parameters() if p.grad is not None)


# -------------------------------------------------------------------- updates beside a plain transcription


class Recorded(ProGAN):
    """Keeps what each step has seen and drawn."""

    def on_fit_start(self) -> None:
        super().on_fit_start()
        self.steps: list[dict[str, Any]] = []

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_start(batch, batch_idx)
        self.steps.append({"x": batch["image"].clone(), "alpha": self.generator.alpha})

    def noise(self, count: int) -> Tensor:
        z = super().noise(count)
        self.steps[-1]["z"] = z
        return z

    def penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            self.steps[-1]["share"] = torch.rand(len(real), 1, 1, 1).double()
        return super().penalty(real, fake)


def conv(p: Weights, name: str, x: Tensor, gain: float = math.sqrt(2)) -> Tensor:
    w = p[f"{name}.weight"]
    scaled = w * gain / math.sqrt(w.shape[1] * w.shape[2] * w.shape[3])
    return F.conv2d(x, scaled, padding=w.shape[2] // 2) + p[f"{name}.bias"][:, None, None]


def leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def normed(x: Tensor) -> Tensor:
    return x / ((x * x).mean(1, keepdim=True) + 1e-8).sqrt()


def doubled(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def halved(x: Tensor) -> Tensor:
    return (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4


def g_forward(p: Weights, z: Tensor, side: int, alpha: float) -> Tensor:
    dense = normed(z) @ p["dense.weight"].T * (math.sqrt(2) / math.sqrt(16 * z.shape[1]))
    x = normed(leaky(dense.view(len(z), -1, 4, 4) + p["dense_bias"]))
    x = normed(leaky(conv(p, "conv", x)))
    small = conv(p, "to_rgb.0", x, 1.0)
    if side == 4:
        return small
    x = normed(leaky(conv(p, "blocks.0.first", doubled(x))))
    x = normed(leaky(conv(p, "blocks.0.second", x)))
    return alpha * conv(p, "to_rgb.1", x, 1.0) + (1 - alpha) * doubled(small)


def d_forward(p: Weights, x: Tensor, alpha: float) -> Tensor:
    if x.shape[-1] == 4:
        h = leaky(conv(p, "from_rgb.0", x))
    else:
        h = leaky(conv(p, "from_rgb.1", x))
        h = leaky(conv(p, "blocks.0.second", leaky(conv(p, "blocks.0.first", h))))
        h = alpha * halved(h) + (1 - alpha) * leaky(conv(p, "from_rgb.0", halved(x)))
    thirds = h.chunk(2)  # 6 samples, in groups of 3
    spread = [((t - t.mean(0)).square().mean(0) + 1e-8).sqrt().mean().expand(3, 1, 4, 4) for t in thirds]
    h = leaky(conv(p, "conv", torch.cat([h, torch.cat(spread)], 1))).flatten(1)
    h = leaky(h @ p["dense.weight"].T * math.sqrt(2 / h.shape[1]) + p["dense.bias"])
    return h @ p["last.weight"].T / math.sqrt(h.shape[1]) + p["last.bias"]


class Adam:
    """Kingma and Ba's algorithm 1 with beta 1 = 0, beta 2 = 0.99; unused parameters keep their state."""

    def __init__(self, p: Weights) -> None:
        self.v = {name: torch.zeros_like(value) for name, value in p.items()}
        self.steps = dict.fromkeys(p, 0)

    def __call__(self, p: Weights, loss: Tensor) -> Weights:
        gradients = torch.autograd.grad(loss, list(p.values()), allow_unused=True)
        moved = {}
        for (name, value), g in zip(p.items(), gradients, strict=True):
            step = torch.zeros(())
            if g is not None:
                self.steps[name] += 1
                self.v[name] = 0.99 * self.v[name] + 0.01 * g * g
                step = 0.001 * g / ((self.v[name] / (1 - 0.99 ** self.steps[name])).sqrt() + 1e-8)
            moved[name] = (value - step).detach().requires_grad_()
        return moved


def test_updates_equal_a_plain_transcription() -> None:
    """A step at 4 pixels, two of a fade, one at 8; D, then G on the same fakes, then the average."""
    pl.seed_everything(3, verbose=False)
    gan = Recorded(**SMALL, **QUICK)
    g, d = (
        {name: p.detach().clone().double().requires_grad_() for name, p in player.named_parameters()}
        for player in (gan.generator, gan.discriminator)
    )
    average = {name: p.detach() for name, p in g.items()}
    trainer(max_epochs=3, precision="64-true").fit(gan, datamodule=data())
    assert [(s["x"].shape[-1], s["alpha"]) for s in gan.steps] == [(4, 1.0), (8, 0.5), (8, 1.0), (8, 1.0)]

    update_g, update_d = Adam(g), Adam(d)
    before = {"generator": g, "discriminator": d}
    for number, seen in enumerate(gan.steps):
        real, z, alpha, share = (seen[key] for key in ("x", "z", "alpha", "share"))
        if alpha < 1:
            real = alpha * real + (1 - alpha) * doubled(halved(real))
        fake = g_forward(g, z, real.shape[-1], alpha).detach()
        between = (share * real + (1 - share) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(d_forward(d, between, alpha).sum(), between, create_graph=True)
        norms = slope.square().sum((1, 2, 3)).sqrt()
        of_real, of_fake = d_forward(d, real, alpha), d_forward(d, fake, alpha)
        loss = of_fake.mean() - of_real.mean() + 10 * ((norms - 1) ** 2).mean() + 0.001 * (of_real**2).mean()
        d = update_d(d, loss)
        g = update_g(g, -d_forward(d, g_forward(g, z, real.shape[-1], alpha), alpha).mean())
        age = number and number - 1  # the average begins anew when layers come, with the second step
        decay = (1 + age) / (10 + age)
        average = {name: decay * average[name] + (1 - decay) * p.detach() for name, p in g.items()}

    for player, expected in (("generator", g), ("discriminator", d)):
        for name, value in getattr(gan, player).named_parameters():
            change = expected[name] - before[player][name]
            assert change.abs().max() > 1e-4, name
            torch.testing.assert_close(value - before[player][name], change, rtol=1e-7, atol=1e-10)
    assert gan.generator_ema is not None
    for name, value in gan.generator_ema.named_parameters():
        torch.testing.assert_close(value, average[name], rtol=1e-7, atol=1e-10)


def test_micro_batches_equal_the_whole_minibatch(monkeypatch: pytest.MonkeyPatch) -> None:
    """With groups that micro-batches do not cut, and the same noise."""
    noise = torch.randn(8, 5, generator=torch.Generator().manual_seed(0)).double()
    monkeypatch.setattr(torch, "rand", lambda *size, **_: torch.full(size if size[0] else (), 0.3))

    class GivenNoise(ProGAN):
        place = 0

        def noise(self, count: int) -> Tensor:
            start, self.place = self.place, (self.place + count) % 8
            return noise[start : start + count]

    trained = []
    for accumulate in (1, 2):
        pl.seed_everything(3, verbose=False)
        gan = GivenNoise(**SMALL, minibatches=(8,), fade_images=24, stable_images=8, accumulate=accumulate)
        trainer(max_steps=2, precision="64-true").fit(gan, datamodule=data())
        trained.append(gan)
    assert trained[0].generator.alpha == pytest.approx(1 / 3)
    whole, parts = (gan.state_dict() for gan in trained)
    for key, value in whole.items():
        torch.testing.assert_close(parts[key], value, rtol=1e-9, atol=1e-9)


# ---------------------------------------------------------------------------------------- schedule and resume


class Watch(Callback):
    """What each step shows: epoch, number of pictures, side, alpha; both players' learning rates."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int, int, float]] = []
        self.rates: list[float] = []

    def on_train_batch_end(self, loop: Any, module: Any, outputs: Any, batch: Any, at: int) -> None:
        images = batch["image"]
        self.steps.append((loop.current_epoch, len(images), images.shape[-1], module.generator.alpha))
        self.rates += [optimizer.param_groups[0]["lr"] for optimizer in loop.optimizers]


def test_a_run_follows_the_schedule(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Watch()
    gan = ProGAN(**SMALL, minibatches=(5, 2), stable_images=(11, 3), fade_images=8, lr=(0.25, 0.5))
    trainer(max_epochs=3, callbacks=[watch]).fit(gan, datamodule=data())
    fade = [(1, 2, 8, alpha) for alpha in (0.25, 0.5, 0.75, 1.0)]
    assert watch.steps == [(0, 5, 4, 1.0)] * 3 + fade + [(2, 2, 8, 1.0)] * 2
    assert watch.rates == [0.25] * 6 + [0.5] * 12
    assert "The schedule" not in capsys.readouterr().err
    for other in ({"max_epochs": 2}, {"max_epochs": 4}, {"max_steps": 8}):
        run: dict[str, Any] = other
        trainer(**run).fit(ProGAN(**SMALL, **QUICK, ema=0.0), datamodule=data())
        said = capsys.readouterr().err
        steps_suffice = other == {"max_steps": 8}
        assert ("has 3 phases of 4 steps in all" in said and "max_epochs to 3" in said) != steps_suffice
    assert gan.generator.side == 8


class Interrupt(Callback):
    """Save after a step and end the run as if killed."""

    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, loop: pl.Trainer, *_: Any) -> None:
        if loop.global_step == self.step:
            loop.save_checkpoint(self.path)
            raise SystemExit


def test_a_resumed_run_equals_one_that_never_stopped(tmp_path: Path) -> None:
    def run(callbacks: list[Callback], resume: Path | None = None) -> tuple[Weights, Watch]:
        pl.seed_everything(5, verbose=False)
        options: dict[str, Any] = {"minibatches": (4, 2), "lr": (0.001, 0.002)}
        gan, watch = ProGAN(**SMALL, **options, stable_images=10, fade_images=8), Watch()
        loop = trainer(max_epochs=3, callbacks=[watch, *callbacks], default_root_dir=tmp_path)
        loop.fit(gan, datamodule=data(seed=None), ckpt_path=resume)
        assert loop.global_step == 12
        return gan.state_dict(), watch

    whole, watched = run([])
    path = tmp_path / "cut.ckpt"
    for cut in (2, 3, 5, 7):  # at 4 px, before the change to 8, in the middle of the fade, at its end
        with pytest.raises(SystemExit):
            run([Interrupt(cut, path)])
        resumed, rest = run([], path)
        assert same(whole, resumed) and rest.steps == watched.steps[cut:]
    assert watched.steps[4][2:] == (8, 0.5) and watched.steps[3][2:] == (8, 0.25)


def test_a_checkpoint_knows_how_far_it_has_grown(tmp_path: Path) -> None:
    gan = ProGAN(**SMALL, **QUICK)
    loop = trainer(max_steps=2)
    loop.fit(gan, datamodule=data())
    loop.save_checkpoint(tmp_path / "fading.ckpt")
    expected = gan.sample(3, seed=1)
    assert expected.shape == (3, 2, 8, 8) and gan.settings_in_use() == {"resolution": 8, "alpha": 0.5}
    again = ProGAN.load_from_checkpoint(tmp_path / "fading.ckpt", weights_only=True)
    exported = export(tmp_path / "fading.ckpt", tmp_path / "out")
    for other in (again, exported):
        assert torch.equal(other.sample(3, seed=1), expected)
    assert exported.module.settings_in_use() == gan.settings_in_use()

    first = trainer(max_steps=1)
    gan = ProGAN(**SMALL, **QUICK)
    first.fit(gan, datamodule=data())
    first.save_checkpoint(tmp_path / "first.ckpt")
    again = ProGAN.load_from_checkpoint(tmp_path / "first.ckpt", weights_only=True)
    assert again.sample(3, seed=1).shape == (3, 2, 4, 4)
    assert ProGAN(**SMALL).settings_in_use() == {}


# -------------------------------------------------------------------------------------------------------- use


def test_samples_of_every_resolution() -> None:
    gan = ProGAN(**SMALL | {"size": 16}).train()
    state = torch.get_rng_state()
    images = gan.sample(5, seed=4)
    assert images.shape == (5, 2, 16, 16) and images.abs().max() <= 1 and not images.requires_grad
    assert torch.equal(images, gan.sample(5, seed=4)) and not torch.equal(images, gan.sample(5, seed=5))
    assert gan.training and torch.equal(state, torch.get_rng_state())
    torch.manual_seed(4)
    z = gan.noise(5)
    assert torch.equal(gan.sample(5, seed=4, size=8), gan.generator(z, 1).detach().clamp(-1, 1))
    assert torch.equal(gan.sample(5, seed=4, size=16), images)
    for size in (2, 12, 32):
        with pytest.raises(UserError, match="power of two from 4 to 16"):
            gan.sample(1, size=size)


def test_many_pictures_are_made_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    gan, numbers = ProGAN(**SMALL), []
    gan.generator.register_forward_hook(lambda _, given, __: numbers.append(len(given[0])))
    whole = gan.sample(7)
    monkeypatch.setattr("zoo.models.progan.PIXELS_AT_ONCE", 3 * 64)
    torch.testing.assert_close(gan.sample(7), whole)
    assert numbers == [7, 3, 3, 1]


def test_fakes_are_bounded_in_use_and_not_in_training() -> None:
    gan = ProGAN(**SMALL)
    nn.init.constant_(gan.generator.to_rgb[-1].bias, 3.0)  # type: ignore[arg-type]
    batch = {"image": torch.zeros(4, 2, 8, 8)}
    assert gan.train().generate(batch).max() > 1
    assert gan.eval().generate(batch).max() == 1 and gan.preview(batch)["fake"].max() == 1


def test_wrong_values_are_refused_with_a_sentence() -> None:
    for given, words in (
        ({"size": 28}, "model.size is 28; give a power of two"),
        ({"size": 2}, "of at least 4"),
        ({"size": 8, "start_size": 16}, "start_size 16 is more than model.size 8"),
        ({"accumulate": 4}, "minibatch of 14 at 256 px does not divide into model.accumulate 4"),
        ({"minibatches": ()}, "model.minibatches is an empty list"),
        ({"size": 8, "lr": (0.1, 0.1, 0.1)}, "model.lr has 3 numbers, but 2 resolutions use it"),
        ({"size": 8, "stable_images": (4, 4, 4)}, "stable_images has 3 numbers, but 2 resolutions use it"),
    ):
        wrong: dict[str, Any] = given
        with torch.device("meta"), pytest.raises(UsageError, match=words):
            ProGAN(**wrong)


def test_wrong_data_are_refused_with_a_sentence() -> None:
    gan = ProGAN(**SMALL, **QUICK)
    for batch, words in (
        ({"point": torch.zeros(1, 2)}, "give point but ProGAN needs image"),
        ({"image": torch.zeros(1, 3, 8, 8)}, "3 channels"),
        ({"image": torch.zeros(1, 2, 8, 4)}, "4x8 pixels"),
        ({"image": torch.zeros(1, 2, 16, 16)}, "set data.size to model.size, which is 8"),
        ({"image": torch.zeros(1, 2, 4, 4)}, "set data.size to model.size, which is 8"),
    ):
        wrong: dict[str, Any] = batch
        with pytest.raises(UserError, match=words):
            gan.check(wrong)
    loader = DataLoader([{"image": torch.zeros(6, 2, 8, 8)}], batch_size=None)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="6 pictures of 8 px, but this phase needs 6 of 4 px"):
        trainer(max_steps=1).fit(gan, loader)
    with pytest.raises(UserError, match="needs pictures of 4 px, but the data hold pictures of 6 px"):
        trainer(max_steps=1).fit(gan, datamodule=OddPictures(batch_size=2))
    assert ProGAN.suited({"size": 64, "start_size": 32}, {"image": torch.zeros(1, 1, 16, 16)}) == {
        "size": 16, "start_size": 16, "channels": 1,
    }  # fmt: skip


@pytest.mark.parametrize(("level", "alpha"), [(99, 1.0), (-1, 1.0), (0.5, 1.0), (0, 0.5), (1, 9.0), (1, 0.0)])
def test_growth_that_no_training_gives_is_refused(level: float, alpha: float) -> None:
    with pytest.raises(UserError, match=r"have grown to level .* they are damaged"):
        ProGAN(**SMALL).generator.set_extra_state(torch.tensor([level, alpha], dtype=torch.float64))


class OddPictures(Pictures):
    """Pictures of a side that is no power of two."""

    def dataset(self, split: Split) -> SampleSet | None:
        class Odd(Noise):
            def load(self, index: int) -> Sample:
                return {"image": super().load(index)["image"][:, :6, :6]}

        return Odd() if split == "train" else None


# -------------------------------------------------------------------------------------------- pytorch_GAN_zoo


@pytest.mark.parametrize("name", ["progan_generator_32", "progan_discriminator_32"])
def test_forward_equals_the_reference(name: str) -> None:
    fixture = rule.load(f"forward/{name}")
    state = {key: value.double() for key, value in rule.state(fixture, "").items()}
    player, arguments, weights, _ = convert(ProGAN, state)
    assert player in name and arguments["size"] == 32
    gan = ProGAN(**arguments).double()
    network = gan.get_submodule(player)
    network.load_state_dict(weights)
    ((key, entry),) = fixture["inputs"].items()
    given = rule.given(key, entry, "").double()
    for mode, outputs in fixture["outputs"].items():
        gan.grow(3, 1 - float(mode.split()[1]))  # its alpha is the share of the half resolution
        with torch.no_grad():
            out = gan.make(given) if isinstance(network, Generator) else gan.judge(given)
        rule.assert_summary(out, outputs["output"])


@pytest.mark.parametrize("name", ["progan_generator_full", "progan_discriminator_full"])
def test_published_shapes_are_recognised_in_any_order(name: str) -> None:
    shapes = rule.load(f"forward/{name}")["state_dict"]
    state = {key: torch.tensor(0.0).expand(shape) for key, shape in shapes.items()}
    found = [
        convert(ProGAN, {key: state[key] for key in order})
        for order in (list(state), sorted(state), sorted(state, reverse=True))
    ]
    for match in found:
        assert match.player in name and match.arguments == found[0].arguments
        assert list(match.weights) == list(found[0].weights)
    expected = {"size": 256, "channels": 3, "base": 8192, "most": 512}
    bias = {"latent_dim": 512, "first_bias": "position"} if "generator" in name else {}
    assert found[0].arguments == expected | bias
    with torch.device("meta"):
        gan = ProGAN(**found[0].arguments)
    network = gan.get_submodule(found[0].player)
    assert isinstance(network, Generator | Discriminator)
    assert count(network) == sum(math.prod(shape) for shape in shapes.values())
    del state["scaleLayers.2.1.module.bias"]
    with pytest.raises(UserError, match=r"blocks\.2\.second\.bias is missing"):
        convert(ProGAN, state)


def test_foreign_weights_are_refused() -> None:
    with pytest.raises(UserError, match="of no progressive GAN that is known"):
        convert(ProGAN, {"conv1.weight": torch.zeros(1, 1, 3, 3)})


def test_passes_differ_in_order_and_cover_the_data() -> None:
    train = data(seed=None)
    gan = ProGAN(**SMALL, minibatches=(9,), stable_images=27)
    gan.plan_batches(train)
    keys = list(train.train_dataloader().sampler)  # type: ignore[arg-type]
    passes = [[index for _, index, turn in keys if turn == number] for number in range(3)]
    assert all(sorted(order) == list(range(9)) for order in passes)
    assert all(a != b for a, b in pairwise(passes))
