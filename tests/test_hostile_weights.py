"""Weights and results that somebody damaged or made up: each is loaded, or refused in one sentence."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import resource
import runpy
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import safetensors.torch
import torch
from tiny import game, games

from zoo import checkpoints
from zoo.catalogue import find_weights
from zoo.checkpoints import CONFIG, WEIGHTS, export, load
from zoo.cli import main
from zoo.data.points import Points
from zoo.errors import UserError
from zoo.files.checkpoints import read_checkpoint, read_own_checkpoint, read_tensors
from zoo.metrics.scoring.report import Row, record
from zoo.models.gan import GAN

GAMES = games()

DEEP: Any = []
for _ in range(60):
    DEEP = [DEEP]
WRONG = [None, True, -1, 0, 1.5, "x", [], {}, [[]], "\ud800", 10**30, float("nan"), DEEP]
MEGABYTES = 300  # that refusing everything below may add


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=run,
    )
    module = GAN(shape=(2,), data_key="point", hidden=4, maxout_units=2, maxout_pieces=2, latent_dim=2)
    trainer.fit(module, Points("ring", batch_size=8))
    trainer.save_checkpoint(run / "checkpoints" / "last.ckpt")
    row = {"metric": "fd", "value": 0.5, "subject": "generated", "protocol": {"made": {"count": 4}}}
    more = {"step": 2, "error": None, "paper": None, "differs": None}
    (run / "eval.json").write_text(json.dumps([row | more]))
    return run / "checkpoints" / "last.ckpt"


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "weights"
    export(trained, folder)
    return folder


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < MEGABYTES


def places(value: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    """The path of keys to everything in nested dicts, and in the first two items of lists."""
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, *path, key)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value[:2]):
            yield from places(item, *path, index)


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with another value at a path."""
    if not path:
        return new
    if isinstance(value, tuple):
        return tuple(replaced(list(value), path, new))
    changed = copy.copy(value)
    changed[path[0]] = replaced(value[path[0]], path[1:], new)
    return changed


def refused(act: Callable[[], Any]) -> str | None:
    """What a UserError says, on one line; nothing if it works. Any other exception fails the test."""
    try:
        act()
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 500
        return str(error)
    return None


def attack(content: Any, write: Callable[[Any], Any], act: Callable[[], Any]) -> list[tuple[Any, ...]]:
    """Replace everything in turn by every wrong value; the paths of which some value was refused."""
    found = []
    for number, path in enumerate(places(content)):
        said = []
        for new in WRONG if len(path) < 2 else WRONG[number % 13 :: 13]:
            write(replaced(content, path, new))
            try:
                said.append(refused(act))
            except Exception as error:
                error.add_note(f"{path} is {new!r:.60}")
                raise
        if any(said):
            found.append(path)
    return found


def test_a_config_of_wrong_values(exported: Path) -> None:
    content = json.loads((exported / CONFIG).read_text())

    def use() -> None:
        model = load(exported)
        model.sample(2)
        model.check_golden()

    try:
        found = attack(content, lambda changed: (exported / CONFIG).write_text(json.dumps(changed)), use)
    finally:
        (exported / CONFIG).write_text(json.dumps(content))
    stated = {"class", "hyper_parameters", "players", "weights", "data", "golden", "results", "dtype"}
    assert stated | {"licence"} <= {path[0] for path in found if path}
    use()


def test_a_checkpoint_of_wrong_values(trained: Path, tmp_path: Path) -> None:
    content, path = torch.load(trained, weights_only=True), tmp_path / "last.ckpt"
    found = attack(content, lambda changed: torch.save(changed, path), lambda: load(path).sample(2))
    stated = {"state_dict", "hyper_parameters", "epoch", "global_step", "zoo", "position", "loops"}
    assert stated | {"optimizer_states"} <= {place[0] for place in found if place}


def test_files_that_are_no_json(exported: Path, trained: Path, tmp_path: Path) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    whole = (exported / CONFIG).read_bytes()
    bad = [deep.encode(), b"", b"\xff\xfe", b"3", b"null", b'{"format": 1e400}', b'{"format": NaN}']
    bad += [
        b"[" * 10**7,
        b'{"a": 1, "b": ' + deep.encode() + b"}",
        b'"\\ud800"',
        b'{"format": ' + b"1" * 5000 + b"}",
    ]
    for content in (*bad, b" " * 2**24):
        (exported / CONFIG).write_bytes(content)
        assert refused(lambda: load(exported))
        (tmp_path / "eval.json").write_bytes(content)
        assert refused(lambda: export(trained, tmp_path / "out", results=tmp_path / "eval.json"))
        assert not (tmp_path / "out").exists()
    (exported / CONFIG).write_bytes(whole)


@pytest.mark.parametrize("form", [True, "1", 0, -1, 1.0, None, 2, [1]])
def test_unknown_formats(exported: Path, trained: Path, tmp_path: Path, form: Any) -> None:
    content = json.loads((exported / CONFIG).read_text())
    (exported / CONFIG).write_text(json.dumps(content | {"format": form}))
    said = refused(lambda: load(exported))
    (exported / CONFIG).write_text(json.dumps(content))
    assert said and "format" in said and CONFIG in said
    checkpoint = torch.load(trained, weights_only=True)
    checkpoint["zoo"]["format"] = form
    torch.save(checkpoint, tmp_path / "new.ckpt")
    said = refused(lambda: read_checkpoint(tmp_path / "new.ckpt"))
    assert said and "format" in said and "new.ckpt" in said


def hyper_parameters(changes: dict[str, Any], folder: Path) -> str | None:
    """What is said of an export with other hyper-parameters."""
    content = json.loads((folder / CONFIG).read_text())
    changed = content | {"hyper_parameters": content["hyper_parameters"] | changes}
    (folder / CONFIG).write_text(json.dumps(changed))
    said = refused(lambda: load(folder))
    (folder / CONFIG).write_text(json.dumps(content))
    return said


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden": 10**7},
        {"hidden": 10**15},
        {"hidden": -1},
        {"shape": [10**5, 10**5]},
        {"shape": [2] * 100_000},
        {"latent_dim": 10**9},
        {"data_key": "video"},
        {"widht": 3},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_networks_that_the_weights_do_not_fill(exported: Path, changes: dict[str, Any]) -> None:
    said = hyper_parameters(changes, exported)
    assert said and str(exported) in said


def test_a_player_that_is_not_in_the_file_takes_no_memory(exported: Path) -> None:
    assert hyper_parameters({"maxout_units": 10**7}, exported) is None  # the discriminator was not kept


@pytest.mark.parametrize("recipe", sorted(GAMES), ids=str)
def test_layers_without_number(recipe: str, tmp_path: Path) -> None:
    """No hyper-parameter of any paper makes loading long or large."""
    module = game(recipe).model
    config = checkpoints.describe(module, dict(module.hparams), {})
    checkpoints.write(module, config, tmp_path / "weights")
    numbers = [key for key, value in module.hparams.items() if type(value) is int]
    assert numbers
    for key in numbers:
        for huge in (1000, 10**6, 10**9):
            hyper_parameters({key: huge}, tmp_path / "weights")


# -------------------------------------------------------------------------------------------------- tensors


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(trained: Path, exported: Path, tmp_path: Path, value: float) -> None:
    checkpoint = torch.load(trained, weights_only=True)
    name = "generator.first.weight"
    checkpoint["state_dict"][name][0] = value
    torch.save(checkpoint, tmp_path / "bad.ckpt")
    for act in (load, read_checkpoint, lambda path: export(path, tmp_path / "out")):
        said = refused(lambda act=act: act(tmp_path / "bad.ckpt"))  # type: ignore[misc]
        assert said and "bad.ckpt" in said and name in said
    assert not (tmp_path / "out").exists()
    torch.save(checkpoint["state_dict"], tmp_path / "bad.pth")
    safetensors.torch.save_file(checkpoint["state_dict"], tmp_path / "bad.safetensors")
    for file in ("bad.pth", "bad.safetensors"):
        said = refused(lambda file=file: read_tensors(tmp_path / file))  # type: ignore[misc]
        assert said and file in said and name in said
    checkpoint = torch.load(trained, weights_only=True)
    momentum = checkpoint["optimizer_states"][0]["state"][0]["momentum_buffer"]
    momentum[0] = value
    torch.save(checkpoint, tmp_path / "bad.ckpt")
    said = refused(lambda: read_checkpoint(tmp_path / "bad.ckpt"))
    assert said and "optimizer_states.0.state.0.momentum_buffer" in said


def test_a_checkpoint_of_another_program(tmp_path: Path) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(1)}, "epoch": 1, "global_step": 3}, tmp_path / "a.ckpt")
    assert read_checkpoint(tmp_path / "a.ckpt")["epoch"] == 1
    said = refused(lambda: read_own_checkpoint(tmp_path / "a.ckpt"))
    assert said and "a.ckpt" in said and "another program" in said


def saved(content: Any) -> bytes:
    torch.save(content, buffer := io.BytesIO())
    return buffer.getvalue()


def rezipped(file: bytes, compression: int, **entries: bytes) -> bytes:
    """A torch file compressed, or with other entries."""
    with (
        zipfile.ZipFile(io.BytesIO(file)) as old,
        zipfile.ZipFile(out := io.BytesIO(), "w", compression) as new,
    ):
        for name in old.namelist():
            new.writestr(name, entries.get(Path(name).stem, old.read(name)))
    return out.getvalue()


def huge() -> Iterator[bytes]:
    """Small files that ask for gigabytes, or for ever."""
    count = b"\x8a\x05" + struct.pack("<q", 10**10)[:5] + b"\x85R."
    for name in (b"cbuiltins\nbytearray\n", b"ctorch\nTensor\n"):
        yield rezipped(saved({}), zipfile.ZIP_STORED, data=b"\x80\x02" + name + count)
    yield saved({"state_dict": {"generator.a": torch.zeros(1).expand(10**5, 10**5)}})
    yield rezipped(saved({"state_dict": {"generator.a": torch.zeros(2 * 10**7)}}), zipfile.ZIP_DEFLATED)
    yield saved({"state_dict": {}, "callbacks": {"a": [None] * (2 * 10**6)}})
    doubled: Any = []
    for _ in range(25):
        doubled = [doubled] * 10
    yield saved({"state_dict": {}, "hyper_parameters": {"shape": doubled}, "optimizer_states": doubled})


def test_small_files_that_ask_for_much(tmp_path: Path) -> None:
    for content in huge():
        assert len(content) < 3 * 10**6
        (tmp_path / "a.ckpt").write_bytes(content)
        assert refused(lambda: read_checkpoint(tmp_path / "a.ckpt"))
        assert refused(lambda: read_tensors(tmp_path / "a.ckpt"))


def test_files_of_old_versions_of_torch_are_read_and_bounded(tmp_path: Path) -> None:
    state = {"a.weight": torch.ones(2, 3), "b": torch.arange(3)}
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(read_tensors(tmp_path / "old.pth")["a.weight"], state["a.weight"])
    old = (tmp_path / "old.pth").read_bytes()
    bomb = b"\x80\x02cbuiltins\nbytearray\n\x8a\x05" + struct.pack("<q", 10**10)[:5] + b"\x85R."
    start = old.index(b"a.weight")  # within the fourth pickle, the content
    whole = old[: old.rindex(b"\x80\x02", 0, start)] + bomb
    for content in (whole, whole + saved(state)):  # the second ends as a zip file does
        (tmp_path / "old.pth").write_bytes(content)
        assert refused(lambda: read_tensors(tmp_path / "old.pth"))


def test_a_header_of_a_million_tensors(tmp_path: Path) -> None:
    names = ",".join(f'"{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for i in range(200_000))
    header = f"{{{names}}}".encode()
    (tmp_path / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    assert refused(lambda: read_tensors(tmp_path / "a.safetensors"))


def test_what_is_no_file(exported: Path, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.ckpt").mkdir()
    os.mkfifo(tmp_path / "pipe.ckpt")
    names = ["folder.ckpt", "pipe.ckpt", "missing.ckpt", "x" * 300, "~nobody/x.ckpt", "a\0b"]
    for path in (tmp_path / name for name in names):
        for act in (load, read_checkpoint, read_tensors, lambda path: export(path, tmp_path / "out")):
            assert refused(lambda act=act, path=path: act(path))  # type: ignore[misc]
        assert refused(lambda path=path: find_weights(str(path)) or load(path))
    (tmp_path / "weights").mkdir()
    os.mkfifo(tmp_path / "weights" / CONFIG)
    assert refused(lambda: load(tmp_path / "weights"))
    (tmp_path / "weights" / CONFIG).unlink()
    (tmp_path / "weights" / CONFIG).write_bytes((exported / CONFIG).read_bytes())
    os.mkfifo(tmp_path / "weights" / WEIGHTS)
    assert refused(lambda: load(tmp_path / "weights"))


# -------------------------------------------------------------------------------------------- whole commands


def said_by(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command says when it ends with status 1: the last line."""
    capsys.readouterr()
    assert main([*arguments]) == 1
    said = capsys.readouterr().err.splitlines()
    assert "Error:" not in said[-1] and not any("Traceback" in line for line in said)
    return said[-1]


def test_a_training_does_not_go_on_from_what_it_cannot_restore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["fit", "--config", str(GAMES["GAN"]), "--config", "overlays/tiny", "--wandb", "off"]
    assert main([*command, "--trainer.max_steps", "1"]) == 0
    (good,) = Path("runs").rglob("last.ckpt")
    content = torch.load(good, weights_only=True)

    def resumed(name: str, **changes: Any) -> str:
        torch.save({**content, **changes}, name)
        return said_by(capsys, *command, "--trainer.max_steps", "2", "--ckpt_path", name)

    assert "another program" in resumed("foreign.ckpt", zoo=None)
    states = [{**state, "param_groups": [{"params": [0]}]} for state in content["optimizer_states"]]
    assert "a.ckpt cannot be restored" in resumed("a.ckpt", optimizer_states=states)
    loops = {**content["loops"], "fit_loop": {"state_dict": 3}}
    assert "b.ckpt cannot be restored" in resumed("b.ckpt", loops=loops)
    assert "c.ckpt: state_dict must be" in resumed("c.ckpt", state_dict=[3])
    weights = {key: value * float("nan") for key, value in content["state_dict"].items()}
    assert "d.ckpt: the tensor" in resumed("d.ckpt", state_dict=weights)


def test_conversions_name_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": torch.zeros(3)}, "other.pth")
    assert "other.pth: " in said_by(capsys, "convert", "other.pth", "--as", "pix2pix", "-o", "out")
    scalars = {
        f"model.model.{name}": torch.zeros(()) for name in ("0.weight", "3.weight", "1.model.2.weight")
    }
    torch.save(scalars, "scalars.pth")
    assert "scalars.pth: " in said_by(capsys, "convert", "scalars.pth", "--as", "pix2pix", "-o", "out")
    Path("pickle.pth").write_bytes(pickle.dumps({"weight": Path("x")}))
    assert "pickle.pth is damaged" in said_by(capsys, "convert", "pickle.pth", "--as", "pix2pix", "-o", "out")


def test_damaged_results_are_named_before_anything_is_computed(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for content, told in (
        ("[3]", "[0] must be a mapping"),
        ("{", "is damaged"),
        ('[{"step": 1}]', "lacks metric"),
    ):
        (tmp_path / "eval.json").write_text(content)
        with pytest.raises(UserError) as error:
            record(tmp_path, [Row("fd", 1.0)], 3)
        assert told in str(error.value) and "eval.json" in str(error.value)
        assert (tmp_path / "eval.json").read_text() == content
    tables = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "tables.py"))
    (tmp_path / "checkpoints" / "a").mkdir(parents=True)
    monkeypatch.setitem(tables["published"].__globals__, "ROOT", tmp_path)
    model = json.loads((exported / CONFIG).read_text())
    attack(
        model,
        lambda changed: (tmp_path / "checkpoints" / "a" / CONFIG).write_text(json.dumps(changed)),
        lambda: (tables["index"](), tables["weights"](), tables["table"]()),
    )
