"""Check a recipe and a command line before torch is imported: names, files, and misspelt keys.

What cannot be judged from sources alone is left to the full parser.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import yaml

from zoo import recipes
from zoo.catalogue import parameters, require_class
from zoo.errors import UsageError, UserError, nearest

Verb = Literal["fit", "validate", "test", "predict"]
TRAINER = "lightning.pytorch.Trainer"
SECTIONS = [
    "seed_everything",
    "trainer",
    "model",
    "data",
    "ckpt_path",
    "resume",
    "wandb",
    "name",
    "tags",
    "notes",
]
OPTIONS = ["config", "help", "print_config", *SECTIONS]
CLASS_KEYS = ["class_path", "init_args", "dict_kwargs"]


def recipe_name(arguments: list[str]) -> str:
    """``paper/data`` from the first recipe on the command line; ``unnamed/run`` if there is none."""
    for option, value in options(arguments):
        if option == "config":
            resolved = Path(value).resolve()
            return f"{resolved.parent.name}/{resolved.stem}"
    return "unnamed/run"


def recipe_files(arguments: list[str]) -> list[Path]:
    """The recipes on a command line, as files."""
    return [Path(value) for option, value in options(arguments) if option == "config"]


def run_label(recipe: str, seed: object, arguments: list[str]) -> str:
    """A run's name by what differs from its recipe: ``gan/digits seed 0 lr=0.5 tiny``."""
    changes = []
    for option, value in options(arguments):
        section, _, key = option.partition(".")
        if section in ("model", "data", "trainer") and value and key not in ("root", "default_root_dir"):
            is_class = key in ("", "class_path")
            changes.append(
                f"{key.rpartition('.')[2] or section}={value.rpartition('.')[2] if is_class else value}"
            )
    changes += [path.stem for path in recipe_files(arguments)[1:]]
    return " ".join([recipe, f"seed {seed}", *changes])[:128]


def of_other_data(arguments: list[str]) -> list[str]:
    """Keys of a recipe's data that do not apply because a later recipe or option sets another ``data.root``.

    A recipe's name and licence are those of its folder; see :func:`zoo.recipes.describing`.
    """
    stated: dict[str, Any] = {}
    dropped: set[str] = set()
    for option, value in options(arguments):
        key = option.removeprefix("data.").removeprefix("init_args.")
        given = {key: value} if option.startswith("data.") else {}
        if option == "config":
            given = (read_recipe(Path(value)).get("data") or {}).get("init_args") or {}
        if "root" in given:
            dropped |= set(recipes.describing(stated, given["root"]))
        dropped -= given.keys()
        stated = {k: v for k, v in stated.items() if k not in dropped} | given
    return sorted(dropped)


def options(arguments: list[str]) -> Iterator[tuple[str, str]]:
    """Each option without its dashes, and its value: after ``=``, else the next argument."""
    for argument, following in pairwise([*arguments, ""]):
        if argument == "-c":
            yield "config", following
        elif argument.startswith("--") and argument != "--":
            key, equals, value = argument[2:].partition("=")
            yield key, value if equals else following


def resolve_names(arguments: list[str]) -> list[str]:
    """Replace recipe names by their files.

    Raises:
        UsageError: No recipe is named.
        UserError: There is no such recipe.
    """
    if not arguments:
        raise UsageError("Name a recipe, as in `zoo fit --config gan/digits`; `zoo list recipes` names all.")
    resolved = list(arguments)
    for i, argument in enumerate(arguments):
        if argument in ("--config", "-c"):
            if i + 1 == len(arguments):
                raise UsageError(f"{argument} needs a recipe: `zoo list recipes` names all.")
            resolved[i + 1] = str(recipes.find(arguments[i + 1]))
        elif argument.startswith("--config="):
            resolved[i] = f"--config={recipes.find(argument.removeprefix('--config='))}"
    return resolved


def check(arguments: list[str]) -> None:
    """Refuse misspelt keys with a suggestion, before jsonargparse accepts a prefix of a key.

    Args:
        arguments: The command line, recipes as files.

    Raises:
        UsageError: A key or class is unknown, or a recipe is not valid YAML.
        UserError: There is no checkpoint of the path that is given.
    """
    classes: dict[str, str] = {}  # by section, as recipes and command line have set them so far
    for option, path in options(arguments):
        if option == "config":
            _check_recipe(path, classes)
    where = "command line"
    for option, value in options(arguments):
        key = option.rstrip("+")
        if key.removesuffix(".class_path") in ("model", "data") and "." in value:
            classes[key.removesuffix(".class_path")] = value
            _arguments(where, key.removesuffix(".class_path"), value)
        section, *rest = (part for part in key.split(".") if part != "init_args")
        if section == "trainer" and rest:
            _check(where, "trainer.", {rest[0]: 0}, parameters(TRAINER))
        elif section in ("model", "data") and rest:
            if rest[0] not in (*CLASS_KEYS, "help") and classes.get(section):
                _check(where, f"{section}.", {rest[0]: 0}, _arguments(where, section, classes[section]))
        else:
            _check(where, "--", {section: 0}, OPTIONS)
        if key == "ckpt_path" and value not in ("last", "null", "") and not Path(value).exists():
            raise UserError(f"There is no checkpoint {value}.")


def _check_recipe(path: str, classes: dict[str, str]) -> None:
    """Check one file, and note the classes that it names."""
    content = read_recipe(Path(path))
    _check(path, "", content, SECTIONS)
    trainer = content.get("trainer") or {}
    _check(path, "trainer.", trainer, parameters(TRAINER))
    callbacks = {f"trainer.callbacks[{i}]": c for i, c in enumerate(trainer.get("callbacks") or [])}
    for name, block in ({key: content.get(key) for key in ("model", "data")} | callbacks).items():
        if not isinstance(block, dict):
            continue
        _check(path, f"{name}.", block, CLASS_KEYS)
        classes[name] = block.get("class_path", classes.get(name, ""))
        if classes[name]:
            known = _arguments(path, name, classes[name])
            _check(path, f"{name}.init_args.", block.get("init_args") or {}, known)


def _arguments(where: str, name: str, class_path: str) -> list[str] | None:
    """The arguments of a class that a recipe names; None if its source does not say them."""
    try:
        require_class(class_path)
    except UserError as error:
        raise UsageError(f"{where}: {name}.class_path {error}") from error
    return parameters(class_path)


def _check(where: str, prefix: str, section: Any, known: list[str] | None) -> None:
    """Refuse the first key of a section that is not known; None knows all."""
    if not isinstance(section, dict):
        raise UsageError(f"{where}: {prefix.rstrip('.') or 'the file'} must hold keys and values.")
    for key in section:
        if known is not None and str(key).rstrip("+") not in known:
            hint = nearest(str(key), known, f"known are {', '.join(sorted(known)[:12])} …", 0.5)
            raise UsageError(f"{where}: there is no key {prefix}{key}; {hint}")


def read_recipe(path: Path) -> dict[str, Any]:
    """A recipe's content.

    Raises:
        UsageError: It is not YAML, not a mapping, or a key stands twice (YAML itself takes the last).
    """
    try:
        content = _Strict(path.read_text(encoding="utf-8")).get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        raise UsageError(f"{path}{line}: not valid YAML ({getattr(error, 'problem', error)}).") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not text in UTF-8; a recipe is a YAML file.") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: a recipe must hold keys and values.")
    return content


class _Strict(yaml.SafeLoader):
    """Refuses a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if keys.count(key.value) > 1:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value} stands twice", problem_mark=key.start_mark
                )
        return super().construct_mapping(node, deep)
