"""Images and text for people: sheets, grids, plots, rotating voxels, tables."""
