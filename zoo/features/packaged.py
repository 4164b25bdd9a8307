"""Weights that lie inside an installed package, which itself is never imported."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from zoo.errors import UserError
from zoo.files.writing import sha256


def packaged(package: str, file: str, digest: str, install: str) -> Path:
    """The path of a file inside an installed package.

    Args:
        package: Its top-level name, as ``import`` takes it; finding it runs none of its code.
        file: Below the package's folder.
        digest: The SHA-256 that the file must have, in hexadecimal.
        install: The command that installs the package, for the sentence.

    Raises:
        UserError: The package or the file is absent, or the file is another one.
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
