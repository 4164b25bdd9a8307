"""Super-resolution scores: PSNR and SSIM on luma as papers measure them, and a perceptual distance.

Each benchmark's low-resolution files are upscaled whole by the model, by the bicubic filter and, if given, by
another checkpoint, and rounded to 8 bit, as a file would hold it. PSNR and SSIM are computed on Y of BT.601
(16 to 235), with as many border pixels cropped as the scale (Ledig 2017, section 3.1). They are means over
images, not over pixels. A photograph whose file is grey is compared in grey, 0 to 255, with the upscaled
image converted to grey: Matlab's code of these benchmarks converts only files of three channels to Y.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from torch import Tensor

from zoo.bounds import PositiveInt
from zoo.data.base import Batch, DataModule, SampleSet, to_floats
from zoo.data.pixels import with_channels
from zoo.data.superres.files import enlarge
from zoo.data.superres.module import PhotoCrops, SuperResolutionFolder
from zoo.data.superres.world import SceneTwins
from zoo.errors import UserError
from zoo.features.perceptual import Distance, PerceptualDistance, is_here
from zoo.metrics.evaluator import Evaluation, Evaluator, read
from zoo.metrics.formulas.pixels import to_bytes
from zoo.metrics.formulas.similarity import psnr, ssim
from zoo.metrics.scoring.report import Row

Method = Literal["SRResNet", "SRGAN-MSE", "SRGAN-VGG22", "SRGAN"]
# Ledig 2017, tables 1 and 2: PSNR and SSIM at x4
PAPER = {
    "bicubic": {"Set5": ("28.43", ".8211"), "Set14": ("25.99", ".7486"), "BSD100": ("25.94", ".6935")},
    "SRResNet": {"Set5": ("32.05", ".9019"), "Set14": ("28.49", ".8184"), "BSD100": ("27.58", ".7620")},
    "SRGAN-MSE": {"Set5": ("30.64", ".8701"), "Set14": ("26.92", ".7611")},
    "SRGAN-VGG22": {"Set5": ("29.84", ".8468"), "Set14": ("26.44", ".7518")},
    "SRGAN": {"Set5": ("29.40", ".8472"), "Set14": ("26.02", ".7397"), "BSD100": ("25.16", ".6688")},
}
DIFFERS = "the paper's code (daala) is another SSIM"
Enlarger = Callable[[Tensor], Tensor]


class SuperResolutionScore(Evaluator):
    """Score benchmarks in ``zoo test``, and follow the first of them during training.

    Args:
        benchmarks: Folder of the benchmarks, each in a layout of :mod:`zoo.data.superres`; by default the
            test split of the data is scored.
        names: Benchmarks, in the order of the table.
        method: Method whose numbers in the paper are printed beside ours.
        distance: Additional perceptual distance; should not be the one that the model was trained with.
        compare_with: Another model of the same scale to score: a name, a folder or a checkpoint.
        every_n_steps: Steps between two logs of the first benchmark's ``val/psnr-y NAME`` in training; None
            scores in ``zoo test`` only.
    """

    def __init__(
        self,
        benchmarks: str | None = None,
        names: tuple[str, ...] = ("Set5", "Set14", "BSD100"),
        method: Method | None = None,
        distance: Distance | None = None,
        compare_with: str | None = None,
        every_n_steps: PositiveInt | None = None,
    ) -> None:
        super().__init__(every_n_steps)
        if not names:
            raise UserError("SuperResolutionScore.names is empty; name at least one benchmark, such as Set5.")
        self.benchmarks, self.names, self.method = benchmarks, tuple(names), method
        self.distance, self.compare_with = distance, compare_with
        self._first: dict[str, SampleSet] = {}

    @classmethod
    def suited(
        cls, arguments: dict[str, Any], data: DataModule, batch: Batch, counts: Mapping[str, int]
    ) -> dict[str, Any] | None:
        """The data's own test split, without benchmarks and paper's numbers; the distance if it is here."""
        asked = arguments.get("distance")
        kept = {"distance": asked} if asked and is_here(asked) else {}
        return super().suited(kept, data, batch, counts)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the first benchmark, so that a missing one fails before the training and not during it."""
        self._first = self._sets(trainer, self.names[:1]) if self.every_n_steps else {}

    def trend(self, trainer: pl.Trainer, module: Any) -> dict[str, float]:
        """Mean PSNR on the first benchmark."""
        ((name, samples),) = self._first.items()
        values = scores(samples, {"generated": module.sample}, self.data(trainer).scale, None)["generated"]
        return {f"val/psnr-y {name}": fmean(values["psnr-y"])}

    def finish(self, trainer: pl.Trainer, module: Any) -> Evaluation:
        """Score every benchmark."""
        data = self.data(trainer)
        enlargers: dict[str, Enlarger] = {"generated": module.sample}
        protocol: dict[str, Any] = {"scale": data.scale, "channel": "Y", "border": data.scale, "bits": 8}
        protocol["grey files"] = "in grey"
        if self.compare_with is not None:
            from zoo.checkpoints import load

            other = load(self.compare_with)
            other.module.to(module.device)
            enlargers["compared"] = other.sample
            protocol["compared"] = {"origin": Path(other.origin).name, "step": other.config.get("step")}
        enlargers["bicubic"] = lambda low: enlarge(low, data.scale)
        judge = PerceptualDistance(self.distance).to(module.device) if self.distance else None
        rows: list[Row] = []
        for name, samples in self._sets(trainer, self.names).items():
            found = scores(samples, enlargers, data.scale, judge)
            rows += self._rows(name, found, protocol | {"benchmark": name, "pictures": len(samples)}, judge)
        return Evaluation(rows)

    def data(self, trainer: pl.Trainer) -> SuperResolutionFolder | SceneTwins:
        """The trainer's data.

        Raises:
            UserError: The data is not for super-resolution.
        """
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, SuperResolutionFolder | SceneTwins):
            raise self.unusable(f"data for super-resolution, not {type(data).__name__}")
        return data

    def _rows(
        self,
        name: str,
        found: dict[str, dict[str, list[float]]],
        protocol: dict[str, Any],
        judge: PerceptualDistance | None,
    ) -> list[Row]:
        rows = []
        for kind in ("psnr-y", "ssim-y"):
            for subject, values in found.items():
                method = self.method if subject == "generated" else subject
                paper = PAPER.get(method or "", {}).get(name) if protocol["scale"] == 4 else None
                printed = paper[kind == "ssim-y"] if paper else None
                differs = DIFFERS if printed and kind == "ssim-y" else None
                rows.append(
                    Row(f"{kind} {name}", fmean(values[kind]), subject, protocol, None, printed, differs)
                )
        if judge is not None:
            network = {"network": judge.name, "sha256": judge.sha256}
            with_judge = protocol | network | {"channel": "RGB", "border": 0}
            ours = found["generated"][judge.name]
            for subject, values in found.items():
                theirs = values[judge.name]
                rows.append(Row(f"{judge.name} {name}", fmean(theirs), subject, with_judge))
                if subject != "generated":
                    nearer = float(sum(a < b for a, b in zip(ours, theirs, strict=True)))
                    rows.append(Row(f"nearer by {judge.name} {name}", nearer, f"than {subject}", with_judge))
        return rows

    def _sets(self, trainer: pl.Trainer, names: tuple[str, ...]) -> dict[str, SampleSet]:
        root, scale = self.benchmarks, self.data(trainer).scale
        if root is None:
            return {"test": self.split(trainer, "test")}
        sets: dict[str, SampleSet] = {}
        for name in names:
            folder = SuperResolutionFolder(root, scale, scale, benchmarks=root, benchmark=name)
            samples = folder.dataset("test")
            assert samples is not None
            sets[name] = samples
        return sets


def scores(
    samples: SampleSet, enlargers: dict[str, Enlarger], scale: int, judge: PerceptualDistance | None
) -> dict[str, dict[str, list[float]]]:
    """Scores of each enlarger on each image: by enlarger, then by ``psnr-y``, ``ssim-y``, the judge's name.

    Args:
        samples: Pairs of low and high resolution; sizes may differ between samples.
        enlargers: Functions from (1, C, H, W) in [-1, 1] to (1, C, scale H, scale W).
        scale: Upscaling factor, and number of border pixels cropped for PSNR and SSIM.
        judge: Perceptual distance, computed on whole images.
    """
    found: dict[str, dict[str, list[float]]] = {name: {"psnr-y": [], "ssim-y": []} for name in enlargers}
    device = None if judge is None else next(judge.parameters()).device
    for index in range(len(samples)):
        pair = read(samples, [index])
        high = to_bytes(pair["target"], "[-1,1]")
        if isinstance(samples, PhotoCrops) and samples.is_grey(index):
            high = high[:, :1]
        for name, larger in enlargers.items():
            made = to_bytes(larger(pair["input"]).float().cpu(), "[-1,1]")[0]
            pixels, kinds = with_channels(made, high.shape[1], Path(name))[None], found[name]
            kinds["psnr-y"].append(psnr(pixels, high, border=scale).item())
            kinds["ssim-y"].append(ssim(pixels, high, border=scale).item())
            if judge is not None:
                with torch.no_grad():
                    both = [to_floats(x).expand(-1, 3, -1, -1).to(device) for x in (pixels, high)]
                    distance = judge(*both).item()
                kinds.setdefault(judge.name, []).append(distance)
    return found
