"""Health: a verdict for each illness, none for a sound game, each said once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from games import Data, Game, weights
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from zoo.adversarial import Batch, Terms
from zoo.callbacks.health import Health, spread
from zoo.data.base import SampleSet, Split

Make = Callable[..., pl.Trainer]


class Acted(Game):
    """A game whose losses are as large as a test says, and whose generator makes what a test says."""

    def __init__(
        self, d_loss: Callable[[int], float], g_scale: Callable[[int], float], vary: float = 1.0
    ) -> None:
        super().__init__(lr=0.0)
        self.d_loss, self.g_scale, self.vary = d_loss, g_scale, vary

    def generate(self, batch: Batch) -> Tensor:
        return batch["point"] * self.vary + 0 * super().generate(batch)

    def discriminator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        zero = 0 * self.discriminator(fake).mean()
        loss = self.d_loss(self.trainer.global_step)
        return {"real": zero + loss, "fake": zero + loss}

    def generator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        return {"adversarial": self.generator[2].bias.sum() * self.g_scale(self.trainer.global_step)}


class Counted(Callback):
    """Log a mode count, as the evaluator does."""

    def __init__(self, found: Callable[[int], int]) -> None:
        self.found = found

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *rest: Any) -> None:
        pl_module.log("val/modes_found", float(self.found(trainer.global_step)), logger=False)


Verdicts = list[tuple[str, int, str]]


def _verdicts(trainer: Make, game: Game, steps: int = 100, *callbacks: Callback) -> Verdicts:
    t = trainer(max_steps=steps, log_every_n_steps=1, callbacks=[*callbacks, Health(20)])
    t.fit(game, Data(val=20))
    history = json.loads((Path(t.default_root_dir) / "health.json").read_text())
    return [(row["topic"], row["step"], row["verdict"]) for row in history]


def _fine(step: int) -> float:
    return 0.6


def test_a_sound_game_is_called_sound(trainer: Make, capsys: pytest.CaptureFixture[str]) -> None:
    verdicts = _verdicts(trainer, Acted(_fine, lambda step: 1.0))
    assert [(topic, text) for topic, _, text in verdicts] == [
        ("players", "The two players are in balance."),
        ("gradient", "The generator gets a gradient."),
        ("diversity", "The samples vary."),
    ]
    assert capsys.readouterr().out.count("in balance") == 1


def test_a_discriminator_that_wins_is_called_out_once(
    trainer: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    game = Acted(lambda step: 0.6 if step < 30 else 0.005, lambda step: 1.0)
    said = [text for topic, _, text in _verdicts(trainer, game, 120) if topic == "players"]
    assert len(said) == 2
    assert said[0] == "The two players are in balance."
    assert said[1].startswith("The discriminator has won: it nearly always recognises fakes (loss 0.0")
    assert capsys.readouterr().out.count("has won") == 1


def test_a_discriminator_that_is_fooled_is_called_out(trainer: Make) -> None:
    said = [text for topic, _, text in _verdicts(trainer, Acted(lambda step: 3.0, lambda step: 1.0), 20)]
    assert said[0].startswith("The generator has won")


def test_between_the_limits_the_old_verdict_stands(trainer: Make) -> None:
    game = Acted(lambda step: 0.6 if step < 20 else 0.05, lambda step: 1.0)
    assert len([topic for topic, _, _ in _verdicts(trainer, game, 120) if topic == "players"]) == 1


def test_a_flat_gradient_is_called_out(trainer: Make) -> None:
    game = Acted(_fine, lambda step: 1.0 if step < 30 else 1e-6)
    said = [row for row in _verdicts(trainer, game, 150) if row[0] == "gradient"]
    assert [row[2].split("(")[0] for row in said] == [
        "The generator gets a gradient.",
        "The generator gets almost no gradient ",
    ]
    assert said[1][1] > 34, "one flat look, or four, are not enough"


def test_one_picture_for_all_noise_is_called_out(trainer: Make) -> None:
    game = Acted(_fine, lambda step: 1.0, vary=0.01)
    said = [text for topic, _, text in _verdicts(trainer, game) if topic == "diversity"]
    assert len(said) == 1 and said[0].startswith("The samples have collapsed: they differ 0.01 times")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (lambda step: 3, "The generator keeps 3 of 10 modes: mode collapse."),
        (lambda step: 9 if step < 20 else 2, "The generator keeps 2 of 10 modes: mode collapse."),
        (lambda step: min(10, step // 8), "The generator keeps its modes: 8 of 10."),  # still learns
        (lambda step: 0, None),  # nothing is learnt yet: that is no collapse
    ],
)
def test_mode_counts(found: Callable[[int], int], expected: str | None, trainer: Make) -> None:
    game = Acted(_fine, lambda step: 1.0)
    said = [text for topic, _, text in _verdicts(trainer, game, 100, Counted(found)) if topic == "modes"]
    assert said[-1].startswith(expected) if expected else not said, said


class Pictures(SampleSet):
    """Noise of 32 pixels, and as its input the same."""

    def __len__(self) -> int:
        return 24

    def sample(self, index: int, random: torch.Generator | None) -> Batch:
        image = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(index)) * 1.2 - 0.6
        return {"input": image, "target": image}


class PictureData(Data):
    contract = "pairs"

    def dataset(self, split: Split) -> SampleSet | None:
        return Pictures()


class Spoilt(Game):
    """A game whose generator adds what a test says to the real pictures."""

    def __init__(self, spoil: Callable[[int, Tensor], Tensor]) -> None:
        super().__init__(lr=0.0)
        self.spoil = spoil

    def generate(self, batch: Batch) -> Tensor:
        return self.spoil(self.trainer.global_step, batch["input"]) + 0 * self.generator[2].bias.sum()

    def discriminator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        return {"real": 0 * self.discriminator[0].weight.sum() + 0.6}

    def generator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        return {"adversarial": fake.sum()}


def _gridded(step: int, images: Tensor) -> Tensor:
    made = images.clone()
    pattern = -0.1 * torch.ones(32, 32)
    pattern[::2, ::2] += 0.4  # on average 0
    made += pattern * (2 <= step < 14)
    return made


def _burnt(step: int, images: Tensor) -> Tensor:
    return images + 0.4 * torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(0)).clamp(
        -1, 1
    )


def _tinted(step: int, images: Tensor) -> Tensor:
    return images + torch.tensor([0.1, 0, 0]).view(3, 1, 1)


GRID, GONE = "A fine grid lies over the images (2 pixels: +", "The fine grid is gone."


@pytest.mark.parametrize(
    ("spoil", "topic", "expected"),
    [
        (_gridded, "grid", [(10, GRID), (15, GONE)]),
        (_burnt, "static", [(10, "The same patch is in every image (rows 0 to 31, columns 0 to 31: correl")]),
        (_tinted, "colour", [(10, "The images are tinted (red +13")]),
        (lambda step, images: images, "", []),
    ],
    ids=["grid", "burnt patch", "tint", "clean"],
)
def test_artefacts_are_called_out(
    spoil: Callable[[int, Tensor], Tensor], topic: str, expected: list[tuple[int, str]], trainer: Make
) -> None:
    t = trainer(max_steps=20, log_every_n_steps=1, callbacks=[Health(5)])
    t.fit(Spoilt(spoil), PictureData())
    said = json.loads((Path(t.default_root_dir) / "health.json").read_text())
    found = [row for row in said if row["topic"] in ("grid", "static", "colour", "flat")]
    assert {row["topic"] for row in found} <= {topic}
    assert [
        (row["step"], row["verdict"][: len(text)]) for row, (_, text) in zip(found, expected, strict=True)
    ] == expected


def test_checks_run_on_logged_steps_only(trainer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    health = Health()
    monkeypatch.setattr(health, "_judge_players", lambda t, m: steps.append(t.global_step))
    trainer(max_steps=9, log_every_n_steps=4, callbacks=[health]).fit(Game(), Data())
    assert steps == [1, 4, 8, 9]


def test_training_does_not_notice(trainer: Make) -> None:
    runs = []
    for callbacks in ([], [Health(2)]):
        pl.seed_everything(3, verbose=False)
        game = Game()
        trainer(max_steps=6, log_every_n_steps=1, callbacks=callbacks).fit(game, Data())
        runs.append(weights(game))
    assert torch.equal(*runs)


def test_a_resumed_run_goes_on_with_its_verdicts() -> None:
    health, again = Health(), Health()
    health.state.history.append({"step": 1, "topic": "players", "verdict": "x"})
    health._observe("d_real", 0.5)
    again.load_state_dict(health.state_dict())
    assert again.state_dict() == health.state_dict()


def test_spread_is_the_mean_distance_of_all_pairs() -> None:
    assert float(spread(torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]]))) == pytest.approx(10 / 3)


def test_a_lost_game_is_not_called_balanced_for_its_beginning(trainer: Make) -> None:
    game = Acted(lambda step: 0.7 if step < 4 else 0.001, lambda step: 1.0)
    (said,) = [text for topic, _, text in _verdicts(trainer, game, 20) if topic == "players"]
    assert said.startswith("The discriminator has won")


def test_a_generator_that_grows_is_compared_at_its_own_size(trainer: Make, tmp_path: Path) -> None:
    class Growing(Game):
        def generate(self, batch: Batch) -> Tensor:
            return torch.nn.functional.avg_pool2d(batch["image"], 8)

    health, module = Health(), Growing()
    health._folder = tmp_path
    health._batch = {"image": torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1}
    logged: dict[str, Tensor] = {}
    module.log = lambda name, value: logged.update({name: value})  # type: ignore[method-assign, assignment]
    health._judge_samples(trainer(), module)
    assert list(logged) == ["health/diversity"] and float(logged["health/diversity"]) == pytest.approx(1)
