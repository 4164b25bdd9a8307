"""Films, which models of super-resolution enlarge frame by frame as they are saved."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from fractions import Fraction
from heapq import merge
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import UserError
from zoo.use import note, super_resolution
from zoo.use.paths import is_video
from zoo.use.picture import Picture

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

    from zoo.checkpoints import Pretrained


SUFFIXES = (".mp4",)
_OPTIONS = {"strict": "experimental"}  # TrueHD in MP4


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
            raise UserError(f"{path} is a video and {model.name} translates pictures; give its frames.")
        self.model, self.path = model, path

    def __iter__(self) -> Iterator[Picture]:
        """The frames in order."""
        from zoo.files.films import frame_times, look, read_frames
        from zoo.files.pictures import to_tensor

        length = len(frame_times(self.path).shown)
        for values in read_frames(look(self.path), range(length), exact=True):
            yield Picture(super_resolution.upscale(self.model, to_tensor(values)))

    def save(self, path: str | Path, bits: Any = None) -> None:
        """Write an MP4 (H.264 of 8 bits, BT.709); an existing file is replaced.

        The times of the frames, the pixel aspect and the sound are kept; sound that MP4 cannot hold is left
        out with a message.

        Raises:
            UserError: The film cannot be read, or the file cannot be written.
        """
        if Path(path).suffix.lower() not in SUFFIXES:
            raise UserError(f"Cannot write {path}: end the name of a film with {SUFFIXES[0]}.")
        import av
        from av.video.reformatter import ColorRange, Colorspace
        from rich.console import Console
        from rich.progress import track

        from zoo.files.films import encodable, frame_rate, shown_as
        from zoo.files.pictures import to_array
        from zoo.files.writing import existing, replacing

        rate, shown = frame_rate(self.path), shown_as(self.path)
        length, name, console = len(shown.seconds), self.path.name, Console(stderr=True)
        seen = track(self, name, length, console=console, transient=True, disable=not console.is_terminal)

        def pictures() -> Iterator[Packet[Any]]:
            for seconds, picture in zip(shown.seconds, seen, strict=True):
                frame = encodable(to_array(picture.tensor))
                if seconds == shown.seconds[0]:
                    stream.height, stream.width = frame.height, frame.width
                frame.pts = round((seconds - shown.start) / shown.base)
                frame.time_base = shown.base
                yield from stream.encode(frame)
            yield from stream.encode()

        try:
            with (
                replacing(Path(path)) as file,
                av.open(file, "w", format="mp4", options=_OPTIONS) as container,
            ):
                stream: Any = container.add_stream("libx264", rate=rate, options={"crf": "17"})
                stream.pix_fmt, stream.sample_aspect_ratio = "yuv420p", shown.aspect
                stream.codec_context.time_base = shown.base
                stream.colorspace, stream.color_range = Colorspace.ITU709, ColorRange.MPEG
                stream.color_primaries, stream.color_trc = shown.primaries, shown.transfer
                sound = _sound(self.path, shown.start, container)
                for packet in merge(pictures(), sound, key=_seconds):
                    container.mux(packet)
        except (av.FFmpegError, OSError) as error:
            free = shutil.disk_usage(existing(Path(path))).free
            why = "the disk is full" if free < 2**20 else error
            raise UserError(f"Cannot write {path} ({why}); choose another place.") from error


def _sound(source: Path, start: Fraction, target: OutputContainer) -> Iterator[Packet[Any]]:
    """Add a video file's audio streams to another; return their packets, earlier by ``start`` seconds."""
    from zoo.files.films import opened_film

    added = {}
    with opened_film(source) as (container, _):
        for stream in container.streams.audio:
            if _held_by_mp4(container, stream):
                added[stream.index] = _copied(stream, target)
            else:
                name = stream.codec_context.name if stream.codec_context else "an unknown codec"
                note(f"{source} has sound that MP4 cannot hold ({name}); it is left out.")

    def packets() -> Iterator[Packet[Any]]:
        last: dict[int, int] = {}
        with opened_film(source) as (container, _):
            for packet in container.demux(*(container.streams[index] for index in added)):
                index = packet.stream.index
                if packet.pts is None or packet.dts is None or packet.dts <= last.get(index, packet.dts - 1):
                    continue  # an edit list of several parts goes back in time
                last[index] = packet.dts
                earlier = round(start / packet.time_base)
                packet.pts, packet.dts = packet.pts - earlier, packet.dts - earlier
                packet.stream = added[index]
                yield packet

    return packets() if added else iter(())


def _copied(stream: AudioStream, target: OutputContainer) -> AudioStream:
    copy: AudioStream = target.add_stream_from_template(stream)
    layouts = {"1 channels": "mono", "2 channels": "stereo"}  # AVI does not state them
    if name := layouts.get(stream.codec_context.layout.name):
        copy.codec_context.layout = name
    return copy


def _held_by_mp4(container: InputContainer, stream: AudioStream) -> bool:
    """Whether the first packet of an audio stream can be written to an MP4."""
    import av

    try:
        container.seek(0)
        with av.open(io.BytesIO(), "w", format="mp4", options=_OPTIONS) as trial:
            packet = next(container.demux(stream))
            packet.stream = _copied(stream, trial)
            trial.mux(packet)
    except (ValueError, av.FFmpegError):
        return False
    return True


def _seconds(packet: Packet[Any]) -> Fraction:
    return (packet.dts or 0) * packet.time_base
