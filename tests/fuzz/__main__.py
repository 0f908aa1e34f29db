"""Fuzz the decoders, one after another: `python -m tests.fuzz [--seconds 60] [TARGET …]`.

With atheris (coverage-guided, libFuzzer) each target runs in a process of its own with limits on memory and on the time of one
input; the first input that breaks something is kept and named. Exit code 1 if anything broke.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ONE_INPUT_MAX_S = 20
MEMORY_MAX_MB = 3072
INPUT_MAX_BYTES = 65_536


def main() -> int:
    """Run all targets, or those named."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--seconds", type=int, default=60, help="time for each target")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="folder for inputs that broke something")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    told, rest = parser.parse_known_args()
    if told.one:
        return _one(told.one, rest)
    from tests.fuzz.targets import TARGETS, seeds

    broken = []
    for name in told.targets or sorted(TARGETS):
        with tempfile.TemporaryDirectory() as folder:
            for number, seed in enumerate(seeds()[name]):
                (Path(folder) / str(number)).write_bytes(seed)
            told.keep.mkdir(exist_ok=True)
            done = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "tests.fuzz",
                    "--one",
                    name,
                    f"-max_total_time={told.seconds}",
                    f"-timeout={ONE_INPUT_MAX_S}",
                    f"-rss_limit_mb={MEMORY_MAX_MB}",
                    f"-max_len={INPUT_MAX_BYTES}",
                    f"-artifact_prefix={told.keep}/{name}-",
                    folder,
                ],
                capture_output=True,
                text=True,
                check=False,
            )
        lines = done.stderr.splitlines() + done.stdout.splitlines()
        counts = [line for line in lines if line.startswith(("Done ", "stat::number_of_executed_units"))]
        print(f"{name}: {'clean' if done.returncode == 0 else 'BROKEN'}  {counts[-1] if counts else ''}", flush=True)
        if done.returncode:
            broken.append(name)
            print("\n".join(lines[-25:]), flush=True)
    if told.keep.is_dir() and not any(told.keep.iterdir()):
        told.keep.rmdir()
    return 1 if broken else 0


def _one(name: str, options: list[str]) -> int:
    import atheris

    with atheris.instrument_imports(include=["annul.likeness", "annul.reader", "annul.records", "annul.client", "PIL"]):
        from tests.fuzz.targets import run, seeds

    for seed in seeds()[name]:  # loads what is loaded at first use, before the clock of one input runs
        run(name, seed)
    atheris.Setup([sys.argv[0], *options], lambda data: run(name, data))
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
