"""Kill trainings at random moments, resume them, and compare with runs that were never interrupted.

    OMP_NUM_THREADS=1 python scripts/storm.py [--kills 200] [--starts 0] [--seed 0]

Each run is a paper at its tiny width (``recipes/overlays/tiny``), trained by the ``zoo`` command with 0 or 2
workers. It receives SIGKILL, SIGTERM or Ctrl-C (at times twice), alone or with its whole process group, at a
random moment of its life, within a random step or while a checkpoint is written, at least three times in a
row. Each time it is resumed with ``--resume auto``, and once per run with ``--ckpt_path``. At the end:

- *lost*: a resume did not begin at the newest whole checkpoint, or the run could not be finished;
- *different*: the last checkpoint's weights, optimizers, schedules or position are not those of the
  uninterrupted run, bit for bit;
- *wrong statuses*: a process ended with another status than -9, 143 or 130, printed a traceback, or left a
  process behind;
- *left files*: temporary files after the last resume;
- *holes*: the rows of ``metrics.csv`` are not those of the uninterrupted run, each once.

These processes are forked from this one, which has imported torch and Lightning, so a kill costs a second or
two. ``--starts`` interrupts whole processes of several verbs by SIGTERM or Ctrl-C, from a tenth of a second
after Python's start to their end.
The last line sums up; the exit status is 1 if a count is not 0.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import csv
import math
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
import yaml
from lightning.pytorch.callbacks import Callback

import zoo.training.runs  # noqa: F401  imported once, before processes are forked
from zoo import cli, interrupts
from zoo.errors import UserError
from zoo.files.checkpoints import read_checkpoint
from zoo.guards import GuardedModule

ROOT = Path(__file__).parents[1]
TINY = ROOT / "recipes" / "overlays" / "tiny"
PAPERS = {  # whole recipes, and what makes epochs long enough
    "gan": ("gan/mnist", []),
    "pix2pix": ("pix2pix", ["--data.train_length", "12", "--model.epochs_decay", "9"]),
    "pix2pixhd": ("pix2pixhd/scenes", ["--data.train_length", "12", "--model.epochs_decay", "9"]),
    "srgan": ("srgan", ["--data.train_length", "12"]),
}
STEPS, EPOCH = 24, 6  # batches
START, BATCH, SAVE = range(3)  # what a process reports
KINDS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
LIMIT = 120  # seconds that any process may take
COUNTS = ("lost", "different", "wrong statuses", "left files", "holes")


class Tell(Callback):
    """Write the number of finished steps to a pipe as each batch and each save starts."""

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Write the number."""
        os.write(self.pipe, struct.pack("ii", BATCH, trainer.global_step))

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: Any) -> None:
        """Write the number."""
        os.write(self.pipe, struct.pack("ii", SAVE, trainer.global_step))


@dataclass(frozen=True)
class Kill:
    """How and when a process is killed.

    Args:
        number: Signal.
        group: Whether the whole process group receives it.
        seconds: Time after its start.
        event: ``BATCH`` or ``SAVE``.
        step: It is killed at the latest after that event of this step or of a later one.
        within: Time after the event.
        again: Time until the same signal is sent once more; None sends it once.
    """

    number: int
    group: bool
    seconds: float
    event: int
    step: int
    within: float
    again: float | None


@dataclass
class Ended:
    """How a process ended: exit status, the step that it began with, seconds, and what it printed."""

    pid: int
    status: int
    killed: bool
    first: int | None
    seconds: float
    output: str


def command(arguments: Sequence[str], folder: Path, kill: Kill | None = None) -> Ended:
    """Run a ``zoo`` command in a forked process, the first of its group, and kill it if asked."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "output.txt"
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    pid = os.fork()
    if pid == 0:
        run_and_exit(arguments, folder, log, writing)
    os.close(writing)
    events: list[tuple[int, int]] = []  # with their steps; the first says that it handles signals
    began, sent = time.monotonic(), 0
    due = math.inf
    while True:
        with contextlib.suppress(BlockingIOError):
            events += struct.iter_unpack("ii", os.read(reading, 4096))
        now = time.monotonic()
        if kill and events and not sent:
            there = any(event == kill.event and step >= kill.step for event, step in events)
            due = min(due, now + (kill.within if there else kill.seconds))
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        if kill and now >= due:
            (os.killpg if kill.group else os.kill)(pid, kill.number)
            sent += 1
            due = math.inf if kill.again is None or sent > 1 else now + kill.again
        if now - began > LIMIT:
            os.killpg(pid, signal.SIGABRT)
        time.sleep(0.002)
    os.close(reading)
    first = next((step for event, step in events if event == BATCH), None)
    output = log.read_text(errors="replace")
    return Ended(pid, os.waitstatus_to_exitcode(status), sent > 0, first, now - began, output)


def run_and_exit(arguments: Sequence[str], folder: Path, log: Path, pipe: int) -> NoReturn:
    """In a new process: run the command as ``python -m zoo`` does, and report each step."""
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(output, number)
    os.chdir(folder)
    sys.argv = ["zoo", *arguments]
    guards = GuardedModule.configure_callbacks
    GuardedModule.configure_callbacks = lambda module: [*guards(module), Tell(pipe)]  # type: ignore[method-assign]
    status: Any = 1
    try:
        interrupts.install()
        os.write(pipe, struct.pack("ii", START, 0))
        status = cli.main(arguments)
        atexit._run_exitfuncs()
    except SystemExit as leave:
        status = leave.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else 1)


def alive(group: int) -> bool:
    """Whether a process of a group lives."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                return True
    return False


def checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """The whole checkpoints below a folder by step, the newest file last."""
    found = []
    for path in sorted(folder.rglob("*.ckpt"), key=lambda path: path.stat().st_mtime_ns):
        with contextlib.suppress(UserError):
            found.append((int(read_checkpoint(path)["global_step"]), path))
    return found


def content(path: Path) -> dict[str, Any]:
    """What a resumed run must reproduce bit for bit."""
    checkpoint = read_checkpoint(path)
    keys = ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch", "position")
    return {key: checkpoint.get(key) for key in keys}


def same(a: Any, b: Any) -> bool:
    """Whether two trees of values and tensors are equal, bit for bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def history(folder: Path) -> list[dict[str, str]]:
    """The rows of all ``metrics.csv`` below a folder: step and terms."""
    rows = []
    for path in sorted(folder.rglob("metrics.csv")):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                rows.append({k: v for k, v in row.items() if v and (k == "step" or k.startswith("train/"))})
    return rows


class Run:
    """One training that is killed and resumed until it ends.

    Args:
        paper: Key of ``PAPERS``.
        folder: Working folder of its processes.
        workers: Processes that prepare batches.
        every: Steps between checkpoints.
    """

    def __init__(self, paper: str, folder: Path, workers: int, every: int) -> None:
        overlay, more = PAPERS[paper]
        self.folder = folder
        folder.mkdir(parents=True)
        saver = {"filename": "{step}", "every_n_train_steps": every}
        callbacks = [
            {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": saver},
            {"class_path": "zoo.callbacks.samples.SampleGrid", "init_args": {"every_n_steps": 7, "rows": 2}},
        ]
        trainer = {"max_steps": STEPS, "limit_train_batches": EPOCH, "callbacks": callbacks}
        (folder / "storm.yaml").write_text(yaml.safe_dump({"trainer": trainer}))
        self.arguments = ["fit", "--config", str(TINY / f"{overlay}.yaml"), "--config", str(TINY) + ".yaml"]
        self.arguments += ["--config", "storm.yaml", "--wandb", "off", "--data.num_workers", str(workers)]
        self.arguments += more

    def newest(self) -> tuple[int, Path | None]:
        """Step and path of the newest whole checkpoint."""
        return checkpoints(self.folder)[-1] if checkpoints(self.folder) else (0, None)


def storm(kills: int, seed: int, folder: Path) -> Counter[str]:
    """Kill and resume runs of all papers in turn; the counts of what went wrong."""
    chance, found = random.Random(seed), Counter[str]()
    done, papers = 0, list(PAPERS)
    references: dict[str, tuple[dict[str, Any], list[dict[str, str]], float]] = {}
    while done < kills:
        number = found["runs"]
        paper, workers = papers[number % len(papers)], (0, 2)[number // len(papers) % 2]
        if paper not in references:
            whole = Run(paper, folder / f"{paper}-whole", 0, 3)
            ended = command(whole.arguments, whole.folder)
            assert ended.status == 0, ended.output
            step, path = whole.newest()
            assert path is not None and step == STEPS
            references[paper] = content(path), history(whole.folder), ended.seconds
        run = Run(paper, folder / f"{number:03}-{paper}", workers, chance.randint(2, 5))
        found["runs"] += 1
        done += chain(run, references[paper], chance, found)
        if not found["kept"]:
            shutil.rmtree(run.folder)
        print(f"{done:4} kills: {summary(found)}", flush=True)
    found["kills"] = done
    return found


def chain(
    run: Run,
    reference: tuple[dict[str, Any], list[dict[str, str]], float],
    chance: random.Random,
    found: Counter[str],
) -> int:
    """Kill a run at least three times, resume it to its end and check it; the number of kills."""
    wanted, rows, seconds = reference
    faults: list[str] = []
    groups: list[int] = []
    planned = chance.randint(3, 5)
    explicit = chance.randrange(1, planned + 1)  # the resume that names its checkpoint
    kills = 0
    for turn in range(planned + 3):  # a process may end before it is killed
        step, path = run.newest()
        kill = None
        if kills < planned and step < STEPS:
            kind, group = chance.choice(KINDS), chance.random() < 0.5
            least = -(-(STEPS - step) // (planned - kills + 1))  # so that the run lasts for all kills
            event = chance.choice((START, BATCH, SAVE))
            after = chance.uniform(0, seconds) if event == START else math.inf
            at = step + (least if event == START else chance.randrange(least))
            again = chance.choice([None, None, chance.uniform(0, 0.2)]) if kind == signal.SIGINT else None
            kill = Kill(kind, group, after, max(event, BATCH), at, chance.uniform(0, 0.02), again)
        resume = ["--resume", "auto"]
        if turn == explicit and path is not None:
            resume = ["--ckpt_path", str(path.parents[1])]
        ended = command([*run.arguments, *resume], run.folder, kill)
        groups.append(ended.pid)
        said = f"turn {turn}, {resume[0]}, {kill}, from {step}: {ended}"
        if ended.first is not None and ended.first != step:
            faults.append(f"lost: {said}")
        right = (
            -signal.SIGKILL if kill and kill.number == signal.SIGKILL else 128 + kill.number if kill else 0
        )
        complete = ended.status == 0 and run.newest()[0] == STEPS
        if "Traceback" in ended.output or not (complete or (ended.killed and ended.status == right)):
            faults.append(f"wrong statuses: {said}")
        kills += ended.killed
        if complete:
            break
    else:
        faults.append("lost: the run could not be finished")
    step, path = run.newest()
    if path is None or not same(content(path), wanted):
        faults.append("different: the last checkpoint")
    time_out = time.monotonic() + 20
    while any(map(alive, groups)):
        if time.monotonic() > time_out:
            faults.append("wrong statuses: processes are left behind")
            break
        time.sleep(0.05)
    if left := [str(path) for path in run.folder.rglob(".*") if path.name.endswith((".part", ".new"))]:
        faults.append(f"left files: {left}")
    if history(run.folder) != rows:
        faults.append(f"holes: steps {[row.get('step') for row in history(run.folder)]}")
    for fault in faults:
        found[fault.partition(":")[0]] += 1
        found["kept"] = 1
        print(f"{run.folder.name}: {fault}", flush=True)
    return kills


def starts(count: int, seed: int, folder: Path, found: Counter[str]) -> None:
    """Interrupt whole processes of several verbs; wrong statuses are counted."""
    chance = random.Random(seed)
    run = Run("pix2pix", folder / "starts", 2, 3)
    assert command(run.arguments, run.folder).status == 0
    recipe, name = [*run.arguments[1:], "--trainer.default_root_dir", "other"], str(run.newest()[1])
    verbs = {verb: [verb, *recipe, "--ckpt_path", name] for verb in ("validate", "test", "predict")}
    verbs |= {
        "fit": ["fit", *recipe],
        "sample": ["sample", "gan-digits", "-o", "samples.png", "--force"],
        "eval": ["eval", "gan-digits", "--protocol", "fd-digits", "--samples", "500"],
        "data show": ["data", "show", "ScenePairs", "-o", "scenes.png", "--force"],
        "data check": ["data", "check", "."],
        "list": ["list"],
    }
    lasts: dict[str, float] = {}
    for _ in range(count):
        verb = chance.choice(list(verbs))
        if verb not in lasts:
            began = time.monotonic()
            process(verbs[verb], run.folder).communicate()
            lasts[verb] = time.monotonic() - began
        number, group = chance.choice(KINDS[1:]), chance.random() < 0.5
        after = chance.uniform(0.1, 0.8 * lasts[verb])
        for made in run.folder.rglob("predictions"):
            shutil.rmtree(made)
        started = process(verbs[verb], run.folder)
        time.sleep(after)
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(started.pid, number)
        output, _ = started.communicate(timeout=LIMIT)
        if started.returncode not in (128 + number, 0) or "Traceback" in output or "Error" in output:
            found["wrong statuses"] += 1
            print(
                f"{verb}, {number!r} after {after:.2f} s: status {started.returncode}\n{output}", flush=True
            )
        found["starts"] += 1
        found["interrupted"] += started.returncode != 0


def process(arguments: Sequence[str], folder: Path) -> subprocess.Popen[str]:
    """Start ``python -m zoo`` as the first of a process group."""
    return subprocess.Popen(
        [sys.executable, "-m", "zoo", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def summary(found: Counter[str]) -> str:
    """The counts in words."""
    return f"{found['runs']} runs; " + ", ".join(f"{found[name]} {name}" for name in COUNTS)


def main() -> int:
    """Run the storm; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--starts", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    began, folder = time.monotonic(), Path(tempfile.mkdtemp(prefix="storm-"))
    found = storm(given.kills, given.seed, folder)
    if given.starts:
        starts(given.starts, given.seed, folder, found)
        print(f"{found['interrupted']} of {found['starts']} starts were interrupted; the others had ended.")
    minutes = (time.monotonic() - began) / 60
    print(f"{found['kills']} kills with seed {given.seed} in {minutes:.1f} minutes: {summary(found)}")
    if any(found[name] for name in COUNTS):
        print(f"The runs are in {folder}.")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
