"""The rule by which parity fixtures name weights and inputs, and comparison with the numbers they hold.

A fixture stores no weight and no input: each follows from its full name. Its ``note`` says how it was made.
Compare in float64: rtol 1e-6 with atol 1e-8 for a forward pass, rtol 1e-5 for training.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

FOLDER = Path(__file__).parent


def load(path: str) -> dict[str, Any]:
    """The fixture at ``path`` below this folder, such as ``forward/pix2pix_unet256_full``."""
    return json.loads((FOLDER / path).with_suffix(".json").read_text())


def names(pattern: str) -> list[str]:
    """Fixtures that match a glob pattern, as ``load`` takes them."""
    found = sorted(str(p.relative_to(FOLDER).with_suffix("")) for p in FOLDER.glob(f"{pattern}.json"))
    assert found, f"no fixture matches {pattern}"
    return found


def _stream(name: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(name.encode()))


def _bell(stream: np.random.RandomState, shape: list[int]) -> np.ndarray:
    return 2 * (stream.random_sample(shape) + stream.random_sample(shape) + stream.random_sample(shape)) - 3


def weight(
    name: str, shape: list[int], transposed: bool = False, prelu: bool = False, positive: bool = False
) -> Tensor:
    """The float32 tensor of full name ``name``."""
    if name.endswith("num_batches_tracked"):
        return torch.ones(shape, dtype=torch.int64)
    r = _bell(_stream(name), shape)
    if name.endswith("running_var"):
        r = 0.5 + abs(r)
    elif name.endswith("running_mean"):
        r = 0.1 * r
    elif name.endswith(("weight_u", "weight_v")):
        r = r / math.sqrt((r * r).sum())
    elif len(shape) > 1:
        fan_in = shape[0] * math.prod(shape[2:]) / 4 if transposed else math.prod(shape[1:])
        r = r / math.sqrt(fan_in)
    elif name.endswith("bias"):
        r = 0.1 * r
    elif prelu:
        r = 0.25 + 0.1 * r
    elif name.endswith("weight") or shape in ([], [1]):
        r = 1 + 0.1 * r
    else:
        r = 0.1 * r
    return torch.tensor(abs(r) if positive else r, dtype=torch.float32)


def state(net: dict[str, Any], prefix: str) -> dict[str, Tensor]:
    """The reference's state dict.

    Args:
        net: A forward fixture, or one entry of a training fixture's ``networks``.
        prefix: The fixture's ``seed_prefix``; in a training fixture, with the network's name and a dot.
    """
    kinds = [net.get(kind, ()) for kind in ("transposed", "prelu", "positive")]
    weights = {
        key: weight(prefix + key, shape, *(key in kind for kind in kinds))
        for key, shape in net["state_dict"].items()
    }
    for key in [key for key in weights if key.endswith("weight_orig")]:  # spectral norm: ten power iterations
        stem = key.removesuffix("orig")
        matrix, u = weights[key].double().flatten(1), weights[stem + "u"].double()
        for _ in range(10):
            v = F.normalize(matrix.t() @ u, dim=0)
            u = F.normalize(matrix @ v, dim=0)
        weights[stem + "u"], weights[stem + "v"] = u.float(), v.float()
    return weights


def given(name: str, entry: dict[str, Any], prefix: str) -> Tensor:
    """The input ``name``, whose ``entry`` stands in the fixture's ``inputs``."""
    stream, block, shape = _stream(f"{prefix}input:{name}"), entry.get("block", 1), list(entry["shape"])
    if block > 1:
        shape[-2:] = [shape[-2] // block, shape[-1] // block]
    kind = entry["kind"]
    x = _bell(stream, shape) if kind == "bell" else stream.random_sample(shape)
    if kind == "bell":
        x = (x * entry.get("std", 1.0) + entry.get("mean", 0.0)).astype("float32")
    elif kind == "uniform":
        x = (x * (entry["high"] - entry["low"]) + entry["low"]).astype("float32")
    elif kind == "binary":
        x = (x < entry["p"]).astype("float32")
    elif kind == "uint8":
        x = np.floor(x * 256).astype("uint8")
    elif kind == "labels":
        x = np.floor(x * entry["classes"]).astype("int64")
    else:
        raise ValueError(f"unknown kind of input {kind}")
    out = torch.from_numpy(x)
    if block > 1:
        out = out.repeat_interleave(block, -2).repeat_interleave(block, -1)
    if entry.get("onehot"):
        out = F.one_hot(out.squeeze(1), entry["classes"]).movedim(-1, 1).float()
    return out


def joined(tensors: Iterable[Tensor]) -> Tensor:
    """Tensors one behind another, as ``buffers_after_train`` is summarised."""
    return torch.cat([tensor.flatten() for tensor in tensors])


def assert_summary(tensor: Tensor, summary: dict[str, Any], rtol: float = 1e-6, atol: float = 1e-8) -> None:
    """Compare a tensor with a fixture's summary: shape, moments and values at evenly spread positions."""
    assert list(tensor.shape) == summary["shape"]
    flat = tensor.detach().double().flatten()
    n, points = flat.numel(), summary["points"]
    at = [i * (n - 1) // (points - 1) for i in range(points)] if points > 1 else [0]
    found = [flat[at], flat.mean(), flat.std() if n > 1 else flat.new_zeros(()), flat.abs().mean()]
    wanted = [summary["values"], summary["mean"], summary["std"], summary["abs_mean"]]
    for have, want in zip(found, wanted, strict=True):
        torch.testing.assert_close(have, torch.tensor(want, dtype=torch.float64), rtol=rtol, atol=atol)
