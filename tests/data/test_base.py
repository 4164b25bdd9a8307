"""Order, augmentation and splits, whatever the number of workers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from games import Data, Points

from zoo.data.base import (
    DataModule,
    Loader,
    OrderedSampler,
    PassSampler,
    Sample,
    SampleSet,
    Split,
    collate,
    stack,
    to_floats,
)
from zoo.data.images import ImageFolder
from zoo.data.pairs.world import ScenePairs
from zoo.errors import UserError
from zoo.files.pictures import write_picture


def _epochs(data: Data, epochs: int = 2) -> list[torch.Tensor]:
    loader = data.train_dataloader()
    batches = []
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        batches.append(torch.stack([batch["point"] for batch in loader]))
    return batches


def test_order_and_augmentation_do_not_depend_on_workers() -> None:
    alone = _epochs(Data(seed=3))
    assert not torch.equal(alone[0], alone[1])
    for workers in (1, 4):
        for a, b in zip(alone, _epochs(Data(seed=3, num_workers=workers)), strict=True):
            assert torch.equal(a, b)
    assert not torch.equal(alone[0], _epochs(Data(seed=4))[0])


def test_loading_draws_nothing_from_the_global_generator() -> None:
    torch.manual_seed(0)
    _epochs(Data(seed=3), 1)
    drawn = torch.rand(3)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(3))


def test_an_epoch_holds_each_sample_once_and_ranks_share_it() -> None:
    ranks = [list(OrderedSampler(21, 1, 2, 0, rank, 2)) for rank in (0, 1)]
    assert [len(keys) for keys in ranks] == [10, 10]
    assert {epoch for keys in ranks for epoch, _ in keys} == {2}
    assert len({index for keys in ranks for _, index in keys}) == 20
    assert list(OrderedSampler(21, 1, 2, 4, 1, 2)) == ranks[1][4:]


def test_the_offset_holds_for_the_first_epoch_only() -> None:
    sampler = OrderedSampler(20, 1, 3, 8, 0, 1)
    assert len(list(sampler)) == 12
    sampler.set_epoch(4)
    assert len(list(sampler)) == 20


def test_evaluation_is_in_order_and_not_augmented() -> None:
    batches = list(Data(val=6).val_dataloader())
    assert [len(batch["point"]) for batch in batches] == [4, 2]
    plain = torch.stack([Points(6).sample(index, None)["point"] for index in range(6)])
    assert torch.equal(torch.cat([batch["point"] for batch in batches]), plain)
    assert Data().val_dataloader() == []


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(UserError, match="The training set has 3 samples, fewer than a batch of 4"):
        Data(count=3).setup("fit")


def test_samples_of_two_sizes_are_named() -> None:
    with pytest.raises(UserError, match=r"differ in size \(image: \(1, 4, 4\) and \(1, 4, 5\)\)"):
        collate([{"image": torch.zeros(1, 4, 4)}, {"image": torch.zeros(1, 4, 5)}])


def test_a_batch_needs_a_sample() -> None:
    with pytest.raises(ValueError, match="batch_size"):
        Data(batch_size=0)


def test_a_loader_gives_floats_and_its_workers_bytes() -> None:
    data = ScenePairs(size=16, train_length=4, batch_size=2, source="edges")
    loader = data.train_dataloader()
    assert isinstance(loader, Loader)
    batch = next(iter(loader))
    loader.leave_bytes = True  # as for a trainer with a GPU
    raw = next(iter(loader))
    assert raw["target"].dtype == torch.uint8 and batch["target"].dtype == torch.float32
    assert torch.equal(to_floats(raw["target"]), batch["target"])
    there = data.on_after_batch_transfer(raw, 0)
    assert there.keys() == batch.keys()
    assert all(torch.equal(there[key], batch[key]) for key in batch)


def test_pictures_of_8_and_16_bit_meet_in_floats() -> None:
    eight = {"image": torch.full((1, 2, 2), 51, dtype=torch.uint8), "label": torch.tensor(3)}
    sixteen = {"image": torch.full((1, 2, 2), 13107, dtype=torch.uint16), "label": torch.tensor(4)}
    batch = collate([eight, sixteen])
    assert torch.allclose(batch["image"], torch.full((2, 1, 2, 2), -0.6))
    assert batch["label"].tolist() == [3, 4]
    assert stack([eight, eight])["image"].dtype == torch.uint8


# ----------------------------------------------------------------------------------------------------- phases


class Squares(SampleSet):
    """Pictures (1, 8, 8) whose upper left quarter is darker; mirrored at random in training."""

    length = 5

    def __init__(self) -> None:
        self.loads: list[int] = []

    def load(self, index: int) -> Sample:
        self.loads.append(index)
        picture = torch.arange(64, dtype=torch.uint8).view(1, 8, 8) + index
        return {"image": picture, "label": torch.tensor(index)}

    def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
        if random is not None and torch.rand((), generator=random) < 0.5:
            return loaded | {"image": loaded["image"].flip(-1)}
        return loaded


class Phased(DataModule):
    contract = "images"

    def __init__(self, samples: SampleSet | None = None, phase: tuple[int, int, int] = (2, 3, 4)) -> None:
        super().__init__(batch_size=64, seed=1)
        self.samples, self.phases = samples or Squares(), lambda epoch: phase

    def dataset(self, split: Split) -> SampleSet | None:
        return self.samples


def test_passes_follow_each_other_and_ranks_share_them() -> None:
    whole = list(PassSampler(5, 12, 1, 2, 0, 0, 1))
    assert [(epoch, turn) for epoch, _, turn in whole] == [(2, 0)] * 5 + [(2, 1)] * 5 + [(2, 2)] * 2
    passes = [[index for _, index, turn in whole if turn == number] for number in range(2)]
    assert passes[0] != passes[1] and sorted(passes[0]) == sorted(passes[1]) == list(range(5))
    ranks = [list(PassSampler(5, 6, 1, 2, 0, rank, 2)) for rank in (0, 1)]
    assert [key for pair in zip(*ranks, strict=True) for key in pair] == whole
    rest = PassSampler(5, 6, 1, 2, 4, 1, 2)
    assert list(rest) == ranks[1][4:] and len(rest) == 6
    rest.set_epoch(3)
    assert len(list(rest)) == 6


def test_a_phase_gives_small_pictures_of_as_many_batches_as_asked_for() -> None:
    data = Phased()
    data.setup("fit")  # five samples are enough for any phase
    batches = list(data.train_dataloader())
    assert [batch["image"].shape for batch in batches] == [(3, 1, 2, 2)] * 4
    full = torch.arange(64.0).view(2, 4, 2, 4)
    means = full.mean((1, 3))
    for batch in batches:
        for image, index in zip(batch["image"], batch["label"], strict=True):
            expected = to_floats((means + index).round().to(torch.uint8))[None]
            assert torch.equal(image, expected) or torch.equal(image, expected.flip(-1))
    mirrored = [
        bool(image[0, 0, 0] > image[0, 0, 1])
        for batch in batches
        for image, index in zip(batch["image"], batch["label"], strict=True)
        if index == 0
    ]
    assert len(mirrored) > 1
    again = list(data.train_dataloader())
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(batches, again, strict=True))


def test_large_pictures_are_read_once_for_a_resolution() -> None:
    samples = Squares()
    data = Phased(samples)
    list(data.train_dataloader())
    assert sorted(set(samples.loads)) == list(range(5))
    samples.loads.clear()
    list(data.train_dataloader())
    assert samples.loads == []
    data.phases = lambda epoch: (8, 3, 4)
    assert next(iter(data.train_dataloader()))["image"].shape == (3, 1, 8, 8)


def test_augmentation_differs_from_pass_to_pass() -> None:
    data = Phased(phase=(8, 5, 20))
    orders = [
        [bool(image[0, 0, 0] > image[0, 0, 1]) for image in batch["image"][batch["label"].argsort()]]
        for batch in data.train_dataloader()
    ]
    assert len({tuple(order) for order in orders}) > 5


def test_pictures_that_are_cropped_at_random_are_not_made_smaller(tmp_path: Path) -> None:
    for i in range(4):
        write_picture(tmp_path / f"{i}.png", torch.zeros(3, 20, 20))
    for load_size in (None, 20, 32):
        data = ImageFolder(str(tmp_path), size=16, load_size=load_size, random_crop=True, hold_out=4)
        data.phases = lambda epoch: (8, 2, 1)
        with pytest.raises(UserError, match="crops pictures in training"):
            data.train_dataloader()


def test_pictures_that_cannot_be_made_smaller_are_refused() -> None:
    class Cropped(Squares):
        def finish(self, loaded: Sample, random: torch.Generator | None) -> Sample:
            return loaded | {"image": loaded["image"][:, 1:, 1:]}

    with pytest.raises(UserError, match=r"Cropped crops pictures.*data\.random_crop"):
        Phased(Cropped()).train_dataloader()
    with pytest.raises(UserError, match="needs pictures of 3 px, but the data hold pictures of 8 px"):
        Phased(phase=(3, 1, 1)).train_dataloader()

    class Labels(Squares):
        def load(self, index: int) -> Sample:
            return {"label": torch.tensor(index)}

    with pytest.raises(UserError, match="the data hold no pictures"):
        Phased(Labels()).train_dataloader()
