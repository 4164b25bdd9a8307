"""The GAN application zoo: every application paper in one file, trained and measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
