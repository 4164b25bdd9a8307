"""Figures of the Liberated Pixel Cup from sheets of parts, as in Li and Mandt's Sprites (ICML 2018).

A sheet shows one part (a body, trousers, hair, …) in all frames of all actions, in cells of 64 pixels; laid
over each other, the same cell of five sheets shows a whole figure::

    root/body/0.png … 5.png        root/topwear/0.png … 5.png      root/shoes/1.png
    root/bottomwear/0.png … 5.png  root/hair/0.png … 5.png

6 bodies x 6 bottoms x 6 tops x 6 cuts of hair are 1,296 characters; each has 3 actions x 3 directions of 8
frames. Nothing is written to disk: a character is put together when it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zoo.data.checks import Facts, Findings, examine, picture_facts
from zoo.errors import UserError, first_few
from zoo.files.pictures import read_array

PARTS = ("body", "bottomwear", "topwear", "hair")  # from the skin outwards; the same shoes lie over all
CHOICES = 6
CHARACTERS = 1296
SHOES = "shoes/1.png"
SIDE = 64
FRAMES = 8
SHEET = (21 * SIDE, 13 * SIDE)  # height and width
ROWS = {"spellcard": 0, "walk": 8, "slash": 12}  # of an action's first direction; four follow each other
DIRECTIONS = {"left": 1, "front": 2, "right": 3}  # after the back, which the set leaves out
COLUMNS = {  # of an action's frames
    "walk": (1, 2, 3, 4, 5, 6, 7, 8),
    "spellcard": (0, 1, 2, 3, 4, 5, 4, 6),
    "slash": (0, 1, 2, 3, 4, 5, 4, 0),
}
ACTIONS = tuple(f"{action}_{direction}" for action in COLUMNS for direction in DIRECTIONS)
EXPECTED = f"expected sheets 0.png to {CHOICES - 1}.png in {', '.join(PARTS)}, and shoes/1.png"

Array = np.ndarray[Any, np.dtype[np.uint8]]


class SpriteSheets:
    """The sheets of a folder, read when they are first needed.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._strips: dict[str, dict[str, list[Image.Image]]] = {}  # 25 sheets, 1.2 MB each

    def __len__(self) -> int:
        return CHARACTERS

    def files(self) -> list[Path]:
        """All sheets that characters are made from."""
        names = [f"{part}/{k}.png" for part in PARTS for k in range(CHOICES)]
        return [self.root / name for name in (*names, SHOES)]

    def require(self) -> None:
        """Refuse a folder that lacks a sheet.

        Raises:
            UserError: Names the first ones that are missing.
        """
        lacking = [path for path in self.files() if not path.is_file()]
        if lacking:
            some = first_few([path.relative_to(self.root).as_posix() for path in lacking], 5)
            raise UserError(f"The folder {self.root} lacks {some}; {EXPECTED}, or change data.root.")

    def character(self, index: int) -> Character:
        """Character ``index`` of 0 to 1,295; its number in base six names its body, bottom, top and hair."""
        if not 0 <= index < CHARACTERS:
            raise IndexError(f"there are {CHARACTERS} characters, got index {index}")
        kinds = tuple(index // CHOICES**place % CHOICES for place in reversed(range(len(PARTS))))
        return Character(self, kinds)

    def strips(self, file: str) -> dict[str, list[Image.Image]]:
        """Every action's frames on one sheet, which is read once."""
        if file in self._strips:
            return self._strips[file]
        sheet = read_sheet(self.root / file)
        strips: dict[str, list[Image.Image]] = {}
        for action in ACTIONS:
            name, direction = action.split("_")
            top = SIDE * (ROWS[name] + DIRECTIONS[direction])
            cells = [sheet[top : top + SIDE, SIDE * k : SIDE * (k + 1)] for k in COLUMNS[name]]
            strips[action] = [Image.fromarray(np.ascontiguousarray(cell)) for cell in cells]
        self._strips[file] = strips
        return strips


@dataclass(frozen=True)
class Character:
    """One figure.

    Args:
        sheets: Its parts.
        kinds: Which body, bottom, top and hair, each 0 to 5.
    """

    sheets: SpriteSheets
    kinds: tuple[int, ...]

    def frame(self, action: str, time: int) -> Array:
        """One frame (4, 64, 64) of uint8: RGB and alpha; ``action`` is one of ``ACTIONS``."""
        names = [f"{part}/{kind}.png" for part, kind in zip(PARTS, self.kinds, strict=True)]
        whole, *others = (self.sheets.strips(name)[action][time] for name in (*names, SHOES))
        for layer in others:
            whole = Image.alpha_composite(whole, layer)
        return np.ascontiguousarray(np.asarray(whole).transpose(2, 0, 1))

    def frames(self, action: str) -> Array:
        """All frames of an action, (8, 4, 64, 64) of uint8."""
        return np.stack([self.frame(action, time) for time in range(FRAMES)])


def on_black(frames: Array) -> Array:
    """Frames (…, 4, H, W) laid over black, as the set is published: (…, 3, H, W)."""
    alpha = frames[..., 3:, :, :].astype(np.uint16)
    return ((frames[..., :3, :, :] * alpha + 127) // 255).astype(np.uint8)


def read_sheet(path: Path) -> Array:
    """A sheet (H, W, 4) of uint8.

    Raises:
        UserError: The file is missing, damaged, or no sheet.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; {EXPECTED}.")
    sheet: Array = read_array(path)
    if sheet.shape != (*SHEET, 4) or sheet.dtype != np.uint8:
        height, width, channels = sheet.shape
        raise UserError(
            f"{path} is {width} x {height} pixels with {channels} channels where a sheet has "
            f"{SHEET[1]} x {SHEET[0]} with 4; replace it."
        )
    return sheet


def looks_like_sheets(root: Path) -> bool:
    """Whether a folder has a folder for each part, with a sheet of it."""
    return all(any((root / part).glob("[0-5].png")) for part in PARTS)


def check_sheets(root: Path) -> Findings:
    """Look at every sheet of a folder."""
    found = Findings("poses", "sheets of parts of the Liberated Pixel Cup's figures")
    examine(found, "train", SpriteSheets(root).files(), _facts, lambda path: [path])
    return found


def _facts(path: Path) -> list[Facts]:
    return [picture_facts(path, "sheet", read_sheet(path))]
