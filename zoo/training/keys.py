"""Refuse misspelt keys of recipes and of the command line, with a suggestion."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import yaml

from zoo import recipes
from zoo.adversarial import GameOptions
from zoo.data.base import LoaderOptions


class UsageError(Exception):
    """How the command was typed, or what stands in a recipe, is wrong."""


def recipe_name(arguments: list[str]) -> str:
    """``paper/data`` from the first recipe on the command line; ``unnamed/run`` when there is none."""
    for path in _configs(arguments):
        resolved = Path(path).resolve()
        return f"{resolved.parent.name}/{resolved.stem}"
    return "unnamed/run"


def _configs(arguments: list[str]) -> Iterator[str]:
    for i, argument in enumerate(arguments):
        if argument in ("--config", "-c") and i + 1 < len(arguments):
            yield arguments[i + 1]
        elif argument.startswith("--config="):
            yield argument.removeprefix("--config=")


def resolve_names(arguments: list[str]) -> list[str]:
    """Replace recipe names by their files."""
    resolved = list(arguments)
    for i, argument in enumerate(arguments):
        if argument in ("--config", "-c") and i + 1 < len(arguments):
            resolved[i + 1] = str(recipes.find(arguments[i + 1]))
        elif argument.startswith("--config="):
            resolved[i] = f"--config={recipes.find(argument.removeprefix('--config='))}"
    return resolved


def check_keys(arguments: list[str]) -> None:
    """Refuse misspelt keys with a suggestion, before jsonargparse takes a prefix for a key."""
    classes: dict[str, str] = {}
    for path in _configs(arguments):
        content = _read_yaml(Path(path))
        _check(
            path, "", content, ["seed_everything", "trainer", "model", "data", "ckpt_path", "resume", "wandb"]
        )
        trainer = content.get("trainer") or {}
        _check(path, "trainer.", trainer, _parameters(pl.Trainer))
        callbacks = trainer.get("callbacks") or []
        sections = [("model", content.get("model")), ("data", content.get("data"))]
        for name, section in [*sections, *((f"trainer.callbacks[{i}]", c) for i, c in enumerate(callbacks))]:
            if not isinstance(section, dict):
                continue
            _check(path, f"{name}.", section, ["class_path", "init_args", "dict_kwargs"])
            classes[name] = section.get("class_path", classes.get(name, ""))
            known = _parameters(_import(path, name, classes[name])) if classes[name] else None
            if known is not None:
                _check(path, f"{name}.init_args.", section.get("init_args") or {}, known)
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if not argument.startswith("--") or argument == "--":
            continue
        key, _, value = argument[2:].partition("=")
        key = key.rstrip("+")
        if key.removesuffix(".class_path") in ("model", "data") and "." in (value or following):
            classes[key.removesuffix(".class_path")] = value or following
        parts = [part for part in key.split(".") if part != "init_args"]
        if parts[0] == "trainer" and len(parts) > 1:
            _check("command line", "trainer.", {parts[1]: 0}, _parameters(pl.Trainer))
        elif parts[0] in ("model", "data") and len(parts) > 1 and parts[1] not in ("class_path", "help"):
            if classes.get(parts[0]):
                known = _parameters(_import("command line", parts[0], classes[parts[0]]))
                _check("command line", f"{parts[0]}.", {parts[1]: 0}, known)
        else:
            options = ["config", "help", "print_config", "seed_everything", "trainer", "model", "data"]
            _check("command line", "--", {parts[0]: 0}, [*options, "ckpt_path", "resume", "wandb"])


def _check(where: str, prefix: str, section: Any, known: list[str]) -> None:
    if not isinstance(section, dict):
        raise UsageError(f"{where}: {prefix.rstrip('.') or 'the file'} must hold keys and values.")
    for key in section:
        if str(key).rstrip("+") not in known:
            near = difflib.get_close_matches(str(key), known, 1, 0.5)
            hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(known)[:12])} …"
            raise UsageError(f"{where}: there is no key {prefix}{key}{hint}")


def _parameters(of: type) -> list[str]:
    """Names of a class's arguments, with those that it hands on to its base classes."""
    names: list[str] = []
    for cls in of.__mro__:
        if "__init__" not in vars(cls):
            continue
        parameters = inspect.signature(vars(cls)["__init__"]).parameters.values()
        names += [
            p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and p.name != "self"
        ]
        rest = [p for p in parameters if p.kind == p.VAR_KEYWORD]
        for shared in (GameOptions, LoaderOptions):
            if any(shared.__name__ in str(p.annotation) for p in rest):
                names += list(shared.__annotations__)
        if not rest:
            break
    return names


def _import(where: str, name: str, class_path: str) -> type:
    module, _, attribute = class_path.rpartition(".")
    if not module:
        raise UsageError(
            f"{where}: {name}.class_path {class_path} must be a full import path like zoo.models.gan.GAN."
        )
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        raise UsageError(f"{where}: {name}.class_path {class_path} cannot be imported ({error}).") from error
    if not isinstance(found, type):
        near = difflib.get_close_matches(attribute, dir(importlib.import_module(module)), 1)
        raise UsageError(
            f"{where}: {module} has no class {attribute}" + (f"; did you mean {near[0]}?" if near else ".")
        )
    return found


def _read_yaml(path: Path) -> dict[str, Any]:
    """A recipe's content.

    Raises:
        UsageError: It is not YAML, not a mapping, or a key stands twice (YAML itself takes the last).
    """
    text = path.read_text(encoding="utf-8")
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        raise UsageError(f"{path}{line}: not valid YAML ({getattr(error, 'problem', error)}).") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: a recipe must hold keys and values.")
    nodes = [root]
    while nodes:
        node = nodes.pop()
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if key.value in seen:
                    raise UsageError(
                        f"{path} line {key.start_mark.line + 1}: the key {key.value} stands twice."
                    )
                seen.add(key.value)
                nodes.append(value)
    return content
