"""The face network: its file's format, its layers beside ones written out, and who is who."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.errors import UserError
from zoo.features import face_identity
from zoo.features.face_identity import SHA256, FaceIdentity, FaceNet, dequantised, fitted, folded
from zoo.files.pictures import read_array

NAMES = ("face_recognition_model.bin", "face_recognition_model-weights_manifest.json")
STAGES = [(32, 3), (64, 3), (128, 2), (256, 2)]


@pytest.fixture(scope="module")
def network() -> FaceIdentity:
    if not os.environ.get("ZOO_FACE_API"):
        pytest.skip("weights: npm pack @vladmandic/face-api@1.7.15, its path in ZOO_FACE_API")
    return FaceIdentity()


# ---------------------------------------------------------------------------------------------------- layers


def test_eight_bits_and_floats_are_read_in_order() -> None:
    quantised = {"dtype": "uint8", "scale": 0.5, "min": -1.0}
    groups = [
        {"weights": [{"name": "a", "shape": [2, 1], "quantization": quantised}]},
        {"weights": [{"name": "b", "shape": [2]}, {"name": "c", "shape": [1], "quantization": quantised}]},
    ]
    raw = bytes([0, 255]) + np.array([1.5, -2], "<f4").tobytes() + bytes([4])
    found = dequantised(json.dumps(groups).encode(), raw)
    assert {k: v.tolist() for k, v in found.items()} == {"a": [[-1.0], [126.5]], "b": [1.5, -2.0], "c": [1.0]}


def random_weights() -> dict[str, Tensor]:
    """By TensorFlow.js's names and in its order of dimensions."""
    random = torch.Generator().manual_seed(0)
    weights = {"fc": torch.randn(256, 128, generator=random) / 16}

    def add(layer: str, size: int, given: int, width: int) -> None:
        kernel = torch.randn(size, size, given, width, generator=random)
        weights[f"{layer}/conv/filters"] = kernel / (size * given**0.5)
        for name in ("conv/bias", "scale/biases"):
            weights[f"{layer}/{name}"] = 0.1 * torch.randn(width, generator=random)
        weights[f"{layer}/scale/weights"] = 1 + 0.1 * torch.randn(width, generator=random)

    add("conv32_down", 7, 3, 32)
    before = 32
    for width, count in STAGES:
        names = [f"conv{width}_down"] * (width > 32) + [f"conv{width}_{n + 1}" for n in range(count)]
        for name in names + ["conv256_down_out"] * (width == 256):
            add(f"{name}/conv1", 3, before, width)
            add(f"{name}/conv2", 3, width, width)
            before = width
    return weights


def written(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """dlib's network layer by layer, each scale after its convolution."""

    def convolve(x: Tensor, layer: str, stride: int = 1, pad: int = 1) -> Tensor:
        kernel = weights[f"{layer}/conv/filters"].permute(3, 2, 0, 1)
        x = F.conv2d(x, kernel, weights[f"{layer}/conv/bias"], stride=stride, padding=pad)
        scale, bias = (weights[f"{layer}/scale/{n}"].view(-1, 1, 1) for n in ("weights", "biases"))
        return x * scale + bias

    def keep(x: Tensor, name: str) -> Tensor:
        return F.relu(x + convolve(F.relu(convolve(x, f"{name}/conv1")), f"{name}/conv2"))

    def down(x: Tensor, name: str) -> Tensor:
        y = convolve(F.relu(convolve(x, f"{name}/conv1", 2, 0)), f"{name}/conv2")
        pooled = F.avg_pool2d(x, 2)
        out = torch.zeros(len(x), y.shape[1], *pooled.shape[2:])
        out[:, : x.shape[1]] += pooled
        out[:, :, : y.shape[2], : y.shape[3]] += y
        return F.relu(out)

    x = F.max_pool2d(F.relu(convolve(x, "conv32_down", 2, 0)), 3, 2)
    for width, count in STAGES:
        x = down(x, f"conv{width}_down") if width > 32 else x
        for number in range(count):
            x = keep(x, f"conv{width}_{number + 1}")
    return down(x, "conv256_down_out").mean((2, 3)) @ weights["fc"]


@torch.no_grad()
def test_the_layers_are_those_written_out() -> None:
    weights, network = random_weights(), FaceNet()
    network.load_state_dict(folded(weights))
    x = torch.randn(2, 3, 150, 150, generator=torch.Generator().manual_seed(1))
    found = network(x)
    assert found.shape == (2, 128) and found.std() > 0.1
    torch.testing.assert_close(found, written(weights, x), rtol=1e-3, atol=1e-4)


def test_oblong_pictures_get_bars() -> None:
    x = fitted(torch.full((1, 3, 100, 50), 8.0))
    assert x.shape == (1, 3, 150, 150)
    columns = x[0, 0].mean(0)
    assert columns[:36].max() == 0 and columns[-36:].max() == 0
    assert torch.allclose(columns[40:110], torch.tensor(8.0))
    same = torch.rand(1, 3, 150, 150)
    assert torch.equal(fitted(same), same)


# ----------------------------------------------------------------------------------------------------- files


def pack(path: Path, names: tuple[str, ...], content: bytes = b"x") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(f"package/model/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_packed_and_unpacked_packages_are_read(tmp_path: Path) -> None:
    found = face_identity._files(pack(tmp_path / "a.tgz", NAMES))
    assert found == dict.fromkeys(NAMES, b"x")
    folder = tmp_path / "package" / "model"
    folder.mkdir(parents=True)
    for name in NAMES:
        (folder / name).write_bytes(b"y")
    for place in (tmp_path, tmp_path / "package", folder):
        assert face_identity._files(place) == dict.fromkeys(NAMES, b"y")


def test_other_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.bin in .*a\.tgz is not that of face-api 1\.7\.15.*npm pack"):
        FaceIdentity(pack(tmp_path / "a.tgz", NAMES))
    with pytest.raises(UserError, match=r"b\.tgz holds no face_recognition_model\.bin; run npm pack"):
        FaceIdentity(pack(tmp_path / "b.tgz", NAMES[1:]))
    with pytest.raises(UserError, match="holds no face_recognition_model"):
        FaceIdentity(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "empty", "other"])
def test_damaged_packages_are_named(tmp_path: Path, damage: str) -> None:
    path = pack(tmp_path / "a.tgz", NAMES, os.urandom(50_000))
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "other": b"no archive"}[damage])
    with pytest.raises(UserError, match=r"a\.tgz is no whole \.tgz file; run npm pack"):
        FaceIdentity(path)


def test_missing_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"Cannot read .*none\.tgz \(No such file.*npm pack"):
        FaceIdentity(tmp_path / "none.tgz")
    monkeypatch.delenv("ZOO_FACE_API", raising=False)
    with pytest.raises(UserError, match=r"no weights; run npm pack .*ZOO_FACE_API"):
        FaceIdentity()


# --------------------------------------------------------------------------------------------------- weights


def test_smiling_people_are_recognised(network: FaceIdentity, zoo_data: Path) -> None:
    """All 102 pairs: rank 1 is right 102 times, mean distance 0.24, of two persons 0.80."""
    neutral = sorted((zoo_data / "faces_london" / "images").glob("neutral_*.jpg"))[:60:6]
    if not neutral:
        pytest.skip("real data: no faces_london in ZOO_DATA")
    smiling = [next(p.parent.glob(f"smiling_{p.name.split('_')[1]}_*")) for p in neutral]
    cut = round(0.15 * 256)  # the pictures show the whole head

    def described(paths: list[Path]) -> Tensor:
        images = torch.stack([torch.from_numpy(read_array(p)).permute(2, 0, 1) for p in paths])
        return network(images[..., cut:-cut, cut:-cut]).features

    distances = torch.cdist(described(neutral), described(smiling))
    assert torch.equal(distances.argmin(1), torch.arange(len(neutral)))
    others = distances[~torch.eye(len(neutral), dtype=torch.bool)]
    assert distances.diag().mean() < 0.35 and others.mean() > 0.7


def test_descriptors_are_differentiable_and_the_same_for_bytes_and_floats(network: FaceIdentity) -> None:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (1, 1, 40, 32), dtype=torch.uint8, generator=random)
    floats = (images.float() / 127.5 - 1).requires_grad_()
    found = network.describe(floats)
    torch.testing.assert_close(found, network(images).features, rtol=1e-4, atol=1e-5)
    (slope,) = torch.autograd.grad(found.square().sum(), floats)
    assert slope.isfinite().all() and slope.abs().max() > 0
    assert network.identity()["sha256"] == SHA256 and network.dimension == found.shape[1] == 128
    assert not network.training and not any(p.requires_grad for p in network.parameters())


def test_other_pictures_are_refused(network: FaceIdentity) -> None:
    with pytest.raises(UserError, match=r"\(1, 3, 8, 8\) in float32"):
        network(torch.zeros(1, 3, 8, 8))
    with pytest.raises(UserError, match=r"\[-1, 1\], but was given \(1, 3, 8, 8\) in torch.uint8"):
        network.describe(torch.zeros(1, 3, 8, 8).byte())
    with pytest.raises(UserError, match=r"\(1, 4, 8, 8\)"):
        network.describe(torch.zeros(1, 4, 8, 8))
