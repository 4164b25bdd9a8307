"""Train one recipe with several seeds, one after another, and summarise their scores.

Each seed is a normal ``zoo fit`` followed by the ``zoo test`` of its run, in processes of their own: memory
is freed, a crash costs one seed, and the command that a run records repeats it alone. The group has a folder
beside its runs: ``seeds.json`` holds each seed's run and scores, ``eval.json`` their mean and deviation.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.bounds import refusal
from zoo.errors import UsageError, UserError
from zoo.files.schemas import SEEDS, read_json
from zoo.files.writing import REPORT, write_text
from zoo.training import keys

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Done = list[dict[str, Any]]  # content of seeds.json


def taken_from(arguments: list[str]) -> tuple[list[str], list[int]]:
    """The command line without ``--seeds``, and its seeds; none if it has no such option.

    Raises:
        UsageError: Fewer than two seeds, one that is none or stands twice, or an option that excludes them.
    """
    place = next((i for i, word in enumerate(arguments) if word.partition("=")[0] == "--seeds"), None)
    if place is None:
        return arguments, []
    end = place + 1
    while end < len(arguments) and not arguments[end].startswith("--"):
        end += 1
    typed = " ".join([arguments[place].partition("=")[2], *arguments[place + 1 : end]]).strip()
    words = typed.translate(str.maketrans("[],", "   ")).split()
    for word in words:
        if wanted := refusal("Seed", word):
            raise UsageError(f"--seeds: each must be {wanted}, got {word[:80]}.")
    seeds = [int(word) for word in words]
    if len(seeds) < 2 or len(set(seeds)) < len(seeds):
        raise UsageError(
            f"--seeds needs two different seeds or more, as in --seeds 0 1 2, got {typed[:80]!r}; a single "
            "one is --seed_everything N."
        )
    rest = arguments[:place] + arguments[end:]
    for option, _ in keys.options(rest):
        if option in ("seeds", "seed_everything", "ckpt_path"):
            raise UsageError(f"Give --seeds once, and no --{option} beside it.")
    return rest, seeds


def fit_each(arguments: list[str], seeds: Sequence[int]) -> Path:
    """Fit and test a recipe once per seed, print the table of scores, and write the group's ``eval.json``.

    With ``--resume auto`` among the arguments an unfinished run is continued, and seeds are skipped whose run
    is finished and tested.

    Args:
        arguments: The command line of ``zoo fit`` without seeds.
        seeds: Two or more.

    Returns:
        The group's folder, beside those of its runs.

    Raises:
        UserError: A seed failed; names those that are done.
        SystemExit: A signal ended a seed.
    """
    keys.check([*keys.resolve_names(arguments), f"--seed_everything={seeds[0]}"])
    path, done = Path(), Done()
    for number, seed in enumerate(seeds, 1):
        print(f"Seed {seed} ({number} of {len(seeds)})", file=sys.stderr)
        fitted = _reported(["fit", *arguments, f"--seed_everything={seed}"], seed, done)[0]
        run = Path(fitted["folder"])
        if not done:
            named = f"{run.name}-seeds-{'-'.join(map(str, seeds))}"
            path = run.with_name(named[:200]) / "seeds.json"
        before: Done = read_json(path, SEEDS) if path.exists() else []
        kept = [entry for entry in before if (entry["seed"], entry["run"]) == (seed, run.name)]
        if fitted["finished"] and kept:
            done += kept
            continue
        tested = _reported(["test", f"--config={run / 'config.yaml'}"], seed, done)
        rows = [row for found in tested for row in found["rows"]]
        done.append({"seed": seed, "run": run.name, "rows": rows})
        later = [entry for entry in before if entry["seed"] not in [each["seed"] for each in done]]
        write_text(path, json.dumps(done + later, indent=2))
    _summarise(path.parent, done)
    return path.parent


def _reported(arguments: list[str], seed: int, done: Done) -> list[dict[str, Any]]:
    """What a command, run in its own process, has reported; see :func:`zoo.files.writing.report`."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "report.jsonl"
        status = _run([sys.executable, "-m", "zoo", *arguments], os.environ | {REPORT: str(file)})
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    if not status:
        return [json.loads(line) for line in lines]
    if status == 2 and not done:
        raise UsageError(f"Seed {seed} could not start; the line above says why.")
    which = ", ".join(f"{entry['seed']} ({entry['run']})" for entry in done) or "none"
    text = f"Seed {seed} is not done. Done: {which}. Continue with the same command and --resume auto."
    if status > 128:
        print(text, file=sys.stderr)
        raise SystemExit(status)
    raise UserError(text)


def _run(command: list[str], environment: dict[str, str]) -> int:
    """Exit status of a command, 128 + n after signal n. Signals to this process are passed on to it.

    It has a process group of its own: a terminal's Ctrl-C would reach it twice, and the second one ends a
    training without a checkpoint.
    """
    received: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, frame: object) -> None:
        received.append(number)
        if child is not None:
            child.send_signal(number)

    before: dict[int, Any] = {}
    try:
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup sets it
                before[number] = signal.signal(number, pass_on)
    except ValueError:  # not in the main thread
        pass
    try:
        child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, process_group=0)
        if received:  # before there was a child
            child.send_signal(received[0])
        status = child.wait()
    finally:
        for restored, handler in before.items():
            signal.signal(restored, handler)
    if received:
        return 128 + received[0]
    return status if status >= 0 else 128 - status


def _summarise(folder: Path, done: Done) -> None:
    """Print each score of each seed with mean and deviation, and write these to ``eval.json``."""
    from zoo.metrics.scoring.report import over_seeds, record

    means, table = over_seeds({entry["seed"]: entry["rows"] for entry in done})
    if not means:
        print("No evaluator of the recipe gave a score, so there is nothing to summarise.", file=sys.stderr)
        return
    record(folder, means, max(row["step"] for entry in done for row in entry["rows"]))
    print(f"\n{table}\nMeans and deviations are in {folder / 'eval.json'}.")
