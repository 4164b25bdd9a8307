"""Stored weights as plain values and tensors, from an exported folder or a training checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from zoo.errors import UserError
from zoo.files.checkpoints import read_own_checkpoint, read_tensors
from zoo.files.schemas import MODEL, read_json
from zoo.files.writing import sha256

FORMAT = 1
WEIGHTS, CONFIG = "model.safetensors", "model.json"
STAGED = ".model.safetensors.new"  # weights until the model.json that describes them is written
State = dict[str, Tensor]


class Stored(NamedTuple):
    """Weights and what is stored about them.

    Args:
        config: Content of ``model.json``, or the same facts of a training checkpoint, ``players`` excepted.
        states: State dict by part (``generator``).
        origin: File or folder, for messages.
    """

    config: dict[str, Any]
    states: dict[str, State]
    origin: str


def read_exported(folder: Path, expected: str | None = None) -> Stored:
    """Read an exported folder.

    Args:
        folder: Folder with ``model.safetensors`` and ``model.json``.
        expected: Sha256 of the weights by the index, if it has one.

    Raises:
        UserError: A file is missing, truncated, changed, or of a newer format.
    """
    path, weights = folder / CONFIG, folder / WEIGHTS
    config = read_json(path, MODEL, FORMAT)
    if is_described(folder / STAGED, path):  # an export was killed before it renamed them
        weights = folder / STAGED
    if not weights.is_file():
        raise UserError(
            f"There is no {weights}, which {CONFIG} beside it describes; copy or export it again."
        )
    if (size := weights.stat().st_size) != config["weights"]["bytes"]:
        raise UserError(
            f"{weights} has {size} of {config['weights']['bytes']} bytes; copy or export it again."
        )
    for source, wanted in ((CONFIG, config["weights"]["sha256"]), ("the index", expected)):
        if wanted is not None and (found := sha256(weights)) != wanted:
            raise UserError(
                f"{weights}: sha256 is {found[:12]}… but {source} says {wanted[:12]}…; get it again."
            )
    return Stored(config, by_part(read_tensors(weights)), str(folder))


def read_trained(path: Path) -> Stored:
    """Read a checkpoint that a training wrote.

    Raises:
        UserError: It is damaged, unsafe, of a newer format, or not of this zoo.
    """
    checkpoint = read_own_checkpoint(path)
    record = checkpoint["zoo"]
    hparams = {k: v for k, v in checkpoint.get("hyper_parameters", {}).items() if not k.startswith("_")}
    machine = record.get("environment") or {}
    config = {
        "class": record["class"],
        "hyper_parameters": hparams,
        "data": record.get("data", {}),
        "step": checkpoint.get("global_step"),
        "recipe": record.get("recipe"),
        "command": record.get("command"),
        "commit": machine.get("commit"),
        "seed": record.get("seed"),
        "environment": machine,
    }
    return Stored(config, by_part(checkpoint["state_dict"]), str(path))


def is_described(weights: Path, config: Path) -> bool:
    """Whether a file exists and is the one whose hash ``model.json`` states."""
    return weights.is_file() and config.is_file() and sha256(weights) in config.read_text(errors="replace")


def by_part(tensors: Mapping[str, Tensor]) -> dict[str, State]:
    """Tensors by the first part of their key (``generator``), and then by the rest of it."""
    states: dict[str, State] = {}
    for key, tensor in tensors.items():
        part, _, rest = key.partition(".")
        states.setdefault(part, {})[rest] = tensor
    return states


def joined(states: Mapping[str, State]) -> State:
    """The reverse of :func:`by_part`."""
    return {
        f"{part}.{rest}" if rest else part: tensor
        for part, state in states.items()
        for rest, tensor in state.items()
    }
