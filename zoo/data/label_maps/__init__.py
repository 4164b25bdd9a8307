"""Label maps with their photographs: `input` one-hot, `target`, `labels`, `instances`."""

from zoo.data.label_maps.module import LabelMapFolder

__all__ = ["LabelMapFolder"]
