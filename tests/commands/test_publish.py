"""`zoo publish`: to a folder, to a server with Hugging Face's paths, to an offline W&B run."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import huggingface_hub
import pytest
import torch
from PIL import Image
from wandb_runs import finished

import zoo
from zoo.checkpoints import add_example, describe, write
from zoo.cli import main
from zoo.models.gan import GAN
from zoo.models.pix2pix import Pix2Pix

ROW = {
    "step": 3, "metric": "kid-toy", "value": 0.25, "subject": "generated", "error": 0.01,
    "protocol": {"made": {"count": 4, "seed": 0}, "real": {"count": 4}},
}  # fmt: skip


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZOO_OFFLINE", raising=False)
    torch.manual_seed(0)
    module = GAN(shape=(1, 8, 8), hidden=16, latent_dim=4)
    config = describe(
        module, dict(module.hparams), {"name": "toys", "licence": "CC0-1.0", "research_only": False}
    )
    write(module, config | {"results": [ROW], "command": "zoo fit", "seed": 0, "step": 3}, Path("weights"))
    return "weights"


def test_to_a_folder(weights: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["publish", weights, "--to", "out", "--name", "toy", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "model.safetensors" in told and "license: apache-2.0" in told and "Nothing was sent" in told
    assert not Path("out").exists()
    assert main(["publish", weights, "--to", "out", "--name", "toy", "--licence", "Artistic"]) == 0
    names = {path.name for path in Path("out").iterdir()}
    assert names == {"model.safetensors", "model.json", "README.md", "sample.png"}
    again = zoo.load("out", device="cpu")
    assert torch.equal(again.sample(2), zoo.load(weights, device="cpu").sample(2))
    assert again.config["name"] == "toy" and again.config["licence"]["weights"] == "Artistic"
    head = huggingface_hub.ModelCard.load(Path("out") / "README.md").data
    assert (head.license, head.license_name, head.pipeline_tag) == (
        "other",
        "artistic",
        "unconditional-image-generation",
    )
    (result,) = head.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_name) == ("kid-toy", 0.25, "toys")
    assert "| kid-toy | 0.2500 ± 0.01 |" in (Path("out") / "README.md").read_text()
    assert main(["publish", weights, "--to", "out"]) == 1
    assert "would be overwritten" in capsys.readouterr().err


def test_an_example_is_sent_and_shown(weights: str) -> None:
    module = Pix2Pix(levels=3, width=4)
    write(module, describe(module, dict(module.hparams), {"research_only": False}), Path("painter"))
    Image.new("RGB", (16, 16), "red").save("red.png")
    add_example(Path("painter"), Path("red.png"), "CC0-1.0")
    assert main(["publish", "painter", "--to", "out"]) == 0
    zoo.load("out", device="cpu")("red.png").save("same.png")
    assert Path("same.png").read_bytes() == Path("out/sample.png").read_bytes()
    assert Path("out/example.png").read_bytes() == Path("red.png").read_bytes()


@pytest.mark.parametrize(
    ("typed", "status", "said"),
    [
        (["--to", "s3://bucket/x"], 2, "no address to publish to"),
        (["--to", "out", "--private"], 2, "--private goes with hf://"),
        (["--to", "hf://a/b"], 1, "while ZOO_OFFLINE is set"),
        (["--to", "wandb://a/b/c"], 1, "while ZOO_OFFLINE is set"),
        (["--to", "weights/model.json/x"], 1, "Cannot write"),
    ],
)
def test_what_cannot_be_sent(
    weights: str,
    typed: list[str],
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    assert main(["publish", weights, *typed]) == status
    assert said in capsys.readouterr().err


class Hub(BaseHTTPRequestHandler):
    """The paths of Hugging Face that an upload asks for; keeps what it is sent."""

    files: ClassVar[dict[str, bytes]] = {}
    refuses = False

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = f"http://{self.headers['Host']}/toys/digits"
        if self.refuses:
            self.answer({"error": "no such token"}, 401)
        elif self.path == "/api/repos/create":
            self.answer({"url": url, "id": "toys/digits"})
        elif self.path == "/api/validate-yaml":
            self.answer({"warnings": [], "errors": []})
        elif self.path.endswith("/preupload/main"):
            asked = json.loads(body)["files"]
            plain = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in asked]
            self.answer({"files": plain})
        elif self.path.endswith("/commit/main"):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self.answer({"success": True, "commitOid": "a" * 40, "commitUrl": f"{url}/commit/{'a' * 40}"})
        else:
            self.answer({"error": f"asked for {self.path}"}, 404)

    def do_GET(self) -> None:
        self.answer({"id": "toys/digits", "sha": "a" * 40, "siblings": []})

    def answer(self, content: dict[str, Any], status: int = 200) -> None:
        sent = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    for key in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(key, "*")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    made = huggingface_hub.HfApi
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: made(endpoint=url, token="hf_toy"))
    monkeypatch.setattr(Hub, "files", {})
    yield Hub
    server.shutdown()
    server.server_close()


def test_to_hugging_face(
    weights: str, hub: type[Hub], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", weights, "--to", "hf://toys/digits"]) == 0
    assert "zoo.load takes this address" in capsys.readouterr().out
    assert hub.files.keys() == {"model.safetensors", "model.json", "README.md", "sample.png"}
    assert hub.files["model.safetensors"] == (Path(weights) / "model.safetensors").read_bytes()
    monkeypatch.setattr(hub, "refuses", True)
    assert main(["publish", weights, "--to", "hf://toys/digits"]) == 1
    told = capsys.readouterr().err
    assert "hf auth login" in told and told.count("\n") == 1


def test_to_weights_and_biases_offline(
    weights: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert main(["publish", weights, "--to", "wandb://me/zoo/toy:best"]) == 0
    assert "wandb sync" in capsys.readouterr().out
    (run,) = Path("wandb").glob("offline-run-*")
    (stored,) = run.glob("*.wandb")
    seen = finished(stored)
    (artifact,) = [
        r.request.log_artifact.artifact
        for r in seen
        if r.HasField("request") and r.request.HasField("log_artifact")
    ] or [r.artifact for r in seen if r.HasField("artifact")]
    assert (artifact.name, artifact.type, sorted(artifact.aliases)) == ("toy", "model", ["best", "latest"])
    assert {entry.path for entry in artifact.manifest.contents} >= {"model.safetensors", "model.json"}
