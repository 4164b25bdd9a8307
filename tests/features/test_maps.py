"""Feature maps for losses: the right layer, the right scaling, and mistakes told."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import UserError
from zoo.features.hed import HED
from zoo.features.maps import FeatureMaps
from zoo.features.vgg19 import BLOCKS, vgg19_until


def pictures(size: int = 32) -> Tensor:
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_vgg19s_layers_are_numbered_as_timms() -> None:
    with torch.device("meta"):
        timms = timm.create_model("vgg19").features  # type: ignore[operator, union-attr]
        ours = vgg19_until(5, 4, activated=True)
    assert len(ours) == 36  # torchvision's features[:36] ends with relu5_4
    for mine, theirs in zip(ours, timms, strict=False):  # type: ignore[arg-type]
        assert type(mine) is type(theirs)
        if isinstance(mine, nn.Conv2d):
            assert mine.weight.shape == theirs.weight.shape
    assert len(vgg19_until(2, 2, activated=True)) == 9 and len(vgg19_until(5, 4, activated=False)) == 35
    assert sum(count for _, count in BLOCKS) == 16  # and three dense layers make 19


def test_vgg19_of_a_file(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(1)
    state = {
        f"features.{at}.{leaf}": 0.1 * torch.randn(shape, generator=random)
        for at, first in ((0, 3), (2, 64))
        for leaf, shape in (("weight", (64, first, 3, 3)), ("bias", (64,)))
    }
    torch.save(state, tmp_path / "vgg.pth")
    x = pictures().requires_grad_()
    maps = FeatureMaps("vgg19-relu1_2", tmp_path / "vgg.pth")
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    wanted = ((x + 1) / 2 - mean) / std
    for at in (0, 2):
        weight, bias = (state[f"features.{at}.{leaf}"] for leaf in ("weight", "bias"))
        wanted = F.relu(F.conv2d(wanted, weight, bias, padding=1))
    found = maps(x)
    torch.testing.assert_close(found, wanted)
    found.sum().backward()
    assert x.grad is not None and bool((x.grad != 0).any())
    assert not any(parameter.requires_grad for parameter in maps.parameters())
    before = FeatureMaps("vgg19-conv1_2", tmp_path / "vgg.pth")(x)
    torch.testing.assert_close(before.relu(), wanted)
    with pytest.raises(UserError, match="does not hold VGG19's convolutions"):
        FeatureMaps("vgg19-relu2_1", tmp_path / "vgg.pth")
    with pytest.raises(UserError, match=r"There is no file of weights .*nothing\.pth"):
        FeatureMaps("vgg19-relu2_1", tmp_path / "nothing.pth")


def test_a_stage_of_any_timm_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=0).eval()
    torch.save(network.state_dict(), tmp_path / "net.pth")
    maps = FeatureMaps("timm/test_resnet/1", tmp_path / "net.pth")
    config = network.pretrained_cfg
    mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
    x = (pictures(64) + 1) / 2
    with torch.no_grad():
        wanted = network.forward_intermediates((x - mean) / std, indices=[1], intermediates_only=True)[0]
        torch.testing.assert_close(maps(2 * x - 1), wanted)
        grey = x[:, :1]
        torch.testing.assert_close(maps(2 * grey - 1), maps(2 * grey.expand(-1, 3, -1, -1) - 1))
    with pytest.raises(UserError, match="no such stage"):
        FeatureMaps("timm/test_resnet/9", tmp_path / "net.pth")(x)


def test_hed() -> None:
    try:
        maps = FeatureMaps("hed-conv3_3")
    except UserError as error:
        pytest.skip(str(error))
    torch.testing.assert_close(maps(pictures()), HED().vgg_features(pictures(), "conv3_3"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vgg54", "no feature maps 'vgg54'; give vgg19-relu5_4"),
        ("vgg19-relu1_3", "no convolution 1_3"),
        ("vgg19-relu6_1", "no convolution 6_1"),
        ("hed-conv9_9", "no layer 'conv9_9'; choose one of conv1_2"),
        ("timm/nonsense/1", "timm has no network 'nonsense'"),
    ],
)
def test_unknown_names(name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        FeatureMaps(name)
