"""Which files are read and written: inputs found in folders, outputs that would overwrite refused."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from zoo.errors import UsageError, UserError

VIDEO = ".mp4"  # what videos become
NEEDS_INPUT = "translates pictures: name a picture or a folder of pictures before -o."
NEEDS_NONE = "makes samples from noise and takes no input; leave INPUT and --compare out."
WEIGHT_FILES = ("model.safetensors", "model.json")  # of exported weights


def given_path(text: str) -> Path:
    """A ``type`` for argparse: a path; nothing typed is none."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; name a file or a folder")
    return Path(text)


def require_output(out: Path) -> None:
    """Refuse a name that is neither a picture's nor a video's, and looks like no folder's.

    Raises:
        UsageError: It ends like a file of another kind.
    """
    from zoo.files import PICTURE_SUFFIXES

    is_file = re.fullmatch(r"\.[A-Za-z]{2,5}", out.suffix) and not out.is_dir()
    if is_file and out.suffix.lower() not in (*PICTURE_SUFFIXES, VIDEO):
        raise UsageError(f"{out} must end with .png or {VIDEO}; a folder of this name must exist already.")


def is_picture(path: Path) -> bool:
    """Whether a path names a picture file, there or not."""
    from zoo.files import PICTURE_SUFFIXES

    return path.suffix.lower() in PICTURE_SUFFIXES and not path.is_dir()


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


def pictures_of(inputs: Sequence[Path], name: str, videos: bool) -> list[Path]:
    """The picture files among the inputs and in folders; video files too if the model takes them.

    Args:
        inputs: Files and folders.
        name: How the model was asked for, for messages.
        videos: Whether the model takes videos.

    Raises:
        UserError: An input does not exist, is empty, or is a video for a model of pictures.
    """
    from zoo.data.folders import pictures_in

    if not inputs:
        raise UsageError(f"{name} {NEEDS_INPUT}")
    require_inputs(inputs)
    found: list[Path] = []
    for path in inputs:
        inside = pictures_in(path) if path.is_dir() else [path]
        if path.is_dir() and videos:
            inside += sorted(file for file in path.iterdir() if is_video(file))
        if not videos and any(map(is_video, inside)):
            raise UserError(f"{path} is a video and {name} translates pictures; give its frames as pictures.")
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
