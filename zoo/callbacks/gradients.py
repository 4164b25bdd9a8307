"""The generator's gradient norm under both losses of Goodfellow 2014."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from zoo.adversarial import Batch
from zoo.losses import nonsaturating, saturating


def gradient_norms(module: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """Norms of the generator's gradient under the saturating and the non-saturating loss, on the same logits.

    The module needs ``generator``, ``generate(batch)`` and ``judge(x)``, the discriminator's logits. The
    ``grad`` fields of both players are unchanged.
    """
    parameters = list(module.generator.parameters())
    with torch.enable_grad():
        logits = module.judge(module.generate(batch))
        flat = torch.autograd.grad(saturating(logits), parameters, retain_graph=True)
        steep = torch.autograd.grad(nonsaturating(logits), parameters)
    return nn.utils.get_total_norm(flat), nn.utils.get_total_norm(steep)


class GradientNorms(Callback):
    """Log ``train/g_grad_saturating`` and ``train/g_grad_nonsaturating``, whichever loss is minimised.

    Both are computed after logged steps, on the same fakes and logits, so that their ratio shows how certain
    the discriminator is: the saturating one vanishes if D(G(z)) does (section 3). The module needs ``judge``,
    as :class:`zoo.models.gan.GAN` has.
    """

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Measure on logged steps; the run's random state is unchanged."""
        if trainer.global_step % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        with torch.random.fork_rng([pl_module.device] if pl_module.device.type == "cuda" else []):
            flat, steep = gradient_norms(pl_module, batch)
        pl_module.log_dict({"train/g_grad_saturating": flat, "train/g_grad_nonsaturating": steep})
