"""The idx files of MNIST and of sets in its format."""

from __future__ import annotations

import hashlib
import math
import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

from zoo.errors import UserError
from zoo.files.reading import read_bytes, require_modest, unpacked


def read_idx(path: Path, dimensions: int) -> tuple[Tensor, str]:
    """Read an idx file of unsigned bytes, compressed if its name ends with ``.gz``.

    Args:
        path: The file.
        dimensions: Number of dimensions, 3 for pictures and 1 for labels.

    Returns:
        The values, uint8, and the SHA-256 of the uncompressed file.

    Raises:
        UserError: The file is missing or damaged, or has other dimensions.
    """
    data, size, start = read_bytes(path), path.stat().st_size, 4 + 4 * dimensions
    try:
        if path.suffix == ".gz":
            head = zlib.decompressobj(zlib.MAX_WBITS + 16).decompress(data, start)
            shape = struct.unpack(f">{dimensions}I", head[4:])
            require_modest(path, math.prod(shape), size)
            data = bytes(unpacked(path, data, start + math.prod(shape), zlib.MAX_WBITS + 16))
        shape = struct.unpack(f">{dimensions}I", data[4:start])
        if data[:4] != bytes([0, 0, 8, dimensions]):  # 8: unsigned bytes
            raise ValueError("its head is not that of an idx file")
        values = torch.frombuffer(bytearray(data[start:]), dtype=torch.uint8).reshape(shape)
    except (EOFError, zlib.error, struct.error, ValueError, RuntimeError) as error:
        raise UserError(f"{path} is not a whole idx file ({error}); fetch it again.") from error
    return values, hashlib.sha256(data).hexdigest()
