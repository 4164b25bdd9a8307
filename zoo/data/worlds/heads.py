"""Heads and hair as shapes for :mod:`zoo.data.worlds.faces`: stacks of level ellipses, seen at a yaw.

Shapes are arrays of complex numbers, x + iy: many small arrays are drawn, and these need the fewest calls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

STEP = 0.0125  # between the ellipses of a head
ROUND = np.exp(2j * math.pi * np.arange(14) / 14)


@lru_cache(maxsize=1)
def _profile() -> Array:
    """Heights from crown to shoulders, and the mid-line's front and back there, as three rows."""
    y = np.arange(-1, 1.6, STEP)
    front = (
        *(
            (-1, -0.08),
            (-0.985, 0.14),
            (-0.95, 0.32),
            (-0.9, 0.46),
            (-0.8, 0.64),
            (-0.65, 0.79),
            (-0.45, 0.89),
        ),
        *((-0.2, 0.93), (0, 0.905), (0.2, 0.9), (0.5, 0.905), (0.62, 0.9), (0.74, 0.87), (0.84, 0.9)),
        *((0.92, 0.87), (0.97, 0.77), (1, 0.55)),
    )
    back = (
        *((-1, -0.12), (-0.985, -0.3), (-0.95, -0.48), (-0.9, -0.6), (-0.8, -0.74), (-0.6, -0.88)),
        *((-0.3, -0.94), (0, -0.92), (0.2, -0.84), (0.35, -0.7), (0.45, -0.5), (0.55, -0.25), (0.65, -0.05)),
        *((0.8, 0.2), (0.92, 0.38), (1, 0.55)),
    )
    lines = [np.interp(y, *np.array(knots).T) for knots in (front, back)]
    for line in lines:
        for _ in range(3):
            line[1:-1] = (line[:-2] + 2 * line[1:-1] + line[2:]) / 4
    return np.stack([y, *lines])


class Head:
    """The ellipses of a person's head, or of a shell around it, seen at a yaw.

    Args:
        width: Half of its width.
        jaw: 0 is narrow, 1 is square.
        chin: How far it stands out, -1 to 1.
        yaw: In degrees.
        shell: How far a shell (of hair) stands off the head.
        curtain: Whether the shell goes straight down below the ears.
    """

    def __init__(
        self, width: float, jaw: float, chin: float, yaw: float, shell: float = 0.0, curtain: bool = False
    ) -> None:
        self.sin, self.cos, self.shell = math.sin(math.radians(yaw)), math.cos(math.radians(yaw)), shell
        y, front, back = _profile()
        power = 2.1 + 1.6 * jaw
        low = np.minimum(np.maximum(y, 0), 1)
        sides = (1 - low**power) ** (1 / power) * (1 - (0.26 - 0.2 * jaw) * low)
        widths = width * np.where(y < 0, np.sqrt(1 - np.abs(np.minimum(y, 0)) ** 2.3), sides)
        front = front + 0.05 * chin * np.minimum(np.maximum((y - 0.7) / 0.2, 0), 1)
        if curtain:
            hang = np.minimum(np.maximum((y + 0.1) / 0.4, 0), 1)
            widths = widths + hang * (np.maximum(widths, width) - widths)
            front, back = front + hang * (0.3 - front), back + hang * (-0.88 - back)
        self.rings = np.stack([widths + shell, (front + back) / 2, (front - back) / 2 + shell])

    def rows(self, y: Array) -> Array:
        """Half width, middle and half depth (3,N) of the ellipses at heights."""
        flat = np.where(y < 0, y / (1 + self.shell), y)
        rings: Array = self.rings[:, ((flat + 1 + STEP / 2) / STEP).astype(np.int64)]
        return rings

    def row(self, y: float) -> tuple[float, float, float]:
        """The same at one height."""
        flat = y / (1 + self.shell) if y < 0 else y
        width, middle, depth = self.rings[:, int((flat + 1 + STEP / 2) / STEP)].tolist()
        return width, middle, depth

    def view(self, x: Any, z: Any) -> Any:
        """Where points come to lie on the picture, from its middle."""
        return x * self.cos + z * self.sin

    def around(self, angle: Array, y: Array, lift: Any = 0.0) -> Array:
        """Places on the head at angles from its front, on the picture; hidden ones lie on its edge."""
        width, middle, depth = self.rows(y)
        centre = np.arctan2(-self.sin * depth, self.cos * width)  # the angle that faces the viewer
        angle = np.minimum(np.maximum(angle, centre - math.pi / 2), centre + math.pi / 2)
        x = self.view((width + lift) * np.sin(angle), middle + (depth + lift) * np.cos(angle))
        places: Array = x + 1j * y
        return places

    def on(self, points: Array, lift: Any = 0.0) -> Array:
        """The same for points of the frontal view."""
        return self.around(self.angles(points), points.imag, lift)

    def angles(self, points: Array) -> Array:
        """Angles from the front of points of the frontal view."""
        width = np.maximum(self.rows(points.imag)[0], 1e-6)
        angles: Array = np.arcsin(np.minimum(np.maximum(points.real / width, -1), 1))
        return angles

    def faces(self, points: Array) -> Array:
        """Whether points of the frontal view are on the side that is seen."""
        width, _, depth = self.rows(points.imag)
        centre = np.arctan2(-self.sin * depth, self.cos * width)
        seen: Array = np.abs(self.angles(points) - centre) < math.pi / 2 + 1e-6
        return seen

    def outline(self, left: float, right: float) -> Array:
        """The edge from the height ``right`` on the right over the crown to the height ``left``."""
        y, kept = _profile()[0], _bends()
        width, middle, depth = self.rings[:, kept]
        half, middle = np.hypot(width * self.cos, depth * self.sin), middle * self.sin + 1j * y[kept]
        middle.imag[middle.imag < 0] *= 1 + self.shell
        on_right, on_left = np.searchsorted(y[kept], (right, left), "right").tolist()
        return np.concatenate([(middle + half)[:on_right][::-1], (middle - half)[:on_left]])


@lru_cache(maxsize=1)
def _bends() -> Array:
    """The heights' numbers that an outline needs: all at crown and chin, every fifth between."""
    y = _profile()[0]
    return np.flatnonzero((np.abs(np.abs(y) - 1) < 0.07) | (np.arange(len(y)) % 5 == 0))


def spread(line: Array, count: int) -> list[complex]:
    """Places along a line, evenly."""
    way = np.concatenate([[0.0], np.abs(np.diff(line)).cumsum()])
    at = np.linspace(0, way[-1], count)
    places: list[complex] = (np.interp(at, way, line.real) + 1j * np.interp(at, way, line.imag)).tolist()
    return places


def ellipse(x: float, y: float, half: float, high: float) -> Array:
    """A closed shape around (x, y)."""
    shape: Array = ROUND.real * half + 1j * high * ROUND.imag + (x + 1j * y)
    return shape


def band(line: Array, thick: Array | float) -> Array:
    """A closed shape around a line, as thick up and down at each point."""
    return np.concatenate([line - 1j * thick, (line + 1j * thick)[::-1]])


def mirrored(middle: Array | float, half: Array, y: Array) -> Array:
    """A closed shape of rows at heights."""
    return np.concatenate([middle - half + 1j * y, (middle + half + 1j * y)[::-1]])


def between(line: Array, other: Array) -> Array:
    """A closed shape between two lines."""
    return np.concatenate([line, other[::-1]])


# ------------------------------------------------------------------------------------------------------- hair

Knots = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Cut:
    """A hair style.

    Args:
        shell: How far it stands off the head.
        line: Its lower edge: (angle from the front in degrees, height), from 0 to 180; used for both sides.
        other: The same for the right side where that differs.
        long: Down to which height it hangs below the ears; 0 is not at all.
        curls: Size of the curls along its edge.
    """

    shell: float
    line: Knots
    other: Knots = ()
    long: float = 0.0
    curls: float = 0.0

    def lower(self, angle: Array) -> Array:
        """The lower edge at angles from the front."""
        turn = (angle + math.pi) % (2 * math.pi) - math.pi
        both = np.concatenate([_half(self.line, -1)[::-1], _half(self.other or self.line, 1)])
        heights: Array = np.interp(turn, both.real, both.imag)
        return heights


@lru_cache(maxsize=64)
def _half(knots: Knots, side: int) -> Array:
    degrees, heights = np.array(knots).T
    half: Array = side * np.radians(degrees) + 1j * heights
    return half


_NAPE = ((80.0, 0.1), (94.0, 0.02), (104.0, -0.05), (122.0, 0.05), (138.0, 0.42), (180.0, 0.5))
CUTS: dict[str, Cut] = {
    "buzz": Cut(0.03, ((0, -0.6), (36, -0.58), (56, -0.44), (62, -0.1), (70, 0.08), *_NAPE)),
    "short": Cut(0.1, ((0, -0.5), (14, -0.57), (30, -0.5), (52, -0.42), (62, -0.1), (70, 0.1), *_NAPE)),
    "parted": Cut(
        0.12,
        ((0, -0.6), (22, -0.76), (40, -0.58), (56, -0.4), (64, -0.05), (70, 0.1), *_NAPE),
        ((0, -0.6), (24, -0.46), (48, -0.32), (60, -0.18), (68, 0.1), *_NAPE),
    ),
    "fringe": Cut(0.1, ((0, -0.33), (44, -0.3), (56, -0.22), (62, 0.1), (70, 0.18), *_NAPE)),
    "curls": Cut(
        0.2,
        ((0, -0.5), (40, -0.46), (58, -0.3), (70, 0.0), (84, 0.05), (104, 0.0), (130, 0.5), (180, 0.5)),
        curls=0.17,
    ),
    "bun": Cut(0.06, ((0, -0.66), (34, -0.56), (56, -0.36), (66, 0.0), (72, 0.06), *_NAPE)),
    "bob": Cut(
        0.1, ((0, -0.4), (46, -0.33), (60, -0.12), (70, 0.45), (78, 0.8), (120, 0.84), (180, 0.8)), long=0.84
    ),
    "long": Cut(
        0.1,
        ((0, -0.62), (20, -0.78), (44, -0.46), (62, -0.08), (76, 0.7), (84, 1.3), (180, 1.4)),
        ((0, -0.62), (24, -0.5), (46, -0.36), (62, -0.1), (76, 0.7), (84, 1.3), (180, 1.4)),
        long=1.4,
    ),
}  # fmt: skip
