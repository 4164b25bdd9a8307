"""Record what the zoo learns, draws, measures and prints, so that a move of code can be proved harmless.

    OMP_NUM_THREADS=1 python scripts/record.py NEW.json [--only PART ...] [--against OLD.json]
    python scripts/record.py tests/unchanged.json --portable

The file holds by name: every recipe's weights after three tiny steps and its resolved YAML; each data set's
description, batches and pack keys; the worlds' drawings; golden samples; evaluators' rows with their
protocols; seeds. Hashes of floats hold for one machine and one thread; ``--portable`` records what holds on
every machine and needs no files. With ``--against`` every difference is printed and the exit status is 1. A
reading that fails is recorded as its error. Real data sets are looked for below ``$ZOO_DATA``.

Only public names are used, so that it runs on older versions too (``PYTHONPATH=OLD``): what has moved is
looked for in the places of ``MOVED``, in order. ``record.yaml`` beside this file lists what is read.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

Reading = tuple[str, Callable[[], Any]]
PLAN: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
SMALL = {"train_length": 12, "eval_length": 3}
MOVED = {
    "mix": ("zoo.seeds.mix", "zoo.guards.mix"),
    "protocols": ("zoo.metrics.scoring.protocols", "zoo.metrics.protocols"),
    "reader": ("zoo.commands._names.reader", "zoo.commands.data.check.reader"),
    "packs": ("zoo.data.packs",),
    "index": ("zoo.catalogue.checkpoints", "zoo.checkpoints.index"),
}


def find(path: str) -> Any:
    """The object of an import path, or of a name of ``MOVED``."""
    error: Exception = ImportError(path)
    for place in MOVED.get(path, (path,)):
        module, _, attribute = place.rpartition(".")
        try:
            return getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as found:
            try:
                return import_module(place)
            except ImportError:
                error = found
    raise error


def attempt(reading: Callable[[], Any]) -> Any:
    """What a reading gives, or its error in words."""
    try:
        return reading()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def digest(*values: Any) -> str:
    """A hash over tensors, arrays and plain values, nested in any way; class names have no part in it."""
    found = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, Tensor):
            value = value.detach().contiguous()
            found.update(f"{value.dtype}{tuple(value.shape)}".encode())
            found.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(value, np.ndarray | np.generic):
            found.update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
        elif dataclasses.is_dataclass(value):
            add([(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)])
        elif isinstance(value, dict):
            add(sorted(value.items(), key=lambda item: repr(item[0])))
        elif isinstance(value, list | tuple):
            found.update(f"[{len(value)}".encode())
            for part in value:
                add(part)
        else:
            found.update(repr(value).encode() + b";")

    add(values)
    return found.hexdigest()[:20]


# ---------------------------------------------------------------------------------------------------- recipes


def recipes() -> dict[str, dict[str, Any]]:
    """Content of every recipe by name."""
    root = Path(import_module("zoo").__file__ or "").parents[1] / "recipes"
    paths = [path for path in sorted(root.glob("*/*.yaml")) if path.parent.name != "overlays"]
    return {p.relative_to(root).with_suffix("").as_posix(): yaml.safe_load(p.read_text()) for p in paths}


def tiny(name: str, verb: str = "fit", **trainer: Any) -> Any:
    """A recipe at tiny widths on the world of its contract."""
    content = recipes()[name]
    model = content["model"]["class_path"].rpartition(".")[2]
    contract = find(content["data"]["class_path"]).contract
    world = dict(PLAN["worlds"].get(contract, {}))
    if model in PLAN["labels"]:
        world["source"] = "labels"
    options = dict(PLAN["models"][model])
    if model == "GAN" and contract == "images":
        options["shape"] = PLAN["pictures_of_gan"]
    overlay = Path("overlay.yaml")
    overlay.write_text(yaml.safe_dump(PLAN["overlay"] | {"trainer": PLAN["overlay"]["trainer"] | trainer}))
    arguments = ["--config", name, "--config", str(overlay)]
    arguments += ["--data", world.pop("class")] if world else []
    for group, given in (("data", world), ("model", options)):
        arguments += [part for key, value in given.items() for part in (f"--{group}.{key}", str(value))]
    return find("zoo.training.build")(arguments, verb)


def trained(name: str) -> dict[str, Any]:
    """A tiny recipe's weights after its steps, what it logs, and what its checkpoint holds."""
    built = tiny(name)
    built.trainer.fit(built.model, built.datamodule)
    built.trainer.save_checkpoint("saved.ckpt")
    saved = torch.load("saved.ckpt", weights_only=True)
    model, record = built.model.eval(), saved["zoo"]
    picture = torch.rand(1, 16, 32, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1
    inputs = 4 if model.takes == "noise" else picture[:, : model.hparams["in_channels"]]
    return {
        "steps": built.trainer.global_step,
        "weights": digest(saved["state_dict"]),
        "optimizers": digest(saved["optimizer_states"], saved["lr_schedulers"]),
        "sample": attempt(lambda: digest(model.sample(inputs, seed=1))),
        "logged": sorted(built.trainer.logged_metrics),
        "checkpoint": sorted(saved),
        "states": sorted(saved["callbacks"]) + sorted(key for key in saved if "Data" in key or "data" in key),
        "hyper-parameters": saved["hyper_parameters"],
        "record": {key: record[key] for key in ("format", "class", "seed", "data")}
        | {"keys": sorted(record)},
        "loads": type(find("zoo.load")("saved.ckpt").module).__name__,
    }


def printed(name: str) -> dict[str, Any]:
    """A recipe at full width: the YAML that a run writes, and names and shapes of its weights."""
    with torch.device("meta"):
        built = find("zoo.training.build")(["--config", name])
    state = [(key, tuple(value.shape), str(value.dtype)) for key, value in built.model.state_dict().items()]
    return {
        "config": yaml.safe_load(built.config_text()),
        "weights": len(state),
        "shapes": digest(sorted(state)),
    }


def evaluated(name: str, callbacks: list[Any]) -> Any:
    """What a recipe's evaluators record of its tiny, untrained model."""
    built = tiny(name, "test", callbacks=callbacks)
    built.trainer.test(built.model, built.datamodule, verbose=False)
    return json.loads((built.folder / "eval.json").read_text())


# ------------------------------------------------------------------------------------------------------- data


def make(given: dict[str, Any]) -> Any:
    """The data module of an entry of ``record.yaml``."""
    options = {"batch_size": 3, "eval_batch_size": 2, "seed": 5} | given
    if recipe := options.pop("recipe", None):
        block = recipes()[recipe]["data"]
        options = {"class": block["class_path"]} | block["init_args"] | options
    return find(options.pop("class"))(**options)


def drawn(given: dict[str, Any]) -> Any:
    """A data module of the drawn ones, of a few samples."""
    return make(given if held(given) else SMALL | given)


def held(given: dict[str, Any]) -> bool:
    """Whether a drawn set lies in memory: it has lengths of its own and needs no pack."""
    return given["class"].endswith((".Digits", ".Points"))


def read(data: Any, of: Callable[[Any], Any] = digest, count: int = 2) -> dict[str, Any]:
    """Description, batches of two epochs in the order of their draws, held-out batches, and keys of packs.

    Args:
        data: A data module.
        of: Makes a plain value of a tensor or a list of strings.
        count: Training batches per epoch.
    """

    def batches(loader: Any, count: int) -> Any:
        return [{key: of(batch[key]) for key in sorted(batch)} for batch in islice(loader, count)]

    def epoch(number: int) -> Any:
        loader = data.train_dataloader()
        loader.sampler.set_epoch(number)
        return {"order": list(islice(loader.sampler, 6)), "batches": batches(loader, count)}

    splits = [name for name in ("train", "val", "test") if data.split(name) is not None]
    return {
        "contract": data.contract,
        "description": attempt(data.describe),
        "lengths": {name: len(data.split(name)) for name in splits},
        "train": [attempt(partial(epoch, number)) for number in range(2)],
        "val": attempt(lambda: batches(data.val_dataloader(), 1)),
        "test": attempt(lambda: batches(data.test_dataloader(), 1)),
        "packs": {name: attempt(partial(pack_key, data, name)) for name in splits},
    }


def real(given: dict[str, Any]) -> dict[str, Any]:
    """A data set of files."""
    data = make(given)
    return read(data) | {"pictures": attempt(lambda: pictured(data))}


def pack_key(data: Any, split: str) -> str:
    """The name of a split's pack."""
    key = data.pack_key(split)
    return f"{key.stem} {key.digest} {key.count}"


def pictured(data: Any) -> dict[str, Any]:
    """The contact sheet, and the film where something moves."""
    samples = [data.split("train")[0, index] for index in range(3)]
    film = attempt(lambda: digest(data.film(samples[:1])))
    return {"sheet": digest(data.sheet(samples)), "film": None if film.startswith("UserError") else film}


def packed(data: Any) -> dict[str, str]:
    """Every file of a pack."""
    folder = find("packs").write(data.split("train"), data.pack_key("train"))
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:20] for path in sorted(folder.iterdir())
    }


def worlds() -> Iterator[Reading]:
    """What the worlds draw for a few seeds and indices."""
    names = ("scenes", "clips", "faces", "people", "figures", "furniture", "toys")
    scenes, clips, faces, people, figures, furniture, toys = (find(f"zoo.data.worlds.{n}") for n in names)

    def person(seed: int, index: int) -> Any:
        parts = [getattr(people, f"{part}_of")(seed, index) for part in ("identity", "pose", "street")]
        return [parts, figures.draw(*parts[:2]), figures.draw(*parts[:2], 96, 48, parts[2])]

    def face(seed: int, index: int) -> Any:
        shown = faces.parameters(seed, index)
        return [shown, faces.emoji(shown, 48), *(faces.draw(shown, yaw, 48) for yaw in (-70.0, 0.0, 25.0))]

    draws: dict[str, Callable[[int, int], Any]] = {
        "scenes": lambda seed, index: [scenes.draw(seed, index, size) for size in (64, 37)],
        "digits": lambda seed, index: clips.draw("digits", seed, index, 6),
        "bouncing": lambda seed, index: clips.draw("scenes", seed, index, 6, 40),
        "walk": lambda seed, index: clips.draw("walk", seed, index, 6),
        "people": person,
        "faces": face,
        "furniture": lambda seed, index: [
            furniture.draw(seed, index, 32, turned) for turned in (False, True)
        ],
    }
    for name, draw in draws.items():
        for key in ((0, 0), (0, 1), (3, 7), (0, 1_000_002)):
            yield f"world/{name} {key}", partial(lambda draw, key: digest(draw(*key)), draw, key)
    keys = (np.zeros(8, np.int64), np.arange(8))
    for world in ("ring", "grid", "sine"):
        yield f"world/toys {world}", partial(lambda w: digest(toys.draw(w, 0.02, 3, "val", *keys)), world)
    yield "world/captions", partial(scenes.sentences, 12)


# --------------------------------------------------------------------------------------------------- the rest


def seeds() -> list[int]:
    """Seeds mixed of a few tuples."""
    mix = find("mix")
    return [
        mix(),
        mix("order", 0, 1),
        mix("sample", 3, 2, 10**6),
        mix("batch", None, 0, 1.5, ("a", 2)),
        mix("ü", True),
    ]


def protocols() -> dict[str, Any]:
    """Every preset, every metric with networks of ours, and what is stored of each."""
    module = find("protocols")
    names = [f"{metric}-{net}" for metric in ("fd", "kid", "is", "prdc") for net in ("mnist", "effnet-lite0")]
    found = {name: module.protocol(name) for name in [*module.PRESETS, *names]}
    networks = [type("Network", (), {"name": name}) for name in ("inception", "inception-1a2b3c4d")]
    titles = {name: [protocol.title(network) for network in networks] for name, protocol in found.items()}
    return {n: dataclasses.asdict(p) | p.settings() | {"titles": titles[n]} for n, p in found.items()}


def network(name: str) -> Any:
    """A feature network: how it is named in protocols, and its features of two fixed pictures."""
    built = find("zoo.features.choose.feature_network")(name)
    side = getattr(built, "size", 64)
    grey = (torch.arange(2 * side * side) % 251).byte().reshape(2, 1, side, side).expand(2, 3, side, side)
    with torch.no_grad():
        return built.identity() | {"features": digest(tuple(built(grey)))}


def checkpoint(entry: dict[str, Any]) -> dict[str, Any]:
    """A shipped model: its index entry, golden sample, configuration and results' protocols."""
    loaded = find("zoo.load")(entry["name"])
    loaded.check_golden()
    golden = loaded.golden()
    values = golden.pop("values")
    rows = [
        [row[key] for key in ("metric", "subject", "step", "protocol")] for row in loaded.config["results"]
    ]
    kept = {key: value for key, value in loaded.config.items() if key not in ("results", "golden", "recipe")}
    return {
        "entry": entry,
        "golden": golden | {"values": values[:6], "all": digest(values)},
        "config": kept,
        "recipe": yaml.safe_load(loaded.config.get("recipe") or "{}"),
        "results": rows,
        "weights": digest(loaded.module.state_dict()),
    }


def command(line: str) -> Any:
    """The JSON that a command prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        find("zoo.cli.main")(line.split())
    return json.loads(printed.getvalue())


def listed() -> dict[str, Any]:
    """Names that ``zoo list`` knows."""
    return {kind: sorted(entry["name"] for entry in found) for kind, found in command("list --json").items()}


def readings() -> Iterator[Reading]:
    """All of them by name; each is made when it is called."""
    for name in recipes():
        yield f"recipe/{name}", partial(trained, name)
        yield f"printed/{name}", partial(printed, name)
    for name, given in PLAN["drawn"].items():
        yield f"drawn/{name}", partial(lambda given: read(drawn(given)), given)
        yield f"sheet/{name}", partial(lambda given: pictured(drawn(given)), given)
        yield f"whole/{name}", partial(lambda given: pack_key(make(given), "train"), given)
        if not held(given):
            yield f"pack/{name}", partial(lambda given: packed(drawn(given)), given)
    for name, given in PLAN["real"].items():
        yield f"real/{name}", partial(real, given)
    yield from worlds()
    for entry in find("index")():
        yield f"checkpoint/{entry['name']}", partial(checkpoint, entry)
    for name, callbacks in PLAN["evaluations"].items():
        yield f"evaluation/{name}", partial(evaluated, name, callbacks)
    for line in PLAN["commands"]:
        yield f"command/{line}", partial(command, line)
    for name in ("digits", "mnist", "effnet-lite0"):
        yield f"network/{name}", partial(network, name)
    for folder in sorted(Path(os.environ.get("ZOO_DATA", "nowhere")).glob("*/")):
        yield f"recognised/{folder.name}", partial(lambda folder: find("reader")(folder).contract, folder)
    for name, source in sorted(find("zoo.data.sources.SOURCES").items()):
        yield f"source/{name}", partial(dataclasses.asdict, source)
    for path in PLAN["classes"]:
        yield f"class/{path}", partial(lambda path: find(path).__name__, path)
    yield "seeds", seeds
    yield "protocols", protocols
    yield "listed", listed


def rounded(value: Any) -> Any:
    """Shape, mean, deviation, first and last of floats, to compare with a tolerance; else a hash."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return digest(value)
    flat = value.double().flatten()
    return [*value.shape, *(round(float(v), 4) for v in (flat.mean(), flat.std(), flat[0], flat[-1]))]


def portable() -> dict[str, Any]:
    """What every machine must give, for ``tests/unchanged.json``."""
    sets = {f"drawn/{name}": read(drawn(given), rounded, 1) for name, given in PLAN["drawn"].items()}
    found = {
        "seeds": seeds(),
        "protocols": protocols(),
        "captions": find("zoo.data.worlds.scenes").sentences(12),
    }
    return json.loads(json.dumps(found | sets))


def differences(old: Any, new: Any, at: str = "") -> Iterator[str]:
    """Every difference of two records, a line each."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            yield from differences(
                old.get(key, "(nothing)"), new.get(key, "(nothing)"), f"{at}: {key}" if at else key
            )
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, pair in enumerate(zip(old, new, strict=True)):
            yield from differences(*pair, f"{at}[{index}]")
    elif old != new:
        yield f"{at}: {old!r:.300} -> {new!r:.300}"


def main() -> int:
    """Record, and compare where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("out", type=Path, help="the JSON file to write")
    parser.add_argument("--against", type=Path, help="an earlier one to compare with")
    parser.add_argument("--only", nargs="+", default=[""], help="beginnings of names; all when not given")
    parser.add_argument("--portable", action="store_true", help="record what holds on every machine")
    args = parser.parse_args()
    if args.portable:
        lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in portable().items()]
        args.out.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        return 0
    out, old = args.out.resolve(), json.loads(args.against.read_text()) if args.against else None
    torch.set_num_threads(1)
    print(f"Recording {Path(import_module('zoo').__file__ or '').parent}", file=sys.stderr)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        os.environ |= {"ZOO_CACHE": f"{scratch}/cache", "WANDB_MODE": "disabled", "HF_HUB_OFFLINE": "1"}
        os.chdir(scratch)
        for name, reading in readings():
            if name.startswith(tuple(args.only)):
                os.environ.pop("PL_GLOBAL_SEED", None)  # a recipe sets it
                torch.manual_seed(0)
                begin = time.process_time()
                with contextlib.redirect_stdout(sys.stderr):
                    found[name] = json.loads(json.dumps(attempt(reading)).replace(scratch, ""))
                failed = f"  {found[name]}" if "Error: " in str(found[name])[:60] else ""
                print(f"{time.process_time() - begin:6.1f} s  {name}{failed}", file=sys.stderr)
        os.chdir(out.parent)
    out.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    if old is None:
        return 0
    wanted = {name: value for name, value in old.items() if name.startswith(tuple(args.only))}
    lines = list(differences(wanted, found))
    print("\n".join(lines) or f"All {len(found)} readings are equal.")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
