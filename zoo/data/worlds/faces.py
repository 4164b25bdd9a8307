"""The world of faces: drawn people from any side, in any mood and light, and as emoji.

:func:`draw` draws a face from :func:`parameters` of a (seed, index), :func:`emoji` the cartoon of the same
parameters. Pictures are (3,H,W) uint8. A head is a stack of horizontal ellipses with a realistic profile
(brow, chin, nape), so features move over it as the head turns: the far side disappears behind the silhouette,
the nose stands out, an ear comes into view. A face depends on its parameters alone, so a turned face has
exactly one frontal twin, and an emoji shows the same person in the same mood as its face.

Lengths are in half head heights: ``x`` to the right of the picture, ``y`` down from -1 (crown) to 1 (chin),
``z`` towards the viewer at yaw 0. A positive yaw turns the face to the right of the picture. Left and right
are those of the picture at yaw 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from zoo.data.worlds.heads import CUTS, ROUND, Head, band, between, ellipse, spread
from zoo.data.worlds.paint import FINE, Array, Colour, colours, pixel_centres
from zoo.seeds import mix

Hair = Literal["bald", "buzz", "short", "parted", "fringe", "curls", "bun", "bob", "long"]
Beard = Literal["none", "stubble", "moustache", "goatee", "full"]
Glasses = Literal["none", "round", "square"]
Mood = Literal["neutral", "smiling", "laughing", "sad", "angry", "surprised"]

LANDMARKS = (
    *("left eye", "right eye", "nose tip", "left mouth corner", "right mouth corner"),
    *("left brow", "right brow", "chin", "left ear", "right ear"),
)


@dataclass(frozen=True)
class Person:
    """What all pictures of a person share. Colours are (red, green, blue) from 0 to 255.

    Args:
        number: Number of the identity.
        width: Half width of the head, 0.64 to 0.78.
        jaw: Shape of the jaw, 0 (narrow) to 1 (square).
        chin: How far the chin stands out, -1 to 1.
        skin: Colour.
        hair: Hair style.
        hair_colour: Colour of hair and beard.
        brow: Half thickness of the brows, 0.02 to 0.05.
        eye_size: Half width of an eye, 0.12 to 0.165.
        eye_place: Distance of an eye's centre from the middle of the face, 0.27 to 0.34.
        eye_tilt: Height of the outer corner of an eye above the inner one, -0.04 to 0.05.
        iris: Colour.
        nose_length: How far the tip of the nose stands out, 0.16 to 0.34.
        nose_width: Half width of the nose, 0.11 to 0.19.
        mouth_width: Half width of the mouth, 0.2 to 0.3.
        lips: Half thickness of the lips, 0.04 to 0.085.
        ears: Half height of the ears, 0.17 to 0.25.
        beard: Style of the beard.
        glasses: Style of the glasses.
        shirt: Colour.
    """

    number: int
    width: float
    jaw: float
    chin: float
    skin: Colour
    hair: Hair
    hair_colour: Colour
    brow: float
    eye_size: float
    eye_place: float
    eye_tilt: float
    iris: Colour
    nose_length: float
    nose_width: float
    mouth_width: float
    lips: float
    ears: float
    beard: Beard
    glasses: Glasses
    shirt: Colour


@dataclass(frozen=True)
class Expression:
    """What a mood changes in a face.

    Args:
        mood: Name of the mood.
        smile: How far the corners of the mouth rise, -1 to 1.
        mouth: How far the mouth is open, 0 to 1.
        brows: How far the brows rise, -1 (a frown) to 1.
        eyes: How far the eyes are open, 0.35 to 1.25.
    """

    mood: Mood
    smile: float
    mouth: float
    brows: float
    eyes: float


@dataclass(frozen=True)
class Light:
    """Light and background of a picture.

    Args:
        side: Direction of the light, -1 (from the left of the picture) to 1 (from the right).
        warmth: Colour of the light, -1 (blue) to 1 (orange).
        backdrop: Colour of the background, 0 to 255.
    """

    side: float
    warmth: float
    backdrop: Colour


@dataclass(frozen=True)
class Parameters:
    """Everything that a picture of a face depends on, except yaw and size."""

    person: Person
    expression: Expression
    light: Light


@dataclass(frozen=True)
class Face:
    """A drawn face and its landmarks.

    Args:
        picture: (3,H,W) uint8.
        landmarks: (10,2) float32, x and y in pixels from the picture's corner, in the order of ``LANDMARKS``.
        visible: (10,) bool; a landmark on the far side or under hair is not visible.
    """

    picture: Tensor
    landmarks: Tensor
    visible: Tensor


SKINS = colours("fbdcc4", "f3c9a5", "e9b48c", "dca57c", "c98d62", "b0734a", "95603c", "784a2e", "5c3826")
HAIR = colours("201a1a", "3b2a20", "5d3c26", "8a5a33", "b98a4e", "e2c27c", "b04a24", "9a9a9c", "dcdad4")
IRISES = colours("5a3a22", "7b5430", "4f7a4a", "3f6f9e", "6b8797", "2f2420")
SHIRTS = colours("3f6fae", "b5483f", "4f8a5b", "e0b04a", "6d5a92", "4c5560", "dfe3e8", "c9727f", "2f8c93")
BACKDROPS = colours("cfe0ea", "e9dfcf", "d6e3cf", "dcd3e4", "f0d9cf", "c3cbd6", "e8e8e4", "b9d3d0")
MOODS: dict[Mood, tuple[float, float, float, float]] = {  # smile, mouth, brows, eyes
    "neutral": (0.05, 0.0, 0.0, 0.95),
    "smiling": (0.75, 0.0, 0.2, 0.85),
    "laughing": (0.9, 0.75, 0.35, 0.65),
    "sad": (-0.7, 0.0, 0.3, 0.75),
    "angry": (-0.55, 0.15, -1.0, 0.8),
    "surprised": (0.0, 0.9, 1.0, 1.25),
}


def person(seed: int, number: int) -> Person:
    """Draw the identity ``number`` of the world ``seed``."""
    random = np.random.default_rng(mix("person", seed, number))
    part: list[float] = random.random(16).tolist()

    def among(at: int, low: float, high: float) -> float:
        return low + (high - low) * part[at]

    tone = min(int(part[0] * len(SKINS)), len(SKINS) - 1)
    # dark skins rarely get fair hair; grey and white go with all
    shade = int(part[1] * len(HAIR)) if tone < 4 else (0, 0, 0, 1, 1, 2, 7, 8)[int(part[1] * 8)]
    styles, bearded = get_args(Hair), part[2] < 0.3
    style = styles[int(part[3] * 6)] if bearded else styles[int(part[3] * len(styles))]
    return Person(
        number=number,
        width=among(4, 0.64, 0.78),
        jaw=among(5, 0, 1),
        chin=among(6, -1, 1),
        skin=_mixed(SKINS[tone], SKINS[max(tone - 1, 0)], 0.5 * part[7]),
        hair=style,
        hair_colour=HAIR[shade],
        brow=among(8, 0.02, 0.05),
        eye_size=among(9, 0.12, 0.165),
        eye_place=among(10, 0.27, 0.34),
        eye_tilt=among(11, -0.04, 0.05),
        iris=IRISES[int(part[12] * len(IRISES))] if tone < 5 else IRISES[(0, 1, 5)[int(part[12] * 3)]],
        nose_length=among(13, 0.16, 0.34),
        nose_width=among(14, 0.11, 0.19),
        mouth_width=among(15, 0.2, 0.3),
        lips=0.04 + 0.045 * float(random.random()),
        ears=0.17 + 0.08 * float(random.random()),
        beard=get_args(Beard)[1 + int(random.random() * 4)] if bearded else "none",
        glasses=("none", "none", "none", "round", "square")[int(random.random() * 5)],
        shirt=SHIRTS[int(random.random() * len(SHIRTS))],
    )


def expression(seed: int, index: int) -> Expression:
    """Draw the expression ``index`` of the world ``seed``: one of six moods, at 70 to 100 % strength."""
    random = np.random.default_rng(mix("expression", seed, index)).random
    mood: Mood = get_args(Mood)[int(random() * 6)]
    much = 0.7 + 0.3 * random()
    still = MOODS["neutral"]
    smile, mouth, brows, eyes = (a + (b - a) * much for a, b in zip(still, MOODS[mood], strict=True))
    return Expression(mood, smile, mouth, brows, eyes)


def light(seed: int, index: int) -> Light:
    """Draw the light and background ``index`` of the world ``seed``."""
    random = np.random.default_rng(mix("light", seed, index)).random
    backdrop = BACKDROPS[int(random() * len(BACKDROPS))]
    return Light(2 * random() - 1, 2 * random() - 1, backdrop)


def parameters(seed: int, index: int) -> Parameters:
    """Draw the parameters ``index`` of the world ``seed``: a person, an expression and a light."""
    return Parameters(person(seed, index), expression(seed, index), light(seed, index))


def draw(shown: Parameters, yaw: float = 0.0, size: int = 64) -> Face:
    """Draw a face.

    Args:
        shown: What to draw; :func:`parameters` gives it for a (seed, index).
        yaw: Turn in degrees, -90 (to the left of the picture) to 90; 0 is the frontal view.
        size: Side in pixels, at least 16; the same face at every size.
    """
    if not -90 <= yaw <= 90:
        raise ValueError(f"yaw is {yaw}, outside of -90 to 90 degrees")
    painter = _Portrait(shown, yaw, size)
    painter.paint()
    points, seen = painter.landmarks()
    return Face(torch.from_numpy(painter.shaded()), torch.from_numpy(points), torch.from_numpy(seen))


def emoji(shown: Parameters, size: int = 64) -> Tensor:
    """Draw the cartoon of the same parameters, (3,H,W) uint8: frontal, flat, thick contours, on white."""
    painter = _Emoji(shown, size)
    painter.paint()
    return torch.from_numpy(np.ascontiguousarray(painter.pixels()[..., :3].transpose(2, 0, 1)))


EYES, BROWS, NOSE, MOUTH = 0.06, -0.17, 0.36, 0.62  # y of the features' centres
ACROSS, WAY = np.linspace(-1, 1, 11), np.linspace(-1, 1, 9)
BOW, BEND = 1 - ACROSS**2, 1 - WAY**2
SIDES = np.array([[-1.0], [1.0]])  # most pairs are computed as one array, one row for left and one for right
CHEEKS = 0.4 * SIDES + ellipse(0, 0.36, 0.17, 0.11)
DISCS = np.array([[0.5], [0.24]]) * ROUND  # iris and pupil in half eye widths
LIDS = np.interp(DISCS.real, WAY, BEND)  # height of the lids over each point of these discs
SEEN = np.linspace(-math.pi / 2, math.pi / 2, 41)  # the visible half of a head, as angles from its middle


def _mixed(one: Colour, other: Colour, share: float) -> Colour:
    """Blend two colours; ``share`` is that of the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _lit(colour: Colour, factor: float) -> Colour:
    """Multiply a colour by a brightness, at most to 255."""
    red, green, blue = (min(255, round(value * factor)) for value in colour)
    return red, green, blue


class _Painter:
    """Common base of portrait and emoji: a canvas in head units, and the outlines of the frontal view.

    Args:
        shown: What to draw.
        yaw: Turn in degrees.
        size: Side of the picture in pixels.
        backdrop: Colour of the canvas.
        scale: Half a head height as a share of the picture's side.
        height: Height of the head's middle as a share of the picture's side.
    """

    def __init__(
        self, shown: Parameters, yaw: float, size: int, backdrop: Colour, scale: float, height: float
    ) -> None:
        self.who, self.mood, self.light = shown.person, shown.expression, shown.light
        self.yaw, self.size = yaw, size
        self.side, self.backdrop = size * FINE, backdrop
        self.unit, self.origin = scale * self.side, complex(0.5 * self.side, height * self.side)
        self.shapes: list[tuple[Array, Colour, float, bool]] = []
        build = (self.who.width, self.who.jaw, self.who.chin)
        self.head = Head(*build, yaw)
        self.hair = self.who.hair_colour
        self.cut = CUTS.get(self.who.hair)
        if self.cut is not None:
            self.shell = shell = Head(*build, yaw, self.cut.shell, self.cut.long > 0)
            width, _, depth = shell.row(-0.3)
            centre = math.atan2(-shell.sin * depth, shell.cos * width)
            self.angle = centre + SEEN
            self.lower = self.cut.lower(self.angle)
            self.edge = shell.outline(float(self.lower[0]), float(self.lower[-1]))

    def fill(self, points: Array, colour: Colour) -> None:
        """Paint a closed outline."""
        self.shapes.append((points, colour, 0.0, True))

    def stroke(self, points: Array, colour: Colour, width: float, closed: bool = False) -> None:
        """Paint a line; ``width`` is in head units."""
        self.shapes.append((points, colour, width, closed))

    def pixels(self) -> Array:
        """Rasterize all shapes: (H,W,4) uint8, the fourth channel unused. All points are scaled at once."""
        image = Image.new("RGB", (self.side, self.side), self.backdrop)
        pen, start = ImageDraw.Draw(image), 0
        places = np.concatenate([shape[0] for shape in self.shapes]) * self.unit + self.origin
        flat: list[float] = places.view(np.float64).tolist()
        for points, colour, width, closed in self.shapes:
            end = start + 2 * len(points)
            if width:
                line = flat[start:end] + (flat[start : start + 4] if closed else [])
                pen.line(line, colour, max(1, round(width * self.unit)))
            else:
                pen.polygon(flat[start:end], colour)
            start = end
        small = image.reduce(FINE).tobytes("raw", "RGBX")
        return np.frombuffer(small, np.uint8).reshape(self.size, self.size, 4)

    def brows(self) -> Array:
        """Outlines (2,18) of both brows; anger lowers the inner ends, sadness the outer ones."""
        inner, up = -WAY * SIDES, self.mood.brows  # 1 at the inner end
        rise = 0.1 * up * (0.35 + 0.65 * inner) if up < 0 else 0.08 * up
        y = BROWS - rise + 0.05 * WAY**2 - (0.06 * inner if self.mood.mood == "sad" else 0)
        x = SIDES * self.who.eye_place + WAY * self.who.eye_size * 1.2
        return band(x + 1j * y, self.who.brow * (0.75 + 0.35 * inner))

    def lids(self) -> tuple[Array, Array]:
        """Upper and lower edges (2,9) of both eyes."""
        half = self.who.eye_size
        high = 0.52j * half * self.mood.eyes * BEND
        line = SIDES * self.who.eye_place + half * WAY + 1j * (EYES - self.who.eye_tilt * WAY * SIDES)
        return line - high, line + 0.75 * high

    def mouth(self) -> tuple[Array, Array, Array]:
        """Upper and lower edge of the mouth's opening, and the thickness of the lips along it, each (11,)."""
        mood, smile = self.mood, max(self.mood.smile, 0)
        half = self.who.mouth_width * (1 + 0.16 * smile) * (1 - 0.25 * mood.mouth * (1 - smile))
        line = half * ACROSS + 1j * (MOUTH - 0.11 * mood.smile * ACROSS**2)
        gap = 0.16 * mood.mouth * BOW
        return line - 0.4j * gap, line + 1j * gap, self.who.lips * (1 - 0.4 * mood.mouth) * np.sqrt(BOW)

    def beard(self) -> list[Array]:
        """Outlines of the beard; the mouth is painted over them."""
        who, shapes = self.who, []
        if who.beard in ("full", "stubble"):
            y = np.linspace(0.12, 0.999, 14)
            edge = self.head.rows(y)[0]
            top = -ACROSS * edge[0] + 1j * (0.5 - 0.38 * np.abs(ACROSS) ** 3)
            shapes.append(np.concatenate([1j * y - edge, (edge + 1j * y)[::-1], top]))
        if who.beard == "goatee":
            shapes.append(ellipse(0, 0.79, 0.24, 0.2))
        if who.beard in ("full", "goatee", "moustache"):
            line = WAY * (who.mouth_width + 0.04) + 1j * (0.51 + 0.09 * WAY**2)
            shapes.append(band(line, 0.055 * (1.15 - WAY**2)))
        return shapes


class _Portrait(_Painter):
    """The shaded picture of a face, from any side."""

    def __init__(self, shown: Parameters, yaw: float, size: int) -> None:
        super().__init__(shown, yaw, size, shown.light.backdrop, scale=0.32, height=0.49)
        skin = self.who.skin
        self.shade, self.deep = _lit(skin, 0.88), _lit(skin, 0.74)
        self.lip = _mixed(_lit(skin, 0.84), (190, 60, 70), 0.42)
        self.waiting: list[tuple[Array, Colour, float, float, int]] = []

    def paint(self) -> None:
        """Paint everything from back to front."""
        away = [at for at, side in enumerate((-1, 1)) if side * self.yaw >= 0]
        near = [at for at in (0, 1) if at not in away]
        self.behind()
        self.body()
        ears = self.ears()
        for side in away:
            self.ear(ears[side])
        self.fill(self.head.outline(1, 1), self.who.skin)
        self.features()
        self.crown()
        for side in near:
            if not (self.cut and self.cut.long):
                self.ear(ears[side])
        self.glasses()

    def behind(self) -> None:
        """Paint the hair behind the neck."""
        if self.cut is None:
            return
        self.fill(self.edge, _lit(self.hair, 0.78))
        if self.who.hair == "bun":
            self.fill(ellipse(self.shell.view(0.0, -0.42), -1.08, 0.3, 0.27), _lit(self.hair, 0.9))

    def body(self) -> None:
        """Paint neck, shoulders and collar; they turn with the head."""
        sin, cos = self.head.sin, self.head.cos
        y, half, deep, z = _body()
        body = z * sin + half * np.hypot(cos, deep * sin) + 1j * y
        self.fill(body[:8], self.deep)
        self.fill(body[8:20], self.who.shirt)
        self.fill(body[20:], self.deep)

    def ears(self) -> Array:
        """Outlines (2,2,14): for each ear a disc that stands off the head, and a smaller one in it."""
        width, high = self.head.row(0.16)[0], self.who.ears
        disc = np.array([[1.0], [0.55]]) * ROUND
        x = SIDES[:, None] * (width + 0.04 - 0.07 * disc.real)
        z = 0.62 * high * (disc.real - 0.2) - 0.02
        ears: Array = self.head.view(x, z) + 1j * (0.16 + high * disc.imag)
        return ears

    def ear(self, discs: Array) -> None:
        """Paint one ear."""
        self.fill(discs[0], self.who.skin)
        self.fill(discs[1], self.shade)

    def features(self) -> None:
        """Paint cheeks, beard, mouth, eyes, brows and nose onto the head, and place the landmarks."""
        who, skin = self.who, self.who.skin
        blush = _mixed(skin, (226, 110, 100), 0.13)
        for at in (0, 1):
            self.put(CHEEKS[at], blush, side=at)
        for shape in self.beard():
            share = 0.28 if who.beard == "stubble" else 0.88
            self.put(shape, _mixed(skin, _lit(self.hair, 0.92), share), 0.02)
        high, low, thick = self.mouth()
        self.put(between(low, low + 1.15j * thick), self.lip, 0.035)
        self.put(between(high - 1j * thick, high), _lit(self.lip, 0.9), 0.045)
        if self.mood.mouth > 0.1:
            self.put(between(high, low), (88, 30, 34), 0.02)
            teeth = high.real + 1j * np.minimum(low.imag, high.imag + 0.055)
            self.put(between(high, teeth), (244, 240, 234), 0.025)
        else:
            self.put(high, _lit(self.lip, 0.62), 0.04, 0.028)
        brows = self.brows()
        self.eyes(brows)
        inner = who.eye_place - who.eye_size
        named = [*((brows[:, 4] + brows[:, 13]) / 2).tolist(), 0.97j, -inner + 1j * EYES, inner + 1j * EYES]
        eyes = [-who.eye_place + 1j * EYES, who.eye_place + 1j * EYES]
        self.flush(np.array([*eyes, complex(high[0]), complex(high[-1]), *named]))
        self.nose()

    def put(
        self, points: Array, colour: Colour, lift: float = 0.0, width: float = 0.0, side: int = 2
    ) -> None:
        """Queue an outline of the frontal view, or with a ``width`` a line, for :meth:`flush`.

        Args:
            points: Points of the frontal view.
            colour: Colour of the shape.
            lift: Distance above the surface of the head.
            width: Width of the line in head units; 0 fills the outline.
            side: 0 or 1 for a shape of the left or right half, which is painted only if the inner corner of
                that eye is visible; 2 for a shape that is always painted.
        """
        self.waiting.append((points, colour, lift, width, side))

    def flush(self, named: Array) -> None:
        """Project the queue and the landmarks onto the head in one call (ten times as fast), and paint it."""
        shapes = [shape[0] for shape in self.waiting]
        lengths = [len(shape) for shape in shapes]
        lifts = np.repeat([*(shape[2] for shape in self.waiting), 0.0], [*lengths, len(named)])
        places, seen = self.head.on(np.concatenate([*shapes, named]), lifts)
        self.placed, self.seen = places[-len(named) :].tolist(), seen[-len(named) :].tolist()
        shown, end = (*self.seen[-2:], True), 0
        for length, (_, colour, _, width, side) in zip(lengths, self.waiting, strict=True):
            start, end = end, end + length
            if shown[side]:
                self.shapes.append((places[start:end], colour, width, False))

    def eyes(self, brows: Array) -> None:
        """Queue eyes and brows; the lids cut iris and pupil."""
        who, half = self.who, self.who.eye_size
        upper, lower = self.lids()
        sockets = SIDES * who.eye_place + ellipse(0, EYES - 0.01, 1.25 * half, 0.8 * half)
        tilt, high = EYES - who.eye_tilt * DISCS.real * SIDES[:, None], 0.52 * half * self.mood.eyes * LIDS
        y = np.minimum(np.maximum(EYES + half * DISCS.imag, tilt - high), tilt + 0.75 * high)
        discs = SIDES[:, None] * who.eye_place + half * DISCS.real + 1j * y
        line, ink = _lit(self.deep, 0.45), _lit(_mixed(self.hair, (60, 40, 30), 0.35), 0.8)
        for side in (0, 1):
            self.put(sockets[side], self.shade, side=side)
            self.put(between(upper[side], lower[side]), (250, 248, 245), side=side)
            self.put(discs[side, 0], who.iris, side=side)
            self.put(discs[side, 1], (22, 18, 18), side=side)
            self.put(upper[side], line, 0.01, 0.035, side)
            self.put(brows[side], ink, 0.02, side=side)

    def nose(self) -> None:
        """Paint both sides and the underside of the nose; a side that faces away is left out."""
        who, view, skin, length = self.who, self.head.view, self.who.skin, self.who.nose_length
        top, middle, low = (sum(self.head.row(y)[1:]) for y in (0.0, NOSE, 0.47))
        tip = middle + length
        heights = (-0.03, 0.1, NOSE - 0.05, NOSE, NOSE + 0.05)
        depths = (top, top + 0.16 * length, tip - 0.02, tip, tip - 0.03)
        ridge = [complex(view(0.0, z), y) for y, z in zip(heights, depths, strict=True)]
        self.tip = ridge[3]
        wing_z = middle - 0.04 + 0.3 * length
        wings = {side: complex(view(side * who.nose_width, wing_z), NOSE + 0.05) for side in (-1, 1)}
        base = complex(view(0.0, low + 0.01), 0.47)
        far = 1 if self.yaw > 0 else -1
        self.fill(np.array([wings[-1], ridge[4], wings[1], base]), self.deep)
        for side in (far, -far):
            shape = [*ridge, wings[side], complex(view(0.6 * side * who.nose_width, wing_z), NOSE - 0.1)]
            area = sum((one.conjugate() * two).imag for one, two in pairwise([*shape, shape[0]]))
            if side * area < 0:
                bright = 0.06 * side * self.light.side * self.head.cos
                self.fill(np.array(shape), _lit(skin, 0.98 + bright))
        for side in (-1, 1):
            if side != far or abs(self.yaw) < 40:
                hole = 0.55 * wings[side] + 0.45 * ridge[4] + 0.02j
                self.fill(ellipse(hole.real, hole.imag, 0.04, 0.02), _lit(self.deep, 0.7))

    def crown(self) -> None:
        """Paint the hair in front of the head, from its lower edge up."""
        if self.cut is None:
            return
        shell, cut, edge = self.shell, self.cut, self.edge
        if cut.curls:
            line = shell.around(self.angle, self.lower)
            places = np.concatenate([spread(edge, 17), line[5:-5:5] - 0.05j])
            for curl in places[:, None] + ellipse(0, 0, 0.8 * cut.curls, 0.8 * cut.curls):
                self.fill(curl, self.hair)
            self.fill(np.concatenate([line, edge]), self.hair)
            return
        shine = self.angle[20] + self.light.side * 0.5 + 0.45 * WAY
        heights = np.concatenate([self.lower, -0.78 - 0.06 * BEND])
        places = shell.around(np.concatenate([self.angle, shine]), heights)
        self.fill(np.concatenate([places[: len(SEEN)], edge]), self.hair)
        self.fill(band(places[len(SEEN) :], 0.035 * BEND), _mixed(self.hair, (255, 250, 240), 0.16))

    def glasses(self) -> None:
        """Paint the frames, and the arm to the visible ear."""
        who, head = self.who, self.head
        if who.glasses == "none":
            return
        frame, ink, width = 0.235, (52, 46, 50), 0.045
        place, front = max(who.eye_place, frame + 0.04), sum(head.row(EYES)[1:]) + 0.06
        for side in (-1, 1):
            rim = _rim(who.glasses) * frame + (side * place + 1j * (EYES + 0.02))
            x = head.view(rim.real, front - 0.28 * np.abs(rim.real) ** 1.5)
            self.stroke(x + 1j * rim.imag, ink, width, closed=True)
            if side * self.yaw <= 0:
                outer = side * (place + frame)
                hinge = head.view(outer, front - 0.28 * abs(outer) ** 1.5)
                end = head.view(side * head.row(0.0)[0], -0.05)
                self.stroke(np.array([hinge + 0.03j, end + 0.04j]), ink, width)
        ends = [head.view(side * (place - frame), front) + 1j * EYES for side in (-1, 1)]
        self.stroke(np.array(ends), ink, width)

    def shaded(self) -> Array:
        """The picture (3,H,W) uint8 with its light."""
        pixels, line, side = self.pixels(), pixel_centres(self.size), self.light.side
        x, y = line[None, :], line[:, None]
        width, middle, depth = self.head.row(0.1)
        half = 1.15 * math.hypot(width * self.head.cos, depth * self.head.sin)
        across = np.minimum(np.maximum(((x - 0.5) / 0.32 - middle * self.head.sin) / half, -1.25), 1.25)
        squared = across * across
        body = 1.0 + 0.12 * side * across - 0.09 * squared * squared + 0.08 * (0.5 - y)
        wall = 1 + 0.08 * side * (2 * x - 1) + 0.1 * (0.4 - y)
        red, green, blue = self.backdrop
        behind = pixels.view("<u4")[..., 0] & 0xFFFFFF == red | green << 8 | blue << 16
        lit: Array = np.ascontiguousarray(pixels[..., :3].transpose(2, 0, 1)) * np.where(behind, wall, body)
        warm = 0.05 * self.light.warmth
        lit *= np.array([1 + warm, 1, 1 - warm], np.float32)[:, None, None]
        lit += 0.5
        return np.minimum(lit, 255, out=lit).astype(np.uint8)

    def landmarks(self) -> tuple[Array, Array]:
        """Landmarks (10,2) float32 in pixels and whether each is visible; call it after :meth:`paint`."""
        head, placed, seen = self.head, self.placed, self.seen
        width = head.row(0.16)[0] + 0.04
        ears = [head.view(side * width, -0.05) + 0.16j for side in (-1, 1)]
        points = np.array([*placed[:2], self.tip, *placed[2:7], *ears]) * self.unit + self.origin
        bare = not (self.cut and self.cut.long)
        listen = [bare and side * self.yaw <= 10 for side in (-1, 1)]
        places = (points.view(np.float64).reshape(-1, 2) / FINE).astype(np.float32)
        return places, np.array([*seen[:2], True, *seen[2:7], *listen])


@lru_cache(maxsize=1)
def _body() -> Array:
    """Points of neck, shirt and collar: y, half width (negative on the left), share of depth, z."""
    pieces = (
        ((0.3, 0.9, 1.15, 1.3), (0.36, 0.36, 0.38, 0.46), 1.0, (-0.28, -0.3, -0.34, -0.36)),
        ((1.18, 1.22, 1.3, 1.42, 1.6, 2.0), (0.36, 0.5, 0.84, 1.06, 1.18, 1.25), 0.66, (-0.36,) * 6),
        ((1.1, 1.2, 1.3, 1.4), (0.28, 0.3, 0.2, 0.02), 1.0, (-0.34, -0.34, -0.24, -0.12)),
    )
    left = [np.array([y, np.negative(half), [deep] * len(y), z]) for y, half, deep, z in pieces]
    mirror = np.array([[1.0], [-1.0], [1.0], [1.0]])
    return np.concatenate([part for one in left for part in (one, mirror * one[:, ::-1])], 1)


class _Emoji(_Painter):
    """The cartoon of a face."""

    INK = (46, 34, 36)

    def __init__(self, shown: Parameters, size: int) -> None:
        super().__init__(shown, 0.0, size, (255, 255, 255), scale=0.355, height=0.545)

    def shape(self, points: Array, colour: Colour) -> None:
        """Paint a closed outline and its contour."""
        self.fill(points, colour)
        self.stroke(points, self.INK, 0.075, closed=True)

    def paint(self) -> None:
        """Paint everything from back to front."""
        who, head, skin, cut = self.who, self.head, self.who.skin, self.cut
        if who.hair == "bun":
            self.shape(ellipse(0, -1.1, 0.32, 0.28), self.hair)
        if cut is not None and (cut.long or cut.curls):
            low = min(cut.long or 0.3, 1.05)
            curtain = (1.1 if cut.long else 1.0) * self.shell.outline(low, low)
            colour = _lit(self.hair, 0.8) if cut.long else self.hair
            edges = [curtain]
            if cut.curls:
                edges += list(spread(curtain, 17)[:, None] + ellipse(0, 0, 0.2, 0.2))
            for edge in edges:
                self.stroke(edge, self.INK, 0.15, closed=True)
            for edge in edges:
                self.fill(edge, colour)
        for side in (-1, 1):
            if not (cut and cut.long):
                self.shape(ellipse(side * (who.width + 0.02), 0.16, 0.6 * who.ears, who.ears), skin)
        face = head.outline(1, 1)
        self.fill(face, skin)
        for side in (-1, 1):
            self.fill(ellipse(side * 0.43, 0.42, 0.16, 0.1), _mixed(skin, (235, 95, 95), 0.35))
        for beard in self.beard():
            self.fill(beard, _mixed(skin, self.hair, 0.35 if who.beard == "stubble" else 1))
        self.stroke(face, self.INK, 0.075, closed=True)
        self.features()
        if cut is not None:
            line = self.shell.around(self.angle, self.lower)
            self.shape(np.concatenate([line, self.edge]), self.hair)
        if who.glasses != "none":
            frame = 0.27
            for side in (-1, 1):
                rim = _rim(who.glasses) * frame + (side * 0.33 + 1j * (EYES + 0.01))
                self.stroke(rim, (30, 30, 34), 0.075, closed=True)
            self.stroke(np.array([-0.06 + 1j * EYES, 0.06 + 1j * EYES]), (30, 30, 34), 0.075)

    def features(self) -> None:
        """Paint eyes, brows, nose and mouth."""
        who, mood = self.who, self.mood
        brows, uppers = self.brows(), self.lids()[0]
        for at, side in enumerate((-1, 1)):
            place = complex(side * 0.33, EYES)
            if mood.mood == "laughing":  # eyes are arcs
                upper = 1.25 * (uppers[at] - side * who.eye_place - 1j * EYES) + place
                self.stroke(upper - 0.06j * BEND + 0.03j, self.INK, 0.09)
            else:
                white = place + 0.17 * ROUND.real + 0.17j * mood.eyes * ROUND.imag
                self.fill(white, (255, 255, 255))
                self.stroke(white, self.INK, 0.045, closed=True)
                self.fill(ellipse(place.real, EYES + 0.02, 0.1, min(0.1, 0.15 * mood.eyes)), who.iris)
                self.fill(ellipse(place.real, EYES + 0.02, 0.05, 0.05), (20, 16, 18))
            brow = brows[at] + (side * (0.33 - who.eye_place) - 0.04j)
            self.fill(band((brow[:9] + brow[:8:-1]) / 2, 0.02 + who.brow), _lit(self.hair, 0.7))
        width = who.nose_width
        nose = 1.1 * width * ACROSS + 1j * (NOSE + 0.02 + (0.02 + 0.25 * who.nose_length) * BOW)
        self.stroke(nose, _lit(who.skin, 0.62), 0.07)
        high, low, thick = self.mouth()
        if mood.mouth > 0.1:
            self.shape(between(high, low + 0.06j * BOW), (150, 40, 48))
            teeth = high.real + 1j * np.minimum(low.imag, high.imag + 0.08 * np.sqrt(BOW))
            self.fill(between(high, teeth), (255, 255, 255))
        else:
            self.fill(band(high, 0.8 * thick), _mixed(_lit(who.skin, 0.8), (200, 60, 70), 0.5))
            self.stroke(high, self.INK, 0.06)


@lru_cache(maxsize=2)
def _rim(glasses: Glasses) -> Array:
    """The frame of one glass around 0, of half width 1."""
    if glasses == "round":
        shape: Array = ROUND.real + 0.92j * ROUND.imag
        return shape
    return np.array([-1 - 0.75j, 1 - 0.75j, 0.92 + 0.7j, 0.7 + 0.85j, -0.7 + 0.85j, -0.92 + 0.7j])
