"""A world of short films: moving digits, things that bounce through a landscape, people who walk down a
street.

Everything is a function of (seed, index). Few frames say how a film goes on: nothing in it is left to
chance after its first frame. Lengths are in units of the picture's side; ``y`` grows downwards; a film is
uint8 (T, C, size, size).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from zoo.data.worlds import people, scenes

Array = NDArray[Any]
Kind = Literal["digits", "scenes", "walk"]
Box = tuple[slice, slice]

KINDS: tuple[Kind, ...] = get_args(Kind)
CHANNELS: dict[Kind, int] = {"digits": 1, "scenes": 3, "walk": 3}


def draw(kind: Kind, seed: int, index: int, frames: int = 20, size: int = 64) -> Array:
    """Draw film ``index`` of the world ``seed``.

    Args:
        kind: What moves.
        seed: Of the world, not negative.
        index: Of the film, not negative.
        frames: Its length; the first frames of a longer film are the same.
        size: Side in pixels, at least 16.
    """
    if kind == "digits":
        return moving_digits(_small_digits(), seed, index, frames, size)
    random = np.random.default_rng((KINDS.index(kind), seed, index))
    return (_bouncing if kind == "scenes" else _walking)(random, seed, index, frames, size)


# ---------------------------------------------------------------------------------------------- moving digits

STEP = 0.1  # of the free way from edge to edge, a frame
DIGIT = 28 / 64  # side of a digit


def moving_digits(
    digits: Sequence[Array] | Array, seed: int, index: int, frames: int = 20, size: int = 64, count: int = 2
) -> Array:
    """Digits that fly in straight lines and bounce off the edges: Moving MNIST of Srivastava et al. 2015.

    As published, places and directions are uniform, all fly equally fast, places are cut to whole pixels,
    and where digits overlap the brighter one is seen (https://arxiv.org/abs/1502.04681, section 3.1).

    Args:
        digits: Pictures (H, W) of uint8 to choose from; those of another side than 28/64 of ``size`` are
            resized.
        seed: Of the world.
        index: Of the film.
        frames: Its length.
        size: Side in pixels.
        count: Digits in a film.
    """
    random = np.random.default_rng((seed, index))
    side = round(DIGIT * size)
    film = np.zeros((frames, 1, size, size), np.uint8)
    for _ in range(count):
        digit = _resized(digits[int(random.integers(len(digits)))], side)
        place, angle = random.random(2), 2 * np.pi * random.random()
        way = STEP * np.array([np.sin(angle), np.cos(angle)])
        for frame in film:
            place += way
            way[(place <= 0) | (place >= 1)] *= -1
            place = place.clip(0, 1)
            top, left = (int(p) for p in place * (size - side))
            part = frame[0, top : top + side, left : left + side]
            np.maximum(part, digit, out=part)
    return film


@lru_cache(maxsize=1)
def _small_digits() -> Array:
    """Scikit-learn's 1,797 handwritten digits of 8x8 pixels."""
    images: Array = load_digits().images
    return (images * (255 / 16)).round().astype(np.uint8)


def _resized(picture: Array, side: int) -> Array:
    if picture.shape == (side, side):
        return picture
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))


# -------------------------------------------------------------------------------------------- bouncing things


@dataclass(frozen=True)
class _Shape:
    """What a thing looks like and how it bounces.

    Args:
        radius: At the horizon's scale 1.
        bounce: Height of its jumps.
        beat: Frames from one touch of the ground to the next; higher jumps last longer.
        first: Colour.
        second: Colour of its pattern, which shows the spin.
    """

    radius: float
    bounce: float
    beat: float
    first: Array
    second: Array


_RED, _BLUE, _YELLOW, _CREAM, _WOOD, _BARK, _RUBBER, _TEAL = (
    np.array([int(h[i : i + 2], 16) for i in (0, 2, 4)], np.float32).reshape(3, 1, 1) / 255
    for h in ("d9483b", "3566b8", "f0bd48", "f7f0e0", "c6914f", "8d5f32", "3b3f4a", "3aa79a")
)
_SHAPES = (  # the kind of a thing tells its colours, its size and how it bounces
    ("ball", _Shape(0.075, 0.34, 16, _RED, _CREAM)),
    ("ball", _Shape(0.055, 0.24, 13, _BLUE, _YELLOW)),
    ("crate", _Shape(0.075, 0.05, 7, _WOOD, _BARK)),
    ("ring", _Shape(0.08, 0.14, 10, _RUBBER, _TEAL)),
)


def _there_and_back(way: Array) -> Array:
    """A way along [0, 1] that turns round at both ends."""
    folded: Array = np.abs((way + 1) % 2 - 1)
    return folded


def _bouncing(random: np.random.Generator, seed: int, index: int, frames: int, size: int) -> Array:
    """Balls, crates and rings bounce through a landscape; what stands nearer hides them, their shadows run
    along."""
    stage = _Stage(seed, index, size)
    count = 2 + int(random.integers(2))
    time = np.arange(frames)
    casts = []
    for number in random.permutation(len(_SHAPES))[:count]:
        kind, shape = _SHAPES[number]
        across = _there_and_back(
            2 * random.random() + random.choice((-1, 1)) * random.uniform(0.03, 0.055) * time
        )
        depth = _there_and_back(2 * random.random() + random.choice((-1, 1)) * random.uniform(0, 0.03) * time)
        beat = (time / shape.beat + random.random()) % 1
        foot = stage.far + (stage.low - stage.far) * depth
        near = 0.75 + 0.55 * (foot - stage.horizon) / (1 - stage.horizon)
        radius = shape.radius * near
        x = radius + (1 - 2 * radius) * across
        spin = (x - x[:1]) / shape.radius
        casts.append((kind, shape, foot, x, radius, 4 * shape.bounce * near * beat * (1 - beat), spin))
    film = np.empty((frames, 3, size, size), np.uint8)
    for t in range(frames):
        picture = stage.picture.copy()
        order = sorted(casts, key=lambda cast: cast[2][t])
        for _, _, foot, x, radius, height, _ in order:
            stage.shadow(picture, foot[t], x[t], radius[t], height[t])
        for kind, shape, foot, x, radius, height, spin in order:
            stage.thing(
                picture, kind, shape, foot[t], (x[t], foot[t] - radius[t] - height[t]), radius[t], spin[t]
            )
        film[t] = (picture * 255 + 0.5).clip(0, 255)
    return film


class _Stage:
    """A landscape that things can stand in: where its ground lies and what stands before what."""

    def __init__(self, seed: int, index: int, size: int) -> None:
        scene = scenes.draw(seed, index, 2 * size)  # drawn larger and shrunk: smooth
        fine = scene.picture.numpy() / 2 + 0.5
        self.size = size
        self.picture: Array = fine.reshape(3, size, 2, size, 2).mean((2, 4))
        labels, things = scene.labels.numpy(), scene.instances.numpy()
        meadow = (labels == scenes.MEADOW).mean(1)
        self.horizon = float(np.argmax(meadow > 0.3)) / (2 * size)
        water = (labels == scenes.WATER).mean(1) > 0.5
        self.far = self.horizon + 0.1
        self.low = min(0.96, float(np.argmax(water)) / (2 * size)) if water[-1] else 0.96
        # the row on which the thing in a pixel stands; 0 where there is none
        rows = np.arange(2 * size, dtype=np.float32)[:, None] / (2 * size)
        feet = np.zeros(int(things.max()) + 1, np.float32)
        for thing in range(1, len(feet)):
            feet[thing] = rows[(things == thing).any(1)].max()
        self.feet = feet[things]
        hour = cast(scenes.Hour, scene.caption.rstrip(".").rpartition(" ")[2])
        self.land = scenes.LIGHTS[hour].land
        lamp = np.flatnonzero(((labels == scenes.SUN) | (labels == scenes.MOON)).any(0))
        self.lamp_x = float(lamp.mean()) / (2 * size) if len(lamp) else 0.5
        line = ((np.arange(size) + 0.5) / size).astype(np.float32)
        self.x, self.y = line[None, :], line[:, None]

    def box(self, x: float, y: float, wide: float, high: float) -> Box:
        """Rows and columns around a place, with a margin of a pixel."""
        size = self.size
        rows, columns = (
            slice(
                min(max(int((at - half) * size) - 1, 0), size), min(max(int((at + half) * size) + 2, 0), size)
            )
            for at, half in ((y, high), (x, wide))
        )
        return rows, columns

    def seen(self, box: Box, foot: float) -> Array:
        """The share of each pixel that nothing hides which stands nearer than ``foot``."""
        rows, columns = (slice(2 * part.start, 2 * part.stop) for part in box)
        free = self.feet[rows, columns] <= foot
        height, width = free.shape
        share: Array = free.reshape(height // 2, 2, width // 2, 2).mean((1, 3), dtype=np.float32)
        return share

    def shadow(self, picture: Array, foot: float, x: float, radius: float, height: float) -> None:
        """Darken the ground under a thing, less and wider where it is high up."""
        wide = radius * (1 + 0.6 * height)
        x = x + 0.5 * (0.5 - self.lamp_x) * (0.5 * radius + height)
        box = self.box(x, foot, wide, 0.3 * wide)
        away = np.hypot(self.x[:, box[1]] - x, (self.y[box[0]] - foot) / 0.3) / wide
        dark = (0.45 / (1 + 3 * height)) * np.clip(2.5 * (1 - away), 0, 1) * self.seen(box, foot)
        picture[(slice(None), *box)] *= 1 - dark

    def thing(
        self,
        picture: Array,
        kind: str,
        shape: _Shape,
        foot: float,
        centre: tuple[float, float],
        radius: float,
        spin: float,
    ) -> None:
        """Paint a ball, a crate or a ring."""
        box = self.box(*centre, 1.25 * radius, 1.25 * radius)
        dx, dy = (self.x[:, box[1]] - centre[0]) / radius, (self.y[box[0]] - centre[1]) / radius
        away = np.hypot(dx, dy)
        u, v = np.cos(spin) * dx + np.sin(spin) * dy, np.cos(spin) * dy - np.sin(spin) * dx
        sharp = self.size * radius
        if kind == "ball":
            inside, pattern = 1 - away, 0.34 - np.abs(v)
        elif kind == "ring":
            inside, pattern = np.minimum(1 - away, away - 0.42), np.minimum(np.abs(u), np.abs(v)) - 0.3
            pattern = -pattern
        else:
            inside = 0.8 - np.maximum(np.abs(u), np.abs(v))
            pattern = 0.13 - np.minimum(np.abs(u - v) / 1.5, inside)
        colour = shape.first + np.clip(pattern * sharp + 0.5, 0, 1) * (shape.second - shape.first)
        side = 1 if self.lamp_x > centre[0] else -1
        lit = (0.25 + 0.75 * self.land) * (0.86 + 0.16 * (side * dx - dy) + 0.12 * np.clip(1 - away, 0, 1))
        cover = np.clip(inside * sharp + 0.5, 0, 1) * self.seen(box, foot)
        part = picture[(slice(None), *box)]
        part += cover * (colour * lit - part)


# --------------------------------------------------------------------------------------------- walking people

STRIDE = 0.74  # of the picture's side: how far two steps carry a person of middle stature
HOUSE = 0.5  # of the picture's side: after so much a street repeats


@dataclass(frozen=True)
class _Walker:
    """Somebody who walks along the street.

    Args:
        who: The person.
        yaw: Where to.
        pace: Cycles of two steps, a frame.
        phase: In the first frame.
        start: Place along the street in the first frame.
    """

    who: people.Identity
    yaw: float
    pace: float
    phase: float
    start: float

    def place(self, time: float) -> float:
        """Where the feet carried them, so that none seems to slide."""
        way = STRIDE * self.who.stature * self.pace * np.sin(self.yaw)
        return float(self.start + way * time)

    def drawn(self, time: int, eye: float, street: people.Street, size: int) -> people.Drawing:
        """Seen by a camera whose left edge is at ``eye``."""
        pose = people.walk((self.phase + self.pace * time) % 1, self.yaw, self.place(time) - eye)
        return people.draw(self.who, pose, size, size, replace(street, offset=eye / HOUSE % 1))


def _walking(random: np.random.Generator, seed: int, index: int, frames: int, size: int) -> Array:
    """Somebody walks down a street, the camera follows, now faster, now slower; others may come the other
    way."""
    side = float(random.choice((-1, 1)))
    yaw = side * (np.pi / 2 + random.uniform(-0.35, 0.35))
    hero = _Walker(people.identity_of(seed, index), yaw, random.uniform(0.05, 0.09), random.random(), 0.0)
    place, drift = 2 * random.random(), random.uniform(-0.02, 0.02)
    other: _Walker | None = None
    if random.random() < 0.25:
        meet, pace = random.uniform(4, 16), random.uniform(0.05, 0.09)
        who = people.identity_of(seed + 1, index)
        back = _Walker(who, -side * np.pi / 2, pace, random.random(), 0.0)
        other = replace(back, start=hero.place(meet) - back.place(meet))
    street = people.street_of(seed, index)
    film = np.empty((frames, 3, size, size), np.uint8)
    for t in range(frames):
        eye = hero.place(t) - 0.3 - 0.4 * float(_there_and_back(np.array(place + drift * t)))
        seen = hero.drawn(t, eye, street, size)
        film[t] = seen.picture
        if other is not None and -0.25 < other.place(t) - eye < 1.25:
            behind = other.drawn(t, eye, street, size)
            shaded = np.minimum(
                seen.picture, behind.picture
            )  # the street is the same in both but for the shadows
            film[t] = np.where(seen.mask, seen.picture, np.where(behind.mask, behind.picture, shaded))
    return film
