"""What ``zoo predict`` leaves: one picture a sample of the test split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from zoo.errors import UserError
from zoo.files.pictures import write_picture


class PictureWriter(Callback):
    """Write each predicted picture as ``predictions/000000.png`` in the run folder, by the sample's place.

    Pictures of other channels than 1 to 4 become TIFF. Nothing is overwritten: a folder that is there already
    is refused.
    """

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Choose the folder, on all ranks: ``log_dir`` is a collective.

        Raises:
            UserError: There are predictions already.
        """
        self._folder = Path(trainer.log_dir or trainer.default_root_dir) / "predictions"
        if self._folder.exists():
            raise UserError(f"{self._folder} is there already; move it away first.")
        trainer.strategy.barrier()  # no rank may write before all have looked
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
        """Write the batch's pictures.

        Raises:
            UserError: The outputs are no pictures.
        """
        if not isinstance(outputs, Tensor) or outputs.ndim != 4:
            raise UserError(f"{type(pl_module).__name__} predicts no pictures here; zoo sample draws points.")
        suffix = "png" if outputs.shape[1] <= 4 else "tiff"
        for picture in outputs.float().cpu():
            place = self._written * trainer.world_size + trainer.global_rank  # samples are dealt out in turn
            write_picture(self._folder / f"{place:06d}.{suffix}", picture)
            self._written += 1
