"""Write a model as an ONNX file, for programs without Python, torch or the zoo; see :mod:`zoo.files.onnx`.

The file holds the generator and all that surrounds it in use: conversion from and to bytes, one-hot labels,
the padding that its networks need, and the crop afterwards. What ``sample`` draws at random becomes input.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zoo.errors import UserError, reason_of
from zoo.files.onnx import ENTRY, MOST_BYTES, Config, Draw, OnnxModule, at, package, parsed, values_of
from zoo.files.pictures import to_levels
from zoo.files.writing import write_bytes

FILE = "model.onnx"
OPSET = 18
MOST_LEVELS = 2  # of 255, by which a file may differ from PyTorch
DEFAULTS = {"uniform": 0.0, "normal": 0.0, "dropout": 1.0}


class _Drawn(TorchFunctionMode):
    """Calls ``take`` with kind, shape and probability in place of each random draw."""

    def __init__(self, take: Callable[[str, Sequence[Any], float], Tensor]) -> None:
        super().__init__()
        self.take = take

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replace the draws and leave all else."""
        kwargs = kwargs or {}
        kind = "uniform" if func in (torch.rand, torch.rand_like) else "normal"
        if func in (torch.rand, torch.randn):
            size = kwargs.get("size", args[0] if args and isinstance(args[0], Sequence) else args)
            return self.take(kind, tuple(size), 0.0)
        if func in (torch.rand_like, torch.randn_like):
            return self.take(kind, args[0].shape, 0.0)
        if func is F.dropout:
            given = {"p": 0.5, "training": True} | dict(zip(("input", "p", "training"), args, strict=False))
            given |= kwargs
            x, p = given["input"], given["p"]
            return x * self.take("dropout", x.shape, p) if given["training"] and p else x
        return func(*args, **kwargs)


class _Graph(nn.Module):
    """A model from arrays to arrays; the last inputs are its random draws."""

    def __init__(self, model: Any, draws: int) -> None:
        super().__init__()
        self.module, self.draws = model.game, draws
        self.labels, self.noise = model.takes == "label_map", model.takes == "noise"
        self.register_buffer("classes", torch.arange(model.input_channels or 0)[None, :, None, None])

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """As the file's inputs, in their order."""
        given: Any
        arrays, draws = inputs[: len(inputs) - self.draws], inputs[len(inputs) - self.draws :]
        if self.noise:
            given = draws[0].shape[0]
        elif self.labels:
            given = (arrays[0][:, None].long() == self.get_buffer("classes")).float()
        else:
            given = arrays[0].permute(0, 3, 1, 2).float().div(255).mul(2).sub(1)
        left = iter(draws)
        with _Drawn(lambda kind, shape, p: next(left).clone()):
            made: Tensor = self.module(given, *(x.long() for x in arrays[1:]))
        return to_levels(made).to(torch.uint8).permute(0, 2, 3, 1) if made.dim() == 4 else made.float()


def write_onnx(model: Any, path: Path) -> Config:
    """Write a model as an ONNX file, and compare the file with PyTorch in ONNX Runtime.

    Args:
        model: A :class:`zoo.checkpoints.Pretrained` that takes noise, pictures or label maps.
        path: The file.

    Returns:
        The file's metadata; ``onnx.levels`` is the largest difference from PyTorch found, of 255 levels.

    Raises:
        UserError: The packages are missing, the model cannot be written so, or the outputs differ.
    """
    onnx = package("onnx")
    package("onnxscript")
    if model.takes not in ("noise", "picture", "label_map"):
        raise UserError(
            f"{model.origin} takes {model.takes}; ONNX files are for noise, pictures and label maps."
        )
    model.require_generator()
    module = model.game
    if model.takes == "label_map" and (model.input_channels or 0) > 256:
        raise UserError(f"{model.origin} has {model.input_channels} classes, and bytes can name 256.")
    if 4 * sum(weight.numel() for weight in module.generator.parameters()) > MOST_BYTES - 2**24:
        raise UserError(f"{model.origin} has more than 2 GB of weights, which no single ONNX file can hold.")
    arrays = {} if model.takes == "noise" else _arrays(model)
    draws = _draws_of(model)
    shapes = [*(shape for _, shape in arrays.values()), *(draw.shape for draw in draws)]
    multiple, least = module.multiple, module.least
    count = 3 + max(least, 24) // multiple  # torch.export takes 1 for a constant
    sides = {"height": count * multiple, "width": (count + 2) * multiple, "n": 3}
    inputs = [torch.zeros(at(shape, sides), dtype=dtype) for dtype, shape in arrays.values()]
    inputs += [draw.values(sides) for draw in draws]
    moving = {
        name: torch.export.Dim(name, min=max(1, least // multiple), max=2**20 // multiple) for name in sides
    }
    graph = _Graph(model, len(draws)).eval()
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            proto: Any = torch.onnx.export(
                graph,
                (inputs,),
                dynamo=True,
                input_names=[*arrays, *(draw.name for draw in draws)],
                output_names=["output"],
                dynamic_shapes=([_moving(shape, moving, multiple) for shape in shapes],),
                opset_version=OPSET,
                verbose=False,
            ).model_proto  # type: ignore[union-attr]
    except Exception as error:  # of many kinds, by what a model does
        reason = reason_of(error if error.__cause__ is None else error.__cause__)  # type: ignore[arg-type]
        raise UserError(f"{model.origin} cannot become an ONNX file: {reason[:300]}.") from error
    for node in proto.graph.node:
        if re.match("Random|Bernoulli|Dropout", node.op_type):
            raise UserError(f"{model.origin} draws random numbers ({node.op_type}) that are no input.")
    facts = {
        "inputs": {name: [str(dtype)[6:], *shape] for name, (dtype, shape) in arrays.items()},
        "draws": [asdict(draw) for draw in draws],
        "multiple": multiple,
        "least": least,
        "reach": module.reach,
        "scale": model.scale,
        "levels": 0,
    }
    config: Config = model.config | {"onnx": facts}
    _finish(proto, model, draws, shapes)
    if max(multiple, least) > 1:
        _surround(proto, list(arrays), facts)
    onnx.helper.set_model_props(proto, {ENTRY: json.dumps(config)})
    facts["levels"] = _difference(parsed(proto.SerializeToString(), str(path))[0], model)
    onnx.helper.set_model_props(proto, {ENTRY: json.dumps(config)})
    write_bytes(path, proto.SerializeToString())
    return config


def _arrays(model: Any) -> dict[str, tuple[torch.dtype, tuple[int | str, ...]]]:
    """Name, type and shape of each array that a model of pictures takes."""
    size = (1, "height", "width")
    if model.takes == "label_map":
        first: dict[str, Any] = {"labels": (torch.uint8, size)}
    else:
        first = {"picture": (torch.uint8, (*size, model.input_channels))}
    return first | {name: (torch.int32, size) for name in model.game.maps()}


def _moving(shape: Sequence[int | str], moving: dict[str, Any], multiple: int) -> dict[int, Any]:
    """For ``torch.export``: how each side depends on the number of multiples in a side of the picture."""
    found = {}
    for axis, side in enumerate(shape):
        if isinstance(side, str):
            name, _, divisor = side.partition("/")
            factor = multiple // int(divisor or 1) if name != "n" else 1
            found[axis] = moving[name] * factor if factor > 1 else moving[name]
    return found


def _draws_of(model: Any) -> list[Draw]:
    """The random draws of a model, with shapes in terms of the input's."""
    module, found = model.game, list[list[tuple[str, list[int], float]]]()
    unit = max(module.multiple, module.least, 8)
    tries = [{"n": 2, "height": unit, "width": 2 * unit}, {"n": 3, "height": 2 * unit, "width": 3 * unit}]
    for sides in tries:
        made = list[tuple[str, list[int], float]]()

        def take(kind: str, shape: Sequence[int], p: float, made: Any = made) -> Tensor:
            made.append((kind, list(shape), p))
            return values_of(kind, shape, p)

        given: Any = sides["n"]
        maps = []
        if model.takes != "noise":
            given = torch.zeros(1, model.input_channels or 1, sides["height"], sides["width"])
            maps = [given[:, 0].long() for _ in module.maps()]
        try:
            with module.in_use(0), _Drawn(take):
                module(given, *maps)
        except Exception as error:  # such as of a paper without `forward`
            said = f"{type(error).__name__}, {reason_of(error)[:200]}"
            raise UserError(
                f"{model.origin} cannot become an ONNX file: its forward fails ({said})."
            ) from error
        found.append(made)
    draws = []
    for number, (one, other) in enumerate(zip(*found, strict=True), 1):
        shape = list[int | str]()
        for a, b in zip(one[1], other[1], strict=True):
            names = [
                f"{side}/{tries[0][side] // a}".removesuffix("/1")
                for side in tries[0]
                if a != b and tries[0][side] % a == 0 and a * tries[1][side] == b * tries[0][side]
            ]
            if a != b and not names:
                raise UserError(f"{model.origin} draws {one[1]} numbers, which no side of the input gives.")
            shape.append(a if a == b else names[0])
        name = "noise" if model.takes == "noise" and len(found[0]) == 1 else f"{one[0]}_{number}"
        draws.append(Draw(name, one[0], tuple(shape), one[2]))
    return draws


def _finish(proto: Any, model: Any, draws: Sequence[Draw], shapes: Sequence[Sequence[int | str]]) -> None:
    """Name producer and sizes, give draws their defaults, and remove traces of this machine."""
    onnx = package("onnx")
    graph = proto.graph
    proto.producer_name = "gan-application-zoo"
    proto.ClearField("producer_version")
    graph.name = model.config["class"].rpartition(".")[2]
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    del proto.metadata_props[:], graph.value_info[:]
    drawn = {draw.name: draw for draw in draws}
    for value, shape in zip(graph.input, shapes, strict=True):
        draw = drawn.get(value.name)
        for side, name in zip(value.type.tensor_type.shape.dim, shape, strict=True):
            if isinstance(name, str):
                side.dim_param = name.replace("/", "_over_")
        if draw is None:
            continue
        value.doc_string = f"{draw.kind} {list(draw.shape)}" + (f", p = {draw.p}" if draw.p else "")
        if model.takes != "noise":
            # where the size is not known, one value for all
            known = [side if isinstance(side, int) else 1 for side in shape] if "/" not in str(shape) else 1
            filled = np.full(known if known != 1 else [1] * len(shape), DEFAULTS[draw.kind], np.float32)
            graph.initializer.append(onnx.numpy_helper.from_array(filled, draw.name))
            for axis, side in enumerate(value.type.tensor_type.shape.dim):
                if filled.shape[axis] != shape[axis]:
                    side.dim_param = side.dim_param or f"{draw.name}_{axis}"
    for axis, side in enumerate(graph.output[0].type.tensor_type.shape.dim):
        if side.dim_param:
            side.dim_param = ("n", "output_height", "output_width", "channels")[axis]


SIDE_OF_INPUT = """
    {side} = Shape <start = {axis}, end = {end}> ({first})
    {side}_up = Add ({side}, before_next)
    {side}_count = Div ({side}_up, multiple)
    {side}_whole = Mul ({side}_count, multiple)
    {side}_padded = Max ({side}_whole, least)
    {side}_more = Sub ({side}_padded, {side})
    {side}_before = Div ({side}_more, two)
    {side}_end = Sub ({side}_padded, {side}_before)
    {side}_low = Neg ({side}_before)
    {side}_from = Squeeze ({side}_low)
    {side}_to = Squeeze ({side}_end)
    {side}_places = Range ({side}_from, {side}_to, step)
    {side}_last = Sub ({side}, one)
    {side}_twice = Mul ({side}_last, two)
    {side}_period = Max ({side}_twice, one)
    {side}_turn = Mod ({side}_places, {side}_period)
    {side}_off = Sub ({side}_turn, {side}_last)
    {side}_away = Abs ({side}_off)
    {side}_at = Sub ({side}_last, {side}_away)
    {side}_start = Mul ({side}_before, scale)
    {side}_length = Mul ({side}, scale)
    {side}_stop = Add ({side}_start, {side}_length)
"""


def _surround(proto: Any, arrays: Sequence[str], facts: Config) -> None:
    """Add the padding of :meth:`zoo.adversarial.AdversarialModule.padded` before, and the crop after."""
    onnx = package("onnx")
    graph = proto.graph
    numbers = {"one": 1, "two": 2, **{key: facts[key] for key in ("multiple", "least", "scale")}}
    numbers["before_next"] = facts["multiple"] - 1
    text = "".join(
        f"{name} = Constant <value = int64[1] {{{number}}}> ()\n" for name, number in numbers.items()
    )
    text += "step = Constant <value = int64 {1}> ()\naxes = Constant <value = int64[2] {1, 2}> ()\n"
    for axis, side in enumerate(("height", "width"), 1):
        text += SIDE_OF_INPUT.format(side=side, axis=axis, end=axis + 1, first=arrays[0])
    for name in arrays:
        text += f"{name}_rows = Gather <axis = 1> ({name}, height_at)\n"
        text += f"{name}_padded = Gather <axis = 2> ({name}_rows, width_at)\n"
    before = onnx.parser.parse_graph(f"before () => () {{ {text} }}").node
    text = """
        start = Concat <axis = 0> (height_start, width_start)
        stop = Concat <axis = 0> (height_stop, width_stop)
        output = Slice (output_padded, start, stop, axes)
    """
    after = onnx.parser.parse_graph(f"after () => () {{ {text} }}").node
    renamed = {name: f"{name}_padded" for name in (*arrays, "output")}
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [renamed.get(name, name) for name in names]
    inner = list(graph.node)
    del graph.node[:]
    graph.node.extend([*before, *inner, *after])
    for axis, side in enumerate(graph.output[0].type.tensor_type.shape.dim):
        if axis in (1, 2):
            side.dim_param = ("", "output_height", "output_width")[axis]


def _difference(made: OnnxModule, model: Any) -> int:
    """The largest difference of a file's outputs from PyTorch's, in levels of 255.

    Raises:
        UserError: It is larger than rounding explains.
    """
    worst = 0
    random = torch.Generator().manual_seed(0)
    unit = max(made.facts["multiple"], made.facts["least"], 16)
    for seed, (height, width) in enumerate(((unit - 3, unit + 5), (2 * unit, unit))):
        inputs: Any = 4
        maps = {}
        if model.takes != "noise":
            channels = model.input_channels or 1
            if made.labels:
                numbers = torch.randint(0, channels, (1, height // 8 + 1, width // 8 + 1), generator=random)
                numbers = numbers.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, :height, :width]
                inputs = F.one_hot(numbers, channels).movedim(-1, 1).float()
            else:
                inputs = torch.randint(0, 256, (1, channels, height, width), generator=random) / 127.5 - 1
            maps = {
                name: torch.randint(0, 9, (1, height, width), generator=random) for name in model.game.maps()
            }
        ours = model.module.sample(inputs, seed=seed, **maps)
        theirs = made.sample(inputs, seed, **maps)
        bound = ours.abs().max().clamp(min=1)  # of points
        worst = max(worst, int((to_levels(ours / bound) - to_levels(theirs / bound)).abs().max()))
    if worst > MOST_LEVELS:
        raise UserError(f"{made.origin} would differ from PyTorch by {worst} of 255 levels; report this.")
    return worst
