"""Conversion of images to uint8, the only form that metrics accept.

Scores must not depend on how images are represented, and a wrong guess of their range goes unnoticed (a set
in [0, 1] taken for [-1, 1] is only pale). The range is therefore always given, never guessed, and values that
contradict it are refused. Rounding is that of :func:`zoo.files.pictures.write_picture`: the score of tensors
equals the score of the PNG files written from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import torch
from torch import Tensor

from zoo.errors import UserError
from zoo.files.pictures import to_levels

Values = Literal["[-1,1]", "[0,1]", "bytes"]

TOLERANCE = 1e-3  # an eighth of a grey level in [-1, 1]: allows rounding errors, not overshoot


def to_bytes(images: Tensor, values: Values) -> Tensor:
    """Convert images to uint8.

    Args:
        images: (N, 1 or 3, H, W); floats of any precision, or uint8 if ``values`` is ``bytes``.
        values: Range of the values.

    Returns:
        (N, C, H, W) uint8 on the same device.

    Raises:
        UserError: Wrong rank, dtype or number of channels, no images, or values that are not finite or
            outside the range.
    """
    if values not in ("[-1,1]", "[0,1]", "bytes"):
        raise UserError(f"Images cannot have values {values!r}; give [-1,1], [0,1] or bytes.")
    if images.ndim != 4 or not images.numel():
        raise UserError(
            f"Metrics take images (N, C, H, W), at least one, not {tuple(images.shape)}; reshape them, and "
            "give frames of clips and views of voxels as single images."
        )
    channels = images.shape[1]
    if channels == 4:
        raise UserError(
            "Metrics take images of 1 or 3 channels and these have 4; if the fourth is alpha, composite them "
            "on white with zoo.drawing.sheets.to_rgb and score the result."
        )
    if channels not in (1, 3):
        raise UserError(
            f"Metrics take images (N, C, H, W) with 1 (grey) or 3 channels (RGB), not {channels} as in "
            f"{tuple(images.shape)}; move the channels to the second dimension, and colour label maps with "
            "zoo.drawing.sheets.label_colours."
        )
    if values == "bytes":
        if images.dtype != torch.uint8:
            raise UserError(
                f"Images given as bytes must be uint8, not {_kind(images)}; give [-1,1] or [0,1] for floats."
            )
        return images
    if not images.is_floating_point():
        raise UserError(
            f"Images given as {values} must be floats, not {_kind(images)}; give bytes for uint8 of 0 to 255."
        )
    require_range(images, values)
    floats = images.float()
    return to_levels(floats if values == "[-1,1]" else floats * 2 - 1).byte()


def require_range(images: Tensor, values: Literal["[-1,1]", "[0,1]"]) -> None:
    """Require floating images (N, ...), at least one, of finite values in a range.

    Raises:
        UserError: They are not; states how many, or the range that they have.
    """
    if not images.numel():
        raise UserError(f"There are no images to score: {tuple(images.shape)}; give at least one.")
    if not torch.isfinite(images).all():
        raise UserError(
            f"{int((~torch.isfinite(images)).flatten(1).any(1).sum())} of {len(images)} images hold a "
            "value that is not finite; check at which step the training diverged."
        )
    low, high = float(images.min()), float(images.max())
    if low < (-1 if values == "[-1,1]" else 0) - TOLERANCE or high > 1 + TOLERANCE:
        raise UserError(
            f"Images given as {values} range from {low:.4g} to {high:.4g}; give the range that they have, or "
            "clamp them if the network's output is not bounded."
        )


def generated_bytes(batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """Convert a generator's images, which should be in [-1, 1], to uint8; indices are passed on.

    Raises:
        UserError: As :func:`to_bytes`; or, after the last batch, no value of the set is below mid-grey. A
            single image, or images of one value each, are not enough to decide that.
    """
    count, lowest, flat = 0, 255, True
    for indices, images in batches:
        found = to_bytes(images.float(), "[-1,1]")
        count, lowest = count + len(found), min(lowest, int(found.min()))
        pixels = found.flatten(1)
        flat = flat and bool((pixels == pixels[:, :1]).all())
        yield indices, found
    if count >= 2 and not flat and lowest >= 127:
        raise UserError(
            f"No value in {count} generated images given as [-1,1] is clearly below 0: they look like [0,1]; "
            "give that range, or give them as bytes if they really are that bright."
        )


def require_bytes(images: Tensor) -> None:
    """Require the form that :func:`to_bytes` returns.

    Raises:
        UserError: The images are not uint8 (N, 1 or 3, H, W).
    """
    if images.dtype != torch.uint8:
        raise UserError(
            f"This metric takes images in uint8, not {_kind(images)}; convert them with "
            "zoo.metrics.formulas.pixels.to_bytes, giving their range."
        )
    to_bytes(images, "bytes")


def _kind(images: Tensor) -> str:
    return str(images.dtype).removeprefix("torch.")
