"""The world of people: one clothed figure on a street, in any pose and from any side.

An identity, a pose and a street are functions of (seed, index); :func:`draw` gives the picture, its keypoints
and a mask. A figure has joints in space, so its keypoints are exact, and front and back differ: face or back
of the head, buttons or hood, straps or bag. Each side says something about the other: straps have the colour
of their bag, a hood that of its cord, and a person keeps one build. So a model that turns people has a
structure to learn.

This file chooses identities and poses; :mod:`zoo.data.worlds.bodies` places their joints and
:mod:`zoo.data.worlds.figures` draws them.
"""

from __future__ import annotations

from functools import cache
from math import cos, sin, tau

from zoo.data.worlds.bodies import Hair, Identity, Limb, Pose
from zoo.data.worlds.figures import KEYPOINTS, Drawing, Street, draw
from zoo.data.worlds.paint import Colour, Draws, colours
from zoo.seeds import mix

__all__ = ["KEYPOINTS", "Drawing", "Identity", "Limb", "Pose", "Street", "draw"]
__all__ += ["identity_of", "pose_of", "street_of", "walk"]

SKINS = colours("ffddc4", "f0c29e", "d6a076", "a4704c", "704a34")
HAIRS = colours("262022", "543624", "925c30", "deb262", "b04c28", "96969c")
CLOTHS = colours(
    *("ce423c", "e88e3e", "f0c854", "609e58", "3c7a6c", "4a84c4"),
    *("344a84", "80589c", "d87a94", "f2eee4", "94989e", "383a44"),
)
BOTTOMS = colours("344268", "5c7aa6", "303036", "b09870", "685442", "70747a", "80363c", "465c46")
SHOES = colours("eeece6", "2c2a2e", "744a30", "c6403c", "3e68b0")
WALLS = colours("e2d0b4", "ceb2a0", "bec6cc", "d4d6c8", "baaab0", "e8dece", "b2beb0")
GROUNDS = colours("aca8a4", "9a9ea4", "b8ae9e", "8c8c90")
TRIMS = colours("705646", "485c6c", "566854", "804640", "625c64")


def identity_of(seed: int, index: int) -> Identity:
    """Draw the person ``index`` of the world ``seed``."""
    random = _draws("person", seed, index)
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
    """Draw the pose ``index`` of the world ``seed``: walking, standing, waving, …, to one of eight sides."""
    random = _draws("pose", seed, index)
    yaw = tau / 8 * int(random.between(0, 8)) + random.between(-0.2, 0.2)
    x, turn = random.between(0.45, 0.55), random.between(-0.45, 0.45)
    if random.between(0, 1) < 0.35:
        stride = walk(random.between(0, 1), yaw, x)
        return Pose(yaw, x, stride.lean, turn, stride.arms, stride.legs)
    left, right = _arm(random), _arm(random)
    step, bend = random.between(-0.25, 0.25), random.between(0, 0.25)
    spread, other = random.between(0.02, 0.16), random.between(0.02, 0.16)
    legs = (Limb(step, spread, bend), Limb(-step, other, 0.25 - bend))
    if random.between(0, 1) < 0.2:  # on one leg
        raised = Limb(random.between(0.5, 1.1), random.between(0, 0.2), random.between(0.8, 1.5))
        legs = (raised, legs[1]) if random.between(0, 1) < 0.5 else (legs[0], raised)
    return Pose(yaw, x, random.between(-0.05, 0.2), turn, (left, right), legs)


def street_of(seed: int, index: int) -> Street:
    """Draw the street ``index`` of the world ``seed``."""
    random = _draws("street", seed, index)
    wall, ground, trim = random.pick(WALLS), random.pick(GROUNDS), random.pick(TRIMS)
    return Street(wall, ground, trim, random.between(0, 1), random.between(0, 1) < 0.4)


def walk(phase: float, yaw: float, x: float = 0.5) -> Pose:
    """One moment of a walk.

    Args:
        phase: Share of the cycle of two steps, 0 to 1; at 0 the left leg swings forward under the body.
        yaw: Direction of the walk, as in :class:`Pose`.
        x: Position of the hips as a share of the picture's width.
    """
    limbs: list[tuple[Limb, Limb]] = []
    for shift in (0.0, 0.5):
        angle = tau * (phase + shift)
        lifted = (0.5 + 0.5 * cos(angle + 0.35)) ** 2  # the knee bends while the leg swings forward
        leg = Limb(0.05 + 0.37 * sin(angle), 0.02, 0.08 + 0.85 * lifted)
        arm = Limb(0.05 - 0.5 * sin(angle), 0.1, 0.4 - 0.2 * sin(angle))
        limbs.append((arm, leg))
    (left_arm, left_leg), (right_arm, right_leg) = limbs
    return Pose(yaw, x, 0.05, 0.0, (left_arm, right_arm), (left_leg, right_leg))


def _draws(kind: str, seed: int, index: int) -> Draws:
    return Draws(mix("people", kind, seed, index))


def _arm(random: Draws) -> Limb:
    kind = int(random.between(0, 6))
    near = random.between
    if kind == 0:  # hand on the hip
        return Limb(near(-0.3, -0.1), near(0.6, 0.75), near(1.6, 1.8), near(-1.3, -1.1))
    if kind == 1:  # waving
        return Limb(near(-0.1, 0.1), near(1.2, 1.6), near(1.0, 1.6), near(1.3, 1.8))
    if kind == 2:  # reaching forward
        return Limb(near(0.9, 1.5), near(0.0, 0.3), near(0.1, 0.5))
    if kind == 3:  # hand in front of the chest
        return Limb(near(0.3, 0.6), near(0.1, 0.2), near(1.5, 1.9), near(-0.6, 0.0))
    return Limb(near(-0.3, 0.3), near(0.08, 0.25), near(0.1, 0.5))


@cache
def _apart(options: tuple[Colour, ...], other: Colour, least: int) -> list[Colour]:
    """The colours whose summed difference from another is above ``least``."""
    return [c for c in options if sum(abs(a - b) for a, b in zip(c, other, strict=True)) > least]
