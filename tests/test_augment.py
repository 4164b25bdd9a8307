"""DiffAugment against a plain transcription of the authors' code, picture by picture."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.losses.augment import draw, moved, recoloured

ALL = ("color", "translation", "cutout")


def plain(
    x: Tensor, brightness: float, saturation: float, contrast: float, shift: Tensor, at: Tensor
) -> Tensor:
    """The authors' operations on one picture (C, H, W), with their numbers given."""
    _, height, width = x.shape
    x = x + brightness
    x = (x - x.mean(0)) * saturation + x.mean(0)
    x = (x - x.mean()) * contrast + x.mean()
    padded = F.pad(x, (1, 1, 1, 1))
    moved = torch.empty_like(x)
    for i in range(height):
        for j in range(width):
            row = min(max(i + int(shift[0]) + 1, 0), height + 1)
            column = min(max(j + int(shift[1]) + 1, 0), width + 1)
            moved[:, i, j] = padded[:, row, column]
    mask = torch.ones(height, width)
    size = int(height * 0.5 + 0.5), int(width * 0.5 + 0.5)
    for i in range(size[0]):
        for j in range(size[1]):
            row = min(max(i + int(at[0]) - size[0] // 2, 0), height - 1)
            mask[row, min(max(j + int(at[1]) - size[1] // 2, 0), width - 1)] = 0
    return moved * mask


@pytest.mark.parametrize("size", [(8, 12), (9, 7), (18, 16)])
def test_the_operations_are_the_authors(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.rand(6, 3, *size) * 2 - 1
    draws = draw(ALL, x)
    found = moved(recoloured(x, draws), draws)
    colours = [draws[name].flatten().tolist() for name in ("brightness", "saturation", "contrast")]
    for i, numbers in enumerate(zip(*colours, strict=True)):
        wanted = plain(x[i], *numbers, draws["translation"][:, i], draws["cutout"][:, i])
        torch.testing.assert_close(found[i], wanted)
    assert not torch.equal(found[0], found[1])


@pytest.mark.parametrize(("side", "shift", "places"), [(16, 2, 17), (18, 2, 18), (8, 1, 9)])
def test_the_ranges_are_the_authors(side: int, shift: int, places: int) -> None:
    torch.manual_seed(0)
    draws = draw(ALL, torch.zeros(4000, 1, side, side))
    ends = {"brightness": (-0.5, 0.5), "saturation": (0, 2), "contrast": (0.5, 1.5)}
    for name, (low, high) in ends.items():
        values = draws[name]
        assert values.shape == (4000, 1, 1, 1)
        assert low <= values.min() < low + 0.01 * (high - low) and high - 0.01 < values.max() <= high
    for numbers in draws["translation"]:
        assert sorted(set(numbers.tolist())) == list(range(-shift, shift + 1))
    for numbers in draws["cutout"]:
        assert sorted(set(numbers.tolist())) == list(range(places))


def test_only_what_is_asked_for_and_with_a_gradient() -> None:
    x = torch.rand(2, 3, 16, 16, requires_grad=True)
    assert draw(("translation",), x).keys() == {"translation"} and not draw((), x)
    assert recoloured(x, {}) is x and moved(x, {}) is x
    draws = {"translation": torch.tensor([[2, 0], [0, -1]])}
    moved(x, draws).sum().backward()
    assert x.grad is not None
    assert x.grad[0, :, :2].eq(0).all() and x.grad[0, :, 2:].eq(1).all()  # what left the picture
    assert x.grad[1, :, :, -1].eq(0).all() and x.grad[1, :, :, :-1].eq(1).all()
