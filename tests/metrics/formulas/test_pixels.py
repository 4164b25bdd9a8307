"""The gate into metrics: what is written is what is measured, and a wrong range is refused, never guessed."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from zoo.errors import UserError
from zoo.files.pictures import read_array, write_picture
from zoo.metrics.formulas.pixels import generated_bytes, require_bytes, to_bytes

ALL = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)


def uniform(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("channels", [1, 3])
def test_bytes_are_those_of_the_written_file(tmp_path: Path, channels: int) -> None:
    images = uniform(2, channels, 9, 7) * 2 - 1
    for i, found in enumerate(to_bytes(images, "[-1,1]")):
        write_picture(tmp_path / f"{i}.png", images[i])
        written = torch.from_numpy(read_array(tmp_path / f"{i}.png").copy()).permute(2, 0, 1)
        assert found.dtype == torch.uint8 and torch.equal(found, written)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_every_byte_comes_back_from_either_range(kind: torch.dtype) -> None:
    unit = ALL.to(kind) / 255
    assert torch.equal(to_bytes(unit, "[0,1]"), ALL)
    assert torch.equal(to_bytes(unit * 2 - 1, "[-1,1]"), ALL)
    assert torch.equal(to_bytes(ALL, "bytes"), ALL)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_as_it_is_written(kind: torch.dtype) -> None:
    images = (uniform(2, 3, 4, 4) * 2 - 1).to(kind)
    assert torch.equal(to_bytes(images, "[-1,1]"), to_bytes(images.double(), "[-1,1]"))


def test_rounding_errors_are_no_overshoot() -> None:
    assert to_bytes(torch.tensor([-1.0005, 1.0005]).view(1, 1, 1, 2), "[-1,1]").flatten().tolist() == [0, 255]
    assert to_bytes(torch.tensor([-0.0005, 1.0005]).view(1, 1, 1, 2), "[0,1]").flatten().tolist() == [0, 255]


@pytest.mark.parametrize(
    ("images", "values", "words"),
    [
        (uniform(1, 3, 4, 4) * 2 - 1, "[0,1]", r"\[0,1\] range from -0"),
        (uniform(1, 3, 4, 4) * 255, "[0,1]", "clamp them"),
        (uniform(1, 3, 4, 4) * 255, "[-1,1]", "range from"),
        (uniform(1, 3, 4, 4) * 2 - 1.1, "[-1,1]", "range from -1.0"),
        (torch.full((2, 1, 2, 2), math.nan), "[-1,1]", "2 of 2 images hold"),
        (torch.tensor([0.0, math.inf]).view(2, 1, 1, 1), "[0,1]", "1 of 2 images hold"),
        (uniform(1, 3, 4, 4), "bytes", "uint8, not float32"),
        (uniform(1, 3, 4, 4).long(), "bytes", "uint8, not int64"),
        (ALL, "[-1,1]", "floats, not uint8"),
        (ALL, "[0,1]", "floats, not uint8"),
        (uniform(1, 4, 4, 4), "[0,1]", "alpha.*on white"),
        (uniform(1, 4, 4, 3), "[0,1]", "alpha"),
        (uniform(1, 16, 4, 3), "[0,1]", "not 16"),
        (uniform(1, 2, 4, 4), "[0,1]", "not 2"),
        (uniform(3, 4, 4), "[0,1]", r"not \(3, 4, 4\)"),
        (uniform(1, 8, 3, 4, 4), "[0,1]", "frames of clips"),
        (uniform(0, 3, 4, 4), "[0,1]", "at least one"),
        (uniform(1, 3, 4, 4), "[0,255]", r"'\[0,255\]'.*bytes"),
    ],
)
def test_what_contradicts_its_range_is_refused(images: Tensor, values: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as refused:
        to_bytes(images, values)
    assert str(refused.value).count(". ") == 0


def test_floats_do_not_pass_for_bytes() -> None:
    with pytest.raises(UserError, match=r"float32.*to_bytes"):
        require_bytes(uniform(1, 3, 4, 4))
    with pytest.raises(UserError, match="alpha"):
        require_bytes(torch.zeros(1, 4, 2, 2, dtype=torch.uint8))
    require_bytes(ALL)


def judged(*batches: Tensor) -> int:
    found = list(generated_bytes((torch.arange(len(batch)), batch) for batch in batches))
    for batch, (indices, made) in zip(batches, found, strict=True):
        assert torch.equal(made, to_bytes(batch, "[-1,1]")) and len(indices) == len(batch)
    return len(torch.cat([made for _, made in found]))


def test_a_set_that_looks_like_another_range_is_refused() -> None:
    unit = uniform(4, 1, 4, 4)
    with pytest.raises(UserError, match=r"4 generated images given as \[-1,1\].*look like \[0,1\]"):
        judged(unit[:1], unit[1:])


def test_sets_that_may_be_right_pass() -> None:
    unit = uniform(4, 1, 4, 4)
    assert judged(unit, unit * 2 - 1) == 8  # one batch is bright, the set is not
    judged(unit[:1])  # one picture may be bright
    judged(torch.full((3, 1, 2, 2), 0.5), torch.full((1, 1, 2, 2), 0.25))  # a collapsed generator's
