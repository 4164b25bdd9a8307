"""What a recipe says of a user's own folder, from what its check has found."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.catalogue import parameters

if TYPE_CHECKING:
    from zoo.data.checks import Findings

UNKNOWN = "unknown: research use only"


def data_arguments(root: Path, found: Findings) -> dict[str, Any]:
    """Arguments of the class that reads the folder: name, licence, channels, and what its check proposes."""
    channels = {side: summary(found, side)["channels"] for side in found.sides}
    sides = {"channels": "image", "input_channels": "A", "target_channels": "B"}
    alone = {
        key: int(next(iter(channels[side])))
        for key, side in sides.items()
        if len(channels.get(side, ())) == 1
    }
    known = parameters(found.class_path) or {}
    stated: dict[str, Any] = {
        "name": root.resolve().name,
        "licence": UNKNOWN,
        **{key: count for key, count in alone.items() if count in (1, 3)},
        "benchmarks": None,
    }
    return {"root": str(root), **{k: v for k, v in stated.items() if k in known}, **found.arguments}


def summary(found: Findings, side: str) -> dict[str, Any]:
    """Sizes, channels, bits and values of one side of a folder, the commonest first."""
    from zoo.data.checks import by_size

    facts = [fact for fact in found.facts if fact.side == side]
    return {
        "sizes": {by_size(size): count for size, count in Counter(f.size for f in facts).most_common()},
        "channels": {str(k): count for k, count in Counter(f.channels for f in facts).most_common()},
        "bits": {str(k): count for k, count in Counter(f.bits for f in facts).most_common()},
        "lowest": min(f.low for f in facts),
        "highest": max(f.high for f in facts),
    }
