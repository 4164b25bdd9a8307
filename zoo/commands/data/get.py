"""Download public sets: verified, unpacked as the zoo's readers expect them, nothing overwritten.

A set that its owners give out only by hand (after an agreement, a login or a payment) is explained instead.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from zoo.data.sources import SOURCES, RemoteFile, Source, arguments, is_fetched, is_present, terms
from zoo.errors import UsageError, UserError, nearest


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this action's arguments."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="sets, as `zoo data list` names them")
    parser.add_argument(
        "--to", metavar="DIR", help="folder to create NAME in (default: $ZOO_DATA, else data)"
    )


def run(args: argparse.Namespace) -> int:
    """Get each set; exit status 1 if one must be fetched by hand."""
    found = [_source(name) for name in args.names]
    below = Path(args.to or os.environ.get("ZOO_DATA") or "data")
    status = 0
    for number, source in enumerate(found):
        print(("\n" if number else "") + f"{source.name}: {source.title}")
        print(f"  licence  {source.licence} ({terms(source)})")
        if source.licence_url:
            print(f"           {source.licence_url}")
        folder = below / source.name
        if is_present(source, folder):
            print(f"  {folder} holds it already.")
        else:
            if source.files and not is_fetched(source, folder):
                _get(source, folder)
            if source.by_hand:
                _explain(source, folder)
                status = 1
                continue
        _show_use(source, folder)
    return status


def _source(name: str) -> Source:
    if name in SOURCES:
        return SOURCES[name]
    hint = nearest(name, SOURCES, "`zoo data list` names all.", 0.6)
    raise UsageError(f"There is no public set {name}; {hint}")


def _explain(source: Source, folder: Path) -> None:
    print(f"  {'What is left' if source.files else 'It'} must be done by hand:\n")
    print("\n".join(f"    {line}".rstrip() for line in source.by_hand.splitlines()))
    print(f"\n  so that {folder} holds\n")
    print("\n".join(f"    {line}" for line in source.layout.splitlines()))


def _get(source: Source, folder: Path) -> None:
    """Download all files, unpack them beside the folder, and rename the result when it is complete."""
    from zoo.files.downloads import alone, download, readable, require_space

    if folder.exists():
        raise UserError(
            f"{folder} exists but does not hold {source.name}; move it away, or choose a place with --to."
        )
    print(f"  size     {readable(source.size_bytes) if source.size_bytes else 'not stated'}; {source.count}")
    archives = folder.with_name(f"{source.name}.download")
    staged = archives / "unpacked"
    try:
        archives.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"Cannot make {archives} ({error.strerror}); choose another place with --to."
        ) from error
    with alone(archives):
        there = sum(path.stat().st_size for path in archives.iterdir() if path.is_file())
        require_space(archives, max(0, source.size_bytes - there), source.name)
        try:
            for file in source.files:
                download(file.urls, archives / file.name, file.sha256, file.size)
            shutil.rmtree(staged, ignore_errors=True)  # left by a run that was killed
            for file in source.files:
                _place(file, archives / file.name, staged)
            if not is_fetched(source, staged):
                raise UserError(
                    f"What {archives} holds is not what was expected of {source.name} "
                    f"({', '.join(source.present)}); its owner may have changed it, so unpack it by hand."
                )
            staged.rename(folder)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            if not any(archives.iterdir()):
                archives.rmdir()
            raise
        shutil.rmtree(archives)
    print(f"  {folder} holds it now.")


def _place(file: RemoteFile, path: Path, staged: Path) -> None:
    """Put the contents of a file where the set expects them."""
    from zoo.files.archives import extract

    staged.mkdir(exist_ok=True)
    if not file.unpack:
        shutil.copy2(path, staged / file.name)
        return
    if not file.parts:
        extract(path, staged)
        return
    whole = staged.with_name("whole")
    shutil.rmtree(whole, ignore_errors=True)  # left by a run that was killed
    extract(path, whole)
    for pattern, into in file.parts:
        part = next((folder for folder in sorted(whole.glob(pattern)) if folder.is_dir()), None)
        if part is None:
            raise UserError(
                f"{path} holds no folder {pattern}; its owner may have changed it, so unpack it by hand."
            )
        (staged / into).mkdir(parents=True, exist_ok=True)
        for found in part.iterdir():
            found.rename(staged / into / found.name)
    shutil.rmtree(whole)


def _show_use(source: Source, folder: Path) -> None:
    """Print the lines of a recipe."""
    if not source.reader:
        print("  No reader of the zoo takes it as it is; docs/data says how to lay out what you make of it.")
        return
    print("  In a recipe:\n")
    print(f"    data:\n      class_path: {source.reader}\n      init_args:")
    for key, value in arguments(source, folder).items():
        print(f"        {key}: {value}")
