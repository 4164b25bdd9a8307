"""Pictures and videos enlarged by a model of super-resolution: any size, any channels, 8 or 16 bit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import UserError
from zoo.use import Given

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.checkpoints import Pretrained


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
