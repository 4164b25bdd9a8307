"""Run a recipe: a thin wrapper around LightningCLI with short errors, one folder per run, and loggers."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal, NoReturn

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import StrategyRegistry
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from zoo.adversarial import PLAYERS, AdversarialModule, stored
from zoo.callbacks.predictions import PictureWriter
from zoo.callbacks.progress import RunProgress
from zoo.catalogue import is_exported
from zoo.checkpoints import load
from zoo.data.base import DataModule, LoaderOptions, collate
from zoo.data.contracts import CONTRACTS
from zoo.errors import UsageError, UserError, nearest, reason_of
from zoo.files.checkpoints import read_checkpoint, read_own_checkpoint
from zoo.files.writing import report, write_text
from zoo.guards import GuardedModule, environment, say
from zoo.metrics.artefacts import Artefacts
from zoo.recipes import public_path
from zoo.training.keys import (
    Verb,
    blocks,
    check_parsed,
    foreign,
    of_other_data,
    recipe_files,
    recipe_name,
    run_label,
)
from zoo.training.loggers import FolderLogger, KeepRows, MetricsFile, WandbChoice, process_rank, wandb_logger
from zoo.training.resume import Start, alone, find_checkpoint, new_id, own_config, plan, recipe_line, run_of
from zoo.training.usage import CODE

PLAN = "ZOO_PLAN"  # environment variable: folder, checkpoint and steps, for the other processes of this run


class ShortErrorParser(LightningArgumentParser):
    """Raises one sentence instead of printing fifty lines of usage."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise a UsageError that names the key, what is expected and what was given."""
        raise UsageError(_condense(message)) from ex


def _condense(message: str) -> str:
    """What jsonargparse says of a value, in one sentence that names its key."""
    key = ".".join(dict.fromkeys(re.findall(r'Parser key "([^"]+)"', message)))
    if inner := re.search(r"^\s*- (\S+ must be .+)$", message, re.M):  # from a nested parser
        return f"{key}.{inner[1]}"
    if not key:  # of a nested parser, whose name the outer one adds
        return " ".join(message.split())[:300]
    if missing := re.search(r"the following arguments are required: (.+)", message):
        return f"{key} must state {missing[1]}, which has no default."
    if option := re.search(r"Option '(\S+)' is not accepted", message):
        return f"{key} has no argument {option[1]}; `zoo show CLASS` lists those that its class has."
    found = re.search(r"(?:Got value|Given value): (?:NestedArg\(key='\S+', val=(.+)\)|(.+))", message)
    given = f", got {(found[1] or found[2])[:80]}." if found else "."
    if problem := re.search(r"Problem with given class_path ('\S+'):\s*(.+)", message):
        return f"{key}: {problem[1]} cannot be made ({problem[2].rstrip('.')[:200]})."
    if kinds := re.findall(r"does not correspond to a subclass of (\w+)", message):
        return f"{key} must be a {' or a '.join(dict.fromkeys(kinds))}{given}"
    expected = [
        re.sub(r"<class '([\w.]+)'>|typing\.", r"\1", e)
        for e in re.findall(r"Expected an? (.+?)(?:\. |$)", message, re.M)
        if not e.startswith("path but")
    ]
    expected = ["an import path" if e.startswith("dot import path") else e for e in expected]
    expected = [re.sub(r"Literal\[(.+?)\]", r"one of \1", e) for e in expected]
    wanted = " or ".join(dict.fromkeys(e for e in expected if e != "NoneType"))
    if wanted:
        return f"{key} must be {wanted}{given}"
    return " ".join(message.split())[:300]


def _root(error: BaseException) -> BaseException:
    """The exception of a constructor: jsonargparse wraps it where a type is a union."""
    while "Union subtypes" in str(error) and error.__cause__ is not None:
        error = error.__cause__
    return error


class RecipeCLI(LightningCLI):
    """Parses a recipe with its overrides and instantiates it; never runs it."""

    weights: str | None = None  # exported weights that are evaluated instead of a checkpoint

    def __init__(self, arguments: list[str], verb: Verb) -> None:
        self.verb, self.recipe = verb, recipe_name(arguments)
        arguments = list(arguments) if verb == "fit" else own_config(arguments, self.recipe)
        if others := of_other_data(arguments):
            keys = " and ".join(f"data.{key}" for key in others)
            say(f"Left out with another data.root: {keys} of the recipe; set what applies.")
            arguments += [f"--data.{key}={'true' if key == 'research_only' else 'null'}" for key in others]
        self.arguments = arguments
        super().__init__(
            pl.LightningModule,
            pl.LightningDataModule,
            save_config_callback=None,
            trainer_defaults={
                "log_every_n_steps": 50,
                "enable_model_summary": False,
                "num_sanity_val_steps": 0,
            },
            seed_everything_default=0,
            parser_kwargs={"prog": f"zoo {verb}", "description": CODE},
            parser_class=ShortErrorParser,
            subclass_mode_model=True,
            subclass_mode_data=True,
            args=arguments,
            run=False,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,  # checkpoints hold plain hyper-parameters
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the zoo's own options."""
        parser.add_argument(
            "--ckpt_path",
            type=str | None,
            default=None,
            help="A checkpoint, a run folder, or `last`: the newest valid checkpoint of this recipe.",
        )
        parser.add_argument(
            "--resume",
            type=Literal["auto"] | None,
            default=None,
            help="`auto`: continue from this recipe's newest valid checkpoint, or start if there is none.",
        )
        parser.add_argument("--name", type=str | None, default=None, help="Name of the W&B run.")
        parser.add_argument("--tags", type=list[str], default=[], help="Tags of the W&B run, as [a, b].")
        parser.add_argument("--notes", type=str | None, default=None, help="Notes of the W&B run.")
        parser.add_argument(
            "--wandb",
            type=WandbChoice,
            default="auto",
            help="Weights & Biases: auto is online with a key and a reachable host, else offline.",
        )

    def before_instantiate_classes(self) -> None:
        """Check the values that the parser has put together, and name code from outside the zoo's stack."""
        config: dict[str, Any] = self.config.as_dict()
        check_parsed(config)
        if classes := foreign(config):
            say(f"This recipe runs code from outside the zoo: {', '.join(classes)}.")

    def instantiate_classes(self) -> None:
        """Make the classes; values that they refuse, or that do not fit into memory, end in a sentence."""
        try:
            with weights_counted():
                super().instantiate_classes()
        except (MemoryError, RuntimeError, ValueError) as error:
            root = _root(error)
            if isinstance(root, MemoryError) or re.search("can't allocate|overflow", str(root)):
                given: dict[str, Any] = self.config.model.as_dict().get("init_args") or {}
                sizes = {key: value for key, value in given.items() if type(value) is int}
                key = max(sizes, key=lambda key: sizes[key], default="width")
                raise UsageError(
                    f"The model needs more memory than there is; lower model.{key}, now {sizes.get(key)}."
                ) from error
            if isinstance(root, ValueError):
                raise UsageError(f"The recipe's values do not work: {reason_of(root)[:300]}.") from error
            raise root from error

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> pl.Trainer:
        root = Path(config.get("default_root_dir") or "runs")
        self._plan(root)
        if self.weights and not any(each.startswith("--trainer.precision") for each in self.arguments):
            config["precision"] = None  # float32, as in use; the recipe's is for its training
        config["default_root_dir"] = str(root)
        config["callbacks"] = [*(config.get("callbacks") or []), *callbacks]
        config["use_distributed_sampler"] = False  # our samplers are exact and unpadded
        _choose_strategy(config)
        given = config["callbacks"]

        def lacks(kind: type[Callback], switch: str) -> bool:
            return config.get(switch) is not False and not any(isinstance(c, kind) for c in given)

        if lacks(ProgressBar, "enable_progress_bar"):
            given.append(RunProgress())
        if lacks(ModelCheckpoint, "enable_checkpointing"):
            saver = ModelCheckpoint(filename="{step}", every_n_train_steps=1000, enable_version_counter=False)
            given.append(saver)
        if self.verb == "predict":
            given.append(PictureWriter())
        if (
            self.verb == "test"
            and self._makes_pictures()
            and not any(isinstance(c, Artefacts) for c in given)
        ):
            given.append(Artefacts())
        for callback in given:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(self.folder / "checkpoints")
        if config.get("logger") in (None, True):
            config["logger"] = self._logger(given)
        try:
            return super()._instantiate_trainer(config, [])
        except MisconfigurationException as error:
            asked = ", ".join(f"{key} {config.get(key)}" for key in ("accelerator", "devices", "precision"))
            raise UsageError(f"The trainer cannot be made ({asked}): {reason_of(error)[:300]}.") from error

    def _makes_pictures(self) -> bool:
        """Whether the model generates pictures that the data have real ones of."""
        data = self.datamodule
        is_picture = isinstance(data, DataModule) and CONTRACTS[data.contract].is_picture
        return is_picture and isinstance(self.model, AdversarialModule)

    def _logger(self, callbacks: list[Callback]) -> Logger:
        if self.verb != "fit":
            return FolderLogger(self.folder)
        rows = MetricsFile(self.folder, self.start.steps)
        callbacks.append(KeepRows(rows))
        return rows

    def _plan(self, root: Path) -> None:
        """Set ``start``: run folder and checkpoint; a new folder, unless a run is continued or evaluated."""
        given, auto = self.config.ckpt_path, self.config.resume == "auto"
        if self.verb != "fit":
            if auto and any(argument.startswith("--resume") for argument in self.arguments):
                raise UsageError("--resume auto goes with zoo fit.")
            exported = given is not None and is_exported(given)
            if exported:
                self._take(given)
            checkpoint = None if given is None or exported else find_checkpoint(root / self.recipe, given)
            run = run_of(checkpoint) if checkpoint else root
            is_run = (run / "config.yaml").is_file()
            self.start = Start(run if is_run else root / self.recipe / new_id(), checkpoint)
        elif process_rank() and PLAN in os.environ:  # set by the process that started this one
            folder, checkpoint, steps = json.loads(os.environ[PLAN])
            self.start = Start(Path(folder), Path(checkpoint) if checkpoint else None, steps)
        else:
            if auto and given:
                raise UsageError("Give --resume auto or --ckpt_path, not both.")
            text = self.config_text() if auto or given else ""
            callbacks = self.config.trainer.as_dict().get("callbacks")
            if auto and any(stated.get("dirpath") for _, _, stated in blocks(callbacks)):
                raise UsageError(
                    "--resume auto looks for checkpoints in the run's folder; leave out dirpath of "
                    "ModelCheckpoint, or continue with --ckpt_path."
                )
            self.start = plan(root, self.recipe, text, self.description, given, auto)
            checkpoint = self.start.checkpoint
            os.environ[PLAN] = json.dumps(
                [str(self.start.folder), str(checkpoint) if checkpoint else None, self.start.steps]
            )
        self.folder, self.checkpoint = self.start.folder, self.start.checkpoint

    def _take(self, weights: str) -> None:
        """Evaluate exported weights with the data and evaluators of the recipe."""
        found = load(weights)
        require_class(weights, public_path(type(found.module)), self.model)
        before, now = (json.loads(json.dumps(dict(m.hparams))) for m in (found.module, self.model))
        for key in ("init_from", "freeze_discriminator", "diff_augment", "ema"):  # of the training
            now.pop(key, None)
        if changed := {k: v for k, v in now.items() if k in before and before[k] != v}:
            for key, value in changed.items():
                say(f"The recipe wins: model.{key} is {value}, the weights had {before[key]}.")
            found = load(weights, changed)
        self.model = found.module
        self.model.loaded_step = found.config["step"] or 0
        self.weights = weights

    def description(self) -> dict[str, Any]:
        """What is known of the data; empty for foreign data."""
        return self.datamodule.description() if isinstance(self.datamodule, DataModule) else {}

    def config_text(self) -> str:
        """The whole resolved recipe as YAML, with the options that classes pass on to their bases."""
        config = self.config.clone()
        data, model = self.datamodule, self.model
        if isinstance(data, DataModule):
            values = {name: getattr(data, name) for name in LoaderOptions.__annotations__}
            fill_options(config["data"], data, values)
        if isinstance(model, AdversarialModule):
            options = {
                "clip_grad_norm": model.clip_grad_norm,
                "accumulate": model.accumulate,
                "compile": model.compile_players,
                "channels_last": model.channels_last,
                "init_from": model.init_from,
                "freeze_discriminator": model.freeze_discriminator,
                "diff_augment": list(model.diff_augment),
                "ema": model.ema,
            }
            fill_options(config["model"], model, options)
        for key in ("ckpt_path", "resume", "name", "tags", "notes"):  # of this process, not of the run
            config.pop(key, None)
        text: str = self.parser.dump(config, skip_none=False, format="yaml")
        root = Path(self.config.trainer.default_root_dir or "runs")
        return recipe_line(recipe_files(self.arguments), root) + text


@contextmanager
def weights_counted() -> Iterator[None]:
    """Raise a MemoryError before parameters are filled that do not fit into the machine's memory."""
    most, total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), 0

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal total
        if parameter is not None and not parameter.is_meta:
            total += parameter.nbytes
        if total > most:
            raise MemoryError(f"more than {most / 1e9:.0f} GB of weights")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def fill_options(block: Any, made: object, options: dict[str, Any]) -> None:
    """Add the options that a class takes as ``**options`` and that are not set to its block of a recipe."""
    parameters = inspect.signature(type(made).__init__).parameters.values()
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        for name, value in options.items():
            if name not in block["init_args"]:
                block["init_args"][name] = value


def parse(arguments: list[str], verb: Verb) -> RecipeCLI:
    """The objects of a recipe; arguments as :func:`zoo.training.build` has resolved and checked them."""
    _quieten()
    argv, sys.argv = sys.argv, sys.argv[:1]  # LightningCLI warns when both exist
    try:
        return RecipeCLI(arguments, verb)
    finally:
        sys.argv = argv


def execute(cli: RecipeCLI) -> int:
    """Run what a recipe was parsed for; the exit status."""
    trainer, model, data, checkpoint = cli.trainer, cli.model, cli.datamodule, cli.checkpoint
    if checkpoint or cli.weights:
        say(f"From {checkpoint or cli.weights}")
    if checkpoint:
        require_same_class(checkpoint, model)
    if trainer.is_global_zero and cli.verb == "fit":
        report(folder=str(cli.folder), finished=bool(cli.start.finished))
    if cli.start.finished:
        say(f"Finished already: {checkpoint} has reached {cli.start.finished}; change that to continue.")
        return 0
    if cli.start.note:
        say(cli.start.note)
    if trainer.is_global_zero:
        _announce(cli)
    if cli.verb == "fit":
        _check_data(model, data)
        if checkpoint is None and isinstance(model, AdversarialModule):
            model.begin()  # before there is a run folder, so that weights that do not fit leave none
            if model.beginning:
                _compare_text(model.beginning["name"], data)
        say(f"Run folder {cli.folder}")
        with alone(cli.folder) if trainer.is_global_zero else nullcontext(), _restoring(cli):
            _fit(cli)
    elif cli.verb == "predict":
        trainer.predict(model, data, ckpt_path=checkpoint, return_predictions=False)
        say(f"The pictures are in {cli.folder / 'predictions'}.")
    else:
        if checkpoint is None and cli.weights is None:
            say("No --ckpt_path was given: this evaluates untrained weights.")
        if (cli.folder / "wandb").is_dir():
            _add_wandb(cli, name=cli.config.name)
        getattr(trainer, cli.verb)(model, data, ckpt_path=checkpoint, verbose=False)
    return 0


def _compare_text(origin: str, data: Any) -> None:
    """Say so if the first weights' training encoded its sentences otherwise than the data do."""
    mine = data.preprocessing().get("text") if isinstance(data, DataModule) else None
    try:
        theirs = stored(origin).config["data"]["preprocessing"]["text"]
        kind, name = theirs["kind"], theirs.get("name", "those of its training")
    except (TypeError, KeyError, AttributeError):  # no model of sentences
        return
    if mine and theirs != mine:
        say(
            f"The sentences of {origin} were encoded by another text encoder, so that its vectors mean other "
            f"words: set data.text to {kind} and data.text_weights to {origin if kind == 'bag' else name}."
        )


@contextmanager
def _restoring(cli: RecipeCLI) -> Iterator[None]:
    """Name the checkpoint if what it holds cannot be restored: Lightning holds it until all of it is."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not cli.trainer._checkpoint_connector._loaded_checkpoint or "loading state_dict" in str(error):
            raise
        raise UserError(
            f"{cli.checkpoint} cannot be restored ({type(error).__name__}): it holds values of wrong types, "
            "or is of another version; use another one."
        ) from error


def _add_wandb(cli: RecipeCLI, name: str | None) -> None:
    """Log to W&B as well, under a name; None keeps the run's."""
    facts = {"environment": environment(), "data_description": cli.description()}
    config = cli.config
    online = wandb_logger(
        config.wandb,
        cli.folder,
        cli.recipe,
        cli.config_text(),
        facts,
        name=name,
        tags=config.tags,
        notes=config.notes,
    )
    cli.trainer.loggers = [*cli.trainer.loggers, *([online] if online else [])]


def _check_data(model: pl.LightningModule, data: pl.LightningDataModule) -> None:
    """Refuse data that do not fit the networks before a run folder and a W&B run are made."""
    if isinstance(data, DataModule) and isinstance(model, GuardedModule):
        model.plan_batches(data)
        data.setup("fit")
        train = data.split("train")
        assert train is not None
        model.check(collate([train[0, 0]]))


def _fit(cli: RecipeCLI) -> None:
    trainer, model, data, text = cli.trainer, cli.model, cli.datamodule, cli.config_text()
    if trainer.is_global_zero:
        write_text(cli.folder / "config.yaml", text)
    if isinstance(trainer.logger, MetricsFile):
        _add_wandb(
            cli, name=cli.config.name or run_label(cli.recipe, cli.config.seed_everything, cli.arguments)
        )
    seed = cli.config.seed_everything
    if isinstance(model, GuardedModule):
        model.seed, model.run_folder = seed, cli.folder
    if isinstance(data, DataModule) and data.seed is None:
        data.seed = seed
    try:
        trainer.fit(model, data, ckpt_path=cli.checkpoint)
    except Exception:
        if trainer.is_global_zero and not {"checkpoints", "metrics.csv"} & {
            p.name for p in cli.folder.iterdir()
        }:
            shutil.rmtree(cli.folder)  # it failed before the first step
        raise
    if trainer.checkpoint_callback:
        trainer.save_checkpoint(cli.folder / "checkpoints" / "last.ckpt")
    if trainer.is_global_zero:
        held = sorted(path.name for path in cli.folder.iterdir() if path.name[0] != ".")
        say(f"Done: {cli.folder} holds {', '.join(held)}.")


def _choose_strategy(config: dict[str, Any]) -> None:
    """Set ``find_unused_parameters``, which two players need; refuse sharded strategies."""
    strategy = config.get("strategy") or "auto"
    name = strategy if isinstance(strategy, str) else type(strategy).__name__
    if any(word in name.lower() for word in ("fsdp", "deepspeed")):
        raise UsageError(f"trainer.strategy {name} is not supported with two players; use auto.")
    several = str(config.get("devices", "auto")) not in ("auto", "1") or config.get("num_nodes", 1) != 1
    known = ["auto", *StrategyRegistry.available_strategies()]
    if isinstance(strategy, str) and name not in known:
        hint = nearest(name, known, "auto is right for most machines.", 0.6)
        raise UsageError(f"trainer.strategy is {name}, which is none of Lightning's; {hint}")
    if name in ("auto", "ddp") and several:
        config["strategy"] = "ddp_find_unused_parameters_true"


def require_same_class(checkpoint: Path, model: pl.LightningModule) -> None:
    """Refuse a checkpoint of another class; report hyper-parameters that the recipe overrides."""
    content = (read_own_checkpoint if isinstance(model, GuardedModule) else read_checkpoint)(checkpoint)
    require_class(checkpoint, (content.get("zoo") or {}).get("class"), model)
    before = content.get("hyper_parameters", {})
    for key, value in model.hparams.items():
        if key in before and before[key] != value:
            say(f"The recipe wins: model.{key} is {value}, the checkpoint had {before[key]}.")


def require_class(origin: Path | str, its: str | None, model: pl.LightningModule) -> None:
    """Refuse weights of another class than the recipe's."""
    mine = public_path(type(model))
    if its not in (None, mine):
        raise UserError(f"{origin} was trained as {its}, but the recipe asks for {mine}.")


def _announce(cli: RecipeCLI) -> None:
    networks = dict(cli.model.named_children())
    players: dict[str, nn.Module] = {name: networks[name] for name in PLAYERS if name in networks}
    for name, network in (players or {"in all": cli.model}).items():
        count = sum(p.numel() for p in network.parameters())
        say(f"{type(cli.model).__name__} {name}: {count:,} parameters")


def _quieten() -> None:
    """Silence Lightning's adverts and advice that does not apply here."""
    import logging

    noise = (
        *("💡", "`weights_only` was not set", "TPU available", "GPU available", "was configured so"),
        *("Restoring states from", "Restored all states", "Loaded model weights"),  # "From …" says it
    )
    for name in ("utilities.rank_zero", "trainer.connectors.checkpoint_connector"):
        logging.getLogger(f"lightning.pytorch.{name}").addFilter(
            lambda record: not any(text in record.getMessage() for text in noise)
        )
    for message in (
        ".*does not have many workers.*",
        ".*is smaller than the logging interval.*",
        ".*Experiment logs directory.*exists and is not empty.*",
        ".*Checkpoint directory.*exists and is not empty.*",
        ".*manual optimization.*every_n_train_steps.*",
        ".*`isinstance\\(treespec, LeafSpec\\)`.*",
        ".*but have no logger configured.*",
        ".*You passed in a `val_dataloader` but have no `validation_step`.*",
        ".*your dataloader is not resumable.*",  # it is, by the data module's position
        ".*The dirpath has changed from.*",  # a resumed run has a folder of its own
    ):
        warnings.filterwarnings("ignore", message)
