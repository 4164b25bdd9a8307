"""Pixel work that several contracts share: channels, resizing, crops, bytes.

Pictures are tensors (C, H, W) of uint8 or uint16 unless said otherwise. Packs and published numbers depend on
every bit of these results and on the order of random draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
import torchvision.transforms.v2.functional as TF
from torch import Tensor

from zoo.data.base import to_floats
from zoo.data.checks import Facts, at_least, picture_facts
from zoo.errors import UserError
from zoo.features.segmenter import Colour, palette_labels
from zoo.files.pictures import read_array, to_levels
from zoo.files.reading import LARGEST

Fit = Literal["crop", "pad", "stretch"]
Pixels = np.ndarray[Any, Any]
MIXED = 45.0  # distance to all colours of a palette from which on a pixel mixes several
FAR = 70.0  # mean distance to a palette's colours: up to 40 for halves of facades' label maps, 120 for photos


def require_picture(size: int, channels: int = 3) -> None:
    """Refuse a size or number of channels that no sample can have.

    Raises:
        UserError: ``size`` is below 16, or ``channels`` is neither 1 nor 3.
    """
    at_least(16, size=size)
    if channels not in (1, 3):
        raise UserError(f"data.channels is {channels}; give 1 (grey) or 3 (RGB).")


def require_load_size(load_size: int | tuple[int, int], size: int | tuple[int, int]) -> None:
    """Refuse to resize to less than what is cut out afterwards.

    Raises:
        UserError: A side of ``load_size`` is less than that of ``size``.
    """
    if any(before < after for before, after in zip(both(load_size), both(size), strict=True)):
        raise UserError(f"data.load_size {load_size} is less than data.size {size}; give at least that.")


def both(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width, from these or from the side of a square."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def planes(pixels: Pixels) -> Tensor:
    """Values (H, W, C) as a contiguous tensor (C, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def to_bytes(picture: Tensor) -> Tensor:
    """Values in [-1, 1], of any shape, as uint8: what an 8-bit file holds."""
    return to_levels(picture).byte()


def rgb(pixels: Pixels, path: Path) -> Pixels:
    """Values (H, W, C) of a grey or RGB file as (H, W, 3); grey is repeated.

    Raises:
        UserError: The file has other channels, alpha included.
    """
    channels = pixels.shape[2]
    if channels not in (1, 3):
        raise UserError(f"{path} has {channels} channels; convert it to grey or RGB.")
    return np.repeat(pixels, 3, axis=2) if channels == 1 else pixels


def with_channels(picture: Tensor, channels: int | None, path: Path) -> Tensor:
    """Convert a picture to grey (1) or RGB (3), alpha dropped; None changes nothing.

    Raises:
        UserError: The file has more channels than a colour picture.
    """
    have = len(picture)
    if channels is None or have == channels:
        return picture
    if have > 4:
        raise UserError(
            f"{path} has {have} channels, which cannot become {channels}; save it as grey or RGB."
        )
    colour = picture[: 1 if have < 3 else 3]
    if channels == 3:
        return colour.expand(3, -1, -1)
    if len(colour) == 1:
        return colour
    red, green, blue = colour.float()
    grey: Tensor = 0.299 * red + 0.587 * green + 0.114 * blue  # ITU-R BT.601
    return grey.round_().to(picture.dtype)[None]


def opaque(pixels: Pixels, path: Path) -> Tensor:
    """Values (H, W, C) of uint8 or uint16 as (1 or 3, H, W), transparency composited over white.

    Raises:
        UserError: The file has more than four channels.
    """
    channels = pixels.shape[2]
    if channels > 4:
        raise UserError(f"{path} has {channels} channels; save it as grey or RGB.")
    if channels in (2, 4):
        highest = int(np.iinfo(pixels.dtype).max)
        alpha = pixels[:, :, -1:].astype(np.float32) / highest
        mixed = pixels[:, :, :-1] * alpha
        mixed += highest * (1 - alpha)
        pixels = mixed.round(out=mixed).astype(pixels.dtype)
    return planes(pixels)


def bilinear(picture: Tensor, height: int, width: int) -> Tensor:
    """Resize with antialiased bilinear interpolation."""
    if picture.dtype == torch.uint8:
        resized: Tensor = TF.resize_image(picture, [height, width], antialias=True)
        return resized
    floats = F.interpolate(picture[None].float(), (height, width), mode="bilinear", antialias=True)[0]
    return floats.round_().to(picture.dtype)


def bicubic(picture: Tensor, height: int, width: int) -> Tensor:
    """Resize with antialiased bicubic interpolation, unless the picture has this size."""
    if picture.shape[1:] == (height, width):
        return picture
    floats = F.interpolate(picture[None].float(), (height, width), mode="bicubic", antialias=True)[0]
    highest = torch.iinfo(picture.dtype).max  # bicubic overshoots
    return floats.round().clamp(0, highest).to(picture.dtype)


def nearest(values: Pixels, size: tuple[int, int]) -> Pixels:
    """Values (H, W), such as class numbers, resized by nearest pixel centre."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, values.shape, strict=True)
    )
    return np.ascontiguousarray(values[rows][:, columns])


def nearest_colours(pixels: Pixels, palette: Sequence[Colour], refusal: str) -> Pixels:
    """Per pixel of (H, W, 3) the number of the nearest colour, as JPEG compression blurs them.

    A pixel between two classes mixes their colours, and the mixture may be nearest to a third. Pixels far
    from all colours therefore take the nearest of those that occur unmixed within two pixels, if any do. Read
    label maps at the size of their file and resize the numbers: a resized picture has more such pixels.

    Raises:
        UserError: The left or the right half shows other colours; the text is ``refusal``.
    """
    values = to_floats(planes(pixels))
    numbers = palette_labels(values, palette)
    colours = torch.tensor(palette)[numbers].permute(2, 0, 1)
    distances = ((values + 1) * 127.5 - colours).square().sum(0).sqrt()
    if max(half.mean() for half in distances.chunk(2, 1)) > FAR:
        raise UserError(refusal)
    mixed, least = distances > MIXED, torch.full_like(distances, torch.inf)
    for number in np.unique(numbers[~mixed]).tolist() if bool(mixed.any()) else ():
        shown = ((numbers == number) & ~mixed).float()
        near = F.max_pool2d(shown[None], 5, stride=1, padding=2)[0] > 0
        distance = ((values + 1) * 127.5 - torch.tensor(palette[number])[:, None, None]).square().sum(0)
        closer = mixed & near & (distance < least)
        numbers, least = numbers.where(~closer, number), least.where(~closer, distance)
    found: Pixels = numbers.numpy()
    return found


def shorter_side(
    picture: Tensor, side: int, resize: Callable[[Tensor, int, int], Tensor] = bilinear
) -> Tensor:
    """Resize so that the shorter side becomes ``side``, unless it is already."""
    height, width = picture.shape[1:]
    scale = side / min(height, width)
    to = max(side, round(height * scale)), max(side, round(width * scale))
    return picture if to == (height, width) else resize(picture, *to)


def squared(
    picture: Tensor, size: int, fit: Fit, background: int | None = None, origin: object = "A picture"
) -> tuple[Tensor, Tensor]:
    """Make a picture square, with antialiased bilinear interpolation.

    Args:
        picture: (C, H, W) of uint8 or uint16.
        size: Pixels of each side.
        fit: ``crop`` cuts out the middle, ``pad`` adds to the sides, ``stretch`` distorts.
        background: Value of the added pixels; white when not given.
        origin: The picture's file, for messages.

    Returns:
        (C, size, size), and (2, 2), scale and shift: a point (x, y) moves to ``scale * (x, y) + shift``.

    Raises:
        UserError: The picture is so long that its padding would fill the memory.
    """
    height, width = picture.shape[1:]
    high, wide = {
        "crop": (min(height, width),) * 2,
        "pad": (max(height, width),) * 2,
        "stretch": (height, width),
    }[fit]
    if fit == "pad" and picture.element_size() * len(picture) * high * wide > 4 * LARGEST:
        raise UserError(f"{origin} is {width} x {height} pixels, too long to pad to a square; crop it.")
    top, left = (high - height) // 2, (wide - width) // 2  # rows and columns added; negative: cut off
    if fit == "crop":
        picture = cut(picture, -top, -left, high, wide)
    elif (top, left) != (0, 0):
        value = torch.iinfo(picture.dtype).max if background is None else background
        sides = (left, wide - width - left, top, high - height - top)
        values = picture if picture.dtype == torch.uint8 else picture.int()  # torch pads no uint16
        picture = F.pad(values, sides, value=value).to(picture.dtype)
    scale = torch.tensor([size / wide, size / high])
    where = torch.stack([scale, scale * torch.tensor([float(left), float(top)])])
    if (high, wide) != (size, size):
        picture = bilinear(picture, size, size)
    return picture.contiguous(), where


def read_square(path: Path, size: int, channels: int, fit: Fit) -> tuple[Tensor, Tensor]:
    """Read a picture over white, convert its channels and make it square; returns as :func:`squared`.

    Raises:
        UserError: The file is unreadable or has more than four channels.
    """
    return squared(with_channels(opaque(read_array(path), path), channels, path), size, fit, origin=path)


def read_pair(files: tuple[Path, ...]) -> tuple[Pixels, Pixels]:
    """A and B (H, W, C) in the bits of their files.

    Raises:
        UserError: A file is unreadable, has an odd width though it holds both, or the two differ in size.
    """
    if len(files) == 1:
        both = read_array(files[0])
        width = both.shape[1]
        if width % 2:
            raise UserError(f"{files[0]} is {width} pixels wide, an odd number; give A and B the same width.")
        return both[:, : width // 2], both[:, width // 2 :]
    a, b = map(read_array, files)
    if a.shape[:2] != b.shape[:2]:
        raise UserError(
            f"{files[0]} is {a.shape[1]} x {a.shape[0]} pixels but {files[1]} {b.shape[1]} x {b.shape[0]}; "
            "resize one of them."
        )
    return a, b


def look_opaque(path: Path, side: str) -> list[Facts]:
    """The facts of a picture that :func:`opaque` accepts.

    Raises:
        UserError: The file is unreadable or has more than four channels.
    """
    pixels = read_array(path)
    opaque(pixels, path)
    return [picture_facts(path, side, pixels)]


def cut(values: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """A window of values (…, H, W)."""
    return values[..., top : top + height, left : left + width]


def middle(values: Tensor, height: int, width: int) -> Tensor:
    """The central window of values (…, H, W)."""
    rows, columns = values.shape[-2:]
    return cut(values, (rows - height) // 2, (columns - width) // 2, height, width)


def draw_place(rows: int, columns: int, random: torch.Generator) -> tuple[int, int]:
    """Draw the top and left of a window, from 0 to the given spare rows and columns: two draws."""
    top, left = (int(torch.randint(spare + 1, (), generator=random)) for spare in (rows, columns))
    return top, left


def draw_jitter(rows: int, columns: int, mirror: bool, random: torch.Generator) -> tuple[int, int, bool]:
    """Draw the place of a window and whether to mirror it: three draws, also if ``mirror`` is off."""
    top, left = draw_place(rows, columns, random)
    coin = int(torch.randint(2, (), generator=random))
    return top, left, mirror and coin == 1
