"""Procedural worlds: unlimited data drawn by code, a function of (seed, index)."""
