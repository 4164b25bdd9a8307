"""Files of every kind, read with bounds and written atomically; each module imports what its kind needs."""

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".npy")
