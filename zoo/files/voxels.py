"""Read grids (.binvox, .npy, .npz, .mat) and meshes (.off, .obj, .stl) as occupancy grids.

A grid is a boolean array ``[x, y, z]``; :func:`voxelised` converts meshes. Nothing that could run code is
read: no pickles, no other files that a mesh names.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from zoo.errors import UserError, reason_of
from zoo.files.matlab import read_mat
from zoo.files.reading import read_bytes, require_modest

Array = NDArray[Any]
Axis = Literal["x", "y", "z"]

GRID_SUFFIXES = (".binvox", ".npy", ".npz", ".mat")
MESH_SUFFIXES = (".off", ".obj", ".stl")
VOXEL_SUFFIXES = GRID_SUFFIXES + MESH_SUFFIXES
LONGEST = 1024  # cells per axis; a grid that claims more is damaged
MOST_POINTS = 200_000_000  # on the surface of a mesh: a few seconds; the largest of ModelNet need a tenth
_KEYS = ("instance", "voxels")  # names of the grid in a file of several arrays


def read_voxels(
    path: Path, size: int, up: Axis = "z", margin: int | None = None, whole_turn: bool = False
) -> Array:
    """A file as an occupancy grid (size, size, size), ``[x, y, z]`` with ``z`` up.

    Args:
        path: Ends with one of ``VOXEL_SUFFIXES``.
        size: Cells per side.
        up: The file's vertical axis.
        margin: Empty cells around a mesh; by default a sixteenth of ``size``. Grids keep their scale.
        whole_turn: Scale a mesh so that it stays inside when rotated about the vertical.

    Raises:
        UserError: The file is unreadable, damaged, empty or of no known kind.
    """
    axes = {"x": (1, 2, 0), "y": (2, 0, 1), "z": (0, 1, 2)}[up]
    if path.suffix.lower() in MESH_SUFFIXES:
        margin = size // 16 if margin is None else margin
        triangles = read_mesh(path)[:, :, list(axes)]
        try:
            return voxelised(triangles, size, margin, whole_turn)
        except ValueError as error:
            raise UserError(f"{path} has {error}; simplify the mesh.") from error
    return fitted(read_grid(path).transpose(axes), size)


def fitted(grid: Array, size: int) -> Array:
    """Bring a grid to (size, size, size): a smaller one is centred and padded, never enlarged.

    A larger one is first reduced by the smallest integer factor that makes it fit; a cell is filled if any
    cell of its block is.
    """
    factor = -(-max(grid.shape) // size)
    if factor > 1:
        grid = _padded(grid, [-(-side // factor) * factor for side in grid.shape])
        blocks = [part for side in grid.shape for part in (side // factor, factor)]
        grid = np.any(grid.reshape(blocks), axis=(1, 3, 5))
    return _padded(grid, [size] * 3)


def _padded(grid: Array, shape: list[int]) -> Array:
    before = [(new - old) // 2 for new, old in zip(shape, grid.shape, strict=True)]
    return np.pad(grid, [(b, n - o - b) for b, n, o in zip(before, shape, grid.shape, strict=True)])


def read_grid(path: Path) -> Array:
    """The grid of a .binvox, .npy, .npz or .mat file as booleans: values above a half are filled.

    In a file of several arrays it is the one named ``instance`` or ``voxels``, or the only 3D one.

    Raises:
        UserError: The file is unreadable or damaged, or holds no such grid or no filled cell.
    """
    data, suffix = read_bytes(path), path.suffix.lower()
    with _decoding(path):
        if suffix == ".binvox":
            values = _from_binvox(path, data)
        elif suffix == ".npy":
            values = np.load(io.BytesIO(data), allow_pickle=False)
            require_modest(path, values.nbytes, len(data))
        elif suffix == ".npz":
            values = _choose(path, read_npz(path, data))
        elif suffix == ".mat":
            values = _choose(path, read_mat(path))
        else:
            raise UserError(f"{path} is no voxel file: its name should end with {', '.join(VOXEL_SUFFIXES)}.")
    while values.ndim > 3 and values.shape[0] == 1:  # (1, D, H, W)
        values = values[0]
    if values.ndim != 3 or values.dtype.kind not in "biuf":
        shape = " x ".join(map(str, values.shape)) or "nothing"
        raise UserError(
            f"{path} holds {shape} of {values.dtype}; save one grid of three dimensions, numbers or booleans."
        )
    if max(values.shape) > LONGEST:
        raise UserError(
            f"{path} has {max(values.shape)} cells along an axis, more than {LONGEST}; reduce it."
        )
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise UserError(f"{path} holds values that are no finite numbers; save the grid as 0 and 1.")
    filled: Array = values > 0.5
    if not filled.any():
        raise UserError(f"{path} has no filled cell; take it out or save its grid with 1 where it is filled.")
    return filled


def read_npz(path: Path, data: bytes) -> dict[str, Array]:
    """The arrays of a .npz file by name, decompressed only if all of them together are of a modest size."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:  # its readers stop at the size that it states
        require_modest(path, sum(member.file_size for member in archive.infolist()), len(data))
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _choose(path: Path, arrays: Mapping[str, Any]) -> Array:
    for key in _KEYS:
        if key in arrays:
            return np.asarray(arrays[key])
    grids = {key: a for key, a in arrays.items() if isinstance(a, np.ndarray) and a.ndim == 3}
    if len(grids) != 1:
        names = ", ".join(arrays) or "nothing"
        raise UserError(
            f"{path} holds {names} with {len(grids)} arrays of three dimensions; name its grid 'instance' or "
            "'voxels'."
        )
    return np.asarray(next(iter(grids.values())))


def _from_binvox(path: Path, data: bytes) -> Array:
    head, mark, runs = data.partition(b"\ndata\n")
    lines = [line.split() for line in head.decode("ascii", "replace").splitlines()]
    sides = next((line[1:] for line in lines if line[:1] == ["dim"]), [])
    if lines[:1] != [["#binvox", "1"]] or not mark or len(sides) != 3:
        raise UserError(
            f"{path} does not begin as a binvox file does; it is damaged or no binvox file, replace it."
        )
    shape = [int(side) for side in sides]
    if not all(0 < side <= LONGEST for side in shape):
        raise UserError(f"{path} says its grid is {' x '.join(sides)}; each side must be 1 to {LONGEST}.")
    require_modest(path, math.prod(shape), len(data))
    pairs = np.frombuffer(runs[: len(runs) // 2 * 2], np.uint8).reshape(-1, 2)
    cells = int(pairs[:, 1].sum(dtype=np.int64))
    if cells != np.prod(shape):
        raise UserError(
            f"{path} holds {cells} cells of {np.prod(shape)}; it is cut off or damaged, replace it."
        )
    # the header gives the lengths along x, z and y; y changes fastest
    return np.repeat(pairs[:, 0], pairs[:, 1]).reshape(shape).transpose(0, 2, 1)


def read_mesh(path: Path) -> Array:
    """The triangles (T, 3, 3) of an .off, .obj or .stl file: triangle, corner, axis.

    Polygons are split into triangles. OFF files whose counts follow the first word without a space, as some
    of ModelNet's, are read too, and binary ones. Colours, materials and normals are ignored.

    Raises:
        UserError: The file is unreadable, damaged, or has no triangle or no extent.
    """
    data, suffix = read_bytes(path), path.suffix.lower()
    with _decoding(path):
        read = {".off": _from_off, ".obj": _from_obj}.get(suffix)
        if suffix == ".off" and re.match(rb"[A-Z]*OFF\s+BINARY\s", data):
            triangles = _from_binary_off(path, data)
        else:
            triangles = read(path, data.decode("utf-8", "replace")) if read else _from_stl(path, data)
    if not len(triangles):
        raise UserError(f"{path} has no triangle; it is damaged or holds no surface, replace it.")
    if not np.isfinite(triangles).all():
        raise UserError(f"{path} has corners that are no finite numbers; export it again.")
    if np.ptp(triangles.reshape(-1, 3), axis=0).max() == 0:
        raise UserError(f"{path} has all its corners in one place; export it again.")
    return triangles


def _from_off(path: Path, text: str) -> Array:
    kept = (line.split("#")[0].split() for line in text.splitlines())
    lines = [line for line in kept if line]
    head = re.match("(?:ST)?C?N?OFF", lines[0][0], re.IGNORECASE) if lines else None
    if head is None:
        raise UserError(f"{path} does not begin with OFF; it is damaged or no OFF file, replace it.")
    glued = lines[0][0][head.end() :]
    lines[0] = ([glued] if glued else []) + lines[0][1:]
    lines = lines if lines[0] else lines[1:]
    corners, faces = int(lines[0][0]), int(lines[0][1])
    if min(corners, faces) < 0 or len(lines) < 1 + corners + faces:
        raise UserError(
            f"{path} says it has {corners} corners and {faces} faces but holds {len(lines) - 1} lines of "
            "them; it is cut off, replace it."
        )
    around = []
    for line in lines[1 + corners : 1 + corners + faces]:
        count = int(line[0])
        if len(line) <= count:
            raise UserError(f"{path} has a face of {count} corners that names {len(line) - 1}; replace it.")
        around.append([int(word) for word in line[1 : count + 1]])
    return _surface(path, lines[1 : 1 + corners], around)


def _from_binary_off(path: Path, data: bytes) -> Array:
    """Geomview's binary form: big-endian counts and numbers of 4 bytes; a count of colours ends each face."""
    head, _, _ = data.partition(b"BINARY")
    kinds = head.split()[0]
    if not re.fullmatch(b"(?:ST)?C?N?OFF", kinds):
        raise UserError(f"{path} is a mesh of other dimensions ({kinds.decode()}); export it as OFF.")
    width = 3 + 3 * (b"N" in kinds) + 4 * (b"C" in kinds) + 2 * (b"ST" in kinds)
    start = data.index(b"\n") + 1
    words = np.frombuffer(data[start : start + (len(data) - start) // 4 * 4], ">i4")
    corners, faces = int(words[0]), int(words[1])
    place = 3 + corners * width
    if min(corners, faces) < 0 or len(words) < place + 2 * faces:
        raise UserError(f"{path} says it has {corners} corners and {faces} faces; it is cut off, replace it.")
    around = []
    for _ in range(faces):
        count = int(words[place])
        colours = int(words[place + 1 + count])
        if min(count, colours) < 0:
            raise UserError(f"{path} has a face of {min(count, colours)} numbers; it is damaged, replace it.")
        around.append([int(word) for word in words[place + 1 : place + 1 + count]])
        place += 2 + count + colours
    points = words[3 : 3 + corners * width].view(">f4").reshape(corners, width)
    return _surface(path, points.tolist(), around)


def _from_obj(path: Path, text: str) -> Array:
    points: list[list[str]] = []
    faces: list[list[int]] = []
    for line in text.replace("\\\n", " ").splitlines():
        kind, *words = line.split("#")[0].split() or [""]
        if kind == "v":
            points.append(words)
        elif kind == "f":
            around = [int(word.split("/")[0]) for word in words]
            # negative numbers count back from the newest point
            faces.append([number - 1 if number >= 0 else len(points) + number for number in around])
    return _surface(path, points, faces)


def _surface(path: Path, points: list[list[Any]], faces: list[list[int]]) -> Array:
    """The triangles of polygons, each as a fan, from the words of each point and the indices of each face."""
    if flat := next((point for point in points if len(point) < 3), None):
        raise UserError(f"{path} has a corner of {len(flat)} coordinates; give x, y and z.")
    places = np.array([point[:3] for point in points], np.float64).reshape(-1, 3)
    fans = [(face[0], face[k], face[k + 1]) for face in faces for k in range(1, len(face) - 1)]
    indices = np.array(fans, np.int64).reshape(-1, 3)
    if indices.size and not 0 <= indices.min() <= indices.max() < len(places):
        wrong = indices.max() if indices.min() >= 0 else indices.min()
        raise UserError(f"{path} has a face at corner {wrong} of {len(places)}; it is damaged, replace it.")
    triangles: Array = places[indices]
    return triangles


def _from_stl(path: Path, data: bytes) -> Array:
    record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    count = int.from_bytes(data[80:84], "little")
    if len(data) == 84 + count * record.itemsize:
        corners = np.frombuffer(data, record, count, 84)["corners"]
    else:
        words = re.findall(rb"vertex\s+(\S+)\s+(\S+)\s+(\S+)", data)
        if b"endsolid" not in data or len(words) % 3:
            raise UserError(f"{path} is no STL file or cut off; replace it.")
        corners = np.array(words, "S").astype(np.float64).reshape(-1, 3, 3)
    triangles: Array = corners.astype(np.float64)
    return triangles


def voxelised(triangles: Array, size: int, margin: int, whole_turn: bool = False) -> Array:
    """Occupancy of a mesh (T, 3, 3) with ``z`` up, centred in a cube of ``size`` cells.

    The mesh's longest side spans the cube minus the margin. A cell is filled if the surface passes through it
    or if these surface cells enclose it: a watertight mesh becomes solid, one with a hole wider than a cell
    stays a shell. Nothing thin is lost; a solid is about half a cell too thick on each side.

    Args:
        triangles: Triangle, corner, axis.
        size: Cells per side.
        margin: Empty cells on each side.
        whole_turn: Fit the circle that the mesh sweeps when rotated about the vertical, not its sides.

    Raises:
        ValueError: The surface is so large that it would take minutes.
    """
    low, high = triangles.min((0, 1)), triangles.max((0, 1))
    around = triangles - (low + high) / 2
    longest = float((high - low).max())
    if whole_turn:
        longest = max(longest, 2 * float(np.hypot(around[..., 0], around[..., 1]).max()))
    # slightly smaller, so that a face on the border between two cells stays inside
    around *= (size - 2 * margin) * (1 - 1e-6) / longest
    grid = np.zeros(size**3, bool)
    for points in _samples((around + size / 2).astype(np.float32)):
        x, y, z = np.moveaxis(points.astype(np.int32), -1, 0)
        grid[(x * size + y) * size + z] = True
    shell = np.pad(grid.reshape(size, size, size), 1)
    outside = ndimage.label(~shell)[0]
    solid: Array = (outside != outside[0, 0, 0])[1:-1, 1:-1, 1:-1]
    return solid


def _samples(triangles: Array, apart: float = 0.34, most: int = 500_000) -> Iterator[Array]:
    """Points on triangles, so dense that no unit cell is skipped.

    Rows run along the longest edge and converge towards the opposite corner, so slivers cost no more than
    their size. Triangles with equal numbers of rows and points are processed together.
    """
    lengths = np.linalg.norm(triangles - np.roll(triangles, -1, 1), axis=2)
    first = lengths.argmax(1)
    a, b, c = (triangles[np.arange(len(triangles)), (first + k) % 3] for k in range(3))
    longest = lengths.max(1)
    heights = np.linalg.norm(np.cross(b - a, c - a), axis=1) / np.maximum(longest, 1e-9)
    # powers of two keep the groups few
    counts, rows = (
        (2 ** np.ceil(np.log2(np.maximum(side / apart, 1)))).astype(int) for side in (longest, heights)
    )
    if int(((counts + 1) * (rows + 1)).sum()) > MOST_POINTS:
        raise ValueError(f"{len(triangles)} triangles that cover each other many times")
    for count, row in {*zip(counts.tolist(), rows.tolist(), strict=True)}:
        chosen = np.flatnonzero((counts == count) & (rows == row))
        s = np.linspace(0, 1, count + 1, dtype=np.float32)[None, None, :, None]
        t = np.linspace(0, 1, row + 1, dtype=np.float32)[None, :, None, None]
        each = max(1, most // ((count + 1) * (row + 1)))
        for start in range(0, len(chosen), each):
            part = chosen[start : start + each]
            pa, pb, pc = (corner[part][:, None, None, :] for corner in (a, b, c))
            yield ((1 - t) * ((1 - s) * pa + s * pb) + t * pc).reshape(-1, 3)


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Convert what decoders raise on damaged bytes to a UserError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = reason_of(error)
        if isinstance(error, (EOFError, zipfile.BadZipFile)):
            reason = "it is cut off or no archive"
        elif "allow_pickle" in reason:
            reason = "it holds Python objects, which could run code"
        raise UserError(f"{path} cannot be read ({reason}); save the file again or take it out.") from error
