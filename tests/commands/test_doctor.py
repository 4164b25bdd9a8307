from __future__ import annotations

import json
import socket
import subprocess
from collections import namedtuple
from pathlib import Path

import pytest

from zoo.cli import main
from zoo.commands import doctor
from zoo.commands.doctor import Finding, satisfies

REQUIRED = [
    "lightning!=2.6.2,!=2.6.3,<2.7,>=2.6.6",
    "jsonargparse[signatures]<5,>=4.53",
    "pytest>=8; extra == 'test'",
]


@pytest.mark.parametrize(
    ("version", "specifiers", "fits"),
    [
        ("2.10.0", ">=2.9", True),
        ("2.9", ">=2.9.0", True),
        ("2.8.9+cpu", ">=2.9", False),
        ("2.9.0+cu130", ">=2.9", True),
        ("2.7.0", ">=2.6.6,<2.7", False),
        ("2.6.3", "!=2.6.3", False),
        ("3.12.1", ">=3.11", True),
        ("1.0", "==1.0", True),
        ("1.0", "", True),
        ("2.9.0a0+50eac81.nv25.9", ">=2.9", True),
        ("2.7rc1", "<2.7", False),
        ("of my own", ">=1", False),
    ],
)
def test_versions_are_compared_as_numbers(version: str, specifiers: str, fits: bool) -> None:
    assert satisfies(version, specifiers) is fits


def check(**found: str | None) -> dict[str, Finding]:
    have = {"lightning": "2.6.6", "jsonargparse": "4.53.0", **found}
    return {finding.name: finding for finding in doctor.versions(REQUIRED, have.get)}


def test_good_versions_pass_and_extras_are_not_required() -> None:
    assert {name: finding.status for name, finding in check().items()} == {
        "lightning": "ok",
        "jsonargparse": "ok",
    }


@pytest.mark.parametrize("version", ["2.6.2", "2.6.3"])
@pytest.mark.parametrize("name", ["lightning", "pytorch-lightning"])
def test_malware_is_called_malware(name: str, version: str) -> None:
    (finding,) = doctor.versions([f"{name}>=2.6.6,<2.7"], lambda _: version)
    assert finding.status == "broken"
    assert "MALWARE" in finding.value
    assert "password" in finding.advice


def test_wrong_and_missing_versions_break_and_say_what_to_install() -> None:
    old = check(jsonargparse="4.40")["jsonargparse"]
    assert old.status == "broken"
    assert "pip install 'jsonargparse<5,>=4.53'" in old.advice
    gone = check(lightning=None)["lightning"]
    assert (gone.status, gone.value) == ("broken", "missing")


def test_extras_are_told_but_break_nothing() -> None:
    (finding,) = doctor.optional(REQUIRED, {"pytest": None}.get)
    assert finding == Finding("extra test", "ok", "no pytest")
    assert doctor.optional(REQUIRED, lambda _: "8.1")[0].value == "pytest 8.1"


def test_a_mismatch_of_torch_and_torchvision_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess(
        [], 1, "", "Traceback\nRuntimeError: operator torchvision::nms does not exist"
    )
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: failed)
    (finding,) = doctor.imports()
    assert finding.status == "broken"
    assert "nms does not exist" in finding.value


def test_a_full_disk_breaks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage(1e9))
    assert doctor.disk(tmp_path).status == "broken"
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage(50e9))
    assert doctor.disk(tmp_path).status == "ok"


def test_a_folder_that_cannot_be_written_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.writable("runs folder", tmp_path / "not" / "there").status == "ok"
    assert list(tmp_path.iterdir()) == []

    def refuse(dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    finding = doctor.writable("runs folder", tmp_path / "not")
    assert finding.status == "broken"
    assert f"{tmp_path} is not writable (Permission denied)" in finding.advice


@pytest.mark.parametrize(
    ("environment", "reachable", "words"),
    [
        ({"WANDB_MODE": "offline", "WANDB_API_KEY": "k"}, True, "offline (WANDB_MODE)"),
        ({"WANDB_MODE": "disabled"}, True, "disabled"),
        ({}, True, "offline: there is no API key"),
        ({"WANDB_API_KEY": "k"}, True, "online (https://api.wandb.ai)"),
        ({"WANDB_API_KEY": "k"}, False, "cannot be reached"),
        ({"NETRC": "1"}, True, "online (https://own.example)"),
    ],
)
def test_wandb_is_decided_as_a_run_decides(
    environment: dict[str, str], reachable: bool, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    if "NETRC" in environment:
        (tmp_path / ".netrc").write_text("machine own.example login user password secret\n")
        (tmp_path / ".netrc").chmod(0o600)
        environment = {"WANDB_BASE_URL": "https://own.example"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        if not reachable:
            raise OSError("unreachable")
        return socket.socket()

    monkeypatch.setattr(socket, "create_connection", connect)
    finding = doctor.wandb()
    assert words in finding.value
    assert "secret" not in finding.value


@pytest.mark.parametrize(("threads", "status"), [("1", "note"), ("4", "ok"), ("64", "note"), ("", "ok")])
def test_threads_that_do_not_fit_are_noted(
    threads: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(4)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    found = {finding.name: finding for finding in doctor.processors()}
    assert found["processors"].value == "4"
    assert found["threads"].status == status


@pytest.mark.parametrize(("status", "expected"), [("ok", 0), ("note", 0), ("broken", 1)])
def test_exit_status_and_json(
    status: doctor.Status, expected: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: [Finding("disk", status, "1 GB", "Make room.")])
    assert main(["doctor", "--json"]) == expected
    assert json.loads(capsys.readouterr().out)[0]["status"] == status
    assert main(["doctor"]) == expected
    told = capsys.readouterr().out
    assert "disk: Make room." in told
    assert ("Ready to train." in told) is (expected == 0)


def test_this_machine_can_train_and_is_told_so() -> None:
    findings = doctor.examine()
    names = [finding.name for finding in findings]
    assert {"python", "torch", "lightning", "torchvision imports", "gpu", "free disk", "wandb"} <= set(names)
    assert [finding for finding in findings if finding.status == "broken"] == []
