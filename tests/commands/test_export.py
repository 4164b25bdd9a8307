"""`zoo export` on a checkpoint as a run leaves it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import zoo
from zoo.cli import main
from zoo.errors import UserError
from zoo.models.pix2pix import Pix2Pix


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder with a checkpoint of step 7 and numbers of two steps."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    module = Pix2Pix(levels=3, width=4, discriminator_width=4, receptive_field=16)
    content = {
        "state_dict": module.state_dict(),
        "hyper_parameters": dict(module.hparams),
        "global_step": 7,
        "zoo": {
            "format": 1,
            "class": "zoo.models.pix2pix.Pix2Pix",
            "recipe": "data:\n  root: /home/someone/facades\n",
            "command": "/usr/bin/zoo fit --config pix2pix/facades",
            "seed": 5,
            "environment": {"commit": "abc"},
            "data": {"name": "facades", "licence": "research use only", "research_only": True},
        },
    }
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    torch.save(content, tmp_path / "run" / "checkpoints" / "last.ckpt")
    rows = [
        {"metric": "l1", "value": 1 / step, "subject": "generated", "protocol": {}, "step": step}
        for step in (6, 7)
    ]
    (tmp_path / "run" / "eval.json").write_text(json.dumps(rows))
    return tmp_path / "run"


def test_export(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "export",
        "run/checkpoints/last.ckpt",
        "-o",
        "out",
        "--dtype",
        "float16",
        "--name",
        "facades-64",
    ]
    assert main([*arguments, "--to", "safetensors"]) == 0
    said = capsys.readouterr().out
    config = json.loads(Path("out/model.json").read_text())
    assert config["weights"]["sha256"] in said and "step 7" in said and "1 results" in said
    assert (config["name"], config["dtype"], config["commit"], config["seed"]) == (
        "facades-64",
        "float16",
        "abc",
        5,
    )
    assert config["command"] == "zoo fit --config pix2pix/facades"
    assert config["recipe"] == "data:\n  root: facades\n"
    assert config["research_only"] is True and config["licence"]["data"] == "research use only"
    assert [row["step"] for row in config["results"]] == [7]
    assert sorted(p.name for p in Path("out").iterdir()) == ["model.json", "model.safetensors"]
    zoo.load("out").check_golden()
    assert main(arguments) == 1
    assert "--force" in capsys.readouterr().err
    assert main([*arguments, "--force", "--licence", "CC-BY-4.0", "--results", "run/eval.json"]) == 0
    config = json.loads(Path("out/model.json").read_text())
    assert config["licence"]["weights"] == "CC-BY-4.0"
    assert config["research_only"] is True  # the data's word, which a licence does not undo
    assert len(config["results"]) == 2


def test_both_players(run: Path) -> None:
    sources = ["--source", "hf://we/gans@v1", "--source", "https://we.org/gans"]
    command = ["export", "run/checkpoints/last.ckpt", "-o", "out", "--players", "both"]
    assert main([*command, "--source", "ftp://we.org"]) == 2
    assert main([*command, *sources]) == 0
    assert json.loads(Path("out/model.json").read_text())["sources"] == sources[1::2]
    kept = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    loaded = zoo.load("out").module.state_dict()
    assert loaded.keys() == kept.keys()
    assert all(torch.equal(loaded[key], kept[key]) for key in kept)


def test_checkpoint_that_is_not_there(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "nothing.ckpt", "-o", "out"]) == 2
    assert capsys.readouterr().err == "zoo: There is no checkpoint nothing.ckpt.\n"


def test_killed_run_leaves_no_half_export(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights without a config are not taken for an export."""
    from zoo import checkpoints

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "write_text", fail)
    assert main(["export", "run/checkpoints/last.ckpt", "-o", "out"]) == 130
    with pytest.raises(UserError, match=r"holds no model\.json"):
        zoo.load("out")
