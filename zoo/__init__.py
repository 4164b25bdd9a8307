"""The GAN application zoo: every application paper in one file, trained and measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

    from zoo.guards import GuardedModule
    from zoo.pretrained import Model

__version__ = "0.1.0"


def load(name: str | Path, device: str = "auto", dtype: str | torch.dtype = "float32") -> Model:
    """Load a trained model for use.

    Args:
        name: A name that ``zoo list checkpoints`` prints or an address (``hf://owner/name@revision``,
            ``wandb://entity/project/artifact:alias``), which are downloaded if they are not on this machine;
            an exported folder, a run folder, or a ``.ckpt``.
        device: ``auto``, a GPU if there is one; ``cuda``, ``cpu``.
        dtype: Type of weights and computation, by name or torch's; ``float16`` and ``bfloat16`` save memory
            and time on a GPU, and change the pictures a little.

    Returns:
        A model to call: with ``n`` if it makes samples from noise, else with a path, PIL image, array or
        tensor.

    Raises:
        UserError: Nothing of that name is found or can be downloaded, its hash is wrong, or its format is
            newer than this version.

    Examples:
        >>> digits = load("gan-digits", device="cpu")(n=16, seed=0)
        >>> len(digits), digits[0]
        (16, Picture(8x8, 1 channels))
        >>> model = load("pix2pix-scenes", device="cpu")
        >>> import numpy
        >>> model(numpy.zeros((64, 96), dtype="uint8")).array.shape
        (64, 96, 3)
    """
    from zoo.pretrained import load as _load  # torch takes seconds to import

    return _load(name, device, dtype)


def list_models() -> list[str]:
    """Names of the papers' classes, for :func:`create`.

    Examples:
        >>> "Pix2Pix" in list_models()
        True
    """
    from zoo import catalogue

    return [entry["name"] for entry in catalogue.models()]


def list_checkpoints(task: str | None = None, commercial: bool = False) -> list[str]:
    """Names of pretrained weights, for :func:`load`.

    Args:
        task: A word of the application (``super-resolution``), a paper's file (``pix2pix``), or None for all.
        commercial: Whether to leave out those for research only.

    Examples:
        >>> list_checkpoints("super-resolution", commercial=True)
        []
        >>> "gan-digits" in list_checkpoints()
        True
    """
    from zoo import catalogue
    from zoo.errors import UsageError

    found = [e for e in catalogue.checkpoints() if task is None or catalogue.is_about(e, task)]
    if not found and task is not None:
        tasks = dict.fromkeys(f"{e.get('paper')} ({e.get('task')})" for e in catalogue.checkpoints())
        raise UsageError(f"No weights are of the task {task}; there are {', '.join(tasks)}.")
    return [entry["name"] for entry in found if not (commercial and entry["research_only"])]


def create(name: str, **arguments: Any) -> GuardedModule:
    """A paper's module with random weights, to train or to take apart.

    Args:
        name: A class or file that ``zoo list models`` prints: ``Pix2Pix``, ``pix2pix``.
        arguments: Arguments of the class.

    Raises:
        UserError: There is no such model, or an argument is unknown or out of range.

    Examples:
        >>> create("pix2pix", levels=4, width=48).generator.down[0][0].out_channels
        48
    """
    from zoo.pretrained import create as _create

    return _create(name, arguments)


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
