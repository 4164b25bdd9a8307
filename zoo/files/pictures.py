"""Read and write images of 8 and 16 bits and any number of channels, lossless but for JPEG.

A value ``v`` of ``b`` bits maps to ``v / (2**b - 1) * 2 - 1``: black is -1, white is 1.
"""

from __future__ import annotations

import io
import math
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import imagecodecs
import numpy as np
import tifffile
import torch
from PIL import Image, ImageOps
from torch import Tensor

from zoo.errors import UserError, reason_of
from zoo.files import PICTURE_SUFFIXES as PICTURE_SUFFIXES
from zoo.files.reading import opened, read_bytes, require_modest
from zoo.files.writing import write_bytes

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_NPY = b"\x93NUMPY"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# named, so that PIL never uses a format that runs other programs (EPS)
_PIL_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
_KEPT = ("L", "LA", "RGB", "RGBA")
_CONVERTED = {"1": "L", "PA": "RGBA", "La": "LA", "RGBa": "RGBA"}
_CONVERTED |= {"RGBX": "RGB", "CMYK": "RGB", "YCbCr": "RGB"}

_TIFF_COMPRESSIONS = (1, 5, 8, 32773, 32946, 34925, 50000, 6, 7)  # whose decoders stop at a given length
_JPEG_IN_TIFF = (6, 7)
_TIFF_SIZES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}  # bytes by kind
MOST_PAGES = 4096  # of a TIFF, where pages are channels
SCANS = 64  # of a JPEG; progressive ones have about 10

Array = np.ndarray[Any, Any]


def read_array(path: str | Path) -> Array:
    """An image file's own values, (H, W, C) of uint8 or uint16.

    Palettes become RGB (RGBA if they hold transparency), CMYK becomes RGB, EXIF orientation is applied; in a
    TIFF, planes or pages are channels; a NumPy file holds (H, W) or (H, W, C).

    Raises:
        UserError: The file is missing, no image, truncated, too large, or neither 8 nor 16 bit.
    """
    path = Path(path)
    data = read_bytes(path)
    with _decoding(path):
        if data[:8] == _PNG and b"IEND" not in data:  # decoders ignore a missing end
            raise UserError(f"{path} is truncated; replace it.")
        if data[:4] in _TIFF:
            array = _decode_tiff(path, data)
        elif data[:6] == _NPY:
            array = _decode_npy(path, data)
        elif data[:8] == _PNG and data[24:25] == b"\x10":  # PIL would cut 16-bit colour down to 8
            width, height = struct.unpack(">II", data[16:24])
            channels = {0: 1, 4: 2, 6: 4}.get(data[25], 3)
            require_modest(path, 2 * channels * width * height, len(data))
            array = np.asarray(imagecodecs.png_decode(data))
        else:
            array = _decode_with_pil(path, data)
    return array[:, :, None] if array.ndim == 2 else array


def read_jpeg_reduced(path: str | Path, least: int) -> Array:
    """As :func:`read_array`, but decode a JPEG at 1/2, 1/4 or 1/8 if both sides stay at least ``least``.

    Decoding is faster; the pixels differ from those of the whole image resized.

    Raises:
        UserError: As :func:`read_array`.
    """
    path = Path(path)
    data = read_bytes(path)
    if data[:2] != _JPEG:
        return read_array(path)
    with _decoding(path), _opened(path, data, ("JPEG",)) as image:
        factor = max(f for f in (1, 2, 4, 8) if f == 1 or min(image.size) >= f * least)
        image.draft(None, (image.width // factor, image.height // factor))
        return _as_array(path, image)


def read_picture(path: str | Path) -> Tensor:
    """An image file as (C, H, W) float32 in [-1, 1]; grey is one channel, alpha is the last.

    Raises:
        UserError: As :func:`read_array`.
    """
    return to_tensor(read_array(path))


def to_tensor(array: Array) -> Tensor:
    """Values (H, W, C) of uint8 or uint16 as (C, H, W) float32 in [-1, 1]."""
    highest = float(np.iinfo(array.dtype).max)
    floats = np.ascontiguousarray(array.transpose(2, 0, 1), dtype=np.float32)
    return torch.from_numpy(floats).div_(highest).mul_(2).sub_(1)


def to_array(picture: Tensor, bits: Literal[8, 16] = 8) -> Array:
    """An image (C, H, W) in [-1, 1], clamped and rounded to (H, W, C) of uint8 or uint16.

    Raises:
        ValueError: The image has another shape or a non-finite value.
    """
    if picture.ndim != 3 or not torch.isfinite(picture).all():
        raise ValueError(f"an image is (C, H, W) with finite values, got shape {tuple(picture.shape)}")
    array = to_levels(picture.cpu(), bits).permute(1, 2, 0).contiguous().numpy()
    return array.astype(np.uint8 if bits == 8 else np.uint16)


def to_levels(values: Tensor, bits: Literal[8, 16] = 8) -> Tensor:
    """Values of any shape in [-1, 1], clamped and rounded to integers in float32, 0 to 2^bits - 1."""
    return values.detach().float().clamp(-1, 1).add(1).mul((2**bits - 1) / 2).round()


def write_picture(path: str | Path, picture: Tensor, bits: Literal[8, 16] = 8) -> None:
    """Write an image (C, H, W) in [-1, 1] atomically, in the format of the suffix.

    PNG (1 to 4 channels) and TIFF (any number) store 8 and 16 bits exactly, WebP 8 bits; JPEG is lossy.

    Args:
        path: Ends with .png, .tif, .tiff, .webp, .jpg or .jpeg.
        picture: The image; values outside [-1, 1] are clamped.
        bits: 8, or 16 for PNG and TIFF.

    Raises:
        UserError: The suffix is unknown, or its format cannot hold so many channels or bits.
        ValueError: The image has another shape or a non-finite value.
    """
    path = Path(path)
    array, suffix = to_array(picture, bits), path.suffix.lower()
    channels = array.shape[2]
    allowed = {".png": {1, 2, 3, 4}, ".webp": {1, 3, 4}, ".jpg": {1, 3}, ".jpeg": {1, 3}}
    if suffix in (".tif", ".tiff"):
        write_bytes(path, _encode_tiff(array))
        return
    if suffix not in allowed:
        raise UserError(f"Cannot write {path}: end its name with .png, .tif, .webp or .jpg.")
    if channels not in allowed[suffix]:
        raise UserError(f"Cannot write {path}: {suffix} cannot hold {channels} channels; use .tif.")
    if bits == 16 and suffix != ".png":
        raise UserError(f"Cannot write {path}: {suffix} cannot hold 16 bit; use .png or .tif.")
    values = array[:, :, 0] if channels == 1 else array
    if bits == 16:
        write_bytes(path, bytes(imagecodecs.png_encode(values)))
        return
    buffer = io.BytesIO()
    image = Image.fromarray(values)
    if suffix == ".png":
        image.save(buffer, "PNG")
    elif suffix == ".webp":
        image.save(buffer, "WEBP", lossless=True, exact=True)  # exact keeps colour under full transparency
    else:
        image.save(buffer, "JPEG", quality=95, subsampling=0)
    write_bytes(path, buffer.getvalue())


def read_labels(path: str | Path) -> Tensor:
    """A label map as (H, W) class indices: the indices of a palette image, or the values of a grey one.

    Raises:
        UserError: The file is unreadable, in colour, or a JPEG, whose compression would invent classes.
    """
    path = Path(path)
    data = read_bytes(path)
    if data[:2] == _JPEG:
        raise UserError(f"{path} is a JPEG, whose compression changes class indices; give label maps as PNG.")
    if data[:8] == _PNG and data[25:26] == b"\x03":
        with _decoding(path), _opened(path, data) as image:
            array = np.asarray(image)
    else:
        array = read_array(path)
        if array.shape[2] != 1:
            raise UserError(
                f"{path} has {array.shape[2]} channels, but a label map has one class index per pixel; "
                "save it as palette or grey PNG."
            )
        array = array[:, :, 0]
        if data[:8] == _PNG and (depth := data[24]) < 8:
            array = array // (255 // (2**depth - 1))  # PIL scales grey of 1, 2 and 4 bits to 0..255
    require_modest(path, 4 * array.size, len(data))  # class numbers take eight bytes each
    return torch.from_numpy(array.astype(np.int64))


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Convert what decoders raise on damaged bytes to a UserError."""
    try:
        yield
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError(f"{path} is too large ({error}); cut it into smaller images.") from error
    except Exception as error:
        reason = reason_of(error)
        if "cannot identify image file" in reason:
            reason = "not a PNG, JPEG, TIFF, WebP, BMP or NPY"
        raise UserError(
            f"{path} cannot be read as an image ({reason}); it is damaged or no image, replace it."
        ) from error


@contextmanager
def _opened(path: Path, data: bytes, formats: tuple[str, ...] = _PIL_FORMATS) -> Iterator[Image.Image]:
    """Open an image with PIL, before anything is decoded; one that is too large to decode is refused."""
    if data[:4] == b"RIFF" and data[12:16] == b"VP8X":  # PIL allocates its pixels when it opens it
        width, height = (1 + int.from_bytes(data[start : start + 3], "little") for start in (24, 27))
        require_modest(path, 4 * width * height, len(data))
    with Image.open(io.BytesIO(data), formats=formats) as image:
        channels = 3 if image.mode in ("P", "PA") else len(image.getbands())  # palettes become RGB
        require_modest(path, channels * image.width * image.height, len(data))
        if image.format == "JPEG" and data.count(b"\xff\xda") > SCANS:  # each is a pass over all pixels
            raise UserError(f"{path} has more than {SCANS} scans; save it again.")
        yield image


def _decode_with_pil(path: Path, data: bytes) -> Array:
    with _opened(path, data) as image:
        plain = image.format == "JPEG" and image.mode in ("L", "RGB") and "exif" not in image.info
        if plain and data.rstrip(b"\0").endswith(b"\xff\xd9"):
            return np.asarray(imagecodecs.jpeg8_decode(data))  # the same pixels, twice as fast
        return _as_array(path, image)


def _as_array(path: Path, image: Image.Image) -> Array:
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif image.mode in _CONVERTED:
        image = image.convert(_CONVERTED[image.mode])
    elif image.mode not in _KEPT:
        raise UserError(f"{path} has values of kind {image.mode}; save it with 8 or 16 bit a channel.")
    array = np.array(image)  # a copy: PIL's buffer is read-only
    return array[:, :, None] if array.ndim == 2 else array


def _decode_tiff(path: Path, data: bytes) -> Array:
    _check_pages(path, data)
    with tifffile.TiffFile(io.BytesIO(data), _multifile=False) as file:
        page, series = file.pages.first, file.series[0]
        kinds = tifffile.PHOTOMETRIC
        if page.photometric not in (kinds.MINISBLACK, kinds.RGB, kinds.YCBCR):
            return _decode_with_pil(path, data)  # palettes, CMYK, white as zero
        height, width = series.axes.index("Y"), series.axes.index("X")
        if page.compression not in _TIFF_COMPRESSIONS:
            raise UserError(f"{path} is compressed by method {int(page.compression)}; save it with deflate.")
        for values in (series.shape, page.chunks):
            require_modest(path, math.prod(values) * (page.dtype or np.dtype(float)).itemsize, len(data))
        for part in series.pages:
            ends = zip(part.dataoffsets, part.databytecounts, strict=True) if part is not None else ()
            for start, length in ends:
                if start + length > len(data):
                    raise UserError(f"{path} is truncated; replace it.")
                if page.compression in _JPEG_IN_TIFF:
                    _check_jpeg(path, data[start : start + length], page.chunks)
        array = np.moveaxis(series.asarray(maxworkers=1), (height, width), (0, 1))
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    if array.dtype not in (np.uint8, np.uint16):
        raise UserError(f"{path} has values of kind {array.dtype}; save it with 8 or 16 bit a channel.")
    if sum(length > 1 for length in array.shape[2:]) > 1:
        raise UserError(f"{path} holds a stack of images (axes {series.axes}); save one image per file.")
    return np.ascontiguousarray(array.reshape(*array.shape[:2], -1))


def _check_pages(path: Path, data: bytes) -> None:
    """Refuse a TIFF whose chain of pages returns to itself or whose tags overlap: readers take minutes."""
    order, big = ("<" if data[:2] == b"II" else ">"), data[2:4] in (b"+\0", b"\0+")
    pointer, number, entry = ("Q", "Q", "HHQ8x") if big else ("I", "H", "HHI4x")
    at, seen, tagged = 8 if big else 4, set[int](), 0
    while True:
        (page,) = struct.unpack_from(order + pointer, data, at)
        if page == 0 or page + 8 > len(data):
            return
        seen.add(page)
        (count,) = struct.unpack_from(order + number, data, page)
        first, each = page + struct.calcsize(number), struct.calcsize(order + entry)
        at = first + count * each
        tagged += at - page
        if at > len(data) or tagged > len(data):
            raise UserError(f"{path} has pages that overlap or end outside of it; it is damaged, replace it.")
        for _, kind, values in struct.iter_unpack(order + entry, data[first:at]):
            size = values * _TIFF_SIZES.get(kind, 1)
            tagged += size if size > struct.calcsize(pointer) else 0
        if tagged > len(data) or len(seen) > MOST_PAGES:
            raise UserError(f"{path} has pages that overlap, or too many; it is damaged, replace it.")


def _check_jpeg(path: Path, data: bytes, chunk: tuple[int, ...]) -> None:
    """Refuse a JPEG in a TIFF that claims more pixels than its part of the image, or passes too often."""
    for head in re.finditer(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]...(..)(..)", data, re.DOTALL):
        height, width = (int.from_bytes(side, "big") for side in head.groups())
        if height * width > 4 * math.prod(chunk):
            raise UserError(f"{path} holds {width} x {height} pixels in place of a part; replace it.")
    if data.count(b"\xff\xda") > SCANS:
        raise UserError(f"{path} has more than {SCANS} scans; save it again.")


def _decode_npy(path: Path, data: bytes) -> Array:
    array = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped: a header may claim any size
    if array.ndim not in (2, 3) or not array.size or array.dtype.kind != "u" or array.dtype.itemsize > 2:
        shape = " x ".join(map(str, array.shape)) or "nothing"
        raise UserError(
            f"{path} holds {shape} of {array.dtype}; save an image as (H, W) or (H, W, C) of uint8 or uint16."
        )
    require_modest(path, array.nbytes, len(data))
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="C")


def is_animated(path: Path) -> bool:
    """Whether a PNG or WebP file has several frames, of which only the first is read."""
    try:
        with opened(path) as file:
            head = file.read(2**16)
    except UserError:
        return False
    if head[:8] == _PNG:
        return b"acTL" in head.partition(b"IDAT")[0]
    return head[:4] == b"RIFF" and head[12:16] == b"VP8X" and head[20:21] != b"" and head[20] & 2 > 0


def _encode_tiff(array: Array) -> bytes:
    channels = array.shape[2]
    colour = channels in (3, 4)
    extra = channels - (3 if colour else 1)
    kind = "unassalpha" if channels in (2, 4) else "unspecified"
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        array if channels > 1 else array[:, :, 0],
        photometric="rgb" if colour else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=[kind] * extra if extra else None,
        compression="zlib",
        metadata=None,
    )
    return buffer.getvalue()
