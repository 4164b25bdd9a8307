"""The one gate by which pictures enter metrics: bytes, as they would lie in a file.

Metrics of the same pictures must not depend on the form in which they come, and a wrong guess of their range
goes unseen (a set in [0, 1] taken for [-1, 1] is only pale). So the range is always said, never guessed, and
what contradicts it is refused. Rounding is that of :func:`zoo.files.pictures.write_picture`: a score of tensors is the
score of the PNG files written from them.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from zoo.errors import UserError
from zoo.files.pictures import to_levels

Values = Literal["[-1,1]", "[0,1]", "bytes"]

TOLERANCE = 1e-3  # an eighth of a byte's step in [-1, 1]: rounding of arithmetic, no overshoot


def to_bytes(images: Tensor, values: Values) -> Tensor:
    """Pictures as bytes, or a sentence that says what is wrong with them.

    Args:
        images: (N, 1 or 3, H, W); floats of any precision, or uint8 where ``values`` says ``bytes``.
        values: The range that the pictures are meant to have.

    Returns:
        (N, C, H, W) uint8 on the same device.

    Raises:
        UserError: Another rank, type or number of channels, no pictures, or values that are not finite or
            outside the range.
    """
    if values not in ("[-1,1]", "[0,1]", "bytes"):
        raise UserError(f"Pictures cannot have values {values!r}; say [-1,1], [0,1] or bytes.")
    if images.ndim != 4 or not images.numel():
        raise UserError(
            f"Metrics take pictures (N, C, H, W), at least one, not {tuple(images.shape)}; reshape them, and "
            "give the frames of films and the views of voxels as single pictures."
        )
    channels = images.shape[1]
    if channels == 4:
        raise UserError(
            "Metrics take pictures of 1 or 3 channels and these have 4; if the fourth is transparency, lay "
            "them over white with zoo.drawing.sheets.to_rgb and measure the result."
        )
    if channels not in (1, 3):
        raise UserError(
            f"Metrics take pictures of 1 (grey) or 3 channels (RGB) before height and width, not {channels} "
            f"as in {tuple(images.shape)}; move the channels there, and colour label maps with "
            "zoo.drawing.sheets.label_colours."
        )
    if values == "bytes":
        if images.dtype != torch.uint8:
            raise UserError(
                f"Pictures said to be bytes must be uint8, not {_kind(images)}; say [-1,1] or [0,1] for "
                "floats."
            )
        return images
    if not images.is_floating_point():
        raise UserError(
            f"Pictures said to be in {values} must be floats, not {_kind(images)}; say bytes for uint8 of 0 "
            "to 255."
        )
    if not torch.isfinite(images).all():
        raise UserError(
            f"{int((~torch.isfinite(images)).flatten(1).any(1).sum())} of {len(images)} pictures hold a "
            "value that is not finite; look for the step at which the training diverged."
        )
    least = -1 if values == "[-1,1]" else 0
    low, high = float(images.min()), float(images.max())
    if low < least - TOLERANCE or high > 1 + TOLERANCE:
        raise UserError(
            f"Pictures said to be in {values} reach from {low:.4g} to {high:.4g}; say the range they have, "
            "or clamp them where the network's output is not bounded."
        )
    floats = images.float()
    return to_levels(floats if least == -1 else floats * 2 - 1).byte()


class PixelGate:
    """Turns batches of one set into bytes, and at its end judges whether the range said can be true.

    Args:
        values: The range that the pictures are meant to have, as for :func:`to_bytes`.
        name: What the pictures are, for the sentence: ``generated pictures``, a folder's name.
    """

    def __init__(self, values: Values, name: str = "pictures") -> None:
        self.values, self.name = values, name
        self.count, self._lowest, self._highest = 0, 255, 0
        self._flat = True

    def __call__(self, images: Tensor) -> Tensor:
        """A batch as bytes; raises as :func:`to_bytes`."""
        found = to_bytes(images, self.values)
        self.count += len(found)
        self._lowest, self._highest = (
            min(self._lowest, int(found.min())),
            max(self._highest, int(found.max())),
        )
        pixels = found.flatten(1)
        self._flat = self._flat and bool((pixels == pixels[:, :1]).all())
        return found

    def finish(self) -> None:
        """Judge the whole set; one picture, or pictures of one value each, are not enough to tell.

        Raises:
            UserError: Nothing lies below mid-grey in a set said to be in [-1,1], or above 1 in a set of
            bytes.
        """
        if self.count < 2 or self._flat:
            return
        if self.values == "[-1,1]" and self._lowest >= 127:
            raise UserError(
                f"Nothing in {self.count} {self.name} said to be in [-1,1] lies clearly below 0: they look "
                "like [0,1]; say so, or give them as bytes if they really are that bright."
            )
        if self.values == "bytes" and self._highest <= 1:
            raise UserError(
                f"None of {self.count} {self.name} has a byte above 1: they look like [0,1] cut to whole "
                "numbers, or like masks; multiply by 255 before they become bytes."
            )


def require_bytes(images: Tensor) -> None:
    """Refuse what did not come through the gate.

    Raises:
        UserError: The pictures are not uint8 (N, 1 or 3, H, W).
    """
    if images.dtype != torch.uint8:
        raise UserError(
            f"This metric takes pictures as uint8, not {_kind(images)}; bring them through "
            "zoo.metrics.formulas.pixels.to_bytes, which wants their range said."
        )
    to_bytes(images, "bytes")


def _kind(images: Tensor) -> str:
    return str(images.dtype).removeprefix("torch.")
