"""Heads and hair as outlines for :mod:`zoo.data.worlds.faces`.

A head is a stack of horizontal ellipses, seen from the front after a turn by the yaw. Lengths are in half
head heights: ``x`` to the right of the picture, ``y`` down from -1 (crown) to 1 (chin), ``z`` towards the
viewer. Outlines are arrays of complex numbers x + iy: many short arrays are drawn, and this form needs the
fewest NumPy calls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from zoo.data.worlds.paint import Array

STEP = 0.0125  # vertical distance of the ellipses of a head
ROUND = np.exp(2j * math.pi * np.arange(14) / 14)  # a circle of radius 1

STEP = 0.0125  # between the ellipses of a head
ROUND = np.exp(2j * math.pi * np.arange(14) / 14)


@lru_cache(maxsize=1)
def _profile() -> Array:
    """Side view of the head (3,N): heights from crown to shoulders, z of the front, z of the back."""
    y = np.arange(-1, 1.6, STEP)
    front = (
        *((-1, -0.08), (-0.985, 0.14), (-0.95, 0.32), (-0.9, 0.46), (-0.8, 0.64), (-0.65, 0.79)),
        *((-0.45, 0.89), (-0.2, 0.93), (0, 0.905), (0.2, 0.9), (0.5, 0.905), (0.62, 0.9), (0.74, 0.87)),
        *((0.84, 0.9), (0.92, 0.87), (0.97, 0.77), (1, 0.55)),
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
    """What all heads share.

    Returns:
        The ellipses (3,N) of a head of half width 1 without a jaw; what a chin of 1 adds to them; the heights
        of the jaw; the weight (N,) of a curtain of hair at each height; the indices of the jaw's heights.
    """
    y, front, back = _profile()
    crown = np.where(y < 0, np.sqrt(1 - np.abs(np.minimum(y, 0)) ** 2.3), 0)
    jaw = slice(*np.searchsorted(y, (0, 1)).tolist())
    chin = 0.025 * np.clip((y - 0.7) / 0.2, 0, 1)
    rings = np.stack([crown, (front + back) / 2, (front - back) / 2])
    return rings, np.stack([0 * y, chin, chin]), y[jaw], np.clip((y + 0.1) / 0.4, 0, 1), jaw


@lru_cache(maxsize=8)
def _rings(width: float, jaw: float, chin: float, shell: float, curtain: bool) -> Array:
    """The ellipses of :class:`Head`, (3,N); cached, as pictures of one person often come together."""
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
    """The ellipses of a person's head, or of a shell of hair around it, turned by a yaw.

    Args:
        width: Half width.
        jaw: Shape of the jaw, 0 (narrow) to 1 (square).
        chin: How far the chin stands out, -1 to 1.
        yaw: Turn in degrees; above 0 to the right of the picture.
        shell: Distance of the shell from the head; 0 for the head itself.
        curtain: Whether the shell hangs straight down below the ears.
    """

    def __init__(
        self, width: float, jaw: float, chin: float, yaw: float, shell: float = 0.0, curtain: bool = False
    ) -> None:
        self.sin, self.cos, self.shell = math.sin(math.radians(yaw)), math.cos(math.radians(yaw)), shell
        self.rings = _rings(width, jaw, chin, shell, curtain)

    def rows(self, y: Array) -> Array:
        """Half width, z of the middle, and half depth (3,N) of the ellipses at heights (N,)."""
        flat = np.where(y < 0, y / (1 + self.shell), y) if self.shell else y
        rings: Array = self.rings.take(((flat + (1 + STEP / 2)) / STEP).astype(np.int64), 1)
        return rings

    def row(self, y: float) -> tuple[float, float, float]:
        """Half width, z of the middle, and half depth at one height."""
        flat = y / (1 + self.shell) if y < 0 else y
        width, middle, depth = self.rings[:, int((flat + (1 + STEP / 2)) / STEP)].tolist()
        return width, middle, depth

    def view(self, x: Any, z: Any) -> Any:
        """``x`` in the picture of points (x, z) of the unturned head."""
        return x * self.cos + z * self.sin

    def around(self, angle: Array, y: Array) -> Array:
        """Points at angles from the front (radians) and heights; hidden ones lie on the silhouette."""
        width, middle, depth = self.rows(y)
        return self._seen(angle, self._centre(width, depth), width, middle, depth) + 1j * y

    def on(self, points: Array, lift: Array | float = 0.0) -> tuple[Array, Array]:
        """Project points of the frontal view onto the head.

        Args:
            points: Points (N,) of the unturned frontal view.
            lift: Distance above the surface.

        Returns:
            The points in the picture, and whether each is on the visible side.
        """
        y = points.imag
        width, middle, depth = self.rows(y)
        sine = points.real / np.maximum(width, 1e-6)
        angle = np.arcsin(np.minimum(np.maximum(sine, -1), 1))
        centre = self._centre(width, depth)
        places = self._seen(angle, centre, width + lift, middle, depth + lift) + 1j * y
        return places, np.abs(angle - centre) < math.pi / 2 + 1e-6

    def _centre(self, width: Array, depth: Array) -> Array:
        """The angle that faces the viewer, for each ellipse."""
        centre: Array = np.arctan2(-self.sin * depth, self.cos * width)
        return centre

    def _seen(self, angle: Array, centre: Array, width: Array, middle: Array, depth: Array) -> Array:
        """``x`` of points at angles from the front; hidden ones lie on the silhouette."""
        angle = np.minimum(np.maximum(angle, centre - math.pi / 2), centre + math.pi / 2)
        x: Array = self.view(width * np.sin(angle), middle + depth * np.cos(angle))
        return x

    def outline(self, left: float, right: float) -> Array:
        """The silhouette from height ``right`` on the right over the crown to ``left`` on the left."""
        y, kept, below = _bends()
        width, middle, depth = self.rings.take(kept, 1)
        half = np.hypot(width * self.cos, depth * self.sin)
        middle = middle * self.sin + 1j * (y + self.shell * below)
        on_right, on_left = y.searchsorted((right, left), "right").tolist()
        return np.concatenate([(middle + half)[:on_right][::-1], (middle - half)[:on_left]])


@lru_cache(maxsize=1)
def _bends() -> tuple[Array, Array, Array]:
    """The heights of a silhouette: all near crown and chin, every fifth between.

    Returns:
        The heights, their indices, and the heights with those of the lower half set to 0.
    """
    y = _profile()[0]
    kept = np.flatnonzero((np.abs(np.abs(y) - 1) < 0.07) | (np.arange(len(y)) % 5 == 0))
    return y[kept], kept, np.minimum(y[kept], 0)


def spread(line: Array, count: int) -> Array:
    """``count`` points along a line at equal distances."""
    way = np.concatenate([[0.0], np.abs(np.diff(line)).cumsum()])
    at = np.linspace(0, way[-1], count)
    places: Array = np.interp(at, way, line.real) + 1j * np.interp(at, way, line.imag)
    return places


def ellipse(x: float, y: float, half: float, high: float) -> Array:
    """An ellipse around (x, y), ``half`` its half width, ``high`` its half height."""
    shape: Array = ROUND.real * half + 1j * high * ROUND.imag + (x + 1j * y)
    return shape


def band(line: Array, thick: Array | float) -> Array:
    """A closed outline around a line, ``thick`` above and below it; lines (M,N) give M outlines."""
    return np.concatenate([line - 1j * thick, (line + 1j * thick)[..., ::-1]], -1)


def between(line: Array, other: Array) -> Array:
    """A closed outline between two lines."""
    return np.concatenate([line, other[::-1]])


Knots = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Cut:
    """A hair style.

    Args:
        shell: Distance from the head.
        line: Lower edge from front to nape as (angle from the front in degrees, height), 0 to 180 degrees.
        other: Lower edge on the right side, if it differs.
        long: Height down to which the hair hangs below the ears; 0 if it does not.
        curls: Radius of the curls along the edge; 0 for none.
    """

    shell: float
    line: Knots
    other: Knots = ()
    long: float = 0.0
    curls: float = 0.0

    def lower(self, angle: Array) -> Array:
        """Height of the lower edge at angles from the front in radians."""
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
