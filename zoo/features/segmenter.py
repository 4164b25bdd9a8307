"""A small segmentation network, trained on real pairs, to score generated images.

It replaces the FCN of pix2pix's evaluation (Isola 2017, section 3.4): an image is realistic if a network
trained on real ones finds in it the classes of the label map.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

Colour = tuple[int, int, int]
Palette = Literal["facades"]

FACADES: dict[str, Colour] = {  # label colours of pix2pix's CMP facades before JPEG
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
PALETTES: dict[Palette, tuple[Colour, ...]] = {"facades": tuple(FACADES.values())}


def palette_labels(picture: Tensor, palette: Sequence[Colour]) -> Tensor:
    """The index of the nearest colour per pixel: (…,3,H,W) in [-1, 1] to (…,H,W) long.

    Args:
        picture: Label image.
        palette: Colours, 0 to 255.
    """
    colours = torch.tensor(palette, dtype=picture.dtype, device=picture.device) / 127.5 - 1
    # |p - c|^2 without |p|^2, which is equal for all colours
    scores = torch.einsum("...chw,kc->...khw", picture, colours) - colours.square().sum(1)[:, None, None] / 2
    return scores.argmax(-3)


class Segmenter(nn.Module):
    """A U-Net of three scales with a dilated bottom: (B,channels,H,W) in [-1, 1] to (B,classes,H,W) logits.

    Args:
        classes: Number of classes.
        channels: Channels of the image.
        width: Channels at full resolution; doubled at each of the two halvings.
    """

    def __init__(self, classes: int, channels: int = 3, width: int = 16) -> None:
        super().__init__()
        self.enter = _block(channels, width)
        self.middle = _block(width, 2 * width)
        self.coarse = nn.Sequential(
            _block(2 * width, 4 * width), *(_block(4 * width, 4 * width, dilation) for dilation in (2, 4, 8))
        )
        self.rise = _block(4 * width + 2 * width, 2 * width)
        self.leave = _block(2 * width + width, width)
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(self, picture: Tensor) -> Tensor:
        """Class logits per pixel; sides are padded internally to multiples of 4."""
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
    """Train a segmenter with Adam and one learning rate cycle, flipping half of the batches.

    Deterministic in the pairs, their order and the seed; torch's global RNG state is unchanged.

    Args:
        pairs: Batches of images (B,C,H,W) in [-1, 1] and labels (B,H,W); cycled.
        classes: Number of classes.
        steps: Number of batches.
        seed: Seed of the initial weights and the flips.
        width: Width of the network.

    Returns:
        The network in evaluation mode, frozen, on the device of the pairs.
    """
    with torch.random.fork_rng(devices=[]):  # a loader without its own generator draws here too
        torch.manual_seed(seed)
        batches = chain.from_iterable(repeat(pairs))
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
