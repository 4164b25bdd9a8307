"""Download weights to this machine, each file compared with its SHA-256.

NAME is a name of `zoo list checkpoints`, hf://owner/name[@revision] or wandb://entity/project/artifact:alias.
The weights go to $ZOO_HOME (else ~/.cache/gan-application-zoo/weights) unless they came with the zoo. If
ZOO_MIRROR is set to a folder or an https address, it is tried first. Weights of others, whose SHA-256 nobody
has verified, are not downloaded: the command prints where they are and how they are converted.
"""

from __future__ import annotations

import argparse

from zoo.catalogue import Entry, checkpoints, find_weights, foreign
from zoo.errors import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", metavar="NAME", help="names or addresses")
    parser.add_argument("--all", action="store_true", help="all weights of `zoo list checkpoints`")


def run(args: argparse.Namespace) -> int:
    """Download each and say where it is; exit status 1 if one must be fetched by hand."""
    if bool(args.names) == args.all:
        raise UsageError("Name weights, or give --all; `zoo list checkpoints` names them.")
    from zoo.files.downloads import readable
    from zoo.files.schemas import is_address
    from zoo.weights import repair

    others, entries = ({entry["name"]: entry for entry in listed} for listed in (foreign(), checkpoints()))
    for name in args.names:
        if name not in others and find_weights(name) is None and not is_address(name):
            raise UsageError(f"{name} is a path; `zoo verify {name}` compares its files with their SHA-256.")
    status = 0
    for name in args.names or entries:
        if name in others:
            status |= _explain(others[name])
            continue
        found = repair(name, entries.get(name))
        sizes = [path.stat().st_size for path in found.folder.iterdir() if path.is_file()]
        print(f"{name} is in {found.folder}: {len(sizes)} files, {readable(sum(sizes))}, as expected.")
    return status


def _explain(entry: Entry) -> int:
    """Say how weights of others are got and converted; those of a known hash are downloaded."""
    from zoo.files.downloads import download
    from zoo.weights import home

    print(f"{entry['name']}: {entry['title']}\n  page     {entry['page']}\n  licence  {entry['licence']}")
    name, file = entry["name"], entry["file"]
    if digest := entry.get("sha256"):
        file = download([entry["url"]], home() / "others" / name / file, digest, entry.get("bytes"))
    else:
        print("  Nobody has verified its SHA-256, so it is not downloaded for you. Open this address:\n")
        print(f"    {entry['url']}\n\n  save the file as {file}, and")
    print(
        f"  convert it, which runs no code of it:\n\n    zoo convert {file} --as {entry['paper']} -o {name}"
    )
    return 0 if digest else 1
