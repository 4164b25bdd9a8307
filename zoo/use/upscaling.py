"""Enlarge a user's pictures and films with a super-resolution model: any size, any channels, 8 or 16 bit."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import torch
from torch import Tensor

from zoo.checkpoints import Pretrained
from zoo.data.superres.files import enlarge
from zoo.errors import UserError
from zoo.files.films import frame_rate, look, read_frames
from zoo.files.pictures import to_array, to_tensor


def upscale(model: Pretrained, picture: Tensor) -> Tensor:
    """A picture enlarged, with the channels that it has.

    Alpha, the second or fourth channel, is enlarged by the bicubic filter. Where the model takes colour, any
    other channel is enlarged as a grey picture by itself.

    Args:
        model: Of super-resolution.
        picture: (C, H, W) in [-1, 1].

    Returns:
        (C, scale H, scale W) in [-1, 1].

    Raises:
        UserError: The model takes neither grey nor colour and the picture has other channels.
    """
    wanted, given = model.input_channels, picture.shape[0]
    alpha = picture[given:]
    if given in (2, 4) and given != wanted:
        picture, alpha = picture[:-1], picture[-1:]
    if len(picture) == wanted:
        large = model.sample(picture[None])[0]
    elif wanted in (1, 3):
        each = [model.sample(channel.expand(1, wanted, -1, -1)).mean(1) for channel in picture]
        large = torch.cat(each)
    else:
        raise UserError(
            f"{model.origin} takes pictures of {wanted} channels, not of {given}; convert them first."
        )
    if not len(alpha):
        return large
    return torch.cat([large, enlarge(alpha[None], model.scale)[0]])


def upscale_video(model: Pretrained, source: Path, target: Path, tell: Callable[[int, int], None]) -> None:
    """Enlarge a film frame by frame to an MP4 of the same mean frame rate, without sound, atomically.

    Args:
        model: Of super-resolution.
        source: A video file.
        target: Ends with .mp4.
        tell: Called after each frame with the frames done and their number.

    Raises:
        UserError: The file is no whole video, or the target cannot be written.
    """
    video = look(source)
    rate = frame_rate(source)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with av.open(str(part), "w", format="mp4") as container:
                stream: Any = container.add_stream("libx264", rate=rate, options={"crf": "17"})
                for number, values in enumerate(read_frames(video, range(video.length)), start=1):
                    pixels = to_array(upscale(model, to_tensor(values)))
                    # the codec halves the colours' resolution, so sides must be even
                    pixels = pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2]
                    if number == 1:
                        stream.height, stream.width = pixels.shape[:2]
                        stream.pix_fmt = "yuv420p"
                    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                    container.mux(stream.encode(frame))
                    tell(number, video.length)
                container.mux(stream.encode())
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
    except (av.FFmpegError, OSError) as error:
        raise UserError(f"Cannot write {target} ({error}); choose another place.") from error
