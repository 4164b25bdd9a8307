"""Label maps and their photographs: layouts of folders, the meaning of their numbers, and reading them.

:mod:`zoo.data.label_maps` makes batches of them.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from zoo.data.base import Split
from zoo.data.folders import partners, pictures_in
from zoo.data.pixels import FAR, Pixels, nearest_colours, read_pair, rgb
from zoo.errors import UserError
from zoo.features.segmenter import FACADES, Colour
from zoo.files.pictures import read_array, read_labels
from zoo.files.reading import opened, read_bytes

Layout = Literal["folders", "CamVid", "Cityscapes", "halves"]

PALETTE_FILE = "palette.csv"
LAYOUTS: dict[Layout, str] = {
    "folders": "images/train/x.jpg with labels/train/x.png of the same name",
    "CamVid": "train/x.jpg with trainannot/x.png of the same name",
    "Cityscapes": "leftImg8bit beside gtFine",
    "halves": "train/x.jpg with the photograph in the left half and a label map in colours in the right",
}
EXPECTED = f"expected {LAYOUTS['folders']}, or another layout that docs/data/pairs.md shows"
CAMVID: dict[str, Colour] = {  # SegNet's 11 classes in the order of their numbers, then void
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (60, 40, 222),
    "tree": (128, 128, 0),
    "sign": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
    "void": (0, 0, 0),
}
CITYSCAPES = (  # the numbers of labelIds; license plates are -1 in Cityscapes' table, the 35th in pix2pixHD
    *("unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground"),
    *("road", "sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge"),
    *("tunnel", "pole", "polegroup", "traffic light", "traffic sign", "vegetation", "terrain", "sky"),
    *("person", "rider", "car", "truck", "bus", "caravan", "trailer", "train", "motorcycle", "bicycle"),
    "license plate",
)
HINT = ", or set data.classes, or data.void if that number means no class"


class Classes(NamedTuple):
    """What the numbers of a label map mean.

    Args:
        names: Names of the classes.
        colours: Colours of the classes, 0 to 255; empty if label maps never show colours.
    """

    names: tuple[str, ...]
    colours: tuple[Colour, ...]


class LabelFiles(NamedTuple):
    """The files of one sample.

    Args:
        photo: The photograph.
        labels: The label map; None if it is the right half of the photograph's file.
        instances: The instance map, if there is one.
    """

    photo: Path
    labels: Path | None
    instances: Path | None


def find_layout(root: Path) -> Layout | None:
    """The layout of a folder; None if it holds no label maps."""
    if (root / "leftImg8bit").is_dir() and (root / "gtFine").is_dir():
        return "Cityscapes"
    if (root / "images").is_dir() and (root / "labels").is_dir():
        return "folders"
    if (root / "trainannot").is_dir():
        return "CamVid"
    return "halves" if (root / "train").is_dir() else None


def known_classes(root: Path, layout: Layout) -> Classes | None:
    """The classes of a folder; None if it does not state them.

    Raises:
        UserError: The palette file is faulty.
    """
    if layout == "Cityscapes":
        return Classes(CITYSCAPES, ())
    if layout == "CamVid":
        return Classes(tuple(CAMVID), tuple(CAMVID.values()))
    if (root / PALETTE_FILE).exists():
        return read_palette(root / PALETTE_FILE)
    return Classes(tuple(FACADES), tuple(FACADES.values())) if layout == "halves" else None


def read_palette(path: Path) -> Classes:
    """Names and colours of classes from lines ``r,g,b,name``; a heading line is skipped.

    Raises:
        UserError: The file is unreadable, a line is no colour, or a colour comes twice.
    """
    try:
        text = io.StringIO(read_bytes(path).decode("utf-8-sig"), newline="")
        lines = [[cell.strip() for cell in line] for line in csv.reader(text) if line]
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as CSV ({error}); write lines of r,g,b,name.") from error
    if lines and [cell.lower() for cell in lines[0][:3]] == ["r", "g", "b"]:
        lines = lines[1:]
    names: dict[Colour, str] = {}
    for line in lines:
        values = [int(cell) for cell in line[:3] if cell.isdecimal() and len(cell) < 4 and int(cell) <= 255]
        if len(line) != 4 or len(values) != 3:
            raise UserError(f"{path} has the line {','.join(line)!r}; write r,g,b,name with values 0 to 255.")
        colour = (values[0], values[1], values[2])
        if colour in names:
            raise UserError(f"{path} gives {names[colour]} and {line[3]} one colour; give each its own.")
        names[colour] = line[3]
    if len(names) < 2:
        raise UserError(f"{path} names fewer than two classes; write a line r,g,b,name for each.")
    return Classes(tuple(names.values()), tuple(names))


def find_label_maps(root: Path, layout: Layout, split: Split) -> list[LabelFiles] | None:
    """The files of a split in the order of their names; None if it has none.

    Cityscapes does not publish its test labels, so its validation pictures are also the test split, as usual.

    Raises:
        UserError: A photograph, label map or instance map has no partner.
    """
    if layout == "Cityscapes":
        return _cityscapes(root, "val" if split == "test" else split) or None
    if layout == "halves":
        return [LabelFiles(path, None, None) for path in pictures_in(root / split)] or None
    photos, maps = folders_of(root, layout, split)
    pairs = partners(photos, maps)
    things = root / "instances" / split
    named = dict(partners(maps, things)) if layout == "folders" and things.is_dir() else {}
    return [LabelFiles(photo, labels, named.get(labels)) for photo, labels in pairs] or None


def folders_of(root: Path, layout: Layout, split: Split) -> tuple[Path, Path]:
    """The folders of a split's photographs and of its label maps."""
    if layout == "folders":
        return root / "images" / split, root / "labels" / split
    return root / split, root / f"{split}annot"


def _cityscapes(root: Path, split: Split) -> list[LabelFiles]:
    items = []
    for photo in sorted((root / "leftImg8bit" / split).glob("*/*_leftImg8bit.png")):
        stem = photo.name.removesuffix("_leftImg8bit.png")
        folder = root / "gtFine" / split / photo.parent.name
        item = LabelFiles(
            photo, *(folder / f"{stem}_gtFine_{kind}.png" for kind in ("labelIds", "instanceIds"))
        )
        for path in item:
            if path is None or not path.is_file():
                raise UserError(f"{photo} has no {path}; unpack gtFine_trainvaltest.zip beside leftImg8bit.")
        items.append(item)
    return items


def read_sample(
    item: LabelFiles, classes: Classes | None, void: int | None
) -> tuple[Pixels, Pixels, Pixels | None]:
    """Photograph (H, W, 3) in the bits of its file, class numbers (H, W) and instance numbers (H, W).

    Args:
        item: The files.
        classes: The meaning of the numbers; None accepts any number.
        void: The number that becomes the last class.

    Raises:
        UserError: A file is unreadable, sizes differ, or a number or colour belongs to no class.
    """
    if item.labels is None:
        assert classes is not None
        photo, colours = read_pair((item.photo,))
        refusal = (
            f"The right half of {item.photo} is no label map in the palette's colours; write {PALETTE_FILE} "
            "(r,g,b,name), or read the folder with zoo.data.pairs.module.PairFolder."
        )
        labels = nearest_colours(rgb(colours, item.photo), classes.colours, refusal)
        return rgb(photo, item.photo), labels, None
    photo = rgb(read_array(item.photo), item.photo)
    labels, _ = read_numbers(item.labels, classes, void, tail=HINT)
    instances = None if item.instances is None else read_labels(item.instances).numpy()
    for path, values in ((item.labels, labels), (item.instances, instances)):
        if values is not None and values.shape != photo.shape[:2]:
            raise UserError(
                f"{path} is {values.shape[1]} x {values.shape[0]} pixels but {item.photo} {photo.shape[1]} x "
                f"{photo.shape[0]}; resize one of them."
            )
    return photo, labels, instances


def read_numbers(
    path: Path, classes: Classes | None, void: int | None, blurred: bool = False, tail: str = ""
) -> tuple[Pixels, int]:
    """The class numbers (H, W) of a label map, in training and in use, and how many pixels are inexact.

    RGB files are read by their colours, grey ones by their values. A palette PNG is read by its numbers,
    unless its palette shows the classes' colours in another order, as optimisers leave it.

    Args:
        path: The file.
        classes: The meaning of the numbers, void last if there is one; None accepts any number.
        void: The number that becomes the last class.
        blurred: Take the nearest colour, as for data that JPEG has blurred; else each must be exact.
        tail: End of the sentence about a number of no class.

    Raises:
        UserError: The file is unreadable, a number or colour belongs to no class, or numbers and colours
            contradict each other.
    """
    colours = np.array(classes.colours if classes else ()).reshape(-1, 3)
    head = _head(path)
    png, lossy = head[:8] == b"\x89PNG\r\n\x1a\n", head[:2] == b"\xff\xd8"
    colourful = head[25:26] in (b"\2", b"\6") if png else blurred or not lossy
    if classes and len(colours) and colourful:
        pixels = read_array(path, stored=not blurred)
        if pixels.shape[2] > 2 and blurred:
            refusal = f"{path} is no label map in the classes' colours; give those, or class numbers."
            found = nearest_colours(rgb(pixels, path), classes.colours, refusal)
            levels = colours * (np.iinfo(pixels.dtype).max // 255)
            return found, int((levels[found] != pixels).any(2).sum())
        if pixels.shape[2] > 2:
            return _by_colour(pixels, classes, path), 0
    numbers: Pixels = read_labels(path).numpy()
    if classes is None:
        return numbers, 0
    count = len(classes.names) - (void is not None)
    if len(colours) and png and head[25:26] == b"\3":
        counts = np.bincount(numbers.reshape(-1), minlength=256)
        used = np.flatnonzero(counts)
        shown = _palette(path)[used]
        distances = np.sqrt(((shown[:, None] - colours) ** 2).sum(2))
        meant = np.where(distances.min(1) <= (FAR if blurred else 0), distances.argmin(1), -1)
        if _are_reordered(path, used, shown, meant, void, classes):
            table = np.zeros(256, np.int64)
            table[used] = meant
            return table[numbers], int(counts[used][distances.min(1) > 0].sum())
    highest = numbers.max() if void is None else np.where(numbers == void, 0, numbers).max()
    if highest >= count:
        raise UserError(
            f"{path} holds the class number {highest}, but there are {count} classes (0 to {count - 1}); "
            f"correct it{tail}."
        )
    return (numbers if void is None else np.where(numbers == void, count, numbers)), 0


def _are_reordered(
    path: Path, used: Pixels, shown: Pixels, meant: Pixels, void: int | None, classes: Classes
) -> bool:
    """Whether the palette of a PNG shows the classes' colours, but not in the order of their numbers.

    Args:
        path: The file.
        used: (N,), its numbers.
        shown: (N, 3), their colours.
        meant: (N,), the classes of these colours, -1 for none.
        void: The number that means no class.
        classes: The classes.

    Raises:
        UserError: Some colours mean other classes than the numbers, and others none.
    """
    plain = used != void
    agrees = (meant == used) & plain
    contrary = (meant >= 0) & (meant != used) & (plain | ~agrees.any())
    greys = (shown == used[:, None]).all(1) & (used < len(classes.names))  # such palettes say nothing
    if not contrary.any() or greys[plain].all():
        return False
    if (meant >= 0).all():
        return True
    at, other = int(contrary.argmax()), int((meant < 0).argmax())
    raise UserError(
        f"{path} shows number {used[at]} in the colour of class {meant[at]} ({classes.names[meant[at]]}) but "
        f"number {used[other]} in {tuple(shown[other].tolist())}, that of none; save class numbers in grey, "
        f"or add the colour to {PALETTE_FILE}."
    )


def _head(path: Path) -> bytes:
    """The first bytes, which say what a file is; damage is reported when the file is read."""
    try:
        with opened(path) as file:
            return file.read(26)
    except UserError:
        return b""


def _palette(path: Path) -> Pixels:
    """The 256 colours of a readable palette PNG; -1 where it has none."""
    data, at = read_bytes(path), 8
    while data[at + 4 : at + 8] not in (b"PLTE", b"IDAT", b""):
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    colours = np.full((256, 3), -1)
    if data[at + 4 : at + 8] == b"PLTE":
        length = min(768, int.from_bytes(data[at : at + 4], "big")) // 3 * 3
        given = np.frombuffer(data[at + 8 : at + 8 + length], np.uint8)
        colours[: len(given) // 3] = given[: len(given) // 3 * 3].reshape(-1, 3)
    return colours


def _by_colour(pixels: Pixels, classes: Classes, path: Path) -> Pixels:
    """Class numbers from exact colours."""
    if pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise UserError(f"{path} is a label map in colour with alpha or 16 bit; save it as RGB of 8 bit.")
    places = np.array([65536, 256, 1])
    codes, values = np.array(classes.colours) @ places, pixels @ places
    order = np.argsort(codes)
    numbers: Pixels = order[np.searchsorted(codes[order], values).clip(max=len(codes) - 1)]
    unknown = codes[numbers] != values
    if unknown.any():
        raise UserError(
            f"{path} has {unknown.sum()} pixels in colours of no class, the first "
            f"{tuple(pixels[unknown][0].tolist())}; add it to the data's {PALETTE_FILE} or correct "
            "the file; `zoo show NAME` lists the classes of trained weights."
        )
    return numbers
