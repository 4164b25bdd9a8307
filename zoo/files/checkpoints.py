"""Checkpoints, written atomically, and files of weights; only plain values and tensors are ever read."""

from __future__ import annotations

import errno
import io
import math
import os
import pickletools
import re
import shutil
import sys
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
import torch
from torch import Tensor, nn

from zoo.errors import UserError
from zoo.files.schemas import CHECKPOINT, RECORD, TEXT, require, require_format, shown
from zoo.files.writing import existing, replacing

CHECKPOINT_FORMAT = 1
MOST_PICKLED = 2**23  # bytes of names, shapes and plain values, without the tensors
MOST_OPERATIONS = 2**20  # that make them
GLOBALS = re.compile(
    r"collections (OrderedDict|Counter)|_codecs encode|(__builtin__|builtins) (set|complex)"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|parameter|parameter_with_state)"
    r"|torch\.nn\.parameter Parameter"
    r"|torch (Size|device|\w+Storage|(float|bfloat|int|uint|complex|bool)\w*)"
    r"|torch\.storage (Typed|Untyped)Storage|torch\.serialization _get_layout"
)
DTYPES = {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool, torch.uint8, torch.int8}
DTYPES |= {torch.int16, torch.int32, torch.int64}


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


def require_file(path: Path, kind: str) -> None:
    """Refuse a path at which there is no plain file.

    Raises:
        UserError: There is none, or a folder, a pipe, a device.
    """
    if not os.path.isfile(path):
        exists = os.path.exists(path)
        raise UserError(f"{path} is not a file." if exists else f"There is no {kind} {path}; check the path.")


def read_checkpoint(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Read a training checkpoint safely.

    Raises:
        UserError: The file is missing, truncated, no checkpoint, or holds more than plain values and tensors,
            values of wrong types, or weights that are not finite.
    """
    require_file(path, "checkpoint")
    try:
        content = _load(path, map_location or "cpu")
    except Exception as error:
        raise UserError(f"{path} is not a whole, safe checkpoint; use another one.") from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise UserError(f"{path} holds no state_dict: it is not a training checkpoint of this zoo.")
    require(content, CHECKPOINT, path)
    if content.get("zoo") is not None:
        require_format(content["zoo"], CHECKPOINT_FORMAT, path)
        require(content["zoo"], RECORD, path, "zoo")
    require_tensors(content["state_dict"], path)
    refuse_nonfinite(content.get("optimizer_states"), path, "optimizer_states")
    return content


def step_of(path: Path) -> float:
    """Step at which a checkpoint was written, without reading its tensors; infinite if it is damaged."""
    try:
        return int(_load(path, "meta")["global_step"])
    except Exception:  # read_checkpoint reports the reason
        return math.inf


def read_own_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint that a training of the zoo wrote.

    Raises:
        UserError: As :func:`read_checkpoint`, or it has no record of the zoo.
    """
    content = read_checkpoint(path)
    if content.get("zoo") is None:
        raise UserError(
            f"{path} does not say which model of the zoo it holds; was it written by another program?"
        )
    return content


def read_tensors(path: Path, unwrap: Sequence[str] = ()) -> dict[str, Tensor]:
    """The named tensors of a .safetensors file or of a state dict saved by torch; nothing in it is executed.

    Args:
        path: The file.
        unwrap: Keys under which a state dict may lie in the file, tried in order.

    Raises:
        UserError: The file is missing, damaged, or holds more than tensors, or one that is not finite.
    """
    require_file(path, "file of weights")
    try:
        content = _load_safetensors(path) if ".safetensors" in path.suffixes else _load(path, "cpu")
    except Exception as error:
        raise UserError(f"{path} is damaged or no file of weights; replace it.") from error
    for key in unwrap:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"{path} holds more than named tensors; save the network's state_dict alone.")
    require_tensors(content, path)
    return dict(content)


def require_tensors(state: Any, path: Path) -> None:
    """Refuse what is not a dict of dense, finite tensors by name.

    Raises:
        UserError: Names the file and the first such tensor.
    """
    require(state, {}, path, "state_dict")
    for name, value in state.items():
        require(name, TEXT, path, "a tensor's name")
        if not isinstance(value, Tensor) or value.dtype not in DTYPES:
            found = str(value.dtype) if isinstance(value, Tensor) else shown(value)
            raise UserError(f"{path}: {name} must be a tensor of real numbers, not {found}.")
    refuse_nonfinite(state, path)


def refuse_nonfinite(content: Any, path: Path, key: str = "") -> None:
    """Refuse a tensor that is not finite, however deep it lies.

    Raises:
        UserError: Names the file and the tensor.
    """
    for name, tensor in _tensors(content, key):
        if tensor.dtype in DTYPES and not bool(tensor.isfinite().all()):
            raise UserError(f"{path}: the tensor {name} holds values that are not finite; use other weights.")


def _tensors(content: Any, key: str = "") -> Iterator[tuple[str, Tensor]]:
    """Each tensor in nested dicts and lists with its key; what is referred to twice is visited once."""
    ahead, seen = [(key, content)], set[int]()
    while ahead:
        key, value = ahead.pop()
        if isinstance(value, Tensor):
            yield key, value
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            items = value.items() if isinstance(value, dict) else enumerate(value)
            ahead += [(f"{key}.{name}".lstrip("."), item) for name, item in items]


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file whose header is not longer than any network's."""
    with path.open("rb") as file:
        if int.from_bytes(file.read(8), "little") > MOST_PICKLED:
            raise ValueError("too many tensors")
    return safetensors.torch.load_file(path)


def _load(path: Path, map_location: Any) -> Any:
    """``torch.load`` of plain values and tensors, none of which is larger than the file."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if file.read(4) == b"PK\x03\x04":  # as torch decides it
            with zipfile.ZipFile(file) as archive:
                inside = archive.infolist()
                if sum(entry.file_size for entry in inside) > size:  # stored, never compressed
                    raise ValueError("entries are compressed or overlap")
                for entry in inside:
                    if entry.filename.endswith(".pkl"):
                        if entry.file_size > MOST_PICKLED:
                            raise ValueError("too many values")
                        _require_known_globals(io.BytesIO(archive.read(entry)))
        else:  # of torch before 1.6: a number, a version, the system, the content, the names of its tensors
            file.seek(0)
            for _ in range(5):
                _require_known_globals(file)
        file.seek(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(file, map_location=map_location, weights_only=True)
    storages: dict[int, int] = {}
    for _, value in _tensors(content):
        if type(value) not in (Tensor, nn.Parameter) or value.layout != torch.strided or value.is_quantized:
            raise ValueError("a tensor of another kind")
        storage = value.untyped_storage()
        storages[storage._cdata] = storage.nbytes()
        if value.numel() * value.element_size() > storage.nbytes():  # repeated by strides of zero
            raise ValueError("a tensor larger than its values")
    if sum(storages.values()) > size:
        raise ValueError("tensors larger than the file")
    return content


def _require_known_globals(file: BinaryIO) -> None:
    """Allow the names that a saved state needs: fewer than torch does, whose others can take any memory."""
    for number, (code, argument, _) in enumerate(pickletools.genops(file)):
        if number > MOST_OPERATIONS:
            raise ValueError("too many values")
        if code.name in ("GLOBAL", "STACK_GLOBAL", "INST") and not GLOBALS.fullmatch(str(argument)):
            raise ValueError(f"{argument} is not allowed")


def last_written(folder: Path) -> float:
    """When a run was last written: its config or its newest checkpoint."""
    files = [folder / "config.yaml", *checkpoints_in(folder)]
    return max((path.stat().st_mtime for path in files if path.is_file()), default=0.0)


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints of a run."""
    return [path for path in folder.glob("checkpoints/**/*.ckpt") if path.is_file()]


def newest_checkpoint(recipe_folder: Path, run: str = "*", whole: bool = False) -> Path | None:
    """The last valid checkpoint of the newest run below ``recipe_folder``; broken ones are reported.

    Runs are ordered by time, and the checkpoints of a run by their steps: copies have other times.

    Args:
        recipe_folder: Folder of runs.
        run: Name of one run, or ``*``.
        whole: Whether to pass over checkpoints of weights alone, from which no training can continue.
    """
    folders = (
        [recipe_folder / run] if run != "*" else [path for path in recipe_folder.glob("*") if path.is_dir()]
    )
    for folder in sorted(folders, key=last_written, reverse=True):
        found = checkpoints_in(folder)
        for path in sorted(found, key=lambda path: (step_of(path), path.stat().st_mtime), reverse=True):
            try:
                content = read_checkpoint(path)
            except UserError as error:
                print(f"Skipping a checkpoint: {error}", file=sys.stderr)
                continue
            if "optimizer_states" in content or not whole:
                return path
            print(f"Skipping {path}: it holds weights only, so no training can continue.", file=sys.stderr)
    return None
