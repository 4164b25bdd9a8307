"""A new paper edits no existing file: the generic tests pass on two toys added to a copy of the tree.

``ToyGame`` is a GAN with everything that a paper brings; ``ToyDigits`` is a classifier, so not a GAN, with an
input kind of its own. Their files are below, by path. The only existing files that change are those that
``make tables`` writes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

TOYS = {
    "zoo/models/toygame.py": '''
"""A toy game on 8x8 digits (Nobody 2026)."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor, nn

from zoo.adversarial import AdversarialModule, Batch, GameOptions, Terms
from zoo.losses import bce, nonsaturating


class ToyGame(AdversarialModule):
    """Linear players.

    Args:
        width: Hidden units of both players.
    """

    takes = "noise"
    gives = "picture"

    def __init__(self, width: int = 32, **options: Unpack[GameOptions]) -> None:
        super().__init__(**options)
        self.save_hyperparameters()
        self.generator = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 64), nn.Tanh())
        self.discriminator = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 1))

    def generate(self, batch: Batch) -> Tensor:
        """Images (B, 1, 8, 8) from noise."""
        return self.draw(len(batch["image"]))

    def draw(self, count: int) -> Tensor:
        """Images (count, 1, 8, 8) from noise."""
        images: Tensor = self.generator(torch.randn(count, 4, device=self.device)).unflatten(1, (1, 8, 8))
        return images

    def discriminator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        """Cross-entropy."""
        return {
            "real": bce(self.discriminator(batch["image"]), 1.0),
            "fake": bce(self.discriminator(fake), 0.0),
        }

    def generator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        """The non-saturating loss."""
        return {"adversarial": nonsaturating(self.discriminator(fake))}

    def configure_optimizers(self) -> Any:
        """Adam for both players."""
        return self.adam(1e-3, (0.5, 0.999))

    def sample(self, count: int, seed: int = 0) -> Tensor:
        """Images (count, 1, 8, 8) in [-1, 1]."""
        with self.in_use(seed):
            return self.draw(count)
''',
    "zoo/references/toygame.py": '''
"""Another implementation of the toy game, which calls its layers otherwise."""

from __future__ import annotations

from zoo.references.matching import Match, State, renamed


def recognise(state: State) -> Match:
    """Recognise its generator."""
    weights = renamed(state, {"first": "0", "last": "2"})
    return Match("generator", {"width": len(state["first.bias"])}, weights)
''',
    "zoo/metrics/toy_brightness.py": '''
"""Mean brightness of generated images."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl

from zoo.data.base import Batch
from zoo.metrics.evaluator import Evaluation, Evaluator, Mean
from zoo.metrics.scoring.report import Row


class ToyBrightness(Evaluator):
    """Mean brightness of generated images."""

    def begin(self, trainer: pl.Trainer, module: Any) -> None:
        """Reset the mean."""
        self._mean = Mean(module.device)

    def update(self, batch: Batch, outputs: Any) -> None:
        """Add a batch."""
        self._mean.add(outputs.mean((1, 2, 3)))

    def finish(self, trainer: pl.Trainer, module: Any) -> Evaluation:
        """The mean."""
        count, mean, error = self._mean.compute(trainer)
        return Evaluation([Row("toy-brightness", mean, protocol={"pictures": count}, error=error)])
''',
    "recipes/toygame/digits.yaml": """
# The toy game on 8x8 digits.
# Run: zoo fit --config toygame/digits
# Time: a second.
model:
  class_path: zoo.models.toygame.ToyGame
data:
  class_path: zoo.data.images.Digits
trainer:
  max_steps: 2
  callbacks:
    - class_path: zoo.metrics.toy_brightness.ToyBrightness
""",
    "recipes/overlays/tiny/toygame.yaml": """
# The toy game with narrow players.
model:
  class_path: zoo.models.toygame.ToyGame
  init_args:
    width: 8
data:
  class_path: zoo.data.images.Digits
""",
    "docs/cards/toygame.md": """
# ToyGame: digits from noise

Nobody et al. 2026, nowhere. Logged: `train/d_real`, `train/d_fake`, `train/g_adversarial`,
`train/d_grad_norm`, `train/g_grad_norm`.

## Pictures

Sixty-four [digits](toydigits.md).

## Weights

<!-- weights: written by make tables -->
<!-- end of weights -->
""",
    "tests/models/test_toygame.py": '''
"""The toy game: shapes."""

from __future__ import annotations

from zoo.models.toygame import ToyGame


def test_toy_shapes() -> None:
    assert ToyGame().sample(3).shape == (3, 1, 8, 8)
''',
    "zoo/models/toydigits.py": '''
"""A toy classifier of 8x8 digits: trained, exported and loaded, though it is not a GAN."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.guards import GuardedModule


class ToyDigits(GuardedModule):
    """A linear classifier.

    Args:
        width: Hidden units.
    """

    takes = "toydigit"
    gives = "toyclass"

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
        self.temperature = nn.Parameter(torch.ones(()))
        self.example_input_array = torch.linspace(-1, 1, 2 * 64).reshape(2, 1, 8, 8)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, 10) of images (B, 1, 8, 8) in [-1, 1]."""
        logits: Tensor = self.network(images) * self.temperature
        return logits

    def sample(self, images: Tensor, seed: int = 0) -> Tensor:
        """Logits (B, 10) of images (B, 1, 8, 8)."""
        with torch.no_grad():
            return self(images)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Cross-entropy."""
        loss = F.cross_entropy(self(batch["image"]), batch["label"])
        self.log("train/loss", loss)
        return loss

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Logits."""
        return self(batch["image"])

    def configure_optimizers(self) -> Any:
        """Adam."""
        return torch.optim.Adam(self.parameters(), 1e-3)
''',
    "zoo/use/toydigit.py": '''
"""A picture of a digit to its class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.use import Given, picture

if TYPE_CHECKING:
    from zoo.checkpoints import Pretrained

find = picture.find


def read(source: Any, model: Pretrained) -> Given:
    """A digit."""
    values, bits = picture.values(source)
    return Given({"images": values[None]}, values, bits)
''',
    "zoo/use/toyclass.py": '''
"""A class."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".txt",)


class Class:
    """A class, as its number."""

    def __init__(self, number: int) -> None:
        self.number = number

    def save(self, path: str | Path) -> None:
        """Write the number."""
        from zoo.files.writing import write_text

        write_text(Path(path), str(self.number))


def write(samples: Tensor, bits: int = 8) -> list[Class]:
    """The classes of logits (N, 10)."""
    return [Class(int(logits.argmax())) for logits in samples]
''',
    "recipes/toydigits/digits.yaml": """
# The toy classifier on 8x8 digits.
# Run: zoo fit --config toydigits/digits
# Time: a second.
model:
  class_path: zoo.models.toydigits.ToyDigits
data:
  class_path: zoo.data.images.Digits
trainer:
  max_steps: 2
""",
    "recipes/overlays/tiny/toydigits.yaml": """
# The toy classifier with few hidden units.
model:
  class_path: zoo.models.toydigits.ToyDigits
  init_args:
    width: 8
data:
  class_path: zoo.data.images.Digits
""",
    "docs/cards/toydigits.md": """
# ToyDigits: a classifier of digits

Logged: `train/loss`.

## Weights

<!-- weights: written by make tables -->
<!-- end of weights -->
""",
}

# the commands for a new paper, and then the generic tests, in one process: importing Lightning takes seconds
SESSION = """
import json, runpy, shutil, sys
from pathlib import Path
import pytest, torch
torch.set_num_threads(1)
from zoo.cli import main

def zoo(*words):
    assert main(list(words)) == 0, words

import zoo as package
from zoo.files.pictures import write_picture

for toy in ("toygame", "toydigits"):
    overlays = ("--config", "overlays/tiny", "--config", f"overlays/tiny/{toy}")
    zoo("fit", "--config", f"{toy}/digits", *overlays, "--wandb", "off")
    (trained,) = Path("runs").glob(f"{toy}/digits/*/checkpoints/last.ckpt")
    title = ("--title", "ToyGame on digits") if toy == "toygame" else ()
    zoo("export", str(trained), "-o", f"checkpoints/{toy}-digits", "--licence", "CC0-1.0", *title)
    zoo("show", f"{toy}/digits")
zoo("test", "--config", "toygame/digits", "--model.width", "8", "--ckpt_path", "last", "--wandb", "off")
runpy.run_path("scripts/tables.py")["main"]()
shutil.rmtree("runs")

zoo("list")
zoo("show", "ToyGame")
zoo("show", "ToyDigits")
zoo("show", "toydigits-digits")
zoo("sample", "toygame-digits", "-n", "3", "-o", "digits.png")
write_picture(Path("digit.png"), package.load("toygame-digits").sample(1)[0])
zoo("sample", "toydigits-digits", "digit.png", "-o", "class.txt")
assert int(Path("class.txt").read_text()) in range(10)
generator = package.load("toygame-digits").module.generator
names = {"0": "first", "2": "last"}
theirs = {names[key[0]] + key[1:]: value for key, value in generator.state_dict().items()}
torch.save(theirs, "theirs.pth")
zoo("convert", "theirs.pth", "--as", "toygame", "-o", "converted")
assert torch.equal(package.load("converted").sample(2), package.load("toygame-digits").sample(2))
assert package.load("toydigits-digits").config["players"] == ["temperature", "network"]

selected = "toy and not ToyGame-2 and not ToyDigits-2 and not two_processes and not channels_last"
paths = [f"tests/test_{name}.py" for name in ("architecture", "recipes", "guarantees", "checkpoints")]
done = pytest.main([*paths, "tests/models/test_toygame.py", "-k", selected, "-vv", "-p", "no:cacheprovider"])
assert done == 0, done
assert pytest.main(["tests/test_tables.py", "-p", "no:cacheprovider"]) == 0
"""


def test_a_new_paper_and_a_new_classifier_edit_no_existing_file(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("zoo", "recipes", "checkpoints", "tests", "docs", "scripts"):
        ignored = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(ROOT / name, tree / name, copy_function=_copy, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "Makefile"):
        shutil.copy(ROOT / name, tree / name)
    for name, text in TOYS.items():
        path = tree / name
        assert not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"), encoding="utf-8")
    before = {path: path.read_bytes() for path in _texts(tree)}
    environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}
    command = [sys.executable, "-B", "-W", "ignore", "-c", SESSION]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    for toy, game in (("toygame", "ToyGame"), ("toydigits", "ToyDigits")):
        for test in (
            f"test_imports_obey_the_table[zoo.models.{toy}]",
            f"test_builds_at_full_width[{toy}/digits]",
            f"test_trains_for_two_steps[{toy}/digits]",
            f"test_a_batch_has_what_the_contract_says[{toy}/digits]",
            f"test_a_checkpoint_and_a_second_run_give_the_same_output[{toy}/digits]",
            f"test_killed_and_resumed_equals_never_stopped[{game}-0]",
            f"test_mixed_precision[{game}]",
            f"test_shipped_weights[{toy}-digits]",
        ):
            assert f"{test} PASSED" in done.stdout, test
    changed = {str(path.relative_to(tree)) for path, text in before.items() if path.read_bytes() != text}
    cards = {"docs/cards/toygame.md", "docs/cards/toydigits.md"}
    assert changed == {"README.md", "checkpoints/index.json", "docs/gallery.md"} | cards  # by make tables
    gallery = (tree / "docs" / "gallery.md").read_text(encoding="utf-8")
    assert "## ToyGame: digits from noise\n\nSixty-four [digits](cards/toydigits.md).\n" in gallery
    readme = (tree / "README.md").read_text(encoding="utf-8")
    assert "| digits from noise | ToyGame (Nobody 2026) |" in readme
    assert "| `toydigits-digits` | ToyDigits on scikit-learn digits" in readme


def _copy(source: str, target: str) -> None:
    """Copy texts, link weights and pictures."""
    if source.endswith((".safetensors", ".npz", ".pt", ".png")):
        os.symlink(source, target)
    else:
        shutil.copy2(source, target)


def _texts(tree: Path) -> list[Path]:
    return [path for path in tree.rglob("*") if path.suffix in (".py", ".yaml", ".md", ".json", ".toml")]
