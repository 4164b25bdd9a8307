"""The authors' PyTorch code of StackGAN, github.com/hanzhanggit/StackGAN-Pytorch: ``variant: coco``.

Its generator of Stage-II holds that of Stage-I. ``width`` (GF_DIM), ``discriminator_width`` (DF_DIM) and
``blocks`` (R_NUM) are read from the shapes.
"""

from __future__ import annotations

from typing import Any

from zoo.errors import UserError
from zoo.references.matching import Match, State, renamed

LAYERS = {
    r"ca_net\.fc": "conditioning.dense",
    r"fc\.0": "dense",
    r"fc\.1": "norm",
    r"hr_joint\.": "layers.",  # its ReLU is layer 2
}


def recognise(state: State) -> Match:
    """Recognise a player of either stage.

    Raises:
        UserError: The names are not those of this code.
    """
    if "encode_img.0.weight" in state:
        return _discriminator(state)
    if "ca_net.fc.weight" not in state:
        raise UserError(
            f"The weights start with {next(iter(state), 'nothing')}, which names no network that StackGAN "
            "can convert; give a generator or discriminator of StackGAN-Pytorch."
        )
    inside = "STAGE1_G."
    refined = {key: value for key, value in state.items() if not key.startswith(inside)}
    small = {key.removeprefix(inside): value for key, value in state.items() if key.startswith(inside)}
    stage = 2 if small else 1
    first = small or refined
    condition = len(first["ca_net.fc.weight"]) // 2
    ups = sum(key.startswith("upsample") and key.endswith(".1.weight") for key in first)
    arguments: dict[str, Any] = {
        "stage": stage,
        "variant": "coco",
        "size": 4 * 2**ups,
        "text_dim": first["ca_net.fc.weight"].shape[1],
        "latent_dim": first["fc.0.weight"].shape[1] - condition,
        "condition_dim": condition,
        "width": first["upsample1.1.weight"].shape[1] // 8,
    }
    weights = {f"stage1.{key}": value for key, value in _layers(first, 1).items()}
    if small:
        arguments["blocks"] = sum(key.endswith("block.0.weight") for key in refined)
        weights |= {
            f"stage2.{key}": value for key, value in _layers(refined, 3 + arguments["blocks"]).items()
        }
    return Match("generator", arguments, weights)


def _layers(state: State, before: int) -> State:
    """The weights of a stage, which has ``before`` layers before the first enlargement."""
    patterns = dict(LAYERS)
    for at in range(4):
        start = before + 4 * at
        patterns[rf"upsample{at + 1}\.1"] = f"layers.{start + 1}"
        patterns[rf"upsample{at + 1}\.2"] = f"layers.{start + 2}"
    ups = sum(key.startswith("upsample") and key.endswith(".1.weight") for key in state)
    patterns[r"img\.0"] = f"layers.{before + 4 * ups}"
    patterns[r"residual\.(\d+)\.block"] = r"residual.\1.layers"
    found = renamed(state, patterns)
    return {_placed(key): value for key, value in found.items()}


def _placed(key: str) -> str:
    """``residual.1.layers.0.weight`` as ``layers.4.layers.0.weight``: three layers come before the blocks."""
    head, *rest = key.split(".")
    return ".".join(["layers", str(3 + int(rest[0])), *rest[1:]]) if head == "residual" else key


def _discriminator(state: State) -> Match:
    logits = r"get_cond_logits\.outlogits\."
    patterns = {"encode_img": "layers", logits: "joined.", r"get_uncond_logits\.outlogits\.0": "alone"}
    weights = renamed(state, patterns)
    width = len(state["encode_img.0.weight"])
    wide = [value for key, value in state.items() if key.startswith("encode_img") and value.ndim == 4]
    strided = sum(value.shape[-1] == 4 for value in wide)
    stage = 2 if "alone.weight" in weights else 1
    size = 4 * 2**strided
    arguments = {
        "stage": stage,
        "variant": "coco",
        "size": size // 4 if stage == 2 else size,
        "condition_dim": state["get_cond_logits.outlogits.0.weight"].shape[1] - wide[-1].shape[0],
        "discriminator_width": width,
    }
    return Match("discriminator", arguments, weights)
