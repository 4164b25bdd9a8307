"""Files that a stranger may send: refused in one sentence, at once, and before they fill the memory."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import importlib.util
import io
import json
import os
import struct
import sys
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import tifffile
from PIL import Image

from zoo.cli import main
from zoo.data.captions import COCOCaptions
from zoo.data.pixels import read_square
from zoo.data.poses.files import read_people
from zoo.errors import UserError
from zoo.files import films, pictures, reading
from zoo.files.archives import extract
from zoo.files.films import look, read_frames
from zoo.files.idx import read_idx
from zoo.files.matlab import read_mat
from zoo.files.pictures import read_array, read_labels
from zoo.files.voxels import read_grid, read_mesh, read_voxels
from zoo.files.writing import sha256


def pages(count: int, back_to: int = 0) -> bytes:
    """A TIFF of ``count`` pages of one pixel, of which the last points to an offset."""
    tags = [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 1)]
    body = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, v) for tag, v in tags)
    starts = [8 + k * (len(body) + 4) for k in range(count)]
    return b"II*\0\x08\0\0\0" + b"".join(body + struct.pack("<I", n) for n in [*starts[1:], back_to])


def png(width: int, height: int, depth: int = 8) -> bytes:
    """The head of a grey PNG."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n\0\0\0\r"
        + head
        + struct.pack(">I", zlib.crc32(head))
        + b"\0\0\0\0IEND\xae\x42\x60\x82"
    )


def encoded(save: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


def channels(count: int) -> bytes:
    values = np.zeros((300, 300, count), np.uint8)
    return encoded(
        lambda b: tifffile.imwrite(
            b, values, photometric="minisblack", planarconfig="contig", compression="zlib"
        )
    )


def jpeg_tiff() -> bytes:
    data = bytearray(encoded(lambda b: tifffile.imwrite(b, np.zeros((16, 16), np.uint8), compression="jpeg")))
    data[(at := data.index(b"\xff\xc0") + 5) : at + 4] = b"\xff\xff\xff\xff"
    return bytes(data)


def scans() -> bytes:
    data = encoded(lambda b: Image.new("L", (16, 16)).save(b, "JPEG", progressive=True))
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * 100 + b"\xff\xd9"


def webp() -> bytes:
    return b"RIFF\xff\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0" + b"\xfe\x3f\0" * 2 + bytes(200)


PICTURES: dict[str, tuple[bytes, str]] = {
    "loop.tif": (pages(3, back_to=8), "pages that overlap"),
    "pages.tif": (pages(pictures.MOST_PAGES + 1), "too many"),
    "tags.tif": (pages(1).replace(b"\x11\1\4\0\1\0\0\0", b"\x11\1\4\0\0\0\0\1"), "pages that overlap"),
    "channels.tif": (channels(2000), "would take 180 MB"),
    "jpeg.tif": (jpeg_tiff(), "65535 x 65535 pixels in place of a part"),
    "scans.jpg": (scans(), "scans"),
    "wide.png": (png(2**15, 2**15), "too large"),
    "deep.png": (png(2**14, 2**14, 16), "would take 537 MB"),
    "canvas.webp": (webp(), "would take 1074 MB"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_that_would_take_minutes_or_gigabytes_are_refused(tmp_path: Path, name: str) -> None:
    data, reason = PICTURES[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=rf"{name} .*{reason}"):
        read_array(tmp_path / name)


def test_a_picture_that_is_too_long_to_pad_is_refused(tmp_path: Path) -> None:
    Image.new("L", (30_000, 1)).save(tmp_path / "x.png")
    with pytest.raises(UserError, match=r"x\.png is 30000 x 1 pixels, too long"):
        read_square(tmp_path / "x.png", 16, 3, "pad")
    assert read_square(tmp_path / "x.png", 16, 3, "crop")[0].shape == (3, 16, 16)


def test_class_numbers_count_for_what_they_take_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (20, 20)).save(tmp_path / "x.png")
    monkeypatch.setattr(reading, "RATIO", 0)
    monkeypatch.setattr(reading, "LARGEST", 1600)
    assert read_labels(tmp_path / "x.png").shape == (20, 20)
    monkeypatch.setattr(reading, "LARGEST", 1599)
    with pytest.raises(UserError, match=r"x\.png .*cut it"):
        read_labels(tmp_path / "x.png")


def test_a_larger_file_may_decode_to_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LARGEST", 100)
    values = np.random.default_rng(0).integers(0, 256, (30, 30, 3)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "noise.png")
    assert read_array(tmp_path / "noise.png").shape == (30, 30, 3)


def binvox(side: int) -> bytes:
    count, rest = divmod(side**3, 255)
    return f"#binvox 1\ndim {side} {side} {side}\ndata\n".encode() + b"\1\xff" * count + bytes([1, rest])


def npz(**arrays: Any) -> bytes:
    return encoded(lambda b: np.savez_compressed(b, **arrays))


def mat(compress: bool, **arrays: Any) -> bytes:
    return encoded(lambda b: scipy.io.savemat(b, arrays, do_compression=compress))


GRIDS = {"x.binvox": binvox(32), "x.npz": npz(voxels=np.ones((32, 32, 32), bool))}
GRIDS |= {"many.npz": npz(voxels=np.ones((4, 4, 4), bool), other=np.zeros((32, 32, 32), bool))}
GRIDS |= {"x.mat": mat(True, instance=np.ones((32, 32, 32), np.uint8))}


@pytest.mark.parametrize("name", GRIDS)
def test_grids_that_unpack_to_too_much_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).write_bytes(GRIDS[name])
    assert read_grid(tmp_path / name).all()
    monkeypatch.setattr(reading, "RATIO", 0)
    monkeypatch.setattr(reading, "LARGEST", 30_000)
    with pytest.raises(UserError, match=rf"{name} .*more than"):
        read_grid(tmp_path / name)


def test_a_mesh_that_would_take_minutes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.obj").write_text("v 0 0 0\nv 9 0 0\nv 0 9 0\n" + "f 1 2 3\n" * 30_000)
    with pytest.raises(UserError, match=r"x\.obj has 30000 triangles .*simplify"):
        read_voxels(tmp_path / "x.obj", 32)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("flat.obj", "v 0 0\nv 1 0\nv 0 1\nf 1 2 3\n", "corner of 2 coordinates; give x, y and z"),
        ("flat.off", "OFF\n3 1 0\n0 0\n1 0\n0 1\n3 0 1 2\n", "corner of 2 coordinates"),
        ("zero.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2\n", "a face at corner -1 of 3"),
        ("far.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf -9 1 2\n", "a face at corner -6 of 3"),
        ("minus.off", "OFF\n-1 -1 0\n", "cut off"),
        ("cut.stl", "solid x\nvertex 0 0 0\nvertex 1 0 0\nendsolid\n", "cut off"),
    ],
)
def test_meshes_that_are_none_are_refused(tmp_path: Path, name: str, text: str, reason: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=rf"{name} .*{reason}"):
        read_mesh(tmp_path / name)


def test_an_obj_may_count_back_and_an_stl_may_be_text(tmp_path: Path) -> None:
    corners = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
    (tmp_path / "x.obj").write_text(f"{corners}f -4/1/1 \\\n-3//2 -2 -1 # a square\n")
    facets = (("0 0 0", "1 0 0", "1 1 0"), ("0 0 0", "1 1 0", "0 1 0"))
    loops = ["outer loop\nvertex " + "\nvertex ".join(facet) + "\nendloop\nendfacet\n" for facet in facets]
    (tmp_path / "x.stl").write_text(
        f"solid x\nfacet normal 0 0 1\n{'facet normal 0 0 1'.join(loops)}endsolid x\n"
    )
    assert (read_mesh(tmp_path / "x.obj") == read_mesh(tmp_path / "x.stl")).all()


def test_frames_that_are_too_large_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [Image.new("RGB", (40, 30), (k, 0, 0)) for k in (0, 99)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert len(list(read_frames(look(tmp_path / "x.gif"), range(2)))) == 2
    films.frame_times.cache_clear()
    monkeypatch.setattr(films, "MOST_PIXELS", 1000)
    with pytest.raises(UserError, match=r"x\.gif has frames of no size or of over 1000 pixels"):
        look(tmp_path / "x.gif")


def test_an_idx_file_is_not_unpacked_beyond_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = bytes([0, 0, 8, 1]) + struct.pack(">I", 1000)
    (tmp_path / "long.gz").write_bytes(gzip.compress(head + bytes(1001)))
    (tmp_path / "huge.gz").write_bytes(gzip.compress(bytes([0, 0, 8, 1]) + struct.pack(">I", 2**31)))
    (tmp_path / "good.gz").write_bytes(gzip.compress(head + bytes(1000)))
    assert len(read_idx(tmp_path / "good.gz", 1)[0]) == 1000
    for name, reason in (("long.gz", "unpacks to more than"), ("huge.gz", "would take 2147 MB")):
        with pytest.raises(UserError, match=f"{name} .*{reason}"):
            read_idx(tmp_path / name, 1)


@pytest.mark.parametrize(
    ("suffix", "compress"), [(".tar", bytes), (".tar.gz", gzip.compress), (".tar.bz2", bz2.compress)]
)
def test_a_tar_file_s_header_may_not_claim_gigabytes(tmp_path: Path, suffix: str, compress: Any) -> None:
    long_name = tarfile.TarInfo("x")
    long_name.type, long_name.size = tarfile.GNUTYPE_LONGNAME, 2**32
    archive = tmp_path / f"x{suffix}"
    archive.write_bytes(compress(long_name.tobuf() + bytes(2**12)))
    with pytest.raises(UserError, match=r"x\.tar.* claims to have 4294967296 bytes"):
        extract(archive, tmp_path / "out")


OPENERS = [read_array, read_labels, read_grid, read_mesh, look, sha256, lambda path: read_idx(path, 1)]


@pytest.mark.parametrize("read", OPENERS)
def test_pipes_are_refused_by_every_reader(tmp_path: Path, read: Callable[[Path], object]) -> None:
    os.mkfifo(tmp_path / "x.off")
    with pytest.raises(UserError, match=r"x\.off is not a file but a pipe"):
        read(tmp_path / "x.off")


def test_a_check_names_what_is_passed_over_and_prints_no_control_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [Image.new("RGB", (16, 16), (k, 0, 0)) for k in (0, 99)]
    root = tmp_path / "train" / "a"
    root.mkdir(parents=True)
    for name in ("moving.png", "moving.webp"):
        frames[0].save(root / name, save_all=True, append_images=frames[1:])
    frames[1].save(root / "still.png")
    (root / "bad\x1b[31m\n.png").write_bytes(b"no picture")
    (root / os.fsdecode(b"\xff.png")).write_bytes(b"no picture")
    (root / "dead.png").symlink_to("nothing")
    (root / "self.png").symlink_to("self.png")
    (root / "up").symlink_to("..")
    (root / "folder.png").mkdir()
    os.mkfifo(root / "pipe.png")
    assert main(["data", "check", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    for name, note in [
        ("moving.png", "is animated: first frame only"),
        ("moving.webp", "is animated: first frame only"),
        ("dead.png", "is a link to nothing"),
        ("self.png", "is a link to itself"),
        ("up", "is a link to a folder that holds it"),
        ("folder.png", "is a folder with the name of a file"),
        ("pipe.png", "is a pipe, socket or device"),
    ]:
        assert f"{root / name} {note}" in said
    assert "bad\\x1b[31m\\n.png" in said and "\\udcff.png" in said
    assert all(c.isprintable() for c in said.replace("\n", ""))
    assert "still.png" not in said


def test_an_error_s_control_characters_are_escaped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", str(tmp_path / "\x1b]0;owned\x07")]) == 2
    assert "\\x1b]0;owned\\x07" in capsys.readouterr().err


def test_an_empty_folder_of_captions_has_nothing_readable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "captions.csv").write_text("image,caption\n")
    assert main(["data", "check", str(tmp_path)]) == 1
    assert "readable   nothing\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (b"file,description\nx.png,a bird\n", "has no column image or file_name, only file, description"),
        ("image,caption\nx.png,a bird\n".encode("utf-16"), "is not UTF-8"),
        (b"image,caption\n" + b"a" * 300 + b".png,a bird\n", "which is not there"),
    ],
)
def test_captions_of_another_header_or_encoding_are_still_captions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: bytes, reason: str
) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "x.png")
    (tmp_path / "captions.csv").write_bytes(table)
    assert main(["data", "check", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert f"{tmp_path}: captions (" in said and reason in said


COCO: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "x.png"}],
    "annotations": [{"image_id": 1, "keypoints": [3, 4, 2] * 17, "caption": "a bird"}],
}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"annotations": [{"image_id": [1], "keypoints": []}]},
            "annotations[0].image_id must be a whole number",
        ),
        ({"images": [{"id": 1, "file_name": 7}]}, "images[0].file_name must be text, not 7"),
        ({"images": [{"id": 1, "file_name": "\ud800"}]}, "images[0].file_name must be text"),
        (
            {"annotations": [{"image_id": 1, "keypoints": [10**400] * 51}]},
            "keypoints must be a list of numbers",
        ),
        (
            {"annotations": [{"image_id": 1, "keypoints": [1e300] * 51}]},
            "a number for x.png that is not finite",
        ),
        ({"categories": [{"keypoints": [1]}]}, "categories[0].keypoints[0] must be text, not 1"),
        ({"images": "[" * 9000 + "]" * 9000}, "is no JSON"),
    ],
)
def test_keypoints_of_wrong_types_are_named(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "x.png")
    text = json.dumps(COCO | change).replace('"[', "[").replace(']"', "]")
    (tmp_path / "keypoints.json").write_text(text)
    (fault, *_) = read_people(tmp_path).faults
    assert fault.text.startswith(f"{tmp_path / 'keypoints.json'}") and reason in fault.text


def test_captions_of_wrong_types_are_named(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    change = {"annotations": [{"image_id": [1], "caption": "a"}]}
    (tmp_path / "annotations" / "captions_train2014.json").write_text(json.dumps(COCO | change))
    assert "annotations[0].image_id must be" in COCOCaptions.read(tmp_path).faults[0].text


def test_a_matlab_file_is_read_as_scipy_does_and_a_damaged_one_refused(tmp_path: Path) -> None:
    arrays = {
        "a": np.arange(24.0).reshape(2, 3, 4),
        "b": np.ones((2, 2), np.int16),
        "c": np.ones((1, 1), bool),
    }
    for compress in (True, False):
        (tmp_path / "x.mat").write_bytes(
            mat(compress, **arrays, words="abc", more={"x": 1}, z=np.ones(2) * 1j)
        )
        found = read_mat(tmp_path / "x.mat")
        assert {name for name, values in found.items() if values is None} == {"words", "more", "z"}
        for name, values in arrays.items():
            np.testing.assert_array_equal(found[name], values)
    whole = (tmp_path / "x.mat").read_bytes()
    for at in range(128, 400, 3):
        (tmp_path / "x.mat").write_bytes(whole[:at] + b"\xff\xff\xff\x7f" + whole[at + 4 :])
        with contextlib.suppress(UserError):
            read_mat(tmp_path / "x.mat")


def test_a_part_of_the_fuzzer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    spec = importlib.util.spec_from_file_location("fuzz", Path(__file__).parents[1] / "scripts" / "fuzz.py")
    assert spec and spec.loader
    fuzz = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "fuzz", fuzz)
    spec.loader.exec_module(fuzz)
    assert fuzz.fuzz(200, 0, fuzz.readers(), tmp_path / "faults") == 0, capsys.readouterr().out
    assert "200 inputs of seed 0" in capsys.readouterr().out
