"""The command: what is typed wrong gets a short sentence and exit 1 or 2, and no run overwrites another."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from games import Data, Game, Points, weights

from zoo import cli
from zoo.data.base import SampleSet, Split
from zoo.errors import UserError
from zoo.files.checkpoints import read_checkpoint
from zoo.recipes import bundled
from zoo.training import build
from zoo.training.resume import newest_checkpoint

RECIPE: dict[str, Any] = {
    "model": {"class_path": "games.Game", "init_args": {"width": 8}},
    "data": {"class_path": "test_cli.Toys", "init_args": {"count": 16}},
    "trainer": {"max_epochs": 2, "accelerator": "cpu", "enable_progress_bar": False, "log_every_n_steps": 2},
}


class Toys(Data):
    """Points with the arguments written out, as a data module of the zoo has them."""

    def __init__(self, count: int = 16, batch_size: int = 4, num_workers: int = 0) -> None:
        super().__init__(count, batch_size=batch_size, num_workers=num_workers)


class OtherGame(Game):
    """Another class with the same weights."""


class FatalSet(Points):
    """Its worker is killed, as the system does when memory runs out."""

    def sample(self, index: int, random: torch.Generator | None) -> Any:
        if torch.utils.data.get_worker_info():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().sample(index, random)


class FatalData(Toys):
    def dataset(self, split: Split) -> SampleSet | None:
        return FatalSet(16)


class BrokenSet(Points):
    def sample(self, index: int, random: torch.Generator | None) -> Any:
        raise UserError(f"picture {index}.png is truncated.")


class BrokenData(Toys):
    def dataset(self, split: Split) -> SampleSet | None:
        return BrokenSet(16)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny recipe in an empty folder, which is also the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    path = tmp_path / "toy" / "points.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(RECIPE))
    return path


def zoo(*arguments: object) -> int:
    return cli.main([str(a) for a in arguments])


def message(capsys: pytest.CaptureFixture[str]) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("zoo")]
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["--model.widht", "3"], "did you mean width"),
        (["--model.accumulat", "2"], "did you mean accumulate"),
        (["--trainer.max_epoch", "3"], "did you mean max_epochs"),  # jsonargparse itself takes it as a prefix
        (["--trainer.max_epoch=3"], "did you mean max_epochs"),
        (["--modl.width", "3"], "did you mean model"),
        (["--resum", "auto"], "did you mean resume"),
        (["--model.width", "wide"], "model.width must be a whole number, got wide"),
        (["--data.batch_size", "x"], "data.batch_size must be a whole number, got x"),
        (["--wandb", "sometimes"], "got sometimes"),
        (["--trainer.strategy", "fsdp"], "not supported with two players"),
    ],
)
def test_what_is_typed_wrong(
    recipe: Path, capsys: pytest.CaptureFixture[str], typed: list[str], told: str
) -> None:
    assert zoo("fit", "--config", recipe, *typed) == 2
    assert told in message(capsys)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "model: {class_path: games.Game, init_args: {widht: 3}}",
            "model.init_args.widht; did you mean width",
        ),
        ("model: {class_path: games.Gam}", "did you mean Game"),
        ("model: {class_path: nowhere.Game}", "cannot be imported"),
        ("trainer: {max_epoch: 3}", "did you mean max_epochs"),
        ("trainr: {}", "did you mean trainer"),
        ("trainer: {max_epochs: 1, max_epochs: 2}", "line 1: not valid YAML (the key max_epochs stands"),
        ("model: [1", "not valid YAML"),
        ("- a list", "must hold keys and values"),
    ],
)
def test_what_is_written_wrong(
    recipe: Path, capsys: pytest.CaptureFixture[str], text: str, told: str
) -> None:
    bad = recipe.with_name("bad.yaml")
    bad.write_text(text)
    assert zoo("fit", "--config", recipe, "--config", bad) == 2
    said = message(capsys)
    assert told in said and "bad.yaml" in said


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["--trainer.accelerator", "gpu"], "accelerator gpu, devices auto"),
        (["--trainer.strategy", "dpd"], "trainer.strategy is dpd, which is none of Lightning's; did"),
        (["--trainer.profiler", "foo"], "can only be one of"),
        (["--model.width", 2**31 - 1], "needs more memory than there is; lower model.width, now 2147483647"),
        (["--model", "zoo.data.images.Digits"], "model must be a LightningModule, got zoo.data.images"),
        (["--data", "zoo.data.pairs.PairFolder"], "data must state root, which has no default"),
        (
            ["--trainer.callbacks+=zoo.callbacks.samples.SampleGrid", "--trainer.callbacks.rows", 0],
            "rows must be",
        ),
    ],
)
def test_what_only_the_full_parser_sees(
    recipe: Path,
    capsys: pytest.CaptureFixture[str],
    typed: list[str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert zoo("fit", "--config", recipe, *typed) == 2
    said = message(capsys)
    assert told in said and "Union" not in said and len(said) < 500
    assert not Path("runs").exists()


def test_a_class_of_the_current_folder_is_used_and_named(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", [path for path in sys.path if path])  # as the installed script begins
    Path("my_toys.py").write_text("from test_cli import Toys\nclass MyToys(Toys): ...\n")
    assert zoo("validate", "--config", recipe, "--data", "my_toys.MyToys") == 0
    said = capsys.readouterr().err
    assert "runs code from outside the zoo: games.Game, my_toys.MyToys (./my_toys.py).\n" in said


def test_help_says_that_a_recipe_is_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("fit", "--help") == 0
    assert "A recipe is code, as a script is" in " ".join(capsys.readouterr().out.split())


def test_a_run_of_a_runs_own_config_has_its_recipes_name(recipe: Path) -> None:
    assert zoo("fit", "--config", recipe, "--trainer.max_epochs", 1) == 0
    (run,) = Path("runs/toy/points").iterdir()
    assert build(["--config", str(run / "config.yaml")]).recipe == "toy/points"


def test_unknown_recipe_and_verb(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("fit", "--config", "gan/nowhere") == 2
    assert "no recipe gan/nowhere" in message(capsys)
    assert zoo("fti") == 2
    assert "did you mean fit" in message(capsys)


def test_a_run_leaves_its_folder_and_overwrites_nothing(recipe: Path) -> None:
    assert zoo("fit", "--config", recipe) == 0
    assert zoo("fit", "--config", recipe) == 0
    folders = sorted(Path("runs/toy/points").iterdir())
    assert len(folders) == 2
    for folder in folders:
        assert {"config.yaml", "env.json", "metrics.csv", "checkpoints"} <= {p.name for p in folder.iterdir()}
        checkpoint = read_checkpoint(folder / "checkpoints" / "last.ckpt")
        assert checkpoint["global_step"] == 8
        assert checkpoint["zoo"]["class"] == "games.Game"
        assert checkpoint["zoo"]["recipe"] == (folder / "config.yaml").read_text()
    resolved = yaml.safe_load((folders[0] / "config.yaml").read_text())
    assert resolved["model"]["init_args"]["accumulate"] == 1, "options that a class only hands on stand there"
    assert resolved["model"]["init_args"]["lr"] == 0.01  # the whole recipe, defaults included
    assert (
        zoo("fit", "--config", folders[0] / "config.yaml", "--trainer.max_epochs", 1) == 0
    )  # and it runs again


def test_resume_auto_goes_on_bit_for_bit(recipe: Path) -> None:
    assert zoo("fit", "--config", recipe, "--trainer.max_epochs", 4) == 0
    whole = read_checkpoint(newest_checkpoint(Path("runs/toy/points")))  # type: ignore[arg-type]
    half = recipe.with_name("half.yaml")
    half.write_text(recipe.read_text())
    assert (
        zoo("fit", "--config", half, "--resume", "auto", "--trainer.max_epochs", 2) == 0
    )  # nothing yet: begins
    assert zoo("fit", "--config", half, "--resume", "auto", "--trainer.max_epochs", 4) == 0
    resumed = read_checkpoint(newest_checkpoint(Path("runs/toy/half")))  # type: ignore[arg-type]
    assert all(torch.equal(whole["state_dict"][k], v) for k, v in resumed["state_dict"].items())


def test_resume_passes_over_a_broken_checkpoint(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("fit", "--config", recipe) == 0
    good = newest_checkpoint(Path("runs/toy/points"))
    assert good is not None
    broken = good.with_name("newer.ckpt")
    broken.write_bytes(good.read_bytes()[:2000])
    assert newest_checkpoint(Path("runs/toy/points")) == good
    assert "newer.ckpt" in capsys.readouterr().err


def test_checkpoint_of_another_class_is_refused(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("fit", "--config", recipe) == 0
    path = newest_checkpoint(Path("runs/toy/points"))
    capsys.readouterr()
    assert zoo("fit", "--config", recipe, "--model", "test_cli.OtherGame", "--ckpt_path", path) == 1
    assert "was trained as games.Game" in message(capsys)


def test_the_recipe_wins_over_the_checkpoint(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("fit", "--config", recipe) == 0
    arguments = ["fit", "--config", recipe, "--ckpt_path", "last", "--trainer.max_epochs", 3]
    assert zoo(*arguments, "--model.lr", 0.5) == 0
    assert "model.lr is 0.5, the checkpoint had 0.01" in capsys.readouterr().err
    assert zoo(*arguments[:-1], 4, "--model.width", 4) == 1
    assert "does not fit this model" in message(capsys)


def test_missing_checkpoint(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("test", "--config", recipe, "--ckpt_path", "nowhere.ckpt") == 2
    assert "no checkpoint nowhere.ckpt" in message(capsys)


def test_too_little_data(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("fit", "--config", recipe, "--data.batch_size", 17) == 1
    assert "16 samples, fewer than a batch of 17" in message(capsys)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_named_in_a_worker_is_named_outside(
    recipe: Path, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    assert zoo("fit", "--config", recipe, "--data", "test_cli.BrokenData", "--data.num_workers", workers) == 1
    said = message(capsys)
    assert ".png is truncated." in said and "Traceback" not in said


def test_killed_worker(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("fit", "--config", recipe, "--data", "test_cli.FatalData", "--data.num_workers", 1) == 1
    assert "lower data.num_workers" in message(capsys)


def test_non_finite_term(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--model", "games.Poisoned", "--model.at", 3]
    assert zoo("fit", "--config", recipe, *arguments) == 1
    said = message(capsys)
    assert "g_style became nan at step 4" in said
    assert newest_checkpoint(Path("runs/toy/points")) is None


def test_full_disk(recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(content: Any, file: Any) -> None:
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zoo.files.checkpoints.torch.save", full)
    assert zoo("fit", "--config", recipe) == 1
    said = message(capsys)
    assert "Could not save" in said and "disk is full" in said
    assert not list(Path("runs").rglob("*.ckpt*"))


def test_debug_shows_the_traceback(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("fit", "--config", recipe, "--data.batch_size", 17, "--debug") == 1
    assert "Traceback" in capsys.readouterr().err


def test_build_gives_the_objects_of_a_recipe(recipe: Path) -> None:
    built = build(["--config", str(recipe), "--model.width", "5", "--seed_everything", "3"])
    again = build(["--config", str(recipe), "--model.width", "5", "--seed_everything", "3"])
    assert built.model.hparams["width"] == 5
    assert torch.equal(weights(built.model), weights(again.model))
    assert built.trainer.max_epochs == 2


def test_one_call_trains(recipe: Path) -> None:
    import zoo as package

    folder = package.fit(str(recipe), model={"lr": 0.5}, trainer={"max_epochs": 1}, seed_everything=3)
    assert {"config.yaml", "metrics.csv", "checkpoints"} <= {path.name for path in folder.iterdir()}
    checkpoint = read_checkpoint(folder / "checkpoints" / "last.ckpt")
    assert (checkpoint["hyper_parameters"]["lr"], checkpoint["zoo"]["seed"]) == (0.5, 3)
    with pytest.raises(UserError, match="did you mean lr"):
        package.fit(str(recipe), model={"lrr": 0.5})


def test_exported_weights_are_evaluated_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    few = ("--trainer.callbacks", "[{class_path: zoo.metrics.neighbours.NearestNeighbours}]")
    assert zoo("test", "gan-digits", *few) == 0
    assert "From gan-digits" in capsys.readouterr().err
    (path,) = Path("runs/gan/digits").glob("*/eval.json")
    rows = {r["metric"]: r for r in json.loads(path.read_text()) if r["subject"] == "generated"}
    score = rows["nearest-training-distance"]
    # added to every test of images; digits of 8 pixels have no grid, and the rows say so
    compared = {score["metric"], "nearer-than-held-out"}
    assert rows.keys() == compared | {"static-patch", "colour-grey", "diversity"}
    assert rows["diversity"]["protocol"]["grids"] == "no grid scores under 32 px"
    shipped = json.loads((bundled("checkpoints") / "gan-digits" / "model.json").read_text())
    (before,) = (
        r for r in shipped["results"] if r["metric"] == score["metric"] and r["subject"] == "generated"
    )
    assert score["step"] == shipped["step"]
    assert score["value"] == pytest.approx(before["value"], rel=0.02)
    assert zoo("test", "gan-digits", *few, "--model.noise", "gaussian") == 0
    assert "The recipe wins: model.noise is gaussian" in capsys.readouterr().err
    scores = [json.loads(path.read_text()) for path in Path("runs/gan/digits").glob("*/eval.json")]
    assert (
        len(
            {
                r["value"]
                for found in scores
                for r in found
                if r == r | {"metric": score["metric"], "subject": "generated"}
            }
        )
        == 2
    )
    assert zoo("test", "gan-digits", "--model.hidden", 8) == 1
    recipe = ("--config", "pix2pixhd/facades_small", "--data", "zoo.data.pairs.ScenePairs")
    weights = ("--ckpt_path", "pix2pixhd-facades-small", "--wandb", "off")
    assert build([*recipe, *weights], "test").trainer.precision == "32-true"  # for training it is bf16-mixed
    assert "do not fit" in message(capsys)
    assert zoo("test", "--config", "pix2pix/scenes", "--ckpt_path", "gan-digits") == 1
    assert "was trained as zoo.models.gan.GAN" in message(capsys)


def test_environment_record(recipe: Path) -> None:
    assert zoo("fit", "--config", recipe) == 0
    (path,) = Path("runs/toy/points").glob("*/env.json")
    record = json.loads(path.read_text())
    assert record["environment"]["packages"]["torch"] == torch.__version__.split("+")[0]
    assert record["data"]["contract"] == "points"


def test_the_current_folder_is_searched_for_a_recipe_s_classes_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [path for path in sys.path if path])
    Path("accimage.py").write_text("raise SystemExit(9)")  # libraries try to import it
    assert zoo("sample", "gan-digits", "-n", 1, "-o", "x.png") == 0
    assert zoo("fit", "--config", "gan/digits", "--config", "overlays/tiny", "--wandb", "off") == 0
    assert "" not in sys.path
