"""The toy worlds: the density of their points, and that each point depends on its key alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zoo.data.points import Points, PointSet
from zoo.data.worlds import toys


def points(
    world: toys.World, n: int = 20_000, sigma: float = 0.02, seed: int = 0, epoch: int = 0
) -> np.ndarray:
    return toys.draw(world, sigma, seed, "train", np.full(n, epoch), np.arange(n))


@pytest.mark.parametrize(("world", "modes"), [("ring", 8), ("grid", 25)])
def test_points_are_gaussians_around_equally_likely_centres(world: toys.World, modes: int) -> None:
    drawn, centres = points(world), toys.centres(world)
    assert centres.shape == (modes, 2) and np.abs(centres).max() == pytest.approx(0.8)
    distance = np.linalg.norm(drawn[:, None] - centres[None], axis=2)
    nearest = distance.argmin(1)
    share = np.bincount(nearest, minlength=modes) / len(drawn)
    assert np.abs(share * modes - 1).max() < 0.12  # four standard errors of a count of 800
    noise = drawn - centres[nearest]
    assert noise.std(0) == pytest.approx([0.02, 0.02], rel=0.03)
    assert np.abs(noise.mean(0)).max() < 6e-4
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.03
    # of a Gaussian in the plane, 1 - exp(-1/2) lies within one sigma
    assert (distance.min(1) < 0.02).mean() == pytest.approx(0.3935, abs=0.015)


def test_sine_points_lie_about_the_curve() -> None:
    x, y = points("sine", sigma=0.05).T
    assert x.min() >= -1 and x.max() <= 1 and abs(x.mean()) < 0.02
    assert x.std() == pytest.approx(1 / 3**0.5, rel=0.02)
    off = y - 0.8 * np.sin(np.pi * x)
    assert off.std() == pytest.approx(0.05, rel=0.03) and abs(off.mean()) < 0.002


def test_a_point_depends_on_its_key_alone() -> None:
    base = PointSet("grid", 1000, 0.02, "train")
    batch = base.__getitems__([(3, 7), (0, 1), (3, 8)])["point"]
    assert batch.shape == (3, 2) and batch.dtype == torch.float32
    for row, key in zip(batch, [(3, 7), (0, 1), (3, 8)], strict=True):
        assert torch.equal(row, base[key]["point"])
    assert torch.equal(base[5]["point"], base[(0, 5)]["point"])


def test_seed_epoch_split_and_index_each_give_other_points() -> None:
    one = points("ring", 100)
    zero = np.zeros(100, np.int64)
    others = [
        points("ring", 100, seed=1),
        points("ring", 100, epoch=1),
        toys.draw("ring", 0.02, 0, "test", zero, np.arange(100)),
        toys.draw("ring", 0.02, 0, "train", zero, np.arange(100) + 100),
    ]
    assert all(not np.isclose(one, other).all(1).any() for other in others)


def test_epochs_do_not_share_shifted_points() -> None:
    """Counters of two epochs do not overlap: the epochs share no point."""
    first, second = points("sine", 5000), points("sine", 5000, epoch=1)
    assert not {tuple(p) for p in first.tolist()} & {tuple(p) for p in second.tolist()}
    assert len({tuple(p) for p in first.tolist()}) == 5000


def test_the_data_module_gives_the_contract() -> None:
    data = Points("ring", length=1000, eval_length=300, batch_size=100, seed=4)
    data.setup("fit")
    batches = list(data.train_dataloader())
    assert len(batches) == 10 and all(set(b) == {"point"} and b["point"].shape == (100, 2) for b in batches)
    again = list(data.train_dataloader())
    assert all(torch.equal(a["point"], b["point"]) for a, b in zip(batches, again, strict=True))
    assert sum(len(b["point"]) for b in data.test_dataloader()) == 300
    test, val = next(iter(data.test_dataloader())), next(iter(data.val_dataloader()))
    assert not torch.equal(test["point"], val["point"])
    other = Points("ring", length=1000, batch_size=100, seed=5)
    assert not torch.equal(next(iter(other.train_dataloader()))["point"], batches[0]["point"])


def test_describe_names_the_world_and_fingerprints_its_points() -> None:
    ring = Points("ring").describe()
    assert ring["contract"] == "points" and ring["name"] == "ring" and ring["research_only"] is False
    assert ring["fingerprint"] == Points("ring", seed=9, batch_size=4).describe()["fingerprint"]
    prints = {
        Points(w, sigma=s).describe()["fingerprint"] for w in ("ring", "grid", "sine") for s in (0.02, 0.03)
    }
    assert len(prints) == 6


def test_sigma_must_be_positive() -> None:
    with pytest.raises(ValueError, match="sigma must be above 0"):
        Points("ring", sigma=0.0)
