"""Profile faces with their frontal views: `input`, `target`, `identity`."""

from zoo.data.frontal.module import FrontalFolder
from zoo.data.frontal.world import FrontalWorld

__all__ = ["FrontalFolder", "FrontalWorld"]
