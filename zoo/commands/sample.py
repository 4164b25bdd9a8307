"""Make samples from noise, or translate pictures, with pretrained weights or a checkpoint.

A model of noise writes one sheet of samples when OUT is a picture file, single pictures when it is a folder.
A model of pictures takes picture files or folders of any size; 16-bit input gives 16-bit output. Where it was
trained on label maps, give class numbers (palette or grey PNG) or the classes' colours. A model of
super-resolution keeps the channels of a picture, alpha among them, and takes video files too, frame by frame.
A label map can be changed on its way (pix2pixHD): --relabel car=tree, or '#26001=tree' for one thing of
--instances; --style car=2 for a style that was kept in training. Then a picture shows both, before and after.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.checkpoints import Pretrained


VIDEO = ".mp4"  # what videos become


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("name", help="a name of `zoo list checkpoints`, an exported folder, or a .ckpt file")
    parser.add_argument(
        "inputs", nargs="*", type=Path, metavar="INPUT", help="pictures, videos, or folders of them"
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="a picture file, or a folder")
    parser.add_argument("-n", "--number", type=int, help="samples to make from noise (default: 64)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (default: 0)")
    parser.add_argument("--compare", action="store_true", help="write input and output side by side")
    parser.add_argument(
        "--instances", type=Path, help="map of things, or a folder of them, named as the label maps"
    )
    parser.add_argument(
        "--relabel", action="append", default=[], metavar="TARGET=CLASS", help="change a label, show both"
    )
    parser.add_argument(
        "--style", action="append", default=[], metavar="TARGET=NUMBER", help="change a style, show both"
    )
    parser.add_argument("--force", action="store_true", help="replace files that lie there")


def run(args: argparse.Namespace) -> int:
    """Write the pictures and say where they are."""
    from zoo.checkpoints import load

    model = load(args.name)
    editing = bool(args.instances or args.relabel or args.style)
    if editing and not _paints_things(model):
        raise UserError(
            f"{args.name} paints no label maps with things; leave --instances, --relabel and --style out."
        )
    if model.takes == "noise":
        if args.inputs or args.compare:
            raise UserError(
                f"{args.name} makes samples from noise and takes no input; leave INPUT and --compare out."
            )
        count = _from_noise(model, args)
    else:
        if args.number is not None:
            raise UserError(f"{args.name} translates pictures: it makes one output an input; leave -n out.")
        count = _from_pictures(model, args)
    if model.config["data"].get("research_only"):
        print(f"{args.name} was trained on data for research only; so are these pictures.", file=sys.stderr)
    kind = "video" if args.out.suffix.lower() == VIDEO else "picture"
    print(f"Wrote {count} {kind if count == 1 else kind + 's'} to {args.out}.")
    return 0


# ------------------------------------------------------------------------------------------------------ noise


def _from_noise(model: Pretrained, args: argparse.Namespace) -> int:
    import torch

    from zoo.drawing.sheets import mosaic, scatter
    from zoo.files.pictures import write_picture
    from zoo.metrics.scoring.subjects import AT_ONCE

    number = 64 if args.number is None else args.number
    if number < 1:
        raise UserError(f"-n must be at least 1, got {number}.")
    as_sheet = _is_picture(args.out)
    targets = [args.out] if as_sheet else [args.out / f"{i:05d}.png" for i in range(number)]
    _refuse_taken(targets, args.force)
    starts = range(0, number, AT_ONCE)
    samples = torch.cat([model.sample(min(AT_ONCE, number - i), args.seed + i // AT_ONCE) for i in starts])
    if samples.dim() == 2:
        if not as_sheet:
            raise UserError(
                f"{args.name} makes points, which are drawn in one plot; give a file, such as -o points.png."
            )
        write_picture(args.out, scatter({"samples": samples}))
        return 1
    if as_sheet:
        write_picture(args.out, mosaic(samples, least=48))
        return 1
    suffix = _suffix(samples.shape[1])
    targets = [target.with_suffix(suffix) for target in targets]
    _refuse_taken(targets, args.force)
    for target, sample in zip(targets, samples, strict=True):
        write_picture(target, sample)
    return number


# --------------------------------------------------------------------------------------------------- pictures


def _from_pictures(model: Pretrained, args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import track

    from zoo.drawing.sheets import grid
    from zoo.files.pictures import write_picture

    sources = _sources(args.inputs, args.name, videos=model.scale > 1)
    if args.compare and any(map(_is_video, sources)):
        raise UserError("--compare writes pictures, not videos; leave it out.")
    if _is_picture(args.out) or (args.out.suffix.lower() == VIDEO and not args.out.is_dir()):
        if len(sources) > 1:
            raise UserError(
                f"{len(sources)} pictures do not fit into the one file {args.out}; give a folder with -o."
            )
        if _is_video(sources[0]) == _is_picture(args.out):
            raise UserError(
                f"{sources[0]} cannot become {args.out}; end a picture with .png, a video with {VIDEO}."
            )
        targets = [args.out]
    else:
        targets = [args.out / f"{source.stem}{_suffix_of(source, model, args)}" for source in sources]
    first: dict[Path, Path] = {}
    for source, target in zip(sources, targets, strict=True):
        if target in first:
            raise UserError(f"{first[target]} and {source} would both become {target}; translate them apart.")
        first[target] = source
    _refuse_taken(targets, args.force)
    pairs = list(zip(sources, targets, strict=True))
    editing = bool(args.instances or args.relabel or args.style)
    quiet = len(pairs) < 5
    for source, target in track(pairs, "Translating", console=Console(stderr=True), disable=quiet):
        if _is_video(source):
            _enlarge_video(model, source, target)
            continue
        if editing:
            write_picture(target, _painted(source, model, args))
            continue
        picture, output, bits = _made(source, model, args.seed)
        if args.compare:
            write_picture(target, grid({"input": picture[None], "output": output[None]}))
        else:
            write_picture(target, output, bits)
    return len(pairs)


def _made(path: Path, model: Pretrained, seed: int) -> tuple[Tensor, Tensor, Any]:
    """The picture of a file, what the model makes of it, and the bits of the file."""
    from zoo.files.pictures import read_array, to_tensor

    if model.scale == 1:
        picture, bits = _read(path, model)
        return picture, model.sample(picture[None], seed)[0], bits
    from zoo.use.upscaling import upscale

    array = read_array(path)
    picture = to_tensor(array)
    return picture, upscale(model, picture), 8 * array.dtype.itemsize


def _paints_things(model: Pretrained) -> bool:
    """Whether it paints label maps and asks for their things."""
    labels = model.config["data"].get("preprocessing", {}).get("source") == "labels"
    return labels and "instance_edges" in model.config["hyper_parameters"]


def _painted(path: Path, model: Pretrained, args: argparse.Namespace) -> Tensor:
    """The painting of a label map; with changes, all four pictures side by side."""
    import torch
    import torch.nn.functional as F

    from zoo.drawing.sheets import grid
    from zoo.use.label_edits import Painting, edited, read_things

    classes: list[str] = model.config["data"]["preprocessing"]["classes"]
    one_hot, _ = _read(path, model)
    labels = one_hot.argmax(0)
    things = None
    if args.instances is not None:
        named = args.instances / path.name if args.instances.is_dir() else args.instances
        things = read_things(named, labels)
    if args.style and not model.config["hyper_parameters"].get("features"):
        raise UserError(f"{args.name} was trained without an encoder and keeps no styles; leave --style out.")

    def paint(painting: Painting) -> tuple[Tensor, Tensor]:
        x = F.one_hot(painting.labels, len(classes)).permute(2, 0, 1)[None].float()
        maps = (None if things is None else things[None], painting.styles[None])
        return x, model.module.sample(x, args.seed, *maps)  # type: ignore[operator]

    before = Painting(labels, things, torch.full_like(labels, -1))
    after = edited(before, args.relabel, args.style, classes)
    x, output = paint(before)
    if not args.relabel and not args.style:
        return grid({"input": x, "output": output}) if args.compare else output[0]
    changed, edited_output = paint(after)
    return grid({"input": x, "output": output, "changed input": changed, "changed output": edited_output})


def _enlarge_video(model: Pretrained, source: Path, target: Path) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from zoo.use.upscaling import upscale_video

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(source.name)
        upscale_video(model, source, target, lambda done, of: bar.update(task, completed=done, total=of))


def _is_video(path: Path) -> bool:
    from zoo.files.films import VIDEO_SUFFIXES

    return path.suffix.lower() in VIDEO_SUFFIXES


def _suffix_of(source: Path, model: Pretrained, args: argparse.Namespace) -> str:
    if _is_video(source):
        return VIDEO
    if args.compare or args.relabel or args.style:  # several pictures in one
        return ".png"
    if model.scale > 1:  # channels stay
        return ".tif" if source.suffix.lower() in (".tif", ".tiff", ".npy") else ".png"
    return _suffix(int(model.module.hparams["out_channels"]))


def _sources(inputs: list[Path], name: str, videos: bool) -> list[Path]:
    """The picture files that are meant, folders opened; video files too where the model takes them."""
    from zoo.data.pairs.files import pictures_in

    if not inputs:
        raise UserError(f"{name} translates pictures: name a picture or a folder of pictures before -o.")
    found: list[Path] = []
    for path in inputs:
        if not path.exists():
            raise UserError(f"There is no file or folder {path}; check the path.")
        inside = pictures_in(path) if path.is_dir() else [path]
        if path.is_dir() and videos:
            inside += sorted(file for file in path.iterdir() if _is_video(file))
        if not videos and any(map(_is_video, inside)):
            raise UserError(f"{path} is a video and {name} translates pictures; give its frames as pictures.")
        if not inside:
            raise UserError(f"The folder {path} holds no pictures; name one that does.")
        found += inside
    return found


def _read(path: Path, model: Pretrained) -> tuple[Tensor, Any]:
    """A picture as the model takes it, and the bits of its file."""
    from zoo.files.pictures import read_array, to_tensor

    prepared = model.config["data"].get("preprocessing", {})
    if prepared.get("source") == "labels":
        return _read_classes(path, len(prepared["classes"]), prepared.get("colours", [])), 8
    array = read_array(path)
    got, expected = array.shape[2], model.input_channels
    if got == 1 and expected == 3:  # as in training
        return to_tensor(array).expand(3, -1, -1), 8 * array.dtype.itemsize
    if got != expected:
        alpha = got in (2, 4) and got - 1 == expected
        advice = "; the last is alpha, lay it over a background first" if alpha else ""
        raise UserError(f"{path} has {got} channels but these weights expect {expected}{advice}.")
    return to_tensor(array), 8 * array.dtype.itemsize


def _read_classes(path: Path, classes: int, colours: list[list[int]]) -> Tensor:
    """A label map as one-hot (classes, H, W): by its colours where all are known, else by its numbers."""
    import torch
    import torch.nn.functional as F

    from zoo.files.pictures import read_array, read_labels

    array = torch.from_numpy(read_array(path).astype("int64"))
    coloured = bool(colours) and array.shape[2] == 3
    if coloured:
        places = torch.tensor([65536, 256, 1])
        matches = (array @ places)[None] == (torch.tensor(colours) @ places)[:, None, None]
        if bool(matches.any(0).all()):
            return matches.float()
    try:
        labels = read_labels(path)
    except UserError as error:
        if not coloured:
            raise
        unknown = ~matches.any(0)
        raise UserError(
            f"{path} has {int(unknown.sum())} pixels in colours of no class, the first "
            f"{tuple(array[unknown][0].tolist())}; give the colours exactly (no JPEG), or class numbers."
        ) from error
    if int(labels.max()) >= classes:
        raise UserError(
            f"{path} holds the class number {int(labels.max())} but these weights know 0 to {classes - 1}."
        )
    return F.one_hot(labels, classes).permute(2, 0, 1).float()


def _is_picture(path: Path) -> bool:
    from zoo.files.pictures import PICTURE_SUFFIXES

    return path.suffix.lower() in PICTURE_SUFFIXES and not path.is_dir()


def _suffix(channels: int) -> str:
    return ".png" if channels <= 4 else ".tif"


def _refuse_taken(targets: list[Path], force: bool) -> None:
    taken = [target for target in targets if target.exists()]
    if taken and not force:
        more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
        raise UserError(f"{taken[0]}{more} would be overwritten; choose another -o or add --force.")
