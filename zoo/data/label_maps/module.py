"""Pairs {input, target, labels, instances?}: a photograph from its label map, one class number per pixel.

Your own folder holds photographs (PNG, JPEG, TIFF, WebP, BMP or NPY, 8 or 16 bit, grey or RGB) and
label maps of the same names and sizes::

    streets/
      palette.csv         one line per class: r,g,b,name; the first is class 0
      images/
        train/  a.jpg …   and the same for val and test
      labels/
        train/  a.png …   class numbers (grey or palette PNG), or exactly the colours of palette.csv (RGB PNG)
      instances/
        train/  a.png …   optional: the instance number of each pixel, 8 or 16 bit

Without ``palette.csv`` the label maps hold class numbers and ``data.classes`` says how many. Also read as
published: CamVid as SegNet has it (``train`` with ``trainannot``), Cityscapes (``leftImg8bit`` with
``gtFine``), and pictures with the photograph left and a label map in colours right, such as CMP Facades of
pix2pix.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Unpack

import numpy as np
import torch

from zoo.bounds import NonNegativeInt, PositiveInt
from zoo.data.base import DataModule, LoaderOptions, Sample, SampleSet, Split
from zoo.data.checks import (
    Facts,
    Fault,
    Findings,
    at_least,
    examine,
    left_out,
    picture_facts,
    require_training,
)
from zoo.data.folders import SPLITS, find_root, folder_fingerprint, unusable
from zoo.data.label_maps.files import (
    EXPECTED,
    LAYOUTS,
    PALETTE_FILE,
    Classes,
    LabelFiles,
    Layout,
    find_label_maps,
    find_layout,
    folders_of,
    known_classes,
    read_sample,
)
from zoo.data.pixels import bicubic, both, cut, draw_jitter, nearest, planes, require_load_size
from zoo.data.sources import SOURCES
from zoo.errors import UserError
from zoo.files.pictures import PICTURE_SUFFIXES
from zoo.recipes import public_path


class LabelMapFolder(DataModule):
    """Label maps and their photographs from a folder, with instance maps if the folder has them.

    Training applies the jitter of pix2pix (https://arxiv.org/abs/1611.07004, section 6.2), the same to all
    maps of a sample. Evaluation resizes to ``size`` and draws nothing.

    Args:
        root: The folder; its layouts are listed at the top of the file.
        size: Pixels of each side of a sample, or height and width.
        load_size: Likewise, before the random crop; 286/256 of ``size`` when not given.
        mirror: Mirror each sample with probability 1/2 in training.
        classes: Number of classes, for a folder of label maps without ``palette.csv``.
        void: Number in the label maps that means no class (often 255); it becomes an additional last class.
        name: Name of the data; the folder's name when not given.
        licence: Licence of the data; that of a known set, else unknown, when not given.
        research_only: False only if the licence allows commercial use.
        options: Options of every data module, see :class:`zoo.data.base.DataModule`.
    """

    contract: ClassVar[str] = "pairs"
    default_batch_size = 1

    def __init__(
        self,
        root: str,
        size: PositiveInt | tuple[PositiveInt, PositiveInt] = 256,
        load_size: PositiveInt | tuple[PositiveInt, PositiveInt] | None = None,
        mirror: bool = True,
        classes: PositiveInt | None = None,
        void: NonNegativeInt | None = None,
        name: str | None = None,
        licence: str | None = None,
        research_only: bool = True,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        self.size = both(size)
        at_least(1, size=min(self.size))
        jittered = (self.size[0] * 286 // 256, self.size[1] * 286 // 256)
        self.load_size = jittered if load_size is None else both(load_size)
        require_load_size(self.load_size, self.size)
        at_least(2, classes=classes)
        self.root = find_root(root)
        self.mirror = mirror
        self.number = classes
        self.void = void
        self.name = name or self.root.resolve().name
        self.licence = licence or ""
        self.research_only = research_only

    def dataset(self, split: Split) -> LabelMapSet | None:
        """The samples of a split; None if there are none for validation or test.

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
            raise unusable(self.root, "holds no label maps", f"change data.root: {EXPECTED}")
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
            "colours": [list(colour) for colour in classes.colours],  # void, the last class, has none
            "void": self.void,
        }

    def fingerprint(self) -> str:
        """SHA-256 over names and sizes of all files."""
        layout = self._layout()
        splits = [find_label_maps(self.root, layout, split) or [] for split in SPLITS]
        files = {path for items in splits for item in items for path in item if path}
        return folder_fingerprint(files, self.root)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether names of folders say so, or the right half of the first picture shows classes."""
        layout = find_layout(root)
        if layout != "halves":
            return layout is not None
        try:
            first = (find_label_maps(root, layout, "train") or [])[:1]
            return bool([read_sample(item, known_classes(root, layout), None) for item in first])
        except UserError:
            return False

    @classmethod
    def check(cls, root: Path) -> Findings:
        """Check every sample, and count the classes if the folder does not name them.

        Raises:
            UserError: The folder holds no label maps, or its palette is faulty.
        """
        layout = find_layout(root)
        if layout is None:
            raise UserError(f"{root} holds no label maps; {EXPECTED}.")
        classes, numbers = known_classes(root, layout), set[int]()
        count = len(classes.names) if classes else 0
        void = 255 if classes and count < 256 and layout != "halves" else None
        if classes and void:
            classes = Classes((*classes.names, "void"), classes.colours)
        found = Findings("pairs", LAYOUTS[layout], public_path(cls), mixed_channels={1, 3})

        def look(item: LabelFiles) -> list[Facts]:
            photo, labels, instances = read_sample(item, classes, void)
            numbers.update(np.unique(labels).tolist())
            maps = [(item.labels or item.photo, "labels", labels)]
            if item.instances is not None and instances is not None:
                maps.append((item.instances, "instances", instances))
            facts = [picture_facts(path, side, v.astype(np.uint16)[:, :, None]) for path, side, v in maps]
            return [picture_facts(item.photo, "photo", photo), *facts]

        for split in SPLITS:
            try:
                examine(found, split, find_label_maps(root, layout, split) or [], look, lambda item: item)
            except UserError as error:
                found.errors.append(Fault(str(root), str(error)))
            if layout != "Cityscapes":
                found.notes += left_out(set(folders_of(root, layout, split)), PICTURE_SUFFIXES)
        require_training(found, root, f"expected {LAYOUTS[layout]}")
        sizes = [fact.size for fact in found.facts if fact.side == "photo"]
        width, height = min(sizes, default=(256, 256))
        found.arguments = {"size": [height, width]}
        if void and count in numbers:
            found.arguments["void"] = void
        if layout == "folders" and not (root / PALETTE_FILE).exists():
            found.arguments["classes"] = max(2, max(numbers - {255}, default=0) + 1)
            if 255 in numbers:
                found.arguments["void"] = 255
        return found


@dataclass(eq=False, repr=False)
class LabelMapSet(SampleSet):
    """The label maps and photographs of one split.

    Args:
        items: The files of each sample.
        classes: Classes of the label maps.
        void: Number that means no class and becomes the last; None if there is none.
        size: Height and width of a sample.
        load_size: Height and width before the crop.
        mirror: Mirror with probability 1/2 in training.
    """

    finish_is_slow = True

    items: list[LabelFiles]
    classes: Classes
    void: int | None
    size: tuple[int, int]
    load_size: tuple[int, int]
    mirror: bool

    def __len__(self) -> int:
        return len(self.items)

    def files(self) -> list[Path]:
        """Photographs, label maps and instance maps."""
        return [path for item in self.items for path in item if path is not None]

    def load(self, index: int) -> Sample:
        """``target`` (3, h, w), bicubic; ``labels`` and ``instances`` (h, w), nearest pixel."""
        photo, labels, instances = read_sample(self.items[index], self.classes, self.void)
        kind = np.uint8 if len(self.classes.names) <= 256 else np.int32
        loaded = {
            "target": bicubic(planes(photo), *self.load_size),
            "labels": torch.from_numpy(nearest(labels.astype(kind), self.load_size)),
        }
        if instances is not None:
            loaded["instances"] = torch.from_numpy(nearest(instances.astype(np.int32), self.load_size))
        return loaded

    def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
        """One-hot ``input`` (classes, H, W), ``target`` (3, H, W) in bytes, and the maps (H, W)."""
        top, left, mirrored = 0, 0, False
        height, width = self.size
        if random is not None:
            rows, columns = self.load_size[0] - height, self.load_size[1] - width
            top, left, mirrored = draw_jitter(rows, columns, self.mirror, random)
        sample: Sample = {"input": torch.zeros(len(self.classes.names), height, width)}
        for key, values in loaded.items():
            crop = cut(values, top, left, height, width)
            crop = crop if key == "target" else crop.long()
            sample[key] = crop.flip(-1) if mirrored else crop
        sample["input"].scatter_(0, sample["labels"][None], 1.0)
        return sample


def _public_licence(layout: Layout) -> str | None:
    """Licence of the only public set in a layout; None if there is no such set."""
    if layout == "CamVid":
        return "CamVid, University of Cambridge: research use; SegNet's copy CC BY-NC 4.0"
    name = {"Cityscapes": "cityscapes", "halves": "facades"}.get(layout)
    return SOURCES[name].licence if name else None
