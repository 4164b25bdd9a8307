"""Read frames of videos (files, or folders of frames) by number; write GIF and MP4.

Frames of a file are numbered in display order by the timestamps of its packets, which is right for constant
and variable rates and needs no decoding. AVI stores no timestamps: its frames are identified by their
packets' numbers, and H.264 with B-frames is decoded once to find the display order. Frames outside an edit
list are left out. To read frames, the decoder seeks to the key frame before the first one and runs forward;
frames are identified by timestamp. Decoding resumes from the open decoder if the next frames follow in the
same GOP; the frames equal those of a fresh seek.
"""

from __future__ import annotations

import io
import os
import re
import struct
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
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from zoo.errors import UserError, first_few
from zoo.files.pictures import PICTURE_SUFFIXES, read_array, to_array
from zoo.files.reading import opened
from zoo.files.writing import replacing, write_bytes

Array = NDArray[Any]

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".webm", ".mkv", ".gif")
MOST_PIXELS = 2**25  # of a frame, 8K; a decoder keeps up to 16 frames of 1.5 bytes a pixel
EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT  # for colours
_PICTURE_CODECS = ("mjpeg", "png", "bmp", "gif", "webp")  # of a cover that is not marked as one
_QUICKTIME = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")


@dataclass(frozen=True)
class Video:
    """One video.

    Args:
        path: A file, or a folder of frames.
        length: Number of frames in the file's header, which may be a few too many.
        frames: A folder's images in order; empty for a file.
    """

    path: Path
    length: int
    frames: tuple[Path, ...] = ()


def look(path: Path) -> Video:
    """Read a video file's header, or number the frames of a folder; nothing is decoded.

    Raises:
        UserError: The file is no whole video, or the frames are not numbered consecutively.
    """
    if path.is_dir():
        frames = numbered_frames(path)
        return Video(path, len(frames), frames)
    with opened_film(path) as (container, stream):
        length, index = stream.frames, stream.index_entries
        # an edit list leaves frames out; AVI counts gaps as frames, but has no whole index if it is cut off
        if length and ("mov" in container.format.name or (index and index[-1].timestamp >= _least(length))):
            length = sum(not entry.is_discard for entry in index)
    return Video(path, length or len(frame_times(path).shown))  # WebM, MKV and GIF do not state it


def frame_rate(path: Path) -> Fraction:
    """Average frames per second of a video file.

    Raises:
        UserError: The file is no whole video, or does not state its rate.
    """
    with opened_film(path) as (_, stream):
        rate = stream.average_rate or stream.guessed_rate
    if not rate:
        raise UserError(f"{path} does not state its frame rate; convert it to MP4.")
    return rate


def numbered_frames(folder: Path) -> tuple[Path, ...]:
    """The images of a folder, sorted by the numbers at the end of their names.

    Raises:
        UserError: One has no number, two have the same, one is missing, or they belong to several videos.
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
            f"{folder} holds frames of {len(prefixes)} videos ({first_few(sorted(prefixes))}); put each "
            "video in its own folder."
        )
    order = sorted(numbers)
    steps = [after - before for before, after in pairwise(order)]
    for before, step in zip(order, steps, strict=False):
        if step != min(steps):
            raise UserError(
                f"{folder} has a gap: after {numbers[before].name} comes {numbers[before + step].name}; "
                "add the missing frames or split the folder in two."
            )
    return tuple(numbers[number] for number in order)


def read_frames(video: Video, wanted: Sequence[int], exact: bool = False) -> Iterator[Array]:
    """Yield frames of a video as (H, W, C) of uint8, rotated upright.

    Args:
        video: A video from :func:`look`.
        wanted: Frame numbers, ascending.
        exact: Interpolate chroma and round colours correctly: seven to ten times slower than FFmpeg's fast
            conversion of 4:2:0, whose colours are up to 3 levels too dark.

    Raises:
        UserError: A frame cannot be decoded, the file ends early, or frames differ in size.
    """
    if video.frames:
        yield from _read_pictures(video, wanted)
        return
    times = frame_times(video.path)
    if len(times.shown) < _least(video.length):
        raise UserError(
            f"{video.path} is truncated: its header says {video.length} frames but it holds "
            f"{len(times.shown)}; replace it."
        )
    late = max(0, wanted[-1] + 1 - len(times.shown))
    numbers = [max(0, number - late) for number in wanted]
    key = bisect_right(times.keys, numbers[0]) - 1
    starts = [times.shown[times.keys[key]]] if key > 0 else []
    yield from _decoded(video.path, numbers, [*starts, None], exact)


def _least(length: int) -> float:
    """Number of frames that a whole file has at least; some writers count a few too many."""
    return 0.95 * length - 3


def _read_pictures(video: Video, wanted: Sequence[int]) -> Iterator[Array]:
    first: tuple[Path, tuple[int, ...]] | None = None
    for number in wanted:
        path = video.frames[number]
        values = read_array(path)
        first = first or (path, values.shape)
        if values.shape != first[1]:
            raise UserError(
                f"{path} is {_size(values.shape)} but {first[0].name} is {_size(first[1])}; resize all "
                f"frames of {video.path} to one size."
            )
        # 16 bits become 8, the depth of video files and networks
        yield (values / 257).round().astype(np.uint8) if values.dtype == np.uint16 else values


def _decoded(path: Path, numbers: list[int], starts: Sequence[int | None], exact: bool) -> Iterator[Array]:
    """The frames of these numbers; if one start does not reach all, try the next for the rest."""
    done = 0
    for start in starts:
        for number, values in _run(path, numbers[done:], start, exact):
            if number != numbers[done]:
                break
            yield values
            done += 1
        if done == len(numbers):
            return
    raise UserError(
        f"{path} cannot be decoded at frame {numbers[done]} ({done} of {len(numbers)} frames could be read); "
        "it is damaged, replace it."
    )


def _run(path: Path, numbers: list[int], start: int | None, exact: bool) -> Iterator[tuple[int, Array]]:
    """Decode forward and yield wanted frames with their numbers, until the file or ``numbers`` end."""
    wanted, known = set(numbers), frame_times(path).numbers
    frames = _resumed(path, start, numbers[0]) or _shown(path, start)
    for frame in frames:
        number = -1 if frame.pts is None else known.get(frame.pts, -1)
        if number in wanted and not frame.is_corrupt:
            yield number, _upright(frame, exact)
        if number >= numbers[-1]:
            _kept.open = _Open(os.getpid(), path, start, number, frames)
            return


def _upright(frame: VideoFrame, exact: bool) -> Array:
    """A frame (H, W, 3), turned and mirrored as its display matrix says."""
    values: Array = frame.to_ndarray(format="rgb24", interpolation=EXACT if exact else None)
    down, right, turned = _directions(frame)
    values = values.swapaxes(0, 1) if turned else values
    return values[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1]


def _directions(frame: VideoFrame) -> tuple[int, int, bool]:
    """Signs of the directions of rows and columns, which are swapped before if the last is true."""
    # not frame.side_data: it refers to the frame that keeps it, and such a cycle may be freed after a fork
    matrix = SideDataContainer(frame).get(SideDataType.DISPLAYMATRIX)  # type: ignore[call-arg]
    if matrix is None:
        return 1, 1, False
    a, b, _, c, d = struct.unpack_from("=5i", bytes(matrix))  # x' = a x + c y, y' = b x + d y
    turned = abs(a) + abs(d) < abs(b) + abs(c)
    return (b, c, True) if turned else (d, a, False)


def _shown(path: Path, start: int | None) -> Iterator[VideoFrame]:
    """The frames of a file from a key frame on; None starts at the beginning."""
    with opened_film(path) as (container, stream):
        if start is not None:
            container.seek(start, stream=stream)
        yield from _frames(container, stream)


def _frames(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    avi = container.format.name == "avi"
    for packet in container.demux(stream):
        if avi:
            packet.pts = packet.dts  # the packet's number; FFmpeg's guess of the timestamp may be wrong
        yield from packet.decode()


class _Open(NamedTuple):
    process: int
    path: Path
    start: int | None
    at: int  # number of the last decoded frame
    frames: Iterator[VideoFrame]


class _Kept(threading.local):
    """Each thread's open decoder."""

    open: _Open | None = None


_kept = _Kept()
_inherited: list[_Open] = []  # from before a fork: closing one would wait for threads of the parent


def _resumed(path: Path, start: int | None, first: int) -> Iterator[VideoFrame] | None:
    """Take over the open decoder's frames if it runs from this start and has not passed ``first``."""
    last, _kept.open = _kept.open, None
    if last is not None and last.process != os.getpid():
        _inherited.append(last)
        return None
    if last is None or (last.path, last.start) != (path, start) or last.at >= first:
        return None
    return last.frames


class _Times(NamedTuple):
    shown: list[int]  # timestamps of all frames in display order; in AVI, numbers of their packets
    keys: list[int]  # numbers of key frames, ascending
    numbers: dict[int, int]  # each timestamp's place in ``shown``


@lru_cache(maxsize=256)
def frame_times(path: Path) -> _Times:
    """Timestamps of all frames, and which are key frames, read from the packets.

    Raises:
        UserError: The file is no whole video.
    """
    with opened_film(path) as (container, stream):
        avi = container.format.name == "avi"
        found = [
            (p.pts, at, p.is_keyframe)
            for p in container.demux(stream)
            if p.pts is not None and (at := p.dts if avi else p.pts) is not None and not p.is_discard
        ]
        # one delay for all: FFmpeg has not found out which frames are reordered
        hidden = avi and stream.codec_context.has_b_frames and len({pts - at for pts, at, _ in found}) == 1
    if not found:
        raise UserError(f"{path} holds no frames; replace it.")
    shown = list(dict.fromkeys(at for _, at, _ in sorted(found)))
    if hidden:
        shown = _decoded_order(path, shown)
    numbers = {at: number for number, at in enumerate(shown)}
    return _Times(shown, sorted({numbers[at] for _, at, key in found if key}), numbers)


class Shown(NamedTuple):
    """How a video file is to be shown.

    Args:
        start: When the file begins, usually 0, in seconds.
        seconds: When each frame appears.
        base: Unit of the file's timestamps in seconds, at least a microsecond.
        aspect: Width of a pixel in units of its height.
        primaries: Code of the colour primaries (ITU-T H.273); 2 if unknown.
        transfer: Code of the transfer function.
    """

    start: Fraction
    seconds: list[Fraction]
    base: Fraction
    aspect: Fraction
    primaries: int
    transfer: int


def shown_as(path: Path) -> Shown:
    """Times, pixel aspect and colours of a video file.

    Raises:
        UserError: The file is no whole video.
    """
    times = frame_times(path)
    with opened_film(path) as (container, stream):
        base, aspect = stream.time_base or Fraction(1, 1000), stream.sample_aspect_ratio or Fraction(1)
        start = Fraction(container.start_time or 0, av.time_base)
        frame = next(_frames(container, stream), None)
    if frame is None:
        raise UserError(f"{path} cannot be decoded; it is damaged, replace it.")
    aspect = 1 / aspect if _directions(frame)[2] else aspect
    seconds = [at * base for at in sorted(times.shown)]
    start = min(max(Fraction(0), start), seconds[0])  # sound may have a lead-in before 0
    return Shown(
        start, seconds, max(base, Fraction(1, 10**6)), aspect, frame.color_primaries, frame.color_trc
    )


def _decoded_order(path: Path, stamps: Sequence[int]) -> list[int]:
    with opened_film(path) as (container, stream):
        quick = {"skip_loop_filter": "all", "skip_idct": "all"}  # only the order counts
        stream.codec_context.options = {**stream.codec_context.options, **quick}
        frames = _frames(container, stream)
        order = list(dict.fromkeys(at for frame in frames if (at := frame.pts) is not None))
    if len(order) < len(stamps):
        raise UserError(
            f"{path} cannot be decoded ({len(order)} of {len(stamps)} frames could be read); it is damaged, "
            "replace it."
        )
    return order


@contextmanager
def opened_film(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and its video stream; convert what the decoder raises on damaged bytes to a UserError."""
    try:
        with opened(path) as file:
            head = file.read(12)
        if not head:
            raise UserError(f"{path} is empty; replace it.")
        # genpts derives missing timestamps from decoding order (AVI); named formats never open other files
        options = {"fflags": "+genpts", "max_pixels": str(MOST_PIXELS)}
        # an absolute path: a relative one with a colon would name a protocol
        with av.open(str(path.absolute()), format=_format(path, head), options=options) as container:
            stream = min(container.streams.video, key=_may_be_cover, default=None)
            if stream is None or stream.disposition & Disposition.attached_pic:
                raise UserError(f"{path} holds no video stream; replace it.")
            if stream.codec_context is None:
                raise UserError(f"{path} holds video that cannot be decoded here; convert it to H.264.")
            size = stream.codec_context.width * stream.codec_context.height  # 0 if they are too many
            if not 0 < size <= MOST_PIXELS:
                raise UserError(f"{path} has frames of no size or of over {MOST_PIXELS} pixels; resize them.")
            stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
            yield container, stream
    except (av.FFmpegError, OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split("; last error log")[0].split())
        raise UserError(f"{path} cannot be read as a video ({reason}); it is damaged, replace it.") from error


def _may_be_cover(stream: VideoStream) -> tuple[bool, bool]:
    """Orders the streams of a file: the first film comes before pictures that belong to it."""
    attached = bool(stream.disposition & Disposition.attached_pic)
    return attached, stream.codec_context is not None and stream.codec_context.name in _PICTURE_CODECS


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
    """Whether a path is a file with one of these suffixes, and not hidden."""
    return path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]} x {shape[0]} pixels of {shape[2]} channels"


def write_gif(path: str | Path, frames: Tensor, seconds: float = 0.1) -> None:
    """Write frames (T, C, H, W) in [-1, 1], C 1 or 3, as an endless GIF, atomically.

    Args:
        path: Ends with .gif.
        frames: The frames; values outside [-1, 1] are clamped.
        seconds: Duration of a frame.
    """
    pictures = [Image.fromarray(to_array(frame.expand(3, -1, -1))) for frame in frames]
    # one palette for all frames avoids flicker
    strip = Image.fromarray(np.concatenate([np.asarray(p) for p in pictures[:: max(1, len(pictures) // 8)]]))
    palette = strip.quantize(256, dither=Image.Dither.NONE)
    shown = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    buffer = io.BytesIO()
    shown[0].save(
        buffer, "GIF", save_all=True, append_images=shown[1:], duration=round(seconds * 1000), loop=0
    )
    write_bytes(path, buffer.getvalue())


def encodable(pixels: Array) -> VideoFrame:
    """RGB bytes (H, W, 3) as a frame for H.264 (4:2:0, BT.709), whose sides must be even."""
    even = np.ascontiguousarray(pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2])
    return VideoFrame.from_ndarray(even, format="rgb24").reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation=EXACT,
    )


def write_mp4(path: str | Path, frames: Tensor, rate: int) -> None:
    """Write frames (T, C, H, W) in [-1, 1], C 1 or 3, as MP4 (H.264 of 8 bits, BT.709), atomically.

    Args:
        path: Ends with .mp4.
        frames: The frames; values outside [-1, 1] are clamped, and a last odd row or column is left out.
        rate: Frames per second.

    Raises:
        UserError: The file cannot be written.
    """
    try:
        with replacing(Path(path)) as file, av.open(file, "w", format="mp4") as container:
            stream: Any = container.add_stream("libx264", rate=rate, options={"crf": "17"})
            stream.height, stream.width = (side // 2 * 2 for side in frames.shape[2:])
            stream.pix_fmt, stream.colorspace = "yuv420p", Colorspace.ITU709
            stream.color_range = ColorRange.MPEG
            for frame in frames:
                container.mux(stream.encode(encodable(to_array(frame.expand(3, -1, -1)))))
            container.mux(stream.encode())
    except (av.FFmpegError, OSError) as error:
        raise UserError(f"Cannot write {path} ({error}); choose another place.") from error
