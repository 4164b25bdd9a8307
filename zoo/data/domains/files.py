"""Picture files of two domains, and how a picture becomes a square; :mod:`zoo.data.domains` uses them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
import torchvision.transforms.v2.functional as TF
from torch import Tensor

from zoo.data.base import Split
from zoo.data.checks import Facts, Fault, picture_facts
from zoo.errors import UserError
from zoo.files.pictures import PICTURE_SUFFIXES, read_array

Fit = Literal["crop", "pad", "stretch"]


def require_picture(size: int, channels: int = 3) -> None:
    """Refuse a size or channel count that no picture can have.

    Raises:
        UserError: ``size`` is below 16, or ``channels`` neither 1 nor 3.
    """
    if size < 16:
        raise UserError(f"data.size is {size}; give at least 16.")
    if channels not in (1, 3):
        raise UserError(f"data.channels is {channels}; give 1 (grey) or 3 (RGB).")


def pictures_below(folder: Path) -> list[Path]:
    """All picture files of a folder and the folders in it, by name; hidden ones are left out."""
    found = folder.rglob("*") if folder.is_dir() else ()
    return sorted(
        path
        for path in found
        if path.suffix.lower() in PICTURE_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def domain_files(folder: Path, split: Split) -> list[Path] | None:
    """One domain's pictures of a split; None where the folder does not exist."""
    if not folder.is_dir():
        return None
    if (folder / "train").is_dir():
        return pictures_below(folder / split)
    files = pictures_below(folder)
    if split == "train":
        return [path for at, path in enumerate(files) if at % 10 > 1]
    return files[0 if split == "test" else 1 :: 10]


def look_at(path: Path, side: str) -> list[Facts] | Fault:
    """The facts of a picture, or what is wrong with it."""
    try:
        array = read_array(path)
        opaque(array, path)
    except UserError as error:
        return Fault(str(path), str(error))
    return [picture_facts(path, side, array)]


def opaque(pixels: np.ndarray[Any, Any], path: Path) -> Tensor:
    """Values (H, W, C) of uint8 or uint16 as (1 or 3, H, W); what is transparent lies over white.

    Raises:
        UserError: The file has more than four channels.
    """
    channels = pixels.shape[2]
    if channels > 4:
        raise UserError(f"{path} has {channels} channels, which no colour picture has; save it as RGB.")
    if channels in (2, 4):
        highest = int(np.iinfo(pixels.dtype).max)
        alpha = pixels[:, :, -1:].astype(np.float32) / highest
        mixed = pixels[:, :, :-1] * alpha + highest * (1 - alpha)
        pixels = mixed.round().astype(pixels.dtype)
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def squared(picture: Tensor, size: int, fit: Fit, background: int | None = None) -> tuple[Tensor, Tensor]:
    """A picture (C, H, W) as (C, size, size), antialiased, and where its points went.

    Args:
        picture: Of uint8 or uint16.
        size: Pixels of each side.
        fit: ``crop`` cuts the middle, ``pad`` adds to the sides, ``stretch`` distorts.
        background: The value that is added; white when not given.

    Returns:
        The picture, and (2,2), scale and shift: a point (x, y) comes to lie at ``scale * (x, y) + shift``.
    """
    height, width = picture.shape[1:]
    high, wide = {
        "crop": (min(height, width),) * 2,
        "pad": (max(height, width),) * 2,
        "stretch": (height, width),
    }[fit]
    top, left = (high - height) // 2, (wide - width) // 2  # what is added; negative: what is cut
    if (top, left) != (0, 0):
        value = torch.iinfo(picture.dtype).max if background is None else background
        sides = (left, wide - width - left, top, high - height - top)
        picture = F.pad(picture.int(), sides, value=value).to(picture.dtype)
    scale = torch.tensor([size / wide, size / high])
    where = torch.stack([scale, scale * torch.tensor([float(left), float(top)])])
    if (high, wide) != (size, size):
        exact = picture if picture.dtype == torch.uint8 else picture.float()
        resized = TF.resize_image(exact, [size, size], antialias=True)
        picture = resized if picture.dtype == torch.uint8 else resized.round().to(picture.dtype)
    return picture.contiguous(), where
