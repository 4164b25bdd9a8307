"""Check this machine: versions, processors, GPU, disk, folders, W&B; advice for each line that fails."""

from __future__ import annotations

import argparse
import json
import netrc
import operator
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal
from urllib.parse import urlparse

Status = Literal["ok", "note", "broken"]
MALWARE = {"lightning": ("2.6.2", "2.6.3"), "pytorch-lightning": ("2.6.2", "2.6.3")}
FULL_DISK = 2.0  # GB: less does not hold the checkpoints of one run


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Args:
        name: What was looked at.
        status: ``ok``; ``note``: works, but worth knowing; ``broken``: training would fail.
        value: What was found.
        advice: What to do about it; empty when nothing.
    """

    name: str
    status: Status
    value: str
    advice: str = ""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the findings; 1 when something would break training."""
    from zoo.commands.list import aligned

    findings = examine()
    broken = [finding for finding in findings if finding.status == "broken"]
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
        return int(bool(broken))
    marks = {"ok": "ok", "note": "note", "broken": "BROKEN"}
    print(aligned([(marks[f.status], f.name, f.value) for f in findings]))
    for finding in findings:
        if finding.advice:
            print(f"\n{finding.name}: {finding.advice}")
    print(
        f"\n{len(broken)} of {len(findings)} lines would break training." if broken else "\nReady to train."
    )
    return int(bool(broken))


def examine() -> list[Finding]:
    """All findings, in the order in which they are printed."""
    checks: list[Callable[[], Iterable[Finding]]] = [
        python,
        lambda: versions(requirements(), installed),
        imports,
        processors,
        gpu,
        lambda: [disk(Path.cwd())],
        lambda: [writable("runs folder", Path("runs")), writable("cache folder", cache_folder())],
        wandb,
        lambda: optional(requirements(), installed),
    ]
    return [finding for check in checks for finding in check()]


# ------------------------------------------------------------------------------------------------- the checks


def python() -> list[Finding]:
    """Python itself against what the package asks for."""
    found = platform.python_version()
    needed = metadata.metadata("gan-application-zoo")["Requires-Python"]
    if satisfies(found, needed):
        return [Finding("python", "ok", found)]
    return [
        Finding("python", "broken", found, f"the zoo needs Python {needed}; make an environment with it.")
    ]


def requirements() -> list[str]:
    """The package's declared requirements, extras included (``name<spec>; marker``)."""
    return metadata.requires("gan-application-zoo") or []


def installed(name: str) -> str | None:
    """The installed version of a distribution."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def versions(required: list[str], find: Callable[[str], str | None]) -> list[Finding]:
    """Installed versions against the declared ranges; the malware releases are refused by name."""
    findings = []
    for requirement in required:
        if "extra ==" in requirement:
            continue
        name, specifiers = _split(requirement)
        found = find(name)
        if found is None:
            findings.append(Finding(name, "broken", "missing", f"pip install '{name}{specifiers}'"))
        elif found in MALWARE.get(name, ()):
            advice = (
                f"{name} {found} IS MALWARE: it steals credentials when imported. Run nothing in this "
                "environment; delete it, change every password and token that this machine could read, then "
                f"make a new environment with '{name}{specifiers}'."
            )
            findings.append(Finding(name, "broken", f"{found} MALWARE", advice))
        elif not satisfies(found, specifiers):
            advice = f"the zoo needs {name}{specifiers}: pip install '{name}{specifiers}'"
            findings.append(Finding(name, "broken", found, advice))
        else:
            findings.append(Finding(name, "ok", found))
    return findings


def imports() -> list[Finding]:
    """Whether torchvision's operators fit torch, tried in a process of its own: it may crash."""
    if None in (installed("torch"), installed("torchvision")):
        return []  # said already
    code = "import torch, torchvision; torchvision.ops.nms(torch.rand(1, 4), torch.rand(1), 0.5)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    if done.returncode == 0:
        return [Finding("torchvision imports", "ok", "yes")]
    last = (done.stderr.strip().splitlines() or ["it crashed"])[-1]
    advice = "torch and torchvision do not fit together; install both in one command from one index."
    return [Finding("torchvision imports", "broken", last[:120], advice)]


def processors() -> list[Finding]:
    """Processors that this process may use, threads, and the instructions that make bf16 fast."""
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS", "")
    advice = ""
    if threads.isdigit() and int(threads) < usable:
        advice = f"OMP_NUM_THREADS={threads} uses {threads} of {usable} processors; unset it to use all."
    elif threads.isdigit() and int(threads) > usable:
        advice = f"OMP_NUM_THREADS={threads} is more than there are processors; unset it."
    findings = [
        Finding("processors", "ok", str(usable)),
        Finding("threads", "note" if advice else "ok", threads or "torch decides", advice),
    ]
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        flags = set(re.findall(r"\b(avx512_bf16|amx_bf16)\b", cpuinfo.read_text()))
        value = ", ".join(sorted(flags)) or "neither avx512_bf16 nor amx_bf16"
        tip = "--trainer.precision bf16-mixed is faster here from 128 px on." if flags else ""
        findings.append(Finding("bf16 on the processor", "note" if tip else "ok", value, tip))
    return findings


def gpu() -> list[Finding]:
    """NVIDIA GPUs as their driver reports them; none is no fault, small recipes run on the processor."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return [Finding("gpu", "ok", "none")]
    query = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return [Finding("gpu", "note", "nvidia-smi does not answer", "training falls back to the processor.")]
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return [Finding("gpu", "note", "nvidia-smi finds none", "training falls back to the processor.")]
    return [Finding("gpu", "ok", line) for line in lines]


def disk(folder: Path) -> Finding:
    """Room for checkpoints."""
    free = shutil.disk_usage(folder).free / 1e9
    if free < FULL_DISK:
        advice = f"less than {FULL_DISK:.0f} GB are free under {folder}; make room before a run."
        return Finding("free disk", "broken", f"{free:.1f} GB", advice)
    return Finding("free disk", "ok", f"{free:.0f} GB")


def cache_folder() -> Path:
    """Where torch keeps what it downloads."""
    base = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    return Path(os.environ.get("TORCH_HOME", str(Path(base) / "torch")))


def writable(name: str, folder: Path) -> Finding:
    """Whether a file can be made in ``folder``, or in what exists of the way to it; leaves nothing."""
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing):
            return Finding(name, "ok", str(folder))
    except OSError as error:
        advice = f"{existing} cannot be written ({error.strerror}); work elsewhere or change its rights."
        return Finding(name, "broken", str(folder), advice)


def wandb() -> list[Finding]:
    """Whether a run's W&B would be online, by the rule of ``zoo fit``: a key and a host in reach."""
    mode = os.environ.get("WANDB_MODE", "online")
    if mode != "online":
        return [Finding("wandb", "ok", f"{mode} (WANDB_MODE)")]
    url = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))
    host = url.hostname or ""
    if not os.environ.get("WANDB_API_KEY"):
        try:
            known = netrc.netrc().authenticators(host)
        except (OSError, netrc.NetrcParseError):
            known = None
        if known is None:
            return [Finding("wandb", "ok", "offline: no key (`wandb login` makes one known)")]
    try:
        socket.create_connection((host, url.port or 443), timeout=3).close()
    except OSError:
        return [Finding("wandb", "ok", f"offline: there is a key, but {host} cannot be reached")]
    return [Finding("wandb", "ok", f"online ({host})")]


def optional(required: list[str], find: Callable[[str], str | None]) -> list[Finding]:
    """Packages that only some commands need."""
    findings = []
    for requirement in required:
        if found := re.search(r"extra == ['\"]([\w-]+)['\"]", requirement):
            name, _ = _split(requirement)
            findings.append((found[1], name, find(name)))
    extras: dict[str, list[str]] = {}
    for extra, name, version in findings:
        extras.setdefault(extra, []).append(f"{name} {version}" if version else f"no {name}")
    return [Finding(f"extra {extra}", "ok", ", ".join(names)) for extra, names in extras.items()]


# --------------------------------------------------------------------------------------------------- versions


def _split(requirement: str) -> tuple[str, str]:
    """Name and version range of a requirement, without extras and marker."""
    found = re.match(r"\s*([\w.-]+)\s*(?:\[[^\]]*\])?\s*([^;]*)", requirement)
    assert found is not None, requirement
    return found[1].lower(), found[2].strip().strip("()").replace(" ", "")


def satisfies(version: str, specifiers: str) -> bool:
    """Whether a version lies in a range such as ``>=2.6.6,<2.7,!=2.6.3``; suffixes do not count."""
    compare: dict[str, Callable[[list[int], list[int]], bool]] = {
        ">=": operator.ge,
        "<=": operator.le,
        "==": operator.eq,
        "!=": operator.ne,
        ">": operator.gt,
        "<": operator.lt,
    }
    for specifier in filter(None, specifiers.split(",")):
        found = re.match(r"(>=|<=|==|!=|>|<)(.+)", specifier)
        assert found is not None, specifier
        if not compare[found[1]](_release(version), _release(found[2])):
            return False
    return True


def _release(version: str) -> list[int]:
    """The numbers of a version without trailing zeros: ``2.10.0+cpu`` is [2, 10]."""
    found = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(number) for number in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return numbers
