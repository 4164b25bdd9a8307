"""Heads and hair as shapes for :mod:`zoo.data.worlds.faces`: stacks of level ellipses, seen at a yaw.

Shapes are arrays of complex numbers, x + iy: many small arrays are drawn, and these need the fewest calls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
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


@lru_cache(maxsize=1)
def _base() -> tuple[Array, Array, Array, Array, slice]:
    """What all heads share: rings of half width 1, a chin, jaw heights, a curtain's share, the jaw's rows."""
    y, front, back = _profile()
    crown = np.where(y < 0, np.sqrt(1 - np.abs(np.minimum(y, 0)) ** 2.3), 0)
    jaw = slice(*np.searchsorted(y, (0, 1)).tolist())
    chin = 0.025 * np.clip((y - 0.7) / 0.2, 0, 1)
    rings = np.stack([crown, (front + back) / 2, (front - back) / 2])
    return rings, np.stack([0 * y, chin, chin]), y[jaw], np.clip((y + 0.1) / 0.4, 0, 1), jaw


@lru_cache(maxsize=8)
def _rings(width: float, jaw: float, chin: float, shell: float, curtain: bool) -> Array:
    """The ellipses of :class:`Head`; kept, as pictures of one person often come together."""
    if not shell and not curtain:
        common, lift, low, _, part = _base()
        power = 2.1 + 1.6 * jaw
        rings: Array = common + chin * lift
        rings[0, part] = (1 - low**power) ** (1 / power) * (1 - (0.26 - 0.2 * jaw) * low)
        rings[0] *= width
        return rings
    rings = _rings(width, jaw, chin, 0.0, False)
    if curtain:
        straight = np.full_like(rings, -0.29)
        straight[0], straight[2] = np.maximum(rings[0], width), 0.59
        rings = rings + _base()[3] * (straight - rings)
    rings = rings + np.array([[shell], [0.0], [shell]])
    return rings


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
        self.rings = _rings(width, jaw, chin, shell, curtain)

    def rows(self, y: Array) -> Array:
        """Half width, middle and half depth (3,N) of the ellipses at heights."""
        flat = np.where(y < 0, y / (1 + self.shell), y) if self.shell else y
        rings: Array = self.rings.take(((flat + (1 + STEP / 2)) / STEP).astype(np.int64), 1)
        return rings

    def row(self, y: float) -> tuple[float, float, float]:
        """The same at one height."""
        flat = y / (1 + self.shell) if y < 0 else y
        width, middle, depth = self.rings[:, int((flat + (1 + STEP / 2)) / STEP)].tolist()
        return width, middle, depth

    def view(self, x: Any, z: Any) -> Any:
        """Where points come to lie on the picture, from its middle."""
        return x * self.cos + z * self.sin

    def around(self, angle: Array, y: Array) -> Array:
        """Places on the head at angles from its front, on the picture; hidden ones lie on its edge."""
        width, middle, depth = self.rows(y)
        return self._seen(angle, self._centre(width, depth), width, middle, depth) + 1j * y

    def on(self, points: Array, lift: Array | float = 0.0) -> tuple[Array, Array]:
        """Places of points of the frontal view, and whether each is on the side that is seen."""
        y = points.imag
        width, middle, depth = self.rows(y)
        sine = points.real / np.maximum(width, 1e-6)
        angle = np.arcsin(np.minimum(np.maximum(sine, -1), 1))
        centre = self._centre(width, depth)
        places = self._seen(angle, centre, width + lift, middle, depth + lift) + 1j * y
        return places, np.abs(angle - centre) < math.pi / 2 + 1e-6

    def _centre(self, width: Array, depth: Array) -> Array:
        """The angles that face the viewer."""
        centre: Array = np.arctan2(-self.sin * depth, self.cos * width)
        return centre

    def _seen(self, angle: Array, centre: Array, width: Array, middle: Array, depth: Array) -> Array:
        """The ``x`` at angles, which end at the head's edge."""
        angle = np.minimum(np.maximum(angle, centre - math.pi / 2), centre + math.pi / 2)
        x: Array = self.view(width * np.sin(angle), middle + depth * np.cos(angle))
        return x

    def outline(self, left: float, right: float) -> Array:
        """The edge from the height ``right`` on the right over the crown to the height ``left``."""
        y, kept, below = _bends()
        width, middle, depth = self.rings.take(kept, 1)
        half = np.hypot(width * self.cos, depth * self.sin)
        middle = middle * self.sin + 1j * (y + self.shell * below)
        on_right, on_left = y.searchsorted((right, left), "right").tolist()
        return np.concatenate([(middle + half)[:on_right][::-1], (middle - half)[:on_left]])


@lru_cache(maxsize=1)
def _bends() -> tuple[Array, Array, Array]:
    """Heights of an outline (all at crown and chin, each fifth between), their numbers, what is above 0."""
    y = _profile()[0]
    kept = np.flatnonzero((np.abs(np.abs(y) - 1) < 0.07) | (np.arange(len(y)) % 5 == 0))
    return y[kept], kept, np.minimum(y[kept], 0)


def spread(line: Array, count: int) -> Array:
    """Places along a line, evenly."""
    way = np.concatenate([[0.0], np.abs(np.diff(line)).cumsum()])
    at = np.linspace(0, way[-1], count)
    places: Array = np.interp(at, way, line.real) + 1j * np.interp(at, way, line.imag)
    return places


def ellipse(x: float, y: float, half: float, high: float) -> Array:
    """A closed shape around (x, y)."""
    shape: Array = ROUND.real * half + 1j * high * ROUND.imag + (x + 1j * y)
    return shape


def band(line: Array, thick: Array | float) -> Array:
    """A closed shape around a line, as thick up and down at each point; or one around each row of lines."""
    return np.concatenate([line - 1j * thick, (line + 1j * thick)[..., ::-1]], -1)


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
        heights: Array = np.interp(turn, *self._both)
        return heights

    @cached_property
    def _both(self) -> tuple[Array, Array]:
        """Angles and heights of the lower edge, from the back over the left, the front and the right."""
        (left, high), (right, low) = (np.array(knots).T for knots in (self.line, self.other or self.line))
        return np.radians(np.concatenate([-left[::-1], right])), np.concatenate([high[::-1], low])


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
