"""Every recipe is parsed, built at full width and trained for two steps under its tiny overlay."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny import RECIPES, tiny
from torch import Tensor, nn

from zoo import recipes
from zoo.adversarial import PLAYERS, AdversarialModule
from zoo.checkpoints import Pretrained, describe
from zoo.data.contracts import CONTRACTS
from zoo.files.checkpoints import read_checkpoint
from zoo.guards import GuardedModule
from zoo.training import build

CARDS = Path(__file__).parents[1] / "docs" / "cards"
pytestmark = pytest.mark.usefixtures("elsewhere")


class Trained:
    """A recipe after two steps, and what was seen on the way."""

    def __init__(self, name: str) -> None:
        built = tiny(name)
        self.model: GuardedModule = built.model
        self.trainer, self.data = built.trainer, built.datamodule
        self.parts = PLAYERS if isinstance(self.model, AdversarialModule) else ("",)
        self.leaves = [m for m in self.model.modules() if not list(m.children())]
        self.called: set[nn.Module] = set()
        handles = [m.register_forward_hook(lambda m, *_: self.called.add(m)) for m in self.leaves]
        before = {part: _weights(self.model, part) for part in self.parts}
        self.trainer.fit(self.model, self.data)
        for handle in handles:
            handle.remove()
        self.moved = {
            part: any(not torch.equal(a, b) for a, b in zip(old, _weights(self.model, part), strict=True))
            for part, old in before.items()
        }


@pytest.fixture(scope="module", params=RECIPES)
def name(request: pytest.FixtureRequest) -> str:
    """Each recipe; the module's scope makes all tests of one recipe follow each other."""
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def trained(name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    """The recipe after two steps, for all tests of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("trained"))
        patch.setenv("WANDB_MODE", "disabled")
        yield Trained(name)


def test_the_glob_finds_the_recipes_we_know_of() -> None:
    assert len(RECIPES) >= 14, sorted(RECIPES)


def test_head_comment_says_how_to_run_it(name: str) -> None:
    head = recipes.head_comment(RECIPES[name])
    assert f"zoo fit --config {name}" in head or f"zoo fit --config recipes/{name}.yaml" in head
    assert re.search(r"^(Time|Takes)", head, re.MULTILINE)


def test_builds_at_full_width(name: str) -> None:
    with torch.device("meta"):
        model = build(["--config", name, "--wandb", "off"]).model
    assert isinstance(model, GuardedModule)
    if isinstance(model, AdversarialModule):
        model = model.generator
    assert sum(p.numel() for p in model.parameters()) > 0


def test_trains_for_two_steps(name: str, trained: Trained) -> None:
    model, trainer = trained.model, trained.trainer
    assert trainer.global_step == 2
    judged = bool(getattr(model, "adversarial", True))  # L1 alone never updates the discriminator
    assert trained.moved == {part: part != "discriminator" or judged for part in trained.parts}
    silent = [m for m in trained.leaves if m not in trained.called and not isinstance(m, _NOT_CALLED)]
    assert not silent or not judged, silent

    for part, optimizer in zip(trained.parts, trainer.optimizers, strict=True):
        mine = {id(p) for group in optimizer.param_groups for p in group["params"]}
        assert mine == {id(p) for p in model.get_submodule(part).parameters() if p.requires_grad}

    terms = {k: v for k, v in trainer.logged_metrics.items() if k.startswith("train/")}
    assert terms and all(torch.isfinite(value) for value in terms.values())
    card = (CARDS / f"{type(model).__module__.split('.')[2]}.md").read_text(encoding="utf-8")
    unexplained = [key for key in terms if f"`{key}`" not in card]
    assert not unexplained, f"the card explains no {unexplained}"


def test_a_batch_has_what_the_contract_says(trained: Trained) -> None:
    batch = next(iter(trained.data.train_dataloader()))
    contract = CONTRACTS[trained.data.contract]
    assert contract.keys <= batch.keys()
    if contract.is_picture:
        tensors = {key: batch[key] for key in contract.keys if isinstance(batch[key], Tensor)}
        assert tensors[contract.real].dim() == 4
        assert all(x.abs().max() <= 1 and x.dtype == torch.float32 for x in tensors.values() if x.dim() == 4)


def test_a_checkpoint_and_a_second_run_give_the_same_output(name: str, trained: Trained) -> None:
    expected = _output(trained.model)
    path = Path("saved.ckpt")
    trained.trainer.save_checkpoint(path)
    saved = read_checkpoint(path)
    loaded = type(trained.model)(**saved["hyper_parameters"])
    loaded.configure_model()  # as Lightning does
    loaded.load_state_dict(saved["state_dict"])
    if isinstance(loaded, AdversarialModule):
        loaded.arrange()  # another memory format rounds otherwise
    assert torch.equal(_output(loaded), expected)
    assert torch.equal(_output(Trained(name).model), expected)
    if trained.model.takes != "nothing" and expected.dim() == 4:
        assert expected.min() >= -1 and expected.max() <= 1


_NOT_CALLED = (nn.Identity, nn.ModuleList)


def _output(model: GuardedModule) -> Tensor:
    """The output for a fixed input."""
    loaded = Pretrained(model.eval(), describe(model, dict(model.hparams), {}), "the model")
    output = loaded.fixed_output()
    assert output is not None, "set example_input_array, so that the output can be compared"
    return output


def _weights(model: GuardedModule, part: str) -> list[Tensor]:
    return [p.detach().clone() for p in model.get_submodule(part).parameters()]
