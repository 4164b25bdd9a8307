"""Train recipes in tests that ask whether a model learns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo import cli
from zoo.data.base import collate
from zoo.data.worlds import shapes
from zoo.metrics.attributes import border
from zoo.metrics.formulas.frechet import Moments
from zoo.training import build

QUIET = ["--trainer.enable_progress_bar", "false"]


def trained(recipe: str, steps: int, *overrides: str) -> Any:
    """A recipe after its first steps, without its callbacks: an object with ``model`` and ``datamodule``."""
    limits = ["--trainer.max_steps", str(steps), "--trainer.callbacks", "[]", *QUIET]
    built = build(["--config", recipe, *overrides, *limits])
    built.trainer.fit(built.model, built.datamodule)
    return built


def whole(recipe: str) -> dict[tuple[str, str], float]:
    """Train and test a whole recipe through the command; its scores by metric and subject."""
    for verb, more in (("fit", []), ("test", ["--ckpt_path", "last"])):
        assert cli.main([verb, "--config", recipe, *more, *QUIET]) == 0
    (path,) = Path("runs").glob(f"{recipe}/*/eval.json")
    return {(row["metric"], row["subject"]): row["value"] for row in json.loads(path.read_text())}


def colours(images: Tensor) -> Moments:
    """Moments of the mean colours of 4 x 4 parts of each image."""
    return Moments.of(F.adaptive_avg_pool2d(images, 4).flatten(1).double())


def backgrounds_right(built: Any, count: int = 100) -> float:
    """Share of drawn shapes' test sentences whose picture has the right background, of four, at its edge."""
    batch = collate(built.datamodule.split("test").__getitems__(list(range(count))))
    made = border(built.model.sample(batch["text"])).mean(-1)  # (N, 3)
    ground = torch.tensor(shapes._GROUND) / 127.5 - 1
    return float((torch.cdist(made, ground).argmin(1) == batch["attributes"][:, 0]).float().mean())
