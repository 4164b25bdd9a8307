"""Pictures and videos enlarged by a model of super-resolution: any size, any channels, 8 or 16 bit."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from fractions import Fraction
from heapq import merge
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import UserError
from zoo.use import Given

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from torch import Tensor

    from zoo.checkpoints import Pretrained


_OPTIONS = {"strict": "experimental"}  # TrueHD in MP4


def given(picture: Tensor, bits: int, model: Pretrained) -> Given:
    """A picture to enlarge, with the channels that it has.

    Alpha, the second or fourth channel, is enlarged by the bicubic filter. Where the model takes colour, any
    other channel is enlarged on its own, as a grey picture.

    Args:
        picture: (C, H, W) in [-1, 1].
        bits: Bits of its file.
        model: A model of super-resolution.

    Raises:
        UserError: The model takes neither grey nor colour and the picture has other channels.
    """
    import torch

    from zoo.data.superres.files import enlarge

    whole, wanted, channels = picture, model.input_channels, picture.shape[0]
    alpha = picture[channels:]
    if channels in (2, 4) and channels != wanted:
        picture, alpha = picture[:-1], picture[-1:]
    alone = len(picture) != wanted
    if alone and wanted not in (1, 3):
        raise UserError(
            f"{model.origin} takes pictures of {wanted} channels, not of {channels}; convert them first."
        )

    def join(made: Tensor) -> Tensor:
        large = made.mean(1) if alone else made[0]
        return torch.cat([large, enlarge(alpha[None], model.scale)[0]]) if len(alpha) else large

    planes = picture[:, None].expand(-1, wanted or 1, -1, -1) if alone else picture[None]
    return Given({"images": planes}, whole, bits, join)


def upscale(model: Pretrained, picture: Tensor) -> Tensor:
    """A picture (C, H, W) in [-1, 1] enlarged to (C, scale H, scale W), as by :func:`given`."""
    planes, _, _, join = given(picture, 8, model)
    return join(model.sample(planes["images"]).float().cpu())


def upscale_video(model: Pretrained, source: Path, target: Path) -> None:
    """Enlarge a video frame by frame to an MP4 (H.264 of 8 bits, BT.709), atomically.

    The times of the frames, the pixel aspect and the sound are kept; sound that MP4 cannot hold is left out
    with a message.

    Args:
        model: A model of super-resolution.
        source: A video file.
        target: The file to write; ends with .mp4.

    Raises:
        UserError: The file is no whole video, or the target cannot be written.
    """
    import av
    from av.video.reformatter import ColorRange, Colorspace
    from rich.console import Console
    from rich.progress import track

    from zoo.files.films import EXACT, frame_rate, look, read_frames, shown_as
    from zoo.files.pictures import to_array, to_tensor
    from zoo.files.writing import replacing

    rate, shown = frame_rate(source), shown_as(source)
    length = len(shown.seconds)
    console = Console(stderr=True)
    hidden = not console.is_terminal
    frames = read_frames(look(source), range(length), exact=True)
    seen = track(frames, source.name, length, console=console, transient=True, disable=hidden)

    def pictures() -> Iterator[Packet[Any]]:
        for number, values in enumerate(seen):
            pixels = to_array(upscale(model, to_tensor(values)))
            # the codec halves the colours' resolution, so sides must be even
            pixels = pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2]
            if number == 0:
                stream.height, stream.width = pixels.shape[:2]
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
                interpolation=EXACT,
            )
            frame.pts = round((shown.seconds[number] - shown.start) / shown.base)
            frame.time_base = shown.base
            yield from stream.encode(frame)
        yield from stream.encode()

    try:
        with replacing(target) as file, av.open(file, "w", format="mp4", options=_OPTIONS) as container:
            stream: Any = container.add_stream("libx264", rate=rate, options={"crf": "17"})
            stream.pix_fmt, stream.sample_aspect_ratio = "yuv420p", shown.aspect
            stream.codec_context.time_base = shown.base
            stream.colorspace, stream.color_range = Colorspace.ITU709, ColorRange.MPEG
            stream.color_primaries, stream.color_trc = shown.primaries, shown.transfer
            sound = _sound(source, shown.start, container)
            for packet in merge(pictures(), sound, key=_seconds):
                container.mux(packet)
    except (av.FFmpegError, OSError) as error:
        raise UserError(f"Cannot write {target} ({error}); choose another place.") from error


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
                print(f"{source} has sound that MP4 cannot hold ({name}); it is left out.", file=sys.stderr)

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
