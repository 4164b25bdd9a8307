"""Tiny games for the tests of the base: linear players, samples drawn by code."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn

from zoo.adversarial import AdversarialModule, Batch, Terms
from zoo.data.base import DataModule, SampleSet, Split
from zoo.losses import bce, nonsaturating


class Points(SampleSet):
    """Sample ``index`` is a vector of its own, moved a little in training, when it is augmented."""

    def __init__(self, count: int, delay: float = 0.0) -> None:
        self.count, self.delay = count, delay

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int, random: torch.Generator | None) -> Batch:
        time.sleep(self.delay)
        point = torch.randn(2, generator=torch.Generator().manual_seed(index))
        return {"point": point if random is None else point + 0.1 * torch.randn(2, generator=random)}


class Data(DataModule):
    """Points, a few of them for validation."""

    contract = "points"

    def __init__(self, count: int = 36, val: int = 0, delay: float = 0.0, **options: Any) -> None:
        super().__init__(**{"batch_size": 4, **options})
        self.count, self.val, self.delay = count, val, delay

    def dataset(self, split: Split) -> SampleSet | None:
        if split == "train":
            return Points(self.count, self.delay)
        return Points(self.val) if self.val else None


class Game(AdversarialModule):
    """Linear players on points; dropout and noise draw random numbers as the papers do."""

    def __init__(self, width: int = 8, lr: float = 0.01, **options: Any) -> None:
        super().__init__(**options)
        self.save_hyperparameters()
        self.lr = lr
        self.generator: nn.Module = nn.Sequential(nn.Linear(3, width), nn.Dropout(0.2), nn.Linear(width, 2))
        self.discriminator: nn.Module = nn.Sequential(
            nn.Linear(2, width), nn.LeakyReLU(0.2), nn.Linear(width, 1)
        )

    def generate(self, batch: Batch) -> Tensor:
        return self.generator(torch.randn(len(batch["point"]), 3, device=self.device))

    def discriminator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        return {
            "real": bce(self.discriminator(batch["point"]), 1.0),
            "fake": bce(self.discriminator(fake), 0.0),
        }

    def generator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        return {"adversarial": nonsaturating(self.discriminator(fake))}

    def configure_optimizers(self) -> Any:
        return [torch.optim.Adam(net.parameters(), self.lr) for net in (self.generator, self.discriminator)]


class Plain(Game):
    """The same game without random draws: the fake is a function of the batch."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.generator = nn.Linear(2, 2)

    def generate(self, batch: Batch) -> Tensor:
        return self.generator(batch["point"])


class Scheduled(Game):
    """Learning rates that halve each epoch or each step."""

    def configure_optimizers(self) -> Any:
        optimizers = super().configure_optimizers()
        return optimizers, [torch.optim.lr_scheduler.ExponentialLR(o, 0.5) for o in optimizers]


class ScheduledByStep(Scheduled):
    schedule_interval = "turn"  # the older name of "step"

    def training_step(self, batch: Batch, batch_idx: int) -> Terms:
        """Two updates of the discriminator, as Algorithm 1 with k = 2."""
        extra = self.update(
            "discriminator", lambda: self.discriminator_loss(batch, self.generate_detached(batch))
        )
        return extra | super().training_step(batch, batch_idx)


class Poisoned(Game):
    """A term becomes NaN at a given step."""

    def __init__(self, at: int, **options: Any) -> None:
        super().__init__(**options)
        self.at = at

    def generator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        terms = super().generator_loss(batch, fake)
        terms["style"] = terms["adversarial"] * (float("nan") if self.trainer.global_step >= self.at else 1.0)
        return terms


class FlatCorner(Game):
    """All terms are finite, but the gradient of one is not: the root of zero."""

    def generator_loss(self, batch: Batch, fake: Tensor) -> Terms:
        return super().generator_loss(batch, fake) | {"root": (fake * 0).square().sum().sqrt()}


def weights(module: nn.Module) -> Tensor:
    """All of a module's state as one vector."""
    return torch.cat([value.detach().flatten().double() for value in module.state_dict().values()])
