"""Bodies of the world of people: build and pose, joints in space, and their projection to the picture.

Body coordinates are in heights of an average person: x to the person's own left, y up, z to the front.
Picture coordinates are in fine pixels (``FINE`` to a pixel): x to the right, y down, and as third number the
nearness to the viewer, in body heights.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import atan2, cos, hypot, sin
from typing import Literal, NamedTuple

from zoo.data.worlds.paint import FINE, Colour

Point = tuple[float, float, float]  # in body coordinates, or in the picture with the nearness
Spot = tuple[float, float]  # in the picture

TALL = 0.86  # height of an average person as a share of the picture's height
GROUND = 0.945  # height at which feet stand, as a share of the picture's height
TILT = 0.12  # tilt of the camera: how much lower nearer points appear
THIGH, SHIN, SOLE, FOOT = 0.25, 0.235, 0.035, 0.085
TRUNK, UPPER, FORE, HAND = 0.29, 0.155, 0.135, 0.03
HEAD = (0.064, 0.08, 0.07)  # half width, half height, half depth
SECTIONS = (  # of the trunk: height from hips (0) to shoulders (1), half width, half depth
    *((-0.22, 0.085, 0.062), (0.02, 0.094, 0.068), (0.42, 0.08, 0.056), (0.75, 0.1, 0.066)),
    *((0.93, 0.108, 0.055), (1.0, 0.085, 0.042), (1.07, 0.034, 0.034)),
)

Hair = Literal["short", "bald", "long", "bun", "curls", "cap"]
Top = Literal["shirt", "jumper", "jacket", "hoodie"]
Pattern = Literal["plain", "stripes", "band", "print"]
Bottom = Literal["trousers", "shorts", "skirt", "long skirt"]
Bag = Literal["none", "backpack", "shoulder bag", "handbag"]


@dataclass(frozen=True)
class Identity:
    """What all pictures of a person share. Colours are (red, green, blue) from 0 to 255.

    Args:
        stature: Height; 1 on average, 0.9 to 1.06 in this world.
        girth: Width of trunk and limbs; 1 on average, 0.82 to 1.25 in this world.
        shoulders: Width of the shoulders; 1 on average, 0.9 to 1.12 in this world.
        skin: Colour.
        hair: Haircut, or a cap over it.
        hair_colour: Colour.
        top: Upper garment; a shirt has short sleeves.
        top_colour: Colour.
        accent: Colour of pattern, buttons, hood, collar and cap.
        pattern: Pattern of the upper garment; a print differs on front and back.
        bottom: Lower garment.
        bottom_colour: Colour.
        shoes: Colour.
        bag: Bag that the person carries.
        bag_colour: Colour.
    """

    stature: float
    girth: float
    shoulders: float
    skin: Colour
    hair: Hair
    hair_colour: Colour
    top: Top
    top_colour: Colour
    accent: Colour
    pattern: Pattern
    bottom: Bottom
    bottom_colour: Colour
    shoes: Colour
    bag: Bag
    bag_colour: Colour


class Limb(NamedTuple):
    """Angles of an arm or leg in radians; with all at 0 it hangs straight down.

    Args:
        swing: Swing to the front.
        spread: Spread to its own side.
        bend: Bend of the elbow (to the front) or of the knee (to the back).
        twist: Turn of the plane in which the elbow bends; outwards above 0, inwards below.
    """

    swing: float = 0.0
    spread: float = 0.0
    bend: float = 0.0
    twist: float = 0.0


@dataclass(frozen=True)
class Pose:
    """Where and how a person stands; angles in radians.

    Args:
        yaw: Direction of the body: 0 to the viewer, pi / 2 to the picture's right, pi away from the viewer.
        x: Position of the hips as a share of the picture's width.
        lean: Lean of the trunk to the front.
        turn: Turn of the head against the trunk, to the person's own left.
        arms: Left and right arm.
        legs: Left and right leg.
    """

    yaw: float = 0.0
    x: float = 0.5
    lean: float = 0.0
    turn: float = 0.0
    arms: tuple[Limb, Limb] = (Limb(spread=0.1, bend=0.15), Limb(spread=0.1, bend=0.15))
    legs: tuple[Limb, Limb] = (Limb(spread=0.05), Limb(spread=0.05))


class Section(NamedTuple):
    """The trunk at one height, in the picture.

    Args:
        x: Centre.
        y: Centre.
        wide: Half width as seen, in fine pixels.
        deep: Half depth as seen, in fine pixels.
        delta: Longitude in the picture minus longitude on the body.
    """

    x: float
    y: float
    wide: float
    deep: float
    delta: float

    def spot(self, turn: float) -> Spot:
        """The point at a longitude of the picture, from -pi / 2 (left silhouette) to pi / 2 (right)."""
        return self.x + self.wide * sin(turn), self.y + TILT * self.deep * cos(turn)


class Body:
    """The joints and the outline of a person, in the picture.

    Args:
        who: Build of the person.
        pose: Position and angles.
        height: Height of the picture in pixels.
        width: Width of the picture in pixels.
    """

    def __init__(self, who: Identity, pose: Pose, height: int, width: int) -> None:
        self.who, self.pose = who, pose
        self.unit = TALL * height * FINE  # fine pixels to a body height
        self.cos, self.sin = cos(pose.yaw), sin(pose.yaw)
        self.head_yaw = pose.yaw + pose.turn
        self.head_cos, self.head_sin = cos(self.head_yaw), sin(self.head_yaw)
        self.foot = (pose.x * width * FINE, GROUND * height * FINE)  # the ground below the hips
        s = who.stature
        hip_x, shoulder_x = 0.05 * s * who.girth**0.5, 0.094 * s * who.shoulders
        legs = []
        for side, limb in zip((1, -1), pose.legs, strict=True):
            hip = (side * hip_x, 0.0, 0.0)
            knee, ankle = _bent(hip, side, limb, THIGH * s, SHIN * s, knee=True)
            tilt = 0.65 * (limb.swing - limb.bend)
            toe = _moved(ankle, (side * 0.25, sin(tilt) - 0.3, cos(tilt)), FOOT * s)
            legs.append((hip, knee, ankle, toe))
        low = min(min(ankle[1] - SOLE * s, toe[1] - 0.02 * s) for _, _, ankle, toe in legs)
        self.hip_y = -low  # the lower foot stands on the ground
        self.legs = [[self.seen((x, y - low, z)) for x, y, z in joints] for joints in legs]
        self.arms: list[list[Point]] = []
        shoulder_y, shoulder_z = self.spine(0.9)
        for side, limb in zip((1, -1), pose.arms, strict=True):
            shoulder = (side * shoulder_x, shoulder_y, shoulder_z)
            elbow, wrist = _bent(shoulder, side, limb, UPPER * s, FORE * s, knee=False)
            hand = between(elbow, wrist, 1 + HAND / FORE)
            self.arms.append([self.seen(joint) for joint in (shoulder, elbow, wrist, hand)])
        self.sections = [self._section(t, a, b) for t, a, b in SECTIONS]
        neck_y, neck_z = self.spine(1.0)
        self.neck = self.seen((0.0, neck_y, neck_z))
        self.head = self.seen((0.0, neck_y + 0.115 * s, neck_z + 0.01 * s))
        wide = hypot(HEAD[0] * self.head_cos, HEAD[2] * self.head_sin)
        self.head_size = (self.unit * s * wide, self.unit * s * HEAD[1])

    def spine(self, t: float) -> tuple[float, float]:
        """y and z of the trunk's middle at a height ``t`` from hips (0) to shoulders (1)."""
        long = t * TRUNK * self.who.stature
        return self.hip_y + long * cos(self.pose.lean), long * sin(self.pose.lean)

    def seen(self, point: Point) -> Point:
        """Project a point of the body to the picture."""
        x, y, z = point
        near = z * self.cos - x * self.sin
        right, down = x * self.cos + z * self.sin, TILT * near - y
        return self.foot[0] + self.unit * right, self.foot[1] + self.unit * down, near

    def _section(self, t: float, a: float, b: float) -> Section:
        """The trunk at a height ``t``; ``a`` and ``b`` are half width and half depth of an average build."""
        who, u, c, s = self.who, self.unit, self.cos, self.sin
        stout = who.girth if t < 0.9 else who.girth**0.4
        a *= who.stature * stout * (who.shoulders if 0.7 < t < 1.05 else 1)
        b *= who.stature * stout
        x, y, _ = self.seen((0.0, *self.spine(t)))
        return Section(x, y, u * hypot(a * c, b * s), u * hypot(a * s, b * c), atan2(b * s, a * c))

    def at(self, t: float) -> Section:
        """The trunk at a height, interpolated between two of ``SECTIONS``."""
        k = 0
        while k < len(SECTIONS) - 2 and t > SECTIONS[k + 1][0]:
            k += 1
        share = (t - SECTIONS[k][0]) / (SECTIONS[k + 1][0] - SECTIONS[k][0])
        low, high = self.sections[k], self.sections[k + 1]
        return Section(*(a + share * (b - a) for a, b in zip(low, high, strict=True)))

    def on_head(self, longitude: float, latitude: float, out: float = 1.0) -> Point:
        """Project a point of the head to the picture.

        Args:
            longitude: Angle in radians from the front to the person's left.
            latitude: Angle in radians from the middle of the head up.
            out: Distance from the middle of the head, 1 on the surface.

        Returns:
            The point; its nearness is that to the middle of the head, above 0 on the visible side.
        """
        level = cos(latitude)
        x, y, z = HEAD[0] * level * sin(longitude), HEAD[1] * sin(latitude), HEAD[2] * level * cos(longitude)
        near = z * self.head_cos - x * self.head_sin
        right, scale = x * self.head_cos + z * self.head_sin, out * self.who.stature
        u = self.unit * scale
        return self.head[0] + u * right, self.head[1] - u * (y - TILT * near), near * scale


def between(p: Point, q: Point, share: float) -> Point:
    """The point at a share of the way from ``p`` to ``q``; a share above 1 lies beyond ``q``."""
    return p[0] + share * (q[0] - p[0]), p[1] + share * (q[1] - p[1]), p[2] + share * (q[2] - p[2])


def _moved(p: Point, way: Point, length: float) -> Point:
    return p[0] + length * way[0], p[1] + length * way[1], p[2] + length * way[2]


def _bent(root: Point, side: int, limb: Limb, upper: float, lower: float, knee: bool) -> tuple[Point, Point]:
    """Elbow and wrist, or knee and ankle, of a limb that hangs from ``root``."""
    ca, sa, cs, ss = cos(limb.swing), sin(limb.swing), cos(limb.spread), sin(limb.spread)
    along = (side * ss, -cs * ca, cs * sa)
    front = (0.0, sa, ca)
    out = (side * cs, ss * ca, -ss * sa)
    c, s = cos(limb.bend), (-1 if knee else 1) * sin(limb.bend)
    ct, st = cos(limb.twist), sin(limb.twist)
    x, y, z = (c * a + s * (ct * f + st * o) for a, f, o in zip(along, front, out, strict=True))
    middle = _moved(root, along, upper)
    return middle, _moved(middle, (x, y, z), lower)
