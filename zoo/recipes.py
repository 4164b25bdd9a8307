"""Find recipes by name from any folder: a path, then the source tree, then the installed package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import UserError, nearest

PACKAGE = Path(__file__).parent


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
    beside = PACKAGE.parent / folder
    in_tree = (PACKAGE.parent / "pyproject.toml").is_file() and beside.is_dir()
    return beside if in_tree else PACKAGE / f"_{folder}"


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


def read(path: Path) -> Any:
    """What ``yaml.safe_load`` gives of a file, by libyaml if it is installed: ten times as fast."""
    import yaml  # names are found without it

    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    return loader(path.read_text(encoding="utf-8")).get_single_data()


def describing(arguments: dict[str, Any], root: str) -> list[str]:
    """The data arguments that describe the folder ``arguments["root"]`` and do not apply to ``root``.

    Folders of one name, ``data/facades`` and ``/disk/facades``, are taken for the same data.
    """
    before = arguments.get("root")
    if before is None or Path(str(before)).name == Path(str(root)).name:
        return []
    return [key for key in ("name", "licence", "research_only") if arguments.get(key) is not None]


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
    hint = nearest(short, [recipe.name for recipe in all_recipes()], "`zoo list recipes` names all.")
    raise UserError(f"There is no recipe {name}; {hint}")
