"""The world of scenes: drawn landscapes with label map, instances, outlines and a caption.

:func:`draw` gives the :class:`Scene` of a (seed, index). The label map determines nearly everything in the
picture: the hour follows from the position of sun or moon, the paint of a house from its shape, the colour of
a car from its direction. So a model that translates label maps to pictures has more to learn than one colour
per class, and a segmenter can read the labels back. Lengths are shares of the picture's side; ``y`` grows
downwards.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from zoo.data.worlds.paint import Array, Draws, Window, colours, float_colours, pixel_centres, window

Hour = Literal["dawn", "day", "dusk", "night"]

CLASSES = (
    *("sky", "cloud", "sun", "moon", "mountain", "hill", "meadow", "road"),
    *("water", "wall", "roof", "window", "door", "leaves", "trunk", "car"),
)
PALETTE = colours(  # of label pictures, in the order of CLASSES
    *("87beeb", "f0f4f8", "ffcd28", "cdc3ff", "807a96", "58966e", "82be50", "5a5a5f"),
    *("2869be", "ebcda0", "b44132", "3ce1e1", "734123", "196e32", "552d0f", "e11e82"),
)
SKY, CLOUD, SUN, MOON, MOUNTAIN, HILL, MEADOW, ROAD, WATER, WALL, ROOF, WINDOW, DOOR, LEAVES, TRUNK, CAR = (
    range(16)
)


@dataclass(frozen=True)
class Scene:
    """A drawn landscape and its annotations.

    Args:
        picture: (3,H,W) float32 in [-1, 1].
        labels: (H,W) long, indices into ``CLASSES``.
        instances: (H,W) long, 0 outside of objects; they are 1, 2, … from back to front, a house is one.
        edges: (1,H,W) float32, -1 on the outlines of classes and objects, 1 elsewhere.
        caption: One sentence about what is visible.
    """

    picture: Tensor
    labels: Tensor
    instances: Tensor
    edges: Tensor
    caption: str


def draw(seed: int, index: int, size: int = 64) -> Scene:
    """Draw the scene ``index`` of the world ``seed``.

    Args:
        seed: Seed of the world, not negative.
        index: Index of the scene, not negative.
        size: Side in pixels, at least 16; the same scene at every size.
    """
    painter = _Painter(seed, index, size)
    painter.sky()
    painter.backdrop()
    painter.ground()
    painter.objects()
    return painter.scene()


class _Light(NamedTuple):
    top: Array  # colour of the sky at its top
    horizon: Array  # colour of the sky at the horizon
    land: Array  # factor for every colour of the land
    lamp: float  # how far the windows are lit, 0 to 1


def _light(lamp: float, *codes: str) -> _Light:
    top, horizon, land = float_colours(*codes)
    return _Light(top, horizon, land, lamp)


LIGHTS: dict[Hour, _Light] = {
    "dawn": _light(0.35, "6f8fce", "ffc9b8", "f2cfc6"),
    "day": _light(0.0, "3f8fe0", "cbe7f8", "ffffff"),
    "dusk": _light(0.75, "4a4a8f", "ff9a52", "e0a890"),
    "night": _light(1.0, "070b24", "2b3a72", "566496"),
}
HOUSES = {  # kind: wall, roof, door
    "cottage": float_colours("f3e3bd", "c0553a", "7a4a2a"),
    "tall house": float_colours("e0a58c", "50607c", "34506e"),
    "barn": float_colours("a8443a", "8d8478", "ecdcc4"),
}
TREES = {"fir": float_colours("235a3f", "5a3b22"), "tree": float_colours("4f9434", "6b4527")}  # leaves, trunk
CARS = float_colours("2f62c4", "d4322c")  # driving to the left, to the right
ROCK, SNOW, FOREST, GRASS = float_colours("7d7f99", "f6f8ff", "6fa37c", "86ba4c")
ASPHALT, PAINT = float_colours("6a6a70", "efe9d2")
SHORE, GLASS, LAMP, TYRE = float_colours("d9c48f", "a9d3e8", "ffd873", "1f2024")
SUNLIGHT, MOONLIGHT, WHITE = float_colours("fff3b0", "f3f0dc", "ffffff")

Row = tuple[float, float]  # y, half width
Disc = tuple[float, float, float]  # x, y, radius


class _Grid(NamedTuple):
    x: Array  # (1, size) centres of the pixels
    y: Array  # (size, 1)
    stars: Array  # (size, size) brightness
    grain: Array  # (size, size) in [-1, 1]


@lru_cache(maxsize=8)
def _grid(size: int) -> _Grid:
    """What all scenes of one size share."""
    line = pixel_centres(size)
    x, y = line[None, :], line[:, None]
    stars, wide = np.zeros((size, size), np.float32), max(1, size // 100)
    for k in range(1, 40):  # the same stars every night, from a low-discrepancy sequence
        row, column = int(size * 0.6 * (k * 0.7548777 % 1)), int(size * (k * 0.5698403 % 1))
        stars[row : row + wide, column : column + wide] = 0.25 + 0.55 * (k * 0.381 % 1)
    grain = np.sin(53 * x + 9 * np.sin(17 * y)) * np.sin(71 * y + 7 * np.sin(13 * x))
    return _Grid(x, y, stars, grain.astype(np.float32))


class _Painter(Draws):
    """Paints from back to front; a shape is blended by its share of each pixel, so outlines are smooth."""

    def __init__(self, seed: int, index: int, size: int) -> None:
        super().__init__((seed, index))
        self.size = size
        self.x, self.y, self.stars, self.grain = _grid(size)
        self.picture = np.empty((3, size, size), np.float32)
        self.codes = np.zeros((size, size), np.int64)  # class + 16 * number of the object
        self.things: list[str] = ["nothing"]
        self.horizon = self.between(0.46, 0.58)
        pick = self.random()
        self.hour: Hour = "dawn" if pick < 0.2 else "day" if pick < 0.6 else "dusk" if pick < 0.8 else "night"
        self.light = LIGHTS[self.hour]
        path = {"dawn": (-1, -0.75), "day": (-0.6, 0.6), "dusk": (0.75, 1), "night": (-0.6, 0.6)}[self.hour]
        way = self.between(*path)  # from -1 at sunrise to 1 at sunset
        self.lamp_x = 0.5 + 0.36 * way
        self.lamp_y = self.horizon * (0.78 - 0.56 * (1 - way * way))
        self.front: str | None = None

    def new(self, kind: str) -> int:
        """Add an object and return its number."""
        self.things.append(kind)
        return len(self.things) - 1

    def fill(self, box: Window, inside: Array, colour: Array, label: int, thing: int = 0) -> None:
        """Paint in a window where ``inside`` is positive: the distance to the outline, in picture sides."""
        cover = np.clip(inside * self.size + 0.5, 0, 1)
        part = self.picture[(slice(None), *box)]
        part += cover * (colour - part)
        np.copyto(self.codes[box], label + 16 * thing, where=cover >= 0.5)

    def rectangle(
        self, x0: float, y0: float, x1: float, y1: float, colour: Array, label: int, thing: int
    ) -> None:
        """Paint an upright rectangle, rounded to whole pixels, at least one in each direction."""
        size = self.size
        left, top = max(round(x0 * size), 0), max(round(y0 * size), 0)
        right, bottom = max(round(x1 * size), left + 1), max(round(y1 * size), top + 1)
        self.picture[:, top:bottom, left:right] = colour
        self.codes[top:bottom, left:right] = label + 16 * thing

    def trapezoid(self, x: float, top: Row, base: Row, colour: Array, label: int, thing: int) -> None:
        """Paint a trapezoid that is symmetric about ``x``."""
        (y0, w0), (y1, w1) = top, base
        box = window(self.size, x - max(w0, w1), y0, x + max(w0, w1), y1)
        xs, ys = self.x[:, box[1]], self.y[box[0]]
        slope = (w1 - w0) / (y1 - y0)
        sides = (w0 + slope * (ys - y0) - np.abs(xs - x)) / (1 + slope * slope) ** 0.5
        inside = np.minimum(sides, np.minimum(ys - y0, y1 - ys))
        lit = 1 + 0.1 * np.clip((xs - x) / max(w1, 1e-3), -1, 1) * (1 if self.lamp_x > x else -1)
        self.fill(box, inside, colour * lit, label, thing)

    def discs(self, discs: list[Disc], flat: float = 1) -> tuple[Window, Array]:
        """Window and inside (see :meth:`fill`) of a union of discs, each ``flat`` times as high as wide."""
        box = window(
            self.size,
            min(x - r for x, _, r in discs),
            min(y - r * flat for _, y, r in discs),
            max(x + r for x, _, r in discs),
            max(y + r * flat for _, y, r in discs),
        )
        centres = np.array(discs, np.float32).T[:, :, None, None]
        far = np.hypot(self.x[:, box[1]] - centres[0], (self.y[box[0]] - centres[1]) / flat)
        inside: Array = (centres[2] - far).max(0)
        return box, inside

    def sky(self) -> None:
        """Paint the sky, the sun or moon, and clouds."""
        light, night = self.light, self.hour == "night"
        height = np.clip(self.y / self.horizon, 0, 1)
        self.picture[:] = light.top + (light.horizon - light.top) * height**1.3
        if night:
            self.picture += self.stars
        glow = np.exp(-(((self.x - self.lamp_x) / 0.2) ** 2)) * np.exp(-(((self.y - self.lamp_y) / 0.2) ** 2))
        halo = {"day": WHITE, "night": MOONLIGHT}.get(self.hour, SUNLIGHT)
        self.picture += (0.2 if night else 0.45) * glow * (halo - self.picture)
        box, inside = self.discs([(self.lamp_x, self.lamp_y, 0.062)])
        if night:
            x, y = self.x[:, box[1]] - self.lamp_x, self.y[box[0]] - self.lamp_y
            bite = np.hypot(x - 0.032, y + 0.02) - 0.05
            self.fill(box, np.minimum(inside, bite), MOONLIGHT, MOON, self.new("moon"))
        else:
            disc = SUNLIGHT if self.hour == "day" else 0.5 * (SUNLIGHT + light.horizon)
            self.fill(box, inside, disc, SUN, self.new("sun"))
        for _ in range(int(self.random() * 3.4)):
            self.cloud()

    def cloud(self) -> None:
        """Paint a group of discs with a flat base, never in front of sun or moon: these tell the hour."""
        x = (self.lamp_x + self.between(0.3, 0.7)) % 1
        y, r = self.between(0.09, self.horizon - 0.24), self.between(0.05, 0.075)
        heap = [(x - 1.25 * r, y + 0.3 * r, 0.7 * r), (x, y, r), (x + 1.3 * r, y + 0.25 * r, 0.75 * r)]
        box, inside = self.discs(heap)
        ys = self.y[box[0]]
        inside = np.minimum(inside, y + 0.55 * r - ys)
        white = 0.25 * self.light.horizon + 0.75 * WHITE * self.light.land
        self.fill(box, inside, white * (1 - 1.6 * np.clip(ys - y, -0.05, 0.1)), CLOUD, self.new("cloud"))

    def backdrop(self) -> None:
        """Paint snowy mountains and rolling hills, pale with distance, with a gap where the sun is low."""
        low, haze = self.hour in ("dawn", "dusk"), self.light.horizon
        gap = 1 - 0.8 * np.exp(-(((self.x - self.lamp_x) / 0.17) ** 2)) if low else 1.0
        if self.random() < 0.6:
            count = 3 + int(self.random() * 2)
            at = np.array([[(i + self.between(0.2, 0.8)) / count] for i in range(count)], np.float32)
            high = np.array([[self.between(0.14, 0.3)] for _ in range(count)], np.float32)
            heights = high - 0.75 * np.abs(self.x - at)
            owner = heights.argmax(0)
            ridge = np.maximum(heights.max(0), 0.05) * gap + 0.02 * np.abs(self.x * 13 % 1 - 0.5)
            sunny = np.sign((self.x - at[owner, 0]) * (self.lamp_x - at[owner, 0]))
            box = window(self.size, 0, self.horizon - 0.33, 1, self.horizon + 0.04)
            up = self.horizon - self.y[box[0]]
            snow = np.clip((up - 0.155 - 0.02 * np.sin(60 * self.x)) * self.size * 0.6, 0, 1)
            rock = (ROCK + (SNOW - ROCK) * snow) * (0.92 + 0.1 * sunny) * self.light.land
            self.fill(box, ridge - up, rock + (0.25 - 0.5 * up) * (haze - rock), MOUNTAIN)
        if self.random() < 0.7:
            phase, waves = 7 * self.random(), self.between(5, 10)
            ridge = (self.between(0.06, 0.09) + 0.035 * np.sin(waves * self.x + phase)) * (0.4 + 0.6 * gap)
            box = window(self.size, 0, self.horizon - 0.14, 1, self.horizon + 0.04)
            up = self.horizon - self.y[box[0]]
            green = FOREST * self.light.land * (0.94 + 0.9 * up + 0.03 * self.grain[box[0]])
            self.fill(box, ridge - up, green + 0.22 * (haze - green), HILL)

    def ground(self) -> None:
        """Paint a meadow, and in front of it or through it a road, a river, a lake, or nothing."""
        bump = self.horizon + 0.012 * np.sin(4 * self.x + 7 * self.random())
        box = window(self.size, 0, self.horizon - 0.02, 1, 1)
        ys = self.y[box[0]]
        depth = (ys - self.horizon) / (1 - self.horizon)
        grass = GRASS * self.light.land * (1.06 - 0.26 * depth + (0.02 + 0.03 * depth) * self.grain[box[0]])
        self.fill(box, ys - bump, grass, MEADOW)
        self.low, pick = 0.93, self.random()  # the lowest position of an object
        self.river: tuple[float, float, float] | None = None
        if pick < 0.4:
            self.front, top = "road", self.between(0.76, 0.81)
            self.low, self.road = top - 0.02, (top, top + 0.15)
            box = window(self.size, 0, top, 1, top + 0.15)
            ys = self.y[box[0]]
            dashes = (np.abs(ys - top - 0.075) < 0.009) & (self.x * 6 % 1 < 0.55)
            kerb = np.minimum(ys - top, top + 0.15 - ys) < 0.018
            paved = np.where(dashes, PAINT, np.where(kerb, 1.35 * ASPHALT, ASPHALT)) * self.light.land
            self.fill(box, np.minimum(ys - top, top + 0.15 - ys) + 0 * self.x, paved, ROAD)
        elif pick < 0.6:
            self.front, top = "lake", self.between(0.74, 0.82)
            self.low = top - 0.05
            box = window(self.size, 0, top - 0.05, 1, 1)
            self.water(box, self.y[box[0]] - top - 0.02 * np.sin(5 * self.x + 7 * self.random()))
        elif pick < 0.82:
            self.front = "river"
            self.river = (self.between(0.3, 0.7), self.between(-0.16, 0.16), self.between(0, 6))
            box = window(self.size, 0, self.horizon, 1, 1)
            middle, half = self.course(self.y[box[0]])
            self.water(box, np.minimum(half - np.abs(self.x - middle), self.y[box[0]] - bump - 0.004))

    def course(self, y: Any) -> tuple[Any, Any]:
        """Centre and half width of the river at ``y``."""
        assert self.river is not None
        depth = (y - self.horizon) / (1 - self.horizon)
        x, sway, phase = self.river
        return x + sway * np.sin(4.5 * depth + phase), 0.018 + 0.13 * depth

    def water(self, box: tuple[slice, slice], inside: Array) -> None:
        """Paint water that mirrors sky and sun, with a pale shore."""
        ys = self.y[box[0]]
        depth = np.clip((ys - self.horizon) / (1 - self.horizon), 0, 1)
        light = self.light
        shore, mirror = SHORE * light.land, light.horizon + (light.top - light.horizon) * 0.8 * depth
        blue = 0.88 * mirror * (0.95 + 0.05 * np.sin(150 * ys + 3 * np.sin(9 * self.x)))
        beam = np.exp(-(((self.x - self.lamp_x) / 0.06) ** 2)) * (0.35 + 0.15 * np.sin(110 * ys))
        blue = blue + beam * ((MOONLIGHT if self.hour == "night" else SUNLIGHT) - blue)
        self.fill(box, inside, np.where(inside < 0.016, 0.5 * (shore + blue), blue), WATER)

    def objects(self) -> None:
        """Paint houses, trees and cars side by side, far ones first."""
        places = 4 + int(self.random() * 3)
        stands = []
        for place in range(places):
            x = (place + self.between(0.35, 0.65)) / places
            pick, y = self.random(), self.between(self.horizon + 0.07, self.low)
            half = 0.11 if pick < 0.45 else 0.06
            if pick > 0.88:
                continue
            if self.river is not None:
                middle, wide = self.course(y)
                if abs(x - middle) < wide + half:
                    continue
            stands.append((y, x, pick))
        for y, x, pick in sorted(stands):
            near = 0.75 + 0.55 * (y - self.horizon) / (1 - self.horizon)
            if pick < 0.45:
                self.house(x, y, near, ("cottage", "tall house", "barn")[int(pick / 0.15)])
            else:
                self.tree(x, y, near, "fir" if pick < 0.67 else "tree")
        if self.front == "road" and self.random() < 0.75:
            self.car(self.between(0.15, 0.85), self.random() < 0.5)

    def shadow(self, x: float, y: float, half: float) -> None:
        """Darken the ground around the foot of an object."""
        box, inside = self.discs([(x + 0.25 * half * (0.5 - self.lamp_x), y, half)], 0.22)
        self.picture[(slice(None), *box)] *= 1 - 0.32 * np.clip(2.5 * inside / half, 0, 1)

    def house(self, x: float, y: float, near: float, kind: str) -> None:
        """Paint a house that stands at (x, y), ``near`` times as large; its kind gives shape and colours."""
        thing = self.new(kind)
        sizes = {"cottage": (0.1, 0.1, 0.085), "tall house": (0.075, 0.17, 0.1), "barn": (0.11, 0.1, 0.07)}
        half, walls, roof = (near * length for length in sizes[kind])
        wall, tiles, wood = (colour * self.light.land for colour in HOUSES[kind])
        glass = GLASS * self.light.land
        glass = glass + self.light.lamp * (LAMP - glass)
        eaves = y - walls
        self.shadow(x, y, 1.25 * half)
        if kind == "cottage":
            left, top = x + 0.4 * half, eaves - 0.95 * roof  # of the chimney
            self.rectangle(left, top, x + 0.66 * half, eaves, 0.85 * tiles, ROOF, thing)
        side = 1 if self.lamp_x > x else -1
        self.rectangle(x - half, eaves, x + half, y, wall, WALL, thing)
        dark = (x - half, x - 0.7 * half) if side > 0 else (x + 0.7 * half, x + half)
        self.rectangle(dark[0], eaves, dark[1], y, 0.9 * wall, WALL, thing)
        ridge = (eaves - roof, 0.6 * half if kind == "barn" else 0.01)
        self.trapezoid(x, ridge, (eaves + 0.012, 1.18 * half), tiles, ROOF, thing)
        if kind == "barn":
            self.rectangle(x - 0.42 * half, y - 0.68 * walls, x + 0.42 * half, y, wood, DOOR, thing)
            return
        if kind == "cottage":
            door, w, panes = x, 0.2 * half, [(-0.58, 0.52), (0.58, 0.52)]
        else:
            door, w, panes = x - 0.45 * half, 0.24 * half, [(-0.48, 0.75), (0.48, 0.75), (0.48, 0.32)]
        lintel = y - min(0.55 * walls, 0.07 * near)
        self.rectangle(door - 0.22 * half, lintel, door + 0.22 * half, y, wood, DOOR, thing)
        for dx, up in panes:
            cx, cy = x + dx * half, y - up * walls
            self.rectangle(cx - w, cy - 0.017 * near, cx + w, cy + 0.017 * near, glass, WINDOW, thing)

    def tree(self, x: float, y: float, near: float, kind: str) -> None:
        """Paint a fir of three tiers or a round tree that stands at (x, y)."""
        thing = self.new(kind)
        green, wood = (colour * self.light.land for colour in TREES[kind])
        self.shadow(x, y, 0.06 * near)
        self.rectangle(x - 0.011 * near, y - 0.06 * near, x + 0.011 * near, y, wood, TRUNK, thing)
        if kind == "fir":
            for top, base, half in ((0.1, 0.035, 0.065), (0.155, 0.08, 0.052), (0.205, 0.13, 0.038)):
                shade = green * (0.9 + 1.2 * top)
                self.trapezoid(x, (y - top * near, 0.0), (y - base * near, half * near), shade, LEAVES, thing)
            return
        r, low, high = 0.052 * near, y - 0.085 * near, y - 0.135 * near
        box, inside = self.discs([(x - 0.75 * r, low, r), (x + 0.75 * r, low, r), (x, high, 1.1 * r)])
        side = 1 if self.lamp_x > x else -1
        sunward = side * (self.x[:, box[1]] - x) - self.y[box[0]] + y - 0.11 * near
        self.fill(box, inside, green * (1 + 2.2 * sunward + 0.07 * self.grain[box]), LEAVES, thing)

    def car(self, x: float, right: bool) -> None:
        """Paint a car on the road; red cars drive to the right, blue ones to the left."""
        thing = self.new("car")
        way, base = (1 if right else -1), self.road[1] - 0.035
        paint, tyre = CARS[int(right)] * self.light.land, TYRE * self.light.land
        self.shadow(x, base + 0.02, 0.11)
        cabin = x - 0.02 * way
        self.trapezoid(cabin, (base - 0.1, 0.035), (base - 0.04, 0.062), paint, CAR, thing)
        glass = GLASS * self.light.land
        self.trapezoid(cabin, (base - 0.087, 0.027), (base - 0.047, 0.043), glass, CAR, thing)
        self.trapezoid(x, (base - 0.052, 0.092), (base + 0.005, 0.1), paint, CAR, thing)
        for dx in (-0.058, 0.058):
            box, inside = self.discs([(x + dx, base + 0.004, 0.024)])
            self.fill(box, inside, tyre, CAR, thing)
        front = x + 0.086 * way
        lamp = paint + max(self.light.lamp, 0.4) * (LAMP - paint)
        self.rectangle(front - 0.012, base - 0.04, front + 0.012, base - 0.02, lamp, CAR, thing)

    def scene(self) -> Scene:
        """The scene, with its visible objects numbered from 1."""
        labels, ids = self.codes % 16, self.codes // 16
        seen = np.flatnonzero(np.bincount(ids.ravel(), minlength=len(self.things))[1:]) + 1
        number = np.zeros(len(self.things), np.int64)
        number[seen] = np.arange(1, len(seen) + 1)
        line = np.zeros(self.codes.shape, bool)
        line[:, 1:] |= self.codes[:, 1:] != self.codes[:, :-1]
        line[1:] |= self.codes[1:] != self.codes[:-1]
        present = {CLASSES[i] for i in np.flatnonzero(np.bincount(labels.ravel(), minlength=16))}
        picture = np.clip(self.picture, 0, 1) * 2 - 1
        return Scene(
            picture=torch.from_numpy(picture),
            labels=torch.from_numpy(labels),
            instances=torch.from_numpy(number[ids]),
            edges=torch.from_numpy(np.where(line, np.float32(-1), np.float32(1))[None]),
            caption=_caption(Counter(self.things[i] for i in seen), present, self.front, self.hour),
        )


def sentences(number: int) -> list[str]:
    """Captions with the words of scenes, about as frequent, without drawing any scene."""
    random = np.random.default_rng(0)
    kinds, shares = ["cottage", "tall house", "barn", "fir", "tree", ""], [0.15, 0.15, 0.15, 0.22, 0.21, 0.12]
    fronts, hours = [None, "road", "lake", "river"], get_args(Hour)
    made = []
    for _ in range(number):
        things = Counter(random.choice(kinds, random.integers(4, 7), p=shares).tolist())
        front = fronts[random.choice(4, p=[0.18, 0.4, 0.2, 0.22])]
        hour: Hour = hours[random.choice(4, p=[0.2, 0.4, 0.2, 0.2])]
        things["cloud"] = int(random.random() * 3.4)
        things["car"] = int(front == "road" and random.random() < 0.75)
        present = {"meadow", "road" if front == "road" else "water", "moon" if hour == "night" else "sun"}
        present |= {kind for kind, share in (("mountain", 0.6), ("hill", 0.7)) if random.random() < share}
        made.append(_caption(things, present, front, hour))
    return made


def _caption(things: Counter[str], present: set[str], front: str | None, hour: Hour) -> str:
    """One sentence about what is visible: objects, place, background, sky, hour."""
    kinds = ("cottage", "tall house", "barn", "fir", "tree", "car")
    named = [_count(things[kind], kind) for kind in kinds if things[kind]]
    words = _list(named) if named else "nobody's land"
    words += f" by a {front}" if front is not None and present & {"road", "water"} else ""
    words += " in a meadow" if "meadow" in present else ""
    behind = [f"{kind}s" for kind in ("mountain", "hill") if kind in present]
    words += f" before {_list(behind)}" if behind else ""
    above = [_count(things["cloud"], "cloud")] if things["cloud"] else []
    above += [f"the {kind}" for kind in ("sun", "moon") if kind in present]
    words += f" under {_list(above)}" if above else ""
    words += {"dawn": " at dawn", "day": " by day", "dusk": " at dusk", "night": " at night"}[hour]
    return words[0].upper() + words[1:] + "."


def _count(number: int, kind: str) -> str:
    return f"a {kind}" if number == 1 else f"{('two', 'three', 'four', 'five', 'six')[number - 2]} {kind}s"


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
