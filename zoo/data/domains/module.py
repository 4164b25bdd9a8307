"""Domains {source, target}: unpaired pictures of two kinds, as DTN uses them
(https://arxiv.org/abs/1611.02200).

Your own pictures, in folders of any depth::

    mydata/
      source/          pictures of one kind
        anna.png
        2024/bert.jpg
      target/          pictures of the other kind, any number of any names
        0001.png

or each kind with ``train/``, ``val/`` and ``test/`` below it; without these, of every ten pictures in the
order of their names the first is for test and the second for validation. The two kinds may be in two places
(``root`` and ``target_root``). PNG, JPEG, TIFF, WebP, BMP and NPY, 8 or 16 bit, grey or colour; transparent
pictures are composited over white.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor

from zoo.bounds import PositiveInt
from zoo.data.base import DataModule, LoaderOptions, Sample, SampleSet, Split
from zoo.data.checks import Fault, Findings, examine, left_out, one_of, require_training
from zoo.data.folders import SPLITS, find_root, folder_fingerprint, pictures_below, split_pictures
from zoo.data.pixels import Fit, look_opaque, read_square, require_picture
from zoo.drawing.sheets import grid, mosaic
from zoo.errors import UserError
from zoo.files.pictures import PICTURE_SUFFIXES
from zoo.recipes import public_path

EXPECTED = "put pictures in source/ and target/ below it, or name the target's folder with data.target_root"
HOLD_OUT = 10


class DomainModule(DataModule):
    """Base of this contract's modules: how samples are shown."""

    contract: ClassVar[str] = "domains"

    def sheet(self, samples: list[Sample]) -> Tensor:
        """Sources, their own targets where these are known, and any targets, each in a mosaic of its own."""
        titles = {"source": "source", "truth": "its target", "target": "any target"}
        parts = {title: [s[key] for s in samples] for key, title in titles.items() if key in samples[0]}
        return grid({title: mosaic(torch.stack(each), 2, least=48)[None] for title, each in parts.items()})


class UnpairedSet(SampleSet):
    """Sources with targets that in training are drawn at random from all.

    A subclass loads one ``source`` and one ``target`` per index, both of which a pack or the cache keeps;
    here the target is replaced by that of a random index.
    """

    def sample(self, index: int, random: torch.Generator | None) -> Sample:
        """Source ``index`` with a random target, or with its own in evaluation."""
        loaded = self._loaded(index)
        if random is not None:
            other = self._loaded(int(torch.randint(len(self), (), generator=random)))
            loaded = loaded | {key: value for key, value in other.items() if key.startswith("target")}
        return self.finish(loaded, random)


class DomainFolders(DomainModule):
    """Pictures of two kinds from two folders, unpaired.

    Args:
        root: The folder that holds ``source`` and ``target``; with ``target_root``, that of the sources.
        target_root: The folder of the targets.
        size: Pixels of each side.
        fit: How a source becomes square: ``crop`` cuts out its middle, ``pad`` adds white, ``stretch``
            distorts.
        target_fit: The same for targets; ``fit`` when not given.
        channels: 3 (grey becomes RGB) or 1 (RGB becomes grey).
        mirror: Mirror half of the training pictures, each domain independently.
        name: Name of the data; the folder's name when not given.
        licence: Licence of the data; unknown when not given.
        research_only: False only where the licence allows commercial use.
        options: Options of every data module, see :class:`zoo.data.base.DataModule`.
    """

    def __init__(
        self,
        root: str,
        target_root: str | None = None,
        size: PositiveInt = 64,
        fit: Fit = "crop",
        target_fit: Fit | None = None,
        channels: PositiveInt = 3,
        mirror: bool = False,
        name: str | None = None,
        licence: str | None = None,
        research_only: bool = True,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        require_picture(size, channels)
        one_of(Fit, fit=fit, target_fit=target_fit or fit)
        self.root = find_root(root)
        self.target_root = find_root(target_root) if target_root else None
        self.size, self.channels, self.mirror = size, channels, mirror
        self.fits: dict[str, Fit] = {"source": fit, "target": target_fit or fit}
        self.name = name or self.root.resolve().name
        self.licence, self.research_only = licence or self.licence, research_only

    @property
    def folders(self) -> dict[str, Path]:
        """The folder of each domain."""
        if self.target_root is not None:
            return {"source": self.root, "target": self.target_root}
        return {"source": self.root / "source", "target": self.root / "target"}

    def dataset(self, split: Split) -> DomainSet | None:
        """The pictures of a split; None for validation if a domain holds out none.

        Raises:
            UserError: A folder is missing or holds no pictures of the split.
        """
        found: dict[str, list[Path]] = {}
        for side, folder in self.folders.items():
            if not folder.is_dir():
                raise UserError(f"There is no folder {folder} of {side} pictures; {EXPECTED}.")
            found[side] = split_pictures(folder, split, HOLD_OUT)
        for side, files in found.items():
            if not files:
                if split == "val":
                    return None
                raise UserError(f"{self.folders[side]} holds no {split} pictures; {EXPECTED}.")
        return DomainSet(found, split == "train", self.size, self.fits, self.channels, self.mirror)

    def preprocessing(self) -> dict[str, Any]:
        """Size, channels and how pictures become squares."""
        return {
            **self.settings("size", "channels"),
            "fit": self.fits["source"],
            "target_fit": self.fits["target"],
            "mirror": self.mirror,
        }

    def fingerprint(self) -> str:
        """SHA-256 over names and sizes of both folders' files.

        Raises:
            UserError: A folder holds no pictures.
        """
        prints = []
        for side, folder in self.folders.items():
            files = pictures_below(folder)
            if not files:
                raise UserError(f"{folder} holds no {side} pictures; {EXPECTED}.")
            prints.append(folder_fingerprint(files, folder))
        return hashlib.sha256("\n".join(prints).encode()).hexdigest()

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder holds ``source`` and ``target``."""
        return (root / "source").is_dir() and (root / "target").is_dir()

    @classmethod
    def check(cls, root: Path) -> Findings:
        """Check every picture of both domains."""
        found = Findings("domains", "source/ and target/", public_path(cls))
        for side in ("source", "target"):
            folder = root / side
            for split in SPLITS:
                files = split_pictures(folder, split, HOLD_OUT)
                counted = split if side == "source" else "targets"  # samples are counted by sources
                examine(found, counted, files, partial(look_opaque, side=side), lambda path: [path])
            if not pictures_below(folder):
                found.errors.append(Fault(str(folder), f"{folder} holds no pictures; {EXPECTED}."))
            below = [folder, *(p for p in folder.rglob("*") if p.is_dir())] if folder.is_dir() else []
            found.notes += left_out(below, PICTURE_SUFFIXES)
        require_training(found, root, EXPECTED)
        if found.facts:
            found.arguments["size"] = min(256, max(16, min(min(fact.size) for fact in found.facts)))
        return found


@dataclass(eq=False, repr=False)
class DomainSet(UnpairedSet):
    """Picture files of two domains.

    Args:
        domains: Files of ``source`` and ``target``.
        training: An epoch then covers the larger domain once; in evaluation it covers the sources.
        size: Pixels of each side.
        fits: How pictures of ``source`` and ``target`` become square.
        channels: 1 or 3.
        mirror: Mirror half of the training pictures.
    """

    domains: dict[str, list[Path]]
    training: bool
    size: int
    fits: dict[str, Fit]
    channels: int
    mirror: bool

    def __post_init__(self) -> None:
        lengths = [len(self.domains[side]) for side in ("source", "target")]
        self.length = max(lengths) if self.training else lengths[0]

    def files(self) -> list[Path]:
        """The files of both domains."""
        return [*self.domains["source"], *self.domains["target"]]

    def load(self, index: int) -> Sample:
        """Picture ``index`` of each domain; the smaller domain repeats from its start."""
        paths = {side: files[index % len(files)] for side, files in self.domains.items()}
        return {
            side: read_square(path, self.size, self.channels, self.fits[side])[0]
            for side, path in paths.items()
        }

    def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
        """The pictures in bytes, mirrored at random in training."""
        finished = dict(loaded)
        if self.mirror and random is not None:
            for side in ("source", "target"):
                if torch.randint(2, (), generator=random):
                    finished[side] = finished[side].flip(-1)
        return finished
