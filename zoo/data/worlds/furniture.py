"""A world of furniture: chairs, tables, beds and sofas as filled cells of a cube, with their class.

Everything is a function of (seed, index). An object is put together from parts as a joiner would do it (legs
of seven kinds, solid, slatted and laddered backs, arms, cushions, shelves, drawers, headboards, posts), and
the parts of one object agree in strength and shape. Cells are ``voxels[x, y, z]`` with ``z`` upwards; an
object faces -x, which is how the aligned chairs of ModelNet stand, and it may be turned about the vertical in
twelve steps of 30 degrees, as the volumes that 3D-GAN (https://arxiv.org/abs/1610.07584) trained on. Each
object is one connected piece that stands on the floor, ``floor(size)`` cells above the bottom of the cube.
Lengths are in units of the cube's side; ``x`` and ``y`` are 0 in the middle.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]

CLASSES = ("chair", "table", "bed", "sofa")
TURNS = 12


@dataclass(frozen=True)
class Furniture:
    """One object.

    Args:
        voxels: (size, size, size) uint8 of 0 and 1: ``[x, y, z]``.
        label: An index into ``CLASSES``.
        turn: Steps of 30 degrees that it is turned, counter-clockwise seen from above.
        parts: What it is made of, in a few words, such as ``round legs`` or ``slatted back``.
    """

    voxels: Tensor
    label: int
    turn: int
    parts: tuple[str, ...]


def draw(seed: int, index: int, size: int = 32, turned: bool = False) -> Furniture:
    """Draw object ``index`` of the world ``seed``.

    Args:
        seed: Of the world, not negative.
        index: Of the object, not negative.
        size: Cells of each side, at least 24; the same object at every size, but nothing thinner than a cell.
        turned: Turn the object by any of twelve steps; otherwise it faces -x.
    """
    random = np.random.default_rng((seed, index)).random
    label, chance = int(random() * len(CLASSES)), random()  # drawn anyway: the same object, turned or not
    turn = int(chance * TURNS) if turned else 0
    joiner = _Joiner(random, size, turn)
    (_chair, _table, _bed, _sofa)[label](joiner)
    return Furniture(torch.from_numpy(joiner.cells.view(np.uint8)), label, turn, tuple(joiner.parts))


def floor(size: int) -> int:
    """Empty layers below every object in a cube of ``size`` cells."""
    return size // 16


@lru_cache(maxsize=64)
def _plan(size: int, turn: int) -> tuple[Array, Array]:
    """The object's own x and y at the middle of each column of cells."""
    line = ((np.arange(size) + 0.5) / size - 0.5).astype(np.float32)
    angle = turn * 2 * math.pi / TURNS
    cosine, sine = math.cos(angle), math.sin(angle)
    x, y = line[:, None], line[None, :]
    return cosine * x + sine * y, cosine * y - sine * x


class _Joiner:
    """Fills cells; every part is at least so thick that it stays whole and in touch, however it is turned."""

    def __init__(self, random: Callable[[], float], size: int, turn: int) -> None:
        self.random = random
        self.size = size
        self.x, self.y = _plan(size, turn)
        self.cells = np.zeros((size, size, size), bool)
        self.parts: list[str] = []
        # A turned bar of this width holds a chain of cells that share faces.
        self.least = (1.0 if turn % 3 == 0 else 1.42) / size / 2

    # ------------------------------------------------------------------------------------------------- chance

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.random()

    def pick(self, **chances: float) -> str:
        """One of the names, each with its share of chance; the name joins the object's parts."""
        at = self.random() * sum(chances.values())
        edges = zip(chances, accumulate(chances.values()), strict=True)
        name = next(name for name, edge in edges if at <= edge).replace("_", " ")
        if not name.startswith("no "):
            self.parts.append(name)
        return name

    # ------------------------------------------------------------------------------------------------- shapes

    def layers(self, z0: float, z1: float) -> slice:
        """Layers between two heights, at least one."""
        bottom = floor(self.size) + round(z0 * self.size)
        return slice(bottom, max(floor(self.size) + round(z1 * self.size), bottom + 1))

    def fill(self, inside: Array, z0: float, z1: float) -> None:
        """Fill a plan (size, size) between two heights."""
        self.cells[:, :, self.layers(z0, z1)] |= inside[:, :, None]

    def box(self, x0: float, x1: float, y0: float, y1: float, z0: float, z1: float) -> None:
        """An upright box, at least as thick as parts must be."""
        inside = np.abs(self.x - (x0 + x1) / 2) <= max((x1 - x0) / 2, self.least)
        inside &= np.abs(self.y - (y0 + y1) / 2) <= max((y1 - y0) / 2, self.least)
        self.fill(inside, z0, z1)

    def disc(self, x: float, y: float, rx: float, ry: float, z0: float, z1: float) -> None:
        """An upright round or oval column."""
        rx, ry = max(rx, 1.42 * self.least), max(ry, 1.42 * self.least)
        self.fill(((self.x - x) / rx) ** 2 + ((self.y - y) / ry) ** 2 <= 1, z0, z1)

    def leaning(self, at: Place, z0: float, z1: float, dx: float, dy: float = 0.0) -> None:
        """A post whose top is moved by (dx, dy) against its foot."""
        layers = self.layers(z0, z1)
        count = layers.stop - layers.start
        up = np.linspace(0, 1, count, dtype=np.float32)
        step = 1 / max(count - 1, 1) / 2  # each layer must rest on the one below
        half_x, half_y = (
            max(at.wx / 2, self.least) + abs(dx) * step,
            max(at.wy / 2, self.least) + abs(dy) * step,
        )
        inside = np.abs(self.x[:, :, None] - at.x - dx * up) <= half_x
        inside &= np.abs(self.y[:, :, None] - at.y - dy * up) <= half_y
        self.cells[:, :, layers] |= inside

    # ------------------------------------------------------------------------------------------ parts of many

    def top(self, shape: str, plan: Plan, z0: float, z1: float) -> None:
        """A seat or a table top."""
        if shape == "round":
            self.disc(plan.x, plan.y, plan.rx, plan.ry, z0, z1)
        else:
            self.box(plan.x - plan.rx, plan.x + plan.rx, plan.y - plan.ry, plan.y + plan.ry, z0, z1)

    def legs(self, kind: str, plan: Plan, height: float, w: float) -> None:
        """What carries a top: its feet stand below ``plan`` (or within it where the legs are three)."""
        w = max(w, 2 * self.least)
        x, y, rx, ry = plan
        ix, iy = rx - w / 2, ry - w / 2  # where the corner legs stand
        corners = [(x + sx * ix, y + sy * iy) for sx in (-1, 1) for sy in (-1, 1)]
        if kind == "square legs":
            for px, py in corners:
                self.box(px - w / 2, px + w / 2, py - w / 2, py + w / 2, 0, height)
        elif kind == "round legs":
            for px, py in corners:
                self.disc(px, py, 0.6 * w, 0.6 * w, 0, height)
        elif kind == "splayed legs":
            out = min(0.05, 0.25 * height)
            for px, py in corners:
                dx, dy = math.copysign(out, px - x), math.copysign(out, py - y)
                self.leaning(Place(px, py, w, w), 0, height, -dx, -dy)
        elif kind == "three legs":
            for k in range(3):
                px, py = math.cos(k * 2.0944) * ix, math.sin(k * 2.0944) * iy
                self.leaning(Place(x + 0.8 * px, y + 0.8 * py, w, w), 0, height, -0.2 * px, -0.2 * py)
        elif kind == "pedestal":
            self.disc(x, y, 0.75 * w, 0.75 * w, 0, height)
            foot = 0.62 * min(rx, ry) + 0.02
            self.disc(x, y, foot, foot, 0, 0.035)
        elif kind == "star foot":
            self.disc(x, y, 0.6 * w, 0.6 * w, 0, height)
            self.box(x - 0.85 * rx, x + 0.85 * rx, y - w / 2, y + w / 2, 0, 0.04)
            self.box(x - w / 2, x + w / 2, y - 0.85 * ry, y + 0.85 * ry, 0, 0.04)
        elif kind == "runners":
            for side in (-1, 1):
                edge = y + side * iy
                self.box(x - rx, x + rx, edge - w / 2, edge + w / 2, 0, 0.035)
            for px, py in corners:
                self.box(px - w / 2, px + w / 2, py - w / 2, py + w / 2, 0, height)
        elif kind == "side boards":
            for side in (-1, 1):
                edge = y + side * iy
                self.box(x - 0.9 * rx, x + 0.9 * rx, edge - w / 2, edge + w / 2, 0, height)
        elif kind == "crossed legs":
            for side in (-1, 1):
                for way in (-1, 1):
                    self.leaning(Place(x - way * ix, y + side * iy, w, w), 0, height, 2 * way * ix)
        else:
            self.top("square", plan, 0, height)

    def bars(self, kind: str, plan: Plan, z: float, w: float) -> None:
        """Bars between corner legs."""
        w = max(w, 2 * self.least)
        x, y, rx, ry = plan
        ix, iy = rx - w / 2, ry - w / 2
        if kind == "H bars":
            self.box(x - w / 2, x + w / 2, y - ry, y + ry, z, z + 0.03)
        for side in (-1, 1):
            self.box(x - rx, x + rx, y + side * iy - w / 2, y + side * iy + w / 2, z, z + 0.03)
            if kind == "box bars":
                self.box(x + side * ix - w / 2, x + side * ix + w / 2, y - ry, y + ry, z, z + 0.03)

    def board(self, kind: str, at: Place, z0: float, z1: float, lean: float = 0.0) -> None:
        """An upright back, headboard or footboard across y; it stands on what lies below ``at``.

        Args:
            kind: How it is made.
            at: Its foot.
            z0: Where it begins.
            z1: Where it ends.
            lean: How far its top is moved along x.
        """
        x, y, t, wide = at
        t = max(t, 2 * self.least)

        def piece(py: float, width: float, low: float, high: float) -> None:
            """A part of the board between two shares of its height."""
            foot = Place(x + lean * low, py, t, width)
            self.leaning(foot, z0 + (z1 - z0) * low, z0 + (z1 - z0) * high, lean * (high - low))

        if kind.startswith("solid"):
            piece(y, wide, 0, 1)
            return
        if kind.startswith("rounded"):
            layers = self.layers(z0, z1)
            up = np.linspace(0, 1, layers.stop - layers.start, dtype=np.float32)
            half = np.maximum(wide / 2 * np.sqrt(1 - np.clip(2 * up - 1, 0, 0.97) ** 2), self.least)
            step = abs(lean) / max(len(up) - 1, 1) / 2
            inside = np.abs(self.x[:, :, None] - x - lean * up) <= t / 2 + step
            inside &= np.abs(self.y[:, :, None] - y) <= half
            self.cells[:, :, layers] |= inside
            return
        for side in (-1, 1):
            piece(y + side * (wide - t) / 2, t, 0, 1)
        rail = min(0.3, max(1.5 / self.size, 0.045) / (z1 - z0))
        piece(y, wide, 1 - rail, 1)
        if kind.startswith("slatted"):
            count = max(1, int((wide - t) / max(0.085, 3.2 * self.least * 2)))
            for k in range(1, count):
                piece(y + (k / count - 0.5) * (wide - t), 0.8 * t, 0, 1)
        elif kind.startswith("ladder"):
            count = max(1, int((z1 - z0) / 0.125))
            for k in range(1, count):
                piece(y, wide, max(0, k / count - rail / 2), k / count + rail / 2)
        elif kind.startswith("half"):
            piece(y, wide, 0.5, 1)


class Place(NamedTuple):
    """Where a post or a board stands, and how thick it is along x and y."""

    x: float
    y: float
    wx: float
    wy: float


class Plan(NamedTuple):
    """Middle and half widths of a top."""

    x: float
    y: float
    rx: float
    ry: float


# ----------------------------------------------------------------------------------------------------- chairs


def _chair(j: _Joiner) -> None:
    stool, shape = j.random() < 0.1, "square"
    seat, thick = j.between(0.3, 0.4), j.between(0.03, 0.07)
    plan = Plan(0, 0, j.between(0.19, 0.25), j.between(0.19, 0.26))
    if stool or j.random() < 0.15:
        shape = j.pick(round=1)
        plan = Plan(0, 0, plan.ry, plan.ry)
    w = j.between(0.03, 0.07)
    if shape == "round":
        kind = j.pick(three_legs=3, splayed_legs=2, pedestal=3, star_foot=2)
        below = Plan(0, 0, 0.7 * plan.rx, 0.7 * plan.ry) if kind == "splayed legs" else plan
    else:
        kind = j.pick(
            **{"square_legs": 6, "round_legs": 4, "splayed_legs": 4, "pedestal": 1, "star_foot": 2},
            **{"runners": 1.5, "side_boards": 1, "block": 1},
        )
        below = plan
    j.legs(kind, below, seat, w)
    if kind in ("square legs", "round legs", "runners") and shape == "square":
        bars = j.pick(no_bars=4, H_bars=2, box_bars=2)
        if bars != "no bars":
            j.bars(bars, plan, j.between(0.25, 0.6) * seat, 0.7 * w)
    j.top(shape, plan, seat, seat + thick)
    high = seat + thick
    if j.random() < 0.35:
        j.parts.append("cushion")
        soft = j.between(0.03, 0.06)
        j.top(shape, Plan(-0.01, 0, 0.86 * plan.rx, 0.86 * plan.ry), high, high + soft)
    if stool:
        j.parts.append("no back")
        return
    t, lean = j.between(0.03, 0.06), j.between(0, 0.09)
    wide = 2 * plan.ry * (0.75 if shape == "round" else 1)
    t = max(t, 2 * j.least)
    x = plan.rx * (0.62 if shape == "round" else 1) - t / 2
    top = min(high + j.between(0.28, 0.42), 0.87)
    back = j.pick(solid_back=4, slatted_back=4, ladder_back=3, half_back=2, frame_back=1, rounded_back=2)
    j.board(back, Place(x, 0, t, wide), high, top, lean)
    if shape == "square":
        arms = j.pick(no_arms=5, arm_rests=3, closed_arms=1.5)
        if arms != "no arms":
            _arms(
                j, arms == "closed arms", plan, high, high + j.between(0.13, 0.19), max(w * 0.8, 2 * j.least)
            )


def _arms(j: _Joiner, closed: bool, plan: Plan, z0: float, z1: float, w: float) -> None:
    front = -plan.rx * j.between(0.6, 1)
    for side in (-1, 1):
        y = plan.y + side * (plan.ry - w / 2)
        if closed:
            j.box(front, plan.rx, y - w / 2, y + w / 2, z0, z1)
        else:
            j.box(front, front + w, y - w / 2, y + w / 2, z0, z1)
            j.box(front, plan.rx, y - w / 2, y + w / 2, z1, z1 + 0.035)


# ----------------------------------------------------------------------------------------------------- tables


def _table(j: _Joiner) -> None:
    height, thick = j.between(0.26, 0.5), j.between(0.03, 0.06)
    shape = j.pick(square=3, round=1)
    if shape == "round":
        ry = j.between(0.26, 0.44)
        plan = Plan(0, 0, j.between(0.24, ry) if j.random() < 0.4 else ry, ry)
        kind = j.pick(three_legs=2, pedestal=3, star_foot=2, splayed_legs=2)
    else:
        plan = Plan(0, 0, j.between(0.18, 0.28), j.between(0.24, 0.37))
        kind = j.pick(
            **{"square_legs": 5, "round_legs": 3, "splayed_legs": 2, "runners": 1, "side_boards": 1.5},
            **{"crossed_legs": 1.5, "two_pedestals": 1, "pedestal": 0.7},
        )
    w = j.between(0.035, 0.08)
    over = j.between(0, 0.12) if shape == "square" else 0.3  # how far the top stands out over the legs
    below = Plan(0, 0, plan.rx * (1 - over), plan.ry * (1 - over))
    if kind == "two pedestals":
        for side in (-1, 1):
            j.legs("star foot", Plan(0, side * 0.55 * plan.ry, 0.8 * plan.rx, 0.35 * plan.ry), height, 0.07)
    else:
        j.legs(kind, below, height, w)
    j.top(shape, plan, height, height + thick)
    if kind not in ("square legs", "round legs", "side boards"):
        return
    extra = j.pick(nothing_more=3, apron=2, shelf=3, drawers=2.5, two_shelves=1, H_bars=1)
    if extra == "apron":
        deep = j.between(0.05, 0.09)
        wall = max(0.03, 2 * j.least)
        x, y = below.rx, below.ry
        for side in (-1, 1):
            cx, cy = side * (x - wall / 2), side * (y - wall / 2)
            j.box(cx - wall / 2, cx + wall / 2, -y, y, height - deep, height)
            j.box(-x, x, cy - wall / 2, cy + wall / 2, height - deep, height)
    elif extra == "shelf":
        z = height * j.between(0.15, 0.45)
        j.top("square", below, z, z + 0.03)
    elif extra == "two shelves":
        for share in (0.22, 0.58):
            j.top("square", below, height * share, height * share + 0.03)
    elif extra == "H bars":
        j.bars(extra, below, 0.3 * height, 0.8 * w)
    elif extra == "drawers":
        side = 1 if j.random() < 0.5 else -1
        inner = side * below.ry * j.between(0.2, 0.5)
        y0, y1 = sorted((inner, side * below.ry))
        bottom = j.between(0, 0.5) * height if j.random() < 0.6 else 0
        j.box(-0.95 * below.rx, 0.95 * below.rx, y0, y1, bottom, height)
        for share in (0.33, 0.67):  # handles
            z, y = bottom + (height - bottom) * share, (y0 + y1) / 2
            j.box(-below.rx - 0.02, -0.9 * below.rx, y - 0.03, y + 0.03, z, z + 0.02)


# ------------------------------------------------------------------------------------------------------- beds


def _bed(j: _Joiner) -> None:
    plan = Plan(0, 0, j.between(0.34, 0.38), j.between(0.16, 0.27))
    if plan.ry < 0.21 and j.random() < 0.35:
        _bunk(j, plan)
        return
    base = j.between(0.06, 0.16)
    w = j.between(0.04, 0.07)
    kind = j.pick(square_legs=4, round_legs=2, block=2, side_boards=1, runners=1)
    below = plan if kind != "block" else Plan(0, 0, 0.9 * plan.rx, 0.88 * plan.ry)
    j.legs(kind, below, base, w)
    frame = base + j.between(0.035, 0.07)
    j.top("square", plan, base, frame)
    soft = frame + j.between(0.06, 0.12)
    j.top("square", Plan(0, 0, 0.96 * plan.rx, 0.93 * plan.ry), frame, soft)
    t = max(j.between(0.03, 0.06), 2 * j.least)
    head = j.pick(no_head=1, solid_head=3, slatted_head=3, rounded_head=2, ladder_head=1.5)
    if head != "no head":
        j.board(head, Place(plan.rx - t / 2, 0, t, 2 * plan.ry), frame, soft + j.between(0.1, 0.28))
    foot = j.pick(no_foot=4, solid_foot=2, slatted_foot=2)
    if foot != "no foot":
        j.board(foot, Place(-plan.rx + t / 2, 0, t, 2 * plan.ry), frame, soft + j.between(0.03, 0.12))
    _pillows(j, plan, soft, t)
    if j.random() < 0.3:
        j.parts.append("blanket")
        end = j.between(-0.05, 0.12)
        j.box(-0.9 * plan.rx, end, -plan.ry, plan.ry, base, soft + 0.032)
    if j.random() < 0.14:
        j.parts.append("four posts")
        high = j.between(0.66, 0.82)
        w = max(w * 0.8, 2 * j.least)
        for sx in (-1, 1):
            for sy in (-1, 1):
                x, y = sx * (plan.rx - w / 2), sy * (plan.ry - w / 2)
                j.box(x - w / 2, x + w / 2, y - w / 2, y + w / 2, 0, high)
        j.bars("box bars", plan, high, w)


def _pillows(j: _Joiner, plan: Plan, z: float, t: float) -> None:
    count = 2 if plan.ry > 0.21 and j.random() < 0.75 else 1
    x1 = plan.rx - t - 0.02
    gap = max(0.03, 1.3 * 2 * j.least)
    each = (2 * 0.8 * plan.ry - gap * (count - 1)) / count
    j.parts.append(("one pillow", "two pillows")[count - 1])
    for k in range(count):
        y0 = -0.8 * plan.ry + k * (each + gap)
        j.box(x1 - 0.13, x1, y0, y0 + each, z, z + 0.045)


def _bunk(j: _Joiner, plan: Plan) -> None:
    j.parts.append("bunk")
    w = max(j.between(0.035, 0.055), 2 * j.least)
    decks = (j.between(0.08, 0.15), j.between(0.48, 0.56))
    j.legs("square legs", plan, decks[1] + 0.2, w)
    for deck in decks:
        j.top("square", plan, deck, deck + 0.035)
        j.top("square", Plan(0, 0, 0.95 * plan.rx, 0.9 * plan.ry), deck + 0.035, deck + 0.09)
        j.box(plan.rx - 0.17, plan.rx - 0.06, -0.7 * plan.ry, 0.7 * plan.ry, deck + 0.09, deck + 0.125)
    j.bars("box bars", plan, decks[1] + 0.17, w)
    if j.random() < 0.7:
        j.parts.append("ladder")
        side = 1 if j.random() < 0.5 else -1
        y, x0, x1 = side * (plan.ry - w / 2), -plan.rx + w / 2, -plan.rx + 0.16
        j.box(x1 - w / 2, x1 + w / 2, y - w / 2, y + w / 2, 0, decks[1])
        for k in range(1, 5):
            z = decks[1] * k / 5
            j.box(x0 - w / 2, x1 + w / 2, y - w / 2, y + w / 2, z, z + 0.03)


# ------------------------------------------------------------------------------------------------------ sofas


def _sofa(j: _Joiner) -> None:
    places = 2 if j.random() < 0.45 else 3
    ry = j.between(0.27, 0.32) if places == 2 else j.between(0.34, 0.4)
    rx = j.between(0.16, 0.2)
    feet, seat = j.between(0.03, 0.1), j.between(0.1, 0.15)
    arm = max(j.between(0.04, 0.09), 2 * j.least)
    back = max(j.between(0.07, 0.11), 3 * j.least)
    plan = Plan(0.05, 0, rx, ry)
    base = Plan(plan.x, 0, 0.97 * rx, ry)
    j.legs(j.pick(square_legs=3, round_legs=2, block=2, runners=1), base, feet, 0.05)
    deck = feet + 0.55 * seat
    j.top("square", plan, feet, deck)
    ottoman = 0.0
    if j.random() < 0.3 and ry > 0.3:
        j.parts.append("corner seat")
        ottoman = 1 if j.random() < 0.5 else -1
    top, high = deck + 0.45 * seat, deck + j.between(0.18, 0.3)
    x1 = plan.x + rx
    style = j.pick(box_arms=4, low_arms=2, round_arms=2, no_arms=1)
    inner = ry if style == "no arms" else ry - arm
    gap = max(0.022, 1.25 * 2 * j.least)
    each = (2 * inner - gap * (places - 1)) / places
    for k in range(places):
        y0 = -inner + k * (each + gap)
        j.box(plan.x - rx, x1 - 0.5 * back, y0, y0 + each, deck, top)
    if ottoman:
        y0, y1 = sorted((ottoman * ry, ottoman * (inner - each)))
        x0 = -0.27 if ry < 0.385 else -0.24
        x0 = min(x0, plan.x - rx)
        j.box(x0, plan.x, y0, y1, feet, deck)
        low, high_ = sorted((ottoman * inner, ottoman * (inner - each)))
        j.box(x0, plan.x, low, high_, deck, top)
        w = max(0.05, 2 * j.least)
        for y in (y0 + w / 2, y1 - w / 2):
            j.box(x0, x0 + w, y - w / 2, y + w / 2, 0, feet)
    kind = j.pick(solid_back=3, cushioned_back=4, rounded_back=1.5)
    j.board(
        "rounded" if kind == "rounded back" else "solid", Place(x1 - back / 2, 0, back, 2 * ry), deck, high
    )
    if kind == "cushioned back":
        for k in range(places):
            y0 = -inner + k * (each + gap)
            j.box(x1 - back - 0.06, x1 - 0.5 * back, y0, y0 + each, top, high - 0.03)
    if style != "no arms":
        rest = {"box arms": high - 0.25 * (high - top), "low arms": top + 0.045, "round arms": top + 0.07}[
            style
        ]
        for side in (-1, 1):
            y = side * (ry - arm / 2)
            j.box(plan.x - rx, x1, y - arm / 2, y + arm / 2, feet, rest)
            if style == "round arms":
                wide = arm / 2 + 0.016
                j.box(plan.x - rx, x1, y - wide, y + wide, rest - 0.045, rest)
    if j.random() < 0.25:
        j.parts.append("throw pillow")
        y = (1 if j.random() < 0.5 else -1) * (inner - 0.09)
        j.box(x1 - back - 0.15, x1 - 0.5 * back, y - 0.05, y + 0.05, top, top + 0.1)
