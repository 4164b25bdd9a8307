"""Every recipe is parsed, built at full width and played for two turns on its contract's world."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from zoo import recipes
from zoo.adversarial import PLAYERS, AdversarialModule
from zoo.files.checkpoints import read_checkpoint
from zoo.training import build

RECIPES = {recipe.name: recipe.path for recipe in recipes.all_recipes()}
CARDS = Path(__file__).parents[1] / "docs" / "cards"

# a world for each contract, which needs no files
WORLDS: dict[str, list[str]] = {
    "images": ["--data", "zoo.data.images.Digits"],
    "points": [],
    "pairs": [
        *("--data", "zoo.data.pairs.ScenePairs", "--data.source", "edges", "--data.size", "32"),
        *("--data.train_length", "4", "--data.eval_length", "2"),
    ],
    "super-resolution": [
        *("--data", "zoo.data.superres.SceneTwins", "--data.size", "32"),
        *("--data.train_length", "4", "--data.eval_length", "2"),
    ],
}
# widths at which a step takes milliseconds
TINY: dict[str, dict[str, Any]] = {
    "GAN": {"hidden": 16, "maxout_units": 8, "latent_dim": 8},
    "SRGAN": {  # the content loss asks for no weights, the second stage for no first
        "blocks": 2,
        "width": 4,
        "discriminator_width": 2,
        "size": 32,
        "content": "mse",
        "start_from": "null",
    },
    "Pix2Pix": {
        "levels": 5,
        "width": 4,
        "discriminator_width": 4,
        "receptive_field": 16,
        "in_channels": 1,
        "out_channels": 3,
    },
    "Pix2PixHD": {  # the perceptual distance asks for no weights, a later stage for no earlier
        "in_channels": 16,
        "instance_edges": True,
        "width": 8,
        "downsamplings": 1,
        "blocks": 1,
        "local_blocks": 1,
        "encoder_width": 4,
        "encoder_downsamplings": 1,
        "discriminator_width": 4,
        "discriminator_layers": 1,
        "perceptual": "none",
        "start_from": "null",
    },
}


def content(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(RECIPES[name].read_text())
    return loaded


def contract(name: str) -> str:
    module, _, attribute = content(name)["data"]["class_path"].rpartition(".")
    found: str = getattr(__import__(module, fromlist=[attribute]), attribute).contract
    return found


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")


def tiny(name: str, *more: str) -> Any:
    """The recipe under the tiny overlay, on its contract's world."""
    model = content(name)["model"]["class_path"].rpartition(".")[2]
    options = {
        **TINY[model],
        **({"shape": [1, 8, 8]} if model == "GAN" and contract(name) == "images" else {}),
    }
    overrides = [part for key, value in options.items() for part in (f"--model.{key}", str(value))]
    world = WORLDS[contract(name)]
    if model == "Pix2PixHD":
        world = [*world, "--data.source", "labels"]
    overlay = recipes.bundled("recipes") / "overlays" / "tiny.yaml"
    return build(["--config", name, "--config", str(overlay), *world, *overrides, *more])


def test_the_glob_finds_the_recipes_we_know_of() -> None:
    assert len(RECIPES) >= 14, sorted(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_head_comment_says_how_to_run_it(name: str) -> None:
    head = recipes.head_comment(RECIPES[name])
    assert f"zoo fit --config {name}" in head or f"zoo fit --config recipes/{name}.yaml" in head
    assert re.search(r"^(Time|Takes)", head, re.MULTILINE)


@pytest.mark.parametrize("name", RECIPES)
def test_builds_at_full_width(name: str) -> None:
    with torch.device("meta"):
        built = build(["--config", name])
    assert isinstance(built.model, AdversarialModule)
    assert sum(p.numel() for p in built.model.generator.parameters()) > 0


@pytest.mark.parametrize("name", RECIPES)
def test_plays_two_turns(name: str) -> None:
    built = tiny(name)
    model = built.model
    called: set[nn.Module] = set()
    leaves = [m for m in model.modules() if not list(m.children()) and not isinstance(m, nn.ModuleList)]
    handles = [m.register_forward_hook(lambda module, *_: called.add(module)) for m in leaves]
    before = {player: _state(getattr(model, player)) for player in PLAYERS}
    built.trainer.fit(model, built.datamodule)
    for handle in handles:
        handle.remove()
    assert built.trainer.global_step == 2

    moved = {player: _differs(before[player], _state(getattr(model, player))) for player in PLAYERS}
    judged = bool(getattr(model, "adversarial", True))  # L1 alone has no discriminator's move
    assert moved == {"generator": True, "discriminator": judged}
    silent = [m for m in leaves if m not in called and not isinstance(m, nn.Identity)]
    assert not silent or not judged, silent

    for player, optimizer in zip(PLAYERS, built.trainer.optimizers, strict=True):
        mine = {id(p) for group in optimizer.param_groups for p in group["params"]}
        assert mine == {id(p) for p in getattr(model, player).parameters()}

    terms = {k: v for k, v in built.trainer.logged_metrics.items() if k.startswith("train/")}
    assert terms and all(torch.isfinite(value) for value in terms.values())
    card = (CARDS / f"{type(model).__module__.rpartition('.')[2]}.md").read_text()
    unexplained = [key for key in terms if f"`{key}`" not in card]
    assert not unexplained, f"the card explains no {unexplained}"


@pytest.mark.parametrize("name", RECIPES)
def test_checkpoint_gives_the_same_sample_and_the_same_seed_the_same_run(name: str) -> None:
    first, second = tiny(name), tiny(name)
    for built in (first, second):
        built.trainer.fit(built.model, built.datamodule)
    path = Path("saved.ckpt")
    first.trainer.save_checkpoint(path)
    loaded = type(first.model)(**read_checkpoint(path)["hyper_parameters"])
    loaded.load_state_dict(read_checkpoint(path)["state_dict"])
    loaded.arrange()  # another order of the channels rounds otherwise
    expected = _sample(first.model)
    assert torch.equal(_sample(loaded), expected)
    assert torch.equal(_sample(second.model), expected)
    if contract(name) != "points":
        assert expected.min() >= -1 and expected.max() <= 1


@pytest.mark.parametrize("name", RECIPES)
def test_a_batch_has_what_the_contract_says(name: str) -> None:
    built = tiny(name)
    built.datamodule.setup("fit")
    batch = next(iter(built.datamodule.train_dataloader()))
    pair = {"input", "target"}
    contracts = {"images": {"image"}, "points": {"point"}, "pairs": pair, "super-resolution": pair}
    keys = contracts[contract(name)]
    assert keys <= batch.keys()
    if contract(name) != "points":
        assert all(batch[k].abs().max() <= 1 and batch[k].dtype == torch.float32 for k in keys)


def _sample(model: Any) -> Tensor:
    if model.takes == "noise":
        sampled: Tensor = model.sample(4, seed=1)
        return sampled
    channels = model.hparams["in_channels"]
    picture = torch.rand(1, channels, 32, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1
    translated: Tensor = model.sample(picture, seed=1)
    return translated


def _state(network: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in network.parameters()]


def _differs(before: list[Tensor], after: list[Tensor]) -> bool:
    return any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
