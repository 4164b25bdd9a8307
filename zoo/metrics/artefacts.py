"""Artefacts of the test images: grids, a patch in every image, tints, rasters; diversity at one condition."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from zoo.data.base import Batch
from zoo.data.contracts import CONTRACTS
from zoo.metrics.evaluator import Evaluation, Evaluator, Mean, of_all_ranks
from zoo.metrics.formulas.artefacts import Traces, compare, flat_grid, raster
from zoo.metrics.formulas.diversity import rms
from zoo.metrics.formulas.pixels import to_bytes
from zoo.metrics.scoring.artefacts import collapse, gathered, rows, unscored, verdicts
from zoo.metrics.scoring.report import Row
from zoo.seeds import mix

CONDITIONS = 32  # inputs whose output is drawn twice
NEXT = "each image and the next"


class Artefacts(Evaluator):
    """Artefacts of the outputs in ``zoo test`` beside the real images of the same batches.

    ``zoo test`` adds it for adversarial models of images; a recipe need not list it. The scores are those of
    :mod:`zoo.metrics.formulas.artefacts`, ``flat-grid`` only for data of inputs and targets. With them goes
    ``diversity``: the RMS difference in grey levels of two outputs for one input, over the first 32 inputs
    or the batches that hold them; beside it stands that of two real images of different inputs. A model of
    noise has no input, so each output is compared with the next one.
    """

    def begin(self, trainer: pl.Trainer, module: Any) -> None:
        """Reset the sums.

        Raises:
            UserError: The data hold no images.
        """
        if not CONTRACTS[(data := self.data(trainer)).contract].is_picture:
            raise self.unusable(f"images and {type(data).__name__} holds {data.contract}")
        self._trainer, self._module = trainer, module
        self._made, self._real = Traces(), Traces()
        self._areas = [torch.zeros(0, 2, dtype=torch.float64)]
        self._apart = Mean(module.device)
        self._drawn = self._batches = 0
        self._unlike: str | None = None

    def update(self, batch: Batch, outputs: Any) -> None:
        """Add the batch; outputs that are not of their targets' shape are not scored."""
        real = batch[CONTRACTS[self.data(self._trainer).contract].real]
        if not isinstance(outputs, Tensor) or outputs.shape != real.shape:
            self._unlike = f"outputs of {_shape(outputs)} and real images of {_shape(real)}"
            return
        made, real = (to_bytes(images.float(), "[-1,1]") for images in (outputs, real))
        self._made.update(made)
        self._real.update(real)
        if "input" in batch:
            self._areas.append(flat_grid(made, real).cpu())
        if self._module.takes != "noise" and self._drawn < CONDITIONS:
            self._apart.add(rms(made, to_bytes(self._again(batch).float(), "[-1,1]")))
            self._drawn += len(made)
        self._batches += 1

    def _again(self, batch: Batch) -> Tensor:
        """Other outputs for the same inputs."""
        seed = mix("again", self._trainer.global_rank, self._batches)
        with self._module.in_use(seed), self._trainer.precision_plugin.forward_context():
            outputs: Tensor = self._module.generate(batch)
        return outputs

    def finish(self, trainer: pl.Trainer, module: Any) -> Evaluation:
        """Scores of all ranks, and what is wrong in plain words."""
        made, real = gathered(self._made), gathered(self._real)
        takes_noise = module.takes == "noise"
        del self._made, self._real, self._trainer, self._module
        if self._unlike or not made.count:
            return Evaluation([], f"Artefacts are not scored: {self._unlike or 'there are no images'}.")
        about = self.data(trainer).description()
        protocol = {
            "data": about.get("preprocessing", {}).get("benchmark") or about.get("name"),
            "split": "test",
            "test_pictures": made.count,
            "size": made.sizes,
            "bits": 8,
        } | unscored(made)
        use = self.in_use(trainer, module) or {"use": self.draws(trainer)}
        areas = of_all_ranks(torch.cat(self._areas))
        findings, flat = compare(made, real), raster(areas)
        found = rows(findings, protocol | use, protocol)
        with_areas = protocol | {"flat_pictures": len(areas)}
        found += rows(flat, with_areas | use, with_areas)
        conditions, apart, deviation = self._apart.compute(trainer)
        if takes_noise:
            found.append(_diversity("generated", *made.distance, protocol | use | {"of": NEXT}))
        elif conditions:
            drawn = {"conditions": conditions, "draws": 2}
            found.append(_diversity("generated", apart, deviation, protocol | use | drawn))
        if takes_noise or conditions:
            found.append(_diversity("real", *real.distance, protocol | {"of": NEXT}))
        said = verdicts(findings + flat) | collapse(made, real)
        return Evaluation(found, " ".join(said.values()) or "No artefact is beyond its limit.")


def _diversity(subject: str, value: float, error: float | None, protocol: dict[str, Any]) -> Row:
    return Row("diversity", value, subject, protocol | {"distance": "RMS, grey levels"}, error)


def _shape(images: Any) -> str:
    return "x".join(map(str, images.shape)) if isinstance(images, Tensor) else type(images).__name__
