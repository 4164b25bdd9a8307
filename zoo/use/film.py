"""Films, which models of super-resolution enlarge frame by frame as they are saved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import UserError
from zoo.use import super_resolution
from zoo.use.paths import is_video
from zoo.use.picture import Picture

if TYPE_CHECKING:
    from zoo.checkpoints import Pretrained


SUFFIXES = (".mp4",)


def is_film(source: Any) -> bool:
    """Whether an input is the path of a film."""
    return isinstance(source, str | Path) and is_video(Path(source))


class Film:
    """An enlarged film; its frames are made when they are asked for.

    Args:
        model: A model of super-resolution.
        path: The film.

    Raises:
        UserError: The model enlarges no pictures.
    """

    def __init__(self, model: Pretrained, path: Path) -> None:
        if model.scale == 1:
            raise UserError(f"{path} is a video and {model.origin} translates pictures; give its frames.")
        self.model, self.path = model, path

    def __iter__(self) -> Iterator[Picture]:
        """The frames in order."""
        from zoo.files.films import look, read_frames
        from zoo.files.pictures import to_tensor

        film = look(self.path)
        for values in read_frames(film, range(film.length)):
            yield Picture(super_resolution.upscale(self.model, to_tensor(values)))

    def save(self, path: str | Path, bits: Any = None) -> None:
        """Write an MP4; an existing file is replaced.

        Raises:
            UserError: The film cannot be read, or the file cannot be written.
        """
        super_resolution.upscale_video(self.model, self.path, Path(path))
