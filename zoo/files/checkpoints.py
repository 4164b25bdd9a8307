"""Checkpoints, written atomically, and files of weights; only plain values and tensors are ever read."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from zoo.errors import UserError
from zoo.files.writing import existing, replacing


def write_checkpoint(checkpoint: dict[str, Any], target: Path) -> None:
    """Save ``checkpoint`` at ``target`` atomically; see :func:`zoo.files.writing.replacing`.

    Raises:
        UserError: The disk is full or not writable; names the file. The old file is untouched.
    """
    try:
        with replacing(target) as file:
            torch.save(checkpoint, file)
    except (OSError, RuntimeError) as error:
        cause: BaseException | None = error  # torch answers an OSError with a RuntimeError about positions
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__context__
        if cause is None:
            raise
        reason = cause.strerror or str(cause)
        if cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            free = shutil.disk_usage(existing(target)).free // 10**6
            reason = f"the disk is full or not writable ({reason}, {free} MB free); free some space"
        raise UserError(
            f"Could not save {target}: {reason}. Earlier checkpoints are untouched; continue with "
            "--resume auto."
        ) from error


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


def read_tensors(path: Path, unwrap: Sequence[str] = ()) -> dict[str, Tensor]:
    """The named tensors of a .safetensors file or of a state dict saved by torch; nothing in it is executed.

    Args:
        path: The file.
        unwrap: Keys under which a state dict may lie in the file, tried in order.

    Raises:
        UserError: The file is missing, damaged, or holds more than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; give the path of a weights file.") from error
    except Exception as error:
        raise UserError(
            f"{path} is damaged or no file of weights ({type(error).__name__}); replace it."
        ) from error
    for key in unwrap:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"{path} holds more than named tensors; save the network's state_dict alone.")
    return dict(content)
