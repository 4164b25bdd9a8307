"""Find recipes by name from any folder: a path, then the source tree, then the installed package."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import UserError


@dataclass(frozen=True)
class Recipe:
    """A recipe as ``zoo list`` shows it.

    Args:
        name: ``paper/data``, as it is typed.
        path: The YAML file.
        head: Its head comment, without the number signs.
    """

    name: str
    path: Path
    head: str


def bundled(folder: str) -> Path:
    """The top-level folder ``recipes`` or ``checkpoints``: of the source tree, else of the package."""
    package = Path(__file__).parent
    beside = package.parent / folder
    return (
        beside
        if (package.parent / "pyproject.toml").is_file() and beside.is_dir()
        else package / f"_{folder}"
    )


def all_recipes() -> list[Recipe]:
    """Every recipe that comes with the zoo, overlays left out."""
    root = bundled("recipes")
    paths = sorted(p for p in root.glob("*/*.yaml") if p.parent.name != "overlays")
    return [Recipe(p.relative_to(root).with_suffix("").as_posix(), p, head_comment(p)) for p in paths]


def head_comment(path: Path) -> str:
    """The comment lines at the top of a file, without their number signs."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("#").strip())
    return "\n".join(lines)


def find(name: str) -> Path:
    """The YAML file of a recipe given by path or by name (``pix2pix/scenes``).

    Raises:
        UserError: There is none; suggests the nearest name.
    """
    if Path(name).is_file():
        return Path(name)
    root = bundled("recipes")
    short = name.removeprefix("recipes/").removesuffix(".yaml")
    if (path := root / f"{short}.yaml").is_file():
        return path
    near = difflib.get_close_matches(short, [r.name for r in all_recipes()], 1, 0.4)
    raise UserError(
        f"There is no recipe {name}"
        + (f"; did you mean {near[0]}?" if near else "; `zoo list recipes` names all.")
    )
