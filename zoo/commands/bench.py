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
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain, cycle, islice, product, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.bounds import whole
from zoo.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.adversarial import AdversarialModule

Batch = dict[str, Any]
Turn = Callable[[Batch], object]
Blocks = list[list[float]]  # seconds of each step, by block
PREPARED = 8  # batches that both loops cycle through
BLOCK = 10  # steps per block, fewer in short measurements
NAMES = {"zoo": "the zoo's loop", "loop": "bare PyTorch loop", "unfused": "bare loop, optimizers unfused"}


@dataclass(frozen=True)
class Line:
    """One line of the table; times in milliseconds, memory in MB.

    Args:
        loop: ``zoo``, ``loop`` or ``unfused``.
        batch: Samples per step.
        size: Size that was asked for, or that of the epoch's pictures; None for the recipe's.
        precision: Lightning's name of the precision.
        median: Median step.
        low: Fastest step.
        high: Slowest step.
        mean: Mean step over whole blocks, logged steps included.
        images: Images per second at the median.
        peak: Peak memory of a process (GPU memory on a GPU) that runs this loop alone; may be None.
        model: Parameters and buffers.
        wait: Share of a step that waits for data from the recipe's loader.
        epoch: Number of the epoch, of a model whose epochs differ.
        steps: Steps of that epoch, of such a model.
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
    epoch: int | None = None
    steps: int | None = None


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("recipe", metavar="RECIPE", help="a name that `zoo list recipes` prints, or a file")
    parser.add_argument(
        "--steps", type=whole(1), default=50, metavar="N", help="timed steps of each loop (50)"
    )
    parser.add_argument("--warmup", type=whole(1), default=5, metavar="N", help="steps before them (5)")
    parser.add_argument("--batch", type=whole(1), nargs="+", default=[None], metavar="B", help="batch sizes")
    parser.add_argument(
        "--size", type=whole(1), nargs="+", default=[None], metavar="S", help="data.size, pixels"
    )
    parser.add_argument(
        "--epoch",
        type=whole(0),
        nargs="+",
        default=[0],
        metavar="E",
        help="epochs, of a model that grows (0)",
    )
    parser.add_argument("--precision", nargs="+", default=[None], metavar="P", help="32-true or bf16-mixed")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override, as model.width=32"
    )
    parser.add_argument(
        "--against",
        choices=("loop", "unfused", "none"),
        default="loop",
        help="a bare loop of the same step; that with unfused optimizers, channels first; or nothing",
    )
    parser.add_argument("--no-memory", action="store_true", help="skip peak memory (one more process a loop)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Measure each combination of batch, size, precision and epoch; print a table and one sentence each."""
    for name in ("lightning.pytorch", "lightning.fabric"):  # a Trainer's own messages are no result
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    lines: list[Line] = []
    for batch, size, precision, epoch in product(args.batch, args.size, args.precision, args.epoch):
        given = {"data.batch_size": batch, "data.size": size, "trainer.precision": precision}
        overrides = [f"--{key}={value}" for key, value in given.items() if value is not None]
        overrides += [f"--{override}" for override in args.set]
        arguments = ["--config", args.recipe, "--wandb", "off", "--trainer.callbacks=[]", *overrides]
        lines += measure(arguments, args.steps, args.warmup, args.against, size, not args.no_memory, epoch)
    if args.json:
        print(json.dumps([asdict(line) for line in lines], indent=2))
        return 0
    print(table(lines))
    for sentence in sentences(args.recipe, lines):
        print(sentence)
    return 0


def measure(
    arguments: list[str],
    steps: int,
    warmup: int,
    against: str,
    size: int | None = None,
    memory: bool = True,
    epoch: int = 0,
) -> list[Line]:
    """Measure one recipe with its overrides.

    Args:
        arguments: Arguments of ``zoo fit``.
        steps: Timed steps of each loop.
        warmup: Steps of each loop before them.
        against: ``loop``, ``unfused`` or ``none``.
        size: Size to report in the lines.
        memory: Whether to measure peak memory, in one more process per loop.
        epoch: The epoch whose batches are measured.
    """
    setup = Setup(arguments, epoch)
    side, _, planned = setup.planned or (size, None, None)
    other = None if against == "none" else PlainLoop(setup, unfused=against == "unfused")
    times = setup.alternate(other, steps, warmup)
    wait = setup.wait(other or PlainLoop(setup), max(4, steps // 5))
    lines = []
    names = ("zoo", against) if other else ("zoo",)
    for name, blocks in zip(names, times, strict=False):
        taken = list(chain.from_iterable(blocks))
        lines.append(
            Line(
                loop=name,
                batch=setup.batch_size,
                size=side,
                precision=setup.precision,
                median=1e3 * statistics.median(taken),
                low=1e3 * min(taken),
                high=1e3 * max(taken),
                mean=1e3 * statistics.fmean(map(statistics.fmean, blocks)),
                images=setup.batch_size / statistics.median(taken),
                peak=_peak_elsewhere(arguments, name, epoch) if memory else None,
                model=setup.model_megabytes,
                wait=wait,
                epoch=epoch if planned else None,
                steps=planned,
            )
        )
    return lines


class Setup:
    """A recipe's model on its device, and batches prepared for it.

    Args:
        arguments: Arguments of ``zoo fit``.
        epoch: The epoch whose batches are prepared.

    Raises:
        UserError: The recipe does not train two players, its precision is not compared here, or its epochs do
            not differ and another than the first is asked for.
    """

    def __init__(self, arguments: list[str], epoch: int = 0) -> None:
        from zoo.training import build

        built = build([*arguments, "--trainer.logger=false", "--trainer.enable_progress_bar=false"])
        from lightning.fabric.utilities import move_data_to_device

        from zoo.adversarial import AdversarialModule
        from zoo.data.base import DataModule

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
        self.move = partial(move_data_to_device, device=self.device)
        self.accelerator = "cpu" if self.device.type == "cpu" else "gpu"
        self.log_every = int(built.config.trainer.log_every_n_steps)
        self.model: AdversarialModule = built.model.to(self.device).train()
        self.model.freeze_layers()
        built.datamodule.prepare_data()
        data, self.epoch, self.planned = built.datamodule, epoch, None
        self.model.plan_batches(data, epoch=epoch)
        if isinstance(data, DataModule) and data.phases is not None:
            last = int(built.config.trainer.max_epochs or 0) - 1
            if epoch > last >= 0:
                raise UserError(f"This run has the epochs 0 to {last}; --epoch {epoch} is none of them.")
            self.planned = planned = data.phases(epoch)
            data.phases = lambda _: planned
        elif epoch:
            raise UserError(f"All epochs of this recipe are alike; leave out --epoch {epoch}.")
        data.setup("fit")
        self.loader: Iterable[Batch] = data.train_dataloader()
        self.batches = [self.move(batch) for batch in islice(self.loader, PREPARED)]
        self.batch_size = len(next(iter(self.batches[0].values())))
        tensors = [*self.model.parameters(), *self.model.buffers()]
        self.model_megabytes = sum(t.numel() * t.element_size() for t in tensors) / 1e6

    def alternate(self, other: Turn | None, steps: int, warmup: int) -> tuple[Blocks, Blocks]:
        """Times of a real Trainer's loop and of another, in alternating blocks."""
        import lightning.pytorch as pl
        from lightning.pytorch.callbacks import LambdaCallback
        from lightning.pytorch.loggers import CSVLogger

        zoo, plain = Blocks(), Blocks()
        block = max(1, min(BLOCK, steps // 5))
        turns = take_turns(zoo, plain, other, self.batches, steps, warmup, block, self._now)
        with tempfile.TemporaryDirectory() as folder:
            trainer = pl.Trainer(
                accelerator=self.accelerator,
                devices=1,
                precision=self.precision,  # type: ignore[arg-type]
                max_epochs=self.epoch + 1,
                log_every_n_steps=self.log_every,
                logger=CSVLogger(folder, name="", version=""),
                callbacks=[LambdaCallback(on_train_batch_start=lambda *_: next(turns))],
                limit_train_batches=warmup + steps + 1,  # the start of the last ends the step before it
                limit_val_batches=0,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                use_distributed_sampler=False,
            )
            done: Any = trainer.fit_loop.epoch_progress.current
            done.processed = done.completed = self.epoch
            trainer.fit(self.model, train_dataloaders=cycle(self.batches))
        return zoo, plain

    def wait(self, turn: Turn, steps: int) -> float:
        """Share of the time of ``steps`` steps that waits for the recipe's own loader."""
        source, waited, worked = chain.from_iterable(repeat(self.loader)), 0.0, 0.0
        turn(self.move(next(source)))  # workers start here
        for _ in range(steps):
            before = self._now()
            batch = self.move(next(source))
            ready = self._now()
            turn(batch)
            waited, worked = waited + ready - before, worked + self._now() - ready
        return waited / (waited + worked)

    def autocast(self) -> AbstractContextManager[Any]:
        """The autocast context of a step in mixed precision."""
        import torch

        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16-mixed")

    def _now(self) -> float:
        if self.device.type == "cuda":
            import torch

            torch.cuda.synchronize()
        return time.perf_counter()


class PlainLoop:
    """A step of a copy of the model in plain PyTorch: the paper's own ``training_step`` without the base.

    Args:
        setup: Model and precision.
        unfused: Whether the optimizers are neither fused nor foreach and the weights channels first in
            memory, as in older scripts. It is the zoo's own step in any case, no other program's.
    """

    def __init__(self, setup: Setup, unfused: bool = False) -> None:
        self.autocast = setup.autocast
        self.model = copy.deepcopy(setup.model)
        self.model.__class__ = type("Plain", (PlainTurn, type(setup.model)), {})
        configured: Any = self.model.configure_optimizers()
        optimizers, schedulers = configured if isinstance(configured, tuple) else (configured, [])
        if unfused:
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
        learning = [parameter for parameter in opponent.parameters() if parameter.requires_grad]
        for parameter in learning:
            parameter.requires_grad = False
        optimizer.zero_grad(set_to_none=True)
        terms: dict[str, Tensor] = {}
        for evaluate in micro_batches:
            terms = evaluate()
            loss = sum(terms.values()) / len(micro_batches)
            loss.backward()  # type: ignore[union-attr]
        optimizer.step()
        torch.clear_autocast_cache()  # copies of the weights before the step
        for parameter in learning:
            parameter.requires_grad = True
        return {f"{player[0]}_{name}": term.detach() for name, term in terms.items()}

    def log(self, *values: Any) -> None:
        """Do nothing: a bare loop does not log."""

    log_dict = log


def take_turns(
    zoo: Blocks,
    other: Blocks,
    turn: Turn | None,
    batches: list[Batch],
    steps: int,
    warmup: int,
    block: int,
    now: Callable[[], float],
) -> Iterator[None]:
    """Time the zoo's steps, and run blocks of the other loop between blocks of them.

    It must be advanced at the start of each of the zoo's batches, ``warmup + steps + 1`` times: a step lasts
    until the next batch starts.

    Args:
        zoo: Filled with the times of the zoo's steps.
        other: Filled with the times of the other loop's steps.
        turn: Step of the other loop; None for none.
        batches: Batches of the other loop.
        steps: Timed steps of each loop.
        warmup: Steps of each loop before them.
        block: Steps per block.
        now: Clock, in seconds.
    """
    rounds = cycle(batches)

    def run_other(count: int) -> Iterator[float]:
        for batch in islice(rounds, count if turn else 0):
            before = now()
            turn(batch)  # type: ignore[misc]
            yield now() - before

    list(run_other(warmup))
    yield from repeat(None, warmup)
    for left in range(steps, 0, -block):
        times = []
        for _ in range(min(block, left)):
            before = now()
            yield
            times.append(now() - before)
        zoo.append(times)
        other.append(list(run_other(len(times))))
    yield


def _peak_elsewhere(arguments: list[str], loop: str, epoch: int) -> float:
    """Peak memory in MB of a process that runs only this loop, for a few steps."""
    code = "import sys; from zoo.commands.bench import peak; print(peak(*sys.argv[1:3], sys.argv[3:]))"
    command = [sys.executable, "-c", code, loop, str(epoch), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"The process that measures memory failed ({last}); --no-memory goes without it.")
    return float(done.stdout.strip().splitlines()[-1])


def peak(loop: str, epoch: str, arguments: list[str]) -> float:
    """Run ``loop`` in this process for a few steps of an epoch; its peak memory in MB."""
    setup = Setup(arguments, int(epoch))
    setup.batches = setup.batches[:1]
    if loop == "zoo":
        setup.alternate(None, steps=4, warmup=1)
    else:
        turn = PlainLoop(setup, unfused=loop == "unfused")
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
    """One sentence per pair of loops, or per loop without another; the time of epochs that differ."""
    found = []
    for ours in (line for line in lines if line.loop == "zoo"):
        where = f"{recipe} at batch {ours.batch}, {ours.precision}"
        where += "" if ours.epoch is None else f", epoch {ours.epoch}"
        pair = _setting(ours)
        other = next((x for x in lines if x.loop != "zoo" and _setting(x) == pair), None)
        if other is None:
            found.append(f"{where}: a step of {NAMES['zoo']} takes {ours.median:.2f} ms.")
            continue
        found.append(
            f"{where}: {NAMES['zoo']} costs {ours.median / other.median - 1:+.1%} over the "
            f"{NAMES[other.loop]} ({ours.median:.2f} against {other.median:.2f} ms per step, medians)."
        )
    if planned := [line for line in lines if line.loop == "zoo" and line.steps]:
        steps = sum(line.steps or 0 for line in planned)
        minutes = sum(line.median * (line.steps or 0) for line in planned) / 6e4
        found.append(
            f"The {steps:,} steps of the epochs measured take {minutes:,.1f} minutes by these medians."
        )
    return found


def _setting(line: Line) -> tuple[int, int | None, str, int | None]:
    return line.batch, line.size, line.precision, line.epoch
