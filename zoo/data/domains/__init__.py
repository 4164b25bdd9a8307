"""Two unpaired domains: `source`, `target`."""

from zoo.data.domains.module import DomainFolders
from zoo.data.domains.sets import SVHNToMNIST
from zoo.data.domains.world import DigitsToMNISTM, FacesToEmoji

__all__ = ["DigitsToMNISTM", "DomainFolders", "FacesToEmoji", "SVHNToMNIST"]
