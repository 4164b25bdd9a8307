"""Ctrl-C and SIGTERM outside a training: status 130 or 143, nothing on standard error, at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zoo import cli, interrupts

BOTH = pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])


@BOTH
@pytest.mark.parametrize("answer", ["none", "goes on", "fails"])
def test_a_command_ends_with_the_signals_status(
    number: int,
    status: int,
    answer: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def work(arguments: list[str]) -> int:
        try:
            os.kill(os.getpid(), number)
        except SystemExit:  # as a library may
            if answer == "none":
                raise
            if answer == "fails":
                raise ImportError("numpy failed to import") from None
        return 0

    monkeypatch.setattr(cli, "_dispatch", work)
    before = signal.getsignal(number), sys.unraisablehook
    assert cli.main(["list"]) == status
    assert capsys.readouterr().err == ""
    assert (signal.getsignal(number), sys.unraisablehook) == before
    monkeypatch.setattr(cli, "_dispatch", lambda arguments: 0)
    assert cli.main(["list"]) == 0


WITHIN = {
    "an import that answers with its own error": """
try:
    import killing
except BaseException as error:
    raise ImportError("failed") from error
""",
    "a destructor": """
class Killing:
    def __del__(self):
        killing()
Killing()
""",
    "a fork": "os.register_at_fork(before=killing)\nos.fork()",
    "an answer to the first": """
try:
    killing()
except SystemExit:
    killing()
""",
    "the end of the command": "import atexit\natexit.register(killing)",
}
AFTERWARDS = """
import os, sys
from zoo import __main__

class Late:
    def __del__(self):
        os.kill(os.getpid(), {number})

late = Late()
sys.argv = ["zoo", "--version"]
sys.exit(__main__.main())
"""


def python(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(interrupts.__file__).parents[1]), str(folder)])
    return subprocess.run(
        [sys.executable, "-S", "-c", script], capture_output=True, text=True, env={"PYTHONPATH": path}
    )


@BOTH
@pytest.mark.parametrize("where", WITHIN)
def test_no_signal_is_lost(number: int, status: int, where: str, tmp_path: Path) -> None:
    kill = f"import os, sys\ndef killing(): os.kill(os.getpid(), {int(number)})\n"
    (tmp_path / "killing.py").write_text(kill + "killing()")
    done = python(
        f"{kill}from zoo import interrupts\ninterrupts.install()\n{WITHIN[where]}\nprint('went on')", tmp_path
    )
    assert (done.returncode, done.stderr) == (status, "")
    assert where == "the end of the command" or done.stdout == ""


@BOTH
def test_python_frees_memory_undisturbed(number: int, status: int, tmp_path: Path) -> None:
    done = python(AFTERWARDS.format(number=int(number)), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
