"""Sample pictures: when, what, and that training does not notice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from games import Data, Game, Points, weights
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from zoo.adversarial import Batch
from zoo.callbacks.samples import SampleGrid, fixed_batch, layout
from zoo.data.images.module import Digits
from zoo.data.superres.module import SuperResolutionFolder
from zoo.errors import UserError
from zoo.files.pictures import read_picture, write_picture
from zoo.models.gan import GAN
from zoo.models.srgan import SRGAN

Make = Callable[..., pl.Trainer]


class Normalised(Game):
    """Batch statistics even when it is looked at, as pix2pix does."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))

    def preview(self, batch: Batch) -> dict[str, Tensor]:
        self.generator[1].train()
        return {"real": batch["point"], "fake": self.generate(batch)}


def _names(folder: Path) -> list[str]:
    return sorted(p.name for p in (folder / "samples").iterdir())


def test_pictures_come_at_the_first_step_every_n_and_at_the_end(trainer: Make, tmp_path: Path) -> None:
    trainer(max_steps=7, callbacks=[SampleGrid(3)]).fit(Game(), Data(val=4))
    names = [f"step={step:06d}.png" for step in (1, 3, 6, 7)]
    assert _names(tmp_path) == ["latest.png", *names]
    folder = tmp_path / "samples"
    assert (folder / "latest.png").read_bytes() == (folder / names[-1]).read_bytes()


def test_training_does_not_notice(trainer: Make) -> None:
    class Modes(Callback):
        def on_train_batch_start(self, trainer: Any, pl_module: Any, *rest: Any) -> None:
            assert all(part.training for part in pl_module.modules())

    runs = []
    for callbacks in ([], [SampleGrid(2), Modes()]):
        pl.seed_everything(3, verbose=False)
        game = Normalised()
        state = []
        trainer(max_steps=5, callbacks=callbacks).fit(game, Data())
        state.append(torch.rand(3))
        runs.append((weights(game), *state))
    for a, b in zip(*runs, strict=True):
        assert torch.equal(a, b)


def test_the_same_weights_give_the_same_picture(trainer: Make, tmp_path: Path) -> None:
    pictures = []
    for seed in (1, 2):
        pl.seed_everything(seed, verbose=False)
        game = Game(lr=0.0)
        game.load_state_dict({name: torch.ones_like(value) for name, value in game.state_dict().items()})
        trainer(max_steps=4, callbacks=[SampleGrid(2)]).fit(game, Data(val=50))
        pictures += [(tmp_path / "samples" / f"step={step:06d}.png").read_bytes() for step in (2, 4)]
    assert len(set(pictures)) == 1


def test_the_samples_are_the_validation_splits_not_augmented(trainer: Make) -> None:
    t = trainer(max_steps=1)
    t.fit(Game(), Data(val=6))
    validation = next(iter(t.datamodule.val_dataloader()))["point"]
    assert torch.equal(fixed_batch(t, {"points": 3}, 99)["point"], validation[:3])
    t.fit(Game(), Data())
    plain = torch.stack([Points(2).sample(index, None)["point"] for index in (0, 1)])
    assert torch.equal(fixed_batch(t, {}, 2)["point"], plain)


def test_digits_which_come_as_a_batch(trainer: Make) -> None:
    t = trainer(max_steps=1)
    t.fit(GAN(shape=(1, 8, 8), hidden=4, maxout_units=2, latent_dim=2), Digits(batch_size=300))
    assert fixed_batch(t, {"images": 9}, 1)["image"].shape == (9, 1, 8, 8)


def test_samples_of_another_size_than_the_first_are_left_out(trainer: Make, tmp_path: Path) -> None:
    for name, size in (("a", (40, 48)), ("b", (48, 40)), ("c", (40, 48))):
        for split in ("train", "val"):
            write_picture(tmp_path / "photos" / split / f"{name}.png", torch.rand(3, *size) * 2 - 1)
    t = trainer(max_steps=1)
    t.fit(
        SRGAN(blocks=1, width=4, adversarial=False, content="mse"),
        SuperResolutionFolder(str(tmp_path / "photos"), crop=16, batch_size=1),
    )
    assert fixed_batch(t, {}, 9)["target"].shape == (2, 3, 40, 48)


def test_foreign_data_gives_its_first_batch(trainer: Make, tmp_path: Path) -> None:
    loader = DataLoader([{"point": torch.randn(2)} for _ in range(12)], 4)
    runs = []
    for callbacks in ([], [SampleGrid(2, rows=2)]):
        pl.seed_everything(3, verbose=False)
        game = Game()
        trainer(max_steps=3, callbacks=callbacks).fit(game, loader)
        runs.append(weights(game))
    assert torch.equal(*runs)
    assert _names(tmp_path)[-1] == "step=000003.png"


def test_layouts() -> None:
    assert layout({"fake": torch.zeros(50, 2)}, 8).shape[0] == 3
    one = layout({"fake": torch.zeros(64, 1, 8, 8)}, 8)
    assert one.shape[1] == one.shape[2] == 8 * (48 + 2) + 2
    some = layout({"input": torch.zeros(20, 3, 100, 100), "output": torch.zeros(20, 3, 100, 100)}, 4)
    assert 400 < some.shape[1] < 500 and 200 < some.shape[2] < 260
    drawn = layout({"real": torch.zeros(64, 1, 8, 8), "fake": torch.zeros(64, 1, 8, 8)}, 8, paired=False)
    assert 400 < drawn.shape[1] < 450 and drawn.shape[2] > 800


def test_a_module_without_previews_is_refused(trainer: Make) -> None:
    class Other(pl.LightningModule):
        def training_step(self, batch: Any, batch_idx: int) -> None: ...

        def configure_optimizers(self) -> None: ...

    with pytest.raises(UserError, match="SampleGrid draws previews of adversarial modules and Other is none"):
        trainer(max_steps=1, callbacks=[SampleGrid()]).fit(Other(), Data())


def test_loggers_that_take_pictures_get_them(
    trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    got: list[tuple[str, list[str], int]] = []
    monkeypatch.setattr(WandbLogger, "log_image", lambda self, *args, step: got.append((*args, step)))
    monkeypatch.setattr(WandbLogger, "log_metrics", lambda *args, **kwargs: None)
    monkeypatch.setattr(WandbLogger, "log_hyperparams", lambda *args, **kwargs: None)
    monkeypatch.setattr(WandbLogger, "log_graph", lambda *args, **kwargs: None)
    logger = WandbLogger(save_dir=tmp_path, offline=True)
    trainer(max_steps=2, callbacks=[SampleGrid(2)], logger=logger).fit(Game(), Data())
    assert [(key, step) for key, _, step in got] == [("samples", 1), ("samples", 2)]
    assert all(read_picture(Path(paths[0])).shape[0] == 3 for _, paths, _ in got)
