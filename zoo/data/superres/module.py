"""Super-resolution {input (low), target (high)}: photographs and their low-resolution twins.

Your own folder holds photographs of any size, but no smaller than a crop: PNG, JPEG, TIFF, WebP, BMP or NPY,
8 or 16 bit, grey or RGB::

    photos/
      train/        a.jpg  b.png  …   or all pictures in photos/ itself: everything is for training
      val/          optional: whole pictures, for validation during training
      test/         optional
      test_x4/      optional, as are train_x4/ and val_x4/: given twins of the same names, a quarter as wide

Also read as published: BSDS500 (``train``, ``val``), DIV2K (``DIV2K_train_HR`` with
``DIV2K_train_LR_bicubic/X4``, and ``valid``), and benchmarks as ``HR`` with ``LR_bicubic/X4`` or as
``image_SRF_4`` with ``_HR`` and ``_LR`` in the names. A twin that is not given is made as those of the
benchmarks were (:func:`zoo.data.superres.files.shrink`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Unpack

import torch

from zoo.bounds import PositiveInt
from zoo.data.base import DataModule, LoaderOptions, Sample, SampleSet, Split
from zoo.data.checks import Facts, Fault, Findings, examine, left_out, picture_facts, require_training
from zoo.data.folders import SPLITS, find_root, folder_fingerprint, unusable
from zoo.data.pixels import cut, draw_jitter
from zoo.data.superres.files import EXPECTED, SCALES, Twin, find_twins, folders_of, has_scale, read_twin
from zoo.errors import UserError
from zoo.files.pictures import PICTURE_SUFFIXES, read_array
from zoo.recipes import public_path

LICENCES = {  # public sets by the name of their folder
    "bsds500": "Berkeley Segmentation Data Set: non-commercial research and education only",
    "DIV2K": "DIV2K: academic research only, the pictures belong to their photographers",
}
BICUBIC = "antialiased bicubic of Matlab, a = -0.5, columns first, edges repeated"


class PhotoCrops(SampleSet):
    """Photographs of one split with their twins: crops of one size, or whole.

    Args:
        twins: The files.
        scale: Factor by which the twins are smaller.
        crop: Pixels of each side of the high crop, a multiple of ``scale``; None gives whole pictures.
        mirror: Mirror with probability 1/2 in training.
        turn: Rotate by a random number of quarter turns in training.
    """

    def __init__(self, twins: list[Twin], scale: int, crop: int | None, mirror: bool, turn: bool) -> None:
        self.twins = twins
        self.scale = scale
        self.crop = crop
        self.mirror = mirror
        self.turn = turn

    def __len__(self) -> int:
        return len(self.twins)

    def is_grey(self, index: int) -> bool:
        """Whether a photograph's file is grey; benchmarks score such a photograph on its grey levels."""
        return bool(read_array(self.twins[index].high).shape[2] == 1)

    def files(self) -> list[Path]:
        """Photographs and given twins."""
        return [path for twin in self.twins for path in twin if path is not None]

    def load(self, index: int) -> Sample:
        """The whole photograph ``high`` and its whole twin ``low``, in the bits of their files.

        Raises:
            UserError: A file is unreadable, too small, or not a twin of the other.
        """
        high, low = read_twin(self.twins[index], self.scale, self.crop or self.scale)
        return {"high": high, "low": low}

    def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
        """``input`` and ``target`` (3, H, W) in bytes: one crop, mirrored and rotated alike.

        A crop begins at a pixel of the twin, so that the crop of the twin is the twin of the crop. Without
        ``random`` it is the centre.
        """
        high, low = loaded["high"], loaded["low"]
        if self.crop is None:
            return {"input": low, "target": high}
        side = self.crop // self.scale
        rows, columns = (n - side for n in low.shape[1:])
        top, left, mirrored, turns = rows // 2, columns // 2, False, 0
        if random is not None:
            top, left, mirrored = draw_jitter(rows, columns, self.mirror, random)
            turns = int(torch.randint(4, (), generator=random)) * self.turn
        sample: Sample = {}
        for key, picture, step in (("input", low, 1), ("target", high, self.scale)):
            crop = cut(picture, top * step, left * step, side * step, side * step)
            sample[key] = (crop.flip(2) if mirrored else crop).rot90(turns, (1, 2))
        return sample


class SuperResolutionFolder(DataModule):
    """Random crops of a folder's photographs to train on, whole pictures to validate and test on.

    Whole pictures differ in size, so the default batch size of validation and test is 1.

    Args:
        root: The folder; its layouts are listed at the top of the file.
        scale: Factor by which the input is smaller: 2, 3, 4 or 8.
        crop: Pixels of each side of a training target, a multiple of ``scale`` (SRGAN, section 3.2: 96).
        mirror: Mirror each crop with probability 1/2 in training.
        turn: Rotate each crop by 0 to 3 quarter turns in training.
        benchmarks: A folder of benchmarks; the test split is then one of them, not the root's.
        benchmark: Name of the benchmark: Set5, Set14, BSD100, or any other folder in ``benchmarks``.
        name: Name of the data; the folder's name when not given.
        licence: Licence of the data; that of a known set, else unknown, when not given.
        research_only: False only if the licence allows commercial use.
        options: Options of every data module, see :class:`zoo.data.base.DataModule`.
    """

    contract: ClassVar[str] = "super-resolution"
    default_eval_batch_size = 1

    def __init__(
        self,
        root: str,
        scale: PositiveInt = 4,
        crop: PositiveInt = 96,
        mirror: bool = True,
        turn: bool = True,
        benchmarks: str | None = None,
        benchmark: str = "Set5",
        name: str | None = None,
        licence: str | None = None,
        research_only: bool = True,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        require_scale(scale)
        if crop < scale or crop % scale:
            raise UserError(f"data.crop is {crop}; give a multiple of data.scale, such as {24 * scale}.")
        self.root = find_root(root)
        self.scale = scale
        self.crop = crop
        self.mirror = mirror
        self.turn = turn
        self.benchmarks = None if benchmarks is None else find_root(benchmarks)
        self.benchmark = benchmark
        self.name = name or self.root.resolve().name
        self.licence = licence or LICENCES.get(self.name, "unknown: research use only")
        self.research_only = research_only

    def dataset(self, split: Split) -> PhotoCrops | None:
        """The photographs of a split; None if the folder has none.

        Raises:
            UserError: The folder does not exist or holds nothing, or a twin or benchmark is missing.
        """
        if split == "test" and self.benchmarks is not None:
            twins: list[Twin] | None = self._benchmark(self.benchmarks)
        else:
            twins = find_twins(self.root, split, self.scale)
        if twins is not None:
            crop = self.crop if split == "train" else None
            return PhotoCrops(twins, self.scale, crop, self.mirror, self.turn)
        if not any(find_twins(self.root, other, self.scale) for other in SPLITS):
            state = f"holds no photographs for scale {self.scale}"
            raise unusable(self.root, state, f"{EXPECTED}, or change data.root")
        return None

    def _benchmark(self, benchmarks: Path) -> list[Twin]:
        folder = benchmarks / self.benchmark
        twins = find_twins(folder, "test", self.scale, self.root)
        if twins is None:
            there = [path.name for path in sorted(benchmarks.glob("*")) if path.is_dir()]
            inside = f" ({benchmarks} holds {', '.join(there)})" if there else ""
            raise UserError(
                f"There is no benchmark {folder} for scale {self.scale}{inside}; change data.benchmarks, "
                "data.benchmark or data.scale."
            )
        return twins

    def preprocessing(self) -> dict[str, Any]:
        """Scale, crops, and how the low resolution is made."""
        train = find_twins(self.root, "train", self.scale) or []
        return {
            **self.settings("scale", "crop", "mirror", "turn"),
            "low": "given files" if any(twin.low for twin in train) else BICUBIC,
            "benchmark": None if self.benchmarks is None else self.benchmark,
        }

    def fingerprint(self) -> str:
        """SHA-256 over names and sizes of the folder's files."""
        twins = [twin for split in SPLITS for twin in find_twins(self.root, split, self.scale) or []]
        files = {path for twin in twins for path in twin if path and path.is_relative_to(self.root)}
        return folder_fingerprint(files, self.root)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether the folder has photographs and twins; photographs alone may serve any contract."""
        patterns = ("DIV2K_*_HR", "image_SRF_*", "LR_bicubic", "train_x[2348]", "test_x[2348]")
        return any(path.is_dir() for pattern in patterns for path in root.glob(pattern))

    @classmethod
    def check(cls, root: Path) -> Findings:
        """Check every photograph and every given twin."""
        scale = next((s for s in (4, 2, 3, 8) if has_scale(root, s)), 4)
        layout, path = f"photographs at scale {scale}", public_path(cls)
        found = Findings("super-resolution", layout, path, mixed_channels={1, 3})

        def look(twin: Twin) -> list[Facts]:
            read_twin(twin, scale, scale)
            sides = (("high", twin.high), ("low", twin.low))
            return [picture_facts(path, side, read_array(path)) for side, path in sides if path]

        for split in SPLITS:
            try:
                examine(found, split, find_twins(root, split, scale) or [], look, lambda twin: twin)
            except UserError as error:
                found.errors.append(Fault(str(root), str(error)))
            found.notes += left_out(set(folders_of(root, split, scale)) - {root}, PICTURE_SUFFIXES)
        if not found.samples.get("test"):  # a benchmark is only to test on
            require_training(found, root, EXPECTED)
        shortest = min((min(fact.size) for fact in found.facts if fact.side == "high"), default=96)
        found.arguments = {"scale": scale, "crop": max(scale, min(96, shortest) // scale * scale)}
        return found


def require_scale(scale: int) -> None:
    """Refuse a scale that no public set uses.

    Raises:
        UserError: Names the scales.
    """
    if scale not in SCALES:
        raise UserError(f"data.scale is {scale}; give {', '.join(map(str, SCALES[:-1]))} or {SCALES[-1]}.")
