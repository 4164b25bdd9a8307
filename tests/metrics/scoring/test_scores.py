"""Scores by protocol: equal to the pure functions, kept in files, in little memory, by several processes."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed
import torch.multiprocessing
import torch.nn.functional as F
from parity import rule
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor

from zoo.errors import UserError
from zoo.features.choose import feature_network
from zoo.features.inception import Inception
from zoo.features.network import FeatureNetwork, Features, as_rgb
from zoo.metrics.formulas.frechet import Moments, frechet_distance
from zoo.metrics.formulas.inception_score import ClassScore
from zoo.metrics.formulas.kernel import kernel_distance, whole_kernel_distance
from zoo.metrics.formulas.prdc import prdc
from zoo.metrics.scoring import scores
from zoo.metrics.scoring.protocols import protocol
from zoo.metrics.scoring.report import Row
from zoo.metrics.scoring.scores import Statistics, cached_statistics, collect, measure, warnings
from zoo.metrics.scoring.subjects import FolderPictures, Indexed, NoisePictures

FOUR = ("fd-fake", "kid-fake", "is-fake", "prdc-fake")


class Fake(FeatureNetwork):
    """Four features of a picture, its quarters' means; five logits; counts what it is shown."""

    def __init__(self, sha256: str = "0" * 64, classifies: bool = True) -> None:
        super().__init__("fake", sha256, 4, "none")
        self.last = torch.nn.Linear(4, 5, bias=False)
        self.last.weight.data = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)) * 40
        self.classifies = classifies
        self.shown: list[int] = []

    def forward(self, images: Tensor) -> Features:
        self.shown.append(len(images))
        grey = as_rgb(images, self.name).mean(1, keepdim=True) / 255
        features = F.adaptive_avg_pool2d(grey, 2).flatten(1)
        return Features(
            features, self.last(features - features.mean(1, keepdim=True)) if self.classifies else None
        )


class Held:
    """Drawn pictures of 4 px held in memory, given in batches of ``size``."""

    def __init__(self, count: int, seed: int, size: int = 50, name: str = "held") -> None:
        random = torch.Generator().manual_seed(seed)
        self.values = torch.randint(0, 256, (count, 3, 4, 4), generator=random).byte()
        self.values = (self.values * (0.5 + 0.1 * seed)).byte()
        self.size, self.name = size, name

    def __len__(self) -> int:
        return len(self.values)

    def facts(self) -> dict[str, Any]:
        return {"pictures": self.name, "count": len(self)}

    def batches(self, rank: int = 0, ranks: int = 1) -> Iterator[Indexed]:
        for places in torch.split(torch.arange(len(self)), self.size):
            yield places, self.values[places]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "statistics"


def at_once(network: FeatureNetwork, pictures: Any) -> Features:
    with torch.no_grad():
        return network(torch.cat([part for _, part in pictures.batches()]))


def moments(features: Tensor) -> Moments:
    found = Moments(features.shape[1])
    found.update(features)
    return found


def fake_rows(*names: str, real: Held, made: Held, network: Fake | None = None) -> list[Row]:
    return measure([protocol(name) for name in names], {("fake", None): network or Fake()}, real, made)


def files(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir()) if cache.is_dir() else []


# --------------------------------------------------------------------------------------------------- numbers


def test_rows_equal_the_functions_on_all_features_at_once() -> None:
    real, made = Held(130, 0), Held(70, 1, size=37)
    rows = fake_rows(*FOUR, real=real, made=made)
    r, m = at_once(Fake(), real), at_once(Fake(), made)
    assert m.logits is not None
    three, five = prdc(r.features, m.features, 3, inclusive=True), prdc(r.features, m.features, 5)
    classes = ClassScore(*m.logits.shape)
    classes.update(m.logits, torch.arange(len(m.logits)))
    score, deviation = classes.compute()
    wanted = {
        "fd-fake": frechet_distance(moments(r.features), moments(m.features)),
        "kid-fake": whole_kernel_distance(r.features, m.features),
        "is-fake": score,
        "precision-fake": three.precision,
        "recall-fake": three.recall,
        "density-fake": five.density,
        "coverage-fake": five.coverage,
    }
    assert [row.metric for row in rows] == list(wanted)
    assert {row.metric: row.value for row in rows} == pytest.approx(wanted, rel=1e-9)
    assert 0 < wanted["precision-fake"] < 1 and 0 < wanted["coverage-fake"] < 1 and score > 1.1
    assert {row.metric: row.error for row in rows if row.error is not None} == pytest.approx(
        {"is-fake": deviation},
        rel=1e-7,  # a difference of scores that are alike
    )


def test_the_kernel_distance_of_enough_pictures_is_over_subsets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "KID_SIZE", 60)
    monkeypatch.setattr(scores, "KID_SUBSETS", 7)
    real, made = Held(90, 0), Held(60, 1)
    (row,) = fake_rows("kid-fake", real=real, made=made)
    r, m = at_once(Fake(), real).features, at_once(Fake(), made).features
    assert (row.value, row.error) == pytest.approx(kernel_distance(r, m, 7, 60), rel=1e-9)
    assert row.protocol["subsets"] == "7 of 60"
    (row,) = fake_rows("kid-fake", real=real, made=Held(59, 1))
    assert row.error is None and row.protocol["subsets"].startswith("none")


def test_precision_counts_a_balls_surface_and_density_does_not() -> None:
    real, made = Held(10, 0), Held(9, 0)
    real.values[1:] = real.values[1]  # the balls of all but one are points
    made.values[:] = real.values[1]
    rows = fake_rows("prdc-fake", real=real, made=made)
    assert [row.value for row in rows] == [1.0, 0.9, 0.0, 0.0]


def test_rows_come_in_the_order_asked_for_and_state_all() -> None:
    real, made = Held(20, 0), Held(15, 1, name="generated")
    rows = fake_rows("is-fake", "fd-fake", real=real, made=made)
    assert [row.metric for row in rows] == ["is-fake", "fd-fake"]
    for row in rows:
        assert row.protocol.items() >= Fake().identity().items()
        assert row.protocol["protocol"] == f"{row.metric}/1"
        assert row.protocol["made"] == made.facts()
    assert rows[1].protocol["real"] == real.facts()
    assert "real" not in rows[0].protocol, "no real picture takes part in an inception score"


def test_each_picture_goes_once_through_the_network() -> None:
    network = Fake()
    fake_rows(*FOUR, real=Held(130, 0), made=Held(70, 1), network=network)
    assert sum(network.shown) == 200 and max(network.shown) <= 32


def test_features_are_float32_in_a_training_of_less() -> None:
    network, made = Fake(), Held(20, 1)
    plain = collect(made, network, frozenset({"kid", "is"}))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = collect(made, network, frozenset({"kid", "is"}))
    assert plain.classes is not None and mixed.classes is not None
    assert plain.classes.compute() == mixed.classes.compute()


def test_a_network_without_classes_gives_no_inception_score() -> None:
    with pytest.raises(UserError, match="The network fake has no classes, so it gives no inception score"):
        fake_rows("is-fake", real=Held(4, 0), made=Held(4, 1), network=Fake(classifies=False))


def test_few_pictures(cache: Path) -> None:
    rows = fake_rows("is-fake", real=Held(2, 0), made=Held(3, 1))
    assert rows[0].protocol["error"] == "deviation over 3 splits"
    assert files(cache) == [], "the inception score looks at no real picture"
    with pytest.raises(UserError, match="k is 5 but there are 5 real and 9 generated images"):
        fake_rows("prdc-fake", real=Held(5, 0), made=Held(9, 1))


# ----------------------------------------------------------------------------------------------------- cache


@pytest.mark.parametrize("names", [("fd-fake",), ("kid-fake",), ("fd-fake", "prdc-fake", "is-fake")])
def test_the_second_time_no_real_picture_is_looked_at(names: tuple[str, ...], cache: Path) -> None:
    real, made, network = Held(130, 0), Held(70, 1), Fake()
    first = fake_rows(*names, real=real, made=made, network=network)
    assert sum(network.shown) == 200 and len(files(cache)) == 1
    network.shown.clear()
    assert fake_rows(*names, real=real, made=made, network=network) == first
    assert sum(network.shown) == 70 and len(files(cache)) == 1


def test_what_the_statistics_depend_on_has_a_file_of_its_own(cache: Path) -> None:
    def take(network: FeatureNetwork, *metrics: Any, count: int = 20, name: str = "held") -> None:
        cached_statistics(Held(count, 0, name=name), network, frozenset(metrics))

    take(Fake(), "fd")
    for number, given in enumerate(
        [{"network": Fake(sha256="1" * 64)}, {"count": 21}, {"name": "others"}], start=2
    ):
        take(given.pop("network", Fake()), "fd", **given)  # type: ignore[arg-type]
        assert len(files(cache)) == number
    take(Fake(), "fd", "kid")
    take(Fake(), "kid")
    assert len(files(cache)) == 6
    take(Fake(), "prdc")  # the same features as for kid
    take(Fake(), "fd")
    assert len(files(cache)) == 6


def test_a_damaged_file_is_told_in_a_sentence(cache: Path) -> None:
    cached_statistics(Held(20, 0), Fake(), frozenset({"fd"}))
    (path,) = cache.iterdir()
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UserError, match=rf"{path} is damaged; delete it, and it is computed again\.$"):
        cached_statistics(Held(20, 0), Fake(), frozenset({"fd"}))


# ---------------------------------------------------------------------------------------------------- memory


def test_memory_does_not_grow_with_the_pictures_but_where_it_must() -> None:
    def size(count: int, *metrics: Any) -> int:
        found = Statistics(Fake(), frozenset(metrics), count)
        for places, part in Held(count, 0).batches():
            found.update(places, part)
        return len(pickle.dumps((found.moments, found.classes, found._rows, found._indices)))

    assert size(1000, "fd") - size(10, "fd") < 200
    # three bytes a picture: its split and whether it was seen
    assert size(1000, "is") - size(10, "is") < 3 * 990 + 200
    assert size(1000, "kid") - size(10, "kid") > 990 * 4 * 4


def test_warnings() -> None:
    network = feature_network("digits")
    few, memory = warnings([protocol("fd-digits"), protocol("prdc-digits")], network, 257, 10_000)
    assert few.startswith("257 images are few for 64 features (advised: 1,563)")
    assert memory == f"Every feature is held: {10_257 * 64 * 4 / 2**20:,.0f} MB for 10,257 images."
    assert warnings([protocol("fd-digits")], network, 1_563, 1_563) == []
    assert warnings([protocol("is-digits")], network, 10, 10) == []


# ------------------------------------------------------------------------------------------------- processes


def _all_scores(folder: Path) -> dict[str, Any]:
    network = feature_network("digits")
    networks = {("digits", None): network}
    real, made = FolderPictures(folder / "real"), FolderPictures(folder / "made")
    four = [protocol(f"{name}-digits") for name in ("fd", "kid", "is", "prdc")]
    again = measure(four, networks, real, made) + measure(four, networks, real, made)  # from the cache
    noise = NoisePictures(_noise, {}, 300)
    found = collect(made, network, frozenset({"fd", "kid", "is"}))
    assert found.moments is not None and found.classes is not None
    found.classes.compute()  # refuses to where a picture is missing
    return {
        "rows": [(r.metric, r.value, r.error) for r in again + measure(four[:1], networks, real, noise)],
        "pictures": [found.moments.count, len(found.rows)],
        "features": found.rows.tolist(),
    }


def _noise(number: int, seed: int) -> Tensor:
    return torch.rand(number, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def _process(rank: int, folder: Path) -> None:
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    torch.save(_all_scores(folder), folder / f"rank{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_give_the_scores_of_one(tmp_path: Path, cache: Path) -> None:
    values = np.rint(load_digits().images * 255 / 16).astype(np.uint8)
    for name, start in (("real", 0), ("made", 500)):
        (tmp_path / name).mkdir()
        for i in range(13):  # seven and six
            Image.fromarray(values[start + i]).save(tmp_path / name / f"{i:02d}.png")
    # forked, as a loader's workers are: a fresh process needs many seconds for its imports
    torch.multiprocessing.start_processes(_process, (tmp_path,), nprocs=2, start_method="fork")
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first == second and first["pictures"] == [13, 13]
    assert not files(cache), "processes of several machines need not find the same files"
    alone = _all_scores(tmp_path)
    assert len(alone["rows"]) == 15 and alone["pictures"] == [13, 13]
    features, wanted_features = (torch.tensor(found["features"]) for found in (first, alone))
    torch.testing.assert_close(features, wanted_features)  # in the order of the pictures
    for ours, wanted in zip(first["rows"], alone["rows"], strict=True):
        assert ours[0] == wanted[0] and ours[1] == pytest.approx(wanted[1], rel=1e-9, abs=1e-12), ours[0]
        assert (ours[2] or 0) == pytest.approx(wanted[2] or 0, rel=1e-9), ours[0]
    by_name = {name: value for name, value, _ in alone["rows"][:7]}
    assert by_name["fd-digits"] > 1 and by_name["is-digits"] > 1


# -------------------------------------------------------------------------------------------- torch-fidelity


def test_fid_precision_and_recall_of_files_equal_torch_fidelity_s(tmp_path: Path) -> None:
    """From PNG files to numbers, with weights drawn by rule in place of the official ones."""
    theirs = pytest.importorskip("torch_fidelity", reason="compares with torch-fidelity")
    fixture = rule.load("forward/inception_v3_tf")
    path = tmp_path / "inception.pth"
    torch.save(rule.state(fixture, fixture["seed_prefix"]), path)
    random = np.random.default_rng(0)
    for name, count, contrast in (("real", 8, 0.9), ("made", 8, 0.6)):
        (tmp_path / name).mkdir()
        for i in range(count):
            small = random.random((4, 4, 3)) * contrast * 255
            picture = Image.fromarray(small.astype(np.uint8)).resize((32, 32))
            picture.save(tmp_path / name / f"{i}.png")
    network = Inception("tf1", path)
    asked = [protocol(name) for name in ("fid-tf", "prdc")]
    real, made = FolderPictures(tmp_path / "real"), FolderPictures(tmp_path / "made")
    rows = {row.metric: row for row in measure(asked, {("inception", "tf1"): network}, real, made)}
    found = theirs.calculate_metrics(
        input1=str(tmp_path / "made"),
        input2=str(tmp_path / "real"),
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(path),
        fid=True,
        prc=True,
        feature_layer_prc="2048",
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )

    def value(metric: str) -> float:
        return rows[f"{metric}-{network.name}"].value

    assert value("fd") == pytest.approx(found["frechet_inception_distance"], rel=1e-3)
    assert value("precision") == pytest.approx(found["precision"], rel=1e-6)
    assert value("recall") == pytest.approx(found["recall"], rel=1e-6)
