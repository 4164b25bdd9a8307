"""A small network that reads attributes from pictures, one class per attribute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm


class AttributeReader(nn.Module):
    """Convolutions and poolings, then one linear layer per attribute.

    Args:
        counts: Number of classes of each attribute.
        size: S, a multiple of 16.
        width: Channels of the first layer; doubled up to four times that.
    """

    def __init__(self, counts: Sequence[int], size: int, width: int = 16) -> None:
        super().__init__()
        self.counts = tuple(counts)
        widths = (3, width, 2 * width, 4 * width, 4 * width)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(8 * width), nn.ReLU())
        self.heads = nn.Linear(8 * width, sum(counts))
        self.layers(torch.zeros(2, 3, size, size))  # sets the lazy layer's shape

    def forward(self, image: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] to the classes read, (B, attributes)."""
        return torch.stack([part.argmax(1) for part in self.logits(image)], dim=1)

    def logits(self, image: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, count) of each attribute."""
        return torch.split(self.heads(self.layers(image)), list(self.counts), dim=1)


def train_reader(
    batch: Callable[[int], tuple[Tensor, Tensor]], counts: Sequence[int], size: int, steps: int, seed: int
) -> AttributeReader:
    """Train a reader with Adam and one learning rate cycle.

    Args:
        batch: Images (B, 3, size, size) in [-1, 1] and classes (B, attributes) of a step.
        counts: Number of classes of each attribute.
        size: Side of the images.
        steps: Number of batches.
        seed: Seed of the initial weights.

    Returns:
        The network in evaluation mode, frozen; torch's global RNG state is unchanged.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = AttributeReader(counts, size)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for step in tqdm(range(steps), "Training the reader", leave=False):
        images, classes = batch(step)
        loss = torch.zeros(())
        for part, truth in zip(network.logits(images), classes.T, strict=True):
            loss = loss + F.cross_entropy(part, truth)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        cycle.step()
    return network.eval().requires_grad_(False)
