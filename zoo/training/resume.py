"""Which run a training continues: one run has one folder, whose settings do not change.

A run is continued in its own folder if recipe file, seed, data and hyper-parameters are equal. Its budget
(``max_steps``, ``max_epochs``), evaluators and loggers may differ.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zoo import catalogue, recipes
from zoo.errors import UserError
from zoo.files.checkpoints import checkpoints_in, last_written, newest_checkpoint, read_checkpoint
from zoo.files.schemas import RECORD, read_json
from zoo.guards import say
from zoo.training import keys
from zoo.training.keys import HEAD
from zoo.training.loggers import process_rank

TRAINER = (
    "precision",
    "devices",
    "num_nodes",
    "limit_train_batches",
    "overfit_batches",
)  # change what is learnt
DATA = (
    "root",
    "name",
    "licence",
    "research_only",
    "num_workers",
    "eval_batch_size",
    "packed",
    "cache",
)  # do not


@dataclass(frozen=True)
class Start:
    """Where a training starts.

    Args:
        folder: Run folder, which exists if the run is continued.
        checkpoint: Checkpoint to start from.
        steps: Steps that the folder's history keeps.
        finished: By which setting the checkpoint has reached the budget already; empty if it has not.
        note: Why no earlier run is continued, if there is one.
    """

    folder: Path
    checkpoint: Path | None = None
    steps: int = 0
    finished: str = ""
    note: str = ""


def recipe_line(paths: list[Path], root: Path) -> str:
    """Head line of a run's config: bundled recipes by name, other files relative to ``root/..``."""
    names = []
    for path in paths:
        head = recipes.text_of(path).partition("\n")[0]
        if head.startswith(HEAD):  # the config of a run
            names.append(head.removeprefix(HEAD))
        elif path.resolve().is_relative_to(recipes.bundled("recipes").resolve()):
            names.append(path.parent.name + "/" + path.stem)
        else:
            names.append(Path(os.path.relpath(path, root.resolve().parent)).as_posix())
    return HEAD + " + ".join(names).encode(errors="replace").decode() + "\n"


def settings(config: str, data: dict[str, Any]) -> dict[str, Any]:
    """What decides the course of a training, by the key that a user would set.

    Args:
        config: A run's ``config.yaml``, all defaults included.
        data: Description of its data.
    """
    content = recipes.parse(config, "config.yaml")
    model, of_data, trainer = (content.get(key) or {} for key in ("model", "data", "trainer"))
    recipe = config.partition("\n")[0]
    return {
        # the first file; what the others change is compared. Older runs name none
        **({"recipe": recipe.removeprefix(HEAD).split(" + ")[0]} if recipe.startswith(HEAD) else {}),
        "seed_everything": content.get("seed_everything"),
        "model": model.get("class_path"),
        **{f"model.{key}": value for key, value in (model.get("init_args") or {}).items()},
        "model.dict_kwargs": model.get("dict_kwargs"),
        "data": of_data.get("class_path"),
        "data.dict_kwargs": of_data.get("dict_kwargs"),
        **{
            f"data.{key}": value for key, value in (of_data.get("init_args") or {}).items() if key not in DATA
        },
        **{f"trainer.{key}": trainer.get(key) for key in TRAINER},
        "data preprocessing": json.loads(json.dumps(data.get("preprocessing"))),
        "data fingerprint": data.get("fingerprint"),
    }


def difference(folder: Path, now: dict[str, Any]) -> str | None:
    """The first setting in which the run of ``folder`` differs, in words; None if it is the same run."""
    try:
        text, seed = recipes.text_of(folder / "config.yaml"), now["seed_everything"]
        # a recipe may have hundreds of runs of other seeds, and parsing each takes a hundredth of a second
        found = re.search(r"^seed_everything: (\d+)$", text, re.MULTILINE)
        if found and found[1] != str(seed):
            return f"seed_everything is {seed} here, {found[1]} there"
        record = read_json(folder / "env.json", RECORD)
        before = settings(text, record["data"])
    except (UserError, OSError, RecursionError, ValueError, TypeError, LookupError, AttributeError):
        return "its config.yaml or env.json is missing or damaged"
    if before["model"] is None or before["data"] is None:
        return "its config.yaml is damaged"
    for key, value in now.items():
        if key in before and before[key] != value:  # a later version may have other arguments
            return f"{key} is {value!r:.60} here, {before[key]!r:.60} there"
    return None


def plan(
    root: Path, recipe: str, text: str, data: Callable[[], dict[str, Any]], given: str | None, auto: bool
) -> Start:
    """Decide where a training starts.

    Args:
        root: Folder of all runs.
        recipe: ``paper/data``.
        text: Resolved recipe as YAML.
        data: Gives the description of the data.
        given: ``--ckpt_path``: a checkpoint, a run folder, or ``last``.
        auto: Whether ``--resume auto`` was given.

    Raises:
        UserError: There is no such checkpoint, or another process trains in the run's folder.
    """
    home = root / recipe
    if not given and not auto:
        return Start(home / new_id())
    now = settings(text, data())
    if given is not None:
        checkpoint = find_checkpoint(home, given)
        folder = run_of(checkpoint)
        if (folder / "config.yaml").is_file():
            why = difference(folder, now)
            newest = newest_checkpoint(folder.parent, folder.name)
            if why is None and newest is not None and newest.samefile(checkpoint):
                return _continued(folder, checkpoint, text)
            note = f"A new run folder: {why or f'{folder} has newer checkpoints than the given one'}."
        else:
            note = ""
        finished = _finished(read_checkpoint(checkpoint), text)
        return Start(home / new_id(), checkpoint, finished=finished, note=note)
    passed: list[str] = []
    runs = [path.parent for path in home.glob("*/config.yaml")]
    for folder in sorted(runs, key=last_written, reverse=True):
        if (why := difference(folder, now)) is None:
            newest = newest_checkpoint(home, folder.name, whole=True)
            if newest or not checkpoints_in(folder):  # none: it ended before the first one
                note = f"Newer runs differ: {passed[0]}." if passed else ""
                return replace(_continued(folder, newest, text), note=note)
            why = "none of its checkpoints can be read"
        passed.append(f"{folder}: {why}")
    others = f" ({len(passed) - 1} more runs differ)" if len(passed) > 1 else ""
    note = f"A new run: the newest one differs. {passed[0]}{others}." if passed else ""
    return Start(home / new_id(), note=note)


def _continued(folder: Path, checkpoint: Path | None, text: str) -> Start:
    if process_rank() == 0:
        with alone(folder):
            pass  # refused before loggers start
    if checkpoint is None:
        return Start(folder)
    content = read_checkpoint(checkpoint)
    return Start(folder, checkpoint, content.get("global_step", 0), _finished(content, text))


def _finished(content: dict[str, Any], text: str) -> str:
    """The setting by which a checkpoint has reached the budget of a resolved recipe; empty if it has not."""
    trainer = recipes.parse(text, "the recipe")["trainer"]
    steps, epochs = trainer.get("max_steps", -1), trainer.get("max_epochs")
    if epochs is None:
        epochs = -1 if steps != -1 else 1000  # Lightning's default
    done = content.get("position", {}).get("epoch", -1)  # a whole number of epochs, since batches follow
    if content.get("position", {}).get("stopped"):
        return "the end that EarlyStopping set"
    if steps != -1 and content["global_step"] >= steps:
        return f"trainer.max_steps {steps}"
    return f"trainer.max_epochs {epochs}" if epochs != -1 and done >= epochs else ""


def run_of(checkpoint: Path) -> Path:
    """The run folder of a checkpoint: the nearest one above it that has a config.yaml, else two levels up."""
    above = list(checkpoint.absolute().parents)
    found = next(
        (folder for folder in above[:4] if (folder / "config.yaml").is_file()), above[min(1, len(above) - 1)]
    )
    return found.relative_to(Path.cwd()) if found.is_relative_to(Path.cwd()) else found


def new_id() -> str:
    """A unique name that sorts by time."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(2).hex()}"


def own_config(arguments: list[str], recipe: str) -> list[str]:
    """The command line of an evaluation, with the evaluated run's own config in place of the recipe.

    A run is given by its config, its folder, or ``last``; a checkpoint file is evaluated with the recipe.
    """
    options = list(keys.options(arguments))
    given = next((value for option, value in reversed(options) if option == "ckpt_path"), None)
    first = next((Path(value) for option, value in options if option == "config"), None)
    if first is None:
        return arguments
    if given is None:
        is_run = first.name == "config.yaml" and bool(checkpoints_in(first.parent))
        return [*arguments, "--ckpt_path", str(first.parent)] if is_run else arguments
    if given in ("", "null") or Path(given).is_file() or catalogue.is_exported(given):
        return arguments
    roots = [value for option, value in options if option == "trainer.default_root_dir"]
    stated = (recipes.read(first) or {}).get("trainer") or {}
    root = Path(roots[-1] if roots else stated.get("default_root_dir") or "runs")
    checkpoint = find_checkpoint(root / recipe, given)
    own = run_of(checkpoint) / "config.yaml"
    if not own.is_file() or own.samefile(first):
        return arguments
    if not _holds(recipes.read(own), recipes.read(first)):
        say(f"With {own}, which differs from the recipe; to use the recipe, give a .ckpt file.")
    place = next(
        i for i, argument in enumerate(arguments) if argument.partition("=")[0] in ("--config", "-c")
    )
    rest = arguments[place + (1 if "=" in arguments[place] else 2) :]
    return [*arguments[:place], "--config", str(own), *rest, "--ckpt_path", str(checkpoint)]


def _holds(whole: Any, part: Any) -> bool:
    """Whether every value of ``part`` is that of ``whole``."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and _holds(whole[key], value) for key, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) == len(whole) and all(map(_holds, whole, part))
    return bool(whole == part)


def find_checkpoint(home: Path, given: str) -> Path:
    """The checkpoint that ``--ckpt_path`` means.

    Args:
        home: Folder of the recipe's runs, for ``last``.
        given: A file, a run folder, or ``last``.

    Raises:
        UserError: There is none.
    """
    folder = home / "*" if given == "last" else Path(given)
    if given != "last" and not folder.is_dir():
        return folder
    if folder.name == "checkpoints":
        folder = folder.parent
    whole = folder if given == "last" else folder.resolve()  # of "." too
    found = newest_checkpoint(whole.parent, whole.name)
    if found is None:
        raise UserError(f"There is no valid checkpoint under {folder}; run zoo fit first.")
    return found


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder; it ends with the process, however that ends.

    Raises:
        UserError: Another process trains in this folder.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise UserError(
            f"Another process is training in {folder}; wait for it, or begin another run without --resume."
        ) from error
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
