"""Check a recipe and a command line before torch is imported: names, files, keys, and values.

What cannot be judged from sources alone is left to the full parser.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from zoo import catalogue, recipes
from zoo.bounds import refusal
from zoo.catalogue import parameters, require_class
from zoo.errors import UsageError, UserError, nearest

Verb = Literal["fit", "validate", "test", "predict"]
TRAINER = "lightning.pytorch.Trainer"
OPTION_TYPES = {  # the sections of a recipe; "": judged by their own keys
    "seed_everything": "bool | Seed",
    "trainer": "",
    "model": "",
    "data": "",
    "ckpt_path": "str | None",
    "resume": "Literal['auto'] | None",
    **dict.fromkeys(("name", "notes"), "str | None"),
    "tags": "list[str]",
    "wandb": "Literal['auto', 'online', 'offline', 'off']",
}
OPTIONS = ["config", "help", "print_config", *OPTION_TYPES]
CLASS_KEYS = ["class_path", "init_args", "dict_kwargs"]
PRECISIONS = "16-mixed bf16-mixed 16-true bf16-true 32-true 64-true"
TRAINER_TYPES = {  # where Lightning's own annotations say less than it accepts
    "accelerator": "Literal['auto', 'cpu', 'gpu', 'cuda', 'mps', 'tpu'] | Class",
    "devices": "Literal['auto', -1] | PositiveInt | list[NonNegativeInt]",
    "num_nodes": "PositiveInt",
    "precision": f"Literal{[*PRECISIONS.split(), '16', 'bf16', '32', '64', 16, 32, 64]} | None",
    "callbacks": "list[Class] | Class | None",
    "fast_dev_run": "bool | NonNegativeInt",
    "max_steps": "Endless",
    **dict.fromkeys(("max_epochs", "num_sanity_val_steps"), "Endless | None"),
    **dict.fromkeys(("min_epochs", "min_steps", "log_every_n_steps"), "NonNegativeInt | None"),
    **dict.fromkeys(
        [f"limit_{kind}_batches" for kind in ("train", "val", "test", "predict")] + ["overfit_batches"],
        "NonNegativeInt | Fraction | None",
    ),
    "check_val_every_n_epoch": "PositiveInt | None",
    "reload_dataloaders_every_n_epochs": "NonNegativeInt",
}
# flags that Lightning refuses where a module steps its optimizers itself: their value when unused, and ours
OURS = {
    "gradient_clip_val": (None, "clip_grad_norm"),
    "gradient_clip_algorithm": (None, "clip_grad_norm"),
    "accumulate_grad_batches": (1, "accumulate"),
}
KNOWN_PACKAGES = ("torch", "lightning", "torchmetrics", "zoo")  # whose code a recipe may name unremarked


HEAD = "# Recipe: "  # first line of a run's config.yaml


def recipe_name(arguments: list[str]) -> str:
    """``paper/data`` from the first recipe on the command line; ``unnamed/run`` if there is none.

    A run's own ``config.yaml`` has the name of the run's recipe.
    """
    files = recipe_files(arguments)
    if not files:
        return "unnamed/run"
    head = recipes.text_of(files[0]).partition("\n")[0]
    if head.startswith(HEAD):
        path = Path(head.removeprefix(HEAD).split(" + ")[0])
    else:
        path = files[0].resolve()
        beside = [path.parent / made for made in ("env.json", "checkpoints")]
        if path.name == "config.yaml" and any(made.exists() for made in beside):  # a run of an older version
            path = path.parents[1]
    return f"{path.parent.name or 'unnamed'}/{path.stem}"


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
    """Each option without its dashes, and its value: after ``=``, else the next argument.

    Raises:
        UsageError: An argument belongs to no option, or an option lacks its value.
    """
    rest = list(arguments)
    while rest:
        word = {"-c": "--config", "-h": "--help"}.get(rest[0], rest[0])
        del rest[0]
        if not word.startswith("--") or word == "--":
            named = get_close_matches(word, [recipe.name for recipe in recipes.all_recipes()], 1)
            hint = (
                f"did you mean --config {named[0]}?"
                if named
                else "options begin with --, recipes follow --config."
            )
            raise UsageError(f"{word[:80]} belongs to no option; {hint}")
        key, equals, value = word[2:].partition("=")
        optional = key in ("help", "print_config") or key.endswith(".help")
        if not equals and rest and not rest[0].startswith("--") and key not in ("help", "print_config"):
            value = rest.pop(0)
        elif not equals and not optional:
            raise UsageError(
                "--config needs a recipe: `zoo list recipes` names all."
                if key == "config"
                else f"--{key} needs a value, as in --{key}=VALUE."
            )
        yield key, value


def resolve_names(arguments: list[str]) -> list[str]:
    """Replace recipe names by their files.

    Raises:
        UsageError: No recipe is named, there is none of this name, or an argument belongs to no option.
    """
    if not arguments:
        raise UsageError("Name a recipe, as in `zoo fit --config gan/digits`; `zoo list recipes` names all.")
    list(options(arguments))
    resolved = list(arguments)
    for i, argument in enumerate(arguments):
        if argument in ("--config", "-c"):
            resolved[i + 1] = str(recipes.find(arguments[i + 1]))
        elif argument.startswith("--config="):
            resolved[i] = f"--config={recipes.find(argument.removeprefix('--config='))}"
    return resolved


def check(arguments: list[str]) -> None:
    """Refuse misspelt keys and wrong values, before jsonargparse accepts a prefix of a key.

    Args:
        arguments: The command line, recipes as files.

    Raises:
        UsageError: A key, a class or a value is wrong, a recipe is not valid YAML, there is no checkpoint of
            the path that is given, or the recipes name no model or no data.
    """
    classes: dict[str, str] = {}  # by section, as recipes and command line have set them so far
    flags: dict[str, tuple[str, Any]] = {}  # those of OURS that are set, and where
    given = list(options(arguments))
    for option, value in given:
        if option == "config":
            _check_content(value, read_recipe(Path(value)), classes, flags)
    for option, value in given:
        _check_option(option.rstrip("+"), option.endswith("+"), value, classes, flags)
    if any(option in ("help", "print_config") or option.endswith(".help") for option, _ in given):
        return
    for section in ("model", "data"):
        if not classes.get(section):
            raise UsageError(
                f"Nothing names the {section}; begin with a whole recipe, as in --config gan/digits, and let "
                "overlays follow it."
            )
    known = parameters(classes["model"]) or {}
    for flag, (where, value) in flags.items():
        unused, ours = OURS[flag]
        if ours in known and value not in (unused, str(unused), "null"):
            raise UsageError(
                f"{where}: trainer.{flag} does not work for two players; set model.{ours} instead."
            )


def require_weights(arguments: list[str]) -> None:
    """Refuse a ``model.init_from`` that names no weights, where a training begins.

    Args:
        arguments: The command line, recipes as files.

    Raises:
        UserError: There are no such weights; suggests the nearest name.
    """
    name: Any = None
    for option, value in options(arguments):
        if option in ("resume", "ckpt_path") and value != "null":
            return
        if option == "config":
            model = read_recipe(Path(value)).get("model") or {}
            given = model.get("init_args") or {} if isinstance(model, dict) else {}
            name = given.get("init_from", name)
        elif option in ("model.init_from", "model.init_args.init_from"):
            name = value
    if isinstance(name, str) and name not in ("", "null"):
        catalogue.stored(name)


def _check_option(
    key: str, appends: bool, value: str, classes: dict[str, str], flags: dict[str, tuple[str, Any]]
) -> None:
    """Check one option of the command line as the recipe that it stands for."""
    where, parts = "command line", [part for part in key.split(".") if part != "init_args"]
    section, *rest = parts
    parsed = _parsed(key, value)
    if section in ("model", "data") and rest in ([], ["class_path"]):
        _check_content(where, {section: parsed}, classes, flags)
    elif section in ("model", "data"):
        if rest[0] not in (*CLASS_KEYS, "help") and classes.get(section):
            _check_values(
                where, f"{section}.", {".".join(rest): parsed}, _arguments(where, section, classes[section])
            )
    elif section == "trainer" and rest:
        if rest == ["callbacks"] and appends and isinstance(parsed, str) and "." in parsed:
            _arguments(where, "trainer.callbacks", parsed)
        _file_content(where, value)  # only what can be read is left to the full parser
        if rest[0] == "callbacks" and (appends or len(rest) > 1):  # judged by check_parsed
            return
        _check_values(where, "trainer.", {".".join(rest): parsed}, _trainer())
        if rest[0] in OURS:
            flags[rest[0]] = (where, parsed)
    elif section == "trainer":
        _check_content(where, {"trainer": parsed}, classes, flags)
    else:
        _check_values(where, "--", {section: parsed}, dict.fromkeys(OPTIONS, "") | OPTION_TYPES)
        known = value in ("last", "null", "") or Path(value).exists() or catalogue.is_exported(value)
        if key == "ckpt_path" and not known:
            raise UsageError(f"There is no checkpoint {value}; check the path.")


def _parsed(key: str, value: str) -> Any:
    """A value of the command line; text unless it is a list or a mapping in YAML."""
    if value[:1] not in ("[", "{"):
        return value
    try:
        return recipes.parse(value, f"--{key}")
    except UsageError:
        if max(map(value.count, "[{*")) > recipes.DEEPEST or "*" in value:
            raise
        return value  # a folder may be called [x]


def _file_content(where: str, value: Any) -> dict[str, Any] | None:
    """The content of a file that stands for a section; it is found beside the recipe, else from here."""
    if not isinstance(value, str) or not value.endswith((".yaml", ".yml")):
        return None
    return read_recipe(
        next((path for path in (Path(where).parent / value, Path(value)) if path.exists()), Path(value))
    )


def _trainer() -> dict[str, str]:
    return (parameters(TRAINER) or {}) | TRAINER_TYPES


def _check_content(
    where: str, content: dict[str, Any], classes: dict[str, str], flags: dict[str, tuple[str, Any]]
) -> None:
    """Check a recipe, or a part of one, and note the classes and flags that it sets."""
    _check_values(where, "", content, OPTION_TYPES)
    trainer = content.get("trainer") or {}
    trainer = _file_content(where, trainer) or trainer
    _check_values(where, "trainer.", trainer, _trainer())
    flags.update({flag: (where, trainer[flag]) for flag in OURS if flag in trainer})
    callbacks = trainer.get("callbacks") or []
    callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
    blocks = {key: content.get(key) for key in ("model", "data")}
    blocks |= {f"trainer.callbacks[{i}]": callback for i, callback in enumerate(callbacks)}
    for name, block in blocks.items():
        if block is None or block == "null":
            continue
        if isinstance(block, str):
            block = _file_content(where, block) or {"class_path": block}
        _check_values(where, f"{name}.", block, dict.fromkeys(CLASS_KEYS, ""))
        classes[name] = block.get("class_path") or classes.get(name, "")
        if classes[name]:
            known = _arguments(where, name, classes[name])
            _check_values(where, f"{name}.init_args.", block.get("init_args") or {}, known)


def _arguments(where: str, name: str, class_path: Any) -> dict[str, str] | None:
    """The arguments of a class that a recipe names; None if its source does not say them."""
    if str(class_path).partition(".")[0] in sys.stdlib_module_names:  # says it before anything is imported
        raise UsageError(f"{where}: {name}.class_path {class_path} is no model, data module or callback.")
    try:
        require_class(str(class_path))
    except UserError as error:
        raise UsageError(f"{where}: {name}.class_path {error}") from error
    return parameters(class_path)


def _check_values(where: str, prefix: str, section: Any, known: dict[str, str] | None) -> None:
    """Refuse the first key of a section that is not known, or value that does not fit; None knows all."""
    if not isinstance(section, dict):
        raise UsageError(
            f"{where}: {prefix.rstrip('.') or 'the file'} must hold keys and values, got {_shown(section)}."
        )
    for key, value in section.items():
        name, *inner = str(key).rstrip("+").split(".")
        if known is None:
            continue
        if name not in known:
            hint = nearest(name, known, f"known are {', '.join(sorted(known)[:12])} …", 0.6)
            raise UsageError(f"{where}: there is no key {prefix}{name}; {hint}")
        if name == "devices" and isinstance(value, str) and "," in value:  # "0,1"
            continue
        if not inner and not str(key).endswith("+") and (wanted := refusal(known[name], value)):
            raise UsageError(f"{where}: {prefix}{name} must be {wanted}, got {_shown(value)}.")


def _shown(value: Any) -> str:
    """A value as a message repeats it."""
    text = {None: "null", True: "true", False: "false"}.get(value) if isinstance(value, bool | None) else None
    text = " ".join((text or str(value)).split())
    return text if len(text) <= 80 else f"{text[:80]} …"


def blocks(config: Any, name: str = "") -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every class that a recipe names, at any depth: its key, its import path and its arguments."""
    if isinstance(config, dict):
        if isinstance(path := config.get("class_path"), str):
            yield name, path, config.get("init_args") or {}
        for key, value in config.items():
            yield from blocks(value, f"{name}.{key}".lstrip("."))
    elif isinstance(config, list):
        for i, value in enumerate(config):
            yield from blocks(value, f"{name}[{i}]")


def check_parsed(config: dict[str, Any], where: str = "the recipe") -> None:
    """Check the values of all classes of a recipe as the full parser has put it together.

    Args:
        config: Plain values, sections as in a recipe.
        where: What they are called in messages.

    Raises:
        UsageError: A value is out of its argument's range.
    """
    for name, path, arguments in blocks(config):
        known = parameters(path)
        here = {key: value for key, value in arguments.items() if known and key in known}
        _check_values(where, f"{name}.", here, known)


def foreign(config: dict[str, Any]) -> list[str]:
    """The classes of a recipe that neither the zoo nor its stack has, with the files of those found here."""
    found = dict.fromkeys(path for _, path, _ in blocks(config))
    return [path + _file(path) for path in found if path.partition(".")[0] not in KNOWN_PACKAGES]


def _file(class_path: str) -> str:
    """`` (./my_data.py)`` if a class is of the current folder."""
    source = catalogue.find_source(class_path.rpartition(".")[0])
    inside = source is not None and source.path.is_relative_to(Path.cwd())
    return f" (./{source.path.relative_to(Path.cwd())})" if source and inside else ""


def read_recipe(path: Path) -> dict[str, Any]:
    """A recipe's content.

    Raises:
        UsageError: It is not valid YAML, or not a mapping; see :func:`zoo.recipes.read`.
    """
    content = recipes.read(path)
    if not isinstance(content, dict):
        raise UsageError(f"{path}: a recipe must hold keys and values, got {_shown(content)}.")
    return content
