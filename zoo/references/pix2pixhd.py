"""The authors' code of pix2pixHD, https://github.com/NVIDIA/pix2pixHD."""

from __future__ import annotations

import re
from typing import Any

from zoo.errors import UserError
from zoo.references.matching import Match, State, renamed, tidy

Arguments = dict[str, Any]


def recognise(state: State) -> Match:
    """Recognise a global generator, a local enhancer or a multi-scale discriminator.

    An encoder's weights go with its generator's in one dict, their names after ``netE.``. One input channel
    is taken to be the instance boundaries if there are others, and a discriminator's images to have 3
    channels. The code's feature matching averages, and so do the arguments of a discriminator.

    Raises:
        UserError: It is none of these networks, or generator and encoder do not fit each other.
    """
    encoder = tidy({key.removeprefix("netE."): v for key, v in state.items() if key.startswith("netE.")})
    state = {key: value for key, value in state.items() if not key.startswith("netE.")}
    if any(re.match(r"(scale\d+_)?layer\d", key) for key in state):
        return _discriminator(state)
    if not any(".conv_block." in key for key in state):
        if "model.1.weight" in (state or encoder):
            raise UserError(
                "These weights are of the feature encoder alone; put them with their generator's into one "
                "dict, their names after netE., and convert that."
            )
        raise UserError("These weights are of no pix2pixHD network that is known.")
    arguments, weights = _generator(state)
    if encoder:
        more, renamed_encoder = _encoder(encoder)
        arguments |= more
        arguments["in_channels"] -= more["features"]
        if arguments["in_channels"] < 1:
            raise UserError(
                f"The encoder gives {more['features']} features, more than this generator takes beside label "
                "map and boundaries; convert it with the generator that it was trained with."
            )
        weights |= renamed_encoder
    return Match("generator", arguments, weights, ("styles", "style_counts"))  # the code keeps them elsewhere


def _generator(state: State) -> tuple[Arguments, State]:
    """``model`` is the global generator, ``modelN_1`` and ``modelN_2`` the halves of enhancer N."""
    convolutions = {key.removesuffix(".weight"): v.shape for key, v in state.items() if v.ndim == 4}
    trunk = [key for key in convolutions if key.startswith("model.")]
    blocks = sum(key.endswith("conv_block.1") for key in trunk)
    enhancers = len({key.split("_")[0] for key in convolutions if re.match(r"model\d+_1\.", key)})
    # one entry, as many upsamplings as downsamplings, and without enhancers the output
    downsamplings = (len(trunk) - 2 * blocks - (1 if enhancers else 2)) // 2
    last = 6 * downsamplings + blocks + 5  # the output's convolution in a global generator
    local = {
        level: sum(bool(re.fullmatch(rf"model{level}_2\..*conv_block\.1", key)) for key in convolutions)
        for level in range(1, enhancers + 1)
    }
    weights = {}
    for key, value in state.items():
        name = key.replace(".conv_block.", ".body.")
        if match := re.fullmatch(r"model\.(\d+)\.(.*)", name):
            at = int(match[1])
            name = f"output.1.{match[2]}" if at == last else f"trunk.{at}.{match[2]}"
        elif match := re.fullmatch(r"model(\d+)_([12])\.(\d+)\.(.*)", name):
            level, at = int(match[1]), int(match[3])
            half = "down" if match[2] == "1" else "up"
            name = f"enhancers.{level - 1}.{half}.{at}.{match[4]}"
            if half == "up" and at == local[level] + 4:
                name = f"output.1.{match[4]}"
        weights[name] = value
    first = state["model.1.weight"]
    exit_ = state[f"model1_2.{local[1] + 4}.weight" if enhancers else f"model.{last}.weight"]
    arguments = {
        "stage": "joint" if enhancers else "global",
        "enhancers": enhancers,
        "in_channels": first.shape[1] - 1 or 1,
        "out_channels": exit_.shape[0],
        "instance_edges": first.shape[1] > 1,
        "width": first.shape[0],
        "downsamplings": downsamplings,
        "blocks": blocks,
    }
    return arguments | ({"local_blocks": local[1]} if enhancers else {}), weights


def _encoder(state: State) -> tuple[Arguments, State]:
    """The same order as ours under another name."""
    convolutions = [value.shape for value in state.values() if value.ndim == 4]
    arguments = {
        "features": convolutions[-1][0],
        "encoder_width": convolutions[0][0],
        "encoder_downsamplings": (len(convolutions) - 2) // 2,
    }
    return arguments, renamed(state, {r"model\.": "encoder.layers."})


def _discriminator(state: State) -> Match:
    """Layers have names, or are numbered within one sequence if the code returns no features."""
    places: dict[str, list[int]] = {}  # of the convolutions in each sequence
    for key in state:
        if match := re.fullmatch(r"layer(\d+)\.(\d+)\.weight", key):
            places.setdefault(match[1], []).append(int(match[2]))
    weights = {}
    for key, value in state.items():
        name = re.sub(r"^scale(\d+)_layer(\d+)\.(\d+\.\w+)$", r"scales.\1.\2.\3", key)
        if match := re.fullmatch(r"layer(\d+)\.(\d+)\.(\w+)", key):
            layer = sorted(places[match[1]]).index(int(match[2]))
            name = f"scales.{match[1]}.{layer}.0.{match[3]}"
        weights[name] = value
    named = [name.split(".") for name in weights if name.startswith("scales.")]
    first = weights["scales.0.0.0.weight"]
    if first.shape[1] < 5:
        raise UserError(
            f"This discriminator sees {first.shape[1]} channels, too few for a label map, boundaries and an "
            "image of 3 channels; only such are converted."
        )
    arguments = {
        "discriminators": len({parts[1] for parts in named}),
        "discriminator_width": first.shape[0],
        "discriminator_layers": len({parts[2] for parts in named}) - 2,
        "in_channels": first.shape[1] - 4,
        "matching": "mean",
    }
    return Match("discriminator", arguments, weights)
