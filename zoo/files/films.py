"""Films: videos as files and as folders of frames, reading chosen frames, writing GIFs.

A file's frames are numbered in the order in which they are shown, by the time stamps of its packets: that
is right for any rate, steady or not, and needs no decoding. To read some, the decoder is set to the key
frame before the first one and runs forward; each picture that comes out is known by its time stamp, so
none is taken for another. The decoder then stays open: where the next frames that are asked for lie further
on from the same key frame, it goes on from where it stands, through the very states that it would reach anew.
"""

from __future__ import annotations

import io
import os
import re
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from zoo.errors import UserError, first_few
from zoo.files.pictures import PICTURE_SUFFIXES, read_array, to_array
from zoo.files.writing import write_bytes

Array = NDArray[Any]

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".webm", ".mkv", ".gif")
_QUICKTIME = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")


@dataclass(frozen=True)
class Video:
    """One video.

    Args:
        path: A file, or a folder of frames.
        length: Frames, as the file's head says, which may be a few too many.
        frames: The pictures of a folder in order; empty for a file.
    """

    path: Path
    length: int
    frames: tuple[Path, ...] = ()


# ------------------------------------------------------------------------------------------------ one video
def look(path: Path) -> Video:
    """What a video file's head says, or how the frames of a folder are numbered; nothing is decoded.

    Raises:
        UserError: The file is no whole video, or the frames are not numbered one after the other.
    """
    if path.is_dir():
        frames = numbered_frames(path)
        return Video(path, len(frames), frames)
    with _opened(path) as (_, stream):
        length: int = stream.frames
    return Video(path, length or len(frame_times(path).shown))  # WebM, MKV and GIF do not say


def frame_rate(path: Path) -> Fraction:
    """Frames a second of a video file, on average.

    Raises:
        UserError: The file is no whole video, or does not say.
    """
    with _opened(path) as (_, stream):
        rate = stream.average_rate or stream.guessed_rate
    if not rate:
        raise UserError(f"{path} does not say how many frames a second it has; write it again as MP4.")
    return rate


def numbered_frames(folder: Path) -> tuple[Path, ...]:
    """The pictures of a folder in the order of the numbers at the end of their names.

    Raises:
        UserError: One has no number, two have the same, one is missing, or they are of several videos.
    """
    numbers: dict[int, Path] = {}
    prefixes = set()
    for path in sorted(p for p in folder.iterdir() if has_suffix(p, PICTURE_SUFFIXES)):
        parts = re.fullmatch(r"(.*?)(\d+)", path.stem)
        if parts is None:
            raise UserError(f"{path} has no number at the end of its name; number the frames of a video.")
        prefixes.add(parts[1])
        if (number := int(parts[2])) in numbers and len(prefixes) == 1:
            raise UserError(f"{path} and {numbers[number].name} have the same number; keep one of them.")
        numbers[number] = path
    if len(prefixes) > 1:
        raise UserError(
            f"{folder} holds frames of {len(prefixes)} videos ({first_few(sorted(prefixes))}); give each "
            "video a folder of its own."
        )
    order = sorted(numbers)
    steps = [after - before for before, after in pairwise(order)]
    for before, step in zip(order, steps, strict=False):
        if step != min(steps):
            raise UserError(
                f"{folder} has a hole: after {numbers[before].name} comes {numbers[before + step].name}; "
                "add what is "
                "missing between them or cut the folder in two."
            )
    return tuple(numbers[number] for number in order)


def read_frames(video: Video, wanted: Sequence[int]) -> Iterator[Array]:
    """Chosen frames of a video, one by one, as (H, W, C) of uint8, upright.

    Args:
        video: From :func:`look`.
        wanted: Numbers of frames, ascending.

    Raises:
        UserError: A frame cannot be decoded, the file ends early, or frames differ in size.
    """
    if video.frames:
        yield from _read_pictures(video, wanted)
        return
    times = frame_times(video.path)
    if len(times.shown) < 0.95 * video.length - 3:  # some writers count a few too many
        raise UserError(
            f"{video.path} is cut: its head says {video.length} frames but it holds {len(times.shown)}; "
            "replace it."
        )
    late = max(0, wanted[-1] + 1 - len(times.shown))
    marks = [times.shown[max(0, number - late)] for number in wanted]
    key = bisect_right(times.keys, marks[0]) - 1
    starts = [times.keys[key]] if key > 0 else []
    yield from _decoded(video.path, marks, [*starts, None])


def _read_pictures(video: Video, wanted: Sequence[int]) -> Iterator[Array]:
    first: tuple[Path, tuple[int, ...]] | None = None
    for number in wanted:
        path = video.frames[number]
        values = read_array(path)
        first = first or (path, values.shape)
        if values.shape != first[1]:
            raise UserError(
                f"{path} is {_size(values.shape)} but {first[0].name} is {_size(first[1])}; bring all "
                "frames of "
                f"{video.path} to one size."
            )
        # 16 bit becomes 8: films and networks of video know no more
        yield (values / 257).round().astype(np.uint8) if values.dtype == np.uint16 else values


def _decoded(path: Path, marks: list[int], starts: Sequence[int | None]) -> Iterator[Array]:
    """The frames at these time stamps; where one start does not give all, the next one goes on."""
    done = 0
    for start in starts:
        for mark, values in _run(path, marks[done:], start):
            if mark != marks[done]:
                break
            yield values
            done += 1
        if done == len(marks):
            return
    raise UserError(
        f"{path} cannot be decoded at time stamp {marks[done]} (of {len(marks)} frames {done} could be "
        "read); it is "
        "damaged, replace it."
    )


def _run(path: Path, marks: list[int], start: int | None) -> Iterator[tuple[int, Array]]:
    """Decode forward and give what is wanted with its time stamp; ends where the file or the wishes end."""
    wanted = set(marks)
    frames = _going_on(path, start, marks[0]) or _shown(path, start)
    for frame in frames:
        if frame.pts in wanted and not frame.is_corrupt:
            yield frame.pts, np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
        if frame.pts is not None and frame.pts >= marks[-1]:
            _kept.open = _Open(os.getpid(), path, start, frame.pts, frames)
            return


def _shown(path: Path, start: int | None) -> Iterator[VideoFrame]:
    """The frames of a file from a key frame on; None begins with the file."""
    with _opened(path) as (container, stream):
        if start is not None:
            container.seek(start, stream=stream)
        yield from container.decode(stream)


class _Open(NamedTuple):
    process: int
    path: Path
    start: int | None
    at: int  # time stamp of the last frame that came out
    frames: Iterator[VideoFrame]


class _Kept(threading.local):
    """What each thread has open."""

    open: _Open | None = None


_kept = _Kept()
_inherited: list[_Open] = []  # from before a fork: to close one would wait for threads that are not here


def _going_on(path: Path, start: int | None, first: int) -> Iterator[VideoFrame] | None:
    """The frames of what is open, taken from there, where they run from this start towards ``first``."""
    last, _kept.open = _kept.open, None
    if last is not None and last.process != os.getpid():
        _inherited.append(last)
        return None
    if last is None or (last.path, last.start) != (path, start) or last.at >= first:
        return None
    return last.frames


class _Times(NamedTuple):
    shown: list[int]  # time stamps of all frames, ascending
    keys: list[int]  # those of key frames


@lru_cache(maxsize=256)
def frame_times(path: Path) -> _Times:
    """When each frame is shown, from the packets, undecoded."""
    with _opened(path) as (container, stream):
        packets = {
            p.pts: p.is_keyframe for p in container.demux(stream) if p.pts is not None and not p.is_discard
        }
    if not packets:
        raise UserError(f"{path} holds no frames; replace it.")
    return _Times(sorted(packets), sorted(pts for pts, key in packets.items() if key))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A file and its video stream; whatever the decoder raises on damaged bytes becomes a sentence."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
        if not head:
            raise UserError(f"{path} is empty; replace it.")
        # missing time stamps are made up from the decoding order (AVI); named formats never open other files
        with av.open(str(path), format=_format(path, head), options={"fflags": "+genpts"}) as container:
            if not container.streams.video:
                raise UserError(f"{path} holds no video stream; replace it.")
            yield container, container.streams.video[0]
    except (av.FFmpegError, OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split("; last error log")[0].split())
        raise UserError(f"{path} cannot be read as a video ({reason}); it is damaged, replace it.") from error


def _format(path: Path, head: bytes) -> str:
    if head[4:8] in _QUICKTIME:
        return "mov"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if head[:4] == b"GIF8":
        return "gif"
    raise UserError(
        f"{path} is no video (neither MP4, MOV, AVI, WebM, MKV nor GIF); replace it or take it out."
    )


def has_suffix(path: Path, suffixes: Sequence[str]) -> bool:
    """Whether a path is a file, not hidden, whose suffix is one of these."""
    return path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]} x {shape[0]} pixels of {shape[2]} channels"


def write_gif(path: str | Path, frames: Tensor, seconds: float = 0.1) -> None:
    """Write frames (T, C, H, W) in [-1, 1], of one or three channels, as an endless GIF, atomically.

    Args:
        path: Ends with .gif.
        frames: Values outside [-1, 1] are clamped.
        seconds: Each frame's time.
    """
    pictures = [Image.fromarray(to_array(frame.expand(3, -1, -1))) for frame in frames]
    # one palette for all frames, so that nothing flickers
    strip = Image.fromarray(np.concatenate([np.asarray(p) for p in pictures[:: max(1, len(pictures) // 8)]]))
    palette = strip.quantize(256, dither=Image.Dither.NONE)
    shown = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    buffer = io.BytesIO()
    shown[0].save(
        buffer, "GIF", save_all=True, append_images=shown[1:], duration=round(seconds * 1000), loop=0
    )
    write_bytes(path, buffer.getvalue())
