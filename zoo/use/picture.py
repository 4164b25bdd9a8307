"""Pictures, which models take and give: files, PIL images, arrays, tensors; any size, 8 or 16 bit.

What a model of super-resolution takes is read by ``super_resolution``, films by ``film``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from zoo.errors import UserError
from zoo.use import Given, note, super_resolution
from zoo.use.paths import files_in, suffix_for

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from torch import Tensor

    from zoo.checkpoints import Pretrained

SUFFIXES = (".png", ".tif", ".tiff", ".webp", ".jpg", ".jpeg")
FAR = 2  # times smaller or larger than in training
WANTED = "give a path, a PIL image, an array (H, W, C), or a tensor (C, H, W) of floats in [-1, 1]"
MOST_PIXELS, LEAST = 2**27, 48  # of a sheet; of a sample on it


class Picture:
    """A picture that a model made; a notebook shows it, and ``numpy.asarray`` takes it.

    Args:
        tensor: (C, H, W) in [-1, 1]; values outside are clamped.
        bits: Bits per value of files, 8 or 16.
    """

    def __init__(self, tensor: Tensor, bits: Literal[8, 16] = 8) -> None:
        self.tensor = tensor.detach().float().cpu().clamp(-1, 1)
        self.bits = bits

    @property
    def array(self) -> np.ndarray[Any, Any]:
        """(H, W, C) float32 in [0, 1], in full precision."""
        array: np.ndarray[Any, Any] = self.tensor.add(1).div(2).permute(1, 2, 0).contiguous().numpy()
        return array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        import numpy as np

        from zoo.files.pictures import to_array

        if dtype is not None and np.dtype(dtype) in (np.uint8, np.uint16):
            return to_array(self.tensor, 8 if np.dtype(dtype) == np.uint8 else 16)
        return self.array.astype(dtype or np.float32)

    @property
    def pil(self) -> Image.Image:
        """As a PIL image of 8 bit; of five or more channels the first three."""
        from PIL import Image

        from zoo.files.pictures import to_array

        array = to_array(self.tensor if len(self.tensor) <= 4 else self.tensor[:3])
        return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)

    def save(self, path: str | Path, bits: Literal[8, 16] | None = None) -> None:
        """Write it as PNG, TIFF, WebP or JPEG, by the ending; an existing file is replaced.

        Args:
            path: The file.
            bits: 8, or 16 for PNG and TIFF; by default those of the input.

        Raises:
            UserError: The ending is another, or its format cannot hold the channels or bits.
        """
        from zoo.files.pictures import write_picture

        if bits not in (None, 8, 16):
            raise UserError(f"Cannot write {path} with {bits!r:.40} bits; give 8 or 16.")
        write_picture(path, self.tensor, bits or self.bits)

    def _repr_png_(self) -> bytes:
        import io

        buffer = io.BytesIO()
        self.pil.save(buffer, "PNG")
        return buffer.getvalue()

    def __repr__(self) -> str:
        channels, height, width = self.tensor.shape
        return f"Picture({width}x{height}, {channels} channels)"


class Pictures(list[Picture]):
    """Pictures in a list; a notebook shows them on one sheet."""

    def sheet(self) -> Picture:
        """All on one sheet.

        Raises:
            UserError: Their sizes differ, or there are none.
        """
        import torch

        from zoo.drawing.sheets import mosaic

        if len({picture.tensor.shape for picture in self}) != 1:
            raise UserError("A sheet takes pictures of one size, one or more; show these one by one.")
        return Picture(mosaic(torch.stack([picture.tensor for picture in self]), least=LEAST))

    def save(self, path: str | Path) -> None:
        """Write the sheet, as :meth:`Picture.save`."""
        self.sheet().save(path)

    def _repr_png_(self) -> bytes | None:
        return self.sheet()._repr_png_() if len({p.tensor.shape for p in self}) == 1 else None


def read(source: Any, model: Pretrained) -> Given:
    """A picture as the model's input.

    Raises:
        UserError: It cannot be read, or its channels, values or layout do not fit.
    """
    picture, bits = values(source)
    if model.scale > 1:
        return super_resolution.given(picture, bits, model)
    got, expected = picture.shape[0], model.input_channels
    if got == 1 and expected == 3:  # as in training
        if bits == 8 and float(picture.max()) < 64 / 127.5 - 1:
            note(
                f"{named(source)} is grey and holds no value above 63: if these are class numbers, give the "
                f"classes' colours, which {model.name} was trained on."
            )
        picture = picture.expand(3, -1, -1)
    elif got != expected:
        alpha = got in (2, 4) and got - 1 == expected
        advice = "; the last is alpha, lay it over a background first" if alpha else ""
        raise UserError(f"{named(source)} has {got} channels but these weights expect {expected}{advice}.")
    note_size(source, picture, model)
    if (model.config["data"].get("preprocessing") or {}).get("layout") == "halves":
        height, width = picture.shape[1:]
        if width == 2 * height:
            note(f"{named(source)} is twice as wide as high, like a pair of training: give the input half.")
    return Given({"images": picture[None]}, picture, bits)


def values(source: Any) -> tuple[Tensor, Literal[8, 16]]:
    """A picture (C, H, W) in [-1, 1], and its bits.

    Args:
        source: A path; a PIL image; an array (H, W) or (H, W, C) of uint8, uint16 or floats in [0, 1]; a
            tensor (C, H, W) of floats in [-1, 1].

    Raises:
        UserError: It is none of these, or cannot be read.
    """
    import numpy as np
    import torch
    from PIL import Image

    from zoo.files.pictures import colour_profile, from_pil, read_array, require_pictures, to_tensor

    array: Any = source
    if isinstance(source, Picture):
        return source.tensor, source.bits
    if isinstance(source, torch.Tensor):
        source = source.detach()
        require_pictures(source, 3)
        if float(source.min()) >= 0 and float(source.max()) > 0.5:
            note(
                "A tensor without negative values: if its range is [0, 1], give x * 2 - 1, since black is -1."
            )
        return source.float().cpu(), 8
    if isinstance(source, str | Path):
        if not str(source).strip():
            raise UserError(f"An empty path is no picture: {WANTED}.")
        if str(source).startswith(("http://", "https://")):
            raise UserError(f"{source} is an address; download the picture and give its path.")
        source = Path(source).expanduser()
        array = read_array(source)
        if profile := colour_profile(source):
            note(f"{source} has the colour profile {profile!r}; its colours become sRGB.")
    elif isinstance(source, Image.Image):
        array = from_pil(source)
    if not isinstance(array, np.ndarray) or array.ndim not in (2, 3) or not array.size:
        shape = f" of shape {array.shape}" if isinstance(array, np.ndarray) else ""
        raise UserError(f"An object of type {type(source).__name__}{shape} is no picture: {WANTED}.")
    array = array[:, :, None] if array.ndim == 2 else array
    array = array.astype(array.dtype.newbyteorder("=")) if array.dtype.kind in "uf" else array
    if array.shape[0] <= 4 < min(array.shape[1:]):
        raise UserError(f"An array of shape {array.shape} looks like (C, H, W); {WANTED}.")
    if array.dtype in (np.uint8, np.uint16):
        return to_tensor(array), 8 if array.dtype == np.uint8 else 16
    if array.dtype.kind != "f" or not np.isfinite(array).all() or array.min() < -1e-3 or array.max() > 1.001:
        raise UserError(
            f"An array of {array.dtype} with values from {array.min():.4g} to {array.max():.4g} is no "
            "picture: give uint8, uint16, or floats in [0, 1]."
        )
    floats = torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1), dtype=np.float32))
    return floats.clamp(0, 1).mul(2).sub(1), 16


def note_size(source: Any, picture: Tensor, model: Pretrained) -> None:
    """Say that a picture's size is far from that of training."""
    trained, (height, width) = trained_size(model.config), picture.shape[-2:]
    if trained is None or trained / FAR <= min(height, width) <= trained * FAR:
        return
    note(
        f"{named(source)} is {width}x{height} pixels and {model.name} was trained at {trained}: what it "
        f"makes may look wrong; a shorter side near {trained} is best."
    )


def trained_size(config: dict[str, Any]) -> int | None:
    """The shorter side of the pictures that a model was trained on, if its ``model.json`` says it."""
    size = (config["data"].get("preprocessing") or {}).get("size")
    sides = [side for side in (size if isinstance(size, list) else [size]) if type(side) is int and side > 0]
    return min(sides, default=None)


def named(source: Any) -> str:
    """How messages call an input."""
    return str(source) if isinstance(source, str | Path) else "The input"


def find(inputs: Sequence[str], model: Pretrained) -> dict[Any, str]:
    """The picture files among the inputs and in folders, and the stem of each one's output."""
    return {path: path.stem for path in files_in([Path(word) for word in inputs], model)}


def suffix(source: Any, model: Pretrained, channels: int) -> str:
    """The ending of the file for an output of so many channels; ``source`` is None for noise."""
    if model.scale > 1:  # channels stay
        return ".tif" if Path(source).suffix.lower() in (".tif", ".tiff", ".npy") else ".png"
    return suffix_for(channels)


def most(samples: Tensor) -> int:
    """How many samples (N, C, H, W) like these one sheet can show."""
    height, width = (max(side, LEAST) for side in samples.shape[-2:])
    return MOST_PIXELS // (height * width)


def write(samples: Tensor, bits: int = 8) -> Pictures:
    """Pictures (N, C, H, W) in [-1, 1]."""
    return Pictures(Picture(sample, cast(Literal[8, 16], bits)) for sample in samples)


def collected(pictures: Iterable[Picture]) -> Pictures:
    """Pictures in a list."""
    return Pictures(pictures)
