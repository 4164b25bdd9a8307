"""Time a recipe's training step, and what the zoo's loop costs over a bare PyTorch loop of the same modules.

Both loops run in one process on the same prepared batches, in alternating blocks of steps, so that background
load affects both equally. A step, with the updates of both players, is timed from the start of one batch to
the start of the next: it includes all that Lightning, the guards and the loggers do.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from itertools import chain, cycle, islice, product, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.adversarial import AdversarialModule

Batch = dict[str, Any]
Turn = Callable[[Batch], object]
PREPARED = 8  # batches that both loops cycle through
BLOCK = 10  # steps per block, fewer in short measurements
NAMES = {"zoo": "the zoo's loop", "loop": "bare PyTorch loop", "reference": "reference order of work"}


@dataclass
class Times:
    """Seconds of one loop's steps, and of its whole blocks.

    Args:
        steps: Times from each step's start to the next one's.
        blocks: Mean step of each block: the block's time over its steps.
    """

    steps: list[float] = field(default_factory=list)
    blocks: list[float] = field(default_factory=list)

    def add(self, block: list[float]) -> None:
        """Record one block's steps."""
        self.steps += block
        self.blocks.append(statistics.fmean(block))


@dataclass(frozen=True)
class Line:
    """One line of the table; times in milliseconds, memory in MB.

    Args:
        loop: ``zoo``, ``loop`` or ``reference``.
        batch: Samples per step.
        size: Size that was asked for; None for the recipe's.
        precision: Lightning's name of the precision.
        median: Median step.
        low: Fastest step.
        high: Slowest step.
        mean: Mean step over whole blocks, logged steps included.
        images: Images per second at the median.
        peak: Peak memory of a process (GPU memory on a GPU) that runs this loop alone; may be None.
        model: Parameters and buffers.
        wait: Share of a step that waits for data from the recipe's loader.
    """

    loop: str
    batch: int
    size: int | None
    precision: str
    median: float
    low: float
    high: float
    mean: float
    images: float
    peak: float | None
    model: float
    wait: float


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("recipe", metavar="RECIPE", help="a name that `zoo list recipes` prints, or a file")
    parser.add_argument(
        "--steps", type=_positive, default=50, metavar="N", help="timed steps of each loop (50)"
    )
    parser.add_argument("--warmup", type=_positive, default=5, metavar="N", help="steps before them (5)")
    parser.add_argument("--batch", type=_positive, nargs="+", default=[None], metavar="B", help="batch sizes")
    parser.add_argument(
        "--size", type=_positive, nargs="+", default=[None], metavar="S", help="data.size, pixels"
    )
    parser.add_argument("--precision", nargs="+", default=[None], metavar="P", help="32-true or bf16-mixed")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override, as model.width=32"
    )
    parser.add_argument(
        "--against",
        choices=("loop", "reference", "none"),
        default="loop",
        help="a bare loop of the same turn; the reference codes' (unfused optimizers); or nothing",
    )
    parser.add_argument("--no-memory", action="store_true", help="skip peak memory (one more process a loop)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Measure each combination of batch, size and precision; print a table and one sentence each."""
    for name in ("lightning.pytorch", "lightning.fabric"):  # a Trainer's own messages are no result
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    lines: list[Line] = []
    for batch, size, precision in product(args.batch, args.size, args.precision):
        given = {"data.batch_size": batch, "data.size": size, "trainer.precision": precision}
        overrides = [f"--{key}={value}" for key, value in given.items() if value is not None]
        overrides += [f"--{override}" for override in args.set]
        arguments = ["--config", args.recipe, "--wandb", "off", "--trainer.callbacks=[]", *overrides]
        lines += measure(arguments, args.steps, args.warmup, args.against, size, not args.no_memory)
    if args.json:
        print(json.dumps([asdict(line) for line in lines], indent=2))
        return 0
    print(table(lines))
    for sentence in sentences(args.recipe, lines):
        print(sentence)
    return 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


# -------------------------------------------------------------------------------------------- one measurement


def measure(
    arguments: list[str], steps: int, warmup: int, against: str, size: int | None = None, memory: bool = True
) -> list[Line]:
    """Measure one recipe with its overrides.

    Args:
        arguments: Arguments of ``zoo fit``.
        steps: Timed steps of each loop.
        warmup: Steps of each loop before them.
        against: ``loop``, ``reference`` or ``none``.
        size: Size to report in the lines.
        memory: Whether to measure peak memory, in one more process per loop.
    """
    setup = Setup(arguments)
    other = None if against == "none" else PlainLoop(setup, reference=against == "reference")
    times = setup.alternate(other, steps, warmup)
    wait = setup.wait(other or PlainLoop(setup), max(4, steps // 5))
    lines = []
    names = ("zoo", against) if other else ("zoo",)
    for name, measured in zip(names, times, strict=False):
        lines.append(
            Line(
                loop=name,
                batch=setup.batch_size,
                size=size,
                precision=setup.precision,
                median=1e3 * statistics.median(measured.steps),
                low=1e3 * min(measured.steps),
                high=1e3 * max(measured.steps),
                mean=1e3 * statistics.fmean(measured.blocks),
                images=setup.batch_size / statistics.median(measured.steps),
                peak=_peak_elsewhere(arguments, name) if memory else None,
                model=setup.model_megabytes,
                wait=wait,
            )
        )
    return lines


class Setup:
    """A recipe's model on its device, and batches prepared for it.

    Args:
        arguments: Arguments of ``zoo fit``.

    Raises:
        UserError: The recipe does not train two players, or its precision is not compared here.
    """

    def __init__(self, arguments: list[str]) -> None:
        from zoo.training import build

        built = build([*arguments, "--trainer.logger=false", "--trainer.enable_progress_bar=false"])
        from zoo.adversarial import AdversarialModule

        if not isinstance(built.model, AdversarialModule):
            raise UserError(
                f"{type(built.model).__name__} has no two players; zoo bench compares only steps of a game."
            )
        self.precision = str(built.trainer.precision)
        if self.precision not in ("32-true", "bf16-mixed"):
            raise UserError(
                f"zoo bench compares 32-true and bf16-mixed, not trainer.precision {self.precision}."
            )
        self.device = built.trainer.strategy.root_device
        self.accelerator = "cpu" if self.device.type == "cpu" else "gpu"
        self.log_every = int(built.config.trainer.log_every_n_steps)
        self.model: AdversarialModule = built.model.to(self.device).train()
        built.datamodule.prepare_data()
        built.datamodule.setup("fit")
        self.loader: Iterable[Batch] = built.datamodule.train_dataloader()
        self.batches = [self._move(batch) for batch in islice(self.loader, PREPARED)]
        self.batch_size = len(next(iter(self.batches[0].values())))
        tensors = [*self.model.parameters(), *self.model.buffers()]
        self.model_megabytes = sum(t.numel() * t.element_size() for t in tensors) / 1e6

    def alternate(self, other: Turn | None, steps: int, warmup: int) -> tuple[Times, Times]:
        """Times of a real Trainer's loop and of another, in alternating blocks."""
        import lightning.pytorch as pl
        from lightning.pytorch.callbacks import LambdaCallback
        from lightning.pytorch.loggers import CSVLogger

        block = max(1, min(BLOCK, steps // 5))
        clock = Clock(block, steps, warmup, other, self.batches, self._now)
        with tempfile.TemporaryDirectory() as folder:
            trainer = pl.Trainer(
                accelerator=self.accelerator,
                devices=1,
                precision=self.precision,  # type: ignore[arg-type]
                max_epochs=1,
                log_every_n_steps=self.log_every,
                logger=CSVLogger(folder, name="", version=""),
                callbacks=[LambdaCallback(on_train_batch_start=lambda *_: clock.batch_start())],
                limit_val_batches=0,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                use_distributed_sampler=False,
            )
            # one step more than is timed: the start of the next batch ends a step
            trainer.fit(self.model, train_dataloaders=Rounds(self.batches, warmup + steps + 1))
        return clock.zoo, clock.other

    def wait(self, turn: Turn, steps: int) -> float:
        """Share of the time of ``steps`` steps that waits for the recipe's own loader."""
        source, waited, worked = chain.from_iterable(repeat(self.loader)), 0.0, 0.0
        turn(self._move(next(source)))  # workers start here
        for _ in range(steps):
            before = self._now()
            batch = self._move(next(source))
            ready = self._now()
            turn(batch)
            waited, worked = waited + ready - before, worked + self._now() - ready
        return waited / (waited + worked)

    def autocast(self) -> AbstractContextManager[Any]:
        """The autocast context of a step in mixed precision."""
        import torch

        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16-mixed")

    def _move(self, batch: Batch) -> Batch:
        import torch

        return {k: v.to(self.device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}

    def _now(self) -> float:
        if self.device.type == "cuda":
            import torch

            torch.cuda.synchronize()
        return time.perf_counter()


@dataclass(frozen=True)
class Rounds:
    """A loader that cycles through prepared batches."""

    batches: list[Batch]
    length: int

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches."""
        return islice(cycle(self.batches), self.length)


class PlainLoop:
    """A step of a copy of the model in plain PyTorch: the paper's own ``training_step`` without the base.

    Args:
        setup: Model and precision.
        reference: Whether to step as the reference codes do: optimizers neither fused nor foreach, channels
            first in memory.
    """

    def __init__(self, setup: Setup, reference: bool = False) -> None:
        self.autocast = setup.autocast
        self.model = copy.deepcopy(setup.model)
        self.model.__class__ = type("Plain", (PlainTurn, type(setup.model)), {})
        configured: Any = self.model.configure_optimizers()
        optimizers, schedulers = configured if isinstance(configured, tuple) else (configured, [])
        if reference:
            for group in (group for optimizer in optimizers for group in optimizer.param_groups):
                group["fused"] = group["foreach"] = False
        else:
            self.model.arrange()
        self.model.__dict__["plain_optimizers"] = dict(
            zip(("generator", "discriminator"), optimizers, strict=True)
        )
        self.schedulers = schedulers if self.model.schedule_interval != "epoch" else []

    def __call__(self, batch: Batch) -> None:
        """Run one step."""
        with self.autocast():
            self.model.training_step(batch, 0)
        for scheduler in self.schedulers:
            scheduler.step()


class PlainTurn:
    """Mixed into a paper's class: ``AdversarialModule.update`` as a script would write it."""

    is_logged_step = False

    def update(self, player: str, *micro_batches: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Update one player: freeze the opponent, evaluate, descend."""
        import torch

        optimizer = self.__dict__["plain_optimizers"][player]
        opponent: Any = getattr(self, "generator" if player == "discriminator" else "discriminator")
        for parameter in opponent.parameters():
            parameter.requires_grad = False
        optimizer.zero_grad(set_to_none=True)
        terms: dict[str, Tensor] = {}
        for evaluate in micro_batches:
            terms = evaluate()
            loss = sum(terms.values()) / len(micro_batches)
            loss.backward()  # type: ignore[union-attr]
        optimizer.step()
        torch.clear_autocast_cache()  # copies of the weights before the step
        for parameter in opponent.parameters():
            parameter.requires_grad = True
        return {f"{player[0]}_{name}": term.detach() for name, term in terms.items()}

    def log(self, name: str, value: Any) -> None:
        """Do nothing: a bare loop does not log."""

    def log_dict(self, values: dict[str, Any]) -> None:
        """Do nothing: a bare loop does not log."""


@dataclass
class Clock:
    """Times the zoo's steps, and runs the other loop's blocks between its own.

    Args:
        block: Steps per block.
        steps: Timed steps of each loop.
        warmup: Steps of each loop before them.
        turn: Step of the other loop; None for none.
        batches: Batches of the other loop.
        now: Clock, in seconds.
    """

    block: int
    steps: int
    warmup: int
    turn: Turn | None
    batches: list[Batch]
    now: Callable[[], float]

    def __post_init__(self) -> None:
        self.zoo, self.other, self._rounds = Times(), Times(), cycle(self.batches)
        self._started: float | None = None
        self._count = -self.warmup  # of finished steps
        self._block: list[float] = []

    def batch_start(self) -> None:
        """Finish the step before this batch; at the end of a block run a block of the other loop."""
        now = self.now()
        if self._started is not None:
            self._count += 1
            if 0 < self._count <= self.steps:
                self._block.append(now - self._started)
        if self._started is None:
            self._other(self.warmup)
        elif len(self._block) == self.block or (self._count == self.steps and self._block):
            self.zoo.add(self._block)
            if times := self._other(len(self._block)):
                self.other.add(times)
            self._block = []
        self._started = self.now()

    def _other(self, count: int) -> list[float]:
        times = []
        for _ in range(count if self.turn else 0):
            before = self.now()
            self.turn(next(self._rounds))  # type: ignore[misc]
            times.append(self.now() - before)
        return times


# ------------------------------------------------------------------------------------------------ peak memory


def _peak_elsewhere(arguments: list[str], loop: str) -> float:
    """Peak memory in MB of a process that runs only this loop, for a few steps."""
    code = "import sys; from zoo.commands.bench import peak; print(peak(sys.argv[1], sys.argv[2:]))"
    done = subprocess.run([sys.executable, "-c", code, loop, *arguments], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"The process that measures memory failed ({last}); --no-memory goes without it.")
    return float(done.stdout.strip().splitlines()[-1])


def peak(loop: str, arguments: list[str]) -> float:
    """Run ``loop`` in this process for a few steps; its peak memory in MB."""
    setup = Setup(arguments)
    setup.batches = setup.batches[:1]
    if loop == "zoo":
        setup.alternate(None, steps=4, warmup=1)
    else:
        turn = PlainLoop(setup, reference=loop == "reference")
        del setup.model  # the loop has its own copy
        for _ in range(5):
            turn(setup.batches[0])
    if setup.device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 1e6
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss would include the parent's peak
        return float(status.read_text().split("VmHWM:")[1].split()[0]) / 1e3
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


# ------------------------------------------------------------------------------------------------- the report


def table(lines: list[Line]) -> str:
    """The lines as aligned text."""
    from zoo.drawing.tables import aligned

    head = "loop,batch,size,precision,ms per step,(min to max),mean,images/s,peak MB,model MB,data wait"
    rows = [tuple(head.split(","))]
    for line in lines:
        first = (NAMES[line.loop], str(line.batch), str(line.size or ""), line.precision)
        times = (f"{line.median:.2f}", f"({line.low:.2f} to {line.high:.2f})", f"{line.mean:.2f}")
        peak = "" if line.peak is None else f"{line.peak:.0f}"
        rows.append((*first, *times, f"{line.images:.0f}", peak, f"{line.model:.1f}", f"{line.wait:.1%}"))
    return aligned(rows)


def sentences(recipe: str, lines: list[Line]) -> list[str]:
    """One sentence per pair of loops, or per loop without another."""
    found = []
    for ours in (line for line in lines if line.loop == "zoo"):
        where = f"{recipe} at batch {ours.batch}, {ours.precision}"
        pair = (ours.batch, ours.size, ours.precision)
        other = next((x for x in lines if x.loop != "zoo" and (x.batch, x.size, x.precision) == pair), None)
        if other is None:
            found.append(f"{where}: a step of {NAMES['zoo']} takes {ours.median:.2f} ms.")
            continue
        found.append(
            f"{where}: {NAMES['zoo']} costs {cost(ours.median, other.median):+.1%} over the "
            f"{NAMES[other.loop]} ({ours.median:.2f} against {other.median:.2f} ms per step, medians; "
            f"over whole blocks {cost(ours.mean, other.mean):+.1%})."
        )
    return found


def cost(ours: float, other: float) -> float:
    """How much more ``ours`` is, as a share of ``other``."""
    return ours / other - 1.0
