"""The char-CNN-RNN's training: its loss beside plain loops, what is learnt, and its way into other models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from zoo.data.captions import ShapesWorld
from zoo.errors import UserError
from zoo.features.text import CharCnnRnn, one_hot, restored
from zoo.metrics.retrieval import Retrieval, RPrecision
from zoo.models.char_cnn_rnn import CharCNNRNN, joint_embedding
from zoo.models.gan_int_cls import GANIntCLS
from zoo.pretrained import Model

SMALL: dict[str, Any] = {"width": 4, "dimension": 8, "image_network": "trained", "image_width": 2}


def test_defaults_are_those_of_the_released_code() -> None:
    with torch.device("meta"):
        model = CharCNNRNN()
    settings = model.hparams
    assert (settings["width"], settings["dimension"], settings["dropout"]) == (256, 1024, 0)
    assert (settings["learning_rate"], settings["decay"]) == (7e-4, 0.98)
    # 384 x 4 of 70 characters, 512 x 4, 256 x 4; six dense layers of the RNN; the projection
    layers = [(70 * 4 + 1) * 384, (384 * 4 + 1) * 512, (512 * 4 + 1) * 256, 6 * 257 * 256, 257 * 1024]
    assert sum(p.numel() for p in model.text.parameters()) == sum(layers)


def test_initial_weights_of_the_text_are_uniform() -> None:
    text = CharCNNRNN(**SMALL).text
    values = torch.cat([p.detach().flatten() for p in text.parameters()])
    assert 0.079 < values.max() <= 0.08 and -0.08 <= values.min() < -0.079
    assert float(values.std()) == pytest.approx(0.16 / 12**0.5, rel=0.02)


def plain(text: Tensor, image: Tensor, category: list[int]) -> float:
    """The released code's loss, image by image, then sentence by sentence; pairs of one class left out."""
    total, count = 0.0, len(text)
    for these, those in ((image, text), (text, image)):
        for i in range(count):
            own = float(these[i] @ those[i])
            for j in range(count):
                if category[i] != category[j]:
                    total += max(0.0, 1 + float(these[i] @ those[j]) - own)
    return total / count**2


def test_the_loss_equals_plain_loops() -> None:
    random = torch.Generator().manual_seed(0)
    text, image = (torch.randn(6, 3, generator=random, dtype=torch.float64) for _ in range(2))
    for category in ([0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 1, 2]):
        loss, right = joint_embedding(text, image, torch.tensor(category))
        assert float(loss) == pytest.approx(plain(text, image, category), rel=1e-12)
    nearest = [(image[i] @ text.T).argmax().item() == i for i in range(6)]
    assert float(right) == pytest.approx(sum(nearest) / 6)
    assert float(joint_embedding(text, image, torch.zeros(6))[0]) == 0


def batch_of(colours: list[str]) -> dict[str, Any]:
    values = {"red": (1.0, -1.0, -1.0), "green": (-1.0, 1.0, -1.0), "blue": (-1.0, -1.0, 1.0)}
    image = torch.tensor([values[name] for name in colours])[:, :, None, None].expand(-1, -1, 16, 16)
    return {"image": image.clone(), "caption": [f"it is {name}" for name in colours]}


def test_it_learns_which_sentence_belongs_to_which_picture() -> None:
    torch.manual_seed(0)
    model = CharCNNRNN(**SMALL | {"width": 16, "negatives": "instance", "learning_rate": 1e-3})
    batch = batch_of(["red", "green", "blue"])
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    loop = pl.Trainer(accelerator="cpu", max_steps=60, enable_checkpointing=False, **quiet)
    loop.fit(model, DataLoader([batch] * 60, batch_size=None))  # type: ignore[arg-type]
    model.eval()
    with torch.no_grad():
        text, image = model.both(batch)
    scores = image @ text.T
    assert scores.argmax(1).tolist() == [0, 1, 2]
    others = scores - scores.diagonal()[:, None]
    assert others[~torch.eye(3, dtype=torch.bool)].max() < -0.5


def test_an_export_is_a_text_encoder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = CharCNNRNN(**SMALL)
    config = {"class": "zoo.models.char_cnn_rnn.CharCNNRNN", "hyper_parameters": dict(module.hparams)}
    Model(module, config | {"data": {}}, "words").save_pretrained(tmp_path / "words", name="words")
    encoder = CharCnnRnn.load(tmp_path / "words")
    found = encoder.encode(["a red bird", "two"])
    with torch.no_grad():
        expected = module.eval()(one_hot(["a red bird", "two"]))
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=1e-4)  # exports are in float16
    settings = encoder.settings()
    assert settings.keys() == {"sha256"}  # not of the index
    again = restored("char", settings, str(tmp_path / "words"))
    assert torch.equal(again.encode(["two"]), encoder.encode(["two"]))
    with pytest.raises(UserError, match="with --text-weights, of sha256"):
        restored("char", settings | {"name": "hf://me/words"})  # an address is not fetched unasked


def test_what_cannot_be_learnt_from_is_refused() -> None:
    model, batch = CharCNNRNN(**SMALL), batch_of(["red", "green"])
    with pytest.raises(UserError, match=r"no classes; set model\.negatives to instance"):
        model.check(batch)
    model.check(batch | {"category": torch.tensor([0, 1])})
    with pytest.raises(UserError, match="no captions"):
        model.check({"image": batch["image"]})
    with pytest.raises(UserError, match=r"have 64 numbers, but model\.image_features is 5; set it to that"):
        CharCNNRNN(width=4, image_network="digits", image_features=5).setup("fit")


def test_frozen_features_pass_through_a_dense_layer() -> None:
    model = CharCNNRNN(width=4, dimension=6, image_network="digits", image_features=64)
    image = torch.rand(2, 1, 8, 8) * 2 - 1
    features = model.of_images(image)
    assert features.shape == (2, 6) and features.requires_grad
    assert not any("network" in key for key in model.state_dict())


# -------------------------------------------------------------------------------------------------- retrieval


class Given(pl.LightningModule):
    image_network = "given"


def scores_of(text: Tensor, image: Tensor, category: list[int] | None, depth: int = 50) -> dict[Any, float]:
    evaluator = Retrieval(depth)
    evaluator.begin(None, None)  # type: ignore[arg-type]
    for at in range(0, len(text), 2):
        classes = {} if category is None else {"category": torch.tensor(category[at : at + 2])}
        evaluator.update(classes, (text[at : at + 2], image[at : at + 2]))
    found = evaluator.finish(None, Given())  # type: ignore[arg-type]
    return {(row.metric, row.subject): row.value for row in found.rows}


def test_recall_and_the_papers_scores_by_hand() -> None:
    eye = torch.eye(4)
    perfect = scores_of(eye, eye, [0, 0, 1, 1], 2)
    assert perfect["recall-1", "generated"] == 1 and perfect["recall-1", "chance"] == 0.25
    assert perfect["ap-2", "generated"] == 1 and perfect["ap-2", "chance"] == 0.5
    assert perfect["class-top-1", "generated"] == 1 and perfect["class-top-1", "chance"] == 0.5
    # image 1 is most like sentence 2, which is of the other class
    image = eye.clone()
    image[1] = torch.tensor([0.0, 0.5, 1.2, 0.0])
    found = scores_of(eye, image, [0, 0, 1, 1], 2)
    assert found["recall-1", "generated"] == 0.75
    assert found["class-top-1", "generated"] == 0.75
    # nearest to class 0, (.5, .5, 0, 0), are its two; to class 1, (0, 0, .5, .5), image 1 and one of its own
    assert found["ap-2", "generated"] == 0.75
    assert "ap-50" not in {metric for metric, _ in scores_of(eye, eye, None)}


def test_other_models_are_refused() -> None:
    evaluator = Retrieval()
    evaluator.begin(None, None)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"remove it from trainer\.callbacks"):
        evaluator.update({}, torch.zeros(2, 3))


# ------------------------------------------------------------------------------------------------ R-precision


class OneColour(GANIntCLS):
    """Generates the colour that the first number of a vector stands for."""

    def generate(self, batch: dict[str, Any]) -> Tensor:
        kinds = batch["text"][:, 0].long()
        return torch.stack([batch_of([NAMES[kind]])["image"][0] for kind in kinds])


NAMES = ("red", "green", "blue")


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained encoder of three colours."""
    torch.manual_seed(0)
    module = CharCNNRNN(**SMALL | {"width": 16, "negatives": "instance", "learning_rate": 1e-3})
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    loop = pl.Trainer(accelerator="cpu", max_steps=60, enable_checkpointing=False, **quiet)
    loop.fit(module, DataLoader([batch_of(list(NAMES))] * 60, batch_size=None))  # type: ignore[arg-type]
    folder = tmp_path_factory.mktemp("judge") / "judge"
    config = {"class": "zoo.models.char_cnn_rnn.CharCNNRNN", "hyper_parameters": dict(module.hparams)}
    Model(module, config | {"data": {}}, "judge").save_pretrained(folder, name="judge")
    return folder


@pytest.mark.parametrize(("made", "right"), [([0, 1, 2], 1.0), ([1, 2, 0], 0.0), ([0, 1, 0], 2 / 3)])
def test_r_precision_of_right_and_wrong_pictures(
    judge: Path, made: list[int], right: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator, module = RPrecision(str(judge), wrong=2), OneColour(text_dim=1, width=1, discriminator_width=1)
    monkeypatch.setattr(RPrecision, "data", lambda self, trainer: ShapesWorld())
    loop = pl.Trainer(accelerator="cpu", logger=False)
    evaluator.begin(loop, module)
    batch = batch_of(list(NAMES))
    evaluator.update(batch, module.generate({"text": torch.tensor(made)[:, None].float()}))
    rows = {row.subject: row for row in evaluator.finish(loop, module).rows}
    assert rows["real"].value == 1 and rows["generated"].value == pytest.approx(right)
    assert rows["generated"].protocol["wrong"] == 2


def test_r_precision_refuses_what_says_nothing(judge: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, module = pl.Trainer(accelerator="cpu", logger=False), OneColour(text_dim=1, width=1)
    trained = ShapesWorld(text="char", text_weights=str(judge))
    for data, encoder, words in (
        (ShapesWorld(), "gan-digits", "is a GAN; give a CharCNNRNN"),
        (trained, str(judge), "encoded the sentences in training; give another"),
    ):
        monkeypatch.setattr(RPrecision, "data", lambda self, trainer, data=data: data)
        with pytest.raises(UserError, match=words):
            RPrecision(encoder).begin(loop, module)
    monkeypatch.setattr(RPrecision, "data", lambda self, trainer: ShapesWorld())
    evaluator = RPrecision(str(judge), wrong=3)
    evaluator.begin(loop, module)
    batch = batch_of(["red", "red", "blue"])
    evaluator.update(batch, module.generate({"text": torch.zeros(3, 1)}))
    with pytest.raises(UserError, match="needs 3 other test sentences and 'it is red' has 1; set its wrong"):
        evaluator.finish(loop, module)


def test_a_plain_trainer_summarises_it_by_its_example() -> None:
    data = ShapesWorld(size=16, text_words=8, train_length=4, batch_size=2)
    loop = pl.Trainer(
        accelerator="cpu", max_steps=1, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    loop.fit(CharCNNRNN(**SMALL, negatives="instance"), datamodule=data)
    assert loop.global_step == 1
