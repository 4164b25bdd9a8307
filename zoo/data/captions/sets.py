"""Public sets of captioned pictures, for which a recipe needs only ``root``.

Small ones that train in minutes: emoji, Tux Paint's stamps, monsters of Dungeon Crawl, and avatars whose
captions are made from the parameters that drew them. And the sets of GAN-INT-CLS and StackGAN, some parts of
which must be fetched by hand: COCO, and birds (CUB-200-2011) and flowers (Oxford-102) with the ten sentences
per picture that Reed collected, as::

    cub200/                                     flowers102/
      images/001.Black_footed_Albatross/…         jpg/image_00001.jpg …
      images.txt, bounding_boxes.txt              text_c10/class_00001/image_06734.txt …
      text_c10/001.Black_footed_Albatross/…       trainvalclasses.txt, testclasses.txt
      trainvalclasses.txt, testclasses.txt      the lists of classes may be missing

    coco_captions/
      train2014/*.jpg, val2014/*.jpg            or 2017
      annotations/captions_train2014.json, annotations/captions_val2014.json
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, Unpack, cast

from zoo.bounds import PositiveInt
from zoo.data.base import Split
from zoo.data.captions import avatar_words
from zoo.data.captions.files import Box, Captioned, Found, Row, Table, read_table, read_texts, text_captions
from zoo.data.captions.module import CaptionFolder, CaptionOptions
from zoo.data.checks import one_of
from zoo.data.folders import decoded, header_of
from zoo.errors import UserError
from zoo.files.schemas import COCO_CAPTIONS, parse

Kind = Literal["avataaars", "facesjs"]


class _Known(CaptionFolder):
    """A public set with ``defaults`` of its own, which the user's options override."""

    expected: ClassVar[str] = "`zoo data list` says where this set is"
    title: str
    licence: str
    research_only: bool

    def __init__(self, root: str, size: int, defaults: CaptionOptions, options: CaptionOptions) -> None:
        given = cast(CaptionOptions, {**defaults, **options})
        super().__init__(
            root, size, name=self.title, licence=self.licence, research_only=self.research_only, **given
        )


class _KnownTable(_Known):
    """A public set with one ``captions.csv``."""

    table: Table

    @classmethod
    def read(cls, root: Path) -> Found:
        """The rows of ``captions.csv``."""
        file = root / "captions.csv"
        if not file.is_file():
            raise UserError(
                f"The folder {root} has no captions.csv; change data.root to that of {cls.title}."
            )
        return read_table(file, cls.table)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether ``captions.csv`` has this set's columns, and the pictures their folder."""
        header = set(header_of(root / "captions.csv"))
        here = all(set(names) & header for names in (*cls.table.columns, cls.table.category))
        return here and (root / cls.table.pictures).is_dir()


def _emoji_captions(row: Row) -> list[str]:
    """The name, and the name with the keywords that it does not hold."""
    label = str(row["label"])
    words = [word for word in str(row["keywords"]).split("|") if word and word not in label]
    return [label, f"{label}: {', '.join(words)}"] if words else [label]


class Emoji(_KnownTable):
    """1,911 emoji with their names and keywords; classes are Unicode's subgroups.

    Args:
        root: The folder, with ``captions.csv`` and ``noto64``.
        size: Pixels of each side; the pictures have 64.
        options: Options of :class:`zoo.data.captions.CaptionFolder`.
    """

    title = "emoji"
    licence = "Noto Emoji pictures Apache-2.0, flags public domain; words of Unicode CLDR (MIT package)"
    research_only = False
    table = Table("noto64", (("image",), ("label",), ("keywords",)), ("subgroup",), _emoji_captions)

    def __init__(self, root: str, size: PositiveInt = 64, **options: Unpack[CaptionOptions]) -> None:
        super().__init__(root, size, {}, options)


class Stamps(_KnownTable):
    """785 stamps of the drawing program Tux Paint, photographs and drawings, each with a short caption.

    Args:
        root: The folder, with ``captions.csv`` and ``images``.
        size: Pixels of each side; the pictures have 96.
        options: Options of :class:`zoo.data.captions.CaptionFolder`.
    """

    title = "tuxpaint_stamps"
    licence = "GPL-2 (the package tuxpaint-stamps)"
    research_only = False
    table = Table("images", (("image",), ("caption",)), ("category",))

    def __init__(self, root: str, size: PositiveInt = 64, **options: Unpack[CaptionOptions]) -> None:
        super().__init__(root, size, {}, options)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether the columns match and one of the stamps is there: other tables may have such columns."""
        return super().recognises(root) and (root / "images/animals__amphibians__frog.png").is_file()


class DungeonTiles(_KnownTable):
    """Monsters of Dungeon Crawl Stone Soup, 32 pixels wide, with their names and descriptions.

    A tile that shows several monsters has the captions of all.

    Args:
        root: The folder, with ``captions.csv`` and ``images``.
        size: Pixels of each side; most pictures have 32.
        options: Options of :class:`zoo.data.captions.CaptionFolder`.
    """

    title = "dcss_tiles"
    licence = "tiles mostly CC0 or public-domain RLTiles; descriptions GPL-2 or later"
    research_only = False
    table = Table(
        "images",
        (("image",), ("tile_name",), ("description",)),
        ("group",),
        lambda row: [str(row["tile_name"]), str(row["description"])],
    )

    def __init__(self, root: str, size: PositiveInt = 32, **options: Unpack[CaptionOptions]) -> None:
        super().__init__(root, size, {}, options)


class Avatars(_Known):
    """1,000 drawn heads with three sentences each, made from the parameters that drew them.

    Args:
        root: The folder, with ``avataaars.jsonl`` and ``facesjs.jsonl`` and a folder of pictures for each.
        size: Pixels of each side; avataaars have 64, facesjs 64 x 96.
        kind: ``avataaars``, or ``facesjs``.
        options: Options of :class:`zoo.data.captions.CaptionFolder`.
    """

    title = "avatars"
    licence = "facesjs Apache-2.0; avataaars by Pablo Stanley, free for personal and commercial use"
    research_only = False

    def __init__(
        self, root: str, size: PositiveInt = 64, kind: Kind = "avataaars", **options: Unpack[CaptionOptions]
    ) -> None:
        one_of(Kind, kind=kind)
        self.kind = kind
        super().__init__(root, size, {"mirror": True}, options)

    def read_root(self) -> Found:
        """The avatars of the chosen kind."""
        return _read_avatars(self.root, self.kind)

    @classmethod
    def read(cls, root: Path) -> Found:
        """The avatars of both kinds."""
        found = _read_avatars(root, "avataaars")
        found.add(_read_avatars(root, "facesjs"))
        return found

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether both tables are there."""
        return (root / "avataaars.jsonl").is_file() and (root / "facesjs.jsonl").is_file()


def _read_avatars(root: Path, kind: str) -> Found:
    file = root / f"{kind}.jsonl"
    if not file.is_file():
        raise UserError(f"The folder {root} has no {file.name}; change data.root to that of the avatars.")
    describe = avatar_words.avataaar if kind == "avataaars" else avatar_words.face
    return read_table(file, Table(kind, (("image",),), ("none",), describe))


class CUB(_Known):
    """CUB-200-2011: 11,788 photographs of birds of 200 kinds, with Reed's ten sentences each.

    ``zoo data get cub200`` fetches the pictures (1.1 GB); fetch Reed's captions by hand
    (https://github.com/reedscot/cvpr2016) and unpack them into the same folder, as shown at the top of this
    file. The usual split is by class, 150 for training and 50 for test, as in Reed's lists of classes;
    without these, classes are held out by ``hold_out``.

    Args:
        root: The folder.
        size: Pixels of each side.
        crop_to_bird: Crop a square around the middle of the bird's box, of 1.5 times its longer side, as
            StackGAN does.
        options: Options of :class:`zoo.data.captions.CaptionFolder`; by default pictures are cropped
            (``load_size`` 76/64 of ``size``) and mirrored, four captions averaged, and classes split.
    """

    title = "CUB-200-2011"
    licence = "CUB-200-2011: non-commercial research and education only"
    research_only = True

    def __init__(
        self, root: str, size: PositiveInt = 64, crop_to_bird: bool = True, **options: Unpack[CaptionOptions]
    ) -> None:
        self.crop_to_bird = crop_to_bird
        super().__init__(root, size, _paper(size), options)

    def read_root(self) -> Found:
        """The birds, cropped to their boxes or whole."""
        return _read_birds(self.root, self.crop_to_bird)

    @classmethod
    def read(cls, root: Path) -> Found:
        """The birds, cropped to their boxes."""
        return _read_birds(root, crop=True)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether the list of pictures and the captions are there."""
        return (root / "images.txt").is_file() and (root / "text_c10").is_dir()

    def describe(self) -> dict[str, Any]:
        """The description of every folder, with ``crop_to_bird``."""
        described = super().describe()
        described["preprocessing"]["crop_to_bird"] = self.crop_to_bird
        return described


class OxfordFlowers(_Known):
    """Oxford-102: 8,189 photographs of flowers of 102 kinds, with Reed's ten sentences each.

    ``zoo data get flowers102`` fetches the pictures (0.3 GB); fetch Reed's captions by hand
    (https://github.com/reedscot/cvpr2016) and unpack them into the same folder, as shown at the top of this
    file. The usual split is by class, 82 for training and 20 for test, as in Reed's lists of classes; without
    these, classes are held out by ``hold_out``.

    Args:
        root: The folder.
        size: Pixels of each side.
        options: Options of :class:`zoo.data.captions.CaptionFolder`, with the defaults of :class:`CUB`.
    """

    title = "Oxford-102"
    licence = "Oxford-102 flowers: no licence stated, pictures from the web: research use only"
    research_only = True

    def __init__(self, root: str, size: PositiveInt = 64, **options: Unpack[CaptionOptions]) -> None:
        super().__init__(root, size, _paper(size), options)

    @classmethod
    def read(cls, root: Path) -> Found:
        """The flowers; their class is the folder of their captions."""
        _require(root, cls.title, "jpg", "text_c10")
        found = Found("jpg with text_c10")
        splits = _class_splits(root, found)
        for text in sorted((root / "text_c10").glob("*/*.txt")):
            picture = root / "jpg" / f"{text.stem}.jpg"
            if not picture.is_file():
                found.fault(text, f"{text} has captions for {picture}, which is not there; fetch it.")
            elif captions := text_captions(text, found):
                found.records.append(Captioned(picture, captions, text.parent.name, splits[text.parent.name]))
        return found

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether both folders are there."""
        return (root / "jpg").is_dir() and (root / "text_c10").is_dir()


class COCOCaptions(_Known):
    """COCO: photographs of everyday scenes with five sentences each, of 2014 (82,783 + 40,504) or 2017.

    The papers train on its training part and report on its validation part, which is ``test`` here, because
    the captions of COCO's own test part are not published; there is no ``val``.

    Args:
        root: The folder.
        size: Pixels of each side.
        options: Options of :class:`zoo.data.captions.CaptionFolder`; by default pictures are cropped as in
            StackGAN (``fit: crop``, ``load_size`` 76/64 of ``size``) and mirrored, though some captions say
            left and right.
    """

    title = "COCO captions"
    licence = "captions CC BY 4.0; the pictures keep their Flickr licences: research use only"
    research_only = True

    def __init__(self, root: str, size: PositiveInt = 64, **options: Unpack[CaptionOptions]) -> None:
        super().__init__(root, size, {"load_size": size * 76 // 64, "fit": "crop", "mirror": True}, options)

    @classmethod
    def read(cls, root: Path) -> Found:
        """The pictures of ``train`` and ``val`` that have captions."""
        tables = [table for name in _COCO_PARTS if (table := _coco_table(root, name))]
        if not tables:
            raise UserError(
                f"The folder {root} has no annotations/captions_train2014.json (nor of 2017); fetch them "
                "with zoo data get coco_captions, or change data.root."
            )
        found = Found(f"COCO's pictures with {' and '.join(table.name for table in tables)}", files=tables)
        for table in tables:
            _read_coco(table, root, found)
        found.records.sort(key=lambda record: record.picture)
        return found

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether there are COCO's training captions."""
        return _coco_table(root, "train") is not None


_COCO_PARTS: dict[str, Split] = {"train": "train", "val": "test"}


def _coco_table(root: Path, part: str) -> Path | None:
    tables = (root / "annotations" / f"captions_{part}{year}.json" for year in (2014, 2017))
    return next((table for table in tables if table.is_file()), None)


def _read_coco(table: Path, root: Path, found: Found) -> None:
    """The pictures and sentences of one of COCO's files; faults go into ``found``."""
    fault = partial(found.fault, table)
    part, written = table.stem.removeprefix("captions_"), decoded(table, fault)
    if written is None:
        return
    try:
        content = parse(written, COCO_CAPTIONS, table)
    except UserError as error:
        fault(str(error))
        return
    names = {image["id"]: image["file_name"] for image in content["images"]}
    captions: defaultdict[int, list[str]] = defaultdict(list)
    for row in content["annotations"]:
        captions[row["image_id"]].append(" ".join(row["caption"].split()))
    folder = root / part
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    for number, name in names.items():
        texts = tuple(dict.fromkeys(text for text in captions.pop(number, []) if text))
        if name not in there:
            fault(f"{table} names {name}, which is not in {folder}; unpack the whole {part}.zip.")
        elif not texts:
            fault(f"{table} has no caption for {name}; fetch it again.")
        else:
            found.records.append(Captioned(folder / name, texts, split=_COCO_PARTS[part[:-4]]))
    if captions:
        fault(
            f"{table} has captions for image {next(iter(captions))}, which it does not list; fetch it again."
        )


def _paper(size: int) -> CaptionOptions:
    """How GAN-INT-CLS and StackGAN prepare birds and flowers."""
    return {"load_size": size * 76 // 64, "fit": "stretch", "mirror": True, "average": 4, "split_by": "class"}


def _require(root: Path, title: str, *folders: str) -> None:
    for folder in folders:
        if not (root / folder).is_dir():
            raise UserError(f"The folder {root} has no {folder}; fetch {title} by hand, or change data.root.")


def _class_splits(root: Path, found: Found) -> dict[str, Split | None]:
    """The split of each class in Reed's lists; None if it is in none."""
    splits: defaultdict[str, Split | None] = defaultdict(lambda: None)
    lists: tuple[tuple[str, Split], ...] = (("trainvalclasses.txt", "train"), ("testclasses.txt", "test"))
    for name, split in lists:
        if (root / name).is_file():
            found.files.append(root / name)
            splits.update((line.strip(), split) for line in _lines(root / name, found))
    return splits


def _read_birds(root: Path, crop: bool) -> Found:
    _require(root, CUB.title, "images", "text_c10")
    found = read_texts(root / "images", root / "text_c10")
    splits = _class_splits(root, found)
    boxes = _boxes(root, found) if crop else {}
    records = []
    for record in found.records:
        inside = record.picture.relative_to(root / "images").as_posix()
        if crop and inside not in boxes:
            text = f"{record.picture} has no box in bounding_boxes.txt; fetch the whole set."
            found.fault(record.picture, text)
            continue
        split = splits[record.category or ""]
        records.append(Captioned(record.picture, record.captions, record.category, split, boxes.get(inside)))
    found.records = records
    return found


def _boxes(folder: Path, found: Found) -> dict[str, Box]:
    """For each picture a square around the bird: its box's middle, 0.75 of the longer side to each edge."""
    names, boxes = _numbered(folder / "images.txt", found), _numbered(folder / "bounding_boxes.txt", found)
    squares: dict[str, Box] = {}
    for number, values in boxes.items():
        try:
            x, y, width, height = (float(value) for value in values.split())
            if not all(abs(value) < 1e9 for value in (x, y, width, height)):
                raise ValueError
        except ValueError:
            file = folder / "bounding_boxes.txt"
            found.fault(file, f"{file} has “{values}” for picture {number}; it must be four numbers.")
            continue
        reach = 0.75 * max(width, height)
        middle = (x + width / 2, y + height / 2)
        left, top = int(middle[0] - reach), int(middle[1] - reach)
        squares[names.get(number, "")] = (left, top, int(middle[0] + reach), int(middle[1] + reach))
    return squares


def _numbered(file: Path, found: Found) -> dict[str, str]:
    """Lines of a number and a value."""
    lines = (line.split(maxsplit=1) for line in _lines(file, found))
    return {parts[0]: parts[1].strip() for parts in lines if len(parts) == 2}


def _lines(file: Path, found: Found) -> list[str]:
    return (decoded(file, partial(found.fault, file)) or "").split("\n")
