"""The public data sets of the papers: where they come from, their licences, their layout on disk.

The facts are in this folder, one YAML file per batch contract (``frontal_faces.yaml``: ``frontal faces``),
as ``name: fields``. The fields are those of :class:`Source`, with these short forms:

- A file has ``urls``; or a ``path`` below each of the set's ``mirrors``; or ``github`` (a repository),
  ``commit`` and ``folder`` (the folder of it that becomes the set; all of it if absent).
- ``name`` of a file defaults to the last part of its URL.
- ``size_bytes`` defaults to the sum of the files' sizes if all are known, else to 0.
- ``init_args`` defaults to ``root: "{root}"``.

``SOURCES`` reads the files when it is first used; importing this module reads none, and imports neither torch
nor numpy. A set that its owners hand out after an agreement, a login or a payment has instructions instead of
files.
"""

from __future__ import annotations

import os
from collections import UserDict
from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import yaml

from zoo.errors import UserError, nearest

try:
    from yaml import CSafeLoader as SafeLoader  # ten times as fast; a PyYAML without libyaml lacks it
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]

T = TypeVar("T")
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class RemoteFile:
    """A file that can be downloaded.

    Args:
        urls: Mirrors, in order: https, or http if ``sha256`` is known.
        name: File name on disk.
        sha256: Published SHA-256, in hexadecimal.
        size: Published size in bytes.
        unpack: Whether to extract it.
        parts: Folders of the archive to keep, as glob patterns, each with the folder of the set that receives
            its contents; empty for everything.
    """

    urls: tuple[str, ...]
    name: str
    sha256: str | None = None
    size: int | None = None
    unpack: bool = True
    parts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Source:
    """A public data set.

    Args:
        name: Name in commands, and of its folder.
        contract: Batch contract.
        title: What the set is.
        papers: Papers of the zoo that use it.
        licence: Licence as its owners state it, as far as it is known.
        research_only: Whether the licence, or its absence, allows research only.
        size_bytes: Size of the download; 0 if unknown.
        count: Number and size of the samples.
        layout: Contents of the finished folder.
        present: Glob patterns; the set is complete if each matches something.
        files: Files that ``zoo data get`` downloads.
        by_hand: Steps for a person, instead of ``files`` or after them.
        later: Patterns of ``present`` that match only after ``by_hand``.
        licence_url: Page of the terms or of the owners.
        reader: Import path of the data module that reads it.
        init_args: Arguments of the reader; ``{root}`` stands for the set's folder.
        hashes: Origin of the SHA-256 values and sizes.
    """

    name: str
    contract: str
    title: str
    papers: str
    licence: str
    research_only: bool
    size_bytes: int
    count: str
    layout: str
    present: tuple[str, ...]
    files: tuple[RemoteFile, ...] = ()
    by_hand: str = ""
    later: tuple[str, ...] = ()
    licence_url: str = ""
    reader: str = ""
    init_args: dict[str, Any] = field(default_factory=dict)
    hashes: str = ""


class _Sources(UserDict[str, Source]):
    """All sets by name, contract by contract; the files are read when a set is first asked for."""

    def __init__(self) -> None:
        pass

    @cached_property
    def data(self) -> dict[str, Source]:  # type: ignore[override]
        found: dict[str, Source] = {}
        for path in sorted(FOLDER.glob("*.yaml")):
            sets = read(path)
            if twice := found.keys() & sets:
                raise UserError(f"{path}: set {min(twice)} is in another file as well; rename one.")
            found |= sets
        return found


SOURCES = _Sources()


def contracts() -> list[str]:
    """The contracts with public sets; reads no file."""
    return sorted(_contract(path) for path in FOLDER.glob("*.yaml"))


def terms(source: Source) -> str:
    """What the licence allows, in two words."""
    return "research only" if source.research_only else "commercial use too"


def is_present(source: Source, folder: Path) -> bool:
    """Whether a folder holds the set."""
    return _holds(folder, source.present)


def is_fetched(source: Source, folder: Path) -> bool:
    """Whether a folder holds the part of the set that ``files`` provide."""
    return _holds(folder, [pattern for pattern in source.present if pattern not in source.later])


def _holds(folder: Path, patterns: Iterable[str]) -> bool:
    return all(any(True for _ in folder.glob(pattern)) for pattern in patterns)


def find(source: Source) -> Path | None:
    """The folder of the set: ``data/NAME``, else ``$ZOO_DATA/NAME``; None if it is in neither."""
    below = [Path("data"), *([Path(common)] if (common := os.environ.get("ZOO_DATA")) else [])]
    return next((path / source.name for path in below if is_present(source, path / source.name)), None)


def arguments(source: Source, folder: Path) -> dict[str, Any]:
    """The reader's arguments for the set in ``folder``."""
    return {
        key: value.replace("{root}", str(folder)) if isinstance(value, str) else value
        for key, value in source.init_args.items()
    }


def read(path: Path) -> dict[str, Source]:
    """The sets of one contract's file.

    Raises:
        UserError: The file is not valid YAML; or a field is missing, unknown, repeated or of the wrong type.
    """
    loader = _Strict(path.read_text(encoding="utf-8"))
    try:
        sets = loader.get_single_data()
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML ({' '.join(str(error).split())}); fix it.") from error
    finally:
        loader.dispose()
    contract, known = _contract(path), _mapping(sets, str(path))
    return {name: _source(contract, name, given, f"{path}: set {name}") for name, given in known.items()}


class _Strict(SafeLoader):
    """Refuses a key that is given twice, where YAML keeps the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise yaml.MarkedYAMLError(problem=f"{twice[0]} is given twice", problem_mark=node.start_mark)
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def _contract(path: Path) -> str:
    return path.stem.replace("_", " ")


def _source(contract: str, name: str, given: object, where: str) -> Source:
    given = dict(_mapping(given, where))
    mirrors = _value("tuple[str, ...]", given.pop("mirrors", []), f"{where}: field mirrors")
    entries = given.get("files", [])
    if not isinstance(entries, list):
        raise UserError(f"{where}: field files must be a list, not {entries!r}.")
    given["files"] = files = tuple(
        _file(entry, mirrors, f"{where}: file {number}") for number, entry in enumerate(entries, 1)
    )
    sizes = [file.size or 0 for file in files]
    given.setdefault("size_bytes", sum(sizes) if all(sizes) else 0)
    if "reader" in given:
        given.setdefault("init_args", {"root": "{root}"})
    return _build(Source, given, where, name=name, contract=contract)


def _file(given: object, mirrors: tuple[str, ...], where: str) -> RemoteFile:
    given = dict(_mapping(given, where))
    if "github" in given:
        github = _build(_GitHub, given, where)
        # GitHub makes these archives on demand, so they have no lasting hash.
        name = f"{github.github.rpartition('/')[2]}-{github.commit[:7]}.zip"
        url = f"https://github.com/{github.github}/archive/{github.commit}.zip"
        return RemoteFile((url,), name, parts=((f"*/{github.folder}".rstrip("/"), ""),))
    if "path" in given:
        path = _value("str", given.pop("path"), f"{where}: field path")
        given["urls"] = [mirror + path for mirror in mirrors]
    if urls := _value("tuple[str, ...]", given.get("urls", []), f"{where}: field urls"):
        given.setdefault("name", urls[0].rpartition("/")[2].partition("?")[0])
    return _build(RemoteFile, given, where)


@dataclass(frozen=True)
class _GitHub:
    """A folder of a repository at one commit."""

    github: str
    commit: str
    folder: str = ""


def _build(kind: type[T], given: dict[str, Any], where: str, **fixed: str) -> T:
    """An instance of the dataclass ``kind`` from the fields of a file, all of which are checked."""
    known = {each.name: each for each in fields(kind) if each.name not in fixed}  # type: ignore[arg-type]
    for key in given.keys() - known:
        hint = nearest(str(key), known, f"known are {', '.join(known)}.", 0.6)
        raise UserError(f"{where} has an unknown field {key}; {hint}")
    for key, each in known.items():
        if key not in given and each.default is MISSING and each.default_factory is MISSING:
            raise UserError(f"{where} has no field {key}; add it.")
    values = {
        key: _value(str(known[key].type), value, f"{where}: field {key}") for key, value in given.items()
    }
    return kind(**fixed, **values)


def _mapping(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UserError(f"{where} must map names to values, not be {value!r}.")
    return value


def _value(kind: str, value: Any, where: str) -> Any:
    """A value as the annotation ``kind`` wants it: lists become tuples, mappings tuples of pairs."""
    what, fits, convert = _FORMS[kind.removesuffix(" | None")]
    if not fits(value):
        raise UserError(f"{where} must be {what}, not {value!r}.")
    return convert(value)


def _texts(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)


_FORMS: dict[str, tuple[str, Callable[[Any], bool], Callable[[Any], Any]]] = {
    "str": ("a text", lambda v: isinstance(v, str), str),
    "bool": ("true or false", lambda v: isinstance(v, bool), bool),
    "int": ("a whole number", lambda v: type(v) is int and v >= 0, int),
    "dict[str, Any]": ("a mapping", lambda v: isinstance(v, dict) and _texts(v), dict),
    "tuple[str, ...]": ("a list of texts", lambda v: isinstance(v, list) and _texts(v), tuple),
    "tuple[tuple[str, str], ...]": (
        "a mapping of texts to texts",
        lambda v: isinstance(v, dict) and _texts([*v, *v.values()]),
        lambda v: tuple(v.items()),
    ),
    "tuple[RemoteFile, ...]": ("a list of files", lambda v: isinstance(v, tuple), tuple),
}
