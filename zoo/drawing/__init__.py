"""Pictures made for people: sheets, grids, plots, and turning voxels."""
