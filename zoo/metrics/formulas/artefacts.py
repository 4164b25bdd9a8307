"""Artefacts that a generator leaves in all its images, measured beside the real set's own.

- ``grid-2``, ``grid-4``: excess of the spectrum at the frequencies of a grid of 2 or 4 pixels, in decibel
  over the real set's (:mod:`zoo.metrics.formulas.spectrum`). Images under 32 pixels have none.
- ``static-patch``: mean correlation between the same patch of two images, at the patch where it exceeds the
  real set's most. Patches are 32 pixels wide and 16 apart (smaller images are one patch), high-passed by
  subtracting the mean of 9x9 pixels, all channels together. A spot burnt into every image correlates, and so
  do aligned photographs: the artefact is what the real set's patch does not have. Sets whose images differ in
  size have none.
- ``colour-red``, ``-green``, ``-blue`` or ``-grey``: mean level minus the real set's, in grey levels.
- ``flat-grid``: mean absolute component of periods 2 and 4, in grey levels, where the real image of the same
  input is flat (:func:`flat_grid`).

Each has a limit (:data:`LIMITS`). A score is a finding if its excess over the real set's is beyond the limit
and beyond four standard errors: those of the jackknife over 16 groups of images. ``static-patch`` has no
error; of 100 unrelated images it is below .01. The measures are the zoo's own and compare with no other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.errors import UserError
from zoo.metrics.formulas.diversity import rms
from zoo.metrics.formulas.pixels import require_bytes
from zoo.metrics.formulas.spectrum import LEAST, Stride, peaks, power_spectrum, prominence

STRIDES: tuple[Stride, Stride] = (2, 4)
PATCH, BLUR = 32, 9  # pixels
WINDOW, FLAT = 16, 1.5  # pixels, grey levels
GROUPS = 16
SURE = 4.0  # standard errors: of 16 groups they are uncertain themselves
VALUES_AT_ONCE = 2**22
COLOURS = {1: ("grey",), 3: ("red", "green", "blue")}
LIMITS = {"grid": 3.0, "static": 0.1, "colour": 4.0, "flat": 0.1}  # of the excess, by a score's first word


class Finding(NamedTuple):
    """One score of generated images beside that of real ones.

    Args:
        score: Its name.
        value: The score.
        real: The real set's own: level, correlation, component.
        excess: How much more of it there is than in the real set; negative if there is less.
        error: Standard error of the excess, if known.
        where: Rows and columns of the patch of ``static-patch``.
    """

    score: str
    value: float
    real: float
    excess: float
    error: float | None = None
    where: str | None = None

    def is_beyond(self, times: float = 1.0) -> bool:
        """Whether the excess is beyond so many times its limit, and beyond four standard errors."""
        kind = self.score.partition("-")[0]
        excess = abs(self.excess) if kind == "colour" else self.excess
        return excess > max(times * LIMITS[kind], SURE * (self.error or 0.0))


class Traces:
    """Sums over a set of images, from which :func:`compare` computes scores.

    Their memory is bounded: four numbers per value of one image, whatever the number of images.
    """

    def __init__(self) -> None:
        self.low: tuple[int, ...] = ()  # smallest channels, height and width of the images
        self.high: tuple[int, ...] = ()  # largest
        self.counts = torch.zeros(GROUPS)
        self.sums: dict[str, Tensor] = {}  # sums per group (GROUPS, ...): colours, powers around each grid
        self.patches: Tensor | None = None  # sum of unit patches (L, D)
        self.lively: Tensor | None = None  # number of images whose patch is not flat (L)
        self.distances = torch.zeros(3, dtype=torch.float64)  # number, sum, sum of squares
        self._last: Tensor | None = None

    @property
    def count(self) -> int:
        """Number of images."""
        return int(self.counts.sum())

    @property
    def sizes(self) -> str:
        """Channels, height and width: ``3x64x64``, or the smallest and the largest of each."""
        return " to ".join(dict.fromkeys("x".join(map(str, size)) for size in (self.low, self.high)))

    @property
    def has_grids(self) -> bool:
        """Whether all images are large enough for a spectrum."""
        return min(self.low[1:], default=0) >= LEAST

    @property
    def is_of_one_size(self) -> bool:
        """Whether all images have one size."""
        return self.low == self.high

    @property
    def distance(self) -> tuple[float, float | None]:
        """Mean RMS difference of an image and the next, in grey levels, and its standard error."""
        number, values, squares = self.distances.tolist()
        mean = values / max(number, 1)
        spread = max(squares / max(number, 1) - mean**2, 0.0)
        return mean, math.sqrt(spread / (number - 1)) if number > 1 else None

    def update(self, images: Tensor) -> None:
        """Add images (N, C, H, W) in uint8, the next of the set."""
        require_bytes(images)
        self._fit(tuple(images.shape[1:]), tuple(images.shape[1:]))
        for part in torch.split(images, max(1, VALUES_AT_ONCE // images[0].numel())):
            groups = (self.count + torch.arange(len(part))) % GROUPS
            for group in sorted(set(groups.tolist())):
                self._add(group, part[(groups == group).to(part.device)])
            if self.is_of_one_size:
                patches = unit_patches(part)
                self._add_patches(patches.sum(0).cpu(), patches.square().sum(2).sum(0).round().cpu())
        row = images
        if self._last is not None and self._last.shape[1:] == images.shape[1:]:
            row = torch.cat([self._last.to(images.device), images])
        apart = rms(row[:-1], row[1:]).cpu()
        self.distances += torch.stack([torch.tensor(len(apart)).double(), apart.sum(), apart.square().sum()])
        self._last = images[-1:].cpu().clone()

    def merge(self, other: Traces) -> None:
        """Add the sums over another share of the set."""
        if not other.low:
            return
        self._fit(other.low, other.high)
        self.counts += other.counts
        self.distances += other.distances
        for key, value in other.sums.items():
            self.sums[key] = self.sums[key] + value if key in self.sums else value
        if self.is_of_one_size and other.patches is not None and other.lively is not None:
            self._add_patches(other.patches, other.lively)

    def of_group(self, key: str, left_out: int | None) -> Tensor:
        """A mean over all images, or over those of all groups but one."""
        kept = torch.arange(GROUPS) != (-1 if left_out is None else left_out)
        return self.sums[key][kept].sum(0) / self.counts[kept].sum()

    def static(self) -> Tensor:
        """Mean correlation between two images of each patch (L); 0 if it is flat in all."""
        assert self.patches is not None and self.lively is not None
        return (self.patches.square().sum(1) - self.lively) / (self.count * max(self.count - 1, 1))

    def _fit(self, low: tuple[int, ...], high: tuple[int, ...]) -> None:
        self.low = tuple(map(min, zip(self.low or low, low, strict=True)))
        self.high = tuple(map(max, zip(self.high or high, high, strict=True)))
        if self.low[0] != self.high[0]:
            raise UserError("A set holds grey images and others in colour; give one kind.")
        if not self.is_of_one_size:
            self.patches = self.lively = None

    def _add(self, group: int, images: Tensor) -> None:
        found = {"colours": images.double().mean((2, 3)).sum(0)}
        if self.has_grids:
            spectrum = power_spectrum(images)
            found |= {f"grid-{stride}": peaks(spectrum, stride) * len(images) for stride in STRIDES}
        self.counts[group] += len(images)
        for key, value in found.items():
            held = self.sums.setdefault(key, torch.zeros(GROUPS, *value.shape, dtype=torch.float64))
            held[group] += value.cpu()

    def _add_patches(self, patches: Tensor, lively: Tensor) -> None:
        self.patches = patches if self.patches is None else self.patches + patches
        self.lively = lively if self.lively is None else self.lively + lively


def compare(made: Traces, real: Traces) -> list[Finding]:
    """Scores of generated images beside real ones; those that the sizes allow.

    Raises:
        UserError: The images have other sizes or channels than the real ones.
    """
    if (made.low, made.high) != (real.low, real.high):
        raise UserError(
            f"Artefacts are compared at one size, and the images have {made.sizes} and the real ones "
            f"{real.sizes}; resize the real ones to the size of the generated ones."
        )
    grids = [f"grid-{stride}" for stride in STRIDES] if made.has_grids else []
    found = [_beside(score, partial(_grid, score), made, real) for score in grids]
    if made.is_of_one_size:
        found.append(_static(made, real))
    for channel, colour in enumerate(COLOURS[made.low[0]]):
        found.append(_beside(f"colour-{colour}", partial(_level, channel), made, real))
    return found


def _grid(score: str, traces: Traces, left_out: int | None) -> float:
    return prominence(traces.of_group(score, left_out))


def _level(channel: int, traces: Traces, left_out: int | None) -> float:
    return float(traces.of_group("colours", left_out)[channel])


def _beside(
    score: str, estimate: Callable[[Traces, int | None], float], made: Traces, real: Traces
) -> Finding:
    """An estimate of generated images minus that of real ones; the error leaves out one group of both."""

    def excess(left_out: int | None) -> float:
        return estimate(made, left_out) - estimate(real, left_out)

    groups = ((made.counts > 0) & (real.counts > 0)).nonzero().flatten().tolist()
    error = None
    if len(groups) > 1:
        values = torch.tensor([excess(group) for group in groups], dtype=torch.float64)
        error = float(((len(groups) - 1) * (values - values.mean()).square().mean()).sqrt())
    return Finding(score, excess(None), estimate(real, None), excess(None), error)


def _static(made: Traces, real: Traces) -> Finding:
    correlations, own = made.static(), real.static()
    at = int((correlations - own).argmax())
    _, height, width = made.low
    side = min(PATCH, height, width)
    columns = _steps(width, side)
    top, left = at // columns * (side // 2), at % columns * (side // 2)
    value, level = float(correlations[at]), float(own[at])
    where = f"rows {top} to {top + side - 1}, columns {left} to {left + side - 1}"
    return Finding("static-patch", value, level, value - level, where=where)


def _steps(length: int, side: int) -> int:
    """Number of patches along a side; the last may reach beyond the image."""
    return max(0, math.ceil((length - side) / (side // 2))) + 1


def unit_patches(images: Tensor) -> Tensor:
    """Patches (N, L, D) of images (N, C, H, W): high-passed, minus their mean, of length 1 or flat and 0."""
    pixels = images.float()
    height, width = images.shape[2:]
    side = min(PATCH, height, width)
    blurred = F.avg_pool2d(F.pad(pixels, (BLUR // 2,) * 4, mode="replicate"), BLUR, 1)
    beyond = [(_steps(length, side) - 1) * (side // 2) + side - length for length in (width, height)]
    sharp = F.pad(pixels - blurred, (0, beyond[0], 0, beyond[1]))
    patches = F.unfold(sharp, side, stride=max(1, side // 2)).transpose(1, 2)
    centred = patches - patches.mean(2, keepdim=True)
    length = torch.linalg.vector_norm(centred, dim=2, keepdim=True)
    return torch.where(length > 1, centred / length, 0.0)


def flat_grid(made: Tensor, real: Tensor) -> Tensor:
    """Raster in flat areas: mean absolute component of periods 2 and 4 of images and of their real ones.

    Windows of 16x16 pixels count whose real pixels deviate by less than 1.5 grey levels (RMS) from their
    mean, in every channel. There both images are high-passed by subtracting the mean of 4x4 pixels, which
    keeps these periods whole, removes any slope and leaves 12x12 pixels. Their 9 cells of 4x4 pixels are
    averaged, which leaves what repeats; absolute values are averaged over cell, channels and windows.

    Args:
        made: Generated images (N, C, H, W) in uint8.
        real: The real images of the same inputs.

    Returns:
        (M, 2) in float64, grey levels: of the generated and of the real image, for each of the M images that
        have such windows.
    """
    if made.shape != real.shape:
        raise UserError(f"Images {tuple(made.shape)} and {tuple(real.shape)} are no pairs; give equal sizes.")
    flat = flat_windows(real).flatten(1)
    number = flat.sum(1)
    if not flat.any():
        return torch.zeros(0, 2, dtype=torch.float64, device=made.device)
    found = torch.stack([(_cells(images) * flat).sum(1) for images in (made, real)], 1)
    return (found / number.clamp_min(1)[:, None])[number > 0]


def flat_windows(images: Tensor) -> Tensor:
    """Which windows of 16x16 pixels of images (N, C, H, W) are flat: (N, H // 16, W // 16)."""
    number, _, height, width = images.shape
    if min(height, width) < WINDOW:
        return torch.zeros(number, height // WINDOW, width // WINDOW, dtype=torch.bool, device=images.device)
    deviations = _windows(images.double()).std((-2, -1), correction=0).amax(1)
    return (deviations < FLAT).view(number, height // WINDOW, width // WINDOW)


def raster(areas: Tensor) -> list[Finding]:
    """The finding ``flat-grid`` of the rows (M, 2) of :func:`flat_grid`; none if there are no rows."""
    if not len(areas):
        return []
    (value, real), more = areas.mean(0).tolist(), areas[:, 0] - areas[:, 1]
    error = float(more.std()) / math.sqrt(len(more)) if len(more) > 1 else None
    return [Finding("flat-grid", value, real, value - real, error)]


def _windows(images: Tensor) -> Tensor:
    """Windows (N, C, windows, 16, 16) of images (N, C, H, W), without the rows that fill none."""
    height, width = (side // WINDOW * WINDOW for side in images.shape[2:])
    whole = images[..., :height, :width]
    return whole.unfold(2, WINDOW, WINDOW).unfold(3, WINDOW, WINDOW).flatten(2, 3)


def _cells(images: Tensor) -> Tensor:
    """Mean absolute value of what repeats every 4 pixels in each window: (N, windows)."""
    windows = _windows(images.double())
    whole = windows.flatten(0, 2)[:, None]
    sharp = whole[..., 1:-3, 1:-3] - F.avg_pool2d(whole, 4, 1)[..., :-1, :-1]  # 12 of 16 rows and columns
    cells = sharp.view(*windows.shape[:3], 3, 4, 3, 4).mean((3, 5))
    return (cells - cells.mean((-2, -1), keepdim=True)).abs().mean((1, 3, 4))
