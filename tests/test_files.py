from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from zoo.errors import UserError
from zoo.files import reading, writing
from zoo.files.pictures import read_array, read_labels, read_picture, to_tensor, write_picture
from zoo.files.writing import sha256

EXACT = [
    *((".png", bits, channels) for bits in (8, 16) for channels in (1, 2, 3, 4)),
    *((".tif", bits, channels) for bits in (8, 16) for channels in (1, 2, 3, 4, 5, 9)),
    *((".webp", 8, channels) for channels in (3, 4)),
]


def every_value(bits: int, channels: int) -> np.ndarray:
    """All values that so many bits have, shuffled differently in each channel."""
    random = np.random.default_rng(bits)
    values = np.arange(2**bits).reshape(16 if bits == 8 else 128, -1)
    planes = [random.permuted(values.reshape(-1)).reshape(values.shape) for _ in range(channels)]
    return np.stack(planes, 2).astype(np.uint8 if bits == 8 else np.uint16)


def smooth(mode: str = "RGB") -> Image.Image:
    y, x = np.mgrid[:48, :64]
    return Image.fromarray(np.stack([x * 3, y * 4, (x + y) * 2], 2).astype(np.uint8)).convert(mode)


def encoded(format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    smooth().save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(("suffix", "bits", "channels"), EXACT)
def test_every_value_survives_reading_and_writing(tmp_path, suffix, bits, channels):
    values, path = every_value(bits, channels), tmp_path / f"x{suffix}"
    write_picture(path, to_tensor(values), bits)
    assert read_array(path).dtype == values.dtype
    np.testing.assert_array_equal(read_array(path), values)
    again = tmp_path / f"again{suffix}"
    write_picture(again, read_picture(path), bits)
    assert again.read_bytes() == path.read_bytes()


def test_files_of_other_writers_are_read_exactly(tmp_path):
    colour, grey = every_value(16, 3), every_value(16, 1)[:, :, 0]
    (tmp_path / "colour.png").write_bytes(imagecodecs.png_encode(colour))
    Image.fromarray(grey).save(tmp_path / "grey.png")
    tifffile.imwrite(
        tmp_path / "planes.tif", np.moveaxis(colour, 2, 0), photometric="rgb", planarconfig="separate"
    )
    tifffile.imwrite(tmp_path / "pages.tif", np.moveaxis(every_value(16, 5), 2, 0), photometric="minisblack")
    tifffile.imwrite(tmp_path / "big.tif", colour, photometric="rgb", byteorder=">", bigtiff=True)
    np.testing.assert_array_equal(read_array(tmp_path / "colour.png"), colour)
    np.testing.assert_array_equal(read_array(tmp_path / "grey.png")[:, :, 0], grey)
    np.testing.assert_array_equal(read_array(tmp_path / "planes.tif"), colour)
    np.testing.assert_array_equal(read_array(tmp_path / "pages.tif"), every_value(16, 5))
    np.testing.assert_array_equal(read_array(tmp_path / "big.tif"), colour)


def test_values_are_mapped_to_minus_one_and_one(tmp_path):
    Image.fromarray(np.array([[0, 51, 255]], np.uint8)).save(tmp_path / "x.png")
    picture = read_picture(tmp_path / "x.png")
    assert picture.shape == (1, 1, 3) and picture.dtype == torch.float32
    torch.testing.assert_close(picture, torch.tensor([[[-1.0, -0.6, 1.0]]]))


def test_writing_rounds_to_the_nearest_value_and_clamps(tmp_path):
    step = 2 / 255
    x = torch.tensor([[[-9.0, -1 + 0.4 * step, -1 + 0.6 * step, 9.0]]])
    write_picture(tmp_path / "x.png", x)
    assert read_array(tmp_path / "x.png")[0, :, 0].tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize(
    ("mode", "shape"), [("1", 1), ("L", 1), ("P", 3), ("CMYK", 3), ("LA", 2), ("RGBA", 4), ("YCbCr", 3)]
)
def test_modes_become_plain_channels(tmp_path, mode, shape):
    path = tmp_path / ("x.jpg" if mode in ("CMYK", "YCbCr") else "x.png")
    smooth(mode).save(path)
    assert read_picture(path).shape == (shape, 48, 64)


def test_a_palette_gives_its_colours_and_its_transparency(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "L").convert("P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.save(tmp_path / "x.png")
    assert read_array(tmp_path / "x.png").tolist() == [
        [[10, 20, 30], [200, 100, 50]],
        [[200, 100, 50], [10, 20, 30]],
    ]
    image.save(tmp_path / "clear.png", transparency=1)
    assert read_array(tmp_path / "clear.png")[0].tolist() == [[10, 20, 30, 255], [200, 100, 50, 0]]


def test_a_camera_s_orientation_is_obeyed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # lay on its side
    smooth().save(tmp_path / "x.jpg", exif=exif)
    assert read_picture(tmp_path / "x.jpg").shape == (3, 64, 48)


@pytest.mark.parametrize("kind", ["jpeg", "progressive", "png", "webp", "bmp", "tiff", "png16", "tiff16"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_files_are_refused_by_name(tmp_path, kind, share):
    path = tmp_path / "holiday.png"
    noise = np.random.default_rng(0).integers(0, 65536, (40, 40, 3)).astype(np.uint16)
    write_picture(tmp_path / "deep.tif", to_tensor(noise), 16)
    whole = {
        "jpeg": lambda: encoded("JPEG"),
        "progressive": lambda: encoded("JPEG", progressive=True),
        "png": lambda: encoded("PNG"),
        "webp": lambda: encoded("WEBP"),
        "bmp": lambda: encoded("BMP"),
        "tiff": lambda: encoded("TIFF"),
        "png16": lambda: imagecodecs.png_encode(noise),
        "tiff16": (tmp_path / "deep.tif").read_bytes,
    }[kind]()
    path.write_bytes(whole)
    read_picture(path)
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match=r"holiday\.png"):
        read_picture(path)


def test_a_tiff_that_lost_the_end_of_its_jpeg_is_refused(tmp_path):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.asarray(smooth()), photometric="rgb", compression="jpeg")
    (tmp_path / "x.tif").write_bytes(buffer.getvalue())
    read_picture(tmp_path / "x.tif")
    (tmp_path / "x.tif").write_bytes(buffer.getvalue()[:-20])  # still decodes, grey where pixels are lost
    with pytest.raises(UserError, match=r"x\.tif is truncated"):
        read_picture(tmp_path / "x.tif")


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_a_file_that_lost_only_its_end_is_refused(tmp_path, format):
    (tmp_path / "x.png").write_bytes(encoded(format)[:-14])
    with pytest.raises(UserError, match=r"x\.png"):
        read_picture(tmp_path / "x.png")


@pytest.mark.parametrize("data", [b"", b"hello, this is text", b"II*\0", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_refused_by_name(tmp_path, data):
    (tmp_path / "notes.png").write_bytes(data)
    with pytest.raises(UserError, match=r"notes\.png"):
        read_picture(tmp_path / "notes.png")


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2"])
def test_numpy_files_are_pictures_too(tmp_path, dtype):
    values = np.random.default_rng(0).integers(0, 256 if dtype == "u1" else 65536, (5, 7, 3)).astype(dtype)
    np.save(tmp_path / "a.npy", values)
    np.save(tmp_path / "b.npy", np.asfortranarray(values[:, :, 0]))
    array = read_array(tmp_path / "a.npy")
    assert array.dtype == (np.uint8 if dtype == "u1" else np.uint16) and np.array_equal(array, values)
    array[0, 0, 0] = 1  # a copy
    assert np.array_equal(read_array(tmp_path / "a.npy"), values)
    assert np.array_equal(read_array(tmp_path / "b.npy"), values[:, :, :1])
    assert read_picture(tmp_path / "a.npy").shape == (3, 5, 7)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((5, 7), np.float32), "5 x 7 of float32; save an image as"),
        (np.zeros((5, 7), np.int16), "5 x 7 of int16; save an image as"),
        (np.zeros((2, 5, 7, 3), np.uint8), "2 x 5 x 7 x 3 of uint8; save an image as"),
        (np.zeros((0, 7), np.uint8), "0 x 7 of uint8; save an image as"),
        (np.array([None]), "cannot be read as an image"),
    ],
)
def test_numpy_files_that_are_no_picture_are_refused(tmp_path, values, message):
    np.save(tmp_path / "a.npy", values, allow_pickle=True)
    with pytest.raises(UserError, match=rf"a\.npy .*{message}"):
        read_array(tmp_path / "a.npy")


def test_a_numpy_file_that_promises_too_much_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((50, 50), np.uint8))
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole[:-1])
    with pytest.raises(UserError, match=r"a\.npy cannot be read as an image"):
        read_array(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes(whole.replace(b"(50, 50), }        ", b"(999999, 999999), }"))
    with pytest.raises(UserError, match=r"a\.npy cannot be read as an image"):
        read_array(tmp_path / "a.npy")


def test_missing_and_unwritable_places_are_named(tmp_path):
    for read in (read_picture, sha256, read_labels):
        with pytest.raises(UserError, match=r"gone\.png"):
            read(tmp_path / "gone.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/x\.txt"):
        writing.write_text(tmp_path / "file" / "x.txt", "text")


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bits", [8, 16])
def test_decompression_bombs_are_refused_by_name(tmp_path, monkeypatch, suffix, bits):
    path = tmp_path / f"bomb{suffix}"
    write_picture(path, torch.zeros(3, 20, 20), bits)
    most = 20 * 20 * 3 * bits // 8
    monkeypatch.setattr(reading, "RATIO", 0)
    monkeypatch.setattr(reading, "LARGEST", most)
    read_picture(path)
    monkeypatch.setattr(reading, "LARGEST", most - 1)
    with pytest.raises(UserError, match=f"bomb{suffix}.*cut it"):
        read_picture(path)


def test_floats_and_stacks_in_tiff_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "float.tif", np.zeros((4, 5), np.float32))
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((6, 4, 5, 3), np.uint8), photometric="rgb")
    with pytest.raises(UserError, match=r"float\.tif.*float32"):
        read_picture(tmp_path / "float.tif")
    with pytest.raises(UserError, match=r"stack\.tif.*stack"):
        read_picture(tmp_path / "stack.tif")


@pytest.mark.parametrize(
    ("name", "channels", "bits"),
    [("x.png", 5, 8), ("x.jpg", 4, 8), ("x.jpg", 3, 16), ("x.webp", 2, 8), ("x.gif", 3, 8)],
)
def test_what_a_format_cannot_hold_is_refused(tmp_path, name, channels, bits):
    with pytest.raises(UserError, match=name):
        write_picture(tmp_path / name, torch.zeros(channels, 4, 4), bits)
    assert not list(tmp_path.iterdir())


def test_values_that_are_not_finite_are_never_written(tmp_path):
    with pytest.raises(ValueError, match="finite"):
        write_picture(tmp_path / "x.png", torch.full((1, 2, 2), float("nan")))


def test_a_jpeg_comes_close(tmp_path):
    picture = to_tensor(np.asarray(smooth()))
    write_picture(tmp_path / "x.jpg", picture)
    assert (read_picture(tmp_path / "x.jpg") - picture).abs().mean() < 0.02


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "x.txt"
    writing.write_text(path, "old ü")
    assert path.read_text(encoding="utf-8") == "old ü"

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(UserError, match=r"x\.txt.*No space"):
        writing.write_text(path, "new")
    assert [p.name for p in path.parent.iterdir()] == ["x.txt"]
    assert path.read_text(encoding="utf-8") == "old ü"


def test_what_dead_writers_left_is_removed_and_nothing_else(tmp_path):
    dead, foreign = tmp_path / ".a.ckpt.0123abcd.part", tmp_path / ".a.part"
    dead.write_bytes(b"half")
    foreign.write_bytes(b"")
    (tmp_path / ".pack.0123abcd.part").mkdir()
    (tmp_path / ".pack.0123abcd.part" / "index").write_bytes(b"")
    with writing.staging(tmp_path / "live") as live, writing.staging(tmp_path / "folder", True) as folder:
        assert {*tmp_path.iterdir()} == {foreign, live, folder}
        dead.write_bytes(b"half")
        (folder / ".inner.0123abcd.part").write_bytes(b"")
        writing.sweep(tmp_path.parent)
        assert {*tmp_path.iterdir()} == {foreign, live, folder} and len([*folder.iterdir()]) == 1
    assert [*tmp_path.iterdir()] == [foreign]


def test_names_of_the_greatest_length_are_written(tmp_path):
    for name in ("x" * 255, "ü" * 127):
        writing.write_text(tmp_path / name, "1")
    assert len([*tmp_path.iterdir()]) == 2


@pytest.mark.parametrize("place", ["file/below/x", "/proc/x"])
def test_unwritable_places_are_found_before_the_work(tmp_path, place):
    (tmp_path / "file").write_bytes(b"")
    writing.require_writable(tmp_path / "file")
    writing.require_writable(tmp_path / "new" / "x")
    with pytest.raises(UserError, match="Cannot write"):
        writing.require_writable(tmp_path / place)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_written_files_have_the_usual_rights(tmp_path):
    writing.write_bytes(tmp_path / "x", b"1")
    (tmp_path / "y").write_bytes(b"1")
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == stat.S_IMODE((tmp_path / "y").stat().st_mode)


def test_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def grey_png(path: Path, values: np.ndarray, bits: int) -> None:
    """Write a grey PNG of 1, 2 or 4 bit, which PIL cannot."""
    import struct
    import zlib

    height, width = values.shape
    digits = ((values[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1).reshape(height, -1).astype(np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in np.packbits(digits, axis=1))
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
    ]
    body = b"".join(
        struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d))
        for t, d in [*chunks, (b"IEND", b"")]
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def test_label_maps_give_class_numbers(tmp_path):
    numbers = np.array([[0, 1, 2], [3, 1, 0]], np.uint8)
    palette = Image.fromarray(numbers, "L").convert("P")
    palette.putdata(numbers.reshape(-1).tolist())
    palette.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200, 9, 9, 9])
    palette.save(tmp_path / "palette.png")
    palette.save(tmp_path / "two_bits.png", bits=2)
    Image.fromarray(numbers).save(tmp_path / "grey.png")
    Image.fromarray(numbers.astype(np.uint16)).save(tmp_path / "grey16.png")
    for bits in (2, 4):
        grey_png(tmp_path / f"grey{bits}.png", numbers, bits)
    tifffile.imwrite(tmp_path / "grey.tif", numbers)
    for path in sorted(tmp_path.iterdir()):
        labels = read_labels(path)
        assert labels.dtype == torch.long and labels.tolist() == numbers.tolist(), path.name


def test_label_maps_in_colour_or_jpeg_are_refused(tmp_path):
    smooth().save(tmp_path / "colour.png")
    smooth("L").save(tmp_path / "lossy.jpg")
    with pytest.raises(UserError, match=r"colour\.png"):
        read_labels(tmp_path / "colour.png")
    with pytest.raises(UserError, match=r"lossy\.jpg.*PNG"):
        read_labels(tmp_path / "lossy.jpg")
