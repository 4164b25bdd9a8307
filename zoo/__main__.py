"""The `zoo` command as a process: signals are handled before anything else is imported."""

from __future__ import annotations

import atexit
import sys

from zoo import interrupts


def main() -> int:
    """Run the command of ``sys.argv``; the exit status."""
    interrupts.install()
    atexit.register(interrupts.ignore)  # runs last
    from zoo import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
