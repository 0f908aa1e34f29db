"""Run the tests: pytest in as many processes as there are cores, then say plainly what was left out and why."""

from __future__ import annotations

import os
import subprocess
import sys


def main() -> int:
    """Return pytest's exit code."""
    workers = str(min(4, os.cpu_count() or 1))
    command = [sys.executable, "-m", "pytest", "-n", workers, "--dist", "loadfile", "-rs", *sys.argv[1:]]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
