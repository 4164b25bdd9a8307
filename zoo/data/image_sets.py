"""Earlier class paths of :mod:`zoo.data.images.sets`, which recipes and checkpoints may name."""

from zoo.data.images.sets import CIFAR10, SVHN

__all__ = ["CIFAR10", "SVHN"]
