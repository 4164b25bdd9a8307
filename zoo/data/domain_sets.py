"""Earlier class paths of :mod:`zoo.data.domains.sets`, which recipes and checkpoints may name."""

from zoo.data.domains.sets import PublishedMNISTM, SVHNToMNIST

__all__ = ["PublishedMNISTM", "SVHNToMNIST"]
