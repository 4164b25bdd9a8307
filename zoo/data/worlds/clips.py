"""The world of films: moving digits, props that bounce through a landscape, people who walk down a street.

:func:`draw` gives the film of a (seed, index) as (T, C, size, size) uint8. Everything random is drawn for the
first frame, so a few frames determine all later ones. Lengths are shares of the picture's side; ``y`` grows
downwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple, cast, get_args

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from zoo.data.worlds import people, scenes
from zoo.data.worlds.paint import Array, Window, float_colours, pixel_centres, window

Kind = Literal["digits", "scenes", "walk"]

KINDS: tuple[Kind, ...] = get_args(Kind)


def draw(kind: Kind, seed: int, index: int, frames: int = 20, size: int = 64) -> Array:
    """Draw the film ``index`` of the world ``seed``.

    Args:
        kind: What moves.
        seed: Seed of the world, not negative.
        index: Index of the film, not negative.
        frames: Number of frames; a longer film starts with the same frames.
        size: Side in pixels, at least 16.
    """
    if kind == "digits":
        return moving_digits(_small_digits(), seed, index, frames, size)
    random = np.random.default_rng((KINDS.index(kind), seed, index))
    return (_bouncing if kind == "scenes" else _walking)(random, seed, index, frames, size)


STEP = 0.1  # movement per frame, as a share of the free distance between the edges
DIGIT = 28 / 64  # side of a digit


def moving_digits(
    digits: Sequence[Array] | Array, seed: int, index: int, frames: int = 20, size: int = 64, count: int = 2
) -> Array:
    """Draw digits that fly straight and bounce off the edges: Moving MNIST of Srivastava et al. 2015.

    As published (https://arxiv.org/abs/1502.04681, section 3.1), positions and directions are uniform, all
    digits are equally fast, positions are truncated to whole pixels, and where digits overlap the brighter
    one is shown.

    Args:
        digits: Pictures (H, W) uint8 to choose from; resized if their side is not 28/64 of ``size``.
        seed: Seed of the world.
        index: Index of the film.
        frames: Number of frames.
        size: Side in pixels.
        count: Number of digits in a film.
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


class _Prop(NamedTuple):
    """A ball, crate or ring, with colours, size and bounce of its own.

    Args:
        kind: Shape: ``ball``, ``crate`` or ``ring``.
        radius: Radius at scale 1; it grows towards the viewer.
        bounce: Height of the jumps.
        beat: Frames between two touches of the ground; higher jumps last longer.
        first: Colour.
        second: Colour of the pattern, which shows the spin.
    """

    kind: str
    radius: float
    bounce: float
    beat: float
    first: Array
    second: Array


PROPS = (
    _Prop("ball", 0.075, 0.34, 16, *float_colours("d9483b", "f7f0e0")),
    _Prop("ball", 0.055, 0.24, 13, *float_colours("3566b8", "f0bd48")),
    _Prop("crate", 0.075, 0.05, 7, *float_colours("c6914f", "8d5f32")),
    _Prop("ring", 0.08, 0.14, 10, *float_colours("3b3f4a", "3aa79a")),
)


class _Placed(NamedTuple):
    """A prop in one frame.

    Args:
        prop: The prop.
        foot: ``y`` of the ground below it.
        x: Centre.
        radius: Radius.
        height: Height above the ground.
        spin: Angle in radians.
    """

    prop: _Prop
    foot: float
    x: float
    radius: float
    height: float
    spin: float


def _there_and_back(way: Array) -> Array:
    """Fold a straight way into [0, 1], so that it turns at both ends."""
    folded: Array = np.abs((way + 1) % 2 - 1)
    return folded


def _bouncing(random: np.random.Generator, seed: int, index: int, frames: int, size: int) -> Array:
    """Props with shadows bounce through a landscape, behind everything that is nearer to the viewer."""
    stage = _Stage(seed, index, size)
    count = 2 + int(random.integers(2))
    time = np.arange(frames)

    def way(slow: float, fast: float) -> Array:
        start, speed = 2 * random.random(), random.choice((-1, 1)) * random.uniform(slow, fast)
        return _there_and_back(start + speed * time)

    props = []
    for number in random.permutation(len(PROPS))[:count]:
        prop = PROPS[number]
        across, depth = way(0.03, 0.055), way(0, 0.03)
        beat = (time / prop.beat + random.random()) % 1
        foot = stage.far + (stage.low - stage.far) * depth
        near = 0.75 + 0.55 * (foot - stage.horizon) / (1 - stage.horizon)
        radius = prop.radius * near
        x = radius + (1 - 2 * radius) * across
        height, spin = 4 * prop.bounce * near * beat * (1 - beat), (x - x[:1]) / prop.radius
        props.append((prop, np.stack([foot, x, radius, height, spin])))  # (5, T)
    film = np.empty((frames, 3, size, size), np.uint8)
    for t in range(frames):
        picture = stage.picture.copy()
        placed = sorted((_Placed(prop, *track[:, t]) for prop, track in props), key=lambda it: it.foot)
        for it in placed:
            stage.shadow(picture, it)
        for it in placed:
            stage.paint(picture, it)
        film[t] = (picture * 255 + 0.5).clip(0, 255)
    return film


class _Stage:
    """A landscape for props: where its ground is, and which objects hide what stands behind them."""

    def __init__(self, seed: int, index: int, size: int) -> None:
        scene = scenes.draw(seed, index, 2 * size)  # averaged down for smooth edges
        fine = scene.picture.numpy() / 2 + 0.5
        self.size = size
        self.picture: Array = fine.reshape(3, size, 2, size, 2).mean((2, 4))
        labels, things = scene.labels.numpy(), scene.instances.numpy()
        meadow = (labels == scenes.MEADOW).mean(1)
        self.horizon = float(np.argmax(meadow > 0.3)) / (2 * size)
        water = (labels == scenes.WATER).mean(1) > 0.5
        self.far = self.horizon + 0.1
        self.low = min(0.96, float(np.argmax(water)) / (2 * size)) if water[-1] else 0.96
        # for each pixel the y at which the object in it stands; 0 where there is no object
        rows = np.arange(2 * size, dtype=np.float32)[:, None] / (2 * size)
        feet = np.zeros(int(things.max()) + 1, np.float32)
        for thing in range(1, len(feet)):
            feet[thing] = rows[(things == thing).any(1)].max()
        self.feet = feet[things]
        hour = cast(scenes.Hour, scene.caption.rstrip(".").rpartition(" ")[2])
        self.land = scenes.LIGHTS[hour].land
        lamp = np.flatnonzero(((labels == scenes.SUN) | (labels == scenes.MOON)).any(0))
        self.lamp_x = float(lamp.mean()) / (2 * size) if len(lamp) else 0.5
        line = pixel_centres(size)
        self.x, self.y = line[None, :], line[:, None]

    def seen(self, box: Window, foot: float) -> Array:
        """The share of each pixel of a window in which no object hides a prop that stands at ``foot``."""
        rows, columns = (slice(2 * part.start, 2 * part.stop) for part in box)
        free = self.feet[rows, columns] <= foot
        height, width = free.shape
        share: Array = free.reshape(height // 2, 2, width // 2, 2).mean((1, 3), dtype=np.float32)
        return share

    def shadow(self, picture: Array, it: _Placed) -> None:
        """Darken the ground under a prop; the higher the prop, the wider and fainter the shadow."""
        foot, wide = it.foot, it.radius * (1 + 0.6 * it.height)
        x = it.x + 0.5 * (0.5 - self.lamp_x) * (0.5 * it.radius + it.height)
        box = window(self.size, x - wide, foot - 0.3 * wide, x + wide, foot + 0.3 * wide)
        away = np.hypot(self.x[:, box[1]] - x, (self.y[box[0]] - foot) / 0.3) / wide
        dark = (0.45 / (1 + 3 * it.height)) * np.clip(2.5 * (1 - away), 0, 1) * self.seen(box, foot)
        picture[(slice(None), *box)] *= 1 - dark

    def paint(self, picture: Array, it: _Placed) -> None:
        """Paint a ball, a crate or a ring."""
        (kind, *_, first, second), foot, x, radius, height, spin = it
        y, reach = foot - radius - height, 1.25 * radius
        box = window(self.size, x - reach, y - reach, x + reach, y + reach)
        dx, dy = (self.x[:, box[1]] - x) / radius, (self.y[box[0]] - y) / radius
        away = np.hypot(dx, dy)
        u, v = np.cos(spin) * dx + np.sin(spin) * dy, np.cos(spin) * dy - np.sin(spin) * dx
        sharp = self.size * radius
        if kind == "ball":
            inside, pattern = 1 - away, 0.34 - np.abs(v)
        elif kind == "ring":
            inside, pattern = np.minimum(1 - away, away - 0.42), 0.3 - np.minimum(np.abs(u), np.abs(v))
        else:
            inside = 0.8 - np.maximum(np.abs(u), np.abs(v))
            pattern = 0.13 - np.minimum(np.abs(u - v) / 1.5, inside)
        colour = first + np.clip(pattern * sharp + 0.5, 0, 1) * (second - first)
        side = 1 if self.lamp_x > x else -1
        lit = (0.25 + 0.75 * self.land) * (0.86 + 0.16 * (side * dx - dy) + 0.12 * np.clip(1 - away, 0, 1))
        cover = np.clip(inside * sharp + 0.5, 0, 1) * self.seen(box, foot)
        part = picture[(slice(None), *box)]
        part += cover * (colour * lit - part)


STRIDE = 0.74  # distance of two steps of an average person
HOUSE = 0.5  # period of the house front along the street


@dataclass(frozen=True)
class _Walker:
    """A person who walks along the street.

    Args:
        who: Identity of the person.
        yaw: Direction, as in :class:`zoo.data.worlds.people.Pose`.
        pace: Cycles of two steps per frame.
        phase: Share of the cycle in the first frame.
        start: Position along the street in the first frame.
    """

    who: people.Identity
    yaw: float
    pace: float
    phase: float
    start: float

    def place(self, time: float) -> float:
        """Position along the street in a frame; it follows from the steps, so feet do not slide."""
        way = STRIDE * self.who.stature * self.pace * np.sin(self.yaw)
        return float(self.start + way * time)

    def drawn(self, time: int, eye: float, street: people.Street, size: int) -> people.Drawing:
        """Draw the person as seen by a camera whose left edge is at ``eye``."""
        pose = people.walk((self.phase + self.pace * time) % 1, self.yaw, self.place(time) - eye)
        return people.draw(self.who, pose, size, size, replace(street, offset=eye / HOUSE % 1))


def _walking(random: np.random.Generator, seed: int, index: int, frames: int, size: int) -> Array:
    """A person walks down a street, followed by a drifting camera; a second one may come the other way."""
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
            # both pictures show the same street, apart from the shadows
            shaded = np.minimum(seen.picture, behind.picture)
            film[t] = np.where(seen.mask, seen.picture, np.where(behind.mask, behind.picture, shaded))
    return film
