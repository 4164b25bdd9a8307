"""Which files are read and written: inputs found in folders, outputs that would overwrite refused."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import UsageError, UserError
from zoo.use import kinds

if TYPE_CHECKING:
    from zoo.checkpoints import Pretrained

VIDEO = ".mp4"  # what videos become
NEEDS_NONE = "makes samples from noise and takes no input; leave INPUT and --compare out."
WEIGHT_FILES = ("model.safetensors", "model.json")  # of exported weights


def given_path(text: str) -> Path:
    """A ``type`` for argparse: a path; nothing typed is none."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; name a file or a folder")
    return Path(text)


def endings() -> tuple[str, ...]:
    """How any output file may end."""
    return tuple(dict.fromkeys(e for kind in kinds().values() for e in vars(kind).get("SUFFIXES", ())))


def require_output(out: Path, allowed: Sequence[str]) -> None:
    """Refuse a name that ends like no file that can be written, and looks like no folder's.

    Raises:
        UsageError: It ends like a file of another kind.
    """
    is_file = re.fullmatch(r"\.[A-Za-z][A-Za-z0-9]{1,4}", out.suffix) and not out.is_dir()
    if is_file and out.suffix.lower() not in allowed:
        raise UsageError(
            f"{out} must end with {', '.join(allowed[:-1])} or {allowed[-1]}; a folder of this name must "
            "exist already."
        )


def is_file(path: Path, allowed: Sequence[str]) -> bool:
    """Whether a path names a file of one of these endings, there or not."""
    return path.suffix.lower() in allowed and not path.is_dir()


def is_video(path: Path) -> bool:
    """Whether a path names a video file."""
    from zoo.files.films import VIDEO_SUFFIXES

    return path.suffix.lower() in VIDEO_SUFFIXES


def suffix_for(channels: int) -> str:
    """The suffix of a picture file that can hold so many channels."""
    return ".png" if channels <= 4 else ".tif"


def require_inputs(inputs: Sequence[Path]) -> None:
    """Refuse paths that do not exist.

    Raises:
        UsageError: There is no such file or folder.
    """
    for path in inputs:
        if not path.exists():
            raise UsageError(f"There is no file or folder {path}; check the path.")


def files_in(inputs: Sequence[Path], model: Pretrained) -> list[Path]:
    """The picture files among the inputs and in folders; video files too if the model enlarges.

    Raises:
        UserError: An input does not exist, is empty, or is a video for a model that takes none.
    """
    from zoo.data.folders import pictures_in

    require_inputs(inputs)
    found: list[Path] = []
    for path in inputs:
        inside = pictures_in(path) if path.is_dir() else [path]
        if path.is_dir() and model.scale > 1:
            inside += sorted(file for file in path.iterdir() if is_video(file))
        if model.scale == 1 and any(map(is_video, inside)):
            raise UserError(
                f"{path} is a video and {model.name} translates pictures; give its frames as pictures."
            )
        if not inside:
            raise UserError(f"The folder {path} holds no pictures; name one that does.")
        found += inside
    return found


def refuse_taken(targets: Sequence[Path], force: bool) -> None:
    """Refuse to overwrite files unless ``--force`` is given.

    Raises:
        UserError: A file exists; names the first.
    """
    taken = [] if force else [target for target in targets if target.exists()]
    if taken:
        more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
        raise UserError(f"{taken[0]}{more} would be overwritten; choose another -o or add --force.")


def refuse_same(sources: Sequence[Path], targets: Sequence[Path]) -> None:
    """Refuse inputs that would become one file.

    Raises:
        UserError: Two inputs have one target.
    """
    first: dict[Path, Path] = {}
    for source, target in zip(sources, targets, strict=True):
        if target in first:
            raise UserError(f"{first[target]} and {source} would both become {target}; translate them apart.")
        first[target] = source
