"""Tiny versions of all recipes, found by glob: each takes seconds, needs no files, and keeps what it tests.

The overlay of a recipe is ``recipes/overlays/tiny/<paper>/<recipe>.yaml`` if there is one, else
``recipes/overlays/tiny/<paper>.yaml``; see ``recipes/overlays/tiny/README.md``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from zoo import recipes
from zoo.adversarial import AdversarialModule
from zoo.catalogue import classes, import_class
from zoo.training import build

FOLDER = recipes.bundled("recipes") / "overlays" / "tiny"
RECIPES: dict[str, Path] = {recipe.name: recipe.path for recipe in recipes.all_recipes()}


def overlay(recipe: str) -> Path:
    """The tiny overlay of a recipe (``pix2pix/scenes``)."""
    own, paper = FOLDER / f"{recipe}.yaml", FOLDER / f"{recipe.partition('/')[0]}.yaml"
    return own if own.is_file() else paper


def tiny(recipe: str, *more: str) -> Any:
    """A recipe under its tiny overlay, built but not run."""
    return _tiny("--config", recipe, "--config", "overlays/tiny", "--config", str(overlay(recipe)), *more)


def games() -> dict[str, Path]:
    """For each class of model, by name, an overlay that is a whole recipe: it states a model and data.

    A recipe's own overlay goes before the paper's.
    """
    found: dict[str, Path] = {}
    for path in (*sorted(FOLDER.glob("*/*.yaml")), *sorted(FOLDER.glob("*.yaml"))):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if "class_path" in content["model"] and "class_path" in content.get("data", {}):
            found.setdefault(content["model"]["class_path"].rpartition(".")[2], path)
    return found


def adversarial() -> list[str]:
    """The names of those that have two players."""
    paths = {path.rpartition(".")[2]: path for path in classes("models")}
    return [name for name in games() if issubclass(import_class(paths[name]), AdversarialModule)]


def game(name: str, *more: str) -> Any:
    """The tiny game of a class, built from its overlay alone, thus with the paper's other settings."""
    return _tiny("--config", str(games()[name]), "--config", "overlays/tiny", *more)


def _tiny(*arguments: str) -> Any:
    return build([*arguments, "--wandb", "off"])
