"""Convert the state dict of another implementation to the arguments and weights of a paper's class.

``zoo/references/<paper>.py`` has a function ``recognise(state)`` that tells the network by names and shapes
and renames its weights. What all papers share is here: removing what wrappers and old versions of PyTorch
leave in a state dict, finding the paper's file, and comparing the result with the network that is built. The
order of keys carries no meaning: safetensors sorts them.

Examples:
    >>> from zoo.models.gan import GAN
    >>> weights = GAN(shape=(1, 4, 4), players="mlp").discriminator.state_dict()
    >>> names = ["hidden0.0", "hidden1.0", "hidden2.0", "out.0"]  # as 3D-GAN-pytorch names the four layers
    >>> theirs = dict(zip((f"{n}.{k}" for n in names for k in ("weight", "bias")), weights.values()))
    >>> convert(GAN, theirs).arguments
    {'players': 'mlp', 'shape': [1, 4, 4]}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo.errors import UserError
from zoo.guards import GuardedModule

State = dict[str, Tensor]
WRAPPERS = ("module", "_orig_mod")  # DataParallel, torch.compile
NORM_BUFFERS = (".running_mean", ".running_var", ".num_batches_tracked")


class Match(NamedTuple):
    """A network that was recognised.

    Attributes:
        player: The player, or other part of the class, that it is.
        arguments: Arguments of the paper's class that build it.
        weights: Its weights by the names of the paper's file.
        unsaved: Endings of keys that the other implementation does not save; they are filled with zeros.
    """

    player: str
    arguments: dict[str, Any]
    weights: State
    unsaved: tuple[str, ...] = ()


def convert(paper: type[GuardedModule], state: Mapping[str, Tensor]) -> Match:
    """Recognise a network of another implementation and rename its weights to those of ``paper``.

    Args:
        paper: The paper's class.
        state: State dict of one player or other part, as the other implementation saves it, in any order.

    Returns:
        The match; its weights are those of the network that its arguments build, in that network's order.

    Raises:
        UserError: No other implementation is known for this paper, or the weights are of none that is.
    """
    name = paper.__module__.rpartition(".")[2]
    path = f"zoo.references.{name}"
    if find_spec(path) is None:
        raise UserError(f"No other implementation of {name} is known; its weights cannot be converted.")
    recognise: Callable[[State], Match] = import_module(path).recognise
    try:
        match = recognise(tidy(state))
        with torch.device("meta"):  # no time is spent on initial weights
            expected = paper(**match.arguments).get_submodule(match.player).state_dict()
    except KeyError as error:
        raise UserError(
            f"These weights look like those of {paper.__name__} but {error} is missing."
        ) from error
    except (IndexError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise UserError(
            f"These weights look like those of {paper.__name__}, but their shapes are none of its networks'."
        ) from error
    weights = dict(match.weights)
    for key, value in expected.items():
        if key not in weights and key.endswith((".num_batches_tracked", *match.unsaved)):
            weights[key] = torch.zeros(value.shape, dtype=value.dtype)
    shapes, wanted = ({key: x.shape for key, x in each.items()} for each in (weights, expected))
    wrong = sorted(key for key in shapes.keys() | wanted.keys() if shapes.get(key) != wanted.get(key))
    if wrong:
        raise UserError(
            f"These weights look like the {match.player} of {paper.__name__} but {wrong[0]} is missing, "
            "unknown or of another shape."
        )
    return match._replace(weights={key: weights[key] for key in expected})


def tidy(state: Mapping[str, Tensor]) -> State:
    """Remove wrappers' names and unused buffers; sort the keys, numbers by value.

    Instance norms of PyTorch before 0.4 left running statistics that nothing uses; batch norms before 0.4.1
    lack ``num_batches_tracked``, which :func:`convert` fills in.
    """
    found = {".".join(part for part in key.split(".") if part not in WRAPPERS): x for key, x in state.items()}
    used = [
        key for key in found if not key.endswith(NORM_BUFFERS) or f"{key.rpartition('.')[0]}.weight" in found
    ]
    return {key: found[key] for key in sorted(used, key=_natural)}


def _natural(key: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", key)]


def renamed(state: State, patterns: Mapping[str, str]) -> State:
    """Replace the start of each key by the first of ``patterns`` (regular expression: new) that matches."""
    found = {}
    for key, value in state.items():
        pattern = next((pattern for pattern in patterns if re.match(pattern, key)), None)
        found[key if pattern is None else re.sub(pattern, patterns[pattern], key, count=1)] = value
    return found
