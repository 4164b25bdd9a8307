"""Feed damaged and made-up files to everything that reads files, and count what does not end in one sentence.

    python scripts/fuzz.py --inputs 20000 --seed 0          # all readers
    python scripts/fuzz.py --inputs 500 --only picture      # one of them
    python scripts/fuzz.py --largest                        # small files that decode to all that is allowed
    python scripts/fuzz.py --repeat faults/picture-17       # an input that failed

Each reader has a few small files that it accepts. An input is one of them with bytes cut off, flipped, moved
or set to extreme values, with numbers of its text replaced, or with values of wrong types in its structure.
It fails if anything but a UserError comes out, if it takes over 5 s of processor time, or if it takes 1 GB
more memory than the process had. Inputs run in forked processes; those that fail are kept.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import os
import random
import re
import resource
import select
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import imagecodecs
import numpy as np
import scipy.io
import tifffile
import torch
import yaml
from PIL import Image

from zoo.checkpoints import load
from zoo.cli import main as command
from zoo.data import packs
from zoo.data.captions import CaptionFolder, COCOCaptions
from zoo.data.captions.sets import CUB
from zoo.data.clips.files import split_paths
from zoo.data.frontal.files import deal_out, pair_up, read_index
from zoo.data.images.sets import SVHN
from zoo.data.label_maps.files import LabelFiles, known_classes, read_palette, read_sample
from zoo.data.pixels import look_opaque, read_pair, read_square
from zoo.data.poses.files import read_people
from zoo.data.poses.skeletons import COCO
from zoo.data.superres.files import find_twins
from zoo.data.voxels.sets import ModelNetChairs
from zoo.errors import UserError
from zoo.files.archives import extract
from zoo.files.checkpoints import read_checkpoint, read_tensors
from zoo.files.downloads import _read_sidecar
from zoo.files.films import frame_rate, frame_times, look, read_frames, shown_as
from zoo.files.idx import read_idx
from zoo.files.onnx import open_onnx
from zoo.files.pictures import read_jpeg_reduced, read_labels, read_picture
from zoo.files.schemas import ROWS, read_json
from zoo.files.voxels import read_voxels
from zoo.training.keys import check as check_arguments

SECONDS, GIGABYTE, AT_ONCE = 5.0, 2**30, 200
HERE = Path(__file__).parents[1]
Encoder = Callable[[bytes], bytes]


@dataclass
class Reader:
    """What reads one kind of file.

    Args:
        name: Its name.
        seeds: Files that it accepts, by name.
        read: Reads the file at a path, which lies in a folder with the others of ``beside``.
        beside: Other files of the folder.
        structure: Parses a seed to plain values and writes them again, for values of wrong types.
        inner: Unpacks and packs a seed, so that what is compressed is damaged too.
        weight: How often it is drawn.
        exact: Whether its files are read as they are.
    """

    name: str
    seeds: dict[str, bytes]
    read: Callable[[Path], object]
    beside: dict[str, bytes] = field(default_factory=dict)
    structure: tuple[Callable[[bytes], Any], Callable[[Any], bytes]] | None = None
    inner: tuple[Encoder, Encoder] | None = None
    weight: int = 2
    exact: bool = False


# ------------------------------------------------------------------------------------------------- damage


def damaged(data: bytes, others: list[bytes], draw: random.Random) -> bytes:
    """Bytes with one to four faults."""
    found = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        kind, size = draw.randrange(8), len(found)
        at = draw.randrange(min(size, draw.choice((16, 64, 512, size))) or 1) if size else 0
        if kind == 0:
            del found[draw.randrange(size + 1) :]
        elif kind == 1:
            for _ in range(draw.choice((1, 3, 20))):
                if found:
                    found[draw.randrange(len(found))] ^= 1 << draw.randrange(8)
        elif kind in (2, 3):  # an extreme value where a length may be
            width = draw.choice((1, 2, 4, 8))
            value = draw.choice((0, 1, 2**7, 2**15, 2**16, 2**24, 2**30, 2**31 - 1, 2**31, 2**32 - 1, 2**63))
            value = min(draw.choice((value, value - 1, value + 1)) % 2**64, 2 ** (8 * width) - 1)
            found[at : at + width] = value.to_bytes(width, draw.choice(("big", "little")))
        elif kind == 4:  # a piece of another file, or of this one elsewhere
            other = draw.choice([data, *others])
            start = draw.randrange(len(other) + 1)
            piece = other[start : start + draw.choice((1, 4, 16, 100, 1000))]
            found[at : at + draw.choice((0, len(piece)))] = piece
        elif kind == 5:
            del found[at : at + draw.choice((1, 2, 8, 64, 512))]
        elif kind == 6:
            found[at:at] = found[at : at + draw.choice((1, 16, 200))] * draw.choice((1, 2, 50, 2000))
        elif numbers := list(re.finditer(rb"-?\d+(\.\d+)?", bytes(found[:5000]))):
            number = draw.choice(numbers)
            found[number.start() : number.end()] = draw.choice(NUMBERS).encode()
    return bytes(found[: 2**22])


NUMBERS = [
    "0",
    "-1",
    "1e400",
    "-1e308",
    "nan",
    "inf",
    "0.5",
    "9" * 30,
    "9" * 5000,
    "2147483648",
    "x",
    "",
    "\u0663",
]
DEEP = "[" * 5000 + "]" * 5000


def wrong(content: Any, draw: random.Random) -> Any:
    """Plain values of which one is of a wrong type, lost, or doubled."""
    if isinstance(content, dict) and content and draw.random() < 0.85:
        key = draw.choice(list(content))
        changed = dict(content)
        if (what := draw.random()) < 0.1:
            del changed[key]
        elif what < 0.15:
            changed[draw.choice(("", "x", "\ud800", "a" * 300, "../x", 0, None))] = changed.pop(key)
        else:
            changed[key] = wrong(changed[key], draw)
        return changed
    if isinstance(content, list | tuple) and content and draw.random() < 0.85:
        at = draw.randrange(len(content))
        if (what := draw.random()) < 0.1:
            return [*content[:at], *content[at + 1 :]]
        return [*content, content[at]] if what < 0.15 else [
            *content[:at], wrong(content[at], draw), *content[at + 1 :]
        ]  # fmt: skip
    values = [
        None,
        True,
        False,
        0,
        1,
        -1,
        10**30,
        2**63,
        0.5,
        float("nan"),
        float("inf"),
        1e308,
        "",
        "x",
        "\ud800",
    ]
    values += [
        "a" * 300,
        "../../x",
        "\x1b[31m",
        "\0",
        [],
        {},
        [[]],
        [1],
        {"x": 1},
        [content],
        [content] * 3,
        "1e400",
    ]
    values += [DEEP, list(range(50)), "\u0663", "yes", b"x" if isinstance(content, bytes) else "x"]
    return draw.choice(values)


def checksummed(data: bytes) -> bytes:
    """A PNG whose chunks have right checksums again."""
    found, at = bytearray(data[:8]), 8
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + length]
        found += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return bytes(found)


# -------------------------------------------------------------------------------------------------- seeds


def written(save: Callable[..., object], *rest: Any, **options: Any) -> bytes:
    """The bytes that a function writes to an open file, its first argument."""
    buffer = io.BytesIO()
    save(buffer, *rest, **options)
    return buffer.getvalue()


def deepened(png: bytes, deep: bytes) -> bytes:
    """A PNG of 16 bit with the profile and the EXIF of another."""
    return deep[:33] + png[33 : png.index(b"IDAT") - 4] + deep[33:]


def pictures() -> dict[str, bytes]:
    """Small pictures of every format."""
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (20, 40, 3)).astype(np.uint8)
    image, found = Image.fromarray(colour), dict[str, bytes]()
    for mode, suffix in [
        ("RGB", "png"),
        ("RGBA", "png"),
        ("L", "png"),
        ("P", "png"),
        ("1", "png"),
        ("RGB", "jpg"),
    ]:
        found[f"{mode}.{suffix}"] = written(image.convert(mode).save, suffix.replace("jpg", "jpeg"))
    for mode, suffix in [
        ("CMYK", "jpeg"),
        ("RGB", "webp"),
        ("RGB", "bmp"),
        ("P", "bmp"),
        ("P", "tiff"),
        ("L", "tiff"),
    ]:
        found[f"{mode}.{suffix}"] = written(image.convert(mode).save, suffix)
    found["progressive.jpg"] = written(image.save, "JPEG", progressive=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    found["exif.jpg"] = written(image.save, "JPEG", exif=exif)
    frames = {"save_all": True, "append_images": [image.rotate(90)]}
    found["moving.webp"] = written(image.save, "WEBP", **frames)
    found["moving.png"] = written(image.save, "PNG", **frames)
    deep = rng.integers(0, 65536, (20, 40)).astype(np.uint16)
    found["deep.png"] = written(lambda b: Image.fromarray(deep).save(b, "PNG"))
    for number, options in enumerate(
        [
            {"compression": "zlib"},
            {"compression": "lzw", "predictor": True},
            {"tile": (16, 16)},
            {"photometric": "rgb", "compression": "jpeg"},
            {"bigtiff": True, "byteorder": ">"},
            {"planarconfig": "contig", "compression": "zstd"},
            {"metadata": None, "rowsperstrip": 4},
            {"imagej": True},
        ]
    ):
        values = colour if number not in (2, 7) else deep
        values = np.dstack([colour, colour]) if number == 5 else values
        found[f"{number}.tif"] = written(tifffile.imwrite, values, **options)
    lying = {"extratags": [(274, 3, 1, 6, True)]}
    for name, values, options in [
        ("ycbcr", colour, {"photometric": "ycbcr"}),
        ("lzw", colour, {"photometric": "ycbcr", "compression": "lzw"}),
        ("white", deep >> 4, {"photometric": "miniswhite", "bitspersample": 12}),
        ("alpha", np.dstack([colour, colour[:, :, 0]]), {"extrasamples": ["assocalpha"]}),
    ]:
        found[f"{name}.tif"] = written(tifffile.imwrite, values, **options, **lying)
    colours = {"primaries": (0.64, 0.33, 0.21, 0.71, 0.15, 0.06), "gamma": 2.2}
    profile = bytes(imagecodecs.cms_profile("rgb", whitepoint=(0.3127, 0.329, 1.0), **colours))
    for suffix in ("png", "jpeg", "tiff", "webp"):
        found[f"profile.{suffix}"] = written(image.save, suffix, icc_profile=profile, exif=exif)
    found["profile16.png"] = deepened(
        found["profile.png"], bytes(imagecodecs.png_encode(np.dstack([deep] * 3)))
    )
    stack = np.moveaxis(colour, 2, 0)
    found["pages.tif"] = written(tifffile.imwrite, stack, photometric="minisblack")
    found["x.npy"] = written(np.save, colour)
    return found


def films() -> dict[str, bytes]:
    """Films of twelve frames in every container, and a GIF."""
    frames = np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3)).astype(np.uint8)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, codec in [
            ("x.mp4", "libx264"),
            ("x.avi", "mpeg4"),
            ("order.avi", "libx264"),
            ("x.mkv", "mjpeg"),
            ("x.webm", "libvpx-vp9"),
        ]:
            path = Path(folder, name)
            with av.open(str(path), "w") as container:
                stream = container.add_stream(codec, rate=10)
                stream.width, stream.height = 64, 48
                stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
                for frame in frames:
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
                container.mux(stream.encode())
            found[name] = path.read_bytes()
    images = [Image.fromarray(frame) for frame in frames[:4, :16, :16]]
    found["x.gif"] = written(lambda b: images[0].save(b, "GIF", save_all=True, append_images=images[1:]))
    return found


def grids() -> dict[str, bytes]:
    """Small grids and meshes of every format, and .npy, .npz and .mat of other kinds."""
    grid = np.random.default_rng(0).random((9, 8, 7)) > 0.5
    kinds: dict[str, Any] = {
        "x": grid,
        "f": grid.astype(np.float64),
        "i": grid.astype(np.int32),
        "c": grid + 1j,
    }
    kinds |= {
        "none": np.zeros((0, 3, 3)),
        "text": np.array([["a"]]),
        "flat": grid[0],
        "big": grid.astype(">u2"),
    }
    kinds |= {"five": grid[None, None], "nan": np.full((2, 2, 2), np.nan), "date": grid.astype("M8[s]")}
    found: dict[str, bytes] = {}
    for name, values in kinds.items():
        found[f"{name}.npy"] = written(np.save, values)
        found[f"{name}.npz"] = written(np.savez_compressed, voxels=values, other=grid)
        if name != "date":
            for packed in (True, False):
                content = {"instance": values, "more": {"x": [1, 2]}, "words": "abc"}
                found[f"{name}{packed}.mat"] = written(scipy.io.savemat, content, do_compression=packed)
    runs = b"".join(bytes([int(value), 1]) for value in grid.reshape(-1))
    found["x.binvox"] = b"#binvox 1\ndim 9 8 7\ntranslate 0 0 0\nscale 1\ndata\n" + runs
    corners = "0 0 0\n1 0 0\n0 1 0\n0 0 1\n"
    found["x.off"] = f"OFF\n4 4 6\n{corners}3 0 1 2\n3 0 1 3\n4 0 1 2 3\n3 1 2 3\n".encode()
    places = np.array(corners.split(), ">f4").tobytes()
    sides = np.array([3, 0, 1, 2, 0, 3, 0, 1, 3, 0], ">i4").tobytes()
    found["binary.off"] = b"OFF BINARY\n" + np.array([4, 2, 5], ">i4").tobytes() + places + sides
    found["x.obj"] = (
        f"o x\n{corners}".replace("\n", "\nv ").encode()[:-2] + b"f 1 2 3\nf -1/1/1 2//2 3/4\nf 1 2 3 4\n"
    )
    facet = "facet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 1\nendloop\nendfacet\n"
    found["text.stl"] = f"solid x\n{facet * 3}endsolid x\n".encode()
    found["x.stl"] = bytes(80) + struct.pack("<I", 2) + np.random.default_rng(0).bytes(100)
    return found


def json_lines() -> tuple[Callable[[bytes], Any], Callable[[Any], bytes]]:
    """Parse and write JSON lines."""
    return (
        lambda data: [json.loads(line) for line in data.splitlines()],
        lambda rows: "\n".join(map(json.dumps, rows if isinstance(rows, list) else [rows])).encode(),
    )


def as_json(content: Any) -> bytes:
    """JSON, of which a text that is JSON too deep is not quoted."""
    return json.dumps(content, default=str).replace(f'"{DEEP}"', DEEP).encode()


JSON = (json.loads, as_json)


def as_csv(rows: Any) -> bytes:
    """Rows of cells as CSV, whatever they are."""
    rows = rows if isinstance(rows, list) else [rows]
    texts = (",".join(map(str, row)) if isinstance(row, list) else str(row) for row in rows)
    return "\n".join(texts).encode("utf-8", "surrogatepass")


CSV = (lambda data: [line.split(",") for line in data.decode().splitlines()], as_csv)


def zipped(data: bytes, change: Encoder = bytes) -> bytes:
    """A zip file with its largest member changed."""
    with zipfile.ZipFile(io.BytesIO(data)) as old:
        members = {info.filename: old.read(info) for info in old.infolist()}
    largest = min(members, key=lambda name: (not name.endswith("data.pkl"), -len(members[name])))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as new:
        for name, content in members.items():
            new.writestr(name, change(content) if name == largest else content)
    return buffer.getvalue()


def checkpoints() -> tuple[dict[str, bytes], dict[str, bytes], dict[str, bytes]]:
    """A training checkpoint, files of weights, and the two files of exported weights."""
    folder = HERE / "checkpoints" / "gan-digits"
    exported = {name: (folder / name).read_bytes() for name in ("model.json", "model.safetensors")}
    config, module = json.loads(exported["model.json"]), load(folder).module
    small = {"a": torch.zeros(3), "b.c": torch.ones(2, 2)}
    record = {"class": config["class"], "data": config["data"], "format": 1, "environment": {}, "seed": 0}
    whole = {"state_dict": module.state_dict(), "zoo": record, "epoch": 1, "global_step": 3, "loops": {}}
    whole["hyper_parameters"] = config["hyper_parameters"]
    whole["optimizer_states"] = [
        {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"params": [0]}]}
    ]
    weights = {
        "x.pt": written(lambda b: torch.save(small, b)),
        "x.safetensors": exported["model.safetensors"][:0],
    }
    from safetensors.torch import save

    weights["x.safetensors"] = save(small)
    return {"last.ckpt": written(lambda b: torch.save(whole, b))}, weights, exported


def onnx_file(config: dict[str, Any]) -> dict[str, bytes]:
    """A model of noise as an ONNX file; none if the packages are not installed."""
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError:
        return {}
    proto = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 18]>
        g (float[n, 4] noise) => (uint8[n, 2, 2, 1] output) {
            x = MatMul (noise, w)
            shape = Constant <value = int64[4] {-1, 2, 2, 1}> ()
            y = Reshape (x, shape)
            output = Cast <to = 2> (y)
        }""")
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.eye(4, dtype=np.float32), "w"))
    draw = {"name": "noise", "kind": "uniform", "shape": ["n", 4], "p": 0.0}
    facts = {"inputs": {}, "draws": [draw], "multiple": 1, "least": 1, "reach": None, "scale": 1, "levels": 0}
    onnx.helper.set_model_props(proto, {"zoo": json.dumps(config | {"onnx": facts})})
    return {"model.onnx": proto.SerializeToString()}


def pack() -> tuple[packs.PackKey, dict[str, bytes]]:
    """A pack of two samples."""

    class Samples:
        def __len__(self) -> int:
            return 2

        def load(self, index: int) -> dict[str, Any]:
            return {"image": torch.zeros(3, 4 + index, 4, dtype=torch.uint8), "text": "x" * (index + 1)}

    key = packs.PackKey("fuzz-train", "0" * 64, 2)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ZOO_CACHE"] = folder
        packs.write(Samples(), key)
        return key, {path.name: path.read_bytes() for path in key.folder.iterdir()}


def largest() -> list[Reader]:
    """Files of a few hundred kB that decode to all that a small file may: flat pictures and full grids."""
    found: dict[str, bytes] = {}
    for name, shape in [("RGB", (5700, 5800, 3)), ("RGBA", (4900, 5000, 4)), ("L", (9900, 10000))]:
        image = Image.fromarray(np.zeros(shape, np.uint8))
        found[f"{name}.png"] = written(image.save, "PNG")
        found[f"{name}.webp"] = written(image.save, "WEBP", lossless=True, method=0)
        if name != "RGBA":
            found[f"{name}.jpg"] = written(image.save, "JPEG", progressive=True)
    planes, kinds = np.zeros((1800, 1800, 30), np.uint8), {"photometric": "minisblack", "compression": "zlib"}
    found["channels.tif"] = written(tifffile.imwrite, planes, planarconfig="contig", **kinds)
    labels = Image.fromarray(np.zeros((4900, 5000), np.uint8))
    maps = {"L.png": written(labels.save, "PNG"), "P.png": written(labels.convert("P").save, "PNG")}
    cells = np.ones((460, 460, 460), np.uint8)
    grids_ = {"x.npz": written(np.savez_compressed, voxels=cells)}
    grids_["x.mat"] = written(scipy.io.savemat, {"instance": cells}, do_compression=True)
    runs, rest = divmod(cells.size, 255)
    grids_["x.binvox"] = b"#binvox 1\ndim 460 460 460\ndata\n" + b"\1\xff" * runs + bytes([1, rest])
    return [
        Reader("largest pictures", found, read_picture, exact=True),
        Reader("largest squares", found, lambda path: read_square(path, 16, 3, "pad"), exact=True),
        Reader("largest facts", found, lambda path: look_opaque(path, "image"), exact=True),
        Reader("largest labels", maps, read_labels, exact=True),
        Reader("largest grids", grids_, lambda path: read_voxels(path, 64), exact=True),
    ]


# ------------------------------------------------------------------------------------------------ readers


def attempt(*reads: Callable[[], object]) -> None:
    """Call all of these; a UserError of one does not keep the others from being called."""
    for read in reads:
        with contextlib.suppress(UserError):
            read()


def read_all(path: Path) -> None:
    """Read a picture in all ways."""
    attempt(
        lambda: read_picture(path),
        lambda: read_jpeg_reduced(path, 8),
        lambda: read_square(path, 16, 3, "pad"),
        lambda: look_opaque(path, "image"),
        lambda: read_pair((path,)),
    )


def play(path: Path) -> None:
    """Read a film's first frames, its rate and how it is shown."""
    frame_times.cache_clear()
    attempt(lambda: frame_rate(path), lambda: shown_as(path))
    video = look(path)
    for _ in read_frames(video, range(min(20, video.length))):
        pass


def check(path: Path) -> None:
    """``zoo data check`` on a folder, which answers in sentences."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        command(["data", "check", str(path.parent)])
    if "--debug" in err.getvalue():
        raise RuntimeError(err.getvalue().strip())
    if not all(c.isprintable() for c in (out.getvalue() + err.getvalue()).replace("\n", "")):
        raise RuntimeError(f"it prints control characters: {out.getvalue()!r}")


def unpack(path: Path) -> None:
    """Extract an archive, and remove what came out."""
    try:
        extract(path, path.parent / "out")
    finally:
        shutil.rmtree(path.parent / "out", ignore_errors=True)


def open_pack(path: Path, key: packs.PackKey) -> None:
    """Open a pack whose index is the file, and read both samples."""
    os.environ["ZOO_CACHE"] = str(path.parent)
    key.folder.mkdir(parents=True, exist_ok=True)
    for file in path.parent.iterdir():
        if file.is_file():
            shutil.copy(file, key.folder)
    try:
        opened = packs.Pack.open(key)
        attempt(lambda: opened[0], lambda: opened[1])
    finally:
        shutil.rmtree(path.parent / "packs")


def readers() -> list[Reader]:
    """All readers, with their seeds."""
    images, png = pictures(), {"RGB.png": b""}
    png = {name: data for name, data in images.items() if name.endswith(".png")}
    labels = {name: images[name] for name in ("P.png", "L.png", "RGB.png", "L.tiff")}
    picture = images["RGB.png"]
    rows = [
        {"image": "x.png", "caption": "a bird", "class": "a", "split": "train"},
        {"image": "y.png", "text": "b"},
    ]
    lines = "\n".join(map(json.dumps, rows)).encode()
    table = b'image,caption,class,split\nx.png,a bird,a,train\ny.png,"a, b",a,test\n'
    two = {"x.png": picture, "y.png": picture}
    coco = {
        "images": [{"id": 1, "file_name": "x.png"}, {"id": 2, "file_name": "y.png"}],
        "annotations": [{"image_id": 1, "caption": "a"}, {"image_id": 2, "caption": "b", "iscrowd": 0}],
    }
    points = [f"p{k}" for k in range(5)]
    people = {
        "images": coco["images"],
        "annotations": [
            {"image_id": k, "keypoints": [3.5, 4, 2] * 5, "iscrowd": 0, "identity": "a"} for k in (1, 2)
        ],
        "categories": [{"keypoints": points, "skeleton": [[1, 2], [2, 3]]}],
    }
    columns = ",".join(f"{name}_x,{name}_y" for name in COCO)
    poses = f"image,identity,{columns}\nx.png,a{',3,4' * 17}\ny.png,a{',5,6.5' * 17}\n".encode()
    colons = "name:keypoints_y:keypoints_x\n" + "".join(
        f"{n}: {[3] * 18}: {[4] * 18}\n" for n in ("x.png", "y.png")
    )
    index = b"file,identity,yaw,x0,y0,x1,y1,x2,y2,x3,y3,x4,y4\n"
    index += b"".join(
        f"{n},{w},{yaw}{',3' * 10}\n".encode() for w in "abc" for n, yaw in (("x.png", 0), ("y.png", 45))
    )
    heads = {"images.txt": b"1 a/x.png\n2 a/y.png\n", "bounding_boxes.txt": b"1 1 2 3 4\n2 3 4 5 6\n"}
    birds = {f"images/a/{n}.png": picture for n in "xy"} | {f"text_c10/a/{n}.txt": b"a\nb\n" for n in "xy"}
    idx = bytes([0, 0, 8, 3]) + struct.pack(">III", 2, 5, 5) + bytes(50)
    volumes = grids()
    svhn = {"X": np.zeros((32, 32, 3, 4), np.uint8), "y": np.ones((4, 1), np.uint8)}
    chairs = {"names": np.array(["chair_1_1"]), "bits": np.ones((1, 3375), np.uint8)}
    tar = written(_tar)
    zip_ = written(_zip)
    training, weights, exported = checkpoints()
    onnx_model = onnx_file(json.loads(exported["model.json"]))
    key, packed = pack()
    clip = films()
    kinds = {path.name: path.read_bytes() for path in sorted((HERE / "recipes").glob("*/*.yaml"))[::4]}
    rows_of = [
        {"step": 1, "metric": "fd", "value": 0.5, "subject": "generated", "protocol": {"made": {"count": 4}}}
    ]
    sidecar = {"x.json": as_json({"url": "https://x", "validator": "a", "total": 3})}
    text = (lambda data: data.decode(), lambda value: str(value).encode("utf-8", "surrogatepass"))

    def paint(path: Path) -> None:
        classes = known_classes(path.parent, "folders")
        attempt(
            lambda: read_sample(LabelFiles(path.parent / "photo.png", path, None), classes, None),
            lambda: read_sample(LabelFiles(path.parent / "photo.png", path, path), None, 255),
        )

    return [
        Reader("picture", images, read_all, weight=20),
        Reader(
            "chunks",
            png,
            lambda p: attempt(lambda: read_picture(p), lambda: read_labels(p)),
            inner=(bytes, checksummed),
            weight=6,
        ),
        Reader(
            "labels",
            labels,
            paint,
            {"palette.csv": b"r,g,b,name\n0,0,0,a\n255,255,255,b\n", "photo.png": picture},
        ),
        Reader("film", clip, play, weight=10),
        Reader(
            "voxels",
            volumes,
            lambda p: attempt(lambda: read_voxels(p, 16), lambda: read_voxels(p, 5)),
            weight=14,
        ),
        Reader(
            "npz",
            {name: data for name, data in volumes.items() if name.endswith(".npz")},
            lambda p: read_voxels(p, 16),
            inner=(bytes, bytes),
            weight=3,
        ),
        Reader("idx", {"x": idx, "x.gz": gzip.compress(idx)}, lambda p: read_idx(p, 3)),
        Reader(
            "idx.gz",
            {"x.gz": gzip.compress(idx)},
            lambda p: read_idx(p, 3),
            inner=(gzip.decompress, gzip.compress),
        ),
        Reader(
            "svhn",
            {"train_32x32.mat": written(scipy.io.savemat, svhn, do_compression=True)},
            lambda p: SVHN(str(p.parent)).read(p),
        ),
        Reader(
            "chairs",
            {ModelNetChairs.PACKED: written(np.savez_compressed, **chairs)},
            lambda p: ModelNetChairs(str(p.parent)).fingerprint(),
        ),
        Reader("tar", {"x.tar": tar, "x.tar.gz": gzip.compress(tar)}, unpack),
        Reader("tar.gz", {"x.tar.gz": gzip.compress(tar)}, unpack, inner=(gzip.decompress, gzip.compress)),
        Reader("zip", {"x.zip": zip_}, unpack),
        Reader("captions.csv", {"captions.csv": table}, lambda p: CaptionFolder.read(p.parent), two, CSV),
        Reader(
            "captions.jsonl",
            {"captions.jsonl": lines},
            lambda p: CaptionFolder.read(p.parent),
            two,
            json_lines(),
        ),
        Reader(
            "captions.txt",
            {"x.txt": b"a bird\nanother\n"},
            lambda p: CaptionFolder.read(p.parent),
            two,
            text,
            weight=1,
        ),
        Reader(
            "coco captions",
            {"annotations/captions_train2014.json": as_json(coco)},
            lambda p: COCOCaptions.read(p.parents[1]),
            {"train2014/x.png": picture, "train2014/y.png": picture},
            JSON,
            weight=4,
        ),
        Reader("birds", heads, lambda p: CUB.read(p.parent), birds | heads, text, weight=1),
        Reader(
            "coco keypoints",
            {"keypoints.json": as_json(people)},
            lambda p: read_people(p.parent),
            two,
            JSON,
            weight=5,
        ),
        Reader(
            "keypoints.csv", {"keypoints.csv": poses}, lambda p: read_people(p.parent), two, CSV, weight=3
        ),
        Reader("keypoints", {"x.csv": colons.encode()}, lambda p: read_people(p.parent), two, CSV),
        Reader(
            "index.csv",
            {"index.csv": index},
            lambda p: (
                pair_up(read_index(p.parent), p.parent, 10) and deal_out(read_index(p.parent), p.parent)
            ),
            two,
            CSV,
            weight=3,
        ),
        Reader("palette", {"palette.csv": b"r,g,b,name\n0,0,0,a\n1,1,1,b\n"}, read_palette, {}, CSV),
        Reader(
            "name map",
            {"bench/lr_to_bsds500_val.json": as_json({"a_HR.png": "x.png"})},
            lambda p: find_twins(p.parent, "test", 2),
            {"bench/test_x2/a_LR.png": picture, "bench/test/a_HR.png": picture},
            JSON,
        ),
        Reader(
            "video list",
            {"testlist01.txt": b"x.avi\n"},
            lambda p: split_paths(p.parent, "ucf101", "test", 0, 1),
            {"trainlist01.txt": b"x.avi 1\n", "x.avi": clip["x.avi"]},
            text,
            weight=1,
        ),
        Reader("pack", {"index.json": packed["index.json"]}, lambda p: open_pack(p, key), packed, JSON),
        Reader("sidecar", sidecar, _read_sidecar, {}, JSON, weight=1),
        Reader(
            "data check pictures",
            {f"train/{k}": v for k, v in images.items()},
            check,
            {"train/z.png": picture},
            weight=2,
        ),
        Reader("data check poses", {"keypoints.json": as_json(people)}, check, two, JSON, weight=2),
        Reader(
            "data check captions", {"captions.csv": table, "captions.jsonl": lines}, check, two, CSV, weight=2
        ),
        Reader(
            "checkpoint",
            training,
            lambda p: attempt(lambda: read_checkpoint(p), lambda: load(p)),
            {},
            _TORCH,
            weight=4,
        ),
        Reader(
            "checkpoint pickle", training, lambda p: attempt(lambda: load(p)), inner=(bytes, bytes), weight=3
        ),
        Reader("weights", weights, read_tensors, weight=4),
        Reader(
            "model.json",
            {"model.json": exported["model.json"]},
            lambda p: load(p.parent),
            exported,
            JSON,
            weight=4,
        ),
        Reader(
            "safetensors",
            {"model.safetensors": exported["model.safetensors"]},
            lambda p: read_tensors(p),
            weight=2,
        ),
        *([Reader("onnx", onnx_model, lambda p: open_onnx(p)[0].sample(2), weight=4)] if onnx_model else []),
        Reader("eval.json", {"eval.json": as_json(rows_of)}, lambda p: read_json(p, ROWS), {}, JSON),
        Reader(
            "recipe",
            kinds,
            lambda p: check_arguments(["--config", str(p)]),
            {},
            (yaml.safe_load, lambda v: yaml.safe_dump(v).encode()),
            weight=4,
        ),
    ]


def _load_torch(data: bytes) -> Any:
    return torch.load(io.BytesIO(data), weights_only=True)


_TORCH = (_load_torch, lambda value: written(lambda b: torch.save(value, b)))


def _tar(buffer: Any) -> None:
    import tarfile

    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name in ("a/x.txt", "a" * 150 + "/é.txt"):
            member = tarfile.TarInfo(name)
            member.size = 600
            file.addfile(member, io.BytesIO(bytes(600)))


def _zip(buffer: Any) -> None:
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("a/x.txt", "b.txt"):
            file.writestr(name, bytes(600))


def made(reader: Reader, draw: random.Random) -> tuple[str, bytes]:
    """The name and the bytes of an input."""
    name = draw.choice(list(reader.seeds))
    data = reader.seeds[name]
    if reader.exact:
        return name, data
    if reader.structure and draw.random() < 0.7:
        parse, write = reader.structure
        content = parse(data)
        for _ in range(draw.choice((1, 1, 2))):
            content = wrong(content, draw)
        with contextlib.suppress(Exception):  # of what cannot be written there is no file
            return name, write(content)
    others = [*reader.seeds.values()][:20]
    if reader.inner and zipfile.is_zipfile(io.BytesIO(data)):
        return name, zipped(data, lambda member: damaged(member, others, draw))
    if reader.inner:
        unpack_, pack_ = reader.inner
        return name, pack_(damaged(unpack_(data), others, draw))
    return name, damaged(data, others, draw)


# ------------------------------------------------------------------------------------------------- running


def read(reader: Reader, path: Path) -> str:
    """Read a file; returns what is wrong with how that ended, or nothing."""
    try:
        reader.read(path)
    except UserError as error:
        return "" if str(error).strip() else "an empty sentence"
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:200]} ({Path(where.filename).name}:{where.lineno})"
    return ""


def memory(kind: str) -> int:
    """VmHWM (the peak), VmRSS or VmSize of this process in bytes."""
    return int(Path("/proc/self/status").read_text().split(f"{kind}:")[1].split()[0]) * 1024


def work(all_: list[Reader], seed: int, numbers: range, folder: Path, pipe: int) -> None:
    """Make and read inputs; writes a line of JSON before and after each."""
    for number in numbers:
        reader, name, path = placed(all_, seed, number, folder)
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
        before, start = memory("VmRSS"), time.process_time()
        os.write(pipe, as_json({"begins": number, "reader": reader.name, "name": name}) + b"\n")
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
            fault = read(reader, path)
        took, more = time.process_time() - start, memory("VmHWM") - before
        fault = fault or (f"{took:.1f} s" if took > SECONDS else "")
        fault = fault or (f"{more / 1e6:.0f} MB" if more > GIGABYTE else "")
        os.write(pipe, as_json({"ends": number, "fault": fault, "seconds": took, "bytes": more}) + b"\n")
    os._exit(0)


def placed(all_: list[Reader], seed: int, number: int, folder: Path) -> tuple[Reader, str, Path]:
    """Input ``number``: its reader, and its file in a folder with those beside it."""
    draw = random.Random(f"{seed} {number}")
    reader = draw.choices(all_, [reader.weight for reader in all_])[0]
    name, data = made(reader, draw)
    shutil.rmtree(folder, ignore_errors=True)
    for other, content in {**reader.beside, name: data}.items():
        (folder / other).parent.mkdir(parents=True, exist_ok=True)
        (folder / other).write_bytes(content)
    return reader, name, folder / name


def lines(all_: list[Reader], seed: int, count: int, folder: Path) -> Iterator[dict[str, Any]]:
    """What forked processes say of all inputs; one that hangs or dies is a fault of its input."""
    number = 0
    while number < count:
        numbers = range(number, min(count, number + AT_ONCE))
        out, into = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(out)
            limit = memory("VmSize") + 2 * GIGABYTE
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders written in C complain here
            work(all_, seed, numbers, folder, into)
        os.close(into)
        begun, buffer, deadline = number, b"", time.monotonic() + 60
        while True:
            if select.select([out], [], [], 0.5)[0]:
                data = os.read(out, 2**16)
                if not data:
                    break
                *whole, buffer = (buffer + data).split(b"\n")
                for line in map(json.loads, whole):
                    number = line.get("ends", number - 1) + 1
                    begun, deadline = line.get("begins", begun), time.monotonic() + 60
                    yield line
            elif time.monotonic() > deadline or _busy(pid) > 2 * SECONDS * (AT_ONCE + 1):
                break
        os.close(out)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        if number < numbers.stop:
            reason = (
                "it hung"
                if time.monotonic() > deadline
                else f"the process died ({os.waitstatus_to_exitcode(status)})"
            )
            yield {"ends": begun, "fault": reason, "seconds": 60.0, "bytes": 0}
            number = begun + 1


def _busy(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    try:
        parts = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return 0.0
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def fuzz(count: int, seed: int, all_: list[Reader], keep: Path) -> int:
    """Run all inputs and print what failed; returns the number of failures."""
    torch.set_num_threads(1)
    counts, faults, slowest, most = Counter[str](), 0, 0.0, 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "data")
        for reader in (
            each for each in all_ if not each.exact
        ):  # imports, and a look at whether the seeds are accepted at all
            for name, data in reader.seeds.items():
                shutil.rmtree(folder, ignore_errors=True)
                for other, content in {**reader.beside, name: data}.items():
                    (folder / other).parent.mkdir(parents=True, exist_ok=True)
                    (folder / other).write_bytes(content)
                if fault := read(reader, folder / name):
                    raise SystemExit(f"The reader {reader.name} does not accept {name}: {fault}")
        started: dict[int, dict[str, Any]] = {}
        for line in lines(all_, seed, count, folder):
            if "begins" in line:
                started = {line["begins"]: line}
                continue
            begun = started.get(line["ends"], {"reader": "?", "name": "?"})
            counts[begun["reader"]] += 1
            slowest, most = max(slowest, line["seconds"]), max(most, line["bytes"])
            if line["fault"]:
                faults += 1
                kept = keep / f"{begun['reader'].replace(' ', '_')}-{line['ends']}"
                placed(all_, seed, line["ends"], kept)
                (kept / ".reader").write_text(json.dumps(begun))
                print(
                    f"{begun['reader']}: {line['fault']}\n  python scripts/fuzz.py --repeat {kept}",
                    flush=True,
                )
    print(", ".join(f"{name} {number}" for name, number in sorted(counts.items())))
    print(
        f"{sum(counts.values())} inputs of seed {seed} to {len(all_)} readers in "
        f"{time.monotonic() - began:.0f} s: {faults} failed; the slowest took {slowest:.1f} s, "
        f"the largest {most / 1e6:.0f} MB."
    )
    return faults


def repeat(kept: Path) -> int:
    """Read an input that failed once more, in this process, with its traceback."""
    begun = json.loads((kept / ".reader").read_text())
    reader = next(reader for reader in readers() + largest() if reader.name == begun["reader"])
    start, before = time.process_time(), memory("VmRSS")
    try:
        reader.read(kept / begun["name"])
    except UserError as error:
        print(f"UserError: {error}")
    print(f"{time.process_time() - start:.1f} s, {(memory('VmHWM') - before) / 1e6:.0f} MB")
    return 0


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="readers whose names hold this")
    parser.add_argument("--largest", action="store_true", help="files that decode to all that is allowed")
    parser.add_argument("--keep", type=Path, default=Path("faults"), help="folder for inputs that fail")
    parser.add_argument("--repeat", type=Path, help="read an input that was kept")
    args = parser.parse_args()
    if args.repeat:
        return repeat(args.repeat)
    all_ = largest() if args.largest else [reader for reader in readers() if args.only in reader.name]
    return 1 if fuzz(args.inputs, args.seed, all_, args.keep) else 0


if __name__ == "__main__":
    sys.exit(main())
