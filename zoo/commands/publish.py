"""Publish weights to a folder, to Hugging Face or to Weights & Biases, with a card and an example.

What is sent: model.safetensors, model.json, a README.md (a model card with scores as model-index), the
example input if the weights have one, and a picture that the weights make. --dry-run prints it and sends
nothing. A run or a checkpoint is exported first. For hf:// log in with `hf auth login`, for wandb:// with
`wandb login`; with WANDB_MODE=offline the run is stored and `wandb sync` sends it later.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from zoo.catalogue import find_weights
from zoo.errors import UsageError, UserError, reason_of
from zoo.files.schemas import ADDRESSES, HUB, WANDB
from zoo.files.writing import require_writable
from zoo.use.paths import refuse_taken

if TYPE_CHECKING:
    from zoo.pretrained import Model

LOGGED_IN = {"hf": "`hf auth login`", "wandb": "`wandb login`"}
CARD, SAMPLE = "README.md", "sample.png"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "source", help="a run folder, an exported folder, a .ckpt file, or a name of the index"
    )
    parser.add_argument("--to", required=True, metavar="PLACE", help=f"a folder, {ADDRESSES}")
    parser.add_argument("--name", help="name of the weights (default: that of the export, or the recipe's)")
    parser.add_argument("--licence", help="licence of the weights (default: follows the data's)")
    parser.add_argument(
        "--dtype",
        choices=["float32", "float16"],
        default="float32",
        help="dtype of an export (default: %(default)s)",
    )
    parser.add_argument("--private", action="store_true", help="make the repository of hf:// private")
    parser.add_argument("--dry-run", action="store_true", help="print what would be sent")
    parser.add_argument("--force", action="store_true", help="replace files of a folder")


def run(args: argparse.Namespace) -> int:
    """Collect the files, show or send them, and say where they are."""
    find_weights(args.source)
    hub, wandb = HUB.fullmatch(args.to), WANDB.fullmatch(args.to)
    if "://" in args.to and not (hub or wandb):
        raise UsageError(f"{args.to} is no address to publish to; write a folder, {ADDRESSES}.")
    if args.private and not hub:
        raise UsageError("--private goes with hf:// addresses; leave it out.")
    if not (hub or wandb or args.dry_run):
        require_writable(Path(args.to) / CARD)
    with TemporaryDirectory() as folder:
        model = collect(args, Path(folder))
        files = sorted(Path(folder).iterdir())
        for path in files:
            print(f"  {path.stat().st_size:>12,} bytes  {path.name}")
        if args.dry_run:
            print(f"\n{(Path(folder) / CARD).read_text()}\nNothing was sent to {args.to}: --dry-run.")
            return 0
        if model.config.get("research_only", True):
            stated = f"; the licence {args.licence} is yours to answer for" if args.licence else ""
            print(f"These weights come from data for research only{stated}.", file=sys.stderr)
        if hub:
            where = to_hub(Path(folder), hub[1], hub[2], args.private, model.config["name"])
        elif wandb:
            where = to_wandb(Path(folder), wandb[1], wandb[2], model.config)
        else:
            refuse_taken([Path(args.to) / path.name for path in files], args.force)
            where = to_folder(files, Path(args.to))
    print(f"Published {model.config['name']} to {where}")
    return 0


def collect(args: argparse.Namespace, folder: Path) -> Model:
    """Put all that is sent into a folder; the model as it is loaded from there."""
    from zoo import checkpoints, pretrained
    from zoo.catalogue import stored
    from zoo.files.writing import write_text
    from zoo.training.resume import run_of

    weights, _ = stored(args.source)
    if weights.is_file():  # a training's checkpoint
        run = run_of(weights)
        named = args.name or (run.resolve().parent if (run / "config.yaml").is_file() else weights).stem
        checkpoints.export(weights, folder, dtype=args.dtype, name=named, licence=args.licence)
    else:
        for name in ("model.safetensors", "model.json"):
            shutil.copyfile(weights / name, folder / name)
        example = checkpoints.example_of(weights)  # nothing else of the folder is sent
        if example is not None:
            shutil.copyfile(example, folder / example.name)
        _restate(folder / "model.json", args.name, args.licence)
    model = pretrained.load(folder, "cpu")
    drawn = _sample(model)
    if drawn is not None:
        drawn.save(folder / SAMPLE)
    address = args.to if "://" in args.to else "FOLDER"
    write_text(folder / CARD, card(model, address, drawn is not None))
    return model


def _restate(path: Path, name: str | None, licence: str | None) -> None:
    """Give a copy of weights another name or licence."""
    import json

    from zoo.files.schemas import MODEL, MODEL_FORMAT, read_json
    from zoo.files.writing import write_text

    config = read_json(path, MODEL, MODEL_FORMAT)
    config["name"] = name or config.get("name") or path.parent.name
    config["licence"] = config.get("licence", {}) | ({"weights": licence} if licence else {})
    write_text(path, json.dumps(config, indent=2) + "\n")


def _sample(model: Model) -> Any:
    """What the weights make of seed 0, or of their example; None if they need an input and have none."""
    if model.takes == "noise":
        made: Any = model(n=16, seed=0)
        return made.sheet() if isinstance(made, list) else made  # type: ignore[attr-defined]
    return model(model.example[0]) if model.example else None


def card(model: Model, address: str, has_sample: bool) -> str:
    """The card of weights: YAML that Hugging Face reads, then how to use them, data, scores, and training."""
    from huggingface_hub import EvalResult, ModelCardData

    from zoo.catalogue import input_of
    from zoo.drawing.tables import markdown, number, protocol

    config, data = model.config, model.config["data"]
    licence = config["licence"].get("weights", "unknown")
    known = licence.lower() if licence.lower() in ("apache-2.0", "mit", "cc0-1.0", "cc-by-4.0") else None
    task, call = {
        "noise": ("unconditional-image-generation", "n=16, seed=0).sheet("),
        "sentence": ("text-to-image", '"A SENTENCE", n=8).sheet('),
    }.get(model.takes, ("image-to-image", '"input.png"'))
    made = [row for row in config.get("results", []) if row["subject"] == "generated"]
    results = []
    for row in made:
        metric, _, benchmark = row["metric"].partition(" ")
        tested = benchmark or data.get("name") or "unknown"
        if isinstance(row["value"], int | float):
            results.append(EvalResult(task, tested, tested, metric, float(f"{row['value']:.6g}")))
    head = ModelCardData(
        license=known or "other",
        license_name=None if known else re.sub(r"[^a-z0-9.]+", "-", licence.lower()).strip("-"),
        library_name="gan-application-zoo",
        pipeline_tag=task,
        tags=["gan", config["class"].split(".")[2]],
        model_name=config["name"] if results else None,
        eval_results=results or None,
    )
    beside = {
        row["metric"]: row for row in config.get("results", []) if row["subject"] in ("real", "bicubic")
    }
    rows = [
        (
            row["metric"],
            number(row),
            number(beside[row["metric"]]) if row["metric"] in beside else "",
            protocol(row),
        )
        for row in made
    ]
    parts = [
        f"---\n{head.to_yaml()}\n---",
        f"# {config['name']}\n\n{config.get('title', config['class'])}.",
        f"![What these weights make]({SAMPLE})" if has_sample else "",
        f"Takes: {input_of(config)}. Weights: {licence}. Data: {data.get('name')}, {data.get('licence')}.",
        f'## Use\n\n```python\nimport zoo\n\nzoo.load("{address}")({call}).save("out.png")\n```',
        "## Scores\n\n" + markdown(("metric", "value", "beside", "protocol"), rows) if rows else "",
        f"## Training\n\n`{config.get('command')}`, commit {config.get('commit')}, seed {config.get('seed')},"
        f" {config.get('step')} steps. `model.json` has the whole recipe, versions and machine.",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def to_folder(files: list[Path], folder: Path) -> str:
    """Write the files atomically, the description last."""
    from zoo.files.writing import write_bytes

    for path in sorted(files, key=lambda path: path.name == "model.json"):
        write_bytes(folder / path.name, path.read_bytes())
    return f"{folder}; zoo.load({str(folder)!r}) opens it."


def to_hub(folder: Path, repository: str, revision: str | None, private: bool, name: str) -> str:
    """Send a folder to a repository of Hugging Face, which is made if there is none."""
    from huggingface_hub import HfApi

    _require_online(repository)
    try:
        api = HfApi()
        api.create_repo(repository, private=private, exist_ok=True)
        if revision:
            api.create_branch(repository, branch=revision, exist_ok=True)
        api.upload_folder(
            repo_id=repository, folder_path=folder, revision=revision, commit_message=f"Weights {name}"
        )
    except Exception as error:
        raise _unsent("hf", repository, error) from error
    return f"hf://{repository}{f'@{revision}' if revision else ''}; zoo.load takes this address."


def to_wandb(folder: Path, path: str, alias: str | None, config: dict[str, Any]) -> str:
    """Send a folder as an artifact to Weights & Biases, or store it there to be sent later."""
    import os

    import wandb

    entity, project, artifact = path.split("/")
    offline = os.environ.get("WANDB_MODE") == "offline"
    if not offline:
        _require_online(path)
    os.environ.setdefault("WANDB_SILENT", "true")
    facts = {key: config.get(key) for key in ("class", "title", "licence", "seed", "step", "commit")}
    try:
        run = wandb.init(
            entity=entity,
            project=project,
            job_type="publish",
            dir=str(Path.cwd()),  # its service may live in another folder
            mode="offline" if offline else "online",
            settings=wandb.Settings(init_timeout=20),
            reinit="finish_previous",
        )
        found = wandb.Artifact(artifact, "model", description=config.get("title"), metadata=facts)
        found.add_dir(str(folder))
        run.log_artifact(found, aliases=[alias] if alias else None)
        where = Path(run.dir).parent
        run.finish()
    except Exception as error:
        raise _unsent("wandb", path, error) from error
    if offline:
        return f"{where}; `wandb sync {where}` sends it."
    return f"wandb://{path}:{alias or 'latest'}; zoo.load takes this address."


def _require_online(place: str) -> None:
    from zoo.files.downloads import offline

    if offline():
        raise UserError(f"Nothing is sent to {place} while ZOO_OFFLINE is set; unset it.")


def _unsent(scheme: str, place: str, error: Exception) -> UserError:
    return UserError(
        f"{place} did not take the weights ({reason_of(error)[:200]}); check the name and "
        f"{LOGGED_IN[scheme]}, then publish again."
    )
