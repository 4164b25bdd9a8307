"""Packs: samples decoded and resized once, then memory-mapped.

A pack is a folder ``<name>-<split>-<key>`` with ``index.json`` and one file of plain bytes per field of a
sample, read through ``numpy.memmap``. If samples differ in shape or bits, a file ``.places`` holds where each
begins, its dtype and its shape. The key is a hash of the source files (names, sizes, times) and of all
settings, so other files or settings make another pack. A pack is written under a temporary name and renamed
when it is complete.

Packs lie in ``$ZOO_CACHE/packs``, or ``~/.cache/gan-application-zoo/packs``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from zoo.errors import UserError
from zoo.files.reading import read_bytes
from zoo.files.schemas import FIELD, PACK, parse, require
from zoo.files.writing import cache_folder, staging, write_text

FORMAT = 5  # version of the files and of what data sets store in them; a new number makes all packs stale
INDEX = "index.json"
BITS = {"uint8", "uint16"}  # dtypes that may be mixed in one field
Sample = dict[str, Any]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]


class Loads(Protocol):
    """Interface of what can be packed."""

    def __len__(self) -> int: ...

    def load(self, index: int) -> Sample:
        """Tensors and strings of one sample."""


@dataclass(frozen=True)
class PackKey:
    """Identity of a pack.

    Args:
        stem: Name and split, for people.
        digest: SHA-256 over class, settings and source files.
        count: Number of samples.
    """

    stem: str
    digest: str
    count: int

    @staticmethod
    def of(reader: str, split: str, count: int, settings: dict[str, Any], files: Iterable[Path]) -> PackKey:
        """Hash a split's sources and settings.

        Args:
            reader: Class path of the data module.
            split: Name of the split.
            count: Number of samples.
            settings: Description of the data (:meth:`zoo.data.base.DataModule.describe`).
            files: Source files; a new name, size or modification time makes another key.
        """
        sources = []
        for path in sorted(files):
            state = path.stat()
            sources.append([str(path.resolve()), state.st_size, state.st_mtime_ns])
        whole = json.dumps([FORMAT, reader, split, count, settings, sources], sort_keys=True)
        name = "".join(c if c.isalnum() else "_" for c in str(settings.get("name", reader)))[:40]
        return PackKey(f"{name}-{split}", hashlib.sha256(whole.encode()).hexdigest(), count)

    @property
    def folder(self) -> Path:
        """Folder of this pack."""
        return cache_folder() / "packs" / f"{self.stem}-{self.digest[:16]}"


class Pack:
    """Samples of a pack, read on access.

    Args:
        folder: Folder of the pack.
        index: Content of its ``index.json``.
    """

    def __init__(self, folder: Path, index: dict[str, Any]) -> None:
        self.folder = folder
        self.key: str = index["key"]
        self.count: int = index["count"]
        self.fields: dict[str, dict[str, Any]] = index["fields"]
        self._maps: dict[str, Any] = {}

    @staticmethod
    def open(key: PackKey) -> Pack:
        """Open the pack of a key.

        Raises:
            UserError: There is none, or it is damaged.
        """
        path = key.folder / INDEX
        if not path.is_file():
            others = sorted(key.folder.parent.glob(f"{key.stem}-*")) if key.folder.parent.is_dir() else []
            stale = " (those of other files or settings do not count)" if others else ""
            raise UserError(
                f"There is no pack {key.folder} for these files and settings{stale}; write it with "
                "`zoo data pack RECIPE`, or set packed: false."
            )
        try:
            index = parse(read_bytes(path), PACK, path)
            sound = index["key"] == key.digest and index["count"] == key.count
            sound &= all((key.folder / name).stat().st_size == size for name, size in index["bytes"].items())
            for name, field in index["fields"].items():
                require(field, FIELD, path, name)
                sound &= len(field["kinds"]) > 0
                sound &= name in index["bytes"] and (
                    field["shape"] is not None or f"{name}.places" in index["bytes"]
                )
        except (OSError, ValueError, UserError):
            sound = False
        if not sound:
            raise UserError(
                f"The pack {key.folder} is damaged; delete that folder and run `zoo data pack` again."
            )
        return Pack(key.folder, index)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        """The loaded sample ``index``, bit for bit."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        try:
            return {name: self._value(name, field, index) for name, field in self.fields.items()}
        except (IndexError, ValueError, TypeError, OSError) as error:
            raise UserError(
                f"The pack {self.folder} is damaged; delete that folder and run `zoo data pack` again."
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        """Each worker maps the files itself."""
        return self.__dict__ | {"_maps": {}}

    def _value(self, name: str, field: dict[str, Any], index: int) -> Tensor | str:
        shape, kind = field["shape"], field["kinds"][0]
        if shape is not None:
            data = self._map(name)
            size = len(data) // self.count
            raw = data[index * size : (index + 1) * size]
        else:
            start, end, number, *shape = (
                self._map(f"{name}.places").view(np.int64).reshape(self.count, -1)[index].tolist()
            )
            kind = field["kinds"][number]
            raw = self._map(name)[start:end]
        if kind == "text":
            return raw.tobytes().decode()
        values = raw.view(kind).reshape(shape)
        # with 8 and 16 bit in one field, 16-bit values may be unaligned, which torch refuses
        return torch.from_numpy(values if values.flags.aligned else values.copy())

    def _map(self, name: str) -> Bytes:
        if name not in self._maps:
            path = self.folder / name
            # an empty file cannot be mapped
            empty: Bytes = np.empty(0, np.uint8)
            # "c" is copy-on-write: torch requires writable memory, and the file must not change
            mapped = np.memmap(path, np.uint8, "c") if path.stat().st_size else empty
            self._maps[name] = mapped.view(np.ndarray)
        found: Bytes = self._maps[name]
        return found


def write(samples: Loads, key: PackKey, progress: Iterable[int] | None = None) -> Path:
    """Load every sample once and write the pack; an existing pack is kept.

    Args:
        samples: Samples to pack.
        key: Identity of the pack, which gives its folder.
        progress: The indices in order, for example wrapped in a progress bar.

    Returns:
        The pack's folder.

    Raises:
        UserError: A sample cannot be loaded, has other fields than the first, or the disk is full.
    """
    folder = key.folder
    if (folder / INDEX).is_file():
        Pack.open(key)
        return folder
    try:
        if folder.is_dir():  # without its index it is none, and would be in the way
            shutil.rmtree(folder)
        with staging(folder, folder=True) as temporary:
            _fill(temporary, samples, key, range(len(samples)) if progress is None else progress)
            try:
                os.replace(temporary, folder)
            except OSError:  # another process was faster
                Pack.open(key)
    except OSError as error:
        raise UserError(
            f"Cannot write the pack {folder} ({error.strerror or error}); set ZOO_CACHE."
        ) from error
    return folder


def _fill(folder: Path, samples: Loads, key: PackKey, indices: Iterable[int]) -> None:
    fields: dict[str, dict[str, Any]] = {}
    places: dict[str, list[list[int]]] = {}
    streams: dict[str, Any] = {}
    try:
        for index in indices:
            loaded = samples.load(index)
            if not streams:
                streams = {name: (folder / name).open("wb") for name in loaded}
                places = {name: [] for name in loaded}
            for name, value in loaded.items():
                kind, shape, raw = _encoded(name, value)
                field = fields.setdefault(name, {"kinds": [kind], "shape": shape})
                kinds: list[str] = field["kinds"]
                if kind not in kinds and {kind, *kinds} == BITS:
                    kinds.append(kind)
                    field["shape"] = None
                if set(loaded) != set(streams) or kind not in kinds:
                    raise UserError(
                        f"Sample {index} of {key.stem} has other fields than the first; fix the data."
                    )
                if field["shape"] != shape:
                    field["shape"] = None  # ragged: store each sample's place, dtype and shape
                start = streams[name].tell()
                streams[name].write(raw)
                places[name].append([start, start + len(raw), kinds.index(kind), *shape])
    finally:
        for stream in streams.values():
            stream.close()
    for name, field in fields.items():
        if field["shape"] is None:
            if len({len(place) for place in places[name]}) > 1:
                raise UserError(
                    f"The {name} of {key.stem} have different numbers of dimensions; fix the data."
                )
            np.asarray(places[name], np.int64).tofile(folder / f"{name}.places")
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    index_of = {"format": FORMAT, "key": key.digest, "count": key.count, "fields": fields, "bytes": sizes}
    write_text(folder / INDEX, json.dumps(index_of, indent=2))


def _encoded(name: str, value: object) -> tuple[str, list[int], bytes]:
    """Dtype, shape and bytes of one field."""
    if isinstance(value, str):
        raw = value.encode()
        return "text", [len(raw)], raw
    if not isinstance(value, Tensor):
        raise UserError(f"A pack holds tensors and strings, but {name} is {type(value).__name__}.")
    raw = value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return str(value.dtype).removeprefix("torch."), list(value.shape), raw
