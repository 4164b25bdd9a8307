"""Draw the pictures of cards and gallery: ``make pictures``, with ``ALL=1`` also those of experiments.

Pictures show the first held-out samples, or the samples of seed 0; none is picked. One file here per paper
has ``published``, which draws those of published weights (minutes in all) and yields names of weights with
single outputs for the sheet at the top of the README, and may have ``experiments``, which first trains the
recipes that the card names, or continues their runs (hours). Without ``ZOO_DATA`` pictures that need its
data, and that sheet, are left as they are.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import torch
from common import HAS_DATA, IMG
from torchvision.transforms.v2.functional import InterpolationMode, resize

from zoo.drawing.sheets import captioned, to_rgb
from zoo.files.pictures import write_picture

SHOWN, SIDE = 4, 128  # outputs per model at the top of the README, and their side in pixels
PAPERS = sorted({path.stem for path in Path(__file__).parent.glob("*.py")} - {"__main__", "common"})

if __name__ == "__main__":
    modules = [import_module(name) for name in PAPERS]
    tiles, names = [], list[str]()
    for name, output in (each for module in modules for each in module.published()):
        tiles.append(resize(to_rgb(output[:SHOWN]), [SIDE, SIDE], InterpolationMode.NEAREST_EXACT))
        names += [name, *[""] * (SHOWN - 1)]
    if HAS_DATA:
        write_picture(IMG.parents[1] / "gallery.png", captioned(torch.cat(tiles), names, 2 * SHOWN))
    for module in modules if "--all" in sys.argv[1:] else ():
        if hasattr(module, "experiments"):
            module.experiments()
