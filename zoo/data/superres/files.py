"""Photographs and their low-resolution twins: layouts of folders, reading twins, and making them.

:mod:`zoo.data.superres` makes batches of them.
"""

from __future__ import annotations

from os.path import isfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from zoo.data.base import Split
from zoo.data.folders import SPLITS, pictures_in
from zoo.data.pixels import planes, rgb
from zoo.errors import UserError, first_few
from zoo.files.pictures import read_array
from zoo.files.reading import read_bytes
from zoo.files.schemas import NAMES, parse

SCALES = (2, 3, 4, 8)
EXPECTED = "put photographs into it, or into train/, val/ and test/ below it"
NAME_MAPS = {  # a benchmark's list of photographs that are in another set, and where
    "lr_to_bsds500_val.json": Path("bsds500", "val")
}


class Twin(NamedTuple):
    """The files of one sample.

    Args:
        high: The photograph.
        low: Its given twin; None if it is to be made.
    """

    high: Path
    low: Path | None


def shrink(picture: Tensor, scale: int) -> Tensor:
    """Shrink a picture as the antialiased bicubic ``imresize`` of Matlab does.

    Reproduces the published twins of Set5, Set14 and BSD100 bit for bit: columns are resized before rows,
    values are rounded in between, and edges are replicated.

    Args:
        picture: (C, H, W) of uint8 or uint16; H and W are multiples of ``scale``.
        scale: Factor by which the twin is smaller.

    Returns:
        (C, H / scale, W / scale) of the same type.
    """
    reach = 2 * scale  # reach of the kernel: two pixels of the twin
    padded = np.pad(picture.numpy(), ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    height, width = padded.shape[1] // scale, padded.shape[2] // scale
    low = np.empty((len(padded), height - 4, width - 4), padded.dtype)
    for made, plane in zip(low, padded, strict=True):
        # PIL resizes rows before columns, so it is given the transpose
        turned = Image.fromarray(np.ascontiguousarray(plane.T))
        made[:] = np.asarray(turned.resize((height, width), Image.Resampling.BICUBIC)).T[2:-2, 2:-2]
    return torch.from_numpy(low)


def enlarge(pictures: Tensor, scale: int) -> Tensor:
    """Enlarge pictures with the bicubic filter of Matlab (a = -0.5), edges replicated.

    Args:
        pictures: (N, C, H, W) in [-1, 1].
        scale: Factor of enlargement.

    Returns:
        (N, C, scale H, scale W), clamped to [-1, 1].
    """
    edge = 2  # reach of the kernel
    padded = F.pad(pictures.float(), (edge,) * 4, mode="replicate")
    size = [scale * side for side in padded.shape[2:]]
    # when enlarging, antialiasing only changes torch's a, from -0.75 to -0.5
    large = F.interpolate(padded, size, mode="bicubic", antialias=True).clamp(-1, 1)
    inner = slice(scale * edge, -scale * edge)
    return large[..., inner, inner]


def read_twin(twin: Twin, scale: int, least: int) -> tuple[Tensor, Tensor]:
    """A photograph (3, H, W), cropped at right and bottom to a multiple of the scale, and its twin.

    Args:
        twin: The files.
        scale: Factor by which the twin is smaller.
        least: Least number of pixels of each side of the photograph.

    Raises:
        UserError: A file is unreadable, the photograph too small, or the given twin of another size.
    """
    pixels = rgb(read_array(twin.high), twin.high)
    if min(pixels.shape[:2]) < least:
        raise UserError(
            f"{twin.high} is {pixels.shape[1]} x {pixels.shape[0]} pixels, too small for crops of {least}; "
            "leave it out or lower data.crop."
        )
    height, width = (n // scale for n in pixels.shape[:2])
    high = planes(pixels[: height * scale, : width * scale])
    if twin.low is None:
        return high, shrink(high, scale)
    low = planes(rgb(read_array(twin.low), twin.low))
    if low.shape[1:] != (height, width):
        raise UserError(
            f"{twin.low} is {low.shape[2]} x {low.shape[1]} pixels where {twin.high} at scale {scale} asks "
            f"for {width} x {height}; give the twin of this scale."
        )
    return high, low


def find_twins(root: Path, split: Split, scale: int, photographs: Path | None = None) -> list[Twin] | None:
    """The files of a split in the order of their names; None if the folder has none.

    Args:
        root: A folder in one of the layouts of :mod:`zoo.data.superres`.
        split: Name of the split; a benchmark has only test.
        scale: Scale of the given twins.
        photographs: The training folder; a benchmark may name photographs of it without holding them.

    Raises:
        UserError: A photograph has no twin though others have, or one that a benchmark names is missing.
    """
    highs, lows = folders_of(root, split, scale)
    name_map = next((root / name for name in NAME_MAPS if (root / name).is_file()), None)
    if split == "test" and name_map and lows.is_dir():
        return _named(name_map, lows, photographs)
    together = highs == lows
    pictures = pictures_in(highs)
    if together:
        pictures = [path for path in pictures if not path.stem.endswith("_LR")]
    if not pictures:
        return None
    if not lows.is_dir():
        return [Twin(path, None) for path in pictures]
    given = {path.stem: path for path in pictures_in(lows)}
    twins = [Twin(path, _low_of(path.stem, given, scale, together)) for path in pictures]
    lonely = [twin.high.name for twin in twins if twin.low is None]
    if lonely:
        raise UserError(
            f"{len(lonely)} pictures of {highs} have no twin in {lows} ({first_few(lonely)}); add the twins."
        )
    return twins


def folders_of(root: Path, split: Split, scale: int) -> tuple[Path, Path]:
    """The folders of a split's photographs and of their twins, whether they exist or not."""
    if any(root.glob("DIV2K_*_HR")):
        part = {"train": "train", "val": "valid", "test": "test"}[split]
        return root / f"DIV2K_{part}_HR", root / f"DIV2K_{part}_LR_bicubic" / f"X{scale}"
    if any(root.glob("image_SRF_*")):
        together = root / f"image_SRF_{scale}" if split == "test" else root / split
        apart = root / f"image_SRF_{scale}_LR"
        return together, apart if apart.is_dir() else together
    if (root / "HR").is_dir():
        return (root / "HR" if split == "test" else root / split), root / "LR_bicubic" / f"X{scale}"
    plain = not any((root / name).is_dir() for name in SPLITS)
    return (root if plain and split == "train" else root / split), root / f"{split}_x{scale}"


def _low_of(stem: str, given: dict[str, Path], scale: int, together: bool) -> Path | None:
    if together:
        return given.get(stem.removesuffix("_HR") + "_LR")
    return given.get(stem) or given.get(f"{stem}x{scale}")


def _named(name_map: Path, lows: Path, photographs: Path | None) -> list[Twin]:
    """The twins of a benchmark whose photographs are another set's.

    Args:
        name_map: JSON file that maps names of photographs here to their names there.
        lows: The folder of twins.
        photographs: A folder that may be the other set.
    """
    there = NAME_MAPS[name_map.name]
    places = [name_map.parent.parent.parent / there, *([photographs / there.name] if photographs else [])]
    names = parse(read_bytes(name_map), NAMES, name_map)
    twins = []
    for name, photograph in sorted(names.items()):
        high = next((place / photograph for place in places if isfile(place / photograph)), None)
        low = lows / name.replace("_HR.", "_LR.")
        if high is None:
            raise UserError(
                f"{name_map} asks for {photograph} of {there}; put that set at {places[0].parent}."
            )
        if not isfile(low):
            raise UserError(
                f"{name_map} asks for {low}, which does not exist; replace the benchmark's folder."
            )
        twins.append(Twin(high, low))
    return twins


def has_scale(root: Path, scale: int) -> bool:
    """Whether a folder holds twins of a scale."""
    folders = [f"image_SRF_{scale}", f"image_SRF_{scale}_LR", f"*LR_bicubic/X{scale}", f"*_x{scale}"]
    return any(path.is_dir() for pattern in folders for path in root.glob(pattern))
