"""``zoo data pack``, ``zoo data bench`` and GIFs of ``zoo data show``, as a user types them."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.cli import main
from zoo.files.films import write_gif
from zoo.files.pictures import write_picture


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve photographs in a folder of one class, and a cache of their own."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    random = torch.Generator().manual_seed(0)
    for i in range(12):
        picture = torch.rand((3, 24, 30 + i), generator=random) * 2 - 1
        write_picture(tmp_path / "photos" / "all" / f"{i}.png", picture)
    return tmp_path / "photos"


def recipe(path: Path, root: Path, packed: bool) -> Path:
    path.write_text(
        f"""
model:
  class_path: zoo.models.gan.GAN
  init_args: {{shape: [3, 8, 8], hidden: 4, maxout_units: 4}}
data:
  class_path: zoo.data.images.module.ImageFolder
  init_args: {{root: {root}, size: 8, hold_out: 4, batch_size: 3, packed: {str(packed).lower()}}}
trainer: {{max_steps: 2, limit_val_batches: 0}}
"""
    )
    return path


def test_a_recipe_trains_on_its_pack_alike_and_records_it(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain, packed = (
        recipe(tmp_path / f"{name}.yaml", photos, name == "packed") for name in ("plain", "packed")
    )
    assert main(["fit", "--config", str(packed)]) == 1
    assert "zoo data pack" in capsys.readouterr().err
    assert main(["data", "pack", str(packed)]) == 0
    assert "train 6 samples" in (out := capsys.readouterr().out) and "data.packed: true" in out
    weights = []
    for path in (plain, packed):
        assert main(["fit", "--config", str(path)]) == 0
        (checkpoint,) = tmp_path.glob(f"runs/**/{path.stem}/*/checkpoints/last.ckpt")
        weights.append(torch.load(checkpoint, weights_only=True)["state_dict"])
        (environment,) = tmp_path.glob(f"runs/**/{path.stem}/*/env.json")
        assert ("pack" in json.loads(environment.read_text())["data"]) == (path is packed)
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())
    for path in photos.rglob("*.png"):
        path.touch()
    assert main(["fit", "--config", str(packed)]) == 1, "a stale pack is not read"
    assert "those of other files or settings do not count" in capsys.readouterr().err


def test_bench_times_what_was_asked(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data", "bench", "ImageFolder", "--root", str(photos), "--size", "8", "--batch", "3", "--json"]
    assert main([*words, "--samples", "6", "--rounds", "1", "--packed", "--torchvision"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [line["loader"] for line in found["lines"]] == [
        "zoo, no cache",
        "zoo, packed",
        "torchvision ImageFolder",
    ]
    assert all(line["samples_per_s"] > 0 for line in found["lines"]) and found["peak_mb"] > 0


def test_what_moves_becomes_a_gif(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "turning.gif"
    assert main(["data", "show", "FurnitureWorld", "-n", "2", "-o", str(out)]) == 0
    with Image.open(out) as image:
        frames = []
        for number in range(image.n_frames):
            image.seek(number)
            frames.append(np.asarray(image.convert("RGB")))
    assert len(frames) > 3 and any((a != b).any() for a, b in pairwise(frames))
    assert main(["data", "show", "Digits", "-n", "2", "-o", str(tmp_path / "still.gif")]) == 1
    assert "Nothing moves in Digits" in capsys.readouterr().err


def test_a_gif_keeps_its_colours_and_times(tmp_path: Path) -> None:
    frames = torch.zeros(3, 3, 8, 8)
    frames[0, 0], frames[1, 1], frames[2, 2] = 1, 1, 1
    write_gif(tmp_path / "a.gif", frames, seconds=0.2)
    with Image.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 3 and image.info["loop"] == 0 and image.info["duration"] == 200
        for number, colour in enumerate([(255, 128, 128), (128, 255, 128), (128, 128, 255)]):
            image.seek(number)
            found = np.asarray(image.convert("RGB"))[4, 4].astype(int)
            assert np.abs(found - colour).max() <= 6
