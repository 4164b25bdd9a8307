"""Offline W&B runs, read back from their files."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2


def records(path: Path) -> Iterator[Any]:
    """Records of a run file: 7 bytes of header, then blocks of 32 KiB; (crc, length, type) before a piece."""
    data, position, whole = path.read_bytes(), 7, b""
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        whole += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a full record, or the last piece of one
            record = wandb_internal_pb2.Record()
            if position > len(data):  # still being written
                return
            record.ParseFromString(whole)
            whole = b""
            yield record


def finished(path: Path) -> list[Any]:
    """The records of a finished run; W&B's service writes on for a moment after it."""
    for _ in range(100):
        seen = list(records(path))
        if any(record.HasField("exit") for record in seen):
            break
        time.sleep(0.1)
    return seen
