"""One run, one folder, one history: what `--resume auto`, `--ckpt_path` and an evaluation start from."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from games import Game, Scheduled
from lightning.pytorch.callbacks import Callback
from test_cli import RECIPE, Toys, zoo

from zoo.errors import UserError
from zoo.files.checkpoints import read_checkpoint
from zoo.metrics.evaluator import Evaluator
from zoo.training import build
from zoo.training.resume import alone

RUNS = Path("runs/toy/points")
AUTO = ("--resume", "auto")


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny recipe in an empty folder, which is also the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    path = tmp_path / "toy" / "points.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(RECIPE))
    return path


def runs() -> list[Path]:
    """The run folders, in the order in which they were begun."""
    folders = RUNS.iterdir() if RUNS.is_dir() else []
    return sorted(folders, key=lambda folder: (folder / "env.json").stat().st_mtime_ns)


def state(folder: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(folder / "checkpoints" / "last.ckpt")["state_dict"]


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[key], b[key]) for key in a)


class Half(Callback):
    """Stops within the second epoch as SIGTERM does, or as SIGKILL does: without a checkpoint."""

    at, saves = 6, True

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == type(self).at:
            if type(self).saves:
                trainer.save_checkpoint(Path(trainer.checkpoint_callback.dirpath) / "interrupted.ckpt")
            raise SystemExit(143)


class Counter(Evaluator):
    """Logs the step every two steps."""

    def trend(self, trainer: Any, module: Any) -> dict[str, float]:
        return {"val/steps": float(trainer.global_step)}


class Steep(Scheduled):
    """A rate that falls to 0 in the third epoch."""

    def configure_optimizers(self) -> Any:
        optimizers = Game.configure_optimizers(self)
        return optimizers, [
            torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: max(0.0, 1 - epoch / 2))
            for optimizer in optimizers
        ]


class Wide(Game):
    """Refuses data of two coordinates."""

    def check(self, batch: Any) -> None:
        raise UserError("The data have 2 coordinates; set model.width.")


class Unready(Game):
    """Finds in ``setup`` that something is missing."""

    def setup(self, stage: str) -> None:
        raise UserError("The weights of a loss network are not installed.")


class Momentum(Game):
    """Another class of optimizers by an argument."""

    def __init__(self, sgd: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.save_hyperparameters()
        self.sgd = sgd

    def configure_optimizers(self) -> Any:
        if not self.sgd:
            return super().configure_optimizers()
        return [torch.optim.SGD(net.parameters(), self.lr) for net in (self.generator, self.discriminator)]


# ------------------------------ --resume auto


def test_a_finished_run_says_so(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("fit", "--config", recipe) == 0
    (folder,) = runs()
    before = sorted(folder.rglob("*"))
    for again in (AUTO, ("--ckpt_path", "last")):
        capsys.readouterr()
        assert zoo("fit", "--config", recipe, *again) == 0
        said = capsys.readouterr().err
        assert "has reached trainer.max_epochs 2" in said and "Done" not in said
    assert runs() == [folder] and sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("--seed_everything", 1), "seed_everything is 1 here, 0 there"),
        (("--data.count", 20), "data.count is 20 here, 16 there"),
        (("--data.batch_size", 2), "data.batch_size is 2 here, 4 there"),
        (("--model.lr", 0.02), "model.lr is 0.02 here, 0.01 there"),
        (("--trainer.precision", "bf16-mixed"), "trainer.precision is 'bf16-mixed' here, None there"),
    ],
)
def test_a_run_of_other_settings_is_passed_over(
    recipe: Path, capsys: pytest.CaptureFixture[str], change: tuple[Any, ...], why: str
) -> None:
    assert zoo("fit", "--config", recipe, "--trainer.max_epochs", 1) == 0
    (first,) = runs()
    capsys.readouterr()
    assert zoo("fit", "--config", recipe, *AUTO, *change, "--trainer.max_epochs", 1) == 0
    said = capsys.readouterr().err
    assert why in said and str(first) in said
    assert len(runs()) == 2
    capsys.readouterr()
    assert zoo("fit", "--config", recipe, *AUTO) == 0  # the older of the two is the same run
    assert "Newer runs differ: " in capsys.readouterr().err
    assert len(runs()) == 2 and read_checkpoint(first / "checkpoints/last.ckpt")["global_step"] == 8


def test_other_data_of_one_recipe_are_another_run(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert zoo("fit", "--config", recipe, "--trainer.max_epochs", 1) == 0
    monkeypatch.setattr(Toys, "fingerprint", lambda self: "other")
    assert zoo("fit", "--config", recipe, *AUTO) == 0
    assert "data fingerprint is 'other' here" in capsys.readouterr().err
    assert len(runs()) == 2


def test_another_file_of_one_name_is_another_recipe(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("fit", "--config", recipe, "--trainer.max_epochs", 1) == 0
    other = recipe.parent.parent / "elsewhere" / "toy" / recipe.name
    other.parent.mkdir(parents=True)
    shutil.copy(recipe, other)
    assert zoo("fit", "--config", other, *AUTO) == 0
    assert "recipe is 'elsewhere/toy/points.yaml' here, 'toy/points.yaml' there" in capsys.readouterr().err
    assert len(runs()) == 2


def test_a_run_that_ended_before_its_first_checkpoint_is_begun_again(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Half, "saves", False)
    with pytest.raises(SystemExit):
        zoo("fit", "--config", recipe, "--trainer.callbacks+=test_resume.Half")
    (folder,) = runs()
    assert zoo("fit", "--config", recipe, *AUTO) == 0
    assert runs() == [folder] and (folder / "checkpoints/last.ckpt").is_file()


def test_an_overlay_of_equal_settings_is_the_same_run(recipe: Path, tmp_path: Path) -> None:
    assert zoo("fit", "--config", recipe, "--trainer.max_epochs", 1) == 0
    (tmp_path / "more.yaml").write_text("trainer: {log_every_n_steps: 1}")
    assert zoo("fit", "--config", recipe, "--config", tmp_path / "more.yaml", *AUTO) == 0
    assert len(runs()) == 1


def test_a_run_remembers_where_it_began(recipe: Path) -> None:
    assert zoo("fit", "--config", recipe, "--trainer.max_epochs", 1, "--seed_everything", 7) == 0
    assert zoo("fit", "--config", recipe, "--ckpt_path", "last", "--model.lr", 0.5) == 0
    assert zoo("fit", "--config", recipe, *AUTO, "--model.lr", 0.5, "--trainer.max_epochs", 3) == 0
    record = json.loads((runs()[-1] / "env.json").read_text())
    assert [(one["until_step"], one["seed"]) for one in record["earlier"]] == [(4, 7), (8, 0)]
    assert read_checkpoint(runs()[-1] / "checkpoints/last.ckpt")["zoo"]["earlier"] == record["earlier"]


def test_a_training_that_fails_before_its_first_step_leaves_no_folder(recipe: Path) -> None:
    assert zoo("fit", "--config", recipe, "--model", "test_resume.Unready") == 1
    assert runs() == []


def test_a_run_that_another_process_trains_is_refused(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert zoo("fit", "--config", recipe, "--trainer.max_epochs", 1) == 0
    (folder,) = runs()
    with alone(folder):
        assert zoo("fit", "--config", recipe, *AUTO) == 1
    assert f"Another process is training in {folder}" in capsys.readouterr().err
    assert zoo("fit", "--config", recipe, *AUTO) == 0
    assert not list(folder.glob(".*"))


# ------------------------------ one history


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("at", "saves", "every"), [(6, True, 1), (5, True, 2), (7, False, 3)])
def test_a_resumed_run_has_one_history(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, at: int, saves: bool, every: int
) -> None:
    counter = {"class_path": "test_resume.Counter", "init_args": {"every_n_steps": every}}
    saver = {
        "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
        "init_args": {"every_n_train_steps": 3},
    }
    content = RECIPE | {"trainer": RECIPE["trainer"] | {"callbacks": [counter, saver], "max_epochs": 3}}
    recipe.write_text(yaml.safe_dump(content))
    assert zoo("fit", "--config", recipe) == 0
    (whole,) = runs()
    monkeypatch.setattr(Half, "at", at)
    monkeypatch.setattr(Half, "saves", saves)
    seeded = ("--config", recipe, "--seed_everything", 1)
    with pytest.raises(SystemExit):
        zoo("fit", *seeded, "--trainer.callbacks+=test_resume.Half")
    monkeypatch.setattr(Half, "at", -1)
    assert zoo("fit", *seeded, *AUTO) == 0
    assert len(runs()) == 2
    resumed = next(folder for folder in runs() if folder != whole)
    assert [row["step"] for row in rows(resumed)] == [row["step"] for row in rows(whole)]
    assert [set(k for k, v in row.items() if v) for row in rows(resumed)] == [
        set(k for k, v in row.items() if v) for row in rows(whole)
    ]
    assert zoo("fit", *seeded, "--trainer.max_epochs", 4, "--ckpt_path", resumed) == 0  # its budget grows
    steps = [int(row["step"]) for row in rows(resumed)]
    assert len(runs()) == 2 and steps == sorted(set(steps)) and steps[-1] == 16
    assert [len(row) for row in rows(resumed)] == [len(rows(resumed)[0])] * len(steps)


def test_an_earlier_checkpoint_or_another_setting_begins_a_new_folder(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert zoo("fit", "--config", recipe, "--trainer.max_epochs", 1) == 0
    (first,) = runs()
    earlier = first / "checkpoints" / "earlier.ckpt"
    shutil.copy(first / "checkpoints" / "last.ckpt", earlier)
    assert zoo("fit", "--config", recipe, *AUTO) == 0
    before = (first / "metrics.csv").read_bytes()
    for arguments in (("--ckpt_path", earlier), ("--ckpt_path", earlier, "--model.lr", 0.5)):
        capsys.readouterr()
        assert zoo("fit", "--config", recipe, *arguments) == 0
        said = capsys.readouterr().err
        assert f"From {earlier}" in said and "A new run folder: " in said
    assert len(runs()) == 3 and (first / "metrics.csv").read_bytes() == before


# ------------------------------ settings that are in force


class Rates(Callback):
    """The learning rate of each step, and the optimizer's count of its own."""

    seen: list[tuple[float, int]] = []

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        optimizer = trainer.optimizers[0]
        (moments, *_) = optimizer.state.values()
        self.seen.append((optimizer.param_groups[0]["lr"], int(moments["step"])))


@pytest.mark.parametrize("kind", ["Game", "Scheduled", "ScheduledByStep"])
def test_a_changed_rate_is_in_force_after_a_resume(recipe: Path, kind: str) -> None:
    one = ("fit", "--config", recipe, "--model", f"games.{kind}", "--trainer.callbacks+=test_resume.Rates")
    Rates.seen = []
    assert zoo(*one, "--model.lr", 0.5, "--trainer.max_epochs", 3) == 0
    wanted, Rates.seen = Rates.seen, []
    assert zoo(*one, "--trainer.max_epochs", 2) == 0
    Rates.seen = []
    assert zoo(*one, "--model.lr", 0.5, "--trainer.max_epochs", 3, "--ckpt_path", "last") == 0
    assert Rates.seen == wanted[8:]


def test_another_optimizer_is_refused(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("fit", "--config", recipe, "--model", "test_resume.Momentum") == 0
    arguments = ("--model", "test_resume.Momentum", "--model.sgd", "true", "--trainer.max_epochs", 3)
    assert zoo("fit", "--config", recipe, *arguments, "--ckpt_path", "last") == 1
    assert "optimizers are of another kind" in capsys.readouterr().err


def test_a_changed_seed_is_in_force_after_a_resume(recipe: Path) -> None:
    assert zoo("fit", "--config", recipe, "--trainer.max_epochs", 1) == 0
    (first,) = runs()
    for seed in (0, 1):
        shutil.copytree(first, f"copy{seed}/run/checkpoints/..", dirs_exist_ok=True)
        Path(f"copy{seed}/run/config.yaml").unlink()
        more = ("--seed_everything", seed, "--ckpt_path", f"copy{seed}/run/checkpoints/last.ckpt")
        assert zoo("fit", "--config", recipe, *more) == 0
    same, other = runs()[-2:]
    assert not equal(state(same), state(other))
    assert read_checkpoint(other / "checkpoints/last.ckpt")["zoo"]["seed"] == 1


def test_a_rate_of_zero_is_named_before_the_first_step(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("fit", "--config", recipe, "--model", "test_resume.Steep", "--trainer.max_epochs")
    assert zoo(*arguments, 4) == 0
    assert "From epoch 2 on the learning rate is 0, but the run has 4 epochs" in capsys.readouterr().err
    assert zoo(*arguments, 2) == 0
    assert "the learning rate is 0" not in capsys.readouterr().err


def test_data_that_do_not_fit_make_no_folder(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("fit", "--config", recipe, "--model", "test_resume.Wide") == 1
    assert "2 coordinates" in capsys.readouterr().err
    assert zoo("fit", "--config", recipe, "--data.batch_size", 17) == 1
    assert runs() == []


# ------------------------------ evaluations


def test_a_run_is_evaluated_with_its_own_config(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("fit", "--config", recipe, *AUTO, "--model.width", 4) == 0
    (folder,) = runs()
    config = folder / "config.yaml"
    assert not {"resume", "ckpt_path"} & yaml.safe_load(config.read_text()).keys()
    for arguments in (
        ("--config", config),
        ("--config", recipe, "--ckpt_path", "last"),
        ("--config", recipe, "--ckpt_path", folder),
        (f"--config={recipe}", f"--ckpt_path={folder / 'checkpoints'}"),
    ):
        assert zoo("validate", *arguments) == 0
    capsys.readouterr()
    assert zoo("validate", "--config", recipe, "--ckpt_path", folder / "checkpoints/last.ckpt") == 1
    assert "does not fit this model" in capsys.readouterr().err
    assert runs() == [folder]
    config.write_text(config.read_text() + "resume: auto\n")  # as earlier versions wrote it
    assert zoo("validate", "--config", config) == 0


# ------------------------------ names of data


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ((), "facades"),
        (("--data.root", "elsewhere/facades"), "facades"),
        (("--data.root", "mine"), None),
        (("--data.root", "mine", "--data.name", "flowers"), "flowers"),
        (("--config", "overlay.yaml"), None),
    ],
)
def test_a_name_stays_with_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], name: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    for root in ("data/facades", "elsewhere/facades", "mine"):
        (tmp_path / root).mkdir(parents=True)
    Path("overlay.yaml").write_text("data: {init_args: {root: mine}}")
    built = build(["--config", "pix2pix/facades_small", *options, "--wandb", "off"])
    assert built.config.data.init_args.name == name
    assert built.datamodule.name == name or (name is None and built.datamodule.name == "mine")
