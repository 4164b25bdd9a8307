"""Any network of timm's as a feature network, and DINOv2 as dgm-eval scores with it.

Stein 2023 (https://arxiv.org/abs/2306.04675) found that distances in DINOv2's features agree with people's
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
from timm.models import load_state_dict
from torch import Tensor, nn

from zoo.errors import UserError
from zoo.features.network import FeatureNetwork, Features
from zoo.features.resizing import pil_bytes

DINOV2 = "vit_large_patch14_dinov2.lvd142m"
DINOV2_SIZE = 224  # dgm-eval's; the network was trained up to 518


class TimmBackbone(FeatureNetwork):
    """A network of timm's without its classifier.

    Pictures are resized to the network's size as a whole: timm's evaluation would cut off their margins,
    where a generator can fail too. ``dinov2`` is ViT-L/14 at 224 pixels, its position embedding interpolated
    as its authors do.

    Args:
        model: ``dinov2``, or timm's name (``resnet50.a1_in1k``); timm chooses the part after the dot where it
            is left out.
        weights: A file with the network's state dict (.safetensors, or one that torch saved) under timm's
            names; by default timm's own, from the Hugging Face cache or by download.

    Raises:
        UserError: timm has no such network or no weights for it, or they are missing, damaged or another
            network's.
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
        size = config["input_size"][-2:]
        if model == "dinov2":
            size = (DINOV2_SIZE, DINOV2_SIZE)
            resize_dinov2(network, DINOV2_SIZE)
        with torch.no_grad():
            shape = network(torch.zeros(1, 3, *size)).shape
        if len(shape) != 2:
            raise UserError(f"timm's {model} gives {tuple(shape[1:])}, not one vector; take another network.")
        way = config["interpolation"]
        resize = f"PIL {way} to bytes, {'x'.join(str(side) for side in dict.fromkeys(size))}"
        super().__init__(model.lower(), digest, shape[1], resize)
        self.network = network.to(memory_format=torch.channels_last)
        self._size, self._filter = size, str_to_pil_interp(way)  # type: ignore[no-untyped-call]
        self.register_buffer("mean", torch.tensor(config["mean"]).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(config["std"]).view(3, 1, 1) * 255, persistent=False)
        self.eval()

    def forward(self, images: Tensor) -> Features:
        """Describe pictures (N, C, H, W) in uint8, C 1 or 3."""
        pixels = (pil_bytes(images, self._size, self._filter) - self.mean) / self.std
        return Features(self.network(pixels.contiguous(memory_format=torch.channels_last)).float())


def known(model: str) -> bool:
    """Whether timm has a network of this name, with the tag after the dot where the name has one."""
    return timm.is_model(model) and ("." not in model or timm.is_model_pretrained(model))


def names() -> list[str]:
    """All names that timm knows."""
    return list(timm.list_models())


def state_sha256(state: dict[str, Tensor]) -> str:
    """The SHA-256 of a network's tensors, whatever file they came in: names, kinds, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def resize_dinov2(network: Any, size: int) -> None:
    """Let timm's DINOv2 take pictures of ``size`` pixels as its authors' code does, in place.

    That samples the position embedding bicubically, without antialiasing and with 0.1 patch added to the new
    side (facebookresearch/dinov2, ``interpolate_pos_encoding``); timm would antialias, which gives other
    features.
    """
    embedding: Tensor = network.pos_embed
    old, new = network.patch_embed.grid_size[0], size // network.patch_embed.patch_size[0]
    places = embedding[:, 1:].view(1, old, old, -1).movedim(-1, 1)
    scale = (new + 0.1) / old
    places = F.interpolate(places, scale_factor=(scale, scale), mode="bicubic").flatten(2).mT
    network.set_input_size(img_size=(size, size))
    network.pos_embed = nn.Parameter(torch.cat([embedding[:, :1], places], 1), requires_grad=False)


def read_weights(model: str, path: Path) -> dict[str, Tensor]:
    """The named tensors of a user's file of ``model``'s weights.

    Raises:
        UserError: The file is missing, damaged, or holds anything else.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; give the path of {model}'s weights.")
    try:
        state = load_state_dict(str(path), weights_only=True)
        tensors = all(isinstance(value, Tensor) for value in state.values())
    except Exception as error:
        kind = type(error).__name__
        raise UserError(f"{path} is damaged or no file of weights ({kind}); replace it.") from error
    if not tensors:
        raise UserError(f"{path} holds more than named tensors; save the network's state_dict alone.")
    return dict(state)


def weights_of(model: str) -> dict[str, Tensor]:
    """The named tensors of timm's own weights of ``model``, from the Hugging Face cache or by download.

    Raises:
        UserError: They are not here and cannot be fetched.
    """
    return dict(_pretrained(model).state_dict())


def _from_file(model: str, path: Path) -> nn.Module:
    """The network with a user's weights, all of them and no others."""
    state = read_weights(model, path)
    network = _create(model)
    ours = network.state_dict().keys()
    # the classifier is left out, and so is what DINOv2's authors keep in their file for training only
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
    """Where timm keeps the classifier's weights in a state dict."""
    config: Any = network.pretrained_cfg
    names = config.get("classifier") or ()
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))


def _pretrained(model: str) -> nn.Module:
    """The network with timm's weights, from the Hugging Face cache where they are, else downloaded."""
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
            reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
    place = f"https://huggingface.co/{config.hf_hub_id}" if config.hf_hub_id else config.url
    raise UserError(
        f"timm's weights of {model} are not here and could not be fetched ({reason}); get the file from "
        f"{place} (model.safetensors) and give its path as weights."
    )


def _create(model: str, **options: Any) -> nn.Module:
    network: nn.Module = timm.create_model(model, num_classes=0, **options)
    return network
