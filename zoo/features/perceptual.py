"""Perceptual distances between two images: LPIPS, and ST-LPIPS, which a shift by a pixel hardly changes.

LPIPS: R. Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018,
version 0.1. ST-LPIPS: A. Ghildyal and F. Liu, "Shift-tolerant Perceptual Similarity Metric", ECCV 2022; its
trunks were trained as a distance and say little about an image's content. Their scales differ: never compare
one with the other.

Both pass the images through a trunk of five stages, normalise the vector at each position to length one,
weight the squared differences of the channels, average over positions and sum over stages. torchmetrics and
lpips give the same numbers, but cannot be built without a download and lack ST-LPIPS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import UserError
from zoo.features.packaged import fetched, packaged
from zoo.files.writing import sha256

Trunk = Literal["alex", "vgg"]
Distance = Literal["lpips-alex", "lpips-vgg", "st-lpips-alex", "st-lpips-vgg"]


class _Plan(NamedTuple):
    """Configuration of one distance."""

    trunk: Trunk
    tolerant: bool
    least: int  # smallest side that the trunk accepts
    package: str
    file: str  # in the package: channel weights, for ST-LPIPS the trunk too
    download: str = ""  # torchvision's trunk; its name holds the start of its SHA-256


_TORCHVISION = "https://download.pytorch.org/models/"
_TM, _HEADS = "torchmetrics", "functional/image/lpips_models/"
_ST, _WHOLE = "stlpips_pytorch", "weights/vST0.0/"
_INSTALL = {_TM: "pip install --force-reinstall torchmetrics", _ST: "pip install '.[features]' in a clone"}
_SHA256 = {
    "lpips-alex": "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    "lpips-vgg": "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
    "st-lpips-alex": "b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",
    "st-lpips-vgg": "44597da68f49c1837c100ff52299050f274d102eb102e5837178c79be6f0e250",
}
PLANS: dict[Distance, _Plan] = {
    "lpips-alex": _Plan("alex", False, 31, _TM, f"{_HEADS}alex.pth", "alexnet-owt-7be5be79.pth"),
    "lpips-vgg": _Plan("vgg", False, 16, _TM, f"{_HEADS}vgg.pth", "vgg16-397923af.pth"),
    "st-lpips-alex": _Plan("alex", True, 21, _ST, f"{_WHOLE}alex_shift_tolerant.pth"),
    "st-lpips-vgg": _Plan("vgg", True, 18, _ST, f"{_WHOLE}vgg_shift_tolerant.pth"),
}


SLACK = 1e-3  # an eighth of a grey level: rounding errors, not overshoot


class PerceptualNet(nn.Module):
    """The untrained network of all these distances; ``trunk`` is numbered as in torchvision.

    Args:
        trunk: AlexNet's or VGG16's convolutions.
        tolerant: ST-LPIPS: the only strides are in blurs, after the first convolution and each pooling.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, trunk: Trunk, tolerant: bool) -> None:
        super().__init__()
        stages = _alexnet(tolerant) if trunk == "alex" else _vgg16(tolerant)
        self.trunk = nn.Sequential(*(layer for stage in stages for layer in stage))
        ends = torch.tensor([len(stage) for stage in stages]).cumsum(0) - 1
        self.taps = ends.tolist()
        widths = [
            next(m.out_channels for m in reversed(stage) if isinstance(m, nn.Conv2d)) for stage in stages
        ]
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 1, bias=False) for width in widths)
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1), persistent=False)

    def stages(self, images: Tensor) -> list[Tensor]:
        """Activations after each of the five stages, normalised to length one at each position."""
        x, found = (images - self.shift) / self.scale, []
        for at, layer in enumerate(self.trunk):
            x = layer(x)
            if at in self.taps:
                found.append(x / (x.norm(dim=1, keepdim=True) + 1e-10))
        return found

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances (N) between the images of ``a`` and ``b``, each (N, 3, H, W) in [-1, 1]."""
        parts = [
            head((x - y).square()).mean((1, 2, 3))
            for head, x, y in zip(self.heads, self.stages(a), self.stages(b), strict=True)
        ]
        return torch.stack(parts).sum(0)


class PerceptualDistance(nn.Module):
    """Perceptual distance of image pairs; frozen, but differentiable in both images.

    Args:
        name: ``lpips-alex`` is what papers report; ``lpips-vgg`` serves as a loss; ``st-lpips-…`` need no
            download.
        weights: For ``lpips-…``: torchvision's file of ImageNet weights for the trunk
            (alexnet-owt-7be5be79.pth, vgg16-397923af.pth); by default fetched into torch's cache.

    Raises:
        UserError: ``name`` is unknown, or weights are missing or not the expected ones.
    """

    def __init__(self, name: Distance, weights: str | Path | None = None) -> None:
        super().__init__()
        if name not in get_args(Distance):
            raise UserError(f"There is no distance {name!r}; choose one of {', '.join(get_args(Distance))}.")
        plan = PLANS[name]
        if weights is not None and not plan.download:
            raise UserError(f"{name} has its weights from the package {plan.package}; leave weights out.")
        path = packaged(plan.package, plan.file, _SHA256[name], _INSTALL[plan.package])
        found = renamed(torch.load(path, map_location="cpu", weights_only=True))
        if plan.download:
            path = _trunk_file(plan.download, weights)
            found |= renamed(torch.load(path, map_location="cpu", weights_only=True))
        self.name, self.sha256, self.least = name, sha256(path), plan.least
        with torch.random.fork_rng(devices=[]):
            self.network = PerceptualNet(plan.trunk, plan.tolerant)
        self.network.load_state_dict(found)
        self.eval().requires_grad_(False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances (N) between the images of ``a`` and ``b``, each (N, 3, H, W) in [-1, 1]; 0 if equal."""
        check(a, b, self.name, self.least)
        distances: Tensor = self.network(a, b)
        return distances


def is_here(name: Distance) -> bool:
    """Whether the package of a distance is installed."""
    return find_spec(PLANS[name].package) is not None


def check(a: Tensor, b: Tensor, name: str, least: int) -> None:
    """Require two batches that a distance accepts.

    Raises:
        UserError: Not two floating batches (N, 3, H, W) of one size with sides of at least ``least``, or
            values that are not finite or outside [-1, 1].
    """
    if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 3:
        raise UserError(
            f"{name} compares two batches (N, 3, H, W) of one size, but was given {tuple(a.shape)} and "
            f"{tuple(b.shape)}; repeat grey to three channels and drop alpha."
        )
    if min(a.shape[2:]) < least:
        raise UserError(
            f"{name} needs sides of at least {least} pixels, not {tuple(a.shape[2:])}; enlarge them."
        )
    if not (a.is_floating_point() and b.is_floating_point()):
        raise UserError(
            f"{name} compares images in [-1, 1], but was given {a.dtype} and {b.dtype}; rescale them."
        )
    for images in (a, b):
        low, high = (float(x) for x in images.detach().aminmax())
        if not -1 - SLACK <= low <= high <= 1 + SLACK:  # false for NaN, too
            raise UserError(
                f"{name} compares images in [-1, 1], but was given values from {low:.4g} to {high:.4g}; "
                "rescale or clamp them, and check the network that made them."
            )


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of torchvision, lpips or stlpips under :class:`PerceptualNet`'s names; drops all others."""
    patterns = {
        r"(?:features|net\.slice\d)\.(\d+)\.(weight|bias)": r"trunk.\1.\2",
        r"lin(\d)\.model\.1\.(weight)": r"heads.\1.\2",
    }
    return {
        re.sub(pattern, new, key): value
        for key, value in weights.items()
        for pattern, new in patterns.items()
        if re.fullmatch(pattern, key)
    }


def _trunk_file(name: str, given: str | Path | None) -> Path:
    """The user's file, or that in torch's cache, fetched if missing."""
    if given is None:
        path = Path(torch.hub.get_dir()) / "checkpoints" / name
        fetched(f"LPIPS needs torchvision's {name}", [_TORCHVISION + name], path)
    else:
        path = Path(given).expanduser()
    start = name.removesuffix(".pth").rsplit("-", 1)[1]
    if not sha256(path).startswith(start):  # torchvision publishes only these eight digits
        raise UserError(
            f"{path} is not torchvision's {name} (its SHA-256 does not begin {start}); replace it."
        )
    return path


class _Blur(nn.Module):
    """Blur with a binomial filter, padded by two reflected pixels, and halve (R. Zhang, 2019)."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", torch.outer(taps, taps).view(1, 1, 3, 3), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        padded = F.pad(x, (2, 2, 2, 2), mode="reflect")
        return F.conv2d(padded, self.kernel.expand(channels, 1, 3, 3), stride=2, groups=channels)


def _pool(size: int, tolerant: bool) -> list[nn.Module]:
    return [nn.MaxPool2d(size, 1), _Blur()] if tolerant else [nn.MaxPool2d(size, 2)]


def _alexnet(tolerant: bool) -> list[list[nn.Module]]:
    first = nn.Conv2d(3, 64, 11, stride=1 if tolerant else 4, padding=2)
    return [
        [first, *([_Blur()] if tolerant else []), nn.ReLU(inplace=True)],
        [*_pool(3, tolerant), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(inplace=True)],
        [*_pool(3, tolerant), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(inplace=True)],
        [nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(inplace=True)],
        [nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(inplace=True)],
    ]


def _vgg16(tolerant: bool) -> list[list[nn.Module]]:
    stages: list[list[nn.Module]] = []
    channels = 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        stage = _pool(2, tolerant) if stages else []
        for _ in range(count):
            stage += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        stages.append(stage)
    return stages
