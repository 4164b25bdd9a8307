"""How the game goes, in plain words: who is winning, does the generator still learn, does it still vary.

Each verdict has two thresholds with a gap between them, so that noise does not make it flicker, and the
thresholds are far from what a sound run shows: a verdict that cries wolf is worse than none.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from zoo.adversarial import AdversarialModule, Batch
from zoo.callbacks.samples import first_of, fixed_batch, undisturbed
from zoo.data.contracts import REAL_KEYS
from zoo.files.writing import write_text

LOOKS = 10  # the median of so many decides: one odd batch is not heard, and a run's beginning is forgotten
WON, LOST, BALANCED = 0.02, 1.5, (0.1, 1.0)
FLAT, ALIVE = 1e-3, 1e-2
COLLAPSED, VARIED = 0.25, 0.4
KEPT, PATIENCE = 0.8, 2
SAMPLES = 16


class Health(Callback):
    """Watch a game and say in words what goes wrong, once each time that a verdict changes.

    Looks are taken on logged steps only, so other steps cost nothing. The verdicts and the reasons for their
    limits:

    - **players**: the mean of the discriminator's terms ``d_real`` and ``d_fake``, each the median of ten
      looks. For cross-entropy a coin scores 0.69; below 0.02 it is right with a probability of 98 % on both
      kinds (for least squares: within 0.14 of its target), where little gradient is left; above 1.5 it is
      surely wrong more often than right. From 0.1 to 1.0 the two are in balance. Papers without these two
      terms, or with a critic, get no such verdict.
    - **gradient**: the norm of the generator's gradient, beside the largest of this run (medians of ten
      looks), because its scale is the architecture's affair. A thousandth of it is flat; a hundredth counts
      as alive again.
    - **diversity**: the mean distance between 16 generated samples beside that of 16 real ones. Under a
      quarter the samples are nearly one sample; above 0.4 they vary. A generator that keeps several modes
      passes this test: the next one is for those.
    - **modes**: what an evaluator logs as ``val/modes_found``. Fewer than 80 % of those that the data has,
      and no new one for twice ``every_n_steps`` steps, is called mode collapse. One or two rare ones are
      missed by sound runs too, and a generator that still learns finds its modes one after the other.

    ``health.json`` in the run folder holds the history of verdicts.

    Args:
        every_n_steps: Steps between two looks at the diversity of samples, which costs a forward pass.
        seed: Of the noise for these samples.
        modes: How many modes the data has: ten digits.
    """

    def __init__(self, every_n_steps: int = 500, seed: int = 0, modes: int = 10) -> None:
        if every_n_steps < 1:
            raise ValueError(f"every_n_steps must be at least 1, got {every_n_steps}")
        self.every_n_steps = every_n_steps
        self.seed = seed
        self.modes = modes
        self.history: list[dict[str, Any]] = []
        self._looks: dict[str, list[float]] = {}  # the last looks at each quantity
        self._peak = 0.0
        self._last: dict[str, str] = {}  # the verdict that stands, by topic
        self._most, self._rose = 0, 0  # most modes found so far, and the step where they were
        self._looked = 0  # step of the last look at diversity
        self._batch: Batch | None = None
        self._folder = Path()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Choose the samples and the folder, on all ranks: ``log_dir`` is a collective."""
        self._folder = Path(trainer.log_dir or trainer.default_root_dir)
        self._batch = fixed_batch(trainer, {}, SAMPLES)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Keep the first batch of foreign data."""
        if self._batch is None:
            self._batch = first_of(batch, SAMPLES)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the players, the gradient and, now and then, the samples of a logged step."""
        if not isinstance(pl_module, AdversarialModule) or not pl_module.is_logged_step:
            return
        for name in ("d_real", "d_fake"):
            if name in outputs:
                self._look(name, float(outputs[name]))
        if (norm := trainer.callback_metrics.get("train/g_grad_norm")) is not None:
            self._look("g_grad", float(norm))
        self._judge_players(trainer, pl_module)
        self._judge_gradient(trainer)
        if (found := trainer.callback_metrics.get("val/modes_found")) is not None:
            self._judge_modes(trainer, int(found))
        if trainer.global_step - self._looked >= self.every_n_steps:
            self._looked = trainer.global_step
            self._judge_diversity(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the history."""
        self._write(trainer)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Write the history of a run that was stopped."""
        if self._folder != Path():
            self._write(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Looks and verdicts, so that a resumed run goes on with them."""
        return {
            "history": self.history,
            "looks": self._looks,
            "peak": self._peak,
            "last": self._last,
            "looked": self._looked,
            "most": self._most,
            "rose": self._rose,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore them."""
        self.history = state_dict["history"]
        self._looks = state_dict["looks"]
        self._peak, self._last, self._looked = state_dict["peak"], state_dict["last"], state_dict["looked"]
        self._most, self._rose = state_dict["most"], state_dict["rose"]

    # ----------------------------------------------------------------------------------------- the verdicts

    def _look(self, name: str, value: float) -> None:
        self._looks[name] = [*self._looks.get(name, []), value][-LOOKS:]

    def _known(self, name: str) -> float | None:
        looks = self._looks.get(name, [])
        return statistics.median(looks) if len(looks) == LOOKS else None

    def _judge_players(self, trainer: pl.Trainer, module: AdversarialModule) -> None:
        real, fake = self._known("d_real"), self._known("d_fake")
        if real is None or fake is None:
            return
        loss = (real + fake) / 2
        module.log("health/d_loss", loss)
        if loss < WON:
            text = (
                f"The discriminator has won: it tells real from fake nearly always (loss {loss:.3f}); the "
                "generator gets little gradient. Try a lower learning rate or fewer moves for the "
                "discriminator, or more data."
            )
        elif loss > LOST:
            text = (
                f"The generator has won: the discriminator is wrong more often than right (loss "
                f"{loss:.2f}) and teaches nothing. Try a higher learning rate, more moves or more width for "
                "the discriminator."
            )
        elif BALANCED[0] < loss < BALANCED[1]:
            text = "The two players are in balance."
        else:
            return
        self._say(trainer, "players", text)

    def _judge_gradient(self, trainer: pl.Trainer) -> None:
        norm = self._known("g_grad")
        if norm is None:
            return
        self._peak = max(self._peak, norm)
        if norm <= FLAT * self._peak:
            text = (
                f"The generator gets almost no gradient (norm {norm:.1e}, at its largest {self._peak:.1e}): "
                "it has stopped learning. The non-saturating loss keeps a gradient where the discriminator "
                "is sure."
            )
        elif norm > ALIVE * self._peak:
            text = "The generator gets a gradient."
        else:
            return
        self._say(trainer, "gradient", text)

    def _judge_diversity(self, trainer: pl.Trainer, module: AdversarialModule) -> None:
        batch = trainer.strategy.batch_to_device(self._batch)
        with undisturbed(trainer, module, self.seed):
            fake = module.generate(batch)
        real = next((batch[key] for key in REAL_KEYS if key in batch), None)
        if real is None or len(real) < 2 or float(spread(real)) == 0:
            return
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
        if found > self._most:
            self._most, self._rose = found, trainer.global_step
        if found >= KEPT * self.modes:
            text = f"The generator keeps its modes: {found} of {self.modes}."
        elif found and trainer.global_step - self._rose >= PATIENCE * self.every_n_steps:
            text = (
                f"The generator keeps {found} of {self.modes} modes: mode collapse. "
                "Try the non-saturating loss, or lower learning rates."
            )
        else:
            return
        self._say(trainer, "modes", text)

    def _say(self, trainer: pl.Trainer, topic: str, text: str) -> None:
        """Print and keep a verdict when it is another than the one that stands (its numbers do not count)."""
        kind = text.split(":")[0].split("(")[0]
        if self._last.get(topic) == kind:
            return
        self._last[topic] = kind
        self.history.append({"step": trainer.global_step, "topic": topic, "verdict": text})
        self._write(trainer)
        if trainer.is_global_zero:
            print(f"Step {trainer.global_step}: {text}", flush=True)

    def _write(self, trainer: pl.Trainer) -> None:
        if trainer.is_global_zero:
            write_text(self._folder / "health.json", json.dumps(self.history, indent=2))


def spread(samples: Tensor) -> Tensor:
    """Mean Euclidean distance between any two of the samples (N, ...); at least two are needed."""
    return torch.pdist(samples.detach().float().flatten(1)).mean()
