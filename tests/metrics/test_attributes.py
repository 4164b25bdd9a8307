"""Attributes read back from pictures: their order, their scores by a reader that never errs, the reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn

from zoo.data.captions import SceneCaptions, ShapesWorld
from zoo.data.drawn import FIRST
from zoo.data.worlds import shapes
from zoo.errors import UserError
from zoo.features.attributes import AttributeReader, train_reader
from zoo.metrics.attributes import COUNTS, ONE_WORD, SCORES, AttributeScore, border, changed, ordered
from zoo.metrics.evaluator import read, read_first
from zoo.models.gan_int_cls import GANIntCLS

NONE = shapes.NONE


def test_the_left_or_upper_object_is_read_first() -> None:
    #  background, shape, colour, size, relation, other shape, other colour, other size
    given = torch.tensor([
        [1, 2, 3, 0, 0, 4, 5, 1],  # to the left of
        [1, 2, 3, 0, 1, 4, 5, 1],  # to the right of
        [1, 2, 3, 0, 3, 4, 5, 1],  # below
        [1, 2, 3, 0, NONE, NONE, NONE, NONE],
    ])  # fmt: skip
    kept = given.clone()
    assert ordered(given).tolist() == [
        [1, 2, 3, 0, 0, 4, 5, 1],
        [1, 4, 5, 1, 0, 2, 3, 0],
        [1, 4, 5, 1, 2, 2, 3, 0],
        [1, 2, 3, 0, 4, 6, 8, 2],
    ]
    assert torch.equal(given, kept)
    assert set(shapes.ATTRIBUTES) == {part for parts in SCORES.values() for part in parts}


class Oracle(nn.Module):
    """Knows the drawn scenes; says class 0 of any other picture."""

    def __init__(self, scenes: dict[bytes, Tensor]) -> None:
        super().__init__()
        self.scenes, self.idle = scenes, nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        keys = [((image + 1) * 127.5).round().byte().numpy().tobytes() for image in images]
        return torch.stack([self.scenes.get(key, torch.zeros(8, dtype=torch.int64)) for key in keys])


class Painter(GANIntCLS):
    """Gives the drawn picture of a sentence, but of every fourth test sentence a black one."""

    def test_step(self, batch: Any, batch_idx: int) -> Tensor:
        images = batch["image"].clone()
        images[::4] = -1
        return images

    def generate(self, batch: Any) -> Tensor:
        return torch.full((len(batch["text"]), 3, 64, 64), -1.0)


def world(**options: Any) -> ShapesWorld:
    return ShapesWorld(text_words=8, train_length=4, eval_length=12, eval_batch_size=12, **options)


def rows_of(score: AttributeScore, data: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The rows of a test of the painter."""
    rows: list[Any] = []
    monkeypatch.setattr("zoo.metrics.evaluator.publish", lambda _, found, sentence: rows.extend(found))
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    model = Painter(text_dim=8, width=1, discriminator_width=1)
    pl.Trainer(accelerator="cpu", callbacks=[score], **quiet).test(model, datamodule=data, verbose=False)
    return rows


def test_scores_are_shares_of_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    data, scenes = world(), {}
    for samples in (data.split("test"), data.scenes(0, 6, unseen=True)):
        assert samples is not None
        for batch in read_first(samples, len(samples), 4):
            for image, attributes in zip(batch["image"], ordered(batch["attributes"]), strict=True):
                scenes[((image + 1) * 127.5).round().byte().numpy().tobytes()] = attributes
    numbers = [at for at in range(FIRST["test"], FIRST["test"] + 50) if len(shapes.plan(0, at).things) == 1][
        :5
    ]
    truth = dict[str, list[Tensor]]()
    for at in numbers:
        own = shapes.plan(0, at)
        for plan in (own, *(changed(own, attribute) for attribute in ONE_WORD)):
            image = shapes.paint(plan, data.size, shapes.Draws((0, at)))
            scenes[image.numpy().tobytes()] = ordered(plan.attributes()[None])[0]
        for attribute in ONE_WORD:
            truth.setdefault(attribute, []).append(changed(own, attribute).attributes())
    monkeypatch.setattr(AttributeScore, "_trained", lambda _: Oracle(scenes))
    rows = rows_of(AttributeScore(unseen=6, one_word=5), data, monkeypatch)
    found = {(row.metric, row.subject): row.value for row in rows}
    assert found.pop(("one-word-outside", "real")) == found.pop(("one-word-outside", "generated")) == 0
    assert all(value == 1 for (_, subject), value in found.items() if subject == "real")
    for place, attribute in enumerate(ONE_WORD):  # black pictures do not change; class 0 is right of some
        assert found.pop((f"one-word-{attribute}-kept", "generated")) == 1
        right = torch.stack(truth[attribute])[:, place] == 0
        assert found.pop((f"one-word-{attribute}", "generated")) == pytest.approx(float(right.float().mean()))
    assert found["all-right", "generated"] == 0.75  # 3 of 12 are black
    assert found["unseen-all-right", "generated"] == 0
    test = data.split("test")
    assert test is not None
    backgrounds = ordered(read(test, range(12))["attributes"])
    backgrounds = (backgrounds[::4, 0] == 0).sum() + 9  # class 0 is right of some black pictures
    assert found["background-right", "generated"] == pytest.approx(float(backgrounds) / 12)
    assert {row.protocol["pictures"] for row in rows} == {12, 6, 5}


def test_changed_words_make_no_unseen_pair_and_change_one_attribute() -> None:
    for at in range(200):
        plan = shapes.plan(0, at)
        if len(plan.things) == 2:
            continue
        for place, attribute in enumerate(ONE_WORD):
            other = changed(plan, attribute)
            assert other.things[0].pair not in shapes.UNSEEN
            difference = plan.attributes() != other.attributes()
            assert difference.nonzero().flatten().tolist() == [place]


def test_the_border_is_the_outer_eighth() -> None:
    image = torch.zeros(1, 1, 16, 16)
    image[..., 2:-2, 2:-2] = 1
    assert border(image).shape == (1, 1, 16 * 16 - 12 * 12) and not border(image).any()


def test_other_data_have_no_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    other = SceneCaptions(text_words=8, train_length=4, eval_length=2)
    with pytest.raises(UserError, match="AttributeScore needs drawn shapes"):
        rows_of(AttributeScore(), other, monkeypatch)
    assert AttributeScore.suited({}, other, {}, {"test": 2}) is None
    assert AttributeScore.suited({"unseen": 3}, world(), {}, {"test": 2}) == {"unseen": 3}


# ------------------------------------------------------------------------------------------------- the reader


def test_the_reader_is_trained_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    score = AttributeScore(unseen=0, one_word=0, steps=2, batch_size=2)
    rows = rows_of(score, world(), monkeypatch)
    (path,) = tmp_path.glob("reader-*.safetensors")
    at = path.stat().st_mtime_ns
    again = rows_of(AttributeScore(unseen=0, one_word=0, steps=2, batch_size=2), world(), monkeypatch)
    assert path.stat().st_mtime_ns == at and [row.value for row in again] == [row.value for row in rows]
    path.write_bytes(b"no")
    rows_of(AttributeScore(unseen=0, one_word=0, steps=2, batch_size=2), world(), monkeypatch)
    assert path.stat().st_size > 1000  # trained again


def test_the_reader_learns_a_colour() -> None:
    def batch(step: int) -> tuple[Tensor, Tensor]:
        classes = torch.randint(2, (16, 2), generator=torch.Generator().manual_seed(step))
        images = torch.zeros(16, 3, 16, 16) - 1
        images[:, 0, :8], images[:, 1, 8:] = (classes[..., None, None] * 2 - 1).float().unbind(1)
        return images, classes

    state = torch.get_rng_state()
    network = train_reader(batch, (2, 2), 16, 40, seed=0)
    assert torch.equal(state, torch.get_rng_state())
    images, classes = batch(999)
    assert isinstance(network, AttributeReader) and torch.equal(network(images), classes)
    assert AttributeReader(COUNTS, 16)(images).shape == (16, 8)
