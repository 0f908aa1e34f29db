"""Run the tests: pytest in one process more than there are cores (tests wait), beside them what cannot be shared out."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

ALONE = "tests/web/api/test_openapi.py"
"""schemathesis gives the tests of all operations one node id; shared out over processes, only one of them would run."""


def main() -> int:
    """Return 0 when everything passed, else pytest's exit code."""
    workers = str(min(4, (os.cpu_count() or 1) + 1))
    pytest = [sys.executable, "-m", "pytest", "-rs", *sys.argv[1:]]
    with tempfile.TemporaryFile() as said:
        beside = subprocess.Popen([*pytest, ALONE], stdout=said, stderr=said)
        try:
            shared = subprocess.run(
                [*pytest, "-n", workers, "--no-loadscope-reorder", f"--ignore={ALONE}"], check=False
            ).returncode
            alone = beside.wait()
        finally:
            beside.kill()
        said.seek(0)
        sys.stdout.buffer.write(said.read())
    return shared or alone


if __name__ == "__main__":
    sys.exit(main())
