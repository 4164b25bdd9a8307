"""Sheets of images: titled grids, mosaics, scatter plots and colours for label maps.

All functions take tensors on any device and return (3, H, W) float32 on the CPU in [-1, 1].
"""

from __future__ import annotations

import colorsys
import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

Places = list[tuple[int, int]]  # (top, left)

INK = (38, 42, 51)
FAINT = (214, 217, 223)
# successive hues far apart, of similar weight; further classes follow the golden angle
PALETTE = (
    (39, 55, 94), (233, 110, 76), (102, 170, 110), (242, 196, 83), (94, 146, 201), (178, 86, 130),
    (140, 202, 194), (150, 104, 74), (232, 163, 168), (120, 113, 178), (188, 200, 92), (84, 92, 100),
)  # fmt: skip


def to_rgb(x: Tensor) -> Tensor:
    """Show any channels as colour: (..., C, H, W) to (..., 3, H, W).

    One-hot or soft class maps (non-negative channels that sum to one) take their class colours; otherwise one
    channel is grey, three are RGB, a second or fourth channel is alpha over white, and of five or more the
    first three are shown.
    """
    x = x.detach().float().cpu()
    channels = x.shape[-3]
    if channels > 1 and bool((x >= 0).all()) and bool(((x.sum(-3) - 1).abs() < 1e-3).all()):
        return label_colours(x.argmax(-3), channels)
    if channels in (2, 4):
        alpha = (x[..., -1:, :, :] + 1) / 2
        x = (x[..., :-1, :, :] - 1) * alpha + 1
        channels -= 1
    if channels == 1:
        return x.expand(*x.shape[:-3], 3, *x.shape[-2:]).contiguous()
    return x[..., :3, :, :]


def label_colours(index_map: Tensor, classes: int) -> Tensor:
    """Colour a map of class indices: (..., H, W) long to (..., 3, H, W); other indices are black."""
    colours = [(0, 0, 0), *(_class_colour(i) for i in range(classes))]
    table = torch.tensor(colours, dtype=torch.float32) / 127.5 - 1
    index_map = index_map.detach().cpu().long()
    inside = (index_map >= 0) & (index_map < classes)
    return table[torch.where(inside, index_map + 1, 0)].movedim(-1, -3).contiguous()


def mosaic(images: Tensor, columns: int | None = None, gap: int = 2, least: int = 1) -> Tensor:
    """Arrange images (N, C, H, W) row by row on white.

    Args:
        images: At least one image of any channels.
        columns: Images per row; by default as close to a square as possible.
        gap: White pixels around each image.
        least: Minimum width; smaller images are enlarged by an integer factor, repeating pixels.
    """
    pictures = _enlarged(images, least)
    height, width = pictures.shape[-2:]
    places, *size = _layout(len(pictures), columns, height, width, gap)
    return _paste(torch.ones(3, *size), pictures, places)


def grid(columns: dict[str, Tensor], gap: int = 4, least: int = 96) -> Tensor:
    """Arrange kinds of images side by side under their titles: one row per sample, one column per kind.

    Args:
        columns: Title to images (N, C, H, W); sizes and channels may differ, smaller ones are enlarged to
            the largest height by repeating pixels; missing samples of a column stay white.
        gap: White pixels around each image.
        least: Minimum column width, for the titles; smaller columns are enlarged by an integer factor.
    """
    shown = {title: to_rgb(pictures) for title, pictures in columns.items()}
    height = max(p.shape[-2] for p in shown.values())
    shown = {title: _scaled(p, height) for title, p in shown.items()}
    factor = math.ceil(least / min(p.shape[-1] for p in shown.values()))
    shown = {title: _scaled(p, height * factor) for title, p in shown.items()}
    height *= factor
    count = max(len(p) for p in shown.values())
    widths = [p.shape[-1] for p in shown.values()]
    size = min(18, max(11, min(widths) // 9))
    head = size + 10
    image = Image.new("RGB", (sum(widths) + gap * (len(widths) + 1), head + count * (height + gap)), "white")
    draw = ImageDraw.Draw(image)
    left = gap
    for title, width in zip(shown, widths, strict=True):
        _title(draw, title, left + width / 2, head / 2, width, size)
        left += width + gap
    sheet = _from_image(image)
    left = gap
    for pictures in shown.values():
        _paste(sheet, pictures, [(head + row * (height + gap), left) for row in range(len(pictures))])
        left += pictures.shape[-1] + gap
    return sheet


def strip(clips: dict[str, Tensor], most: int = 16, gap: int = 2, least: int = 64) -> Tensor:
    """Arrange clips as rows of frames with their titles at the left, grouped by sample.

    Args:
        clips: Title to clips (N, T, C, H, W), all of one frame size; lengths and channels may differ.
        most: Frames shown of a longer clip, including the first and the last.
        gap: White pixels around each frame.
        least: Minimum width; smaller frames are enlarged by an integer factor, repeating pixels.
    """
    rows: list[tuple[str, Tensor]] = []
    tops: list[int] = []
    top = high = 0
    for sample in range(max(len(films) for films in clips.values())):
        for title, films in clips.items():
            if sample < len(films):
                film = films[sample]
                places = torch.linspace(0, len(film) - 1, min(most, len(film))).round().long()
                rows.append((title, mosaic(film[places], len(places), gap, least)))
                tops.append(top)
                high = rows[-1][1].shape[1]
                top += high
        top += 3 * gap if len(clips) > 1 else 0
    font = ImageFont.load_default(14)
    left = math.ceil(max(font.getlength(title) for title in clips)) + 12
    width = left + max(row.shape[2] for _, row in rows)
    image = Image.new("RGB", (width, tops[-1] + high), "white")
    draw = ImageDraw.Draw(image)
    for top, (title, _) in zip(tops, rows, strict=True):
        draw.text((left - 6, top + high / 2), title, INK, font, anchor="rm")
    sheet = _from_image(image)
    for top, (_, row) in zip(tops, rows, strict=True):
        sheet[:, top : top + high, left : left + row.shape[2]] = row
    return sheet


def scatter(points: dict[str, Tensor], size: int = 512) -> Tensor:
    """Plot clouds of points (N, 2) on one square with equal axes and a legend.

    The visible range is 1.5 times that of the first cloud. The legend counts points outside.

    Args:
        points: Name to points; at least one cloud, the first not empty.
        size: Pixels per side.
    """
    clouds = {name: p.detach().float().cpu() for name, p in points.items()}
    first = next(iter(clouds.values()))
    low, high = first.amin(0), first.amax(0)
    centre, reach = (low + high) / 2, max(float((high - low).max()) * 0.75, 1e-6)
    fine = 3  # drawn larger and downsampled: smooth discs
    head = 30
    side = size - head - 10
    left, top = (size - side) // 2, head
    image = Image.new("RGB", (size * fine, size * fine), "white")
    draw = ImageDraw.Draw(image, "RGBA")
    for i in range(5):  # quarter lines
        at = i * side / 4
        draw.line([((left + at) * fine, top * fine), ((left + at) * fine, (top + side) * fine)], FAINT, fine)
        draw.line([(left * fine, (top + at) * fine), ((left + side) * fine, (top + at) * fine)], FAINT, fine)
    radius = 2.2 * fine
    legend: list[tuple[str, tuple[int, int, int]]] = []
    for i, (name, cloud) in enumerate(clouds.items()):
        colour = _class_colour(i)
        places = (cloud - centre) / reach
        inside = (places.abs() <= 1).all(1)  # false where not finite
        for x, y in places[inside].tolist():
            px, py = (left + (x + 1) / 2 * side) * fine, (top + (1 - y) / 2 * side) * fine
            draw.ellipse([px - radius, py - radius, px + radius, py + radius], (*colour, 150))
        outside = len(cloud) - int(inside.sum())
        legend.append((f"{name} ({outside} outside)" if outside else name, colour))
    image = image.resize((size, size), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(image)
    font, at = ImageFont.load_default(14), float(left)
    for name, colour in legend:
        draw.ellipse([at, head / 2 - 5, at + 10, head / 2 + 5], colour)
        draw.text((at + 15, head / 2), name, INK, font, anchor="lm")
        at += 15 + draw.textlength(name, font) + 18
    small = ImageFont.load_default(11)
    for corner, place, anchor in (
        (centre - reach, (left + 3, top + side - 3), "ls"),
        (centre + reach, (left + side - 3, top + 3), "rt"),
    ):
        draw.text(place, f"({corner[0]:.3g}, {corner[1]:.3g})", INK, small, anchor=anchor)
    return _from_image(image)


def captioned(images: Tensor, captions: list[str], columns: int | None = None, least: int = 128) -> Tensor:
    """Arrange images (N, C, H, W) row by row, each above its caption; captions are cut after six lines.

    Args:
        images: At least one image of any channels.
        captions: One caption per image.
        columns: Images per row; by default as close to a square as possible.
        least: Minimum width; smaller images are enlarged by an integer factor, repeating pixels.
    """
    gap, line = 12, 14
    pictures = _enlarged(images, least)
    height, width = pictures.shape[-2:]
    font = _font("".join(captions), 11)
    texts = [_wrapped(caption, font, width, lines=6) for caption in captions]
    cell = height + 6 + line * max(text.count("\n") + 1 for text in texts)
    places, tall, wide = _layout(len(pictures), columns, cell, width, gap)
    image = Image.new("RGB", (wide, tall), "white")
    draw = ImageDraw.Draw(image)
    for (top, left), text in zip(places, texts, strict=True):
        for number, words in enumerate(text.split("\n")):
            draw.text((left, top + height + 5 + line * number), words, INK, font)
    return _paste(_from_image(image), pictures, places)


def _enlarged(images: Tensor, least: int) -> Tensor:
    """RGB images of at least this width, enlarged by an integer factor."""
    pictures = to_rgb(images)
    factor = math.ceil(least / pictures.shape[-1])
    return pictures.repeat_interleave(factor, -1).repeat_interleave(factor, -2)


def _layout(count: int, columns: int | None, height: int, width: int, gap: int) -> tuple[Places, int, int]:
    """(top, left) of each cell, row by row, and the sheet's height and width."""
    columns = min(count, columns or math.ceil(math.sqrt(count * height / width)))
    places = [(gap + i // columns * (height + gap), gap + i % columns * (width + gap)) for i in range(count)]
    return places, places[-1][0] + height + gap, columns * (width + gap) + gap


def _paste(sheet: Tensor, pictures: Tensor, places: Places) -> Tensor:
    """Copy images (N, 3, H, W), clamped, into a sheet in place, each at its (top, left)."""
    height, width = pictures.shape[-2:]
    for (top, left), picture in zip(places, pictures.clamp(-1, 1), strict=True):
        sheet[:, top : top + height, left : left + width] = picture
    return sheet


def _class_colour(index: int) -> tuple[int, int, int]:
    if index < len(PALETTE):
        return PALETTE[index]
    hue = index * 0.618034 % 1
    light = (0.42, 0.58, 0.72)[index % 3]
    red, green, blue = colorsys.hls_to_rgb(hue, light, 0.55)
    return round(red * 255), round(green * 255), round(blue * 255)


def _scaled(pictures: Tensor, height: int) -> Tensor:
    if pictures.shape[-2] == height:
        return pictures
    width = max(1, round(pictures.shape[-1] * height / pictures.shape[-2]))
    return F.interpolate(pictures, (height, width), mode="nearest-exact")


def _title(draw: ImageDraw.ImageDraw, text: str, x: float, y: float, width: int, size: int) -> None:
    """Write centred text; if it is wider than its column, shrink it, then cut it."""
    font = _font(text, size)
    while draw.textlength(text, font) > width and size > 9:
        size -= 1
        font = _font(text, size)
    while draw.textlength(text, font) > width and len(text) > 1:
        text = text.removesuffix("…")[:-1] + "…"
    draw.text((x, y), text, INK, font, anchor="mm")


def _font(text: str, size: int) -> Any:
    """Pillow's font for ASCII; for other letters DejaVu Sans, which comes with matplotlib and has no CJK."""
    if text.replace("…", "").isascii() or not (found := find_spec("matplotlib")) or not found.origin:
        return ImageFont.load_default(size)
    path = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(path, size) if path.is_file() else ImageFont.load_default(size)


def _wrapped(text: str, font: Any, width: int, lines: int) -> str:
    """Wrap text to ``width`` pixels; cut what does not fit, with an ellipsis."""
    rows, most = [""], lines * max(1, width)  # no character is less than a pixel wide
    for word in text[:most].split():
        longer = f"{rows[-1]} {word}".strip()
        if font.getlength(longer) <= width or not rows[-1]:
            rows[-1] = longer
        else:
            rows.append(word)
    if len(rows) > lines:
        rows = [*rows[: lines - 1], f"{rows[lines - 1]} …"]
    for i, row in enumerate(rows):
        while font.getlength(rows[i]) > width and len(row) > 1:
            row = row.removesuffix("…").rstrip()[:-1]
            rows[i] = f"{row}…"
    return "\n".join(rows)


def _from_image(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div(127.5).sub(1).contiguous()
