"""Two small fixed classifiers of handwritten digits, trained by the project and shipped with it.

Metrics use their class and confidence. They never change: each weight file has a JSON file with its training,
its accuracy on held-out images and its hash, which is checked on loading.

Repeat the training with ``python -m zoo.features.digits --data digits|mnist [--root DIR] -o FILE``.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import UserError
from zoo.files.checkpoints import read_tensors
from zoo.files.idx import read_idx
from zoo.files.writing import sha256, write_bytes, write_text

Kind = Literal["digits", "mnist"]
WEIGHTS = Path(__file__).parent / "weights"
SURE = 0.9  # probability from which metrics count an image as a digit


class Plan(NamedTuple):
    """Training settings of one classifier."""

    size: int  # pixels per side
    epochs: int
    batch_size: int
    learning_rate: float
    shift: int  # largest shift of a training image, pixels


PLANS: dict[Kind, Plan] = {"digits": Plan(8, 60, 64, 2e-3, 1), "mnist": Plan(28, 8, 128, 2e-3, 2)}


class Labelled(NamedTuple):
    """Images in [-1, 1] (N, 1, H, W) with their classes (N)."""

    images: Tensor
    labels: Tensor


def classifier(kind: Kind) -> nn.Module:
    """The fixed classifier of 8x8 (``digits``) or 28x28 (``mnist``) images, in evaluation mode and frozen.

    Input (N, 1, H, W) in [-1, 1], output (N, 10) logits; of 32x32 pixels ``mnist`` takes the middle 28x28.

    Raises:
        UserError: The weight file is missing or does not match its JSON.
    """
    path = WEIGHTS / f"{kind}.safetensors"
    if not path.is_file() or sha256(path) != card(kind)["sha256"]:
        raise UserError(
            f"{path} is missing or damaged; reinstall the zoo or retrain it: python -m {__name__}."
        )
    network = _network(kind)
    network.load_state_dict({name: value.float() for name, value in read_tensors(path).items()})
    return network.eval().requires_grad_(False)


def card(kind: Kind) -> dict[str, Any]:
    """Training, accuracy and hash of a shipped classifier."""
    content: dict[str, Any] = json.loads((WEIGHTS / f"{kind}.json").read_text(encoding="utf-8"))
    return content


def read(kind: Kind, root: Path | None) -> tuple[Labelled, Labelled]:
    """Training and held-out images: scikit-learn's for ``digits``, idx files in ``root`` for ``mnist``.

    Raises:
        UserError: ``mnist`` without a folder that holds its files.
    """
    if kind == "digits":
        from sklearn.datasets import load_digits

        bunch = load_digits()
        images = torch.from_numpy(bunch.images).float().unsqueeze(1) / 8 - 1
        labels = torch.from_numpy(bunch.target).long()
        fit = torch.arange(len(labels)) % 7 > 1  # the training split of zoo.data.images.module.Digits
        return Labelled(images[fit], labels[fit]), Labelled(images[~fit], labels[~fit])
    if root is None:
        raise UserError(
            "Give --root, the folder that holds MNIST's four idx files (train-images-idx3-ubyte.gz …)."
        )
    parts = []
    for name in ("train", "t10k"):
        values, _ = read_idx(root / f"{name}-images-idx3-ubyte.gz", 3)
        labels, _ = read_idx(root / f"{name}-labels-idx1-ubyte.gz", 1)
        parts.append(Labelled(values.view(-1, 1, 28, 28).float() / 127.5 - 1, labels.long()))
    return parts[0], parts[1]


def train(kind: Kind, data: Labelled, seed: int) -> nn.Module:
    """Train one classifier with Adam and a cosine schedule, deterministic in ``seed``.

    Noise, a quarter of each batch, is added with the uniform distribution as its target, so that it is not
    taken for a digit.
    """
    plan = PLANS[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(kind).train()
        steps = plan.epochs * (len(data.labels) // plan.batch_size)
        optimizer = torch.optim.Adam(network.parameters(), plan.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(plan.epochs):
            order = torch.randperm(len(data.labels))
            for at in range(0, len(order) - plan.batch_size + 1, plan.batch_size):
                chosen = order[at : at + plan.batch_size]
                images = _shifted(data.images[chosen], plan.shift)
                noise = _noise(images[: plan.batch_size // 4])
                logits = network(torch.cat([images, noise]))
                on_digits, on_noise = logits[: len(images)], logits[len(images) :]
                loss = F.cross_entropy(on_digits, data.labels[chosen])
                loss = loss - 0.25 * F.log_softmax(on_noise, 1).mean()
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
    return network.eval()


def _shifted(images: Tensor, most: int) -> Tensor:
    """Shift the whole batch by one random offset, filled with background."""
    size = images.shape[-1]
    y, x = torch.randint(0, 2 * most + 1, (2,)).tolist()
    return F.pad(images, (most, most, most, most), value=-1.0)[..., y : y + size, x : x + size]


def _noise(images: Tensor) -> Tensor:
    """Half uniform noise, half the images' own pixels shuffled."""
    half = len(images) // 2
    flat = images[half:].flatten(1)
    places = torch.rand_like(flat).argsort(1)
    return torch.cat([torch.rand_like(images[:half]) * 2 - 1, flat.gather(1, places).view_as(images[half:])])


@torch.no_grad()
def score(network: nn.Module, data: Labelled, seed: int) -> dict[str, float]:
    """Accuracy, share of confident answers, accuracy among these, share of noise with a confident answer."""
    p, predicted = torch.cat([network(part) for part in torch.split(data.images, 1000)]).softmax(1).max(1)
    right, sure = predicted == data.labels, p >= SURE
    random = torch.Generator().manual_seed(seed)
    noise = torch.rand((1000, *data.images.shape[1:]), generator=random) * 2 - 1
    return {
        "accuracy": right.float().mean().item(),
        "sure": sure.float().mean().item(),
        "accuracy_when_sure": right[sure].float().mean().item(),
        "sure_on_noise": (network(noise).softmax(1).amax(1) >= SURE).float().mean().item(),
    }


class Classifier(nn.Sequential):
    """Layers that see the middle of padded digits."""

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 1, H, W) in [-1, 1] to logits (N, 10)."""
        logits: Tensor = super().forward(middle(images))  # type: ignore[no-untyped-call]
        return logits


def middle(images: Tensor) -> Tensor:
    """The middle 28x28 of digits that MNIST's ``pad: 2`` made 32x32 (N, C, H, W); others as they are."""
    return images[..., 2:-2, 2:-2] if images.shape[-2:] == (32, 32) else images


def _network(kind: Kind) -> nn.Sequential:
    """The untrained network: (N, 1, 8, 8) or (N, 1, 28, 28) in [-1, 1] to (N, 10) logits."""
    if kind == "digits":
        hidden = 64
        convolutions = [nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()]
    else:  # LeNet's shape
        hidden = 128
        convolutions = [nn.Conv2d(1, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 5), nn.ReLU()]
    return Classifier(
        *convolutions,
        nn.MaxPool2d(2),  # (N, 32, 4, 4)
        *(nn.Flatten(), nn.Dropout(0.3), nn.Linear(512, hidden), nn.ReLU(), nn.Linear(hidden, 10)),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, evaluate on held-out images, and write the weights (float16) and their JSON."""
    parser = argparse.ArgumentParser(prog=f"python -m {__name__}", description=__doc__)
    parser.add_argument("--data", choices=["digits", "mnist"], required=True)
    parser.add_argument("--root", type=Path, help="folder with MNIST's four idx files ($ZOO_DATA/mnist)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .safetensors file to write")
    given = parser.parse_args(arguments)
    root = given.root or (Path(os.environ["ZOO_DATA"]) / "mnist" if "ZOO_DATA" in os.environ else None)
    fit, held_out = read(given.data, root)
    network = train(given.data, fit, given.seed)
    weights = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    # evaluate the weights that are shipped
    network.load_state_dict({name: value.float() for name, value in weights.items()})
    write_bytes(given.output, safetensors.torch.save(weights))
    facts = {
        "data": {"digits": "scikit-learn load_digits, 8x8", "mnist": "MNIST, 28x28"}[given.data],
        "train": len(fit.labels),
        "held_out": len(held_out.labels),
        **score(network, held_out, given.seed),
        "sure_from": SURE,
        "parameters": sum(p.numel() for p in network.parameters()),
        "plan": PLANS[given.data]._asdict(),
        "seed": given.seed,
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("torch", "numpy", "scikit-learn", "safetensors")},
        "sha256": sha256(given.output),
    }
    write_text(given.output.with_suffix(".json"), json.dumps(facts, indent=2) + "\n")
    print(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
