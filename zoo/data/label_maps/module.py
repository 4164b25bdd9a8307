"""Pairs {input, target, labels, instances?}: a photograph from its label map, one class number a pixel.

A folder of one's own holds photographs (PNG, JPEG, TIFF, WebP, BMP or NPY, 8 or 16 bit, grey or RGB) and
label maps of the same names and sizes::

    streets/
      palette.csv         one line a class: r,g,b,name; the first is class 0
      images/
        train/  a.jpg …   and the same for val and test
      labels/
        train/  a.png …   class numbers (grey or palette PNG), or exactly the colours of palette.csv (RGB PNG)
      instances/
        train/  a.png …   optional: the number of the thing at each pixel, 8 or 16 bit

Without ``palette.csv`` the label maps hold class numbers and ``data.classes`` says how many. Read as they
come, too: CamVid as SegNet has it (``train`` with ``trainannot``), Cityscapes (``leftImg8bit`` with
``gtFine``), and pictures with the photograph left and a label map in colours right, such as CMP Facades of
pix2pix.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Unpack, get_args

import numpy as np
import torch

from zoo.data.base import DataModule, LoaderOptions, Sample, SampleSet, Split, find_root, folder_fingerprint
from zoo.data.checks import Findings
from zoo.data.label_maps.files import (
    EXPECTED,
    PALETTE_FILE,
    Classes,
    LabelFiles,
    Layout,
    Pixels,
    check_label_maps,
    find_label_maps,
    find_layout,
    known_classes,
    read_sample,
)
from zoo.data.pairs.module import resized
from zoo.data.sources import SOURCES
from zoo.errors import UserError


class LabelMapFolder(DataModule):
    """Label maps and their photographs from a folder, with the things where the folder has them.

    Training jitters as pix2pix does (https://arxiv.org/abs/1611.07004, section 6.2), all maps of a sample
    alike. Evaluation resizes to ``size`` and draws nothing.

    Args:
        root: The folder; its layouts stand at the top of the file.
        size: Pixels of each side of what a batch holds, or height and width.
        load_size: Likewise, before the random crop; 286/256 of ``size`` when not given.
        mirror: Mirror each sample with probability 1/2 in training.
        classes: Number of classes, for a folder of label maps without ``palette.csv``.
        void: A number in the label maps that is no class (often 255); it becomes one more class, the last.
        name: What the data is called; the folder's name when not given.
        licence: What the data may be used for; of a known set, else unknown, when not given.
        research_only: False only where the licence allows commercial use.
        options: Those of every data module, at :class:`zoo.data.base.DataModule`.
    """

    contract: ClassVar[str] = "pairs"
    default_batch_size = 1

    def __init__(
        self,
        root: str,
        size: int | tuple[int, int] = 256,
        load_size: int | tuple[int, int] | None = None,
        mirror: bool = True,
        classes: int | None = None,
        void: int | None = None,
        name: str | None = None,
        licence: str | None = None,
        research_only: bool = True,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        self.size = _both(size)
        if min(self.size) < 1:
            raise UserError(f"data.size is {size}; give at least 1.")
        jittered = (self.size[0] * 286 // 256, self.size[1] * 286 // 256)
        self.load_size = jittered if load_size is None else _both(load_size)
        if any(before < after for before, after in zip(self.load_size, self.size, strict=True)):
            raise UserError(f"data.load_size {load_size} is less than data.size {size}; give at least that.")
        if classes is not None and classes < 2:
            raise UserError(f"data.classes is {classes}; give at least 2.")
        self.root = find_root(root)
        self.mirror = mirror
        self.number = classes
        self.void = void
        self.name = name or self.root.resolve().name
        self.licence = licence or ""
        self.research_only = research_only

    def dataset(self, split: Split) -> LabelMapSet | None:
        """The samples of a split; None where there are none to validate or test on.

        Raises:
            UserError: The folder, its training split, a partner or the meaning of the numbers is missing.
        """
        layout = self._layout()
        items = find_label_maps(self.root, layout, split)
        if items is None and split == "train":
            raise UserError(f"{self.root} has nothing to train on; {EXPECTED}.")
        if items is None:
            return None
        load_size = self.load_size if split == "train" else self.size
        return LabelMapSet(items, self._classes(layout), self.void, self.size, load_size, self.mirror)

    def _layout(self) -> Layout:
        layout = find_layout(self.root)
        if layout is None:
            state = "holds no label maps" if self.root.is_dir() else "does not exist"
            raise UserError(f"The folder {self.root} {state}; change data.root: {EXPECTED}.")
        return layout

    def _classes(self, layout: Layout) -> Classes:
        found = known_classes(self.root, layout)
        if found is None and self.number is None:
            raise UserError(f"{self.root} has no {PALETTE_FILE}; write it (r,g,b,name) or set data.classes.")
        if found is None:
            found = Classes(tuple(str(i) for i in range(self.number or 0)), ())
        elif self.number not in (None, len(found.names)):
            raise UserError(
                f"data.classes is {self.number} but {self.root} has {len(found.names)} classes; leave it out."
            )
        return found if self.void is None else Classes((*found.names, "void"), found.colours)

    def describe(self) -> dict[str, Any]:
        """As every data module; the licence of a public set is known by its layout."""
        known = None if (self.root / PALETTE_FILE).exists() else _public_licence(self._layout())
        return {**super().describe(), "licence": self.licence or known or "unknown: research use only"}

    def preprocessing(self) -> dict[str, Any]:
        """Layout, measures and classes."""
        layout = self._layout()
        classes = self._classes(layout)
        return {
            "source": "labels",
            "layout": layout,
            "size": list(self.size),
            "load_size": list(self.load_size),
            "mirror": self.mirror,
            "classes": list(classes.names),
            # void has no colour, so such maps are read by their numbers
            "colours": [list(colour) for colour in classes.colours] if self.void is None else [],
            "void": self.void,
        }

    def fingerprint(self) -> str:
        """SHA-256 over names and sizes of all files."""
        layout = self._layout()
        splits = [find_label_maps(self.root, layout, split) or [] for split in get_args(Split)]
        files = {path for items in splits for item in items for path in item if path}
        return folder_fingerprint(files, self.root)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether folders say by their names that they hold label maps; halves may show anything."""
        return find_layout(root) not in (None, "halves")

    @classmethod
    def check(cls, root: Path) -> Findings:
        """Look at every sample, and count the classes where the folder does not name them."""
        found, numbers = check_label_maps(root)
        found.class_path = "zoo.data.label_maps.LabelMapFolder"
        sizes = [fact.size for fact in found.facts if fact.side == "photo"]
        width, height = min(sizes, default=(256, 256))
        found.arguments = {"size": [height, width]}
        layout = find_layout(root)
        if layout == "folders" and not (root / PALETTE_FILE).exists():
            found.arguments["classes"] = max(2, max(numbers - {255}, default=0) + 1)
            if 255 in numbers:
                found.arguments["void"] = 255
        return found


class LabelMapSet(SampleSet):
    """The label maps and photographs of one split.

    Args:
        items: The files of each sample.
        classes: What label maps hold.
        void: The number that stands for no class and becomes the last; None where there is none.
        size: Height and width of a sample.
        load_size: Height and width before the crop.
        mirror: Mirror at random.
    """

    finish_is_slow = True

    def __init__(
        self,
        items: list[LabelFiles],
        classes: Classes,
        void: int | None,
        size: tuple[int, int],
        load_size: tuple[int, int],
        mirror: bool,
    ) -> None:
        self.items = items
        self.classes = classes
        self.void = void
        self.size = size
        self.load_size = load_size
        self.mirror = mirror

    def __len__(self) -> int:
        """Number of photographs."""
        return len(self.items)

    def files(self) -> list[Path]:
        """Photographs, label maps and maps of things."""
        return [path for item in self.items for path in item if path is not None]

    def load(self, index: int) -> Sample:
        """``target`` (3,h,w), resized smoothly; ``labels`` and ``instances`` (h,w) by nearest pixel."""
        photo, labels, instances = read_sample(self.items[index], self.classes, self.void)
        kind = np.uint8 if len(self.classes.names) <= 256 else np.int32
        loaded = {
            "target": torch.from_numpy(resized(photo, *self.load_size)),
            "labels": torch.from_numpy(_nearest(labels.astype(kind), self.load_size)),
        }
        if instances is not None:
            loaded["instances"] = torch.from_numpy(_nearest(instances.astype(np.int32), self.load_size))
        return loaded

    def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
        """``input`` (classes,H,W) one-hot, ``target`` (3,H,W) in bytes; ``labels``, ``instances`` (H,W)."""
        top = left = 0
        mirrored = False
        if random is not None:
            rows, columns = (a - b + 1 for a, b in zip(self.load_size, self.size, strict=True))
            top, left, coin = (int(torch.randint(n, (), generator=random)) for n in (rows, columns, 2))
            mirrored = self.mirror and coin == 1
        height, width = self.size
        sample: Sample = {"input": torch.zeros(len(self.classes.names), height, width)}
        for key, values in loaded.items():
            cut = values[..., top : top + height, left : left + width]
            cut = cut if key == "target" else cut.long()
            sample[key] = cut.flip(-1) if mirrored else cut
        sample["input"].scatter_(0, sample["labels"][None], 1.0)
        return sample


def _nearest(values: Pixels, size: tuple[int, int]) -> Pixels:
    """Values (H,W) at the pixels whose middle is nearest."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, values.shape, strict=True)
    )
    return np.ascontiguousarray(values[rows][:, columns])


def _both(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _public_licence(layout: Layout) -> str | None:
    """Licence of the only public set in a layout; None if there is no such set."""
    if layout == "CamVid":
        return "CamVid, University of Cambridge: research use; SegNet's copy CC BY-NC 4.0"
    name = {"Cityscapes": "cityscapes", "halves": "facades"}.get(layout)
    return SOURCES[name].licence if name else None
