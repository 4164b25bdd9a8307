"""The world of furniture: chairs, tables, beds and sofas as occupied cells of a cube, with their class.

:func:`draw` gives the object of a (seed, index). Objects are assembled from parts that share strength and
shape: legs of many kinds, solid, slatted and ladder backs, arms, cushions, shelves, drawers, headboards,
posts. Cells are ``voxels[x, y, z]`` with ``z`` up. An object faces -x like the aligned chairs of ModelNet; it
may be turned about the vertical axis in twelve steps of 30 degrees, like the volumes that 3D-GAN
(https://arxiv.org/abs/1610.07584) is trained on. Each object is one connected piece that stands on the floor,
``floor(size)`` cells above the bottom of the cube. Lengths are shares of the cube's side; ``x`` and ``y`` are
0 in the middle, ``z`` on the floor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.data.worlds.paint import Array, Draws

CLASSES = ("chair", "table", "bed", "sofa")
TURNS = 12


@dataclass(frozen=True)
class Furniture:
    """A drawn object.

    Args:
        voxels: (size, size, size) uint8, 1 in occupied cells: ``[x, y, z]``.
        label: Index into ``CLASSES``.
        turn: Number of turns by 30 degrees, counter-clockwise seen from above.
        parts: Names of its parts, such as ``round legs`` or ``slatted back``.
    """

    voxels: Tensor
    label: int
    turn: int
    parts: tuple[str, ...]


def draw(seed: int, index: int, size: int = 32, turned: bool = False) -> Furniture:
    """Draw the object ``index`` of the world ``seed``.

    Args:
        seed: Seed of the world, not negative.
        index: Index of the object, not negative.
        size: Cells per side, at least 24; the same object at every size, but no part is thinner than a cell.
        turned: Whether to turn the object by one of twelve steps; otherwise it faces -x.
    """
    joiner = _Joiner(seed, index, size, turned)
    (_chair, _table, _bed, _sofa)[joiner.label](joiner)
    voxels = torch.from_numpy(joiner.cells.view(np.uint8))
    return Furniture(voxels, joiner.label, joiner.turn, tuple(joiner.parts))


def floor(size: int) -> int:
    """Number of empty layers below every object in a cube of ``size`` cells."""
    return size // 16


@lru_cache(maxsize=64)
def _plan(size: int, turn: int) -> tuple[Array, Array]:
    """x and y (size, size), in the axes of the object, at the centre of each column of cells."""
    line = ((np.arange(size) + 0.5) / size - 0.5).astype(np.float32)
    angle = turn * 2 * math.pi / TURNS
    cosine, sine = math.cos(angle), math.sin(angle)
    x, y = line[:, None], line[None, :]
    return cosine * x + sine * y, cosine * y - sine * x


class _Joiner(Draws):
    """Fills cells; every part is thick enough to stay whole and connected, however the object is turned."""

    def __init__(self, seed: int, index: int, size: int, turned: bool) -> None:
        super().__init__((seed, index))
        self.label = int(self.random() * len(CLASSES))
        chance = self.random()  # drawn in any case: the same object, turned or not
        self.turn = int(chance * TURNS) if turned else 0
        self.size = size
        self.x, self.y = _plan(size, self.turn)
        self.cells = np.zeros((size, size, size), bool)
        self.parts: list[str] = []
        # half width at which a turned bar still contains a chain of cells that share faces
        self.least = (1.0 if self.turn % 3 == 0 else 1.42) / size / 2

    def choose(self, **weights: float) -> str:
        """Draw one of the names by weight, and add it to the object's parts."""
        at = self.random() * sum(weights.values())
        edges = zip(weights, accumulate(weights.values()), strict=True)
        name = next(name for name, edge in edges if at <= edge).replace("_", " ")
        if not name.startswith("no "):
            self.parts.append(name)
        return name

    # ------------------------------------------------------------------------------------------------- shapes

    def layers(self, z0: float, z1: float) -> slice:
        """The layers between two heights, at least one."""
        bottom = floor(self.size) + round(z0 * self.size)
        return slice(bottom, max(floor(self.size) + round(z1 * self.size), bottom + 1))

    def fill(self, inside: Array, z0: float, z1: float) -> None:
        """Fill a ground plan (size, size) between two heights."""
        self.cells[:, :, self.layers(z0, z1)] |= inside[:, :, None]

    def box(self, x0: float, x1: float, y0: float, y1: float, z0: float, z1: float) -> None:
        """Fill an upright box."""
        inside = np.abs(self.x - (x0 + x1) / 2) <= max((x1 - x0) / 2, self.least)
        inside &= np.abs(self.y - (y0 + y1) / 2) <= max((y1 - y0) / 2, self.least)
        self.fill(inside, z0, z1)

    def beam(self, x0: float, x1: float, y: float, w: float, z0: float, z1: float) -> None:
        """Fill a beam along x of width ``w`` around ``y``."""
        self.box(x0, x1, y - w / 2, y + w / 2, z0, z1)

    def crossbeam(self, x: float, w: float, y0: float, y1: float, z0: float, z1: float) -> None:
        """Fill a beam along y of width ``w`` around ``x``."""
        self.box(x - w / 2, x + w / 2, y0, y1, z0, z1)

    def disc(self, x: float, y: float, rx: float, ry: float, z0: float, z1: float) -> None:
        """Fill an upright round or oval column."""
        rx, ry = max(rx, 1.42 * self.least), max(ry, 1.42 * self.least)
        self.fill(((self.x - x) / rx) ** 2 + ((self.y - y) / ry) ** 2 <= 1, z0, z1)

    def leaning(self, at: Plan, z0: float, z1: float, dx: float, dy: float = 0.0) -> None:
        """Fill a post whose top is shifted by (dx, dy) against its foot."""
        layers = self.layers(z0, z1)
        count = layers.stop - layers.start
        up = np.linspace(0, 1, count, dtype=np.float32)
        step = 1 / max(count - 1, 1) / 2  # each layer must rest on the one below
        half_x = max(at.rx, self.least) + abs(dx) * step
        half_y = max(at.ry, self.least) + abs(dy) * step
        inside = np.abs(self.x[:, :, None] - at.x - dx * up) <= half_x
        inside &= np.abs(self.y[:, :, None] - at.y - dy * up) <= half_y
        self.cells[:, :, layers] |= inside

    # ------------------------------------------------------------------------------------------ parts of many

    def top(self, shape: str, plan: Plan, z0: float, z1: float) -> None:
        """Add a seat or a table top."""
        if shape == "round":
            self.disc(plan.x, plan.y, plan.rx, plan.ry, z0, z1)
        else:
            self.box(plan.x - plan.rx, plan.x + plan.rx, plan.y - plan.ry, plan.y + plan.ry, z0, z1)

    def legs(self, kind: str, plan: Plan, height: float, w: float) -> None:
        """Add what carries a top; the feet stand at the edge of ``plan``, three legs within it."""
        w = max(w, 2 * self.least)
        x, y, rx, ry = plan
        ix, iy = rx - w / 2, ry - w / 2  # position of the corner legs
        corners = [(x + sx * ix, y + sy * iy) for sx in (-1, 1) for sy in (-1, 1)]
        if kind in ("square legs", "runners"):
            for px, py in corners:
                self.beam(px - w / 2, px + w / 2, py, w, 0, height)
            for side in (-1, 1) if kind == "runners" else ():
                self.beam(x - rx, x + rx, y + side * iy, w, 0, 0.035)
        elif kind == "round legs":
            for px, py in corners:
                self.disc(px, py, 0.6 * w, 0.6 * w, 0, height)
        elif kind == "splayed legs":
            out = min(0.05, 0.25 * height)
            for px, py in corners:
                dx, dy = math.copysign(out, px - x), math.copysign(out, py - y)
                self.leaning(Plan(px, py, w / 2, w / 2), 0, height, -dx, -dy)
        elif kind == "three legs":
            for k in range(3):
                px, py = math.cos(k * 2.0944) * ix, math.sin(k * 2.0944) * iy
                self.leaning(Plan(x + 0.8 * px, y + 0.8 * py, w / 2, w / 2), 0, height, -0.2 * px, -0.2 * py)
        elif kind == "pedestal":
            self.disc(x, y, 0.75 * w, 0.75 * w, 0, height)
            foot = 0.62 * min(rx, ry) + 0.02
            self.disc(x, y, foot, foot, 0, 0.035)
        elif kind == "star foot":
            self.disc(x, y, 0.6 * w, 0.6 * w, 0, height)
            self.beam(x - 0.85 * rx, x + 0.85 * rx, y, w, 0, 0.04)
            self.crossbeam(x, w, y - 0.85 * ry, y + 0.85 * ry, 0, 0.04)
        elif kind == "side boards":
            for side in (-1, 1):
                self.beam(x - 0.9 * rx, x + 0.9 * rx, y + side * iy, w, 0, height)
        elif kind == "crossed legs":
            for side in (-1, 1):
                for way in (-1, 1):
                    self.leaning(Plan(x - way * ix, y + side * iy, w / 2, w / 2), 0, height, 2 * way * ix)
        else:
            self.top("square", plan, 0, height)

    def bars(self, kind: str, plan: Plan, z: float, w: float) -> None:
        """Add bars between the corner legs: an H or all around."""
        w = max(w, 2 * self.least)
        x, y, rx, ry = plan
        if kind == "H bars":
            self.crossbeam(x, w, y - ry, y + ry, z, z + 0.03)
        for side in (-1, 1):
            self.beam(x - rx, x + rx, y + side * (ry - w / 2), w, z, z + 0.03)
            if kind == "box bars":
                self.crossbeam(x + side * (rx - w / 2), w, y - ry, y + ry, z, z + 0.03)

    def board(self, kind: str, at: Plan, z0: float, z1: float, lean: float = 0.0) -> None:
        """Add an upright back, headboard or footboard across y; it stands on whatever is below ``at``.

        Args:
            kind: Its construction; the first word counts.
            at: Its foot.
            z0: Lower edge.
            z1: Upper edge.
            lean: Shift of the upper edge along x.
        """
        x, y, t, wide = at.x, at.y, 2 * max(at.rx, self.least), 2 * at.ry

        def piece(py: float, width: float, low: float, high: float) -> None:
            """Fill a part of the board between two shares of its height."""
            foot = Plan(x + lean * low, py, t / 2, width / 2)
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


class Plan(NamedTuple):
    """Centre and half widths of a part, seen from above."""

    x: float
    y: float
    rx: float
    ry: float

    def scaled(self, x: float, y: float) -> Plan:
        """The plan with its half widths multiplied by two factors."""
        return Plan(self.x, self.y, x * self.rx, y * self.ry)


def _chair(j: _Joiner) -> None:
    stool, shape = j.random() < 0.1, "square"
    seat, thick = j.between(0.3, 0.4), j.between(0.03, 0.07)
    plan = Plan(0, 0, j.between(0.19, 0.25), j.between(0.19, 0.26))
    if stool or j.random() < 0.15:
        shape = j.choose(round=1)
        plan = Plan(0, 0, plan.ry, plan.ry)
    w = j.between(0.03, 0.07)
    if shape == "round":
        kind = j.choose(three_legs=3, splayed_legs=2, pedestal=3, star_foot=2)
        below = plan.scaled(0.7, 0.7) if kind == "splayed legs" else plan
    else:
        kind = j.choose(
            **{"square_legs": 6, "round_legs": 4, "splayed_legs": 4, "pedestal": 1, "star_foot": 2},
            **{"runners": 1.5, "side_boards": 1, "block": 1},
        )
        below = plan
    j.legs(kind, below, seat, w)
    if kind in ("square legs", "round legs", "runners") and shape == "square":
        bars = j.choose(no_bars=4, H_bars=2, box_bars=2)
        if bars != "no bars":
            j.bars(bars, plan, j.between(0.25, 0.6) * seat, 0.7 * w)
    j.top(shape, plan, seat, seat + thick)
    high = seat + thick
    if j.random() < 0.35:
        j.parts.append("cushion")
        soft = j.between(0.03, 0.06)
        j.top(shape, plan.scaled(0.86, 0.86)._replace(x=-0.01), high, high + soft)
    if stool:
        j.parts.append("no back")
        return
    half, lean = max(j.between(0.03, 0.06) / 2, j.least), j.between(0, 0.09)
    seat_top = plan.scaled(0.62, 0.75) if shape == "round" else plan
    foot = Plan(seat_top.rx - half, 0, half, seat_top.ry)
    top = min(high + j.between(0.28, 0.42), 0.87)
    back = j.choose(solid_back=4, slatted_back=4, ladder_back=3, half_back=2, frame_back=1, rounded_back=2)
    j.board(back, foot, high, top, lean)
    if shape == "square":
        arms = j.choose(no_arms=5, arm_rests=3, closed_arms=1.5)
        if arms != "no arms":
            rest = high + j.between(0.13, 0.19)
            _arms(j, arms == "closed arms", plan, high, rest, max(w * 0.8, 2 * j.least))


def _arms(j: _Joiner, closed: bool, plan: Plan, z0: float, z1: float, w: float) -> None:
    front = -plan.rx * j.between(0.6, 1)
    for side in (-1, 1):
        y = plan.y + side * (plan.ry - w / 2)
        j.beam(front, plan.rx if closed else front + w, y, w, z0, z1)
        if not closed:
            j.beam(front, plan.rx, y, w, z1, z1 + 0.035)


def _table(j: _Joiner) -> None:
    height, thick = j.between(0.26, 0.5), j.between(0.03, 0.06)
    shape = j.choose(square=3, round=1)
    if shape == "round":
        ry = j.between(0.26, 0.44)
        plan = Plan(0, 0, j.between(0.24, ry) if j.random() < 0.4 else ry, ry)
        kind = j.choose(three_legs=2, pedestal=3, star_foot=2, splayed_legs=2)
    else:
        plan = Plan(0, 0, j.between(0.18, 0.28), j.between(0.24, 0.37))
        kind = j.choose(
            **{"square_legs": 5, "round_legs": 3, "splayed_legs": 2, "runners": 1, "side_boards": 1.5},
            **{"crossed_legs": 1.5, "two_pedestals": 1, "pedestal": 0.7},
        )
    w = j.between(0.035, 0.08)
    over = j.between(0, 0.12) if shape == "square" else 0.3  # how far the top overhangs the legs
    below = plan.scaled(1 - over, 1 - over)
    if kind == "two pedestals":
        for side in (-1, 1):
            j.legs("star foot", Plan(0, side * 0.55 * plan.ry, 0.8 * plan.rx, 0.35 * plan.ry), height, 0.07)
    else:
        j.legs(kind, below, height, w)
    j.top(shape, plan, height, height + thick)
    if kind not in ("square legs", "round legs", "side boards"):
        return
    extra = j.choose(nothing_more=3, apron=2, shelf=3, drawers=2.5, two_shelves=1, H_bars=1)
    if extra == "apron":
        deep, wall = j.between(0.05, 0.09), max(0.03, 2 * j.least)
        x, y = below.rx, below.ry
        for side in (-1, 1):
            j.crossbeam(side * (x - wall / 2), wall, -y, y, height - deep, height)
            j.beam(-x, x, side * (y - wall / 2), wall, height - deep, height)
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


def _bed(j: _Joiner) -> None:
    plan = Plan(0, 0, j.between(0.34, 0.38), j.between(0.16, 0.27))
    if plan.ry < 0.21 and j.random() < 0.35:
        _bunk(j, plan)
        return
    base = j.between(0.06, 0.16)
    w = j.between(0.04, 0.07)
    kind = j.choose(square_legs=4, round_legs=2, block=2, side_boards=1, runners=1)
    below = plan.scaled(0.9, 0.88) if kind == "block" else plan
    j.legs(kind, below, base, w)
    frame = base + j.between(0.035, 0.07)
    j.top("square", plan, base, frame)
    soft = frame + j.between(0.06, 0.12)
    j.top("square", plan.scaled(0.96, 0.93), frame, soft)
    t = max(j.between(0.03, 0.06), 2 * j.least)
    head = j.choose(no_head=1, solid_head=3, slatted_head=3, rounded_head=2, ladder_head=1.5)
    if head != "no head":
        j.board(head, Plan(plan.rx - t / 2, 0, t / 2, plan.ry), frame, soft + j.between(0.1, 0.28))
    foot = j.choose(no_foot=4, solid_foot=2, slatted_foot=2)
    if foot != "no foot":
        j.board(foot, Plan(-plan.rx + t / 2, 0, t / 2, plan.ry), frame, soft + j.between(0.03, 0.12))
    _pillows(j, plan, soft, t)
    if j.random() < 0.3:
        j.parts.append("blanket")
        end = j.between(-0.05, 0.12)
        j.box(-0.9 * plan.rx, end, -plan.ry, plan.ry, base, soft + 0.032)
    if j.random() < 0.14:
        j.parts.append("four posts")
        high = j.between(0.66, 0.82)
        w = max(w * 0.8, 2 * j.least)
        j.legs("square legs", plan, high, w)
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
        j.top("square", plan.scaled(0.95, 0.9), deck + 0.035, deck + 0.09)
        j.box(plan.rx - 0.17, plan.rx - 0.06, -0.7 * plan.ry, 0.7 * plan.ry, deck + 0.09, deck + 0.125)
    j.bars("box bars", plan, decks[1] + 0.17, w)
    if j.random() < 0.7:
        j.parts.append("ladder")
        side = 1 if j.random() < 0.5 else -1
        y, x0, x1 = side * (plan.ry - w / 2), -plan.rx + w / 2, -plan.rx + 0.16
        j.beam(x1 - w / 2, x1 + w / 2, y, w, 0, decks[1])
        for k in range(1, 5):
            z = decks[1] * k / 5
            j.beam(x0 - w / 2, x1 + w / 2, y, w, z, z + 0.03)


def _sofa(j: _Joiner) -> None:
    places = 2 if j.random() < 0.45 else 3
    ry = j.between(0.27, 0.32) if places == 2 else j.between(0.34, 0.4)
    rx = j.between(0.16, 0.2)
    feet, seat = j.between(0.03, 0.1), j.between(0.1, 0.15)
    arm = max(j.between(0.04, 0.09), 2 * j.least)
    back = max(j.between(0.07, 0.11), 3 * j.least)
    plan = Plan(0.05, 0, rx, ry)
    j.legs(j.choose(square_legs=3, round_legs=2, block=2, runners=1), plan.scaled(0.97, 1), feet, 0.05)
    deck = feet + 0.55 * seat
    j.top("square", plan, feet, deck)
    ottoman = 0.0
    if j.random() < 0.3 and ry > 0.3:
        j.parts.append("corner seat")
        ottoman = 1 if j.random() < 0.5 else -1
    top, high = deck + 0.45 * seat, deck + j.between(0.18, 0.3)
    x1 = plan.x + rx
    style = j.choose(box_arms=4, low_arms=2, round_arms=2, no_arms=1)
    inner = ry if style == "no arms" else ry - arm
    gap = max(0.022, 1.25 * 2 * j.least)
    each = (2 * inner - gap * (places - 1)) / places
    edges = [-inner + k * (each + gap) for k in range(places)]  # of the seats
    for y0 in edges:
        j.box(plan.x - rx, x1 - 0.5 * back, y0, y0 + each, deck, top)
    if ottoman:
        y0, y1 = sorted((ottoman * ry, ottoman * (inner - each)))
        x0 = min(-0.27 if ry < 0.385 else -0.24, plan.x - rx)
        j.box(x0, plan.x, y0, y1, feet, deck)
        low, high_ = sorted((ottoman * inner, ottoman * (inner - each)))
        j.box(x0, plan.x, low, high_, deck, top)
        w = max(0.05, 2 * j.least)
        for y in (y0 + w / 2, y1 - w / 2):
            j.beam(x0, x0 + w, y, w, 0, feet)
    kind = j.choose(solid_back=3, cushioned_back=4, rounded_back=1.5)
    board = "rounded" if kind == "rounded back" else "solid"
    j.board(board, Plan(x1 - back / 2, 0, back / 2, ry), deck, high)
    if kind == "cushioned back":
        for y0 in edges:
            j.box(x1 - back - 0.06, x1 - 0.5 * back, y0, y0 + each, top, high - 0.03)
    rests = {"box arms": high - 0.25 * (high - top), "low arms": top + 0.045, "round arms": top + 0.07}
    for side in (-1, 1) if style != "no arms" else ():
        y, rest = side * (ry - arm / 2), rests[style]
        j.beam(plan.x - rx, x1, y, arm, feet, rest)
        if style == "round arms":
            j.beam(plan.x - rx, x1, y, 2 * (arm / 2 + 0.016), rest - 0.045, rest)
    if j.random() < 0.25:
        j.parts.append("throw pillow")
        y = (1 if j.random() < 0.5 else -1) * (inner - 0.09)
        j.box(x1 - back - 0.15, x1 - 0.5 * back, y - 0.05, y + 0.05, top, top + 0.1)
