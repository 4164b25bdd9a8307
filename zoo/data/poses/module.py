"""People in another pose: ``input``, ``target`` (3,H,W), the target's ``pose`` (K,H,W), ``mask`` (1,H,W).

Both pictures show one identity. A pose has one map per keypoint, 1 in a disc around it and -1 elsewhere, all
-1 if the point is unknown; the mask is 1 on the target's figure, made from its keypoints: discs along the
limbs, then a closing (Ma et al., NIPS 2017, section 3). Your own files::

    root/images/anna_01.jpg             or   root/…/anna_01.jpg          pictures below the root
    root/images/anna_02.jpg                  root/person_keypoints.json  as COCO's, one person a picture
    root/images/ben_01.png
    root/keypoints.csv                       image,identity,nose_x,nose_y,left_eye_x,left_eye_y,…
                                             anna_01.jpg,anna,39.3,18.0,37.8,15.8,…

- The columns are named after COCO's 17 points or OpenPose's 18, in any order, in pixels of the file; if a
  point is unknown, both cells are empty or both -1, or a column ``…_v`` is 0.
- A CSV with the header ``name:keypoints_y:keypoints_x`` and lines ``anna_01.jpg: [18, …]: [39, …]`` is also
  read, -1 if a point is unknown, and any JSON with ``keypoints`` in its name, here or in ``annotations/``.
- The identity is in the column ``identity`` (in a JSON, the annotation's key), or else the file's name up to
  the first underscore.
- ``train``, ``val`` and ``test`` are read from the names of the keypoint files or of the pictures' folders;
  without them, identities are held out. Pictures may be PNG, JPEG, TIFF, WebP, BMP or NPY of 8 or 16 bit.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any, ClassVar, Unpack

import numpy as np
import torch
from torch import Tensor

from zoo.bounds import NonNegativeInt, PositiveInt
from zoo.data.base import DataModule, LoaderOptions, Sample, SampleSet, Split
from zoo.data.checks import Findings, at_least, examine, require_training
from zoo.data.folders import SPLITS, find_root, folder_fingerprint, require_hold_out
from zoo.data.pixels import bicubic, planes, with_channels
from zoo.data.poses.files import (
    EXPECTED,
    People,
    Person,
    look,
    looks_like_poses,
    notes,
    outside,
    read_people,
    read_person,
)
from zoo.data.poses.sets import Sprites
from zoo.data.poses.skeletons import CLOSING, Skeleton, draw_pose, keypoint_maps, pose_mask
from zoo.drawing.sheets import grid
from zoo.errors import UserError
from zoo.recipes import public_path
from zoo.seeds import mix

LICENCES = {"synthetic_people": ("Apache-2.0 and CC0: rendered with anny, no real person", False)}


class KeypointSet(SampleSet):
    """Samples whose pose is given by keypoints; mirrored in training. A subclass sets these attributes."""

    finish_is_slow = True
    skeleton: Skeleton
    radius: int
    mirror: bool

    def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
        """Pictures in bytes, maps and mask, all mirrored alike; mirroring swaps left and right keypoints."""
        keypoints, (height, width) = loaded["keypoints"], loaded["target"].shape[1:]
        pictures = {key: loaded[key] for key in ("input", "target", "mask")}
        if self.mirror and random is not None and torch.rand((), generator=random) < 0.5:
            pictures = {key: picture.flip(2) for key, picture in pictures.items()}
            keypoints = keypoints[self.skeleton.mirrored]
            keypoints[:, 0] = width - 1 - keypoints[:, 0]
        return {
            "input": pictures["input"],
            "pose": keypoint_maps(keypoints, height, width, self.radius),
            "target": pictures["target"],
            "mask": pictures["mask"].float(),
        }


class KeypointModule(DataModule):
    """Base of modules with keypoints.

    Args:
        height: Height of the pictures in pixels.
        width: Width of the pictures in pixels.
        radius: Radius of a keypoint's disc in pixels.
        mirror: Mirror half of the training samples.
        options: Options of every data module.
    """

    contract: ClassVar[str] = "poses"

    def __init__(
        self,
        height: PositiveInt,
        width: PositiveInt,
        radius: PositiveInt,
        mirror: bool,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        at_least(16, height=height, width=width)
        at_least(1, radius=radius)
        self.height, self.width, self.radius, self.mirror = height, width, radius, mirror

    def sheet(self, samples: list[Sample]) -> Tensor:
        """Input, pose, target and mask of each sample side by side."""
        columns = {key: torch.stack([sample[key] for sample in samples]) for key in ("input", "target")}
        poses = torch.stack([draw_pose(sample["pose"]) for sample in samples])
        masks = torch.stack([sample["mask"] for sample in samples]) * 2 - 1
        return grid({"input": columns["input"], "pose": poses, "target": columns["target"], "mask": masks})


class PoseFolder(KeypointModule):
    """Pairs of different pictures of one identity from a folder with keypoints, in both orders.

    Splits share no identity. An identity with one picture makes no pair; a picture with no known keypoint is
    never a target.

    Args:
        root: The folder; its layouts are listed at the top of the file.
        height: Height to which pictures are resized, in pixels (Market-1501: 128, DeepFashion: 256).
        width: Width to which pictures are resized (64 and 256).
        radius: Radius of a keypoint's disc in pixels of the resized picture (PG2's code: 4).
        mirror: Mirror half of the training pairs.
        hold_out: If the files state no splits, of so many identities the first is for test and the second for
            validation; 0 holds out none.
        train_pairs: Most pairs for training, a fixed choice; all when not given.
        eval_pairs: Most pairs for validation and for test (section 4.1: 12,800).
        name: Name of the data; the folder's name when not given.
        licence: Licence of the data; that of a known set, else unknown, when not given.
        research_only: False only if the licence allows commercial use; that of a known set, else True, when
            not given.
        options: Options of every data module; ``cache`` keeps resized pictures, not pairs.
    """

    def __init__(
        self,
        root: str,
        height: PositiveInt = 128,
        width: PositiveInt = 64,
        radius: PositiveInt = 4,
        mirror: bool = True,
        hold_out: NonNegativeInt = 10,
        train_pairs: PositiveInt | None = None,
        eval_pairs: PositiveInt = 12_800,
        name: str | None = None,
        licence: str | None = None,
        research_only: bool | None = None,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(height, width, radius, mirror, **options)
        require_hold_out(hold_out)
        at_least(1, train_pairs=train_pairs, eval_pairs=eval_pairs)
        self.root = find_root(root)
        self.hold_out = hold_out
        self.most: dict[Split, int | None] = {"train": train_pairs, "val": eval_pairs, "test": eval_pairs}
        self.name = name or self.root.resolve().name
        known = LICENCES.get(self.name, ("unknown: research use only", True))
        self.licence = licence or known[0]
        self.research_only = known[1] if research_only is None else research_only
        self._people: People | None = None

    def dataset(self, split: Split) -> PosePairs | None:
        """The pairs of a split; None if the folder has none.

        Raises:
            UserError: The folder does not exist, its keypoints are faulty, or nothing is left to train on.
        """
        found = self._read()
        members = found.of_split(split, self.hold_out)
        pairs = find_pairs(members, self.most[split])
        if not len(pairs):
            if split != "train":
                return None
            if not members:
                count = len({person.identity for person in found.people})
                raise UserError(
                    f"None of the {count} identities in {self.root} is for training; name a file of "
                    "keypoints or a folder of pictures train."
                )
            raise UserError(
                f"No identity in the training part of {self.root} has two pictures; name files so that their "
                "part before the first underscore says who is on them, or add a column identity."
            )
        mirror = self.mirror and split == "train"
        return PosePairs(
            members, pairs, found.sources, found.skeleton, self.height, self.width, self.radius, mirror
        )

    def _read(self) -> People:
        if self._people is None:
            found = read_people(self.root)
            if found.faults:
                more = len(found.faults) - 1
                rest = f" (zoo data check {self.root} lists {more} more)." if more else "."
                raise UserError(found.faults[0].text.removesuffix(".") + rest)
            self._people = found
        return self._people

    def preprocessing(self) -> dict[str, Any]:
        """Measures of pictures and keypoint maps, and how pairs are formed."""
        return {
            **self.settings("height", "width", "radius", "mirror", "hold_out"),
            "closing": CLOSING,
            "keypoints": list(self._read().skeleton.names),
            "train_pairs": self.most["train"],
            "eval_pairs": self.most["val"],
        }

    def fingerprint(self) -> str:
        """SHA-256 over names and sizes of the keypoint files and the pictures."""
        found = self._read()
        return folder_fingerprint([*found.sources, *(person.path for person in found.people)], self.root)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether the folder has a file of keypoints, or holds the sprites."""
        return Sprites.recognises(root) or looks_like_poses(root)

    @classmethod
    def check(cls, root: Path) -> Findings:
        """Check every file of keypoints, every picture, and the number of pictures per identity."""
        if Sprites.recognises(root):
            return Sprites.check(root)
        held = read_people(root)
        names = " and ".join(path.relative_to(root).as_posix() for path in held.sources)
        found = Findings(cls.contract, f"pairs of pictures with keypoints in {names}")
        found.class_path = public_path(cls)
        found.errors += held.faults
        for split in SPLITS:
            members = held.of_split(split, 10)
            if members:
                examine(found, split, members, look, lambda person: [person.path])
                found.samples[split] = len(find_pairs(members, None))
                found.notes += notes(members)
        require_training(found, root, EXPECTED)
        sizes = {fact.path: fact.size for fact in found.facts}
        if sizes:
            (width, height), _ = Counter(sizes.values()).most_common(1)[0]
            found.arguments = {"height": height, "width": width}
        found.notes += [note for person in held.people if (note := outside(person, sizes))]
        return found


def find_pairs(members: list[Person], most: int | None) -> Any:
    """Indices (N, 2) of input and target: all ordered pairs of an identity's pictures, or a fixed choice.

    Args:
        members: Pictures of a split; one without known keypoints is never a target.
        most: Number of pairs drawn at random with a fixed seed; all when None.
    """
    groups: dict[str, list[int]] = {}
    for index, person in enumerate(members):
        groups.setdefault(person.identity, []).append(index)
    good = [bool(person.keypoints[:, 2].any()) for person in members]
    pairs = [pair for group in groups.values() for pair in permutations(group, 2) if good[pair[1]]]
    array = np.array(pairs, np.int32).reshape(-1, 2)
    if most is not None and most < len(array):
        kept = np.random.default_rng(mix("pairs", len(array))).permutation(len(array))[:most]
        array = array[np.sort(kept)]
    return array


@dataclass(eq=False, repr=False)
class PosePairs(KeypointSet):
    """Pairs of pictures of one identity.

    Args:
        members: The pictures and their keypoints.
        pairs: (N, 2), indices of input and target.
        sources: Files of keypoints.
        skeleton: Skeleton of the keypoints.
        height: Height to which pictures are resized.
        width: Width to which pictures are resized.
        radius: Radius of discs in pixels.
        mirror: Mirror half of the samples in training.
    """

    members: list[Person]
    pairs: Any
    sources: list[Path]
    skeleton: Skeleton
    height: int
    width: int
    radius: int
    mirror: bool

    def __len__(self) -> int:
        return len(self.pairs)

    def files(self) -> list[Path]:
        """The pictures and the files of keypoints."""
        return [*self.sources, *(person.path for person in self.members)]

    def load(self, index: int) -> Sample:
        """Both pictures resized, and the target's keypoints and mask."""
        one, other = (self.cached(int(k), self._person) for k in self.pairs[index])
        return {"input": one["picture"]} | {("target" if k == "picture" else k): v for k, v in other.items()}

    def _loaded(self, index: int) -> Sample:
        # the cache keeps pictures, not pairs
        return self.load(index) if self.pack is None else self.pack[index]

    def _person(self, index: int) -> Sample:
        picture, keypoints = load_person(self.members[index], self.height, self.width)
        mask = pose_mask(keypoints, self.skeleton, self.height, self.width, self.radius)
        return {"picture": picture, "keypoints": keypoints, "mask": mask}


def load_person(person: Person, height: int, width: int) -> tuple[Tensor, Tensor]:
    """A picture (3, H, W) in the bits of its file, resized, and its keypoints (K, 3) scaled with it.

    Raises:
        UserError: The file is unreadable, no colour picture, or of another size than its keypoints.
    """
    picture = with_channels(planes(read_person(person)), 3, person.path).contiguous()
    rows, columns = picture.shape[1:]
    keypoints = torch.from_numpy(person.keypoints.copy())
    if (rows, columns) == (height, width):
        return picture, keypoints
    scale = torch.tensor([width / columns, height / rows])
    keypoints[:, :2] = (keypoints[:, :2] + 0.5) * scale - 0.5
    return bicubic(picture, height, width), keypoints
