"""Solid objects: `voxels`, `label`."""

from zoo.data.voxels.module import VoxelFolder
from zoo.data.voxels.sets import ModelNetChairs
from zoo.data.voxels.world import FurnitureWorld

__all__ = ["FurnitureWorld", "ModelNetChairs", "VoxelFolder"]
