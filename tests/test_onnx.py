"""ONNX files: as PyTorch for every paper and any size, and opened without reading anything else."""

from __future__ import annotations

import functools
import json
import pydoc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

import zoo
from zoo import checkpoints
from zoo.cli import main
from zoo.errors import UserError
from zoo.files.onnx import open_onnx, parsed
from zoo.files.pictures import to_levels

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
runtime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


SMALLER = {"Pix2Pix": ("--model.levels", "3")}  # torch.export takes time for each layer


@pytest.fixture(scope="module", autouse=True)
def _one_registry() -> Iterator[None]:
    """torch collects its operators anew for each file, in a second."""
    registry = "torch.onnx._internal.exporter._registration.ONNXRegistry"
    with pytest.MonkeyPatch.context() as patch:
        made = pydoc.locate(registry)
        patch.setattr(made, "from_torchlib", staticmethod(functools.cache(made.from_torchlib)))  # type: ignore[union-attr]
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("onnx")


def weights(name: str, folder: Path) -> Any:
    """The tiny game of a class with weights that make its outputs vary, written to ``folder``."""
    built = tiny.game(name, *SMALLER.get(name, ()))
    random = torch.Generator().manual_seed(0)
    for key, value in built.model.generator.state_dict().items():
        if key.endswith("weight") and value.dim() > 1:
            value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=random)
        elif key == "styles":
            value.normal_(generator=random)
        elif key == "style_counts":
            value.fill_(built.model.clusters)
    if not (folder / "model.json").exists():
        stated = checkpoints.describe(built.model, dict(built.model.hparams), built.datamodule.description())
        checkpoints.write(built.model, stated | {"step": 0, "results": []}, folder)
    return checkpoints.load(folder)


def exported(name: str, folder: Path) -> Path:
    """The ONNX file of a game, written once by the command."""
    path = folder / name / "onnx" / "model.onnx"
    if not path.exists():
        if weights(name, folder / name).takes == "sentence":
            assert main(["export", str(folder / name), "-o", str(path.parent), "--to", "onnx"]) == 1
            pytest.skip("ONNX files are for noise, pictures and label maps")
        assert main(["export", str(folder / name), "-o", str(path.parent), "--to", "onnx"]) == 0
    return path


def inputs_of(model: Any, height: int, width: int) -> tuple[Any, dict[str, Tensor]]:
    random = torch.Generator().manual_seed(1)
    channels = model.input_channels
    if channels is None:
        return 3, {}
    maps = {name: torch.randint(0, 5, (1, height, width), generator=random) for name in model.game.maps()}
    if model.takes == "label_map":
        classes = torch.randint(0, channels, (1, height, width), generator=random)
        return nn.functional.one_hot(classes, channels).movedim(-1, 1).float(), maps
    return torch.randint(0, 256, (1, channels, height, width), generator=random) / 127.5 - 1, maps


def levels(picture: Tensor) -> Tensor:
    return to_levels(picture) if picture.dim() == 4 else picture * 1e4  # points are floats


@pytest.mark.parametrize("name", tiny.adversarial())
def test_each_paper_gives_what_pytorch_gives(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = exported(name, folder)
    assert "differs from PyTorch" in capsys.readouterr().out
    model, file = weights(name, folder / name), zoo.load(path)
    for height, width in ((37, 53), (9, 5)):
        given, maps = inputs_of(model, height, width)
        ours = model.module.sample(given, seed=5, **maps)
        theirs = file.module.sample(given, seed=5, **maps)
        assert ours.shape == theirs.shape and ours.std() > 0.1
        difference = (levels(ours) - levels(theirs)).abs()
        assert difference.max() <= 1 and difference.mean() < 0.01
    assert file.config["hyper_parameters"] == model.config["hyper_parameters"]
    assert (file.takes, file.gives, file.scale) == (model.takes, model.gives, model.scale)
    assert file.config["golden"] == model.config["golden"]


@pytest.mark.parametrize("name", tiny.adversarial())
def test_a_picture_is_enough_and_the_output_is_then_fixed(name: str, folder: Path) -> None:
    model, session = weights(name, folder / name), open_onnx(exported(name, folder))[0].session
    if model.takes == "noise":
        noise = np.random.default_rng(0).random((5, *session.get_inputs()[0].shape[1:]), np.float32)
        (made,) = session.run(None, {"noise": noise})
        assert len(made) == 5 and len(session.get_overridable_initializers()) == 0
        return
    for layer in model.module.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    model.module.kept_style = "commonest"
    given, maps = inputs_of(model, 21, 40)
    arrays = {key: value.to(torch.int32).numpy() for key, value in maps.items()}
    if model.takes == "label_map":
        arrays["labels"] = given.argmax(1).to(torch.uint8).numpy()
    else:
        arrays["picture"] = to_levels(given).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    assert {each.name for each in session.get_inputs()} == arrays.keys()
    (made,) = session.run(None, arrays)
    ours = to_levels(model.module.sample(given, **maps)).permute(0, 2, 3, 1).numpy()
    assert made.dtype == np.uint8 and made.shape == ours.shape
    assert np.abs(made.astype(int) - ours).max() <= 1


def test_large_pictures_are_made_in_tiles_without_a_seam(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, file = weights("SRGAN", folder / "SRGAN"), zoo.load(exported("SRGAN", folder))
    monkeypatch.setattr("zoo.files.onnx.TILE", 16)
    given, _ = inputs_of(model, 50, 37)
    difference = levels(model.sample(given)) - levels(file.sample(given))
    assert difference.abs().max() <= 1


def test_files_hold_all_and_tell_nothing_of_the_machine(folder: Path) -> None:
    content = exported("GAN", folder).read_bytes()
    assert b"site-packages" not in content and str(Path.cwd()).encode() not in content
    proto = onnx.ModelProto.FromString(content)
    onnx.checker.check_model(proto, full_check=True)
    assert proto.producer_name == "gan-application-zoo"
    assert json.loads(proto.metadata_props[0].value)["licence"]["weights"]


def test_the_command_samples_from_it(folder: Path, tmp_path: Path) -> None:
    made = []
    for name in (exported("GAN", folder), folder / "GAN"):
        made.append(tmp_path / f"{len(made)}.png")
        assert main(["sample", str(name), "-n", "4", "--seed", "3", "-o", str(made[-1])]) == 0
    assert made[0].read_bytes() == made[1].read_bytes()


# ----------------------------------------------------------------------------------------- files of strangers


def external(proto: Any) -> None:
    """Move the largest weight to a file beside the model, which ONNX Runtime would read."""
    tensor = max(proto.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    Path("canary.bin").write_bytes(tensor.raw_data)
    onnx.external_data_helper.set_external_data(tensor, "canary.bin")
    tensor.ClearField("raw_data")


def hidden(proto: Any) -> None:
    """The same in an attribute of a node."""
    tensor = onnx.numpy_helper.from_array(np.zeros(4, np.float32))
    onnx.external_data_helper.set_external_data(tensor, "../canary.bin")
    tensor.ClearField("raw_data")
    node = onnx.helper.make_node("Constant", [], ["spy"])
    node.attribute.append(onnx.helper.make_attribute("value", tensor))
    proto.graph.node.append(node)


def foreign(proto: Any) -> None:
    proto.graph.node[0].domain = "com.microsoft"


def function(proto: Any) -> None:
    proto.functions.add().name = "f"


def nameless(proto: Any) -> None:
    del proto.metadata_props[:]


def stated(**facts: Any) -> Any:
    def change(proto: Any) -> None:
        config = json.loads(proto.metadata_props[0].value)
        config["onnx"] |= facts
        proto.metadata_props[0].value = json.dumps(config)

    return change


HOSTILE = {
    "external": (external, "in another file"),
    "hidden": (hidden, "in another file"),
    "foreign": (foreign, "of com.microsoft, which is no standard"),
    "function": (function, "holds functions"),
    "nameless": (nameless, "has no metadata of the zoo"),
    "scale": (stated(scale="4"), "onnx.scale must be a whole number"),
    "side": (stated(draws=[{"name": "n", "kind": "normal", "shape": ["height/0"], "p": 0}]), "onnx.draws"),
    "inputs": (stated(inputs={"/etc/passwd": []}), "onnx.inputs must be"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused(
    case: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = exported("GAN", folder).read_bytes()
    monkeypatch.chdir(tmp_path)
    proto = onnx.ModelProto.FromString(content)
    change, said = HOSTILE[case]
    change(proto)
    Path("model.onnx").write_bytes(proto.SerializeToString())
    if case == "external":  # the control: it would work
        runtime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    with pytest.raises(UserError, match=said):
        open_onnx("model.onnx")


def test_damaged_files_are_refused(folder: Path) -> None:
    content = exported("GAN", folder).read_bytes()
    for damaged in (b"", content[: len(content) // 2], b"PK\x03\x04" + content):
        with pytest.raises(UserError, match=r"a\.onnx"):
            parsed(damaged, "a.onnx")


def test_a_draw_has_a_limit(folder: Path) -> None:
    module, _ = open_onnx(exported("GAN", folder))
    with pytest.raises(UserError, match="give a smaller picture"):
        module.sample(2**40)


def test_without_the_packages_a_sentence_says_how_to_get_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"run pip install onnx onnxruntime"):
        open_onnx(exported("GAN", folder))


def test_options_that_an_onnx_file_does_not_have(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights("GAN", folder / "GAN")
    for option, said in (
        (("--dtype", "float16"), "holds float32"),
        (("--players", "both"), "holds the generator"),
        (("--licence", "mine"), "keeps theirs"),
    ):
        typed = ["export", str(folder / "GAN"), "-o", str(tmp_path), "--to", "onnx", *option]
        assert main(typed) == 2
        assert said in capsys.readouterr().err
