"""Drawing of the world of people: a clothed body in front of a house, from any side.

Polygons are painted from back to front, ``FINE`` times as large as the picture, which is then averaged down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from math import cos, hypot, pi, sin, tau
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from zoo.data.worlds.bodies import SECTIONS, Body, Identity, Point, Pose, Spot, between
from zoo.data.worlds.paint import FINE, Array, Colour

KEYPOINTS = (  # the 17 points of COCO, in its order
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle"),
)
FACE_POINTS = (  # the first five of KEYPOINTS, on the head: longitude, latitude, distance from its middle
    *((0.0, -0.2, 1.1), (0.42, 0.08, 1.0), (-0.42, 0.08, 1.0), (1.6, -0.12, 1.04), (-1.6, -0.12, 1.04)),
)
EAR_BEHIND = 0.02  # how far behind the silhouette an ear is still visible
DUSK = 0.7  # where the light from the left ends on the trunk, in radians to the right of its middle
EYE: Colour = (40, 34, 40)
LIPS: Colour = (178, 74, 74)
GLASS: Colour = (166, 184, 194)
FACE = (  # outline on the head: longitude, latitude
    *((0.0, 0.62), (0.75, 0.5), (1.15, 0.1), (1.25, -0.5), (0.8, -1.0), (0.0, -1.25)),
    *((-0.8, -1.0), (-1.25, -0.5), (-1.15, 0.1), (-0.75, 0.5)),
)
ARC = [(cos(pi / 2 + pi * k / 6), sin(pi / 2 + pi * k / 6)) for k in range(7)]  # half a circle
HEAD_PART, TRUNK_PART, BAG_PART, LEFT_ARM, RIGHT_ARM, LEFT_LEG, RIGHT_LEG = range(7)


@dataclass(frozen=True)
class Street:
    """The background of a person. Colours are (red, green, blue) from 0 to 255.

    Args:
        wall: Colour of the house.
        ground: Colour of the pavement.
        trim: Colour of window frames and door.
        offset: Position of the camera along the house, in periods of its front (half the picture's height).
        bricks: Whether the wall shows courses of bricks.
    """

    wall: Colour = (224, 206, 178)
    ground: Colour = (168, 164, 160)
    trim: Colour = (120, 92, 72)
    offset: float = 0.3
    bricks: bool = False


class Drawing(NamedTuple):
    """A drawn person.

    Args:
        picture: (3,H,W) uint8.
        keypoints: (17,3) float32 in the order of ``KEYPOINTS``: x and y in pixels from the centre of the
            first pixel, and 2 if the point is visible, 1 if it is hidden or outside the picture.
        mask: (1,H,W) uint8, 1 on the person.
    """

    picture: Array
    keypoints: Array
    mask: Array


def draw(
    identity: Identity, pose: Pose, height: int = 128, width: int = 64, street: Street | None = None
) -> Drawing:
    """Draw a person.

    Args:
        identity: Person to draw.
        pose: Position and angles.
        height: Height of the picture in pixels, to which people are scaled.
        width: Width of the picture in pixels.
        street: Background; a plain one if not given.
    """
    painter = _Painter(Body(identity, pose, height, width), height, width, street or Street())
    painter.person()
    return painter.drawing()


def _dark(colour: Colour, by: float = 0.8) -> Colour:
    """Multiply a colour by a brightness."""
    return int(colour[0] * by), int(colour[1] * by), int(colour[2] * by)


def _mixed(colour: Colour, other: Colour, share: float) -> Colour:
    """Blend two colours; ``share`` is that of the second."""
    red, green, blue = (int(a + share * (b - a)) for a, b in zip(colour, other, strict=True))
    return red, green, blue


class _Painter:
    """Paints from back to front. The canvas has four channels: RGB, and the body part that is on top."""

    def __init__(self, body: Body, height: int, width: int, street: Street) -> None:
        self.body, self.who, self.unit, self.street = body, body.who, body.unit, street
        self.canvas = _house(street, height, width).copy()
        self.pen = ImageDraw.Draw(self.canvas)
        self.part = 0

    # -------------------------------------------------------------------------------------------------- tools

    def ink(self, colour: Colour) -> tuple[int, int, int, int]:
        """A colour with the current part in the fourth channel, which is 0 where nobody is."""
        return (*colour, 255 - self.part)

    def fill(self, outline: list[Spot], colour: Colour) -> None:
        self.pen.polygon(outline, fill=self.ink(colour))

    def disc(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        self.pen.ellipse((x - rx, y - ry, x + rx, y + ry), fill=self.ink(colour))

    def box(self, x0: float, y0: float, x1: float, y1: float, radius: float, colour: Colour) -> None:
        self.pen.rounded_rectangle((x0, y0, x1, y1), radius, fill=self.ink(colour))

    def line(self, spots: list[Spot], width: float, colour: Colour) -> None:
        self.pen.line(spots, fill=self.ink(colour), width=max(1, round(width)))

    def limb(self, colour: Colour, size: float, *joints: tuple[Point, float]) -> None:
        """Paint a limb, lit from the left, through joints and their radii (in body heights / ``size``)."""
        discs = [(x, y, r * size * self.unit) for (x, y, _), r in joints]
        for one, other in pairwise(discs):
            self.fill(_capsule(one, other), _dark(colour))
        lit = [(x - 0.25 * r, y, 0.75 * r) for x, y, r in discs]
        for one, other in pairwise(lit):
            self.fill(_capsule(one, other), colour)

    def patch(
        self, left: float, right: float, low: float, high: float, colour: Colour, top: float | None = None
    ) -> None:
        """Paint the visible share of a patch of the trunk.

        Args:
            left: Longitude on the body in radians: 0 is the chest, pi / 2 the person's left, pi the back.
            right: Longitude, larger than ``left``.
            low: Height of the lower edge, as in ``SECTIONS``.
            high: Height of the upper edge.
            colour: Colour of the patch.
            top: Width of the upper edge as a share of the lower one.
        """
        section = self.body.at((low + high) / 2)
        middle = _wrapped((left + right) / 2 + section.delta)
        half = (right - left) / 2
        begin, end = max(middle - half, -pi / 2), min(middle + half, pi / 2)
        if begin < end:
            self.stripe(begin, end, low, high, colour, top)

    def stripe(
        self, begin: float, end: float, low: float, high: float, colour: Colour, top: float | None = None
    ) -> None:
        """Paint between two longitudes of the picture, -pi / 2 (left silhouette) to pi / 2 (right)."""
        sections = [self.body.at(t) for t in (low, *(t for t, _, _ in SECTIONS if low < t < high), high)]
        middle, half = (begin + end) / 2, (end - begin) / 2
        last = half if top is None else min(top * half, pi / 2 - abs(middle))
        halves = [half] * (len(sections) - 1) + [last]
        left = [section.spot(middle - h) for section, h in zip(sections, halves, strict=True)]
        right = [section.spot(middle + h) for section, h in zip(sections, halves, strict=True)]
        spots = [*left, sections[-1].spot(middle), *right[::-1], sections[0].spot(middle)]
        self.fill(spots, colour)
        if begin < DUSK < end:
            self.stripe(DUSK, end, low, high, _dark(colour, 0.86))

    def ring(self, low: float, high: float, colour: Colour) -> None:
        """Paint all around the trunk."""
        self.stripe(-pi / 2, pi / 2, low, high, colour)

    # ------------------------------------------------------------------------------------------------- person

    def person(self) -> None:
        """Paint everything from back to front."""
        body, bag, facing = self.body, self.who.bag, self.body.cos > 0
        behind: list[tuple[float, Callable[[], None]]] = []
        before: list[tuple[float, Callable[[], None]]] = []
        for side in (0, 1):
            hip, knee, ankle, _ = body.legs[side]
            behind.append((hip[2] + knee[2] + ankle[2], partial(self.leg, side)))
            shoulder, elbow, wrist, _ = body.arms[side]
            hides = elbow[2] + wrist[2] > -0.1 * self.who.stature
            (before if hides else behind).append((shoulder[2] + elbow[2] + wrist[2], partial(self.arm, side)))
        self.shadow()
        if bag == "backpack" and facing:
            self.backpack()
        if self.who.hair == "long" and body.head_cos > 0.3:
            self.mane()
        for _, paint in sorted(behind, key=itemgetter(0)):
            paint()
        self.trunk()
        if bag == "backpack" and not facing:
            self.backpack()
        elif bag == "shoulder bag":
            self.shoulder_bag()
        self.head()
        for _, paint in sorted(before, key=itemgetter(0)):
            paint()

    def shadow(self) -> None:
        x, y = self.body.foot
        feet = [joint[0] for leg in self.body.legs for joint in leg[2:]]
        left, right = min([x, *feet]) - 0.05 * self.unit, max([x, *feet]) + 0.07 * self.unit
        flat = 0.035 * self.unit
        self.pen.ellipse((left, y - flat, right, y + flat), fill=(*_dark(self.street.ground, 0.76), 0))

    def leg(self, side: int) -> None:
        self.part = LEFT_LEG + side
        hip, knee, ankle, toe = self.body.legs[side]
        who, girth = self.who, self.who.stature * self.who.girth
        heel = (ankle[0], ankle[1] + 0.012 * self.unit, 0.0)
        self.limb(who.shoes, who.stature, (heel, 0.027), (toe, 0.021))
        if who.bottom == "trousers":
            self.limb(who.bottom_colour, girth, (hip, 0.056), (knee, 0.041), (ankle, 0.031))
            return
        self.limb(who.skin, girth, (hip, 0.052), (knee, 0.036), (ankle, 0.022))
        if who.bottom == "shorts":
            self.limb(who.bottom_colour, girth, (hip, 0.056), (between(hip, knee, 0.88), 0.046))

    def arm(self, side: int) -> None:
        shoulder, elbow, wrist, hand = self.body.arms[side]
        who, girth = self.who, self.who.stature * self.who.girth**0.7
        if side == 1 and who.bag == "handbag":
            self.handbag(hand)
        self.part = LEFT_ARM + side
        if who.top == "shirt":
            self.limb(who.skin, girth, (shoulder, 0.032), (elbow, 0.025), (wrist, 0.02))
            self.limb(who.top_colour, girth, (shoulder, 0.038), (between(shoulder, elbow, 0.6), 0.036))
        else:
            self.limb(who.top_colour, girth, (shoulder, 0.038), (elbow, 0.031), (wrist, 0.025))
            if who.top != "jacket":
                self.limb(who.accent, girth, (between(elbow, wrist, 0.8), 0.027), (wrist, 0.025))
        self.limb(who.skin, who.stature, (between(wrist, hand, 0.4), 0.02), (hand, 0.021))

    # -------------------------------------------------------------------------------------------------- trunk

    def trunk(self) -> None:
        who, self.part = self.who, TRUNK_PART
        self.ring(-0.22, 0.3, who.bottom_colour)
        if who.bottom in ("skirt", "long skirt"):
            self.skirt()
        hem = -0.02 if who.top == "shirt" else -0.1
        wide = 0.03 * who.stature * self.unit
        self.fill(_capsule((*self.body.neck[:2], wide), (*self.body.head[:2], wide)), _dark(who.skin, 0.88))
        self.ring(hem, 1.07, who.top_colour)
        self.pattern()
        if who.top == "shirt":
            self.patch(-0.75, 0.75, 0.97, 1.08, who.skin)
        elif who.top == "jumper":
            self.ring(hem, hem + 0.09, who.accent)
            self.ring(1.0, 1.1, who.accent)
        elif who.top == "jacket":
            self.patch(-0.05, 0.05, hem, 1.0, who.accent, top=12.0)
            self.patch(pi - 1.2, pi + 1.2, 0.76, 0.8, _dark(who.top_colour))
            self.patch(pi - 0.08, pi + 0.08, hem, 0.25, _dark(who.top_colour))
        else:
            self.patch(-0.7, 0.7, 0.08, 0.36, _dark(who.top_colour, 0.88), top=0.7)
            for side in (-0.3, 0.3):
                self.patch(side - 0.06, side + 0.06, 0.74, 0.98, who.accent)
            self.patch(pi - 0.5, pi + 0.5, 0.68, 1.02, who.accent, top=2.2)
            self.ring(0.99, 1.09, who.accent)
        if who.bag == "backpack":
            for side in (-0.62, 0.62):
                self.patch(side - 0.13, side + 0.13, 0.35, 1.01, who.bag_colour)

    def pattern(self) -> None:
        who = self.who
        if who.pattern == "stripes":
            for k in range(4):
                self.ring(0.08 + 0.23 * k, 0.19 + 0.23 * k, who.accent)
        elif who.pattern == "band":
            self.ring(0.5, 0.74, who.accent)
        elif who.pattern == "print" and who.top != "jacket":
            self.patch(-0.45, 0.45, 0.46, 0.78, who.accent, top=0.2)
            self.patch(pi - 0.7, pi + 0.7, 0.62, 0.7, who.accent)
            self.patch(pi - 0.45, pi + 0.45, 0.44, 0.52, who.accent)

    def skirt(self) -> None:
        """Paint the skirt from waist to knees or ankles, its right part in the shade."""
        reach = 0.045 * self.unit * self.who.stature * self.who.girth
        waist, hip = self.body.at(0.2), self.body.at(-0.05)
        spots = [section.spot(turn) for section in (waist, hip) for turn in (-pi / 2, pi / 2)]
        for top, knee, ankle, _ in self.body.legs:
            long = self.who.bottom == "long skirt"
            x, y, _ = between(knee, ankle, 0.65) if long else between(top, knee, 0.85)
            spots += [(x - reach, y), (x + reach, y), (x, y + 0.3 * reach)]
            if long:
                spots += [(knee[0] - reach, knee[1]), (knee[0] + reach, knee[1])]
        outline = _hull(spots)
        self.fill(outline, self.who.bottom_colour)
        fold, low = waist.x + 0.3 * waist.wide, max(y for _, y in outline)
        edge = [(fold, waist.y), (0.35 * fold + 0.65 * max(outline)[0], low)]
        shaded = _hull(edge + [(x, y) for x, y in outline if x > fold])
        self.fill(shaded, _dark(self.who.bottom_colour, 0.86))

    # --------------------------------------------------------------------------------------------------- bags

    def backpack(self) -> None:
        self.part = BAG_PART
        s, u, colour = self.who.stature, self.unit, self.who.bag_colour
        deep = 0.062 * s * self.who.girth
        corners = [
            self.body.seen((x * s, y, z - back))
            for x in (-0.075, 0.075)
            for y, z in (self.body.spine(0.22), self.body.spine(0.95))
            for back in (deep, deep + 0.08 * s)
        ]
        xs, ys = [x for x, _, _ in corners], [y for _, y, _ in corners]
        left, top, right, low = min(xs), min(ys), max(xs), max(ys)
        self.box(left, top, right, low, 0.03 * u, _dark(colour))
        self.box(left, top, right - 0.02 * u, low, 0.03 * u, colour)
        if self.body.cos <= 0:  # seen from behind: a pocket
            inset, high = 0.2 * (right - left), low - top
            pocket = (left + inset, top + 0.5 * high, right - inset, top + 0.88 * high)
            self.box(*pocket, 0.012 * u, _dark(colour, 0.7))

    def shoulder_bag(self) -> None:
        """Paint the strap from left shoulder to right hip, in front and behind, and the bag at the hip."""
        self.part = BAG_PART
        u, colour, dark = self.unit, self.who.bag_colour, _dark(self.who.bag_colour, 0.75)
        for start, end in ((0.8, -1.4), (pi - 0.8, pi + 1.4)):
            spots = []
            for k in range(7):
                section = self.body.at(1.0 - 0.95 * k / 6)
                turn = _wrapped(start + (end - start) * k / 6 + section.delta)
                if abs(turn) <= pi / 2:
                    spots.append(section.spot(turn))
            if len(spots) > 1:
                self.line(spots, 0.02 * u, dark)
        hip = self.body.at(-0.02)
        turn = _wrapped(-pi / 2 + hip.delta)
        if abs(turn) < 2.2:  # else the person hides the bag
            x, y = hip.spot(turn)
            half, high = u * (0.03 + 0.04 * abs(self.body.sin)), 0.05 * u
            self.box(x - half, y - high, x + half, y + high, 0.015 * u, colour)
            self.box(x - half, y - 0.2 * high, x + half, y + 0.05 * high, 0, dark)

    def handbag(self, hand: Point) -> None:
        self.part = BAG_PART
        (x, y, _), u, dark = hand, self.unit, _dark(self.who.bag_colour, 0.75)
        half = u * (0.03 + 0.025 * abs(self.body.sin))
        self.line([(x - 0.6 * half, y + 0.05 * u), (x, y), (x + 0.6 * half, y + 0.05 * u)], FINE, dark)
        self.box(x - half, y + 0.045 * u, x + half, y + 0.125 * u, 0.012 * u, self.who.bag_colour)
        self.box(x - half, y + 0.07 * u, x + half, y + 0.078 * u, 0, dark)

    # --------------------------------------------------------------------------------------------------- head

    def mane(self) -> None:
        """Paint the hair that hangs down the back."""
        self.part = HEAD_PART
        u = self.unit * self.who.stature
        top, end = self.body.on_head(pi, 0.2, 0.45), self.body.on_head(pi, -1.0, 0.6)
        low = (end[0], end[1] + 0.105 * u, 0.056 * u)
        self.fill(_capsule((top[0], top[1], 0.07 * u), low), _dark(self.who.hair_colour, 0.9))

    def head(self) -> None:
        """Paint hair all over the head, and the visible part of the face on it."""
        self.part = HEAD_PART
        who, u, turned = self.who, self.unit * self.who.stature, self.body.head_cos
        (x, y, _), (wide, high) = self.body.head, self.body.head_size
        hair = who.skin if who.hair == "bald" else who.hair_colour
        knot = self.body.on_head(pi, 0.6, 1.2)
        if who.hair == "long" and -0.3 <= turned <= 0.3:
            self.mane()
        if who.hair == "bun" and turned >= -0.3:
            self.disc(knot[0], knot[1], 0.034 * u, 0.034 * u, _dark(hair))
        if who.hair == "curls":
            back = self.body.on_head(pi, 0.5, 0.25)
            self.disc(back[0], back[1], wide + 0.026 * u, high + 0.018 * u, hair)
        self.disc(x, y, wide, high, _dark(hair, 0.88))
        self.disc(x - 0.1 * wide, y - 0.02 * high, 0.9 * wide, 0.96 * high, hair)
        self.face()
        if who.hair == "cap":
            self.cap()
        if who.hair == "long" and turned < -0.3:
            self.mane()
        if who.hair == "bun" and turned < -0.3:
            self.disc(knot[0], knot[1], 0.036 * u, 0.036 * u, _dark(hair))

    def face(self) -> None:
        who, u, on_head = self.who, self.unit * self.who.stature, self.body.on_head
        outline = [on_head(longitude, latitude) for longitude, latitude in FACE]
        if any(near > 0 for _, _, near in outline):
            self.fill([self.on_rim(point) for point in outline], who.skin)
        for ear in FACE_POINTS[3:]:
            x, y, near = on_head(*ear)
            if near > -EAR_BEHIND and who.hair not in ("long", "curls"):
                self.disc(x, y, 0.013 * u, 0.019 * u, _dark(who.skin, 0.9))
        x, y, near = on_head(*FACE_POINTS[0])
        if near > -0.02:  # the tip stands out
            self.disc(x, y, 0.011 * u, 0.014 * u, _dark(who.skin, 0.86))
        for eye in FACE_POINTS[1:3]:
            x, y, near = on_head(*eye)
            if near > 0.012:
                self.disc(x, y, 0.0085 * u, 0.0105 * u, EYE)
        left, right = on_head(-0.28, -0.6), on_head(0.28, -0.6)
        if left[2] + right[2] > 0.03:
            self.line([left[:2], right[:2]], FINE - 1, _dark(LIPS, 0.5 + who.skin[0] / 510))

    def on_rim(self, point: Point) -> Spot:
        """The point itself if it is visible, else the point of the head's silhouette at its height."""
        if point[2] > 0:
            return point[:2]
        (x, y, _), (wide, high) = self.body.head, self.body.head_size
        up = max(-1.0, min(1.0, (point[1] - y) / high))
        return x + (1 if self.body.head_sin > 0 else -1) * wide * (1 - up * up) ** 0.5, point[1]

    def cap(self) -> None:
        (x, y, _), (wide, high), on_head = self.body.head, self.body.head_size, self.body.on_head
        rim = [on_head(-self.body.head_yaw + k * pi / 8, 0.35, 1.04)[:2] for k in range(-4, 5)]
        dome = [(x + 1.04 * wide * cos(k * pi / 8), y - 1.06 * high * sin(k * pi / 8)) for k in range(1, 8)]
        self.fill([*rim, *dome], self.who.accent)
        if self.body.head_cos > -0.5:
            brim = [on_head(-0.9 + 0.3 * k, 0.3, 1.0)[:2] for k in range(7)]
            brim += [on_head(0.75 - 0.3 * k, 0.26, 1.5)[:2] for k in range(6)]
            self.fill(brim, _dark(self.who.accent, 0.75))

    # ------------------------------------------------------------------------------------------------- result

    def drawing(self) -> Drawing:
        small = np.asarray(self.canvas.reduce(FINE))
        picture = np.ascontiguousarray(small[:, :, :3].transpose(2, 0, 1))
        return Drawing(picture, self.keypoints(), (small[None, :, :, 3] > 127).astype(np.uint8))

    def keypoints(self) -> Array:
        """Keypoints (17,3); one is visible if paint of its own body part is on top."""
        found: list[tuple[Point, bool, set[int]]] = []
        for k, place in enumerate(FACE_POINTS):
            point = self.body.on_head(*place)
            found.append((point, point[2] > (0 if k < 3 else -EAR_BEHIND), {HEAD_PART}))
        far = -0.035 * self.who.stature
        for limbs, part, cloth in ((self.body.arms, LEFT_ARM, 1), (self.body.legs, LEFT_LEG, 2)):
            for joint in range(3):
                for side in (0, 1):
                    point, own = limbs[side][joint], {part + side}
                    if joint < cloth and point[2] > far:  # clothes and long hair over a joint do not hide it
                        own |= {TRUNK_PART, HEAD_PART}
                    found.append((point, True, own))
        rows = np.empty((len(KEYPOINTS), 3), np.float32)
        paint, (wide, high) = np.asarray(self.canvas.getchannel(3)), self.canvas.size
        for row, ((x, y, _), turned, parts) in enumerate(found):
            inside = 0 <= x < wide and 0 <= y < high
            clear = turned and inside and 255 - int(paint[int(y), int(x)]) in parts
            rows[row] = (x + 0.5) / FINE - 0.5, (y + 0.5) / FINE - 0.5, 2 if clear else 1
        return rows


def _wrapped(angle: float) -> float:
    """The angle in [-pi, pi)."""
    return (angle + pi) % tau - pi


def _capsule(p: Point, q: Point) -> list[Spot]:
    """The outline of a capsule between two discs (x, y, radius)."""
    (px, py, pr), (qx, qy, qr) = p, q
    x, y = qx - px, qy - py
    length = hypot(x, y)
    x, y = (x / length, y / length) if length else (1.0, 0.0)
    spots = [(px + pr * (x * c - y * s), py + pr * (y * c + x * s)) for c, s in ARC]
    return spots + [(qx - qr * (x * c - y * s), qy - qr * (y * c + x * s)) for c, s in ARC]


def _hull(spots: list[Spot]) -> list[Spot]:
    """The convex hull (Andrew's monotone chain)."""
    ends: list[list[Spot]] = []
    for way in (sorted(spots), sorted(spots, reverse=True)):
        chain: list[Spot] = []
        for x, y in way:
            while len(chain) > 1:
                (ax, ay), (bx, by) = chain[-2:]
                if (bx - ax) * (y - ay) > (by - ay) * (x - ax):
                    break
                chain.pop()
            chain.append((x, y))
        ends.append(chain[:-1])
    return ends[0] + ends[1]


@lru_cache(maxsize=8)
def _house(street: Street, height: int, width: int) -> Image.Image:
    """Paint the house and the pavement, ``FINE`` times as large, with 0 in the fourth channel: nobody."""
    wide, high = width * FINE, height * FINE
    canvas = Image.new("CMYK", (wide, high), (*street.wall, 0))
    pen = ImageDraw.Draw(canvas)
    foot = round(0.78 * high)

    def box(x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        pen.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), fill=(*colour, 0))

    steps = 8  # the light fades downwards
    for k in range(steps):
        box(0, foot * k / steps, wide, foot * (k + 1) / steps, _dark(street.wall, 1.0 - 0.018 * k))
    if street.bricks:
        for k in range(1, 12):
            box(0, foot * k / 12, wide, foot * k / 12 + FINE / 2, _dark(street.wall, 0.9))
    unit = 0.5 * high  # the front of the house repeats after this
    wood, edge = _mixed(street.trim, street.wall, 0.35), _mixed(street.trim, street.wall, 0.1)
    shift = -street.offset * unit
    while shift < wide:
        door, pane = shift + 0.06 * unit, shift + 0.56 * unit
        box(door, 0.2 * high, door + 0.34 * unit, foot, edge)
        box(door + 0.03 * unit, 0.23 * high, door + 0.31 * unit, foot, wood)
        box(pane, 0.2 * high, pane + 0.34 * unit, 0.5 * high, edge)
        box(pane + 0.03 * unit, 0.22 * high, pane + 0.31 * unit, 0.48 * high, GLASS)
        box(pane + 0.16 * unit, 0.22 * high, pane + 0.18 * unit, 0.48 * high, edge)
        shift += unit
    box(0, foot - 0.04 * high, wide, foot, _dark(street.wall, 0.72))
    step = (high - foot) / 4
    for k in range(4):
        box(0, foot + step * k, wide, foot + step * (k + 1), _dark(street.ground, 0.92 + 0.025 * k))
    return canvas
