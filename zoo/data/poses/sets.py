"""The Liberated Pixel Cup's sprites as pairs of poses."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Unpack

import numpy as np
import torch

from zoo.data.base import DataModule, LoaderOptions, Sample, SampleSet, Split
from zoo.data.checks import Facts, Findings, examine, picture_facts
from zoo.data.folders import SPLITS, find_root, folder_fingerprint
from zoo.data.poses.sprites import (
    ACTIONS,
    CHARACTERS,
    FRAMES,
    PARTS,
    SIDE,
    SpriteSheets,
    on_black,
    read_sheet,
)
from zoo.recipes import public_path
from zoo.seeds import mix


class Sprites(DataModule):
    """Characters of the Liberated Pixel Cup in another frame of another action, composed on demand.

    There are no keypoints: ``pose`` is one-hot, 1 in the whole map of the target's action (the first 9) and
    in that of its frame (the last 8), and -1 elsewhere; ``mask`` is the target's figure itself. Of 1,296
    characters, 1,000 are for training as published, half of the others for validation and half for test.

    Args:
        root: The folder of sheets; :mod:`zoo.data.poses.sprites` shows its layout.
        options: Options of every data module; ``cache`` is off by default, since sheets stay in memory.
    """

    contract: ClassVar[str] = "poses"
    cache_by_default = False
    name = "sprites"
    research_only = False
    licence = "CC BY-SA 3.0 or GPL 3.0; credit the Liberated Pixel Cup's artists"

    def __init__(self, root: str, **options: Unpack[LoaderOptions]) -> None:
        super().__init__(**options)
        self.sheets = SpriteSheets(find_root(root))

    def dataset(self, split: Split) -> SpritePairs:
        """All frames of the split's characters.

        Raises:
            UserError: A sheet is missing.
        """
        self.sheets.require()
        order = np.random.default_rng(mix("sprites")).permutation(CHARACTERS).tolist()
        held = (CHARACTERS - 1000) // 2
        begin, end = {"test": (0, held), "val": (held, 2 * held), "train": (2 * held, None)}[split]
        return SpritePairs(self.sheets, order[begin:end])

    def preprocessing(self) -> dict[str, Any]:
        """Size, actions and background."""
        return {"size": [SIDE, SIDE], "actions": list(ACTIONS), "frames": FRAMES, "ground": "black"}

    def fingerprint(self) -> str:
        """SHA-256 over names and sizes of the sheets.

        Raises:
            UserError: A sheet is missing.
        """
        self.sheets.require()
        return folder_fingerprint(self.sheets.files(), self.sheets.root)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether there is a folder of sheets for each part."""
        return all(any((root / part).glob("[0-5].png")) for part in PARTS)

    @classmethod
    def check(cls, root: Path) -> Findings:
        """Check every sheet."""
        layout = "sheets of parts of the Liberated Pixel Cup's figures"
        found, data = Findings("poses", layout, public_path(cls)), cls(str(root))
        examine(found, "train", data.sheets.files(), _facts, lambda path: [path])
        if not found.errors:
            found.samples = {split: len(data.dataset(split)) for split in SPLITS}
        return found


def _facts(path: Path) -> list[Facts]:
    return [picture_facts(path, "sheet", read_sheet(path))]


class SpritePairs(SampleSet):
    """Each frame of each character once as input, with a fixed target.

    Args:
        sheets: The sheets of parts.
        characters: Numbers of the characters.
    """

    def __init__(self, sheets: SpriteSheets, characters: list[int]) -> None:
        self.sheets, self.characters = sheets, characters
        self.poses = [(action, frame) for action in ACTIONS for frame in range(FRAMES)]

    def __len__(self) -> int:
        return len(self.characters) * len(self.poses)

    def files(self) -> list[Path]:
        """The sheets."""
        return self.sheets.files()

    def load(self, index: int) -> Sample:
        """Two frames of a character, the second one's action and frame, and its figure."""
        person, one = divmod(index, len(self.poses))
        step = 1 + mix("sprite", self.characters[person], one) % (len(self.poses) - 1)
        other = (one + step) % len(self.poses)
        character = self.sheets.character(self.characters[person])
        first, second = (character.frame(*self.poses[k]) for k in (one, other))
        return {
            "input": torch.from_numpy(on_black(first)),
            "target": torch.from_numpy(on_black(second)),
            "mask": torch.from_numpy((second[3:] > 127).astype(np.uint8)),
            "action": torch.tensor(other // FRAMES),
            "frame": torch.tensor(other % FRAMES),
        }

    def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
        """Pictures in bytes and the one-hot pose; nothing is random."""
        pose = torch.full((len(ACTIONS) + FRAMES, SIDE, SIDE), -1.0)
        pose[loaded["action"]] = 1
        pose[len(ACTIONS) + loaded["frame"]] = 1
        return {
            "input": loaded["input"],
            "pose": pose,
            "target": loaded["target"],
            "mask": loaded["mask"].float(),
        }
