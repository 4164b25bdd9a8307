"""LPIPS beside its fixture and torchmetrics, ST-LPIPS beside its package's numbers."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from parity import rule
from torch import Tensor
from torchmetrics.functional.image import lpips as theirs
from torchvision.models import alexnet

from zoo.errors import UserError
from zoo.features import perceptual
from zoo.features.perceptual import PLANS, Distance, PerceptualDistance, PerceptualNet, check, renamed
from zoo.files.writing import sha256

NAMES: tuple[Distance, ...] = get_args(Distance)
needs_st = pytest.mark.skipif(find_spec("stlpips_pytorch") is None, reason="pip install stlpips-pytorch")


def pictures(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.RandomState(seed).uniform(-1, 1, shape))


@pytest.fixture
def trunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, Tensor]]:
    """A file that passes for torchvision's AlexNet, and what it holds."""
    with torch.device("meta"):
        shapes = alexnet().features.state_dict()
    weights = {f"features.{k}": rule.weight(k, list(v.shape)) for k, v in shapes.items()}
    path = tmp_path / "alexnet.pth"
    torch.save(weights | {"classifier.6.bias": torch.zeros(1000)}, path)
    name = f"alexnet-owt-{sha256(path)[:8]}.pth"
    monkeypatch.setitem(PLANS, "lpips-alex", PLANS["lpips-alex"]._replace(download=name))
    return path, weights


# ----------------------------------------------------------------------------------------------------- LPIPS


def test_lpips_gives_the_reference_numbers() -> None:
    fixture = rule.load("forward/lpips_alex")
    network = PerceptualNet("alex", tolerant=False).double()
    network.load_state_dict(renamed(rule.state(fixture, fixture["seed_prefix"])))
    a, b = (rule.given(k, fixture["inputs"][k], fixture["seed_prefix"]).double() for k in "ab")
    assert a.shape == (2, 3, 64, 64)
    rule.assert_summary(network(a, b).view(2, 1, 1, 1), fixture["outputs"]["eval"]["output"])


def test_lpips_on_vgg_equals_torchmetrics() -> None:
    with torch.device("meta"):
        other = theirs._LPIPS(net="vgg", pnet_rand=True, pretrained=False, use_dropout=True)
    other.scaling_layer = theirs.ScalingLayer()
    random = torch.Generator().manual_seed(0)
    weights = {
        k: torch.randn(v.shape, generator=random) * (2 / max(1, v[0].numel())) ** 0.5
        for k, v in other.state_dict().items()
        if not k.startswith("lins.")
    }
    weights |= {f"lin{n}.model.1.weight": weights[f"lin{n}.model.1.weight"].abs() for n in range(5)}
    again = {f"lins.{n}.model.1.weight": weights[f"lin{n}.model.1.weight"] for n in range(5)}
    other.load_state_dict(weights | again, assign=True)
    network = PerceptualNet("vgg", tolerant=False)
    network.load_state_dict(renamed(weights))
    a, b = pictures(2, 2, 3, 33, 40).float()
    torch.testing.assert_close(network(a, b), other(a, b).flatten(), rtol=1e-5, atol=1e-7)


def test_lpips_from_a_trunk_file_has_the_published_heads(trunk: tuple[Path, dict[str, Tensor]]) -> None:
    path, weights = trunk
    before = torch.get_rng_state()
    distance = PerceptualDistance("lpips-alex", path)
    assert torch.equal(before, torch.get_rng_state())
    assert distance.name == "lpips-alex" and distance.sha256 == sha256(path)
    assert not distance.training and not any(p.requires_grad for p in distance.parameters())
    other = theirs._LPIPS(net="alex", pnet_rand=True)
    for stage in other.net.children():
        for number, layer in stage.named_children():
            for kind, parameter in layer.named_parameters():
                parameter.copy_(weights[f"features.{number}.{kind}"])
    a, b = pictures(2, 2, 3, 40, 64).float()
    torch.testing.assert_close(distance(a, b), other(a, b).flatten(), rtol=1e-5, atol=1e-7)


def test_another_trunk_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({}, path)
    with pytest.raises(
        UserError, match=r"other\.pth is not torchvision's alexnet-owt-7be5be79\.pth.*7be5be79"
    ):
        PerceptualDistance("lpips-alex", path)
    with pytest.raises(UserError, match=r"none\.pth"):
        PerceptualDistance("lpips-alex", tmp_path / "none.pth")


def test_the_trunk_is_not_fetched_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(
        UserError, match=r"fetch https://download.*vgg16-397923af\.pth and put it at .*weights"
    ):
        PerceptualDistance("lpips-vgg")


def test_the_trunk_in_torchs_cache_is_taken(
    trunk: tuple[Path, dict[str, Tensor]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = trunk
    (tmp_path / "checkpoints").mkdir()
    path.rename(tmp_path / "checkpoints" / PLANS["lpips-alex"].download)
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert PerceptualDistance("lpips-alex").least == 31


# -------------------------------------------------------------------------------------------------- ST-LPIPS


@needs_st
@pytest.mark.parametrize(
    ("name", "wanted"),  # by stlpips-pytorch 0.0.2 in float64
    [
        ("st-lpips-alex", [0.04675131628952105, 0.048187795643289594]),
        ("st-lpips-vgg", [0.0757247726669867, 0.06638668336612585]),
    ],
)
def test_st_lpips_gives_its_packages_numbers(name: Distance, wanted: list[float]) -> None:
    a, b = pictures(2, 2, 3, 40, 44)
    found = PerceptualDistance(name).double()(a, b)
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=1e-6, atol=0)


@needs_st
def test_a_shift_is_a_smaller_change_than_a_blur() -> None:
    picture = torch.nn.functional.interpolate(pictures(1, 3, 12, 12).float(), (48, 48), mode="nearest")
    blurred = torch.nn.functional.avg_pool2d(picture, 5, 1, 2)
    distance = PerceptualDistance("st-lpips-alex")
    assert distance(picture, picture.roll(1, 3)) < 0.2 * distance(picture, blurred)


def test_a_blur_by_hand() -> None:
    x = pictures(1, 2, 5, 6).float()
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="reflect")
    taps = np.outer([1, 2, 1], [1, 2, 1]) / 16
    wanted = [
        [(padded[0, :, i : i + 3, j : j + 3] * taps).sum((1, 2)) for j in range(0, 8, 2)]
        for i in range(0, 7, 2)
    ]
    found = perceptual._Blur()(x)[0].permute(1, 2, 0)
    torch.testing.assert_close(found, torch.tensor(np.array(wanted)).float(), rtol=1e-5, atol=1e-6)


def test_st_lpips_takes_no_trunk_file() -> None:
    with pytest.raises(UserError, match="from the package stlpips_pytorch; leave weights out"):
        PerceptualDistance("st-lpips-vgg", "x.pth")


@pytest.mark.parametrize(("name", "pip"), [("st-lpips-alex", ".features"), ("lpips-alex", "torchmetrics")])
def test_without_the_package(monkeypatch: pytest.MonkeyPatch, name: Distance, pip: str) -> None:
    monkeypatch.setattr("zoo.features.packaged.find_spec", lambda name: None)
    with pytest.raises(UserError, match=f"pip install .*{pip}"):
        PerceptualDistance(name)


# ------------------------------------------------------------------------------------------------------ both


@pytest.mark.parametrize("name", NAMES)
def test_a_distance_is_zero_symmetric_differentiable_and_needs_room(name: Distance) -> None:
    plan = PLANS[name]
    network = PerceptualNet(plan.trunk, plan.tolerant).requires_grad_(False)
    for head in network.heads:
        head.weight.abs_()
    a, b = (pictures(2, 3, plan.least, plan.least + 2, seed=s).float() for s in (0, 1))
    a[1] = -1  # a black picture, whose vectors may have no length
    a.requires_grad_()
    distance = network(a, b)
    assert distance.shape == (2,) and distance.min() > 0
    torch.testing.assert_close(distance, network(b, a))
    assert network(b, b).abs().max() == 0
    (slope,) = torch.autograd.grad(distance.sum(), a)
    assert slope.isfinite().all() and slope[0].abs().max() > 0
    with pytest.raises(RuntimeError):  # the table says where the trunk ends
        network(b[..., 1:, :], b[..., 1:, :])


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        (torch.zeros(2, 3, 40, 40), torch.zeros(1, 3, 40, 40), r"\(2, 3, 40, 40\) and \(1, 3, 40, 40\)"),
        (torch.zeros(2, 1, 40, 40), torch.zeros(2, 1, 40, 40), "repeat grey"),
        (torch.zeros(2, 3, 40, 30), torch.zeros(2, 3, 40, 30), r"at least 31 pixels, not \(40, 30\)"),
        (torch.zeros(2, 3, 40, 40).byte(), torch.zeros(2, 3, 40, 40).byte(), "torch.uint8"),
    ],
)
def test_other_pictures_are_refused(a: Tensor, b: Tensor, says: str) -> None:
    with pytest.raises(UserError, match=says):
        check(a, b, "lpips-alex", 31)


@pytest.mark.parametrize("factor", [255.0, 1.01, float("nan"), float("inf")])
def test_other_ranges_are_refused(factor: float) -> None:
    images = torch.ones(1, 3, 32, 32)
    check(images, -images, "lpips-alex", 31)
    for a, b in ((images * factor, images), (images, images * factor)):
        with pytest.raises(UserError, match=r"compares images in \[-1, 1\], but was given values from"):
            check(a, b, "lpips-alex", 31)


def test_an_unknown_distance_is_named() -> None:
    wrong: Any = "lpips"
    with pytest.raises(UserError, match="no distance 'lpips'; choose one of lpips-alex, "):
        PerceptualDistance(wrong)
