"""Any timm network as a feature network, and DINOv2 as dgm-eval scores with it.

Stein 2023 (https://arxiv.org/abs/2306.04675) found that distances in DINOv2's features agree with human
judgement better than those in Inception's.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from huggingface_hub import try_to_load_from_cache
from timm.data.config import resolve_data_config
from timm.data.transforms import str_to_pil_interp
from timm.models import clean_state_dict
from torch import Tensor, nn

from zoo.errors import UserError, reason_of
from zoo.features.network import FeatureNetwork, Features
from zoo.features.resizing import pil_bytes
from zoo.files.checkpoints import read_tensors

DINOV2 = "vit_large_patch14_dinov2.lvd142m"
DINOV2_SIZE = 224  # dgm-eval's; the network was trained up to 518


class TimmBackbone(FeatureNetwork):
    """A timm network without its classifier.

    Whole images are resized to the network's size: timm's evaluation would crop their margins, where a
    generator can fail too. ``dinov2`` is ViT-L/14 at 224 pixels, its position embedding interpolated as its
    authors do.

    Args:
        model: ``dinov2``, or timm's name (``resnet50.a1_in1k``); timm chooses a tag if the name has none.
        weights: The network's state dict (.safetensors or torch) under timm's names; by default timm's own,
            from the Hugging Face cache or by download.

    Raises:
        UserError: timm has no such network, or its weights are missing, damaged or of another network.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: str, weights: str | Path | None = None) -> None:
        timms = DINOV2 if model == "dinov2" else model
        if not known(timms):
            raise UserError(f"timm has no network {model!r}; timm.list_models() in Python names them.")
        network = _pretrained(timms) if weights is None else _from_file(timms, Path(weights))
        network.eval().requires_grad_(False)
        config = resolve_data_config(model=network)  # type: ignore[no-untyped-call]
        digest = state_sha256(network.state_dict())
        size = (DINOV2_SIZE, DINOV2_SIZE) if model == "dinov2" else config["input_size"][-2:]
        if model == "dinov2":
            resize_dinov2(network, DINOV2_SIZE)
        with torch.no_grad():
            shape = network(torch.zeros(1, 3, *size)).shape
        if len(shape) != 2:
            raise UserError(f"timm's {model} gives {tuple(shape[1:])}, not one vector; take another network.")
        mode = config["interpolation"]
        resize = f"PIL {mode} to bytes, {'x'.join(str(side) for side in dict.fromkeys(size))}"
        super().__init__(model.lower(), digest, shape[1], resize)
        self.network = network.to(memory_format=torch.channels_last)
        self._size, self._filter = size, str_to_pil_interp(mode)  # type: ignore[no-untyped-call]
        self.register_buffer("mean", torch.tensor(config["mean"]).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(config["std"]).view(3, 1, 1) * 255, persistent=False)
        self.eval()

    def forward(self, images: Tensor) -> Features:
        """Features of uint8 images (N, C, H, W), C 1 or 3."""
        pixels = (pil_bytes(images, self._size, self._filter) - self.mean) / self.std
        return Features(self.network(pixels.contiguous(memory_format=torch.channels_last)).float())


def known(model: str) -> bool:
    """Whether timm has this network, with its tag if the name has one after a dot."""
    return timm.is_model(model) and ("." not in model or timm.is_model_pretrained(model))


def names() -> list[str]:
    """All of timm's names."""
    return list(timm.list_models())


def state_sha256(state: dict[str, Tensor]) -> str:
    """SHA-256 over a network's tensors (names, dtypes, shapes, bytes), independent of their file's format."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def resize_dinov2(network: Any, size: int) -> None:
    """Set timm's DINOv2 to images of ``size`` pixels as its authors' code does, in place.

    That samples the position embedding bicubically, without antialiasing and with 0.1 patch added to the new
    side (facebookresearch/dinov2, ``interpolate_pos_encoding``); timm's antialiasing gives other features.
    """
    embedding: Tensor = network.pos_embed
    old, new = network.patch_embed.grid_size[0], size // network.patch_embed.patch_size[0]
    places = embedding[:, 1:].view(1, old, old, -1).movedim(-1, 1)
    scale = (new + 0.1) / old
    places = F.interpolate(places, scale_factor=(scale, scale), mode="bicubic").flatten(2).mT
    network.set_input_size(img_size=(size, size))
    network.pos_embed = nn.Parameter(torch.cat([embedding[:, :1], places], 1), requires_grad=False)


def weights_of(model: str, path: str | Path | None = None) -> dict[str, Tensor]:
    """The named tensors of a file of ``model``'s weights; by default timm's own, cached or downloaded.

    Raises:
        UserError: They are missing, damaged or cannot be fetched, or the file holds anything else.
    """
    if path is None:
        return dict(_pretrained(model).state_dict())
    # the keys under which timm's trainings save weights, averaged ones first
    state = read_tensors(Path(path), ("state_dict_ema", "model_ema", "state_dict", "model"))
    return clean_state_dict(state)


def _from_file(model: str, path: Path) -> nn.Module:
    """The network with the weights of a file, which must hold all of them and no others."""
    state = weights_of(model, path)
    network = _create(model)
    ours = network.state_dict().keys()
    # without the classifier and the mask token, which DINOv2's authors use in training only
    beside = (*_classifiers(network), "mask_token")
    theirs = {key: value for key, value in state.items() if key in ours or not key.startswith(beside)}
    try:
        network.load_state_dict(theirs, strict=True)
    except RuntimeError as error:
        missing, more = len(ours - theirs.keys()), len(theirs.keys() - ours)
        raise UserError(
            f"{path} does not hold {model}'s weights under timm's names ({missing} of {len(ours)} missing, "
            f"{more} unknown, or others in shape); give the file that belongs to it."
        ) from error
    return network


def _classifiers(network: nn.Module) -> tuple[str, ...]:
    """Key prefixes of the classifier's weights."""
    config: Any = network.pretrained_cfg
    names = config.get("classifier") or ()
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))


def _pretrained(model: str) -> nn.Module:
    """The network with timm's weights, from the Hugging Face cache or by download."""
    config = timm.get_pretrained_cfg(model)
    if config is None or not config.has_weights:
        raise UserError(f"timm has no weights for {model!r}; give a file of your own as weights.")
    overlay = None
    if config.hf_hub_id and not config.custom_load:
        cached = try_to_load_from_cache(config.hf_hub_id, config.hf_hub_filename or "model.safetensors")
        overlay = {"file": cached} if isinstance(cached, str) else None
    reason = "ZOO_OFFLINE is set"
    if overlay or os.environ.get("ZOO_OFFLINE", "0") in ("", "0"):
        try:
            return _create(model, pretrained=True, pretrained_cfg_overlay=overlay)
        except Exception as error:
            reason = reason_of(error)[:200]
    place = f"https://huggingface.co/{config.hf_hub_id}" if config.hf_hub_id else config.url
    raise UserError(
        f"timm's weights of {model} are neither cached nor could they be fetched ({reason}); get the file "
        f"from {place} (model.safetensors) and give its path as weights."
    )


def _create(model: str, **options: Any) -> nn.Module:
    network: nn.Module = timm.create_model(model, num_classes=0, **options)
    return network
