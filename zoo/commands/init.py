"""Write a recipe for your own folder, like one of the zoo's.

The folder is checked as by `zoo data check` and is not changed. Networks, losses and budget are those of the
other recipe; channels, classes and sizes are the folder's, and metrics that it cannot serve are left out. The
recipe trains as it is; a file that exists is not overwritten.
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import catalogue, recipes
from zoo.commands._proposals import UNKNOWN, data_arguments
from zoo.data.contracts import CONTRACTS
from zoo.data.sources import SOURCES
from zoo.errors import UsageError, UserError, printable
from zoo.files.writing import require_writable, write_text

if TYPE_CHECKING:
    from zoo.adversarial import AdversarialModule
    from zoo.data.base import Batch, DataModule
    from zoo.data.checks import Findings

FEW = 200  # training samples; fewer are learnt by heart soon
UNSIZED = 32  # pixels, where the other recipe's pictures have a fixed size
KEPT = ("batch_size", "num_workers", "mirror", "turn", "random_crop")  # of the other recipe's data
AUGMENT = '--model.diff_augment "[color, translation, cutout]"'


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("folder", metavar="DIR", help="your folder, in a layout that docs/data shows")
    parser.add_argument("--like", required=True, metavar="RECIPE", help="the recipe that it shall be like")
    parser.add_argument("-o", "--out", metavar="FILE", help="the recipe to write (default: DIR's name.yaml)")
    parser.add_argument("--name", help="name of the data (default: DIR's name)")
    parser.add_argument("--licence", help="licence of the data (asked for on a terminal; default: unknown)")
    parser.add_argument(
        "--commercial", action="store_true", help="the licence allows commercial use (default: research only)"
    )


def run(args: argparse.Namespace) -> int:
    """Check the folder, fit the other recipe to it, write, and say how to train."""
    root = Path(args.folder)
    if not root.is_dir():
        raise UsageError(f"There is no folder {root}; give the folder of your data.")
    like = recipes.find(args.like)
    content = recipes.read(like)
    out = Path(args.out or f"{root.resolve().name}.yaml")
    if out.suffix not in (".yaml", ".yml"):
        raise UsageError(f"{out} must end with .yaml; choose another name with -o.")
    from zoo.training import keys

    keys.check(["--config", str(like)])
    if others := keys.foreign(content):
        print(printable(f"This recipe runs code from outside the zoo: {', '.join(others)}."), file=sys.stderr)
    require_new(out)
    require_writable(out)
    readers = _readers(args.like, content)
    licence, free = args.licence, args.commercial
    if licence is None and sys.stdin.isatty():
        licence, free = _asked()

    found = _found(root, args.like, readers)
    counts = found.samples
    data, given = _data(root, found, content["data"], args.name, licence, free)
    batch = _batch(data)
    model, arguments, notes = _model(content["model"], batch)
    trainer = dict(content["trainer"])
    model.plan_batches(data)
    steps = _steps(trainer, data, max(1, counts["train"] // data.batch_size))
    callbacks, left_out = _callbacks(trainer.get("callbacks") or [], data, batch, counts, steps)
    recipe = {
        "seed_everything": content.get("seed_everything", 0),
        "model": {"class_path": content["model"]["class_path"], "init_args": arguments},
        "data": {"class_path": found.class_path, "init_args": given},
        "trainer": trainer | {"callbacks": callbacks},
    }
    if left_out:
        notes.append(f"Left out, as this data or installation lacks what they need: {', '.join(left_out)}.")
    if not counts.get("test"):
        notes.append("There is no test split, so nothing is scored: hold some samples out.")
    if counts["train"] < FEW:
        wanted = getattr(model, "adversarial", True) and not arguments.get("diff_augment")
        augment = f"add {AUGMENT}, " if wanted else ""
        notes.append(
            f"{counts['train']} training samples are few: they are soon learnt by heart, and the outputs may "
            f"be copies. Begin with trained weights if there are some, {augment}and compare with held-out "
            "samples (docs/guides/finetune.md)."
        )
    described, config = data.describe(), shlex.quote(str(out))
    said = "research" in str(described["licence"])
    limit = "; for research only" if described["research_only"] and not said else ""
    of_size = "" if data.phases else f" of batches of {data.batch_size}"
    size = getattr(data, "size", None)
    shown = " x ".join(map(str, size)) if isinstance(size, list | tuple) else str(size)
    facts = [
        f"Data: {found.layout}; {', '.join(f'{n} {split}' for split, n in counts.items())}.",
        *[f"Size: {shown} pixels, no more than the folder's and {args.like}'s (data.size)."] * bool(size),
        f"Licence: {described['licence']}{limit}.",
        f"Budget: {steps:,} steps{of_size}; `zoo bench {config}` measures their time.",
        f"Differs from {args.like}: {_changes(content, recipe)}.",
        *notes,
    ]
    fit = f"zoo fit --config {config}"
    lines = [f"{type(model).__name__} on {described['name']}, like {args.like}; written by `zoo init`.", ""]
    lines += [f"  {fit}", *[f"  zoo test --config {config} --ckpt_path last"] * bool(counts.get("test")), ""]
    lines += [part for fact in facts for part in textwrap.wrap(fact, 108, subsequent_indent="  ")]
    require_new(out)
    write_text(out, "".join(f"# {printable(line)}".rstrip() + "\n" for line in lines) + _yaml(recipe))
    print("\n".join([f"Wrote {out}.", *map(printable, facts), "", "Train with", "", f"  {fit}"]))
    for name in _weights(model, data):
        if name != arguments.get("init_from"):
            print(f"  {fit} --model.init_from {name}    # from trained weights")
    return 0


def require_new(path: Path) -> None:
    """Refuse a file that exists."""
    if path.exists():
        raise UserError(f"{path} exists and is not overwritten; choose another name with -o.")


def _readers(like: str, content: Any) -> list[str]:
    """The data classes that read folders for a recipe's model, its own first.

    Raises:
        UsageError: It is no whole recipe, or no folder holds such data.
    """
    try:
        own, _ = content["data"]["class_path"], (content["model"]["class_path"], content["trainer"])
        definition = catalogue.find_class(own)
        contract = catalogue.contract(definition) if definition else ""
    except (TypeError, KeyError) as error:
        raise UsageError(f"{like} is no whole recipe: it must state model, data and trainer.") from error
    paths = [path for each in CONTRACTS.values() for path in each.readers]
    fit = [path for path in paths if (d := catalogue.find_class(path)) and catalogue.contract(d) == contract]
    if not fit:
        raise UsageError(
            f"{like} learns from {contract or own}, which no folder holds; choose another recipe."
        )
    return sorted(fit, key=lambda path: path != own)


def _asked() -> tuple[str | None, bool]:
    """Ask for the licence on the terminal."""
    try:
        licence = input("Licence of this data (Enter if unknown): ").strip() or None
        free = bool(licence) and input("Does it allow commercial use? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return None, False
    return licence, free


def _found(root: Path, like: str, readers: list[str]) -> Findings:
    """What the first reader finds that recognises the folder.

    Raises:
        UserError: None does, or a file is faulty.
    """
    from zoo.data.checks import compare

    classes: list[Any] = [catalogue.import_class(path) for path in readers]
    cls = next((cls for cls in classes if len(classes) == 1 or cls.recognises(root)), None)
    if cls is None:
        page = f"docs/data/{classes[0].contract.replace(' ', '-')}.md"
        raise UserError(f"{root} is not laid out as {like} needs it; {page} shows the layouts.")
    found: Findings = cls.check(root)
    compare(found)
    if found.errors:
        more = f" `zoo data check {root}` names all {len(found.errors)} faults."
        raise UserError(found.errors[0].text + more * (len(found.errors) > 1))
    if not found.samples.get("train"):
        raise UserError(f"{root} holds nothing to train on; put samples into its folder train.")
    return found


def _data(
    root: Path, found: Findings, block: dict[str, Any], name: str | None, licence: str | None, free: bool
) -> tuple[DataModule, dict[str, Any]]:
    """The data module of the folder, and its arguments; ``block`` is the other recipe's."""
    import inspect

    cls: Any = catalogue.import_class(found.class_path)
    other = inspect.signature(catalogue.import_class(block["class_path"])).parameters
    like = {key: other[key].default for key in ("size", "crop") if key in other}
    like |= block.get("init_args") or {}
    known = catalogue.parameters(found.class_path) or {}
    given = data_arguments(root, found) | {key: like[key] for key in KEPT if key in like and key in known}
    given = {key: value for key, value in given.items() if value is not None}
    stated = {"name": name, "licence": licence, "research_only": False if free else None}
    given |= {key: value for key, value in stated.items() if value is not None and key in known}
    if licence is None and given.get("name") in SOURCES:
        given.pop("licence", None)  # the class knows it
    elif "licence" in known:
        given.setdefault("licence", UNKNOWN)
    if "research_only" in known and inspect.signature(cls).parameters["research_only"].default is False:
        given["research_only"] = not free
    given["batch_size"] = min(cls(**given).batch_size, found.samples["train"])
    asked = like.get("size") or like.get("crop")
    if "crop" in given:
        given["crop"] = min(given["crop"], asked or given["crop"]) // given["scale"] * given["scale"]
    elif "size" in given:
        given["size"] = _size(given["size"], asked or UNSIZED)
    if palette := like.get("palette"):
        for direction in ("AtoB", "BtoA") if "palette" in known else ():
            shown = given | {"palette": palette, "direction": direction}
            try:
                _batch(cls(**shown))
            except UserError:  # this side shows no classes
                continue
            given = shown
            break
    return cls(**given), given


def _size(own: Any, asked: Any) -> Any:
    """The size of training pictures: no larger than the other recipe's, in the folder's proportions."""
    most = min(asked) if isinstance(asked, list | tuple) else asked
    if not isinstance(own, list | tuple):
        return min(own, most)
    scale = min(1.0, most / min(own))
    step = max(1, 2 ** int(math.log2(min(own) * scale)) // 8)  # so that networks can halve both sides
    return [max(step, int(side * scale) // step * step) for side in own]


def _batch(data: DataModule) -> Batch:
    from zoo.data.base import collate

    train = data.split("train")
    assert train is not None
    return collate([train[0, 0]])


def _model(like: dict[str, Any], batch: Batch) -> tuple[AdversarialModule, dict[str, Any], list[str]]:
    """The model for the data without its weights, its arguments, and notes.

    Raises:
        UserError: The data do not fit such networks.
    """
    import inspect

    import torch

    from zoo.adversarial import AdversarialModule, stored

    cls: Any = catalogue.import_class(like["class_path"])
    if not issubclass(cls, AdversarialModule):
        raise UserError(f"{like['class_path']} has no two players; choose the recipe of a GAN.")
    before, notes = like.get("init_args") or {}, []
    defaults = {key: p.default for key, p in inspect.signature(cls).parameters.items()}
    suited = cls.suited(dict(before), batch)
    arguments = {k: v for k, v in suited.items() if k in before or v != defaults.get(k)}
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        model: AdversarialModule = cls(**arguments)
    model.check(batch)
    if (origin := arguments.get("init_from")) and (why := model.misfit(stored(origin))):
        del arguments["init_from"]
        notes.append(f"Without model.init_from: {why.partition(';')[0]}.")
    if any(str(value).startswith("hed") for value in arguments.values()):
        from zoo.features.hed import HED

        try:
            HED()
        except UserError as error:
            notes.append(f"Before you train: {error}")
    return model, arguments, notes


def _steps(trainer: dict[str, Any], data: DataModule, batches: int) -> int:
    """Steps of a training with so many batches per epoch, unless the model plans them."""
    epochs = trainer.get("max_epochs") or -1
    planned = [data.phases(epoch)[2] for epoch in range(epochs)] if data.phases else []
    ends = [trainer.get("max_steps", -1), sum(planned) or batches * epochs]
    return min((end for end in ends if end > 0), default=batches)


def _callbacks(
    like: list[dict[str, Any]], data: DataModule, batch: Batch, counts: dict[str, int], steps: int
) -> tuple[list[dict[str, Any]], list[str]]:
    """The callbacks that the data can serve, at times within the training, and the names of the others."""
    from zoo.metrics.evaluator import Evaluator

    kept, left_out = [], []
    for block in like:
        cls, arguments = catalogue.import_class(block["class_path"]), dict(block.get("init_args") or {})
        if issubclass(cls, Evaluator):
            suited = cls.suited(arguments, data, batch, counts)
            if suited is None:
                left_out.append(cls.__name__)
                continue
            arguments = suited
        if arguments.get("every_n_steps"):
            arguments["every_n_steps"] = min(arguments["every_n_steps"], max(1, steps // 2))
        kept.append({"class_path": block["class_path"]} | ({"init_args": arguments} if arguments else {}))
    return kept, left_out


def _weights(model: AdversarialModule, data: DataModule) -> list[str]:
    """The names of weights here, of the same paper and the same classes, that the model can begin with."""
    from zoo.adversarial import stored

    paper, classes = type(model).__module__.rpartition(".")[2], data.preprocessing().get("classes")
    found = []
    for name in (entry["name"] for entry in catalogue.checkpoints() if catalogue.is_about(entry, paper)):
        if (catalogue.folder_of(name) / "model.safetensors").is_file():  # nothing is downloaded for a hint
            weights = stored(name)
            theirs = weights.config["data"].get("preprocessing", {}).get("classes")
            if theirs == classes and model.misfit(weights) is None:
                found.append(name)
    return found


def _changes(like: dict[str, Any], recipe: dict[str, Any]) -> str:
    """The arguments of the model that differ, in words."""
    before, now = (each["model"].get("init_args") or {} for each in (like, recipe))
    changed = [
        f"model.{key} {value}" + (f" (there {before[key]})" if key in before else "")
        for key, value in now.items()
        if value != before.get(key)
    ]
    return ", ".join(["the data", *changed])


def _yaml(recipe: dict[str, Any]) -> str:
    """A recipe as the zoo's are written: lists of values in one line."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)

    def flat(dumper: yaml.SafeDumper, values: Any) -> yaml.Node:
        return dumper.represent_sequence(
            "tag:yaml.org,2002:seq", values, flow_style=not any(isinstance(v, dict) for v in values)
        )

    Dumper.add_representer(list, flat)
    Dumper.add_representer(tuple, flat)
    text: str = yaml.dump(recipe, Dumper=Dumper, sort_keys=False, width=110, allow_unicode=True)
    return text
