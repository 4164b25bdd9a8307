"""Training checkpoints: written atomically, read without unpickling anything but plain values and tensors."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import torch

from zoo.errors import UserError


def write_checkpoint(checkpoint: dict[str, Any], target: Path) -> None:
    """Save ``checkpoint`` at ``target``: write beside it, flush to disk, rename.

    Whatever happens, either the old file or the new one is whole.

    Raises:
        UserError: The disk is full or not writable; names the file. The old file is untouched.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for stale in target.parent.glob("*.ckpt.*.tmp"):  # of a run that was killed while it saved
        stale.unlink(missing_ok=True)
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except (
        OSError,
        RuntimeError,
    ) as error:  # torch reports a full disk as a RuntimeError about positions
        raise UserError(
            f"Could not save {target}: the disk is full or not writable "
            f"({_megabytes_free(target.parent)} MB free). Earlier checkpoints are "
            "untouched; make room and go on with --resume auto."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def read_checkpoint(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Read a training checkpoint safely.

    Raises:
        UserError: The file is missing, truncated, no checkpoint, or holds more than plain values and tensors.
    """
    if not path.is_file():
        raise UserError(f"There is no checkpoint {path}.")
    try:
        content = torch.load(path, map_location=map_location or "cpu", weights_only=True)
    except Exception as error:
        raise UserError(
            f"{path} is not a whole, safe checkpoint ({type(error).__name__}); use another one."
        ) from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise UserError(f"{path} holds no state_dict: it is not a training checkpoint of this zoo.")
    return content


def _megabytes_free(folder: Path) -> int:
    status = os.statvfs(folder)
    return math.floor(status.f_bavail * status.f_frsize / 1e6)
