"""Train and evaluate recipes: the checks before torch (``keys``), the run itself (``runs``), ``loggers``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from zoo import catalogue
from zoo.errors import UsageError
from zoo.training import keys
from zoo.training.keys import Verb

if TYPE_CHECKING:
    from zoo.training.runs import RecipeCLI


def build(arguments: list[str], verb: Verb = "fit") -> RecipeCLI:
    """Instantiate a recipe without running it.

    Args:
        arguments: As on the command line: ``["--config", "pix2pix/scenes", "--data.batch_size", "4"]``.
        verb: What the trainer is for; ``fit`` plans a new run folder, the others may reuse a checkpoint's.

    Returns:
        An object with ``trainer``, ``model``, ``datamodule``, ``folder``, ``checkpoint`` and ``config``.

    Raises:
        UsageError: A key is unknown or misspelt, a value has the wrong type, or a YAML key stands twice.
        UserError: There is no such recipe or file.
    """
    arguments = keys.resolve_names(arguments)
    keys.check(arguments)
    if verb == "fit":
        keys.require_weights(arguments)
    from zoo.training import runs  # torch and lightning take seconds

    return runs.parse(arguments, verb)


def run(verb: Verb | Literal["resume"], arguments: list[str]) -> int:
    """Run one of Lightning's verbs on a recipe, a run, or exported weights with theirs; the exit status.

    ``resume`` is ``fit`` of a run's own config, in its folder.
    """
    if verb != "fit" and arguments and not arguments[0].startswith("-"):
        if catalogue.is_run(Path(arguments[0])):
            config = str(Path(arguments[0]) / "config.yaml")
            arguments = ["--config", config, "--ckpt_path", *arguments]
        elif verb != "resume" and catalogue.is_exported(arguments[0]):
            arguments = ["--config", catalogue.recipe_of(arguments[0]), "--ckpt_path", *arguments]
    if {"--help", "-h"} & set(arguments) and "all" not in arguments:
        from zoo.training import usage

        rest = [argument for argument in arguments if argument not in ("--help", "-h")]
        print(usage.text(verb, keys.resolve_names(rest) if rest else []))
        return 0
    if verb == "resume":
        if arguments[:1] != ["--config"]:
            given = f"{arguments[0]} is none" if arguments else "none is given"
            raise UsageError(f"zoo resume needs a run folder, runs/PAPER/RECIPE/ID, and {given}.")
        return run_built(build(arguments))
    if verb == "fit":
        from zoo.training import seeds

        arguments, each = seeds.taken_from(arguments)
        if each and not any(argument.startswith("--print_config") for argument in arguments):
            seeds.fit_each(arguments, each)
            return 0
    return run_built(build([argument for argument in arguments if argument != "all"], verb))


def run_built(built: RecipeCLI) -> int:
    """Run what :func:`build` gave; the exit status."""
    from zoo.training import runs

    return runs.execute(built)
