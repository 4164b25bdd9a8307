"""`zoo convert`: a reference's state dict becomes an export that computes the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import zoo
from zoo.cli import main
from zoo.files.pictures import write_picture
from zoo.models.srgan import SRGAN


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def patch_discriminator() -> nn.Sequential:
    """A discriminator of the authors' PyTorch code: field 16, 6 channels seen."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(6, 4, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(4, 8, 4, stride=1, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.LeakyReLU(0.2),
        nn.Conv2d(8, 1, 4, stride=1, padding=1),
    )


class Level(nn.Module):
    """A level of that code's U-Net, nested in the one above; ``model`` holds its layers."""

    def __init__(self, *layers: nn.Module, outermost: bool = False) -> None:
        super().__init__()
        self.model, self.outermost = nn.Sequential(*layers), outermost

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y if self.outermost else torch.cat([x, y], 1)


def unet() -> nn.Module:
    """Its U-Net of five levels, width 4, without dropout."""
    torch.manual_seed(0)

    def down(i: int, o: int) -> nn.Module:
        return nn.Conv2d(i, o, 4, stride=2, padding=1, bias=False)

    def up(i: int, o: int, bias: bool = False) -> nn.Module:
        return nn.ConvTranspose2d(i, o, 4, stride=2, padding=1, bias=bias)

    level = Level(nn.LeakyReLU(0.2), down(32, 32), nn.ReLU(), up(32, 32), nn.BatchNorm2d(32))
    for outer, inner in ((16, 32), (8, 16), (4, 8)):
        level = Level(
            *(nn.LeakyReLU(0.2), down(outer, inner), nn.BatchNorm2d(inner), level),
            *(nn.ReLU(), up(2 * inner, outer), nn.BatchNorm2d(outer)),
        )
    top = Level(down(3, 4), level, nn.ReLU(), up(8, 3, bias=True), nn.Tanh(), outermost=True)
    whole = nn.Module()
    whole.model = top
    return whole


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_generator(suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    reference = unet()
    if suffix == "pth":
        torch.save(reference.state_dict(), "net_G.pth")
    else:
        safetensors.torch.save_file(reference.state_dict(), "net_G.safetensors")
    assert (
        main(["convert", f"net_G.{suffix}", "--as", "pix2pix", "-o", "out", "--licence", "BSD-2-Clause"]) == 0
    )
    assert (
        "the generator of zoo.models.pix2pix.Pix2Pix (generator=unet, levels=5, width=4"
        in capsys.readouterr().out
    )
    model = zoo.load("out")
    assert model.config["licence"]["weights"] == "BSD-2-Clause"
    assert model.config["source"]["file"] == f"net_G.{suffix}"
    x = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    model.module.eval()
    reference.eval()
    with torch.no_grad():
        assert torch.allclose(model.module.generator(x), reference.model(x.clone()), atol=1e-5)
    model.check_golden()


def test_discriminator(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "zoo.models.pix2pix.initialise", lambda module: None
    )  # 54 M weights that nobody looks at
    reference = patch_discriminator()
    torch.save({f"model.{key}": value for key, value in reference.state_dict().items()}, "net_D.pth")
    assert main(["convert", "net_D.pth", "--as", "pix2pix", "-o", "out"]) == 0
    assert "the discriminator" in capsys.readouterr().out
    model = zoo.load("out")
    assert model.config["research_only"] is True  # nobody said anything else
    x = torch.rand(1, 6, 32, 32)
    with torch.no_grad():
        assert torch.allclose(model.module.discriminator(x), reference.eval()(x.clone()), atol=1e-5)
    write_picture("x.png", x[0, :3])
    assert main(["sample", "out", "x.png", "-o", "y.png"]) == 1
    assert "only the discriminator" in capsys.readouterr().err


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["convert", *arguments, "-o", "out"]) in (1, 2)
    assert not Path("out").exists()
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_what_is_not_recognised(capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"something.weight": torch.zeros(3)}, "other.pth")
    assert "pix2pix" in refused(capsys, "other.pth", "--as", "pix2pix")
    assert "There is no paper nobody; there are char_cnn_rnn, dcgan, gan, gan_int_cls" in refused(
        capsys, "other.pth", "--as", "nobody"
    )
    assert "There is no file nothing.pth" in refused(capsys, "nothing.pth", "--as", "pix2pix")


class Bomb:
    def __reduce__(self) -> Any:
        return open, ("ran", "w")


def test_what_is_no_state_dict(capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"net": Bomb()}, "bomb.pth")
    assert "damaged or no file of weights" in refused(capsys, "bomb.pth", "--as", "pix2pix")
    assert not Path("ran").exists()
    torch.save({"epoch": 3, "net": {"a": torch.zeros(1)}}, "nested.pth")
    assert "holds more than named tensors" in refused(capsys, "nested.pth", "--as", "pix2pix")
    Path("half.safetensors").write_bytes(b"\x00" * 20)
    assert "damaged or no file of weights" in refused(capsys, "half.safetensors", "--as", "pix2pix")


def test_wrapped_weights_of_srgan(capsys: pytest.CaptureFixture[str]) -> None:
    """Files as Lornatang's and BasicSR's trainings save them, and what they enlarge a picture to."""
    torch.save({"params": {"conv_last.weight": torch.zeros(1)}}, "basicsr.pth")
    assert "conv_first.weight' is missing" in refused(capsys, "basicsr.pth", "--as", "srgan")
    names = {"0.weight": "conv1.0.weight", "0.bias": "conv1.0.bias", "1.weight": "conv1.1.weight"}
    torch.manual_seed(0)
    model = SRGAN(blocks=1, width=4, scale=2, high_range="unit", adversarial=False, content="mse").eval()
    theirs = {}
    for key, value in model.generator.state_dict().items():
        part, _, rest = key.partition(".")
        if part == "head":
            key = names[rest]
        elif part == "trunk":
            key = key.replace("body", "rcb")
        elif part == "merge":
            key = f"conv2.{rest}"
        elif part == "up":
            key = f"upsampling.0.upsample_block.{rest}"
        else:
            key = f"conv3.{rest}"
        theirs[f"_orig_mod.{key}"] = value
    torch.save({"epoch": 3, "state_dict": theirs, "ema_state_dict": theirs}, "SRResNet_x2.pth.tar")
    assert main(["convert", "SRResNet_x2.pth.tar", "--as", "srgan", "-o", "out"]) == 0
    assert "the generator of zoo.models.srgan.SRGAN (scale=2, blocks=1, width=4" in capsys.readouterr().out
    picture = torch.rand(1, 3, 6, 5) * 2 - 1
    expected = (2 * model.generator((picture + 1) / 2) - 1).clamp(-1, 1)
    torch.testing.assert_close(zoo.load("out").sample(picture), expected.detach())
