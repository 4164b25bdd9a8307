"""The shipped classifiers: whole, as good as their JSON says, honest about noise, and repeatable."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import safetensors.torch
import torch

from zoo.data.images.module import Digits
from zoo.errors import UserError
from zoo.features import digits
from zoo.features.digits import PLANS, Kind, Plan, card, classifier, main, read, score


@pytest.mark.parametrize("kind", ["digits", "mnist"])
def test_the_shipped_network_is_frozen_small_and_gives_ten_logits(kind: Kind) -> None:
    network = classifier(kind)
    side = PLANS[kind].size
    assert network(torch.zeros(3, 1, side, side)).shape == (3, 10)
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    assert sum(p.numel() for p in network.parameters()) == card(kind)["parameters"]
    assert (digits.WEIGHTS / f"{kind}.safetensors").stat().st_size < 400_000


@pytest.mark.parametrize(("kind", "bar"), [("digits", 0.97), ("mnist", 0.99)])
def test_accuracy_on_held_out_pictures_is_what_the_card_says(kind: Kind, bar: float) -> None:
    if kind == "mnist" and "ZOO_DATA" not in os.environ:
        pytest.skip("ZOO_DATA is not set: no MNIST here")
    _, held_out = read(kind, Path(os.environ.get("ZOO_DATA", "")) / "mnist")
    found, said = score(classifier(kind), held_out, card(kind)["seed"]), card(kind)
    assert len(held_out.labels) == said["held_out"]
    for name, value in found.items():
        assert value == pytest.approx(said[name], abs=2 / len(held_out.labels))
    assert found["accuracy"] >= bar and found["sure"] >= 0.95 and found["sure_on_noise"] <= 0.01


def test_held_out_digits_are_those_a_generator_is_not_trained_on() -> None:
    _, held_out = read("digits", None)
    train = Digits().split("train")
    assert train is not None
    known = {train[i]["image"].numpy().tobytes() for i in range(len(train))}
    fresh = [image.numpy().tobytes() not in known for image in held_out.images]
    assert all(fresh) and len(fresh) + len(train) == 1797


def test_a_damaged_weight_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("digits.safetensors", "digits.json"):
        (tmp_path / name).write_bytes((digits.WEIGHTS / name).read_bytes())
    monkeypatch.setattr(digits, "WEIGHTS", tmp_path)
    assert classifier("digits") is not None
    content = bytearray((tmp_path / "digits.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "digits.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"digits\.safetensors is missing or damaged"):
        classifier("digits")


def test_training_repeats_by_seed_and_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PLANS, "digits", Plan(8, 2, 64, 5e-3, 1))
    before = torch.random.get_rng_state()
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        main(["--data", "digits", "--seed", str(seed), "-o", str(tmp_path / f"{name}.safetensors")])
    assert torch.equal(torch.random.get_rng_state(), before)
    a, b, c = ((tmp_path / f"{name}.safetensors").read_bytes() for name in "abc")
    assert a == b and a != c
    facts = json.loads((tmp_path / "a.json").read_text())
    assert facts["seed"] == 3 and facts["accuracy"] > 0.5
    assert all(value.dtype == torch.float16 for value in safetensors.torch.load(a).values())


def test_mnist_without_its_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZOO_DATA", raising=False)
    with pytest.raises(UserError, match="--root"):
        main(["--data", "mnist", "-o", str(tmp_path / "x.safetensors")])
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz"):
        main(["--data", "mnist", "--root", str(tmp_path), "-o", str(tmp_path / "x.safetensors")])
