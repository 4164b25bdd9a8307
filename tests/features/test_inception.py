"""The Inception network: recorded numbers, torch-fidelity's, folding, and every way its weights go wrong."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from parity import rule
from torch import Tensor

from zoo.errors import UserError
from zoo.features import inception, packaged
from zoo.features.inception import (
    FILE,
    OFFICIAL,
    URLS,
    Inception,
    InceptionV3,
    load_inception,
    official_weights,
)
from zoo.features.resizing import tf1_bilinear
from zoo.files.checkpoints import read_tensors
from zoo.files.writing import sha256


@pytest.fixture(scope="module")
def fixture() -> dict[str, Any]:
    return rule.load("forward/inception_v3_tf")


@pytest.fixture(scope="module")
def weights(fixture: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixture's weights as a user's file."""
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(rule.state(fixture, fixture["seed_prefix"]), path)
    return path


@pytest.fixture(scope="module")
def network(weights: Path) -> Inception:
    return Inception(weights=weights)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "home"))


def pictures(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_outputs_at_all_depths_equal_the_recorded_numbers(fixture: dict[str, Any], weights: Path) -> None:
    plain = load_inception(weights)
    assert {key: list(value.shape) for key, value in plain.state_dict().items()} == fixture["state_dict"]
    assert sum(p.numel() for p in plain.parameters()) == fixture["parameters"]
    images = rule.given("x", fixture["inputs"]["x"], fixture["seed_prefix"])
    pixels = (tf1_bilinear(images, (299, 299), torch.float64) - 128) / 128
    with torch.no_grad():
        found = plain.double()(pixels)
    assert found.keys() == fixture["outputs"]["eval"].keys()
    for name, recorded in fixture["outputs"]["eval"].items():
        rule.assert_summary(found[name], recorded)


def test_folding_and_channels_last_change_rounding_only(network: Inception, weights: Path) -> None:
    images = pictures(2, 3, 40, 50)
    with torch.no_grad():
        plain = load_inception(weights)((tf1_bilinear(images, (299, 299)) - 128) / 128)
    made = network(images)
    for ours, reference in ((made.features, plain["2048"]), (made.logits, plain["logits_unbiased"])):
        torch.testing.assert_close(ours, reference, rtol=1e-5, atol=1e-5 * float(reference.abs().max()))
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())


def test_features_and_logits_equal_torch_fidelity_s(network: Inception, weights: Path) -> None:
    theirs = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    extractor = theirs.FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(weights)
    )
    images = pictures(2, 3, 64, 64)
    made = network(images)
    for ours, reference in zip(made, extractor(images), strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-5, atol=1e-5 * float(reference.abs().max()))


def test_it_is_frozen_and_grey_is_three_equal_channels(network: Inception) -> None:
    grey = pictures(1, 1, 30, 30)
    made = network(grey)
    assert made.logits is not None and made.logits.shape == (1, 1008)
    assert made.features.shape == (1, network.dimension) and made.features.dtype == torch.float32
    assert torch.equal(made.features, network(grey.expand(-1, 3, -1, -1)).features)
    assert not any(module.training for module in network.modules()) and not any(
        p.requires_grad for p in network.parameters()
    )
    with pytest.raises(UserError, match="drop alpha"):
        network(pictures(1, 4, 30, 30))


def test_the_name_says_whether_the_weights_are_official(
    network: Inception, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = sha256(weights)
    assert network.identity() == {
        "network": f"inception-{digest[:8]}",
        "sha256": digest,
        "resize": "TF1 bilinear, 299",
        "dimension": 2048,
        "official_weights": False,
    }
    # take these weights for the official ones: they are found in the cache and by path
    monkeypatch.setattr(inception, "OFFICIAL", digest)
    place = tmp_path / "home" / FILE
    place.parent.mkdir()
    os.link(weights, place)
    official = Inception("clean")
    assert official.name == "inception" and official.official
    assert official.resize != network.resize
    images = pictures(1, 3, 32, 32)
    assert not torch.allclose(official(images).features, network(images).features, rtol=1e-2)


def test_the_pinned_file_is_the_one_its_name_promises() -> None:
    assert len(OFFICIAL) == 64 and OFFICIAL.startswith("6726825d") and FILE.endswith("-6726825d.pth")
    assert all(url.startswith("https://github.com/") and url.endswith("6726825d.pth") for url in URLS)


def test_safetensors_and_files_without_counters_give_the_same(weights: Path, tmp_path: Path) -> None:
    state = read_tensors(weights)
    bare = {k: v.half() for k, v in state.items() if not k.endswith("num_batches_tracked")}
    safetensors.torch.save_file(bare, tmp_path / "inception.safetensors")
    loaded = load_inception(tmp_path / "inception.safetensors").state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], value.float()) for key, value in bare.items())


def test_absent_weights_are_told_with_address_and_place(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        Inception()
    told = str(caught.value)
    assert URLS[0] in told and str(tmp_path / "home" / FILE) in told and "ZOO_OFFLINE" in told
    assert told.count("\n") == 0 and told.endswith(").")


def test_the_download_is_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(urls: tuple[str, ...], target: Path, sha256: str) -> Path:
        assert urls == URLS and target == tmp_path / "home" / FILE and sha256 == OFFICIAL
        return target

    monkeypatch.setattr(packaged, "download", download)
    assert official_weights() == tmp_path / "home" / FILE


def test_a_wrong_file_in_the_cache_is_never_used(tmp_path: Path) -> None:
    place = tmp_path / "home" / FILE
    place.parent.mkdir()
    place.write_bytes(b"half a download")
    with pytest.raises(UserError, match=str(place)):
        official_weights()


class Evil:
    """Would run a command when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("it-ran",))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"no weights at all", "is damaged or no file of weights"),
        ({"evil": Evil()}, "is damaged or no file of weights"),
        ({"epoch": 3}, "holds more than named tensors"),
        ([torch.zeros(1)], "holds more than named tensors"),
        (
            {"fc.weight": torch.zeros(1008, 2048)},
            "does not hold the weights of the Inception network that FID",
        ),
        ({"AuxLogits.fc.weight": torch.zeros(1)}, "but torchvision's; give"),
    ],
    ids=["text", "pickle", "checkpoint", "list", "one tensor", "torchvision"],
)
def test_a_user_s_wrong_file_gets_its_sentence(
    content: Any, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(UserError, match=told) as caught:
        Inception(weights=path)
    assert str(path) in str(caught.value) and not (tmp_path / "it-ran").exists()


def test_missing_file_wrong_shape_and_wrong_resize(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.pth"):
        Inception(weights="nowhere.pth")
    with pytest.raises(UserError, match=r"no file of weights nowhere\.pth"):
        read_tensors(Path("nowhere.pth"))
    with pytest.raises(UserError, match="give tf1 or clean"):
        Inception("bicubic", weights)  # type: ignore[arg-type]
    torch.save(read_tensors(weights) | {"fc.weight": torch.zeros(1000, 2048)}, tmp_path / "thousand.pth")
    with pytest.raises(UserError, match="does not hold"):
        Inception(weights=tmp_path / "thousand.pth")


def test_the_last_block_alone_takes_a_maximum() -> None:
    """The two blocks of one kind differ in their pool, which recorded numbers alone would not explain."""
    with torch.device("meta"):
        blocks = InceptionV3()
    x = torch.ones(1, 1, 3, 3)
    x[0, 0, 1, 1] = 10
    torch.testing.assert_close(blocks.Mixed_7b._pool(x)[0, 0, 0, 0], torch.tensor(13 / 4))
    assert blocks.Mixed_7c._pool(x)[0, 0, 0, 0] == 10
