"""Mistakes that need no torch to be seen are answered without it: in one sentence, with a suggestion."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from zoo.errors import UsageError
from zoo.training.keys import check, resolve_names

FILES = {
    "key.yaml": "trainr: {}",
    "twice.yaml": "trainer: {max_epochs: 1, max_epochs: 2}",
    "trainer.yaml": "trainer: {max_epoch: 3}",
    "model.yaml": "model: {class_path: zoo.models.gan.GAN, init_args: {latent_dm: 3}}",
    "data.yaml": "data: {class_path: zoo.data.pairs.PairFolder, init_args: {root: x, batchsize: 3}}",
    "class.yaml": "data: {class_path: zoo.data.pairs.PairFoldr}",
    "module.yaml": "model: {class_path: zoo.models.gann.GAN}",
    "callback.yaml": (
        "trainer: {callbacks: [{class_path: zoo.callbacks.samples.SampleGrid, init_args: {row: 1}}]}"
    ),
    "weights.ckpt": "there, but never opened",
    "weights.pth": "there, but never opened",
    "taken.png": "",
    "taken/model.json": "",
}
CASES: dict[str, tuple[int, str]] = {  # typed (NAME: bundled weights): exit status, answer
    "fti": (2, "did you mean fit"),
    "list modles": (2, "did you mean models"),
    "list --comercial": (2, "did you mean --commercial"),
    "data lsit": (2, "did you mean list"),
    "data list --comm": (2, "did you mean --commercial"),
    "sample NAME --ouput a.png": (2, "did you mean --out"),
    "sample NAME": (2, "zoo sample needs -o/--out; `zoo sample --help` shows how."),
    "data show Digits": (2, "zoo data show needs -o/--out"),
    "sample NAME -o a.pngg": (2, "a.pngg must end with "),
    "sample NAME -o n.xyz": (2, "n.xyz must end with "),
    "sample NAME --out=": (2, "-o/--out: is empty"),
    "export weights.ckpt --out=": (2, "-o/--out: is empty"),
    "sample NAME -o a.png -n -4": (2, "-n/--number: must be a whole number of at least 1, got -4"),
    "sample NAME picture.yaml -o a.png": (2, "takes no input"),
    "sample NAME -o taken.png/a.png": (1, "Cannot write taken.png/a.png"),
    "eval NAME --protocol fid-dgts": (2, "no protocol fid-dgts"),
    "data bench Digits --workers -1": (2, "--workers: must be a whole number of at least 0, got -1"),
    "show Zoologist": (2, "Nothing in the zoo is called Zoologist; `zoo list` names all."),
    "show Pix2Pux": (2, "did you mean Pix2Pix"),
    "fit": (2, "Name a recipe"),
    "test": (2, "Name a recipe"),
    "fit --config": (2, "--config needs a recipe"),
    "fit --config picture.yaml": (2, "not text in UTF-8"),
    "fit --config gan/digit": (2, "did you mean gan/digits"),
    "fit --config gan/digits --seeds 1": (2, "--seeds needs two different seeds or more"),
    "fit --config gan/digits --seeds 1 2 1": (
        2,
        "needs two different seeds or more, as in --seeds 0 1 2, got",
    ),
    "fit --config gan/digits --seeds": (2, "needs two different seeds or more"),
    "fit --config gan/digits --seeds=0,-1": (2, "--seeds: each must be a whole number from 0 to 2**32 - 1"),
    "fit --config gan/digits --seeds 0 1 --seed_everything 3": (2, "no --seed_everything beside it"),
    "fit --config gan/digits --seeds 0 1 --model.lr 0": (2, "model.lr must be a number above 0"),
    "test --config gan/digits --seeds=0,1": (2, "there is no key --seeds"),
    "fit --config gan/digits --model.latent_dm 3": (2, "did you mean latent_dim"),
    "fit --config gan/digits --model.accumulat=3": (2, "did you mean accumulate"),
    "fit --config gan/digits --data.batchsize 3": (2, "did you mean batch_size"),
    "fit --config gan/digits --trainer.max_epoch 3": (2, "did you mean max_epochs"),
    "fit --config gan/digits --modl.width 3": (2, "did you mean model"),
    "fit --config gan/digits --data zoo.data.images.Digit": (2, "did you mean Digits"),
    "fit --config gan/digits --model.init_from gan-digts": (2, "did you mean gan-digits"),
    "fit --config key.yaml": (2, "did you mean trainer"),
    "fit --config twice.yaml": (2, "max_epochs stands twice"),
    "fit --config trainer.yaml": (2, "did you mean max_epochs"),
    "fit --config model.yaml": (2, "did you mean latent_dim"),
    "fit --config data.yaml": (2, "did you mean batch_size"),
    "fit --config class.yaml": (2, "did you mean PairFolder"),
    "fit --config module.yaml": (2, "did you mean zoo.models.gan.GAN"),
    "fit --config callback.yaml": (2, "did you mean rows"),
    "test --config gan/digits --ckpt_path nowhere.ckpt": (2, "no checkpoint nowhere.ckpt"),
    "bench gan/digit": (2, "did you mean gan/digits"),
    "bench gan/digits --set model.latent_dm=3": (2, "did you mean latent_dim"),
    "sample gan/digi -o a.png": (2, "did you mean gan-digits"),
    "sample NAME -o taken.png": (1, "taken.png would be overwritten"),
    "sample NAME nowhere.png -o a.png": (2, "no file or folder nowhere.png"),
    "export nowhere.ckpt -o out": (2, "no checkpoint nowhere.ckpt"),
    "export weights.ckpt -o taken": (1, "taken/model.json would be overwritten"),
    "convert nowhere.pth --as pix2pix -o out": (2, "no file nowhere.pth"),
    "convert weights.pth --as pix2pux -o out": (2, "did you mean pix2pix"),
    "convert weights.pth --as pix2pix -o taken": (1, "taken/model.json would be overwritten"),
    "download": (2, "Name weights, or give --all"),
    "download gan-digist": (2, "did you mean gan-digits"),
    "download weights.pth": (2, "weights.pth is a path"),
    "download hf://gan-digits": (2, "is no address of weights; write hf://owner/name[@revision]"),
    "sample pix2pix-official-sat2map -o a.png": (2, "`zoo download pix2pix-official-sat2map` says how"),
    "verify gan-digist": (2, "did you mean gan-digits"),
    "eval gan/digit": (2, "did you mean gan/digits"),
    "eval NAME --against Digist": (2, "did you mean Digits"),
    "data get mnits": (2, "did you mean mnist"),
    "data pack Digist": (2, "did you mean Digits"),
    "data bench Digist": (2, "did you mean Digits"),
    "data show Digist -o a.png": (2, "did you mean Digits"),
    "data show Digits -o taken.png": (1, "taken.png exists"),
    "data show Digits -o a.png -n 0": (2, "must be a whole number of at least 1, got 0"),
    "data check nowhere": (2, "no folder nowhere"),
    "init nowhere --like gan/digits": (2, "no folder nowhere"),
    "init taken": (2, "zoo init needs --like"),
    "init taken --like gan/digit": (2, "did you mean gan/digits"),
    "init taken --like gan/ring": (2, "which no folder holds"),
    "init taken --like gan/digits -o key.yaml": (1, "key.yaml exists and is not overwritten"),
    "init taken --like gan/digits -o key.txt": (2, "key.txt must end with .yaml"),
}
PROBE = """
import contextlib, io, json, sys
from zoo import catalogue
from zoo.cli import main
name = next(entry["name"] for entry in catalogue.checkpoints() if entry["paper"] == "gan")
found = {}
for case in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        status = main(case.replace("NAME", name).split())
    heavy = sorted({"torch", "lightning", "numpy", "jsonargparse"} & set(sys.modules))
    found[case] = (status, said.getvalue(), heavy)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Status, standard error and heavy modules after each case, all in one process."""
    folder = tmp_path_factory.mktemp("typed")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "picture.yaml").write_bytes(b"\x89PNG\xff\xfe")
    command = [sys.executable, "-c", PROBE, json.dumps(list(CASES))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder)
    assert done.returncode == 0, done.stderr
    answered: dict[str, Any] = json.loads(done.stdout)
    return answered


@pytest.mark.parametrize("typed", CASES)
def test_a_mistake_is_answered_before_torch_is_imported(answers: dict[str, Any], typed: str) -> None:
    status, said, heavy = answers[typed]
    wanted, words = CASES[typed]
    assert words in said and status == wanted, said
    assert said.count("\n") == 1 and said.startswith("zoo: ")
    assert not heavy


@pytest.mark.parametrize(
    "typed",
    [
        "--config gan/digits --data.batch_size 4 --model.accumulate=2 --data.seed=1",
        "--config gan/digits --config overlays/tiny --trainer.callbacks+=lightning.pytorch.callbacks.Timer",
        "--config pix2pix/facades --data zoo.data.pairs.ScenePairs --data.root=null --data.size 64",
        "--config pix2pix/facades --data.class_path zoo.data.pairs.ScenePairs --data.init_args.size 64",
        "--config gan/digits --data zoo.data.caption_sets.Emoji --data.batch_size 3 --data.wrong text",
        "--config gan/digits --print_config --resume auto --wandb off --seed_everything 3",
        "--config gan/digits --model.help --ckpt_path last --trainer.logger=null",
        "--config null.yaml --config gan/digits --model my.own.Model --model.anything 3",
        "--config mine.yaml --model.anything 3 --print_config=skip_null",
    ],
)
def test_what_is_valid_reaches_the_full_parser(
    typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "own.py").write_text("from elsewhere import *\n")
    monkeypatch.syspath_prepend(tmp_path)
    Path("null.yaml").write_text(
        "model: null\ntrainer: {callbacks: null, max_steps: 3}\ndata: {init_args: null}"
    )
    Path("mine.yaml").write_text("model: {class_path: my.own.Model, init_args: {anything: 1}}")
    if "ScenePairs --data.root" in typed:  # not an argument of this class
        with pytest.raises(UsageError, match=r"data\.root"):
            check(resolve_names(typed.split()))
        return
    check(resolve_names(typed.split()))
