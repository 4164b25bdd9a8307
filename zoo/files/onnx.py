"""ONNX files that ``zoo export --to onnx`` wrote: opened without running anything else, and run.

Inputs of a file:

- ``picture``, uint8 (1, H, W, C), as PIL holds it, or ``labels``, uint8 (1, H, W), class numbers;
- the maps that the model takes (:meth:`zoo.adversarial.AdversarialModule.maps`), int32 (1, H, W);
- each random draw (:class:`Draw`), float32. If the model takes a picture they have defaults that make the
  output fixed: dropout that keeps everything, and draws of 0.

The output is ``output``, uint8 (N, H, W, C), or float32 (N, 2) for points. The metadata's entry ``zoo`` is
the content of ``model.json`` with an entry ``onnx`` that describes the inputs.
"""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from zoo.errors import UserError, reason_of
from zoo.files.pictures import to_levels
from zoo.files.reading import opened
from zoo.files.schemas import ONNX, parse

ENTRY = "zoo"  # in the metadata
MOST_BYTES = 2**31 - 1  # of a protocol buffer
MOST_DRAWN = 2**26  # values of one draw
TILE = 192  # side of the tiles of a picture whose pixels depend on near ones only
Config = dict[str, Any]


@dataclass(frozen=True)
class Draw:
    """A random draw of ``sample``.

    Args:
        name: The input's name.
        kind: ``uniform`` on [0, 1), ``normal``, or ``dropout``: 0 with probability ``p``, else 1 / (1 - p).
        shape: Numbers, or ``n``, ``height/4`` or ``width/4``: the number of samples, or a side of the picture
            after its padding, divided by so much.
        p: Probability with which dropout drops a value.
    """

    name: str
    kind: Literal["uniform", "normal", "dropout"]
    shape: tuple[int | str, ...]
    p: float = 0.0

    def values(self, sides: dict[str, int]) -> Tensor:
        """The draw from torch's RNG, as ``sample`` makes it; ``sides`` are those that its shape names."""
        shape = at(self.shape, sides)
        if math.prod(shape) > MOST_DRAWN:
            raise UserError(f"The input {self.name} would have {shape} values; give a smaller picture.")
        return values_of(self.kind, shape, self.p)


def at(shape: Sequence[int | str], sides: dict[str, int]) -> list[int]:
    """A shape for an input whose sides are ``sides``."""
    halves = [str(side).partition("/") for side in shape]
    return [
        side if isinstance(side, int) else sides[name] // int(divisor or 1)
        for side, (name, _, divisor) in zip(shape, halves, strict=True)
    ]


def padded(height: int, width: int, multiple: int, least: int) -> dict[str, int]:
    """The sides of a picture after the padding that its networks need."""
    sides = {"height": height, "width": width}
    return {name: max(least, -(-side // multiple) * multiple) for name, side in sides.items()}


def values_of(kind: str, shape: Sequence[int], p: float) -> Tensor:
    """A draw of a :class:`Draw`'s kind from torch's RNG."""
    if kind == "dropout":
        return torch.empty(*shape).bernoulli_(1 - p).div_(1 - p)
    return torch.rand(*shape) if kind == "uniform" else torch.randn(*shape)


class OnnxModule(nn.Module):
    """A model of an ONNX file, run by ONNX Runtime on the CPU; in use like the module that it was made of.

    Args:
        session: ONNX Runtime's session.
        config: The file's metadata: content of ``model.json`` with an entry ``onnx``.
        origin: The file, for messages.
    """

    device, at_once = torch.device("cpu"), 1

    def __init__(self, session: Any, config: Config, origin: str) -> None:
        super().__init__()
        self.session, self.origin, self.facts = session, origin, config["onnx"]
        self.hparams: Config = config["hyper_parameters"]
        self.draws = [Draw(**draw | {"shape": tuple(draw["shape"])}) for draw in self.facts["draws"]]
        self.labels = "labels" in self.facts["inputs"]
        self.takes = "picture" if self.facts["inputs"] else "noise"
        self.gives = "points" if len(session.get_outputs()[0].shape) == 2 else "picture"

    def sample(self, images: int | Tensor, seed: int = 0, **maps: Tensor) -> Tensor:
        """Draw samples, or translate pictures, with the random draws that PyTorch makes of the seed.

        Args:
            images: Pictures (B, C, H, W) in [-1, 1], rounded to 8 bits, or one-hot labels; the number of
                samples, if the model takes noise.
            seed: Seed of all random draws.
            maps: Further maps (B, H, W) by name; without ``instances`` each class is one.

        Returns:
            Pictures (N, C, H, W) in [-1, 1], of 8 bits; points (N, 2).

        Raises:
            UserError: The file takes no such map, or ONNX Runtime fails.
        """
        if isinstance(images, int):
            return self._floats(self._run({}, {"n": images}, seed))
        if unknown := maps.keys() - self.facts["inputs"].keys():
            raise UserError(
                f"{self.origin} has no input {', '.join(unknown)}; use the weights it was made of."
            )
        outputs = []
        for number, picture in enumerate(images.detach().cpu()):
            if self.labels:
                arrays = {"labels": picture.argmax(0).to(torch.uint8)}
            else:
                arrays = {"picture": to_levels(picture).to(torch.uint8).permute(1, 2, 0)}
            for name in self.facts["inputs"].keys() - arrays.keys():
                found = maps[name][number] if name in maps else picture.argmax(0)
                arrays[name] = found.to(torch.int32)
            outputs.append(self._floats(self._whole({k: x[None].numpy() for k, x in arrays.items()}, seed)))
        return torch.cat(outputs)

    @staticmethod
    def _floats(made: np.ndarray[Any, Any]) -> Tensor:
        values = torch.from_numpy(made)
        return values.permute(0, 3, 1, 2).float().div(255).mul(2).sub(1) if values.dim() == 4 else values

    def _whole(self, arrays: dict[str, np.ndarray[Any, Any]], seed: int) -> np.ndarray[Any, Any]:
        """The output for one picture; a large one in tiles, if its pixels depend on near ones only."""
        reach, scale = self.facts["reach"], self.facts["scale"]
        height, width = next(iter(arrays.values())).shape[1:3]
        multiple, least = self.facts["multiple"], self.facts["least"]
        if reach is None or max(height, width) <= TILE + reach:
            return self._run(arrays, padded(height, width, multiple, least), seed)
        rows = []
        for top in range(0, height, TILE):
            row = []
            for left in range(0, width, TILE):
                y, x = max(0, top - reach), max(0, left - reach)
                tile = {k: a[:, y : top + TILE + reach, x : left + TILE + reach] for k, a in arrays.items()}
                high, wide = next(iter(tile.values())).shape[1:3]
                made = self._run(tile, padded(high, wide, multiple, least), seed)
                row.append(
                    made[:, scale * (top - y) :, scale * (left - x) :][:, : scale * TILE, : scale * TILE]
                )
            rows.append(np.concatenate(row, 2))
        return np.concatenate(rows, 1)

    def _run(
        self, arrays: dict[str, np.ndarray[Any, Any]], sides: dict[str, int], seed: int
    ) -> np.ndarray[Any, Any]:
        with torch.random.fork_rng(()):
            torch.manual_seed(seed)
            drawn = {draw.name: draw.values(sides).numpy() for draw in self.draws}
        try:
            made: np.ndarray[Any, Any] = self.session.run(None, arrays | drawn)[0]
        except Exception as error:  # ONNX Runtime has a class per reason, none of them public
            raise UserError(f"{self.origin} cannot be run: {reason_of(error)[:300]}.") from error
        return made


def open_onnx(path: str | Path) -> tuple[OnnxModule, Config]:
    """Open an ONNX file that ``zoo export --to onnx`` wrote.

    The file may come from anyone: operators outside the standard, and data outside the file, are refused. It
    may still ask for time and memory.

    Raises:
        UserError: The packages are missing, or the file is damaged, foreign, or no file of the zoo.
    """
    with opened(path) as file:
        if os.fstat(file.fileno()).st_size > MOST_BYTES:
            raise UserError(f"{path} has more than 2 GB, which no ONNX file may have.")
        content = file.read()
    return parsed(content, str(path))


def parsed(content: bytes, origin: str) -> tuple[OnnxModule, Config]:
    """As :func:`open_onnx`, of a file's content."""
    onnx, runtime = package("onnx"), package("onnxruntime")
    try:
        proto = onnx.ModelProto.FromString(content)
    except Exception as error:  # of the installed protobuf
        raise UserError(f"{origin} is damaged or no ONNX file; get it again.") from error
    _require_harmless(proto, origin)
    config = next((entry.value for entry in proto.metadata_props if entry.key == ENTRY), None)
    if config is None:
        raise UserError(
            f"{origin} has no metadata of the zoo; give a file that `zoo export --to onnx` wrote."
        )
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 4
    try:
        session = runtime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:  # ONNX Runtime has a class per reason, none of them public
        raise UserError(f"{origin} cannot be loaded: {reason_of(error)[:300]}.") from error
    facts = parse(config, ONNX, origin)
    try:
        return OnnxModule(session, facts, origin), facts
    except (ValueError, LookupError) as error:  # names that are no text, no output
        raise UserError(f"{origin} is damaged ({reason_of(error)}); get it again.") from error


def _require_harmless(proto: Any, origin: str) -> None:
    """Refuse what could make ONNX Runtime read other files or run other code.

    Raises:
        UserError: Names it.
    """
    onnx = package("onnx")
    if proto.functions or proto.training_info:
        raise UserError(f"{origin} holds functions or a training, which no file of the zoo does.")
    for message in _messages(proto):
        if isinstance(message, onnx.TensorProto):
            if message.external_data or message.data_location != onnx.TensorProto.DEFAULT:
                raise UserError(
                    f"{origin} keeps {message.name[:80]} in another file; only whole files are read."
                )
        elif isinstance(message, onnx.NodeProto) and message.domain not in ("", "ai.onnx"):
            raise UserError(
                f"{origin} uses {message.op_type[:80]} of {message.domain[:80]}, which is no standard."
            )


def _messages(message: Any) -> Iterator[Any]:
    """A protocol buffer's message and all within it."""
    left = [message]
    while left:
        message = left.pop()
        yield message
        for field, value in message.ListFields():
            if field.message_type is not None:
                left += value if field.is_repeated else [value]


def package(name: str) -> Any:
    """A package of the extra ``onnx``.

    Raises:
        UserError: It is not installed; says how.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"ONNX needs the package {name}; run pip install onnx onnxruntime onnxscript."
        ) from error
