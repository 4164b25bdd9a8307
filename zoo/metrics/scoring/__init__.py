"""Scores by protocol: the sets compared, what each number depends on, where numbers are written."""
