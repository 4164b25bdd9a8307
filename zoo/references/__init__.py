"""Other implementations of the papers: one file per paper with key maps and networks that only they have."""
