"""Weights to keep, move and use: export a training checkpoint, find pretrained weights, load both safely.

Exported weights are a folder with ``model.safetensors`` (tensors only) and ``model.json`` (all that is needed
to rebuild, judge and repeat the model). Nothing here runs what a file says: tensors come from safetensors or
from ``torch.load(weights_only=True)``, and a class is taken from :mod:`zoo.models` or not at all.
"""

from __future__ import annotations

import difflib
import json
import math
import pkgutil
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Protocol, cast

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

import zoo.models
from zoo.adversarial import PLAYERS, AdversarialModule, Player
from zoo.errors import UserError
from zoo.files.checkpoints import read_checkpoint
from zoo.files.writing import sha256, write_bytes, write_text
from zoo.guards import CHECKPOINT_FORMAT
from zoo.recipes import bundled

FORMAT = 1
WEIGHTS, CONFIG = "model.safetensors", "model.json"
DTYPES = {"float32": torch.float32, "float16": torch.float16}
TOLERANCE = 1 / 255  # half a step of an 8-bit picture, in [-1, 1]
State = dict[str, Tensor]
Config = dict[str, Any]


class _Paper(Protocol):
    """What every paper class offers for use."""

    takes: Literal["noise", "picture"]

    def sample(self, inputs: Any, /, *, seed: int) -> Tensor:
        """Draw or translate; the output lies in [-1, 1]."""


@dataclass(frozen=True)
class Pretrained:
    """A model with its weights, ready for use.

    Args:
        module: The paper's module in evaluation mode; a player whose weights were not kept is absent.
        config: What ``model.json`` says, or the same drawn from a training checkpoint.
        origin: Where it was loaded from, for messages.
    """

    module: AdversarialModule
    config: Config
    origin: str

    @property
    def takes(self) -> Literal["noise", "picture"]:
        """What :meth:`sample` is given: a number of samples (``noise``) or pictures (``picture``)."""
        return cast(_Paper, self.module).takes

    @property
    def input_channels(self) -> int | None:
        """Channels of the pictures that the model takes; None for a model that takes noise."""
        if self.takes == "noise":
            return None
        return int(self.module.hparams["in_channels"])

    @property
    def scale(self) -> int:
        """How many times larger than its input a picture comes out: 1 but for super-resolution."""
        return int(self.module.hparams.get("scale", 1))

    def sample(self, inputs: int | Tensor = 1, seed: int = 0) -> Tensor:
        """Draw samples, or translate pictures.

        Args:
            inputs: How many samples, for a model that takes noise; pictures (B, C, H, W) in [-1, 1] of any
                size, for one that takes pictures.
            seed: Of all that is random in the output.

        Returns:
            Pictures (N, C, H, W) in [-1, 1], of the input's size times ``scale``; points (N, 2) for a model
            of points.

        Raises:
            UserError: The input is not what this model takes, or only its discriminator is there.
        """
        if "generator" not in self.config["players"]:
            raise UserError(
                f"{self.origin} holds the discriminator alone and cannot make samples; load the generator."
            )
        if self.takes == "noise":
            if not isinstance(inputs, int) or inputs < 1:
                raise UserError(
                    f"{self.origin} makes samples from noise: give how many, 1 or more, not {inputs!r:.40}."
                )
        elif not isinstance(inputs, Tensor) or inputs.dim() != 4:
            raise UserError(
                f"{self.origin} translates pictures: give a tensor (B, C, H, W) with values in [-1, 1]."
            )
        elif inputs.shape[1] != self.input_channels:
            raise UserError(
                f"{self.origin} expects pictures of {self.input_channels} channels, got {inputs.shape[1]}."
            )
        return cast(_Paper, self.module).sample(inputs, seed=seed)

    def golden(self) -> Config:
        """A summary of a fixed sample: what this model makes of seed 0 (and of a fixed pattern)."""
        inputs = 4 if self.takes == "noise" else _pattern(self.input_channels or 1)
        output = self.sample(inputs, seed=0).float().cpu()
        flat = output.flatten()
        picked = flat[torch.linspace(0, len(flat) - 1, min(len(flat), 256), dtype=torch.float64).long()]
        return {
            "shape": list(output.shape),
            "mean": round(float(flat.mean()), 6),
            "std": round(float(flat.std()), 6),
            "values": [round(value, 6) for value in picked.tolist()],
        }

    def check_golden(self) -> None:
        """Make the fixed sample again and compare it with the one made at export.

        Values may differ by half a step of an 8-bit picture, which covers other processors; a model that
        keeps its dropout at use also depends on torch's random stream, which Intel and ARM need not share.

        Raises:
            UserError: The outputs differ, or nothing was kept to compare with.
        """
        kept = self.config.get("golden")
        if not kept:
            raise UserError(f"{self.origin} keeps no golden output to compare with; export it again.")
        now = self.golden()
        if now["shape"] != kept["shape"]:
            raise UserError(
                f"{self.origin} now makes {now['shape']} where it made {kept['shape']} at export."
            )
        pairs = zip(_numbers(now), _numbers(kept), strict=True)
        worst = max(math.inf if math.isnan(a - b) else abs(a - b) for a, b in pairs)
        if worst > TOLERANCE:
            raise UserError(
                f"{self.origin} no longer makes what it made at export (off by {worst:.3g}, allowed is "
                f"{TOLERANCE:.3g}): weights or code have changed since."
            )


# ------------------------------------------------------------------------------------------------------- find


def index() -> list[Config]:
    """Entries of ``checkpoints/index.json``: name, folder, sha256, title, recipe, licence, research_only."""
    path = bundled("checkpoints") / "index.json"
    if not path.is_file():
        return []
    content = _read_json(path)
    _refuse_newer(path, content["format"], FORMAT)
    return cast(list[Config], content["entries"])


def load(name: str | Path) -> Pretrained:
    """Load weights by a name of the index, from an exported folder, or from a training checkpoint.

    Raises:
        UserError: Nothing of that name is found, or what is found is damaged, foreign or of a newer format.
    """
    path = Path(name).expanduser()
    if path.name in (WEIGHTS, CONFIG) and path.is_file():
        path = path.parent
    if (path / CONFIG).is_file():
        return read_folder(path)
    if path.is_file():
        return read_training_checkpoint(path)
    entries = {entry["name"]: entry for entry in index()}
    if entry := entries.get(str(name)):
        return read_folder(bundled("checkpoints") / entry["folder"], entry["sha256"])
    if path.is_dir():
        raise UserError(
            f"The folder {path} holds no {CONFIG}; give a folder that `zoo export` wrote, or a .ckpt file."
        )
    near = difflib.get_close_matches(str(name), list(entries), 1, 0.4)
    raise UserError(
        f"There are no weights {name}"
        + (f"; did you mean {near[0]}?" if near else "; `zoo list checkpoints` names all, or give a path.")
    )


def papers() -> list[str]:
    """The papers that have a module in :mod:`zoo.models`."""
    return sorted(module.name for module in pkgutil.iter_modules(zoo.models.__path__))


def paper_module(paper: str) -> ModuleType:
    """The module of a paper (``pix2pix``).

    Raises:
        UserError: There is no such paper; names those that there are.
    """
    if paper not in papers():
        raise UserError(f"There is no paper {paper}; there are {', '.join(papers())}.")
    return import_module(f"zoo.models.{paper}")


# ------------------------------------------------------------------------------------------------------- read


def read_folder(folder: Path, expected: str | None = None) -> Pretrained:
    """Load an exported folder.

    Args:
        folder: With ``model.safetensors`` and ``model.json``.
        expected: The weights' sha256 by the index, where one has it.

    Raises:
        UserError: A file is missing, truncated, changed, or of a newer format.
    """
    path, weights = folder / CONFIG, folder / WEIGHTS
    config = _read_json(path)
    if not isinstance(config, dict) or not isinstance(config.get("format"), int):
        raise UserError(f"{path} says no format: it was not written by `zoo export`.")
    _refuse_newer(path, config["format"], FORMAT)
    missing = {"class", "hyper_parameters", "players", "weights"} - config.keys()
    if missing:
        raise UserError(f"{path} lacks {', '.join(sorted(missing))}: export it again.")
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
    try:
        tensors = safetensors.torch.load_file(weights)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{weights} is no safetensors file ({error}); export it again.") from error
    module = build(
        config["class"], config["hyper_parameters"], _by_player(tensors, config["players"]), str(folder)
    )
    return Pretrained(module, config, str(folder))


def read_training_checkpoint(path: Path) -> Pretrained:
    """Load both players from a checkpoint that a training wrote.

    Raises:
        UserError: It is damaged, unsafe, of a newer format, or not of this zoo.
    """
    checkpoint = read_checkpoint(path)
    record = checkpoint.get("zoo")
    if not isinstance(record, dict) or not {"format", "class"} <= record.keys():
        raise UserError(
            f"{path} does not say which model of the zoo it holds; was it written by another program?"
        )
    _refuse_newer(path, record["format"], CHECKPOINT_FORMAT)
    hparams = {key: value for key, value in checkpoint.get("hyper_parameters", {}).items() if key[0] != "_"}
    module = build(record["class"], hparams, _by_player(checkpoint["state_dict"], PLAYERS), str(path))
    machine = record.get("environment") or {}
    config = describe(module, hparams, record.get("data") or {}) | {
        "step": checkpoint.get("global_step"),
        "recipe": record.get("recipe"),
        "command": record.get("command"),
        "commit": machine.get("commit"),
        "seed": record.get("seed"),
        "environment": machine,
    }
    return Pretrained(module, config, str(path))


def build(class_path: str, hparams: Config, states: Mapping[Player, State], origin: str) -> AdversarialModule:
    """Make the module of a class of the zoo and load the players' weights, strictly.

    Args:
        class_path: Import path; anything outside :mod:`zoo.models` is refused, not imported.
        hparams: The constructor's keywords; unknown ones are refused.
        states: State dict by player; a player without one is taken out of the module.
        origin: The file or folder, for messages.

    Raises:
        UserError: Class, hyper-parameters or weights do not fit this version of the zoo.
    """
    cls = _class(class_path, origin)
    with torch.random.fork_rng(devices=[]):  # initial weights must not eat the caller's random stream
        try:
            module = cls(**hparams)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"{origin}: {cls.__name__} cannot be built from its hyper-parameters: {error}."
            ) from error
    for player in PLAYERS:
        if player not in states:
            delattr(module, player)
            continue
        own, given = module.get_submodule(player).state_dict(), states[player]
        wrong = [
            key
            for key in (*own, *given)
            if key not in own or key not in given or own[key].shape != given[key].shape
        ]
        if wrong:
            raise UserError(
                f"{origin}: weights of the {player} do not fit {cls.__name__} ({len(wrong)} missing, unknown "
                f"or of another shape, first {wrong[0]}); they belong to another model or version."
            )
        module.get_submodule(player).load_state_dict(given)
    return module.eval()


# ------------------------------------------------------------------------------------------------------ write


def export(
    checkpoint: Path,
    out: Path,
    *,
    dtype: Literal["float32", "float16"] = "float32",
    players: Sequence[Player] = ("generator",),
    name: str | None = None,
    licence: str | None = None,
    results: Path | None = None,
    force: bool = False,
) -> Pretrained:
    """Export a training checkpoint to a folder, and load it back to see that it makes the same.

    Args:
        checkpoint: A ``.ckpt`` file.
        out: The folder to write.
        dtype: How weights are stored; they are computed with in float32.
        players: Whose weights to keep.
        name: What to call the weights; the folder's name when not given.
        licence: Of the weights; drawn from the data's when not given.
        results: An ``eval.json`` whose rows to keep; when not given, the run's rows of this step.
        force: Replace weights that lie at ``out``.

    Raises:
        UserError: The checkpoint cannot be read, ``out`` is taken, or a weight does not fit ``dtype``.
    """
    trained = read_training_checkpoint(checkpoint)
    return write(
        trained.module,
        portable(trained.config)
        | {
            "hyper_parameters": trained.config["hyper_parameters"],
            "results": _results(checkpoint, results, trained),
        },
        out,
        dtype=dtype,
        players=players,
        name=name,
        licence=licence,
        force=force,
    )


def write(
    module: AdversarialModule,
    config: Config,
    out: Path,
    *,
    dtype: Literal["float32", "float16"] = "float32",
    players: Sequence[Player] = ("generator",),
    name: str | None = None,
    licence: str | None = None,
    force: bool = False,
) -> Pretrained:
    """Write a folder of weights and load it back; arguments as for :func:`export`."""
    if not force and any((out / file).exists() for file in (WEIGHTS, CONFIG)):
        raise UserError(f"There are weights in {out} already; choose another folder or add --force.")
    tensors = {}
    for player in players:
        for key, value in module.get_submodule(player).state_dict().items():
            kept = value.to(DTYPES[dtype]) if value.is_floating_point() else value
            if value.is_floating_point() and not bool(kept.isfinite().all()):
                raise UserError(
                    f"Weight {player}.{key} is not finite in {dtype}; export with --dtype float32."
                )
            tensors[f"{player}.{key}"] = kept.detach().cpu().clone(memory_format=torch.contiguous_format)
    data = config["data"]
    # what is not known to be free is not called free
    research_only = bool(data.get("research_only", licence is None))
    config = {
        "format": FORMAT,
        "name": name or out.resolve().name,
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
    # the config goes last: a folder without one is not taken for weights
    (out / CONFIG).unlink(missing_ok=True)
    content = safetensors.torch.save(tensors, {"format": "pt"})
    write_bytes(out / WEIGHTS, content)
    config["weights"] = {"file": WEIGHTS, "sha256": sha256(out / WEIGHTS), "bytes": len(content)}
    if "generator" in players:
        states = _by_player(tensors, players)
        again = build(config["class"], config["hyper_parameters"], states, str(out))
        config["golden"] = Pretrained(again, config, str(out)).golden()
    write_text(out / CONFIG, json.dumps(config, indent=2) + "\n")
    return read_folder(out)


# ---------------------------------------------------------------------------------------------------- details


def describe(module: AdversarialModule, hparams: Config, data: Config) -> Config:
    """What ``model.json`` says of a module in any case; ``data`` is what the data module says of itself."""
    return {
        "class": f"{type(module).__module__}.{type(module).__name__}",
        "hyper_parameters": hparams,
        "takes": cast(_Paper, module).takes,
        "players": [player for player in PLAYERS if player in dict(module.named_children())],
        "data": data,
    }


def _class(path: str, origin: str) -> type[AdversarialModule]:
    name, _, class_name = path.rpartition(".")
    package, _, paper = name.rpartition(".")
    if package == "zoo.models" and paper in papers():
        cls = vars(import_module(name)).get(class_name)
        if is_paper_class(cls, name):
            return cast(type[AdversarialModule], cls)
    raise UserError(
        f"{origin} names the class {path}, which is no model of this zoo; it is of another version."
    )


def is_paper_class(value: object, module: str) -> bool:
    """Whether ``value`` is a class of a game that the module of this name defines (and not only imports)."""
    return isinstance(value, type) and issubclass(value, AdversarialModule) and value.__module__ == module


def _by_player(tensors: Mapping[str, Tensor], players: Sequence[Player]) -> dict[Player, State]:
    return {
        player: {
            key.removeprefix(f"{player}."): t for key, t in tensors.items() if key.startswith(f"{player}.")
        }
        for player in players
    }


def _refuse_newer(path: Path, found: int, known: int) -> None:
    if found > known:
        raise UserError(
            f"{path} has format {found}, newer than this zoo reads ({known}); upgrade gan-application-zoo."
        )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged or unreadable ({type(error).__name__}); get it again.") from error


def _results(checkpoint: Path, given: Path | None, trained: Pretrained) -> list[Config]:
    if given is not None:
        return cast(list[Config], _read_json(given))
    for folder in (checkpoint.parent, checkpoint.parent.parent):
        if (folder / "eval.json").is_file():
            rows: list[Config] = _read_json(folder / "eval.json")
            return [
                row for row in rows if row["step"] == trained.config["step"]
            ]  # others are of other weights
    return []


def _pattern(channels: int) -> Tensor:
    """Waves of a fixed form (1, C, 64, 64) in [-1, 1]: an input that needs no random stream."""
    rows, columns = torch.arange(64.0)[:, None], torch.arange(64.0)[None, :]
    return torch.stack([torch.sin(0.11 * (c + 1) * rows + 0.17 * columns + c) for c in range(channels)])[None]


def _numbers(golden: Config) -> list[float]:
    return [golden["mean"], golden["std"], *golden["values"]]


def portable(value: Any) -> Any:
    """The same value with absolute paths cut to their last part: the rest means nothing elsewhere."""
    if isinstance(value, str):
        return re.sub(r"(?<![\w:/.])/(?:[^\s/'\",]+/)+(?=[^\s/'\",])", "", value)
    if isinstance(value, Mapping):
        return {key: portable(item) for key, item in value.items()}
    return [portable(item) for item in value] if isinstance(value, list | tuple) else value
