"""The InceptionV3 of December 2015, on whose features FID, KID and the Inception score are defined.

It is TensorFlow's network, not torchvision's: 1008 classes, average pools that do not count their padding,
and a max pool in the last block's pool branch (Salimans 2016, https://arxiv.org/abs/1606.03498; Heusel 2017,
https://arxiv.org/abs/1706.08500). torch-fidelity and pytorch-fid publish the same weights file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.inception import (
    BasicConv2d,
    Inception3,
    InceptionA,
    InceptionAux,
    InceptionB,
    InceptionC,
    InceptionD,
    InceptionE,
)

from zoo.errors import UserError
from zoo.features.network import FeatureNetwork, Features
from zoo.features.packaged import fetched
from zoo.features.resizing import clean_bicubic, tf1_bilinear
from zoo.files.checkpoints import read_tensors
from zoo.files.writing import cache_folder, sha256

Resize = Literal["tf1", "clean"]
RESIZES = {"tf1": tf1_bilinear, "clean": clean_bicubic}
IN_WORDS = {"tf1": "TF1 bilinear, 299", "clean": "clean bicubic (PIL, antialiased), 299"}
CLASSES = 1008

OFFICIAL = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
FILE = f"weights-inception-2015-12-05-{OFFICIAL[:8]}.pth"
URLS = (
    f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}",
    f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-{OFFICIAL[:8]}.pth",
)


def _average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class _A(InceptionA):
    def _forward(self, x: Tensor) -> list[Tensor]:
        return [
            self.branch1x1(x),
            self.branch5x5_2(self.branch5x5_1(x)),
            self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
            self.branch_pool(_average(x)),
        ]


class _C(InceptionC):
    def _forward(self, x: Tensor) -> list[Tensor]:
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        return [
            self.branch1x1(x),
            self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x))),
            self.branch7x7dbl_5(self.branch7x7dbl_4(double)),
            self.branch_pool(_average(x)),
        ]


class _E(InceptionE):
    def _pool(self, x: Tensor) -> Tensor:
        return _average(x)

    def _forward(self, x: Tensor) -> list[Tensor]:
        single, double = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        return [
            self.branch1x1(x),
            self.branch3x3_2a(single),
            self.branch3x3_2b(single),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(self._pool(x)),
        ]


class _LastE(_E):
    def _pool(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, stride=1, padding=1)


class InceptionV3(Inception3):
    """The network itself: images (N, 3, 299, 299) in [-1, 1] to its activations by name.

    Its state dict has torchvision's names, without the auxiliary head.
    """

    def __init__(self) -> None:
        blocks = [BasicConv2d, _A, InceptionB, _C, InceptionD, _E, InceptionAux]
        super().__init__(CLASSES, aux_logits=False, inception_blocks=blocks, init_weights=False)
        self.Mixed_7c = _LastE(2048)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Spatial means at four depths, named by their width, and the logits without bias."""
        stages = {
            "64": (self.Conv2d_1a_3x3, self.Conv2d_2a_3x3, self.Conv2d_2b_3x3, self.maxpool1),
            "192": (self.Conv2d_3b_1x1, self.Conv2d_4a_3x3, self.maxpool2),
            "768": (
                *(self.Mixed_5b, self.Mixed_5c, self.Mixed_5d),
                *(self.Mixed_6a, self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e),
            ),
            "2048": (self.Mixed_7a, self.Mixed_7b, self.Mixed_7c),
        }
        activations = {}
        for name, stage in stages.items():
            for layer in stage:
                x = layer(x)
            activations[name] = x.mean((2, 3))
        activations["logits_unbiased"] = activations["2048"] @ self.fc.weight.T
        return activations


def prepare(network: nn.Module) -> None:
    """Freeze a network of ``BasicConv2d`` blocks, fold its batch norms and make it channels-last, in place.

    The outputs change by rounding only (about 1e-6 in float32).
    """
    network.eval().requires_grad_(False)
    for block in network.modules():
        if isinstance(block, BasicConv2d):
            block.conv = fuse_conv_bn_eval(block.conv, block.bn)
            block.bn = nn.Identity()
    network.to(memory_format=torch.channels_last)


class Inception(FeatureNetwork):
    """Features (2048) and unbiased logits (1008) for FID, KID and IS.

    Its name is ``inception`` with the official weights only; with others it ends in their hash, because a
    score from them is no FID.

    Args:
        resize: ``tf1``, as in the original FID, or ``clean``, as in clean-fid.
        weights: A state dict of this network (.pth or .safetensors); by default the official file, from the
            zoo's cache or by download.

    Raises:
        UserError: The weights are missing, damaged, or of another network.
    """

    def __init__(self, resize: Resize = "tf1", weights: str | Path | None = None) -> None:
        if resize not in get_args(Resize):
            raise UserError(f"The Inception network's resize is {resize!r}; give tf1 or clean.")
        path = Path(weights) if weights is not None else official_weights()
        digest = sha256(path)
        name = "inception" if digest == OFFICIAL else f"inception-{digest[:8]}"
        super().__init__(name, digest, 2048, IN_WORDS[resize])
        self.official = digest == OFFICIAL
        self._resize = RESIZES[resize]
        self.network = load_inception(path)
        prepare(self.network)
        self.eval()

    def identity(self) -> dict[str, Any]:
        """The network's entry in a protocol."""
        return super().identity() | {"official_weights": self.official}

    def forward(self, images: Tensor) -> Features:
        """Features of uint8 images (N, C, H, W), C 1 or 3."""
        pixels = (self._resize(images, (299, 299)) - 128) / 128
        activations = self.network(pixels.contiguous(memory_format=torch.channels_last))
        return Features(activations["2048"], activations["logits_unbiased"])


def official_weights() -> Path:
    """The official weights' file in the zoo's cache, downloaded if missing, its SHA-256 checked.

    Raises:
        UserError: It can neither be found nor fetched, or is damaged.
    """
    return fetched("The Inception network needs its weights (96 MB)", URLS, cache_folder() / FILE, OFFICIAL)


def load_inception(path: Path) -> InceptionV3:
    """The network with the weights of a file, in evaluation mode, neither folded nor frozen yet.

    Raises:
        UserError: The file cannot be read, or does not hold this network's weights.
    """
    state = read_tensors(path)
    with torch.device("meta"):
        network = InceptionV3()
    for key, buffer in network.state_dict().items():  # training counters that old files lack
        if key.endswith("num_batches_tracked") and key not in state:
            state[key] = torch.zeros(buffer.shape, dtype=buffer.dtype)
    try:
        floats = {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
        network.load_state_dict(floats, strict=True, assign=True)
    except RuntimeError as error:
        hint = ", but torchvision's" if "AuxLogits.fc.weight" in state else ""
        raise UserError(
            f"{path} does not hold the weights of the Inception network that FID is defined on{hint}; give "
            f"{FILE} or leave weights out."
        ) from error
    network.eval()
    return network
