"""What a name on the command line means: a recipe, a class, a data set, weights, a run, a folder.

Names are checked without torch; only what makes a module or reads weights imports it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo import catalogue, recipes
from zoo.catalogue import Entry
from zoo.data.contracts import CONTRACTS
from zoo.errors import UsageError, UserError, nearest
from zoo.files.schemas import MODEL, RECORD, ROWS, is_address, read_json

if TYPE_CHECKING:
    from zoo.data.base import DataModule


def find(name: str) -> Entry:
    """What is known of a name that ``zoo list`` prints, as plain values; ``kind`` says what it is.

    Raises:
        UserError: Nothing has this name; suggests the nearest.
    """
    for entry in catalogue.checkpoints():
        if entry["name"] == name:
            return {"kind": "checkpoint", **entry, "config": _config(catalogue.folder_of(name))}
    place = catalogue.folder_of(name) if is_address(name) else Path(name).expanduser()
    if (place / "model.json").is_file():
        return {"kind": "checkpoint", "name": name, "config": _config(place)}
    if catalogue.is_run(place):
        return {"kind": "run", "name": name, **run_facts(place)}
    named = catalogue.find_class(name) if name.startswith("zoo.") else None
    for kind, folder in (("model", "models"), ("data", "data")):
        for class_path, definition in catalogue.classes(folder).items():
            _, _, module, class_name = class_path.split(".")
            if name in (class_name, module) or named == definition:
                return {"kind": kind, **catalogue.describe(class_path)}
    try:
        path = recipes.find(name)
    except UserError:
        entries = (*catalogue.models(), *catalogue.data(), *catalogue.checkpoints())
        known = [recipe.name for recipe in recipes.all_recipes()] + [entry["name"] for entry in entries]
        hint = nearest(name, known, "`zoo list` names all.", 0.6)
        raise UsageError(f"Nothing in the zoo is called {name}; {hint}") from None
    head, text = recipes.head_comment(path), recipes.text_of(path)
    return {"kind": "recipe", "name": name, "path": str(path), "head": head, "text": text}


def _config(folder: Path) -> Entry | None:
    """The ``model.json`` of a folder of weights, if it is there."""
    path = folder / "model.json"
    return dict(read_json(path, MODEL)) if path.is_file() else None


def run_facts(folder: Path) -> Entry:
    """What a run's files say: recipe, class, data, machine, checkpoints, scores."""
    text = recipes.text_of(folder / "config.yaml")
    content = recipes.parse(text, str(folder / "config.yaml")) or {}
    record = folder / "env.json"
    scores = folder / "eval.json"
    return {
        "recipe": text.partition("\n")[0].removeprefix("# Recipe: ") if text.startswith("# Recipe: ") else "",
        "class": (content.get("model") or {}).get("class_path"),
        "hyper_parameters": (content.get("model") or {}).get("init_args") or {},
        "seed": content.get("seed_everything"),
        "takes": (catalogue.kinds_of(str(folder)) or catalogue.Kinds()).takes,
        "data": read_json(record, RECORD).get("data", {}) if record.is_file() else {},
        "checkpoints": sorted(path.name for path in (folder / "checkpoints").rglob("*.ckpt")),
        "results": read_json(scores, ROWS) if scores.is_file() else [],
    }


class Data(NamedTuple):
    """A data module that is yet to be made.

    Args:
        name: How it was asked for, for messages.
        class_path: Import path of its class.
        arguments: Its keywords.
    """

    name: str
    class_path: str
    arguments: dict[str, Any]

    def make(self, **options: Any) -> DataModule:
        """Make the data module; ``options`` win over its arguments.

        Raises:
            UsageError: A value is out of its argument's range.
            UserError: There is no such class, or it needs other arguments.
        """
        from zoo.data.base import DataModule
        from zoo.training.keys import check_parsed

        wanted = self.arguments | options
        check_parsed({"data": {"class_path": self.class_path, "init_args": wanted}}, self.name)
        try:
            cls = catalogue.import_class(self.class_path)
        except UserError as error:
            raise UserError(f"{self.name} names no data class: {error} `zoo list data` names all.") from error
        if not issubclass(cls, DataModule):
            raise UserError(f"{self.class_path} is not a data class; `zoo list data` names all.")
        try:
            return cls(**wanted)
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise UserError(
                f"{self.class_path} cannot be made as {self.name} asks ({error}); give a recipe that sets "
                "what it needs."
            ) from error


def data(name: str, root: str | None = None) -> Data:
    """The data that a recipe names, or a class given by import path or as ``zoo list data`` prints it.

    Raises:
        UserError: There is none of this name; suggests the nearest.
    """
    paths = {path.rpartition(".")[2]: path for path in catalogue.classes("data")}
    path, arguments = paths.get(name, name), dict[str, Any]()
    if path == name and not name.startswith("zoo."):
        block = (recipes.read(_recipe(name, list(paths))) or {}).get("data") or {}
        path, arguments = block.get("class_path", ""), dict(block.get("init_args") or {})
    if not path or (path.startswith("zoo.") and catalogue.find_class(path) is None):
        raise UsageError(
            f"{name} names no data class ({path or 'no data.class_path'}); `zoo list data` names all."
        )
    if root is not None:
        others = recipes.describing(arguments, root)
        arguments = {key: value for key, value in arguments.items() if key not in others} | {"root": root}
    return Data(name, path, arguments)


def _recipe(name: str, others: list[str]) -> Path:
    """The file of a recipe, if one of the other names would do as well."""
    try:
        return recipes.find(name)
    except UserError:
        known = [recipe.name for recipe in recipes.all_recipes()] + others
        hint = nearest(name, known, "`zoo list` names all.")
        raise UsageError(f"There is no recipe {name}, nor anything else of this name; {hint}") from None


def reader(root: Path, contract: str | None = None) -> Any:
    """The data module that reads a folder: the first of the contract, or of all, that recognises it."""
    asked = [CONTRACTS[contract]] if contract else CONTRACTS.values()
    found: Any = None
    for path in (path for kind in asked for path in kind.readers):
        found = catalogue.import_class(path)
        if found.recognises(root):
            break
    return found  # the last one reads any folder of its contract, and of all contracts any pictures


def data_or_folder(name: str, root: str | None = None) -> Data:
    """The data that a name means, or a folder with the arguments that its check proposes.

    Raises:
        UserError: The check found an error, or there is nothing of this name.
    """
    folder = Path(name)
    if not folder.is_dir():
        return data(name, root)
    checked = reader(folder).check(folder)
    if checked.errors:
        raise UserError(f"{checked.errors[0].text} `zoo data check {folder}` names all that is wrong.")
    return Data(name, checked.class_path, {"root": name, **checked.arguments})


class Subject(NamedTuple):
    """Something to score, not yet loaded.

    Args:
        name: How it was asked for.
        folder: Folder of pictures or of a run, in which results are written.
        weights: What :func:`zoo.load` takes.
        runs: Where to look for the newest checkpoint: a folder of runs, and a run's name or ``*``.
        is_recipe: Whether it has to have a checkpoint.
    """

    name: str
    folder: Path
    weights: str | None = None
    runs: tuple[Path, str] | None = None
    is_recipe: bool = False


def subject(name: str) -> Subject:
    """What a name means: a folder of pictures, a run, weights, or a recipe's newest checkpoint.

    Raises:
        UserError: It means nothing; suggests the nearest name.
    """
    path = Path(name)
    if path.is_dir() and not (path / "model.json").is_file():
        whole = path.resolve()  # of "." too
        return Subject(
            name, path, runs=(whole.parent, whole.name) if (path / "checkpoints").is_dir() else None
        )
    if path.is_file() and path.suffix != ".yaml":
        return Subject(name, path.resolve().parent.parent, weights=name)
    named = [entry["name"] for entry in catalogue.checkpoints()]
    if path.is_dir() or name in named or "://" in name:
        catalogue.find_weights(name)  # refuses what is no address
        return Subject(name, path, weights=name)
    recipe = _recipe(name, named)
    home = Path("runs") / recipe.parent.name / recipe.stem
    if not any(home.glob("*/checkpoints/*.ckpt")):
        raise UserError(f"There is no whole checkpoint under {home} yet; run zoo fit, or give a .ckpt.")
    return Subject(name, home, runs=(home, "*"), is_recipe=True)
