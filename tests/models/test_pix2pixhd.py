"""pix2pixHD's stages, losses, updates, styles and use; the authors' code is in test_pix2pixhd_parity.py."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from zoo.callbacks.styles import KeepStyles
from zoo.checkpoints import describe, load, write
from zoo.data.pairs.world import ScenePairs
from zoo.errors import UserError
from zoo.models.pix2pixhd import Pix2PixHD, averages, boundaries, feature_matching, halved

TINY: dict[str, Any] = {
    "in_channels": 4,
    "width": 8,
    "downsamplings": 1,
    "blocks": 1,
    "local_blocks": 1,
    "encoder_width": 4,
    "encoder_downsamplings": 1,
    "discriminators": 2,
    "discriminator_width": 4,
    "discriminator_layers": 2,
    "perceptual": "none",
    "epochs_decay": 0,
}


def model(**options: Any) -> Pix2PixHD:
    torch.manual_seed(0)
    return Pix2PixHD(**{**TINY, **options})


def pairs(batch: int = 2, side: int = 16, classes: int = 4, seed: int = 3) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (batch, side // 4, side // 4), generator=random)
    labels = labels.repeat_interleave(4, 1).repeat_interleave(4, 2)
    things = torch.randint(3, labels.shape, generator=random)
    return {
        "input": F.one_hot(labels, classes).movedim(-1, 1).float(),
        "labels": labels,
        "instances": things,
        "target": torch.rand(batch, 3, side, side, generator=random) * 2 - 1,
    }


def train(game: Pix2PixHD, batches: list[dict[str, Tensor]], **options: Any) -> pl.Trainer:
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(game, DataLoader(batches, batch_size=None, shuffle=False))
    return trainer


def elements(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


# ------------------------------------------------------------------------------------------------- networks


def test_the_papers_sizes() -> None:
    with torch.device("meta"):
        whole = Pix2PixHD()
        assert elements(whole.generator) == 182_546_755
        assert elements(whole.discriminator) == 8_404_803
        assert whole.generator(torch.empty(1, 36, 64, 128)).shape == (1, 3, 64, 128)
        # the authors' enhancer has 32 channels outermost, its global generator 64
        enhanced = Pix2PixHD(stage="joint", enhancers=1)
        assert elements(enhanced.generator) == 182_857_059
        assert enhanced.generator(torch.empty(1, 36, 128, 128)).shape == (1, 3, 128, 128)
        styled = Pix2PixHD(features=3)
        encoder = styled.generator.encoder
        assert encoder is not None and elements(encoder) == 788_803
        twice = Pix2PixHD(stage="joint", enhancers=2)
        assert twice.generator(torch.empty(1, 36, 256, 256)).shape == (1, 3, 256, 256)


def test_boundaries_are_those_of_four_neighbours() -> None:
    things = torch.randint(3, (2, 7, 9), generator=torch.Generator().manual_seed(0))
    found = boundaries(things)
    for b in range(2):
        for y in range(7):
            for x in range(9):
                near = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
                wanted = any(
                    0 <= i < 7 and 0 <= j < 9 and things[b, i, j] != things[b, y, x] for i, j in near
                )
                assert bool(found[b, 0, y, x]) == wanted


def test_averages_are_of_each_instance_of_each_image() -> None:
    random = torch.Generator().manual_seed(1)
    values, things = torch.rand(2, 3, 5, 6, generator=random), torch.randint(4, (2, 5, 6), generator=random)
    means, row = averages(values, things)
    assert len(means) == sum(len(torch.unique(t)) for t in things)
    for b in range(2):
        for thing in torch.unique(things[b]).tolist():
            mask = things[b] == thing
            (number,) = torch.unique(row[b][mask]).tolist()
            torch.testing.assert_close(means[number], values[b][:, mask].mean(1))


def test_coarser_discriminators_see_halves() -> None:
    game = model().double()
    x = torch.rand(1, 8, 16, 16, dtype=torch.float64)
    fine, coarse = game.discriminator(x)
    last: Any = game.discriminator.scales
    again = halved(x)
    for layer, wanted in zip(last[0], coarse, strict=True):
        again = layer(again)
        torch.testing.assert_close(again, wanted)
    assert fine[-1].shape[-1] > coarse[-1].shape[-1]


# --------------------------------------------------------------------------------------------------- losses


def test_feature_matching_is_equation_3() -> None:
    random = torch.Generator().manual_seed(0)
    shapes = [[(1, 2, 4, 4), (1, 3, 2, 2), (1, 1, 1, 1)], [(1, 2, 2, 2), (1, 3, 1, 1), (1, 1, 1, 1)]]
    fake, real = ([[torch.rand(s, generator=random) for s in scale] for scale in shapes] for _ in range(2))
    wanted = 0.0
    for a_scale, b_scale in zip(fake, real, strict=True):
        for a, b in list(zip(a_scale, b_scale, strict=True))[:-1]:  # T layers, the logits are not among them
            wanted += float((a - b).abs().sum() / a.numel())
    assert float(feature_matching(fake, real)) == pytest.approx(wanted, rel=1e-6)


def test_the_authors_matching_is_a_mean() -> None:
    batch = pairs()
    paper, code = model(), model(matching="mean")
    fake = paper.generate(batch)
    ours, theirs = (m.generator_loss(batch, fake)["matching"].item() for m in (paper, code))
    assert theirs == pytest.approx(ours * 4 / 3 / 2, rel=1e-6)  # 4 / (layers + 1) / scales


def test_terms_can_be_left_out() -> None:
    batch = pairs()
    assert set(model().generator_loss(batch, batch["target"])) == {"adversarial", "matching"}
    assert set(model(lambda_feature=0.0).generator_loss(batch, batch["target"])) == {"adversarial"}


@pytest.mark.parametrize("features", [0, 2])
def test_two_steps_equal_a_plain_transcription(features: int) -> None:
    """Both losses of one fake and of the players before either update; G is updated, then D."""
    game = model(features=features)
    # biases before instance norm have no gradient but rounding, which Adam would make steps of in float32
    plain = copy.deepcopy(game).double()
    optimizers = [
        torch.optim.Adam(player.parameters(), 2e-4, (0.5, 0.999))
        for player in (plain.generator, plain.discriminator)
    ]
    batches = [
        {k: v.double() if v.is_floating_point() else v for k, v in pairs(seed=s).items()} for s in (1, 2)
    ]
    train(game, batches, precision="64-true")
    for batch in batches:
        edges = boundaries(batch["instances"]).double()
        seen = torch.cat([batch["input"], edges], 1)
        x = seen
        if features:
            encoder = plain.generator.encoder
            assert encoder is not None
            things = batch["instances"] * 100 + batch["labels"]
            x = torch.cat([seen, encoder(batch["target"], things)], 1)
        fake = plain.generator(x)
        judged = plain.discriminator(torch.cat([seen, fake], 1))
        real = plain.discriminator(torch.cat([seen, batch["target"]], 1))
        g = sum(((maps[-1] - 1) ** 2).mean() for maps in judged)
        g = g + 10 * feature_matching(judged, real)
        detached = plain.discriminator(torch.cat([seen, fake.detach()], 1))
        d = sum((maps[-1] ** 2).mean() for maps in detached) / 2
        d = d + sum(((maps[-1] - 1) ** 2).mean() for maps in real) / 2
        g_grads = torch.autograd.grad(g, list(plain.generator.parameters()), retain_graph=True)
        d_grads = torch.autograd.grad(d, list(plain.discriminator.parameters()))
        for player, grads, optimizer in zip(
            (plain.generator, plain.discriminator), (g_grads, d_grads), optimizers, strict=True
        ):
            for p, grad in zip(player.parameters(), grads, strict=True):
                p.grad = grad
            optimizer.step()
    for a, b in zip(game.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-7, atol=1e-9)


# --------------------------------------------------------------------------------------------------- stages


def saved(game: Pix2PixHD, out: Path) -> str:
    write(game, describe(game, dict(game.hparams), {}), out, players=("generator", "discriminator"))
    return str(out)


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}


def test_from_coarse_to_fine(tmp_path: Path) -> None:
    """The global generator, then an enhancer around it while it is frozen, then both (section 3.1)."""
    first = model()
    train(first, [pairs()])
    second = model(stage="enhancer", enhancers=1, init_from=saved(first, tmp_path / "global"))
    own = {k: v.clone() for k, v in second.generator.state_dict().items()}
    assert not torch.equal(own["trunk.1.weight"], first.generator.trunk[1].weight)
    train(second, [pairs()])
    held = second.generator.state_dict()
    assert changed(own, held) == {"trunk", "enhancers", "output"}
    assert not changed(first.generator.trunk.state_dict(), second.generator.trunk.state_dict())  # frozen
    third = model(stage="joint", enhancers=1, init_from=saved(second, tmp_path / "enhancer"))
    third.begin_with(str(tmp_path / "enhancer"))
    assert not changed(held, third.generator.state_dict())
    train(third, [pairs()])
    assert changed(held, third.generator.state_dict()) == {"trunk", "enhancers", "output"}


def test_a_second_enhancer_goes_around_the_first(tmp_path: Path) -> None:
    one = model(stage="joint", enhancers=1)
    two = model(stage="enhancer", enhancers=2, init_from=saved(one, tmp_path / "one"))
    two.begin_with(str(tmp_path / "one"))
    held = copy.deepcopy(two.generator.state_dict())
    train(two, [pairs(side=32)])
    moved = {
        ".".join(key.split(".")[:2])
        for key, value in two.generator.state_dict().items()
        if not torch.equal(held[key], value)
    }
    assert moved == {"enhancers.1", "output.1"}


def test_the_stage_before_must_fit(tmp_path: Path) -> None:
    wide = saved(model(width=16), tmp_path / "wide")
    with pytest.raises(UserError, match="does not fit this model"):
        model(stage="enhancer", enhancers=1).begin_with(wide)
    with pytest.raises(UserError, match=r"holds no model\.json"):
        model().begin_with(str(tmp_path))
    (tmp_path / "wide" / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="has 7 of"):
        model().begin_with(wide)


# --------------------------------------------------------------------------------------------------- styles


def test_styles_are_centres_of_what_was_seen() -> None:
    """Two kinds of pictures of one class, one of another: two styles, the commoner first, and one."""
    game = model(features=2, clusters=2)
    dark, bright = torch.full((3, 16, 16), -0.8), torch.full((3, 16, 16), 0.8)
    classes = torch.zeros(16, 16, dtype=torch.long)
    classes[:, 8:] = 2
    hot = F.one_hot(classes, 4).movedim(-1, 0).float()
    batch = {"input": hot.expand(5, -1, -1, -1), "target": torch.stack([bright, dark, bright, bright, dark])}
    for picture in batch["target"]:
        picture[:, :, 8:] = 0.1
    game.cluster_styles([batch])
    counts = game.generator.style_counts.tolist()
    assert counts[0] == 2 and counts[2] >= 1 and counts[1] == counts[3] == 0
    encoder = game.generator.encoder
    assert encoder is not None
    with torch.no_grad():
        found = encoder(batch["target"], batch["input"].argmax(1))[:, :, 0, 0]
    torch.testing.assert_close(game.generator.styles[0, 0], found[[0, 2, 3]].mean(0))
    torch.testing.assert_close(game.generator.styles[0, 1], found[[1, 4]].mean(0))


def test_styles_drawn_together_are_those_of_one_image() -> None:
    """Six images from dark to bright, in two classes; one lacks the second class."""
    game = model(features=2, clusters=3, kept_style="together")
    classes = torch.zeros(6, 16, 16, dtype=torch.long)
    classes[:5, :, 8:] = 2
    target = torch.tensor([0.3, -0.8, 0.0, -0.6, 0.5, 0.9])[:, None, None, None].repeat(1, 3, 16, 16)
    target += torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) / 5
    target[..., 8:] *= 0.5
    hot = F.one_hot(classes, 4).movedim(-1, 1).float()
    batches = zip(hot.split(4), target.split(4), strict=True)
    game.cluster_styles([{"input": part, "target": images} for part, images in batches])
    encoder = game.generator.encoder
    assert encoder is not None
    with torch.no_grad():
        found = encoder(target, classes)
    styles = game.generator.styles  # (classes, styles, features)
    kept = [int((found[..., 0, 0] - styles[0, n]).abs().sum(1).argmin()) for n in range(3)]
    assert len(set(kept)) == 3
    for number, image in enumerate(kept):
        torch.testing.assert_close(styles[0, number], found[image, :, 0, 0])
        own = found[image, :, 0, -1] if image != 5 else found[:5, :, 0, -1].mean(0)  # else the mean
        torch.testing.assert_close(styles[2, number], own)
    drawn = set()
    for seed in range(20):
        torch.manual_seed(seed)
        features = game.styled(classes[:1], torch.arange(256).reshape(1, 16, 16))
        same = [n for n in range(3) if torch.equal(features[0].movedim(0, -1), styles[classes[0], n])]
        drawn.update(same)
        assert same
    assert drawn == {0, 1, 2}


def styled() -> Pix2PixHD:
    game = model(features=2, clusters=3)
    random = torch.Generator().manual_seed(0)
    game.generator.styles.copy_(torch.rand(4, 3, 2, generator=random) * 4 - 2)
    game.generator.style_counts.copy_(torch.tensor([3, 3, 2, 1]))
    return game


def test_a_style_changes_its_class_alone() -> None:
    game, batch = styled(), pairs(batch=1)
    labels, things = batch["labels"], torch.zeros_like(batch["labels"])
    plain = torch.full_like(labels, -1)
    torch.manual_seed(0)
    drawn = game.styled(labels, things, plain)
    asked = torch.where(labels == 1, 2, plain)
    torch.manual_seed(0)
    chosen = game.styled(labels, things, asked)
    other = (labels != 1)[:, None].expand_as(drawn)
    assert torch.equal(drawn[other], chosen[other])
    wanted = game.generator.styles[1, 2]
    assert torch.equal(chosen.movedim(1, -1)[labels == 1], wanted.expand(int((labels == 1).sum()), 2))


def test_draws_differ_between_things_and_seeds() -> None:
    game = styled()
    labels = torch.zeros(1, 8, 64, dtype=torch.long)
    things = torch.arange(64).expand(1, 8, 64)
    x = F.one_hot(labels, 4).movedim(-1, 1).float()
    torch.manual_seed(0)
    columns = game.styled(labels, things)[0, :, 0].T
    assert len({tuple(column) for column in columns.tolist()}) == 3
    first, again, other = (game.sample(x, seed, things) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_the_commonest_style_is_no_draw() -> None:
    game, batch = styled(), pairs(batch=1)
    game.eval()
    torch.manual_seed(0)
    drawn = game.generate(batch)
    game.kept_style = "commonest"
    first, again = game.generate(batch), game.generate(batch)
    assert torch.equal(first, again) and not torch.equal(first, drawn)
    assert game.settings_in_use() == {"kept_style": "commonest"} and model().settings_in_use() == {}
    features = game.generator.styles[batch["labels"], 0].movedim(-1, 1)
    assert torch.equal(first, game.generate(batch | {"features": features}))
    x, things = batch["input"], batch["instances"]
    assert torch.equal(game.sample(x, 0, things), game.sample(x, 1, things))
    named = torch.where(batch["labels"] == 0, 2, -1)
    assert not torch.equal(game.sample(x, 0, things), game.sample(x, 0, things, named))


def test_no_such_style() -> None:
    game, batch = styled(), pairs(batch=1)
    with pytest.raises(UserError, match="Class 2 has 2 styles, not 3"):
        game.sample(batch["input"], styles=torch.where(batch["labels"] == 2, 2, -1))


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_a_training_keeps_its_styles(ema: float) -> None:
    data = ScenePairs(size=32, train_length=4, eval_length=2, batch_size=2)
    game = model(in_channels=16, features=2, clusters=2, ema=ema)
    options: dict[str, Any] = {
        "accelerator": "cpu",
        "max_steps": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "limit_val_batches": 0,
    }
    pl.Trainer(callbacks=[KeepStyles()], **options).fit(game, data)
    samples = data.split("train")
    assert samples is not None
    there = {int(n) for i in range(4) for n in torch.unique(samples.sample(i, None)["labels"])}
    for generator in filter(None, (game.generator, game.generator_ema)):
        counts = generator.style_counts.tolist()  # type: ignore[union-attr]
        assert {number for number, count in enumerate(counts) if count} == there
    with pytest.raises(UserError, match=r"features is 0"):
        pl.Trainer(callbacks=[KeepStyles()], **options).fit(model(in_channels=16), data)
    with pytest.raises(UserError, match="at least 1"):
        KeepStyles(0)


# ------------------------------------------------------------------------------------------------------ use


def test_any_size_and_no_neighbours() -> None:
    game = model(stage="joint", enhancers=1)
    batch = pairs(batch=3, side=20)
    x = batch["input"][..., :13, :]
    made = game.sample(x)
    assert made.shape == (3, 3, 13, 20)
    assert made.abs().max() <= 1
    torch.testing.assert_close(game.sample(x[1:2]), made[1:2])
    assert game.sample(F.one_hot(torch.zeros(1, 1, 1, dtype=torch.long), 4).movedim(-1, 1)).shape == (
        1,
        3,
        1,
        1,
    )


def test_instances_change_the_boundaries() -> None:
    game = model()
    x = pairs(batch=1)["input"]
    same = game.sample(x, instances=x.argmax(1))
    assert torch.equal(game.sample(x), same)
    assert not torch.equal(game.sample(x, instances=torch.zeros_like(x.argmax(1))), same)


def test_export_keeps_the_styles(tmp_path: Path) -> None:
    game = styled()
    write(game, describe(game, dict(game.hparams), {}), tmp_path / "kept")
    again = load(tmp_path / "kept")
    x = pairs(batch=1)["input"]
    torch.testing.assert_close(again.sample(x, seed=3), game.sample(x, seed=3))


# ------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"stage": "global", "enhancers": 1}, "stage is global and model.enhancers is 1"),
        ({"stage": "joint"}, "stage is joint and model.enhancers is 0"),
        ({"stage": "joint", "enhancers": 2, "width": 6}, "need a multiple of 4"),
        ({"features": 3, "clusters": 0}, "clusters is 0"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        model(**options)


def test_batches_that_do_not_fit() -> None:
    game, batch = model(), pairs()
    with pytest.raises(UserError, match="has no instance maps"):
        game.generate({key: batch[key] for key in ("input", "target")})
    with pytest.raises(UserError, match=r"input has 3 channels but model\.in_channels is 4"):
        game.generate(batch | {"input": batch["input"][:, :3]})
    with pytest.raises(UserError, match=r"target has 1 channels but model\.out_channels is 3"):
        game.generate(batch | {"target": batch["target"][:, :1]})
    with pytest.raises(UserError, match="multiples of 2, at least 4"):
        game.generate({key: value[..., :15] for key, value in batch.items()})
    with pytest.raises(UserError, match="map of instances is"):
        game.sample(batch["input"], instances=batch["instances"][:1])


def test_resizing_replaces_transposed_convolutions_of_the_generator() -> None:
    options: dict[str, Any] = {
        "in_channels": 5,
        "width": 8,
        "blocks": 1,
        "discriminator_width": 4,
        "features": 2,
    }
    model = Pix2PixHD(stage="joint", enhancers=1, upsampling="resize", perceptual="none", **options)
    kinds = {name for name, m in model.generator.named_modules() if isinstance(m, nn.ConvTranspose2d)}
    assert kinds and all(name.startswith("encoder.") for name in kinds)
    labels = F.one_hot(torch.zeros(1, 64, 64, dtype=torch.long), 5).movedim(-1, 1)
    assert model.sample(labels).shape == (1, 3, 64, 64)
