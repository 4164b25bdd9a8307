"""Base class of all adversarial papers: two players, updated in turn within each training step.

A paper's file holds networks, losses, weights, learning rates and the order of updates. This base holds what
no paper says. Under manual optimization Lightning leaves freezing, counting, logging, schedules, clipping,
accumulation and compilation to the module; all of it is done here.

One *step* is what Lightning's ``global_step`` counts: one call of ``training_step`` with one batch. Within it
the discriminator and the generator are each updated once, or as often as the paper says.
"""

from __future__ import annotations

import math
import warnings
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import partial, reduce
from itertools import chain
from operator import add
from typing import Any, ClassVar, Literal, TypedDict, Unpack

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.core.optimizer import LightningOptimizer, do_nothing_closure
from torch import Tensor, nn

from zoo import catalogue
from zoo.bounds import Fraction, NonNegativeInt, PositiveFloat, PositiveInt, require_arguments
from zoo.errors import UsageError, UserError
from zoo.files.weights import LAYERS, Stored, made, read_exported, read_trained, terms_of_use
from zoo.guards import GuardedModule, is_logged, say
from zoo.losses import augment
from zoo.losses.augment import Draws
from zoo.recipes import public_path

Batch = dict[str, Any]
Terms = dict[str, Tensor]
Player = Literal["generator", "discriminator"]
PLAYERS: tuple[Player, Player] = ("generator", "discriminator")


class GameOptions(TypedDict, total=False):
    """Options that every paper takes as keywords.

    Attributes:
        clip_grad_norm: Largest norm of a player's gradient; not clipped by default.
        accumulate: Number of micro-batches that each batch is split into, to save memory (batch norm then
            sees one micro-batch at a time).
        compile: Whether to compile both players with ``torch.compile``.
        channels_last: Whether to keep the players' 4-d weights in the channels-last memory format. Often
            faster, above all under ``trainer.precision bf16-mixed``; results differ by rounding only.
        init_from: Weights to begin with: a name, an exported folder, a training checkpoint or a run folder.
            The generator must fit; the discriminator is taken if it was kept and fits, and else starts anew,
            which is said. Read when a training starts, not when it is resumed.
        freeze_discriminator: Number of the discriminator's first layers that are not trained (Mo 2020,
            https://arxiv.org/abs/2002.10964). A layer is a convolution or a dense layer with the parameters
            of what follows it up to the next one (norms, slopes), counted from the input; of a discriminator
            of several scales, the layers of this number of all scales. Batch norm keeps using the statistics
            of the batch.
        diff_augment: Changes of all that the discriminator sees in training (Zhao 2020,
            :mod:`zoo.losses.augment`). What is judged together (an input and its translation) is translated
            and cut out together; only the picture is recoloured, never a condition.
        ema: Decay per step of an exponential moving average of the generator's weights, 0 for none. The
            average, not the trained weights, is what evaluators, sample grids, ``sample`` and ``zoo export``
            use; buffers (statistics of batch norm) are copied. It begins fast: the decay is at most
            (1 + step) / (10 + step).
    """

    clip_grad_norm: PositiveFloat | None
    accumulate: PositiveInt
    compile: bool
    channels_last: bool
    init_from: str | None
    freeze_discriminator: NonNegativeInt
    diff_augment: tuple[Literal["color", "translation", "cutout"], ...]
    ema: Fraction


class AdversarialModule(GuardedModule):
    """Two players and their training step; a paper sets both networks and writes what it says about them.

    A subclass sets ``generator`` and ``discriminator`` and writes ``generate``, ``discriminator_loss``,
    ``generator_loss`` and ``configure_optimizers`` (the generator's optimizer first, see :meth:`adam`). It
    overrides ``training_step`` only if the paper alternates differently, and then builds it from
    :meth:`generator_first` or :meth:`update`. ``sample`` runs inside :meth:`in_use`.
    """

    generator: nn.Module
    discriminator: nn.Module
    # when the schedulers advance; "turn" is an older name of "step"
    schedule_interval: ClassVar[Literal["epoch", "step", "turn"]] = "epoch"
    multiple = 1  # the networks take pictures whose sides are multiples of this,
    least = 1  # and at least this; see `padded`
    reach: int | None = None  # input pixels on each side that an output pixel depends on; None: all

    def __init__(self, **options: Unpack[GameOptions]) -> None:
        super().__init__()
        if unknown := options.keys() - GameOptions.__annotations__.keys():
            raise TypeError(f"{type(self).__name__} takes no argument {', '.join(sorted(unknown))}")
        self.automatic_optimization = False
        self.clip_grad_norm = options.get("clip_grad_norm")
        self.accumulate = options.get("accumulate", 1)
        self.compile_players = options.get("compile", False)
        self.channels_last = options.get("channels_last", False)
        self.init_from = options.get("init_from")
        self.freeze_discriminator = options.get("freeze_discriminator", 0)
        self.diff_augment = tuple(options.get("diff_augment", ()))
        self._has_augmented = False
        self.ema = options.get("ema", 0.0)
        self.generator_ema: nn.Module | None = None
        if self.accumulate < 1:
            raise ValueError(f"accumulate must be at least 1, got {self.accumulate}")

    # ------------------------------------------------------------------------------------ what a paper writes

    def generate(self, batch: Batch) -> Tensor:
        """The generator's output for ``batch``, in [-1, 1]."""
        raise NotImplementedError

    def discriminator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        """Weighted terms whose sum the discriminator minimises; ``fake`` is detached."""
        raise NotImplementedError

    def generator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        """Weighted terms whose sum the generator minimises."""
        raise NotImplementedError

    def seen(self, image: Tensor, *conditions: Tensor, draws: Draws | None = None) -> Tensor:
        """What the discriminator judges: conditions and image, concatenated; changed by ``diff_augment``.

        A paper passes what its discriminator judges through this method, in all losses.

        Args:
            image: Real or fake pictures (B, C, H, W) in [-1, 1].
            conditions: Maps (B, ., H, W) that they are judged with.
            draws: The changes, where several images are to be changed alike; else new ones are drawn.

        Raises:
            UsageError: ``diff_augment`` is set and these are no pictures.
        """
        if self.diff_augment and self.training:
            if image.dim() != 4:
                raise UsageError("model.diff_augment changes pictures, and this data has none; leave it out.")
            self._has_augmented = True
            draws = augment.draw(self.diff_augment, image) if draws is None else draws
            image = augment.recoloured(image, draws)
            return augment.moved(torch.cat([*conditions, image], dim=1), draws)
        return torch.cat([*conditions, image], dim=1) if conditions else image

    def may_start_anew(self, generator: Collection[str]) -> tuple[str, ...]:
        """Beginnings of the generator's weights that ``init_from`` may lack, or hold in another shape.

        Args:
            generator: The names of the weights that it holds.
        """
        return ()

    def discriminator_layers(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer of the discriminator from its input, see ``freeze_discriminator``.

        Modules are taken in the order in which they were registered; a paper whose discriminator runs them
        in another order, or has several branches, overrides this.
        """
        layers: list[list[nn.Parameter]] = []
        known: set[int] = set()
        for module in self.discriminator.modules():
            starts = isinstance(module, nn.modules.conv._ConvNd | nn.Linear)
            own = [p for p in module.parameters(recurse=starts) if id(p) not in known]
            known |= set(map(id, own))
            if own and (starts or not layers):
                layers.append([])
            if own:
                layers[-1] += own
        return layers

    # -------------------------------------------------------------------------------- the start of a training

    def begin(self) -> None:
        """Load the weights of ``init_from``, once, unless a checkpoint was loaded."""
        if self.init_from and not self.restored and self.beginning is None:
            self.begin_with(self.init_from)

    def begin_with(self, origin: str) -> None:
        """Load both players' weights from another training; see ``init_from``.

        Args:
            origin: A name of the index, an exported folder, a training checkpoint, or a run folder.

        Raises:
            UserError: The weights are missing, damaged, of another class, or do not fit the generator.
        """
        given = stored(origin)
        if why := self.misfit(given):
            raise UserError(why)
        taken: list[str] = []
        for player in PLAYERS:
            own, found = getattr(self, player).state_dict(), given.states.get(player, {})
            wrong = _differing(own, found)
            if wrong and player == "discriminator":
                there, here = _shape(found, wrong[0]), _shape(own, wrong[0])
                why = f"{player}.{wrong[0]} is {there} there and {here} here" if found else "it holds none"
                if getattr(self, "adversarial", True):  # else nothing is judged
                    say(f"From {origin} the generator alone; the discriminator starts anew ({why}).")
                continue
            if new := [key for key in wrong if key in own]:
                say(f"Not in {origin}, so they start anew: {len(new)} weights of the generator, as {new[0]}.")
            fits = {key: value for key, value in found.items() if key not in wrong}
            getattr(self, player).load_state_dict(fits, strict=False)
            taken.append(player)
        self.beginning = {
            "name": origin,
            "step": given.config.get("step"),
            "sha256": given.config.get("weights", {}).get("sha256"),
            "players": taken,
            **terms_of_use(given.config),
        }
        if self.freeze_discriminator and "discriminator" not in taken:
            say(
                "model.freeze_discriminator freezes untrained layers: leave it out, or begin with weights "
                "that hold the discriminator."
            )

    def misfit(self, given: Stored) -> str | None:
        """Why this model cannot begin with given weights, and what to do, in a sentence; None if it can."""
        mine, theirs = public_path(type(self)), given.config["class"]
        if theirs != mine:
            return f"{given.origin} holds a {theirs}, but this trains a {mine}: choose others, or none."
        if "generator" not in given.states:
            return f"{given.origin} holds no generator to begin with; choose others, or none."
        own, found = self.generator.state_dict(), given.states["generator"]
        wrong = (key for key in _differing(own, found) if not key.startswith(self.may_start_anew(found)))
        if (key := next(wrong, None)) is None:
            return None
        settings, wanted = dict(self.hparams), []
        for name, value in given.config["hyper_parameters"].items():
            if name not in settings or settings[name] == value:
                continue
            try:
                require_arguments(type(self).__init__, {name: value}, given.origin)
                other = made(type(self), settings | {name: value}, given.origin, "meta", LAYERS)
            except UserError:  # these arguments do not go together
                continue
            if _differing(own, other.generator.state_dict()):
                wanted.append(f"model.{name} to {value}")
        advice = f"set {' and '.join(wanted)}, and give data that fit" if wanted else "choose others"
        return (
            f"{given.origin} does not fit this model: generator.{key} is {_shape(found, key)} there and "
            f"{_shape(own, key)} here; {advice}, or leave out model.init_from."
        )

    def freeze_layers(self) -> None:
        """Exclude the discriminator's first ``freeze_discriminator`` layers from training.

        Raises:
            UsageError: It has no more layers than that.
        """
        if not self.freeze_discriminator:
            return
        layers = self.discriminator_layers()
        if self.freeze_discriminator >= len(layers):
            raise UsageError(
                f"model.freeze_discriminator is {self.freeze_discriminator}, but the discriminator has "
                f"{len(layers)} layers; give at most {len(layers) - 1}."
            )
        for parameter in chain.from_iterable(layers[: self.freeze_discriminator]):
            parameter.requires_grad = False

    def configure_callbacks(self) -> list[Callback]:
        """The start of a training, then the guards."""
        return [Beginning(), *super().configure_callbacks()]

    # ---------------------------------------------------------------------------------------- a training step

    def training_step(self, batch: Batch, batch_idx: int) -> Terms:
        """Update the discriminator, then the generator, on one forward pass of the generator.

        Returns:
            The terms of both losses by log key (``d_real``, ``g_l1``), detached.
        """
        parts = self.micro_batches(batch)
        if len(parts) > 1:  # keeping the graphs of all micro-batches would cost the memory to be saved
            return self.discriminator_step(parts) | self.generator_step(parts)
        fake = self.generate(batch)
        terms = self.update("discriminator", lambda: self.discriminator_loss(batch, fake.detach()))
        return terms | self.update("generator", lambda: self.generator_loss(batch, fake))

    def discriminator_step(self, parts: list[Batch]) -> Terms:
        """Update the discriminator once, on fakes generated without a graph for each micro-batch."""

        def evaluate(part: Batch) -> Terms:
            return self.discriminator_loss(part, self.generate_detached(part))

        return self.update("discriminator", *(partial(evaluate, part) for part in parts))

    def generator_step(self, parts: list[Batch]) -> Terms:
        """Update the generator once, on new fakes for each micro-batch."""

        def evaluate(part: Batch) -> Terms:
            return self.generator_loss(part, self.generate(part))

        return self.update("generator", *(partial(evaluate, part) for part in parts))

    def generator_first(self, parts: list[Batch]) -> Terms:
        """Update the generator, then the discriminator on the fakes generated before that update."""
        fakes: list[Tensor] = []

        def evaluate(part: Batch) -> Terms:
            fake = self.generate(part)
            fakes.append(fake.detach())
            return self.generator_loss(part, fake)

        terms = self.update("generator", *(partial(evaluate, part) for part in parts))
        judged = (partial(self.discriminator_loss, *pair) for pair in zip(parts, fakes, strict=True))
        return terms | self.update("discriminator", *judged)

    def generate_detached(self, batch: Batch) -> Tensor:
        """The generator's output without a graph, for the discriminator's loss."""
        with torch.no_grad():
            return self.generate(batch)

    def micro_batches(self, batch: Batch) -> list[Batch]:
        """Split ``batch`` into ``accumulate`` parts along its first dimension."""
        return [batch] if self.accumulate == 1 else chunk(batch, self.accumulate)

    def update(self, player: Player, *micro_batches: Callable[[], Terms]) -> Terms:
        """Update one player once: evaluate its terms with the opponent frozen and descend their sum.

        Args:
            player: The player to update. Only the generator's update advances ``global_step``.
            micro_batches: One function per micro-batch that returns its terms; gradients are averaged.

        Returns:
            The terms by log key, detached, averaged over micro-batches.
        """
        optimizer = self.optimizer_of(player)
        parts: list[Terms] = []
        with self.frozen_opponent(player):
            optimizer.zero_grad(set_to_none=True)
            for evaluate in micro_batches:
                terms = evaluate()
                if self.diff_augment and not self._has_augmented:
                    raise UsageError(
                        f"{type(self).__name__} has passed nothing that is judged through `seen`, so "
                        "model.diff_augment would do nothing; leave it out."
                    )
                loss = reduce(add, terms.values())
                self.manual_backward(loss / len(micro_batches) if len(micro_batches) > 1 else loss)
                parts.append({f"{player[0]}_{name}": term.detach() for name, term in terms.items()})
            with self._counted(optimizer, player == "generator"):
                optimizer.step()
        if player == "generator" and self.generator_ema is not None:
            self._average(self.generator_ema)
        terms = parts[0] if len(parts) == 1 else _mean(parts)
        if self.is_logged_step:
            # the norm is logged here and not in its hook: in an epoch's first batch Lightning drops what the
            # step has logged as soon as a hook logs
            logged = terms | {f"{player[0]}_grad_norm": self._grad_norm}
            self.log_dict({f"train/{name}": term for name, term in logged.items()})
        return terms

    # --------------------------------------------------------------------------- the average of the weights

    def configure_model(self) -> None:
        """Make the average of the generator's weights, if there is to be one; Lightning calls this."""
        if self.ema and self.generator_ema is None:
            self.generator_ema = deepcopy(self.generator).requires_grad_(False)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Begin the average with the weights of a checkpoint that has none; ignore one not asked for."""
        super().on_load_checkpoint(checkpoint)
        state = checkpoint["state_dict"]
        average = {key: value for key, value in state.items() if key.startswith("generator_ema.")}
        if self.generator_ema is None:
            for key in average:
                del state[key]
        elif not average:
            trained = {key: value for key, value in state.items() if key.startswith("generator.")}
            state |= {key.replace("generator.", "generator_ema.", 1): value for key, value in trained.items()}

    @property
    def average_age(self) -> int:
        """Steps since the average began; a paper that adds layers while it trains begins it anew."""
        return self._step

    @torch.no_grad()
    def _average(self, average: nn.Module) -> None:
        """Move the average towards the trained weights; copy the buffers."""
        age = self.average_age
        decay = min(self.ema, (1 + age) / (10 + age))
        torch._foreach_lerp_(list(average.parameters()), list(self.generator.parameters()), 1 - decay)
        for mine, theirs in zip(average.buffers(), self.generator.buffers(), strict=True):
            mine.copy_(theirs)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Temporarily let the average be the generator, if there is one."""
        if self.generator_ema is None:
            yield
            return
        trained, self.generator = self.generator, self.generator_ema
        try:
            yield
        finally:
            self.generator = trained

    # --------------------------------------------------------------------------------------------- optimizers

    def adam(self, lr: float, betas: tuple[float, float]) -> list[torch.optim.Optimizer]:
        """One Adam per player, the generator's first; fused where the device supports it."""
        fused = next(self.parameters()).device.type in ("cpu", "cuda", "mps")
        players = (self.generator, self.discriminator)
        return [torch.optim.Adam(trained(player), lr, betas, fused=fused) for player in players]

    @property
    def is_logged_step(self) -> bool:
        """Whether this step is logged; the same value from its first update to its last."""
        return is_logged(self.trainer, self._step + 1)

    def optimizer_of(self, player: Player) -> LightningOptimizer:
        """The player's optimizer, as Lightning wraps it."""
        optimizers = self.optimizers()
        assert isinstance(optimizers, list), (
            "configure_optimizers must return the generator's and the discriminator's"
        )
        optimizer = optimizers[PLAYERS.index(player)]
        assert isinstance(optimizer, LightningOptimizer)
        return optimizer

    @contextmanager
    def frozen_opponent(self, player: Player) -> Iterator[None]:
        """Let only ``player``'s parameters take gradients; restored on exit, even after an exception."""
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
        """Keep an update out of ``global_step`` unless it counts: Lightning counts every optimizer's step."""
        if counts:
            yield
            return
        # tests/test_contracts.py guards these two hooks
        before, after = optimizer._on_before_step, optimizer._on_after_step
        optimizer._on_before_step = optimizer._on_after_step = do_nothing_closure
        try:
            yield
        finally:
            optimizer._on_before_step, optimizer._on_after_step = before, after

    def on_fit_start(self) -> None:
        """Record each player's opponent; apply channels-last and compile if enabled."""
        # PyTorch counts the optimizer's steps of this process only, so the warning is wrong after a resume
        warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
        own = [
            {id(p) for group in optimizer.param_groups for p in group["params"]}
            for optimizer in self.trainer.optimizers
        ]
        taught = trained(self)
        self._opponents = {
            player: [p for other in own if other is not mine for p in taught if id(p) in other]
            for player, mine in zip(PLAYERS, own, strict=True)
        }
        self.arrange()
        if self.generator_ema is not None and not self.restored:  # of the weights that it begins with
            self.generator_ema.load_state_dict(self.generator.state_dict())
        if self.compile_players:  # in place: the checkpoint's keys stay as they are
            self.generator.compile()
            self.discriminator.compile()

    def on_train_start(self) -> None:
        """Say before the first step if a schedule reaches a learning rate of 0 before the run ends."""
        trainer, batches = self.trainer, int(self.trainer.num_training_batches)
        ends = [trainer.max_steps] if trainer.max_steps > 0 else []
        ends += [trainer.max_epochs * batches] if (trainer.max_epochs or -1) > 0 else []  # type: ignore[operator]
        unit, size = ("epoch", batches) if self.schedule_interval == "epoch" else ("step", 1)
        for config in trainer.lr_scheduler_configs if ends else ():
            for rate in getattr(config.scheduler, "lr_lambdas", ()):
                last = math.ceil(min(ends) / size) - 1
                if last > 0 and rate(last) == 0:
                    first = bisect_left(range(last), True, key=lambda number: rate(number) == 0)
                    say(
                        f"From {unit} {first} on the learning rate is 0, but the run has {last + 1} {unit}s: "
                        "lengthen the model's decay or shorten the run."
                    )
                    return

    def arrange(self) -> None:
        """Apply channels-last if enabled; the parameters stay the same objects."""
        if self.channels_last:
            for player in filter(None, (self.generator, self.discriminator, self.generator_ema)):
                player.to(memory_format=torch.channels_last)

    def place_like_generator(self, network: nn.Module) -> nn.Module:
        """Move a frozen loss network to the generator's device, dtype and memory format.

        Under autocast its convolutions and linear layers are kept in the lower precision, to which they would
        otherwise be cast at every call. The outputs are the same; the weights stay rounded.
        """
        like = next(self.generator.parameters())
        kind, dtype = like.device.type, like.dtype
        if torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        placed = all(x.weight.dtype == dtype and x.weight.device == like.device for x in layers)
        if self.channels_last:
            placed &= all(
                x.weight.is_contiguous(memory_format=torch.channels_last)
                for x in layers
                if isinstance(x, nn.Conv2d)
            )
        if not placed:
            network.to(like)
            for layer in layers:
                layer.to(dtype)
            if self.channels_last:
                network.to(memory_format=torch.channels_last)
        return network

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Bring the schedules to this step or epoch.

        Not at the start of an epoch: a run that resumes from a checkpoint of an epoch's last batch has none.
        Not at the end of a step: the checkpoint is written before the module's hook runs.
        """
        self._step = self.trainer.global_step
        due = self.current_epoch if self.schedule_interval == "epoch" else self._step
        for config in self.trainer.lr_scheduler_configs:
            scheduler: Any = config.scheduler
            while scheduler.last_epoch < due:
                scheduler.step()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip after any gradient scaler has unscaled; keep the gradient's norm on logged steps."""
        if not (self.is_logged_step or self.clip_grad_norm):
            return
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        limit = self.clip_grad_norm or float("inf")
        self._grad_norm = (
            nn.utils.clip_grad_norm_(parameters, limit) if self.clip_grad_norm else _norm(parameters)
        )

    # ---------------------------------------------------------------------------------------------------- use

    def forward(self, given: Any, *maps: Tensor) -> Tensor:
        """What ``sample`` computes of one input inside :meth:`in_use`; ``zoo export --to onnx`` writes this.

        It must suit ``torch.export``: no Python branch on values of tensors. A paper of pictures that takes
        no maps need not write it.

        Args:
            given: One picture (1, C, H, W) in [-1, 1] or one-hot, as large as :meth:`padded` makes it; the
                number of samples, if the model takes noise.
            maps: Those that :meth:`maps` names, (1, H, W) integers.

        Returns:
            Pictures (B, C, H, W) in [-1, 1], or points (B, 2).
        """
        return self.generate({"input": given})

    def maps(self) -> tuple[str, ...]:
        """Names of the maps that belong to a picture as further inputs."""
        return ()

    def padded(self, x: Tensor) -> tuple[Tensor, tuple[Any, ...]]:
        """Maps (B, C, H, W) mirrored to a size that fits the networks, and the original's index in it."""
        places = []
        for axis in (-2, -1):
            side = x.shape[axis]
            more = max(-side % self.multiple, self.least - side)
            before = more // 2
            at = torch.arange(-before, side + more - before, device=x.device)
            at = side - 1 - (at % max(1, 2 * (side - 1)) - side + 1).abs()  # mirrored as often as it takes
            x = x.index_select(axis, at)
            places.append(slice(before, before + side))
        return x, (..., *places)

    @contextmanager
    def in_use(self, seed: int) -> Iterator[None]:
        """Evaluation mode, no gradients, torch's RNG seeded with ``seed``; all restored on exit."""
        modes = {module: module.training for module in self.modules()}
        self.eval()
        try:
            with torch.no_grad(), self.seeded(seed), self.averaged():
                yield
        finally:
            for module, mode in modes.items():
                module.training = mode

    @property
    def at_once(self) -> int:
        """Inputs of one size that ``sample`` runs together.

        One on the CPU, where more is not faster, and rounding would depend on the others.
        """
        return 1 if self.device.type == "cpu" else 8

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """Temporarily seed torch's RNG; restore its state on exit."""
        initialised = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        devices = range(torch.cuda.device_count()) if initialised else ()
        with torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            yield

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The generator's output, for evaluators."""
        with self.averaged():
            return self.generate(batch)

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The generator's output, for evaluators; random draws depend on rank and batch only."""
        with self.seeded(10**6 * self.global_rank + batch_idx), self.averaged():
            return self.generate(batch)

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        """Columns of a sample grid by title, in [-1, 1]; a paper adds its inputs and targets."""
        return {"fake": self.generate(batch)}

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The generator's output."""
        with self.averaged():
            return self.generate(batch)


class Beginning(Callback):
    """Freeze layers before optimizers are made, and load the weights of ``init_from``."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Freeze layers for a training."""
        assert isinstance(pl_module, AdversarialModule)
        if stage == "fit":
            pl_module.freeze_layers()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Load the weights, unless a checkpoint was restored: only now that is known."""
        assert isinstance(pl_module, AdversarialModule)
        pl_module.begin()


def trained(network: nn.Module) -> list[nn.Parameter]:
    """The parameters that are not frozen."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def chunk(batch: Batch, parts: int) -> list[Batch]:
    """Split each value of ``batch`` into ``parts`` pieces of its first dimension.

    Raises:
        UserError: The batch does not divide evenly: pieces of unequal size would change the gradient.
    """
    size = len(next(iter(batch.values())))
    if size % parts:
        raise UserError(
            f"A batch of {size} does not divide into {parts} equal parts; set data.batch_size to a multiple "
            f"of {parts}."
        )
    each = size // parts
    return [{key: value[i : i + each] for key, value in batch.items()} for i in range(0, size, each)]


def _mean(parts: list[Terms]) -> Terms:
    return {name: torch.stack([terms[name] for terms in parts]).mean() for name in parts[0]}


def stored(origin: str) -> Stored:
    """The weights of a name of the index, an exported folder, a training checkpoint, or a run folder.

    Raises:
        UserError: There are none, or they are damaged.
    """
    path, expected = catalogue.stored(origin)
    return read_exported(path, expected) if path.is_dir() else read_trained(path)


def _differing(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> list[str]:
    """The names of weights that only one of two states has, or that differ in shape."""
    return [key for key in dict.fromkeys((*a, *b)) if _shape(a, key) != _shape(b, key)]


def _shape(state: Mapping[str, Tensor], key: str) -> str:
    """A weight's shape, for comparison and messages."""
    return "x".join(map(str, state[key].shape)) or "one number" if key in state else "absent"


def _norm(parameters: list[nn.Parameter]) -> Tensor:
    return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
