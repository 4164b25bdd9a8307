"""The resizings against recorded numbers, PIL and torch-fidelity's own code."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from parity import rule
from PIL import Image
from torch import Tensor

from zoo.errors import UserError
from zoo.features.resizing import clean_bicubic, pil_bytes, tf1_bilinear

SIZE = (299, 299)
RESIZES = {
    "tf1": lambda images: tf1_bilinear(images, (20, 30)),
    "clean": lambda images: clean_bicubic(images, (20, 30)),
    "pil": lambda images: pil_bytes(images, (20, 30), Image.Resampling.BICUBIC),
}


def pictures(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["up_32", "up_64x80", "down_512x384"])
def test_resizes_equal_the_recorded_numbers(name: str) -> None:
    fixture = rule.load("metrics/resize_299_tf1")
    images = rule.given(name, fixture["inputs"][name], fixture["seed_prefix"])
    for dtype in (torch.float32, torch.float64):
        recorded = fixture["outputs"][f"{name}_{str(dtype).removeprefix('torch.')}"]
        rule.assert_summary(tf1_bilinear(images, SIZE, dtype), recorded)
    clean = rule.load("metrics/resize_299_clean")
    images = rule.given(name, clean["inputs"][name], clean["seed_prefix"])
    rule.assert_summary(clean_bicubic(images, SIZE)[0], clean["outputs"][f"{name}_pil_bicubic"])


def test_the_two_kinds_differ_as_they_are_known_to() -> None:
    images = pictures(1, 3, 32, 32)
    difference = (tf1_bilinear(images, SIZE) - clean_bicubic(images, SIZE)).abs().mean()
    assert difference > 8  # grey levels: a mix-up could not go unseen


def test_tf1_bilinear_is_torch_fidelity_s_to_the_last_bit() -> None:
    compat = pytest.importorskip("torch_fidelity.interpolate_compat_tensorflow")
    images = pictures(2, 3, 70, 41)
    theirs = compat.interpolate_bilinear_2d_like_tensorflow1x(images.float(), size=SIZE, align_corners=False)
    assert torch.equal(tf1_bilinear(images, SIZE), theirs)


def test_clean_bicubic_is_pil_s_resize_of_floats() -> None:
    images = pictures(2, 3, 90, 41)
    for image, ours in zip(images, clean_bicubic(images, (20, 30)), strict=True):
        for channel, made in zip(image, ours, strict=True):
            pil = Image.fromarray(channel.float().numpy()).resize((30, 20), Image.Resampling.BICUBIC)
            theirs = torch.from_numpy(np.asarray(pil).clip(0, 255))
            torch.testing.assert_close(made, theirs, rtol=0, atol=5e-5)


@pytest.mark.parametrize("way", [Image.Resampling.BICUBIC, Image.Resampling.BILINEAR])
def test_pil_bytes_is_pil_s_resize_of_a_colour_picture(way: Image.Resampling) -> None:
    images = pictures(2, 3, 90, 41)
    for image, ours in zip(images, pil_bytes(images, (20, 30), way), strict=True):
        pil = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((30, 20), way)
        assert torch.equal(ours.byte(), torch.from_numpy(np.array(pil)).permute(2, 0, 1))


@pytest.mark.parametrize("resize", RESIZES.values(), ids=RESIZES)
def test_grey_stands_for_three_equal_channels_and_bytes_stay_in_range(
    resize: Callable[[Tensor], Tensor],
) -> None:
    grey = pictures(2, 1, 33, 47)
    before = grey.clone()
    made = resize(grey)
    assert made.shape == (2, 3, 20, 30) and made.dtype == torch.float32
    assert torch.equal(made, resize(grey.expand(-1, 3, -1, -1)))
    assert made.min() >= 0 and made.max() <= 255 and torch.equal(grey, before)
    same = pictures(1, 3, 20, 30)
    torch.testing.assert_close(resize(same), same.float(), rtol=0, atol=1e-4)  # the size it has already


@pytest.mark.parametrize("resize", RESIZES.values(), ids=RESIZES)
@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(1, 4, 8, 8, dtype=torch.uint8),
        torch.zeros(1, 2, 8, 8, dtype=torch.uint8),
        torch.zeros(3, 8, 8, dtype=torch.uint8),
        torch.zeros(1, 3, 8, 8),
        torch.zeros(1, 3, 0, 8, dtype=torch.uint8),
    ],
    ids=["rgba", "grey-alpha", "one picture", "floats", "empty"],
)
def test_other_pictures_are_refused(resize: Callable[[Tensor], Tensor], images: Tensor) -> None:
    with pytest.raises(UserError, match=r"^A feature network takes uint8 images .* drop alpha first\.$"):
        resize(images)
