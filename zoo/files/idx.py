"""The idx files of MNIST and of sets in its format."""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

from zoo.errors import UserError


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
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        shape = struct.unpack(f">{dimensions}I", data[4 : 4 + 4 * dimensions])
        if data[:4] != bytes([0, 0, 8, dimensions]):  # 8: unsigned bytes
            raise ValueError("its head is not that of an idx file")
        values = torch.frombuffer(bytearray(data[4 + 4 * dimensions :]), dtype=torch.uint8).reshape(shape)
    except (OSError, EOFError, zlib.error, struct.error, ValueError, RuntimeError) as error:
        raise UserError(f"{path} is not a whole idx file ({error}); fetch it again.") from error
    return values, hashlib.sha256(data).hexdigest()
