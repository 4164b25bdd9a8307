"""The base of adversarial papers: counting, freezing, clipping, accumulating, logging, schedules."""

from __future__ import annotations

import copy
import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from games import Data, Game, Plain, Scheduled, ScheduledByStep, weights
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from zoo.adversarial import Batch, Terms
from zoo.errors import UserError

Make = Callable[..., pl.Trainer]


class Spy(Callback):
    """Call a function at the end of each batch with the module and the step's outputs."""

    def __init__(self, look: Callable[[pl.Trainer, Any, Any], None]) -> None:
        self.look = look

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.look(trainer, pl_module, outputs)


def test_one_batch_is_one_step(trainer: Make) -> None:
    steps: list[int] = []
    t = trainer(max_steps=10, callbacks=[Spy(lambda t, m, o: steps.append(t.global_step))])
    t.fit(Game(), Data())
    assert t.global_step == 10
    assert steps == list(range(1, 11))


def test_several_updates_of_the_discriminator_are_one_step(trainer: Make) -> None:
    t = trainer(max_steps=5)
    t.fit(ScheduledByStep(), Data())
    assert t.global_step == 5


def test_checkpoints_are_named_and_timed_by_steps(trainer: Make, tmp_path: Path) -> None:
    saver = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=5, save_top_k=-1)
    trainer(max_epochs=2, enable_checkpointing=True, callbacks=[saver]).fit(Game(), Data())
    assert sorted(p.name for p in tmp_path.glob("*.ckpt")) == ["step=10.ckpt", "step=15.ckpt", "step=5.ckpt"]


class Watched(Game):
    """Keep both players' weights before and after each update."""

    def __init__(self) -> None:
        super().__init__()
        self.updates: list[tuple[str, bool, bool]] = []

    def update(self, player: Any, *micro_batches: Callable[[], Terms]) -> Terms:
        before = weights(self.generator), weights(self.discriminator)
        terms = super().update(player, *micro_batches)
        moved = [
            not torch.equal(b, weights(n))
            for b, n in zip(before, (self.generator, self.discriminator), strict=True)
        ]
        self.updates.append((player, *moved))
        return terms


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_frozen_network_placed_like_the_generator_gives_autocast_s_numbers(precision: torch.dtype) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3))
    network.eval().requires_grad_(False)
    x = torch.rand(2, 3, 9, 9)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        wanted = network(x)
        found = Game(channels_last=True).place_like_generator(network)
        assert found is network
        # channels last may be summed in another order, by the processor
        rtol = 0.0 if precision == torch.bfloat16 else 1e-5
        torch.testing.assert_close(network(x), wanted, rtol=rtol, atol=rtol)
    first, norm = network[0], network[1]
    assert first.weight.dtype == precision and norm.weight.dtype == torch.float32
    assert first.weight.is_contiguous(memory_format=torch.channels_last)
    Game().place_like_generator(network)  # as in a validation without autocast
    assert first.weight.dtype == torch.float32


class Modes(Game):
    """A discriminator with a part that stays in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.discriminator[1].eval()


def test_use_leaves_no_trace() -> None:
    game = Modes()
    modes = {name: module.training for name, module in game.named_modules()}
    state = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="in use"), game.in_use(seed=4):
        assert not any(module.training for module in game.modules())
        assert not torch.is_grad_enabled()
        drawn = torch.rand(3)
        raise RuntimeError("in use")
    assert {name: module.training for name, module in game.named_modules()} == modes
    assert not modes["discriminator.1"] and modes["generator"]
    assert torch.is_grad_enabled() and torch.equal(torch.get_rng_state(), state)
    with game.in_use(seed=4):
        assert torch.equal(torch.rand(3), drawn)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_generator_first_equals_a_plain_transcription(accumulate: int, trainer: Make) -> None:
    class First(Plain):
        def training_step(self, batch: Batch, batch_idx: int) -> Terms:
            return self.generator_first(self.micro_batches(batch))

    game = First(accumulate=accumulate).double()
    plain = copy.deepcopy(game)
    batches = [{"point": torch.randn(4, 2, dtype=torch.float64)} for _ in range(3)]
    t = trainer(max_steps=3, precision="64-true")
    t.fit(game, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    g, d = plain.configure_optimizers()
    for batch in batches:
        fake = plain.generate(batch)
        g.zero_grad()
        plain.generator_loss(batch, fake)["adversarial"].backward()
        g.step()
        d.zero_grad()
        sum(plain.discriminator_loss(batch, fake.detach()).values()).backward()  # type: ignore[union-attr]
        d.step()
    torch.testing.assert_close(weights(game), weights(plain), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("device", "fused"), [("cpu", True), ("meta", False)])
def test_adam_for_both_players(device: str, fused: bool) -> None:
    game = Game().to(device)
    players = (game.generator, game.discriminator)
    for player, optimizer in zip(players, game.adam(0.3, (0.5, 0.9)), strict=True):
        assert optimizer.param_groups[0]["params"] == list(player.parameters())
        assert optimizer.defaults["lr"] == 0.3 and optimizer.defaults["betas"] == (0.5, 0.9)
        assert optimizer.defaults["fused"] is fused


def test_each_update_changes_its_player_alone(trainer: Make) -> None:
    game = Watched()
    trainer(max_steps=2).fit(game, Data())
    assert game.updates == [("discriminator", False, True), ("generator", True, False)] * 2


def test_the_opponent_takes_no_gradient(trainer: Make) -> None:
    def grads(net: Any) -> list[Tensor]:
        return [p.grad.clone() for p in net.parameters() if p.grad is not None]

    class Kept(Game):
        def training_step(self, batch: Batch, batch_idx: int) -> Terms:
            judged = self.update(
                "discriminator", lambda: self.discriminator_loss(batch, self.generate_detached(batch))
            )
            before = grads(self.discriminator)
            made = self.update("generator", lambda: self.generator_loss(batch, self.generate(batch)))
            after = grads(self.discriminator)
            assert len(before) == 4 and all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
            return judged | made

    trainer(max_steps=2).fit(Kept(), Data())


def test_freezing_is_restored_after_an_exception(trainer: Make) -> None:
    class Broken(Game):
        def discriminator_loss(self, batch: Batch, fake: Tensor) -> Terms:
            assert not any(p.requires_grad for p in self.generator.parameters())
            raise RuntimeError("no loss today")

    game = Broken()
    with pytest.raises(RuntimeError, match="no loss today"):
        trainer(max_steps=1).fit(game, Data())
    assert all(p.requires_grad for p in game.parameters())


def test_gradients_are_clipped_where_the_optimizer_sees_them(trainer: Make) -> None:
    norms: list[float] = []

    class Seen(Game):
        def configure_optimizers(self) -> Any:
            optimizers = super().configure_optimizers()
            for optimizer in optimizers:
                optimizer.register_step_post_hook(lambda o, args, kwargs: norms.append(_norm(o)))
            return optimizers

    trainer(max_steps=3).fit(Seen(), Data())
    free, norms = norms, []
    assert len(free) == 6 and min(free) > 0.02
    trainer(max_steps=3).fit(Seen(clip_grad_norm=0.01), Data())
    assert norms == pytest.approx([0.01] * 6, rel=1e-3)


def _norm(optimizer: torch.optim.Optimizer) -> float:
    grads = [
        p.grad.flatten() for group in optimizer.param_groups for p in group["params"] if p.grad is not None
    ]
    return float(torch.cat(grads).norm())


def test_accumulation_equals_one_big_batch(trainer: Make) -> None:
    games = []
    for accumulate in (1, 4):
        pl.seed_everything(3, verbose=False)
        game = Plain(accumulate=accumulate).double()
        t = trainer(max_steps=5, precision="64-true")
        t.fit(game, Data(count=40, batch_size=8))
        assert t.global_step == 5
        games.append(weights(game))
    torch.testing.assert_close(games[0], games[1], rtol=1e-10, atol=1e-12)


def test_a_batch_that_does_not_divide_is_refused(trainer: Make) -> None:
    with pytest.raises(UserError, match=r"4 does not divide into 3 equal parts; set data\.batch_size"):
        trainer(max_steps=1).fit(Plain(accumulate=3), Data())


def test_logging_happens_on_logged_steps_only(trainer: Make, tmp_path: Path) -> None:
    calls: list[int] = []

    class Counting(Game):
        def log(self, name: str, *args: Any, **kwargs: Any) -> None:
            calls.append(self.trainer.global_step)
            super().log(name, *args, **kwargs)

        def log_dict(self, *args: Any, **kwargs: Any) -> None:
            calls.append(self.trainer.global_step)
            super().log_dict(*args, **kwargs)

    logger = CSVLogger(tmp_path, "", "run")
    trainer(max_steps=9, log_every_n_steps=4, logger=logger).fit(Counting(), Data())
    assert set(calls) <= {0, 1, 3, 4, 7, 8, 9}, "work was done on a step that is not logged"
    header, *rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    names = {"train/d_real", "train/d_fake", "train/g_adversarial", "train/g_grad_norm", "train/d_grad_norm"}
    assert names <= set(header.split(","))
    column = header.split(",").index("step")
    assert [row.split(",")[column] for row in rows] == ["0", "3", "7", "8"]  # the first and the last, too


def test_every_row_has_every_term(trainer: Make, tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, "", "run")
    trainer(max_epochs=2, log_every_n_steps=1, logger=logger).fit(Game(), Data(count=8))
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert [row["step"] for row in rows] == ["0", "1", "2", "3"]
    assert all(all(row.values()) for row in rows)


def test_no_logging_at_all_when_it_is_switched_off(trainer: Make) -> None:
    t = trainer(max_steps=3, log_every_n_steps=0)
    t.fit(Game(), Data())
    assert t.global_step == 3


def test_terms_come_back_detached(trainer: Make) -> None:
    seen: list[Terms] = []
    trainer(max_steps=1, callbacks=[Spy(lambda t, m, o: seen.append(o))]).fit(Game(), Data())
    assert set(seen[0]) == {"d_real", "d_fake", "g_adversarial"}
    assert not any(term.requires_grad for term in seen[0].values())


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="Game takes no argument clip_gradnorm"):
        Game(clip_gradnorm=1.0)
    with pytest.raises(ValueError, match="accumulate"):
        Game(accumulate=0)


def _rates(game: type[Game], make: Make, ckpt: Path | None, **options: Any) -> list[float]:
    rates: list[float] = []
    spy = Spy(lambda t, m, o: rates.extend({o.param_groups[0]["lr"] for o in t.optimizers}))
    make(callbacks=[spy, *options.pop("callbacks", [])], **options).fit(game(lr=1.0), Data(), ckpt_path=ckpt)
    return rates


@pytest.mark.parametrize(
    ("game", "expected"),
    [
        (Scheduled, [0.5**epoch for epoch in range(3) for _ in range(9)]),
        (ScheduledByStep, [0.5**step for step in range(27)]),
    ],
)
@pytest.mark.parametrize("cut", [5, 9, 13, 18])
def test_schedules_count_and_resume(
    game: type[Game], expected: list[float], cut: int, trainer: Make, tmp_path: Path
) -> None:
    saver = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=cut, save_top_k=-1)
    whole = _rates(game, trainer, None, max_epochs=3, callbacks=[saver], enable_checkpointing=True)
    assert whole == pytest.approx(expected)
    rest = _rates(game, trainer, tmp_path / f"step={cut}.ckpt", max_epochs=3)
    assert rest == pytest.approx(expected[cut:])


TWO_RANKS = """
import sys
import torch
import lightning.pytorch as pl
from lightning.pytorch.loggers import CSVLogger
from games import Data, Game, weights
from zoo.callbacks.health import Health
from zoo.callbacks.samples import SampleGrid

torch.set_num_threads(1)
seen = []

class Ranked(Game):
    def validation_step(self, batch, batch_idx):
        seen.extend(batch["point"][:, 0].tolist())

    def on_validation_end(self):
        every = self.all_gather(torch.tensor(seen)).flatten().tolist()
        assert len(every) == len(set(every)) == 20, (len(every), len(set(every)))

    def on_train_end(self):
        both = self.all_gather(weights(self))
        assert torch.equal(both[0], both[1]), (both[0] - both[1]).abs().max()
        assert self.trainer.global_step == 5
        if self.trainer.is_global_zero:
            print("EQUAL")

pl.seed_everything(1, verbose=False)
pl.Trainer(
    accelerator="cpu", devices=2, strategy="ddp_find_unused_parameters_true",
    logger=CSVLogger(sys.argv[1], "", "run"), log_every_n_steps=1, max_epochs=1, num_sanity_val_steps=0,
    enable_progress_bar=False, enable_model_summary=False,
    callbacks=[SampleGrid(2), Health(2)],
).fit(Ranked(), Data(count=40, val=20))
"""


def test_two_processes_end_with_equal_weights(tmp_path: Path, script_environment: dict[str, str]) -> None:
    script = tmp_path / "two.py"
    script.write_text(TWO_RANKS)
    done = subprocess.run(
        [sys.executable, script, tmp_path],
        capture_output=True,
        text=True,
        timeout=200,
        env=script_environment,
    )
    assert done.returncode == 0 and "EQUAL" in done.stdout, done.stdout[-1000:] + done.stderr[-3000:]
    assert (tmp_path / "run" / "env.json").is_file()
    assert (tmp_path / "run" / "samples" / "latest.png").is_file()
    assert (tmp_path / "run" / "health.json").is_file()
