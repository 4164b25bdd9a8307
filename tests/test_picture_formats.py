"""Pictures as their files mean them: orientation, depths, YCbCr, alpha, white as zero, colour profiles.

The right values come from PIL, libtiff by PIL, or numpy.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms, ImageOps

from zoo.data.checks import passed_over
from zoo.errors import UserError
from zoo.files.pictures import colour_profile, read_array, read_labels, write_picture

RANDOM = np.random.default_rng(0)
COLOUR = RANDOM.integers(0, 256, (4, 6, 3)).astype(np.uint8)
DEEP = RANDOM.integers(0, 65536, (4, 6, 3)).astype(np.uint16)


def tiff(path: Path, values: np.ndarray, orientation: int = 1, **options: Any) -> Path:
    tifffile.imwrite(path, values, extratags=[(274, 3, 1, orientation, True)], metadata=None, **options)
    return path


def turned(values: np.ndarray, orientation: int) -> np.ndarray:
    """Each channel turned by PIL, as exact 32-bit numbers."""
    exif = Image.Exif()
    exif[274] = orientation
    found = []
    for channel in np.moveaxis(values, 2, 0):
        image = Image.fromarray(channel.astype(np.int32))
        image.getexif().update(exif)
        found.append(np.asarray(ImageOps.exif_transpose(image)))
    return np.stack(found, 2)


def with_chunk(png: bytes, kind: bytes, body: bytes) -> bytes:
    """A PNG with another chunk behind its header."""
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return png[:33] + chunk + png[33:]


def exif_of(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    return exif.tobytes().removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("values", [COLOUR, DEEP, DEEP[:, :, :1]], ids=["8", "16", "grey"])
def test_the_orientation_of_a_tiff_is_obeyed(tmp_path: Path, orientation: int, values: np.ndarray) -> None:
    kind = "rgb" if values.shape[2] == 3 else "minisblack"
    path = tiff(tmp_path / "x.tif", values.squeeze(), orientation, photometric=kind, compression="zlib")
    np.testing.assert_array_equal(read_array(path), turned(values, orientation))
    if values.dtype == np.uint8:
        np.testing.assert_array_equal(read_array(path), np.asarray(Image.open(path)))


@pytest.mark.parametrize("orientation", [1, 2, 3, 5, 6, 8])
@pytest.mark.parametrize("late", [False, True])
def test_the_orientation_of_a_deep_png_is_obeyed(tmp_path: Path, orientation: int, late: bool) -> None:
    png = with_chunk(bytes(imagecodecs.png_encode(DEEP)), b"eXIf", exif_of(orientation))
    if late:  # a chunk may also stand behind the pixels
        whole, chunk = bytes(imagecodecs.png_encode(DEEP)), png[33 : 33 + 12 + len(exif_of(orientation))]
        png = whole[:-12] + chunk + whole[-12:]
    (tmp_path / "x.png").write_bytes(png)
    np.testing.assert_array_equal(read_array(tmp_path / "x.png"), turned(DEEP, orientation))


def test_label_maps_are_turned_as_their_photographs(tmp_path: Path) -> None:
    numbers = RANDOM.integers(0, 3, (4, 6, 1)).astype(np.uint8)
    palette = Image.fromarray(numbers[:, :, 0]).convert("P")
    palette.putdata(numbers.reshape(-1).tolist())
    palette.putpalette([9, 0, 0, 0, 9, 0, 0, 0, 9])
    for image in (palette, Image.fromarray(numbers[:, :, 0])):
        image.save(tmp_path / "x.png", exif=b"Exif\0\0" + exif_of(6))
        np.testing.assert_array_equal(read_labels(tmp_path / "x.png"), turned(numbers, 6)[:, :, 0])


@pytest.mark.parametrize("bits", [2, 4, 6, 10, 12, 14])
def test_tiffs_of_other_depths_fill_the_range(tmp_path: Path, bits: int) -> None:
    numbers = np.arange(2**bits).reshape(2, -1).astype(np.uint8 if bits < 8 else np.uint16)
    path = tiff(tmp_path / "x.tif", numbers, photometric="minisblack", bitspersample=bits)
    most = 255 if bits < 8 else 65535
    expected = [round(number * most / (2**bits - 1)) for number in range(2**bits)]
    assert read_array(path).reshape(-1).tolist() == expected
    if bits in (2, 4):
        np.testing.assert_array_equal(read_array(path)[:, :, 0], np.asarray(Image.open(path)))
    np.testing.assert_array_equal(read_labels(path), numbers)  # class numbers are not scaled
    tiff(path, numbers, photometric="miniswhite", bitspersample=bits)
    assert read_array(path).reshape(-1).tolist() == [most - value for value in expected]


@pytest.mark.parametrize("values", [DEEP[:, :, 0], COLOUR[:, :, 0], COLOUR[:, :, 0] > 99], ids=str)
def test_white_as_zero(tmp_path: Path, values: np.ndarray) -> None:
    path = tiff(tmp_path / "x.tif", values, photometric="miniswhite")
    most = {"uint8": 255, "uint16": 65535, "bool": 1}[str(values.dtype)]
    expected = (most - values.astype(int)) * (255 if most == 1 else 1)
    np.testing.assert_array_equal(read_array(path)[:, :, 0], expected)


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("compression", [None, "lzw"])
def test_ycbcr_that_is_no_jpeg_becomes_rgb(tmp_path: Path, compression: str, orientation: int) -> None:
    path = tiff(tmp_path / "x.tif", COLOUR, orientation, photometric="ycbcr", compression=compression)
    expected = turned(np.asarray(Image.fromarray(COLOUR, "YCbCr").convert("RGB")), orientation)
    assert np.abs(read_array(path).astype(int) - expected).max() <= 1
    tiff(path, DEEP, photometric="ycbcr")
    with pytest.raises(UserError, match=r"x\.tif holds YCbCr of other than 3 x 8 bit"):
        read_array(path)


def test_ycbcr_with_shared_chroma(tmp_path: Path) -> None:
    """Blocks of 2 x 2: four Y, one Cb, one Cr."""
    blocks = RANDOM.integers(60, 190, (2, 3, 6)).astype(np.uint8)
    y = blocks[:, :, :4].reshape(2, 3, 2, 2).swapaxes(1, 2).reshape(4, 6)
    chroma = blocks[:, :, 4:].repeat(2, 0).repeat(2, 1)
    numbers = {256: 6, 257: 4, 258: 8, 259: 1, 262: 6, 273: 8, 277: 3, 278: 4, 279: blocks.size}
    at = 8 + blocks.size
    tags = {tag: struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in numbers.items()}
    depths = at + 2 + 12 * (len(tags) + 1) + 4
    tags[258] = struct.pack("<HHII", 258, 3, 3, depths)
    tags[530] = struct.pack("<HHIHH", 530, 3, 2, 2, 2)
    directory = struct.pack("<H", len(tags)) + b"".join(tags[tag] for tag in sorted(tags)) + bytes(4)
    head = b"II*\0" + struct.pack("<I", at)
    (tmp_path / "x.tif").write_bytes(
        head + blocks.tobytes() + directory + struct.pack("<HHH", 8, 8, 8) + bytes(8)
    )
    planes = np.dstack([y, chroma])
    expected = np.asarray(Image.fromarray(planes, "YCbCr").convert("RGB"))
    assert np.abs(read_array(tmp_path / "x.tif").astype(int) - expected).max() <= 1


@pytest.mark.parametrize("most", [255, 65535])
@pytest.mark.parametrize("channels", [2, 4])
def test_premultiplied_alpha_is_divided_out(tmp_path: Path, most: int, channels: int) -> None:
    dtype = np.uint8 if most == 255 else np.uint16
    alpha = RANDOM.integers(1, most + 1, (4, 6, 1))
    values = np.concatenate([RANDOM.integers(0, most + 1, (4, 6, channels - 1)), alpha], 2)
    stored = values.copy()
    stored[:, :, :-1] = np.round(values[:, :, :-1] * (alpha / most))
    stored[0, 0], values[0, 0] = 0, 0
    kind = "rgb" if channels == 4 else "minisblack"
    path = tiff(
        tmp_path / "x.tif",
        stored.astype(dtype),
        photometric=kind,
        extrasamples=["assocalpha"],
        planarconfig="contig",
    )
    step = np.maximum(1, most / np.maximum(alpha, 1))  # what rounding has lost
    assert (np.abs(read_array(path).astype(int) - values) <= step).all()
    if (most, channels) == (255, 4):
        assert np.abs(read_array(path).astype(int) - np.asarray(Image.open(path).convert("RGBA"))).max() <= 1


def gamma_profile(kind: str = "rgb", gamma: float = 1.0) -> bytes:
    """A profile of Adobe RGB's primaries, or of grey."""
    primaries = {"primaries": (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)} if kind == "rgb" else {}
    return bytes(imagecodecs.cms_profile(kind, whitepoint=(0.3127, 0.329, 1.0), gamma=gamma, **primaries))


def test_colour_profiles_are_converted_to_srgb(tmp_path: Path) -> None:
    profile = gamma_profile(gamma=2.2)
    target = ImageCms.createProfile("sRGB")
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    right = np.asarray(ImageCms.profileToProfile(Image.fromarray(COLOUR), source, target))
    assert np.abs(right.astype(int) - COLOUR).max() > 20
    for suffix in (".png", ".tif", ".webp"):
        options = {"lossless": True} if suffix == ".webp" else {}
        Image.fromarray(COLOUR).save(tmp_path / f"x{suffix}", icc_profile=profile, **options)
        assert np.abs(read_array(tmp_path / f"x{suffix}").astype(int) - right).max() <= 1, suffix
        assert colour_profile(tmp_path / f"x{suffix}")
    smooth = Image.fromarray(np.full((16, 16, 3), (200, 90, 40), np.uint8))
    smooth.save(tmp_path / "x.jpg", icc_profile=profile)
    expected = ImageCms.profileToProfile(Image.open(tmp_path / "x.jpg"), source, target)
    assert np.abs(read_array(tmp_path / "x.jpg").astype(int) - np.asarray(expected)).max() <= 1
    alpha = Image.fromarray(np.dstack([COLOUR, COLOUR[:, :, 0]]))
    alpha.save(tmp_path / "x.png", icc_profile=profile)
    np.testing.assert_array_equal(read_array(tmp_path / "x.png")[:, :, 3], COLOUR[:, :, 0])
    np.testing.assert_array_equal(read_array(tmp_path / "x.png", stored=True)[:, :, :3], COLOUR)


def cmyk_profile() -> bytes:
    """A profile of CMYK: 16 corners in Lab, as 8-bit tables."""
    identity = bytes(range(256))
    corners = np.random.default_rng(1).integers(60, 190, (16, 3)).astype(np.uint8)
    matrix = struct.pack(">9i", *(65536 * (k % 4 == 0) for k in range(9)))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + identity * 4 + corners.tobytes() + identity * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    name = b"desc\0\0\0\0" + struct.pack(">I", 4) + b"Ink\0" + bytes(78)
    parts, at, entries = [table + bytes(-len(table) % 4), white, name], 132 + 36, b""
    for tag, part in zip((b"A2B0", b"wtpt", b"desc"), parts, strict=True):
        entries += tag + struct.pack(">II", at, len(part))
        at += len(part)
    head = struct.pack(">II4s4s4s4s12x4s", at, 0, b"\x02\x40\0\0", b"prtr", b"CMYK", b"Lab ", b"acsp")
    head = head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", 3) + entries + b"".join(parts)


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_inks_are_converted_by_their_profile(tmp_path: Path, suffix: str) -> None:
    inks = Image.fromarray(np.full((16, 16, 4), (200, 90, 40, 20), np.uint8), "CMYK")
    inks.save(tmp_path / f"x{suffix}", icc_profile=cmyk_profile())
    stored = Image.open(tmp_path / f"x{suffix}")
    source, target = ImageCms.ImageCmsProfile(io.BytesIO(cmyk_profile())), ImageCms.createProfile("sRGB")
    right = np.asarray(ImageCms.profileToProfile(stored, source, target, outputMode="RGB")).astype(int)
    assert np.abs(right - np.asarray(stored.convert("RGB"))).max() > 20
    assert np.abs(read_array(tmp_path / f"x{suffix}") - right).max() <= 1
    assert colour_profile(tmp_path / f"x{suffix}") == "Ink"
    inks.save(tmp_path / f"x{suffix}", icc_profile=cmyk_profile()[:150])
    np.testing.assert_array_equal(
        read_array(tmp_path / f"x{suffix}"), np.asarray(Image.open(tmp_path / f"x{suffix}").convert("RGB"))
    )


def test_deep_pictures_keep_their_depth_in_srgb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = gamma_profile(gamma=1.0)
    body = b"\x02x\0\0" + zlib.compress(profile)
    grey = bytes(imagecodecs.png_encode(DEEP[:, :, 0].copy()))
    (tmp_path / "x.png").write_bytes(with_chunk(grey, b"iCCP", body))  # for colours
    np.testing.assert_array_equal(read_array(tmp_path / "x.png")[:, :, 0], DEEP[:, :, 0])
    assert capsys.readouterr() == ("", "")
    (tmp_path / "x.png").write_bytes(with_chunk(bytes(imagecodecs.png_encode(DEEP)), b"iCCP", body))
    tifffile.imwrite(tmp_path / "x.tif", DEEP, photometric="rgb", iccprofile=profile)
    png, tif = (read_array(tmp_path / name) for name in ("x.png", "x.tif"))
    np.testing.assert_array_equal(png, tif)
    light = DEEP / 65535  # linear light, in Adobe RGB's primaries

    def matrix(*corners: tuple[float, float]) -> np.ndarray:
        columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in corners]).T
        return columns * np.linalg.solve(columns, (0.3127 / 0.329, 1, (1 - 0.3127 - 0.329) / 0.329))

    adobe, srgb = (
        matrix((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)),
        matrix((0.64, 0.33), (0.3, 0.6), (0.15, 0.06)),
    )
    light = np.clip(light @ (np.linalg.inv(srgb) @ adobe).T, 0, 1)
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert png.dtype == np.uint16 and np.abs(png - 65535 * coded).max() < 65535 / 500
    assert len(np.unique(png % 257)) > 20  # not by way of 8 bits


def test_grey_profiles_and_those_that_change_nothing(tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "grey.png", icc_profile=gamma_profile("gray"))
    light = np.arange(256) / 255
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(read_array(tmp_path / "grey.png").reshape(-1) - 255 * coded).max() <= 1.5
    assert read_array(tmp_path / "grey.png").shape == (16, 16, 1)
    np.testing.assert_array_equal(read_labels(tmp_path / "grey.png"), grey)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    damaged = gamma_profile()[:200]
    for profile in (srgb, damaged, gamma_profile("gray"), b""):  # the last but one is for grey
        Image.fromarray(COLOUR).save(tmp_path / "x.png", icc_profile=profile)
        np.testing.assert_array_equal(read_array(tmp_path / "x.png"), COLOUR)
        assert colour_profile(tmp_path / "x.png") is None
    Image.fromarray(COLOUR).save(tmp_path / "x.png", icc_profile=gamma_profile())
    assert [note.file for note in passed_over(tmp_path)] == [
        str(tmp_path / "grey.png"),
        str(tmp_path / "x.png"),
    ]


@pytest.mark.parametrize(("suffix", "width"), [(".webp", 16_384), (".jpg", 65_501)])
def test_pictures_that_a_format_cannot_hold(tmp_path: Path, suffix: str, width: int) -> None:
    path = tmp_path / f"wide{suffix}"
    with pytest.raises(UserError, match=rf"cannot hold {width}x1 pixels; use \.png"):
        write_picture(path, torch.zeros(3, 1, width))
    assert not path.exists()
