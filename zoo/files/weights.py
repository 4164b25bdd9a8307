"""Stored weights as plain values and tensors, from an exported folder or a training checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.nn.modules.module import register_module_parameter_registration_hook

from zoo.errors import UserError, reason_of
from zoo.files.checkpoints import read_own_checkpoint, read_tensors
from zoo.files.schemas import MODEL, MODEL_FORMAT, read_json
from zoo.files.writing import sha256

FORMAT = MODEL_FORMAT
WEIGHTS, CONFIG = "model.safetensors", "model.json"
STAGED = ".model.safetensors.new"  # weights until the model.json that describes them is written
State = dict[str, Tensor]
LAYERS = 1000  # parameters that any module may have, whatever it has in its file
Made = TypeVar("Made")
RENAMED = {"start_from": "init_from"}  # hyper-parameters of earlier versions


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
                f"{weights}: sha256 is {found[:12]}… but {source} says {wanted[:12]}…; `zoo verify` says "
                "how to get it again."
            )
    config["hyper_parameters"] = _renamed(config["hyper_parameters"])
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
        "hyper_parameters": _renamed(hparams),
        "data": record.get("data", {}),
        "step": checkpoint.get("global_step"),
        "recipe": record.get("recipe"),
        "command": record.get("command"),
        "commit": machine.get("commit"),
        "seed": record.get("seed"),
        "environment": machine,
        **({"init_from": record["init_from"]} if record.get("init_from") else {}),
    }
    states = by_part(checkpoint["state_dict"])
    if average := states.pop("generator_ema", None):  # what is used of a training
        states["generator"] = average
    return Stored(config, states, str(path))


def terms_of_use(config: Mapping[str, Any]) -> dict[str, Any]:
    """``research_only`` of weights, and ``licence``: their own entries, else those of data and beginning.

    Args:
        config: See :class:`Stored`.
    """
    data, begun = config["data"], config.get("init_from") or {}
    stated = config.get("research_only", data.get("research_only", True))
    licence = (config.get("licence") or {}).get("weights") or data.get("licence")
    return {"research_only": bool(stated or begun.get("research_only")), "licence": licence}


def made(cls: Callable[..., Made], hparams: Mapping[str, Any], origin: str, device: str, layers: int) -> Made:
    """Build a class from stored hyper-parameters; the caller's random stream stays as it is.

    Args:
        cls: The class, or another function.
        hparams: Its keywords.
        origin: File or folder, for messages.
        device: Device of its tensors; ``meta`` takes no memory.
        layers: Largest number of parameters.

    Raises:
        UserError: It cannot be built, or has more parameters.
    """
    made = 0

    def count(*_: Any) -> None:
        nonlocal made
        made += 1
        if made > layers:
            raise UserError(f"its networks have more than {layers} parameters")

    hook = register_module_parameter_registration_hook(count)
    try:
        with torch.random.fork_rng(devices=[]), torch.device(device), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return cls(**hparams)
    except Exception as error:
        name = getattr(cls, "__name__", "it")
        said = reason_of(error) if isinstance(error, UserError | ValueError) else "a value is out of range"
        raise UserError(f"{origin}: {name} cannot be built from its hyper-parameters: {said}.") from error
    finally:
        hook.remove()


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


def _renamed(hparams: dict[str, Any]) -> dict[str, Any]:
    return {RENAMED.get(key, key): value for key, value in hparams.items()}
