"""Sets of pictures to score: each picture once, the same for any number of processes, in a file's bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor

from zoo.checkpoints import load
from zoo.cli import main
from zoo.data.base import Batch, SampleSet
from zoo.data.images.module import Digits
from zoo.errors import UserError
from zoo.features.choose import feature_network
from zoo.metrics.scoring.protocols import protocol
from zoo.metrics.scoring.scores import measure
from zoo.metrics.scoring.subjects import (
    FolderPictures,
    Indexed,
    NoisePictures,
    Pictures,
    SetPictures,
    Translations,
    draw_indices,
)
from zoo.seeds import batch_seed

RANKS = (1, 2, 3, 5)


class Bytes(SampleSet):
    """Pictures of drawn bytes under two keys; no two are equal."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def load(self, index: int) -> dict[str, Any]:
        random = torch.Generator().manual_seed(index)
        draw = [torch.randint(0, 256, (3, 4, 5), generator=random).byte() for _ in range(2)]
        return {"input": draw[0], "target": draw[1], "name": str(index)}


def together(batches: Iterator[Indexed]) -> dict[int, Tensor]:
    """Pictures by their places; a place that comes twice is refused."""
    found: dict[int, Tensor] = {}
    for places, pictures in batches:
        assert pictures.dtype == torch.uint8 and len(places) == len(pictures) > 0
        for place, picture in zip(places.tolist(), pictures, strict=True):
            assert place not in found, f"picture {place} came twice"
            found[place] = picture
    return found


def equal(one: dict[int, Tensor], other: dict[int, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def noise(number: int, seed: int) -> Tensor:
    return torch.rand(number, 1, 2, 2, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def random_files(folder: Path, count: int, size: tuple[int, int] = (6, 5)) -> list[np.ndarray[Any, Any]]:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(count)
    drawn = [random.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(count)]
    for i, array in enumerate(drawn):
        Image.fromarray(array).save(folder / f"{i:03d}.png")
    return drawn


# ----------------------------------------------------------------------------------------------------- all


@pytest.fixture(params=["folder", "set", "noise", "translations"])
def pictures(request: pytest.FixtureRequest, tmp_path: Path) -> Pictures:
    """One of each kind, of numbers that no number of processes divides evenly."""
    if request.param == "folder":
        random_files(tmp_path / "f", 13)
        return FolderPictures(tmp_path / "f")
    if request.param == "set":
        return SetPictures(Bytes(131), "target", {})
    if request.param == "noise":
        return NoisePictures(noise, {}, 600)
    return Translations(lambda batch: torch.rand_like(batch["input"]) * 2 - 1, Bytes(29), {})


def test_every_picture_comes_once_and_is_the_same_for_any_number_of_processes(pictures: Pictures) -> None:
    alone = together(pictures.batches())
    assert sorted(alone) == list(range(len(pictures)))
    assert len({picture.numpy().tobytes() for picture in alone.values()}) == len(pictures)
    for ranks in RANKS[1:]:
        shares = [together(pictures.batches(rank, ranks)) for rank in range(ranks)]
        assert sum(map(len, shares)) == len(pictures)
        whole = {place: picture for share in shares for place, picture in share.items()}
        assert equal(whole, alone), f"{ranks} processes"
    assert equal(together(pictures.batches()), alone), "a second time"


def test_more_processes_than_pictures(tmp_path: Path) -> None:
    random_files(tmp_path, 2)
    assert [len(together(FolderPictures(tmp_path).batches(rank, 3))) for rank in range(3)] == [1, 1, 0]


def test_a_choice_is_drawn_by_seed() -> None:
    assert draw_indices(5, None, 0) == draw_indices(5, 5, 1) == [0, 1, 2, 3, 4]
    some = draw_indices(1000, 100, 0)
    assert some == sorted(set(some)) and len(some) == 100 and some[0] >= 0 and some[-1] < 1000
    assert draw_indices(1000, 100, 0) == some != draw_indices(1000, 100, 1)
    assert 400 < sum(some) / 100 < 600, "not the first ones"
    for count in (0, 1, -3, 1001):
        with pytest.raises(
            UserError, match=f"^{count} images were requested and there are 1000; request 2 to"
        ):
            draw_indices(1000, count, 0)


def test_facts_tell_a_choice(tmp_path: Path) -> None:
    random_files(tmp_path, 6)
    drawn = {"drawn_from": 6, "drawn_by_seed": 4}
    made: list[Pictures] = [
        FolderPictures(tmp_path, 3, 4),
        SetPictures(Bytes(6), "target", {"pictures": "x"}, 3, 4),
        Translations(lambda batch: batch["target"], Bytes(6), {"pictures": "x"}, 3, 4),
    ]
    for one in made:
        facts = one.facts()
        assert len(one) == facts["count"] == 3 and drawn.items() <= facts.items()
    assert not drawn.keys() & FolderPictures(tmp_path).facts().keys()
    assert NoisePictures(noise, {"pictures": "x"}, 3, 4).facts() == {"pictures": "x", "count": 3, "seed": 4}


# -------------------------------------------------------------------------------------------------- folders


def test_files_of_mixed_sizes_and_kinds_give_their_own_bytes(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    shapes = [(6, 5, 3), (6, 5, 3), (7, 5, 3), (6, 5), (6, 5), (6, 5, 3)]
    arrays = [random.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]
    for i, array in enumerate(arrays):
        Image.fromarray(array).save(tmp_path / f"{i}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    batches = list(FolderPictures(tmp_path).batches())
    assert [len(places) for places, _ in batches] == [2, 1, 2, 1]
    found = together(iter(batches))
    for i, array in enumerate(arrays):
        wanted = torch.from_numpy(array.reshape(*array.shape[:2], -1)).permute(2, 0, 1)
        assert torch.equal(found[i], wanted)


def test_sixteen_bits_are_rounded_to_eight(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 257], [385, 386, 32767, 65535]], dtype=np.uint16)
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(imagecodecs.png_encode(values))
    found = together(FolderPictures(tmp_path).batches())[0]
    assert found[0].tolist() == np.rint(values / 257).astype(int).tolist()


def test_folders_directly_below_are_read_where_there_are_no_files(tmp_path: Path) -> None:
    random_files(tmp_path / "one", 2)
    random_files(tmp_path / "two", 3)
    assert len(FolderPictures(tmp_path)) == 5


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_refused_naming_the_file(mode: str, tmp_path: Path) -> None:
    random_files(tmp_path, 2)
    Image.new(mode, (5, 6)).save(tmp_path / "see-through.png")
    with pytest.raises(
        UserError, match=r"see-through\.png has an alpha channel.*composite it on a background"
    ):
        together(FolderPictures(tmp_path).batches())


def test_other_faults_of_files_name_them(tmp_path: Path) -> None:
    random_files(tmp_path, 2)
    np.save(tmp_path / "wide.npy", np.zeros((6, 5, 5), np.uint8))
    with pytest.raises(UserError, match=r"wide\.npy has 5 channels; give grey images or RGB"):
        together(FolderPictures(tmp_path).batches())
    (tmp_path / "wide.npy").unlink()
    whole = (tmp_path / "000.png").read_bytes()
    for broken in (b"no picture", whole[: len(whole) // 2]):
        (tmp_path / "broken.png").write_bytes(broken)
        with pytest.raises(UserError, match=r"broken\.png"):
            together(FolderPictures(tmp_path).batches())


def test_folders_that_hold_too_little(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no folder .*nowhere"):
        FolderPictures(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds 0 images and a score needs at least two"):
        FolderPictures(tmp_path)
    random_files(tmp_path, 1)
    with pytest.raises(UserError, match="holds 1 images and a score needs at least two"):
        FolderPictures(tmp_path)
    random_files(tmp_path, 3)
    with pytest.raises(UserError, match="4 images were requested and there are 3"):
        FolderPictures(tmp_path, 4)


def test_the_digest_is_of_what_the_files_hold(tmp_path: Path) -> None:
    for name in ("a", "b"):
        random_files(tmp_path / name, 4)
    one, other = (FolderPictures(tmp_path / name).facts() for name in ("a", "b"))
    assert one["pictures"] == "folder a" and one["sha256"] == other["sha256"]
    digests = [hashlib.sha256(p.read_bytes()).digest() for p in sorted((tmp_path / "a").iterdir())]
    assert one["sha256"] == hashlib.sha256(b"".join(digests)).hexdigest()
    path = tmp_path / "a" / "002.png"
    with Image.open(path) as picture:
        array = np.array(picture)
    array[0, 0, 0] ^= 1
    Image.fromarray(array).save(path)
    assert FolderPictures(tmp_path / "a").facts()["sha256"] != one["sha256"]


# ----------------------------------------------------------------------------------------------------- sets


def test_a_split_gives_the_files_bytes() -> None:
    samples = Bytes(70)
    found = together(SetPictures(samples, "target", {}).batches())
    assert all(torch.equal(found[i], samples.load(i)["target"]) for i in range(70))
    some = together(SetPictures(samples, "input", {}, 9, 3).batches())
    assert [samples.load(i)["input"].tolist() for i in draw_indices(70, 9, 3)] == [
        some[i].tolist() for i in range(9)
    ]
    assert sorted(some) == list(range(9))


def test_digits_become_the_bytes_that_a_file_would_hold() -> None:
    found = together(SetPictures(Digits().split("test"), "image", {}).batches())
    wanted = np.rint(load_digits().images[::7] * 255 / 16)
    assert np.array_equal(torch.cat([found[i] for i in range(257)]).numpy(), wanted)


# ------------------------------------------------------------------------------------------------ generators


def test_the_score_of_a_checkpoint_is_that_of_the_files_that_zoo_sample_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    assert main(["sample", "gan-digits", "-n", "300", "--seed", "3", "-o", str(out)]) == 0
    model = load("gan-digits")
    made, files = NoisePictures(model.sample, {}, 300, 3), FolderPictures(out)
    assert equal(together(made.batches()), together(files.batches()))
    real = SetPictures(Digits().split("test"), "image", {})
    networks = {("digits", None): feature_network("digits")}
    one, other = (measure([protocol("fd-digits")], networks, real, p)[0].value for p in (made, files))
    assert one == pytest.approx(other, rel=1e-9) and one > 0
    shorter = measure([protocol("fd-digits")], networks, real, NoisePictures(model.sample, {}, 299, 3))[
        0
    ].value
    assert shorter != pytest.approx(other, rel=1e-9), "so one picture can be told"


def test_noise_has_a_seed_for_each_batch() -> None:
    asked: list[tuple[int, int]] = []

    def sample(number: int, seed: int) -> Tensor:
        asked.append((number, seed))
        return noise(number, seed)

    together(NoisePictures(sample, {}, 600, 5).batches())
    assert asked == [(256, 5), (256, batch_seed(5, 1)), (88, batch_seed(5, 2))]
    assert len({seed for _, seed in asked} | {batch_seed(6, i) for i in range(3)}) == 6
    with pytest.raises(UserError, match="1 images were requested and a score needs at least two"):
        NoisePictures(sample, {}, 1)


def test_a_generator_whose_pictures_begin_at_zero_is_refused_at_the_end() -> None:
    def sample(number: int, seed: int) -> Tensor:
        return (noise(number, seed) + 1) / 2

    batches = NoisePictures(sample, {}, 300).batches()
    assert [len(next(batches)[0]) for _ in range(2)] == [256, 44]
    with pytest.raises(UserError, match=r"No value in 300 generated images .*they look like \[0,1\]"):
        next(batches)
    made = Translations(lambda batch: (batch["input"] + 1) / 2, Bytes(9), {}).batches()
    assert [len(next(made)[0]) for _ in range(2)] == [8, 1]
    with pytest.raises(UserError, match=r"No value in 9 generated images .*they look like \[0,1\]"):
        next(made)


def test_values_out_of_range_are_refused_at_once() -> None:
    with pytest.raises(UserError, match="range from"):
        next(NoisePictures(lambda number, seed: noise(number, seed) * 3, {}, 4).batches())


def test_translations_are_random_by_their_own_seed_alone() -> None:
    def generate(batch: Batch) -> Tensor:
        return (batch["input"] + 0.3 * torch.randn_like(batch["input"])).clamp(-1, 1)

    def made(seed: int) -> dict[int, Tensor]:
        return together(Translations(generate, Bytes(19), {}, seed=seed).batches())

    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = made(0)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert equal(made(0), first) and not equal(made(1), first)


def test_translations_translate_the_chosen_samples_in_their_order() -> None:
    samples = Bytes(20)
    found = together(Translations(lambda batch: -batch["input"], samples, {}, 11, 2).batches())
    wanted = [255 - samples.load(i)["input"].int() for i in draw_indices(20, 11, 2)]
    assert all(torch.equal(found[i].int(), wanted[i]) for i in range(11)) and len(found) == 11
