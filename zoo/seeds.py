"""Seeds: deterministic on every machine, and light to import."""

from __future__ import annotations

import hashlib
import os


def mix(*parts: object) -> int:
    """Hash any parts to a seed of 56 bits, the same on every machine (Python's ``hash`` is not)."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=7).digest(), "big")


def batch_seed(seed: int, batch: int) -> int:
    """The seed of a batch of noise: that of the whole in the first; batches of other seeds share none."""
    return mix("batch", seed, batch) % 2**32 if batch else seed


def global_seed() -> int:
    """The seed that ``seed_everything`` set, 0 when nobody did."""
    return int(os.environ.get("PL_GLOBAL_SEED", "0"))
