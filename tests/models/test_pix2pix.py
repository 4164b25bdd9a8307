from __future__ import annotations

import copy
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from parity import rule
from torch import Tensor, nn
from torch.utils.data import DataLoader

from zoo.errors import UsageError, UserError
from zoo.models.pix2pix import STRIDED, PatchGAN, Pix2Pix, UNet
from zoo.references.matching import convert
from zoo.references.pix2pix import ResidualGenerator

TINY: dict[str, Any] = {"levels": 3, "width": 4, "discriminator_width": 4, "receptive_field": 16}


def pairs(size: int = 16, batch: int = 2, channels: int = 3) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(3)
    shape = (batch, channels, size, size)
    return {key: torch.rand(shape, generator=random) * 2 - 1 for key in ("input", "target")}


class Watch(pl.Callback):
    def __init__(self) -> None:
        self.terms: list[dict[str, Tensor]] = []

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.terms.append(outputs)


def train(
    model: Pix2Pix, batches: list[dict[str, Tensor]], **options: Any
) -> tuple[pl.Trainer, list[dict[str, Tensor]]]:
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


# ----------------------------------------------------------------------------------------------------- parity


@pytest.mark.parametrize("path", rule.names("forward/pix2pix_*"))
def test_forward_equals_the_reference(path: str) -> None:
    fixture = rule.load(path)
    player, hparams, weights, _ = convert(Pix2Pix, rule.state(fixture, fixture["seed_prefix"]))
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
        found, implied, given[player], _ = convert(
            Pix2Pix, rule.state(fixture["networks"][name], f"{prefix}{name}.")
        )
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
        torch.testing.assert_close(
            torch.stack(found), torch.tensor(wanted, dtype=torch.float64), rtol=1e-5, atol=1e-8
        )
    for name, player in players.items():
        reference = rule.state(fixture["networks"][name], f"{prefix}{name}.")
        held = getattr(model, player).state_dict()
        for key, entry in fixture["after"][name].items():
            value = held[renamed(reference, key)]
            rule.assert_summary(value, entry["value"], rtol=1e-5)
            if "change" in entry:
                rule.assert_summary(value - reference[key].double(), entry["change"], rtol=1e-5)


def renamed(reference: dict[str, Tensor], key: str) -> str:
    """What ``convert`` calls ``key``: it follows the tensor whose values are marked."""
    marked = {k: torch.full(v.shape, float(k == key)) for k, v in reference.items()}
    return next(k for k, v in convert(Pix2Pix, marked).weights.items() if bool(v.flatten()[0]))


# ------------------------------------------------------------------------------------------------- converting


def reference_state(path: str) -> dict[str, Tensor]:
    fixture = rule.load(path)
    return rule.state(fixture, fixture["seed_prefix"])


def test_converting_tells_the_architecture() -> None:
    _, unet, *_ = convert(Pix2Pix, reference_state("forward/pix2pix_unet256_ngf8_batch"))
    assert unet == {
        "generator": "unet",
        "levels": 8,
        "width": 8,
        "in_channels": 3,
        "out_channels": 3,
        "norm": "batch",
        "dropout": 0.5,
        "dropout_at": (2, 3, 4),
    }
    _, resnet, *_ = convert(Pix2Pix, reference_state("forward/pix2pix_resnet6_ngf8_instance"))
    assert (resnet["generator"], resnet["blocks"], resnet["norm"]) == ("resnet", 6, "instance")
    assert resnet["dropout"] == 0.0
    _, patch, *_ = convert(Pix2Pix, reference_state("forward/pix2pix_patchgan1_ndf8_batch"))
    assert (patch["receptive_field"], patch["in_channels"], patch["out_channels"]) == (16, 1, 3)


def test_converting_forgives_what_old_and_parallel_runs_leave() -> None:
    state = reference_state("forward/pix2pix_resnet6_ngf8_instance")
    expected = convert(Pix2Pix, state).weights
    old = {f"module.{key}": value for key, value in state.items()}
    old |= {"module.model.2.running_mean": torch.zeros(8), "module.model.2.running_var": torch.ones(8)}
    found = convert(Pix2Pix, old).weights
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    state = reference_state("forward/pix2pix_patchgan3_ndf8_batch")  # before batch norms counted
    uncounted = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert convert(Pix2Pix, uncounted).weights.keys() == convert(Pix2Pix, state).weights.keys()


def test_converting_refuses_what_it_does_not_know() -> None:
    with pytest.raises(UserError, match="no pix2pix network"):
        convert(Pix2Pix, {"conv.weight": torch.zeros(3, 3, 1, 1)})
    state = reference_state("forward/pix2pix_unet256_ngf8_batch")
    with pytest.raises(UserError, match=r"up\.6\.1\.weight is missing"):
        convert(Pix2Pix, {k: v for k, v in state.items() if "model.model.1.model.5" not in k})
    with pytest.raises(UserError, match="none of the paper's"):
        four = {f"model.{i}.weight": torch.zeros(4, 4, 4, 4) for i in (0, 2, 5, 8, 11, 14)}
        convert(Pix2Pix, four)


# ----------------------------------------------------------------------------------------------- architecture


def test_parameter_counts_are_the_paper_s() -> None:
    unet = {"in_channels": 3, "out_channels": 3, "width": 64, "dropout": 0.5, "dropout_at": (1, 2, 3)}
    with torch.device("meta"):
        assert elements(UNet(levels=8, norm="batch", **unet)) == 54_413_955
        assert elements(UNet(levels=7, norm="batch", **unet)) == 41_828_995
        assert elements(UNet(levels=8, norm="instance", **unet)) == 54_409_603
        default = Pix2Pix()
        assert elements(default.generator) == 54_413_955
        assert elements(default.discriminator) == 2_768_705
        fields = {1: 9_024, 16: 139_585, 34: 666_433, 70: 2_768_705, 286: 11_159_361}
        for field, count in fields.items():
            assert elements(PatchGAN(6, 64, field, "batch")) == count  # type: ignore[arg-type]


def test_defaults_are_the_paper_s() -> None:
    with torch.device("meta"):
        h = Pix2Pix().hparams
    assert (h.generator, h.levels, h.width, h.norm) == ("unet", 8, 64, "batch")
    assert (h.dropout, tuple(h.dropout_at), h.inference) == (0.5, (1, 2, 3), "paper")
    assert (h.receptive_field, h.discriminator_width, h.conditional, h.adversarial) == (70, 64, True, True)
    assert (h.loss, h.lambda_l1, h.learning_rate, tuple(h.betas)) == ("vanilla", 100.0, 2e-4, (0.5, 0.999))
    assert h.epochs_decay == 0


@pytest.mark.parametrize("field", [1, *STRIDED])
def test_receptive_field_by_gradient(field: Any) -> None:
    net = (
        PatchGAN(1, 2, field, "batch").double().eval()
    )  # batch statistics would let every pixel see every other
    x = torch.randn(1, 1, 448, 448, dtype=torch.float64, requires_grad=True)
    logits = net(x)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert x.grad is not None
    touched = x.grad[0, 0].abs() > 0
    rows, columns = touched.any(1).nonzero(), touched.any(0).nonzero()
    assert (int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1) == (field, field)


@pytest.mark.parametrize(
    ("levels", "size", "patches"), [(8, 256, 30), (7, 128, 14), (6, 64, 6)], ids=["256", "128", "64"]
)
def test_shapes_at_the_paper_s_sizes(levels: int, size: int, patches: int) -> None:
    model = Pix2Pix(levels=levels, width=2, discriminator_width=2)
    batch = pairs(size, 1)
    fake = model.generate(batch)
    assert fake.shape == (1, 3, size, size)
    assert model.judge(batch, fake).shape == (1, 1, patches, patches)
    bottleneck = batch["input"]
    for down in model.generator.down:  # type: ignore[union-attr]
        bottleneck = down(bottleneck)
    assert bottleneck.shape[2:] == (1, 1)


def test_dropout_is_in_the_first_three_blocks_of_the_decoder() -> None:
    with torch.device("meta"):
        blocks = Pix2Pix(width=4).generator.up
    assert [any(isinstance(m, nn.Dropout) for m in block) for block in blocks] == [True] * 3 + [False] * 5


def test_weights_are_drawn_as_the_paper_says() -> None:
    model = Pix2Pix(levels=6, width=16, discriminator_width=32)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.weight.numel() > 5000:
            assert abs(float(module.weight.detach().std()) - 0.02) < 0.002
        if isinstance(module, nn.BatchNorm2d):
            assert 0 < float((module.weight.detach() - 1).abs().max()) < 0.1
        bias = getattr(module, "bias", None)
        assert bias is None or not bool(bias.any())


MODELS: dict[str, dict[str, Any]] = {
    "unet": {},
    "encoder_decoder": {"generator": "encoder_decoder"},
    "resnet": {"generator": "resnet", "blocks": 2},
    "instance": {"norm": "instance"},
    "pixel": {"receptive_field": 1},
    "lsgan": {"loss": "lsgan"},
    "unconditional": {"conditional": False},
    "L1 alone": {"adversarial": False},
    "cGAN alone": {"lambda_l1": 0.0},
    "channels": {"in_channels": 5, "out_channels": 2},
}


@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
def test_every_leaf_layer_is_called_and_learns(options: dict[str, Any]) -> None:
    model = Pix2Pix(**TINY | options)
    channels = {"input": model.in_channels, "target": model.out_channels}
    batch = {key: pairs(channels=count)[key] for key, count in channels.items()}
    called: set[nn.Module] = set()
    for module in model.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda m, *_: called.add(m))
    before = copy.deepcopy(model.state_dict())
    trainer, terms = train(model, [batch, batch])
    assert trainer.global_step == 2  # a turn counts once, with or without a discriminator's move
    players = [model.generator] + [model.discriminator] * bool(options.get("adversarial", True))
    for player in players:
        missed = [name for name, m in player.named_modules() if not list(m.children()) and m not in called]
        assert not missed
    after = model.state_dict()
    assert all(bool(value.isfinite()) for step in terms for value in step.values())
    for key in dict(model.named_parameters()):
        moves = key.startswith("generator") or model.adversarial
        assert torch.equal(after[key], before[key]) != moves, key


def test_one_player_s_move_leaves_the_other_bit_identical() -> None:
    model = Pix2Pix(**TINY)
    moved: dict[str, bool] = {}
    update = model.update

    def watched(player: Any, *parts: Any) -> Any:
        other = model.discriminator if player == "generator" else model.generator
        mine = getattr(model, player)
        others = [p.clone() for p in other.parameters()]
        own = [p.clone() for p in mine.parameters()]
        terms = update(player, *parts)
        assert all(torch.equal(a, b) for a, b in zip(others, other.parameters(), strict=True))
        assert all(p.requires_grad for p in model.parameters())
        moved[player] = any(not torch.equal(a, b) for a, b in zip(own, mine.parameters(), strict=True))
        return terms

    model.update = watched  # type: ignore[method-assign]
    train(model, [pairs()])
    assert moved == {"discriminator": True, "generator": True}


# ----------------------------------------------------------------------------------------------------- losses


@pytest.mark.parametrize("loss", ["vanilla", "lsgan"])
def test_losses_against_hand_made_logits(loss: Any) -> None:
    model = Pix2Pix(**TINY, loss=loss)
    seen: list[Tensor] = []
    logits = iter([torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, -1.0]]), torch.tensor([[0.0, 2.0]])])

    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return next(logits)

    model.discriminator = Fixed()
    batch = pairs()
    fake = batch["target"] + 0.25
    d, g = model.discriminator_loss(batch, fake), model.generator_loss(batch, fake)
    s = torch.sigmoid
    if loss == "vanilla":
        d_fake = -(torch.log(1 - s(torch.tensor(0.0))) + torch.log(1 - s(torch.tensor(2.0)))) / 2
        d_real = -(torch.log(s(torch.tensor(1.0))) + torch.log(s(torch.tensor(-1.0)))) / 2
        g_fake = -(torch.log(s(torch.tensor(0.0))) + torch.log(s(torch.tensor(2.0)))) / 2
    else:
        d_fake, d_real, g_fake = torch.tensor(2.0), torch.tensor(2.0), torch.tensor(1.0)
    torch.testing.assert_close(d, {"fake": d_fake / 2, "real": d_real / 2})
    torch.testing.assert_close(g, {"adversarial": g_fake, "l1": torch.tensor(25.0)})
    for pair, picture in zip(
        seen, (fake, batch["target"], fake), strict=True
    ):  # fake first, input before picture
        assert torch.equal(pair, torch.cat([batch["input"], picture], 1))


def test_learning_rate_is_constant_or_decays_to_zero() -> None:
    assert isinstance(Pix2Pix(**TINY).configure_optimizers(), list)
    model = Pix2Pix(**TINY, epochs_constant=2, epochs_decay=3)
    rates: list[float] = []

    class Rates(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
            both = [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers]
            assert both[0] == both[1]
            rates.append(both[0] / 2e-4)

    watch = Rates()
    trainer = pl.Trainer(
        max_epochs=5, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[watch],
    )  # fmt: skip
    trainer.fit(model, DataLoader([pairs()], batch_size=None))
    assert rates == pytest.approx([1, 1, 0.75, 0.5, 0.25])


# -------------------------------------------------------------------------------------------------------- use


def trained() -> Pix2Pix:
    """A model whose running statistics differ from any batch's."""
    torch.manual_seed(0)
    model = Pix2Pix(**TINY)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.fill_(0.3)  # type: ignore[union-attr]
    return model.eval()


def test_paper_inference_drops_and_uses_the_batch_without_a_trace() -> None:
    model, batch = trained(), pairs()
    before = copy.deepcopy(model.state_dict())

    def fake(seed: int) -> Tensor:
        torch.manual_seed(seed)
        with torch.no_grad():
            return model.generate(batch)

    first = fake(1)
    assert torch.equal(first, fake(1))
    assert not torch.equal(first, fake(2))  # dropout is on
    after = model.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert not any(module.training for module in model.modules())
    assert all(m.track_running_stats for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    model.train()
    batch = {key: value[:1] for key, value in batch.items()}
    assert torch.equal(first[:1], fake(1))  # the same as in training on a batch of one (section 3.3) ...
    assert any(
        not torch.equal(model.state_dict()[key], before[key]) for key in before
    )  # ... which does leave traces


def test_a_score_depends_on_no_earlier_draw() -> None:
    """`zoo test` draws dropout by the number of the batch, and the protocol says that it is on."""
    model, batch = trained(), pairs()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    with torch.no_grad():
        first, other = model.test_step(batch, 0), model.test_step(batch, 1)
        assert torch.equal(torch.get_rng_state(), state)
        torch.manual_seed(2)
        assert torch.equal(model.test_step(batch, 0), first) and not torch.equal(other, first)
    assert model.settings_in_use() == {"inference": "paper"}


def test_running_inference_draws_nothing_and_treats_pictures_apart() -> None:
    model, batch = trained(), pairs()
    model.inference = "running"
    with torch.no_grad():
        both = model.generate(batch)
        alone = model.generate({"input": batch["input"][:1]})
        model.inference = "paper"
        other = model.generate(batch)
    torch.testing.assert_close(both[:1], alone)
    assert float((both - other).abs().max()) > 1e-3


def test_the_mode_of_inference_is_kept_in_a_checkpoint(tmp_path: Any) -> None:
    model = Pix2Pix(**TINY, inference="running")
    trainer, _ = train(model, [pairs()])
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = Pix2Pix.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    assert again.inference == "running"
    x = pairs()["input"]
    assert torch.equal(again.sample(x), model.sample(x))


@pytest.mark.parametrize("size", [(16, 16), (13, 21), (5, 40), (1, 1)])
@pytest.mark.parametrize("inference", ["paper", "running"])
def test_sample_takes_any_size(size: tuple[int, int], inference: Any) -> None:
    model = trained()
    model.inference = inference
    model.train()
    x = torch.rand(3, 3, *size) * 2 - 1
    out = model.sample(x, seed=5)
    assert out.shape == x.shape
    assert bool((out.abs() <= 1).all())
    assert model.training
    torch.testing.assert_close(
        model.sample(x[1:2], seed=5), out[1:2]
    )  # a picture does not depend on its neighbours
    state = torch.get_rng_state()
    model.sample(x)
    assert torch.equal(torch.get_rng_state(), state)


def test_sample_of_a_fitting_size_pads_nothing() -> None:
    model, x = trained(), pairs(batch=1)["input"]
    torch.manual_seed(7)
    with torch.no_grad():
        assert torch.equal(model.generate({"input": x}), model.sample(x, seed=7))


def test_padding_leaves_the_picture_where_it_was() -> None:
    model = trained()
    model.generator.forward = lambda x: x  # type: ignore[method-assign]
    for size in ((13, 21), (3, 50)):
        x = torch.rand(1, 3, *size)
        assert torch.equal(model.sample(x), x)


def test_preview_names_its_columns() -> None:
    batch = pairs()
    columns = trained().preview(batch)
    assert list(columns) == ["input", "fake", "target"]
    assert columns["target"] is batch["target"]


def test_bad_input_is_one_sentence() -> None:
    model = Pix2Pix(**TINY)
    x = pairs()
    with pytest.raises(UserError, match=r"input has 1 channels but model.in_channels is 3"):
        model.sample(torch.zeros(1, 1, 16, 16))
    with pytest.raises(UserError, match=r"target has 1 channels but model.out_channels is 3"):
        model.generate({"input": x["input"], "target": x["target"][:, :1]})
    with pytest.raises(UserError, match=r"20x20.*multiples of 8"):
        model.generate({"input": torch.zeros(1, 3, 20, 20)})
    with pytest.raises(UserError, match=r"16x16.*needs 24"):
        Pix2Pix(**TINY | {"receptive_field": 70}).generate(x)
    with pytest.raises(UserError, match="nothing is left to learn"):
        Pix2Pix(**TINY, adversarial=False, lambda_l1=0.0)
    with pytest.raises(UserError, match=r"model\.levels must be 2 to 16"):
        Pix2Pix(**TINY | {"levels": 1})


def test_a_patch_discriminator_of_the_smallest_size_gives_one_patch() -> None:
    for field in (16, 34, 70, 286):
        model = Pix2Pix(**TINY | {"receptive_field": field})
        x = torch.zeros(1, 6, model.smallest, model.smallest)
        assert model.discriminator.eval()(x).shape == (1, 1, 1, 1)


def test_the_residual_generator_keeps_the_size() -> None:
    assert ResidualGenerator(2, 5, 9, 2, "batch", 0.5)(torch.zeros(1, 2, 32, 16)).shape == (1, 5, 32, 16)


def test_resizing_replaces_transposed_convolutions() -> None:
    """Nearest neighbours, then 3 x 3: no output pixel depends on its place in a grid of 2."""
    torch.manual_seed(0)
    model = Pix2Pix(levels=3, width=4, upsampling="resize", dropout=0.0, norm="instance")
    assert not [m for m in model.generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    last = model.generator.up[-1][:3]  # type: ignore[index]
    flat = last(torch.ones(1, 8, 16, 16))[0, :, 4:-4, 4:-4]
    assert torch.allclose(flat, flat[:, :1, :1].expand_as(flat), atol=1e-6)
    assert model.sample(torch.zeros(1, 3, 20, 30)).shape == (1, 3, 20, 30)


def test_layers_at_full_size_follow_the_last_upsampling() -> None:
    options: dict[str, Any] = {"levels": 3, "width": 4, "upsampling": "resize", "norm": "instance"}
    model = Pix2Pix(full_size_layers=2, **options)
    block = list(model.generator.up[-1])  # type: ignore[arg-type]
    wanted = [nn.ReLU, nn.Upsample, nn.Conv2d, nn.ReLU, nn.Conv2d, nn.ReLU, nn.Conv2d, nn.Tanh]
    assert [type(layer) for layer in block] == wanted
    assert [c.out_channels for c in block if isinstance(c, nn.Conv2d)] == [4, 4, 3]
    assert model.sample(torch.zeros(1, 3, 20, 30)).shape == (1, 3, 20, 30)
    for more in ({"upsampling": "transposed"}, {"generator": "resnet"}):
        with pytest.raises(UsageError, match="full_size_layers needs"):
            Pix2Pix(full_size_layers=1, **options | more)
