"""What is read from source text is what Python says once the classes are imported."""

from __future__ import annotations

import pkgutil
from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

import zoo.callbacks
import zoo.metrics
from zoo import catalogue
from zoo.errors import UserError
from zoo.recipes import public_path

CLASSES = [*catalogue.classes("models"), *catalogue.classes("data")]
CALLBACKS = [
    f"{package.__name__}.{info.name}.{name}"
    for package in (zoo.callbacks, zoo.metrics)
    for info in pkgutil.iter_modules(package.__path__)
    if (source := catalogue.find_source(f"{package.__name__}.{info.name}"))
    for name in source.classes
    if name[0] != "_"
]


@pytest.mark.parametrize("path", [*CLASSES, *CALLBACKS, "lightning.pytorch.callbacks.ModelCheckpoint"])
def test_every_argument_that_the_full_parser_takes_is_known(path: str) -> None:
    known = catalogue.parameters(path)
    if path in CLASSES:
        assert known is not None, "a misspelt argument would wait for torch"
    added = ArgumentParser().add_class_arguments(catalogue.import_class(path), fail_untyped=False)
    assert known is None or set(added) <= set(known)


@pytest.mark.parametrize("path", CLASSES)
def test_the_path_of_a_class_is_its_public_one(path: str) -> None:
    assert public_path(catalogue.import_class(path)) == path


def test_no_class_path_that_imports_is_refused() -> None:
    for path in (*CLASSES, *CALLBACKS, "zoo.data.caption_sets.CUB", "torch.nn.Linear", "pathlib.Path"):
        catalogue.require_class(path)
    for path, words in (
        ("zoo.data.pairs.PairFoldr", "PairFolder"),
        ("nowhere.X", "no module"),
        ("X", "full"),
        ("Pix2Pux", "zoo.models.pix2pix.Pix2Pix"),
    ):
        with pytest.raises(UserError, match=words):
            catalogue.require_class(path)


def test_what_a_source_does_not_say_is_left_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "strange.py").write_text(
        "from dataclasses import dataclass\nfrom typing import TypedDict, Unpack\nimport missing\n\n"
        "class Options(TypedDict, total=False):\n    b: int\n\n"
        "class Base:\n    def __init__(self, a, **options: Unpack[Options]): ...\n\n"
        "class Child(Base):\n    def __init__(self, c, **rest): ...\n\n"
        "class Plain(Child):\n    pass\n\n"
        "class Any:\n    def __init__(self, **anything): ...\n\n"
        "class Far(missing.Base):\n    pass\n\n"
        "@dataclass\nclass Record:\n    x: int\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert catalogue.parameters("strange.Base") == {"a": "", "b": "int"}
    assert (
        catalogue.parameters("strange.Child")
        == catalogue.parameters("strange.Plain")
        == {"a": "", "b": "int", "c": ""}
    )
    for name in ("Any", "Far", "Record", "Nothing"):
        assert catalogue.parameters(f"strange.{name}") is None


def test_every_option_of_the_base_is_explained() -> None:
    from zoo.adversarial import GameOptions

    texts = catalogue.option_texts("zoo.models.gan.GAN")
    assert texts.keys() == GameOptions.__annotations__.keys() and all(texts.values())
    assert "Mo 2020" in texts["freeze_discriminator"]
