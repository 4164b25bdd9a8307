"""`zoo init`: the recipe of a user's own folder trains as it is, and says what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from zoo.cli import main
from zoo.files.pictures import write_picture
from zoo.training import build, run_built

pytestmark = pytest.mark.usefixtures("elsewhere")
Said = pytest.CaptureFixture[str]


def picture(path: str, height: int = 32, width: int = 32, channels: int = 3) -> None:
    random = torch.Generator().manual_seed(len(path) + sum(map(ord, path)))
    write_picture(path, torch.rand(channels, height, width, generator=random) * 2 - 1)


def halves(root: str) -> None:
    for split in ("train", "test"):
        for i in range(3):
            picture(f"{root}/{split}/{i}.png", 36, 72)


def grey_to_colour(root: str) -> None:
    for i in range(3):
        picture(f"{root}/A/train/{i}.png", 40, 40, 1)
        picture(f"{root}/B/train/{i}.png", 40, 40, 3)


def streets(root: str, instances: bool = True) -> None:
    """Label maps of three classes, with instances, that are not square."""
    Path(root).mkdir()
    Path(root, "palette.csv").write_text("0,0,0,sky\n255,0,0,road\n0,255,0,tree\n")
    for split in ("train", "test"):
        for i in range(3):
            numbers = torch.randint(3, (1, 36, 50), generator=torch.Generator().manual_seed(i))
            picture(f"{root}/images/{split}/{i}.png", 36, 50)
            write_picture(f"{root}/labels/{split}/{i}.png", numbers / 127.5 - 1)
            if instances:
                write_picture(f"{root}/instances/{split}/{i}.png", numbers / 127.5 - 1)


def photos(root: str) -> None:
    for i in range(5):
        picture(f"{root}/{'train' if i else 'test'}/{i}.png", 35, 50)


CASES: dict[str, tuple[Any, str, dict[str, Any], dict[str, Any], list[str]]] = {
    # what fills the folder, the recipe, some arguments of model and data (None: by default), the metrics
    "halves": (halves, "pix2pix/facades_small", {"levels": 5}, {"size": 32, "direction": "AtoB"}, []),
    "grey": (grey_to_colour, "pix2pix/scenes", {"levels": 5, "in_channels": 1}, {"input_channels": 1}, []),
    "labels": (
        streets,
        "pix2pix/scenes",
        {"in_channels": 3, "levels": 2},
        {"size": [36, 48]},
        ["SegmentationScore"],
    ),
    "instances": (
        streets,
        "pix2pixhd/scenes",
        {"in_channels": 3, "instance_edges": None, "downsamplings": 1, "encoder_downsamplings": 2},
        {"size": [36, 48]},
        ["SegmentationScore"],
    ),
    "photos": (
        photos,
        "srgan/srgan_world",
        {"size": 32, "scale": None},
        {"crop": 32, "batch_size": 4},
        ["SuperResolutionScore"],
    ),
    "images": (
        photos,
        "gan/digits",
        {"shape": [3, 32, 32]},
        {"size": 32, "batch_size": 2},
        ["NearestNeighbours"],
    ),
    "growing": (
        photos,
        "progan/faces_small",
        {"size": 32},
        {"size": 32, "mirror": True},
        ["SlicedWasserstein", "SampleSimilarity", "NearestNeighbours"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_recipe_trains_as_it_is(name: str, capsys: Said) -> None:
    fill, like, model, data, metrics = CASES[name]
    fill("mine")
    assert main(["init", "mine", "--like", like, "--licence", "CC0", "--commercial"]) == 0
    said = capsys.readouterr().out
    assert "  zoo fit --config mine.yaml\n" in said and "training samples are few" in said
    head, _, body = Path("mine.yaml").read_text().partition("seed_everything")
    assert "CC0" in head and (("zoo test" in head) is (name != "grey"))
    recipe = yaml.safe_load("seed_everything" + body)
    for section, stated in (("model", model), ("data", data)):
        found = recipe[section]["init_args"]
        assert {key: found.get(key) for key in stated} == stated
    named = {block["class_path"].rpartition(".")[2] for block in recipe["trainer"]["callbacks"]}
    assert named - {"SampleGrid", "KeepStyles", "Health"} == set(metrics)
    options = ["--trainer.max_steps", "2", "--trainer.enable_checkpointing", "false", "--wandb", "off"]
    built = build(["--config", "mine.yaml", *options])
    assert run_built(built) == 0 and built.trainer.global_step == 2
    described = built.datamodule.description()
    assert described["licence"] == "CC0" and described["research_only"] is False


def test_it_names_weights_that_fit_and_of_the_same_classes(capsys: Said) -> None:
    halves("mine")
    assert main(["init", "mine", "--like", "pix2pix/facades_small", "-o", "a.yaml"]) == 0
    assert "init_from" not in capsys.readouterr().out.split("Train with")[1]  # five levels, not seven
    assert yaml.safe_load(Path("a.yaml").read_text())["data"]["init_args"]["licence"].startswith("unknown")
    photos("photos")
    assert main(["init", "photos", "--like", "srgan/srresnet_bsds_small", "-o", "b.yaml"]) == 0
    assert "--model.init_from srresnet-bsds-small" in capsys.readouterr().out


def test_the_first_weights_of_the_other_recipe_stay_if_they_fit(capsys: Said) -> None:
    photos("mine")
    text = Path(__file__).parents[2] / "recipes" / "srgan" / "srgan_world.yaml"
    Path("like.yaml").write_text(
        text.read_text().replace("blocks: 4", "init_from: srresnet-bsds-small\n    blocks: 4")
    )
    assert main(["init", "mine", "--like", "like.yaml"]) == 0
    assert "Without model.init_from: " in capsys.readouterr().out
    assert "init_from:" not in Path("mine.yaml").read_text().partition("model:")[2]


@pytest.mark.parametrize(
    ("words", "status", "answer"),
    [
        ("mine --like gan/ring", 2, "gan/ring learns from points, which no folder holds"),
        (
            "mine --like pix2pix/scenes",
            1,
            "mine is not laid out as pix2pix/scenes needs it; docs/data/pairs.md",
        ),
        ("broken --like pix2pix/scenes", 1, "2 faults"),
        ("mine --like overlays/tiny", 2, "begin with a whole recipe"),
    ],
)
def test_what_cannot_be_is_refused(words: str, status: int, answer: str, capsys: Said) -> None:
    photos("mine"), halves("broken")
    for name in ("0", "1"):
        Path(f"broken/train/{name}.png").write_bytes(b"no picture")
    assert main(["init", *words.split()]) == status
    error = capsys.readouterr().err
    assert answer in error and error.count("\n") == 1 and not list(Path().glob("*.yaml"))
