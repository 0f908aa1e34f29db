"""Run the tests: pytest in as many processes as there are cores, then what cannot be shared out, and say what was left out."""

from __future__ import annotations

import os
import subprocess
import sys

ALONE = "tests/web/test_openapi.py"
"""schemathesis gives the tests of all operations one node id; shared out over processes, only one of them would run."""


def main() -> int:
    """Return 0 when everything passed, else pytest's exit code."""
    workers = str(min(4, os.cpu_count() or 1))
    pytest = [sys.executable, "-m", "pytest", "-rs", *sys.argv[1:]]
    shared = subprocess.run([*pytest, "-n", workers, "--dist", "loadfile", f"--ignore={ALONE}"], check=False).returncode
    alone = subprocess.run([*pytest, ALONE], check=False).returncode
    return shared or alone


if __name__ == "__main__":
    sys.exit(main())
