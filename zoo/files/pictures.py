"""Read and write images of 8 and 16 bits and any number of channels, lossless but for JPEG.

A value ``v`` of ``b`` bits maps to ``v / (2**b - 1) * 2 - 1``: black is -1, white is 1.
"""

from __future__ import annotations

import io
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
from zoo.files.writing import read_bytes, write_bytes

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".npy")
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_NPY = b"\x93NUMPY"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# named, so that PIL never uses a format that runs other programs (EPS)
_PIL_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
_KEPT = ("L", "LA", "RGB", "RGBA")
_CONVERTED = {"1": "L", "PA": "RGBA", "La": "LA", "RGBa": "RGBA"}
_CONVERTED |= {"RGBX": "RGB", "CMYK": "RGB", "YCbCr": "RGB"}

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
            array = _decode_npy(path)
        elif data[:8] == _PNG and data[24:25] == b"\x10":  # PIL would cut 16-bit colour down to 8
            _check_size(path, int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"))
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
    with _decoding(path), Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
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
        with _decoding(path), Image.open(io.BytesIO(data), formats=_PIL_FORMATS) as image:
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
    return torch.from_numpy(array.astype(np.int64))


def _check_size(path: Path, width: int, height: int) -> None:
    limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)  # where PIL itself refuses; None lifts it
    if limit and width * height > limit:
        raise UserError(
            f"{path} says it is {width} x {height} pixels, more than the limit of {limit}; "
            "cut it into smaller images."
        )


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


def _decode_with_pil(path: Path, data: bytes) -> Array:
    with Image.open(io.BytesIO(data), formats=_PIL_FORMATS) as image:
        plain = image.format == "JPEG" and image.mode in ("L", "RGB") and "exif" not in image.info
        if plain and data.rstrip(b"\0").endswith(b"\xff\xd9"):
            return np.asarray(imagecodecs.jpeg8_decode(data))  # the same pixels, twice as fast
        return _as_array(path, image)


def _as_array(path: Path, image: Image.Image) -> Array:
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "P":
        upright = upright.convert("RGBA" if "transparency" in upright.info else "RGB")
    elif upright.mode in _CONVERTED:
        upright = upright.convert(_CONVERTED[upright.mode])
    elif upright.mode not in _KEPT:
        raise UserError(f"{path} has values of kind {upright.mode}; save it with 8 or 16 bit a channel.")
    array = np.array(upright)  # a copy: PIL's buffer is read-only
    return array[:, :, None] if array.ndim == 2 else array


def _decode_tiff(path: Path, data: bytes) -> Array:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page, series = file.pages.first, file.series[0]
        kinds = tifffile.PHOTOMETRIC
        if page.photometric not in (kinds.MINISBLACK, kinds.RGB, kinds.YCBCR):
            return _decode_with_pil(path, data)  # palettes, CMYK, white as zero
        height, width = series.axes.index("Y"), series.axes.index("X")
        _check_size(path, series.shape[width], series.shape[height])
        for part in series.pages:
            ends = zip(part.dataoffsets, part.databytecounts, strict=True) if part is not None else ()
            if any(start + length > len(data) for start, length in ends):
                raise UserError(f"{path} is truncated; replace it.")
        array = np.moveaxis(series.asarray(), (height, width), (0, 1))
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    if array.dtype not in (np.uint8, np.uint16):
        raise UserError(f"{path} has values of kind {array.dtype}; save it with 8 or 16 bit a channel.")
    if sum(length > 1 for length in array.shape[2:]) > 1:
        raise UserError(f"{path} holds a stack of images (axes {series.axes}); save one image per file.")
    return np.ascontiguousarray(array.reshape(*array.shape[:2], -1))


def _decode_npy(path: Path) -> Array:
    array = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped: a header may claim any size
    if array.ndim not in (2, 3) or not array.size or array.dtype.kind != "u" or array.dtype.itemsize > 2:
        shape = " x ".join(map(str, array.shape)) or "nothing"
        raise UserError(
            f"{path} holds {shape} of {array.dtype}; save an image as (H, W) or (H, W, C) of uint8 or uint16."
        )
    _check_size(path, array.shape[1], array.shape[0])
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="C")


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
