"""Face identity: face-api's recognition network, 128 numbers per face.

The weights are dlib's ResNet of 29 layers (D. King, CC0), kept at 8 bits in the package @vladmandic/face-api
(MIT). Two images of one person are closer than about 0.6 in Euclidean distance, two persons farther apart.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import zlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import UserError
from zoo.features.network import FeatureNetwork, Features, as_rgb, floats_as_rgb

SHA256 = "b413e420d6840b2775fba32008db6f3cddb07d485967fb42cfcf379c16a8c589"
MANIFEST_SHA256 = "cbaffa501b0b9275a12b63357a6843e7e30c054e1c9151e1a5f879b26e32986b"
SIZE = 150

_FILE, _MANIFEST = "face_recognition_model.bin", "face_recognition_model-weights_manifest.json"
_MOST = 16 * 2**20  # bytes per file; both are well below
_GET = "run npm pack @vladmandic/face-api@1.7.15 and give the .tgz, its path in ZOO_FACE_API"
_MEAN = (122.782, 117.001, 104.298)  # red, green, blue
_STAGES = ((32, 3), (64, 3), (128, 2), (256, 2))  # channels and residual blocks that keep the size


class FaceNet(nn.Module):
    """dlib's untrained face recognition ResNet, each convolution with its scale and bias folded in."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, 32, 7, stride=2)
        self.blocks = nn.Sequential()
        channels = 32
        for width, count in _STAGES:
            if width > channels:
                self.blocks.add_module(f"conv{width}_down", _Block(channels, width, down=True))
            for number in range(1, count + 1):
                self.blocks.add_module(f"conv{width}_{number}", _Block(width, width))
            channels = width
        self.blocks.add_module("conv256_down_out", _Block(256, 256, down=True))
        self.describe = nn.Linear(256, 128, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Descriptors (N, 128) of (N, 3, 150, 150): RGB in 0 to 255 minus its mean, divided by 255."""
        x = F.max_pool2d(F.relu(self.enter(x)), 3, 2)
        descriptors: Tensor = self.describe(self.blocks(x).mean((2, 3)))
        return descriptors


class _Block(nn.Module):
    """Two convolutions and a skip: the identity, or average pooling padded with zero channels."""

    def __init__(self, channels: int, width: int, down: bool = False) -> None:
        super().__init__()
        self.down = down
        self.conv1 = nn.Conv2d(channels, width, 3, stride=2 if down else 1, padding=0 if down else 1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(F.relu(self.conv1(x)))
        if self.down:
            x = F.avg_pool2d(x, 2)
            # the unpadded convolution's output may be smaller than the pooled skip
            bottom, right = x.shape[2] - y.shape[2], x.shape[3] - y.shape[3]
            y = F.pad(y, (0, right, 0, bottom))
            x = F.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
        return F.relu(x + y)


class FaceIdentity(FeatureNetwork):
    """Identity descriptors of faces; an image shows one face, from forehead to chin.

    Crop so that the eyes are about 0.4 of a side apart: at 0.27 the mean distance of two persons falls from
    0.80 to 0.62, close to the distances within one person. Other shapes are padded to a square with black
    bars; then images are resized to 150 x 150 by bilinear interpolation with antialiasing.

    Args:
        weights: The .tgz from ``npm pack @vladmandic/face-api@1.7.15``, or a folder with its contents; by
            default the path in the environment variable ZOO_FACE_API.

    Raises:
        UserError: The weights are missing, damaged or not the expected ones.
    """

    mean: Tensor

    def __init__(self, weights: str | Path | None = None) -> None:
        super().__init__("face-api", SHA256, 128, f"black bars to a square, bilinear antialias, {SIZE}")
        given = weights if weights is not None else os.environ.get("ZOO_FACE_API")
        if not given:
            raise UserError(f"The face network has no weights; {_GET}.")
        files = _files(Path(given).expanduser())
        for name, digest in ((_FILE, SHA256), (_MANIFEST, MANIFEST_SHA256)):
            if hashlib.sha256(files[name]).hexdigest() != digest:
                raise UserError(
                    f"{name} in {given} is not that of face-api 1.7.15 (its SHA-256 differs); {_GET}."
                )
        with torch.random.fork_rng(devices=[]):
            self.network = FaceNet()
        self.network.load_state_dict(folded(dequantised(files[_MANIFEST], files[_FILE])))
        self.register_buffer("mean", torch.tensor(_MEAN).view(3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Features:
        """Descriptors of uint8 images (N, C, H, W), C 1 or 3."""
        return Features(self._described(as_rgb(images, self.name)))

    def describe(self, images: Tensor) -> Tensor:
        """Descriptors (N, 128) of images (N, 1 or 3, H, W) in [-1, 1], differentiable in them."""
        return self._described(floats_as_rgb(images, self.name))

    def _described(self, x: Tensor) -> Tensor:
        descriptors: Tensor = self.network((fitted(x) - self.mean) / 255)
        return descriptors


def fitted(x: Tensor) -> Tensor:
    """Images (N, C, H, W), black at 0, padded to a square with black bars and resized to (N, C, 150, 150)."""
    height, width = x.shape[2:]
    side = max(height, width)
    left, top = (side - width) // 2, (side - height) // 2
    x = F.pad(x, (left, side - width - left, top, side - height - top))
    if side == SIZE:
        return x
    return F.interpolate(x, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)


def dequantised(manifest: bytes, raw: bytes) -> dict[str, Tensor]:
    """Weights by TensorFlow.js's names: 8 bits times a scale plus a minimum, or plain float32.

    Args:
        manifest: JSON list of groups, whose weights are in the order of ``raw``.
        raw: Concatenated weights.
    """
    weights, at = {}, 0
    for entry in (entry for group in json.loads(manifest) for entry in group["weights"]):
        count, code = int(np.prod(entry["shape"])), entry.get("quantization")
        values = np.frombuffer(raw, np.uint8 if code else "<f4", count, at)
        at += values.nbytes
        numbers = values.astype(np.float32)
        if code:
            numbers = numbers * np.float32(code["scale"]) + np.float32(code["min"])
        weights[entry["name"]] = torch.from_numpy(numbers.reshape(entry["shape"]))
    return weights


def folded(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The file's weights under the names of :class:`FaceNet`, scales folded into the convolutions."""
    found = {"describe.weight": weights["fc"].t().contiguous()}
    for key in weights:
        if key.endswith("/conv/filters"):
            layer = key.removesuffix("/conv/filters")
            name = "enter" if layer == "conv32_down" else "blocks." + layer.replace("/", ".")
            scale = weights[f"{layer}/scale/weights"]
            # stored as (height, width, in, out)
            found[f"{name}.weight"] = (weights[key] * scale).permute(3, 2, 0, 1).contiguous()
            found[f"{name}.bias"] = weights[f"{layer}/conv/bias"] * scale + weights[f"{layer}/scale/biases"]
    return found


def _files(place: Path) -> dict[str, bytes]:
    """The model's two files, from a folder or the .tgz; nothing is unpacked to disk."""
    found: dict[str, bytes] = {}
    try:
        if place.is_dir():
            for folder in (place, place / "model", place / "package" / "model"):
                found |= {n: (folder / n).read_bytes() for n in (_FILE, _MANIFEST) if (folder / n).is_file()}
        else:
            with tarfile.open(place, "r:*") as archive:
                for member in archive:
                    name = member.name.removeprefix("package/model/")
                    if name in (_FILE, _MANIFEST) and member.isfile() and member.size <= _MOST:
                        file = archive.extractfile(member)
                        assert file is not None  # it is a file
                        found[name] = file.read()
                    if len(found) == 2:
                        break
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UserError(f"{place} is no whole .tgz file; {_GET}.") from error
    except OSError as error:
        raise UserError(f"Cannot read {place} ({error.strerror or error}); {_GET}.") from error
    if missing := {_FILE, _MANIFEST} - found.keys():
        raise UserError(f"{place} holds no {min(missing)}; {_GET}.")
    return found
