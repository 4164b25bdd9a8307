"""The GAN application zoo: every application paper in one file, trained and measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from zoo.checkpoints import Pretrained

__version__ = "0.1.0"


def load(name: str) -> Pretrained:
    """Load a pretrained model by its name in the index, a weights folder, or a training checkpoint.

    Args:
        name: A name that ``zoo list checkpoints`` prints, or the path of an exported folder or ``.ckpt``.

    Raises:
        UserError: Nothing of that name is found, its hash is wrong, or its format is newer than this version.
    """
    from zoo.checkpoints import load as _load  # torch takes seconds to import

    return _load(name)


def fit(recipe: str, seeds: Sequence[int] | None = None, **overrides: Any) -> Path:
    """Train a recipe, as ``zoo fit --config RECIPE`` does.

    Args:
        recipe: A name that ``zoo list recipes`` prints, or the path of a YAML file.
        seeds: Train and test with each of these in processes of their own, as ``--seeds`` does.
        overrides: Other values by section, ``model={"width": 48}, trainer={"max_steps": 100}``, and options
            of the command, ``resume="auto"``.

    Returns:
        The run folder; with ``seeds`` the group's, whose ``eval.json`` has mean and deviation of each score.

    Raises:
        UserError: A key or value is wrong, or the data are missing.
    """
    import json

    from zoo.training import build, run_built

    arguments = ["--config", recipe]
    for key, value in overrides.items():
        for option, given in _flat(key, value).items():
            arguments.append(f"--{option}={given if isinstance(given, str) else json.dumps(given)}")
    if seeds is not None:
        from zoo.training.seeds import fit_each, taken_from

        return fit_each(*taken_from([*arguments, "--seeds", *map(str, seeds)]))
    built = build(arguments)
    run_built(built)
    return built.folder


def _flat(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {key: value}
    return {name: v for k, given in value.items() for name, v in _flat(f"{key}.{k}", given).items()}
