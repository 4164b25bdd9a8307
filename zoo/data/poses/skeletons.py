"""Keypoints of people: their names and limbs, and the maps and masks computed from them.

Keypoints are (K,3): x and y in pixels from the centre of the first pixel, and a number above 0 if the point
is known.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.data.worlds import figures
from zoo.drawing.sheets import label_colours

Array = NDArray[np.float32]

CLOSING = 5  # pixels; PG2's "morphological operations", 5 x 5 in its code


class Skeleton(NamedTuple):
    """Named points, and the limbs that connect them.

    Args:
        names: Names of the points, in order.
        limbs: Pairs of indices of points.
    """

    names: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]

    @property
    def mirrored(self) -> list[int]:
        """For each point, the index of the point that replaces it in a mirrored picture."""
        swap = {"left": "right", "right": "left"}
        twins = [re.sub("left|right", lambda found: swap[found.group()], name) for name in self.names]
        return [self.names.index(twin) if twin in self.names else k for k, twin in enumerate(twins)]


COCO = figures.KEYPOINTS  # the 17 points of COCO, in its order
_BODY = (  # the 18 points of OpenPose, in its order
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow"),
    *("left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("right_eye", "left_eye", "right_ear", "left_ear"),
)
_OF_A_SIDE = (
    *("neck {0}_shoulder", "{0}_shoulder {0}_elbow", "{0}_elbow {0}_wrist", "{0}_shoulder {0}_hip"),
    *("neck {0}_hip", "{0}_hip {0}_knee", "{0}_knee {0}_ankle"),
)
_JOINED = (  # with the sides of trunk and head, so that the figure is closed
    *("neck nose", "nose left_eye", "nose right_eye", "left_eye left_ear", "right_eye right_ear"),
    *("neck left_ear", "neck right_ear", "left_ear right_ear", "left_hip right_hip"),
    *(limb.format(side) for side in ("left", "right") for limb in _OF_A_SIDE),
)
_ENDS = (limb.split() for limb in _JOINED)
OPENPOSE = Skeleton(_BODY, tuple((_BODY.index(one), _BODY.index(other)) for one, other in _ENDS))


def to_openpose(coco: Array) -> Array:
    """Convert the 17 points of COCO, (17,3), to the 18 of OpenPose; the neck is between the shoulders."""
    left, right = coco[5], coco[6]
    known = min(left[2], right[2]) > 0
    neck = np.array([*(left[:2] + right[:2]) / 2, 1.0 if known else 0.0], np.float32)
    points = dict(zip(COCO, coco, strict=True)) | {"neck": neck}
    body: Array = np.stack([points[name] for name in OPENPOSE.names])
    return body


def keypoint_maps(keypoints: Tensor, height: int, width: int, radius: int = 4) -> Tensor:
    """Keypoint maps (K,H,W) float32: 1 in a disc around each known keypoint, -1 elsewhere.

    Args:
        keypoints: Keypoints (K,3).
        height: Height of the maps.
        width: Width of the maps.
        radius: Radius of the discs in pixels (4 in PG2's code).
    """
    maps = np.full((len(keypoints), height, width), -1, np.float32)
    points = keypoints.numpy()
    which = np.flatnonzero(points[:, 2] > 0)
    ys, xs, inside = _discs(points[which, :2], height, width, radius)
    planes = np.repeat(which[:, None], ys.shape[1], 1)
    maps[planes[inside], ys[inside], xs[inside]] = 1
    return torch.from_numpy(maps)


def pose_mask(keypoints: Tensor, skeleton: Skeleton, height: int, width: int, radius: int = 4) -> Tensor:
    """Mask (1,H,W) uint8, 1 on the person: discs along all limbs with known ends, then a closing.

    Args:
        keypoints: Keypoints (K,3).
        skeleton: Limbs between the points.
        height: Height of the mask.
        width: Width of the mask.
        radius: Radius of the discs in pixels.
    """
    points = keypoints.numpy()
    centres = [points[points[:, 2] > 0, :2]]
    for one, other in skeleton.limbs:
        if min(points[one, 2], points[other, 2]) > 0:
            a, b = points[one, :2], points[other, :2]
            steps = min(int(np.abs(b - a).max()), 4 * max(height, width)) + 1
            centres.append(a + (b - a) * np.linspace(0, 1, steps, dtype=np.float32)[:, None])
    ys, xs, inside = _discs(np.concatenate(centres), height, width, radius)
    edge = CLOSING // 2
    # the margin keeps the closing away from the border
    mask = np.zeros((height + 2 * edge, width + 2 * edge), bool)
    mask[ys[inside] + edge, xs[inside] + edge] = True
    closed = ~_grown(~_grown(mask))[edge : edge + height, edge : edge + width]
    return torch.from_numpy(closed[None].astype(np.uint8))


def _grown(mask: Any) -> Any:
    """Dilate a mask by a square of side ``CLOSING``."""
    for axis in (0, 1):
        line = np.moveaxis(mask, axis, 0)
        grown = line.copy()
        for step in range(1, CLOSING // 2 + 1):
            grown[step:] |= line[:-step]
            grown[:-step] |= line[step:]
        mask = np.moveaxis(grown, 0, axis)
    return mask


def _discs(points: Any, height: int, width: int, radius: int) -> tuple[Any, Any, Any]:
    """Rows and columns (N,M) of the pixels of discs around points (N,2), and which are in the picture."""
    line = np.arange(-radius, radius + 1)
    y, x = np.nonzero(line[:, None] ** 2 + line**2 <= radius**2)
    middle = np.rint(np.clip(points, -1e6, 1e6)).astype(np.int64)
    ys, xs = middle[:, 1:] + line[y], middle[:, :1] + line[x]
    return ys, xs, (ys >= 0) & (ys < height) & (xs >= 0) & (xs < width)


def draw_pose(pose: Tensor) -> Tensor:
    """Keypoint maps (K,H,W) as one picture (3,H,W) in [-1, 1], one colour per point on black."""
    highest, which = pose.max(0)
    return torch.where(highest > 0, label_colours(which, len(pose)), -torch.ones(()))
