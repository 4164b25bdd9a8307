"""Points in the plane, which models of toy worlds give: plotted, or written as rows of numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from torch import Tensor

SUFFIXES = (".png", ".webp", ".jpg", ".jpeg", ".npy", ".csv")
MOST = 1_000_000  # points in one plot


class Points:
    """Points, plotted by ``pil`` and in a notebook.

    Args:
        tensor: (N, 2).
    """

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor.detach().float().cpu()

    def __len__(self) -> int:
        return len(self.tensor)

    @property
    def array(self) -> np.ndarray[Any, Any]:
        """The points, (N, 2) float32."""
        return self.tensor.numpy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return self.array.astype(dtype or self.array.dtype)

    @property
    def plot(self) -> Tensor:
        """The plot, (3, 512, 512) in [-1, 1]."""
        from zoo.drawing.sheets import scatter

        return scatter({"samples": self.tensor})

    @property
    def pil(self) -> Image.Image:
        """The plot as a PIL image."""
        from zoo.use.picture import Picture

        return Picture(self.plot).pil

    def save(self, path: str | Path) -> None:
        """Write the plot (.png, .webp, .jpg) or the numbers (.csv, .npy).

        Raises:
            UserError: The ending is another, or the file cannot be written.
        """
        import io

        import numpy as np

        from zoo.files.pictures import write_picture
        from zoo.files.writing import write_bytes

        suffix, buffer = Path(path).suffix.lower(), io.BytesIO()
        if suffix not in (".npy", ".csv"):
            write_picture(path, self.plot)
            return
        if suffix == ".npy":
            np.save(buffer, self.array)
        else:
            np.savetxt(buffer, self.array, "%.9g", ",", header="x,y", comments="")
        write_bytes(Path(path), buffer.getvalue())


def most(samples: Tensor) -> int:
    """How many samples like these one file can show."""
    return MOST


def write(samples: Tensor, bits: int = 8) -> Points:
    """All samples (N, 2) together."""
    return Points(samples)
