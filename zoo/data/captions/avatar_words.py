"""Captions of drawn heads, from the parameters with which avataaars and facesjs drew them.

The words are in ``avatar_words.yaml``. Captions mention only what is visible: no hair under a hat, no eyes
behind dark glasses, no mouth behind a mask.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

Row = dict[str, Any]  # parameters of one head


@cache
def _words() -> dict[str, dict[str, Any]]:
    return dict(yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")))


def avataaar(row: Row) -> list[str]:
    """Describe a head of avataaars.

    Returns:
        Three captions: all of it, hair and clothes, the face; none if a parameter is unknown.
    """
    words = _words()["avataaars"]
    hair_colour, colour = words["hair_colour"], words["colour"]
    try:
        top, glasses = row["top"], row.get("accessories")
        if top in words["hat"]:
            hair = words["hat"][top].format(colour[row["hatColor"]])
        else:
            hair = words["hair"][top].format(hair_colour[row["hairColor"]])
        clothes = words["clothes"][row["clothing"]].format(colour[row["clothesColor"]])
        face = [] if glasses in words["dark_glasses"] else [words["eyes"][row["eyes"]]]
        face.append(words["mouth"][row["mouth"]])
        if row.get("facialHair"):
            face.append(words["beard"][row["facialHair"]].format(hair_colour[row["facialHairColor"]]))
        if glasses:
            face.append(words["glasses"][glasses])
        skin = words["skin"][row["skinColor"]]
    except KeyError:
        return []
    return _three(f"{skin} face", hair, clothes, face)


def face(row: Row) -> list[str]:
    """Describe a head of facesjs.

    Returns:
        Three captions: all of it, hair and clothes, the face; none if a parameter is unknown.
    """
    words = _words()["facesjs"]
    headgear = words["headgear"]
    try:
        shade = words["hair_colour"][row["hair"]["color"]]
        hair = f"{'long ' if row['hairBg']['id'] != 'none' else ''}{shade} hair"
        hair = _first(words["hair"], row["hair"]["id"], hair).format(shade)
        gear, glasses, jersey = row["accessories"]["id"], row["glasses"]["id"], row["jersey"]["id"]
        hair = headgear.get(gear, "") if "hat" in gear else hair
        hair += f" and {headgear[gear]}" if gear.startswith("headband") else ""
        shirt = f"{_first(words['sport'], jersey, 'sports')} shirt"
        if jersey in words["shirt"]:
            shirt = f"{colour_name(row['teamColors'][words['shirt'][jersey]])} {shirt}"
        parts = []
        if glasses == "facemask":
            parts.append("a face mask")
        else:
            parts.append(_first(words["mouth"], row["mouth"]["id"], "parted lips"))
            if row["facialHair"]["id"] != "none":
                parts.append(_first(words["beard"], row["facialHair"]["id"], "whiskers"))
            if glasses != "none":
                parts.append("glasses")
        skin = words["skin"][row["body"]["color"]]
    except (KeyError, TypeError, IndexError, ValueError):
        return []
    return _three(f"{skin} face", hair, f"a {shirt}", parts)


def colour_name(colour: str) -> str:
    """Name of the reference colour that is nearest to ``#rrggbb``."""
    values = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    named: dict[str, list[int]] = _words()["facesjs"]["named"]
    return min(named, key=lambda name: sum((a - b) ** 2 for a, b in zip(values, named[name], strict=True)))


def _first(table: dict[str, str], name: str, otherwise: str) -> str:
    """The words of the first key with which a name starts."""
    return next((words for start, words in table.items() if name.startswith(start)), otherwise)


def _three(head: str, hair: str, clothes: str, face: list[str]) -> list[str]:
    shown = face[0] if len(face) == 1 else f"{', '.join(face[:-1])} and {face[-1]}"
    start = "An" if head[0] in "aeiou" else "A"
    return [
        f"{start} {head} with {hair}, {shown}, in {clothes}.",
        f"Somebody with {hair} in {clothes}.",
        f"{start} {head} with {shown}.",
    ]
