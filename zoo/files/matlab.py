"""Read the numeric arrays of MATLAB files of versions 5 to 7, as ``save -v6`` and ``save -v7`` write them.

Text, cells, structures, objects and sparse or complex arrays are only named. SciPy's reader is not used:
damaged files make it read outside of its memory (1.17.1 crashed on 2 of 800).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import UserError, reason_of
from zoo.files.reading import most_decoded, read_bytes, unpacked

MATRIX, COMPRESSED = 14, 15
NUMERIC = range(6, 16)  # classes of arrays, from double to uint64
COMPLEX = 0x800
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
Bytes = bytes | bytearray | memoryview


def read_mat(path: Path) -> dict[str, NDArray[Any] | None]:
    """All variables of a file by name, in the types in which they are stored; None if they are no numbers.

    Raises:
        UserError: The file is unreadable, damaged, too large, or of another version.
    """
    data = read_bytes(path)
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None or data[:10] == b"MATLAB 7.3":
        raise UserError(
            f"{path} cannot be read as a MATLAB file of version 5 to 7; save it with save(..., '-v7')."
        )
    found: dict[str, NDArray[Any] | None] = {}
    left = most_decoded(len(data))
    try:
        for kind, body in _elements(memoryview(data)[128:], order):
            if kind == COMPRESSED:
                body = unpacked(path, body, left)
                left -= len(body)
                kind, body = next(_elements(memoryview(body), order))
            if kind == MATRIX:
                found |= _variable(body, order)
    except (EOFError, StopIteration, ValueError, KeyError, struct.error, zlib.error) as error:
        raise UserError(
            f"{path} cannot be read as a MATLAB file ({reason_of(error)}); save it again."
        ) from error
    return found


def _elements(data: Bytes, order: str) -> Iterator[tuple[int, Bytes]]:
    """The types and contents of consecutive elements."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        start, at = at + 8, at + 8 + size
        if kind >> 16:  # type, size and up to four bytes of content in one
            kind, size, start, at = kind & 0xFFFF, kind >> 16, start - 4, start
        elif kind != COMPRESSED:
            at += -size % 8
        if start + size > len(data):
            raise EOFError("it ends too early")
        yield kind, data[start : start + size]


def _variable(body: Bytes, order: str) -> dict[str, NDArray[Any] | None]:
    (_, flags), (_, sides), (_, name), *values = _elements(body, order)
    (flag,) = struct.unpack_from(f"{order}I", flags)
    shape = struct.unpack(f"{order}{len(sides) // 4}i", sides)
    key = bytes(name).decode("latin-1")
    if flag & 0xFF not in NUMERIC or flag & COMPLEX or not values:
        return {key: None}
    if min(shape, default=0) < 0:
        raise ValueError(f"it has a shape of {shape}")
    kind, content = values[0]
    return {key: np.frombuffer(content, order + TYPES[kind]).reshape(shape, order="F")}
