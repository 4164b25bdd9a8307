from __future__ import annotations

import torch
import torch.nn.functional as F

from zoo.drawing.sheets import PALETTE, grid, label_colours, mosaic, scatter, to_rgb


def colour(rgb: tuple[int, int, int]) -> torch.Tensor:
    return torch.tensor(rgb) / 127.5 - 1


def in_range(x: torch.Tensor) -> bool:
    return x.dtype == torch.float32 and x.shape[0] == 3 and bool(((x >= -1) & (x <= 1)).all())


def test_grey_colour_and_many_channels_become_rgb():
    grey, rgb = torch.rand(2, 1, 4, 5) * 2 - 1, torch.rand(3, 4, 5) * 2 - 1
    assert torch.equal(to_rgb(grey), grey.expand(2, 3, 4, 5))
    assert torch.equal(to_rgb(rgb), rgb)
    bands = torch.rand(7, 4, 5) * 2 - 1
    assert torch.equal(to_rgb(bands), bands[:3])


def test_alpha_lies_over_white():
    rgb = torch.full((3, 1, 1), -1.0)
    alphas = [to_rgb(torch.cat([rgb, torch.full((1, 1, 1), a)])).mean().item() for a in (-1.0, 0.0, 1.0)]
    assert alphas == [1.0, 0.0, -1.0]
    assert to_rgb(torch.tensor([-1.0, 0.0]).view(2, 1, 1)).tolist() == [[[0.0]], [[0.0]], [[0.0]]]


def test_one_hot_maps_take_the_colours_of_their_classes():
    labels = torch.randint(0, 16, (2, 6, 7))
    for classes in (2, 3, 4, 16):
        maps = labels % classes
        one_hot = F.one_hot(maps, classes).permute(0, 3, 1, 2)
        assert torch.equal(to_rgb(one_hot), label_colours(maps, classes)), classes


def test_label_colours_are_distinct_and_mark_what_is_no_class():
    many = label_colours(torch.arange(60).view(1, 60), 60)
    assert len({tuple(c) for c in many[:, 0].T.tolist()}) == 60
    odd = label_colours(torch.tensor([[0, 1, 2, 255, -1]]), 2)
    torch.testing.assert_close(odd[:, 0, 0], colour(PALETTE[0]))
    torch.testing.assert_close(odd[:, 0, 1], colour(PALETTE[1]))
    assert (odd[:, 0, 2:] == -1).all()


def test_mosaic_places_each_picture_row_by_row_unchanged():
    images = torch.rand(5, 3, 4, 6) * 2 - 1
    sheet = mosaic(images, columns=3, gap=1)
    assert sheet.shape == (3, 2 * 5 + 1, 3 * 7 + 1) and in_range(sheet)
    assert torch.equal(sheet[:, 1:5, 8:14], images[1])
    assert torch.equal(sheet[:, 6:10, 1:7], images[3])
    assert (sheet[:, 6:, 15:] == 1).all()
    assert mosaic(torch.zeros(16, 1, 8, 8), gap=0).shape == (3, 32, 32)


def test_grid_shows_samples_in_rows_and_kinds_in_columns():
    a, b = torch.rand(3, 3, 96, 96) * 2 - 1, torch.rand(2, 1, 96, 96) * 2 - 1
    sheet = grid({"input": a, "output": b}, gap=4)
    head = sheet.shape[1] - 3 * 100
    assert in_range(sheet) and sheet.shape[2] == 2 * 100 + 4
    for row in range(3):
        top = head + row * 100
        assert torch.equal(sheet[:, top : top + 96, 4:100], a[row])
        expected = b[row].expand(3, -1, -1) if row < 2 else torch.ones(3, 96, 96)
        assert torch.equal(sheet[:, top : top + 96, 104:200], expected)


def test_grid_writes_a_title_over_each_column_and_keeps_long_ones_inside():
    x = torch.ones(1, 3, 96, 96)
    sheet = grid({"input": x, "a title far longer than any picture is wide, really": x, "": x})
    dark = (sheet[:, : sheet.shape[1] - 100].amin(0) < 0).any(0)
    assert dark[4:100].any() and dark[104:200].any() and not dark[204:].any()
    assert not dark[:4].any() and not dark[100:104].any() and not dark[200:204].any()


def test_grid_enlarges_small_pictures_by_repeating_pixels():
    small, large = torch.rand(1, 3, 12, 12) * 2 - 1, torch.zeros(1, 3, 48, 48)
    sheet = grid({"low": small, "high": large})
    shown = sheet[:, -100:-4, 4:100]
    assert torch.equal(shown, small[0].repeat_interleave(8, 1).repeat_interleave(8, 2))


def test_scatter_puts_points_where_they_belong_and_counts_those_outside():
    real = torch.tensor([[0.0, 0.0], [10.0, 10.0]])
    far = torch.tensor([[1000.0, 0.0], [float("nan"), 1.0], [float("inf"), 1.0]])
    sheet = scatter({"real": real}, size=300)
    assert in_range(sheet) and sheet.shape == (3, 300, 300)
    spot = {(x, y): sheet[:, y - 3 : y + 4, x - 3 : x + 4].min() for x in (63, 237) for y in (73, 247)}
    assert spot[63, 247] < 0.3 and spot[237, 73] < 0.3  # y grows upwards
    assert spot[63, 73] == spot[237, 247] == 1
    with_far = scatter({"real": real, "far": far}, size=300)
    assert torch.equal(with_far[:, 34:], sheet[:, 34:])  # only the legend has grown
    assert not torch.equal(with_far[:, :34], sheet[:, :34])


def test_scatter_of_one_point_and_empty_clouds():
    assert in_range(scatter({"real": torch.zeros(1, 2), "none": torch.zeros(0, 2)}))


def test_mosaic_enlarges_small_pictures_by_whole_factors() -> None:
    pictures = torch.tensor([[-1.0, 1.0], [1.0, -1.0]]).expand(1, 1, 2, 2)
    sheet = mosaic(pictures, gap=1, least=3)
    assert sheet.shape == (3, 6, 6)
    assert torch.equal(sheet[0, 1:5, 1:5], pictures[0, 0].repeat_interleave(2, 0).repeat_interleave(2, 1))
