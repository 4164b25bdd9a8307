"""timm's networks and the choice by name: resize, hash, DINOv2's positions, and weights that go wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from PIL import Image
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from zoo.errors import UserError
from zoo.features import backbones
from zoo.features.backbones import TimmBackbone, resize_dinov2, state_sha256
from zoo.features.choose import feature_network
from zoo.features.digits import Kind, card, classifier

TINY = "test_resnet.r160_in1k"  # timm's own, for tests: half a million weights
TINY_VIT = "test_vit.r160_in1k"


def pictures(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def saved(path: Path, model: str = TINY) -> dict[str, Tensor]:
    """Random weights of a whole network, its classifier included, in a file."""
    torch.manual_seed(0)
    state: dict[str, Tensor] = timm.create_model(model).state_dict()
    safetensors.torch.save_file(state, path)
    return state


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "home"))


# ----------------------------------------------------------------------------------------------- backbones


def test_features_are_timm_s_own_without_the_classifier(tmp_path: Path) -> None:
    state = saved(tmp_path / "w.safetensors")
    ours = TimmBackbone(TINY, tmp_path / "w.safetensors")
    assert ours.identity() | {"sha256": ""} == {
        "network": TINY,
        "sha256": "",
        "resize": "PIL bilinear to bytes, 160",
        "dimension": 96,
    }
    whole = timm.create_model(TINY).eval()
    whole.load_state_dict(state)
    images = pictures(2, 3, 48, 64)
    resized = [
        Image.fromarray(image.permute(1, 2, 0).numpy()).resize((160, 160), Image.Resampling.BILINEAR)
        for image in images
    ]
    x = torch.from_numpy(np.stack([np.asarray(image) for image in resized])).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(whole.pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        wanted = whole.forward_head(whole.forward_features((x - mean) / std), pre_logits=True)
    found = ours(images)
    assert found.logits is None
    assert not any(module.training for module in ours.modules())
    assert not any(p.requires_grad for p in ours.parameters())
    torch.testing.assert_close(found.features, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))


def test_the_hash_is_of_the_tensors_not_of_the_file(tmp_path: Path) -> None:
    state = saved(tmp_path / "w.safetensors")
    torch.save({"state_dict": dict(reversed(state.items()))}, tmp_path / "w.pth")
    hashes = {TimmBackbone(TINY, tmp_path / name).sha256 for name in ("w.safetensors", "w.pth")}
    key = next(iter(state))
    torch.save(state | {key: state[key] + 1e-3}, tmp_path / "other.pth")
    assert len(hashes) == 1 and TimmBackbone(TINY, tmp_path / "other.pth").sha256 not in hashes


@pytest.mark.parametrize(
    "other",
    [
        {"a": torch.tensor([1.0, 3.0])},
        {"b": torch.tensor([1.0, 2.0])},
        {"a": torch.tensor([[1.0, 2.0]])},
        {"a": torch.tensor([1.0, 2.0], dtype=torch.float64)},
        {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor(0)},
    ],
)
def test_the_hash_sees_names_values_shapes_and_kinds(other: dict[str, Tensor]) -> None:
    assert state_sha256({"a": torch.tensor([1.0, 2.0])}) != state_sha256(other)


def sampled(places: Tensor, new: int) -> Tensor:
    """Cubic convolution (a = -0.75) of (side, side, C), place by place, its edges repeated."""
    side, a = len(places), -0.75

    def weight(d: float) -> float:
        d = abs(d)
        if d <= 1:
            return (a + 2) * d**3 - (a + 3) * d**2 + 1
        return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0

    made = torch.zeros(new, new, places.shape[2])
    for i in range(new):
        for j in range(new):
            y, x = ((k + 0.5) * side / (new + 0.1) - 0.5 for k in (i, j))
            for p in range(int(np.floor(y)) - 1, int(np.floor(y)) + 3):
                for q in range(int(np.floor(x)) - 1, int(np.floor(x)) + 3):
                    value = places[min(max(p, 0), side - 1), min(max(q, 0), side - 1)]
                    made[i, j] += weight(y - p) * weight(x - q) * value
    return made


@pytest.mark.parametrize("new", [2, 5])
def test_dinov2_s_positions_are_sampled_as_its_authors_do(new: int) -> None:
    torch.manual_seed(0)
    network = VisionTransformer(img_size=56, patch_size=8, embed_dim=6, depth=1, num_heads=2, num_classes=0)
    torch.nn.init.normal_(network.pos_embed)
    before = network.pos_embed.detach().clone()
    resize_dinov2(network, 8 * new)
    wanted = sampled(before[0, 1:].view(7, 7, 6), new).view(1, new * new, 6)
    torch.testing.assert_close(network.pos_embed[:, 1:], wanted, rtol=1e-5, atol=1e-5)
    assert torch.equal(network.pos_embed[:, :1], before[:, :1])
    assert network(torch.zeros(1, 3, 8 * new, 8 * new)).shape == (1, 6)


def test_dinov2_takes_224_pixels_and_its_authors_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbones, "DINOV2", TINY_VIT)  # a tenth of a second in place of a minute
    state = saved(tmp_path / "w.safetensors", TINY_VIT)
    torch.save(state | {"mask_token": torch.zeros(1, 64)}, tmp_path / "w.pth")
    network = feature_network("dinov2", str(tmp_path / "w.pth"))
    assert network.name == "dinov2" and network.resize == "PIL bicubic to bytes, 224"
    assert network.sha256 == TimmBackbone(TINY_VIT, tmp_path / "w.safetensors").sha256
    assert network(pictures(2, 1, 50, 40)).features.shape == (2, 64)


def test_weights_in_the_hugging_face_cache_need_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path / "w.safetensors")
    asked = []

    def cached(repository: str, file: str) -> str:
        asked.append((repository, file))
        return str(tmp_path / "w.safetensors")

    monkeypatch.setattr(backbones, "try_to_load_from_cache", cached)
    assert TimmBackbone(TINY).sha256 == TimmBackbone(TINY, tmp_path / "w.safetensors").sha256
    assert asked == [(f"timm/{TINY}", "model.safetensors")]


@pytest.mark.parametrize("offline", ["1", "0"])
def test_absent_weights_are_told_in_one_sentence(offline: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_OFFLINE", offline)
    monkeypatch.setattr(backbones, "try_to_load_from_cache", lambda repository, file: None)

    def create(model: str, **options: Any) -> Any:
        assert offline == "0", "the network would be asked"
        raise OSError("no route\nto host.")

    monkeypatch.setattr(timm, "create_model", create)
    with pytest.raises(UserError) as caught:
        TimmBackbone(TINY)
    why = "ZOO_OFFLINE is set" if offline == "1" else "no route to host"
    assert f"({why}); get the file from https://huggingface.co/timm/{TINY} " in str(caught.value)


def test_unknown_networks_and_those_without_weights() -> None:
    with pytest.raises(UserError, match=r"timm has no network 'resnet18\.nobody'"):
        TimmBackbone("resnet18.nobody")
    bare = next(name for name in timm.list_models("resnet*") if not timm.is_model_pretrained(name))
    with pytest.raises(UserError, match=f"timm has no weights for '{bare}'"):
        TimmBackbone(bare)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"no weights", "is damaged or no file of weights"),
        ({"state_dict": {"epoch": 3}}, "holds more than named tensors"),
        (
            {"conv1.weight": torch.zeros(1)},
            r"does not hold test_resnet.r160_in1k's weights .* \(90 of 90 missing, 1 unk",
        ),
    ],
    ids=["text", "numbers", "others"],
)
def test_a_user_s_wrong_file_gets_its_sentence(content: Any, told: str, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(UserError, match=told):
        TimmBackbone(TINY, path)


def test_weights_that_lack_one_tensor_or_have_one_more_are_refused(tmp_path: Path) -> None:
    state = saved(tmp_path / "w.safetensors")
    torch.save(dict(list(state.items())[1:]), tmp_path / "less.pth")
    torch.save(state | {"more": torch.zeros(1)}, tmp_path / "more.pth")
    for name, told in (
        ("less", r"\(1 of \d+ missing, 0 unknown"),
        ("more", r"\(0 of \d+ missing, 1 unknown"),
    ):
        with pytest.raises(UserError, match=told):
            TimmBackbone(TINY, tmp_path / f"{name}.pth")
    with pytest.raises(UserError, match="no file of weights"):
        TimmBackbone(TINY, tmp_path / "none.pth")


# ------------------------------------------------------------------------------------------------- by name


@pytest.mark.parametrize(("kind", "side", "dimension"), [("digits", 8, 64), ("mnist", 28, 128)])
def test_the_digits_classifier_as_features(kind: Kind, side: int, dimension: int) -> None:
    network = feature_network(kind)
    images = pictures(3, 1, side, side)
    found = network(images)
    whole = classifier(kind)
    assert found.logits is not None
    torch.testing.assert_close(found.logits, whole(images / 127.5 - 1))
    assert found.features.shape == (3, dimension) and found.features.min() == 0  # behind the last ReLU
    last = list(whole.children())[-1]
    torch.testing.assert_close(last(found.features), found.logits)
    assert torch.equal(network(images.expand(-1, 3, -1, -1)).features, found.features)
    if kind == "mnist":  # MNIST's pad: 2
        padded = torch.nn.functional.pad(images, [2] * 4)
        assert torch.equal(network(padded).features, found.features)
        assert torch.equal(whole(padded / 127.5 - 1), whole(images / 127.5 - 1))
    assert network.identity() == {
        "network": kind,
        "sha256": card(kind)["sha256"],
        "resize": f"none, {side}",
        "dimension": dimension,
    }
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    with pytest.raises(UserError, match=f"takes images of {side} x {side} pixels, not 9 x 30"):
        network(pictures(1, 1, 9, 30))
    with pytest.raises(UserError, match="these have colours"):
        network(pictures(1, 3, side, side))


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("resnet1", {}, "There is no feature network 'resnet1'; give inception, dinov2.* perhaps .*resnet"),
        ("qqqqqqqqqqqq", {}, r"or a network of timm's\.$"),
        ("resnet18.nobody", {}, "There is no feature network 'resnet18.nobody'"),
        ("mnist", {"weights": "w.pth"}, "mnist comes with its weights; leave weights='w.pth' out"),
        ("dinov2", {"resize": "clean"}, "dinov2 has one resize; leave resize='clean' out"),
        ("inception", {"weights": "nowhere.pth"}, "nowhere.pth"),
        ("inception", {"resize": "nearest"}, "give tf1 or clean"),
    ],
)
def test_a_wrong_choice_gets_its_sentence(name: str, arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        feature_network(name, **arguments)


def test_any_network_of_timm_s_by_name(tmp_path: Path) -> None:
    saved(tmp_path / "w.safetensors")
    assert feature_network(TINY, tmp_path / "w.safetensors").name == TINY
