"""Pictures with or without a class: `image`, `label`."""

from zoo.data.images.module import MNIST, Digits, ImageFolder
from zoo.data.images.sets import CIFAR10, SVHN
from zoo.data.images.world import FaceWorld

__all__ = ["CIFAR10", "MNIST", "SVHN", "Digits", "FaceWorld", "ImageFolder"]
