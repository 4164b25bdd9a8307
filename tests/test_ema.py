"""The average of the generator's weights: exact, used wherever the model is used, resumed, exported."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from games import Data, Game
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from zoo.checkpoints import export, read_training_checkpoint
from zoo.data.images import Digits
from zoo.models.gan import GAN

Make = Callable[..., pl.Trainer]


class Normed(Game):
    """A generator with buffers."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.generator.append(torch.nn.BatchNorm1d(2))


class Watch(Callback):
    """The trained weights after each step."""

    def __init__(self) -> None:
        self.seen: list[dict[str, torch.Tensor]] = []

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.seen.append(deepcopy(pl_module.generator.state_dict()))

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *rest: Any) -> None:
        self.seen.append(deepcopy(pl_module.generator.state_dict()))


def test_it_is_the_average_that_it_says_it_is(trainer: Make) -> None:
    module, watch = Normed(ema=0.8), Watch()
    trainer(max_steps=12, max_epochs=-1, callbacks=[watch]).fit(module, Data(num_workers=0))
    first, *rest = watch.seen
    for key, value in module.generator_ema.state_dict().items():  # type: ignore[union-attr]
        if "running" in key or "num_batches" in key:
            assert torch.equal(value, rest[-1][key])
            continue
        average = first[key]
        for step, state in enumerate(rest):
            decay = min(0.8, (1 + step) / (10 + step))
            average = decay * average + (1 - decay) * state[key]
        assert torch.allclose(value, average, atol=1e-6) and not torch.equal(value, rest[-1][key])


def test_it_changes_nothing_of_the_training(trainer: Make) -> None:
    states = []
    for ema in (0.0, 0.9):
        pl.seed_everything(1, verbose=False)
        module = Normed(ema=ema)
        trainer(max_steps=5, max_epochs=-1).fit(module, Data(num_workers=0))
        states.append({k: v for k, v in module.state_dict().items() if "ema" not in k})
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert Normed().generator_ema is None


def test_evaluation_uses_it_and_puts_the_trained_weights_back(trainer: Make) -> None:
    module = Normed(ema=0.9)
    trainer(max_steps=5, max_epochs=-1).fit(module, Data(num_workers=0))
    trained, average = module.generator, module.generator_ema
    with module.in_use(0):
        assert module.generator is average
        with module.in_use(0):
            assert module.generator is average
        assert module.generator is average
    assert module.generator is trained
    used = []
    trained.register_forward_hook(lambda *_: used.append("trained"))
    average.register_forward_hook(lambda *_: used.append("average"))  # type: ignore[union-attr]
    batch = {"point": torch.zeros(4, 2)}
    for step in (module.validation_step, module.test_step, module.predict_step):
        step(batch, 0)
    assert used == ["average"] * 3
    with pytest.raises(RuntimeError), module.averaged():
        raise RuntimeError
    assert module.generator is trained


@pytest.mark.parametrize("before", [0.0, 0.9])
def test_it_is_resumed_and_begins_where_there_was_none(before: float, trainer: Make, tmp_path: Path) -> None:
    def fit(steps: int, ema: float, ckpt: str | None) -> Game:
        pl.seed_everything(1, verbose=False)
        module = Normed(ema=ema)
        saver = ModelCheckpoint(tmp_path / str(steps), save_last=True, every_n_train_steps=1)
        loop = trainer(max_steps=steps, max_epochs=-1, callbacks=[saver], enable_checkpointing=True)
        loop.fit(module, Data(num_workers=0), ckpt_path=ckpt, weights_only=True)
        return module

    early = fit(4, before, None)
    resumed = fit(9, 0.9, str(tmp_path / "4" / "last.ckpt"))
    whole = fit(9, 0.9, None)
    assert torch.equal(resumed.generator[0].weight, whole.generator[0].weight)  # type: ignore[index]
    same = torch.equal(resumed.generator_ema[0].weight, whole.generator_ema[0].weight)  # type: ignore[index]
    assert same == bool(before) == (early.generator_ema is not None)
    fit(10, 0.0, str(tmp_path / "9" / "last.ckpt"))  # without it again


def test_it_is_what_is_exported(trainer: Make, tmp_path: Path) -> None:
    module = GAN(shape=(1, 8, 8), hidden=16, latent_dim=4, ema=0.9)
    loop = trainer(max_steps=3, max_epochs=-1)
    loop.fit(module, Digits(batch_size=16, num_workers=0))
    loop.save_checkpoint(tmp_path / "last.ckpt")
    expected = module.sample(4, seed=1)
    assert torch.equal(read_training_checkpoint(tmp_path / "last.ckpt").sample(4, seed=1), expected)
    assert torch.equal(export(tmp_path / "last.ckpt", tmp_path / "out").sample(4, seed=1), expected)
    again = GAN.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert torch.equal(again.sample(4, seed=1), expected)
    assert not torch.equal(again.generator.last.weight, again.generator_ema.last.weight)  # type: ignore[union-attr]
