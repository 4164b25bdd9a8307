"""Make samples from noise, or translate pictures, with pretrained weights, a checkpoint or a run.

A model of noise writes one sheet of samples if OUT is a picture file, single pictures if it is a folder.
A model of sentences takes them in quotes, or a .txt file with one per line; it writes a row for each on one
sheet, single pictures into a folder, or a film (.gif, .mp4) from each sentence to the next.
A model of pictures takes picture files or folders of any size; 16-bit input gives 16-bit output. Without
INPUT it takes the example that comes with its weights. If it was trained on label maps, give class numbers
(palette or grey PNG) or the classes' colours. A model of super-resolution keeps the channels of a picture,
alpha among them, and takes video files too, frame by frame. A label map can be edited first (pix2pixHD):
--relabel shop=door, or '#26001=door' for one instance of --instances; --style facade=5 for a style that was
kept in training. The picture then shows both.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import use
from zoo.bounds import whole
from zoo.catalogue import Kinds, find_weights, kinds_of
from zoo.errors import UsageError, UserError, printable
from zoo.files.writing import require_writable
from zoo.use import film, sentence
from zoo.use.paths import (
    endings,
    given_path,
    is_file,
    is_video,
    refuse_same,
    refuse_taken,
    require_inputs,
    require_output,
)

if TYPE_CHECKING:
    from zoo.pretrained import Model

NEEDS_INPUT = "makes an output from each input: name a file, or a folder of them, before -o."
EDITS = ("relabel", "style")  # options whose effect is shown beside the output without them
FILMS = film.SUFFIXES


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments, and those of each kind of input."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "name", help="a name of `zoo list checkpoints`, an exported folder, a run folder, or a .ckpt file"
    )
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="input files, folders of them, or sentences (default: the example)",
    )
    parser.add_argument("-o", "--out", type=given_path, required=True, help="a file, or a folder")
    parser.add_argument(
        "-n",
        "--number",
        type=whole(1),
        help="samples to make from noise (default: 64), or of each sentence (default: 8 on a sheet, else 1)",
    )
    parser.add_argument("--seed", type=whole(0, 2**32 - 1), default=0, help="seed (default: 0)")
    parser.add_argument(
        "--device", default="auto", help="auto, cuda or cpu (default: auto, a GPU if there is one)"
    )
    parser.add_argument("--compare", action="store_true", help="write input and output side by side")
    parser.add_argument("--force", action="store_true", help="overwrite existing files")
    for kind in use.kinds().values():
        if configure_kind := vars(kind).get("configure"):
            configure_kind(parser)


def run(args: argparse.Namespace) -> int:
    """Write the outputs and say where they are."""
    find_weights(args.name)
    kinds = kinds_of(args.name) or Kinds()
    if kinds.takes in ("noise", "picture"):
        require_inputs([Path(word) for word in args.inputs])
    if kinds.takes == "noise" and (args.inputs or args.compare):
        raise UsageError(
            f"{args.name} makes samples from noise and takes no input; leave INPUT and --compare out."
        )
    if kinds.takes == "picture" and not args.inputs and not kinds.has_example:
        raise UsageError(f"{args.name} {NEEDS_INPUT}")
    require_output(args.out, _allowed(kinds))
    if not args.out.is_dir():
        refuse_taken([args.out], args.force)
    require_writable(args.out)
    from zoo.pretrained import load

    model = load(args.name, args.device)
    kind = use.kind(model.takes, "takes", args.name)
    options = _options(model, args)
    if run_kind := vars(kind).get("run"):
        wrote = run_kind(model, args, use.kind(model.gives, "gives", args.name))
    else:
        inputs = args.inputs or _example(model, args.name)
        wrote = _translate(model, kind.find(inputs, model), args, options)
    if model.config["data"].get("research_only"):
        print(f"{args.name} was trained on data for research only; so is what it makes.", file=sys.stderr)
    print(f"Wrote {wrote} to {args.out}.")
    return 0


def _allowed(kinds: Kinds) -> Sequence[str]:
    """How an output of a model may end, as far as its source says."""
    if kinds.takes == "noise" or not kinds.gives:
        return endings()
    films = {"picture": FILMS, "sentence": sentence.FILMS}.get(kinds.takes, ())
    return [*use.kind(kinds.gives, "gives", "").SUFFIXES, *films]


def _options(model: Model, args: argparse.Namespace) -> dict[str, Any]:
    """The keywords that the model's kind reads; those of other kinds are refused."""
    given = {name: kind.options(args) for name, kind in use.kinds().items() if "options" in vars(kind)}
    found: dict[str, Any] = given.get(model.takes, {})
    for name, others in given.items():
        if flags := ", ".join(f"--{flag.replace('_', '-')}" for flag in others if flag not in found):
            raise UsageError(
                f"{flags} goes with models whose input is {_words(name)}, not with {args.name}; leave it out."
            )
    return found


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _example(model: Model, name: str) -> list[str]:
    """The input that comes with the weights."""
    if model.example is None:
        raise UsageError(f"{name} {NEEDS_INPUT}")
    path, licence = model.example
    print(f"No INPUT was given: from {path} ({licence}), which comes with the weights.", file=sys.stderr)
    return [str(path)]


def _translate(
    model: Model, sources: dict[Any, str], args: argparse.Namespace, options: dict[str, Any]
) -> str:
    """Write the output of each source, named by its stem."""
    from rich.console import Console
    from rich.progress import track

    is_sheet = args.compare or any(key in EDITS for key in options)
    targets = _planned(model, sources, args, is_sheet)
    failed: list[str] = []

    def made(source: Any) -> Any:
        if is_sheet:
            return _sheet(model, source, args, options)
        return next(model.outputs([source], args.seed, **options))

    hidden = len(targets) < 5
    for source, target in track(
        list(zip(sources, targets, strict=True)),
        "Translating",
        len(targets),
        console=Console(stderr=True),
        disable=hidden,
    ):
        try:
            made(source).save(target)
        except UserError as error:
            if len(targets) == 1:
                raise
            failed.append(str(error))
            print(printable(str(error)), file=sys.stderr)
    if failed:
        rest = f"the others are in {args.out}" if len(failed) < len(targets) else "nothing was written"
        raise UserError(f"{len(failed)} of {len(targets)} inputs failed, as said above; {rest}.")
    return use.counted(len(targets), "video" if args.out.suffix.lower() in FILMS else _words(model.gives))


def _sheet(model: Model, source: Any, args: argparse.Namespace, options: dict[str, Any]) -> Any:
    """Input and output side by side, then those after the edits, if there are any."""
    from zoo.drawing.sheets import grid
    from zoo.use.picture import Picture

    read = use.kind(model.takes, "takes", args.name).read
    plain = {key: value for key, value in options.items() if key not in EDITS}
    given = [read(source, model, **plain)]
    if plain != options:
        given.append(read(source, model, **options))
    columns: dict[str, Any] = {}
    for each, output, title in zip(given, model.samples(given, args.seed), ("", "changed "), strict=False):
        columns |= {f"{title}input": each.picture[None], f"{title}output": output[None]}
    return Picture(grid(columns))


def _planned(model: Model, sources: dict[Any, str], args: argparse.Namespace, is_sheet: bool) -> list[Path]:
    """The file that each source becomes.

    Raises:
        UserError: Inputs and output do not go together, or a file would be overwritten.
    """
    gives = use.kind(model.gives, "gives", args.name)
    films = [source for source in sources if isinstance(source, Path) and is_video(source)]
    if is_sheet and films:
        raise UserError("--compare writes pictures, not videos; leave it out.")
    if is_file(args.out, endings()):
        if len(sources) > 1:
            raise UserError(
                f"{len(sources)} pictures do not fit into the one file {args.out}; give a folder with -o."
            )
        if not is_file(args.out, FILMS if films else gives.SUFFIXES):
            ending = FILMS[0] if films else gives.SUFFIXES[0]
            raise UserError(f"{next(iter(sources))} cannot become {args.out}; end its name with {ending}.")
        targets = [args.out]
    else:
        channels = int(model.module.hparams.get("out_channels", 3))
        targets = [
            args.out
            / (
                stem
                + (
                    FILMS[0]
                    if source in films
                    else ".png"
                    if is_sheet
                    else gives.suffix(source, model, channels)
                )
            )
            for source, stem in sources.items()
        ]
    refuse_same(list(sources), targets)
    read = [*sources, *([args.instances] if args.instances else [])]
    if args.instances and args.instances.is_dir():
        read += [path for path in args.instances.iterdir() if path.is_file()]
    inputs = [path for path in read if isinstance(path, Path) and path.exists()]
    for target in filter(Path.exists, targets):
        if any(target.samefile(path) for path in inputs):
            raise UsageError(f"{target} is an input and would be overwritten; choose another -o.")
    refuse_taken(targets, args.force)
    return targets
