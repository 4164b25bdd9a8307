"""Frontal faces {input, target, landmarks, identity}: a turned head and the same person from the front.

TP-GAN (https://arxiv.org/abs/1704.04086) and DR-GAN learn from such pairs. Your own pictures::

    myfaces/
      index.csv              one row per picture
      anna/left_30.jpg       the pictures, in any folders
      anna/front.jpg
      bert/…

    file,identity,yaw,expression,x0,y0,x1,y1,…
    anna/left_30.jpg,anna,-30,smiling,41.5,60.2,70.1,59.8,…
    anna/front.jpg,anna,0,smiling,…

``yaw`` is in degrees, positive if the face looks to the picture's right. Every column besides the landmarks
is a
label: a turned picture is paired with the frontal one of the same person that shares most labels (same
expression, same glasses). Landmarks are pixels of the picture and optional: five (left eye, right eye, nose
tip, left and right corner of the mouth; left as in the picture) or 68 in the usual order. An optional column
``split`` says train, val or test; without it a tenth of the people is held out for test and another for
validation. People are split, never pictures. PNG, JPEG, TIFF, WebP, BMP and NPY, 8 or 16 bit.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Unpack

import torch
from torch import Tensor

from zoo.bounds import Degrees, PositiveInt
from zoo.data.base import DataModule, LoaderOptions, Sample, SampleSet, Split
from zoo.data.checks import Fault, Findings, examine, one_of, require_training
from zoo.data.folders import SPLITS, find_root, folder_fingerprint, header_of, pictures_below
from zoo.data.frontal.files import EXPECTED, INDEX, View, deal_out, look, pair_up, read_index
from zoo.data.pixels import Fit, read_square, require_picture
from zoo.errors import UserError
from zoo.recipes import public_path

CENTRES = {  # landmarks whose means are the left eye, the right eye, the nose and the mouth
    5: ((0,), (1,), (2,), (3, 4)),
    10: ((0,), (1,), (2,), (3, 4)),  # drawn world
    68: (tuple(range(36, 42)), tuple(range(42, 48)), (30,), (48, 54)),
}
YAWS = tuple(sign * yaw for yaw in (15.0, 30.0, 45.0, 60.0, 75.0, 90.0) for sign in (-1, 1))


LICENCES = {  # licence of a public set, and whether it allows research only
    "synthetic_heads": ("MIT: rendered from ICT-FaceKit; no real person", False),
    "cmu_faces": ("CC BY 4.0 as UCI lists it; its author: free for education with attribution", True),
}


class Pair(NamedTuple):
    """A turned view, its frontal one, and the number of the person."""

    turned: View
    frontal: View
    number: int


class FrontalFolder(DataModule):
    """Turned and frontal pictures of people from a folder with an ``index.csv``.

    Batches also hold ``yaw`` (degrees) and, if landmarks are given, ``landmarks`` (L, 2) and ``centres`` (4,
    2), both x and y in pixels of ``input``: the centres of TP-GAN's patches, left eye, right eye, nose and
    mouth. ``identity`` numbers the people of training from 0; those of validation and test follow.

    Args:
        root: The folder; ``synthetic_heads`` and ``cmu_faces`` are read as published.
        size: Pixels of each side.
        frontal_yaw: A picture is frontal below so many degrees to either side.
        least_yaw: Least yaw of turned pictures; others are left out.
        most_yaw: Greatest yaw of turned pictures; others are left out.
        channels: 3 (grey becomes RGB) or 1 (RGB becomes grey).
        fit: How a picture becomes square: ``crop`` cuts out its middle, ``pad`` adds white, ``stretch``
            distorts.
        name: Name of the data; the folder's name when not given.
        licence: Licence of the data; that of a known set, else unknown, when not given.
        research_only: False only if the licence allows commercial use; as for a known set when not given.
        options: Options of every data module, see :class:`zoo.data.base.DataModule`.
    """

    contract: ClassVar[str] = "frontal faces"
    default_batch_size = 10

    def __init__(
        self,
        root: str,
        size: PositiveInt = 128,
        frontal_yaw: Degrees = 5.0,
        least_yaw: Degrees = 0.0,
        most_yaw: Degrees = 90.0,
        channels: PositiveInt = 3,
        fit: Fit = "crop",
        name: str | None = None,
        licence: str | None = None,
        research_only: bool | None = None,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        require_picture(size, channels)
        one_of(Fit, fit=fit)
        if not 0 < frontal_yaw <= max(frontal_yaw, least_yaw) < most_yaw:
            raise UserError(
                f"data.frontal_yaw ({frontal_yaw}) must be above 0, and data.most_yaw ({most_yaw}) above it "
                f"and above data.least_yaw ({least_yaw})."
            )
        self.root = find_root(root)
        self.size, self.channels, self.fit = size, channels, fit
        self.frontal_yaw, self.least_yaw, self.most_yaw = frontal_yaw, least_yaw, most_yaw
        self.name = name or self.root.resolve().name
        known = LICENCES.get(self.name, ("unknown: research use only", True))
        self.licence = licence or known[0]
        self.research_only = known[1] if research_only is None else research_only

    @cached_property
    def _views(self) -> list[View]:
        return read_index(self.root)

    def dataset(self, split: Split) -> FrontalSet | None:
        """The pairs of a split's people; None if nobody is held out for validation.

        Raises:
            UserError: The index is missing or wrong, a picture is missing, or a person has no frontal one.
        """
        views = self._views
        people = deal_out(views, self.root)
        if split == "val" and not people["val"]:
            return None
        numbers = {who: at for at, who in enumerate(who for part in SPLITS for who in people[part])}
        chosen = set(people[split])
        pairs = [
            Pair(turned, frontal, numbers[turned.identity])
            for turned, frontal in pair_up(
                [v for v in views if v.identity in chosen], self.root, self.frontal_yaw
            )
            if self.least_yaw <= abs(turned.yaw) <= self.most_yaw
        ]
        if not pairs:
            raise UserError(
                f"{self.root / INDEX} has no {split} picture turned by "
                f"{max(self.least_yaw, self.frontal_yaw)} to "
                f"{self.most_yaw} degrees; add some or widen data.least_yaw and data.most_yaw."
            )
        return FrontalSet(pairs, self.root / INDEX, self.size, self.channels, self.fit)

    def preprocessing(self) -> dict[str, Any]:
        """Size, fit, angles, and how many people and landmarks there are."""
        views = self._views
        return {
            **self.settings("size", "channels", "fit", "frontal_yaw", "least_yaw", "most_yaw"),
            "identities": len(deal_out(views, self.root)["train"]),
            "landmarks": len(views[0].landmarks or ()),
        }

    def fingerprint(self) -> str:
        """SHA-256 over names and sizes of the index and the pictures."""
        return folder_fingerprint([self.root / INDEX, *{view.path for view in self._views}], self.root)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether a folder has an index that names people and yaws."""
        columns = set(header_of(root / INDEX))
        return bool(columns & {"identity", "person"}) and bool(columns & {"yaw", "pose"})

    @classmethod
    def check(cls, root: Path) -> Findings:
        """Check every picture of the index, and that each person has a frontal one."""
        found = Findings("frontal faces", f"pictures and {INDEX}", public_path(cls))
        try:
            views = read_index(root)
            people = deal_out(views, root)
        except UserError as error:
            found.errors.append(Fault(str(root / INDEX), str(error)))
            return found
        for split in SPLITS:
            chosen = [view for view in views if view.identity in people[split]]
            examine(found, split, chosen, look, lambda view: [view.path])
        listed = {view.path for view in views}
        found.notes += [
            Fault(str(path), f"{path} is left out: {INDEX} does not name it, or not with a known pose.")
            for path in pictures_below(root)
            if path not in listed
        ]
        for who in sorted({view.identity for view in views}):
            try:
                pair_up([view for view in views if view.identity == who], root, 5.0)
            except UserError as error:
                found.errors.append(Fault(str(root / INDEX), str(error)))
        require_training(found, root, EXPECTED)
        if found.facts:
            found.arguments["size"] = min(128, max(16, min(min(fact.size) for fact in found.facts)))
        return found


class FrontalSet(SampleSet):
    """Pairs of picture files.

    Args:
        pairs: The pairs.
        index: The index file.
        size: Pixels of each side.
        channels: 1 or 3.
        fit: How a picture becomes a square.
    """

    def __init__(self, pairs: list[Pair], index: Path, size: int, channels: int, fit: Fit) -> None:
        self.pairs, self.index = pairs, index
        self.size, self.channels, self.fit = size, channels, fit

    def __len__(self) -> int:
        return len(self.pairs)

    def files(self) -> list[Path]:
        """The pictures and the index."""
        return [self.index, *sorted({view.path for pair in self.pairs for view in pair[:2]})]

    def load(self, index: int) -> Sample:
        """Both pictures made square, and the landmarks moved with the first."""
        turned, frontal, number = self.pairs[index]
        picture, where = read_square(turned.path, self.size, self.channels, self.fit)
        target, _ = read_square(frontal.path, self.size, self.channels, self.fit)
        loaded = {
            "input": picture,
            "target": target,
            "identity": torch.tensor(number),
            "yaw": torch.tensor(turned.yaw, dtype=torch.float32),
        }
        if turned.landmarks is None:
            return loaded
        landmarks = torch.tensor(turned.landmarks) * where[0] + where[1]
        return loaded | {"landmarks": landmarks, "centres": patch_centres(landmarks)}


def patch_centres(landmarks: Tensor) -> Tensor:
    """The centres (4, 2) of left eye, right eye, nose and mouth, from 5, 10 (drawn) or 68 landmarks."""
    return torch.stack([landmarks[list(group)].mean(0) for group in CENTRES[len(landmarks)]])
