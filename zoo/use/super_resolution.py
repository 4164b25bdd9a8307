"""Pictures and videos enlarged by a model of super-resolution: any size, any channels, 8 or 16 bit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.checkpoints import Pretrained


def upscale(model: Pretrained, picture: Tensor) -> Tensor:
    """A picture enlarged, with the channels that it has.

    Alpha, the second or fourth channel, is enlarged by the bicubic filter. Where the model takes colour, any
    other channel is enlarged on its own, as a grey picture.

    Args:
        model: A model of super-resolution.
        picture: (C, H, W) in [-1, 1].

    Returns:
        (C, scale H, scale W) in [-1, 1].

    Raises:
        UserError: The model takes neither grey nor colour and the picture has other channels.
    """
    import torch

    from zoo.data.superres.files import enlarge

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


def upscale_video(model: Pretrained, source: Path, target: Path) -> None:
    """Enlarge a film frame by frame to an MP4 of the same mean frame rate, without sound, atomically.

    Args:
        model: A model of super-resolution.
        source: A video file.
        target: The file to write; ends with .mp4.

    Raises:
        UserError: The file is no whole video, or the target cannot be written.
    """
    import av
    from rich.console import Console
    from rich.progress import track

    from zoo.files.films import frame_rate, look, read_frames
    from zoo.files.pictures import to_array, to_tensor
    from zoo.files.writing import replacing

    video = look(source)
    rate = frame_rate(source)
    console = Console(stderr=True)
    hidden = not console.is_terminal
    frames = read_frames(video, range(video.length))
    shown = track(frames, source.name, video.length, console=console, transient=True, disable=hidden)
    try:
        with replacing(target) as file, av.open(file, "w", format="mp4") as container:
            stream: Any = container.add_stream("libx264", rate=rate, options={"crf": "17"})
            for number, values in enumerate(shown):
                pixels = to_array(upscale(model, to_tensor(values)))
                # the codec halves the colours' resolution, so sides must be even
                pixels = pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2]
                if number == 0:
                    stream.height, stream.width = pixels.shape[:2]
                    stream.pix_fmt = "yuv420p"
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode())
    except (av.FFmpegError, OSError) as error:
        raise UserError(f"Cannot write {target} ({error}); choose another place.") from error
