"""Sentences to pictures: from the command line and from Python, and what is said of bad ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo import use
from zoo.cli import main
from zoo.data.captions import ShapesWorld
from zoo.errors import UserError
from zoo.features.text import BagOfWords, CharCnnRnn, restored
from zoo.models.gan_int_cls import GANIntCLS
from zoo.pretrained import Model
from zoo.seeds import batch_seed
from zoo.use.sentence import names

RED, BLUE = "a red circle", "a large blue star"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exported weights of an untrained model of drawn shapes."""
    torch.manual_seed(0)
    data = ShapesWorld(text_words=40, train_length=4, eval_length=2)
    module = GANIntCLS(text_dim=40, latent_dim=4, compressed=8, width=2, discriminator_width=1)
    for player in module.children():  # so that a sentence changes more than rounding
        for weights in player.parameters():
            weights.data *= 2
    folder = tmp_path_factory.mktemp("weights") / "shapes"
    config = {
        "class": "zoo.models.gan_int_cls.GANIntCLS",
        "data": data.describe(),
        "hyper_parameters": dict(module.hparams),
    }
    Model(module, config, "shapes").save_pretrained(folder, name="shapes", licence="Apache-2.0")
    return folder


@pytest.fixture
def model(folder: Path) -> Iterator[Model]:
    use._noted.clear()
    yield zoo.load(folder, device="cpu")


def test_a_sentence_is_enough(model: Model) -> None:
    one = model(RED)
    assert one.tensor.shape == (3, 64, 64) and torch.equal(one.tensor, model(RED).tensor)
    four = model(RED, n=4, seed=3)
    assert len(four) == 4 and len({picture.tensor.sum().item() for picture in four}) == 4
    both = model([RED, BLUE], n=2, seed=3)
    assert len(both) == 4 and torch.equal(both[0].tensor, model([RED], n=2, seed=3)[0].tensor)
    assert not torch.equal(both[0].tensor, both[2].tensor)  # the same noise, another sentence


def test_a_file_of_sentences(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"{RED}\n{BLUE}\n", encoding="utf-8")
    for source in (path, str(path)):
        made = model(source, seed=3)
        assert [picture.tensor.sum() for picture in made] == [
            model(each, seed=3).tensor.sum() for each in (RED, BLUE)
        ]


def test_the_words_are_those_of_the_training(model: Model) -> None:
    text = ShapesWorld(text_words=40, train_length=4, eval_length=2).encoder().encode([RED])
    drawn: Any = model.module.sample
    assert torch.equal(drawn(text, seed=batch_seed(0, 0))[0].clamp(-1, 1), model(RED).tensor)


def test_a_sheet_single_pictures_and_a_film(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list.txt").write_text(f"{RED}\n\n{BLUE}\n", encoding="utf-8")
    sample = ["sample", str(folder)]
    assert main([*sample, "list.txt", "-n", "3", "-o", "sheet.png"]) == 0
    width, height = Image.open("sheet.png").size
    assert width > 3 * 128 and height > 2 * 128
    assert main([*sample, RED, BLUE, RED, "-o", "out"]) == 0
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "a-large-blue-star.png", "a-red-circle.2.png", "a-red-circle.png",
    ]  # fmt: skip
    assert np.array_equal(
        Image.open("out/a-red-circle.png"), np.asarray(zoo.load(folder, "cpu")(RED), np.uint8)
    )
    assert main([*sample, RED, "-n", "2", "-o", "out"]) == 0
    assert Path("out/a-red-circle.001.png").is_file()
    assert main([*sample, RED, BLUE, "-o", "film.gif"]) == 0
    assert Image.open("film.gif").n_frames == 25  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ([], 2, "makes pictures of sentences: give some in quotes"),
        (["", "-o", "a.png"], 1, "No word of '' is known"),
        (["qwxz", "-o", "a.png"], 1, "No word of 'qwxz' is known"),
        (["красный круг", "-o", "a.png"], 1, "No word of 'красный круг' is known"),
        (["gone.txt", "-o", "a.png"], 1, "There is no file gone.txt"),
        (["bytes.txt", "-o", "a.png"], 1, "bytes.txt cannot be read"),
        (["empty.txt", "-o", "a.png"], 2, "give some in quotes"),
        ([RED, "-o", "a.gif"], 2, "A film goes from sentence to sentence"),
        ([RED, BLUE, "-n", "2", "-o", "a.gif"], 2, "leave -n out"),
        ([RED, "--compare", "-o", "a.png"], 2, "--compare"),
        ([RED, "--walk", "3", "-o", "a.png"], 2, "--walk goes with models whose input is noise"),
        ([RED, "-n", "9999", "-o", "a.png"], 1, "9999 pictures are asked for at once"),
        ([RED, "--text-weights", "x", "-o", "a.png"], 1, "text_weights is for weights with another"),
        ([RED, "-o", "a.wav"], 2, "a.wav must end with"),
    ],
)
def test_what_cannot_be_done_is_said(
    words: list[str],
    status: int,
    said: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bytes.txt").write_bytes(b"\xff\xfe\x00")
    Path("empty.txt").write_text("\n")
    out = words if "-o" in words else [*words, "-o", "a.png"]
    assert main(["sample", str(folder), *out]) == status
    assert said in capsys.readouterr().err
    assert not Path("a.png").exists() and not Path("a.gif").exists()


def test_unknown_words_are_named_once(model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    model("a red qwxz circle")
    model("a red qwxz circle")
    assert capsys.readouterr().err.count("does not know qwxz and leaves it out") == 1


@pytest.mark.parametrize("source", [7, [RED, 7], {"a": 1}, [], None])
def test_no_sentences(source: Any, model: Model) -> None:
    with pytest.raises(UserError, match=r"sentences|0 pictures"):
        model(source)
    with pytest.raises(UserError, match="no option colour; it takes text_weights"):
        model(RED, colour="red")


def test_files_are_named_by_their_words() -> None:
    assert names(["A red, RED bird!", "a red red bird", "???", "赤い鳥"], 1) == [
        "a-red-red-bird", "a-red-red-bird.2", "sentence", "赤い鳥",
    ]  # fmt: skip
    assert names(["x" * 99], 2) == ["x" * 60 + ".000", "x" * 60 + ".001"]


def test_weights_that_name_no_encoder(folder: Path) -> None:
    broken = zoo.load(folder, device="cpu")
    for text in (
        None,
        {},
        {"kind": "bag"},
        "bag",
        {"kind": "magic"},
        {"kind": "bag", "vocabulary": ["red"], "weights": [1.0], "dimension": 3},
        {"kind": "bag", "vocabulary": ["red"], "weights": [1.0], "dimension": 10**10},
        {"kind": "bag", "vocabulary": ["red"], "weights": [float("nan")], "dimension": 40},
        {"kind": "bag", "vocabulary": "red", "weights": [1.0, 1.0, 1.0], "dimension": 40},
        {"kind": "bag", "vocabulary": ["red", "blue"], "weights": [1.0], "dimension": 40},
    ):
        broken.config["data"]["preprocessing"] = {"text": text}
        with pytest.raises(UserError, match="get it again"):
            broken("red")


# ------------------------------------------------------------------------------------------ restored encoders


def test_a_bag_is_made_again() -> None:
    bag = BagOfWords.learn(["a red bird", "a blue bird"], 9)
    assert restored("bag", bag.settings()).identity == bag.identity
    assert bag.unknown("a green bird") == ["green"]


def test_a_training_takes_the_bag_of_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = ShapesWorld(text_words=40, train_length=4, eval_length=2).encoder()
    assert BagOfWords.of(str(folder)).identity == mine.identity
    with pytest.raises(UserError, match="gan-digits has no bag of words"):
        BagOfWords.of("gan-digits")
    model = {"size": 64, "text_dim": 40, "text_scale": 1, "latent_dim": 4, "compressed": 8, "width": 2}
    fit = ["fit", "--config", "gan_int_cls/shapes", "--trainer.max_steps", "1", "--trainer.callbacks", "[]"]
    fit += [word for key, value in model.items() for word in (f"--model.{key}", str(value))]
    fit += [
        "--data.size",
        "64",
        "--data.train_length",
        "4",
        "--data.batch_size",
        "4",
        "--data.text_words",
        "40",
    ]
    fit += ["--data.world", "0", "--model.init_from", str(folder), "--trainer.logger", "false"]
    for more, other in ((["--data.text_run", "3"], True), (["--data.text_weights", str(folder)], False)):
        assert main([*fit, *more]) == 0
        said = capsys.readouterr()
        assert (f"set data.text to bag and data.text_weights to {folder}" in said.out + said.err) is other


def test_a_char_cnn_rnn_is_recognised_by_its_hash(tmp_path: Path) -> None:
    import safetensors.torch

    path, other = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for at in (path, other):
        safetensors.torch.save_file(CharCnnRnn(4, 6).state_dict(), at)
    settings = CharCnnRnn.load(path).settings()
    assert restored("char", settings, str(path)).dimension == 6
    with pytest.raises(UserError, match="give its file with --text-weights"):
        restored("char", settings)
    with pytest.raises(UserError, match="not those of the training"):
        restored("char", settings, str(other))
    network = CharCnnRnn(4, 6)
    assert network.unknown("a bird é") == ["é"] and "beyond 201" in network.unknown("a" * 300)[0]
    with pytest.raises(UserError, match="no letter"):
        network.unknown("鳥")


def test_in_the_style_of_a_picture(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    data = ShapesWorld(text_words=40, train_length=4, eval_length=2)
    module = GANIntCLS(text_dim=40, latent_dim=4, compressed=8, width=2, discriminator_width=1, style=True)
    config = {
        "class": "zoo.models.gan_int_cls.GANIntCLS",
        "data": data.describe(),
        "hyper_parameters": dict(module.hparams),
    }
    Model(module, config, "styled").save_pretrained(tmp_path / "styled", name="styled", licence="Apache-2.0")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8))
    picture.save("like.png")
    model = zoo.load(tmp_path / "styled", device="cpu")
    one = model(RED, style_of="like.png")
    assert torch.equal(one.tensor, model(RED, style_of=picture).tensor)
    assert not torch.equal(one.tensor, model(RED).tensor)
    both = model([RED, BLUE], style_of="like.png")
    assert torch.equal(both[0].tensor, one.tensor) and not torch.equal(both[1].tensor, one.tensor)
    sample = ["sample", "styled", RED, BLUE, "--style-of", "like.png"]
    assert main([*sample, "-o", "sheet.png"]) == 0 and Path("sheet.png").is_file()
    for more, words in (
        (["-n", "3", "-o", "a.png"], "leave -n out"),
        (["-o", "film.gif"], "makes pictures, not films"),
    ):
        assert main([*sample, *more]) == 2
        assert words in capsys.readouterr().err
    assert main(["sample", str(folder), RED, "--style-of", "like.png", "-o", "b.png"]) == 2
    assert "has no style encoder" in capsys.readouterr().err
