"""Fine-tuning: first weights of another training, frozen layers of the discriminator, DiffAugment."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from games import Data, Game
from tiny import adversarial, game
from torch import Tensor, nn

from zoo.adversarial import PLAYERS, AdversarialModule, Batch, Terms, trained
from zoo.checkpoints import export
from zoo.errors import UsageError, UserError
from zoo.files.checkpoints import read_checkpoint
from zoo.losses import augment
from zoo.models.pix2pix import Pix2Pix

Make = Callable[..., pl.Trainer]
GAMES = sorted(adversarial())
SMALL: dict[str, Any] = {"levels": 3, "width": 4, "discriminator_width": 4, "receptive_field": 16}


class Pictures(Data):
    """Pairs of random pictures."""

    contract = "pairs"
    research_only = True

    def train_dataloader(self) -> Any:
        torch.manual_seed(0)
        batch = {"input": torch.rand(2, 3, 8, 8) * 2 - 1, "target": torch.rand(2, 3, 8, 8) * 2 - 1}
        return torch.utils.data.DataLoader([batch] * 4, batch_size=None)  # type: ignore[arg-type]


@pytest.fixture
def checkpoint(trainer: Make, tmp_path: Path) -> Path:
    """A checkpoint of a small pix2pix after one step."""
    torch.manual_seed(7)
    t = trainer(max_steps=1)
    t.fit(Pix2Pix(**SMALL), Pictures())
    t.save_checkpoint(path := tmp_path / "first" / "checkpoints" / "last.ckpt")
    return path


def same(a: nn.Module, state: dict[str, Tensor], player: str) -> bool:
    return all(torch.equal(value, state[f"{player}.{key}"]) for key, value in a.state_dict().items())


def test_both_players_begin_with_a_checkpoint(
    checkpoint: Path, trainer: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for origin in (checkpoint, checkpoint.parents[1]):  # and a run folder
        tuned = Pix2Pix(**SMALL, init_from=str(origin), learning_rate=1e-30)
        given = read_checkpoint(checkpoint)["state_dict"]
        assert not same(tuned.generator, given, "generator")
        tuned.begin_with(str(origin))
        assert same(tuned.generator, given, "generator") and same(tuned.discriminator, given, "discriminator")
    t = trainer(max_steps=2)
    t.fit(tuned, Pictures())
    assert torch.equal(tuned.generator.down[0][0].weight, given["generator.down.0.0.weight"])  # type: ignore[index, union-attr]
    assert "anew" not in capsys.readouterr().err
    t.save_checkpoint(second := tmp_path / "second.ckpt")
    record = read_checkpoint(second)["zoo"]["init_from"]
    assert record["players"] == [*PLAYERS] and record["step"] == 1 and record["research_only"]
    # a resume neither needs the weights nor forgets them
    checkpoint.unlink()
    resumed = Pix2Pix(**SMALL, init_from=str(origin))
    t = trainer(max_steps=3)
    t.fit(resumed, Pictures(), ckpt_path=second)
    t.save_checkpoint(third := tmp_path / "third.ckpt")
    assert read_checkpoint(third)["zoo"]["init_from"] == record


def test_terms_of_use_are_handed_down(checkpoint: Path, trainer: Make, tmp_path: Path) -> None:
    class Free(Pictures):
        licence, research_only = "CC0", False

    for origin, restricted in ((None, False), (str(checkpoint), True)):
        t = trainer(max_steps=1)
        t.fit(Pix2Pix(**SMALL, init_from=origin), Free())
        t.save_checkpoint(path := tmp_path / "tuned.ckpt")
        out = tmp_path / f"out{restricted}"
        export(path, out)
        config = json.loads((out / "model.json").read_text())
        assert config["research_only"] is restricted and ("init_from" in config) is restricted
        assert ("research" in config["licence"]["weights"]) is restricted
    Pix2Pix(**SMALL).begin_with(str(out))


def test_a_discriminator_that_was_not_kept_starts_anew(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export(checkpoint, tmp_path / "out")
    tuned = Pix2Pix(**SMALL, freeze_discriminator=1)
    own = {key: value.clone() for key, value in tuned.state_dict().items()}
    tuned.begin_with(str(tmp_path / "out"))
    assert same(tuned.discriminator, own, "discriminator") and not same(tuned.generator, own, "generator")
    assert tuned.beginning and tuned.beginning["players"] == ["generator"]
    said = capsys.readouterr().err
    assert "the discriminator starts anew (it holds none)" in said and "freezes untrained layers" in said
    Pix2Pix(**SMALL | {"discriminator_width": 8}).begin_with(str(checkpoint))
    assert "discriminator.layers.0.weight is 4x6x4x4 there and 8x6x4x4 here" in capsys.readouterr().err


def test_what_does_not_fit_is_refused_with_what_to_do(checkpoint: Path) -> None:
    with pytest.raises(
        UserError, match=r"generator\.down\.0\.0\.weight is 4x3x4x4 there and 4x5x4x4 here"
    ) as found:
        Pix2Pix(**SMALL, in_channels=5, lambda_l1=3.0).begin_with(str(checkpoint))
    assert "set model.in_channels to 3, and" in str(found.value)
    with pytest.raises(UserError, match=r"set model\.levels to 3 and model\.width to 4, and"):
        Pix2Pix(**SMALL | {"levels": 4, "width": 8}).begin_with(str(checkpoint))
    with pytest.raises(
        UserError, match=r"holds a zoo\.models\.pix2pix\.Pix2Pix, but this trains a games\.Game"
    ):
        Game().begin_with(str(checkpoint))


@pytest.mark.parametrize("name", GAMES)
def test_frozen_layers_rest_and_all_that_is_judged_is_augmented(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every paper: with pictures recoloured to grey, its discriminator sees no other in training."""
    drawn: list[Any] = []
    monkeypatch.setattr(augment, "recoloured", lambda pictures, draws: pictures * 0 + 0.5)
    monkeypatch.setattr(augment, "moved", lambda maps, draws: drawn.append(draws) or maps)
    built = game(name, "--model.freeze_discriminator", "2", "--model.diff_augment", "[translation]")
    model: AdversarialModule = built.model
    layers = model.discriminator_layers()
    assert sorted(id(p) for layer in layers for p in layer) == sorted(
        map(id, model.discriminator.parameters())
    )
    weights = [max(layer, key=lambda p: p.dim()).shape for layer in layers]
    assert weights[-1][0] == 1, "the last layer gives the logits"
    # a map of statistics may come in between
    assert all(b[1] % a[0] < 2 for a, b in pairwise(weights)) or name == "GAN", "each takes the one before"
    before = [[p.detach().clone() for p in layer] for layer in layers]
    values: list[int] = []

    def look(network: nn.Module, inputs: tuple[Tensor]) -> None:
        values.append(inputs[0][:, -model.hparams.get("out_channels", 1) :].unique().numel())

    model.discriminator.register_forward_pre_hook(look)
    built.trainer.fit(model, built.datamodule)
    changed = [
        any(not torch.equal(a, b) for a, b in zip(old, new, strict=True))
        for old, new in zip(before, layers, strict=True)
    ]
    assert changed == [False, False] + [True] * (len(layers) - 2)
    for player, optimizer in zip(PLAYERS, built.trainer.optimizers, strict=True):
        mine = {id(p) for group in optimizer.param_groups for p in group["params"]}
        assert mine == set(map(id, trained(getattr(model, player))))
    assert len(values) >= 4 and set(values) == {1}
    if name == "Pix2PixHD":  # feature matching compares real and fake: one change for all of a step
        assert len(drawn) == 6 and len(set(map(id, drawn))) == 2
    if name == "GAN":
        model.eval().judge(torch.rand(2, *model.shape))  # type: ignore[operator]
        assert values[-1] > 1, "use is not augmented"


def test_too_many_layers_are_refused(trainer: Make) -> None:
    with pytest.raises(UsageError, match="discriminator has 2 layers; give at most 1"):
        trainer(max_steps=1).fit(Game(freeze_discriminator=2), Data())


def test_a_pair_is_changed_alike_and_conditions_keep_their_values() -> None:
    model = Pix2Pix(**SMALL, in_channels=3, diff_augment=("color", "translation", "cutout"))
    labels = torch.nn.functional.one_hot(torch.randint(3, (4, 16, 16)), 3).movedim(-1, 1).float()
    seen = model.seen(labels - 0.25, labels)
    condition, image = seen[:, :3], seen[:, 3:]
    assert set(condition.unique().tolist()) == {0.0, 1.0}
    gone = condition.sum(1) == 0
    assert gone.any() and torch.equal(gone, (image == 0).all(1))
    shown = image.masked_fill(gone[:, None], -9).argmax(1)  # colours keep the order of channels
    assert torch.equal(shown[~gone], condition.argmax(1)[~gone])
    assert model.eval().seen(labels, labels).shape == seen.shape


def test_off_nothing_is_done() -> None:
    image = torch.rand(2, 3, 8, 8)
    game, state = Game(), torch.get_rng_state()
    assert game.seen(image) is image and torch.equal(torch.get_rng_state(), state)


def test_a_game_that_passes_nothing_through_is_refused(trainer: Make) -> None:
    class Deaf(Game):
        def generator_loss(self, batch: Batch, fake: Tensor) -> Terms:
            return super().generator_loss(batch, fake)

    with pytest.raises(UsageError, match="Deaf has passed nothing"):
        trainer(max_steps=1).fit(Deaf(diff_augment=("color",)), Data())
    with pytest.raises(UsageError, match="this data has none"):
        Game(diff_augment=("color",)).seen(torch.zeros(2, 2))
