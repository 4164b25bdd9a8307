"""Render voxel grids: shaded sheets and rotating clips.

A grid is ``[x, y, z]`` with ``z`` up, in parallel projection from slightly above: every cell face towards the
viewer is one polygon, drawn back to front. Light comes from above and from the viewer's left; corners and
cells under a roof are darker, and the object casts a soft shadow on its floor.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from zoo.drawing.sheets import mosaic

Array = NDArray[Any]

FRONT = 217.0  # degrees: in front of an object that faces -x, slightly to its side
ABOVE = math.radians(24)
FINE = 2  # drawn larger and downsampled: smooth outlines
PAPER = np.array([250, 249, 247], np.float32)
# soft colours, far apart in hue, of similar lightness
COLOURS = (
    (222, 152, 104), (112, 165, 176), (202, 128, 136), (150, 172, 112), (148, 138, 188), (218, 186, 110),
    (108, 146, 198), (190, 150, 126), (120, 180, 148), (204, 140, 178),
)  # fmt: skip


def voxel_sheet(
    voxels: Tensor,
    labels: Tensor | None = None,
    columns: int | None = None,
    size: int = 160,
    angle: float = FRONT,
    threshold: float = 0.5,
) -> Tensor:
    """Render grids row by row: (N, 1, D, H, W) to (3, rows, columns) in [-1, 1].

    Args:
        voxels: Occupancy in [0, 1].
        labels: (N,) class indices, which choose the colours; by default each grid has the next colour.
        columns: Grids per row; by default as close to a square as possible.
        size: Pixels per side of each image.
        angle: Viewing direction in degrees: 180 shows the side -x, 270 the side -y.
        threshold: Occupancy above which a cell is filled.
    """
    scene = _Scene(voxels, labels, size, threshold)
    return mosaic(scene.pictures(angle), columns)


def turning(
    voxels: Tensor,
    frames: int = 24,
    labels: Tensor | None = None,
    columns: int | None = None,
    size: int = 160,
    threshold: float = 0.5,
) -> Tensor:
    """One full rotation of grids: (N, 1, D, H, W) to (frames, 3, rows, columns) in [-1, 1], seamless.

    Arguments as in :func:`voxel_sheet`.
    """
    scene = _Scene(voxels, labels, size, threshold)
    angles = [FRONT + 360 * frame / frames for frame in range(frames)]
    return torch.stack([mosaic(scene.pictures(angle), columns) for angle in angles])


class _Scene:
    """Grids with everything that does not depend on the viewing direction."""

    def __init__(self, voxels: Tensor, labels: Tensor | None, size: int, threshold: float) -> None:
        if voxels.ndim != 5 or voxels.shape[1] != 1 or not len(voxels):
            raise ValueError(f"grids are (N, 1, D, H, W) with N at least 1, got {tuple(voxels.shape)}")
        filled = F.pad(
            voxels.detach().cpu().float() > threshold, (1,) * 6
        )  # so that every face borders an empty cell
        self.size = size
        self.middle = np.array(filled.shape[2:], np.float32) / 2
        kinds = range(len(filled)) if labels is None else labels.tolist()
        self.colours = [np.array(COLOURS[kind % len(COLOURS)], np.float32) for kind in kinds]
        light = _light(filled.float())
        self.grids = [grid[0].numpy() for grid in filled]
        self.lights = [grid[0].numpy() for grid in light]
        self.floors = [int(np.argmax(grid.any((0, 1)))) for grid in self.grids]
        self.shadows = [_shadow(grid, bottom) for grid, bottom in zip(self.grids, self.floors, strict=True)]
        self._fit()

    def _fit(self) -> None:
        """Choose one scale and height at which every grid fits from every direction."""
        side = max(self.grids[0].shape)
        wide, low, high = 0.35 * side, math.inf, -math.inf  # a single cell is not enlarged
        for grid in self.grids:
            if not grid.any():
                continue
            x, y = np.nonzero(grid.any(2))
            wide = max(wide, float(np.hypot(x + 0.5 - self.middle[0], y + 0.5 - self.middle[1]).max()) + 0.8)
            z = np.nonzero(grid.any((0, 1)))[0]
            low, high = min(low, float(z[0])), max(high, float(z[-1]) + 1)
        low, high = (low, high) if high > low else (0.0, float(side))
        tall = (high - low) / 2 * math.cos(ABOVE) + wide * math.sin(ABOVE)
        self.height = (low + high) / 2
        self.scale = self.size * FINE * 0.48 / max(wide, tall)

    def pictures(self, angle: float) -> Tensor:
        """All grids from one direction: (N, 3, size, size) in [-1, 1]."""
        drawn = [self._draw(i, math.radians(angle)) for i in range(len(self.grids))]
        return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float().div(127.5).sub(1)

    def _draw(self, i: int, angle: float) -> Array:
        image = Image.fromarray(self._ground(i, angle))
        draw = ImageDraw.Draw(image)
        outlined = self.scale >= 5  # outlines would cover smaller cells
        for corners, colour, edge in zip(*self._faces(i, angle), strict=True):
            draw.polygon(corners, tuple(colour), tuple(edge) if outlined else None)
        return np.asarray(image.resize((self.size, self.size), Image.Resampling.BOX))

    def _ground(self, i: int, angle: float) -> Array:
        """The background with the shadow on the object's floor."""
        side = self.size * FINE
        right = (np.arange(side, dtype=np.float32)[None, :] + 0.5 - side / 2) / self.scale
        up = (side / 2 - np.arange(side, dtype=np.float32)[:, None] - 0.5) / self.scale
        away = (math.cos(ABOVE) * (self.floors[i] - self.height) - up) / math.sin(ABOVE)
        x = math.cos(angle) * away - math.sin(angle) * right
        y = math.sin(angle) * away + math.cos(angle) * right
        shadow = self.shadows[i]
        span = torch.tensor(shadow.shape, dtype=torch.float32) / 2
        place = torch.from_numpy(np.stack([y, x], -1)) / span.flip(0)
        found = F.grid_sample(torch.from_numpy(shadow)[None, None], place[None], align_corners=False)[0, 0]
        dark = 1 - 0.42 * found.numpy()[:, :, None] * np.array([1, 0.97, 0.9], np.float32)
        return (PAPER * dark).astype(np.uint8)

    def _faces(self, i: int, angle: float) -> tuple[list[list[float]], list[list[int]], list[list[int]]]:
        """Polygons of visible faces, back to front, with their colours and outlines."""
        grid, light = self.grids[i], self.lights[i]
        ways = [1 if math.cos(angle) > 0 else -1, 1 if math.sin(angle) > 0 else -1, 1]
        places, corners, shades = [], [], []
        for axis, way in enumerate(ways):
            seen = grid & ~np.roll(grid, -way, axis)
            cells = np.argwhere(seen)
            front = cells.copy()
            front[:, axis] += way
            direct = self._direct(axis, way, angle)
            shades.append(direct * light[tuple(front.T)])
            square = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32)
            face = np.insert(square, axis, 1.0 if way > 0 else 0.0, axis=1)
            places.append(cells)
            corners.append(cells[:, None, :] + face)
        cells = np.concatenate(places)
        order = np.lexsort([cells[:, axis] * ways[axis] for axis in (2, 1, 0)])
        x, y, z = np.moveaxis(np.concatenate(corners)[order] - self.middle, -1, 0)
        z = z + self.middle[2] - self.height
        right = math.cos(angle) * y - math.sin(angle) * x
        near = math.cos(angle) * x + math.sin(angle) * y
        up = math.cos(ABOVE) * z - math.sin(ABOVE) * near
        half = self.size * FINE / 2
        points = np.stack([half + right * self.scale, half - up * self.scale], -1)
        shade = np.concatenate(shades)[order][:, None]
        cool = np.array([0.93, 0.97, 1.06], np.float32)  # shade is slightly blue
        tint = cool + (1.02 - cool) * np.clip(shade, 0, 1)
        colour = np.clip(self.colours[i] * shade * tint, 0, 255)
        return (
            points.reshape(-1, 8).tolist(),
            colour.astype(int).tolist(),
            (0.93 * colour).astype(int).tolist(),
        )

    @staticmethod
    def _direct(axis: int, way: int, angle: float) -> float:
        """Direct light on a face, from a lamp that moves with the viewer, at the upper left."""
        if axis == 2:
            return 1.06
        lamp = angle - math.radians(50)
        facing = way * (math.cos(lamp), math.sin(lamp))[axis]
        return 0.66 + 0.3 * max(facing, 0.0) + 0.08 * min(facing, 0.0)


def _light(filled: Tensor) -> Tensor:
    """Light that reaches each empty cell (N, 1, D, H, W): less in corners and below other cells."""
    near = F.avg_pool3d(filled, 3, 1, 1)
    wide = F.avg_pool3d(F.pad(filled, (3,) * 6), 7, 1)
    corner = 0.9 * (near - 1 / 3).clamp(min=0) + 0.8 * (wide - 3 / 7).clamp(min=0)
    spread = F.avg_pool3d(filled, (3, 3, 1), 1, (1, 1, 0))
    above = spread.flip(-1).cumsum(-1).flip(-1) - spread  # filled cells over this one
    return (1 - corner - 0.2 * (above / 2).clamp(max=1)).clamp(min=0.35)


def _shadow(grid: Array, bottom: int) -> Array:
    """Shadow (D, H) in [0, 1] on the floor: soft, and fainter for higher cells."""
    height = np.arange(grid.shape[2], dtype=np.float32) - bottom
    weight = np.where(height >= 0, np.exp(-height / (0.22 * grid.shape[2])), 0).astype(np.float32)
    dark = torch.from_numpy((grid * weight).max(2))[None, None]
    width = max(grid.shape[0] // 16, 1)
    for _ in range(3):
        dark = F.avg_pool2d(dark, 2 * width + 1, 1, width)
    return np.asarray(dark[0, 0].clamp(max=1))
