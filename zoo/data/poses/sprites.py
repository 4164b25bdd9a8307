"""Sprites of Li and Mandt (ICML 2018): characters composed of the Liberated Pixel Cup's sheets of parts.

A sheet shows one part (a body, trousers, hair, …) in all frames of all actions, in cells of 64 pixels. The
same cell of five sheets, stacked, shows a character::

    root/body/0.png … 5.png        root/topwear/0.png … 5.png      root/shoes/1.png
    root/bottomwear/0.png … 5.png  root/hair/0.png … 5.png

6 bodies x 6 bottoms x 6 tops x 6 haircuts give 1,296 characters; each has 3 actions x 3 directions of 8
frames. Characters are composed on demand and never written to disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zoo.errors import UserError, first_few
from zoo.files.pictures import read_array

PARTS = (
    "body",
    "bottomwear",
    "topwear",
    "hair",
)  # from the skin outwards; on top come shoes, the same for all
CHOICES = 6
CHARACTERS = 1296
SHOES = "shoes/1.png"
SIDE = 64
FRAMES = 8
SHEET = (21 * SIDE, 13 * SIDE)  # height and width
ROWS = {"spellcard": 0, "walk": 8, "slash": 12}  # first row of an action, which has four directions
DIRECTIONS = {"left": 1, "front": 2, "right": 3}  # row after the first; the set leaves out row 0, the back
COLUMNS = {  # of the frames of an action
    "walk": (1, 2, 3, 4, 5, 6, 7, 8),
    "spellcard": (0, 1, 2, 3, 4, 5, 4, 6),
    "slash": (0, 1, 2, 3, 4, 5, 4, 0),
}
ACTIONS = tuple(f"{action}_{direction}" for action in COLUMNS for direction in DIRECTIONS)
EXPECTED = f"expected sheets 0.png to {CHOICES - 1}.png in {', '.join(PARTS)}, and shoes/1.png"

Array = np.ndarray[Any, np.dtype[np.uint8]]


class SpriteSheets:
    """The sheets of a folder, each read on first use.

    Args:
        root: Folder of the sheets.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._strips: dict[str, dict[str, list[Image.Image]]] = {}  # 25 sheets, 1.2 MB each

    def __len__(self) -> int:
        return CHARACTERS

    def files(self) -> list[Path]:
        """All sheets of the set."""
        names = [f"{part}/{k}.png" for part in PARTS for k in range(CHOICES)]
        return [self.root / name for name in (*names, SHOES)]

    def require(self) -> None:
        """Check that no sheet is missing.

        Raises:
            UserError: Sheets are missing; the message names the first five.
        """
        lacking = [path for path in self.files() if not path.is_file()]
        if lacking:
            some = first_few([path.relative_to(self.root).as_posix() for path in lacking], 5)
            raise UserError(f"The folder {self.root} lacks {some}; {EXPECTED}, or change data.root.")

    def character(self, index: int) -> Character:
        """Character ``index``, 0 to 1,295; its digits in base 6 are its body, bottom, top and hair."""
        if not 0 <= index < CHARACTERS:
            raise IndexError(f"there are {CHARACTERS} characters, got index {index}")
        kinds = tuple(index // CHOICES**place % CHOICES for place in reversed(range(len(PARTS))))
        return Character(self, kinds)

    def strips(self, file: str) -> dict[str, list[Image.Image]]:
        """The frames of every action on a sheet, (64, 64) RGBA; the sheet is read once."""
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
    """One character.

    Args:
        sheets: Sheets of the parts.
        kinds: Numbers of body, bottom, top and hair, each 0 to 5.
    """

    sheets: SpriteSheets
    kinds: tuple[int, ...]

    def frame(self, action: str, time: int) -> Array:
        """One frame, (4, 64, 64) uint8 RGBA; ``action`` is one of ``ACTIONS``, ``time`` 0 to 7."""
        names = [f"{part}/{kind}.png" for part, kind in zip(PARTS, self.kinds, strict=True)]
        whole, *others = (self.sheets.strips(name)[action][time] for name in (*names, SHOES))
        for layer in others:
            whole = Image.alpha_composite(whole, layer)
        return np.ascontiguousarray(np.asarray(whole).transpose(2, 0, 1))

    def frames(self, action: str) -> Array:
        """All frames of an action, (8, 4, 64, 64) uint8 RGBA."""
        return np.stack([self.frame(action, time) for time in range(FRAMES)])


def on_black(frames: Array) -> Array:
    """Composite frames (…, 4, H, W) over black, as the set is published: (…, 3, H, W)."""
    alpha = frames[..., 3:, :, :].astype(np.uint16)
    return ((frames[..., :3, :, :] * alpha + 127) // 255).astype(np.uint8)


def read_sheet(path: Path) -> Array:
    """Read a sheet, (H, W, 4) uint8.

    Raises:
        UserError: The file is missing, damaged, or not of a sheet's size.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; {EXPECTED}.")
    sheet: Array = read_array(path)
    if sheet.shape != (*SHEET, 4) or sheet.dtype != np.uint8:
        height, width, channels = sheet.shape
        raise UserError(
            f"{path} has {width} x {height} pixels and {channels} channels instead of the "
            f"{SHEET[1]} x {SHEET[0]} and 4 of a sheet; replace it."
        )
    return sheet
