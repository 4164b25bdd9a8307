"""Read and write images of 8 and 16 bits and any number of channels, lossless but for JPEG.

A value ``v`` of ``b`` bits maps to ``v / (2**b - 1) * 2 - 1``: black is -1, white is 1. Colours are sRGB;
those of another ICC profile are converted.
"""

from __future__ import annotations

import io
import math
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import imagecodecs
import numpy as np
import tifffile
import torch
from PIL import Image, ImageCms, ImageOps
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
_TIFF_KINDS = tifffile.PHOTOMETRIC.MINISWHITE, tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB
_TIFF_SIZES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}  # bytes by kind
MOST_PAGES = 4096  # of a TIFF, where pages are channels
SCANS = 64  # of a JPEG; progressive ones have about 10
_ORIENTATION, _PROFILE = 274, 34675  # tags of EXIF and TIFF
_ICC_KINDS = {b"GRAY": ("gray", (1, 2)), b"RGB ": ("rgb", (3, 4))}  # with and without alpha

Array = np.ndarray[Any, Any]


def read_array(path: str | Path, stored: bool = False) -> Array:
    """An image file's values, (H, W, C) of uint8 or uint16.

    Palettes become RGB (RGBA if they hold transparency), CMYK and YCbCr become RGB, other colour profiles
    sRGB, fewer bits 8 or 16. Orientation is applied, premultiplied alpha is divided out. In a TIFF, planes or
    pages are channels; a NumPy file holds (H, W) or (H, W, C).

    Args:
        path: The file.
        stored: Take the values as class numbers or codes: ignore profiles, and do not scale a TIFF's values.

    Raises:
        UserError: The file is missing, no image, truncated, too large, or of over 16 bits.
    """
    path = Path(path)
    data = read_bytes(path)
    with _decoding(path):
        if data[:8] == _PNG and b"IEND" not in data:  # decoders ignore a missing end
            raise UserError(f"{path} is truncated; replace it.")
        if data[:4] in _TIFF:
            array = _decode_tiff(path, data, stored)
        elif data[:6] == _NPY:
            array = _decode_npy(path, data)
        elif data[:8] == _PNG and data[24:25] == b"\x10":  # PIL would cut 16-bit colour down to 8
            array = _decode_deep_png(path, data, stored)
        else:
            array = _decode_with_pil(path, data, stored)
    return array[:, :, None] if array.ndim == 2 else array


def from_pil(image: Image.Image) -> Array:
    """A PIL image's values (H, W, C) of uint8 or uint16, by the rules of :func:`read_array`.

    Raises:
        UserError: The image is damaged, or has values of another kind.
    """
    origin = Path(getattr(image, "filename", "") or "The picture")
    with _decoding(origin):
        if image.mode.startswith("I;16"):
            return np.asarray(image).astype(np.uint16)[:, :, None]
        return _as_array(origin, image.copy())


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


def require_pictures(tensor: Tensor, dimensions: int = 4) -> None:
    """Refuse a tensor that is no batch of pictures (B, C, H, W), or no picture (C, H, W), in [-1, 1].

    Raises:
        UserError: Shape, dtype or range is another.
    """
    shape = tuple(tensor.shape)
    if tensor.layout != torch.strided:
        raise UserError("A sparse tensor is no picture; give x.to_dense().")
    layout = "(B, C, H, W)" if dimensions == 4 else "(C, H, W)"
    if tensor.dim() != dimensions or not tensor.numel():
        raise UserError(f"A tensor of shape {shape} is no picture: give {layout} with values in [-1, 1].")
    if shape[-1] <= 4 < min(shape[-3:-1]):
        order = "0, 3, 1, 2" if dimensions == 4 else "2, 0, 1"
        raise UserError(
            f"A tensor of shape {shape} has its channels last; give {layout}: x.permute({order})."
        )
    if not tensor.is_floating_point():
        raise UserError(
            f"A tensor of {tensor.dtype} is no picture: give floats in [-1, 1], x / 127.5 - 1 of 8 bit."
        )
    low, high = (float(value) for value in tensor.aminmax())
    if not (low >= -1.001 and high <= 1.001):  # also if it is not a number
        raise UserError(
            f"A tensor with values from {low:.4g} to {high:.4g} is no picture: give floats in [-1, 1]"
            + (", x / 127.5 - 1 of 8 bit." if high > 2 else ".")
        )


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
    try:
        if suffix == ".png":
            image.save(buffer, "PNG")
        elif suffix == ".webp":
            image.save(
                buffer, "WEBP", lossless=True, exact=True
            )  # exact keeps colour under full transparency
        else:
            image.save(buffer, "JPEG", quality=95, subsampling=0)
    except (ValueError, OSError) as error:  # more than 16,383 or 65,500 pixels wide
        raise UserError(
            f"Cannot write {path}: {suffix} cannot hold {image.width}x{image.height} pixels; use .png."
        ) from error
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
            array = np.asarray(ImageOps.exif_transpose(image))
    else:
        array = read_array(path, stored=True)
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


def _decode_with_pil(path: Path, data: bytes, stored: bool = False) -> Array:
    with _opened(path, data) as image:
        plain = image.format == "JPEG" and image.mode in ("L", "RGB") and _orientation(image) == 1
        if plain and data.rstrip(b"\0").endswith(b"\xff\xd9"):
            array = np.asarray(imagecodecs.jpeg8_decode(data))  # the same pixels, twice as fast
            profile = None if stored else image.info.get("icc_profile")
            return in_srgb(array, profile) if profile else array
        return _as_array(path, image, stored)


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 is upright."""
    found = image.getexif().get(_ORIENTATION)
    return found if isinstance(found, int) else 1


def _as_array(path: Path, image: Image.Image, stored: bool = False) -> Array:
    profile = None if stored else image.info.get("icc_profile")
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "CMYK" and profile and profile[16:20] == b"CMYK":
        with suppress(Exception):  # a damaged profile changes nothing
            return _transformed(np.asarray(image), profile, "cmyk")
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif image.mode in _CONVERTED:
        image = image.convert(_CONVERTED[image.mode])
    elif image.mode not in _KEPT:
        raise UserError(f"{path} has values of kind {image.mode}; save it with 8 or 16 bit a channel.")
    array = np.array(image)  # a copy: PIL's buffer is read-only
    array = array[:, :, None] if array.ndim == 2 else array
    return in_srgb(array, profile) if profile else array


def _decode_deep_png(path: Path, data: bytes, stored: bool) -> Array:
    width, height = struct.unpack(">II", data[16:24])
    channels = {0: 1, 4: 2, 6: 4}.get(data[25], 3)
    require_modest(path, 2 * channels * width * height, len(data))
    array = np.asarray(imagecodecs.png_decode(_without_notes(data)))
    if any(mark in data for mark in (b"eXIf", b"iCCP", b"Raw profile type", b"XML:com.adobe.xmp")):
        with _opened(path, data) as image:
            profile = None if stored else image.info.get("icc_profile")
            array = upright(array, _orientation(image))
        return in_srgb(array, profile) if profile else array
    return array


def _without_notes(data: bytes) -> bytes:
    """A PNG of what its pixels need: libpng prints what it thinks of the other chunks."""
    parts, at = [data[:8]], 8
    while at + 8 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 5].isupper() or data[at + 4 : at + 8] == b"tRNS":
            parts.append(data[at:end])
        at = end
    return b"".join(parts)


def upright(array: Array, orientation: int) -> Array:
    """Turn and mirror values (H, W, ...) as EXIF's orientation says; unknown ones change nothing."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def in_srgb(array: Array, profile: bytes) -> Array:
    """Convert values (H, W, C) from an ICC profile to sRGB; alpha stays.

    A profile that is damaged, or for another number of channels, changes nothing.
    """
    array = array[:, :, None] if array.ndim == 2 else array
    kind, channels = _ICC_KINDS.get(profile[16:20], ("", (0, 0)))
    if array.shape[2] not in channels or _is_srgb(profile):
        return array
    if kind == "gray":
        found = _grey_levels(profile, array.dtype.str)[array[:, :, :1]]
    else:
        found = _transformed(array[:, :, :3], profile, kind)
    return np.concatenate([found, array[:, :, channels[0] :]], axis=2)


def _transformed(values: Array, profile: bytes, kind: str) -> Array:
    """Values (H, W, C) of a profile in sRGB's (H, W, 3)."""
    values = np.ascontiguousarray(values[:, :, 0] if kind == "gray" else values)
    flags = imagecodecs.CMS.FLAGS.NOOPTIMIZE if kind == "gray" else 0  # its table of 16 levels is too coarse
    options: dict[str, Any] = {"colorspace": kind, "outcolorspace": "rgb", "flags": flags}
    return np.asarray(imagecodecs.cms_transform(values, profile, imagecodecs.cms_profile("srgb"), **options))


@lru_cache(maxsize=4)
def _grey_levels(profile: bytes, dtype: str) -> Array:
    """What each value of grey becomes."""
    levels = np.arange(np.iinfo(dtype).max + 1).astype(dtype)
    return _transformed(levels[None, :, None], profile, "gray")[0, :, 0]


@lru_cache(maxsize=64)
def _is_srgb(profile: bytes) -> bool:
    """Whether a profile's values are sRGB's within one of 255 levels, or it is damaged."""
    kind, (channels, _) = _ICC_KINDS[profile[16:20]]
    colours = np.stack(np.meshgrid(*[np.arange(0, 256, 15, dtype=np.uint8)] * channels), -1)
    colours = colours.reshape(1, -1, channels)
    try:
        found = _transformed(colours, profile, kind)[:, :, :channels]
    except Exception:
        return True
    return bool((np.abs(found.astype(int) - colours) <= 1).all())


def colour_profile(path: Path) -> str | None:
    """The name of the profile from which a picture's colours are converted to sRGB, or None."""
    try:
        with opened(path) as file:
            webp = file.read(4) == b"RIFF"  # PIL allocates its pixels when it opens it
            file.seek(0)
            with _opened(path, file.read()) if webp else Image.open(file, formats=_PIL_FORMATS) as image:
                profile, mode = image.info.get("icc_profile") or b"", image.mode
        channels = 3 if mode in ("P", "PA") else len(image.getbands())
        if mode != "CMYK" or profile[16:20] != b"CMYK":
            same = channels not in _ICC_KINDS.get(profile[16:20], ("", (0, 0)))[1]
            if same or _is_srgb(profile):
                return None
        named = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return str(ImageCms.getProfileDescription(named)).strip() or "without a name"
    except Exception:  # whoever reads the picture says so
        return None


def _decode_tiff(path: Path, data: bytes, stored: bool) -> Array:
    _check_pages(path, data)
    with tifffile.TiffFile(io.BytesIO(data), _multifile=False) as file:
        page, series = file.pages.first, file.series[0]
        jpeg = page.compression in _JPEG_IN_TIFF
        ycbcr = page.photometric == tifffile.PHOTOMETRIC.YCBCR
        if page.photometric not in _TIFF_KINDS and not ycbcr:
            return _decode_with_pil(path, data, stored)  # palettes, CMYK
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
                if jpeg:
                    _check_jpeg(path, data[start : start + length], page.chunks)
        orientation, profile = (page.tags.valueof(tag) for tag in (_ORIENTATION, _PROFILE))
        if ycbcr and not jpeg:
            if page.dtype != np.uint8 or series.shape != (*page.shape[:2], 3):
                raise UserError(f"{path} holds YCbCr of other than 3 x 8 bit, or a stack; save it as RGB.")
            array = np.asarray(imagecodecs.tiff_decode(data, asrgb=True))[:, :, :3]
            if orientation in range(2, 9):
                array = upright(array, (orientation - 1) % 4 + 1)  # libtiff has mirrored it, never turned
        else:
            array = np.moveaxis(series.asarray(maxworkers=1), (height, width), (0, 1))
    if array.dtype not in (np.bool_, np.uint8, np.uint16):
        raise UserError(f"{path} has values of kind {array.dtype}; save it with 8 or 16 bit a channel.")
    if sum(length > 1 for length in array.shape[2:]) > 1:
        raise UserError(f"{path} holds a stack of images (axes {series.axes}); save one image per file.")
    array = _plain_values(array.reshape(*array.shape[:2], -1), page, stored)
    array = upright(array, orientation)
    return in_srgb(array, profile) if isinstance(profile, bytes) and not stored else array


def _plain_values(array: Array, page: tifffile.TiffPage, stored: bool) -> Array:
    """A TIFF's values with white as the highest, in 8 or 16 bits (unless ``stored``), alpha divided out."""
    bits = 1 if array.dtype == np.bool_ else int(page.bitspersample)
    array = array.astype(np.uint8) if bits == 1 else array
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        array[:, :, 0] = 2**bits - 1 - array[:, :, 0]
    most = np.iinfo(array.dtype).max
    if bits < 8 * array.dtype.itemsize and not stored:
        levels = np.round(np.arange(2**bits) * (most / (2**bits - 1))).astype(array.dtype)
        array = levels.take(array, mode="clip")
    if page.extrasamples[:1] == (tifffile.EXTRASAMPLE.ASSOCALPHA,) and array.shape[2] in (2, 4):
        alpha = array[:, :, -1:]
        colours = array[:, :, :-1] / np.maximum(alpha, 1, dtype=np.float32)
        array[:, :, :-1] = np.minimum(np.round(colours * np.float32(most)), most)
    return array


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
