"""Weights by name or address: where they are, and how they come here.

A name of the index is looked for in the source tree or the installed package, then below :func:`home`. If it
is in neither, it is downloaded to the latter: from ``$ZOO_MIRROR`` (an https address or a folder, with
``NAME/FILE`` below it), then from the sources of the index, in order. An address means weights outside
the index: ``hf://owner/name[@revision]`` or ``wandb://entity/project/artifact:alias``. Of those only
``model.json``, ``model.safetensors`` and the example that the former names are fetched; none holds code.

Each file is compared with its size and SHA-256 before its folder gets its name: those of the index, or for an
address those of its own ``model.json``. ``ZOO_OFFLINE=1`` opens no connection.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from zoo import recipes
from zoo.errors import UserError, reason_of
from zoo.files.downloads import NotDownloaded, alone, download, offline, readable
from zoo.files.reading import read_bytes
from zoo.files.schemas import HUB, MODEL, MODEL_FORMAT, MOST_BYTES, WANDB, is_address, read_json
from zoo.files.writing import cache_folder, sha256, write_text, writing

Entry = dict[str, Any]  # of the index
CONFIG, WEIGHTS = "model.json", "model.safetensors"
ELSEWHERE = "set ZOO_HOME to another folder"
FIXED = {"hf": re.compile("[0-9a-f]{40}"), "wandb": re.compile(r"v\d+")}  # versions that never change
TIMEOUT = 10.0  # seconds for the first answer of a hub
LOCAL = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
)  # faults of our disk, not the hub
# by name, so that huggingface_hub need not be imported to explain an error of it
HUB_FAULTS = {
    "GatedRepoError": "wants its terms accepted on its page, then `hf auth login`",
    "RepositoryNotFoundError": "does not exist, or is private (`hf auth login`)",
    "RevisionNotFoundError": "has no such revision",
    "RemoteEntryNotFoundError": "has no such file, so the zoo has not published it",
    "OfflineModeIsEnabled": "was not asked, since HF_HUB_OFFLINE is set",
}


class File(NamedTuple):
    """A file of a folder of weights.

    Args:
        path: Its name.
        bytes: Its size, if known.
        sha256: Its SHA-256 in hexadecimal, if known.
    """

    path: str
    bytes: int | None = None
    sha256: str | None = None


class Weights(NamedTuple):
    """What a name means on this machine.

    Args:
        name: Name or address.
        folder: Folder in which the weights are, or into which they are downloaded.
        here: Whether they are there.
        bundled: Folder of the source tree or the package, which may lack files.
        files: Files by the index; None if ``model.json`` in the folder describes them.
        sources: Folders and addresses from which they can be had, in order.
    """

    name: str
    folder: Path
    here: bool
    bundled: Path | None = None
    files: tuple[File, ...] | None = None
    sources: tuple[str, ...] = ()

    @property
    def digest(self) -> str | None:
        """SHA-256 of the weights by the index; None if they are not of it."""
        return next((file.sha256 for file in self.files or () if file.path == WEIGHTS), None)

    @property
    def again(self) -> str:
        """What to do if a file is damaged."""
        if self.files is None and not is_address(self.name):
            return "copy or export it again"
        return "restore it or install the zoo again" if self.is_bundled else f"run `zoo download {self.name}`"

    @property
    def is_bundled(self) -> bool:
        """Whether the folder came with the zoo."""
        return self.folder == self.bundled


class _Absent(Exception):
    """Why a source does not have a file."""


def home() -> Path:
    """Folder of downloaded weights: ``$ZOO_HOME``, else ``weights`` in the cache folder."""
    stated = os.environ.get("ZOO_HOME")
    return Path(stated).expanduser() if stated else cache_folder() / "weights"


def local(name: str, entry: Entry | None = None) -> Weights:
    """The weights of a name or address, downloaded if they are not on this machine.

    Args:
        name: Name of the index, address, or path, which is taken as it is.
        entry: Entry of the index.

    Raises:
        UserError: They cannot be had; says why and what to do.
    """
    found = find(name, entry)
    if not found.here:
        fetch(found)
    return found


def find(name: str, entry: Entry | None = None, ask: bool = True) -> Weights:
    """What a name or address means; nothing is downloaded.

    Args:
        name: Name of the index, address, or path.
        entry: Entry of the index.
        ask: Whether to ask the hub which version a branch or an alias means; else it is the last one known.

    Raises:
        UserError: The version cannot be found out.
    """
    if entry is not None:
        return _of_index(entry)
    if is_address(name):
        return _of_address(name, ask)
    return Weights(name, Path(name).expanduser(), True)


def repair(name: str, entry: Entry | None = None) -> Weights:
    """The weights of a name or address with all files compared; damaged ones are downloaded again.

    Raises:
        UserError: As :func:`local`, or files that came with the zoo are damaged.
    """
    found = local(name, entry)
    if wrong := faults(found):
        if found.is_bundled:
            raise UserError(f"{wrong[0]}; {found.again}.")
        _say(f"{wrong[0]}.")
        aside = found.folder.with_name(found.folder.name + ".damaged")
        with writing(found.folder):
            shutil.rmtree(aside, ignore_errors=True)
            found.folder.rename(aside)
        try:
            fetch(found)  # which copies its good files
        except BaseException:
            if not found.folder.exists():
                aside.rename(found.folder)  # nothing is lost by an attempt
            raise
        for path in aside.iterdir():  # what was not of the weights
            if not (found.folder / path.name).exists():
                path.rename(found.folder / path.name)
        shutil.rmtree(aside)
    return found


def fetched() -> list[str]:
    """The addresses of which weights were downloaded."""
    hubs = [("hf", "*/*", "@"), ("wandb", "*/*/*", ":")]
    return [
        f"{scheme}://{folder.parent.relative_to(home() / scheme).as_posix()}{mark}{folder.name}"
        for scheme, pattern, mark in hubs
        for folder in sorted((home() / scheme).glob(f"{pattern}/*"))
        if FIXED[scheme].fullmatch(folder.name)
    ]


def faults(found: Weights) -> list[str]:
    """What is wrong with the files of weights that are here: a sentence for each, without a full stop.

    Raises:
        UserError: The folder's ``model.json`` is damaged.
    """
    files = found.files or _described(found.folder)
    paths = ((found.folder / file.path, file) for file in files)
    return [f"{path} {fault}" for path, file in paths if (fault := _fault(path, file))]


def fetch(found: Weights) -> None:
    """Download weights to their folder, and say so on stderr; wait if another process does it.

    Raises:
        UserError: No source has a file as it must be, or it cannot be written.
    """
    target, staged = found.folder, found.folder.with_name(found.folder.name + ".part")
    size = sum(file.bytes or 0 for file in found.files or ())
    _say(f"Downloading {found.name}{f' ({readable(size)})' if size else ''} to {target}.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with alone(target, wait=True):
            if _is_whole(target, found.files):  # another process was faster
                return
            staged.mkdir(exist_ok=True)
            try:
                for file in found.files or (File(CONFIG),):
                    _bring(found, file, staged)
                if found.files is None:
                    for file in _described(staged, found.name)[1:]:
                        _bring(found, file, staged)
                shutil.rmtree(staged / ".cache", ignore_errors=True)  # huggingface_hub's notes
                shutil.rmtree(target, ignore_errors=True)  # it was not whole
                staged.rename(target)
            finally:
                with suppress(OSError):
                    staged.rmdir()  # nothing arrived
    except OSError as error:
        raise UserError(
            f"Cannot write {target} ({error.strerror or error}); free some space or {ELSEWHERE}, then run "
            f"`zoo download {found.name}`."
        ) from error


def _of_index(entry: Entry) -> Weights:
    files = tuple(File(file["path"], file["bytes"], file["sha256"]) for file in entry["files"])
    bundled = recipes.bundled("checkpoints") / entry["folder"]
    if all((bundled / file.path).is_file() for file in files):
        return Weights(entry["name"], bundled, True, bundled, files)
    version = hashlib.sha256("".join(str(file.sha256) for file in files).encode()).hexdigest()[:16]
    kept = home() / "zoo" / entry["name"] / version
    mirror = os.environ.get("ZOO_MIRROR")
    mirrors = [f"{mirror.rstrip('/')}/{entry['folder']}"] if mirror else []
    sources = (*mirrors, *entry.get("sources", []))
    return Weights(entry["name"], kept, _is_whole(kept, files), bundled, files, sources)


def _of_address(address: str, ask: bool) -> Weights:
    scheme = address.partition(":")[0]
    match, mark, label = _parts(address)
    root = home() / scheme / match
    version = label if FIXED[scheme].fullmatch(label) else _version(address, root / "refs", ask)
    folder = root / version
    return Weights(address, folder, _is_whole(folder, None), sources=(f"{scheme}://{match}{mark}{version}",))


def _parts(address: str) -> tuple[str, str, str]:
    """Path of an address, the mark before its revision or alias, and that (by default main or latest)."""
    if match := HUB.fullmatch(address):
        return match[1], "@", match[2] or "main"
    match = WANDB.fullmatch(address)
    assert match is not None
    return match[1], ":", match[2] or "latest"


def _version(address: str, refs: Path, ask: bool) -> str:
    """The version that a branch or an alias means now; if no hub can be asked, that of the last time."""
    scheme = address.partition(":")[0]
    path, mark, label = _parts(address)
    noted = refs / quote(label, safe="")
    version = read_bytes(noted).decode(errors="replace") if noted.is_file() else ""
    before = version if FIXED[scheme].fullmatch(version) else None
    try:
        if not ask or offline():
            raise _Absent("was not asked for, since ZOO_OFFLINE is set" if ask else "was never downloaded")
        version = (_hub_version if scheme == "hf" else _wandb_version)(path, label)
    except _Absent as absent:
        if before is None:
            raise UserError(
                f"{address} is not on this machine: it {absent}; check the address, then run `zoo download "
                f"{address}`."
            ) from absent
        if ask:
            _say(f"{address} {absent}; using {before}, which it meant the last time.")
        return before
    if version != before:
        with suppress(UserError):  # a folder that cannot be written may hold all that is needed
            write_text(noted, version)
    _say_once(f"{address} is {scheme}://{path}{mark}{version} now; give that to use the same weights always.")
    return version


def _described(folder: Path, name: str | None = None) -> tuple[File, ...]:
    """The files of a folder of weights as its ``model.json`` says; one that was downloaded must be right.

    Raises:
        UserError: It is missing or damaged.
    """
    path = folder / CONFIG
    try:
        config = read_json(path, MODEL, MODEL_FORMAT)
    except UserError as error:
        if name is None:
            raise
        path.unlink()
        raise UserError(f"{name}: {str(error).replace(str(path), CONFIG)}") from error
    weights, example = config["weights"], config.get("example")
    files = File(CONFIG), File(WEIGHTS, weights["bytes"], weights["sha256"])
    return (*files, File(example["file"], None, example["sha256"])) if example else files


def _is_whole(folder: Path, files: tuple[File, ...] | None) -> bool:
    """Whether a folder has all files at their sizes; their contents were compared before it got its name."""
    try:
        expected = files or _described(folder)
        sizes = [(file.bytes, (folder / file.path).stat().st_size) for file in expected]
        return all(wanted in (None, size) for wanted, size in sizes)
    except (OSError, UserError):
        return False


def _fault(path: Path, file: File) -> str | None:
    """What is wrong with a file."""
    if not path.is_file():
        return "is missing"
    if file.bytes is not None and (size := path.stat().st_size) != file.bytes:
        return f"has {size} bytes instead of {file.bytes}"
    if file.sha256 is not None and (found := sha256(path)) != file.sha256:
        return f"has the SHA-256 {found[:12]}… instead of {file.sha256[:12]}…"
    return None


def _bring(found: Weights, file: File, staged: Path) -> None:
    """Put a file into the staged folder, from the first source that has it."""
    target, reasons, kept = staged / file.path, [], 0
    versions = [path for path in found.folder.parent.iterdir() if path.is_dir()]  # most files are in several
    for folder in (staged, found.bundled or staged, *versions):
        if file.sha256 is not None and _fault(folder / file.path, file) is None:
            if folder != staged:
                shutil.copyfile(folder / file.path, target)
            return
    target.unlink(missing_ok=True)
    for source in found.sources:
        try:
            _receive(source, file, staged)
            return
        except NotDownloaded as absent:
            reasons.append(absent.reasons)
            kept = absent.kept
        except _Absent as absent:
            reasons.append(str(absent))
    again = (
        f"to resume after {readable(kept)}" if kept else f"later, or save it as {found.folder / file.path}"
    )
    why = "; ".join(reasons) or "the index names no source of it, and ZOO_MIRROR is not set"
    raise UserError(
        f"{file.path} of {found.name} could not be downloaded: {why}; run `zoo download {found.name}` again "
        f"{again}."
    )


def _receive(source: str, file: File, staged: Path) -> None:
    """Put a file into a folder, from one source, and compare it."""
    target = staged / file.path
    if "://" not in source:
        path = Path(source).expanduser() / file.path
        if fault := _fault(path, file):
            raise _Absent(f"{path} {fault}")
        shutil.copyfile(path, target)
    elif offline():
        raise _Absent("ZOO_OFFLINE is set")
    elif is_address(source):
        part, _, label = _parts(source)
        try:
            (_from_hub if source.startswith("hf") else _from_wandb)(part, label, file, staged)
        except _Absent as absent:
            raise _Absent(f"{source} {absent}") from absent
    else:
        download([f"{source}/{file.path}"], target, file.sha256, file.bytes, elsewhere=ELSEWHERE)
    if fault := _fault(target, file):
        target.unlink(missing_ok=True)
        raise _Absent(f"{source} sent a {file.path} that {fault}")


def _require_size(file: File, size: int | None) -> None:
    """Refuse a file before it is downloaded: of another size than it must have, or no description at all."""
    if file.bytes is None and (size is None or size > MOST_BYTES):
        raise _Absent(f"has a {file.path} of {size} bytes, too many for what it is")
    if file.bytes is not None and size != file.bytes:
        raise _Absent(f"has a {file.path} of {size} bytes instead of {file.bytes}")


@contextmanager
def _explained() -> Iterator[None]:
    """Put into words what a hub's library raises."""
    try:
        yield
    except (_Absent, UserError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in LOCAL:
            raise
        kinds = [HUB_FAULTS[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in HUB_FAULTS]
        raise _Absent(kinds[0] if kinds else f"cannot be had ({reason_of(error)[:200]})") from error


def _hub_version(repository: str, revision: str) -> str:
    """The commit of a branch or tag on Hugging Face."""
    with _explained():
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        found = get_hf_file_metadata(hf_hub_url(repository, CONFIG, revision=revision), timeout=TIMEOUT)
    return _fixed("hf", found.commit_hash)


def _from_hub(repository: str, revision: str, file: File, folder: Path) -> None:
    """Download a file from Hugging Face; by our own downloader, which resumes, unless a token is needed."""
    with _explained():
        from huggingface_hub import get_hf_file_metadata, get_token, hf_hub_download, hf_hub_url

        url = hf_hub_url(repository, file.path, revision=revision)
        found = get_hf_file_metadata(url, timeout=TIMEOUT)
        _require_size(file, found.size)
        signed = urlsplit(found.location).hostname != urlsplit(url).hostname
        if file.sha256 is not None and (signed or get_token() is None):
            target = folder / file.path
            download([found.location], target, file.sha256, found.size, elsewhere=ELSEWHERE)
        else:
            hf_hub_download(repository, file.path, revision=revision, local_dir=folder)


def _wandb_version(path: str, alias: str) -> str:
    """The version of an alias on Weights & Biases."""
    with _explained():
        return _fixed("wandb", _artifact(path, alias).version)


def _from_wandb(path: str, version: str, file: File, folder: Path) -> None:
    with _explained():
        try:
            entry = _artifact(path, version).get_entry(file.path)
        except KeyError as error:
            raise _Absent(f"has no {file.path}, so the zoo has not published it") from error
        if entry.ref is not None:
            raise _Absent(f"only refers to {file.path}, and the zoo follows no references")
        _require_size(file, entry.size)
        entry.download(root=str(folder), skip_cache=True)


def _artifact(path: str, version: str) -> Any:
    import wandb

    from zoo.training.online import missing_for_online

    if missing := missing_for_online(wandb.Settings().base_url):
        raise _Absent(f"cannot be had, since {missing}")
    return wandb.Api(timeout=20).artifact(f"{path}:{version}")


def _fixed(scheme: str, version: str | None) -> str:
    if version is None or not FIXED[scheme].fullmatch(version):
        raise _Absent(f"gave {version!r:.60} for its version")
    return version


@functools.cache
def _say_once(text: str) -> None:
    _say(text)


def _say(text: str) -> None:
    print(text, file=sys.stderr)
