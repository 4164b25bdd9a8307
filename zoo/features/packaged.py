"""Weights inside an installed package, which itself is never imported, and weights to download."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from zoo.errors import UserError
from zoo.files.downloads import download
from zoo.files.writing import sha256


def packaged(package: str, file: str, digest: str, install: str) -> Path:
    """The path of a file inside an installed package.

    Args:
        package: The package's top-level name, as in ``import``; finding it runs none of its code.
        file: Path below the package's folder.
        digest: Expected SHA-256 in hexadecimal.
        install: Command that installs the package, for the error message.

    Raises:
        UserError: The package or the file is missing, or the file is another one.
    """
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / file
        if path.is_file():
            if sha256(path) != digest:
                raise UserError(
                    f"{path} is not the expected file (its SHA-256 differs); install it again: {install}."
                )
            return path
    raise UserError(f"The weights {file} of the package {package} are not installed; {install}.")


def fetched(need: str, urls: Sequence[str], path: Path, digest: str | None = None) -> Path:
    """The weights file at ``path``, downloaded if it is missing; ``need`` begins the error message.

    Raises:
        UserError: It can neither be found nor fetched, or is damaged.
    """
    try:
        return download(urls, path, digest)
    except UserError as error:
        if path.exists():  # the error says what is wrong with it
            raise
        raise UserError(
            f"{need}: fetch {urls[0]} and put it at {path}, or give the path of your copy as weights "
            f"({str(error).rstrip('.')})."
        ) from error
