"""Trained models in use: paths, PIL images, arrays, tensors or a seed in, pictures out, on any device."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo import catalogue, checkpoints, use
from zoo.bounds import require_arguments
from zoo.checkpoints import Pretrained
from zoo.errors import UsageError, nearest
from zoo.guards import GuardedModule
from zoo.use import Given
from zoo.use.film import Film, is_film

ON_GPU = 8  # inputs that run together on a GPU by default


class Model(Pretrained):
    """A trained model that reads its inputs and gives outputs that show and save themselves.

    Examples:
        >>> import zoo
        >>> digits = zoo.load("gan-digits", device="cpu")
        >>> pictures = digits(n=16, seed=0)
        >>> pictures[0].tensor.shape
        torch.Size([1, 8, 8])
        >>> pictures.sheet().pil.mode
        'RGB'
    """

    def __call__(
        self,
        source: Any = None,
        *,
        n: int | None = None,
        seed: int | None = 0,
        batch_size: int | None = None,
        **options: Any,
    ) -> Any:
        """The output for an input, or samples from noise.

        Args:
            source: A path, PIL image, array (H, W[, C]) of uint8, uint16 or floats in [0, 1], or tensor
                (C, H, W) in [-1, 1]; label maps also as class numbers (H, W). A list, a batch of four
                dimensions or a folder gives a list. Without it, the example that comes with the weights;
                nothing for a model of noise; a sentence, or a list of them, for a model of sentences.
            n: Number of samples from noise, or of each sentence; without it one.
            seed: Seed of all random draws, below 2**32; a GPU draws others than the CPU. None draws one.
            batch_size: Inputs read and run together, if they have equal sizes; by default 8 on a GPU and 1 on
                the CPU, where more is not faster.
            options: Further keywords of the input's kind, such as ``instances`` of label maps.

        Returns:
            An object with ``tensor``, ``array``, ``pil`` and ``save(path)``, such as
            :class:`zoo.use.picture.Picture`, or a list of them.

        Raises:
            UserError: An input cannot be read, or does not fit the model.
        """
        gives = use.kind(self.gives, "gives", self.name)
        seed = int.from_bytes(os.urandom(4), "big") if seed is None else seed
        for key, value, least in (("seed", seed, 0), ("n", n, 1), ("batch_size", batch_size, 1)):
            if value is not None and (type(value) is not int or not least <= value < 2**32):
                raise UsageError(f"{key} is {value!r:.40}; give a whole number from {least}, below 2**32.")
        if call := vars(use.kind(self.takes, "takes", self.name)).get("call"):
            self._require_options(call, 5, options)
            return call(self, gives, source, n, seed, **options)
        if source is None and self.example is not None:
            source = self.example[0]
        if source is None or n is not None:
            kind = self.takes.replace("_", " ")
            raise UsageError(
                f"{self.name} makes one output per {kind}: give one or a list of them, without n."
            )
        several = self._several(source)
        made = self.outputs([source] if several is None else several, seed, batch_size, **options)
        return next(made) if several is None else gives.collected(made)

    def outputs(
        self, sources: Iterable[Any], seed: int = 0, batch_size: int | None = None, **options: Any
    ) -> Iterator[Any]:
        """The output for each input, in order, as they are made; arguments as of a call."""
        takes = use.kind(self.takes, "takes", self.name)
        gives = use.kind(self.gives, "gives", self.name)
        self._require_options(takes.read, 2, options)
        size = batch_size or (1 if self.device.type == "cpu" else ON_GPU)
        for are_films, alike in groupby(sources, is_film):
            if are_films:
                yield from (Film(self, Path(source)) for source in alike)
            while chunk := list(islice(alike, size)):
                given = [takes.read(source, self, **options) for source in chunk]
                for each, sample in zip(given, self.samples(given, seed), strict=True):
                    yield gives.write(sample[None], each.bits)[0]

    def _require_options(self, function: Callable[..., Any], first: int, options: dict[str, Any]) -> None:
        """Refuse options that are no arguments of a kind's function, from its ``first`` optional one on."""
        known = list(inspect.signature(function).parameters)[first:]
        if unknown := [key for key in options if key not in known]:
            there = f"it takes {', '.join(known)}" if known else "it takes none besides the input and seed"
            raise UsageError(f"{self.name} has no option {unknown[0]}; {there}.")

    def samples(self, given: Sequence[Given], seed: int = 0) -> list[Tensor]:
        """The sample for each input that a kind has read, on the CPU in float32; equal sizes run together."""
        self.require_generator()
        alike: dict[Any, list[int]] = {}
        for number, each in enumerate(given):
            alike.setdefault(tuple((k, v.shape[1:]) for k, v in each.tensors.items()), []).append(number)
        made: dict[int, Tensor] = {}
        for numbers in alike.values():
            tensors = [given[number].tensors for number in numbers]
            batch = {key: torch.cat([each[key] for each in tensors]).to(self.device) for key in tensors[0]}
            samples: Tensor = self.module.sample(**batch, seed=seed)  # type: ignore[operator]
            parts = torch.split(samples.float().cpu(), [len(next(iter(each.values()))) for each in tensors])
            made |= {number: given[number].join(part) for number, part in zip(numbers, parts, strict=True)}
        return [made[number] for number in range(len(given))]

    def _several(self, source: Any) -> list[Any] | None:
        """The inputs of a list, a batch or a folder; None for a single input."""
        if isinstance(source, str | Path) and str(source) and Path(source).expanduser().is_dir():
            source = Path(source).expanduser()
            return list(use.kind(self.takes, "takes", self.name).find([str(source)], self))
        if isinstance(source, list | tuple) or getattr(source, "ndim", 0) == 4:
            return list(source)
        return None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.module.device

    def to(self, device: str | torch.device | None = None, dtype: str | torch.dtype | None = None) -> Model:
        """Move the model to a device and to a dtype, in place.

        Args:
            device: ``auto``, ``cuda``, ``cpu`` or another that torch has; None leaves it.
            dtype: ``float32``, ``float16`` or ``bfloat16``, by name or torch's; None leaves it.

        Raises:
            UsageError: There is no such device or dtype.
        """
        self.module.to(device=None if device is None else find_device(device))
        if dtype is not None:
            name = str(dtype).removeprefix("torch.")
            if name not in DTYPES:
                raise UsageError(f"dtype is {dtype}; give one of {', '.join(DTYPES)}.")
            self.module.to(dtype=DTYPES[name])
        return self

    @property
    def generator(self) -> nn.Module:
        """The generator: a plain module from its own inputs to its own outputs."""
        return self.game.generator

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        """Write a folder of weights, which :func:`zoo.load` and ``zoo sample`` open.

        Args:
            folder: Folder to write.
            options: Keywords of :func:`zoo.checkpoints.write`, such as ``dtype``, ``name`` and ``licence``.

        Raises:
            UserError: There are weights already; ``force=True`` replaces them.

        Examples:
            >>> import tempfile, zoo
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     zoo.load("gan-digits", device="cpu").save_pretrained(f"{folder}/mine")
            ...     zoo.load(f"{folder}/mine").config["name"]
            'mine'
        """
        parts = {"players": self.config["players"]} if self.config.get("players") else {}
        others = ("name", "weights", "golden", "example")
        named = {key: value for key, value in self.config.items() if key not in others}
        checkpoints.write(self.module, named, Path(folder), **{**parts, **options})
        if self.example is not None:
            checkpoints.add_example(Path(folder), *self.example)


DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def find_device(name: str | torch.device) -> torch.device:
    """The device of a name; ``auto`` is a GPU if there is one.

    Raises:
        UsageError: There is none of this name on this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device).sum().item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(
            f"There is no device {name} on this machine; use cpu, or auto for the best."
        ) from error
    return device


def load(
    name: str | Path, device: str | torch.device = "auto", dtype: str | torch.dtype = "float32"
) -> Model:
    """Load a model for use; see :func:`zoo.load`."""
    if not isinstance(name, str | Path):
        raise UsageError(f"{name!r:.40} names no weights; give a name of zoo.list_checkpoints(), or a path.")
    path = Path(name).expanduser()
    if os.path.exists(path) and any(entry["name"] == str(name) for entry in catalogue.checkpoints()):
        use.note(f"{name} is a file or folder here; it is used, not the weights of that name.")
    if path.suffix == ".onnx" and os.path.isfile(path):
        from zoo.files.onnx import open_onnx

        module: Any
        module, config = open_onnx(path)  # what use needs of a module, it has
        return Model(module, config, str(path))
    found = checkpoints.load(name)
    return Model(found.module, found.config, found.origin).to(device, dtype)


def create(name: str, arguments: dict[str, Any]) -> GuardedModule:
    """A paper's module with random weights; see :func:`zoo.create`."""
    paths = [path for path in catalogue.classes("models") if name in (path, *path.split(".")[2:])]
    if not paths:
        names = [part for path in catalogue.classes("models") for part in path.split(".")[2:]]
        raise UsageError(f"There is no model {name}; {nearest(name, names, '`zoo list models` names all.')}")
    known = catalogue.parameters(paths[0]) or {}
    if unknown := [key for key in arguments if key not in known]:
        raise UsageError(
            f"{name} has no argument {unknown[0]}; {nearest(unknown[0], known, f'see zoo show {name}.')}"
        )
    cls: type[GuardedModule] = catalogue.import_class(paths[0])
    require_arguments(cls.__init__, arguments, cls.__name__)
    return cls(**arguments)
