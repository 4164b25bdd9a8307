"""Models in use: every form of an input gives the same, wrong ones are refused, new kinds are new files."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch import Tensor

import zoo
import zoo.use
from zoo.adversarial import AdversarialModule
from zoo.checkpoints import add_example, describe, write
from zoo.cli import main
from zoo.data.pairs.world import ScenePairs
from zoo.data.worlds import scenes
from zoo.errors import UsageError, UserError
from zoo.files.films import frame_times, look, read_frames
from zoo.files.pictures import read_array, to_array, write_picture
from zoo.guards import GuardedModule
from zoo.models.dcgan import DCGAN
from zoo.models.gan import GAN
from zoo.models.pix2pix import Pix2Pix
from zoo.models.pix2pixhd import Pix2PixHD
from zoo.models.srgan import SRGAN
from zoo.pretrained import Model, load
from zoo.use import noise
from zoo.use.picture import Picture


def stored(module: GuardedModule, folder: Path, data: dict[str, Any] | None = None) -> str:
    write(module, describe(module, dict(module.hparams), data or {"research_only": False}), folder)
    return str(folder)


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of weights of every kind, drawn at random."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    data = ScenePairs(size=16, train_length=1, eval_length=1).describe()
    hd = Pix2PixHD(
        in_channels=16,
        width=4,
        downsamplings=1,
        blocks=1,
        discriminator_width=4,
        perceptual="none",
        features=2,
    )
    return {
        "noise": stored(GAN(shape=(1, 8, 8), hidden=16, latent_dim=4), folder / "noise"),
        "points": stored(GAN(shape=(2,), data_key="point", hidden=8, latent_dim=4), folder / "points"),
        "picture": stored(Pix2Pix(levels=3, width=4), folder / "picture"),
        "running": stored(Pix2Pix(levels=3, width=4, inference="running"), folder / "running"),
        "label_map": stored(Pix2Pix(levels=3, width=4, in_channels=16), folder / "labels", data),
        "instances": stored(hd, folder / "instances", data),
        "large": stored(SRGAN(blocks=1, width=4, discriminator_width=4, content="mse"), folder / "large"),
    }


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def noise_image(channels: int = 3, bits: int = 8, side: int = 24) -> np.ndarray:
    made = np.random.default_rng(0).integers(0, 2**bits, (side, side + 8, channels))
    return made.astype(np.uint8 if bits == 8 else np.uint16)


# ------------------------------------------------------------------------------------- one input, every way


@pytest.mark.parametrize("kind", ["picture", "large"])
@pytest.mark.parametrize("bits", [8, 16])
def test_path_image_array_tensor_and_command_give_equal_bytes(
    names: dict[str, str], kind: str, bits: int
) -> None:
    array = noise_image(bits=bits)
    tensor = torch.from_numpy(array.astype(np.float32)).permute(2, 0, 1) / (2**bits - 1) * 2 - 1
    write_picture("in.png", tensor, bits)
    assert main(["sample", names[kind], "in.png", "-o", "command.png"]) == 0
    sources: dict[str, Any] = {"path": "in.png", "Path": Path("in.png"), "array": array, "tensor": tensor}
    sources["floats"] = array.astype(np.float64) / (2**bits - 1)
    if bits == 8:
        sources["image"] = Image.open("in.png")
    model = load(names[kind], "cpu")
    for form, source in sources.items():
        model(source).save("out.png", bits)
        assert Path("out.png").read_bytes() == Path("command.png").read_bytes(), form


def test_label_maps_in_every_form_give_equal_bytes(names: dict[str, str]) -> None:
    labels = scenes.draw(0, 0, 24).labels.numpy()
    image = Image.fromarray(labels.astype(np.uint8))
    image.save("in.png")
    palette = np.array(scenes.PALETTE, np.uint8)
    assert main(["sample", names["label_map"], "in.png", "-o", "command.png"]) == 0
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(labels), 16).permute(2, 0, 1)
    sources = ["in.png", image, labels, labels.astype(np.uint8), palette[labels], torch.from_numpy(labels)]
    model = load(names["label_map"], "cpu")
    for source in [*sources, one_hot.float(), one_hot]:
        model(source).save("out.png")
        assert Path("out.png").read_bytes() == Path("command.png").read_bytes()
    assert model.takes == "label_map"


def test_an_image_of_sixteen_bits_stays_deep(names: dict[str, str]) -> None:
    deep = noise_image(1, 16)[:, :, 0]
    Image.fromarray(deep).save("deep.png")
    model = load(names["large"], "cpu")
    assert model(Image.open("deep.png")).bits == 16
    assert np.array_equal(np.asarray(model("deep.png")), np.asarray(model(Image.open("deep.png"))))


def test_a_picture_shows_converts_and_saves_itself(names: dict[str, str]) -> None:
    made = load(names["picture"], "cpu")(noise_image())
    assert made.tensor.shape == (3, 24, 32) and made.array.shape == (24, 32, 3)
    assert np.allclose(made.array, (made.tensor.permute(1, 2, 0).numpy() + 1) / 2, atol=1e-6)
    levels = np.asarray(made, dtype=np.uint8)
    assert np.array_equal(levels, np.asarray(made.pil)) and levels.dtype == np.uint8
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(made._repr_png_()))), levels)
    assert np.abs(np.asarray(made) - levels / 255).max() <= 0.5 / 255 + 1e-6
    made.save("deep.tif", bits=16)
    assert read_array("deep.tif").dtype == np.uint16
    assert "32x24" in repr(made)


def test_lists_batches_and_folders_give_lists(names: dict[str, str]) -> None:
    model = load(names["picture"], "cpu")
    batch = torch.rand(3, 3, 16, 16) * 2 - 1
    for number, tensor in enumerate(batch):
        write_picture(f"in/{number}.png", tensor)
    singly = [model(f"in/{number}.png") for number in range(3)]
    for made in (model("in"), model([f"in/{number}.png" for number in range(3)])):
        assert all(torch.equal(a.tensor, b.tensor) for a, b in zip(made, singly, strict=True))
    assert len(model(batch)) == 3 and isinstance(model(batch[0]), Picture)
    sizes = [noise_image(side=16), noise_image(side=24), noise_image(side=16)]
    together, alone = model(sizes, batch_size=3), [model(size) for size in sizes]
    assert all(torch.allclose(a.tensor, b.tensor, atol=1e-5) for a, b in zip(together, alone, strict=True))
    assert together[0].tensor.shape == together[2].tensor.shape != together[1].tensor.shape


def test_noise_gives_one_or_several(names: dict[str, str]) -> None:
    model = load(names["noise"], "cpu")
    assert isinstance(model(), Picture)
    made = model(n=5, seed=3)
    assert torch.equal(torch.stack([each.tensor for each in made]), model.sample(5, seed=3).clamp(-1, 1))
    assert main(["sample", names["noise"], "-n", "5", "--seed", "3", "-o", "sheet.png"]) == 0
    made.sheet().save("again.png")
    assert Path("again.png").read_bytes() == Path("sheet.png").read_bytes()
    points = load(names["points"], "cpu")(n=7)
    assert np.asarray(points).shape == (7, 2) and points.pil.size == (512, 512)
    points.save("points.csv")
    assert np.allclose(np.loadtxt("points.csv", delimiter=",", skiprows=1), points.array)


def test_a_walk_passes_through_the_samples(names: dict[str, str]) -> None:
    model = load(names["noise"], "cpu")
    frames = noise.walk(model, 3, seed=5, frames=4)
    assert frames.shape == (12, 1, 8, 8)
    torch.testing.assert_close(frames[::4], model.sample(3, seed=5))
    ends, shares = torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.tensor([0.0, 0.5, 1.0])
    way = noise.between(*ends, shares)
    torch.testing.assert_close(way.norm(dim=1), torch.tensor([3.0, 2.0, 1.0]))
    torch.testing.assert_close(way[1] / 2, torch.tensor([3.0, 1.0]) / 10**0.5)
    for name in ("walk.gif", "walk.mp4", "walk.png"):
        assert main(["sample", names["noise"], "--walk", "2", "-o", name]) == 0
    assert len(frame_times(Path("walk.mp4")).shown) == 48
    seconds = sum(frame.info["duration"] for frame in ImageSequence.Iterator(Image.open("walk.gif"))) / 1000
    assert seconds == pytest.approx(48 / 25)  # equal frames become one
    film = list(read_frames(look(Path("walk.mp4")), range(48), exact=True))
    shown = to_array(noise.walk(model, 2)[30].expand(3, -1, -1)).astype(int)
    assert np.abs(film[30].astype(int) - shown).mean() < 6
    assert Image.open("walk.png").width > Image.open("walk.png").height


def test_arithmetic_takes_the_means_of_numbered_samples(names: dict[str, str]) -> None:
    model = load(names["noise"], "cpu")
    z = noise.latents(model, 9, 2)
    shown = noise.arithmetic(model, "0,5 - 2 + 7,8", seed=2, number=9)
    assert list(shown) == ["0,5", "- 2", "+ 7,8", "=", "± 0.25", "± 0.25 "]
    torch.testing.assert_close(shown["0,5"][:2], model.sample(9, seed=2)[[0, 5]])
    result = z[[0, 5]].mean(0) - z[2] + z[[7, 8]].mean(0)
    torch.testing.assert_close(shown["="], noise.pictures(model, result[None]))
    around = torch.cat([shown["± 0.25"], shown["± 0.25 "]])
    assert around.shape[0] == 8 and float((around - shown["="]).abs().max()) > 0
    assert main(["sample", names["noise"], "-n", "9", "--arithmetic", "0,5-2", "-o", "sum.png"]) == 0
    for wrong, said in (
        ("1,,2", "such as 3,17-5,9"),
        ("9", "9 are numbered"),
        ("1*2", "such as"),
        ("1 2", "such as"),
        ("9" * 5000, "such as"),
    ):
        with pytest.raises(UsageError, match=said):
            noise.arithmetic(model, wrong, number=9)


def test_a_walk_begins_with_the_samples_of_the_sheet(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = load(
        stored(
            DCGAN(size=16, channels=4, width=1, latent_dim=7, noise="gaussian", classes=3), tmp_path / "a"
        ),
        "cpu",
    )
    z = noise.latents(model, 64, 2)
    torch.testing.assert_close(noise.walk(model, 5, seed=2, frames=2)[::2], noise.pictures(model, z[:5]))
    middle = noise.walk(model, 2, seed=2, frames=2)[1]  # of classes 0 and 1: half of each
    half = torch.cat([noise.between(z[0, :7], z[1, :7], torch.tensor([0.5]))[0], torch.tensor([0.5, 0.5, 0])])
    torch.testing.assert_close(middle[None], noise.pictures(model, half[None]))
    with pytest.raises(UsageError, match="takes classes beside the noise"):
        noise.arithmetic(model, "1")
    for stops, frames, said in ((1, 2, "stops is 1"), (2, 0, "frames is 0")):
        with pytest.raises(UsageError, match=said):
            noise.walk(model, stops, frames=frames)
    together = load(stored(DCGAN(size=16, width=1, statistics="batch"), tmp_path / "b"), "cpu")
    with pytest.raises(UsageError, match="depends on those that are made with it"):
        noise.walk(together, 2)


def test_truncated_noise_keeps_to_its_limit(
    names: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    path = stored(DCGAN(size=16, width=1, noise="gaussian"), tmp_path / "gaussian")
    model = load(path, "cpu")
    z, cut = noise.latents(model, 50, 1), noise.latents(model, 50, 1, truncation=0.5)
    assert float(z.abs().max()) > 1 and float(cut.abs().max()) <= 0.5
    kept = z.abs() <= 0.5
    assert torch.equal(cut[kept], z[kept]) and 0.2 < float(cut.std()) < 0.35
    made = torch.cat(list(noise.batches(model, 50, 1, truncation=0.5)))
    torch.testing.assert_close(made, noise.pictures(model, cut))
    assert torch.equal(model(n=50, seed=1, truncation=0.5)[3].tensor, made[3])
    assert main(["sample", str(path), "--truncation", "0.5", "-n", "4", "-o", "cut.png"]) == 0
    assert main(["sample", str(path), "-n", "4", "-o", "whole.png"]) == 0
    assert Path("cut.png").read_bytes() != Path("whole.png").read_bytes()
    assert main(["sample", names["noise"], "--truncation", "0.5", "-o", "a.png"]) == 2
    assert "draws uniform noise" in capsys.readouterr().err


def test_samples_of_one_class(names: dict[str, str], tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = stored(DCGAN(size=16, channels=3, width=1, latent_dim=7, classes=3), tmp_path / "a")
    model = load(path, "cpu")
    z = noise.latents(model, 6, 1)
    z[:, 7:] = torch.tensor([0.0, 0.0, 1.0])
    torch.testing.assert_close(torch.cat(list(noise.batches(model, 6, 1, label=2))), noise.pictures(model, z))
    assert torch.equal(model(n=3, label=2, seed=1)[2].tensor, next(noise.batches(model, 3, 1, label=2))[2])
    assert main(["sample", str(path), "--label", "2", "-n", "4", "-o", "two.png"]) == 0
    for given, label, said in (
        (model, 3, "has the classes 0 to 2"),
        (load(names["noise"]), 0, "without classes"),
    ):
        with pytest.raises(UsageError, match=said):
            given(n=2, label=label)
    with pytest.raises(UsageError, match="no option labels; it takes truncation, label"):
        model(n=2, labels=[1, 2])
    assert main(["sample", str(path), "--label", "2", "--walk", "2", "-o", "a.png"]) == 2


def test_walks_and_arithmetic_are_of_pictures(
    names: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    for given, said in (
        ((names["points"], "--walk", "2", "-o", "a.gif"), "models that make pictures"),
        ((names["points"], "--truncation", "1", "-o", "a.png"), "--truncation goes with models that make"),
        ((names["noise"], "--truncation", "0", "-o", "a.png"), "must be a number from 0.1 to 10"),
        ((names["noise"], "--walk", "2", "-n", "3", "-o", "a.gif"), "leave -n out"),
        ((names["noise"], "--walk", "2", "--arithmetic", "1", "-o", "a.gif"), "one of them at a time"),
        ((names["noise"], "--arithmetic", "1", "-o", "a.gif"), r"must be a file that ends with one of \.png"),
        ((names["picture"], "x.png", "--walk", "2", "-o", "a.png"), "--walk goes with models"),
    ):
        Image.fromarray(noise_image()).save("x.png")
        assert main(["sample", *given]) in (1, 2)
        assert re.search(said, capsys.readouterr().err)
    assert not list(Path().glob("a.*"))


def test_edits_by_name(names: dict[str, str]) -> None:
    labels = np.zeros((16, 16), np.uint8)
    labels[8:] = 6
    instances = np.arange(256, dtype=np.uint16).reshape(16, 16) // 32
    model = load(names["instances"], "cpu")
    plain, edited = model(labels), model(labels, relabel={"meadow": "water"})
    by_hand = labels.copy()
    by_hand[8:] = 8
    assert not torch.equal(plain.tensor, edited.tensor)
    assert torch.equal(edited.tensor, model(by_hand).tensor)
    given = model(labels, instances=instances)
    assert not torch.equal(given.tensor, plain.tensor)
    with pytest.raises(UserError, match="no class barn"):
        model(labels, relabel={"meadow": "barn"})


# ---------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (torch.randint(0, 255, (3, 16, 16)).byte(), "x / 127.5 - 1"),
        (torch.rand(3, 16, 16) * 255, "values from"),
        (torch.full((3, 16, 16), float("nan")), "values from nan"),
        (torch.rand(16, 16, 3), r"permute\(2, 0, 1\)"),
        (torch.rand(2, 2, 3, 16, 16), "no picture"),
        (np.random.default_rng(0).random((16, 16, 3)) * 2 - 1, r"floats in \[0, 1\]"),
        (np.zeros((3, 16, 16), np.uint8), r"looks like \(C, H, W\)"),
        (np.zeros((16, 16, 3), np.int64), "uint8, uint16"),
        (np.zeros((0, 16, 3), np.uint8), "no picture"),
        (3, "of type int is no picture"),
        (np.zeros((16, 16, 4), np.uint8), "alpha"),
        ("nothing.png", "nothing.png"),
    ],
)
def test_wrong_inputs_are_refused_with_what_to_give(names: dict[str, str], source: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        load(names["picture"], "cpu")(source)


def test_tensors_of_wrong_values_are_refused_by_sample(names: dict[str, str]) -> None:
    model = load(names["picture"], "cpu")
    for wrong in (torch.rand(1, 3, 16, 16) * 255, torch.zeros(1, 3, 16, 16).byte(), torch.rand(1, 16, 16, 3)):
        with pytest.raises(UserError):
            model.sample(wrong)


@pytest.mark.parametrize("source", [np.full((16, 16), 99), np.zeros((16, 16)), torch.zeros(16, 16), "x", 1])
def test_wrong_label_maps_are_refused(names: dict[str, str], source: Any) -> None:
    with pytest.raises(UserError) as refused:
        load(names["label_map"], "cpu")(source)
    assert "/tmp" not in str(refused.value)


def test_calls_that_do_not_fit_the_model(names: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="give `n=16, seed=0`"):
        load(names["noise"], "cpu")("in.png")
    with pytest.raises(UsageError, match="one output per label map"):
        load(names["label_map"], "cpu")(n=4)
    with pytest.raises(UsageError, match="no device warp"):
        load(names["noise"], "warp")
    with pytest.raises(UsageError, match="float32, float16, bfloat16"):
        load(names["noise"], "cpu").to(dtype="int8")
    with pytest.raises(UsageError, match="did you mean Pix2Pix"):
        zoo.create("Pix2Pux")
    with pytest.raises(UsageError, match="did you mean width"):
        zoo.create("pix2pix", widht=3)
    with pytest.raises(UserError, match="levels"):
        zoo.create("pix2pix", levels="many")


def test_a_size_far_from_training_is_said_once(
    names: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    model = load(names["label_map"], "cpu")  # trained at 16
    model(np.zeros((20, 30), np.uint8))
    assert not capsys.readouterr().err
    Image.fromarray(np.zeros((80, 90), np.uint8)).save("far.png")
    model("far.png")
    model("far.png")
    assert capsys.readouterr().err.count("far.png is 90x80 pixels") == 1


# --------------------------------------------------------------------------------------- devices and batches


@pytest.mark.parametrize("kind", ["noise", "picture", "label_map", "instances", "large"])
def test_half_precision_is_close(names: dict[str, str], kind: str) -> None:
    whole, half = load(names[kind], "cpu"), load(names[kind], "cpu", "bfloat16")
    assert next(half.generator.parameters()).dtype == torch.bfloat16
    source = (
        None
        if kind == "noise"
        else np.zeros((16, 16) if kind in ("label_map", "instances") else (16, 16, 3), np.uint8)
    )
    apart = (whole(source, seed=1).tensor - half(source, seed=1).tensor).abs()
    assert half(source).tensor.dtype == torch.float32 and apart.mean() < 0.05


@pytest.mark.parametrize("kind", ["picture", "running", "label_map", "instances", "large"])
def test_batches_give_what_single_inputs_give(
    names: dict[str, str], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(names[kind], "cpu")
    shape = (16, 16) if kind in ("label_map", "instances") else (16, 16, 3)
    sources = [np.random.default_rng(i).integers(0, 16, shape).astype(np.uint8) for i in range(3)]
    alone = [model(source) for source in sources]
    monkeypatch.setattr(AdversarialModule, "at_once", 2)  # as on a GPU
    together = model(sources, batch_size=3)
    assert all(torch.allclose(a.tensor, b.tensor, atol=1e-5) for a, b in zip(together, alone, strict=True))


def test_saved_weights_and_a_run_are_addresses(names: dict[str, str], tmp_path: Path) -> None:
    model = load(names["picture"], "cpu")
    model.save_pretrained("mine", licence="CC0-1.0")
    again = zoo.load("mine", device="cpu")
    assert torch.equal(again(noise_image()).tensor, model(noise_image()).tensor)
    assert again.config["licence"]["weights"] == "CC0-1.0" and again.config["name"] == "mine"
    with pytest.raises(UserError, match="weights in mine already"):
        model.save_pretrained("mine")


def test_an_example_comes_with_weights(names: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    load(names["picture"], "cpu").save_pretrained("mine")
    assert main(["sample", "mine", "-o", "out.png"]) == 2
    assert "name a file" in capsys.readouterr().err
    Image.fromarray(noise_image()).save("drawn.png")
    add_example(Path("mine"), Path("drawn.png"), "CC0-1.0, drawn")
    assert main(["sample", "mine", "-o", "out.png"]) == 0
    assert "example.png (CC0-1.0, drawn)" in capsys.readouterr().err
    assert main(["sample", "mine", "drawn.png", "-o", "same.png"]) == 0
    assert Path("out.png").read_bytes() == Path("same.png").read_bytes()


# ----------------------------------------------------------------------------------------------- other kinds

SENTENCE = """
from zoo.errors import UserError
from zoo.use import Given


def configure(parser):
    parser.add_argument("--copies", type=int)


def options(args):
    return {"copies": args.copies} if args.copies else {}


def find(inputs, model):
    return {text: text.replace(" ", "-") for text in inputs}


def read(source, model, copies=1):
    import torch

    if not isinstance(source, str):
        raise UserError("give a sentence")
    vector = torch.tensor([[ord(letter) / 128 for letter in source[:8].ljust(8)]])
    return Given({"text": vector * copies}, torch.zeros(3, 4, 4))
"""
POSED = """
from pathlib import Path

from zoo.use import Given, picture

find = picture.find


def configure(parser):
    parser.add_argument("--pose", type=Path)


def options(args):
    return {"pose": args.pose} if args.pose else {}


def read(source, model, pose=None):
    values, bits = picture.values(source)
    target, _ = picture.values(pose)
    return Given({"images": values[None], "pose": target[None]}, values, bits)
"""
BLOCKS = """
SUFFIXES = (".npy",)


class Blocks:
    def __init__(self, tensor):
        self.tensor = tensor

    def save(self, path):
        import io

        import numpy as np

        from zoo.files.writing import write_bytes

        buffer = io.BytesIO()
        np.save(buffer, (self.tensor > 0).numpy())
        write_bytes(path, buffer.getvalue())


def write(samples, bits=8):
    return [Blocks(sample) for sample in samples]


def suffix(source, model, channels):
    return ".npy"


collected = list
"""
MOVIE = """
SUFFIXES = (".gif",)


class Movie:
    def __init__(self, tensor):
        self.tensor = tensor

    def save(self, path):
        from PIL import Image

        from zoo.files.pictures import to_array

        first, *rest = [Image.fromarray(to_array(frame)) for frame in self.tensor]
        first.save(path, save_all=True, append_images=rest)


def write(samples, bits=8):
    return [Movie(sample) for sample in samples]


def suffix(source, model, channels):
    return ".gif"


collected = list
"""


class Sentences(GuardedModule):
    takes, gives = "spoken", "picture"

    def sample(self, text: Tensor, seed: int = 0) -> Tensor:
        return text.mean(1).view(-1, 1, 1, 1).expand(-1, 3, 4, 4)


class Poses(GuardedModule):
    takes, gives = "posed", "picture"

    def sample(self, images: Tensor, pose: Tensor, seed: int = 0) -> Tensor:
        return (images + pose) / 2


class Shapes(GuardedModule):
    takes, gives = "noise", "blocks"

    def sample(self, n: int, seed: int = 0) -> Tensor:
        return torch.linspace(-1, 1, n * 8).view(n, 2, 2, 2)


class Futures(GuardedModule):
    takes, gives = "picture", "movie"

    def __init__(self) -> None:
        super().__init__()
        self.save_hyperparameters({"in_channels": 3})

    def sample(self, images: Tensor, seed: int = 0) -> Tensor:
        return torch.stack([images, -images], 1)


@pytest.fixture
def kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"spoken": SENTENCE, "posed": POSED, "blocks": BLOCKS, "movie": MOVIE}
    for name, text in files.items():
        (tmp_path / "kinds").mkdir(exist_ok=True)
        (tmp_path / "kinds" / f"{name}.py").write_text(text)
    monkeypatch.setattr("zoo.use.__path__", [*zoo.use.__path__, str(tmp_path / "kinds")])
    models = {"sentences": Sentences, "poses": Poses, "shapes": Shapes, "futures": Futures}

    def fake(name: str, device: str = "auto", dtype: str = "float32") -> Model:
        return Model(models[name](), {"data": {}, "players": []}, name)

    monkeypatch.setattr("zoo.pretrained.load", fake)
    for name in models:
        Path(name).touch()  # a name must be that of something


def test_sentences(kinds: None) -> None:
    model = zoo.load("sentences")
    made = model("a red bird")
    assert isinstance(made, Picture) and len(model(["a red bird", "a blue one"])) == 2
    assert main(["sample", "sentences", "a red bird", "a cat", "-o", "out"]) == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["a-cat.png", "a-red-bird.png"]
    assert np.array_equal(read_array("out/a-red-bird.png"), np.asarray(made, np.uint8))
    assert not torch.equal(model("a red bird", copies=2).tensor, made.tensor)


def test_a_picture_with_a_pose(kinds: None, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(noise_image()).save("person.png")
    Image.fromarray(noise_image() // 2).save("pose.png")
    assert main(["sample", "poses", "person.png", "--pose", "pose.png", "-o", "out.png", "--compare"]) == 0
    made = zoo.load("poses")("person.png", pose="pose.png")
    expected = (noise_image() / 255 + noise_image() // 2 / 255) / 2
    assert np.abs(made.array - expected).max() < 1e-6
    assert main(["sample", "sentences", "a bird", "--pose", "pose.png", "-o", "a.png"]) == 2
    assert "--pose goes with models whose input is posed" in capsys.readouterr().err


def test_shapes_from_noise(kinds: None) -> None:
    assert len(zoo.load("shapes")(n=3)) == 3
    assert main(["sample", "shapes", "-n", "3", "-o", "out"]) == 0
    assert np.load("out/00002.npy").all() and not np.load("out/00000.npy").any()


def test_films_from_pictures(kinds: None) -> None:
    Image.fromarray(noise_image()).save("in.png")
    assert main(["sample", "futures", "in.png", "-o", "out.gif"]) == 0
    assert Image.open("out.gif").n_frames == 2  # type: ignore[attr-defined]


def test_an_unknown_kind_is_said(kinds: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shapes, "gives", "sonnets")
    with pytest.raises(UserError, match="shapes gives sonnets, which this version"):
        zoo.load("shapes")(n=1)


# ---------------------------------------------------------------------------------- what newcomers did wrong


def test_an_input_is_never_replaced(names: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(noise_image()).save("a.png")
    before = Path("a.png").read_bytes()
    Path("link.png").symlink_to("a.png")
    for out in ("a.png", "link.png", "."):
        assert main(["sample", names["picture"], "a.png", "-o", out, "--force"]) == 2
        assert "is an input and would be overwritten" in capsys.readouterr().err
    assert Path("a.png").read_bytes() == before


def test_a_faulty_file_of_a_folder_is_said_and_the_others_are_made(
    names: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("in").mkdir()
    for name in "abc":
        Image.fromarray(noise_image()).save(f"in/{name}.png")
    Path("in/b.png").write_bytes(b"no picture")
    assert main(["sample", names["picture"], "in", "-o", "out"]) == 1
    told = capsys.readouterr().err
    assert "in/b.png cannot be read" in told and "1 of 3 inputs failed" in told
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.png", "c.png"]


@pytest.mark.parametrize(
    ("kind", "source", "keywords", "said"),
    [
        ("noise", None, {"n": 0}, "n is 0; give a whole number from 1"),
        ("noise", None, {"n": 2.5}, "n is 2.5"),
        ("noise", None, {"seed": 2**64}, "seed is 18446744073709551616"),
        ("large", np.zeros((9, 9, 3), np.uint8), {"relabel": {"a": "b"}}, "has no option relabel"),
        ("instances", np.zeros((9, 9), np.uint8), {"relabel": [("a", "b")]}, "is no edit"),
        ("label_map", np.zeros((2, 9, 9), np.uint8), {}, "is no label map"),
        ("picture", torch.zeros(3, 9, 9).to_sparse(), {}, "x.to_dense"),
        ("picture", "https://example.com/a.png", {}, "download the picture"),
        ("large", np.zeros((9, 9, 3), np.uint8), {"seed": "a"}, "seed is 'a'"),
    ],
)
def test_wrong_calls_are_answered_in_words(
    names: dict[str, str], kind: str, source: Any, keywords: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        load(names[kind], "cpu")(source, **keywords)


def test_what_may_be_meant_otherwise_is_said(
    names: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    load(names["picture"], "cpu")(torch.rand(3, 16, 16))
    assert "give x * 2 - 1" in capsys.readouterr().err
    load(names["picture"], "cpu")(np.full((16, 16), 11, np.uint8))
    assert "if these are class numbers" in capsys.readouterr().err


def test_a_film_is_no_picture(names: dict[str, str]) -> None:
    frames = [Image.fromarray(noise_image())] * 2
    frames[0].save("film.gif", save_all=True, append_images=frames[1:])
    film = load(names["large"], "cpu")("film.gif")
    with pytest.raises(UserError, match=r"end the name of a film with \.mp4"):
        film.save("x.png")
    with pytest.raises(UserError, match="give 8 or 16"):
        load(names["picture"], "cpu")(noise_image()).save("a.png", bits=12)
    assert not Path("x.png").exists() and not Path("a.png").exists()


def test_models_are_shown_in_a_line_and_keep_their_example(names: dict[str, str]) -> None:
    model = load(names["picture"], "cpu")
    assert len(repr(model)) < 200 and "picture to picture" in repr(model)
    model.save_pretrained("mine")
    Image.fromarray(noise_image()).save("drawn.png")
    add_example(Path("mine"), Path("drawn.png"), "CC0-1.0")
    load("mine", torch.device("cpu"), torch.bfloat16).save_pretrained("again", dtype="float16")
    again = load("again", "cpu")
    assert torch.equal(again().tensor, again("drawn.png").tensor)
    with pytest.raises(UsageError, match="stored in float32 or float16"):
        again.save_pretrained("third", dtype="int8")
    assert not torch.equal(
        load(names["noise"], "cpu")(seed=None).tensor, load(names["noise"], "cpu")().tensor
    )
    with pytest.raises(UsageError, match="No weights are of the task foo"):
        zoo.list_checkpoints("foo")
    with pytest.raises(UsageError, match="None names no weights"):
        load(None)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------- what an attacker found


def test_only_what_weights_state_is_published(
    names: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    load(names["picture"], "cpu").save_pretrained("mine")
    Image.fromarray(noise_image()).save("drawn.png")
    add_example(Path("mine"), Path("drawn.png"), "CC0-1.0")
    Path("mine/example.env").write_text("secret")
    Path("mine/example.txt").symlink_to("/etc/hostname")
    assert main(["publish", "mine", "--to", "out"]) == 0
    sent = {path.name for path in Path("out").iterdir()}
    assert sent == {"model.json", "model.safetensors", "example.png", "README.md", "sample.png"}
    Path("taken").mkdir()
    Path("taken/sample.png").write_text("mine")
    assert main(["publish", "mine", "--to", "taken"]) == 1
    assert Path("taken/sample.png").read_text() == "mine" and len(list(Path("taken").iterdir())) == 1
    Image.fromarray(noise_image() // 2).save("mine/example.png")
    capsys.readouterr()
    assert main(["sample", "mine", "-o", "a.png"]) == 1
    assert "is not the example that model.json states" in capsys.readouterr().err


def test_options_may_stand_between_name_and_input(names: dict[str, str]) -> None:
    Image.fromarray(noise_image()).save("in.png")
    assert main(["sample", names["picture"], "-o", "a.png", "in.png"]) == 0
    assert main(["sample", names["picture"], "--seed", "0", "in.png", "-o", "b.png"]) == 0
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


@pytest.mark.parametrize(
    ("source", "keywords"),
    [
        (torch.full((16, 9, 9), 1 / 16), {}),
        (np.zeros((3, 9, 9), np.uint8), {}),
        (np.zeros((9, 9, 3), np.uint16), {}),
        (np.zeros((0, 4), np.uint8), {}),
        (Image.new("F", (9, 9)), {}),
        (Image.new("CMYK", (9, 9)), {}),
        ("", {}),
        (np.zeros((9, 9), np.uint8), {"instances": "."}),
        (np.zeros((9, 9), np.uint8), {"relabel": 5}),
        (np.zeros((9, 9), np.uint8), {"style": {"sky": 10**20}}),
    ],
)
def test_odd_label_maps_are_refused_in_words(
    names: dict[str, str], source: Any, keywords: dict[str, Any]
) -> None:
    with pytest.raises(UserError):
        load(names["instances"], "cpu")(source, **keywords)


def test_label_maps_of_other_types_are_read(names: dict[str, str]) -> None:
    model = load(names["instances"], "cpu")
    labels = np.arange(81).reshape(9, 9) % 16
    plain = model(labels).tensor
    for same in (labels[:, :, None], Image.fromarray(labels.astype(np.int32), "I"), labels.astype(">u2")):
        assert torch.equal(model(same).tensor, plain)
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(labels), 16).permute(2, 0, 1).bool()
    assert torch.equal(model(one_hot).tensor, plain)
    instances = torch.from_numpy(labels // 4)
    assert torch.equal(
        model(labels, instances=instances).tensor, model(labels, instances=instances.numpy()).tensor
    )


def test_what_does_not_fit_into_memory_is_refused(
    names: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.use.super_resolution.os.sysconf", lambda key: 1000)
    with pytest.raises(UserError, match="cut the picture into parts"):
        load(names["large"], "cpu")(noise_image(side=64))


def test_batches_of_two_seeds_share_no_samples(names: dict[str, str]) -> None:
    model = load(names["noise"], "cpu")
    first, second = (torch.stack([each.tensor for each in model(n=300, seed=seed)]) for seed in (0, 1))
    assert torch.equal(first[:256], model.sample(256, seed=0).clamp(-1, 1))
    assert not (torch.cdist(first.flatten(1), second.flatten(1)) == 0).any()
