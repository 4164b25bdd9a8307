"""Values of recipes and of the command line: refused before torch in one sentence that names the key."""

from __future__ import annotations

import ast
import inspect
import os
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo import catalogue, cli, recipes
from zoo.bounds import RANGES, refusal
from zoo.errors import UsageError, UserError
from zoo.training.keys import check, check_parsed, foreign, recipe_name, resolve_names

NUMBERS = re.compile(rf"\b({'|'.join(RANGES)})\b")


def classes() -> Iterator[str]:
    """Every model and data module, and every callback of ``zoo/callbacks`` and ``zoo/metrics``."""
    yield from (*catalogue.classes("models"), *catalogue.classes("data"))
    for folder in ("callbacks", "metrics"):
        for info in pkgutil.iter_modules(import_module(f"zoo.{folder}").__path__):
            source = catalogue.find_source(f"zoo.{folder}.{info.name}")
            for name, found in (source.classes if source else {}).items():
                if any(base.endswith(("Callback", "Evaluator", "ProgressBar")) for base in found.bases):
                    yield f"zoo.{folder}.{info.name}.{name}"


ARGUMENTS = [
    (path, name, annotation)
    for path in classes()
    for name, annotation in (catalogue.parameters(path) or {}).items()
    if NUMBERS.search(annotation)
]


def said(*arguments: str) -> str:
    """What is wrong with a command line."""
    with pytest.raises(UsageError) as caught:
        check(resolve_names(list(arguments)))
    return str(caught.value)


def test_the_glob_finds_the_arguments_we_know_of() -> None:
    found = {(path, name) for path, name, _ in ARGUMENTS}
    assert len(found) > 200
    assert {
        ("zoo.models.gan.GAN", "accumulate"),
        ("zoo.data.pairs.ScenePairs", "num_workers"),
        ("zoo.callbacks.samples.SampleGrid", "rows"),
        ("zoo.metrics.modes.GaussianModes", "samples"),
    } <= found


@pytest.mark.parametrize(("path", "name", "annotation"), ARGUMENTS, ids=lambda x: x.rpartition(".")[2])
def test_every_number_has_a_range(path: str, name: str, annotation: str) -> None:
    """With ``int`` and ``float`` alone, -1 and 0 would go on to end in a foreign sentence, or in none."""
    assert not re.search(r"\b(int|float)\b", annotation), f"{path}: give {name} a range of zoo/bounds.py"
    with pytest.raises(UsageError, match=rf"{name} must be .+, got -1\."):
        check_parsed({"x": {"class_path": path, "init_args": {name: -1}}})
    if "Positive" in annotation or "Share" in annotation:
        with pytest.raises(UsageError, match=rf"{name} must be .+, got 0\."):
            check_parsed({"x": {"class_path": path, "init_args": {name: 0}}})


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (path, name)
        for path, name, annotation in ARGUMENTS
        if refusal(annotation, 0) is None and ".data." not in path
    ],
)
def test_where_zero_is_in_range_it_makes_an_object(path: str, name: str) -> None:
    cls: Any = catalogue.import_class(path)
    parameters = inspect.signature(cls).parameters.values()
    if any(p.default is p.empty and p.kind is not p.VAR_KEYWORD for p in parameters):
        pytest.skip("needs other arguments")
    with torch.device("meta"):
        try:
            cls(**{name: 0})
        except UserError as error:  # a value that goes with others, or that another argument lacks
            assert isinstance(error, UsageError) or name not in str(error)


def test_defaults_are_in_range() -> None:
    for path in classes():
        found = catalogue.find_class(path)
        for argument in catalogue.arguments(found.init) if found and found.init else ():
            if argument.default and NUMBERS.search(argument.annotation):
                value: Any = argument.default
                value = ast.literal_eval(value) if "/" not in value else 1 / 12.75
                assert refusal(argument.annotation, value) is None, (path, argument)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("--model.hidden 0", "model.hidden must be a whole number of at least 1, got 0"),
        ("--model.init_args.hidden -1", "model.hidden must be a whole number of at least 1, got -1"),
        ("--model.hidden 99999999999", "model.hidden must be"),
        ("--model.lr nan", "model.lr must be a number above 0, or null, got nan"),
        ("--model.lr .inf", "model.lr must be"),
        ("--model.shape [1,-1]", "model.shape must be a list, each a whole number of at least 1"),
        ("--model.loss hinge", "model.loss must be one of nonsaturating, saturating, got hinge"),
        ("--model.compile maybe", "model.compile must be true or false, got maybe"),
        ("--data.num_workers -1", "data.num_workers must be a whole number of at least 0, got -1"),
        ("--data.seed 36893488147419103232", "data.seed must be a whole number from 0 to"),
        ("--seed_everything 36893488147419103232", "--seed_everything must be"),
        ("--seed_everything -1", "--seed_everything must be"),
        ("--trainer.max_steps -5", "trainer.max_steps must be a whole number of at least -1"),
        ("--trainer.max_steps abc", "trainer.max_steps must be"),
        ("--trainer.devices 0", "trainer.devices must be"),
        ("--trainer.accelerator gpuu", "trainer.accelerator must be one of auto, cpu, gpu"),
        ("--trainer.precision bf16-mixd", "trainer.precision must be one of 16-mixed"),
        ("--trainer.limit_val_batches 1.5", "trainer.limit_val_batches must be"),
        ("--trainer.callbacks 5", "trainer.callbacks must be a list, each a class"),
        ("--trainer.gradient_clip_val 1", "set model.clip_grad_norm instead"),
        ("--trainer.accumulate_grad_batches=2", "set model.accumulate instead"),
        ("--wandb maybe", "--wandb must be one of auto, online, offline, off, got maybe"),
        ("--resume nothere", "--resume must be one of auto, or null, got nothere"),
        ("--model GAM", "did you mean zoo.models.gan.GAN?"),
        ("--trainer.callbacks+=zoo.callbacks.samples.SampleGird", "did you mean SampleGrid?"),
        ("--trainer.callbacks+=os.abort", "os.abort is no model, data module or callback"),
        ("--model os.system", "os.system is no model, data module or callback"),
        ("--model.hidden", "--model.hidden needs a value"),
        ("--model.hidden --wandb off", "--model.hidden needs a value"),
        ("stray", "stray belongs to no option"),
        ("gan/digit", "did you mean --config gan/digits?"),
        (f"--trainer.logger {'[' * 5000}", "--trainer.logger"),
        (f"--model.shape {'[' * 5000}{']' * 5000}", "nest"),
        ("--model {a: &a [1], b: [*a, *a]}".replace(" ", "\0").replace("\0", " ", 1), "write the alias out"),
    ],
)
def test_a_value_on_the_command_line(typed: str, words: str) -> None:
    arguments = [part.replace("\0", " ") for part in typed.split(" ")]
    found = said("--config", "gan/digits", *arguments)
    assert words in found and "\n" not in found and len(found) < 600


def test_flags_of_lightning_at_rest_stand_in_every_recorded_recipe() -> None:
    flags = "--trainer.gradient_clip_val null --trainer.accumulate_grad_batches 1"
    check(resolve_names(["--config", "gan/digits", *flags.split()]))


def test_a_hint_names_no_key_twice() -> None:
    known = (
        said("--config", "gan/digits", "--model.zzz", "3").partition("known are ")[2].rstrip(" …").split(", ")
    )
    assert len(known) == len(set(known)) > 5


LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefghij", "bcdefghijk", strict=True)
)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "must hold keys and values"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        (b"[" * 5000 + b"]" * 5000, "nest"),
        (b"".join(b" " * i + b"a:\n" for i in range(600)), "nested more than 50 deep"),
        (b"model: &m {a: *m}", "write the alias out"),
        (LAUGHS.encode(), "write the alias out"),
        (b"trainer: {callbacks: 5}", "trainer.callbacks must be a list, each a class"),
        (b"trainer: {callbacks: [5]}", "trainer.callbacks must be a list, each a class"),
        (b"trainer: 3", "trainer must hold keys and values, got 3"),
        (b"a" * 1_000_001, "has more than 1000 kB"),
        (b"{" + b"".join(b"k%d: 1, " % i for i in range(60_000)) + b"}", "there is no key k0"),
        (b"seed_everything: 2001-13-45", "not valid YAML"),
        (b"model: {class_path: 5}", "5 is no import path"),
        (b"model: {class_path: zoo.models.gan.GAN, init_args: {hidden: true}}", "hidden must be"),
        (b"model: {class_path: zoo.models.gan.GAN, init_args: 3}", "must hold keys and values, got 3"),
        (
            b"trainer: {gradient_clip_val: 0.5}\nmodel: {class_path: zoo.models.gan.GAN}\ndata: {class_path: "
            b"zoo.data.images.Digits}",
            "set model.clip_grad_norm",
        ),
    ],
)
def test_a_recipe_of_anyone_is_read_with_bounds(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "theirs.yaml"
    path.write_bytes(content)
    found = said("--config", str(path))
    assert words in found and "theirs.yaml" in found and "\n" not in found and len(found) < 600


def test_sections_in_files_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts").mkdir()
    Path("parts/model.yaml").write_text("class_path: zoo.models.gan.GAN\ninit_args: {hidden: 8}")
    Path("parts/trainer.yaml").write_text("max_steps: 3")
    Path("parts/whole.yaml").write_text("model: model.yaml\ntrainer: trainer.yaml")
    Path("bad.yaml").write_text("max_steps: &x [*x]")
    arguments = ["--data", "zoo.data.images.Digits", "--config", "parts/whole.yaml"]
    check(resolve_names([*arguments, "--trainer", "parts/trainer.yaml", "--model", "parts/model.yaml"]))
    for key in ("model", "trainer", "trainer.callbacks"):
        assert "bad.yaml line 1: not valid YAML" in said(*arguments, f"--{key}", "bad.yaml")
    Path("parts/model.yaml").write_text("class_path: zoo.models.gan.GAN\ninit_args: {hidden: 0}")
    assert "hidden must be" in said(*arguments)


def test_a_recipe_that_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    os.mkfifo(tmp_path / "pipe.yaml")
    for name in ("folder.yaml", "pipe.yaml"):
        assert f"{name} is not a file" in said("--config", str(tmp_path / name))
    for verb in (["show"], ["data", "pack"], ["bench"]):
        assert cli.main([*verb, str(tmp_path / "pipe.yaml")]) == 2


def test_aliases_are_refused_wherever_a_recipe_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("laughs.yaml").write_text("data: &d {class_path: zoo.data.images.Digits, init_args: *d}")
    for verb in (["data", "pack"], ["data", "bench"], ["bench"], ["fit", "--config"]):
        assert cli.main([*verb, "laughs.yaml"]) == 2
        assert "laughs.yaml line 1: not valid YAML (write the alias out)" in capsys.readouterr().err


def test_values_are_checked_wherever_a_recipe_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "few.yaml"
    path.write_text("data: {class_path: zoo.data.pairs.ScenePairs, init_args: {train_length: 0}}")
    assert cli.main(["data", "show", str(path), "-o", str(tmp_path / "a.png")]) == 2
    assert "data.train_length must be a whole number of at least 1, got 0" in capsys.readouterr().err


def test_names_that_are_too_long_end_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["fit", "--config"], ["show"], ["eval"]):
        assert cli.main([*command, "x" * 300]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_recipe_needs_a_model_and_data() -> None:
    assert "Nothing names the model; begin with a whole recipe" in said("--config", "overlays/tiny")
    assert "Nothing names the data" in said("--model", "zoo.models.gan.GAN")
    check(resolve_names(["--config", "overlays/tiny", "--print_config"]))


def test_the_name_of_a_recipe(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "gan" / "digits" / "20260101-000000-abcd"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("")
    assert recipe_name([f"--config={run / 'config.yaml'}"]) == f"{run.name}/config"  # a config like any other
    (run / "env.json").write_text("{}")
    assert recipe_name([f"--config={run / 'config.yaml'}", "--model.hidden", "3"]) == "gan/digits"
    assert recipe_name(["-c", str(recipes.find("gan/digits"))]) == "gan/digits"
    assert recipe_name([]) == "unnamed/run"


def test_code_from_outside_is_named_at_any_depth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    Path("my_own_data.py").write_text("class MyData: ...\n")
    inner = {"class_path": "os.abort", "init_args": {}}
    config = {
        "model": {"class_path": "zoo.models.gan.GAN", "init_args": {"deep": [{"class_path": "a.B"}]}},
        "data": {"class_path": "my_own_data.MyData"},
        "trainer": {
            "callbacks": [{"class_path": "lightning.pytorch.callbacks.Timer", "init_args": {"x": inner}}]
        },
    }
    assert foreign(config) == ["a.B", "my_own_data.MyData (./my_own_data.py)", "os.abort"]


def test_numbers_in_lists_need_no_point() -> None:
    assert recipes.parse("[1e-3, 2E+1, -5e-1, 1e3, 12]", "--model.lr") == [0.001, 20.0, -0.5, "1e3", 12]
