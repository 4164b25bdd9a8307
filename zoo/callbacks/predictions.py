"""Output of ``zoo predict``: one image per sample of the test split."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from zoo.errors import UserError
from zoo.files.pictures import write_picture
from zoo.metrics.scoring.report import run_folder


class PictureWriter(Callback):
    """Write each predicted image as ``predictions/000000.png`` in the run folder, numbered by sample.

    Images of more than 4 channels become TIFF. Nothing is overwritten: an existing folder is refused.
    """

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Select the folder; on all ranks, because Lightning broadcasts ``log_dir``.

        Raises:
            UserError: There are predictions already.
        """
        self._folder = run_folder(trainer) / "predictions"
        if self._folder.exists():
            raise UserError(f"{self._folder} exists already; move it away first.")
        trainer.strategy.barrier()  # no rank may write before all have checked
        self._written = 0

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the batch's images.

        Raises:
            UserError: The outputs are not images.
        """
        if not isinstance(outputs, Tensor) or outputs.ndim != 4:
            raise UserError(f"{type(pl_module).__name__} predicts no images here; zoo sample draws points.")
        suffix = "png" if outputs.shape[1] <= 4 else "tiff"
        for image in outputs.float().cpu():
            index = self._written * trainer.world_size + trainer.global_rank  # ranks take samples in turn
            write_picture(self._folder / f"{index:06d}.{suffix}", image)
            self._written += 1
