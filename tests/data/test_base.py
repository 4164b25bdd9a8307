"""Order, augmentation and splits, whatever the number of workers."""

from __future__ import annotations

import pytest
import torch
from games import Data, Points

from zoo.data.base import Loader, OrderedSampler, collate, stack, to_floats
from zoo.data.pairs.world import ScenePairs
from zoo.errors import UserError


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
