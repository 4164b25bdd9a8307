"""What the drawn worlds share: colours, pixel grids and random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Colour = tuple[int, int, int]  # red, green, blue, each 0 to 255
Window = tuple[slice, slice]  # rows and columns of a part of a picture

FINE = 3  # faces and figures are drawn this many times as large, then averaged down for smooth edges


def colours(*codes: str) -> tuple[Colour, ...]:
    """Colours from hexadecimal codes such as ``fbdcc4``."""
    return tuple((int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)) for code in codes)


def float_colours(*codes: str) -> tuple[Array, ...]:
    """Colours from hexadecimal codes, each as (3,1,1) float32 in [0, 1]."""
    return tuple(np.array(colour, np.float32).reshape(3, 1, 1) / 255 for colour in colours(*codes))


def pixel_centres(size: int) -> Array:
    """Centres of the pixels along a side of length 1: (size,) float32 in (0, 1)."""
    centres: Array = ((np.arange(size) + 0.5) / size).astype(np.float32)
    return centres


def window(size: int, x0: float, y0: float, x1: float, y1: float) -> Window:
    """Rows and columns of a region of a square picture, with a margin of one pixel.

    Args:
        size: Side of the picture in pixels.
        x0: Left edge of the region as a share of the side.
        y0: Upper edge.
        x1: Right edge.
        y1: Lower edge.
    """
    rows, columns = (
        slice(min(max(int(low * size) - 1, 0), size), min(max(int(high * size) + 2, 0), size))
        for low, high in ((y0, y1), (x0, x1))
    )
    return rows, columns


class Draws:
    """Random numbers drawn one by one; a world stays the same only as long as their order does.

    Args:
        seed: Seed of NumPy's generator, a number or several.
    """

    def __init__(self, seed: int | tuple[int, ...]) -> None:
        self.random = np.random.default_rng(seed).random

    def between(self, low: float, high: float) -> float:
        """A uniform number from ``low`` to ``high``."""
        return low + (high - low) * self.random()

    def pick(self, options: Any) -> Any:
        """One of several options, all equally likely."""
        return options[int(len(options) * self.random())]
