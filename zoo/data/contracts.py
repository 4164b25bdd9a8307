"""What each batch contract promises, in one place; imports nothing heavy.

Every data set yields dicts of tensors by one contract. Pictures are float32 in [-1, 1], channels first.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Contract:
    """One batch contract.

    Args:
        keys: Keys of every batch.
        real: Key of the real counterpart of a generator's output.
        is_picture: Whether that counterpart is a picture (C, H, W), which image metrics can score.
        readers: Class paths of the data modules that read folders. The first that recognises a folder reads
            it; the last reads any folder of the contract.
        world: Class path of the drawn data, which need no files; empty for a folder format without its own.
    """

    keys: frozenset[str]
    real: str
    is_picture: bool
    readers: tuple[str, ...]
    world: str


def _contract(keys: str, real: str, readers: str, world: str, is_picture: bool = True) -> Contract:
    paths = tuple(f"zoo.data.{name}" for name in readers.split())
    return Contract(frozenset(keys.split()), real, is_picture, paths, world and f"zoo.data.{world}")


CAPTION_SETS = ("Emoji", "DungeonTiles", "Stamps", "Avatars", "CUB", "OxfordFlowers", "COCOCaptions")

# in the order in which a folder is recognised by its looks; any folder may be one of images
CONTRACTS: dict[str, Contract] = {
    "pairs": _contract("input target", "target", "pairs.PairFolder", "pairs.ScenePairs"),
    "label maps": _contract("input target labels", "target", "label_maps.LabelMapFolder", "pairs.ScenePairs"),
    "super-resolution": _contract(
        "input target", "target", "superres.SuperResolutionFolder", "superres.SceneTwins"
    ),
    "captions": _contract(
        "image text caption",
        "image",
        " ".join(f"captions.{name}" for name in (*CAPTION_SETS, "CaptionFolder")),
        "captions.SceneCaptions",
    ),
    "frontal faces": _contract(
        "input target identity", "target", "frontal.FrontalFolder", "frontal.FrontalWorld"
    ),
    "poses": _contract("input pose target mask", "target", "poses.PoseFolder", "poses.PoseWorld"),
    "domains": _contract("source target", "target", "domains.DomainFolders", "domains.FacesToEmoji"),
    "voxels": _contract(
        "voxels", "voxels", "voxels.ModelNetChairs voxels.VoxelFolder", "voxels.FurnitureWorld", False
    ),
    "clips": _contract("past future", "future", "clips.ClipFolder", "clips.ClipWorld", False),
    "images": _contract("image", "image", "images.ImageFolder", "images.Digits"),
    "points": _contract("point", "point", "", "points.Points", False),
}
REAL_KEYS = tuple(dict.fromkeys(contract.real for contract in CONTRACTS.values()))
