"""Export, find and load weights: what goes in comes out, and nothing wrong gets in."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import lightning.pytorch as pl
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import zoo
from zoo import catalogue, checkpoints, recipes
from zoo.checkpoints import CONFIG, STAGED, WEIGHTS, Pretrained, export, load
from zoo.data.base import Batch, DataModule, SampleSet, Split
from zoo.errors import UserError
from zoo.files.writing import sha256
from zoo.guards import GuardedModule
from zoo.models.gan import GAN
from zoo.models.pix2pix import Pix2Pix
from zoo.weights import find


class Halves(SampleSet):
    def __len__(self) -> int:
        return 4

    def sample(self, index: int, random: torch.Generator | None) -> Batch:
        x = torch.linspace(-1, 1, 3 * 16 * 16).reshape(3, 16, 16)
        return {"input": x * (index + 1) / 4, "target": -x[:1]}


class HalvesData(DataModule):
    contract = "pairs"

    def dataset(self, split: Split) -> SampleSet | None:
        return Halves() if split == "train" else None

    def describe(self) -> dict[str, Any]:
        return {
            "contract": "pairs",
            "name": "halves",
            "licence": "CC0-1.0",
            "research_only": False,
            "preprocessing": {"root": "/home/someone/pictures/halves"},
            "fingerprint": "0" * 64,
        }


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that a real training wrote, with numbers beside it."""
    run = tmp_path_factory.mktemp("run")
    pl.seed_everything(3)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=run,
    )
    module = Pix2Pix(
        levels=3, width=4, discriminator_width=4, receptive_field=16, out_channels=1, clip_grad_norm=9.0
    )
    trainer.fit(module, HalvesData(2))
    path = run / "checkpoints" / "last.ckpt"
    trainer.save_checkpoint(path)
    row = {"metric": "l1", "value": 0.5, "subject": "generated", "protocol": {"n": 4}}
    (run / "eval.json").write_text(json.dumps([{**row, "step": 1}, {**row, "step": 2, "value": 0.25}]))
    return path


@pytest.fixture
def exported(trained: Path, tmp_path: Path) -> Path:
    export(trained, tmp_path / "weights")
    return tmp_path / "weights"


def pictures(channels: int = 3) -> Tensor:
    return torch.rand(2, channels, 19, 33, generator=torch.Generator().manual_seed(1)) * 2 - 1


def edit(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, **changes}))


def resave(folder: Path, tensors: dict[str, Tensor]) -> None:
    """Other weights, with a config that knows their hash."""
    safetensors.torch.save_file(tensors, folder / WEIGHTS)
    size, digest = (folder / WEIGHTS).stat().st_size, sha256(folder / WEIGHTS)
    edit(folder, weights={"file": WEIGHTS, "sha256": digest, "bytes": size})


# ------------------------------------------------------------------------------------------------- round trip


def test_export_makes_what_the_checkpoint_makes(trained: Path, exported: Path) -> None:
    direct, again = load(trained), load(exported)
    assert direct.takes == again.takes == "picture"
    assert torch.equal(direct.sample(pictures(), seed=5), again.sample(pictures(), seed=5))
    assert not torch.equal(
        again.sample(pictures(), seed=5), again.sample(pictures(), seed=6)
    )  # dropout has a seed
    saved = torch.load(trained, weights_only=True)["state_dict"]
    for key, value in again.module.generator.state_dict().items():
        assert torch.equal(value, saved[f"generator.{key}"]), key


def test_float16_is_half_the_size_and_close(trained: Path, exported: Path, tmp_path: Path) -> None:
    half = export(trained, tmp_path / "half", dtype="float16")
    assert (tmp_path / "half" / WEIGHTS).stat().st_size < 0.65 * (exported / WEIGHTS).stat().st_size
    assert {p.dtype for p in half.module.parameters()} == {torch.float32}
    difference = (half.sample(pictures()) - load(exported).sample(pictures())).abs().max()
    assert 0 < difference < 0.02


def test_float16_refuses_what_it_cannot_hold(trained: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(trained, weights_only=True)
    key = next(k for k in checkpoint["state_dict"] if k.startswith("generator") and k.endswith("running_var"))
    checkpoint["state_dict"][key][0] = 1e6
    torch.save(checkpoint, tmp_path / "large.ckpt")
    with pytest.raises(UserError, match=r"running_var is not finite in float16"):
        export(tmp_path / "large.ckpt", tmp_path / "half", dtype="float16")
    assert not (tmp_path / "half" / CONFIG).exists()


def test_noise_model_round_trip(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = GAN()
    config = checkpoints.describe(module, dict(module.hparams), {})
    again = checkpoints.write(module, config, tmp_path / "weights")
    assert again.takes == "noise" and again.input_channels is None
    assert torch.equal(again.sample(3, seed=1), module.sample(3, seed=1))
    with pytest.raises(UserError, match="give how many"):
        again.sample(pictures())
    with pytest.raises(UserError, match="1 or more, not 0"):
        again.sample(0)


def test_config_says_where_the_weights_come_from(exported: Path) -> None:
    config = json.loads((exported / CONFIG).read_text())
    assert config["class"] == "zoo.models.pix2pix.Pix2Pix"
    assert config["hyper_parameters"]["out_channels"] == 1
    assert config["hyper_parameters"]["clip_grad_norm"] == 9.0
    assert config["hyper_parameters"]["inference"] == "paper"
    assert config["licence"] == {"code": "Apache-2.0", "weights": "Apache-2.0", "data": "CC0-1.0"}
    assert config["research_only"] is False
    assert (config["format"], config["step"], config["seed"], config["name"]) == (1, 2, 3, "weights")
    assert config["environment"]["packages"]["torch"] == version("torch")
    assert [row["value"] for row in config["results"]] == [0.25]  # the other row is of other weights
    assert config["players"] == ["generator"]
    assert config["data"]["preprocessing"]["root"] == "halves"  # no path of the machine it was trained on


def test_research_data_makes_research_weights(trained: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(trained, weights_only=True)
    checkpoint["zoo"]["data"] |= {"research_only": True, "licence": "research use only"}
    torch.save(checkpoint, tmp_path / "research.ckpt")
    config = export(tmp_path / "research.ckpt", tmp_path / "weights").config
    assert config["research_only"] is True
    assert config["licence"]["weights"] == "research use only"
    checkpoint["zoo"]["data"] = {}
    torch.save(checkpoint, tmp_path / "unknown.ckpt")
    assert export(tmp_path / "unknown.ckpt", tmp_path / "more").config["research_only"] is True


def test_players(trained: Path, exported: Path, tmp_path: Path) -> None:
    alone = load(exported)
    assert "discriminator" not in dict(alone.module.named_children())  # never one of random weights
    both = export(trained, tmp_path / "both", players=("generator", "discriminator"))
    saved = torch.load(trained, weights_only=True)["state_dict"]
    for key, value in both.module.discriminator.state_dict().items():
        assert torch.equal(value, saved[f"discriminator.{key}"]), key


def test_export_overwrites_only_when_told(trained: Path, exported: Path) -> None:
    before = (exported / CONFIG).read_text()
    with pytest.raises(UserError, match="--force"):
        export(trained, exported, name="other")
    assert (exported / CONFIG).read_text() == before
    assert export(trained, exported, name="other", force=True).config["name"] == "other"


def test_a_failed_export_leaves_the_old_weights(
    trained: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in exported.iterdir()}

    def full(*_: Any) -> None:
        raise UserError("No space left on device")

    for writer in ("write_bytes", "write_text"):
        with monkeypatch.context() as patch, pytest.raises(UserError, match="No space"):
            patch.setattr(f"zoo.checkpoints.{writer}", full)
            export(trained, exported, dtype="float16", force=True)
        assert {path.name: path.read_bytes() for path in exported.iterdir()} == before


def test_an_export_killed_between_its_files_still_loads(
    trained: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    new = exported.with_name("new")
    export(trained, new, dtype="float16")
    shutil.copy(new / WEIGHTS, exported / STAGED)  # before model.json was written
    assert load(exported).config["dtype"] == "float32"
    shutil.copy(new / CONFIG, exported / CONFIG)  # after that
    assert load(exported).config["dtype"] == "float16"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("zoo.checkpoints.write_text", killed)
        export(trained, exported, force=True)
    assert load(exported).config["dtype"] == "float16"
    export(trained, exported, force=True)
    assert load(exported).config["dtype"] == "float32"
    assert sorted(path.name for path in exported.iterdir()) == [CONFIG, WEIGHTS]


def test_loading_leaves_the_random_stream_alone(exported: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    load(exported)
    assert torch.equal(torch.rand(3), expected)


# ---------------------------------------------------------------------------------- modules that are not GANs


class Plain(GuardedModule):
    """Two parts: a layer, and a parameter of the module itself."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = nn.Linear(2, width)
        self.temperature = nn.Parameter(torch.ones(()))
        self.example_input_array = torch.linspace(-1, 1, 8).reshape(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x) * self.temperature
        return y


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An exported module of a paper that is not a GAN."""
    monkeypatch.setattr(Plain, "__module__", "zoo.models.plain")
    module = ModuleType("zoo.models.plain")
    monkeypatch.setattr(module, "Plain", Plain, raising=False)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(catalogue, "classes", lambda folder: ["zoo.models.plain.Plain"])
    trained = Plain()
    checkpoints.write(trained, checkpoints.describe(trained, {"width": 3}, {}), tmp_path / "plain")
    return tmp_path / "plain"


def test_any_guarded_module_is_kept_whole(plain: Path) -> None:
    model = load(plain)
    assert model.config["class"] == "zoo.models.plain.Plain" and model.takes == "nothing"
    assert model.config["players"] == ["temperature", "layer"]
    assert model.config["title"] == "Plain on unknown data"
    model.check_golden()
    tensors = safetensors.torch.load_file(plain / WEIGHTS)
    assert tensors.keys() == model.module.state_dict().keys() == {"temperature", "layer.weight", "layer.bias"}
    resave(plain, tensors | {"temperature": tensors["temperature"] * 2})
    with pytest.raises(UserError, match="no longer gives"):
        load(plain).check_golden()
    resave(plain, tensors | {"more": torch.ones(1)})
    with pytest.raises(UserError, match="weights of the more do not fit Plain"):
        load(plain)
    resave(plain, {"temperature": tensors["temperature"]})
    with pytest.raises(UserError, match=r"weights of the layer do not fit Plain \(2 missing"):
        load(plain)


def test_what_only_a_gan_can_do_is_refused_for_other_modules(plain: Path, tmp_path: Path) -> None:
    model = load(plain)
    with pytest.raises(UserError, match="is not a generator"):
        model.sample(1)
    with pytest.raises(UserError, match="holds a Plain, which is not a GAN"):
        model.game  # noqa: B018
    with pytest.raises(UserError, match="Plain has no generator; its parts are temperature, layer"):
        checkpoints.write(model.module, model.config, tmp_path / "again", players=("generator",))


# ----------------------------------------------------------------------------------------------------- golden


def test_golden_holds_until_a_weight_changes(exported: Path) -> None:
    load(exported).check_golden()
    tensors = safetensors.torch.load_file(exported / WEIGHTS)
    key = next(k for k, v in tensors.items() if v.dim() == 4)
    tensors[key] = tensors[key] + 0.3
    resave(exported, tensors)
    with pytest.raises(UserError, match="no longer gives its output of the export"):
        load(exported).check_golden()


def test_golden_allows_for_other_processors(exported: Path) -> None:
    golden = json.loads((exported / CONFIG).read_text())["golden"]
    assert len(golden["values"]) == 256
    edit(exported, golden={**golden, "values": [v + 1e-3 for v in golden["values"]]})
    load(exported).check_golden()
    edit(exported, golden={**golden, "values": [v + 1e-2 for v in golden["values"]]})
    with pytest.raises(UserError, match=r"off by 0\.01"):
        load(exported).check_golden()


# ------------------------------------------------------------------------------------------------ bad folders


def test_newer_format(exported: Path) -> None:
    edit(exported, format=checkpoints.FORMAT + 1)
    with pytest.raises(UserError, match=r"format 2, newer than this zoo reads \(1\); upgrade"):
        load(exported)


def test_newer_training_checkpoint(trained: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(trained, weights_only=True)
    checkpoint["zoo"]["format"] += 1
    torch.save(checkpoint, tmp_path / "new.ckpt")
    with pytest.raises(UserError, match="newer than this zoo reads"):
        load(tmp_path / "new.ckpt")


def test_truncated_weights(exported: Path) -> None:
    content = (exported / WEIGHTS).read_bytes()
    (exported / WEIGHTS).write_bytes(content[:-100])
    with pytest.raises(UserError, match=f"has {len(content) - 100} of {len(content)} bytes"):
        load(exported)


def test_changed_weights(exported: Path) -> None:
    content = bytearray((exported / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (exported / WEIGHTS).write_bytes(content)
    with pytest.raises(UserError, match=r"sha256 is .* but model.json says"):
        load(exported)


def test_weights_that_are_no_safetensors(exported: Path) -> None:
    (exported / WEIGHTS).write_bytes(b"\x80\x04not tensors")
    size, digest = (exported / WEIGHTS).stat().st_size, sha256(exported / WEIGHTS)
    edit(exported, weights={"file": WEIGHTS, "sha256": digest, "bytes": size})
    with pytest.raises(UserError, match="no file of weights"):
        load(exported)


def test_missing_weights_file(exported: Path) -> None:
    (exported / WEIGHTS).unlink()
    with pytest.raises(UserError, match=r"There is no .*model\.safetensors"):
        load(exported)


@pytest.mark.parametrize("value", [3, None, True])
@pytest.mark.parametrize("key", ["class", "data", "hyper_parameters", "players", "weights"])
def test_config_of_wrong_types(exported: Path, key: str, value: Any) -> None:
    edit(exported, **{key: value})
    with pytest.raises(UserError, match=rf"model\.json: {key} must be "):
        load(exported)


def test_damaged_config(exported: Path) -> None:
    text = (exported / CONFIG).read_text()
    (exported / CONFIG).write_text(text[: len(text) // 2])
    with pytest.raises(UserError, match=r"model\.json is damaged"):
        load(exported)
    (exported / CONFIG).write_text('{"format": 1, "class": "zoo.models.pix2pix.Pix2Pix"}')
    with pytest.raises(UserError, match="lacks hyper_parameters, players, data, weights"):
        load(exported)
    (exported / CONFIG).write_text("[]")
    with pytest.raises(UserError, match="states no format"):
        load(exported)


def test_missing_and_unknown_tensors(exported: Path) -> None:
    tensors = safetensors.torch.load_file(exported / WEIGHTS)
    key = next(iter(tensors))
    resave(exported, {k: v for k, v in tensors.items() if k != key})
    with pytest.raises(UserError, match=f"1 missing.*first {key.removeprefix('generator.')}"):
        load(exported)
    resave(exported, {**tensors, "generator.more": torch.zeros(1)})
    with pytest.raises(UserError, match="first more"):
        load(exported)
    resave(exported, {**tensors, key: torch.zeros(1)})
    with pytest.raises(UserError, match="another shape"):
        load(exported)


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "zoo.models.pix2pix.UNet",
        "zoo.models.pix2pix.torch",
        "zoo.models.nobody.Model",
        "zoo.checkpoints.Path",
    ],
)
def test_foreign_class(exported: Path, name: str) -> None:
    edit(exported, **{"class": name})
    with pytest.raises(UserError, match="no model of this zoo"):
        load(exported)


def test_class_outside_the_zoo_is_not_even_imported(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil_module.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Model: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    edit(exported, **{"class": "evil_module.Model"})
    with pytest.raises(UserError, match="no model of this zoo"):
        load(exported)
    assert not (tmp_path / "ran").exists()


def test_unknown_hyper_parameter(exported: Path) -> None:
    config = json.loads((exported / CONFIG).read_text())
    edit(exported, hyper_parameters={**config["hyper_parameters"], "widht": 8})
    with pytest.raises(UserError, match=r"hyper_parameters\.widht is unknown"):
        load(exported)


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


def test_pickle_is_never_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    torch.save({"state_dict": {}, "zoo": Bomb(ran)}, tmp_path / "a.ckpt")
    (tmp_path / "b.ckpt").write_bytes(pickle.dumps(Bomb(ran)))
    for name in ("a.ckpt", "b.ckpt"):
        with pytest.raises(UserError, match="not a whole, safe checkpoint"):
            load(tmp_path / name)
        assert not ran.exists()
    torch.load(tmp_path / "a.ckpt", weights_only=False)
    assert ran.exists()  # the bomb was live


def test_foreign_checkpoint(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    with pytest.raises(UserError, match="does not say which model"):
        load(tmp_path / "foreign.ckpt")


def test_hyper_parameters_of_the_command_lines_own_are_left_out(trained: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(trained, weights_only=True)
    checkpoint["hyper_parameters"] |= {"_instantiator": "os.system", "_class_path": "os.system"}
    torch.save(checkpoint, tmp_path / "cli.ckpt")
    assert "_instantiator" not in load(tmp_path / "cli.ckpt").config["hyper_parameters"]


# ------------------------------------------------------------------------------------------------------ names


@pytest.fixture
def indexed(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index with one entry, as it lies in the source tree or in the installed package."""
    root = tmp_path / "checkpoints"
    root.mkdir()
    exported.rename(root / "halves")
    files = [
        {"path": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted((root / "halves").iterdir())
    ]
    entry = {"name": "pix2pix-halves", "title": "Halves", "folder": "halves", "files": files}
    (root / "index.json").write_text(json.dumps({"format": 2, "entries": [entry]}))
    monkeypatch.setattr(recipes, "bundled", lambda folder: tmp_path / folder)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return root


def test_name_loads_from_any_folder(indexed: Path) -> None:
    model = zoo.load("pix2pix-halves")
    assert isinstance(model, Pretrained)
    assert model.sample(pictures()).shape == (2, 1, 19, 33)


def test_file_within_the_folder_means_the_folder(indexed: Path) -> None:
    assert load(indexed / "halves" / WEIGHTS).config == load(indexed / "halves").config


def test_unknown_name_suggests(indexed: Path) -> None:
    with pytest.raises(UserError, match="did you mean pix2pix-halves"):
        load("pix2pix_halfs")
    with pytest.raises(UserError, match="zoo list checkpoints"):
        load("zzz")


def test_folder_without_weights(indexed: Path) -> None:
    with pytest.raises(UserError, match=r"holds no model\.json"):
        load(indexed)


def test_index_pins_the_weights(indexed: Path) -> None:
    tensors = safetensors.torch.load_file(indexed / "halves" / WEIGHTS)
    resave(indexed / "halves", {key: value * 0 for key, value in tensors.items()})
    load(indexed / "halves")
    with pytest.raises(UserError, match="but the index says"):
        load("pix2pix-halves")


@pytest.mark.parametrize("entry", catalogue.checkpoints(), ids=lambda entry: entry["name"])
def test_shipped_weights(entry: dict[str, Any]) -> None:
    """Each entry of the index is complete, loads, and gives the output that it gave at export."""
    if not find(entry["name"], entry).here:
        pytest.skip("not in the tree, and not downloaded")
    assert entry.keys() >= {"name", "folder", "files", "title", "recipe", "licence", "research_only"}
    model = load(entry["name"])
    model.check_golden()
    assert model.config["research_only"] == entry["research_only"]
    assert model.config["licence"]["weights"] == entry["licence"]


def test_wrong_channels(exported: Path) -> None:
    with pytest.raises(UserError, match="expects pictures of 3 channels, got 1"):
        load(exported).sample(pictures(1))
    with pytest.raises(UserError, match=r"give \(B, C, H, W\)"):
        load(exported).sample(pictures()[0])
