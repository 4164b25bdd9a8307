"""Data modules, one file a batch contract."""
