"""The game that all papers share: two players, one turn a step.

The paper's file holds networks, losses, weights, learning rates and the order of moves. This base holds
what no paper says: freezing, stepping, counting, logging, schedules, clipping, accumulation and compilation
under manual optimization, where Lightning leaves all of it to the module.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from operator import add
from typing import Any, ClassVar, Literal, TypedDict, Unpack

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer, do_nothing_closure
from torch import Tensor, nn

from zoo.guards import GuardedModule

Batch = dict[str, Any]
Terms = dict[str, Tensor]
Player = Literal["generator", "discriminator"]
PLAYERS: tuple[Player, Player] = ("generator", "discriminator")


class GameOptions(TypedDict, total=False):
    """Options that every paper takes as keywords.

    Attributes:
        clip_grad_norm: Largest norm of a player's gradient; none is clipped by default.
        accumulate: Cut each batch into this many micro-batches, for less memory (batch norm sees a part).
        compile: Compile both players with ``torch.compile``.
        channels_last: Keep the players' 4-d weights with channels last, which is often faster, above all
            under ``trainer.precision bf16-mixed``; the numbers are the same but for rounding.
    """

    clip_grad_norm: float | None
    accumulate: int
    compile: bool
    channels_last: bool


class AdversarialModule(GuardedModule):
    """Two players and their turn; a paper sets both networks and writes what it says about them.

    A subclass sets ``generator`` and ``discriminator`` and writes ``generate``, ``discriminator_loss``,
    ``generator_loss`` and ``configure_optimizers`` (the generator's optimizer first). It overrides
    ``training_step`` only where the paper alternates differently, and builds it from :meth:`update`.
    """

    generator: nn.Module
    discriminator: nn.Module
    schedule_interval: ClassVar[Literal["epoch", "turn"]] = "epoch"  # what one step of the schedulers counts

    def __init__(self, **options: Unpack[GameOptions]) -> None:
        super().__init__()
        if unknown := options.keys() - GameOptions.__annotations__.keys():
            raise TypeError(f"{type(self).__name__} takes no argument {', '.join(sorted(unknown))}")
        self.automatic_optimization = False
        self.clip_grad_norm = options.get("clip_grad_norm")
        self.accumulate = options.get("accumulate", 1)
        self.compile_players = options.get("compile", False)
        self.channels_last = options.get("channels_last", False)
        if self.accumulate < 1:
            raise ValueError(f"accumulate must be at least 1, got {self.accumulate}")

    # ------------------------------------------------------------------------------------ what a paper writes

    def generate(self, batch: Batch) -> Tensor:
        """The generator's output for ``batch``, in [-1, 1]."""
        raise NotImplementedError

    def discriminator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        """Weighted terms that the discriminator minimises the sum of; ``fake`` carries no graph."""
        raise NotImplementedError

    def generator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        """Weighted terms that the generator minimises the sum of."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------------- a turn

    def training_step(self, batch: Batch, batch_idx: int) -> Terms:
        """One turn: the discriminator moves, then the generator, both on one forward pass of the generator.

        Returns:
            The turn's terms by log key (``d_real``, ``g_l1``), detached.
        """
        parts = self.micro_batches(batch)
        if len(parts) == 1:
            fake = self.generate(batch)
            return self.update(
                "discriminator", lambda: self.discriminator_loss(batch, fake.detach())
            ) | self.update("generator", lambda: self.generator_loss(batch, fake))
        # the graphs of all micro-batches at once would cost the memory that accumulation is there to save
        return self.update("discriminator", *(self._judging(part) for part in parts)) | self.update(
            "generator", *(self._making(part) for part in parts)
        )

    def _judging(self, part: Batch) -> Callable[[], Terms]:
        return lambda: self.discriminator_loss(part, self.generate_detached(part))

    def _making(self, part: Batch) -> Callable[[], Terms]:
        return lambda: self.generator_loss(part, self.generate(part))

    def generate_detached(self, batch: Batch) -> Tensor:
        """A fake for the discriminator alone: no graph is kept."""
        with torch.no_grad():
            return self.generate(batch)

    def micro_batches(self, batch: Batch) -> list[Batch]:
        """Cut ``batch`` into ``accumulate`` parts along its first dimension."""
        return [batch] if self.accumulate == 1 else chunk(batch, self.accumulate)

    def update(self, player: Player, *micro_batches: Callable[[], Terms]) -> Terms:
        """Move one player once: evaluate its terms with the opponent frozen and descend their sum.

        Args:
            player: Who moves. The generator's move counts as the step of the turn.
            micro_batches: One function a micro-batch that gives its terms; gradients are averaged over them.

        Returns:
            The terms by log key, detached, averaged over micro-batches.
        """
        optimizer = self.optimizer_of(player)
        parts: list[Terms] = []
        with self.frozen_opponent(player):
            optimizer.zero_grad(set_to_none=True)
            for evaluate in micro_batches:
                terms = evaluate()
                loss = reduce(add, terms.values())
                self.manual_backward(loss / len(micro_batches) if len(micro_batches) > 1 else loss)
                parts.append({f"{player[0]}_{name}": term.detach() for name, term in terms.items()})
            with self._counted(optimizer, player == "generator"):
                optimizer.step()
        terms = parts[0] if len(parts) == 1 else _mean(parts)
        if self.is_logged_step:
            # the norm here, not in its hook: in an epoch's first batch Lightning drops what the step has
            # logged once a hook logs
            logged = terms | {f"{player[0]}_grad_norm": self._grad_norm}
            self.log_dict({f"train/{name}": term for name, term in logged.items()})
        return terms

    # ------------------------------------------------------------------------------------------ the machinery

    @property
    def is_logged_step(self) -> bool:
        """Whether the loggers write this turn; true from its first move to its last."""
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        return every > 0 and (self._turn + 1) % every == 0

    def optimizer_of(self, player: Player) -> LightningOptimizer:
        """The player's optimizer, as Lightning wraps it."""
        optimizers = self.optimizers()
        assert isinstance(optimizers, list), (
            "configure_optimizers must give the generator's and the discriminator's"
        )
        optimizer = optimizers[PLAYERS.index(player)]
        assert isinstance(optimizer, LightningOptimizer)
        return optimizer

    @contextmanager
    def frozen_opponent(self, player: Player) -> Iterator[None]:
        """Within, only ``player``'s parameters take gradients; restored even after an exception."""
        opponent = self._opponents[player]
        for parameter in opponent:
            parameter.requires_grad = False
        try:
            yield
        finally:
            for parameter in opponent:
                parameter.requires_grad = True

    @contextmanager
    def _counted(self, optimizer: LightningOptimizer, counts: bool) -> Iterator[None]:
        """Keep a move out of ``global_step`` unless it counts: Lightning counts every optimizer's step."""
        if counts:
            yield
            return
        before, after = (
            optimizer._on_before_step,
            optimizer._on_after_step,
        )  # tests/test_contracts.py guards these
        optimizer._on_before_step = optimizer._on_after_step = do_nothing_closure
        try:
            yield
        finally:
            optimizer._on_before_step, optimizer._on_after_step = before, after

    def on_fit_start(self) -> None:
        """Know who opposes whom; arrange and compile when asked."""
        # torch counts the optimizer's steps of this process only, and is wrong after a resume
        warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
        own = [
            {id(p) for group in optimizer.param_groups for p in group["params"]}
            for optimizer in self.trainer.optimizers
        ]
        self._opponents = {
            player: [p for other in own if other is not mine for p in self.parameters() if id(p) in other]
            for player, mine in zip(PLAYERS, own, strict=True)
        }
        self.arrange()
        if self.compile_players:  # in place: keys of checkpoints stay as they are
            self.generator.compile()
            self.discriminator.compile()

    def arrange(self) -> None:
        """Put channels last when asked; the parameters stay the same objects."""
        if self.channels_last:
            for player in (self.generator, self.discriminator):
                player.to(memory_format=torch.channels_last)

    def beside(self, network: nn.Module) -> nn.Module:
        """Bring a frozen network of a loss to where the generator is, and arrange it as the players are.

        Under autocast its convolutions and linear layers are kept in the lower precision, to which they would
        be cast anew at every call. The numbers are the same, and the weights stay rounded.
        """
        like = next(self.generator.parameters())
        kind, dtype = like.device.type, like.dtype
        if torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        kept = all(x.weight.dtype == dtype and x.weight.device == like.device for x in layers)
        if self.channels_last:
            kept &= all(
                x.weight.is_contiguous(memory_format=torch.channels_last)
                for x in layers
                if isinstance(x, nn.Conv2d)
            )
        if not kept:
            network.to(like)
            for layer in layers:
                layer.to(dtype)
            if self.channels_last:
                network.to(memory_format=torch.channels_last)
        return network

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Begin a turn; bring the schedules to this turn or epoch.

        Not at the epoch's start: a run that resumes from a checkpoint of an epoch's last batch has none.
        Not at the turn's end: a checkpoint is written before the module hears of it.
        """
        self._turn = self.trainer.global_step
        due = self._turn if self.schedule_interval == "turn" else self.current_epoch
        for config in self.trainer.lr_scheduler_configs:
            scheduler: Any = config.scheduler
            while scheduler.last_epoch < due:
                scheduler.step()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip here, after any gradient scaler has unscaled; keep the gradient's norm on logged steps."""
        if not (self.is_logged_step or self.clip_grad_norm):
            return
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        limit = self.clip_grad_norm or float("inf")
        self._grad_norm = (
            nn.utils.clip_grad_norm_(parameters, limit) if self.clip_grad_norm else _norm(parameters)
        )

    # ---------------------------------------------------------------------------------------------------- use

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The generator's output, for evaluators."""
        return self.generate(batch)

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The generator's output, for evaluators."""
        return self.generate(batch)

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """Columns of a sample grid by title, in [-1, 1]; a paper adds its inputs and targets."""
        return {"fake": self.generate(batch)}

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The generator's output."""
        return self.generate(batch)


def chunk(batch: Batch, parts: int) -> list[Batch]:
    """Cut each value of ``batch`` into ``parts`` pieces of its first dimension.

    Raises:
        ValueError: The batch does not divide evenly: pieces of unequal weight would change the gradient.
    """
    size = len(next(iter(batch.values())))
    if size % parts:
        raise ValueError(f"a batch of {size} does not divide into {parts} equal micro-batches")
    each = size // parts
    return [{key: value[i : i + each] for key, value in batch.items()} for i in range(0, size, each)]


def _mean(parts: list[Terms]) -> Terms:
    return {name: torch.stack([terms[name] for terms in parts]).mean() for name in parts[0]}


def _norm(parameters: list[nn.Parameter]) -> Tensor:
    return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
