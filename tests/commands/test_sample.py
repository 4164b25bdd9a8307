"""`zoo sample`: the right files, with the right pixels, and nothing overwritten."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from zoo.checkpoints import Pretrained, describe, write
from zoo.cli import main
from zoo.data.label_maps.module import LabelMapFolder
from zoo.data.pairs.world import ScenePairs
from zoo.data.worlds import scenes
from zoo.features.segmenter import FACADES
from zoo.files.films import look, read_frames
from zoo.files.pictures import read_array, read_picture, to_tensor, write_picture
from zoo.models.gan import GAN
from zoo.models.pix2pix import Pix2Pix
from zoo.models.pix2pixhd import Pix2PixHD
from zoo.models.srgan import SRGAN
from zoo.use import label_map, super_resolution
from zoo.use.label_map import Painting, edited


def weights(module: Pix2Pix | GAN | SRGAN, out: Path) -> Pretrained:
    return write(module, describe(module, dict(module.hparams), {"research_only": False}), out)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    torch.manual_seed(0)
    module = GAN(shape=(1, 8, 8), hidden=16, latent_dim=4, generator_scale=0.5)
    return weights(module, tmp_path_factory.mktemp("noise") / "gan")


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    torch.manual_seed(0)
    return weights(Pix2Pix(levels=3, width=4), tmp_path_factory.mktemp("picture") / "pix2pix")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def picture(channels: int = 3, height: int = 21, width: int = 34, seed: int = 0) -> Tensor:
    return torch.rand(channels, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command says when it refuses, in one line."""
    assert main(["sample", *arguments]) in (1, 2)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


# ------------------------------------------------------------------------------------------------------ noise


def test_single_samples(noise: Pretrained) -> None:
    assert main(["sample", noise.origin, "-o", "out", "-n", "3", "--seed", "4"]) == 0
    assert sorted(p.name for p in Path("out").iterdir()) == ["00000.png", "00001.png", "00002.png"]
    expected = noise.sample(3, seed=4)
    for i in range(3):
        assert torch.allclose(read_picture(f"out/{i:05d}.png"), expected[i], atol=1 / 255 + 1e-6)


def test_sheet_and_seed(noise: Pretrained) -> None:
    for out, seed in (("a.png", "0"), ("b.png", "0"), ("c.png", "1")):
        assert main(["sample", noise.origin, "-o", out, "-n", "4", "--seed", seed]) == 0
    a, b, c = (Path(p).read_bytes() for p in ("a.png", "b.png", "c.png"))
    assert a == b != c
    assert read_array("a.png").shape == (102, 102, 3)  # two by two of 8 pixels enlarged to 48, white between


def test_many_samples_are_all_different(noise: Pretrained) -> None:
    assert main(["sample", noise.origin, "-o", "out", "-n", "260"]) == 0
    pictures = {path.read_bytes() for path in Path("out").iterdir()}
    assert len(pictures) == 260


def test_far_too_many_samples_are_refused_before_they_are_made(
    noise: Pretrained, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = refused(capsys, noise.origin, "-o", "out", "-n", "1" + "0" * 30)
    assert "no space at out for 1" in said and not Path("out").exists()
    assert "samples on one sheet" in refused(capsys, noise.origin, "-o", "out.png", "-n", "1000000000")
    assert "--seed: must be" in refused(capsys, noise.origin, "-o", "out.png", "--seed", "1" + "0" * 30)
    free = iter([10**9, 100])  # before, and after the first batch
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=next(free)))
    assert "the other 34 pictures" in refused(capsys, noise.origin, "-o", "out", "-n", "290")
    assert len(list(Path("out").iterdir())) == 256


def test_only_what_would_be_overwritten_is_refused(
    noise: Pretrained, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("out").mkdir()
    for name in ("00003.png", "3.png", "000000.png", "00001.tif", "x.png"):
        (Path("out") / name).touch()
    assert main(["sample", noise.origin, "-o", "out", "-n", "3"]) == 0
    assert "out/00000.png and 2 more would be overwritten" in refused(
        capsys, noise.origin, "-o", "out", "-n", "3"
    )
    assert "and 3 more" in refused(capsys, noise.origin, "-o", "out", "-n", "4")
    assert main(["sample", noise.origin, "-o", "out", "-n", "4", "--force"]) == 0


def test_points_are_plotted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    points = weights(GAN(shape=(2,), data_key="point", hidden=16, latent_dim=4), tmp_path / "points")
    assert main(["sample", points.origin, "-o", "plot.png", "-n", "10"]) == 0
    assert read_array("plot.png").shape == (512, 512, 3)
    assert "such as -o points.png" in refused(capsys, points.origin, "-o", "folder")


def test_noise_takes_no_input(noise: Pretrained, capsys: pytest.CaptureFixture[str]) -> None:
    write_picture("a.png", picture())
    assert "takes no input" in refused(capsys, noise.origin, "a.png", "-o", "b.png")
    assert "at least 1, got 0" in refused(capsys, noise.origin, "-o", "b.png", "-n", "0")


# --------------------------------------------------------------------------------------------------- pictures


def test_one_picture(translator: Pretrained) -> None:
    write_picture("in.png", picture())
    assert main(["sample", translator.origin, "in.png", "-o", "new/out.png"]) == 0
    expected = translator.sample(read_picture("in.png")[None])[0]
    assert torch.allclose(read_picture("new/out.png"), expected, atol=1 / 255 + 1e-6)


def test_folder_of_any_sizes(translator: Pretrained) -> None:
    for i in range(6):
        write_picture(f"in/{i}.png", picture(height=10 + 3 * i, seed=i))
    Path("in/notes.txt").write_text("no picture")
    assert main(["sample", translator.origin, "in", "-o", "out"]) == 0
    assert sorted(p.name for p in Path("out").iterdir()) == [f"{i}.png" for i in range(6)]
    assert [read_array(f"out/{i}.png").shape for i in range(6)] == [(10 + 3 * i, 34, 3) for i in range(6)]


def test_sixteen_bits_stay_sixteen(translator: Pretrained) -> None:
    write_picture("deep.png", picture(), bits=16)
    write_picture("deep.tif", picture(), bits=16)
    assert main(["sample", translator.origin, "deep.png", "-o", "out.png"]) == 0
    out = read_array("out.png")
    assert out.dtype == "uint16"
    expected = translator.sample(read_picture("deep.png")[None])[0]
    assert torch.allclose(read_picture("out.png"), expected, atol=1 / 65535 + 1e-6)
    assert main(["sample", translator.origin, "deep.tif", "-o", "out.tif"]) == 0
    assert read_array("out.tif").dtype == "uint16"


def test_many_channels_become_tiff(tmp_path: Path) -> None:
    torch.manual_seed(0)
    wide = weights(Pix2Pix(levels=3, width=4, in_channels=5, out_channels=6), tmp_path / "wide")
    write_picture("five.tif", picture(5))
    assert main(["sample", wide.origin, "five.tif", "-o", "out"]) == 0
    assert read_array("out/five.tif").shape == (21, 34, 6)


def test_side_by_side(translator: Pretrained) -> None:
    write_picture("in.png", picture(height=100, width=100))
    assert main(["sample", translator.origin, "in.png", "-o", "out.png", "--compare"]) == 0
    height, width, _ = read_array("out.png").shape
    assert width > 200 and height >= 100


def test_grey_becomes_colour_as_in_training(translator: Pretrained) -> None:
    write_picture("grey.png", picture(1))
    assert main(["sample", translator.origin, "grey.png", "-o", "out.png"]) == 0
    expected = translator.sample(read_picture("grey.png").expand(1, 3, -1, -1))[0]
    assert torch.allclose(read_picture("out.png"), expected, atol=1 / 255 + 1e-6)


def test_label_maps_as_numbers_or_colours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    module = Pix2Pix(levels=3, width=4, in_channels=16)
    data = ScenePairs(size=16, train_length=1, eval_length=1)
    model = write(module, describe(module, dict(module.hparams), data.describe()), tmp_path / "scenes")
    labels = scenes.draw(0, 0, 24).labels
    expected = model.sample(F.one_hot(labels, 16).permute(2, 0, 1)[None].float())[0]
    numbers = labels.numpy().astype("uint8")
    palette = np.array(scenes.PALETTE, dtype="uint8")
    indexed = Image.fromarray(numbers).convert("P")
    indexed.putpalette(palette.tobytes())
    shuffled = Image.fromarray(15 - numbers).convert("P")  # the same colours in another order
    shuffled.putpalette(palette[::-1].tobytes())
    for name, image in {
        "grey": Image.fromarray(numbers),
        "colours": Image.fromarray(palette[numbers]),
        "indexed": indexed,
        "shuffled": shuffled,
    }.items():
        Path("maps").mkdir(exist_ok=True)
        image.save(f"maps/{name}.png")
    assert main(["sample", model.origin, "maps", "-o", "out"]) == 0
    for name in ("grey", "colours", "indexed", "shuffled"):
        assert torch.allclose(read_picture(f"out/{name}.png"), expected, atol=1 / 255 + 1e-6), name
    Image.fromarray(numbers + 4).save("high.png")
    highest = int(numbers.max()) + 4
    said = refused(capsys, model.origin, "high.png", "-o", "x.png")
    assert f"class number {highest}, but there are 16 classes (0 to 15)" in said
    wrong = palette[numbers]
    wrong[3, 5] = (1, 2, 3)
    Image.fromarray(wrong).save("wrong.png")
    said = refused(capsys, model.origin, "wrong.png", "-o", "x.png")
    assert "1 pixels in colours of no class, the first (1, 2, 3)" in said


def test_label_maps_are_read_as_in_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Void, colours that JPEG has blurred, and palettes in another order: by the data's own rules."""
    classes = np.random.default_rng(0).integers(0, 12, (4, 4)).repeat(8, 0).repeat(8, 1)
    colours = np.array(list(FACADES.values()), np.uint8)[classes]
    for split in ("train", "val"):
        target = tmp_path / "halves" / split / "a.png"
        target.parent.mkdir(parents=True)
        Image.fromarray(np.concatenate([np.full_like(colours, 90), colours], 1)).save(target)
        for kind, values in (("images", colours), ("labels", classes.astype(np.uint8))):
            target = tmp_path / "numbers" / kind / split / "a.png"
            target.parent.mkdir(parents=True)
            Image.fromarray(values).save(target)
    lines = [f"{r},{g},{b},{name}" for name, (r, g, b) in FACADES.items()]
    (tmp_path / "numbers" / "palette.csv").write_text("\n".join(lines))

    def weights(name: str, **options: Any) -> Pretrained:
        data = LabelMapFolder(str(tmp_path / name), size=32, **options)
        module = Pix2Pix(levels=3, width=4, in_channels=len(data.preprocessing()["classes"]))
        return write(module, describe(module, dict(module.hparams), data.describe()), tmp_path / f"w{name}")

    def labels(model: Pretrained, name: str, values: np.ndarray, **options: Any) -> np.ndarray:
        Image.fromarray(values).save(name, **options)
        return label_map.read(Path(name), model).tensors["images"][0].argmax(0).numpy()

    blurred = weights("halves")
    assert np.array_equal(labels(blurred, "exact.png", colours), classes)
    assert not capsys.readouterr().err
    assert np.array_equal(labels(blurred, "near.png", np.where(colours > 0, colours - 1, 1)), classes)
    assert "near.png: 1024 of its 1024 pixels show no class's exact colour and take the nearest" in (
        capsys.readouterr().err
    )
    jpeg = labels(blurred, "blurred.jpg", colours, quality=95, subsampling=0)
    assert (jpeg == classes).mean() > 0.9 and "take the nearest" in capsys.readouterr().err
    Image.fromarray(np.full((32, 32, 3), 90, np.uint8)).save("photo.png")
    assert "photo.png is no label map" in refused(capsys, blurred.origin, "photo.png", "-o", "x.png")
    both = np.concatenate([np.full_like(colours, 90), colours], 1)  # the photograph beside it
    Image.fromarray(both).save("both.png")
    assert "both.png is no label map" in refused(capsys, blurred.origin, "both.png", "-o", "x.png")

    exact = weights("numbers", void=255)
    assert np.array_equal(labels(exact, "rgb.png", colours), classes)
    empty = classes.astype(np.uint8)
    empty[:4] = 255
    found = labels(exact, "void.png", empty)
    assert bool((found[:4] == 12).all()) and np.array_equal(found[4:], classes[4:])
    Image.fromarray(np.where(colours > 0, colours - 1, 1)).save("near.png")
    assert "in colours of no class" in refused(capsys, exact.origin, "near.png", "-o", "x.png")
    assert main(["sample", exact.origin, "void.png", "-o", "painted.png"]) == 0


def test_channels_that_do_not_fit(translator: Pretrained, capsys: pytest.CaptureFixture[str]) -> None:
    write_picture("rgba.png", picture(4))
    said = refused(capsys, translator.origin, "rgba.png", "-o", "out.png")
    assert "rgba.png has 4 channels but these weights expect 3; the last is alpha" in said
    write_picture("five.tif", picture(5))
    said = refused(capsys, translator.origin, "five.tif", "-o", "out.png")
    assert "five.tif has 5 channels but these weights expect 3." in said
    assert not Path("out.png").exists()


def test_nothing_is_overwritten(
    translator: Pretrained, noise: Pretrained, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture("in/a.png", picture())
    write_picture("in/b.png", picture())
    Path("out").mkdir()
    Path("out/b.png").write_text("mine")
    assert "would be overwritten" in refused(capsys, translator.origin, "in", "-o", "out")
    assert not Path("out/a.png").exists()
    assert Path("out/b.png").read_text() == "mine"
    assert main(["sample", translator.origin, "in", "-o", "out", "--force"]) == 0
    assert read_array("out/b.png").shape == (21, 34, 3)
    assert "would be overwritten" in refused(capsys, noise.origin, "-o", "out/b.png")


def test_two_inputs_never_share_an_output(translator: Pretrained, capsys: pytest.CaptureFixture[str]) -> None:
    write_picture("in/a.png", picture())
    write_picture("in/a.jpg", picture())
    assert "would both become" in refused(capsys, translator.origin, "in", "-o", "out")
    write_picture("in/b.png", picture())
    assert "do not fit into the one file" in refused(capsys, translator.origin, "in", "-o", "out.png")


def test_inputs_that_are_not_there(translator: Pretrained, capsys: pytest.CaptureFixture[str]) -> None:
    assert "name a file, or a folder of them" in refused(capsys, translator.origin, "-o", "out.png")
    assert "no file or folder nothing.png" in refused(
        capsys, translator.origin, "nothing.png", "-o", "out.png"
    )
    Path("empty").mkdir()
    assert "empty holds no pictures" in refused(capsys, translator.origin, "empty", "-o", "out")
    write_picture("in.png", picture())
    assert "--number goes with models whose input is noise" in refused(
        capsys, translator.origin, "in.png", "-o", "out.png", "-n", "2"
    )
    Path("text.png").write_text("no picture")
    assert "text.png" in refused(capsys, translator.origin, "text.png", "-o", "out.png")


def test_unknown_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert "There are no weights nobody" in refused(capsys, "nobody", "-o", "out.png")


def test_research_only_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = GAN(shape=(1, 4, 4), hidden=8, latent_dim=2)
    config = describe(module, dict(module.hparams), {"research_only": True})
    write(module, config, tmp_path / "weights")
    assert main(["sample", "weights", "-o", "out.png"]) == 0
    assert "research only" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------- super-resolution


@pytest.fixture(scope="module")
def enlarger(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    torch.manual_seed(0)
    module = SRGAN(blocks=1, width=4, discriminator_width=2, size=32, content="mse")
    return weights(module, tmp_path_factory.mktemp("enlarger") / "srgan")


def test_a_picture_is_enlarged(enlarger: Pretrained) -> None:
    for i in range(2):
        write_picture(f"in/{i}.png", picture(height=9 + i, seed=i))
    assert main(["sample", enlarger.origin, "in", "-o", "out"]) == 0
    assert enlarger.scale == 4
    for i in range(2):
        assert read_array(f"out/{i}.png").shape == (4 * (9 + i), 4 * 34, 3)
        expected = enlarger.sample(read_picture(f"in/{i}.png")[None])[0]
        assert torch.allclose(read_picture(f"out/{i}.png"), expected, atol=1 / 255 + 1e-6)
    assert main(["sample", enlarger.origin, "in/0.png", "-o", "side.png", "--compare"]) == 0
    assert read_array("side.png").shape[1] > 2 * 4 * 34


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_channels_and_bits_stay_in_enlarging(enlarger: Pretrained, channels: int, bits: Any) -> None:
    suffix = "png" if channels < 5 else "tif"
    original = picture(channels)
    write_picture(f"in.{suffix}", original, bits)
    assert main(["sample", enlarger.origin, f"in.{suffix}", "-o", "out"]) == 0
    array = read_array(f"out/in.{suffix}")
    assert array.shape == (84, 136, channels) and array.dtype == f"uint{bits}"
    made, given, step = read_picture(f"out/in.{suffix}"), read_picture(f"in.{suffix}"), 1.01 / (2**bits - 1)
    if channels in (2, 4):
        plane = Image.fromarray(
            given[-1].numpy()
        )  # PIL's bicubic has Matlab's a; it differs at the edges only
        wanted = np.asarray(plane.resize((136, 84), Image.Resampling.BICUBIC)).clip(-1, 1)
        assert np.abs(made[-1].numpy() - wanted)[8:-8, 8:-8].max() < step + 1e-5
    if channels == 1:
        wanted_grey = enlarger.sample(given.expand(1, 3, -1, -1))[0].mean(0)
        assert torch.allclose(made[0], wanted_grey, atol=step)


def test_full_opacity_stays_full(enlarger: Pretrained) -> None:
    opaque = torch.cat([picture(3), torch.ones(1, 21, 34)])
    write_picture("in.png", opaque, 16)
    assert main(["sample", enlarger.origin, "in.png", "-o", "out.png"]) == 0
    assert (read_array("out.png")[:, :, 3] == 65535).all()


def film(path: str, frames: int, height: int = 16, width: int = 24) -> None:
    with av.open(path, "w") as container:
        stream: Any = container.add_stream("libx264", rate=12, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(frames):
            grey = np.full((height, width, 3), 40 * i + 20, dtype="uint8")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())


def test_a_film_is_enlarged_frame_by_frame(enlarger: Pretrained, capsys: pytest.CaptureFixture[str]) -> None:
    Path("in").mkdir()
    film("in/clip.mp4", 5)
    write_picture("in/still.png", picture())
    assert main(["sample", enlarger.origin, "in", "-o", "out"]) == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["clip.mp4", "still.png"]
    with av.open("out/clip.mp4") as container:
        stream = container.streams.video[0]
        assert stream.average_rate == 12
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert [frame.shape for frame in frames] == [(64, 96, 3)] * 5
    source = list(read_frames(look(Path("in/clip.mp4")), range(5)))
    for made, given in zip(frames, source, strict=True):
        wanted = enlarger.sample(to_tensor(given)[None])[0]
        near, true = (F.avg_pool2d(x, 8).mean(0) for x in (to_tensor(made), wanted))
        assert (near - true).abs().max() < 0.05  # the codec's loss
    assert main(["sample", enlarger.origin, "in/clip.mp4", "-o", "one.mp4"]) == 0
    assert Path("one.mp4").is_file() and not list(Path(".").glob(".one*"))
    assert "cannot become still.png" in refused(capsys, enlarger.origin, "in/clip.mp4", "-o", "still.png")
    assert "leave it out" in refused(capsys, enlarger.origin, "in/clip.mp4", "-o", "out", "--compare")
    Path("cut.mp4").write_bytes(Path("in/clip.mp4").read_bytes()[:300])
    assert "cut.mp4" in refused(capsys, enlarger.origin, "cut.mp4", "-o", "out")


RED = (195, 37, 36)
TIMES = [0, 40, 80, 2080, 2120]  # milliseconds


def sounding_film(path: str, codec: str, sound: str, begin: int = 0) -> None:
    """Red in BT.709 at ``TIMES``, with pixels of 32:27 and noise to hear."""
    red = np.full((48, 64, 3), RED, np.uint8)
    noise = np.random.default_rng(0).integers(-3000, 3000, (1, 2 * 48000), np.int16)
    base = Fraction(1, 1000)
    with av.open(path, "w") as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base, stream.sample_aspect_ratio = base, Fraction(32, 27)
        stream.colorspace = stream.color_range = stream.color_primaries = stream.color_trc = 1
        audio: Any = container.add_stream(sound, rate=48000, layout="stereo")
        packets: list[Any] = []
        for time in TIMES:
            frame = av.VideoFrame.from_ndarray(red, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=1, dst_color_range=1)
            frame.pts, frame.time_base = begin + time, base
            packets += stream.encode(frame)
        heard = av.AudioFrame.from_ndarray(noise, format="s16", layout="stereo")
        heard.sample_rate, heard.pts, heard.time_base = 48000, begin * 48, Fraction(1, 48000)
        size = audio.codec_context.frame_size or 1024
        fitted = av.AudioResampler(audio.codec_context.format, "stereo", 48000, size)
        for piece in (*fitted.resample(heard), *fitted.resample(None)):
            packets += audio.encode(piece)
        for packet in sorted(packets + stream.encode() + audio.encode(), key=lambda p: p.dts * p.time_base):
            container.mux(packet)


def heard_in(path: str) -> tuple[float, np.ndarray]:
    """When the sound of a film begins, and its samples."""
    with av.open(path) as container:
        frames = list(container.decode(audio=0))
        return float(frames[0].time), np.concatenate([frame.to_ndarray() for frame in frames], 1)


@pytest.fixture
def doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        super_resolution, "upscale", lambda model, picture: F.interpolate(picture[None], scale_factor=2)[0]
    )


@pytest.mark.parametrize(
    ("name", "codec", "sound", "begin"),
    [("a.mp4", "libx264", "aac", 0), ("a.mkv", "libx264", "aac", 5000), ("a.mov", "mpeg4", "pcm_s16le", 0)],
)
@pytest.mark.usefixtures("doubled")
def test_an_enlarged_film_keeps_times_shape_colours_and_sound(
    enlarger: Pretrained, name: str, codec: str, sound: str, begin: int, capsys: pytest.CaptureFixture[str]
) -> None:
    sounding_film(name, codec, sound, begin)
    out = "2024-01-01T13:28:35.mp4"  # a colon names no protocol
    assert main(["sample", enlarger.origin, name, "-o", out]) == 0
    assert "sound" not in capsys.readouterr().err
    with av.open(f"./{out}") as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
    assert [frame.time for frame in frames] == [time / 1000 for time in TIMES]
    assert stream.sample_aspect_ratio == Fraction(32, 27)
    shown = frames[2]
    assert (shown.width, shown.height) == (128, 96)
    assert shown.colorspace == shown.color_range == shown.color_primaries == shown.color_trc == 1  # BT.709
    luma, blue, red = (
        np.mean(part) for part in np.split(shown.to_ndarray().reshape(-1), [96 * 128, 96 * 160])
    )
    y, cb, cr = (luma - 16) / 219, (blue - 128) / 224, (red - 128) / 224
    r, b = y + 1.5748 * cr, y + 1.8556 * cb  # ITU-R BT.709
    g = (y - 0.2126 * r - 0.0722 * b) / 0.7152
    assert np.abs(np.array([r, g, b]) * 255 - RED).max() < 2  # a level of chroma is 1.9 of blue
    (first, given), (moved, kept) = heard_in(name), heard_in(f"./{out}")
    assert abs(first - begin / 1000 - moved) < 0.002 and given.shape[1] > 40_000
    assert np.array_equal(given, kept)


@pytest.mark.usefixtures("doubled")
def test_sound_of_an_avi_is_kept_or_said_to_be_lost(
    enlarger: Pretrained, capsys: pytest.CaptureFixture[str]
) -> None:
    for sound, kept in (("pcm_s16le", True), ("pcm_u8", False)):
        sounding_film("a.avi", "mpeg4", sound)
        assert main(["sample", enlarger.origin, "a.avi", "-o", "b.mp4", "--force"]) == 0
        said = capsys.readouterr().err
        with av.open("b.mp4") as container:
            assert len(list(container.decode(video=0))) == 5
            assert bool(container.streams.audio) == kept
        lost = "a.avi has sound that MP4 cannot hold (pcm_u8); it is left out."
        assert (said.count(lost), said.count("sound")) == ((0, 0) if kept else (1, 1))
        if kept:
            assert np.array_equal(heard_in("a.avi")[1], heard_in("b.mp4")[1])


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
def test_a_picture_s_name_may_have_a_colon(enlarger: Pretrained, suffix: str) -> None:
    write_picture("13:28:34.png", picture())
    assert main(["sample", enlarger.origin, "13:28:34.png", "-o", f"13:28:35{suffix}"]) == 0
    assert read_array(f"13:28:35{suffix}").shape == (84, 136, 3)


def test_other_models_take_no_film(translator: Pretrained, capsys: pytest.CaptureFixture[str]) -> None:
    film("clip.mp4", 1)
    assert "give its frames as pictures" in refused(capsys, translator.origin, "clip.mp4", "-o", "out")


# --------------------------------------------------------------------------------------------------- editing

CLASSES = ["sky", "wall", "door", "window"]


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    torch.manual_seed(0)
    module = Pix2PixHD(
        in_channels=4, features=2, clusters=3, width=4, downsamplings=1, blocks=1, encoder_width=4,
        encoder_downsamplings=1, discriminators=1, discriminator_width=4, discriminator_layers=1,
    )  # fmt: skip
    module.generator.styles.copy_(torch.rand(4, 3, 2) * 4 - 2)
    module.generator.style_counts.fill_(3)
    prepared = {"source": "labels", "classes": CLASSES, "colours": []}
    out = tmp_path_factory.mktemp("painter") / "hd"
    return write(
        module,
        describe(module, dict(module.hparams), {"research_only": False, "preprocessing": prepared}),
        out,
    )


def house() -> tuple[Tensor, Tensor]:
    """Labels and things (16, 24): sky, below it a wall with two windows."""
    labels, things = torch.zeros(16, 24, dtype=torch.long), torch.zeros(16, 24, dtype=torch.long)
    labels[4:] = 1
    for number, left in ((300, 3), (301, 14)):  # more than eight bits hold
        labels[8:12, left : left + 5], things[8:12, left : left + 5] = 3, number
    Image.fromarray(labels.numpy().astype("uint8")).save("labels.png")
    Image.fromarray(things.numpy().astype("uint16")).save("things.png")
    return labels, things


def columns(path: str, titles: int) -> list[Tensor]:
    """The pictures of a one-row sheet, at their enlarged size, without their titles."""
    sheet = read_picture(path)[:, 28:]
    width = (sheet.shape[-1] - 4) // titles
    return [sheet[..., 4 + i * width : (i + 1) * width] for i in range(titles)]


def test_a_label_is_changed_and_both_are_shown(painter: Pretrained) -> None:
    house()
    assert main(["sample", painter.origin, "labels.png", "-o", "both.png", "--relabel", "window=door"]) == 0
    before, painted, after, repainted = columns("both.png", 4)
    assert not torch.equal(before, after) and not torch.equal(painted, repainted)
    assert main(["sample", painter.origin, "labels.png", "-o", "same.png", "--relabel", "window=3"]) == 0
    before, painted, after, repainted = columns("same.png", 4)
    assert torch.equal(before, after) and torch.equal(painted, repainted)


def test_one_thing_is_changed(painter: Pretrained) -> None:
    labels, things = house()
    before = Painting(labels, things, torch.full_like(labels, -1))
    after = edited(before, ["#301=door"], ["#300=2", "wall=1"], CLASSES)
    assert set(after.labels[things == 301].tolist()) == {2} and set(after.labels[things == 300].tolist()) == {
        3
    }
    assert set(after.styles[things == 300].tolist()) == {2} and set(after.styles[labels == 1].tolist()) == {1}
    assert set(after.styles[(things != 300) & (labels != 1)].tolist()) == {-1}
    assert torch.equal(before.labels, labels)
    edits = ["--instances", "things.png", "--relabel", "#301=door", "--style", "#300=2"]
    assert main(["sample", painter.origin, "labels.png", "-o", "both.png", *edits]) == 0
    assert len(columns("both.png", 4)) == 4


def test_things_and_styles_reach_the_model(painter: Pretrained) -> None:
    labels, things = house()
    assert main(["sample", painter.origin, "labels.png", "-o", "a.png", "--instances", "things.png"]) == 0
    x = F.one_hot(labels, 4).permute(2, 0, 1)[None].float()
    module: Any = painter.module
    expected = module.sample(x, 0, things[None])[0]
    assert torch.allclose(read_picture("a.png"), expected, atol=1 / 255 + 1e-6)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--relabel", "window"], "--relabel window is no change"),
        (["--relabel", "roof=door"], "There is no class roof; these weights have sky, wall, door, window"),
        (["--relabel", "door=sky"], "There is no door in this label map; there are sky, wall, window"),
        (["--relabel", "#300=door"], "no instance map was given; add --instances"),
        (["--instances", "things.png", "--relabel", "#7=door"], "There is no #7 in this label map"),
        (["--style", "wall=first"], "first is no number"),
        (["--style", "wall=7"], "Class 1 has 3 styles, not 8"),
        (["--instances", "small.png"], "small.png is 3x3 but the label map is 16x24"),
        (["--instances", "none.png"], "none.png"),
    ],
)
def test_edits_that_cannot_be(
    painter: Pretrained, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    house()
    Image.fromarray(np.zeros((3, 3), np.uint8)).save("small.png")
    assert said in refused(capsys, painter.origin, "labels.png", "-o", "out.png", *arguments)
    assert not Path("out.png").exists()


def test_others_cannot_be_edited(translator: Pretrained, capsys: pytest.CaptureFixture[str]) -> None:
    write_picture("in.png", picture())
    said = refused(capsys, translator.origin, "in.png", "-o", "out.png", "--relabel", "a=b")
    assert "--relabel goes with models whose input is label map, not with" in said


def test_weights_that_are_no_generator_make_no_samples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", "char-shapes", "-o", str(tmp_path / "a.png")]) == 1
    assert "char-shapes makes no samples; `zoo show char-shapes` says" in capsys.readouterr().err
