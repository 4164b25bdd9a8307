"""Draw the pictures of cards and gallery: ``make pictures``, with ``ALL=1`` also those of experiments.

Pictures show the first held-out samples, or the samples of seed 0; none is picked. One file here per paper
has ``published``, which draws those of published weights (minutes in all), and may have ``experiments``,
which first trains the recipes that the card names, or continues their runs (hours). Pictures that need data
of ``ZOO_DATA`` are left as they are without it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

PAPERS = sorted({path.stem for path in Path(__file__).parent.glob("*.py")} - {"__main__", "common"})

if __name__ == "__main__":
    modules = [import_module(name) for name in PAPERS]
    for module in modules:
        module.published()
    for module in modules if "--all" in sys.argv[1:] else ():
        if hasattr(module, "experiments"):
            module.experiments()
