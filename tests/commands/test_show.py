from __future__ import annotations

import json

import pytest

from zoo import catalogue, recipes
from zoo.cli import main
from zoo.commands import _names
from zoo.errors import UserError

DOCSTRING = """Do it.

Args:
    width: Channels.
    rate: Of learning,
        on two lines.

Raises:
    ValueError: Never.
"""


def test_a_recipe_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "gan/digits"]) == 0
    assert recipes.find("gan/digits").read_text() in capsys.readouterr().out


@pytest.mark.parametrize("name", ["Pix2Pix", "pix2pix", "zoo.models.pix2pix.Pix2Pix"])
def test_a_model_is_shown_with_defaults_as_they_stand_in_its_signature(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", name]) == 0
    told = capsys.readouterr().out
    assert "1611.07004" in told
    line = next(line for line in told.splitlines() if line.startswith("  lambda_l1 "))
    assert line.split()[1] == "100.0"
    assert "Weight of the L1 term" in line


def test_a_required_argument_is_called_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "PairFolder", "--json"]) == 0
    entry = json.loads(capsys.readouterr().out)
    assert entry["kind"] == "data"
    root = next(argument for argument in entry["arguments"] if argument["name"] == "root")
    assert (root["type"], root["default"], root["help"]) == ("str", "", "The folder.")


def test_weights_that_are_not_here_are_shown_by_the_index(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = {
        "name": "gan/digits-x",
        "folder": "x",
        "files": [],
        "title": "Digits",
        "sha256": "ab12",
        "research_only": False,
    }
    monkeypatch.setattr("zoo.catalogue.checkpoints", lambda: [entry])
    assert main(["show", "gan/digits-x"]) == 0
    told = capsys.readouterr().out
    assert all(word in told for word in ("ab12", "Digits", "research_only", "false"))


def test_the_page_of_a_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "pix2pix-scenes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    folder, _ = catalogue.stored("pix2pix-scenes")
    results = json.loads((folder / "model.json").read_text())["results"]
    distance = {r["subject"]: f"{r['value']:.4g}" for r in results if r["metric"] == "kid-effnet-lite0"}
    for wanted in (
        "takes label map, 16 classes, trained at 64x64",
        "licence weights Apache-2.0",
        "6 meadow (130, 190, 80)",
        f"kid-effnet-lite0 {distance['generated']} {distance['real']}",
        "zoo sample pix2pix-scenes INPUT -o out.png",
        "zoo test pix2pix-scenes",
    ):
        assert any(wanted in " ".join(line.split()) for line in lines), wanted


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"Nothing in the zoo is called Pix2Pux; did you mean Pix2Pix\?"):
        _names.find("Pix2Pux")
    with pytest.raises(UserError, match="zoo list"):
        _names.find("0000")


def test_texts_of_arguments() -> None:
    assert catalogue.argument_texts(DOCSTRING) == {"width": "Channels.", "rate": "Of learning, on two lines."}
