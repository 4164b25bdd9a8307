"""Checks of arguments, and results of checking a data folder: faulty files, notes, a recipe's data block.

Each contract's folder class checks its own format (``check``); this module is what they share.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args

import numpy as np

from zoo.errors import UsageError, UserError
from zoo.files.pictures import PICTURE_SUFFIXES, colour_profile, is_animated
from zoo.files.voxels import VOXEL_SUFFIXES

Item = TypeVar("Item")
NUMBERS = ("labels", "instances")  # sides whose values are class or instance numbers, not brightness


def at_least(least: int, **arguments: int | None) -> None:
    """Refuse arguments of a data module that are too small; None passes.

    Raises:
        UsageError: An argument is less than ``least``.
    """
    for key, value in arguments.items():
        if value is not None and value < least:
            raise UsageError(f"data.{key} is {value}; give at least {least}.")


def one_of(choices: Any, **arguments: object) -> None:
    """Refuse arguments of a data module that are no value of a ``Literal``.

    Raises:
        UsageError: An argument is another value.
    """
    *others, last = get_args(choices)
    for key, value in arguments.items():
        if value not in (*others, last):
            choice = " or ".join(filter(None, (", ".join(map(str, others)), str(last))))
            raise UsageError(f"data.{key} is {value!r}; give {choice}.")


class Fault(NamedTuple):
    """An error or a note about one file.

    Args:
        file: Path of the file.
        text: One sentence that names the file.
    """

    file: str
    text: str


class Facts(NamedTuple):
    """Properties of one readable picture.

    Args:
        path: Path of the file.
        side: ``image``, or ``A`` or ``B`` of a pair.
        size: Width and height.
        channels: Number of channels.
        bits: 8 or 16.
        low: Lowest value.
        high: Highest value.
        digest: Hash of shape and values.
    """

    path: Path
    side: str
    size: tuple[int, int]
    channels: int
    bits: int
    low: int
    high: int
    digest: str


@dataclass
class Findings:
    """Everything that a check found.

    Args:
        contract: Batch contract of the folder.
        layout: Layout of the folder, in words.
        class_path: Class path of the data module that reads it.
        arguments: Suggested arguments of that module, for a recipe.
        samples: Number of readable samples per split.
        facts: Properties per file, or per side of a file.
        errors: Faults that would break training.
        notes: Faults that would not.
        mixed_channels: Channel counts that training converts to one another.
    """

    contract: str
    layout: str
    class_path: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    samples: dict[str, int] = field(default_factory=dict)
    facts: list[Facts] = field(default_factory=list)
    errors: list[Fault] = field(default_factory=list)
    notes: list[Fault] = field(default_factory=list)
    mixed_channels: Set[int] = frozenset({1, 2, 3, 4})

    @property
    def sides(self) -> list[str]:
        """Every side that has facts, sorted."""
        return sorted({fact.side for fact in self.facts})


def examine(
    found: Findings,
    split: str,
    items: Sequence[Item],
    look: Callable[[Item], list[Facts]],
    files: Callable[[Item], Sequence[Path | None]],
) -> None:
    """Check all items in parallel threads and add the results to ``found``.

    Args:
        found: Collects the results.
        split: Split of the items.
        items: Samples, as files or groups of files.
        look: Returns the properties of a sample; its UserError becomes a fault.
        files: Files of a sample; a fault belongs to the last one that its text names, else to the first.
    """

    def result(item: Item) -> list[Facts] | Fault:
        try:
            return look(item)
        except UserError as error:
            first, *others = (str(path) for path in files(item) if path)
            named = [path for path in others if path in str(error)]
            return Fault(named[-1] if named else first, str(error))

    found.samples.setdefault(split, 0)
    with ThreadPoolExecutor() as pool:  # decoders and hashes release Python's lock
        for facts in pool.map(result, items):
            if isinstance(facts, Fault):
                found.errors.append(facts)
            else:
                found.samples[split] += 1
                found.facts += facts


def picture_facts(path: Path, side: str, values: np.ndarray[Any, Any]) -> Facts:
    """Properties of a picture (H, W, C) of uint8 or uint16."""
    height, width, channels = values.shape
    digest = hashlib.sha256(repr((values.shape, values.dtype.str)).encode())
    digest.update(np.ascontiguousarray(values).data)
    low, high = int(values.min()), int(values.max())
    bits = values.dtype.itemsize * 8
    return Facts(path, side, (width, height), channels, bits, low, high, digest.hexdigest())


def left_out(folders: Iterable[Path], suffixes: Sequence[str]) -> list[Fault]:
    """A note for each file directly in these folders whose suffix is not one of ``suffixes``."""
    files = [p for folder in folders if folder.is_dir() for p in sorted(folder.iterdir()) if p.is_file()]
    ignored = (".", "README", "LICENSE")
    others = [p for p in files if p.suffix.lower() not in suffixes and not p.name.startswith(ignored)]
    return [Fault(str(p), f"{p} is ignored: its suffix is not that of a sample.") for p in others]


def passed_over(root: Path) -> list[Fault]:
    """Notes on what readers pass over: dead links, folders and pipes with a sample's name, later frames."""
    found = []
    for place, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(place, name) for name in (*folders, *sorted(names)) if not name.startswith(".")):
            is_sample = path.suffix.lower() in PICTURE_SUFFIXES + VOXEL_SUFFIXES
            try:
                kind = path.stat().st_mode
            except OSError as error:
                text = "is a link to itself" if error.errno == errno.ELOOP else "is a link to nothing"
                found.append(Fault(str(path), f"{path} {text}, so it is left out."))
                continue
            if path.is_symlink() and Path(place).resolve().is_relative_to(path.resolve()):
                found.append(
                    Fault(str(path), f"{path} is a link to a folder that holds it, so it is left out.")
                )
            elif is_sample and not stat.S_ISREG(kind):
                other = "a folder" if stat.S_ISDIR(kind) else "a pipe, socket or device"
                found.append(
                    Fault(str(path), f"{path} is {other} with the name of a file, so it is left out.")
                )
            elif is_sample and is_animated(path):
                found.append(Fault(str(path), f"{path} is animated: first frame only."))
            elif path.suffix.lower() in PICTURE_SUFFIXES and (profile := colour_profile(path)):
                found.append(
                    Fault(
                        str(path),
                        f"{path} has the colour profile {profile!r}: colours are converted to sRGB, class "
                        "numbers are not.",
                    )
                )
    return found


def require_training(found: Findings, root: Path, expected: str) -> None:
    """Add an error if no training sample is readable; ``expected`` says what to do."""
    if not found.samples.get("train"):
        found.errors.append(Fault(str(root), f"{root} has no readable training samples; {expected}."))


def compare(found: Findings) -> None:
    """Compare files with one another, each side of a pair by itself, and add what is unusual."""
    for side in found.sides:
        facts = [fact for fact in found.facts if fact.side == side]
        channels = Counter(fact.channels for fact in facts)
        usual = channels.most_common(1)[0][0]
        convertible = set(channels) <= found.mixed_channels
        odd = [
            _fault(f, f"has {f.channels} channels where most have {usual}")
            for f in facts
            if f.channels != usual
        ]
        (found.notes if convertible else found.errors).extend(odd)
        size, count = Counter(fact.size for fact in facts).most_common(1)[0]
        bits = Counter(fact.bits for fact in facts).most_common(1)[0][0]
        seen: dict[str, Path] = {}
        for fact in facts:
            if fact.size != size and count * 10 >= len(facts) * 9:  # otherwise no size is the usual one
                found.notes.append(
                    _fault(fact, f"is {by_size(fact.size)} pixels where most are {by_size(size)}")
                )
            if fact.bits != bits:
                found.notes.append(_fault(fact, f"has {fact.bits} bit where most have {bits}"))
            if fact.low == fact.high:
                found.notes.append(_fault(fact, f"has the value {fact.low} everywhere"))
            elif (first := seen.setdefault(fact.digest, fact.path)) != fact.path:
                found.notes.append(_fault(fact, f"equals {first}"))
        deep = [fact for fact in facts if fact.bits == 16 and side not in NUMBERS]
        highest = max((fact.high for fact in deep), default=0)
        if deep and highest < 2**15:
            text = f"and all other 16-bit files stay at or below {highest} of 65535, too dark: scale them up"
            found.notes.append(_fault(deep[0], text))


def _fault(fact: Facts, text: str) -> Fault:
    name = fact.path if fact.side not in ("A", "B") else f"Side {fact.side} of {fact.path}"
    return Fault(str(fact.path), f"{name} {text}.")


def by_size(size: tuple[int, int]) -> str:
    """A size in pixels as text."""
    return f"{size[0]} x {size[1]}"
