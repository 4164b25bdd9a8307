"""Find recipes by name: a path, then the source tree, then the package; names of classes in recipes."""

from __future__ import annotations

import functools
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import UsageError, UserError, nearest

PACKAGE = Path(__file__).parent
MOST_BYTES = 1_000_000
DEEPEST = 50


@dataclass(frozen=True)
class Recipe:
    """A recipe as ``zoo list`` shows it.

    Args:
        name: ``paper/data``, as it is typed.
        path: The YAML file.
        head: Its head comment, without the number signs.
    """

    name: str
    path: Path
    head: str


def bundled(folder: str) -> Path:
    """The top-level folder ``recipes`` or ``checkpoints``: of the source tree, else of the package."""
    beside = PACKAGE.parent / folder
    in_tree = (PACKAGE.parent / "pyproject.toml").is_file() and beside.is_dir()
    return beside if in_tree else PACKAGE / f"_{folder}"


def all_recipes() -> list[Recipe]:
    """Every recipe that comes with the zoo, overlays left out."""
    root = bundled("recipes")
    paths = sorted(p for p in root.glob("*/*.yaml") if p.parent.name != "overlays")
    return [Recipe(p.relative_to(root).with_suffix("").as_posix(), p, head_comment(p)) for p in paths]


def head_comment(path: Path) -> str:
    """The comment lines at the top of a file, without their number signs."""
    lines = []
    for line in text_of(path).splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("#").strip())
    return "\n".join(lines)


def text_of(path: Path) -> str:
    """The text of a recipe's file.

    Raises:
        UsageError: It is not a plain file of UTF-8 text, or far larger than a recipe.
        UserError: It cannot be read.
    """
    try:
        if not path.is_file():  # a folder, or a pipe that nobody writes to
            raise UsageError(f"{path} is not a file; a recipe is a YAML file.")
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"Cannot read {path} ({error.strerror or error}); check the path.") from error
    if len(raw) > MOST_BYTES:
        raise UsageError(f"{path} has more than {MOST_BYTES // 1000} kB; a recipe is a short YAML file.")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not text in UTF-8; a recipe is a YAML file.") from error


def read(path: Path) -> Any:
    """The plain values in a recipe's file: see :func:`text_of` and :func:`parse`."""
    return parse(text_of(path), str(path))


def parse(text: str, where: str) -> Any:
    """The plain values in YAML that a stranger may have written: neither aliases nor endless nesting.

    Args:
        text: The YAML.
        where: What it is called in messages.

    Raises:
        UsageError: It is not valid YAML, a key stands twice (YAML itself takes the last), it has aliases
            (which can stand for more than fits into memory), or it is nested too deeply.
    """
    import yaml  # names are found without it

    strict, depth = _strict(), 0
    try:
        for event in yaml.parse(text, strict):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST or isinstance(event, yaml.AliasEvent):
                deep = depth > DEEPEST
                problem = f"nested more than {DEEPEST} deep" if deep else "write the alias out"
                mark: Any = event.start_mark
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        return strict(text).get_single_data()
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or a number that is none
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise UsageError(f"{where}{line}: not valid YAML ({problem[:200]}).") from error


@functools.cache
def _strict() -> Any:
    """A loader of plain values, by libyaml if it is installed (ten times as fast), without duplicate keys."""
    import yaml

    base: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader

    class Strict(base):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key.value} stands twice", problem_mark=key.start_mark
                    )
                seen.add(key.value)
            made: dict[Any, Any] = super().construct_mapping(node, deep)
            return made

    # YAML 1.1 takes 1e-3 for text, as it has no point
    exponent = re.compile(r"[-+]?[0-9]+[eE][-+][0-9]+$")
    Strict.add_implicit_resolver("tag:yaml.org,2002:float", exponent, list("-+0123456789"))
    return Strict


def describing(arguments: dict[str, Any], root: str) -> list[str]:
    """The data arguments that describe the folder ``arguments["root"]`` and do not apply to ``root``.

    Folders of one name, ``data/facades`` and ``/disk/facades``, are taken for the same data.
    """
    before = arguments.get("root")
    if before is None or Path(str(before)).name == Path(str(root)).name:
        return []
    return [key for key in ("name", "licence", "research_only", "palette") if arguments.get(key) is not None]


def find(name: str) -> Path:
    """The YAML file of a recipe given by path or by name (``pix2pix/scenes``).

    Raises:
        UsageError: There is none; suggests the nearest name.
    """
    if os.path.exists(name) and (name.endswith((".yaml", ".yml")) or not os.path.isdir(name)):
        return Path(name)  # reading says what is wrong with it
    root = bundled("recipes")
    short = name.removeprefix("recipes/").removesuffix(".yaml")
    if (path := root / f"{short}.yaml").is_file():
        return path
    hint = nearest(short, [recipe.name for recipe in all_recipes()], "`zoo list recipes` names all.")
    raise UsageError(f"There is no recipe {name}; {hint}")


def public_path(cls: type) -> str:
    """The shortest dotted path of a class: ``zoo.data.pairs.PairFolder``, not ``…pairs.module.PairFolder``.

    It stays the same when a class moves to another file of its package.
    """
    parts = cls.__module__.split(".")
    for length in range(1, len(parts) + 1):
        module = ".".join(parts[:length])
        if getattr(sys.modules.get(module), cls.__qualname__, None) is cls:
            return f"{module}.{cls.__qualname__}"
    return f"{cls.__module__}.{cls.__qualname__}"
