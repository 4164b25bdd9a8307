"""What the base promises, kept by every paper: exact resume after kill -9, two processes, mixed precision."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from games import weights
from lightning.pytorch.callbacks import ModelCheckpoint

from zoo.adversarial import AdversarialModule
from zoo.data.base import DataModule
from zoo.data.images.module import Digits
from zoo.data.pairs.world import ScenePairs
from zoo.data.superres.world import SceneTwins
from zoo.models.gan import GAN
from zoo.models.pix2pix import Pix2Pix
from zoo.models.pix2pixhd import Pix2PixHD
from zoo.models.srgan import SRGAN

PAPERS = ["gan", "pix2pix", "pix2pixhd", "srgan"]
STEPS = 8  # two epochs of four batches


def game(paper: str, workers: int = 0) -> tuple[AdversarialModule, DataModule]:
    """A tiny version of the paper's game on data that need no files; dropout and noise as in the paper."""
    pl.seed_everything(3, verbose=False)
    if paper == "gan":
        model = GAN(shape=(1, 8, 8), hidden=16, maxout_units=8, latent_dim=8)
        return model, Digits(batch_size=300, num_workers=workers)
    if paper == "srgan":
        twins = SceneTwins(size=32, train_length=8, eval_length=2, batch_size=2, num_workers=workers)
        return SRGAN(blocks=2, width=4, discriminator_width=2, size=32, content="mse", decay_at=(3, 6)), twins
    if paper == "pix2pixhd":
        hd = Pix2PixHD(
            in_channels=16,
            features=2,
            width=4,
            downsamplings=1,
            blocks=1,
            encoder_width=4,
            encoder_downsamplings=1,
            discriminators=2,
            discriminator_width=4,
            discriminator_layers=1,
            perceptual="none",
            epochs_constant=1,
            epochs_decay=2,
        )
        return hd, ScenePairs(size=32, train_length=8, eval_length=2, batch_size=2, num_workers=workers)
    pix2pix = Pix2Pix(
        levels=4, width=4, discriminator_width=4, receptive_field=16, in_channels=1, epochs_decay=3
    )
    pairs = ScenePairs(
        size=32, source="edges", train_length=8, eval_length=2, batch_size=2, num_workers=workers
    )
    return pix2pix, pairs


def play(
    paper: str, folder: Path, until: int, workers: int = 0, ckpt: Path | None = None, **options: object
) -> AdversarialModule:
    """Train to a step, with a checkpoint after each."""
    model, data = game(paper, workers)
    model.channels_last = bool(options.pop("channels_last", False))
    saver = ModelCheckpoint(folder, "{step}", every_n_train_steps=1, save_top_k=-1)
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
    }
    callbacks = [saver, *options.pop("callbacks", [])]  # type: ignore[misc]
    trainer = pl.Trainer(
        default_root_dir=folder,
        max_steps=until,
        max_epochs=-1,
        limit_val_batches=0,
        callbacks=callbacks,
        **quiet,
        **options,
    )  # type: ignore[arg-type]
    trainer.fit(model, data, ckpt_path=ckpt)
    return model


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from lightning.pytorch.callbacks import Callback
torch.set_num_threads(1)
from test_guarantees import STEPS, play

class Kill(Callback):
    def on_train_batch_start(self, trainer, module, batch, index):
        if trainer.global_step == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

play(sys.argv[1], Path(sys.argv[2]), STEPS, int(sys.argv[4]), callbacks=[Kill()])
"""


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", script, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("paper", PAPERS)
def test_killed_and_resumed_equals_never_stopped(paper: str, workers: int, tmp_path: Path) -> None:
    whole = weights(play(paper, tmp_path / "whole", STEPS))
    mid = 3
    died = run(KILLED, paper, tmp_path / "killed", mid, workers)
    assert died.returncode == -9, died.stderr[-2000:]
    last = tmp_path / "killed" / f"step={mid}.ckpt"
    assert last.is_file() and not (tmp_path / "killed" / f"step={mid + 1}.ckpt").exists()
    assert torch.equal(weights(play(paper, tmp_path / "resumed", STEPS, workers, last)), whole)
    end = tmp_path / "whole" / "step=4.ckpt"  # written after an epoch's last batch
    assert torch.equal(weights(play(paper, tmp_path / "again", STEPS, workers, end)), whole)


TWO = """
import sys
from pathlib import Path
import torch
from games import weights
torch.set_num_threads(1)
from test_guarantees import play
model = play(sys.argv[1], Path(sys.argv[2]), 3, devices=2, strategy="ddp_find_unused_parameters_true",
             use_distributed_sampler=False)
torch.save([p.detach() for p in model.parameters()], f"{sys.argv[2]}/rank{model.global_rank}.pt")
"""


@pytest.mark.parametrize("paper", PAPERS)
def test_two_processes_end_with_equal_weights(paper: str, tmp_path: Path) -> None:
    script = tmp_path / "two.py"  # the second process is started from a file
    script.write_text(TWO)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", str(script), paper, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    fresh = list(game(paper)[0].parameters())
    assert not all(torch.equal(a, b) for a, b in zip(first, fresh, strict=True))


@pytest.mark.parametrize("paper", PAPERS)
def test_mixed_precision(paper: str, tmp_path: Path) -> None:
    model = play(paper, tmp_path, 2, precision="bf16-mixed")
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert all(bool(p.isfinite().all()) for p in model.parameters())
    assert not torch.equal(weights(model), weights(play(paper, tmp_path / "32", 2)))  # it did compute in bf16


@pytest.mark.parametrize("paper", ["pix2pixhd", "srgan"])
def test_channels_last_resumes_exactly(paper: str, tmp_path: Path) -> None:
    def last(folder: str, until: int, ckpt: Path | None = None) -> AdversarialModule:
        return play(paper, tmp_path / folder, until, ckpt=ckpt, precision="bf16-mixed", channels_last=True)

    whole = last("whole", STEPS)
    arranged = [p for p in whole.generator.parameters() if p.ndim == 4 and min(p.shape[1:]) > 1]
    assert arranged and all(p.is_contiguous(memory_format=torch.channels_last) for p in arranged)
    resumed = last("resumed", STEPS, tmp_path / "whole" / "step=3.ckpt")
    assert torch.equal(weights(resumed), weights(whole))


@pytest.mark.parametrize("paper", PAPERS)
def test_micro_batches(paper: str, tmp_path: Path) -> None:
    model, data = game(paper)
    model.accumulate = 2
    trainer = pl.Trainer(
        default_root_dir=tmp_path,
        max_steps=2,
        logger=False,
        enable_progress_bar=False,
        accelerator="cpu",
        enable_model_summary=False,
        limit_val_batches=0,
        enable_checkpointing=False,
    )
    trainer.fit(model, data)
    assert trainer.global_step == 2
