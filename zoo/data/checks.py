"""What checking a folder of data finds: every faulty file, what is worth a look, a recipe's data block.

Each contract's folder class looks at its own format (``check``); here is what they share.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

Item = TypeVar("Item")
NUMBERS = ("labels", "instances")  # sides whose values are numbers of classes or things, not light


class Fault(NamedTuple):
    """Something wrong or notable about one file.

    Args:
        file: The file, as it was found.
        text: What it is, a sentence that names the file.
    """

    file: str
    text: str


class Facts(NamedTuple):
    """What one readable picture is.

    Args:
        path: The file.
        side: ``image``, or ``A`` or ``B`` of a pair.
        size: Width and height.
        channels: Their number.
        bits: 8 or 16.
        low: The lowest value.
        high: The highest value.
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
    """All that a check found.

    Args:
        contract: Which batch contract the folder serves.
        layout: How the folder is laid out, in words.
        class_path: The data module that reads it.
        arguments: What that module should be given, for a recipe.
        samples: Readable samples of each split.
        facts: One for each file, or each side of it.
        errors: What training would stumble over.
        notes: What one should know.
        mixed_channels: The channel counts that training brings together by itself.
    """

    contract: str
    layout: str
    class_path: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    samples: dict[str, int] = field(default_factory=dict)
    facts: list[Facts] = field(default_factory=list)
    errors: list[Fault] = field(default_factory=list)
    notes: list[Fault] = field(default_factory=list)
    mixed_channels: frozenset[int] = frozenset({1, 2, 3, 4})

    @property
    def sides(self) -> list[str]:
        """The sides that facts were found of."""
        return sorted({fact.side for fact in self.facts})


def examine(
    found: Findings, split: str, items: Sequence[Item], look: Callable[[Item], list[Facts] | Fault]
) -> None:
    """Look at all items side by side, in threads, and sort what was found.

    Args:
        found: Takes it.
        split: The items' split.
        items: Samples, as files or groups of files.
        look: Gives the facts of a sample, or what is wrong with it.
    """
    found.samples.setdefault(split, 0)
    with ThreadPoolExecutor() as pool:  # decoders and hashes work outside Python's lock
        for result in pool.map(look, items):
            if isinstance(result, Fault):
                found.errors.append(result)
            else:
                found.samples[split] += 1
                found.facts += result


def picture_facts(path: Path, side: str, values: np.ndarray[Any, Any]) -> Facts:
    """The facts of a picture's values (H, W, C) of uint8 or uint16."""
    height, width, channels = values.shape
    digest = hashlib.sha256(repr((values.shape, values.dtype.str)).encode() + values.tobytes()).hexdigest()
    bits = values.dtype.itemsize * 8
    return Facts(path, side, (width, height), channels, bits, int(values.min()), int(values.max()), digest)


def left_out(folders: Iterable[Path], suffixes: Sequence[str]) -> list[Fault]:
    """A note for each file directly in these folders that no name ending lets in."""
    files = [p for folder in folders if folder.is_dir() for p in sorted(folder.iterdir()) if p.is_file()]
    ignored = (".", "README", "LICENSE")
    others = [p for p in files if p.suffix.lower() not in suffixes and not p.name.startswith(ignored)]
    return [Fault(str(p), f"{p} is left out: its name is not that of a sample.") for p in others]


def require_training(found: Findings, root: Path, expected: str) -> None:
    """An error where nothing readable is left to train on; ``expected`` says what to do."""
    if not found.samples.get("train"):
        found.errors.append(Fault(str(root), f"{root} has nothing readable to train on; {expected}."))


def compare(found: Findings) -> None:
    """Look for what only shows between files, each side of a pair for itself."""
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
                found.notes.append(_fault(fact, f"has the one value {fact.low} all over"))
            elif (first := seen.setdefault(fact.digest, fact.path)) != fact.path:
                found.notes.append(_fault(fact, f"shows the same as {first}"))
        deep = [fact for fact in facts if fact.bits == 16 and side not in NUMBERS]
        highest = max((fact.high for fact in deep), default=0)
        if deep and highest < 2**15:
            text = (
                f"and all others of 16 bit stay at or below {highest} of 65535, which is dark; scale them up"
            )
            found.notes.append(_fault(deep[0], text))


def _fault(fact: Facts, text: str) -> Fault:
    name = fact.path if fact.side not in ("A", "B") else f"Side {fact.side} of {fact.path}"
    return Fault(str(fact.path), f"{name} {text}.")


def by_size(size: tuple[int, int]) -> str:
    """A size in pixels, for people."""
    return f"{size[0]} x {size[1]}"
