"""Scores of voxel grids: of single shapes, of pairs, and of a generated set against a real one.

Shapes are (N, D, H, W) or (N, 1, D, H, W) of 0 and 1: a generator's probabilities must be thresholded first,
and the threshold is part of the protocol (3D-GAN uses 0.1, reconstructions usually 0.5).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.errors import UserError


class Components(NamedTuple):
    """Connected components of shapes.

    Args:
        number: (N) number of connected pieces.
        largest: (N) share of the filled cells in the largest piece; 0 for an empty grid.
    """

    number: Tensor
    largest: Tensor


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union (N) of shapes pair by pair; two empty grids count as equal: 1."""
    a, b = _flat(a, "a"), _flat(b, "b").to(a.device)
    if a.shape != b.shape:
        raise UserError(
            f"IoU needs pairs of grids, not {len(a)} of {a.shape[1]} and {len(b)} of {b.shape[1]} cells."
        )
    return _over((a & b).sum(1), (a | b).sum(1))


def occupancy(voxels: Tensor) -> Tensor:
    """Share (N) of the cells that are filled; compare with that of real shapes (a full cube has 1)."""
    return _flat(voxels, "voxels").double().mean(1)


def components(voxels: Tensor, corners: bool = False) -> Components:
    """Connected pieces of each shape, by ``scipy.ndimage.label``; an intact object is one piece.

    Args:
        voxels: The shapes.
        corners: Connect cells by edges and corners too (26 neighbours), not by faces only (6).
    """
    from scipy.ndimage import generate_binary_structure, label

    grids = _grids(voxels, "voxels")
    structure = generate_binary_structure(3, 3 if corners else 1)
    number, largest = [], []
    for grid in grids.cpu().numpy():
        pieces, found = label(grid, structure)
        number.append(found)
        largest.append(np.bincount(pieces.ravel())[1:].max() / grid.sum() if found else 0.0)
    return Components(
        torch.tensor(number, device=grids.device),
        torch.tensor(largest, dtype=torch.float64, device=grids.device),
    )


def iou_distances(a: Tensor, b: Tensor, chunk: int = 64) -> Tensor:
    """1 - IoU (N, M) in float64 between every shape of ``a`` and every one of ``b``.

    Args:
        a: N shapes.
        b: M shapes of the same size.
        chunk: Shapes of each set that are converted to float64 at a time.
    """
    a, b = _sets(a, b)
    filled = a.sum(1)[:, None] + b.sum(1)
    common = _products(a, b, chunk)
    return 1 - _over(common, filled - common)


def chamfer_distances(a: Tensor, b: Tensor, chunk: int = 64) -> Tensor:
    """Chamfer distance (N, M) in float64 between the filled cells of each shape of ``a`` and each of ``b``.

    The mean squared distance from a filled cell to the nearest one of the other shape, summed over both
    directions (Achlioptas et al. 2018, section 2, with means instead of sums, and cells instead of points);
    the longest side of the grid is 1. Solid grids count their interior: give shells for a distance of
    surfaces. An empty grid is infinitely far from all but another empty one.

    Args:
        a: N shapes.
        b: M shapes of the same size.
        chunk: Shapes of each set that are converted to float64 at a time.
    """
    sides = _grids(a, "a").shape[1:], _grids(b, "b").shape[1:]
    a, b = _sets(a, b)
    there, back = _one_way(a, b, sides[0], chunk), _one_way(b, a, sides[1], chunk).T
    empty = ~a.any(1)[:, None], ~b.any(1)
    return (there + back).where(~(empty[0] | empty[1]), torch.inf).where(~(empty[0] & empty[1]), 0.0)


def minimum_matching_distance(distances: Tensor) -> float:
    """Mean distance from a real shape to its nearest generated one (Achlioptas et al. 2018); lower is better.

    Args:
        distances: (generated, real), for example of ``chamfer_distances``. Both counts are part of the
            protocol.
    """
    return float(_matrix(distances).amin(0).mean())


def coverage(distances: Tensor) -> float:
    """Share of the real shapes that are the nearest one of some generated shape (Achlioptas et al. 2018).

    Higher is better. Noise may cover as well, so report ``minimum_matching_distance`` with it. A shape that
    is infinitely far from all covers none. Two equally large sets of one distribution score about 0.5, not 1.

    Args:
        distances: (generated, real). Both counts are part of the protocol.
    """
    nearest, index = _matrix(distances).min(1)
    return len(set(index[nearest.isfinite()].tolist())) / distances.shape[1]


def nearest_neighbour_accuracy(across: Tensor, generated: Tensor, real: Tensor) -> float:
    """Share of all shapes whose nearest other shape is of their own set (Lopez-Paz and Oquab 2017).

    0.5 is best: the sets cannot be distinguished. 1 means that they differ, below 0.5 that samples coincide
    with real shapes. If several shapes are nearest, each counts in part.

    Args:
        across: (N, N) distances from generated to real shapes.
        generated: (N, N) distances among generated shapes.
        real: (N, N) distances among real shapes.
    """
    n = len(_matrix(across))
    if not across.shape == generated.shape == real.shape == (n, n) or n < 2:
        raise UserError(
            f"Nearest-neighbour accuracy needs as many generated as real shapes, at least two, not matrices "
            f"{tuple(across.shape)}, {tuple(generated.shape)} and {tuple(real.shape)}."
        )
    both = torch.cat([torch.cat([generated, across], 1), torch.cat([across.T, real], 1)]).double()
    if both.isnan().any():
        raise UserError("The distances hold NaN; compute them with chamfer_distances or iou_distances.")
    own = torch.arange(2 * n, device=both.device) < n
    alike = own[:, None] == own
    self_ = torch.eye(2 * n, dtype=torch.bool, device=both.device)
    nearest = (both == both.masked_fill(self_, torch.inf).amin(1, keepdim=True)) & ~self_
    return float(((nearest & alike).sum(1) / nearest.sum(1).double()).mean())


def _grids(voxels: Tensor, name: str) -> Tensor:
    """Shapes as (N, D, H, W) in bool."""
    grids = voxels[:, 0] if voxels.ndim == 5 and voxels.shape[1] == 1 else voxels
    if grids.ndim != 4 or grids.numel() == 0:
        raise UserError(
            f"{name} must be one or more grids (N, D, H, W) or (N, 1, D, H, W), not {tuple(voxels.shape)}."
        )
    strange = (grids != 0) & (grids != 1)
    if strange.any():
        value = grids[strange][0].item()
        raise UserError(f"{name} holds {value:g} but cells are 0 or 1; threshold it first ({name} > 0.5).")
    return grids == 1


def _flat(voxels: Tensor, name: str) -> Tensor:
    return _grids(voxels, name).flatten(1)


def _sets(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    one, other = _grids(a, "a"), _grids(b, "b")
    if one.shape[1:] != other.shape[1:]:
        raise UserError(
            f"Grids of {tuple(one.shape[1:])} and {tuple(other.shape[1:])} cells cannot be compared; give "
            f"one size."
        )
    return one.flatten(1), other.flatten(1).to(one.device)


def _over(part: Tensor, whole: Tensor) -> Tensor:
    return (part.double() / whole).where(whole > 0, 1.0)


def _products(a: Tensor, b: Tensor, chunk: int) -> Tensor:
    """Inner products (N, M) of rows, converted to float64 ``chunk`` rows at a time."""
    rows = torch.split(a, chunk)
    return torch.cat([torch.cat([p.double() @ q.double().T for q in torch.split(b, chunk)], 1) for p in rows])


def _one_way(a: Tensor, b: Tensor, sides: torch.Size, chunk: int) -> Tensor:
    """Mean squared distance (N, M) from a filled cell of each ``a`` to the nearest of ``b``.

    Undefined for empty grids. One distance transform per ``b`` serves all ``a``: the sum over an ``a`` is an
    inner product.
    """
    from scipy.ndimage import distance_transform_edt

    parts = []
    for part in torch.split(b, chunk):
        grids = part.view(-1, *sides).cpu().numpy()
        fields = np.stack([distance_transform_edt(~grid) for grid in grids])
        squares = torch.from_numpy(fields / max(sides)).square().flatten(1).to(a.device)
        parts.append(_products(a, squares, chunk))
    return torch.cat(parts, 1) / a.sum(1, keepdim=True)


def _matrix(distances: Tensor) -> Tensor:
    if distances.ndim != 2 or distances.numel() == 0 or distances.isnan().any():
        raise UserError(f"Distances must be a filled matrix without NaN, not {tuple(distances.shape)}.")
    return distances.double()
