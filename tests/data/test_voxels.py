"""Voxels: files of grids and meshes, folders, turns, the known chairs, and how they are shown."""

import hashlib
import math
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from zoo.commands._names import reader
from zoo.data.base import collate
from zoo.data.folders import find_root
from zoo.data.voxels.files import find_layout
from zoo.data.voxels.module import VoxelFolder, turned
from zoo.data.voxels.sets import ModelNetChairs
from zoo.data.voxels.world import FurnitureWorld
from zoo.data.worlds import furniture
from zoo.drawing.voxels import turning, voxel_sheet
from zoo.errors import UserError
from zoo.files.voxels import fitted, read_grid, read_mesh, read_voxels, voxelised

CUBE = """OFF
8 6 0
0 0 0
1 0 0
1 1 0
0 1 0
0 0 1
1 0 1
1 1 1
0 1 1
4 0 1 2 3
4 4 5 6 7
4 0 1 5 4
4 1 2 6 5
4 2 3 7 6
4 3 0 4 7
"""


def an_l(side: int = 8) -> np.ndarray:
    """A thing that looks different from everywhere: long in z, a foot in x, a thumb in y."""
    grid = np.zeros((side, side, side), bool)
    grid[1, 1, 1:7] = grid[1:5, 1, 1] = grid[1, 1:4, 2] = True
    return grid


def sphere(rings: int = 24) -> np.ndarray:
    """Triangles (T, 3, 3) of a sphere of radius 1."""
    theta, phi = np.linspace(0, math.pi, rings + 1), np.linspace(0, 2 * math.pi, 2 * rings + 1)
    at = np.stack(
        [
            np.sin(theta)[:, None] * np.cos(phi),
            np.sin(theta)[:, None] * np.sin(phi),
            np.cos(theta)[:, None] + 0 * phi,
        ],
        -1,
    )
    a, b, c, d = at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:]
    return np.stack([np.stack([a, b, c], 2), np.stack([a, c, d], 2)]).reshape(-1, 3, 3)


def off(triangles: np.ndarray) -> str:
    corners = "\n".join(" ".join(f"{v:.6f}" for v in corner) for corner in triangles.reshape(-1, 3))
    faces = "\n".join(f"3 {3 * i} {3 * i + 1} {3 * i + 2}" for i in range(len(triangles)))
    return f"OFF\n{3 * len(triangles)} {len(triangles)} 0\n{corners}\n{faces}\n"


# ----------------------------------------------------------------------------------------------------- binvox

HEAD = b"#binvox 1\ndim 2 4 3\ntranslate -0.5 0 1e-2\nscale 7.5\ndata\n"  # lengths along x, z and y


def test_binvox_by_hand(tmp_path: Path) -> None:
    """Cell (1, 2, 3) is number 1 * 12 + 3 * 3 + 2 = 23, and (0, 1, 0) is number 1."""
    path = tmp_path / "a.binvox"
    path.write_bytes(HEAD + bytes([0, 1, 1, 1, 0, 20, 0, 1, 1, 1]))
    grid = read_grid(path)
    assert grid.shape == (2, 3, 4) and np.argwhere(grid).tolist() == [[0, 1, 0], [1, 2, 3]]


def write_binvox(path: Path, grid: np.ndarray) -> None:
    """Write a grid ``[x, y, z]`` of booleans as a .binvox file in which a cell is one unit long."""
    stored = grid.transpose(0, 2, 1)
    flat = stored.reshape(-1).astype(np.uint8)
    starts = np.flatnonzero(np.diff(flat, prepend=2))
    lengths = np.diff(starts, append=len(flat))
    pieces = -(-lengths // 255)  # a run holds 255 cells at most
    counts = np.full(pieces.sum(), 255)
    counts[pieces.cumsum() - 1] = lengths - 255 * (pieces - 1)
    runs = np.stack([np.repeat(flat[starts], pieces), counts], 1).astype(np.uint8)
    sides = " ".join(map(str, stored.shape))
    head = f"#binvox 1\ndim {sides}\ntranslate 0 0 0\nscale {max(grid.shape)}\ndata\n"
    path.write_bytes(head.encode() + runs.tobytes())


def test_binvox_is_written_as_by_hand(tmp_path: Path) -> None:
    path, grid = tmp_path / "a.binvox", np.zeros((2, 3, 4), bool)
    grid[0, 1, 0] = grid[1, 2, 3] = True
    write_binvox(path, grid)
    expected = b"#binvox 1\ndim 2 4 3\ntranslate 0 0 0\nscale 4\ndata\n" + bytes([0, 1, 1, 1, 0, 21, 1, 1])
    assert path.read_bytes() == expected


def test_binvox_comes_back(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    long_runs = np.zeros((16, 16, 16), bool)
    long_runs[3:13] = True  # runs of more than 255 cells
    whole = np.ones((8, 8, 255 * 8 // 64), bool)
    for grid in (random.random((7, 9, 5)) > 0.5, long_runs, whole, an_l()):
        write_binvox(tmp_path / "a.binvox", grid)
        assert np.array_equal(read_grid(tmp_path / "a.binvox"), grid)


# ------------------------------------------------------------------------------------------------ other grids


def test_arrays_of_every_kind(tmp_path: Path) -> None:
    grid = an_l()
    np.save(tmp_path / "bool.npy", grid)
    np.save(tmp_path / "bytes.npy", grid.astype(np.uint8) * 255)
    np.save(tmp_path / "signs.npy", grid.astype(np.float32) * 2 - 1)
    np.save(tmp_path / "soft.npy", np.where(grid, 0.7, 0.4)[None])  # (1, D, H, W)
    np.savez(tmp_path / "named.npz", voxels=grid, other=~grid)
    np.savez_compressed(tmp_path / "only.npz", some=grid, label=3)
    scipy.io.savemat(
        tmp_path / "instance.mat", {"instance": grid.astype(np.int8), "other": np.ones((8, 8, 8))}
    )
    scipy.io.savemat(
        tmp_path / "only.mat", {"chair": grid.astype(float), "name": "a chair", "p": np.ones((2, 2))}
    )
    files = sorted(tmp_path.iterdir())
    assert len(files) == 8
    for path in files:
        assert np.array_equal(read_grid(path), grid), path


def test_small_grids_are_centred_and_padded() -> None:
    grid = np.ones((3, 4, 8), bool)
    out = fitted(grid, 8)
    assert out.shape == (8, 8, 8) and out.sum() == grid.sum() and out[2:5, 2:6].all()
    assert np.array_equal(fitted(np.ones((30, 30, 30), bool), 32), np.pad(np.ones((30, 30, 30), bool), 1))


def test_large_grids_are_reduced_by_a_whole_factor() -> None:
    grid = np.zeros((20, 20, 20), bool)
    grid[5, 6, 7] = True
    out = fitted(grid, 8)  # factor 3: 20 becomes 21 and then 7
    assert out.shape == (8, 8, 8) and np.argwhere(out).tolist() == [[1, 2, 2]]
    assert fitted(np.ones((16, 16, 16), bool), 8).all()


def test_up_is_brought_to_z(tmp_path: Path) -> None:
    grid = an_l()
    np.save(tmp_path / "z.npy", grid)
    np.save(tmp_path / "y.npy", grid.transpose(1, 2, 0))  # x, y, z lie along its last, first and second axis
    np.save(tmp_path / "x.npy", grid.transpose(2, 0, 1))
    for up in ("x", "y", "z"):
        assert np.array_equal(read_voxels(tmp_path / f"{up}.npy", 8, up), grid), up
    flat = sphere(6) * [1, 0.6, 0.3]  # as a mesh, likewise
    for up, axes in (("x", [2, 0, 1]), ("y", [1, 2, 0]), ("z", [0, 1, 2])):
        (tmp_path / f"{up}.off").write_text(off(flat[:, :, axes]))
        grid = read_voxels(tmp_path / f"{up}.off", 16, up)
        extents = [int(np.ptp(np.flatnonzero(grid.any(across)))) for across in ((1, 2), (0, 2), (0, 1))]
        assert extents == sorted(extents, reverse=True), up


# ----------------------------------------------------------------------------------------------------- meshes


@pytest.mark.parametrize("size", [16, 32, 64])
def test_a_cube_fills_its_cells_exactly(tmp_path: Path, size: int) -> None:
    path = tmp_path / "cube.off"
    path.write_text(CUBE)
    grid, margin = read_voxels(path, size), size // 16
    inner = slice(margin, size - margin)
    assert grid[inner, inner, inner].all() and grid.sum() == (size - 2 * margin) ** 3


@pytest.mark.parametrize("size", [16, 32, 64])
def test_a_sphere_has_its_volume(size: int) -> None:
    """Solid, and no thicker than the cells that its surface passes through: at most a cell's diagonal."""
    grid, radius = voxelised(sphere(), size, 2), size / 2 - 2
    far = np.linalg.norm(np.indices(grid.shape).transpose(1, 2, 3, 0) + 0.5 - size / 2, axis=-1)
    assert grid[far < 0.98 * radius].all()  # the facets lie a little within
    assert not grid[far > radius + 3**0.5 / 2].any()
    volume = grid.sum() / (4 / 3 * math.pi)
    assert radius**3 < volume < (radius + 0.75) ** 3


def test_a_mesh_with_a_hole_stays_a_shell() -> None:
    whole = sphere()
    middles = whole.mean(1)
    open_ = whole[middles[:, 2] < 0.8]
    solid, shell = voxelised(whole, 32, 2), voxelised(open_, 32, 2)
    assert solid[16, 16, 16] and not shell[16, 16, 16] and shell.sum() < 0.6 * solid.sum()


def test_thin_parts_stay_whole() -> None:
    """A needle and a plate without thickness."""
    needle = np.array([[[0, 0, 0], [1, 0.6, 0.3], [1, 0.6, 0.3001]]])
    cells = voxelised(needle, 32, 2)
    assert (np.flatnonzero(cells.any((1, 2))) == np.arange(2, 30)).all()
    plate = np.array([[[0, 0, 0], [1, 0, 0], [1, 1, 0]], [[0, 0, 0], [1, 1, 0], [0, 1, 0]]], float)
    assert voxelised(plate, 32, 2).sum() == 28 * 28


def test_the_order_of_corners_and_the_scale_do_not_matter() -> None:
    mesh = sphere(8)
    plain = voxelised(mesh, 32, 2)
    assert np.array_equal(voxelised(1000 * mesh + 5, 32, 2), plain)
    moved = voxelised(mesh[:, [2, 0, 1]], 32, 2) ^ plain
    assert moved.sum() < 0.01 * plain.sum()


def test_a_mesh_that_shall_turn_stays_in_its_circle() -> None:
    cube = np.concatenate([sphere(8) * [1, 1, 0.2]])
    square = np.array([[[0, 0, 0], [1, 0, 0], [1, 1, 0]], [[0, 0, 0], [1, 1, 0], [0, 1, 0.5]]], float)
    for mesh in (cube, square):
        x, y = np.nonzero(voxelised(mesh, 32, 2, whole_turn=True).any(2))
        assert np.hypot(x - 15.5, y - 15.5).max() < 15


def test_obj_and_stl_are_read_as_off(tmp_path: Path) -> None:
    mesh = sphere(8)
    (tmp_path / "a.off").write_text(off(mesh))
    corners = "".join(f"v {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in mesh.reshape(-1, 3))
    faces = "".join(f"f {3 * i + 1}//1 {3 * i + 2}//1 {3 * i + 3}//1\n" for i in range(len(mesh)))
    (tmp_path / "a.obj").write_text(f"mtllib ../none.mtl\no ball\n{corners}vn 0 0 1\nusemtl red\n{faces}")
    record = np.zeros(len(mesh), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("extra", "<u2")])
    record["corners"] = mesh
    (tmp_path / "a.stl").write_bytes(bytes(80) + np.uint32(len(mesh)).tobytes() + record.tobytes())
    grids = [read_voxels(tmp_path / f"a.{suffix}", 24) for suffix in ("off", "obj", "stl")]
    assert (grids[0] ^ grids[1]).sum() <= 4 and (grids[0] ^ grids[2]).sum() <= 4  # last digits differ
    assert grids[0][12, 12, 12]


@pytest.mark.parametrize(
    "head", ["OFF8 6 0\n", "off 8 6 0\n", "# by hand\nOFF\n# counts\n8 6 12\n\n", "OFF\r\n8 6 0\r\n"]
)
def test_heads_of_off_files(tmp_path: Path, head: str) -> None:
    path = tmp_path / "cube.off"
    path.write_text(CUBE)
    plain = read_mesh(path)
    path.write_bytes((head + CUBE.split("\n", 2)[2]).encode())
    assert plain.shape == (12, 3, 3) and np.array_equal(read_mesh(path), plain)


@pytest.mark.parametrize(("kind", "more"), [("COFF", 4), ("NOFF", 3), ("STCNOFF", 9)])
def test_colours_and_normals_of_off_files_are_ignored(tmp_path: Path, kind: str, more: int) -> None:
    path = tmp_path / "cube.off"
    path.write_text(CUBE)
    plain = read_mesh(path)
    _, counts, *rest = CUBE.splitlines()
    corners, faces = rest[:8], rest[8:]
    path.write_text("\n".join([kind, counts, *(corner + " 0.5" * more for corner in corners), *faces]))
    assert np.array_equal(read_mesh(path), plain)
    numbers = [np.array(counts.split(), ">i4").tobytes()]
    numbers += [np.array((corner + " 0.5" * more).split(), ">f4").tobytes() for corner in corners]
    for face in faces:
        count, *around = face.split()
        around = around[: int(count)]
        numbers.append(np.array([count, *around, 1], ">i4").tobytes() + np.array([0.5], ">f4").tobytes())
    whole = f"{kind} BINARY\n".encode() + b"".join(numbers)
    path.write_bytes(whole)
    assert np.array_equal(read_mesh(path), plain)
    path.write_bytes(whole[:-20])
    with pytest.raises(UserError, match=re.escape(str(path))):
        read_mesh(path)


# ----------------------------------------------------------------------------------------------------- faults

BINVOX = HEAD + bytes([0, 1, 1, 1, 0, 22])
FAULTS = {
    "no_head.binvox": (b"binvox 1\ndim 2 2 2\ndata\n", "begin as a binvox"),
    "no_data.binvox": (b"#binvox 1\ndim 2 2 2\n", "begin as a binvox"),
    "cut.binvox": (BINVOX[:-2], "2 cells of 24"),
    "longer.binvox": (BINVOX + bytes([0, 9]), "33 cells of 24"),
    "bomb.binvox": (BINVOX.replace(b"2 4 3", b"99999 4 3"), "1 to 1024"),
    "letters.binvox": (BINVOX.replace(b"2 4 3", b"a b c"), "cannot be read"),
    "empty.npy": (b"", "cannot be read"),
    "no.npz": (b"PK\x03\x04 and no more", "no archive"),
    "new.mat": (b"MATLAB 7.3 MAT-file, Platform: GLNXA64" + bytes(600), "-v7"),
    "words.mat": (b"this is no matrix" * 20, "cannot be read"),
    "cut.off": (CUBE[:-20].encode(), "cut off"),
    "picture.off": (b"\x89PNG\r\n\x1a\n", "begin with OFF"),
    "no_faces.off": (b"OFF\n3 0 0\n0 0 0\n1 0 0\n0 1 0\n", "no triangle"),
    "far_face.off": (CUBE.replace("4 3 0 4 7", "4 3 0 4 8").encode(), "corner 8 of 8"),
    "short_face.off": (CUBE.replace("4 3 0 4 7", "4 3 0 4").encode(), "names 3"),
    "word.off": (CUBE.replace("0 1 1\n", "0 one 1\n").encode(), "cannot be read"),
    "nan.off": (CUBE.replace("0 1 1\n", "0 nan 1\n").encode(), "finite"),
    "point.off": (b"OFF\n3 1 0\n0 0 0\n0 0 0\n0 0 0\n3 0 1 2\n", "one place"),
    "empty.obj": (b"", ""),
    "far.obj": (b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", ""),
    "cut.stl": (bytes(80) + np.uint32(5).tobytes() + bytes(70), ""),
}


@pytest.mark.parametrize("name", FAULTS)
def test_damaged_files_have_one_sentence(tmp_path: Path, name: str) -> None:
    data, words = FAULTS[name]
    path = tmp_path / name
    path.write_bytes(data)
    sentence = refusal(lambda: read_voxels(path, 16))
    assert str(path) in sentence and words in sentence, sentence
    assert path.read_bytes() == data


def test_arrays_that_are_no_grids(tmp_path: Path) -> None:
    cases = {
        "objects.npy": (np.array([{"a": 1}], object), "Python objects"),
        "flat.npy": (np.ones((4, 4)), "4 x 4"),
        "words.npy": (np.full((2, 2, 2), "a"), "three dimensions"),
        "nan.npy": (np.full((2, 2, 2), np.nan), "finite"),
        "none.npy": (np.zeros((2, 2, 2)), "no filled cell"),
        "long.npy": (np.ones((1, 2, 2000), bool), "2000 cells"),
    }
    for name, (array, words) in cases.items():
        np.save(tmp_path / name, array, allow_pickle=True)
        sentence = refusal(lambda path=tmp_path / name: read_grid(path))
        assert str(tmp_path / name) in sentence and words in sentence, sentence
    np.savez(tmp_path / "two.npz", a=np.ones((2, 2, 2)), b=np.ones((2, 2, 2)))
    scipy.io.savemat(tmp_path / "flat.mat", {"picture": np.ones((3, 3))})
    assert "holds a, b with 2 arrays" in refusal(lambda: read_grid(tmp_path / "two.npz"))
    assert "holds picture with 0 arrays" in refusal(lambda: read_grid(tmp_path / "flat.mat"))
    assert "Cannot read" in refusal(lambda: read_grid(tmp_path / "missing.npy"))


def refusal(action: object) -> str:
    with pytest.raises(UserError) as caught:
        action()
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence
    return sentence


# ---------------------------------------------------------------------------------------------------- folders


def save(path: Path, grid: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, an_l() if grid is None else grid)


def labels(data: VoxelFolder, split: str) -> list[int]:
    return [int(data.split(split)[i]["label"]) for i in range(len(data.split(split)))]


def test_by_split(tmp_path: Path) -> None:
    for name in ("train/chair/a", "train/chair/b", "train/table/a", "val/table/a", "test/chair/c"):
        save(tmp_path / f"{name}.npy")
    save(tmp_path / "train" / "chair" / "._a.npy")  # macOS leaves such files
    data = VoxelFolder(str(tmp_path), 8)
    assert find_layout(tmp_path) == "split/class/file" and data.classes == ["chair", "table"]
    assert [labels(data, split) for split in ("train", "val", "test")] == [[0, 0, 1], [1], [0]]
    sample = data.split("train")[0]
    assert sample["voxels"].shape == (1, 8, 8, 8) and sample["voxels"].dtype == torch.float32
    assert np.array_equal(sample["voxels"][0].numpy(), an_l())
    assert VoxelFolder(str(tmp_path), 8, classes=["table"]).classes == ["table"]
    only = VoxelFolder(str(tmp_path), 8, classes=["table"])
    assert labels(only, "train") == [0] and only.split("test") is None


def test_as_modelnet_and_its_volumes(tmp_path: Path) -> None:
    for name in ("bed/train/a", "bed/test/b", "sofa/train/a", "sofa/train/b"):
        save(tmp_path / "net" / f"{name}.npy")
        save(tmp_path / "volumes" / f"{name.replace('/', '/30/', 1)}.npy")
    for folder in ("net", "volumes"):
        data = VoxelFolder(str(tmp_path / folder), 8)
        assert find_layout(tmp_path / folder) == "class/split/file"
        assert labels(data, "train") == [0, 1, 1] and labels(data, "test") == [0]
        assert data.split("val") is None


def test_classes_without_splits_are_held_out_by_place(tmp_path: Path) -> None:
    for kind, count in (("lamp", 10), ("vase", 5)):
        for k in range(count):
            save(tmp_path / kind / f"{k}" / "models" / "solid.npy")
            save(tmp_path / kind / f"{k}" / "models" / "surface.npy")
    data = VoxelFolder(str(tmp_path), 8, pattern="solid*", hold_out=5)
    assert find_layout(tmp_path) == "class/file"
    assert [labels(data, s) for s in ("train", "val", "test")] == [[0] * 6 + [1] * 3, [0, 0, 1], [0, 0, 1]]
    every = VoxelFolder(str(tmp_path), 8, pattern="solid*", hold_out=0)
    assert len(every.split("train")) == 15 and every.split("test") is None


def test_flat_has_no_labels(tmp_path: Path) -> None:
    for k in range(6):
        save(tmp_path / f"{k}.npy")
    data = VoxelFolder(str(tmp_path), 8, hold_out=3)
    assert [len(data.split(s)) for s in ("train", "val", "test")] == [2, 2, 2]
    assert set(data.split("train")[0]) == {"voxels"}


def test_mistakes_about_folders(tmp_path: Path) -> None:
    assert "does not exist" in refusal(lambda: VoxelFolder(str(tmp_path / "no")).dataset("train"))
    assert "holds no voxel files" in refusal(lambda: VoxelFolder(str(tmp_path)).dataset("train"))
    save(tmp_path / "test" / "chair" / "a.npy")
    assert "no files for training" in refusal(lambda: VoxelFolder(str(tmp_path)).dataset("train"))
    save(tmp_path / "train" / "bed" / "a.npy")
    assert "class chair" in refusal(lambda: VoxelFolder(str(tmp_path)).dataset("test"))
    assert "data.classes sofa" in refusal(
        lambda: VoxelFolder(str(tmp_path), classes=["sofa"]).dataset("train")
    )
    save(tmp_path / "train" / "b.npy")
    assert "beside folders of classes" in refusal(lambda: VoxelFolder(str(tmp_path)).dataset("train"))


@pytest.mark.parametrize(
    "options", [{"size": 4}, {"up": "w"}, {"margin": 40}, {"rotations": 3}, {"hold_out": 2}], ids=str
)
def test_mistakes_about_arguments(options: dict) -> None:
    assert f"data.{next(iter(options))}" in refusal(lambda: VoxelFolder("anywhere", **options))


def test_description(tmp_path: Path) -> None:
    save(tmp_path / "train" / "chair" / "a.npy")
    one = VoxelFolder(str(tmp_path), 8).describe()
    assert (
        one["contract"] == "voxels" and one["research_only"] and one["preprocessing"]["classes"] == ["chair"]
    )
    save(tmp_path / "train" / "chair" / "b.npy")
    assert VoxelFolder(str(tmp_path), 8).describe()["fingerprint"] != one["fingerprint"]


def test_check_names_every_fault(tmp_path: Path) -> None:
    save(tmp_path / "train" / "chair" / "good.npy", an_l(30))
    save(tmp_path / "train" / "chair" / "twin.npy", an_l(30))
    (tmp_path / "train" / "chair" / "cut.off").write_text(CUBE[:-20])
    (tmp_path / "train" / "chair" / "cube.off").write_text(CUBE)
    (tmp_path / "train" / "chair" / "notes.txt").write_text("mine")
    assert VoxelFolder.recognises(tmp_path)
    found = VoxelFolder.check(tmp_path)
    assert found.samples == {"train": 3} and found.arguments == {"size": 32}
    assert [Path(fault.file).name for fault in found.errors] == ["cut.off"]
    assert [Path(fault.file).name for fault in found.notes] == ["notes.txt"]
    digests = {fact.path.name: fact.digest for fact in found.facts}
    assert digests["good.npy"] == digests["twin.npy"] != digests["cube.off"]


def test_an_empty_folder_and_pictures_are_not_recognised(tmp_path: Path) -> None:
    assert not VoxelFolder.recognises(tmp_path)
    save(tmp_path / "train" / "a.npy", np.ones((16, 16, 3)))
    assert not VoxelFolder.recognises(tmp_path)
    found = VoxelFolder.check(tmp_path / "train" / "none")
    assert found.errors and "no readable training samples" in found.errors[0].text


# ------------------------------------------------------------------------------------------------------ turns


def test_turning_by_quarters_is_exact_and_goes_from_x_to_y() -> None:
    grid = an_l().astype(np.uint8)
    quarter = turned(grid, 3)
    assert quarter[6, 4, 1] == 1 and quarter.sum() == grid.sum()  # (4, 1) goes to (-1, 4), from the middle
    assert np.array_equal(turned(turned(quarter, 3), 6), grid)
    assert np.array_equal(turned(grid, 0), grid)


def test_turning_by_thirty_degrees_loses_nothing_thin() -> None:
    for index in range(6):
        grid = furniture.draw(0, index).voxels.numpy()
        for step in range(12):
            out = turned(grid, step)
            assert out.dtype == grid.dtype and set(np.unique(out)) <= {0, 1}
            assert (out.sum((0, 1)) >= grid.sum((0, 1)) * 0.7).all()  # in every layer
            assert 0.95 < out.sum() / grid.sum() < 1.3
    for x in range(2, 10):  # one post, wherever it stands, is still a post
        for y in range(2, 10):
            post = np.zeros((12, 12, 12), np.uint8)
            post[x, y] = 1
            assert all(turned(post, step).any((0, 1)).all() for step in (1, 2, 4, 11)), (x, y)


def test_training_draws_turns_and_evaluation_none(tmp_path: Path) -> None:
    for split in ("train", "test"):
        save(tmp_path / split / "a.npy", np.pad(an_l(), 2))
    for rotations in (4, 12):
        data = VoxelFolder(str(tmp_path), 12, rotations=rotations, seed=0)
        train, test = data.split("train"), data.split("test")
        seen = {train[(epoch, 0)]["voxels"].numpy().tobytes() for epoch in range(80)}
        assert len(seen) == rotations
        assert torch.equal(train[(3, 0)]["voxels"], train[(3, 0)]["voxels"])
        assert np.array_equal(test[0]["voxels"][0].numpy(), np.pad(an_l(), 2))
        assert torch.equal(train[0]["voxels"], test[0]["voxels"])


def test_what_would_be_cut_off_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "train" / "a.npy", np.ones((8, 8, 8), bool))
    assert "corners" in refusal(lambda: VoxelFolder(str(tmp_path), 8, rotations=12).dataset("train").load(0))
    assert VoxelFolder(str(tmp_path), 16, rotations=12).dataset("train").load(0)


# ----------------------------------------------------------------------------------------------- known chairs


def few_chairs(root: Path) -> np.ndarray:
    """Twenty chairs in two turns each, as their owners lay them out; gives the grids."""
    grids = np.random.default_rng(0).random((40, 30, 30, 30)) > 0.9
    folder = root / "chair" / "30" / "train"
    folder.mkdir(parents=True)
    for k, grid in enumerate(grids):
        path = folder / f"chair_{k // 2:09d}_{k % 2 + 1}.mat"
        scipy.io.savemat(path, {"instance": grid.astype(np.int8)}, do_compression=True)
    return grids


def test_chairs(tmp_path: Path) -> None:
    grids = few_chairs(tmp_path)
    data = ModelNetChairs(str(tmp_path))
    said = data.describe()
    assert said["research_only"]
    cells = np.packbits(grids.reshape(40, -1), axis=1).tobytes()
    names = "\n".join(f"chair_{k // 2:09d}_{k % 2 + 1}" for k in range(40))
    assert said["fingerprint"] == hashlib.sha256(names.encode() + cells).hexdigest()
    assert [len(data.split(s)) for s in ("train", "val", "test")] == [32, 4, 4]
    assert len(data.split("test").files()) == 40
    assert data.split("test").names == [f"chair_{k:09d}_{t}" for k in (0, 10) for t in (1, 2)]
    sample = data.split("train")[1]  # the second turn of chair 2
    assert np.array_equal(sample["voxels"][0].numpy(), np.pad(grids[5], 1)) and sample["label"] == 0
    assert VoxelFolder.recognises(tmp_path)


def test_packed_chairs_are_the_same(tmp_path: Path) -> None:
    grids, plain = few_chairs(tmp_path / "plain"), ModelNetChairs(str(tmp_path / "plain"))
    names = [path.stem for path in sorted((tmp_path / "plain").rglob("*.mat"))]
    bits = np.array([np.packbits(grid.reshape(-1)) for grid in grids])
    (tmp_path / "packed").mkdir()
    path = tmp_path / "packed" / ModelNetChairs.PACKED
    np.savez(path, names=np.array(names[::-1]), bits=bits[::-1])
    data = ModelNetChairs(str(path.parent))
    assert data.describe() == plain.describe() and data.split("test").files() == [path]
    assert torch.equal(data.split("train")[1]["voxels"], plain.split("train")[1]["voxels"])
    found = reader(path.parent).check(path.parent)
    assert found.class_path == "zoo.data.voxels.ModelNetChairs" and not found.errors
    assert found.samples == {"train": 32, "val": 4, "test": 4}
    np.savez(path, names=np.array(names), bits=bits[:, :7])
    assert str(path) in refusal(lambda: ModelNetChairs(str(path.parent)).split("train"))


def test_chairs_that_are_missing_or_damaged(tmp_path: Path) -> None:
    assert "chairs_voxels" in refusal(lambda: ModelNetChairs(str(tmp_path)).split("train"))
    few_chairs(tmp_path)
    path = tmp_path / "chair" / "30" / "train" / "chair_000000003_1.mat"
    scipy.io.savemat(path, {"instance": np.ones((8, 8, 8), np.int8)})
    assert str(path) in refusal(lambda: ModelNetChairs(str(tmp_path)).split("train"))
    path.write_bytes(b"nothing")
    assert str(path) in refusal(lambda: ModelNetChairs(str(tmp_path)).split("train"))


@pytest.mark.skipif(
    not find_root("chairs_voxels").is_dir(), reason="set ZOO_DATA to a folder with chairs_voxels"
)
def test_the_real_chairs() -> None:
    data = ModelNetChairs("chairs_voxels")
    sets = {split: data.split(split) for split in ("train", "val", "test")}
    assert [len(built) for built in sets.values()] == [8532, 1068, 1068]  # 10,668 in all
    chairs = [{name.rpartition("_")[0] for name in built.names} for built in sets.values()]
    assert [len(kind) for kind in chairs] == [711, 89, 89] and not set.intersection(*chairs[:2])
    assert not chairs[2] & (chairs[0] | chairs[1])
    filled = sum(int(np.bitwise_count(built.bits).sum()) for built in sets.values())
    assert round(filled / (10_668 * 30**3), 3) == 0.039
    sample = sets["train"][0]
    assert sample["voxels"].shape == (1, 32, 32, 32) and set(sample["voxels"].unique().tolist()) == {0.0, 1.0}
    first = {name: row for row, name in enumerate(sets["train"].names)}
    name = sets["train"].names[0].rpartition("_")[0]
    grids = [sets["train"][first[f"{name}_{turn}"]]["voxels"][0].numpy() for turn in (1, 4)]
    assert np.array_equal(
        turned(grids[0].astype(np.uint8), 3), grids[1]
    )  # their turns go the same way as ours


# ------------------------------------------------------------------------------------------------------ drawn


def test_the_world() -> None:
    data = FurnitureWorld(train_length=8, eval_length=4, batch_size=4, seed=0)
    batch = next(iter(data.train_dataloader()))
    assert batch["voxels"].shape == (4, 1, 32, 32, 32) and batch["voxels"].dtype == torch.float32
    assert batch["label"].shape == (4,) and batch["label"].dtype == torch.int64
    thing = furniture.draw(0, 2)
    assert torch.equal(data.split("test")[2]["voxels"][0], thing.voxels.float())
    assert data.split("test")[2]["label"] == thing.label
    kept = [data.split(split)[i]["voxels"] for split in ("train", "val", "test") for i in range(4)]
    assert len(torch.stack(kept).flatten(1).unique(dim=0)) == 12
    assert data.describe() != FurnitureWorld(world=1, train_length=8).describe()
    assert "data.size" in refusal(lambda: FurnitureWorld(size=16))
    assert "data.train_length" in refusal(lambda: FurnitureWorld(train_length=0))


def test_workers_do_not_matter() -> None:
    batches = [
        list(FurnitureWorld(24, True, 6, 2, batch_size=3, num_workers=workers, seed=1).train_dataloader())
        for workers in (0, 1)
    ]
    for one, other in zip(*batches, strict=True):
        assert torch.equal(one["voxels"], other["voxels"]) and torch.equal(one["label"], other["label"])


def test_loading_keeps_eight_cells_in_a_byte() -> None:
    loaded = FurnitureWorld(eval_length=2).split("test").load(0)
    assert loaded["voxels"].shape == (32**3 // 8,) and loaded["voxels"].dtype == torch.uint8
    before = loaded["voxels"].clone()
    FurnitureWorld(eval_length=2).split("test").finish(loaded, None)
    assert torch.equal(loaded["voxels"], before)


# --------------------------------------------------------------------------------------------------- pictures


def test_sheet_and_film() -> None:
    data = FurnitureWorld(24, eval_length=3)
    samples = [data.split("test")[i] for i in range(3)]
    sheet, film = data.sheet(samples), data.film(samples[:1])
    assert sheet.shape[0] == 3 and film.shape == (24, 3, 164, 164)
    for picture in (sheet, film):
        assert picture.dtype == torch.float32 and picture.min() >= -1 and picture.max() <= 1
        assert picture.std() > 0.1
    assert torch.equal(film[0], data.sheet(samples[:1])) and not torch.equal(film[0], film[12])
    unlabelled = data.sheet([{"voxels": sample["voxels"]} for sample in samples])
    assert unlabelled.shape == sheet.shape


def test_what_is_seen_is_where_it_should_be() -> None:
    """One cell high above x = 0: from the side -x what lies at greater y is to the left, and up is up."""
    grid = torch.zeros(4, 1, 16, 16, 16)
    grid[:, 0, 8, 8, 8] = 1  # keeps the scale
    grid[0, 0, 8, 2, 8] = grid[1, 0, 8, 14, 8] = grid[2, 0, 8, 8, 14] = 1
    pictures = voxel_sheet(grid, torch.zeros(4).long(), columns=4, size=64, angle=180.0)[:, :, 2:]

    def middle(k: int) -> tuple[float, float]:
        part = pictures[:, 2:66, k * 66 : k * 66 + 64]
        place = ((part[2] < 0).float()).nonzero().float().mean(0)  # blue is what lacks in the first colour
        return float(place[0]), float(place[1])

    low, left, up, plain = middle(0), middle(1), middle(2), middle(3)
    assert left[1] < plain[1] - 5 < low[1] - 10 and up[0] < plain[0] - 5


def test_soft_empty_and_full_grids_can_be_shown() -> None:
    soft = torch.rand(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(voxel_sheet(soft), voxel_sheet((soft > 0.5).float()))
    assert not torch.equal(voxel_sheet(soft), voxel_sheet(soft, threshold=0.8))
    empty, full = voxel_sheet(torch.zeros(1, 1, 8, 8, 8)), voxel_sheet(torch.ones(1, 1, 8, 8, 8))
    assert empty[:, 4:-4, 4:-4].std() < 0.02 < full.std()
    edges = torch.cat([full[:, 3, 3:-3], full[:, -4, 3:-3], full[:, 3:-3, 3], full[:, 3:-3, -4]], 1)
    assert edges.min() > 0.5  # the whole cube is within its picture
    assert turning(torch.ones(2, 1, 4, 6, 8), frames=3, size=32).shape[0] == 3
    with pytest.raises(ValueError, match="grids are"):
        voxel_sheet(torch.ones(8, 8, 8))


def test_batches_stack() -> None:
    data = FurnitureWorld(24, eval_length=2)
    batch = collate([data.split("test")[0], data.split("test")[1]])
    assert batch["voxels"].shape == (2, 1, 24, 24, 24)
