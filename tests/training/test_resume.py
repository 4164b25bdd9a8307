"""One run, one folder, one history: what `--resume auto`, `--ckpt_path` and an evaluation start from."""

from __future__ import annotations

import csv
import json
import os
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
from zoo.guards import GuardedModule
from zoo.metrics.evaluator import Evaluator
from zoo.training import build
from zoo.training.loggers import MetricsFile
from zoo.training.resume import alone, newest_checkpoint

RUNS = Path("runs/toy/points")
AUTO = ("--resume", "auto")
CALLBACK = "--trainer.callbacks+={class_path: lightning.pytorch.callbacks.%s, init_args: {%%s}}"
SAVER, STOP = CALLBACK % "ModelCheckpoint", CALLBACK % "EarlyStopping"


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


class Plateau(GuardedModule):
    """Not adversarial, with a schedule that follows a score."""

    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = self.layer(batch["point"]).square().mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), self.hparams["lr"])
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "monitor": "loss"}}


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


def test_damaged_runs_are_passed_over_and_kept(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("fit", "--config", recipe, "--trainer.max_epochs", 1) == 0
    (first,) = runs()
    (first / "checkpoints" / "last.ckpt").write_bytes(b"half")
    before = (first / "metrics.csv").read_bytes()
    for text in (None, "[" * 100_000, "model: {}", "a: &a [*a]"):
        if text is not None:
            (first / "config.yaml").write_text(text)
        capsys.readouterr()
        assert zoo("fit", "--config", recipe, *AUTO, "--trainer.max_epochs", 1) == 0
        said = capsys.readouterr().err
        assert (
            "none of its checkpoints can be read" if text is None else "damaged"
        ) in said or "Finished" in said
        assert (first / "metrics.csv").read_bytes() == before
    assert len(runs()) == 2


def test_checkpoints_are_ordered_by_their_steps(recipe: Path) -> None:
    assert zoo("fit", "--config", recipe, SAVER % "every_n_train_steps: 3, filename: 'a/{step}'") == 0
    (first,) = runs()
    (early,) = (first / "checkpoints" / "a").glob("*.ckpt")
    os.utime(early, (2**31, 2**31))  # as a copy has it
    newest = newest_checkpoint(first.parent)
    assert newest is not None and newest.name == "last.ckpt"
    newest.unlink()
    assert newest_checkpoint(first.parent) == early


def test_checkpoints_elsewhere_or_of_weights_alone(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = (SAVER % "dirpath: elsewhere").replace("callbacks+=", "callbacks=")  # one callback, not a list
    for saver in (SAVER % "dirpath: elsewhere", alone):
        assert zoo("fit", "--config", recipe, *AUTO, saver) == 2
        assert "leave out dirpath" in capsys.readouterr().err
    more = (SAVER % "save_weights_only: true", "--trainer.max_epochs", 1)
    assert zoo("fit", "--config", recipe, *more) == 0
    (runs()[0] / "checkpoints" / "last.ckpt").unlink()
    assert zoo("fit", "--config", recipe, *AUTO) == 0
    assert "holds weights only" in capsys.readouterr().err


def test_a_checkpoint_given_from_within_its_run(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert zoo("fit", "--config", recipe, "--trainer.max_epochs", 1) == 0
    (folder,) = (path.absolute() for path in runs())
    for place, given in ((folder, "checkpoints/last.ckpt"), (folder / "checkpoints", "last.ckpt")):
        monkeypatch.chdir(place)
        assert zoo("validate", "--config", folder / "config.yaml", "--ckpt_path", given) == 0
    monkeypatch.chdir(folder.parents[3])
    assert runs() == [folder.relative_to(Path.cwd())]


def test_a_run_continues_with_a_logger_of_its_own(recipe: Path) -> None:
    for logger in ("false", "{class_path: lightning.pytorch.loggers.CSVLogger, init_args: {save_dir: logs}}"):
        more = ("--trainer.logger", logger, "--seed_everything", len(runs()))
        assert zoo("fit", "--config", recipe, *more, "--trainer.max_epochs", 1) == 0
        before = len(runs())
        assert zoo("fit", "--config", recipe, *more, *AUTO) == 0
        assert len(runs()) == before


def test_names_that_are_no_text(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["zoo", "fit", "--notes", "caf\udce9"])
    assert zoo("fit", "--config", recipe, "--trainer.max_epochs", 1) == 0
    assert zoo("fit", "--config", recipe, *AUTO) == 0
    assert len(runs()) == 1


def test_early_stopping_ends_a_run(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stop = "monitor: train/d_real, patience: 1, stopping_threshold: 100, mode: min"
    more = (STOP % stop, "--trainer.max_epochs", 9, "--trainer.log_every_n_steps", 1)
    assert zoo("fit", "--config", recipe, *more) == 0
    steps = read_checkpoint(runs()[0] / "checkpoints/last.ckpt")["global_step"]
    assert steps < 36
    capsys.readouterr()
    assert zoo("fit", "--config", recipe, *more, *AUTO) == 0
    assert "EarlyStopping" in capsys.readouterr().err
    assert read_checkpoint(runs()[0] / "checkpoints/last.ckpt")["global_step"] == steps


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


def test_a_column_that_a_written_row_gains(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path)
    for name in ("a", "b", "c"):
        file.log_metrics({name: 1}, 0)
        file.save()
    file.log_metrics({"d": 2}, 1)
    file.save()
    assert (tmp_path / "metrics.csv").read_text() == "a,b,c,d,step\n1,1,1,,1\n,,,2,2\n"


@pytest.mark.parametrize("bad", ["1,2,3,4\n", "9", "x,\u00b2\n", "x,%s\n" % ("9" * 5000), "x\n"])
def test_damaged_rows_are_dropped(tmp_path: Path, bad: str) -> None:
    (tmp_path / "metrics.csv").write_text("a,step\n5,1\n" + bad)
    file = MetricsFile(tmp_path, 10)
    file.log_metrics({"a": 7}, 1)
    file.save()
    assert (tmp_path / "metrics.csv").read_text() == "a,step\n5,1\n7,2\n"


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


def test_a_schedule_by_a_score_resumes_with_another_rate(recipe: Path) -> None:
    one = ("fit", "--config", recipe, "--model", "test_resume.Plateau", "--trainer.max_epochs")
    assert zoo(*one, 1) == 0
    assert zoo(*one, 2, "--ckpt_path", "last", "--model.lr", 0.5) == 0


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
