"""The earlier place of SVHN to MNIST; recipes, ``model.json`` and packs name it here."""

from zoo.data.domains.sets import SVHNToMNIST

__all__ = ["SVHNToMNIST"]
