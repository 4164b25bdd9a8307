"""Callbacks that a recipe lists: sample grids, health."""
