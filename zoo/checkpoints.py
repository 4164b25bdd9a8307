"""Export a training checkpoint to a folder, find pretrained weights by name, load both safely.

An exported folder holds ``model.safetensors`` (tensors only) and ``model.json`` (all that is needed to
rebuild, evaluate and retrain the model). No code from a file is run: tensors come from safetensors or from
``torch.load(weights_only=True)``, and a class comes from :mod:`zoo.models` or is refused.

Every :class:`~zoo.guards.GuardedModule` of :mod:`zoo.models` can be exported and loaded. The parts of a GAN
are its two players, of which the generator alone is kept by default; any other module is kept whole.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import safetensors.torch
import torch
from torch import Tensor

from zoo import catalogue
from zoo.adversarial import PLAYERS, AdversarialModule
from zoo.bounds import require_arguments
from zoo.errors import UsageError, UserError
from zoo.files.pictures import require_pictures
from zoo.files.reading import read_bytes
from zoo.files.schemas import MODEL, ROWS, read_json
from zoo.files.weights import (
    CONFIG,
    FORMAT,
    LAYERS,
    STAGED,
    WEIGHTS,
    State,
    by_part,
    is_described,
    joined,
    made,
    read_exported,
    read_trained,
)
from zoo.files.writing import sha256, write_bytes, write_text
from zoo.guards import GuardedModule
from zoo.recipes import public_path

DTYPES = {"float32": torch.float32, "float16": torch.float16}
MOST_UNSAVED = 2**27  # values of a module that is built with initial weights
MOST_EXAMPLE = 2**20  # bytes
TOLERANCE = 1 / 255  # half a step of an 8-bit picture, in [-1, 1]
Config = dict[str, Any]


@dataclass(frozen=True, repr=False)
class Pretrained:
    """A model with its weights, ready for use.

    Args:
        module: The module in evaluation mode; a player whose weights were not kept is absent.
        config: Content of ``model.json``, or the same facts read from a training checkpoint.
        origin: File or folder that it was loaded from, for messages.
    """

    module: GuardedModule
    config: Config
    origin: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}: {self.takes} to {self.gives}, {self.config.get('class')})"

    @property
    def name(self) -> str:
        """The name of the weights, for messages; of a training's checkpoint, its path."""
        return str(self.config.get("name") or self.origin)

    @property
    def takes(self) -> str:
        """Kind of input, a file of :mod:`zoo.use`, or ``nothing``.

        A model of pictures that was trained on label maps takes a ``label_map``.
        """
        preprocessing: Config = self.config["data"].get("preprocessing") or {}
        if self.module.takes == "picture" and preprocessing.get("source") == "labels":
            return "label_map"
        return self.module.takes

    @property
    def gives(self) -> str:
        """Kind of output, a file of :mod:`zoo.use`, or ``nothing``."""
        return self.module.gives

    @property
    def example(self) -> tuple[Path, str] | None:
        """An input that comes with the weights, and its licence; None if there is none."""
        path = example_of(Path(self.origin)) if "example" in self.config else None
        return None if path is None else (path, self.config["example"]["licence"])

    @property
    def game(self) -> AdversarialModule:
        """The module of a GAN.

        Raises:
            UserError: The weights are those of another kind of module.
        """
        if not isinstance(self.module, AdversarialModule):
            raise UserError(f"{self.origin} holds a {type(self.module).__name__}, which is not a GAN.")
        return self.module

    @property
    def input_channels(self) -> int | None:
        """Channels of the pictures that the model takes; None if it takes no pictures."""
        return int(self.module.hparams["in_channels"]) if self.module.takes == "picture" else None

    @property
    def scale(self) -> int:
        """Output size divided by input size: 1 except for super-resolution."""
        return int(self.module.hparams.get("scale", 1))

    def sample(self, inputs: int | Tensor = 1, seed: int = 0) -> Tensor:
        """Draw samples, or translate pictures.

        Args:
            inputs: Number of samples, for a model that takes noise; pictures (B, C, H, W) in [-1, 1] of any
                size, for one that takes pictures; for other kinds, what the module's ``sample`` takes.
            seed: Seed of all random draws.

        Returns:
            Pictures (N, C, H, W) in [-1, 1], of the input's size times ``scale``; points (N, 2) for a model
            of points.

        Raises:
            UserError: The input is not what this model takes, or it has no generator.
        """
        if self.takes == "nothing":
            raise UserError(
                f"{self.origin} is not a generator and makes no samples; call its `module` directly."
            )
        self.require_generator()
        if self.takes == "noise" and (not isinstance(inputs, int) or inputs < 1):
            raise UserError(
                f"{self.origin} makes samples from noise: give how many, 1 or more, not {inputs!r:.40}."
            )
        if self.module.takes == "picture":
            if not isinstance(inputs, Tensor):
                raise UserError(
                    f"{self.origin} translates pictures: give a tensor (B, C, H, W) with values in [-1, 1]."
                )
            require_pictures(inputs)
            if inputs.shape[1] != self.input_channels:
                wanted, given = self.input_channels, inputs.shape[1]
                raise UserError(f"{self.origin} expects pictures of {wanted} channels, got {given}.")
        samples: Tensor = self.module.sample(inputs, seed=seed)  # type: ignore[operator]
        return samples

    def require_generator(self) -> None:
        """Refuse weights of which only the discriminator was kept.

        Raises:
            UserError: Says so.
        """
        if isinstance(self.module, AdversarialModule) and "generator" not in self.config["players"]:
            raise UserError(
                f"{self.origin} holds only the discriminator and cannot make samples; load the generator."
            )

    def fixed_output(self) -> Tensor | None:
        """Compute the output for a fixed input.

        The input is seed 0 for a model of noise, a fixed pattern for a model of pictures, unit vectors for a
        model of sentences, and Lightning's
        ``example_input_array`` for any other module; None if it sets none.
        """
        if self.takes == "noise":
            return self.sample(4, seed=0)
        if self.takes == "sentence":
            return self.sample(torch.eye(4, self.module.hparams["text_dim"]), seed=0)
        if self.module.takes == "picture":
            return self.sample(_pattern(self.input_channels or 1), seed=0)
        if self.module.example_input_array is None:
            return None
        with torch.no_grad():
            return cast(Tensor, self.module(self.module.example_input_array))

    def golden(self) -> Config | None:
        """Summarise :meth:`fixed_output`; None if there is none."""
        output = self.fixed_output()
        if output is None:
            return None
        flat = output.float().cpu().flatten()
        picked = flat[torch.linspace(0, len(flat) - 1, min(len(flat), 256), dtype=torch.float64).long()]
        return {
            "shape": list(output.shape),
            "mean": round(float(flat.mean()), 6),
            "std": round(float(flat.std()), 6) if len(flat) > 1 else 0.0,
            "values": [round(value, 6) for value in picked.tolist()],
        }

    def check_golden(self) -> None:
        """Compute the output for the fixed input again and compare it with the one stored at export.

        Values may differ by half a step of an 8-bit picture, which covers other processors; a model that
        keeps dropout at test time also depends on torch's random stream, which Intel and ARM need not share.

        Raises:
            UserError: The outputs differ, or none was stored.
        """
        kept = self.config.get("golden")
        now = self.golden()
        if not kept or not now:
            raise UserError(f"{self.origin} stores no golden output to compare with; export it again.")
        if now["shape"] != kept["shape"] or len(now["values"]) != len(kept["values"]):
            raise UserError(f"{self.origin} now gives {now['shape']}, but gave {kept['shape']} at export.")
        pairs = zip(*([g["mean"], g["std"], *g["values"]] for g in (now, kept)), strict=True)
        worst = max(math.inf if math.isnan(a - b) else abs(a - b) for a, b in pairs)
        if worst > TOLERANCE:
            raise UserError(
                f"{self.origin} no longer gives its output of the export (off by {worst:.3g}, allowed is "
                f"{TOLERANCE:.3g}): weights or code have changed since."
            )


def load(name: str | Path, settings: Config | None = None) -> Pretrained:
    """Load weights by name or address, from an exported folder, or from a training checkpoint.

    Args:
        name: Name of the index or address, which are downloaded if they are not on this machine, or path.
        settings: Hyper-parameters in place of those of exported weights; they must fit the weights.

    Raises:
        UserError: There is nothing of that name, or it is damaged, foreign or of a newer format.
    """
    path, expected = catalogue.stored(str(name))
    return read_folder(path, expected, settings) if path.is_dir() else read_training_checkpoint(path)


def read_folder(folder: Path, expected: str | None = None, settings: Config | None = None) -> Pretrained:
    """Load an exported folder.

    Args:
        folder: Folder with ``model.safetensors`` and ``model.json``.
        expected: Sha256 of the weights by the index, if it has one.
        settings: Hyper-parameters in place of those of ``model.json``.

    Raises:
        UserError: A file is missing, truncated, changed, or of a newer format.
    """
    config, states, origin = read_exported(folder, expected)
    config["hyper_parameters"] |= settings or {}
    module = build(config["class"], config["hyper_parameters"], states, origin)
    if states.keys() != set(config["players"]):
        raise UserError(
            f"{folder / CONFIG}: players are {', '.join(config['players'])}, but {WEIGHTS} holds "
            f"{', '.join(states)}; export it again."
        )
    return Pretrained(module, config, origin)


def read_training_checkpoint(path: Path) -> Pretrained:
    """Load all parts of the module from a checkpoint that a training wrote.

    Raises:
        UserError: It is damaged, unsafe, of a newer format, or not of this zoo.
    """
    config, states, origin = read_trained(path)
    module = build(config["class"], config["hyper_parameters"], states, origin)
    described = describe(module, config["hyper_parameters"], config["data"])
    return Pretrained(module, described | config, origin)


def build(class_path: str, hparams: Config, states: Mapping[str, State], origin: str) -> GuardedModule:
    """Build a module of the zoo and load the weights of its parts, strictly.

    Args:
        class_path: Import path; anything outside :mod:`zoo.models` is refused, not imported.
        hparams: Keywords of the constructor; unknown ones are refused.
        states: State dict by part (``generator``); a GAN's player without one is removed from the module.
        origin: File or folder, for messages.

    Raises:
        UserError: Class, hyper-parameters or weights do not fit this version of the zoo.
    """
    if class_path not in catalogue.classes("models"):
        raise UserError(f"{origin} names the class {class_path}, which is no model of this zoo.")
    cls: type[GuardedModule] = catalogue.import_class(class_path)
    require_arguments(cls.__init__, hparams, origin)
    layers = max(LAYERS, 4 * sum(map(len, states.values())))
    module = made(cls, hparams, origin, "meta", layers)  # names and shapes only: no file can ask for memory
    own = by_part(module.state_dict())
    if issubclass(cls, AdversarialModule):  # what is not a player's is not loaded
        own = {part: state for part, state in own.items() if part in PLAYERS}
        states = {part: state for part, state in states.items() if part in PLAYERS}
    else:
        states = {part: {} for part in own} | dict(states)  # every part is needed
    if own and not states:
        raise UserError(f"{origin} holds no weights of a {cls.__name__}; it is damaged.")
    for part, given in states.items():
        mine = own.get(part, {})
        wrong = [
            key
            for key in (*mine, *given)
            if key not in mine
            or key not in given
            or mine[key].shape != given[key].shape
            or mine[key].is_floating_point() != given[key].is_floating_point()
        ]
        if wrong:
            raise UserError(
                f"{origin}: weights of the {part} do not fit {cls.__name__} ({len(wrong)} missing, unknown "
                f"or of another shape, first {wrong[0]}); they belong to another model or version."
            )
    rebuilt = _has_unsaved_tensors(module)  # that the constructor alone makes
    if rebuilt:
        most = max(
            MOST_UNSAVED, 4 * sum(value.numel() for state in states.values() for value in state.values())
        )
        if (asked := sum(value.numel() for value in module.state_dict().values())) > most:
            raise UserError(f"{origin} asks for {asked:,} weights and holds few of them; it is damaged.")
        module = made(cls, hparams, origin, "cpu", layers)
    for part in own.keys() - states.keys():
        delattr(module, part)
    if not rebuilt:
        module.to_empty(device="cpu").to(
            "cpu"
        )  # Lightning remembers the device, and only learns it from `to`
    try:
        module.load_state_dict(joined(states), strict=False)  # checked above
    except UserError as error:  # of what a network keeps besides its tensors
        raise UserError(f"{origin}: {error}") from None
    return module.eval()


def _has_unsaved_tensors(module: GuardedModule) -> bool:
    """Whether it has tensors that no state dict holds: plain attributes, buffers that are not persistent."""
    saved = module.state_dict().keys()
    if any(name not in saved for name, _ in (*module.named_buffers(), *module.named_parameters())):
        return True
    kept = (value for part in module.modules() for value in vars(part).values())
    return any(
        isinstance(item, Tensor)
        for value in kept
        for item in (value if isinstance(value, list | tuple) else [value])
    )


def export(checkpoint: Path, out: Path, *, results: Path | None = None, **options: Any) -> Pretrained:
    """Export a training checkpoint to a folder, and load it back to check that it gives the same output.

    Args:
        checkpoint: A ``.ckpt`` file.
        out: Folder to write.
        results: An ``eval.json`` whose rows are kept; by default the run's rows of this step.
        options: Keywords of :func:`write`.

    Raises:
        UserError: The checkpoint cannot be read, ``out`` is taken, or a weight does not fit ``dtype``.
    """
    trained = read_training_checkpoint(checkpoint)
    kept = {
        "hyper_parameters": trained.config["hyper_parameters"],
        "results": _results(checkpoint, results, trained),
    }
    return write(trained.module, portable(trained.config) | kept, out, **options)


def write(
    module: GuardedModule,
    config: Config,
    out: Path,
    *,
    dtype: Literal["float32", "float16"] = "float32",
    players: Sequence[str] | None = None,
    name: str | None = None,
    title: str | None = None,
    licence: str | None = None,
    sources: Sequence[str] = (),
    force: bool = False,
) -> Pretrained:
    """Write a folder of weights, and load it back.

    Args:
        module: Model with its trained weights.
        config: Content of ``model.json`` (:func:`describe`).
        out: Folder to write.
        dtype: Storage format of the weights; they are loaded as float32.
        players: Parts whose weights are kept; by default a GAN's generator, or all of any other module.
        name: Name of the weights, by default that of the folder.
        title: Title in lists, one line; by default class and data.
        licence: Licence of the weights, by default derived from the data's.
        sources: Addresses from which the same files can be had, for the index.
        force: Replace weights that exist at ``out``.

    Raises:
        UserError: ``out`` is taken, or a weight does not fit ``dtype``.
    """
    if dtype not in DTYPES:
        raise UsageError(f"dtype is {dtype}; weights are stored in {' or '.join(DTYPES)}.")
    if not force and any((out / file).exists() for file in (WEIGHTS, CONFIG)):
        raise UserError(
            f"There are weights in {out} already; choose another folder, or replace them (--force)."
        )
    states = by_part(module.state_dict())
    if players is None:
        players = PLAYERS[:1] if isinstance(module, AdversarialModule) else tuple(states)
    if unknown := [part for part in players if part not in states]:
        raise UserError(f"{config['class']} has no {unknown[0]}; its parts are {', '.join(states)}.")
    tensors = joined({part: states[part] for part in players})
    for key, value in tensors.items():
        if value.is_floating_point():
            tensors[key] = value.to(DTYPES[dtype])
            if not bool(tensors[key].isfinite().all()):
                raise UserError(f"Weight {key} is not finite in {dtype}; export with --dtype float32.")
        tensors[key] = tensors[key].detach().cpu().clone(memory_format=torch.contiguous_format)
    data = config["data"]
    # data of unknown licence is not called free
    research_only = bool(data.get("research_only", licence is None))
    research_only |= bool((config.get("init_from") or {}).get("research_only"))
    config = {
        "format": FORMAT,
        "name": name or out.resolve().name,
        "title": title or f"{config['class'].rpartition('.')[2]} on {data.get('name', 'unknown data')}",
        **config,
        "players": list(players),
        "dtype": dtype,
        "research_only": research_only,
        "licence": {
            "code": "Apache-2.0",
            "weights": licence or ("research use only" if research_only else "Apache-2.0"),
            "data": data.get("licence", "unknown"),
        },
    }
    if sources:
        config["sources"] = list(sources)
    content = safetensors.torch.save(tensors, {"format": "pt"})
    digest = hashlib.sha256(content).hexdigest()
    config["weights"] = {"file": WEIGHTS, "sha256": digest, "bytes": len(content)}
    if "generator" in players or not isinstance(module, AdversarialModule):
        again = build(config["class"], config["hyper_parameters"], by_part(tensors), str(out))
        config["golden"] = Pretrained(again, config, str(out)).golden()
    # wherever this is killed, model.json and the weights that it describes lie in the folder
    staged = out / STAGED
    if is_described(staged, out / CONFIG):  # an earlier export was killed
        staged.replace(out / WEIGHTS)
    try:
        write_bytes(staged, content)
        write_text(out / CONFIG, json.dumps(config, indent=2) + "\n")
        staged.replace(out / WEIGHTS)
    except UserError:
        staged.unlink(missing_ok=True)
        raise
    return read_folder(out)


def describe(module: GuardedModule, hparams: Config, data: Config) -> Config:
    """Fields common to every ``model.json``; ``data`` is the data module's description of itself."""
    game = isinstance(module, AdversarialModule)
    return {
        "class": public_path(type(module)),
        "hyper_parameters": hparams,
        "takes": module.takes,
        "gives": module.gives,
        "players": [part for part in by_part(module.state_dict()) if part in PLAYERS or not game],
        "data": data,
    }


def _results(checkpoint: Path, given: Path | None, trained: Pretrained) -> list[Config]:
    if given is not None:
        return cast(list[Config], read_json(given, ROWS))
    for folder in (checkpoint.parent, checkpoint.parent.parent):
        if (folder / "eval.json").is_file():
            rows: list[Config] = read_json(folder / "eval.json", ROWS)
            return [row for row in rows if row["step"] == trained.config["step"]]  # the rest: other weights
    return []


def _pattern(channels: int) -> Tensor:
    """Waves of a fixed form in [-1, 1]: an input that needs no random stream."""
    rows, columns = torch.arange(64.0)[:, None], torch.arange(64.0)[None, :]
    waves = [torch.sin(0.11 * (c + 1) * rows + 0.17 * columns + c) for c in range(channels)]
    return torch.stack(waves)[None]  # (1, C, 64, 64)


def example_of(folder: Path) -> Path | None:
    """The input beside weights that their ``model.json`` states, if it is there and no other file.

    Raises:
        UserError: It has other bytes than stated.
    """
    stated: Config = read_json(folder / CONFIG, MODEL, FORMAT).get("example") or {}
    path = folder / str(stated.get("file"))
    if not stated or path.is_symlink() or not path.is_file():
        return None
    if sha256(path) != stated["sha256"]:
        raise UserError(f"{path} is not the example that {CONFIG} states; `zoo verify {folder}` compares.")
    return path


def add_example(folder: Path, source: Path, licence: str) -> None:
    """Put an input that anyone may use beside weights, and say so in their ``model.json``.

    Args:
        folder: Folder of weights.
        source: The input, at most 1 MB.
        licence: Its licence, and whom to name.

    Raises:
        UserError: It is too large, or the folder holds no weights.
    """
    config, content = read_json(folder / CONFIG, MODEL, FORMAT), read_bytes(source)
    if len(content) > MOST_EXAMPLE:
        raise UserError(f"{source} has {len(content)} bytes; an example has at most {MOST_EXAMPLE}.")
    name = f"example{source.suffix.lower()}"
    config["example"] = {"file": name, "licence": licence, "sha256": hashlib.sha256(content).hexdigest()}
    write_bytes(folder / name, content)
    write_text(folder / CONFIG, json.dumps(config, indent=2) + "\n")


def portable(value: Any) -> Any:
    """Cut absolute paths in a value to their last part: the rest means nothing on another machine."""
    if isinstance(value, str):
        return re.sub(r"(?<![\w:/.])/(?:[^\s/'\",]+/)+(?=[^\s/'\",])", "", value)
    if isinstance(value, Mapping):
        return {key: portable(item) for key, item in value.items()}
    return [portable(item) for item in value] if isinstance(value, list | tuple) else value
