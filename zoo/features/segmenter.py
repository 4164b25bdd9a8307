"""A small segmentation network that is trained on real pairs, to read what generated pictures show.

It stands where the FCN stands in the evaluation of pix2pix (Isola 2017, section 3.4): a picture is realistic
when a network that saw only real ones finds in it what the label map asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

Colour = tuple[int, int, int]

FACADES: dict[str, Colour] = {  # the label halves of pix2pix's CMP facades, as they are before JPEG
    "background": (0, 0, 222),
    "facade": (0, 48, 255),
    "window": (0, 128, 255),
    "door": (0, 207, 255),
    "cornice": (32, 255, 224),
    "sill": (112, 255, 143),
    "balcony": (192, 255, 63),
    "blind": (255, 240, 0),
    "deco": (255, 159, 0),
    "molding": (255, 80, 0),
    "pillar": (255, 0, 0),
    "shop": (174, 0, 0),
}


def palette_labels(picture: Tensor, palette: Sequence[Colour]) -> Tensor:
    """The index of the nearest colour at each pixel of a label picture.

    Args:
        picture: (…,3,H,W) in [-1, 1].
        palette: Colours, 0 to 255.

    Returns:
        (…,H,W) long.
    """
    colours = torch.tensor(palette, dtype=picture.dtype, device=picture.device) / 127.5 - 1
    # |p - c|^2 without |p|^2, which is the same for all colours
    scores = torch.einsum("...chw,kc->...khw", picture, colours) - colours.square().sum(1)[:, None, None] / 2
    return scores.argmax(-3)


class Segmenter(nn.Module):
    """A U-Net of three scales with a dilated bottom: (B,channels,H,W) in [-1, 1] to (B,classes,H,W) logits.

    Args:
        classes: Number of classes.
        channels: Of the picture.
        width: Channels at full resolution; they double at each of the two halvings.
    """

    def __init__(self, classes: int, channels: int = 3, width: int = 16) -> None:
        super().__init__()
        self.enter = _block(channels, width)
        self.middle = _block(width, 2 * width)
        self.coarse = nn.Sequential(
            _block(2 * width, 4 * width),
            *(_block(4 * width, 4 * width, dilation) for dilation in (2, 4, 8)),
        )
        self.rise = _block(4 * width + 2 * width, 2 * width)
        self.leave = _block(2 * width + width, width)
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(self, picture: Tensor) -> Tensor:
        """Logits of the classes at each pixel; sides that are no multiple of 4 are padded within."""
        height, width = picture.shape[-2:]
        x = F.pad(picture, (0, -width % 4, 0, -height % 4), mode="replicate")
        full = self.enter(x)
        middle = self.middle(F.max_pool2d(full, 2))
        coarse = self.coarse(F.max_pool2d(middle, 2))
        middle = self.rise(torch.cat([_twice(coarse), middle], 1))
        logits: Tensor = self.classify(self.leave(torch.cat([_twice(middle), full], 1)))
        return logits[..., :height, :width]


def _block(in_channels: int, out_channels: int, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


def train_segmenter(
    pairs: DataLoader[tuple[Tensor, Tensor]], classes: int, steps: int = 400, seed: int = 0, width: int = 16
) -> Segmenter:
    """Train a segmenter with Adam, one cycle of the learning rate, mirrored half of the time.

    The same pairs in the same order and the same seed give the same weights; torch's global generator stays
    as it was.

    Args:
        pairs: Batches of pictures (B,C,H,W) in [-1, 1] and labels (B,H,W); read again and again.
        classes: Number of classes.
        steps: Batches to learn from.
        seed: Of the initial weights and the mirroring.
        width: Of the network.

    Returns:
        The network in evaluation mode, frozen, where the pairs are.
    """
    with torch.random.fork_rng(devices=[]):  # a loader without a generator of its own draws in here too
        torch.manual_seed(seed)
        batches = _again(pairs)
        picture, labels = next(batches)
        network = Segmenter(classes, picture.shape[1], width).to(picture.device)
        optimizer = torch.optim.Adam(network.parameters(), 1e-2)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps, pct_start=0.15)
        for step in tqdm(
            range(steps), desc="Training the segmenter", unit="batch", leave=False, disable=None
        ):
            if torch.rand(()) < 0.5:
                picture, labels = picture.flip(-1), labels.flip(-1)
            loss = F.cross_entropy(network(picture), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            cycle.step()
            if step + 1 < steps:
                picture, labels = next(batches)
    return network.eval().requires_grad_(False)


def _again(pairs: DataLoader[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from pairs
