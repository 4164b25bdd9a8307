"""SRGAN's networks, losses, updates and use; the reference implementations are in test_srgan_parity.py."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from zoo.checkpoints import describe, write
from zoo.errors import UserError
from zoo.models.srgan import SRGAN, Discriminator, SRResNet, steps_of, total_variation
from zoo.references.matching import convert
from zoo.references.srgan import MSRResNet

TINY: dict[str, Any] = {"blocks": 2, "width": 4, "discriminator_width": 2, "size": 32, "content": "mse"}


def pairs(size: int = 32, batch: int = 4, scale: int = 4, seed: int = 3) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    low = torch.rand(batch, 3, size // scale, size // scale, generator=random) * 2 - 1
    return {"input": low, "target": torch.rand(batch, 3, size, size, generator=random) * 2 - 1}


class Watch(pl.Callback):
    def __init__(self) -> None:
        self.terms: list[dict[str, Tensor]] = []
        self.rates: list[float] = []

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.terms.append(outputs)
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


def train(model: SRGAN, batches: list[dict[str, Tensor]], **options: Any) -> Watch:
    watch = Watch()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[watch],
        **options,
    )
    trainer.fit(model, DataLoader(batches, batch_size=None, shuffle=False))
    return watch


def stirred(model: SRGAN) -> SRGAN:
    """With weights and statistics that are those of no beginning: no layer is an identity."""
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for value in [*model.generator.parameters(), *model.generator.buffers()]:
            if value.is_floating_point():
                value.add_(0.1 * (torch.rand(value.shape, generator=random) - 0.5))
    return model


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize(
    ("high_range", "upsampling"), [("signed", "subpixel"), ("unit", "subpixel"), ("signed", "resize")]
)
def test_begins_as_a_plain_enlargement(scale: Any, high_range: Any, upsampling: Any) -> None:
    """Initially it interpolates linearly between the centres of pixels, and every layer gets gradients."""
    torch.manual_seed(0)
    given = {"scale": scale, "high_range": high_range, "upsampling": upsampling, "width": 8}
    model = SRGAN(**TINY | given).eval()
    x = torch.rand(2, 3, 9, 10) * 2 - 1
    lines = x
    for step in [scale] if upsampling == "subpixel" else steps_of(scale):
        lines = F.interpolate(lines, scale_factor=float(step), mode="bilinear")
    edge = scale // 2  # where the last layer sees padding, which is black
    inner = (..., slice(edge, -edge), slice(edge, -edge))
    made = model.sample(x)
    torch.testing.assert_close(made[inner], lines[inner])
    assert bool((made[..., :edge, :] < lines[..., :edge, :]).all()) == (upsampling == "subpixel")
    model.train()
    target = torch.rand(2, 3, 9 * scale, 10 * scale)
    optimizer = torch.optim.SGD(model.generator.parameters(), 0.1)
    for _ in range(3):  # the last layer hears first, the branches behind it one after another
        optimizer.zero_grad()
        F.mse_loss(model.generate({"input": x}), target).backward()
        optimizer.step()
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in model.generator.parameters())


def elements(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


# ------------------------------------------------------------------------------------------------- networks


def test_the_papers_sizes() -> None:
    with torch.device("meta"):
        model = SRGAN()
        assert elements(model.generator) == 1_547_350
        assert elements(model.discriminator) == 23_563_649
        low = torch.empty(2, 3, 24, 24)
        assert model.generator(low).shape == (2, 3, 96, 96)
        assert model.discriminator(torch.empty(2, 3, 96, 96)).shape == (2, 1)
        # two sub-pixel layers of 64 -> 256 channels fewer and more; one shared slope each
        layer = 64 * 256 * 9 + 256 + 1
        assert elements(SRResNet(3, 64, 16, 2)) == 1_547_350 - layer
        assert elements(SRResNet(3, 64, 16, 8)) == 1_547_350 + layer
        assert elements(MSRResNet(3, 64, 16, 4)) == 1_517_571
        for scale in (2, 3, 4, 8):
            for net in (SRResNet(1, 4, 1, scale), MSRResNet(1, 4, 1, scale)):  # type: ignore[arg-type]
                assert net(torch.empty(1, 1, 5, 7)).shape == (1, 1, 5 * scale, 7 * scale)


def test_the_papers_layers() -> None:
    """Figure 4: kernels, maps and strides in order."""
    with torch.device("meta"):
        model = SRGAN()
    found = [
        (m.kernel_size[0], m.out_channels, m.stride[0])
        for m in model.generator.modules()
        if isinstance(m, nn.Conv2d)
    ]
    assert found == [(9, 64, 1), *[(3, 64, 1)] * 33, (3, 256, 1), (3, 256, 1), (9, 3, 1)]
    found = [(m.out_channels, m.stride[0]) for m in model.discriminator.modules() if isinstance(m, nn.Conv2d)]
    assert found == [(n, s) for n in (64, 128, 256, 512) for s in (1, 2)]
    assert [m.out_features for m in model.discriminator.modules() if isinstance(m, nn.Linear)] == [1024, 1]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in model.generator.modules()) == 33
    assert sum(isinstance(m, nn.BatchNorm2d) for m in model.discriminator.modules()) == 7


def test_defaults_are_the_papers() -> None:
    with torch.device("meta"):
        model = SRGAN()
    assert (model.learning_rate, model.betas[0], model.lambda_adversarial) == (1e-4, 0.9, 1e-3)
    assert model.content == "vgg54" and model.content_scale == 1 / 12.75
    assert (model.lambda_content, model.lambda_pixel, model.lambda_tv) == (1, 0, 0)
    assert [model._rate(turn) for turn in (0, 99_999, 100_000, 199_999)] == [1, 1, 0.1, 0.1]


@pytest.mark.parametrize("variant", ["paper", "basicsr"])
def test_how_far_a_pixel_reaches(variant: Any) -> None:
    """``reach`` bounds the field: a changed pixel leaves everything further away as it was."""
    model = stirred(SRGAN(**TINY | {"blocks": 1, "variant": variant})).double().eval()
    low = torch.rand(1, 3, 60, 5, dtype=torch.float64)
    other = low.clone()
    other[..., 30, 2] += 1
    moved = (model.generator(low) != model.generator(other)).any(dim=(0, 1, 3)).nonzero().flatten()
    assert 4 * (30 - model.reach) <= int(moved.min()) and int(moved.max()) < 4 * (31 + model.reach)
    assert int(moved.max()) > 4 * 34


# --------------------------------------------------------------------------------------------------- losses


def test_terms_by_hand() -> None:
    torch.manual_seed(0)
    model = SRGAN(**TINY | {"lambda_pixel": 0.5, "lambda_tv": 2.0, "lambda_content": 3.0}).double()
    batch = {key: value.double() for key, value in pairs().items()}
    fake = model.generate(batch)
    target = batch["target"]
    terms = model.generator_loss(batch, fake)
    mse = (fake - target).square().mean()
    torch.testing.assert_close(terms["content"], 3 * mse)
    torch.testing.assert_close(terms["pixel"], 0.5 * mse)
    probability = torch.sigmoid(model.discriminator(fake))
    torch.testing.assert_close(terms["adversarial"], 1e-3 * -probability.log().mean())
    torch.testing.assert_close(terms["tv"], 2 * total_variation(fake))
    judged = model.discriminator_loss(batch, fake)
    torch.testing.assert_close(judged["real"], -torch.sigmoid(model.discriminator(target)).log().mean())
    torch.testing.assert_close(judged["fake"], -(1 - probability).log().mean())


def test_total_variation_of_a_ramp() -> None:
    ramp = (3.0 * torch.arange(5.0))[None, :] + (4.0 * torch.arange(6.0))[:, None]
    torch.testing.assert_close(total_variation(ramp[None, None]), torch.tensor(5.0))
    flat = torch.zeros(1, 1, 4, 4, requires_grad=True)
    total_variation(flat).backward()
    assert flat.grad is not None and bool(flat.grad.isfinite().all())


def test_content_on_maps_is_scaled_and_the_network_stays_out_of_checkpoints() -> None:
    torch.manual_seed(0)
    model = SRGAN(**TINY | {"content": "injected"})
    network = nn.Conv2d(3, 5, 3)
    model._maps = (network,)
    batch = pairs()
    fake = model.generate(batch)
    found = model.generator_loss(batch, fake)["content"]
    wanted = ((network(fake) / 12.75 - network(batch["target"]) / 12.75) ** 2).mean()
    torch.testing.assert_close(found, wanted)
    assert not [key for key in model.state_dict() if "maps" in key]
    assert copy.deepcopy(model)._maps[0] is not network


def test_the_content_network_sees_the_same_random_window_of_fake_and_target_if_asked() -> None:
    seen: list[Tensor] = []

    class Network(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return x

    batch = pairs()
    target, places = batch["target"], set()
    for window in (None, 64, *[20] * 20):  # 64 is more than there is
        model = SRGAN(**TINY | {"content": "injected", "content_window": window})
        model._maps = (Network(),)
        assert model.generator_loss(batch, target)["content"] == 0
        assert torch.equal(seen[-1], seen[-2])
        if window == 20:
            assert seen[-1].shape[2:] == (20, 20)
            found = [
                (y, x)
                for y in range(13)
                for x in range(13)
                if torch.equal(seen[-1], target[..., y : y + 20, x : x + 20])
            ]
            places.update(found)
        else:
            assert torch.equal(seen[-1], target)
    assert len(places) > 10 and {y % 4 for y, _ in places} == {x % 4 for _, x in places} == {0, 1, 2, 3}


def test_one_update_is_the_papers() -> None:
    """Two turns beside a plain transcription: D descends equation 2, then G descends equation 3."""
    torch.manual_seed(1)
    model = SRGAN(**TINY | {"lambda_adversarial": 0.1}).double()
    generator, discriminator = copy.deepcopy(model.generator), copy.deepcopy(model.discriminator)
    batches = [{k: v.double() for k, v in pairs(seed=seed).items()} for seed in (1, 2)]
    train(model, batches, precision="64-true")
    g_adam = torch.optim.Adam(generator.parameters(), 1e-4, (0.9, 0.999))
    d_adam = torch.optim.Adam(discriminator.parameters(), 1e-4, (0.9, 0.999))
    for batch in batches:
        low, high = (batch["input"] + 1) / 2, batch["target"]
        made = generator(low)
        d_adam.zero_grad()
        real, fake = torch.sigmoid(discriminator(high)), torch.sigmoid(discriminator(made.detach()))
        (-(real.log().mean() + (1 - fake).log().mean())).backward()
        d_adam.step()
        g_adam.zero_grad()
        ((high - made) ** 2).mean().add(0.1 * -torch.sigmoid(discriminator(made)).log().mean()).backward()
        g_adam.step()
    for ours, theirs in ((model.generator, generator), (model.discriminator, discriminator)):
        held = ours.state_dict()
        for key, value in theirs.state_dict().items():
            torch.testing.assert_close(held[key], value, rtol=1e-7, atol=1e-10, msg=key)


def test_the_first_stage_has_no_judge() -> None:
    torch.manual_seed(1)
    model = SRGAN(**TINY | {"adversarial": False})
    generator = copy.deepcopy(model.generator)
    (terms,) = train(model, [pairs()]).terms
    assert list(terms) == ["g_content"]
    assert elements(model.discriminator) == 1
    adam = torch.optim.Adam(generator.parameters(), 1e-4)
    batch = pairs()
    F.mse_loss(generator((batch["input"] + 1) / 2), batch["target"]).backward()
    adam.step()
    for key, value in model.generator.state_dict().items():
        torch.testing.assert_close(value, generator.state_dict()[key], rtol=1e-4, atol=1e-6)


def test_generator_first_sees_the_discriminator_before_its_move() -> None:
    torch.manual_seed(1)
    options = {"variant": "basicsr", "high_range": "unit", "content": "none", "lambda_pixel": 1.0}
    model = SRGAN(**TINY | options)
    before = copy.deepcopy(model)
    batch = pairs()
    (terms,) = train(model, [batch]).terms
    assert list(terms)[:2] == ["g_pixel", "g_adversarial"] and list(terms)[2:] == ["d_real", "d_fake"]
    fake = before.generate(batch)
    torch.testing.assert_close(terms["g_adversarial"], before.generator_loss(batch, fake)["adversarial"])
    torch.testing.assert_close(terms["d_fake"], before.discriminator_loss(batch, fake)["fake"])
    torch.testing.assert_close(terms["g_pixel"], ((fake - batch["target"]) / 2).abs().mean())


def test_micro_batches_of_both_orders() -> None:
    for variant in ("paper", "basicsr"):
        model = SRGAN(**TINY | {"variant": variant}, accumulate=2)  # type: ignore[arg-type]
        assert all(math.isfinite(v) for v in train(model, [pairs()]).terms[0].values())


@pytest.mark.parametrize("frozen", [True, False])
def test_statistics_stay_where_they_are_frozen(frozen: bool) -> None:
    """From the first step on, and after a look in evaluation mode."""
    model = SRGAN(**TINY, freeze_norm=frozen)
    before = {name: value.clone() for name, value in model.generator.named_buffers()}
    train(model, [pairs()])
    assert all(torch.equal(before[name], value) for name, value in model.generator.named_buffers()) == frozen
    model.eval().train()
    assert model.generator.merge[1].training == (not frozen)  # type: ignore[index]
    assert model.discriminator.features[3].training  # type: ignore[index]


def test_learning_rate_comes_down() -> None:
    model = SRGAN(**TINY | {"decay_at": (1, 3), "decay_factor": 0.5})
    assert train(model, [pairs()] * 4).rates == pytest.approx([1e-4, 5e-5, 5e-5, 2.5e-5])
    model = SRGAN(**TINY | {"decay": "cosine", "decay_at": (4,)})
    wanted = [1e-4 * 0.5 * (1 + math.cos(math.pi * t / 4)) for t in range(4)]
    assert train(model, [pairs()] * 4).rates == pytest.approx(wanted)
    risen = train(SRGAN(**TINY | {"decay_at": (3,), "warmup": 2}), [pairs()] * 4).rates
    assert risen == pytest.approx([5e-5, 1e-4, 1e-4, 1e-5])
    assert train(SRGAN(**TINY | {"decay_at": ()}), [pairs()] * 2).rates == [1e-4, 1e-4]


# ------------------------------------------------------------------------------------------------ two stages


def test_starts_from_the_first_stage(tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = SRGAN(**TINY | {"adversarial": False})
    write(first, describe(first, dict(first.hparams), {}), tmp_path / "first")
    second = SRGAN(**TINY | {"init_from": str(tmp_path / "first"), "learning_rate": 0.0})
    drawn, given = second.generator.head[0].weight, first.generator.head[0].weight  # type: ignore[index]
    assert not torch.equal(drawn, given)
    train(second, [pairs()])
    assert torch.equal(second.generator.head[0].weight, given)  # type: ignore[index]
    other = SRGAN(**TINY | {"init_from": str(tmp_path / "first"), "blocks": 3})
    with pytest.raises(UserError, match=r"set model\.blocks to 2, and"):
        train(other, [pairs()])
    with pytest.raises(UserError, match="There are no weights nowhere"):
        train(SRGAN(**TINY | {"init_from": "nowhere"}), [pairs()])


def test_other_enlarging_layers_start_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(1)
    first = SRGAN(**TINY | {"adversarial": False})
    for values in first.generator.parameters():
        torch.nn.init.normal_(values.data)
    write(first, describe(first, dict(first.hparams), {}), tmp_path / "first")
    origin = str(tmp_path / "first")
    second = SRGAN(**TINY | {"upsampling": "resize", "init_from": origin, "learning_rate": 0.0})
    drawn = {key: value.clone() for key, value in second.generator.state_dict().items()}
    train(second, [pairs()])
    given = first.generator.state_dict()
    for key, value in second.generator.state_dict().items():
        if key.startswith("up.") and key not in given:
            assert torch.equal(value, drawn[key])  # the convolutions after the resizing
        elif "running" not in key and "tracked" not in key:
            assert torch.equal(value, given[key])
    assert "so they start anew: 4 weights of the generator, as up.1.weight" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"set model\.width to"):
        train(SRGAN(**TINY | {"upsampling": "resize", "width": 6, "init_from": origin}), [pairs()])


# ------------------------------------------------------------------------------------------------------- use


@pytest.mark.parametrize("variant", ["paper", "basicsr"])
def test_tiles_make_no_seams(variant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = stirred(SRGAN(**TINY | {"variant": variant, "blocks": 1}))
    images = torch.rand(2, 3, 50, 43) * 2 - 1
    whole = model.eval().generate({"input": images}).detach()
    assert whole.std() > 0.05
    monkeypatch.setattr("zoo.models.srgan.TILE", 16)
    model.train()
    tiled = model.sample(images)
    assert model.training and tiled.shape == (2, 3, 200, 172)
    assert float((tiled - whole).abs().max()) < 0.01 * 2 / 255  # a hundredth of a grey level


def test_batch_norm_is_frozen_in_use() -> None:
    model = SRGAN(**TINY)
    before = copy.deepcopy(model.state_dict())
    one, two = torch.rand(1, 3, 6, 6), torch.rand(1, 3, 6, 6)
    apart = torch.cat([model.sample(one), model.sample(two)])
    torch.testing.assert_close(model.sample(torch.cat([one, two])), apart)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert apart.abs().max() <= 1


# -------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"adversarial": False, "content": "none"}, "nothing is left to learn"),
        ({"decay": "cosine", "decay_at": (1, 2)}, "ends at one step"),
        ({"variant": "basicsr", "size": 96}, "power of two"),
    ],
)
def test_impossible_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        SRGAN(**TINY | options)


def test_impossible_batches() -> None:
    model = SRGAN(**TINY)
    with pytest.raises(UserError, match="discriminator judges images of 32x32, not 64x64"):
        train(model, [pairs(64)])
    with pytest.raises(UserError, match=r"target is 32x32 where the output is 64x64; set data.scale"):
        model.generator_loss(pairs(), torch.zeros(4, 3, 64, 64))
    with pytest.raises(UserError, match=r"input has 1 channels but model\.in_channels is 3"):
        model.generate({"input": torch.zeros(1, 1, 8, 8)})


def test_absent_weights_are_told_before_the_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    monkeypatch.setattr("zoo.features.backbones.try_to_load_from_cache", lambda *_: None)
    with pytest.raises(UserError, match=r"model\.content vgg54: .*hed-conv4_3") as error:
        train(SRGAN(**TINY | {"content": "vgg54"}), [pairs()])
    assert "https://huggingface.co/timm/vgg19.tv_in1k" in str(error.value)
    with pytest.raises(UserError, match="There are no feature maps 'nonsense'"):
        train(SRGAN(**TINY | {"content": "nonsense"}), [pairs()])


def test_foreign_weights() -> None:
    with pytest.raises(UserError, match="no network that is known here"):
        convert(SRGAN, {"layer.weight": torch.zeros(1)})
    state = {"features.0.weight": torch.zeros(4, 3, 3, 3)}
    with pytest.raises(UserError, match=r"SRGAN but 'classifier.0.weight' is missing"):
        convert(SRGAN, state)
    net = Discriminator(3, 2, 32)
    player, hparams, *_ = convert(
        SRGAN, {f"module._orig_mod.{key}": value for key, value in net.state_dict().items()}
    )
    assert player == "discriminator" and hparams["size"] == 32 and hparams["discriminator_width"] == 2
