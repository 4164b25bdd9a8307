"""A world of drawn people: one figure in clothes on a street, in any pose and from any side.

Everything is a function of (seed, index). A figure has joints in space, so its keypoints are exact, and front
and back differ: a face or hair, buttons or a hood, straps or the bag that they carry. What one side hides can
be told from what another shows: straps have their bag's colour, a hood has its cord's, and a person keeps one
build. So a model that turns people round has something to learn.

Who is drawn and how is decided here; :mod:`zoo.data.worlds.bodies` gives them joints and
:mod:`zoo.data.worlds.figures` draws them.
"""

from __future__ import annotations

from functools import cache
from math import cos, sin, tau
from typing import Any

import numpy as np

from zoo.data.worlds.bodies import Colour, Hair, Identity, Limb, Pose
from zoo.data.worlds.figures import KEYPOINTS, Drawing, Street, draw
from zoo.seeds import mix

__all__ = [
    "KEYPOINTS",
    "Drawing",
    "Identity",
    "Limb",
    "Pose",
    "Street",
    "draw",
    "identity_of",
    "pose_of",
    "street_of",
    "walk",
]

SKINS: tuple[Colour, ...] = ((255, 221, 196), (240, 194, 158), (214, 160, 118), (164, 112, 76), (112, 74, 52))
HAIRS: tuple[Colour, ...] = (
    (38, 32, 34),
    (84, 54, 36),
    (146, 92, 48),
    (222, 178, 98),
    (176, 76, 40),
    (150, 150, 156),
)
CLOTHS: tuple[Colour, ...] = (
    *((206, 66, 60), (232, 142, 62), (240, 200, 84), (96, 158, 88), (60, 122, 108), (74, 132, 196)),
    *((52, 74, 132), (128, 88, 156), (216, 122, 148), (242, 238, 228), (148, 152, 158), (56, 58, 68)),
)
BOTTOMS: tuple[Colour, ...] = (
    *((52, 66, 104), (92, 122, 166), (48, 48, 54), (176, 152, 112), (104, 84, 66), (112, 116, 122)),
    *((128, 54, 60), (70, 92, 70)),
)
SHOES: tuple[Colour, ...] = ((238, 236, 230), (44, 42, 46), (116, 74, 48), (198, 64, 60), (62, 104, 176))


def identity_of(seed: int, index: int) -> Identity:
    """Person ``index`` of the world ``seed``."""
    random = _Draws("person", seed, index)
    top = random.pick(CLOTHS)
    accent = random.pick(_apart(CLOTHS, top, 150))
    bottom = random.pick(_apart(BOTTOMS, top, 90))
    hair: Hair = random.pick(("short", "short", "long", "long", "bun", "curls", "bald", "cap"))
    return Identity(
        stature=random.between(0.9, 1.06),
        girth=random.between(0.82, 1.25),
        shoulders=random.between(0.9, 1.12),
        skin=random.pick(SKINS),
        hair=hair,
        hair_colour=random.pick(HAIRS),
        top=random.pick(("shirt", "shirt", "jumper", "jacket", "hoodie")),
        top_colour=top,
        accent=accent,
        pattern=random.pick(("plain", "stripes", "band", "print")),
        bottom=random.pick(("trousers", "trousers", "trousers", "shorts", "skirt", "long skirt")),
        bottom_colour=bottom,
        shoes=random.pick(SHOES),
        bag=random.pick(("none", "none", "backpack", "shoulder bag", "handbag")),
        bag_colour=random.pick(_apart(CLOTHS, top, 120)),
    )


def pose_of(seed: int, index: int) -> Pose:
    """Pose ``index`` of the world ``seed``: walking, standing, waving, …, seen from any of eight sides."""
    random = _Draws("pose", seed, index)
    yaw = tau / 8 * int(random.between(0, 8)) + random.between(-0.2, 0.2)
    x, turn = random.between(0.45, 0.55), random.between(-0.45, 0.45)
    if random.between(0, 1) < 0.35:
        stride = walk(random.between(0, 1), yaw, x)
        return Pose(yaw, x, stride.lean, turn, stride.arms, stride.legs)
    left, right = _arm(random), _arm(random)
    step, bend = random.between(-0.25, 0.25), random.between(0, 0.25)
    legs = (
        Limb(step, random.between(0.02, 0.16), bend),
        Limb(-step, random.between(0.02, 0.16), 0.25 - bend),
    )
    if random.between(0, 1) < 0.2:  # on one leg
        raised = Limb(random.between(0.5, 1.1), random.between(0, 0.2), random.between(0.8, 1.5))
        legs = (raised, legs[1]) if random.between(0, 1) < 0.5 else (legs[0], raised)
    return Pose(yaw, x, random.between(-0.05, 0.2), turn, (left, right), legs)


def street_of(seed: int, index: int) -> Street:
    """Street ``index`` of the world ``seed``."""
    random = _Draws("street", seed, index)
    walls: tuple[Colour, ...] = (
        *((226, 208, 180), (206, 178, 160), (190, 198, 204), (212, 214, 200), (186, 170, 176)),
        *((232, 222, 206), (178, 190, 176)),
    )
    grounds: tuple[Colour, ...] = ((172, 168, 164), (154, 158, 164), (184, 174, 158), (140, 140, 144))
    trims: tuple[Colour, ...] = ((112, 86, 70), (72, 92, 108), (86, 104, 84), (128, 70, 64), (98, 92, 100))
    return Street(
        random.pick(walls),
        random.pick(grounds),
        random.pick(trims),
        random.between(0, 1),
        random.between(0, 1) < 0.4,
    )


def walk(phase: float, yaw: float, x: float = 0.5) -> Pose:
    """The walking cycle.

    Args:
        phase: 0 to 1 is one cycle of two steps; at 0 the left leg passes under the body to the front.
        yaw: Where the person walks, as in :class:`Pose`.
        x: Place of the hips in widths of the picture.
    """
    limbs: list[tuple[Limb, Limb]] = []
    for shift in (0.0, 0.5):
        angle = tau * (phase + shift)
        lifted = (0.5 + 0.5 * cos(angle + 0.35)) ** 2  # the knee bends while the leg swings to the front
        leg = Limb(0.05 + 0.37 * sin(angle), 0.02, 0.08 + 0.85 * lifted)
        arm = Limb(0.05 - 0.5 * sin(angle), 0.1, 0.4 - 0.2 * sin(angle))
        limbs.append((arm, leg))
    (left_arm, left_leg), (right_arm, right_leg) = limbs
    return Pose(yaw, x, 0.05, 0.0, (left_arm, right_arm), (left_leg, right_leg))


class _Draws:
    """Chance for one thing of one kind."""

    def __init__(self, kind: str, seed: int, index: int) -> None:
        self.random = np.random.default_rng(mix("people", kind, seed, index)).random

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.random()

    def pick(self, choices: Any) -> Any:
        return choices[int(len(choices) * self.random())]


def _arm(random: _Draws) -> Limb:
    kind = int(random.between(0, 6))
    near = random.between
    if kind == 0:  # on the hip
        return Limb(near(-0.3, -0.1), near(0.6, 0.75), near(1.6, 1.8), near(-1.3, -1.1))
    if kind == 1:  # waving
        return Limb(near(-0.1, 0.1), near(1.2, 1.6), near(1.0, 1.6), near(1.3, 1.8))
    if kind == 2:  # reaching to the front
        return Limb(near(0.9, 1.5), near(0.0, 0.3), near(0.1, 0.5))
    if kind == 3:  # a hand before the chest
        return Limb(near(0.3, 0.6), near(0.1, 0.2), near(1.5, 1.9), near(-0.6, 0.0))
    return Limb(near(-0.3, 0.3), near(0.08, 0.25), near(0.1, 0.5))


@cache
def _apart(colours: tuple[Colour, ...], other: Colour, least: int) -> list[Colour]:
    """The colours that differ from another by so much in sum."""
    return [c for c in colours if sum(abs(a - b) for a, b in zip(c, other, strict=True)) > least]
