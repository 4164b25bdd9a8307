"""Check this machine: versions, processors, GPU, disk, folders, W&B; with advice for each failed check."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

Status = Literal["ok", "note", "broken"]
MALWARE = {"lightning": ("2.6.2", "2.6.3"), "pytorch-lightning": ("2.6.2", "2.6.3")}
FULL_DISK = 2.0  # GB; less cannot hold the checkpoints of one run


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Args:
        name: Name of the check.
        status: ``ok``; ``note``: works, with advice; ``broken``: training would fail.
        value: Result of the check.
        advice: What to do; empty if nothing.
    """

    name: str
    status: Status
    value: str
    advice: str = ""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the findings; exit status 1 if one of them would break training."""
    from zoo.drawing.tables import aligned

    findings = examine()
    broken = [finding for finding in findings if finding.status == "broken"]
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
        return int(bool(broken))
    print(aligned([(f.status.replace("broken", "BROKEN"), f.name, f.value) for f in findings]))
    for finding in findings:
        if finding.advice:
            print(f"\n{finding.name}: {finding.advice}")
    bad = f"{len(broken)} of {len(findings)} checks would break training."
    print(f"\n{bad if broken else 'Ready to train.'}")
    return int(bool(broken))


def examine() -> list[Finding]:
    """All findings, in printed order."""
    required = metadata.requires("gan-application-zoo") or []  # extras included: name<spec>; marker
    return [
        python(),
        *versions(required, installed),
        *imports(),
        *processors(),
        *gpu(),
        disk(Path.cwd()),
        writable("runs folder", Path("runs")),
        writable("cache folder", cache_folder()),
        wandb(),
        *optional(required, installed),
    ]


def python() -> Finding:
    """The Python version against the package's ``requires-python``."""
    found = platform.python_version()
    needed = metadata.metadata("gan-application-zoo")["Requires-Python"]
    if satisfies(found.rstrip("+"), needed):  # a development build ends in +
        return Finding("python", "ok", found)
    advice = f"the zoo needs Python {needed}; create an environment with it."
    return Finding("python", "broken", found, advice)


def installed(name: str) -> str | None:
    """The installed version of a distribution."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def versions(required: list[str], find: Callable[[str], str | None]) -> list[Finding]:
    """Installed versions against the declared ranges; the malware releases are refused by name."""
    from packaging.requirements import Requirement

    findings = []
    for requirement in map(Requirement, required):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        name, specifiers = requirement.name, str(requirement.specifier)
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
    """Whether torchvision's operators match torch; run in a subprocess, since a mismatch can crash."""
    if None in (installed("torch"), installed("torchvision")):
        return []  # `versions` reports it
    code = "import torch, torchvision; torchvision.ops.nms(torch.rand(1, 4), torch.rand(1), 0.5)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    if done.returncode == 0:
        return [Finding("torchvision imports", "ok", "yes")]
    last = (done.stderr.strip().splitlines() or ["the process crashed"])[-1]
    advice = "torch and torchvision do not match; install both in one command from one index."
    return [Finding("torchvision imports", "broken", last[:120], advice)]


def processors() -> list[Finding]:
    """Processors available to this process, threads, and the instructions that make bf16 fast."""
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS", "")
    advice = ""
    if threads.isdigit() and int(threads) < usable:
        advice = (
            f"OMP_NUM_THREADS={threads} uses {threads} of {usable} processors, right for several trainings "
            "at once; for one, unset it."
        )
    elif threads.isdigit() and int(threads) > usable:
        advice = f"OMP_NUM_THREADS={threads} exceeds the {usable} processors; unset it."
    findings = [
        Finding("processors", "ok", str(usable)),
        Finding("threads", "note" if advice else "ok", threads or "torch decides", advice),
    ]
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        flags = set(re.findall(r"\b(avx512_bf16|amx_bf16)\b", cpuinfo.read_text()))
        value = ", ".join(sorted(flags)) or "neither avx512_bf16 nor amx_bf16"
        tip = "--trainer.precision bf16-mixed is faster here at 128 px and above." if flags else ""
        findings.append(Finding("bf16 on the processor", "note" if tip else "ok", value, tip))
    return findings


def gpu() -> list[Finding]:
    """NVIDIA GPUs as the driver reports them; none is fine, since the small recipes run on the CPU."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return [Finding("gpu", "ok", "none")]
    query = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return [Finding("gpu", "note", "nvidia-smi does not answer", "training falls back to the CPU.")]
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return [Finding("gpu", "note", "nvidia-smi finds none", "training falls back to the CPU.")]
    return [Finding("gpu", "ok", line) for line in lines]


def disk(folder: Path) -> Finding:
    """Free space for checkpoints."""
    free = shutil.disk_usage(folder).free / 1e9
    if free < FULL_DISK:
        advice = f"less than {FULL_DISK:.0f} GB are free in {folder}; free some space before a run."
        return Finding("free disk", "broken", f"{free:.1f} GB", advice)
    return Finding("free disk", "ok", f"{free:.0f} GB")


def cache_folder() -> Path:
    """Folder of torch's downloads."""
    base = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    return Path(os.environ.get("TORCH_HOME", str(Path(base) / "torch")))


def writable(name: str, folder: Path) -> Finding:
    """Whether a file can be created in ``folder`` or its nearest existing parent; leaves nothing behind."""
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing):
            return Finding(name, "ok", str(folder))
    except OSError as error:
        advice = f"{existing} is not writable ({error.strerror}); use another folder or fix its permissions."
        return Finding(name, "broken", str(folder), advice)


def wandb() -> Finding:
    """Whether W&B would be online in a run; like ``zoo fit``, this needs a key and a reachable host."""
    from zoo.training.online import missing_for_online

    mode = os.environ.get("WANDB_MODE", "online")
    if mode != "online":
        return Finding("wandb", "ok", f"{mode} (WANDB_MODE)")
    url = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    missing = missing_for_online(url)
    return Finding("wandb", "ok", f"offline: {missing}" if missing else f"online ({url})")


def optional(required: list[str], find: Callable[[str], str | None]) -> list[Finding]:
    """Packages that only some commands need."""
    from packaging.requirements import Requirement

    extras: dict[str, list[str]] = {}
    for requirement in map(Requirement, required):
        if found := re.search(r'extra == "([\w-]+)"', str(requirement.marker)):
            version, name = find(requirement.name), requirement.name
            extras.setdefault(found[1], []).append(f"{name} {version}" if version else f"no {name}")
    return [Finding(f"extra {extra}", "ok", ", ".join(names)) for extra, names in extras.items()]


def satisfies(version: str, specifiers: str) -> bool:
    """Whether a version is in a range such as ``>=2.6.6,<2.7``; suffixes (``a0``, ``+cu130``) are ignored."""
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion, Version

    try:
        return SpecifierSet(specifiers).contains(Version(version).base_version)
    except InvalidVersion:
        return False
