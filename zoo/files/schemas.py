"""What each file that describes weights or results must hold: keys, types, bounds. Imports nothing heavy.

A schema is a :class:`Kind`, ``[schema]`` for a list of any length, or a dict of keys, of which those ending
in ``?`` may be absent; keys that it does not name are allowed. The first value that does not fit is refused
in a sentence that names file, key and what is expected.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import UserError, reason_of
from zoo.files.reading import opened

MOST_BYTES = 2**23  # of a JSON file; the largest of ours has some 100 kB
MOST_VALUES, MOST_LEVELS = 10**6, 32  # of free content
_DTYPES = ("bool", "uint8", "uint16", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
LARGEST = 10**15  # whole numbers beyond it are counts of nothing


@dataclass(frozen=True)
class Kind:
    """A kind of value.

    Args:
        expected: What it must be, in words.
        accepts: Whether a value is one.
    """

    expected: str
    accepts: Callable[[Any], bool]


def is_text(value: Any) -> bool:
    """Whether a value is text of whole characters."""
    return isinstance(value, str) and not re.search("[\ud800-\udfff]", value)  # halves of characters


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e308


def _is_score(value: Any) -> bool:
    no_number = value in ("inf", "-inf", "nan") or (isinstance(value, float) and not math.isfinite(value))
    return is_number(value) or no_number


def is_plain(value: Any) -> bool:
    """Whether a value is text, numbers, true, false, null, and lists and dicts of them, and not too many."""
    level, seen = [value], 0
    for _ in range(MOST_LEVELS):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += [*item.keys(), *item.values()]
            elif isinstance(item, list | tuple):
                below += item
            elif not (item is None or isinstance(item, int | float) or is_text(item)):
                return False
            if len(below) > MOST_VALUES:
                return False
        seen += len(level)
        level = below
        if not level:
            return seen <= MOST_VALUES
    return False


def whole(least: int = 0) -> Kind:
    """A whole number of at least ``least``."""

    def accepts(value: Any) -> bool:
        return type(value) is int and least <= value <= LARGEST

    return Kind(f"a whole number, {least} or more", accepts)


@dataclass(frozen=True)
class Optional:
    """What may also be null."""

    schema: Any


Schema = Kind | Optional | Mapping[str, Any] | list[Any]  # of schemas

TEXT = Kind("text", is_text)
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
NUMBER = Kind("a finite number", is_number)
SCORE = Kind("a number", _is_score)  # a score of identical images may be infinite
PLAIN = Kind(f"whole characters and plain values, at most {MOST_LEVELS} levels deep", is_plain)
KEYS = Kind(
    "a mapping of names to plain values",
    lambda value: isinstance(value, dict) and all(map(is_text, value)) and is_plain(value),
)
RECIPE = Kind("text of at most 1 MB", lambda value: is_text(value) and len(value) <= 10**6)
DIGEST = Kind(
    "64 hexadecimal digits", lambda value: is_text(value) and re.fullmatch("[0-9a-f]{64}", value) is not None
)

# addresses of weights; without a revision the branch main is meant, without an alias latest
HUB = re.compile(r"hf://([a-z0-9][\w.-]*/[a-z0-9][\w.-]*)(?:@(\w[\w./-]*))?", re.ASCII | re.IGNORECASE)
WANDB = re.compile(r"wandb://(\w[\w.-]*/\w[\w.-]*/\w[\w.-]*)(?::(\w[\w.-]*))?", re.ASCII)
ADDRESSES = "hf://owner/name[@revision] or wandb://entity/project/artifact:alias"


def is_address(text: str) -> bool:
    """Whether text is an address of weights on Hugging Face or Weights & Biases."""
    return HUB.fullmatch(text) is not None or WANDB.fullmatch(text) is not None


SOURCE = Kind(
    f"https://host/folder, {ADDRESSES}",
    lambda value: is_text(value) and (value.startswith("https://") or is_address(value)),
)
FILE = Kind("a file name", lambda value: is_text(value) and re.fullmatch(r"\w[\w.-]*", value) is not None)

ROWS: Schema = [  # eval.json
    {
        "step": whole(),
        "metric": TEXT,
        "value": SCORE,
        "subject": TEXT,
        "protocol": {"made?": {"count": whole()}, "real?": {"count": whole()}},
        "error?": Optional(SCORE),
        "paper?": Optional(TEXT),
        "differs?": Optional(TEXT),
    }
]
SEEDS: Schema = [{"seed": whole(), "run": TEXT, "rows": ROWS}]  # seeds.json of a group of runs
COLOUR = Kind(
    "three levels, 0 to 255",
    lambda value: (
        isinstance(value, list | tuple)
        and len(value) == 3
        and all(type(level) is int and 0 <= level <= 255 for level in value)
    ),
)
DATA: Schema = {
    "research_only?": FLAG,
    "licence?": Optional(TEXT),
    "name?": Optional(TEXT),
    "preprocessing?": Optional(
        {"classes?": Optional([TEXT]), "colours?": Optional([COLOUR]), "void?": Optional(whole())}
    ),
}
BEGINNING: Schema = {  # the weights of another training that one began with
    "name": TEXT,
    "step": Optional(whole()),
    "sha256": Optional(DIGEST),
    "players": [TEXT],
    "research_only": FLAG,
    "licence": Optional(TEXT),
}
MODEL_FORMAT = 1
MODEL: dict[str, Any] = {  # model.json
    "class": TEXT,
    "hyper_parameters": KEYS,
    "players": [TEXT],
    "data": DATA,
    "weights": {"bytes": whole(), "sha256": DIGEST},
    "name?": TEXT,
    "title?": TEXT,
    "takes?": TEXT,
    "gives?": TEXT,
    "example?": {"file": FILE, "licence": TEXT, "sha256": DIGEST},
    "dtype?": Kind("float32 or float16", lambda value: value in ("float32", "float16")),
    "research_only?": FLAG,
    "licence?": {"code?": TEXT, "weights?": TEXT, "data?": Optional(TEXT)},
    "step?": Optional(whole()),
    "seed?": Optional(whole()),
    "recipe?": Optional(RECIPE),
    "command?": Optional(TEXT),
    "commit?": Optional(TEXT),
    "environment?": KEYS,
    "source?": KEYS,
    "init_from?": Optional(BEGINNING),
    "sources?": [SOURCE],
    "results?": ROWS,
    "golden?": Optional({"shape": [whole()], "mean": NUMBER, "std": NUMBER, "values": [NUMBER]}),
}
SIDE = Kind(
    "a number, n, or a side of the input",
    lambda value: (
        _is_count(value) or re.fullmatch(r"n|(height|width)(/[1-9]\d{0,5})?", str(value)) is not None
    ),
)
ONNX: Schema = MODEL | {  # in the metadata of an ONNX file
    "onnx": {
        "inputs": Kind(
            "a mapping of names to types and shapes",
            lambda value: isinstance(value, dict) and set(value) <= {"picture", "labels", "instances"},
        ),
        "draws": [
            {
                "name": TEXT,
                "kind": Kind("uniform, normal or dropout", lambda v: v in ("uniform", "normal", "dropout")),
                "shape": [SIDE],
                "p": NUMBER,
            }
        ],
        "multiple": whole(1),
        "least": whole(1),
        "reach": Optional(whole()),
        "scale": whole(1),
        "levels": whole(),
    }
}
INDEX: Schema = {  # checkpoints/index.json
    "entries": [
        {
            "name": TEXT,
            "title": TEXT,
            "folder": TEXT,
            "files": [{"path": FILE, "bytes": whole(), "sha256": DIGEST}],
            "sources?": [SOURCE],
            "paper?": TEXT,
            "task?": TEXT,
            "input?": TEXT,
            "result?": TEXT,
            "recipe?": Optional(RECIPE),
            "licence?": TEXT,
            "research_only?": FLAG,
        }
    ]
}
FOREIGN: Schema = {  # an entry of references/<paper>.yaml: weights of others
    "title": TEXT,
    "url": Kind("a URL", lambda value: is_text(value) and re.match("https?://", value) is not None),
    "file": FILE,
    "page": TEXT,
    "licence": TEXT,
    "bytes?": whole(1),
    "sha256?": DIGEST,
}
RECORD: Schema = {  # the entry `zoo` of a training checkpoint
    "class": TEXT,
    "data?": DATA,
    "environment?": KEYS,
    "recipe?": Optional(RECIPE),
    "command?": Optional(TEXT),
    "seed?": Optional(whole()),
    "init_from?": Optional(BEGINNING),
    "earlier?": [
        {
            "until_step": whole(),
            "command": Optional(TEXT),
            "seed": Optional(whole()),
            "commit": Optional(TEXT),
        }
    ],
}
CHECKPOINT: Schema = {  # beside its tensors and its record
    "epoch?": whole(),
    "global_step?": whole(),
    "pytorch-lightning_version?": TEXT,
    "hyper_parameters?": KEYS,
    "position?": {"epoch": whole(), "batches": whole(), "total": whole(), "stopped?": FLAG},
    "loops?": KEYS,
    "callbacks?": {},
    "optimizer_states?": [{"state": {}, "param_groups": [{"params": [whole()]}]}],
    "lr_schedulers?": [{}],
}


ID = Kind("a whole number or text", lambda value: type(value) is int or is_text(value))
NUMBERS = Kind("a list of numbers", lambda value: isinstance(value, list) and all(map(_is_score, value)))
LIMB = Kind(
    "two numbers of points",
    lambda value: isinstance(value, list) and len(value) == 2 and all(type(k) is int for k in value),
)
NAMES = Kind(
    "a mapping of names to names",
    lambda value: isinstance(value, dict) and all(map(is_text, (*value, *value.values()))),
)
IMAGES: Schema = [{"id": ID, "file_name": TEXT}]
COCO_CAPTIONS: Schema = {"images": IMAGES, "annotations": [{"image_id": ID, "caption": TEXT}]}
COCO_KEYPOINTS: Schema = {
    "images": [{"id": ID, "file_name": TEXT, "width?": whole(1), "height?": whole(1)}],
    "annotations": [
        {
            "image_id": ID,
            "keypoints?": Optional(NUMBERS),
            "num_keypoints?": whole(),
            "category_id?": ID,
            "identity?": Optional(ID),
        }
    ],
    "categories?": [{"id?": ID, "name?": TEXT, "keypoints?": [TEXT], "skeleton?": [LIMB]}],
}
PACK: Schema = {  # index.json of a pack
    "key": TEXT,
    "count": whole(1),
    "fields": Kind("a mapping", lambda value: isinstance(value, dict)),
    "bytes": Kind(
        "sizes by name", lambda value: isinstance(value, dict) and all(map(_is_count, value.values()))
    ),
}
FIELD: Schema = {  # of a pack
    "kinds": [Kind("a type of values", lambda value: value in ("text", *_DTYPES))],
    "shape": Optional([whole()]),
}


def require(value: Any, schema: Schema, origin: str | Path, key: str = "") -> None:
    """Refuse a value that does not fit a schema.

    Args:
        value: The value.
        schema: What it must be.
        origin: File that it was read from.
        key: Where in the file it stands; empty for all of it.

    Raises:
        UserError: It does not fit; names file, key and what is expected.
    """
    inner: list[tuple[str, Any, Schema]] = []
    if isinstance(schema, Optional):
        if value is not None:
            require(value, schema.schema, origin, key)
        return
    if isinstance(schema, Kind):
        expected, fits = schema.expected, schema.accepts(value)
    elif isinstance(schema, list):
        expected, fits = "a list", isinstance(value, list | tuple)
        inner = [(f"{key}[{i}]", item, schema[0]) for i, item in enumerate(value)] if fits else []
    else:
        expected, fits = "a mapping", isinstance(value, dict)
        if fits:
            bare = {name.removesuffix("?"): kind for name, kind in schema.items()}
            if lacking := [name for name in bare if name not in value and name in schema]:
                within = f" in {key}" if key else ""
                raise UserError(f"{origin} lacks {', '.join(lacking)}{within}; get it again.")
            inner = [(f"{key}.{n}".lstrip("."), value[n], kind) for n, kind in bare.items() if n in value]
    if not fits:
        raise UserError(f"{origin}: {key or 'its content'} must be {expected}, not {shown(value)}.")
    for name, item, kind in inner:
        require(item, kind, origin, name)


def require_format(content: Any, known: int, origin: str | Path) -> None:
    """Refuse content of no format, or of one newer than is known; all older ones are read.

    Raises:
        UserError: Says so.
    """
    if not isinstance(content, dict) or "format" not in content:
        raise UserError(f"{origin} states no format: it was not written by the zoo.")
    require(content["format"], whole(1), origin, "format")
    if content["format"] > known:
        raise UserError(
            f"{origin} has format {content['format']}, newer than this zoo reads ({known}); upgrade "
            "gan-application-zoo."
        )


def read_json(path: Path, schema: Schema, known: int | None = None) -> Any:
    """The content of a JSON file that fits ``schema``; ``known`` is the newest format, if it states one.

    Raises:
        UserError: It is missing, no plain file, damaged, too large, or does not fit.
    """
    with opened(path) as file:
        raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise UserError(f"{path} has more than {MOST_BYTES // 2**20} MB, too much for what it describes.")
    try:
        content = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged or no JSON; get it again.") from error
    if known is not None:
        require_format(content, known, path)
    require(content, PLAIN, path)
    require(content, schema, path)
    return content


def parse(text: str | bytes, schema: Schema, origin: str | Path) -> Any:
    """The content of JSON text that fits ``schema``.

    Raises:
        UserError: It is no JSON, or does not fit.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{origin} is no JSON ({reason_of(error)}); correct it.") from error
    require(content, schema, origin)
    return content


def shown(value: Any) -> str:
    """A value in a message: short, on one line, whatever it is."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    try:
        text = reprlib.repr(value)
    except ValueError:  # a number of more than 4,300 digits
        text = "a very large number"
    return text if len(text) <= 60 else f"{text[:57]}…"
