"""Put a small free input beside the weights of ``checkpoints`` that take one: ``python scripts/examples.py``.

Label maps are drawn by the zoo: a scene of the world, and a facade in the palette of CMP facades, whose own
label maps state no licence. Super-resolution gets a part of a photograph that comes with scikit-learn.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

from zoo.checkpoints import add_example
from zoo.data.worlds import scenes
from zoo.features.segmenter import FACADES

WEIGHTS = Path(__file__).parents[1] / "checkpoints"
DRAWN = "Apache-2.0, drawn by the zoo"
PHOTOGRAPH = "CC BY 2.0, flower.jpg by danielbuechele, reduced, from scikit-learn"


def scene() -> Image.Image:
    """The label map of the first held-out scene, 64 px, as a palette picture of class numbers."""
    image = Image.fromarray(scenes.draw(0, 0, 64).labels.numpy().astype(np.uint8)).convert("P")
    image.putpalette(np.array(scenes.PALETTE, np.uint8).tobytes())
    return image


def facade() -> Image.Image:
    """A house of three floors, 128 px, in the colours of CMP facades."""
    number = {name: index for index, name in enumerate(FACADES)}
    labels = np.full((128, 128), number["background"], np.uint8)

    def fill(name: str, top: int, left: int, bottom: int, right: int) -> None:
        labels[top:bottom, left:right] = number[name]

    fill("facade", 12, 6, 128, 122)
    fill("cornice", 12, 6, 18, 122)
    fill("molding", 88, 6, 91, 122)
    for floor, top in enumerate((25, 58)):
        for left in (14, 43, 72, 101):
            fill("window", top, left, top + 22, left + 13)
            fill("sill", top + 22, left - 1, top + 25, left + 14)
            fill("deco", top - 4, left, top - 1, left + 13)
            if floor == 1 and left in (43, 72):
                fill("balcony", top + 15, left - 3, top + 24, left + 16)
    fill("door", 97, 56, 128, 72)
    for left in (12, 80):
        fill("shop", 96, left, 124, left + 36)
    return Image.fromarray(np.array(list(FACADES.values()), np.uint8)[labels])


def photograph() -> Image.Image:
    """The middle of a flower, 96 x 64 px."""
    photo = Image.fromarray(load_sample_image("flower.jpg")).resize((160, 107), Image.Resampling.BICUBIC)
    return photo.crop((32, 20, 128, 84))


EXAMPLES = {
    "pix2pix-scenes": (scene, DRAWN),
    "pix2pixhd-scenes": (scene, DRAWN),
    "pix2pix-facades-small": (facade, DRAWN),
    "pix2pixhd-facades-small": (facade, DRAWN),
    "srgan-bsds-small": (photograph, PHOTOGRAPH),
    "srresnet-bsds-small": (photograph, PHOTOGRAPH),
}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for name, (make, licence) in EXAMPLES.items():
            path = Path(folder) / "example.png"
            make().save(path, optimize=True)
            add_example(WEIGHTS / name, path, licence)
