"""Health of an adversarial training in plain words: who is winning, does the generator learn, what do its
samples show.

Each verdict has two thresholds with a gap between them, so that noise does not toggle it. The thresholds are
far from the values of a healthy run, because a false alarm is worse than none.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from zoo.adversarial import AdversarialModule, Batch
from zoo.bounds import PositiveInt, Seed
from zoo.callbacks.samples import first_of, fixed_batch, undisturbed
from zoo.data.contracts import REAL_KEYS
from zoo.files.writing import write_text
from zoo.metrics.formulas.artefacts import COLOURS, Traces, compare, flat_grid, raster
from zoo.metrics.formulas.pixels import to_bytes
from zoo.metrics.scoring.artefacts import verdicts
from zoo.metrics.scoring.report import run_folder

WINDOW = 10  # values per median: one odd batch has no effect, and the start of a run is forgotten
WON, LOST, BALANCED = 0.02, 1.5, (0.1, 1.0)
FLAT, ALIVE = 1e-3, 1e-2
COLLAPSED, VARIED = 0.25, 0.4
KEPT, PATIENCE = 0.8, 2
SAMPLES = 16
CURED = {  # said when an artefact that was reported is gone, by topic
    "grid": "The fine grid is gone.",
    "static": "The patch in every image is gone.",
    "colour": "The tint is gone.",
    "flat": "The raster in flat areas is gone.",
}


@dataclass
class State:
    """What a resumed run continues with; field names are keys in checkpoints.

    Args:
        history: Verdicts so far.
        looks: Last values of each quantity.
        peak: Largest gradient norm so far.
        last: Current verdict by topic.
        looked: Step of the last check of the samples.
        most: Largest number of modes found so far.
        rose: Step at which it was found.
        suspected: Number of checks in a row that found an artefact, by topic.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    looks: dict[str, list[float]] = field(default_factory=dict)
    peak: float = 0.0
    last: dict[str, str] = field(default_factory=dict)
    looked: int = 0
    most: int = 0
    rose: int = 0
    suspected: dict[str, int] = field(default_factory=dict)


class Health(Callback):
    """Monitor an adversarial training and report problems in words, once each time that a verdict changes.

    Checks run on logged steps only, so other steps cost nothing. The verdicts and the reasons for their
    limits:

    - **players**: the mean of the discriminator's terms ``d_real`` and ``d_fake``, each the median of ten
      values. For cross-entropy, chance level is 0.69; below 0.02 the discriminator is right with a
      probability of 98 % on both kinds (for least squares: within 0.14 of its target), where little gradient
      is left; above 1.5 it is wrong more often than right. From 0.1 to 1.0 the two are in balance. Papers
      without these two terms, or with a critic, get no such verdict.
    - **gradient**: the norm of the generator's gradient, relative to the largest of this run (medians of ten
      values), because its scale depends on the architecture. A thousandth of it is flat; a hundredth counts
      as alive again.
    - **diversity**: the mean distance between 16 generated samples, relative to that of 16 real ones, reduced
      to their size. Below a quarter the samples are nearly identical; above 0.4 they vary. A generator that
      keeps several modes passes this test: the next one is for those.
    - **modes**: the value that an evaluator logs as ``val/modes_found``. Fewer than 80 % of those in the
      data, and no new one for twice ``every_n_steps`` steps, is called mode collapse. Healthy runs miss one
      or two rare modes too, and a generator that still learns finds its modes one after another.
    - **artefacts**: grids, a patch in every sample, tints and rasters in flat areas, by the scores of
      :mod:`zoo.metrics.formulas.artefacts` on the same 16 samples, beside their real images. A fault is
      reported if two checks in a row find it beyond twice its limit, and once more when it is within the
      limit again.

    ``health.json`` in the run folder holds the history of verdicts.

    Args:
        every_n_steps: Steps between two checks of the samples, which cost a forward pass.
        seed: Seed of the noise for these samples.
        modes: Number of modes in the data: ten digits.
    """

    def __init__(self, every_n_steps: PositiveInt = 500, seed: Seed = 0, modes: PositiveInt = 10) -> None:
        if every_n_steps < 1:
            raise ValueError(f"every_n_steps must be at least 1, got {every_n_steps}")
        self.every_n_steps, self.seed, self.modes = every_n_steps, seed, modes
        self.state = State()
        self._batch: Batch | None = None
        self._folder = Path()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Select the samples and the folder; on all ranks, because Lightning broadcasts ``log_dir``."""
        self._folder = run_folder(trainer)
        self._batch = fixed_batch(trainer, {}, SAMPLES)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Keep the first batch if the data is not of the zoo."""
        if self._batch is None:
            self._batch = first_of(batch, SAMPLES)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Check players and gradient on logged steps, and samples every ``every_n_steps`` steps."""
        if not isinstance(pl_module, AdversarialModule) or not pl_module.is_logged_step:
            return
        for name in ("d_real", "d_fake"):
            if name in outputs:
                self._observe(name, float(outputs[name]))
        if (norm := trainer.callback_metrics.get("train/g_grad_norm")) is not None:
            self._observe("g_grad", float(norm))
        self._judge_players(trainer, pl_module)
        self._judge_gradient(trainer)
        if (found := trainer.callback_metrics.get("val/modes_found")) is not None:
            self._judge_modes(trainer, int(found))
        if trainer.global_step - self.state.looked >= self.every_n_steps:
            self.state.looked = trainer.global_step
            self._judge_samples(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the history."""
        self._write(trainer)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Write the history of an interrupted run."""
        if self._folder != Path():
            self._write(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Values and verdicts, for a resumed run."""
        return asdict(self.state)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore them."""
        self.state = State(**state_dict)

    def _observe(self, name: str, value: float) -> None:
        self.state.looks[name] = [*self.state.looks.get(name, []), value][-WINDOW:]

    def _median(self, name: str) -> float | None:
        values = self.state.looks.get(name, [])
        return statistics.median(values) if len(values) == WINDOW else None

    def _judge_players(self, trainer: pl.Trainer, module: AdversarialModule) -> None:
        real, fake = self._median("d_real"), self._median("d_fake")
        if real is None or fake is None:
            return
        loss = (real + fake) / 2
        module.log("health/d_loss", loss)
        if loss < WON:
            text = (
                f"The discriminator has won: it nearly always recognises fakes (loss {loss:.3f}); the "
                "generator gets little gradient. Try a lower learning rate or fewer updates for the "
                "discriminator, or more data."
            )
        elif loss > LOST:
            text = (
                f"The generator has won: the discriminator is wrong more often than right (loss "
                f"{loss:.2f}) and teaches nothing. Try a higher learning rate, more updates or more width "
                "for the discriminator."
            )
        elif BALANCED[0] < loss < BALANCED[1]:
            text = "The two players are in balance."
        else:
            return
        self._say(trainer, "players", text)

    def _judge_gradient(self, trainer: pl.Trainer) -> None:
        norm = self._median("g_grad")
        if norm is None:
            return
        self.state.peak = max(self.state.peak, norm)
        if norm <= FLAT * self.state.peak:
            text = (
                f"The generator gets almost no gradient (norm {norm:.1e}, largest {self.state.peak:.1e}): it "
                "has stopped learning. The non-saturating loss keeps a gradient if the discriminator is "
                "certain."
            )
        elif norm > ALIVE * self.state.peak:
            text = "The generator gets a gradient."
        else:
            return
        self._say(trainer, "gradient", text)

    def _judge_samples(self, trainer: pl.Trainer, module: AdversarialModule) -> None:
        batch = trainer.strategy.batch_to_device(self._batch)
        with undisturbed(trainer, module, self.seed):
            fake = module.generate(batch)
        real = next((batch[key] for key in REAL_KEYS if key in batch), None)
        if real is None or len(real) < 2 or float(spread(real)) == 0:
            return
        if fake.ndim == real.ndim == 4 and fake.shape[2:] != real.shape[2:]:  # a generator that grows
            self._judge_diversity(trainer, module, fake, F.interpolate(real, fake.shape[2:], mode="area"))
            return
        self._judge_diversity(trainer, module, fake, real)
        if real.ndim == 4 and real.shape[1] in COLOURS and fake.shape == real.shape and fake.abs().max() <= 1:
            self._judge_artefacts(trainer, module, fake, real, "input" in batch)

    def _judge_artefacts(
        self, trainer: pl.Trainer, module: AdversarialModule, fake: Tensor, real: Tensor, paired: bool
    ) -> None:
        samples, pictures = (to_bytes(images.float(), "[-1,1]") for images in (fake, real))
        made, of_real = Traces(), Traces()
        made.update(samples)
        of_real.update(pictures)
        findings = compare(made, of_real) + (raster(flat_grid(samples, pictures)) if paired else [])
        for one in findings:
            module.log(f"health/{one.score}", one.excess)
        far, near = verdicts(findings, 2.0), verdicts(findings)
        for topic, cured in CURED.items():
            self.state.suspected[topic] = self.state.suspected.get(topic, 0) + 1 if topic in far else 0
            if self.state.suspected[topic] >= PATIENCE:
                self._say(trainer, topic, far[topic])
            elif topic not in near and topic in self.state.last:
                self._say(trainer, topic, cured)

    def _judge_diversity(
        self, trainer: pl.Trainer, module: AdversarialModule, fake: Tensor, real: Tensor
    ) -> None:
        ratio = float(spread(fake) / spread(real))
        module.log("health/diversity", ratio)
        if ratio < COLLAPSED:
            text = (
                f"The samples have collapsed: they differ {ratio:.2f} times as much as real ones do. Try "
                "lower learning rates, or a checkpoint from before."
            )
        elif ratio > VARIED:
            text = "The samples vary."
        else:
            return
        self._say(trainer, "diversity", text)

    def _judge_modes(self, trainer: pl.Trainer, found: int) -> None:
        if found > self.state.most:
            self.state.most, self.state.rose = found, trainer.global_step
        if found >= KEPT * self.modes:
            text = f"The generator keeps its modes: {found} of {self.modes}."
        elif found and trainer.global_step - self.state.rose >= PATIENCE * self.every_n_steps:
            text = (
                f"The generator keeps {found} of {self.modes} modes: mode collapse. "
                "Try the non-saturating loss, or lower learning rates."
            )
        else:
            return
        self._say(trainer, "modes", text)

    def _say(self, trainer: pl.Trainer, topic: str, text: str) -> None:
        """Print and store a verdict if it differs from the current one, apart from its numbers."""
        kind = text.split(":")[0].split("(")[0]
        if self.state.last.get(topic) == kind:
            return
        self.state.last[topic] = kind
        self.state.history.append({"step": trainer.global_step, "topic": topic, "verdict": text})
        self._write(trainer)
        if trainer.is_global_zero:
            print(f"Step {trainer.global_step}: {text}", flush=True)

    def _write(self, trainer: pl.Trainer) -> None:
        if trainer.is_global_zero:
            write_text(self._folder / "health.json", json.dumps(self.state.history, indent=2))


def spread(samples: Tensor) -> Tensor:
    """Mean Euclidean distance over all pairs of samples (N, ...); at least two are needed."""
    return torch.pdist(samples.detach().float().flatten(1)).mean()
