"""Drawn shapes: one or two objects on a plain background, and sentences that say all of it.

An object has one of 6 shapes, 8 colours and 2 sizes; two objects stand in one of 4 relations. The pair of an
object's shape and colour is its class. 8 of the 48 pairs, ``UNSEEN``, are drawn only where they are asked
for; each shape and each colour stands in other pairs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from zoo.data.worlds.paint import Array, Draws, colours, pixel_centres

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
SIZES = ("small", "large")
RELATIONS = ("to the left of", "to the right of", "above", "below")
BACKGROUNDS = ("white", "grey", "black", "cream")
ATTRIBUTES = (
    "background",
    "shape",
    "colour",
    "size",
    "relation",
    "other shape",
    "other colour",
    "other size",
)
UNSEEN = frozenset({(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (1, 6), (4, 7)})  # (shape, colour)
NONE = -1  # relation and other object of a scene of one object

WORDS = {"small": ("small", "little"), "large": ("large", "big")}
ONE = (
    "a {size} {colour} {shape} on a {background} background",
    "there is a {size} {colour} {shape} on {background}",
    "a {shape} that is {size} and {colour}, on {background}",
    "a {background} background with a {size} {colour} {shape}",
)
TWO = (
    "{first} {relation} {second} on a {background} background",
    "on {background}, {first} is {relation} {second}",
    "{second} {inverse} {first}, on {background}",
    "there is {first} {relation} {second} on a {background} background",
)

_PAINT = colours("dc2828", "f58c14", "fadc28", "28a046", "285adc", "8c3cb4", "fa8cbe", "7d4b28")
_GROUND = colours("f5f5f5", "969696", "191919", "f0e1be")
_RADIUS = (0.12, 0.21)  # of a small and a large object, as a share of the side
_TURN = 0.15  # largest rotation, radians


@dataclass(frozen=True)
class Thing:
    """An object.

    Args:
        shape: Index in ``SHAPES``.
        colour: Index in ``COLOURS``.
        size: Index in ``SIZES``.
    """

    shape: int
    colour: int
    size: int

    @property
    def pair(self) -> tuple[int, int]:
        """Shape and colour."""
        return self.shape, self.colour

    def words(self, draws: Draws) -> str:
        """As ``a little red star``."""
        return f"a {draws.pick(WORDS[SIZES[self.size]])} {COLOURS[self.colour]} {SHAPES[self.shape]}"


@dataclass(frozen=True)
class Plan:
    """What a scene shows.

    Args:
        background: Index in ``BACKGROUNDS``.
        things: One or two objects, of different pairs.
        relation: Index in ``RELATIONS``, of the first object to the second; ``NONE`` without a second.
    """

    background: int
    things: tuple[Thing, ...]
    relation: int = NONE

    @property
    def category(self) -> int:
        """Class of the scene, 0 to 47: the first object's pair."""
        return self.things[0].shape * len(COLOURS) + self.things[0].colour

    def attributes(self) -> Tensor:
        """(8,) of int64 in the order of ``ATTRIBUTES``; ``NONE`` where there is no second object."""
        values = [self.background]
        for place in range(2):
            thing = self.things[place] if place < len(self.things) else Thing(NONE, NONE, NONE)
            values += [thing.shape, thing.colour, thing.size]
        return torch.tensor([*values[:4], self.relation, *values[4:]])


@dataclass(frozen=True)
class Shapes:
    """A drawn scene.

    Args:
        plan: What it shows.
        picture: (3, S, S) of uint8.
        captions: Four sentences, each of which says all of it.
    """

    plan: Plan
    picture: Tensor
    captions: tuple[str, ...]


def plan(world: int, index: int, unseen: bool = False) -> Plan:
    """What scene ``index`` of a world shows: the first object of an unseen pair, or all of seen pairs."""
    return _plan(Draws((world, index, int(unseen))), unseen)


def draw(world: int, index: int, size: int, unseen: bool = False) -> Shapes:
    """Scene ``index`` of a world, ``size`` pixels wide; ``unseen`` is as in :func:`plan`."""
    draws = Draws((world, index, int(unseen)))
    planned = _plan(draws, unseen)
    picture = paint(planned, size, draws)
    return Shapes(planned, picture, sentences(planned, draws))


def mistaken(world: int, index: int, size: int, number: int, unseen: bool = False) -> Shapes:
    """Scene ``index`` with a first object of another, seen pair at the same place, and its sentences.

    Args:
        world: Seed of the world.
        index: Index of the scene.
        size: Pixels of each side.
        number: 0 for another shape, 1 for another colour, 2 for an exchange of the two objects' colours; for
            both another shape and another colour where nothing is to be exchanged, or an unseen pair results.
        unseen: As in :func:`plan`.
    """
    draws, own = Draws((world, index, int(unseen))), Draws((world, index, int(unseen), 1 + number))
    planned = _plan(draws, unseen)
    things = exchanged(planned.things) if number == 2 else None
    if things is None:
        first, *others = planned.things
        taken = {thing.pair for thing in planned.things} | UNSEEN
        pair = first.pair
        while pair in taken or (number == 2 and (pair[0] == first.shape or pair[1] == first.colour)):
            shape = first.shape if number == 1 else int(own.between(0, len(SHAPES)))
            pair = shape, first.colour if number == 0 else int(own.between(0, len(COLOURS)))
        things = (Thing(*pair, first.size), *others)
    planned = replace(planned, things=things)
    picture = paint(planned, size, draws)
    return Shapes(planned, picture, sentences(planned, draws))


def exchanged(things: tuple[Thing, ...]) -> tuple[Thing, ...] | None:
    """Two objects with each other's colours; None if that is no other scene, or makes an unseen pair."""
    if len(things) < 2 or things[0].shape == things[1].shape or things[0].colour == things[1].colour:
        return None
    found = tuple(
        replace(thing, colour=other.colour) for thing, other in zip(things, things[::-1], strict=True)
    )
    return None if any(thing.pair in UNSEEN for thing in found) else found


def paint(planned: Plan, size: int, draws: Draws) -> Tensor:
    """A picture (3, size, size) of uint8 of a plan; places, exact sizes and rotations are drawn."""
    canvas = np.empty((3, size, size), np.float32)
    canvas[:] = np.array(_GROUND[planned.background], np.float32).reshape(3, 1, 1)
    axis = pixel_centres(size)
    for place, thing in enumerate(planned.things):
        x, y = _centre(planned, place, draws)
        radius = _RADIUS[thing.size] * draws.between(0.94, 1.06)
        turn = draws.between(-_TURN, _TURN)
        across, down = axis[None, :] - x, axis[:, None] - y
        right = (np.cos(turn) * across + np.sin(turn) * down) / radius
        low = (np.cos(turn) * down - np.sin(turn) * across) / radius
        inside = np.clip(0.5 - _distance(SHAPES[thing.shape], right, low) * radius * size, 0, 1)
        canvas += inside * (np.array(_PAINT[thing.colour], np.float32).reshape(3, 1, 1) - canvas)
    return torch.from_numpy(np.rint(canvas).astype(np.uint8))


def sentences(planned: Plan, draws: Draws) -> tuple[str, ...]:
    """One sentence of each wording; words for sizes are drawn."""
    background = BACKGROUNDS[planned.background]
    if len(planned.things) == 1:
        thing = planned.things[0]
        return tuple(
            wording.format(
                size=draws.pick(WORDS[SIZES[thing.size]]),
                colour=COLOURS[thing.colour],
                shape=SHAPES[thing.shape],
                background=background,
            )
            for wording in ONE
        )
    return tuple(
        wording.format(
            first=planned.things[0].words(draws),
            second=planned.things[1].words(draws),
            relation=RELATIONS[planned.relation],
            inverse=RELATIONS[planned.relation ^ 1],
            background=background,
        )
        for wording in TWO
    )


def read(sentence: str) -> Plan | None:
    """The plan that a sentence of these words describes; None if it does not describe one."""
    words = re.findall("[a-z]+", sentence.lower())
    sizes = {word: place for place, name in enumerate(SIZES) for word in WORDS[name]}
    found = {
        "shape": [SHAPES.index(word) for word in words if word in SHAPES],
        "colour": [COLOURS.index(word) for word in words if word in COLOURS],
        "size": [sizes[word] for word in words if word in sizes],
        "background": [BACKGROUNDS.index(word) for word in words if word in BACKGROUNDS],
        "relation": [
            place
            for place, name in enumerate(RELATIONS)
            if name.split()[-1 if " " not in name else 2] in words
        ],
    }
    counts = {name: len(values) for name, values in found.items()}
    objects = counts["shape"]
    if objects not in (1, 2) or counts != {
        "shape": objects,
        "colour": objects,
        "size": objects,
        "background": 1,
        "relation": objects - 1,
    }:
        return None
    things = tuple(map(Thing, found["shape"], found["colour"], found["size"]))
    if len({thing.pair for thing in things}) < objects:
        return None
    return Plan(found["background"][0], things, *found["relation"])


def _plan(draws: Draws, unseen: bool) -> Plan:
    background, two = int(draws.between(0, len(BACKGROUNDS))), draws.between(0, 1) < 0.5
    things = [_thing(draws, unseen)]
    if not two:
        return Plan(background, tuple(things))
    second = _thing(draws, False)
    while second.pair == things[0].pair:
        second = _thing(draws, False)
    return Plan(background, (things[0], second), int(draws.between(0, len(RELATIONS))))


def _thing(draws: Draws, unseen: bool) -> Thing:
    while True:
        shape, colour = int(draws.between(0, len(SHAPES))), int(draws.between(0, len(COLOURS)))
        if ((shape, colour) in UNSEEN) == unseen:
            return Thing(shape, colour, int(draws.between(0, len(SIZES))))


def _centre(planned: Plan, place: int, draws: Draws) -> tuple[float, float]:
    if len(planned.things) == 1:
        return draws.between(0.38, 0.62), draws.between(0.38, 0.62)
    first = place == (planned.relation % 2)  # left and above stand first
    along = draws.between(0.24, 0.28) if first else draws.between(0.72, 0.76)
    across = draws.between(0.42, 0.58)
    return (along, across) if planned.relation < 2 else (across, along)


def _distance(shape: str, x: Array, y: Array) -> Array:
    """Signed distance to the edge of a shape of radius 1, negative inside; y points down."""
    if shape in ("circle", "ring"):
        circle: Array = np.hypot(x, y)
        return circle - 1 if shape == "circle" else np.abs(circle - 0.75) - 0.25
    return _to_polygon(_CORNERS[shape], x, y)


def _to_polygon(corners: Array, x: Array, y: Array) -> Array:
    nearest: Array = np.full(np.broadcast(x, y).shape, np.inf, np.float32)
    inside = np.zeros(nearest.shape, bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, 0), strict=True):
        ux, uy = bx - ax, by - ay
        share = np.clip(((x - ax) * ux + (y - ay) * uy) / (ux * ux + uy * uy), 0, 1)
        nearest = np.minimum(nearest, np.hypot(x - ax - share * ux, y - ay - share * uy))
        if ay != by:
            inside ^= ((ay > y) != (by > y)) & (x < ax + (y - ay) * ux / uy)
    return np.where(inside, -nearest, nearest)


def _around(angles: Array, radii: Array) -> Array:
    turned = np.deg2rad(angles)
    corners: Array = np.stack([radii * np.sin(turned), -radii * np.cos(turned)], 1)
    return corners


_ARM, _REACH = 0.33, 0.95  # of the cross
_CORNERS = {
    "square": _around(np.array([45, 135, 225, 315]), np.full(4, 1.2)),
    "triangle": _around(np.array([0, 120, 240]), np.full(3, 1.2)) + np.array([0, 0.2]),
    "star": _around(np.arange(10) * 36, np.tile([1.15, 0.48], 5)),
    "cross": np.array(
        [
            (-_ARM, -_REACH),
            (_ARM, -_REACH),
            (_ARM, -_ARM),
            (_REACH, -_ARM),
            (_REACH, _ARM),
            (_ARM, _ARM),
            (_ARM, _REACH),
            (-_ARM, _REACH),
            (-_ARM, _ARM),
            (-_REACH, _ARM),
            (-_REACH, -_ARM),
            (-_ARM, -_ARM),
        ]
    ),
}
